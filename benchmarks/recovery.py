"""Recovery on voorbeeldstad: simulate surveys of known truth, fit the example's model, compare.

    python benchmarks/recovery.py [--surveys 100] [--others 20] [--first 6001] [--out docs/recovery.md]

Each replicate draws a new truth (areas, covariates and design stay those of the example) and a new survey of 1,000 +
500 respondents from it, then runs the path of the product: items, scores, direct estimates, model, fit, estimates.
The truth is the expected score of the residents, computed exactly. The model never sees it, nor the parameters it was
made with. Priors were chosen on seeds 1001 to 1032, so that the published table uses others.

Beside it, what could be reached at best: the same model on the same data with the hyperparameters of the truth given.
Then `others` surveys of each of the truths that the model does not say (`truths.py`), by class of respondents and
residents. A few minutes: `--surveys 20 --others 10 --out out/recovery.md`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import truths
from make_voorbeeldstad import SOURCES, SPEC
from scipy.linalg import block_diag

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.engines.base import fit
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import Design
from buurtsae.runs import steps
from buurtsae.runs.reading import Inputs
from buurtsae.simulate.population import Truth, TruthSpec, expected_scores, simulate_truth, source_effects
from buurtsae.simulate.survey import simulate_survey
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[1]


def replicate(inputs: Inputs, seed: int, folder: Path, made: str = "as the model") -> pd.DataFrame:
    """Return one replicate's estimates beside the truth, of a kind of truth."""
    areas, graph = inputs.areas, inputs.model.terms[0].graph
    departure = truths.TRUTHS[made]
    truth, data = surveyed(inputs, seed, folder, replace(SPEC, departure=departure))
    found = fit(inputs.model, data, "laplace", seed, progress=False, hyperparameters=500)
    table = estimate(found).table.merge(truth_at_levels(truth.table(), inputs), on=["level", "area_code", "measure"])
    print(f"survey {seed}: {found!r}", flush=True)
    best = np.nan if departure.made else known(found.design, truth, areas, graph)
    certificate = found.draws.certificate
    return table.assign(survey=seed, made=made, khat=certificate.khat, seconds=found.seconds, best=best)


def surveyed(inputs: Inputs, seed: int, folder: Path, spec: TruthSpec = SPEC) -> tuple[Truth, DirectEstimates]:
    """Draw a truth and its surveys, and return the truth with the direct estimates."""
    areas, concept = inputs.areas, Concept.load()
    truth = simulate_truth(areas, inputs.model.terms[0].graph, spec, seed)
    empty = sorted(set(areas.codes[areas.inhabited]) - {c for s in inputs.direct.sources for c in s.codes})
    scores = []
    for source, size in SOURCES.items():
        file = folder / f"enquete_{source}.csv"
        simulate_survey(areas, truth, Codebook.load(source), size, seed, empty).to_csv(file, index=False)
        scores.append(concept.score(Survey.read(file, source, areas.year, strata="stratum")))
    return truth, direct(scores, areas)


