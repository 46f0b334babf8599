r"""Beta-binomial counts: y ~ Binomial(n, u), u ~ Beta with mean p = expit(eta) and variance rho p (1 - p).

With M = 1 / rho - 1, a = M p, b = M (1 - p), and psi the digamma function,

    l = log B(y + a, n - y + b) - log B(a, b) + constant,   dl/dp = M (psi(y + a) - psi(a) - psi(n - y + b) + psi(b)),

higher derivatives by polygamma functions, and by eta through p' = p (1 - p). As rho goes to 0 it is binomial; of one
person it is Bernoulli whatever rho is. With one count per area an unstructured effect of areas says nearly the same:
rho is then told by the tails only, and its prior matters.

References
----------
Williams, D. (1982). Extra-binomial variation in logistic linear models. JRSS C 31.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Derivatives
from buurtsae.model.outcome.per_measure import counted_columns
from buurtsae.sparse import Floats

LEAST, MOST = 1e-6, 1 - 1e-6  # rho


@dataclass(frozen=True)
class Overdispersed:
    """An outcome with values of rho.

    Attributes
    ----------
    outcome : Outcome
    rho : ndarray, shape (W,)
        0 for columns without.
    """

    outcome: Outcome
    rho: Floats

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives, (K, W)."""
        value, parts = 0.0, np.zeros((4, *eta.shape))
        for outcome, at in counted_columns(self.outcome, eta.shape[1]):
            of = eta[:, at], y[:, at], size[:, at]
            spread = isinstance(outcome, Binomial) and outcome.overdispersion is not None
            one, *derivatives = beta_binomial(*of, self.rho[at]) if spread else outcome.derivatives(*of)
            value, parts[:, :, at] = value + one, derivatives
        first, second, third, fourth = parts
        return value, first, second, third, fourth


def beta_binomial(eta: Floats, y: Floats, size: Floats, rho: Floats) -> Derivatives:
    """Return l, and its first to fourth derivatives by eta; rho per column."""
    m = 1 / np.clip(rho, LEAST, MOST) - 1
    p, q = special.expit(eta), special.expit(-eta)
    a, b = m * p, m * q
    constant = special.gammaln(size + 1) - special.gammaln(y + 1) - special.gammaln(size - y + 1)
    value = special.betaln(y + a, size - y + b) - special.betaln(a, b) + constant
    # by p
    g1, g2, g3, g4 = (
        m ** (k + 1)
        * (
            special.polygamma(k, y + a)
            - special.polygamma(k, a)
            + (-1) ** (k + 1) * (special.polygamma(k, size - y + b) - special.polygamma(k, b))
        )
        for k in range(4)
    )
    # p by eta
    p1 = p * q
    p2, p3 = p1 * (q - p), p1 * (1 - 6 * p1)
    p4 = p1 * (q - p) * (1 - 12 * p1)
    return (
        float(value.sum()),
        g1 * p1,
        g2 * p1**2 + g1 * p2,
        g3 * p1**3 + 3 * g2 * p1 * p2 + g1 * p3,
        g4 * p1**4 + 6 * g3 * p1**2 * p2 + g2 * (3 * p2**2 + 4 * p1 * p3) + g1 * p4,
    )


def log_likelihood(eta: Any, y: Any, size: Any, rho: Any) -> Any:
    """Return l as a PyTensor expression, up to what rho and eta do not change."""
    import pytensor.tensor as pt

    m = 1 / pt.clip(rho, LEAST, MOST) - 1
    a, b = m * pt.sigmoid(eta), m * pt.sigmoid(-eta)
    return (
        pt.gammaln(y + a) - pt.gammaln(a) + pt.gammaln(size - y + b) - pt.gammaln(b) - pt.gammaln(size + m)
        + pt.gammaln(m)
    ).sum()  # fmt: skip


def score(eta: Any, y: Any, size: Any, rho: Any) -> Any:
    """Return l' as a PyTensor expression."""
    import pytensor.tensor as pt

    m = 1 / pt.clip(rho, LEAST, MOST) - 1
    p, q = pt.sigmoid(eta), pt.sigmoid(-eta)
    a, b = m * p, m * q
    return m * p * q * (pt.digamma(y + a) - pt.digamma(a) - pt.digamma(size - y + b) + pt.digamma(b))
