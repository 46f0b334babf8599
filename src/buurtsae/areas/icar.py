r"""The intrinsic CAR structure of a graph, scaled exactly per connected component.

Q = D - A has one zero eigenvalue per component. Within a component of n >= 2 areas, drop one node: what is
left is positive definite with inverse S (zero in the dropped row), a generalised inverse of Q, and with
M = I - 11'/n the Moore-Penrose inverse is Q^+ = M S M, so that

    Q^+_ii = S_ii - 2 (S1)_i / n + 1'S1 / n^2.

The component is multiplied by its scale s = exp(mean log Q^+_ii): the geometric mean of the marginal
variances under the sum-to-zero constraint becomes 1. An area without neighbours gets Q_ii = 1: iid, variance 1.

References
----------
Sorbye, S. and Rue, H. (2014). Scaling intrinsic Gaussian Markov random field priors. Spatial Statistics 8.
Freni-Sterrantino, A., Ventrucci, M. and Rue, H. (2018). A note on intrinsic CAR models for disconnected
graphs. Spatial and Spatio-temporal Epidemiology 26.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from buurtsae.sparse import Floats, Ints, factor


@dataclass(frozen=True)
class IcarStructure:
    """A scaled intrinsic CAR precision with its components.

    Attributes
    ----------
    precision : scipy.sparse.csc_array, shape (n, n)
        Scaled structure matrix: geometric-mean marginal variance 1 in every component.
    component : ndarray of int, shape (n,)
        Component of each area, numbered from 0.
    scale : ndarray, shape (n_components,)
        Factor by which each component's D - A was multiplied; 1 for an area without neighbours.
    size : ndarray of int, shape (n_components,)
        Number of areas in each component.
    """

    precision: sp.csc_array
    component: Ints
    scale: Floats
    size: Ints

    @property
    def constrained(self) -> Ints:
        """Components with a sum-to-zero constraint: those of two areas and more."""
        return np.flatnonzero(self.size > 1)

    @property
    def rank_deficiency(self) -> int:
        """Number of zero eigenvalues: the number of constrained components."""
        return len(self.constrained)

    @property
    def means(self) -> sp.csr_array:
        """The (n_constrained, n) matrix that takes the mean of each constrained component."""
        row = np.full(len(self.size), -1)
        row[self.constrained] = np.arange(self.rank_deficiency)
        area = np.flatnonzero(self.size[self.component] > 1)
        c = self.component[area]
        return sp.csr_array((1.0 / self.size[c], (row[c], area)), shape=(self.rank_deficiency, len(self.component)))

    def marginal_variances(self) -> Floats:
        """Return the diagonal of the generalised inverse, by selected inversion."""
        return _marginal_variances(self.precision, self.component, self.size)


def icar_structure(n: int, edges: Ints) -> IcarStructure:
    """Return the scaled intrinsic CAR structure of n areas, with each pair of neighbours once, shape (n_edges, 2)."""
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sp.coo_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n)).tocsc()
    n_components, component = connected_components(adjacency, directed=False)
    component = component.astype(np.int64)
    size = np.bincount(component, minlength=n_components)
    island = size[component] == 1
    degree = np.asarray(adjacency.sum(axis=0)).ravel()
    raw = sp.csc_array(sp.diags_array(np.where(island, 1.0, degree)) - adjacency)
    log_variance = np.log(_marginal_variances(raw, component, size))
    scale = np.exp(np.bincount(component, log_variance, n_components) / size)
    root = sp.diags_array(np.sqrt(scale)[component])
    return IcarStructure(sp.csc_array(root @ raw @ root), component, scale, size)


def all_but_one(component: Ints, size: Ints) -> NDArray[np.bool_]:
    """Return True for all nodes of each component but the last, and for those without neighbours."""
    last = np.zeros(len(size), dtype=np.int64)
    last[component] = np.arange(len(component))
    kept = np.ones(len(component), dtype=bool)
    kept[last[size > 1]] = False
    return kept


def _marginal_variances(q: sp.csc_array, component: Ints, size: Ints) -> Floats:
    """Diagonal of the generalised inverse of an intrinsic structure matrix, islands included."""
    kept = all_but_one(component, size)
    grounded = factor(q[kept][:, kept])
    diagonal, row_sum = np.zeros(len(component)), np.zeros(len(component))
    diagonal[kept] = grounded.marginal_variances()
    row_sum[kept] = grounded.solve(np.ones(int(kept.sum())))
    n = size[component]
    total = np.bincount(component, row_sum)[component]
    return np.where(n > 1, diagonal - 2 * row_sum / n + total / n**2, diagonal)
