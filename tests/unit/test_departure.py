"""Truths other than the model: each departure has the moments that it says, and what cannot be is refused."""

from __future__ import annotations

import importlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.simulate.departure import NONE, Departure
from buurtsae.simulate.population import TruthSpec, draw_icar, expected_scores, simulate_truth
from buurtsae.simulate.survey import simulate_survey, simulate_to
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "data" / "voorbeeldstad"
SOURCE = "veiligheidsmonitor"
COVARIATES = ("pct_koopwoningen", "stedelijkheid")


@pytest.fixture(scope="module")
def areas():
    tables = [(EXAMPLE / "kerncijfers.csv", "buurtcode")]
    return Areas.read(EXAMPLE / "buurten.gpkg", 2024, tables=tables, region="Voorbeeldstreek")


@pytest.fixture(scope="module")
def graph(areas):
    return areas.graph()


@pytest.fixture(scope="module")
def crowded(areas):
    """The same buurten with 20,000 residents each, for Monte Carlo."""
    return replace(areas, frame=areas.frame.assign(population=20_000))


@pytest.fixture(scope="module")
def truth_of(areas, graph):
    """The truth with a departure, everything else being equal."""

    def made(departure, seed=1, among=areas):
        return simulate_truth(among, graph, TruthSpec(covariates=COVARIATES, departure=departure), seed)

    return made


@pytest.fixture(scope="module")
def moved(truth_of):
    """By how much a departure moves each buurt, shape (n_areas, n_subdimensions)."""
    return lambda departure, seed=1: truth_of(departure, seed).latent - truth_of(NONE, seed).latent


# --- the truth


def test_heavy_tails_are_students_with_the_same_variance(areas):
    v = np.random.default_rng(1).standard_normal((len(areas.codes), 500))
    found = Departure(tails=5.0).own(v, areas, np.random.default_rng(2)).ravel()
    # 60,000 draws: the test of Kolmogorov and Smirnov at 0.1% tells t_5 from the normal (largest distance of the two
    # distributions with variance 1: 0.03; critical value 1.95 / sqrt(60,000) = 0.008)
    assert stats.kstest(found, stats.t(5, scale=np.sqrt(3 / 5)).cdf).pvalue > 0.001
    assert stats.kstest(found, "norm").pvalue < 1e-6


def test_small_buurten_differ_more(areas):
    people = np.resize([20, 100, 1000, 4000], len(areas.codes))
    sized = replace(areas, frame=areas.frame.assign(population=people))
    v = np.random.default_rng(3).standard_normal((len(people), 1000))
    sd = Departure(size=0.5).own(v, sized, np.random.default_rng(4)).std(axis=1)
    # (N / 1,000)^-0.5, as if of 100 residents where there are fewer; sd of a sd of 1,000 draws: 1 / sqrt(2,000) = 2.2%
    expected = np.select([people == 20, people == 100, people == 1000], [10**0.5, 10**0.5, 1.0], 0.5)
    assert np.abs(sd / expected - 1).max() < 4.5 * 0.0224


def test_a_field_over_water_goes_on_at_the_other_bank(areas, graph):
    """The nearest buurten on both banks are alike in a field of place, and not in one over neighbours."""
    xy = np.column_stack([areas.frame.geometry.centroid.x, areas.frame.geometry.centroid.y])
    part = pd.Series(graph.icar.component, graph.codes).reindex(areas.codes).to_numpy()
    one, other = (np.flatnonzero(part == part[areas.codes.get_loc(code)]) for code in ("BU99010001", "BU99030001"))
    apart = np.hypot(*(xy[one][:, None] - xy[other]).transpose(2, 0, 1))
    first, second = np.unravel_index(np.argmin(apart), apart.shape)
    pair = areas.codes[[one[first], other[second]]]
    rng, size = np.random.default_rng(8), 400
    smooth = pd.DataFrame(Departure(over_water=True).smooth_field(areas, size, rng), areas.codes)
    icar = pd.DataFrame(draw_icar(graph, size, rng), graph.codes)
    # 1.3 km apart, a fifth of the mean wavelength or less: J0(2 pi / 8) = 0.85; a correlation of 400 draws has a
    # standard error of at most 0.05
    assert np.corrcoef(smooth.loc[pair])[0, 1] > 0.6
    assert abs(np.corrcoef(icar.loc[pair])[0, 1]) < 4 * 0.05
    assert (smooth[areas.inhabited] ** 2).mean(axis=None) == pytest.approx(1)


