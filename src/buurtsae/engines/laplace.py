r"""The fast engine: everything Gaussian integrated out exactly, hyperparameters by importance sampling.

With xi the hyperparameters as normal scores (`hyper`), p(xi | y) is known up to a constant (`marginal`).

1. The mode by L-BFGS with exact gradients; the Hessian by differences of gradients; axes A from its eigenvectors.
2. xi = mode + A z with z_i independent split normals, a scrambled Sobol' net in place of random numbers, in stages:
   centre, widths and skewness of each z_i are learnt from all before. Weights p(xi | y) / q(xi) with q the mixture of
   all stages (the balance heuristic), smoothed (PSIS), until enough values are effective.
3. Draws: xi by the weights (systematic resampling), then field, coefficients and scores given xi, all independent.

The Pareto k-hat of the weights is the engine's certificate: it says whether the draws represent p(xi | y), to which
nothing else is approximate. The same seed gives the same draws on one thread and on several.

References
----------
Rue, H., Martino, S. and Chopin, N. (2009). JRSS B 71. Vehtari, A. et al. (2024). Pareto smoothed importance sampling.
JMLR 25. Cornuet, J.-M. et al. (2012). Adaptive multiple importance sampling. Scand. J. Statistics 39. Owen, A. (2023).
Practical Quasi-Monte Carlo Integration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtri

from buurtsae.draws import Certificate, Draws, psis
from buurtsae.engines.labels import labelled, matrices
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import ModelError
from buurtsae.model.design import Bym2Block, Design
from buurtsae.sparse import Floats, Ints

WIDE = 1.1  # proposals are a little wider than the curvature, or what was learnt, says: the safe side of weighting
STAGES = 10
CHAINS = 4


@dataclass(frozen=True)
class LaplaceOptions:
    """Settings of the engine.

    Parameters
    ----------
    draws : int
        Joint draws to make, a multiple of four: independent, and laid out as four chains of equal length.
    hyperparameters : int, optional
        Effective number of values of the hyperparameters to reach; by default 1,000 for small models, down to 100 for
        the whole country.
    threads : int
        Values that are worked on at the same time; the draws do not depend on it.
    """

    draws: int = 4000
    hyperparameters: int | None = None
    threads: int = 2

    def __post_init__(self) -> None:
        bad = [f"{n} = {v}" for n, v in vars(self).items() if v is not None and (not isinstance(v, int) or v < 1)]
        if self.draws % CHAINS:
            bad.append(f"draws = {self.draws}, no multiple of {CHAINS}")
        if bad:
            got = ", ".join(bad)
            raise ModelError("options of laplace are impossible", got, "whole numbers above 0", "correct them")


Options = LaplaceOptions


def supports(design: Design) -> list[str]:
    """Return the parts of a design that this engine cannot fit, by name."""
    several = sum(isinstance(b, Bym2Block) for b in design.blocks) > 1
    joint = design.model.variances is not None
    return ["several BYM2 terms"] * several + ["variances modelled jointly with the means"] * joint


def sample(design: Design, seed: int, options: LaplaceOptions, progress: bool) -> Draws:
    """Return draws from the posterior of a design."""
    from threadpoolctl import threadpool_limits

    # one thread per value: with more the order of sums, and so the last digits, would depend on the machine
    with threadpool_limits(1), ThreadPoolExecutor(options.threads) as pool, _Progress(progress) as bar:
        marginal = Marginal.of(design)
        found = integrate(marginal, seed, options.hyperparameters or _enough(marginal), pool.map, bar)
        return _draw(marginal, found, seed, options.draws, pool.map, bar)


def _enough(marginal: Marginal) -> int:
    """Effective values of the hyperparameters, by the size of one factor: the same on every machine."""
    return int(np.clip(1e8 / max(marginal.field.symbolic.size, 1), 100, 1000))


@dataclass(frozen=True)
class Proposal:
    """xi = mode + A z, z_i split normal about centre_i with widths left_i and right_i.

    Attributes
    ----------
    mode : ndarray, shape (p,)
    axes : ndarray, shape (p, p)
    centre, left, right : ndarray, shape (p,)
    """

    mode: Floats
    axes: Floats
    centre: Floats
    left: Floats
    right: Floats

    def at(self, u: Floats) -> Floats:
        """Return z at uniform u, shape (n, p)."""
        both = self.left + self.right
        low, high = ndtri(u * both / (2 * self.left)), -ndtri((1 - u) * both / (2 * self.right))
        return self.centre + np.where(u * both < self.left, self.left * low, self.right * high)

    def xi(self, z: Floats) -> Floats:
        """Return xi of z."""
        return self.mode + z @ self.axes.T

    def log_density(self, z: Floats) -> Floats:
        """Return the log-density of z up to a constant, shape (n,)."""
        q = (z - self.centre) / np.where(z < self.centre, self.left, self.right)
        return -0.5 * (q**2).sum(axis=1) - np.log(self.left + self.right).sum()

    def learnt(self, z: Floats, weights: Floats) -> Proposal:
        """Return the proposal with the weighted mean, variance and skewness of each z_i."""
        mean = weights @ z
        deviation = z - mean
        variance = WIDE**2 * np.clip(weights @ deviation**2, 0.3, 4.0)
        effective = 1 / (weights**2).sum()
        skewness = (weights @ deviation**3) / variance**1.5 * effective / (effective + 100)  # few draws say little
        return Proposal(self.mode, self.axes, *split_normal(mean, variance, np.clip(skewness, -0.7, 0.7)))


def split_normal(mean: Floats, variance: Floats, skewness: Floats) -> tuple[Floats, Floats, Floats]:
    """Return centre, left and right width of split normals with these moments.

    With delta = right - left and c = sqrt(2 / pi): mean = centre + c delta, variance = (1 - c^2) delta^2 + left right,
    third moment = c delta (variance + (2 c^2 - 2 + c^2) delta^2) (John, S., 1982).
    """
    c = np.sqrt(2 / np.pi)
    x = skewness / c
    for _ in range(30):  # x (1 + (3 c^2 - 2) x^2) = skewness / c, x = delta / sd: a contraction
        x = skewness / c / (1 + (3 * c**2 - 2) * x**2)
    delta = x * np.sqrt(variance)
    product = variance - (1 - c**2) * delta**2
    left = 0.5 * (np.sqrt(delta**2 + 4 * product) - delta)
    return mean - c * delta, left, left + delta


@dataclass(frozen=True)
class Integration:
    """Weighted values of the hyperparameters.

    Attributes
    ----------
    xi : ndarray, shape (n, p)
    weights : ndarray, shape (n,)
        Smoothed, summing to 1.
    khat : float
    """

    xi: Floats
    weights: Floats
    khat: float

    @property
    def effective(self) -> float:
        """Effective number of values."""
        return float(1 / (self.weights**2).sum())


Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def integrate(marginal: Marginal, seed: int, enough: int, each: Map, bar: _Progress) -> Integration:
    """Return weighted values of the hyperparameters from their posterior, `enough` of them effective if possible."""
    from scipy.stats.qmc import Sobol

    p = marginal.scale.size
    if p == 0:
        return Integration(np.zeros((1, 0)), np.ones(1), 0.0)
    n = 2 ** int(np.ceil(np.log2(enough / 2)))
    proposals = [_around(*mode(marginal, bar), marginal, each, bar)]
    z, log_p = np.empty((0, p)), np.empty(0)
    for stage in range(STAGES):
        u = Sobol(p, rng=np.random.default_rng([seed, 1, stage])).random(n)
        z = np.vstack([z, proposals[-1].at(np.clip(u, 1e-12, 1 - 1e-12))])
        new = bar.track(each(marginal.log_posterior, proposals[-1].xi(z[-n:])), "hyperparameters", n)
        log_p = np.append(log_p, np.fromiter(new, float, n))
        mixture = np.logaddexp.reduce([q.log_density(z) for q in proposals], axis=0)
        found = Integration(proposals[0].xi(z), *psis(log_p - mixture))
        if found.effective >= enough and stage > 0:
            break
        proposals.append(proposals[-1].learnt(z, found.weights))
    return found


def mode(marginal: Marginal, bar: _Progress) -> tuple[Floats, float]:
    """Return the mode of p(xi | y) and log p there.

    Raises
    ------
    ModelError
        If the optimiser stops away from a mode.
    """
    from scipy.optimize import minimize

    def target(xi: Floats) -> tuple[float, Floats]:
        bar.step("mode")
        value, gradient = marginal.with_gradient(xi)
        return -value, -gradient

    start = np.zeros(marginal.scale.size)
    # a thousandth of a unit of log density is far less than proposals need
    options = {"maxcor": 30, "maxiter": 500, "ftol": 1e-3 / max(abs(marginal.log_posterior(start)), 1.0), "gtol": 1e-3}
    found = minimize(target, start, jac=True, method="L-BFGS-B", options=options)
    if not found.success or not np.isfinite(found.fun):
        raise ModelError(
            "the mode of the hyperparameters was not found",
            f"{found.message} after {found.nit} steps",
            "convergence",
            "look at the direct estimates and their variances; --engine nuts does not need a mode",
        )
    return found.x, -float(found.fun)


def _around(at: Floats, value: float, marginal: Marginal, each: Map, bar: _Progress) -> Proposal:
    """The Gaussian proposal by the curvature at the mode, by central differences of gradients."""
    p = len(at)
    step = 0.02  # in units of prior standard deviations; widened nowhere: curvature is averaged by the proposals later
    points = at + step * np.concatenate([np.eye(p), -np.eye(p)])
    slopes = np.array(list(bar.track((g for _, g in each(marginal.with_gradient, points)), "curvature", 2 * p)))
    hessian = -(slopes[:p] - slopes[p:]) / (2 * step)
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    axes = vectors / np.sqrt(np.maximum(values, 0.25))  # hardly wider than the prior, whose precision is 1
    return Proposal(at, axes, np.zeros(p), np.full(p, WIDE), np.full(p, WIDE))


def systematic(weights: Floats, n: int, u: float) -> Ints:
    """Return how often each value is drawn: n in all, each within 1 of n times its weight."""
    ends = np.floor(n * np.cumsum(weights) / weights.sum() + u).astype(np.int64)
    ends[-1] = n  # u < 1: the last end is n, but for rounding
    return np.diff(ends, prepend=0)


def _draw(marginal: Marginal, found: Integration, seed: int, n: int, each: Map, bar: _Progress) -> Draws:
    """Draw scores, coefficients and offsets given the hyperparameters, in a random order."""
    design = marginal.design
    rng = np.random.default_rng([seed, 2])
    count = systematic(found.weights, n, rng.uniform())
    used = np.flatnonzero(count)
    at = np.split(rng.permutation(n), np.cumsum(count[used])[:-1])
    mean, sd = design.coefficient_priors
    n_dims, links = len(design.subdimensions), [link for *_, link in design.links]
    eta = np.empty((n, len(design.areas), n_dims))
    beta, alpha = np.empty((n, len(mean), n_dims)), np.empty((n, len(links)))

    def one(k: int) -> None:
        place = at[k]
        given = marginal.at(found.xi[used[k]])
        scores, border = given.draw(np.random.default_rng([seed, 3, int(used[k])]), len(place))
        eta[place] = scores
        beta[place] = mean[:, None] + sd[:, None] * border[:, : beta[0].size].reshape(len(place), *beta.shape[1:])
        start = beta[0].size
        for q, link in enumerate(links):
            alpha[place, q] = link.offset.mean + link.offset.sd * border[:, start + q]

    for _ in bar.track(each(one, range(len(used))), "draws", len(used)):
        pass
    value = np.empty(n, dtype=np.int64)
    value[np.concatenate(at)] = np.repeat(used, count[used])
    hyper = marginal.scale.hyper(found.xi[value])
    raw: dict[str, Floats] = {"eta": eta, "beta": beta}
    if design.blocks:
        raw["sigma"] = hyper.sigma
        raw["phi"] = hyper.phi
        if n_dims > 1:
            raw["root_R"] = np.stack([hyper.roots[name] for name, _ in matrices(design)], axis=1)
    if links:
        linked = design.linked
        raw |= {"alpha": alpha, "log_lambda": np.log(hyper.slope[:, linked]), "tau": hyper.extra[:, linked]}
    certificate = Certificate(found.khat, len(found.weights), found.effective)
    shaped = {name: values.reshape(CHAINS, -1, *values.shape[1:]) for name, values in raw.items()}
    return labelled(design, shaped, certificate=certificate)


@dataclass
class _Progress:
    """A progress bar on stderr, one line per kind of work."""

    shown: bool
    bar: Any = field(default=None, init=False)
    tasks: dict[str, Any] = field(default_factory=dict, init=False)

    def __enter__(self) -> _Progress:
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
