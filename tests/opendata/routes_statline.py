"""Tables of StatLine as the services return them, for the server that replays; of real figures, or of made ones.

`Cube4` answers OData v4, `Feed3` OData v3. `install` puts all tables into a server, from files of `shared/data/nl`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from replay import Answer, Asked, Replay, as_json

STARTS = re.compile(r"startswith\((\w+),'([^']*)'\)")
EQUALS = re.compile(r"(\w+) eq '([^']*)'")


@dataclass
class Cube4:
    """A table of OData v4: figures by area and measure, None where nothing is returned.

    `figures` has the codes of all areas as index and those of measures as columns; a text such as `Impossible` in a
    column of numbers is an attribute. `measures` are rows of MeasureCodes, `areas` titles by code.
    """

    id: str
    figures: pd.DataFrame
    measures: list[dict[str, Any]]
    areas: dict[str, str]
    groups: list[dict[str, Any]] = field(default_factory=list)
    geo: str = "WijkenEnBuurten"
    kind: str = "GeoDetailDimension"
    others: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)  # name: (kind, titles by code)
    rows: list[dict[str, Any]] | None = None  # instead of figures
    modified: str = "2025-11-20T02:00:00+01:00"
    page: int = 100_000
    filters: bool = True  # whether it does what it is asked

    def install(self, replay: Replay, service: str = "cbs") -> Cube4:
        """Answer requests for this table."""
        replay.add(service, f"{self.id}/.*", self.answer)
        return self

    def observations(self, starts: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """The rows of areas whose codes begin so; all by default."""
        if self.rows is not None:
            return [row for row in self.rows if not starts or row[self.geo].startswith(starts)]
        figures = self.figures
        figures = figures[figures.index.str.startswith(starts)] if starts else figures
        text = {one["Identifier"] for one in self.measures if one.get("DataType") == "String"}
        rows = []
        for area, cells in figures.to_dict("index").items():
            for measure, value in cells.items():
                if value is None or value != value:
                    continue
                mark = value if isinstance(value, str) and measure not in text else None
                rows.append({
                    "Id": len(rows), "Measure": measure, "ValueAttribute": mark or "None",
                    "Value": None if isinstance(value, str) else float(value),
                    "StringValue": value if measure in text else None, self.geo: area,
                })  # fmt: skip
        return rows

    def answer(self, asked: Asked) -> Answer:
        """What the service returns."""
        what = asked.path.split("/", 1)[1]
        dimensions = {self.geo: (self.kind, self.areas), **self.others}
        if what == "Properties":
            return as_json({"Identifier": self.id, "Title": self.id, "ObservationsModified": self.modified})
        if what == "Dimensions":
            rows = [{"Identifier": name, "Title": name, "Kind": kind} for name, (kind, _) in dimensions.items()]
        elif what == "MeasureCodes":
            rows = self.measures
        elif what == "MeasureGroups":
            rows = self.groups
        elif what == "Observations":
            rows = self.kept(asked.query.get("$filter", ""))
        elif what.removesuffix("Codes") in dimensions:
            rows = [{"Identifier": k, "Title": v} for k, v in dimensions[what.removesuffix("Codes")][1].items()]
        else:
            return Answer(b"no such set", "text/plain", 404)
        start = int(asked.query.get("$skip", 0))
        page: dict[str, Any] = {"@odata.context": f"{asked.base}/{self.id}/$metadata#{what}"}
        page["value"] = rows[start : start + self.page]
        if start + self.page < len(rows):
            query = f"$filter={asked.query['$filter']}&" if "$filter" in asked.query else ""
            page["@odata.nextLink"] = f"{asked.base}/{self.id}/{what}?{query}$skip={start + self.page}"
        return as_json(page)

    def kept(self, text: str) -> list[dict[str, Any]]:
        """Rows that meet a filter: one of the beginnings, and all equalities."""
        if not self.filters:
            return self.observations()
        equal = EQUALS.findall(text)
        rows = self.observations(tuple(start for _, start in STARTS.findall(text)))
        return [row for row in rows if all(row[name] == value for name, value in equal)] if equal else rows


def measure(code: str, title: str, unit: str = "aantal", kind: str = "Double", group: str = "") -> dict[str, Any]:
    """A row of MeasureCodes."""
    names = ("Identifier", "MeasureGroupId", "Title", "Description", "DataType", "Unit")
    return dict(zip(names, (code, group or None, title, f"Over {title.lower()}.", kind, unit), strict=True))


KWB = {  # column of shared/data/nl/kwb_2024_*.csv: a measure of 85984NED; codes that are not known are made, 9...
    "inwoners": measure("T001036", "Aantal inwoners"),
    "inwoners_0_14": measure("10680", "0 tot 15 jaar"),
    "inwoners_65plus": measure("80200", "65 jaar of ouder"),
    "huishoudens": measure("1050010_2", "Huishoudens totaal"),
    "gem_huishoudensgrootte": measure("M000114", "Gemiddelde huishoudensgrootte"),
    "bevolkingsdichtheid_per_km2": measure("M000100", "Bevolkingsdichtheid", "aantal inwoners per km²"),
    "gem_woz_x1000eur": measure("M001642", "Gemiddelde WOZ-waarde van woningen", "x 1 000 euro"),
    "pct_koopwoningen": measure("9001", "Koopwoningen", "%"),
    "pct_eengezinswoning": measure("9002", "Percentage eengezinswoning", "%"),
    "gem_inkomen_per_inwoner_x1000eur": measure("9003", "Gemiddeld inkomen per inwoner", "x 1 000 euro"),
    "stedelijkheid": measure("9004", "Mate van stedelijkheid", "code"),
    "omgevingsadressendichtheid_per_km2": measure("9005", "Omgevingsadressendichtheid", "aantal per km²"),
    "afstand_huisarts_km": measure("9006", "Afstand tot huisartsenpraktijk", "km"),
    "afstand_grote_supermarkt_km": measure("9007", "Afstand tot grote supermarkt", "km"),
    "afstand_school_km": measure("9008", "Afstand tot school", "km"),
    "scholen_binnen_3km": measure("9009", "Scholen binnen 3 km", "aantal"),
}
DISTANCES = tuple(name for name in KWB if name.startswith(("afstand", "scholen")))


def kwb(data: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Real figures of 2024 by code, and titles: the country, gemeenten, wijken and buurten."""
    parts = [
        pd.read_csv(data / f"kwb_2024_{level}.csv").rename(columns={f"{level}code": "code"})
        for level in ("gemeente", "wijk", "buurt")
    ]
    table = pd.concat(parts).set_index("code").sort_index()
    return table[list(KWB)].astype(object), {"NL00": "Nederland", **table["naam"].to_dict()}


