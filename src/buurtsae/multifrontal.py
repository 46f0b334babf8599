r"""Loops of the block-sparse Cholesky factorisation, compiled by numba: symbolic analysis, factor, solve, inverse.

Nodes are eliminated in groups (supernodes). Each gathers a dense front over its own nodes and the later ones that they
touch, F = [[A, B'], [B, C]], with A = L L'. Kept are L^{-1} and G = B L^{-T}; C - G G' is added to the front of the
parent. From the last group backwards, with K = G L^{-1} and S the inverse on the rows of B, known from the parent,

    S_B = -S_C K,      S_A = L^{-T} L^{-1} - K' S_B                                (selected inverse, Takahashi).

Everything is products of small dense matrices; no entry outside the pattern of the factor is ever formed.

References
----------
Duff, I. and Reid, J. (1983). The multifrontal solution of indefinite sparse symmetric linear equations. ACM TOMS 9.
Takahashi, K. et al. (1973); Erisman, A. and Tinney, W. (1975). Communications of the ACM 18.
Davis, T. A. (2006). Direct Methods for Sparse Linear Systems, ch. 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop at its first call, keep it on disk, and let other threads work meanwhile."""
    compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


SMALL = 40  # below this order own loops beat a call of LAPACK


@jit
def put(a: Any, out: Any) -> None:
    """Copy a matrix into part of another: `out[...] = a` takes numba two seconds to compile, for its error message."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j]


@jit
def elimination_tree(indptr: Any, indices: Any) -> Any:
    """Parent of each node in the elimination tree of a symmetric pattern; -1 for roots (Liu)."""
    n = len(indptr) - 1
    parent, ancestor = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    for i in range(n):
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while k != -1 and k < i:
                following = ancestor[k]
                ancestor[k] = i
                if following == -1:
                    parent[k] = i
                k = following
    return parent


@jit
def postorder(parent: Any) -> Any:
    """Order in which every node follows all of its descendants."""
    n = len(parent)
    head, sibling = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            sibling[i] = head[parent[i]]
            head[parent[i]] = i
    order, stack, k = np.empty(n, np.int64), np.empty(n, np.int64), 0
    for root in range(n):
        if parent[root] >= 0:
            continue
        stack[0], top = root, 0
        while top >= 0:
            i = stack[top]
            if head[i] >= 0:
                top += 1
                stack[top] = head[i]
                head[i] = sibling[head[i]]
            else:
                order[k] = i
                k += 1
                top -= 1
    return order


@jit
def column_structure(indptr: Any, indices: Any, parent: Any) -> Any:
    """Rows below the diagonal in each column of the factor, ascending: (start, rows).

    Row i is met on the way up the elimination tree from the entries of row i.
    """
    n = len(parent)
    start, mark = np.zeros(n + 1, np.int64), np.full(n, -1, np.int64)
    for i in range(n):
        mark[i] = i
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while k < i and mark[k] != i:
                start[k + 1] += 1
                mark[k] = i
                k = parent[k]
    start = np.cumsum(start)
    rows, last = np.empty(start[n], np.int64), start[:n].copy()
    mark[:] = -1
    for i in range(n):
        mark[i] = i
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while k < i and mark[k] != i:
                rows[last[k]] = i
                last[k] += 1
                mark[k] = i
                k = parent[k]
    return start, rows


@jit
def supernodes(parent: Any, start: Any, width: int) -> Any:
    """First node of each supernode, and the number of nodes at the end.

    A node joins the one before it when both have the same rows; small supernodes join their parent when that stores
    few zeros (Ashcraft and Grimes). `width` is the number of variables per node.
    """
    n = len(parent)
    first, entries = np.empty(n + 1, np.int64), np.empty(n, np.int64)  # entries: true ones of each supernode
    count = 0
    for j in range(n):
        below = start[j + 1] - start[j]
        if count and parent[j - 1] == j and start[j] - start[j - 1] == below + 1:
            entries[count - 1] += below + 1
        else:
            first[count], entries[count] = j, below + 1
            count += 1
        # the supernode that j closes, if it does, may take in the one before it
        if j + 1 < n and parent[j] == j + 1 and start[j + 1] - start[j] == start[j + 2] - start[j + 1] + 1:
            continue
        while count > 1:
            child_last = first[count - 1] - 1
            if parent[child_last] < 0 or parent[child_last] > j:
                break
            size = j + 1 - first[count - 2]
            stored = size * (size + 1) / 2 + size * below
            true = entries[count - 2] + entries[count - 1]
            zeros = (stored - true) / stored
            columns = size * width
            allowed = 1.0 if columns <= 8 else 0.4 if columns <= 32 else 0.15 if columns <= 96 else 0.05
            if zeros > allowed:
                break
            entries[count - 2] = true
            count -= 1
    first[count] = n
    return first[: count + 1]


@jit
def relative_rows(first: Any, start: Any, rows: Any) -> Any:
    """Parent of each supernode, its rows, and where these are in the front of the parent: (parent, at, row, place)."""
    n_super = len(first) - 1
    group = np.empty(first[n_super], np.int64)
    at = np.zeros(n_super + 1, np.int64)
    for s in range(n_super):
        group[first[s] : first[s + 1]] = s
        last = first[s + 1] - 1
        at[s + 1] = at[s] + start[last + 1] - start[last]
    parent = np.full(n_super, -1, np.int64)
    row, place = np.empty(at[n_super], np.int64), np.empty(at[n_super], np.int64)
    for s in range(n_super):
        for q in range(at[s + 1] - at[s]):
            row[at[s] + q] = rows[start[first[s + 1] - 1] + q]
    for s in range(n_super):
        if at[s + 1] == at[s]:
            continue
        p = group[row[at[s]]]
        parent[s] = p
        pivots, k = first[p + 1] - first[p], at[p]
        for q in range(at[s], at[s + 1]):
            if row[q] < first[p + 1]:
                place[q] = row[q] - first[p]
            else:
                while row[k] < row[q]:
                    k += 1
                place[q] = pivots + k - at[p]
    return parent, at, row, place


@jit
def entry_places(i: Any, j: Any, first: Any, at: Any, row: Any) -> Any:
    """Supernode, and row and column in its front, of entries i >= j."""
    group = np.empty(first[-1], np.int64)
    for s in range(len(first) - 1):
        group[first[s] : first[s + 1]] = s
    n = len(i)
    of, r, c = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for e in range(n):
        s = group[j[e]]
        of[e], c[e] = s, j[e] - first[s]
        if i[e] < first[s + 1]:
            r[e] = i[e] - first[s]
        else:
            r[e] = first[s + 1] - first[s] + np.searchsorted(row[at[s] : at[s + 1]], i[e])
    return of, r, c


@jit
def stack_layout(first: Any, at: Any, parent: Any, width: int) -> Any:
    """Offset of each supernode's update matrix on a stack, the height of the stack, and the widest front."""
    n_super = len(parent)
    offset, base = np.zeros(n_super, np.int64), np.full(n_super, -1, np.int64)
    top, height, widest = 0, 0, 0
    for s in range(n_super):
        if base[s] >= 0:  # children are on top of the stack: they go
            top = base[s]
        offset[s] = top
        rows = (at[s + 1] - at[s]) * width
        top += rows * rows
        height, widest = max(height, top), max(widest, rows + (first[s + 1] - first[s]) * width)
        if parent[s] >= 0 and base[parent[s]] < 0:
            base[parent[s]] = offset[s]
    return offset, height, widest


