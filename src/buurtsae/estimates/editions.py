r"""Figures on another edition of the areas, from the same draws.

The figure of an area i of another edition is sum_j W_ij theta_j, W_ij ~ N_j R_ij with N_j the residents of area j and
R_ij the share of it that is of i: the mean of the residents, where those of a part are as those of the whole. With a
generator, the shares are drawn too, one table per draw of theta.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.areas.divisions import Crosswalk
from buurtsae.areas.editions import MOST
from buurtsae.errors import DataError, ModelError, check_kinds, cut, shown
from buurtsae.estimates.summary import Estimates
from buurtsae.sparse import Floats


def by_edition(
    est: Estimates, walk: Crosswalk, measures: str | list[str] | None = None, *, seed: int | None = None
) -> pd.DataFrame:
    """Return figures of the areas of another edition, as means over the residents of the areas that they lie in.

    Parameters
    ----------
    est : Estimates
        Draws after benchmarking, where there are any.
    walk : Crosswalk
        From that edition to the one of the estimates; of a later edition `reversed`.
    measures : str or list of str, optional
        All by default.
    seed : int, optional
        Draw the shares too, by their concentration; without it they are taken as exact.

    Returns
    -------
    DataFrame
        A row per area and measure: `area_code`, `area_name`, `measure`, `estimate`, `sd`, `lower`, `upper` (95%),
        `residents` (by origins), `inside`: the share of the area that lies in areas with residents, and `hidden`. A
        figure is missing where that share is below a half, and hidden where it holds a part of an area without a
        published estimate, or has fewer residents than the rules ask: what is shown follows from published draws.

    Raises
    ------
    DataError or ModelError
        A crosswalk to another edition, areas that it does not know, or measures that there are not.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> est = voorbeeldstad()
    >>> table = pd.DataFrame({"old": est.areas.codes, "new": est.areas.codes, "share": 1.0})
    >>> walk = bs.Crosswalk.from_table(table, years=(2020, 2024), size=dict.fromkeys(est.areas.codes, 100))
    >>> bs.by_edition(est, walk, "participatie")["estimate"].dropna().head(3).round().tolist()
    [5.0, 5.0, 4.0]
    """
    check_kinds(est=(est, Estimates), walk=(walk, Crosswalk), seed=(seed, (int, type(None))))
    areas, names = est.areas, [measures] if isinstance(measures, str) else measures or list(est.measures)
    if unknown := [name for name in names if name not in est.measures]:
        raise ModelError("there is no such measure", shown(unknown), shown(est.measures, 10), "choose among these")
    if areas.year and walk.years[1] != areas.year:
        hint = "take the crosswalk to that year, or reverse it"
        raise DataError("a crosswalk leads to another edition", cut(repr(walk)), f"areas of {areas.year}", hint)
    at = areas.codes.get_indexer(walk.new)
    if len(lost := areas.codes[areas.inhabited].difference(walk.new)):
        hint = "is it of these areas? give all codes as `new_codes`"
        raise DataError("areas are unknown to the crosswalk", shown(lost), f"areas of {walk.years[1]}", hint)
    residents = pd.Series(np.where(at >= 0, areas.population[at], 0.0), index=walk.new)
    lived = residents.to_numpy() > 0
    share = np.asarray(walk.shares @ lived.astype(float)) * (1 - walk.outside)
    people = np.asarray(walk.origins @ residents.to_numpy())
    secret = lived & ~est.release.shown(areas.base, walk.new)
    inside = share >= MOST
    hidden = inside & (np.asarray(walk.shares @ secret.astype(float) > 0) | (people < est.rules.min_residents))
    kept = np.flatnonzero(inside & ~hidden)
    weights, scores = est.concept.matrix_of(est.draws.subdimensions), est.draws.scores()
    entries = None if seed is None else walk.draws(np.random.default_rng(seed), len(scores))
    parts = []
    for name in names:
        of_areas = (scores @ weights.loc[name].to_numpy())[:, np.where(at >= 0, at, 0)]
        values = _means(walk, residents, of_areas, entries)[:, kept]
        scale, figures = est.concept.scale_of(name), np.full((4, len(walk.old)), np.nan)
        figures[0, kept], figures[1, kept] = scale.shown(values.mean(axis=0)), values.std(axis=0, ddof=1)
        figures[2:, kept] = scale.shown(np.quantile(values, [0.025, 0.975], axis=0))
        columns = dict(zip(("estimate", "sd", "lower", "upper"), figures, strict=True))
        label = [walk.names[0].get(code, code) for code in walk.old]
        where = {"area_code": walk.old, "area_name": label, "measure": name}
        parts.append(pd.DataFrame({**where, **columns, "residents": people.round(), "inside": share, "hidden": hidden}))
    return pd.concat(parts, ignore_index=True)


def _means(walk: Crosswalk, residents: pd.Series, values: Floats, entries: Floats | None) -> Floats:
    """Means per old area, (draws, n_old), of draws of new areas, with the shares as they are or drawn."""
    if entries is None:
        return np.asarray((walk.weights(residents) @ values.T).T)
    t, row = walk.shares, np.repeat(np.arange(walk.shares.shape[0]), np.diff(walk.shares.indptr))
    per_unit = residents.to_numpy() / np.maximum(np.asarray(walk.pairs.sum(axis=0)).ravel(), 1e-300)
    some = np.flatnonzero(np.diff(t.indptr))
    means = np.full((len(values), t.shape[0]), np.nan)
    for k, drawn in enumerate(entries):
        weight = drawn * per_unit[t.indices]
        total = np.bincount(row, weight, t.shape[0])
        means[k, some] = np.bincount(row, weight * values[k, t.indices], t.shape[0])[some] / np.maximum(
            total[some], 1e-300
        )
    return means
