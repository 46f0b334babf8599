"""Levels and changes of fits of several years against truths that are known: coverage, errors, P(increase).

    python benchmarks/years_coverage.py [--parts figures prior simple real sbc] [--out docs/years.md]

*Simple*: 400 areas of a grid, 2018, 2020 and 2024, 1 to 20 respondents in each, none in one of eight; the truth is of
the family of the model with values that are known, drawn here from definitions and not by the package: what stays has
sd 0.7, a structured half; changes have sd 0.3, a structured share of 0.3 and psi = 0.5. The *limit* knows these values.

*Real*: the truth is a published figure per buurt and year, no draw from any model: self-rated health in 2012, 2016,
2020, 2022 and 2024, and registered crime of 2021 to 2025 per 1,000 residents (logarithm, reversed), in a province; put
on 0-10 such that buurten of a year have a standard deviation of 0.7 around their mean. Of each buurt and year up to 20
respondents are drawn, with a standard deviation of 1.9 and a design effect of 1.3. Fitted with covariates of the
kerncijfers, never with the figures. Changes are of two waves, one after the other, and of the first and the last.

*Figures*: how these differ and change, by residents; no fit. *Prior*: as *real*, three of the waves in two other
provinces, by the prior of the standard deviation of changes, and whether these depend on residents by themselves.

*Sbc*: ranks of `tests/recovery/test_calibration_over_time.py`, every parameter drawn from its prior.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal

ROOT = Path(__file__).resolve().parents[1]
MARKS = {part: (f"<!-- {part}: written by benchmarks/years_coverage.py -->", f"<!-- end of {part} -->")
         for part in ("figures", "prior", "simple", "real", "sbc")}  # fmt: skip
SIDE, WAVES = 20, (2018, 2020, 2024)
TRUE = {"sigma": 0.7, "phi": 0.5, "change": 0.3, "change_phi": 0.3, "psi": 0.5}
FORMULA = "1 + stedelijkheid + pct_koopwoningen + gem_huishoudensgrootte + gem_woz_x1000eur"
CHOSEN = ["PV21", "PV24"]  # provinces of choices
THREE = {"health": [2016, 2020, 2024], "crime": [2021, 2023, 2025]}
PRIORS = {
    "PC: P(> 1) = 0.05, one exponent": {"change": bs.PC(1.0, 0.05), "change_exponent": bs.Normal(0.0, 0.001)},
    "PC: P(> 1) = 0.05": {"change": bs.PC(1.0, 0.05)},
    "log-normal about 0.2": {"change": bs.LogNormal(-1.6, 0.7)},
    "log-normal about 0.25": {},
}
ELSEWHERE = ["Best", "Voorst", "Zoetermeer", "Heeze-Leende"]  # the police has other buurten there
SD, EFFECT, MOST = 1.9, 1.3, 20  # of a person, of the design, respondents of a buurt
RESPONDENTS = [-1, 0, 5, 10, np.inf], ["0", "1-5", "6-10", "11-20"]
RESIDENTS = [0, 500, 1000, 2000, np.inf], ["up to 500", "501-1,000", "1,001-2,000", "over 2,000"]


def waves_of(areas: bs.Areas, truth: np.ndarray, asked: np.ndarray, v: float, years: Sequence[int], rng: Any) -> Any:
    """Return direct estimates of respondents (areas, years) with variance v of one, by year."""
    sources = []
    for t, year in enumerate(years):
        variance = v / np.maximum(asked[:, t], 1)
        y = truth[:, t] + np.sqrt(variance) * rng.standard_normal(len(truth))
        data = pd.DataFrame({"code": areas.codes, "y": np.where(asked[:, t] > 0, y, np.nan), "v": variance})
        direct = bs.DirectEstimates.from_frame(data, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(direct.sources[0])
    return replace(direct, sources=tuple(sources)).by_year()


def scored(eta: np.ndarray, truth: np.ndarray, groups: Mapping[str, np.ndarray], years: Sequence[int]) -> pd.DataFrame:
    """Rows of levels and changes of draws (n, areas, years) with a truth (areas, years); groups are (areas, years)."""
    last, rows = len(years) - 1, []
    changes = [(t, t + 1, "change of a wave") for t in range(last)] + [(0, last, "change over all waves")] * (last > 1)
    for first, second, figure in [*((t, t, "level") for t in range(last + 1)), *changes]:
        drawn, true = eta[..., second].astype(float), truth[:, second]
        if first != second:
            drawn, true = drawn - eta[..., first], true - truth[:, first]
        known = np.isfinite(true)
        mean, sd, up = drawn.mean(axis=0), drawn.std(axis=0, ddof=1), (drawn > 0).mean(axis=0)
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        of = {name: np.minimum(values[:, first], values[:, second]) for name, values in groups.items()}
        table = pd.DataFrame({"figure": figure, **of, "covered": 100.0 * ((true >= low) & (true <= high)),
                              "z2": ((mean - true) / sd) ** 2, "square": (mean - true) ** 2, "width": high - low,
                              "p": np.where(figure == "level", np.nan, up), "rises": true > 0})  # fmt: skip
        rows.append(table[known])
    return pd.concat(rows, ignore_index=True)


def simple(seed: int) -> pd.DataFrame:
    """Rows of one simple world: the fit, and the limit."""
    rng, n, t = np.random.default_rng([seed, 24]), SIDE * SIDE, len(WAVES)
    codes, path = [f"A{k:03}" for k in range(n)], np.eye(SIDE, k=1) + np.eye(SIDE, k=-1)
    adjacent = np.kron(path, np.eye(SIDE)) + np.kron(np.eye(SIDE), path)
    graph = bs.Graph.from_pairs(codes, [(codes[i], codes[j]) for i, j in np.argwhere(np.triu(adjacent))])
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 500}), code="code")

    def root(covariance: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))

    def scaled(precision: np.ndarray) -> np.ndarray:
        covariance = np.linalg.pinv(precision)
        return np.asarray(covariance / np.exp(np.log(np.diag(covariance)).mean()))

    field = root(scaled(np.diag(adjacent.sum(axis=0)) - adjacent))
    steps = np.diff(np.eye(t), axis=0)
    walk = scaled(steps.T @ (steps / np.diff(np.array(WAVES, dtype=float))[:, None]))
    over = root(TRUE["psi"] * walk + (1 - TRUE["psi"]) * (np.eye(t) - 1 / t))

    def effect(phi: float, columns: int) -> np.ndarray:
        u, noise = field @ rng.standard_normal((n, columns)), rng.standard_normal((n, columns))
        return np.asarray(np.sqrt(phi) * u + np.sqrt(1 - phi) * noise)

    truth = np.array([6.0, 6.1, 5.8]) + TRUE["sigma"] * effect(TRUE["phi"], 1)
    truth = truth + TRUE["change"] * effect(TRUE["change_phi"], t) @ over.T
    asked = rng.integers(1, 21, (n, t)) * (rng.uniform(size=(n, t)) > 1 / 8)
    data = waves_of(areas, truth, asked, SD**2, WAVES, rng)
    model = bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))])
    fit = bs.fit(model, data, seed=seed, draws=1000, threads=1, progress=False)
    known = {f"BYM2.{name}": np.full((1, 1), value) for name, value in TRUE.items()} | {"BYM2.R": np.ones((1, 1, 1))}
    design = fit.design
    others = {name: v.mean(axis=(0, 1)).reshape(1, 1) for name, (_, v) in fit.draws.hyper.items()
              if name.endswith(".change") and name not in known}  # fmt: skip  # of the trend of the country
    hyper = Hyper(known | others, np.ones(design.linked.shape), np.zeros(design.linked.shape))
    limit, _ = Marginal.of(design).conditional(hyper).draw(np.random.default_rng(seed), 1000)
    groups = {"respondents": asked}
    return pd.concat([scored(eta, truth, groups, WAVES).assign(model=name)
                      for name, eta in (("fit", fit.draws.flat), ("limit", limit[1:]))])  # fmt: skip


def figures(shared: Path, case: str) -> pd.DataFrame:
    """Return the published figures of a case, a column per year, on 0-10."""
    data = shared / "data/nl"
    people = pd.read_csv(data / "kwb_2024_buurt.csv", dtype={"buurtcode": str}).set_index("buurtcode")
    name = {"health": "rivm_gezondheid_buurt.csv", "crime": "misdrijven_2021_2025_buurt.csv"}[case]
    table = pd.read_csv(data / name).set_index("buurtcode")
    table.columns = [int(column[-4:]) for column in table]
    if case == "crime":
        residents = people["inwoners"].where(people["inwoners"] >= 200)
        table = -np.log1p(1000 * table.div(residents, axis=0))[~people["gemeentenaam"].isin(ELSEWHERE)]
    table = table.dropna()
    return 6 + 0.7 * (table - table.mean().mean()) / table.std().mean()


def by_residents(shared: Path) -> str:
    """Return how the figures of a case differ and change around their means, by residents, in Markdown."""
    people = pd.read_csv(shared / "data/nl/kwb_2024_buurt.csv", dtype={"buurtcode": str}).set_index("buurtcode")
    rows = []
    for case in ("health", "crime"):
        table = figures(shared, case)
        table = table[people["inwoners"].reindex(table.index) > 0]
        stays = table.mean(axis=1)
        moves = table.sub(stays, axis=0) - (table.mean() - stays.mean())
        groups = pd.cut(people["inwoners"].reindex(table.index), RESIDENTS[0], labels=RESIDENTS[1])
        parts = [("all", np.ones(len(table), bool)), *((name, np.asarray(groups == name)) for name in RESIDENTS[1])]
        for name, kept in parts:
            spread = float(np.sqrt((moves[kept] ** 2).to_numpy().sum() / (kept.sum() * (table.shape[1] - 1))))
            rows.append({"case": case, "residents": name, "buurten": int(kept.sum()),
                         "sd of means over the years": stays[kept].std(), "sd around these": spread})  # fmt: skip
    return pd.DataFrame(rows).to_markdown(index=False, floatfmt=("", "", ".0f", ".2f", ".2f"))


def real(shared: Path, case: str, province: str, seed: int, model: Any, waves: Sequence[int] = ()) -> pd.DataFrame:
    """Rows of a sample of a case in a province."""
    data = shared / "data/nl"
    tables = [(data / "kwb_2024_buurt.csv", "buurtcode")]
    where = {"provinciecode": province}
    areas = bs.Areas.read(data / "buurt_2024.parquet", 2024, tables=tables, where=where, region=case)
    truth = figures(shared, case)[list(waves) or slice(None)].reindex(areas.codes)
    truth.loc[~np.asarray(areas.inhabited)] = np.nan
    years, rng = [int(year) for year in truth], np.random.default_rng([seed, 25])
    reach = rng.lognormal(0, 0.6, (len(areas.codes), len(years)))  # some are asked more, and others each year
    asked = np.minimum(rng.poisson(np.nan_to_num(areas.population[:, None]) / 100 * reach), MOST)
    asked = asked * np.isfinite(truth.to_numpy())
    direct = waves_of(areas, np.nan_to_num(truth.to_numpy()), asked, SD**2 * EFFECT, years, rng)
    fit = bs.fit(model(areas), direct, seed=seed, draws=1000, threads=1, progress=False, hyperparameters=200)
    residents = np.repeat(areas.population[:, None], len(years), axis=1)
    rows = scored(fit.draws.flat, truth.to_numpy(), {"respondents": asked, "residents": residents}, years)
    found = {name: v for name, (_, v) in fit.draws.hyper.items() if v.ndim < 4 and "beta" not in name}
    told = {name: round(float(v.mean()), 2) for name, v in found.items()}
    print(case, province, seed, f"{fit.seconds:.0f} s", fit.draws.certificate, told, file=sys.stderr, flush=True)
    return rows.assign(case=case)


def default(areas: bs.Areas, **options: Any) -> bs.AreaModel:
    """Return the model of the benchmark."""
    terms = [bs.OverTime(bs.BYM2(areas.graph()), **options), bs.OverTime(bs.IID("gemeente"), **options)]
    return bs.AreaModel(FORMULA, terms, missing="impute")


def summary(rows: pd.DataFrame, by: Sequence[str]) -> str:
    """Return coverage, error and width by group in Markdown."""
    groups = rows.groupby(list(by), sort=False, observed=True)
    each = groups.agg(figures=("covered", "size"), coverage=("covered", "mean"), z2=("z2", "mean"),
                      RMSE=("square", lambda s: np.sqrt(s.mean())), width=("width", "mean")).reset_index()  # fmt: skip
    each = each[each["figures"] >= 100].rename(columns={"coverage": "coverage, %"})
    formats = {"coverage, %": ".1f", "z2": ".2f", "RMSE": ".3f", "width": ".2f"}
    return each.to_markdown(index=False, floatfmt=tuple(formats.get(name, ".0f") for name in each))


def ten_bins(rows: pd.DataFrame) -> str:
    """Return P(increase) and how often it was one, in ten bins."""
    rows = rows[rows["p"].notna()]
    groups = rows.groupby(pd.cut(rows["p"], np.linspace(0, 1, 11), include_lowest=True), observed=True)
    each = groups.agg(changes=("p", "size"), said=("p", "mean"), rose=("rises", "mean"))
    each = each.reset_index(names="P(increase)")
    return each.to_markdown(index=False, floatfmt=".3f")


def simulated(replicates: int) -> str:
    """Return p-values of uniform ranks of simulation-based calibration, by quantity."""
    sys.path.insert(0, str(ROOT / "tests/recovery"))
    from test_calibration_over_time import chi_square, ranks

    p = chi_square(ranks(replicates))
    table = pd.DataFrame({"quantity": list(p), "p": list(p.values())}).sort_values("p")
    least = float(table["p"].iloc[0] * len(table))
    head = f"{replicates} replicates, ranks in ten bins; the least of {len(table)} p-values times as many: {least:.2f}."
    return f"{head}\n\n{table.T.to_markdown(headers='firstrow', floatfmt='.2f')}"


def of_classes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with classes of respondents and residents in the place of numbers."""
    cut = {"respondents": RESPONDENTS, "residents": RESIDENTS}
    return rows.assign(**{name: pd.cut(rows[name], of[0], labels=of[1]) for name, of in cut.items() if name in rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=tuple(MARKS), default=list(MARKS))
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=300)
    unseen = ["PV20", "PV22", "PV29", "PV31"]
    parser.add_argument("--provinces", nargs="+", default=unseen, help="others than those of choices")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for part in arguments.parts:
        start = time.perf_counter()
        if part == "simple":
            rows = of_classes(pd.concat([simple(seed) for seed in range(1, arguments.worlds + 1)], ignore_index=True))
            text = [summary(rows, ["model", "figure"]), summary(rows, ["model", "figure", "respondents"]),
                    ten_bins(rows[rows["model"] == "fit"])]  # fmt: skip
        elif part == "sbc":
            text = [simulated(arguments.replicates)]
        elif part == "figures":
            text = [by_residents(arguments.shared)]
        elif part == "prior":
            found = [
                real(arguments.shared, *sample, partial(default, **options), THREE[sample[0]]).assign(prior=name)
                for sample in product(("health", "crime"), CHOSEN, (1, 2))
                for name, options in PRIORS.items()
            ]
            rows = pd.concat(found, ignore_index=True)
            text = [summary(rows, ["case", "figure", "prior"])]
        else:
            samples = [(case, province, seed) for seed in range(1, arguments.samples + 1)
                       for province in arguments.provinces for case in ("health", "crime")]  # fmt: skip
            found = [real(arguments.shared, *sample, default) for sample in samples]
            rows = of_classes(pd.concat(found, ignore_index=True))
            text = [summary(rows, ["case", "figure"]), summary(rows, ["case", "figure", "respondents"]),
                    summary(rows, ["case", "figure", "residents"]), ten_bins(rows)]  # fmt: skip
        print(f"{part}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        page = "\n\n".join(text)
        print(page, flush=True)
        if arguments.out:
            write_part(arguments.out, *MARKS[part], page)


if __name__ == "__main__":
    main()
