r"""AR1: a stationary autoregression along a numeric column of the areas, in equal steps.

    sigma_d z_d,  z_(k+1) = rho_d z_k + sqrt(1 - rho_d^2) e_k,  e_k ~ N(0, 1),  z_k ~ N(0, 1):

precision (I - rho B + rho^2 K) / (1 - rho^2), with B the neighbours on the line and K 1 at all but its ends.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from buurtsae.errors import ModelError, shown
from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Each, Parameter, Values
from buurtsae.model.priors import Signed, Uniform
from buurtsae.model.terms.base import Effect, Term, along
from buurtsae.notes import Note

LONGEST = 100_000  # steps on the line


@dataclass(frozen=True, kw_only=True, repr=False)
class AR1(Term):
    """A stationary autoregression of first order along a column.

    Parameters
    ----------
    column : str
        A numeric column of the areas, without gaps, whose values lie whole steps apart: years, say. Steps at which
        there is no area are there all the same.
    autocorrelation : Prior
        Of rho_d, between -1 and 1.
    sd, spread, correlation, name
        See `Term`; sd is of the stationary effect.

    Raises
    ------
    ModelError
        When the areas have no such column, or it has gaps, fewer than three values or unequal steps.

    Examples
    --------
    >>> from buurtsae import AR1
    >>> AR1("jaar", name="trend")
    AR1(trend.sigma, trend.rho, trend.R)
    """

    column: str = field(kw_only=False)
    autocorrelation: Signed = Uniform(-1.0, 1.0)

    @property
    def kind(self) -> str:
        """With the column."""
        return f"AR1({self.column})"

    @property
    def shape(self) -> tuple[Parameter, ...]:
        """Autocorrelations."""
        return (Parameter("rho", Each(self.autocorrelation)),)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "stationary autoregression along {column}", "stationaire autoregressie langs {column}", column=self.column
        )

    def on(self, frame: Frame) -> Effect:
        """Return it on data: the precision is a sum of three parts.

        Raises
        ------
        ModelError
            As the class says.
        """
        values, sees = along(self.column, frame)
        place = (values - values[0]) / np.diff(values).min()
        whole = np.round(place).astype(np.int64)
        if np.abs(place - whole).max() > 1e-6 or whole[-1] > LONGEST:
            raise ModelError(
                f"the values of {self.column}, along which a term lies, are no whole steps apart",
                shown(values),
                f"equal steps, at most {LONGEST}",
                "use RW1, which takes any steps",
            )
        n = int(whole[-1]) + 1
        inside = np.ones(n)
        inside[[0, -1]] = 0.0
        ones = np.ones(n - 1)
        line = sp.diags_array([ones, ones], offsets=[-1, 1], shape=(n, n))
        structure = Structure.proper(sp.eye_array(n), line, sp.diags_array(inside))
        to_line = sp.csr_array((np.ones(len(whole)), (np.arange(len(whole)), whole)), shape=(len(whole), n))

        def strengths(values: Values) -> tuple[Any, ...]:
            precision = 1 / (1 - values["rho"] ** 2)
            return precision, -precision * values["rho"], precision * values["rho"] ** 2

        def log_determinant(values: Values) -> Any:
            import pytensor.tensor as pt

            return -(n - 1) * pt.log(1 - values["rho"] ** 2)

        return Effect(
            self.name, self.parameters, structure, sp.csr_array(sees @ to_line), self.loading, None, strengths,
            log_determinant,
        )  # fmt: skip
