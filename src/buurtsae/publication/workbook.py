"""`estimates.xlsx`: the table as a workbook, with its explanation on the first sheet, and of several years the changes.

Rows are streamed (XlsxWriter's constant memory). Numbers are stored as the shortest text that reads back to the same
double, and shown with one decimal; text stays text, whatever it starts with. Document properties have the moment of the
run, and members of the archive all the same one, so that equal results are equal files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pandas as pd

from buurtsae.publication.about import CHANGE, COLUMNS, OF_CHANGES, About, parts, stamps
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import POINTS, Column, changes, estimates, records

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format

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
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    try:
        with Workbook(folder / "estimates.xlsx", {"constant_memory": True, "tmpdir": str(folder)}) as book:
            created = about.created.replace(tzinfo=None)
            book.set_properties({"author": "buurtsae", "title": _clean(about.title), "created": created})
            _explain(book, measures, about, scale, several=changed is not None)
            _fill(book, SHEETS[1], table, estimates(scale), scale)
            if changed is not None:
                _fill(book, SHEETS[2], changed, changes(scale), scale)
    except FileCreateError as error:  # what the system said, as every other file tells it
        raise error.args[0] from None


def _explain(
    book: Workbook, measures: Mapping[str, tuple[str, str, str]], about: About, scale: Scale, *, several: bool
) -> None:
    sheet = book.add_worksheet(SHEETS[0])
    for k, width in enumerate((28, 30, 70, 14, 70)):
        sheet.set_column(k, k, width)
    written, bold = (_Text(book, text_wrap=True, valign="top", bold=bold) for bold in (False, True))
    lines: list[tuple[_Text, tuple[str, ...]]] = [(bold, (about.title,))]
    for stamp in stamps(about.fictitious, about.draft):
        lines.append((bold, (stamp.nl.partition(":")[0], "", stamp.nl, "", stamp)))
    lines += [
        (written, ("Run", about.run_id)),
        (written, ("Gemaakt", f"{about.created:%Y-%m-%d %H:%M} UTC")),
        (written, ("Bron", about.source.nl, "", "", about.source)),
        (written, ("",)),
        (bold, ("Begrip", "", "Toelichting", "", "In English")),
        *((written, (name, "", nl, "", en)) for name, nl, en in (*parts(scale), *([CHANGE] if several else []))),
        (written, ("",)),
        (bold, ("Maat", "Naam", "Omschrijving", "Eenheid")),
        *((written, (name, *told)) for name, told in measures.items()),
    ]
    tables = {"Kolom": (estimates(scale), COLUMNS)}
    if several:
        tables[f"Kolom van {SHEETS[2]}"] = changes(scale), COLUMNS | OF_CHANGES
    for head, (columns, words) in tables.items():
        lines += [(written, ("",)), (bold, (head, "Titel", "Omschrijving", "Eenheid", "In English"))]
        lines += [(written, (each.name, each.nl, words[each.name], each.unit, each.en)) for each in columns]
    for i, (text, line) in enumerate(lines):
        for k, value in enumerate(line):
            if value:
                sheet.write_string(i, k, *text(value))


def _fill(book: Workbook, name: str, table: pd.DataFrame, columns: Sequence[Column], scale: Scale) -> None:
    sheet, last = book.add_worksheet(name), len(columns) - 1
    text = lru_cache(100_000)(_Text(book))  # names and words come back
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(table), last)
    bold = book.add_format({"bold": True})
    for k, column in enumerate(columns):
        sheet.set_column(k, k, WIDTHS.get(column.name, max(11, len(column.name) + 4)))
        sheet.write_string(0, k, column.name, bold)
    shown = [book.add_format({"num_format": _format(column, scale)}) for column in columns]
    for i, values in enumerate(_rows(table, [column.name for column in columns]), start=1):
        for k, value in enumerate(values):
            if isinstance(value, str):
                sheet.write_string(i, k, *text(value))
            elif isinstance(value, bool):
                sheet.write_boolean(i, k, value)
            elif isinstance(value, float):
                sheet.write_number(i, k, _Exact(value), shown[k])
            elif value is not None:
                sheet.write_number(i, k, value)
            elif k == last:  # a row that ends early is an error to some readers
                sheet.write_blank(i, k, None, shown[k])


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


class _Text:
    """Text as text: never a formula or an error value, not even after somebody edits it."""

    def __init__(self, book: Workbook, **style: Any) -> None:
        self.plain, self.special = (book.add_format(style | {"quote_prefix": quoted}) for quoted in (False, True))

    def __call__(self, value: str) -> tuple[str, Format]:
        """Return what a cell is to hold, and its format."""
        text = _clean(value)
        if text.startswith("<r>") and text.endswith("</r>"):  # XlsxWriter would take it for markup of its own
            return f"<r><t>{escape(text)}</t></r>", self.plain
        return text, self.special if text.startswith(SPECIAL) else self.plain


class _Exact(float):
    """A number that is written in full: XlsxWriter asks for 16 digits."""

    def __format__(self, spec: str) -> str:
        return repr(float(self))
