"""Real patterns: intervals against truths that no model drew, published Dutch figures per buurt.

    python benchmarks/real.py [--seeds 10] [--first 301] [--cases utrecht health] [--out docs/real-patterns.md]

`bench/real` of the folder `shared` makes direct estimates whose truth is a published figure (Leefbaarometer, self-rated
health, registered crime): respondents and their errors are simulated, nothing else. Each is fitted with covariates of
the kerncijfers, never with the figures themselves, by the model with one standard deviation for all buurten and by that
with one that falls with the residents. Coverage of 95% intervals and the mean squared standardised error (1 where the
stated uncertainty is right), by class of respondents and of residents, of the four sub-dimensions and of their mean.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs

ROOT = Path(__file__).parents[1]
MARKS = "<!-- real: written by benchmarks/real.py -->", "<!-- end of real -->"
FORMULA = "1 + stedelijkheid + pct_koopwoningen + gem_huishoudensgrootte + gem_woz_x1000eur"
MODELS = {"one for all": {"by_residents": False}, "by residents": {}, "by residents, tails": {"tails": True}}
CLASSES = {
    "respondents": ([-1, 0, 5, 20, np.inf], ["0", "1-5", "6-20", ">20"]),
    "residents": ([0, 200, 500, 1000, 2000, np.inf], ["<=200", "-500", "-1,000", "-2,000", ">2,000"]),
}
LEAST = 200  # figures in a class of which coverage says something


def regions(shared: Path, case: str) -> bs.Areas:
    """Return the buurten of a case, with the kerncijfers."""
    data = shared / "data/nl"
    where = {"provinciecode": "PV26"} if case == "utrecht" else {}
    return bs.Areas.read(
        data / "buurt_2024.parquet", 2024, tables=[(data / "kwb_2024_buurt.csv", "buurtcode")], where=where, region=case
    )


def made(shared: Path, case: str, seed: int, folder: Path) -> Path:
    """Return the folder with the direct estimates and the truth of a case."""
    if not (folder / "direct.csv").exists():
        command = [sys.executable, str(shared / "bench/real/make.py"), case, str(seed), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def scored(areas: bs.Areas, folder: Path, options: dict[str, bool], effective: int | None) -> pd.DataFrame:
    """Fit, and return a row per buurt with a truth and measure."""
    concept = bs.Concept.load()
    data = bs.DirectEstimates.from_table(
        folder / "direct.csv", areas, concept=concept, year=2024, covariances=folder / "covariances.csv", smooth=False
    )
    model = bs.AreaModel(FORMULA, [bs.BYM2(areas.graph(), **options), bs.IID("gemeente")], missing="impute")
    start = time.perf_counter()
    fit = bs.fit(model, data, "laplace", 1, progress=False, draws=1000, hyperparameters=effective)
    seconds = time.perf_counter() - start
    source, names = data.sources[0], list(data.subdimensions)
    truth = pd.read_csv(folder / "truth.csv").set_index("area_code")[names].reindex(areas.codes).to_numpy()
    respondents = pd.DataFrame(source.respondents, source.codes).max(axis=1).reindex(areas.codes, fill_value=0)
    known = np.isfinite(truth).all(axis=1) & areas.inhabited
    draws = fit.draws.flat[:, known].astype(float)
    draws, truth = np.concatenate([draws, draws.mean(axis=2, keepdims=True)], axis=2), truth[known]
    truth = np.column_stack([truth, truth.mean(axis=1)])
    mean, sd = draws.mean(axis=0), draws.std(axis=0, ddof=1)
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    direct = pd.DataFrame(source.mean, source.codes).reindex(areas.codes).to_numpy()[known]
    rows = []
    for column in range(truth.shape[1]):
        total = column == len(names)
        rows.append(
            pd.DataFrame(
                {
                    "kind": "total" if total else "sub-dimensions",
                    "n": respondents.to_numpy()[known],
                    "population": areas.population[known],
                    "covered": (truth[:, column] >= lower[:, column]) & (truth[:, column] <= upper[:, column]),
                    "z2": ((truth - mean) / sd)[:, column] ** 2,
                    "square": (truth - mean)[:, column] ** 2,
                    "direct": np.nan if total else (direct[:, column] - truth[:, column]) ** 2,
                    "seconds": seconds,
                }
            )
        )
    return pd.concat(rows)


def report(rows: pd.DataFrame) -> str:
    """Return the tables in Markdown."""
    lines = []
    for case, part in rows.groupby("case", sort=False):
        lines += [f"### {case}", ""]
        for kind, of_kind in part.groupby("kind", sort=False):
            for by, (edges, labels) in CLASSES.items():
                column = of_kind["n"] if by == "respondents" else of_kind["population"]
                groups = of_kind.assign(group=pd.cut(column, edges, labels=labels)).groupby(
                    ["model", "group"], observed=True, sort=False
                )
                table = groups.agg(figures=("z2", "size"), coverage=("covered", "mean"), z2=("z2", "mean"))
                table = table[table["figures"] >= LEAST]
                cells = table.apply(lambda row: f"{100 * row['coverage']:.1f}% ({row['z2']:.2f})", axis=1).unstack(
                    "group"
                )
                cells = cells.reindex(list(rows["model"].unique()))[[name for name in labels if name in cells]]
                lines += [f"{kind.capitalize()}, by {by}: coverage (mean squared standardised error)", ""]
                lines += [cells.rename_axis(None, axis=1).rename_axis("spread").to_markdown(), ""]
        subs = part[part["direct"].notna()]
        ratio = subs.groupby("model", sort=False).apply(
            lambda t: np.sqrt(t["square"].mean() / t["direct"].mean()), include_groups=False
        )
        seconds = part.groupby("model", sort=False)["seconds"].mean()
        lines += [
            " ".join(
                f"{name}: RMSE {value:.3f} of the direct estimates', {seconds[name]:.0f} s a fit."
                for name, value in ratio.items()
            ),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=301, help="seeds below 300 were used for choices")
    parser.add_argument("--cases", nargs="+", default=["utrecht", "health"], choices=["utrecht", "health"])
    parser.add_argument("--models", nargs="+", default=list(MODELS)[:2], choices=list(MODELS))
    parser.add_argument("--hyperparameters", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    parts = []
    for case in args.cases:
        areas = regions(args.shared, case)
        for seed in range(args.first, args.first + args.seeds):
            folder = made(args.shared, case, seed, ROOT / "out/real" / f"{case}-{seed}")
            for name in args.models:
                rows = scored(areas, folder, MODELS[name], args.hyperparameters)
                parts.append(rows.assign(case=case, model=name, seed=seed))
                print(case, seed, name, f"{100 * rows['covered'].mean():.1f}%", file=sys.stderr, flush=True)
    text = f"{args.seeds} seeds.\n\n{report(pd.concat(parts))}"
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
