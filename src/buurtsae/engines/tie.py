r"""What the sampling correlation of measures of the same people adds to their log-likelihoods.

With R the correlation in an area, B its block of scores (whose covariance their own likelihood has) and 1 elsewhere,

    l = sum_d l_d(eta_d) - z'M z / 2,   M = R^{-1} - B^{-1},   z_d = l_d'(eta_d) / sqrt(w_d),

w_d = -l_d'' at a fixed eta: that of the counts of an area with `PRIOR` more at the level of all. Of scores z = (y -
eta) / sd, and l is that of N(eta, V). Of counts it is a Gaussian copula to second order: at the truth its score has a
mean of zero whatever w is, and it has the information w^{1/2} R^{-1} w^{1/2} where w is right. With w at eta itself, as
Pearson has it, there is no bound: z^2 grows as 1 / p where p goes to 0 below a count, faster than log p falls.
Counts with w below `LEAST` are not tied: a quadratic says nothing about a handful of answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from buurtsae.model.design import Design
from buurtsae.model.outcome.per_measure import counted_columns
from buurtsae.sparse import Floats

PRIOR = 20.0  # answers at the level of all areas that those of an area get, for w
LEAST = 3.0  # information w below which a count is far from normal, and not tied: docs/shares.md


@dataclass(frozen=True)
class Tie:
    """Residuals of sites that go together.

    Attributes
    ----------
    matrix : ndarray, shape (K, W, W)
        M, 0 for what was not observed.
    scale : ndarray, shape (K, W)
        1 / sqrt(w) of counts, the standard deviation of scores.
    precision : ndarray, shape (K, W)
        Of scores, 0 elsewhere.
    y : ndarray, shape (K, W)
        Scores, 0 elsewhere.
    """

    matrix: Floats
    scale: Floats
    precision: Floats
    y: Floats

    @classmethod
    def of(cls, design: Design) -> Tie:
        """Return that of a design."""
        assert design.correlation is not None  # asked of designs that have it
        y, size = design.counted
        variance, scores = _references(design)
        scale = np.where(variance > 0, np.sqrt(variance), 0.0)
        for outcome, at in counted_columns(design.model.outcome, y.shape[1]):
            level = (y[:, at].sum(axis=0) + 0.5) / (size[:, at].sum(axis=0) + 1)
            eta = outcome.link((y[:, at] + PRIOR * level) / (size[:, at] + PRIOR))
            w = -outcome.derivatives(eta, y[:, at], size[:, at])[2]
            scale[:, at] = np.divide(1.0, np.sqrt(w), out=np.zeros_like(w), where=w >= LEAST)
        seen, measured = scale > 0, variance > 0
        r = np.where(seen[:, :, None] & seen[:, None, :], design.correlation, np.eye(y.shape[1]))
        among = np.where(measured[:, :, None] & measured[:, None, :], r, np.eye(y.shape[1]))
        precision = np.divide(1.0, variance, out=np.zeros_like(variance), where=measured)
        return cls(np.linalg.inv(r) - np.linalg.inv(among), scale, precision, scores)

    def expand(self, eta: Floats, first: Floats, second: Floats, third: Floats) -> tuple[float, Floats, Floats]:
        """Return what is added to l, to its slope and to minus its curvature, of derivatives of counts at eta."""
        z = self.scale * (first + self.precision * (self.y - eta))
        slope, bend = self.scale * (second - self.precision), self.scale * third
        turned = np.einsum("nde,ne->nd", self.matrix, z)
        curvature = slope[:, :, None] * self.matrix * slope[:, None, :]
        curvature = curvature + (bend * turned)[:, :, None] * np.eye(z.shape[1])
        return -0.5 * float((z * turned).sum()), -slope * turned, curvature


def _references(design: Design) -> tuple[Floats, Floats]:
    """Variances and direct estimates of scores by their reference, 0 where there is none, shape (K, W) each."""
    v = np.where(design.linked[:, None, :], 0.0, np.einsum("skdd->skd", design.covariance))
    return v.sum(axis=0), np.where(v > 0, design.y, 0.0).sum(axis=0)
