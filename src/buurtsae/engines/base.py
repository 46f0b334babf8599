"""The engine contract: one slow verb, `fit`, that takes MODEL x DATA x ENGINE to joint posterior draws.

An engine is a module with `Options` (a frozen dataclass whose fields say their ranges), `supports(design)` (names of
what it cannot do, empty when it can) and `sample(design, seed, options, progress)`; one that fits another model than it
is asked for has `counterpart`, `described(model)`, that model in words, and `components(design)`, what it plugs in. All
of it is checked before the first draw.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.draws import ESS_MIN, RHAT_MAX, Draws, convergence
from buurtsae.engines.counts import Counting
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.model.design import Design, design
from buurtsae.model.foreseen import of_silent
from buurtsae.model.links import Offset
from buurtsae.model.outcome.count import Count
from buurtsae.model.outcome.per_measure import PerMeasure, counted_columns
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.direct import DirectEstimates

if TYPE_CHECKING:
    from buurtsae.engines.unit import PersonFigure

ENGINES: Mapping[str, str] = {name: f"buurtsae.engines.{name}" for name in ("laplace", "nuts", "eblup")}


@dataclass(frozen=True)
class Fit:
    """A fitted model.

    Attributes
    ----------
    design : Design
        Model and data as the engine saw them.
    direct : DirectEstimates
    draws : Draws
    engine : str
    seed : int
    seconds : float
        Time the engine took.
    asked : AreaModel, optional
        The model that was asked for, where the engine fits a counterpart.
    whole : Fit, optional
        The fit of several years that this one is a year of: draws of its years are joint.
    persons : tuple of PersonFigure
        What each column is a figure of, where draws are of models of persons: the design is that of areas beside these.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> fit = voorbeeldstad().fit
    >>> fit.check().empty
    True
    >>> fit.draws.flat.shape  # 400 draws of 120 areas x 4 measures
    (400, 120, 4)
    """

    design: Design
    direct: DirectEstimates
    draws: Draws
    engine: str
    seed: int
    seconds: float
    asked: AreaModel | None = None
    whole: Fit | None = None
    persons: tuple[PersonFigure, ...] = ()

    @property
    def model(self) -> AreaModel:
        """The specification."""
        return self.design.model

    @property
    def areas(self) -> Areas:
        """Those of the direct estimates."""
        return self.direct.areas

    @property
    def of_domain(self) -> bool:
        """Whether draws are of some residents only, whose direct estimates are not published."""
        return any(figure.domain is not None for figure in self.persons)

    def of_year(self, year: int) -> Fit:
        """Return what a fit of several years says about one, as of one period: what follows a fit is about one year.

        Raises
        ------
        DataError
            If no source is of that year and it was not asked for, or sources of several years are of one period.
        """
        direct, silent = self.direct.of_year(year), year not in (source.year for source in self.direct.sources)
        if not self.design.years and len(direct.sources) == len(self.direct.sources):
            return self
        direct = replace(direct, anchors=self.direct.references)
        draws, whole = self.draws.of_year(year), self.design
        columns = whole.years.index(year) * len(whole.measures) + np.arange(len(whole.measures))
        if silent:
            of_year = of_silent(whole, self.direct, year)
        else:
            of_year = replace(design(self.model, direct), centre=whole.centre[columns])
        # rows and links of the whole, in the order of those of the year
        rows = np.array([whole.sources.index(name) for name in of_year.sources])
        breaks = [k for k, one in enumerate(whole.breaks) if set(columns.tolist()).intersection(one.columns)]
        of_year = replace(of_year, breaks=tuple(_moved(whole.breaks[k], rows, columns) for k in breaks))
        place = {(link.source, link.measure): k for k, link in enumerate(whole.links)}
        links = np.array([place[int(rows[link.source]), link.measure] for link in of_year.links], dtype=np.int64)
        kept: dict[str, Any] = {"source": rows, "link": links, "since": breaks}
        hyper = {name: (dims, v[:, :, kept.get(dims[0], ...)]) for name, (dims, v) in draws.hyper.items()}
        labels = {"source": of_year.sources, "link": tuple(link.label for link in of_year.links)}
        labels["since"] = tuple(one.label for one in of_year.breaks)
        coords = {name: labels.get(name, old) for name, old in draws.coords.items()}
        sites = pd.Index(whole.site_codes).get_indexer(of_year.site_codes)
        factor = None if draws.factor is None else draws.factor[rows][:, sites]
        draws = replace(draws, hyper=hyper, coords=coords, factor=factor)
        return replace(self, design=of_year, direct=direct, draws=draws, whole=self)

    @property
    def words(self) -> Note:
        """The model that was fitted, in English and in Dutch."""
        if self.persons:
            return beside((figure.fit.model.words, figure.fit.measure) for figure in self.persons)
        described = self._of_engine("described")
        return self.model.words if described is None else described(self.model)

    @property
    def components(self) -> pd.DataFrame | None:
        """Variance components that the engine estimated and plugged in, with standard errors, where it does so."""
        components = self._of_engine("components")
        return None if components is None else components(self.design)

    def _of_engine(self, name: str) -> Any:
        """What only some engines have; None where this one does not, or made its draws elsewhere."""
        return getattr(import_module(ENGINES[self.engine]), name, None) if self.engine in ENGINES else None

    @property
    def conditioned(self) -> tuple[Fit, slice]:
        """The fit that is conditioned again for what is asked of this one, and its columns there.

        Itself, but of one year of a model in which years tell about each other that of all years.
        """
        if self.whole is None or not _between_years(self.whole.design):
            return self, slice(None)
        d = len(self.design.measures)
        first = self.whole.design.years.index(self.direct.sources[0].year) * d
        return self.whole, slice(first, first + d)

    @cached_property
    def marginal(self) -> Marginal:
        """Its design with the field integrated out, for what conditions it again.

        Raises
        ------
        ModelError
            If its draws are of a model of persons, of which the design knows the areas only, or of several years.
        """
        self._refuse()
        return Marginal.of(self.design)

    @cached_property
    def counting(self) -> Counting:
        """The same of a design of counts, by Laplace's approximation.

        Raises
        ------
        ModelError
            If its draws are of a model of persons, or of several years.
        """
        self._refuse()
        counting = Counting.of(self.design)
        assert isinstance(counting, Counting)
        return counting

    def _refuse(self) -> None:
        """Refuse what the design does not hold all of: persons, and other years that tell about this one."""
        if self.whole is not None and (through := _between_years(self.whole.design)):
            what = "one year of a model of several cannot be conditioned again"
            hint = "take estimates and changes; checks, left_out and contributions are of the whole fit"
            raise ModelError(what, f"{through}: years tell about each other", "a fit of one period", hint)
        if self.persons:
            what, hint = "figures of a model of persons cannot be conditioned again", "take estimates and indicators"
            raise ModelError(what, "UnitFit.fit_of", "a fit of an AreaModel", hint)

    @cached_property
    def links(self) -> tuple[Floats, Floats, Floats]:
        """Draws of alpha and breaks, lambda and tau, shape (draws, S, W); 0, 1, 0 for references without breaks."""
        linked = self.design.linked
        n = len(self.draws.flat)
        tables = []
        for name, fixed in (("alpha", 0.0), ("lambda", 1.0), ("tau", 0.0)):
            table = np.full((n, *linked.shape), fixed)
            if linked.any():
                table[:, linked] = self.draws.hyper[name][1].reshape(n, -1)[:, self.design.link_of]
            tables.append(table)
        if self.design.breaks:
            of_breaks = replace(self.design.offsets, each=self.design.breaks)
            tables[0] = tables[0] + of_breaks.table(self.draws.hyper["break"][1].reshape(n, -1))
        return tables[0], tables[1], tables[2]

    @cached_property
    def information(self) -> Floats:
        """Precision of each source about the scores, at posterior means of its link, shape (S, K, D, D)."""
        _, slope, extra = self.links
        outcome, size = self.design.model.outcome, self.design.size
        if isinstance(outcome, Count) and size is not None:
            information = outcome.precision(self.draws.flat.mean(axis=0), size)
            return information[..., None] * np.eye(information.shape[-1])
        if isinstance(outcome, PerMeasure) and size is not None:
            scores = self.design.gaussian.information(slope.mean(axis=0), np.sqrt((extra**2).mean(axis=0)))
            eta, of_counts = self.design.sites @ self.draws.flat.mean(axis=0), np.zeros(size.shape)
            for one, at in counted_columns(outcome, size.shape[-1]):
                of_counts[..., at] = one.precision(eta[:, at], size[..., at])
            return scores + of_counts[..., None] * np.eye(size.shape[-1])
        factor = 1.0 if self.draws.factor is None else self.draws.factor
        return self.design.information(slope.mean(axis=0), np.sqrt((extra**2).mean(axis=0)), factor)

    @cached_property
    def convergence(self) -> pd.DataFrame:
        """R-hat and effective sample sizes of the score of every inhabited buurt and sub-dimension."""
        return converged(self.draws, self.areas, self.design.columns)

    @property
    def mse(self) -> pd.DataFrame | None:
        """Analytic mean squared errors per buurt and sub-dimension, of a classical engine."""
        if self.draws.mse is None:
            return None
        return pd.DataFrame(self.draws.mse, list(self.draws.areas), list(self.design.columns))

    def check(self) -> pd.DataFrame:
        """Return the scores and hyperparameters, worst first, whose draws are not good enough; empty is good.

        Good is R-hat below 1.01, and for scores a bulk effective sample size above 400. For an engine with a
        certificate it is what that says, k-hat below 0.7 or convergence: otherwise one row, with what to do in the
        column `advice`.
        """
        return unreliable(self.draws, self.areas, self.design.columns)

    def _repr_html_(self) -> str:
        """A notebook's view: the hyperparameters, and what cannot be relied on."""
        bad = self.check()
        remarks = "nothing to remark" if bad.empty else bad.head(10).to_html(index=False)
        table = self.draws.hyperparameters().to_html(index=False, float_format="{:.3g}".format)
        return f"<p>{escape(repr(self))}</p>{table}<p>check(): {remarks}</p>"

    def __repr__(self) -> str:
        done = f"Fit by {self.engine} in {self.seconds:.0f} s, seed {self.seed}: {self.draws!r}"
        if self.draws.certificate is not None:
            return done
        table = self.convergence
        return f"{done}; R-hat at most {table['rhat'].max():.3f}, bulk ESS at least {table['ess_bulk'].min():.0f}"


