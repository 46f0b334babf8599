"""The whole of the Netherlands: time, memory, accuracy and coverage of the fast engine.

    python benchmarks/national.py [--shared ../shared] [--threads 2] [--out docs/fast-engine.md]

`bench/national` of the folder `shared`: 14,566 buurten of 2024, 14,090 with residents, 2,370 of these without a
respondent, 9 components; direct estimates and truths of four sub-dimensions are simulated. Fitted jointly, and each
sub-dimension alone, in a process of its own: the clock starts before anything is imported. The joint fit and one of
the others also with an empty folder for compiled loops, as on a machine where nothing was fitted before. Beside the
posterior, what the exact posterior reaches with the hyperparameters of the truth given: the limit for any method.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

START = time.perf_counter()
ROOT = Path(__file__).parents[1]
MARKS = "<!-- national: written by benchmarks/national.py -->", "<!-- end of national -->"
PARTS = "sampled", "without respondents"


def made(shared: Path, dims: list[int]) -> tuple[Any, ...]:
    """Return model, direct estimates and areas, what is known of the truth, and the table with the scores."""
    import geopandas as gpd
    import numpy as np
    import pandas as pd

    from buurtsae.areas.areas import Areas
    from buurtsae.areas.graph import Graph
    from buurtsae.model.spec import AreaModel
    from buurtsae.model.terms import BYM2
    from buurtsae.survey.direct import DirectEstimates
    from buurtsae.survey.source_estimates import SourceEstimates

    known = json.loads((shared / "bench/national/truth.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(shared / "bench/national/area_level.parquet").set_index("buurtcode").sort_index()
    buurten = gpd.read_parquet(shared / "data/nl/buurt_2024.parquet").set_index("buurtcode").sort_index()
    pairs = pd.read_parquet(shared / "data/nl/buurt_2024_queen_edges.parquet")
    frame = buurten.rename(columns={"buurtnaam": "name", "wijkcode": "wijk", "gemeentecode": "gemeente"})
    frame = frame[["name", "wijk", "gemeente", "geometry"]].rename_axis("area_code")
    people = pd.read_csv(shared / "data/nl/kwb_2024_buurt.csv", dtype={"buurtcode": str}).set_index("buurtcode")
    residents = people["inwoners"].reindex(frame.index).fillna(0).clip(lower=1).astype(int)
    frame["population"] = np.where(frame.index.isin(table.index), residents, 0)
    columns = [f"x{k}" for k in range(1, 6)]
    frame[columns] = table[columns].reindex(frame.index).fillna(0.0)
    areas = Areas(frame, 2024, region="Nederland", national=True)
    graph = Graph.from_pairs(frame.index, zip(pairs["buurtcode_a"], pairs["buurtcode_b"], strict=True))
    names = tuple(known["measures"][d] for d in dims)
    seen = table[table["n_respondents"] > 0]
    unit = np.array(known["unit_covariance"])[np.ix_(dims, dims)]
    each = np.ones((1, len(dims)))
    n, effective = (seen[c].to_numpy()[:, None] * each for c in ("n_respondents", "n_effective"))
    y = seen[[f"y_{name}" for name in names]].to_numpy()
    source = SourceEstimates("made", 2024, seen.index, y, unit / effective[:, :1, None], n.astype("int64"), effective)
    direct = DirectEstimates(names, (source,), areas)
    model = AreaModel("1 + " + " + ".join(columns), (BYM2(graph),))
    return model, direct, areas, known, table


def measured(shared: Path, dims: list[int], threads: int) -> dict[str, object]:
    """Fit once, and once more, in this process; return times, memory, errors and coverage."""
    import numpy as np

    from buurtsae.engines.base import fit
    from buurtsae.engines.hyper import Hyper
    from buurtsae.engines.marginal import Marginal

    model, direct, areas, known, table = made(shared, dims)
    names, sampled = direct.subdimensions, (table["n_respondents"] > 0).to_numpy()
    y = direct.sources[0].mean
    start = time.perf_counter()
    found = fit(model, direct, "laplace", 1, progress=False, draws=1000, threads=threads)
    first, whole = time.perf_counter() - start, time.perf_counter() - START
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    fit(model, direct, "laplace", 2, progress=False, draws=1000, threads=threads)
    second = time.perf_counter() - start

    sigma, phi = (np.array(known[name])[dims] for name in ("sigma", "phi"))
    root = np.linalg.cholesky(np.array(known["correlation"])[np.ix_(dims, dims)])
    nothing = dict.fromkeys(("BYM2.gamma", "BYM2.level"), np.zeros((1, len(dims))))  # in this truth
    limit = Marginal.of(found.design).conditional(
        Hyper(
            {"BYM2.sigma": sigma[None], "BYM2.phi": phi[None], "BYM2.R": root[None], **nothing},
            np.ones((1, len(dims))),
            np.zeros((1, len(dims))),
        )
    )
    row = areas.codes.get_indexer(table.index)
    truth = table[[f"truth_{name}" for name in names]].to_numpy()
    draws = found.draws.flat[:, row]
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    inside = (truth >= lower) & (truth <= upper)
    best, sd = limit.mean[row], limit.sd[row]

    def rmse(error: np.ndarray) -> list[float]:
        return list(np.sqrt((error**2).mean(axis=0)))

    figures = {}
    for name, some in zip(PARTS, (sampled, ~sampled), strict=True):
        figures[name] = {
            "rmse": rmse((draws.mean(axis=0) - truth)[some]),
            "limit": rmse((best - truth)[some]),
            "coverage": list(100 * inside[some].mean(axis=0)),
            "coverage of the limit": list(100 * (np.abs(truth - best) < 1.96 * sd)[some].mean(axis=0)),
        }
    named = ("BYM2.gamma", "BYM2.level")
    learnt = {name: found.draws.hyper[name][1].reshape(-1, len(dims)) for name in named if name in found.draws.hyper}
    figures["direct"] = {"rmse": rmse(y - truth[sampled])}
    certificate = found.draws.certificate
    assert certificate is not None
    times = {"fit and 1,000 draws": first, "whole process": whole, "again": second, "GiB": peak}
    told = {name: [list(v.mean(axis=0)), list(v.std(axis=0))] for name, v in learnt.items()}
    return {"measures": names, "times": times, "certificate": str(certificate), "figures": figures, "learnt": told}


def in_a_process(shared: Path, dims: list[int], threads: int, **environment: str) -> dict[str, object]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--shared", str(shared), "--threads", str(threads), "--only", *map(str, dims)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def compiling(shared: Path, dims: list[int], threads: int) -> dict[str, object]:
    """Measure in a process that finds no compiled loops."""
    with tempfile.TemporaryDirectory() as empty:
        return in_a_process(shared, dims, threads, NUMBA_CACHE_DIR=empty)


def report(first: list[dict], joint: dict, alone: list[dict]) -> str:  # type: ignore[type-arg]
    """Return the tables in Markdown."""
    lines = ["| fit | fit and 1,000 draws, s | whole process, s | second fit, s | peak GiB | weights |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for run in (*first, joint, *alone):
        t, name = run["times"], "four jointly" if len(run["measures"]) > 1 else run["measures"][0]
        name += ", nothing compiled before" * (run in first)
        figures = " | ".join(f"{t[k]:.1f}" for k in ("fit and 1,000 draws", "whole process", "again"))
        lines.append(f"| {name} | {figures} | {t['GiB']:.2f} | {run['certificate']} |")
    lines += ["", "Root mean square error, and coverage of 95% intervals, of the joint fit:", ""]
    lines += accuracy(joint["measures"], joint["figures"])
    single = {part: {n: [r["figures"][part][n][0] for r in alone] for n in joint["figures"][part]} for part in PARTS}
    lines += ["", "Of each sub-dimension alone:", "", *accuracy(joint["measures"], single)]
    return "\n".join(lines)


def accuracy(measures: list[str], figures: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return the lines of a table of errors and coverage."""
    lines = ["|  | " + " | ".join(measures) + " | all |", "| --- |" + " --- |" * (len(measures) + 1)]
    for part, rows in figures.items():
        for name, values in rows.items():
            cover = "coverage" in name
            cells = [f"{v:.1f}%" if cover else f"{v:.4f}" for v in values]
            total = f"{sum(values) / len(values):.1f}%" if cover else ""
            lines.append(f"| {part}: {name} | " + " | ".join(cells) + f" | {total} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", default=None, help="sub-dimensions to fit in this process")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(args.shared, args.only, args.threads)))
        return
    first = [compiling(args.shared, dims, args.threads) for dims in ([0, 1, 2, 3], [0])]
    joint = in_a_process(args.shared, [0, 1, 2, 3], args.threads)
    text = report(first, joint, [in_a_process(args.shared, [d], args.threads) for d in range(4)])
    print(text)
    if args.out:
        from pages import write_part

        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
