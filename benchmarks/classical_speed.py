"""Classical estimators at the size of the country: time, memory, how they grow, and a replication of the bootstrap.

    OMP_NUM_THREADS=1 python benchmarks/classical_speed.py [--shared ../shared] [--out docs/classical.md]

1,000, 4,000 and 14,500 areas, random points with their Delaunay neighbours, and the graph of the buurten of 2024 where
the folder `shared` has it. One in ten areas has no sample; five covariates and an intercept. A fit is everything from
arrays to the table with MSEs, checks and the analysis of the graph included. Each case in a process of its own: imports
are not counted, nor the first fit of 200 areas, which reads compiled loops from disk; a time is the shortest of three,
on the clock and of the processor. Memory is that of the process, and of it what came with the fit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from pages import write_part

from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
from buurtsae.classical.spatial.spatial_fay_herriot import SpatialFayHerriot
from buurtsae.classical.unit.nested_error import NestedError

ROOT = Path(__file__).parents[1]
MARKS = "<!-- speed: written by benchmarks/classical_speed.py -->", "<!-- end of speed -->"
SIZES, WARM, RESPONDENTS = (1000, 4000, 14500), 200, 20_000
NATIONAL = "data/nl/buurt_2024_queen_edges.parquet"
CASES = {
    "fay-herriot": "Fay-Herriot",
    "spatial": "spatial Fay-Herriot (SAR)",
    "multivariate": "multivariate Fay-Herriot, 4 sub-dimensions",
    "nested": f"nested error, {RESPONDENTS:,} respondents",
}
DRAWN = {"fay-herriot": 10, "spatial": 3, "nested": 10}  # replications of the bootstrap


def made_graph(m: int) -> sp.csr_array:
    """Return the neighbours of m random points, shape (m, m)."""
    from scipy.spatial import Delaunay

    triangles = Delaunay(np.random.default_rng(m).uniform(size=(m, 2))).simplices
    return neighbours(m, np.vstack([triangles[:, pair] for pair in ([0, 1], [1, 2], [0, 2])]))


def national_graph(shared: Path) -> sp.csr_array:
    """Return the neighbours of the buurten of 2024 that have any."""
    pairs = pd.read_parquet(shared / NATIONAL, columns=["buurtcode_a", "buurtcode_b"]).to_numpy()
    codes, position = np.unique(pairs, return_inverse=True)
    return neighbours(len(codes), position.reshape(-1, 2))


def neighbours(m: int, pairs: np.ndarray) -> sp.csr_array:
    """Return the symmetric matrix of ones at these pairs."""
    i, j = np.unique(np.sort(pairs, axis=1), axis=0).T
    return sp.csr_array((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(m, m))


def prepared(case: str, graph: sp.csr_array) -> Callable[[], Any]:
    """Return the work of one case on made data: from arrays to a fit with MSEs."""
    m = graph.shape[0]
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(m), rng.normal(size=(m, 5))])
    beta, d = np.array([6, 0.3, 0.1, 0, 0, 0.2]), rng.uniform(0.2, 1.5, m)
    seen = rng.random(m) > 0.1
    mean = x @ beta
    if case == "nested":
        area = rng.integers(0, m, RESPONDENTS)
        v = 0.5 * rng.normal(size=m)
        y = mean[area] + v[area] + 1.5 * rng.normal(size=RESPONDENTS)
        means = pd.DataFrame(x, columns=[f"x{k}" for k in range(6)])
        units = pd.DataFrame(x[area], columns=means.columns)
        return lambda: with_mse(NestedError(y, units, area, means).fit())
    if case == "multivariate":
        root = np.linalg.cholesky(0.25 * (0.5 + 0.5 * np.eye(4)))
        shape = np.linalg.cholesky(0.6 * np.eye(4) + 0.4)
        y = mean[:, None] + rng.normal(size=(m, 4)) @ root.T
        y += np.sqrt(d)[:, None] * (rng.normal(size=(m, 4)) @ shape.T)
        y[~seen] = np.nan
        return lambda: with_mse(MultivariateFayHerriot(y, x, d[:, None, None] * (shape @ shape.T)).fit())
    if case == "spatial":
        w = sp.csc_array(sp.diags_array(1 / graph.sum(axis=1)) @ graph)
        u = sp.linalg.spsolve(sp.eye_array(m, format="csc") - 0.6 * w, 0.5 * rng.normal(size=m))
    else:
        u = 0.5 * rng.normal(size=m)
    y = np.where(seen, mean + u + np.sqrt(d) * rng.normal(size=m), np.nan)
    if case == "spatial":
        return lambda: with_mse(SpatialFayHerriot(y, x, d, graph).fit())
    return lambda: with_mse(FayHerriot(y, x, d).fit())


def with_mse(fit: Any) -> Any:
    """Return the fit once its MSEs are computed and all of them are numbers."""
    assert fit.converged
    assert np.isfinite(np.asarray(fit.mse)).all()
    return fit


def peak() -> float:
    """Return the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measured(case: str, graph: sp.csr_array) -> dict[str, Any]:
    """Run one case in this process."""
    prepared(case, made_graph(WARM))()
    work = prepared(case, graph)
    before, clock, processor = peak(), [], []
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        fit = work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    row = {"estimator": CASES[case], "areas": graph.shape[0], "s": min(clock), "processor s": min(processor)}
    row |= {"peak GiB": peak(), "by the fit": peak() - before}
    if case in DRAWN:
        used = time.process_time()
        fit.bootstrap_mse(DRAWN[case], seed=1)
        row["processor s per bootstrap replication"] = (time.process_time() - used) / DRAWN[case]
    return row


def report(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    table = pd.DataFrame(rows)
    made = table[table["areas"].isin(SIZES)]
    powers = {
        name: np.polyfit(np.log(part["areas"]), np.log(part["processor s"]), 1)[0]
        for name, part in made.groupby("estimator", sort=False)
    }
    table["areas"] = [f"{m:,}" + ("" if m in SIZES else ", buurten of 2024") for m in table["areas"]]
    table = table.astype(object).where(table.notna(), None)  # left empty
    formats = ("", "", ".3f", ".3f", ".2f", ".2f", ".3f")
    text = table.to_markdown(index=False, floatfmt=formats, missingval="", colalign=("left", *["right"] * 6))
    text += "\n\nProcessor seconds grow as a power of the number of areas, from 1,000 to 14,500: "
    text += ", ".join(f"{name} {power:.2f}" for name, power in powers.items()) + ". "
    return text + f"An array of 14,500 x 14,500 numbers would take {14500**2 * 8 / 2**30:.1f} GiB."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument(
        "--only", nargs=2, default=None, help="case, and number of areas or `national`, in this process"
    )
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only:
        case, size = args.only
        graph = national_graph(args.shared) if size == "national" else made_graph(int(size))
        print(json.dumps(measured(case, graph)))
        return
    rows = []
    for case in CASES:
        national = ["national"] if case == "spatial" and (args.shared / NATIONAL).is_file() else []
        for size in (*map(str, SIZES), *national):
            command = [sys.executable, __file__, "--shared", str(args.shared), "--only", case, size]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    text = report(rows)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
