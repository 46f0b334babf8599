r"""Hyperparameters as standard normal scores: xi ~ N(0, I) a priori, whatever the priors are.

Each scalar is F^{-1}(Phi(xi)) with F its prior distribution: what the data say nothing about stays exactly normal in
xi, a standard deviation or share that the data push to its boundary has a normal tail there, and a prior needs its
quantile function only.

    sigma_d = sigma exp(spread z_d),  sigma exponential (PC);  phi_d beta;  log lambda normal;  tau exponential;
    R = L L', row i of L:  L_ij = p_ij sqrt(1 - sum_{q<j} L_iq^2),  L_ii = sqrt(1 - sum_{q<i} L_iq^2),

with canonical partial correlations (p_ij + 1) / 2 ~ Beta(k, k), k = eta + (D - 2 - j) / 2, j = 0..i-1: R ~ LKJ(eta).

References
----------
Lewandowski, D., Kurowicka, D. and Joe, H. (2009). J. Multivariate Analysis 100 (C-vine).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from buurtsae.draws import Draws
from buurtsae.latent.conditional import Loadings
from buurtsae.model.design import Bym2Block, Design
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class Scalar:
    """One array of independent hyperparameters with its prior.

    Attributes
    ----------
    name : str
    size : int
    quantile : callable
        F^{-1}(Phi(xi)) of xi, shape (..., size), and its derivative.
    """

    name: str
    size: int
    quantile: Callable[[Floats], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Hyper:
    """Values of all hyperparameters; a leading dimension, where there is one, is that of draws.

    Attributes
    ----------
    sigma : ndarray, shape (n_blocks, D)
    phi : ndarray, shape (D,)
    roots : mapping of name to ndarray, shape (D, D)
        Lower triangular L with L L' = R, the correlation matrices.
    slope, extra : ndarray, shape (S, D)
        lambda and tau; 1 and 0 for references.
    kappa : ndarray, shape (S, D), optional
        Of variances that are modelled; 0 where a source does not inform a sub-dimension.
    """

    sigma: Floats
    phi: Floats
    roots: Mapping[str, Floats]
    slope: Floats
    extra: Floats
    kappa: Floats | None = None

    @classmethod
    def means(cls, draws: Draws, design: Design) -> Hyper:
        """Return the posterior means of a fit with this design."""
        return cls._of({name: values.mean(axis=(0, 1)) for name, (_, values) in draws.hyper.items()}, design)

    @classmethod
    def drawn(cls, draws: Draws, design: Design, k: int) -> Hyper:
        """Return draw k, chains joined, of a fit with this design."""
        own = {name: values.reshape(-1, *values.shape[2:])[k] for name, (_, values) in draws.hyper.items()}
        return cls._of(own, design)

    @classmethod
    def _of(cls, value: Mapping[str, Floats], design: Design) -> Hyper:
        d = len(design.subdimensions)
        slope, extra = np.ones(design.linked.shape), np.zeros(design.linked.shape)
        if design.linked.any():
            slope[design.linked], extra[design.linked] = value["lambda"], value["tau"]
        matrices = [name for block in design.blocks for name in block.term.matrices]
        return cls(
            np.array([value[name] for name in sigma_names(design)]).reshape(-1, d),
            value.get("phi", np.zeros(d)),
            {name: np.asarray(np.linalg.cholesky(value.get(name, np.eye(d)))) for name in matrices},
            slope,
            extra,
        )

    def select(self, sources: Sequence[int], kept: Sequence[int]) -> Hyper:
        """Return what belongs to some of the sources and sub-dimensions."""
        part, square = np.ix_(sources, kept), np.ix_(kept, kept)
        roots = {n: np.asarray(np.linalg.cholesky((r @ r.T)[square])) for n, r in self.roots.items()}
        return Hyper(self.sigma[:, kept], self.phi[kept], roots, self.slope[part], self.extra[part])

    def columns(self) -> Floats:
        """Return draws as a table (draws, q): correlations in the place of roots, nothing twice, no constants."""
        draws, (row, column) = len(self.sigma), np.tril_indices(self.phi.shape[-1], -1)
        parts = [self.sigma, self.phi, self.slope, self.extra, *([] if self.kappa is None else [self.kappa])]
        parts += [(root @ root.swapaxes(1, 2))[:, row, column] for root in self.roots.values()]
        table = np.hstack([part.reshape(draws, -1) for part in parts])
        return table[:, np.ptp(table, axis=0) > 0]

    def loadings(self, design: Design) -> Loadings:
        """Return what they do to the field: C_t per term, and C_v.

        v is integrated out inside each buurt, unless a site sees several buurten: then it is a term like the others.
        """
        d = len(design.subdimensions)
        lead = self.sigma.shape[:-2]
        terms, loose = [], np.zeros((*lead, d, d), dtype=self.sigma.dtype)
        for b, block in enumerate(design.blocks):
            root, sigma = self.roots[block.term.matrices[0]], self.sigma[..., b, :]
            if isinstance(block, Bym2Block):
                of_v = self.roots[block.term.matrices[-1]]
                loose = (sigma * np.sqrt(1 - self.phi))[..., None] * of_v
                sigma = sigma * np.sqrt(self.phi)
            terms.append(sigma[..., None] * root)
        if grouped(design):
            terms, loose = [*terms, loose], np.zeros_like(loose)
        return Loadings(np.stack(terms, axis=-3) if terms else np.zeros((*lead, 0, d, d)), loose)


def grouped(design: Design) -> bool:
    """Return whether unstructured effects of several buurten are seen together."""
    return design.sites.shape[0] > len(design.areas) and any(isinstance(b, Bym2Block) for b in design.blocks)


def sigma_names(design: Design) -> list[str]:
    """Return the names of the standard deviations of the blocks."""
    return ["sigma" if isinstance(b, Bym2Block) else f"sigma_{b.term.group}" for b in design.blocks]


@dataclass(frozen=True)
class Scale:
    """The map from xi to hyperparameters of a design.

    Attributes
    ----------
    design : Design
    scalars : tuple of Scalar
    """

    design: Design
    scalars: tuple[Scalar, ...]

    @classmethod
    def of(cls, design: Design) -> Scale:
        """Return the map with the priors of the design's model."""
        d = len(design.subdimensions)
        scalars: list[Scalar] = []
        for b, block in enumerate(design.blocks):
            term = block.term
            scalars.append(Scalar(f"sd {b}", 1, exponential(np.array([term.sd.rate]))))
            if d > 1 and term.spread > 0:
                scalars.append(Scalar(f"z {b}", d, normal(np.zeros(d), np.full(d, term.spread))))
            if isinstance(block, Bym2Block):
                scalars.append(Scalar("phi", d, beta(np.full(d, block.term.mixing.a), np.full(d, block.term.mixing.b))))
            column = np.tril_indices(d, -1)[1]
            for name in term.matrices if d > 1 else ():
                shape = term.correlation.eta + (d - 2 - column) / 2
                scalars.append(Scalar(name, len(column), correlation(shape)))
        links = [link for *_, link in design.links]
        if links:
            mean, sd = np.array([p.slope.mean for p in links]), np.array([p.slope.sd for p in links])
            scalars.append(Scalar("log lambda", len(links), normal(mean, sd)))
            scalars.append(Scalar("tau", len(links), exponential(np.array([p.extra.rate for p in links]))))
        if (prior := design.model.variances) is not None:
            size = int(design.observed.any(axis=1).sum())
            scalars.append(Scalar("kappa", size, exponential(np.full(size, prior.rate))))
        return cls(design, tuple(scalars))

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return sum(s.size for s in self.scalars)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each element of xi."""
        return tuple(f"{s.name}[{k}]" if s.size > 1 else s.name for s in self.scalars for k in range(s.size))

    @property
    def vanishing(self) -> tuple[tuple[int, Ints], ...]:
        """Per term, its standard deviation and what has no effect without it, as elements of xi."""
        ends = np.cumsum([s.size for s in self.scalars])
        place = {s.name: np.arange(end - s.size, end) for s, end in zip(self.scalars, ends, strict=True)}
        found = []
        for b, block in enumerate(self.design.blocks):
            own = [f"z {b}", *(["phi"] if isinstance(block, Bym2Block) else []), *block.term.matrices]
            silent = [place[name] for name in own if name in place]
            found.append((int(place[f"sd {b}"][0]), np.concatenate([np.zeros(0, np.int64), *silent])))
        return tuple(found)

    def scalar_values(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the scalars at xi (..., size), joined, and the derivative of each with respect to its own xi."""
        values, slopes, start = [], [], 0
        for s in self.scalars:
            value, slope = s.quantile(xi[..., start : start + s.size])
            values.append(value)
            slopes.append(slope)
            start += s.size
        if not values:
            return np.zeros(xi.shape), np.zeros(xi.shape)
        return np.concatenate(values, axis=-1), np.concatenate(slopes, axis=-1)

    def hyper(self, xi: Floats) -> Hyper:
        """Return the hyperparameters at xi, shape (..., size)."""
        return self.assemble(self.scalar_values(np.asarray(xi, dtype=float))[0])

    def assemble(self, values: Any) -> Hyper:
        """Return the hyperparameters from their scalars, real or complex, shape (..., size)."""
        d, lead = len(self.design.subdimensions), values.shape[:-1]
        part, start = {}, 0
        for s in self.scalars:
            part[s.name] = values[..., start : start + s.size]
            start += s.size
        sigma = [part[f"sd {b}"] * np.exp(part.get(f"z {b}", np.zeros(d))) for b in range(len(self.design.blocks))]
        names = [name for block in self.design.blocks for name in block.term.matrices]
        one = np.ones((*lead, d, d))
        slope = np.ones((*lead, *self.design.linked.shape), dtype=values.dtype)
        extra = np.zeros_like(slope)
        if "tau" in part:
            slope[..., self.design.linked], extra[..., self.design.linked] = np.exp(part["log lambda"]), part["tau"]
        kappa = None
        if "kappa" in part:
            kappa = np.zeros((*lead, *self.design.linked.shape), dtype=values.dtype)
            kappa[..., self.design.observed.any(axis=1)] = part["kappa"]
        return Hyper(
            np.stack(sigma, axis=-2) if sigma else np.zeros((*lead, 0, d)),
            part.get("phi", np.zeros((*lead, d))),
            {name: root_of(part[name], d) if name in part else one for name in names},
            slope,
            extra,
            kappa,
        )

    def jacobian(self, xi: Floats) -> tuple[Floats, ...]:
        """Return derivatives of C_t, C_v, lambda, tau and, where there is one, kappa by xi; elements of xi first.

        By complex steps through the algebra, exact to rounding, and the priors' densities.
        """
        values, slopes = self.scalar_values(xi)
        step = 1e-30
        hyper = self.assemble(values + step * 1j * np.eye(self.size))
        loadings = hyper.loadings(self.design)
        parts = [loadings.terms, loadings.loose, hyper.slope, hyper.extra]
        parts += [] if hyper.kappa is None else [hyper.kappa]
        return tuple(slopes.reshape(-1, *[1] * (p.ndim - 1)) * np.imag(p) / step for p in parts)


