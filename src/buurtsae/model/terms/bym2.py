r"""BYM2: a spatial and an unstructured effect per area, with one standard deviation and a mixing parameter.

    sigma_d ( sqrt(1 - phi_d) (N_a / N_0)^(-gamma_d) v_ad + sqrt(phi_d) u_ad ),

v unstructured and u the scaled intrinsic CAR, with levels of its parts (see `intrinsic`); across measures they have one
correlation matrix R, or R_v and R_u. Areas of few residents differ more from what surrounds them: the standard
deviation of v falls with the residents N_a (200 at the least), N_0 their geometric mean. gamma = 0: it does not; gamma
= 1/2: v is as the mean of independent residents. With tails v is multivariate t, of the scale of the normal v.

References
----------
Riebler, A., Sorbye, S., Simpson, D. and Rue, H. (2016). An intuitive Bayesian spatial model for disease mapping that
accounts for scaling. Statistical Methods in Medical Research 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval

from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import LKJ, Around, Each, Parameter, Values
from buurtsae.model.priors import PC, Beta, Normal, Positive, Proportion
from buurtsae.model.terms.base import Effect, by_residents
from buurtsae.model.terms.intrinsic import IntrinsicTerm
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class BYM2(IntrinsicTerm):
    """Spatial and unstructured area effects with one standard deviation and a mixing parameter per measure.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    sd : Prior
        Of the common sigma, on the scale of the scores: by default nearly flat below 1, and P(sigma > 3) = 0.05:
        3 is the standard deviation of buurten spread evenly over 0-10. A tighter prior pulls sigma, and with it the
        width of the intervals, down.
    levels, apart
        See `IntrinsicTerm`: a level for each connected part of two areas or more, and how large these are.
    spread, correlation, name
        See `Term`; R is uniform by default, since parts of one concept hang together.
    mixing : Beta
        Prior of phi_d, the spatially structured share of the variance.
    by_residents : bool
        The standard deviation of v depends on the residents of the area, where these are known.
    exponent : Normal
        Prior of the common gamma.
    exponent_spread : float
        How far gamma_d may lie from the common gamma, as a standard deviation; 0: all the same.
    tails : bool
        v is multivariate t, of nu degrees of freedom in all measures: a few areas are quite unlike all others.
    tail : Prior
        Of 1 / nu, by default P(nu < 4) = 0.05: towards the normal, whose distance from t is about proportional to it.
    shared : bool
        One matrix R for u and v, which a few hundred areas can tell; False: R_u and R_v, for many areas.

    Raises
    ------
    ModelError
        When it is laid on other areas than those of the graph.

    Examples
    --------
    >>> from buurtsae import BYM2, Graph
    >>> BYM2(Graph.from_pairs(["a", "b", "c"], [("a", "b"), ("b", "c")]))
    BYM2(BYM2.sigma, BYM2.phi, BYM2.gamma, BYM2.R)
    """

    mixing: Proportion = Beta(1.0, 1.0)
    by_residents: bool = True
    exponent: Normal = Normal(0.0, 0.5)
    exponent_spread: Annotated[float, Interval(ge=0, le=10)] = 0.5
    tails: bool = False
    tail: PC = PC(0.25, 0.05)
    shared: bool = True
    sd: Positive = PC(3.0, 0.05)
    correlation: LKJ = LKJ(1.0)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Standard deviations, structured shares and correlations."""
        dims = ("measure", "measure_2")
        matrices = ("R",) if self.shared else ("R_u", "R_v")
        return (
            self.sigma,
            Parameter("phi", Each(self.mixing)),
            *([Parameter("gamma", Around(self.exponent, self.exponent_spread))] if self.by_residents else []),
            *([Parameter("tail", Around(self.tail, 0.0))] if self.tails else []),
            *self.shape,
            *(Parameter(m, self.correlation, dims) for m in matrices),
        )

    @property
    def symbol(self) -> str:
        """Its part of the predictor."""
        n = self.name
        by = f"(N[a]/N0)^-{n}.gamma[d] " if self.by_residents else ""
        return f"{n}.sigma[d] (sqrt(1 - {n}.phi[d]) {by}v[a,d] + sqrt({n}.phi[d]) u[a,d]{self.level})"

    @property
    def about(self) -> Note:
        """What it is."""
        v = Note("v unstructured", "v los per buurt")
        if self.tails:
            v = Note("v unstructured, multivariate t", "v los per buurt, multivariaat t")
        return Note(
            "{v}, u scaled intrinsic CAR{beside}",
            "{v}, u ruimtelijk (geschaalde intrinsieke CAR){beside}",
            v=v, beside=self.beside,
        )  # fmt: skip

    def on(self, frame: Frame) -> Effect:
        """Return it on data: u on the graph, with its levels; v loose."""
        icar = self.graph.icar
        structure = Structure((icar.precision.tocsr(),), icar.means)
        by, parameters = by_residents(frame) if self.by_residents else None, self.parameters
        if by is None:
            parameters = tuple(parameter for parameter in parameters if parameter.name != "gamma")
        return Effect(
            self.name, parameters, structure, self.seen(frame), self.loading, self.loose, levels=self.of_parts(),
            dispersion=by, scaling=None if by is None else self.scaling,
            tail=self.one_over_freedom if self.tails else None,
        )  # fmt: skip

    def loading(self, values: Values) -> Any:
        """Return diag(sigma sqrt(phi)) L_u."""
        return (values["sigma"] * values["phi"] ** 0.5)[..., None] * values["R" if self.shared else "R_u"]

    def loose(self, values: Values) -> Any:
        """Return diag(sigma sqrt(1 - phi)) L_v."""
        return (values["sigma"] * (1 - values["phi"]) ** 0.5)[..., None] * values["R" if self.shared else "R_v"]

    def scaling(self, values: Values) -> tuple[Any, ...]:
        """Return gamma, what the logarithm of few residents over many is times."""
        return (values["gamma"],)

    def one_over_freedom(self, values: Values) -> Any:
        """Return 1 / nu."""
        return values["tail"]
