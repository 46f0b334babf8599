"""A small run that has nearly every key and every kind of file: what the mutations spoil.

Voorbeeldstad without most of its buurten and respondents, with a codebook and a concept of the user's own. `bron.toml`
starts from respondents, `direct.toml` from a table of direct estimates.
"""

from __future__ import annotations

import json
import math
import shutil
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from buurtsae.runs import steps

DATA = Path(__file__).parents[2] / "data" / "voorbeeldstad"
KEPT = 8  # buurten per gemeente
BOOKS, BOOK = Path(str(resources.files("buurtsae.survey"))), "codebooks/burgerpeiling.toml"


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def write_toml(path: Path, raw: dict[str, Any]) -> None:
    """Write a file of which every table is inline."""
    text = "".join(f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}\n" for k, v in raw.items())
    path.write_text(text, encoding="utf-8", newline="\n")


COMMON: dict[str, Any] = {
    "run": {"name": "klein", "title": "Klein", "year": 2024, "seed": 1, "engine": "laplace", "contact": "iemand"},
    "areas": {
        "file": "buurten.gpkg", "year": 2024, "code": "buurtcode", "name": "buurtnaam", "population": "inwoners",
        "tables": [{"file": "kerncijfers.csv", "key": "buurtcode"}], "where": {"soort": "land"}, "region": "Streek",
        "groupings": ["stadsdeel"],
    },
    "graph": {"rule": "queen", "bridges": [["BU99010001", "BU99020001"]]},
    "concept": {"file": "concept.toml", "weights": {"participatie": 2.0}, "sensitivity": True},
    "covariates": [
        {"name": "stedelijkheid", "source": "CBS", "transform": "none", "missing": "impute", "modelled": False,
         "sensitive": False}
    ],
    "model": {
        "formula": "1 + stedelijkheid + pct_65plus", "missing": "impute", "estimand": "expected",
        "intercept": [5.0, 5.0], "coefficient": [0.0, 1.0],
        "link": {"offset": [0.0, 1.0], "slope": [0.0, 0.4], "extra": [0.5, 0.05]},
        "participatory": {"offset": [0.0, 2.0], "slope": [0.0, 0.5], "extra": [1.5, 0.05]},
        "terms": [
            {"type": "bym2", "sd": [3.0, 0.05], "spread": 0.25, "mixing": [1.0, 1.0], "correlation": 1.0,
             "shared": True},
            {"type": "iid", "level": "gemeente", "sd": [1.0, 0.05], "spread": 0.25, "correlation": 2.0},
        ],
    },
    "benchmark": {"file": "benchmark.csv", "method": "minimum-distance", "covariance": "variances",
                  "respondents": "shared"},
    "publish": {"min_residents": 10, "min_respondents": 1, "min_reliability": 0.5, "max_width": 10.0,
                "min_own_share": 0.0, "protection": 2.0, "min_direct": 10, "max_share": 0.9, "decimals": 3,
                "draws": 40},
    "quality": {"rhat_max": 1.01, "ess_bulk_min": 400, "max_divergences": 0, "khat_max": 0.7,
                "min_hyper_effective": 50, "max_alarms": 0, "false_alarm": 0.05},
    "sensitivity": {"shift": 0.1, "response": 0.4, "column": "respons"},
    "engine": {
        "laplace": {"draws": 400, "hyperparameters": 20, "threads": 1},
        "nuts": {"chains": 2, "draws": 50, "tune": 50, "target_accept": 0.9, "cores": 1},
        "eblup": {"draws": 400},
    },
}  # fmt: skip

