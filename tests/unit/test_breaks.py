"""Breaks: the posterior by dense algebra, what data tell of them by rank, both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

import buurtsae as bs
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError
from buurtsae.model.design import design
from buurtsae.sparse import Floats

N = 12
CODES = [f"a{k:02}" for k in range(N)]
AREAS = bs.Areas.from_frame(pd.DataFrame({"code": CODES, "population": 100}), code="code")
PARALLEL = bs.Normal(-0.4, 0.2)


def waves(*of: tuple[str, int], seed: int = 1, measures: tuple[str, ...] = ("x", "y")) -> bs.DirectEstimates:
    """Direct estimates of these sources in these years; some areas are not observed."""
    rng, parts = np.random.default_rng(seed), []
    for source, year in of:
        figures: dict[str, Any] = {m: 5 + 0.8 * rng.standard_normal(N) for m in measures}
        table = pd.DataFrame({"code": CODES} | figures | {f"v {m}": rng.uniform(0.1, 0.4, N) for m in measures})
        table.loc[rng.integers(N), measures[0]] = np.nan
        names = {"y": list(measures), "variance": [f"v {m}" for m in measures], "area": "code"}
        one = bs.DirectEstimates.from_frame(table, areas=AREAS, year=year, **names)  # type: ignore[arg-type]
        parts.append(replace(one, sources=(replace(one.sources[0], source=source),)))
    return bs.joined(*parts).by_year()


ALL = (("monitor", 2020), ("monitor", 2022), ("peiling", 2020), ("peiling", 2022), ("peiling", 2024), ("monitor", 2024))
BREAKS = [bs.Break("monitor", 2022, prior=PARALLEL), bs.Break("peiling", 2024, ["y"])]


def model(breaks: list[bs.Break], **more: Any) -> bs.AreaModel:
    return bs.AreaModel("1", [bs.IID("area")], breaks=breaks, **more)  # type: ignore[arg-type]


def dense(marginal: Marginal, xi: Floats) -> tuple[float, Floats, Floats]:
    """Log-likelihood, posterior means and sds of eta by matrices: alphas are of all years, breaks from theirs on."""
    arrays, hyper = marginal.design, marginal.scores.hyper(xi)
    w, k = len(arrays.columns), np.kron(np.ones((N, N)), 4.0 * np.eye(len(arrays.columns)))  # intercept: Normal(5, 2)
    roots = hyper.values["area.sigma"][:, :, None] * hyper.values["area.R"]
    k += np.kron(np.eye(N), block_diag(*(root @ root.T for root in roots)))
    rows, r, noise, z = [], [], [], []
    for s, source in enumerate(arrays.sources):
        for a in range(N):
            seen = np.flatnonzero(arrays.observed[s, a])
            noise.append(arrays.covariance[s, a][np.ix_(seen, seen)] + np.diag(hyper.extra[s, seen] ** 2))
            for c in seen:
                year, measure, slope = arrays.years[c // 2], arrays.measures[c % 2], hyper.slope[s, c]
                level = arrays.centre[c] * (1 - slope) - 0.4 * (source == "monitor" and year >= 2022)
                rows.append(slope * np.eye(N * w)[a * w + c])
                r.append(arrays.y[s, a, c] - level - 5 * slope)
                of_x, of_y = source == "peiling" and measure == "x", source == "peiling" and measure == "y"
                later = [source == "monitor" and measure == m and year >= 2022 for m in "xy"]
                z.append([of_x, of_y, *later, of_y and year >= 2024])
    h, off = np.array(rows), np.array(r)
    of_offsets = np.array(z) * [1.0, 1.0, 0.2, 0.2, 10.0]  # sds of a link, of the parallel run, 5 x the intercept's 2
    total = h @ k @ h.T + of_offsets @ of_offsets.T + block_diag(*noise)
    gain = np.linalg.solve(total, h @ k)
    log = -0.5 * (np.linalg.slogdet(2 * np.pi * total)[1] + off @ np.linalg.solve(total, off))
    sd = np.sqrt(np.diag(k - k @ h.T @ gain))
    return float(log), (5 + gain.T @ off).reshape(N, w), sd.reshape(N, w)


def test_breaks_are_those_of_dense_algebra() -> None:
    marginal = Marginal.of(design(model(BREAKS), waves(*ALL)))
    assert [one.label for one in marginal.design.breaks] == [
        "monitor: x, from 2022", "monitor: y, from 2022", "peiling: y, from 2024",
    ]  # fmt: skip
    xi = 0.7 * np.random.default_rng(2).standard_normal(marginal.size)
    found, (log, mean, sd) = marginal.at(xi), dense(marginal, xi)
    assert found.log_likelihood == pytest.approx(log, abs=1e-8)
    np.testing.assert_allclose(found.mean, mean, atol=1e-8)
    np.testing.assert_allclose(found.sd, sd, rtol=1e-8)
    gradient = marginal.with_gradient(xi)[1]
    steps = 1e-5 * np.eye(marginal.size)
    numeric = [(marginal.log_posterior(xi + e) - marginal.log_posterior(xi - e)) / 2e-5 for e in steps]
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)  # second order of the step, digits of the value over it


@pytest.fixture(scope="module")
def fitted() -> bs.Fit:
    return bs.fit(model(BREAKS), waves(*ALL), draws=400, hyperparameters=60, progress=False)


def test_breaks_are_reported_and_are_in_the_level_of_a_source(fitted: bs.Fit) -> None:
    b = fitted.draws.hyper["break"][1].reshape(400, -1)
    assert fitted.draws.coords["since"][1] == "monitor: y, from 2022"
    assert {"monitor: x, from 2022", "peiling: y, from 2024"} <= set(fitted.draws.hyperparameters()["measure"])
    level = fitted.links[0].reshape(400, 2, 3, 2)  # draws, sources, years, measures
    np.testing.assert_array_equal(level[:, 0, 0], 0.0)  # the reference before its break
    np.testing.assert_array_equal(level[:, 0, 1:, 1], np.stack([b[:, 1]] * 2, axis=1))
    np.testing.assert_allclose(level[:, 1, 2, 1] - level[:, 1, 1, 1], b[:, 2])
    for year, t, breaks in ((2020, 0, 0), (2022, 1, 2), (2024, 2, 3)):
        of_year = fitted.of_year(year)
        assert len(of_year.design.breaks) == breaks
        rows = [fitted.design.sources.index(name) for name in of_year.design.sources]
        np.testing.assert_allclose(of_year.links[0], level[:, rows, t])
    assert "break in monitor from 2022 on" in str(fitted.model)
    assert "breuk in monitor vanaf 2022" in fitted.model.words.nl


def test_what_the_data_do_not_tell_is_refused_or_noted() -> None:
    only = waves(("monitor", 2020), ("monitor", 2022), ("monitor", 2024))
    alone = bs.Break("monitor", 2022)
    with pytest.raises(BuurtsaeError, match=r"data do not tell the break in monitor from 2022 on \(x, y\)") as caught:
        design(model([alone]), only)
    assert "the same as what changed in 2022, 2024" in str(caught.value)
    assert "parallel run" in str(caught.value)
    # a prior of a parallel run will do, and is told of
    arrays = design(model([replace(alone, prior=PARALLEL)]), only)
    (note,) = (note for note in arrays.strange if "rests on the prior" in str(note))
    assert "the break in monitor from 2022 on from what changed in 2022, 2024" in str(note)
    assert "Normal(-0.4, sd 0.2)" in str(note)
    assert "onderscheiden de breuk in monitor vanaf 2022 niet" in note.nl
    # with another source before and after the data tell, even where it is there in one of two years after
    for others in ((2020, 2024), (2020, 2022)):
        data = waves(*((("monitor", y)) for y in (2020, 2022, 2024)), *(("peiling", y) for y in others))
        assert not [note for note in design(model([alone]), data).strange if "rests" in str(note)]
    # one that came with the redesign does not
    with pytest.raises(BuurtsaeError, match="data do not tell the break"):
        design(model([alone]), waves(("monitor", 2020), ("monitor", 2022), ("peiling", 2022)))


def test_sources_that_never_meet_rest_on_the_prior_of_their_link() -> None:
    apart = design(model([]), waves(("monitor", 2020), ("peiling", 2022)))
    (note,) = (note for note in apart.strange if "rests on the prior" in str(note))
    assert "the level of peiling from what changed in 2022: the change of x, y" in str(note)
    assert "Normal(0, sd 1)" in str(note)
    # by a chain of others they do meet
    chain = waves(("monitor", 2020), ("panel", 2020), ("panel", 2022), ("peiling", 2022))
    assert not [note for note in design(model([]), chain).strange if "rests" in str(note)]


def test_what_is_no_break_is_refused() -> None:
    data = waves(*ALL)
    for breaks, of, says in (
        ([bs.Break("other", 2022)], data, "is of an unknown source"),
        ([bs.Break("monitor", 2022, ["z"])], data, "is of unknown measures"),
        ([bs.Break("monitor", 2020)], data, "has no years on both sides"),
        ([bs.Break("monitor", 2025)], data, "has no years on both sides"),
        ([BREAKS[0], replace(BREAKS[0], measures=("y",))], data, "is given twice"),
        ([bs.Break("monitor", 2022)], data.of_year(2020), "breaks are between years"),
    ):
        with pytest.raises(BuurtsaeError, match=says) as caught:
            design(model(breaks), of)
        assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(BuurtsaeError, match="prior is of another kind"):
        bs.Break("monitor", 2022, prior=0.3)  # type: ignore[arg-type]
    with pytest.raises(BuurtsaeError, match="breaks is of another kind"):
        model([3])  # type: ignore[list-item]


def test_the_trend_is_shown_with_breaks_and_without(fitted: bs.Fit) -> None:
    without = bs.without_breaks(fitted, hyperparameters=60)
    by_hand = bs.fit(model([]), waves(*ALL), draws=400, hyperparameters=60, progress=False)
    np.testing.assert_array_equal(without.draws.eta, by_hand.draws.eta)
    table = bs.trend(fitted, without=without)
    assert table.columns.tolist() == [
        "level", "area_code", "area_name", "measure", "year",
        "with_breaks", "with_lower", "with_upper", "without", "without_lower", "without_upper", "reason",
    ]  # fmt: skip
    assert table["year"].tolist() == [2020, 2020, 2022, 2022, 2024, 2024]
    for name, fit in (("with", fitted), ("without", without)):
        drawn = fit.draws.flat.mean(axis=1)  # areas have as many residents
        figure = table["with_breaks" if name == "with" else "without"]
        np.testing.assert_allclose(figure, drawn.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(table[f"{name}_lower"], np.quantile(drawn, 0.025, axis=0), atol=1e-9)
    assert "without" not in bs.trend(without)
    hidden = bs.trend(fitted, without=without, rules=bs.Rules(min_residents=5000))
    assert hidden["reason"].notna().all()
    assert hidden[["with_breaks", "with_upper", "without", "without_lower"]].isna().all(axis=None)
    for call, says in (
        (lambda: bs.without_breaks(without), "the model has no breaks"),
        (lambda: bs.without_breaks(fitted.of_year(2022)), "breaks are between years"),
        (lambda: bs.trend(fitted, without=by_hand), "this is not the fit without breaks"),
        (lambda: bs.trend(fitted.of_year(2022)), "the fit is of one period"),
    ):
        with pytest.raises(BuurtsaeError, match=says) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3


@pytest.mark.nuts
def test_the_fast_engine_is_nuts() -> None:
    fast = bs.fit(model(BREAKS), waves(*ALL), draws=8000, hyperparameters=1000, progress=False)
    slow = bs.fit(model(BREAKS), waves(*ALL), "nuts", draws=2000, tune=1000, progress=False)
    for name in ("break", "alpha"):
        a, b = (fit.draws.hyper[name][1].reshape(8000, -1) for fit in (fast, slow))
        # 8,000 draws, of which NUTS has some 2,000 independent ones: the mean to 0.03 sd, the sd to 2%
        assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 0.1 * b.std(axis=0)).all()
        np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.08)
    a, b = (fit.draws.eta.reshape(8000, -1) for fit in (fast, slow))
    assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 0.12 * b.std(axis=0)).all()
