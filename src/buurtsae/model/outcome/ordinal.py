r"""Answers in ordered categories, cumulative logit: P(answer <= c) = expit(cut_c - eta).

With F_c = expit(cut_c - eta), F_0 = 0, F_C = 1, and G_c = expit(eta - cut_c) = 1 - F_c, which keeps its digits far out:

    P(c) = F_c - F_{c-1} = F_c G_{c-1} (1 - exp(cut_{c-1} - cut_c)),    d log P(c) / d eta = F_{c-1} - G_c,

dF / d eta = -F G. Models of persons have it (`model/persons/answer`).

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
        none = np.full((*eta.shape, 1), np.inf)
        at = np.concatenate([-none, self.cuts - eta[:, :, None], none], axis=2)
        f, g = special.expit(at), special.expit(-at)
        w = f * g
        h = w * (g - f)
        logs = log_between(at[..., :-1], at[..., 1:])

        def summed(ends: Floats) -> Floats:
            """Over answers, what the two ends of their category have."""
            return np.asarray((y * (ends[..., 1:] + ends[..., :-1])).sum(axis=2))

        first = np.asarray((y * (f[..., :-1] - g[..., 1:])).sum(axis=2))
        return float((y * logs).sum()), first, -summed(w), summed(h), summed(2 * w**2 - h * (g - f))


def log_between(low: Floats, high: Floats) -> Floats:
    """Return log(expit(high) - expit(low)) = log expit(high) + log expit(-low) + log(1 - exp(low - high)).

    The difference itself is 0 where both are far out: an optimiser that looks there would get no number.
    """
    inside = special.log_expit(high) + special.log_expit(-low)
    return np.asarray(inside + np.log(-np.expm1(low - high)))
