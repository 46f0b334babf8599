r"""Persons whose weights know what no table of residents has: without it, with classes of weights, and known.

    python benchmarks/weight_classes.py [--worlds 20] [--out docs/persons.md]

24 areas of some 1,000 residents in three ages. A share of them live alone, Beta(6, 9) per area, and say yes more often:

    logit P(yes) = u_a + (-0.6, 0, 0.6)[age] + (-1.2, 0.6)[alone],    u ~ N(0, 0.4^2).

Of those who do not live alone 6% respond, of those who do 1.8%; weights are one over these. The truth is the share of
the residents. Rows are of the same worlds; `error` is the root mean square over areas, `whole` the coverage of the
share of all.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

import buurtsae as bs

MARKS = "<!-- classes: written by benchmarks/weight_classes.py -->", "<!-- end of classes -->"
N, AGES, RATE, SIZE = 24, ("18-44", "45-64", "65+"), 0.06, (150, 500)
OPTIONS: dict[str, Any] = {"progress": False, "draws": 1000, "hyperparameters": 100}


def world(seed: int) -> tuple[bs.Cells, np.ndarray, np.ndarray]:
    """Return cells by age, residents who do not and who do live alone, (areas, ages, 2), and who of them say yes."""
    rng = np.random.default_rng(seed)
    codes, alone, count = [f"a{k:02}" for k in range(N)], rng.beta(6, 9, N), rng.integers(*SIZE, (N, len(AGES)))
    of_alone = rng.binomial(count, alone[:, None])
    n = np.stack([count - of_alone, of_alone], axis=2)
    eta = rng.normal(0, 0.4, N)[:, None, None] + np.array([-0.6, 0, 0.6])[:, None] + np.array([-1.2, 0.6])
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": count.sum(axis=1)}), code="code")
    table = pd.DataFrame({"code": np.repeat(codes, 3), "leeftijd": AGES * N, "aantal": count.ravel()})
    return bs.Cells.from_frame(table, areas, area="code"), n, rng.binomial(n, expit(eta))


def asked(n: np.ndarray, yes: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Return who responds, with their weight."""
    rate, parts = RATE * np.array([1.0, 0.3]), []
    for answer, of in ((100.0, yes), (0.0, n - yes)):
        taken = rng.binomial(of, rate).ravel()
        a, b, c = (np.repeat(at, taken) for at in np.indices(of.shape).reshape(3, -1))
        codes = [f"a{k:02}" for k in a]
        parts.append(pd.DataFrame({"code": codes, "leeftijd": np.array(AGES)[b], "y": answer, "w": (1 / rate)[c]}))
    return pd.concat(parts, ignore_index=True)


def fitted(seed: int) -> list[dict[str, Any]]:
    """Return how each way does in one world."""
    cells, n, yes = world(seed)
    people, truth = asked(n, yes, np.random.default_rng([seed, 1])), yes.sum(axis=(1, 2)) / n.sum(axis=(1, 2))
    ways: dict[str, tuple[pd.DataFrame, tuple[bs.Cells, ...]]] = {"no classes": (people, (cells,))}
    for name, by in (("classes", None), ("classes, by area", "area")):
        ways[name] = bs.weight_classes(people, cells, "w", classes=4, area="code", by=by, tables=20)
    known = replace(ways["classes"][1][0], count=n.reshape(-1).astype(float))
    ways["it is known of residents"] = ways["classes"][0], (known,)
    rows, of_all = [], cells.residents() / cells.count.sum()
    for name, (frame, tables) in ways.items():
        more = [bs.Factor("gewichtsklasse")] if "gewichtsklasse" in frame else []
        model = bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Ordered("leeftijd"), *more])
        fit = bs.fit_persons(model, bs.Answers.of(frame, "y", tables[0], area="code"), tables, seed=seed, **OPTIONS)
        draws = 100 * fit.fit_of().draws.scores()[..., 0]
        off, (lower, upper) = draws.mean(axis=0) - 100 * truth, np.quantile(draws, [0.025, 0.975], axis=0)
        ends = np.quantile(draws @ of_all, [0.025, 0.975])
        rows.append({
            "model": name, "bias, points": off.mean(), "error, points": np.sqrt((off**2).mean()),
            "width, points": (upper - lower).mean(),
            "coverage, %": 100 * ((lower < 100 * truth) & (100 * truth < upper)).mean(),
            "whole, %": 100 * float(ends[0] < 100 * truth @ of_all < ends[1]),
        })  # fmt: skip
    return rows


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    table = pd.DataFrame([row for seed in range(1, args.worlds + 1) for row in fitted(seed)])
    about = f"{args.worlds} worlds, seeds 1 to {args.worlds}:"
    text = f"{about}\n\n" + table.groupby("model", sort=False).mean().round(1).reset_index().to_markdown(index=False)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
