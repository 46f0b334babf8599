r"""Weights that meet known population totals, the variance after it, and the regression estimator.

Calibrated weights w_i = d_i F(x_i'b) solve sum_i w_i x_i = X: F(u) = 1 + u (linear, GREG weights; cut at bounds),
exp(u) (raking; iterative proportional fitting when x are margins) or a logistic curve between two bounds. The
linearised variable z_i = w_i u_i becomes w_i (u_i - x_i'B), B the regression of u on x with the weights d.
The regression estimator of area a has m_a = Xbar_a'B + ebar_a, e_i = y_i - x_i'B, B the regression over all areas, and

    z_ia = w_i (e_i - ebar_a) / W_a [i in a]  +  w_i e_i x_i'T^-1 (Xbar_a - xbar_a),   T = sum_i w_i x_i x_i'.

References
----------
Deville, J.-C. and Sarndal, C.-E. (1992). Calibration estimators in survey sampling. JASA 87.
Rao, J. N. K. and Molina, I. (2015). Small Area Estimation, section 2.4 (modified GREG).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
from scipy.linalg import pinvh
from scipy.special import expit

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import hajek

TOLERANCE = 1e-10  # relative misfit of the totals


def rake(w: Floats, margins: Sequence[Ints], totals: Sequence[Floats], most: int = 1000) -> Floats:
    """Return weights that meet the totals of several margins, by iterative proportional fitting.

    Each margin has the category of each respondent, shape (n,), and the population of each category, > 0 where the
    sample has respondents; `most` is the number of sweeps. Raises DataError if it does not converge.
    """
    w, misfit = w.astype(float), np.inf
    pairs = list(zip(margins, totals, strict=True))
    for _ in range(most):
        for margin, total in pairs:
            now = np.bincount(margin, w, len(total))
            w = w * np.divide(total, now, out=np.ones_like(now), where=now > 0)[margin]
        misfit = max(float(np.max(abs(np.bincount(margin, w, len(total)) / total - 1))) for margin, total in pairs)
        if misfit < TOLERANCE:
            return w
    raise _unmet(misfit, most)


def calibrate(
    w: Floats,
    x: Floats | sp.csr_array,
    totals: Floats,
    method: Literal["linear", "exponential", "logit"] = "linear",
    bounds: tuple[float, float] | None = None,
    most: int = 100,
) -> Floats:
    """Return weights with sum_i w_i x_i = totals, by Newton's method; F by `method` and `bounds`.

    The covariates x, shape (n, p), hold an intercept if the population's size is to be met, and may be redundant.
    Raises DataError if bounds are no interval around 1, or the totals cannot be met.
    """
    if (method == "logit" and bounds is None) or (bounds is not None and not 0 <= bounds[0] < 1 < bounds[1]):
        raise DataError("calibration has no usable bounds", str(bounds), "0 <= lowest < 1 < highest", "correct them")
    x, b, u = sp.csr_array(x), np.zeros(x.shape[1]), np.zeros(len(w))
    misfit = totals - x.T @ w
    scale = np.maximum(abs(totals), 1.0)
    for _ in range(most):
        slope = _factor(u, method, bounds)[1]
        step = pinvh((x.T @ (sp.diags_array(w * slope) @ x)).toarray()) @ misfit
        for _ in range(30):  # halve the step until the weights are numbers
            u = x @ (b + step)
            factor = _factor(u, method, bounds)[0]
            if np.isfinite(factor).all():
                break
            step = step / 2
        b = b + step
        misfit = totals - x.T @ (w * factor)
        if np.max(abs(misfit) / scale) < TOLERANCE:
            return w * factor
    raise _unmet(float(np.max(abs(misfit) / scale)), most)


def _factor(u: Floats, method: str, bounds: tuple[float, float] | None) -> tuple[Floats, Floats]:
    """F(u) and its derivative."""
    with np.errstate(over="ignore", invalid="ignore"):
        if method == "exponential":
            return np.exp(u), np.exp(u)
        if bounds is None:
            return 1 + u, np.ones_like(u)
        low, high = bounds
        if method == "linear":
            return np.clip(1 + u, low, high), ((1 + u > low) & (1 + u < high)).astype(float)
        a = (high - low) / ((high - 1) * (1 - low))
        p = expit(a * u + np.log((1 - low) / (high - 1)))
        return low + (high - low) * p, (high - low) * a * p * (1 - p)


def _unmet(misfit: float, most: int) -> DataError:
    missed = f"a total is missed by {100 * misfit:.3g}% after {most} rounds"
    hint = "check that margins agree with each other, merge small categories, or widen the bounds"
    return DataError("calibration does not converge", missed, "all totals met", hint)


def indicators(margins: Sequence[Ints], sizes: Sequence[int]) -> sp.csr_array:
    """Return the (n, sum of sizes) sparse matrix of categories of all margins."""
    offset = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    n, width = len(margins[0]), len(margins)
    columns = np.column_stack([margin + start for margin, start in zip(margins, offset, strict=True)]).ravel()
    return sp.csr_array((np.ones(n * width), columns, np.arange(0, n * width + 1, width)), shape=(n, int(sum(sizes))))


def credit(
    z: Floats, w: Floats, domain: Ints, n_domains: int, x: sp.csr_array, base: Floats
) -> tuple[sp.csr_array, Floats]:
    """Return the extra terms by which calibration changes linearised variables z, (n, D); see `variance.covariance`.

    With w the calibrated weights and `base` those before it, of the regression (R's `rake` regresses without weights:
    ones): -w_i x_i, sparse (n, p), and B per domain, (n_domains, p, D), in linear time as u is zero outside its domain.
    """
    inside = np.flatnonzero(domain >= 0)
    inverse = pinvh((x.T @ (sp.diags_array(base) @ x)).toarray())
    coefficient = np.empty((n_domains, x.shape[1], z.shape[1]))
    for d in range(z.shape[1]):
        base_u = (base * z[:, d] / w)[inside]
        of_domain = sp.csr_array((base_u, (domain[inside], inside)), shape=(n_domains, len(z)))
        coefficient[:, :, d] = (of_domain @ x) @ inverse
    return sp.csr_array(sp.diags_array(-w) @ x), coefficient


def greg(
    y: Floats, x: Floats, xbar: Floats, w: Floats, domain: Ints, n_domains: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return regression estimates of domain means, and what their variance needs.

    Parameters
    ----------
    y, w, domain, n_domains : as in `hajek`
    x, xbar : ndarray, shapes (n, p) and (n_domains, p)
        Covariates of the respondents, the first an intercept, and their population means.

    Returns
    -------
    mean : ndarray, shape (n_domains, D); NaN where nobody answered
    z, extra, coefficient : ndarray, shapes (n, D), (n, D p) and (n_domains, D p, D), for `variance.covariance`
    """
    n, p = x.shape
    dims = y.shape[1]
    extra, coefficient = np.empty((n, dims * p)), np.zeros((n_domains, dims * p, dims))
    residual = np.full(y.shape, np.nan)
    synthetic = np.empty((n_domains, dims))
    for d in range(dims):
        answered = np.isfinite(y[:, d]) & (domain >= 0)
        weight = np.where(answered, w, 0.0)
        inverse = pinvh(x.T @ (x * weight[:, None]))
        least = y[answered, d].min(initial=np.inf)  # what the intercept takes first: nothing is left of equal answers
        above = np.where(answered, y[:, d] - least, 0.0)
        b = inverse @ (x.T @ (weight * above))
        residual[answered, d] = (above - x @ b)[answered]
        block = slice(d * p, (d + 1) * p)
        extra[:, block] = (weight * np.nan_to_num(residual[:, d]))[:, None] * x
        mean_x = hajek(np.where(answered[:, None], x, np.nan), w, domain, n_domains)[0]
        coefficient[:, block, d] = np.nan_to_num(xbar - mean_x) @ inverse
        synthetic[:, d] = least + xbar @ b
    mean, share, rest = hajek(residual, w, domain, n_domains)
    return synthetic + mean, share * rest, extra, coefficient


def project(extra: Floats, w: Floats, x: sp.csr_array, base: Floats) -> Floats:
    """Return extra terms r_i as calibration leaves them: w_i times the residual of r_i / w_i on x_i."""
    b = pinvh((x.T @ (sp.diags_array(base) @ x)).toarray()) @ (x.T @ (extra * (base / w)[:, None]))
    return np.asarray(extra - (x @ b) * w[:, None])
