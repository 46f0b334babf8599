r"""ICAR: a spatial effect per area, sigma_d u_ad with u the intrinsic CAR, zero on average in each connected part.

    u ~ exp(-1/2 s sum_{i~j} (u_i - u_j)^2),

s such that the geometric mean of the marginal variances is 1 in each part, or s = 1; an area without neighbours is
unstructured. Connected parts have levels (see `intrinsic`).

References
----------
Besag, J., York, J. and Mollie, A. (1991). Bayesian image restoration, with two applications in spatial statistics.
Annals of the Institute of Statistical Mathematics 43.
"""

from __future__ import annotations

from dataclasses import dataclass

import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.terms.base import Effect
from buurtsae.model.terms.intrinsic import IntrinsicTerm
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class ICAR(IntrinsicTerm):
    """Spatial area effects, without an unstructured part.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    scaled : bool
        With it sigma is the typical standard deviation of an area, on any graph; without it, as in CARBayes and
        mcmcsae, what sigma means depends on the graph.
    levels, apart
        See `IntrinsicTerm`: a level for each connected part of two areas or more, and how large these are.
    sd, spread, correlation, name
        See `Term`.

    Raises
    ------
    ModelError
        When it is laid on other areas than those of the graph.

    Examples
    --------
    >>> from buurtsae import ICAR, Graph
    >>> ICAR(Graph.from_pairs(["a", "b", "c"], [("a", "b"), ("b", "c")]), name="travel")
    ICAR(travel.sigma, travel.R)
    """

    scaled: bool = True

    @property
    def symbol(self) -> str:
        """Its part of the predictor."""
        return f"{self.name}.sigma[d] " + (f"(u[a,d]{self.level})" if self.level else "u[a,d]")

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "{how} intrinsic CAR{beside}",
            "{how} intrinsieke CAR{beside}",
            beside=self.beside,
            how=Note("scaled", "geschaalde") if self.scaled else Note("unscaled", "ongeschaalde"),
        )

    def on(self, frame: Frame) -> Effect:
        """Return it on data."""
        icar = self.graph.icar
        precision, levels = sp.csr_array(icar.precision), self.of_parts()
        if not self.scaled:
            precision = sp.csr_array(sp.diags_array(1 / icar.scale[icar.component]) @ precision)
            levels = self.of_parts(icar.scale[icar.constrained])
        structure = Structure((precision,), icar.means)
        return Effect(self.name, self.parameters, structure, self.seen(frame), self.loading, levels=levels)
