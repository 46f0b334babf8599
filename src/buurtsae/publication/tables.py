"""The table of estimates as Parquet, CSV and GeoParquet.

All three hold the same numbers: CSV has the shortest text that reads back to the same double. GeoParquet has the
rows of level `buurt` in the same long form, one per buurt, measure and year, with the buurt's polygon on each; sorted
by buurt, so that repeated polygons compress to almost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.polygons import RD
from buurtsae.errors import DataError, shown
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import CONTRACT_VERSION, Column, changes, estimates, groups
from buurtsae.tables import write_csv

if TYPE_CHECKING:
    import geopandas as gpd


def write_tables(
    table: pd.DataFrame, geometry: gpd.GeoDataFrame, folder: Path, notice: str = "", scale: Scale = SCORE
) -> None:
    """Write `estimates.parquet`, `estimates.csv` and `estimates.geoparquet`; both Parquet files have the notice.

    Raises
    ------
    DataError
        If a buurt of the table has no geometry, or the geometry is in another coordinate system.
    """
    import pyarrow.parquet as pq

    with_polygons = _with_geometry(table, geometry)
    _write_parquet(table, estimates(scale), folder / "estimates.parquet", notice)
    write_csv(table, folder / "estimates.csv")
    path = folder / "estimates.geoparquet"
    with_polygons.to_parquet(path, index=False, compression="zstd")
    if notice:  # geopandas has no place for it
        polygons = pq.read_table(path)
        metadata = {**(polygons.schema.metadata or {}), "notice": notice}
        pq.write_table(polygons.replace_schema_metadata(metadata), path, compression="zstd")


def write_groups(table: pd.DataFrame, folder: Path, notice: str = "", scale: Scale = SCORE) -> None:
    """Write figures of groups of residents, `groups.parquet` and `groups.csv`."""
    _write_parquet(table, groups(scale), folder / "groups.parquet", notice)
    write_csv(table, folder / "groups.csv")


def write_changes(table: pd.DataFrame, folder: Path, notice: str = "", scale: Scale = SCORE) -> None:
    """Write how figures changed between years, `changes.parquet` and `changes.csv`."""
    _write_parquet(table, changes(scale), folder / "changes.parquet", notice)
    write_csv(table, folder / "changes.csv")


def write_trends(table: pd.DataFrame, folder: Path) -> None:
    """Write the figures of every year with breaks in the series and without, `trends.csv`."""
    write_csv(table, folder / "trends.csv")


def _write_parquet(table: pd.DataFrame, columns: Sequence[Column], path: Path, notice: str) -> None:
    """Write a table with what its columns mean."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    for k, column in enumerate(columns):
        about = {"title": column.nl, "description": column.en, "unit": column.unit}
        arrow = arrow.set_column(k, arrow.schema.field(k).with_metadata(about), arrow.column(k))
    of_table = {"contract_version": CONTRACT_VERSION, "notice": notice}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **of_table})
    pq.write_table(arrow, path, compression="zstd")


def _with_geometry(table: pd.DataFrame, geometry: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Join polygons to the rows of level buurt; polygons without a row (no residents) are left out."""
    import geopandas as gpd

    buurten = table[table["level"] == "buurt"].sort_values(["area_code", "measure", "year"], ignore_index=True)
    if unknown := sorted(set(buurten["area_code"]) - set(geometry.index)):
        raise DataError("estimates have no geometry", shown(unknown), "a polygon per buurt", "check the areas' year")
    if geometry.crs != RD:
        raise DataError("the geometry is not in RD New", str(geometry.crs), RD, "reproject it with to_crs")
    polygons = geometry.geometry.reindex(buurten["area_code"]).to_numpy()
    return gpd.GeoDataFrame(buurten, geometry=polygons, crs=RD)
