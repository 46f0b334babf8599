"""What rows of evidence are of: source, year, area and measure of direct estimates, by their place in a design.

Of one period there is no column `year`; of several a row is of one year, and what is told of a source is told of its
year. Sources of a design are those of the direct estimates one by one, or, by name, of all their years.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.engines.base import Fit
from buurtsae.model.design import Design
from buurtsae.model.observed import columns_of
from buurtsae.sparse import Ints
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates


def placed(design: Design, direct: DirectEstimates) -> Iterator[tuple[int, SourceEstimates, slice]]:
    """Yield the row of each source in a design, its direct estimates, and its columns."""
    by_name = len(design.sources) != len(direct.sources)
    for place, (source, columns) in enumerate(zip(direct.sources, columns_of(direct), strict=True)):
        yield design.sources.index(source.source) if by_name else place, source, columns


def labelled(fit: Fit, source: Ints, site: Ints, column: Ints) -> pd.DataFrame:
    """Return `source`, `year` (of several), `area_code`, `measure` and `n_respondents` of places in a design."""
    design, respondents = fit.design, np.zeros(fit.design.y.shape, dtype=np.int64)
    codes = pd.Index(design.site_codes)
    for place, survey, columns in placed(design, fit.direct):
        counts = pd.DataFrame(survey.respondents, index=survey.codes).reindex(codes, fill_value=0)
        respondents[place, :, columns] = counts
    names, measures = np.array(design.sources, dtype=object), np.array(design.measures, dtype=object)
    table = {"source": names[source], "year": _years(design, column), "area_code": codes.to_numpy(dtype=object)[site]}
    table |= {"measure": measures[column % len(measures)], "n_respondents": respondents[source, site, column]}
    return pd.DataFrame({name: values for name, values in table.items() if values is not None})


def _years(design: Design, column: Ints) -> NDArray[np.int64] | None:
    return np.array(design.years)[column // len(design.measures)] if design.years else None


def keys(rows: pd.DataFrame) -> list[str]:
    """Return the columns that tell whose direct estimates of what rows are."""
    return ["source", "measure", *(["year"] if "year" in rows else [])]


def levels(rows: pd.DataFrame, direct: DirectEstimates) -> pd.Series:
    """Return the level that the areas of rows are of: that of their source, in their year where they have one."""
    if "year" not in rows:
        return rows["source"].map({source.source: source.level for source in direct.sources})
    level = {(source.source, source.year): source.level for source in direct.sources}
    pairs = zip(rows["source"], rows["year"], strict=True)
    return pd.Series([level[pair] for pair in pairs], index=rows.index, dtype=object)
