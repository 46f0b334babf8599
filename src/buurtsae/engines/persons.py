r"""Persons in the fast engine: areas eliminated first, then the dense block of what persons bring; Laplace's mode.

    y_c ~ p(y_c | q_c),  q_c = e_a + sum_k f_k[level of c],  f = R(sigma) alpha,  alpha ~ N(0, I),

e_a the predictor of the area. alpha has the place that offsets of sources have in `latent.conditional`: of the
quadratic sum_c l'_c x - w_c x^2 / 2 the field needs sums per area, per area and level, and per pair of levels, which
one loop over cells makes (`person_loops`) and R turns. Newton's method starts from the quadratic at one reference for
all hyperparameters, so that draws do not depend on the order of work. At the mode log p(y | theta) is Laplace's,
refined by the next order where pairs of cells within areas are few enough (`mode`). Of many areas the last step of
Newton's is not taken: along it log |precision| moves by t'step, t of the reference. Proposals are led by the quadratic
there: d log p / d log sigma_k = sum over k of E[alpha_j^2] - 1, by Fisher's identity.

Far out in the tail of a prior, where a half-Cauchy sigma is 1e8, nothing is left out: predictors of areas where all
answered alike then lie where l' is far below the rounding of 1, so l' and w are made without subtraction (`binomial`,
`ordinal`) and Newton's method ends there as elsewhere; and the terms of the next order, which would grow with sigma^2,
are held to a quarter of an effective parameter each (`mode.held`), so that such a value has the weight that its
likelihood gives it, which falls by log sigma for each area that has answers of both kinds.

References
----------
Rue, H., Martino, S. and Chopin, N. (2009). JRSS B 71. Shun, Z. and McCullagh, P. (1995). JRSS B 57.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from buurtsae.engines import person_loops as loops
from buurtsae.engines.hyper import NormalScores
from buurtsae.engines.marginal import Posterior, loose, structures
from buurtsae.engines.mode import held
from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Conditional, Loadings, Local, condition
from buurtsae.latent.field import Field, field
from buurtsae.model.design import Design
from buurtsae.model.persons.answer import Answering, Ladder
from buurtsae.model.persons.effect import Stacked
from buurtsae.model.priors import Prior
from buurtsae.sparse import Floats, Ints

NEAR = 2.0  # the largest change of a hyperparameter's normal score between references
STEPS, FARTHEST = 100, 5.0  # Newton steps at most; the largest change of a predictor in one
CLOSE, CLOSE_OF_MANY, MANY = 1e-7, 0.05, 2000  # the last change of predictors, of few areas and of many
PAIRS = 2e7  # pairs of levels of pairs of cells within areas up to which log p is refined
ROUNDS = 2  # references: at the prior's middle, then at the mode by that one
BENT = 0.3  # the same of cuts: farther off, a quadratic about the old ones may rise without end
DIFFERENCE = 1e-4  # of a normal score, for parameters of the outcome


@dataclass(frozen=True)
class Tables:
    """A log-likelihood about e (N,) and f (L,) to second order, in sums over cells.

    Attributes
    ----------
    e, f : ndarray
        Where it is expanded.
    value : float
    of_area, weights : ndarray, shape (N,)
        Sums of l' and of w = -l''.
    cross : ndarray, shape (N, L)
    of_level : ndarray, shape (L,)
    own : ndarray, shape (L, L)
    curvature, third, fourth : ndarray, shape (M,)
        Of cells: w, l''' and l''''.
    """

    e: Floats
    f: Floats
    value: float
    of_area: Floats
    weights: Floats
    cross: Floats
    of_level: Floats
    own: Floats
    curvature: Floats
    third: Floats
    fourth: Floats

    @cached_property
    def exact(self) -> bool:
        """Whether it is a quadratic, which is the same wherever it is expanded."""
        return not (self.third.any() or self.fourth.any())

    @cached_property
    def linear(self) -> tuple[Floats, Floats]:
        """Sums of l' + w q per area and per level."""
        b = self.of_area + self.weights * self.e + self.cross @ self.f
        return b, self.of_level + self.cross.T @ self.e + self.own @ self.f

    @cached_property
    def constant(self) -> float:
        """The quadratic at e = f = 0."""
        slope = float(self.of_area @ self.e + self.of_level @ self.f)
        through = float(self.weights @ self.e**2 + 2 * self.e @ (self.cross @ self.f) + self.f @ self.own @ self.f)
        return self.value - slope - 0.5 * through

    def local(self, r: sp.csr_array, tilt: tuple[Floats, Floats] | None = None) -> Local:
        """Return it as the field sees it, of f = R alpha; with what is added to l' per area and level."""
        b, h = self.linear if tilt is None else (part + more for part, more in zip(self.linear, tilt, strict=True))
        turned = np.asarray(r.T @ (r.T @ self.own).T)
        return Local(
            w=self.weights[:, None, None],
            b=b[:, None],
            cross=np.ascontiguousarray(r.T @ self.cross.T).T[:, None, :].copy(),
            own=0.5 * (turned + turned.T)[None],
            linear=np.asarray(r.T @ h)[None],
            constant=self.constant,
        )


