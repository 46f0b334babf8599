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


def jit(function: Callable[..., Any], *, inner: bool = False) -> Callable[..., Any]:
    """Compile a loop at its first call, keep it on disk, and let other threads work meanwhile.

    No wrapper for C is made, which nothing calls; of a part of other loops none for Python either.
    """
    options = {"cache": True, "nogil": True, "error_model": "numpy"}
    compiled: Callable[..., Any] = numba.njit(**options, no_cfunc_wrapper=True, no_cpython_wrapper=inner)(function)
    return compiled


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a part of other loops: Python cannot call it."""
    return jit(function, inner=True)


# What numba takes seconds to compile is left out of loops: operations on whole arrays, slices of two dimensions, zeros,
# minima; and a function is compiled once for each layout, and each constant, that it is called with.

SMALL = 40  # below this order own loops beat a call of LAPACK


@part
def copy(a: Any, out: Any) -> None:
    """Copy a matrix into another."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j]


@part
def turn(a: Any, out: Any) -> None:
    """Copy the transpose of a matrix into another."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[j, i] = a[i, j]


@part
def clear(out: Any) -> None:
    """Make a matrix zero."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0.0


@part
def take(a: Any, i: int, j: int, out: Any) -> None:
    """Copy the part of a matrix that ends before row i and column j, of the size of another, into that."""
    i0, j0 = i - out.shape[0], j - out.shape[1]
    for x in range(out.shape[0]):
        for y in range(out.shape[1]):
            out[x, y] = a[i0 + x, j0 + y]


@part
def put(a: Any, out: Any, i: int, j: int) -> None:
    """Copy a matrix into part of another, so that it ends before row i and column j."""
    i0, j0 = i - a.shape[0], j - a.shape[1]
    for x in range(a.shape[0]):
        for y in range(a.shape[1]):
            out[i0 + x, j0 + y] = a[x, y]


@part
def matrix(numbers: Any, begin: int, rows: int, columns: int) -> Any:
    """The matrix that is kept from here on."""
    return numbers[begin : begin + rows * columns].reshape((rows, columns))


@jit
def elimination_tree(indptr: Any, indices: Any) -> Any:
    """Parent of each node in the elimination tree of a symmetric pattern; -1 for roots (Liu)."""
    n = len(indptr) - 1
    parent, ancestor = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        parent[i], ancestor[i] = -1, -1
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
    head, sibling = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n - 1, -1, -1):
        head[i], sibling[i] = -1, -1
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
    start, mark = np.empty(n + 1, np.int64), np.empty(n, np.int64)
    start[0] = 0
    for i in range(n):  # start[k + 1] counts the rows of column k
        mark[i], start[i + 1] = i, 0
        for p in range(indptr[i], indptr[i + 1]):
            k = indices[p]
            while k < i and mark[k] != i:
                start[k + 1] += 1
                mark[k] = i
                k = parent[k]
    for i in range(n):
        start[i + 1] += start[i]
    rows, last = np.empty(start[n], np.int64), np.empty(n, np.int64)
    for i in range(n):
        mark[i], last[i] = i, start[i]
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
    """First node of each supernode, and the number of nodes at the end; how many supernodes there are.

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
    return first, count


@part
def cholesky(a: Any) -> bool:
    """Lower Cholesky factor in place, by loops; False where a pivot is not positive."""
    k = a.shape[0]
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


@part
def invert_triangle(a: Any, out: Any) -> None:
    """Inverse of a lower triangle, by loops; zero above the diagonal."""
    k = a.shape[0]
    clear(out)
    for j in range(k):
        out[j, j] = 1.0 / a[j, j]
    for i in range(1, k):
        for q in range(i):
            f = a[i, q] * out[i, i]
            for j in range(q + 1):
                out[i, j] -= f * out[q, j]


@part
def inverse_root(a: Any) -> Any:
    """L^{-1} of a = L L', and whether all pivots were positive."""
    k = a.shape[0]
    whole = np.empty((k, k))
    if k <= SMALL:
        good = cholesky(a)
        if good:
            invert_triangle(a, whole)
        return whole, good
    clear(whole)
    for j0 in range(0, k, SMALL):
        size = SMALL if j0 + SMALL < k else k - j0
        j1 = j0 + size
        block, inverse = np.empty((size, size)), np.empty((size, size))
        take(a, j1, j1, block)
        if not cholesky(block):
            return whole, False
        invert_triangle(block, inverse)
        put(inverse, whole, j1, j1)
        if j0:  # the rows of L to the left are in a already: -L_jj^{-1} L_j,left L_left^{-1}
            left, known, product = np.empty((size, j0)), np.empty((j0, j0)), np.empty((size, j0))
            take(a, j1, j0, left)
            take(whole, j0, j0, known)
            np.dot(left, known, product)
            np.dot(inverse, product, left)
            for x in range(size):
                for y in range(j0):
                    whole[j0 + x, y] = -left[x, y]
        if j1 < k:
            below, panel = np.empty((k - j1, size)), np.empty((k - j1, size))
            take(a, k, j1, below)
            np.dot(below, inverse.T, panel)
            put(panel, a, k, j1)
            square = np.empty((k - j1, k - j1))
            np.dot(panel, panel.T, square)
            for x in range(j1, k):
                for y in range(j1, x + 1):
                    a[x, y] -= square[x - j1, y - j1]
    return whole, True


@part
def sizes(s: int, first: Any, at: Any, width: int) -> Any:
    """Number of variables of a supernode, and of its rows."""
    return (first[s + 1] - first[s]) * width, (at[s + 1] - at[s]) * width


