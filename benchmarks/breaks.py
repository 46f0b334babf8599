"""Breaks in a series and panels: what they do to changes, and whether intervals are right, with truths that are known.

    python benchmarks/breaks.py [--parts redesign panel] [--worlds 40] [--out docs/years.md]

A score has a part that stays (sd 0.5) and one of the year (sd 0.2); the level of the whole is a walk with steps of sd
0.3, a new one in each world.

*Redesign*: waves 2020, 2022 and 2024 of a monitor with 0 to 9 respondents (sd 1.5) in 100 areas, which from 2022 on
reads 0.5 lower. The change of the whole, when the break is ignored; known by a parallel run with a standard error of
0.1; not known, with a prior of sd 0.5; told by another survey of 0 to 5 respondents per area in all waves, whose level
is 0.3 higher, whose scale is 0.9 as wide, and which adds 0.2 per area and wave. *Limit*: the posterior of the monitor's
data when all of that is known, the break and every variance.

*Panel*: waves 2022 and 2024 of 8 respondents in 400 areas, six in ten of whom are in both, with a correlation of 0.7.
The changes of areas and of the whole, when persons are known and when not.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs
from buurtsae.survey.scales import Scores

MARKS = {part: (f"<!-- {part}: written by benchmarks/breaks.py -->", f"<!-- end of {part} -->")
         for part in ("redesign", "panel")}  # fmt: skip
SD, BREAK, SE = 1.5, -0.5, 0.1
TERMS = [bs.OverTime(bs.IID("area"))]
OPTIONS: dict[str, Any] = {"draws": 1000, "hyperparameters": 150, "threads": 1, "progress": False}


def world(rng: Any, n: int, waves: int) -> tuple[bs.Areas, np.ndarray]:
    """Areas, and their scores in waves, (N, T)."""
    level = 6 + 0.3 * rng.standard_normal(waves).cumsum()
    truth = level + 0.5 * rng.standard_normal((n, 1)) + 0.2 * rng.standard_normal((n, waves))
    codes = [f"A{k:03}" for k in range(n)]
    return bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 500}), code="code"), truth


def source(areas: bs.Areas, name: str, year: int, read: np.ndarray, asked: np.ndarray, rng: Any) -> bs.DirectEstimates:
    """Direct estimates of so many respondents per area about what a source reads there."""
    v = SD**2 / np.maximum(asked, 1)
    y = np.where(asked > 0, read + np.sqrt(v) * rng.standard_normal(len(read)), np.nan)
    table = pd.DataFrame({"code": areas.codes, "y": y, "v": v})
    made = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year)
    return replace(made, sources=(replace(made.sources[0], source=name),))


def scored(fit: bs.Fit, truth: np.ndarray, first: int, second: int, of: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the change of the whole, and of areas, of draws."""
    step, true = fit.draws.flat[..., second] - fit.draws.flat[..., first], truth[:, second] - truth[:, first]
    rows = []
    for figure, drawn, known in (("whole", step.mean(axis=1)[:, None], true.mean()[None]), ("areas", step, true)):
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        rows.append({**of, "of": figure, "bias": (drawn.mean(axis=0) - known).mean(),
                     "square": ((drawn.mean(axis=0) - known) ** 2).mean(), "width": (high - low).mean(),
                     "covered": 100 * ((known >= low) & (known <= high)).mean()})  # fmt: skip
    return rows


def redesign(seed: int) -> list[dict[str, Any]]:
    """Changes of one world, by what is known of the break."""
    rng, years = np.random.default_rng([seed, 31]), (2020, 2022, 2024)
    (areas, truth), n, rows = world(rng, 100, 3), 100, []
    monitor = [
        source(areas, "monitor", year, truth[:, t] + BREAK * (t > 0), rng.integers(0, 10, n), rng)
        for t, year in enumerate(years)
    ]
    read = 6.3 + 0.9 * (truth - 6) + 0.2 * rng.standard_normal(truth.shape)
    other = [source(areas, "other", year, read[:, t], rng.integers(0, 6, n), rng) for t, year in enumerate(years)]
    parallel = bs.Normal(round(BREAK + SE * rng.standard_normal(), 3), SE)
    for label, sources, breaks in (
        ("ignored", monitor, []),
        ("parallel run", monitor, [bs.Break("monitor", 2022, prior=parallel)]),
        ("prior of sd 0.5", monitor, [bs.Break("monitor", 2022, prior=bs.Normal(0, 0.5))]),
        ("another source", [*monitor, *other], [bs.Break("monitor", 2022)]),
        ("another source, ignored", [*monitor, *other], []),
    ):
        model = bs.AreaModel("1", TERMS, breaks=breaks)
        fit = bs.fit(model, bs.joined(*sources).by_year(), seed=seed, **OPTIONS)
        for first, second in ((0, 1), (1, 2)):
            of = {"the break": label, "change": f"{years[first]}-{years[second]}"}
            rows += scored(fit, truth, first, second, of)[:1]
    for first, second in ((0, 1), (1, 2)):
        of = {"the break": "limit", "change": f"{years[first]}-{years[second]}"}
        rows.append({**of, **limit(areas, bs.joined(*monitor), truth, first, second)})
    return rows


