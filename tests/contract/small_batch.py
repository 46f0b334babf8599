"""A batch of tiny runs: nine squares, one share per indicator and year from a table of direct estimates, no concept of
the package. `sjabloon.toml` is the template, `batch.toml` its table of indicators and years.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
from shapely.geometry import box
from small_run import write_toml

CONCEPT = """
title = "Gezondheid"
title_en = "Health"
[[node]]
id = "cijfer"
nl = "Cijfer"
en = "mark"
about = "Een cijfer."
about_en = "A mark."
"""
TEMPLATE: dict[str, Any] = {
    "run": {"name": "sjabloon", "title": "Sjabloon", "year": 2024, "seed": 1, "engine": "eblup", "fictitious": True},
    "areas": {"file": "gegevens/buurten.gpkg", "year": 2024},
    "concept": {"file": "begrip.toml"},
    "direct": {"file": "gegevens/roken.csv"},
    "model": {"formula": "1"},
    "quality": {"min_hyper_effective": 1},  # few values, so that it is fast
    "engine": {"laplace": {"draws": 400, "hyperparameters": 20}, "eblup": {"draws": 400}},
}
ROWS = """run.name,run.title,run.year,direct.file,run.seed,run.engine
roken_2022,Roken,2022,gegevens/roken.csv,,
roken_2024,Roken,2024,gegevens/roken.csv,2,laplace
bewegen_2024,Bewegen,2024,gegevens/bewegen.csv,,
"""
BATCH = """
[batch]
name = "monitor"
title = "Gezondheidsmonitor"
template = "sjabloon.toml"
table = "rijen.csv"
"""


def make_batch(folder: Path, rows: str = ROWS, **changed: Any) -> Path:
    """Write the files and return the batch file; `changed` replaces tables of the template."""
    (folder / "gegevens").mkdir(parents=True)
    cells = [(r, c) for r in range(3) for c in range(3)]  # squares of 1 km, a wijk per row
    grid = gpd.GeoDataFrame(
        {
            "buurtcode": [f"BU9901{r:02}{c:02}" for r, c in cells],
            "buurtnaam": [f"Buurt {r}-{c}" for r, c in cells],
            "inwoners": [100 * (r + 1) + 10 * c for r, c in cells],
        },
        geometry=[
            box(130_000 + 1000 * c, 450_000 + 1000 * r, 131_000 + 1000 * c, 451_000 + 1000 * r) for r, c in cells
        ],
        crs="EPSG:28992",
    )
    grid.to_file(folder / "gegevens" / "buurten.gpkg")
    for k, name in enumerate(("roken", "bewegen")):
        values = [4.0 + 0.3 * ((i * 7 + k) % 5) for i in range(len(grid))]
        counts = {"n_respondents": 12, "n_effective": 12.0}
        table = pd.DataFrame({"area_code": grid["buurtcode"], "measure": "cijfer", "estimate": values, "variance": 0.1})
        table.assign(source="veiligheidsmonitor", **counts).to_csv(folder / "gegevens" / f"{name}.csv", index=False)
    (folder / "begrip.toml").write_text(CONCEPT, encoding="utf-8")
    write_toml(folder / "sjabloon.toml", TEMPLATE | changed)
    (folder / "rijen.csv").write_text(rows, encoding="utf-8")
    (folder / "batch.toml").write_text(BATCH, encoding="utf-8")
    return folder / "batch.toml"
