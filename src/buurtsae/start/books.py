"""Which codebook fits a file: the one whose items are columns of it; else a codebook to complete, written from these.

A codebook to complete says of each column that may be an item which codes occur. What the codes mean, which of them are
no answer, which score 0 and 10 and what the item informs is for who knows the questionnaire: nothing of it is guessed,
and `buurtsae sources codebook.toml` says what is left. Texts of respondents are never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from buurtsae.errors import cut, shown
from buurtsae.notes import Note
from buurtsae.start.columns import MOST, Looked, Seen
from buurtsae.start.toml import quoted
from buurtsae.survey.codebook import Codebook, available
from buurtsae.survey.concept import Concept
from buurtsae.survey.design_columns import RESERVED

ENOUGH = 0.5  # share of the items of a codebook that a file has


@dataclass(frozen=True)
class Fitting:
    """A codebook beside a file: items that are columns, items that are not, and those with answers it does not know."""

    book: Codebook
    present: tuple[str, ...]
    absent: tuple[str, ...]
    odd: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of its items that are there."""
        return len(self.present) / max(len(self.present) + len(self.absent), 1)

    @property
    def foreign(self) -> tuple[str, ...]:
        """What it informs that the concept of the package does not have."""
        known = Concept.load().subdimensions
        return tuple(name for name in self.book.subdimensions if name not in known)

    @property
    def words(self) -> Note:
        """How well it fits."""
        return Note(
            "{n} of its {of} items are columns",
            "{n} van de {of} vragen staan als kolom in het bestand",
            n=len(self.present),
            of=len(self.present) + len(self.absent),
        )


@cache
def _asked() -> tuple[Codebook, ...]:
    """The codebooks of the package that have items."""
    return tuple(book for book in map(Codebook.load, available()) if book.items)


def fitting(book: Codebook, looked: Looked) -> Fitting:
    """Return a codebook beside the columns of a file."""
    codes = {item.name: {*item.codes, *book.missing} for item in book.items}
    present = tuple(name for name in codes if name in looked.names)
    odd = tuple(name for name in present if not set(looked[name].numbers) <= codes[name])  # of text: missing
    return Fitting(book, present, tuple(name for name in codes if name not in present), odd)


def fits(looked: Looked) -> tuple[list[Fitting], Fitting]:
    """Return the codebooks of the package that fit a file, and the one that comes nearest.

    One whose items that are there are among those of another, which fits better, is left out.
    """
    every = sorted((fitting(book, looked) for book in _asked()), key=lambda one: -one.share)
    good: list[Fitting] = []
    for one in (one for one in every if one.share >= ENOUGH):
        if not any(set(one.present) <= set(other.present) and one.share < other.share for other in good):
            good.append(one)
    return good, every[0]


def draft(looked: Looked, used: Sequence[str], title: str) -> tuple[str, list[str]]:
    """Return a codebook to complete as TOML, and the columns that may be items.

    `used` are columns that hold something else: codes, weights and the like.
    """
    rest = [column for column in looked.columns if column.name not in used and column.kind != "empty"]
    items = [column for column in rest if column.answers and not RESERVED.fullmatch(column.name)]
    parts = list(Concept.load().subdimensions)
    others = [column for column in rest if column not in items]
    lines = [
        f"# Codebook to complete, written from the columns of {cut(looked.file)}. Codeboek om af te maken.",
        "# A line that begins with # still has to be said: remove the # and correct what it says. Put items that",
        "# belong together (the same answers, the same sub-dimension) in one [[scale]], and remove what is no item.",
        "# See what is left with: buurtsae sources codebook.toml      How it works: docs/sources.md",
        "",
        'id = "eigen"',
        f"nl = {quoted(title)}",
        'kind = "survey"              # a random sample; "participatory" if anybody could take part',
        '# level = "gemeente"         # smallest level it serves by itself: land, gemeente, wijk or buurt',
        "references = []              # where the questionnaire is described: one or more",
        "missing = []                 # codes that are no answer, such as 8, 9 or 99: move them here from `answers`",
        "# min_share_answered = 0.5   # of the items of a scale, to get a score",
    ]
    for column in items:
        codes = column.answers
        far = apart(codes)
        labels = ", ".join(f'{code} = ""' for code in codes)
        lines += [
            "",
            "[[scale]]",
            f"id = {quoted(column.name)}",
            'nl = ""',
            f'# subdimension = ""   # one of {", ".join(parts)}',
            f"answers = {{ {labels} }}   # these occur: label each",
            *([f"#   {shown(far, MOST)}: apart from the others; if no answer, move to `missing`"] if far else []),
            "# worst =   # the code that scores 0",
            "# best =    # the code that scores 10",
            f'items = [{{ name = {quoted(column.name)}, about = "" }}]',
        ]
    if others:
        lines += ["", "# Columns that are not among the items, as they are:"]
        lines += [f"#   {cut(column.name)}: {_why(column)}" for column in others]
    return "\n".join(lines) + "\n", [column.name for column in items]


def apart(codes: Sequence[int]) -> tuple[int, ...]:
    """Return the codes after the first gap, which may be no answers: 8 and 9 of 1, 2, 3, 4, 5, 8, 9."""
    gap = next((k for k in range(1, len(codes)) if codes[k] > codes[k - 1] + 1), len(codes))
    return tuple(codes[gap:]) if gap > 1 else ()


def _why(column: Seen) -> str:
    """Why a column is no item, without a word of what respondents said."""
    if RESERVED.fullmatch(column.name):
        return "the name is taken: rename the column if it is an item"
    if column.kind == "text":
        return f"text, {column.distinct} different: export codes if it is an item"
    if column.kind == "truth":
        return "true and false: export codes if it is an item"
    if column.distinct == 1:
        return "one value only"
    return f"numbers, {column.distinct} different"


def told(several: Sequence[Fitting]) -> str:
    """Return codebooks with how well each fits, for a message."""
    return shown(f"{one.book.id} ({one.words})" for one in several)
