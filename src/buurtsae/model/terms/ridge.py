r"""Ridge: the coefficients of many covariates of one theme, drawn to 0 as much as the data ask for.

    sum_p x_ap beta_p,   beta_p = C b_p,  b_p ~ N(0, I_D),  C = diag(sigma) L,

x standardised. sigma is the typical size of a coefficient: of P covariates that do not go together, the theme's effect
has the standard deviation sigma sqrt(P). What covariates share they share in the coefficients, so that the theme's
effect is well known where single coefficients are not. `PC(0.5, 0.05)` keeps coefficients below half a point per
standard deviation and leaves 0 the likeliest.

References
----------
Hoerl, A. and Kennard, R. (1970). Ridge regression. Technometrics 12. Simpson, D. et al. (2017). Penalising model
component complexity. Statistical Science 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from buurtsae.errors import ModelError, shown
from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.priors import PC, Positive
from buurtsae.model.terms.base import Effect, Term
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class Ridge(Term):
    """A theme of covariates with shrunk coefficients: ten to two hundred may go in.

    Parameters
    ----------
    name : str
        Of the theme.
    covariates : sequence of str
        Columns of the areas that are not in the formula; each is transformed, standardised and, where it is missing,
        treated as those of the formula are.
    sd : Prior
        Of the common sigma of the coefficients, per standard deviation of a covariate.
    spread, correlation
        See `Term`.

    Raises
    ------
    ModelError
        Without covariates, or with one of them twice.

    Examples
    --------
    >>> from buurtsae import Ridge
    >>> Ridge("mensen", ("pct_65plus", "pct_gezin", "inkomen"))
    Ridge(mensen.sigma, mensen.R)
    """

    name: str = field(kw_only=False)
    covariates: tuple[str, ...] = field(kw_only=False)
    sd: Positive = PC(0.5, 0.05)

    def __post_init__(self) -> None:
        if isinstance(self.covariates, list):
            object.__setattr__(self, "covariates", tuple(self.covariates))  # lists are welcome, and frozen here
        super().__post_init__()
        twice = sorted({one for one in self.covariates if self.covariates.count(one) > 1})
        if twice or not self.covariates:
            got = f"twice: {shown(twice)}" if twice else "no covariates"
            hint = "correct `covariates` of the term"
            raise ModelError(f"the theme {self.name} is impossible", got, "the columns of the theme, once each", hint)

    @property
    def theme(self) -> tuple[str, ...]:
        """Its covariates."""
        return self.covariates

    @property
    def symbol(self) -> str:
        """Its part of the predictor, of area a and measure d."""
        return f"x_{self.name}[a]' beta_{self.name}[d]"

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "{n} covariates with shrunk coefficients ({names})",
            "{n} kenmerken met gekrompen coëfficiënten ({names})",
            n=len(self.covariates), names=self.covariates,
        )  # fmt: skip

    def on(self, frame: Frame) -> Effect:
        """Return it on data."""
        x = frame.covariates[list(self.covariates)].to_numpy(dtype=float)
        unit = Structure.exchangeable(x.shape[1])
        return Effect(self.name, self.parameters, unit, sp.csr_array(np.asarray(x)), self.loading, dense=True)
