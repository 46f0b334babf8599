"""The province of Utrecht: the main job on real buurten, with a simulated survey of known truth.

    python benchmarks/utrecht.py [--surveys 5] [--out docs/utrecht.md]

Needs the folder `shared` beside the checkout: real boundaries and kerncijfers of 2024. Respondents are simulated at the
rate of a national monitor; then `models/utrecht.toml` runs as any run file does, into `out/utrecht/results`. The truth
depends on three covariates that the model is given (among one that does not matter), a spatial field and chance.
Then `surveys` of each of the truths that the model does not say (`truths.py`), and of four real figures in the place of
the true scores, those of the Leefbaarometer; a minute each.

How often can an estimate be nearer to the truth than the direct one? Let its error have variance m^2, that of the
direct one s^2, and q = m^2 / s^2. A posterior mean's error is uncorrelated with the data, so that both errors have
covariance m^2, and P(|error| < |direct error|) = 1/2 + asin(sqrt((1 - q) / (1 + 3 q))) / pi if they are normal: 85%
needs q < 0.06. What a fit expects of itself needs no formula: put each draw in the place of the truth.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import truths

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import fit
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.runs import steps
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.departure import NONE, Departure
from buurtsae.simulate.population import TruthSpec
from buurtsae.simulate.survey import simulate_to

ROOT = Path(__file__).resolve().parents[1]
RUN, FOLDER = ROOT / "models" / "utrecht.toml", ROOT / "out" / "utrecht"
RATE, SEED, FEW = 1 / 80, 2024, 10
OPTIONS = {"draws": 1000, "hyperparameters": 200}
SPEC = TruthSpec(covariates=("stedelijkheid", "pct_koopwoningen", "gem_huishoudensgrootte"), effects=(0.5, 1.0, 0.5))
REAL = "../../shared/data/nl/utrecht_provincie_buurten_leefbaarometer.csv"  # beside the run file
FIGURES = tuple(
    f"leefbarometer_{name}" for name in ("sociale_samenhang", "fysieke_overlast", "voorzieningen", "fysieke_omgeving")
)
TRUTHS = truths.TRUTHS | {"real figures": Departure(figures=FIGURES)}

LUCK = """\
One figure at a time, no estimate can be the nearer one in 85% of these buurten: with few respondents a direct
estimate is sometimes right by luck. With q the ratio of the two mean squared errors, an optimal estimate is
nearer with probability 1/2 + asin(sqrt((1 - q) / (1 + 3 q))) / pi; 85% needs q < 0.06, and here
"""


MISSING = (
    "The truth takes a covariate that CBS hides to be at the mean of all buurten; the model predicts it from what else",
    "is known of the buurt. That is not so here, and the gate may say it: *level, with imputed covariates*.",
    "",
)


def simulate(departure: Departure = NONE, seed: int = SEED) -> pd.DataFrame:
    """Write the survey that the run file names, and return the truth."""
    run = RunFile.load(RUN)
    part = run.spec.areas
    tables = [(run.locate(t.file), t.key) for t in part.tables]
    areas = Areas.read(run.locate(part.file), part.year, tables=tables, where=part.where, region=part.region)
    if departure.figures:
        real = pd.read_csv(run.locate(REAL)).set_index("buurt_code")[list(FIGURES)]
        areas = replace(areas, frame=areas.frame.join(real))
    simulate_to(areas, FOLDER, {"veiligheidsmonitor": RATE}, seed, replace(SPEC, departure=departure))
    return pd.read_csv(FOLDER / "waarheid.csv")


def others(surveys: int) -> pd.DataFrame:
    """Return figures of buurten beside the truth, for `surveys` of each kind of truth."""
    parts = []
    for made, departure in TRUTHS.items():
        for seed in range(SEED + 1, SEED + 1 + surveys):
            truth = simulate(departure, seed)
            inputs = steps.check(RUN)
            found = fit(inputs.model, inputs.direct, "laplace", seed, progress=False, **OPTIONS)
            table = estimate(found, concept=inputs.concept).table
            rows = table[table["level"] == "buurt"].merge(truth, on=["area_code", "measure"], validate="one_to_one")
            parts.append(rows.assign(made=made, survey=seed))
            print(f"{made}, seed {seed}: {found!r}", flush=True)
    return pd.concat(parts, ignore_index=True)


def compare(est: Estimates, truth: pd.DataFrame) -> pd.DataFrame:
    """Return buurt, measure, errors, whether the estimate is the nearer one, and how likely that was to the fit."""
    rows = est.table[est.table["level"] == "buurt"].merge(truth, on=["area_code", "measure"], validate="one_to_one")
    rows["error"], rows["direct_error"] = rows["estimate"] - rows["truth"], rows["direct"] - rows["truth"]
    rows["covered"] = rows["truth"].between(rows["lower"], rows["upper"])
    rows["nearer"] = (rows["error"].abs() < rows["direct_error"].abs()).where(rows["direct"].notna())
    rows = rows.set_index(["measure", "area_code"]).sort_index()
    for measure, level, codes, values in level_draws(est.fit, est.concept):
        if level == "buurt":
            mean, direct = (rows.loc[measure].loc[codes, c].to_numpy() for c in ("estimate", "direct"))
            expected = (np.abs(values - mean) < np.abs(values - direct)).mean(axis=0)
            rows.loc[[(measure, c) for c in codes], "expected"] = np.where(np.isnan(direct), np.nan, expected)
    return rows.reset_index()


def summary(rows: pd.DataFrame) -> pd.Series:
    """Return one row of a table of the report."""
    seen = rows[rows["direct"].notna()]
    rmse, direct = (float(np.sqrt((seen[c] ** 2).mean())) for c in ("error", "direct_error"))
    return pd.Series(
        {
            "buurten": f"{rows['area_code'].nunique()}",
            "bias": f"{rows['error'].mean():.2f}",
            "RMSE": f"{np.sqrt((rows['error'] ** 2).mean()):.2f}",
            "RMSE where direct": f"{rmse:.2f}" if len(seen) else "",
            "RMSE of direct": f"{direct:.2f}" if len(seen) else "",
            "nearer": f"{100 * seen['nearer'].mean():.1f}%" if len(seen) else "",
            "nearer, expected": f"{100 * seen['expected'].mean():.1f}%" if len(seen) else "",
            "coverage 95%": f"{100 * rows['covered'].mean():.1f}%",
            "width 95%": f"{(rows['upper'] - rows['lower']).mean():.2f}",
        }
    )


def by_profile(few: pd.DataFrame, subdimensions: tuple[str, ...]) -> tuple[float, float, int]:
    """Return the share of buurten whose four posterior means lie nearer to the four true scores than the direct ones.

    Nearer in Euclidean distance, and on most of the four (three or four); and the number of buurten.
    """
    part = few[few["measure"].isin(subdimensions)]
    whole = part.groupby("area_code")["measure"].transform("size") == len(subdimensions)
    groups = part[whole].groupby("area_code")
    distance, direct = (groups[c].agg(lambda e: float((e**2).sum())) for c in ("error", "direct_error"))
    most = groups["nearer"].sum() >= 3
    return float((distance < direct).mean()), float(most.mean()), len(distance)


def report(outcome: steps.Outcome, rows: pd.DataFrame, seconds: dict[str, float], more: pd.DataFrame) -> str:
    """Return the page in Markdown."""
    est, quality = outcome.estimates, outcome.quality
    fit, concept = est.fit, est.concept
    few = rows[rows["n_respondents"].between(1, FEW - 1) & rows["direct"].notna()]
    distance, most, n = by_profile(few, concept.subdimensions)
    order = [*concept.measures]
    labels = ["0", "1-4", "5-9", "10-19", "20-39", "40 and more"]
    size = pd.cut(rows["n_respondents"], [-1, 0, 4, 9, 19, 39, 10_000], labels=labels)
    single = few[few["measure"].isin(concept.subdimensions)]
    c, gate = quality["convergence"], quality["gate"]
    respondents = sum(s["respondents"] for s in quality["sources"])
    lines = [
        "# The province of Utrecht",
        "",
        f"Real buurten, kerncijfers and neighbours of 2024: {est.areas!r}.",
        f"{respondents:,} simulated respondents of the Veiligheidsmonitor, one in {1 / RATE:.0f} residents, in "
        f"{len(fit.direct.sources[0].codes)} buurten.",
        "Made by `python benchmarks/utrecht.py`; the model knows nothing of the truth.",
        "",
        f"## Buurten with fewer than {FEW} respondents: which is nearer to the truth?",
        "",
        f"| posterior means nearer than the direct estimates, of buurten with 1 to {FEW - 1} respondents | share |",
        "| --- | --- |",
        f"| the buurt's four sub-dimensions together (Euclidean distance, {n} buurten) | {100 * distance:.1f}% |",
        f"| on at least three of the four | {100 * most:.1f}% |",
        f"| each sub-dimension by itself | {100 * single['nearer'].mean():.1f}% "
        f"(the fit expected {100 * single['expected'].mean():.1f}%) |",
        *(
            f"| {m} | {100 * r['nearer'].mean():.1f}% (expected {100 * r['expected'].mean():.1f}%) |"
            for m, r in few.groupby("measure")
            if m == order[-1]
        ),
        "",
        LUCK + f"q = {(single['error'] ** 2).mean() / (single['direct_error'] ** 2).mean():.2f}. "
        "The column *expected* is what the fit itself gives, from its draws in the place of the truth.",
        "",
        "## By number of respondents, all measures",
        "",
        markdown(rows.groupby(size, observed=True).apply(summary, include_groups=False)),
        "",
        f"## By measure, buurten with 1 to {FEW - 1} respondents",
        "",
        markdown(few.groupby("measure").apply(summary, include_groups=False).loc[order]),
        "",
        "## By measure, all buurten with residents",
        "",
        markdown(rows.groupby("measure").apply(summary, include_groups=False).loc[order]),
        "",
        "## By kind of truth",
        "",
        f"{more['survey'].nunique()} surveys of each, each of its own truth; and of real figures in its place: the "
        "Leefbaarometer's",
        "sociale samenhang, overlast, voorzieningen and fysieke omgeving, with the same mean and standard deviation.",
        "",
        truths.markdown(more),
        "",
        "## Convergence and time",
        "",
        f"Engine laplace, {c['independent']:,} draws: k-hat {c['khat']:.2f}, {c['effective']:.0f} of {c['values']} "
        f"values of the hyperparameters effective; gate {'passed' if gate['passed'] else 'NOT passed'}. "
        "NUTS on the same survey: "
        "[fast-engine.md](fast-engine.md).",
        "",
        *MISSING,
        "| step | seconds, two cores |",
        "| --- | --- |",
        *(f"| {step} | {value:.0f} |" for step, value in seconds.items()),
    ]
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of text as a Markdown table."""
    rows = [
        ["", *table.columns],
        ["---"] * (1 + table.shape[1]),
        *([str(i), *r] for i, r in zip(table.index, table.to_numpy(), strict=True)),
    ]
    return "\n".join("| " + " | ".join(r) + " |" for r in rows)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=5, help="of each kind of truth")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "utrecht.md")
    args = parser.parse_args()
    more = others(args.surveys)
    clock = [time.perf_counter()]
    truth = simulate()
    clock.append(time.perf_counter())
    lines: list[tuple[str, float]] = []
    outcome = steps.run(
        RUN, FOLDER / "results", progress=False, say=lambda text: lines.append((text, time.perf_counter()))
    )
    clock.append(time.perf_counter())
    known = [s for s in lines if "\n" not in s[0]]  # the printed model is no step
    ends = [t for _, t in known[1:]] + [clock[-1]]
    seconds = {"simulate": clock[1] - clock[0]} | {n: e - t for (n, t), e in zip(known, ends, strict=True)}
    seconds["all"] = clock[-1] - clock[0]
    text = report(outcome, compare(outcome.estimates, truth), seconds, more)
    args.out.write_text(text, encoding="utf-8", newline="\n")
    print(text)


if __name__ == "__main__":
    main()
