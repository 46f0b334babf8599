"""One outcome per measure: means and scales by column, also of selected columns, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from buurtsae.draws import Draws
from buurtsae.errors import ModelError
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure, outcome_of
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.scale import SCORE, Scale

PER_CENT = Scale(0, 100, "%", "%")
MIXED = PerMeasure({"mark": Gaussian(), "lonely": Binomial(scale=PER_CENT), "rate": Poisson()})
ETA = np.random.default_rng(3).normal(0, 1, (2, 6, 5, 3))


def draws(years: tuple[int, ...] = ()) -> Draws:
    eta = np.concatenate([ETA] * max(len(years), 1), axis=-1)
    names = ("lonely", "mark", "rate")
    return Draws(eta, tuple("abcde"), names, years=years, outcome=MIXED.on(SCORE))


def expected(eta: np.ndarray) -> np.ndarray:
    return np.stack([100 / (1 + np.exp(-eta[..., 0])), eta[..., 1], np.exp(eta[..., 2])], axis=-1)


@pytest.mark.parametrize(
    "which",
    [
        ...,
        (..., 0),
        (..., 1),
        (..., [2, 0]),
        np.s_[::5],
        np.s_[2:4],
        np.s_[:, [3, 1]],
        np.s_[:, 2],
        np.s_[3, :, 2],
        np.s_[:, :, ::-1],
        np.s_[:, np.array([True, False, True, False, True])],
        np.s_[0, 0, 0],
    ],
)
def test_draws_are_on_the_scale_of_their_measure_whatever_is_selected(which: Any) -> None:
    flat = ETA.reshape(-1, 5, 3)
    np.testing.assert_allclose(draws().scores(which), expected(flat)[which], rtol=1e-13)


def test_columns_of_years_are_those_of_measures() -> None:
    both = draws((2022, 2024))
    np.testing.assert_allclose(both.scores()[..., 3:], draws().scores(), rtol=1e-13)
    np.testing.assert_allclose(both.of_year(2024).scores(), draws().scores(), rtol=1e-13)


def test_scales() -> None:
    on = MIXED.on(SCORE)
    assert [outcome_of(on, name).scale for name in ("mark", "lonely")] == [SCORE, PER_CENT]
    assert on.scale == Scale()  # not one
    assert PerMeasure({"a": Binomial(scale=PER_CENT), "b": Binomial(scale=PER_CENT)}).scale == PER_CENT
    assert outcome_of(Poisson(), "whatever") == Poisson()
    assert list(on.among(["rate", "mark"]).outcomes) == ["rate", "mark"]


def test_it_is_a_value() -> None:
    again = pickle.loads(pickle.dumps(MIXED))
    assert again == MIXED
    assert hash(again) == hash(MIXED)
    with pytest.raises(TypeError):
        MIXED.outcomes["more"] = Poisson()  # type: ignore[index]


def test_a_share_in_per_cent() -> None:
    share, eta = Binomial(scale=PER_CENT), np.array([-2.0, 0.0, 3.0])
    step = 1e-6
    slope = (share.mean(eta + step) - share.mean(eta - step)) / (2 * step)
    second = share.derivatives(eta, np.zeros(3), np.full(3, 8.0))[2]
    np.testing.assert_allclose(share.precision(eta, np.full(3, 8.0)), -second / slope**2, rtol=1e-6)
    assert Binomial(scale=(0, 100)).scale.range == PER_CENT.range


@pytest.mark.parametrize(
    "make",
    [
        lambda: PerMeasure({}),
        lambda: PerMeasure([Binomial()]),  # type: ignore[arg-type]
        lambda: PerMeasure({"a": 3}),  # type: ignore[dict-item]
        lambda: MIXED.among(["mark", "unknown"]),
        lambda: Binomial(scale=Scale(0)),
    ],
)
def test_what_is_refused(make: Any) -> None:
    with pytest.raises(ModelError):
        make()
