"""Codebooks: what each source asks or registers, how answers are coded, and which sub-dimensions they inform.

One TOML file per source. A survey or participatory source has scales; a scale has answer codes, the two codes that
score 0 (`worst`) and 10 (`best`), and items, each of which may turn its scale around; or it says which answers count
for a share (`share`), or that answers are numbers or ordered codes (`outcome`). An objective source has indicators,
columns per buurt. A user adds a source by adding a file, without code; see docs/sources.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from buurtsae.errors import DataError, check_kinds, cut, shown
from buurtsae.files import read_toml

if TYPE_CHECKING:
    from buurtsae.survey.codebook_file import BookPart


@dataclass(frozen=True)
class Item:
    """One question: its sub-dimension, the answer codes that score 0 and 10, all valid codes, and its scale.

    Of a share, `counted` are the codes that count, which score 10; `worst` and `best` are then the far ends.
    """

    name: str
    subdimension: str
    worst: int
    best: int
    codes: tuple[int, ...]
    about: str = ""
    scale: str = ""
    counted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scale:
    """Items with the same answers, scored when at least `min_share_answered` of them is answered.

    `answers` are the labels by code, sorted by code; `outcome` is score, share, count or ordinal. Of a share of several
    items, `when` says whether `any` or `all` of the answers must count.
    """

    id: str
    nl: str
    subdimension: str
    items: tuple[Item, ...]
    min_share_answered: float
    about: str = ""
    answers: Mapping[int, str] = field(default_factory=dict)
    outcome: str = "score"
    when: str = ""

    @property
    def labels(self) -> str:
        """The answers in words; of a range without labels its ends."""
        named = [f"{code} {label}" for code, label in self.answers.items() if label]
        return "; ".join(named) or f"{min(self.answers)} to {max(self.answers)}"

    def told(self, item: Item) -> str:
        """What answers to an item are turned into, in words."""
        if self.outcome == "share":
            codes = ", ".join(map(str, item.counted))
            return f"{codes} {'counts' if len(item.counted) == 1 else 'count'}"
        if self.outcome != "score":
            return "the number itself" if self.outcome == "count" else "ordered"
        return f"{item.worst} scores 0, {item.best} scores 10"


@dataclass(frozen=True)
class Indicator:
    """One figure per buurt of an objective source.

    Attributes
    ----------
    name, about : str
    informs : tuple of str
        Sub-dimensions that it says something about.
    unit : str
    columns : tuple of str
        Names under which files carry it; see `found_in`.
    modelled : bool
        Estimated by a model, not registered.
    sensitive : bool
        On origin or nationality: no covariate unless a run says so.
    transform : str
        `none`, `log`, `log1p`, `sqrt` or `logit`: what makes it fit for a linear term.
    nl, en : str
        Dutch and English title.
    unit_en : str
    range : (float, float), optional
        Least and largest value that it can have.
    theme : str
        What it is about, such as `mensen`: coefficients of one theme are shrunk together.
    code : str
        The publisher's own code, where it is the same in every year; of CBS the measure of OData v4.
    aside : bool
        A number that others are made of, or another form of one: no covariate by itself, and not in the buurtprofiel.
    """

    name: str
    about: str
    informs: tuple[str, ...]
    unit: str
    columns: tuple[str, ...]
    modelled: bool = False
    sensitive: bool = False
    transform: str = "none"
    nl: str = ""
    en: str = ""
    unit_en: str = ""
    range: tuple[float, float] | None = None
    theme: str = ""
    code: str = ""
    aside: bool = False

    @property
    def limits(self) -> tuple[float, float] | None:
        """Its range; that of a percentage by its unit."""
        return self.range or ((0.0, 100.0) if self.unit.startswith("%") else None)

    def found_in(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return which of a file's columns carry this indicator, the best known name first.

        A name also matches with a number behind it: StatLine numbers its topics anew in each edition
        (`Koopwoningen_40`, `Koopwoningen_47`), and series carry the year. So there may be several.
        """
        names = list(columns)
        known = (re.compile(rf"{re.escape(name)}(_\d+)?") for name in (self.name, *self.columns))
        return tuple(dict.fromkeys(column for pattern in known for column in names if pattern.fullmatch(column)))


