r"""Variances of tiny samples: what the model is told about sampling errors, and how it got there.

Design-based variances of a few respondents are noise, and zero when two of them agree. Three ways out, all keeping the
correlations of scores within buurten, pooled over all of them:

* pooled: V_a,de = S_de G_a,de, G_a,de = sum_{i in a} w_id w_ie / (W_ad W_ae), and what clusters add (`components`):
  with S the covariance within buurten V_a,dd = S_dd / n_eff.
* auto: pooled, times exp(z_a'b), z the covariates of the areas and the logarithm of their residents. The variance
  within an area, of f degrees of freedom, has the mean mu = exp(b0 + z'b) and the variance
  phi mu^2 / f: b by quasi-likelihood, unbiased however small f is, times max(0, 1 - 1 / F), F the Wald statistic of
  b = 0 over the number of covariates (Stein's estimator): pooled where the data show no difference.
* gvf, a generalised variance function per sub-dimension: log v = b0 + b1 log n + t + e, with v unbiased, n effective,
  f = n - 1 at least `MIN_FREEDOM`; e, the error of estimating a variance, has the mean psi(f/2) - log(f/2) and variance
  psi'(f/2) of log chi^2_f / f; t is normal with the variance s^2 that remains. For every area then the mean of the
  lognormal, v = exp(b0 + b1 log n + s^2 / 2).

A fourth way, means and variances in one model (You and Chapman 2006), is `AreaModel(variances=...)`; it needs the
variances within buurten and their degrees of freedom, n_eff - 1.

References
----------
McCullagh, P. and Nelder, J. (1989). Generalized Linear Models, ch. 8 and 10. James, W. and Stein, C. (1961).
Wolter, K. (2007). Introduction to Variance Estimation, ch. 7.
Hawala, S. and Lahiri, P. (2018). Variance modeling for domains. Statistics and Applications 16.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import digamma, polygamma

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import group_sum

Method = Literal["auto", "pooled", "gvf"]
MIN_FREEDOM = 4.0  # with fewer, the moments of log chi^2 depend much on scores being normal
MIN_AREAS = 10  # for a line through variances, and per covariate of a variance function
FURTHEST = 2.0  # of a log variance from the pooled one
ROUNDS = 20  # of iterated least squares


def within_variance(share: Floats, residual: Floats, domain: Ints, n_effective: Floats) -> tuple[Floats, Floats]:
    """Return s^2, the variance of scores within each area, and its degrees of freedom n_eff - 1; shape (n_domains, D).

    s^2 = sum_i p_i r_i^2 / (1 - 1 / n_eff), p the shares: unbiased for weights unrelated to the scores. Areas with
    fewer than two respondents have 0 degrees of freedom.
    """
    top = group_sum(share * residual**2, domain, len(n_effective))
    some = n_effective > 1 + 1e-9
    inverse = np.divide(1.0, n_effective, out=np.ones_like(top), where=some)
    variance = np.divide(top, 1 - inverse, out=np.zeros_like(top), where=some)
    return variance, np.where(some, n_effective - 1, 0.0)


def varied(pooled: Floats, within: Floats, freedom: Floats, weight: Floats, z: Floats) -> Floats:
    """Return the pooled covariances, shape (n, D, D), with variances within areas that follow covariates z, (n, P).

    `within` and `freedom` are those of `within_variance`; `weight`, shape (n, D), is what areas count for in the pooled
    variance, which stays their mean.
    """
    factor = np.column_stack([variance_function(*part, z) for part in zip(within.T, freedom.T, strict=True)])
    mean = np.divide((weight * factor).sum(axis=0), weight.sum(axis=0), out=np.ones(len(weight.T)), where=weight.any(0))
    sd = np.sqrt(factor / mean)
    return pooled * (sd[:, :, None] * sd[:, None, :])


def variance_function(within: Floats, freedom: Floats, z: Floats) -> Floats:
    """Return how variances within areas follow covariates, as far as the data show it: exp(z'b), shape (n,).

    It is 1 everywhere where there are fewer than `MIN_AREAS` areas with a variance per covariate.

    Parameters
    ----------
    within, freedom : ndarray, shape (n,)
        Estimated variances, and their degrees of freedom: 0 where there is none.
    z : ndarray, shape (n, P)
        Covariates; what is constant does not count.
    """
    known = freedom > 0
    s, f, told = within[known], freedom[known], z[known]
    x = z[:, (told != told[:1]).any(axis=0)]
    if not x.shape[1] or not s.any() or len(s) < MIN_AREAS * x.shape[1]:
        return np.ones(len(within))
    x = (x - np.average(x[known], axis=0, weights=f)) / x[known].std(axis=0)
    root, design = np.sqrt(f), np.column_stack([np.ones(len(s)), x[known]])
    level = np.log((f * s).sum() / f.sum())
    log_mu = np.full(len(s), level)
    for _ in range(ROUNDS):
        working = log_mu + s * np.exp(-log_mu) - 1
        b = np.linalg.lstsq(root[:, None] * design, root * working, rcond=None)[0]
        log_mu = np.clip(design @ b, level - FURTHEST, level + FURTHEST)
    phi = (f * (s * np.exp(-log_mu) - 1) ** 2).sum() / (len(s) - len(b))
    line = x @ b[1:]
    wald = (f * line[known] ** 2).sum() / (phi * x.shape[1]) if phi > 0 else np.inf
    return np.asarray(np.exp(np.clip(line * max(0.0, 1 - 1 / max(wald, 1.0)), -FURTHEST, FURTHEST)))


def rescaled(pooled: Floats, design: Floats, n_effective: Floats) -> Floats:
    """Return the pooled covariances S G, shape (n, D, D), with variances of a variance function per sub-dimension.

    It is fitted to the design-based covariances `design`; the correlations of S G are kept.
    """
    old = np.einsum("add->ad", pooled)
    # deviations from a buurt's own mean make a linearised variance (n - 1) / n too low: a line would come out too flat
    freedom = n_effective - 1
    lost = np.divide(n_effective, freedom, out=np.zeros_like(old), where=freedom > 1e-9)
    new, unbiased = np.zeros_like(old), lost * np.einsum("add->ad", design)
    for d in np.flatnonzero((n_effective > 0).any(axis=0)):
        new[:, d] = gvf(unbiased[:, d], n_effective[:, d])[0]
    factor = np.sqrt(np.divide(new, old, out=np.zeros_like(old), where=old > 0))
    return pooled * (factor[:, :, None] * factor[:, None, :])


def gvf(variance: Floats, n_effective: Floats) -> tuple[Floats, Floats]:
    """Smooth variances of means by a generalised variance function.

    Raises DataError if no area has a positive variance and two effective respondents.

    Parameters
    ----------
    variance, n_effective : ndarray, shape (n,)
        Unbiased variances of the direct estimates of one sub-dimension, zero or NaN where there is none, and effective
        numbers of respondents, 0 where nobody answered.

    Returns
    -------
    smoothed : ndarray, shape (n,); 0 where nobody answered
    line : ndarray (b0, b1, s)
        The fitted function; without enough areas b1 = -1 and s = NaN.
    """
    n = np.maximum(n_effective, 1.0)
    freedom = n_effective - 1
    positive = np.nan_to_num(variance) > 0
    line = positive & (freedom >= MIN_FREEDOM)
    if line.sum() >= MIN_AREAS and np.ptp(np.log(n[line])) > 0.1:
        x, half, m = np.log(n[line]), freedom[line] / 2, int(line.sum())
        z = np.log(variance[line]) - (digamma(half) - np.log(half))
        weight = 1 / polygamma(1, half)
        b1, b0 = np.polyfit(x, z, 1, w=np.sqrt(weight))
        square = (weight * (z - b0 - b1 * x) ** 2).sum() / (m - 2)  # 1 where variances are a function of n alone
        s = np.sqrt(max(0.0, square - 1) * m / weight.sum())
        smoothed = np.exp(b0 + b1 * np.log(n) + s**2 / 2)
    else:  # v = S / n_eff, S pooled with degrees of freedom as weights
        some = positive & (freedom > 0)
        if not some.any():
            none = "no area with a positive variance and two effective respondents"
            hint = "give `sd`, the standard deviation of scores within an area"
            raise DataError("a variance function cannot be fitted", none, "some areas with several respondents", hint)
        pooled = (freedom[some] * n[some] * variance[some]).sum() / freedom[some].sum()
        b0, b1, s = np.log(pooled), -1.0, np.nan
        smoothed = pooled / n
    return np.where(n_effective > 0, smoothed, 0.0), np.array([b0, b1, s])
