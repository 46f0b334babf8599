"""Tables in CSV inside a zip, as publishers send them: which member, its separator, its columns whatever their case."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from buurtsae.errors import cut, shown
from buurtsae.opendata.http import Reply, strange
from buurtsae.opendata.registry import Table

BOM = "\ufeff"


def members(table: Table, reply: Reply) -> list[str]:
    """Return the names of all files in a zip."""
    with _opened(table, reply, "a zip of tables") as archive:
        return archive.namelist()


def member(table: Table, reply: Reply, pattern: str, what: str) -> str:
    """Return the name of the one file of a zip whose own name, without folders, matches a pattern in any case.

    Raises
    ------
    DataError
        If the zip cannot be read, or has none or several.
    """
    names = members(table, reply)
    found = [name for name in names if re.fullmatch(pattern, name.rsplit("/", 1)[-1], re.IGNORECASE)]
    if len(found) != 1:
        some = f"{len(found)} such files among {shown(found or names, 6)}"
        raise strange(table, reply.url, some, f"one file with {what}")
    return found[0]


@contextmanager
def reading(table: Table, reply: Reply, name: str) -> Iterator[IO[bytes]]:
    """Yield a member as bytes, and say what is wrong when it cannot be read to its end."""
    with _opened(table, reply, name) as archive, archive.open(name) as file:
        yield file


def header(table: Table, reply: Reply, name: str) -> tuple[list[str], str]:
    """Return the names of the columns, as they are written but for a mark of UTF-8, and the separator."""
    with reading(table, reply, name) as file:
        line = file.readline(10_000).decode("utf-8", errors="replace").removeprefix(BOM).strip()
    separator = ";" if line.count(";") >= line.count(",") else ","
    return [column.strip().strip('"') for column in line.split(separator)], separator


def column(table: Table, reply: Reply, names: list[str], pattern: str) -> str:
    """Return the one column that matches a pattern in any case.

    Raises
    ------
    DataError
        If there is none, or are several.
    """
    found = [name for name in names if re.fullmatch(pattern, name, re.IGNORECASE)]
    if len(found) != 1:
        raise strange(table, reply.url, f"columns {cut(', '.join(names), 200)}", f"one column {pattern}")
    return found[0]


@contextmanager
def _opened(table: Table, reply: Reply, what: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(reply.path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # damaged, cut short, or packed in a way that cannot be read: a password, a method that is not known
        raise strange(table, reply.url, f"a zip that cannot be read: {error}", what) from error
