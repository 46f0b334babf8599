r"""Intrinsic fields on a graph: zero on average in each connected part, and beside it the level of the part,

    sigma_d r l_[part of a]d,  l ~ N(0, g),

g the typical variance of the field u, 1 where it is scaled. Without levels every part has the mean of all, known as
well as that. Areas tell sigma, and sigma, times r, how far parts may lie apart. Few parts say little of r: its prior
keeps it away from 0, where they would be held together again, and lets one lie far off. Nor does it hang on phi, which
may be 0 by chance. Across measures l has the R of u. Areas without neighbours, and a graph of one part, have no levels.

References
----------
Freni-Sterrantino, A., Ventrucci, M. and Rue, H. (2018). A note on intrinsic CAR models for disconnected graphs. Spatial
and Spatio-temporal Epidemiology 26.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.parameters import Alike, Parameter, Values
from buurtsae.model.priors import LogNormal, Positive
from buurtsae.model.terms.base import Layer, SpatialTerm
from buurtsae.notes import Note
from buurtsae.sparse import Floats


@dataclass(frozen=True, kw_only=True, repr=False)
class IntrinsicTerm(SpatialTerm):
    """What terms with an intrinsic field share.

    Parameters
    ----------
    graph : Graph
        Neighbours of all areas, those without residents included.
    levels : bool
        A level for each connected part of two areas or more, where there are several; False: all parts have one mean.
    apart : Prior
        Of r, the standard deviation of levels over sigma.
    """

    levels: bool = True
    apart: Positive = LogNormal(-0.7, 0.4)

    @property
    def leveled(self) -> bool:
        """Whether parts have levels: they are asked for, and there are several."""
        return self.levels and self.graph.icar.rank_deficiency > 1

    @property
    def pinned(self) -> bool:
        """Whether every connected part has the mean of all."""
        return not self.levels and self.graph.icar.rank_deficiency > 1

    @property
    def shape(self) -> tuple[Parameter, ...]:
        """How large levels are beside the field, the same for all measures."""
        return (Parameter("level", Alike(self.apart, 0.0)),) if self.leveled else ()

    @property
    def level(self) -> str:
        """What levels add to the field, in symbols."""
        return f" + {self.name}.level l[part(a),d]" if self.leveled else ""

    @property
    def beside(self) -> Note:
        """The levels in words."""
        if not self.leveled:
            return Note("", "")
        return Note(
            ", l a level for each of {n} connected parts",
            ", l een niveau voor elk van {n} samenhangende delen",
            n=self.graph.icar.rank_deficiency,
        )

    def of_parts(self, variance: Floats | float = 1.0) -> Layer | None:
        """Return the levels, of variances g in each part, (parts,) or one."""
        if not self.leveled:
            return None
        means = self.graph.icar.means
        sd = np.sqrt(np.broadcast_to(variance, means.shape[0]))
        member = sp.csr_array((means != 0).T.astype(float) @ sp.diags_array(sd))
        return Layer(Structure.exchangeable(len(sd)), member, self.by_level)

    def by_level(self, values: Values) -> Any:
        """Return r diag(sigma) L."""
        return (values["level"] * values["sigma"])[..., None] * values["R" if "R" in values else "R_u"]
