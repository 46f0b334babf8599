"""Crosswalks that a run file names, and which sources have the codes of which edition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.areas.divisions import POLYGONS, Crosswalk
from buurtsae.areas.polygons import polygons
from buurtsae.areas.reading import read_geometry
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.runs.years_part import EditionPart
from buurtsae.tables import as_number, read_table

if TYPE_CHECKING:
    import geopandas as gpd

    from buurtsae.runs.runfile import SourcePart


def crosswalk(part: EditionPart, file: Path, areas: Areas) -> Crosswalk:
    """Return the crosswalk of an edition of a run file, to its areas.

    Raises
    ------
    DataError or ProblemsError
        As `Crosswalk.from_table`, `from_addresses` and `from_polygons`.
    """
    years, names = (part.year, areas.year), (None, areas.frame["name"].to_dict())
    common: dict[str, Any] = {"years": years, "level": part.level, "same": part.same}
    if part.kind == "polygons":
        concentration = part.concentration or POLYGONS
        old, new = _polygons(file, part.old), areas.frame.set_geometry("geometry")
        return Crosswalk.from_polygons(old, new, least=part.least, concentration=concentration, **common)
    text = [part.old, part.new, *([part.postcode] if part.kind == "addresses" else [])]
    table = read_table(file, text=text)
    if part.kind == "addresses":
        return Crosswalk.from_addresses(
            table, part.old, part.new, postcode=part.postcode, number=part.number, names=names, **common
        )
    size = None
    if part.size is not None:
        if part.size not in table:
            raise DataError(f"{file.name} has no column of sizes", shown(table.columns), part.size, "correct `size`")
        column = as_number(table[part.size], strict=False)
        if count := int((column.isna() | (column <= 0)).sum()):
            got, hint = f"{count} of {len(column)} rows", "give the addresses or residents of each old area"
            raise DataError(f"{file.name} has sizes that are no number above 0", got, "a number above 0", hint)
        size = column.groupby(clean(table[part.old])).first()
    return Crosswalk.from_table(
        table, old=part.old, new=part.new, share=part.share, size=size, concentration=part.concentration, names=names,
        **common,
    )  # fmt: skip


def _polygons(file: Path, code: str) -> gpd.GeoDataFrame:
    """The areas of an old map, by code."""
    notes, problems = list[Note](), Problems()
    frame = read_geometry(file, notes)
    if code not in frame:
        raise DataError(f"{file.name} has no column of area codes", shown(frame.columns), repr(code), "correct `old`")
    codes = clean(frame[code])
    frame = polygons(frame, codes, notes, problems)
    problems.raise_if_any()
    return frame.set_index(codes)


def edition_of(part: SourcePart, areas: Areas) -> str | None:
    """Return the level of the edition whose codes a source has; None where these are those of the areas."""
    level = f"{part.level}_{part.code_year}"
    return level if part.code_year not in (None, areas.year) and level in areas.editions else None
