"""The buurtprofiel's objective half: what registers say of each buurt, beside its gemeente and the whole.

Every column of the areas that a codebook of an objective source describes is an indicator, used by the model or not;
those on origin are left out, and numbers that other figures are made of. An indicator belongs to the dimensions whose
sub-dimensions it informs; one that informs several says who lives there. Means of gemeente and land are weighted by
residents: for percentages and means of residents these are the figures of the whole, for others (distances) what the
average resident has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.model.covariates import known
from buurtsae.survey.concept import Concept


@dataclass(frozen=True)
class ProfileIndicator:
    """One objective figure per buurt.

    Attributes
    ----------
    name : str
        Column of the areas.
    nl, unit, source : str
        Title, unit, and the register, in Dutch.
    dimension : str
        A dimension of the concept; empty where it informs several.
    en, unit_en, source_en : str
        The same in English; empty where the codebook has none.
    """

    name: str
    nl: str
    unit: str
    source: str
    dimension: str
    en: str = ""
    unit_en: str = ""
    source_en: str = ""


def indicators(areas: Areas, concept: Concept) -> tuple[ProfileIndicator, ...]:
    """Return the objective figures among the columns of the areas, those of residents first, then by dimension."""
    dimensions = [n.id for n in concept.nodes.values() if n.parent is not None and n.id not in concept.subdimensions]
    by_name: dict[str, ProfileIndicator] = {}
    for column in areas.covariates:
        entry = known(column)
        if entry is None or entry[1].sensitive or entry[1].aside or entry[1].name in by_name:
            continue
        book, indicator = entry
        informed = [dimension for dimension in dimensions if set(concept.leaves(dimension)) & set(indicator.informs)]
        dimension = informed[0] if len(informed) == 1 else ""
        nl = indicator.nl or indicator.about or column
        english = indicator.en, indicator.unit_en, book.en
        by_name[indicator.name] = ProfileIndicator(column, nl, indicator.unit, book.nl, dimension, *english)
    order = ["", *dimensions]
    return tuple(sorted(by_name.values(), key=lambda i: order.index(i.dimension)))


def profile(areas: Areas, concept: Concept) -> pd.DataFrame:
    """Return the objective figures of every buurt beside its gemeente and the land.

    `area_code`, `gemeente_code`, `indicator`, `value`, `gemeente`, `land`: one row per buurt with residents and
    indicator; a value that is hidden or unknown is missing, and that of a gemeente of which the run holds a part.
    """
    live = np.flatnonzero(areas.inhabited)
    gemeente, people = areas.parents("gemeente").to_numpy()[live], areas.population[live].astype(float)
    buurten, parts = pd.DataFrame({"area_code": areas.codes[live], "gemeente_code": gemeente}), []
    for indicator in indicators(areas, concept):
        values = areas.frame[indicator.name].to_numpy(dtype=float)[live]
        weight = np.where(np.isnan(values), 0.0, people)
        sums = pd.DataFrame({"x": np.nan_to_num(values) * weight, "w": weight}).groupby(gemeente).sum()
        with np.errstate(invalid="ignore"):
            means = sums["x"] / sums["w"]
            whole = np.divide(sums["x"].sum(), sums["w"].sum())
        around = means.loc[gemeente].where(areas.complete("gemeente", gemeente)).to_numpy()
        parts.append(buurten.assign(indicator=indicator.name, value=values, gemeente=around, land=whole))
    columns = [*buurten, "indicator", "value", "gemeente", "land"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
