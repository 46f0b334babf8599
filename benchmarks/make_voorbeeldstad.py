"""Make the example `data/voorbeeldstad`: buurten, kerncijfers, two surveys in three years, the truth, a description.

    python benchmarks/make_voorbeeldstad.py [--out data/voorbeeldstad]

Everything follows from SEED; two runs give the same bytes in every CSV. In EMPTY buurten nobody answers: those with
fewer than SMALL residents, where a sample of this size reaches nobody, and some of the smaller others. The survey's
seed is the first from SEED up with which every other inhabited buurt has a respondent, so that the count is exact.

Surveys of 2020 and 2022 ask the same buurten, whose scores change as no model here draws it. In 2022 the questions of
the Burgerpeiling changed, and the borders: surveys of 2020 have the codes of then. A row of BORDERS is an old code, a
new one, and the share of the new buurt's residents who lived in the old one; residents of one new buurt are alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.simulate.geography import SECRET, made_areas, made_kerncijfers
from buurtsae.simulate.population import Truth, TruthSpec
from buurtsae.simulate.survey import simulate_survey, write_tables
from buurtsae.simulate.waves import Course, redesigns, simulate_waves, truths
from buurtsae.survey.codebook import Codebook

SEED, EMPTY, SMALL = 1, 10, 100
SOURCES = {"veiligheidsmonitor": 1000, "burgerpeiling": 500}
SPEC = TruthSpec(
    covariates=("stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens"), effects=(0.5, 1.0, -0.5)
)
COURSE = Course(redesigned=(("burgerpeiling", 2022),))
YEARS, ADDRESS = (2020, 2022, 2024), 2.1  # residents per address
EARLIER = 2  # seed of surveys before the last: with 1 the gate refuses the run, as one in twenty of models that hold
BORDERS = (
    ("BU99010107", "BU99010102", 1.0),  # split: one part kept the code
    ("BU99010107", "BU99010107", 1.0),
    ("BU9901AD11", "BU9901AD01", 1.0),  # split: both parts have another code
    ("BU9901AD11", "BU9901AD06", 1.0),
    ("BU99030003", "BU99030003", 0.6),  # merged
    ("BU99030013", "BU99030003", 0.4),
    ("BU99020202", "BU99020202", 1.0),  # a border moved
    ("BU99020202", "BU99020203", 0.3),
    ("BU99020203", "BU99020203", 0.7),
    ("BU99010311", "BU99010304", 1.0),  # recoded, the same ground
    ("BU99020104", "BU99020105", 1.0),  # recoded, and the code went to other ground
    ("BU99020109", "BU99020104", 1.0),
)

TITLES = {
    "buurtcode": ("string", "Code van de buurt"),
    "inwoners": ("integer", "Aantal inwoners, afgerond op vijftallen"),
    "bevolkingsdichtheid": ("integer", "Inwoners per vierkante kilometer"),
    "stedelijkheid": ("integer", "Stedelijkheid, van 1 (zeer sterk stedelijk) tot 5 (niet stedelijk)"),
    "pct_koopwoningen": ("integer", "Koopwoningen, % van de woningen"),
    "pct_eenpersoonshuishoudens": ("integer", "Eenpersoonshuishoudens, % van de huishoudens"),
    "pct_65plus": ("integer", "Inwoners van 65 jaar en ouder, %"),
    "gemiddelde_woz": ("integer", "Gemiddelde WOZ-waarde, 1000 euro"),
    "afstand_supermarkt": ("number", "Afstand tot de dichtstbijzijnde supermarkt, km"),
    "afstand_groen": ("number", "Afstand tot openbaar groen, km"),
    "gewicht": ("number", "Gewicht: inwoners van het stratum per respondent"),
    "stratum": ("string", "Stratum: gemeente en leeftijdsgroep"),
    "area_code": ("string", "Code van de buurt"),
    "measure": ("string", "Maat van het begrip buurtverbondenheid"),
    "truth": ("number", "Ware score van de inwoners, 0 tot 10"),
    "year": ("integer", "Jaar"),
    "source": ("string", "Bron waarvan de vragen veranderden"),
    "since": ("integer", "Eerste jaar van de nieuwe vragen"),
    "buurtcode_2020": ("string", "Code van de buurt in 2020"),
    "buurtcode_2024": ("string", "Code van de buurt vanaf 2022"),
    "aandeel": ("number", "Deel van de adressen van de oude buurt dat nu in de nieuwe ligt"),
    "adressen": ("integer", "Adressen van de oude buurt"),
}

README = """# Voorbeeldstad

**Alle gegevens in deze map zijn verzonnen.** Geen buurt, inwoner of antwoord bestaat; de kaart ligt in het Markermeer.
De bestanden zijn gemaakt met `python benchmarks/make_voorbeeldstad.py` en dienen om de methode te tonen en te toetsen.
`waarheid.csv` bevat de ware scores waaruit de antwoorden zijn getrokken. Licentie: CC0-1.0.

