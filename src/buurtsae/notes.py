"""Notes: what an analyst must know of data and fit, each in English and in Dutch.

A note is its English sentence and carries the Dutch one, so that neither is written, or changed, without the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from buurtsae.errors import DataError, cut, shown

FIRST, LONGEST = 5, 200  # of a list, and characters of a value
SWAPPED = str.maketrans(".,", ",.")  # 1,234.5 in Dutch


class Note(str):
    """A sentence in English, with `nl` the same in Dutch.

    Parameters
    ----------
    en, nl : str
        Both may have fields, as `str.format` has: `"{n} buurten: {codes}"`.
    **values
        Of the fields, the same in both; long ones are cut. Of a list or tuple the first few are shown, each as the
        field says; numbers have their decimal comma and points for thousands in Dutch; a note inside a note, or that of
        a value which has `words`, is told in that language.
    """

    nl: str

    def __new__(cls, en: str, nl: str, **values: Any) -> Note:
        """Fill in the fields."""
        if values:
            en, nl = (
                text.format_map({key: _Value(value, dutch) for key, value in values.items()})
                for text, dutch in ((en, False), (nl, True))
            )
        note = super().__new__(cls, en)
        note.nl = nl
        return note

    def under(self, head: str, by: str = ": ") -> Note:
        """Return the note with what it is about in front: `head: note`."""
        return type(self)("{head}{by}{note}", "{head}{by}{note}", head=head, by=by, note=self)

    @classmethod
    def joined(cls, notes: Iterable[Note], by: str = "; ") -> Note:
        """Return notes as one."""
        parts = list(notes)
        return cls(by.join(parts), by.join(part.nl for part in parts))

    @classmethod
    def listed(cls, items: Iterable[object], most: int = FIRST, spec: str = "") -> Note:
        """Return the first few items as one, with a count of the rest."""
        values = list(items)
        en, nl = ([format(_Value(value, dutch), spec) for value in values] for dutch in (False, True))
        by = "; " if any("," in text for text in nl) else ", "  # 1,5; 2,5
        more = f" en nog {len(nl) - most}" if len(nl) > most else ""
        return cls(shown(en, most), by.join(map(cut, nl[:most])) + more)

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Pickle both languages."""
        return str(self), self.nl


class Alarm(Note):
    """A note on an input that is not what it is taken for, as far as can be seen: the gate is not met."""


MADE = Note(
    "FICTITIOUS: the answers behind these figures were simulated. No residents were asked, and the figures say nothing "
    "about existing areas.",
    "FICTIEF: de antwoorden achter deze cijfers zijn gesimuleerd. Er zijn geen bewoners ondervraagd, en de cijfers "
    "zeggen niets over bestaande buurten.",
)


# what a check returns: nothing, a note on what is strange but may be so, an error for what cannot be
Finding = Note | DataError | None


class _Value:
    """The value of a field, written as its language does."""

    def __init__(self, value: object, dutch: bool) -> None:
        self.value, self.dutch = value, dutch

    def __format__(self, spec: str) -> str:
        value = Note.listed(self.value, spec=spec) if isinstance(self.value, list | tuple) else self.value
        value = getattr(value, "words", value)
        if isinstance(value, Note):
            return value.nl if self.dutch else str(value)
        text = format(value, spec)
        text = text if len(text) <= LONGEST else cut(text, LONGEST)
        return text.translate(SWAPPED) if self.dutch and isinstance(value, int | float) else text
