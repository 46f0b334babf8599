r"""RW1: a random walk of first order along a numeric column of the areas, with any steps.

    sigma_d z_d,  z_(k+1) - z_k ~ N(0, step_k / s),  sum_k z_k = 0,

s such that the geometric mean of the marginal variances is 1.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 3.3.
Sorbye, S. and Rue, H. (2014). Scaling intrinsic Gaussian Markov random field priors. Spatial Statistics 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.terms.base import Effect, Term, along
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class RW1(Term):
    """A random walk along a column: effects of values that lie near each other are alike.

    Parameters
    ----------
    column : str
        A numeric column of the areas, without gaps; areas with the same value share an effect.
    sd, spread, correlation, name
        See `Term`.

    Raises
    ------
    ModelError
        When the areas have no such column, or it has gaps or fewer than three values.

    Examples
    --------
    >>> from buurtsae import RW1
    >>> RW1("bouwjaar")
    RW1(RW1(bouwjaar).sigma, RW1(bouwjaar).R)
    """

    column: str = field(kw_only=False)

    @property
    def kind(self) -> str:
        """With the column."""
        return f"RW1({self.column})"

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("scaled random walk along {column}", "geschaalde random walk langs {column}", column=self.column)

    def on(self, frame: Frame) -> Effect:
        """Return it on data."""
        values, sees = along(self.column, frame)
        weight = 1 / np.diff(values)
        difference = sp.diags_array([-np.ones(len(weight)), np.ones(len(weight))], offsets=[0, 1],
                                    shape=(len(weight), len(values)))  # fmt: skip
        precision = sp.csr_array(difference.T @ sp.diags_array(weight) @ difference)
        mean = sp.csr_array(np.full((1, len(values)), 1 / len(values)))
        return Effect(self.name, self.parameters, Structure((precision,), mean).scaled(), sees, self.loading)
