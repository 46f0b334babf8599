"""The parts of the fast engine; that it agrees with other engines is in tests/contract/test_engines.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores

from buurtsae.draws import convergence
from buurtsae.engines import laplace
from buurtsae.engines.base import engine_options, fit
from buurtsae.engines.integration import Integration, Share, integrate
from buurtsae.engines.laplace import Early, LaplaceOptions
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.resampling import CLOSE, balanced
from buurtsae.errors import ModelError
from buurtsae.model.design import design
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.direct import DirectEstimates, direct

AREAS = make_areas()
SMALL = {"draws": 400, "hyperparameters": 100}


@pytest.fixture(scope="module")
def estimates() -> DirectEstimates:
    return direct(make_scores(AREAS, SUBDIMENSIONS, 2, np.random.default_rng(1)), AREAS)


@pytest.fixture(scope="module")
def model() -> AreaModel:
    return AreaModel("1", (BYM2(AREAS.graph()), IID("gemeente")))


def test_the_same_draws_on_one_thread_and_on_two(model: AreaModel, estimates: DirectEstimates) -> None:
    one, two, other = (
        fit(model, estimates, "laplace", seed, progress=False, threads=threads, **SMALL)
        for seed, threads in ((5, 1), (5, 2), (6, 2))
    )
    np.testing.assert_array_equal(one.draws.eta, two.draws.eta)
    for name, (_, values) in one.draws.hyper.items():
        np.testing.assert_array_equal(values, two.draws.hyper[name][1])
    assert not np.isclose(one.draws.eta, other.draws.eta).any(axis=(0, 1)).all()


@pytest.mark.parametrize("draws", [4, 40, 2000])
def test_any_number_of_draws(model: AreaModel, estimates: DirectEstimates, draws: int) -> None:
    found = fit(model, estimates, progress=False, draws=draws, hyperparameters=50)
    assert found.engine == "laplace"
    assert found.draws.eta.shape == (4, draws // 4, len(AREAS.codes), 4)
    assert np.isfinite(found.draws.eta).all()
    assert all(values.shape[:2] == (4, draws // 4) for _, values in found.draws.hyper.values())


@pytest.mark.parametrize("terms", [(), (IID("gemeente"),)], ids=["none", "gemeente"])
def test_models_without_effects_per_buurt(terms: tuple[IID, ...], estimates: DirectEstimates) -> None:
    known = replace(estimates.sources[0], pooled=None)  # a variance of few degrees of freedom would be weighed
    one_source = replace(estimates, sources=(known,))
    found = fit(AreaModel("1", terms), one_source, progress=False, **SMALL)
    # all buurten of a gemeente have the same score, in every draw
    of_gemeente = (AREAS.frame["gemeente"] == "GM0344").to_numpy()
    assert np.ptp(found.draws.flat[:, of_gemeente], axis=1).max() < 1e-12
    assert found.check().empty
    if not terms:  # nothing to weigh: one value, and it is exact
        assert found.draws.certificate is not None
        assert found.draws.certificate.values == 1


def test_the_certificate(model: AreaModel, estimates: DirectEstimates) -> None:
    found = fit(model, estimates, progress=False, **SMALL)
    certificate = found.draws.certificate
    assert certificate is not None
    assert certificate.khat < 0.7
    assert certificate.effective >= 100
    assert found.check().empty
    assert str(certificate) in repr(found)
    table = found.draws.hyperparameters()
    assert (table["ess_bulk"] == certificate.effective).all()
    assert table["rhat"].isna().all()
    bad = replace(found, draws=replace(found.draws, certificate=replace(certificate, khat=0.8)))
    (advice,) = bad.check()["advice"]
    assert "--engine nuts" in advice
    assert "k-hat 0.80" in advice


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"draws": 0}, "0"),
        ({"draws": 10}, "10"),
        ({"threads": 0}, "0"),
        ({"hyperparameters": -1}, "-1"),
        ({"draws": 1.5}, "1.5"),
        ({"draws": [400]}, "[400]"),
        ({"threads": True}, "True"),
    ],
)
def test_impossible_options(options: dict[str, Any], got: str) -> None:
    ((name, _),) = options.items()
    with pytest.raises(ModelError, match=f"option {name} of engine laplace is impossible") as found:
        engine_options("laplace", options)
    assert found.value.got == got


def test_data_without_differences_between_buurten(estimates: DirectEstimates) -> None:
    # every direct estimate is 6: standard deviations go to their boundary, and the posterior says small
    flat = tuple(replace(s, mean=np.where(np.isfinite(s.mean), 6.0, np.nan)) for s in estimates.sources)
    model = AreaModel("1", (BYM2(AREAS.graph()), IID("gemeente")))
    found = fit(model, replace(estimates, sources=flat), progress=False, **SMALL)
    assert found.check().empty
    sigma = found.draws.hyper["BYM2.sigma"][1].reshape(-1, 4)
    within = np.sqrt(np.median(estimates.sources[0].variance[:, range(4), range(4)], axis=0))  # standard errors
    assert (np.quantile(sigma, 0.05, axis=0) < 0.2 * within).all()
    assert (np.median(sigma, axis=0) < within).all()
    np.testing.assert_allclose(found.draws.flat.mean(axis=0), 6.0, atol=0.1 * within.min())


def test_draws_in_their_order_are_as_good_as_independent(model: AreaModel, estimates: DirectEstimates) -> None:
    found = fit(model, estimates, progress=False, draws=4000, hyperparameters=400)
    scores = found.draws.eta.reshape(*found.draws.shape, -1)
    order = convergence(scores)
    # ArviZ: independent draws have some 4,000 effective ones by their order; the worst of 100 quantities a fifth less
    assert order["ess_bulk"].min() > 3000
    assert order["rhat"].max() < 1.01
    flat = (scores - scores.mean(axis=(0, 1))).reshape(4000, -1)
    neighbours = (flat[1:] * flat[:-1]).mean(axis=0) / flat.var(axis=0)
    assert np.abs(neighbours).max() < 5 / np.sqrt(4000)


def test_means_and_variances_of_hyperparameters_are_those_of_the_weighed_values(
    model: AreaModel, estimates: DirectEstimates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the choice for the last values, from which the balance goes, and nearer than by chance.

    Of K values expected n w_k times, fractions s_k wait in random order. The balance on q columns leaves q + 1 of them;
    as if each were drawn on its own, a sum of x then has the variance (q + 1) times the mean of s_k (1 - s_k) x_k^2.
    Over 400 seeds, 20 quantities and two sets of data the largest was 5.0 of these standard errors, the sd 0.4 to 1.2.
    """
    found: list[Integration] = []
    monkeypatch.setattr(laplace, "integrate", lambda *args: found.append(integrate(*args)) or found[0])
    known = tuple(replace(source, pooled=None) for source in estimates.sources)
    marginal = Marginal.of(design(model, replace(estimates, sources=known)))
    draws = laplace.sample(marginal.design, 1, LaplaceOptions(draws=2000, hyperparameters=400), progress=False)
    (weighed,) = found
    hyper, w, n = marginal.scores.hyper(weighed.xi), weighed.weights, 1000  # pairs
    fraction = n * w % 1
    waiting = (fraction > CLOSE) & (fraction < 1 - CLOSE)
    chance = (fraction * (1 - fraction))[waiting] * (1 + 2 * hyper.columns().shape[1] + 1) / waiting.sum()
    by_chance = [np.repeat(np.arange(len(w)), np.random.default_rng(k).multinomial(n, w)) for k in range(5)]

    def off(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
        """How far mean and variance of draws are from those of the weighed values, in standard errors."""
        x, d = values - w @ values, drawn - w @ values
        error = [np.sqrt(chance @ y[waiting] ** 2) / n for y in (x, x**2)]
        return np.abs([d.mean(axis=0) / error[0], ((d**2).mean(axis=0) - w @ x**2) / error[1]])

    exact = {name: hyper.values[name][:, 0] for name in ("BYM2.sigma", "BYM2.phi")}
    exact["tau"] = hyper.extra[:, marginal.design.linked]
    for name, values in exact.items():
        assert off(draws.hyper[name][1].reshape(2000, -1), values).max() < 6
        assert max(off(values[some], values).max() for some in by_chance) > 6  # the test can tell


def test_draws_that_were_kept_early_are_those_of_the_posterior(model: AreaModel, estimates: DirectEstimates) -> None:
    """Of one value: the first ones as they were kept, more when they do not suffice, all when nothing was kept."""
    marginal = Marginal.of(design(model, estimates))
    xi, early = np.zeros(marginal.size), Early(marginal, 3, 4000)
    assert early.look(7, xi, Share(np.inf, 1.0)) == marginal.log_posterior(xi)
    assert not early.made  # nothing is expected of it
    early.look(7, xi, Share(marginal.log_posterior(xi), 0.001))  # a thousandth of the weight: four draws, and some more
    (kept,) = (m[0] for m in early.made.values())
    assert 4 <= len(kept) <= 8  # the mean, and one draw less than they make
    first, _, _ = replace(early, made=dict(early.made)).take(7, xi, len(kept))
    mean, rest = kept[0].astype(float), kept[1:].astype(float)
    np.testing.assert_array_equal(first, balanced(mean, rest - mean))  # as they were kept
    scores, border, factor = early.take(7, xi, 1000)
    assert len(scores) == len(border) == 1000
    assert factor is None
    assert not early.made
    other, _, _ = early.take(8, xi, 1000)
    given = marginal.at(xi)
    mean, sd = given.mean[: len(estimates.areas.codes)], given.sd[: len(estimates.areas.codes)]
    np.testing.assert_allclose(kept[0], mean, rtol=1e-6)  # kept in single precision
    for drawn in (scores, other):
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=1e-6)  # exact, but for that
        np.testing.assert_allclose(drawn.std(axis=0) / sd, 1.0, atol=5 / np.sqrt(2000))
    assert len(np.unique(scores[:, 0, 0])) == 1000  # no draw twice
