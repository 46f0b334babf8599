"""Where a file of open data comes from: a record beside it, `NAME.provenance.json`, which is read with it.

A record holds the hash of its file: a file that was changed since is no longer what its source published, and is said
to be changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError, shown
from buurtsae.folder.finished import fingerprint

SUFFIX = ".provenance.json"


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
        digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
        digest = parts[0].sha256 if len(parts) == 1 else digest
        sizes = {"bytes": sum(part.bytes for part in parts), "replies": sum(part.replies for part in parts)}
        return cls(**{**asdict(parts[0]), "retrieved": first.retrieved, "sha256": digest, **sizes})


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
    notes : tuple of (English, Dutch)
    changed : bool
        Whether the file is another by now.
    """

    file: str
    sha256: str
    retrieved: tuple[Retrieved, ...]
    notes: tuple[tuple[str, str], ...] = ()
    changed: bool = False


def record_of(file: Path) -> Path:
    """Return where the record of a file lies."""
    return file.with_name(file.stem + SUFFIX)


def write_record(file: Path, retrieved: Iterable[Retrieved], notes: Iterable[Any] = ()) -> Path:
    """Write the record of a file that is there, and return its path; `notes` are bilingual."""
    from buurtsae import __version__

    content = {
        "file": file.name,
        "sha256": fingerprint(file)["sha256"],
        "made_with": f"buurtsae {__version__}",
        "retrieved": [asdict(part) for part in by_table(retrieved)],
        "notes": [{"en": str(note), "nl": getattr(note, "nl", str(note))} for note in notes],
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
    path = record_of(file)
    if not path.is_file():
        return None
    what, hint = f"the record {path.name} of {file.name} cannot be used", "fetch the file again, or remove its record"
    try:
        raw = json.loads(path.read_bytes())
        known = {field.name for field in fields(Retrieved)}
        retrieved = tuple(Retrieved(**{k: part[k] for k in known & set(part)}) for part in raw["retrieved"])
        notes = tuple((note["en"], note["nl"]) for note in raw.get("notes", ()))
        name, digest = str(raw["file"]), str(raw["sha256"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(what, f"{type(error).__name__}: {error}", "what `buurtsae fetch` writes", hint) from error
    if name != file.name:
        raise DataError(what, f"it is of {shown([name])}", file.name, hint)
    return Record(name, digest, retrieved, notes, changed=fingerprint(file)["sha256"] != digest)