def _between_years(whole: Design) -> str:
    """Return by what the years of a design tell about each other, if they do: effects, or links that they share."""
    if any(effect.joint for effect in whole.effects):
        return "OverTime or Trend"
    return next((f"level of {one.label}" for one in whole.offsets.each if len(one.columns) > 1), "")


def _moved(offset: Offset, rows: Ints, columns: Ints) -> Offset:
    """An offset of all years in the rows and columns of one."""
    own = tuple(int(w) for w in np.flatnonzero(np.isin(columns, offset.columns)))
    return replace(offset, source=int(np.flatnonzero(rows == offset.source)[0]), columns=own)


def beside(models: Iterable[tuple[Note, str]]) -> Note:
    """Return the words of models of measures: lines that all have once, others under the measures that have them."""
    of = dict.fromkeys(models)
    texts = [[Note(*line) for line in zip(w.split("\n"), w.nl.split("\n"), strict=True)] for w, _ in of]
    if len({len(lines) for lines in texts}) > 1:  # other terms: each model by itself
        texts = [[Note.joined(lines, "\n")] for lines in texts]
    found = []
    for lines in zip(*texts, strict=True):
        having: dict[Note, list[str]] = {}
        for line, (_, measure) in zip(lines, of, strict=True):
            having.setdefault(line, []).append(measure)
        for line, names in having.items():
            own = Note(line.strip(), line.nl.strip())
            found.append(line if len(having) == 1 else own.under("  " + shown(names)))
    return Note.joined(found, "\n")


