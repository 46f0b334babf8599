"""Official estimates under repeated sampling: 200 surveys from one fixed population of known persons.

    python benchmarks/official.py [--surveys 200] [--others 20] [--work out/official] [--out docs/official.md]

The population are the residents of Zeeland (453 buurten of 2024, peninsulas and islands; where the folder `shared` is
absent, of voorbeeldstad), each with answers to all items, made once. Each survey is a stratified random sample without
replacement (gemeente by age), 1 in 100 residents. Only the sample varies: not the population, not the covariates.
The truth is the estimand eta, the expected score of the residents. Beside it, coverage of the mean score that the
residents of the made population happen to have: in a buurt of 50 people its standard deviation about eta is a quarter
of a point, about which a model for eta does not speak.

Three sets of figures from each fit: as the model gives them; benchmarked to the direct estimates of the gemeenten with
200 respondents and more, with their standard errors, from the same respondents (Jeffrey's rule); and benchmarked to
what a register would say of every gemeente and the whole, exactly.

Then `others` surveys of populations whose truth is one that the model does not say (`truths.py`), by class of
respondents and residents. A few minutes: `--surveys 8 --others 4 --work out/short`.
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import truths
from pages import write_part

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import fit
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.model.priors import PC
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.simulate.population import TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[1]
NL = ROOT.parent / "shared" / "data" / "nl"
MARKS = "<!-- surveys: written by benchmarks/official.py -->", "<!-- end of surveys -->"
SOURCE, SEED, RATE, LARGE = "veiligheidsmonitor", 2024, 1 / 100, 200
COVARIATES = ("stedelijkheid", "pct_koopwoningen")
EFFECTS = (0.5, 1.0)
CLASSES = ["0", "1-5", "6-20", "over 20"]
ROUNDING = 1e-9  # an exact benchmark is its own interval
RESIDENTS = ["10-50", "51-250", "251-1,000", "over 1,000"]
OPTIONS = {"threads": 1, "draws": 2000, "hyperparameters": 200}  # two surveys at a time
VARIANTS = ("model", "own direct figures of large gemeenten", "exact figures of all gemeenten")
KEPT = [
    *("level", "area_code", "measure", "estimate", "sd", "lower", "upper", "direct", "n_respondents", "label"),
    "population",
]


@cache
def population(work: Path, made: str = "as the model") -> tuple[Areas, pd.DataFrame, pd.DataFrame]:
    """Return areas, all residents with their answers, and the truth at every level."""
    if NL.is_dir():
        tables = [(NL / "kwb_2024_buurt.csv", "buurtcode")]
        where = {"provinciecode": "PV29"}
        areas = Areas.read(NL / "buurt_2024.parquet", 2024, tables=tables, where=where, region="Zeeland")
    else:
        made = ROOT / "data" / "voorbeeldstad"
        areas = Areas.read(made / "buurten.gpkg", 2024, tables=[(made / "kerncijfers.csv", "buurtcode")])
    spec = TruthSpec(covariates=COVARIATES, effects=EFFECTS, departure=truths.TRUTHS[made])
    truth = simulate_truth(areas, areas.graph(), spec, SEED)
    people, codebook = work / f"residents{suffix(made)}.parquet", Codebook.load(SOURCE)
    if not people.exists():
        everyone = int(truth.persons.sum())
        simulate_survey(areas, truth, codebook, everyone, SEED).to_parquet(people)
    residents = pd.read_parquet(people)
    scores = Concept.load().score(Survey.read(people, SOURCE, areas.year, strata="stratum"))
    parts = list(Concept.load().subdimensions)
    mean = scores.frame.groupby("area_code")[parts].mean().reindex(areas.codes)
    matrix, known = Concept.load().matrix_of(parts), []
    for level in areas.levels:
        codes, weights = areas.aggregation(level)
        wide = {
            name: pd.DataFrame(weights @ np.nan_to_num(buurten) @ matrix.to_numpy().T, codes, matrix.index).stack()
            for name, buurten in (("truth", truth.scores), ("realised", mean.to_numpy()))
        }
        known.append(pd.DataFrame(wide).rename_axis(["area_code", "measure"]).reset_index().assign(level=level))
    return areas, residents, pd.concat(known, ignore_index=True)


def suffix(made: str) -> str:
    """Return what the files of a kind of truth end with."""
    number = list(truths.TRUTHS).index(made)
    return f"_{number}" if number else ""


def sample(residents: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return a stratified sample without replacement: the same share of each stratum, two at least."""
    rng = np.random.default_rng([SEED, seed])
    chosen = []
    for _, rows in residents.groupby("stratum"):
        n = max(2, round(RATE * len(rows)))
        chosen.append(rows.iloc[np.sort(rng.choice(len(rows), n, replace=False))].assign(gewicht=len(rows) / n))
    return pd.concat(chosen).sort_index()


