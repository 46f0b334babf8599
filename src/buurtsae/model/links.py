r"""How a source that is not the reference of a sub-dimension reads the scores.

    y_[s,a] = c + alpha_s + lambda_s (eta_a - c) + tau_s w_[s,a] + e,   w ~ N(0, 1),  e ~ N(0, V_[s,a])

alpha is a difference in level (wording, mode, year), lambda one in scale, and tau the standard deviation of what the
source adds per buurt beyond sampling: a different question, other respondents, self-selection. For a participatory
source, which has no random sample, alpha is its bias and tau its selection from buurt to buurt. A source of several
years has one alpha, lambda and tau per measure: it asks the same question of the same kind of people each time.

References
----------
Lohr, S. and Raghunathan, T. (2017). Combining survey data with other data sources. Statistical Science 32.
Manzi, G., Spiegelhalter, D. et al. (2011). Modelling bias in combining small area prevalence estimates. JRSS A 174.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buurtsae.model.priors import PC, LogNormal, Normal
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class Link:
    """Priors of the link of a source to the scores.

    Parameters
    ----------
    offset : Normal
        Of alpha, on the scale of the scores.
    slope : LogNormal
        Of lambda. Scales that were laid on 0-10 by their end points differ by half as easily as not; a prior that holds
        lambda to 1 pulls the standard deviation of the scores, and with it the width of the intervals.
    extra : PC
        Of tau, on the scale of the scores.

    Raises
    ------
    ModelError
        On a prior of another kind.

    Examples
    --------
    >>> print(Link().slope)
    LogNormal(0, sd 0.4)
    """

    offset: Normal = Normal(0.0, 1.0)
    slope: LogNormal = LogNormal(0.0, 0.4)
    extra: PC = PC(0.5, 0.05)

    def __post_init__(self) -> None:
        check_ranges(self, "link:")


@dataclass(frozen=True)
class Linked:
    """The link of a source to a measure, on the columns of a design.

    Attributes
    ----------
    label : str
    source : int
        Its row S.
    measure : int
    columns : tuple of int
        Those of the measure in the years of the source.
    priors : Link
    """

    label: str
    source: int
    measure: int
    columns: tuple[int, ...]
    priors: Link


def links_of(
    sources: Sequence[str], measures: Sequence[str], linked: NDArray[np.bool_], priors: Sequence[Link]
) -> tuple[Linked, ...]:
    """Return the links of sources, with their priors, of where they are (S, W): one per source and measure."""
    d = len(measures)
    of_year = linked.reshape(len(sources), -1, d)
    return tuple(
        Linked(
            f"{sources[s]}: {measures[m]}",
            int(s),
            int(m),
            tuple(int(t) * d + int(m) for t in np.flatnonzero(of_year[s, :, m])),
            priors[s],
        )
        for s, m in zip(*np.nonzero(of_year.any(axis=1)), strict=True)
    )


@dataclass(frozen=True)
class Offset:
    """A number that is added to what a source reads in some columns: an alpha, with its prior.

    Attributes
    ----------
    label : str
    source : int
    columns : tuple of int
    prior : Normal
    """

    label: str
    source: int
    columns: tuple[int, ...]
    prior: Normal


@dataclass(frozen=True)
class Offsets:
    """L offsets as arrays: the linear part of what sources read, Z a with a ~ N(mean, sd^2).

    Attributes
    ----------
    each : tuple of Offset
    shape : tuple of int
        S and W.
    """

    each: tuple[Offset, ...]
    shape: tuple[int, int]

    @property
    def source(self) -> Ints:
        """Row S of each, shape (L,)."""
        return np.array([one.source for one in self.each], dtype=np.int64)

    @property
    def columns(self) -> Floats:
        """1 in the columns of each, shape (L, W)."""
        table = np.zeros((len(self.each), self.shape[1]))
        for row, one in zip(table, self.each, strict=True):
            row[list(one.columns)] = 1.0
        return table

    @property
    def mean(self) -> Floats:
        """Prior means, shape (L,)."""
        return np.array([one.prior.mean for one in self.each])

    @property
    def sd(self) -> Floats:
        """Prior standard deviations, shape (L,)."""
        return np.array([one.prior.sd for one in self.each])

    def table(self, values: Floats) -> Floats:
        """Return Z a of values a (..., L), shape (..., S, W)."""
        total = np.zeros((*values.shape[:-1], *self.shape))
        for k, (s, columns) in enumerate(zip(self.source, self.columns, strict=True)):
            total[..., s, :] += values[..., k, None] * columns
        return total


SURVEY = Link()
PARTICIPATORY = Link(Normal(0.0, 2.0), LogNormal(0.0, 0.5), PC(1.5, 0.05))
