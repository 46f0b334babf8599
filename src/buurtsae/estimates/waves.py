"""Estimates of every year of one fit, and how they changed: all from the same joint draws.

A year is `fit.of_year(t)`, whose draws are those of the whole fit; a change is taken per draw (`changes`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.errors import ModelError, cut, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked
from buurtsae.estimates.changes import change, check
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.estimates.words.change import change_lines, in_words
from buurtsae.origin import Fictitious
from buurtsae.schemas import records
from buurtsae.survey.concept import Concept


@dataclass(frozen=True, repr=False)
class Waves:
    """Estimates of every year of one fit.

    Attributes
    ----------
    fit : Fit
        Of all years.
    of : mapping of int to Estimates
        By year, ascending; those without a survey are there too, where they were asked for.
    relevant : float, optional
        The least change that matters, in the unit of the measures.
    opens : int, optional
        The year that pages open with; the last with a survey by default.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": list("abcd"), "population": 100}), code="code")
    >>> waves = []
    >>> for year, y in {2020: [4.0, 5.0, 6.0, 5.0], 2024: [4.0, 5.1, 5.9, 8.0]}.items():
    ...     table = pd.DataFrame({"code": list("abcd"), "y": y, "v": 0.05})
    ...     waves.append(bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year))
    >>> model = bs.AreaModel(terms=[bs.OverTime(bs.IID("area"))])
    >>> fit = bs.fit(model, bs.joined(*waves).by_year(), draws=400, hyperparameters=60, progress=False)
    >>> waves = bs.estimate_waves(fit)
    >>> waves
    Waves of 2020, 2024: 1 measure for {'area': 4, 'all': 1}
    >>> waves.of[2024].select("y")["estimate"].round().tolist()
    [4.0, 5.0, 6.0, 8.0]
    >>> waves.change(2020, 2024).set_index("area_code").loc[["a", "d"], "label"].tolist()
    ['niet_te_onderscheiden', 'toename']
    """

    fit: Fit
    of: Mapping[int, Estimates]
    relevant: float | None = None
    opens: int | None = None

    @property
    def years(self) -> tuple[int, ...]:
        """All years."""
        return tuple(self.of)

    @property
    def surveyed(self) -> tuple[int, ...]:
        """The years with a survey."""
        asked = {source.year for source in self.fit.direct.sources}
        return tuple(year for year in self.of if year in asked)

    @property
    def current(self) -> Estimates:
        """Those of the year that pages open with."""
        return self.of[self.current_year]

    @property
    def current_year(self) -> int:
        """The year that pages open with."""
        return self.opens or self.surveyed[-1]

    @property
    def table(self) -> pd.DataFrame:
        """The tables of all years below each other."""
        return self._joined(lambda est: est.table)

    @property
    def published(self) -> pd.DataFrame:
        """What may be published, of all years."""
        return self._joined(lambda est: est.published)

    @property
    def supplement(self) -> pd.DataFrame:
        """What the contract's table does not hold, of all years."""
        return self._joined(lambda est: est.supplement)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """From each year with a survey to the next, and from the first to the last."""
        years = self.surveyed
        return tuple(dict.fromkeys([*itertools.pairwise(years), (years[0], years[-1])]))

    def change(self, first: int, second: int, *, relevant: float | None = None) -> pd.DataFrame:
        """Return how figures changed between two years, the table of `buurtsae.changes`.

        Raises
        ------
        DataError or ProblemsError
            If years are unknown, the same or in the wrong order, or `relevant` is not above 0.
        """
        check(self.years, first, second, relevant)
        return change(self.of[first], self.of[second], first, second, relevant=relevant or self.relevant)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """The changes of all `pairs`."""
        return pd.concat([self.change(*pair) for pair in self.pairs], ignore_index=True)

    @property
    def published_changes(self) -> pd.DataFrame:
        """What may be published of them: rounded where the rules say so."""
        decimals, figures = self.current.rules.decimals, ["change", "sd", "lower", "upper"]
        rounded = self.changes[figures] if decimals is None else self.changes[figures].round(decimals)
        return self.changes.assign(**rounded)

    @cached_property
    def said(self) -> pd.DataFrame:
        """The `published_changes`, and what is said of each (`verdict`), as pages and files per gemeente have them."""
        return self.published_changes.assign(verdict=in_words(self.changes, self.table))

    def explain(self, code: str) -> str:
        """Return, in Dutch, what is known about one area in the year that pages open with, and how it changed.

        Raises
        ------
        DataError
            If there is no such area, or no estimate of it.
        """
        est, rows = self.current, self.said[self.said["area_code"] == code]
        names = {name: node.nl for name, node in est.concept.nodes.items()}
        scales = {name: est.concept.scale_of(name) for name in est.measures}
        return f"{est.explain(code)}\n{change_lines(records(rows), names, scales)}"

    def _joined(self, of: Callable[[Estimates], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([of(est) for est in self.of.values()], ignore_index=True)

    def __repr__(self) -> str:
        measures, counts = (
            len(self.current.measures),
            self.current.table.groupby("level", sort=False)["area_code"].nunique(),
        )
        what = f"{measures} measure{'s' * (measures > 1)} for {cut(counts.to_dict(), 150)}"
        return f"Waves of {shown(self.years, 10)}: {what}"


def estimate_waves(
    fit: Fit,
    *,
    concept: Concept | None = None,
    rules: Rules | None = None,
    relevant: float | None = None,
    opens: int | None = None,
    run_id: str = "-",
    fictitious: Fictitious = False,
    benchmark: Callable[[Fit], Benchmarked] | None = None,
) -> Waves:
    """Summarise every year of a fit of several.

    Parameters
    ----------
    fit : Fit
        Of several years, by `DirectEstimates.by_year`.
    concept, rules, run_id, fictitious : optional
        As of `estimate`.
    relevant : float, optional
        The least change that matters, in the unit of the measures; by default a twentieth of the scale.
    opens : int, optional
        The year that pages open with; the last with a survey by default.
    benchmark : callable, optional
        What makes the draws of a year with a survey agree with benchmarks.

    Returns
    -------
    Waves

    Raises
    ------
    ModelError
        If the fit is of one period.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> bs.estimate_waves(voorbeeldstad().fit)
    Traceback (most recent call last):
    buurtsae.errors.ModelError: the fit is of one period
    ...
    """
    if not fit.design.years:
        hint = "estimate(fit) for one period; several: direct.by_year(), with OverTime terms"
        raise ModelError("the fit is of one period", "no years", "two years or more", hint)
    asked, of = {source.year for source in fit.direct.sources}, {}
    for year in fit.design.years:
        part = fit.of_year(year)
        drawn = part if benchmark is None or year not in asked else benchmark(part)
        of[year] = estimate(drawn, concept=concept, rules=rules, year=year, run_id=run_id, fictitious=fictitious)
    return Waves(fit, of, relevant, opens)