@dataclass(frozen=True)
class PersonData:
    """Answers in cells, ready for the engine.

    Attributes
    ----------
    outcome : Answering
    area : ndarray of int, shape (M,)
        Ascending.
    index : ndarray of int, shape (M, T)
        Levels among all L.
    y, size : ndarray
    areas, levels : int
        N and L.
    """

    outcome: Answering
    area: Ints
    index: Ints
    y: Floats
    size: Floats
    areas: int
    levels: int

    @cached_property
    def constant(self) -> float:
        """What does not depend on parameters."""
        return self.outcome.constant(self.y, self.size)

    def value(self, e: Floats, f: Floats, psi: Floats, offset: Floats) -> float:
        """Return the log-likelihood."""
        q = loops.predictors(self.area, self.index, e + offset, f)
        return self.outcome.derivatives(q, self.y, self.size, psi)[0] + self.constant

    def tables(self, e: Floats, f: Floats, psi: Floats, offset: Floats) -> Tables:
        """Return the log-likelihood about e and f, to second order."""
        q = loops.predictors(self.area, self.index, e + offset, f)
        value, first, second, third, fourth = self.outcome.derivatives(q, self.y, self.size, psi)
        of_area, weights, cross, of_level, own = loops.accumulated(
            self.area, self.index, first, -second, self.areas, self.levels
        )
        total = value + self.constant
        return Tables(e, f, total, of_area, weights, cross, of_level, own, -second, third, fourth)


@dataclass(frozen=True)
class PersonHyper:
    """Values of the hyperparameters: what they do to the areas' field, sigma of person terms, and psi."""

    loadings: Loadings
    sigma: Floats
    psi: Floats
    r: sp.csr_array


