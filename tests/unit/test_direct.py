"""Direct estimates: means, design variances, smoothed covariances, and totals at every level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, make_areas, make_scores

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, ProblemsError
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import (
    DirectEstimates,
    direct,
    hajek,
    linearised_variance,
    pooled_covariance,
)
from buurtsae.survey.scales import Scores

OMGANG, PARTICIPATIE, IDENTITEIT, GESCHIKTHEID = SUBDIMENSIONS


def scores_of(rows: list[tuple[str, float, str, float, float]], source: str = "veiligheidsmonitor") -> Scores:
    """Respondents as (area, weight, stratum, omgang, participatie); the other sub-dimensions are not asked."""
    frame = pd.DataFrame(rows, columns=["area", "weight", "stratum", OMGANG, PARTICIPATIE])
    return Scores(frame.assign(**{IDENTITEIT: np.nan, GESCHIKTHEID: np.nan}), source, 2023, SUBDIMENSIONS)


@pytest.fixture(scope="module")
def areas() -> Areas:
    return make_areas()


@pytest.fixture(scope="module")
def two(areas: Areas) -> list[Scores]:
    return make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))


@pytest.fixture(scope="module")
def made(areas: Areas, two: list[Scores]) -> DirectEstimates:
    return direct(two, areas)


def test_hajek_by_hand() -> None:
    y = np.array([[2.0, np.nan], [6.0, 4.0], [9.0, 8.0]])
    mean, share, residual = hajek(y, np.array([1.0, 3.0, 2.0]), np.array([0, 0, 1]), 3)
    # (1 x 2 + 3 x 6) / 4 = 5; the answer that is missing is no zero: 4
    np.testing.assert_array_equal(mean, [[5, 4], [9, 8], [np.nan, np.nan]])
    np.testing.assert_array_equal(share, [[0.25, 0], [0.75, 1], [1, 1]])
    np.testing.assert_array_equal(residual, [[-3, 0], [1, 0], [0, 0]])


def test_the_variance_of_one_stratum_with_equal_weights_is_s2_over_n() -> None:
    y = np.array([[2.0], [6.0], [7.0]])  # s^2 = (9 + 1 + 4) / 2 = 7
    zeros = np.zeros(3, dtype=np.int64)
    _, share, residual = hajek(y, np.ones(3), zeros, 1)
    assert linearised_variance(share, residual, zeros, zeros, 1)[0, 0, 0] == pytest.approx(7 / 3, rel=1e-14)


def test_a_stratum_with_one_respondent_contributes_its_own_square() -> None:
    y, zeros = np.array([[2.0], [6.0], [7.0]]), np.zeros(3, dtype=np.int64)
    _, share, residual = hajek(y, np.ones(3), zeros, 1)  # z = (-3, 1, 2) / 3
    variance = linearised_variance(share, residual, zeros, np.array([0, 1, 1]), 1)
    # 9 / 9 of the first; of the second stratum 2 / (2 - 1) x (1 / 9 + 4 / 9 - (3 / 3)^2 / 2) = 1 / 9
    assert variance[0, 0, 0] == pytest.approx(10 / 9, rel=1e-14)


def test_a_stratum_counts_its_respondents_outside_the_domain() -> None:
    y, domain, zeros = np.array([[2.0], [6.0], [7.0], [1.0]]), np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64)
    _, share, residual = hajek(y, np.ones(4), domain, 2)  # z in domain 0 = (-1, 1), 0, 0
    variance = linearised_variance(share, residual, domain, zeros, 2)[:, 0, 0]
    np.testing.assert_allclose(variance, [4 / 3 * 2, 4 / 3 * 2 * 1.5**2], rtol=1e-14)  # 4 / 3 x sum z^2


def test_pooled_covariance_by_hand() -> None:
    y = np.array([[1.0, 2.0], [3.0, 6.0], [4.0, 1.0], [8.0, 1.0], [5.0, 5.0]])
    s = pooled_covariance(y, np.ones(5), np.array([0, 0, 1, 1, 2]), 3)
    # squares (1 + 1) + (4 + 4) = 10, products 2 + 2 = 4, (4 + 4) + 0 = 8; freedom 5 - 3 = 2
    np.testing.assert_allclose(s, [[5, 2], [2, 4]], rtol=1e-14)
    # weights 1 and 3 in one area: mean 2.5, sum w r^2 = 2.25 + 0.75 = 3, freedom 4 - 10 / 4 = 1.5
    weighted = pooled_covariance(np.array([[1.0], [3.0]]), np.array([1.0, 3.0]), np.zeros(2, dtype=np.int64), 1)
    assert weighted[0, 0] == pytest.approx(2, rel=1e-14)


def test_pooled_covariance_is_unbiased_with_weights_and_missing_answers() -> None:
    rng = np.random.default_rng(20)
    true = np.array([[1.44, 0.6], [0.6, 2.25]])
    domain = np.repeat(np.arange(40), 5)
    found = []
    for _ in range(400):
        y = 3 * rng.normal(size=(40, 2))[domain] + rng.multivariate_normal([0, 0], true, size=len(domain))
        y[rng.uniform(size=y.shape) < 0.2] = np.nan
        found.append(pooled_covariance(y, rng.lognormal(0, 0.6, len(domain)), domain, 40))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert error.max() < 0.02  # the test can see a bias of 5 percent
    assert (abs(np.mean(found, axis=0) - true) < 4 * error).all()  # P(any of three beyond 4 se) < 2e-4


def test_without_two_respondents_in_one_buurt_nothing_is_pooled() -> None:
    with pytest.raises(DataError, match="cannot be estimated"):
        pooled_covariance(np.ones((3, 1)), np.ones(3), np.arange(3), 3)


def test_pairwise_deletion_never_gives_a_negative_variance() -> None:
    # correlations 1, 1 and -1 of pairs answered by different people: no matrix has these
    missing = np.nan
    y = np.array([[1, 1, missing], [2, 2, missing], [missing, 1, 1], [missing, 2, 2], [1, missing, 2], [2, missing, 1]])
    s = pooled_covariance(y, np.ones(6), np.array([0, 0, 1, 1, 2, 2]), 3)
    assert np.linalg.eigvalsh(s).min() > -1e-12
    assert (np.diag(s) > 0).all()


def test_smoothed_variance_of_one_subdimension_is_s2_over_n_eff(areas: Areas) -> None:
    rows = [
        ("BU03440100", 1.0, "all", 2.0, np.nan),
        ("BU03440100", 3.0, "all", 6.0, np.nan),
        ("BU03440101", 2.0, "all", 7.0, np.nan),
    ]
    source = direct(scores_of(rows), areas).sources[0]
    # Kish: n_eff = 4^2 / (1 + 9) = 1.6; mean 5, sum w r^2 = 9 + 3 = 12, freedom 6 - 10 / 4 - 2 = 1.5: S = 8
    np.testing.assert_allclose(source.n_effective[:, 0], [1.6, 1], rtol=1e-14)
    np.testing.assert_allclose(source.variance[:, 0, 0], [8 / 1.6, 8], rtol=1e-14)
    np.testing.assert_array_equal(source.mean[:, 0], [5, 7])
    assert source.respondents[:, 0].tolist() == [2, 1]


def test_smoothed_covariances_are_positive_definite(made: DirectEstimates) -> None:
    for source in made.sources:
        seen = np.isfinite(source.mean)
        for v, d in zip(source.variance, seen, strict=True):
            assert np.linalg.eigvalsh(v[np.ix_(d, d)]).min() > 1e-4
            np.testing.assert_array_equal(v[~d], 0)
            np.testing.assert_array_equal(v[:, ~d], 0)


def test_one_respondent_has_the_pooled_variance(made: DirectEstimates) -> None:
    source = made.sources[0]
    row = source.codes.get_loc("BU03440002")
    assert source.respondents[row].tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(source.n_effective[row], 1, rtol=1e-12)
    for other in range(len(source.codes)):  # S_d is V_d n_eff everywhere
        pooled = source.variance[other].diagonal() * source.n_effective[other]
        np.testing.assert_allclose(source.variance[row].diagonal(), pooled, rtol=1e-9)


def test_weights_have_no_scale_and_are_no_frequencies(areas: Areas, two: list[Scores], made: DirectEstimates) -> None:
    ten = [Scores(s.frame.assign(weight=10 * s.frame["weight"]), s.source, s.year, s.subdimensions) for s in two]
    for a, b in zip(direct(ten, areas).sources, made.sources, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
        np.testing.assert_allclose(a.variance, b.variance, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(a.n_effective, b.n_effective, rtol=1e-12)
        np.testing.assert_array_equal(a.respondents, b.respondents)
    columns = ["direct", "direct_se", "n_effective"]
    a, b = (d.totals("gemeente")[columns] for d in (direct(ten, areas), made))
    pd.testing.assert_frame_equal(a, b, rtol=1e-9)


def test_the_first_source_that_informs_is_the_reference(areas: Areas, two: list[Scores]) -> None:
    assert direct(two, areas).reference.tolist() == [0, 0, 0, 0]
    turned = direct(two[::-1], areas)  # the burgerpeiling asks the first two only
    assert [s.source for s in turned.sources] == ["burgerpeiling", "veiligheidsmonitor"]
    assert turned.reference.tolist() == [0, 0, 1, 1]
    assert [s.informs.tolist() for s in turned.sources] == [[True, True, False, False], [True] * 4]


def test_what_nobody_was_asked_is_left_out(areas: Areas, two: list[Scores]) -> None:
    alone = direct(two[1], areas)
    assert alone.subdimensions == (OMGANG, PARTICIPATIE)
    assert alone.sources[0].mean.shape[1] == 2
    assert set(alone.totals("land", Concept.load())["measure"]) == {OMGANG, PARTICIPATIE, "sociale_verbondenheid"}


def naive(frame: pd.DataFrame, weights: dict[str, float]) -> tuple[float, float]:
    """Hajek mean and standard error of a mean of sub-dimensions, by the textbook's sums over one domain `mine`."""
    z, mean = pd.Series(0.0, index=frame.index), 0.0
    for name, share in weights.items():
        part = frame[frame["mine"] & frame[name].notna()]
        m = np.average(part[name], weights=part["weight"])
        z.loc[part.index] += share * part["weight"] * (part[name] - m) / part["weight"].sum()
        mean += share * m
    variance = sum(len(g) / (len(g) - 1) * ((g - g.mean()) ** 2).sum() for _, g in z.groupby(frame["stratum"]))
    return mean, float(np.sqrt(variance))


