"""Labels: whether a figure may be published, how far it can be relied on, and probabilities in words.

A figure is `niet_publiceren` below a number of residents, and `indicatief` where it leans on the model: too few own
respondents, a posterior variance that is large beside the differences between buurten (reliability), an interval that
is too wide for the use that is made of it, or little weight of the area's own data. What is left is `betrouwbaar`: its
posterior standard deviation is below sqrt(1 - min_reliability) of the standard deviation between buurten, and of a
share half the width of its 95% interval is at most `max_half_width` percentage points.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval
from numpy.typing import ArrayLike, NDArray

from buurtsae.notes import SWAPPED
from buurtsae.ranges import Count, Share, check_ranges
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import BASES

EXACT = "gelijk aan een gepubliceerd cijfer dat als exact is opgegeven"  # an interval of width 0 is said, not earned

VERDICTS = (  # lower ends: of a 95% interval without 0, and of odds of four to one
    (0.975, "vrijwel zeker hoger"),
    (0.8, "waarschijnlijk hoger"),
    (0.2, "niet te onderscheiden"),
    (0.025, "waarschijnlijk lager"),
    (0.0, "vrijwel zeker lager"),
)
PROTECTING = "anders is een ander gebied terug te rekenen"
IMPUTED = "een kenmerk van het gebied is geschat"
EXTRAPOLATED = "extrapolatie: een kenmerk ligt buiten dat van gebieden met respondenten"
REASONS = {  # every part of a reason, and its English
    "geen eigen respondenten: schatting uit het model": "no respondents of its own: estimated by the model",
    "minder dan {} respondenten": "fewer than {} respondents",
    "betrouwbaarheid onder {}": "reliability below {}",
    "interval breder dan {}": "interval wider than {}",
    "halve breedte van het interval boven {}": "half-width of the interval above {}",
    "eigen data wegen minder dan {}": "own data weigh less than {}",
    IMPUTED: "a characteristic of the area was imputed",
    EXTRAPOLATED: "extrapolation: a characteristic lies outside those of areas with respondents",
    "minder dan {} inwoners": "fewer than {} residents",
    PROTECTING: "otherwise another area could be computed",
    EXACT: "equal to a published figure that was given as exact",
}
WIDEST, WHOLE = 10.0, 50.0  # tenths of the scale; of a share half the scale, in percentage points
MOST, SOME = 0.5, 0.2  # of an estimate from own data: at least this for the first two of `BASES`


@dataclass(frozen=True)
class Rules:
    """When a figure is published, and with which label.

    Parameters
    ----------
    min_residents : int
        Below it a row is `niet_publiceren`: too few people to publish about.
    min_respondents : int
        Below it a figure is `indicatief`: it leans on the model.
    min_reliability : float
        Below it a figure is `indicatief`: the posterior variance is large beside the differences between buurten.
    max_width : float
        Above it, in tenths of the scale, a figure is `indicatief`: its 95% interval is too wide. 10 allows any width.
    max_half_width : float
        Of shares: above it, in percentage points, a figure is `indicatief`: half the width of its 95% interval. 50
        allows any. A coefficient of variation, which says that of 2% much is unknown and of 98% nothing, is not for
        shares.
    min_own_share : float
        Below it a figure is `indicatief`: the area's own respondents weigh too little in it. 0 allows any weight.
    protection : float
        What can be computed of a buurt that is hidden is an interval of at least as many tenths of the scale
        (`disclosure`): areas that give away more are hidden too. 0 hides no more.
    min_direct : int
        Direct estimates of fewer respondents are not published: they are answers of a few people.
    max_share : float
        Nor are those of an area where a larger share of the respondents has one and the same score.
    min_answers : int
        Of shares, whose respondents have one of two answers, that rule gives way to this: direct estimates are not
        published where fewer respondents gave one of the two. 0 publishes all.
    decimals : int, optional
        Published scores, their errors and bounds are rounded; not without it. The files then agree up to rounding.

    Raises
    ------
    ModelError or ProblemsError
        If a threshold is impossible.

    Examples
    --------
    >>> Rules(min_residents=50, decimals=1)
    Rules(min_residents=50, min_respondents=1, ..., decimals=1)
    """

    min_residents: Count = 10
    min_respondents: Count = 1
    min_reliability: Share = 0.5
    max_width: Annotated[float, Interval(ge=0, le=10)] = WIDEST
    max_half_width: Annotated[float, Interval(ge=0, le=WHOLE)] = 10.0
    min_own_share: Share = 0.0
    protection: Annotated[float, Interval(ge=0, le=9)] = 2.0
    min_direct: Count = 10
    max_share: Share = 0.9
    min_answers: Count = 5
    decimals: Annotated[int, Interval(ge=0, le=15)] | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "rule")

    def reasons(
        self,
        table: pd.DataFrame,
        unsure: Mapping[str, Collection[str]],
        shown: NDArray[np.bool_],
        scale: Scale = SCORE,
        share: bool = False,
    ) -> dict[str, dict[str, pd.Series]]:
        """Return which rows have which reason, per label; the last label that applies is given.

        `unsure` are areas about whose covariates the model is unsure, by reason: `IMPUTED`, `EXTRAPOLATED`; `shown`,
        shape (rows,), says which rows may be published: not those with few residents, nor those that would give these
        away; widths count in tenths of the scale; `share` says that the rows are of shares.
        """
        respondents, few = table["n_respondents"], table["n_respondents"] < self.min_respondents
        small = table["population"] < self.min_residents
        unreliable = table["reliability"] < self.min_reliability
        light, points = table["own_data_share"] < self.min_own_share, self.max_width * scale.point
        width, margin = table["upper"] - table["lower"], self.max_half_width * scale.point / 10
        wide = (width > points) & (self.max_width < WIDEST)
        over = {f"halve breedte van het interval boven {_dutch(margin)}": (width / 2 > margin) & ~few}
        return {
            "indicatief": {
                "geen eigen respondenten: schatting uit het model": few & (respondents == 0),
                f"minder dan {self.min_respondents} respondenten": few & (respondents > 0),
                f"betrouwbaarheid onder {_dutch(self.min_reliability)}": unreliable & ~few,
                f"interval breder dan {_dutch(points)}": wide & ~few,
                **(over if share and self.max_half_width < WHOLE else {}),
                f"eigen data wegen minder dan {_dutch(self.min_own_share)}": light & ~few,
                **{reason: table["area_code"].isin(list(codes)) for reason, codes in unsure.items()},
            },
            "niet_publiceren": {f"minder dan {self.min_residents} inwoners": small, PROTECTING: ~shown & ~small},
        }

    def apply(
        self,
        table: pd.DataFrame,
        unsure: Mapping[str, Collection[str]],
        shown: NDArray[np.bool_],
        scale: Scale = SCORE,
        share: bool = False,
    ) -> pd.DataFrame:
        """Return the table with the columns `label`, `basis` and `reason`; parameters as of `reasons`."""
        label, reason = pd.Series("betrouwbaar", index=table.index), pd.Series(None, index=table.index, dtype=object)
        for name, texts in self.reasons(table, unsure, shown, scale, share).items():
            joined = pd.Series("", index=table.index)
            for text, holds in texts.items():
                joined = joined.where(~holds, joined + "; " + text)
            hit = joined != ""
            label[hit], reason[hit] = name, joined[hit].str.removeprefix("; ")
        exact = (label == "betrouwbaar") & (table["sd"] < 1e-9)  # the rounding of draws that meet a figure
        return table.assign(label=label, basis=basis(table), reason=reason.mask(exact, EXACT))


def in_words(probability: ArrayLike, unseen: ArrayLike = False) -> NDArray[Any]:
    """Return in Dutch, in five classes, what a probability of being higher says; None where it is missing.

    Of what is `unseen` nothing is nearly certain: the probability is as good as the model is far from its data.
    """
    p = np.asarray(probability, dtype=float)
    p = np.where(unseen, np.clip(p, VERDICTS[-2][0], np.nextafter(VERDICTS[0][0], 0)), p)
    words = np.full(p.shape, None, dtype=object)
    for least, text in reversed(VERDICTS):
        words[p >= least] = text
    return words


def unseen(table: pd.DataFrame) -> pd.Series:
    """Return which rows are about areas where nobody answered and of which a covariate is imputed or extrapolated."""
    reason, nobody = table["reason"].fillna(""), table["n_respondents"].fillna(1) == 0
    return nobody & (reason.str.contains(IMPUTED, regex=False) | reason.str.contains(EXTRAPOLATED, regex=False))


def verdicts(table: pd.DataFrame) -> NDArray[Any]:
    """Return `p_above_parent` of the rows of a table in words."""
    return in_words(table["p_above_parent"], unseen(table))


def in_english(reason: str) -> str:
    """Return a reason in English; a part that is in no `REASONS` stays as it is."""
    return "; ".join(_part_in_english(part) for part in reason.split("; ")) if reason else ""


def _part_in_english(part: str) -> str:
    for nl, en in REASONS.items():
        head, _, tail = nl.partition("{}")
        if part == nl or ("{}" in nl and part.startswith(head) and part.endswith(tail)):
            return en.format(part[len(head) : len(part) - len(tail)].translate(SWAPPED))
    return part


def basis(table: pd.DataFrame) -> pd.Series:
    """Return what each estimate rests on: own respondents, these and the model, or mainly the model."""
    share = table["own_data_share"].where(table["n_respondents"] > 0, 0.0).fillna(0.0)
    return pd.Series(np.select([share >= MOST, share >= SOME], BASES[:2], BASES[2]), index=table.index)


def _dutch(value: float) -> str:
    return f"{value:g}".replace(".", ",")
