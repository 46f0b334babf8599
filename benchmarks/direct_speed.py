"""Time and memory of direct estimates at national size: 400,000 respondents, 14,500 buurten, 1,000 strata.

    python benchmarks/direct_speed.py [--out docs/direct.md]

Each row is a process of its own: read a Parquet file, score, and compute means with the covariances of sub-dimensions
for all buurten (and wijk, gemeente and land). Nothing of the data is real but its size.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.survey.codebook import Codebook
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.population_totals import Calibration
from buurtsae.survey.survey import Survey

ROOT = Path(__file__).resolve().parents[1]
RESPONDENTS, BUURTEN, STRATA, SEED = 400_000, 14_500, 1_000, 1
CASES = {
    "strata": {},
    "strata and clusters": {"cluster": "cluster"},
    "strata, clusters and raked weights": {"cluster": "cluster", "calibrate": True},
}
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
CODEBOOK = """
id = "meting"
nl = "Meting"
en = "Benchmark"
about = "Eight items on four sub-dimensions."
owner = "buurtsae"
kind = "survey"
mode = "none"
period = "none"
level = "buurt"
licence = "none"
min_share_answered = 0.5
missing = [9]
references = ["none"]
"""


def codebook(folder: Path) -> Path:
    """Eight items, two per sub-dimension."""
    text = CODEBOOK
    for k, d in enumerate(Concept.load().subdimensions):
        names = ", ".join(f'{{ name = "item_{2 * k + i}", about = "item" }}' for i in range(2))
        answers = ", ".join(f'{c} = "{c}"' for c in range(1, 6))
        text += f'\n[[scale]]\nid = "schaal_{k}"\nnl = "Schaal"\nsubdimension = "{d}"\n'
        text += f"answers = {{ {answers} }}\nworst = 1\nbest = 5\nitems = [{names}]\n"
    path = folder / "meting.toml"
    path.write_text(text, encoding="utf-8")
    Codebook.load(path)
    return path


def make_areas() -> Areas:
    """Buurten in 345 gemeenten; one small square for all, since no geometry is used."""
    codes = [f"BU{k // 42:04}{k % 42 // 8:02}{k % 42 % 8:02}" for k in range(BUURTEN)]
    index = pd.Index(codes, name="area_code")
    square = gpd.GeoSeries([box(0, 0, 1, 1)] * BUURTEN, index=index, crs="EPSG:28992")
    frame = gpd.GeoDataFrame({"name": index, "population": 1200}, geometry=square, index=index)
    frame["wijk"], frame["gemeente"] = "WK" + index.str[2:8], "GM" + index.str[2:6]
    return Areas(frame.sort_index(), 2024)


def make_respondents(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    areas = make_areas()
    buurt = np.sort(rng.integers(0, BUURTEN, RESPONDENTS))
    frame = pd.DataFrame({"buurtcode": areas.codes[buurt], "gewicht": rng.lognormal(3.5, 0.5, RESPONDENTS)})
    frame["stratum"] = np.char.add("stratum ", ((buurt // 42) * 3 + rng.integers(0, 3, RESPONDENTS)).astype(str))
    frame["stratum"] = frame["stratum"].where((buurt // 42) * 3 < STRATA - 3, "rest")
    frame["cluster"] = rng.integers(0, 40, RESPONDENTS).astype(str)
    frame["leeftijd"] = np.array(["18-34", "35-49", "50-64", "65+"])[rng.integers(0, 4, RESPONDENTS)]
    frame["geslacht"] = np.array(["m", "v"])[rng.integers(0, 2, RESPONDENTS)]
    person = rng.normal(size=RESPONDENTS) + rng.normal(0, 0.4, BUURTEN)[buurt]
    for k in range(8):
        answer = np.clip(np.round(3.3 + 0.7 * person + rng.normal(0, 0.8, RESPONDENTS)), 1, 5)
        frame[f"item_{k}"] = np.where(rng.random(RESPONDENTS) < 0.04, 9, answer).astype(int)
    frame.to_parquet(folder / "respondenten.parquet")
    shares = [("leeftijd", c, 4_000_000) for c in ("18-34", "35-49", "50-64", "65+")]
    shares += [("geslacht", c, 8_000_000) for c in ("m", "v")]
    pd.DataFrame(shares, columns=["margin", "category", "total"]).to_csv(folder / "totalen.csv", index=False)


def one(folder: Path, case: str) -> None:
    """Run one case in this process and print what it took."""
    areas, keys = make_areas(), dict(CASES[case])
    if keys.pop("calibrate", False):
        keys["calibrate"] = Calibration(folder / "totalen.csv")
    clock, out = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        out[name], clock = now - clock, now

    path = folder / "respondenten.parquet"
    survey = Survey.read(path, folder / "meting.toml", 2023, strata="stratum", **keys)  # type: ignore[arg-type]
    lap("read and check")
    concept = Concept.load()
    scores = concept.score(survey)
    lap("score")
    estimates = direct(scores, areas)
    lap("smoothed covariances")
    for level in ("buurt", "wijk", "gemeente", "land"):
        table = estimates.totals(level, concept)
        lap(level)
        assert table["direct"].notna().all()
    used = resource.getrusage(resource.RUSAGE_SELF)
    sizes = {"user": used.ru_utime + used.ru_stime, "gib": used.ru_maxrss / 2**20}
    print(json.dumps(out | sizes | {"strata": int(survey.frame["stratum"].nunique())}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "direct.md")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "CASE"))
    args = parser.parse_args()
    if args.one:
        one(Path(args.one[0]), args.one[1])
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codebook(folder)
        make_respondents(folder)
        for case in CASES:
            command = [sys.executable, __file__, "--one", name, case]
            took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            above = sum(took[level] for level in ("wijk", "gemeente", "land"))
            steps = [took[k] for k in ("read and check", "score", "smoothed covariances", "buurt")]
            total = sum(steps) + above
            seconds = " | ".join(f"{t:.1f}" for t in (*steps, above, total))
            rows.append(f"| {case} | {seconds} | {took['user']:.1f} | {took['gib']:.2f} |")
            print(rows[-1], flush=True)
    head = (
        f"{RESPONDENTS:,} respondents, 8 items, {took['strata']:,} strata, {BUURTEN:,} buurten; seconds, on a machine "
        f"with {platform.machine()} and 2 cores that others used too (user: processor time of the whole process, start "
        "included). Made by `python benchmarks/direct_speed.py`.\n\n"
        "| design | read and check | score | smoothed covariances | buurten | wijk, gemeente, land | all | user "
        "| peak GiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    text = args.out.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    table = f"{BEGIN}\n{head}" + "\n".join(rows) + f"\n{END}"
    args.out.write_text(before + table + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
