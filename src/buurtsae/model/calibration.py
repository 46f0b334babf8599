r"""What imputed covariates leave unknown about the areas where they were missing.

With x_a = prediction_a + s_a e_a (`imputation`), X_a the row of the model matrix and of themes, the predictor of area a
has to first order the further part sum_c g_ac e_ac, of covariance

    sum_c E[g_ac g_ac'],   g_ac = beta' d_ac,   d_ac = (X_a at x_c + s_a, less X_a at x_c - s_a) / 2,

an unstructured effect of a known size. beta ~ N(b, B) is that of a Fay-Herriot model of the reference source of each
column, without a field, its variance by moments: a first pass, which the model itself does not move. E[g g'] has B, so
that a coefficient that is known badly leaves more open. Values that were filled in are taken as independent, and so is
what they do in years, which are fits of their own.

References
----------
Carroll, R. et al. (2006). Measurement Error in Nonlinear Models, ch. 4. Ybarra, L. and Lohr, S. (2008). Small area
estimation when auxiliary information is measured with error. Biometrika 95.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from buurtsae.formula import matrix
from buurtsae.model.matrix import TERMS, Linear, Theme
from buurtsae.sparse import Floats

STEPS = 30  # of the moment equation of the variance

Seen = tuple[Floats, Floats]


def unknown(
    part: Linear,
    x: Floats,
    prior: tuple[Floats, Floats],
    themes: Mapping[str, Theme],
    sites: sp.csr_array,
    seen: Sequence[Seen],
    years: int = 1,
) -> Floats | None:
    """Return the covariance of what imputed covariates leave open, (N, W, W); None where nothing was.

    Parameters
    ----------
    part : Linear
    x : ndarray, shape (N, P)
    prior : tuple of ndarray, shape (P,) or (P, W)
        Means and standard deviations of the coefficients of x.
    themes : mapping of name to (names, ndarray of shape (N, P))
        Their covariates.
    sites : sparse, shape (K, N)
    seen : sequence of (y, v), shape (K,) each
        Per column the direct estimates of the reference and their variances, 0 where there are none; empty for tables
        of counts.
    years : int
        How many the columns are of.
    """
    if not (seen and part.errors.to_numpy().any()):
        return None
    of_themes = list(themes.values())
    z = np.hstack([x, *(columns for _, columns in of_themes)])
    total = np.zeros((len(x), len(seen), len(seen)))
    means, spreads = list[Floats](), list[Floats]()
    of_columns = [np.broadcast_to(part.reshape(x.shape[1], -1), (x.shape[1], len(seen))) for part in prior]
    for (y, v), centre, width in zip(seen, of_columns[0].T, of_columns[1].T, strict=True):
        known = v > 0
        most = y[known].std() if known.any() else 0.0  # of what a theme explains
        sd = np.concatenate([width, *(np.full(len(names), most / np.sqrt(len(names))) for names, _ in of_themes)])
        mean, covariance = np.zeros(len(sd)), np.diag(sd**2)  # a priori, of what nobody was asked
        if known.any():
            mean, covariance = _coefficients((sites @ z)[known], (y - sites @ (x @ centre))[known], v[known], sd)
        means.append(mean + np.append(centre, np.zeros(len(sd) - len(centre))))
        spreads.append(covariance)
    for step in _steps(part, x, of_themes):
        g = step @ np.array(means).T
        total += g[:, :, None] * g[:, None, :]
        for w, covariance in enumerate(spreads):
            total[:, w, w] += ((step @ covariance) * step).sum(axis=1)
    year = np.arange(len(seen)) // (len(seen) // years)
    return np.where(year[:, None] == year, total, 0.0)


def _steps(part: Linear, x: Floats, themes: Sequence[Theme]) -> Iterator[Floats]:
    """Per covariate that was imputed d, (N, P): of the formula's columns, then those of themes."""
    spec = matrix(part.formula, part.table, TERMS).model_spec
    ends = x.shape[1] + np.cumsum([0, *(len(names) for names, _ in themes)])
    for name in part.errors.columns[part.errors.any()]:
        error, d = part.errors[name], np.zeros((len(x), ends[-1]))
        up, down = (matrix(spec, part.table.assign(**{name: part.table[name] + s * error}), TERMS) for s in (1, -1))
        d[:, : x.shape[1]] = (np.asarray(up, dtype=float) - np.asarray(down, dtype=float)) / 2
        for (names, _), start in zip(themes, ends[:-1], strict=True):
            if name in names:
                d[:, start + names.index(name)] = error
        yield d


def _coefficients(z: Floats, y: Floats, v: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Return the mean and covariance of coefficients with prior standard deviations, the variance by moments."""
    between = float(np.var(y)) + 1e-12
    for _ in range(STEPS):
        weight = 1 / (v + between)
        covariance = np.asarray(np.linalg.inv((z.T * weight) @ z + np.diag(sd**-2.0)))
        mean = np.asarray(covariance @ (z.T @ (weight * y)))
        free = len(y) - float((((z @ covariance) * z).sum(axis=1) * weight).sum())
        between *= float((weight * (y - z @ mean) ** 2).sum()) / max(free, 1.0)
    return mean, covariance
