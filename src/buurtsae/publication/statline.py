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
from buurtsae.survey.concept import Concept

MARGINS = {"MW00000": "estimate", "MOG0095": "lower", "MBG0095": "upper"}
ATTRIBUTES = ("None", "Confidential", "Impossible")
WHOLE = "geheel"  # the whole of the run, where that is not the country
WIDTH = 10  # of a region key: BU03440101
COLUMNS = ("Id", "Measure", "ValueAttribute", "Value", "StringValue", "RegioS", "Perioden", "Marges")


def write_statline(table: pd.DataFrame, places: pd.DataFrame, concept: Concept, folder: Path, notice: str = "") -> None:
    """Write `statline.csv`, `statline_measures.csv` and `statline_regions.csv`.

    Parameters
    ----------
    table : DataFrame
        The published estimates.
    places : DataFrame
        All areas, as `regions` returns them.
    concept : Concept
    folder : path
        An existing folder.
    notice : str
        What the description of every measure says of the data.
    """
    measures = [m for m in concept.measures if m in set(table["measure"])]
    write_semicolons(observations(table, places, measures), folder / "statline.csv")
    nodes = [concept.nodes[m] for m in measures]
    about = [". ".join(filter(None, [n.about, notice])) for n in nodes]
    listed = pd.DataFrame({"Key": measures, "Title": [n.nl for n in nodes], "Description": about})
    listed["Unit"] = concept.scale.label.nl
    write_semicolons(listed, folder / "statline_measures.csv")
    level = places["level"].mask((places["level"] == "land") & ~places["country"], WHOLE)
    keys = pd.DataFrame({"Key": region_key(places), "Title": places["area_name"], "Level": level})
    write_semicolons(keys, folder / "statline_regions.csv")


def observations(table: pd.DataFrame, places: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Return the observations: measure, then region, period and margin.

    Parameters
    ----------
    table, places : DataFrame
        The published estimates, and all areas.
    measures : list of str
    """
    years, keys = sorted(set(table["year"])), region_key(places)
    index = pd.MultiIndex.from_product(
        [measures, range(len(places)), years, MARGINS], names=["measure", "place", "year", "margin"]
    )
    every = index.to_frame(index=False)
    every["level"] = places["level"].to_numpy()[every["place"]]
    every["area_code"] = places["area_code"].to_numpy()[every["place"]]
    columns = ["level", "area_code", "measure", "year"]
    long = table[[*columns, "label", *MARGINS.values()]].rename(columns={v: k for k, v in MARGINS.items()})
    long = long.melt([*columns, "label"], var_name="margin", value_name="Value")
    found = every.merge(long, on=[*columns, "margin"], how="left", validate="one_to_one")
    absent, hidden = found["label"].isna(), found["label"] == "niet_publiceren"
    shown, confidential, impossible = ATTRIBUTES
    out = {
        "Id": np.arange(len(found)),
        "Measure": found["measure"],
        "ValueAttribute": np.select([absent, hidden], [impossible, confidential], shown),
        "Value": found["Value"].mask(hidden),
        "StringValue": "",
        "RegioS": keys.to_numpy()[found["place"]],
        "Perioden": found["year"].astype(str) + "JJ00",
        "Marges": found["margin"],
    }
    return pd.DataFrame(out)[list(COLUMNS)]


def region_key(places: pd.DataFrame) -> pd.Series:
    """Return the key of each area: its code padded to ten characters, `NL01` for the Netherlands and nothing else.

    Groups of a grouping of the user's own have no code of CBS: theirs is `level:code`, which is no other area's.
    """
    own = ~places["level"].isin(CBS.levels)
    code = places["area_code"].where(~own, places["level"] + ":" + places["area_code"])
    return code.mask((places["level"] == "land") & places["country"], "NL01").str.ljust(WIDTH)
