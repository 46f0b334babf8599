r"""Simulation-based calibration of effects over time: all parameters drawn, psi and the structured share included.

    eta_at = beta_t + sigma (sqrt(phi) u_a + sqrt(1 - phi) r_a v_a)
                    + change (sqrt(phi_w) [root U]_at + sqrt(1 - phi_w) q_a [root V]_at),

36 areas of a grid, 2018, 2020 and 2024; r_a = (N_0 / N_a)^gamma, q_a with gamma + change_gamma; u and the columns of
U spatial fields, v and V noise; root root' = psi Q^+ + (1 - psi)(I - J / 3), Q the structure of a random walk, as which
beta goes. Truths are made here from that, by pseudo-inverses and not by the package's contrasts. In two areas nobody
ever answers, in four not always.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from uniform import check_uniform

import buurtsae as bs
from buurtsae.engines import laplace
from buurtsae.engines.hyper import NormalScores
from buurtsae.model.design import Design, design
from buurtsae.model.priors import PC, Normal

SIDE, DRAWS, YEARS = 6, 200, (2018, 2020, 2024)
N = SIDE * SIDE
SILENT = {2018: (3, 14, 30, 35), 2020: (5, 14, 35), 2024: (3, 8, 14, 35)}  # areas that nobody of answers
SHOWN = (0, 21, 3, 14)  # of which scores and changes are ranked: two that always answer, one that did once, one never
OF_TERM = ("sigma", "phi", "gamma", "change", "change_phi", "psi", "change_gamma")
OWN = (*(f"BYM2.{name}" for name in OF_TERM), "intercept.change")


def scaled(covariance: np.ndarray) -> np.ndarray:
    """It, with a geometric mean of variances of 1."""
    return np.asarray(covariance / np.exp(np.log(np.diag(covariance)).mean()))


def root(covariance: np.ndarray) -> np.ndarray:
    """A root of it."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def made() -> tuple[Design, np.ndarray]:
    """The arrays of the model, estimates to be replaced, and the covariance of a unit spatial field."""
    rng = np.random.default_rng(3)
    codes = [f"A{k:02}" for k in range(N)]
    path = np.eye(SIDE, k=1) + np.eye(SIDE, k=-1)
    adjacent = np.kron(path, np.eye(SIDE)) + np.kron(np.eye(SIDE), path)
    graph = bs.Graph.from_pairs(codes, [(codes[i], codes[j]) for i, j in np.argwhere(np.triu(adjacent))])
    residents = rng.permutation(np.geomspace(100, 8000, N)).astype(int)
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": residents}), code="code")
    sources = []
    for year in YEARS:
        table = pd.DataFrame({"code": codes, "y": 6.0, "v": 1.5 / rng.integers(1, 15, N)})
        table.loc[list(SILENT[year]), "y"] = np.nan
        direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(direct.sources[0])
    term = bs.OverTime(bs.BYM2(graph, sd=PC(1.5, 0.05)))
    model = bs.AreaModel("1", [term], Normal(6, 1))
    laplacian = np.diag(adjacent.sum(axis=0)) - adjacent
    return design(model, replace(direct, sources=tuple(sources)).by_year()), scaled(np.linalg.pinv(laplacian))


def simulated(
    arrays: Design, scores: NormalScores, spatial: np.ndarray, rng: np.random.Generator
) -> tuple[Design, dict[str, np.ndarray]]:
    """The design with new estimates, and the truth."""
    values = {k: float(v.ravel()[0]) for k, v in scores.hyper(rng.standard_normal(scores.size)).values.items()}
    sigma, phi, gamma, change, mixed, psi, more, national = (values[name] for name in OWN)
    gaps, t = np.diff(np.array(YEARS, dtype=float)), len(YEARS)
    steps = np.diff(np.eye(t), axis=0)
    walk = scaled(np.linalg.pinv(steps.T @ (steps / gaps[:, None])))
    over = root(psi * walk + (1 - psi) * (np.eye(t) - 1 / t))
    (dispersion,) = (effect.dispersion for effect in arrays.effects if effect.name == "BYM2")
    field = root(spatial)

    def effect(phi: float, exponent: float, columns: int) -> np.ndarray:
        by = np.exp(exponent * dispersion)  # of the logarithm of few residents
        u, v = field @ rng.standard_normal((N, columns)), by * rng.standard_normal((N, columns))
        return np.asarray(np.sqrt(phi) * u + np.sqrt(1 - phi) * v)

    beta = 6 + rng.standard_normal() + national * root(walk) @ rng.standard_normal(t)
    eta = beta + sigma * effect(phi, gamma, 1) + change * effect(mixed, gamma + more, t) @ over.T
    sd = np.sqrt(np.einsum("skww->skw", arrays.covariance))
    y = np.where(arrays.observed, eta + sd * rng.standard_normal(sd.shape), 0.0)
    truth = {name: np.array([values[name]]) for name in OWN} | {"beta": beta}
    return replace(arrays, y=y), truth | shown(eta)


def shown(eta: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the last year and changes of some areas, of scores (..., N, 3)."""
    some = eta[..., list(SHOWN), :]
    return {"eta": some[..., 2], "recent": some[..., 2] - some[..., 1], "long": some[..., 2] - some[..., 0]}


def ranks(replicates: int) -> dict[str, np.ndarray]:
    """Ranks between 0 and 1, (replicates, quantities), by name."""
    arrays, spatial = made()
    scores, rng, found = NormalScores.of(arrays), np.random.default_rng(23), dict[str, list[np.ndarray]]()
    for seed in range(replicates):
        data, truth = simulated(arrays, scores, spatial, rng)
        options = laplace.LaplaceOptions(draws=DRAWS, hyperparameters=100, threads=1)
        draws = laplace.sample(data, seed, options, progress=False)
        flat = {name: v.reshape(DRAWS, -1) for name, (_, v) in draws.hyper.items()}
        for name, values in ({name: flat[name] for name in (*OWN, "beta")} | shown(draws.flat)).items():
            below = (values < truth[name]).sum(axis=0)
            # a place within the gap: ranks of a continuous quantity
            found.setdefault(name, []).append((below + rng.uniform(size=len(below))) / (DRAWS + 1))
    return {name: np.array(values) for name, values in found.items()}


def chi_square(found: dict[str, np.ndarray], bins: int = 10) -> dict[str, float]:
    """P-values of equal numbers of ranks in each bin, by quantity."""
    edges = np.linspace(0, 1, bins + 1)
    return {
        f"{name}[{k}]" if values.shape[1] > 1 else name: float(stats.chisquare(np.histogram(row, edges)[0]).pvalue)
        for name, values in found.items()
        for k, row in enumerate(values.T)
    }


@pytest.mark.slow
def test_ranks_are_uniform() -> None:
    check_uniform(ranks(200), 200)
