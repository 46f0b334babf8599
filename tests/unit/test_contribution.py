"""What each source adds to the posterior."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, Made, made_fit, make_areas, make_scores

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.estimates.contribution import contributions
from buurtsae.model.design import design
from buurtsae.survey.direct import direct


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def rows(made: Made) -> list[dict[str, Any]]:
    return contributions(made.fit)


def test_a_row_per_source_and_what_it_informs(rows: list[dict[str, Any]]) -> None:
    assert [(r["source"], r["measure"]) for r in rows] == [
        *(("veiligheidsmonitor", d) for d in SUBDIMENSIONS),
        *(("burgerpeiling", d) for d in SUBDIMENSIONS[:2]),
    ]


def test_every_source_adds_and_most_where_it_has_respondents(rows: list[dict[str, Any]]) -> None:
    for r in rows:
        if r["sd_without"] is None:
            assert r["measure"] in SUBDIMENSIONS[2:]  # nobody else asks these
            continue
        assert r["sd_with"] < r["sd_without"]
        assert r["sd_with_own"] < r["sd_without_own"]
        gain, gain_own = r["sd_without"] / r["sd_with"], r["sd_without_own"] / r["sd_with_own"]
        assert gain_own > gain


def test_without_the_second_source_it_is_a_fit_of_the_first(made: Made, rows: list[dict[str, Any]]) -> None:
    fit = made.fit
    alone = direct(make_scores(make_areas(), SUBDIMENSIONS, 2, np.random.default_rng(1))[:1], fit.areas)
    arrays = design(fit.model, alone, fit.areas)
    hyper = Hyper.means(fit.draws, fit.design)
    one = replace(hyper, slope=np.ones((1, 4)), extra=np.zeros((1, 4)))
    expected = Marginal.of(arrays).conditional(one).sd[fit.areas.inhabited].mean(axis=0)
    assert [r["sd_without"] for r in rows[4:]] == pytest.approx(list(expected[:2]), rel=1e-10)
