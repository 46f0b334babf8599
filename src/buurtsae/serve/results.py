"""A finished run, as the bodies that a server sends.

Only what is published is read: files per gemeente, pages, the table in which suppressed figures are null, and the
borders of buurten, simplified together to `TOLERANCE` and in longitude and latitude (WGS 84) as GeoJSON asks. A file
must have its hash when it is read: once another run has taken the place of this one, nothing of that is served.

References
----------
RFC 7946, The GeoJSON Format.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.folder.finished import Finished
from buurtsae.schemas import CONTRACT_VERSION, ESTIMATES, records

if TYPE_CHECKING:
    import geopandas as gpd

TOLERANCE = 5.0  # metres
DECIMALS = 6  # of a degree: 0.1 m
PAGES = "dashboard/"


@dataclass(frozen=True)
class Results:
    """What a run has published: its files, and the table of the estimates of all levels."""

    run: Finished
    table: pd.DataFrame

    @classmethod
    def open(cls, folder: str | Path) -> Results:
        """Read the results in a folder.

        Raises
        ------
        DataError
            If there is no finished run, or it was written under another version of the contract.
        """
        run = Finished.open(folder)
        table = pd.read_parquet(run.stream("estimates.parquet"))
        if absent := [column.name for column in ESTIMATES if column.name not in table]:
            what = "columns are absent from estimates.parquet"
            raise DataError(what, shown(absent), "those of the contract", "run it again")
        return cls(run, table)

    @property
    def run_id(self) -> str:
        """Identifier of the run."""
        return str(self.run.manifest["run_id"])

    def check(self) -> None:
        """Raise `DataError` when the folder does not hold this run any more."""
        if Finished.open(self.run.folder).manifest != self.run.manifest:
            what, want = (
                f"another run has taken the place of {self.run_id}",
                "the run that this server was started with",
            )
            raise DataError(what, str(self.run.folder), want, "start the server again")

    @cached_property
    def gemeenten(self) -> dict[str, str]:
        """Name of every gemeente that has a file, by code."""
        rows = self.table[self.table["level"] == "gemeente"].drop_duplicates("area_code")
        known = dict(zip(rows["area_code"], rows["area_name"], strict=True))
        codes = sorted(Path(name).stem for name in self.run.names if name.startswith("json/"))
        return {code: str(known.get(code, code)) for code in codes}

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Identifiers of the measures, as the table has them."""
        return tuple(map(str, self.table["measure"].unique()))

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years of the estimates, latest last."""
        return tuple(sorted(map(int, self.table["year"].unique())))

    @cached_property
    def year(self) -> int:
        """The year that pages open with, as the files per gemeente say."""
        opens = next((self.run.json(name).get("opens") for name in self.run.names if name.startswith("json/")), None)
        return int(opens or self.years[-1])

    @cached_property
    def changes(self) -> pd.DataFrame | None:
        """How figures changed between years, where there are several."""
        name = "changes.parquet"
        return pd.read_parquet(self.run.stream(name)) if name in self.run.names else None

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Area levels, as the table has them."""
        return tuple(map(str, self.table["level"].unique()))

    @cached_property
    def row(self) -> dict[str, Any]:
        """What the columns of a row hold, as the run's own contract says: its measures have their scale."""
        properties: dict[str, Any] = json.loads(self.run.read("contract.schema.json"))["properties"]
        return properties

    def about(self) -> dict[str, Any]:
        """Return what the results are: title, run, years, measures, levels and gemeenten."""
        return {
            "contract_version": CONTRACT_VERSION,
            **{key: str(self.run.manifest[key]) for key in ("title", "run_id", "created")},
            "draft": not self.run.manifest["gate"]["passed"],
            "fictitious": bool(self.run.manifest.get("fictitious")),
            "notice": str(self.run.manifest.get("notice", "")),
            "code_year": int(self.table["code_year"].iloc[0]),
            "years": list(self.years),
            "opens": self.year,
            "measures": list(self.measures),
            "levels": list(self.levels),
            "gemeenten": [{"area_code": code, "area_name": name} for code, name in self.gemeenten.items()],
        }

    def gemeente(self, code: str) -> bytes | None:
        """Return the file of a gemeente as it was written; None if there is none."""
        return self.run.read(f"json/{code}.json") if code in self.gemeenten else None  # never a path that one spells

    def page(self, path: str) -> bytes | None:
        """Return a page of the dashboard; None if there is none."""
        name = PAGES + (path or "index.html")
        return self.run.read(name) if name in self.run.names else None

    def level(self, level: str, measure: str, year: int) -> list[dict[str, Any]]:
        """Return the rows of one level, measure and year."""
        return records(_select(self.table[self.table["level"] == level], measure, year))

    def area(self, code: str) -> list[dict[str, Any]]:
        """Return the rows of one area, of every measure and year."""
        return records(self.table.iloc[self._rows.get(code, [])])

    def changes_of(self, code: str) -> list[dict[str, Any]]:
        """Return how the figures of one area changed, of every measure and pair of years."""
        if self.changes is None:
            return []
        return records(self.changes.iloc[self._changed.get(code, [])])

    def geojson(self, code: str, measure: str, year: int) -> dict[str, Any] | None:
        """Return the buurten of a gemeente with one measure as GeoJSON; None if there is no such gemeente."""
        if code not in self.gemeenten:
            return None
        rows = {row["area_code"]: row for row in records(_select(self._buurten[code], measure, year))}
        return {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "id": buurt, "properties": rows[buurt], "geometry": json.loads(text)}
                for buurt, text in self._borders(code).items()
                if buurt in rows
            ],
        }

    def _borders(self, code: str) -> dict[str, str]:
        """Borders of the buurten of a gemeente, as GeoJSON."""
        import geopandas as gpd
        import shapely

        borders = self._geometry[self._geometry.index.str[2:6] == code[2:]]
        simple = gpd.GeoSeries(shapely.coverage_simplify(borders.to_numpy(), TOLERANCE), borders.index, crs=borders.crs)
        degrees = shapely.set_precision(simple.to_crs(4326).to_numpy(), 10.0**-DECIMALS, mode="pointwise")
        return dict(zip(borders.index, shapely.to_geojson(degrees), strict=True))

    @cached_property
    def _geometry(self) -> gpd.GeoSeries:
        import geopandas as gpd

        file = self.run.stream("estimates.geoparquet")
        frame = gpd.read_parquet(file, columns=["area_code", "geometry"])
        return frame.drop_duplicates("area_code").set_index("area_code").geometry

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return dict(self.table.groupby("area_code").indices)

    @cached_property
    def _changed(self) -> dict[str, Any]:
        return {} if self.changes is None else dict(self.changes.groupby("area_code").indices)

    @cached_property
    def _buurten(self) -> dict[str, pd.DataFrame]:
        """Rows of the buurten of each gemeente; those that are not inhabited have none."""
        table = self.table[self.table["level"] == "buurt"]
        tables = dict(list(table.groupby("GM" + table["area_code"].astype(str).str[2:6])))
        return {code: tables.get(code, table.iloc[:0]) for code in self.gemeenten}


def _select(table: pd.DataFrame, measure: str, year: int) -> pd.DataFrame:
    return table[(table["measure"] == measure) & (table["year"] == year)]
