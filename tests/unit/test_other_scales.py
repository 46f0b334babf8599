"""The same answers on other scales: figures that are moved and stretched alike, and shown as what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from jsonschema import Draft202012Validator
from made_fit import SUBDIMENSIONS, made_fit
from openpyxl import load_workbook
from page_reader import Page

from buurtsae.engines.base import Fit
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.model.design import design
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.output import publish
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import ESTIMATES, records
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct

PERCENT, OPEN = Scale(0, 100, "procent", "per cent"), Scale(nl="graden", en="degrees")
MOVED = {"per cent": (PERCENT, 0.0, 10.0), "degrees": (OPEN, -6.0, 1.0)}  # scale, and y = a + b y on 0-10
FIGURES, POINTS = ["estimate", "lower", "upper", "direct"], ["sd", "direct_se"]
SAME = ["own_data_share", "reliability", "label", "p_above_parent", "rank_lower", "rank_upper", "n_respondents"]


def moved(fit: Fit, scale: Scale, a: float, b: float) -> Fit:
    """The same fit of answers, and draws, on another scale."""
    names = list(SUBDIMENSIONS)
    scores = [replace(s, frame=s.frame.assign(**dict((a + b * s.frame[names]).items()))) for s in fit.direct.scores]
    outcome, estimates = Gaussian(scale), direct(scores, fit.areas)
    hyper = {
        k: (dims, b * v if k in ("alpha", "tau", "BYM2.sigma", "beta") else v)
        for k, (dims, v) in fit.draws.hyper.items()
    }
    draws = replace(fit.draws, eta=a + b * fit.draws.eta, hyper=hyper, outcome=outcome)
    arrays = design(replace(fit.model, outcome=outcome), estimates)
    return replace(fit, design=arrays, direct=estimates, draws=draws)


@pytest.fixture(scope="module")
def fit() -> Fit:
    return made_fit().fit


@pytest.fixture(scope="module")
def base(fit: Fit) -> Estimates:
    return estimate(fit)


@pytest.fixture(scope="module", params=list(MOVED))
def other(request: pytest.FixtureRequest, fit: Fit) -> tuple[Estimates, float, float]:
    scale, a, b = MOVED[request.param]
    return estimate(moved(fit, scale, a, b)), a, b


@pytest.fixture(scope="module")
def folder(other: tuple[Estimates, float, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("out")
    publish(other[0], to, provenance=Provenance("Proef", {}, {}, {}, "2024-01-01T00:00:00Z"), draws=50)
    return to


def test_figures_move_with_the_scale_and_nothing_else_does(
    base: Estimates, other: tuple[Estimates, float, float]
) -> None:
    est, a, b = other
    if not est.concept.scale.bounded:  # where any two that are hidden hide each other: fewer are hidden to protect
        base = estimate(base.fit, rules=Rules(protection=1e-6))
    assert est.concept.scale == est.fit.model.outcome.scale
    for name in FIGURES:
        np.testing.assert_allclose(est.table[name], a + b * base.table[name], atol=1e-9 * b)
    for name in POINTS:
        np.testing.assert_allclose(est.table[name], b * base.table[name], atol=1e-9 * b)
    pd.testing.assert_frame_equal(est.table[SAME], base.table[SAME], check_exact=False, rtol=1e-9)
    extra, plain = est.supplement, base.supplement
    np.testing.assert_allclose(extra["constrained"], a + b * plain["constrained"], atol=1e-9 * b)
    assert extra["verdict"].equals(plain["verdict"])


def test_what_is_hidden_is_hidden_on_a_scale_with_ends_alike(fit: Fit, base: Estimates) -> None:
    est = estimate(moved(fit, *MOVED["per cent"]))
    assert est.release.estimates.keys == base.release.estimates.keys
    assert est.release.direct == base.release.direct
    widths = est.release.estimates.audit["width"].to_numpy()
    np.testing.assert_allclose(widths, 10 * base.release.estimates.audit["width"], rtol=1e-6)
    # without ends nothing can be computed of what is one of several in every sum
    est = estimate(moved(fit, *MOVED["degrees"]))
    assert est.release.estimates.ruled == base.release.estimates.ruled
    assert np.isinf(est.release.estimates.audit["width"]).all()


def test_files_say_the_scale(folder: Path, other: tuple[Estimates, float, float]) -> None:
    est, _, _ = other
    scale = est.concept.scale
    limits = {"minimum": scale.lower, "maximum": scale.upper} if scale.bounded else {}
    schema = json.loads((folder / "contract.schema.json").read_text("utf-8"))
    check, rows = Draft202012Validator(schema), records(est.published)
    assert all(check.is_valid(row) for row in rows)
    for name in ("estimate", "lower", "upper"):
        about = schema["properties"][name]
        assert {k: v for k, v in about.items() if k in ("minimum", "maximum")} == limits
        assert about["description"].endswith(f"({scale.label})")
    assert (not check.is_valid(rows[-1] | {"estimate": 101.0})) == scale.bounded
    package = json.loads((folder / "datapackage.json").read_text("utf-8"))
    fields = {r["name"]: {f["name"]: f for f in r["schema"]["fields"]} for r in package["resources"] if "schema" in r}
    bounds = [fields[r][f]["constraints"] for r, f in (("estimates", "upper"), ("statline", "Value"))]
    assert all({k: v for k, v in c.items() if k != "required"} == limits for c in bounds)
    assert fields["swing"]["participatie"]["constraints"].get("maximum") == limits.get("maximum")
    metadata = pq.read_schema(folder / "estimates.parquet").field("estimate").metadata
    assert metadata[b"unit"].decode() == scale.label
    assert set(pd.read_csv(folder / "statline_measures.csv", sep=";")["Unit"]) == {scale.label.nl}
    with xr.open_dataset(folder / "draws.nc", engine="h5netcdf") as data:
        assert data["score"].attrs["units"] == scale.label
    book = load_workbook(folder / "estimates.xlsx")
    words = [cell.value for row in book["Toelichting"] for cell in row]
    assert any(f"De eenheid: {scale.nl}." in str(text) for text in words)
    column = [c.name for c in ESTIMATES].index("estimate")
    assert {row[column].number_format for row in book["Schattingen"].iter_rows(min_row=2) if row[column].value} == {
        "0." + "0" * (scale.digits + 1)
    }


def test_pages_show_the_scale(folder: Path, other: tuple[Estimates, float, float]) -> None:
    est, _, _ = other
    scale, code = est.concept.scale, "BU03550103"
    row = est.published[(est.published["area_code"] == code) & (est.published["measure"] == "participatie")].iloc[0]
    index, gemeente, buurt = (
        (folder / "dashboard" / name).read_text("utf-8")
        for name in ("index.html", "gemeente/GM0355.html", f"buurt/{code}.html")
    )
    assert f"een score {scale.range.nl} ({scale.nl})." in index
    assert f"Scores {scale.range.nl} ({scale.nl}), met een 95%-interval." in gemeente
    assert f"Scores {scale.range.nl} ({scale.nl}) met een 95%-interval" in buurt
    assert "0 tot 10." not in index + gemeente + buurt
    data = json.loads(gemeente.partition('id="data">')[2].partition("</script>")[0])
    place = [b for b, _ in data["buurten"]].index(code)
    shown = data["rows"]["2023"]["participatie"][place]
    assert shown[:3] == [round(row[c], scale.digits) for c in ("estimate", "lower", "upper")]
    low, *_, high = data["measures"]["participatie"]["marks"]
    assert (low, high) == (0, 100) if scale.bounded else low <= row["lower"] < row["upper"] <= high
    dots = [float(e["cx"]) for tag, e in Page(folder / f"dashboard/buurt/{code}.html").elements if tag == "circle"]
    assert len(dots) == len(est.measures)
    assert all(0 < x < 200 for x in dots)
    classes = "lager dan 30" if scale.bounded else "en hoger"
    assert classes in index
    assert "5,5 tot 6" not in index


def test_maps_and_notebooks_show_the_scale(other: tuple[Estimates, float, float]) -> None:
    est, _, _ = other
    scale = est.concept.scale
    legend = est.map("participatie").get_legend()
    assert legend.get_title().get_text() == scale.label.nl.replace("-", "–")
    texts = [t.get_text() for t in legend.get_texts()]
    assert ("80 en hoger" in texts) == scale.bounded
    faces = {tuple(c) for c in est.map("participatie").collections[0].get_facecolors()}
    assert len(faces) > 3  # grey and three classes: a scale that is not theirs would have them all in one
    label = est.plot_intervals("participatie").get_xlabel()
    assert label.startswith(scale.label.nl.replace("-", "–"))
    assert est.explain("BU03550103")


def test_a_concept_file_has_its_scale(tmp_path: Path) -> None:
    node = '[[node]]\nid = "tevreden"\nnl = "Tevreden"\nen = "content"\nabout = "aandeel tevreden"\n'
    path = tmp_path / "concept.toml"
    path.write_text('[scale]\nlower = 0\nupper = 100\nnl = "procent"\nen = "per cent"\n' + node, "utf-8")
    assert Concept.load(path).scale == PERCENT
    path.write_text(node, "utf-8")
    assert Concept.load(path).scale == Concept.load().scale == SCORE


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        ("[scale]\nlow = 0", "scale.low: "),
        ("[scale]\nlower = 5\nupper = 5", "impossible ends"),
        ("scale = 10", "scale: "),
        ('[scale]\nlower = "nul"', "scale.lower: "),
    ],
)
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scale: str, says: str) -> None:
    node = '[[node]]\nid = "tevreden"\nnl = "Tevreden"\nen = "content"\nabout = "aandeel tevreden"\n'
    path = tmp_path / "concept.toml"
    path.write_text(f"{scale}\n{node}", "utf-8")
    with pytest.raises(Exception, match=says) as raised:
        Concept.load(path)
    assert str(raised.value).count("\n") == 2  # three lines