def limit(areas: bs.Areas, data: bs.DirectEstimates, truth: np.ndarray, first: int, second: int) -> dict[str, Any]:
    """The row of the change of the whole by dense algebra, of data without break, all parameters known."""
    (n, waves), since = truth.shape, np.arange(truth.shape[1]) + 1
    level = 4 + 0.3**2 * np.minimum.outer(since, since)
    k = np.kron(np.ones((n, n)), level) + np.kron(np.eye(n), 0.5**2 + 0.2**2 * np.eye(waves))
    y, v = np.full((n, waves), np.nan), np.ones((n, waves))
    for t, one in enumerate(data.sources):
        at = areas.codes.get_indexer(one.codes)
        y[at, t], v[at, t] = one.mean[:, 0] - BREAK * (t > 0), one.variance[:, 0, 0]
    seen = np.flatnonzero(np.isfinite(y).ravel())
    of_change = np.kron(np.ones(n) / n, np.eye(waves)[second] - np.eye(waves)[first])
    to = k[seen] @ of_change
    gain = np.linalg.solve(k[np.ix_(seen, seen)] + np.diag(v.ravel()[seen]), to)
    off = gain @ (y.ravel()[seen] - 6) - (truth[:, second] - truth[:, first]).mean()
    half = 1.96 * np.sqrt(of_change @ k @ of_change - to @ gain)
    return {"of": "whole", "bias": off, "square": off**2, "width": 2 * half, "covered": 100.0 * (abs(off) < half)}


def panel(seed: int) -> list[dict[str, Any]]:
    """Changes of one world, with persons that are known and that are not."""
    rng, persons, share, stays = np.random.default_rng([seed, 32]), 8, 0.6, 0.7
    areas, truth = world(rng, 400, 2)
    area = np.repeat(np.arange(len(truth)), persons)
    again, lasting, waves = rng.uniform(size=len(area)) < share, rng.standard_normal(len(area)), []
    for t, year in enumerate((2022, 2024)):
        stay = np.where(again | (t == 0), lasting, rng.standard_normal(len(area)))
        y = truth[area, t] + SD * (np.sqrt(stays) * stay + np.sqrt(1 - stays) * rng.standard_normal(len(area)))
        number = np.where(again | (t == 0), np.arange(len(area)), -1 - np.arange(len(area)))
        frame = pd.DataFrame({"area_code": areas.codes[area], "weight": 1.0, "stratum": "all", "y": y})
        waves.append(Scores(frame.assign(id=number.astype(str)), "panel", year, ("y",), level=areas.base))
    rows = []
    for label, scores in (
        ("known", waves),
        ("not known", [replace(s, frame=s.frame.drop(columns="id")) for s in waves]),
    ):
        data = replace(bs.direct(scores, areas), scale=bs.Scale()).by_year()
        fit = bs.fit(bs.AreaModel("1", TERMS), data, seed=seed, **OPTIONS)
        rows += scored(fit, truth, 0, 1, {"persons": label})
    return rows


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(MARKS), choices=list(MARKS))
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for part in arguments.parts:
        rows = []
        for world in range(arguments.worlds):
            rows += {"redesign": redesign, "panel": panel}[part](world)
            print(part, world, file=sys.stderr, flush=True)
        by = ["the break", "change"] if part == "redesign" else ["persons", "of"]
        table = pd.DataFrame(rows).groupby(by, sort=False).agg(
            bias=("bias", "mean"), RMSE=("square", lambda s: np.sqrt(s.mean())), width=("width", "mean"),
            coverage=("covered", "mean"),
        ).round(2).reset_index().rename(columns={"coverage": "coverage, %"})  # fmt: skip
        text = f"{arguments.worlds} worlds:\n\n{table.to_markdown(index=False)}"
        write_part(arguments.out, *MARKS[part], text) if arguments.out else print(text)


if __name__ == "__main__":
    main()
