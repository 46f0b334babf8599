r"""Spline: a smooth departure from the line of a numeric covariate, by penalised B-splines.

    sigma_d B(x_a) z_d,  z_d ~ exp(-s |D_2 z_d|^2 / 2),

B cubic B-splines on equal intervals over the range of x in inhabited areas and 0.1% beyond, as in mgcv, D_2 second
differences, z orthogonal to constants and lines, which are in the formula: sigma = 0 is the linear effect. s is such
that the geometric mean over inhabited areas of the variance of B(x_a) z is 1: sigma is the departure's typical size.

References
----------
Eilers, P. and Marx, B. (1996). Flexible smoothing with B-splines and penalties. Statistical Science 11.
Klein, N. and Kneib, T. (2016). Scale-dependent priors for variance parameters in structured additive distributional
regression. Bayesian Analysis 11.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from annotated_types import Interval

from buurtsae.errors import ModelError, shown
from buurtsae.latent.structure import Structure
from buurtsae.model.frame import Frame
from buurtsae.model.terms.base import Effect, Term
from buurtsae.notes import Note

LEAST = 5  # values of a covariate that has a curve


@dataclass(frozen=True, kw_only=True, repr=False)
class Spline(Term):
    """A smooth effect of a covariate, as its departure from the linear effect that the formula has.

    Parameters
    ----------
    covariate : str
        A numeric covariate of the formula.
    intervals : int
        Number of equal intervals between knots.
    sd, spread, correlation, name
        See `Term`.

    Raises
    ------
    ModelError
        When the formula does not have the covariate as a number, this has fewer than five values, or the number of
        intervals is impossible.

    Examples
    --------
    >>> from buurtsae import AreaModel, Spline
    >>> AreaModel("1 + income", terms=[Spline("income")]).terms
    (Spline(s(income).sigma, s(income).R),)
    """

    covariate: str = field(kw_only=False)
    intervals: Annotated[int, Interval(ge=3, le=200)] = 20

    @property
    def kind(self) -> str:
        """With the covariate."""
        return f"s({self.covariate})"

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "smooth departure from the line of {covariate} (P-spline)",
            "gladde afwijking van de lijn van {covariate} (P-spline)",
            covariate=self.covariate,
        )

    def on(self, frame: Frame) -> Effect:
        """Return it on data.

        Raises
        ------
        ModelError
            As the class says.
        """
        from scipy.interpolate import BSpline

        if self.covariate not in frame.covariates:
            raise ModelError(
                f"the covariate of {self.name} is not in the formula as a number",
                repr(self.covariate),
                shown(frame.covariates.columns, 30) or "a numeric covariate",
                "add it to the formula: the spline is the departure from its line",
            )
        x, live = frame.covariates[self.covariate].to_numpy(dtype=float), frame.areas.inhabited
        if len(values := np.unique(x[live])) < LEAST:
            what = f"the covariate of {self.name} has too few values for a curve"
            hint = f"leave the term out, or make it a category: C({self.covariate})"
            raise ModelError(what, f"{len(values)} values", f"{LEAST} or more", hint)
        low, high = values[[0, -1]]
        edge = 0.001 * (high - low)
        step = (high - low + 2 * edge) / self.intervals
        knots = low - edge + step * np.arange(-3, self.intervals + 4)
        basis = sp.csr_array(BSpline.design_matrix(np.clip(x, low, high), knots, 3))
        n = basis.shape[1]
        second = np.diff(np.eye(n), 2, axis=0)
        lines = np.vstack([np.full(n, 1 / n), np.linspace(-1, 1, n)])
        variance = ((basis[live] @ np.linalg.pinv(second.T @ second)) * basis[live].toarray()).sum(axis=1)
        scale = float(np.exp(np.log(variance).mean()))
        structure = Structure((sp.csr_array(scale * second.T @ second),), sp.csr_array(lines))
        return Effect(self.name, self.parameters, structure, basis, self.loading)
