"""The layouts of the published table for the whole of the Netherlands: seconds, megabytes and memory per file.

    python benchmarks/layouts.py [--out docs/files.md]

Made estimates of 14,574 buurten, 3,400 wijken, 342 gemeenten and the land, for seven measures; one buurt in fifty has
no residents, and one in forty is hidden. Polygons are made too, of 60 corners each; detailed maps have more.
Every layout is written in a process of its own: peak memory is of that process, the table and polygons included.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pages import write_part

from buurtsae.areas.areas import Areas
from buurtsae.publication.about import About
from buurtsae.publication.excel_csv import write_excel_csv
from buurtsae.publication.geopackage import write_geopackage
from buurtsae.publication.regions import regions
from buurtsae.publication.statline import write_statline
from buurtsae.publication.swing import write_swing
from buurtsae.publication.tables import write_tables
from buurtsae.publication.workbook import write_workbook
from buurtsae.schemas import BASES, ESTIMATES, check_estimates, published
from buurtsae.survey.concept import Concept

MARKS = "<!-- layouts: written by benchmarks/layouts.py -->", "<!-- end of layouts -->"
BUURTEN, WIJKEN, GEMEENTEN, CORNERS = 14_574, 3_400, 342, 60
ABOUT = About("Nederland", "20240101-abc", datetime(2024, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Made:
    """What is written: the published table, its areas, and the concept."""

    table: pd.DataFrame
    areas: Areas
    concept: Concept


def make_areas(rng: np.random.Generator) -> Areas:
    """Return buurten as disks on a grid, spread over wijken and gemeenten."""
    gemeente = np.sort(np.arange(BUURTEN) % GEMEENTEN)
    place = np.arange(BUURTEN) - np.searchsorted(gemeente, gemeente)  # number within the gemeente
    per = WIJKEN // GEMEENTEN + (np.arange(GEMEENTEN) < WIJKEN % GEMEENTEN)  # wijken of each gemeente
    codes = [f"BU{g + 1:04}{p % per[g]:02}{p // per[g]:02}" for g, p in zip(gemeente, place, strict=True)]
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    centre = np.column_stack([20_000 + 2000.0 * (np.arange(BUURTEN) % 120), 2000.0 * (np.arange(BUURTEN) // 120)])
    radius = rng.uniform(700, 1000, (BUURTEN, CORNERS))
    corners = centre[:, None] + radius[..., None] * np.column_stack([np.cos(angle), np.sin(angle)])
    index = pd.Index(codes, name="area_code")
    frame = gpd.GeoDataFrame(geometry=shapely.polygons(corners), index=index, crs="EPSG:28992").assign(
        name=[f"Buurt {c[2:]} in made Nederland" for c in codes],
        wijk="WK" + index.str[2:8],
        gemeente="GM" + index.str[2:6],
        population=np.where(rng.uniform(size=BUURTEN) < 0.02, 0, rng.integers(50, 3000, BUURTEN)),
    )
    return Areas(frame.sort_index(), 2024, region="Nederland", national=True)


def make() -> Made:
    """Return made estimates at the size of the country."""
    rng, concept = np.random.default_rng(1), Concept.load()
    areas = make_areas(rng)
    units = [
        (level, code, areas.label(level, code) if level != "buurt" else areas.frame.loc[code, "name"])
        for level in ("buurt", "wijk", "gemeente", "land")
        for code in areas.inhabited_at(level)
    ]
    rows = pd.DataFrame(units, columns=["level", "area_code", "area_name"]).merge(
        pd.DataFrame({"measure": list(concept.measures)}), how="cross"
    )
    n, hidden = len(rows), pd.Series(rng.uniform(size=len(units)) < 1 / 40).repeat(len(concept.measures)).to_numpy()
    estimate, sd = rng.uniform(4, 8, n), rng.uniform(0.1, 0.5, n)
    label = np.where(hidden, "niet_publiceren", np.where(rng.uniform(size=n) < 0.5, "indicatief", "betrouwbaar"))
    values = {
        "code_year": 2024,
        "scale_lower": concept.span.lower,
        "scale_upper": concept.span.upper,
        "unit": concept.span.label.nl,
        "year": 2023,
        "estimate": estimate,
        "sd": sd,
        "lower": estimate - 1.96 * sd,
        "upper": estimate + 1.96 * sd,
        "n_respondents": rng.poisson(12, n),
        "n_effective": rng.uniform(5, 12, n),
        "population": 1200,
        "direct": estimate + rng.normal(0, 0.3, n),
        "direct_se": sd * 2,
        "own_data_share": rng.uniform(size=n),
        "reliability": rng.uniform(size=n),
        "label": label,
        "basis": np.where(hidden, None, rng.choice(BASES, n)),
        "reason": np.where(label == "betrouwbaar", None, "minder dan 10 eigen respondenten"),
        "p_above_parent": rng.uniform(size=n),
        "rank_lower": rng.integers(1, 20, n),
        "rank_upper": rng.integers(20, 40, n),
        "benchmarked": False,
        "run_id": ABOUT.run_id,
    }
    table = check_estimates(rows.assign(**values)[[c.name for c in ESTIMATES]])
    return Made(published(table), areas, concept)


def _tables(made: Made, folder: Path) -> None:
    write_tables(made.table, made.areas.frame, folder)


def _excel_csv(made: Made, folder: Path) -> None:
    write_excel_csv(made.table, folder)


def _workbook(made: Made, folder: Path) -> None:
    nodes = {m: (made.concept.nodes[m].nl, made.concept.nodes[m].about, "score") for m in made.concept.measures}
    write_workbook(made.table, nodes, folder, ABOUT)


def _geopackage(made: Made, folder: Path) -> None:
    write_geopackage(made.table, made.areas, made.concept.measures, folder, ABOUT.created)


def _statline(made: Made, folder: Path) -> None:
    write_statline(made.table, regions(made.table, made.areas), made.concept, folder)


def _swing(made: Made, folder: Path) -> None:
    write_swing(made.table, regions(made.table, made.areas), made.concept.measures, folder)


WRITERS: tuple[Callable[[Made, Path], None], ...] = (_tables, _excel_csv, _workbook, _geopackage, _statline, _swing)


def measured(writer: Callable[[Made, Path], None]) -> list[dict[str, object]]:
    """Write with one writer, and return a row per file; time and memory are with the first."""
    made = make()
    before = peak()
    with TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        writer(made, folder)
        seconds = time.perf_counter() - start
        files = sorted(f for f in folder.iterdir() if f.is_file())
        sizes = [f.stat().st_size / 1e6 for f in files]
    used = [{"file": f"`{f.name}`", "MB": size} for f, size in zip(files, sizes, strict=True)]
    used[0] |= {"s": seconds, "peak GiB": peak(), "of which table and polygons": before}
    return used


def peak() -> float:
    """Peak memory of this process in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    rows = []
    for writer in WRITERS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows += pool.submit(measured, writer).result()
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)[["file", "MB", "s", "peak GiB", "of which table and polygons"]]
    text = (
        table.astype(object)
        .where(table.notna(), "")
        .to_markdown(index=False, floatfmt=("", ".1f", ".1f", ".2f", ".2f"))
    )
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
