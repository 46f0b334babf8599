"""How long a model of persons takes: answers, residents and areas of the size of the country.

    python benchmarks/persons.py [--side 120] [--respondents 100000 400000] [--seed 1] [--out docs/persons.md]

A grid of areas; eight characteristics of persons, twelve terms of these with BYM2 and a covariate of the area; 24 cells
of residents per area, drawn at random. Each size is a process of its own, for its memory; compiled loops are there.
"""

from __future__ import annotations

import argparse
import resource
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from pages import write_part
from scipy.special import expit

import buurtsae as bs

MARKS = "<!-- persons: written by benchmarks/persons.py -->", "<!-- end of persons -->"
LEVELS = {"leeftijd": 8, "geslacht": 2, "opleiding": 3, "herkomst": 3, "huishouden": 4, "inkomen": 10,
          "stedelijkheid": 5, "woning": 3}  # fmt: skip
CELLS = 24  # per area


def terms() -> list[object]:
    """Twelve terms of persons."""
    return [
        bs.Ordered("leeftijd"),
        bs.Ordered("leeftijd", by="geslacht"),
        bs.Fixed("geslacht"),
        *(bs.Factor(name) for name in ("opleiding", "herkomst", "huishouden", "woning")),
        bs.Smooth("inkomen"),
        bs.Ordered("stedelijkheid"),
        *(bs.Factor(pair) for pair in (("geslacht", "herkomst"), ("opleiding", "herkomst"), ("geslacht", "opleiding"))),
    ]


def timed(side: int, respondents: int, seed: int) -> dict[str, object]:
    """Return times and memory of one fit with its figures."""
    rng, n = np.random.default_rng(seed), side**2
    codes = [f"A{k:05d}" for k in range(n)]
    pairs = [(codes[k], codes[k + 1]) for k in range(n) if (k + 1) % side]
    pairs += [(codes[k], codes[k + side]) for k in range(n - side)]

    def drawn(size: int, area: np.ndarray) -> pd.DataFrame:
        levels = {name: rng.integers(0, k, size).astype(str) for name, k in LEVELS.items()}
        return pd.DataFrame({"code": np.array(codes)[area], **levels})

    residents = drawn(n * CELLS, np.repeat(np.arange(n), CELLS)).assign(aantal=rng.gamma(1, 40, n * CELLS).round() + 1)
    total = residents.groupby("code")["aantal"].sum()
    frame = pd.DataFrame({"code": codes, "population": total.reindex(codes).to_numpy(), "x": rng.normal(size=n)})
    areas = bs.Areas.from_frame(frame, code="code")
    cells = bs.Cells.from_frame(residents, areas, area="code")
    area = np.sort(rng.choice(n, respondents, p=total.reindex(codes).to_numpy() / total.sum()))
    persons = drawn(respondents, area)
    effects = sum(rng.normal(0, 0.3, k)[persons[name].astype(int)] for name, k in LEVELS.items())
    yes = rng.uniform(size=respondents) < expit(-1 + rng.normal(0, 0.4, n)[area] + effects)
    answers = bs.Answers.of(persons.assign(eenzaam=100.0 * yes), "eenzaam", cells, area="code")
    graph = bs.Graph.from_pairs(codes, pairs)
    model = bs.UnitModel("1 + x", terms=[bs.BYM2(graph, sd=bs.PC(1, 0.05))], persons=terms())  # type: ignore[arg-type]
    start = time.perf_counter()
    fitted = bs.fit_persons(model, answers, cells, draws=1000, progress=False)
    middle = time.perf_counter()
    fitted.fit_of()
    end = time.perf_counter()
    certificate = fitted.raw.certificate
    return {
        "areas": n,
        "respondents": respondents,
        "cells of answers": len(answers.size),
        "cells of residents": len(cells.area),
        "fit, s": middle - start,
        "figures, s": end - middle,
        "peak, GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "k-hat": getattr(certificate, "khat", np.nan),
        "effective": getattr(certificate, "effective", np.nan),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=120)
    parser.add_argument("--respondents", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for side, respondents in [(12, 5_000), *((args.side, n) for n in args.respondents)]:  # the first one compiles
        with get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(timed, (side, respondents, args.seed)))
        print(rows[-1], flush=True)
    text = pd.DataFrame(rows[1:]).round(2).to_markdown(index=False)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
