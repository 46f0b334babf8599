r"""Design-based variances of domain estimates, in time and memory linear in the respondents.

An estimate of domain a has the linearised variable z_i (0 outside a): w_i y_i for a total, w_i (y_i - m_a) / W_a for a
Hajek mean, w_i (y_i - R_a x_i) / X_a for a ratio. At stage k a stratum h holds n_h sampled of N_h units, t_c is the
sum of z over unit c, f_h = n_h / N_h (0 without N_h), and F_h is the product of f over the earlier stages:

    V_a = sum_k sum_h F_h (1 - f_h) n_h / (n_h - 1) [ sum_{c in h} t_c t_c' - (sum_c t_c)(sum_c t_c)' / n_h ].

n_h counts every unit of the sample, also those outside a. An estimate with extra terms that reach outside its domain
(calibration, GREG), z_ia + r_i'k_a, has V_a + C_a'k_a + k_a'C_a + k_a'V(r) k_a: linear time again.
Whether a variance is zero is decided by the data (`same`: one respondent, equal answers, equal t), not by rounding,
which differs between processors: then z, or what is summed here, t less its mean over h, is zero exactly.

References
----------
Lumley, T. (2010). Complex Surveys, ch. 2. Sarndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted
Survey Sampling, chs. 4 and 5. Kish, L. (1992). Weighting for unequal P_i. J. Official Statistics 8.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.sparse import Floats, Ints
from buurtsae.survey.sampling import SampleDesign, Stage

BLOCK = 2_000_000  # numbers per block of domains, where extra terms make a dense row per domain


def group_sum(values: Floats, group: Ints, n_groups: int) -> Floats:
    """Sum the rows of an (n, ...) array per group, shape (n_groups, ...); rows of group -1 belong to none."""
    if len(group) and group.min() < 0:
        values, group = values[group >= 0], group[group >= 0]
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    sums = np.empty((n_groups, flat.shape[1]))
    for column in range(flat.shape[1]):
        sums[:, column] = np.bincount(group, flat[:, column], n_groups)
    return sums.reshape(n_groups, *values.shape[1:])


def same(values: Floats, group: Ints, n_groups: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return a value of each group, and whether all its values are that one; group -1 is none, and NaN no value.

    Rounding cannot tell: a mean of equal numbers need not be that number, and depends on the processor.

    Returns
    -------
    value : ndarray, shape (n_groups, D); NaN where there is none
    equal : ndarray of bool, shape (n_groups, D); true too where there is none
    """
    row, column = np.nonzero(np.isfinite(values) & (group >= 0)[:, None])
    value, equal = np.full((n_groups, values.shape[1]), np.nan), np.ones((n_groups, values.shape[1]), dtype=bool)
    place = group[row], column
    value[place] = values[row, column]
    differs = values[row, column] != value[place]
    equal[group[row[differs]], column[differs]] = False
    return value, equal


def hajek(y: Floats, w: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats, Floats]:
    """Return Hajek means, and per respondent the share w_id / W_ad and the residual.

    Parameters
    ----------
    y : ndarray, shape (n, D)
        Scores, NaN where missing.
    w, domain : ndarray, shape (n,)
        Weights, and the domain of each respondent: -1 outside every one.

    Returns
    -------
    mean : ndarray, shape (n_domains, D); NaN where nobody answered, and what all answered where that is one answer
    share, residual : ndarray, shape (n, D); zero where y is missing, and outside every domain
    """
    answered = np.isfinite(y) & (domain >= 0)[:, None]
    weight = answered * w[:, None]
    total = group_sum(weight, domain, n_domains)
    value = np.where(answered, y, 0.0)
    summed = group_sum(weight * value, domain, n_domains)
    mean = np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)
    one, equal = same(np.where(weight != 0, y, np.nan), domain, n_domains)
    mean = np.where(equal & (total > 0), one, mean)
    share = np.divide(weight, total[domain], out=np.zeros_like(weight), where=answered & (total[domain] > 0))
    return mean, share, np.where(answered & (weight > 0), value - mean[domain], 0.0)


