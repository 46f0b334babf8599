r"""How much ranks and labels depend on the weights of the concept.

Dimensions and total are weighted means of their parts; the weights are a choice. Under other weights every draw gives
other totals, from the same sub-dimensions. Reported per measure and level: the correlation of ranks (Spearman) and the
mean change of rank as a share of the number of areas, the largest change of an estimate, and the share of areas whose
label changes.

References
----------
OECD/JRC (2008). Handbook on Constructing Composite Indicators, step 7.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from buurtsae.estimates.benchmark.targets import KEY
from buurtsae.estimates.summary import Estimates, tabulate
from buurtsae.survey.concept import Concept

COLUMNS = ["alternative", "level", "measure", "areas", "rank_correlation", "mean_rank_change", "largest", "labels"]


def alternatives(concept: Concept, factor: float = 2.0) -> dict[str, Concept]:
    """Return concepts in which one part at a time weighs so many times more."""
    parts = [node for node in concept.nodes.values() if node.parent is not None]
    return {f"{node.id} x {factor:g}": concept.weighted({node.id: factor * node.weight}) for node in parts}


def sensitivity(est: Estimates, concepts: Mapping[str, Concept] | None = None) -> pd.DataFrame:
    """Return how ranks and labels move under other weights.

    Parameters
    ----------
    est : Estimates
    concepts : mapping of name to Concept, optional
        `Concept.weighted` makes them; by default each part in turn weighs twice as much.

    Returns
    -------
    DataFrame
        `alternative`, `level`, `measure`, `areas`, `rank_correlation`, `mean_rank_change` (share of the areas),
        `largest` (change of an estimate, points) and `labels` (share that changes). Only areas that are published,
        measures whose weights differ, and levels with more than two areas.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> est = voorbeeldstad()
    >>> table = sensitivity(est, {"social": est.concept.weighted({"sociale_verbondenheid": 2.0})})
    >>> table.set_index("level")["rank_correlation"].round(2).to_dict()
    {'buurt': 0.98, 'wijk': 0.92, 'gemeente': 1.0}
    """
    parts, base = [], est.table.set_index(KEY)
    current = est.concept.matrix_of(est.draws.subdimensions)
    for name, concept in (concepts if concepts is not None else alternatives(est.concept)).items():
        weights = concept.matrix_of(est.draws.subdimensions)
        changed = current.index[~np.isclose(current, weights.loc[current.index], rtol=0, atol=1e-12).all(axis=1)]
        if not len(changed):
            continue
        other = tabulate(est.fit, concept, est.rules, est.draws, est.release)
        other = other[est.release.open(other)].set_index(KEY)
        for (level, measure), rows in other[other.index.isin(changed, level="measure")].groupby(["level", "measure"]):
            if len(rows) < 3:
                continue
            first = base.loc[rows.index]
            rank, before = rows["estimate"].rank(), first["estimate"].rank()
            correlation, moved = np.corrcoef(rank, before)[0, 1], (rank - before).abs().mean() / len(rows)
            largest = (rows["estimate"] - first["estimate"]).abs().max()
            labels = (rows["label"] != first["label"]).mean()
            parts.append((name, level, measure, len(rows), correlation, moved, largest, labels))
    table = pd.DataFrame(parts, columns=COLUMNS)
    table = table.sort_values("level", key=lambda column: column.map(est.areas.levels.index), kind="stable")
    return table.sort_values("alternative", kind="stable", ignore_index=True)
