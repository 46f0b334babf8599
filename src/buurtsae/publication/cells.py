"""A row of the published table as pages show it: printed figures, words, the class of a map, and packed for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from buurtsae.drawing.style import LABELS, VERDICT_WORDS, Classes
from buurtsae.estimates.labels import in_english
from buurtsae.figures import decimals, dutch, interval
from buurtsae.notes import Note
from buurtsae.scale import Scale

NO_RESIDENTS = Note("no residents, or no estimate", "geen bewoners of geen schatting")
NOTHING = Note("–", "–")
UNCOMPARED = Note("the municipality has no figure", "de gemeente heeft geen cijfer")  # in part in the run, or hidden
LABEL_ORDER = list(LABELS)
VERDICT_ORDER = {nl: i for i, (nl, _) in enumerate(VERDICT_WORDS)}
Row = Mapping[str, Any]


def is_shown(row: Row | None) -> TypeGuard[Row]:
    """Whether there is a row with a figure that may be seen."""
    return row is not None and row["estimate"] is not None and row["label"] != "niet_publiceren"


def digits_of(row: Row, least: int) -> int:
    """Decimals that tell the ends of its interval apart."""
    return decimals(row["lower"], row["upper"], least)


def score(row: Row | None, scale: Scale) -> str:
    """The estimate; a dash where it may not be seen."""
    return dutch(row["estimate"], digits_of(row, scale.digits)) + scale.sign if is_shown(row) else "–"


def margins(row: Row | None, scale: Scale) -> str:
    """Its interval."""
    return interval(row["lower"], row["upper"], least=scale.digits) + scale.sign if is_shown(row) else "–"


def figures(row: Row | None, scale: Scale) -> dict[str, str]:
    """The estimate and its interval."""
    return {"score": score(row, scale), "interval": margins(row, scale)}


def own_margin(row: Row, digits: int, scale: Scale) -> str:
    """A direct figure with its 95% margin, in as many decimals as show one; none where the error is rounded to zero."""
    margin = 1.96 * (row["direct_se"] or 0.0)
    digits = max(digits, decimals(0.0, margin, scale.digits))
    return dutch(row["direct"], digits) + (f" ± {dutch(margin, digits)}" if margin else "") + scale.sign


def in_both(note: Note) -> list[str]:
    """Dutch and English, for the script."""
    return [note.nl, str(note)]


def css(row: Row | None, classes: Classes) -> str:
    """The class of style of an area on a map."""
    return f"k{classes.place(row['estimate'])}" if is_shown(row) else "x"


def people(row: Row | None) -> str:
    """Respondents, and the share of the estimate that is theirs."""
    if not is_shown(row):
        return "–"
    share = row["own_data_share"]
    return f"{row['n_respondents']}" + ("" if share is None else f" ({100 * share:.0f}%)")


def words(row: Row | None) -> dict[str, Note]:
    """Label, reason and verdict."""
    if row is None:
        return {"label": NOTHING, "verdict": NOTHING, "reason": NO_RESIDENTS}
    reason, verdict = row["reason"] or "", UNCOMPARED if is_shown(row) else NOTHING
    if row["verdict"] is not None and is_shown(row):
        nl, en = VERDICT_WORDS[VERDICT_ORDER[row["verdict"]]]
        verdict = Note(en, nl)
    return {"label": LABELS[row["label"]], "verdict": verdict, "reason": Note(in_english(reason), reason)}


def packed(row: Row | None, reasons: dict[str, int], classes: Classes) -> Any:
    """A row for the script: score, lower, upper, label, verdict, respondents, own share in %, reason, class.

    Scores are as they are printed; where that takes more decimals than most, their number follows.
    """
    if row is None:
        return 0
    reason = None if not row["reason"] else reasons.setdefault(row["reason"], len(reasons))
    label = LABEL_ORDER.index(row["label"])
    if not is_shown(row):
        return [None, None, None, label, None, None, None, reason, None]
    share, verdict, digits = row["own_data_share"], row["verdict"], digits_of(row, classes.digits)
    return [
        *(round(row[figure], digits) for figure in ("estimate", "lower", "upper")),
        label,
        None if verdict is None else VERDICT_ORDER[verdict],
        row["n_respondents"],
        None if share is None else round(100 * share),
        reason,
        classes.place(row["estimate"]),
        *([digits] if digits > classes.digits else []),
    ]