def root_of(partial: Any, d: int) -> Any:
    """Return L of correlation matrices from canonical partial correlations (..., D (D - 1) / 2), row by row."""
    root = np.zeros((*partial.shape[:-1], d, d), dtype=partial.dtype)
    k = 0
    for i in range(d):
        left = np.ones(partial.shape[:-1], dtype=partial.dtype)
        for j in range(i):
            root[..., i, j] = partial[..., k] * np.sqrt(left)
            left = left * (1 - partial[..., k] ** 2)
            k += 1
        root[..., i, i] = np.sqrt(left)
    return root


def _density(xi: Floats) -> Floats:
    return np.exp(-0.5 * xi**2) / np.sqrt(2 * np.pi)


def exponential(rate: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Quantiles of an exponential prior, such as the PC prior of a standard deviation."""

    def quantile(xi: Floats) -> tuple[Floats, Floats]:
        log_tail = special.log_ndtr(-xi)
        return -log_tail / rate, np.exp(-0.5 * xi**2 - log_tail) / np.sqrt(2 * np.pi) / rate

    return quantile


def normal(mean: Floats, sd: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Quantiles of a normal prior."""
    return lambda xi: (mean + sd * xi, np.broadcast_to(sd, xi.shape))


def beta(a: Floats, b: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Quantiles of a beta prior."""

    def quantile(xi: Floats) -> tuple[Floats, Floats]:
        p = np.clip(special.betaincinv(a, b, special.ndtr(xi)), 1e-12, 1 - 1e-12)
        log_density = (a - 1) * np.log(p) + (b - 1) * np.log1p(-p) - special.betaln(a, b)
        return p, _density(xi) / np.exp(log_density)

    return quantile


def correlation(shape: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Quantiles of 2 Beta(k, k) - 1."""
    inner = beta(shape, shape)

    def quantile(xi: Floats) -> tuple[Floats, Floats]:
        p, slope = inner(xi)
        return 2 * p - 1, 2 * slope

    return quantile
