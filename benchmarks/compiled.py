"""What numba compiles for a first fit of the whole country, and for how long.

    python benchmarks/compiled.py [../old] [--shared ../shared] [--out docs/fast-engine.md]

The data of `benchmarks/national.py`, four sub-dimensions jointly, few draws, in a process with an empty folder for
compiled loops; of another version of the package too, in a worktree of it, in turn. A loop is compiled once for each
layout of its arrays. Processor time of the thread that compiles, without that of the loops that it compiles for it;
the shortest of several runs, as other work on the machine makes them longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pages import write_part

ROOT = Path(__file__).parents[1]
MARKS = "<!-- compiled: written by benchmarks/compiled.py -->", "<!-- end of compiled -->"
OTHERS = "what numba has itself (products, empty arrays, ...)"


def measured(shared: Path) -> dict[str, list[float]]:
    """Fit in this process; return seconds of each compilation by loop."""
    from national import made
    from numba.core import event

    from buurtsae.engines.base import fit

    found: dict[str, list[float]] = defaultdict(list)
    running: list[list[float]] = []  # when it began, and how long others took inside

    class Clock(event.Listener):  # type: ignore[misc]
        def on_start(self, of: event.Event) -> None:
            running.append([time.thread_time(), 0.0])

        def on_end(self, of: event.Event) -> None:
            begun, inside = running.pop()
            seconds, loop = time.thread_time() - begun, of.data["dispatcher"].py_func
            found[loop.__name__ if loop.__module__.startswith("buurtsae") else OTHERS].append(seconds - inside)
            if running:
                running[-1][1] += seconds

    model, direct, *_ = made(shared, [0, 1, 2, 3])
    event.register("numba:compile", Clock())
    fit(model, direct, "laplace", 1, progress=False, draws=4, hyperparameters=2)
    return dict(found)


def in_a_process(source: Path, shared: Path) -> dict[str, list[float]]:
    """Measure a version in a process that finds no compiled loops."""
    with tempfile.TemporaryDirectory() as empty:
        env = {**os.environ, "PYTHONPATH": str(source / "src"), "NUMBA_CACHE_DIR": empty}
        command = [sys.executable, __file__, "--shared", str(shared), "--only"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: dict[str, list[dict[str, list[float]]]]) -> str:
    """Return the table in Markdown: versions of each loop and seconds, those of the longest first."""
    best = {name: min(runs, key=lambda run: sum(map(sum, run.values()))) for name, runs in found.items()}
    loops = sorted(set().union(*best.values()), key=lambda loop: -max(sum(of.get(loop, [])) for of in best.values()))
    rows = {loop if loop == OTHERS else f"`{loop}`": [of.get(loop, []) for of in best.values()] for loop in loops}
    rows["all"] = [[second for seconds in of.values() for second in seconds] for of in best.values()]
    lines = ["| loop | " + " | ".join(f"{name}: times | s" for name in best) + " |"]
    lines.append("| --- |" + " --- |" * 2 * len(best))
    for loop, cells in rows.items():
        lines.append(f"| {loop} | " + " | ".join(f"{len(s)} | {sum(s):.2f}" if s else " | " for s in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, nargs="?", help="a worktree of another version")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="store_true", help="measure in this process")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(args.shared)))
        return
    versions = ({"old": args.old.resolve()} if args.old else {}) | {"new": ROOT}
    found: dict[str, list[dict[str, list[float]]]] = defaultdict(list)
    for _ in range(args.runs):
        for name, source in versions.items():
            found[name].append(in_a_process(source, args.shared))
    text = report(found)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