@pytest.mark.parametrize("level", ["buurt", "wijk", "gemeente", "ggdregio", "land"])
def test_totals_at_every_level(areas: Areas, two: list[Scores], made: DirectEstimates, level: str) -> None:
    concept = Concept.load()
    table = made.totals(level, concept).set_index(["area_code", "measure"])
    frame, other = (s.frame.assign(parent=areas.parents(level).reindex(s.frame["area"]).to_numpy()) for s in two)
    compared = 0
    for (code, measure), row in table.iterrows():
        leaves = list(concept.leaves(measure))
        own = frame[frame["parent"] == code]
        n = own[leaves].notna().any(axis=1).sum() + other[other["parent"] == code][leaves].notna().any(axis=1).sum()
        assert row["n_respondents"] == n
        if own[leaves].notna().any().all():
            weights = dict(zip(concept.subdimensions, concept.matrix[concept.measures.index(measure)], strict=True))
            mean, se = naive(frame.assign(mine=frame["parent"] == code), {d: weights[d] for d in leaves})
            assert row["direct"] == pytest.approx(mean, rel=1e-12)
            if (own[leaves].notna().sum() > 1).all():
                assert row["direct_se"] == pytest.approx(se, rel=1e-9)
                compared += 1
            else:
                assert np.isnan(row["direct_se"])
        else:
            assert np.isnan(row[["direct", "direct_se"]].astype(float)).all()
    assert compared >= 7 * {"buurt": 15, "wijk": 7, "gemeente": 3, "ggdregio": 2, "land": 1}[level]


