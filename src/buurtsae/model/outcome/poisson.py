r"""Poisson counts, log link: y ~ Poisson(E exp(eta)), E the exposure; the rate exp(eta) is what is estimated.

    l = y eta - E exp(eta),  l' = y - E exp(eta),  all further derivatives -E exp(eta).

With E the expected number of an area, by age and sex say, the rate is the relative risk; with persons or person-years,
the rate per person.

References
----------
McCullagh, P. and Nelder, J. (1989). Generalized Linear Models, ch. 6. Besag, J., York, J. and Mollie, A. (1991). Annals
of the Institute of Statistical Mathematics 43.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import special

from buurtsae.errors import Problems
from buurtsae.model.outcome.count import Derivatives, refuse, refuse_fractions, refuse_negative
from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Poisson:
    """Counts beside an exposure, with a log link.

    Parameters
    ----------
    effective : bool
        Counts are effective numbers, which need not be whole.

    Examples
    --------
    >>> print(Poisson().words)
      Outcome: y ~ Poisson(E rate), a count beside an exposure E; log rate = eta
    """

    effective: bool = False

    scale: ClassVar[Scale] = Scale(0.0, np.inf, "ratio", "rate", 2)
    beside: ClassVar[str] = "exposure"
    intercept: ClassVar[Normal] = Normal(0.0, 10.0)

    def on(self, scale: Scale) -> Poisson:
        """Return it as it is: its scale is its own."""
        return self

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        return Note(
            "  Outcome: y ~ Poisson(E rate), a count beside an exposure E; log rate = eta",
            "  Uitkomst: y ~ Poisson(E ratio), een aantal naast het verwachte aantal E; log ratio = eta",
        )

    def mean(self, eta: Floats) -> Floats:
        """Return the rate."""
        return np.asarray(np.exp(eta))

    def check(self, y: Floats, size: Floats, areas: Sequence[str], problems: Problems) -> None:
        """Collect counts that are negative or not whole, and exposures that are not positive."""
        refuse_negative(problems, y, areas)
        if not self.effective:
            refuse_fractions(problems, y, areas, "counts", "correct them: a rate times its exposure is no count")
        refuse(problems, (size <= 0) & np.isfinite(y), size, areas, "exposure is zero or negative", "above 0",
               "correct it; where nothing could be counted, leave the count out: not observed")  # fmt: skip

    def link(self, mean: Floats) -> Floats:
        """Return the predictor of a rate."""
        return np.asarray(np.log(mean))

    def working(self, y: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return the logarithm of a rate and its variance, each 0 where nothing was observed."""
        seen = size > 0
        rate = np.divide(y + 0.5, size, out=np.ones_like(y), where=seen)
        return np.log(rate), np.where(seen, 1 / (y + 0.5), 0.0)

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives."""
        mean = size * np.exp(eta)
        value = y * eta - mean + special.xlogy(y, size) - special.gammaln(y + 1)
        return float(value.sum()), y - mean, -mean, -mean, -mean

    def precision(self, eta: Floats, size: Floats) -> Floats:
        """Return E / rate."""
        return size / self.mean(eta)

    def score(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l' as a PyTensor expression."""
        import pytensor.tensor as pt

        return y - size * pt.exp(eta)

    def log_likelihood(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l as a PyTensor expression, up to a constant."""
        import pytensor.tensor as pt

        return (y * eta - size * pt.exp(eta)).sum()
