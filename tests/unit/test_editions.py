"""Sources and figures on another edition of the areas.

The old edition of the made buurten: 0100 and 0101 were one buurt, of 30 and 70 addresses; 10 of the 100 addresses of
the old 0102 are in 0103 now; 0202 and 0203 have each other's code; 0301 was two buurten; all others are as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, TINY, made_fit, make_areas, make_scores, per_wijk
from scipy import stats

import buurtsae as bs
from buurtsae.areas.areas import Areas
from buurtsae.areas.divisions import Crosswalk
from buurtsae.engines import nuts
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError, DataError, ModelError, ProblemsError
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.groups import hiding
from buurtsae.model.design import Design, design
from buurtsae.model.priors import Normal
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

AREAS = make_areas()
P = "BU03440"
SPLIT, BORDER, SWAPPED, MERGED = "100", "102", ("202", "203"), ("301", "388")
LEVEL = "buurt_2020"


def pairs() -> pd.DataFrame:
    """The addresses of old and new buurten."""
    special = ("100", "101", "102", "103", *SWAPPED, "301")
    kept = [code for code in AREAS.codes if code not in {P + s for s in special}]
    rows = [(code, code, 100.0) for code in kept]
    rows += [(P + "100", P + "100", 30), (P + "100", P + "101", 70), (P + "102", P + "102", 90)]
    rows += [(P + "102", P + "103", 10), (P + "103", P + "103", 100), (P + "202", P + "203", 100)]
    rows += [(P + "203", P + "202", 100), (P + "301", P + "301", 60), (P + "388", P + "301", 40)]
    return pd.DataFrame(rows, columns=["old", "new", "n"])


def crosswalk(concentration: float | None = None) -> Crosswalk:
    table = pairs()
    size = table.groupby("old")["n"].sum()
    table = table.assign(share=table["n"] / table["old"].map(size))
    return Crosswalk.from_table(table, years=(2020, 2024), size=size, concentration=concentration)


def identity(years: tuple[int, int] = (2020, 2024)) -> Crosswalk:
    return Crosswalk.from_table(pd.DataFrame({"old": AREAS.codes, "new": AREAS.codes, "share": 1.0}), years=years)


def old_scores(d: int = 2) -> Scores:
    """Respondents of the old edition: those of the made ones who live in 0101 are of 0100, half of 0301 of 0388."""
    (scores,) = make_scores(AREAS, SUBDIMENSIONS[:d], 1, np.random.default_rng(1))
    code = scores.frame["area_code"].replace({P + "101": P + "100"})
    half = (code == P + "301") & (np.arange(len(code)) % 2 == 0)
    return replace(scores, frame=scores.frame.assign(area_code=code.mask(half, P + "388")), year=2020)


def of_codes(code: str) -> Scores:
    return replace(old_scores(), frame=old_scores().frame.assign(area_code=code))


def new_scores() -> Scores:
    return make_scores(AREAS, SUBDIMENSIONS[:2], 1, np.random.default_rng(4))[0]


@pytest.fixture(scope="module")
def areas() -> Areas:
    return AREAS.with_edition(crosswalk())


@pytest.fixture(scope="module")
def estimates(areas: Areas) -> DirectEstimates:
    return direct(bs.on_edition(old_scores(), areas, LEVEL), areas)


def the_model(**more: Any) -> bs.AreaModel:
    return bs.AreaModel("1 + groen", [bs.BYM2(AREAS.graph())], Normal(5, 4), missing="impute", **more)


def test_old_areas_are_a_level_of_the_new_ones(areas: Areas) -> None:
    assert LEVEL not in areas.levels
    labels, shares = areas.aggregation(LEVEL)
    rows = {label: dict(zip(areas.codes[row.indices], row.data, strict=True))
            for label, row in zip(labels, shares, strict=True)}  # fmt: skip
    assert rows[P + "100 (2020)"] == {P + "100": 0.3, P + "101": 0.7}
    assert rows[P + "102 (2020)"] == {P + "102": 0.9, P + "103": 0.1}
    assert rows[P + "103 (2020)"] == {P + "103": 1.0}  # all of it, but 0103 has more
    assert rows[P + "202"] == {P + "202": 1.0}  # the old 0203: the same ground
    assert rows[P + "301 (2020)"] == rows[P + "388 (2020)"] == {P + "301": 1.0}
    assert EMPTY not in labels  # nobody lives there
    residents = areas.residents(LEVEL)
    of = AREAS.residents("buurt")
    assert residents.sum() == pytest.approx(of.sum(), rel=1e-12)
    assert residents[P + "301 (2020)"] == pytest.approx(0.6 * of[P + "301"])
    assert residents[P + "102 (2020)"] == pytest.approx(of[P + "102"] + of[P + "103"] * 10 / 110)


def test_where_an_old_area_lies(areas: Areas) -> None:
    base, wijk = areas.parents("buurt", LEVEL), areas.parents("wijk", LEVEL)
    assert base[[P + "301 (2020)", P + "388 (2020)", P + "202"]].tolist() == [P + "301", P + "301", P + "202"]
    # 0103 of 2020 lies in 0103, of which another old buurt has a part: it does not tell about the whole
    assert base[[P + "100 (2020)", P + "102 (2020)", P + "103 (2020)"]].tolist() == [None] * 3
    assert wijk[[P + "100 (2020)", P + "102 (2020)", P + "103 (2020)"]].tolist() == ["WK034401"] * 3
    assert areas.parents(LEVEL, LEVEL).index.equals(areas.at(LEVEL))


def test_a_reused_code_is_not_joined(areas: Areas) -> None:
    scores = old_scores()
    found = bs.on_edition(scores, areas, LEVEL)
    for old, new in (SWAPPED, SWAPPED[::-1]):
        was, now = scores.frame["area_code"] == P + old, found.frame["area_code"] == P + new
        assert was.sum() > 0
        np.testing.assert_array_equal(was, now)


def test_an_identity_changes_no_number() -> None:
    (scores,) = make_scores(AREAS, SUBDIMENSIONS[:2], 1, np.random.default_rng(1))
    same = AREAS.with_edition(identity())
    here, there = direct(scores, AREAS), direct(bs.on_edition(scores, same, LEVEL), same)
    moved = bs.on_edition(here, same, LEVEL)
    for found in (there, moved):
        (source,), (expected,) = found.sources, here.sources
        assert source.level == expected.level
        assert source.codes.tolist() == expected.codes.tolist()
        for name in ("mean", "variance", "respondents", "n_effective", "within", "freedom"):
            np.testing.assert_array_equal(getattr(source, name), getattr(expected, name))
        fits = [bs.fit(the_model(), data, progress=False, draws=40, hyperparameters=20) for data in (here, found)]
        np.testing.assert_array_equal(fits[0].draws.eta, fits[1].draws.eta)
        pd.testing.assert_frame_equal(found.totals("buurt"), here.totals("buurt"))


def dense(estimates: DirectEstimates, values: dict[str, Any], omega: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Likelihood, mean and sd of the areas by matrices of all at once, of one measure and a share table of our own."""
    n, (source,) = len(AREAS.codes), estimates.sources
    t = pd.DataFrame(0.0, index=[], columns=AREAS.codes)
    table = pairs()
    table["share"] = table["n"] / table.groupby("old")["n"].transform("sum")
    of_old = {code: rows.set_index("new")["share"] for code, rows in table.groupby("old")}
    back = {P + "202": P + "203", P + "203": P + "202"}
    rows = []
    for label in source.codes:
        old = str(label).removesuffix(" (2020)")
        t.loc[label] = of_old[back.get(str(label), old)].reindex(AREAS.codes).fillna(0.0)
        rows.append(t.loc[label].to_numpy(dtype=float))
    h, y, v = np.array(rows), source.mean[:, 0], omega * source.variance[:, 0, 0]
    sigma, phi = float(values["BYM2.sigma"].squeeze()), float(values["BYM2.phi"].squeeze())
    structured = np.linalg.pinv(AREAS.graph().icar.precision.toarray(), rcond=1e-10, hermitian=True)
    k = 16.0 + sigma**2 * ((1 - phi) * np.eye(n) + phi * structured)
    total, r = h @ k @ h.T + np.diag(v), y - 5.0
    gain = np.linalg.solve(total, h @ k)
    log_likelihood = stats.multivariate_normal.logpdf(r, np.zeros(len(r)), total)
    return float(log_likelihood), 5 + gain.T @ r, np.sqrt(np.diag(k - k @ h.T @ gain))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_posterior_is_that_of_dense_algebra(areas: Areas, seed: int) -> None:
    estimates = direct(bs.on_edition(old_scores(1), areas, LEVEL), areas)
    model = bs.AreaModel("1", [bs.BYM2(AREAS.graph(), by_residents=False)], Normal(5, 4))
    marginal = Marginal.of(design(model, estimates))
    assert marginal.design.grouped
    xi = np.random.default_rng(seed).normal(0, 0.8, marginal.scores.size)
    hyper, found = marginal.scores.hyper(xi), marginal.at(xi)
    omega = 1.0 if hyper.omega is None else float(hyper.omega.squeeze())
    log_likelihood, mean, sd = dense(estimates, dict(hyper.values), omega)
    # conditions below 1e6: double precision leaves 1e-10 with room
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.mean[: len(mean), 0], mean, atol=1e-8)
    np.testing.assert_allclose(found.sd[: len(sd), 0], sd, rtol=1e-8)


