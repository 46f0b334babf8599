"""Every public name: documented with shapes, errors and an example that stands by itself, and short when printed."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import doctest
import inspect
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import made_fit

import buurtsae as bs
from buurtsae.runs.example import example, folder

RAISING = re.compile(r"\braise \w|raise_if_any\(")
MOST = 500  # characters that a notebook's cell or a log can bear
NAMES = tuple(name for name in bs.__all__ if name != "__version__")
ORDER = ("", "Parameters", "Attributes", "Returns", "Raises", "Warns", "Notes", "References", "Examples")


def sections(text: str) -> dict[str, str]:
    """The sections of a numpydoc docstring, by heading; what comes before them under an empty one."""
    parts = re.split(r"(?m)^(\w[\w ]*)\n-{3,}$", text)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(section: str) -> dict[str, str]:
    """Name to its line of type and its description: `a, b : ndarray, shape (n,)` describes two."""
    out = {}
    for head, body in re.findall(r"(?m)^(\S.*)\n((?:(?: .*)?\n)*)", section.strip("\n") + "\n"):
        out |= {name.strip(" *"): head + body for name in head.partition(" :")[0].split(",")}
    return out


def arguments(value: Any) -> dict[str, str]:
    """Names that must be described, with their annotations."""
    if inspect.isclass(value) and dataclasses.is_dataclass(value):
        return {f.name: str(f.type) for f in dataclasses.fields(value) if not f.name.startswith("_")}
    return {n: str(p.annotation) for n, p in inspect.signature(value).parameters.items()}


def unbound(code: str) -> set[str]:
    """Names that an example uses and neither imports nor makes."""
    names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return {n.id for n in names} - bound - set(dir(builtins))


def lacks(value: Any, text: str) -> list[str]:
    """What the docstring of a class or function does not say."""
    parts = sections(text)
    listed = described(parts.get("Parameters", "")) | described(parts.get("Attributes", ""))
    out = [f"nothing of {name}" for name in arguments(value) if name not in listed]
    arrays = [n for n, kind in arguments(value).items() if re.match(r"\W?(Floats|Ints|NDArray)\b", kind)]
    out += [f"no shape of {name}" for name in arrays if "shape" not in listed.get(name, "shape")]
    source = inspect.getsource(value)
    if inspect.isfunction(value):
        out += ["no Returns"] if "Returns" not in parts and "-> None:" not in source else []
    if inspect.isfunction(value) or "def __post_init__" in source:
        out += ["no Raises"] if RAISING.search(source) and "Raises" not in parts else []
    if not parts[""].strip():
        out.append("no summary")
    if list(parts) != sorted(parts, key=ORDER.index):
        out.append(f"another order of sections than {ORDER}")
    examples = doctest.DocTestParser().get_examples(parts.get("Examples", ""))
    code = "".join(e.source for e in examples)
    if not any(e.want for e in examples):
        out.append("no example with a result")
    if missing := unbound(code) - {value.__name__}:
        out.append(f"an example that does not stand by itself: {sorted(missing)}")
    if any(doctest.SKIP in e.options for e in examples):
        out.append("an example that is skipped")
    return out


@pytest.mark.parametrize("name", NAMES)
def test_documented(name: str) -> None:
    value = getattr(bs, name)
    missing = lacks(value, inspect.getdoc(value) or "")
    assert not missing


def methods() -> dict[str, Any]:
    """Public methods, properties and constructors of the public classes."""
    out = {}
    for name in NAMES:
        for inner, value in vars(getattr(bs, name)).items() if inspect.isclass(getattr(bs, name)) else ():
            bare = next((f for k in ("__func__", "fget", "func") if (f := getattr(value, k, None))), value)
            if inspect.isfunction(bare) and not inner.startswith("_"):
                out[f"{name}.{inner}"] = bare
    return out


def test_methods_say_what_they_raise() -> None:
    silent = [
        name
        for name, method in methods().items()
        if RAISING.search(inspect.getsource(method)) and "Raises" not in sections(inspect.getdoc(method) or "")
    ]
    assert silent == []


def domains_of(areas: bs.Areas) -> dict[str, pd.DataFrame]:
    """Tables of two parts, alike, and of the whole."""
    where = {"level": areas.levels, "area_code": [areas.at(level)[0] for level in areas.levels], "measure": "lonely"}
    parts = {"all": 100, "young": 50, "old": 50}
    rows = {
        name: {"estimate": 5.0, "population": n, "label": "betrouwbaar", "reason": None} for name, n in parts.items()
    }
    return {name: pd.DataFrame({**where, **row}) for name, row in rows.items()}


@cache
def instances() -> dict[str, Any]:
    """One object or more of every public class, and of every class that a public function returns."""
    made = made_fit()
    fit, areas, direct = made.fit, made.fit.areas, made.fit.direct
    concept, est = bs.Concept.load(), bs.estimate(made.fit)
    survey = bs.Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    benchmarks = bs.Benchmarks.of_direct(fit, "gemeente", min_respondents=10)
    islands = bs.Graph.from_pairs(map(str, range(1000)), [(str(2 * k), str(2 * k + 1)) for k in range(500)])
    many = tuple(f"subdimension_{k}" for k in range(100))
    one_area = bs.Areas.from_frame(pd.DataFrame({"code": ["a"]}), code="code")
    cells = bs.Cells.from_frame(pd.DataFrame({"area": "a", "k": list("01"), "aantal": 5}), one_area, area="area")
    answers = bs.Answers.of(pd.DataFrame({"area_code": "a", "k": ["0", "1"], "y": [0, 100]}), "y", cells)
    persons = bs.UnitModel(persons=[bs.Factor("k")])
    pairs = pd.DataFrame({"old": [f"{k}" for k in range(500)], "new": [f"{k // 2}" for k in range(500)], "share": 1.0})
    walk = bs.Crosswalk.from_table(pairs, years=(2020, 2024))
    unit = bs.fit_persons(persons, answers, cells, progress=False, draws=100, hyperparameters=50)
    y, one, v = np.arange(200.0), np.ones((200, 1)), np.full(200, 0.1)
    return {
        "Areas": areas,
        "Graph": areas.graph(),
        "Graph of pairs": islands,
        "Crosswalk": walk,
        "Concept": concept,
        "Codebook": bs.Codebook.load("ssw"),
        "Survey": survey,
        "Scores": concept.score(survey),
        "Scores of many": dataclasses.replace(
            direct.scores[0],
            frame=pd.DataFrame(5.0, index=range(3), columns=list(many)),
            subdimensions=many,
        ),
        "Reliability": bs.reliability(survey),
        "Calibration": bs.Calibration(pd.DataFrame({"margin": "leeftijd", "category": range(100), "total": 1.0})),
        "ReplicatePlan": bs.ReplicatePlan(tuple(f"w{k}" for k in range(500)), "JKn", rscales=(0.5,) * 500),
        "DirectEstimates": direct,
        "DirectEstimates of many": dataclasses.replace(direct, sources=direct.sources * 50, subdimensions=many),
        "source": direct.sources[0],
        "AreaCounts": bs.AreaCounts.from_frame(
            pd.DataFrame({"code": range(9), "y": range(9), "n": 9}), y="y", trials="n", area="code"
        ),
        "Cells": cells,
        "Margin": bs.Margin("leeftijd", {"0-17": "jong", "18+": None}),
        "Answers": answers,
        "UnitModel": persons,
        "UnitFit": unit,
        "UnitFits": bs.UnitFits({"y": unit}, {f"a_long_name_of_a_figure_{k}": ("y", None) for k in range(20)}),
        "Factor": bs.Factor("k"),
        "Fixed": bs.Fixed("k"),
        "Ordered": bs.Ordered("k"),
        "Smooth": bs.Smooth("k"),
        "Linear": bs.Linear("k"),
        "Cluster": bs.Cluster("household"),
        "Number": bs.Number(bs.Gaussian()),
        "Ladder": bs.Ladder(),
        "Scale": bs.Scale(),
        "Gaussian": bs.Gaussian(),
        "Binomial": bs.Binomial(),
        "PerMeasure": bs.PerMeasure({"mark": bs.Gaussian(), "lonely": bs.Binomial()}),
        "Poisson": bs.Poisson(),
        "AreaModel": fit.model,
        "AreaModel of many": bs.AreaModel("1 + " + " + ".join(many), [bs.IID(name) for name in many]),
        "Design": fit.design,
        "BYM2": bs.BYM2(islands),
        "OverTime": bs.OverTime(bs.BYM2(islands)),
        "Trend": bs.Trend(),
        "Break": bs.Break("monitor", 2022),
        "IID": bs.IID("gemeente"),
        "ICAR": bs.ICAR(islands),
        "Leroux": bs.Leroux(islands),
        "SAR": bs.SAR(islands),
        "RW1": bs.RW1("groen"),
        "AR1": bs.AR1("groen"),
        "Ridge": bs.Ridge("theme", ("groen",)),
        "Horseshoe": bs.Horseshoe("theme", ("groen",)),
        "Spline": bs.Spline("groen"),
        "Link": bs.Link(),
        "Covariate": bs.Covariate("groen"),
        "CovariateCatalogue": bs.covariate_catalogue(fit.areas),
        "PC": bs.PC(1.0, 0.05),
        "InverseGamma": bs.InverseGamma(1.0, 0.01),
        "HalfCauchy": bs.HalfCauchy(1.0),
        "Uniform": bs.Uniform(0.0, 1.0),
        "Beta": bs.Beta(1.0, 1.0),
        "Normal": bs.Normal(0.0, 1.0),
        "LogNormal": bs.LogNormal(0.0, 1.0),
        "LKJ": bs.LKJ(2.0),
        "Fit": fit,
        "Draws": fit.draws,
        "Estimates": est,
        "Waves": bs.Waves(fit, dict.fromkeys(range(1990, 2025), est)),
        "Groups": bs.Groups(est, est.published.assign(characteristic="leeftijd", group="65+")),
        "release": est.release,
        "hidden": est.release.estimates,
        "Rules": est.rules,
        "NonResponse": bs.NonResponse(0.1, 0.4),
        "FayHerriot": bs.FayHerriot(y, one, v),
        "SpatialFayHerriot": bs.SpatialFayHerriot(y, one, v, np.ones((200, 200)) - np.eye(200)),
        "MultivariateFayHerriot": bs.MultivariateFayHerriot(
            np.column_stack([y, -y]), one, np.tile(0.1 * np.eye(2), (200, 1, 1))
        ),
        "RaoYu": bs.RaoYu(y, one, v, np.arange(200) % 4, np.arange(200) // 4),
        "SpatioTemporalFayHerriot": bs.SpatioTemporalFayHerriot(
            y, one, v, np.ones((50, 50)) - np.eye(50), np.arange(200) % 4, np.arange(200) // 4
        ),
        "NestedError": bs.NestedError(y, one, np.arange(200) // 4),
        "LogFayHerriot": bs.LogFayHerriot(1 + y, one, v),
        "ArcsineFayHerriot": bs.ArcsineFayHerriot(y / 200, one, np.full(200, 50)),
        "RobustFayHerriot": bs.RobustFayHerriot(y, one, v),
        "MeasurementErrorFayHerriot": bs.MeasurementErrorFayHerriot(y, np.column_stack([one, y]), v, {"x1": 0.1}),
        "comparison": bs.compare(est, est),
        "left out": bs.left_out(fit),
        "Domains": bs.across(domains_of(one_area), one_area, "all", bs.Scale()),
        "contrast": bs.contrast(est, "GM0344", "GM0355", "participatie"),
        "Benchmarks": benchmarks,
        "benchmarked": bs.benchmark(fit, benchmarks),
        "plan": bs.plan(fit, budget=10),
        "curves": bs.curves(fit, "groen"),
        "RunFile": bs.RunFile.load(example()),
        "BuurtsaeError": bs.BuurtsaeError("what", "got", "expected", "hint"),
    }


def test_every_public_class_is_printed_here() -> None:
    assert {name for name in NAMES if inspect.isclass(getattr(bs, name))} <= set(instances())


def test_printed_short() -> None:
    printed = {name: repr(value) for name, value in instances().items()}
    assert {name for name, text in printed.items() if len(text) >= MOST} == set()
    assert [name for name, text in printed.items() if " object at 0x" in text] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Return it.\n\nParameters\n----------\nx : ndarray, shape (n,)\n    Any.\n", "no Returns"),
        ("Return it.\n\nParameters\n----------\nx : ndarray\n    Any.\n", "no shape of x"),
        ("Return it.\n\nReturns\n-------\nndarray\n", "nothing of x"),
        ("Return it.\n\nExamples\n--------\n>>> negative(data)\n1\n", "stand by itself: ['data']"),
        ("Return it.\n\nExamples\n--------\n>>> x = 1\n", "no example with a result"),
        ("Return it.\n\nExamples\n--------\n>>> 1\n1\n", "no Raises"),
        ("Return it.\n\nRaises\n------\nValueError\n\nReturns\n-------\nndarray\n", "order of sections"),
        ("Return it.\n\nExamples\n--------\n>>> 1  # doctest: +SKIP\n1\n", "skipped"),
    ],
)
def test_what_is_missing_is_seen(text: str, missing: str) -> None:
    def negative(x: "NDArray[Any]") -> Any:  # noqa: F821, UP037
        if not len(x):
            raise ValueError("nothing")
        return -x

    assert any(missing in said for said in lacks(negative, text))
