"""Whether figures per buurt can be what their columns say, and estimates where the prior of their mean has them.

A codebook gives a range by `range`, or by a unit that begins with %: a figure outside it is an error. A column of which
only the name sounds like a percentage may be a change, or something else: that is a note.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, ModelError, shown
from buurtsae.model.covariates import known
from buurtsae.model.priors import Normal
from buurtsae.notes import Finding, Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats

FAR = 4.0  # standard deviations
PERCENTAGE = re.compile(r"(pct|perc|percentage|p)_", re.IGNORECASE)


def figures(areas: Areas) -> list[Finding]:
    """Return what is wrong or strange with the figures of buurten with residents; of other areas nothing is known."""
    if areas.system != CBS:
        return []
    return [within(areas.frame.loc[areas.inhabited, name]) for name in areas.covariates]


def far(prior: Normal, centre: Floats, scale: Scale) -> list[Note]:
    """Return a note on measures, with means `centre`, that lie where the prior of the intercept has next to nothing.

    Raises
    ------
    ModelError
        Where the scale has no ends: the other priors are then of another size than the data too; or where means lie
        beyond its ends.
    """
    if ((centre < scale.lower) | (centre > scale.upper)).any():
        means, hint = shown(f"{mean:.3g}" for mean in centre), "give the outcome the scale of the data"
        raise ModelError("the data lie outside the scale of the outcome", f"means {means}", scale.range, hint)
    if (np.abs(centre - prior.mean) <= FAR * prior.sd).all():
        return []
    if not scale.bounded:
        raise ModelError(
            "the data lie far from the prior of the intercept",
            f"means {shown(f'{mean:.3g}' for mean in centre)}, and {prior}",
            f"within {FAR:g} standard deviations",
            f"state priors on the scale of the data, intercept=Normal({centre[0]:.3g}, ...), also of the others",
        )
    return [
        Note(
            "the direct estimates are {means:g} on average, and the prior of the intercept is {prior}: state priors on "
            "the scale of the data, such as intercept=Normal({mean:g}, ...), of the coefficients and of the terms too",
            "de directe schattingen zijn gemiddeld {means:g}, en de prior van de intercept is {prior}: geef priors op "
            "de schaal van de data, zoals intercept=Normal({mean:g}, ...), ook voor de coëfficiënten en de effecten",
            means=list(centre), mean=float(centre[0]), prior=prior,
        )
    ]  # fmt: skip


def within(column: pd.Series) -> Finding:
    """A figure lies in the range of its indicator, and a percentage between 0 and 100."""
    name, entry = str(column.name), known(str(column.name))
    limits = entry[1].limits if entry else None
    low, high = limits or (0.0, 100.0)
    outside = column[column.notna() & ~column.between(low, high)]
    if outside.empty or not (limits or PERCENTAGE.match(name)):
        return None
    where = Note(
        "{values:g} in {n} areas ({codes})",
        "{values:g} in {n} gebieden ({codes})",
        values=list(outside), n=len(outside), codes=list(outside.index),
    )  # fmt: skip
    if limits and entry:
        return DataError(
            f"{name} lies outside its range",
            where,
            f"{low:g} to {high:g}: {entry[1].unit}",
            "correct these cells",
        )
    return Note(
        "{name} sounds like a percentage and lies outside 0-100: {got}",
        "{name} klinkt als een percentage en ligt buiten 0-100: {got}",
        name=name, got=where,
    )  # fmt: skip
