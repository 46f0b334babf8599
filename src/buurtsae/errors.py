"""Errors in three lines: what happened, what was got and expected, what to do.

Readers and checks collect everything that is wrong in a `Problems` list and raise once, so that
an analyst repairs a file in one round. The command line turns `BuurtsaeError` into exit status 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

Text = TypeVar("Text", bound=str)


def shown(items: Iterable[object], most: int = 5) -> str:
    """Return the first few of `items` for a message, with a count of the rest."""
    values = [str(i) for i in items]
    rest = len(values) - most
    return ", ".join(values[:most]) + (f" and {rest} more" if rest > 0 else "")


class BuurtsaeError(Exception):
    """Something in the data or the model that the user can repair.

    Parameters
    ----------
    what : str
        What is wrong, and where (file, column, key).
    got, expected : str
        What was found, and what should have been there.
    hint : str
        What to do about it.
    """

    def __init__(self, what: str, got: str, expected: str, hint: str) -> None:
        self.what, self.got, self.expected, self.hint = what, got, expected, hint
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}\n  got {self.got}; expected {self.expected}\n  hint: {self.hint}"


class DataError(BuurtsaeError):
    """An input table, file or code list that cannot be used."""


class ModelError(BuurtsaeError):
    """A model that cannot be fitted as asked, or that an engine does not support."""


class ProblemsError(BuurtsaeError):
    """Several problems at once; `problems` holds them in the order they were found."""

    def __init__(self, problems: Sequence[BuurtsaeError]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"{len(problems)} problems found", f"{len(problems)} problems", "none", "repair them all, then run again"
        )

    def __str__(self) -> str:
        return "\n".join(str(p) for p in self.problems)


class Problems:
    """Collects problems and raises them together."""

    def __init__(self) -> None:
        self.found: list[BuurtsaeError] = []

    def add(self, what: str, got: str, expected: str, hint: str, kind: type[BuurtsaeError] = DataError) -> None:
        """Record one problem."""
        self.found.append(kind(what, got, expected, hint))

    def collect(self, error: BuurtsaeError) -> None:
        """Record an error raised elsewhere, unpacking it if it holds several."""
        self.found.extend(error.problems if isinstance(error, ProblemsError) else [error])

    def sift(self, findings: Iterable[Text | BuurtsaeError | None]) -> list[Text]:
        """Record the errors among findings, and return the sentences: they are notes."""
        notes = []
        for one in findings:
            if isinstance(one, BuurtsaeError):
                self.collect(one)
            elif one is not None:
                notes.append(one)
        return notes

    def raise_if_any(self) -> None:
        """Raise what was found: alone as itself, several as one `ProblemsError`."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise ProblemsError(self.found)