def known(arrays: Design, truth: Truth, areas: Areas, graph: Graph) -> float:
    """Return the coverage over sub-dimensions of the exact posterior given the truth's own hyperparameters.

    Vector eta ~ N(m, K); y_s = c_s + l_s eta + t_s w + e. The link of the sources and the scale of the latent effects
    are fitted to the true scores: what a model could know at best.
    """
    spec, (n, d) = truth.spec, arrays.y.shape[1:]
    real = np.isfinite(truth.scores[:, 0])
    slope_of = lambda x, y: np.array([np.polyfit(x[real, k], y[real, k], 1) for k in range(d)]).T  # noqa: E731
    fit = slope_of(truth.latent, truth.scores)[0]
    sd, g = np.array(spec.sigma) * fit, spec.gemeente_sd * fit
    a, b = np.sqrt(1 - np.array(spec.phi)) * sd, np.sqrt(np.array(spec.phi)) * sd
    group = np.unique(areas.parents("gemeente"), return_inverse=True)[1]
    r, coefficients = np.array(spec.correlation), np.diag(arrays.coefficient_priors[1] ** 2)
    prior = (
        np.kron(np.eye(n), r * np.outer(a, a))
        + np.kron(np.linalg.pinv(graph.icar.precision.toarray()), r * np.outer(b, b))
        + np.kron(group[:, None] == group, r * np.outer(g, g))
        + np.kron(arrays.x @ coefficients @ arrays.x.T, np.eye(d))
    )
    mean = np.repeat(arrays.x @ arrays.coefficient_priors[0], d)
    links = []
    for source in arrays.sources:
        book = Codebook.load(source)
        own = expected_scores(truth, book)
        slope, offset = slope_of(truth.scores, own)
        bent = np.array([np.std(own[real, k] - offset[k] - slope[k] * truth.scores[real, k]) for k in range(d)])
        extra = np.hypot(source_effects(book, spec)[2] * slope_of(truth.latent, own)[0], bent)
        links.append((slope, offset, extra))
    slope, offset, extra = (np.array(part) for part in zip(*links, strict=True))
    information = arrays.information(slope, extra)
    precision, score = information.sum(axis=0), np.zeros((n, d))
    for s in range(len(arrays.sources)):
        target = np.where(arrays.observed[s], (arrays.y[s] - offset[s]) / slope[s], 0.0)
        score += np.einsum("nde,ne->nd", information[s], target)
    w = block_diag(*precision)
    covariance = np.linalg.solve(np.eye(n * d) + prior @ w, prior)
    centre = mean + covariance @ (score.ravel() - w @ mean)
    z = ((centre - truth.scores.ravel()) / np.sqrt(np.diag(covariance))).reshape(n, d)[real]
    return float((abs(z) < 1.96).mean())


