"""Several waves of the whole country in one fit: seconds and memory by the number of waves, and changes that are found.

    python benchmarks/years.py [--waves 1 3 5 10 3x4] [--shared ../shared] [--out docs/years.md]
    python benchmarks/years.py --parts steps --waves 3 10 3x4 [--out docs/years.md]
    python benchmarks/years.py --parts changes [--worlds 40] [--out docs/years.md]
    python benchmarks/years.py --parts ahead [--worlds 40] [--out docs/years.md]
    python benchmarks/years.py --parts coefficients [--worlds 40] [--out docs/years.md]

Time: buurten, residents and neighbours of 2024 of the folder `shared`, one measure (3x4: three waves of four measures),
in each wave a direct estimate in two thirds of the inhabited buurten; `OverTime(BYM2)` with levels of parts, a fit with
1,000 draws, two threads. A process for each; the clock starts before anything is imported, with compiled loops at hand;
processor seconds are of both threads, and hardly depend on what else a machine does.

Changes: a grid of 20 x 20 areas, three waves (2018, 2020, 2024), 0 to 9 respondents each; truths that the model did not
draw: what stays has a smooth part and noise with heavier tails than normal, areas go up or down along a line of their
own, a step of 1.5 in one area of twenty, and noise of the year. Coverage of 95% intervals of levels in the last year
and of changes, by respondents in the last year; how often a change is said to be up or down, and is not; and what
models of each year alone say of the same changes.

Ahead: such worlds of 12 x 12 areas with a wave every two years from 2014 on; from the waves up to a year, three at the
least, the direct estimates of the next are foreseen, with their sampling variances, which are known: by the model with
that year as one without a survey, by the last direct estimate of the area, and by a line through its direct estimates.

Coefficients: 100 areas, waves of 2018, 2020 and 2024, sampling variances of 0.1 to 0.5, a covariate with the
coefficient 0.5 in all, or 0.5, 0.6 and 0.2; areas have an effect that stays and one of the year. Changes from 2020 to
2024, of areas more than a standard deviation from the mean of the covariate, and of others.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

START = time.perf_counter()
ROOT = Path(__file__).resolve().parents[1]
TIME = "<!-- time: written by benchmarks/years.py -->", "<!-- end of time -->"
AHEAD = "<!-- ahead: written by benchmarks/years.py -->", "<!-- end of ahead -->"
COEFFICIENTS = "<!-- coefficients: written by benchmarks/years.py -->", "<!-- end of coefficients -->"
WAVES = tuple(range(2014, 2026, 2))
PARTS = "time", "steps", "changes", "ahead", "coefficients"
STEPS = "<!-- steps: written by benchmarks/years.py -->", "<!-- end of steps -->"
CHANGES = "<!-- changes: written by benchmarks/years.py -->", "<!-- end of changes -->"


def made(shared: Path, waves: int, measures: int) -> tuple[Any, Any]:
    """Return direct estimates of so many waves of so many measures of the country, and the model."""
    import numpy as np
    import pandas as pd

    import buurtsae as bs

    table = pd.read_parquet(shared / "bench/national/area_level.parquet").set_index("buurtcode").sort_index()
    pairs = pd.read_parquet(shared / "data/nl/buurt_2024_queen_edges.parquet")
    codes = pd.Index(sorted({*pairs["buurtcode_a"], *pairs["buurtcode_b"], *table.index}))
    graph = bs.Graph.from_pairs(codes, zip(pairs["buurtcode_a"], pairs["buurtcode_b"], strict=True))
    residents = table["inwoners"].reindex(codes, fill_value=0).to_numpy()
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": residents}), code="code")
    n, years, rng = len(codes), range(2025 - waves, 2025), np.random.default_rng(waves)
    together = np.linalg.cholesky(0.5 * np.eye(measures) + 0.5).T  # correlation between measures
    names, sources = [f"y{d}" for d in range(measures)], []
    stays, walk = 0.5 * rng.standard_normal((n, measures)) @ together, np.zeros((n, measures))
    for year in years:
        walk = walk + 0.15 * rng.standard_normal((n, measures)) @ together
        v = rng.uniform(0.2, 1.0, n)
        y = 6 + stays + walk + np.sqrt(v)[:, None] * rng.standard_normal((n, measures))
        seen = (rng.uniform(size=n) < 2 / 3) & codes.isin(table.index)
        data = pd.DataFrame(np.where(seen[:, None], y, np.nan), columns=names).assign(code=codes, v=v)
        variances = [f"v{d}" for d in range(measures)]
        data[variances] = np.repeat(v[:, None], measures, axis=1)
        direct = bs.DirectEstimates.from_frame(
            data.drop(columns="v"), y=names, variance=variances, area="code", areas=areas, year=year
        )
        sources.append(replace(direct.sources[0], source="wave"))
    return replace(direct, sources=tuple(sources)).by_year(), bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))])


def steps(shared: Path, waves: int, measures: int) -> dict[str, Any]:
    """Return what one evaluation takes: the likelihood, its gradient and 15 draws, processor seconds of one thread."""
    import numpy as np

    from buurtsae.engines.marginal import Marginal
    from buurtsae.model.design import design

    several, model = made(shared, waves, measures)
    marginal = Marginal.of(design(model, several))
    xi, rng, took = np.zeros(marginal.size), np.random.default_rng(1), dict[str, Any]()
    work = {
        "likelihood": lambda: marginal.posterior(xi),
        "gradient": lambda: marginal.with_gradient(xi),
        "and 15 draws": lambda: marginal.posterior(xi).given.draw(rng, 15),
    }
    for name, one in work.items():
        one()
        start = time.thread_time()
        one()
        took[f"{name}, s"] = round(time.thread_time() - start, 2)
    size = round(marginal.field.symbolic.size / 1e6, 1)
    return {"waves": waves, "measures": measures, "hyperparameters": marginal.size, "factor, million": size, **took}


def country(shared: Path, waves: int, measures: int) -> dict[str, Any]:
    """Fit so many waves of so many measures of the country, and return what it took."""
    import buurtsae as bs

    several, model = made(shared, waves, measures)
    fit = bs.fit(model, several, draws=1000, progress=False)
    certificate = fit.draws.certificate
    assert certificate is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = {"fit, s": round(fit.seconds, 1), "all, s": round(time.perf_counter() - START, 1),
               "processor, s": round(time.process_time())}  # fmt: skip
    return {"waves": waves, "measures": measures, **seconds, "peak, GiB": round(peak, 2),
            "values": certificate.values, "effective": round(certificate.effective),
            "k-hat": round(certificate.khat, 2)}  # fmt: skip


def world(seed: int, side: int = 20, years: tuple[int, ...] = (2018, 2020, 2024)) -> tuple[Any, Any, Any, Any]:
    """Return direct estimates by year, the graph, the truth (areas, years), and who answered last (areas,)."""
    import numpy as np
    import pandas as pd

    import buurtsae as bs

    rng, n = np.random.default_rng([seed, 23]), side * side
    x, y = (grid.ravel() / side for grid in np.meshgrid(np.arange(side), np.arange(side)))
    stays = 0.7 * np.sin(4 * x + rng.uniform(0, 6)) * np.cos(3 * y + rng.uniform(0, 6)) + 0.2 * rng.standard_t(4, n)
    slope = 0.04 * rng.standard_normal(n) + 0.03 * np.sin(5 * y + rng.uniform(0, 6))
    step = 1.5 * (rng.uniform(size=n) < 0.05)
    nation = {2014: 5.8, 2016: 6.1, 2018: 6.0, 2020: 6.1, 2022: 6.0, 2024: 5.8}
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


def ahead(seed: int) -> Any:
    """Rows of one world: the direct estimates of each next wave, as they are foreseen from those before."""
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    import buurtsae as bs

    several, graph, truth, _ = world(seed, 12, WAVES)
    rng, n, rows = np.random.default_rng([seed, 24]), len(truth), list[pd.DataFrame]()
    y, v = np.full((2, n, len(WAVES)), np.nan)
    for t, source in enumerate(several.sources):
        at = several.areas.codes.get_indexer(source.codes)
        y[at, t], v[at, t] = source.mean[:, 0], source.variance[:, 0, 0]
    for t in range(3, len(WAVES)):
        known = replace(several, sources=several.sources[:t], years=()).by_year(also=WAVES[t : t + 1])
        foreseen = dict[str, tuple[Any, Any, Any]]()
        noise = np.sqrt(np.nan_to_num(v[:, t]))
        for name, process in (("the model", "walk"), ("the model, ar1", "ar1")):
            model = bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph), process=process)])
            eta = bs.fit(model, known, seed=seed, draws=1000, progress=False).draws.flat[:, :, -1]
            low, high = np.quantile(eta + noise * rng.standard_normal(eta.shape), [0.025, 0.975], axis=0)
            foreseen[name] = eta.mean(axis=0), low, high
        wide = 1.96 * np.sqrt(v[:, t - 1] + v[:, t])
        foreseen["last value"] = y[:, t - 1], y[:, t - 1] - wide, y[:, t - 1] + wide
        foreseen["a line per area"] = line(y[:, :t], v[:, :t], v[:, t], WAVES[: t + 1])
        kept = np.isfinite(y[:, t] + sum(mean for mean, *_ in foreseen.values()))  # those that all of them foresee
        for name, (mean, low, high) in foreseen.items():
            rows.append(pd.DataFrame({
                "foreseen by": name, "year": WAVES[t],
                "covered": 100.0 * ((y[:, t] >= low) & (y[:, t] <= high))[kept], "width": (high - low)[kept],
                "of direct": (mean - y[:, t])[kept] ** 2, "of the truth": (mean - truth[:, t])[kept] ** 2,
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def line(y: Any, v: Any, ahead: Any, years: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Least squares of direct estimates on years, by their variances, per area with two or more: mean and interval."""
    import numpy as np

    seen, x = np.isfinite(y), np.array(years, dtype=float) - years[-1]
    w, past = np.where(seen, 1 / v, 0.0), x[:-1]
    of_one, of_x, of_square = w.sum(axis=1), w @ past, w @ past**2
    of_y, of_both = (w * np.nan_to_num(y)).sum(axis=1), (w * np.nan_to_num(y)) @ past
    det = np.where(seen.sum(axis=1) > 1, of_one * of_square - of_x**2, np.nan)
    mean = (of_square * of_y - of_x * of_both) / det  # at x = 0, the next wave
    wide = 1.96 * np.sqrt(of_square / det + ahead)
    return mean, mean - wide, mean + wide


