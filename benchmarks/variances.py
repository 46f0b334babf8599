"""Sampling variances of tiny samples: what three ways of smoothing do to the estimates.

    python benchmarks/variances.py [--surveys 12] [--first 4001] [--out docs/direct.md]

240 made buurten, one sub-dimension, 1 to 30 respondents in each (two in five buurten have fewer than four). Variances
of the scores differ between buurten: their logarithm has standard deviation SPREAD. All are fitted by the same model on
the same respondents: pooled variances, a generalised variance function, and variances modelled jointly with the means.
The model sees neither the true scores nor the true variances.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from sources import made_areas

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines import nuts
from buurtsae.model.design import design
from buurtsae.model.priors import PC
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.simulate.population import draw_icar
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.scales import Scores

MEASURE = "participatie"
SIGMA, PHI, WITHIN, SPREADS = 0.6, 0.6, 3.0, (0.0, 0.6)
OPTIONS = nuts.NutsOptions(tune=500, draws=500)
START, END = "<!-- variances: written by benchmarks/variances.py -->", "<!-- end of variances -->"


def simulate(areas: Areas, graph: Graph, spread: float, seed: int) -> tuple[Scores, pd.DataFrame]:
    """Return respondents, and the truth per buurt: mean and variance of the scores."""
    rng = np.random.default_rng(seed)
    n = len(areas.codes)
    u = draw_icar(graph, 1, rng)[:, 0]
    mean = 6 + SIGMA * (np.sqrt(1 - PHI) * rng.normal(size=n) + np.sqrt(PHI) * u)
    variance = WITHIN * np.exp(spread * rng.normal(size=n) - spread**2 / 2)
    count = np.clip(rng.lognormal(1.6, 0.9, n).round().astype(int), 1, 30)
    area = np.repeat(np.arange(n), count)
    frame = pd.DataFrame(
        {"area_code": areas.codes[area], "weight": rng.lognormal(0, 0.3, len(area)), "stratum": "alle"}
    )
    measures = Concept.load().subdimensions
    frame[list(measures)] = np.nan
    frame[MEASURE] = mean[area] + np.sqrt(variance[area]) * rng.normal(size=len(area))
    truth = pd.DataFrame({"truth": mean, "variance": variance, "n": count}, index=areas.codes)
    return Scores(frame, "veiligheidsmonitor", areas.year, measures), truth


def replicate(areas: Areas, graph: Graph, spread: float, seed: int, compiled: dict[str, object]) -> pd.DataFrame:
    """Return the estimates of the three ways beside the truth."""
    scores, truth = simulate(areas, graph, spread, seed)
    parts = []
    for method in ("pooled", "gvf", "joint"):
        data = direct(scores, areas, variances="gvf" if method == "gvf" else "pooled")
        model = AreaModel("1", (BYM2(graph),), variances=PC(0.5, 0.05) if method == "joint" else None)
        arrays = design(model, data)
        key = "joint" if method == "joint" else "fixed"
        if key in compiled:
            compiled[key] = nuts.with_data(compiled[key], arrays)
        else:
            compiled[key] = nuts.compile_design(arrays)
        draws = nuts.sample_compiled(compiled[key], arrays, seed, OPTIONS, progress=False)
        eta = draws.flat[:, :, 0]
        lower, upper = np.quantile(eta, [0.025, 0.975], axis=0)
        part = truth.assign(estimate=eta.mean(axis=0), lower=lower, upper=upper, sd=eta.std(axis=0))
        kappa = float(draws.hyper["kappa"][1].mean()) if method == "joint" else np.nan
        parts.append(part.assign(method=method, spread=spread, survey=seed, kappa=kappa, divergences=draws.divergences))
    return pd.concat(parts)


def report(table: pd.DataFrame) -> str:
    """Return the table in Markdown."""
    third = table.groupby("spread")["variance"].transform(lambda v: v.rank(method="first", pct=True))
    table = table.assign(
        covered=(table["truth"] >= table["lower"]) & (table["truth"] <= table["upper"]),
        square=(table["estimate"] - table["truth"]) ** 2,
        third=np.where(third <= 1 / 3, "low", np.where(third <= 2 / 3, "middle", "high")),
    )
    groups = table.groupby(["spread", "method"], sort=False)
    out = pd.DataFrame({"RMSE": np.sqrt(groups["square"].mean()), "coverage 95%": 100 * groups["covered"].mean()})
    for name in ("low", "middle", "high"):
        part = table[(table["third"] == name) & (table["n"] >= 5)].groupby(["spread", "method"], sort=False)
        out[f"{name} variance, n >= 5"] = 100 * part["covered"].mean()
    out["kappa"] = groups["kappa"].mean()
    divergences = int(table.groupby(["spread", "method", "survey"])["divergences"].first().sum())
    head = f"{table['survey'].nunique()} simulated surveys per row; coverage in percent; {divergences} divergences.\n\n"
    return head + out.reset_index().to_markdown(index=False, floatfmt=".2f")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=12)
    parser.add_argument("--first", type=int, default=4001)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    areas = made_areas()
    graph, compiled = areas.graph(), {}
    seeds = range(args.first, args.first + args.surveys)
    text = report(pd.concat(replicate(areas, graph, spread, s, compiled) for spread in SPREADS for s in seeds))
    print(text)
    if args.out:
        write_part(args.out, START, END, text)


if __name__ == "__main__":
    main()
