"""A scale: its ends, its words and its classes; and figures near an end, which are shown after they are aggregated."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from attacker import computed, in_a_row, residents_of
from made_fit import made_fit

from buurtsae.drawing.style import Classes
from buurtsae.errors import ModelError, ProblemsError
from buurtsae.estimates.benchmark.benchmark import benchmark
from buurtsae.estimates.benchmark.targets import Benchmarks
from buurtsae.estimates.contrasts import contrast
from buurtsae.estimates.disclosure.attack import ends, follows
from buurtsae.estimates.disclosure.suppression import Cells, widths
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.measured import measured
from buurtsae.estimates.position import ranks
from buurtsae.estimates.summary import estimate
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.spec import AreaModel
from buurtsae.scale import SCORE, Scale
from buurtsae.survey.concept import Concept

PERCENT = Scale(0, 100, "procent", "per cent")
SHARE = Scale(0, 1, "aandeel", "share")
OPEN = Rules(min_residents=0, protection=0)  # near an end hidden figures could be computed, so that all would be hidden
NONE = pd.DataFrame({"estimate": [], "lower": [], "upper": []}, dtype=float)


@pytest.mark.parametrize(
    ("scale", "label", "range_nl", "digits", "point"),
    [
        (SCORE, "score 0-10", "van 0 tot 10", 1, 1.0),
        (PERCENT, "per cent 0-100", "van 0 tot 100", 0, 10.0),
        (SHARE, "share 0-1", "van 0 tot 1", 2, 0.1),
        (Scale(1, 5), "score 1-5", "van 1 tot 5", 2, 0.4),
        (Scale(-2.5, 2.5), "score -2.5 – 2.5", "van -2,5 tot 2,5", 2, 0.5),
        (Scale(0, nl="per duizend", en="per thousand"), "per thousand", "vanaf 0", 1, 1.0),
        (Scale(upper=0.5, decimals=3), "score", "tot 0,5", 3, 1.0),
        (Scale(), "score", "zonder vaste grenzen", 1, 1.0),
    ],
)
def test_what_it_says(scale: Scale, label: str, range_nl: str, digits: int, point: float) -> None:
    assert (scale.label, scale.range.nl, scale.digits) == (label, range_nl, digits)
    assert scale.point == pytest.approx(point)


def test_what_is_shown_lies_within_the_ends_and_nothing_else_moves() -> None:
    values = np.array([-3.0, 0.0, 4.2, 10.0, 11.0, np.nan])
    np.testing.assert_array_equal(SCORE.shown(values), [0.0, 0.0, 4.2, 10.0, 10.0, np.nan])
    np.testing.assert_array_equal(Scale(0).shown(values), [0.0, 0.0, 4.2, 10.0, 11.0, np.nan])
    np.testing.assert_array_equal(Scale().shown(values), values)
    assert SCORE.outside(values).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize("pair", [(10, 0), (1, 1), (float("nan"), 1), (float("inf"), float("inf"))])
def test_impossible_ends_are_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(ModelError, match="a scale has impossible ends"):
        Scale(*pair)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ProblemsError, match=r"impossible ends(.|\n)*impossible decimals"):
        Scale(2, 1, decimals=-1)


def test_classes_are_at_the_same_shares_of_every_scale_with_two_ends() -> None:
    assert SCORE.breaks() == (3, 4, 5, 5.5, 6, 6.5, 7, 8)
    assert PERCENT.breaks() == (30, 40, 50, 55, 60, 65, 70, 80)
    assert Scale(-1, 1).breaks() == (-0.4, -0.2, 0, 0.1, 0.2, 0.3, 0.4, 0.6)
    classes = Classes.of(SHARE, NONE)
    assert [classes.place(v) for v in (0, 0.294, 0.296, 0.544, 0.546, 0.8, 1)] == [0, 0, 1, 3, 4, 8, 8]
    assert [classes.words[k].nl for k in (0, 3, 8)] == ["lager dan 0,3", "0,5 tot 0,55", "0,8 en hoger"]
    assert str(classes.words[3]) == "0.5 to 0.55"
    assert (classes.marks, classes.along(0.25)) == ([0, 0.2, 0.4, 0.6, 0.8, 1], 0.25)


def test_classes_without_ends_follow_from_the_figures() -> None:
    values = np.random.default_rng(1).normal(-3, 2, 5000)
    breaks = Scale().breaks([*values, np.nan])
    steps = np.diff(breaks)
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] == 1.0  # 95% of them within 8, in nine classes: 0.9, and the round number above it
    assert breaks[0] <= np.median(values) - 3
    assert breaks[-1] >= np.median(values) + 3
    table = pd.DataFrame({"estimate": values, "lower": values - 0.5, "upper": values + 0.5})
    classes = Classes.of(Scale(), table)
    assert all(0 <= classes.along(v) <= 1 for v in (*table["lower"], *table["upper"]))
    assert Scale().breaks() == Scale().breaks([np.nan]) == tuple(np.arange(8.0) - 4)  # no figures: points around 0


def test_ties_are_ranked_by_no_order_of_the_areas() -> None:
    values = np.full((4000, 3), 10.0)
    values[:, 2] = 3.0
    drawn = ranks(values)
    assert (np.sort(drawn, axis=1) == [1, 2, 3]).all()
    assert (drawn[:, 2] == 3).all()
    assert (drawn[:, 0] == 1).mean() == pytest.approx(0.5, abs=0.03)  # four standard errors of 4,000 coins
    np.testing.assert_array_equal(drawn, ranks(values))  # and the same in every run


def test_aggregates_near_an_end_are_not_biased() -> None:
    """Buurten at 9.8, known with an sd of 1: half of the draws of each lie above 10, but few of their mean."""
    made, rng = made_fit(), np.random.default_rng(1)
    draws = replace(made.fit.draws, eta=9.8 + rng.normal(size=made.fit.draws.eta.shape))
    table = estimate(replace(made.fit, draws=draws), rules=OPEN).table
    land = table[(table["level"] == "land") & (table["measure"] == "buurtverbondenheid")].iloc[0]
    # 24 buurten of four sub-dimensions, 2,000 draws: sd of the mean 0.1 / sqrt(2000); the mean of draws that are cut
    # at 10 first is 9.8 - E(z - 0.2)+ = 9.49
    assert land["estimate"] == pytest.approx(9.8, abs=0.02)
    of_one = table[(table["level"] == "buurt") & (table["measure"] == "participatie")]
    assert of_one["estimate"].to_numpy() == pytest.approx(9.8, abs=0.1)
    assert (of_one["upper"] == 10).all()
    assert of_one["lower"].to_numpy() == pytest.approx(9.8 - 1.96, abs=0.25)
    assert of_one["sd"].to_numpy() == pytest.approx(1, abs=0.08)  # of draws as they are


def test_ranks_and_probabilities_are_of_draws_as_they_are() -> None:
    """One buurt lies 1 above the others, all far beyond the end: figures are equal, and yet it is known to be first."""
    made, rng = made_fit(), np.random.default_rng(2)
    eta = 14 + 0.2 * rng.normal(size=made.fit.draws.eta.shape)
    codes = list(made.fit.draws.areas)
    last, other = codes.index("BU03550103"), codes.index("BU03550002")
    eta[:, :, last] += 2
    est = estimate(replace(made.fit, draws=replace(made.fit.draws, eta=eta)), rules=OPEN)
    rows = est.select("participatie")
    assert rows.loc[codes[last], ["estimate", "lower", "upper"]].tolist() == [10, 10, 10]
    assert rows.loc[codes[last], ["rank_lower", "rank_upper"]].tolist() == [1, 1]
    assert rows.loc[codes[last], "p_above_parent"] == 1
    assert contrast(est, codes[last], codes[other], "participatie").probability == 1


def test_a_concept_and_a_model_on_two_scales_are_refused() -> None:
    fit = made_fit().fit
    concept = replace(Concept.load(), scale=PERCENT)
    with pytest.raises(ModelError) as raised:
        estimate(fit, concept=concept)
    assert str(raised.value) == (
        "the concept is on another scale than the outcome of the model\n"
        "  got measures from 0 to 100, an outcome from 0 to 10; expected the same ends\n"
        "  hint: give AreaModel an `outcome` on the scale of the concept"
    )
    assert measured(fit).scale == SCORE
    assert "  Outcome: normal, shown as a score from 0 to 100 (per cent)" in str(AreaModel(outcome=Gaussian(PERCENT)))


@pytest.mark.parametrize("top", [1.0, 10.0, 250.0, np.inf])
def test_what_equations_leave_open_on_any_scale(top: float) -> None:
    """Against all corners: with two unknowns of weights 2 and 3 and their sum given, the ends are at one of these."""
    rng = np.random.default_rng(3)
    values = rng.uniform(0, min(top, 5.0), (6, 2))
    weights, target = np.array([[2.0, 3.0]]), np.array([2.0, 0.0])
    low, high = ends(weights, target, values, top)
    for s, total in enumerate(values @ weights[0]):
        first = [x for x in (0.0, min(top, total / 2), (total - 3 * min(top, total / 3)) / 2) if x >= 0]
        assert (low[s], high[s]) == pytest.approx((2 * min(first[1:]), 2 * max(first)))
    twice = np.array([[2.0, 3.0], [2.0, 0.0]])
    for end in ends(twice, target, values, top):
        np.testing.assert_allclose(end, 2 * values[:, 0], atol=1e-6)


def test_without_ends_only_what_follows_is_known() -> None:
    sums = np.array([[1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 4.0]])
    known = {(2,), (3,), (2, 3), (0, 1), (0, 1, 2), (0, 1, 3), (0, 1, 2, 3)}  # by hand: x3 first, then x2, then x0 + x1
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    for n in (1, 2, 3, 4):
        for held in itertools.combinations(range(4), n):
            target = np.where(np.isin(np.arange(4), held), weights, 0.0)
            assert follows(sums, target) == (held in known), held
    assert not follows(sums[:0], weights)


def test_posterior_means_at_an_end_give_away_what_single_draws_do_not() -> None:
    """Two hidden buurten of a gemeente, draws around 0: their sum is 0 in the mean, so that for whoever takes scores to
    be 0 or more both are 0; of draws that count as 0 where they lie below it, half of a point and more is left.
    """
    areas = in_a_row({"BU00010001": 50, "BU00010002": 50, "BU00020001": 100})
    draws = np.random.default_rng(4).normal(size=(400, 3, 1))
    draws -= draws.mean(axis=0)
    gone, cut = np.array([True, True, False]), SCORE.shown(draws)
    of_cut = computed(residents_of(areas), "buurt", cut, {("buurt", "BU00010001"), ("buurt", "BU00010002")})
    assert of_cut["buurt", "BU00010001"] > 0.5
    for moved in (draws, 10 - draws):  # and so at the other end
        cells = Cells.of_areas(areas, moved, ("participatie",))
        shut = np.array([level == "wijk" for level, _ in cells.above])
        assert widths(cells, gone, shut, [np.array([0])])[0, 0] == pytest.approx(0, abs=1e-9)
    in_the_middle = Cells.of_areas(areas, draws + 5, ("participatie",))
    assert widths(in_the_middle, gone, shut, [np.array([0])])[0, 0] == pytest.approx(
        computed(residents_of(areas), "buurt", SCORE.shown(draws + 5), {("buurt", c) for c in areas.codes[:2]})[
            "buurt", "BU00010001"
        ],
        abs=1e-6,
    )


def test_weights_of_draws_near_an_end_meet_the_figure_that_is_shown() -> None:
    made, rng = made_fit(), np.random.default_rng(5)
    level = rng.normal(size=(*made.fit.draws.eta.shape[:2], 1, 1))
    draws = replace(made.fit.draws, eta=9.8 + level + rng.normal(size=made.fit.draws.eta.shape))
    rows = pd.DataFrame({"level": ["land"], "area_code": ["NL00"], "measure": ["participatie"], "value": [9.9]})
    to = Benchmarks.read(rows, made.fit.areas, Concept.load(), draws.subdimensions, exact=True)
    found = benchmark(replace(made.fit, draws=draws), to, method="tilting")
    table = estimate(found, rules=OPEN).table
    land = table[(table["level"] == "land") & (table["measure"] == "participatie")].iloc[0]
    # numbers of copies are off by up to one: five errors of sqrt(2000 / 6) / 2000; draws that are cut lie 0.5 lower
    assert land["estimate"] == pytest.approx(9.9, abs=0.05)
