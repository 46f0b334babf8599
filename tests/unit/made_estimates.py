"""A made honeycomb of buurten and a table of estimates on it, for the tests of schemas and publication."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry import Polygon

from buurtsae.schemas import BASES, ESTIMATES, check_estimates
from buurtsae.survey.concept import Concept

SIDE = 300.0  # metres: buurten of about 0.2 km2
AWKWARD = 'Kop & <b>Staart</b> "\'t Zand", Noord'


def honeycomb(rows: int = 6, columns: int = 10) -> gpd.GeoDataFrame:
    """Return hexagons that share their borders, half in GM0001 and half in GM0002; the last has no residents."""
    corners = np.deg2rad(np.arange(30, 390, 60))
    codes, shapes = [], []
    for r in range(rows):
        for c in range(columns):
            x = 140_000 + np.sqrt(3) * SIDE * (c + 0.5 * (r % 2))
            y = 450_000 + 1.5 * SIDE * r
            xy = np.round(np.column_stack([x + SIDE * np.cos(corners), y + SIDE * np.sin(corners)]), 3)
            gemeente = 1 if r < rows / 2 else 2
            codes.append(f"BU{gemeente:04d}{r:02d}{c:02d}")
            shapes.append(Polygon(xy))
    index = pd.Index(codes, name="area_code")
    frame = gpd.GeoDataFrame(
        {"name": [f"Buurt {c[-4:]}" for c in codes]}, geometry=shapes, index=index, crs="EPSG:28992"
    )
    frame = frame.assign(wijk="WK" + index.str[2:8], gemeente="GM" + index.str[2:6], population=1200).sort_index()
    frame.loc[frame.index[0], "name"] = AWKWARD
    frame.loc[frame.index[-1], "population"] = 0
    return frame


def table(areas: gpd.GeoDataFrame, seed: int = 1) -> pd.DataFrame:
    """Return unpublished estimates for all measures: buurten with residents, gemeenten and the whole."""
    rng = np.random.default_rng(seed)
    units = [("buurt", c, r["name"]) for c, r in areas[areas["population"] > 0].iterrows()]
    units += [("gemeente", "GM0001", "Voorbeeldstad"), ("gemeente", "GM0002", "Buiten"), ("land", "NL00", "Streek")]
    rows = []
    for measure in Concept.load().measures:
        for k, (level, code, name) in enumerate(units):
            estimate, sd = rng.uniform(3.5, 8.5), rng.uniform(0.1, 0.5)
            n = int(rng.poisson(12)) if level == "buurt" else 400
            label = "betrouwbaar"
            if level == "buurt":  # fixed by position, so that tests know them: 0 is hidden, 1 indicative
                label = ("niet_publiceren", "indicatief", "betrouwbaar", "betrouwbaar", "indicatief")[k % 5]
            above = None if level == "land" else rng.uniform()
            rows.append(
                {
                    "level": level,
                    "area_code": code,
                    "area_name": name,
                    "code_year": 2024,
                    "measure": measure,
                    "scale_lower": 0.0,
                    "scale_upper": 10.0,
                    "unit": "score",
                    "year": 2023,
                    "estimate": estimate,
                    "sd": sd,
                    "lower": estimate - 1.96 * sd,
                    "upper": estimate + 1.96 * sd,
                    "n_respondents": n,
                    "n_effective": n / 1.3,
                    "population": 1200,
                    "direct": estimate + rng.normal(0, 0.3) if k % 7 else None,
                    "direct_se": 0.3 if k % 7 else None,
                    "own_data_share": n / (n + 20),
                    "reliability": None if level == "land" else 0.7,
                    "label": label,
                    "basis": BASES[0 if n >= 20 else 1 if n >= 5 else 2],
                    "reason": None if label == "betrouwbaar" else "minder dan 10 respondenten",
                    "p_above_parent": above,
                    "rank_lower": None if level == "land" else 1 + k % 20,
                    "rank_upper": None if level == "land" else 10 + k % 20,
                    "benchmarked": False,
                    "run_id": "20240101-abc",
                }
            )
    return check_estimates(pd.DataFrame(rows)[[c.name for c in ESTIMATES]])