def slopes(seed: int) -> Any:
    """Rows of two worlds, in which the coefficient stays and in which it changes: three models of each."""
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    import buurtsae as bs

    rng, n, years, rows = np.random.default_rng([seed, 25]), 100, (2018, 2020, 2024), list[pd.DataFrame]()
    x, codes = rng.standard_normal(n), [f"A{k:03}" for k in range(n)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 500, "x": x}), code="code")
    rest = 0.3 * rng.standard_normal((n, 1)) + 0.1 * rng.standard_normal((n, 3)) + np.array([6.0, 6.1, 5.8])
    v = rng.uniform(0.1, 0.5, (n, 3))
    error = np.sqrt(v) * rng.standard_normal((n, 3))
    for world, slope in (("stays", [0.5, 0.5, 0.5]), ("changes", [0.5, 0.6, 0.2])):
        truth, sources = rest + np.outer(x, slope), []
        for t, year in enumerate(years):
            data = pd.DataFrame({"code": codes, "y": (truth + error)[:, t], "v": v[:, t]})
            direct = bs.DirectEstimates.from_frame(data, y="y", variance="v", area="code", areas=areas, year=year)
            sources.append(replace(direct.sources[0], source="survey"))
        several = replace(direct, sources=tuple(sources)).by_year()
        for name, trend in (
            ("may change", bs.Trend()), ("stay", bs.Trend(coefficients=None)), ("each year its own", None)
        ):  # fmt: skip
            model = bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))], trend=trend)
            eta = bs.fit(model, several, seed=seed, draws=1000, hyperparameters=200, progress=False).draws.flat
            drawn, true = eta[:, :, 2] - eta[:, :, 1], truth[:, 2] - truth[:, 1]
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            rows.append(pd.DataFrame({
                "the coefficient": world, "in the model they": name, "areas": np.where(abs(x) > 1, "far", "near"),
                "covered": 100.0 * ((true >= low) & (true <= high)), "width": high - low,
                "square": (drawn.mean(axis=0) - true) ** 2,
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["time"])
    parser.add_argument("--waves", nargs="+", default=["1", "3", "5", "10", "3x4"], help="and times measures: 3x4")
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        waves, _, measures = arguments.one.partition("x")
        print(json.dumps(country(arguments.shared, int(waves), int(measures or 1))))
        return
    import numpy as np
    import pandas as pd
    from pages import write_part

    for part in arguments.parts:
        if part == "time":
            command = [sys.executable, __file__, "--shared", str(arguments.shared), "--one"]
            found = [
                json.loads(subprocess.run([*command, n], check=True, capture_output=True, text=True).stdout)
                for n in arguments.waves
            ]
            text, marks = pd.DataFrame(found).to_markdown(index=False), TIME
        elif part == "steps":
            pairs = [n.partition("x")[::2] for n in arguments.waves]
            found = [steps(arguments.shared, int(waves), int(measures or 1)) for waves, measures in pairs]
            text, marks = pd.DataFrame(found).to_markdown(index=False), STEPS
        elif part == "coefficients":
            table = pd.concat([slopes(seed) for seed in range(1, arguments.worlds + 1)], ignore_index=True)
            groups = table.groupby(["the coefficient", "in the model they", "areas"], sort=False)
            each = groups.agg(**{"changes": ("covered", "size"), "coverage, %": ("covered", "mean"),
                                 "width": ("width", "mean"),
                                 "RMSE": ("square", lambda s: np.sqrt(s.mean()))}).reset_index()  # fmt: skip
            text, marks = each.round(2).to_markdown(index=False), COEFFICIENTS
        elif part == "ahead":
            table = pd.concat([ahead(seed) for seed in range(1, arguments.worlds + 1)], ignore_index=True)
            both = pd.concat([table.assign(year=table["year"].astype(str)), table.assign(year="all")])
            groups = both.groupby(["foreseen by", "year"], sort=False)
            each = groups.agg(**{"direct estimates": ("covered", "size"), "coverage, %": ("covered", "mean"),
                                 "width": ("width", "mean"),
                                 **{f"RMSE {name}": (name, lambda s: np.sqrt(s.mean()))
                                    for name in ("of direct", "of the truth")}}).reset_index()  # fmt: skip
            text, marks = each.round(2).to_markdown(index=False), AHEAD
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
