r"""Estimates: summaries of joint draws, for every level and measure, from one and the same set.

A measure is m_a = sum_d A_md eta_ad (the concept's weights); an area G above buurt is the mean of its buurten weighted
by residents, m_G = sum_{a in G} N_a m_a / N_G: both per draw, so that all figures agree. With W_k the sampling
precision at site k in G (a buurt, or a wijk of a source that is known per wijk, which is in no buurt) on eta's scale
(all sources, at posterior means of their links), eta_k the score there and L the sub-dimensions in the measure,

    own-data share = d E[m_G | y] / d (all own y + 1) = Cov( m_G, sum_{k in G} 1_L' W_k eta_k | y ),

for one sub-dimension and one source posterior variance / sampling variance, the diagonal of the hat matrix (alpha and
lambda held at their posterior means). Reliability is 1 - Var(m_G | y) / E[ variance of m over the buurten | y ], not
below 0, at every level. Rank 1 is the highest score in the parent. All of this is of draws as they are; estimates and
intervals are brought to the scale afterwards (`Scale.shown`), so that no mean is biased near an end. What is compared
with other areas, the variance between buurten, ranks and triple-goal estimates, is compared with those whose
estimates are published (`release`): the hidden ones would show in it.

References
----------
Rao, J. and Molina, I. (2015). Small Area Estimation, ch. 10. Goldstein, H. and Spiegelhalter, D. (1996). JRSS A 159.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import LAND
from buurtsae.draws import Draws, convergence
from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, ModelError, cut, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked
from buurtsae.estimates.disclosure.release import Release, direct_decimals
from buurtsae.estimates.labels import Rules, in_words
from buurtsae.estimates.measured import measured
from buurtsae.estimates.position import above, between_buurten, reliability, triple_goal
from buurtsae.notes import MADE
from buurtsae.origin import Fictitious, marked, source
from buurtsae.scale import Scale
from buurtsae.schemas import ESTIMATES, check_estimates, published, records
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from buurtsae.estimates.evidence.compare import Comparison

PARENT = {"buurt": "gemeente", "wijk": "gemeente"}  # of all other levels it is the land


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
    """

    table: pd.DataFrame
    fit: Fit
    concept: Concept
    rules: Rules
    release: Release
    benchmarked: Benchmarked | None = None
    fictitious: Fictitious = False

    @property
    def areas(self) -> Areas:
        """The areas."""
        return self.fit.areas

    @property
    def draws(self) -> Draws:
        """The draws that the table summarises."""
        return self.fit.draws if self.benchmarked is None else self.benchmarked.draws

    @cached_property
    def model_table(self) -> pd.DataFrame:
        """The table before benchmarking: what says whether the model is right."""
        if self.benchmarked is None:
            return self.table
        return tabulate(self.fit, self.concept, self.rules, self.fit.draws, self.release)

    @cached_property
    def published(self) -> pd.DataFrame:
        """The table as it may go out: without the figures of `niet_publiceren` rows, and direct estimates of a few
        respondents, which have few decimals; rounded where the rules say so.
        """
        table, direct = published(self.table), ["direct", "direct_se"]
        table.loc[~self.release.open_direct(table), direct] = np.nan
        table.loc[~self.release.open_errors(table), "direct_se"] = np.nan
        decimals, most = self.rules.decimals, direct_decimals(self.concept.scale)
        table[direct] = table[direct].round(most if decimals is None else min(decimals, most))
        if decimals is not None:
            scores = ["estimate", "sd", "lower", "upper"]
            table[scores] = table[scores].round(decimals)
        return table

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
        parts = {}
        for measure, level, labels, values in level_draws(self.fit, self.concept):  # of the sampler's own draws
            parts[level, measure] = convergence(values.reshape(*self.fit.draws.shape, -1)).set_axis(labels)
        table = pd.concat(parts, names=["level", "measure", "area_code"])
        return table.reorder_levels(["level", "area_code", "measure"])

    def select(self, measure: str, level: str = "buurt") -> pd.DataFrame:
        """Return the published rows of one measure and level, indexed by area_code."""
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
        parts = [pd.DataFrame(columns=["level", "area_code", "measure", "constrained"]).astype({"constrained": float})]
        for measure, level, labels, values in level_draws(self.fit, self.concept, self.draws):
            shown = self.release.shown(level, labels)
            if not shown.any():
                continue
            part = {"area_code": np.array(labels, dtype=object)[shown]}
            part["constrained"] = self.concept.scale.shown(triple_goal(values[:, shown]))
            parts.append(pd.DataFrame(part).assign(level=level, measure=measure))
        found = pd.concat(parts, ignore_index=True)
        if self.benchmarked is not None:
            shift = self.benchmarked.shift[["level", "area_code", "measure", "shift"]]
            found = found.merge(shift, on=["level", "area_code", "measure"], how="left", validate="one_to_one")
        table = self.table[["level", "area_code", "measure", "year", "label", "p_above_parent"]]
        found = table.merge(found, on=["level", "area_code", "measure"], how="left", validate="one_to_one")
        found["verdict"] = in_words(found.pop("p_above_parent"))
        hidden = found.pop("label") == "niet_publiceren"
        figures = [c for c in ("constrained", "verdict", "shift") if c in found]
        found.loc[hidden, figures] = None
        return found[["level", "area_code", "measure", "year", *figures]]

    def map(self, measure: str, ax: Axes | None = None) -> Axes:
        """Draw the buurt scores of a measure on a map, hatched where indicative, grey where not published."""
        from buurtsae.publication.maps import plot_map

        title, line = self.concept.nodes[measure].nl, source(self.fictitious).nl
        rows, scale = self.select(measure), self.concept.scale
        return plot_map(self.areas.frame, rows, title=title, ax=ax, source=line, scale=scale)

    def plot_intervals(self, measure: str, level: str = "wijk", ax: Axes | None = None) -> Axes:
        """Draw scores with their 95% intervals, and direct estimates beside them."""
        from buurtsae.publication.maps import plot_intervals

        title = self.concept.nodes[measure].nl + (" (fictief)" if self.fictitious else "")
        return plot_intervals(self.select(measure, level), title=title, ax=ax, scale=self.concept.scale)

    def compare(self, other: Estimates, names: tuple[str, str] = ("A", "B")) -> Comparison:
        """Put these estimates beside others: what differs in means, uncertainty, ranks and labels."""
        from buurtsae.estimates.evidence.compare import compare

        return compare(self, other, names)

    def explain(self, code: str) -> str:
        """Return, in Dutch, what is known about one area and where it comes from."""
        rows = self.published
        rows = rows[rows["area_code"] == code]
        if not any(code in self.areas.at(level) for level in self.areas.levels):
            known = shown(self.areas.codes)
            raise DataError("there is no such area", cut(repr(code)), known, "check the code")
        if rows.empty:
            raise DataError(
                "there is no estimate of this area",
                repr(code),
                "a code in the table",
                "buurten without residents have none, nor areas of which the run holds a part",
            )
        from buurtsae.estimates.words.explanation import explanation
        from buurtsae.estimates.words.leaning import leaning

        found = leaning(self).reset_index()
        parts = records(found[found["area_code"] == code])
        names = {m: n.nl for m, n in self.concept.nodes.items()}
        text = explanation(records(rows), names, {r["measure"]: r for r in parts}, self.concept.scale)
        return f"{MADE.nl}\n{text}" if self.fictitious else text

    def _repr_html_(self) -> str:
        """A notebook's view: the land and the labels per measure."""
        table = self.published
        land = table[table["level"] == "land"].set_index("measure")
        labels = table[table["level"] == "buurt"].groupby(["measure", "label"]).size().unstack(fill_value=0)
        view = land[["estimate", "lower", "upper"]].round(self.concept.scale.digits).join(labels)
        name = f"{self.areas.region}, {self.concept.scale.ends or self.concept.scale.nl}"
        view.index = pd.Index([self.concept.nodes[m].nl for m in view.index], name=name)
        return f"{view.to_html()}<p>{escape(repr(self))}</p>"

    def __repr__(self) -> str:
        counts = self.table.groupby("level", sort=False)["area_code"].nunique().to_dict()
        labels = self.table["label"].value_counts().to_dict()
        return f"Estimates of {len(self.measures)} measures for {counts}; {labels}"


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
            aggregations[level] = [labels[k] for k in kept], matrix[kept]
    scores = draws.scores()
    for measure, row in zip(weights.index, weights.to_numpy(), strict=True):
        buurten = scores @ row
        for level, (labels, matrix) in aggregations.items():
            yield measure, level, labels, np.ascontiguousarray((matrix @ buurten.T).T)


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
        Its weights make dimensions and total; the concept of buurtverbondenheid by default, on the outcome's scale, or
        that of the benchmarks.
    rules : Rules, optional
        Thresholds of the labels.
    year : int, optional
        Year the estimates refer to; the latest year of the sources by default.
    run_id : str
        Key into the manifest; of made data it begins with `fictief`, so that every row says so.
    fictitious : bool or "respondents"
        All data are made, or the answers only.

    Raises
    ------
    ModelError
        If benchmarked draws do not come from a fit, the concept is not that of the benchmarks, or the measures of the
        concept have other ends than the outcome of the model.
    """
    benchmarked = fit if isinstance(fit, Benchmarked) else None
    if isinstance(fit, Benchmarked):
        concept, fit = concept or fit.benchmarks.concept, _of_fit(fit, concept)
    concept, rules = measured(fit, concept), rules or Rules()
    draws = fit.draws if benchmarked is None else benchmarked.draws
    exact = () if benchmarked is None else benchmarked.benchmarks.exact
    release = Release.of(fit, draws, rules, exact)
    table = tabulate(fit, concept, rules, draws, release)
    table = table.assign(
        year=year or max(s.year for s in fit.direct.sources),
        benchmarked=benchmarked is not None,
        run_id=marked(run_id, fictitious),
    )
    columns = [c.name for c in ESTIMATES]
    return Estimates(
        check_estimates(table[columns], concept.scale), fit, concept, rules, release, benchmarked, fictitious
    )


def tabulate(fit: Fit, concept: Concept, rules: Rules, draws: Draws, release: Release) -> pd.DataFrame:
    """Return the table of the contract, but for year, run and benchmark, of draws that come from a fit."""
    own = _OwnData.of(fit, concept)
    parents = {level: _parent_of(fit.areas, level) for level in fit.areas.levels}
    parts = []
    for (measure, group), model in zip(
        _by_measure(fit, concept, draws),
        itertools.repeat(None) if draws is fit.draws else _by_measure(fit, concept, fit.draws),
        strict=False,
    ):
        between = between_buurten(group["buurt"][1], release.shown("buurt", group["buurt"][0]))
        for level, (labels, values) in group.items():
            part = _summary(values, concept.scale)
            # what the model makes of the area's own data, which benchmarks do not change
            part["own_data_share"] = own.share(measure, level, labels, values if model is None else model[1][level][1])
            part["reliability"] = reliability(values.var(axis=0, ddof=1), between)
            if level != "land":
                codes, reference = group[parent := PARENT.get(level, "land")]
                place = pd.Index(codes).get_indexer(parents[level].loc[labels])
                ranked = release.shown(level, labels) & fit.areas.complete(parent, codes)[place]
                part |= above(values, place, reference, ranked, release.shown(parent, codes))
            parts.append(pd.DataFrame({"level": level, "area_code": labels, "measure": measure, **part}))
    table = pd.concat(parts, ignore_index=True)
    direct = pd.concat(
        [fit.direct.totals(level, concept).assign(level=level) for level in fit.areas.levels], ignore_index=True
    )
    table = table.merge(direct, on=["level", "area_code", "measure"], how="left", validate="one_to_one")
    table = table[~release.partly(table)]
    table, imputed = _describe(table, fit), {c for found in fit.design.imputed.values() for c in found}
    table = rules.apply(table, imputed, release.open(table), concept.scale)
    order = {level: i for i, level in enumerate(fit.areas.levels)} | {m: i for i, m in enumerate(concept.measures)}
    return table.sort_values(
        ["level", "area_code", "measure"],
        key=lambda c: c if c.name == "area_code" else c.map(order),
        ignore_index=True,
    )


def _of_fit(benchmarked: Benchmarked, concept: Concept | None) -> Fit:
    """The fit that benchmarked draws come from."""
    if benchmarked.fit is None:
        raise ModelError(
            "these draws do not come from a fit", "benchmark(draws, ...)", "benchmark(fit, ...)", "benchmark the fit"
        )
    if concept is not None and concept != benchmarked.benchmarks.concept:
        raise ModelError(
            "the concept is not that of the benchmarks", "other weights or measures", "the same", "leave `concept` out"
        )
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
    lower, upper = np.quantile(by_area, [0.025, 0.975], axis=1, overwrite_input=True)
    exact = sd < 1e-9  # a benchmark: its quantiles are its mean, but for rounding
    ends = {"lower": np.where(exact, mean, lower), "upper": np.where(exact, mean, upper)}
    return {"sd": sd} | {name: scale.shown(figure) for name, figure in ({"estimate": mean} | ends).items()}


def _parent_of(areas: Areas, level: str) -> pd.Series:
    """Parent code of each area of a level: what its rank and p_above_parent refer to."""
    return areas.parents(PARENT[level], level) if level in PARENT else pd.Series(LAND, index=areas.inhabited_at(level))


@dataclass(frozen=True)
class _OwnData:
    """What the own-data share needs: row sums of W over the sub-dimensions of each measure, times eta, per site."""

    precision: Floats  # (K, D, D), on eta's scale
    leaves: pd.DataFrame  # measures x sub-dimensions, True where part
    sites: sp.csr_array  # (K, N)
    flat: Floats
    areas: Areas
    kept: dict[tuple[str, bool], Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: Fit, concept: Concept) -> _OwnData:
        precision = fit.information.sum(axis=0)
        leaves = concept.matrix_of(fit.draws.subdimensions) > 0
        return cls(precision, leaves, fit.design.sites, fit.draws.flat, fit.areas)

    def share(self, measure: str, level: str, labels: list[str], values: Floats) -> Floats:
        score = self._scores(measure, level == "buurt")
        group = pd.Index(labels).get_indexer(self.areas.parents(level))  # -1 where it is in no group
        known = np.flatnonzero(group >= 0)  # buurten without residents have no estimate
        member = sp.csr_array((np.ones(len(known)), (group[known], known)), shape=(len(labels), len(group)))
        total = (member @ score.T).T
        covariance = ((values - values.mean(axis=0)) * (total - total.mean(axis=0))).sum(axis=0) / (len(values) - 1)
        return np.asarray(np.clip(covariance, 0.0, 1.0))

    def _scores(self, measure: str, per_buurt: bool) -> Floats:
        """1' W eta of the sites of each buurt, shape (S, N), of sites that are buurten or of all; kept for one measure.

        What a wijk says is shared out over its buurten, all of which are in the area.
        """
        n = len(self.areas.codes)
        per_buurt = per_buurt or self.sites.shape[0] == n
        if (measure, per_buurt) not in self.kept:
            self.kept.clear()
            counted = slice(n if per_buurt else None)
            weight = np.einsum("d,kde->ke", self.leaves.loc[measure].to_numpy(dtype=float), self.precision)
            found = np.einsum("ne,sne->sn", self.sites[counted].T @ weight[counted], self.flat)
            self.kept[measure, per_buurt] = found
        return self.kept[measure, per_buurt]


def _describe(table: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Add names, residents and counts."""
    areas = fit.areas
    names: dict[tuple[str, str], str] = {}
    population: dict[tuple[str, str], int] = {}
    for level in areas.levels:
        residents = areas.residents(level)
        population |= {(level, c): int(n) for c, n in residents.items()}
        names |= {
            (level, c): areas.frame.loc[c, "name"] if level == "buurt" else areas.label(level, c)
            for c in residents.index
        }
    names["land", LAND] = areas.region
    key = pd.MultiIndex.from_frame(table[["level", "area_code"]])
    table["area_name"] = [names[k] for k in key]
    table["population"] = [population[k] for k in key]
    table["code_year"] = areas.year
    table["n_respondents"] = table["n_respondents"].fillna(0).astype("int64")
    table["n_effective"] = table["n_effective"].fillna(0.0)
    return table
