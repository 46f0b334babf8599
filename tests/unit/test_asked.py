"""Answers that respondents would give: their weights and clusters, against exact probabilities and the data."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from made_fit import looked_at, make_areas, make_scores

import buurtsae as bs
from buurtsae.estimates.evidence.asked import Asked, respondents
from buurtsae.estimates.evidence.counts import replicates
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.survey.components import n_effective
from buurtsae.survey.design_columns import DesignInfo

DRAWS = 20_000


def shares_of(clustered: bool) -> bs.DirectEstimates:
    """Two measures of which the first is a share, of respondents with weights, in clusters of three who agree."""
    rng, areas = np.random.default_rng(2), make_areas()
    first, second = bs.Concept.load().subdimensions[:2]
    (scores,) = make_scores(areas, (first, second), 1, rng)
    share = np.where(scores.frame[first].isna(), np.nan, 100.0 * (scores.frame[first] > 6))
    frame = scores.frame.assign(**{first: share}, weight=np.exp(rng.normal(size=len(share))))
    frame = frame.sort_values(["area_code", first], ignore_index=True)
    frame["cluster"] = np.arange(len(share)) // 3
    info = DesignInfo(clusters=("cluster",)) if clustered else scores.survey_design
    return bs.direct([replace(scores, frame=frame, survey_design=info)], areas)


def test_weighted_shares_have_the_probabilities_of_their_respondents() -> None:
    """Three of unequal weights: each of eight outcomes, within five standard errors of 20,000 draws."""
    share, p = np.array([0.6, 0.3, 0.1]), 0.3
    asked = Asked(np.zeros(3, dtype=np.int64), share, (np.arange(3),), np.ones(1))
    rng = np.random.default_rng(1)
    drawn = np.round([asked.draw(np.array([p]), rng)[0] for _ in range(DRAWS)], 9)
    for yes in product((0, 1), repeat=3):
        expected = p ** sum(yes) * (1 - p) ** (3 - sum(yes))
        error = 5 * np.sqrt(expected * (1 - expected) / DRAWS)
        assert (drawn == round(float(share @ yes), 9)).mean() == pytest.approx(expected, abs=error)


def test_clusters_of_two_stages_correlate_as_they_should() -> None:
    """Six persons: by innermost common cluster r is 0.5, 0.2 or 0, and the variance that of n effective answers."""
    outer, inner, p = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2]), np.array([0.4])
    weight, rho, area = np.array([1.0, 2.0, 1.5, 0.5, 1.0, 3.0]), np.array([0.2, 0.3]), np.zeros(6, dtype=np.int64)
    stages, r = (outer, inner, np.arange(6)), np.array([0.2, 0.5, 1.0])
    rng, found = np.random.default_rng(3), []
    for one in np.eye(6):  # the answer of each person, as a share of one site
        asked = Asked(area, one, stages, r)
        found.append([asked.draw(p, np.random.default_rng([3, k]))[0] for k in range(4000)])
    correlation = np.corrcoef(found)
    for pair, expected in (((0, 1), 0.5), ((0, 2), 0.2), ((0, 4), 0.0), ((4, 5), 0.5)):
        assert correlation[pair] == pytest.approx(expected, abs=5 / np.sqrt(4000))
    asked = Asked(area, weight / weight.sum(), stages, r)
    drawn = np.array([asked.draw(p, rng)[0] for _ in range(DRAWS)])
    n = n_effective(weight[:, None], area, 1, (outer, inner), rho[:, None]).item()
    assert drawn.mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / n / DRAWS))
    assert drawn.var() == pytest.approx(0.24 / n, rel=5 * np.sqrt(2 / DRAWS))


@pytest.mark.parametrize("clustered", [False, True])
def test_who_was_asked_is_who_the_data_are_of(clustered: bool) -> None:
    """Shares add to one per area, and their squares, clusters included, are the effective numbers of the data."""
    data = shares_of(clustered)
    first = data.subdimensions[0]
    outcome = PerMeasure({first: bs.Binomial(scale=bs.Scale(0, 100, "%", "%")), data.subdimensions[1]: bs.Gaussian()})
    fit = looked_at(data, bs.AreaModel("1", [bs.IID("buurt")], outcome=outcome))
    sites, source = pd.Index(fit.design.site_codes), data.sources[0]
    asked = respondents(data, sites)[0]
    seen = sites.get_indexer(source.codes[np.isfinite(source.mean[:, 0])])
    np.testing.assert_allclose(np.bincount(asked.site, asked.share, len(sites))[seen], 1.0)
    assert len(asked.stages) == 1 + clustered
    rho = np.diff(asked.together, prepend=0.0)[:-1, None]
    assert (rho > 0.1).all()
    n = n_effective(asked.share[:, None], asked.site, len(sites), asked.stages[:-1], rho)
    assert fit.design.size is not None
    np.testing.assert_allclose(n[seen, 0], fit.design.size[0, seen, 0])
    # replicates are shares that these respondents can have: the first areas with one or two of them
    few = [k for k in seen if 0 < (asked.site == k).sum() <= 2][:5]
    hyper = fit.counting.scores.hyper(np.zeros(fit.counting.size))
    for made in replicates(fit.counting, hyper, 3, np.random.default_rng(1), {0: asked}):
        for k in few:
            share = made.y[0, k, 0] / fit.design.size[0, k, 0]
            p = asked.share[asked.site == k]
            assert np.abs(share - np.array([0, 1, *p])).min() < 1e-9


def test_of_a_table_nobody_is_known() -> None:
    table = pd.DataFrame({"code": list("abcd"), "y": [1, 0, 2, 1], "n": [4, 3, 5, 2]})
    assert respondents(bs.AreaCounts.from_frame(table, y="y", trials="n", area="code"), pd.Index(list("abcd"))) == {}
