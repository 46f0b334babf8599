r"""Leroux: a spatial effect per area whose precision lies between that of independence and of the intrinsic CAR.

    sigma_d z_d,  z_d ~ N(0, ((1 - phi_d) I + phi_d (D - A))^-1),

A the adjacency and D its degrees, unscaled: sigma is the standard deviation at phi = 0 only.

References
----------
Leroux, B., Lei, X. and Breslow, N. (2000). Estimation of disease rates in small areas. In Statistical Models in
Epidemiology, the Environment and Clinical Trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Each, Parameter, Values
from buurtsae.model.priors import Beta, Proportion
from buurtsae.model.terms.base import Effect, SpatialTerm
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class Leroux(SpatialTerm):
    """Spatial area effects with a parameter from independence, phi = 0, to the intrinsic CAR, phi = 1.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    mixing : Prior
        Of phi_d.
    sd, spread, correlation, name
        See `Term`.

    Raises
    ------
    ModelError
        When it is laid on other areas than those of the graph.

    Examples
    --------
    >>> from buurtsae import Graph, Leroux
    >>> Leroux(Graph.from_pairs(["a", "b", "c"], [("a", "b"), ("b", "c")]))
    Leroux(Leroux.sigma, Leroux.phi, Leroux.R)
    """

    mixing: Proportion = Beta(1.0, 1.0)

    @property
    def shape(self) -> tuple[Parameter, ...]:
        """The mixing."""
        return (Parameter("phi", Each(self.mixing)),)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("z ~ N(0, ((1 - phi) I + phi (D - A))^-1)", "z ~ N(0, ((1 - phi) I + phi (D - A))^-1)")

    def on(self, frame: Frame) -> Effect:
        """Return it on data: the precision is a sum of two parts."""
        laplacian = self.graph.laplacian
        structure = Structure.proper(sp.eye_array(laplacian.shape[0]), laplacian)

        def log_determinant(values: Values) -> Any:
            import pytensor.tensor as pt

            phi = values["phi"][..., None]
            return pt.log(1 - phi + phi * np.linalg.eigvalsh(laplacian.toarray())).sum(axis=-1)

        strengths = lambda values: (1 - values["phi"], values["phi"])  # noqa: E731
        return Effect(
            self.name, self.parameters, structure, self.seen(frame), self.loading, None, strengths, log_determinant
        )