@part
def eliminate(panel: Any, u: Any, kept: Any, begin: int, stack: Any, offset: int, logdet: float) -> Any:
    """Put L^{-1} and G of a front in `kept`, the rest on the stack; log-determinant so far, are pivots good?."""
    m, k = u.shape[0], panel.shape[1]
    inverse, good = inverse_root(panel[:k])
    if not good:
        return logdet, False
    for j in range(k):
        logdet -= 2.0 * np.log(inverse[j, j])
    copy(inverse, matrix(kept, begin, k, k))
    if m:
        below = matrix(kept, begin + k * k, m, k)
        np.dot(panel[k:], inverse.T, below)
        update, known = matrix(stack, offset, m, m), np.empty((m, m))
        np.dot(below, below.T, known)
        for x in range(m):
            for y in range(x + 1):
                update[x, y] = u[x, y] - known[x, y]
    return logdet, True


@jit
def factorise(
    dims: Any, blocks: Any, turned: Any, entry: Any, begin: Any, r: Any, c: Any, first: Any, at: Any, place: Any,
    child: Any, children: Any, offset: Any, store: Any, stack: Any, kept: Any
) -> Any:  # fmt: skip
    """Log-determinant, and the supernode that failed, or -1; puts L^{-1} and G per supernode in `kept`.

    `stack` and `kept` are made by numpy, which asks for large pages: of ten columns that saves a third of the time.
    `dims` is a tuple of as many zeros as a node has variables: the compiler unrolls loops over them.
    """
    n_super, width = len(first) - 1, blocks.shape[1]
    logdet = 0.0
    for s in range(n_super):
        k, m = sizes(s, first, at, width)
        panel, u = np.empty((k + m, k)), np.empty((m, m))
        clear(panel)
        clear(u)
        for q in range(begin[s], begin[s + 1]):
            e = entry[q]
            row, col = r[e] * width, c[e] * width
            for x in range(len(dims)):
                for y in range(len(dims)):
                    panel[row + x, col + y] += blocks[e, y, x] if turned[e] else blocks[e, x, y]
        for q in range(child[s], child[s + 1]):
            t = children[q]
            rows = at[t + 1] - at[t]
            update = matrix(stack, offset[t], rows * width, rows * width)
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
        logdet, good = eliminate(panel, u, kept, store[s], stack, offset[s], logdet)
        if not good:
            return logdet, s
    return logdet, -1


@jit
def solve_forward(kept: Any, store: Any, first: Any, at: Any, row: Any, width: int, x: Any) -> None:
    """Put L^{-1} x in place of x, rows in the order of elimination."""
    columns = x.shape[1]
    for s in range(len(first) - 1):
        k, m = sizes(s, first, at, width)
        start, pivots = first[s] * width, np.empty((k, columns))
        np.dot(matrix(kept, store[s], k, k), x[start : start + k], pivots)
        if m:
            change = np.empty((m, columns))
            np.dot(matrix(kept, store[s] + k * k, m, k), pivots, change)
            for q in range(at[s], at[s + 1]):
                for p in range(width):
                    for z in range(columns):
                        x[row[q] * width + p, z] -= change[(q - at[s]) * width + p, z]
        put(pivots, x, start + k, columns)


@jit
def solve_backward(
    kept: Any, store: Any, first: Any, at: Any, row: Any, width: int, node: Any, x: Any, out: Any
) -> None:
    """Put P' L^{-T} x in `out`, rows in the order of nodes, of the first columns of x, rows in that of elimination."""
    columns = out.shape[1]
    for s in range(len(first) - 2, -1, -1):
        k, m = sizes(s, first, at, width)
        start = first[s] * width
        pivots, solved = np.empty((k, columns)), np.empty((k, columns))
        take(x, start + k, columns, pivots)
        if m:
            later = np.empty((m, columns))
            for q in range(at[s], at[s + 1]):
                a, b = (q - at[s]) * width, node[row[q]] * width
                for p in range(width):
                    for z in range(columns):
                        later[a + p, z] = out[b + p, z]
            np.dot(matrix(kept, store[s] + k * k, m, k).T, later, solved)
            for i in range(k):
                for z in range(columns):
                    pivots[i, z] -= solved[i, z]
        np.dot(matrix(kept, store[s], k, k).T, pivots, solved)
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
        k, m = sizes(s, first, at, width)
        inverse = matrix(kept, store[s], k, k)
        whole, corner = np.empty((k + m, k + m)), np.empty((k, k))
        np.dot(inverse.T, inverse, corner)
        put(corner, whole, k, k)
        if m:
            s_c, gain, s_b = matrix(stack, offset[s], m, m), np.empty((m, k)), np.empty((m, k))
            np.dot(matrix(kept, store[s] + k * k, m, k), inverse, gain)
            np.dot(s_c, gain, s_b)  # less S_B
            np.dot(gain.T, s_b, corner)
            put(s_c, whole, k + m, k + m)
            for j in range(k):
                for i in range(k):
                    whole[i, j] += corner[i, j]
                for i in range(m):
                    whole[k + i, j] = -s_b[i, j]
                    whole[j, k + i] = -s_b[i, j]
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
    inverses, logdet = np.empty((n, d, d)), 0.0
    root, inverse = np.empty((d, d)), np.empty((d, d))
    for i in range(n):
        copy(a[i], root)
        none = 0.0
        if not cholesky(root):
            none = np.nan
            logdet = np.nan
        invert_triangle(root, inverse)
        for x in range(d):
            logdet += 2.0 * np.log(root[x, x])
            for y in range(x + 1):
                t = none
                for q in range(x, d):
                    t += inverse[q, x] * inverse[q, y]
                inverses[i, x, y] = t
                inverses[i, y, x] = t
    return inverses, logdet
