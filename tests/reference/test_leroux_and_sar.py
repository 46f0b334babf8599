"""Leroux and SAR terms: exact posteriors by quadrature that this module makes, and the REML likelihood of a SAR model.

Sudden infant deaths in North Carolina, 100 counties, with sampling variances as known; data in the folder `shared`
beside the checkout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_grid import gauss_legendre

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.integration import integrate
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.search import Progress
from buurtsae.model.design import design

FLAT = 1000.0  # prior sd of coefficients in the place of a flat prior: changes them by less than 1e-8


@pytest.fixture(scope="module")
def counties(shared: Path) -> tuple[pd.DataFrame, bs.Graph]:
    folder = shared / "golden" / "classic" / "data"
    data, edges = (pd.read_csv(folder / f"{name}.csv") for name in ("nc_sids_ft", "nc_queen_edges"))
    data["fips"] = data["fips"].astype(str)
    data = data.iloc[np.argsort(data["fips"])]
    codes = pd.read_csv(folder / "nc_sids_ft.csv")["fips"].astype(str).to_numpy()
    return data, bs.Graph.from_pairs(codes, codes[edges.to_numpy()])


def marginal_of(counties: tuple[pd.DataFrame, bs.Graph], term: bs.Leroux | bs.SAR, sd: float = FLAT) -> Marginal:
    estimates = bs.DirectEstimates.from_frame(counties[0], y="y", variance="var", area="fips")
    flat = bs.Normal(0.0, sd)
    return Marginal.of(design(bs.AreaModel("1 + x", [term], intercept=flat, coefficient=flat), estimates))


class Exact:
    """y ~ N(X b + sigma z, V), z ~ N(0, Q^-1), b ~ N(0, FLAT^2): moments of X b + sigma z by dense algebra."""

    def __init__(self, data: pd.DataFrame) -> None:
        x = (data["x"] - data["x"].mean()) / data["x"].std(ddof=0)
        self.x, self.y, self.v = np.column_stack([np.ones(len(x)), x]), data["y"].to_numpy(), data["var"].to_numpy()

    def at(self, sigma: float, q: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log p(y), and mean and variance of the predictor."""
        k = FLAT**2 * self.x @ self.x.T + sigma**2 * np.linalg.inv(q)
        total = k + np.diag(self.v)
        gain = np.linalg.solve(total, k).T
        log_p = -0.5 * (np.linalg.slogdet(2 * np.pi * total)[1] + self.y @ np.linalg.solve(total, self.y))
        return float(log_p), gain @ self.y, np.diag(k - gain @ k)


def laplacian(graph: bs.Graph) -> np.ndarray:
    a = np.zeros((len(graph.codes),) * 2)
    a[tuple(graph.edges.T)] = 1.0
    a += a.T
    return np.diag(a.sum(axis=0)) - a


@pytest.fixture(scope="module")
def exact(counties: tuple[pd.DataFrame, bs.Graph]) -> dict[str, np.ndarray]:
    """The posterior of a Leroux model under sigma ~ exponential, P(> 1) = 0.05, and phi ~ uniform, on 32 x 32 nodes.

    With 24 a side no moment changes by more than 1e-5.
    """
    model, structure = Exact(counties[0]), laplacian(counties[1])
    (sigma, of_sigma), (phi, of_phi) = gauss_legendre(0.0, 4.0, 32), gauss_legendre(0.0, 1.0, 32)
    nodes = [(s, p) for s in sigma for p in phi]
    log_prior = np.add.outer(of_sigma - bs.PC(1.0, 0.05).rate * sigma, of_phi).ravel()
    found = [model.at(s, (1 - p) * np.eye(len(structure)) + p * structure) for s, p in nodes]
    log_p = np.array([value for value, _, _ in found]) + log_prior
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    assert weight[-32:].sum() < 1e-8  # nothing lies beyond the grid
    mean, variance = (np.array([f[k] for f in found]) for k in (1, 2))
    whole = weight @ mean
    pairs = np.array(nodes)
    centre = weight @ pairs
    return {
        "mean": whole,
        "sd": np.sqrt(weight @ (variance + (mean - whole) ** 2)),
        "hyper": centre,
        "hyper_sd": np.sqrt(weight @ (pairs - centre) ** 2),
    }