def total(y: Floats, w: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats]:
    """Return weighted totals, shape (n_domains, D), and their linearised variable z, shape (n, D)."""
    z = np.where(np.isfinite(y) & (domain >= 0)[:, None], y, 0.0) * w[:, None]
    return group_sum(z, domain, n_domains), z


def ratio(y: Floats, x: Floats, w: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats]:
    """Return ratios of totals of y and x (n, D), and their linearised variable z.

    A pair counts where both are known. A domain without such a pair, or with a denominator of zero, is NaN; its z is 0.
    """
    both = np.isfinite(y) & np.isfinite(x) & (domain >= 0)[:, None]
    top, bottom = np.where(both, y, 0.0), np.where(both, x, 0.0)
    above, below = (group_sum(values * w[:, None], domain, n_domains) for values in (top, bottom))
    ratios = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    z = (top - np.nan_to_num(ratios)[domain] * bottom) * w[:, None]
    return ratios, np.divide(z, below[domain], out=np.zeros_like(z), where=both & (below[domain] != 0))


def covariance(
    z: Floats,
    domain: Ints,
    n_domains: int,
    design: SampleDesign,
    extra: Floats | sp.csr_array | None = None,
    coefficient: Floats | None = None,
) -> Floats:
    """Return the design covariance of estimates with linearised variables z, per domain, shape (n_domains, D, D).

    It is 0 for a domain with one respondent, as in R.

    Parameters
    ----------
    z : ndarray, shape (n, D)
        Of the respondent's own domain; zero where y is missing.
    domain : ndarray of int, shape (n,)
        -1 for respondents outside every domain: they count in n_h only.
    extra, coefficient : (n, P) array, sparse or dense, and ndarray, shape (n_domains, P, D), optional
        Terms extra[i] @ coefficient[a] that every respondent adds to the linearised variables of domain a.
    """
    summed = np.zeros((n_domains, z.shape[1], z.shape[1]))
    for stage in design.stages:
        part, factor = _stage_covariance(z, domain, n_domains, stage, design.lonely, extra is not None)
        if extra is not None and coefficient is not None:
            _add_extra(part, z, domain, stage, factor, sp.csr_array(extra), coefficient)
        summed += part
    return summed


def _stage_covariance(
    z: Floats, domain: Ints, n_domains: int, stage: Stage, lonely: str, everywhere: bool
) -> tuple[Floats, Floats]:
    """Covariance of one stage, and the scale per stratum with the policy for lonely units in it."""
    inside = np.flatnonzero(domain >= 0)
    a, unit, h, t = domain[inside], stage.unit[inside], stage.stratum[inside], z[inside]
    if len(stage.unit) != int(stage.size.sum()):  # clusters: sums over the respondents of a domain in a unit
        pair = a.astype(np.int64) * (int(stage.unit.max()) + 1) + unit
        key, first, index = np.unique(pair, return_index=True, return_inverse=True)
        a, h, t = a[first], h[first], group_sum(t, index, len(key))
    cell, index = np.unique(a.astype(np.int64) * len(stage.size) + h, return_inverse=True)
    cell_domain, cell_stratum = cell // len(stage.size), cell % len(stage.size)
    scale = stage.scale
    if lonely == "average" and stage.lonely.any() and everywhere:  # every stratum counts in every domain
        rest = int((~stage.lonely & (stage.size > 0)).sum())
        scale = scale * (np.where(stage.lonely, 0.0, (stage.size > 0).sum() / rest) if rest else 1.0)
    weight = scale[cell_stratum]
    if lonely == "average" and stage.lonely.any() and not everywhere:
        single = stage.lonely[cell_stratum]
        all_, rest_ = (np.bincount(cell_domain, v, n_domains)[cell_domain] for v in (np.ones(len(cell)), ~single))
        weight = weight * np.where(rest_ == 0, 1.0, np.where(single, 0.0, all_ / np.maximum(rest_, 1)))
    # about the mean of t over the stratum, whose units outside the domain have t = 0
    size, count = stage.size[cell_stratum], np.bincount(index, minlength=len(cell))
    one, equal = same(t, index, len(cell))
    whole = equal & ((count == size) & (stage.within[cell_stratum] > 0))[:, None]
    mean = np.where(whole, one, stage.within[cell_stratum][:, None] * group_sum(t, index, len(cell)))
    t, outside = t - mean[index], size - count
    summed = np.empty((n_domains, z.shape[1], z.shape[1]))
    for d in range(z.shape[1]):
        for e in range(d + 1):
            square = np.bincount(index, t[:, d] * t[:, e], len(cell)) + outside * mean[:, d] * mean[:, e]
            part = weight * square
            summed[:, d, e] = summed[:, e, d] = np.bincount(cell_domain, part, n_domains)
    return summed, scale


