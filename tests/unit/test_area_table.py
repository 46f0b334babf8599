"""Direct estimates given at area level: the round trip, the smoothing, and every kind of bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, make_areas, make_scores, per_wijk

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError, ProblemsError
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct

Written = Callable[[pd.DataFrame, str], Path]
A, B = "BU03440100", "BU03440101"


@pytest.fixture(scope="module")
def areas() -> Areas:
    return make_areas()


@pytest.fixture(scope="module")
def made(areas: Areas) -> DirectEstimates:
    return direct(make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1)), areas)


def tables(made: DirectEstimates) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Direct estimates as an office would write them: the estimates, and the covariances of pairs."""
    rows, pairs = [], []
    for s in made.sources:
        for a, code in enumerate(s.codes):
            for d in np.flatnonzero(np.isfinite(s.mean[a])):
                name = made.subdimensions[d]
                n = {"n_respondents": s.respondents[a, d], "n_effective": s.n_effective[a, d]}
                figures = {"estimate": s.mean[a, d], "variance": s.variance[a, d, d], **n}
                rows.append({"area_code": code, "measure": name, "source": s.source, **figures})
                for e in np.flatnonzero(np.isfinite(s.mean[a, :d])):
                    pair = {"measure_1": name, "measure_2": made.subdimensions[e], "covariance": s.variance[a, d, e]}
                    pairs.append({"area_code": code, "source": s.source, **pair})
    return pd.DataFrame(rows), pd.DataFrame(pairs)


def small() -> pd.DataFrame:
    """Two buurten, one source, one sub-dimension."""
    figures = {"estimate": [6.0, 7.0], "variance": [0.3, 0.1], "n_respondents": [4, 10], "n_effective": [3.0, 9.0]}
    return pd.DataFrame({"area_code": [A, B], "measure": "participatie", "source": "lokaal", **figures})


def read(areas: Areas, path: Path, **keys: object) -> DirectEstimates:
    return DirectEstimates.from_table(path, areas, Concept.load(), **keys)  # type: ignore[arg-type]


def problems_of(areas: Areas, path: Path, **keys: object) -> dict[str, str]:
    with pytest.raises(BuurtsaeError) as raised:
        read(areas, path, **keys)
    found = getattr(raised.value, "problems", (raised.value,))
    assert all(str(p).count("\n") == 2 for p in found)
    return {p.what: p.got for p in found}


def test_what_is_published_is_what_the_office_gave(areas: Areas, written: Written) -> None:
    """The model gets S / n with S = sum (n - 1) n v / sum (n - 1) over positive variances; the table keeps v."""
    table = small()
    found = read(areas, written(table, "direct.csv"))
    np.testing.assert_allclose(found.sources[0].variance[:, 0, 0], [0.9 / 3, 0.9 / 9])  # both are S = 0.9 already
    table["variance"] = [0.7, 0.0]  # two people who agree: S = 3 x 0.7
    found = read(areas, written(table, "agree.csv"))
    np.testing.assert_allclose(found.sources[0].variance[:, 0, 0], [0.7, 3 * 0.7 / 9])
    shown = found.totals("buurt").set_index("area_code").loc[[A, B]]
    np.testing.assert_allclose(shown["direct_se"], [np.sqrt(0.7), np.nan])
    np.testing.assert_allclose(shown["direct"], [6.0, 7.0])