def truth_at_levels(truth: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """Return the truth of every level: resident-weighted means of the buurten."""
    wide = truth.pivot(index="area_code", columns="measure", values="truth").reindex(inputs.areas.codes)
    parts = []
    for level in inputs.areas.levels:
        codes, weights = inputs.areas.aggregation(level)
        values = pd.DataFrame(weights @ wide.fillna(0).to_numpy(), index=codes, columns=wide.columns)
        part = values.stack().rename("truth").rename_axis(["area_code", "measure"]).reset_index()
        parts.append(part.assign(level=level))
    return pd.concat(parts)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return bias, RMSE and coverage per group of rows."""
    table = table.assign(
        covered=(table["truth"] >= table["lower"]) & (table["truth"] <= table["upper"]),
        error=table["estimate"] - table["truth"],
        direct_error=table["direct"] - table["truth"],
        width=table["upper"] - table["lower"],
    )
    seen = table["direct"].notna()
    rmse = lambda e: float(np.sqrt((e**2).mean()))  # noqa: E731
    return pd.DataFrame(
        [
            {
                "bias": table["error"].mean(),
                "RMSE": rmse(table["error"]),
                "RMSE where direct": rmse(table.loc[seen, "error"]),
                "RMSE of direct": rmse(table.loc[seen, "direct_error"]) if seen.any() else np.nan,
                "ratio": rmse(table.loc[seen, "error"]) / rmse(table.loc[seen, "direct_error"])
                if seen.any()
                else np.nan,
                "coverage 95%": 100 * table["covered"].mean(),
                "width 95%": table["width"].mean(),
            }
        ]
    )


def report(table: pd.DataFrame) -> str:
    """Return the tables in Markdown."""
    of_all, table = table[table["level"] == "buurt"], table[table["made"] == "as the model"]
    buurt = table[table["level"] == "buurt"]
    order = [*Concept.load().measures]
    by_measure = buurt.groupby("measure").apply(summarise).droplevel(1).loc[order]
    parts = buurt["measure"].isin(Concept.load().subdimensions)
    by_measure.loc["four sub-dimensions"] = summarise(buurt[parts]).iloc[0]
    by_measure.loc["all measures"] = summarise(buurt).iloc[0]
    size = pd.cut(buurt["n_respondents"], [-1, 0, 4, 9, 19, 10_000], labels=["0", "1-4", "5-9", "10-19", "20 and more"])
    by_size = buurt.groupby(size, observed=True).apply(summarise).droplevel(1)
    by_level = table.groupby("level", sort=False).apply(summarise).droplevel(1)
    surveys = table["survey"].nunique()
    per_survey = buurt.assign(c=buurt["truth"].between(buurt["lower"], buurt["upper"])).groupby("survey")["c"].mean()
    khat, seconds = (table.groupby("survey")[c].first() for c in ("khat", "seconds"))
    best = table.groupby("survey")["best"].first().mean()
    lines = [
        "# Recovery on voorbeeldstad",
        "",
        f"{surveys} simulated truths and surveys (1,000 + 500 respondents, 118 inhabited buurten, ten of them without",
        f"respondents), engine laplace: {seconds.median():.1f} s per fit (median), k-hat at most {khat.max():.2f}.",
        f"Coverage per survey: {100 * per_survey.min():.1f}% to {100 * per_survey.max():.1f}%.",
        f"With the true hyperparameters given, the sub-dimensions would be covered {100 * best:.1f}% of the time: what",
        "is lost is the price of learning standard deviations, correlations and links from 118 buurten.",
        "The model is told which covariates may matter and, like the truth, gives both parts of BYM2 one correlation",
        "matrix; no parameter or score of the truth is known to it. Its default priors were chosen on surveys 1001 to",
        "1032, that of the links on other areas (several-sources.md); these are "
        f"{table['survey'].min()} to {table['survey'].max()}, on which nothing was chosen",
        "(`python benchmarks/recovery.py`).",
    ]
    for title, part in (
        ("By measure, buurten", by_measure),
        ("By number of respondents, buurten, all measures", by_size),
        ("By level, all measures", by_level),
    ):
        lines += ["", f"## {title}", "", markdown(part)]
    lines += ["", "## By kind of truth, buurten", "", truths.markdown(of_all)]
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """Return a frame as a Markdown table with two decimals (coverage one)."""
    head = ["", *table.columns]
    rows = [
        [str(i), *("" if pd.isna(v) else f"{v:.1f}%" if "coverage" in c else f"{v:.2f}" for c, v in row.items())]
        for i, row in table.iterrows()
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def write_readme(text: str) -> None:
    """Put the first table into the README."""
    readme = ROOT / "README.md"
    table = text.split("## By measure, buurten")[1].split("##")[0].strip()
    head, rest = readme.read_text(encoding="utf-8").split("recovery.py -->\n")
    tail = rest[rest.index("<!-- end of recovery") :]
    readme.write_text(f"{head}recovery.py -->\n{table}\n{tail}", encoding="utf-8", newline="\n")


def main() -> None:
    """Run the benchmark."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--surveys", type=int, default=100)
    parser.add_argument("--others", type=int, default=20, help="surveys of each of the other kinds of truth")
    parser.add_argument("--first", type=int, default=6001, help="seed of the first survey")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "recovery.md")
    args = parser.parse_args()
    inputs, tables = steps.check(ROOT / "models" / "voorbeeldstad.toml"), []
    with tempfile.TemporaryDirectory() as folder:
        for made, number in {"as the model": args.surveys, **dict.fromkeys(truths.OTHERS, args.others)}.items():
            for seed in range(args.first, args.first + number):
                tables.append(replicate(inputs, seed, Path(folder), made))
    text = report(pd.concat(tables, ignore_index=True))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text, encoding="utf-8", newline="\n")
    if args.out == ROOT / "docs" / "recovery.md":
        write_readme(text)
    print(text)


if __name__ == "__main__":
    main()
