"""Sampling variances of tiny samples: what is told to the model, and what that does to estimates and intervals.

    python benchmarks/variances.py [--surveys 8] [--first 4001] [--parts smoothing level design joint] [--out PAGE]

Made buurten with one covariate in the mean and another beside it, one sub-dimension; all ways see the same respondents.

smoothing   240 buurten; variances within buurten are equal, or their logarithm has standard deviation 0.5: by the
            covariate beside the mean, by the score itself (the lower, the more they vary), or at random.
level       30, 100 and 400 buurten with equal variances: what it costs that the pooled variance is an estimate.
design      240 buurten of nine respondents in households of three that correlate by 0.4, or of eight from two strata
            that differ by two points, four each: the design counted, and ignored.

`known` is given the true variances. The model never sees the true scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from shapely.geometry import box
from sources import made_areas

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines.base import fit
from buurtsae.errors import ModelError
from buurtsae.model.priors import PC
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.simulate.population import draw_icar
from buurtsae.survey.concept import Concept
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

MEASURE = "participatie"
SIGMA, PHI, WITHIN, SPREAD, ICC, GAP = 0.6, 0.6, 3.0, 0.5, 0.4, 2.0
SIZES = {"1-3": (1, 3), "3-10": (3, 10), "10-40": (10, 40)}
PARTS = ("smoothing", "level", "design")


def grid(side: int, rows: int) -> Areas:
    """Squares of 1 km with two covariates."""
    k, rng = np.arange(side * rows), np.random.default_rng(1)
    index = pd.Index([f"BU0344{i:04}" for i in k], name="area_code")
    squares = [
        box(1000 * x, 1000 * y, 1000 * x + 1000, 1000 * y + 1000) for x, y in zip(k % side, k // side, strict=True)
    ]
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM0344", "population": 100}
    frame = gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992")
    return Areas(frame.assign(welvaart=rng.normal(size=len(k)), stedelijk=rng.normal(size=len(k))), 2024)


def standardised(areas: Areas, name: str) -> np.ndarray:
    """A covariate with mean 0 and standard deviation 1."""
    x = areas.frame[name].to_numpy(dtype=float)
    return (x - x.mean()) / x.std()


def simulate(areas: Areas, graph: Graph, size: tuple[int, int], kind: str, seed: int) -> tuple[Scores, pd.DataFrame]:
    """Return respondents, and per buurt the true mean, the variance of scores and the number of respondents."""
    rng, n = np.random.default_rng(seed), len(areas.codes)
    u = draw_icar(graph, 1, rng)[:, 0]
    about = SIGMA * (np.sqrt(1 - PHI) * rng.normal(size=n) + np.sqrt(PHI) * u)
    mean = 6 + 0.5 * standardised(areas, "welvaart") + about
    noise = rng.normal(size=n)
    by = {"covariate": standardised(areas, "stedelijk"), "score": -(mean - 6) / mean.std(), "random": noise}
    log = SPREAD * by.get(kind, np.zeros(n))
    variance = WITHIN * np.exp(log - log.var() / 2)
    area = np.repeat(np.arange(n), rng.integers(size[0], size[1] + 1, n))
    frame = pd.DataFrame(
        {"area_code": areas.codes[area], "weight": rng.lognormal(0, 0.3, len(area)), "stratum": "alle"}
    )
    deviation = rng.normal(size=len(area))
    if kind == "clusters":
        frame["cluster"] = np.arange(len(area)) // 3
        shared = rng.normal(size=len(area))[frame["cluster"]]
        deviation = np.sqrt(ICC) * shared + np.sqrt(1 - ICC) * deviation
    if kind == "strata":
        half = np.arange(len(area)) // (size[0] // 2) % 2
        frame["stratum"] = frame["area_code"] + np.where(half, " oud", " jong")
        frame["weight"] = 1.0
        deviation = deviation + GAP * (half - 0.5) / np.sqrt(WITHIN)
    measures = Concept.load().subdimensions
    frame[list(measures)] = np.nan
    frame[MEASURE] = mean[area] + np.sqrt(variance[area]) * deviation
    info = DesignInfo(clusters=("cluster",) if kind == "clusters" else ())
    truth = pd.DataFrame({"truth": mean, "variance": variance}, index=areas.codes)
    return Scores(frame, "veiligheidsmonitor", areas.year, measures, survey_design=info), truth


def ways(
    scores: Scores, areas: Areas, truth: pd.DataFrame, names: tuple[str, ...]
) -> Iterator[tuple[str, DirectEstimates]]:
    """Direct estimates with the variances of each way."""
    pooled = direct(scores, areas)
    source = pooled.sources[0]
    known = truth["variance"].reindex(source.codes).to_numpy() / source.n_effective[:, 0]
    for name in names:
        if name in ("auto", "gvf"):
            yield name, direct(scores, areas, variances=name, covariates=("welvaart", "stedelijk"))
        elif name.startswith("known"):
            factor = float(name.partition(" x ")[2] or 1)
            yield name, replace(pooled, sources=(replace(source, variance=factor * known[:, None, None], pooled=None),))
        elif name == "plugged in":
            yield name, replace(pooled, sources=(replace(source, pooled=None),))
        elif name == "ignored":
            frame = scores.frame.assign(stratum="alle")
            yield name, direct(replace(scores, frame=frame, survey_design=DesignInfo()), areas)
        else:
            yield name, pooled


def fitted(areas: Areas, graph: Graph, label: dict[str, object], names: tuple[str, ...], seed: int) -> pd.DataFrame:
    """Return the estimates of each way beside the truth; a way whose fit fails has none."""
    kind, size = (
        str(label["variances"]),
        SIZES.get(str(label["respondents"]), (int(str(label["respondents"])[-1]),) * 2),
    )
    scores, truth = simulate(areas, graph, size, kind, seed)
    parts = []
    for name, data in ways(scores, areas, truth, names):
        model = AreaModel(
            "1 + welvaart + stedelijk", (BYM2(graph),), variances=PC(0.5, 0.05) if name == "joint" else None
        )
        try:
            draws = fit(model, data, "laplace", seed, progress=False, hyperparameters=200, draws=1000).draws
        except ModelError as error:
            print(label, seed, name, error.what, flush=True)
            continue
        eta = draws.flat[:, :, 0]
        lower, upper = np.quantile(eta, [0.025, 0.975], axis=0)
        part = truth.assign(estimate=eta.mean(axis=0), sd=eta.std(axis=0), lower=lower, upper=upper)
        parts.append(part.assign(**label, told=name, survey=seed))
    return pd.concat(parts)


def report(table: pd.DataFrame) -> str:
    """Return RMSE, coverage and mean squared standardised error per case and way, in Markdown."""
    keys = ["buurten", "respondents", "variances", "told"]
    third = table.groupby([*keys, "survey"], sort=False)["variance"].rank(method="first", pct=True)
    error = table["estimate"] - table["truth"]
    covered = 100 * ((table["truth"] >= table["lower"]) & (table["truth"] <= table["upper"]))
    table = table.assign(
        square=error**2, covered=covered, z2=(error / table["sd"]) ** 2, most=covered.where(third > 2 / 3)
    )
    groups = table.groupby(keys, sort=False)
    columns = {"RMSE": np.sqrt(groups["square"].mean()), "coverage 95%": groups["covered"].mean()}
    columns |= {"z2": groups["z2"].mean(), "surveys": groups["survey"].nunique()}
    if table["variance"].nunique() > 1:
        columns["coverage, most varied third"] = groups["most"].mean()
    digits = (*[""] * 4, ".3f", ".1f", ".2f", "d", ".1f")
    return pd.DataFrame(columns).reset_index().to_markdown(index=False, floatfmt=digits[: 4 + len(columns)])


def cases(part: str, surveys: int) -> Iterator[tuple[Areas, dict[str, object], tuple[str, ...], int]]:
    """Areas, labels, ways and number of surveys of each case of a part."""
    made = made_areas()
    if part == "smoothing":
        for size in SIZES:
            for kind in ("equal", "covariate", "score", "random"):
                yield (
                    made,
                    {"buurten": 240, "respondents": size, "variances": kind},
                    ("known", "pooled", "auto", "gvf"),
                    surveys,
                )
    elif part == "joint":
        for size in SIZES:
            label = {"buurten": 240, "respondents": size, "variances": "random"}
            yield made, label, ("known", "pooled", "joint"), surveys
    elif part == "level":
        for side, rows, more in ((6, 5, 5), (10, 10, 2), (20, 20, 0.5)):
            for size in SIZES:
                label = {"buurten": side * rows, "respondents": size, "variances": "equal"}
                far = ("known x 0.5", "known x 1.3", "known x 2") if (side, size) == (10, "3-10") else ()
                yield grid(side, rows), label, ("known", "plugged in", "pooled", *far), max(1, int(more * surveys))
    else:
        for kind, n in (("clusters", "9"), ("strata", "8")):
            yield made, {"buurten": 240, "respondents": n, "variances": kind}, ("counted", "ignored"), surveys


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=8)
    parser.add_argument("--first", type=int, default=4001)
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "joint"), default=PARTS)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    for part in args.parts:
        tables = []
        for areas, label, names, surveys in cases(part, args.surveys):
            graph = areas.graph()
            tables += [fitted(areas, graph, label, names, s) for s in range(args.first, args.first + surveys)]
        text = report(pd.concat(tables))
        print(text, flush=True)
        if args.out:
            write_part(
                args.out, f"<!-- {part}: written by benchmarks/variances.py -->", f"<!-- end of {part} -->", text
            )


if __name__ == "__main__":
    main()
