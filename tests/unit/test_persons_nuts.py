"""Models of persons by the fast engine and by NUTS, through the same door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_persons import made

import buurtsae as bs
from buurtsae.draws import convergence
from buurtsae.sparse import Floats


def of_fit(fit: bs.UnitFit, names: list[str]) -> Floats:
    """Figures of areas (of all, and of the old), effects of levels less their mean, and parameters, (draws, all)."""
    figures = [fit.fit_of(domain).draws.scores()[:, :, 0] for domain in (None, {"leeftijd": ["le3"]})]
    effects = []
    for start, effect in zip(fit.stacked.starts, fit.stacked.effects, strict=False):
        part = fit.draws.f[:, start : start + len(effect.levels)]
        effects.append(part - part.mean(axis=1, keepdims=True))
    parameters = [fit.raw.hyper[name][1].reshape(len(part), -1) for name in names]
    return np.hstack([*figures, *effects, *parameters])


@pytest.mark.nuts
def test_the_fast_engine_is_nuts_of_persons() -> None:
    """Means within 0.1 sd, sds within 5%, and three Monte Carlo errors of NUTS, 1 / sqrt(ESS) and 1 / sqrt(2 ESS)."""
    world = made(side=5, each=16.0)
    model = bs.UnitModel(
        "1 + x", terms=[bs.BYM2(world.graph)],
        persons=[bs.Ordered("leeftijd"), bs.Fixed("geslacht"), bs.Factor("herkomst")],
    )  # fmt: skip
    answers, options = world.yes, dict[str, Any](progress=False)
    fast = bs.fit_persons(model, answers, world.residents, draws=8000, hyperparameters=3000, **options)
    slow = bs.fit_persons(model, answers, world.residents, "nuts", draws=2000, tune=1000, chains=4, **options)
    assert slow.raw.hyperparameters()["rhat"].max() < 1.01
    names = ["BYM2.sigma", "BYM2.phi", "leeftijd.sigma", "herkomst.sigma", "beta"]
    one, two = (of_fit(fit, names) for fit in (fast, slow))
    ess = convergence(two.reshape(4, 2000, -1))["ess_bulk"].to_numpy()
    sd = two.std(axis=0)
    moves = sd > 1e-9
    apart = np.abs(one.mean(axis=0) - two.mean(axis=0))[moves] / sd[moves]
    assert (apart < 0.1 + 3 / np.sqrt(ess[moves])).all(), apart.max()
    ratio = np.abs(one.std(axis=0)[moves] / sd[moves] - 1)
    assert (ratio < 0.05 + 3 / np.sqrt(2 * ess[moves])).all(), ratio.max()
