"""The catalogue of covariates in words: a block per theme, groups, warnings, and tables of a run file to paste."""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from buurtsae.survey.codebook import Codebook
from buurtsae.survey.codebook_file import THEMES

if TYPE_CHECKING:
    from buurtsae.model.covariate_catalogue import CovariateCatalogue

TOGETHER, INFLATED = 0.8, 10.0  # correlation of columns that go together, and variance inflation that is told
WIDTH = 100
BARS = "▁▂▃▄▅▆▇█"
LEAST = 3  # covariates of a theme: fewer go into the formula


def told(catalogue: CovariateCatalogue) -> str:
    """Return the catalogue in lines of at most 100 characters."""
    table = catalogue.table
    lines = [
        f"{len(table)} columns of {catalogue.areas}",
        *(_wrapped(text, "  ", "    ") for text in catalogue.origins),
    ]
    books = [Codebook.load(source) for source in dict.fromkeys(table["source"]) if source]
    lines += ["", "codebooks", *(_wrapped(_source(book), "  ", "    ") for book in books)] if books else []
    lines.append("")
    lines += [f"{'':4}{'distribution':12}{'least':>10}{'quarter':>10}{'median':>10}{'3/4':>10}{'largest':>10}   filled"]
    themes = [*dict.fromkeys([theme for theme in table["theme"] if theme]), ""]
    for theme in themes:
        rows = table[table["theme"] == theme].to_dict("records")
        if rows:
            head = f"{theme} ({THEMES[theme]})" if theme else "without theme: no codebook knows them"
            lines += ["", head, *(line for row in rows for line in _column(row))]
    lines += ["", f"go together (correlations beyond {TOGETHER:g}, after the transformations)"]
    for names, low, high in catalogue.groups:
        lines.append(_wrapped(f"{', '.join(names)}: {low:.2f}" + f" to {high:.2f}" * (len(names) > 2)))
    lines += [] if catalogue.groups else ["  none"]
    high_ones = table[table["vif"] > INFLATED].sort_values("vif", ascending=False)
    if len(high_ones):
        told_ones = ", ".join(
            f"{name} {_short(x)}" for name, x in zip(high_ones["column"], high_ones["vif"], strict=True)
        )
        lines += ["", f"made up by the others: variance inflation beyond {INFLATED:g}; shrink them by theme"]
        lines += [_wrapped(told_ones)]
    if len(table) and table["vif"].isna().all() and catalogue.candidates:
        lines += ["", "there are too few areas to say how far the columns make each other up"]
    return "\n".join([*lines, "", "to paste into a run file", "", catalogue.proposal])


def proposed(catalogue: CovariateCatalogue) -> str:
    """Return themes, and covariates that need more than a name, as tables of a run file."""
    rows = catalogue.table.set_index("column")
    themes = {name: columns for name, columns in catalogue.themes.items() if len(columns) >= LEAST}
    extra = {name: _extra(rows.loc[name]) for columns in catalogue.themes.values() for name in columns}
    lines = []
    if alone := [name for columns in catalogue.themes.values() if len(columns) < LEAST for name in columns]:
        lines += ["# too few for a theme: in the formula under [model], those with more words as [[covariates]] too"]
        lines += [_wrapped(" + ".join(alone), "#   ")]
        lines += [f'#   name = "{name}", {", ".join(extra[name])}' for name in alone if extra[name]]
    for why in dict.fromkeys(catalogue.left_out.values()):
        names = [name for name, reason in catalogue.left_out.items() if reason == why]
        lines.append(_wrapped(f"not proposed, {why}: {', '.join(names)}", "# "))
    if bare := [name for name in catalogue.candidates if not rows.loc[name, "theme"]]:
        lines.append(_wrapped(f"not proposed, no codebook knows them: {', '.join(bare)}", "# "))
    for name, columns in themes.items():
        marked = [column for column in columns if rows.loc[column, "modelled"]]
        lines += ["", *([_wrapped(f"estimates themselves: {', '.join(marked)}", "# ")] if marked else [])]
        lines += ["[[model.terms]]", 'type = "ridge"', f'name = "{name}"', *_list("covariates", columns)]
    for name in (column for columns in themes.values() for column in columns):
        if extra[name]:
            lines += ["", "[[covariates]]", f"name = {json.dumps(name)}", *extra[name]]
    return "\n".join(lines).strip() + "\n"


def _extra(row: Any) -> list[str]:
    """What a covariate needs in a run file beyond its name."""
    transform = [f'transform = "{row["transform"]}"'] if row["transform"] != "none" else []
    return transform + (['missing = "impute"'] if row["missing"] else [])


def _source(book: Codebook) -> str:
    return f"{book.id}: {book.nl}; {book.owner}; {book.period}; {book.licence}" + "; modelled" * book.modelled


def _column(row: dict[str, Any]) -> Iterator[str]:
    """Lines on one column."""
    about = ", ".join(part for part in (row["title"], row["unit"]) if part) or "not described"
    yield _wrapped(f"{row['column']}: {about}" + f" [{row['source']}]" * bool(row["source"]), "  ", "    ")
    numbers = "".join(f"{_short(row[key]):>10}" for key in ("min", "q1", "median", "q3", "max"))
    yield f"    {_drawn(row['bins']):12}{numbers}   {np.floor(100 * row['filled']):.0f}%"
    marks = [mark for mark in ("modelled", "sensitive", "aside") if row[mark]]
    marks += ["the same everywhere"] if row["constant"] and row["filled"] > 0 else []
    marks += [f"transform {row['transform']}"] if row["transform"] != "none" else []
    if row["missing"]:
        why = ", ".join(f"{reason} {n:,}" for reason, n in row["reasons"].items())
        marks.append(f"missing in {row['missing']:,}" + f" ({why})" * bool(why))
    if text := "; ".join([*marks, *([row["about"]] if row["about"] else [])]):
        yield _wrapped(text, "    ")


def _drawn(bins: tuple[int, ...]) -> str:
    """A histogram of one line: the highest bar is full, an empty bin a point."""
    most = max(bins)
    return "".join(BARS[int(np.ceil(8 * n / most)) - 1] if n else "·" for n in bins) if most else "·" * len(bins)


def _short(x: float) -> str:
    """A number of at most three digits, or a whole one."""
    if np.isnan(x):
        return "-"
    return f"{x:,.0f}" if abs(x) >= 100 or x == round(x) else f"{x:.3g}"


def _wrapped(text: str, start: str = "  ", then: str | None = None) -> str:
    """A text in lines that fit, as far as its words do."""
    then = start if then is None else then
    return fill(
        text, WIDTH, initial_indent=start, subsequent_indent=then, break_on_hyphens=False, break_long_words=False
    )


def _list(key: str, names: tuple[str, ...]) -> list[str]:
    """A list of names in TOML, on lines that fit."""
    inside = ", ".join(json.dumps(name) for name in names)
    line = f"{key} = [{inside}]"
    return [line] if len(line) <= WIDTH else [f"{key} = [", _wrapped(inside + ","), "]"]
