"""The mode that begins in a part of the areas is that of all, whatever the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import test_mixed
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from made_waves import areas_of, direct_of, model_of, world

import buurtsae as bs
from buurtsae.engines import smaller as module
from buurtsae.engines.laplace import _marginal
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.search import Progress, Small, curvature, mode, peak
from buurtsae.engines.smaller import around, cut, smaller
from buurtsae.errors import ModelError
from buurtsae.model.design import Design, design
from buurtsae.model.terms.base import Term
from buurtsae.survey.direct import direct

SIDE, SILENT = 240, Progress(False)
GRAPH = areas_of(world(1, SIDE)).graph("rook")
TERMS: dict[str, list[Term]] = {
    "BYM2": [bs.BYM2(GRAPH), bs.IID("gemeente")],
    "Leroux": [bs.Leroux(GRAPH)],
    "exchangeable": [bs.IID("gemeente"), bs.IID("buurt")],
    "along a line": [bs.Spline("groen"), bs.IID("buurt")],
    "heavy tails": [bs.BYM2(GRAPH, tails=True)],
    "theme": [bs.BYM2(GRAPH), bs.Ridge("buiten", ("groen",))],
}


def made(kind: str) -> Design:
    """A design of 240 areas with 2 measures in 1 year, or in 3, or of counts."""
    if kind == "years":
        return design(model_of(data := direct_of(world(1, SIDE))), data)
    data = direct_of(world(1, SIDE, 1), (2020,))
    if kind == "counts":
        areas, rng = areas_of(world(1, SIDE)), np.random.default_rng(2)
        trials = rng.integers(5, 40, SIDE)
        p = 1 / (1 + np.exp(-np.sin(np.arange(SIDE) / 40) - 0.5 * rng.normal(size=SIDE)))
        frame = areas.frame[[]].assign(n=trials, y=rng.binomial(trials, p)).reset_index()
        counts = bs.AreaCounts.from_frame(frame, y="y", trials="n", area="area_code", areas=areas)
        return design(bs.AreaModel("1 + groen", [bs.BYM2(GRAPH)], outcome=bs.Binomial()), counts)
    return design(bs.AreaModel("1" if kind == "theme" else "1 + groen", TERMS[kind]), data)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 60 areas will do."""
    monkeypatch.setattr(module, "PARTS", 4)
    monkeypatch.setattr(module, "LEAST", 30)


@pytest.mark.parametrize("kind", [*TERMS, "years", "counts"])
def test_the_mode_is_that_of_all_areas(kind: str) -> None:
    marginal = _marginal(made(kind))
    part = smaller(marginal)
    assert part is not None
    assert part.target.size == marginal.size
    assert 2 < part.ratio < 8  # of some 60 areas, less where not all see what is whole
    found = peak(marginal, part, map, SILENT)
    plain = mode(marginal, SILENT)
    (new, slope), (old, _) = marginal.with_gradient(found.at), marginal.with_gradient(plain)
    assert new > old - 2e-3
    # as near as a thousandth of a unit: half the square of the slope in units of the curvature
    if marginal.exact_gradient:
        assert slope @ np.linalg.solve(found.curvature, slope) / 2 < 2e-3


def small_world(kind: str) -> Design:
    """A design of 25 areas: with modelled variances and links, shares beside scores, or two sources."""
    if kind == "shares beside scores":
        return design(test_mixed.model(), test_mixed.data())
    data = direct(make_scores(areas := make_areas(), SUBDIMENSIONS, 2, np.random.default_rng(1)), areas)
    variances = bs.PC(0.8, 0.05) if kind == "variances" else None
    return design(bs.AreaModel("1", [bs.BYM2(areas.graph())], variances=variances), data)


