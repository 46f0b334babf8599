"""`estimates.gpkg`: a GeoPackage for GIS, with one row per buurt, and the table of all levels beside it.

Layer `buurten` is wide, so that a map needs no joins: per measure its estimate, interval and label, of the year that
pages open with. Every polygon is there; a buurt without an estimate has no label. Of several years it also has how the
figures changed in the last pair of years. Layer `estimates` is the table of the contract, and layer `changes`, of
several years, that of all changes. The moment of change that the format holds is that of the run, so that equal results
are equal files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.areas.polygons import RD
from buurtsae.drawing.style import polygonal
from buurtsae.estimates.words.change import last_pair

if TYPE_CHECKING:
    import geopandas as gpd

PARTS = {"estimate": "", "lower": "_lower", "upper": "_upper", "label": "_label"}
CHANGED = {"change": "_change", "lower": "_change_lower", "upper": "_change_upper", "label": "_change_label"}


def write_geopackage(
    table: pd.DataFrame,
    areas: Areas,
    measures: Sequence[str],
    folder: Path,
    created: datetime,
    notice: str = "",
    changes: pd.DataFrame | None = None,
    opens: int | None = None,
) -> None:
    """Write `estimates.gpkg`, changed at the moment `created` (UTC); the notice is the description of all layers."""
    import pyogrio

    path, described = folder / "estimates.gpkg", {"DESCRIPTION": notice} if notice else {}
    with _moment(created):
        options = {"geometry_type": "MultiPolygon", "promote_to_multi": True, **described}
        buurten = wide(table, areas, measures, changes, opens)
        pyogrio.write_dataframe(buurten, path, layer="buurten", driver="GPKG", **options)
        pyogrio.write_dataframe(table, path, layer="estimates", driver="GPKG", **described)
        if changes is not None:
            pyogrio.write_dataframe(changes, path, layer="changes", driver="GPKG", **described)


def wide(
    table: pd.DataFrame,
    areas: Areas,
    measures: Sequence[str],
    changes: pd.DataFrame | None = None,
    opens: int | None = None,
) -> gpd.GeoDataFrame:
    """Return one row per buurt with its polygon: codes, residents, respondents, and four columns per measure.

    Rows are those of the year that opens, by default the last; respondents those of the last measure, the total.
    Changes, another four columns per measure, are of the last pair of years.
    """
    import geopandas as gpd

    year = opens or table["year"].max()
    rows = table[(table["level"] == "buurt") & (table["year"] == year)].set_index("area_code")
    by_measure = {name: rows[rows["measure"] == name].reindex(areas.codes) for name in measures}
    code = areas.codes.to_series()
    columns = {
        "area_code": code,
        "area_name": areas.frame["name"].astype(str),
        "wijk": CBS.read(code, "wijk"),
        "gemeente": CBS.read(code, "gemeente"),
        "code_year": areas.year,
        "year": year,
        "population": areas.frame["population"],
        "n_respondents": by_measure[measures[-1]]["n_respondents"],
    }
    for measure, figures in by_measure.items():
        columns |= {measure + suffix: figures[name] for name, suffix in PARTS.items()}
    columns |= {} if changes is None else _changed(changes, areas, measures)
    frame = pd.DataFrame(columns, index=areas.codes).reset_index(drop=True)
    return gpd.GeoDataFrame(frame, geometry=[polygonal(shape) for shape in areas.frame.geometry], crs=RD)


def _changed(changes: pd.DataFrame, areas: Areas, measures: Sequence[str]) -> dict[str, object]:
    """How the figures of every buurt changed in the last pair of years, and which these are."""
    first, second = last_pair(zip(changes["year_from"], changes["year_to"], strict=True))
    of_pair = (changes["year_from"] == first) & (changes["year_to"] == second) & (changes["level"] == "buurt")
    columns: dict[str, object] = {"change_from": first, "change_to": second}
    for measure in measures:
        rows = changes[of_pair & (changes["measure"] == measure)].set_index("area_code").reindex(areas.codes)
        columns |= {measure + suffix: rows[name] for name, suffix in CHANGED.items()}
    return columns


@contextmanager
def _moment(created: datetime) -> Iterator[None]:
    """Let GDAL write this moment instead of the present one."""
    import pyogrio

    option = "OGR_CURRENT_DATE"
    before = pyogrio.get_gdal_config_option(option)
    pyogrio.set_gdal_config_options({option: created.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({option: before})
