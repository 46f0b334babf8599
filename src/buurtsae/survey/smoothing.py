r"""Variances of tiny samples: what the model is told about sampling errors, and how it got there.

Design-based variances of a few respondents are noise, and zero when two of them agree. Two ways out, both keeping the
correlations of S, the covariance of scores within buurten, pooled over all of them (G: sums of weight shares):

* pooled: V_a,de = S_de G_a,de with G_a,de = sum_{i in a} w_id w_ie / (W_ad W_ae); G_a,dd = 1 / n_eff.
* gvf, a generalised variance function per sub-dimension: log v = b0 + b1 log n + t + e, with v unbiased, n effective,
  f = n - 1 at least `MIN_FREEDOM`; e, the error of estimating a variance, has the mean psi(f/2) - log(f/2) and variance
  psi'(f/2) of log chi^2_f / f; t is normal with the variance s^2 that remains. For every area then the mean of the
  lognormal, v = exp(b0 + b1 log n + s^2 / 2).

The third way, means and variances in one model (You and Chapman 2006), is `AreaModel(variances=...)`; it needs the
variances within buurten and their degrees of freedom, n_eff - 1.

References
----------
Wolter, K. (2007). Introduction to Variance Estimation, ch. 7.
Hawala, S. and Lahiri, P. (2018). Variance modeling for domains. Statistics and Applications 16.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import digamma, polygamma

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import group_sum, hajek

Method = Literal["pooled", "gvf"]
MIN_FREEDOM = 4.0  # with fewer, the moments of log chi^2 depend much on scores being normal
MIN_AREAS = 10  # for a line through variances


def pooled_covariance(y: Floats, w: Floats, domain: Ints, n_domains: int) -> Floats:
    """Return S, the (D, D) covariance of scores within areas, from the respondents with both scores of each pair.

    E sum_{i in a} w_i r_id r_ie = S_de (W_a - sum_{i in a} w_i^2 / W_a): the pooled ratio is unbiased for weights
    unrelated to the scores. A sub-dimension that nobody answered keeps a variance of 0. Raises DataError if no area has
    two respondents, so that nothing can be pooled.
    """
    n_dims = y.shape[1]
    s = np.zeros((n_dims, n_dims))
    for d in range(n_dims):
        for e in range(d + 1):
            both = np.isfinite(y[:, d]) & np.isfinite(y[:, e])
            if not both.any():
                continue
            _, share, residual = hajek(y[both][:, [d, e]], w[both], domain[both], n_domains)
            freedom = float((w[both] * (1 - share[:, 0])).sum())
            if freedom <= 0 and d != e:
                continue  # two scores that nobody in an area shares: taken as uncorrelated
            if freedom <= 0:
                what = "the variance within areas cannot be estimated"
                hint = "give `sd`, the standard deviation of scores within an area, or start with direct estimates"
                raise DataError(what, "no area with two respondents", "some areas with several", hint)
            s[d, e] = s[e, d] = (w[both] * residual[:, 0] * residual[:, 1]).sum() / freedom
    return shrunk(s)


def shrunk(s: Floats, lowest: float = 0.01) -> Floats:
    """Shrink covariances until no eigenvalue of the correlation matrix is below `lowest`.

    Pairwise deletion may leave S indefinite, and two scales that agree exactly leave it singular.
    """
    sd = np.sqrt(np.diag(s))
    scale = np.where(sd > 0, sd, 1.0)
    correlation = s / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    smallest = np.linalg.eigvalsh(correlation)[0]
    kept = min(1.0, (1 - lowest) / (1 - smallest)) if smallest < lowest else 1.0
    return np.asarray(np.where(np.eye(len(s), dtype=bool), s, kept * s))


def gram(share: Floats, domain: Ints, n_domains: int) -> Floats:
    """Return G, shape (n_domains, D, D), from the shares w_id / W_ad; its diagonal is 1 / n_eff, 0 without answers."""
    return group_sum(share[:, :, None] * share[:, None, :], domain, n_domains)


def within_variance(share: Floats, residual: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats]:
    """Return s^2, the variance of scores within each area, and its degrees of freedom n_eff - 1; shape (n_domains, D).

    s^2 = sum_i p_i r_i^2 / (1 - sum_i p_i^2), p the shares: unbiased for weights unrelated to the scores. Areas with
    fewer than two respondents have 0 degrees of freedom.
    """
    square = group_sum(share**2, domain, n_domains)
    top = group_sum(share * residual**2, domain, n_domains)
    some = (square > 0) & (square < 1 - 1e-9)
    variance = np.divide(top, 1 - square, out=np.zeros_like(top), where=some)
    return variance, np.divide(1.0, square, out=np.ones_like(square), where=some) - 1.0


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
