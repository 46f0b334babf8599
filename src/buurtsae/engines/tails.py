r"""Unstructured effects with heavy tails in the fast engine: Student's t, as a scale mixture of normals.

    v_a = sqrt(w_a) z_a,  z_a ~ N(0, S_a),  1 / w_a ~ Gamma(nu / 2, nu / 2):  multivariate t with nu degrees of freedom.

Given w the observations of a site are Gaussian in q = (m, alpha), the predictor without v and the offsets of sources:

    l_k(q) = -q' P_k q / 2 + t_k' q + c_k  at w_k,      l(q) = log sum_k omega_k exp l_k(q),

with nodes w_k and weights omega_k of a quadrature in the normal score of w. The field of all m, which many sites
inform, is integrated out by Laplace's approximation at its mode (`mode`), which is what is not exact; given a draw of
q, w and v are drawn exactly.

References
----------
Lange, K., Little, R. and Taylor, J. (1989). Robust statistical modeling using the t distribution. JASA 84.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import gammaincinv, log_softmax, logsumexp, ndtr

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.engines.mode import Expansion, Mode, mode
from buurtsae.engines.variances import semidefinite
from buurtsae.latent.conditional import Conditional, Loadings, Local
from buurtsae.latent.loose import SAME
from buurtsae.model.design import Design
from buurtsae.sparse import Floats

NODES = 15
FREEDOM = 1.0, 1e4  # fewer degrees of freedom have no mean; more are normal


def mixing(tail: float) -> tuple[Floats, Floats]:
    """Return w_k and log omega_k, of 1 / nu."""
    x, weight = hermegauss(NODES)
    half = 0.5 * float(np.clip(1 / max(tail, 1e-9), *FREEDOM))
    return half / gammaincinv(half, ndtr(-x)), np.log(weight / weight.sum())


@dataclass(frozen=True)
class Heavy:
    """Direct estimates seen through unstructured effects with heavy tails, at given hyperparameters.

    Attributes
    ----------
    seen : Local
        What the direct estimates say about scores and offsets.
    normal, heavy : ndarray, shape (K, D, D)
        Covariances of unstructured effects: of those that are normal, and of z.
    tail : float
        1 / nu.
    offset : ndarray, shape (K, D)
    """

    seen: Local
    normal: Floats
    heavy: Floats
    tail: float
    offset: Floats

    farthest = 5.0
    close = 1e-4  # where outliers make the curvature negative steps are shorter than Newton's, and end slowly

    @property
    def start(self) -> tuple[Floats, Floats]:
        """The prior mean, and no latent variables."""
        sites, width = self.seen.b.shape
        return np.zeros((sites, width + self.seen.cross.shape[2])), np.zeros((sites, 0))

    @cached_property
    def nodes(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Per node w_k: P_k (k, K, D + L, D + L), t_k (k, K, D + L), c_k (k, K), N_k and the covariance of v."""
        local, (mix, log_weight) = self.seen, mixing(self.tail)
        covariance = self.normal + mix[:, None, None, None] * self.heavy
        inside = np.eye(local.b.shape[1]) + local.w @ covariance
        shrink = np.linalg.inv(inside)  # N = (I + W S)^{-1}; K = S N is what is left of v
        left = covariance @ shrink
        cross, known = shrink @ local.cross, (left @ local.b[..., None])[..., 0]
        across = local.cross.swapaxes(1, 2)
        own = local.own - across @ left @ local.cross
        precision = np.block([[shrink @ local.w, cross], [cross.swapaxes(-1, -2), own]])
        linear = np.concatenate(
            [(shrink @ local.b[..., None])[..., 0], local.linear - (across @ known[..., None])[..., 0]], axis=-1
        )
        constant = 0.5 * ((local.b * known).sum(axis=-1) - np.linalg.slogdet(inside)[1]) + log_weight[:, None]
        return precision, linear, np.asarray(constant), np.asarray(shrink), np.asarray(covariance)

    def by_node(self, q: Floats) -> tuple[Floats, Floats]:
        """Return log omega_k + l_k at q, (k, K), and its derivatives by q."""
        precision, linear, constant, *_ = self.nodes
        turned = np.einsum("knij,nj->kni", precision, q)
        return constant + ((linear - 0.5 * turned) * q).sum(axis=-1), linear - turned

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-likelihood about q, shape (K, D + L)."""
        each, slope = self.by_node(q)
        share = np.exp(log_softmax(each, axis=0))
        first = np.einsum("kn,kni->ni", share, slope)
        whole = np.einsum("kn,knij->nij", share, self.nodes[0])
        between = np.einsum("kn,kni,knj->nij", share, slope - first, slope - first)
        value = self.seen.constant + float(logsumexp(each, axis=0).sum())
        return Expansion(value, first, semidefinite(whole - between, whole), h, np.zeros((*h.shape, q.shape[1])), h)

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return a quadratic in q as the field sees it."""
        d = self.seen.b.shape[1]
        return Local(second[:, :d, :d], linear[:, :d], second[:, :d, d:], second[:, d:, d:], linear[:, d:], 0.0)

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior mean of q."""
        alpha = np.broadcast_to(conditional.alpha, (len(self.offset), len(conditional.alpha)))
        return np.concatenate([conditional.mean - self.offset, alpha], axis=1)

    def draw(self, m: Floats, alpha: Floats, rng: np.random.Generator) -> Floats:
        """Return scores e = m + v, (K, D), given m, (K, D) less the offset, and alpha, (L,): v exactly."""
        *_, shrink, covariance = self.nodes
        each, _ = self.by_node(np.concatenate([m, np.broadcast_to(alpha, (len(m), len(alpha)))], axis=1))
        chosen = (each + rng.gumbel(size=each.shape)).argmax(axis=0), np.arange(len(m))
        left = covariance[chosen] @ shrink[chosen]
        toward = self.seen.b - np.einsum("nde,ne->nd", self.seen.w, m) - self.seen.cross @ alpha
        values, vectors = np.linalg.eigh(0.5 * (left + left.swapaxes(1, 2)))
        noise = np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(m.shape)
        v = np.einsum("nde,ne->nd", left, toward) + np.einsum("nde,ne->nd", vectors, noise)
        return np.asarray(self.offset + m + v)


@dataclass(frozen=True)
class Drawing:
    """The posterior given hyperparameters: m and offsets by Laplace's approximation, v given these exactly."""

    at: Mode
    likelihood: Heavy

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        """Return 1 + n draws of scores and of the border: of scores no mean is known, whose place the first takes."""
        field, scores, offset = self.at.conditional.field, list[Floats](), self.likelihood.offset
        m, border = (part[1:] for part in self.at.conditional.draw(rng, n + 1))  # after their mean, which is no draw
        start = field.x.shape[1] * field.width
        alpha = border[:, start : start + self.likelihood.seen.cross.shape[2]]
        for one, of_source in zip(m, alpha, strict=True):
            scores.append(self.likelihood.draw(one - offset, of_source, rng))
        return np.array(scores), border


