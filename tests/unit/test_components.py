"""Variance components within areas: against textbook numbers, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import DataError
from buurtsae.survey.components import ENOUGH, clusters, components, gram, n_effective, planned, shrunk

Ints = np.ndarray


def test_the_rails_of_pinheiro_and_bates() -> None:
    """Travel times of six rails, three each (nlme::Rail): sd 24.80547 between rails, 4.020779 within, by
    lme(travel ~ 1, random = ~ 1 | Rail), REML (Pinheiro and Bates 2000, p. 9); in balanced data REML is ANOVA.
    """
    travel = [55.0, 53, 54, 26, 37, 32, 78, 91, 85, 92, 100, 96, 49, 51, 50, 80, 85, 83]
    y, rail = np.array(travel)[:, None], np.repeat(np.arange(6), 3)
    between, within = components(y, np.ones(18), [np.zeros(18, dtype=np.int64), rail])[:, 0, 0]
    assert np.sqrt([between, within]) == pytest.approx([24.80547, 4.020779], rel=1e-6)


def nested(rng: np.random.Generator, rho: float, n_areas: int) -> tuple[np.ndarray, np.ndarray, Ints, Ints]:
    """Two scores (variances 2 and 1, correlated, 20% missing) of one to four persons in one to four clusters per area;
    a share rho of the covariance is between clusters.
    """
    root = np.linalg.cholesky(np.array([[2.0, 0.7], [0.7, 1.0]]))
    area = np.repeat(np.arange(n_areas), rng.integers(1, 5, n_areas))  # of clusters
    cluster = np.repeat(np.arange(len(area)), rng.integers(1, 5, len(area)))
    area = area[cluster]
    y = rng.normal(size=(n_areas, 2))[area] + np.sqrt(rho) * (rng.normal(size=(cluster.max() + 1, 2)) @ root.T)[cluster]
    y += np.sqrt(1 - rho) * rng.normal(size=y.shape) @ root.T
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    return y, rng.lognormal(0, 0.4, len(y)), area, cluster


def test_components_are_unbiased_with_weights_and_missing_scores() -> None:
    rng, whole = np.random.default_rng(1), np.array([[2.0, 0.7], [0.7, 1.0]])
    found = []
    for _ in range(200):
        y, w, area, cluster = nested(rng, 0.4, 150)
        found.append(components(y, w, [area, cluster]))
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (error < 0.02).all()
    # four standard errors of the mean of 200
    assert (abs(np.mean(found, axis=0) - [0.4 * whole, 0.6 * whole]) < 4 * error).all()


def test_two_stages_and_persons() -> None:
    """Neighbourhood blocks (variance 0.5), households in them (0.8), persons (1.0): 60 areas x 3 x 3 x 2, 100 times."""
    block, rng, found = np.repeat(np.arange(180), 6), np.random.default_rng(2), []
    household = np.repeat(np.arange(540), 2)
    for _ in range(100):
        y = np.sqrt(0.5) * rng.normal(size=180)[block] + np.sqrt(0.8) * rng.normal(size=540)[household]
        y += rng.normal(size=1080)
        found.append(components(y[:, None], np.ones(1080), [block // 3, block, household])[:, 0, 0])
    error = np.std(found, axis=0) / 10
    assert (error < 0.02).all()
    assert (abs(np.mean(found, axis=0) - [0.5, 0.8, 1.0]) < 4 * error).all()


def test_a_stage_of_single_persons_changes_nothing() -> None:
    y, w, area, cluster = nested(np.random.default_rng(3), 0.3, 50)
    one = components(y, w, [area, cluster])
    two = components(y, w, [area, cluster, np.arange(len(y))])
    np.testing.assert_allclose(two[[0, 2]], one)
    assert (two[1] == 0).all()
    alone = components(y, w, [area, np.arange(len(y))])
    np.testing.assert_allclose(alone[1], components(y, w, [area])[0])
    assert (alone[0] == 0).all()


def test_clusters_that_differ_less_than_by_chance_leave_the_pooled_variance() -> None:
    y = np.array([1.0, 3.0, 1.0, 3.0, 2.0, 4.0, 2.0, 4.0])[:, None]  # equal clusters, unequal persons
    area, cluster = np.repeat([0, 1], 4), np.repeat(np.arange(4), 2)
    found = components(y, np.ones(8), [area, cluster])[:, 0, 0]
    assert found == pytest.approx([0.0, 8 / 6])  # squares within areas 8, of 8 - 2 degrees of freedom


def test_the_covariance_of_means_is_that_of_means() -> None:
    """Means of one area with unequal weights and clusters, 20,000 times: their variance is sum_k B_k G_k, and that over
    the variance of a score is 1 / n_effective.
    """
    rng = np.random.default_rng(4)
    w, cluster = np.array([1.0, 2.0, 1.5, 1.0, 3.0]), np.array([0, 0, 0, 1, 2])
    b = np.sqrt(0.8) * rng.normal(size=(20_000, 3))[:, cluster] + np.sqrt(1.2) * rng.normal(size=(20_000, 5))
    share, domain = (w / w.sum())[:, None], np.zeros(5, dtype=np.int64)
    v = 0.8 * gram(share, domain, 1, cluster)[0, 0, 0] + 1.2 * gram(share, domain, 1)[0, 0, 0]
    # a variance from 20,000 is known to 1%, its standard error; four of them
    assert (b @ share).var() == pytest.approx(v, rel=0.04)
    assert n_effective(w[:, None], domain, 1, [cluster], np.array([[0.4]]))[0, 0] == pytest.approx(2.0 / v)
    # three equal persons of one household: n / (1 + (n - 1) rho), Kish
    one = np.zeros(3, dtype=np.int64)
    equal = n_effective(np.ones((3, 1)), one, 1, [one], np.array([[0.4]]))
    assert equal[0, 0] == pytest.approx(3 / 1.8)


def test_strata_within_an_area_split_it_where_enough_is_left() -> None:
    domain = np.repeat(np.arange(30), 10)
    age = np.tile(np.repeat(["young", "old"], 5), 30)
    own = pd.DataFrame({"stratum": [f"{a}|{b}" for a, b in zip(domain, age, strict=True)]})
    cells = planned(own, domain)
    assert len(np.unique(cells)) == 60  # 300 - 60 degrees of freedom
    assert (planned(pd.DataFrame({"stratum": age}), domain) == domain).all()  # strata all over
    few = domain < 5
    assert few.sum() - 10 < ENOUGH
    assert (planned(own[few], domain[few]) == domain[few]).all()


def test_stratification_within_areas_is_no_sampling_error() -> None:
    """Two strata per area that differ by 2, five respondents in each: the variance about areas is 1 + 10/9 x 1, about
    strata it is 1, which is the variance of a stratified mean times n.
    """
    rng, domain = np.random.default_rng(5), np.repeat(np.arange(400), 10)
    half = np.tile(np.repeat([0, 1], 5), 400)
    y = (2.0 * half + rng.normal(size=4000))[:, None]
    frame = pd.DataFrame({"stratum": [f"{a}|{b}" for a, b in zip(domain, half, strict=True)]})
    split = components(y, np.ones(4000), [planned(frame, domain)])[0, 0, 0]
    # 3,200 and 3,600 degrees of freedom: known to 2.5%, its standard error; four of them
    assert split == pytest.approx(1.0, rel=0.1)
    assert components(y, np.ones(4000), [domain])[0, 0, 0] == pytest.approx(1 + 10 / 9, rel=0.1)


def test_clusters_are_numbered_within_areas_and_strata() -> None:
    frame = pd.DataFrame({"stratum": ["a", "a", "b", "a"], "cluster": [0, 0, 0, 0], "cluster_2": [0, 1, 0, 0]})
    first, second = clusters(frame, np.array([0, 0, 0, 1]), ["cluster", "cluster_2"])
    assert len(np.unique(first)) == 3  # the same number in another stratum, or another area, is another
    assert first[0] == first[1]
    assert len(np.unique(second)) == 4
    assert clusters(frame, np.zeros(4, dtype=np.int64), []) == []


def test_one_respondent_everywhere_is_refused() -> None:
    with pytest.raises(DataError, match="the variance within areas cannot be estimated") as raised:
        components(np.arange(6.0).reshape(3, 2), np.ones(3), [np.arange(3)])
    assert "`sd`" in raised.value.hint


def test_negative_variances_are_none() -> None:
    found = shrunk(np.array([[-0.1, 0.2], [0.2, 1.0]]))
    np.testing.assert_array_equal(found, np.diag([0.0, 1.0]))
