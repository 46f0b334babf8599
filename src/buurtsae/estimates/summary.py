r"""Estimates: summaries of joint draws, for every level and measure, from one and the same set.

A measure is m_a = sum_d A_md eta_ad (the concept's weights); an area G above buurt is the mean of its buurten weighted
by residents, m_G = sum_{a in G} N_a m_a / N_G: both per draw, so that all figures agree. Reliability is
1 - Var(m_G | y) / E[ variance of m over buurten, weighted by residents | y ], not below 0, at every level. Rank 1 is
the highest score in the parent. All of this is of draws as they are; estimates and intervals are brought to the scale
afterwards (`Scale.shown`), so that no mean is biased near an end. What is compared with other areas, the variance
between buurten, ranks and triple-goal estimates, is compared with published ones only (`release`): hidden ones would
show.

References
----------
Rao, J. and Molina, I. (2015). Small Area Estimation, ch. 10. Goldstein, H. and Spiegelhalter, D. (1996). JRSS A 159.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.drawing.maps import plot_intervals, plot_map
from buurtsae.draws import Draws, convergence
from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, ModelError, cut, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked
from buurtsae.estimates.benchmark.targets import KEY
from buurtsae.estimates.compositions import adding_up, composed, refuse_benchmarks, wholes
from buurtsae.estimates.disclosure.release import Release, direct_decimals
from buurtsae.estimates.labels import EXTRAPOLATED, IMPUTED, Rules, verdicts
from buurtsae.estimates.measured import measured, shares_of
from buurtsae.estimates.own_data import OwnData
from buurtsae.estimates.position import above, between_buurten, reliability, triple_goal
from buurtsae.estimates.words.explanation import explanation
from buurtsae.estimates.words.leaning import leaning
from buurtsae.notes import MADE
from buurtsae.origin import Fictitious, marked, source
from buurtsae.scale import Scale
from buurtsae.schemas import ESTIMATES, check_estimates, published, records
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Estimates:
    """Estimates with the fit they come from.

    Attributes
    ----------
    table : DataFrame
        The table of the contract (`buurtsae.schemas.ESTIMATES`), all figures present; `published` hides some.
    fit : Fit
    concept : Concept
    rules : Rules
    release : Release
        What may be published.
    benchmarked : Benchmarked, optional
        The draws that the table summarises, where they were made to agree with benchmarks; those of the fit otherwise.
    fictitious : bool or "respondents"
        What of the data is made (`buurtsae.origin`): everything that is shown or written of the estimates says so.
    composed : Draws, optional
        The draws that the table summarises, where parts of the concept's compositions were made to add up.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> voorbeeldstad().select("participatie", "gemeente")["estimate"].round(1).to_dict()
    {'GM9901': 5.2, 'GM9902': 6.1, 'GM9903': 5.8}
    """

    table: pd.DataFrame
    fit: Fit
    concept: Concept
    rules: Rules
    release: Release
    benchmarked: Benchmarked | None = None
    fictitious: Fictitious = False
    composed: Draws | None = None

    @property
    def areas(self) -> Areas:
        """The areas."""
        return self.fit.areas

    @property
    def draws(self) -> Draws:
        """The draws that the table summarises."""
        if self.benchmarked is not None:
            return self.benchmarked.draws
        return self.fit.draws if self.composed is None else self.composed

    @cached_property
    def model_table(self) -> pd.DataFrame:
        """The table before benchmarking and before parts add up: what says whether the model is right."""
        if self.draws is self.fit.draws:
            return self.table
        return tabulate(self.fit, self.concept, self.rules, self.fit.draws, self.release)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The table as it may go out: without the figures of `niet_publiceren` rows, and direct estimates of a few
        respondents, which have few decimals; rounded where the rules say so, and parts of a whole so that they add up.
        """
        table, direct = published(self.table), ["direct", "direct_se"]
        table.loc[~self.release.open_direct(table), direct] = np.nan
        table.loc[~self.release.open_errors(table), "direct_se"] = np.nan
        decimals = self.rules.decimals
        for rows, scale in self._by_scale(table) if self.fit.direct.counted else ():
            most = direct_decimals(scale)
            table.loc[rows, direct] = table.loc[rows, direct].round(most if decimals is None else min(decimals, most))
        if decimals is not None:
            scores = ["estimate", "sd", "lower", "upper"]
            whole = {parts: self.concept.scale_of(parts[0]) for parts in self.draws.wholes}
            table = adding_up(table.assign(**table[scores].round(decimals)), table["estimate"], whole, decimals)
        return table

    def _by_scale(self, table: pd.DataFrame) -> Iterator[tuple[pd.Index, Scale]]:
        """Yield the rows of a table that are of each scale."""
        scale = table["measure"].map({measure: self.concept.scale_of(measure) for measure in self.measures})
        for each in scale.unique():
            yield table.index[scale == each], each

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The table before benchmarking, beside direct estimates as they are published."""
        return self.model_table.assign(direct=self.published["direct"], direct_se=self.published["direct_se"])

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that could be computed."""
        return tuple(self.concept.matrix_of(self.fit.draws.subdimensions).index)

    @cached_property
    def convergence(self) -> pd.DataFrame:
        """R-hat and effective sample sizes of every quantity in the table, indexed by level, area_code, measure."""
        shape = self.fit.draws.shape  # of the sampler's own draws
        parts = {
            (level, measure): convergence(values.reshape(*shape, -1)).set_axis(labels)
            for measure, level, labels, values in level_draws(self.fit, self.concept)
        }
        return pd.concat(parts, names=["level", "measure", "area_code"]).reorder_levels(KEY)

    def select(self, measure: str, level: str | None = None) -> pd.DataFrame:
        """Return the published rows of one measure and level, of the areas themselves by default, by area_code.

        Raises
        ------
        DataError
            If there is no such measure or level.
        """
        level = level or self.areas.base
        for value, known, what in ((measure, self.measures, "measure"), (level, self.areas.levels, "level")):
            if value not in known:
                raise DataError(f"there is no such {what}", repr(value), shown(known, 10), "choose one of these")
        rows = self.published
        return rows[(rows["measure"] == measure) & (rows["level"] == level)].set_index("area_code")

    @cached_property
    def supplement(self) -> pd.DataFrame:
        """What the contract's table does not hold, of its published rows.

        Returns
        -------
        DataFrame
            `level`, `area_code`, `measure`, `year`, `constrained` (triple-goal estimate, for maps and distributions:
            its spread is that of the scores), `verdict` (`p_above_parent` in words) and, after benchmarking, `shift`.
        """
        parts = [pd.DataFrame(columns=[*KEY, "constrained"]).astype({"constrained": float})]
        for measure, level, labels, values in level_draws(self.fit, self.concept, self.draws):
            if (shown := self.release.shown(level, labels)).any():
                part = pd.DataFrame({"area_code": np.array(labels, dtype=object)[shown]})
                constrained = self.concept.scale_of(measure).shown(triple_goal(values[:, shown]))
                parts.append(part.assign(constrained=constrained, level=level, measure=measure))
        joined = pd.concat(parts, ignore_index=True)
        if self.benchmarked is not None:
            joined = joined.merge(self.benchmarked.shift[[*KEY, "shift"]], on=KEY, how="left", validate="one_to_one")
        table = self.table[[*KEY, "year", "label"]].assign(verdict=verdicts(self.table))
        joined = table.merge(joined, on=KEY, how="left", validate="one_to_one")
        hidden = joined.pop("label") == "niet_publiceren"
        figures = [column for column in ("constrained", "verdict", "shift") if column in joined]
        joined.loc[hidden, figures] = None
        return joined[[*KEY, "year", *figures]]

    def map(self, measure: str, ax: Axes | None = None) -> Axes:
        """Draw the buurt scores of a measure on a map, hatched where indicative, grey where not published."""
        title, line = self.concept.nodes[measure].nl, source(self.fictitious).nl
        rows, scale = self.select(measure), self.concept.scale_of(measure)
        fixed = self.concept.outcome_of(measure) == "score"
        return plot_map(self.areas.frame, rows, title=title, ax=ax, source=line, scale=scale, fixed=fixed)

    def plot_intervals(self, measure: str, level: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw scores with their 95% intervals, and direct estimates beside them; of the next level by default."""
        title = self.concept.nodes[measure].nl + (" (fictief)" if self.fictitious else "")
        rows = self.select(measure, level or self.areas.levels[1])
        return plot_intervals(rows, title=title, ax=ax, scale=self.concept.scale_of(measure))

    def explain(self, code: str) -> str:
        """Return, in Dutch, what is known about one area and where it comes from.

        Raises
        ------
        DataError
            If there is no such area, or no estimate of it.
        """
        rows = self.published[self.published["area_code"] == code]
        if not any(code in self.areas.at(level) for level in self.areas.levels):
            raise DataError("there is no such area", cut(repr(code)), shown(self.areas.codes), "check the code")
        if rows.empty:
            hint = "areas without residents have none, nor those of which the run holds a part"
            raise DataError("there is no estimate of this area", repr(code), "a code in the table", hint)
        parts = []  # of counts nothing is known of what they lean on
        if self.fit.design.size is None or self.fit.persons:
            table = leaning(self).reset_index()
            parts = records(table[table["area_code"] == code])
        names = {name: node.nl for name, node in self.concept.nodes.items()}
        rows = rows.assign(population=None) if self.areas.alike else rows
        scales = {name: self.concept.scale_of(name) for name in self.measures}
        text = explanation(records(rows), names, {row["measure"]: row for row in parts}, scales)
        return f"{MADE.nl}\n{text}" if self.fictitious else text

    def _repr_html_(self) -> str:
        """A notebook's view: the land and the labels per measure."""
        table = self.published
        land = table[table["level"] == self.areas.system.whole].set_index("measure")
        labels = table[table["level"] == self.areas.base].groupby(["measure", "label"]).size().unstack(fill_value=0)
        scale, digits = self.concept.span, {name: self.concept.scale_of(name).digits for name in land.index}
        figures = land[["estimate", "lower", "upper"]].astype(object)
        figures = figures.apply(
            lambda row: [f"{value:.{digits[row.name]}f}" for value in row], axis=1, result_type="broadcast"
        )
        view = figures.join(labels)
        name = self.areas.region if scale.mixed else f"{self.areas.region}, {scale.ends if scale.bounded else scale.nl}"
        view.index = pd.Index([self.concept.nodes[measure].nl for measure in view.index], name=name)
        return f"{view.to_html()}<p>{escape(repr(self))}</p>"

    def __repr__(self) -> str:
        counts = self.table.groupby("level", sort=False)["area_code"].nunique().to_dict()
        labels = self.table["label"].value_counts().to_dict()
        return f"Estimates of {len(self.measures)} measures for {cut(counts, 150)}; {labels}"


def level_draws(
    fit: Fit, concept: Concept, draws: Draws | None = None, *, partial: bool = False
) -> Iterator[tuple[str, str, list[str], Floats]]:
    """Yield measure, level, codes, and draws (draws, areas) of scores: one measure in memory at a time.

    Draws may lie beyond the ends of the scale. They are those of the fit unless others are given, with areas in the
    same order. Areas of which the run holds a part are left out, unless `partial`.
    """
    draws = draws or fit.draws
    weights = concept.matrix_of(draws.subdimensions)
    aggregations = {}
    for level in fit.areas.levels:
        labels, matrix = fit.areas.aggregation(level)
        kept = np.flatnonzero(partial | fit.areas.complete(level, labels))
        if len(kept):
            aggregations[level] = [labels[area] for area in kept], matrix[kept]
    scores = draws.scores()
    for measure, row in zip(weights.index, weights.to_numpy(), strict=True):
        buurten = np.ascontiguousarray((scores @ row).T)  # once: each product would make a copy
        for level, (labels, matrix) in aggregations.items():
            yield measure, level, labels, np.ascontiguousarray((matrix @ buurten).T)


def estimate(
    fit: Fit | Benchmarked,
    *,
    concept: Concept | None = None,
    rules: Rules | None = None,
    year: int | None = None,
    run_id: str = "-",
    fictitious: Fictitious = False,
) -> Estimates:
    """Summarise a fit, or its draws after benchmarking, into the table of estimates.

    Parameters
    ----------
    fit : Fit or Benchmarked
    concept : Concept, optional
        Its weights make dimensions and total. By default that of the benchmarks, or of buurtverbondenheid; measures
        that it does not have are estimated as they are. Measures are on the scale of the outcome. The parts of its
        compositions add up in every draw, and in published figures.
    rules : Rules, optional
        Thresholds of the labels.
    year : int, optional
        Year the estimates refer to; the latest year of the sources by default.
    run_id : str
        Key into the manifest; of made data it begins with `fictief`, so that every row says so.
    fictitious : bool or "respondents"
        All data are made, or the answers only.

    Returns
    -------
    Estimates

    Raises
    ------
    ModelError
        If benchmarked draws do not come from a fit, the concept is not that of the benchmarks, or has compositions
        beside these, or the measures of the concept have other ends than the outcome of the model.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> bs.estimate(voorbeeldstad().fit, rules=bs.Rules(min_respondents=5, min_reliability=0.7))
    Estimates of 7 measures for {'buurt': 118, 'wijk': 12, 'gemeente': 3, 'land': 1}; {'betrouwbaar': ...}
    """
    if not isinstance(fit, Fit | Benchmarked):
        hint = "of a model of persons take a figure, `fit.fit_of()`"
        raise ModelError("this is no fit", cut(repr(fit)), "a Fit, or one that was benchmarked", hint)
    benchmarked = fit if isinstance(fit, Benchmarked) else None
    if isinstance(fit, Benchmarked):
        concept, fit = concept or fit.benchmarks.concept, _of_fit(fit, concept)
    concept, rules = measured(fit, concept), _applicable(rules or Rules(), fit)
    parts, made = wholes(concept, fit.draws.subdimensions), None
    draws = fit.draws if benchmarked is None else benchmarked.draws
    if benchmarked is not None:
        refuse_benchmarks(concept)
    elif parts:
        draws = made = composed(draws, *parts)
    exact = () if benchmarked is None else benchmarked.benchmarks.exact
    release = Release.of(fit, draws, rules, exact)
    year = year or max(source.year for source in fit.direct.sources)
    table = tabulate(fit, concept, rules, draws, release)
    table = table.assign(year=year, benchmarked=benchmarked is not None, run_id=marked(run_id, fictitious))
    table = check_estimates(table[[column.name for column in ESTIMATES]], concept.span)
    return Estimates(table, fit, concept, rules, release, benchmarked, fictitious, made)


def tabulate(fit: Fit, concept: Concept, rules: Rules, draws: Draws, release: Release) -> pd.DataFrame:
    """Return the table of the contract, but for year, run and benchmark, of draws that come from a fit."""
    own_data, areas = OwnData.of(fit, concept), fit.areas
    residents = areas.residents(areas.base)
    parents = {level: areas.parents(areas.parent(level), level) for level in areas.levels[:-1]}
    parts = []
    groups, models = itertools.tee(_by_measure(fit, concept, draws))
    if draws is not fit.draws:
        models = _by_measure(fit, concept, fit.draws)
    for (measure, group), (_, model) in zip(groups, models, strict=True):
        labels, values = group[areas.base]
        between = between_buurten(values, release.shown(areas.base, labels), residents.loc[labels].to_numpy())
        for level, (labels, values) in group.items():
            part = _summary(values, concept.scale_of(measure))
            # what the model makes of the area's own data, which benchmarks do not change
            part["own_data_share"] = own_data.share(measure, level, labels, model[level][1])
            part["reliability"] = reliability(values.var(axis=0, ddof=1), between)
            if level != areas.system.whole:
                codes, reference = group[parent := areas.parent(level)]
                place = pd.Index(codes).get_indexer(parents[level].loc[labels])
                ranked = release.shown(level, labels) & areas.complete(parent, codes)[place]
                part |= above(values, place, reference, ranked, release.shown(parent, codes))
            parts.append(pd.DataFrame({"level": level, "area_code": labels, "measure": measure, **part}))
    table = pd.concat(parts, ignore_index=True)
    direct = pd.concat([fit.direct.totals(level, concept).assign(level=level) for level in areas.levels])
    table = table.merge(direct, on=KEY, how="left", validate="one_to_one")
    table = _describe(table[~release.partly(table)], fit)
    scales = {measure: concept.scale_of(measure) for measure in table["measure"].unique()}
    table = table.assign(
        scale_lower=table["measure"].map({m: s.lower if np.isfinite(s.lower) else np.nan for m, s in scales.items()}),
        scale_upper=table["measure"].map({m: s.upper if np.isfinite(s.upper) else np.nan for m, s in scales.items()}),
        unit=table["measure"].map({m: s.nl for m, s in scales.items()}),
    )
    shares, doubt = shares_of(draws.outcome, concept, scales), unsure(fit)
    kinds = {measure: (scale, measure in shares) for measure, scale in scales.items()}
    alike = [(table[table["measure"].map(kinds) == kind], kind) for kind in dict.fromkeys(kinds.values())]
    table = pd.concat([rules.apply(t, doubt, release.open(t), *kind) for t, kind in alike])
    if not fit.direct.counted:
        known, counts = table["n_respondents"] == 0, ["n_respondents", "n_effective"]
        table = table.assign(**{count: table[count].astype("Float64").where(known) for count in counts})
    order = {name: place for names in (areas.levels, concept.measures) for place, name in enumerate(names)}
    return table.sort_values(KEY, key=lambda c: c if c.name == "area_code" else c.map(order), ignore_index=True)


def unsure(fit: Fit) -> dict[str, set[str]]:
    """Return areas about whose covariates the model is unsure, by reason, with levels above of which that is all."""
    design, areas = fit.design, fit.areas
    named = {IMPUTED: design.imputed, EXTRAPOLATED: design.extrapolated}
    found = {reason: set[str]().union(*codes.values()) for reason, codes in named.items()}
    for codes in found.values():
        inside = pd.Series(areas.codes.isin(list(codes)), index=areas.codes)[areas.inhabited]
        for level in areas.levels[1:]:
            whole = inside.groupby(areas.parents(level)[areas.inhabited]).all()
            codes |= set(whole.index[whole])
    return found


def _applicable(rules: Rules, fit: Fit) -> Rules:
    """The rules without those on numbers that are unknown."""
    rules = replace(rules, min_residents=0) if fit.areas.alike else rules
    return rules if fit.direct.counted else replace(rules, min_direct=0)


def _of_fit(benchmarked: Benchmarked, concept: Concept | None) -> Fit:
    """The fit that benchmarked draws come from."""
    if benchmarked.fit is None:
        what, hint = "these draws do not come from a fit", "benchmark the fit"
        raise ModelError(what, "benchmark(draws, ...)", "benchmark(fit, ...)", hint)
    if concept is not None and concept != benchmarked.benchmarks.concept:
        what, hint = "the concept is not that of the benchmarks", "leave `concept` out"
        raise ModelError(what, "other weights or measures", "the same", hint)
    return benchmarked.fit


def _by_measure(fit: Fit, concept: Concept, draws: Draws) -> Iterator[tuple[str, dict[str, tuple[list[str], Floats]]]]:
    group: dict[str, tuple[list[str], Floats]] = {}
    for measure, level, labels, values in level_draws(fit, concept, draws, partial=True):
        group[level] = labels, values
        if len(group) == len(fit.areas.levels):
            yield measure, group
            group = {}


def _summary(values: Floats, scale: Scale) -> dict[str, Any]:
    mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
    by_area = np.array(values.T, order="C")  # a copy that may be sorted in place
    by_area.sort(axis=1)  # in less time than the partial order that quantiles ask for
    ends = np.quantile(by_area, [0.025, 0.975], axis=1, overwrite_input=True)
    lower, upper = np.where(sd < 1e-9, mean, ends)  # of a benchmark the quantiles are its mean, but for rounding
    figures = {"estimate": mean, "lower": lower, "upper": upper}
    return {"sd": sd} | {name: scale.shown(figure) for name, figure in figures.items()}


def _describe(table: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Add names, residents and counts."""
    areas = fit.areas
    names: dict[tuple[str, str], str] = {}
    population: dict[tuple[str, str], int] = {}
    for level in areas.levels:
        residents = areas.residents(level)
        population |= {(level, code): round(count) for code, count in residents.items()}
        names |= {(level, code): areas.label(level, code) for code in residents.index}
    key = pd.MultiIndex.from_frame(table[["level", "area_code"]])
    return table.assign(
        area_name=[names[area] for area in key],
        population=[population[area] for area in key],
        code_year=areas.year,
        n_respondents=table["n_respondents"].fillna(0).astype("int64"),
        n_effective=table["n_effective"].fillna(0.0),
    )
