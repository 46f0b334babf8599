"""Models of persons against R's mgcv 1.8-41 at the maximum of the restricted likelihood: an ICAR and a P-spline.

    gam(crime ~ s(district, bs = "mrf", xt = list(polys = columb.polys)), data = columb, method = "REML")
    gam(accel ~ s(times, bs = "ps", k = 20), data = mcycle, method = "REML")

Priors of standard deviations play no part: log p(y | standard deviations) is maximised as it is. Coefficients that mgcv
leaves free are N(0, s^2) here with s = 1e5: against a flat density of 1 that multiplies the likelihood by 1 / (s sqrt(2
pi)) for each, up to the square of the coefficient over s. The data are read in the folder `shared`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from persons_table import Table, score, table
from scipy.optimize import minimize

import buurtsae as bs
from buurtsae.engines.persons import Found, PersonMarginal
from buurtsae.model.persons.answer import Number

pytestmark = pytest.mark.national
FREE = bs.Normal(0.0, 1e5)
EFFECT, NOISE = bs.PC(50.0, 0.5), bs.PC(20.0, 0.5)  # where the search begins and how it is scaled: no part of log p


def likeliest(m: PersonMarginal, effect: float, noise: float) -> Found:
    """The model at the maximum of log p(y | sd of the effect, sd of the noise), from these."""
    start = np.array([score(EFFECT, effect), score(NOISE, noise)])
    best = minimize(lambda xi: -m.solve(xi).log_likelihood, start, method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 1000})  # fmt: skip
    assert best.success
    return m.solve(best.x)


@pytest.mark.parametrize("scaled", [True, False])
def test_an_icar_is_that_of_columb(shared: Path, scaled: bool) -> None:
    frame = pd.read_csv(shared / "golden" / "more" / "columb.csv", encoding="utf-8", dtype={"district": str})
    edges = pd.read_csv(shared / "golden" / "more" / "columb_edges.csv", encoding="utf-8", dtype=str)
    graph = bs.Graph.from_pairs(frame["district"], edges.to_numpy().tolist())
    data = table(frame, "district", [], 1.0, np.column_stack([frame["crime"], frame["crime"] ** 2]))
    icar = bs.ICAR(graph, scaled=scaled, sd=EFFECT)
    m = data.marginal(bs.UnitModel(terms=[icar], outcome=Number(bs.Gaussian(), NOISE), intercept=FREE))
    found = likeliest(m, 20.0, 9.0)
    sigma = float(found.hyper.loadings.terms.item()) / (np.sqrt(0.4812001939) if scaled else 1.0)
    # a likelihood that is flat to 1e-12 is at its maximum to 1e-6 of a parameter; R's own printed digits are 7
    assert sigma == pytest.approx(19.76206, rel=1e-6)
    assert found.hyper.psi.item() == pytest.approx(9.08660, rel=1e-6)
    assert found.conditional.border.item() * FREE.sd == pytest.approx(35.1288239, abs=1e-6)
    reml = found.log_likelihood + np.log(FREE.sd * np.sqrt(2 * np.pi))  # of one free coefficient
    assert -reml == pytest.approx(198.2691827, abs=1e-6)
    fitted = found.conditional.mean[pd.Index(m.design.areas).get_indexer(frame["district"]), 0]
    np.testing.assert_allclose(fitted[:4], [18.817531, 22.124967, 30.133145, 33.143038], rtol=1e-6)


def test_a_smooth_curve_is_that_of_mcycle(shared: Path) -> None:
    """The places where mgcv predicts are levels of residents that no respondent has."""
    frame = pd.read_csv(shared / "golden" / "more" / "mcycle.csv", encoding="utf-8").assign(all="1")
    places = [5.0, 15.0, 20.0, 30.0, 45.0]
    y = np.column_stack([frame["accel"], frame["accel"] ** 2])
    data: Table = table(frame, "all", ["times"], 1.0, y, more=pd.DataFrame({"all": "1", "times": places}))
    term = bs.Smooth("times", sd=EFFECT, slope=FREE)
    m = data.marginal(bs.UnitModel(persons=[term], outcome=Number(bs.Gaussian(), NOISE), intercept=FREE))
    # sigma of ours is the typical departure from the line, the sd of mgcv that of second differences of coefficients
    labels = data.characteristics["times"]
    second = np.diff(np.eye(20), 2, axis=0)
    values, vectors = np.linalg.eigh(second.T @ second)
    departure = term.splines(labels)[0] @ (vectors[:, 2:] / np.sqrt(values[2:]))
    typical = float(np.exp(0.5 * np.log((departure**2).sum(axis=1)).mean()))
    found = likeliest(m, 48.0 * typical, 22.0)
    assert found.hyper.sigma.item() / typical == pytest.approx(48.13216, rel=1e-6)
    assert found.hyper.psi.item() == pytest.approx(22.64049, rel=1e-6)
    assert float((found.spread / found.hyper.psi**2).sum()) == pytest.approx(12.0345, abs=1e-4)
    at = [labels.index(f"{place}") for place in places]
    curve = found.conditional.mean[0, 0] + (found.hyper.r @ found.conditional.alpha)[at]
    np.testing.assert_allclose(curve, [-2.94841, -26.11563, -114.23834, 29.77334, 0.90283], atol=1e-5)
    of_area, mixed, own = found.covariances
    se = np.sqrt(of_area[0] + 2 * mixed[0] + np.diag(own))[at]
    np.testing.assert_allclose(se, [8.96781, 4.48818, 5.74885, 6.67256, 8.43639], atol=1e-5)
