r"""IID: exchangeable effects of a grouping of areas, sigma_d g_[a]d; of the areas themselves they are unstructured."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from buurtsae.errors import ModelError, shown
from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.terms.base import Effect, Term
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class IID(Term):
    """Exchangeable effects of a grouping of areas.

    Parameters
    ----------
    level : str
        Of the areas: their own, such as `buurt`, one above it or a grouping; `gemeentecode` and `wijkcode` are
        understood.
    sd, spread, correlation, name
        See `Term`.

    Raises
    ------
    ModelError
        When it is laid on areas of which some are in no group.

    Examples
    --------
    >>> from buurtsae import IID
    >>> IID("gemeente")
    IID(gemeente.sigma, gemeente.R)
    """

    level: str = field(kw_only=False)

    @property
    def kind(self) -> str:
        """The level without `code`."""
        return self.level.removesuffix("code")

    @property
    def symbol(self) -> str:
        """Its part of the predictor."""
        return f"{self.name}.sigma[d] g[{self.kind}(a),d]"

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("IID per {level}", "IID per {level}", level=self.kind)

    def on(self, frame: Frame) -> Effect:
        """Return it on data; loose where every area is its own group.

        Raises
        ------
        ModelError
            As the class says.
        """
        group, n = frame.areas.parents(self.kind), len(frame.areas.codes)
        if group.isna().any():
            raise ModelError(
                f"areas are in no group of {self.kind}, which is a term",
                shown(group.index[group.isna()]),
                "a group for every area",
                "complete the grouping, or leave the term out",
            )
        labels, index = np.unique(group.to_numpy(dtype=str), return_inverse=True)
        if len(labels) == n:
            return Effect(self.name, self.parameters, None, sp.csr_array((n, 0)), self.loading, self.loading)
        member = sp.csr_array((np.ones(n), (np.arange(n), index)), shape=(n, len(labels)))
        return Effect(self.name, self.parameters, Structure.exchangeable(len(labels)), member, self.loading)
