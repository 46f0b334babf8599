"""A national share from respondents who are unlike the nation: 6,300 cells, response that depends on all of these.

    python benchmarks/mrp.py --parts FOLDER [--replicates 100] [--effects recipe] [--first 1] [--out docs/persons.md]

A recipe of the kind of the vignette on poststratification of rstanarm: 2 x 3 x 7 x 3 x 50 cells of sex, origin, age,
income and state, 250 million residents, independent margins. Of a person

    logit P(yes) = b[sex] + b[origin] + b[age] + b[income] + b[state] + b[age, sex],    P(responds) ~ the product of r.

States differ by a normal of standard deviation 1, and respond in proportion to a uniform number: a few hardly. Each
replicate draws states anew. Effects of persons are those of the *recipe*, the same in all replicates, or *drawn* anew
in each: b from N(0, 0.5^2), b[age, sex] from N(0, 0.2^2).

Raw is the share of the respondents, of all or of a state. *Walks* has first-order walks along age, by sex too, and
`Factor` of origin and income; *contrasts* `Fixed` of these; *lines* besides has walks of second order, whose line is
not shrunk. 95% intervals; sd is the posterior standard deviation, or that of a share of n respondents. Each replicate
is a file in the folder, which later runs go on with.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

import buurtsae as bs

MARKS = "<!-- mrp: written by benchmarks/mrp.py -->", "<!-- end of mrp -->"
RESIDENTS, RESPONDENTS, STATES, SD = 250e6, 1200, 50, 1.0
SHARE = {"sex": (0.52, 0.48), "origin": (0.5, 0.2, 0.3), "age": (0.2, 0.1, 0.2, 0.2, 0.1, 0.1, 0.1),
         "income": (0.5, 0.35, 0.15)}  # fmt: skip
RESPONSE = {"sex": (2.0, 0.8), "origin": (1.0, 1.2, 2.5), "age": (1.0, 0.4, 1.0, 1.5, 3.0, 5.0, 7.0),
            "income": (1.0, 0.9, 0.8)}  # fmt: skip
EFFECT = {"sex": (0.0, -0.3), "origin": (0.0, 0.6, 0.9), "age": (0.0, -0.2, -0.3, 0.4, 0.5, 0.7, 0.8),
          "income": (0.0, -0.2, 0.6)}  # fmt: skip
AGE_BY_SEX = np.outer([0.0, 0.1, 0.23, 0.35, 0.43, 0.5, 0.6], [1.0, -1.0])
OPTIONS = {"draws": 1000, "hyperparameters": 60, "threads": 1, "progress": False}
Models = Mapping[str, tuple[type[bs.Factor | bs.Fixed], Literal[1, 2]]]  # the term of levels, the order of walks
MODELS: Models = {"walks": (bs.Factor, 1), "contrasts": (bs.Fixed, 1), "lines": (bs.Fixed, 2)}
NAMES = [f"S{k:02}" for k in range(STATES)]


def world(seed: int, effects: str) -> tuple[pd.DataFrame, bs.Cells, np.ndarray]:
    """Return respondents, residents and the true share of each state."""
    rng, n = np.random.default_rng([seed, 41]), RESPONDENTS
    state, *level = np.indices((STATES, *map(len, SHARE.values()))).reshape(1 + len(SHARE), -1)
    of = dict(zip(SHARE, level, strict=True))
    size, responds = rng.uniform(10, 20, STATES), rng.uniform(size=STATES)
    count, lean, eta = size[state] / size.sum(), responds[state], SD * rng.standard_normal(STATES)[state]
    others = np.random.default_rng([seed, 42])
    for name, at in of.items():
        drawn = 0.5 * others.standard_normal(len(SHARE[name]))
        count, lean = count * np.array(SHARE[name])[at], lean * np.array(RESPONSE[name])[at]
        eta = eta + (np.array(EFFECT[name]) if effects == "recipe" else drawn)[at]
    pair = AGE_BY_SEX if effects == "recipe" else 0.2 * others.standard_normal(AGE_BY_SEX.shape)
    count, chance = np.round(RESIDENTS * count), expit(eta + pair[of["age"], of["sex"]])
    person = rng.choice(len(state), n, p=count * lean / (count * lean).sum())
    frame = pd.DataFrame({name: at.astype(str) for name, at in of.items()}).assign(code=np.array(NAMES)[state])
    residents = np.bincount(state, count)
    areas = bs.Areas.from_frame(pd.DataFrame({"code": NAMES, "population": residents.astype(int)}), code="code")
    cells = bs.Cells.from_frame(frame.assign(aantal=count), areas, area="code")
    asked = frame.iloc[person].assign(yes=100.0 * (rng.uniform(size=n) < chance[person]))
    return asked, cells, np.bincount(state, count * chance) / residents


def replicate(seed: int, effects: str, models: Models = MODELS) -> pd.DataFrame:
    """Estimate, sd and truth of the nation (`all`) and of each state, raw and poststratified."""
    asked, cells, truth = world(seed, effects)
    weight = cells.residents() / cells.residents().sum()
    by_state, names = asked.groupby("code")["yes"], ["all", *NAMES]
    p = np.append(asked["yes"].mean(), by_state.mean().reindex(NAMES)) / 100
    size = np.append(RESPONDENTS, by_state.size().reindex(NAMES).fillna(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt(p * (1 - p) / size)
    parts = [pd.DataFrame({"estimate": p, "sd": sd, "lower": p - 1.96 * sd, "upper": p + 1.96 * sd, "model": "raw"})]
    answers = bs.Answers.of(asked, "yes", cells, area="code")
    for name, (term, order) in models.items():
        along, apart = bs.Ordered("age", order=order), bs.Ordered("age", by="sex", order=order)
        of_persons = [bs.Fixed("sex"), term("origin"), along, term("income"), apart]
        model = bs.UnitModel("1", terms=[bs.IID("area")], persons=of_persons)
        draws = bs.fit_persons(model, answers, cells, seed=seed, **OPTIONS).fit_of().draws
        share = draws.scores()[..., 0] / draws.outcome.scale.upper
        drawn = np.column_stack([share @ weight, share])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        parts.append(pd.DataFrame({"estimate": drawn.mean(axis=0), "sd": drawn.std(axis=0), "lower": low,
                                   "upper": high, "model": name}))  # fmt: skip
    about = {"area": names, "truth": np.append(truth @ weight, truth), "n": size, "effects": effects}
    return pd.concat([part.assign(**about) for part in parts])


def table_of(found: pd.DataFrame) -> str:
    """Errors in points and coverage in per cent: of the nation, states that have respondents, and those that do not."""
    national = found["area"] == "all"
    kinds = {"the nation": national, "states with respondents": ~national & (found["n"] > 0),
             "states without": ~national & (found["n"] == 0)}  # fmt: skip
    rows = []
    for kind, there in kinds.items():
        groups = found[there].dropna(subset=["estimate"]).groupby(["effects", "model"], sort=False)
        for (effects, model), part in groups:
            error, covered = (
                100 * (part["estimate"] - part["truth"]),
                part["truth"].between(part["lower"], part["upper"]),
            )
            near = (error.abs() <= 200 * part["sd"]).sum()
            rows.append({
                "effects": effects, "share of": kind, "model": model, "estimates": str(len(part)),
                "bias": f"{error.mean():.2f}",
                "RMSE": f"{np.sqrt((error**2).mean()):.2f}", "within 2 sd": f"{near} of {len(part)}",
                "coverage, %": f"{100 * covered.mean():.1f}",
                "width": f"{100 * (part['upper'] - part['lower']).mean():.1f}",
            })  # fmt: skip
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, required=True, help="folder of replicates")
    parser.add_argument("--effects", choices=["recipe", "drawn"], default="recipe")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    args.parts.mkdir(parents=True, exist_ok=True)
    for seed in range(args.first, args.first + args.replicates):
        path = args.parts / f"{args.effects}_{seed:04}.parquet"
        if not path.exists():
            replicate(seed, args.effects).to_parquet(path)
            print(path, flush=True)
    found, abouts = list[pd.DataFrame](), list[str]()
    for effects in ("recipe", "drawn"):
        files = sorted(args.parts.glob(f"{effects}_*.parquet"))
        found += map(pd.read_parquet, files)
        abouts += [f"{len(files)} replicates of {effects} effects"] if files else []
    text = f"{RESPONDENTS} respondents; {', '.join(abouts)}:\n\n{table_of(pd.concat(found))}"
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