| bestand | inhoud |
|---|---|
| `buurten.gpkg` | 120 buurten in 12 wijken en 3 gemeenten (RD New); een eiland, en een rivier die GM9903 afscheidt |
| `kerncijfers.csv` | cijfers per buurt zoals het CBS ze levert; -99997 betekent geheim; twee buurten zonder inwoners |
| `enquete_veiligheidsmonitor.csv` | 1.000 respondenten, antwoorden per vraag, gewicht en stratum |
| `enquete_burgerpeiling.csv` | 500 respondenten van een tweede bron met eigen vragen |
| `waarheid.csv` | de ware score per bewoonde buurt en maat, in 2024 |
| `enquete_<bron>_2020.csv`, `enquete_<bron>_2022.csv` | beide bronnen in eerdere jaren, met andere respondenten |
| `grenzen_2020.csv` | waar het gebied van de buurten van 2020 nu ligt |
| `waarheid_jaren.csv` | de ware score per jaar, in de buurten van 2024 |
| `waarheid_vragen.csv` | wat de nieuwe vragen van de Burgerpeiling aan de scores toevoegen |
| `datapackage.json` | beschrijving van de tabellen (Frictionless Data Package v2) |

In tien bewoonde buurten heeft in 2024 niemand geantwoord.

**Jaren.** Van 2020 naar 2024 verandert elke buurt langs een eigen lijn, springt een op de twintig buurten ineens, en
beweegt de hele streek. In 2022 veranderden de vragen van de Burgerpeiling, waarop sindsdien hoger wordt gescoord, en de
grenzen van tien buurten: twee splitsingen, een samenvoeging, een verlegde grens, nieuwe codes, en een code die naar
ander gebied ging. De enquêtes van 2020 hebben de codes van toen; inwoners, kerncijfers en kaart zijn die van 2024.

**In English.** Everything in this folder is made up: no buurt, resident or answer is real. The files are made by
`python benchmarks/make_voorbeeldstad.py`, to show and to test the method; `waarheid.csv` holds the true scores that the
answers were drawn from. In ten inhabited buurten nobody answered in 2024. From 2020 to 2024 each buurt changes along a
line, one in twenty jumps, and the whole region moves. In 2022 the questions of the Burgerpeiling changed, and the
borders of ten buurten: surveys of 2020 have the codes of then, `grenzen_2020.csv` says where these lie now.
Licence: CC0-1.0.
"""


def make(out: Path) -> None:
    """Write the example into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    frame = made_areas(SEED)
    kerncijfers = made_kerncijfers(frame, SEED)
    with tempfile.TemporaryDirectory() as folder:  # read as a user would, from files
        map_file, figures = Path(folder) / "buurten.gpkg", Path(folder) / "kerncijfers.csv"
        _write_map(frame, map_file)
        kerncijfers.to_csv(figures, index=False, encoding="utf-8", lineterminator="\n")
        areas = Areas.read(map_file, 2024, tables=[(figures, "buurtcode")], region="Voorbeeldstreek")
        (out / "buurten.gpkg").write_bytes(map_file.read_bytes())
    waves = simulate_waves(areas, areas.graph(), YEARS, SPEC, COURSE, SEED)
    tables = {
        "kerncijfers.csv": kerncijfers,
        **{f"enquete_{source}.csv": frame for source, frame in surveys(areas, waves[YEARS[-1]]).items()},
        "waarheid.csv": waves[YEARS[-1]].table(),
        **{
            f"enquete_{source}_{year}.csv": earlier(areas, waves[year], source, year)
            for year in YEARS[:-1]
            for source in SOURCES
        },
        "grenzen_2020.csv": borders(areas),
        "waarheid_jaren.csv": truths(waves),
        "waarheid_vragen.csv": redesigns(waves, COURSE),
    }
    write_tables(out, _as_text(tables))
    package = json.dumps(describe(tables), indent=2, ensure_ascii=False)
    (out / "datapackage.json").write_text(package + "\n", encoding="utf-8", newline="\n")
    (out / "README.md").write_text(README, encoding="utf-8", newline="\n")