@pytest.mark.parametrize("kind", ["variances", "shares beside scores", "two sources"])
def test_the_mode_is_that_of_all_areas_of_several_sources(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS", 2)
    monkeypatch.setattr(module, "LEAST", 4)
    marginal = _marginal(small_world(kind))
    part = smaller(marginal)
    assert part is not None
    found, plain = peak(marginal, part, map, SILENT), mode(marginal, SILENT)
    assert marginal.with_gradient(found.at)[0] > marginal.with_gradient(plain)[0] - 2e-3


def test_a_part_without_a_mode_is_no_start_and_no_error() -> None:
    marginal = Marginal.of(made("BYM2"))

    class Flat(Marginal):
        def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
            return np.nan, np.zeros(len(xi))

    part = smaller(marginal)
    assert part is not None
    assert isinstance(part.target, Marginal)
    nowhere = Flat(part.target.scores, part.target.field, part.target.observations)
    with pytest.raises(ModelError, match="the mode of the hyperparameters was not found"):
        mode(nowhere, SILENT)
    found = peak(marginal, Small(nowhere, part.ratio), map, SILENT)
    np.testing.assert_array_equal(found.at, mode(marginal, SILENT))


def test_fewer_gradients_of_all_areas() -> None:
    """Of the mode; those of the curvature are the same."""
    marginal, count = Marginal.of(made("BYM2")), [0]

    class Counted(Marginal):
        def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
            count[0] += 1
            return super().with_gradient(xi)

    counted = Counted(marginal.scores, marginal.field, marginal.observations)
    part = smaller(marginal)
    needed = []
    for small in (None, part):
        count[0] = 0
        peak(counted, small, map, SILENT)
        needed.append(count[0] - 1 - marginal.size)
    assert needed[1] < 0.7 * needed[0]


def test_a_part_is_the_model_of_its_areas() -> None:
    """Of an exchangeable model nothing is cut: the part is the model of these areas alone, to rounding."""
    arrays = made("exchangeable")
    marginal = Marginal.of(arrays)
    areas = np.arange(60)  # five whole gemeenten of twelve
    part = Marginal.of(cut(arrays, areas))
    rest = Marginal.of(cut(arrays, np.arange(60, SIDE)))
    free = replace(arrays, x=arrays.x[:, :0], coefficients=())  # coefficients would tie the parts together
    whole, one, other = (Marginal.of(d) for d in (free, cut(free, areas), cut(free, np.arange(60, SIDE))))
    xi = 0.3 * np.random.default_rng(1).normal(size=marginal.size)
    prior = -0.5 * float(xi @ xi)
    both = one.log_posterior(xi) + other.log_posterior(xi) - prior
    np.testing.assert_allclose(whole.log_posterior(xi), both, rtol=1e-10)
    assert len(part.design.areas) + len(rest.design.areas) == SIDE


def test_areas_of_a_part_are_neighbours() -> None:
    """A quarter of the areas about one of them: most neighbours of these are among them, and all hang together."""
    marginal = Marginal.of(made("BYM2"))
    order = around(marginal, 100)
    np.testing.assert_array_equal(np.sort(order), np.arange(SIDE))
    assert order[0] == 100
    part = np.isin(np.arange(SIDE), order[:60])
    i, j = GRAPH.edges.T
    assert (part[i] & part[j]).sum() > 0.6 * (part[i] | part[j]).sum()  # of 60 at random, a seventh


def test_sources_per_wijk_are_in_or_out() -> None:
    """A site that sees an area outside the part is left out; those inside see the same."""
    areas = make_areas()
    scores = make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1))
    arrays = design(bs.AreaModel("1", [bs.BYM2(areas.graph())]), direct(scores, areas))
    part = cut(arrays, np.arange(10, 20))
    assert part.areas == arrays.areas[10:20]
    whole = part.sites.sum(axis=1)
    np.testing.assert_allclose(whole, 1.0)
    np.testing.assert_array_equal(part.y[:, :10], arrays.y[:, 10:20])


def test_few_areas_have_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST", 100)
    assert smaller(Marginal.of(made("BYM2"))) is None


def test_where_the_part_misleads_the_search_begins_anew() -> None:
    """A curvature of the wrong size, and a start elsewhere: the mode is the same."""
    marginal = Marginal.of(made("BYM2"))
    part = smaller(marginal)
    assert part is not None
    plain = mode(marginal, SILENT)
    for ratio in (1e-3, 1e4):
        found = peak(marginal, Small(part.target, ratio), map, SILENT)
        assert marginal.log_posterior(found.at) > marginal.log_posterior(plain) - 2e-3
        np.testing.assert_allclose(found.curvature, curvature(found.at, marginal, map, SILENT)[2], rtol=0.3, atol=0.3)
