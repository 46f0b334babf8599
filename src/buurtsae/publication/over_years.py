"""Several years on pages: per measure a line with its 95% band, what is said of changes, and the same for scripts.

Every chart of a page has as many points from bottom to top as the others of its scale, so that slopes compare; it does
not begin at nought. Where a figure is hidden the line is broken; a year without a survey has an open dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from buurtsae.estimates.changes import HIDDEN
from buurtsae.estimates.labels import in_english
from buurtsae.estimates.words.change import SHORT, WORDS, main_pairs, sentence, signed
from buurtsae.figures import decimals, dutch
from buurtsae.notes import Note
from buurtsae.publication import cells
from buurtsae.publication.content import Content
from buurtsae.scale import Scale, round_step

Row = Mapping[str, Any]
WIDTH, HEIGHT = 300, 130
LEFT, RIGHT, TOP, BOTTOM = 38, 20, 8, 22  # of a chart, around what is drawn
NOTHING = Note("", "")
STEPS = 3  # on the axis of the largest, about
PLACE = {word.nl: k for k, word in enumerate(WORDS)}
NO_SURVEY = {
    "between": Note(
        "no survey: between the surveys, by the model", "geen enquête: tussen de metingen, volgens het model"
    ),
    "after": Note("no survey: after the surveys, by the model", "geen enquête: na de metingen, volgens het model"),
    "before": Note("no survey: before the surveys, by the model", "geen enquête: vóór de metingen, volgens het model"),
}


@dataclass(frozen=True)
class Years:
    """The years of a run, of which pages open with `opens`; those of `surveyed` have a survey."""

    all: tuple[int, ...]
    surveyed: tuple[int, ...]
    opens: int

    @classmethod
    def of(cls, content: Content) -> Years:
        """Return those of what is published."""
        return cls(content.years, content.asked, content.year)

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self.all) > 1

    def without(self, year: int) -> Note | None:
        """Return that a year has no survey, if it has none."""
        if year in self.surveyed:
            return None
        first, last = self.surveyed[0], self.surveyed[-1]
        return NO_SURVEY["before" if year < first else "after" if year > last else "between"]

    def for_script(self, tables: Mapping[int, Any]) -> dict[str, Any]:
        """Return what the switch of a page needs: its tables in every year, and what is to be said of the year."""
        of = {year: {"tables": tables[year], "said": cells.in_both(self.without(year) or NOTHING)} for year in self.all}
        return {"year": self.opens, "years": list(self.all), "of": of}

    @property
    def listed(self) -> list[tuple[int, Note | None]]:
        """Every year, latest first, with what is to be said of it."""
        return [(year, self.without(year)) for year in reversed(self.all)]


def over_years(
    years: Years,
    tree: Sequence[Row],
    scales: Mapping[str, Scale],
    rows: Mapping[tuple[str, int], Row],
    changes: Mapping[tuple[str, int, int], Row],
) -> dict[str, Any] | None:
    """Return what a page shows of one area over the years: a chart and sentences per measure, and a table.

    `rows` are by measure and year, `changes` by measure and the two years. None where there is one year, or nothing.
    """
    pairs = main_pairs((a, b) for _, a, b in changes)
    known = [node for node in tree if any((node["id"], year) in rows for year in years.all)]
    if not years.several or not known:
        return None
    axes = dict(_axes([node["id"] for node in known], scales, rows, years.all))
    parts = []
    for node in known:
        name, scale = node["id"], scales[node["id"]]
        of = {year: rows.get((name, year)) for year in years.all}
        told = [changes[name, *pair] for pair in pairs if (name, *pair) in changes]
        parts.append(
            {
                **{key: node[key] for key in ("id", "nl", "en", "depth")},
                "chart": None if name not in axes else _chart(years, of, axes[name], scale),
                "said": [sentence(row, scale) for row in told],
                "figures": [cells.figures(of[year], scale) for year in years.all],
            }
        )
    return {"years": [(year, years.without(year)) for year in years.all], "parts": parts, "asked": years.surveyed}


def _axes(
    names: Sequence[str], scales: Mapping[str, Scale], rows: Mapping[tuple[str, int], Row], years: Sequence[int]
) -> Iterator[tuple[str, tuple[float, float, int]]]:
    """Yield the lower end, step and number of steps of the axis of each measure that has a figure."""
    ends = {}
    for name in names:
        if shown := [row for year in years if cells.is_shown(row := rows.get((name, year)))]:
            ends[name] = min(row["lower"] for row in shown), max(row["upper"] for row in shown)
    for scale in dict.fromkeys(scales[name] for name in ends):
        alike = [name for name in ends if scales[name] == scale]
        step = round_step(max(max(ends[name][1] - ends[name][0] for name in alike) / STEPS, 1e-6))
        steps = max(math.ceil(ends[name][1] / step) - math.floor(ends[name][0] / step) for name in alike)
        for name in alike:
            low = math.floor(ends[name][0] / step)
            if math.isfinite(scale.upper):
                low = min(low, max(math.floor(scale.upper / step + 1e-9) - steps, math.ceil(scale.lower / step - 1e-9)))
            yield name, (low * step, step, max(steps, 1))


def _chart(years: Years, of: Mapping[int, Row | None], axis: tuple[float, float, int], scale: Scale) -> dict[str, Any]:
    """Return marks, paths of the line and its band, and dots."""
    low, step, steps = axis
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(year: int) -> float:
        return round(LEFT + wide * (year - years.all[0]) / (years.all[-1] - years.all[0]), 1)

    def y(value: float) -> float:
        return round(TOP + high * (1 - (value - low) / (steps * step)), 1)

    band, lines, dots = "", {"trend": "", "trend open": ""}, []
    for shown, group in groupby(years.all, key=lambda year: cells.is_shown(of[year])):
        part = [(year, of[year] or {}) for year in group] if shown else []
        upper = " ".join(f"{x(year)} {y(row['upper'])}" for year, row in part)
        lower = " ".join(f"{x(year)} {y(row['lower'])}" for year, row in reversed(part))
        band += f"M{upper} {lower}Z" if part else ""  # of one year alone its stroke shows
        for (a, one), (b, other) in pairwise(part):
            kind = "trend" if a in years.surveyed and b in years.surveyed else "trend open"
            lines[kind] += f"M{x(a)} {y(one['estimate'])} {x(b)} {y(other['estimate'])}"
        dots += [(x(year), y(row["estimate"]), year not in years.surveyed) for year, row in part]
    digits = max(0, -math.floor(math.log10(step)))  # as many as the steps have
    marks = [(y(low + k * step), dutch(low + k * step, digits)) for k in range(steps + 1)]
    return {
        **{"width": WIDTH, "height": HEIGHT, "left": LEFT, "base": HEIGHT - 6, "marks": marks, "sign": scale.sign},
        "grid": "".join(f"M{LEFT} {height}H{WIDTH - RIGHT}" for height, _ in marks),
        "years": [(x(year), year) for year in _written(years.all, x)],
        "band": band,
        "lines": [(kind, path) for kind, path in lines.items() if path],
        "dots": dots,
    }


def _written(years: Sequence[int], x: Any) -> list[int]:
    """The years that are written below a chart: all that there is place for, the last first."""
    kept = [years[-1]]
    for year in reversed(years[:-1]):
        if x(kept[-1]) - x(year) >= 34:
            kept.append(year)
    return kept


def packed(row: Row | None, reasons: dict[str, int], scale: Scale) -> Any:
    """A change for the script: change, ends, class, probability of an increase and share that shows in %, reason.

    Figures are in text, in Dutch. 0 where there is none.
    """
    if row is None:
        return 0
    if row["label"] == HIDDEN:
        return [
            None,
            None,
            None,
            None,
            None,
            reasons.setdefault(row["reason"], len(reasons)) if row["reason"] else None,
        ]
    digits = decimals(row["lower"], row["upper"], scale.digits)
    recovered = row["recovered"]
    return [
        signed(row["change"], digits) + scale.sign,
        f"{dutch(row['lower'], digits)} – {dutch(row['upper'], digits)}{scale.sign}",
        PLACE[row["verdict"]],
        round(100 * row["p_increase"]),
        None if recovered is None else round(100 * recovered),
        None,
    ]


def of_script(
    years: Years,
    changes: Mapping[tuple[str, str, int, int], Row],
    codes: Sequence[str],
    scales: Mapping[str, Scale],
) -> dict[str, Any]:
    """What the script of a gemeente needs of changes: by pair of years and measure, a row per buurt."""
    pairs = sorted({key[2:] for key in changes})
    reasons: dict[str, int] = {}
    first = main_pairs(pairs)
    ordered = [*first, *(pair for pair in pairs if pair not in first)]
    rows = {
        f"{a}-{b}": {
            name: [packed(changes.get((code, name, a, b)), reasons, scale) for code in codes]
            for name, scale in scales.items()
        }
        for a, b in ordered
    }
    return {
        "pairs": list(rows),
        "changes": rows,
        "said": [cells.in_both(word) for word in SHORT],
        "unsaid": [[reason, in_english(reason)] for reason in reasons],
        "without": {year: cells.in_both(note) for year, note in years.listed if note is not None},
    }