SOURCES: dict[str, Any] = {
    "sources": [
        {
            "source": "veiligheidsmonitor", "use": True, "scoring": "sum", "file": "vm.csv", "year": 2024,
            "level": "buurt", "area": "buurtcode", "weight": "gewicht", "strata": "stratum", "cluster": ["pand"],
            "strata_population": "strata.csv", "id": "nummer", "lonely": "adjust",
            "calibrate": {"totals": "totalen.csv", "method": "linear", "bounds": [0.01, 100.0]}, "not_asked": [],
            "code_year": 2024, "response": 0.4,
        },
        {
            "source": "eigen.toml", "file": "eigen.csv", "year": 2024, "weight": "gewicht", "fpc": "aantal",
            "strata": "stratum", "sd": 2.0,
            "replicates": {"columns": "rep_", "kind": "other", "scale": 0.5, "rscales": [1.0, 1.0, 1.0], "fay": 0.0,
                           "mse": True, "combined": True},
        },
    ],
    "variances": {"method": "pooled", "spread": [0.5, 0.05]},
}  # fmt: skip

DIRECT_SOURCE: dict[str, Any] = {
    "direct": {"file": "direct.csv", "covariances": "cov.csv", "year": 2024, "smooth": True}
}


def make_base(folder: Path) -> Path:
    """Write the files of the run and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    areas = gpd.read_file(DATA / "buurten.gpkg")
    gemeente = areas["buurtcode"].str[2:6]
    areas = areas[areas.groupby(gemeente).cumcount() < KEPT]
    areas.to_file(folder / "buurten.gpkg", driver="GPKG")
    figures = pd.read_csv(DATA / "kerncijfers.csv").merge(areas[["buurtcode"]])
    figures = figures[["buurtcode", "inwoners", "stedelijkheid", "pct_65plus", "afstand_groen"]]
    figures = figures.replace(-99997, 20).assign(soort="land", stadsdeel=figures["buurtcode"].str[2:7], respons=0.4)
    figures.to_csv(folder / "kerncijfers.csv", index=False)
    for name, more in (("veiligheidsmonitor", "vm"), ("burgerpeiling", "eigen")):
        table = pd.read_csv(DATA / f"enquete_{name}.csv").merge(areas[["buurtcode"]])
        table["stratum"] = table["stratum"].str.split("|").str[0]
        row = pd.Series(range(len(table)))
        if more == "vm":
            table.insert(3, "pand", "p" + (row // 2).astype(str))
            table.insert(4, "nummer", "n" + row.astype(str))
            size = table.groupby("stratum")["gewicht"].sum().rename("population").round(2)
            size.reset_index().to_csv(folder / "strata.csv", index=False)
            totals = size.rename("total").reset_index().rename(columns={"stratum": "category"})
            totals.insert(0, "margin", "gemeente")
            totals.to_csv(folder / "totalen.csv", index=False)
        else:
            table.insert(3, "aantal", table.groupby("stratum")["gewicht"].transform("sum").round())
            for k in range(3):
                table.insert(4 + k, f"rep_{k + 1}", table["gewicht"] * (0.5 + ((row + k) % 3) / 2))
        table.to_csv(folder / f"{more}.csv", index=False)
    text = (BOOKS / BOOK).read_text(encoding="utf-8")
    (folder / "eigen.toml").write_text(
        text.replace('id = "burgerpeiling"', 'id = "eigen"', 1), encoding="utf-8", newline="\n"
    )
    shutil.copy(BOOKS / "concept.toml", folder / "concept.toml")
    pd.DataFrame(
        {"level": "land", "area_code": "NL00", "measure": ["participatie", "buurtverbondenheid"], "value": [5.5, 6.0],
         "se": [0.2, 0.1]}
    ).to_csv(folder / "benchmark.csv", index=False)  # fmt: skip
    write_toml(folder / "bron.toml", COMMON | SOURCES)
    direct = steps.check(folder / "bron.toml").direct
    table = direct.variances().rename(columns={"before": "variance"}).query("variance > 0 and source != 'eigen'")
    table = table.assign(estimate=6.0)[
        ["area_code", "measure", "source", "estimate", "variance", "n_respondents", "n_effective"]
    ]
    table.to_csv(folder / "direct.csv", index=False)
    some = table[["area_code", "source"]].drop_duplicates()
    some.assign(measure_1="participatie", measure_2="omgang_en_relaties", covariance=0.0).to_csv(
        folder / "cov.csv", index=False
    )
    write_toml(folder / "direct.toml", COMMON | DIRECT_SOURCE)
    return folder
