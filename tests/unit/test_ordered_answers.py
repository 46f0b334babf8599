"""Ordered answers of persons where cuts lie far from where they are first looked for."""

from __future__ import annotations

import numpy as np
import pytest
from made_cells import made_cells

import buurtsae as bs
from buurtsae.model.outcome.ordinal import Ordinal, log_between
from buurtsae.simulate.persons import PersonTruth, make_persons


def test_the_log_of_a_category_is_a_number_far_out() -> None:
    low, high = np.array([-1.0, 40.0, -np.inf, 800.0]), np.array([0.5, 41.0, -40.0, np.inf])
    near = 1 / (1 + np.exp(-0.5)) - 1 / (1 + np.exp(1.0))
    # far out expit(x) is 1 - exp(-x) or exp(x)
    expected = [np.log(near), -40 + np.log(1 - np.exp(-1)), -40, -800]
    np.testing.assert_allclose(log_between(low, high), expected, rtol=1e-12)
    assert np.isfinite(Ordinal(np.array([[0.0, 1.0]])).derivatives(np.full((1, 1), 60.0), np.ones((1, 1, 3)), 3.0)[0])


@pytest.mark.slow
def test_five_answers_of_unequal_shares_are_fitted() -> None:
    """Cuts 1.5 and 2.4 apart. The quadratic of one reference rises without end there: k-hat was 5.2 by it."""
    cells = made_cells(20, 1500)
    made = make_persons(cells, PersonTruth(cuts=(-3.9, -2.3, -0.8, 1.6)), seed=3)
    sample = made.sample(0.05, np.random.default_rng(1))
    answers = bs.Answers.of(sample, "antwoord", cells, outcome="ordinal")
    model = bs.UnitModel(
        terms=[bs.IID("area")], persons=[bs.Ordered("leeftijd"), bs.Factor("woning")], outcome=bs.Ladder()
    )
    fit = bs.fit_persons(model, answers, cells, draws=400, progress=False)
    assert fit.raw.certificate is not None
    assert fit.raw.certificate.khat < 0.5
    draws = fit.fit_of().draws.scores()[..., 0]
    z = (draws.mean(axis=0) - made.figures()["mean"].to_numpy()) / draws.std(axis=0)
    assert abs(z).max() < 3.5  # 20 areas: the largest of 20 normals is above 3.5 in 1 of 100 worlds
