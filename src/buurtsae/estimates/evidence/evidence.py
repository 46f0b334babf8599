r"""What estimates gain over direct ones, what covariates explain, and whether estimates agree with good direct ones.

Gain, by number of respondents: posterior variance over the variance of the direct estimate. Agreement, per measure over
gemeenten with a direct estimate y of standard error s, posterior mean m and sd p: a posterior mean's error is not
correlated with the data, so that y - m has variance s^2 - p^2, the same people being in both. Then

    fit: W = sum (y - m)^2 / (s^2 - p^2) ~ chi^2,      95% of y - m within 1.96 of its standard errors,

and the line of y on m, weighted by 1 / s^2, has a slope near 1: a little above, as m is shrunk towards the model (1
over the own-data share); far from it there is bias that depends on the score. Areas where p >= s say nothing: left out.

References
----------
Brown, G. et al. (2001). Evaluation of small area estimation methods. Proc. Statistics Canada Symposium.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from buurtsae.engines.base import Fit
from buurtsae.estimates.disclosure.release import FEW
from buurtsae.estimates.evidence.themes import effects, themes

EVERYTHING = "alle kenmerken"
CLASSES = {"0": (0, 0), "1-5": (1, 5), "6-20": (6, 20), "21-100": (21, 100), "101 en meer": (101, np.inf)}


def gain(table: pd.DataFrame, published: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per level and class of respondents, how much smaller uncertainty is than that of direct estimates.

    Medians of `sd`, of `direct_se` and of the ratio of variances (None without any direct standard error), from tables
    of the contract: of few areas of those that are published, of others of all figures.
    """
    rows = []
    for level, part in table.groupby("level", sort=False):
        for name, (low, high) in CLASSES.items():
            some = part[part["n_respondents"].between(low, high)]
            some = published.loc[some.index] if some["area_code"].nunique() < FEW else some
            some = some[some["sd"].notna()]
            if some.empty:
                continue
            ratio = (some["sd"] / some["direct_se"]) ** 2
            known = bool(ratio.notna().any())
            rows.append(
                {
                    "level": level,
                    "class": name,
                    "figures": len(some),
                    "sd": round(float(some["sd"].median()), 2),  # in all its digits it would be that of one area
                    "direct_se": round(float(some["direct_se"].median()), 2) if known else None,
                    "variance_ratio": round(float(ratio.median()), 2) if known else None,
                }
            )
    return rows


def agreement(table: pd.DataFrame, level: str = "gemeente") -> list[dict[str, Any]]:
    """Return, per measure, how well estimates before benchmarking agree with direct ones, at a level with good ones.

    `bias` is the mean of y - m; `slope` and `slope_se` are None below three areas; `W` has `areas` degrees of freedom.
    """
    rows = []
    for measure, part in table[table["level"] == level].groupby("measure", sort=False):
        y, s, m, p = (part[c].to_numpy(dtype=float) for c in ("direct", "direct_se", "estimate", "sd"))
        with np.errstate(invalid="ignore"):
            kept = np.isfinite(s) & (s > p)
        if not kept.any():
            continue
        y, m, s, variance = y[kept], m[kept], s[kept], s[kept] ** 2 - p[kept] ** 2
        areas, statistic, slope, slope_se = len(y), float(((y - m) ** 2 / variance).sum()), None, None
        if areas > 2 and np.ptp(m) > 0:
            centred = m - np.average(m, weights=s**-2.0)
            information = (centred**2 / s**2).sum()
            slope, slope_se = float((centred * y / s**2).sum() / information), float(information**-0.5)
        rows.append(
            {
                "measure": measure,
                "areas": areas,
                "bias": float((y - m).mean()),
                "slope": slope,
                "slope_se": slope_se,
                "W": statistic,
                "p": float(chi2.sf(statistic, areas)),
                "coverage_95": float((np.abs(y - m) < 1.96 * np.sqrt(variance)).mean()),
            }
        )
    return rows


def explained(fit: Fit, shown: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the share of the variance between buurten that goes with each covariate.

    Per column of the model matrix but the intercept, per theme, and for all together: `covariate`, `measure`, `mean`,
    `lower`, `upper` (95%) of its coefficient (None for themes and all together) and `share`, the posterior mean of
    Var(x b) / Var(eta) over the buurten that are published, `shown`, shape (N,), of themes over all that are inhabited.
    Columns that go together share what they explain: their shares do not add up. Associations.
    """
    live, names = fit.areas.inhabited & shown, fit.design.coefficients
    chosen = [column for column, name in enumerate(names) if name != "Intercept"]
    grouped = themes(fit)
    if not (chosen or grouped) or live.sum() < 2:
        return []
    x, beta = fit.design.x[live][:, chosen], fit.draws.hyper["beta"][1]
    beta = beta.reshape(-1, *beta.shape[2:])[:, chosen]
    between = fit.draws.flat[:, live].var(axis=1)
    shares = x.var(axis=0)[None, :, None] * beta**2 / between[:, None]
    together = [*grouped.values(), np.concatenate([chosen, *grouped.values()]).astype(int)] if grouped else []
    variances = [variance / between.mean(axis=0) for _, variance in effects(fit, together)]
    every = np.einsum("skd,kl,sld->sd", beta, np.cov(x.T, bias=True).reshape([len(chosen)] * 2), beta) / between
    every = variances[-1][None] if grouped else every
    lower, upper = np.quantile(beta, [0.025, 0.975], axis=0)
    rows: list[tuple[Any, ...]] = []
    for dim, measure in enumerate(fit.draws.subdimensions):
        for place, column in enumerate(chosen):
            coefficient = beta[:, place, dim].mean(), lower[place, dim], upper[place, dim]
            share = min(shares[:, place, dim].mean(), 1.0)
            rows.append((names[column], measure, *map(float, (*coefficient, share))))
        for name, variance in zip(grouped, variances, strict=False):
            rows.append((name, measure, None, None, None, float(min(variance[dim], 1.0))))
        rows.append((EVERYTHING, measure, None, None, None, float(min(every[:, dim].mean(), 1.0))))
    return [dict(zip(("covariate", "measure", "mean", "lower", "upper", "share"), row, strict=True)) for row in rows]
