r"""Mean squared errors and products of the EBLUPs of an area over years, in the notation of `sar_panel`.

With theta = X beta + Z u + w in all years, G = Cov(theta, y) and H = I - G V^{-1} (zero where not seen),

    g1 = Sigma - Sigma W Sigma + C 1 (A^{-1})_dd 1'C',  C = I - Sigma W,   g2 = (C (X - Z F)) S (C (X - Z F))',
    g3 = sum_kl I^{kl} H V_k V^{-1} V_l H',   after ML less b' dg1 / d theta,  dg1 / d theta_k = H V_k H',

V_k the derivatives of V, I^{-1} the inverse of the expected information tr(P V_k P V_l) / 2, and
b = - I^{-1} tr(S X'V^{-1} V_k V^{-1} X) / 2. The curvature of V in the autocorrelations is left out. Of at most `EXACT`
areas traces and blocks are exact, otherwise estimated with random signs of areas, always the same.

References
----------
Das, K., Jiang, J. and Rao, J.N.K. (2004). Mean squared error of empirical predictor. Annals of Statistics 32. Marhuenda
et al. (2013) have the bootstrap only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buurtsae.classical.core import MseTerms
from buurtsae.classical.spatial.sar_mse import probes
from buurtsae.classical.temporal.sar_panel import SarPanel
from buurtsae.sparse import Floats, Ints, one_thread

EXACT = 300  # areas


@dataclass(frozen=True, repr=False)
class PanelTerms(MseTerms):
    """What the MSE matrices are made of, shapes (m, T, T).

    Attributes
    ----------
    covariance : ndarray, shape (K, K)
        Of the estimated components: inverse expected information, NaN for those not known.
    """

    covariance: Floats


def leading(panel: SarPanel) -> tuple[Floats, Floats]:
    """Return g1 and g2."""
    c = np.eye(len(panel.sigma)) - panel.sigma @ panel.w
    lasting = c.sum(axis=2)
    of_u = panel.inverse_a[-len(panel.y) :, None, None] * lasting[:, :, None] * lasting[:, None, :]
    moved = c @ (panel.data.z - panel.f[:, None])
    return c @ panel.sigma + of_u, moved @ panel.cov_beta @ moved.transpose(0, 2, 1)


@one_thread()
def terms(panel: SarPanel, known: NDArray[np.bool_], restricted: bool, exact: int = EXACT) -> PanelTerms:
    """Return the terms of the MSE with the uncertainty of the components that are known (K,)."""
    which = np.flatnonzero(known)
    whole, fitted = np.full((len(known), len(known)), np.nan), panel.moved(panel.vx)
    whole[np.ix_(which, which)] = np.linalg.inv(_information(panel, which, exact))
    lost = np.array([np.einsum("dtp,pq,dtq->", panel.vx, panel.cov_beta, fitted[k]) for k in range(len(known))])
    covariance = np.nan_to_num(whole)
    bias = np.zeros(len(known)) if restricted else -0.5 * covariance @ lost
    g3, slope = np.zeros((2, *panel.data.sampling.shape))
    m, width = panel.data.y.shape
    for signs, weight in probes(m, exact):
        for year in range(width):
            z = np.zeros((m, width, signs.shape[1]))
            z[:, year] = signs
            steps = np.array(panel.moved(z - panel.v_inverse_of(_cov(panel, z))))  # V_l H'z
            inner = np.array([panel.v_inverse_of(step) for step in steps])
            spread = panel.moved_by(np.tensordot(covariance, inner, axes=1))  # sum_kl V_k I^{kl} V^{-1} V_l H'z
            g3[:, :, year] += weight * np.einsum("dtq,dq->dt", _shrunk(panel, spread), signs)
            if bias.any():
                moved = _shrunk(panel, np.tensordot(bias, steps, axes=1))
                slope[:, :, year] += weight * np.einsum("dtq,dq->dt", moved, signs)
    return PanelTerms(*leading(panel), _even(g3), _even(-slope), whole)


def _information(panel: SarPanel, which: Ints, exact: int) -> Floats:
    """Return the expected information tr(P V_k P V_l) / 2 of some components."""
    (m, width), traces = panel.data.y.shape, np.zeros((len(which), len(which)))
    for cells, weight in probes(m * width, exact * width):
        z = cells.reshape(m, width, -1)
        left, right = panel.moved(_project(panel, z)), panel.moved(z)
        projected = [_project(panel, right[k]) for k in which]
        traces += weight * np.array([[np.sum(left[k] * part) for part in projected] for k in which])
    return (traces + traces.T) / 4


def _even(matrices: Floats) -> Floats:
    return (matrices + matrices.transpose(0, 2, 1)) / 2


def _project(panel: SarPanel, q: Floats) -> Floats:
    """Return P q."""
    return panel.v_inverse_of(q) - panel.vx @ (panel.cov_beta @ np.einsum("dtp,dtk->pk", panel.vx, q))


def _cov(panel: SarPanel, q: Floats) -> Floats:
    """Return Cov(theta) q, of q (m, T, k)."""
    return panel.sigma @ q + panel.sigma2 * panel.of_c.solve(q.sum(axis=1))[:, None]


def _shrunk(panel: SarPanel, q: Floats) -> Floats:
    """Return H q."""
    return q - _cov(panel, panel.v_inverse_of(q))