@jit
def cholesky(a: Any, k: int) -> bool:
    """Lower Cholesky factor in place, by loops; False where a pivot is not positive."""
    for j in range(k):
        d = a[j, j]
        for q in range(j):
            d -= a[j, q] * a[j, q]
        if not d > 0.0:
            return False
        d = np.sqrt(d)
        a[j, j] = d
        for i in range(j + 1, k):
            t = a[i, j]
            for q in range(j):
                t -= a[i, q] * a[j, q]
            a[i, j] = t / d
    return True


@jit
def invert_triangle(a: Any, out: Any, k: int) -> None:
    """Inverse of a lower triangle, by loops; `out` is zero above the diagonal."""
    for j in range(k):
        out[j, j] = 1.0 / a[j, j]
    for i in range(1, k):
        for q in range(i):
            f = a[i, q] * out[i, i]
            for j in range(q + 1):
                out[i, j] -= f * out[q, j]


@jit
def _inverse_root(a: Any, k: int) -> Any:
    """L^{-1} of a = L L', and whether all pivots were positive."""
    whole = np.zeros((k, k))
    if k <= SMALL:
        good = cholesky(a, k)
        if good:
            invert_triangle(a, whole, k)
        return whole, good
    for j0 in range(0, k, SMALL):
        j1 = min(j0 + SMALL, k)
        size = j1 - j0
        block = a[j0:j1, j0:j1].copy()
        if not cholesky(block, size):
            return whole, False
        inverse = np.zeros((size, size))
        invert_triangle(block, inverse, size)
        put(inverse, whole[j0:j1, j0:j1])
        if j0:  # the rows of L to the left are in a already: -L_jj^{-1} L_j,left L_left^{-1}
            left = np.dot(a[j0:j1, :j0].copy(), whole[:j0, :j0].copy())
            put(np.dot(-inverse, left), whole[j0:j1, :j0])
        if j1 < k:
            panel = np.dot(a[j1:, j0:j1].copy(), inverse.T)
            put(panel, a[j1:, j0:j1])
            known = np.dot(panel, panel.T)
            for x in range(j1, k):
                for y in range(j1, x + 1):
                    a[x, y] -= known[x - j1, y - j1]
    return whole, True


