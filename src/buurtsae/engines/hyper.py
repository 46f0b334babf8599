r"""Hyperparameters of a design: from normal scores to parameters, and from these to what they do to the field.

xi ~ N(0, I) a priori; each number is F^{-1}(Phi(xi)) with F its prior distribution (`model.priors`), and parameters are
made of numbers (`model.parameters`): those of effects per year, and of links lambda, tau and, where sampling variances
are modelled, kappa. V that is pooled with few degrees of freedom f has a factor omega in common, f / omega ~ chi^2_f of
which the logarithm is taken as normal, with its mean log(f / 2) - psi(f / 2) and variance psi'(f / 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, polygamma

from buurtsae.draws import Draws
from buurtsae.latent.conditional import Loadings
from buurtsae.model.design import Design
from buurtsae.model.priors import LogNormal, Prior, stacked
from buurtsae.model.terms.base import Effect
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class Hyper:
    """Values of all hyperparameters; a leading dimension, where there is one, is that of draws.

    Attributes
    ----------
    values : mapping of name to ndarray, shape (T, D) or (T, D, D)
        `effect.parameter` of each effect; of a correlation matrix its root L.
    slope, extra : ndarray, shape (S, W)
        lambda and tau per source and column; 1 and 0 for references.
    kappa : ndarray, shape (S, W), optional
        Of variances that are modelled; 0 where a source does not inform a column.
    omega : ndarray, shape (S, W), optional
        Factors of sampling variances that rest on few degrees of freedom; 1 for others.
    rho : ndarray, shape (W,), optional
        Overdispersion of counts; 0 for columns without.
    """

    values: Mapping[str, Any]
    slope: Floats
    extra: Floats
    kappa: Floats | None = None
    omega: Floats | None = None
    rho: Floats | None = None

    @classmethod
    def means(cls, draws: Draws, design: Design) -> Hyper:
        """Return the posterior means of a fit with this design."""
        return cls._of({name: values.mean(axis=(0, 1)) for name, (_, values) in draws.hyper.items()}, design)

    @classmethod
    def drawn(cls, draws: Draws, design: Design, k: int) -> Hyper:
        """Return draw k, chains joined, of a fit with this design."""
        flat = {name: values.reshape(-1, *values.shape[2:])[k] for name, (_, values) in draws.hyper.items()}
        return cls._of(flat, design)

    @classmethod
    def _of(cls, reported: Mapping[str, Floats], design: Design) -> Hyper:
        t, d = design.periods, len(design.measures)
        slope, extra = np.ones(design.linked.shape), np.zeros(design.linked.shape)
        if design.linked.any():
            slope[design.linked] = reported["lambda"][design.link_of]
            extra[design.linked] = reported["tau"][design.link_of]
        values = {}
        for effect in design.effects:
            periods = 1 if effect.joint else t
            for parameter in effect.parameters:
                name = f"{effect.name}.{parameter.name}"
                if len(parameter.dims) == 1:
                    values[name] = reported[name].reshape(periods, d)
                else:
                    matrix = reported.get(name, np.ones((periods, 1, 1))).reshape(periods, d, d)
                    values[name] = np.asarray(np.linalg.cholesky(matrix))
        omega = reported["omega"].reshape(slope.shape) if "omega" in reported else None
        return cls(values, slope, extra, omega=omega)

    @property
    def factor(self) -> Floats | float:
        """By which sampling variances differ from those given, for all sites alike, shape (S, 1, W), or 1."""
        return 1.0 if self.omega is None else self.omega[..., None, :]

    def select(self, sources: Sequence[int], kept: Sequence[int]) -> Hyper:
        """Return what belongs to some of the sources and measures, of one period."""
        square, values = np.ix_([0], kept, kept), dict[str, Any]()
        for name, value in self.values.items():
            matrix = value.ndim == 3
            values[name] = (
                np.asarray(np.linalg.cholesky((value @ value.swapaxes(1, 2))[square])) if matrix else value[:, kept]
            )
        part = np.ix_(sources, kept)
        omega = None if self.omega is None else self.omega[part]
        return Hyper(values, self.slope[part], self.extra[part], omega=omega)

    def columns(self) -> Floats:
        """Return draws as a table (draws, q): correlations in the place of roots, nothing twice, no constants."""
        draws = len(self.slope)
        vectors = sorted(
            (name for name, value in self.values.items() if value.ndim == 3),
            key=lambda name: not name.endswith(".sigma"),
        )
        parts = [
            *(self.values[name] for name in vectors),
            self.slope,
            self.extra,
            *(part for part in (self.kappa, self.omega, self.rho) if part is not None),
        ]
        for root in self.values.values():
            if root.ndim == 4:
                row, column = np.tril_indices(root.shape[-1], -1)
                parts.append((root @ root.swapaxes(-1, -2))[..., row, column])
        table = np.hstack([part.reshape(draws, -1) for part in parts])
        return table[:, np.ptp(table, axis=0) > 0]

    def loadings(self, design: Design) -> Loadings:
        """Return what they do to the field: C_t per structure, C_v and g_v per loose part, strengths, C_g per group."""
        lead = self.slope.shape[:-2]
        of_effect = [
            {parameter.name: self.values[f"{effect.name}.{parameter.name}"] for parameter in effect.parameters}
            for effect in design.effects
        ]
        pairs = list(zip(design.effects, map(_of_all, design.effects, of_effect), strict=True))
        terms = [_by_column(term, layer.loading(value)) for term, value in pairs for layer in term.layers]
        loose = [_by_column(term, term.loose(value)) for term, value in pairs if term.loose is not None]
        w = self.slope.shape[-1]
        groups = [
            np.broadcast_to(_by_column(term, term.loading(value)), (*lead, w, w)) for term, value in pairs if term.dense
        ]

        def rows(term: Effect, of: Callable[[Any], tuple[Any, ...]], value: Any) -> Any:
            shape = (*lead, 1, w) if term.joint else value["sigma"].shape
            return np.stack([_row(part, self.slope.dtype, shape) for part in of(value)], axis=-2)

        strengths = tuple(rows(term, term.strengths, value) for term, value in pairs if term.strengths is not None)
        same = np.zeros((*lead, 0, w), dtype=self.slope.dtype)
        scaling = tuple(
            same if term.scaling is None else rows(term, term.scaling, value)
            for term, value in pairs
            if term.loose is not None
        )
        none = np.zeros((*lead, 1, w, w), dtype=self.slope.dtype)
        return Loadings(
            np.stack(terms, axis=-3) if terms else none[..., :0, :, :],
            np.stack(loose, axis=-3) if loose else none[..., :0, :, :],
            scaling,
            strengths,
            np.stack(groups, axis=-3) if groups else none[..., :0, :, :],
        )


def _of_all(effect: Effect, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters of an effect that is of all years together, without the dimension of years."""
    if not effect.joint:
        return value
    dims = {parameter.name: len(parameter.dims) for parameter in effect.parameters}
    return {name: part[..., 0, :] if dims[name] == 1 else part[..., 0, :, :] for name, part in value.items()}


