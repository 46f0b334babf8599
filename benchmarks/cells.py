"""Cells made of margins beside the known ones they are made of: what is lost where nobody knows the joint table.

    python benchmarks/cells.py [--areas 300] [--draws 10] [--out docs/cells.md]

No joint table of age, sex, origin and tenure per buurt or gemeente is public; so the known one is made. Areas of 50 to
20,000 residents share a table with strong pairs, and differ from it per level (log-normal, sd 0.5), per pair of levels
(sd `pairs`) and per three levels (sd `threes`). Margins are summed per area, the seed is the sum of all areas, and the
answer depends on every characteristic (sd 0.5 on the logit scale), and on pairs (sd 0.2). All of this is drawn so many
times; the table has the mean over draws, and the least and the largest.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

from buurtsae.areas.areas import Areas
from buurtsae.survey.cells import Cells
from buurtsae.survey.joint_error import joint_error
from buurtsae.survey.margins import Margin

MARKS = "<!-- cells: written by benchmarks/cells.py -->", "<!-- end of cells -->"
LEVELS = {
    "leeftijd": ("18-24", "25-44", "45-64", "65+"),
    "geslacht": ("man", "vrouw"),
    "herkomst": ("Nederland", "Europa", "buiten Europa"),
    "woning": ("koop", "huur"),
}
SIZES = tuple(map(len, LEVELS.values()))
KNOWN = ((0.0, 0.0), (0.1, 0.0), (0.2, 0.0), (0.2, 0.1), (0.4, 0.0), (0.4, 0.2))


def effects(rng: np.random.Generator, order: int, sd: float, n: int = 1) -> np.ndarray:
    """Return random effects of all combinations of `order` characteristics, shape (n, *SIZES)."""
    out = np.zeros((n, *SIZES))
    for chosen in combinations(range(len(SIZES)), order):
        shape = [size if k in chosen else 1 for k, size in enumerate(SIZES)]
        out += sd * rng.standard_normal((n, *shape))
    return out


def areas_of(n: int, rng: np.random.Generator) -> Areas:
    residents = np.exp(rng.uniform(np.log(50), np.log(20_000), n)).astype(int)
    table = pd.DataFrame({"code": [f"a{k:04}" for k in range(n)], "population": residents})
    return Areas.from_frame(table, code="code")


def known_cells(areas: Areas, shared: np.ndarray, pairs: float, threes: float, rng: np.random.Generator) -> Cells:
    n = len(areas.codes)
    log = shared + effects(rng, 1, 0.5, n) + effects(rng, 2, pairs, n) + effects(rng, 3, threes, n)
    share = np.exp(log).reshape(n, -1)
    counts = rng.multinomial(areas.population.astype(int), share / share.sum(axis=1, keepdims=True))
    frame = pd.MultiIndex.from_product([areas.codes, *LEVELS.values()], names=["code", *LEVELS]).to_frame(index=False)
    return Cells.from_frame(frame.assign(aantal=counts.ravel()), areas, area="code", characteristics=LEVELS)


def made_cells(known: Cells, blank: bool) -> Cells:
    """From the sums of the known ones; `blank`: from a seed that knows nothing of how characteristics go together."""
    columns = {
        f"{name} {level}": known.residents({name: [level]}) for name, levels in LEVELS.items() for level in levels
    }
    margins = [Margin(name, {level: f"{name} {level}" for level in levels}) for name, levels in LEVELS.items()]
    seed = known.frame.groupby(list(LEVELS), observed=False)["aantal"].sum().reset_index()
    seed["aantal"] = 1.0 if blank else seed["aantal"] + 1e-6
    table = pd.DataFrame({"code": known.areas.codes, **columns})
    return Cells.from_margins(table, known.areas, margins, seed, area="code", by="all")


def errors(n: int, seed: int) -> pd.DataFrame:
    """Return what is lost in one draw of the shared table, of the areas, and of the model."""
    rng, rows = np.random.default_rng([2024, seed]), []
    areas, shared = areas_of(n, rng), effects(rng, 1, 0.5) + effects(rng, 2, 0.5)
    chance = expit(-1 + effects(rng, 1, 0.5) + effects(rng, 2, 0.2)).reshape(-1)
    for pairs, threes in KNOWN:
        known = known_cells(areas, shared, pairs, threes, np.random.default_rng([1, seed]))
        place = np.ravel_multi_index(tuple(known.level.T), SIZES)
        for blank in (False, True):
            error = joint_error(made_cells(known, blank), known, chance[place])
            row = {"pairs": pairs, "threes": threes, "seed": "none" if blank else "sum of all areas"}
            for name, part in (("up to 500", error["residents"] <= 500), ("above 2,000", error["residents"] > 2000)):
                of = error[part]
                row[f"misplaced, {name}"] = of["misplaced"].mean()
                row[f"share off, {name}"] = np.sqrt((of["shift"] ** 2).mean())
            rows.append(row | {"largest": error["shift"].abs().max()})
    return pd.DataFrame(rows)


def told(values: pd.Series) -> str:
    """Return the mean, and between brackets the range over draws."""
    unit, digits = ("%", 1) if values.name.startswith("misplaced") else ("", 2)
    low, mean, high = (f"{value:.{digits}f}{unit}" for value in (values.min(), values.mean(), values.max()))
    return f"{mean} ({low} to {high})" if len(values) > 1 else mean


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--areas", type=int, default=300)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    every = pd.concat([errors(args.areas, seed) for seed in range(1, args.draws + 1)])
    table = every.groupby(["pairs", "threes", "seed"], sort=False).agg(told).reset_index()
    text = table.to_markdown(index=False, disable_numparse=True)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