def test_a_break_lifts_one_side_of_a_line(areas, graph, moved):
    shift = moved(Departure(jump=0.5))[:, 0]
    assert np.allclose(np.abs(shift), 0.25)
    assert 30 < (shift > 0).sum() < 90  # the line goes through the middle of 120
    x = np.column_stack([areas.frame.geometry.centroid.x, areas.frame.geometry.centroid.y]) / 1000
    x = np.column_stack([x - x.mean(axis=0), np.ones(len(x))])
    # a straight line parts them: of all 180 directions one has all that are above on one side
    turns = np.linspace(0, np.pi, 181)
    along = x[:, :2] @ np.array([np.cos(turns), np.sin(turns)])
    above, below = along[shift > 0], along[shift < 0]
    gap = np.maximum(above.min(axis=0) - below.max(axis=0), below.min(axis=0) - above.max(axis=0))
    assert gap.max() > -0.1  # km: the angle is up to half a degree away


def test_one_gemeente_jumps(areas, moved):
    shift = pd.Series(moved(Departure(gemeente_jump=1.0))[:, 2], areas.codes)
    by = shift.groupby(areas.parents("gemeente").to_numpy()).agg(["min", "max"])
    assert sorted(by["max"].round(12)) == sorted(by["min"].round(12)) == [0.0, 0.0, 1.0]


def test_parts_of_the_graph_have_levels_and_islands_of_one_do_not(areas, graph):
    component = pd.Series(graph.icar.component, graph.codes).reindex(areas.codes).to_numpy()
    levels, rng = [], np.random.default_rng(9)
    for _ in range(50):
        shift = Departure(parts=0.4).shift(areas, graph, rng)[:, 0]
        for part, size in enumerate(graph.icar.size):
            (level,) = set(shift[component == part])
            assert size > 1 or level == 0
            levels += [level] * int(size > 1)
    # 100 levels: their standard deviation has a standard error of 0.4 / sqrt(200)
    assert np.std(levels) == pytest.approx(0.4, abs=4 * 0.4 / np.sqrt(200))


def test_the_square_of_the_first_covariate_has_an_effect(areas, truth_of, moved):
    x = areas.frame[COVARIATES[0]]
    x = ((x - x[areas.inhabited].mean()) / x[areas.inhabited].std(ddof=0)).fillna(0) ** 2
    square = ((x - x[areas.inhabited].mean()) / x[areas.inhabited].std(ddof=0)).to_numpy()
    effect = truth_of(NONE).beta[0]
    np.testing.assert_allclose(moved(Departure(quadratic=0.8)), 0.8 * np.outer(square, effect), atol=1e-12)


def test_real_figures_are_the_truth_where_there_are_any(areas, truth_of):
    truth = truth_of(Departure(figures=("gemiddelde_woz",)))
    figure = areas.frame["gemiddelde_woz"].to_numpy()
    known = areas.inhabited & np.isfinite(figure)
    assert 0 < known.sum() < areas.inhabited.sum()  # six inhabited buurten have none
    np.testing.assert_array_equal(np.isfinite(truth.scores[:, 0]), known)
    spec = truth.spec
    for d in range(4):
        assert np.corrcoef(figure[known], truth.latent[known, d])[0, 1] == pytest.approx(1)
        assert truth.latent[known, d].mean() == pytest.approx(spec.level[d])
        total = (spec.sigma[d] ** 2 + spec.gemeente_sd**2) / (1 - spec.explained)
        assert truth.latent[known, d].std() == pytest.approx(np.sqrt(total))
    frame = simulate_survey(areas, truth, Codebook.load(SOURCE), 500)
    assert frame["buurtcode"].isin(areas.codes[known]).all()