@dataclass(frozen=True)
class Found:
    """The Laplace approximation given hyperparameters, as something that draws: about the mean to first order."""

    marginal: PersonMarginal
    hyper: PersonHyper
    tables: Tables
    conditional: Conditional
    ahead: float = 0.0  # what log p(y | theta) gains by the step that is left

    @property
    def log_likelihood(self) -> float:
        """Laplace's log p(y | theta)."""
        return self.conditional.log_likelihood + self.ahead

    @cached_property
    def covariances(self) -> tuple[Floats, Floats, Floats]:
        """Var(e) (N,), Cov(e, f) (N, L) and Cov(f) (L, L)."""
        q, r = self.conditional.scores, self.hyper.r
        own = np.asarray(r @ (r @ q.alpha_covariance).T)
        mixed = np.ascontiguousarray(np.asarray(r @ q.with_alpha[:, 0].T).T)
        return np.ascontiguousarray(q.covariance[:, 0, 0]), mixed, own

    @cached_property
    def spread(self) -> Floats:
        """Var(q) of the cells."""
        data = self.marginal.data
        return np.asarray(loops.variances(data.area, data.index, *self.covariances))

    @cached_property
    def tilt(self) -> tuple[Floats, Floats]:
        """Sums per area and level of t = Var(q) l''' / 2."""
        data = self.marginal.data
        t = 0.5 * self.spread * self.tables.third
        of_area, of_level = loops.summed(data.area, data.index, t, data.areas, data.levels)
        return np.asarray(of_area), np.asarray(of_level)

    @cached_property
    def corrected(self) -> Conditional:
        """The Gaussian about the posterior mean to first order."""
        if self.tables.exact:
            return self.conditional
        local = self.tables.local(self.hyper.r, self.marginal.tilt or self.tilt)  # of many areas, the reference's
        return condition(self.marginal.field, local, self.hyper.loadings)

    @property
    def refined(self) -> float:
        """Log p(y | theta) to the next order."""
        data, third = self.marginal.data, self.tables.third
        if self.tables.exact:
            return self.log_likelihood
        move_e = self.corrected.mean[:, 0] - self.conditional.mean[:, 0]
        move_f = self.hyper.r @ (self.corrected.alpha - self.conditional.alpha)
        moved = loops.predictors(data.area, data.index, move_e, move_f)
        together = loops.cubes(data.area, data.index, third, *self.covariances) / 12
        terms = self.tables.fourth * self.spread**2 / 8 + together + 0.25 * self.spread * third * moved
        return self.log_likelihood + float(held(terms, self.tables.curvature * self.spread).sum())

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """Return the mean, then n draws, of predictors of areas, (1 + n, N, 1), and of the border."""
        return self.corrected.draw(rng, n)


