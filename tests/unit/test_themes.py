"""Themes of covariates: what they explain together, what is refused, and the run file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, UNKNOWN_X, make_areas, make_scores

import buurtsae as bs
from buurtsae.engines.given import given
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.estimates.evidence.evidence import EVERYTHING, explained
from buurtsae.estimates.evidence.themes import effects, themes
from buurtsae.estimates.words.curves import curves, without_field
from buurtsae.model.design import design
from buurtsae.runs.runfile import TERM_PARTS
from buurtsae.survey.direct import direct

NAMES = tuple(f"x{k}" for k in range(6))


def areas_with_more() -> bs.Areas:
    """With six covariates of no meaning."""
    areas, values = make_areas(), np.random.default_rng(4).normal(size=(6, 25))
    return replace(areas, frame=areas.frame.assign(**dict(zip(NAMES, values, strict=True))))


AREAS = areas_with_more()
DATA = direct(make_scores(AREAS, SUBDIMENSIONS[:2], 1, np.random.default_rng(1)), AREAS)


@pytest.fixture(scope="module")
def fit() -> bs.Fit:
    model = bs.AreaModel("1 + groen", [bs.Ridge("mensen", NAMES[:4]), bs.Ridge("huizen", NAMES[4:])], missing="impute")
    return bs.fit(model, DATA, draws=400, hyperparameters=50, progress=False)


def test_parts_of_a_score_add_up(fit: bs.Fit) -> None:
    # without other effects a score is what the formula and the themes make of the covariates, where these are known
    parts = [np.arange(2), *themes(fit).values()]
    total, known = sum(effect for effect, _ in effects(fit, parts, values=1)), AREAS.codes != UNKNOWN_X
    np.testing.assert_allclose(total[known], given(fit, 0).posterior.mean[: len(known)][known], atol=1e-9)


def test_the_variance_of_a_theme_is_that_of_draws(fit: bs.Fit) -> None:
    columns = themes(fit)["mensen"]
    ((_, variance),) = effects(fit, [columns], values=1)
    at, n = given(fit, 0).posterior, 20_000
    border = at.draw(np.random.default_rng(1), n)[1][1:].reshape(n, -1, 2)[:, columns]
    x = at.field.x[: len(AREAS.codes)][AREAS.inhabited][:, columns]
    drawn = np.einsum("ap,npd->nad", x, border).var(axis=1)
    # its relative spread is at most that of chi^2_1, sqrt(2): four standard errors of 20,000
    np.testing.assert_allclose(variance, drawn.mean(axis=0), rtol=4 * np.sqrt(2 / n))


def test_shares_of_themes_are_in_the_table_of_what_is_explained(fit: bs.Fit) -> None:
    rows = explained(fit, AREAS.inhabited)
    assert [row["covariate"] for row in rows[:4]] == ["groen", "mensen", "huizen", EVERYTHING]
    assert all(row["mean"] is None and 0 <= row["share"] <= 1 for row in rows[1:4])


def test_a_curve_of_one_covariate_of_a_theme_is_refused(fit: bs.Fit) -> None:
    with pytest.raises(ModelError, match="x0 is of the theme mensen"):
        curves(fit, "x0")


def test_without_the_field_themes_stay() -> None:
    model = bs.AreaModel("1", [bs.BYM2(AREAS.graph()), bs.Ridge("mensen", NAMES)])
    spatial = bs.fit(model, DATA, draws=40, hyperparameters=20, progress=False)
    kept = without_field(spatial, draws=40, hyperparameters=20).model.terms
    assert [term.name for term in kept] == ["buurt", "mensen"]


def refused(step: Callable[[], object]) -> list[str]:
    with pytest.raises(BuurtsaeError) as raised:
        step()
    problems = getattr(raised.value, "problems", (raised.value,))
    assert all(str(problem).count("\n") == 2 for problem in problems)
    return [problem.what for problem in problems]


@pytest.mark.parametrize(
    ("formula", "themes", "what"),
    [
        ("1 + x0", [("a", ("x0", "x1"))], "covariates are in the model twice"),
        ("1", [("a", ("x0", "x1")), ("b", ("x1",))], "covariates are in the model twice"),
        ("1", [("a", ("x0", "nowhere"))], "covariates are absent"),
        ("1", [("a", ("x0", "groen"))], "covariate groen is missing in 1 buurten with residents"),
    ],
)
def test_covariates_of_themes_are_held_to_the_rules_of_all(
    formula: str, themes: list[tuple[str, tuple[str, ...]]], what: str
) -> None:
    model = bs.AreaModel(formula, [bs.Ridge(*theme) for theme in themes])
    assert refused(lambda: design(model, DATA)) == [what]


@pytest.mark.parametrize("covariates", [(), ("x", "x")])
def test_a_theme_that_is_none(covariates: tuple[str, ...]) -> None:
    assert refused(lambda: bs.Ridge("a", covariates)) == ["the theme a is impossible"]


def test_a_run_file_has_themes() -> None:
    part = TERM_PARTS["ridge"].model_validate({"type": "ridge", "name": "mensen", "covariates": ["x0", "x1"]})
    made = bs.Ridge.made({key: value for key, value in part if key != "type"}, AREAS.graph)
    assert made == bs.Ridge("mensen", ("x0", "x1"))


def test_a_horseshoe_is_for_nuts_alone() -> None:
    model = bs.AreaModel("1", [bs.IID("buurt"), bs.Horseshoe("mensen", NAMES)])
    assert "  mensen: regularised horseshoe of 6 covariates with shrunk coefficients" in str(model)
    with pytest.raises(ModelError, match="engine laplace does not support this model") as raised:
        bs.fit(model, DATA, progress=False)
    assert raised.value.got == "the horseshoe of mensen"
    assert refused(lambda: Marginal.of(design(model, DATA))) == [
        "a horseshoe is not Gaussian given its hyperparameters"
    ]


@pytest.mark.nuts
def test_engines_agree_on_a_theme() -> None:
    model = bs.AreaModel("1", [bs.IID("buurt"), bs.Ridge("mensen", NAMES)])
    data = direct(make_scores(AREAS, SUBDIMENSIONS[:1], 1, np.random.default_rng(2)), AREAS)
    fast = bs.fit(model, data, progress=False).draws.flat[:, AREAS.inhabited]
    slow = bs.fit(model, data, "nuts", draws=1000, tune=1000, progress=False).draws.flat[:, AREAS.inhabited]
    # the contract of engines (statistics.md 25), and 4,000 draws with an effective size of 1,000 or more
    sd = slow.std(axis=0)
    assert (np.abs(fast.mean(axis=0) - slow.mean(axis=0)) / sd).max() < 0.1 + 3 / np.sqrt(1000)
    np.testing.assert_allclose(fast.std(axis=0), sd, rtol=0.05 + 3 / np.sqrt(2 * 1000))


@pytest.mark.nuts
def test_nuts_samples_a_horseshoe() -> None:
    # one of six covariates counts, by 1.5 standard deviations of what else there is
    areas = replace(AREAS, frame=AREAS.frame.assign(y=5 + 1.5 * AREAS.frame["x0"] + 0.3 * AREAS.frame["x1"].shift(3)))
    table = areas.frame.assign(code=areas.codes, v=0.1).dropna(subset=["y"])
    data = bs.DirectEstimates.from_frame(
        pd.DataFrame(table[["code", "y", "v"]]), y="y", variance="v", area="code", areas=areas
    )
    model = bs.AreaModel("1", [bs.IID("buurt"), bs.Horseshoe("mensen", NAMES)])
    fit = bs.fit(model, data, "nuts", draws=300, tune=300, progress=False)
    without = areas.inhabited & areas.frame["y"].isna().to_numpy()
    assert without.any()
    expected = 5 + 1.5 * areas.frame["x0"].to_numpy()[without]
    draws = fit.draws.flat[:, without, 0]
    assert (np.abs(draws.mean(axis=0) - expected) / draws.std(axis=0)).max() < 3
    assert draws.std(axis=0).max() < 1.0  # without the covariate it would be 1.5
