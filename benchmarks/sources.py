"""Several sources in one model: does joining them help, and are the intervals right?

    python benchmarks/sources.py [--surveys 50] [--first 3001] [--work out/sources] [--out docs/several-sources.md]

240 made buurten in 6 gemeenten. Three sources of the same residents: the Veiligheidsmonitor (2,000 respondents, the
reference), the Burgerpeiling (1,500; other questions: another level and scale, a small deviation per buurt), and the
Leefplekmeter (96 buurten where six residents score together: biased, on a scale of its own, and deviating much from
buurt to buurt). Each replicate draws a new truth and new surveys, runs the path of the product, and compares the joint
estimates, and those from one source alone, with the true scores. The model sees neither the truth nor its parameters.
Compiled models are reused: only the data are exchanged. Results are kept per survey in the folder --work.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from recovery import known
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines import nuts
from buurtsae.engines.base import Fit
from buurtsae.estimates.contribution import contributions
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
JOINT = nuts.NutsOptions(tune=700, draws=500)
ALONE = nuts.NutsOptions(tune=500, draws=250)  # posterior means only
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


def replicate(areas: Areas, graph: Graph, seed: int, folder: Path, compiled: dict[str, object]) -> pd.DataFrame:
    """Return the estimates of all fits of one replicate beside the truth."""
    model = AreaModel("1 + welvaart + stedelijk", (BYM2(graph), IID("gemeente")))
    truth = simulate_truth(areas, graph, SPEC, seed)
    scores = made_scores(areas, truth, seed, folder)
    parts = []
    for name, used in [("samen", list(SIZES)), *((s, [s]) for s in SIZES)]:
        options = JOINT if name == "samen" else ALONE
        data = direct([scores[s] for s in used], areas)
        arrays = design(model, data, areas)
        compiled[name] = nuts.with_data(compiled[name], arrays) if name in compiled else nuts.compile_design(arrays)
        start = time.perf_counter()
        draws = nuts.sample_compiled(compiled[name], arrays, seed, options, progress=False)
        fit = Fit(arrays, data, areas, draws, "nuts", seed, time.perf_counter() - start)
        table = estimate(fit).table
        table = table[table["level"] == "buurt"].merge(truth.table(), on=["area_code", "measure"])
        kept = ["area_code", "measure", "estimate", "sd", "lower", "upper", "direct", "truth", "n_respondents"]
        parts.append(table[kept].assign(fit=name, survey=seed, divergences=draws.divergences, seconds=fit.seconds))
        print(f"survey {seed}, {name}: {fit!r}", flush=True)
        if name == "samen":
            pd.DataFrame(contributions(fit)).assign(survey=seed).to_csv(folder / f"adds_{seed}.csv", index=False)
            fit.draws.hyperparameters().assign(survey=seed).to_csv(folder / f"hyper_{seed}.csv", index=False)
    return pd.concat(parts)


def known_coverage(areas: Areas, graph: Graph, seed: int, folder: Path) -> float:
    """Return the coverage of the sub-dimensions if the truth's hyperparameters and links were given."""
    truth = simulate_truth(areas, graph, SPEC, seed)
    data = direct(list(made_scores(areas, truth, seed, folder).values()), areas)
    return known(
        design(AreaModel("1 + welvaart + stedelijk", (BYM2(graph), IID("gemeente"))), data, areas), truth, areas, graph
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
    divergences = table.groupby(["survey", "fit"])["divergences"].first().groupby("fit").sum()
    lines = [
        f"{n} truths and surveys. Root mean square error per fit, over the buurten with residents:\n",
        wide.to_markdown(floatfmt=(".0f", *[".3f"] * len(names), ".1f", ".3f")),
        f"\nThe joint model is nearer to the truth than the best single source in {better} of {n} surveys. "
        f"Divergences: {int(divergences['joint'])} in {n * JOINT.chains * JOINT.draws:,} draws of the joint model. "
        f"Median time of a joint fit {seconds['joint']:.0f} s on two cores. With the truth's hyperparameters and links "
        f"given, the exact posterior would cover the four sub-dimensions {100 * best:.1f}% of the time.\n",
        "What each source adds: mean posterior sd with all sources and without this one, over all buurten and over "
        "those where the source has respondents.\n",
        added.reset_index().to_markdown(index=False, floatfmt=".3f"),
        "\nThe links as learnt: mean over surveys of the posterior means, and their standard deviation.\n",
        links.reset_index().to_markdown(index=False, floatfmt=".2f"),
    ]
    return "\n".join(lines)


def write_part(path: Path, start: str, end: str, text: str) -> None:
    """Replace what stands between two markers of a page."""
    page = path.read_text(encoding="utf-8")
    before, after = page.split(start)[0], page.split(end)[1]
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=50)
    parser.add_argument("--first", type=int, default=3001)
    parser.add_argument("--work", type=Path, default=Path("out/sources"))
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    areas = made_areas()
    graph, compiled = areas.graph(), {}
    for seed in range(args.first, args.first + args.surveys):
        kept = args.work / f"survey_{seed}.csv"
        if kept.exists() or args.report_only:
            continue
        replicate(areas, graph, seed, args.work, compiled).to_csv(kept, index=False)
    seeds = range(args.first, args.first + args.surveys)
    best = np.mean([known_coverage(areas, graph, seed, args.work) for seed in seeds])
    tables = (
        pd.concat(map(pd.read_csv, sorted(args.work.glob(f"{kind}_*.csv")))) for kind in ("survey", "adds", "hyper")
    )
    text = report(*tables, float(best))
    print(text)
    if args.out:
        write_part(args.out, START, END, text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
