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


@dataclass
class Feed3:
    """A table of OData v3 of third parties: keys padded, ranges on areas ignored, equality by the padded key only."""

    id: str
    dimensions: dict[str, tuple[str, int, dict[str, str]]]  # name: kind, width of its codes, titles by code
    topics: dict[str, tuple[str, str]]  # column: title and unit
    rows: list[dict[str, Any]]
    modified: str = "2025-10-01T02:00:00"
    page: int = 5000  # of the service, at most
    links: bool = True  # whether it says where the next page is
    filters: bool = True

    def install(self, replay: Replay, service: str = "derden") -> Feed3:
        """Answer requests for this table."""
        replay.add(service, f"{self.id}/.*", self.answer)
        return self

    def padded(self) -> list[dict[str, Any]]:
        """All rows, as the service has them."""
        widths = {name: width for name, (_, width, _) in self.dimensions.items()}
        return [
            {"ID": k, **{name: f"{v:{widths[name]}}" if name in widths else v for name, v in row.items()}}
            for k, row in enumerate(self.rows)
        ]

    def answer(self, asked: Asked) -> Answer:
        """What the service returns."""
        what, query = asked.path.split("/", 1)[1], asked.query
        if what == "TableInfos":
            found: list[dict[str, Any]] = [{"ID": 0, "Identifier": self.id, "Modified": self.modified}]
        elif what == "DataProperties":
            found = [{"Type": kind, "Key": name, "Title": name} for name, (kind, *_) in self.dimensions.items()]
            found += [{"Type": "TopicGroup", "Key": "", "Title": "Cijfers"}]
            found += [
                {"Type": "Topic", "Key": key, "Title": title, "Unit": unit, "Description": f"Over {title}."}
                for key, (title, unit) in self.topics.items()
            ]
        elif what in self.dimensions:
            _, width, titles = self.dimensions[what]
            found = [{"Key": f"{code:{width}}", "Title": title} for code, title in titles.items()]
        elif what == "TypedDataSet":
            found = self.padded()
            if self.filters:
                starts, equal = STARTS.findall(query.get("$filter", "")), EQUALS.findall(query.get("$filter", ""))
                found = [
                    row
                    for row in found
                    if all(row[name].startswith(start) for name, start in starts)
                    and all(row[name] == value for name, value in equal)
                ]
        else:
            return Answer(b"no such set", "text/plain", 404)
        if int(query.get("$top", 0)) > 5000:
            return Answer(b"query returns more than 10000 records", "text/plain", 500)
        start = int(query.get("$skip", 0))
        most = min(int(query.get("$top", len(found))), self.page if self.links else len(found))
        page: dict[str, Any] = {"odata.metadata": f"{asked.base}/{self.id}/$metadata#{what}"}
        page["value"] = found[start : start + most]
        if self.links and start + most < len(found):
            rest = "&".join(f"{key}={value}" for key, value in {**query, "$skip": start + most}.items())
            page["odata.nextLink"] = f"{asked.base}/{self.id}/{what}?{rest}"
        return as_json(page)


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
    gezondheid(data, titles).install(replay)
    misdrijven(data, titles).install(replay)
    bevolking(data).install(replay)


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


MARGES = {"MW00000": "Waarde", "MOG0095": "Ondergrens", "MBG0095": "Bovengrens"}


def gezondheid(data: Path, titles: dict[str, str]) -> Feed3:
    """50150NED with its real values of adults, and no bounds: whether these are filled is not known."""
    buurt = pd.read_csv(data / "rivm_gezondheid_buurt.csv").rename(columns={"buurtcode": "code"})
    gemeente = pd.read_csv(data / "misdrijven_gezondheid_gemeente.csv").rename(columns={"gemeentecode": "code"})
    table = pd.concat([gemeente, buurt]).set_index("code")
    years, name = (2012, 2016, 2020, 2022, 2024), "pct_goed_ervaren_gezondheid"
    rows = [
        {"Leeftijd": "20300", "Marges": marge, "WijkenEnBuurten": code, "Perioden": f"{year}JJ00",
         "GoedErvarenGezondheid_4": value if marge == "MW00000" and value == value else None}
        for year in years for code, value in table[f"{name}_{year}"].items() for marge in MARGES
    ]  # fmt: skip
    ages = {"20300": "18 jaar of ouder", "53115": "18 tot 65 jaar", "80200": "65 jaar of ouder"}
    return Feed3("50150NED", {
        "Leeftijd": ("Dimension", 6, ages), "Marges": ("Dimension", 8, MARGES),
        "WijkenEnBuurten": ("GeoDetail", 12, {code: titles.get(code, code) for code in table.index}),
        "Perioden": ("TimeDimension", 8, {f"{year}JJ00": str(year) for year in years}),
    }, {"GoedErvarenGezondheid_4": ("Goed ervaren gezondheid", "%")}, rows)  # fmt: skip


