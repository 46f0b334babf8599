"""The graded response model: likelihood and gradient, recovery, scores and their errors, and what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import expit
from scipy.stats import norm

from buurtsae.errors import DataError, ModelError
from buurtsae.survey.graded import STEEPEST, GradedModel, fit_graded, objective

NAN = np.nan
SLOPE = np.array([0.7, 1.0, 1.3, 1.7, 2.2, 1.2])
CUTS = tuple(
    np.array(c) for c in ([-2.0, -0.5, 1.0], [-1.0, 1.0], [0.3], [-1.5, -0.5, 0.5, 1.5], [-1, 0, 1], [-2, 0, 1])
)
NAMES = tuple("abcdef")
TRUE = GradedModel(NAMES, SLOPE, CUTS, tuple(np.linspace(0, 10, len(c) + 1) for c in CUTS), 0.0)


def answers(n: int, seed: int, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Item scores of n respondents, and their theta."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(n)
    columns = [
        p[(rng.logistic(size=n)[:, None] + a * (theta[:, None] - b) > 0).sum(axis=1)]
        for a, b, p in zip(SLOPE, CUTS, TRUE.points, strict=True)
    ]
    y = np.column_stack(columns)
    y[rng.random(y.shape) < missing] = NAN
    return y, theta


def free(model: GradedModel) -> np.ndarray:
    """Parameters as `objective` takes them: slopes; per item the first intercept and log distances."""
    intercepts = [-a * b for a, b in zip(model.slope, model.cuts, strict=True)]
    return np.concatenate([model.slope, *(np.r_[d[:1], np.log(-np.diff(d))] for d in intercepts)])


@pytest.fixture(scope="module")
def fitted() -> tuple[GradedModel, np.ndarray, np.ndarray]:
    y, theta = answers(4000, seed=1, missing=0.1)
    return fit_graded(y, NAMES), y, theta


PATTERN = np.array([[0, 1], [2, 0], [1, -1], [-1, 1]], dtype=np.int16)  # of items with 3 and 2 categories
COUNT = np.array([0.4, 0.3, 0.2, 0.1])
SIZE = np.array([3, 2])


def test_the_likelihood_is_that_of_brute_force_integration() -> None:
    x = np.array([1.4, 0.8, 0.9, np.log(1.3), -0.2])

    def p(theta: float, pattern: np.ndarray) -> float:
        above = [np.r_[1, expit(1.4 * theta + np.array([0.9, 0.9 - 1.3])), 0], np.r_[1, expit(0.8 * theta - 0.2), 0]]
        return float(np.prod([u[k] - u[k + 1] for u, k in zip(above, pattern, strict=True) if k >= 0]))

    each = [quad(lambda t, y=y: p(t, y) * norm.pdf(t), -9, 9, epsabs=1e-12)[0] for y in PATTERN]
    # nodes from -5 to 5 leave 6e-7 of the normal distribution out
    assert objective(x, PATTERN, COUNT, SIZE)[0] == pytest.approx(-(COUNT @ np.log(each)), abs=2e-6)


@pytest.mark.parametrize("slopes", [[1.4, 0.8], [1.1], [-0.6, 2.0]])
def test_the_gradient_is_that_of_finite_differences(slopes: list[float]) -> None:
    x = np.array([*slopes, 0.9, 0.3, -0.2])
    numeric = approx_fprime(x, lambda v: objective(v, PATTERN, COUNT, SIZE)[0], 1e-7)
    np.testing.assert_allclose(objective(x, PATTERN, COUNT, SIZE)[1], numeric, atol=1e-6)  # error of the differences


def test_slopes_and_cuts_are_recovered_within_their_standard_errors(fitted) -> None:
    model, y, _ = fitted
    codes = np.column_stack(
        [np.where(np.isnan(c), -1, np.searchsorted(p, c)) for p, c in zip(TRUE.points, y.T, strict=True)]
    )
    size = np.array([len(p) for p in TRUE.points])
    share = np.full(len(y), 1 / len(y))
    x = free(model)
    step = 1e-4 * np.eye(len(x))
    gradient = lambda v: objective(v, codes.astype(np.int16), share, size)[1]  # noqa: E731
    assert abs(gradient(x)).max() < 1e-5
    hessian = np.array([(gradient(x + h) - gradient(x - h)) / 2e-4 for h in step])
    z = (x - free(TRUE)) / np.sqrt(np.diag(np.linalg.inv(hessian)) / len(y))
    assert abs(z).max() < 4
    assert 0.4 < np.mean(z**2) < 1.8  # 22 parameters: chi-squared over 22 has standard deviation 0.3
    assert model.notes == ()
    assert str(model).startswith("Graded response model: 6 items, log-likelihood -")


def test_scores_follow_the_true_ones_with_slope_1_and_honest_errors(fitted) -> None:
    model, y, theta = fitted
    score, se = model.scores(y)
    truth = TRUE.expected(theta)
    # residual sd 1.2 over 4,000 respondents with an sd of 1.9: the slope's standard error is 0.010
    assert np.polyfit(truth, score, 1)[0] == pytest.approx(1, abs=0.03)
    assert score.mean() == pytest.approx(truth.mean(), abs=0.07)  # 3.5 standard errors
    # the mean squared error has a standard error of about 2.5%
    assert np.mean(se**2) == pytest.approx(np.mean((score - truth) ** 2), rel=0.08)


def test_with_equal_slopes_and_two_answers_the_score_is_the_sum_score() -> None:
    # then the sum is sufficient, and the likelihood equation says that the expected sum is the observed one
    two = GradedModel(
        tuple("abc"),
        np.full(3, 1.3),
        tuple(np.array([b]) for b in (-1, 0.2, 1)),
        (np.array([0.0, 10]),) * 3,
        0,
    )
    y = np.array([[0, 0, 0], [10, 0, 0], [0, 0, 10], [10, 10, 0], [10, 10, 10]], dtype=float)
    score, se = two.scores(y)
    np.testing.assert_allclose(score, y.mean(axis=1), atol=1e-6)
    assert (se > 0.5).all()  # also at the ends of the scale
    assert se[1] == pytest.approx(se[2])  # the same sum, the same theta


def test_who_skips_items_is_compared_on_those_that_were_answered(fitted) -> None:
    model, _, _ = fitted
    # the first respondent is in the middle of every item; leaving out answers keeps the score about there
    y = np.array([[10 / 3, 5, NAN, 5, 10 / 3, 10 / 3], [NAN, 5, NAN, 5, NAN, NAN], [NAN] * 6])
    score, se = model.scores(y)
    assert abs(score[0] - score[1]) < se[1]
    assert se[1] > se[0]
    assert np.isnan(score[2])
    assert np.isnan(se[2])


def test_an_item_that_runs_against_the_others_has_a_negative_slope_and_a_note() -> None:
    y, theta = answers(1500, seed=2)
    y[:, 3] = 10 - y[:, 3]
    model = fit_graded(y, NAMES)
    assert model.slope[3] == pytest.approx(-SLOPE[3], abs=0.4)
    assert (np.delete(model.slope, 3) > 0).all()
    assert model.notes == ("item d has a negative slope: it runs against the other items",)
    assert np.corrcoef(model.scores(y)[0], theta)[0, 1] > 0.7


def test_most_items_say_which_end_is_high() -> None:
    y, _ = answers(500, seed=3)
    y[:, [0, 2, 4]] = 10 - y[:, [0, 2, 4]]
    assert fit_graded(y, NAMES).slope.sum() > 0


def test_weights_are_as_good_as_copies_and_have_no_scale() -> None:
    y, _ = answers(300, seed=4)
    weights = np.tile([1.0, 2.0, 3.0], 100)
    weighted, copied = fit_graded(y, NAMES, 7 * weights), fit_graded(np.repeat(y, weights.astype(int), axis=0), NAMES)
    np.testing.assert_allclose(weighted.slope, copied.slope, atol=2e-3)  # both stop at a gradient of 1e-6
    assert weighted.loglik / 300 == pytest.approx(copied.loglik / 600, abs=1e-8)


def test_an_item_with_one_category_adds_a_constant() -> None:
    y, _ = answers(300, seed=5)
    with_constant = np.column_stack([y, np.full(300, 10.0)])
    plain, more = fit_graded(y, NAMES), fit_graded(with_constant, (*NAMES, "g"))
    assert more.slope[6] == 0
    assert more.notes == ("item g has one answer category: it is scored, but tells nobody apart",)
    np.testing.assert_allclose(more.scores(with_constant)[0], (6 * plain.scores(y)[0] + 10) / 7, atol=1e-3)
    only = np.full((1, 7), NAN)
    only[0, 6] = 10
    assert np.isnan(more.scores(only)[0]).all()  # this answer says nothing of the respondent


def test_a_category_that_nobody_used_is_left_out_and_refused_later() -> None:
    y, _ = answers(300, seed=6)
    y[y[:, 3] == 2.5, 3] = 0
    model = fit_graded(y, NAMES)
    assert model.points[3].tolist() == [0, 5, 7.5, 10]
    assert len(model.cuts[3]) == 3
    y[0, 3] = 2.5
    with pytest.raises(DataError, match="answers that the graded model does not know") as raised:
        model.scores(y)
    assert raised.value.got == "d"


def test_two_items_have_one_slope() -> None:
    y, _ = answers(800, seed=7)
    model = fit_graded(y[:, 3:5], ("d", "e"))
    assert model.slope[0] == model.slope[1]
    assert model.notes == ("two items do not identify two slopes: they are held equal",)


def test_an_item_that_repeats_another_stops_at_the_bound() -> None:
    y, _ = answers(400, seed=8)
    model = fit_graded(np.column_stack([y[:, 1], y[:, 1], y[:, 3]]), tuple("abc"))
    assert model.slope[0] == STEEPEST
    assert "item a has a slope at the bound of 10: it repeats another item" in model.notes
    assert np.isfinite(model.scores(np.column_stack([y[:, 1], y[:, 1], y[:, 3]]))[1]).all()


@pytest.mark.parametrize(
    ("y", "got"),
    [
        ([[0.0], [10.0]], "1 items in which answers differ, 0 that nobody answered"),
        ([[0.0, 5.0], [10.0, 5.0]], "1 items in which answers differ, 0 that nobody answered"),
        ([[0.0, 5.0, NAN], [10.0, 0.0, NAN]], "2 items in which answers differ, 1 that nobody answered"),
    ],
)
def test_what_cannot_be_fitted_is_refused(y: list[list[float]], got: str) -> None:
    with pytest.raises(ModelError, match="a graded response model cannot be fitted") as raised:
        fit_graded(np.array(y), NAMES[: len(y[0])])
    assert raised.value.got == got


def test_no_convergence_is_an_error_with_a_hint() -> None:
    y, _ = answers(300, seed=9)
    with pytest.raises(ModelError, match="does not converge") as raised:
        fit_graded(y, NAMES, most=2)
    assert "item checks" in raised.value.hint