def test_a_measure_from_two_sources_has_the_sum_of_their_variances(areas: Areas, two: list[Scores]) -> None:
    first = Scores(two[0].frame.assign(**{OMGANG: np.nan}), "veiligheidsmonitor", 2022, SUBDIMENSIONS)
    second = Scores(two[1].frame.assign(**{PARTICIPATIE: np.nan}), "burgerpeiling", 2023, SUBDIMENSIONS)
    table = direct([first, second], areas).totals("land", Concept.load()).set_index("measure")
    both = table.loc[[OMGANG, PARTICIPATIE]]
    assert table.loc["sociale_verbondenheid", "direct"] == pytest.approx(both["direct"].mean(), rel=1e-12)
    assert table.loc["sociale_verbondenheid", "direct_se"] == pytest.approx(
        np.sqrt((both["direct_se"] ** 2).sum()) / 2, rel=1e-12
    )


def test_identical_answers_have_no_standard_error(areas: Areas) -> None:
    rows = [(code, 1.0, "all", 7.0, v) for code in ("BU03440100", "BU03440101") for v in (3.1, 7.3)]
    table = direct(scores_of(rows), areas).totals("land").set_index("measure")
    assert table.loc[OMGANG, "direct"] == 7
    assert np.isnan(table.loc[OMGANG, "direct_se"])  # a zero is no precision
    assert table.loc[PARTICIPATIE, "direct_se"] == pytest.approx(2.1 / np.sqrt(3), rel=1e-12)  # s = 2.1 x sqrt(4 / 3)


def test_respondents_where_nobody_lives_are_left_out_and_noted(areas: Areas, two: list[Scores]) -> None:
    frame = two[0].frame
    ghost = frame.iloc[:2].assign(area=EMPTY)
    found = direct(Scores(pd.concat([frame, ghost]), "veiligheidsmonitor", 2022, SUBDIMENSIONS), areas)
    assert found.notes == (f"2 respondents of veiligheidsmonitor left out: buurten without residents ({EMPTY})",)
    pd.testing.assert_frame_equal(found.totals("land"), direct(two[0], areas).totals("land"))
    assert EMPTY not in found.sources[0].codes


def test_all_that_is_wrong_at_once(areas: Areas) -> None:
    strange = scores_of([("BU99990000", 1.0, "all", np.nan, np.nan), ("BU03440100", 1.0, "all", np.nan, np.nan)])
    with pytest.raises(ProblemsError) as raised:
        direct([strange, strange], areas)
    what = [p.what for p in raised.value.problems]
    assert what == [
        "source veiligheidsmonitor is given twice",
        *["1 respondents of veiligheidsmonitor live in unknown buurten"] * 2,
        "there is no score at all",
    ]
    assert all(str(p).count("\n") == 2 for p in raised.value.problems)


def test_it_reads(made: DirectEstimates) -> None:
    assert repr(made).startswith("DirectEstimates of omgang_en_relaties, participatie, ")
    assert "veiligheidsmonitor 2022: 21 buurten" in repr(made)
