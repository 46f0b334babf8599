"""A folder of published results, as the bodies that a server sends.

Only what is published is read: files per gemeente, the table in which suppressed figures are null, and the borders of
buurten, simplified together to `TOLERANCE` and in longitude and latitude (WGS 84) as GeoJSON asks.

References
----------
RFC 7946, The GeoJSON Format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.schemas import CONTRACT_VERSION, ESTIMATES, records

if TYPE_CHECKING:
    import geopandas as gpd

TOLERANCE = 5.0  # metres
DECIMALS = 6  # of a degree: 0.1 m
FILES = ("estimates.parquet", "estimates.geoparquet", "manifest.json", "dashboard", "json")


@dataclass(frozen=True)
class Results:
    """What a run has published.

    Attributes
    ----------
    folder : Path
    table : DataFrame
        The published estimates of all levels.
    manifest : mapping
    """

    folder: Path
    table: pd.DataFrame
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Results:
        """Read the results in a folder.

        Raises
        ------
        DataError
            If files are absent, or written under another version of the contract.
        """
        home = Path(folder)
        if absent := [name for name in FILES if not (home / name).exists()]:
            raise DataError(
                f"{home} holds no results", f"without {shown(absent)}", "a folder that `buurtsae run` wrote", "give it"
            )
        table = pd.read_parquet(home / "estimates.parquet")
        if absent := [c.name for c in ESTIMATES if c.name not in table.columns]:
            raise DataError(
                "columns are absent from estimates.parquet", shown(absent), "those of the contract", "run it again"
            )
        return cls(home, table, json.loads((home / "manifest.json").read_text(encoding="utf-8")))

    @cached_property
    def gemeenten(self) -> dict[str, str]:
        """Name of every gemeente that has a file, by code."""
        rows = self.table[self.table["level"] == "gemeente"].drop_duplicates("area_code")
        known = dict(zip(rows["area_code"], rows["area_name"], strict=True))
        codes = sorted(p.stem for p in (self.folder / "json").glob("GM*.json"))
        return {code: str(known.get(code, code)) for code in codes}

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Identifiers of the measures, as the table has them."""
        return tuple(str(m) for m in self.table["measure"].unique())

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years of the estimates, latest last."""
        return tuple(sorted(int(y) for y in self.table["year"].unique()))

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Area levels, as the table has them."""
        return tuple(str(v) for v in self.table["level"].unique())

    def about(self) -> dict[str, Any]:
        """Return what the results are: title, run, years, measures, levels and gemeenten."""
        return {
            "contract_version": CONTRACT_VERSION,
            **{k: str(self.manifest[k]) for k in ("title", "run_id", "created")},
            "draft": not self.manifest["gate"]["passed"],
            "fictitious": bool(self.manifest.get("fictitious")),
            "notice": str(self.manifest.get("notice", "")),
            "code_year": int(self.table["code_year"].iloc[0]),
            "years": list(self.years),
            "measures": list(self.measures),
            "levels": list(self.levels),
            "gemeenten": [{"area_code": code, "area_name": name} for code, name in self.gemeenten.items()],
        }

    def gemeente(self, code: str) -> bytes | None:
        """Return the file of a gemeente as it was written; None if there is none."""
        if code not in self.gemeenten:  # never a path that a request spells
            return None
        return (self.folder / "json" / f"{code}.json").read_bytes()

    def level(self, level: str, measure: str, year: int) -> list[dict[str, Any]]:
        """Return the rows of one level, measure and year."""
        t = self.table
        return records(t[(t["level"] == level) & (t["measure"] == measure) & (t["year"] == year)])

    def area(self, code: str) -> list[dict[str, Any]]:
        """Return the rows of one area, of every measure and year."""
        return records(self.table.iloc[self._rows.get(code, [])])

    def geojson(self, code: str, measure: str, year: int) -> dict[str, Any] | None:
        """Return the buurten of a gemeente with one measure as GeoJSON; None if there is no such gemeente."""
        if code not in self.gemeenten:
            return None
        t = self._buurten[code]
        rows = {r["area_code"]: r for r in records(t[(t["measure"] == measure) & (t["year"] == year)])}
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

        own = self._geometry[self._geometry.index.str[2:6] == code[2:]]
        simple = gpd.GeoSeries(shapely.coverage_simplify(own.to_numpy(), TOLERANCE), own.index, crs=own.crs)
        degrees = shapely.set_precision(simple.to_crs(4326).to_numpy(), 10.0**-DECIMALS, mode="pointwise")
        return dict(zip(own.index, shapely.to_geojson(degrees), strict=True))

    @cached_property
    def _geometry(self) -> gpd.GeoSeries:
        import geopandas as gpd

        frame = gpd.read_parquet(self.folder / "estimates.geoparquet", columns=["area_code", "geometry"])
        return frame.drop_duplicates("area_code").set_index("area_code").geometry

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return dict(self.table.groupby("area_code").indices)

    @cached_property
    def _buurten(self) -> dict[str, pd.DataFrame]:
        """Rows of the buurten of each gemeente; those that are not inhabited have none."""
        table = self.table[self.table["level"] == "buurt"]
        found = {str(k): t for k, t in table.groupby("GM" + table["area_code"].astype(str).str[2:6])}
        return {code: found.get(code, table.iloc[:0]) for code in self.gemeenten}