def replicate(seed: int, work: Path, made_as: str = "as the model") -> Path:
    """Make, fit and estimate one survey; return the file of its figures beside the truth."""
    kept = work / f"survey_{seed}{suffix(made_as)}.parquet"
    if kept.exists():
        return kept
    areas, residents, truth = population(work, made_as)
    file = work / f"sample_{seed}{suffix(made_as)}.parquet"
    sample(residents, seed).to_parquet(file)
    concept = Concept.load()
    scores = concept.score(Survey.read(file, SOURCE, areas.year, strata="stratum"))
    terms = (BYM2(areas.graph(), sd=PC(3.0, 0.05)), IID("gemeente"))
    model = AreaModel(f"1 + {' + '.join(COVARIATES)}", terms, missing="impute")
    found = fit(model, direct([scores], areas), "laplace", seed, progress=False, **OPTIONS)
    parts = found.draws.subdimensions
    levels = truth[truth["level"].isin(["gemeente", "land"]) & truth["measure"].isin(parts)]
    exact = Benchmarks.read(levels.rename(columns={"truth": "value"}), areas, concept, parts, exact=True)
    own = Benchmarks.of_direct(found, "gemeente", concept, min_respondents=LARGE)
    made: list[Estimates] = [estimate(found)]
    made += [estimate(benchmark(found, to, covariance="posterior")) for to in (own, exact)]
    tables = []
    for name, est in zip(VARIANTS, made, strict=True):
        table = est.table[KEPT].merge(truth, on=["level", "area_code", "measure"], validate="one_to_one")
        between = table[table["level"] == "buurt"].groupby("measure")["truth"].std()
        tables.append(table.assign(variant=name, survey=seed, between=table["measure"].map(between)))
    certificate = found.draws.certificate
    out = pd.concat(tables).assign(khat=certificate.khat, strained=made[1].benchmarked.strain["strains"].mean())
    out = out.assign(made=made_as)
    out.to_parquet(part := kept.with_name(f"part_{kept.name}"))
    os.replace(part, kept)
    file.unlink()
    print(f"survey {seed}: {found!r}", flush=True)
    return kept


def figures(rows: pd.DataFrame) -> pd.Series:
    """Coverage, bias and errors of a group of figures."""
    error = rows["estimate"] - rows["truth"]
    lower, upper = rows["lower"] - ROUNDING, rows["upper"] + ROUNDING
    seen = rows["direct"].notna()
    own = (rows["direct"] - rows["truth"])[seen]
    ratio = np.sqrt((error[seen] ** 2).mean() / (own**2).mean()) if seen.any() else np.nan
    return pd.Series(
        {
            "figures": len(rows),
            "coverage 95%": 100 * rows["truth"].between(lower, upper).mean(),
            "of the realised mean": 100 * rows["realised"].between(lower, upper).mean(),
            "bias": error.mean(),
            "RMSE": np.sqrt((error**2).mean()),
            "RMSE / direct": ratio,
        }
    )