@pytest.mark.parametrize("smooth", [False, True])  # smoothing S_d / n_eff gives itself
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_round_trip(areas: Areas, made: DirectEstimates, written: Written, kind: str, smooth: bool) -> None:
    estimates, covariances = tables(made)
    shuffled = estimates.sample(frac=1, random_state=1).sort_values("source", ascending=False, kind="stable")
    found = read(
        areas,
        written(shuffled, f"direct.{kind}"),
        covariances=written(covariances.sample(frac=1, random_state=2), f"pairs.{kind}"),
        smooth=smooth,
    )
    assert found.subdimensions == made.subdimensions
    assert found.notes == ()
    np.testing.assert_array_equal(found.reference, made.reference)
    for a, b in zip(found.sources, made.sources, strict=True):
        assert (a.source, list(a.codes)) == (b.source, list(b.codes))
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
        np.testing.assert_allclose(a.variance, b.variance, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(a.n_effective, b.n_effective, rtol=1e-12)
        np.testing.assert_array_equal(a.respondents, b.respondents)


def test_smoothing_by_hand(areas: Areas, written: Written) -> None:
    found = read(areas, written(small(), "d.csv"))
    # S = (2 x 3 x 0.3 + 8 x 9 x 0.1) / (2 + 8) = 0.9
    np.testing.assert_allclose(found.sources[0].variance[:, 0, 0], [0.9 / 3, 0.9 / 9], rtol=1e-14)
    zero = read(areas, written(small().assign(variance=[0.0, 0.1]), "d.csv"))  # S = 9 x 0.1
    np.testing.assert_allclose(zero.sources[0].variance[:, 0, 0], [0.9 / 3, 0.9 / 9], rtol=1e-14)


def test_smoothing_keeps_the_correlations(areas: Areas, written: Written) -> None:
    both = pd.concat([small(), small().assign(measure="plaatsidentiteit", variance=[0.5, 0.2])])
    pair = {"area_code": [A], "source": "lokaal", "measure_1": "participatie", "measure_2": "plaatsidentiteit"}
    covariance = pd.DataFrame(pair | {"covariance": 0.5 * np.sqrt(0.3 * 0.5)})  # correlation 0.5
    found = read(areas, written(both, "d.csv"), covariances=written(covariance, "c.csv")).sources[0].variance
    assert found[0, 0, 1] / np.sqrt(found[0, 0, 0] * found[0, 1, 1]) == pytest.approx(0.5, rel=1e-12)
    assert found[1, 0, 1] == 0  # not given: uncorrelated
    np.testing.assert_array_equal(found, found.swapaxes(1, 2))


def test_what_is_taken_for_granted_is_noted(areas: Areas, written: Written) -> None:
    frame = pd.concat([small(), small().iloc[:1].assign(area_code=EMPTY)]).drop(columns="n_effective")
    found = read(areas, written(frame, "d.csv"), smooth=False)
    assert found.notes == (
        "d.csv has no n_effective: the number of respondents is used",
        "1 rows of d.csv left out: buurten without residents",
        "d.csv comes without covariances: sampling errors taken as uncorrelated",
    )
    np.testing.assert_array_equal(found.sources[0].n_effective[:, 0], [4, 10])
    np.testing.assert_allclose(found.sources[0].variance[:, 0, 0], [0.3, 0.1], rtol=1e-14)
    assert found.sources[0].year == areas.year


def test_totals_without_microdata(areas: Areas, written: Written) -> None:
    found = read(areas, written(small(), "d.csv"), smooth=False, year=2023)
    buurt = found.totals("buurt").set_index("area_code").loc[[A, B]]
    assert buurt["direct"].tolist() == [6, 7]
    np.testing.assert_allclose(buurt["direct_se"], np.sqrt([0.3, 0.1]), rtol=1e-14)
    gemeente = found.totals("gemeente").set_index("area_code").loc["GM0344"]
    assert np.isnan(gemeente["direct"])  # the weights of the respondents are unknown
    assert np.isnan(gemeente["direct_se"])
    assert (gemeente["n_respondents"], gemeente["n_effective"]) == (14, 12)
    assert found.sources[0].year == 2023


def test_secret_and_missing_estimates_are_left_out(areas: Areas, written: Written) -> None:
    frame = pd.concat([small(), small().assign(area_code=["BU03440102", "BU03440103"], n_respondents=[0, 5])])
    text = frame.astype({"estimate": object}).assign(estimate=["6.0", "7.0", "5.0", "."])
    assert list(read(areas, written(text, "d.csv")).sources[0].codes) == [A, B]


def test_estimates_outside_the_scale_are_data(areas: Areas, written: Written) -> None:
    noisy = pd.concat([small(), small().assign(area_code=["BU03440102", "BU03440103"], estimate=[-1.5, 12.0])])
    found = read(areas, written(noisy, "d.csv"))
    assert found.sources[0].mean.ravel().tolist() == [6.0, 7.0, -1.5, 12.0]
    note = "2 of 4 estimates of d.csv lie outside 0-10: used as they are, with their variances"
    assert note in found.notes
    assert not any("outside 0-10" in n for n in read(areas, written(small(), "d.csv")).notes)
    totals = found.totals("buurt").set_index("area_code")["direct"]
    assert totals[["BU03440102", "BU03440103"]].tolist() == [-1.5, 12.0]


def test_rows_of_other_areas_are_left_out_and_counted_when_asked(areas: Areas, written: Written) -> None:
    more = small().assign(area_code=["BU99990000", "BU99990001"])
    path = written(pd.concat([small(), more]), "d.csv")
    pair = {"source": "lokaal", "measure_1": "participatie", "measure_2": "participatie", "covariance": 0.3}
    pairs = written(pd.DataFrame([{"area_code": code, **pair} for code in (A, "BU99990000")]), "p.csv")
    found = read(areas, path, covariances=pairs, unknown_areas="drop")
    assert list(found.sources[0].codes) == [A, B]
    assert "2 of 4 rows of d.csv left out: areas that are not there (BU99990000, BU99990001)" in found.notes
    assert problems_of(areas, path) == {"d.csv has unknown buurten of 2024": "BU99990000, BU99990001"}
    nowhere = written(more, "n.csv")  # with nothing left the codes are wrong
    assert problems_of(areas, nowhere, unknown_areas="drop") == {
        "n.csv has unknown buurten of 2024": "BU99990000, BU99990001"
    }


def test_all_that_is_wrong_at_once(areas: Areas, written: Written) -> None:
    bad = pd.concat(
        [
            small(),
            small().iloc[:1],  # twice
            small().iloc[:1].assign(area_code="BU99990000"),
            small().iloc[:1].assign(area_code="BU03440102", measure="geluk"),
            small().iloc[:1].assign(area_code="BU03440103", estimate=111.5),
            small().iloc[:1].assign(area_code="BU03440200", n_respondents=-1),
            small().iloc[:1].assign(area_code="BU03440201", n_effective=np.nan),
            small().iloc[:1].assign(area_code="BU03440202", variance=0.0),
        ]
    )
    found = problems_of(areas, written(bad, "d.csv"), smooth=False)
    assert found == {
        "d.csv has unknown buurten of 2024": "BU99990000",
        "d.csv has unknown sub-dimensions": "geluk",
        "d.csv has estimates twice": A,
        "d.csv: estimates far outside the scale": "111.5",
        "d.csv: n_respondents missing or negative": "BU03440200",
        "d.csv: n_effective missing or negative": "BU03440201",
        "d.csv: variances that are zero, negative or missing": "BU03440202",
    }


def test_columns_absent_or_no_numbers_in_both_tables(areas: Areas, written: Written) -> None:
    estimates = small().drop(columns="variance").assign(estimate=["6.0", "zeven"])
    found = problems_of(
        areas,
        written(estimates, "d.csv"),
        covariances=written(pd.DataFrame({"area_code": [A], "source": ["lokaal"], "covariance": ["-"]}), "c.csv"),
    )
    assert list(found) == [
        "d.csv lacks columns",
        "d.csv, estimate is no number",
        "c.csv lacks columns",
        "c.csv, covariance is no number",
    ]


def test_an_absent_file(areas: Areas, written: Written, tmp_path: Path) -> None:
    assert problems_of(areas, tmp_path / "no.csv") == {"no.csv cannot be read": "no such file"}
    found = problems_of(areas, written(small().drop(columns="source"), "d.csv"), covariances=tmp_path / "no.csv")
    assert list(found) == ["d.csv lacks columns", "no.csv cannot be read"]


def test_no_usable_estimate(areas: Areas, written: Written) -> None:
    assert problems_of(areas, written(small().assign(n_respondents=0), "d.csv")) == {
        "d.csv has no usable estimate": "0 rows"
    }


def test_variances_that_cannot_be_pooled(areas: Areas, written: Written) -> None:
    assert list(problems_of(areas, written(small().assign(n_effective=1.0), "d.csv"))) == [
        "d.csv: variances cannot be pooled"
    ]


def pairs_of(covariance: object, **other: object) -> pd.DataFrame:
    row = {"area_code": A, "source": "lokaal", "measure_1": "participatie", "measure_2": "plaatsidentiteit"}
    return pd.DataFrame([row | {"covariance": covariance} | other])


@pytest.mark.parametrize("smooth", [False, True])
def test_covariances_that_no_variances_allow(areas: Areas, written: Written, smooth: bool) -> None:
    both = pd.concat([small(), small().assign(measure="plaatsidentiteit")])
    path = written(pairs_of(0.31), "c.csv")  # the variances are 0.3
    assert problems_of(areas, written(both, "d.csv"), covariances=path, smooth=smooth) == {
        "covariances of lokaal do not fit the variances": A
    }


def test_covariances_are_checked_like_the_estimates(areas: Areas, written: Written) -> None:
    both = pd.concat([small(), small().assign(measure="plaatsidentiteit")])
    bad = pd.concat(
        [
            pairs_of(0.1),
            pairs_of(0.2, measure_1="plaatsidentiteit", measure_2="participatie"),  # the same pair, turned
            pairs_of(0.1, area_code="BU99990000"),
            pairs_of(0.1, area_code=B, measure_2="geluk"),
            pairs_of(0.1, area_code="BU03440102", source="andere"),
            pairs_of(np.nan, area_code=B),
        ]
    )
    found = problems_of(areas, written(both, "d.csv"), covariances=written(bad, "c.csv"))
    assert found == {
        "c.csv has unknown buurten of 2024": "BU99990000",
        "c.csv has unknown sub-dimensions": "geluk",
        "c.csv has unknown sources": "andere",
        "c.csv has different covariances of a pair": A,
        "c.csv: covariances are missing": B,
    }


def test_both_triangles_may_be_given(areas: Areas, written: Written) -> None:
    both = pd.concat([small(), small().assign(measure="plaatsidentiteit")])
    turned = pairs_of(0.1, measure_1="plaatsidentiteit", measure_2="participatie")
    path = written(pd.concat([pairs_of(0.1), turned]), "c.csv")
    found = read(areas, written(both, "d.csv"), covariances=path, smooth=False).sources[0]
    assert found.variance[0, 0, 1] == pytest.approx(0.1, rel=1e-12)


def test_all_problems_is_one_error(areas: Areas, written: Written) -> None:
    bad = small().assign(estimate=[-101, 111], area_code=["BU1", "BU2"])
    with pytest.raises(ProblemsError, match="BU1, BU2"):
        read(areas, written(bad, "d.csv"))


WIJKEN = ["WK034401", "WK034402"]


def test_a_table_per_wijk(areas: Areas, written: Written) -> None:
    found = read(areas, written(small().assign(area_code=[f"{w}  " for w in WIJKEN]), "d.csv"))
    source = found.sources[0]
    assert (source.level, source.codes.tolist()) == ("wijk", WIJKEN)
    np.testing.assert_allclose(source.variance[:, 0, 0], [0.9 / 3, 0.9 / 9], rtol=1e-14)  # as test_smoothing_by_hand
    wijk = found.totals("wijk").set_index("area_code").loc[WIJKEN]
    assert wijk["direct"].tolist() == [6, 7]
    np.testing.assert_allclose(wijk["direct_se"], np.sqrt([0.3, 0.1]), rtol=1e-14)
    gemeente = found.totals("gemeente").set_index("area_code").loc["GM0344"]
    assert np.isnan(gemeente["direct"])
    assert (gemeente["n_respondents"], gemeente["n_effective"]) == (14, 12)
    buurt = found.totals("buurt")
    assert buurt["direct"].isna().all()
    assert (buurt["n_respondents"] == 0).all()


@pytest.mark.parametrize("smooth", [False, True])
def test_round_trip_of_a_source_per_buurt_and_one_per_wijk(areas: Areas, written: Written, smooth: bool) -> None:
    first, second = make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))
    made = direct([first, per_wijk(second)], areas)
    estimates, covariances = tables(made)
    path = written(estimates, "d.csv")
    found = read(areas, path, covariances=written(covariances, "c.csv"), smooth=smooth)
    assert [s.level for s in found.sources] == ["buurt", "wijk"]
    for a, b in zip(found.sources, made.sources, strict=True):
        assert list(a.codes) == list(b.codes)
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
        np.testing.assert_allclose(a.variance, b.variance, rtol=1e-9, atol=1e-12)


