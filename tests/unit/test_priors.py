"""Priors: what they promise, and parameters that are impossible."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats

from buurtsae.errors import ModelError
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, LogNormal, Normal


@pytest.mark.parametrize(("upper", "alpha"), [(1.0, 0.05), (0.5, 0.01), (3.0, 0.5)])
def test_pc_puts_alpha_above_upper(upper: float, alpha: float) -> None:
    assert stats.expon(scale=1 / PC(upper, alpha).rate).sf(upper) == pytest.approx(alpha, rel=1e-12)


def test_decimals_of_a_prior_have_a_comma_in_dutch() -> None:
    said = [PC(3.0, 0.05), Normal(0.0, 2.5), Beta(0.5, 1.0), LogNormal(0.0, 0.2), LKJ(2.0)]
    assert [str(p.words) for p in said] == [str(p) for p in said]
    assert [p.words.nl for p in said] == [
        *("PC: P(> 3) = 0,05", "Normal(0; sd 2,5)", "Beta(0,5; 1)", "LogNormal(0; sd 0,2)", "LKJ(2)"),
    ]


def test_pc_rate_by_hand() -> None:
    assert PC(1.0, 0.05).rate == pytest.approx(2.995732273553991, rel=1e-15)  # log 20


@pytest.mark.parametrize(
    ("prior", "bad"),
    [
        (lambda: PC(0.0, 0.05), "upper = 0.0"),
        (lambda: PC(1.0, 1.0), "alpha = 1.0"),
        (lambda: PC(-1.0, 0.0), "upper = -1.0, alpha = 0.0"),
        (lambda: PC(np.inf), "upper = inf"),
        (lambda: Beta(0.0, 2.0), "a = 0.0"),
        (lambda: Beta(1.0, np.nan), "b = nan"),
        (lambda: Normal(np.nan, -1.0), "mean = nan, sd = -1.0"),
        (lambda: LogNormal(0.0, 0.0), "sd = 0.0"),
        (lambda: LKJ(0.0), "eta = 0.0"),
    ],
)
def test_impossible_parameters_are_refused(prior: object, bad: str) -> None:
    with pytest.raises(ModelError, match="impossible parameters") as raised:
        prior()  # type: ignore[operator]
    assert raised.value.got == bad


def test_they_print_and_do_not_change() -> None:
    priors = (PC(1, 0.05), Beta(1, 2), Normal(5, 2.5), LogNormal(0, 0.2), LKJ(2))
    assert [str(p) for p in priors] == [
        "PC: P(> 1) = 0.05",
        "Beta(1, 2)",
        "Normal(5, sd 2.5)",
        "LogNormal(0, sd 0.2)",
        "LKJ(2)",
    ]
    with pytest.raises(FrozenInstanceError):
        priors[0].upper = 2.0  # type: ignore[misc]
