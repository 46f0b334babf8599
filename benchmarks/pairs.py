"""The country jointly by two versions of the package, in turn: processor time, wall clock, memory, accuracy.

    git worktree add ../old v0.5 && python benchmarks/pairs.py ../old [--runs 3] [--shared ../shared]
        [--out docs/fast-engine.md]

The data of `benchmarks/national.py`, four sub-dimensions jointly, 1,000 draws, two threads. Each run is a process of
its own: compiled loops are read, then it fits, of which time is told; and once per version with an empty folder for
compiled loops, from the first import to the end. In turn, as other work on the machine comes and goes: medians, and
processor time beside the wall clock. Scores are compared over the runs of both versions: how far means lie apart, in
posterior standard deviations, beside how far those of two seeds of one version do.
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

import numpy as np

START = time.perf_counter()
ROOT = Path(__file__).parents[1]
MARKS = "<!-- pairs: written by benchmarks/pairs.py -->", "<!-- end of pairs -->"


def measured(shared: Path, seed: int, moments: str, first: bool) -> dict[str, object]:
    """Fit in this process; return seconds of the last fit, or of all of a process that fits once."""
    from national import made

    from buurtsae.engines.base import fit

    model, direct, *_ = made(shared, [0, 1, 2, 3])
    options = {"draws": 1000, "threads": 2}
    start, processor = START, 0.0
    if not first:
        fit(model, direct, "laplace", 100, progress=False, draws=4, hyperparameters=2)  # compiled loops are read
        start, processor = time.perf_counter(), time.process_time()
    found = fit(model, direct, "laplace", seed, progress=False, **options)  # type: ignore[arg-type]
    seconds = {"processor": time.process_time() - processor, "wall": time.perf_counter() - start}
    draws = found.draws.flat
    np.savez(moments, mean=draws.mean(axis=0), sd=draws.std(axis=0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**seconds, "GiB": peak, "weights": str(found.draws.certificate)}


def in_a_process(source: Path, args: argparse.Namespace, seed: int, moments: Path, first: bool) -> dict[str, object]:
    """Measure a version in a process of its own."""
    command = [sys.executable, __file__, str(args.old), "--shared", str(args.shared), "--only", str(seed)]
    command += ["--moments", str(moments), *(["--first"] if first else [])]
    with tempfile.TemporaryDirectory() as empty:
        own = {"NUMBA_CACHE_DIR": empty} if first else {}
        env = {**os.environ, "PYTHONPATH": str(source / "src"), **own}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a worktree of the other version")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", type=int, default=None, help="the seed to fit in this process")
    parser.add_argument("--moments", default="")
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(measured(args.shared, args.only, args.moments, args.first)))
        return
    versions, rows = {"old": args.old.resolve(), "new": ROOT}, []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for k in range(args.runs + 1):
            for name, source in versions.items():
                first = k == args.runs
                row = in_a_process(source, args, k + 2, place / f"{name}{k}.npz", first)
                rows.append({"version": name, "first": first, **row})
                print(rows[-1], flush=True)
        text = report(rows, place, args.runs)
    print(text)
    if args.out:
        from pages import write_part

        write_part(args.out, *MARKS, text)


def report(rows: list[dict[str, object]], place: Path, runs: int) -> str:
    """Return the tables in Markdown."""
    lines = ["| fit | processor, s: old | new | ratio | wall, s: old | new | ratio | peak GiB: old | new |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for first, what in ((False, f"second fit, median of {runs}"), (True, "whole process, nothing compiled before")):
        cells = []
        for key in ("processor", "wall", "GiB"):
            old, new = (
                float(np.median([r[key] for r in rows if r["version"] == v and r["first"] == first]))  # type: ignore[arg-type]
                for v in ("old", "new")
            )
            cells += [f"{old:.1f}", f"{new:.1f}", f"{new / old:.2f}"] if key != "GiB" else [f"{old:.2f}", f"{new:.2f}"]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    lines += ["", "Weights: " + "; ".join(f"{r['version']} {r['weights']}" for r in rows) + "."]
    found = {v: [np.load(place / f"{v}{k}.npz") for k in range(runs + 1)] for v in ("old", "new")}
    mean = {v: np.mean([one["mean"] for one in of], axis=0) for v, of in found.items()}
    sd = {v: np.mean([one["sd"] for one in of], axis=0) for v, of in found.items()}
    apart = np.sqrt((((mean["new"] - mean["old"]) / sd["old"]) ** 2).mean())
    by_chance = np.sqrt((((found["old"][0]["mean"] - found["old"][1]["mean"]) / sd["old"]) ** 2).mean())
    lines += [
        "",
        f"Means of scores, of {runs + 1} fits together, lie {apart:.4f} posterior sds apart between versions (root "
        f"mean square), those of two fits of the old one {by_chance:.4f}; the median ratio of sds is "
        f"{np.median(sd['new'] / sd['old']):.4f}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
