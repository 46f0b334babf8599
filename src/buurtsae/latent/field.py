r"""The latent field of a model: unit Gaussian fields on sparse structures, one per term, whose sum is the predictor.

    m_k = m0_k + sum_t C_t zeta_tk + sum_p x_kp sd_p b_p,   zeta_t = J_t z_t,   z_t ~ N(0, Q_t^- (x) I_D),  b ~ N(0, I)

at site k (a buurt, or a group of buurten with their shares as weights), with Q_t the structure of term t (identity for
exchangeable effects, the scaled ICAR of a graph, the random walk of a line), A_t z_t = 0 its constraints, J_t the
nodes that a site sees, and C_t, (D, D), all that depends on hyperparameters. The precision of z given observations
with information M_k about m_k has the pattern of the Q_t and of the pairs of nodes that some site sees together.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, sections 2.3 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from buurtsae.sparse import Floats, Ints, Symbolic, analyse, factor


@dataclass(frozen=True)
class Structure:
    """A unit Gaussian field over the nodes of one term.

    Attributes
    ----------
    precision : sparse, shape (n, n)
    sees : sparse, shape (K, n)
        J: weights of the nodes at each site.
    constraints : sparse, shape (k, n)
        Rows A with A z = 0 that span the null space of the precision, each the mean of one connected part (the constant
        of the likelihood rests on that: no RW2); k = 0 for a proper structure.
    """

    precision: sp.csr_array
    sees: sp.csr_array
    constraints: sp.csr_array


@dataclass(frozen=True)
class Field:
    """All structures of a model, joined; what does not depend on hyperparameters, made once by `field`.

    Attributes
    ----------
    width : int
        D, variables per node.
    nodes : int
    symbolic : Symbolic
    base : ndarray, shape (entries,)
        Prior precision at each entry, times the identity of order D.
    diagonal : ndarray of int, shape (nodes,)
        Entry of each node with itself.
    constraints : sparse, shape (k, nodes)
    ground : ndarray of int, shape (k,)
        A node of each constraint.
    log_structure : float
        log |Q + E E'| summed over terms, E the unit vectors of `ground`: with A A' it is log |Q| on the constraints.
    sees : tuple of sparse, shape (K, nodes) each
        J_t on the joined nodes.
    seen : tuple of ndarray
        Start per site (K + 1,), and node, term and weight of all that sites see.
    pairs : tuple of ndarray
        Start per site (K + 1,), and entry, terms of its row and column, and weight of all pairs that sites see.
    x : ndarray, shape (K, P)
        Covariates times the prior standard deviations of their coefficients.
    offset : ndarray, shape (K,)
        m0, the prior mean of the predictor, the same for all sub-dimensions.
    """

    width: int
    nodes: int
    symbolic: Symbolic
    base: Floats
    diagonal: Ints
    constraints: sp.csr_array
    ground: Ints
    log_structure: float
    sees: tuple[sp.csr_array, ...]
    seen: tuple[Ints, Ints, Ints, Floats]
    pairs: tuple[Ints, Ints, Ints, Ints, Floats]
    x: Floats
    offset: Floats

    @cached_property
    def prior(self) -> Floats:
        """Blocks of the prior precision, shape (entries, D, D)."""
        return np.multiply.outer(self.base, np.eye(self.width))

    @cached_property
    def means(self) -> Floats:
        """A of the constraints, shape (k, nodes)."""
        return np.asarray(self.constraints.toarray())

    @cached_property
    def summed(self) -> Floats:
        """Columns A' of the constraints, per sub-dimension, shape (nodes, D, k D)."""
        columns = np.einsum("kn,de->ndke", self.means, np.eye(self.width))
        return columns.reshape(self.nodes, self.width, self.constraints.shape[0] * self.width)

    @cached_property
    def xx(self) -> Floats:
        """Products of covariates, shape (K, P P)."""
        return (self.x[:, :, None] * self.x[:, None, :]).reshape(len(self.x), -1)


