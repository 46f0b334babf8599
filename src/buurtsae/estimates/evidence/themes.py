r"""What themes of covariates do together: single coefficients of columns that go together mean little, their sum does.

Of columns X of the areas with coefficients b, given hyperparameters b ~ N(m, S) exactly; over some of their draws

    effect E[x_a'b] = x_a'm,      variance E[Var_a(x_a'b)] = Var_a(x_a'm) + tr(Cov(X) S).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from buurtsae.engines.base import Fit
from buurtsae.engines.given import given
from buurtsae.sparse import Floats, Ints


def themes(fit: Fit) -> dict[str, Ints]:
    """Return the columns of each theme of a fit, by its name: those of the formula come before."""
    fit, _ = fit.conditioned
    dense = [effect for effect in fit.design.effects if effect.dense]
    groups = fit.marginal.field.groups if dense else ()
    return {
        effect.name: np.arange(group.start, group.stop)
        for effect, group in zip(dense, groups, strict=True)
        if not effect.formula
    }


def effects(fit: Fit, parts: Sequence[Ints], *, values: int = 8) -> list[tuple[Floats, Floats]]:
    """Return what columns do together, per part its effect on the areas, (N, D), and its variance over areas, (D,).

    Parameters
    ----------
    fit : Fit
    parts : sequence of ndarray of int
        Columns, as `themes` has them.
    values : int
        Draws of the hyperparameters over which it is averaged.
    """
    fit, own = fit.conditioned  # of one of several years that tell about each other: all of them, and its columns
    live, n = fit.areas.inhabited, len(fit.areas.codes)
    picked = np.unique(np.linspace(0, len(fit.draws.flat) - 1, values).round().astype(int))
    unit = fit.design.coefficient_unit[:, None]
    prior_mean = fit.design.coefficient_priors[0].reshape(len(unit), -1) / unit  # of the formula's columns
    totals = [(np.zeros((n, len(fit.design.columns))), np.zeros(len(fit.design.columns))) for _ in parts]
    for at in (given(fit, int(draw)).posterior for draw in picked if parts):
        for (effect, variance), columns in zip(totals, parts, strict=True):
            x = at.field.x[:n, columns]
            mean, root = at.coefficients(columns)
            others = np.zeros((at.field.x.shape[1] - len(unit), prior_mean.shape[1]))  # those of themes have mean 0
            mean = mean + np.concatenate([prior_mean, others])[columns]
            spread = np.tensordot(x[live] - x[live].mean(axis=0), root, axes=1)
            effect += x @ mean / len(picked)
            variance += ((x[live] @ mean).var(axis=0) + (spread**2).sum(axis=2).mean(axis=0)) / len(picked)
    return [(effect[:, own], variance[own]) for effect, variance in totals]