def report(table: pd.DataFrame) -> str:
    """Return the tables in Markdown."""
    table = table[table["label"] != "niet_publiceren"]
    of_all = table[(table["level"] == "buurt") & (table["variant"] == VARIANTS[0])]
    table = table[table["made"] == "as the model"]
    buurt = table[table["level"] == "buurt"].copy()
    size = pd.cut(buurt["n_respondents"], [-1, 0, 5, 20, np.inf], labels=CLASSES)
    formats = ("", "", ".0f", ".1f", ".1f", ".3f", ".3f", ".2f")
    of_level = table.groupby(["variant", "level"], sort=False).apply(figures).reset_index()
    buurt["variant"] = pd.Categorical(buurt["variant"], VARIANTS)
    of_size = buurt.groupby(["variant", size], observed=True).apply(figures).reset_index()
    of_size = of_size.rename(columns={"n_respondents": "respondents"})
    of_residents = buurt[buurt["variant"] == VARIANTS[0]]
    residents = pd.cut(of_residents["population"], [9, 50, 250, 1000, np.inf], labels=RESIDENTS)
    of_residents = of_residents.groupby(residents, observed=True).apply(figures).reset_index()
    of_residents = of_residents.rename(columns={"population": "residents"})
    reliable = buurt[buurt["label"] == "betrouwbaar"]
    promise = np.sqrt(0.5) * reliable["between"]
    error = reliable["estimate"] - reliable["truth"]
    label = pd.DataFrame(
        {
            "variant": reliable["variant"],
            "error / promised": (error / promise) ** 2,
            "error / sd": (error / reliable["sd"]) ** 2,
            "within": abs(error) < 1.96 * promise,
        }
    )
    labels = label.groupby("variant", sort=False).mean()
    labels = labels.assign(**{c: np.sqrt(labels[c]) for c in ("error / promised", "error / sd")})
    labels["within"] *= 100
    labels = labels.rename(
        columns={
            "error / promised": "RMSE over the promised sd",
            "error / sd": "RMSE over the posterior sd",
            "within": "% within 1.96 promised sds",
        }
    )
    surveys, khat = table["survey"].nunique(), table.groupby("survey")["khat"].first()
    text = (
        f"{surveys} surveys from one population of {buurt['area_code'].nunique()} buurten that are published; k-hat at "
        f"most {khat.max():.2f}; {100 * table.groupby('survey')['strained'].first().mean():.1f}% of the benchmarks "
        "by own\ndirect figures strain the model (|z| > 2). All measures together.\n\n"
        + of_level.to_markdown(index=False, floatfmt=formats)
        + "\n\nBuurten by respondents:\n\n"
        + of_size.to_markdown(index=False, floatfmt=formats)
        + "\n\nBuurten by residents, as the model gives them:\n\n"
        + of_residents.to_markdown(index=False, floatfmt=formats[1:])
        + "\n\nBuurten labelled `betrouwbaar`. The label promises a standard error below sqrt(0.5) of the standard "
        "deviation between\nbuurten:\n\n"
        + labels.reset_index().to_markdown(index=False, floatfmt=".2f")
        + "\n\nOther populations, as the model gives them:\n\n"
        + truths.markdown(of_all)
    )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=200)
    parser.add_argument("--others", type=int, default=20, help="surveys of each of the other kinds of truth")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "official")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    numbers = {"as the model": args.surveys, **dict.fromkeys(truths.OTHERS, args.others)}
    asked = [(args.first + k, args.work, made) for made, number in numbers.items() for k in range(number)]
    for made in dict.fromkeys(made for *_, made in asked):
        population(args.work, made)
    with get_context("spawn").Pool(2) as pool:
        files = pool.starmap(replicate, asked, chunksize=1)
    text = report(pd.concat([pd.read_parquet(f) for f in files], ignore_index=True))
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
