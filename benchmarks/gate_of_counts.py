"""Does the gate see in shares? How often it refuses counts of the model that is fitted, and of two that it is not.

    python benchmarks/gate_of_counts.py [--clean 60 40] [--spoilt 12] [--first 501] [--out docs/checks.md]

144 buurten in four gemeenten, 1 to 39 respondents in 85% of them, a covariate, neighbours that are alike. Checks look
at the model at the mode of its hyperparameters, so that no fit is made.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from shapely import box

import buurtsae as bs
from buurtsae.areas.areas import Areas
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence.checks import checks
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.evidence.leftover import leftover
from buurtsae.model.design import design

MARKS = "<!-- counts: written by benchmarks/gate_of_counts.py -->", "<!-- end of counts -->"
SIDE, LEVEL, SLOPE, SD, STRUCTURED = 12, -1.5, 0.5, 0.4, 0.6


@dataclass(frozen=True)
class Case:
    """What is made: the level of the logit, the bend in the effect of the covariate, and answers per household."""

    words: str
    level: float = LEVEL
    bend: float = 0.0
    household: int = 1


CASES = (
    Case("the model, shares of 20%"),
    Case("the model, shares of 4%", level=-3.3),
    Case("households of three that agree", household=3),
    Case("a covariate's effect is bent", bend=0.3),
)


def made(case: Case, seed: int) -> Fit:
    """Return a fit without draws: the data, and the model that does not know of the case."""
    rng, n = np.random.default_rng(seed), SIDE**2
    place = np.arange(n)
    code = [f"BU{344 + k // (n // 4):04}{k // SIDE % 100:02}{k % SIDE:02}" for k in place]
    index = pd.Index(code, name="area_code")
    squares = box(1000 * (place // SIDE), 1000 * (place % SIDE), 1000 * (place // SIDE + 1), 1000 * (place % SIDE + 1))
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM" + index.str[2:6]}
    columns |= {"population": rng.integers(100, 3000, n), "x": rng.normal(size=n)}
    frame = gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992").sort_index()
    areas = Areas(frame, 2024)
    graph, x = areas.graph(), areas.frame["x"].to_numpy()
    values, vectors = np.linalg.eigh(np.linalg.pinv(graph.icar.precision.toarray()))
    u = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.normal(size=n)
    about = np.sqrt(STRUCTURED) * u + np.sqrt(1 - STRUCTURED) * rng.normal(size=n)
    share = 1 / (1 + np.exp(-(case.level + SLOPE * x + case.bend * x**2 + SD * about)))
    households = np.where(rng.uniform(size=n) < 0.15, 0, rng.integers(1, 40, n)) // case.household
    table = pd.DataFrame({"code": areas.codes, "y": case.household * rng.binomial(households, share)})
    table["n"] = case.household * households
    counts = bs.AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=areas)
    arrays = design(bs.AreaModel("1 + x", (bs.BYM2(graph),), outcome=bs.Binomial()), counts)
    return Fit(arrays, counts, Draws(np.zeros((4, 1, n, 1)), arrays.areas, arrays.measures), "none", seed, 0.0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, nargs=2, default=(60, 40))
    parser.add_argument("--spoilt", type=int, default=12)
    parser.add_argument("--first", type=int, default=501)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for case, n in zip(CASES, (*args.clean, args.spoilt, args.spoilt), strict=True):
        failed = []
        for seed in range(args.first, args.first + n):
            fit = made(case, seed)
            failed.append({check.id for check in checks(fit, leftover(fit)) if check.p < Gate().false_alarm})
        spoke = Counter(kind for kinds in failed for kind in kinds)
        by = ", ".join(f"{kind} {count}" for kind, count in spoke.most_common(4))
        rows.append({"case": case.words, "refused": f"{sum(map(bool, failed))} of {n}", "by": by})
        print(rows[-1], flush=True)
    text = pd.DataFrame(rows).to_markdown(index=False)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