@pytest.mark.slow
def test_leroux_against_an_exact_posterior(
    counties: tuple[pd.DataFrame, bs.Graph], exact: dict[str, np.ndarray]
) -> None:
    marginal = marginal_of(counties, bs.Leroux(counties[1]))
    values = integrate(marginal, 1, 4000, map, Progress(False))
    assert values.khat < 0.7
    given = [marginal.at(xi) for xi in values.xi]
    mean, sd = (np.array([getattr(g, part)[:, 0] for g in given]) for part in ("mean", "sd"))
    whole = values.weights @ mean
    # conditional moments are exact; 4,000 effective values of two hyperparameters on a net leave some 1e-4 of an sd
    np.testing.assert_allclose(whole, exact["mean"], atol=1e-3)
    np.testing.assert_allclose(np.sqrt(values.weights @ (sd**2 + (mean - whole) ** 2)), exact["sd"], atol=1e-3)
    hyper = marginal.scores.hyper(values.xi)
    both = np.column_stack([hyper.values["Leroux.sigma"].ravel(), hyper.values["Leroux.phi"].ravel()])
    centre = values.weights @ both
    np.testing.assert_allclose(centre, exact["hyper"], atol=1e-3)
    np.testing.assert_allclose(np.sqrt(values.weights @ (both - centre) ** 2), exact["hyper_sd"], atol=1e-3)


@pytest.mark.nuts
def test_leroux_by_nuts(counties: tuple[pd.DataFrame, bs.Graph], exact: dict[str, np.ndarray]) -> None:
    estimates = bs.DirectEstimates.from_frame(counties[0], y="y", variance="var", area="fips")
    flat = bs.Normal(0.0, FLAT)
    model = bs.AreaModel("1 + x", [bs.Leroux(counties[1])], intercept=flat, coefficient=flat)
    fit = bs.fit(model, estimates, engine="nuts", seed=1, progress=False, draws=1000, tune=1000)
    eta = fit.draws.flat[:, :, 0]
    # 4,000 draws, effective sizes above 400: four standard errors of a mean are below 0.2 sd; of an sd below 15%
    assert np.abs((eta.mean(axis=0) - exact["mean"]) / exact["sd"]).max() < 0.2
    assert np.abs(eta.std(axis=0) / exact["sd"] - 1).max() < 0.15
    for k, name in enumerate(("Leroux.sigma", "Leroux.phi")):
        assert abs(fit.draws.hyper[name][1].mean() - exact["hyper"][k]) < 0.2 * exact["hyper_sd"][k]


@pytest.mark.parametrize(("rho", "sigma"), [(0.0, 1.0), (0.4, 0.7), (0.9, 1.3), (-0.5, 0.4)])
def test_sar_has_the_reml_likelihood_of_the_classical_model(
    counties: tuple[pd.DataFrame, bs.Graph], rho: float, sigma: float
) -> None:
    data, graph = counties
    marginal = marginal_of(counties, bs.SAR(graph), wide := 1e4)
    hyper = Hyper({"SAR.sigma": np.array([[sigma]]), "SAR.rho": np.array([[rho]]), "SAR.R": np.ones((1, 1, 1))},
                  np.ones((1, 1)), np.zeros((1, 1)))  # fmt: skip
    given = marginal.conditional(hyper)
    adjacency = -laplacian(graph)
    np.fill_diagonal(adjacency, 0.0)
    x = (data["x"] - data["x"].mean()) / data["x"].std(ddof=0)
    classical = bs.SpatialFayHerriot(
        data["y"].to_numpy(),
        np.column_stack([np.ones(len(data)), x]),
        data["var"].to_numpy(),
        adjacency / adjacency.sum(axis=1, keepdims=True),
    )
    # a normal prior of the two coefficients with sd s, less its density at 0, tends to the flat one
    flat = 2 * (np.log(wide) + 0.5 * np.log(2 * np.pi))
    # what remains is b'b / (2 s^2) and tr(Var b) / (2 s^2): below 1e-7 with b of 3 and s of 10,000
    expected = classical.loglike(rho, sigma**2, method="reml")
    assert given.log_likelihood + flat == pytest.approx(expected, abs=1e-6)
