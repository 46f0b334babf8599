r"""Differences, ratios, probabilities and ranks between any areas, groups and measures, from the same joint draws.

With x and y draws of two scores (of an area, or of a group as the resident-weighted mean of its areas), the difference
x - y and the ratio x / y are taken per draw, so that what both share cancels; P(x > y) counts draws, ties half. Ranks
are per draw too: 1 is the highest among the areas that are compared.

References
----------
Goldstein, H. and Spiegelhalter, D. (1996). League tables and their limitations. JRSS A 159.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, Problems, shown
from buurtsae.estimates.labels import in_words, unseen
from buurtsae.estimates.position import ranks
from buurtsae.estimates.summary import Estimates
from buurtsae.scale import SCORE
from buurtsae.sparse import Floats

Group = str | Sequence[str]


@dataclass(frozen=True)
class Contrast:
    """Two scores compared.

    Attributes
    ----------
    difference, ratio : tuple of float
        Posterior mean, and the ends of the 95% interval, of x - y and x / y. A ratio on a scale with an arbitrary zero
        says little: prefer the difference.
    probability : float
        P(x > y).
    verdict : str
        The same in words: x is ... than y.
    digits : int
        Decimals that tell figures of the scale apart.
    """

    difference: tuple[float, float, float]
    ratio: tuple[float, float, float]
    probability: float
    verdict: str
    digits: int = SCORE.digits

    def __str__(self) -> str:
        mean, low, high = (f"{value:+.{self.digits}f}".replace(".", ",") for value in self.difference)
        return f"{self.verdict}: verschil {mean} ({low} tot {high}), kans op hoger {100 * self.probability:.0f}%"


def scores(est: Estimates, area: Group, measure: str) -> Floats:
    """Return draws (S,) of the score of an area of any level, or of a group of areas weighted by residents.

    Draws may lie beyond the ends of the scale: differences and ranks are of draws as they are.

    Parameters
    ----------
    est : Estimates
    area : str or sequence of str
        Codes; the areas of a group may not overlap.
    measure : str

    Raises
    ------
    DataError or ProblemsError
        If an area or measure is unknown, is not published, or areas of a group overlap.
    """
    group, problems, areas = [area] if isinstance(area, str) else list(area), Problems(), est.areas
    if measure not in est.measures:
        problems.add("there is no such measure", repr(measure), shown(est.measures, 10), "choose one of these")
    table = est.table[["level", "area_code", "label"]].drop_duplicates(["level", "area_code"])
    level = table.set_index("area_code")["level"]
    if unknown := [code for code in group if code not in level.index]:
        problems.add("there is no estimate of these areas", shown(unknown), "codes in the table", "check the codes")
    hidden = set(est.table.loc[est.table["label"] == "niet_publiceren", "area_code"])
    if secret := [code for code in group if code in hidden]:
        problems.add("these areas are not published", shown(secret), "published areas", "leave them out")
    if not group:
        problems.add("a group is empty", "no codes", "one or more", "name its areas")
    problems.raise_if_any()
    member = np.sum([areas.parents(level[code]) == code for code in group], axis=0)
    if (member > 1).any():
        codes = shown(areas.codes[member > 1])
        raise DataError("areas of a group overlap", codes, "each area once", "leave the smaller ones out")
    weight = member * areas.population
    row = est.concept.matrix_of(est.draws.subdimensions).loc[measure].to_numpy()
    used = np.flatnonzero(weight)
    return np.asarray(est.draws.scores(np.s_[:, used]) @ row @ (weight[used] / weight.sum()))


def contrast(
    est: Estimates,
    first: Group,
    second: Group,
    measure: str,
    other: str | None = None,
    *,
    against: Estimates | None = None,
) -> Contrast:
    """Compare two areas, or groups, on a measure, or one area on two measures, or in two years of one fit.

    Parameters
    ----------
    est : Estimates
    first, second : str or sequence of str
        Area codes of any level, or groups of them.
    measure : str
    other : str, optional
        The measure of `second`; the same by default.
    against : Estimates, optional
        Where `second` is of another year: estimates of that year of the same fit, whose draws are joint.

    Returns
    -------
    Contrast

    Raises
    ------
    DataError or ProblemsError
        As `scores`; or estimates against which to compare are not of the same fit.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> print(contrast(voorbeeldstad(), "GM9901", "GM9902", "participatie"))
    vrijwel zeker lager: verschil -0,9 (-1,... tot -0,...), kans op hoger 0%
    """
    if against is not None and (against.fit.whole is None or against.fit.whole is not est.fit.whole):
        hint = "estimate(fit.of_year(...)) of two years of one fit"
        raise DataError("draws of two fits are not joint", "estimates of two fits", "two years of one", hint)
    x, y = scores(est, first, measure), scores(against or est, second, other or measure)
    scale, beside = est.concept.scale_of(measure), est.concept.scale_of(other or measure)
    if not scale.same_ends(beside):
        hint = "compare each with the same measure elsewhere"
        raise DataError("measures on two scales are not compared", f"{scale.words}; {beside.words}", "one scale", hint)
    probability = float((x > y).mean() + 0.5 * (x == y).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = x / y
    doubt = _unseen(est, first, measure) or _unseen(against or est, second, other or measure)
    verdict = str(in_words(probability, doubt))
    return Contrast(_three(x - y), _three(ratio), probability, verdict, scale.digits)


def ranking(est: Estimates, measure: str, codes: Iterable[str]) -> pd.DataFrame:
    """Return the ranks of some areas among each other.

    Parameters
    ----------
    est : Estimates
    measure : str
    codes : iterable of str

    Returns
    -------
    DataFrame, indexed by `area_code`, the highest first
        `expected_rank`, `rank_lower`, `rank_upper` (95%), `p_highest`, `p_lowest_tenth`: probability of being among the
        lowest tenth, at least one area.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> table = ranking(voorbeeldstad(), "participatie", ["GM9901", "GM9902", "GM9903"])
    >>> table["expected_rank"].round().astype(int).to_dict()
    {'GM9902': 1, 'GM9903': 2, 'GM9901': 3}
    """
    chosen = list(dict.fromkeys(codes))
    drawn = ranks(np.column_stack([scores(est, code, measure) for code in chosen]))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="inverted_cdf")
    tenth = max(1, len(chosen) // 10)
    table = pd.DataFrame(
        {
            "expected_rank": drawn.mean(axis=0),
            "rank_lower": low.astype(int),
            "rank_upper": high.astype(int),
            "p_highest": (drawn == 1).mean(axis=0),
            "p_lowest_tenth": (drawn > len(chosen) - tenth).mean(axis=0),
        },
        index=pd.Index(chosen, name="area_code"),
    )
    return table.sort_values("expected_rank", kind="stable")


def _unseen(est: Estimates, area: Group, measure: str) -> bool:
    """Whether nobody was seen in any of the areas, and the model is unsure about the covariates of all."""
    rows = est.table[
        (est.table["measure"] == measure) & est.table["area_code"].isin([area] if isinstance(area, str) else list(area))
    ]
    return bool(unseen(rows).all())


def _three(values: Floats) -> tuple[float, float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
