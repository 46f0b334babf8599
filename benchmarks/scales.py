"""Scores and reliability on simulated answers; writes the tables of docs/scales.md.

    python benchmarks/scales.py [--buurten 300] [--respondents 400000] [--out docs/scales.md]

Answers follow the graded response model with known slopes and cuts; a tenth of the variance of the trait is between
buurten. The truth of a respondent is T(theta), that of a buurt its mean over all residents. Which estimate of theta
serves means of buurten is judged by regressing the buurt means of the scores on the truth, given the true slopes and
cuts: a slope below 1 hides differences between buurten. Everything follows from the seeds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from buurtsae.survey.codebook import Codebook, Item, Scale
from buurtsae.survey.graded import GradedModel, fit_graded
from buurtsae.survey.reliability import reliability
from buurtsae.survey.scales import score
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[1]
BETWEEN = 0.10  # share of the trait's variance that is between buurten
CASES = {  # items, categories, level of the cuts, share of no answer
    "8 items, 5 answers": (8, 5, 0.0, 0.03),
    "8 items, 5 answers, 30% missing": (8, 5, 0.0, 0.30),
    "8 items, 5 answers, skewed (mean 7.5)": (8, 5, -1.2, 0.03),
    "3 items, 5 answers": (3, 5, 0.0, 0.03),
    "4 items, 4 answers": (4, 4, 0.0, 0.03),
    "3 items, 2 answers": (3, 2, 0.0, 0.03),
    "14 items, 10 answers": (14, 10, 0.0, 0.03),
}
METHODS = ("sum score", "EAP of T", "T at Warm's theta", "T at the ML theta")


def made_model(items: int, categories: int, level: float) -> GradedModel:
    """Return a model with slopes of 0.8 to 2.2 and cuts spread over the trait."""
    rng = np.random.default_rng(items * 100 + categories)
    slope = rng.uniform(0.8, 2.2, items)
    width = 1.6 if categories > 2 else 0.0
    cuts = tuple(np.linspace(-width, width, categories - 1) + level + rng.normal(0, 0.3) for _ in range(items))
    points = (np.linspace(0, 10, categories),) * items
    return GradedModel(tuple(f"item_{j}" for j in range(items)), slope, cuts, points, 0.0, 0, True)


def answer(model: GradedModel, theta: np.ndarray, silent: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the item scores of respondents, NaN where they do not answer."""
    noise = rng.logistic(size=(len(theta), len(model.items)))
    columns = [
        p[(a * (theta[:, None] - b) + noise[:, [j]] > 0).sum(axis=1)]
        for j, (a, b, p) in enumerate(zip(model.slope, model.cuts, model.points, strict=True))
    ]
    out = np.column_stack(columns)
    out[rng.random(out.shape) < silent] = np.nan
    return out


