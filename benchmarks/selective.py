r"""Shares of buurten in the province of Utrecht where response is selective: direct, per area, per person.

    python benchmarks/selective.py --parts FOLDER [--case main] [--samples 200] [--first 1] [--out docs/persons.md]

Needs the folder `shared` beside the checkout: real buurten and kerncijfers of 2024. Residents by age and tenure are
made of the kerncijfers' margins; sex, education and two classes of younger adults come from shares by age and tenure
that are of the right size, and no published table. Answers are drawn from no model of ours (`simulate.persons`), once
for each of 20 populations; sample k is of population k modulo 20, and samples differ in who answers: the higher
educated and older more often, who also answer otherwise. Weights are raked to age, tenure, sex, education and gemeente.

Truth is the expected share of those who live in a buurt, sum_c N_ac p_ac / N_a: what models estimate by default; that
of a *realised* row is the share of residents who say yes. A direct estimate is of both. Coverage is that of 95%
intervals; its error is that over buurten, sum_a (c_a - p m_a)^2 of c_a of m_a intervals: samples repeat the same ones.
Each sample is a file in the folder, which later runs go on with.

Cases other than the main one have the model per person only, and say which part of the truth it is that it does not
know: areas have no heavy tails (*normal*), or one spread whatever their residents; more than twice as many answer; the
model has other priors of phi and gamma; with these a spread that grows down to 100 residents, as that of the truth; or,
in place of education, classes of weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs
from buurtsae.engines.base import Fit
from buurtsae.model.priors import Beta, Normal
from buurtsae.model.terms import base
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.departure import Departure
from buurtsae.simulate.persons import OTHERWISE, Persons, PersonTruth, make_persons

MARKS = {
    part: (f"<!-- {part}: written by benchmarks/selective.py -->", f"<!-- end of {part} -->")
    for part in ("selective", "cases")
}
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
# P(phi < 1/2) = 2/3, as Riebler et al. (2016); gamma as real figures have it (docs/real-patterns.md)
OTHER = {"mixing": Beta(1.0, 1.585), "exponent": Normal(0.25, 0.2), "exponent_spread": 0.0}
CASES: dict[str, tuple[str, PersonTruth, float, dict[str, Any]]] = {  # words, truth, rate of response, priors of BYM2
    "main": ("as above", TRUTH, 1 / 80, {}),
    "normal": ("normal areas", replace(TRUTH, departure=replace(OTHERWISE, tails=np.inf)), 1 / 80, {}),
    "spread": ("one spread of areas", replace(TRUTH, departure=replace(OTHERWISE, size=0.0)), 1 / 80, {}),
    "both": ("normal areas of one spread", replace(TRUTH, departure=Departure(over_water=True)), 1 / 80, {}),
    "more": ("as above, 1 in 30 answers", TRUTH, 1 / 30, {}),
    "priors": ("as above, other priors", TRUTH, 1 / 80, OTHER),
    "few": ("the same, spread from 100 residents on", TRUTH, 1 / 80, OTHER),
    "classes": ("without education, classes of weights", TRUTH, 1 / 80, {}),
}
FEWEST = {"few": 100}  # residents below which the model's spread is that at this number, as it is in the truth
CLASSES = {"0": (-1, 0), "1-5": (0, 5), "6-20": (5, 20), "over 20": (20, np.inf)}
POPULATIONS, OF = 20, 2024  # how many, and the seed of the first
FORMULA, OPTIONS = "1 + koop + oud", {"draws": 1000, "hyperparameters": 100, "threads": 1, "progress": False}


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


def direct_of(sample: pd.DataFrame) -> pd.DataFrame:
    """Hajek shares, how many independent answers each is worth (Kish), and intervals by the share of all."""
    w, y = sample["weight"], sample["antwoord"] / 100
    groups = pd.DataFrame({"w": w, "wy": w * y, "w2": w**2}).groupby(sample["area_code"]).sum()
    p, n, level = groups["wy"] / groups["w"], groups["w"] ** 2 / groups["w2"], float(np.average(y, weights=w))
    sd = np.sqrt(level * (1 - level) / n)
    return pd.DataFrame({"estimate": p, "lower": p - 1.96 * sd, "upper": p + 1.96 * sd, "effective": n})


def of_draws(fit: Fit) -> pd.DataFrame:
    """Mean and 95% interval per buurt of a fit of shares, brought to 0-1."""
    p = np.clip(fit.draws.scores()[..., 0] / fit.draws.outcome.scale.upper, 0, 1)
    lower, upper = np.quantile(p, [0.025, 0.975], axis=0)
    return pd.DataFrame({"estimate": p.mean(axis=0), "lower": lower, "upper": upper}, index=fit.areas.codes)


def without(cells: bs.Cells, name: str) -> bs.Cells:
    """The cells, of one characteristic less."""
    rest = {other: levels for other, levels in cells.characteristics.items() if other != name}
    table = cells.frame.groupby(["area_code", *rest], observed=True, as_index=False)["aantal"].sum()
    return bs.Cells.from_frame(table, cells.areas, area="area_code", characteristics=rest)


def by_area(persons: Persons, sample: pd.DataFrame, seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Estimates per buurt that know of weights, and of nobody's characteristics."""
    direct, areas = direct_of(sample), persons.cells.areas
    yield "direct", direct.drop(columns="effective")
    yes = (direct["estimate"] * direct["effective"]).clip(upper=direct["effective"])  # no more of them by rounding
    counts = pd.DataFrame({"code": direct.index, "n": direct["effective"], "y": yes})
    given = bs.AreaCounts.from_frame(counts, y="y", trials="n", area="code", areas=areas)
    model = bs.AreaModel(FORMULA, [bs.BYM2(areas.graph())], outcome=bs.Binomial(effective=True))
    yield "per area", of_draws(bs.fit(model, given, seed=seed, **OPTIONS))


