"""`estimates.xlsx`: the table as a workbook, with its explanation on the first sheet, and of several years the changes.

Rows are streamed (openpyxl's write-only mode). Numbers are stored as the shortest text that reads back to the same
double, and shown with one decimal; text stays text, whatever it starts with. Document properties and the archive have
the moment of the run, so that equal results are equal files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape
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
    rows = [iter(()), _fill(book, SHEETS[1], table, estimates(scale), scale)]
    if changed is not None:
        rows.append(_fill(book, SHEETS[2], changed, changes(scale), scale))
    with _Archive(folder / "estimates.xlsx", created, rows) as archive:
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


def _fill(book: Workbook, name: str, table: pd.DataFrame, columns: Sequence[Column], scale: Scale) -> Iterator[str]:
    """Make a sheet with its header, and return the rows below it."""
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
    cells = [WriteOnlyCell(sheet) for _ in columns]
    for k, (cell, column) in enumerate(zip(cells, columns, strict=True), start=1):
        cell.column, cell.number_format = k, _format(column, scale)
    return _sheet_rows(table, [column.name for column in columns], cells)


def _sheet_rows(table: pd.DataFrame, names: Sequence[str], cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the rows below the header as XML: openpyxl would make an object of each of millions of cells.

    Numbers have the format of the cell of their column. A row that ends early is an error to some readers.
    """
    quoted, columns = _text(cells[0].parent, SPECIAL[0]), [(cell.column_letter, cell) for cell in cells]
    styles: dict[str, str] = {}  # kept in the book in the order in which they come up

    def style(name: str, cell: Cell) -> str:
        if name not in styles:
            styles[name] = f' s="{cell.style_id}"' if cell.has_style else ""
        return styles[name]

    for number, values in enumerate(_rows(table, names), start=2):
        text = f'<row r="{number}">'
        for (letter, cell), value in zip(columns, values, strict=True):
            if isinstance(value, str):
                special = style("quoted", quoted) if value.startswith(SPECIAL) else ""
                inside = f">{_inline(value)}</c>" if value else " />"
                text += f'<c r="{letter}{number}"{special} t="inlineStr"{inside}'
            elif isinstance(value, bool):
                text += f'<c r="{letter}{number}" t="b"><v>{value:d}</v></c>'
            elif value is not None:
                text += f'<c r="{letter}{number}"{style(letter, cell)} t="n"><v>{value!r}</v></c>'
        last = f'<c r="{columns[-1][0]}{number}" t="inlineStr" />' if values[-1] is None else ""
        yield f"{text}{last}</row>"


@lru_cache(maxsize=4096)
def _inline(value: str) -> str:
    """Return text as it is in a cell."""
    text = _clean(value)
    space = ' xml:space="preserve"' if text.strip() not in ("", text) else ""
    return f"<is><t{space}>{escape(text)}</t></is>"


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
    """Return text without what a cell cannot hold."""
    return NOT_XML.sub("\ufffd", value)[:LONGEST]


def _text(sheet: Any, text: str) -> Cell:
    """Return a cell with text as text: never a formula or an error value, not even after somebody edits it."""
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    cell.quotePrefix = text.startswith(SPECIAL)
    return cell


class _Archive(ZipFile):
    """An archive whose members are all of one moment, and whose sheets, in their order, have further `rows`."""

    def __init__(self, path: Path, moment: datetime, rows: Sequence[Iterator[str]]) -> None:
        super().__init__(path, "w", ZIP_DEFLATED, allowZip64=True)
        self._moment = (max(moment.year, 1980), *moment.timetuple()[1:6])
        self._rows = {f"xl/worksheets/sheet{k}.xml": of_sheet for k, of_sheet in enumerate(rows, start=1)}

    def _info(self, name: str) -> ZipInfo:
        info = ZipInfo(name, self._moment)
        info.compress_type = ZIP_DEFLATED
        return info

    def writestr(self, zinfo_or_arcname: Any, data: Any, *args: Any, **kwargs: Any) -> None:
        super().writestr(self._info(str(zinfo_or_arcname)), data)

    def write(self, filename: Any, arcname: Any = None, *args: Any, **kwargs: Any) -> None:
        """Write a sheet, the only members that openpyxl has in files."""
        above, end, below = Path(filename).read_bytes().partition(b"</sheetData>")
        with self.open(self._info(str(arcname)), "w", force_zip64=True) as target:
            target.write(above)
            for rows in _some(self._rows[str(arcname)]):
                target.write("".join(rows).encode())
            target.write(end + below)


def _some(rows: Iterator[str]) -> Iterator[list[str]]:
    """Yield rows, some hundreds at a time."""
    while some := list(islice(rows, 500)):
        yield some
