"""A first model: which covariates, which groups, by what is known of them and of the areas.

Covariates are columns that an objective codebook knows, that were not estimated by a model and are not about origin,
known for at least 80% of the buurten with residents. A few enter the formula: in the order of `FIRST`, then as they
come, unless one goes with another that is in (rank correlation above 0.8), at most one per ten buurten with
respondents. When six or more are left, and thirty buurten have respondents, they are one theme, whose coefficients are
shrunk (`docs/covariates.md`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from buurtsae.areas.areas import Areas
from buurtsae.model.covariates import ORIGIN, TRANSFORMS, known
from buurtsae.notes import Note
from buurtsae.start.choices import Choice

FIRST = (
    *("omgevingsadressendichtheid", "stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens", "pct_65plus"),
    *("gem_woz_x1000eur", "gem_huishoudensgrootte", "pct_eengezinswoning", "bevolkingsdichtheid"),
)
ONE_OF = frozenset(FIRST[:2])  # the same figure, as it is and in classes
FILLED, ALIKE, MOST, PER, MANY, LARGE = 0.8, 0.8, 5, 10, 6, 30
THEME = Note(
    "more figures together, whose coefficients the data shrink (docs/covariates.md)",
    "verdere cijfers samen, waarvan de data de coëfficiënten krimpen (docs/covariates.md)",
)
PARTS = Note("numbers that other figures are made of", "aantallen waar andere cijfers van gemaakt zijn")
NEW = Note(
    "no codebook knows them: `buurtsae covariates` says what they hold",
    "geen codeboek kent ze: `buurtsae covariates` zegt wat erin staat",
)
SAID = 30  # columns that are named where they are left out together
ENOUGH = 3  # groups from which their spread is worth a term
WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Covariates:
    """What is proposed: columns for the formula and for a theme, transformations, and why; and what is left out."""

    formula: tuple[Choice, ...] = ()
    theme: tuple[str, ...] = ()
    transforms: tuple[tuple[str, str], ...] = ()
    gaps: bool = False
    left_out: tuple[Choice, ...] = ()

    @property
    def text(self) -> str:
        """The formula."""
        return " + ".join(["1", *(c.value if WORD.fullmatch(c.value) else f"`{c.value}`" for c in self.formula)])


def covariates(areas: Areas, respondents: int) -> Covariates:
    """Return what is proposed for areas, of which a number of buurten have respondents."""
    live, entries = areas.frame.loc[areas.inhabited], {column: known(column) for column in areas.covariates}
    fit, left_out = dict[str, str](), list[Choice]()
    for column, entry in entries.items():
        if entry is None or entry[1].aside or "`" in column:
            continue
        book, indicator = entry
        modelled = book.modelled or indicator.modelled
        if reason := _unfit(live[column], modelled, indicator.sensitive or bool(ORIGIN.search(column))):
            left_out.append(Choice("left out", column, reason))
        else:
            fit[column] = indicator.name
    order = {name: place for place, name in enumerate(FIRST)}
    names = sorted(fit, key=lambda column: (order.get(fit[column], len(order)), -_year(column)))
    names, twice = _once(names, fit)
    chosen, alike = _few(live[names], min(MOST, respondents // PER))
    rest = [column for column in names if column not in chosen]
    theme = tuple(rest) if len(rest) >= MANY and respondents >= LARGE else ()
    if not theme:
        left_out += [
            Choice("left out", column, alike.get(column, _enough(len(chosen), respondents))) for column in rest
        ]
    used = [*chosen, *theme]
    transforms = {column: _transform(live[column], entry[1].transform) for column in used if (entry := entries[column])}
    parts = [column for column, entry in entries.items() if entry is not None and entry[1].aside]
    unknown = [column for column, entry in entries.items() if entry is None]
    left_out += [
        *twice,
        *(Choice("left out", column, why) for group, why in ((parts, PARTS), (unknown, NEW)) for column in group),
    ]
    return Covariates(
        tuple(Choice("formula", column, _about(column, live[column])) for column in chosen),
        theme,
        tuple((column, how) for column, how in transforms.items() if how != "none"),
        bool(live[used].isna().any().any()),
        _together(left_out),
    )


def _together(left_out: list[Choice]) -> tuple[Choice, ...]:
    """Columns that are left out for the same reason as one choice; of more than `SAID` how many."""
    columns = dict[Note, list[str]]()
    for choice in left_out:
        columns.setdefault(choice.why, []).append(choice.value)
    return tuple(
        Choice("left out", ", ".join(names[:SAID]) + f", ... ({len(names)})" * (len(names) > SAID), why)
        for why, names in columns.items()
    )


def _once(names: list[str], fit: Mapping[str, str]) -> tuple[list[str], list[Choice]]:
    """Columns without those that are another year or form of one before them; and these."""
    kept, twice = dict[str, str](), list[Choice]()
    for column in names:
        figure = FIRST[0] if fit[column] in ONE_OF else fit[column]
        if figure in kept:
            why = Note(
                "another year or form of {other}", "een ander jaar of een andere vorm van {other}", other=kept[figure]
            )
            twice.append(Choice("left out", column, why))
        else:
            kept[figure] = column
    return list(kept.values()), twice


def _year(column: str) -> int:
    """The number at the end of a name, 0 if there is none."""
    found = re.search(r"_(\d+)$", column)
    return int(found[1]) if found else 0


def _unfit(values: pd.Series, modelled: bool, origin: bool) -> Note | None:
    """Why a column is no covariate to begin with, if there is a reason."""
    if origin:
        return Note("about origin: never used unasked", "gaat over herkomst: wordt nooit ongevraagd gebruikt")
    if modelled:
        return Note(
            "estimated by a model itself: no independent evidence", "zelf een modelschatting: geen onafhankelijk bewijs"
        )
    if (filled := float(values.notna().mean())) < FILLED:
        return Note(
            "known for {filled:.0%} of the buurten with residents",
            "bekend voor {filled:.0%} van de bewoonde buurten",
            filled=filled,
        )
    if not len(values.dropna()) or values.value_counts(normalize=True).iloc[0] > 0.95:
        return Note("almost the same everywhere", "vrijwel overal hetzelfde")
    return None


def _transform(values: pd.Series, transform: str) -> str:
    """The transformation of the codebook, where all values are in its range."""
    _, low, high, _ = TRANSFORMS[transform]  # codebooks are checked
    return transform if bool(values.dropna().between(low, high).all()) else "none"


def _few(table: pd.DataFrame, most: int) -> tuple[list[str], dict[str, Note]]:
    """Columns in their order that do not go with one that is chosen, and of others with which they go."""
    correlation = table.rank().corr().abs() if len(table.columns) else table
    chosen, alike = list[str](), dict[str, Note]()
    for column in table:
        near = [other for other in chosen if correlation.at[column, other] > ALIKE]
        if near:
            alike[column] = Note(
                "goes with {other}, which is in (rank correlation {r:.2f})",
                "gaat samen met {other}, dat er al in zit (rangcorrelatie {r:.2f})",
                other=near[0], r=float(correlation.at[column, near[0]]),
            )  # fmt: skip
        elif len(chosen) < most:
            chosen.append(column)
    return chosen, alike


def _enough(n: int, respondents: int) -> Note:
    return Note(
        "the formula has {n}, which is what {m} buurten with respondents bear",
        "de formule heeft er {n}: meer kunnen {m} buurten met respondenten niet dragen",
        n=n,
        m=respondents,
    )


def _about(column: str, values: pd.Series) -> Note:
    """What a column is, where it comes from and for how many buurten it is known."""
    entry = known(column)
    assert entry is not None  # chosen from what is known
    book, indicator = entry
    return Note(
        "{title}, {unit}; {book}; known for {filled:.0%} of the buurten with residents",
        "{title}, {unit}; {book}; bekend voor {filled:.0%} van de bewoonde buurten",
        title=Note(indicator.en or indicator.name, indicator.nl or indicator.name),
        unit=Note(indicator.unit_en or indicator.unit, indicator.unit),
        book=Note(book.en or book.nl, book.nl),
        filled=float(values.notna().mean()),
    )


def group_of(areas: Areas) -> Choice:
    """Return the level whose areas differ more than their buurten tell: gemeenten, of few gemeenten wijken, or none."""
    for level in ("gemeente", "wijk"):
        n = len(areas.inhabited_at(level))
        if n >= ENOUGH and n < int(areas.inhabited.sum()) / 2:
            why = Note(
                "{n} {level} with residents: they may differ more than their buurten tell",
                "{n} {level} met inwoners: die kunnen meer verschillen dan hun buurten laten zien",
                n=n, level=areas.system.noun(level),
            )  # fmt: skip
            return Choice("iid", level, why)
    why = Note("too few gemeenten and wijken to learn how they differ", "te weinig gemeenten en wijken om van te leren")
    return Choice("iid", "", why)


def parts_of(areas: Areas) -> Note | None:
    """Return what is to be said of areas that water divides, where it does."""
    component = connected_components(areas.graph().adjacency, directed=False)[1]
    sizes = np.sort(np.bincount(component))[::-1]
    if len(sizes) < 2:
        return None
    return Note(
        "water divides the areas into {n} parts, of {sizes} buurten; each part has a level of its own, unless pairs "
        "over a dike, bridge or ferry are named here (docs/islands.md)",
        "water verdeelt het gebied in {n} delen, van {sizes} buurten; elk deel heeft een eigen niveau, tenzij hier "
        "paren over een dijk, brug of veer staan (docs/islands.md)",
        n=len(sizes), sizes=[int(size) for size in sizes],
    )  # fmt: skip
