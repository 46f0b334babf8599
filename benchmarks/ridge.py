r"""Many covariates: a theme with shrunk coefficients beside all of them in the formula, none, and the horseshoe.

    python benchmarks/ridge.py                  # the fast engine: 40 seeds per case, some minutes
    python benchmarks/ridge.py --nuts 6         # six seeds with the horseshoe too, an hour

Truth: eta = 6 + x'b + u, five covariates of P that count, b = +-0.25, u ~ N(0, 0.3^2), x normal with correlations of
0.5 within groups of five. Respondents per area: Poisson(3), answers of sd 1.5. A row is the mean over seeds; errors and
coverage over all areas, and over those without respondents.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

import buurtsae as bs

CASES = [(100, 35), (100, 105), (400, 35), (400, 105)]
REAL, WITHIN, LEFT = 5, 1.5, 0.3


@dataclass(frozen=True)
class Made:
    """Areas, direct estimates and the truth."""

    areas: bs.Areas
    direct: bs.DirectEstimates
    truth: np.ndarray
    names: tuple[str, ...]


def made(n: int, p: int, seed: int) -> Made:
    """Return one survey."""
    rng = np.random.default_rng([seed, n, p])
    shared = np.repeat(rng.normal(size=(n, p // 5)), 5, axis=1)
    x = np.sqrt(0.5) * (shared + rng.normal(size=(n, p)))
    beta = np.zeros(p)
    beta[rng.choice(p, REAL, replace=False)] = 0.25 * rng.choice([-1, 1], REAL)
    truth = 6 + x @ beta + LEFT * rng.normal(size=n)
    respondents = rng.poisson(3, n)
    variance = WITHIN**2 / np.maximum(respondents, 1)
    y = np.where(respondents > 0, truth + np.sqrt(variance) * rng.normal(size=n), np.nan)
    names = tuple(f"x{k}" for k in range(p))
    table = pd.DataFrame(
        {"code": [f"a{k:03}" for k in range(n)], "y": y, "v": variance} | dict(zip(names, x.T, strict=True))
    )
    areas = bs.Areas.from_frame(table, code="code")
    return Made(
        areas, bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas), truth, names
    )


def models(case: Made) -> dict[str, bs.AreaModel]:
    """Return the models that are compared: rank tells which cannot be."""
    n, p = len(case.truth), len(case.names)
    own, every = bs.IID("area"), "1 + " + " + ".join(case.names)
    scale = bs.HalfCauchy(REAL / (p - REAL) * np.hypot(WITHIN / np.sqrt(3), LEFT) / np.sqrt(n))
    found = {"no covariates": bs.AreaModel("1", [own])}
    if p < (case.direct.sources[0].respondents > 0).sum():
        found["all in the formula"] = bs.AreaModel(every, [own])
    found["ridge"] = bs.AreaModel("1", [own, bs.Ridge("many", case.names)])
    found["horseshoe"] = bs.AreaModel("1", [own, bs.Horseshoe("many", case.names, sd=scale)])
    return found


def scores(fit: bs.Fit, truth: np.ndarray) -> dict[str, float]:
    """Return errors and coverage."""
    draws = fit.draws.flat[:, :, 0]
    error = draws.mean(axis=0) - truth
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    inside, empty = (low <= truth) & (truth <= high), ~fit.design.observed[0, :, 0]
    of = {"rmse": np.sqrt((error**2).mean()), "coverage": 100 * inside.mean()}
    return of | {
        "rmse 0": np.sqrt((error[empty] ** 2).mean()),
        "coverage 0": 100 * inside[empty].mean(),
        "s": fit.seconds,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--nuts", type=int, default=0, help="seeds with the horseshoe; then no others")
    parser.add_argument("--areas", type=int, default=0, help="only cases of so many areas")
    args = parser.parse_args()
    for n, p in [case for case in CASES if args.areas in (0, case[0])]:
        rows = []
        for seed in range(args.nuts or args.seeds):
            case = made(n, p, seed)
            for name, model in models(case).items():
                if name != "horseshoe":
                    fit = bs.fit(model, case.direct, seed=seed, progress=False, draws=2000, hyperparameters=200)
                elif args.nuts:
                    options = {"draws": 500, "tune": 500, "target_accept": 0.95, "cores": 1}
                    fit = bs.fit(model, case.direct, "nuts", seed, progress=False, **options)
                else:
                    continue
                rows.append({"model": name, **scores(fit, case.truth)})
        table = pd.DataFrame(rows).groupby("model", sort=False).mean()
        print(f"\n{n} areas, {p} covariates, {args.nuts or args.seeds} seeds\n{table.round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main()
