r"""Loops over sites, compiled by numba: what each adds to the precision of the field, and what it knows afterwards.

Notation as in `gmrf`. Per site S = I + C_v' W C_v, N = I - W C_v S^{-1} C_v', M = N W; with zeta_t = sum of the nodes
that the site sees times their weights, the field's precision gets C_t' M C_u times products of weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from buurtsae.multifrontal import cholesky, clear, copy, invert_triangle, jit, part, turn


@part
def _product(a: Any, b: Any, out: Any) -> None:
    """Put a b in out."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            t = 0.0
            for q in range(a.shape[1]):
                t += a[i, q] * b[q, j]
            out[i, j] = t


@part
def _square(dims: Any, a: Any, b: Any, out: Any) -> None:
    """Put a b in out, all of them of the order of a tuple: the compiler knows it and unrolls the loops."""
    for i in range(len(dims)):
        for j in range(len(dims)):
            t = 0.0
            for q in range(len(dims)):
                t += a[i, q] * b[q, j]
            out[i, j] = t


@part
def _add(dims: Any, a: Any, b: Any, out: Any) -> None:
    """Add a b to out, whose columns are of the order of a tuple; those of a too."""
    for c in range(a.shape[0]):
        for q in range(len(dims)):
            for i in range(len(dims)):
                out[c, i] += a[c, q] * b[q, i]


@part
def _add_turned(dims: Any, sign: float, a: Any, b: Any, out: Any) -> None:
    """Add a' b, or take it off, from out, of the order of a tuple."""
    for c in range(a.shape[0]):
        for i in range(len(dims)):
            f = sign * a[c, i]
            for j in range(len(dims)):
                out[i, j] += f * b[c, j]


@jit
def add_information(
    dims: Any, w: Any, b: Any, cross: Any, terms: Any, loose: Any, x: Any,
    seen: Any, pairs: Any, position: Any, first: int, columns: Any, blocks: Any
) -> Any:  # fmt: skip
    """Add what all sites say to `blocks` (entries, D, D) and, from the first, `columns` (nodes, D, first + PD + L + 1).

    Rows of `columns` are nodes in the order of elimination, their positions. `loose` has C_v per site. Returns N, M,
    N H, N b, a root of K = C_v S^{-1} C_v', K b and K H per site, and log |S| summed. `dims` is D zeros.
    """
    n, d = len(b), len(dims)  # D is known when this is compiled: loops over it are unrolled
    n_terms, n_alpha, p = len(terms), cross.shape[2], x.shape[1]
    free = first + p * d
    shrink, m, root = np.empty((n, d, d)), np.empty((n, d, d)), np.empty((n, d, d))
    nh, nb, logdet = np.empty((n, d, n_alpha)), np.empty((n, d)), 0.0
    kh, kb = np.empty((n, d, n_alpha)), np.empty((n, d))
    k, work, inner, inverse = np.empty((d, d)), np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    other = np.empty((d, d))
    through, both, right = np.empty((d, d)), np.empty((n_terms, n_terms, d, d)), np.empty((d, n_alpha + 1))
    turned = np.empty((n_terms, d, d))
    for t in range(n_terms):
        turn(terms[t], turned[t])
    start, node, node_term, node_weight = seen
    pair_start, entry, row_term, column_term, pair_weight = pairs
    for s in range(n):
        turn(loose[s], other)
        _square(dims, w[s], loose[s], work)
        _square(dims, other, work, inner)
        for i in range(d):
            inner[i, i] += 1.0
        if not cholesky(inner):
            logdet = np.nan
        invert_triangle(inner, inverse)
        for i in range(d):
            logdet += 2.0 * np.log(inner[i, i])
            for j in range(d):
                root[s, i, j] = 0.0
                for q in range(j + 1):
                    root[s, i, j] += loose[s, i, q] * inverse[j, q]
        turn(root[s], other)
        _square(dims, root[s], other, k)
        _square(dims, w[s], k, work)
        for i in range(d):
            for j in range(d):
                shrink[s, i, j] = (1.0 if i == j else 0.0) - work[i, j]
        _square(dims, shrink[s], w[s], work)
        for i in range(d):
            nb[s, i], kb[s, i] = 0.0, 0.0
            for j in range(d):
                m[s, i, j] = 0.5 * (work[i, j] + work[j, i])
                nb[s, i] += shrink[s, i, j] * b[s, j]
                kb[s, i] += k[i, j] * b[s, j]
        if n_alpha:
            _product(shrink[s], cross[s], nh[s])
            _product(k, cross[s], kh[s])
        for t in range(n_terms):
            _square(dims, turned[t], m[s], through)
            for u in range(t + 1):  # pairs are below the diagonal
                _square(dims, through, terms[u], both[t, u])
            for i in range(d):
                right[i, n_alpha] = 0.0
                for j in range(d):
                    right[i, n_alpha] += turned[t, i, j] * nb[s, j]
                for z in range(n_alpha):
                    right[i, z] = 0.0
                    for j in range(d):
                        right[i, z] += turned[t, i, j] * nh[s, j, z]
            for q in range(start[s], start[s + 1]):
                if node_term[q] == t:
                    f, at = node_weight[q], position[node[q]]
                    for i in range(len(dims)):
                        line = columns[at, i]
                        for r in range(p):
                            g, c = f * x[s, r], first + r * len(dims)
                            for j in range(len(dims)):
                                line[c + j] += g * through[i, j]
                        for z in range(n_alpha + 1):
                            columns[at, i, free + z] += f * right[i, z]
        for q in range(pair_start[s], pair_start[s + 1]):
            t, u, f, at = row_term[q], column_term[q], pair_weight[q], entry[q]
            for i in range(d):
                for j in range(d):
                    blocks[at, i, j] += f * both[t, u, i, j]
    return shrink, m, nh, nb, root, kb, kh, logdet


