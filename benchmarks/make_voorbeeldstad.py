"""Make the example `data/voorbeeldstad`: buurten, kerncijfers, two surveys with known truth, and their description.

    python benchmarks/make_voorbeeldstad.py [--out data/voorbeeldstad]

Everything follows from SEED; two runs give the same bytes in every CSV. In EMPTY buurten nobody answers: those with
fewer than SMALL residents, where a sample of this size reaches nobody, and some of the smaller others. The survey's
seed is the first from SEED up with which every other inhabited buurt has a respondent, so that the count is exact.
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
from buurtsae.simulate.population import Truth, TruthSpec, simulate_truth
from buurtsae.simulate.survey import simulate_survey, write_tables
from buurtsae.survey.codebook import Codebook

SEED, EMPTY, SMALL = 1, 10, 100
SOURCES = {"veiligheidsmonitor": 1000, "burgerpeiling": 500}
SPEC = TruthSpec(
    covariates=("stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens"), effects=(0.5, 1.0, -0.5)
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
| `waarheid.csv` | de ware score per bewoonde buurt en maat |
| `datapackage.json` | beschrijving van de tabellen (Frictionless Data Package v2) |

In tien bewoonde buurten heeft niemand geantwoord.

**In English.** Everything in this folder is made up: no buurt, resident or answer is real. The files are made by
`python benchmarks/make_voorbeeldstad.py`, to show and to test the method; `waarheid.csv` holds the true scores that the
answers were drawn from. In ten inhabited buurten nobody answered. Licence: CC0-1.0.
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
    truth = simulate_truth(areas, areas.graph(), SPEC, SEED)
    tables = {
        "kerncijfers.csv": kerncijfers,
        **{f"enquete_{source}.csv": frame for source, frame in surveys(areas, truth).items()},
        "waarheid.csv": truth.table(),
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


def describe(tables: Mapping[str, pd.DataFrame]) -> dict[str, object]:
    """Return the data package: every column of every table, in Dutch."""
    titles = {
        "kerncijfers.csv": "Kerncijfers per buurt",
        "enquete_veiligheidsmonitor.csv": "Respondenten, op de Veiligheidsmonitor lijkend",
        "enquete_burgerpeiling.csv": "Respondenten, op de Burgerpeiling lijkend",
        "waarheid.csv": "Ware scores per buurt",
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
        source = name.removeprefix("enquete_").removesuffix(".csv")
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
                "name": source.lower(),
                "title": titles[name],
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
