"""The example over the years, with a truth and respondents of its own in each world: do intervals hold what is true?

    python benchmarks/years_example.py [--worlds 12] [--out docs/years.md]

Buurten, borders, sources and the run file are those of `models/voorbeeldstad_jaren.toml`; in world w the truth and the
surveys of all years are made with seed 100 + w, as `make_voorbeeldstad.py` makes them, and a fit has 1,000 draws.
Coverage of 95% intervals of buurten: levels of each year by respondents in it, changes, the ten buurten that were
redrawn; and of the break, what the new questions of the Burgerpeiling add to scores. Between worlds coverage varies, as
errors go together; +- is twice the standard error of its mean over worlds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from make_voorbeeldstad import BORDERS, COURSE, SOURCES, SPEC, YEARS, earlier
from pages import write_part

import buurtsae as bs
from buurtsae.runs import steps
from buurtsae.simulate.survey import simulate_survey, write_tables
from buurtsae.simulate.waves import redesigns, simulate_waves, truths
from buurtsae.survey.codebook import Codebook

ROOT = Path(__file__).resolve().parents[1]
MARKS = "<!-- example: written by benchmarks/years_example.py -->", "<!-- end of example -->"
RUN = "models/voorbeeldstad_jaren.toml"
FIRST, LAST = YEARS[0], YEARS[-1]
CLASSES, NAMES = [-1, 0, 4, 9, np.inf], ["0", "1-4", "5-9", "10 or more"]
REDRAWN = {new for _, new, _ in BORDERS}


def world(seed: int, areas: bs.Areas, home: Path) -> pd.DataFrame:
    """Return what was true, and what was said, of every figure."""
    waves = simulate_waves(areas, areas.graph(), YEARS, SPEC, COURSE, seed)
    surveys = {f"enquete_{s}_{y}.csv": earlier(areas, waves[y], s, y, seed) for y in YEARS[:-1] for s in SOURCES}
    last = {s: simulate_survey(areas, waves[LAST], Codebook.load(s), n, seed, year=LAST) for s, n in SOURCES.items()}
    surveys |= {f"enquete_{source}.csv": frame for source, frame in last.items()}
    write_tables(home / "data" / "voorbeeldstad", surveys)
    inputs = steps.check(home / RUN)
    fit = bs.fit(inputs.model, inputs.direct, seed=seed, progress=False, draws=1000, hyperparameters=60)
    est = bs.estimate_waves(fit, concept=inputs.concept)
    truth = truths(waves).set_index(["area_code", "measure", "year"])["truth"]
    table = est.table.query("level == 'buurt'")
    level = table.assign(truth=truth.reindex(pd.MultiIndex.from_frame(table[list(truth.index.names)])).to_numpy())
    level["kind"] = pd.cut(level["n_respondents"], CLASSES, labels=NAMES).astype(str)
    wide = truth.unstack("year")
    changes = est.changes.query("level == 'buurt' and lower == lower")
    at = pd.MultiIndex.from_frame(changes[["area_code", "measure"]])
    pair = changes["year_from"].astype(str) + "-" + changes["year_to"].astype(str)
    moved = np.stack([wide.reindex(at)[year].to_numpy() for year in YEARS])
    where = {year: k for k, year in enumerate(YEARS)}
    to, since = (changes[c].map(where).to_numpy() for c in ("year_to", "year_from"))
    rows = np.arange(len(changes))
    changes = changes.rename(columns={"change": "estimate"}).assign(
        truth=moved[to, rows] - moved[since, rows], kind=pair
    )
    changes["wrong"] = ((changes["label"] == "toename") & (changes["truth"] < 0)) | (
        (changes["label"] == "afname") & (changes["truth"] > 0)
    )
    changes["said"] = changes["label"].isin(["toename", "afname"])
    kept = ["area_code", "measure", "kind", "estimate", "lower", "upper", "truth", "said", "wrong"]
    parts = [
        level.assign(figure="level, by respondents"),
        level[level["area_code"].isin(REDRAWN) & (level["year"] == FIRST)].assign(figure="level", kind="redrawn, 2020"),
        changes.assign(figure="change"),
        changes[changes["area_code"].isin(REDRAWN) & (changes["year_from"] == FIRST) & (changes["year_to"] == LAST)]
        .assign(figure="change", kind="redrawn, 2020-2024"),
        breaks(fit, redesigns(waves, COURSE)),
    ]  # fmt: skip
    khat = fit.draws.certificate.khat
    return pd.concat(parts)[["figure", *kept]].assign(world=seed, khat=khat, seconds=fit.seconds)


def breaks(fit: bs.Fit, truth: pd.DataFrame) -> pd.DataFrame:
    """Return what the fit says of the new questions, beside what is true."""
    draws = fit.draws.hyper["break"][1].reshape(-1, len(fit.design.breaks))  # a measure of the concept each
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    found = truth.set_index("measure")["truth"].reindex(fit.direct.subdimensions).to_numpy()
    said = {"lower": low, "estimate": middle, "upper": high, "truth": found}
    return pd.DataFrame({"figure": "break", "kind": "new questions", "measure": fit.direct.subdimensions, **said})


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return coverage, width and errors per kind of figure."""
    table = table.assign(
        covered=table["truth"].between(table["lower"], table["upper"]), width=table["upper"] - table["lower"],
        square=(table["estimate"] - table["truth"]) ** 2,
    )  # fmt: skip
    groups = table.groupby(["figure", "kind"], sort=False)
    by_world = (
        table.groupby(["figure", "kind", "world"], sort=False)["covered"].mean().groupby(level=[0, 1], sort=False)
    )
    worlds = table["world"].nunique()
    return pd.DataFrame({
        "figures": (groups.size() / worlds).round().astype(int),
        "covered, %": (100 * groups["covered"].mean()).round(1),
        "+-": (200 * by_world.std() / np.sqrt(worlds)).round(1),
        "lowest world, %": (100 * by_world.min()).round(1),
        "width": groups["width"].mean().round(2),
        "RMSE": np.sqrt(groups["square"].mean()).round(2),
        "said up or down, %": (100 * groups["said"].mean()).astype(float).round(1),
        "wrongly, %": (100 * groups["wrong"].mean()).astype(float).round(1),
    }).reset_index()  # fmt: skip


def main() -> None:
    """Run the worlds, print the table in the end, and write it after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start, found = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("models", "data/voorbeeldstad"):
            shutil.copytree(ROOT / name, home / name)
        areas = steps.check(home / RUN).areas
        for w in range(1, options.worlds + 1):
            found.append(world(100 + w, areas, home))
            one = found[-1].query("figure != 'break'")
            covered = one["truth"].between(one["lower"], one["upper"]).groupby(one["figure"]).mean().round(3)
            print(f"world {w}: {time.perf_counter() - start:.0f} s, {covered.to_dict()}", flush=True)
            table = pd.concat(found)
            text, khat = summary(table).to_markdown(index=False), table.groupby("world")["khat"].first()
            text += f"\n\n{w} worlds; k-hat {khat.median():.2f} in the middle, {khat.max():.2f} at most."
            if options.out is not None:  # of as many worlds as there are: a long run may be ended
                write_part(options.out, *MARKS, text)
    print(text)


if __name__ == "__main__":
    main()