@jit
def _front(s: int, first: Any, at: Any, width: int) -> Any:
    """Number of variables of a supernode, and of its rows."""
    return (first[s + 1] - first[s]) * width, (at[s + 1] - at[s]) * width


@jit
def factorise(
    dims: Any, blocks: Any, turned: Any, entry: Any, begin: Any, r: Any, c: Any, first: Any, at: Any, place: Any,
    child: Any, children: Any, offset: Any, store: Any, stack: Any, kept: Any
) -> Any:  # fmt: skip
    """Log-determinant, and the supernode that failed, or -1; puts L^{-1} and G per supernode in `kept`.

    `stack` and `kept` are made by numpy, which asks for large pages: of ten columns that saves a third of the time.
    `dims` is a tuple of as many zeros as a node has variables: the compiler unrolls loops over them.
    """
    n_super, width = len(first) - 1, len(dims)
    logdet = 0.0
    for s in range(n_super):
        k, m = _front(s, first, at, width)
        panel, u = np.zeros((k + m, k)), np.zeros((m, m))
        for q in range(begin[s], begin[s + 1]):
            e = entry[q]
            row, col = r[e] * width, c[e] * width
            for x in range(len(dims)):
                for y in range(len(dims)):
                    panel[row + x, col + y] += blocks[e, y, x] if turned[e] else blocks[e, x, y]
        for q in range(child[s], child[s + 1]):
            t = children[q]
            rows = at[t + 1] - at[t]
            update = stack[offset[t] : offset[t] + (rows * width) ** 2].reshape((rows * width, rows * width))
            for x in range(rows):
                i = place[at[t] + x] * width
                for y in range(x + 1):
                    j = place[at[t] + y] * width
                    if j < k:
                        for p in range(len(dims)):
                            for z in range(len(dims)):
                                panel[i + p, j + z] += update[x * width + p, y * width + z]
                    else:
                        for p in range(len(dims)):
                            for z in range(len(dims)):
                                u[i - k + p, j - k + z] += update[x * width + p, y * width + z]
        inverse, good = _inverse_root(panel[:k], k)
        if not good:
            return logdet, s
        for j in range(k):
            logdet -= 2.0 * np.log(inverse[j, j])
        put(inverse, kept[store[s] : store[s] + k * k].reshape((k, k)))
        if m:
            below = kept[store[s] + k * k : store[s] + k * k + m * k].reshape((m, k))
            np.dot(panel[k:], inverse.T, below)
            update, known = stack[offset[s] : offset[s] + m * m].reshape((m, m)), np.dot(below, below.T)
            for x in range(m):
                for y in range(x + 1):
                    update[x, y] = u[x, y] - known[x, y]
    return logdet, -1


@jit
def solve_forward(kept: Any, store: Any, first: Any, at: Any, row: Any, width: int, x: Any) -> None:
    """Put L^{-1} x in place of x, rows in the order of elimination."""
    for s in range(len(first) - 1):
        k, m = _front(s, first, at, width)
        start = first[s] * width
        pivots = np.dot(kept[store[s] : store[s] + k * k].reshape((k, k)), x[start : start + k])
        if m:
            change = np.dot(kept[store[s] + k * k : store[s] + k * k + m * k].reshape((m, k)), pivots)
            for q in range(at[s], at[s + 1]):
                for p in range(width):
                    for z in range(x.shape[1]):
                        x[row[q] * width + p, z] -= change[(q - at[s]) * width + p, z]
        put(pivots, x[start : start + k])


