r"""Years as a mean and contrasts: what changes over years that need not be equally far apart, zero on average.

A process over the years has the covariance K. About its mean over the T waves, the years that have data, it has

    M K M',    M = I - 1 w',  w = 1 / T in waves and 0 in other years,

which is V S V' with S = V' M K M' V and V = diag(U, I): U (T, T - 1) orthonormal with U'1 = 0 over the waves, the
identity over other years. With L L' = S the changes are V L z, z ~ N(0, I). K is a sum of parts with weights that
parameters determine:

    walk    psi K_walk + (1 - psi) I,    K_walk[s, t] = min(s, t) / c after the first year,
    ar1     rho^|s - t| / g(rho).

c makes the geometric mean of the diagonal of M K_walk M' over the waves 1 (the structure of its inverse is Q = c D'
diag(1 / gap) D), and g(rho) does so for the other: rho -> 1 is the walk, rho = 0 is psi = 0 times T / (T - 1). Years
without data change neither: in a walk they lie on the bridge between waves, or are the last plus an increment of
gap / c, and what comes and goes is fresh there.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 3. Sorbye, S. and Rue, H. (2014). Scaling intrinsic
Gaussian Markov random field priors. Spatial Statistics 8; (2017). Penalised complexity priors for stationary
autoregressive processes. J. Time Series Analysis 38.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from buurtsae.model.parameters import Values
from buurtsae.sparse import Floats

Process = Literal["walk", "ar1"]


@dataclass(frozen=True)
class Contrasts:
    """T years as a mean and T - 1 contrasts, for D measures: columns are years (or contrasts), within these measures.

    Attributes
    ----------
    vectors : ndarray, shape (T, T - 1)
        V.
    parts : tuple of ndarray, shape (T - 1, T - 1) each
        V' M K_j M' V.
    weights : callable
        Of the parts, numbers of psi or rho.
    width : int
        D.
    """

    vectors: Floats
    parts: tuple[Floats, ...]
    weights: Callable[[Any], tuple[Any, ...]]
    width: int

    @classmethod
    def of(cls, years: Sequence[int], width: int, process: Process = "walk", waves: Sequence[int] = ()) -> Contrasts:
        """Return those of a process over years, of which the waves have data: all, where none are given."""
        t = np.asarray(years, dtype=float)
        seen = np.isin(years, waves or years)
        u = np.linalg.eigh(scaled_walk(t[seen]))[1]
        u = u[:, 1:] * np.sign(u[-1, 1:])  # the last year is positive: the same on any machine
        v = np.zeros((len(t), len(t) - 1))
        v[np.ix_(seen, np.arange(u.shape[1]))] = u
        v[np.flatnonzero(~seen), np.arange(u.shape[1], len(t) - 1)] = 1.0
        about = np.eye(len(t)) - seen / seen.sum()
        turned = v.T @ about

        def part(k: Floats) -> Floats:
            s = turned @ k @ turned.T
            return np.where(abs(s) > 1e-13 * abs(s).max(), s, 0.0)

        if process == "walk":
            since = t - t[0]
            walk = part(np.minimum(since[:, None], since) * _unit_increment(t[seen]))
            return cls(v, (walk, part(np.eye(len(t)))), lambda psi: (psi, 1 - psi), width)
        apart = abs(t[:, None] - t)
        lags = [int(lag) for lag in np.unique(apart) if lag]
        kernels = [(apart == lag).astype(float) for lag in lags]
        diagonals = [(about @ k @ about.T).diagonal()[seen] for k in kernels]

        def weights(rho: Any) -> tuple[Any, ...]:
            each = [rho**lag - 1 for lag in lags]  # M 1 1' M' = 0: less 1, which keeps the digits of rho near 1
            size: Any = 1.0
            for year in range(int(seen.sum())):
                size = size * sum(weight * d[year] for weight, d in zip(each, diagonals, strict=True)) ** (
                    1 / seen.sum()
                )
            return tuple(weight / size for weight in each)

        return cls(v, tuple(part(k) for k in kernels), weights, width)

    def loading(self, stays: Any, changes: Any, share: Any) -> Any:
        """Return [1 C0 | V L_k C1], (..., W, W), of loadings (..., D, D) and psi or rho (..., D)."""
        eye, t = np.eye(self.width), len(self.vectors)
        total = between(np.kron(np.ones((t, 1)), eye), stays, np.kron(np.eye(1, t), eye))
        if t == 1:
            return total
        weights = self.weights(share)
        root = cholesky([[self._entry(i, j, weights) for j in range(i + 1)] for i in range(t - 1)])
        tall = between(np.kron(np.ones((t, 1)), eye), changes, eye)
        for k in range(t - 1):
            column: Any = 0.0
            for i in range(k, t - 1):
                if not _nothing(root[i][k]):
                    column = column + (root[i][k] * np.ones(self.width)) @ np.kron(self.vectors[:, i], eye)
            total = total + (column[..., None] * tall) @ np.kron(np.eye(1, t, k + 1), eye)
        return total

    def _entry(self, i: int, j: int, weights: tuple[Any, ...]) -> Any:
        """S_ij; the number 0 where it is, whatever the parameters."""
        terms = [weight * part[i, j] for weight, part in zip(weights, self.parts, strict=True) if part[i, j]]
        return sum(terms[1:], terms[0]) if terms else 0.0

    def of_columns(
        self, of: Callable[[Values], tuple[Any, ...]], changing: Callable[[Values], Values]
    ) -> Callable[[Values], tuple[Any, ...]]:
        """Return numbers per column, (..., W), of those of what stays and of changes, (..., D) each or one number."""
        one, t = np.ones(self.width), len(self.vectors)
        first = np.kron(np.eye(1, t), np.eye(self.width))
        others = np.kron(np.ones((1, t)), np.eye(self.width)) - first

        def both(values: Values) -> tuple[Any, ...]:
            pairs = zip(of(values), of(changing(values)), strict=True)
            return tuple((stays * one) @ first + (changes * one) @ others for stays, changes in pairs)

        return both

    def summed(self, of: Callable[[Values], Any], changing: Callable[[Values], Values]) -> Callable[[Values], Any]:
        """Return log-determinants over columns."""
        columns = self.of_columns(lambda values: (of(values),), changing)
        return lambda values: columns(values)[0]

    def of_rows(self, of: Callable[[Values], tuple[Any, ...]]) -> Callable[[Values], tuple[Any, ...]]:
        """Return numbers per year and measure, (..., W), of those per measure."""
        repeated = np.kron(np.ones((1, len(self.vectors))), np.eye(self.width))
        return lambda values: tuple(part @ repeated for part in of(values))


def between(left: Any, middle: Any, right: Any) -> Any:
    """Left @ middle @ right, of arrays or tensors."""
    turned = (middle @ right).swapaxes(-1, -2) @ left.T
    return turned.swapaxes(-1, -2)


def cholesky(lower: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the root of a matrix of the rows of its lower triangle, entry by entry: real, complex, or tensors.

    Examples
    --------
    >>> cholesky([[4.0], [2.0, 5.0]])
    [[2.0], [1.0, 2.0]]
    """
    root: list[list[Any]] = []
    for i, row in enumerate(lower):
        root.append([])
        for j, entry in enumerate(row):
            left = entry
            for a, b in zip(root[i][:j], root[j] if j < i else root[i][:j], strict=False):
                if not (_nothing(a) or _nothing(b)):
                    left = left - a * b
            root[i].append(left**0.5 if i == j else left if _nothing(left) else left / root[j][j])
    return root


def _nothing(entry: Any) -> bool:
    """Whether an entry is 0 whatever the parameters, and no array that may be."""
    return isinstance(entry, float) and entry == 0.0


def _unit_increment(years: Floats) -> float:
    """Return 1 / c, the variance of the increment of a year: such that the generalised variance over years is 1."""
    difference = np.diff(np.eye(len(years)), axis=0)
    q = difference.T @ (difference / np.diff(years)[:, None])
    return float(np.exp(-np.log(np.linalg.pinv(q).diagonal()).mean()))


def scaled_walk(years: Sequence[int] | Floats) -> Floats:
    """Return the structure of a random walk of first order, scaled over these years, (T, T).

    Examples
    --------
    >>> scaled_walk([2012, 2016, 2020, 2022, 2024]).diagonal().round(8).tolist()
    [0.54066517, 1.08133035, 1.62199552, 2.16266069, 1.08133035]
    """
    t = np.asarray(years, dtype=float)
    difference = np.diff(np.eye(len(t)), axis=0)
    return np.asarray(difference.T @ (difference / np.diff(t)[:, None]) / _unit_increment(t))
