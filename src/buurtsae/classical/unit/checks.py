"""What must hold of the units and the populations of a nested error model; all problems at once, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.classical.columns import check_columns
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.classical.unit.nested_error import NestedError

INTERCEPTS = ("Intercept", "(Intercept)", "const")  # of formulaic, R and statsmodels


def check_units(model: NestedError, problems: Problems) -> None:
    """Record what is wrong with the units."""
    n = len(model.y)
    lengths = {"y": n, "x": len(model.x), "area": len(model.area)}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{k} {v}" for k, v in lengths.items())
        problems.add("the units disagree in number", got, "one length", "give a value for each unit", ModelError)
        return
    if (lost := int((~np.isfinite(model.y)).sum())) > 0:
        problems.add(
            f"y is missing in {lost} of {n} units",
            shown(np.flatnonzero(~np.isfinite(model.y))),
            "an answer of every unit",
            "leave these units out: the model takes them as missing at random",
            ModelError,
        )
    if (nowhere := int((model.position < 0).sum())) > 0:
        problems.add(
            f"{nowhere} units have no area", f"{nowhere} of {n}", "a code", "complete or drop them", ModelError
        )
    check_columns(model.x.to_numpy(), model.names, range(n), "units", problems)
    if problems.found:
        return
    within = model.answers.within_yy - _explained(model.sample.within, model.answers.within_zy)
    if model.sample.n.max() < 2 or within <= 1e-20 * n * max(float(np.abs(model.y).max()), 1e-300) ** 2:
        got = "one unit in every area" if model.sample.n.max() < 2 else "units that do not vary within areas"
        problems.add(
            "the two variances cannot be told apart",
            got,
            "areas with several units that differ",
            "use an area-level model (Fay-Herriot) with sampling variances",
            ModelError,
        )


def check_population(
    model: NestedError, means: pd.DataFrame | None, sizes: pd.Series | None, problems: Problems
) -> None:
    """Record what is wrong with population means and sizes."""
    if means is None:
        problems.add("there are population sizes without means", "`sizes` only", "both", "pass `means`", ModelError)
        return
    for what, index in (("means", means.index), ("sizes", None if sizes is None else sizes.index)):
        if index is not None and index.has_duplicates:
            twice = shown(index[index.duplicated()].unique())
            problems.add(f"areas stand twice in `{what}`", twice, "one row each", "drop the others", ModelError)
    if absent := [c for c in model.names if c not in means.columns and c not in INTERCEPTS]:
        problems.add(
            "population means lack covariates", shown(absent), shown(model.names), "add these columns", ModelError
        )
    if problems.found:
        return
    table = population(model.names, means)
    for name in model.names:
        lost = ~np.isfinite(table[name].to_numpy(dtype=float))
        if lost.any():
            problems.add(
                f"the population mean of {name} is missing in {int(lost.sum())} areas",
                shown(means.index[lost]),
                "a finite number for each",
                "complete it, or leave these areas out on purpose",
                ModelError,
            )
    if sizes is None:
        return
    if len(unknown := sizes.index.difference(means.index)):
        problems.add(
            "population sizes are of unknown areas", shown(unknown), "areas of `means`", "correct it", ModelError
        )
    size = sizes.reindex(means.index).to_numpy(dtype=float)
    if (lost := ~np.isfinite(size)).any():
        problems.add(
            f"the population size is missing in {int(lost.sum())} areas",
            shown(means.index[lost]),
            "a number for each area of `means`",
            "complete it",
            ModelError,
        )
    at = model.codes.get_indexer(means.index)
    n = np.where(at >= 0, model.sample.n[at], 0)
    if (small := size < np.maximum(n, 1)).any():
        problems.add(
            "the population is smaller than the sample",
            shown(f"{means.index[i]}: {size[i]:g} < {n[i]}" for i in np.flatnonzero(small)),
            "N of at least n, and of at least 1",
            "correct the sizes, or the codes of the units",
            ModelError,
        )


def population(names: Sequence[str], means: pd.DataFrame) -> pd.DataFrame:
    """Return population means in the columns of the model, an intercept of 1 filled in."""
    ones = {c: 1.0 for c in names if c in INTERCEPTS and c not in means.columns}
    return means.assign(**ones)[list(names)]


def _explained(a: Floats, b: Floats) -> float:
    """b'A^+ b: what covariates explain of the squares within areas."""
    return float(b @ np.linalg.pinv(a, rcond=1e-10, hermitian=True) @ b)
