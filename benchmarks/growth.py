"""How the fast engine grows: one sub-dimension, BYM2 on planar graphs of 500 to a million areas, beside an R sampler.

    python benchmarks/growth.py [--shared ../shared] [--most 1000000] [--out docs/fast-engine.md]

Random points and their Delaunay neighbours, as `bench/planar` of the folder `shared`; its files are used for the sizes
that it has. Each size in a process of its own, imports not counted, compiled loops on disk. The R sampler's figures are
those of `bench/planar/README.md`, on one core: seconds per 400 effective draws of its slowest standard deviation. Ours,
on two threads, are seconds of a fit with at least 400 effective values of the hyperparameters and 1,000 draws of all;
400 draws of a million areas, as a thousand would be 8 GB of results.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

ROOT = Path(__file__).parents[1]
MARKS = "<!-- growth: written by benchmarks/growth.py -->", "<!-- end of growth -->"
SIZES = (500, 2000, 8000, 14500, 30000, 100_000, 300_000, 1_000_000)
DRAWS = {1_000_000: 400}  # 1,000 of the others
R_SECONDS = {500: 14, 2000: 47, 8000: 364, 14500: 571}  # bench/planar/README.md, last column


def made(n: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Return edges and data of n random points: y = x beta + iid + smooth field + error."""
    from scipy.spatial import Delaunay

    rng = np.random.default_rng(n)
    points = rng.uniform(size=(n, 2))
    triangles = Delaunay(points).simplices
    edges = np.unique(np.sort(np.vstack([triangles[:, p] for p in ([0, 1], [1, 2], [0, 2])]), axis=1), axis=0)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 4))])
    smooth = np.sin(6 * points[:, 0]) * np.cos(5 * points[:, 1])
    variance = rng.uniform(0.1, 0.5, n)
    y = x @ [1, 0.5, -0.3, 0.2, 0.1] + 0.5 * smooth + 0.4 * rng.normal(size=n) + rng.normal(0, np.sqrt(variance))
    return edges, pd.DataFrame(x, columns=[f"x{k}" for k in range(1, 6)]).assign(y=y, var=variance)


def measured(shared: Path, n: int) -> dict[str, float]:
    """Fit one size in this process."""
    import geopandas as gpd

    from buurtsae.areas.areas import Areas
    from buurtsae.areas.graph import Graph
    from buurtsae.engines.base import fit
    from buurtsae.model.spec import AreaModel
    from buurtsae.model.terms import BYM2
    from buurtsae.survey.direct import DirectEstimates
    from buurtsae.survey.source_estimates import SourceEstimates

    file = shared / f"bench/planar/fh_bym2_n{n}.csv"
    if file.is_file():
        edges, data = pd.read_csv(shared / f"bench/planar/edges_n{n}.csv").to_numpy(), pd.read_csv(file)
    else:
        edges, data = made(n)
    codes = pd.Index([f"BU{k // 10_000:04}{k % 10_000:04}" for k in range(n)], name="area_code")
    frame = gpd.GeoDataFrame(data[["x2", "x3", "x4", "x5"]].set_axis(codes), geometry=gpd.GeoSeries([None] * n, codes))
    frame = frame.assign(name=codes, wijk="WK" + codes.str[2:8], gemeente="GM" + codes.str[2:6], population=100)
    areas = Areas(frame, 2024)
    graph = Graph(tuple(codes), np.unique(np.sort(edges.astype(np.int64), axis=1), axis=0))
    one = np.ones((n, 1))
    y, variance = data["y"].to_numpy()[:, None], data["var"].to_numpy()[:, None, None]
    source = SourceEstimates("made", 2024, codes, y, variance, one.astype("int64"), one)
    model = AreaModel("1 + x2 + x3 + x4 + x5", (BYM2(graph),))
    direct = DirectEstimates(("participatie",), (source,), areas)
    fit(model, direct, progress=False, draws=4, hyperparameters=2)  # compiled loops are read from disk
    start = time.perf_counter()
    processor = time.process_time()
    draws = DRAWS.get(n, 1000)
    found = fit(model, direct, progress=False, draws=draws, hyperparameters=400)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    certificate = found.draws.certificate
    assert certificate is not None
    return {
        "areas": n,
        "draws": draws,
        "seconds": seconds,
        "of a processor": processor,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "k-hat": certificate.khat,
        "effective values": certificate.effective,
        "s per 400 effective": seconds * 400 / min(certificate.effective, draws),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--only", type=int, default=None, help="the size to fit in this process")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest size")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(args.shared, args.only)))
        return
    rows = []
    for n in (size for size in SIZES if size <= args.most):
        command = [sys.executable, __file__, "--shared", str(args.shared), "--only", str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table["R sampler"] = table["areas"].map(R_SECONDS)
    table["times faster"] = table["R sampler"] / table["s per 400 effective"]
    slopes = {
        f"{low:,} to {high:,}": np.polyfit(np.log(part["areas"]), np.log(part["seconds"]), 1)[0]
        for low, high in ((500, 14500), (14500, int(table["areas"].max())))
        if len(part := table[table["areas"].between(low, high)]) > 1
    }
    formats = (".0f", ".0f", ".1f", ".1f", ".2f", ".2f", ".0f", ".1f", ".0f", ".0f")
    table = table.astype(object).where(table.notna(), None)  # left empty
    text = table.to_markdown(index=False, floatfmt=formats, missingval="")
    text += "\n\nSeconds grow as a power of the number of areas: "
    text += ", ".join(f"{value:.2f} from {name}" for name, value in slopes.items()) + "."
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
