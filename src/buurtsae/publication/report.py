"""The quality report of a run: `quality.json` for programs, `quality.html` for people.

The page is filled from the same dictionary that is written as JSON; a number that is not finite becomes null.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from buurtsae.drawing.style import LABELS
from buurtsae.errors import DataError
from buurtsae.notes import Note
from buurtsae.origin import as_in
from buurtsae.publication.about import of_run
from buurtsae.publication.pages import write_page
from buurtsae.survey.codebook import Codebook, available

if TYPE_CHECKING:
    from buurtsae.publication.outlines import Outlines

SECTIONS = (
    *("run", "gate", "checks", "alarms", "convergence", "hyperparameters", "priors", "predictive", "left_out"),
    *("density", "comparison", "agreement", "gain", "classical", "benchmarks"),
    *("moran", "residuals", "areas", "graph", "sources", "scales", "variances", "contributions", "covariates"),
    *("explained", "sensitivity", "nonresponse", "labels", "model", "notes"),
)
# only runs of shares and counts, of persons, or of series with breaks have these
OF_SOME = ("calibration", "persons", "cells", "weights", "trends")
WORDS: dict[str, dict[str, list[str]]] = tomllib.loads(
    (resources.files("buurtsae.publication") / "words.toml").read_text(encoding="utf-8")
)
# residuals in standard errors: lower ends, and words for the legend
RESIDUALS = (
    (-np.inf, Note("respondents far below the model (below -2)", "antwoorden veel lager dan het model (onder -2)")),
    (-2.0, Note("lower (-2 to -1)", "lager (-2 tot -1)")),
    (-1.0, Note("as expected (-1 to 1)", "zoals verwacht (-1 tot 1)")),
    (1.0, Note("higher (1 to 2)", "hoger (1 tot 2)")),
    (2.0, Note("far higher (above 2)", "veel hoger (boven 2)")),
)


def write_quality(quality: Mapping[str, Any], folder: Path, outlines: Outlines | None = None) -> None:
    """Write `quality.json` and `quality.html`, with maps of the residuals where the outlines of buurten are given.

    The report has the keys of `SECTIONS`; any section but `run` and `gate` may be empty, those of `OF_SOME` absent.

    Raises
    ------
    DataError
        If a section is absent or unknown.
    """
    if odd := (set(SECTIONS) ^ set(quality)) - set(OF_SOME):
        wrong, sections = (", ".join(keys) for keys in (sorted(odd), SECTIONS))
        raise DataError("the quality report is incomplete", wrong, sections, "give every section once")
    plain = _plain(quality)
    text = json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    (folder / "quality.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    counts = dict(plain["labels"])
    labels = [{"level": level, **{key: counts[level].get(key, 0) for key in LABELS}} for level in counts]
    z = [abs(row["z"]) for row in plain["comparison"] or [] if row["z"] is not None]
    write_page(
        folder / "quality.html",
        "quality.html",
        q=plain | {"labels": labels},
        run=of_run(plain["run"] | {"draft": not plain["gate"]["passed"]}),
        words=WORDS["keys"] | {key: [label.nl, str(label)] for key, label in LABELS.items()},
        values=WORDS["values"] | _of_codebooks(),
        up="dashboard/",
        here="quality",
        apart=(sum(size > 1.96 for size in z), len(z)),
        shape=outlines,
        maps=_maps(plain["residuals"] or {}) if outlines is not None else {},
        classes=[text for _, text in RESIDUALS],
    )


def _of_codebooks() -> dict[str, list[str]]:
    """Names of sources and units of figures, which the table of covariates has in Dutch."""
    books = [Codebook.load(source) for source in available()]
    figures = [indicator for book in books for indicator in book.indicators]
    units = {figure.unit: [figure.unit, figure.unit_en or figure.unit] for figure in figures}
    titles = [as_in(Note(book.en or book.nl, book.nl), made) for book in books for made in (False, True)]
    return units | {title.nl: [title.nl, str(title)] for title in titles}


def _maps(residuals: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, int]]:
    """Return the class of each residual, per measure and buurt."""
    ends = [low for low, _ in RESIDUALS[1:]]
    return {
        measure: {code: int(np.searchsorted(ends, z, side="right")) for code, z in of_area.items() if z is not None}
        for measure, of_area in residuals.items()
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: numpy's types unpacked, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, set | frozenset):
        return _plain(sorted(value))
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
