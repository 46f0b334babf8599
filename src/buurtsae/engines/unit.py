"""Fit a model of persons: answers in cells and residents in cells to figures per area, of all residents or a domain.

A figure is a `Fit` of its own, whose draws are those of the link of the figure per area: what follows a fit of counts
or of direct estimates follows this one. The draws of all figures and domains are joint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import logit

from buurtsae.areas.areas import Areas
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit, unreliable
from buurtsae.engines.poststratify import PersonDraws, Residents, poststratified
from buurtsae.errors import DataError, ModelError, check_kinds, cut, shown
from buurtsae.model.design import Design, design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.persons.answer import Figure, Ladder, Number, YesNo, figure_of
from buurtsae.model.persons.effect import Stacked
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Coded, Domain
from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells, inside
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

if TYPE_CHECKING:
    from buurtsae.engines.person_mode import PersonMode
    from buurtsae.engines.persons import PersonData

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
    answers : Answers
    cells : Coded
        Of the answers, in the coding of the population, sorted by area.
    order : ndarray of int, shape (K,)
        Rows of the answers in that order; those in areas without residents are left out.
    populations : tuple of Cells
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
    >>> import pandas as pd
    >>> from buurtsae import IID, Answers, Areas, Cells, Factor, UnitModel, fit_persons
    >>> areas = Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table["share"] = [0.2, 0.5, 0.3, 0.4, 0.1, 0.6]
    >>> answers = Answers.of(table, "share", cells, area="code", number="n")
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
    answers: Answers
    cells: Coded
    order: Ints
    populations: tuple[Cells, ...]
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

    @cached_property
    def data(self) -> PersonData:
        """The answers as the engine sees them."""
        from buurtsae.engines.persons import PersonData  # numba

        y, size = (np.ascontiguousarray(part[self.order], dtype=float) for part in (self.answers.y, self.answers.size))
        area, levels = np.ascontiguousarray(self.cells.area, dtype=np.int64), int(self.stacked.starts[-1])
        index = self.stacked.index(self.cells)
        return PersonData(self.model.answers, area, index, y, size, len(self.areas.codes), levels)

    @cached_property
    def at_mode(self) -> PersonMode:
        """The model with areas and their levels integrated out, at the mode: for what conditions it again."""
        from buurtsae.engines.person_mode import settled
        from buurtsae.engines.persons import PersonMarginal

        return settled(PersonMarginal.of(self.design, self.stacked, self.data))

    def fit_of(self, domain: Domain | None = None, figure: str | None = None, scale: Scale | None = None) -> Fit:
        """Return figures of the residents of a domain, per area.

        Parameters
        ----------
        domain : mapping of characteristic to levels, optional
            By default all residents in the cells.
        figure : str, optional
            Of ordered answers: `mean`, the default, `share <category>` or `above <category>`.
        scale : Scale, optional
            Of a share; by default that of the outcome, or 0 to 1.

        Returns
        -------
        Fit
            Its areas have the residents of the domain, not rounded; where tables differ, their mean. Its data are the
            respondents of the domain per area: direct estimates of a domain are not published, because those of all
            residents less those of some domains are those of others; numbers of respondents are.

        Raises
        ------
        DataError
            On an unknown characteristic, level or figure, or a domain without residents or respondents.
        """
        check_kinds(figure=(figure, (str, type(None))), scale=(scale, (Scale, type(None))))
        outcome = self.model.answers
        wanted = figure_of(outcome, figure, self._categories, self.answers.categories)
        realised = self.model.estimand == "realised"
        told = self.told(wanted) if realised else None
        tables = [Residents.of(p, self.stacked, domain, told and told(p)) for p in self.populations]
        total = np.mean([table.total for table in tables], axis=0)
        if not total.any():
            raise DataError("nobody lives in this domain", cut(domain), "cells with residents", "name other levels")
        seed = self.seed if realised else None
        means = poststratified(self.draws, tables, wanted, outcome, self.threads, seed)
        empty = ~(total > 0)
        means[:, empty] = np.nanmean(means[:, ~empty])  # nobody lives there: no estimate is made of it
        areas = replace(self.areas, frame=self.areas.frame.assign(population=total), alike=False)
        of_figure = self._outcome(wanted, realised, scale)
        ends = (of_figure.scale.lower, of_figure.scale.width) if wanted.kind == "share" else (0.0, 1.0)
        counted, named = isinstance(of_figure, Binomial), {} if domain is None else domain
        direct = self._direct(wanted, named, areas, figure, None if counted else ends)
        model = replace(self.model.area, outcome=of_figure)
        if not counted:  # draws are no predictors: nothing has the model's intercept
            eta = ends[0] + ends[1] * means
            centre = float(np.nanmean(direct.sources[0].mean))
            model = replace(model, intercept=Normal(centre, self.model.intercept.sd))
        else:
            eta = logit(np.clip(means, EDGE, 1 - EDGE))
        arrays = design(model, direct)
        draws = replace(self.raw, eta=eta.reshape(*self.raw.shape, -1, 1), subdimensions=direct.subdimensions,
                        outcome=arrays.model.outcome,
                        coords={**self.raw.coords, "measure_2": direct.subdimensions})  # fmt: skip
        of_persons = (PersonFigure(self, wanted, domain),)
        return Fit(arrays, direct, draws, self.engine, self.seed, self.seconds, persons=of_persons)

    def _outcome(self, wanted: Figure, realised: bool, scale: Scale | None) -> Binomial | Gaussian:
        """What a figure is: on the scale of the model's outcome, or of codes; of realised shares draws know no ends."""
        outcome = self.model.answers
        if wanted.kind == "mean":
            if isinstance(outcome, Number):
                return outcome.outcome
            return Gaussian(Scale(min(wanted.codes), max(wanted.codes)))
        share = replace(outcome.outcome, effective=True) if isinstance(outcome, YesNo) else Binomial(effective=True)
        share = share if scale is None else replace(share, scale=scale)
        return Gaussian(share.scale) if realised else share

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
        base, rises = wanted.rises(y.shape[1] - 1)
        codes = base + np.concatenate([[0.0], np.cumsum(rises)])
        return y @ codes, y @ codes**2

    def told(self, wanted: Figure) -> Any:
        """Return what gives, of a population, the respondents of its cells and the sums of their answers, (M,) each.

        Raises
        ------
        ModelError
            If the answers lack a characteristic of the population.
        """
        sums, size = self._scored(wanted)[0], self.answers.size[self.order]

        def of(population: Cells) -> tuple[Floats, Floats]:
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

    def _direct(
        self, wanted: Figure, domain: Domain, areas: Areas, figure: str | None, ends: tuple[float, float] | None
    ) -> DirectEstimates:
        """What the respondents of a domain say per area, with the numbers that rules hide it by.

        They are counts, or means with `ends`: what the scale adds to them, and what they are times.
        """
        kept = inside(
            self.cells.level, self.populations[0].characteristics, {} if domain is None else domain, len(self.order)
        )
        n, name = len(areas.codes), self.measure if figure is None else f"{self.measure}: {figure}"
        size, asked = self.answers.size[self.order], self.answers.respondents[self.order]
        parts = (size, asked, *self._scored(wanted), *self._kinds.T)
        count, persons, first, second, *kinds = (_sums(self.cells.area[kept], v[kept], n) for v in parts)
        seen = (count > 0) & areas.inhabited
        if not seen.any():
            raise DataError("nobody of this domain was asked", cut(domain), "respondents", "name other levels")
        count, persons, first, second = (part[seen] for part in (count, persons, first, second))
        table = pd.DataFrame({"code": areas.codes[seen], "n": count, name: first})
        if ends is None:
            direct: DirectEstimates = AreaCounts.from_frame(table, y=name, trials="n", area="code", areas=areas)
        else:
            mean, (low, width) = first / count, ends
            freedom = max(float((count - 1).clip(0).sum()), 1.0)
            within = max(float((second - count * mean**2).sum()) / freedom, 1e-12)
            table[name], table["variance"] = low + width * mean, width**2 * within / count
            direct = DirectEstimates.from_frame(table, y=name, variance="variance", area="code", areas=areas)
        spread = (second - first**2 / count > 1e-9 * second)[:, None]
        each = np.stack(kinds, axis=1)[seen] if kinds else np.where(spread, 0.0, count[:, None])
        source = replace(
            direct.sources[0], respondents=np.round(persons)[:, None].astype(np.int64), n_effective=count[:, None],
            rarest=each.min(axis=1, keepdims=True) if wanted.kind == "share" else None,
            alike=each.max(axis=1, keepdims=True) / count[:, None] if wanted.kind == "mean" else None,
        )  # fmt: skip
        return replace(direct, sources=(source,), counted=True)

    @cached_property
    def _kinds(self) -> Floats:
        """How many gave each answer, per cell of the answers, in their order here; none of numbers."""
        y, size = self.answers.y[self.order], self.answers.size[self.order]
        if isinstance(self.model.answers, Number):
            return np.zeros((len(y), 0))
        return y if y.ndim == 2 else np.stack([y, size - y], axis=1)

    def check(self) -> pd.DataFrame:
        """Return predictors and hyperparameters whose draws are not good enough, as `Fit.check`; empty is good."""
        return unreliable(self.raw, self.areas, (self.measure,))

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


@dataclass(frozen=True)
class PersonFigure:
    """What figures per area are of.

    Attributes
    ----------
    fit : UnitFit
    figure : Figure
        The mean over residents that was taken.
    domain : mapping of characteristic to levels, optional
        Of which residents; None is all.
    """

    fit: UnitFit
    figure: Figure
    domain: Domain | None = None


def _sums(place: Ints, values: Floats, n: int) -> Floats:
    """Sums of values by their place among n."""
    return np.bincount(place, values, n).astype(float)
