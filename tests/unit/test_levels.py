"""Levels of the connected parts of a graph: what they are, when they are there, and what is said of the parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, made_areas_in, make_areas, make_scores, per_wijk

import buurtsae as bs
from buurtsae.errors import BuurtsaeError
from buurtsae.model.design import Design, design
from buurtsae.model.parts import parts

N = 20
CODES = [f"a{k:02d}" for k in range(N)]
# a ring of 12, a line of 6, a pair cut off from it, and one area alone
PAIRS = [(k, (k + 1) % 12) for k in range(12)] + [(k, k + 1) for k in range(12, 16)] + [(17, 18)]
GRAPH = bs.Graph.from_pairs(CODES, [(CODES[i], CODES[j]) for i, j in PAIRS])
SIZES = {"a00": 12, "a12": 5, "a17": 2}
WHOLE = bs.Graph.from_pairs(CODES, [(CODES[k], CODES[k + 1]) for k in range(N - 1)])
RNG = np.random.default_rng(5)
TABLE = pd.DataFrame({"code": CODES, "y": RNG.normal(6, 1, N), "v": 0.1})
QUICK = {"draws": 400, "hyperparameters": 100, "progress": False, "seed": 1}


def made(table: pd.DataFrame, *terms: Any) -> tuple[bs.AreaModel, bs.DirectEstimates]:
    areas = bs.Areas.from_frame(TABLE[["code"]], code="code")
    return bs.AreaModel("1", terms), bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)


def arrays(*terms: Any) -> Design:
    return design(*made(TABLE, *terms))


@pytest.mark.parametrize("term", [bs.BYM2, bs.ICAR])
def test_a_level_per_part_of_two_or_more_and_none_for_an_area_alone(term: Callable[..., Any]) -> None:
    (effect,) = arrays(term(GRAPH)).effects
    assert effect.levels is not None
    sees = effect.levels.sees.toarray()
    assert sorted(sees.sum(axis=0)) == sorted(SIZES.values())
    assert sees[19].sum() == 0
    assert (sees[:19].sum(axis=1) == 1).all()
    assert [p.name for p in effect.parameters][-2:] == ["level", "R"]


@pytest.mark.parametrize("term", [bs.BYM2(WHOLE), bs.ICAR(WHOLE), bs.BYM2(GRAPH, levels=False)])
def test_where_there_is_nothing_to_tell_apart_there_are_none(term: Any) -> None:
    (effect,) = arrays(term).effects
    assert effect.levels is None
    assert "level" not in {p.name for p in effect.parameters}
    assert "l[part" not in str(bs.AreaModel("1", [term]))


def test_with_one_part_nothing_changes() -> None:
    one, other = (
        bs.fit(*made(TABLE, bs.BYM2(WHOLE, levels=levels)), **QUICK).draws.eta  # type: ignore[arg-type]
        for levels in (True, False)
    )
    np.testing.assert_array_equal(one, other)


def test_levels_of_an_unscaled_field_have_its_variance() -> None:
    # the geometric mean of the variances of (D - A)^+ in each part, by dense algebra
    (effect,) = arrays(bs.ICAR(GRAPH, scaled=False)).effects
    assert effect.levels is not None
    q = GRAPH.laplacian.toarray()
    for first, size in SIZES.items():
        start = CODES.index(first)
        here = slice(start, start + size)
        g = np.exp(np.log(np.diag(np.linalg.pinv(q[here, here]))).mean())
        assert effect.levels.sees.toarray()[start].sum() == pytest.approx(np.sqrt(g), rel=1e-10)


def test_a_level_is_the_ratio_times_the_standard_deviation() -> None:
    term = bs.BYM2(GRAPH)
    values = {
        "sigma": np.array([0.5, 2.0]),
        "phi": np.array([0.36, 0.25]),
        "level": np.array([0.8, 0.8]),
        "R": np.linalg.cholesky(np.array([[1.0, 0.3], [0.3, 1.0]])),
    }
    c = term.by_level(values)
    np.testing.assert_allclose(np.sqrt(np.diag(c @ c.T)), [0.5 * 0.8, 2.0 * 0.8], rtol=1e-14)
    assert (c @ c.T)[0, 1] / np.prod(np.sqrt(np.diag(c @ c.T))) == pytest.approx(0.3, rel=1e-14)


def test_the_printed_model_says_it() -> None:
    text = str(bs.AreaModel("1", [bs.BYM2(GRAPH)]))
    assert "sqrt(BYM2.phi[d]) u[a,d] + BYM2.level l[part(a),d])" in text
    assert "l a level for each of 3 connected parts" in text
    assert "BYM2.level       " in text
    assert "een niveau voor elk van 3 samenhangende delen" in bs.AreaModel("1", [bs.ICAR(GRAPH)]).words.nl


def interval_of_part(table: pd.DataFrame, levels: bool) -> tuple[float, float]:
    """Posterior mean and sd of the mean of the line of five areas."""
    fit = bs.fit(*made(table, bs.BYM2(GRAPH, levels=levels)), **QUICK)  # type: ignore[arg-type]
    mean = fit.draws.flat[:, 12:17, 0].mean(axis=1)
    return float(mean.mean()), float(mean.std())


def test_a_silent_part_is_less_certain_than_one_that_was_heard() -> None:
    silent = TABLE.assign(y=TABLE["y"].where((TABLE.index < 12) | (TABLE.index > 16)))
    pinned, level = interval_of_part(silent, False), interval_of_part(silent, True)
    assert level[1] > 1.5 * pinned[1]
    # expected where the other parts are on average, instead of the other areas: not farther off than it is uncertain
    assert abs(level[0] - pinned[0]) < level[1]
    assert interval_of_part(TABLE, True)[1] < 0.5 * level[1]


def test_a_part_that_lies_elsewhere_is_found_there() -> None:
    # five areas that lie 5 higher, each with an error of 1: pinned, only what is loose can take them there. How much
    # less they are held back is up to the priors; that it is clearly less is not
    high = TABLE.assign(y=TABLE["y"] + 5.0 * TABLE.index.isin(range(12, 17)), v=1.0)
    truth = high["y"][12:17].mean()
    level, pinned = interval_of_part(high, True)[0], interval_of_part(high, False)[0]
    assert abs(level - truth) < 0.75 * abs(pinned - truth)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: bs.BYM2(GRAPH, levels="yes"), "term BYM2: levels is of another kind"),
        (lambda: bs.BYM2(GRAPH, apart=bs.Normal(0, 1)), "term BYM2: apart is impossible"),
        (lambda: bs.ICAR(GRAPH, apart=0.7), "term ICAR: apart is of another kind"),
    ],
)
def test_what_is_refused(make: Callable[[], object], what: str) -> None:
    with pytest.raises(BuurtsaeError) as refused:
        make()
    assert refused.value.what == what  # type: ignore[attr-defined]
    assert str(refused.value).count("\n") == 2


SILENT = "has no direct estimate"


def test_a_part_without_estimates_whose_level_is_pinned_is_called_that() -> None:
    silent = TABLE.assign(y=TABLE["y"].where(TABLE.index < 17))
    (note,) = [n for n in design(*made(silent, bs.BYM2(GRAPH, levels=False))).notes if SILENT in n]
    assert "intervals are too narrow there" in note
    assert "intervallen zijn er te smal" in note.nl
    few, note = design(*made(silent, bs.BYM2(GRAPH))).notes
    assert "apart from the others, and fewer than 20 of them have direct estimates: its level rests on these" in few
    assert note.endswith("its level is that of the model, with the prior's uncertainty")
    # a second term on the graph gives it a level after all
    (note,) = [n for n in design(*made(silent, bs.BYM2(GRAPH, levels=False), bs.SAR(GRAPH))).notes if SILENT in n]
    assert "too narrow" not in note


def test_parts_say_who_answered() -> None:
    areas = made_areas_in(columns=(4, 7))  # GM0344: 16 areas; GM0355: 8, two wijken; and one alone
    scores = make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))
    data = bs.direct([scores[0], per_wijk(scores[1])], areas)
    # of each area the measure that most answered
    count = [s.frame.groupby("area_code" if k == 0 else s.frame["area_code"].str[2:8])[list(SUBDIMENSIONS)].count()
             for k, s in enumerate(scores)]  # fmt: skip
    found = parts(areas.graph(), data)
    assert [(p.areas, p.first) for p in found] == [(16, "BU03440000"), (8, "BU03550000")]
    for part, gemeente in zip(found, ("0344", "0355"), strict=True):
        inside = [rows[rows.index.str.removeprefix("BU").str[:4] == gemeente] for rows in count]
        assert part.respondents == sum(rows.max(axis=1).sum() for rows in inside)
        assert part.heard == len(inside[0])  # of the other the wijk is known only
    assert found[1].words.startswith("connected part of 8 areas (BU03550000, ...): 7 with estimates, ")


def test_respondents_of_a_table_are_unknown() -> None:
    _, data = made(TABLE)
    found = parts(GRAPH, data)
    assert [(p.areas, p.heard, p.respondents) for p in found] == [(12, 12, None), (5, 5, None), (2, 2, None)]
    assert "respondents" not in found[0].words


def test_the_quality_report_has_the_parts() -> None:
    areas = make_areas()
    data = bs.direct(make_scores(areas, SUBDIMENSIONS[:1], 1, np.random.default_rng(1)), areas)
    fit = bs.fit(bs.AreaModel("1", [bs.BYM2(areas.graph())]), data, **QUICK)  # type: ignore[arg-type]
    from buurtsae.estimates.evidence.quality import quality

    (part,) = quality(bs.estimate(fit))["graph"]["parts"]
    assert part["areas"] == 24
    assert part["respondents"] == sum(
        int(n) for code, n in zip(data.sources[0].codes, data.sources[0].respondents[:, 0], strict=True)
        if not code.startswith("BU0400")
    )  # fmt: skip


@pytest.mark.nuts
def test_nuts_agrees() -> None:
    silent = TABLE.assign(y=TABLE["y"].where((TABLE.index < 12) | (TABLE.index > 14)))
    model, data = made(silent, bs.BYM2(GRAPH))
    fast = bs.fit(model, data, draws=4000, progress=False, seed=1).draws.flat[:, :, 0]
    slow = bs.fit(model, data, "nuts", progress=False, seed=1, draws=1000, tune=500).draws
    eta = slow.flat[:, :, 0]
    sd = eta.std(axis=0)
    # as engines must agree, and five Monte Carlo errors of 4,000 draws, of which NUTS has a quarter effective
    assert (np.abs(fast.mean(axis=0) - eta.mean(axis=0)) / sd).max() < 0.1 + 5 / np.sqrt(1000)
    assert np.abs(fast.std(axis=0) / sd - 1).max() < 0.05 + 5 / np.sqrt(2 * 1000)
    assert slow.hyper["BYM2.level"][1].shape == (4, 1000, 1)


def test_years_have_levels_each() -> None:
    areas = make_areas()
    graph = bs.Graph.from_pairs(areas.codes, [(areas.codes[k], areas.codes[k + 1]) for k in range(23) if k != 9])
    data = bs.direct(make_scores(areas, SUBDIMENSIONS[:2], 2, np.random.default_rng(1)), areas).by_year()
    fit = bs.fit(bs.AreaModel("1", [bs.BYM2(graph)]), data, **QUICK)  # type: ignore[arg-type]
    ratio = fit.draws.hyper["BYM2.level"][1]
    assert ratio.shape[2:] == (2, 2)
    np.testing.assert_array_equal(ratio[..., 0], ratio[..., 1])  # one of both measures
    assert (ratio[..., 0, 0] != ratio[..., 1, 0]).all()  # of each year
    np.testing.assert_array_equal(fit.of_year(2023).draws.hyper["BYM2.level"][1], ratio[..., 1, :])