def converged(draws: Draws, areas: Areas, columns: Sequence[str]) -> pd.DataFrame:
    """Return R-hat and effective sample sizes of the scores of inhabited areas, by area and column."""
    eta = draws.eta[:, :, areas.inhabited]
    table = convergence(eta.reshape(*eta.shape[:2], -1))
    table.index = pd.MultiIndex.from_product([areas.codes[areas.inhabited], columns], names=["area_code", "measure"])
    return table


def unreliable(draws: Draws, areas: Areas, columns: Sequence[str]) -> pd.DataFrame:
    """Return what of draws is not good enough, as `Fit.check` says."""
    if (certificate := draws.certificate) is not None:
        bad = [] if certificate.advice is None else [("all", "all", *certificate.record().values(), certificate.advice)]
        return pd.DataFrame(bad, columns=["area_code", "measure", *certificate.record(), "advice"])
    scores = converged(draws, areas, columns)
    low = scores[(scores["rhat"] >= RHAT_MAX) | (scores["ess_bulk"] <= ESS_MIN)].reset_index()
    hyper = draws.hyperparameters()
    hyper = hyper[hyper["rhat"] >= RHAT_MAX].rename(columns={"name": "area_code"})
    both = pd.concat([low, hyper[["area_code", "measure", "rhat", "ess_bulk"]]])
    return both.sort_values("rhat", ascending=False)


