r"""How a source that is not the reference of a sub-dimension reads the scores.

    y_[s,a] = c + alpha_s + lambda_s (eta_a - c) + tau_s w_[s,a] + e,   w ~ N(0, 1),  e ~ N(0, V_[s,a])

alpha is a difference in level (wording, mode, year), lambda one in scale, and tau the standard deviation of what the
source adds per buurt beyond sampling: a different question, other respondents, self-selection. For a participatory
source, which has no random sample, alpha is its bias and tau its selection from buurt to buurt.

References
----------
Lohr, S. and Raghunathan, T. (2017). Combining survey data with other data sources. Statistical Science 32.
Manzi, G., Spiegelhalter, D. et al. (2011). Modelling bias in combining small area prevalence estimates. JRSS A 174.
"""

from __future__ import annotations

from dataclasses import dataclass

from buurtsae.model.priors import PC, LogNormal, Normal
from buurtsae.ranges import check_ranges


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


SURVEY = Link()
PARTICIPATORY = Link(Normal(0.0, 2.0), LogNormal(0.0, 0.5), PC(1.5, 0.05))
