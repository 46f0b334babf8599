r"""Terms and effects. What the user writes is a frozen `Term`; laid on data it is an `Effect`, all that engines see:

    sum over nodes of sees_an C z_n + D_a C_v v_a,    z ~ N(0, Q^- (x) I_D),  v ~ N(0, I)

with Q its structure, C (D, D) its loading and C_v its loose part, unstructured per area, which engines integrate out;
D_a = diag exp(sum_k t_ak g_k) where its standard deviation is not the same in all areas.
Columns vary alike, sigma_d = sigma exp(spread z_d), and go together by R = L L'; C = diag(sigma) L unless a term says
otherwise. Functions of parameters use operators only, so that they take real and complex arrays, with any leading
dimensions, and tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import scipy.sparse as sp
from annotated_types import Interval

from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, shown
from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import LKJ, Alike, Parameter, Values
from buurtsae.model.priors import PC, Positive
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats

FEW = 200  # residents below which areas differ as much as at this number: docs/real-patterns.md compares


@dataclass(frozen=True)
class Layer:
    """A field of an effect: its structure, what areas see of its nodes, and its loading."""

    structure: Structure
    sees: sp.csr_array
    loading: Callable[[Values], Any]


@dataclass(frozen=True)
class Effect:
    """A term on data.

    Attributes
    ----------
    name : str
    parameters : tuple of Parameter
        The first is the standard deviation: where that vanishes the others have no effect.
    structure : Structure, optional
    sees : sparse, shape (N, nodes)
        What each area sees of the nodes: an indicator, or the values of a basis.
    loading : callable
        C, (..., D, D), of the values of the parameters.
    loose : callable, optional
        C_v, (..., D, D).
    strengths : callable, optional
        Of the parts of the structure, (..., D) or a number each; without it there is one part, of strength 1.
    log_determinant : callable, optional
        log |Q|, (..., D), of a structure with several parts, up to a constant: for engines that sample.
    dispersion : ndarray, shape (N, K), optional
        t_ak, what the logarithm of the loose part's standard deviation depends on; without it there is one for all.
    scaling : callable, optional
        How, g_k: K of (..., D); then, of effects over time, K more of the columns of its root.
    tail : callable, optional
        1 / nu, (..., D), all the same: the loose part is multivariate t with nu degrees of freedom, not normal.
    levels : Layer, optional
        A second field that the same parameters load, proper and fixed.
    dense : bool
        Every area sees all nodes, which are independent: covariates, with the nodes as their coefficients.
    joint : bool
        Whether its parameters are of all years together: loadings are then (..., W, W), and strengths and scaling
        (..., W), of all columns.
    formula : bool
        Whether its nodes are the coefficients of the formula, in their units, in the place of independent ones.
    local : callable, optional
        Of a name, (nodes, D) and the values: a random factor of each node, for engines that sample only.
    """

    name: str
    parameters: tuple[Parameter, ...]
    structure: Structure | None
    sees: sp.csr_array
    loading: Callable[[Values], Any]
    loose: Callable[[Values], Any] | None = None
    strengths: Callable[[Values], tuple[Any, ...]] | None = None
    log_determinant: Callable[[Values], Any] | None = None
    dispersion: Floats | None = None
    scaling: Callable[[Values], tuple[Any, ...]] | None = None
    tail: Callable[[Values], Any] | None = None
    levels: Layer | None = None
    dense: bool = False
    joint: bool = False
    formula: bool = False
    local: Callable[[str, tuple[int, int], Values], Any] | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its sparse fields, none to two."""
        own = () if self.structure is None or self.dense else (Layer(self.structure, self.sees, self.loading),)
        return own if self.levels is None else (*own, self.levels)

    def same(self, other: Effect) -> bool:
        """Whether the data cannot tell it from another, but for its size: the same nodes seen alike, or the
        unstructured part that is all of one.
        """
        if self.structure is None or other.structure is None:
            alike = (self.dispersion is None) == (other.dispersion is None)
            return self.loose is not None and other.loose is not None and alike
        if self.sees.shape != other.sees.shape or len(self.structure.parts) != len(other.structure.parts):
            return False
        return all(abs(a - b).max() <= 1e-9 * abs(a).max() for a, b in zip(_unit(self), _unit(other), strict=True))


def _unit(effect: Effect) -> list[sp.csr_array]:
    """What areas see, and parts of a precision with diagonals of 1, nodes in the order in which they are first seen."""
    assert effect.structure is not None  # `same` has looked
    columns = effect.sees.tocsc()
    order = np.argsort(np.append(columns.indices, len(effect.sees.indptr))[columns.indptr[:-1]], kind="stable")
    out = [effect.sees[:, order]]
    for part in effect.structure.parts:
        diagonal = part.diagonal()
        root = sp.diags_array(np.where(diagonal > 0, diagonal, 1.0) ** -0.5)
        out.append(sp.csr_array(root @ part @ root)[order][:, order])
    return out