def _add_extra(
    out: Floats, z: Floats, domain: Ints, stage: Stage, scale: Floats, extra: sp.csr_array, coefficient: Floats
) -> None:
    """Add C'k + k'C + k'V(r)k to the covariance of one stage, in place; see the module's formula."""
    n, n_units, n_strata = len(domain), int(stage.unit.max()) + 1, len(scale)
    rows = np.arange(n)
    units = sp.csr_array((np.ones(n), (stage.unit, rows)), shape=(n_units, n))
    strata = sp.csr_array((np.ones(n), (stage.stratum, rows)), shape=(n_strata, n))
    of_unit = np.zeros(n_units)
    of_unit[stage.unit] = scale[stage.stratum]
    r_unit, r_stratum = sp.csr_array(units @ extra), sp.csr_array(strata @ extra)
    left_unit, left_stratum = sp.diags_array(of_unit) @ r_unit, sp.diags_array(scale * stage.within) @ r_stratum
    v = (r_unit.T @ left_unit - r_stratum.T @ left_stratum).toarray()  # V(r), shape (P, P)
    inside = domain >= 0
    cross = []
    for d in range(z.shape[1]):
        sums = sp.csr_array((z[inside, d], (domain[inside], rows[inside])), shape=(len(out), n))
        cross.append(sp.csr_array(sums @ units.T @ left_unit - sums @ strata.T @ left_stratum))
    step = max(1, BLOCK // (v.shape[0] * z.shape[1]))
    for start in range(0, len(out), step):
        block = slice(start, start + step)
        k = coefficient[block]
        c = np.stack([part[block].toarray() for part in cross], axis=2)
        one = np.swapaxes(c, 1, 2) @ k
        flat = v @ k.transpose(1, 0, 2).reshape(len(v), -1)  # one product, not one per domain
        vk = flat.reshape(len(v), len(k), -1)
        out[block] += one + np.swapaxes(one, 1, 2) + np.swapaxes(k, 1, 2) @ vk.transpose(1, 0, 2)


def kish(w: Floats, answered: NDArray[np.bool_], domain: Ints, n_domains: int) -> Floats:
    """Return Kish's design effect of weighting n sum w^2 / (sum w)^2, shape (n_domains, D); NaN without answers."""
    weight = answered * w[:, None]
    n, first, second = (group_sum(values, domain, n_domains) for values in (answered.astype(float), weight, weight**2))
    return np.divide(n * second, first**2, out=np.full(n.shape, np.nan), where=first > 0)


def srs_variance(y: Floats, w: Floats, domain: Ints, n_domains: int, replacement: bool = False) -> Floats:
    """Return the variance of the mean under simple random sampling of as many, the denominator of a design effect.

    n / (n - 1) sum_i p_i (y_i - m)^2 (1 - n / W) / n with p the weight shares; with replacement, the term 1 - n / W
    (sampling fraction, weights summing to the population) is left out. As R's `deff = TRUE` and `deff = "replace"`.
    Shape (n_domains, D); NaN with one answer, or where weights do not sum to more than the answers.
    """
    share, residual = hajek(y, w, domain, n_domains)[1:]
    answered = np.isfinite(y) & (domain >= 0)[:, None]
    n, weight = (group_sum(values, domain, n_domains) for values in (answered.astype(float), answered * w[:, None]))
    rest = np.ones_like(n) if replacement else 1 - np.divide(n, weight, out=np.ones_like(n), where=weight > 0)
    spread = group_sum(share * residual**2, domain, n_domains) * rest
    return np.divide(spread, n - 1, out=np.full(n.shape, np.nan), where=(n > 1) & (rest > 0))
