r"""Horseshoe: as Ridge, but each coefficient is shrunk on its own; the reference for many covariates, of NUTS only.

    beta_p = C (l_p * b_p),   l_pd^2 = c^2 h_pd^2 / (c^2 + sigma_d^2 h_pd^2),   h_pd ~ HalfCauchy(1),

b_p ~ N(0, I_D), C = diag(sigma) L, and c^2 ~ InverseGamma(2, 8), a slab of four degrees of freedom and scale 2. If some
p_0 of P covariates count, sigma is about p_0 / (P - p_0) s / sqrt(n), s the standard deviation of what is seen of n
areas about the model: the scale of its half-Cauchy prior.

References
----------
Piironen, J. and Vehtari, A. (2017). Sparsity information and regularization in the horseshoe and other shrinkage
priors. Electronic J. Statistics 11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Values
from buurtsae.model.priors import HalfCauchy, Positive
from buurtsae.model.terms.base import Effect
from buurtsae.model.terms.ridge import Ridge
from buurtsae.notes import Note

TYPICAL = HalfCauchy(0.1)  # ten of a hundred covariates, of some hundred areas


@dataclass(frozen=True, kw_only=True, repr=False)
class Horseshoe(Ridge):
    """A theme of covariates of which few count: the reference that `Ridge` is compared with, for the engine `nuts`.

    What follows a fit and is computed given the hyperparameters, a publication too, is not for it.

    Parameters
    ----------
    name, covariates, spread, correlation
        See `Ridge`.
    sd : Prior
        Of the common sigma, HalfCauchy(p_0 / (P - p_0) s / sqrt(n)) where p_0 of P covariates count.

    Raises
    ------
    ModelError
        Without covariates, or with one of them twice.

    Examples
    --------
    >>> from buurtsae import HalfCauchy, Horseshoe
    >>> Horseshoe("mensen", ("pct_65plus", "pct_gezin", "inkomen"), sd=HalfCauchy(0.05))
    Horseshoe(mensen.sigma, mensen.R)
    """

    sd: Positive = TYPICAL

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("regularised horseshoe of {ridge}", "geregulariseerde horseshoe van {ridge}", ridge=super().about)

    def on(self, frame: Frame) -> Effect:
        """Return it on data."""
        return replace(super().on(frame), local=_local)


def _local(name: str, shape: tuple[int, int], values: Values) -> Any:
    """Return l, (P, D), in the PyMC model at hand."""
    import pymc as pm

    h = pm.HalfCauchy(f"{name}.h", 1.0, shape=shape)
    slab = pm.InverseGamma(f"{name}.slab", 2.0, 8.0)
    return h / (1 + (values["sigma"] * h) ** 2 / slab) ** 0.5
