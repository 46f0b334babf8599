"""Several waves of the whole country in one fit: seconds and memory by the number of waves, and changes that are found.

    python benchmarks/years.py [--waves 1 3 5 10] [--shared ../shared] [--out docs/years.md]
    python benchmarks/years.py --parts changes [--worlds 40] [--out docs/years.md]

Time: buurten and neighbours of 2024 of the folder `shared`, one sub-dimension, in each wave a direct estimate in two
thirds of the inhabited buurten; `OverTime(BYM2)` with levels of parts, a fit with 1,000 draws. A process for each
number of waves; the clock starts before anything is imported, with compiled loops at hand.

Changes: a grid of 20 x 20 areas, three waves (2018, 2020, 2024), 0 to 9 respondents each; truths that the model did not
draw: what stays has a smooth part and noise with heavier tails than normal, areas go up or down along a line of their
own, a step of 1.5 in one area of twenty, and noise of the year. Coverage of 95% intervals of levels in the last year
and of changes, by respondents in the last year; how often a change is said to be up or down, and is not; and what
models of each year alone say of the same changes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START = time.perf_counter()
ROOT = Path(__file__).resolve().parents[1]
TIME = "<!-- time: written by benchmarks/years.py -->", "<!-- end of time -->"
CHANGES = "<!-- changes: written by benchmarks/years.py -->", "<!-- end of changes -->"


def country(shared: Path, waves: int) -> dict[str, Any]:
    """Fit so many waves of the country, and return what it took."""
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    import buurtsae as bs

    table = pd.read_parquet(shared / "bench/national/area_level.parquet").set_index("buurtcode").sort_index()
    pairs = pd.read_parquet(shared / "data/nl/buurt_2024_queen_edges.parquet")
    codes = pd.Index(sorted({*pairs["buurtcode_a"], *pairs["buurtcode_b"], *table.index}))
    graph = bs.Graph.from_pairs(codes, zip(pairs["buurtcode_a"], pairs["buurtcode_b"], strict=True))
    frame = pd.DataFrame({"code": codes, "population": np.where(codes.isin(table.index), 1000, 0)})
    areas, rng = bs.Areas.from_frame(frame, code="code"), np.random.default_rng(waves)
    n, years = len(codes), range(2025 - waves, 2025)
    stays, walk, sources = 0.5 * rng.standard_normal(n), np.zeros(n), []
    for year in years:
        walk = walk + 0.15 * rng.standard_normal(n)
        v = rng.uniform(0.2, 1.0, n)
        y = 6 + stays + walk + np.sqrt(v) * rng.standard_normal(n)
        seen = (rng.uniform(size=n) < 2 / 3) & codes.isin(table.index)
        data = pd.DataFrame({"code": codes, "y": np.where(seen, y, np.nan), "v": v})
        direct = bs.DirectEstimates.from_frame(data, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source="wave"))
    several = replace(direct, sources=tuple(sources)).by_year()
    fit = bs.fit(bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))]), several, draws=1000, progress=False)
    certificate = fit.draws.certificate
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = {"fit, s": round(fit.seconds, 1), "all, s": round(time.perf_counter() - START, 1)}
    return {"waves": waves, "areas": n, **seconds, "peak, GiB": round(peak, 2), "k-hat": round(certificate.khat, 2),
            "effective": round(certificate.effective)}  # fmt: skip


def world(seed: int, side: int = 20) -> tuple[Any, Any, Any, Any]:
    """Return direct estimates by year, the graph, the truth (areas, years), and who answered last (areas,)."""
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    import buurtsae as bs

    rng, n, years = np.random.default_rng([seed, 23]), side * side, (2018, 2020, 2024)
    x, y = (grid.ravel() / side for grid in np.meshgrid(np.arange(side), np.arange(side)))
    stays = 0.7 * np.sin(4 * x + rng.uniform(0, 6)) * np.cos(3 * y + rng.uniform(0, 6)) + 0.2 * rng.standard_t(4, n)
    slope = 0.04 * rng.standard_normal(n) + 0.03 * np.sin(5 * y + rng.uniform(0, 6))
    step = 1.5 * (rng.uniform(size=n) < 0.05)
    nation = {2018: 6.0, 2020: 6.1, 2024: 5.8}
    truth = np.stack([nation[t] + stays + slope * (t - 2018) + step * (t == 2024) + 0.1 * rng.standard_normal(n)
                      for t in years], axis=1)  # fmt: skip
    codes = [f"A{k:04}" for k in range(n)]
    right = [(codes[k], codes[k + 1]) for k in range(n) if (k + 1) % side]
    graph = bs.Graph.from_pairs(codes, [*right, *((codes[k], codes[k + side]) for k in range(n - side))])
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 500}), code="code")
    sources = []
    for t, year in enumerate(years):
        asked = rng.integers(0, 10, n)
        v = 3.0 / np.maximum(asked, 1)
        data = pd.DataFrame({"code": codes, "y": truth[:, t] + np.sqrt(v) * rng.standard_normal(n), "v": v, "n": asked})
        data.loc[asked == 0, "y"] = np.nan
        direct = bs.DirectEstimates.from_frame(data, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source="wave"))
    return replace(direct, sources=tuple(sources)).by_year(), graph, truth, asked


def of_world(seed: int) -> Any:
    """Rows of one world: a model of all years, and of each year alone."""
    import numpy as np
    import pandas as pd

    import buurtsae as bs

    several, graph, truth, asked = world(seed)
    rows = []
    for name, term in (("over time", bs.OverTime(bs.BYM2(graph))), ("each year alone", bs.BYM2(graph))):
        fit = bs.fit(bs.AreaModel("1", [term]), several, seed=seed, draws=1000, progress=False)
        eta = fit.draws.flat
        for figure, drawn, true in (
            ("last year", eta[:, :, 2], truth[:, 2]),
            ("change 2020-2024", eta[:, :, 2] - eta[:, :, 1], truth[:, 2] - truth[:, 1]),
        ):
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            up = (drawn > 0).mean(axis=0)
            said = np.where(up >= 0.95, 1, np.where(up <= 0.05, -1, 0)) * (figure != "last year")
            classes = np.where(asked == 0, "0", np.where(asked < 6, "1-5", "6-9"))
            rows.append(pd.DataFrame({
                "model": name, "figure": figure, "respondents": classes,
                "covered": 100.0 * ((true >= low) & (true <= high)), "square": (drawn.mean(axis=0) - true) ** 2,
                "width": high - low, "said": 100.0 * (said != 0), "wrong": 100.0 * (said * true < 0),
                "p": up, "rises": true > 0, "world": seed,
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=("time", "changes"), default=["time"])
    parser.add_argument("--waves", type=int, nargs="+", default=[1, 3, 5, 10])
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(country(arguments.shared, arguments.one)))
        return
    import numpy as np
    import pandas as pd
    from pages import write_part

    for part in arguments.parts:
        if part == "time":
            command = [sys.executable, __file__, "--shared", str(arguments.shared), "--one"]
            found = [
                json.loads(subprocess.run([*command, str(n)], check=True, capture_output=True, text=True).stdout)
                for n in arguments.waves
            ]
            text, marks = pd.DataFrame(found).to_markdown(index=False), TIME
        else:
            table = pd.concat([of_world(seed) for seed in range(1, arguments.worlds + 1)], ignore_index=True)
            groups = table.groupby(["model", "figure", "respondents"], sort=False)
            each = groups.agg(figures=("covered", "size"), coverage=("covered", "mean"), width=("width", "mean"),
                              RMSE=("square", lambda s: np.sqrt(s.mean())), said=("said", "mean"),
                              wrong=("wrong", "mean")).reset_index()  # fmt: skip
            each = each.rename(columns={"coverage": "coverage, %", "said": "said up or down, %", "wrong": "wrongly, %"})
            text, marks = each.round(2).to_markdown(index=False), CHANGES
        print(text, flush=True)
        if arguments.out:
            write_part(arguments.out, *marks, text)


if __name__ == "__main__":
    main()
