"""Years without a survey, between waves or beyond them: columns without data, of which the other years tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from buurtsae.errors import ModelError, Problems, shown
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Note
from buurtsae.survey.direct import DirectEstimates

if TYPE_CHECKING:
    from buurtsae.model.design import Design


def check_foreseen(model: AreaModel, direct: DirectEstimates, problems: Problems) -> None:
    """Record what keeps a model from telling about years without a survey."""
    if not (silent := [year for year in direct.years if year not in direct.waves]):
        return
    if model.over_years is None:
        what, hint = "years without a survey need a trend", "AreaModel(..., trend=Trend())"
        problems.add(what, f"{shown(silent)}, and years with an intercept each", "a trend", hint, ModelError)
    if own := [term.name for term in model.terms if not term.lasting]:
        what, hint = "years without a survey need terms over time", f"OverTime(...) of {own[0]}"
        problems.add(what, f"{shown(silent)}, and {shown(own)} new in each year", "OverTime terms", hint, ModelError)


def noted(year: int, waves: Sequence[int]) -> Note:
    """Return what to say of the figures of a year without a survey."""
    before, after = [w for w in waves if w < year], [w for w in waves if w > year]
    if before and after:
        return Note(
            "no survey in {year}: figures lie between those of {first} and {last}, as wide as the model expects",
            "geen enquête in {year}: cijfers tussen die van {first} en {last}, zo onzeker als het model verwacht",
            year=year, first=before[-1], last=after[0],
        )  # fmt: skip
    return Note(
        "no survey in {year}: figures go beyond that of {last}, and show no turn that came after it",
        "geen enquête in {year}: cijfers gaan verder dan die van {last}, en tonen geen omslag van daarna",
        year=year, last=before[-1] if before else after[0],
    )  # fmt: skip


def of_silent(whole: Design, several: DirectEstimates, year: int) -> Design:
    """Return a year without a survey of a design of several, as one period: arrays without data."""
    names = several.of_year(year).labels
    rows = [whole.sources.index(name) for name in names]
    d = len(whole.measures)
    columns = slice(several.years.index(year) * d, (several.years.index(year) + 1) * d)
    y = np.zeros((len(rows), len(whole.site_codes), d))
    return replace(
        whole,
        years=(),
        waves=(),
        sources=names,
        kinds=tuple(whole.kinds[row] for row in rows),
        y=y,
        covariance=np.zeros((*y.shape, d)),
        linked=np.zeros((len(rows), d), dtype=bool),
        ratio=np.ones_like(y),
        freedom=np.zeros_like(y),
        centre=whole.centre[columns],
        effects=(),
        strange=(noted(year, several.waves),),
        size=None if whole.size is None else y,
        known=None if whole.known is None else whole.known[:, columns, columns],
        pooled=None,
        correlation=None,
    )
