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
from buurtsae.classical.spatial.sar_mse import EXACT, probes
from buurtsae.classical.temporal.sar_panel import SarPanel
from buurtsae.sparse import Floats, one_thread


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
    (m, width), which = panel.data.y.shape, np.flatnonzero(known)
    fitted = panel.moved(panel.vx)
    lost = np.array([np.einsum("dtp,pq,dtq->", panel.vx, panel.cov_beta, fitted[k]) for k in which])
    traces, first = np.zeros((len(which), len(which))), np.zeros((len(which), m, width, width))
    second = np.zeros((len(which), len(which), m, width, width))
    for signs, weight in probes(m, exact):
        for s in range(width):
            z = np.zeros((m, width, signs.shape[1]))
            z[:, s] = signs
            pz = _project(panel, z)
            left = [panel.moved(pz)[k] for k in which]
            right = [_project(panel, panel.moved(z)[k]) for k in which]
            traces += weight * np.array([[np.sum(a * b) for b in right] for a in left])
            steps = [panel.moved(z - panel.v_inverse_of(_cov(panel, z)))[k] for k in which]  # V_k H'z
            for k, step in enumerate(steps):
                first[k, :, :, s] += weight * np.einsum("dtq,dq->dt", _shrunk(panel, step), signs)
                inner = panel.moved(panel.v_inverse_of(step))
                for j, name in enumerate(which):
                    second[j, k, :, :, s] += weight * np.einsum("dtq,dq->dt", _shrunk(panel, inner[name]), signs)
    covariance = np.linalg.inv((traces + traces.T) / 4)
    g3 = np.einsum("jk,jkdts->dts", covariance, second)
    bias = np.zeros(len(which)) if restricted else -0.5 * covariance @ lost
    correction = -np.einsum("k,kdts->dts", bias, first)
    whole = np.full((len(known), len(known)), np.nan)
    whole[np.ix_(which, which)] = covariance
    g1, g2 = leading(panel)
    return PanelTerms(g1, g2, _even(g3), _even(correction), whole)


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