@dataclass(frozen=True)
class Tailed(Marginal):
    """The model of a design with one unstructured effect that has heavy tails."""

    exact_gradient = False
    symmetric = False

    @classmethod
    def of(cls, design: Design) -> Tailed:
        """Return the marginal model; unstructured effects are in the likelihood, not in the field."""
        plain = Marginal.of(design)
        return cls(plain.scores, plain.field, plain.observations)

    def likelihood(self, hyper: Hyper) -> tuple[Heavy, Loadings]:
        """Return what is observed of the field without unstructured effects, and the loadings of that."""
        design, loadings, loose = self.design, hyper.loadings(self.design), self.field.loose
        normal = np.zeros((len(design.areas), *[len(design.columns)] * 2))
        heavy, tail, at = normal, 0.0, 0
        if loose.known is not None:
            normal = normal + loose.known
        factors = loose.factors(loadings.loose, loadings.scaling)
        for effect in design.effects:
            if effect.loose is None:
                continue
            root = loadings.loose[at] * factors[at][:, :, None]
            covariance, at = root @ root.swapaxes(1, 2), at + 1
            if effect.tail is None:
                normal = normal + covariance
            else:
                heavy = np.broadcast_to(covariance, normal.shape)
                tail = float(effect.tail(_of_effect(hyper, effect.name)).ravel()[0])
        local = self.observations.local(hyper.slope, hyper.extra, hyper.factor)
        bare = replace(loadings, loose=loadings.loose[:0], scaling=())
        return Heavy(local, normal, heavy, tail, self.field.offset), bare

    def solve(self, hyper: Hyper) -> tuple[Mode, Heavy]:
        """Return the mode of the field without unstructured effects, and what is observed of it."""
        likelihood, loadings = self.likelihood(hyper)
        return mode(replace(self.field, loose=SAME), likelihood, loadings), likelihood

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y) and what follows from xi."""
        at, likelihood = self.solve(self.scores.hyper(xi))
        return Posterior(at.log_likelihood - 0.5 * float(xi @ xi), Drawing(at, likelihood))

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient at a fixed mode.

        By differences of what is observed, which is local, and exactly through the loadings of the field.
        """
        at, likelihood = self.solve(self.scores.hyper(xi))
        q, step, fixed = likelihood.predictions(at.conditional), 1e-5, at.conditional.gradient
        jacobian, moments, sites = self.scores.jacobian(xi), at.conditional.scores, len(at.conditional.mean)
        across = moments.with_alpha.swapaxes(1, 2)
        alone = np.broadcast_to(moments.alpha_covariance, (sites, *moments.alpha_covariance.shape))
        covariance = np.block([[moments.covariance, moments.with_alpha], [across, alone]])
        gradient = np.tensordot(jacobian[0], fixed.terms, axes=3)
        strengths = jacobian[len(fixed.parts) - len(fixed.strengths) : len(fixed.parts)]  # the last of the loadings
        for of_xi, part in zip(strengths, fixed.strengths, strict=True):
            gradient = gradient + np.tensordot(of_xi, part, axes=part.ndim)

        def at_the_mode(there: Floats) -> float:
            seen = self.likelihood(self.scores.hyper(there))[0].expand(q, at.h)
            return seen.value - 0.5 * float((covariance * seen.second).sum())

        for k, unit in enumerate(step * np.eye(len(xi))):
            gradient[k] += (at_the_mode(xi + unit) - at_the_mode(xi - unit)) / (2 * step)
        return at.log_likelihood - 0.5 * float(xi @ xi), np.asarray(gradient - xi)


def _of_effect(hyper: Hyper, name: str) -> dict[str, Floats]:
    """The parameters of one effect."""
    return {key.removeprefix(f"{name}."): value for key, value in hyper.values.items() if key.startswith(f"{name}.")}
