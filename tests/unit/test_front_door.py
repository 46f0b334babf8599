"""From a table of any areas to estimates: no run file, no concept, no geometry, no codes of CBS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_fit import make_areas

import buurtsae as bs
from buurtsae.engines.base import Fit
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.summary import Estimates
from buurtsae.model.design import design

N = 48
BOOK = """
id = "eigen"
nl = "Eigen onderzoek"
kind = "survey"
level = "land"
min_share_answered = 0.5
references = ["County of X, 2024"]

[[scale]]
id = "ties"
subdimension = "participatie"
answers = { from = 1, to = 5 }
worst = 1
best = 5
items = [
  { name = "talk", about = "they talk" },
  { name = "help", about = "they help" },
  { name = "trust", about = "they trust" },
]
"""
SMALL = {"progress": False, "draws": 2000, "hyperparameters": 200}


def table(seed: int = 1) -> pd.DataFrame:
    """Made counties in four states: two rates with sampling errors, of which some are missing, and an income."""
    rng = np.random.default_rng(seed)
    income = rng.normal(40, 8, N)
    a = 3 + 0.1 * (income - 40) + rng.normal(0, 0.5, N)
    b = a + rng.normal(0, 0.3, N)
    v = rng.uniform(0.05, 0.4, N)
    errors = rng.normal(size=(N, 2)) @ np.linalg.cholesky([[1, 0.5], [0.5, 1]]).T * np.sqrt(v)[:, None]
    frame = pd.DataFrame({"fips": 1001 + 2 * np.arange(N), "state": np.repeat(["AL", "AK", "AZ", "AR"], N // 4)})
    frame = frame.assign(a=a + errors[:, 0], b=b + errors[:, 1], va=v, vb=v, cab=0.5 * v, income=income)
    frame.loc[[3, 7], "a"] = np.nan
    return frame.sample(frac=1, random_state=seed)  # in no order


def problems_of(step: Callable[[], object]) -> dict[str, str]:
    with pytest.raises(BuurtsaeError) as raised:
        step()
    found = getattr(raised.value, "problems", (raised.value,))
    assert all(str(p).count("\n") == 2 for p in found)
    return {p.what: p.got for p in found}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    data = bs.DirectEstimates.from_frame(table(), y="a", variance="va", area="fips")
    model = bs.AreaModel("1 + income", terms=[bs.IID("area")])
    return bs.fit(model, data, **SMALL)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def est(fitted: Fit) -> Estimates:
    return bs.estimate(fitted)


def test_a_fay_herriot_model_in_three_lines(fitted: Fit, est: Estimates) -> None:
    frame = table().set_index("fips").sort_index()
    assert est.areas is fitted.areas is fitted.direct.areas
    assert est.measures == ("a",)
    rows = est.table.query("level == 'area'").set_index("area_code")
    assert rows.index.tolist() == [str(c) for c in frame.index]
    assert est.table["level"].unique().tolist() == ["area", "all"]
    np.testing.assert_allclose(rows["direct"], frame["a"])
    np.testing.assert_allclose(rows["direct_se"], np.sqrt(frame["va"].where(frame["a"].notna())))
    # REML plugs in one variance, the posterior averages over it: for 46 areas EBLUPs differ by some hundredths
    classical = bs.FayHerriot.from_formula("a ~ income", frame.reset_index(), "va", "fips").fit("reml")
    np.testing.assert_allclose(rows["estimate"], classical.eblup, atol=0.1)
    assert np.corrcoef(rows["estimate"], classical.eblup)[0, 1] > 0.995


def test_of_numbers_of_people_that_are_unknown_nothing_is_said(est: Estimates) -> None:
    rows = est.published.query("level == 'area'").set_index("area_code")
    without = ["1007", "1015"]
    assert rows["n_respondents"].isna().drop(without).all()
    assert rows.loc[without, "n_respondents"].tolist() == [0, 0]
    assert set(rows.loc[without, "reason"]) == {"geen eigen respondenten: schatting uit het model"}
    assert "niet_publiceren" not in set(rows["label"])
    np.testing.assert_array_equal(rows["direct"].dropna(), est.table.query("level == 'area'")["direct"].dropna())
    said = est.explain("1001")
    assert "inwoners" not in said
    assert "respondent" not in said
    assert "eigen gegevens" in said
    assert "geen eigen respondenten" in est.explain("1007")


def test_what_follows_a_fit_works_on_areas_of_anywhere(fitted: Fit, est: Estimates) -> None:
    assert len(bs.left_out(fitted).table) == N - 2
    assert quality(est)["gate"]["checks"]
    assert len(bs.side_by_side(fitted)) == N
    assert bs.contrast(est, "1001", "ALL", "a").probability == pytest.approx(
        float(est.select("a").loc["1001", "p_above_parent"]), abs=1e-12
    )
    assert "all areas, score" in est._repr_html_()  # no ends: none are told
    assert "buurt" not in est.explain("1001") + str(fitted.model)
    assert list(problems_of(lambda: bs.publish(est, to="nowhere"))) == [
        "what is published is of buurten, wijken and gemeenten"
    ]
    assert list(problems_of(lambda: est.map("a"))) == ["there is no map"]
    classical = bs.fit(fitted.model, fitted.direct, engine="eblup", progress=False, draws=400)
    assert classical.model.terms == (bs.IID("area"),)
    assert len(bs.estimate(classical).table) == N + 1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda f: bs.fit(f.direct, f.model), "this is no model and data"),
        (lambda f: bs.fit(f.model, f.direct, f.areas), "the engine is unknown"),  # as before 0.2
        (lambda f: bs.AreaModel(terms=bs.IID("area")), "the terms are no list"),
        (
            lambda f: bs.fit(bs.AreaModel("1 + b", [bs.Spline("b")]), two_values()),
            "the covariate of s(b) has too few values for a curve",
        ),
    ],
)
def test_calls_that_are_nearly_right(fitted: Fit, call: Callable[[Fit], object], what: str) -> None:
    (said,) = problems_of(lambda: call(fitted))
    assert said.startswith(what)


def two_values() -> bs.DirectEstimates:
    frame = table().assign(b=lambda f: np.arange(len(f)) % 2)
    return bs.DirectEstimates.from_frame(frame[["fips", "a", "va", "b"]], y="a", variance="va", area="fips")


def test_levels_are_means_of_their_areas_and_what_areas_are_compared_with() -> None:
    frame = table().assign(people=lambda f: 100 + f["fips"])
    areas = bs.Areas.from_frame(
        frame.drop(columns=["a", "b", "va", "vb", "cab"]), "fips", {"state": "state"}, population="people"
    )
    data = bs.DirectEstimates.from_frame(frame, y="a", variance="va", area="fips", areas=areas)
    fitted = bs.fit(bs.AreaModel("1", terms=[bs.IID("state"), bs.IID("area")]), data, **SMALL)  # type: ignore[arg-type]
    est = bs.estimate(fitted)
    assert est.table["level"].unique().tolist() == ["area", "state", "all"]
    own = est.table.query("level == 'area'").set_index("area_code")
    assert (own["population"] == 100 + own.index.astype(int)).all()
    in_state = areas.parents("state")
    for state, row in est.table.query("level == 'state'").set_index("area_code").iterrows():
        part = own[in_state[own.index] == state]
        assert row["estimate"] == pytest.approx(np.average(part["estimate"], weights=part["population"]))
        assert part["rank_upper"].max() <= N // 4
    assert {name for name in fitted.draws.hyper if name.endswith(".sigma")} == {"state.sigma", "area.sigma"}


def test_measures_with_and_without_covariances() -> None:
    names = {"y": ["a", "b"], "variance": ["va", "vb"], "area": "fips"}
    apart = bs.DirectEstimates.from_frame(table(), **names)  # type: ignore[arg-type]
    assert list(apart.notes) == ["no covariances were given: sampling errors taken as uncorrelated"]
    together = bs.DirectEstimates.from_frame(table(), covariance={("b", "a"): "cab"}, **names)  # type: ignore[arg-type]
    assert list(together.notes) == []
    frame = table().set_index("fips").sort_index()
    (source,) = together.sources
    assert source.codes.tolist() == [str(c) for c in frame.index]
    np.testing.assert_allclose(
        source.variance[0], [[frame["va"].iloc[0], frame["cab"].iloc[0]], [frame["cab"].iloc[0], frame["vb"].iloc[0]]]
    )
    assert source.variance[3].tolist() == [[0, 0], [0, frame["vb"].iloc[3]]]  # of `a` there is no estimate
    fitted = bs.fit(bs.AreaModel("1 + income", terms=[bs.IID("area")]), together, **SMALL)  # type: ignore[arg-type]
    assert bs.estimate(fitted).measures == ("a", "b")  # no total
    assert "area.R" in fitted.draws.hyper


def test_a_graph_with_islands_and_codes_of_iris() -> None:
    """A ring of 46 IRIS and two islands: the field of an island is free, and nothing else changes."""
    frame = table().assign(iris=[f"75101{k:04}" for k in range(N)])
    data = bs.DirectEstimates.from_frame(frame.drop(columns="fips"), y="b", variance="vb", area="iris")
    codes = frame["iris"].tolist()
    graph = bs.Graph.from_pairs(codes, [(codes[k], codes[(k + 1) % (N - 2)]) for k in range(N - 2)])
    assert graph.audit()["islands"] == codes[-2:]
    fitted = bs.fit(bs.AreaModel("1 + income", terms=[bs.BYM2(graph)]), data, **SMALL)  # type: ignore[arg-type]
    est = bs.estimate(fitted)
    assert est.select("b").index.tolist() == codes
    assert est.table["estimate"].notna().all()
    some = bs.DirectEstimates.from_frame(frame.iloc[:-1], y="b", variance="vb", area="iris")
    assert problems_of(lambda: bs.fit(fitted.model, some)) == {
        "the graph of BYM2 is of other areas": f"1 codes in one only: {codes[-1]}"
    }


def test_figures_on_any_scale() -> None:
    """Incomes below what CBS marks as secret, which need priors of their own, and rates of some in a thousand."""
    frame = table().assign(debt=lambda f: -1e5 * f["b"], vd=lambda f: 1e10 * f["vb"])
    frame = frame.assign(risk=lambda f: 1e-3 * f["b"], vr=lambda f: 1e-6 * f["vb"], wealth=lambda f: -1e5 * f["income"])
    assert (frame["debt"].min(), frame["wealth"].min()) < (-99_990, -99_990)
    classical = bs.FayHerriot.from_formula("b ~ wealth", frame, "vb", "fips").fit("reml").eblup
    wide = {"intercept": bs.Normal(-3e5, 3e5), "coefficient": bs.Normal(0, 1e5)}
    for y, variance, factor, priors, sd in (("debt", "vd", -1e5, wide, 1e5), ("risk", "vr", 1e-3, {}, 1.0)):
        data = bs.DirectEstimates.from_frame(frame, y=y, variance=variance, area="fips")
        model = bs.AreaModel("1 + wealth", terms=[bs.IID("area", sd=bs.PC(sd, 0.05))], **priors)  # type: ignore[arg-type]
        fitted = bs.fit(model, data, **SMALL)  # type: ignore[arg-type]
        assert fitted.design.notes == []
        mean = pd.Series(fitted.draws.flat.mean(axis=0)[:, 0] / factor, fitted.areas.codes)
        np.testing.assert_allclose(mean, classical.sort_index(), atol=0.1)


def test_a_covariate_is_filled_in_by_the_level_above() -> None:
    frame = table().set_index("fips").sort_index()
    frame["income"] += np.where(frame["state"] == "AL", 30, 0)  # four times the spread within states
    frame.loc[1001, "income"] = np.nan
    areas = bs.Areas.from_frame(frame, "fips", {"state": "state"})
    data = bs.DirectEstimates.from_frame(frame, y="b", variance="vb", area="fips", areas=areas)
    assert problems_of(lambda: design(bs.AreaModel("1 + income"), data)) == {
        "covariate income is missing in 1 areas with residents": "1001"
    }
    arrays = design(bs.AreaModel("1 + income", missing="impute"), data)
    (used,) = arrays.covariates
    assert used.imputed == ("1001",)
    # the mean of all and 11 / (11 + k) of how far the eleven others of Alabama lie from it, each left out in its turn;
    # k is the least that is tried, 1, since Alabama lies that far by no chance
    known, alabama = frame["income"].dropna(), frame["income"].iloc[1 : N // 4]
    left = (alabama.mean() - known.mean()) * (N - 1) / (N - 2)
    assert arrays.x[0, 1] * used.sd + used.mean == pytest.approx(known.mean() + left * 11 / (11 + 1))


def test_codes_of_cbs_work_too() -> None:
    areas = make_areas()
    live = areas.codes[areas.inhabited]
    frame = pd.DataFrame({"buurtcode": live[1:], "score": 6.0 + 0.1 * np.arange(len(live) - 1), "v": 0.2})
    data = bs.DirectEstimates.from_frame(frame, y="score", variance="v", area="buurtcode", areas=areas)
    assert repr(data) == f"DirectEstimates of score (direct: {len(frame)} buurten)"
    est = bs.estimate(bs.fit(bs.AreaModel("1", terms=[bs.IID("buurt")]), data, **SMALL))  # type: ignore[arg-type]
    assert est.table["level"].unique().tolist() == ["buurt", "wijk", "gemeente", "ggdregio", "land"]
    lost = frame.assign(buurtcode=[*frame["buurtcode"][:-1], areas.codes[~areas.inhabited][0]])
    data = bs.DirectEstimates.from_frame(lost, y="score", variance="v", area="buurtcode", areas=areas)
    assert data.notes[0].startswith("1 estimates left out: areas without residents (BU")


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {"y": "c", "variance": "vc"}, {"the frame has no such columns": "c, vc"}),
        ({}, {"y": ["a", "b"]}, {"columns of figures and variances do not go together": "y a, b; variance va"}),
        ({}, {"variance": "a"}, {"columns of figures and variances do not go together": "y a; variance a"}),
        ({}, {"covariance": {("a", "c"): "cab"}}, {"covariances are of unknown pairs": "a and c"}),
        (
            {"fips": [1001, 1001, *range(1, N - 1)], "a": "many"},
            {},
            {"areas occur more than once": "1001", "a is no number": "Unable to parse string"},
        ),
        (
            {"fips": [1001, 1001, *range(1, N - 1)], "a": 1.0, "va": 0.0},
            {},
            {"areas occur more than once": "1001", "variances of a are zero, negative or missing": "1001, 1001"},
        ),
        ({"a": np.inf}, {}, {"a is no number": "inf, which is too large or too small to compute with"}),
        ({"a": np.nan}, {}, {"measures have no estimate at all": "a"}),
        (
            {"va": [0.0, -1.0, *[1.0] * (N - 2)], "a": 1.0},
            {},
            {"variances of a are zero, negative or missing": "AA, BB"},
        ),
        (
            {"cab": 9.0},
            {"y": ["a", "b"], "variance": ["va", "vb"], "covariance": {("a", "b"): "cab"}},
            {"covariances of a and b do not fit the variances": "AA, BB"},
        ),
    ],
)
def test_bad_tables_are_refused(
    changes: dict[str, object], options: dict[str, object], expected: dict[str, str]
) -> None:
    frame = table()
    frame["fips"] = ["AA", "BB", *(f"C{k}" for k in range(N - 2))]
    given: dict[str, object] = {"y": "a", "variance": "va", "area": "fips"} | options
    found = problems_of(lambda: bs.DirectEstimates.from_frame(frame.assign(**changes), **given))  # type: ignore[arg-type]
    assert list(found) == list(expected)
    for what, got in expected.items():
        assert found[what].startswith(got)


def test_estimates_of_other_areas_are_refused() -> None:
    areas = bs.Areas.from_frame(table().iloc[2:], "fips")
    frame = pd.concat([table(), table().iloc[-1:]])
    found = problems_of(lambda: bs.DirectEstimates.from_frame(frame, y="a", variance="va", area="fips", areas=areas))
    first, second, last = (str(table()["fips"].iloc[k]) for k in (0, 1, -1))
    assert found == {"estimates are of unknown areas": f"{first}, {second}", "areas occur more than once": last}


def test_counties_of_north_carolina_end_to_end(shared: Path) -> None:
    """Sudden infant deaths 1974-78, Freeman-Tukey transformed, of 100 counties: from files to a table."""
    folder = shared / "golden" / "classic" / "data"
    if not folder.is_dir():
        pytest.skip("needs golden/classic in `shared`")
    counties, edges = (pd.read_csv(folder / f, encoding="utf-8") for f in ("nc_sids_ft.csv", "nc_queen_edges.csv"))
    graph = bs.Graph.from_pairs(counties["fips"], counties["fips"].to_numpy()[edges.to_numpy()])
    data = bs.DirectEstimates.from_frame(counties, y="y", variance="var", area="fips")
    est = bs.estimate(bs.fit(bs.AreaModel("1 + x", terms=[bs.BYM2(graph)]), data, **SMALL))  # type: ignore[arg-type]
    rows = est.published.query("level == 'area'").set_index("area_code")
    assert len(rows) == 100
    assert rows.loc["37001", "area_name"] == "Alamance"
    direct, variance = (counties.set_index(counties["fips"].astype(str))[c] for c in ("y", "var"))
    np.testing.assert_allclose(rows["direct"], direct[rows.index])
    # shrunk: nearer to each other, and surer than the direct estimates
    assert rows["estimate"].std() < direct.std()
    assert (rows["sd"] < np.sqrt(variance[rows.index])).all()
    assert est.fit.check().empty


def test_respondents_with_codes_of_their_own(tmp_path: Path) -> None:
    """From answers of respondents in counties to estimates of counties and states, by a codebook of the user's own."""
    rng = np.random.default_rng(5)
    areas = bs.Areas.from_frame(table()[["fips", "state", "income"]], "fips", {"state": "state"})
    codes = rng.choice(areas.codes, 600)
    answers = rng.integers(1, 6, (600, 3))
    frame = pd.DataFrame(answers, columns=["talk", "help", "trust"]).assign(county=codes, w=1.0)
    frame.to_csv(tmp_path / "answers.csv", index=False)
    book = tmp_path / "book.toml"
    book.write_text(BOOK, encoding="utf-8")
    survey = bs.Survey.read(tmp_path / "answers.csv", book, 2024, area="county", weight="w", system=areas.system)
    assert survey.level == "area"
    direct = bs.direct(bs.Concept.load().score(survey), areas)
    assert direct.sources[0].level == "area"
    assert direct.totals("state")["area_code"].drop_duplicates().tolist() == ["AK", "AL", "AR", "AZ"]
    est = bs.estimate(bs.fit(bs.AreaModel("1", terms=[bs.IID("state")]), direct, **SMALL))  # type: ignore[arg-type]
    rows = est.table.query("measure == 'participatie'")
    assert rows.groupby("level", sort=False).size().to_dict() == {"area": N, "state": 4, "all": 1}
    assert rows.query("level == 'all'")["n_respondents"].item() == 600


