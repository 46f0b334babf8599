"""Whole worlds of services: the made region of the example, or real gemeenten where the shared data are."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import routes_maps
import routes_statline
from replay import Replay
from routes_statline import Cube4, measure

EXAMPLE = routes_maps.EXAMPLE
MADE = {  # the example's figures as measures of kerncijfers; codes that CBS is not known to use are made, 9...
    "inwoners": measure("T001036", "Aantal inwoners"),
    "stedelijkheid": measure("9004", "Mate van stedelijkheid", "code"),
    "pct_koopwoningen": measure("9001", "Koopwoningen", "%"),
    "pct_eenpersoonshuishoudens": measure("9010", "Percentage eenpersoonshuishoudens", "%"),
    "inwoners_65plus": measure("80200", "65 jaar of ouder"),
}


def made(replay: Replay) -> gpd.GeoDataFrame:
    """Install the example's map and figures as of PDOK and CBS, and return its buurten."""
    buurten = routes_maps.example()
    routes_maps.install(replay, routes_maps.Map.of(buurten))
    table = pd.read_csv(EXAMPLE / "kerncijfers.csv").set_index("buurtcode")
    table["inwoners_65plus"] = (table["pct_65plus"] / 100 * table["inwoners"]).round()
    figures = table[list(MADE)]
    sums = {code: figures.groupby(buurten.set_index("buurtcode")[code])[["inwoners", "inwoners_65plus"]].sum()
            for code in ("wijkcode", "gemeentecode")}  # fmt: skip
    cells = pd.concat([figures, *sums.values()]).rename(columns={name: one["Identifier"] for name, one in MADE.items()})
    titles = {"NL00": "Nederland", **buurten.set_index("buurtcode")["buurtnaam"].to_dict()}
    for level in ("wijk", "gemeente"):
        titles |= buurten.set_index(f"{level}code")[f"{level}naam"].to_dict()
    Cube4("85984NED", cells.astype(object), list(MADE.values()), titles).install(replay)
    groups = [{"Id": name, "Title": name} for name in ("Provincies", "GGD-regio's")]
    kinds = [("Code", "Provincies"), ("Naam", "Provincies"), ("Code", "GGD-regio's"), ("Naam", "GGD-regio's")]
    measures = [measure(f"M{k}", title, "", "String", group) for k, (title, group) in enumerate(kinds)]
    named = buurten.drop_duplicates("gemeentecode").set_index("gemeentecode")["gemeentenaam"]
    text = pd.DataFrame({"M0": "PV99", "M1": "Voorbeeldprovincie", "M2": "GG9901", "M3": "GGD Voorbeeld"}, named.index)
    Cube4("85755NED", text, measures, named.to_dict(), groups, "RegioS", "GeoDimension").install(replay)
    return buurten


def real(replay: Replay, shared: Path, gemeenten: tuple[str, ...]) -> None:
    """Install the real map of some gemeenten and the real figures of 2024; addresses, scores and monuments are made."""
    buurten = routes_maps.real(shared, gemeenten)
    routes_maps.install(replay, routes_maps.Map.of(buurten))
    routes_maps.install_others(replay, buurten)
    routes_statline.install(replay, shared / "data" / "nl")
