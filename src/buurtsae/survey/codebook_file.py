"""The form of a codebook's file, and the contradictions in it, each with its line.

`tomllib` tells no positions, so lines are found in the text: the n-th `[[scale]]` or `[[indicator]]`, in it the n-th
`name =` of its items, or the first line that starts with a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from buurtsae.errors import Problems, cut, shown
from buurtsae.survey.design_columns import RESERVED

KINDS = ("survey", "participatory", "objective")
LEVELS = ("land", "gemeente", "wijk", "buurt")
TRANSFORMS = ("none", "log", "log1p", "sqrt", "logit")
THEMES = {  # of indicators: what shrinks together, in Dutch and English
    "mensen": "people",
    "woningen": "homes",
    "welvaart": "income and wealth",
    "ligging": "location",
    "voorzieningen": "services",
    "groen": "green and outdoors",
    "veiligheid": "safety",
    "gezondheid": "health",
    "erfgoed": "heritage",
    "leefbaarheid": "liveability",
}
MOST = 1000  # answers of a scale
Loc = Sequence[int | str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)  # unknown keys are refused by `_check`, with the rest


Name = Annotated[str, Field(min_length=1)]


class SharePart(_Part):
    """`share`: which answers count, in one of four ways; of several items, whether `any` or `all` must."""

    above: float | None = None
    below: float | None = None
    least: float | None = Field(default=None, alias="from")
    codes: tuple[int, ...] | None = None
    items: str | None = None

    @property
    def ways(self) -> tuple[str, ...]:
        """Which of the four ways are used."""
        named = {"above": self.above, "from": self.least, "below": self.below, "codes": self.codes}
        return tuple(name for name, value in named.items() if value is not None)

    def counted(self, codes: Sequence[int]) -> tuple[int, ...]:
        """Return the codes that count."""
        if self.codes is not None:
            return tuple(code for code in codes if code in self.codes)
        low = -math.inf if self.least is None else self.least
        above = -math.inf if self.above is None else self.above
        below = math.inf if self.below is None else self.below
        return tuple(code for code in codes if low <= code < below and code > above)


class ItemPart(_Part):
    """An item of a scale."""

    name: Name
    about: str = ""
    worst: int | None = None
    best: int | None = None
    share: SharePart | None = None


class ScalePart(_Part):
    """`[[scale]]`."""

    id: Name
    nl: str = ""
    about: str = ""
    subdimension: str
    answers: dict[int, str]
    worst: int | None = None
    best: int | None = None
    outcome: Literal["score", "share", "count", "ordinal"] | None = None
    share: SharePart | None = None
    min_share_answered: float | None = None
    items: tuple[ItemPart, ...]

    @property
    def kind(self) -> str:
        """The outcome; a scale that says which answers count is of a share."""
        shares = self.share is not None or any(item.share is not None for item in self.items)
        return self.outcome or ("share" if shares else "score")

    @property
    def when(self) -> str:
        """Whether any or all of several items must count for a share."""
        return (self.share.items or "") if self.share is not None and len(self.items) > 1 else ""

    def counted(self, item: ItemPart) -> tuple[int, ...]:
        """Return the codes that count for a share: by the item, else by the scale."""
        share = item.share or self.share
        return () if share is None else share.counted(sorted(self.answers))

    def ends(self, item: ItemPart) -> tuple[int, int]:
        """Return the codes that score 0 and 10: the item's, else those of the scale; of a share the far ends."""
        codes, counted = sorted(self.answers), self.counted(item)
        upward = not counted or 2 * sum(counted) >= len(counted) * (codes[0] + codes[-1])
        low, high = (codes[0], codes[-1]) if upward else (codes[-1], codes[0])
        worst = self.worst if item.worst is None else item.worst
        best = self.best if item.best is None else item.best
        return low if worst is None else worst, high if best is None else best

    @field_validator("answers", mode="before")
    @classmethod
    def _range(cls, answers: Any) -> Any:
        """Expand `{ from = 1, to = 10, lowest = "label of 1", highest = "label of 10" }`."""
        if not isinstance(answers, dict) or not {"from", "to"} & set(answers):
            return answers
        low, high = answers.get("from"), answers.get("to")
        if not (isinstance(low, int) and isinstance(high, int) and set(answers) <= {"from", "to", "lowest", "highest"}):
            raise ValueError("a range has whole numbers `from` and `to`, and may have labels `lowest` and `highest`")
        if not 0 <= high - low < MOST:
            raise ValueError(f"a range goes up, by less than {MOST:,}")
        labels = {low: answers.get("lowest", ""), high: answers.get("highest", "")}
        return {code: labels.get(code, "") for code in range(low, high + 1)}


