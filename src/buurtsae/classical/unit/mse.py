r"""Mean squared errors of EBLUPs of the nested error model: analytic, and by parametric bootstrap.

With gamma_i = s2v / (s2v + s2e / n_i), A = X'V^{-1}X and V_s the asymptotic covariance of the variances,

    g1 = gamma_i s2e / n_i,   g2 = (Xbar_i - gamma_i xbar_i)' A^{-1} (...),
    g3 = n_i^{-2} (s2v + s2e / n_i)^{-3} (s2e^2 V_vv + s2v^2 V_ee - 2 s2e s2v V_ve),   mse = g1 + g2 + 2 g3 (REML),

and minus the bias of the ML variances times the slopes of g1 (ML). A mean of a finite population of N_i, f = n_i / N_i
of it seen, has (1 - f)^2 (g1 + g2 + 2 g3) + (1 - f) s2e / N_i, Xbar_i in g2 that of the units not seen.

References
----------
Prasad, N.G.N. and Rao, J.N.K. (1990). JASA 85. Datta, G.S. and Lahiri, P. (2000). Statistica Sinica 10.
Gonzalez-Manteiga, W. et al. (2008). J. Statistical Computation and Simulation 78. Rao and Molina (2015), 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from buurtsae.classical.core import MseTerms, Prediction, Shaped, bootstrap
from buurtsae.classical.unit.likelihood import Gls, Response, Sample, degrees_of, gls, maximise
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class Targets(Shaped):
    """Areas of which means are asked, sampled or not.

    Attributes
    ----------
    sample : ndarray of int, shape (t,)
        Which sampled area it is; -1 for none.
    zbar : ndarray, shape (t, p)
        Population means in orthonormal covariates.
    fraction : ndarray, shape (t,)
        f = n / N: 0 for unsampled areas, and for infinite populations.
    size : ndarray, shape (t,)
        N; infinite for infinite populations.
    """

    sample: np.ndarray
    zbar: Floats
    fraction: Floats
    size: Floats

    def seen(self, values: Floats, default: float = 0.0) -> Floats:
        """Return values of sampled areas (m, ...) at the targets, a default where unsampled."""
        here = self.sample >= 0
        at_targets = np.full((len(self.sample), *values.shape[1:]), default)
        at_targets[here] = values[self.sample[here]]
        return at_targets

    def unseen_zbar(self, sample: Sample) -> Floats:
        """Means of the covariates of units that are not in the sample, shape (t, p); those of all where f = 1."""
        f = self.fraction[:, None]
        rest = self.zbar - f * self.seen(sample.zbar)
        return np.divide(rest, 1 - f, out=self.zbar.copy(), where=f < 1)


@dataclass(frozen=True, repr=False)
class Means(Shaped):
    """EBLUPs at given variances, shapes (t,).

    Attributes
    ----------
    mean, effect, gamma, synthetic : ndarray
    """

    mean: Floats
    effect: Floats
    gamma: Floats
    synthetic: Floats


def predict(sample: Sample, y: Response, at: Gls, targets: Targets) -> Means:
    """Return f ybar + (1 - f) (Xbar_unseen'b + v): Xbar'b + v where f = 0."""
    share = at.ratio * sample.n / (1 + at.ratio * sample.n)
    effect = targets.seen(share * (y.mean - sample.zbar @ at.delta))
    b, f = y.centre + at.delta, targets.fraction
    seen = targets.seen(y.mean + sample.zbar @ y.centre)
    mean = f * seen + (1 - f) * (targets.unseen_zbar(sample) @ b + effect)
    return Means(mean, effect, targets.seen(share), targets.zbar @ b)


@dataclass(frozen=True, repr=False)
class Variances(Shaped):
    """The variance components, and what is known of them.

    Attributes
    ----------
    area, unit : float
        s2v and s2e.
    covariance : ndarray, shape (2, 2)
        Inverse Fisher information of (s2v, s2e).
    bias : ndarray, shape (2,)
        To first order; 0 for REML.
    """

    area: float
    unit: float
    covariance: Floats
    bias: Floats


def variances(sample: Sample, at: Gls, degrees: float, restricted: bool) -> Variances:
    """Return the variance components at a GLS fit, s2e = S / degrees."""
    unit = at.squares / degrees
    area = at.ratio * unit
    n, k = sample.sizes, sample.counts
    alpha = unit + n * area
    vv, ve = k @ (n**2 / alpha**2), k @ (n / alpha**2)
    ee = k @ ((n - 1) / unit**2 + 1 / alpha**2)
    covariance = 2 * np.linalg.inv(np.array([[vv, ve], [ve, ee]]))
    bias = np.zeros(2)
    if not restricted:  # d(X'V^{-1}X) to s2v: -sum n^2 / alpha^2 zbar zbar'; to s2e: the rest of -A / s2e
        inverse = la.inv(at.information)
        to_area = -np.tensordot(n**2 / alpha**2, sample.between, 1) * unit
        to_unit = -sample.within / unit - np.tensordot(n / alpha**2, sample.between, 1) * unit
        bias = covariance @ np.array([np.trace(inverse @ to_area), np.trace(inverse @ to_unit)]) / 2
    return Variances(area, unit, covariance, bias)


@dataclass(frozen=True, repr=False)
class UnitTerms(MseTerms):
    """Terms of the MSE of means, shapes (t,): g1, g2, g3 and the correction are of the mean of the units not seen.

    Attributes
    ----------
    fraction, noise : ndarray
        f, and (1 - f) s2e / N.
    """

    fraction: Floats
    noise: Floats

    @property
    def mse(self) -> Floats:
        """The estimated mean squared error of the mean."""
        return (1 - self.fraction) ** 2 * super().mse + self.noise

    @property
    def known_variances(self) -> Floats:
        """The part that remains if the variances are known: without g3."""
        return (1 - self.fraction) ** 2 * (self.g1 + self.g2) + self.noise


def terms(sample: Sample, at: Gls, v: Variances, targets: Targets) -> UnitTerms:
    """Return the terms of the analytic MSE; unsampled areas have gamma = 0."""
    share = at.ratio * sample.n / (1 + at.ratio * sample.n)
    gamma = targets.seen(share)
    lean = targets.unseen_zbar(sample) - gamma[:, None] * targets.seen(sample.zbar)
    g2 = v.unit * (lean * la.solve(at.information, lean.T, assume_a="pos").T).sum(axis=1)
    total = v.unit + v.area * sample.n  # (s2v + s2e / n) n
    (vv, ve), (_, ee) = v.covariance
    g3 = targets.seen(sample.n / total**3) * (v.unit**2 * vv + v.area**2 * ee - 2 * v.unit * v.area * ve)
    to_unit = targets.seen(share**2 / sample.n)
    correction = -((1 - gamma) ** 2 * v.bias[0] + to_unit * v.bias[1])
    noise = (1 - targets.fraction) * v.unit / targets.size
    return UnitTerms((1 - gamma) * v.area, g2, g3, correction, targets.fraction, noise)


def bootstrap_mse(
    sample: Sample,
    y: Response,
    at: Gls,
    v: Variances,
    targets: Targets,
    restricted: bool,
    replications: int,
    seed: int | None,
) -> dict[str, Floats]:
    """Return mean squared errors of EBLUPs of made data, the variances estimated anew each time; see `core.bootstrap`.

    Made are the sufficient statistics: area effects, means of the errors per area, and the sums within areas, a normal
    vector with covariance s2e W_zz and a chi-square with n - m - rank(W_zz) degrees of freedom.
    """
    values, axes = np.linalg.eigh(sample.within)
    positive = values > 1e-10
    spread = axes[:, positive] * np.sqrt(values[positive])
    degrees = int(sample.n.sum()) - len(sample.n) - int(positive.sum())
    hidden = np.zeros(len(targets.size))  # variance of the mean error of the units not seen
    np.divide(v.unit, targets.size * (1 - targets.fraction), out=hidden, where=targets.fraction < 1)
    unseen, f, b = targets.unseen_zbar(sample), targets.fraction, y.centre + at.delta
    inside = targets.sample >= 0

    def draw(rng: np.random.Generator) -> tuple[Floats, Response]:
        effect = rng.normal(0, np.sqrt(v.area), len(sample.n))
        error = rng.normal(0, 1, len(sample.n)) * np.sqrt(v.unit / sample.n)
        normal = rng.normal(0, np.sqrt(v.unit), spread.shape[1])
        rest = v.unit * rng.chisquare(degrees) if degrees > 0 else 0.0
        made = Response.from_means(sample, b, effect + error, spread @ normal, float(normal @ normal + rest))
        effects = np.where(inside, targets.seen(effect), rng.normal(0, np.sqrt(v.area), len(inside)))
        truth = f * targets.seen(sample.zbar @ b + effect + error)
        truth += (1 - f) * (unseen @ b + effects + rng.normal(0, 1, len(inside)) * np.sqrt(hidden))
        return truth, made

    def predicted(made: Response, ratio: float, converged: bool = True) -> Prediction:
        fit = gls(sample, made, ratio)
        components = variances(sample, fit, degrees_of(sample, restricted), restricted)
        leading = terms(sample, fit, components, targets).known_variances
        return Prediction(predict(sample, made, fit, targets).mean, leading, converged)

    def refit(made: Response) -> Prediction:
        maximum = maximise(sample, made, restricted)
        return predicted(made, maximum.ratio, maximum.converged)

    leading = terms(sample, at, v, targets).known_variances
    return bootstrap(draw, refit, lambda made: predicted(made, at.ratio), leading, replications, seed)