def field(structures: Sequence[Structure], x: Floats, offset: Floats, width: int) -> Field:
    """Join structures that are seen from the same sites.

    Parameters
    ----------
    structures : sequence of Structure
    x : ndarray, shape (K, P)
        Covariates times prior standard deviations.
    offset : ndarray, shape (K,)
    width : int
        D.
    """
    n_sites = len(x)
    empty = sp.csr_array((n_sites, 0))
    prior = sp.block_diag([sp.csr_array((0, 0)), *(s.precision for s in structures)], format="csr")
    nodes = prior.shape[0]
    constraints = sp.csr_array(sp.block_diag([sp.csr_array((0, 0)), *(s.constraints for s in structures)]))
    sees = []
    for t in range(len(structures)):
        parts = [s.sees if u == t else 0 * s.sees for u, s in enumerate(structures)]
        sees.append(sp.csr_array(sp.hstack([empty, *parts], format="csr")))
        sees[-1].eliminate_zeros()
    found = [_pairs(sees[t], sees[u], t == u) for t in range(len(sees)) for u in range(t + 1)]
    terms = [(t, u) for t in range(len(sees)) for u in range(t + 1)]
    below = sp.tril(prior).tocoo()
    keys = [below.row.astype(np.int64) * nodes + below.col, np.arange(nodes) * (nodes + 1)]
    keys += [i * nodes + j for _, i, j, _ in found]
    known = np.unique(np.concatenate(keys))
    base = np.zeros(len(known))
    base[np.searchsorted(known, keys[0])] = below.data
    site = np.concatenate([s for s, *_ in found]) if found else np.zeros(0, dtype=np.int64)
    order = np.argsort(site, kind="stable")
    row_term = np.repeat([t for t, _ in terms], [len(s) for s, *_ in found]).astype(np.int64)
    column_term = np.repeat([u for _, u in terms], [len(s) for s, *_ in found]).astype(np.int64)
    entry = np.searchsorted(known, np.concatenate(keys[2:])) if found else site
    weight = np.concatenate([w for *_, w in found]) if found else np.zeros(0)
    starts = np.searchsorted(site[order], np.arange(n_sites + 1))
    ground = constraints.indices[constraints.indptr[:-1]].astype(np.int64)
    raised = prior.diagonal()
    raised[ground] += 1.0
    proper = sp.csr_array(prior - sp.diags_array(prior.diagonal()) + sp.diags_array(raised)) if nodes else None
    return Field(
        width=width,
        nodes=nodes,
        symbolic=analyse(nodes, known // max(nodes, 1), known % max(nodes, 1), width),
        base=base,
        diagonal=np.searchsorted(known, keys[1]),
        constraints=constraints,
        ground=ground,
        log_structure=factor(proper).logdet if proper is not None else 0.0,
        sees=tuple(sees),
        seen=_seen(sees, n_sites),
        pairs=(starts, entry[order], row_term[order], column_term[order], weight[order]),
        x=np.ascontiguousarray(x, dtype=float),
        offset=np.asarray(offset, dtype=float),
    )


def _pairs(a: sp.csr_array, b: sp.csr_array, same: bool) -> tuple[Ints, Ints, Ints, Floats]:
    """Site, node of a, node of b, and product of weights, of all pairs of nodes that a site sees; once if `same`."""
    site = np.repeat(np.arange(a.shape[0]), np.diff(a.indptr))
    count = np.diff(b.indptr)[site]
    first = np.repeat(np.arange(a.nnz), count)
    second = np.repeat(b.indptr[site] - np.cumsum(count) + count, count) + np.arange(count.sum())
    i, j = a.indices[first].astype(np.int64), b.indices[second].astype(np.int64)
    kept = i >= j if same else np.ones(len(i), dtype=bool)
    return site[first][kept], i[kept], j[kept], (a.data[first] * b.data[second])[kept]


def _seen(sees: Sequence[sp.csr_array], n_sites: int) -> tuple[Ints, Ints, Ints, Floats]:
    site = np.concatenate([np.repeat(np.arange(n_sites), np.diff(s.indptr)) for s in sees] or [np.zeros(0, int)])
    node = np.concatenate([s.indices.astype(np.int64) for s in sees] or [np.zeros(0, np.int64)])
    term = np.repeat(np.arange(len(sees)), [s.nnz for s in sees])
    weight = np.concatenate([s.data.astype(float) for s in sees] or [np.zeros(0)])
    order = np.argsort(site, kind="stable")
    return np.searchsorted(site[order], np.arange(n_sites + 1)), node[order], term[order], weight[order]
