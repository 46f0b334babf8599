"""Shares of buurten in the province of Utrecht where response is selective: direct, per area, per person.

    python benchmarks/selective.py [--samples 200] [--rate 0.0125]

Needs the folder `shared` beside the checkout: real buurten and kerncijfers of 2024. Residents by age and tenure are
made of the kerncijfers' margins; sex, education and two classes of younger adults come from shares by age and tenure
that are of the right size, and no published table. Answers are drawn once, from no model of ours (`simulate.persons`);
samples differ in who answers: the higher educated and older more often, who also answer otherwise. Weights are raked to
age, tenure, sex, education and gemeente.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import buurtsae as bs
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.persons import Persons, PersonTruth, make_persons

ROOT = Path(__file__).resolve().parents[1]
KERNCIJFERS = ROOT.parent / "shared" / "data" / "nl" / "kwb_2024_buurt.csv"
LEVELS = {
    "leeftijd": ("15-44", "45-64", "65+"),
    "geslacht": ("man", "vrouw"),
    "opleiding": ("laag", "midden", "hoog"),
    "woning": ("koop", "huur"),
}
EDUCATION = {  # low, middle, high, by age and tenure
    ("15-44", "koop"): (0.12, 0.36, 0.52), ("15-44", "huur"): (0.25, 0.42, 0.33), ("45-64", "koop"): (0.15, 0.38, 0.47),
    ("45-64", "huur"): (0.36, 0.40, 0.24), ("65+", "koop"): (0.28, 0.38, 0.34), ("65+", "huur"): (0.50, 0.33, 0.17),
}  # fmt: skip
YOUNGER = {"koop": 0.52, "huur": 0.68}  # of those of 15-64, the share below 45
TRUTH = PersonTruth(
    cuts=(1.2,),
    effects={"opleiding": (0.6, 0.0, -0.6), "leeftijd": (0.1, 0.0, 0.4)},
    response={
        "opleiding": (-0.8, 0.0, 0.5),
        "leeftijd": (-0.5, 0.0, 0.5),
        "geslacht": (0.0, 0.1),
        "woning": (0.2, -0.2),
    },
)
CLASSES = pd.IntervalIndex.from_breaks([-1, 0, 5, 20, np.inf])
OPTIONS = {"draws": 500, "hyperparameters": 100}


def province() -> bs.Areas:
    run = RunFile.load(ROOT / "models" / "utrecht.toml")
    part = run.spec.areas
    tables = [(run.locate(t.file), t.key) for t in part.tables]
    return bs.Areas.read(run.locate(part.file), part.year, tables=tables, where=part.where, region=part.region)


def cells_of(areas: bs.Areas) -> bs.Cells:
    """Age and tenure per buurt by iterative proportional fitting, the rest by national shares given these."""
    age = {"0-14": "inwoners_0_14", "15-64": None, "65+": "inwoners_65plus"}
    margins = [
        bs.Margin("leeftijd", age, part={"0-14": 0.0}),
        bs.Margin("woning", {"koop": "pct_koopwoningen", "huur": None}, per_cent=True),
    ]
    seed = pd.DataFrame({"leeftijd": ["15-64", "65+"] * 2, "woning": ["koop"] * 2 + ["huur"] * 2})
    table = pd.read_csv(KERNCIJFERS)
    made = bs.Cells.from_margins(table, areas, margins, seed.assign(aantal=[45, 14, 32, 9]))
    parts = []
    for row in made.frame.itertuples(index=False):
        younger = YOUNGER[row.woning]
        ages = {"65+": 1.0} if row.leeftijd == "65+" else {"15-44": younger, "45-64": 1 - younger}
        for of, share in ages.items():
            for level, part in zip(LEVELS["opleiding"], EDUCATION[of, row.woning], strict=True):
                for sex in LEVELS["geslacht"]:
                    parts.append((row.area_code, of, sex, level, row.woning, row.aantal * share * part / 2))
    frame = pd.DataFrame(parts, columns=["area_code", *LEVELS, "aantal"])
    return bs.Cells.from_frame(frame, areas, area="area_code", characteristics=LEVELS)


def adults(cells: bs.Cells) -> bs.Cells:
    """Areas whose residents are those of the cells, with what the cells say of them as covariates."""
    n = cells.residents()
    share = {name: cells.residents(domain) / np.maximum(n, 1) for name, domain in
             (("koop", {"woning": ["koop"]}), ("oud", {"leeftijd": ["65+"]}))}  # fmt: skip
    frame = cells.areas.frame.assign(population=n.astype(int), **share)
    return replace(cells, areas=replace(cells.areas, frame=frame))


def direct_of(sample: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Hajek shares with the variance that one share of all buurten would give, and the design effect of weights."""
    w, y = sample["weight"], sample["antwoord"] / 100
    deff = float(len(w) * (w**2).sum() / w.sum() ** 2)
    groups = pd.DataFrame({"w": w, "wy": w * y, "n": 1}).groupby(sample["area_code"]).sum()
    p, level = groups["wy"] / groups["w"], float(np.average(y, weights=w))
    sd = np.sqrt(level * (1 - level) * deff / groups["n"])
    table = pd.DataFrame({"estimate": p, "lower": p - 1.96 * sd, "upper": p + 1.96 * sd, "n": groups["n"]})
    return table, deff


