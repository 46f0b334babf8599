"""Several sources in one model: does joining them help, and are the intervals right?

    python benchmarks/sources.py [--surveys 60] [--first 7001] [--work out/sources] [--out docs/several-sources.md]

240 made buurten in 6 gemeenten. Three sources of the same residents: the Veiligheidsmonitor (2,000 respondents, the
reference), the Burgerpeiling (1,500; other questions: another level and scale, a small deviation per buurt), and the
Leefplekmeter (96 buurten where six residents score together: biased, on a scale of its own, and deviating much from
buurt to buurt). Each replicate draws a new truth and new surveys, runs the path of the product, and compares the joint
estimates, and those from one source alone, with the true scores. The model sees neither the truth nor its parameters.
The prior of the links was chosen on surveys 5001 to 5040, the table is on others. Results per survey stay in --work.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from pages import write_part
from recovery import known
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines.base import fit
from buurtsae.estimates.evidence.contribution import contributions
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import design
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.simulate.population import TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.scales import Scores
from buurtsae.survey.survey import Survey

SIZES = {"veiligheidsmonitor": 2000, "burgerpeiling": 1500, "leefplekmeter": 576}
SPEC = TruthSpec(covariates=("welvaart", "stedelijk"), effects=(1.0, -0.6), other_extra=0.08)
JOINT, ALONE = 400, 100  # effective values of the hyperparameters; alone posterior means only
START, END = "<!-- sources: written by benchmarks/sources.py -->", "<!-- end of sources -->"


def made_areas(seed: int = 1) -> Areas:
    """16 x 15 squares of 500 m: 6 gemeenten of 40 buurten, skewed numbers of residents, two covariates."""
    rng = np.random.default_rng(seed)
    columns, rows = 16, 15
    x, y = (g.ravel() for g in np.meshgrid(np.arange(columns), np.arange(rows)))
    gemeente = 3 * (x // 8) + y // 5
    within = (x % 8) + 8 * (y % 5)
    code = [f"BU77{g:02}{w // 10:02}{w % 10:02}" for g, w in zip(gemeente, within, strict=True)]
    index = pd.Index(code, name="area_code")
    squares = [
        box(150_000 + 500 * a, 600_000 + 500 * b, 150_500 + 500 * a, 600_500 + 500 * b)
        for a, b in zip(x, y, strict=True)
    ]
    frame = gpd.GeoDataFrame({"name": "Buurt " + index.str[2:]}, geometry=squares, index=index, crs="EPSG:28992")
    frame["wijk"], frame["gemeente"] = "WK" + index.str[2:8], "GM" + index.str[2:6]
    frame["population"] = np.maximum(rng.lognormal(6.6, 0.8, len(frame)), 40).round().astype("int64")
    frame["welvaart"] = np.sin(x / 4) + 0.7 * rng.normal(size=len(frame))
    frame["stedelijk"] = np.cos(y / 5) + 0.7 * rng.normal(size=len(frame))
    return Areas(frame.sort_index(), 2024, {}, "Proefgebied")


def made_scores(areas: Areas, truth: object, seed: int, folder: Path) -> dict[str, Scores]:
    """Simulate the surveys, write them as files, and read them as a user would."""
    out = {}
    for source, size in SIZES.items():
        book = Codebook.load(source)
        file = folder / f"enquete_{source}_{seed}.csv"
        simulate_survey(areas, truth, book, size, seed).to_csv(file, index=False)  # type: ignore[arg-type]
        out[source] = Concept.load().score(Survey.read(file, source, areas.year, strata="stratum"))
        file.unlink()
    return out


def replicate(areas: Areas, graph: Graph, seed: int, folder: Path) -> pd.DataFrame:
    """Return the estimates of all fits of one replicate beside the truth."""
    model = AreaModel("1 + welvaart + stedelijk", (BYM2(graph), IID("gemeente")))
    truth = simulate_truth(areas, graph, SPEC, seed)
    scores = made_scores(areas, truth, seed, folder)
    parts = []
    for name, used in [("samen", list(SIZES)), *((s, [s]) for s in SIZES)]:
        data = direct([scores[s] for s in used], areas)
        enough = JOINT if name == "samen" else ALONE
        found = fit(model, data, "laplace", seed, progress=False, draws=2000, hyperparameters=enough)
        table, certificate = estimate(found).table, found.draws.certificate
        table = table[table["level"] == "buurt"].merge(truth.table(), on=["area_code", "measure"])
        kept = ["area_code", "measure", "estimate", "sd", "lower", "upper", "direct", "truth", "n_respondents"]
        parts.append(table[kept].assign(fit=name, survey=seed, khat=certificate.khat, seconds=found.seconds))
        print(f"survey {seed}, {name}: {found!r}", flush=True)
        if name == "samen":
            pd.DataFrame(contributions(found)).assign(survey=seed).to_csv(folder / f"adds_{seed}.csv", index=False)
            found.draws.hyperparameters().assign(survey=seed).to_csv(folder / f"hyper_{seed}.csv", index=False)
    return pd.concat(parts)


def known_coverage(areas: Areas, graph: Graph, seed: int, folder: Path) -> float:
    """Return the coverage of the sub-dimensions if the truth's hyperparameters and links were given."""
    truth = simulate_truth(areas, graph, SPEC, seed)
    data = direct(list(made_scores(areas, truth, seed, folder).values()), areas)
    return known(
        design(AreaModel("1 + welvaart + stedelijk", (BYM2(graph), IID("gemeente"))), data), truth, areas, graph
    )


