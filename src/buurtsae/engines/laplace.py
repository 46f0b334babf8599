r"""The fast engine: everything Gaussian integrated out exactly, hyperparameters by importance sampling.

With xi the hyperparameters as normal scores (`hyper`), p(xi | y) is known up to a constant (`marginal`).

1. Values of xi with weights, by adaptive importance sampling (`integration`).
2. Draws: pairs of xi by the weights, such that means and variances of hyperparameters stay as weighted (`resampling`),
   then field, coefficients and scores given xi, each from its exact distribution, and such that the average of those at
   one xi is its conditional mean (a pair is antithetic). Most are made in step 1, while the factor of that xi is there:
   as many as its weight may be expected to need.

The Pareto k-hat of the weights is the engine's certificate: it says whether the draws represent p(xi | y). Nothing else
is approximate, but where sampling variances are modelled: these are at their mode (`variances`); and for counts and
heavy tails, whose likelihood is Laplace's (`counts`, `tails`). The same seed gives the same draws on one thread and on
several.

References
----------
Rue, H., Martino, S. and Chopin, N. (2009). Approximate Bayesian inference for latent Gaussian models. JRSS B 71.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from buurtsae.draws import Certificate, Draws
from buurtsae.engines.checkpoint import Checkpoint, Remembered, keeping
from buurtsae.engines.counts import Counting
from buurtsae.engines.integration import Integration, Share, integrate
from buurtsae.engines.labels import Draw4, Whole, in_chains, labelled
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.engines.resampling import balanced, cube
from buurtsae.engines.search import Map, Progress
from buurtsae.engines.smaller import smaller
from buurtsae.engines.tails import Tailed
from buurtsae.engines.variances import Varying
from buurtsae.model.design import Design
from buurtsae.sparse import Floats

SPARE = 1.3  # pairs that are kept early over those expected
RARE = 0.3  # expected pairs below which it is cheaper to factor again should there be one
Drawn = tuple[NDArray[np.float32], Floats, Floats | None]


@dataclass(frozen=True)
class LaplaceOptions:
    """Settings of the engine.

    Parameters
    ----------
    draws : int
        Joint draws to make, a multiple of four, in random order, laid out as four chains of equal length.
    hyperparameters : int, optional
        Effective number of values of the hyperparameters to reach; by default 1,000 for models of up to some thousand
        buurten, 80 for the whole country.
    threads : int
        Values that are worked on at the same time; the draws do not depend on it.
    checkpoint : path, optional
        A file for what was weighed: the same fit, begun again after it was stopped, goes on where it was, to the same
        draws. What it holds of other fits, or was torn, does not count. The caller removes it.
    """

    draws: Draw4 = 4000
    hyperparameters: Whole | None = None
    threads: Whole = 2
    checkpoint: Path | None = None


Options = LaplaceOptions


def supports(design: Design) -> list[str]:
    """Return the parts of a design that this engine cannot fit, by name."""
    tails = sum(effect.tail is not None for effect in design.effects)
    beside = {
        "heavy tails of two terms": tails > 1,
        "heavy tails of counts": design.size is not None,
        "heavy tails beside modelled variances": design.model.variances is not None,
        "heavy tails in several years": design.periods > 1,
        "heavy tails beside a theme of covariates": any(effect.dense for effect in design.effects),
        "heavy tails with a source per group of areas": design.grouped,
    }
    horseshoes = [f"the horseshoe of {effect.name}" for effect in design.effects if effect.local is not None]
    loose = [effect.name for effect in design.effects if effect.loose is not None and design.overdispersion]
    twice = [f"overdispersion of counts beside {name}, unstructured per area, which says the same" for name in loose]
    return horseshoes + twice + [part for part, there in beside.items() if tails and there]


def sample(design: Design, seed: int, options: LaplaceOptions, progress: bool) -> Draws:
    """Return draws from the posterior of a design."""
    from threadpoolctl import threadpool_limits

    # one thread per value: with more the order of sums, and so the last digits, would depend on the machine
    with (
        keeping(options.checkpoint) as kept,
        threadpool_limits(1),
        ThreadPoolExecutor(options.threads) as pool,
        Progress(progress) as bar,
    ):
        bar.step("prepare (the first fit on a machine compiles for some 15 s)")
        marginal = _marginal(design)
        early = Early(marginal, seed, options.draws, kept)
        enough, part = options.hyperparameters or _enough(marginal), smaller(marginal)
        if kept is not None and part is not None:
            part = replace(part, target=Remembered(part.target, kept))
        weighed = integrate(early.target, seed, enough, pool.map, bar, early.look, part)
        return _draw(early, weighed, pool.map, bar)


def _marginal(design: Design) -> Marginal:
    """Return the model with the field integrated out: exactly, or by Laplace's approximation."""
    if design.size is not None:
        return Counting.of(design)
    if any(effect.tail is not None for effect in design.effects):
        return Tailed.of(design)
    return (Marginal if design.model.variances is None else Varying).of(design)


def _enough(marginal: Marginal) -> int:
    """Effective values of the hyperparameters to reach: the same on every machine.

    By what one costs, the size of a factor, and by how many hyperparameters there are: some of many lie near a
    boundary, whose shoulder few values do not find (130 for 26: one sd is 0.17 posterior sds off; 400: 0.04).
    """
    return int(np.clip(8e6 * marginal.size / max(marginal.field.symbolic.size, 1), 80, 1000))