def test_a_source_with_buurten_and_wijken_is_refused(areas: Areas, written: Written) -> None:
    mixed = small().assign(area_code=[A, "WK034401"])
    bad = pd.concat([mixed, small().assign(source="andere", area_code=["WK999900", "WK034402"])])
    assert problems_of(areas, written(bad, "d.csv")) == {
        "d.csv has unknown wijken of 2024": "WK999900",
        "d.csv has both buurten and wijken of lokaal": "1 rows of buurten, 1 of wijken (WK034401)",
    }


def test_a_wijk_where_nobody_lives_is_left_out(areas: Areas, written: Written) -> None:
    residents = areas.frame["population"].mask(areas.frame["wijk"] == "WK034403", 0)
    some = Areas(areas.frame.assign(population=residents), 2024)
    table = pd.concat([small().assign(area_code=WIJKEN), small().iloc[:1].assign(area_code="WK034403")])
    found = read(some, written(table, "d.csv"))
    assert found.notes[0] == "1 rows of d.csv left out: wijken without residents"
    assert found.sources[0].codes.tolist() == WIJKEN


@pytest.mark.parametrize(
    ("change", "what", "got"),
    [
        ({"estimate": [62.0, 71.0]}, "d.csv: most estimates of participatie by lokaal lie outside the scale",
         "2 of 2, 66.5 in the middle"),
        ({"estimate": [True, False]}, "d.csv, estimate is true and false", "booleans"),
        ({"n_respondents": [1.5, 10]}, "d.csv: n_respondents is no whole number", "1.5"),
    ],
)  # fmt: skip
def test_another_scale_and_what_is_no_number_of_people(
    areas: Areas, written: Written, change: dict[str, list[float]], what: str, got: str
) -> None:
    assert problems_of(areas, written(small().assign(**change), "d.csv"), smooth=False) == {what: got}


def test_a_negative_variance_cannot_be_smoothed(areas: Areas, written: Written) -> None:
    path = written(small().assign(variance=[-5.0, 0.1]), "d.csv")
    assert problems_of(areas, path) == {"d.csv: variances that are negative": A}


def test_rows_that_where_leaves_out_are_no_other_year_s(areas: Areas, written: Written) -> None:
    some = replace(areas, frame=areas.frame.drop(index=B), omitted=(B,))
    with pytest.raises(BuurtsaeError) as raised:
        read(some, written(small(), "d.csv"))
    assert "1 rows are of areas that `where` leaves out: widen it" in raised.value.hint