def rmse(error: pd.Series) -> float:
    return float(np.sqrt((error**2).mean()))


def report(table: pd.DataFrame, adds: pd.DataFrame, hyper: pd.DataFrame, best: float) -> str:
    """Return the tables in Markdown."""
    names = {"samen": "joint", **{s: f"{s} alone" for s in SIZES}}
    table = table.assign(error=table["estimate"] - table["truth"], fit=table["fit"].map(names))
    table["covered"] = (table["truth"] >= table["lower"]) & (table["truth"] <= table["upper"])
    order = [*Concept.load().measures]
    wide = table.groupby(["measure", "fit"])["error"].apply(rmse).unstack().loc[order, list(names.values())]
    joint = table[table["fit"] == "joint"].groupby("measure")
    wide["coverage 95% of joint"] = 100 * joint["covered"].mean()
    wide["bias of joint"] = joint["error"].mean()
    everything = {n: rmse(table.loc[table["fit"] == n, "error"]) for n in names.values()}
    pooled = table[table["fit"] == "joint"]
    everything |= {"coverage 95% of joint": 100 * pooled["covered"].mean(), "bias of joint": pooled["error"].mean()}
    parts = table[table["measure"].isin(Concept.load().subdimensions)]
    four = {n: rmse(parts.loc[parts["fit"] == n, "error"]) for n in names.values()}
    own = parts[parts["fit"] == "joint"]
    four |= {"coverage 95% of joint": 100 * own["covered"].mean(), "bias of joint": own["error"].mean()}
    wide.loc["four sub-dimensions"], wide.loc["all measures"] = four, everything
    better = (
        table.groupby(["survey", "fit"])["error"]
        .apply(rmse)
        .unstack()
        .pipe(lambda t: (t["joint"] < t.drop(columns="joint").min(axis=1)).sum())
    )
    added = adds.groupby(["source", "measure"], sort=False)[
        ["sd_with", "sd_without", "sd_with_own", "sd_without_own"]
    ].mean()
    links = (
        hyper[hyper["name"].isin(["alpha", "lambda", "tau"])].groupby(["name", "measure"])["mean"].agg(["mean", "std"])
    )
    n = table["survey"].nunique()
    seconds = table.groupby("fit")["seconds"].median()
    khat = table.groupby(["survey", "fit"])["khat"].first().groupby("fit").max()
    lines = [
        f"{n} truths and surveys. Root mean square error per fit, over the buurten with residents:\n",
        wide.to_markdown(floatfmt=(".0f", *[".3f"] * len(names), ".1f", ".3f")),
        f"\nThe joint model is nearer to the truth than the best single source in {better} of {n} surveys. "
        f"k-hat of the joint fits is {khat['joint']:.2f} at most, their median time {seconds['joint']:.1f} s. "
        "With the truth's hyperparameters and links "
        f"given, the exact posterior would cover the four sub-dimensions {100 * best:.1f}% of the time.\n",
        "What each source adds: mean posterior sd with all sources and without this one, over all buurten and over "
        "those where the source has respondents.\n",
        added.reset_index().to_markdown(index=False, floatfmt=".3f"),
        "\nThe links as learnt: mean over surveys of the posterior means, and their standard deviation.\n",
        links.reset_index().to_markdown(index=False, floatfmt=".2f"),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=60)
    parser.add_argument("--first", type=int, default=7001)
    parser.add_argument("--work", type=Path, default=Path("out/sources"))
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    areas = made_areas()
    graph = areas.graph()
    for seed in range(args.first, args.first + args.surveys):
        kept = args.work / f"survey_{seed}.csv"
        if kept.exists() or args.report_only:
            continue
        replicate(areas, graph, seed, args.work).to_csv(kept, index=False)
    seeds = range(args.first, args.first + args.surveys)
    best = np.mean([known_coverage(areas, graph, seed, args.work) for seed in seeds])
    tables = (
        pd.concat([pd.read_csv(args.work / f"{kind}_{seed}.csv") for seed in seeds])
        for kind in ("survey", "adds", "hyper")
    )
    text = report(*tables, float(best))
    print(text)
    if args.out:
        write_part(args.out, START, END, text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
