r"""Unstructured effects of areas: one covariance per area, of all of them together.

    S_a = S0_a + sum_v D_av C_v E_av^2 C_v' D_av,      D_av = diag exp(sum_k t_avk g_vkd),

S0 known (what is left of a finite population, the error of an imputed covariate), C_v (D, D) a root that parameters
make, t what standard deviations depend on, such as the logarithm of residents, and g, (K_v, D), how they do: a
log-linear model of dispersion. E = diag exp(sum_k t_avk h_vkd) is the same of the columns of C, of contrasts between
years, where a part has it; else 1. With G_a such that d log p = sum_a tr(G_a dS_a) / 2, and F_a = D G_a D C E^2 of v,

    d log p / d C_v = sum_a F_a,    d log p / d g_vkd = sum_a t_avk (F_a C_v')_dd,    d / d h_vkd, (C_v' F_a)_dd.

References
----------
Lee, Y. and Nelder, J. (2006). Double hierarchical generalized linear models. JRSS C 55.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Loose:
    """What unstructured effects depend on besides parameters.

    Attributes
    ----------
    dispersion : tuple of ndarray, shape (N, K_v) each
        t of each part; K_v = 0 where its standard deviation is the same everywhere. Empty: it is, of all parts.
    known : ndarray, shape (N, D, D), optional
        S0.
    """

    dispersion: tuple[Floats, ...] = ()
    known: Floats | None = None

    def roots(self, loose: Floats, scaling: Sequence[Floats], n: int) -> Floats:
        """Return a root of S_a of n areas, shape (n, D, D), of C_v (V, D, D) and g_v (K_v, D), with h_v below it."""
        d = loose.shape[-1]
        parts = [c * by[:, :, None] for c, by in zip(loose, self.factors(loose, scaling), strict=True)]
        inner = self.inner(scaling)
        parts = [part if by is None else part * by[:, None, :] for part, by in zip(parts, inner, strict=False)] or parts
        if not parts and self.known is None:
            return np.zeros((n, d, d))
        if len(parts) == 1 and self.known is None:
            return parts[0] if len(parts[0]) == n else np.repeat(parts[0], n, axis=0)
        if self.known is None and all(len(part) == 1 for part in parts):
            one = _triangle(np.concatenate([part[0].T for part in parts]))
            return np.ascontiguousarray(np.broadcast_to(one, (n, d, d)))
        parts += [] if self.known is None else [_root(self.known)]
        stacked = [np.broadcast_to(part, (n, d, d)).swapaxes(1, 2) for part in parts]
        return np.ascontiguousarray(_triangle(np.concatenate(stacked, axis=1)))

    def factors(self, loose: Floats, scaling: Sequence[Floats]) -> list[Floats]:
        """Return the diagonal of D_v of each part, shape (N, D), or (1, D) where it is 1."""
        one = np.ones((1, loose.shape[-1]))
        if not self.dispersion:
            return [one] * len(loose)
        pairs = zip(self.dispersion, scaling, strict=True)
        return [np.exp(t @ g[: t.shape[1]]) if len(g) else one for t, g in pairs]

    def inner(self, scaling: Sequence[Floats]) -> list[Floats | None]:
        """Return the diagonal of E_v of each part, shape (N, D), of g_v and h_v joined; None where it is 1."""
        pairs = zip(self.dispersion, scaling, strict=False)
        return [np.exp(t @ g[t.shape[1] :]) if len(g) > t.shape[1] else None for t, g in pairs]

    def gradient(self, by: Floats, loose: Floats, scaling: Sequence[Floats]) -> tuple[Floats, tuple[Floats, ...]]:
        """Return derivatives by C_v, (V, D, D), and by g_v, with h_v where it has one, from G, shape (N, D, D)."""
        turned = [by * f[:, :, None] * f[:, None, :] for f in self.factors(loose, scaling)]
        inner = self.inner(scaling) or [None] * len(loose)
        of_root, of_scaling = np.zeros(loose.shape), list[Floats]()
        for v, (g, c, e) in enumerate(zip(turned, loose, inner, strict=True)):
            if e is None:
                of_root[v] = g.sum(axis=0) @ c
                if self.dispersion:  # without it there is no derivative
                    of_scaling.append(self.dispersion[v].T @ np.einsum("nde,ed->nd", g, c @ c.T))
                continue
            through = (g @ c) * e[:, None, :] ** 2
            of_root[v] = through.sum(axis=0)
            each = [np.einsum(f"nde,de->n{axis}", through, c) for axis in "de"]
            of_scaling.append(np.concatenate([self.dispersion[v].T @ part for part in each]))
        return of_root, tuple(of_scaling)


SAME = Loose()  # unstructured parts have the same standard deviation everywhere


def _triangle(stacked: Floats) -> Floats:
    """Lower triangles R' of A = Q R: roots of A'A, shape (..., D, D)."""
    return np.asarray(np.linalg.qr(stacked)[1]).swapaxes(-1, -2)


def _root(covariance: Floats) -> Floats:
    """Roots of covariance matrices, singular ones too."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
