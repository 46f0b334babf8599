r"""SAR: a simultaneous autoregressive effect per area, as in the spatial Fay-Herriot model.

    sigma_d z_d,  z_d = rho_d W z_d + e_d,  e_d ~ N(0, I),

with precision (I - rho W)'(I - rho W) = I - rho (W + W') + rho^2 W'W, W the adjacency with rows that sum to 1; sigma is
the standard deviation of the innovations.

References
----------
Pratesi, M. and Salvati, N. (2008). Small area estimation: the EBLUP estimator based on spatially correlated random area
effects. Statistical Methods and Applications 17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Each, Parameter, Values
from buurtsae.model.priors import Signed, Uniform
from buurtsae.model.terms.base import Effect, SpatialTerm
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class SAR(SpatialTerm):
    """Simultaneous autoregressive area effects.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    autocorrelation : Prior
        Of rho_d, between -1 and 1.
    sd, spread, correlation, name
        See `Term`; sd is of the innovations.

    Raises
    ------
    ModelError
        When it is laid on other areas than those of the graph.

    Examples
    --------
    >>> from buurtsae import SAR, Graph
    >>> SAR(Graph.from_pairs(["a", "b", "c"], [("a", "b"), ("b", "c")]))
    SAR(SAR.sigma, SAR.rho, SAR.R)
    """

    autocorrelation: Signed = Uniform(-1.0, 1.0)

    @property
    def shape(self) -> tuple[Parameter, ...]:
        """Autocorrelations."""
        return (Parameter("rho", Each(self.autocorrelation)),)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("z = rho W z + e, W with rows that sum to 1", "z = rho W z + e, rijen van W tellen op tot 1")

    def on(self, frame: Frame) -> Effect:
        """Return it on data: the precision is a sum of three parts."""
        degree = np.maximum(self.graph.adjacency.sum(axis=1), 1.0)
        w = sp.csr_array(sp.diags_array(1 / degree) @ self.graph.adjacency)
        structure = Structure.proper(sp.eye_array(w.shape[0]), -(w + w.T), w.T @ w)

        def log_determinant(values: Values) -> Any:
            import pytensor.tensor as pt

            root = sp.diags_array(degree**-0.5)  # W is similar to this symmetric matrix
            eigenvalues = np.linalg.eigvalsh((root @ self.graph.adjacency @ root).toarray())
            return 2 * pt.log(1 - values["rho"][..., None] * eigenvalues).sum(axis=-1)

        strengths = lambda values: (1.0, values["rho"], values["rho"] ** 2)  # noqa: E731
        return Effect(
            self.name, self.parameters, structure, self.seen(frame), self.loading, None, strengths, log_determinant
        )
