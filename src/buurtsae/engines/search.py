r"""Where the posterior of hyperparameters is, and how steep: what proposals begin with.

The mode of log p(xi | y) by L-BFGS, and minus its Hessian there by differences of gradients. Of many areas a gradient
is dear, and a part of the areas tells nearly as much: with H_s of the mode xi_s of that part,

    H ~ I + r (H_s - I),      r times the data of the part, prior precision I,

is the curvature in which quasi-Newton steps (BFGS, from xi_s) find the mode of all, in a third as many. The Hessian
there is that of all data again: proposals lose nothing.

References
----------
Nocedal, J. and Wright, S. (2006). Numerical Optimization, ch. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from buurtsae.errors import ModelError
from buurtsae.sparse import Floats, Ints

STEPS = 40  # quasi-Newton steps, after which the search begins anew
CLOSE = 0.02  # log density that a next step would gain: the last one is made with the curvature
FAR = 5 * CLOSE  # that it gains if the search did not stop too early
WIDE = 0.25  # least curvature: proposals are hardly wider than the prior, whose precision is 1
FARTHEST, SHORTEST = 1.0, 1e-6  # prior standard deviations in one step

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class Target(Protocol):
    """The log-density of hyperparameters given data."""

    @property
    def size(self) -> int:
        """Number of hyperparameters."""

    @property
    def exact_gradient(self) -> bool:
        """Whether the gradient is that of the value; if not it leads near the mode, which is enough for proposals."""

    @property
    def vanishing(self) -> Sequence[tuple[int, Ints]]:
        """Per term that may vanish: its standard deviation, and what the data say nothing about without it."""

    def log_posterior(self, xi: Floats) -> float:
        """Return log p(xi | y) up to a constant."""

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient."""


@dataclass(frozen=True)
class Small:
    """A problem with fewer data like a target: where it is, and how steep, tell that of the target nearly.

    Attributes
    ----------
    target : Target
    ratio : float
        How many times its data the target has.
    """

    target: Target
    ratio: float


@dataclass(frozen=True)
class Peak:
    """A mode of p(xi | y).

    Attributes
    ----------
    at : ndarray, shape (p,)
    curvature : ndarray, shape (p, p)
        Minus the Hessian of log p there.
    level : float
        Log of the integral of p by Laplace's approximation.
    """

    at: Floats
    curvature: Floats
    level: float


def peak(target: Target, small: Small | None, each: Map, bar: Progress) -> Peak:
    """Return the mode of p(xi | y), begun at that of a smaller problem where there is one."""
    begun = None if small is None else _descended(target, small, each, bar)
    at = mode(target, bar, each) if begun is None else begun
    value, slope, h = curvature(at, target, each, bar)
    if begun is not None:
        step = (axes := roots(h, WIDE)) @ (axes.T @ slope)
        if 0.5 * float(step @ slope) > FAR:  # the search had a wrong measure
            return peak(target, None, each, bar)
        at = at + step
    constant = 0.5 * len(at) * float(np.log(2 * np.pi)) + float(np.linalg.slogdet(roots(h, WIDE))[1])
    return Peak(at, h, value + constant)