def on_grid(model: GradedModel, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores at the posterior mean of T and at Warm's theta (with Jeffreys' prior), by grid search."""
    grid = np.linspace(-8, 8, 321)
    log_p, information, codes = [], [], []
    for a, b, points, y in zip(model.slope, model.cuts, model.points, answers.T, strict=True):
        above = 1 / (1 + np.exp(-a * (grid - b[:, None])))
        p = -np.diff(np.vstack([np.ones(len(grid)), above, np.zeros(len(grid))]), axis=0)
        each = np.log(np.maximum(p, 1e-300))
        information.append((p * np.gradient(each, grid, axis=1) ** 2).sum(axis=0))
        log_p.append(np.vstack([each, np.zeros(len(grid))]))  # the last row: no answer
        codes.append(np.where(np.isnan(y), len(points), np.searchsorted(points, y)))
    t, prior = model.expected(grid), -(grid**2) / 2
    parts = []
    for some in np.array_split(np.arange(len(answers)), 1 + len(answers) // 10_000):
        loglik = sum(table[code[some]] for table, code in zip(log_p, codes, strict=True))
        q = np.exp(loglik + prior)
        jeffreys = 0.5 * np.log(~np.isnan(answers[some]) @ np.array(information))
        parts.append((q @ t / q.sum(axis=1), t[np.argmax(loglik + jeffreys, axis=1)]))
    eap, warm = (np.concatenate(part) for part in zip(*parts, strict=True))
    return eap, warm


def compare(buurten: int, per_buurt: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what each method makes of the buurt means, and how honest the standard errors are."""
    rows, errors = [], []
    for name, (items, categories, level, silent) in CASES.items():
        rng = np.random.default_rng(seed)
        model = made_model(items, categories, level)
        centre = np.sqrt(BETWEEN) * rng.standard_normal(buurten)
        area = np.repeat(np.arange(buurten), per_buurt)
        theta = centre[area] + np.sqrt(1 - BETWEEN) * rng.standard_normal(len(area))
        node, weight = np.polynomial.hermite_e.hermegauss(41)
        residents = model.expected((centre[:, None] + np.sqrt(1 - BETWEEN) * node).ravel())
        truth = residents.reshape(buurten, -1) @ (weight / weight.sum())
        y = answer(model, theta, silent, rng)
        heard = ~np.isnan(y).all(axis=1)
        y, theta, area = y[heard], theta[heard], area[heard]
        best, se = model.scores(y)
        t, count = model.expected(theta), np.bincount(area, minlength=buurten)
        for method, s in zip(METHODS, (np.nanmean(y, axis=1), *on_grid(model, y), best), strict=True):
            mean = np.bincount(area, s, buurten) / count
            own = np.bincount(area, t, buurten) / count  # of the respondents: without the error of sampling people
            slope = np.cov(mean, own)[0, 1] / own.var(ddof=1)
            rows.append(
                {
                    "answers": name,
                    "method": method,
                    "slope": slope,
                    "bias": (mean - own).mean(),
                    "RMSE of a respondent": np.sqrt(np.mean((s - t) ** 2)),
                    "RMSE of a buurt": np.sqrt(np.mean((mean - truth) ** 2)),
                }
            )
        fitted = fit_graded(y, model.items)
        again, its_se = fitted.scores(y)
        errors.append(
            {
                "answers": name,
                "mean squared error": np.mean((best - t) ** 2),
                "mean se², true model": np.mean(se**2),
                "mean se², fitted model": np.mean(its_se**2),
                "correlation with the sum score": np.corrcoef(again, np.nanmean(y, axis=1))[0, 1],
            }
        )
    return pd.DataFrame(rows), pd.DataFrame(errors)


def made_survey(model: GradedModel, buurten: int, n: int, seed: int) -> tuple[Survey, np.ndarray]:
    """Return a survey of n respondents spread unevenly over buurten, and the true mean of each buurt."""
    rng = np.random.default_rng(seed)
    centre = np.sqrt(BETWEEN) * rng.standard_normal(buurten)
    area = np.sort(rng.choice(buurten, n, p=rng.dirichlet(np.full(buurten, 3.0))))
    y = answer(model, centre[area] + np.sqrt(1 - BETWEEN) * rng.standard_normal(n), 0.03, rng)
    codes = tuple(range(1, len(model.points[0]) + 1))
    items = tuple(Item(i, "participatie", 1, codes[-1], codes, scale="made") for i in model.items)
    book = Codebook("made", "Made", missing=(99,), scales=(Scale("made", "Made", "participatie", items, 0.5),))
    answers = pd.DataFrame(1 + y * (codes[-1] - 1) / 10, columns=list(model.items)).round()
    design = pd.DataFrame({"area_code": [f"BU9901{a:04}" for a in area], "weight": 1.0, "stratum": "all"})
    node, weight = np.polynomial.hermite_e.hermegauss(41)
    residents = model.expected((centre[:, None] + np.sqrt(1 - BETWEEN) * node).ravel()).reshape(buurten, -1)
    return Survey(pd.concat([design, answers], axis=1), book, 2024), residents @ (weight / weight.sum())