def install(replay: Replay, data: Path) -> None:
    """Answer for tables of 2024 with the real figures of `shared/data/nl`."""
    figures, titles = kwb(data)
    named = figures.rename(columns={name: one["Identifier"] for name, one in KWB.items()})
    Cube4("85984NED", named, list(KWB.values()), titles).install(replay)
    near = [KWB[name] for name in DISTANCES]
    Cube4("86134NED", named[[one["Identifier"] for one in near]], near, titles).install(replay)
    gebieden(data).install(replay)


def gebieden(data: Path) -> Cube4:
    """85755NED: texts, padded, of which the title of the group says what they are."""
    table = pd.read_csv(data / "gemeente_ggd_provincie_2024.csv")
    groups = {"provinciecode": "Provincies", "provincienaam": "Provincies", "ggdcode": "GGD-regio's"}
    groups["ggdregio"] = "GGD-regio's"
    table["ggdcode"] = "GG" + (table["ggdregio"].rank(method="dense").astype(int) + 1000).astype(str)
    measures = [
        measure(f"M{k}", "Code" if "code" in name else "Naam", "", "String", group)
        for k, (name, group) in enumerate(groups.items())
    ]
    figures = table.set_index("gemeentecode")[list(groups)].set_axis([f"M{k}" for k in range(len(groups))], axis=1)
    titles = dict(zip(table["gemeentecode"], table["naam"], strict=True))
    return Cube4(
        "85755NED", figures.map(lambda text: f"{text:10}"), measures, titles,
        [{"Id": name, "Title": name} for name in dict.fromkeys(groups.values())], "RegioS", "GeoDimension",
    )  # fmt: skip
