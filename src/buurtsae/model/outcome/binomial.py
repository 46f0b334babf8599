r"""Binomial counts, logit link: y ~ Binomial(n, p), eta = log(p / (1 - p)); the share p is what is estimated.

Its figures are lower + width p on the scale of the share: 0 to 1, or per cent.

    l = y log p + (n - y) log q,  l' = y q - (n - y) p,  l'' = -n p q =: -w,  l''' = -w (q - p),
    l'''' = -w (1 - 6 p q),

q = 1 - p by exp(-|eta|), not by subtraction: of areas where all said yes, l' = n q is what holds eta back where a prior
of the spread between areas lets it lie far out, and y - n p would be rounding there.

Of a survey with weights and clusters, n may be the effective number of respondents and y = n times the weighted share.

References
----------
McCullagh, P. and Nelder, J. (1989). Generalized Linear Models, ch. 4. Chen, C., Wakefield, J. and Lumley, T. (2014).
The use of sampling weights in Bayesian hierarchical models for small area estimation. Spatial Statistics 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from buurtsae.errors import ModelError, Problems
from buurtsae.model.outcome.count import Derivatives, refuse, refuse_fractions, refuse_negative
from buurtsae.model.priors import Normal, Proportion
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.scale import Scale
from buurtsae.sparse import Floats

SHARE = Scale(0.0, 1.0, "aandeel", "share")


def logistic(eta: Floats, y: Floats, size: Floats) -> Derivatives:
    """Return l without its constant, and its first to fourth derivatives."""
    small = np.exp(-np.abs(eta))
    large = 1 / (1 + small)
    p, q = np.where(eta > 0, large, small * large), np.where(eta > 0, small * large, large)
    w = size * p * q
    value = -(y * np.maximum(-eta, 0.0) + (size - y) * np.maximum(eta, 0.0) + size * np.log1p(small))
    return float(value.sum()), y * q - (size - y) * p, -w, -w * (q - p), -w * (1 - 6 * p * q)


@dataclass(frozen=True)
class Binomial:
    """Successes among trials, with a logit link.

    Parameters
    ----------
    effective : bool
        Trials and counts are effective numbers, which need not be whole.
    scale : Scale or (lower, upper)
        Of the share: 0-1 by default, ``Scale(0, 100, "%", "%")`` for per cent.
    overdispersion : Prior, optional
        Of rho, by which counts differ more than n answers would: beta-binomial (`buurtsae.model.outcome.dispersed`).
        Off by default: with a count per area the unstructured effect of areas says nearly the same.

    Raises
    ------
    ModelError
        On a scale without two ends.

    Examples
    --------
    >>> print(Binomial().words)
      Outcome: y ~ Binomial(n, p), a count among n trials; logit p = eta
    >>> Binomial(scale=(0, 100)).mean(0.0)
    array(50.)
    """

    effective: bool = False
    scale: Scale = SHARE
    overdispersion: Proportion | None = None

    beside: ClassVar[str] = "trials"
    intercept: ClassVar[Normal] = Normal(0.0, 5.0)

    def __post_init__(self) -> None:
        if not isinstance(self.scale, Scale):  # a pair is welcome, and a scale here
            object.__setattr__(self, "scale", Scale(*self.scale))
        if not self.scale.bounded:
            what, hint = "the scale of a share has no two ends", 'write Scale(0, 100, "%", "%")'
            raise ModelError(what, self.scale.range, "a lower and an upper end", hint)
        check_ranges(self, "binomial:")

    def on(self, scale: Scale) -> Binomial:
        """Return it as it is: its scale is its own."""
        return self

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        if self.overdispersion is not None:
            return Note(
                "  Outcome: y ~ BetaBinomial(n, p, rho), rho ~ {prior}; logit p = eta",
                "  Uitkomst: y ~ BetaBinomiaal(n, p, rho), rho ~ {prior}; logit p = eta",
                prior=self.overdispersion,
            )
        return Note(
            "  Outcome: y ~ Binomial(n, p), a count among n {trials}; logit p = eta",
            "  Uitkomst: y ~ Binomiaal(n, p), een aantal van n {trials}; logit p = eta",
            trials=Note("effective trials", "effectieve waarnemingen")
            if self.effective
            else Note("trials", "waarnemingen"),
        )

    def mean(self, eta: Floats) -> Floats:
        """Return the share, on its scale."""
        return np.asarray(self.scale.lower + self.scale.width * special.expit(eta))

    def check(self, y: Floats, size: Floats, areas: Sequence[str], problems: Problems) -> None:
        """Collect counts that are negative, not whole or above their trials."""
        refuse_negative(problems, y, areas)
        refuse(problems, size < 0, size, areas, "trials are negative", "0 or more", "correct them")
        refuse(problems, y > size, y, areas, "counts are above their trials", "at most the trials",
               "are the columns of `y` and `trials` exchanged?")  # fmt: skip
        if not self.effective:
            hint = "correct them; of effective numbers, use Binomial(effective=True)"
            refuse_fractions(problems, y, areas, "counts", hint)
            refuse_fractions(problems, size, areas, "trials", hint)

    def link(self, mean: Floats) -> Floats:
        """Return the predictor of a share, from 0 to 1."""
        return np.asarray(special.logit(mean))

    def working(self, y: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return the empirical logit and its variance, each 0 where nothing was observed."""
        yes, no = y + 0.5, size - y + 0.5
        return np.log(yes / no), np.where(size > 0, 1 / yes + 1 / no, 0.0)

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives."""
        constant = special.gammaln(size + 1) - special.gammaln(y + 1) - special.gammaln(size - y + 1)
        value, *rest = logistic(eta, y, size)
        return (value + float(constant.sum()), *rest)  # type: ignore[return-value]

    def precision(self, eta: Floats, size: Floats) -> Floats:
        """Return n / (p (1 - p)), for a share on a scale of that width."""
        p = special.expit(eta)
        return np.asarray(size / (p * (1 - p) * self.scale.width**2))

    def score(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l' as a PyTensor expression."""
        import pytensor.tensor as pt

        return y - size * pt.sigmoid(eta)

    def log_likelihood(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l as a PyTensor expression, up to a constant."""
        import pytensor.tensor as pt

        return (y * eta - size * pt.softplus(eta)).sum()