def _row(strength: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A strength per column, (..., W), from one per year and measure, or a number."""
    given = np.asarray(strength, dtype=dtype if np.ndim(strength) == 0 else None)
    given = given[..., None, :] if given.ndim == len(shape) - 1 and given.ndim else given  # of all columns
    return np.broadcast_to(given, shape).reshape(*shape[:-2], -1)


def _by_column(effect: Effect, loading: Any) -> Any:
    """A loading of all columns, (..., W, W), from one per year, (..., T, D, D), where years are independent."""
    if effect.joint:
        return loading
    *lead, t, d, _ = loading.shape
    if t == 1:
        return loading[..., 0, :, :]
    blocks = np.zeros((*lead, t, d, t, d), dtype=loading.dtype)
    for year in range(t):
        blocks[..., year, :, year, :] = loading[..., year, :, :]
    return blocks.reshape(*lead, t * d, t * d)


@dataclass(frozen=True)
class Numbers:
    """Numbers that are independent a priori, as elements of xi.

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
class NormalScores:
    """The map from xi to the hyperparameters of a design.

    Attributes
    ----------
    design : Design
    numbers : tuple of Numbers
    """

    design: Design
    numbers: tuple[Numbers, ...]

    @classmethod
    def of(cls, design: Design) -> NormalScores:
        """Return the map with the priors of the design's model."""
        d, t, numbers = len(design.measures), design.periods, list[Numbers]()
        for effect in design.effects:
            years = 1 if effect.joint else t
            for p in effect.parameters:
                numbers.append(Numbers(f"{effect.name}.{p.name}", years * p.prior.count(d), _by_year(p.prior, years)))
        if links := [link.priors for link in design.links]:
            slope, extra = stacked([link.slope for link in links]), stacked([link.extra for link in links])
            numbers.append(Numbers("lambda", len(links), slope.quantile))
            numbers.append(Numbers("tau", len(links), extra.quantile))
        if (prior := design.model.variances) is not None:
            numbers.append(Numbers("kappa", int(design.observed.any(axis=1).sum()), prior.quantile))
        if len(freedom := design.doubtful[design.doubtful > 0]):
            numbers.append(Numbers("omega", len(freedom), of_freedom(freedom).quantile))
        if priors := list(design.overdispersion.values()):
            numbers.append(Numbers("overdispersion", len(priors), _each(priors)))
        return cls(design, tuple(n for n in numbers if n.size))

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return sum(part.size for part in self.numbers)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each element of xi."""
        return tuple(
            f"{part.name}[{k}]" if part.size > 1 else part.name for part in self.numbers for k in range(part.size)
        )

    def _parts(self, of_xi: Any) -> dict[str, Any]:
        """What belongs to each name of an array (..., size)."""
        ends = np.cumsum([part.size for part in self.numbers])
        return {part.name: of_xi[..., end - part.size : end] for part, end in zip(self.numbers, ends, strict=True)}

    @property
    def vanishing(self) -> tuple[tuple[int, Ints], ...]:
        """Per effect and year, its standard deviation and what has no effect without it, as elements of xi.

        Of an effect over time so of what stays and of changes; what both have is left out.
        """
        place, terms = self._parts(np.arange(self.size)), []
        for effect in self.design.effects:
            years = 1 if effect.joint else self.design.periods
            named = [
                place.get(f"{effect.name}.{parameter.name}", np.zeros(0, np.int64)) for parameter in effect.parameters
            ]
            of_year = [np.concatenate([part.reshape(years, -1)[t] for part in named] or [[]]) for t in range(years)]
            if effect.joint:
                names = [parameter.name for parameter in effect.parameters]
                k = names.index("change") if names else 0
                own = [part for name, part in zip(names, named, strict=True) if name in ("sigma", "phi")]
                of_year = [np.concatenate(parts) for parts in (own, named[k:]) if parts]
            terms += [(int(elements[0]), elements[1:]) for elements in of_year]
        return tuple(terms)

    def values(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the numbers at xi (..., size), joined, and the derivative of each with respect to its own xi."""
        pairs = [number.quantile(part) for number, part in zip(self.numbers, self._parts(xi).values(), strict=True)]
        if not pairs:
            return np.zeros(xi.shape), np.zeros(xi.shape)
        return np.concatenate([value for value, _ in pairs], axis=-1), np.concatenate(
            [slope for _, slope in pairs], axis=-1
        )

    def hyper(self, xi: Floats) -> Hyper:
        """Return the hyperparameters at xi, shape (..., size)."""
        return self.assemble(self.values(np.asarray(xi, dtype=float))[0])

    def assemble(self, numbers: Any) -> Hyper:
        """Return the hyperparameters from their numbers, real or complex, shape (..., size)."""
        design, lead, part = self.design, numbers.shape[:-1], self._parts(numbers)
        d, values = len(design.measures), {}
        for effect in design.effects:
            t = 1 if effect.joint else design.periods
            for parameter in effect.parameters:
                scalars = part.get(name := f"{effect.name}.{parameter.name}", numbers[..., :0])
                values[name] = parameter.prior.value(scalars.reshape(*lead, t, parameter.prior.count(d)), d)
        slope = np.ones((*lead, *design.linked.shape), dtype=numbers.dtype)
        extra, kappa, omega, rho = np.zeros_like(slope), None, None, None
        if "tau" in part:
            slope[..., design.linked] = part["lambda"][..., design.link_of]
            extra[..., design.linked] = part["tau"][..., design.link_of]
        if "kappa" in part:
            kappa = np.zeros_like(slope)
            kappa[..., design.observed.any(axis=1)] = part["kappa"]
        if "omega" in part:
            omega = np.ones_like(slope)
            omega[..., design.doubtful > 0] = part["omega"]
        if "overdispersion" in part:
            rho = np.zeros((*lead, slope.shape[-1]), dtype=numbers.dtype)
            rho[..., list(design.overdispersion)] = part["overdispersion"]
        return Hyper(values, slope, extra, kappa, omega, rho)

    def jacobian(self, xi: Floats) -> tuple[Floats, ...]:
        """Return derivatives by xi of the loadings, lambda, tau and, where there are any, kappa, omega, rho; xi first.

        By complex steps through the algebra, exact to rounding, and the priors' densities.
        """
        values, slopes = self.values(xi)
        step = 1e-30
        hyper = self.assemble(values + step * 1j * np.eye(self.size))
        loadings = hyper.loadings(self.design)
        parts = [*loadings.parts, hyper.slope, hyper.extra]
        parts += [part for part in (hyper.kappa, hyper.omega, hyper.rho) if part is not None]
        return tuple(slopes.reshape(-1, *[1] * (part.ndim - 1)) * np.imag(part) / step for part in parts)


def of_freedom(freedom: Floats) -> LogNormal:
    """Return the prior of factors of variances that were estimated with so many degrees of freedom."""
    half = freedom / 2
    return stacked(
        [LogNormal(*row) for row in zip(np.log(half) - digamma(half), np.sqrt(polygamma(1, half)), strict=True)]
    )


def _each(priors: Sequence[Prior]) -> Callable[[Floats], tuple[Floats, Floats]]:
    """The quantiles of a row of numbers, each with a prior of its own."""

    def quantile(xi: Floats) -> tuple[Floats, Floats]:
        pairs = [prior.quantile(xi[..., k]) for k, prior in enumerate(priors)]
        return np.stack([value for value, _ in pairs], axis=-1), np.stack([slope for _, slope in pairs], axis=-1)

    return quantile


def _by_year(prior: Any, years: int) -> Callable[[Floats], tuple[Floats, Floats]]:
    """The quantiles of a parameter of which there is one per year, side by side."""
    if years == 1:
        return prior.quantile

    def quantile(xi: Floats) -> tuple[Floats, Floats]:
        value, slope = prior.quantile(xi.reshape(*xi.shape[:-1], years, -1))
        return value.reshape(xi.shape), np.broadcast_to(slope, value.shape).reshape(xi.shape)

    return quantile