def engine_options(engine: str, options: Mapping[str, Any]) -> Any:
    """Return an engine's options, checked.

    Raises
    ------
    ModelError
        On an unknown engine or option, or one of another type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError  # takes long to import

    if str(engine) not in ENGINES:  # who gave areas here, as before 0.2, is told so
        raise ModelError("the engine is unknown", cut(repr(engine)), ", ".join(ENGINES), "choose one of these")
    kind, problems = import_module(ENGINES[engine]).Options, Problems()
    known = [option.name for option in fields(kind)]
    if unknown := sorted(set(options) - set(known)):
        problems.add(
            f"engine {engine} has no such option", shown(unknown), ", ".join(known), "correct the name", ModelError
        )
    made = None
    try:
        made = TypeAdapter(kind).validate_python({name: value for name, value in options.items() if name in known})
    except ValidationError as error:
        for detail in error.errors():
            what = f"option {'.'.join(map(str, detail['loc']))} of engine {engine} is impossible"
            problems.add(what, cut(repr(detail["input"])), detail["msg"], "correct it", ModelError)
    problems.raise_if_any()
    return made


def fit(
    model: AreaModel,
    direct: DirectEstimates,
    engine: str = "laplace",
    seed: int = 1,
    *,
    progress: bool = True,
    **options: Any,
) -> Fit:
    """Fit a model to direct estimates.

    Parameters
    ----------
    model : AreaModel
    direct : DirectEstimates or AreaCounts
        With their areas; counts for an outcome of counts.
    engine : {"laplace", "nuts", "eblup"}
        `laplace` is exact given the hyperparameters and weighs values of these: seconds; of counts it is close, see
        `buurtsae.engines.counts`. `nuts` samples: the reference.
        `eblup` is classical: a multivariate Fay-Herriot model of the same covariates by REML, of the reference sources,
        without priors or spatial effects; the fit's model, data and notes are those of that model.
    seed : int
        The same input, seed and versions give the same draws.
    progress : bool
        Show a progress bar on stderr.
    **options
        Settings of the engine: the fields of its `Options`, such as those of `buurtsae.engines.laplace`.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError, DataError or ProblemsError
        Before any sampling, everything that is wrong with the model on these data.

    Examples
    --------
    >>> import pandas as pd
    >>> from buurtsae import IID, AreaModel, DirectEstimates
    >>> table = pd.DataFrame({"fips": [1, 3, 5, 7], "rate": [2.0, None, 3.1, 2.4], "var": 0.2})
    >>> direct = DirectEstimates.from_frame(table, y="rate", variance="var", area="fips")
    >>> fit(AreaModel(terms=[IID("area")]), direct, draws=100, hyperparameters=50, progress=False)
    Fit by laplace in ... s, seed 1: Draws of 4 areas x 1 measures: 100 independent draws, ...
    """
    if not (isinstance(model, AreaModel) and isinstance(direct, DirectEstimates)):
        got, hint = (
            f"{cut(repr(model), 100)} and {type(direct).__name__}",
            "DirectEstimates.from_frame makes data of a table",
        )
        raise ModelError("this is no model and data", got, "AreaModel, then DirectEstimates or AreaCounts", hint)
    settings = engine_options(engine, options)
    module = import_module(ENGINES[engine])
    asked = None
    if hasattr(module, "counterpart"):
        asked = model
        model, direct = module.counterpart(model, direct)
    arrays = design(model, direct)
    if refused := module.supports(arrays):
        what, hint = f"engine {engine} does not support this model", "leave it out, or what it stands beside"
        raise ModelError(what, ", ".join(refused), "a model without", hint)
    start = time.perf_counter()
    draws = replace(module.sample(arrays, seed, settings, progress), outcome=arrays.model.outcome)
    return Fit(arrays, direct, draws, engine, seed, time.perf_counter() - start, asked)