def misdrijven(data: Path, titles: dict[str, str]) -> Feed3:
    """47018NED with its real numbers of all crimes, and some without a known place."""
    buurt = pd.read_csv(data / "misdrijven_2021_2025_buurt.csv").rename(columns={"buurtcode": "code"})
    gemeente = pd.read_csv(data / "misdrijven_gezondheid_gemeente.csv").rename(columns={"gemeentecode": "code"})
    table = pd.concat([gemeente, buurt]).set_index("code")
    years = range(2021, 2026)
    rows = [
        {"SoortMisdrijf": "0.0.0", "WijkenEnBuurten": code, "Perioden": f"{year}JJ00",
         "GeregistreerdeMisdrijven_1": int(value)}
        for year in years for code, value in table[f"misdrijven_{year}"].dropna().items()
    ] + [
        {"SoortMisdrijf": "0.0.0", "WijkenEnBuurten": "BU00000000", "Perioden": f"{year}JJ00",
         "GeregistreerdeMisdrijven_1": 1234}
        for year in years
    ]  # fmt: skip
    areas = {code: titles.get(code, code) for code in dict.fromkeys(row["WijkenEnBuurten"] for row in rows)}
    return Feed3("47018NED", {
        "SoortMisdrijf": ("Dimension", 6, {"0.0.0": "Totaal misdrijven", "1.1.1": "Diefstal/inbraak woning"}),
        "WijkenEnBuurten": ("GeoDetail", 10, areas),
        "Perioden": ("TimeDimension", 8, {f"{year}JJ00": str(year) for year in years}),
    }, {"GeregistreerdeMisdrijven_1": ("Geregistreerde misdrijven", "aantal")}, rows)  # fmt: skip


SEXES = {"T001038": "Totaal mannen en vrouwen", "3000": "Mannen", "4000": "Vrouwen"}
FIVES = {f"7{k:04d}": f"{k} tot {k + 5} jaar" for k in range(0, 95, 5)} | {"22000": "95 jaar of ouder"}


def population(residents: dict[str, tuple[int, int, int]], areas: dict[str, str]) -> Cube4:
    """85644NED of residents under 15, 15 to 65 and from 65, spread over groups of five years, half of them men."""
    rows = []
    for area, numbers in residents.items():
        for age in FIVES:
            low = 95 if age == "22000" else int(age[1:])
            k, groups = (0, 3) if low < 15 else (1, 10) if low < 65 else (2, 7)
            each, first = divmod(numbers[k], groups)
            whole = each + (first if low in (0, 15, 65) else 0)
            men = whole // 2
            rows += [
                {"Id": len(rows), "Measure": "M000352", "ValueAttribute": "None", "Value": float(n),
                 "StringValue": None, "Geslacht": sex, "Leeftijd": age, "RegioS": area, "Perioden": f"{year}JJ00"}
                for year, factor in ((2023, 0), (2024, 1))
                for sex, n in (("T001038", factor * whole), ("3000", factor * men), ("4000", factor * (whole - men)))
            ]  # fmt: skip
    others = {
        "Geslacht": ("Dimension", SEXES), "Leeftijd": ("Dimension", {"10000": "Totaal", **FIVES}),
        "Perioden": ("TimeDimension", {"2023JJ00": "2023", "2024JJ00": "2024"}),
    }  # fmt: skip
    measures = [measure("M000352", "Bevolking op 1 januari")]
    return Cube4("85644NED", pd.DataFrame(), measures, areas, [], "RegioS", "GeoDimension", others, rows)


def bevolking(data: Path) -> Cube4:
    """85644NED with the real residents of 2024 under 15 and from 65, per gemeente; other ages and sexes are made."""
    table = pd.read_csv(data / "kwb_2024_gemeente.csv", index_col="gemeentecode")
    young, old = table["inwoners_0_14"], table["inwoners_65plus"]
    middle = table["inwoners"] - young - old
    numbers = {code: (int(young[code]), int(middle[code]), int(old[code])) for code in table.index}
    return population(numbers, table["naam"].to_dict())
