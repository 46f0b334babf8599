r"""The latent field of a model: unit Gaussian fields on sparse structures, one per term, whose sum is the predictor.

    m_a = m0_a + sum_t C_t z_t[index_t(a)] + sum_p x_ap sd_p b_p,     z_t ~ N(0, Q_t^- (x) I_D),   b ~ N(0, I),

with Q_t the structure of term t (identity for exchangeable effects, the scaled ICAR of a graph, the random walk of a
line), A_t z_t = 0 its constraints, and C_t, (D, D), all that depends on hyperparameters. The precision of z given
observations with information M_a about m_a has the pattern of the Q_t and of the pairs (index_t(a), index_u(a)), in
blocks of D.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, sections 2.3 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from buurtsae.model.design import Bym2Block, Design
from buurtsae.sparse import Floats, Ints, Symbolic, analyse, factor


@dataclass(frozen=True)
class Structure:
    """A unit Gaussian field over the nodes of one term.

    Attributes
    ----------
    precision : sparse, shape (n, n)
    index : ndarray of int, shape (N,)
        Node of each area.
    constraints : sparse, shape (k, n)
        Rows A with A z = 0 that span the null space of the precision; k = 0 for a proper structure.
    """

    precision: sp.csr_array
    index: Ints
    constraints: sp.csr_array


@dataclass(frozen=True)
class Field:
    """All structures of a model, joined; what does not depend on hyperparameters is computed once.

    Attributes
    ----------
    width : int
        D, variables per node.
    nodes : int
    index : tuple of ndarray, shape (N,) each
        Node of each area per term, in the joined field.
    symbolic : Symbolic
    base : ndarray, shape (entries,)
        Prior precision at each entry, times the identity of order D. The diagonal comes first.
    ground : ndarray of int, shape (k,)
        A node of each constraint.
    gather : mapping of (t, u) to sparse, shape (entries, N)
        Adds the areas' blocks C_t' M_a C_u into entries, u <= t.
    entry : mapping of (t, u) to ndarray of int, shape (N,)
        Entry (index_t(a), index_u(a)) of each area.
    member : tuple of sparse, shape (nodes of t, N) each
        Sums areas per node.
    start : tuple of int
        First node of each term.
    constraints : sparse, shape (k, nodes)
    x : ndarray, shape (N, P)
        Covariates times the prior standard deviations of their coefficients.
    offset : ndarray, shape (N,)
        m0, the prior mean of the predictor, the same for all sub-dimensions.
    log_structure : float
        log |Q + E E'| summed over terms, E the unit vectors of `ground`: with A A' it is log |Q| on the constraints.
    """

    width: int
    nodes: int
    index: tuple[Ints, ...]
    symbolic: Symbolic
    base: Floats
    ground: Ints
    gather: dict[tuple[int, int], sp.csr_array]
    entry: dict[tuple[int, int], Ints]
    member: tuple[sp.csr_array, ...]
    start: tuple[int, ...]
    constraints: sp.csr_array
    x: Floats
    offset: Floats
    log_structure: float


def structures(design: Design) -> list[Structure]:
    """Return the structures of a design's blocks, in their order."""
    found = []
    for block in design.blocks:
        if isinstance(block, Bym2Block):
            n = len(design.areas)
            found.append(Structure(sp.csr_array(block.icar.precision), np.arange(n), block.icar.means))
        else:
            n = len(block.labels)
            found.append(Structure(sp.eye_array(n, format="csr"), block.index, sp.csr_array((0, n))))
    return found


def field(parts: Sequence[Structure], x: Floats, offset: Floats, width: int) -> Field:
    """Join structures over the same areas.

    Parameters
    ----------
    parts : sequence of Structure
    x : ndarray, shape (N, P)
        Covariates times prior standard deviations.
    offset : ndarray, shape (N,)
    width : int
        D.
    """
    n_areas = len(x)
    sizes = [p.precision.shape[0] for p in parts]
    start = tuple(int(s) for s in np.cumsum([0, *sizes]))
    nodes = start[-1]
    index = tuple(np.asarray(p.index, dtype=np.int64) + s for p, s in zip(parts, start, strict=False))
    rows, columns, values = [np.arange(nodes)], [np.arange(nodes)], [np.zeros(nodes)]
    for p, s in zip(parts, start, strict=False):
        values[0][s : s + p.precision.shape[0]] = p.precision.diagonal()
        below = sp.tril(p.precision, -1).tocoo()
        rows.append(below.row + s), columns.append(below.col + s), values.append(below.data)
    entry, gather = {}, {}
    total = sum(len(r) for r in rows)
    for t in range(len(parts)):
        entry[t, t] = index[t]  # the diagonal comes first
        for u in range(t):
            pair, place = np.unique(index[t] * nodes + index[u], return_inverse=True)
            rows.append(pair // nodes), columns.append(pair % nodes), values.append(np.zeros(len(pair)))
            entry[t, u] = total + place
            total += len(pair)
    for key, place in entry.items():
        gather[key] = sp.csr_array((np.ones(n_areas), (place, np.arange(n_areas))), shape=(total, n_areas))
    member = tuple(
        sp.csr_array((np.ones(n_areas), (p.index, np.arange(n_areas))), shape=(n, n_areas))
        for p, n in zip(parts, sizes, strict=True)
    )
    constraints = sp.block_diag([sp.csr_array((0, 0)), *(p.constraints for p in parts)], format="csr")
    ground = np.array([constraints.indices[constraints.indptr[k]] for k in range(constraints.shape[0])], dtype=np.int64)
    base = np.concatenate(values)
    log_structure = 0.0
    for p, s in zip(parts, start, strict=False):
        raised = p.precision.diagonal()
        own = ground[(ground >= s) & (ground < s + len(raised))] - s
        raised[own] += 1.0
        proper = sp.csr_array(p.precision - sp.diags_array(p.precision.diagonal()) + sp.diags_array(raised))
        log_structure += factor(proper).logdet
    return Field(
        width=width,
        nodes=nodes,
        index=index,
        symbolic=analyse(nodes, np.concatenate(rows), np.concatenate(columns), width),
        base=base,
        ground=ground,
        gather=gather,
        entry=entry,
        member=member,
        start=start[:-1],
        constraints=sp.csr_array(constraints),
        x=x,
        offset=offset,
        log_structure=log_structure,
    )