@dataclass(frozen=True, kw_only=True, repr=False)
class Term(ABC):
    """A random effect, and what all of them share.

    Parameters
    ----------
    sd : Prior
        Of the common sigma, on the scale of the predictor.
    spread : float
        How far sigma_d may lie from the common sigma, as a standard deviation of its logarithm; 0: all the same.
    correlation : LKJ
        Of R, the correlation across measures.
    name : str
        What its parameters are called after; by default the kind or the level, which a model can have once.
    """

    sd: Positive = PC(1.0, 0.05)
    spread: Annotated[float, Interval(ge=0, le=10)] = 0.25
    correlation: LKJ = LKJ(2.0)
    name: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, f"term {self.name or type(self).__name__}:")
        if not self.name:
            object.__setattr__(self, "name", self.kind)

    @classmethod
    def made(cls, keys: Mapping[str, Any], graph: Callable[[], Graph]) -> Term:
        """Return the term with these fields; on the graph, where it lies on one."""
        del graph
        return cls(**keys)

    @property
    def kind(self) -> str:
        """The name that it has by default."""
        return type(self).__name__

    @property
    def neighbours(self) -> Graph | None:
        """The graph that it lies on, if any."""
        return None

    @property
    def pinned(self) -> bool:
        """Whether every connected part of its graph has the mean of all, so that no uncertainty of it is left."""
        return False

    @property
    def lasting(self) -> bool:
        """Whether years tell about each other, where there are several."""
        return False

    @property
    def theme(self) -> tuple[str, ...]:
        """Covariates that it brings, prepared as those of the formula, which does not have them."""
        return ()

    @property
    def sigma(self) -> Parameter:
        """Standard deviations per measure."""
        return Parameter("sigma", Alike(self.sd, self.spread))

    @property
    def shape(self) -> tuple[Parameter, ...]:
        """Parameters besides the standard deviation and the correlation."""
        return ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters with their priors, the standard deviation first."""
        return self.sigma, *self.shape, Parameter("R", self.correlation, ("measure", "measure_2"))

    @property
    def symbol(self) -> str:
        """Its part of the predictor, of area a and measure d."""
        return f"{self.name}[a,d]"

    @property
    @abstractmethod
    def about(self) -> Note:
        """What it is."""

    @property
    def alone(self) -> Note:
        """What it is, in a line of a model of one measure."""
        on = Note(" on {graph}", " op {graph}", graph=self.neighbours.words) if self.neighbours else ""
        return Note("  {name}{on}: {about}", "  {name}{on}: {about}", name=self.name, on=on, about=self.about)

    @property
    def words(self) -> Note:
        """What it is, in a line of the model."""
        return Note("{alone}; correlated across measures", "{alone}; gecorreleerd tussen maten", alone=self.alone)

    @abstractmethod
    def on(self, frame: Frame) -> Effect:
        """Return it on data."""

    def loading(self, values: Values) -> Any:
        """Return C = diag(sigma) L."""
        return values["sigma"][..., None] * values["R"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{self.name}.{p.name}' for p in self.parameters)})"


@dataclass(frozen=True, kw_only=True, repr=False)
class SpatialTerm(Term):
    """What terms on a graph share.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    """

    graph: Graph = field(kw_only=False)

    @classmethod
    def made(cls, keys: Mapping[str, Any], graph: Callable[[], Graph]) -> Term:
        """Return the term with these fields on the graph."""
        return cls(graph=graph(), **keys)

    @property
    def neighbours(self) -> Graph:
        """The graph."""
        return self.graph

    @property
    def symbol(self) -> str:
        """Its part of the predictor, of area a and measure d."""
        return f"{self.name}.sigma[d] z[a,d]"

    def seen(self, frame: Frame) -> sp.csr_array:
        """Return what areas see of the nodes of the graph: each its own.

        Raises
        ------
        ModelError
            If the graph is of other areas.
        """
        if list(self.graph.codes) != list(frame.areas.codes):
            other = sorted(set(self.graph.codes) ^ set(frame.areas.codes))
            raise ModelError(
                f"the graph of {self.name} is of other areas",
                f"{len(other)} codes in one only: {shown(other)}",
                f"the {len(frame.areas.codes)} of the areas",
                "build it with areas.graph()",
            )
        return sp.eye_array(len(self.graph.codes), format="csr")


def by_residents(frame: Frame) -> Floats | None:
    """Return log(N_0 / N_a) of the residents N_a, shape (N, 1), N_0 their geometric mean; None where nothing varies.

    Below `FEW` residents they count as `FEW`; it is 0 without residents, where no estimate is made.
    """
    live, residents = frame.areas.inhabited, np.maximum(frame.areas.population, FEW)
    if frame.areas.alike or np.ptp(residents[live]) == 0:
        return None
    size = np.log(residents)
    return np.asarray(np.where(live, size[live].mean() - size, 0.0)[:, None])


def along(column: str, frame: Frame) -> tuple[np.ndarray, sp.csr_array]:
    """Return the distinct values of a numeric column of the areas, ascending, and the indicator of each area's value.

    Areas without residents may have none: they see nothing of the effect.

    Raises
    ------
    ModelError
        If the areas have no such column, if it has gaps, or if it does not vary.
    """
    if column not in frame.areas.covariates:
        raise ModelError(
            f"the areas have no column {column}, along which a term lies",
            repr(column),
            shown(frame.areas.covariates, 30),
            "correct the name, or join the table that has it",
        )
    values = frame.areas.frame[column].to_numpy(dtype=float)
    known = np.isfinite(values)
    if (gaps := ~known & frame.areas.inhabited).any():
        raise ModelError(
            f"{column}, along which a term lies, is missing in some areas",
            shown(frame.areas.codes[gaps]),
            "a number for each area",
            "complete the column, or leave the term out",
        )
    low, width = np.min(values[known], initial=np.inf), np.ptp(values[known]) if known.any() else 0.0
    place = np.round((values[known] - low) / (width or 1.0), 9)  # what differs by rounding is the same
    _, first, index = np.unique(place, return_index=True, return_inverse=True)
    distinct = values[known][first]
    if len(distinct) < 3:
        raise ModelError(
            f"{column}, along which a term lies, hardly varies", shown(distinct), "three values or more",
            "leave the term out",
        )  # fmt: skip
    indicator = np.ones(len(index)), (np.flatnonzero(known), index)
    return distinct, sp.csr_array(indicator, shape=(len(values), len(distinct)))