class _IndicatorPart(_Part):
    name: Name
    nl: str = ""
    en: str = ""
    about: str = ""
    unit: str
    unit_en: str = ""
    informs: tuple[str, ...]
    columns: tuple[str, ...]
    transform: str = "none"
    modelled: bool | None = None
    sensitive: bool = False
    range: tuple[float, float] | None = None
    theme: str = ""
    code: str = ""
    aside: bool = False


class BookPart(_Part):
    """The whole file."""

    id: str
    nl: str
    en: str = ""
    about: str = ""
    owner: str = ""
    owner_en: str = ""
    kind: str
    mode: str = ""
    mode_en: str = ""
    period: str = ""
    level: str
    references: tuple[str, ...]
    licence: str = ""
    licence_en: str = ""
    modelled: bool = False
    missing: tuple[int, ...] = ()
    min_share_answered: float | None = None
    scale: tuple[ScalePart, ...] = ()
    indicator: tuple[_IndicatorPart, ...] = ()


class _Places:
    """Says where in the file something is."""

    def __init__(self, text: str, raw: dict[str, Any], name: str) -> None:
        self.lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]
        head = re.compile(r"\s*\[\[\s*(scale|indicator)\s*\]\]")
        self.heads = [number for number, line in enumerate(self.lines) if head.match(line)]
        self.raw, self.book = raw, str(raw.get("id", name))

    def __call__(self, *loc: int | str) -> str:
        """Return `codebook ssw, line 23, item eenzaam` for ("scale", 1, "items", 2, "worst")."""
        label, part = "", self.raw
        for kind, index in pairwise(loc):
            if kind in ("scale", "items", "indicator") and isinstance(index, int):
                part = part[kind][index]
                key = "id" if kind == "scale" else "name"
                name = part.get(key, f"number {index + 1}") if isinstance(part, dict) else repr(part)
                label = f", {'item' if kind == 'items' else kind} {name}"
        return f"codebook {self.book}, line {self.line(loc)}{label}"

    def line(self, loc: Loc) -> int:
        """Return the number of the line, 1 for what is not there."""
        heads = self.heads
        first, last = -1, heads[0] if heads else len(self.lines)
        if len(loc) > 1 and isinstance(loc[1], int) and loc[0] in ("scale", "indicator"):
            tables = [number for number in heads if re.search(rf"\b{loc[0]}\b", self.lines[number])]
            if loc[1] >= len(tables):  # written in another way, as scale = [{...}]
                return self.line(loc[:1])
            first = tables[loc[1]]
            last = next((number for number in heads if number > first), len(self.lines))
            if loc[2:3] == ("items",) and len(loc) > 3 and isinstance(loc[3], int):
                items = self.raw["scale"][loc[1]]["items"]
                name = re.compile(r"\bname[\"']?\s*=")
                names = [number for number in range(first, last) for _ in name.findall(self.lines[number])]
                named = [place for place, item in enumerate(items) if isinstance(item, dict) and "name" in item]
                if loc[3] in named and len(names) == len(named):
                    return names[named.index(loc[3])] + 1
            loc = loc[2:]
        key = re.compile(rf"\s*\[*{re.escape(str(loc[0]))}\s*[]=]") if loc else None
        keys = [number for number in range(first + 1, last) if key and key.match(self.lines[number])]
        return (keys[0] if keys else max(first, 0)) + 1


def parse(text: str, raw: dict[str, Any], name: str) -> BookPart:
    """Return what a codebook's file holds; `name` is what to call it when it does not say.

    Raises ProblemsError or DataError on what cannot be read, or else on all contradictions, each with its line.
    """
    places, problems = _Places(text, raw, name), Problems()
    try:
        book = BookPart.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors():
            *inner, last = fault["loc"]
            if fault["type"] == "missing":
                problems.add(f"{places(*inner)}: key `{last}` is absent", "nothing", "a value", "add it")
            else:
                key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
                what, value = f"{places(*fault['loc'])}: {key} is not right", cut(repr(fault["input"]))
                problems.add(what, value, fault["msg"], "correct the value")
        problems.raise_if_any()
        raise AssertionError("a ValidationError has errors") from error
    _check(book, places, problems)
    problems.raise_if_any()
    return book


