r"""The posterior of a Fay-Herriot model with one spatial term, by a sum over its two standard deviations.

    y_a ~ N(eta_a, V_a),   eta = x beta + a v + b u,   v ~ N(0, I),   u ~ N(0, Q^-), sums to zero,   beta ~ N(0, s^2 I)

Given a and b this is the lower level of the engine `laplace`, `field` and `condition`, without priors of the package.
Nodes and weights of the sum are the caller's, and so is the prior of a and b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.icar import IcarStructure, icar_structure
from buurtsae.latent.conditional import Conditional, Loadings, Local, condition
from buurtsae.latent.field import Field, field
from buurtsae.latent.structure import Structure
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Gridded:
    """Posterior means and standard deviations."""

    mean: Floats
    sd: Floats
    beta_mean: Floats
    beta_sd: Floats
    hyper_mean: Floats
    hyper_sd: Floats
    edge: float  # weight of the outermost nodes: what the grid cuts off is less


@dataclass(frozen=True)
class FayHerriot:
    """Data and structures; `structured` is the precision of u, or None without a spatial term."""

    field: Field
    local: Local
    spread: float  # s

    @classmethod
    def of(
        cls, y: Floats, variance: Floats, x: Floats, spread: float, icar: IcarStructure | None, iid: bool = False
    ) -> FayHerriot:
        """Join the parts; `iid`: v as a term of the field, otherwise it is integrated out inside areas."""
        eye, structures = sp.eye_array(len(y), format="csr"), []
        if icar is not None:
            structures.append(Structure((sp.csr_array(icar.precision),), icar.means))
        if iid:
            structures.append(Structure.exchangeable(len(y)))
        constant = -0.5 * float((y**2 / variance + np.log(2 * np.pi * variance)).sum())
        nothing = (np.zeros((len(y), *shape)) for shape in ((1, 0), (0, 0), (0,)))
        local = Local((1 / variance)[:, None, None], (y / variance)[:, None], *nothing, constant)
        return cls(field([(s, eye) for s in structures], x * spread, np.zeros(len(y)), 1), local, spread)

    def given(self, a: float, b: float) -> Conditional:
        """The posterior given the standard deviations of v and u."""
        sds = [b, a][: len(self.field.sees)]
        loose = 0.0 if len(sds) == 2 else a
        return condition(self.field, self.local, Loadings(np.reshape(sds, (-1, 1, 1)), np.full((1, 1, 1), loose)))

    def over(self, nodes: Floats, log_weight: Floats, edge: Floats, hyper: Floats | None = None) -> Gridded:
        """Sum over nodes (n, 2) of (a, b), with the logarithm of prior times quadrature weight (n,).

        `edge` says which nodes are outermost; `hyper` has the hyperparameters where these are not a and b.
        """
        p = self.field.x.shape[1]
        log_p, parts = [], []
        for (a, b), weight in zip(nodes, log_weight, strict=True):
            found = self.given(a, b)
            log_p.append(found.log_likelihood + weight)
            covariance = np.linalg.inv(found.root_t @ found.root_t.T)[:p, :p]
            beta = found.border[:p] * self.spread, np.diag(covariance) * self.spread**2
            parts.append((found.mean[:, 0], found.sd[:, 0] ** 2, *beta))
        weights = np.exp(np.array(log_p) - max(log_p))
        weights /= weights.sum()
        mean, variance, beta, beta_variance = (np.array(part) for part in zip(*parts, strict=True))
        moments = [_mixed(weights, mean, variance), _mixed(weights, beta, beta_variance)]
        moments.append(_mixed(weights, nodes if hyper is None else hyper, 0.0))
        return Gridded(*(m for pair in moments for m in pair), float(weights[edge].sum()))


def _mixed(weights: Floats, mean: Floats, variance: Floats | float) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a mixture."""
    centre = weights @ mean
    return centre, np.sqrt(weights @ (variance + (mean - centre) ** 2))


def unscaled(n: int, edges: pd.DataFrame) -> IcarStructure:
    """D - A, as R packages have it, of a connected graph."""
    scaled = icar_structure(n, edges.to_numpy(dtype=np.int64))
    assert len(scaled.scale) == 1
    return IcarStructure(scaled.precision / scaled.scale[0], scaled.component, np.ones(1), scaled.size)


def gauss_legendre(low: float, high: float, n: int) -> tuple[Floats, Floats]:
    """Nodes and logarithms of weights on an interval."""
    x, w = np.polynomial.legendre.leggauss(n)
    return low + (high - low) * (x + 1) / 2, np.log(w * (high - low) / 2)


def log_half_cauchy(sd: Floats) -> Floats:
    """Log-density of a half-Cauchy(0, 1), up to a constant."""
    return -np.log1p(sd**2)
