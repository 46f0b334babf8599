"""The mean of an island: does its interval hold the truth, and is the estimate better than the direct one?

    python benchmarks/islands.py [--replicates 108] [--first 10001] [--out docs/islands.md]

A made country of 18 x 18 areas; the 24 in a corner are cut off by water. The truth is no draw of the fitted model: it
runs on over the water, as the ICAR of the whole grid, as a rough (exponential) or as a smooth (Matern 3/2) surface over
the coordinates, plus independent effects; its standard deviation is 0.3 or 0.6. In a last case the island lies 1.5
higher besides, 3 times what the field says. Six respondents per area on average elsewhere; on the island none, or one
to three in eight areas. Replicates take truths and standard deviations in turn; models see the same data.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part

import buurtsae as bs
from buurtsae.simulate.population import draw_icar

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- islands: written by benchmarks/islands.py -->", "<!-- end of islands -->"
ACROSS, WIDE, HIGH = 18, 4, 6  # of the country, and of its corner that is the island
WITHIN, JUMP = 2.0, 1.5  # standard deviation within an area; how much higher the island may lie
TRUTHS, SIZES = ("ICAR of the whole", "rough surface", "smooth surface"), ((0.6, 0.7), (0.3, 0.5))
RESPONDENTS = {"nobody": "nobody", "few": "1-3 in 8 of 24 areas", "few, higher": "the same, island 1.5 higher"}
BRIDGES = 2
EXTREME = 18  # replicates of the last case
SETTINGS = {"draws": 400, "hyperparameters": 100, "progress": False}


@dataclass(frozen=True)
class Country:
    """The grid: its codes, places, pairs of neighbours, which areas are the island's, and which pairs cross water."""

    codes: np.ndarray
    xy: np.ndarray
    pairs: np.ndarray
    island: np.ndarray
    crossing: np.ndarray

    @classmethod
    def made(cls) -> Country:
        y, x = np.divmod(np.arange(ACROSS**2), ACROSS)
        island, place = (x >= ACROSS - WIDE) & (y < HIGH), np.arange(ACROSS**2)
        right, up = place[x < ACROSS - 1], place[y < ACROSS - 1]
        pairs = np.vstack([np.column_stack([right, right + 1]), np.column_stack([up, up + ACROSS])])
        codes = np.array([f"a{k:03d}" for k in place])
        return cls(codes, np.column_stack([x, y]), pairs, island, island[pairs[:, 0]] != island[pairs[:, 1]])

    def graph(self, bridges: np.ndarray | None = None) -> bs.Graph:
        """Return the graph with water between, but for some bridges."""
        dry = self.codes[self.pairs[~self.crossing]]
        return bs.Graph.from_pairs(self.codes, dry, [] if bridges is None else self.codes[self.pairs[bridges]].tolist())

    def field(self, truth: str, rng: np.random.Generator) -> np.ndarray:
        """Draw a field of variance 1 that knows no water."""
        if truth == TRUTHS[0]:
            return draw_icar(bs.Graph.from_pairs(self.codes, self.codes[self.pairs]), 1, rng)[:, 0]
        apart = np.linalg.norm(self.xy[:, None] - self.xy[None], axis=2) / ACROSS
        if truth == TRUTHS[1]:
            covariance = np.exp(-apart / 0.3)
        else:
            covariance = (1 + np.sqrt(3) * apart / 0.4) * np.exp(-np.sqrt(3) * apart / 0.4)
        return np.linalg.cholesky(covariance + 1e-8 * np.eye(len(apart))) @ rng.normal(size=len(apart))


