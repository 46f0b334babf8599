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
        far = np.full((*eta.shape, 1), np.inf)
        cut = np.concatenate([-far, self.cuts - eta[:, :, None], far], axis=2)
        f = special.expit(cut)
        g = f * (1 - f)
        h = g * (1 - 2 * f)
        value = (y * log_between(cut[..., :-1], cut[..., 1:])).sum()

        def summed(ends: Floats) -> Floats:
            """Over answers, what the two ends of their category have."""
            return np.asarray((y * (ends[..., 1:] + ends[..., :-1])).sum(axis=2))

        return float(value), summed(f) - size, -summed(g), summed(h), summed(2 * g**2 - h * (1 - 2 * f))


def log_between(low: Floats, high: Floats) -> Floats:
    """Return log(expit(high) - expit(low)) = log expit(high) + log expit(-low) + log(1 - exp(low - high)).

    The difference itself is 0 where both are far out: an optimiser that looks there would get no number.
    """
    inside = special.log_expit(high) + special.log_expit(-low)
    return np.asarray(inside + np.log(-np.expm1(low - high)))
