"""`estimates.xlsx`: the table as a workbook, with its explanation on the first sheet, and of several years the changes.

Rows are streamed (openpyxl's write-only mode). Numbers are stored as the shortest text that reads back to the same
double, and shown with one decimal; text stays text, whatever it starts with. Document properties and the archive have
the moment of the run, so that equal results are equal files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pandas as pd

from buurtsae.publication.about import CHANGE, COLUMNS, OF_CHANGES, About, parts, stamps
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import POINTS, Column, changes, estimates, records

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.cell import Cell

SHEETS = ("Toelichting", "Schattingen", "Verandering")
ROWS = 5000  # turned into Python objects at a time
RETURN = re.compile("\r\n?")
LONGEST = 32_767  # characters in a cell
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
SPECIAL = tuple("=+-@#\t\r\n")  # begins of formulas, and of error values such as #N/A
WIDTHS = {"area_name": 32, "measure": 27, "reason": 44, "area_code": 13, "run_id": 15}


def write_workbook(
    table: pd.DataFrame,
    measures: Mapping[str, tuple[str, str, str]],
    folder: Path,
    about: About,
    scale: Scale = SCORE,
    changed: pd.DataFrame | None = None,
) -> None:
    """Write `estimates.xlsx`, with the Dutch label, description and unit of the measures in the explanation."""
    from openpyxl import Workbook
    from openpyxl.writer.excel import ExcelWriter

    created = about.created.replace(tzinfo=None)
    book = Workbook(write_only=True)
    book.properties.creator, book.properties.title = "buurtsae", about.title
    book.properties.created = book.properties.modified = created
    _explain(book, measures, about, scale, several=changed is not None)
    _fill(book, SHEETS[1], table, estimates(scale), scale)
    if changed is not None:
        _fill(book, SHEETS[2], changed, changes(scale), scale)
    with _Archive(folder / "estimates.xlsx", created) as archive:
        ExcelWriter(book, archive).save()  # Workbook.save would write the present moment


def _explain(
    book: Workbook, measures: Mapping[str, tuple[str, str, str]], about: About, scale: Scale, *, several: bool
) -> None:
    from openpyxl.styles import Alignment, Font

    sheet = book.create_sheet(SHEETS[0])
    for letter, width in zip("ABCDE", (28, 30, 70, 14, 70), strict=True):
        sheet.column_dimensions[letter].width = width

    def row(*values: str, bold: bool = False) -> None:
        cells = []
        for value in values:
            cell = _text(sheet, _clean(value))
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            cell.font = Font(bold=bold)
            cells.append(cell)
        sheet.append(cells)

    row(about.title, bold=True)
    for stamp in stamps(about.fictitious, about.draft):
        row(stamp.nl.partition(":")[0], "", stamp.nl, "", stamp, bold=True)
    row("Run", about.run_id)
    row("Gemaakt", f"{about.created:%Y-%m-%d %H:%M} UTC")
    row("Bron", about.source.nl, "", "", about.source)
    row("")
    row("Begrip", "", "Toelichting", "", "In English", bold=True)
    for name, nl, en in (*parts(scale), *([CHANGE] if several else [])):
        row(name, "", nl, "", en)
    row("")
    row("Maat", "Naam", "Omschrijving", "Eenheid", bold=True)
    for name, (label, description, unit) in measures.items():
        row(name, label, description, unit)
    row("")
    row("Kolom", "Titel", "Omschrijving", "Eenheid", "In English", bold=True)
    for column in estimates(scale):
        row(column.name, column.nl, COLUMNS[column.name], column.unit, column.en)
    if several:
        row("")
        row(f"Kolom van {SHEETS[2]}", "Titel", "Omschrijving", "Eenheid", "In English", bold=True)
        for column in changes(scale):
            row(column.name, column.nl, (COLUMNS | OF_CHANGES)[column.name], column.unit, column.en)


def _fill(book: Workbook, name: str, table: pd.DataFrame, columns: Sequence[Column], scale: Scale) -> None:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(name)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(table) + 1}"
    for k, column in enumerate(columns, start=1):
        sheet.column_dimensions[get_column_letter(k)].width = WIDTHS.get(column.name, max(11, len(column.name) + 4))
    header = [WriteOnlyCell(sheet, value=column.name) for column in columns]
    for cell in header:
        cell.font = Font(bold=True)
    sheet.append(header)
    # a cell per column of numbers, filled anew for every row, and plain values elsewhere: millions of cells cost time
    cells = [WriteOnlyCell(sheet) for _ in columns]
    for cell, column in zip(cells, columns, strict=True):
        cell.number_format = _format(column, scale)
    for values in _rows(table, [column.name for column in columns]):
        *first, last = (_filled(cell, value) for cell, value in zip(cells, values, strict=True))
        sheet.append([*first, "" if last is None else last])  # a row that ends early is an error to some readers


def _filled(cell: Cell, value: Any) -> Any:
    """Return what is appended to a row: the value, or a cell where openpyxl would make something else of it."""
    if isinstance(value, float):
        cell.value, cell.data_type = repr(value), "n"  # openpyxl itself keeps 16 digits
        return cell
    if isinstance(value, str):
        text = _clean(value)
        return _text(cell.parent, text) if text.startswith(SPECIAL) else text
    return value


def _format(column: Column, scale: Scale) -> str:
    if column.dtype != "float64":
        return "General"
    if column.unit in (scale.label, POINTS.format(scale.unit)):
        return "0." + "0" * (scale.digits + 1)  # one more than on pages: a gemeente's interval is narrow
    return "0.0" if column.unit == "persons" else "0.00"


def _rows(table: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield rows as Python objects, None where there is nothing."""
    for start in range(0, len(table), ROWS):
        part = table.iloc[start : start + ROWS]
        yield from (tuple(row.values()) for row in records(part[list(names)]))


def _clean(value: str) -> str:
    """Return text without what a cell cannot hold: XML has one kind of line end, whoever writes it."""
    return NOT_XML.sub("\ufffd", RETURN.sub("\n", value))[:LONGEST]


def _text(sheet: Any, text: str) -> Cell:
    """Return a cell with text as text: never a formula or an error value, not even after somebody edits it."""
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    cell.quotePrefix = text.startswith(SPECIAL)
    return cell


class _Archive(ZipFile):
    """An archive whose members are all of one moment."""

    def __init__(self, path: Path, moment: datetime) -> None:
        super().__init__(path, "w", ZIP_DEFLATED, allowZip64=True)
        self._moment = (max(moment.year, 1980), *moment.timetuple()[1:6])

    def _info(self, name: str) -> ZipInfo:
        info = ZipInfo(name, self._moment)
        info.compress_type = ZIP_DEFLATED
        return info

    def writestr(self, zinfo_or_arcname: Any, data: Any, *args: Any, **kwargs: Any) -> None:
        super().writestr(self._info(str(zinfo_or_arcname)), data)

    def write(self, filename: Any, arcname: Any = None, *args: Any, **kwargs: Any) -> None:
        with open(filename, "rb") as source, self.open(self._info(str(arcname)), "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target)