@dataclass(frozen=True)
class PersonMarginal:
    """The model of persons with areas and their levels integrated out.

    Attributes
    ----------
    scores : NormalScores
        Of the areas' terms.
    field : Field
    stacked : Stacked
    data : PersonData
    parameters : tuple of (name, size, Prior)
        Of the outcome.
    reference : Tables, optional
        From which Newton's method starts.
    tilt : (ndarray, shape (N,), ndarray, shape (L,)), optional
        t at the reference, of many areas.
    start : ndarray, shape (p,), optional
        About where the mode of the hyperparameters is.
    """

    scores: NormalScores
    field: Field
    stacked: Stacked
    data: PersonData
    parameters: tuple[tuple[str, int, Prior], ...]
    reference: Tables | None = None
    tilt: tuple[Floats, Floats] | None = None
    start: Floats | None = None

    exact_gradient = False
    symmetric = True

    @classmethod
    def of(cls, design: Design, stacked: Stacked, data: PersonData) -> PersonMarginal:
        """Return the marginal model, with its reference; the symbolic analysis is made here, once."""
        mean, sd = (part.reshape(len(design.coefficients)) for part in design.coefficient_priors)
        dense = [effect.sees.toarray() for effect in design.effects if effect.dense]
        latent = field(structures(design), design.x * sd, design.x @ mean, 1, loose(design), None, dense)
        marginal = cls(NormalScores.of(design), latent, stacked, data, data.outcome.parameters(data.y))
        xi = marginal.about()
        for last in range(ROUNDS):
            found = marginal.solve(xi)
            marginal = replace(marginal, reference=found.tables)
            xi = marginal.downhill(xi) if last < ROUNDS - 1 else xi
        return replace(marginal, tilt=found.tilt if data.areas >= MANY else None, start=xi)

    @property
    def design(self) -> Design:
        """The areas' part."""
        return self.scores.design

    @property
    def offset(self) -> Floats:
        """The prior mean of areas' predictors, (N,)."""
        return self.field.offset[:, 0]

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return self.scores.size + len(self.stacked.sigmas) + sum(n for _, n, _ in self.parameters)

    @property
    def vanishing(self) -> tuple[tuple[int, Ints], ...]:
        """Per term, its standard deviation and what has no effect without it, as elements of xi."""
        return self.scores.vanishing  # of persons' terms nothing else is silent without them

    @cached_property
    def bends(self) -> np.ndarray:
        """Which hyperparameters bend the likelihood of eta, as cuts do, (p,)."""
        cuts = sum(n for name, n, _ in self.parameters if name == "cuts.gap")
        return np.arange(self.size) >= self.size - cuts

    def about(self) -> Floats:
        """Return where to look first: 0, the medians of priors, and cuts as if all persons were alike."""
        xi = np.zeros(self.size)
        if isinstance(self.data.outcome, Ladder):
            prior, wanted = self.data.outcome.gap, self.data.outcome.alike(self.data.y)
            grid = np.linspace(-5, 5, 1001)
            xi[self.bends] = np.interp(wanted, prior.quantile(grid)[0], grid)
        return xi

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Where the quadratic at the reference may be used, of each hyperparameter."""
        xi = np.zeros(self.size) if self.start is None else self.start
        pairs = zip(xi, self.bends, strict=True)
        return [(score - BENT, score + BENT) if bent else (None, None) for score, bent in pairs]

    def own(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return sigma of person terms and psi at xi (..., size), joined, and their derivatives."""
        priors = [self.stacked.effects[k].prior for k in self.stacked.sigmas]
        priors += [prior for _, n, prior in self.parameters for _ in range(n)]
        at = np.asarray(xi, dtype=float)[..., self.scores.size :]
        pairs = [p.quantile(at[..., k]) for k, p in enumerate(priors) if p is not None]
        if not pairs:
            return at, at
        return np.stack([v for v, _ in pairs], axis=-1), np.stack([s for _, s in pairs], axis=-1)

    def hyper(self, xi: Floats) -> PersonHyper:
        """Return the hyperparameters at xi."""
        own, n = self.own(xi)[0], len(self.stacked.sigmas)
        area = self.scores.hyper(xi[: self.scores.size]).loadings(self.design)
        return PersonHyper(area, own[:n], own[n:], sp.csr_array(self.stacked.loading(list(own[:n]))))

    def solve(self, xi: Floats) -> Found:
        """Return the mode given hyperparameters, and the quadratic there.

        Raises
        ------
        ModelError
            If Newton's method does not converge.
        """
        data, offset, hyper = self.data, self.offset, self.hyper(xi)
        seen = np.bincount(data.area, minlength=data.areas) > 0
        close = CLOSE if self.tilt is None else CLOSE_OF_MANY
        e, alpha, rho = np.zeros(data.areas), np.zeros(hyper.r.shape[1]), np.zeros(data.areas)
        if self.reference is not None:  # rho = K^{-1} e is what the data say there, less what they would at e
            start = condition(self.field, self.reference.local(hyper.r), hyper.loadings)
            e, alpha = start.mean[:, 0] - offset, start.alpha
            rho = self.reference.linear[0] - self.reference.weights * e - self.reference.cross @ (hyper.r @ alpha)
        at = data.tables(e, hyper.r @ alpha, hyper.psi, offset)
        height = at.value - 0.5 * float(e @ rho + alpha @ alpha)
        for _ in range(STEPS):
            conditional = condition(self.field, at.local(hyper.r), hyper.loadings)
            step, turn = conditional.mean[:, 0] - offset - e, conditional.alpha - alpha
            of_f = hyper.r @ turn
            largest = float(np.abs(step[seen]).max(initial=0.0) + np.abs(of_f).max(initial=0.0))
            if at.exact or largest < close:
                ahead = 0.0 if self.tilt is None else float(self.tilt[0] @ step + self.tilt[1] @ of_f)
                return Found(self, hyper, at, conditional, ahead)
            change = at.of_area - at.weights * step - at.cross @ of_f - rho
            fraction = min(1.0, FARTHEST / largest)
            for _halving in range(20):
                e_there, alpha_there, rho_there = e + fraction * step, alpha + fraction * turn, rho + fraction * change
                trial = data.tables(e_there, hyper.r @ alpha_there, hyper.psi, offset)
                there = trial.value - 0.5 * float(e_there @ rho_there + alpha_there @ alpha_there)
                if there >= height - 1e-9 * abs(height):
                    break
                fraction *= 0.5
            e, alpha, rho, at, height = e_there, alpha_there, rho_there, trial, there
        raise ModelError(
            "the mode of the predictors was not found", f"a change of {largest:.2g} after {STEPS} steps",
            f"below {close}", "look for answers that are impossible",
        )  # fmt: skip

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y), and what draws given xi."""
        found = self.solve(xi)
        value = found.refined if self.refines else found.log_likelihood
        return Posterior(value - 0.5 * float(xi @ xi), found)

    @cached_property
    def refines(self) -> bool:
        """Whether pairs of cells within areas are few enough."""
        cells = np.bincount(self.data.area, minlength=1).astype(float)
        return bool((cells**2).sum() * max(self.data.index.shape[1], 1) ** 2 <= PAIRS)

    def log_posterior(self, xi: Floats) -> float:
        """Return log p(xi | y) up to a constant."""
        return self.posterior(xi).log_density

    def with_gradient(self, xi: Floats, tilt: tuple[Floats, Floats] | None = None) -> tuple[float, Floats]:
        """Return log p(xi | y) by the quadratic at the reference, and its gradient; with what is added to l' there."""
        hyper, (_, slope) = self.hyper(xi), self.own(xi)
        conditional = self._quadratic(hyper, tilt)
        value, n, k = conditional.log_likelihood, self.scores.size, len(hyper.sigma)
        gradient = -np.asarray(xi, dtype=float)
        by_loading = conditional.gradient
        for jacobian, part in zip(self.scores.jacobian(xi[:n]), by_loading.parts, strict=False):
            gradient[:n] += np.tensordot(jacobian, part, axes=part.ndim)
        alpha, covariance = conditional.alpha, conditional.moments.alpha_alpha
        excess = alpha**2 + np.diag(covariance) - 1
        columns = self.stacked.columns
        of_sigma = np.array([excess[columns[term]].sum() for term in self.stacked.sigmas])
        gradient[n : n + k] += of_sigma * slope[:k] / hyper.sigma
        for q in range(len(hyper.psi)):
            moved = np.array(xi, dtype=float)
            moved[n + k + q] += DIFFERENCE
            gradient[n + k + q] += (self._quadratic(self.hyper(moved), tilt).log_likelihood - value) / DIFFERENCE
        return value - 0.5 * float(xi @ xi), gradient

    def gradient(self, xi: Floats, found: Found) -> Floats:
        """Return the gradient of Laplace's log p(xi | y), of what was found there.

        W moves with the mode: t'E[q] is the exact central difference in l' of what `with_gradient` differentiates.
        """
        here = replace(self, reference=found.tables)
        slope = here.with_gradient(xi)[1]
        if found.tables.exact:
            return slope
        up, down = (here.with_gradient(xi, (s * found.tilt[0], s * found.tilt[1]))[1] for s in (1.0, -1.0))
        return slope + 0.5 * (up - down)

    def _quadratic(self, hyper: PersonHyper, tilt: tuple[Floats, Floats] | None = None) -> Conditional:
        """The field given hyperparameters and the quadratic at the reference, of these psi."""
        assert self.reference is not None  # `of` makes it
        at = self.reference
        if len(hyper.psi):
            at = self.data.tables(at.e, at.f, hyper.psi, self.offset)
        return condition(self.field, at.local(hyper.r, tilt), hyper.loadings)

    def downhill(self, xi: Floats) -> Floats:
        """Return the mode of hyperparameters by the quadratic at the reference."""
        from scipy.optimize import minimize

        def negative(at: Floats) -> tuple[float, Floats]:
            value, gradient = self.with_gradient(at)
            return -value, -gradient

        if not self.size:
            return xi
        options = {"maxiter": 30, "gtol": 0.1}  # a reference need not be at the mode
        off = np.where(self.bends, BENT, NEAR)
        near = list(zip(xi - off, xi + off, strict=True))  # where the quadratic at the reference holds
        return np.asarray(minimize(negative, xi, jac=True, method="L-BFGS-B", bounds=near, options=options).x)
