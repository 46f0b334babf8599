"""Does the gate see? How often it refuses data of the model that is fitted, and data that are in one thing other.

    python benchmarks/gate.py [--clean 100] [--sides 11 20] [--seeds 20] [--first 501] [--out docs/checks.md]

Regions, surveys and cases are those of `misspecified.py`; clean ones also of 400 buurten. Checks look at the model at
the mode of its hyperparameters, so that no fit is made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from misspecified import CASES
from pages import write_part

from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence.checks import checks
from buurtsae.estimates.evidence.gate import Gate, alarms
from buurtsae.estimates.evidence.leftover import leftover
from buurtsae.model.design import design

ROOT = Path(__file__).resolve().parents[1]
MARKS = "<!-- gate: written by benchmarks/gate.py -->", "<!-- end of gate -->"
SIDE = 12  # of the regions of the cases


def looked_at(name: str, seed: int, side: int = SIDE) -> dict[str, Any]:
    """Return what the gate says of one data set: alarms, the least p-value, and which checks fail."""
    case, gate = CASES[name], Gate()
    if side != SIDE:
        case = replace(case, side=side, respondents=case.respondents * side**2 // SIDE**2)
    made = case.made(seed)
    arrays = design(made.model, made.direct)
    nothing = Draws(np.zeros((4, 1, len(arrays.areas), len(arrays.columns))), arrays.areas, arrays.measures)
    fit = Fit(arrays, made.direct, nothing, "none", seed, 0.0)
    every = checks(fit, leftover(fit))
    failed = [check.id for check in every if check.p < gate.false_alarm]
    found = {"case": name, "side": side, "alarms": len(alarms(fit, made.scales)), "p": every[0].p, "failed": failed}
    print(f"{name}, {side} x {side}, seed {seed}: {found}", flush=True)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return the two tables in Markdown."""
    clean, power = [], []
    for (case, side), runs in pd.Series(found).groupby(lambda k: (found[k]["case"], found[k]["side"]), sort=False):
        n, refused = len(runs), sum(bool(run["alarms"] or run["failed"]) for run in runs)
        spoke = Counter(kind for run in runs for kind in set(run["failed"]))
        by = ", ".join(f"{kind} {count}" for kind, count in spoke.most_common(4))
        if case == "clean":
            low = sum(run["p"] < 0.2 for run in runs)
            clean.append({"buurten": side**2, "runs": n, "refused": refused, "least p below 0.2": low, "by": by})
        else:
            heard = sum(bool(run["alarms"]) for run in runs)
            power.append({"case": case, "refused": f"{refused} of {n}", "by an alarm": heard, "by checks": by})
    parts = [pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True) for rows in (clean, power) if rows]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--sides", type=int, nargs="+", default=[11, 20])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=501)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "checks.md")
    args = parser.parse_args()
    clean, seeds = (range(args.first, args.first + count) for count in (args.clean, args.seeds))
    found = [looked_at("clean", seed, side) for side in args.sides for seed in clean]
    found += [looked_at(name, seed) for name in CASES if name != "clean" for seed in seeds]
    write_part(args.out, *MARKS, table(found))


if __name__ == "__main__":
    main()
