"""Evidence of a fit of several years: by dense algebra, gates that fail for one bad year, and the report of all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import looked_at, make_areas
from made_waves import MEASURES, YEARS, Arrays, direct_of, model_of, world
from test_mixed import asked
from test_mixed import model as mixed_model

import buurtsae as bs
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.engines.counts import Counting
from buurtsae.engines.given import given
from buurtsae.estimates.disclosure.release import Releases
from buurtsae.estimates.evidence import counts as count_checks
from buurtsae.estimates.evidence.checks import Check, checks
from buurtsae.estimates.evidence.contribution import contributions
from buurtsae.estimates.evidence.crossvalidation import _folds, left_out, own_effect, predicted
from buurtsae.estimates.evidence.leftover import leftover
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.waves import Waves
from buurtsae.model.contrasts import scaled_walk
from buurtsae.model.design import design
from buurtsae.publication.report import SECTIONS, write_quality
from buurtsae.sparse import Floats

SIGMA, CHANGE, PSI, LEVEL = 0.6, 0.3, 0.4, 2.0  # of the model that is written out; LEVEL as the intercept's prior
AREAS, T = 9, len(YEARS)


class Written:
    """A model of one measure and areas that know nothing of each other, written out: y ~ N(m, C + V).

    C of an area over years is sigma^2 1 1' + change^2 U diag(psi / lambda + 1 - psi) U', of all areas LEVEL^2 per year.
    """

    def __init__(self, *, by_name: bool, panel: float = 0.0) -> None:
        rng = np.random.default_rng(4)
        frame = pd.DataFrame({"code": [f"a{k}" for k in range(AREAS)], "population": 100})
        areas = bs.Areas.from_frame(frame, code="code")
        self.v = rng.uniform(0.2, 0.6, (AREAS, T))
        self.y = 6 + rng.normal(size=(AREAS, T))
        self.y[2, 0] = self.y[5, 1] = self.y[5, 2] = np.nan
        waves = []
        for t, year in enumerate(YEARS):
            table = frame.assign(y=self.y[:, t], v=self.v[:, t])
            waves.append(bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year))
        data = replace(waves[0], sources=tuple(wave.sources[0] for wave in waves)).by_year()
        arrays = design(bs.AreaModel("1", [bs.OverTime(bs.IID("area"))], trend=None), data)
        self.noise = np.zeros((AREAS * T, AREAS * T))
        for k in range(AREAS):
            sd = np.sqrt(self.v[k])
            block = slice(k * T, (k + 1) * T)
            self.noise[block, block] = sd[:, None] * sd * (panel + (1 - panel) * np.eye(T))
        if by_name:  # one source with columns in all years; the same persons answer where `panel` is not 0
            seen = np.isfinite(self.y)
            both = seen[:, :, None] & seen[:, None, :]
            covariance = np.einsum("ktku->ktu", self.noise.reshape(AREAS, T, AREAS, T))
            arrays = replace(
                arrays,
                sources=("direct",),
                kinds=arrays.kinds[:1],
                linked=arrays.linked[:1],
                y=arrays.y.sum(axis=0, keepdims=True),
                covariance=np.where(both, covariance, 0.0)[None],
                ratio=arrays.ratio[:1],
                freedom=arrays.freedom[:1],
                pooled=None,
            )
        hyper = {name: (("measure",), np.full((4, 1, 1), value))
                 for name, value in (("area.sigma", SIGMA), ("area.change", CHANGE), ("area.psi", PSI))}  # fmt: skip
        draws = Draws(np.zeros((4, 1, AREAS, T)), arrays.areas, arrays.measures, hyper, years=arrays.years)
        self.fit = Fit(arrays, data, draws, "none", 1, 0.0)
        values, u = np.linalg.eigh(scaled_walk(YEARS))
        over = SIGMA**2 + CHANGE**2 * (u[:, 1:] * (PSI / values[1:] + 1 - PSI)) @ u[:, 1:].T
        mean, sd = (float(part.ravel()[0]) for part in arrays.coefficient_priors)
        self.prior = np.kron(np.eye(AREAS), over) + sd**2 * np.kron(np.ones((AREAS, AREAS)), np.eye(T))
        self.off = (self.y - mean).ravel()

    def given(self, known: np.ndarray, about: np.ndarray) -> tuple[Floats, Floats, Floats]:
        """Mean of y of some, and covariances of theirs and of their scores, given others; masks (AREAS T,)."""
        law = self.prior + self.noise
        gain = law[np.ix_(about, known)] @ np.linalg.inv(law[np.ix_(known, known)])
        spread = law[np.ix_(about, about)] - gain @ law[np.ix_(known, about)]
        scores = self.prior[:, known] @ np.linalg.inv(law[np.ix_(known, known)])
        return gain @ self.off[known], spread, scores @ self.off[known]


@pytest.fixture(scope="module", params=[(False, 0.0), (True, 0.0), (True, 0.5)], ids=["waves", "by name", "panel"])
def written(request: pytest.FixtureRequest) -> Written:
    by_name, panel = request.param
    return Written(by_name=by_name, panel=panel)


def folds_of(groups: int) -> np.ndarray:
    """Three areas a group; each left out in one year at a time, two groups of different years together."""
    return (np.arange(AREAS)[:, None] // groups + np.arange(T)) % T


@pytest.mark.parametrize("whole", [False, True], ids=["areas", "groups"])
def test_a_year_is_predicted_from_all_else(written: Written, whole: bool) -> None:
    """By conditioning y ~ N(m, C + V) on what is left, written out."""
    seen = np.isfinite(written.off)
    fold = folds_of(3) if whole else np.arange(AREAS * T).reshape(AREAS, T)
    off, variance, density, together = predicted(given(written.fit, 0), fold if whole else None)
    off, variance = (part.reshape(AREAS, -1, T).sum(axis=1) for part in (off, variance - 1.0))  # 1 where nothing is
    for number in range(fold.max() + 1):
        out = (fold.ravel() == number) & seen
        if not out.any():
            continue
        mean, spread, _ = written.given(seen & ~out, out)
        np.testing.assert_allclose(off.ravel()[out], written.off[out] - mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(variance.ravel()[out] + 1.0, np.diag(spread), rtol=1e-8)
        one = -0.5 * ((written.off[out] - mean) ** 2 / np.diag(spread) + np.log(2 * np.pi * np.diag(spread)))
        np.testing.assert_allclose(density.ravel()[out], one, rtol=1e-8)
        all_ = written.off[out] - mean
        joint = -0.5 * (all_ @ np.linalg.solve(spread, all_) + np.linalg.slogdet(2 * np.pi * spread)[1])
        np.testing.assert_allclose(together.ravel()[out], joint, rtol=1e-8)


def test_what_own_data_of_the_year_do_and_what_a_wave_adds(written: Written) -> None:
    """Posterior means and standard deviations with and without them, written out."""
    seen = np.isfinite(written.off)
    *_, every = written.given(seen, seen)
    effect = own_effect(written.fit, values=1)
    for k, t in ((0, 0), (4, 1), (8, 2)):
        place = k * T + t
        kept = seen & (np.arange(AREAS * T) != place)
        *_, without = written.given(kept, seen)
        assert effect[k, t] == pytest.approx(every[place] - without[place], rel=1e-8)
    assert effect[2, 0] == effect[5, 1] == 0.0
    rows = contributions(written.fit)
    assert [(row["source"], row["year"], row["areas"]) for row in rows] == [
        ("direct 2020", 2020, 8), ("direct 2022", 2022, 8), ("direct 2025", 2025, 8)
    ]  # fmt: skip
    for t, row in enumerate(rows):
        kept = seen & (np.arange(AREAS * T) % T != t)
        law = written.prior + written.noise
        for name, known in (("sd_with", seen), ("sd_without", kept)):
            gain = written.prior[:, known] @ np.linalg.inv(law[np.ix_(known, known)])
            sd = np.sqrt(np.diag(written.prior - gain @ written.prior[known]))[t::T]
            assert row[name] == pytest.approx(sd.mean(), rel=1e-8)


def test_no_fold_has_a_group_in_two_years() -> None:
    rng = np.random.default_rng(1)
    for groups, folds in ((3, 10), (50, 10), (4, 2)):
        fold = _folds(np.arange(groups), folds, rng, T)
        assert all(len(set(row)) == T for row in fold.tolist())
        assert len(np.unique(fold)) == min(max(folds, T), groups * T)


# -- gates of one bad year: 144 areas; how often over 40 seeds is in docs/checks.md


def found(seed: int, spoil: Callable[[Arrays], None]) -> list[Check]:
    made = world(seed, 144)
    spoil(made)
    data = direct_of(made)
    fit = looked_at(data, model_of(data))
    return checks(fit, leftover(fit, 60))


def as_it_is(made: Arrays) -> None:
    pass


def doubled(made: Arrays) -> None:
    """Sampling variances of 2022 are twice what is stated."""
    made["spread"][1] = np.sqrt(2.0)


def shuffled(made: Arrays) -> None:
    """Answers of 2022 are those of other areas."""
    made["place"][:, 1] = np.random.default_rng(5).permutation(len(made["place"]))


def redesigned(made: Arrays) -> None:
    """One gemeente asked otherwise in 2022, and scores 1.5 higher that year."""
    made["effect"][12:24, 1] += 1.5


@pytest.mark.slow
def test_clean_waves_pass() -> None:
    every = found(4, as_it_is)
    assert min(check.p for check in every) >= 0.05
    assert {check.year for check in every} == {None, *YEARS}
    assert {check.id for check in every if check.year is not None} >= {
        "spread",
        "group",
        "apart",
        "neighbours",
        "years",
    }
    named = [str(check.where) for check in every if check.id == "spread" and check.year == 2022]
    assert sorted(named) == ["2022", *(f"{measure} (burgerpeiling 2022)" for measure in MEASURES)]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "kind"), [(doubled, "spread"), (shuffled, "years"), (redesigned, "apart")])
def test_one_bad_year_is_refused_by_its_name(spoil: Callable[[Arrays], None], kind: str) -> None:
    """Refused with p < 0.05, and the first that says so is about that year."""
    every = found(4, spoil)
    assert every[0].p < 0.05
    assert every[0].year == 2022
    assert kind in {check.id for check in every if check.p < 0.05 and check.year == 2022}
    record = every[0].record(0.05, several=True)
    assert record["year"] == 2022
    assert not record["passed"]
    assert "2022" in str(record["where"])


def test_years_that_are_modelled_apart_have_more_in_common() -> None:
    """Two waves of a model in which years know nothing of each other: what stays is left over, and is told once."""
    data = direct_of(world(1, 60, years=2), YEARS[:2])
    model = model_of(data)
    apart = replace(model, terms=tuple(term.term for term in model.terms), trend=None)  # type: ignore[attr-defined]
    fit = looked_at(data, apart)
    (check,) = [check for check in checks(fit, leftover(fit, 60)) if check.id == "years"]
    assert check.p < 0.05
    assert check.deviation > 0
    assert check.year is None
    assert str(check.where) == "2020 and 2022"


# -- the report of a fit


@pytest.fixture(scope="module")
def waves() -> Waves:
    data = direct_of(world(1, 48))
    return bs.estimate_waves(bs.fit(model_of(data), data, draws=200, hyperparameters=60, progress=False))


@pytest.fixture(scope="module")
def report(waves: Waves) -> dict[str, Any]:
    told = bs.NonResponse(shift=0.1, response=0.4)
    return quality(
        waves,
        run={"title": "", "run_id": "-", "created": "2026-01-01T00:00:00Z", "versions": {}},
        weights=True,
        assumed=told,
    )


def test_the_report_has_every_section_and_rows_their_year(report: dict[str, Any]) -> None:
    assert set(report) == set(SECTIONS)
    assert report["run"]["years"] == list(YEARS)
    by_year = ("predictive", "left_out", "gain", "moran", "sources", "variances", "contributions", "explained")
    for name in by_year:
        assert {row["year"] for row in report[name]} == set(YEARS), name
    assert {row["year"] for row in report["classical"]["rows"]} == set(YEARS)
    assert {row["year"] for row in report["nonresponse"]["rows"]} == set(YEARS)
    assert {row["year"] for row in report["checks"]} == {None, *YEARS}
    assert {row["source"] for name in ("left_out", "contributions", "sources") for row in report[name]} == {
        "burgerpeiling"
    }
    assert {row["measure"] for row in report["left_out"]} == set(MEASURES)
    assert set(report["residuals"]) == {f"{measure} {year}" for measure in MEASURES for year in YEARS}
    assert set(report["labels"]) >= {"buurt 2020", "gemeente 2025"}
    assert {check["id"] for check in report["gate"]["checks"]} == {"khat", "hyper_effective", "alarms", "checks"}


def test_the_report_is_written(report: dict[str, Any], tmp_path: Path) -> None:
    write_quality(report, tmp_path)
    assert json.loads((tmp_path / "quality.json").read_text(encoding="utf-8"))["run"]["years"] == list(YEARS)
    assert "burgerpeiling 2022" in (tmp_path / "quality.html").read_text(encoding="utf-8")


def test_priors_of_a_trend_are_of_the_mean_over_the_waves(report: dict[str, Any]) -> None:
    """Two measures have an intercept each, whatever the number of years; everything has a prior in words."""
    blocks = {row["name"]: row for row in report["priors"]["blocks"]}
    assert blocks["intercept"]["parameters"] == blocks["coefficients"]["parameters"] == len(MEASURES)
    assert blocks["intercept"]["sd_ratio"] < 0.2  # 250 direct estimates say more than Normal(5, sd 2)
    assert "intercept.change" in blocks
    assert all(row["prior"] for row in report["hyperparameters"])


def test_left_out_by_gemeente_and_year(waves: Waves) -> None:
    left = left_out(waves.fit, "gemeente", values=1)
    assert left.density.index.names == ["group", "year"]
    assert len(left.density) == 4 * T
    assert left.by_group.sum() == pytest.approx(left.elpd[0])
    assert set(left.calibration()["year"]) == set(YEARS)
    own = left_out(waves.fit, values=1)  # with the neighbours' data of the year more is known
    assert own.table["sd"].mean() < left.table["sd"].mean()


def test_of_one_year_own_data_are_its_own(waves: Waves) -> None:
    whole, one = own_effect(waves.fit, values=2), own_effect(waves.of[2022].fit, values=2)
    np.testing.assert_array_equal(one, whole[:, 2:4])
    assert "BU03000001" in waves.of[2022].explain("BU03000001")  # what an estimate leans on


def test_two_sets_of_waves_are_compared(waves: Waves) -> None:
    same = bs.compare(waves, waves)
    assert same.agree
    assert same.elpd == (0.0, 0.0)


def test_what_a_year_hides_does_not_count_in_it(waves: Waves) -> None:
    """Five areas without a published estimate in 2022 only: the other years keep them."""
    codes = list(waves.fit.areas.codes[1:6])
    releases = {}
    for year in YEARS:
        release = waves.of[year].release
        keys = frozenset(("buurt", code) for code in codes if year == 2022)
        hidden = replace(release.estimates, ruled=keys, protecting=frozenset())
        releases[year] = replace(release, estimates=hidden, few=keys, direct=keys, errors=keys)
    over = leftover(waves.fit, 20)
    number = {str(check.where): check.figures for check in checks(waves.fit, over, Releases(releases))}
    every = {str(check.where): check.figures for check in checks(waves.fit, over)}
    lost = int((over.rows["area_code"].isin(codes) & (over.rows["year"] == 2022)).sum())
    assert lost >= 8
    assert number["2022"] == every["2022"] - lost
    assert number["2020"] == every["2020"]
    assert number["all"] == every["all"] - lost
    assert number["pairs of neighbours, 2022"] < every["pairs of neighbours, 2022"]
    assert number["pairs of neighbours, 2020"] == every["pairs of neighbours, 2020"]


def test_a_count_is_predicted_without_its_own_year() -> None:
    """Shares beside scores in two years: the cavity is the fit without the area's data of the year, those of the other
    year stay; to what others' curvature owes to it, some hundredths of a standard deviation.
    """
    scores = asked()
    areas = make_areas()
    data = bs.direct([replace(scores[0], year=2022), replace(scores[0], year=2024)], areas).by_year()
    terms = [bs.OverTime(bs.BYM2(areas.graph()))]  # type: ignore[arg-type]
    arrays = design(replace(mixed_model(), terms=tuple(terms)), data)
    marginal = Counting.of(arrays)
    assert isinstance(marginal, Counting)
    hyper = marginal.scores.hyper(np.full(marginal.size, -0.3))
    mean, variance = count_checks._cavity(marginal.solve(hyper), arrays)
    d, n = len(arrays.measures), len(areas.codes)
    assert arrays.size is not None
    for k in np.flatnonzero(arrays.size[..., 0].any(axis=0))[:4]:
        for t in (0, 1):
            kept = np.ones(arrays.y.shape, dtype=bool)
            kept[:, k, t * d : (t + 1) * d] = False
            without = replace(
                arrays,
                y=np.where(kept, arrays.y, 0.0),
                size=np.where(kept, arrays.size, 0.0),
                covariance=np.where(kept[..., None] & kept[..., None, :], arrays.covariance, 0.0),
            )
            other = Counting.of(without).solve(hyper).conditional
            sd = other.sd[:n][k, t * d]
            assert abs(mean[k, t * d] - other.mean[k, t * d]) < 0.05 * sd
            assert np.sqrt(variance[k, t * d]) == pytest.approx(sd, rel=0.05)