def surveys(areas: Areas, truth: Truth) -> dict[str, pd.DataFrame]:
    """Both surveys, with nobody in the chosen buurten and somebody in every other."""
    population = pd.Series(areas.population, index=areas.codes)[areas.inhabited]
    tiny = population.index[population < SMALL]
    smaller = population.drop(tiny).sort_values(kind="stable").index[: len(population) // 3]
    rng = np.random.default_rng(SEED)
    empty = [*tiny, *rng.choice(smaller.to_numpy(dtype=str), EMPTY - len(tiny), replace=False)]
    for seed in count(SEED):
        found = {s: simulate_survey(areas, truth, Codebook.load(s), n, seed, empty) for s, n in SOURCES.items()}
        if len(set().union(*(f["buurtcode"] for f in found.values()))) == len(population) - EMPTY:
            return found
    raise AssertionError("count() does not end")


def earlier(areas: Areas, truth: Truth, source: str, year: int, seed: int = EARLIER) -> pd.DataFrame:
    """A survey of an earlier year; that of the first has the codes of then."""
    frame = simulate_survey(areas, truth, Codebook.load(source), SOURCES[source], seed, year=year)
    if year > YEARS[0]:
        return frame
    lived, rng = pd.DataFrame(BORDERS, columns=["old", "new", "part"]).groupby("new"), np.random.default_rng(seed)
    code = frame["buurtcode"].copy()
    for new, rows in lived:
        here = frame.index[frame["buurtcode"] == new]
        code[here] = rng.choice(rows["old"], len(here), p=rows["part"])
    return frame.assign(buurtcode=code).sort_values("buurtcode", kind="stable", ignore_index=True)


def borders(areas: Areas) -> pd.DataFrame:
    """Where the buurten of the first year lie now, by addresses."""
    changed = {new for _, new, _ in BORDERS}
    rows = [*BORDERS, *((code, code, 1.0) for code in areas.codes if code not in changed)]
    table = pd.DataFrame(rows, columns=["buurtcode_2020", "buurtcode_2024", "part"])
    residents = table["buurtcode_2024"].map(pd.Series(areas.population, index=areas.codes))
    shared = np.maximum(np.round(table["part"] * residents / ADDRESS), 1)
    table["adressen"] = shared.groupby(table["buurtcode_2020"]).transform("sum").astype(int)
    table["aandeel"] = shared / table["adressen"]
    order = ["buurtcode_2020", "buurtcode_2024"]
    return table[[*order, "aandeel", "adressen"]].sort_values(order, ignore_index=True)


def describe(tables: Mapping[str, pd.DataFrame]) -> dict[str, object]:
    """Return the data package: every column of every table, in Dutch."""
    titles = {
        "kerncijfers.csv": "Kerncijfers per buurt",
        "enquete_veiligheidsmonitor.csv": "Respondenten, op de Veiligheidsmonitor lijkend",
        "enquete_burgerpeiling.csv": "Respondenten, op de Burgerpeiling lijkend",
        "waarheid.csv": "Ware scores per buurt",
        "grenzen_2020.csv": "Buurten van 2020 in die van 2024",
        "waarheid_jaren.csv": "Ware scores per buurt en jaar",
        "waarheid_vragen.csv": "Wat nieuwe vragen aan de scores toevoegen",
    }
    items = {(s, i.name): (i, book) for s in SOURCES for book in [Codebook.load(s)] for i in book.items}
    resources: list[dict[str, object]] = [
        {
            "name": "buurten",
            "title": "Buurten met hun grenzen (RD New, EPSG:28992)",
            "path": "buurten.gpkg",
            "format": "gpkg",
            "mediatype": "application/geopackage+sqlite3",
        }
    ]
    for name, table in tables.items():
        file = name.removeprefix("enquete_").removesuffix(".csv")
        source, _, year = file.partition("_") if name.startswith("enquete_") else (file, "", "")
        fields: list[dict[str, object]] = []
        for column in table:
            if (source, column) in items:
                item, book = items[source, column]
                field = {"name": column, "type": "integer", "title": item.about}
                field["constraints"] = {"enum": [*item.codes, *book.missing]}
            else:
                kind, title = TITLES[column]
                field = {"name": column, "type": kind, "title": title}
            fields.append(field)
        schema: dict[str, object] = {"fields": fields}
        if name == "kerncijfers.csv":
            schema |= {"missingValues": ["", str(SECRET)], "primaryKey": ["buurtcode"]}
        resources.append(
            {
                "name": file.lower(),
                "title": titles[name.replace(f"_{year}", "")] + f", {year}" if year else titles[name],
                "type": "table",
                "path": name,
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": schema,
            }
        )
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "voorbeeldstad",
        "title": "Voorbeeldstad: verzonnen buurten en enquêtes",
        "description": "Verzonnen gegevens met bekende waarheid, gemaakt met benchmarks/make_voorbeeldstad.py.",
        "licenses": [
            {
                "name": "CC0-1.0",
                "title": "Creative Commons CC0 1.0",
                "path": "https://creativecommons.org/publicdomain/zero/1.0/",
            }
        ],
        "resources": resources,
    }


def _as_text(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Distances with one decimal, hidden ones as CBS writes them; the rest as it is."""
    kerncijfers = tables["kerncijfers.csv"].copy()
    for column in ("afstand_supermarkt", "afstand_groen"):
        kerncijfers[column] = [str(SECRET) if v == SECRET else f"{v:.1f}" for v in kerncijfers[column]]
    return {**tables, "kerncijfers.csv": kerncijfers}


def _write_map(frame, path: Path) -> None:
    """Write the GeoPackage with a fixed date instead of today's."""
    import pyogrio

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2024-01-01T00:00:00.000Z"})
    try:
        frame.to_file(path, driver="GPKG", layer="buurten")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the example data.")
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=Path, default=root / "data" / "voorbeeldstad")
    make(parser.parse_args().out)
