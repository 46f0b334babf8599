"""Codebooks: what each source asks, how answers are coded, and which sub-dimension they inform.

One TOML file per source. A scale has `answers` (code to label) and the two codes that score 0 (`worst`) and 10
(`best`); an item may turn its scale around. A user adds a source by adding a file, without code.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError, Problems

KINDS = ("survey", "participatory", "objective")


@dataclass(frozen=True)
class Item:
    """One question: its name, the sub-dimension it informs and the answer codes that score 0 and 10."""

    name: str
    subdimension: str
    worst: int
    best: int
    codes: tuple[int, ...]
    about: str = ""


@dataclass(frozen=True)
class Codebook:
    """The items of one source.

    Attributes
    ----------
    id, nl : str
        Identifier and Dutch name of the source.
    kind : str
        `survey`, `participatory` or `objective`.
    items : tuple of Item
    missing : tuple of int
        Codes that mean 'geen antwoord', 'weet niet', 'geen mening': never a score.
    min_share_answered : float
        A sub-dimension is scored when at least this share of its items is answered.
    references : tuple of str
    """

    id: str
    nl: str
    kind: str
    items: tuple[Item, ...]
    missing: tuple[int, ...]
    min_share_answered: float
    references: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str | Path) -> Codebook:
        """Read a codebook: an identifier of the package, or the path of a TOML file.

        Raises
        ------
        DataError
            If there is no such codebook.
        ProblemsError or DataError
            If the codebook contradicts itself; all contradictions at once.
        """
        path = Path(source)
        if path.suffix == ".toml":
            if not path.is_file():
                raise DataError("a codebook cannot be read", f"no file {path}", "a TOML file", "correct the path")
            text = path.read_text(encoding="utf-8")
        elif str(source) in available():
            text = (resources.files("buurtsae.survey") / "codebooks" / f"{source}.toml").read_text(encoding="utf-8")
        else:
            raise DataError(
                f"source {str(source)!r} has no codebook",
                repr(str(source)),
                ", ".join(available()),
                "name one of these, or give the path of your own codebook (TOML)",
            )
        try:
            return _parse(tomllib.loads(text))
        except (ValueError, KeyError, TypeError) as error:  # not TOML, a key that is absent, a value of another type
            raise DataError(
                f"codebook {source} cannot be parsed",
                repr(error),
                "the keys of the codebooks in the package",
                "correct it",
            ) from error

    def of(self, subdimension: str) -> tuple[Item, ...]:
        """Return the items that inform a sub-dimension."""
        return tuple(i for i in self.items if i.subdimension == subdimension)

    @property
    def subdimensions(self) -> tuple[str, ...]:
        """Sub-dimensions this source informs, in order of first appearance."""
        return tuple(dict.fromkeys(i.subdimension for i in self.items))


def available() -> list[str]:
    """Return the identifiers of the codebooks in the package."""
    folder = resources.files("buurtsae.survey") / "codebooks"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def _parse(raw: dict[str, Any]) -> Codebook:
    items = [
        Item(
            name=item["name"],
            subdimension=scale["subdimension"],
            worst=item.get("worst", scale["worst"]),
            best=item.get("best", scale["best"]),
            codes=tuple(sorted(int(code) for code in scale["answers"])),
            about=item.get("about", ""),
        )
        for scale in raw["scale"]
        for item in scale["items"]
    ]
    missing = tuple(raw.get("missing", ()))
    book = Codebook(
        raw["id"], raw["nl"], raw["kind"], tuple(items), missing, raw["min_share_answered"], tuple(raw["references"])
    )
    _check(book)
    return book


def _check(book: Codebook) -> None:
    problems = Problems()
    if book.kind not in KINDS:
        problems.add(f"codebook {book.id} has an unknown kind", repr(book.kind), ", ".join(KINDS), "correct `kind`")
    if not 0 < book.min_share_answered <= 1:
        problems.add(
            f"codebook {book.id}: min_share_answered", str(book.min_share_answered), "above 0, at most 1", "correct it"
        )
    names = [i.name for i in book.items]
    for item in book.items:
        where = f"codebook {book.id}, item {item.name}"
        if names.count(item.name) > 1:
            problems.add(f"{where} occurs twice", "2 items", "1", "remove one")
        if len(item.codes) < 2:
            problems.add(
                f"{where}: the scale has no two answers", f"{len(item.codes)}", "2 or more", "complete `answers`"
            )
        elif {item.worst, item.best} != {item.codes[0], item.codes[-1]}:
            problems.add(
                f"{where}: worst and best are not the ends of the scale",
                f"worst {item.worst}, best {item.best}",
                f"{item.codes[0]} and {item.codes[-1]}",
                "correct the item or its scale",
            )
        if both := set(item.codes) & set(book.missing):
            problems.add(f"{where}: a code is an answer and missing", str(both), "one of the two", "correct `missing`")
    problems.raise_if_any()
