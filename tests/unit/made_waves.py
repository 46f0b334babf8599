"""Made waves of a survey: what stays in an area and what changes, from a law of ours and not of the package.

On squares in gemeenten of twelve, with N waves:   eta_at = level_t + 0.4 groen_a + s_a + c_at,   s and c normal with
sds 0.5 and 0.25, independent between areas, measures and (c) years; y = eta + N(0, V), V of two measures of the same
respondents, correlation 0.4.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import box

from buurtsae.areas.areas import Areas
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.model.terms.over_time import OverTime
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

YEARS, LEVELS = (2020, 2022, 2025), (6.0, 6.3, 5.9)
MEASURES = ("participatie", "plaatsidentiteit")
STAYS, CHANGES, SLOPE, WITHIN, TOGETHER = 0.5, 0.25, 0.4, 1.2, 0.4
ACROSS, OF_GEMEENTE = 12, 12
Arrays = dict[str, np.ndarray]


def world(seed: int, areas: int = 60, years: int = len(YEARS)) -> Arrays:
    """What the waves are made of; a test may change it before `direct_of`."""
    rng, d = np.random.default_rng([seed, 29]), len(MEASURES)
    made = {
        "groen": rng.normal(size=areas),
        "residents": np.round(rng.lognormal(7, 1, areas)).clip(60),
        "stays": STAYS * rng.normal(size=(areas, 1, d)),
        "changes": CHANGES * rng.normal(size=(areas, years, d)),
        "n": rng.integers(1, 25, (areas, years)).astype(float),
        "error": rng.normal(size=(areas, years, d)),
        "seen": np.arange(areas)[:, None] % 10 != np.arange(years),
        "spread": np.ones(years),  # by which errors are larger than stated
        "effect": np.zeros((areas, years, d)),
    }
    return made | {"place": np.tile(np.arange(areas)[:, None], years)}  # whose answers an area has in a year


def areas_of(made: Arrays) -> Areas:
    """Squares, each row of twelve a gemeente."""
    k = np.arange(len(made["groen"]))
    codes = [f"BU{300 + g:04}00{i % OF_GEMEENTE:02}" for i, g in enumerate(k // OF_GEMEENTE)]
    index = pd.Index(codes, name="area_code")
    x, y = 1000.0 * (k % ACROSS), 1000.0 * (k // ACROSS)
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM" + index.str[2:6]}
    columns |= {"population": made["residents"], "groen": made["groen"]}
    frame = gpd.GeoDataFrame(columns, index=index, geometry=box(x, y, x + 1000, y + 1000), crs="EPSG:28992")
    return Areas(frame, 2024)


def direct_of(made: Arrays, years: tuple[int, ...] = YEARS) -> DirectEstimates:
    """Direct estimates of one source in each wave."""
    areas, sources, d = areas_of(made), list[SourceEstimates](), len(MEASURES)
    root = np.linalg.cholesky((1 - TOGETHER) * np.eye(d) + TOGETHER)
    eta = SLOPE * made["groen"][:, None, None] + made["stays"] + made["changes"] + made["effect"]
    for t, year in enumerate(years):
        n, seen = made["n"][:, t], made["seen"][:, t]
        error = made["spread"][t] * WITHIN * (made["error"][:, t] @ root.T) / np.sqrt(n)[:, None]
        mean = (LEVELS[t % len(LEVELS)] + eta[:, t] + error)[made["place"][:, t]][seen]
        variance = WITHIN**2 / n[made["place"][:, t]][seen][:, None, None] * (root @ root.T)
        counts = np.repeat(n[made["place"][:, t]][seen, None], d, axis=1)
        sources.append(
            SourceEstimates("burgerpeiling", year, areas.codes[seen], mean, variance, counts.astype("int64"), counts)
        )
    return DirectEstimates(MEASURES, tuple(sources), areas).by_year()


def model_of(data: DirectEstimates) -> AreaModel:
    """A model of the areas over the years."""
    graph = data.areas.graph("rook")
    return AreaModel("1 + groen", [OverTime(BYM2(graph)), OverTime(IID("gemeente"))])  # type: ignore[arg-type]
