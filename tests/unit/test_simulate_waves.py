"""Made scores over the years: the last year is the truth of one, the course is what it says, and so are the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.areas.areas import Areas
from buurtsae.areas.divisions import Crosswalk
from buurtsae.errors import ModelError, ProblemsError
from buurtsae.simulate.population import TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey
from buurtsae.simulate.waves import Course, own_lines, redesigns, simulate_waves, truths, waves_to
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "data" / "voorbeeldstad"
YEARS = (2019, 2020, 2024)
SPEC = TruthSpec(covariates=("pct_koopwoningen",))
COURSE = Course(redesigned=(("burgerpeiling", 2020),))


@pytest.fixture(scope="module")
def areas():
    tables = [(EXAMPLE / "kerncijfers.csv", "buurtcode")]
    return Areas.read(EXAMPLE / "buurten.gpkg", 2024, tables=tables, region="Voorbeeldstreek")


@pytest.fixture(scope="module")
def waves(areas):
    return simulate_waves(areas, areas.graph(), YEARS, SPEC, COURSE, seed=3)


def test_the_last_year_is_the_truth_of_one_year(areas, waves):
    alone = simulate_truth(areas, areas.graph(), SPEC, seed=3)
    np.testing.assert_array_equal(waves[2024].latent, alone.latent)
    np.testing.assert_array_equal(waves[2024].persons, alone.persons)
    assert waves[2024].table().equals(alone.table())
    assert truths(waves).query("year == 2024").drop(columns="year").reset_index(drop=True).equals(alone.table())


def test_areas_go_along_lines_but_those_that_jump(areas, waves):
    first, middle, last = (waves[year].latent[areas.inhabited] for year in YEARS)
    region = {u: 4 * np.array(COURSE.bend) * u * (1 - u) - np.array(COURSE.rise) * (1 - u) for u in (0.0, 0.2)}
    gain, until = last - first + region[0.0], middle - first - (region[0.2] - region[0.0])
    off = until - 0.2 * gain  # 0 on a line; 2019 to 2020 is a fifth of the time
    jumps = np.abs(off).max(axis=1) > 1e-9
    assert jumps.sum() == round(COURSE.stepped * 118) == 6
    # at once, by 0.5: at the second wave 0.8 of it lies above the line, at the third 0.2 of it below
    assert set(np.abs(off[jumps]).round(9).ravel()) <= {0.4, 0.1}
    assert (np.ptp(off[jumps], axis=1) < 1e-9).all()  # the same on all sub-dimensions
    jump = np.where(np.abs(off).max(axis=1) > 0.3, off[:, 0] / 0.8, -off[:, 0] / 0.2)[:, None]
    lines = gain - jump
    np.testing.assert_allclose(lines.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(lines.std(axis=0), COURSE.lines, rtol=1e-12)


def test_neighbours_change_alike(areas):
    graph, rng = areas.graph(), np.random.default_rng(3)
    drawn = np.hstack([own_lines(areas, graph, 1, rng) for _ in range(400)])
    lived_in = areas.inhabited
    np.testing.assert_allclose(drawn[lived_in].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(drawn[lived_in].std(axis=0), 1, rtol=1e-12)
    beside = np.zeros((120, 120))
    beside[tuple(graph.edges.T)] = beside[tuple(graph.edges.T[::-1])] = 1
    mix = np.eye(120) + beside / np.maximum(beside.sum(axis=1), 1)[:, None]
    assert tuple(areas.codes) == graph.codes
    covariance = mix @ mix.T
    first, second = graph.edges[lived_in[graph.edges].all(axis=1)].T
    expected = (covariance[first, second] / covariance[lived_in, lived_in].mean()).mean()
    # of one draw the mean over some 300 pairs has a standard deviation below 0.15, of 400 below 0.01; standardised by
    # the draw's own variance and mean it is about 1/30 lower, as some 30 areas would be independent
    assert (drawn[first] * drawn[second]).mean() == pytest.approx(expected, abs=0.05)
    assert expected > 0.3


def test_a_redesign_moves_answers_and_no_truth(areas, waves, tmp_path):
    crowded = replace(areas, frame=areas.frame.assign(population=20_000))
    book, concept = Codebook.load("burgerpeiling"), Concept.load()
    course = Course(rise=(0.0,) * 4, bend=(0.0,) * 4, lines=0.0, stepped=0.0, redesigned=(("burgerpeiling", 2020),))
    made = simulate_waves(crowded, crowded.graph(), YEARS, replace(SPEC, response=(1.0, 1.0, 1.0)), course, seed=3)
    np.testing.assert_array_equal(made[2019].scores, made[2020].scores)
    means = {}
    for year in (2019, 2020):
        frame = simulate_survey(crowded, made[year], book, 60_000, seed=1, year=year)
        frame.to_csv(tmp_path / "s.csv", index=False)
        scores = concept.score(Survey.read(tmp_path / "s.csv", "burgerpeiling", year, strata="stratum"))
        rows = scores.frame[list(scores.subdimensions)]
        means[year] = rows.mean(), rows.var() / len(rows)
    found = redesigns(made, course).set_index("measure")["truth"]
    z = (means[2020][0] - means[2019][0] - found) / np.sqrt(means[2020][1] + means[2019][1])
    assert found.between(0.3, 0.6).all()  # 0.25 of a latent scale of about 2 points a unit
    assert np.abs(z.to_numpy()).max() < 4  # four means of 60,000 respondents; the design makes them more certain


def test_every_year_asks_others(areas, waves):
    book = Codebook.load("veiligheidsmonitor")
    asked = [simulate_survey(areas, waves[2024], book, 500, 1, year=year) for year in (2019, 2020, None)]
    assert not asked[0].equals(asked[1])
    assert not asked[0].equals(asked[2])
    assert asked[0].equals(simulate_survey(areas, waves[2024], book, 500, 1, year=2019))


def test_files_of_waves(areas, tmp_path):
    files = waves_to(areas, tmp_path, {"veiligheidsmonitor": 600, "burgerpeiling": 300}, YEARS, 3, SPEC, COURSE)
    surveys = [f"enquete_{source}_{year}.csv" for year in YEARS for source in ("veiligheidsmonitor", "burgerpeiling")]
    assert [file.name for file in files] == [*surveys, "waarheid.csv", "waarheid_vragen.csv"]
    truth = pd.read_csv(tmp_path / "waarheid.csv")
    assert truth.groupby("year").size().to_dict() == dict.fromkeys(YEARS, 118 * 7)
    assert pd.read_csv(tmp_path / "waarheid_vragen.csv")["since"].tolist() == [2020] * 4


@pytest.mark.parametrize("years", [(2024,), (2024, 2020), (2020, 2020, 2024)])
def test_years_that_are_no_waves_are_refused(areas, years):
    with pytest.raises(ModelError, match="these are no waves"):
        simulate_waves(areas, areas.graph(), years, SPEC)


def test_a_course_that_cannot_be_is_refused(areas, tmp_path):
    with pytest.raises(ProblemsError) as error:
        simulate_waves(areas, areas.graph(), YEARS, SPEC, Course(rise=(1.0,), redesigned=(("burgerpeiling", 2019),)))
    assert [p.what for p in error.value.problems] == [
        "the course's rise", "burgerpeiling is not redesigned between waves",
    ]  # fmt: skip
    with pytest.raises(ModelError, match="asks nobody"):
        waves_to(areas, tmp_path, {"veiligheidsmonitor": 600}, YEARS, 3, SPEC, COURSE)
    with pytest.raises(ModelError, match="stepped"):
        Course(stepped=2.0)


# --- the example on disk


@pytest.fixture(scope="module")
def walk(areas):
    table = pd.read_csv(EXAMPLE / "grenzen_2020.csv")
    size = table.groupby("buurtcode_2020")["adressen"].first()
    named = {"old": "buurtcode_2020", "new": "buurtcode_2024", "share": "aandeel"}
    return Crosswalk.from_table(table, years=(2020, 2024), size=size, new_codes=list(areas.codes), **named)


def test_ten_buurten_were_redrawn_and_no_address_is_lost(areas, walk):
    changes = walk.changes().set_index("old")
    assert changes["change"].value_counts().to_dict() == {"same": 110, "redrawn": 6, "recoded": 3}
    # of the border that moved one old buurt lies in two new ones, the other as a whole in one of these
    assert changes["how"].value_counts().to_dict() == {"split": 2, "merged": 3, "border": 1}
    assert list(walk.reused) == ["BU99020104"]
    redrawn = set(walk.table().loc[lambda t: t["old"].isin(changes.index[changes["change"] != "same"]), "new"])
    assert len(redrawn) == 10
    rows = walk.pairs.sum(axis=1)
    assert walk.convert_counts(pd.Series(rows, walk.old)).sum() == pytest.approx(rows.sum(), rel=1e-12)
    np.testing.assert_allclose(walk.shares.sum(axis=1), 1, atol=1e-12)
    # addresses of 2.1 residents, rounded per part, at least one: half an address a part off at most
    here = pd.Series(walk.pairs.sum(axis=0), walk.new).reindex(areas.codes)
    assert (here - areas.population / 2.1).abs().max() < 1.01


def test_surveys_of_2020_have_the_codes_of_then(areas, walk):
    for source in ("veiligheidsmonitor", "burgerpeiling"):
        then, later = (pd.read_csv(EXAMPLE / f"enquete_{source}_{year}.csv")["buurtcode"] for year in (2020, 2022))
        assert then.isin(walk.old).all()
        assert then.is_monotonic_increasing
        assert {"BU9901AD11", "BU99030013", "BU99010311", "BU99020109"} <= set(then)  # codes that are gone
        assert not then.isin(walk.new.difference(walk.old)).any()
        assert later.isin(areas.codes).all()
