"""Direct estimates: means, design variances, smoothed covariances, and totals at every level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, make_areas, make_scores, per_wijk

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, ProblemsError
from buurtsae.survey.components import ENOUGH, components
from buurtsae.survey.concept import Concept
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.estimators import population_means, regressors
from buurtsae.survey.replicates import ReplicatePlan, jackknife
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.scales import Scores
from buurtsae.survey.variance import covariance, hajek

OMGANG, PARTICIPATIE, IDENTITEIT, GESCHIKTHEID = SUBDIMENSIONS


def scores_of(rows: list[tuple[str, float, str, float, float]], source: str = "veiligheidsmonitor") -> Scores:
    """Respondents as (area, weight, stratum, omgang, participatie); the other sub-dimensions are not asked."""
    frame = pd.DataFrame(rows, columns=["area_code", "weight", "stratum", OMGANG, PARTICIPATIE])
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


def test_pooled_covariance_by_hand() -> None:
    y = np.array([[1.0, 2.0], [3.0, 6.0], [4.0, 1.0], [8.0, 1.0], [5.0, 5.0]])
    s = components(y, np.ones(5), [np.array([0, 0, 1, 1, 2])])[0]
    # squares (1 + 1) + (4 + 4) = 10, products 2 + 2 = 4, (4 + 4) + 0 = 8; freedom 5 - 3 = 2
    np.testing.assert_allclose(s, [[5, 2], [2, 4]], rtol=1e-14)
    # weights 1 and 3 in one area: mean 2.5, sum w r^2 = 2.25 + 0.75 = 3, freedom 4 - 10 / 4 = 1.5
    weighted = components(np.array([[1.0], [3.0]]), np.array([1.0, 3.0]), [np.zeros(2, dtype=np.int64)])[0]
    assert weighted[0, 0] == pytest.approx(2, rel=1e-14)


def test_pooled_covariance_is_unbiased_with_weights_and_missing_answers() -> None:
    rng = np.random.default_rng(20)
    true = np.array([[1.44, 0.6], [0.6, 2.25]])
    domain = np.repeat(np.arange(40), 5)
    found = []
    for _ in range(400):
        y = 3 * rng.normal(size=(40, 2))[domain] + rng.multivariate_normal([0, 0], true, len(domain), method="cholesky")
        y[rng.uniform(size=y.shape) < 0.2] = np.nan
        found.append(components(y, rng.lognormal(0, 0.6, len(domain)), [domain])[0])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert error.max() < 0.02  # the test can see a bias of 5 percent
    assert (abs(np.mean(found, axis=0) - true) < 4 * error).all()  # P(any of three beyond 4 se) < 2e-4


def test_without_two_respondents_in_one_buurt_nothing_is_pooled() -> None:
    with pytest.raises(DataError, match="cannot be estimated"):
        components(np.ones((3, 1)), np.ones(3), [np.arange(3)])


def test_pairwise_deletion_never_gives_a_negative_variance() -> None:
    # correlations 1, 1 and -1 of pairs answered by different people: no matrix has these
    missing = np.nan
    y = np.array([[1, 1, missing], [2, 2, missing], [missing, 1, 1], [missing, 2, 2], [1, missing, 2], [2, missing, 1]])
    s = components(y, np.ones(6), [np.array([0, 0, 1, 1, 2, 2])])[0]
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
    frame, other = (s.frame.assign(parent=areas.parents(level).reindex(s.frame["area_code"]).to_numpy()) for s in two)
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


def test_answers_that_make_up_for_each_other_have_no_standard_error(areas: Areas) -> None:
    """Omgang and participatie are 5 together in every respondent: so is their mean, whatever the weights."""
    codes = [f"BU0344{k:02}{j:02}" for k in range(1, 3) for j in range(2)]
    rng = np.random.default_rng(4)
    rows = [(code, float(rng.lognormal(0, 0.6)), "all", 5 + x, 5 - x) for code in codes for x in (10 / 7, -5 / 7, 2.0)]
    table = direct(scores_of(rows), areas).totals("buurt", Concept.load()).set_index(["measure", "area_code"])
    assert (table.loc[OMGANG, "direct_se"].dropna() > 0.3).sum() == 4
    assert table.loc["sociale_verbondenheid", "direct"].dropna().tolist() == pytest.approx([5.0] * 4, rel=1e-12)
    assert table.loc["sociale_verbondenheid", "direct_se"].isna().all()


def test_an_area_within_one_sampled_unit_has_no_standard_error(areas: Areas, two: list[Scores]) -> None:
    """Deviations from its mean sum to zero over the unit: the sample tells nothing of how units differ."""
    frame = two[0].frame.dropna()
    frame = frame.assign(stratum="all", cluster=pd.factorize(frame["area_code"].str[:8])[0])  # wijken were sampled
    clustered = replace(two[0], frame=frame, survey_design=DesignInfo(clusters=("cluster",)))
    made = direct(clustered, areas)
    assert (made.variances()["before"] == 0).all()
    assert made.totals("wijk")["direct_se"].isna().all()
    assert made.totals("gemeente").query("area_code == 'GM0344'")["direct_se"].gt(0).all()


def test_respondents_where_nobody_lives_are_left_out_and_noted(areas: Areas, two: list[Scores]) -> None:
    frame = two[0].frame
    ghost = frame.iloc[:2].assign(area_code=EMPTY)
    found = direct(Scores(pd.concat([frame, ghost]), "veiligheidsmonitor", 2022, SUBDIMENSIONS), areas)
    assert found.notes == (f"2 respondents of veiligheidsmonitor left out: buurten without residents ({EMPTY})",)
    table, without = found.totals("land"), direct(two[0], areas).totals("land")
    pd.testing.assert_frame_equal(table.drop(columns="direct_se"), without.drop(columns="direct_se"))
    assert EMPTY not in found.sources[0].codes
    # they stay in the sample: a z of 0 in their stratum, which is then one respondent larger
    twice = frame.assign(mine=True)
    twice = pd.concat([twice, ghost.assign(mine=False)], ignore_index=True)
    for _, row in table.iterrows():
        assert row["direct_se"] == pytest.approx(naive(twice, {row["measure"]: 1.0})[1], rel=1e-9)


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


def complete(areas: Areas, two: list[Scores]) -> tuple[Areas, Scores]:
    """The areas with every covariate known, and the first source."""
    frame = areas.frame.assign(groen=np.cos(np.arange(len(areas.codes))), rood=np.arange(len(areas.codes)) % 5.0)
    return replace(areas, frame=frame), two[0]


def test_regression_estimates_are_hajek_means_at_buurt_level(areas: Areas, two: list[Scores]) -> None:
    # everybody in a buurt shares x: Xbar_a = xbar_a, so that B drops out of the mean and of its variance
    known, scores = complete(areas, two)
    made = direct(scores, known)
    one, other = (made.totals("buurt", Concept.load(), m, ["groen", "rood"]) for m in ("hajek", "greg"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)


@pytest.mark.parametrize("level", ["wijk", "gemeente", "land"])
def test_regression_estimates_above_buurten_against_dense_algebra(areas: Areas, two: list[Scores], level: str) -> None:
    known, scores = complete(areas, two)
    made = direct(scores, known)
    table = made.totals(level, method="greg", covariates=["groen", "rood"]).set_index(["area_code", "measure"])
    frame = scores.frame
    x = np.column_stack([np.ones(len(frame)), known.frame.loc[frame["area_code"], ["groen", "rood"]].to_numpy()])
    parent = known.parents(level)
    design = SampleDesign.of(pd.factorize(frame["stratum"])[0])
    zeros, compared = np.zeros(len(frame), dtype=np.int64), 0
    for measure in SUBDIMENSIONS:
        y = frame[measure].to_numpy()
        w = np.where(np.isfinite(y), frame["weight"], 0.0)
        t = x.T @ (w[:, None] * x)
        b = np.linalg.solve(t, x.T @ (w * np.nan_to_num(y)))
        e = np.nan_to_num(y - x @ b)
        for code in sorted(set(parent)):
            lived = known.frame[(parent == code) & known.inhabited]
            xbar = np.append(1.0, np.average(lived[["groen", "rood"]], axis=0, weights=lived["population"]))
            mine = (parent.loc[frame["area_code"]] == code).to_numpy() * w
            if np.count_nonzero(mine) < 2:
                continue
            mean = mine @ e / mine.sum()
            row = table.loc[(code, measure)]
            assert row["direct"] == pytest.approx(xbar @ b + mean, rel=1e-9)
            away = np.linalg.solve(t, xbar - mine @ x / mine.sum())
            z = mine * (e - mean) / mine.sum() + w * e * (x @ away)  # of every respondent, also outside the area
            v = covariance(z[:, None], zeros, 1, design)[0, 0, 0]
            assert row["direct_se"] == pytest.approx(np.sqrt(v), rel=1e-8)
            compared += 1
    assert compared >= {"wijk": 20, "gemeente": 12, "land": 4}[level]


def test_regression_needs_covariates_that_are_there(areas: Areas, two: list[Scores]) -> None:
    made = direct(two[0], areas)
    with pytest.raises(DataError, match="are missing"):
        made.totals("wijk", method="greg", covariates=["groen"])  # one is NaN in the made areas
    for names in ([], ["blauw"]):
        with pytest.raises(DataError, match="need covariates"):
            made.totals("wijk", method="greg", covariates=names)


def test_regressors_are_standardised_and_averaged_over_residents(areas: Areas, two: list[Scores]) -> None:
    known, _ = complete(areas, two)
    x = regressors(known, ["groen"])
    np.testing.assert_allclose(x[known.inhabited].mean(axis=0), [1, 0], atol=1e-12)
    land = population_means(known, "land", pd.Index(["NL00"]), x)
    np.testing.assert_allclose(land[0], np.average(x, axis=0, weights=known.population), rtol=1e-12)


def test_clusters_and_population_sizes_of_the_design_are_used(areas: Areas, two: list[Scores]) -> None:
    frame = two[0].frame.reset_index(drop=True)
    frame["cluster"], frame["fpc"] = np.arange(len(frame)) // 4, 0.25
    info = DesignInfo(clusters=("cluster",), population=("fpc",))
    made = direct(replace(two[0], frame=frame, survey_design=info), areas).totals("land").set_index("measure")
    y, w = frame[[OMGANG]].to_numpy(), frame["weight"].to_numpy()
    zeros = np.zeros(len(frame), dtype=np.int64)
    _, share, residual = hajek(y, w, zeros, 1)
    z = (share * residual)[:, 0]
    # by hand: a cluster of four respondents may lie in both strata: it is two units then
    total = 0.0
    for _, rows in frame.groupby("stratum"):
        t = pd.Series(z).loc[rows.index].groupby(rows["cluster"]).sum()
        total += 0.75 * len(t) / (len(t) - 1) * ((t - t.mean()) ** 2).sum()
    assert made.loc[OMGANG, "direct_se"] == pytest.approx(np.sqrt(total), rel=1e-10)


def clustered(n_areas: int, rho: float, seed: int, codes: pd.Index) -> Scores:
    """Nine respondents in each area, in households of three whose answers correlate by rho; variance 4."""
    rng, area = np.random.default_rng(seed), np.repeat(np.arange(n_areas), 9)
    household = np.arange(len(area)) // 3
    frame = pd.DataFrame({"area_code": codes[area], "weight": 1.0, "stratum": "all", "cluster": household})
    frame[list(SUBDIMENSIONS)] = np.nan
    y = np.sqrt(rho) * rng.normal(size=len(area) // 3)[household] + np.sqrt(1 - rho) * rng.normal(size=len(area))
    frame[OMGANG] = 5 + rng.normal(size=n_areas)[area] + 2 * y
    info = DesignInfo(clusters=("cluster",))
    return Scores(frame, "veiligheidsmonitor", 2022, SUBDIMENSIONS, survey_design=info)


def test_clusters_count_in_what_the_model_gets(areas: Areas) -> None:
    codes = areas.codes[areas.inhabited]
    scores = [clustered(len(codes), 0.4, seed, codes) for seed in range(60)]
    sources = [direct(each, areas).sources[0] for each in scores]
    variance = np.array([source.variance[:, 0, 0].mean() for source in sources])
    # 4 (1 + 2 rho) / 9: nine answers in threes are worth 5; four standard errors of the mean of 60
    error = variance.std() / np.sqrt(60)
    assert error < 0.04
    assert variance.mean() == pytest.approx(4 * 1.8 / 9, abs=4 * error)
    for source in sources:
        assert source.icc is not None
        np.testing.assert_allclose(source.n_effective[:, 0], 9 / (1 + 2 * source.icc[0, 0]), rtol=1e-12)
        assert source.within is not None
        # squares about the mean of an area, over 1 - 1 / n_effective, pool to the variance of a score
        whole = source.variance[:, 0, 0] * source.n_effective[:, 0]
        assert source.within[:, 0].mean() == pytest.approx(whole.mean(), rel=1e-10)
    one = direct(scores[0], areas)
    assert any("answers within a cluster correlate by" in note for note in one.notes)
    # and in the numbers of every level
    table = one.totals("land").query("measure == @OMGANG")
    rho = sources[0].icc[0, 0]
    assert table["n_effective"].iloc[0] == pytest.approx(9 * len(codes) / (1 + 2 * rho), rel=1e-12)
    unclustered = replace(scores[0], survey_design=DesignInfo())
    plain = direct(unclustered, areas)
    assert plain.sources[0].n_effective[:, 0].tolist() == pytest.approx([9.0] * len(codes))
    assert not any("cluster" in note for note in plain.notes)


def test_clusters_that_are_areas_cost_nothing_within_them(areas: Areas) -> None:
    codes = areas.codes[areas.inhabited]
    scores = clustered(len(codes), 0.4, 1, codes)
    frame = scores.frame.assign(cluster=pd.factorize(scores.frame["area_code"])[0])
    made = direct(replace(scores, frame=frame), areas)
    plain = direct(replace(scores, survey_design=DesignInfo()), areas)
    np.testing.assert_allclose(made.sources[0].variance, plain.sources[0].variance)
    assert any("those of independent respondents" in note for note in made.notes)


def test_variances_follow_covariates_where_the_data_show_it(areas: Areas) -> None:
    """24 buurten of six; variance 1 and 4 in halves that a covariate tells apart, of one sub-dimension only."""
    codes, rng = areas.codes[areas.inhabited], np.random.default_rng(11)
    area = np.repeat(np.arange(len(codes)), 6)
    groen = pd.Series(np.arange(len(codes)) % 2, index=codes).reindex(areas.codes).to_numpy(dtype=float)
    known = replace(areas, frame=areas.frame.assign(groen=groen))  # missing where nobody lives
    frame = pd.DataFrame({"area_code": codes[area], "weight": 1.0, "stratum": "all"})
    frame[list(SUBDIMENSIONS)] = np.nan
    y = rng.normal(size=(len(area), 2))
    frame[OMGANG], frame[PARTICIPATIE] = 5 + y[:, 0] * np.where(area % 2, 2.0, 1.0), 5 + y[:, 1]
    scores = Scores(frame, "veiligheidsmonitor", 2022, SUBDIMENSIONS)
    plain, auto = (
        direct(scores, known, variances=method, covariates=names).sources[0].variance[:, [0, 1], [0, 1]]
        for method, names in (("pooled", ()), ("auto", ("groen",)))
    )
    odd = np.arange(len(codes)) % 2 == 1
    ratio = auto[odd, 0].mean() / auto[~odd, 0].mean()
    # two variances of 5 x 30 degrees of freedom each: the logarithm of their ratio is known to 0.16; four of that
    freedom = 5 * odd.sum()
    assert np.log(ratio) == pytest.approx(np.log(4), abs=4 * np.sqrt(4 / freedom))
    np.testing.assert_allclose(auto.mean(axis=0), plain.mean(axis=0), rtol=1e-12)
    assert np.ptp(np.log(auto[:, 1])) < 0.5  # nothing to follow: two standard errors of its slope at most


def test_covariates_of_variances_must_be_there(areas: Areas, two: list[Scores]) -> None:
    with pytest.raises(DataError, match="covariates of the variances are absent") as raised:
        direct(two[0], areas, variances="auto", covariates=["warmte"])
    assert raised.value.got == "warmte"
    assert "join the table" in raised.value.hint


def test_variances_of_a_source_per_wijk_follow_what_its_buurten_have(areas: Areas, two: list[Scores]) -> None:
    made = direct(per_wijk(two[0]), areas, variances="auto", covariates=["groen"])
    assert made.sources[0].level == "wijk"
    assert (made.sources[0].variance[:, 0, 0] > 0).all()


def test_replicate_weights_take_the_place_of_the_linearised_variance(areas: Areas, two: list[Scores]) -> None:
    frame = two[0].frame.reset_index(drop=True)
    made = jackknife(frame["weight"].to_numpy(), SampleDesign.of(pd.factorize(frame["stratum"])[0]))
    names = [f"replicate_{k + 1}" for k in range(len(made.rscales))]
    wide = pd.concat([frame, pd.DataFrame(made.weights, columns=names)], axis=1)
    plan = ReplicatePlan("replicate_", "JKn", rscales=tuple(made.rscales))
    info = DesignInfo(replicates=tuple(names), plan=plan)
    table = direct(replace(two[0], frame=wide, survey_design=info), areas).totals("land").set_index("measure")
    plain = direct(two[0], areas).totals("land").set_index("measure")
    np.testing.assert_allclose(table["direct"], plain["direct"], rtol=1e-12)
    # the jackknife agrees with linearisation to terms of 1 / n, here 1 / 200
    np.testing.assert_allclose(table["direct_se"], plain["direct_se"], rtol=0.02)
    assert (abs(table["direct_se"] / plain["direct_se"] - 1) > 1e-6).all()  # and is not the same figure


def test_design_effects(areas: Areas, two: list[Scores]) -> None:
    table = direct(two, areas).design_effects("gemeente").set_index(["area_code", "measure"])
    row = table.loc[("GM0344", OMGANG)]
    own = two[0].frame[two[0].frame["area_code"].str.startswith("BU0344") & two[0].frame[OMGANG].notna()]
    w, y = own["weight"], own[OMGANG]
    assert row["source"] == "veiligheidsmonitor"
    assert row["n_respondents"] == len(own)
    assert row["deff_weights"] == pytest.approx(len(w) * (w**2).sum() / w.sum() ** 2, rel=1e-12)
    assert row["n_effective"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
    se = direct(two, areas).totals("gemeente").set_index(["area_code", "measure"]).loc[("GM0344", OMGANG), "direct_se"]
    spread = (w * (y - np.average(y, weights=w)) ** 2).sum() / w.sum() * len(w) / (len(w) - 1)
    total = two[0].frame["weight"].sum()
    rest = 1.0 if total <= 1.01 * len(two[0].frame) else 1 - len(w) / w.sum()
    assert row["deff"] == pytest.approx(se**2 / (spread / len(w) * rest), rel=1e-9)
    alone = direct(two, areas).design_effects("buurt").set_index(["area_code", "measure"]).loc[("BU03440002", OMGANG)]
    assert np.isnan(alone[["deff", "deff_weights"]].astype(float)).all()


def test_a_gemeente_with_one_respondent_is_noted(areas: Areas, two: list[Scores]) -> None:
    frame = two[0].frame
    few = pd.concat(
        [frame[~frame["area_code"].str.startswith("BU0400")], frame[frame["area_code"].str.startswith("BU0400")][:1]]
    )
    found = direct(replace(two[0], frame=few), areas)
    assert found.notes == ("veiligheidsmonitor has one respondent in 1 gemeenten (GM0400)",)
    table = found.totals("gemeente").set_index("area_code").loc["GM0400"]
    assert table["direct_se"].isna().all()


def test_notes_of_the_design_reach_the_estimates(areas: Areas, two: list[Scores]) -> None:
    scores = replace(two[0], survey_design=DesignInfo(notes=("2 strata have one respondent",)))
    assert direct(scores, areas).notes == ("2 strata have one respondent",)


def test_estimates_per_wijk_by_hand(areas: Areas) -> None:
    rows = [
        ("WK034401", 1.0, "all", 2.0, np.nan),
        ("WK034401", 3.0, "all", 6.0, np.nan),
        ("WK034402", 2.0, "all", 7.0, np.nan),
    ]
    made = direct(replace(scores_of(rows), level="wijk"), areas)
    source = made.sources[0]
    assert (source.level, source.codes.tolist()) == ("wijk", ["WK034401", "WK034402"])
    # as for a buurt with these respondents: mean (2 + 18) / 4, n_eff = 16 / 10 = 1.6, S = 8 (see above)
    np.testing.assert_array_equal(source.mean[:, 0], [5, 7])
    np.testing.assert_allclose(source.n_effective[:, 0], [1.6, 1], rtol=1e-14)
    np.testing.assert_allclose(source.variance[:, 0, 0], [8 / 1.6, 8], rtol=1e-14)
    assert source.respondents[:, 0].tolist() == [2, 1]
    assert source.within is not None
    # sum p r^2 / (1 - sum p^2), with shares 1/4 and 3/4 and residuals -3 and 1
    assert source.within[0, 0] == pytest.approx((0.25 * 9 + 0.75 * 1) / (1 - 0.0625 - 0.5625))
    wijk = made.totals("wijk").set_index("area_code").loc["WK034401"]
    assert wijk["direct"] == 5
    # z = p r = (-0.75, 0.75) of three respondents in one stratum: n / (n - 1) sum z^2
    assert wijk["direct_se"] == pytest.approx(np.sqrt(3 / 2 * 2 * 0.75**2))
    assert "veiligheidsmonitor 2023: 2 wijken" in repr(made)


def test_a_source_known_per_wijk_counts_from_wijk_level_upward(areas: Areas, two: list[Scores]) -> None:
    """Above buurt level its figures are those of the same respondents known per buurt."""
    buurt, wijk = direct(two[0], areas), direct(per_wijk(two[0]), areas)
    for level in ("wijk", "gemeente", "ggdregio", "land"):
        pd.testing.assert_frame_equal(
            wijk.totals(level, Concept.load()), buurt.totals(level, Concept.load()), check_exact=False, rtol=1e-12
        )
        pd.testing.assert_frame_equal(wijk.design_effects(level), buurt.design_effects(level), rtol=1e-12)
    below = wijk.totals("buurt", Concept.load())
    assert sorted(set(below["area_code"])) == areas.codes.tolist()
    assert below[["direct", "direct_se"]].isna().all(axis=None)
    assert (below[["n_respondents", "n_effective"]] == 0).all(axis=None)
    assert (wijk.design_effects("buurt")["n_respondents"] == 0).all()


def test_a_wijk_source_beside_one_per_buurt(areas: Areas, two: list[Scores], made: DirectEstimates) -> None:
    mixed = direct([two[0], per_wijk(two[1])], areas)
    columns = ["area_code", "measure", "direct", "direct_se"]
    for level in ("buurt", "wijk", "land"):  # the reference is the first source, in both
        pd.testing.assert_frame_equal(mixed.totals(level)[columns], made.totals(level)[columns])
    assert mixed.totals("wijk")["n_respondents"].equals(made.totals("wijk")["n_respondents"])
    alone = direct(two[0], areas)
    assert mixed.totals("buurt")["n_respondents"].equals(alone.totals("buurt")["n_respondents"])
    assert set(mixed.variances()["area_code"].str[:2]) == {"BU", "WK"}


@pytest.mark.parametrize("method", ["linearised", "replicates"])
def test_covariances_per_wijk_follow_from_the_whole_design(areas: Areas, two: list[Scores], method: str) -> None:
    """Those of totals of the same respondents, known per buurt, at wijk level."""
    scores = two[0]
    if method == "replicates":
        frame = scores.frame.reset_index(drop=True)
        made = jackknife(frame["weight"].to_numpy(), SampleDesign.of(pd.factorize(frame["stratum"])[0]))
        names = [f"replicate_{k + 1}" for k in range(len(made.rscales))]
        plan = ReplicatePlan("replicate_", "JKn", rscales=tuple(made.rscales))
        wide = pd.concat([frame, pd.DataFrame(made.weights, columns=names)], axis=1)
        scores = replace(scores, frame=wide, survey_design=DesignInfo(replicates=tuple(names), plan=plan))
    source = direct(per_wijk(scores), areas).sources[0]
    table = direct(scores, areas).totals("wijk").set_index(["area_code", "measure"])
    assert source.given is not None
    assert len(source.codes) == 7
    for a, code in enumerate(source.codes):
        for d, measure in enumerate(SUBDIMENSIONS):
            row = table.loc[(code, measure)]
            assert source.mean[a, d] == pytest.approx(row["direct"], rel=1e-12)
            assert np.sqrt(source.given[a, d, d]) == pytest.approx(row["direct_se"], rel=1e-9)


def test_regression_estimates_of_a_wijk_source_are_hajek_means_per_wijk(areas: Areas, two: list[Scores]) -> None:
    known, scores = complete(areas, two)  # everybody in a wijk is given the mean x of its residents
    made = direct(per_wijk(scores), known)
    one, other = (made.totals("wijk", Concept.load(), m, ["groen", "rood"]) for m in ("hajek", "greg"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-9)
    assert made.totals("buurt", method="greg", covariates=["groen"])["direct"].isna().all()


def test_a_wijk_of_which_the_run_holds_a_part_is_noted(areas: Areas, two: list[Scores]) -> None:
    source = per_wijk(two[0])
    n = int((source.frame["area_code"] == "WK034401").sum())
    found = direct(source, replace(areas, partial={"wijk": ("WK034401",)}))
    assert found.notes == (
        f"{n} respondents live in wijken of which the run holds a part, and stand for that part (veiligheidsmonitor)",
    )
    assert direct(source, areas).notes == ()


def test_a_wijk_where_nobody_lives_is_left_out_and_noted(areas: Areas, two: list[Scores]) -> None:
    residents = areas.frame["population"].mask(areas.frame["wijk"] == "WK034403", 0)
    some = replace(areas, frame=areas.frame.assign(population=residents))
    found = direct(per_wijk(two[0]), some)
    n = int(two[0].frame["area_code"].str.startswith("BU034403").sum())
    assert found.notes == (f"{n} respondents of veiligheidsmonitor left out: wijken without residents (WK034403)",)
    assert found.sources[0].codes.tolist() == ["WK034400", "WK034401", "WK034402", "WK035500", "WK035501", "WK040000"]


def test_unknown_wijken_and_buurtcodes_of_a_wijk_source(areas: Areas) -> None:
    rows = [("WK999900", 1.0, "all", 5.0, 5.0), ("BU03440100", 1.0, "all", 5.0, 5.0)]
    with pytest.raises(DataError) as raised:
        direct(replace(scores_of(rows), level="wijk"), areas)
    assert raised.value.what == "2 respondents of veiligheidsmonitor live in unknown wijken"
    assert (raised.value.got, raised.value.expected) == ("BU03440100, WK999900", "wijkcodes of 2024")


def test_which_source_is_the_reference(areas: Areas, two: list[Scores]) -> None:
    """Survey before participatory source, and of each kind buurt before wijk."""
    order = [("participatory", "wijk"), ("participatory", "buurt"), ("survey", "wijk"), ("survey", "buurt")]
    kinds = [
        replace(two[0] if level == "buurt" else per_wijk(two[0]), source=f"{kind} {level}", kind=kind)
        for kind, level in order
    ]
    for n in range(1, 5):
        assert direct(kinds[:n], areas).reference.tolist() == [n - 1] * 4


def test_means_of_a_level_are_made_once(made: DirectEstimates, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = replace(made)
    first = fresh.totals("wijk")
    monkeypatch.setattr("buurtsae.survey.totals.domain_estimates", None)  # a second call would fail
    pd.testing.assert_frame_equal(fresh.totals("wijk"), first)
    more = fresh.totals("wijk", Concept.load())
    pd.testing.assert_frame_equal(more[more["measure"].isin(made.subdimensions)].reset_index(drop=True), first)
    with pytest.raises(TypeError):
        fresh.totals("gemeente")


def test_a_variance_that_rests_on_little_is_noted(areas: Areas) -> None:
    codes = areas.codes[areas.inhabited]
    two = codes.repeat(2)
    rows = [(code, 1.0, "all", float(k % 5), np.nan) for k, code in enumerate(two)]
    scores = scores_of(rows)
    freedom = len(codes)  # one in each area, of two equal weights
    assert freedom < ENOUGH
    error = 100 * np.sqrt(2 / freedom)
    expected = f"rests on {freedom} degrees of freedom in veiligheidsmonitor: its standard error is {error:.0f}%"
    assert any(expected in note for note in direct(scores, areas).notes)
    assert not any("degrees of freedom" in note for note in direct(scores, areas, sd={"veiligheidsmonitor": 2.0}).notes)
    many = scores_of(rows * 5)
    assert not any("degrees of freedom" in note for note in direct(many, areas).notes)
