"""`[years]` of a run file: several waves in one fit, and what is asked of change. `[[areas.editions]]`: old borders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from buurtsae.areas.divisions import SAME
from buurtsae.model.breaks import Break
from buurtsae.model.contrasts import Process
from buurtsae.model.priors import PC, Beta
from buurtsae.model.terms import OverTime, Term
from buurtsae.model.trend import Trend
from buurtsae.runs.part import File, Name, Part, Year

if TYPE_CHECKING:
    from buurtsae.runs.runfile import RunSpec


def _none(word: str) -> BeforeValidator:
    """A prior, or a word for having none."""
    return BeforeValidator(lambda raw: None if raw == word else raw)


class YearsPart(Part):
    """`[years]`: each year has estimates of its own, and every term of the model changes over time."""

    trend: Annotated[PC | None, _none("free")] = PC(0.5, 0.01)
    coefficients: Annotated[PC | None, _none("stay")] = PC(0.25, 0.01)
    process: Process = "walk"
    change: PC | None = None
    persistence: Beta = Beta(1.0, 1.0)
    change_mixing: Beta = Beta(1.0, 1.0)
    relevant: float | None = Field(default=None, gt=0)
    also: tuple[Year, ...] = ()
    breaks: tuple[Break, ...] = ()

    @property
    def over_years(self) -> Trend | None:
        """What intercept and coefficients of a year know of those of others; None: nothing."""
        return None if self.trend is None else Trend(self.trend, self.coefficients)

    def over_time(self, term: Term) -> OverTime:
        """Return a term that changes from year to year."""
        over = OverTime(term, process=self.process, persistence=self.persistence, change_mixing=self.change_mixing)
        return over if self.change is None else replace(over, change=self.change)


class EditionPart(Part):
    """`[[areas.editions]]`: a crosswalk from areas of another year, for sources that have its codes."""

    year: Year
    file: File
    kind: Literal["shares", "addresses", "polygons"] = "shares"
    level: Literal["buurt", "wijk"] = "buurt"
    old: Name = "old"
    new: Name = "new"
    share: Name = "share"
    size: Name | None = None
    postcode: Name = "postcode6"
    number: Name = "huisnummer"
    concentration: float | None = Field(default=None, gt=0)
    least: float = Field(default=0.0, ge=0, lt=1)
    same: float = Field(default=SAME, gt=0.5, le=1)


def waves_wrong(spec: RunSpec) -> str | None:
    """What of a run file does not go with several years, if anything."""
    years = sorted({part.year for part in spec.used})
    if spec.direct is not None:
        return "[years] needs respondents of several years: give [[sources]], not [direct]"
    if spec.unit is not None:
        return "[unit] models persons of one year: leave [years] or [unit] out"
    if len(years) < 2:
        return f"[years] needs sources of two years or more, and all are of {years[0]}: leave [years] out"
    if spec.run.year not in years:
        return f"`year` of [run] is what pages open with: one of {', '.join(map(str, years))}, not {spec.run.year}"
    if spec.benchmark is not None and spec.benchmark.file is not None:
        return "figures of a [benchmark] file are of one year: with [years] give a `level`, or leave it out"
    return None
