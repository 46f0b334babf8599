r"""The Laplace approximation for counts against NUTS: a binomial model with BYM2 effects on a small graph.

    y_a ~ Binomial(n_a, expit(e_a)),  e_a = b + sigma (sqrt(1 - phi) v_a + sqrt(phi) u_a),
    b ~ N(0, 2^2), sigma exponential of rate 1, phi uniform.

n are effective numbers of respondents, some zero; one buurt is an island. NUTS samples all of it; the fast path
integrates e by Laplace and weighs (sigma, phi) by importance, as engine laplace does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from buurtsae.areas.icar import IcarStructure, icar_structure
from buurtsae.draws import convergence
from buurtsae.engines.counts import Counted
from buurtsae.engines.integration import Progress, integrate
from buurtsae.engines.mode import Mode, mode
from buurtsae.engines.nuts import quiet_imports
from buurtsae.latent.conditional import Loadings
from buurtsae.latent.field import Field, field
from buurtsae.latent.structure import Structure
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.priors import PC, Beta

SIDE = 8
pytestmark = [pytest.mark.nuts, pytest.mark.slow, pytest.mark.xdist_group("engines")]


@pytest.fixture(scope="module")
def icar() -> IcarStructure:
    """A grid of 8 by 8, the last corner cut off."""
    cell = np.arange(SIDE**2).reshape(SIDE, SIDE)
    edges = np.vstack([np.c_[cell[:-1].ravel(), cell[1:].ravel()], np.c_[cell[:, :-1].ravel(), cell[:, 1:].ravel()]])
    return icar_structure(SIDE**2, edges[(edges != SIDE**2 - 1).all(axis=1)])


@pytest.fixture(scope="module")
def data(icar: IcarStructure) -> Counted:
    rng = np.random.default_rng(4)
    x, y = np.divmod(np.arange(SIDE**2), SIDE)
    e = -0.5 + 0.8 * np.sin(x / 2) + 0.5 * np.cos(y / 2) + rng.normal(0, 0.3, SIDE**2)
    n = np.where(rng.uniform(size=SIDE**2) < 0.2, 0, rng.integers(1, 40, SIDE**2)).astype(float)
    y = rng.binomial(n.astype(int), 1 / (1 + np.exp(-e)))[:, None].astype(float)
    return Counted(Binomial(), y, n[:, None], np.zeros(SIDE**2))


@dataclass(frozen=True)
class Target:
    """p(xi | y) with e integrated out: xi are normal scores of sigma and phi."""

    latent: Field
    data: Counted
    size: int = 2
    exact_gradient: bool = True
    vanishing: tuple[tuple[int, np.ndarray], ...] = ()

    def hyper(self, xi: np.ndarray) -> tuple[float, float, float, float]:
        (sigma, d_sigma), (phi, d_phi) = (q(xi[k : k + 1]) for k, q in enumerate(QUANTILES))
        return float(sigma[0]), float(d_sigma[0]), float(phi[0]), float(d_phi[0])

    def at(self, xi: np.ndarray) -> Mode:
        sigma, _, phi, _ = self.hyper(xi)
        loadings = Loadings(np.array([[[sigma * np.sqrt(phi)]]]), np.array([[[sigma * np.sqrt(1 - phi)]]]))
        return mode(self.latent, self.data, loadings)

    def log_posterior(self, xi: np.ndarray) -> float:
        return self.at(xi).log_likelihood - 0.5 * float(xi @ xi)

    def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
        found = self.at(xi)
        sigma, d_sigma, phi, d_phi = self.hyper(xi)
        slope = found.gradient
        of_u, of_v = float(slope.terms[0, 0, 0]), float(slope.loose[0, 0, 0])
        by_sigma = of_u * np.sqrt(phi) + of_v * np.sqrt(1 - phi)
        by_phi = sigma * (of_u / np.sqrt(phi) - of_v / np.sqrt(1 - phi)) / 2
        return found.log_likelihood - 0.5 * float(xi @ xi), np.array([by_sigma * d_sigma, by_phi * d_phi]) - xi


QUANTILES = (PC(1.0, float(np.exp(-1.0))).quantile, Beta().quantile)  # exponential of rate 1, and uniform


@pytest.fixture(scope="module")
def target(icar: IcarStructure, data: Counted) -> Target:
    n = SIDE**2
    structure = Structure((sp.csr_array(icar.precision),), icar.means)
    return Target(field([(structure, sp.eye_array(n, format="csr"))], np.full((n, 1), 2.0), np.zeros(n), 1), data)


def test_the_gradient(target: Target) -> None:
    xi, step = np.array([0.3, -0.4]), 1e-5
    numeric = [
        (target.log_posterior(xi + step * e) - target.log_posterior(xi - step * e)) / (2 * step) for e in np.eye(2)
    ]
    np.testing.assert_allclose(target.with_gradient(xi)[1], numeric, atol=1e-5)


def sampled(icar: IcarStructure, data: Counted) -> Any:
    """Draws of NUTS: e, sigma and phi."""
    with quiet_imports():
        import nutpie
        import pymc as pm
        import pytensor.tensor as pt

        generalised = np.linalg.pinv(icar.precision.toarray())
        values, vectors = np.linalg.eigh(generalised)
        root = vectors * np.sqrt(np.maximum(values, 0.0))  # u = root z: the sum to zero is exact
        seen = np.flatnonzero(data.size[:, 0] > 0)
        with pm.Model() as model:
            sigma, phi = pm.Exponential("sigma", 1.0), pm.Uniform("phi")
            v, z = pm.Normal("v", shape=len(root)), pm.Normal("z", shape=len(root))
            b = pm.Normal("b", 0, 2)
            e = pm.Deterministic("e", b + sigma * (pt.sqrt(1 - phi) * v + pt.sqrt(phi) * pt.dot(root, z)))
            pm.Binomial("y", n=data.size[seen, 0].astype(int), logit_p=e[seen], observed=data.y[seen, 0].astype(int))
        compiled = nutpie.compile_pymc_model(model)
    trace = nutpie.sample(
        compiled, draws=2000, tune=1000, chains=4, cores=2, seed=1, target_accept=0.95, progress_bar=False
    )
    return trace.posterior


def test_laplace_agrees_with_nuts(target: Target, icar: IcarStructure, data: Counted) -> None:
    posterior = sampled(icar, data)
    found = integrate(target, 1, 500, map, Progress(False))
    assert found.khat < 0.7
    given = [target.at(xi).conditional for xi in found.xi]
    means = np.array([g.mean[:, 0] for g in given])
    mean = found.weights @ means
    sd = np.sqrt(found.weights @ (np.array([g.sd[:, 0] ** 2 for g in given]) + (means - mean) ** 2))
    e = np.asarray(posterior["e"].values)
    ess = convergence(e)["ess_bulk"].to_numpy()
    # the tolerances at which engines must agree, and four Monte Carlo errors of NUTS (64 areas)
    reference = e.std(axis=(0, 1))
    assert (np.abs(mean - e.mean(axis=(0, 1))) / reference < 0.1 + 4 / np.sqrt(ess)).all()
    assert (np.abs(sd / reference - 1) < 0.05 + 4 / np.sqrt(2 * ess)).all()
    values = np.array([[h[0], h[2]] for h in map(target.hyper, found.xi)])
    for k, name in enumerate(("sigma", "phi")):
        draws = np.asarray(posterior[name].values)
        size = 1 / (1 / convergence(draws[..., None])["ess_bulk"].iloc[0] + 1 / found.effective)
        average = found.weights @ values[:, k]
        spread = np.sqrt(found.weights @ (values[:, k] - average) ** 2)
        assert abs(average - draws.mean()) / draws.std() < 0.1 + 4 / np.sqrt(size)
        assert abs(spread / draws.std() - 1) < 0.05 + 4 / np.sqrt(2 * size)
