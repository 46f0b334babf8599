r"""Loops over sites, compiled by numba: what each adds to the precision of the field, and what it knows afterwards.

Notation as in `gmrf`. Per site S = I + C_v' W C_v, N = I - W C_v S^{-1} C_v', M = N W; with zeta_t = sum of the nodes
that the site sees times their weights, the field's precision gets C_t' M C_u times products of weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from buurtsae.multifrontal import jit


@jit
def _product(a: Any, b: Any, out: Any) -> None:
    """Put a b in out."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            t = 0.0
            for q in range(a.shape[1]):
                t += a[i, q] * b[q, j]
            out[i, j] = t


@jit
def add_information(
    w: Any, b: Any, cross: Any, own: Any, linear: Any, inner: Any, terms: Any, loose: Any, x: Any,
    seen: Any, pairs: Any, columns: Any, blocks: Any, precision: Any, target: Any
) -> Any:  # fmt: skip
    """Add what all sites say to `blocks` (entries, D, D), `columns` (nodes, D, PD + L + 1), `precision` and `target`.

    Returns N and M per site, and the part b' K b of the quadratic form, K = C_v S^{-1} C_v'.
    """
    n, d = b.shape
    n_terms, n_alpha, p = len(terms), cross.shape[2], x.shape[1]
    free = p * d
    shrink, m = np.empty((n, d, d)), np.empty((n, d, d))
    k, h, work = np.empty((d, d)), np.empty((d, n_alpha)), np.empty((d, d))
    through, both = np.empty((n_terms, d, d)), np.empty((n_terms, n_terms, d, d))
    own_columns = np.empty((n_terms, d, free + n_alpha + 1))
    kb, right, quadratic = np.empty(d), np.empty(d), 0.0
    kh = np.empty((d, n_alpha))
    start, node, node_term, node_weight = seen
    pair_start, entry, row_term, column_term, pair_weight = pairs
    for s in range(n):
        _product(loose, inner[s], work)
        _product(work, loose.T, k)
        _product(w[s], k, work)
        for i in range(d):
            for j in range(d):
                shrink[s, i, j] = (1.0 if i == j else 0.0) - work[i, j]
        _product(shrink[s], w[s], work)
        for i in range(d):
            for j in range(d):
                m[s, i, j] = 0.5 * (work[i, j] + work[j, i])
        _product(shrink[s], cross[s], h)
        _product(k, cross[s], kh)
        for i in range(d):
            right[i], kb[i] = 0.0, 0.0
            for j in range(d):
                right[i] += shrink[s, i, j] * b[s, j]
                kb[i] += k[i, j] * b[s, j]
            quadratic += kb[i] * b[s, i]
        for q in range(p):
            for i in range(d):
                target[q * d + i] += x[s, q] * right[i]
                for r in range(p):
                    for j in range(d):
                        precision[q * d + i, r * d + j] += x[s, q] * x[s, r] * m[s, i, j]
                for z in range(n_alpha):
                    precision[q * d + i, free + z] += x[s, q] * h[i, z]
                    precision[free + z, q * d + i] += x[s, q] * h[i, z]
        for z in range(n_alpha):
            target[free + z] += linear[s, z]
            for i in range(d):
                target[free + z] -= cross[s, i, z] * kb[i]
            for y in range(n_alpha):
                t = own[s, z, y]
                for i in range(d):
                    t -= cross[s, i, z] * kh[i, y]
                precision[free + z, free + y] += t
        for t in range(n_terms):
            _product(terms[t].T, m[s], through[t])
            for u in range(n_terms):
                _product(through[t], terms[u], both[t, u])
            for i in range(d):
                for q in range(p):
                    for j in range(d):
                        own_columns[t, i, q * d + j] = through[t, i, j] * x[s, q]
                for z in range(n_alpha):
                    value = 0.0
                    for j in range(d):
                        value += terms[t, j, i] * h[j, z]
                    own_columns[t, i, free + z] = value
                value = 0.0
                for j in range(d):
                    value += terms[t, j, i] * right[j]
                own_columns[t, i, free + n_alpha] = value
        for q in range(start[s], start[s + 1]):
            t, f, at = node_term[q], node_weight[q], node[q]
            for i in range(d):
                for z in range(free + n_alpha + 1):
                    columns[at, i, z] += f * own_columns[t, i, z]
        for q in range(pair_start[s], pair_start[s + 1]):
            t, u, f, at = row_term[q], column_term[q], pair_weight[q], entry[q]
            for i in range(d):
                for j in range(d):
                    blocks[at, i, j] += f * both[t, u, i, j]
    return shrink, m, quadratic


@jit
def covariances(
    terms: Any, x: Any, blocks: Any, u_a: Any, u_b: Any, tm: Any, diagonal: Any, seen: Any, pairs: Any
) -> Any:  # fmt: skip
    """Posterior covariances per site: Cov(m, m), Cov(m, zeta_t), and the border parts of m and zeta_t.

    Cov(z, z') = blocks - U_A U_A' + U_B U_B', and z moves with -U_B eps as the border with T^{-1/2} eps.
    """
    n, p = x.shape
    n_terms, d = terms.shape[0], u_a.shape[1]
    k, nb = u_a.shape[2], tm.shape[1]
    m_m, m_z = np.zeros((n, d, d)), np.zeros((n_terms, n, d, d))
    m_b, z_b = np.zeros((n, d, nb)), np.zeros((n_terms, n, d, nb))
    z_a, m_a, own = np.empty((n_terms, d, k)), np.empty((d, k)), np.empty((n_terms, n_terms, d, d))
    xb, work = np.empty((d, nb)), np.empty((d, d))
    start, node, node_term, node_weight = seen
    pair_start, entry, row_term, column_term, pair_weight = pairs
    is_diagonal = np.zeros(len(blocks), np.bool_)
    is_diagonal[diagonal] = True
    for s in range(n):
        z_a[:], m_a[:], own[:], xb[:] = 0.0, 0.0, 0.0, 0.0
        for q in range(start[s], start[s + 1]):
            t, f, i = node_term[q], node_weight[q], node[q]
            z_a[t] += f * u_a[i]
            z_b[t, s] -= f * u_b[i]
        for q in range(pair_start[s], pair_start[s + 1]):
            e, f, t, u = entry[q], pair_weight[q], row_term[q], column_term[q]
            own[t, u] += f * blocks[e]
            if t != u or not is_diagonal[e]:
                own[u, t] += f * blocks[e].T
        for q in range(p):
            xb += x[s, q] * tm[q * d : (q + 1) * d]
        m_b[s] = xb
        for t in range(n_terms):
            for i in range(d):
                for j in range(d):
                    m_a[i] += terms[t, i, j] * z_a[t, j]
                    m_b[s, i] += terms[t, i, j] * z_b[t, s, j]
        _product(m_b[s], xb.T, m_m[s])
        for t in range(n_terms):
            for i in range(d):
                for j in range(d):
                    value = 0.0
                    for q in range(nb):
                        value += m_b[s, i, q] * z_b[t, s, j, q]
                    for q in range(k):
                        value -= m_a[i, q] * z_a[t, j, q]
                    for u in range(n_terms):
                        for q in range(d):
                            value += terms[u, i, q] * own[u, t, q, j]
                    m_z[t, s, i, j] = value
            _product(m_z[t, s], terms[t].T, work)
            m_m[s] += work
    return m_m, m_z, m_b, z_b
