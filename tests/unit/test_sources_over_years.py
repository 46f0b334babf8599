"""A source in several years: its key is source and year; labels say the year where rows of several are mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import EMPTY, SUBDIMENSIONS, looked_at, make_areas, make_scores

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


def test_the_reference_is_one_source_over_all_years() -> None:
    # by its best year: a survey before one that is participatory, whoever came first
    scores = waves({2020: (BP,), 2022: (VM, BP), 2024: (BP,)})
    data = bs.direct([replace(s, kind="participatory") if s.source == BP else s for s in scores], AREAS).by_year()
    assert data.references == (VM,)
    fit = looked_at(data, bs.AreaModel("1", [bs.IID("buurt")]))
    assert fit.design.sources == (BP, VM)
    assert fit.design.linked.tolist() == [[True, True, True], [False, False, False]]
    assert len(set(fit.design.centre)) == 1
    assert fit.design.centre[0] == pytest.approx(np.nanmean(data.sources[1].mean))
    (link,) = fit.design.links
    assert (link.label, link.columns) == (f"{BP}: {SUBDIMENSIONS[0]}", (0, 1, 2))
    assert link.priors == fit.model.participatory


def test_in_a_year_without_the_reference_its_level_is_still_that_of_all_years() -> None:
    data = bs.direct(waves({2020: (VM, BP), 2022: (BP,)}), AREAS).by_year()
    fit = bs.fit(bs.AreaModel("1", [bs.IID("buurt")]), data, draws=100, hyperparameters=40, progress=False)
    alone = fit.of_year(2022)
    assert alone.design.linked.tolist() == [[True]]  # by itself it would be the reference
    assert alone.design.centre[0] == fit.design.centre[0]
    assert alone.direct.reference.tolist() == [0]  # whose direct estimates are shown
    assert any(f"{VM} is not there in this year" in str(note) for note in alone.design.notes)
    np.testing.assert_array_equal(alone.links[0][:, 0], fit.links[0][:, 1, 1:])
    assert not [note for note in fit.of_year(2020).design.notes if "not there" in str(note)]
    # fitted by itself the year has a reference of its own
    assert not looked_at(data.of_year(2022), bs.AreaModel("1", [bs.IID("buurt")])).design.linked.any()


def test_in_one_period_each_year_of_a_source_is_a_source() -> None:
    data = bs.direct(waves({2020: (VM,), 2022: (VM,)}), AREAS)
    design = looked_at(data, bs.AreaModel("1", [bs.IID("buurt")])).design
    assert design.sources == (f"{VM} 2020", f"{VM} 2022")
    assert [link.label for link in design.links] == [f"{VM} 2022: {SUBDIMENSIONS[0]}"]


def test_what_is_counted_is_of_the_reference_only() -> None:
    # differences between sources are modelled of scores: a share has no data in a year without its reference
    share, other = SUBDIMENSIONS[:2]
    scores = [
        replace(s, frame=s.frame.assign(**{share: s.frame[share].gt(6).mul(10.0).where(s.frame[share].notna())}))
        for s in waves({2020: (VM, BP), 2022: (BP,)}, 2)
    ]
    outcome = bs.PerMeasure({share: bs.Binomial(scale=bs.Scale(0, 10)), other: bs.Gaussian()})
    model = bs.AreaModel("1", [bs.OverTime(bs.IID("buurt"))], outcome=outcome)
    design = looked_at(bs.direct(scores, AREAS).by_year(), model).design
    assert design.size is not None
    assert design.size.any(axis=1).tolist() == [[True, False, False, False], [False] * 4]
    assert design.linked.tolist() == [[False] * 4, [False, True, False, True]]
    assert sum(f"of {share} only {VM} counts" in str(note) for note in design.notes) == 2
