r"""Variances from replicate weights, given with the data or made from the design.

With theta the estimate under the weights w and theta_r under the r-th replicate weights,

    V = scale sum_r c_r (theta_r - m)(theta_r - m)',   m = theta (mse) or the mean of the theta_r with c_r > 0,

summed one replicate at a time: time linear in respondents x replicates, memory that of one replicate. A replicate in
which a domain has nobody left is dropped for that domain, as R does.

References
----------
Wolter, K. (2007). Introduction to Variance Estimation, chs. 3 to 5. Rao, J. N. K. and Wu, C. F. J. (1988).
Resampling inference with complex survey data. JASA 83. Judkins, D. (1990). Fay's method. J. Official Statistics 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Interval
from scipy.linalg import hadamard

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.sampling import SampleDesign, Stage
from buurtsae.survey.variance import hajek

Kind = Literal["bootstrap", "JK1", "JKn", "BRR", "Fay", "other"]
NONE = 1e-12  # points: weights that change in proportion do not change a mean, but for rounding
MOST = 2**28  # numbers in a table of replicate weights: 2 GiB
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class ReplicatePlan:
    """Which columns of the file are replicate weights, and of what kind.

    Attributes
    ----------
    columns : str or tuple of str
        Names, or the first letters that they share.
    kind : {"bootstrap", "JK1", "JKn", "BRR", "Fay", "other"}
    scale, rscales : float, tuple of float, optional
        By default those of the kind, as R's `svrepdesign`: 1 / (R - 1) for the bootstrap, (R - 1) / R for JK1, 1 / R
        for BRR, 1 / (R (1 - fay)^2) for Fay. JKn needs `rscales`: (n_h - 1) / n_h of the replicate's stratum; `other`
        needs `scale`.
    fay : float
        Fay's factor, 0 <= fay < 1.
    mse : bool
        Deviations from the estimate instead of from the replicates' mean.
    combined : bool
        The columns are weights; otherwise factors on the weights.

    Examples
    --------
    >>> scale, each = ReplicatePlan("bootstrap_", "bootstrap").scales(201)
    >>> scale
    0.005
    """

    columns: str | tuple[str, ...] = field(repr=False)
    kind: Kind
    scale: Annotated[float, Interval(ge=1e-6, le=1e6)] | None = None
    rscales: tuple[Annotated[float, Interval(ge=0, le=1e6)], ...] | None = field(default=None, repr=False)
    fay: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    mse: bool = False
    combined: bool = True

    def scales(self, n: int) -> tuple[float, Floats]:
        """Return the scale, and the scales c_r of `n` replicates.

        Raises
        ------
        DataError
            If they are not known, or do not fit the number of replicates.
        """
        if self.kind not in get_args(Kind):
            what = "the kind of replicate weights is unknown"
            raise DataError(what, repr(self.kind), ", ".join(get_args(Kind)), "choose one")
        if (self.kind == "JKn" and self.rscales is None) or (self.kind == "other" and self.scale is None):
            what = "rscales" if self.kind == "JKn" else "scale"
            hint = "see their documentation"
            raise DataError(f"replicate weights of kind {self.kind} need {what}", "none", what, hint)
        if n < 2 or (self.rscales is not None and len(self.rscales) != n):
            number = f"{n} columns, {len(self.rscales)} rscales" if self.rscales is not None else f"{n} columns"
            raise DataError("replicate weights do not fit", number, "two or more, one rscale each", "correct `columns`")
        if not 0 <= self.fay < 1:
            raise DataError("Fay's factor is out of range", str(self.fay), "at least 0, below 1", "correct it")
        default = {"bootstrap": 1 / (n - 1), "JK1": (n - 1) / n, "BRR": 1 / n, "Fay": 1 / (n * (1 - self.fay) ** 2)}
        scale = default.get(self.kind, 1.0) if self.scale is None else self.scale
        return scale, np.ones(n) if self.rscales is None else np.array(self.rscales, dtype=float)


@dataclass(frozen=True)
class Replicates:
    """Replicate weights, shape (n, R), and how to put their estimates together: scale, c_r (R,) and mse."""

    weights: Floats
    scale: float
    rscales: Floats
    mse: bool = False

    def covariance(self, estimate: Statistic, w: Floats) -> tuple[Floats, Floats]:
        """Return the estimates under `w`, shape (A, D), and their covariance per row, shape (A, D, D).

        `estimate` takes weights (n,) to estimates (A, D), NaN where there is none.
        """
        theta = estimate(w)
        known = np.isfinite(theta)
        n, weight = np.zeros(len(theta)), np.zeros(len(theta))
        first, scaled = np.zeros_like(theta), np.zeros_like(theta)
        outer = np.zeros((*theta.shape, theta.shape[1]))
        for r, c in enumerate(self.rscales):
            with np.errstate(invalid="ignore"):
                change = estimate(self.weights[:, r]) - theta
            valid = (np.isfinite(change) | ~known).all(axis=1) & (c > 0)
            change = np.where(known & valid[:, None] & (np.abs(change) > NONE), change, 0.0)
            n, weight = n + valid, weight + c * valid
            first, scaled = first + change, scaled + c * change
            outer += c * change[:, :, None] * change[:, None, :]
        if not self.mse:
            m = first / np.maximum(n, 1)[:, None]
            cross = m[:, :, None] * scaled[:, None, :]
            outer += weight[:, None, None] * m[:, :, None] * m[:, None, :] - cross - np.swapaxes(cross, 1, 2)
        return theta, self.scale * outer

    def hajek(self, y: Floats, w: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats]:
        """Return Hajek means per domain and their covariances, shapes (n_domains, D) and (n_domains, D, D)."""
        return self.covariance(lambda weight: hajek(y, weight, domain, n_domains)[0], w)


def jackknife(w: Floats, design: SampleDesign) -> Replicates:
    """Return delete-one-unit weights: JK1 with one stratum, else JKn; the population correction is in the scales.

    A stratum taken with certainty has no replicates, and neither has a lonely unit under the policy `certainty`. Raises
    DataError if a stratum has one unit and the policy is another, or the table would be too large.
    """
    stage, unit, of = _units(design)
    kept = (stage.fraction < 1 - 1e-7) & (stage.size > 0)
    if (stage.lonely & kept).any():
        if design.lonely != "certainty":
            raise _refused("the jackknife needs two units per stratum", int(stage.lonely.sum()), "one unit")
        kept &= ~stage.lonely
    dropped = np.flatnonzero(kept[of])
    _fits(len(w), len(dropped))
    n_h = stage.size[of[dropped]]
    factor = np.where(stage.stratum[:, None] == of[dropped][None, :], n_h / (n_h - 1), 1.0)
    factor[unit[:, None] == dropped[None, :]] = 0.0
    return Replicates(w[:, None] * factor, 1.0, (1 - stage.fraction[of[dropped]]) * (n_h - 1) / n_h)


def bootstrap(w: Floats, design: SampleDesign, replicates: int = 500, seed: int = 1) -> Replicates:
    """Return Rao and Wu's bootstrap weights: n_h - 1 units drawn with replacement from the n_h of each stratum.

    Raises DataError if a stratum has one unit, population sizes are given (draws are with replacement), or it would be
    too large.
    """
    stage, unit, of = _units(design)
    if (stage.size == 1).any():
        raise _refused("the bootstrap needs two units per stratum", int((stage.size == 1).sum()), "one unit")
    if (stage.fraction > 0).any():
        raise _refused("the bootstrap knows no finite population", int((stage.fraction > 0).sum()), "population sizes")
    _fits(len(w), replicates)
    rng, factor = np.random.default_rng(seed), np.empty((len(of), replicates))
    for h in np.flatnonzero(stage.size):
        members, size = np.flatnonzero(of == h), int(stage.size[h])
        factor[members] = rng.multinomial(size - 1, np.full(size, 1 / size), size=replicates).T * size / (size - 1)
    return Replicates(w[:, None] * factor[unit], 1 / (replicates - 1), np.ones(replicates))


def brr(w: Floats, design: SampleDesign, fay: float = 0.0) -> Replicates:
    """Return balanced half-samples by Sylvester's Hadamard matrix, or Fay's variant with factors 2 - fay and fay.

    Raises DataError if a stratum has not exactly two units, or population sizes are given.
    """
    stage, unit, of = _units(design)
    if wrong := int(((stage.size != 2) & (stage.size > 0)).sum()):
        raise _refused("balanced half-samples need two units per stratum", wrong, "another number")
    if (stage.fraction > 0).any():
        raise _refused("half-samples know no finite population", int((stage.fraction > 0).sum()), "population sizes")
    n = 1 << len(stage.size).bit_length()  # the smallest power of two above the number of strata
    _fits(len(w), n)
    second = np.zeros(len(of), dtype=bool)
    second[np.unique(of, return_index=True)[1]] = True
    sign = hadamard(n)[1 + of] * np.where(second, 1, -1)[:, None]  # the first column of ones would not be balanced
    factor = 1 + (1 - fay) * sign
    return Replicates(w[:, None] * factor[unit], 1 / (n * (1 - fay) ** 2), np.ones(n))


def _units(design: SampleDesign) -> tuple[Stage, Ints, Ints]:
    """First stage, the unit of each respondent (0, 1, ...), and the stratum of each unit."""
    stage = design.stages[0]
    first = np.unique(stage.unit, return_index=True)[1]
    return stage, stage.unit, stage.stratum[first]


def _fits(n: int, replicates: int) -> None:
    if n * replicates > MOST:
        what = "the table of replicate weights is too large"
        hint = "use the linearised variance, or fewer bootstrap replicates"
        raise DataError(what, f"{n} respondents x {replicates} replicates", f"{MOST} numbers at most", hint)


def _refused(what: str, strata: int, got: str) -> DataError:
    return DataError(what, f"{strata} strata with {got}", "another design", "use the linearised variance")
