"""What each term costs: one measure on the planar graphs of the folder `shared`, fitted by the fast engine.

    python benchmarks/terms.py [--shared ../shared] [--sizes 2000 14500] [--out docs/fast-engine.md]

The data were drawn with a smooth field and independent effects; each row is a model of them, in a process of its own,
imports not counted, compiled loops on disk. Times of a value of the hyperparameters (log p), of one with its gradient,
and of a fit with at least 400 effective values and 1,000 draws on two threads; the most memory that the process had;
and the root mean square error of the posterior means.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs
from buurtsae.engines.marginal import Marginal
from buurtsae.model.design import design

MARKS = "<!-- terms: written by benchmarks/terms.py -->", "<!-- end of terms -->"
MODELS = (
    "IID",
    "BYM2",
    "ICAR + IID",
    "Leroux",
    "SAR",
    "BYM2 + ICAR of the next but one",
    "BYM2 + Spline",
    "BYM2 + RW1",
)


def terms_of(name: str, graph: bs.Graph) -> list[Any]:
    """Return the terms of a row of the table."""
    if name == "BYM2 + ICAR of the next but one":
        second = (graph.adjacency @ graph.adjacency).tolil()
        second.setdiag(0)
        far = bs.Graph.from_adjacency(graph.codes, (second.tocsr() - graph.adjacency > 0).astype(float))
        return [bs.BYM2(graph), bs.ICAR(far, name="far")]
    made = {
        "IID": lambda: bs.IID("area"), "BYM2": lambda: bs.BYM2(graph), "ICAR": lambda: bs.ICAR(graph),
        "Leroux": lambda: bs.Leroux(graph), "SAR": lambda: bs.SAR(graph),
        "Spline": lambda: bs.Spline("x2"), "RW1": lambda: bs.RW1("lon"),
    }  # fmt: skip
    return [made[part]() for part in name.split(" + ")]


def measured(shared: Path, n: int, name: str) -> dict[str, Any]:
    """Fit one model and return its row."""
    folder = shared / "bench" / "planar"
    table, edges = pd.read_csv(folder / f"fh_bym2_n{n}.csv"), pd.read_csv(folder / f"edges_n{n}.csv").to_numpy()
    table["lon"] = table["lon"].round(2)  # a hundred steps
    codes = table["area"].astype(str).to_numpy()
    data = bs.DirectEstimates.from_frame(
        table.drop(columns=["theta", "iid", "spatial"]), y="y", variance="var", area="area"
    )
    model = bs.AreaModel("1 + x2 + x3 + x4 + x5", terms_of(name, bs.Graph.from_pairs(codes, codes[edges])))
    marginal = Marginal.of(design(model, data))
    xi = np.zeros(marginal.size)
    marginal.with_gradient(xi)  # compiled now
    clock = {}
    for what, step in (("value", marginal.log_posterior), ("gradient", marginal.with_gradient)):
        start = time.perf_counter()
        for _ in range(5):
            step(xi)
        clock[what] = (time.perf_counter() - start) / 5
    start = time.perf_counter()
    fit = bs.fit(model, data, seed=1, progress=False, draws=1000, hyperparameters=400)
    seconds = time.perf_counter() - start
    truth = table.set_index("area")["theta"].rename(index=str).reindex(fit.design.areas)
    return {
        "areas": n,
        "model": name,
        "hyperparameters": marginal.size,
        "ms per value": round(1000 * clock["value"], 1),
        "ms with gradient": round(1000 * clock["gradient"], 1),
        "seconds": round(seconds, 1),
        "GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "k-hat": round(fit.draws.certificate.khat, 2),  # type: ignore[union-attr]
        "RMSE": round(float(np.sqrt(((fit.draws.flat.mean(axis=0)[:, 0] - truth) ** 2).mean())), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 14500])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "MODEL"))
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.shared, int(args.one[0]), args.one[1])))
        return
    rows = []
    for n in args.sizes:
        for name in MODELS:
            command = [sys.executable, __file__, "--shared", str(args.shared), "--one", str(n), name]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(rows[-1], flush=True)
    text = pd.DataFrame(rows).to_markdown(index=False)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
