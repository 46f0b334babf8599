r"""Mean squared error of the EBLUP under a simultaneous autoregression, for areas with and without a sample.

In the notation of `sar`, mse = g1 + g2 + 2 g3 - g4, after ML also - b' (dg1 / d theta), with

    g1 = diag A^{-1},  g2 = diag (X - F) S (X - F)',  g3 = sum_ab I^{ab} diag A^{-1} B_a Gamma B_b A^{-1},
    g4 = sum_ab I^{ab} diag A^{-1} Q G_ab Q A^{-1} / 2,  dg1 / d theta_a = diag A^{-1} B_a A^{-1},

I^{-1} the inverse of the expected information tr(K B_a K B_b) / 2, K = Gamma - F S F' (of REML, and for ML too, as R's
sae has it: both are right to this order), G_ab second derivatives and b_a = - sum_b I^{ab} tr(S F' B_b F) / 2.
Diagonals and traces of products come from columns of the unit matrix: exact, in time that grows as m^2. Above `EXACT`
areas they come from random signs z, E z (M z)' = M: what is estimated so is of order 1/m of g1, and its error a few
percent of that.

References
----------
Singh, B.B., Shukla, G.K. and Kundu, D. (2005). Spatio-temporal models in small area estimation. Survey Methodology 31.
Molina, I., Salvati, N. and Pratesi, M. (2009). Computational Statistics 24. Hutchinson, M.F. (1990). Comm. Stat. B 19.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from buurtsae.classical.core import MseTerms, quadratic
from buurtsae.classical.spatial.sar import Sar
from buurtsae.sparse import Floats, one_thread

EXACT = 2000  # areas
PROBES = 256
BLOCK = 128  # right-hand sides at once
PAIRS = ((0, 0), (0, 1), (1, 1))


@dataclass(frozen=True, repr=False)
class SpatialTerms(MseTerms):
    """What the MSE is made of, per area; its correction is - g4, after ML also - b' (dg1 / d theta).

    Attributes
    ----------
    information : ndarray, shape (2, 2)
        Expected, of sigma2 and rho.
    """

    information: Floats


@one_thread()
def terms(sar: Sar, restricted: bool, exact: int = EXACT) -> SpatialTerms:
    """Return the terms of the MSE at the estimates; exact up to so many areas."""
    m = len(sar.y)
    b = [sar.near.matrix(entries) for entries in sar.b]
    square = sar.near.matrix(sar.near.square) / sar.sigma2
    spread, second, slope = np.zeros((3, m)), np.zeros((3, m)), np.zeros((2, m))
    traces = np.zeros(3)

    def k(z: Floats) -> Floats:
        return sar.gamma(z) - sar.f @ (sar.cov_beta @ (sar.f.T @ z))

    for z, weight in probes(m, exact):
        a = sar.of_a.solve(z)
        ba = [part @ a for part in b]
        inner = [sar.of_a.solve(part) for part in ba]  # A^{-1} B A^{-1} z
        outer = [sar.sigma2 * sar.of_c.solve(part) for part in ba]  # G B A^{-1} z
        kz, kbz = k(z), [k(part @ z) for part in b]
        for n, (i, j) in enumerate(PAIRS):
            spread[n] += weight * np.sum(z * sar.of_a.solve(b[i] @ (outer[j] - inner[j])), axis=1)
            traces[n] += weight * np.sum((b[i] @ kz) * kbz[j])
        for i in (0, 1):
            slope[i] += weight * np.sum(z * inner[i], axis=1)
        twice = b[1] @ outer[1] - square @ a
        second[2] += weight * np.sum(z * sar.of_a.solve(twice), axis=1) * 2
    second[1] = slope[1] / sar.sigma2
    information = 0.5 * np.array([[traces[0], traces[1]], [traces[1], traces[2]]])
    inverse = np.linalg.inv(information)
    each = np.array([inverse[0, 0], 2 * inverse[0, 1], inverse[1, 1]])
    rest = sar.x - sar.f
    lost = np.array([np.sum(sar.cov_beta * (sar.f.T @ (part @ sar.f))) for part in b])
    bias = np.zeros(2) if restricted else -0.5 * inverse @ lost
    return SpatialTerms(
        g1=sar.inverse_a[-m:],
        g2=quadratic(rest, sar.cov_beta),
        g3=each @ spread,
        correction=-0.5 * each @ second - bias @ slope,
        information=information,
    )


def without_effects(sar: Sar) -> SpatialTerms:
    """Return the terms where sigma2 is zero: rho is not identified, and only beta is uncertain."""
    none = np.zeros(len(sar.y))
    return SpatialTerms(none, quadratic(sar.x, sar.cov_beta), none, none, np.zeros((2, 2)))


def probes(m: int, exact: int) -> Iterator[tuple[Floats, float]]:
    """Yield right-hand sides (m, k) and the weight of their products."""
    if m <= exact:
        for start in range(0, m, BLOCK):
            yield np.eye(m, min(BLOCK, m - start), -start), 1.0
    else:
        rng = np.random.default_rng(0)  # the same figures in every fit
        for _ in range(PROBES // BLOCK):
            yield rng.choice([-1.0, 1.0], size=(m, BLOCK)), 1 / PROBES
