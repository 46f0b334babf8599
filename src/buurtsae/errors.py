"""Errors in three lines: what happened, what was got and expected, what to do.

Readers and checks collect everything that is wrong in a `Problems` list and raise once, so that
an analyst repairs a file in one round. The command line turns `BuurtsaeError` into exit status 1.

Whatever the input holds, a message stays short: a part of a line is cut at `PART` characters, of problems of one kind
(the same advice) `ALIKE` are told and the others counted, and all of them together take at most `TOTAL` characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

Text = TypeVar("Text", bound=str)
Result = TypeVar("Result")

PART, ALIKE, TOTAL = 700, 5, 5000
NUMBERS: dict[type, type] = {int: Integral, float: Real}  # those of numpy are numbers too; a truth value is none


def cut(text: object, most: int = 80) -> str:
    """Return a text on one line, without control characters, of at most `most` characters."""
    whole = str(text)
    line = " ".join(filter(None, map(str.strip, whole[: 2 * most].splitlines())))
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
    if len(whole) <= 2 * most and len(line) <= most:
        return line
    rest = f"... ({len(whole)} characters)"
    return line[: most - len(rest)] + rest


def shown(items: Iterable[object], most: int = 5) -> str:
    """Return the first few of `items` for a message, long ones cut, with a count of the rest."""
    values = list(items)
    rest = len(values) - most
    return ", ".join(map(cut, values[:most])) + (f" and {rest} more" if rest > 0 else "")


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

    Examples
    --------
    >>> import buurtsae as bs
    >>> bs.Codebook.load("nieuw")
    Traceback (most recent call last):
        ...
    buurtsae.errors.DataError: source 'nieuw' has no codebook
      got 'nieuw'; expected burgerpeiling, ...
      hint: name one of these, ...
    """

    def __init__(self, what: str, got: str, expected: str, hint: str) -> None:
        self.what, self.got, self.expected, self.hint = (cut(part, PART) for part in (what, got, expected, hint))
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what}\n  got {self.got}; expected {self.expected}\n  hint: {self.hint}"


class DataError(BuurtsaeError):
    """An input table, file or code list that cannot be used."""


class ModelError(BuurtsaeError):
    """A model that cannot be fitted as asked, or that an engine does not support."""


class ProblemsError(BuurtsaeError):
    """Several problems at once.

    Attributes
    ----------
    problems : tuple of BuurtsaeError
        In the order they were found; many of one kind, or too many to read, are counted.
    count : int
        How many there are.
    """

    def __init__(self, problems: Sequence[BuurtsaeError]) -> None:
        self.problems, self.count = _in_short(problems), len(problems)
        super().__init__(
            f"{self.count} problems found", f"{self.count} problems", "none", "repair them all, then run again"
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def _in_short(problems: Sequence[BuurtsaeError]) -> tuple[BuurtsaeError, ...]:
    """The problems that are shown: the first of each kind, and a count of the others; no more than can be read."""
    kinds: dict[tuple[str, str], list[BuurtsaeError]] = {}
    for problem in problems:
        kinds.setdefault((problem.expected, problem.hint), []).append(problem)
    kept: list[BuurtsaeError] = []
    for problem in problems:
        alike = kinds[problem.expected, problem.hint]
        if len(alike) <= ALIKE or problem in alike[: ALIKE - 1]:
            kept.append(problem)
        elif problem is alike[ALIKE - 1]:
            others = alike[ALIKE - 1 :]
            what, values = f"{len(others)} more such problems", shown((other.got for other in others), 3)
            kept.append(type(problem)(what, values, problem.expected, problem.hint))
    length = 0
    for count, problem in enumerate(kept):
        length += len(str(problem)) + 1
        if length > TOTAL - 200 and count + 1 < len(kept):
            what, hint = f"{len(kept) - count} more kinds of problems", "repair these, then run again"
            return (*kept[:count], DataError(what, "too many to show", "none", hint))
    return tuple(kept)


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

    def attempt(self, step: Callable[..., Result], *args: Any, **options: Any) -> Result | None:
        """Return what a step gives; where it fails record the error and return None."""
        try:
            return step(*args, **options)
        except BuurtsaeError as error:
            self.collect(error)
            return None

    def sift(self, findings: Iterable[Text | BuurtsaeError | None]) -> list[Text]:
        """Record the errors among findings, and return the sentences: they are notes."""
        notes = []
        for finding in findings:
            if isinstance(finding, BuurtsaeError):
                self.collect(finding)
            elif finding is not None:
                notes.append(finding)
        return notes

    def raise_if_any(self) -> None:
        """Raise what was found: alone as itself, several as one `ProblemsError`."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise ProblemsError(self.found)


def check_kinds(**given: tuple[object, type | tuple[type, ...]]) -> None:
    """Refuse arguments of a wholly wrong type, all at once: the name of each, with its value and its types.

    Raises
    ------
    DataError or ProblemsError
        If there are any.
    """
    problems = Problems()
    for name, (value, types) in given.items():
        types = types if isinstance(types, tuple) else (types,)
        known = isinstance(value, tuple(NUMBERS.get(kind, kind) for kind in types))
        if not known or (isinstance(value, bool) and bool not in types):
            expected = " or ".join("None" if kind is type(None) else kind.__name__ for kind in types)
            got = f"{type(value).__name__}: {cut(repr(value))}"
            problems.add(f"`{name}` is of another kind", got, expected, f"correct `{name}`")
    problems.raise_if_any()