def test_nuts_sees_the_same_sites(areas: Areas) -> None:
    estimates = direct(bs.on_edition(old_scores(1), areas, LEVEL), areas)
    arrays = design(the_model(), estimates)
    model = nuts.build(arrays)
    with nuts.quiet_imports():
        import pytensor
    outputs = model.replace_rvs_by_values([model["likelihood"], model["eta"]])
    function = pytensor.function(model.value_vars, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    start, found, expected = model.initial_point(), [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        point = {v.name: rng.normal(0, 0.7, np.shape(start[v.name])) for v in model.value_vars}
        point |= {name: start[name] for name in point if name.startswith("omega")}
        value, eta = function(*(point[v.name] for v in model.value_vars))
        found.append(value)
        score, total = arrays.sites @ eta, 0.0
        for row, code in enumerate(estimates.sources[0].codes):
            seen = np.isfinite(estimates.sources[0].mean[row])
            mean = score[arrays.site_codes.index(code)]
            v = estimates.sources[0].variance[row][np.ix_(seen, seen)]
            total += stats.multivariate_normal.logpdf(estimates.sources[0].mean[row, seen], mean[seen], v)
        expected.append(total)
    assert arrays.sites.shape[0] > len(arrays.areas)
    factor = np.diff(found) / np.diff(expected)
    np.testing.assert_allclose(factor, factor[0], rtol=1e-9)  # one factor omega of V, the same at all points


def test_estimates_and_respondents_come_to_the_same(areas: Areas, estimates: DirectEstimates) -> None:
    # direct estimates made on the old edition first, then taken to the new one
    old = pairs().groupby("old")["n"].sum()
    frame = pd.DataFrame({"code": old.index, "wijk": old.index.str[2:8], "inwoners": old.to_numpy()})
    frame = frame[frame["code"] != EMPTY]
    on_old = Areas.from_frame(frame, code="code", population="inwoners", year=2020)
    made = direct(replace(old_scores(), level="area"), on_old)
    taken = bs.on_edition(replace(made, sources=tuple(replace(s, level="buurt") for s in made.sources), scores=()),
                          areas, LEVEL)  # fmt: skip
    (source,), (expected,) = taken.sources, estimates.sources
    assert source.codes.tolist() == expected.codes.tolist()
    np.testing.assert_allclose(source.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(source.variance, expected.variance, rtol=1e-12)
    assert source.codes.is_monotonic_increasing


def test_an_error_of_the_shares_widens_what_is_split_only(areas: Areas, estimates: DirectEstimates) -> None:
    uncertain = AREAS.with_edition(crosswalk(concentration=9))
    wide = direct(bs.on_edition(old_scores(), uncertain, LEVEL), uncertain).sources[0]
    narrow = estimates.sources[0]
    extra = np.einsum("add->ad", wide.variance - narrow.variance)
    split = narrow.codes.isin([P + "100 (2020)", P + "102 (2020)"])
    assert (extra[~split] == 0).all()
    # (1 - sum T^2) / 10 times the variance between areas, which is that of the estimates less that of sampling
    mean, v = narrow.mean, np.einsum("add->ad", narrow.variance)
    between = np.nanvar(mean, axis=0, ddof=1) - np.nanmean(np.where(np.isfinite(mean), v, np.nan), axis=0)
    assert (between > 0).all()
    at = narrow.codes.get_loc(P + "100 (2020)")
    np.testing.assert_allclose(extra[at], (1 - 0.3**2 - 0.7**2) / 10 * between, rtol=1e-9)


def test_direct_estimates_are_shown_where_they_are_of_an_area(areas: Areas, estimates: DirectEstimates) -> None:
    measure = SUBDIMENSIONS[0]
    table = estimates.totals("buurt").query("measure == @measure").set_index("area_code")
    assert table.loc[[P + "100", P + "101", P + "102", P + "103"], "direct"].isna().all()
    scores = old_scores()
    of = scores.frame["area_code"]

    def hajek(codes: list[str]) -> float:
        rows = scores.frame[of.isin(codes) & scores.frame[measure].notna()]
        return float(np.average(rows[measure], weights=rows["weight"]))

    assert table.loc[P + "202", "direct"] == pytest.approx(hajek([P + "203"]))
    assert table.loc[P + "301", "direct"] == pytest.approx(hajek([P + "301", P + "388"]))
    whole = estimates.totals("wijk").query("measure == @measure").set_index("area_code")
    assert whole.loc["WK034401", "direct"] == pytest.approx(hajek([P + s for s in ("100", "102", "103")]))


def test_a_table_shows_what_is_of_an_area(areas: Areas, estimates: DirectEstimates) -> None:
    table = replace(estimates, scores=()).totals("buurt")
    table = table[table["measure"] == SUBDIMENSIONS[0]].set_index("area_code")
    source = estimates.sources[0]
    assert table.loc[P + "202", "direct"] == source.mean[source.codes.get_loc(P + "202"), 0]
    assert np.isnan(table.loc[P + "100", "direct"])
    assert np.isnan(table.loc[P + "301", "direct"])  # two figures


@pytest.fixture(scope="module")
def fitted(areas: Areas) -> bs.Fit:
    """The old survey, and one on the new edition, in one fit."""
    new = make_scores(AREAS, SUBDIMENSIONS[:2], 2, np.random.default_rng(4))[1]
    data = direct([bs.on_edition(old_scores(), areas, LEVEL), new], areas)
    return bs.fit(the_model(), data, progress=False, draws=400, hyperparameters=50)


def test_everything_that_follows_a_fit_works(fitted: bs.Fit) -> None:
    est = bs.estimate(fitted)
    assert len(est.published) > 0
    assert est.table["own_data_share"].between(0, 1).all()
    report = quality(est)
    assert [source["level"] for source in report["sources"]] == [LEVEL, "buurt"]
    assert {row["source"] for row in bs.contributions(fitted)} == {"veiligheidsmonitor", "burgerpeiling"}
    table = bs.left_out(fitted).table
    assert P + "100 (2020)" in set(table["area_code"])
    groups = bs.left_out(fitted, "gemeente").table
    assert len(groups) > 0
    with pytest.raises(ModelError, match="a classical estimate"):  # the old survey is the reference
        bs.side_by_side(fitted)
    target = bs.Benchmarks.of_direct(fitted, "gemeente", min_respondents=10)
    assert len(bs.benchmark(fitted, target).draws.flat) == 400


def test_what_holds_a_part_of_a_hidden_area_is_hidden(areas: Areas, fitted: bs.Fit) -> None:
    est = hiding(bs.estimate(fitted), [("buurt", P + "101")])
    own = "BU03550000"
    labels = [P + "100 (2020)", P + "102 (2020)", own]
    rows = pd.DataFrame({"level": LEVEL, "area_code": labels})
    assert est.release.open(rows).tolist() == [False, True, True]
    assert not est.release.open(pd.DataFrame({"level": LEVEL, "area_code": [TINY]})).any()
    direct_rows = pd.DataFrame({"source": "veiligheidsmonitor", "area_code": labels, "measure": SUBDIMENSIONS[0]})
    # no direct estimate of an old area is published, but of those that are areas of this edition
    assert est.release.open_of_sources(direct_rows, fitted.direct).tolist() == [False, False, True]
    shut = replace(est.release, direct=est.release.direct | {("buurt", own)})
    assert not shut.open_of_sources(direct_rows, fitted.direct).any()


def test_old_areas_of_few_respondents_are_secret(areas: Areas, fitted: bs.Fit) -> None:
    few = (LEVEL, P + "388 (2020)")
    count = fitted.direct.sources[0].respondents[fitted.direct.sources[0].codes.get_loc(few[1])].min()
    strict = bs.estimate(fitted, rules=bs.Rules(min_direct=int(count) + 1)).release
    assert few in strict.few
    assert few in strict.direct


def test_figures_on_the_old_edition_are_from_the_same_draws(areas: Areas, fitted: bs.Fit) -> None:
    est, measure = bs.estimate(fitted), SUBDIMENSIONS[1]
    table = bs.by_edition(est, crosswalk(), measure).set_index("area_code")
    draws, codes = fitted.draws.flat[:, :, 1], AREAS.codes
    people = AREAS.residents("buurt")
    of = {code: draws[:, codes.get_loc(code)] for code in codes}
    # residents of 0103 are of two old buurten, by their addresses
    w = np.array([people[P + "102"], people[P + "103"] * 10 / 110])
    mixed = (w[0] * of[P + "102"] + w[1] * of[P + "103"]) / w.sum()
    row = table.loc[P + "102"]
    assert row["estimate"] == pytest.approx(mixed.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(mixed.std(ddof=1), rel=1e-12)
    assert row["residents"] == pytest.approx(w.sum(), abs=0.5)
    assert table.loc[P + "202", "estimate"] == pytest.approx(of[P + "203"].mean(), rel=1e-12)  # the reused code
    assert table.loc[TINY, "hidden"]
    assert np.isnan(table.loc[TINY, "estimate"])
    assert table.loc[EMPTY, "inside"] == 0
    hidden = bs.by_edition(hiding(est, [("buurt", P + "101")]), crosswalk(), measure).set_index("area_code")
    assert hidden.loc[P + "100", "hidden"]
    assert np.isnan(hidden.loc[P + "100", ["estimate", "sd", "lower", "upper"]].to_numpy(dtype=float)).all()


def test_figures_on_the_same_ground_are_those_of_the_estimates(fitted: bs.Fit) -> None:
    est, measure = bs.estimate(fitted), SUBDIMENSIONS[0]
    found = (
        bs.by_edition(est, identity(), measure).set_index("area_code").loc[lambda t: ~t["hidden"] & (t["inside"] > 0)]
    )
    shown = (
        est.published.query("level == 'buurt' and measure == @measure").set_index("area_code").dropna(subset="estimate")
    )
    assert sorted(found.index) == sorted(shown.index)
    for name in ("estimate", "sd", "lower", "upper"):
        np.testing.assert_allclose(found[name], shown.loc[found.index, name], rtol=1e-10)


def test_drawn_shares_add_their_variance(fitted: bs.Fit) -> None:
    est, measure = bs.estimate(fitted), SUBDIMENSIONS[0]
    exact = bs.by_edition(est, crosswalk(), measure, seed=1)
    plain = bs.by_edition(est, crosswalk(), measure)
    pd.testing.assert_frame_equal(exact, plain, rtol=1e-10)  # exact shares, drawn or not
    drawn = bs.by_edition(est, crosswalk(concentration=1), measure, seed=1).set_index("area_code")
    plain = plain.set_index("area_code")
    assert drawn.loc[P + "100", "sd"] != plain.loc[P + "100", "sd"]
    assert drawn.loc[P + "202", "sd"] == pytest.approx(plain.loc[P + "202", "sd"], rel=1e-10)


def test_years_and_editions_go_together(areas: Areas) -> None:
    new = make_scores(AREAS, SUBDIMENSIONS[:2], 1, np.random.default_rng(4))[0]
    new = replace(new, source="monitor_2024", year=2024)
    waves = direct([bs.on_edition(old_scores(), areas, LEVEL), new], areas).by_year()
    arrays = design(the_model(), waves)
    assert arrays.years == (2020, 2024)
    at = arrays.site_codes.index(P + "100 (2020)")
    assert arrays.observed[0, at].tolist() == [True, True, False, False]
    of_old = design(the_model(), waves.of_year(2020))
    assert of_old.site_codes == arrays.site_codes


def test_a_change_from_an_old_edition_to_this_one(areas: Areas) -> None:
    new = replace(new_scores(), source="monitor_2024", year=2024)
    waves = direct([bs.on_edition(old_scores(), areas, LEVEL), new], areas).by_year()
    model = bs.AreaModel("1", [bs.OverTime(bs.BYM2(AREAS.graph()))], Normal(5, 4))
    fit = bs.fit(model, waves, progress=False, draws=200, hyperparameters=20)
    table = (
        bs.changes(fit, 2020, 2024).query("level == 'buurt' and measure == @SUBDIMENSIONS[0]").set_index("area_code")
    )
    draws = fit.draws.flat.reshape(200, len(AREAS.codes), 2, 2)[..., 0]
    step = draws[:, AREAS.codes.get_loc(P + "100"), 1] - draws[:, AREAS.codes.get_loc(P + "100"), 0]
    assert table.loc[P + "100", "change"] == pytest.approx(step.mean(), rel=1e-10)
    for year in (2020, 2024):
        est = bs.estimate(fit.of_year(year))
        figures = bs.by_edition(est, crosswalk(), SUBDIMENSIONS[0]).set_index("area_code")
        at = AREAS.codes.get_loc(P + "203"), int(year == 2024)
        assert figures.loc[P + "202", "estimate"] == pytest.approx(draws[:, *at].mean(), rel=1e-10)


def test_wijken_of_another_edition() -> None:
    # the old wijk 02 had a quarter of the new wijk 01, buurten 0100 and half of 0101; wijken 05 and 06 were one buurt
    frame = AREAS.frame
    rows = [(wijk, code, 100.0) for code, wijk in frame["wijk"].items() if code not in (P + "100", P + "101")]
    rows += [("WK034402", P + "100", 100.0), ("WK034402", P + "101", 50.0), ("WK034401", P + "101", 50.0)]
    table = pd.DataFrame(rows, columns=["old", "new", "n"])
    size = table.groupby("old")["n"].sum()
    table["share"] = table["n"] / table["old"].map(size)
    areas = AREAS.with_edition(Crosswalk.from_table(table, years=(2020, 2024), level="wijk", size=size))
    data = direct(
        [new_scores(), bs.on_edition(per_wijk(replace(old_scores(), source="oud")), areas, "wijk_2020")], areas
    )
    arrays = design(the_model(), data)
    row = pd.Series(arrays.sites[[arrays.site_codes.index("WK034402 (2020)")]].toarray()[0], index=AREAS.codes)
    assert row[row > 0].to_dict() == pytest.approx(
        {P + "100": 100 / 550, P + "101": 50 / 550} | {P + f"20{k}": 100 / 550 for k in range(4)}
    )
    # of a wijk of one buurt the site is that buurt, and a survey of buurten fixes the level
    assert data.sources[1].codes.isin(["BU04000000"]).any()
    assert data.reference.tolist() == [0, 0]
    assert np.isfinite(bs.fit(the_model(), data, progress=False, draws=40, hyperparameters=20).draws.eta).all()


def test_direct_estimates_are_joined(areas: Areas, estimates: DirectEstimates) -> None:
    second = replace(make_scores(AREAS, SUBDIMENSIONS, 2, np.random.default_rng(4))[1], year=2024)
    two = bs.joined(estimates, direct(second, AREAS))
    together = direct([bs.on_edition(old_scores(), areas, LEVEL), second], areas)
    assert (two.subdimensions, two.areas.editions.keys()) == (together.subdimensions, areas.editions.keys())
    for found, expected in zip(two.sources, together.sources, strict=True):
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12)
    more = bs.joined(direct(second, AREAS), direct(replace(old_scores(4), frame=make_scores(
        AREAS, SUBDIMENSIONS, 1, np.random.default_rng(1))[0].frame), AREAS))  # fmt: skip
    assert len(more.subdimensions) == 4
    assert more.sources[0].variance.shape[1:] == (4, 4)
    assert not more.sources[0].informs[2:].any()
    assert design(the_model(), more).y.shape[-1] == 4


def test_what_is_gone_is_left_out_and_said() -> None:
    table = pairs()
    table = table[table["new"] != P + "202"].assign(share=1.0)
    table["share"] = table["n"] / table.groupby("old")["n"].transform("sum")
    codes = [*AREAS.codes.drop(P + "101"), P + "388"]
    walk = Crosswalk.from_table(table, years=(2020, 2024), old_codes=codes, new_codes=list(AREAS.codes))
    assert walk.audit()["gone"] == 1
    areas = AREAS.with_edition(walk)
    found = bs.on_edition(old_scores(), areas, LEVEL)
    lost = int((old_scores().frame["area_code"] == P + "203").sum())
    assert len(found.frame) == len(old_scores().frame) - lost - int((old_scores().frame["area_code"] == EMPTY).sum())
    (note,) = found.notes
    assert note.startswith(f"{lost} respondents of veiligheidsmonitor left out")
    assert P + "203" in note
    frame = old_scores().frame
    made = direct(replace(old_scores(), frame=frame[frame["area_code"] != P + "388"]), AREAS)
    taken = bs.on_edition(made, areas, LEVEL)
    assert any("1 estimates of veiligheidsmonitor left out" in note for note in taken.notes)


def test_a_part_of_the_country_has_a_part_of_the_crosswalk() -> None:
    part = replace(AREAS, frame=AREAS.frame[AREAS.frame["gemeente"] == "GM0344"])
    table = pd.concat([pairs(), pd.DataFrame({"old": ["BU03550000"], "new": [P + "303"], "n": [100.0]})])
    table["share"] = table["n"] / table.groupby("old")["n"].transform("sum")
    walk = Crosswalk.from_table(table, years=(2020, 2024))
    areas = part.with_edition(walk)
    # half of 0355-0000 is outside the region: it stands for the half inside; other buurten of its gemeente do not exist
    labels, shares = areas.aggregation(LEVEL)
    assert "BU03550000 (2020)" in labels
    assert shares[[labels.index("BU03550000 (2020)")]].sum() == 1
    assert not any(label.startswith("BU03550001") for label in labels)
    assert any("BU03550000" in note and "stand for the rest" in note for note in areas.notes)


BAD: dict[str, tuple[Callable[[Areas], object], str, str]] = {
    "another year": (
        lambda a: AREAS.with_edition(identity((2016, 2020))), "a crosswalk leads to another edition", "2020",
    ),
    "twice": (
        lambda a: a.with_edition(crosswalk()), "the areas have such a level already", "'buurt_2020'",
    ),
    "areas that it does not know": (
        lambda a: AREAS.with_edition(Crosswalk.from_table(
            pd.DataFrame({"old": [TINY], "new": [TINY], "share": [1]}), years=(2020, 2024))),
        "areas are unknown to the crosswalk", "23 of 24",
    ),
    "no such edition": (
        lambda a: bs.on_edition(old_scores(), a, "buurt_2016"), "the areas have no such edition", "'buurt_2016'",
    ),
    "codes of another edition": (
        lambda a: bs.on_edition(of_codes("BU09990000"), a, LEVEL),
        "veiligheidsmonitor has areas that the crosswalk does not know", "respondents in 1 areas (BU09990000)",
    ),
    "wijken": (
        lambda a: bs.on_edition(per_wijk(old_scores()), a, LEVEL),
        "veiligheidsmonitor is of another level than the crosswalk", "wijk",
    ),
    "figures of another edition": (
        lambda a: bs.by_edition(bs.estimate(made_fit().fit), identity((2024, 2020))),
        "a crosswalk leads to another edition", "2024 to 25 of 2020",
    ),
    "joined with other areas": (
        lambda a: bs.joined(direct(new_scores(), AREAS), direct(new_scores(), replace(AREAS, year=2021))),
        "direct estimates are of different areas", "2021",
    ),
    "joined twice": (
        lambda a: bs.joined(*[direct(new_scores(), AREAS)] * 2),
        "sources are given twice", "veiligheidsmonitor 2022",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_three_lines(case: str, areas: Areas) -> None:
    make, what, got = BAD[case]
    with pytest.raises(BuurtsaeError) as found:
        make(areas)
    problems = found.value.problems if isinstance(found.value, ProblemsError) else (found.value,)
    assert problems[0].what == what
    assert got in problems[0].got
    assert all(len(str(problem).splitlines()) == 3 for problem in problems)


def test_a_realised_mean_is_refused(areas: Areas, estimates: DirectEstimates) -> None:
    with pytest.raises(ModelError, match="realised") as found:
        design(the_model(estimand="realised"), estimates)
    assert found.value.got == "a source of another edition"


def test_the_classical_engine_refuses_by_name(estimates: DirectEstimates) -> None:
    with pytest.raises(ModelError) as found:
        bs.fit(bs.AreaModel("1 + groen", missing="impute"), estimates, engine="eblup")
    assert "on another edition" in found.value.got


def test_counts_beside_trials_are_refused(areas: Areas) -> None:
    frame = pd.DataFrame({"code": AREAS.codes, "y": 1, "n": 5})
    counts = bs.AreaCounts.from_frame(frame, y="y", trials="n", area="code", areas=AREAS)
    with pytest.raises(DataError, match="counts cannot be taken"):
        bs.on_edition(counts, areas, LEVEL)


def test_a_design_has_a_site_per_old_area_that_is_none_of_these(estimates: DirectEstimates) -> None:
    arrays: Design = design(the_model(), estimates)
    assert list(arrays.site_codes[len(arrays.areas) :]) == [
        P + f"{s} (2020)" for s in ("100", "102", "103", "301", "388")
    ]
    np.testing.assert_allclose(np.asarray(arrays.sites.sum(axis=1)).ravel(), 1.0, rtol=1e-14)
