"""What priors say, where it is known by hand: conjugate draws, draws of the prior itself, and an intercept alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import CHAINS, DRAWS, Made, made_fit
from scipy import stats

from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence import influence as module
from buurtsae.estimates.evidence.influence import influence, outside, remarks
from buurtsae.model.design import design
from buurtsae.model.priors import PC, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import IID


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit(("participatie",), sources=1)


def drawn(fit: Fit, eta: np.ndarray | None = None, **hyper: np.ndarray) -> Fit:
    """The fit with other draws, (draws, ...)."""
    draws = fit.draws
    old = {name: values for name, (_, values) in draws.hyper.items()}
    made = {name: (draws.hyper[name][0], value.reshape(old[name].shape)) for name, value in hyper.items()}
    wide = draws.eta if eta is None else np.broadcast_to(eta.reshape(CHAINS, DRAWS, 1, 1), draws.eta.shape)
    return replace(fit, draws=replace(draws, eta=wide, hyper={**draws.hyper, **made}))


def test_a_conjugate_posterior_moves_as_its_formula_says(made: Made) -> None:
    """b ~ N(m, s^2) a posteriori, prior N(m0, d^2): E moves by -log 2 (m - m0) s^2 / d^2 when the prior is doubled."""
    rng, n = np.random.default_rng(1), CHAINS * DRAWS
    mean, sd, prior = 8.0, 1.0, made.fit.model.intercept
    b = mean + sd * rng.normal(size=n)
    fit = drawn(made.fit, b, beta=np.stack([b, rng.normal(size=n)], axis=1))
    rows = {row["name"]: row for row in influence(fit)}
    expected = np.log(2) * (mean - prior.mean) * sd / prior.sd**2
    # l has variance (m - m0)^2 s^2 / d^4: a covariance with b of 2,000 draws has a relative error of sqrt(2 / 2,000)
    assert rows["intercept"]["moved"] == pytest.approx(expected, abs=0.15 * expected + 0.005)
    assert rows["intercept"]["sd_ratio"] == pytest.approx(sd / prior.sd, abs=0.03)
    assert rows["coefficients"]["sd_ratio"] == pytest.approx(1.0, abs=0.07)  # draws of its prior, Normal(0, 1)
    assert rows["coefficients"]["moved"] < 0.05  # the scores do not depend on it
    assert "prior of intercept matters" in remarks([rows["intercept"]], None)[0]


def test_a_parameter_of_which_the_data_say_nothing_is_at_its_prior(made: Made) -> None:
    scores = made.fit.marginal.scores
    xi = np.random.default_rng(2).standard_normal((CHAINS * DRAWS, scores.size))
    fit = drawn(made.fit, **{"BYM2.sigma": scores.hyper(xi).values["BYM2.sigma"][:, 0, 0]})
    before, after = ({row["name"]: row for row in influence(f)}["BYM2.sigma"] for f in (made.fit, fit))
    assert before["sd_ratio"] < 0.1  # those of made_fit lie within 0.01
    # an sd of 2,000 draws has a relative error of 1.6%, and so has F, of as many draws of the prior
    assert after["sd_ratio"] == pytest.approx(1.0, abs=0.09)
    assert remarks([before], None) == []
    (note,) = remarks([after], None)
    assert "next to nothing" in note
    assert "bijna niets" in note.nl


def test_scores_beyond_their_scale_before_any_data(made: Made) -> None:
    """With an intercept alone, N(5, d^2), it is P(|b - 5| > 5)."""
    for sd in (2.0, 5.0):
        model = AreaModel("1", (IID("gemeente", sd=PC(1e-3, 0.05)),), Normal(5.0, sd))
        share = outside(replace(made.fit, design=design(model, made.fit.direct)))
        expected = 2 * stats.norm.sf(5 / sd)
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 400))
        assert bool(remarks([], share)) == (sd == 5.0)


def test_parts_of_the_areas_together_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Covariances with the log density, written out, of areas that are looked at three at a time."""
    rng = np.random.default_rng(3)
    draws, weights, areas = rng.normal(1, 2, (50, 12, 2)), rng.normal(size=(4, 50)), np.array([0, 2, 3, 5, 6, 8, 9, 11])
    monkeypatch.setattr(module, "AREAS", 3)
    mean, spread = module._moved(draws, areas, weights)
    off = draws[:, areas].reshape(50, -1)
    off = off - off.mean(axis=0)
    np.testing.assert_allclose(mean, weights @ off / 50 / off.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread, 0.5 * weights @ off**2 / 50 / off.var(axis=0), rtol=1e-12)
