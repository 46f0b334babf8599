"""Many runs: throughput of two workers beside one, memory by the size of a model, and the country many times.

    python benchmarks/batch.py [--runs 156] [--part speed|memory|country] [--country 26] [--out docs/batch.md]

26 indicators by 6 years, each a made share on the 120 buurten of Voorbeeldstad, from a table of direct estimates; the
fast engine with its defaults, and all that `buurtsae run` writes. One worker, then two, in the same hour: the ratio is
what counts. Beside them some of the runs as commands of their own, each of which starts a process and loads everything.
Memory: one run per size in a worker of its own, on made squares; the estimate is that of `batch/memory.py`.
Country: 26 indicators on 14,500 made squares, on two workers, beside two of them as commands of their own on two
threads; memory is that of all processes together, looked at twice a second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import pandas as pd
import psutil
from pages import write_part
from shapely.geometry import box

from buurtsae.batch.many import run_all
from buurtsae.batch.memory import Size
from buurtsae.runs.example import folder as example

SPEED = "<!-- speed: written by benchmarks/batch.py -->", "<!-- end of speed -->"
COUNTRY = "<!-- country: written by benchmarks/batch.py -->", "<!-- end of country -->"
MEMORY = "<!-- memory: written by benchmarks/batch.py -->", "<!-- end of memory -->"
INDICATORS, YEARS, ALONE = 26, (2014, 2016, 2018, 2020, 2022, 2024), 4
# areas, measures, draws; the last takes some minutes
SIZES = ((120, 1, 4000), (120, 4, 4000), (1000, 1, 4000), (1000, 4, 4000), (4000, 1, 1000), (14500, 1, 1000))
NODE = '[[node]]\nid = "m{0}"\nnl = "Maat {0}"\nen = "measure {0}"\nabout = "Verzonnen."\nabout_en = "Made."\n'
TEMPLATE = """
[run]
name = "sjabloon"
title = "Sjabloon"
year = 2024
seed = 1
fictitious = true
[areas]
file = "buurten.gpkg"
year = 2024
[concept]
file = "begrip.toml"
[direct]
file = "r0.csv"
[model]
formula = "1"
missing = "impute"
terms = [{ type = "bym2" }]
[engine.laplace]
draws = DRAWS
"""
BATCH = '[batch]\nname = "monitor"\ntitle = "Verzonnen monitor"\ntemplate = "sjabloon.toml"\ntable = "rijen.csv"\n'


def made(folder: Path, areas: gpd.GeoDataFrame, runs: pd.DataFrame, measures: int, draws: int) -> Path:
    """Write a batch whose runs (name, title, year) have so many measures each, and return its file."""
    folder.mkdir(parents=True)
    areas.to_file(folder / "buurten.gpkg")
    nodes = "".join(NODE.format(k) for k in range(measures))
    (folder / "begrip.toml").write_text(f'title = "Maten"\ntitle_en = "Measures"\n{nodes}', encoding="utf-8")
    (folder / "sjabloon.toml").write_text(TEMPLATE.replace("DRAWS", str(draws)), encoding="utf-8")
    centre = areas.geometry.centroid
    x, y = ((v - v.mean()) / v.std() for v in (centre.x, centre.y))
    for k, name in enumerate(runs["run.name"]):
        rng = np.random.default_rng(k)
        parts = []
        for measure in range(measures):
            truth = 6 + 0.6 * np.sin(x + measure + k) * np.cos(y) + 0.3 * rng.normal(size=len(areas))
            n = rng.integers(3, 40, len(areas))
            table = pd.DataFrame(
                {"area_code": areas["buurtcode"], "measure": f"m{measure}", "source": "veiligheidsmonitor"}
            )
            noise = rng.normal(0, 2 / np.sqrt(n))
            parts.append(
                table.assign(estimate=truth + noise, variance=4 / n, n_respondents=n, n_effective=n.astype(float))
            )
        pd.concat(parts).to_csv(folder / f"{name}.csv", index=False)
    runs.assign(**{"direct.file": runs["run.name"] + ".csv"}).to_csv(folder / "rijen.csv", index=False)
    (folder / "batch.toml").write_text(BATCH, encoding="utf-8")
    return folder / "batch.toml"


def speed(home: Path, count: int) -> pd.DataFrame:
    """Seconds for so many runs of Voorbeeldstad on one worker and on two, and of some as commands of their own."""
    pairs = [(k, year) for k in range(INDICATORS) for year in YEARS][:count]
    runs = pd.DataFrame(
        [(f"i{k}_{year}", f"Indicator {k + 1}", year) for k, year in pairs],
        columns=["run.name", "run.title", "run.year"],
    )
    areas = gpd.read_file(example() / "buurten.gpkg")[["buurtcode", "buurtnaam", "geometry"]]
    figures = pd.read_csv(example() / "kerncijfers.csv")[["buurtcode", "inwoners"]]
    areas = areas.merge(figures.assign(inwoners=figures["inwoners"].clip(lower=0)), on="buurtcode")
    batch, rows = made(home / "speed", areas, runs, 1, 4000), []
    for workers in (1, 2):
        start = time.perf_counter()
        outcome = run_all(batch, home / f"out{workers}", workers=workers)
        seconds = time.perf_counter() - start
        assert not outcome.failed, outcome.failed
        rows.append({"how": f"`buurtsae batch --workers {workers}`", "runs": len(runs), "seconds": seconds})
    start = time.perf_counter()
    for name in runs["run.name"][:ALONE]:
        file = home / "out1" / "batch.runs" / f"{name}.toml"
        command = [sys.executable, "-m", "buurtsae", "run", str(file), "--out", str(home / "alone" / name), "--quiet"]
        subprocess.run(command, check=False)
    alone = time.perf_counter() - start
    rows.append({"how": "`buurtsae run`, one after another", "runs": min(ALONE, len(runs)), "seconds": alone})
    table = pd.DataFrame(rows)
    per, whole = table["seconds"] / table["runs"], table["seconds"].round().astype(int)
    ratio = {"seconds per run": per.round(2), "throughput": (per[0] / per).round(2)}
    return table.assign(seconds=whole, **ratio)


def squares(n: int) -> gpd.GeoDataFrame:
    """Return so many squares of 500 m as buurten, 2,500 to a gemeente."""
    side = int(np.ceil(np.sqrt(n)))
    cells = [(k // side, k % side) for k in range(n)]
    shapes = [box(1e5 + 500 * c, 4e5 + 500 * r, 1e5 + 500 * (c + 1), 4e5 + 500 * (r + 1)) for r, c in cells]
    codes = [f"BU{9900 + k // 2500:04}{k % 2500 // 50:02}{k % 50:02}" for k in range(n)]
    return gpd.GeoDataFrame({"buurtcode": codes, "buurtnaam": codes, "inwoners": 1000}, geometry=shapes, crs=28992)


def country(home: Path, count: int) -> pd.DataFrame:
    """Seconds for so many indicators of a country on two workers, of two as commands of their own, and memory."""
    runs = pd.DataFrame({"run.name": [f"i{k}" for k in range(count)], "run.title": "Indicator", "run.year": 2024})
    batch, peak, stop = made(home / "country", squares(14500), runs, 1, 1000), [0.0], threading.Event()
    us = psutil.Process()

    def watch() -> None:
        while not stop.wait(0.5):
            now = 0
            for process in [us, *us.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    now += process.memory_info().rss
            peak[0] = max(peak[0], now / 2**30)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    outcome = run_all(batch, home / "all", workers=2, say=lambda text: print(text, file=sys.stderr))
    together = time.perf_counter() - start
    stop.set()
    watcher.join()
    assert not outcome.failed, outcome.failed
    start, few = time.perf_counter(), min(2, count)
    for name in runs["run.name"][:few]:
        file = home / "all" / "batch.runs" / f"{name}.toml"
        command = [sys.executable, "-m", "buurtsae", "run", str(file), "--out", str(home / "one" / name), "--quiet"]
        subprocess.run(command, check=False)
    alone = (time.perf_counter() - start) / few * count
    return pd.DataFrame([
        {"how": "`buurtsae batch --workers 2`", "runs": count, "seconds": round(together), "GiB": round(peak[0], 1)},
        {"how": f"`buurtsae run`, {few} of them, times {count // few}", "runs": count, "seconds": round(alone)},
    ]).assign(ratio=lambda t: (t["seconds"] / alone).round(2))  # fmt: skip


def memory(home: Path) -> pd.DataFrame:
    """Peak memory of one run per size, beside what is planned for it."""
    rows = []
    for n, measures, draws in SIZES:
        runs = pd.DataFrame({"run.name": ["een"], "run.title": ["Een"], "run.year": [2024]})
        where = home / f"n{n}_{measures}_{draws}"
        outcome = run_all(made(where, squares(n), runs, measures, draws), where / "out", workers=1)
        (report,) = outcome.reports
        assert not outcome.failed, report
        size = Size(n, measures, draws)
        rows.append({
            "areas": n, "columns": measures, "draws": draws, "peak MiB": report.peak, "planned MiB": round(size.mib),
            "seconds": round(report.seconds),
        })  # fmt: skip
        print(json.dumps(rows[-1]), file=sys.stderr)
        shutil.rmtree(where)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=INDICATORS * len(YEARS))
    parser.add_argument("--part", choices=("speed", "memory", "country"))
    parser.add_argument("--country", type=int, default=INDICATORS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with TemporaryDirectory() as home:
        for part, marks, table in (
            ("speed", SPEED, lambda: speed(Path(home), args.runs)),
            ("memory", MEMORY, lambda: memory(Path(home))),
            ("country", COUNTRY, lambda: country(Path(home), args.country)),
        ):
            if args.part in (None, part):
                found = table().astype(object)
                text = found.where(found.notna(), None).to_markdown(index=False, missingval="")  # left empty
                print(text)
                if args.out:
                    write_part(args.out, *marks, text)


if __name__ == "__main__":
    main()
