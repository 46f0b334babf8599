r"""What if those who did not answer score otherwise: how estimates, ranks and labels move.

Of the sample in an area a share r answered. If the others score `shift` standard deviations sd (between residents of
one area) lower, the sample's mean lies (1 - r) shift sd below that of the respondents. So with y_s the direct estimates
of source s and m(y) the posterior mean given hyperparameters, exact and linear in y,

    move = m(y - (1 - r) shift sd) - m(y),

added to all draws alike: the uncertainty is that of the model, the move comes on top of it. Where r differs between
areas, areas of low response move most. Respondents alone cannot tell the shift: it is assumed.

References
----------
Rubin, D. (1977). Formalizing subjective notions about the effect of nonrespondents in sample surveys. JASA 72.
Andridge, R. and Little, R. (2011). Proxy pattern-mixture analysis for survey nonresponse. J. Official Statistics 27.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from buurtsae.engines.base import Fit
from buurtsae.engines.given import given
from buurtsae.errors import BuurtsaeError, ModelError, Problems, shown
from buurtsae.estimates.benchmark.benchmark import benchmark
from buurtsae.estimates.benchmark.targets import KEY
from buurtsae.estimates.labels import verdicts
from buurtsae.estimates.measured import one_year
from buurtsae.estimates.summary import Estimates, tabulate
from buurtsae.model.observed import placed
from buurtsae.ranges import check_ranges
from buurtsae.schemas import records
from buurtsae.sparse import Floats
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

COLUMNS = ["direction", "response", "level", "measure", "areas", "median", "largest", "outside"]
COLUMNS += ["mean_rank_change", "labels", "verdicts"]


@dataclass(frozen=True)
class NonResponse:
    """What is assumed of the people in the sample who did not answer.

    Parameters
    ----------
    shift : float
        How many standard deviations, between residents of one area, they score below or above those who did.
    response : float, optional
        Share of the sample that answered, of sources that do not say theirs.
    column : str, optional
        Column of the areas with that share per area: what if response is lower where it is.

    Raises
    ------
    ModelError or ProblemsError
        If a number is impossible.

    Examples
    --------
    >>> NonResponse(shift=0.1, response=0.4)
    NonResponse(shift=0.1, response=0.4, column=None)
    """

    shift: Annotated[float, Interval(gt=0, le=3)]
    response: Annotated[float, Interval(gt=0, le=1)] | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "non-response:")

    def shares(
        self, direct: DirectEstimates, responses: Sequence[float | None] = ()
    ) -> dict[str, list[float | pd.Series]]:
        """Return the response of each source: `equal` everywhere, and `by area` where a column has it.

        Raises
        ------
        DataError, ModelError or ProblemsError
            Without a standard deviation between residents, a response, or a usable column.
        """
        problems = Problems()
        by_area = self._by_area(direct, problems)
        if isinstance(direct, AreaCounts) or not direct.counted:
            data = "counts" if isinstance(direct, AreaCounts) else "a table without numbers of respondents"
            hint = "leave [sensitivity] out"
            what, scale = "a shift of non-respondents has no scale", "direct estimates of counted respondents"
            problems.add(what, data, scale, hint, ModelError)
        mean = None
        if by_area is not None:
            mean = float(np.average(by_area, weights=direct.areas.population[direct.areas.inhabited]))
        own = [*responses, *[None] * (len(direct.sources) - len(responses))]
        equal = [next((r for r in (mine, self.response, mean) if r is not None), None) for mine in own]
        unknown = [s.source for s, share in zip(direct.sources, equal, strict=True) if share is None]
        if unknown and self.column is None:
            hint = "give `response`, of the source or of [sensitivity]"
            problems.add("the response is not known", shown(unknown), "a share of the sample", hint)
        problems.raise_if_any()
        shares: dict[str, list[float | pd.Series]] = {"equal": [share for share in equal if share is not None]}
        return shares if by_area is None else shares | {"by area": [by_area] * len(equal)}

    def _by_area(self, direct: DirectEstimates, problems: Problems) -> pd.Series | None:
        """The response of inhabited areas, where a column has it."""
        areas = direct.areas
        if self.column is None:
            return None
        if self.column not in areas.covariates:
            hint = "correct the name, or join the table that has it"
            problems.add("there is no column of response", repr(self.column), shown(areas.covariates), hint)
            return None
        share = areas.frame.loc[areas.inhabited, self.column].astype(float)
        if len(wrong := share[~((share > 0) & (share <= 1))]):
            values = shown(f"{code}: {value:g}" for code, value in wrong.items())
            hint = "divide percentages by 100, and complete the column"
            problems.add(f"{self.column}: response is no share", values, "above 0, at most 1, in every area", hint)
            return None
        return share


def nonresponse(est: Estimates, assumed: NonResponse, responses: Sequence[float | None] = ()) -> pd.DataFrame:
    """Return how estimates, ranks, labels and verdicts move if those who did not answer score lower, or higher.

    Of one of several years it is those who did not answer that year. Hyperparameters are held at their posterior means.
    Estimates that agree with figures of others are made to agree again: these figures do not move.

    Parameters
    ----------
    est : Estimates
    assumed : NonResponse
    responses : sequence of float or None, optional
        Share of the sample that answered, of each source.

    Returns
    -------
    DataFrame
        `direction` (of non-respondents: `lower`, `higher`), `response` (`equal` in all areas, or `by area`), `level`,
        `measure`, `areas`; `median` and `largest` move of an estimate (points, with its sign), the share that comes to
        lie `outside` its 95% interval, `mean_rank_change` (share of the areas of the parent), and the shares of
        `labels` and `verdicts` that change. Of published areas.

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `NonResponse.shares`; or the fit is of several years.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> table = bs.nonresponse(voorbeeldstad(), bs.NonResponse(shift=0.1, response=0.4))
    >>> rows = table[(table["measure"] == "participatie") & (table["direction"] == "lower")]
    >>> rows.set_index("level")["median"].round(2).to_dict()
    {'buurt': -0.12, 'wijk': -0.12, 'gemeente': -0.12, 'land': -0.12}
    """
    one_year(est.fit)
    parts, first = list[pd.DataFrame](), _told(est, est.table)
    for version, shares in assumed.shares(est.fit.direct, responses).items():
        move = _moves(est.fit, assumed.shift, shares)
        for direction, sign in (("lower", 1.0), ("higher", -1.0)):
            rows = _compared(est, first, _told(est, _moved(est, sign * move)))
            parts.append(rows.assign(direction=direction, response=version))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def reported(est: Estimates, assumed: NonResponse, responses: Sequence[float | None] = ()) -> dict[str, Any]:
    """Return what the quality report tells: what was assumed, and rows of `nonresponse` or why there are none."""
    areas, rows, refused = est.areas, list[dict[str, Any]](), ""
    try:
        table = nonresponse(est, assumed, responses)
        kept = table["level"].isin([areas.base, areas.parent(areas.base), areas.system.whole])
        rows = records(table[kept].round(4))
    except BuurtsaeError as error:  # figures of others that moved draws cannot meet: the run stands without
        refused = " ".join(str(error).split())
    return {"shift": assumed.shift, "column": assumed.column, "refused": refused, "rows": rows}


def _moves(fit: Fit, shift: float, shares: list[float | pd.Series]) -> Floats:
    """Moves of the posterior means, shape (N, D), if non-respondents score lower."""
    whole, own = fit.conditioned
    design, at, year = whole.design, given(whole), fit.direct.sources[0].year
    y = design.y.copy()
    kept = [place for place in placed(whole.direct) if not design.years or place[1].year == year]
    for (row, source, columns), share in zip(kept, shares, strict=True):
        silent = 1 - (share if isinstance(share, float) else design.sites @ share.reindex(design.areas).fillna(1))
        bias = shift * np.outer(np.broadcast_to(silent, len(design.site_codes)), np.sqrt(np.diag(source.within_area)))
        y[row, :, columns] -= np.where(design.observed[row, :, columns], bias, 0.0)
    moved = at.observing(replace(design, y=y)).posterior.mean - at.posterior.mean
    return np.asarray(moved[: len(design.areas), own])


def _moved(est: Estimates, move: Floats) -> pd.DataFrame:
    """The table of estimates of draws that have moved; figures of others that they agree with stay."""
    fit = replace(est.fit, draws=replace(est.fit.draws, eta=est.fit.draws.eta + move.astype(est.fit.draws.eta.dtype)))
    made, draws = est.benchmarked, fit.draws
    if made is not None and made.benchmarks.own:  # direct figures of the same respondents move along
        draws = replace(made.draws, eta=made.draws.eta + move.astype(made.draws.eta.dtype))
    elif made is not None:
        draws = benchmark(fit, made.benchmarks, method=made.method, respondents=made.respondents).draws
    return tabulate(fit, est.concept, est.rules, draws, est.release)


def _told(est: Estimates, table: pd.DataFrame) -> pd.DataFrame:
    """Published rows by key, with their verdict, and their place in the parent as a share of its areas."""
    table = table[est.release.open(table)].assign(verdict=verdicts)
    parents = {level: est.areas.parents(est.areas.parent(level), level) for level in est.areas.levels[:-1]}
    parent = [parents[row.level][row.area_code] if row.level in parents else "" for row in table.itertuples()]
    place = table.groupby([table["level"], table["measure"], pd.Series(parent, table.index)])["estimate"].rank(pct=True)
    return table.assign(place=place).set_index(KEY)


def _compared(est: Estimates, first: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """What differs between two tables, per level and measure."""
    moved = other.loc[first.index]
    told = pd.DataFrame(
        {
            "move": moved["estimate"] - first["estimate"],
            "outside": ~moved["estimate"].between(first["lower"], first["upper"]),
            "mean_rank_change": (moved["place"] - first["place"]).abs(),
            "labels": moved["label"] != first["label"],
            "verdicts": moved["verdict"].fillna("") != first["verdict"].fillna(""),
        }
    )
    groups = told.groupby(["level", "measure"], sort=False)
    table = groups.mean().drop(columns="move")
    table["areas"], table["median"] = groups.size(), groups["move"].median()
    table["largest"] = groups["move"].agg(lambda moves: moves.iloc[moves.abs().argmax()])
    order = {level: place for place, level in enumerate(est.areas.levels)}
    return table.reset_index().sort_values("level", key=lambda levels: levels.map(order), kind="stable")