def test_data_far_from_default_priors_are_refused() -> None:
    # without ends nothing says what is large: a thousandfold of the data is not what priors of 0-10 are about
    frame = table().assign(a=lambda t: 1000 * t["a"], va=lambda t: 1e6 * t["va"])
    data = bs.DirectEstimates.from_frame(frame, y="a", variance="va", area="fips")
    problems = problems_of(lambda: design(bs.AreaModel("1 + income", terms=[bs.IID("area")]), data))
    assert list(problems) == ["the data lie far from the prior of the intercept"]
    stated = bs.AreaModel("1", [bs.IID("area", sd=bs.PC(3000, 0.05))], intercept=bs.Normal(3000, 5000))
    assert design(stated, data).centre[0] == pytest.approx(np.nanmean(frame["a"]))


def test_what_rests_on_unknown_numbers_of_people_is_not_published(tmp_path: Path) -> None:
    areas = make_areas()
    rows = pd.DataFrame({"code": areas.codes, "y": 6.0 + np.arange(len(areas.codes)) % 3, "v": 0.5})
    data = bs.DirectEstimates.from_frame(rows, y="y", variance="v", area="code", areas=areas)
    est = bs.estimate(bs.fit(bs.AreaModel(terms=[bs.IID("buurt")]), data, **SMALL))  # type: ignore[arg-type]
    # a direct figure may be the answer of one respondent, and no rule can tell
    assert list(problems_of(lambda: bs.publish(est, to=tmp_path / "out"))) == [
        "what rests on an unknown number of people is not published"
    ]
    assert not (tmp_path / "out").exists()