def mode(target: Target, bar: Progress, each: Map = map) -> Floats:
    """Return the mode of p(xi | y), looked for along the axes of the curvature at the start where the target is steep.

    Raises
    ------
    ModelError
        If the optimiser stops away from a mode.
    """
    from scipy.optimize import minimize

    near = getattr(target, "start", None)  # where a target knows about where it is
    start = np.zeros(target.size) if near is None else near
    # slopes around the start are found side by side; steps are half as many then, and come one after another
    axes = roots(curvature(start, target, each, bar)[2], WIDE) if getattr(target, "steep", False) else None

    def downhill(z: Floats) -> tuple[float, Floats]:
        bar.step("mode")
        value, gradient = target.with_gradient(z if axes is None else start + axes @ z)
        return -value, -(gradient if axes is None else axes.T @ gradient)

    # a thousandth of a unit of log density is far less than proposals need
    options = {"maxcor": 30, "maxiter": 500, "ftol": 1e-3 / max(abs(target.log_posterior(start)), 1.0), "gtol": 1e-3}
    bounds = getattr(target, "bounds", None)  # outside which its value is no guide
    begin = start if axes is None else np.zeros(target.size)
    optimum = minimize(downhill, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    if not np.isfinite(optimum.fun) or (target.exact_gradient and not optimum.success):
        raise ModelError(
            "the mode of the hyperparameters was not found",
            f"{optimum.message} after {optimum.nit} steps",
            "convergence",
            "look at the direct estimates and their variances; --engine nuts does not need a mode",
        )
    return np.asarray(optimum.x if axes is None else start + axes @ optimum.x)


def curvature(at: Floats, target: Target, each: Map, bar: Progress) -> tuple[float, Floats, Floats]:
    """Return log p, its gradient, and minus its Hessian, by differences of gradients."""
    p = len(at)
    step = 0.002  # of a prior standard deviation: the narrowest axes are a hundredth wide
    points = np.vstack([at, at + step * np.eye(p)])
    found = list(bar.track(each(target.with_gradient, points), "curvature", p + 1))
    slopes = np.array([slope for _, slope in found])
    hessian = (slopes[0] - slopes[1:]) / step
    return float(found[0][0]), slopes[0], np.asarray(0.5 * (hessian + hessian.T))


def roots(curvature: Floats, least: float) -> Floats:
    """Return axes A, A A' = H^{-1}, the eigenvectors of H, whose values are at the least so much."""
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray(vectors / np.sqrt(np.maximum(values, least)))


def _descended(target: Target, small: Small, each: Map, bar: Progress) -> Floats | None:
    """Nearly the mode, by BFGS in the axes that a smaller problem has at its own; None where it is not found."""
    prior = np.eye(target.size)
    try:
        xi = mode(small.target, bar, each)
    except ModelError:  # its data may be too few: the search with all of them says whether there is a mode
        return None
    scaled = prior + small.ratio * (curvature(xi, small.target, each, bar)[2] - prior)
    axes = roots(scaled, 1.0)  # data take nothing from what the prior knows
    inverse, (value, slope) = axes @ axes.T, target.with_gradient(xi)
    for _ in range(STEPS):
        step = inverse @ slope
        if 0.5 * float(slope @ step) < CLOSE:
            return xi
        step *= min(1.0, FARTHEST / float(np.abs(step).max()))
        bar.step("mode")
        new, there = target.with_gradient(xi + step)
        while not new > value:
            step = 0.4 * step
            if float(np.abs(step).max()) < SHORTEST:
                return None
            bar.step("mode")
            new, there = target.with_gradient(xi + step)
        bent = slope - there
        if (along := float(step @ bent)) > 0:  # only then it stays positive definite
            turned = inverse @ bent
            inverse = inverse + (1 + bent @ turned / along) * np.outer(step, step) / along
            inverse = inverse - (np.outer(step, turned) + np.outer(turned, step)) / along
        xi, value, slope = xi + step, new, there
    return None


@dataclass
class Progress:
    """A progress bar on stderr, one line per kind of work."""

    shown: bool
    bar: Any = field(default=None, init=False)
    tasks: dict[str, Any] = field(default_factory=dict, init=False)

    def __enter__(self) -> Progress:
        if self.shown:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def step(self, what: str, total: int | None = None) -> None:
        """Count one piece of work."""
        if self.bar is None:
            return
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=total)
        self.bar.advance(self.tasks[what])

    def track(self, work: Iterable[Any], what: str, total: int) -> Iterable[Any]:
        """Count pieces of work as they are done."""
        if self.bar is not None and what in self.tasks:  # another round of the same
            self.bar.reset(self.tasks[what])
        for done in work:
            yield done
            self.step(what, total)
