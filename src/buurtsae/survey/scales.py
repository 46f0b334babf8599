r"""From items to sub-dimension scores on 0-10.

An answer code c scores 10 (c - worst) / (best - worst); a respondent's score is the mean of the items answered,
provided that their share is at least the codebook's `min_share_answered`, and is missing otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.survey.codebook import Item
from buurtsae.survey.survey import Survey


@dataclass(frozen=True)
class Scores:
    """Sub-dimension scores of the respondents of one source.

    Attributes
    ----------
    frame : DataFrame, one row per respondent
        Columns `area`, `weight`, `stratum` and one per sub-dimension (0-10, NaN where missing or not asked).
    source : str
        Identifier of the source.
    year : int
    subdimensions : tuple of str
        All sub-dimensions of the concept, in its order.
    """

    frame: pd.DataFrame
    source: str
    year: int
    subdimensions: tuple[str, ...]

    def __repr__(self) -> str:
        means = self.frame[list(self.subdimensions)].mean().round(2).to_dict()
        return f"Scores of {self.source} {self.year}: {len(self.frame)} respondents, unweighted means {means}"


def item_score(answers: pd.Series, item: Item) -> pd.Series:
    """Return the answers to one item on 0-10."""
    return 10.0 * (answers - item.worst) / (item.best - item.worst)


def score(survey: Survey, subdimensions: Sequence[str]) -> Scores:
    """Return the sub-dimension scores of a survey; see `Concept.score`."""
    frame = survey.frame[["area", "weight", "stratum"]].copy()
    for subdimension in subdimensions:
        items = [i for i in survey.codebook.of(subdimension) if i.name in survey.frame]
        if not items:
            frame[subdimension] = np.nan
            continue
        each = pd.concat([item_score(survey.frame[i.name], i) for i in items], axis=1)
        enough = each.notna().mean(axis=1) >= survey.codebook.min_share_answered
        frame[subdimension] = each.mean(axis=1).where(enough)
    return Scores(frame, survey.codebook.id, survey.year, tuple(subdimensions))
