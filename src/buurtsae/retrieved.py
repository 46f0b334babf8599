"""Where a file of open data comes from: a record beside it, `NAME.provenance.json`, which is read with it.

A record holds the hash of its file: a file that was changed since is no longer what its source published, and is said
to be changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError, cut, shown
from buurtsae.folder.finished import digest
from buurtsae.notes import Note

SUFFIX = ".provenance.json"
LONGEST = 5000  # characters of a text in a record


@dataclass(frozen=True)
class Retrieved:
    """One table as it was downloaded, in one or several replies, or a file that the user had.

    Attributes
    ----------
    source : str
        Who publishes it.
    table, title, edition : str
        What its publisher calls it, in short and in words, and which version of it this is.
    url : str
        Of the first reply; "" of a file that the user had.
    retrieved : str
        Moment, RFC 3339 in UTC; of several replies the first.
    licence, licence_url, attribution : str
    sha256 : str
        Of the reply; of several, of their hashes one after the other.
    bytes, replies : int

    Examples
    --------
    >>> Retrieved("CBS", "85984NED", "Kerncijfers", "2024", "https://cbs.nl/a", "2026-01-02T03:04:05Z", "CC BY 4.0",
    ...           "https://creativecommons.org/licenses/by/4.0/", "CBS", "ab12", 10).credit
    'CBS (CC BY 4.0)'
    """

    source: str
    table: str
    title: str
    edition: str
    url: str
    retrieved: str
    licence: str
    licence_url: str
    attribution: str
    sha256: str
    bytes: int
    replies: int = 1

    @property
    def credit(self) -> str:
        """Whom to name, and on what terms."""
        return f"{self.attribution} ({self.licence})"

    @classmethod
    def joined(cls, parts: Sequence[Retrieved]) -> Retrieved:
        """Return several replies of one table as one."""
        first = min(parts, key=lambda part: part.retrieved)
        every = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
        whole = parts[0].sha256 if len(parts) == 1 else every
        sizes = {"bytes": sum(part.bytes for part in parts), "replies": sum(part.replies for part in parts)}
        return cls(**{**asdict(parts[0]), "retrieved": first.retrieved, "sha256": whole, **sizes})


def by_table(parts: Iterable[Retrieved]) -> tuple[Retrieved, ...]:
    """Return replies joined by table and edition, in the order in which tables were first asked."""
    tables: dict[tuple[str, str, str], list[Retrieved]] = {}
    for part in parts:
        tables.setdefault((part.source, part.table, part.edition), []).append(part)
    return tuple(Retrieved.joined(group) for group in tables.values())


@dataclass(frozen=True)
class Record:
    """What is known of a file of open data.

    Attributes
    ----------
    file : str
        Its name.
    sha256 : str
        Its hash when it was written.
    retrieved : tuple of Retrieved
    notes : tuple of Note
    changed : bool
        Whether the file is another by now.
    """

    file: str
    sha256: str
    retrieved: tuple[Retrieved, ...]
    notes: tuple[Note, ...] = ()
    changed: bool = False

    @property
    def remarks(self) -> tuple[Note, ...]:
        """What a run has to say of the file: that it was changed, and what was noted when it was fetched."""
        changed = Note(
            "it was changed after it was fetched: what its source says of it may no longer hold",
            "het bestand is gewijzigd nadat het is opgehaald: wat de bron ervan zegt hoeft niet meer te kloppen",
        )
        return tuple(note.under(self.file) for note in (*([changed] if self.changed else []), *self.notes))


def tables(records: Iterable[Record]) -> tuple[Retrieved, ...]:
    """Return the tables behind several files, each once."""
    return tuple(dict.fromkeys(part for record in records for part in record.retrieved))


def credits(records: Iterable[Record]) -> str:
    """Return whom to name for several files, each once, with the terms."""
    return "; ".join(dict.fromkeys(part.credit for part in tables(records)))


def record_of(file: Path) -> Path:
    """Return where the record of a file lies."""
    return file.with_name(file.stem + SUFFIX)


def write_record(
    file: Path, retrieved: Iterable[Retrieved], notes: Iterable[Note] = (), beside: Iterable[Path] = ()
) -> Path:
    """Write the record of a file that is there, and return its path; `beside` are files that belong to it."""
    from buurtsae import __version__

    content = {
        "file": file.name,
        "files": {path.name: digest(path) for path in (file, *beside)},
        "made_with": f"buurtsae {__version__}",
        "retrieved": [asdict(part) for part in by_table(retrieved)],
        "notes": [{"en": str(note), "nl": note.nl} for note in notes],
    }
    path = record_of(file)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
    return path


def read_record(file: Path) -> Record | None:
    """Return the record of a file; None where there is none beside it.

    Raises
    ------
    DataError
        If it cannot be read, or is of another file.
    """
    if not (_there(file) and _there(record_of(file))):
        return None
    path = record_of(file)
    what, hint = (
        f"the record {path.name} of {file.name} cannot be used",
        "fetch the file again, remove its record, or give the file another name",
    )
    try:
        raw = json.loads(path.read_bytes())
        retrieved = tuple(map(_retrieved, raw["retrieved"]))
        notes = tuple(Note(_text(note["en"]), _text(note["nl"])) for note in raw.get("notes", ()))
        name = _text(raw["file"])
        written = _text(raw["files"][name])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(what, f"{type(error).__name__}: {error}", "what `buurtsae fetch` writes", hint) from error
    if name != file.name:
        raise DataError(what, f"it is of {shown([name])}", file.name, hint)
    return Record(name, written, retrieved, notes, changed=digest(file) != written)


def _retrieved(part: Mapping[str, Any]) -> Retrieved:
    """A table of a record, which anybody may have written: texts, numbers, and addresses that may be linked to."""
    known = {field.name: field.type for field in fields(Retrieved)}
    found = {name: part[name] for name in known if name in part}
    for name, value in found.items():
        if known[name] == "str":
            _text(value)
        elif type(value) is not int or value < 0:
            raise ValueError(f"{name} is {cut(repr(value))}")
        if name in ("url", "licence_url") and value and not re.match(r"https?://[^/@\s]+(/|$)", value):
            raise ValueError(f"{name} is {cut(repr(value))}, which is no address of a page")
    return Retrieved(**found)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{cut(repr(value))} is no text of at most {LONGEST} characters")
    return value


def _there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: the reader of the file says so
        return False
