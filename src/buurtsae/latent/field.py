r"""The latent field of a model: unit Gaussian fields on sparse structures, one per term, whose sum is the predictor.

    m_k = m0_k + sum_t C_t zeta_tk + sum_p x_kp sd_p b_p + sum_g C_g sum_{p in g} x_kp b_p,
    zeta_t = J_t z_t,   z_t ~ N(0, Q_t^- (x) I_D),  b ~ N(0, I)

at site k (a buurt, or a group of buurten with their shares as weights), with Q_t the structure of term t (identity for
exchangeable effects, the scaled ICAR of a graph, the random walk of a line; or parts with strengths, see `structure`),
A_t z_t = 0 its constraints, J_t the nodes that a site sees, and C_t, (D, D), and strengths all that depends on
hyperparameters. The precision of z given observations
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

from buurtsae.latent.loose import SAME, Loose
from buurtsae.latent.parts import Parts
from buurtsae.latent.structure import Structure
from buurtsae.sparse import Factor, Floats, Ints, Symbolic, analyse, factor


@dataclass(frozen=True)
class Varying:
    """An effect whose structure parameters change.

    Attributes
    ----------
    effect : int
    parts : tuple of sparse, shape (n, n) each
        Q_k.
    first : int
        Its first node in the field.
    entries : ndarray of int, shape (m,)
        Entries of the field's precision that it has.
    values : ndarray, shape (K, m)
        Of the parts there.
    symbolic : Symbolic
        Of Q alone, one variable per node, in the order of the entries.
    """

    effect: int
    parts: tuple[sp.csr_array, ...]
    first: int
    entries: Ints
    values: Floats
    symbolic: Symbolic

    @property
    def nodes(self) -> slice:
        """Its nodes in the field."""
        return slice(self.first, self.first + self.parts[0].shape[0])

    def factors(self, strengths: Floats) -> list[Factor]:
        """Return the factor of Q_d for each column, of strengths (K, D)."""
        return [self.symbolic.factor((column @ self.values)[:, None, None]) for column in strengths.T]

    def traces(self, strengths: Floats) -> Floats:
        """Return tr(Q_d^{-1} Q_k), shape (K, D): the derivatives of log |Q_d| by the strengths."""
        twice = np.full(len(self.entries), 2.0)
        twice[-self.symbolic.n :] = 1.0  # the diagonal comes last
        inverses = [factor.selected_inverse()[:, 0, 0] for factor in self.factors(strengths)]
        return np.asarray(np.stack([self.values @ (twice * inverse) for inverse in inverses], axis=1))


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
        Prior precision of what is fixed at each entry, times the identity of order D.
    varying : tuple of Varying
    diagonal : ndarray of int, shape (nodes,)
        Entry of each node with itself.
    pattern : sparse, shape (nodes, nodes)
        Entries that are not 0, below the diagonal and on it.
    constraints : sparse, shape (k, nodes)
    ground : ndarray of int, shape (k,)
        A node of each constraint.
    shared : ndarray of int
        Those of all constrained effects but the first: data tell the sum of their null spaces, constants, not each.
    log_structure : float
        log |Q| on the constraints, with what conditioning on these adds, summed over fixed structures.
    sees : tuple of sparse, shape (K, nodes) each
        J_t on the joined nodes.
    seen : tuple of ndarray
        Start per site (K + 1,), and node, term and weight of all that sites see.
    pairs : tuple of ndarray
        Start per site (K + 1,), and entry, terms of its row and column, and weight of all pairs that sites see.
    parts : Parts
        Connected parts, whose constraints share columns.
    x : ndarray, shape (K, P)
        Covariates times the prior standard deviations of their coefficients, then those of groups.
    offset : ndarray, shape (K, D)
        m0, the prior mean of the predictor.
    loose : Loose
        Unstructured effects per area.
    free : slice, optional
        Their nodes, where sites see several areas; otherwise they are integrated out inside each.
    groups : tuple of slice
        Columns of x of each group, whose coefficients have loadings that hyperparameters determine.
    ratio : ndarray, shape (P, D), optional
        Prior standard deviations of the coefficients of x over those in x, where they differ between columns.
    """

    width: int
    nodes: int
    symbolic: Symbolic
    base: Floats
    varying: tuple[Varying, ...]
    diagonal: Ints
    pattern: sp.csr_array
    constraints: sp.csr_array
    ground: Ints
    shared: Ints
    log_structure: float
    sees: tuple[sp.csr_array, ...]
    seen: tuple[Ints, Ints, Ints, Floats]
    pairs: tuple[Ints, Ints, Ints, Ints, Floats]
    parts: Parts
    x: Floats
    offset: Floats
    loose: Loose = SAME
    free: slice | None = None
    groups: tuple[slice, ...] = ()
    ratio: Floats | None = None

    @property
    def areas(self) -> int:
        """Number of areas that have unstructured effects."""
        return len(self.x) if self.free is None else self.free.stop - self.free.start

    @cached_property
    def fixed(self) -> Floats:
        """Blocks of the prior precision of what is fixed, shape (entries, D, D)."""
        return np.multiply.outer(self.base, np.eye(self.width))

    def prior(self, strengths: Sequence[Floats]) -> tuple[Floats, float]:
        """Return blocks of the prior precision, new, and the log-determinant, of strengths (K, D) of what varies."""
        blocks, logdet = self.fixed.copy(), self.width * self.log_structure
        for effect, strength in zip(self.varying, strengths, strict=True):
            blocks[effect.entries] += (effect.values.T @ strength)[:, :, None] * np.eye(self.width)
            logdet += sum(factor.logdet for factor in effect.factors(strength))
        return blocks, logdet

    @cached_property
    def means(self) -> Floats:
        """A of the constraints, shape (k, nodes)."""
        return np.asarray(self.constraints.toarray())

    @cached_property
    def summed(self) -> Floats:
        """Columns A' of the constraints, per sub-dimension, shared by parts, (nodes in elimination, D, columns)."""
        columns = np.einsum("kn,de->ndke", self.means, np.eye(self.width))
        flat = columns.reshape(self.nodes * self.width, self.constraints.shape[0] * self.width)
        return self.parts.packed(flat).reshape(self.nodes, self.width, self.parts.width)[self.symbolic.node]

    def load(self, groups: Floats, border: int) -> Floats:
        """Return G, what loadings (G, D, D) make of the first coefficients of a border, and 1 of what has none."""
        g, d = np.eye(border), self.width
        if self.ratio is not None:
            g[range(self.ratio.size), range(self.ratio.size)] = self.ratio.ravel()
        for group, loading in zip(self.groups, groups, strict=True):
            at = slice(group.start * d, group.stop * d)
            g[at, at] = np.kron(np.eye(group.stop - group.start), loading)
        return g


