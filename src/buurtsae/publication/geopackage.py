"""`estimates.gpkg`: a GeoPackage for GIS, with one row per buurt, and the table of all levels beside it.

Layer `buurten` is wide, so that a map needs no joins: per measure its estimate, interval and label, of the last year
in the table. Every polygon is there; a buurt without an estimate has no label. Layer `estimates` is the table of the
contract. The moment of change that the format holds is that of the run, so that equal results are equal files.
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

if TYPE_CHECKING:
    import geopandas as gpd

PARTS = {"estimate": "", "lower": "_lower", "upper": "_upper", "label": "_label"}


def write_geopackage(
    table: pd.DataFrame, areas: Areas, measures: Sequence[str], folder: Path, created: datetime, notice: str = ""
) -> None:
    """Write `estimates.gpkg`, changed at the moment `created` (UTC); the notice is the description of both layers."""
    import pyogrio

    path, described = folder / "estimates.gpkg", {"DESCRIPTION": notice} if notice else {}
    with _moment(created):
        options = {"geometry_type": "MultiPolygon", "promote_to_multi": True, **described}
        pyogrio.write_dataframe(wide(table, areas, measures), path, layer="buurten", driver="GPKG", **options)
        pyogrio.write_dataframe(table, path, layer="estimates", driver="GPKG", **described)


def wide(table: pd.DataFrame, areas: Areas, measures: Sequence[str]) -> gpd.GeoDataFrame:
    """Return one row per buurt with its polygon: codes, residents, respondents, and four columns per measure.

    Rows are those of the last year, respondents those of the last measure, the total.
    """
    import geopandas as gpd

    last = table["year"].max()
    rows = table[(table["level"] == "buurt") & (table["year"] == last)].set_index("area_code")
    by_measure = {name: rows[rows["measure"] == name].reindex(areas.codes) for name in measures}
    code = areas.codes.to_series()
    columns = {
        "area_code": code,
        "area_name": areas.frame["name"].astype(str),
        "wijk": CBS.read(code, "wijk"),
        "gemeente": CBS.read(code, "gemeente"),
        "code_year": areas.year,
        "year": last,
        "population": areas.frame["population"],
        "n_respondents": by_measure[measures[-1]]["n_respondents"],
    }
    for measure, figures in by_measure.items():
        columns |= {measure + suffix: figures[name] for name, suffix in PARTS.items()}
    frame = pd.DataFrame(columns, index=areas.codes).reset_index(drop=True)
    return gpd.GeoDataFrame(frame, geometry=[polygonal(shape) for shape in areas.frame.geometry], crs=RD)


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
