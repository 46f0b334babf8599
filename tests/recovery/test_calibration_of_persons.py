r"""Simulation-based calibration over the whole path of persons: draw from the priors, answer, fit, poststratify, rank.

    logit P(yes) = beta + x_a beta_x + BYM2(a) + leeftijd (a walk) + geslacht (a contrast) + herkomst (exchangeable)

A grid of 36 areas, four of which nobody of was asked, 24 cells each, about ten respondents in others, the older the
more often. Ranked are parameters, the expected share of four areas and of a group in one, and the share that would
answer yes of those who live in one (realised). True effects are made here from their definitions, not by the package:
walks by sums of steps, the ICAR field by the pseudo-inverse of the graph's Laplacian; both scaled to a geometric mean
of variances of 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from uniform import check_uniform

import buurtsae as bs
from buurtsae.engines.hyper import NormalScores
from buurtsae.engines.persons_fit import laid
from buurtsae.model.priors import PC, Normal

SIDE, EACH, DRAWS = 6, 10, 200
N = SIDE * SIDE
LEVELS = {"leeftijd": 4, "geslacht": 2, "herkomst": 3}
SILENT = (3, 14, 15, 35)  # areas that nobody of was asked
SHOWN = (0, 21, 14, 35)  # of which shares are ranked: two that were asked, two that were not
SD = PC(1, 0.05)  # exponential with mean 1 / 3, of all standard deviations
INTERCEPT, SLOPE, CONTRAST = Normal(-0.5, 0.7), Normal(0, 0.5), Normal(0, 0.5)
OLD = {"leeftijd": ["le3"]}


def made() -> tuple[bs.Cells, np.ndarray, np.ndarray]:
    """Residents, how many of each cell are asked, and the Laplacian of the grid."""
    rng = np.random.default_rng(5)
    grid = np.indices(tuple(LEVELS.values())).reshape(len(LEVELS), -1).T
    area, level = np.repeat(np.arange(N), len(grid)), np.tile(grid, (N, 1))
    count = rng.poisson(np.repeat(np.geomspace(4, 60, N)[rng.permutation(N)], len(grid))) + 1
    inclined = count * expit(0.6 * level[:, 0] - 1) / np.bincount(area, count)[area] * ~np.isin(area, SILENT)
    asked = np.minimum(rng.poisson(EACH * N * inclined / inclined.sum()), count)
    frame = pd.DataFrame({"code": [f"A{k:02}" for k in range(N)], "population": np.bincount(area, count).astype(int)})
    areas = bs.Areas.from_frame(frame.assign(x=rng.standard_normal(N)), code="code")
    names = {name: tuple(f"{name[:2]}{k}" for k in range(size)) for name, size in LEVELS.items()}
    path = np.eye(SIDE, k=1) + np.eye(SIDE, k=-1)
    adjacent = np.kron(path, np.eye(SIDE)) + np.kron(np.eye(SIDE), path)
    return bs.Cells(areas, names, area, level, count.astype(float)), asked, np.diag(adjacent.sum(axis=0)) - adjacent


def scaled(covariance: np.ndarray) -> np.ndarray:
    """A root of it, scaled to a geometric mean of variances of 1."""
    values, vectors = np.linalg.eigh(covariance / np.exp(np.log(np.diag(covariance)).mean()))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def ranks(replicates: int) -> dict[str, np.ndarray]:
    """Ranks between 0 and 1, (replicates, quantities), by name."""
    cells, asked, laplacian = made()
    codes = list(cells.areas.codes)
    pairs = [(codes[k], codes[j]) for k, j in np.argwhere(np.triu(laplacian) < 0)]
    model = bs.UnitModel(
        "1 + x", terms=[bs.BYM2(bs.Graph.from_pairs(codes, pairs), sd=SD)], intercept=INTERCEPT, coefficient=SLOPE,
        persons=[bs.Ordered("leeftijd", sd=SD), bs.Fixed("geslacht", CONTRAST), bs.Factor("herkomst", sd=SD)],
    )  # fmt: skip
    kept, field = asked > 0, scaled(np.linalg.pinv(laplacian))
    n = asked[kept].astype(float)
    answers = bs.Answers(
        "y", "share", cells.areas, cells.characteristics, cells.area[kept], cells.level[kept], n, n / 2, n
    )
    arrays = laid(model, answers, [cells])[0]
    scores, (by,) = NormalScores.of(arrays), arrays.effects[0].dispersion.T  # logarithm of few residents over many
    steps = np.tril(np.ones((LEVELS["leeftijd"],) * 2), -1)[:, :-1]
    walk = scaled((steps - steps.mean(axis=0)) @ (steps - steps.mean(axis=0)).T)
    rng, found = np.random.default_rng(22), dict[str, list[np.ndarray]]()
    old, residents = cells.inside(OLD), cells.residents()
    for seed in range(replicates):
        values = {
            name: float(v.ravel()[0]) for name, v in scores.hyper(rng.standard_normal(scores.size)).values.items()
        }
        sd = dict(zip(("leeftijd", "herkomst"), rng.exponential(1 / SD.rate, 2), strict=True))
        beta = np.array([INTERCEPT.mean, SLOPE.mean]) + np.array([INTERCEPT.sd, SLOPE.sd]) * rng.standard_normal(2)
        u, v = field @ rng.standard_normal(N), np.exp(values["BYM2.gamma"] * by) * rng.standard_normal(N)
        phi = values["BYM2.phi"]
        e = arrays.x @ beta + values["BYM2.sigma"] * (np.sqrt(phi) * u + np.sqrt(1 - phi) * v)
        f = [sd["leeftijd"] * walk @ rng.standard_normal(len(walk)), np.array([0, CONTRAST.sd * rng.standard_normal()]),
             sd["herkomst"] * rng.standard_normal(LEVELS["herkomst"])]  # fmt: skip
        chance = expit(e[cells.area] + sum(part[cells.level[:, k]] for k, part in enumerate(f)))
        yes = rng.binomial(asked, chance)
        others = rng.binomial((cells.count - asked).astype(int), chance)
        fit = bs.fit_persons(
            model, replace(answers, y=yes[kept].astype(float)), cells, seed=seed, draws=DRAWS, hyperparameters=100,
            threads=1, progress=False,
        )  # fmt: skip
        flat = {name: v.reshape(DRAWS, -1) for name, (_, v) in fit.raw.hyper.items()}
        every = fit.fit_of().draws.scores()[:, list(SHOWN), 0]
        group = fit.fit_of(OLD).draws.scores()[:, :1, 0]
        realised = replace(fit, model=replace(model, estimand="realised")).fit_of().draws.scores()[:, :1, 0]
        share = np.bincount(cells.area, cells.count * chance) / residents
        of_old = np.bincount(cells.area, cells.count * chance * old) / np.bincount(cells.area, cells.count * old)
        lived = np.bincount(cells.area, yes + others) / residents
        of_sex = fit.draws.f[:, fit.stacked.starts[1] + 1, None] - fit.draws.f[:, fit.stacked.starts[1], None]
        told = {"beta": (flat["beta"], beta), "geslacht": (of_sex, f[1][1:])}
        told |= {f"{name}.sigma": (flat[f"{name}.sigma"], np.array([s])) for name, s in sd.items()}
        told |= {name: (flat[name], np.array([values[name]])) for name in ("BYM2.sigma", "BYM2.phi", "BYM2.gamma")}
        told |= {"share": (every, share[list(SHOWN)]), "old": (group, of_old[:1]), "realised": (realised, lived[:1])}
        for name, (drawn, true) in told.items():
            below = (drawn < true).sum(axis=0)
            # a place within the gap: ranks of a continuous quantity
            found.setdefault(name, []).append((below + rng.uniform(size=len(below))) / (DRAWS + 1))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.slow
def test_ranks_are_uniform() -> None:
    check_uniform(ranks(300), 300)
