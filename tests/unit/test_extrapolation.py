"""Areas outside the range of those with respondents, smooth effects by one word, and columns without shrinkage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.errors import ModelError
from buurtsae.model.design import Design, design
from buurtsae.model.smooth import ENOUGH

N = 240
CODES = [f"a{k:03}" for k in range(N)]
RNG = np.random.default_rng(1)
X = RNG.normal(size=(12, N))
X[:10, 0] = 1.9  # ten covariates that are none of them extreme, all together
X[10, 1] = 9.0
KIND = np.arange(N) % 3
KIND[2] = 7


def data(sampled: np.ndarray, people: float = 500.0) -> bs.DirectEstimates:
    table = pd.DataFrame({"code": CODES, "kind": KIND, "people": people, "v": 0.3})
    table[[f"x{k}" for k in range(12)]] = X.T
    table.loc[5, "people"] = 0.0  # nobody lives there, so that nobody answers
    table["y"] = np.where(sampled, 6 + np.sin(np.arange(N)), np.nan)
    areas = bs.Areas.from_frame(table, code="code", population="people")
    return bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)


def of(formula: str, *terms: bs.Ridge | bs.Spline, sampled: Callable[[np.ndarray], np.ndarray], **more: str) -> Design:
    model = bs.AreaModel(formula, [bs.IID("area"), *terms], **more)  # type: ignore[arg-type]
    return design(model, data(sampled(np.arange(N))))


def test_areas_beyond_all_that_have_respondents_are_named() -> None:
    found = of("1 + x10 + C(kind)", sampled=lambda k: k > 5)
    assert found.extrapolated == {"kind": ("a002",), "x10": ("a001",)}
    (note,) = [note for note in found.notes if "x10" in note]
    assert note.startswith("1 areas lie outside the range of x10 in areas with respondents")


def test_an_area_with_respondents_is_inside() -> None:
    assert of("1 + x10 + C(kind)", sampled=lambda k: k >= 0).extrapolated == {}


def test_of_a_theme_it_is_what_its_covariates_do_together() -> None:
    theme = bs.Ridge("many", tuple(f"x{k}" for k in range(10)))
    # one of the others is beyond in some covariate, as chance has it; a000 is the only one beyond in all together
    assert of("1", theme, sampled=lambda k: k > 5).extrapolated == {"many": ("a000",)}


def test_without_residents_nothing_is_said() -> None:
    assert "a005" not in str(of("1 + x0 + x1 + x2", sampled=lambda k: k > 200).extrapolated)


def test_intervals_are_wider_outside() -> None:
    fit = bs.fit(
        bs.AreaModel("1 + x10", [bs.IID("area"), bs.Spline("x10")]),
        data(np.arange(N) > 5),
        draws=400,
        hyperparameters=50,
        progress=False,
    )
    sd = fit.draws.flat[:, :, 0].std(axis=0)
    assert sd[1] > 1.5 * sd[[0, 2, 3, 4]].max()  # 9 standard deviations out, beside four that are inside


def test_more_columns_than_areas_are_refused_unless_they_are_shrunk() -> None:
    names = [f"x{k}" for k in range(12)]
    with pytest.raises(ModelError, match="more columns than there are areas with respondents") as raised:
        of("1 + " + " + ".join(names), sampled=lambda k: k < 13)
    assert str(raised.value).count("\n") == 2
    assert "13 columns, 12 areas" in str(raised.value)
    assert of("1", bs.Ridge("many", tuple(names)), sampled=lambda k: k < 13).effects[1].dense


@pytest.mark.parametrize(("sampled", "there"), [(ENOUGH, ["s(x0)", "s(x1)"]), (ENOUGH - 1, [])])
def test_smooth_effects_come_where_there_are_enough_areas(sampled: int, there: list[str]) -> None:
    found = of("1 + x0 * x1 + C(kind)", sampled=lambda k: k <= sampled, smooth="auto")
    assert [effect.name for effect in found.effects] == ["area", *there]
    assert [term.name for term in found.model.terms] == ["area", *there]


def test_a_smooth_term_that_is_there_stays_the_only_one_and_few_values_have_none() -> None:
    found = of("1 + x0 + kind", bs.Spline("x0", intervals=8), sampled=lambda k: k >= 0, smooth="auto")
    assert [effect.name for effect in found.effects] == ["area", "s(x0)"]  # kind has four values


def test_smooth_is_one_of_two_words() -> None:
    with pytest.raises(ModelError, match="`smooth` is unknown"):
        bs.AreaModel(smooth="always")  # type: ignore[arg-type]
    assert "with a smooth effect besides, from 200 areas" in str(bs.AreaModel("1 + x0", smooth="auto"))
