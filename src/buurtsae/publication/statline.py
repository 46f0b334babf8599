"""The estimates as observations in the layout of StatLine's open data (OData4), with code lists beside them.

One row per measure, region, period and margin: `MW00000` the value, `MOG0095` and `MBG0095` the lower and upper end of
the 95% interval. Cells without a figure have none and say why: `Confidential` where it is not published, `Impossible`
where an area has no estimate, since nobody lives there. What is StatLine's and what is chosen here: docs/files.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.publication.excel_csv import write_semicolons
from buurtsae.schemas import KEY
from buurtsae.survey.concept import Concept

MARGINS = {"MW00000": "estimate", "MOG0095": "lower", "MBG0095": "upper"}
ATTRIBUTES = ("None", "Confidential", "Impossible")
WHOLE = "geheel"  # the whole of the run, where that is not the country
WIDTH = 10  # of a region key: BU03440101
COLUMNS = ("Id", "Measure", "ValueAttribute", "Value", "StringValue", "RegioS", "Perioden", "Marges")


def write_statline(table: pd.DataFrame, places: pd.DataFrame, concept: Concept, folder: Path, notice: str = "") -> None:
    """Write `statline.csv`, `statline_measures.csv` and `statline_regions.csv`; `places` are those of `regions`.

    The notice goes into the description of every measure.
    """
    measures = [name for name in concept.measures if name in set(table["measure"])]
    write_semicolons(observations(table, places, measures), folder / "statline.csv")
    nodes = [concept.nodes[name] for name in measures]
    about = [". ".join(filter(None, [node.about, notice])) for node in nodes]
    listed = pd.DataFrame({"Key": measures, "Title": [node.nl for node in nodes], "Description": about})
    listed["Unit"] = [concept.scale_of(name).label.nl for name in measures]
    write_semicolons(listed, folder / "statline_measures.csv")
    keys = pd.DataFrame({"Key": region_key(places), "Title": places["area_name"], "Level": level_name(places)})
    write_semicolons(keys, folder / "statline_regions.csv")


def observations(table: pd.DataFrame, places: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Return the observations of the published estimates, for all places: measure, then region, period and margin."""
    years, keys = sorted(set(table["year"])), region_key(places)
    index = pd.MultiIndex.from_product(
        [measures, range(len(places)), years, MARGINS], names=["measure", "place", "year", "margin"]
    )
    every = index.to_frame(index=False)
    every[["level", "area_code"]] = places[["level", "area_code"]].to_numpy()[every["place"]]
    long = table[[*KEY, "label", *MARGINS.values()]].rename(columns={name: code for code, name in MARGINS.items()})
    long = long.melt([*KEY, "label"], var_name="margin", value_name="Value")
    cells = every.merge(long, on=[*KEY, "margin"], how="left", validate="one_to_one")
    absent, hidden = cells["label"].isna(), cells["label"] == "niet_publiceren"
    shown, confidential, impossible = ATTRIBUTES
    columns = {
        "Id": np.arange(len(cells)),
        "Measure": cells["measure"],
        "ValueAttribute": np.select([absent, hidden], [impossible, confidential], shown),
        "Value": cells["Value"].mask(hidden),
        "StringValue": "",
        "RegioS": keys.to_numpy()[cells["place"]],
        "Perioden": cells["year"].astype(str) + "JJ00",
        "Marges": cells["margin"],
    }
    return pd.DataFrame(columns)[list(COLUMNS)]


def level_name(places: pd.DataFrame) -> pd.Series:
    """Return the level of each area; the whole of the run is the country, or `WHOLE`."""
    return places["level"].mask((places["level"] == "land") & ~places["country"], WHOLE)


def region_key(places: pd.DataFrame) -> pd.Series:
    """Return the key of each area: its code padded to ten characters, `NL01` for the Netherlands and nothing else.

    Groups of a grouping of the user's own have no code of CBS: theirs is `level:code`, which is no other area's.
    """
    of_cbs = places["level"].isin(CBS.levels)
    code = places["area_code"].where(of_cbs, places["level"] + ":" + places["area_code"])
    return code.mask((places["level"] == "land") & places["country"], "NL01").str.ljust(WIDTH)
