"""Replicate weights: made from a design, and the variances they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from buurtsae.errors import DataError
from buurtsae.survey.replicates import ReplicatePlan, Replicates, bootstrap, brr, jackknife
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.variance import covariance, hajek, total

PAIRS = np.repeat(np.arange(5), 8)  # five strata of two units of four respondents
UNITS = np.tile(np.repeat([0, 1], 4), 5)


def made(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(5, 2, (40, 2)), rng.uniform(1, 5, 40), np.zeros(40, dtype=np.int64)


def totals_variance(replicates: Replicates, y: np.ndarray, w: np.ndarray, one: np.ndarray) -> np.ndarray:
    return replicates.covariance(lambda weight: total(y, weight, one, 1)[0], w)[1]


@pytest.mark.parametrize("fay", [0.0, 0.3, 0.7])
def test_half_samples_give_the_linearised_variance_of_a_total(fay: float) -> None:
    y, w, one = made()
    design = SampleDesign.of(PAIRS, [UNITS])
    replicates = brr(w, design, fay)
    assert replicates.weights.shape == (40, 8)  # the smallest power of two above five strata
    expected = covariance(total(y, w, one, 1)[1], one, 1, design)
    np.testing.assert_allclose(totals_variance(replicates, y, w, one), expected, rtol=1e-12)  # exact: full balance
    np.testing.assert_allclose(replicates.weights.mean(axis=1), w, rtol=1e-12)


@pytest.mark.parametrize("size", [0, 5])
def test_the_jackknife_gives_the_linearised_variance_of_a_total(size: int) -> None:
    y, w, one = made()
    design = SampleDesign.of(PAIRS, [UNITS], [np.full(40, float(size))] if size else [])
    expected = covariance(total(y, w, one, 1)[1], one, 1, design)
    np.testing.assert_allclose(totals_variance(jackknife(w, design), y, w, one), expected, rtol=1e-12)


def test_the_bootstrap_gives_it_on_average() -> None:
    y, w, one = made()
    design = SampleDesign.of(np.repeat([0, 1], 20), [np.arange(40)])
    replicates = bootstrap(w, design, 4000, seed=3)
    expected = covariance(total(y, w, one, 1)[1], one, 1, design)[0]
    found = totals_variance(replicates, y, w, one)[0]
    # a variance from 4,000 draws has a relative standard error of sqrt(2 / 4000) = 2.2%
    np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=4 * 0.0224)
    np.testing.assert_allclose(replicates.weights[:20].sum(axis=0) / replicates.weights[:20].sum(axis=0), 1.0)
    np.testing.assert_array_equal(bootstrap(w, design, 5, seed=3).weights, bootstrap(w, design, 5, seed=3).weights)
    # n_h - 1 draws, each worth n_h / (n_h - 1)
    np.testing.assert_allclose((replicates.weights / w[:, None])[:20].sum(axis=0), 20, rtol=1e-12)


def test_the_spread_is_around_the_mean_of_replicates_or_around_the_estimate() -> None:
    y, w = np.array([[1.0], [2.0], [6.0]]), np.ones(3)
    weights = np.array([[2.0, 1, 0], [1, 0, 2], [0, 2, 2]])
    means = np.array([4 / 3, 13 / 3, 4.0])
    for mse, centre in ((False, means.mean()), (True, 3.0)):
        c = np.array([0.5, 1.0, 2.0])
        _, v = Replicates(weights, 0.1, c, mse).hajek(y, w, np.zeros(3, dtype=np.int64), 1)
        assert v[0, 0, 0] == pytest.approx(0.1 * (c * (means - centre) ** 2).sum(), rel=1e-12)


def test_a_replicate_without_respondents_is_dropped_for_that_domain_only() -> None:
    y, w, domain = np.array([[1.0], [2.0], [6.0]]), np.ones(3), np.array([0, 0, 1])
    weights = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 0.0, 1.0]])
    mean, v = Replicates(weights, 1.0, np.ones(3)).hajek(y, w, domain, 2)
    np.testing.assert_allclose(mean[:, 0], [1.5, 6])
    means = np.array([4 / 3, 5 / 3, 1.5])
    np.testing.assert_allclose(v[:, 0, 0], [((means - means.mean()) ** 2).sum(), 0], atol=1e-15)


def test_a_subdimension_that_nobody_answered_does_not_drop_replicates() -> None:
    y, w, _ = made()
    design = SampleDesign.of(PAIRS, [UNITS])
    one = np.zeros(40, dtype=np.int64)
    alone = jackknife(w, design).hajek(y[:, :1], w, one, 1)[1][0, 0, 0]
    mean, v = jackknife(w, design).hajek(np.column_stack([y[:, 0], np.full(40, np.nan)]), w, one, 1)
    assert np.isnan(mean[0, 1])
    assert v[0].tolist() == [[alone, 0], [0, 0]]


def test_strata_taken_with_certainty_have_no_replicates() -> None:
    _, w, _ = made()
    sizes = np.where(PAIRS == 0, 2.0, 10.0)
    assert jackknife(w, SampleDesign.of(PAIRS, [UNITS], [sizes])).weights.shape == (40, 8)
    lonely = np.where(PAIRS == 4, 0, UNITS)
    with pytest.raises(DataError, match="two units per stratum"):
        jackknife(w, SampleDesign.of(PAIRS, [lonely]))
    assert jackknife(w, SampleDesign.of(PAIRS, [lonely], lonely="certainty")).weights.shape == (40, 8)


def test_designs_that_do_not_fit_a_method_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, w, _ = made()
    finite = SampleDesign.of(PAIRS, [UNITS], [np.full(40, 9.0)])
    for method, design, what in (
        (brr, SampleDesign.of(PAIRS), "two units per stratum"),
        (brr, finite, "finite population"),
        (bootstrap, finite, "finite population"),
        (bootstrap, SampleDesign.of(PAIRS, [np.zeros(40, dtype=np.int64)]), "two units per stratum"),
    ):
        with pytest.raises(DataError, match=what):
            method(w, design)  # type: ignore[operator]
    monkeypatch.setattr("buurtsae.survey.replicates.MOST", 100)
    with pytest.raises(DataError, match="too large"):
        bootstrap(w, SampleDesign.of(PAIRS, [UNITS]), 500)


@pytest.mark.parametrize(
    ("keys", "scale"),
    [
        # R's svrepdesign with ten replicates
        ({"kind": "bootstrap"}, 1 / 9),
        ({"kind": "JK1"}, 0.9),
        ({"kind": "BRR"}, 0.1),
        ({"kind": "Fay", "fay": 0.5}, 0.4),
        ({"kind": "other", "scale": 0.2}, 0.2),
        ({"kind": "JKn", "rscales": (0.5,) * 10}, 1.0),
    ],
)
def test_scales_by_kind(keys: dict[str, Any], scale: float) -> None:
    found, each = ReplicatePlan("w", **keys).scales(10)
    assert found == pytest.approx(scale)
    assert len(each) == 10


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"kind": "jackknife"}, "kind of replicate weights is unknown"),
        ({"kind": "JKn"}, "need rscales"),
        ({"kind": "other"}, "need scale"),
        ({"kind": "JKn", "rscales": (1.0, 1.0)}, "do not fit"),
        ({"kind": "Fay", "fay": 1.0}, "Fay's factor"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        ReplicatePlan("w", **keys).scales(10)


def test_hajek_under_replicates_is_that_of_the_weights() -> None:
    y, w, one = made()
    mean, _ = jackknife(w, SampleDesign.of(PAIRS, [UNITS])).hajek(y, w, one, 1)
    np.testing.assert_array_equal(mean, hajek(y, w, one, 1)[0])


def test_what_replicates_do_not_change_has_a_variance_of_zero_exactly() -> None:
    y, w, _ = made()
    y[:, 1] = 20 / 3  # one answer; the first column is of one sampled unit per domain
    unit = 2 * PAIRS + UNITS
    replicates = jackknife(w, SampleDesign.of(np.zeros(40, dtype=np.int64), [unit]))  # factors 10 / 9, and one of 0
    assert (replicates.hajek(y, w, unit, 10)[1] == 0).all()
    assert (replicates.hajek(y, w, PAIRS, 5)[1][:, 0, 0] > 0).all()