# --- who answers, and how


@pytest.mark.parametrize(
    "departure",
    [Departure(unequal=0.5), Departure(household=4, alike=0.5), Departure(response=0.4), Departure(tails=3.0)],
    ids=repr,
)
def test_respondents_score_what_is_said(crowded, truth_of, departure, tmp_path):
    """The truth is exact whatever departs; respondents who are selected lie above it as far as is said."""
    truth = truth_of(departure, 4, crowded)
    truth = replace(truth, spec=replace(truth.spec, response=(1.0, 1.0, 1.0)))  # no weights needed within a buurt
    book = Codebook.load(SOURCE)
    simulate_survey(crowded, truth, book, 60_000, seed=5).to_csv(tmp_path / "s.csv", index=False)
    cluster = "huishouden" if departure.household > 1 else ()
    survey = Survey.read(tmp_path / "s.csv", SOURCE, 2023, strata="stratum", cluster=cluster)
    scores = Concept.load().score(survey)
    names = list(scores.subdimensions)
    lifted = replace(truth, latent=truth.latent + departure.response * np.array(truth.spec.person_sd))
    groups = scores.frame.groupby("area_code")[names]
    # mean of a household of m with correlation below rho in scores: variance at most 1 + (m - 1) rho times as large
    inflation = 1 + (departure.household - 1) * departure.alike
    z = (groups.mean() - expected_scores(lifted, book)) / (groups.std() / np.sqrt(groups.count()))
    assert np.abs(z.to_numpy()).max() < 4.5 * np.sqrt(inflation)  # 480 of them
    assert np.abs(z.mean()).max() < 4 * np.sqrt(inflation / 120)  # a bias of 0.4 standard errors would show
    if departure.response:
        bias = (groups.mean() - expected_scores(truth, book)).mean()
        assert (bias > 0.3).all()  # 0.4 x about 0.55 latent, two points each


def test_members_of_a_household_are_alike():
    root = np.linalg.cholesky(np.array([[1, 0.5], [0.5, 1]])).T
    rng = np.random.default_rng(6)
    p = rng.standard_normal((80_000, 2)) @ root
    found = Departure(household=2, alike=0.4).persons(p, np.arange(80_000) // 2, root, rng)
    first, second = found[::2], found[1::2]
    # 40,000 households: the standard error of a correlation is at most 1 / 200
    assert np.corrcoef(first[:, 0], second[:, 0])[0, 1] == pytest.approx(0.4, abs=4 / 200)
    assert np.corrcoef(first.T)[0, 1] == pytest.approx(0.5, abs=4 / 200)
    assert found.std(axis=0) == pytest.approx([1, 1], abs=4 / np.sqrt(2 * 40_000))


def test_households_answer_whole_and_weights_still_sum(areas, truth_of):
    truth = truth_of(Departure(household=3, alike=0.4))
    frame = simulate_survey(areas, truth, Codebook.load(SOURCE), 900)
    assert len(frame) == 900
    of = frame.groupby("huishouden")
    assert (of.size() == 3).all()
    assert (of[["buurtcode", "stratum"]].nunique() == 1).all(axis=None)
    assert frame["gewicht"].sum() == pytest.approx(areas.population.sum())


def test_a_reversed_item_is_the_same_answer_written_the_other_way_round(areas, truth_of):
    book = Codebook.load(SOURCE)
    plain, turned = (
        simulate_survey(areas, truth_of(departure), book, 500)
        for departure in (NONE, Departure(reversed=("veilig_gevoel",)))
    )
    answered = plain["veilig_gevoel"] != book.missing[-1]
    assert (turned["veilig_gevoel"][answered] == 6 - plain["veilig_gevoel"][answered]).all()  # codes 1 to 5
    pd.testing.assert_frame_equal(plain.drop(columns="veilig_gevoel"), turned.drop(columns="veilig_gevoel"))


def test_unequal_spread_has_mean_square_one():
    spread = Departure(unequal=0.4).spread(40_000, np.random.default_rng(7))
    assert np.log(spread).std() == pytest.approx(0.4, abs=4 * 0.4 / np.sqrt(80_000))
    # the square is lognormal with sd of the log 0.8: relative sd sqrt(exp(0.64) - 1) = 0.95
    assert np.mean(spread**2) == pytest.approx(1, abs=4 * 0.95 / np.sqrt(40_000))


# --- what was made, and what is refused


def test_the_file_of_the_truth_says_what_was_made(areas, tmp_path):
    for departure in (Departure(tails=4.0, gemeente_jump=0.5), NONE):
        simulate_to(areas, tmp_path, {SOURCE: 500}, 2, TruthSpec(departure=departure))
        written = pd.read_csv(tmp_path / "waarheid.csv")
        if departure.made:
            assert set(written["departure"]) == {"Departure(tails=4.0, gemeente_jump=0.5)"}
        else:
            assert list(written) == ["area_code", "measure", "truth"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"tails": "2"}, "tails"),
        ({"size": "-1"}, "size"),
        ({"household": "2.5"}, "household"),
        ({"unequal": "veel"}, "unequal"),
        ({"staarten": "4"}, "the truth cannot depart so"),
        ({"figures": "woz", "tails": "4"}, "real figures are the whole truth"),
    ],
)
def test_what_cannot_be_is_refused(words, says):
    with pytest.raises(BuurtsaeError) as caught:
        Departure.of(words)
    assert says in str(caught.value)
    assert str(caught.value).count("\n") % 3 == 2