def field(
    effects: Sequence[tuple[Structure, sp.csr_array]],
    x: Floats,
    offset: Floats,
    width: int,
    loose: Loose = SAME,
    sites: sp.csr_array | None = None,
    groups: Sequence[Floats] = (),
    ratio: Floats | None = None,
) -> Field:
    """Join structures that are seen from the same sites.

    Parameters
    ----------
    effects : sequence of (Structure, sparse of shape (K, n))
        Each with J, the weights of its nodes at each site.
    x : ndarray, shape (K, P)
        Covariates times prior standard deviations.
    offset : ndarray, shape (K,) or (K, D)
    width : int
        D.
    loose : Loose
    sites : sparse, shape (K, N), optional
        The weights of the areas at each site, where sites see several.
    groups : sequence of ndarray, shape (K, P_g) each
        Covariates of groups.
    ratio : ndarray, shape (P, D), optional
    """
    n_sites = len(x)
    if sites is not None:
        effects = [*effects, (Structure.exchangeable(sites.shape[1]), sites)]
    structures = [structure for structure, _ in effects]
    sizes = [s.nodes for s in structures]
    first, nodes = np.cumsum([0, *sizes], dtype=np.int64)[:-1], sum(sizes)
    constraints = sp.csr_array(sp.block_diag([sp.csr_array((0, 0)), *(s.constraints for s in structures)]))
    sees = []
    for t in range(len(effects)):
        parts = [j if u == t else sp.csr_array(j.shape) for u, (_, j) in enumerate(effects)]
        sees.append(sp.csr_array(sp.hstack([sp.csr_array((n_sites, 0)), *parts], format="csr")))
        sees[-1].eliminate_zeros()
    pairs = [_pairs(sees[t], sees[u], t == u) for t in range(len(sees)) for u in range(t + 1)]
    terms = [(t, u) for t in range(len(sees)) for u in range(t + 1)]
    below = [_below(s, start, nodes) for s, start in zip(structures, first, strict=True)]
    diagonal = np.arange(nodes) * (nodes + 1)
    known = np.unique(
        np.concatenate([diagonal, *(keys for keys, _ in below), *(i * nodes + j for _, i, j, _ in pairs)])
    )
    base, varying = np.zeros(len(known)), []
    for t, (structure, (keys, values)) in enumerate(zip(structures, below, strict=True)):
        entries = np.searchsorted(known, keys)
        if sites is not None and t == len(structures) - 1:
            continue  # its precision is that of the unstructured effects
        if structure.fixed:
            base[entries] = values[0]
            continue
        i, j = keys // nodes - first[t], keys % nodes - first[t]
        symbolic = analyse(structure.nodes, i, j)
        varying.append(Varying(t, structure.parts, int(first[t]), entries, values, symbolic))
    site = np.concatenate([s for s, *_ in pairs]) if pairs else np.zeros(0, dtype=np.int64)
    order = np.argsort(site, kind="stable")
    row_term = np.repeat([t for t, _ in terms], [len(s) for s, *_ in pairs]).astype(np.int64)
    column_term = np.repeat([u for _, u in terms], [len(s) for s, *_ in pairs]).astype(np.int64)
    entry = np.searchsorted(known, np.concatenate([i * nodes + j for _, i, j, _ in pairs])) if pairs else site
    weight = np.concatenate([w for *_, w in pairs]) if pairs else np.zeros(0)
    starts = np.searchsorted(site[order], np.arange(n_sites + 1))
    grounds = [structure.ground + at for structure, at in zip(structures, first, strict=True)]
    fixed = [s for s in structures if s.fixed]  # of independent nodes the determinant is 1
    proper = sp.block_diag([s.grounded() for s in fixed], format="csr") if fixed else None
    ends = x.shape[1] + np.cumsum([part.shape[1] for part in groups], dtype=int)
    i, j = known // max(nodes, 1), known % max(nodes, 1)
    symbolic = analyse(nodes, i, j, width)
    return Field(
        width=width,
        nodes=nodes,
        symbolic=symbolic,
        base=base,
        varying=tuple(varying),
        diagonal=np.searchsorted(known, diagonal),
        pattern=sp.csr_array((np.ones(len(known)), (i, j)), shape=(nodes, nodes)),
        constraints=constraints,
        ground=np.concatenate([first[:0], *grounds]),
        shared=np.concatenate([first[:0], *[g for g in grounds if len(g)][1:]]),
        log_structure=0.0 if proper is None else factor(proper).logdet + sum(s.rest for s in fixed),
        sees=tuple(sees),
        seen=_seen(sees, n_sites),
        pairs=(starts, entry[order], row_term[order], column_term[order], weight[order]),
        x=np.ascontiguousarray(np.hstack([x, *groups]), dtype=float),
        offset=np.array(np.broadcast_to(np.reshape(offset, (n_sites, -1)), (n_sites, width)), dtype=float),
        loose=loose,
        free=None if sites is None else slice(int(first[-1]), nodes),
        groups=tuple(slice(end - part.shape[1], end) for end, part in zip(ends, groups, strict=True)),
        ratio=ratio,
        parts=Parts.of(constraints, symbolic.position, (i, j), width),
    )


def _below(structure: Structure, first: int, nodes: int) -> tuple[Ints, Floats]:
    """Keys of the lower triangle of a structure in the field, the diagonal last, and the values (K, m) of its parts."""
    pattern = sp.tril(sum((abs(part) for part in structure.parts), sp.csr_array((structure.nodes,) * 2)), -1).tocoo()
    i = np.concatenate([pattern.row, np.arange(structure.nodes)]).astype(np.int64)
    j = np.concatenate([pattern.col, np.arange(structure.nodes)]).astype(np.int64)
    values = np.stack([np.asarray(part[i, j]).ravel() for part in structure.parts])
    return (first + i) * nodes + first + j, values


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
