"""All areas of every level that is published, those without residents included.

The table of estimates has rows for inhabited areas only. Databases such as StatLine and Swing want each area of a
level, and say themselves that there is no figure: this is their list of areas.
"""

from __future__ import annotations

import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS


def regions(table: pd.DataFrame, areas: Areas) -> pd.DataFrame:
    """Return `level`, `area_code`, `area_name` of every area, by level in the order of the table, then by code.

    Column `country` says whether the whole is the Netherlands.

    Names of the table hold; those of areas without a row are the names that `areas` has. Wijken and gemeenten are read
    from their codes, further levels from their columns.
    """
    named = table[["level", "area_code", "area_name"]].drop_duplicates(["level", "area_code"])
    parts = []
    for level in dict.fromkeys(["buurt", *table["level"]]):
        rows = named[named["level"] == level]
        known = set(rows["area_code"])
        empty = [code for code in _all(areas, level) if code not in known]
        if empty:
            names = [areas.label(level, code) for code in empty]
            rows = pd.concat([rows, pd.DataFrame({"level": level, "area_code": empty, "area_name": names})])
        parts.append(rows.sort_values("area_code"))
    return pd.concat(parts, ignore_index=True).assign(country=areas.national)


def _all(areas: Areas, level: str) -> list[str]:
    if level in ("wijk", "gemeente"):
        known = sorted(set(CBS.read(areas.codes.to_series(), level)))
        return [code for code, whole in zip(known, areas.complete(level, known), strict=True) if whole]
    return [str(code) for code in areas.at(level)] if level in areas.levels else []
