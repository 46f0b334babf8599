"""Spatial and plain Fay-Herriot posteriors: exact ones by quadrature in R, and R's mcmcsae 0.7.8 (R 4.2.2).

Counts of sudden infant deaths in North Carolina (100 counties) and milk expenditure (43 areas of R's `sae`). Data,
numbers and calls are read in the folder `shared` beside the checkout. R's ICAR is unscaled except in the BYM2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_grid import FayHerriot, Gridded, gauss_legendre, log_half_cauchy, unscaled

from buurtsae.areas.graph import Graph
from buurtsae.areas.icar import icar_structure
from buurtsae.engines.base import fit
from buurtsae.model.priors import PC, Beta, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.survey.direct import DirectEstimates

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]
FLAT = 1000.0  # prior sd of coefficients for a flat prior: changes them by less than 1e-8


@pytest.fixture(scope="module")
def classic(shared: Path) -> dict[str, Any]:
    found = {}
    for name in ("mcmcsae_spatial", "exact_fh_and_mcmcsae_milk", "hbsae"):
        text = (shared / "golden" / "classic" / f"{name}.json").read_text(encoding="utf-8")
        found |= {c["name"]: c["expected"] for c in json.loads(text)["cases"]}
    return found


@pytest.fixture(scope="module")
def counties(shared: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = shared / "golden" / "classic" / "data"
    return tuple(pd.read_csv(folder / f"{n}.csv", encoding="utf-8") for n in ("nc_sids_ft", "nc_queen_edges"))  # type: ignore[return-value]


def arrays(data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return data["y"].to_numpy(), data["var"].to_numpy(), np.column_stack([np.ones(len(data)), data["x"]])


def iid_icar(counties: tuple[pd.DataFrame, pd.DataFrame], low: float, iid: bool) -> Gridded:
    """Both standard deviations from `low`, 24 nodes a side: with 32 no moment changes by more than 2e-5."""
    data, edges = counties
    model = FayHerriot.of(*arrays(data), FLAT, unscaled(len(data), edges), iid)
    sd, weight = gauss_legendre(low, 2.5, 24)
    nodes = np.array([(p, q) for p in sd for q in sd])
    log_weight = np.add.outer(weight, weight).ravel() + log_half_cauchy(nodes).sum(axis=1)
    found = model.over(nodes, log_weight, (nodes == sd[-1]).any(axis=1))
    assert found.edge < 1e-10
    return found


@pytest.mark.parametrize("iid", [False, True], ids=["v inside areas", "v as a term"])
def test_iid_and_icar_against_quadrature(
    iid: bool, counties: tuple[pd.DataFrame, pd.DataFrame], classic: dict[str, Any]
) -> None:
    # the grid of the reference begins at 0.002; beginning at 0 moves a mean by 4e-4
    found, expected = iid_icar(counties, 0.002, iid), classic["exact_fh_nc_iid_icar"]
    for name, values in (("theta", (found.mean, found.sd)), ("beta", (found.beta_mean, found.beta_sd))):
        # the accuracy of the reference by its notes, a tenth of its tolerance
        np.testing.assert_allclose(values[0], expected[f"{name}_mean"], atol=1e-4)
        np.testing.assert_allclose(values[1], expected[f"{name}_sd"], atol=1e-4)
    np.testing.assert_allclose(found.hyper_mean, [expected["sd_iid_mean"], expected["sd_icar_mean"]], atol=1e-4)


def assert_within_monte_carlo_error(found: Gridded, expected: dict[str, Any], sds: list[str]) -> None:
    """Means and sds within 4.5 of R's own Monte Carlo errors: one of 200 normal errors is larger once in 700 times."""
    parts = {"linpred_": (found.mean, found.sd), "beta": (found.beta_mean, found.beta_sd)}
    parts |= {name: (found.hyper_mean[[k]], found.hyper_sd[[k]]) for k, name in enumerate(sds)}
    for name, (mean, sd) in parts.items():
        r = {k: np.array(v) for k, v in expected[name].items() if k != "labels"}
        assert (np.abs(mean - r["mean"]) / r["mcse_mean"]).max() < 4.5, name
        assert (np.abs(sd - r["sd"]) / r["mcse_sd"]).max() < 4.5, name


def test_iid_and_icar_against_mcmcsae(counties: tuple[pd.DataFrame, pd.DataFrame], classic: dict[str, Any]) -> None:
    found = iid_icar(counties, 0.0, False)
    assert_within_monte_carlo_error(found, classic["mcmcsae_fh_nc_iid_icar"], ["v_sigma", "u_sigma"])


