"""Dense fronts of the sparse factorisation: own loops, own blocks on BLAS (what is used), LAPACK on whole fronts.

    OMP_NUM_THREADS=1 python benchmarks/fronts.py [--out docs/years.md]

A front of a supernode with k pivots and m rows below, F = [[A, B'], [B, C]]: factor A = L L', keep L^{-1} and
G = B L^{-T}, and make C - G G'. A third of each front are pivots, as in the larger supernodes of the graph of all
buurten; ten columns per buurt (a wave each) give fronts up to 570. The shortest of several times, one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dtrtri

from buurtsae import multifrontal
from buurtsae.multifrontal import cholesky, invert_triangle, jit

MARKS = "<!-- fronts: written by benchmarks/fronts.py -->", "<!-- end of fronts -->"
WIDTHS = (30, 60, 90, 150, 300, 570)


@jit
def loops(a: np.ndarray, below: np.ndarray, update: np.ndarray) -> None:
    """Factor a front by loops only."""
    k, m = len(a), len(below)
    inverse = np.empty((k, k))
    cholesky(a)
    invert_triangle(a, inverse)
    g = np.zeros((m, k))
    for i in range(m):
        for q in range(k):
            f = below[i, q]
            for j in range(q, k):
                g[i, j] += f * inverse[j, q]
    for i in range(m):
        for j in range(i + 1):
            t = 0.0
            for q in range(k):
                t += g[i, q] * g[j, q]
            update[i, j] -= t


@jit
def blocks(a: np.ndarray, below: np.ndarray, update: np.ndarray) -> None:
    """Factor a front as `multifrontal.factorise` does."""
    inverse, _ = multifrontal.inverse_root(a)
    g = np.dot(below, inverse.T)
    known = np.dot(g, g.T)
    for i in range(len(below)):
        for j in range(i + 1):
            update[i, j] -= known[i, j]


def lapack(a: np.ndarray, below: np.ndarray, update: np.ndarray) -> None:
    """Factor a front by LAPACK and BLAS, called from Python."""
    inverse, _ = dtrtri(dpotrf(a, lower=1)[0], lower=1)
    g = below @ np.tril(inverse).T
    update -= dsyrk(1.0, g, lower=1)


def shortest(work: Callable[[np.ndarray, np.ndarray, np.ndarray], None], front: np.ndarray, k: int) -> float:
    """Return the shortest of some times, in microseconds."""
    found = []
    for _ in range(max(5, 20_000 // len(front))):
        parts = front[:k, :k].copy(), front[k:, :k].copy(), front[k:, k:].copy()
        start = time.perf_counter()
        work(*parts)
        found.append(1e6 * (time.perf_counter() - start))
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows, rng = [], np.random.default_rng(1)
    for width in WIDTHS:
        x = rng.standard_normal((width, 2 * width))
        front, k = x @ x.T, width // 3
        times = {f"{f.__name__}, us": round(shortest(f, front, k)) for f in (loops, blocks, lapack)}
        flop = k**3 / 3 + k * k * (width - k) + k * (width - k) ** 2  # of a Cholesky factor, multiply and add as one
        speed = round(2e-3 * flop / times["blocks, us"], 1)
        rows.append({"front": width, "pivots": k, **times, "blocks, GFlop/s": speed})
    text = pd.DataFrame(rows).to_markdown(index=False)
    print(text)
    if arguments.out:
        write_part(arguments.out, *MARKS, text)


if __name__ == "__main__":
    main()
