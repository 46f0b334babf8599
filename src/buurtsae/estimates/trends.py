"""The trend of the whole and of gemeenten: the figure of each year with its interval, with breaks and without.

With breaks in a series (`Break`) the trend depends on what is taken to be known of them. What the series say when
breaks are 0 stands beside it: the same model, fitted without.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.engines.base import fit as fitted
from buurtsae.errors import ModelError
from buurtsae.estimates.changes import HIDDEN
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.waves import estimate_waves
from buurtsae.survey.concept import Concept

KEY = ["level", "area_code", "measure", "year"]
FIGURES = ["estimate", "lower", "upper"]
WITH, WITHOUT = ["with_breaks", "with_lower", "with_upper"], ["without", "without_lower", "without_upper"]


def without_breaks(fit: Fit, **options: Any) -> Fit:
    """Fit the model of a fit to its data once more, with breaks that are 0.

    Parameters
    ----------
    fit : Fit
        Of a model with breaks.
    **options
        Settings of its engine; by default as many draws.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If the model has no breaks, or the fit is one year of several.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> bs.without_breaks(voorbeeldstad().fit)
    Traceback (most recent call last):
    buurtsae.errors.ModelError: the model has no breaks
    ...
    """
    if fit.whole is not None or not fit.model.breaks:
        what = "the model has no breaks" if fit.whole is None else "breaks are between years"
        got = "a fit without" if fit.whole is None else "one year of a fit"
        raise ModelError(what, got, "a fit of several years, of a model with breaks", "AreaModel(breaks=[Break(...)])")
    if fit.engine == "laplace":
        options = {"draws": len(fit.draws.flat), **options}
    model = replace(fit.model, breaks=())
    return fitted(model, fit.direct, fit.engine, fit.seed, **{"progress": False, **options})


def trend(
    fit: Fit, *, concept: Concept | None = None, rules: Rules | None = None, without: Fit | None = None
) -> pd.DataFrame:
    """Return the figures of every year for the whole and for gemeenten, with breaks and without.

    Parameters
    ----------
    fit : Fit
        Of several years, by `DirectEstimates.by_year`.
    concept, rules : optional
        As of `estimate`; figures are rounded where the rules say so.
    without : Fit, optional
        What `without_breaks` made of it; it is made here where there are breaks.

    Returns
    -------
    DataFrame
        `level`, `area_code`, `area_name`, `measure`, `year`; `with_breaks`, the estimate, with its 95% interval
        `with_lower` to `with_upper`; where the model has breaks `without`, `without_lower` and `without_upper`; and
        `reason`, why figures are not published, which are then missing.

    Raises
    ------
    ModelError
        If the fit is of one period, or `without` is of other data.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": list("abcd"), "population": 100}), code="code")
    >>> waves = []
    >>> for year, y in {2020: [4.0, 5.0, 6.0, 5.0], 2024: [3.0, 4.1, 4.9, 4.0]}.items():
    ...     table = pd.DataFrame({"code": list("abcd"), "y": y, "v": 0.05})
    ...     waves.append(bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year))
    >>> redesign = bs.Break("direct", 2024, prior=bs.Normal(-1, 0.05))
    >>> model = bs.AreaModel(terms=[bs.IID("area")], breaks=[redesign])
    >>> fit = bs.fit(model, bs.joined(*waves).by_year(), draws=400, hyperparameters=60, progress=False)
    >>> bs.trend(fit).set_index("year")[["with_breaks", "without"]].round(0)
          with_breaks  without
    year
    2020          5.0      5.0
    2024          5.0      4.0
    """
    table = _of(fit, concept, rules).rename(columns=dict(zip(FIGURES, WITH, strict=True)))
    if not fit.model.breaks:
        return table
    other = without_breaks(fit) if without is None else without
    if other.direct is not fit.direct or other.model.breaks:
        got = "a fit with breaks" if other.model.breaks else "a fit of other data"
        expected, hint = "the same data without breaks", "leave `without` out, or make it by without_breaks(fit)"
        raise ModelError("this is not the fit without breaks", got, expected, hint)
    beside = _of(other, concept, rules).set_index(KEY).loc[pd.MultiIndex.from_frame(table[KEY])]
    reason = table["reason"].where(table["reason"].notna(), beside["reason"].to_numpy())
    table = table.assign(**{name: beside[of].to_numpy() for name, of in zip(WITHOUT, FIGURES, strict=True)})
    table.loc[reason.notna(), [*WITH, *WITHOUT]] = np.nan
    return table[[*(c for c in table if c != "reason")]].assign(reason=reason)


def _of(fit: Fit, concept: Concept | None, rules: Rules | None) -> pd.DataFrame:
    """Figures of the whole and of gemeenten, by year; missing where they are not published."""
    system = fit.areas.system
    table = estimate_waves(fit, concept=concept, rules=rules).table
    table = table[table["level"].isin(["gemeente", system.whole])]
    hidden = table["label"] == HIDDEN
    table.loc[hidden, FIGURES] = np.nan
    if rules is not None and rules.decimals is not None:
        table[FIGURES] = table[FIGURES].round(rules.decimals)
    table["reason"] = table["reason"].where(hidden, None)
    return table[[*KEY[:2], "area_name", *KEY[2:], *FIGURES, "reason"]].reset_index(drop=True)
