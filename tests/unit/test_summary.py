"""Estimates from draws that are known: coherence, shares, reliability, ranks, labels, and the contract's columns."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made_fit import (
    ALONE,
    CHAINS,
    DRAWS,
    EMPTY,
    HIDDEN,
    ISLAND,
    SILENT,
    SLOPE,
    SUBDIMENSIONS,
    TINY,
    UNKNOWN_X,
    Made,
    exact,
    made_fit,
)

from buurtsae.errors import DataError
from buurtsae.estimates import own_data
from buurtsae.estimates.labels import PROTECTING, Rules
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.schemas import ESTIMATES, SUPPRESSED
from buurtsae.survey.concept import Concept

PARTICIPATIE = "participatie"
TOTAL = "buurtverbondenheid"
N = CHAINS * DRAWS
MC = 5 / np.sqrt(N)  # five Monte Carlo standard errors, in units of a posterior sd: P < 1e-6 per figure


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(made.fit, run_id="proef")


@pytest.fixture(scope="module")
def single() -> Made:
    """One sub-dimension from one source: everything has a closed form."""
    return made_fit((PARTICIPATIE,), sources=1, seed=2)


def rows(est: Estimates, measure: str, level: str = "buurt") -> pd.DataFrame:
    table = est.table[(est.table["measure"] == measure) & (est.table["level"] == level)]
    return table.set_index("area_code")


def drawn(est: Estimates) -> dict[tuple[str, str], pd.DataFrame]:
    return {
        (measure, level): pd.DataFrame(values, columns=labels)
        for measure, level, labels, values in level_draws(est.fit, est.concept)
    }


def test_every_area_with_residents_and_every_measure_has_a_row(est: Estimates) -> None:
    counts = est.table.groupby(["level", "measure"])["area_code"].nunique().unstack()
    for level, n in {"buurt": 24, "wijk": 7, "gemeente": 3, "ggdregio": 2, "land": 1}.items():
        assert counts.loc[level].tolist() == [n] * 7
    assert len(est.table) == 37 * 7
    assert EMPTY not in set(est.table["area_code"])
    assert est.measures == Concept.load().measures
    assert est.table["level"].drop_duplicates().tolist() == ["buurt", "wijk", "gemeente", "ggdregio", "land"]


def test_columns_are_those_of_the_contract(est: Estimates) -> None:
    assert list(est.table) == [c.name for c in ESTIMATES]
    assert set(est.table["run_id"]) == {"proef"}
    assert set(est.table["code_year"]) == {2024}
    assert set(est.table["year"]) == {2023}  # the latest source
    assert set(estimate(est.fit, year=2030).table["year"]) == {2030}
    assert not est.table["benchmarked"].any()


def test_names_and_residents(est: Estimates) -> None:
    one = est.table.drop_duplicates(["level", "area_code"]).set_index("area_code")
    names = one.loc[["BU03440101", "WK034401", "GM0344", "GM0355", "GG02", "NL00"], "area_name"]
    assert names.tolist() == ["Buurt 03440101", "WK034401", "Voorbeeldstad", "GM0355", "GG02", "Streek"]
    frame = est.areas.frame
    assert one.loc["WK034400", "population"] == 0 + 6 + 520 + 530
    assert one.loc["NL00", "population"] == frame["population"].sum()


def test_estimates_are_the_posterior(made: Made, est: Estimates) -> None:
    live = made.fit.areas.inhabited
    for d, measure in enumerate(SUBDIMENSIONS):
        found, mean, sd = rows(est, measure), made.mean[live, d], np.sqrt(made.variance[live, d])
        assert (abs(found["estimate"] - mean) < MC * sd).all()
        # sd of an sd: sd / sqrt(2 N); of a 2.5% quantile: sqrt(0.025 x 0.975 / N) / normal density = 2.67 sd / sqrt N
        assert (abs(found["sd"] - sd) < MC / np.sqrt(2) * sd).all()
        assert (abs(found["lower"] - (mean - 1.96 * sd)) < 2.67 * MC * sd).all()
        assert (abs(found["upper"] - (mean + 1.96 * sd)) < 2.67 * MC * sd).all()


def test_dimensions_and_total_are_means_per_draw(est: Estimates) -> None:
    draws = drawn(est)
    for level in ("buurt", "land"):
        social = (draws["omgang_en_relaties", level] + draws[PARTICIPATIE, level]) / 2
        spatial = (draws["plaatsidentiteit", level] + draws["plaatsgeschiktheid", level]) / 2
        pd.testing.assert_frame_equal(draws["sociale_verbondenheid", level], social)
        pd.testing.assert_frame_equal(draws["ruimtelijke_verbondenheid", level], spatial)
        pd.testing.assert_frame_equal(draws[TOTAL, level], (social + spatial) / 2)


@pytest.mark.parametrize("level", ["wijk", "gemeente", "ggdregio", "land"])
def test_a_draw_above_is_the_weighted_mean_of_its_buurten(est: Estimates, level: str) -> None:
    draws, areas = drawn(est), est.areas
    parent = areas.parents(level)[areas.inhabited]
    weight = areas.frame["population"][areas.inhabited]
    for measure in est.measures:
        buurt = draws[measure, "buurt"]
        for code, members in parent.groupby(parent).groups.items():
            expected = (buurt[members] * weight[members]).sum(axis=1) / weight[members].sum()
            np.testing.assert_allclose(draws[measure, level][code], expected, rtol=1e-12)


def test_figures_above_buurt_are_those_of_the_draws(est: Estimates) -> None:
    values = drawn(est)[TOTAL, "gemeente"]
    found = rows(est, TOTAL, "gemeente")
    np.testing.assert_allclose(found["estimate"], values.mean()[found.index], rtol=1e-12)
    np.testing.assert_allclose(found["sd"], values.std(ddof=1)[found.index], rtol=1e-12)
    np.testing.assert_allclose(found["lower"], values.quantile(0.025)[found.index], rtol=1e-12)


def test_intervals_stop_at_the_ends_of_the_scale(made: Made) -> None:
    ends = np.where(np.arange(25) % 2, 0.9, 9.1)[:, None] - made.mean  # posterior sds are 0.3 to 0.8
    low = estimate(replace(made.fit, draws=replace(made.fit.draws, eta=made.fit.draws.eta + ends))).table
    assert (low["lower"] >= 0).all()
    assert (low["upper"] <= 10).all()
    assert (low["lower"] == 0).any()  # BU03440003: 0.9 - 1.96 x 0.68
    assert (low["upper"] == 10).any()


def test_own_data_share_is_posterior_over_sampling_variance(single: Made) -> None:
    found = rows(estimate(single.fit), PARTICIPATIE)["own_data_share"]
    source = single.fit.direct.sources[0]
    for code, share in found.items():
        if code not in source.codes:
            assert share == 0
            continue
        sampling = source.variance[source.codes.get_loc(code), 0, 0]
        exactly = single.variance[single.fit.areas.codes.get_loc(code), 0] / sampling
        assert 0 < exactly < 1
        assert share == pytest.approx(exactly, rel=MC * np.sqrt(2))  # a sample variance has relative sd sqrt(2 / N)
    assert found[ALONE] < found[ISLAND]  # 1 respondent against 12


def shifted(made: Made, members: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """Exact posterior means after all of the members' own estimates of the leaves went up by 1 on eta's scale."""
    arrays = made.fit.design
    step = np.where(arrays.linked, SLOPE, 1.0)[:, None, :] * members[:, None] * leaves
    moved = replace(arrays, y=arrays.y + step)
    return exact(moved, made.fit.direct, made.fit.areas, np.random.default_rng(0)).mean


@pytest.mark.parametrize("measure", [PARTICIPATIE, "ruimtelijke_verbondenheid", TOTAL])
@pytest.mark.parametrize(
    ("level", "code"), [("buurt", ISLAND), ("buurt", ALONE), ("gemeente", "GM0355"), ("land", "NL00")]
)
def test_own_data_share_is_what_a_step_in_the_own_data_does(
    made: Made, est: Estimates, measure: str, level: str, code: str
) -> None:
    weights = est.concept.matrix_of(SUBDIMENSIONS).loc[measure].to_numpy()
    members = (est.areas.parents(level) == code).to_numpy()
    labels, aggregate = est.areas.aggregation(level)
    moved = shifted(made, members, weights > 0) - made.mean
    expected = float((aggregate @ moved @ weights)[labels.index(code)])
    assert 0 < expected < 1
    # the Monte Carlo sd of a covariance c is sqrt((c^2 + var var) / N): 5 percent of c at a correlation of 0.5
    assert rows(est, measure, level).loc[code, "own_data_share"] == pytest.approx(expected, rel=5 * 0.05)


def test_own_data_share_is_the_covariance_of_the_draws(est: Estimates) -> None:
    """Cov(m, 1_L' W eta) by hand, with the second source's precision times lambda squared."""
    w1, w2 = est.fit.design.precision
    leaves = np.array([True, True, False, False])
    for a in (est.areas.codes.get_loc(ISLAND), est.areas.codes.get_loc(ALONE)):
        eta = est.fit.draws.flat[:, a]
        pull = (w1[a][leaves] + SLOPE**2 * w2[a][leaves]).sum(axis=0)  # leaves that both sources ask
        expected = np.cov(eta[:, leaves].mean(axis=1), eta @ pull)[0, 1]
        found = rows(est, "sociale_verbondenheid").loc[est.areas.codes[a], "own_data_share"]
        assert found == pytest.approx(expected, rel=1e-10)


def test_own_data_share_of_two_sources_is_their_sum(made: Made, est: Estimates) -> None:
    arrays = made.fit.design
    alone = replace(made.fit, design=replace(arrays, covariance=arrays.covariance * [[[[1]]], [[[0]]]]))
    other = replace(made.fit, design=replace(arrays, covariance=arrays.covariance * [[[[0]]], [[[1]]]]))
    first, second = (rows(estimate(f), PARTICIPATIE)["own_data_share"] for f in (alone, other))
    np.testing.assert_allclose(first + second, rows(est, PARTICIPATIE)["own_data_share"], atol=1e-12)
    assert (second > 0).sum() > 15


def test_parts_of_the_areas_together_are_all(made: Made, est: Estimates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over draws are taken in the same order for any number of areas, so that not even the last digit changes."""
    monkeypatch.setattr(own_data, "AREAS", 3)
    pd.testing.assert_frame_equal(estimate(made.fit, run_id="proef").table, est.table, check_exact=True)


def test_own_data_share_is_a_share(est: Estimates) -> None:
    assert est.table["own_data_share"].between(0, 1).all()
    none = est.table["area_code"].isin(SILENT)
    assert (est.table.loc[none, "own_data_share"] == 0).all()
    assert (est.table.loc[~none, "own_data_share"] > 0).all()


def test_reliability(est: Estimates) -> None:
    draws = drawn(est)
    for measure in est.measures:
        shown = draws[measure, "buurt"].drop(columns=list(HIDDEN))
        share = est.areas.residents("buurt")[shown.columns]
        share /= share.sum()  # of the buurten that are published
        between = (shown.sub(shown @ share, axis=0) ** 2 @ share).mean()
        for level in est.areas.levels:
            expected = np.maximum(1 - draws[measure, level].var(ddof=1) / between, 0)
            found = rows(est, measure, level)["reliability"]
            np.testing.assert_allclose(found, expected[found.index], rtol=1e-10, atol=1e-12)


def test_p_above_parent_and_ranks_by_brute_force(est: Estimates) -> None:
    draws, parents = drawn(est), {"buurt": "gemeente", "wijk": "gemeente", "gemeente": "land", "ggdregio": "land"}
    for measure in (PARTICIPATIE, TOTAL):
        for level, above in parents.items():
            values, means, found = draws[measure, level], draws[measure, above], rows(est, measure, level)
            own, parent = est.areas.parents(level), est.areas.parents(above)
            of = dict(zip(own, parent, strict=True))
            assert found.loc[found.index.isin(HIDDEN), ["rank_lower", "rank_upper"]].isna().all(axis=None)
            for code in values.columns.difference(list(HIDDEN)):
                siblings = [c for c in values if of[c] == of[code] and c not in HIDDEN]
                ahead = (values[siblings].to_numpy() > values[[code]].to_numpy()).sum(axis=1)
                order = np.sort(1 + ahead)
                # ends of the interval: the smallest ranks with at least 2.5 and 97.5 percent of the draws up to them
                assert found.loc[code, "rank_lower"] == order[int(np.ceil(0.025 * N)) - 1]
                assert found.loc[code, "rank_upper"] == order[int(np.ceil(0.975 * N)) - 1]
                if len(siblings) > 1:
                    expected = (values[code] > means[of[code]]).mean()
                    assert found.loc[code, "p_above_parent"] == pytest.approx(expected, abs=1e-12)


def test_the_only_area_of_its_parent_ties_with_it(est: Estimates) -> None:
    island = rows(est, TOTAL).loc[ISLAND]
    assert (island["p_above_parent"], island["rank_lower"], island["rank_upper"]) == (0.5, 1, 1)
    land = rows(est, TOTAL, "land").iloc[0]
    assert land[["p_above_parent", "rank_lower", "rank_upper"]].isna().all()


def test_labels_and_reasons(est: Estimates) -> None:
    buurt = rows(est, PARTICIPATIE)
    shown = {code: tuple(row) for code, row in buurt[["label", "reason"]].iterrows()}
    assert shown[TINY] == ("niet_publiceren", "minder dan 10 inwoners")
    for code in SILENT[1:]:
        assert shown[code] == ("indicatief", "geen eigen respondenten: schatting uit het model")
    assert shown[UNKNOWN_X] == ("indicatief", "een kenmerk van het gebied is geschat")
    assert buurt.loc[ALONE, "reliability"] < 0.5
    # the smallest other buurt in the wijk of TINY, whose 6 residents leave it an interval of 0.1 point, and one more
    assert shown[ALONE] == shown[SILENT[0]] == ("niet_publiceren", PROTECTING)
    alone = rows(estimate(est.fit, rules=Rules(protection=0)), PARTICIPATIE).loc[ALONE]
    assert tuple(alone[["label", "reason"]]) == ("indicatief", "betrouwbaarheid onder 0,5")
    assert shown[ISLAND][0] == "betrouwbaar"
    assert est.table.loc[est.table["label"] == "betrouwbaar", "reason"].isna().all()


def test_rules_move_the_labels(est: Estimates) -> None:
    strict = estimate(est.fit, rules=Rules(600, 12, 0.99, protection=0))
    buurt = rows(strict, PARTICIPATIE)
    assert (buurt["label"] == "niet_publiceren").tolist() == (buurt["population"] < 600).tolist()
    assert buurt.loc[TINY, "reason"] == "minder dan 600 inwoners"
    few = buurt[(buurt["label"] == "indicatief") & buurt["n_respondents"].between(1, 11)]
    assert len(few) > 3
    assert set(few["reason"]) == {"minder dan 12 respondenten"}
    many = buurt[(buurt["label"] == "indicatief") & (buurt["n_respondents"] >= 12)]
    assert set(many["reason"]) == {"betrouwbaarheid onder 0,99"}
    imputed = rows(estimate(est.fit, rules=Rules(min_reliability=1.0)), PARTICIPATIE).loc[UNKNOWN_X]
    assert imputed["reason"] == "betrouwbaarheid onder 1; een kenmerk van het gebied is geschat"


def test_suppressed_rows_stay_without_figures(est: Estimates) -> None:
    assert len(est.published) == len(est.table)
    hidden = est.published["label"] == "niet_publiceren"
    assert set(est.published.loc[hidden, "area_code"]) == set(HIDDEN)
    assert est.published.loc[hidden, list(SUPPRESSED)].isna().all(axis=None)
    assert est.published.loc[hidden, "population"].tolist() == [6] * 7 + [520] * 7 + [530] * 7
    figures = ["estimate", "sd", "lower", "upper", "own_data_share", "reliability"]
    assert est.published.loc[~hidden, figures].notna().all(axis=None)
    assert est.table.loc[hidden, figures].notna().all(axis=None)


def test_direct_estimates_of_a_few_or_of_one_opinion_are_not_published(est: Estimates) -> None:
    table, shown = est.table, est.published
    open_rows = shown["label"] != "niet_publiceren"
    n = table.groupby(["level", "area_code"])["n_respondents"].transform(lambda k: k[k.index[:4]].min())
    few = open_rows & (n < 10) & table["direct"].notna()
    assert few.sum() > 20
    assert shown.loc[few, ["direct", "direct_se"]].isna().all(axis=None)
    # of many: but where what is hidden could be subtracted, as of the only buurt of few in a wijk
    many = open_rows & (n >= 10) & est.release.open_direct(table)
    pd.testing.assert_series_equal(shown.loc[many, "direct"], table.loc[many, "direct"].round(2))
    assert shown.loc[many, "direct"].notna().all()
    apart = estimate(est.fit, rules=Rules(protection=0)).published
    assert apart.loc[(apart["label"] != "niet_publiceren") & (n >= 10), "direct"].notna().all()
    none = estimate(est.fit, rules=Rules(min_direct=0, max_share=0.0)).published  # any share is too much
    assert none["direct"].isna().all()


def test_published_figures_may_be_rounded(est: Estimates) -> None:
    shown = replace(est, rules=Rules(decimals=1)).published
    for column in ("estimate", "sd", "lower", "upper"):
        np.testing.assert_array_equal(shown[column], est.published[column].round(1))
    kept = est.release.open_direct(est.table)
    np.testing.assert_array_equal(shown.loc[kept, "direct"], est.table.loc[kept, "direct"].round(1))
    assert not (shown["lower"] > shown["estimate"]).any()
    assert not (shown["upper"] < shown["estimate"]).any()


def test_direct_estimates_stand_beside(est: Estimates) -> None:
    direct = est.fit.direct.totals("buurt", est.concept).set_index(["area_code", "measure"])
    found = rows(est, PARTICIPATIE)
    for column in ("direct", "direct_se", "n_respondents", "n_effective"):
        for code, value in found[column].items():
            key = (code, PARTICIPATIE)
            np.testing.assert_equal(float(value), float(direct.loc[key, column]) if key in direct.index else 0.0)
    silent = found.loc[list(SILENT)]
    assert silent[["direct", "direct_se"]].isna().all(axis=None)
    assert (silent[["n_respondents", "n_effective"]] == 0).all(axis=None)


def test_only_the_measures_that_the_data_suffice_for(single: Made) -> None:
    est = estimate(single.fit)
    assert est.measures == (PARTICIPATIE,)
    assert set(est.table["measure"]) == {PARTICIPATIE}


def test_convergence_of_everything_in_the_table(est: Estimates) -> None:
    table = est.convergence
    assert len(table) == len(est.table)
    assert set(table.index) == set(est.table[["level", "area_code", "measure"]].itertuples(index=False, name=None))
    assert (table["rhat"] < 1.01).all()  # independent draws
    assert (table["ess_bulk"] > 0.6 * N).all()


def test_check_names_what_did_not_converge(made: Made) -> None:
    assert made.fit.check().empty
    eta = made.fit.draws.eta.copy()
    eta[0, :, 5, 2] += 5
    bad = replace(made.fit, draws=replace(made.fit.draws, eta=eta)).check()
    assert bad[["area_code", "measure"]].to_numpy().tolist() == [[made.fit.areas.codes[5], SUBDIMENSIONS[2]]]
    assert "R-hat at most 1.0" in repr(made.fit)


def test_explain_says_it_in_dutch(est: Estimates) -> None:
    text = est.explain(ISLAND)
    row = rows(est, PARTICIPATIE).loc[ISLAND]
    lines = text.splitlines()
    assert lines[0] == f"Buurt 04000000 ({ISLAND}, buurt), 740 inwoners"
    assert len(lines) == 1 + 2 * 7  # a figure and what it leans on, per measure
    line = next(x for x in lines if "Participatie" in x)
    numbers = f"{row.estimate:.1f} ({row.lower:.1f}-{row.upper:.1f})".replace(".", ",")
    assert f"{numbers}; {100 * row.own_data_share:.0f}% eigen data ({row.n_respondents} respondenten)" in line
    assert line.endswith("betrouwbaar")
    assert f"de {row.n_respondents} eigen respondenten: " in lines[lines.index(line) + 1]
    assert est.explain(TINY).count("niet gepubliceerd: minder dan 10 inwoners") == 7
    assert est.explain(ALONE).count(f"niet gepubliceerd: {PROTECTING}") == 7
    assert est.explain(UNKNOWN_X).count("indicatief: een kenmerk van het gebied is geschat") == 7
    with pytest.raises(DataError, match="no estimate of this area"):
        est.explain(EMPTY)
    with pytest.raises(DataError, match="no such area"):
        est.explain("BU04009999")


def test_select_published_rows(est: Estimates) -> None:
    found = est.select(TOTAL, "gemeente")
    assert found.index.tolist() == ["GM0344", "GM0355", "GM0400"]
    assert np.isnan(est.select(TOTAL).loc[TINY, "estimate"])
    for keys, what in ((("geluk",), "no such measure"), ((TOTAL, "provincie"), "no such level")):
        with pytest.raises(DataError, match=what):
            est.select(*keys)


def test_figures_are_drawn(est: Estimates) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    assert est.map(PARTICIPATIE).get_title(loc="left") == "Participatie"
    assert len(est.plot_intervals(PARTICIPATIE).get_yticklabels()) == 7
    plt.close("all")


def test_it_reads(est: Estimates) -> None:
    assert repr(est).startswith("Estimates of 7 measures for {'buurt': 24, 'wijk': 7, 'gemeente': 3, ")


@pytest.fixture(scope="module")
def mixed() -> Made:
    """The second source is known per wijk only; it asks the first two sub-dimensions."""
    return made_fit(wijk=True)


@pytest.fixture(scope="module")
def est_mixed(mixed: Made) -> Estimates:
    return estimate(mixed.fit)


@pytest.mark.parametrize("measure", [PARTICIPATIE, TOTAL])
@pytest.mark.parametrize(
    ("level", "code"), [("buurt", "BU03440101"), ("wijk", "WK034401"), ("gemeente", "GM0355"), ("land", "NL00")]
)
def test_own_data_of_a_wijk_count_from_wijk_level_upward(
    mixed: Made, est_mixed: Estimates, measure: str, level: str, code: str
) -> None:
    """What a step of 1, on eta's scale, in all own estimates does: exact, by the posterior of `made_fit`."""
    weights = est_mixed.concept.matrix_of(SUBDIMENSIONS).loc[measure].to_numpy()
    areas, arrays = mixed.fit.areas, mixed.fit.design
    members = (areas.parents(level) == code).to_numpy()
    # a site is the area's own if all of its residents live there
    own = [bool(members[row > 0].all()) and bool((row > 0).any()) for row in arrays.sites.toarray()]
    own[25:] = [o and level != "buurt" for o in own[25:]]
    assert sum(own[25:]) == {"buurt": 0, "wijk": 1, "gemeente": 2, "land": 7}[level]
    step = np.where(arrays.linked, SLOPE, 1.0)[:, None, :] * np.array(own)[:, None] * (weights > 0)
    moved = exact(replace(arrays, y=arrays.y + step), mixed.fit.direct, areas, np.random.default_rng(0)).mean
    labels, aggregate = areas.aggregation(level)
    expected = float((aggregate @ (moved - mixed.mean) @ weights)[labels.index(code)])
    assert 0 < expected < 1
    # the Monte Carlo sd of a covariance is 5 percent of it at a correlation of 0.5, as above
    assert rows(est_mixed, measure, level).loc[code, "own_data_share"] == pytest.approx(expected, rel=5 * 0.05)


def test_own_data_share_per_wijk_is_the_covariance_of_the_draws(mixed: Made, est_mixed: Estimates) -> None:
    """Cov(m_G, sum over its buurten and itself of W eta), with the mean over the residents of the wijk by hand."""
    arrays, areas, code = mixed.fit.design, mixed.fit.areas, "WK034401"
    eta, d = mixed.fit.draws.flat, SUBDIMENSIONS.index(PARTICIPATIE)
    buurten = np.flatnonzero((areas.frame["wijk"] == code).to_numpy())
    whole = np.average(eta[:, buurten], axis=1, weights=areas.population[buurten])
    first = np.einsum("ne,sne->s", arrays.precision[0, buurten, d], eta[:, buurten])
    second = SLOPE**2 * whole @ arrays.precision[1, arrays.site_codes.index(code), d]
    found = rows(est_mixed, PARTICIPATIE, "wijk").loc[code, "own_data_share"]
    assert found == pytest.approx(np.cov(whole[:, d], first + second)[0, 1], rel=1e-10)


def test_respondents_of_a_wijk_are_not_those_of_its_buurten(made: Made, est_mixed: Estimates) -> None:
    """At buurt level only the first source counts; above it the figures are those of `made`, with the same persons."""
    first = replace(made.fit.direct, sources=made.fit.direct.sources[:1], scores=made.fit.direct.scores[:1])
    columns = ["n_respondents", "n_effective"]
    for level, direct in (("buurt", first), ("wijk", made.fit.direct), ("land", made.fit.direct)):
        expected = direct.totals(level, est_mixed.concept).set_index(["measure", "area_code"])[columns]
        for measure in est_mixed.measures:
            found = rows(est_mixed, measure, level)[columns].astype(float)
            wanted = expected.loc[measure].reindex(found.index).astype(float)
            np.testing.assert_allclose(found, wanted, rtol=1e-12)
    silent = rows(est_mixed, PARTICIPATIE).loc[list(SILENT)]
    assert (silent["own_data_share"] == 0).all()
    assert silent["reason"].iloc[1:].str.startswith("geen eigen respondenten: schatting uit het model").all()


def test_what_the_run_holds_a_part_of_has_no_row_and_is_compared_with_nothing(made: Made) -> None:
    whole = estimate(made.fit)
    areas = replace(made.fit.areas, partial={"gemeente": ("GM0355",), "wijk": ("WK035501",)})
    est = estimate(replace(made.fit, direct=replace(made.fit.direct, areas=areas)))
    key = ["level", "area_code", "measure"]
    before, after = (e.table.set_index(key) for e in (whole, est))
    assert set(before.index.droplevel("measure")) - set(after.index.droplevel("measure")) == {
        ("gemeente", "GM0355"),
        ("wijk", "WK035501"),
    }
    compared = ["p_above_parent", "rank_lower", "rank_upper"]
    cut = after.index.get_level_values("area_code").str[2:6] == "0355"
    assert after.loc[cut, compared].isna().all(axis=None)
    inside = after.index.isin(["buurt", "wijk"], level="level") & ~cut
    pd.testing.assert_frame_equal(after.loc[inside, compared], before.loc[after.index[inside], compared])
    gemeenten = after.index.isin(["gemeente"], level="level")
    assert after.loc[gemeenten, "rank_upper"].max() <= 2  # of the two that are left
    figures = [c for c in after if c not in compared]
    pd.testing.assert_frame_equal(after[figures], before.loc[after.index, figures])
    assert set(est.supplement["area_code"]) == set(est.table["area_code"])
