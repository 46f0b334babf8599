"""A Poisson model with ICAR and unstructured effects against R's CARBayes 6.1.1 (R 4.2.2): respiratory admissions.

    S.CARbym(observed ~ x + offset(log(expected)), family = "poisson", W = W, burnin = 20000, n.sample = 120000,
             thin = 10), three chains; tau2 and sigma2 inverse gamma with shape 1 and scale 0.01, flat coefficients.

134 areas of Greater Glasgow; data and numbers are read in the folder `shared` beside the checkout. CARBayes centres the
unstructured effects in each step, so that the intercept has their mean, and still counts as many degrees of freedom as
there are areas in the draw of sigma2, one too many: that multiplies the prior by 1 / sigma, which makes its shape 1.5.
(With shape 1 NUTS and this engine agree with each other, and sigma2 lies four Monte Carlo errors of CARBayes higher.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.areas.graph import Graph
from buurtsae.engines.base import Fit, fit
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.priors import InverseGamma, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import ICAR, IID
from buurtsae.survey.counts import AreaCounts

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]
FLAT = Normal(0.0, np.sqrt(1e5))


@pytest.fixture(scope="module")
def data(shared: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = shared / "golden" / "classic" / "data"
    names = ("carbayes_respiratory", "carbayes_respiratory_edges")
    return tuple(pd.read_csv(folder / f"{n}.csv", encoding="utf-8") for n in names)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    text = (shared / "golden" / "classic" / "carbayes.json").read_text(encoding="utf-8")
    return next(c["expected"] for c in json.loads(text)["cases"] if c["name"].endswith("respiratory_icar_bym"))


@pytest.fixture(scope="module")
def fitted(data: tuple[pd.DataFrame, pd.DataFrame]) -> Fit:
    rows, edges = data
    graph = Graph.from_pairs(rows["IZ"], [(rows["IZ"][i], rows["IZ"][j]) for i, j in edges.to_numpy()])
    terms = [ICAR(graph, scaled=False, sd=InverseGamma(1.0, 0.01)), IID("area", sd=InverseGamma(1.5, 0.01))]
    model = AreaModel("1 + incomedep", terms, FLAT, FLAT, outcome=Poisson())  # type: ignore[arg-type]
    counts = AreaCounts.from_frame(rows, y="observed", exposure="expected", area="IZ")
    return fit(model, counts, "laplace", 1, progress=False, draws=20_000, hyperparameters=2000)


def test_hyperparameters_are_those_of_carbayes(fitted: Fit, expected: dict[str, Any]) -> None:
    draws, certificate = fitted.draws, fitted.draws.certificate
    assert certificate is not None
    assert certificate.khat < 0.7
    for name, of in (("ICAR.sigma", "tau2"), ("area.sigma", "sigma2")):
        values, theirs = draws.hyper[name][1].ravel() ** 2, {k: v[0] for k, v in expected[of].items()}
        # both have a Monte Carlo error; four of them
        error = np.hypot(theirs["mcse"], values.std() / np.sqrt(certificate.effective))
        assert abs(values.mean() - theirs["mean"]) < 4 * error
        # the tail of tau2 is that of a root of its prior: its fourth moment, and with it the error of the sd, is large
        assert abs(np.log(values.std() / theirs["sd"])) < 0.1


def test_coefficients_and_rates_are_those_of_carbayes(
    fitted: Fit, expected: dict[str, Any], data: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    draws, n = fitted.draws, 20_000
    x = fitted.design.x[:, 1]
    rows = data[0].set_index("IZ").loc[list(draws.areas)]
    level = draws.flat[:, :, 0].mean(axis=1)  # with the mean of the unstructured effects
    slope = draws.hyper["beta"][1][:, :, 1, 0].ravel() * x.std(ddof=1)
    order = np.argsort(data[0]["IZ"].to_numpy()).argsort()  # the reference has the order of the file
    rates = (draws.scores()[:, :, 0] * rows["expected"].to_numpy())[:, order]
    ours = np.column_stack([level, slope, rates])
    theirs = {k: np.array([*expected["beta"][k], *expected["fitted"][k]]) for k in ("mean", "sd", "mcse")}
    distance = (ours.mean(axis=0) - theirs["mean"]) / np.hypot(theirs["mcse"], ours.std(axis=0) / np.sqrt(n))
    assert np.abs(distance).max() < 4  # Monte Carlo errors, of 136 figures
    assert np.sqrt((distance**2).mean()) < 1.3
    # an sd is known to 1 / sqrt(2 n): of theirs n follows from the error of the mean
    error = np.sqrt((theirs["mcse"] / theirs["sd"]) ** 2 / 2 + 1 / (2 * n))
    assert np.abs(np.log(ours.std(axis=0) / theirs["sd"]) / error).max() < 4.5
