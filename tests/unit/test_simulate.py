"""The simulator: exact truth, exact ICAR draws, honest weights, and the example on disk."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.errors import DataError, ModelError, ProblemsError
from buurtsae.simulate.geography import made_areas, made_kerncijfers
from buurtsae.simulate.population import TruthSpec, draw_icar, expected_scores, questions, simulate_truth
from buurtsae.simulate.survey import SESSION, simulate_survey, simulate_to
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.survey import Survey, check_areas

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "data" / "voorbeeldstad"
SOURCES = ("veiligheidsmonitor", "burgerpeiling")
SPEC = TruthSpec(covariates=("stedelijkheid", "pct_koopwoningen"), effects=(0.5, 1.0))


@pytest.fixture(scope="module")
def areas():
    return Areas.read(
        EXAMPLE / "buurten.gpkg", 2024, tables=[(EXAMPLE / "kerncijfers.csv", "buurtcode")], region="Voorbeeldstreek"
    )


@pytest.fixture(scope="module")
def graph(areas):
    return areas.graph()


@pytest.fixture(scope="module")
def truth(areas, graph):
    return simulate_truth(areas, graph, SPEC, seed=3)


@pytest.fixture(scope="module")
def crowded(areas):
    """The same buurten with 200,000 residents each, for Monte Carlo."""
    return replace(areas, frame=areas.frame.assign(population=200_000))


def scores_of(frame, source, tmp_path):
    """Scores as a user gets them: through the file, the reader and the codebook."""
    frame.to_csv(tmp_path / "s.csv", index=False)
    return Concept.load().score(Survey.read(tmp_path / "s.csv", source, 2023, strata="stratum"))


# --- the made region


@pytest.mark.parametrize("seed", [1, 2, 12])  # 2 and 12: seeds whose full-strength bend folds borders
def test_made_areas_are_a_valid_coverage_with_an_island(seed):
    frame = made_areas(seed)
    assert len(frame) == 120
    assert frame["wijkcode"].nunique() == 12
    assert frame["gemeentecode"].nunique() == 3
    assert frame["buurtcode"].is_unique
    assert frame["buurtnaam"].is_unique
    assert frame["buurtcode"].str.contains("AD").any()
    assert frame.geometry.is_valid.all()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    audit = Graph.from_geometry(frame.set_index("buurtcode")).audit()
    assert audit["components"] == [83, 36]  # the banks of the river: 75 + 8 buurten of WIJKEN against 36
    assert len(audit["islands"]) == 1


def test_made_kerncijfers_hide_what_cbs_hides():
    table = made_kerncijfers(made_areas(5), 5).set_index("buurtcode")
    residents = table["inwoners"]
    assert (residents == 0).sum() == 2
    assert residents.between(1, 9).sum() == 1
    assert residents.between(15, 60).sum() == 4
    assert (residents >= 150).sum() == 113  # the rest of 120
    assert (table.loc[residents == 0].drop(columns="inwoners") == -99997).all(axis=None)
    assert (table["pct_koopwoningen"] == -99997).sum() == 8  # 2 without, 5 with hardly any residents, 1 more
    assert (table["bevolkingsdichtheid"] == -99997).sum() == 2
    shown = table[table["pct_koopwoningen"] >= 0]
    assert shown["stedelijkheid"].between(1, 5).all()
    assert shown.filter(like="pct_").map(lambda v: 0 <= v <= 100).all(axis=None)


# --- the ICAR draw


def test_icar_draws_have_the_generalised_inverse_as_covariance():
    # A path of 4, a triangle with a tail, and an island, in mixed order.
    pairs = [("a", "e"), ("e", "c"), ("c", "h"), ("b", "d"), ("d", "f"), ("b", "f"), ("f", "g")]
    graph = Graph.from_pairs("abcdefghi", pairs)
    draws = draw_icar(graph, 40_000, np.random.default_rng(1))
    assert np.abs(graph.icar.means @ draws).max() < 1e-10  # sum to zero per component
    expected = np.linalg.pinv(graph.icar.precision.toarray())
    # standard error of a covariance of N normals: sqrt((S_ii S_jj + S_ij^2) / N); 81 entries: 4.5 of them
    variance = np.diag(expected)
    error = np.sqrt((np.outer(variance, variance) + expected**2) / draws.shape[1])
    assert (np.abs(np.cov(draws, bias=True) - expected) < 4.5 * error).all()
    assert expected[8, 8] == pytest.approx(1.0)  # the island


def test_icar_draws_on_the_example_have_geometric_mean_variance_one(graph):
    draws = draw_icar(graph, 2000, np.random.default_rng(2))
    log_variance = np.log(draws.var(axis=1))
    for c in range(len(graph.icar.size)):
        # each log variance has standard error sqrt(2 / 2000) = 0.032; a mean of correlated ones at most that: 4 of them
        assert abs(log_variance[graph.icar.component == c].mean()) < 0.13


def test_icar_on_islands_only_is_independent_noise():
    draws = draw_icar(Graph.from_pairs("abc", []), 20_000, np.random.default_rng(3))
    assert np.abs(np.cov(draws) - np.eye(3)).max() < 4.5 * np.sqrt(2 / 20_000)


# --- the truth


@pytest.mark.parametrize("source", SOURCES)
def test_truth_is_the_mean_score_of_many_respondents(crowded, graph, source, tmp_path):
    truth = simulate_truth(crowded, graph, SPEC, seed=4)
    codebook = Codebook.load(source)
    # Equal inclination, so that a buurt's unweighted mean is that of its residents: 300,000 respondents, 2,500 a buurt.
    truth = replace(truth, spec=replace(truth.spec, response=(1.0, 1.0, 1.0)))
    scores = scores_of(simulate_survey(crowded, truth, codebook, 300_000, seed=5), source, tmp_path)
    names = list(scores.subdimensions)
    groups = scores.frame.groupby("area_code")[names]
    z = (groups.mean() - expected_scores(truth, codebook)) / (groups.std() / np.sqrt(groups.count()))
    # z is standard normal if the truth is exact: 480 of them, so below 4.5 and with mean square 1 +- 4 sqrt(2 / 480).
    # Stratification by age makes the variance a little smaller (about 2%), well inside.
    assert np.abs(z.to_numpy()).max() < 4.5
    assert np.mean(z.to_numpy() ** 2) == pytest.approx(1, abs=4 * np.sqrt(2 / 480))
    # pooled over buurten the error is 1 / sqrt(120) of that: a bias of 0.4 standard errors would show
    assert np.abs(z.mean()).max() < 4 / np.sqrt(120)


def test_simulated_scores_look_like_the_real_ones(areas, graph, tmp_path):
    truths = [simulate_truth(areas, graph, SPEC, seed) for seed in range(20)]
    inside = np.array([t.scores[areas.inhabited] for t in truths])
    # the targets of TruthSpec's docstring, averaged over 20 truths
    assert np.all(np.abs(inside.mean(axis=(0, 1)) - 6) < 0.4)
    assert np.all((inside.std(axis=1).mean(axis=0) > 0.6) & (inside.std(axis=1).mean(axis=0) < 0.9))
    correlation = np.mean([np.corrcoef(x.T) for x in inside], axis=0)[np.triu_indices(4, 1)]
    assert np.all((correlation > 0.3) & (correlation < 0.7))
    scores = scores_of(simulate_survey(areas, truths[0], Codebook.load(SOURCES[0]), 20_000), SOURCES[0], tmp_path)
    groups = scores.frame.groupby("area_code")[list(scores.subdimensions)]
    within = groups.std()[groups.size() >= 30].mean()
    assert within.between(1.6, 2.0).all()


def test_covariates_explain_the_share_of_the_spec(areas, graph):
    x = areas.frame[list(SPEC.covariates)][areas.inhabited]
    x = ((x - x.mean()) / x.std(ddof=0)).fillna(0).to_numpy()
    share = []
    for seed in range(100):
        truth = simulate_truth(areas, graph, SPEC, seed)
        share.append((x @ truth.beta).var(axis=0) / truth.latent[areas.inhabited].var(axis=0))
    # The realised share varies over truths with sd 0.06 (seen), its mean over 100 truths and 4 sub-dimensions with
    # 0.004. It lies a little above the spec: with three gemeenten the field's variance is 0.976 of the spec's (200
    # truths), and the share is a ratio.
    assert np.mean(share) == pytest.approx(SPEC.explained, abs=0.03)


def test_the_second_source_is_a_near_linear_function_of_the_first(areas, truth):
    first = truth.scores[areas.inhabited]
    second = expected_scores(truth, Codebook.load("burgerpeiling"))[areas.inhabited]
    for d in range(4):
        slope, _ = np.polyfit(first[:, d], second[:, d], 1)
        assert 0.6 < slope < 0.95  # TruthSpec.other_loading = 0.8: a smaller scale
        assert np.corrcoef(first[:, d], second[:, d])[0, 1] > 0.99
    assert abs(second.mean() - first.mean()) > 0.2  # another level: TruthSpec.other_shift


def test_table_has_all_measures_of_inhabited_buurten(areas, truth):
    table = truth.table().pivot_table(index="area_code", columns="measure", values="truth")
    assert list(table.index) == list(areas.codes[areas.inhabited])
    assert set(table.columns) == set(Concept.load().measures)
    social = (table["omgang_en_relaties"] + table["participatie"]) / 2  # equal weights in concept.toml
    assert np.allclose(table["sociale_verbondenheid"], social)


def test_same_seed_same_numbers_other_seed_others(areas, graph, truth):
    again = simulate_truth(areas, graph, SPEC, seed=3)
    assert np.array_equal(again.latent, truth.latent)
    assert np.array_equal(again.persons, truth.persons)
    assert not np.allclose(simulate_truth(areas, graph, SPEC, seed=4).latent, truth.latent)
    book = Codebook.load("burgerpeiling")
    first, same, other = (simulate_survey(areas, truth, book, 300, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, same)
    assert not first.equals(other)


def test_without_covariates_beta_is_empty(areas, graph):
    truth = simulate_truth(areas, graph)
    assert truth.beta.shape == (0, 4)
    assert np.isfinite(truth.scores[areas.inhabited]).all()
    assert np.isnan(truth.scores[~areas.inhabited]).all()


# --- the survey


@pytest.mark.parametrize("source", SOURCES)
def test_weights_sum_to_the_residents_of_each_stratum(areas, truth, source):
    frame = simulate_survey(areas, truth, Codebook.load(source), 1000, seed=1, empty=list(areas.codes[:8]))
    assert len(frame) == 1000
    gemeente = areas.parents("gemeente").to_numpy()
    for (name, age), rows in frame.groupby(frame["stratum"].str.split("|").map(tuple)):
        h = ("15-34", "35-64", "65+").index(age)
        assert rows["gewicht"].nunique() == 1
        assert rows["gewicht"].sum() == pytest.approx(truth.persons[gemeente == name, h].sum())
    assert frame["gewicht"].sum() == pytest.approx(areas.population.sum())
    assert not frame["buurtcode"].isin(areas.codes[:8]).any()
    assert (frame["stratum"].str[:6] == "GM" + frame["buurtcode"].str[2:6]).all()


def test_older_residents_respond_more(areas, truth):
    frame = simulate_survey(areas, truth, Codebook.load(SOURCES[0]), 3000)
    rate = frame.groupby(frame["stratum"].str[7:]).size() / truth.persons.sum(axis=0)
    assert rate["15-34"] < rate["35-64"] < rate["65+"]


def test_nobody_answers_twice_or_where_nobody_lives(areas, truth):
    frame = simulate_survey(areas, truth, Codebook.load(SOURCES[0]), 0.5)
    count = frame["buurtcode"].value_counts().reindex(areas.codes, fill_value=0)
    assert len(frame) == round(0.5 * areas.population.sum())
    assert (count.to_numpy() <= areas.population).all()
    assert (count[~areas.inhabited] == 0).all()


@pytest.mark.parametrize("source", SOURCES)
def test_answers_are_codes_and_reversed_items_point_the_same_way(areas, truth, source):
    book = Codebook.load(source)
    frame = simulate_survey(areas, truth, book, 20_000, seed=2)
    items = questions(book, SPEC, Concept.load())
    for q in items:
        answers = frame[q.item.name]
        assert set(answers) == {*q.item.codes, book.missing[-1]}
        # 3% 'geen antwoord', binomial: standard error sqrt(.03 * .97 / 20000) = 0.0012; 5 of them
        assert (answers == book.missing[-1]).mean() == pytest.approx(SPEC.no_answer, abs=0.006)
    decoded = pd.DataFrame(
        {
            q.item.name: 10
            * (frame[q.item.name].where(~frame[q.item.name].isin(book.missing)) - q.item.worst)
            / (q.item.best - q.item.worst)
            for q in items
        }
    )
    # Latent correlation of the two weakest items (loading 0.8 x 0.85 = 0.68, person sd 0.48 and 0.5, correlated 0.5,
    # and some 0.04 shared by buurt and age): 0.68^2 (0.12 + 0.04) / 1.2 = 0.06, about 0.05 in categories. The standard
    # error is 1 / sqrt(20000) = 0.007: all positive when decoded, while a reversed item read as it is gives -0.05.
    assert decoded.corr().to_numpy().min() > 0
    raw = frame[[q.item.name for q in items]].corr()
    turned = {q.item.name for q in items if q.item.worst > q.item.best}
    if 0 < len(turned) < len(items):
        assert raw.to_numpy().min() < 0  # the raw codes do not point the same way


def test_a_participatory_source_is_a_session_in_some_buurten(areas, truth, tmp_path):
    book = Codebook.load("leefplekmeter")
    frame = simulate_survey(areas, truth, book, 240, 3)
    count = frame["buurtcode"].value_counts()
    assert len(count) == 240 // SESSION
    assert (count == SESSION).all()
    assert (frame["gewicht"] == 1).all()
    frame.drop(columns=["gewicht", "stratum"]).to_csv(tmp_path / "s.csv", index=False)
    scores = Concept.load().score(Survey.read(tmp_path / "s.csv", "leefplekmeter", 2024))  # it comes without weights
    assert scores.kind == "participatory"
    assert (scores.frame["weight"] == 1).all()
    found = direct(scores, areas)
    assert [s.kind for s in found.sources] == ["participatory"]
    with pytest.raises(DataError, match="the number of participants is impossible"):
        simulate_survey(areas, truth, book, 6 * len(areas.codes) + 6, 3)


def test_a_source_may_deviate_per_buurt(areas, graph):
    """Two surveys of the same residents: with an extra of sd 1 buurten move apart, without it they agree."""
    for extra in (0.0, 1.0):
        truth = simulate_truth(areas, graph, replace(SPEC, other_extra=extra), 1)
        book = Codebook.load("burgerpeiling")
        means = []
        for seed in (1, 2):
            frame = simulate_survey(areas, truth, book, 20_000, seed)
            answers = frame[frame["steun_van_buren"] != book.missing[-1]].groupby("buurtcode")["steun_van_buren"]
            means.append(answers.mean()[answers.size() >= 100])
        apart = (means[0] - means[1]).dropna()
        assert len(apart) > 30
        # answers have sd about 1.2: sampling alone gives at most 1.2 sqrt(2 / 100) = 0.17
        assert apart.std() < 0.2 if extra == 0 else apart.std() > 0.4


def test_respondents_pass_the_reader(areas, truth, tmp_path):
    from buurtsae.errors import Problems

    frame = simulate_survey(areas, truth, Codebook.load(SOURCES[1]), 500)
    frame.to_csv(tmp_path / "s.csv", index=False)
    survey = Survey.read(tmp_path / "s.csv", SOURCES[1], 2023, strata="stratum")
    problems = Problems()
    check_areas(survey, areas, problems)
    problems.raise_if_any()
    assert len(survey) == 500


def test_simulate_to_writes_all_or_nothing(areas, tmp_path):
    with pytest.raises(DataError, match="number of respondents is impossible"):
        simulate_to(areas, tmp_path / "no", {"veiligheidsmonitor": 500, "burgerpeiling": 10**9})
    assert not (tmp_path / "no").exists()
    files = simulate_to(areas, tmp_path / "yes", {"burgerpeiling": 0.01, "veiligheidsmonitor": 500}, seed=2)
    assert [f.name for f in files] == ["enquete_burgerpeiling.csv", "enquete_veiligheidsmonitor.csv", "waarheid.csv"]
    assert {f.name for f in (tmp_path / "yes").iterdir()} == {f.name for f in files}
    assert len(pd.read_csv(files[0])) == round(0.01 * areas.population.sum())
    # the first source is the reference: its expected scores are the truth
    truth = simulate_truth(areas, areas.graph(), TruthSpec(reference="burgerpeiling"), seed=2)
    written = pd.read_csv(files[2])
    assert np.allclose(written["truth"], truth.table()["truth"], atol=5e-7)  # six decimals


# --- what is refused


def test_contradictions_are_reported_at_once(areas, graph):
    spec = replace(SPEC, covariates=("no_such", "pct_65plus"), effects=(1.0,), sigma=(0.2,), response=(1.0,))
    with pytest.raises(ProblemsError) as caught:
        simulate_truth(areas, graph, spec)
    text = str(caught.value)
    for words in ("no_such", "effects and covariates", "the truth's sigma", "the truth's response"):
        assert words in text
    assert any(isinstance(p, ModelError) for p in caught.value.problems)


def test_another_graph_or_other_areas_are_refused(areas, truth):
    with pytest.raises(DataError, match="graph and areas differ"):
        simulate_truth(areas, Graph.from_pairs("abc", [("a", "b")]))
    fewer = replace(areas, frame=areas.frame.iloc[1:])
    with pytest.raises(DataError, match="truth and areas differ"):
        simulate_survey(fewer, truth, Codebook.load(SOURCES[0]), 100)
    with pytest.raises(DataError, match="unknown"):
        simulate_survey(areas, truth, Codebook.load(SOURCES[0]), 100, empty=["BU00000000"])


def test_a_stratum_that_runs_out_is_refused(areas, truth):
    with pytest.raises(DataError, match="stratum has too few residents"):
        simulate_survey(areas, truth, Codebook.load(SOURCES[0]), 0.95)  # the oldest respond 1.4 times as often


# --- the example on disk


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("make_voorbeeldstad", ROOT / "benchmarks" / "make_voorbeeldstad.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = tmp_path_factory.mktemp("voorbeeldstad")
    module.make(out)
    return out


def test_the_example_is_what_its_script_makes(remade):
    names = sorted(p.name for p in EXAMPLE.iterdir())
    assert names == sorted(p.name for p in remade.iterdir())
    for name in [n for n in names if not n.endswith(".gpkg")]:  # its bytes depend on the version of SQLite
        assert (EXAMPLE / name).read_bytes() == (remade / name).read_bytes(), name


def test_the_example_keeps_the_promises_of_its_readme(areas, graph):
    assert len(areas.codes) == 120
    assert areas.frame["wijk"].nunique() == 12
    assert areas.frame["gemeente"].nunique() == 3
    assert (~areas.inhabited).sum() == 2
    assert len(graph.audit()["islands"]) == 1
    assert any(c.isalpha() for code in areas.codes for c in code[6:8])
    missing = areas.audit()["missing_covariates"]
    assert missing["pct_koopwoningen"] == missing["gemiddelde_woz"] == 6
    surveys = {s: Survey.read(EXAMPLE / f"enquete_{s}.csv", s, 2023, strata="stratum") for s in SOURCES}
    assert [len(s) for s in surveys.values()] == [1000, 500]
    reached = set().union(*(s.frame["area_code"] for s in surveys.values()))
    assert len(set(areas.codes[areas.inhabited]) - reached) == 10
    assert (EXAMPLE / "buurten.gpkg").stat().st_size < 300_000


def test_the_data_package_is_valid():
    frictionless = pytest.importorskip("frictionless", reason="frictionless is a test extra")
    report = frictionless.Package(str(EXAMPLE / "datapackage.json")).validate()
    assert report.valid, report.flatten(["type", "note"])


def test_a_census_is_everyone(areas, truth):
    everyone = int(truth.persons.sum())
    frame = simulate_survey(areas, truth, Codebook.load("veiligheidsmonitor"), everyone, 1)
    counts = frame.groupby("buurtcode").size().reindex(truth.codes, fill_value=0)
    np.testing.assert_array_equal(counts, truth.persons.sum(axis=1))
    assert (frame["gewicht"] == 1).all()
