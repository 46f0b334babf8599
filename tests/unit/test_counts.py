"""Counts per area: arrays in the order of the areas, direct estimates beside them, and tables that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import make_areas

from buurtsae.errors import BuurtsaeError
from buurtsae.survey.counts import AreaCounts

AREAS = make_areas()


def table() -> pd.DataFrame:
    """All areas but the first, in reverse order; the last has no count."""
    n = len(AREAS.codes) - 1
    frame = pd.DataFrame({"code": AREAS.codes[:0:-1], "deaths": np.arange(n) % 4, "births": np.arange(n) + 10})
    frame["deaths"] = frame["deaths"].astype("Int64").mask(frame.index == 0)
    return frame.assign(moves=5, expected=np.linspace(0.5, 6.0, n))


def test_arrays_are_in_the_order_of_the_areas() -> None:
    counts = AreaCounts.from_frame(table(), y="deaths", trials="births", area="code", areas=AREAS)
    n = len(AREAS.codes)
    assert counts.y.shape == counts.size.shape == (n, 1)
    unseen = np.isnan(counts.y[:, 0])
    assert np.flatnonzero(unseen).tolist() == [0, n - 1]
    assert np.isnan(counts.size[unseen]).all()
    k = n - 1 - np.arange(1, n - 1)  # the row of each area
    np.testing.assert_array_equal(counts.y[1:-1, 0], k % 4)
    np.testing.assert_array_equal(counts.size[1:-1, 0], k + 10)
    assert (counts.beside, counts.subdimensions, counts.sources[0].year) == ("trials", ("deaths",), 0)


def test_counts_of_areas_without_residents_are_left_out() -> None:
    frame = table().assign(code=AREAS.codes[1:])
    frame.loc[3, "code"] = AREAS.codes[0]  # nobody lives there
    counts = AreaCounts.from_frame(frame, y="deaths", trials="births", area="code", areas=AREAS)
    assert np.isnan(counts.y[0, 0])
    assert [str(n) for n in counts.notes] == [f"1 estimates left out: areas without residents ({AREAS.codes[0]})"]


def test_several_measures_share_an_exposure_or_have_their_own() -> None:
    one = AreaCounts.from_frame(table(), y=["deaths", "moves"], exposure="expected", area="code", areas=AREAS)
    np.testing.assert_array_equal(one.size[1:-1, 0], one.size[1:-1, 1])
    assert np.isfinite(one.size[-1]).tolist() == [False, True]  # births are known there, deaths are not
    two = AreaCounts.from_frame(
        table(), y=["deaths", "moves"], exposure=["expected", "births"], area="code", areas=AREAS, year=2020
    )
    assert (two.size[1:-1, 1] > two.size[1:-1, 0]).all()
    assert two.sources[0].year == 2020
    assert len(repr(two)) < 200


def test_direct_estimates_have_pooled_variances() -> None:
    counts = AreaCounts.from_frame(table(), y="deaths", trials="births", area="code", areas=AREAS)
    source = counts.sources[0]
    y, n = counts.y[1:-1, 0], counts.size[1:-1, 0]
    np.testing.assert_allclose(source.mean[:, 0], y / n)
    share = (y.sum() + 0.5) / (n.sum() + 1)
    np.testing.assert_allclose(source.variance[:, 0, 0], share * (1 - share) / n)
    totals = counts.totals("buurt").set_index("area_code")
    np.testing.assert_array_equal(totals["n_direct"].reindex(source.codes), n)
    rates = AreaCounts.from_frame(table(), y="deaths", exposure="expected", area="code", areas=AREAS).sources[0]
    np.testing.assert_array_equal(rates.respondents[:, 0], y)  # persons of a rate are those it happened to


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "neither": ({}, {"trials": None}, "trials or an exposure"),
    "both": ({}, {"exposure": "expected"}, "trials or an exposure"),
    "columns": ({}, {"trials": ["births", "births"]}, "do not match"),
    "absent": ({}, {"y": "death"}, "no such columns"),
    "twice": ({}, {"y": ["deaths", "deaths"]}, "given twice, or none"),
    "none": ({}, {"y": []}, "given twice, or none"),
    "text": ({"births": "many"}, {}, "is no number"),
    "codes": ({"code": AREAS.codes[1]}, {}, "more than once"),
    "unknown": ({"code": [f"BU9999{k:04}" for k in range(len(AREAS.codes) - 1)]}, {}, "unknown areas"),
    "empty codes": ({"code": [None, *AREAS.codes[2:]]}, {}, "unknown areas"),
    "lacking": ({"births": np.nan}, {}, "have no trials"),
    "no counts": ({"deaths": np.nan}, {}, "no count at all"),
}


@pytest.mark.parametrize("name", BAD)
def test_tables_that_cannot_be_used(name: str) -> None:
    columns, arguments, text = BAD[name]
    kept = {"y": "deaths", "trials": "births", "area": "code", "areas": AREAS} | arguments
    with pytest.raises(BuurtsaeError, match=text) as caught:
        AreaCounts.from_frame(table().assign(**columns), **kept)
    assert len(str(caught.value).splitlines()) % 3 == 0


def test_all_problems_are_told_at_once() -> None:
    spoilt = table().assign(deaths="few", births="many")
    spoilt.loc[3, "code"] = "elsewhere"
    with pytest.raises(BuurtsaeError) as caught:
        AreaCounts.from_frame(spoilt, y="deaths", trials="births", area="code", areas=AREAS)
    for text in ("unknown areas", "deaths is no number", "births is no number"):
        assert text in str(caught.value)
