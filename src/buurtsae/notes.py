"""Notes: what an analyst must know of data and fit, each in English and in Dutch.

A note is its English sentence and carries the Dutch one, so that neither is written, or changed, without the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from buurtsae.errors import shown

FIRST = 5  # of a list


class Note(str):
    """A sentence in English, with `nl` the same in Dutch.

    Parameters
    ----------
    en, nl : str
        Both may have fields, as `str.format` has: `"{n} buurten: {codes}"`.
    **values
        Of the fields, the same in both. Of a list or tuple the first few are shown; numbers with decimals get a comma
        in Dutch; a note inside a note is told in the language of that note.
    """

    nl: str

    def __new__(cls, en: str, nl: str, **values: Any) -> Note:
        """Fill in the fields."""
        note = super().__new__(cls, en.format(**{k: _Value(v, False) for k, v in values.items()}) if values else en)
        note.nl = nl.format(**{k: _Value(v, True) for k, v in values.items()}) if values else nl
        return note

    def under(self, head: str) -> Note:
        """Return the note with what it is about in front: `head: note`."""
        return Note(f"{head}: {self}", f"{head}: {self.nl}")

    @classmethod
    def joined(cls, notes: Iterable[Note], by: str = "; ") -> Note:
        """Return notes as one."""
        parts = list(notes)
        return cls(by.join(parts), by.join(p.nl for p in parts))

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Pickle both languages."""
        return str(self), self.nl


MADE = Note(
    "FICTITIOUS: the answers behind these figures were simulated. No residents were asked, and the figures say nothing "
    "about existing areas.",
    "FICTIEF: de antwoorden achter deze cijfers zijn gesimuleerd. Er zijn geen bewoners ondervraagd, en de cijfers "
    "zeggen niets over bestaande buurten.",
)


class _Value:
    """The value of a field, written as its language does."""

    def __init__(self, value: object, dutch: bool) -> None:
        self.value, self.dutch = value, dutch

    def __format__(self, spec: str) -> str:
        if isinstance(self.value, Note):
            return self.value.nl if self.dutch else str(self.value)
        if isinstance(self.value, list | tuple):
            rest = len(self.value) - FIRST
            if self.dutch and rest > 0:
                return f"{shown(self.value[:FIRST], FIRST)} en nog {rest}"
            return shown(self.value, FIRST)
        text = format(self.value, spec)
        return text.replace(".", ",") if self.dutch and isinstance(self.value, float) else text
