r"""The marginal likelihood of a design in its hyperparameters, and its gradient.

    log p(xi | y) = log p(y | theta(xi)) - |xi|^2 / 2 + constant,

exact for Gaussian observations: the field, its coefficients and the offsets of sources are integrated out (`gmrf`),
what hyperparameters do is in `hyper`, what the direct estimates say in `observations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from buurtsae.engines.hyper import Hyper, NormalScores
from buurtsae.engines.observations import Observations
from buurtsae.errors import ModelError, shown
from buurtsae.latent.conditional import Conditional, condition
from buurtsae.latent.field import Field, field
from buurtsae.latent.loose import Loose
from buurtsae.latent.structure import Structure
from buurtsae.model.design import Design
from buurtsae.sparse import Floats, Ints


class Drawable(Protocol):
    """What scores and border are drawn from."""

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """Return the mean, then n draws, of scores and border."""


@dataclass(frozen=True)
class Posterior:
    """What the data say at one value of the hyperparameters.

    Attributes
    ----------
    log_density : float
        log p(xi | y) up to a constant.
    given : Drawable
        The field given xi.
    factor : ndarray, shape (S, K, D), optional
        Posterior means of the factors of the sampling variances, where they are modelled.
    """

    log_density: float
    given: Drawable
    factor: Floats | None = None


@dataclass(frozen=True)
class Marginal:
    """The model of a design with the field integrated out.

    Attributes
    ----------
    scores : NormalScores
        From xi to hyperparameters.
    field : Field
    observations : Observations
    """

    scores: NormalScores
    field: Field
    observations: Observations

    exact_gradient = True
    counts = False
    symmetric = True  # given hyperparameters: draws may be mirrored in the mean

    @classmethod
    def of(cls, design: Design) -> Marginal:
        """Return the marginal model of a design; the symbolic analysis is made here, once.

        Raises
        ------
        ModelError
            Of counts and horseshoes, which are not Gaussian, whatever it is wanted for.
        """
        if (design.size is not None) > cls.counts:
            hint = "what leaves data out or adds some (left_out, contributions) is not for counts"
            outcome = type(design.model.outcome).__name__
            raise ModelError("the outcome is not Gaussian", outcome, "direct estimates with variances", hint)
        if local := [effect.name for effect in design.effects if effect.local is not None]:
            what, hint = "a horseshoe is not Gaussian given its hyperparameters", "use Ridge for what follows a fit"
            raise ModelError(what, shown(local), "terms that are", hint)
        mean, sd = design.coefficient_priors
        unit = design.coefficient_unit
        x, offset = design.sites @ (design.x * unit), design.sites @ (design.x @ mean)
        if any(effect.formula for effect in design.effects):  # these are its coefficients, in the same place
            x, sd = x[:, :0], unit
        ratio = None if sd.ndim == 1 else sd / unit[:, None]
        groups = [design.sites @ effect.sees.toarray() for effect in design.effects if effect.dense]
        sites = design.sites if design.grouped else None
        width = design.y.shape[-1]
        latent = field(structures(design), x, offset, width, loose(design), sites, groups, ratio)
        return cls(NormalScores.of(design), latent, Observations(design.gaussian, latent.offset))

    @property
    def design(self) -> Design:
        """The design."""
        return self.scores.design

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return self.scores.size

    @property
    def steep(self) -> bool:
        """Whether a gradient takes long and scales differ much: of several years changes are known far better."""
        return self.design.periods > 1

    @property
    def vanishing(self) -> tuple[tuple[int, Ints], ...]:
        """Per term, its standard deviation and what has no effect without it, as elements of xi."""
        return self.scores.vanishing

    def conditional(self, hyper: Hyper, factor: Floats | float = 1.0) -> Conditional:
        """Return the posterior of the field given hyperparameters, and factors of the sampling variances."""
        local = self.observations.local(hyper.slope, hyper.extra, factor)
        return condition(self.field, local, hyper.loadings(self.design))

    def at(self, xi: Floats) -> Conditional:
        """Return the posterior of the field given xi."""
        hyper = self.scores.hyper(xi)
        return self.conditional(hyper, hyper.factor)

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y) and what follows from xi."""
        conditional = self.at(xi)
        return Posterior(conditional.log_likelihood - 0.5 * float(xi @ xi), conditional)

    def log_posterior(self, xi: Floats) -> float:
        """Return log p(xi | y) up to a constant."""
        return self.posterior(xi).log_density

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient."""
        hyper = self.scores.hyper(xi)
        conditional = self.conditional(hyper, hyper.factor)
        by_loading = conditional.gradient
        by_slope, by_extra, by_factor = self.observations.gradient(conditional, hyper.slope, hyper.extra, hyper.factor)
        parts = (*by_loading.parts, by_slope, by_extra, *([] if hyper.omega is None else [by_factor]))
        return conditional.log_likelihood - 0.5 * float(xi @ xi), self.chained(xi, parts)

    def chained(self, xi: Floats, parts: Sequence[Floats]) -> Floats:
        """Return the gradient of log p(xi | y) from derivatives by what `NormalScores.jacobian` differentiates."""
        total = -xi
        for jacobian, part in zip(self.scores.jacobian(xi), parts, strict=True):
            total = total + np.tensordot(jacobian, part, axes=part.ndim)
        return np.asarray(total)


def structures(design: Design) -> list[tuple[Structure, sp.csr_array]]:
    """Return the structures of the effects with what sites see, but for themes, which are in the border."""
    return [(f.structure, sp.csr_array(design.sites @ f.sees)) for e in design.effects for f in e.layers]


def loose(design: Design) -> Loose:
    """Return what the unstructured effects of a design depend on besides parameters."""
    none = np.zeros((len(design.areas), 0))
    parts = [effect.dispersion for effect in design.effects if effect.loose is not None]
    return Loose(tuple(none if part is None else part for part in parts), design.known)