@dataclass(frozen=True)
class Early:
    """Draws given values of the hyperparameters, made while these are weighed: the factor of each is there only then.

    Attributes
    ----------
    marginal : Marginal
    seed, n : int
        Number of draws to make of all.
    kept : Checkpoint, optional
        Where values of log p are kept. Draws at one that is known are made when they are taken.
    made : dict
        By number of the value: scores of the buurten, border, and factors of sampling variances; means before draws.
    later : dict
        By number of the value: how many draws are to be made of it.
    """

    marginal: Marginal
    seed: int
    n: int
    kept: Checkpoint | None = None
    made: dict[int, Drawn] = field(default_factory=dict)
    later: dict[int, int] = field(default_factory=dict)

    @cached_property
    def target(self) -> Marginal | Remembered:
        """What is weighed."""
        return self.marginal if self.kept is None else Remembered(self.marginal, self.kept)

    def look(self, k: int, xi: Floats, share: Share) -> float:
        """Return log p(xi | y) and keep as many draws as its weight may need, and some more."""
        posterior: Posterior | None = None

        def log_density() -> float:
            nonlocal posterior
            posterior = self.marginal.posterior(xi)
            return posterior.log_density

        value = self.target.value(xi, log_density) if isinstance(self.target, Remembered) else log_density()
        if (pairs := SPARE * self.n / 2 * share(value)) > RARE:
            count = 2 * int(np.ceil(pairs)) - 1
            if posterior is None:
                self.later[k] = count
            else:
                self.made[k] = self._early(posterior, k, count)
        return value

    def _early(self, posterior: Posterior, k: int, count: int) -> Drawn:
        scores, border, factor = self._drawn(posterior, [self.seed, 3, k], count)
        return scores.astype(np.float32), border, factor  # more than are needed, in half the memory

    def take(self, k: int, xi: Floats, count: int) -> tuple[Floats, Floats, Floats | None]:
        """Return so many draws given value k at xi: those that were kept, and what they lack."""
        if k in self.later:
            self.made[k] = self._early(self.marginal.posterior(xi), k, self.later.pop(k))
        if k in self.made:
            early, border, factor = self.made.pop(k)
            scores = early.astype(float)
        else:
            scores, border, factor = self._drawn(self.marginal.posterior(xi), [self.seed, 3, k], count - 1)
        if (lack := count - len(scores)) > 0:
            more = self._drawn(self.marginal.posterior(xi), [self.seed, 4, k], lack)
            scores, border = np.concatenate([scores, more[0][1:]]), np.concatenate([border, more[1][1:]])
        if not self.marginal.symmetric:
            return scores[:count], border[:count], factor
        scores, border = (balanced(v[0], v[1:count] - v[0]) for v in (scores, border))
        return scores, border, factor

    def _drawn(self, posterior: Posterior, stream: list[int], count: int) -> tuple[Floats, Floats, Floats | None]:
        scores, border = posterior.given.draw(np.random.default_rng(stream), count)
        # sites that are groups of buurten come after these
        return scores[:, : len(self.marginal.design.areas)], border, posterior.factor


def _draw(early: Early, weighed: Integration, each: Map, bar: Progress) -> Draws:
    """Draw scores, coefficients and offsets given the hyperparameters, in a random order."""
    marginal, seed, n = early.marginal, early.seed, early.n
    design = marginal.design
    rng, hyper = np.random.default_rng([seed, 2]), marginal.scores.hyper(weighed.xi)
    values = hyper.columns()
    values = values - weighed.weights @ values
    count = 2 * cube(weighed.weights, np.hstack([values, values**2]), n // 2, rng)
    used = np.flatnonzero(count)
    at = np.split(rng.permutation(n), np.cumsum(count[used])[:-1])
    mean, unit = design.coefficient_priors[0].reshape(len(design.coefficients), -1), design.coefficient_unit
    width, offsets = design.y.shape[-1], design.offsets
    eta = np.empty((n, len(design.areas), width))
    beta, alpha = np.empty((n, len(mean), width)), np.empty((n, len(offsets.each)))

    def one(k: int) -> Floats | None:
        place = at[k]
        eta[place], border, factor = early.take(int(used[k]), weighed.xi[used[k]], len(place))
        beta[place] = mean + unit[:, None] * border[:, : beta[0].size].reshape(len(place), *beta.shape[1:])
        start = marginal.field.x.shape[1] * width
        alpha[place] = offsets.mean + offsets.sd * border[:, start : start + len(offsets.each)]
        return factor

    factors: Floats | float = 0.0
    for k, factor in enumerate(bar.track(each(one, range(len(used))), "draws", len(used))):
        factors = factors + (0.0 if factor is None else count[used[k]] / n * factor)
    value = np.empty(n, dtype=np.int64)
    value[np.concatenate(at)] = np.repeat(used, count[used])
    raw: dict[str, Floats] = {"eta": eta, "beta": beta}
    if design.breaks:
        raw["break"] = alpha[:, len(design.links) :]
    if design.links:
        first = (slice(None), *design.link_place)
        raw["alpha"] = alpha[:, : len(design.links)]
        raw["lambda"], raw["tau"] = hyper.slope[value][first], hyper.extra[value][first]
    if hyper.kappa is not None:
        raw["kappa"] = hyper.kappa[value]
    if hyper.omega is not None:
        raw["omega"] = hyper.omega[value]
    if hyper.rho is not None:
        raw["overdispersion"] = hyper.rho[value]
    effective = weighed.effective if marginal.size else float(n)  # without hyperparameters the draws are exact
    certificate = Certificate(weighed.khat, len(weighed.weights), effective)
    shaped, of_effects = in_chains(raw), in_chains({name: v[value] for name, v in hyper.values.items()})
    if hyper.kappa is not None:
        shaped["factor"] = np.where(design.observed, factors, 1.0)[None, None]  # its posterior mean
    return labelled(design, shaped, of_effects, certificate=certificate)