def _check(book: BookPart, at: _Places, problems: Problems) -> None:
    """Record every contradiction."""
    _known_keys(book, (), at, problems)
    for key, known in (("kind", KINDS), ("level", LEVELS)):
        if (value := getattr(book, key)) not in known:
            problems.add(f"{at(key)}: unknown {key}", repr(value), ", ".join(known), f"correct `{key}`")
    if not re.fullmatch(r"[a-z0-9_]+", book.id):
        problems.add(f"{at('id')}: the identifier", repr(book.id), "small letters, digits and _", "rename it")
    if not book.references or not all(reference.strip() for reference in book.references):
        what = f"{at('references')}: no references"
        problems.add(what, str(list(book.references)), "where the source is described", "add one")
    for key, kinds, other in (("scale", KINDS[:2], "indicators"), ("indicator", KINDS[2:], "scales with items")):
        parts = getattr(book, key)
        if book.kind in KINDS and book.kind not in kinds and parts:
            hint = "correct `kind`, or remove it"
            problems.add(f"{at(key, 0)}: `[[{key}]]` in a source of kind {book.kind}", f"{len(parts)}", other, hint)
        if book.kind in kinds and not parts:
            problems.add(f"{at('kind')}: no `[[{key}]]`", "0", f"1 or more in a source of kind {book.kind}", "add one")
    if book.scale and book.min_share_answered is None:
        what = f"{at()}: key `min_share_answered` is absent"
        problems.add(what, "nothing", "the source's rule for missing items", "add it")
    _check_share(book.min_share_answered, at("min_share_answered"), problems)
    _check_twice("scale", [(scale.id, ("scale", place)) for place, scale in enumerate(book.scale)], at, problems)
    places = [(i.name, ("scale", k, "items", m)) for k, s in enumerate(book.scale) for m, i in enumerate(s.items)]
    _check_twice("item", [place for place in places if not _parts(place[0], book.scale)], at, problems)
    _check_twice("indicator", [(i.name, ("indicator", k)) for k, i in enumerate(book.indicator)], at, problems)
    for place, scale in enumerate(book.scale):
        _check_scale(scale, place, set(book.missing), at, problems)
        beside = [other for other in book.scale if other.subdimension == scale.subdimension and other is not scale]
        if beside and scale.kind != "score":
            ids = ", ".join(sorted({other.id for other in beside}))
            what = f"{at('scale', place, 'subdimension')}: a {scale.kind} has one scale per source"
            hint = "give each a measure of its own; of several items, `items` in `share` says how they count"
            problems.add(what, f"{scale.subdimension} is also of {ids}", "one scale", hint)
    for place, indicator in enumerate(book.indicator):
        if indicator.transform not in TRANSFORMS:
            where = at("indicator", place, "transform")
            problems.add(f"{where}: unknown transform", repr(indicator.transform), ", ".join(TRANSFORMS), "correct it")
        if indicator.range is not None and not indicator.range[0] < indicator.range[1]:
            where, ends = at("indicator", place, "range"), str(list(indicator.range))
            problems.add(f"{where}: the range is empty", ends, "the least and the largest value", "correct it")
        if indicator.theme and indicator.theme not in THEMES:
            where, hint = at("indicator", place, "theme"), "correct it, or remove it"
            problems.add(f"{where}: unknown theme", repr(indicator.theme), ", ".join(THEMES), hint)
        for key in ("informs", "columns"):
            if not getattr(indicator, key) and not (key == "informs" and indicator.aside):
                where = at("indicator", place, key)
                problems.add(f"{where}: {key} is empty", "nothing", "1 or more names", "complete it")


def _check_scale(scale: ScalePart, k: int, missing: set[int], at: _Places, problems: Problems) -> None:
    codes = sorted(scale.answers)
    where: tuple[int | str, ...] = ("scale", k)
    items = [(item, (*where, "items", place)) for place, item in enumerate(scale.items)]
    for item, loc in items:
        if RESERVED.fullmatch(item.name):
            problems.add(f"{at(*loc)}: the name is taken", item.name, "no column of the design", "rename the item")
    if not scale.items:
        hint = "add items, or remove the scale"
        problems.add(f"{at(*where, 'items')}: the scale has no items", "0", "1 or more", hint)
    if both := sorted(missing & set(codes)):
        hint = "correct `missing`"
        problems.add(f"{at(*where, 'answers')}: a code is an answer and missing", shown(both), "one of the two", hint)
    _check_share(scale.min_share_answered, at(*where, "min_share_answered"), problems)
    if len(codes) < 2:
        hint = "complete `answers`"
        problems.add(f"{at(*where, 'answers')}: the scale has no two answers", str(len(codes)), "2 or more", hint)
        return
    if scale.kind != "score":
        _check_share_of(scale, where, at, problems)
        return
    for key in ("worst", "best"):
        if getattr(scale, key) is None:
            problems.add(f"{at(*where)}: key `{key}` is absent", "nothing", "a value", "add it")
    if scale.worst is None or scale.best is None:
        return
    turned = [(*scale.ends(item), loc) for item, loc in items if item.worst is not None or item.best is not None]
    for worst, best, loc in [(scale.worst, scale.best, (*where, "worst")), *turned]:
        if {worst, best} != {codes[0], codes[-1]}:
            what, hint = f"{at(*loc)}: worst and best are not the ends of the scale", "correct the item or its scale"
            problems.add(what, f"worst {worst}, best {best}", f"{codes[0]} and {codes[-1]}", hint)


