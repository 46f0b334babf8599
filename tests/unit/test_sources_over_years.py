"""A source in several years: its key is source and year; labels say the year where rows of several are mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, make_areas, make_scores

import buurtsae as bs
from buurtsae.errors import BuurtsaeError
from buurtsae.survey.scales import Scores

AREAS = make_areas()
VM, BP = "veiligheidsmonitor", "burgerpeiling"


def waves(of: dict[int, tuple[str, ...]], measures: int = 1) -> list[Scores]:
    """Respondents of these sources in these years: of each other people."""
    made = []
    for year, names in of.items():
        both = make_scores(AREAS, SUBDIMENSIONS[:measures], 2, np.random.default_rng(year))
        made += [replace(scores, year=year) for scores in both if scores.source in names]
    return made


def test_a_source_has_a_row_per_year() -> None:
    data = bs.direct(waves({2020: (VM, BP), 2022: (VM,)}), AREAS)
    assert data.labels == (f"{VM} 2020", BP, f"{VM} 2022")  # one that is there once needs no year
    assert data.by_year().years == (2020, 2022)
    assert [source.year for source in data.by_year().of_year(2022).sources] == [2022]
    assert data.of_year(2022).labels == (VM,)
    assert set(data.variances()["source"]) == set(data.labels)
    # as one period each is a source of its own
    assert [s for s in data.labels if s in str(data)] == list(data.labels)


def test_what_is_noted_says_of_which_year() -> None:
    first, second = waves({2020: (VM,), 2022: (VM,)})
    area = first.frame["area_code"].where(np.arange(len(first.frame)) > 2, EMPTY)  # nobody lives there
    data = bs.direct([replace(first, frame=first.frame.assign(area_code=area)), second], AREAS)
    of_source = [str(note) for note in data.notes if VM in str(note)]
    assert any(f"3 respondents of {VM} 2020 left out" in note for note in of_source)
    assert all(f"{VM} 2020" in note or f"{VM} 2022" in note for note in of_source)


def test_a_year_of_a_source_twice_is_refused() -> None:
    scores = waves({2020: (VM,), 2022: (VM,)})
    with pytest.raises(BuurtsaeError, match=f"source {VM} is given twice") as caught:
        bs.direct([*scores, scores[0]], AREAS)
    assert str(caught.value).splitlines()[1].strip().startswith("got 2 times of 2020")
    assert len(str(caught.value).splitlines()) == 3


def test_one_standard_deviation_is_for_all_years_of_a_source() -> None:
    data = bs.direct(waves({2020: (VM,), 2022: (VM,)}), AREAS, sd={VM: 2.0})
    for source in data.sources:
        seen = np.isfinite(source.mean[:, 0])
        np.testing.assert_allclose((source.variance[:, 0, 0] * source.n_effective[:, 0])[seen], 4.0)