def buurt_means(surveys: int, buurten: int, seed: int) -> pd.DataFrame:
    """Return the reliability of buurt means as computed, beside their squared correlation with the truth."""
    model, rows = made_model(8, 5, 0.0), []
    for per_buurt in (2, 5, 10, 25, 50):
        each = []
        for k in range(surveys):
            survey, truth = made_survey(model, buurten, per_buurt * buurten, seed + k)
            found = reliability(survey)
            row, lam = found.scales.iloc[0], found.buurten.set_index("area_code")["reliability"]
            mean = score(survey, ["participatie"]).frame.groupby("area_code")["participatie"].mean()
            real = truth[lam.index.str[-4:].astype(int)]
            error = (lam * (mean[lam.index] - mean.mean()) - (real - truth.mean())).pow(2).mean()  # if shrunk by lambda
            each.append((row["icc"], row["lambda_mean"], 1 - error / truth.var(), row["needed_70"], row["needed_80"]))
        icc, lam, explained, seventy, eighty = np.median(each, axis=0)  # needed is infinite in a survey with icc 0
        rows.append(
            {
                "respondents per buurt": per_buurt,
                "icc": icc,
                "mean reliability": lam,
                "explained": explained,
                "needed for 0.7": seventy,
                "needed for 0.8": eighty,
            }
        )
    return pd.DataFrame(rows)


def timed(what: str, n: int) -> dict[str, object]:
    """Return seconds and peak memory of one step in a process of its own."""
    out = subprocess.run(
        [sys.executable, __file__, "--time", what, "--respondents", str(n)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, processor, memory = out.stdout.split()
    names = {
        "sum": "sum score",
        "graded": "graded response model: fit and score",
        "reliability": "reliability, all checks",
    }
    return {"step": names[what], "seconds": float(seconds), "processor seconds": float(processor), "GiB": float(memory)}


def time_step(what: str, n: int) -> None:
    """Print wall-clock and processor seconds of one step, and the peak memory of this process in GiB."""
    survey, _ = made_survey(made_model(8, 5, 0.0), 14_500, n, 1)
    if what == "sum":
        score(survey, ["participatie"])  # the first call also imports
    start, used = time.perf_counter(), time.process_time()
    _ = reliability(survey) if what == "reliability" else score(survey, ["participatie"], what)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(time.perf_counter() - start, time.process_time() - used, peak)


def markdown(table: pd.DataFrame, digits: int = 2) -> str:
    """Return a frame as a Markdown table."""
    cell = lambda v: f"{v:.{digits}f}" if isinstance(v, float) else str(v)  # noqa: E731
    rows = [
        list(table.columns),
        ["---"] * table.shape[1],
        *([cell(v) for v in row] for row in table.itertuples(index=False)),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(page: Path, name: str, text: str) -> None:
    """Put a table between the markers of its name."""
    start, end = f"<!-- {name}: benchmarks/scales.py -->\n", f"<!-- end of {name} -->"
    head, rest = page.read_text(encoding="utf-8").split(start)
    page.write_text(f"{head}{start}{text}\n{end}{rest.split(end)[1]}", encoding="utf-8", newline="\n")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--buurten", type=int, default=300)
    parser.add_argument("--per-buurt", type=int, default=200)
    parser.add_argument("--respondents", type=int, default=400_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "scales.md")
    parser.add_argument("--time", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.time:
        time_step(args.time, args.respondents)
        return
    methods, errors = compare(args.buurten, args.per_buurt, 1)
    tables = {
        "methods": markdown(methods, 3),
        "errors": markdown(errors),
        "buurt means": markdown(buurt_means(20, 300, 1)),
        "speed": markdown(pd.DataFrame([timed(w, args.respondents) for w in ("sum", "graded", "reliability")])),
    }
    for name, text in tables.items():
        print(f"\n{name}\n{text}", flush=True)
        write(args.out, name, text)


if __name__ == "__main__":
    main()
