"""Does the gate see in shares? How often it refuses counts of the model that is fitted, and of two that it is not.

    python benchmarks/gate_of_counts.py [--clean 60 40 40 40] [--spoilt 12] [--first 501] [--out docs/checks.md]

144 buurten in four gemeenten, 1 to 39 respondents in 85% of them, a covariate, neighbours that are alike. Checks look
at the model at the mode of its hyperparameters, so that no fit is made. Weights are lognormal, with a design effect of
exp(0.8^2) = 1.9; households of a design hold three, who all take the answer of one with probability 0.7.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, replace
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
from buurtsae.scale import PERCENT
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

MARKS = "<!-- counts: written by benchmarks/gate_of_counts.py -->", "<!-- end of counts -->"
SIDE, LEVEL, SLOPE, SD, STRUCTURED = 12, -1.5, 0.5, 0.4, 0.6
AGREE = 0.7


@dataclass(frozen=True)
class Case:
    """What is made: the level of the logit, the bend in the effect of the covariate, and answers per household; of a
    survey the sd of log weights, and whether its households are in its design.
    """

    words: str
    level: float = LEVEL
    bend: float = 0.0
    household: int = 1
    weights: float = 0.0
    clusters: bool = False


CASES = (
    Case("the model, shares of 20%"),
    Case("the model, shares of 4%", level=-3.3),
    Case("the model, a survey with weights", weights=0.8),
    Case("the model, a survey of households", clusters=True),
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
    number = np.where(rng.uniform(size=n) < 0.15, 0, rng.integers(1, 40, n))
    model = bs.AreaModel("1 + x", (bs.BYM2(graph),), outcome=bs.Binomial())
    if case.weights or case.clusters:
        of_survey = replace(model, outcome=bs.Binomial(scale=PERCENT))
        return looked_at(of_survey, survey(case, areas, number, share, rng), seed)
    households = number // case.household
    table = pd.DataFrame({"code": areas.codes, "y": case.household * rng.binomial(households, share)})
    table["n"] = case.household * households
    counts = bs.AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=areas)
    return looked_at(model, counts, seed)


def survey(case: Case, areas: Areas, number: Ints, share: Floats, rng: np.random.Generator) -> DirectEstimates:
    """Return direct estimates of so many respondents per area."""
    area = np.repeat(np.arange(len(number)), number)
    household = np.arange(len(area)) // 3 if case.clusters else np.arange(len(area))
    household = household + len(area) * area  # of one area
    _, first, at = np.unique(household, return_index=True, return_inverse=True)
    own = rng.uniform(size=len(area)) < share[area]
    agree = rng.uniform(size=len(first)) < AGREE if case.clusters else np.zeros(len(first), dtype=bool)
    yes, weight = np.where(agree[at], own[first][at], own), np.exp(case.weights * rng.normal(size=len(area)))
    columns = {"area_code": areas.codes[area], "weight": weight, "stratum": "all", "cluster": household}
    frame = pd.DataFrame({**columns, "y": 100.0 * yes})
    design = DesignInfo(clusters=("cluster",) if case.clusters else ())
    return direct(Scores(frame, "survey", 2024, ("y",), survey_design=design), areas)


def looked_at(model: bs.AreaModel, data: DirectEstimates, seed: int) -> Fit:
    """A fit without draws, of which checks look at the mode."""
    arrays = design(model, data)
    return Fit(arrays, data, Draws(np.zeros((4, 1, SIDE**2, 1)), arrays.areas, arrays.measures), "none", seed, 0.0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, nargs=4, default=(60, 40, 40, 40))
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
