r"""Two shares and a score in one fit: the fast engine against NUTS, ties of sampling errors included.

    y_ad ~ Binomial(n_ad, expit(e_ad)), d = 1, 2,   y_a3 ~ N(e_a3, V_a),   e_a = b + BYM2,  R of the answers of persons.

Effective numbers of respondents lie between 0 and 30; one area is an island.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.draws import convergence
from buurtsae.engines.base import fit
from buurtsae.model.design import design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.scale import Scale
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

SIDE, MEASURES = 6, ("lonely", "helps", "mark")
SHARE = Binomial(scale=Scale(0, 100, "%", "%"))


def respondents(rng: np.random.Generator) -> DirectEstimates:
    """Of a grid of areas: answers on three questions that go together within persons."""
    codes = [f"A{k:02}" for k in range(SIDE**2)]
    areas = Areas.from_frame(pd.DataFrame({"code": codes}), code="code")
    x, y = np.divmod(np.arange(SIDE**2), SIDE)
    truth = np.column_stack([-1 + 0.6 * np.sin(x), 0.4 * np.cos(y) - 0.3, 6.5 + 0.4 * np.sin(x + y)])
    area = np.repeat(np.arange(SIDE**2), np.where(rng.uniform(size=SIDE**2) < 0.1, 0, rng.integers(1, 40, SIDE**2)))
    common = rng.normal(0, 2.5, len(area))  # what a person answers all questions by
    latent = truth[area] + np.outer(common, [0.8, 0.8, 0.5]) + rng.logistic(0, [1, 1, 0.6], (len(area), 3))
    answers = np.column_stack([100.0 * (latent[:, :2] > 0), latent[:, 2]])
    frame = pd.DataFrame(answers, columns=list(MEASURES)).assign(
        area_code=np.array(codes)[area], weight=rng.lognormal(0, 0.3, len(area)), stratum="all"
    )
    return direct(Scores(frame, "survey", 2024, MEASURES, level=areas.base), areas)


def model(areas: Areas) -> AreaModel:
    cell = np.arange(SIDE**2).reshape(SIDE, SIDE)
    pairs = np.vstack([np.c_[cell[:-1].ravel(), cell[1:].ravel()], np.c_[cell[:, :-1].ravel(), cell[:, 1:].ravel()]])
    kept = pairs[(pairs != SIDE**2 - 1).all(axis=1)]  # the last is an island
    graph = Graph.from_pairs(areas.codes, [(areas.codes[i], areas.codes[j]) for i, j in kept])
    each = dict(zip(MEASURES, (SHARE, SHARE, Gaussian((0, 10))), strict=True))
    return AreaModel("1", (BYM2(graph),), outcome=PerMeasure(each))


@pytest.mark.nuts
@pytest.mark.slow
def test_laplace_agrees_with_nuts_on_two_shares_and_a_score() -> None:
    data = respondents(np.random.default_rng(7))
    asked = model(data.areas)
    tied = design(asked, data).correlation
    assert tied is not None
    assert tied[:, 0, 1].max() > 0.1  # there is something to tie
    slow = fit(asked, data, "nuts", 1, progress=False, target_accept=0.95).draws
    fast = fit(asked, data, "laplace", 1, progress=False, draws=8000, hyperparameters=1500).draws
    assert slow.divergences <= 5
    assert fast.certificate is not None
    one, other = (d.eta.reshape(*d.shape, -1) for d in (fast, slow))
    mean, sd = other.mean(axis=(0, 1)), other.std(axis=(0, 1))
    size = 1 / (1 / convergence(other)["ess_bulk"].to_numpy() + 1 / 8000)
    # the tolerances at which engines must agree, and four Monte Carlo errors
    assert (np.abs(one.mean(axis=(0, 1)) - mean) / sd < 0.1 + 4 / np.sqrt(size)).all()
    assert (np.abs(one.std(axis=(0, 1)) / sd - 1) < 0.05 + 4 / np.sqrt(2 * size)).all()
    for name in ("BYM2.sigma", "beta"):
        one, other = (d.hyper[name][1].reshape(*d.shape, -1) for d in (fast, slow))
        sd, size = other.std(axis=(0, 1)), convergence(other)["ess_bulk"].to_numpy()
        gap = np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))) / sd
        assert (gap < 0.1 + 3 / np.sqrt(size)).all(), (name, gap, size)
        ratio = one.std(axis=(0, 1)) / sd
        assert (np.abs(ratio - 1) < 0.05 + 3 / np.sqrt(2 * size)).all(), (name, ratio, size)