@jit
def scores(
    z: Any, border: Any, noise: Any, terms: Any, x: Any, offset: Any, seen: Any, w: Any, b: Any, cross: Any, root: Any
) -> Any:
    """Return e = m + K (b - H alpha - W m) + K^{1/2} noise of n draws of all else, shape (n, K, D); b, m less m0."""
    n_sites, d = b.shape
    n, p, n_alpha = z.shape[2], x.shape[1], cross.shape[2]
    start, node, node_term, weight = seen
    drawn, m, v, right = np.empty((n, n_sites, d)), np.empty((d, n)), np.empty((d, n)), np.empty(n)
    for s in range(n_sites):
        clear(m)
        for q in range(p):
            for i in range(d):
                for k in range(n):
                    m[i, k] += x[s, q] * border[q * d + i, k]
        for q in range(start[s], start[s + 1]):
            for i in range(d):
                for j in range(d):
                    f = weight[q] * terms[node_term[q], i, j]
                    if f != 0.0:  # roots are triangular
                        for k in range(n):
                            m[i, k] += f * z[node[q], j, k]
        copy(noise[s], v)
        for i in range(d):
            for k in range(n):
                right[k] = b[s, i]
            for j in range(d):
                for k in range(n):
                    right[k] -= w[s, i, j] * m[j, k]
            for j in range(n_alpha):
                for k in range(n):
                    right[k] -= cross[s, i, j] * border[p * d + j, k]
            for j in range(d):
                for k in range(n):
                    v[j, k] += root[s, i, j] * right[k]
        for i in range(d):
            for j in range(d):
                for k in range(n):
                    m[i, k] += root[s, i, j] * v[j, k]
            for k in range(n):
                drawn[k, s, i] = offset[s, i] + m[i, k]
    return drawn


@jit
def covariances(
    dims: Any, terms: Any, x: Any, of_x: Any, alpha: Any, blocks: Any, u_a: Any, u_b: Any, is_diagonal: Any,
    seen: Any, pairs: Any
) -> Any:  # fmt: skip
    """Posterior covariances per site: Cov(m, m), Cov(m, zeta_t), Cov(m, alpha) and Cov(zeta_t, alpha).

    Cov(z, z') = blocks - U_A U_A' + U_B U_B'; with eps ~ N(0, I), z moves with -U_B eps as beta with `of_x` (P, nb, D)
    and alpha with `alpha` (nb, L). `dims` is D zeros; D comes last inside, where the processor works on all of it.
    """
    n, p, d, n_alpha = len(x), x.shape[1], len(dims), alpha.shape[1]
    n_terms, k, nb = len(terms), u_a.shape[2], u_b.shape[2]
    m_m, m_z = np.empty((n, d, d)), np.empty((n_terms, n, d, d))
    m_alpha, z_alpha = np.empty((n, d, n_alpha)), np.empty((n_terms, n, d, n_alpha))
    z_a, z_b, at_nodes = np.empty((n_terms, k, d)), np.empty((n_terms, nb, d)), np.empty((n_terms, n_terms, d, d))
    m_a, m_b, x_b = np.empty((k, d)), np.empty((nb, d)), np.empty((nb, d))
    turned, value = np.empty((n_terms, d, d)), np.empty((d, d))
    for t in range(n_terms):
        turn(terms[t], turned[t])
    start, node, node_term, node_weight = seen
    pair_start, entry, row_term, column_term, pair_weight = pairs
    for s in range(n):
        clear(m_a)
        clear(x_b)
        clear(m_alpha[s])
        for t in range(n_terms):
            clear(z_a[t])
            clear(z_b[t])
            clear(z_alpha[t, s])
            for u in range(n_terms):
                clear(at_nodes[t, u])
        for q in range(start[s], start[s + 1]):
            t, f, at = node_term[q], node_weight[q], node[q]
            for i in range(d):
                for c in range(k):
                    z_a[t, c, i] += f * u_a[at, i, c]
                for c in range(nb):
                    z_b[t, c, i] -= f * u_b[at, i, c]
        for q in range(pair_start[s], pair_start[s + 1]):
            e, f, t, u = entry[q], pair_weight[q], row_term[q], column_term[q]
            twice = t != u or not is_diagonal[e]
            for i in range(len(dims)):
                for j in range(len(dims)):
                    at_nodes[t, u, i, j] += f * blocks[e, i, j]
                    if twice:
                        at_nodes[u, t, j, i] += f * blocks[e, i, j]
        for q in range(p):
            for c in range(nb):
                for i in range(len(dims)):
                    x_b[c, i] += x[s, q] * of_x[q, c, i]
        copy(x_b, m_b)
        for t in range(n_terms):
            _add(dims, z_a[t], turned[t], m_a)
            _add(dims, z_b[t], turned[t], m_b)
        clear(value)
        _add_turned(dims, 1.0, m_b, x_b, value)
        copy(value, m_m[s])
        for t in range(n_terms):
            clear(value)
            _add_turned(dims, 1.0, m_b, z_b[t], value)
            _add_turned(dims, -1.0, m_a, z_a[t], value)
            for u in range(n_terms):
                _add(dims, terms[u], at_nodes[u, t], value)
            copy(value, m_z[t, s])
            _add(dims, value, turned[t], m_m[s])
        for z in range(n_alpha):
            for c in range(nb):
                for i in range(d):
                    m_alpha[s, i, z] += m_b[c, i] * alpha[c, z]
                    for t in range(n_terms):
                        z_alpha[t, s, i, z] += z_b[t, c, i] * alpha[c, z]
    return m_m, m_z, m_alpha, z_alpha
