r"""Answers in ordered categories, cumulative logit: P(answer <= c) = expit(cut_c - eta).

With F_c = expit(cut_c - eta), F_0 = 0 and F_C = 1: P(c) = F_c - F_{c-1}, d log P(c) / d eta = F_c + F_{c-1} - 1,
dF / d eta = -F (1 - F). A likelihood so far: no model has it.

References
----------
McCullagh, P. (1980). Regression models for ordinal data. JRSS B 42.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from buurtsae.model.outcome.count import Derivatives
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Ordinal:
    """Counts of answers in ordered categories.

    Parameters
    ----------
    cuts : ndarray, shape (D, C - 1)
        Ascending.
    """

    cuts: Floats

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives; y answers per category, (K, D, C), and size in all, (K, D)."""
        f = special.expit(self.cuts - eta[:, :, None])
        ends = np.zeros((*eta.shape, 1))
        f = np.concatenate([ends, f, ends + 1], axis=2)
        g = f * (1 - f)
        h = g * (1 - 2 * f)
        value = (y * np.log(np.diff(f, axis=2))).sum()

        def summed(ends: Floats) -> Floats:
            """Over answers, what the two ends of their category have."""
            return np.asarray((y * (ends[..., 1:] + ends[..., :-1])).sum(axis=2))

        return float(value), summed(f) - size, -summed(g), summed(h), summed(2 * g**2 - h * (1 - 2 * f))
