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

from buurtsae.estimates.summary import Estimates, tabulate
from buurtsae.survey.concept import Concept

COLUMNS = ["alternative", "level", "measure", "areas", "rank_correlation", "mean_rank_change", "largest", "labels"]


def alternatives(concept: Concept, factor: float = 2.0) -> dict[str, Concept]:
    """Return concepts in which one part at a time weighs more.

    Parameters
    ----------
    concept : Concept
    factor : float
        How many times.
    """
    parts = [n for n in concept.nodes.values() if n.parent is not None]
    return {f"{n.id} x {factor:g}": concept.weighted({n.id: factor * n.weight}) for n in parts}


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
    {'buurt': 0.98, 'wijk': 0.92, 'gemeente': 0.5}
    """
    key, parts = ["level", "area_code", "measure"], []
    base = est.table.set_index(key)
    own = est.concept.matrix_of(est.draws.subdimensions)
    for name, concept in (concepts if concepts is not None else alternatives(est.concept)).items():
        weights = concept.matrix_of(est.draws.subdimensions)
        changed = [m for m in own.index if not np.allclose(own.loc[m], weights.loc[m], rtol=0, atol=1e-12)]
        if not changed:
            continue
        other = tabulate(est.fit, concept, est.rules, est.draws, est.release)
        other = other[est.release.open(other)].set_index(key)
        for (level, measure), rows in other[other.index.isin(changed, level="measure")].groupby(["level", "measure"]):
            first = base.loc[rows.index]
            n = len(rows)
            if n < 3:
                continue
            rank, before = (t["estimate"].rank() for t in (rows, first))
            parts.append(
                {
                    "alternative": name,
                    "level": level,
                    "measure": measure,
                    "areas": n,
                    "rank_correlation": float(np.corrcoef(rank, before)[0, 1]),
                    "mean_rank_change": float((rank - before).abs().mean() / n),
                    "largest": float((rows["estimate"] - first["estimate"]).abs().max()),
                    "labels": float((rows["label"] != first["label"]).mean()),
                }
            )
    table = pd.DataFrame(parts, columns=COLUMNS)
    order = {level: i for i, level in enumerate(est.areas.levels)}
    return table.sort_values("level", key=lambda c: c.map(order), kind="stable").sort_values(
        "alternative", kind="stable", ignore_index=True
    )
