"""Variances of domain estimates: by hand, against dense algebra, and in the corners."""

from __future__ import annotations

import numpy as np
import pytest

from buurtsae.errors import DataError
from buurtsae.sparse import Floats
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.variance import covariance, group_sum, hajek, kish, ratio, srs_variance, total

NONE = np.zeros(0, dtype=np.int64)


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, dtype=np.int64)


def variance_of(y: Floats, w: Floats, domain: np.ndarray, n: int, design: SampleDesign) -> Floats:
    _, share, residual = hajek(y, w, domain, n)
    return covariance(share * residual, domain, n, design)


def test_sums_by_group_leave_out_group_minus_one() -> None:
    np.testing.assert_array_equal(
        group_sum(np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([1, -1, 1]), 3), [[0, 0], [6, 8], [0, 0]]
    )
    assert group_sum(np.zeros((0, 2)), NONE, 2).shape == (2, 2)


def test_hajek_by_hand() -> None:
    y = np.array([[2.0, np.nan], [6.0, 4.0], [9.0, 8.0], [1.0, 1.0]])
    mean, share, residual = hajek(y, np.array([1.0, 3.0, 2.0, 5.0]), np.array([0, 0, 1, -1]), 3)
    # (1 x 2 + 3 x 6) / 4 = 5; the answer that is missing is no zero: 4; nobody in the third domain
    np.testing.assert_array_equal(mean, [[5, 4], [9, 8], [np.nan, np.nan]])
    np.testing.assert_array_equal(share, [[0.25, 0], [0.75, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(residual, [[-3, 0], [1, 0], [0, 0], [0, 0]])


def test_totals_and_ratios_by_hand() -> None:
    y, x, w = np.array([[2.0], [6.0], [1.0]]), np.array([[1.0], [2.0], [np.nan]]), np.array([1.0, 3.0, 2.0])
    estimate, z = total(y, w, np.array([0, 0, 1]), 2)
    assert estimate.tolist() == [[20], [2]]
    assert z.tolist() == [[2], [18], [2]]
    estimate, z = ratio(y, x, w, np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(estimate, [[20 / 7], [np.nan]])
    np.testing.assert_allclose(z, [[(2 - 20 / 7) / 7], [3 * (6 - 40 / 7) / 7], [0]], atol=1e-15)


def test_the_variance_of_one_stratum_with_equal_weights_is_s2_over_n() -> None:
    y = np.array([[2.0], [6.0], [7.0]])  # s^2 = (9 + 1 + 4) / 2 = 7
    assert variance_of(y, np.ones(3), zeros(3), 1, SampleDesign.of(zeros(3)))[0, 0, 0] == pytest.approx(
        7 / 3, rel=1e-14
    )
    half = SampleDesign.of(zeros(3), (), [np.full(3, 6.0)])  # three of six: (1 - 1 / 2) s^2 / n
    assert variance_of(y, np.ones(3), zeros(3), 1, half)[0, 0, 0] == pytest.approx(7 / 6, rel=1e-14)


def test_a_stratum_with_one_respondent_contributes_its_own_square() -> None:
    y = np.array([[2.0], [6.0], [7.0]])  # z = (-3, 1, 2) / 3
    design = SampleDesign.of(np.array([0, 1, 1]))
    # 9 / 9 of the first; of the second stratum 2 / (2 - 1) x (1 / 9 + 4 / 9 - (3 / 3)^2 / 2) = 1 / 9
    assert variance_of(y, np.ones(3), zeros(3), 1, design)[0, 0, 0] == pytest.approx(10 / 9, rel=1e-14)
    assert design.lonely_strata.tolist() == [0]
    certain = SampleDesign.of(np.array([0, 1, 1]), lonely="certainty")
    assert variance_of(y, np.ones(3), zeros(3), 1, certain)[0, 0, 0] == pytest.approx(1 / 9, rel=1e-14)
    average = SampleDesign.of(np.array([0, 1, 1]), lonely="average")  # the first as the second
    assert variance_of(y, np.ones(3), zeros(3), 1, average)[0, 0, 0] == pytest.approx(2 / 9, rel=1e-14)


def test_average_counts_every_stratum_where_terms_reach_outside_the_domain() -> None:
    # as in R, where a calibrated sample keeps all rows in every domain: four strata, three of them with more units
    stratum, z = np.array([0, 0, 1, 1, 2, 3, 3]), np.arange(7.0)[:, None]
    domain = np.array([0, 0, 1, 1, 1, 1, 1])
    design, nothing = SampleDesign.of(stratum, lonely="average"), np.zeros((7, 1))
    found = covariance(z, domain, 2, design, nothing, np.zeros((2, 1, 1)))[:, 0, 0]
    # by hand: n_h / (n_h - 1) [sum z^2 - (sum z)^2 / n_h] = 2 (1 - 1 / 2) = 1 in strata 0, 1 and 3, times 4 / 3
    np.testing.assert_allclose(found, [4 / 3, 8 / 3], rtol=1e-14)
    own = covariance(z, domain, 2, design)[:, 0, 0]  # without such terms: the strata of the domain only
    np.testing.assert_allclose(own, [1, 2 * 3 / 2], rtol=1e-14)


def test_average_without_other_strata_is_adjust() -> None:
    y, stratum = np.array([[2.0], [6.0]]), np.array([0, 1])
    each = [variance_of(y, np.ones(2), zeros(2), 1, SampleDesign.of(stratum, lonely=p)) for p in ("average", "adjust")]
    np.testing.assert_array_equal(*each)
    assert each[0][0, 0, 0] == 2  # z = (-2, 2) / 2


def test_a_stratum_counts_its_respondents_outside_the_domain() -> None:
    y, design = np.array([[2.0], [6.0], [7.0], [1.0]]), SampleDesign.of(zeros(4))
    found = variance_of(y, np.ones(4), np.array([0, 0, 1, 1]), 2, design)[:, 0, 0]  # z in domain 0 = (-1, 1), 0, 0
    np.testing.assert_allclose(found, [4 / 3 * 2, 4 / 3 * 2 * 1.5**2], rtol=1e-14)  # 4 / 3 x sum z^2
    outside = variance_of(y, np.ones(4), np.array([0, 0, -1, -1]), 1, design)[:, 0, 0]
    np.testing.assert_allclose(outside, found[:1], rtol=1e-14)


def test_two_stages_by_hand() -> None:
    # two of four clusters, two of ten persons in each; z = y with weight 1
    z = np.array([[1.0], [3.0], [2.0], [6.0]])
    clusters, population = [np.array([0, 0, 1, 1]), np.arange(4)], [np.full(4, 4.0), np.full(4, 10.0)]
    design = SampleDesign.of(zeros(4), clusters, population)
    # first stage: (1 - 1/2) x 2 / 1 x ((4 - 6)^2 + (8 - 6)^2) = 8
    # second: f_1 = 1/2 times, per cluster, (1 - 1/5) x 2 x (2 x 1^2) = 3.2 and (1 - 1/5) x 2 x (2 x 2^2) = 12.8
    assert covariance(z, zeros(4), 1, design)[0, 0, 0] == pytest.approx(8 + 0.5 * 16, rel=1e-14)
    assert len(SampleDesign.of(zeros(4), clusters).stages) == 1  # without population sizes the first stage is all
    fractions = SampleDesign.of(zeros(4), clusters, [np.full(4, 0.5), np.full(4, 0.2)])
    assert covariance(z, zeros(4), 1, fractions)[0, 0, 0] == pytest.approx(16, rel=1e-14)


def dense(z: Floats, stratum: np.ndarray, cluster: np.ndarray, size: np.ndarray) -> float:
    """The textbook's sum over strata, for one variable over all respondents."""
    out = 0.0
    for h in np.unique(stratum):
        units = np.unique(cluster[stratum == h])
        t = np.array([z[(stratum == h) & (cluster == c)].sum() for c in units])
        n, big = len(units), size[stratum == h][0]
        out += (1 - n / big) * n / (n - 1) * ((t - t.mean()) ** 2).sum()
    return out


def test_covariances_with_terms_that_reach_outside_the_domain_against_dense_algebra() -> None:
    rng = np.random.default_rng(3)
    n, n_domains, p = 300, 12, 3
    stratum, cluster = rng.integers(0, 4, n), rng.integers(0, 6, n)
    domain, size = rng.integers(-1, n_domains, n), np.full(n, 20.0)
    z, extra = rng.normal(size=(n, 2)) * (domain >= 0)[:, None], rng.normal(size=(n, p))
    coefficient = rng.normal(size=(n_domains, p, 2))
    design = SampleDesign.of(stratum, [cluster], [size])
    found = covariance(z, domain, n_domains, design, extra, coefficient)
    for a in range(n_domains):
        whole = z * (domain == a)[:, None] + extra @ coefficient[a]
        for d, e in ((0, 0), (0, 1), (1, 1)):  # cov(x, y) = (V(x + y) - V(x) - V(y)) / 2
            v = [dense(x, stratum, cluster, size) for x in (whole[:, d] + whole[:, e], whole[:, d], whole[:, e])]
            assert found[a, d, e] == pytest.approx((v[0] - v[1] - v[2]) / 2, rel=1e-10)


def test_extra_terms_give_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    domain, z, extra = rng.integers(0, 9, 50), rng.normal(size=(50, 2)), rng.normal(size=(50, 3))
    args = (z, domain, 9, SampleDesign.of(zeros(50)), extra, rng.normal(size=(9, 3, 2)))
    whole = covariance(*args)
    monkeypatch.setattr("buurtsae.survey.variance.BLOCK", 12)
    np.testing.assert_allclose(covariance(*args), whole, rtol=1e-14)


def test_a_lonely_stratum_may_be_refused_by_name() -> None:
    with pytest.raises(DataError, match="1 strata have one sampled unit") as raised:
        SampleDesign.of(np.array([0, 1, 1]), lonely="fail", labels=["noord", "zuid"])
    assert raised.value.got == "noord"
    # all of its population: nothing to estimate, nothing to refuse
    SampleDesign.of(np.array([0, 1, 1]), (), [np.array([1.0, 5.0, 5.0])], lonely="fail")


@pytest.mark.parametrize("sizes", [[2.0, 9, 9], [5, 9, 8], [0, 9, 9], [np.nan, 9, 9]])
def test_population_sizes_must_fit(sizes: list[float]) -> None:
    stratum = np.array([0, 1, 1]) if sizes[0] != 2 else np.array([0, 0, 0])
    with pytest.raises(DataError, match="population sizes do not fit"):
        SampleDesign.of(stratum, (), [np.array(sizes)])


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(DataError, match="policy"):
        SampleDesign.of(zeros(3), lonely="ignore")  # type: ignore[arg-type]


def test_one_respondent_has_no_variance_and_nobody_has_no_mean() -> None:
    y = np.array([[2.0], [6.0], [7.0]])
    v = variance_of(y, np.ones(3), np.array([0, 1, 1]), 3, SampleDesign.of(zeros(3)))[:, 0, 0]
    assert v[0] == 0  # as in R; the product shows it as missing
    assert v[1] > 0
    assert v[2] == 0


def test_equal_answers_have_residuals_and_variances_of_zero_exactly() -> None:
    """Their weighted mean is that answer only up to rounding: sum w y / sum w is off in a third of the domains."""
    rng = np.random.default_rng(3)
    domain = np.repeat(np.arange(400), rng.integers(1, 9, 400))
    y = np.column_stack([rng.integers(0, 8, 400)[domain] * 10 / 7, np.full(len(domain), 20 / 3)])
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    w = rng.lognormal(0, 0.5, len(domain))
    mean, share, residual = hajek(y, w, domain, 400)
    assert (residual == 0).all()
    assert set(np.unique(mean[:, 1][np.isfinite(mean[:, 1])])) == {20 / 3}
    assert (covariance(share * residual, domain, 400, SampleDesign.of(rng.integers(0, 5, len(domain)))) == 0).all()
    one = np.flatnonzero(np.isfinite(y[:, 0]) & (domain >= 0))[0]
    y[one, 0] += 1e-9  # nearly equal is not equal
    answers = np.isfinite(y[domain == domain[one], 0]).sum()
    assert (hajek(y, w, domain, 400)[2] != 0).sum() == (answers if answers > 1 else 0) > 0


def test_a_mean_over_whole_strata_of_equal_answers_has_a_variance_of_zero_exactly() -> None:
    """Answers differ between strata only: sum t^2 - (sum t)^2 / n_h would leave rounding, of either sign."""
    stratum = np.repeat(np.arange(60), 3)
    domain = stratum // 2
    y = (np.arange(60) % 7 * 10 / 7)[stratum][:, None]
    assert (variance_of(y, np.ones(180), domain, 30, SampleDesign.of(stratum)) == 0).all()
    more = SampleDesign.of(np.append(stratum, 5))  # somebody of the sixth stratum lives elsewhere
    elsewhere = variance_of(np.append(y, [[1.0]], axis=0), np.ones(181), np.append(domain, -1), 30, more)
    assert np.flatnonzero(elsewhere[:, 0, 0]).tolist() == [2]


def test_design_effect_of_weights_by_hand() -> None:
    y = np.array([[1.0], [2.0], [np.nan], [4.0]])
    found = kish(np.array([1.0, 3.0, 9.0, 2.0]), np.isfinite(y), np.array([0, 0, 0, 1]), 3)[:, 0]
    np.testing.assert_allclose(found, [2 * 10 / 16, 1, np.nan])


def test_simple_random_sampling_by_hand() -> None:
    y, w = np.array([[2.0], [6.0], [7.0]]), np.full(3, 2.0)
    assert srs_variance(y, w, zeros(3), 1)[0, 0] == pytest.approx(7 / 3 * (1 - 3 / 6), rel=1e-14)
    assert srs_variance(y, w, zeros(3), 1, replacement=True)[0, 0] == pytest.approx(7 / 3, rel=1e-14)
    assert np.isnan(srs_variance(y, w / 2, zeros(3), 1)).all()  # everybody was asked: no sampling error to compare with
    assert np.isnan(srs_variance(y[:1], w[:1], zeros(1), 1)).all()