def _check_share_of(scale: ScalePart, where: tuple[int | str, ...], at: _Places, problems: Problems) -> None:
    """What a share, a count and ordered answers ask of a scale."""
    codes, kind = sorted(scale.answers), scale.kind
    given = [key for key in ("worst", "best") if getattr(scale, key) is not None]
    given += [item.name for item in scale.items if item.worst is not None or item.best is not None]
    if given:
        what = f"{at(*where)}: a {kind} has no worst and best"
        problems.add(what, ", ".join(given), "a score has", "remove them, or say no other outcome")
    if kind != "share":
        if scale.share is not None or any(item.share is not None for item in scale.items):
            hint = "remove `share` or `outcome`"
            problems.add(f"{at(*where, 'share')}: a {kind} with answers that count", "`share`", "none", hint)
        if len(scale.items) > 1:
            hint = "give each item a scale and a measure of its own"
            problems.add(f"{at(*where, 'items')}: a {kind} of several items", str(len(scale.items)), "1", hint)
        return
    parts = [] if scale.share is None else [(scale.share, (*where, "share"))]
    parts += [(i.share, (*where, "items", k)) for k, i in enumerate(scale.items) if i.share is not None]
    if scale.share is None and (bare := [item.name for item in scale.items if item.share is None]):
        hint = "add share = { above = 3 }, { from = 4 }, { below = 2 } or { codes = [4, 5] }"
        problems.add(f"{at(*where)}: which answers count is not said", shown(bare), "`share`", hint)
    for share, loc in parts:
        if share.items is not None and loc[2] == "items":
            hint = "say it in the `share` of the scale"
            problems.add(f"{at(*loc)}: `items` in the share of an item", repr(share.items), "none", hint)
        if len(share.ways) != 1:
            got, want = ", ".join(share.ways) or "nothing", "one of above, from, below, codes"
            problems.add(f"{at(*loc)}: which answers count is said in {len(share.ways)} ways", got, want, "keep one")
            continue
        if strange := sorted(set(share.codes or ()) - set(codes)):
            hint = "correct `codes`"
            problems.add(f"{at(*loc)}: codes that count are no answers", shown(strange), shown(codes, 20), hint)
        if (count := len(share.counted(codes))) in (0, len(codes)):
            what = f"{at(*loc)}: {'every' if count else 'no'} answer counts"
            problems.add(what, f"{count} of {len(codes)}", f"1 to {len(codes) - 1}", "correct `share`")
    when = None if scale.share is None else scale.share.items
    if len(scale.items) > 1 and when not in ("any", "all"):
        what = f"{at(*where, 'share')}: how several items make a share is not said"
        hint = 'say items = "any" or "all" in `share`: a mean of items is a score'
        problems.add(what, repr(when) if when else f"{len(scale.items)} items", "any or all", hint)
    elif len(scale.items) == 1 and when not in (None, "any", "all"):
        problems.add(f"{at(*where, 'share')}: unknown `items`", repr(when), "any or all", "correct or remove it")


def _check_share(share: float | None, where: str, problems: Problems) -> None:
    if share is not None and not 0 < share <= 1:
        problems.add(f"{where}: min_share_answered", str(share), "above 0, at most 1", "correct it")


def _parts(item: str, scales: Sequence[ScalePart]) -> bool:
    """Whether an item is asked once and its answers make shares of several scales: the parts of one whole."""
    of = [scale for scale in scales for other in scale.items if other.name == item]
    once = len({scale.id for scale in of}) == len(of)
    return once and all(scale.kind == "share" and scale.answers == of[0].answers for scale in of)


def _check_twice(kind: str, named: Sequence[tuple[str, Loc]], at: _Places, problems: Problems) -> None:
    first: dict[str, Loc] = {}
    for name, loc in named:
        if first.setdefault(name, loc) is not loc:
            hint = "rename or remove one"
            problems.add(f"{at(*loc)}: the {kind} occurs twice", f"also in line {at.line(first[name])}", "1", hint)


def _known_keys(part: _Part, loc: tuple[int | str, ...], at: _Places, problems: Problems) -> None:
    known = [field.alias or name for name, field in type(part).model_fields.items()]
    for key in part.model_extra or {}:
        problems.add(f"{at(*loc, key)}: unknown key `{key}`", repr(key), ", ".join(known), "correct or remove it")
    for key in type(part).model_fields:
        value = getattr(part, key)
        if isinstance(value, SharePart):
            _known_keys(value, (*loc, key), at, problems)
        for place, inner in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(inner, _Part):
                _known_keys(inner, (*loc, key, place), at, problems)
