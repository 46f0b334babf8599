"""Benchmarking and aggregation against R's hbsae 1.2 (R 4.2.2), from its estimates and covariances.

hbsae's `bench` conditions on R'(N theta) = rhs with the covariance of the estimates: estimates m + V C'(C V C')^{-1}
(t - C m); its MSEs are "exact": V - V C'(C V C')^{-1} C V; "model": MSE + (change)^2; "no": unchanged. Its lambda is 0.
Ours are the moments of draws with exactly the given moments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp

from buurtsae.estimates.benchmark.constraints import Nearest, gain
from buurtsae.scale import Scale
from buurtsae.sparse import Floats

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]
DRAWS = 200  # any number above the 50 areas
CLOSE = {"rtol": 1e-9, "atol": 0.0}  # 50 areas, estimates of hundreds, in double precision


@dataclass(frozen=True)
class Classic:
    cases: dict[str, dict]
    residents: Floats
    mean: Floats
    covariance: Floats
    draws: Floats

    def expected(self, name: str) -> dict[str, Floats]:
        return {k: np.array(v) for k, v in self.cases[name]["expected"].items() if k != "area"}

    def constraint(self, name: str) -> tuple[Floats, Floats]:
        """C (K, 50) on means, and t."""
        given = self.cases[name]["inputs"]
        of = np.array(given["R"], dtype=float) if "R" in given else np.ones((len(self.residents), 1))
        return of.T * self.residents, np.atleast_1d(given["rhs"])

    def conditioned(self, name: str) -> Floats:
        c, t = self.constraint(name)
        constrained = self.draws @ c.T
        centred = constrained - constrained.mean(axis=0)
        n = len(self.draws) - 1
        update = gain(self.draws.T @ centred / n, centred.T @ centred / n)
        return self.draws + (t - constrained) @ update.T


@pytest.fixture(scope="module")
def classic(shared: Path) -> Classic:
    text = (shared / "golden" / "classic" / "hbsae.json").read_text(encoding="utf-8")
    cases = {c["name"]: c for c in json.loads(text)["cases"]}
    given = cases["hbsae_bench_total_exact"]["inputs"]
    mean, covariance = np.array(given["est_input"]), np.array(given["cov_input"])
    z = np.random.default_rng(1).normal(size=(DRAWS, len(mean)))
    z = np.linalg.qr(z - z.mean(axis=0))[0] * np.sqrt(DRAWS - 1)  # sample mean 0 and covariance I
    draws = mean + z @ la.cholesky(covariance)
    return Classic(cases, np.array(given["Narea"], dtype=float), mean, covariance, draws)


def test_the_draws_have_the_moments_of_the_input(classic: Classic) -> None:
    np.testing.assert_allclose(classic.draws.mean(axis=0), classic.mean, **CLOSE)
    np.testing.assert_allclose(np.cov(classic.draws.T), classic.covariance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ["total", "area2"])
def test_conditioning_gives_the_estimates_and_exact_mses_of_bench(classic: Classic, case: str) -> None:
    name = f"hbsae_bench_{case}_exact"
    new, expected = classic.conditioned(name), classic.expected(name)
    np.testing.assert_allclose(new.mean(axis=0), expected["est"], **CLOSE)
    np.testing.assert_allclose(new.var(axis=0, ddof=1), expected["mse"], **CLOSE)
    c, t = classic.constraint(name)
    np.testing.assert_allclose(new @ c.T, np.broadcast_to(t, (DRAWS, len(t))), rtol=1e-12)


@pytest.mark.parametrize("case", ["total", "area2"])
def test_mean_squared_change_from_the_draws_gives_the_model_mses(classic: Classic, case: str) -> None:
    name = f"hbsae_bench_{case}_model"
    expected, estimate = classic.expected(name), classic.conditioned(name).mean(axis=0)
    np.testing.assert_allclose(estimate, expected["est"], **CLOSE)
    squared = ((classic.draws - estimate) ** 2).sum(axis=0)
    # the mean of squares with n - 1 counts the squared change n / (n - 1) times
    model = (squared - (estimate - classic.mean) ** 2) / (DRAWS - 1)
    np.testing.assert_allclose(model, expected["mse"], **CLOSE)


@pytest.mark.parametrize("case", ["total", "area2"])
def test_without_an_mse_method_the_mses_are_those_before(classic: Classic, case: str) -> None:
    expected = classic.expected(f"hbsae_bench_{case}_no")
    np.testing.assert_allclose(classic.conditioned(f"hbsae_bench_{case}_no").mean(axis=0), expected["est"], **CLOSE)
    np.testing.assert_allclose(classic.draws.var(axis=0, ddof=1), expected["mse"], **CLOSE)


@pytest.mark.parametrize("case", ["total", "area2"])
def test_minimum_distance_in_the_axes_of_the_covariance_gives_the_same_draws(classic: Classic, case: str) -> None:
    """With V = E diag(l) E', distance by V is distance by the diagonal l in the coordinates E'theta."""
    name = f"hbsae_bench_{case}_exact"
    c, t = classic.constraint(name)
    c, t = c / classic.residents.sum(), t / classic.residents.sum()  # tolerances are of figures, not of totals
    values, axes = np.linalg.eigh(classic.covariance)
    nearest = Nearest(sp.csr_array(c @ axes), values, Scale())
    new = nearest(classic.draws @ axes, np.tile(t, (DRAWS, 1))) @ axes.T
    np.testing.assert_allclose(new, classic.conditioned(name), **CLOSE)


def test_aggregation_weighs_by_residents(classic: Classic) -> None:
    expected = classic.expected("hbsae_aggr_global")
    total = classic.draws @ (classic.residents / classic.residents.sum())
    np.testing.assert_allclose(total.mean(), expected["est"], **CLOSE)
    np.testing.assert_allclose(total.var(ddof=1), expected["mse"], **CLOSE)
