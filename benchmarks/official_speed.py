"""Estimates of the whole of the Netherlands: time and memory of tables, ranks and benchmarks.

    python benchmarks/official_speed.py [--shared ../shared] [--out docs/official.md]

14,566 buurten of 2024, 14,090 of them with residents, four sub-dimensions and three measures above them, 1,000 joint
draws of the fit that `benchmarks/national.py` makes (made direct estimates outside 0-10 count as its ends). Benchmarks:
the whole, every gemeente and the 400 largest wijken, on four sub-dimensions. Residents are those of 2024, so that areas
below ten residents, and what would give them away, are hidden. Peak memory is that of the process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from national import ROOT, made
from pages import write_part

from buurtsae.engines.base import fit
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.disclosure.suppression import PROTECTING
from buurtsae.estimates.summary import estimate
from buurtsae.survey.concept import Concept

MARKS = "<!-- speed: written by benchmarks/official_speed.py -->", "<!-- end of speed -->"
WIJKEN = 400


def figures(est: Any) -> pd.DataFrame:
    """Return benchmarks near the model's own figures: of the whole, all gemeenten and the largest wijken."""
    table = est.table[est.table["measure"].isin(est.fit.draws.subdimensions)]
    wijken = table[table["level"] == "wijk"].sort_values("population", ascending=False)["area_code"].unique()[:WIJKEN]
    high = table["level"].isin(["gemeente", "land"])
    rows = table[high | table["area_code"].isin(wijken)].assign(se=0.02)
    shifts = np.random.default_rng(1).normal(0, 0.3, len(rows)) * rows["sd"]
    return rows.assign(value=(rows["estimate"] + shifts).clip(0, 10))[["level", "area_code", "measure", "value", "se"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    model, direct, areas, *_ = made(args.shared, [0, 1, 2, 3])
    known = pd.read_csv(args.shared / "data/nl/kwb_2024_buurt.csv", usecols=["buurtcode", "inwoners"])
    residents = known.set_index("buurtcode")["inwoners"].reindex(areas.codes).clip(lower=0).fillna(0)
    own = np.where(areas.inhabited, residents.clip(lower=1), 0).astype("int64")
    areas = replace(areas, frame=areas.frame.assign(population=own))
    sources = tuple(replace(s, mean=np.clip(s.mean, 0, 10)) for s in direct.sources)
    direct, rows = replace(direct, sources=sources, areas=areas), list[dict[str, Any]]()

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append({"work": name, "s": time.perf_counter() - start, "peak GiB so far": peak})
        print(rows[-1], flush=True)
        return found

    found = timed("fit, 1,000 draws", lambda: fit(model, direct, seed=1, progress=False, draws=1000))
    before = timed("table of estimates, ranks and suppression included", lambda: estimate(found))
    concept = Concept.load()
    to = timed(
        "reading benchmarks", lambda: Benchmarks.read(figures(before), areas, concept, found.draws.subdimensions)
    )
    own = timed(f"{len(to.table):,} benchmarks at three levels, every draw", lambda: benchmark(found, to))
    est = timed("table of estimates after it, ranks and suppression included", lambda: estimate(own))
    hidden = est.table[est.table["label"] == "niet_publiceren"].drop_duplicates(["level", "area_code"])
    second = (hidden["reason"] == PROTECTING).sum()
    timed("triple-goal estimates, words and shifts", lambda: est.supplement)
    table = pd.DataFrame(rows)
    total = table["s"].iloc[[2, 3, 4]].sum()
    table.loc[len(table)] = ["benchmarks and the table after it", total, table["peak GiB so far"].iloc[4]]
    text = table.to_markdown(index=False, floatfmt=("", ".1f", ".2f"))
    text += f"\n\nHidden are {len(hidden)} areas, {second} of these to protect others."
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
