r"""Direct, synthetic and composite estimates of means of areas, from weights and population counts.

    direct       sum w y / N, or ybar under simple random sampling;
    synthetic    sum_k N_ak Ybar_k / N_a, Ybar_k = sum w y / sum w of post-stratum k over all areas;
    composite    gamma_a direct + (1 - gamma_a) synthetic.

Sample size dependent: gamma_a = min(1, Nhat_a / (delta N_a)), Nhat_a = sum of w. Optimal: gamma_a = B / (B + v_a), v_a
the variance of the direct estimate and B the mean squared error of the synthetic one, averaged over areas,
B = mean((synthetic - direct)^2 - v), 0 if negative; a common weight takes the mean of v instead (Purcell and Kish).

References
----------
Drew, J., Singh, M.P. and Choudhry, G.H. (1982). Proc. ASA Survey Research. Purcell, N.J. and Kish, L. (1979).
Biometrics 35. Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, chapters 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from buurtsae.classical.core import Shaped
from buurtsae.errors import DataError, Problems, shown
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import group_sum


@dataclass(frozen=True, repr=False)
class Direct(Shaped):
    """Direct estimates per area, NaN where there is no unit; a variance of one unit is NaN where it needs two.

    Attributes
    ----------
    n : ndarray of int, shape (t,)
    mean, variance : ndarray, shape (t,)
    """

    n: Ints
    mean: Floats
    variance: Floats


def direct(y: Floats, area: Ints, sizes: Floats, weight: Floats | None = None, replacement: bool = False) -> Direct:
    """Return direct estimates of means: Horvitz-Thompson with weights, sample means without.

    Parameters
    ----------
    y : ndarray, shape (n,)
    area : ndarray of int, shape (n,)
        Of each unit; -1 for units outside every area.
    sizes : ndarray, shape (t,)
        Population sizes N.
    weight : ndarray, shape (n,), optional
        Inverse probabilities of inclusion. The variance then takes joint probabilities as products, sum w (w - 1) y^2 /
        N^2; with replacement it is that of the mean of n_a independent estimates n_a w y / N.
    replacement : bool
        Units were drawn with replacement: no finite population correction.

    Raises
    ------
    DataError or ProblemsError
        If answers are missing, weights below 1 without replacement, or populations smaller than samples.

    Examples
    --------
    >>> direct(np.array([1.0, 3.0, 4.0, 8.0]), np.array([0, 0, 1, 1]), np.array([10.0, 8.0])).mean
    array([2., 6.])
    """
    t = len(sizes)
    n = np.bincount(area[area >= 0], minlength=t)
    problems = Problems()
    if (lost := int((~np.isfinite(y)).sum())) > 0:
        problems.add(f"y is missing in {lost} units", f"{lost} of {len(y)}", "answers of all", "leave these units out")
    if weight is not None:
        low = ~(weight >= (0 if replacement else 1))
        least = "0 or more" if replacement else "1 or more: inverse probabilities"
        if low.any():
            problems.add(f"{int(low.sum())} weights are impossible", shown(weight[low]), least, "correct the weights")
    if (wrong := ~(sizes >= np.maximum(n, 1))).any():
        got = shown(f"{i}: {sizes[i]:g} < {n[i]}" for i in np.flatnonzero(wrong))
        problems.add("the population is smaller than the sample", got, "N of at least n", "correct the sizes")
    problems.raise_if_any()
    there, count = n > 0, np.maximum(n, 1)
    if weight is None:
        mean = group_sum(y, area, t) / count
        squares = group_sum((y - mean[area]) ** 2, area, t)
        spread = np.divide(squares, (n - 1) * count, out=np.full(t, np.nan), where=n > 1)
        variance = spread if replacement else spread * (1 - n / sizes)
    else:
        mean = group_sum(weight * y, area, t) / sizes
        if replacement:
            squares = group_sum((n[area] * weight * y / sizes[area] - mean[area]) ** 2, area, t)
            variance = np.divide(squares, (n - 1) * count, out=np.full(t, np.nan), where=n > 1)
        else:
            variance = group_sum(weight * (weight - 1) * y**2, area, t) / sizes**2
    return Direct(n, np.where(there, mean, np.nan), np.where(there, variance, np.nan))


def post_stratified_synthetic(y: Floats, stratum: Ints, counts: Floats, weight: Floats | None = None) -> Floats:
    """Return synthetic estimates: means of post-strata over all areas, weighted by an area's population in them.

    Parameters
    ----------
    y : ndarray, shape (n,)
    stratum : ndarray of int, shape (n,)
        Post-stratum of each unit, 0 to K - 1.
    counts : ndarray, shape (t, K)
        Population of each area in each post-stratum.
    weight : ndarray, shape (n,), optional

    Returns
    -------
    ndarray, shape (t,); NaN where nobody lives

    Raises
    ------
    DataError
        If a post-stratum with population has no units.

    Examples
    --------
    >>> counts = np.array([[3.0, 1.0], [0.0, 2.0]])  # two areas, two post-strata
    >>> post_stratified_synthetic(np.array([1.0, 3.0, 4.0, 8.0]), np.array([0, 0, 1, 1]), counts)
    array([3., 6.])
    """
    w = np.ones(len(y)) if weight is None else weight
    total = group_sum(w, stratum, counts.shape[1])
    if (empty := (total <= 0) & (counts.sum(axis=0) > 0)).any():
        raise DataError(
            "post-strata with population have no units",
            shown(np.flatnonzero(empty)),
            "units in every post-stratum",
            "merge these with others",
        )
    means = np.divide(group_sum(w * y, stratum, len(total)), total, out=np.zeros(len(total)), where=total > 0)
    people = counts.sum(axis=1)
    return np.divide(counts @ means, people, out=np.full(len(people), np.nan), where=people > 0)


@dataclass(frozen=True, repr=False)
class Composite(Shaped):
    """Composite estimates per area.

    Attributes
    ----------
    mean, gamma : ndarray, shape (t,)
        Gamma is the weight of the direct estimate: 0 where there is none.
    mse : ndarray, shape (t,)
        gamma^2 v + (1 - gamma)^2 B; NaN where not estimated.
    """

    mean: Floats
    gamma: Floats
    mse: Floats


def sample_size_dependent(
    mean: Floats, synthetic: Floats, estimated_sizes: Floats, sizes: Floats, delta: float = 1.0
) -> Composite:
    """Return composites in which an area with enough sample keeps its direct estimate.

    Parameters
    ----------
    mean, synthetic : ndarray, shape (t,)
        Direct (NaN where there is none) and synthetic estimates.
    estimated_sizes, sizes : ndarray, shape (t,)
        Sums of weights, and population sizes.
    delta : float
        Above 0; a lower one trusts the direct estimate sooner.

    Raises
    ------
    DataError
        If delta or a size is not positive.

    Examples
    --------
    >>> direct, synthetic = np.array([2.0, 6.0]), np.array([3.0, 3.0])
    >>> sample_size_dependent(direct, synthetic, np.array([12.0, 4.0]), np.array([10.0, 8.0])).mean
    array([2. , 4.5])
    """
    if not (delta > 0 and (sizes > 0).all()):
        got = f"delta {delta:g}, smallest size {sizes.min():g}"
        raise DataError("the weights of a composite are impossible", got, "both above 0", "correct them")
    gamma = np.where(np.isfinite(mean), np.minimum(1.0, estimated_sizes / (delta * sizes)), 0.0)
    return Composite(_mix(gamma, mean, synthetic), gamma, np.full(len(gamma), np.nan))


def optimal(mean: Floats, synthetic: Floats, variance: Floats, common: bool = False) -> Composite:
    """Return composites of least mean squared error, given the average error of the synthetic estimates.

    Parameters
    ----------
    mean, synthetic, variance : ndarray, shape (t,)
        Direct (NaN where there is none) and synthetic estimates, and variances of the direct ones.
    common : bool
        One weight for all areas, 1 - sum v / sum (synthetic - direct)^2, rather than one each.

    Raises
    ------
    DataError
        If no area has both estimates, or a variance is negative.

    Examples
    --------
    >>> optimal(np.array([2.0, 6.0]), np.array([3.0, 3.0]), np.array([1.0, 1.0])).gamma
    array([0.8, 0.8])
    """
    there = np.isfinite(mean) & np.isfinite(variance) & np.isfinite(synthetic)
    if not there.any() or (variance[there] < 0).any():
        got = "no area with both estimates" if not there.any() else "negative variances"
        raise DataError("the weights of a composite cannot be estimated", got, "direct estimates", "correct the input")
    v = variance[there]
    error = max(float(np.mean((synthetic[there] - mean[there]) ** 2 - v)), 0.0)
    gamma = np.zeros(len(mean))
    against = np.full(len(v), v.mean()) if common else v
    gamma[there] = np.divide(error, error + against, out=np.ones(len(v)), where=error + against > 0)
    mse = gamma**2 * np.where(there, variance, 0.0) + (1 - gamma) ** 2 * error
    return Composite(_mix(gamma, mean, synthetic), gamma, mse)


def _mix(gamma: Floats, mean: Floats, synthetic: Floats) -> Floats:
    """Weighted means in which an estimate of weight 0 may be missing."""
    observed = np.where(gamma > 0, gamma * np.where(gamma > 0, mean, 0.0), 0.0)
    return observed + np.where(gamma < 1, (1 - gamma) * np.where(gamma < 1, synthetic, 0.0), 0.0)
