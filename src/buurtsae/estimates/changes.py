r"""Changes between two years of one fit, from its joint draws: is it getting better, here?

    change_G = m_G(second) - m_G(first) per draw, for every level and measure; figures of both years are means of draws,

so that a change is known better than two intervals beside each other suggest, where years share what stays, and never
better than the model lets it: P(increase), and P(false sign) = min(P(increase), P(decrease)). Smoothing eats a part of
a change that a model does not expect. A step in one area in the second year shows in the change by

    recovered = d E[change_G | y] / d (step in all own answers of that year) = Cov(change_G, sum_k 1' W_k eta_k | y),

W_k the precision of its own direct estimates (`own_data`): 0 where nobody answered that year, 1 where all is own data.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.own_data import OwnData
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.schemas import CHANGES
from buurtsae.survey.concept import Concept

SURE = 0.95  # probability of a direction from which a change has one
INCREASE, DECREASE, NONE, HIDDEN = CHANGES
KEY = ["level", "area_code", "measure"]
FIGURES = ["change", "sd", "lower", "upper", "p_increase", "p_relevant", "p_false_sign", "recovered"]
COLUMNS = ["level", "area_code", "area_name", "measure", "year_from", "year_to", *FIGURES, "label", "reason"]


def changes(
    fit: Fit,
    first: int,
    second: int,
    *,
    concept: Concept | None = None,
    rules: Rules | None = None,
    relevant: float | None = None,
) -> pd.DataFrame:
    """Return how figures changed between two years, for every level and measure.

    Parameters
    ----------
    fit : Fit
        Of several years, by `DirectEstimates.by_year`: only draws of one fit are joint.
    first, second : int
        From and to.
    concept, rules : optional
        As of `estimate`.
    relevant : float, optional
        The least change that matters, in the unit of the measure; by default a twentieth of the scale, half a point of
        0-10; without ends there is none.

    Returns
    -------
    DataFrame
        `level`, `area_code`, `area_name`, `measure`, `year_from`, `year_to`, mean `change`, `sd`, 95% interval
        `lower`, `upper`, `p_increase`, `p_relevant` (that it is larger, either way), `p_false_sign` (that it goes the
        other way), `recovered` (what a step in the area in the second year shows of itself), and `label`: `toename` or
        `afname` where the direction has a probability of 95%, else `niet_te_onderscheiden`; `niet_publiceren`, without
        figures, where one of the two is hidden, with the `reason`.

    Raises
    ------
    DataError, ModelError or ProblemsError
        If the fit is of one period or of persons, years are unknown, the same or in the wrong order, or `relevant` is
        not above 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from dataclasses import replace
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": list("abcd"), "population": 100}), code="code")
    >>> waves = []
    >>> for year, y in {2020: [4.0, 5.0, 6.0, 5.0], 2024: [4.0, 5.1, 5.9, 8.0]}.items():
    ...     table = pd.DataFrame({"code": list("abcd"), "y": y, "v": 0.05})
    ...     waves.append(bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year))
    >>> both = replace(waves[0], sources=(waves[0].sources[0], waves[1].sources[0])).by_year()
    >>> model = bs.AreaModel(terms=[bs.OverTime(bs.IID("area"))])
    >>> fit = bs.fit(model, both, draws=400, hyperparameters=60, progress=False)
    >>> table = bs.changes(fit, 2020, 2024).set_index("area_code")
    >>> table.loc[["a", "d"], "label"].tolist()
    ['niet_te_onderscheiden', 'toename']
    """
    check(fit.design.years, first, second, relevant)
    before, after = (estimate(fit.of_year(y), concept=concept, rules=rules, year=y) for y in (first, second))
    return change(before, after, first, second, relevant=relevant)


def change(
    before: Estimates, after: Estimates, first: int, second: int, *, relevant: float | None = None
) -> pd.DataFrame:
    """Return the table of `changes` of the estimates of two years of one fit, which `check` passes."""
    concept, areas = before.concept, before.areas
    own, rows = OwnData.of(after.fit, concept), []
    hidden = {key: reason for est in (before, after) for key, reason in _hidden(est.table).items()}
    of_years = (level_draws(est.fit, concept, est.draws, partial=True) for est in (before, after))
    # what the model makes of the area's own data, which benchmarks do not change
    model = (level_draws(est.fit, concept, partial=True) for est in (before, after))
    for (measure, level, labels, x), (_, _, _, y), (*_, u), (*_, v) in zip(*of_years, *model, strict=True):
        scale, step = concept.scale_of(measure), y - x
        least = relevant or (scale.width / 20 if scale.bounded else np.nan)
        up, down = (step > 0).mean(axis=0), (step < 0).mean(axis=0)
        ends = np.quantile(step, [0.025, 0.975], axis=0)
        figures = {
            "change": step.mean(axis=0), "sd": step.std(axis=0, ddof=1), "lower": ends[0], "upper": ends[1],
            "p_increase": up, "p_relevant": (abs(step) > least).mean(axis=0) if least == least else np.nan,
            "p_false_sign": np.minimum(up, down), "recovered": own.share(measure, level, labels, v - u),
        }  # fmt: skip
        rows.append(pd.DataFrame({"level": level, "area_code": labels, "measure": measure, **figures}))
    table = pd.concat(rows, ignore_index=True)
    kept = pd.MultiIndex.from_frame(before.table[KEY]).intersection(pd.MultiIndex.from_frame(after.table[KEY]))
    table = table[pd.MultiIndex.from_frame(table[KEY]).isin(kept)]
    names = before.table.drop_duplicates(KEY).set_index(KEY)["area_name"]
    key = pd.MultiIndex.from_frame(table[KEY])
    reason = pd.Series([hidden.get(k) for k in key], index=table.index, dtype=object)
    label = np.select([table["p_increase"] >= SURE, table["p_increase"] <= 1 - SURE], [INCREASE, DECREASE], NONE)
    table = table.assign(area_name=names.loc[key].to_numpy(), year_from=first, year_to=second, reason=reason)
    table["label"] = np.where(reason.notna(), HIDDEN, label)
    table.loc[reason.notna(), FIGURES] = np.nan
    order = {name: place for names in (areas.levels, concept.measures) for place, name in enumerate(names)}
    table = table.sort_values(KEY, key=lambda c: c if c.name == "area_code" else c.map(order), ignore_index=True)
    return table[COLUMNS]


def _hidden(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Figures of a year that are not published, and why."""
    rows = table[table["label"] == HIDDEN]
    return dict(zip(rows[KEY].itertuples(index=False, name=None), rows["reason"], strict=True))


def check(years: tuple[int, ...], first: int, second: int, relevant: float | None) -> None:
    """Refuse what is no change in these years.

    Raises
    ------
    DataError, ModelError or ProblemsError
        All at once.
    """
    problems = Problems()
    if not years:
        hint = "fit several years together: direct.by_year(), with OverTime terms; two runs have no joint draws"
        problems.add("a change is of one fit of several years", "one period", "two years or more", hint, ModelError)
    elif unknown := [year for year in (first, second) if year not in years]:
        problems.add("there are no such years", shown(unknown), shown(years), "choose two of these", DataError)
    elif first >= second:
        problems.add("years are not in order", f"{first}, {second}", "the first before the second", "exchange them")
    if relevant is not None and not relevant > 0:
        problems.add(
            "the relevant change is none", repr(relevant), "above 0", "leave it out for a twentieth of the scale"
        )
    problems.raise_if_any()
