"""Laplace's approximation and likelihoods of counts against R 4.2.2: lme4 1.1-31 (`glmer`) and MASS 7.3-58 (`polr`).

    glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), data = cbpp, family = binomial)
    polr(Sat ~ Infl + Type + Cont, weights = Freq, data = housing)

The data are read in the folder `shared` beside the checkout. lme4 maximises Laplace's approximation, the herds
integrated out, over coefficients and standard deviation: there is no prior, and coefficients are no part of the field.
By default it stops the search for the modes early (`tolPwrss = 1e-7`), and the determinant has the weights of the step
before: its log-likelihood is 3e-4 off at its own estimates, and the estimates 6e-4. glmmTMB 1.1.14, which does not, has

    glmmTMB(incidence / size ~ period + (1 | herd), weights = size, family = binomial)
    -1.3985325 (0.2324721), -0.9923323 (0.3066425), -1.1286713 (0.3266378), -1.5803137 (0.4274366).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.optimize import minimize

from buurtsae.engines.counts import Counted
from buurtsae.engines.mode import Mode, mode
from buurtsae.latent.conditional import Loadings
from buurtsae.latent.field import field
from buurtsae.latent.structure import Structure
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.ordinal import Ordinal
from buurtsae.model.outcome.poisson import Poisson

pytestmark = pytest.mark.national


@pytest.fixture(scope="module")
def cbpp(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "golden" / "more" / "cbpp.csv", encoding="utf-8")


def design(cbpp: pd.DataFrame) -> np.ndarray:
    """Intercept and contrasts of periods 2 to 4 with the first."""
    period = cbpp["period"].astype(int).to_numpy()
    return np.column_stack([np.ones(len(period)), *(period == k for k in (2, 3, 4))]).astype(float)


def approximated(cbpp: pd.DataFrame, theta: np.ndarray) -> Mode:
    """The approximation at theta: coefficients, then the log standard deviation of the herds."""
    herd = cbpp["herd"].astype(int).to_numpy() - 1
    n, herds = len(herd), herd.max() + 1
    sees = sp.csr_array((np.ones(n), (np.arange(n), herd)), shape=(n, herds))
    eta = design(cbpp) @ theta[:4]
    y, size = (cbpp[[c]].to_numpy(dtype=float) for c in ("incidence", "size"))
    latent = field([(Structure.exchangeable(herds), sees)], np.zeros((n, 0)), eta, 1)
    loadings = Loadings(np.array([[[np.exp(theta[4])]]]), np.zeros((1, 1, 1)))
    return mode(latent, Counted(Binomial(), y, size, eta), loadings)


def slope(cbpp: pd.DataFrame, theta: np.ndarray) -> np.ndarray:
    """The gradient of the log-likelihood: by coefficients as by differences, by the log sd as the engine has it."""
    step = 1e-4
    units = step * np.eye(5)[:4]
    beta = [
        (approximated(cbpp, theta + u).log_likelihood - approximated(cbpp, theta - u).log_likelihood) / (2 * step)
        for u in units
    ]
    sd = np.exp(theta[4])
    return np.array([*beta, sd * approximated(cbpp, theta).gradient.terms[0, 0, 0]])


LME4 = np.array([-1.398342864, -0.991924975, -1.128216216, -1.579745414, np.log(0.642069928)])


def test_cbpp_at_the_estimates_of_lme4(cbpp: pd.DataFrame) -> None:
    at = approximated(cbpp, LME4)
    modes = np.exp(LME4[4]) * at.conditional.mean_field[:5, 0]
    np.testing.assert_allclose(modes, [0.58962944, -0.29909333, 0.40586581, 0.03902308, -0.19028529], atol=1e-8)
    assert at.log_likelihood == pytest.approx(-92.02656639, abs=3e-4)
    # Laplace's approximation by its formula, with dense matrices
    z, sd, u = np.eye(15)[cbpp["herd"].astype(int) - 1], np.exp(LME4[4]), at.conditional.mean_field[:, 0]
    y, n = (cbpp[c].to_numpy(dtype=float) for c in ("incidence", "size"))
    p = 1 / (1 + np.exp(-(design(cbpp) @ LME4[:4] + sd * z @ u)))
    information = np.eye(15) + sd**2 * (z.T * (n * p * (1 - p))) @ z
    exact = stats.binom(n.astype(int), p).logpmf(y).sum() - 0.5 * u @ u - 0.5 * np.linalg.slogdet(information)[1]
    assert at.log_likelihood == pytest.approx(exact, abs=1e-9)


def test_cbpp_at_its_maximum(cbpp: pd.DataFrame) -> None:
    def downhill(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return -approximated(cbpp, theta).log_likelihood, -slope(cbpp, theta)

    found = minimize(downhill, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    assert approximated(cbpp, found).log_likelihood > approximated(cbpp, LME4).log_likelihood
    np.testing.assert_allclose(found[:4], LME4[:4], atol=6e-4)
    assert np.exp(found[4]) == pytest.approx(np.exp(LME4[4]), abs=3e-4)
    np.testing.assert_allclose(found[:4], [-1.3985325, -0.9923323, -1.1286713, -1.5803137], atol=2e-6)
    # standard errors from the curvature with the standard deviation free; R's and ours are by differences
    step = 1e-3
    hessian = np.array([(slope(cbpp, found - u) - slope(cbpp, found + u)) / (2 * step) for u in step * np.eye(5)])
    se = np.sqrt(np.diag(np.linalg.inv(0.5 * (hessian + hessian.T))))[:4]
    np.testing.assert_allclose(se, [0.2324721, 0.3066425, 0.3266378, 0.4274366], rtol=1e-4)


def test_housing_is_that_of_polr(shared: Path) -> None:
    housing = pd.read_csv(shared / "golden" / "more" / "housing.csv", encoding="utf-8")
    answers = housing.pivot_table(index=["Infl", "Type", "Cont"], columns="Sat", values="Freq", aggfunc="sum")
    counts = answers[["Low", "Medium", "High"]].to_numpy(dtype=float)[:, None, :]
    levels = {"Infl": ("Medium", "High"), "Type": ("Apartment", "Atrium", "Terrace"), "Cont": ("High",)}
    cells = answers.index.to_frame()
    x = np.column_stack([cells[name] == level for name, others in levels.items() for level in others]).astype(float)
    beta = np.array([0.5663937389, 1.2888190638, -0.5723501464, -0.3661865662, -1.0910149077, 0.3602841499])
    ordinal = Ordinal(np.array([[-0.4961353438, 0.6907082904]]))
    value, first, second, *_ = ordinal.derivatives((x @ beta)[:, None], counts, counts.sum(axis=2))
    assert -2 * value == pytest.approx(3479.149299, abs=1e-6)
    # a maximum: no slope, given that polr stops at a relative change of 1e-8; and, cuts held, errors that are smaller
    np.testing.assert_allclose(x.T @ first[:, 0], 0.0, atol=0.02)
    se = np.sqrt(np.diag(np.linalg.inv((x.T * -second[:, 0]) @ x)))
    expected = np.array([0.1046528, 0.1271561, 0.1192380, 0.1551733, 0.1514860, 0.0955358])
    assert (se < expected).all()
    assert (se > 0.7 * expected).all()


def test_grouseticks_at_its_maximum(shared: Path) -> None:
    """Two crossed effects of a Poisson: `glmer(TICKS ~ YEAR + scale(HEIGHT) + (1 | BROOD) + (1 | LOCATION))`.

    First with its defaults, then with `glmerControl(tolPwrss = 1e-13, optimizer = "bobyqa", optCtrl =
    list(rhoend = 1e-10))`: coefficients, standard deviations of broods and locations, log-likelihood.
    """
    path = shared / "golden" / "more" / "grouseticks.csv"
    if not path.is_file():
        pytest.skip("needs grouseticks of lme4, as CSV in golden/more")
    default = [0.4668622853, 1.1655823505, -0.9779324918, -0.8466355994, 0.7696510877, 0.5741368746]
    tight = [0.466866082859, 1.165577681510, -0.977926100349, -0.846633053814, 0.769651808388, 0.574143242903]
    ticks = pd.read_csv(path, encoding="utf-8")
    height = (ticks["HEIGHT"] - ticks["HEIGHT"].mean()) / ticks["HEIGHT"].std()
    x = np.column_stack([np.ones(len(ticks)), ticks["YEAR"] == 96, ticks["YEAR"] == 97, height]).astype(float)
    y, size = ticks[["TICKS"]].to_numpy(dtype=float), np.ones((len(ticks), 1))
    effects = []
    for name in ("BROOD", "LOCATION"):
        codes, levels = pd.factorize(ticks[name])
        sees = sp.csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), len(levels)))
        effects.append((Structure.exchangeable(len(levels)), sees))

    def at(theta: np.ndarray) -> float:
        eta = x @ theta[:4]
        latent = field(effects, np.zeros((len(x), 0)), eta, 1)
        loadings = Loadings(theta[4:, None, None], np.zeros((1, 1, 1)))
        return mode(latent, Counted(Poisson(), y, size, eta), loadings).log_likelihood

    found = minimize(lambda theta: -at(theta), np.array(default), method="BFGS", options={"gtol": 1e-4})
    # both searches end where the likelihood is flat to 1e-8: 1e-4 of a standard error, which are 0.2
    np.testing.assert_allclose(found.x, tight, atol=3e-5)
    np.testing.assert_allclose(found.x, default, atol=3e-5)
    # glmer ends where its penalised sum of squares moves by 1e-13 of itself, modes by the root of that, 1e-5 here; its
    # determinant has the weights of the step before, to first order
    assert at(np.array(tight)) == pytest.approx(-987.938156949599, abs=1e-5)
