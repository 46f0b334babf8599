"""Classes of a characteristic that is a number: cells and respondents fall into the same ones.

K classes have K + 1 edges; a class is from its lower edge up to, and without, its upper one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral

import numpy as np
import pandas as pd

from buurtsae.areas.columns import numbers
from buurtsae.errors import DataError, Problems, cut
from buurtsae.sparse import Ints

MOST_BINS = 50


def edges_of(column: pd.Series, persons: pd.Series, bins: int | Sequence[float], name: str) -> tuple[float, ...]:
    """Edges of the classes of a number: as they are given, or of equally many residents."""
    what, expected = f"{name} cannot be divided so", f"1 to {MOST_BINS} classes, of values that differ"
    hint = "ask for fewer, or give edges that ascend"
    classes = int(bins) if isinstance(bins, Integral) and not isinstance(bins, bool) else None
    if classes is not None and not 1 <= classes <= MOST_BINS:
        raise DataError(what, f"{classes} classes", expected, hint)
    try:
        edges = np.asarray([] if isinstance(bins, int | Integral) else [*bins], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(what, cut(repr(bins)), expected, hint) from error
    problems = Problems()
    values = numbers(column, f"{name} is no number", problems)
    problems.raise_if_any()
    assert values is not None
    if classes is not None:
        known = values.notna() & (persons > 0)
        order = values[known].sort_values(kind="stable")
        reached = persons[order.index].cumsum().to_numpy()
        at = np.searchsorted(reached, reached[-1] * np.arange(1, classes) / classes) if len(order) else []
        edges = np.unique([values.min(), *order.to_numpy()[at], np.nextafter(values.max(), np.inf)])
    if edges.ndim != 1 or not 2 <= len(edges) <= MOST_BINS + 1 or not (np.diff(edges) > 0).all():
        got = f"{len(edges)} edges" if classes is None else f"{classes} classes"
        raise DataError(what, got, expected, hint)
    return tuple(map(float, edges))


def bin_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Return the names of classes between edges."""
    return tuple(f"{low:.12g} to {high:.12g}" for low, high in pairwise(edges))


def binned(column: pd.Series, edges: Sequence[float]) -> Ints:
    """Return the class of each number, -1 where it is missing or in none."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    place = np.searchsorted(np.asarray(edges), values, side="right") - 1
    return np.where(np.isfinite(values) & (place < len(edges) - 1), place, -1)
