"""What rows of evidence are of: source, year, area and measure of direct estimates, by their place in a design.

Of one period there is no column `year`; of several a row is of one, and its source is labelled as in
`DirectEstimates.labels`. Sources of a design are those of the direct estimates one by one, or, by name, with all their
years.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.model.design import Design
from buurtsae.model.observed import columns_of, rows_of
from buurtsae.sparse import Ints
from buurtsae.survey.direct import DirectEstimates


def placed(design: Design, direct: DirectEstimates) -> Iterator[tuple[int, slice]]:
    """Yield where the direct estimates of each source are in a design: its row, and the columns of its year."""
    yield from zip(rows_of(direct), columns_of(direct), strict=True)


def labelled(fit: Fit, source: Ints, site: Ints, column: Ints) -> pd.DataFrame:
    """Return `source`, `year` (of several), `area_code`, `measure` and `n_respondents` of places in a design."""
    design, codes = fit.design, pd.Index(fit.design.site_codes)
    respondents, label = np.zeros(design.y.shape, dtype=np.int64), np.empty(design.linked.shape, dtype=object)
    surveys = zip(placed(design, fit.direct), fit.direct.labels, fit.direct.sources, strict=True)
    for (row, columns), name, survey in surveys:
        respondents[row, :, columns] = pd.DataFrame(survey.respondents, survey.codes).reindex(codes, fill_value=0)
        label[row, columns] = name
    year, measure = np.divmod(column, len(design.measures))
    table = {"source": label[source, column], "year": np.array(design.years or (0,))[year]}
    table |= {"area_code": np.array(codes)[site], "measure": np.array(design.measures, dtype=object)[measure]}
    rows = pd.DataFrame(table | {"n_respondents": respondents[source, site, column]})
    return rows if design.years else rows.drop(columns="year")


def keys(rows: pd.DataFrame) -> list[str]:
    """Return the columns that tell whose direct estimates of what rows are."""
    return ["source", "measure", *(["year"] if "year" in rows else [])]


def levels(rows: pd.DataFrame, direct: DirectEstimates) -> pd.Series:
    """Return the level that the areas of rows are of: that of their source."""
    return rows["source"].map({label: s.level for label, s in zip(direct.labels, direct.sources, strict=True)})