def of_draws(fit: Any) -> pd.DataFrame:
    """Mean and 95% interval per buurt of a fit of shares."""
    p = 1 / (1 + np.exp(-np.asarray(fit.draws.eta).reshape(-1, len(fit.areas.codes))))
    lower, upper = np.quantile(p, [0.025, 0.975], axis=0)
    return pd.DataFrame({"estimate": p.mean(axis=0), "lower": lower, "upper": upper}, index=fit.areas.codes)


def methods(persons: Persons, sample: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    cells, graph = persons.cells, persons.cells.areas.graph()
    areas = cells.areas
    direct, deff = direct_of(sample)
    counts = pd.DataFrame({"code": direct.index, "n": direct["n"] / deff, "y": direct["estimate"] * direct["n"] / deff})
    counts["y"] = counts[["y", "n"]].min(axis=1)  # a share of 1 is not above its number by rounding
    given = bs.AreaCounts.from_frame(counts, y="y", trials="n", area="code", areas=areas)
    formula, terms = "1 + koop + oud", [bs.BYM2(graph)]
    model = bs.AreaModel(formula, terms, outcome=bs.Binomial(effective=True))
    found = {"direct": direct, "per area": of_draws(bs.fit(model, given, seed=seed, progress=False, **OPTIONS))}
    if not hasattr(bs, "fit_persons"):
        return found
    answers = bs.Answers.of(sample, "antwoord", cells)
    told = [bs.Ordered("leeftijd"), bs.Factor("geslacht"), bs.Factor("woning")]
    for name, more in (("per person", [bs.Factor("opleiding")]), ("per person, without education", [])):
        model = bs.UnitModel(formula, terms=terms, persons=[*told, *more])
        fit = bs.fit_persons(model, answers, cells, seed=seed, progress=False, **OPTIONS)
        found[name] = of_draws(fit.fit_of())
    return found


def main(samples: int, rate: float) -> None:
    persons = make_persons(adults(cells_of(province())), TRUTH, seed=2024)
    print(persons, flush=True)
    truth, rows = persons.figures()["truth"] / 100, []
    for seed in range(1, samples + 1):
        sample = persons.sample(rate, np.random.default_rng(seed), "gemeente")
        n = sample["area_code"].value_counts().reindex(truth.index).fillna(0)
        for method, table in methods(persons, sample, seed).items():
            part = table.reindex(truth.index).assign(truth=truth, n=n, method=method).dropna(subset=["estimate"])
            rows.append(part)
    table = pd.concat(rows)
    table["class"] = pd.cut(table["n"], CLASSES).cat.rename_categories(["0", "1-5", "6-20", "over 20"])
    error = 100 * (table["estimate"] - table["truth"])
    table = table.assign(bias=error, square=error**2, width=100 * (table["upper"] - table["lower"]),
                         covered=100.0 * table["truth"].between(table["lower"], table["upper"]))  # fmt: skip
    groups = table.groupby(["method", "class"], observed=True, sort=False)
    found = groups.agg(figures=("bias", "size"), bias=("bias", "mean"), RMSE=("square", lambda s: np.sqrt(s.mean())),
                       coverage=("covered", "mean"), width=("width", "mean"))  # fmt: skip
    found = found.reset_index().sort_values(["method", "class"], kind="stable")
    print(found.to_markdown(index=False, floatfmt=("", "", ".0f", ".2f", ".2f", ".1f", ".1f")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rate", type=float, default=1 / 80)
    arguments = parser.parse_args()
    main(arguments.samples, arguments.rate)