def replicate(country: Country, asked: str, seed: int) -> list[dict[str, object]]:
    """Return the island's mean by each model, and directly, beside the truth."""
    truth, (sigma, phi) = list(product(TRUTHS, SIZES))[seed % (len(TRUTHS) * len(SIZES))]
    rng, n, island = np.random.default_rng([seed, 21]), len(country.codes), country.island
    x = rng.normal(size=n)
    eta = 6 + 0.3 * x + sigma * (
        np.sqrt(1 - phi) * rng.normal(size=n) + np.sqrt(phi) * country.field(truth, rng)
    ) + JUMP * island * (asked == "few, higher")  # fmt: skip
    residents = rng.lognormal(7, 0.7, n).round().astype(int) + 50
    count = rng.poisson(6 * rng.gamma(1.5, 1 / 1.5, n))
    count[island] = 0
    if asked != "nobody":
        count[rng.choice(np.flatnonzero(island), 8, replace=False)] = rng.integers(1, 4, 8)
    heard = count > 0
    y = np.where(heard, eta + WITHIN * rng.normal(size=n) / np.sqrt(np.maximum(count, 1)), np.nan)
    table = pd.DataFrame({"code": country.codes, "y": y, "v": WITHIN**2 / np.maximum(count, 1)})
    areas = bs.Areas.from_frame(table[["code"]].assign(x=x, population=residents), code="code")
    data = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)
    share = island * residents / residents[island].sum()
    mean, own = share @ eta, residents * (island & heard)
    direct = own @ np.nan_to_num(y) / own.sum() if own.any() else np.nan
    apart = country.graph()
    bridged = country.graph(rng.choice(np.flatnonzero(country.crossing), BRIDGES, replace=False))
    models = {
        "no levels": bs.BYM2(apart, levels=False),
        "levels": bs.BYM2(apart),
        f"{BRIDGES} bridges": bs.BYM2(bridged),
    }
    rows = []
    for name, term in models.items():
        fit = bs.fit(bs.AreaModel("1 + x", [term]), data, seed=seed, **SETTINGS)
        scores = fit.draws.flat[:, :, 0]
        drawn, (low, high) = scores @ share, np.quantile(scores, [0.025, 0.975], axis=0)
        lower, upper = np.quantile(drawn, [0.025, 0.975])
        held = (low <= eta) & (eta <= high)
        rows.append(
            {
                **{"asked": asked, "model": name, "truth": truth, "seed": seed, "sigma": sigma},
                "covered": lower <= mean <= upper, "width": upper - lower,
                "square": (drawn.mean() - mean) ** 2, "variance": drawn.var(), "direct": (direct - mean) ** 2,
                "areas": held[island].mean(), "elsewhere": held[~island].mean(),
            }
        )  # fmt: skip
    return rows


def report(table: pd.DataFrame) -> str:
    """Return the table in Markdown."""
    groups = table.groupby(["asked", "model"], sort=False)
    n = groups.size()
    out = pd.DataFrame({
        "coverage": 100 * groups["covered"].mean(),
        "z2": (table["square"] / table["variance"]).groupby([table["asked"], table["model"]], sort=False).mean(),
        "width": groups["width"].mean(),
        "RMSE": np.sqrt(groups["square"].mean()),
        "RMSE direct": np.sqrt(groups["direct"].mean()),
        "coverage, areas of the island": 100 * groups["areas"].mean(),
        "elsewhere": 100 * groups["elsewhere"].mean(),
    }).reset_index()  # fmt: skip
    out["asked"] = out["asked"].map(RESPONDENTS)
    out = out.rename(columns={"asked": "respondents on the island"})
    error = 100 * np.sqrt(0.95 * 0.05 / n.min())
    head = (
        f"{n.min()} to {n.max()} countries per row; a coverage of 95% has a standard error of {error:.1f} points.\n\n"
    )
    digits = ("", "", ".0f", ".2f", ".2f", ".2f", ".2f", ".0f", ".0f")
    return head + out.to_markdown(index=False, floatfmt=digits, missingval="")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=108)
    parser.add_argument("--first", type=int, default=10001)
    parser.add_argument("--rows", type=Path, help="a CSV of all replicates")
    parser.add_argument("--out", type=Path, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    country, rows = Country.made(), []
    for seed in range(args.first, args.first + args.replicates):
        for asked in RESPONDENTS:
            if asked != "few, higher" or seed < args.first + EXTREME:
                rows += replicate(country, asked, seed)
        if args.rows:
            pd.DataFrame(rows).to_csv(args.rows, index=False)
    text = report(pd.DataFrame(rows))
    print(text)
    if args.out:
        write_part(args.out, START, END, text)


if __name__ == "__main__":
    main()