def methods(persons: Persons, sample: pd.DataFrame, seed: int, case: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Estimates per buurt by each method, or per person only."""
    cells, fewer = persons.cells, without(persons.cells, "opleiding")
    terms = [bs.BYM2(cells.areas.graph(), **CASES[case][3])]
    told = [bs.Ordered("leeftijd"), bs.Factor("geslacht"), bs.Factor("woning")]
    whole = bs.UnitModel(FORMULA, terms=terms, persons=[*told, bs.Factor("opleiding")])
    if case == "classes":
        people, tables = bs.weight_classes(sample, fewer, "weight", area="area_code", by="gemeente", seed=seed)
        model = bs.UnitModel(FORMULA, terms=terms, persons=[*told, bs.Factor("gewichtsklasse")])
        answers = bs.Answers.of(people, "antwoord", tables[0])
        yield "per person", of_draws(bs.fit_persons(model, answers, tables, seed=seed, **OPTIONS).fit_of())
        return
    with mock.patch.object(base, "FEW", FEWEST.get(case, base.FEW)):
        fit = bs.fit_persons(whole, bs.Answers.of(sample, "antwoord", cells), cells, seed=seed, **OPTIONS)
    if case != "main":
        yield "per person", of_draws(fit.fit_of())
        return
    yield from by_area(persons, sample, seed)
    yield "per person", of_draws(fit.fit_of())
    yield "per person, realised", of_draws(replace(fit, model=replace(whole, estimand="realised")).fit_of())
    lacking = bs.UnitModel(FORMULA, terms=terms, persons=told)
    by_weights = {"weight": "weight", "effective": True}
    for name, how in (("without education", {}), ("the same, effective numbers", by_weights)):
        answers = bs.Answers.of(sample, "antwoord", fewer, **how)  # effective within cells that lack education
        yield name, of_draws(bs.fit_persons(lacking, answers, fewer, seed=seed, **OPTIONS).fit_of())


def sampled(persons: Persons, seed: int, case: str) -> pd.DataFrame:
    """One sample: a row per method and buurt that it has an estimate of, on 0-1."""
    truth = persons.figures()[["expected", "truth"]] / 100
    sample = persons.sample(CASES[case][2], np.random.default_rng(seed), "gemeente")
    n = sample["area_code"].value_counts().reindex(truth.index).fillna(0)
    parts = []
    for method, table in methods(persons, sample, seed, case):
        about = truth["truth" if "realised" in method else "expected"].rename("truth")
        parts.append(table.reindex(truth.index).assign(truth=about, n=n, method=method).dropna(subset=["estimate"]))
    return pd.concat(parts).rename_axis("area_code").reset_index()


def table_of(found: pd.DataFrame) -> str:
    """Bias, error and coverage by class of respondents, in points and per cent."""
    rows = []
    for method, of in found.groupby("method", sort=False):
        for name, (low, high) in CLASSES.items():
            part = of[(of["n"] > low) & (of["n"] <= high)]
            if part.empty:
                continue
            error = 100 * (part["estimate"] - part["truth"])
            covered = part["truth"].between(part["lower"], part["upper"])
            each = covered.groupby(part["population"]).agg(["sum", "size"])
            spread = np.sqrt(((each["sum"] - covered.mean() * each["size"]) ** 2).sum()) / len(part)
            rows.append({
                "model": method, "respondents": name, "estimates": str(len(part)),
                "bias": f"{error.mean():.2f}", "RMSE": f"{np.sqrt((error**2).mean()):.2f}",
                "coverage, %": f"{100 * covered.mean():.1f}", "its error": f"{100 * spread:.1f}",
                "width": f"{100 * (part['upper'] - part['lower']).mean():.1f}",
            })  # fmt: skip
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def read(folder: Path, seeds: set[str] | None = None) -> tuple[pd.DataFrame, str]:
    """Samples of a folder, or those of some seeds, and how many there are."""
    files = [file for file in sorted(folder.glob("*.parquet")) if seeds is None or file.stem in seeds]
    found = pd.concat(map(pd.read_parquet, files))
    n = found.loc[found["method"] == "per person", "n"].sum() / len(files)
    about = f"{len(files)} samples, seeds {int(files[0].stem)} to {int(files[-1].stem)}, {n:.0f} respondents each"
    return found, about


def of_cases(parts: Path) -> str:
    """The model per person of all cases that have samples; of the main one, those that any other has."""
    others = {file.stem for case in CASES if case != "main" for file in (parts / case).glob("*.parquet")}
    found = list[pd.DataFrame]()
    for case, (name, *_) in CASES.items():
        if seeds := {file.stem for file in (parts / case).glob("*.parquet")} & others:
            part, _ = read(parts / case, seeds)
            part = part[part["method"] == "per person"]
            found.append(part.assign(method=f"{name}, {len(seeds)} samples"))
    return table_of(pd.concat(found)) if found else ""


def main() -> None:
    """Go on with the samples, and write the tables of all in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, required=True, help="where the folders of samples are, one per case")
    parser.add_argument("--case", choices=CASES, default="main")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose parts between the markers are replaced")
    args = parser.parse_args()
    (args.parts / args.case).mkdir(parents=True, exist_ok=True)
    lived_in = adults(cells_of(province()))
    for seed in range(args.first, args.first + args.samples):
        path, population = args.parts / args.case / f"{seed:04}.parquet", OF + seed % POPULATIONS
        if not path.exists():
            persons = make_persons(lived_in, CASES[args.case][1], seed=population)
            sampled(persons, seed, args.case).assign(population=population).to_parquet(path)
            print(path, persons, flush=True)
    found, about = read(args.parts / "main")
    texts = {"selective": f"{about}:\n\n{table_of(found)}", "cases": of_cases(args.parts)}
    for part, text in texts.items():
        print(text)
        if args.out:
            write_part(args.out, *MARKS[part], text)


if __name__ == "__main__":
    main()