def test_milk_against_quadrature_and_mcmcsae(shared: Path, classic: dict[str, Any]) -> None:
    data = pd.read_csv(shared / "golden" / "classic" / "data" / "sae_milk.csv")
    x = np.column_stack([np.ones(len(data)), *(data["MajorArea"] == k for k in (2, 3, 4))])
    model = FayHerriot.of(data["yi"].to_numpy(), data["SD"].to_numpy() ** 2, x, FLAT, None)
    sd, weight = gauss_legendre(0.0, 0.6, 60)
    nodes = np.column_stack([sd, np.zeros_like(sd)])
    priors = {"halfcauchy1_sigma": log_half_cauchy(sd), "flat_sigma2": np.log(sd), "flat_sigma": np.zeros_like(sd)}
    for prior, log_prior in priors.items():
        found = model.over(nodes, weight + log_prior, nodes[:, 0] == sd[-1])
        assert found.edge < 1e-8
        expected = classic["exact_fh_milk_posterior"][prior]
        # the tolerance of the case, an exact one; an sd of 1,000 in place of a flat prior is far below it
        np.testing.assert_allclose(found.mean, expected["est"], atol=1e-6)
        np.testing.assert_allclose(found.sd, expected["sd"], atol=1e-6)
        np.testing.assert_allclose(found.hyper_mean[0], expected["sigma_v_mean"], atol=1e-6)
        np.testing.assert_allclose(found.hyper_sd[0], expected["sigma_v_sd"], atol=1e-6)
        if prior == "halfcauchy1_sigma":
            assert_within_monte_carlo_error(found, classic["mcmcsae_fh_milk"], ["v_sigma"])


def test_bym2_against_quadrature(counties: tuple[pd.DataFrame, pd.DataFrame], classic: dict[str, Any]) -> None:
    data, edges = counties
    icar, expected = icar_structure(len(data), edges.to_numpy()), classic["exact_fh_nc_bym2"]
    model = FayHerriot.of(*arrays(data), FLAT, icar)
    (sigma, weight), (phi, of_phi) = gauss_legendre(0.0, 1.6, 32), gauss_legendre(0.0, 1.0, 24)
    pairs = np.array([(s, p) for s in sigma for p in phi])
    nodes = pairs[:, :1] * np.sqrt(np.column_stack([1 - pairs[:, 1], pairs[:, 1]]))
    log_weight = np.add.outer(weight + log_half_cauchy(sigma), of_phi).ravel()
    found = model.over(nodes, log_weight, pairs[:, 0] == sigma[-1], pairs)
    assert found.edge < 1e-6
    # five digits are the same on finer grids, by the notes of the reference
    for name, values in (("theta", (found.mean, found.sd)), ("beta", (found.beta_mean, found.beta_sd))):
        np.testing.assert_allclose(values[0], expected[f"{name}_mean"], atol=1e-4)  # a tenth of its tolerance
        np.testing.assert_allclose(values[1], expected[f"{name}_sd"], atol=1e-4)
    np.testing.assert_allclose(found.hyper_mean, [expected["sigma_mean"], expected["phi_mean"]], atol=1e-4)
    np.testing.assert_allclose(found.hyper_sd[1], expected["phi_sd"], atol=1e-4)


def test_bym2_by_the_engine(counties: tuple[pd.DataFrame, pd.DataFrame], classic: dict[str, Any]) -> None:
    """The whole engine: its exponential prior of sigma is exchanged for the half-Cauchy by weighting its draws."""
    data, edges = counties
    graph = Graph.from_pairs(data["fips"], data["fips"].to_numpy()[edges.to_numpy()])
    direct = DirectEstimates.from_frame(data, y="y", variance="var", area="fips")
    term = BYM2(graph, sd=PC(3.0, 0.05), mixing=Beta(1.0, 1.0))
    model = AreaModel("1 + x", (term,), intercept=Normal(0.0, FLAT), coefficient=Normal(0.0, FLAT))
    found = fit(model, direct, "laplace", 1, progress=False, draws=20_000, hyperparameters=2000)
    draws, certificate = found.draws, found.draws.certificate
    assert certificate is not None
    assert certificate.khat < 0.7
    sigma, phi = (draws.hyper[name][1].ravel() for name in ("BYM2.sigma", "BYM2.phi"))
    weights = np.exp(log_half_cauchy(sigma) + term.sd.rate * sigma)
    weights /= weights.sum()
    assert 1 / (weights**2).sum() > 0.9 * len(weights)  # the two priors hardly differ where sigma is

    expected = classic["exact_fh_nc_bym2"]
    eta = draws.flat[:, direct.areas.codes.get_indexer(data["fips"].astype(str)), 0]
    mean = weights @ eta
    sd = np.sqrt(weights @ (eta - mean) ** 2)
    n, of_hyper = 0.9 * len(weights), certificate.effective
    # the reference's 1e-3 and five Monte Carlo errors: independent draws of the field, weighted hyperparameters
    assert np.abs(mean - expected["theta_mean"]).max() < 1e-3 + 5 * sd.max() / np.sqrt(n)
    assert np.abs(sd / expected["theta_sd"] - 1).max() < 5e-3 + 5 / np.sqrt(2 * n)
    for values, name in ((sigma, "sigma"), (phi, "phi")):
        centre = weights @ values
        spread = np.sqrt(weights @ (values - centre) ** 2)
        assert abs(centre - expected[f"{name}_mean"]) < 1e-3 + 4 * spread / np.sqrt(of_hyper)
        if name == "phi":
            assert abs(spread / expected["phi_sd"] - 1) < 4 / np.sqrt(2 * of_hyper)