@dataclass(frozen=True)
class Codebook:
    """One source.

    Attributes
    ----------
    id, nl, en : str
        Identifier, Dutch and English name.
    kind : str
        `survey`, `participatory` (not a random sample) or `objective` (no sample at all).
    owner, mode, period : str
        Who makes it, how it is collected and how often, in Dutch.
    owner_en, mode_en, licence_en : str
        The same in English.
    level : str
        Smallest area level at which the source by itself is reliable: `land`, `gemeente`, `wijk` or `buurt`.
    references : tuple of str
    licence : str
        Of the data.
    missing : tuple of int
        Codes that mean 'geen antwoord', 'weet niet', 'geheim': never a score, never a figure.
    min_share_answered : float
        A sub-dimension is scored when at least this share of its items belongs to scored scales.
    scales : tuple of Scale
    indicators : tuple of Indicator
    modelled : bool
        The figures are themselves estimates of a model: agreement with them is no independent evidence.
    about : str

    Examples
    --------
    >>> Codebook.load("burgerpeiling")
    Codebook burgerpeiling (survey): 10 items on 4 scales, 0 indicators, for omgang_en_relaties, participatie,
    plaatsidentiteit, plaatsgeschiktheid
    """

    id: str
    nl: str
    en: str = ""
    kind: str = "survey"
    owner: str = ""
    mode: str = ""
    period: str = ""
    level: str = ""
    references: tuple[str, ...] = ()
    licence: str = ""
    missing: tuple[int, ...] = ()
    min_share_answered: float = 0.5
    scales: tuple[Scale, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    modelled: bool = False
    about: str = ""
    owner_en: str = ""
    mode_en: str = ""
    licence_en: str = ""

    @classmethod
    def load(cls, source: str | Path) -> Codebook:
        """Read a codebook: an identifier of the package, or the path of a TOML file.

        Raises
        ------
        DataError
            If there is no such codebook, or it is no TOML.
        ProblemsError or DataError
            If the codebook contradicts itself; all contradictions at once, each with its line.
        """
        from buurtsae.survey.codebook_file import parse  # pydantic, which takes long to import

        check_kinds(source=(source, (str, Path)))
        path = Path(source)
        if path.suffix != ".toml" and str(source) not in available():
            expected, hint = ", ".join(available()), "name one of these, or give the path of your own codebook (TOML)"
            raise DataError(f"source {cut(str(source))!r} has no codebook", cut(repr(str(source))), expected, hint)
        inside = Path(str(resources.files("buurtsae.survey"))) / "codebooks" / f"{source}.toml"
        text, raw = read_toml(path if path.suffix == ".toml" else inside, f"codebook {cut(path.name)}")
        return _built(parse(text, raw, path.stem))

    @property
    def items(self) -> tuple[Item, ...]:
        """All items of all scales."""
        return tuple(item for scale in self.scales for item in scale.items)

    @property
    def subdimensions(self) -> tuple[str, ...]:
        """Sub-dimensions this source informs, in order of first appearance."""
        registered = [name for figure in self.indicators for name in figure.informs]
        return tuple(dict.fromkeys([*(scale.subdimension for scale in self.scales), *registered]))

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the source, in words; empty where it is not."""
        return {
            "kind": self.kind + "; modelled: its figures are estimates themselves" * self.modelled,
            **{name: getattr(self, name) for name in ("owner", "mode", "period", "level", "licence")},
            "missing": ", ".join(map(str, self.missing)),
            "scored when": f"at least {self.min_share_answered:.0%} of the items is answered" * bool(self.scales),
        }

    def of(self, subdimension: str) -> tuple[Item, ...]:
        """Return the items that inform a sub-dimension."""
        return tuple(item for item in self.items if item.subdimension == subdimension)

    def scales_of(self, subdimension: str) -> tuple[Scale, ...]:
        """Return the scales that inform a sub-dimension."""
        return tuple(scale for scale in self.scales if scale.subdimension == subdimension)

    def __str__(self) -> str:
        return self.explained()

    def __repr__(self) -> str:
        size = f"{len(self.items)} items on {len(self.scales)} scales, {len(self.indicators)} indicators"
        return f"Codebook {self.id} ({self.kind}): {size}, for {shown(self.subdimensions)}"

    def explained(self, width: int = 100) -> str:
        """Return the codebook in words, in lines of at most `width` characters."""
        wide = max([12, *(len(item.name) for item in self.items)])

        def line(name: str, text: str, indent: int = 2) -> str:
            start = f"{' ' * indent}{name:<{wide + 4 - indent}} "
            return fill(text, width, initial_indent=start, subsequent_indent=" " * (wide + 5), break_on_hyphens=False)

        def head(nl: str, name: str, informs: Iterable[str]) -> str:
            text = f"{nl or name} ({name}): {', '.join(informs)}"
            return "\n" + fill(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)

        facts = {"in English": self.en, "about": self.about, **self.facts}
        lines = [f"{self.id}: {self.nl}", *(line(name, text) for name, text in facts.items() if text)]
        lines += [line("" if place else "references", text) for place, text in enumerate(self.references)]
        for scale in self.scales:
            ways = Counter(scale.told(item) for item in scale.items)
            usual = ways.most_common(1)[0][0]
            lines += [head(scale.nl, scale.id, [scale.subdimension])]
            lines += [line("about", scale.about, 4)] if scale.about else []
            lines += [line("answers", f"{scale.labels} ({usual})", 4)]
            if scale.outcome == "share":
                several = f", if {scale.when} of the answers counts" if scale.when else ""
                lines += [line("share", f"100 or 0 per respondent{several}; missing where an answer is", 4)]
            elif scale.min_share_answered != self.min_share_answered:
                lines += [line("scored when", f"at least {scale.min_share_answered:.0%} of the items is answered", 4)]
            for item in scale.items:
                turned = "reversed: " if scale.outcome == "score" else ""
                ends = f" ({turned}{scale.told(item)})" if scale.told(item) != usual else ""
                lines += [line(item.name, item.about + ends, 4)]
        for figure in self.indicators:
            marks = [mark for mark in ("modelled", "sensitive", "aside") if getattr(figure, mark)]
            lines += [head(figure.nl, figure.name, figure.informs or ["nothing by itself"])]
            lines += [line("about", figure.about, 4)] if figure.about else []
            theme = [f"theme {figure.theme}"] if figure.theme else []
            lines += [line("unit", "; ".join([figure.unit, *theme, f"transform {figure.transform}", *marks]), 4)]
            lines += [line("columns", ", ".join(figure.columns) + f"; code {figure.code}" * bool(figure.code), 4)]
        return "\n".join(lines)


def _built(book: BookPart) -> Codebook:
    """A codebook from its file: what an item or an indicator does not say is that of its scale or source."""
    share = 1.0 if book.min_share_answered is None else book.min_share_answered  # None: an objective source
    scales = []
    for part in book.scale:
        answers = dict(sorted(part.answers.items()))
        items = [
            Item(i.name, part.subdimension, *part.ends(i), tuple(answers), i.about, part.id, part.counted(i))
            for i in part.items
        ]
        least = share if part.min_share_answered is None else part.min_share_answered
        scales.append(
            Scale(part.id, part.nl, part.subdimension, tuple(items), least, part.about, answers, part.kind, part.when)
        )
    indicators = tuple(
        Indicator(**i.model_dump() | {"modelled": book.modelled if i.modelled is None else i.modelled})
        for i in book.indicator
    )
    same = book.model_dump(exclude={"scale", "indicator", "min_share_answered"})
    return Codebook(**same, min_share_answered=share, scales=tuple(scales), indicators=indicators)


def titled(source: str) -> Codebook:
    """Return the codebook of a source of the package; one with a title only for a source of the user's own."""
    return Codebook.load(source) if source in available() else Codebook(source, source)


def available() -> list[str]:
    """Return the identifiers of the codebooks in the package."""
    folder = resources.files("buurtsae.survey") / "codebooks"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
