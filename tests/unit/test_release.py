"""What leaves a run: worlds that differ in hidden figures only give the same files; direct estimates are attacked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import pytest
import xarray as xr
from attacker import Key, computed, in_a_row, residents_of
from made_fit import ALONE, HIDDEN, SUBDIMENSIONS, TINY, Made, made_fit
from openpyxl import load_workbook
from scipy.linalg import null_space

from buurtsae.engines.base import Fit
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.disclosure.release import MARGIN, SEVERAL, Release, countable, too_few
from buurtsae.estimates.disclosure.suppression import Cells, suppress
from buurtsae.estimates.evidence.compare import compare_folders
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.planning.plan import plan
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.estimates.words.curves import curves
from buurtsae.publication.content import Content, explained, of_area
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.output import publish
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct

FIGURE = re.compile(r"\d+(?:[.,]\d+)?(?:e[-+]?\d+)?")
PROVENANCE = Provenance("Proef", {}, {"seed": 1}, {"fit": 1.5}, "2024-01-01T00:00:00Z")
RULES = {"few residents": Rules(), "a wijk and a gemeente": Rules(min_residents=1600), "open": Rules(min_residents=0)}


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


def elsewhere(fit: Fit, hidden: set[Key]) -> Fit:
    """The same draws but for hidden buurten, which move so that every published mean stays what it was."""
    members = residents_of(fit.areas)
    gone = fit.areas.inhabited & fit.areas.codes.isin([code for level, code in hidden if level == "buurt"])
    sums = np.array([w[gone] for key, w in members.items() if key not in hidden and w[gone].any()])
    free = null_space(sums / sums.max(axis=1, keepdims=True)) if len(sums) else np.eye(int(gone.sum()))
    assert free.shape[1] > 0
    step = np.zeros((len(gone), fit.draws.flat.shape[2]))
    step[gone] = free @ np.random.default_rng(5).normal(size=(free.shape[1], step.shape[1]))
    step *= 0.3 / np.abs(step).max()  # draws lie some 2 points or more from the ends of the scale
    eta = fit.draws.eta + step
    assert ((eta[:, :, gone] > 0) & (eta[:, :, gone] < 10)).mean() > 0.999
    return replace(fit, draws=replace(fit.draws, eta=eta))


def parts(path: Path) -> Iterator[tuple[str, object]]:
    """What a file says, as tables or as text; hashes and sizes of other files are left out."""
    kind = path.suffix
    if kind in (".parquet", ".geoparquet"):
        yield "", pd.read_parquet(path)
    elif kind == ".nc":
        with xr.open_dataset(path, engine="h5netcdf") as data:
            yield "", data["score"].to_series().reset_index()
    elif kind == ".gpkg":
        for layer in pyogrio.list_layers(path)[:, 0]:
            yield str(layer), pyogrio.read_dataframe(path, layer=layer, read_geometry=False)
    elif kind == ".csv":
        decimal = path.stem.endswith(("_nl", "swing"))
        yield "", pd.read_csv(path, sep=None, engine="python", decimal="," if decimal else ".", encoding="utf-8-sig")
    elif kind == ".xlsx":
        for sheet in load_workbook(path):
            cells = [(c.coordinate, c.value) for row in sheet for c in row]
            figures = {at: value for at, value in cells if isinstance(value, float)}
            yield f"{sheet.title} text", str([(at, value) for at, value in cells if at not in figures])
            yield sheet.title, pd.DataFrame(figures.items())
    elif path.name in ("manifest.json", "datapackage.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("outputs", None)
        for resource in content.get("resources", ()):
            resource.pop("hash"), resource.pop("bytes")
        yield "", json.dumps(content)
    else:
        yield "", path.read_text(encoding="utf-8")


def same(one: object, other: object) -> bool:
    """Whether two parts say the same but for rounding in the last digits."""
    if isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame):
        try:
            pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-6)  # draws are float32
        except AssertionError:
            return False
        return True
    texts = [str(part) for part in (one, other)]
    if FIGURE.sub("#", texts[0]) != FIGURE.sub("#", texts[1]):
        return False
    figures = [np.array([float(f.replace(",", ".")) for f in FIGURE.findall(text)]) for text in texts]
    return bool(np.allclose(*figures, rtol=1e-9, atol=1e-9))


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_of_worlds_that_differ_in_what_is_hidden_all_files_are_the_same(
    made: Made, rules: Rules, tmp_path: Path
) -> None:
    est = estimate(made.fit, rules=rules)
    hidden = set(est.release.estimates.keys)
    if rules.min_residents == 0:  # nothing is hidden: figures that move are seen
        hidden = {("buurt", TINY), ("buurt", ALONE), ("wijk", "WK034400")}
    else:
        assert {level for level, _ in hidden} == ({"buurt"} if rules == Rules() else set(made.fit.areas.levels[:-1]))
    other = estimate(elsewhere(made.fit, hidden), rules=rules)
    assert not np.allclose(est.table["estimate"], other.table["estimate"], atol=0.02)
    for one, name in ((est, "one"), (other, "other")):
        publish(one, tmp_path / name, provenance=PROVENANCE, weights=True)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) > 40
    differ = []
    for file in files:
        found, wanted = dict(parts(tmp_path / "one" / file)), dict(parts(tmp_path / "other" / file))
        differ += [f"{file} {name}" for name in wanted if not same(found.get(name), wanted[name])]
    fits, some = [e.fit for e in (est, other)], est.release.shown("buurt", est.areas.codes[est.areas.inhabited]).any()
    said = [
        (
            plan(fit, budget=50, rules=rules).table.round(9).to_csv() if some else "",
            curves(fit, "groen").table.round(9).to_csv(),
            str(explained(of_area(tmp_path / name, "BU03550001"))),
            str(e.explain("BU03550001") if rules == Rules() else ""),
        )
        for fit, e, name in zip(fits, (est, other), ("one", "other"), strict=True)
    ]
    if rules.min_residents > 0:
        assert said[0] == said[1]
        assert compare_folders(tmp_path / "one", tmp_path / "other").table["largest"].fillna(0).max() < 1e-6
    if rules.min_residents == 0:
        assert {d.split()[0] for d in differ} >= {"draws.nc", "estimates.csv", "quality.json", "supplement.csv"}
    else:
        assert differ == []


@pytest.mark.slow
def test_a_gemeente_that_is_hidden_is_not_in_the_quality_report(made: Made) -> None:
    est = estimate(made.fit, rules=RULES["a wijk and a gemeente"])
    hidden = {code for level, code in est.release.estimates.keys if level == "gemeente"}
    assert "GM0400" in hidden  # the island: one buurt of 740 residents
    report = quality(est, weights=True)
    assert not hidden & {row["area_code"] for row in report["comparison"]}
    assert not hidden & set(report["density"]["groups"])
    figures = est.table.set_index("area_code").loc[sorted(hidden), ["estimate", "sd", "direct", "direct_se"]]
    text = json.dumps(report)
    assert not [f for f in figures.to_numpy().ravel() if f"{f:.6f}" in text or repr(float(f)) in text]
    shown = estimate(made.fit, rules=Rules(min_residents=0))  # so that the test can fail
    text = json.dumps(quality(shown))
    assert [f for f in figures["estimate"] if repr(float(f)) in text]


def test_of_benchmarks_only_open_areas_are_told(made: Made) -> None:
    cells = [("gemeente", "GM0400", 6.5), ("gemeente", "GM0344", 6.2)]
    table = pd.DataFrame(
        [(*cell[:2], "participatie", cell[2], 0.1) for cell in cells],
        columns=["level", "area_code", "measure", "value", "se"],
    )
    to = Benchmarks.read(table, made.fit.areas, Concept.load(), made.fit.draws.subdimensions)
    est = estimate(benchmark(made.fit, to))
    assert len(quality(est)["benchmarks"]["strain"]) == 2
    hidden = replace(est.release.estimates, ruled=frozenset({("gemeente", "GM0400")}))
    found = quality(replace(est, release=replace(est.release, estimates=hidden)))["benchmarks"]
    assert {row["area_code"] for row in found["strain"]} == {"GM0344"}
    shift = est.benchmarked.shift.query("level == 'gemeente' and measure == 'participatie' and area_code != 'GM0400'")
    (row,) = (r for r in found["shift"] if (r["level"], r["measure"]) == ("gemeente", "participatie"))
    assert (row["areas"], row["shift"]) == (2, pytest.approx(shift["shift"].mean()))


def weights_of(fit: Fit) -> tuple[dict[Key, np.ndarray], np.ndarray]:
    """Weights of the respondents of the first source in each area, per buurt and sub-dimension, and their means."""
    frame, names = fit.direct.scores[0].frame, list(fit.direct.subdimensions)
    w = frame[names].notna().mul(frame["weight"], axis=0).groupby(frame["area_code"]).sum()
    mean = frame[names].fillna(0).mul(frame["weight"], axis=0).groupby(frame["area_code"]).sum() / w.where(w > 0)
    w, mean = (t.reindex(fit.areas.codes).fillna(0).to_numpy() for t in (w, mean))
    return {
        key: w * (n > 0)[:, None] for key, n in residents_of(fit.areas).items() if (w * (n > 0)[:, None]).any()
    }, mean


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_direct_estimates_that_are_hidden_are_not_computed_back(seed: int) -> None:
    fit = made_fit(seed=seed).fit
    weights, mean = weights_of(fit)
    few, rules = too_few(fit, Rules()), Rules()
    naive = computed(weights, "buurt", mean[None], {k for k in few if k in weights})
    assert min(naive.values()) < rules.protection  # so that the test can fail
    est = estimate(fit)
    rows = est.published.set_index(["level", "area_code"])
    hidden = {k for k in weights if rows.loc[[k], "direct"].isna().any()}
    assert all(rows.loc[[k], ["direct", "direct_se"]].isna().all(axis=None) for k in hidden)
    left = computed(weights, "buurt", mean[None], hidden)
    assert {k for k in few if k in weights} <= set(left)
    assert min(width for key, width in left.items() if key in few) > rules.protection
    assert rows["direct"].notna().sum() > 50  # and much is published


def test_a_direct_estimate_counts_the_respondents_it_rests_on(made: Made) -> None:
    """The second source adds respondents, but none to the direct estimates, which rest on the first."""
    fit = made.fit
    own = fit.direct.scores[0].frame["area_code"].value_counts()
    both = own.add(fit.direct.scores[1].frame["area_code"].value_counts(), fill_value=0)
    between = own.index[(own < 10) & (both.reindex(own.index) >= 10)]
    assert len(between) > 3
    rows = estimate(fit, rules=Rules(protection=0)).published.query("level == 'buurt'").set_index("area_code")
    assert rows.loc[between, ["direct", "direct_se"]].isna().all(axis=None)
    totals = fit.direct.totals("buurt").set_index(["area_code", "measure"])
    answered = fit.direct.scores[0].frame.groupby("area_code")["participatie"].count()
    found = totals.xs("participatie", level="measure").loc[answered.index]
    np.testing.assert_array_equal(found["n_direct"], answered)
    assert (found["n_respondents"] > found["n_direct"]).any()


def test_one_number_about_several_figures() -> None:
    assert countable(np.ones(5, dtype=bool)).all()
    few = np.array([True] * 20 + [False] * (SEVERAL - 1))
    np.testing.assert_array_equal(countable(few), few)
    assert countable(np.array([True] * 2 + [False] * SEVERAL)).all()


def test_the_protection_is_of_the_draws_that_are_published(made: Made) -> None:
    rules = Rules(min_residents=560, protection=3)
    est: Estimates = estimate(made.fit, rules=rules)
    drawn = np.clip(made.fit.draws.flat[:: len(made.fit.draws.flat) // 100], 0, 10)
    wide = computed(residents_of(made.fit.areas), "buurt", drawn, set(est.release.estimates.keys))
    assert len(wide) > 4
    # of other draws than the package measured on: the margin is for these
    assert min(w for key, w in wide.items() if key in est.release.estimates.ruled) > rules.protection
    audit = est.release.estimates.audit
    assert audit.loc[audit["ruled"], "width"].min() >= rules.protection + MARGIN
    assert Release.of(made.fit, made.fit.draws, replace(rules, protection=0)).estimates.protecting == frozenset()
    assert set(HIDDEN) <= set(audit["area_code"])


def test_the_direct_estimate_of_a_gemeente_hidden_by_rule_is_not_the_rest_of_the_land(made: Made) -> None:
    """With many respondents, and a gemeente without any beside it: hiding that one protects nothing."""
    areas = made.fit.areas
    frame = areas.frame.copy()
    own = frame["gemeente"] == "GM0355"
    frame.loc[own, "population"] = 3  # 24 in all
    first = made.fit.direct.scores[0]
    kept = first.frame[~first.frame["area_code"].str.startswith("BU0400")]
    scores = replace(first, frame=kept.assign(weight=1.0))
    few = replace(areas, frame=frame)
    fit = replace(made.fit, direct=direct([scores], few))
    release = Release.of(fit, made.fit.draws, Rules(min_residents=100))
    assert {("gemeente", "GM0355")} <= release.estimates.ruled
    assert ("gemeente", "GM0355") not in release.few
    weights, mean = weights_of(fit)
    wide = computed(weights, "buurt", mean[None], {k for k in weights if k in release.direct})
    assert wide["gemeente", "GM0355"] > Rules().protection


def test_a_benchmark_without_error_stays_known_when_its_area_is_hidden() -> None:
    areas = in_a_row({"BU00010001": 40, "BU00020001": 900, "BU00020101": 400, "BU00030001": 2000, "BU00030002": 800})
    draws = 4 + 3 * np.random.default_rng(1).random((1, 5, 1))
    ruled = {("buurt", "BU00010001"), ("wijk", "WK000100"), ("gemeente", "GM0001")}
    exact = ("gemeente", "GM0002")
    free = suppress(Cells.of_areas(areas, draws, ("m",)), ruled, 2.0)
    assert exact in free.protecting  # the smaller of the others
    told = suppress(Cells.of_areas(areas, draws, ("m",), [exact]), ruled, 2.0)
    assert ("gemeente", "GM0003") in told.protecting
    left = computed(residents_of(areas), "buurt", draws, set(told.keys) - {exact})
    assert left["gemeente", "GM0001"] > 2


def test_hidden_gemeenten_have_no_official_figure_in_their_file(made: Made) -> None:
    rows = [("gemeente", code, "participatie", 6.2, 0.1) for code in ("GM0344", "GM0355", "GM0400")]
    table = pd.DataFrame(rows, columns=["level", "area_code", "measure", "value", "se"])
    to = Benchmarks.read(table, made.fit.areas, Concept.load(), made.fit.draws.subdimensions)
    est = estimate(benchmark(made.fit, to))
    hidden = replace(est.release.estimates, ruled=frozenset({("gemeente", "GM0400")}))
    run = {"title": "Proef", "created": "2024-01-01T00:00:00Z", "run_id": "proef"}
    content = Content.of(replace(est, release=replace(est.release, estimates=hidden)), run)
    assert content.official["area_code"].tolist() == ["GM0344", "GM0355"]


def test_standard_errors_do_not_tell_how_far_a_few_answers_lie_apart(made: Made) -> None:
    """Of a wijk whose hidden buurten have 9 and 3 respondents the sum of squares bounds both means."""
    first = made.fit.direct.scores[0]
    areas = made.fit.areas
    codes = [c for c in areas.codes if c.startswith("BU034402")][:4]
    rng = np.random.default_rng(2)
    parts = [
        pd.DataFrame(
            {"area_code": code, "weight": 1.0, "stratum": "noord"}
            | {d: rng.choice([3.0, 4.0], n) for d in made.fit.direct.subdimensions}
        )
        for code, n in zip(codes, (9, 3, 40, 40), strict=True)
    ]
    others = first.frame[~first.frame["area_code"].isin(codes)].assign(weight=1.0)
    scores = replace(first, frame=pd.concat([others, *parts], ignore_index=True))
    fit = replace(made.fit, direct=direct([scores], areas))
    est = estimate(fit)
    rows = est.published.query("level == 'wijk'").set_index("area_code").loc[codes[0].replace("BU", "WK")[:8]]
    assert rows["direct"].notna().all()
    assert rows["direct_se"].isna().all()
    assert est.published.query("level == 'gemeente'")["direct_se"].notna().any()


def test_direct_estimates_have_two_decimals(made: Made) -> None:
    shown = estimate(made.fit).published[["direct", "direct_se"]]
    np.testing.assert_array_equal(shown, shown.round(2))
    assert (
        estimate(made.fit, rules=Rules(decimals=1)).published["direct"].dropna().map(lambda v: v == round(v, 1)).all()
    )


def shares_of(yes: dict[str, tuple[int, int]]) -> Estimates:
    """Estimates of one share of a Gaussian fit, of so many respondents and so many who said yes in some buurten."""
    made = made_fit(SUBDIMENSIONS[:1], 1)
    scores = made.fit.direct.scores[0]
    rows = [(code, v) for code, (n, k) in yes.items() for v in [10.0] * k + [0.0] * (n - k)]
    frame = pd.DataFrame(rows, columns=["area_code", SUBDIMENSIONS[0]]).assign(weight=1.0, stratum="noord")
    for name in SUBDIMENSIONS[1:]:
        frame[name] = np.nan
    shares = direct([replace(scores, frame=frame)], made.fit.areas)
    return estimate(replace(made.fit, direct=shares), rules=Rules(protection=0))


def test_a_share_is_hidden_where_few_said_yes_or_no_and_not_where_many_did() -> None:
    yes = {"BU03440000": (0, 0), "BU03440100": (100, 4), "BU03440101": (100, 5), "BU03440102": (100, 97),
           "BU03440103": (30, 30), "BU03440200": (12, 6), "BU03550001": (400, 20)}  # fmt: skip
    table = shares_of(yes).published
    rows = table[(table["level"] == "buurt") & (table["measure"] == SUBDIMENSIONS[0])].set_index("area_code")
    assert set(rows.index[rows["direct"].notna()]) == {"BU03440101", "BU03440200", "BU03550001"}
    assert rows.loc[["BU03440100", "BU03440102", "BU03440103"], "direct_se"].isna().all()
    # of 642 respondents in all 162 said yes: neither is few, though one is the larger part
    whole = table[(table["level"] == "land") & (table["measure"] == SUBDIMENSIONS[0])]
    assert whole["direct"].notna().all()