@jit
def solve_backward(
    kept: Any, store: Any, first: Any, at: Any, row: Any, width: int, node: Any, x: Any, out: Any
) -> None:
    """Put P' L^{-T} x in `out`, rows in the order of nodes, of the first columns of x, rows in that of elimination."""
    columns = out.shape[1]
    for s in range(len(first) - 2, -1, -1):
        k, m = _front(s, first, at, width)
        start = first[s] * width
        pivots, later = np.empty((k, columns)), np.empty((m, columns))
        for i in range(k):
            for z in range(columns):
                pivots[i, z] = x[start + i, z]
        if m:
            for q in range(at[s], at[s + 1]):
                a, b = (q - at[s]) * width, node[row[q]] * width
                for p in range(width):
                    for z in range(columns):
                        later[a + p, z] = out[b + p, z]
            pivots -= np.dot(kept[store[s] + k * k : store[s] + k * k + m * k].reshape((m, k)).T, later)
        solved = np.dot(kept[store[s] : store[s] + k * k].reshape((k, k)).T, pivots)
        for q in range(first[s], first[s + 1]):
            a, b = (q - first[s]) * width, node[q] * width
            for p in range(width):
                for z in range(columns):
                    out[b + p, z] = solved[a + p, z]


@jit
def selected_inverse(
    kept: Any, store: Any, turned: Any, entry: Any, begin: Any, r: Any, c: Any,
    first: Any, at: Any, place: Any, child: Any, children: Any, offset: Any, width: int, stack: Any, blocks_of: Any
) -> None:  # fmt: skip
    """Put blocks of the inverse where the matrix has an entry in `blocks_of`, in the order of its entries."""
    for s in range(len(first) - 2, -1, -1):
        k, m = _front(s, first, at, width)
        inverse = kept[store[s] : store[s] + k * k].reshape((k, k))
        whole = np.empty((k + m, k + m))
        corner = np.dot(inverse.T, inverse)
        if m:
            s_c = stack[offset[s] : offset[s] + m * m].reshape((m, m))
            gain = np.dot(kept[store[s] + k * k : store[s] + k * k + m * k].reshape((m, k)), inverse)
            s_b = -np.dot(s_c, gain)
            corner -= np.dot(gain.T, s_b)
            put(s_c, whole[k:, k:])
            put(s_b, whole[k:, :k])
            put(s_b.T, whole[:k, k:])
        put(corner, whole[:k, :k])
        for q in range(begin[s], begin[s + 1]):
            e = entry[q]
            i, j = r[e] * width, c[e] * width
            for x in range(width):
                for y in range(width):
                    blocks_of[e, x, y] = whole[i + y, j + x] if turned[e] else whole[i + x, j + y]
        for q in range(child[s], child[s + 1]):
            t = children[q]
            rows = at[t + 1] - at[t]
            wide = rows * width
            for x in range(rows):
                i = place[at[t] + x] * width
                for p in range(width):
                    base = offset[t] + (x * width + p) * wide
                    for y in range(rows):
                        j = place[at[t] + y] * width
                        for z in range(width):
                            stack[base + y * width + z] = whole[i + p, j + z]


@jit
def invert_each(a: Any) -> Any:
    """Inverses of small symmetric positive definite matrices (n, d, d), and the sum of their log-determinants."""
    n, d = a.shape[0], a.shape[1]
    inverses, logdet = np.zeros((n, d, d)), 0.0
    root, inverse = np.empty((d, d)), np.empty((d, d))
    for i in range(n):
        put(a[i], root)
        if not cholesky(root, d):
            inverses[i] = np.nan
            logdet = np.nan
            continue
        inverse[:] = 0.0
        invert_triangle(root, inverse, d)
        for x in range(d):
            logdet += 2.0 * np.log(root[x, x])
            for y in range(x + 1):
                t = 0.0
                for q in range(x, d):
                    t += inverse[q, x] * inverse[q, y]
                inverses[i, x, y] = t
                inverses[i, y, x] = t
    return inverses, logdet