def test_what_is_written_is_what_is_made():
    words = {"tails": "4", "over_water": "true", "household": "3", "reversed": "a,b"}
    assert Departure.of(words) == Departure(tails=4.0, over_water=True, household=3, reversed=("a", "b"))
    assert Departure.of({}) == NONE
    with pytest.raises(ModelError):
        Departure(tails=1.0)


def test_what_the_areas_lack_is_said_at_once(areas, graph):
    bare = replace(areas, frame=pd.DataFrame(areas.frame.drop(columns="geometry")).assign(flat=1.0))
    departure = Departure(figures=("woz", "flat"), jump=1.0, reversed=("nothing",))
    with pytest.raises(BuurtsaeError) as caught:
        simulate_truth(bare, graph, TruthSpec(departure=departure))
    for words in ("areas without geometry", "'woz'", "figure flat does not vary", "2 columns", "nothing"):
        assert words in str(caught.value)
    with pytest.raises(ModelError, match="a quadratic effect"):
        simulate_truth(areas, graph, TruthSpec(departure=Departure(quadratic=1.0)))


def test_every_departure_is_documented():
    page = (ROOT / "docs" / "misspecified.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(Departure) if f"`{field.name}`" not in page] == []


# --- the cases of benchmarks/misspecified.py


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("misspecified").CASES


@pytest.mark.slow
def test_every_case_can_be_made(cases):
    assert len(cases) == 18
    every = {name: case.made(3) for name, case in cases.items()}
    clean = every["clean"]
    for name, made in every.items():
        assert set(made.truth["measure"]) == set(made.direct.subdimensions), name
        assert made.truth["truth"].between(0, 10).all(), name
        assert 0 < len(made.concerned) <= len(made.direct.areas.codes), name
        assert set(made.direct.sources[0].codes) < set(made.truth["area_code"]), name
        of_truth = {*cases[name].departure.made} - {"household", "alike", "response", "reversed"}
        assert not of_truth or not made.truth.equals(clean.truth), name
    for name, factor in (("variances / 2", 0.5), ("variances x 2", 2.0)):
        np.testing.assert_array_equal(every[name].direct.sources[0].variance, factor * clean.direct.sources[0].variance)
    assert not clean.direct.notes
    assert every["row numbers"].direct.notes
    assert every["inverse weights"].direct.notes
