"""Does the gate see? How often it refuses data of the model that is fitted, and data that are in one thing other.

    python benchmarks/gate.py [--clean 100] [--sides 11 20] [--seeds 20] [--first 501] [--out docs/checks.md]
    python benchmarks/gate.py --years [--seeds 40] [--first 501] [--out docs/checks.md]

Regions, surveys and cases are those of `misspecified.py`; clean ones also of 400 buurten. Checks look at the model at
the mode of its hyperparameters, so that no fit is made. `--years`: three waves of 144 buurten (clean ones also of 60),
`tests/unit/made_waves.py`, of which 2022 is in one thing other.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
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
from buurtsae.model.design import Design, design
from buurtsae.survey.direct import DirectEstimates

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "unit"))
from made_waves import OF_GEMEENTE, Arrays, direct_of, model_of, world  # noqa: E402

MARKS = "<!-- gate: written by benchmarks/gate.py -->", "<!-- end of gate -->"
OF_YEARS = "<!-- years: written by benchmarks/gate.py -->", "<!-- end of years -->"
SIDE = 12  # of the regions of the cases


def as_they_are(made: Arrays) -> None:
    pass


def doubled(made: Arrays) -> None:
    made["spread"][1] = np.sqrt(2.0)


def halved(made: Arrays) -> None:
    made["spread"][1] = np.sqrt(0.5)


def shuffled(made: Arrays) -> None:
    made["place"][:, 1] = np.random.default_rng(5).permutation(len(made["place"]))


def higher(points: float) -> Callable[[Arrays], None]:
    def of_one(made: Arrays) -> None:
        made["effect"][OF_GEMEENTE : 2 * OF_GEMEENTE, 1] += points

    return of_one


WAVES: dict[str, tuple[int, Callable[[Arrays], None]]] = {
    "clean, 60 buurten": (60, as_they_are),
    "clean": (144, as_they_are),
    "sampling variances are twice what is stated": (144, doubled),
    "sampling variances are half of what is stated": (144, halved),
    "answers are those of other buurten": (144, shuffled),
    "one gemeente is 1 point higher": (144, higher(1.0)),
    "one gemeente is 1.5 points higher": (144, higher(1.5)),
}


def of_waves(name: str, seed: int) -> dict[str, Any]:
    """Return which checks of a fit of three waves fail, the least likely first, with the year that they are about."""
    areas, spoil = WAVES[name]
    made = world(seed, areas)
    spoil(made)
    data = direct_of(made)
    arrays = design(model_of(data), data)
    every = checks(fit := without_draws(arrays, data, seed), leftover(fit))
    failed = [(check.id, check.year) for check in every if check.p < Gate().false_alarm]
    print(f"{name}, seed {seed}: p {every[0].p:.3f}, {failed}", flush=True)
    return {"case": name, "p": every[0].p, "failed": failed}


def table_of_waves(found: list[dict[str, Any]]) -> str:
    """Return how often waves are refused, and by what: the first that fails tells the year."""
    rows = []
    for case, runs in pd.Series(found).groupby([run["case"] for run in found], sort=False):
        refused = [run for run in runs if run["failed"]]
        spoke = Counter(kind for run in refused for kind in {kind for kind, _ in run["failed"]})
        rows.append(
            {
                "2022": case,
                "refused": f"{len(refused)} of {len(runs)}",
                "first of 2022": sum(run["failed"][0][1] == 2022 for run in refused),
                "least p below 0.2": sum(run["p"] < 0.2 for run in runs),
                "by": ", ".join(f"{kind} {count}" for kind, count in spoke.most_common(4)),
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def without_draws(arrays: Design, data: DirectEstimates, seed: int) -> Fit:
    """Return a fit of which only the model and the data are there."""
    nothing = Draws(np.zeros((4, 1, len(arrays.areas), len(arrays.columns))), arrays.areas, arrays.measures)
    return Fit(arrays, data, nothing, "none", seed, 0.0)


def looked_at(name: str, seed: int, side: int = SIDE) -> dict[str, Any]:
    """Return what the gate says of one data set: alarms, the least p-value, and which checks fail."""
    case, gate = CASES[name], Gate()
    if side != SIDE:
        case = replace(case, side=side, respondents=case.respondents * side**2 // SIDE**2)
    made = case.made(seed)
    fit = without_draws(design(made.model, made.direct), made.direct, seed)
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
    parser.add_argument("--seeds", type=int, help="20, and 40 of --years")
    parser.add_argument("--years", action="store_true")
    parser.add_argument("--first", type=int, default=501)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "checks.md")
    args = parser.parse_args()
    if args.years:
        every = range(args.first, args.first + (args.seeds or 40))
        write_part(args.out, *OF_YEARS, table_of_waves([of_waves(name, seed) for name in WAVES for seed in every]))
        return
    clean, seeds = (range(args.first, args.first + count) for count in (args.clean, args.seeds or 20))
    found = [looked_at("clean", seed, side) for side in args.sides for seed in clean]
    found += [looked_at(name, seed) for name in CASES if name != "clean" for seed in seeds]
    write_part(args.out, *MARKS, table(found))


if __name__ == "__main__":
    main()
