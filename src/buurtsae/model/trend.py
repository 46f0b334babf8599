r"""The trend of years: what the intercept and the coefficients of a year know of those of others.

    beta_pdt = b_pd + sum_{k=1}^{T-1} A_tk c_pdk,    b_pd ~ its prior,    c_pdk ~ N(0, change_d^2),

A the contrasts over the years of a random walk (`model.contrasts`): b is the mean over the years, what changes goes on,
by a standard deviation that the years tell: of the intercept the national trend, of coefficients one for all. With it
at 0 years have one beta; the larger it is the more a year goes its own way, and then nothing is known of other years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from buurtsae.latent.structure import Structure
from buurtsae.model.contrasts import Contrasts
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Alike, Parameter, Values
from buurtsae.model.priors import PC, Positive
from buurtsae.model.terms.base import Effect
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats

SPREAD = 0.25  # of standard deviations over measures, as terms have it


@dataclass(frozen=True)
class Trend:
    """How intercept and coefficients change over years: as random walks.

    Parameters
    ----------
    intercept : Prior
        Of the standard deviation of the national trend, on the scale of the predictor: half a point of 0-10 by
        default, and half a unit of the link of shares and counts, 12 points about a share of one half. Figures without
        ends need one of their size, as terms do.
    coefficients : Prior, optional
        Of the standard deviation of their changes, per standard deviation of a covariate; None: they stay. By default
        the years tell: areas have the covariates of one edition, which fit one year better than another, and changes
        that areas with much of a covariate share are no chance of each.

    Raises
    ------
    ModelError
        On a prior of another kind.

    Examples
    --------
    >>> print(Trend().intercept)
    PC: P(> 0.5) = 0.01
    >>> Trend(coefficients=None)  # the national level changes, the effects of covariates do not
    Trend(intercept=PC(upper=0.5, alpha=0.01), coefficients=None)
    """

    intercept: Positive = PC(0.5, 0.01)
    coefficients: Positive | None = PC(0.25, 0.01)

    def __post_init__(self) -> None:
        check_ranges(self, "trend:")

    @property
    def parameters(self) -> tuple[tuple[str, tuple[Parameter, ...]], ...]:
        """Those of the intercept and of coefficients."""
        parts = ("intercept", self.intercept), ("beta", self.coefficients)
        return tuple((n, () if sd is None else (Parameter("change", Alike(sd, SPREAD)),)) for n, sd in parts)

    @property
    def words(self) -> Note:
        """What it is, in a line of the model."""
        if self.coefficients is None:
            return Note(
                "  over years: the intercept is a random walk, coefficients stay",
                "  over de jaren: de intercept is een toevalswandeling, coëfficiënten blijven",
            )
        return Note(
            "  over years: the intercept and the coefficients are random walks",
            "  over de jaren: de intercept en de coëfficiënten zijn toevalswandelingen",
        )

    def on(self, frame: Frame, names: Sequence[str], x: Floats, sd: Floats, unit: Floats) -> tuple[Effect, ...]:
        """Return it on data, in the place of independent coefficients: the intercept, then all others.

        Parameters
        ----------
        frame : Frame
            Of several years.
        names : sequence of str
            Of coefficients; the intercept, where there is one, is the first.
        x : ndarray, shape (N, P)
        sd : ndarray, shape (P,) or (P, W)
            Prior standard deviations.
        unit : ndarray, shape (P,)
            What coefficients are counted in.
        """
        if not names:
            return ()
        d, first = len(frame.measures), int("Intercept" in names)
        over = Contrasts.of(frame.years, d, "walk", frame.waves)
        sd = np.broadcast_to(sd.reshape(len(names), -1), (len(names), d * len(frame.years)))[:, :d]
        effects = []
        for (name, parameters), columns in zip(self.parameters, (slice(0, first), slice(first, None)), strict=True):
            if x[:, columns].shape[1]:
                effects.append(_effect(name, parameters, over, x[:, columns], sd[columns][0], unit[columns]))
        return tuple(effects)


def _effect(
    name: str, parameters: tuple[Parameter, ...], over: Contrasts, x: Floats, sd: Floats, unit: Floats
) -> Effect:
    """Coefficients of columns that have the same priors."""

    def loading(values: Values) -> Floats:
        changes = values["change"] / unit[0] if parameters else 0 * sd
        return over.loading(np.diag(sd / unit[0]), changes[..., None] * np.eye(over.width), 1.0)

    seen = sp.csr_array(np.asarray(x * unit))
    structure = Structure.exchangeable(x.shape[1])
    return Effect(name, parameters, structure, seen, loading, dense=True, joint=True, formula=True)
