"""What an estimate leans on: parts that add up, and own parts that are those of a fit without the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import ALONE, SILENT, made_fit, make_areas

from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence.crossvalidation import own_effect
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.estimates.words.explanation import leans_on, most
from buurtsae.estimates.words.leaning import leaning


@pytest.fixture(scope="module")
def fit() -> Fit:
    return made_fit().fit


@pytest.fixture(scope="module")
def est(fit: Fit) -> Estimates:
    return estimate(fit)


def test_parts_add_up_to_the_published_estimate(est: Estimates) -> None:
    parts = leaning(est)
    rows = est.published.query("level == 'buurt'").set_index(["area_code", "measure"])
    total = parts.sum(axis=1)
    # four parts rounded to two decimals
    assert (total - rows["estimate"].reindex(total.index)).abs().max() <= 4 * 0.005 + 1e-9
    assert set(parts.index) == set(rows.index[rows["estimate"].notna()])


def test_own_parts_are_zero_without_data_and_hidden_of_a_few(est: Estimates) -> None:
    parts = leaning(est).reset_index()
    n = est.published.query("level == 'buurt'").set_index(["area_code", "measure"])["n_respondents"]
    few = n.groupby("area_code").min()
    few = set(few.index[(few > 0) & (few < est.rules.min_direct)])
    assert few & set(parts["area_code"])
    assert parts["own"].isna().sum() >= 7 * len(few & set(parts["area_code"]))
    assert parts.loc[parts["area_code"].isin(few), "own"].isna().all()
    silent = parts[parts["area_code"].isin(SILENT)]
    assert len(silent)
    assert (silent["own"] == 0).all()


def test_all_parts_are_shown_where_the_rules_allow(fit: Fit) -> None:
    parts = leaning(estimate(fit, rules=Rules(min_direct=0, max_share=1.0, protection=0)))
    assert parts["own"].notna().all()


def test_the_own_effect_is_the_difference_with_a_posterior_without_the_data(fit: Fit) -> None:
    """One buurt's data put to zero, everything else conditioned anew: what the closed form must give."""
    from buurtsae.engines.hyper import Hyper
    from buurtsae.engines.marginal import Marginal
    from buurtsae.latent.conditional import condition

    site = list(fit.design.areas).index(ALONE)
    assert fit.design.observed[:, site].any()
    hyper, marginal = Hyper.drawn(fit.draws, fit.design, 0), Marginal.of(fit.design)
    local, loadings = marginal.observations.local(hyper.slope, hyper.extra, 1.0), hyper.loadings(fit.design)
    silent = {name: _without(getattr(local, name), site) for name in ("w", "b", "cross", "own", "linear")}
    means = [condition(marginal.field, part, loadings).scores.mean[site] for part in (local, replace(local, **silent))]
    np.testing.assert_allclose(own_effect(fit, values=1)[site], means[0] - means[1], rtol=1e-6, atol=1e-9)


def _without(values: np.ndarray, site: int) -> np.ndarray:
    out = values.copy()
    out[site] = 0.0
    return out


def test_in_words() -> None:
    row = {"n_respondents": 4}
    parts = {"reference": 5.8, "characteristics": -0.04, "surroundings": 0.26, "own": None}
    assert leans_on(row, parts).nl == (
        "Een buurt met gemiddelde kenmerken: 5,8; de kenmerken van deze buurt: +0,0; de buurten eromheen en de 4 eigen "
        "respondenten samen: +0,3."
    )
    assert leans_on(row, parts) == (
        "An area of average characteristics: 5.8; the characteristics of this area: +0.0; the areas around it and its "
        "4 own respondents together: +0.3."
    )
    nobody = leans_on({"n_respondents": 0}, parts | {"own": 0.0, "shift": -0.1})
    assert nobody.nl.endswith("aanpassing aan gepubliceerde cijfers: -0,1; er zijn geen eigen respondenten.")
    assert "20% komt uit hun antwoorden" in most(0.2, 4).nl
    assert most(0.7, 1).nl.startswith("De schatting steunt vooral op 1 eigen respondent:")
    assert "Niemand" in most(None, 0).nl


def test_the_areas_of_the_example_have_a_mean_to_refer_to(est: Estimates) -> None:
    parts = leaning(est).reset_index()
    assert (parts.groupby("measure")["reference"].nunique() == 1).all()
    assert len(make_areas().codes) >= parts["area_code"].nunique()
