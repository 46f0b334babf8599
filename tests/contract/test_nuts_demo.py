"""The demo's model sampled by NUTS: convergence, seeds, Ctrl-C, and that the fast engine agrees with it."""

from __future__ import annotations

import _thread
import signal
import threading

import numpy as np
import pytest
from example_runs import DemoRun, Sampled

from buurtsae.draws import convergence
from buurtsae.engines.base import Fit
from buurtsae.engines.nuts import NutsOptions, sample_compiled
from buurtsae.estimates.summary import estimate

pytestmark = [pytest.mark.nuts, pytest.mark.slow, pytest.mark.xdist_group("demo")]

# data/voorbeeldstad/README.md: 120 buurten, two of them without residents
BUURTEN, WIJKEN, GEMEENTEN, MEASURES = 118, 12, 3, 7


def test_it_converges_on_every_published_quantity(sampled: Sampled) -> None:
    fit = Fit(sampled.inputs.design, sampled.inputs.direct, sampled.draws, "nuts", 2024, 0.0)
    diagnosis = estimate(fit).convergence
    assert len(diagnosis) == (BUURTEN + WIJKEN + GEMEENTEN + 1) * MEASURES
    assert diagnosis["rhat"].max() < 1.01
    assert diagnosis["ess_bulk"].min() > 400
    assert sampled.draws.divergences == 0
    assert sampled.draws.shape == (4, 2000)


def test_laplace_agrees_with_nuts(sampled: Sampled, demo_run: DemoRun) -> None:
    fast, slow = demo_run.fit.draws, sampled.draws
    certificate = fast.certificate
    assert certificate is not None
    pairs = {"eta": (fast.eta, slow.eta), **{n: (fast.hyper[n][1], v) for n, (_, v) in slow.hyper.items()}}
    for name, (one, other) in pairs.items():
        one, other = (a.reshape(*a.shape[:2], -1) for a in (one, other))
        free = other.std(axis=(0, 1)) > 1e-9  # the diagonal of a correlation matrix is not
        one, other = one[..., free], other[..., free]
        sd = other.std(axis=(0, 1))
        ess = convergence(other)["ess_bulk"].to_numpy()
        # Monte Carlo error of both: scores have one independent draw each, hyperparameters as many as are effective
        size = 1 / (1 / ess + 1 / (4000 if name == "eta" else certificate.effective))
        # the tolerances at which engines must agree, and four standard errors (500 quantities); a heavy tail doubles
        # the standard error of a standard deviation
        assert (np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))) / sd < 0.1 + 4 / np.sqrt(size)).all(), name
        heavy = 1.0 if name == "eta" else 2.0
        assert (np.abs(one.std(axis=(0, 1)) / sd - 1) < 0.05 + 4 * heavy / np.sqrt(2 * size)).all(), name


SHORT = NutsOptions(chains=2, tune=100, draws=50)


def test_the_same_seed_gives_the_same_draws(sampled: Sampled) -> None:
    first, again, other = (
        sample_compiled(sampled.compiled, sampled.inputs.design, seed, SHORT, progress=False) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.eta, again.eta)
    for name, (_, values) in first.hyper.items():
        np.testing.assert_array_equal(values, again.hyper[name][1])
    assert not np.isclose(first.eta, other.eta).any(axis=(0, 1)).all()


def test_another_seed_gives_the_same_means_up_to_monte_carlo_error(sampled: Sampled) -> None:
    options = NutsOptions(chains=4, tune=500, draws=500)
    other = sample_compiled(sampled.compiled, sampled.inputs.design, 7, options, progress=False).eta
    mean, square = [], []
    for eta in (sampled.draws.eta, other):
        flat = eta[:, :, sampled.inputs.areas.inhabited].reshape(*eta.shape[:2], -1)
        mean.append(flat.mean(axis=(0, 1)))
        square.append(flat.var(axis=(0, 1)) / convergence(flat)["ess_bulk"].to_numpy())
    z = (mean[0] - mean[1]) / np.sqrt(square[0] + square[1])
    assert np.abs(z).max() < 5  # 472 quantities: P(|z| > 5) = 6e-7 each
    assert z.std() < 1.5  # 1 where the error is that of the effective sizes


def test_ctrl_c_gives_no_half_sample(sampled: Sampled) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start background jobs deaf to it
    ctrl_c = threading.Timer(2.0, _thread.interrupt_main)
    ctrl_c.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            sample_compiled(sampled.compiled, sampled.inputs.design, 1, NutsOptions(), progress=False)
    finally:
        ctrl_c.cancel()
        signal.signal(signal.SIGINT, before)
