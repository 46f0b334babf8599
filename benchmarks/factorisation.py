"""Which sparse factorisation: ours, SuperLU and CHOLMOD on the graph of all buurten, in one run on one thread.

    OMP_NUM_THREADS=1 python benchmarks/factorisation.py [--shared ../shared] [--out docs/fast-engine.md]

The precision of one field on 14,566 buurten and 342 gemeenten (each tied to its buurten), and of four fields jointly.
CHOLMOD is measured through cvxopt where that can be imported (`pip install cvxopt`, GPL); it is no dependency.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from pages import write_part

from buurtsae.sparse import analyse

ROOT = Path(__file__).parents[1]
MARKS = "<!-- factorisation: written by benchmarks/factorisation.py -->", "<!-- end of factorisation -->"
RIGHT = 49  # right-hand sides: coefficients, constraints and data of the national joint model


def entries(shared: Path) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of nodes, and rows, columns and values below and on the diagonal."""
    buurten = pd.read_parquet(shared / "data/nl/buurt_2024.parquet", columns=["buurtcode", "gemeentecode"])
    buurten = buurten.sort_values("buurtcode", ignore_index=True)
    codes, pairs = pd.Index(buurten["buurtcode"]), pd.read_parquet(shared / "data/nl/buurt_2024_queen_edges.parquet")
    a, b = (codes.get_indexer(pairs[c]) for c in ("buurtcode_a", "buurtcode_b"))
    gemeente = pd.factorize(buurten["gemeentecode"])[0]
    n, groups = len(codes), gemeente.max() + 1
    degree = np.bincount(np.r_[a, b], minlength=n)
    rows = np.r_[np.maximum(a, b), n + gemeente, np.arange(n + groups)]
    columns = np.r_[np.minimum(a, b), np.arange(n), np.arange(n + groups)]
    values = np.r_[-np.ones(len(a)), np.full(n, 0.1), degree + 1.0, np.bincount(gemeente) + 1.0]
    return n + groups, rows, columns, values


def best(work: Callable[[], object], times: int = 5) -> tuple[float, object]:
    """Return the shortest of several times, in milliseconds, and the last result."""
    found, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        found.append(1000 * (time.perf_counter() - start))
    return min(found), result


def rows_of(shared: Path, width: int) -> list[dict[str, object]]:
    """Return one row per method, for `width` fields jointly."""
    n, i, j, values = entries(shared)
    together = np.eye(width) + 0.1
    off = i != j
    square = sp.coo_array((np.r_[values, values[off]], (np.r_[i, j[off]], np.r_[j, i[off]])), shape=(n, n))
    whole = sp.csc_matrix(sp.kron(square, together))
    right = np.random.default_rng(1).normal(size=(n * width, RIGHT))

    analysis, symbolic = best(lambda: analyse(n, i, j, width), 2)
    blocks = values[:, None, None] * together
    factor, found = best(lambda: symbolic.factor(blocks))  # type: ignore[attr-defined]
    solve, ours = best(lambda: found.solve(right))  # type: ignore[attr-defined]
    selected, _ = best(found.selected_inverse)  # type: ignore[attr-defined]
    table = [
        {
            "fields": width,
            "method": "ours (numba, in the package)",
            "analysis": analysis,
            "factor": factor,
            f"{RIGHT} solves": solve,
            "selected inverse": selected,
        }
    ]
    options = {"SymmetricMode": True, "Equil": False}
    both, lu = best(lambda: spla.splu(whole, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options), 2)
    solve, theirs = best(lambda: lu.solve(right), 2)  # type: ignore[attr-defined]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    row = {"fields": width, "method": "SuperLU (scipy), analysis in each", "factor": both, f"{RIGHT} solves": solve}
    table.append(row)
    try:
        import cvxopt
        from cvxopt import cholmod
    except ImportError:
        return table
    lower = sp.tril(whole).tocoo()
    matrix = cvxopt.spmatrix(lower.data, lower.row.tolist(), lower.col.tolist(), whole.shape)
    analysis, pattern = best(lambda: cholmod.symbolic(matrix), 2)
    factor, _ = best(lambda: cholmod.numeric(matrix, pattern))

    def solves() -> object:
        x = cvxopt.matrix(right)
        cholmod.solve(pattern, x)
        return x

    solve, theirs = best(solves)
    np.testing.assert_allclose(ours, np.array(theirs), atol=1e-9)
    row = {"fields": width, "method": "CHOLMOD (cvxopt, GPL)", "analysis": analysis, "factor": factor}
    table.append(row | {f"{RIGHT} solves": solve})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    table = pd.DataFrame([*rows_of(args.shared, 1), *rows_of(args.shared, 4)]).astype(object)
    table = table.where(table.notna(), None)  # left empty
    text = "Milliseconds, the shortest of several, one thread:\n\n"
    text += table.to_markdown(index=False, floatfmt=".0f", missingval="")
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
