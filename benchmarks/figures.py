"""Draw the README's figure from the results of the demo.

make demo && .venv/bin/python benchmarks/figures.py [--results out/voorbeeldstad] [--out docs/voorbeeldstad.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
from matplotlib.figure import Figure

from buurtsae.drawing.maps import plot_intervals, plot_map
from buurtsae.origin import source

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Draw a map of buurten beside the intervals of the wijken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "out" / "voorbeeldstad")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "voorbeeldstad.png")
    args = parser.parse_args()
    rows = gpd.read_parquet(args.results / "estimates.geoparquet")
    table = gpd.pd.read_parquet(args.results / "estimates.parquet")
    buurten = rows[rows["measure"] == "buurtverbondenheid"].set_index("area_code")
    wijken = table[(table["measure"] == "buurtverbondenheid") & (table["level"] == "wijk")].set_index("area_code")
    areas = gpd.read_file(ROOT / "data" / "voorbeeldstad" / "buurten.gpkg").set_index("buurtcode")
    figure = Figure(figsize=(14, 6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    plot_map(areas, buurten, title="Buurtverbondenheid per buurt (fictief)", ax=left, source=source(fictitious=True).nl)
    plot_intervals(wijken, title="Per wijk, met 95%-interval", ax=right)
    figure.savefig(args.out, dpi=90)


if __name__ == "__main__":
    main()
