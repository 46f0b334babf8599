"""Coverage of areas by a model of persons: where the standard deviation is a draw of its prior, and where it is not.

    python benchmarks/persons_coverage.py [--worlds 60] [--first 301] [--out docs/persons.md]

A grid of 64 areas, about 12 respondents each, who respond more often the older they are. Of a person in area a

    logit P(yes) = -0.5 + u[a] + f[herkomst] + g[geslacht],   u ~ N(0, sd^2), f ~ N(0, s^2), g ~ N(0, 0.3^2),

with s a draw of its prior, and sd too (*prior*) or 0.43. The truth of an area is the mean of P(yes) over its residents;
coverage is that of 95% intervals, its error over worlds. All rows are of the same seeds: worlds differ by sd only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

import buurtsae as bs
from buurtsae.model.priors import PC, LogNormal, Prior

MARKS = "<!-- coverage: written by benchmarks/persons_coverage.py -->", "<!-- end of coverage -->"
AREAS, EACH, FIXED = 64, 12, 0.43
LEVELS = {"leeftijd": 5, "geslacht": 2, "herkomst": 3}
DEFAULT = PC(1, 0.05)  # exponential with mean 1 / 3; of `Factor` too
CASES: list[tuple[str, Prior]] = [
    ("prior", DEFAULT),
    ("0.43", DEFAULT),
    ("0.43", PC(3, 0.05)),
    ("0.43", LogNormal(-1, 0.7)),
]


def world(seed: int, true: str) -> tuple[bs.Answers, bs.Cells, np.ndarray]:
    """Return what is asked, who lives where, and the true share of each area."""
    rng = np.random.default_rng([seed, 12])
    sd, s = rng.exponential(1 / DEFAULT.rate, 2)
    u = (sd if true == "prior" else FIXED) * rng.standard_normal(AREAS)
    f, g = s * rng.standard_normal(LEVELS["herkomst"]), 0.3 * np.array([0.0, rng.standard_normal()])
    grid = np.indices(tuple(LEVELS.values())).reshape(len(LEVELS), -1).T
    area, level = np.repeat(np.arange(AREAS), len(grid)), np.tile(grid, (AREAS, 1))
    size = (1 + rng.gamma(2, 15, (AREAS, 1))) * rng.dirichlet(np.full(len(grid), 3.0), AREAS) * len(grid) / 3
    count = rng.poisson(size).ravel()
    chance = expit(-0.5 + u[area] + f[level[:, 2]] + g[level[:, 1]])
    responds = count * expit(0.4 * (level[:, 0] - 2))
    asked = np.minimum(rng.multinomial(AREAS * EACH, responds / responds.sum()), count)
    person = np.repeat(np.arange(len(area)), asked)
    yes = rng.uniform(size=len(person)) < chance[person]
    residents = np.bincount(area, count)
    frame = pd.DataFrame(level.astype(str), columns=list(LEVELS)).assign(code=[f"A{k:02}" for k in area])
    known = pd.DataFrame({"code": sorted(set(frame["code"])), "population": residents.astype(int)})
    cells = bs.Cells.from_frame(frame.assign(aantal=count), bs.Areas.from_frame(known, code="code"), area="code")
    answers = bs.Answers.of(frame.iloc[person].assign(ja=100.0 * yes), "ja", cells, area="code")
    return answers, cells, np.bincount(area, count * chance) / residents


def covered(seed: int, true: str, prior: Prior) -> tuple[float, float]:
    """Return the coverage of one world, and the mean squared error over the posterior variance."""
    answers, cells, truth = world(seed, true)
    model = bs.UnitModel(
        "1", terms=[bs.IID("area", sd=prior)], persons=[bs.Fixed("geslacht"), bs.Factor("herkomst", sd=DEFAULT)]
    )
    found = bs.fit_persons(model, answers, cells, draws=1000, hyperparameters=60, seed=seed, progress=False)
    drawn = found.fit_of().draws
    scores = drawn.scores()[:, :, 0]
    truth = drawn.outcome.scale.upper * truth
    low, high = np.quantile(scores, [0.025, 0.975], axis=0)
    z = (scores.mean(axis=0) - truth) / scores.std(axis=0)
    return float(((low < truth) & (truth < high)).mean()), float((z**2).mean())


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--first", type=int, default=301)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for true, prior in CASES:
        found = np.array([covered(seed, true, prior) for seed in range(args.first, args.first + args.worlds)])
        share, z2 = found.T
        rows.append({
            "true sd": true, "prior of the sd": str(prior.words), "coverage, %": f"{100 * share.mean():.1f}",
            "its error": f"{100 * share.std(ddof=1) / np.sqrt(len(share)):.1f}",
            "least of a world, %": f"{100 * share.min():.0f}", "worlds below 80%": f"{(share < 0.8).sum()}",
            "z2": f"{z2.mean():.2f}",
        })  # fmt: skip
        print(rows[-1], flush=True)
    about = f"{args.worlds} worlds, seeds {args.first} to {args.first + args.worlds - 1}:"
    text = f"{about}\n\n{pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)}"
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
