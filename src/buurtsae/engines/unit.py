"""Fit a model of persons: answers in cells and residents in cells to figures per area, of all residents or a domain.

A figure is a `Fit` of its own, whose draws are those of the link of the figure per area: what follows a fit of counts
or of direct estimates follows this one. The draws of all figures and domains are joint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from buurtsae.areas.areas import Areas
from buurtsae.draws import RHAT_MAX, Draws
from buurtsae.engines.base import Fit
from buurtsae.engines.poststratify import PersonDraws, Residents, chance, poststratified
from buurtsae.errors import DataError, ModelError, cut, shown
from buurtsae.model.design import Design, design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.persons.answer import Figure, Ladder, Number, figure_of
from buurtsae.model.persons.effect import Stacked
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Answered, Coded, Domain, Population
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.cells import inside
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

EDGE = 1e-7  # a share of residents is at least so far from 0 and 1


@dataclass(frozen=True, repr=False)
class UnitFit:
    """A fitted model of persons.

    Attributes
    ----------
    model : UnitModel
    design : Design
        The areas' part.
    stacked : Stacked
        The persons' part.
    answers : Answered
    cells : Coded
        Of the answers, in the coding of the population, sorted by area.
    order : ndarray of int, shape (K,)
        Rows of the answers in that order; those in areas without residents are left out.
    populations : tuple of Population
        Tables of residents, used in turn over the draws.
    draws : PersonDraws
    raw : Draws
        Draws of the areas' predictors and of all parameters.
    seed : int
    seconds : float
    threads : int
        For figures.
    measure : str
        What figures are called.
    notes : tuple of Note
    engine : {"laplace", "nuts"}

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import pandas as pd
    >>> from buurtsae import IID, Areas, Factor, UnitModel, fit_persons
    >>> areas = Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [50, 80, 70]}), code="code")
    >>> both = {"age": ("18-64", "65+")}
    >>> area, level = np.repeat(np.arange(3), 2), np.tile([[0], [1]], (3, 1))
    >>> cells = SimpleNamespace(areas=areas, characteristics=both, area=area, level=level, count=np.full(6, 30.0))
    >>> answers = SimpleNamespace(
    ...     characteristics=both, area=area, level=level, size=np.full(6, 9.0), y=np.array([2.0, 5, 3, 4, 1, 6])
    ... )
    >>> model = UnitModel(terms=[IID("area")], persons=[Factor("age")])
    >>> fit = fit_persons(model, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> fit
    UnitFit by laplace in ... s, seed 1: 3 areas, 6 cells of answers, 2 levels of persons; Draws of 3 areas ...
    >>> fit.fit_of({"age": ["65+"]}).draws.scores().shape
    (100, 3, 1)
    """

    model: UnitModel
    design: Design
    stacked: Stacked
    answers: Answered
    cells: Coded
    order: Ints
    populations: tuple[Population, ...]
    draws: PersonDraws
    raw: Draws
    seed: int
    seconds: float
    threads: int = 2
    measure: str = "y"
    notes: tuple[Note, ...] = ()
    engine: str = "laplace"

    @property
    def areas(self) -> Areas:
        """Of the population."""
        return self.populations[0].areas

    def fit_of(self, domain: Domain | None = None, figure: str | None = None) -> Fit:
        """Return figures of the residents of a domain, per area.

        Parameters
        ----------
        domain : mapping of characteristic to levels, optional
            By default all residents in the cells.
        figure : str, optional
            Of ordered answers: `mean`, the default, `share <category>` or `above <category>`.

        Returns
        -------
        Fit
            Its areas have the residents of the domain; its data are the respondents of the domain, per area.

        Raises
        ------
        DataError
            On an unknown characteristic, level or figure, or a domain without residents or respondents.
        """
        wanted, outcome = figure_of(self.model.answers, figure, self._categories), self.model.answers
        told = self._told(wanted) if self.model.estimand == "realised" else None
        tables = [Residents.of(p, self.stacked, domain, told and told(p)) for p in self.populations]
        if not tables[0].total.any():
            raise DataError("nobody lives in this domain", cut(domain), "cells with residents", "name other levels")
        means = poststratified(self.draws, tables, wanted, outcome, self.threads)
        if told is not None:
            means += chance(self.draws, tables[0], wanted, outcome, np.random.default_rng([self.seed, 5]))
        empty = ~(tables[0].total > 0)
        means[:, empty] = np.nanmean(means[:, ~empty])  # nobody lives there: no estimate is made of it
        frame = self.areas.frame.copy()
        frame["population"] = np.where(empty, 0, np.maximum(np.round(tables[0].total), 1)).astype(np.int64)
        areas = replace(self.areas, frame=frame, alike=False)
        direct = self._direct(wanted, domain, areas, figure)
        eta = means if wanted.kind == "mean" else logit(np.clip(means, EDGE, 1 - EDGE))
        outcome_of = Gaussian() if wanted.kind == "mean" else Binomial(effective=True)
        model = replace(self.model.area, outcome=outcome_of)
        arrays = design(model, direct)
        hyper = {name: (dims, values) for name, (dims, values) in self.raw.hyper.items()}
        draws = replace(self.raw, eta=eta.reshape(*self.raw.shape, -1, 1), subdimensions=direct.subdimensions,
                        hyper=hyper, outcome=arrays.model.outcome,
                        coords={**self.raw.coords, "measure_2": direct.subdimensions})  # fmt: skip
        return Fit(arrays, direct, draws, self.engine, self.seed, self.seconds, of_persons=True)

    @cached_property
    def _categories(self) -> int:
        return self.answers.y.shape[1] if self.answers.y.ndim == 2 else 2

    def _scored(self, wanted: Figure) -> tuple[Floats, Floats]:
        """Sums of what answers count, and of its square, per cell of the answers, in their order here."""
        y = self.answers.y[self.order]
        if isinstance(self.model.answers, Number):
            return y[:, 0], y[:, 1]
        if not isinstance(self.model.answers, Ladder):
            return y, y
        codes = np.array(wanted.codes) if wanted.codes else np.zeros(y.shape[1])
        if wanted.kind == "share":
            codes[wanted.low : wanted.high] = 1.0
        return y @ codes, y @ codes**2

    def _told(self, wanted: Figure) -> Any:
        """How many respondents the cells of a population have, and the sum of their answers."""
        sums, size = self._scored(wanted)[0], self.answers.size[self.order]

        def of(population: Population) -> tuple[Floats, Floats]:
            names, sizes = list(population.characteristics), [len(v) for v in population.characteristics.values()]
            if absent := [name for name in names if name not in self.cells.level]:
                raise ModelError("a finite population needs all characteristics of the cells in the answers",
                                 shown(absent), "none lacking", "add them to the answers")  # fmt: skip
            shape = (len(population.areas.codes), *sizes)
            key = np.ravel_multi_index((population.area, *population.level.T), shape)
            answered = np.ravel_multi_index((self.cells.area, *(self.cells.level[name] for name in names)), shape)
            order = np.argsort(key, kind="stable")
            at = np.minimum(np.searchsorted(key[order], answered), len(key) - 1)
            there = key[order][at] == answered
            row = order[at[there]]
            n = len(key)
            return _sums(row, size[there], n), _sums(row, sums[there], n)

        return of

    def _direct(self, wanted: Figure, domain: Domain | None, areas: Areas, figure: str | None) -> DirectEstimates:
        """What the respondents of a domain say per area."""
        kept = inside(self.cells.level, self.populations[0].characteristics, domain or {}, len(self.order))
        n = len(areas.codes)
        size = self.answers.size[self.order]
        total, squares = self._scored(wanted)
        count, first, second = (_sums(self.cells.area[kept], v[kept], n) for v in (size, total, squares))
        if not count[areas.inhabited].any():
            raise DataError("nobody of this domain was asked", cut(domain), "respondents", "name other levels")
        return self._counted(wanted, areas, figure, count, first, second)

    def _counted(
        self, wanted: Figure, areas: Areas, figure: str | None, count: Floats, first: Floats, second: Floats
    ) -> DirectEstimates:
        name = self.measure if figure is None else f"{self.measure}: {figure}"
        seen = (count > 0) & areas.inhabited
        table = pd.DataFrame({"code": areas.codes, "n": count, name: first})[seen]
        if wanted.kind == "share":
            return AreaCounts.from_frame(table, y=name, trials="n", area="code", areas=areas)
        mean = first[seen] / count[seen]
        within = float((second[seen] - count[seen] * mean**2).sum()) / max(float((count[seen] - 1).clip(0).sum()), 1.0)
        table[name], table["variance"] = mean, max(within, 1e-12) / count[seen]
        return DirectEstimates.from_frame(table, y=name, variance="variance", area="code", areas=areas)

    def check(self) -> pd.DataFrame:
        """Return what cannot be relied on; empty is good."""
        if self.raw.certificate is None:
            table = self.raw.hyperparameters()
            return table[table["rhat"] >= RHAT_MAX].rename(columns={"name": "what"})
        advice = self.raw.certificate.advice
        return pd.DataFrame([] if advice is None else [{"what": "draws", "advice": advice}], columns=["what", "advice"])

    def effects(self) -> pd.DataFrame:
        """Return mean, sd and 95% interval of every level of every term of persons, less the mean over its levels."""
        rows = []
        for start, effect in zip(self.stacked.starts, self.stacked.effects, strict=False):
            if effect.predicts:
                part = self.draws.f[:, start : start + len(effect.levels)]
                part = part - part.mean(axis=1, keepdims=True)
                ends = np.quantile(part, [0.025, 0.975], axis=0)
                parts = zip(effect.levels, part.mean(axis=0), part.std(axis=0), *ends, strict=True)
                rows += [(effect.name, *row) for row in parts]
        return pd.DataFrame(rows, columns=["term", "level", "mean", "sd", "lower", "upper"])

    def of_tables(self, domain: Domain | None = None, figure: str | None = None) -> pd.Series:
        """Return the share of the variance of figures that is there because tables of cells differ, per area.

        It is the variance between tables of the posterior mean, of the same draws in all, over the variance of the
        draws that take the tables in turn.

        Parameters
        ----------
        domain : mapping of characteristic to levels, optional
        figure : str, optional
            As of `fit_of`.

        Returns
        -------
        Series, indexed by `area_code`
            NaN where nobody of the domain lives.

        Raises
        ------
        ModelError
            If there is one table only.
        """
        if len(self.populations) < 2:
            hint = "fit with several: `Cells.tables` gives them"
            raise ModelError("nothing is known of uncertain cells", "1 table", "two tables or more", hint)
        whole = self.fit_of(domain, figure)
        parts = [replace(self, populations=(table,)).fit_of(domain, figure) for table in self.populations]
        between = np.var([part.draws.scores()[..., 0].mean(axis=0) for part in parts], axis=0, ddof=1)
        share = between / whole.draws.scores()[..., 0].var(axis=0)
        lived_in = np.all([part.areas.inhabited for part in parts], axis=0)
        return pd.Series(np.where(lived_in, share, np.nan), index=self.areas.codes, name="of_tables")

    def __repr__(self) -> str:
        size = f"{len(self.areas.codes)} {self.areas.noun}, {len(self.order)} cells of answers"
        done = f"UnitFit by {self.engine} in {self.seconds:.0f} s, seed {self.seed}"
        return f"{done}: {size}, {self.stacked.starts[-1]} levels of persons; {self.raw!r}"


def _sums(place: Ints, values: Floats, n: int) -> Floats:
    """Sums of values by their place among n."""
    return np.bincount(place, values, n).astype(float)
