"""How the fast engine grows: one sub-dimension, BYM2 on planar graphs of 500 to a million areas, beside an R sampler.

    python benchmarks/growth.py [--shared ../shared] [--most 1000000] [--out docs/fast-engine.md]

Random points and their Delaunay neighbours, as `bench/planar` of the folder `shared`; its files are used for the sizes
that it has. Each size in a process of its own, imports not counted, compiled loops on disk, two threads: a fit with 80
effective values of the hyperparameters, the default of the country, and 1,000 draws of all; 400 draws of a million
areas, as a thousand would be 8 GB of results, and of 14,500 once more, to tell how it grows.

The R sampler's figures are those of `bench/planar/README.md`, on one core: seconds per 400 effective draws of its
slowest standard deviation. Ours are told in the same measure: 24 fits with other seeds, and the posterior variance over
the variance between these fits of the mean of a standard deviation (of all, and of the two parts) and of phi is how
many independent draws would tell as much of it; of its quantiles at 5 and 95%, p (1 - p) / f^2 in the place of the
posterior variance, f the normal density there. The least of all counts, and no fit is taken to be shorter than it is.
Values lie as a net and not by chance, so that they tell more than as many draws: beside it stands the fit with 400
effective values.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from scipy.stats import norm

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines.base import Fit, fit
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

ROOT = Path(__file__).parents[1]
MARKS = "<!-- growth: written by benchmarks/growth.py -->", "<!-- end of growth -->"
SIZES = (500, 2000, 8000, 14500, 30000, 100_000, 300_000, 1_000_000)
ALL, FEW = 1000, 400  # draws
VALUES, MANY = 80, 400  # effective values of the hyperparameters
REPEATS, TAILS = 24, (0.05, 0.95)
R_SECONDS = {500: 14, 2000: 47, 8000: 364, 14500: 571}  # bench/planar/README.md, last column
R_LARGEST = max(R_SECONDS)


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


def problem(shared: Path, n: int) -> tuple[AreaModel, DirectEstimates]:
    """Return the model of one size and its data."""
    file = shared / f"bench/planar/fh_bym2_n{n}.csv"
    if file.is_file():
        edges, data = pd.read_csv(shared / f"bench/planar/edges_n{n}.csv").to_numpy(), pd.read_csv(file)
    else:
        edges, data = made(n)
    codes = pd.Index([f"BU{k // 10_000:04}{k % 10_000:04}" for k in range(n)], name="area_code")
    frame = gpd.GeoDataFrame(data[["x2", "x3", "x4", "x5"]].set_axis(codes), geometry=gpd.GeoSeries([None] * n, codes))
    frame = frame.assign(name=codes, wijk="WK" + codes.str[2:8], gemeente="GM" + codes.str[2:6], population=100)
    graph = Graph(tuple(codes), np.unique(np.sort(edges.astype(np.int64), axis=1), axis=0))
    one = np.ones((n, 1))
    y, variance = data["y"].to_numpy()[:, None], data["var"].to_numpy()[:, None, None]
    source = SourceEstimates("made", 2024, codes, y, variance, one.astype("int64"), one)
    model = AreaModel("1 + x2 + x3 + x4 + x5", (BYM2(graph),))
    return model, DirectEstimates(("participatie",), (source,), Areas(frame, 2024))


def parameters(found: Fit) -> np.ndarray:
    """Return draws of sigma, phi, and the standard deviations of the two parts, shape (draws, 4)."""
    dataset = found.draws.dataset
    sigma, phi = (dataset[f"BYM2.{name}"].to_numpy().ravel() for name in ("sigma", "phi"))
    return np.column_stack([sigma, phi, sigma * np.sqrt(phi), sigma * np.sqrt(1 - phi)])


def effective(fits: list[np.ndarray]) -> float:
    """Return how many independent draws would tell as much as one fit, from draws of fits with other seeds."""
    variance = np.mean([draws.var(axis=0) for draws in fits], axis=0)
    least = variance / np.var([draws.mean(axis=0) for draws in fits], axis=0, ddof=1)
    for tail in TAILS:
        expected = tail * (1 - tail) * variance / norm.pdf(norm.ppf(tail)) ** 2
        between = np.var([np.quantile(draws, tail, axis=0) for draws in fits], axis=0, ddof=1)
        least = np.minimum(least, expected / between)
    return float(least.min())


def measured(shared: Path, n: int, draws: int) -> dict[str, float]:
    """Fit one size in this process."""
    model, direct = problem(shared, n)
    fit(model, direct, progress=False, draws=4, hyperparameters=2)  # compiled loops are read from disk
    start, processor = time.perf_counter(), time.process_time()
    found = fit(model, direct, progress=False, draws=draws, hyperparameters=VALUES)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    certificate = found.draws.certificate
    assert certificate is not None
    row = {
        "areas": n,
        "draws": draws,
        "seconds": seconds,
        "of a processor": processor,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "k-hat": certificate.khat,
        "effective values": certificate.effective,
    }
    if n not in R_SECONDS or draws == FEW:
        return row
    again = range(2, 1 + REPEATS)  # the first one had seed 1
    others = [fit(model, direct, progress=False, draws=draws, hyperparameters=VALUES, seed=k) for k in again]
    row["effective draws"] = effective([parameters(one) for one in (found, *others)])
    row["s per 400"] = seconds * max(1.0, 400 / row["effective draws"])
    row["R sampler"] = R_SECONDS[n]
    row["times faster"] = R_SECONDS[n] / row["s per 400"]
    start = time.perf_counter()
    fit(model, direct, progress=False, draws=draws, hyperparameters=MANY)
    row["s of 400 values"] = time.perf_counter() - start
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--only", type=int, nargs=2, default=None, help="the size, and draws, to fit in this process")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest size")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(args.shared, *args.only)))
        return
    rows = []
    for n, draws in [*((n, FEW if n == SIZES[-1] else ALL) for n in SIZES if n <= args.most), (R_LARGEST, FEW)]:
        command = [sys.executable, __file__, "--shared", str(args.shared), "--only", str(n), str(draws)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    powers = []
    for draws, low, high in ((ALL, SIZES[0], R_LARGEST), (ALL, R_LARGEST, SIZES[-2]), (FEW, R_LARGEST, SIZES[-1])):
        part = table[(table["draws"] == draws) & table["areas"].between(low, high)]
        if len(part) > 1:
            power = np.polyfit(np.log(part["areas"]), np.log(part["seconds"]), 1)[0]
            powers.append(f"{power:.2f} from {low:,} to {part['areas'].max():,} ({draws:,} draws)")
    formats = (".0f", ".0f", ".1f", ".1f", ".2f", ".2f", ".0f", ".0f", ".1f", ".0f", ".0f", ".1f")
    table = table.astype(object).where(table.notna(), None)  # left empty
    text = table.to_markdown(index=False, floatfmt=formats, missingval="")
    text += f"\n\nSeconds grow as a power of the number of areas: {', '.join(powers)}."
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
