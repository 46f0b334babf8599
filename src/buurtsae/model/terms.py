r"""Random effects of the area model: multivariate over sub-dimensions, each frozen with its priors.

BYM2, per sub-dimension d (Riebler et al. 2016): sigma_d ( sqrt(1 - phi_d) v_ad + sqrt(phi_d) u_ad ), with v
unstructured and u the scaled intrinsic CAR; across sub-dimensions they have one correlation matrix R, or R_v and R_u.
IID, per level g (gemeente, wijk): sigma_d g_[a]d, correlated across sub-dimensions by R_g.
In both, sigma_d = sigma exp(spread z_d), z_d ~ N(0, 1): sub-dimensions are on one scale and vary alike, so each says
something about the others' standard deviation. With a hundred buurten one alone says too little.

References
----------
Riebler, A., Sorbye, S., Simpson, D. and Rue, H. (2016). An intuitive Bayesian spatial model for disease mapping
that accounts for scaling. Statistical Methods in Medical Research 25.
"""

from __future__ import annotations

from dataclasses import dataclass

from buurtsae.areas.graph import Graph
from buurtsae.model.priors import LKJ, PC, Beta


@dataclass(frozen=True)
class BYM2:
    """Spatial and unstructured buurt effects with one standard deviation and a mixing parameter per sub-dimension.

    Parameters
    ----------
    graph : Graph
        Neighbours of all buurten of the areas, those without residents included.
    sd : PC
        Prior of the common sigma, on the scale of the scores: by default nearly flat below 1, and P(sigma > 3) = 0.05:
        3 is the standard deviation of buurten spread evenly over 0-10. A tighter prior pulls sigma, and with it the
        width of the intervals, down.
    spread : float
        How far sigma_d may lie from the common sigma, as a standard deviation of its logarithm; 0: all the same.
    mixing : Beta
        Prior of phi_d, the spatially structured share of the variance.
    correlation : LKJ
        Prior of R, the correlation across sub-dimensions; uniform by default, since parts of one concept hang together.
    shared : bool
        One matrix R for u and v, which a few hundred buurten can tell; False: R_u and R_v, for many buurten.
    """

    graph: Graph
    sd: PC = PC(3.0, 0.05)
    spread: float = 0.25
    mixing: Beta = Beta(1.0, 1.0)
    correlation: LKJ = LKJ(1.0)
    shared: bool = True

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of its correlation matrices."""
        return ("R",) if self.shared else ("R_u", "R_v")


@dataclass(frozen=True)
class IID:
    """Exchangeable effects of a grouping of buurten.

    Parameters
    ----------
    level : str
        Of the areas: their own, `buurt` or for other areas than of CBS `area`, or one above, such as `wijk`, `gemeente`
        or a grouping; `gemeentecode` and `wijkcode` are understood.
    sd : PC
    spread : float
    correlation : LKJ
    """

    level: str
    sd: PC = PC(1.0, 0.05)
    spread: float = 0.25
    correlation: LKJ = LKJ(2.0)

    @property
    def group(self) -> str:
        """The level without `code`."""
        return self.level.removesuffix("code")

    @property
    def matrices(self) -> tuple[str, ...]:
        """Name of its correlation matrix."""
        return (f"R_{self.group}",)


Term = BYM2 | IID
