"""The layouts of the published table: each gives back its figures, for hostile names and hidden rows too."""

from __future__ import annotations

import csv
import json
import math
import re
import sqlite3
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import category

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from frictionless import Package, system
from made_estimates import honeycomb, table
from openpyxl import load_workbook

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError
from buurtsae.publication.about import COLUMNS, About, moment
from buurtsae.publication.contract import stored_text
from buurtsae.publication.datapackage import datapackage
from buurtsae.publication.excel_csv import guarded, unguarded, write_excel_csv, write_semicolons
from buurtsae.publication.layouts import write_layouts
from buurtsae.publication.regions import regions
from buurtsae.publication.statline import observations, region_key
from buurtsae.publication.swing import geoitem, swing
from buurtsae.publication.tables import write_tables
from buurtsae.schemas import ESTIMATES, check_estimates, published
from buurtsae.survey.concept import Concept

CONCEPT = Concept.load()
MEASURES = CONCEPT.measures
ABOUT = About("Streek = 1 + 1", "20240101-abc", datetime(2024, 1, 31, 12, 30, 59, tzinfo=UTC))
CREATED = "2024-01-31T12:30:59Z"
LETTERS, EMPTY_LETTERS = "BU0363AD03", "BU0363AE00"  # an inhabited one; the only buurt of its wijk, without residents
HOSTILE = (
    '=HYPERLINK("http://x";"klik")',
    "+31 20",
    "-5",
    "@SUM(A1)",
    "\t=1+1",
    "  =1+1",
    "\u200b\u00a0@SUM(A1)",
    "\ufeff-2+3",
    "'=al met apostrof",
    "'t Zand",
    "<script>alert('x')</script> & co",
    'aan;hali"ngen"; ,',
    "regel een\r\nregel twee\rdrie\nvier",
    "a" * 10_240,
    "\u202eenuh\u202c שכונה",
    "#N/A",
    "NULL",
    "12,5",
    " spaties ",
)
FIGURES = [c.name for c in ESTIMATES if c.dtype == "float64"]
FILES = {
    *("estimates_nl.csv", "estimates.xlsx", "estimates.gpkg", "contract.schema.json"),
    *("statline.csv", "statline_measures.csv", "statline_regions.csv", "swing.csv"),
}


@pytest.fixture(scope="module")
def areas() -> Areas:
    """The honeycomb with hostile names, and with two buurten in GM0363 whose codes have letters."""
    frame = honeycomb()
    last = list(frame.index[-3:-1])
    codes = frame.index.to_series().replace(dict(zip(last, (LETTERS, EMPTY_LETTERS), strict=True)))
    frame.index = pd.Index(codes.to_numpy(), name="area_code")
    frame["wijk"], frame["gemeente"] = "WK" + frame.index.str[2:8], "GM" + frame.index.str[2:6]
    frame = frame.sort_index()
    frame.iloc[: len(HOSTILE), frame.columns.get_loc("name")] = list(HOSTILE)
    frame.loc[EMPTY_LETTERS, "population"] = 0
    return Areas(
        frame, 2024, {"wijk": {"WK0363AE": "=Lege wijk"}, "gemeente": {"GM0363": "Amsterdam"}}, "Streek", national=True
    )


@pytest.fixture(scope="module")
def made(areas: Areas) -> pd.DataFrame:
    """Two years of estimates, a hidden row of the total in each, and a grouping of the user's own."""
    first = table(areas.frame)
    group = first[first["level"] == "land"].assign(level="kant", area_code="stad", area_name="=stad")
    second = table(areas.frame, seed=2).assign(year=2024)
    return published(check_estimates(pd.concat([first, group, second], ignore_index=True)))


@pytest.fixture(scope="module")
def folder(areas: Areas, made: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("layouts")
    write_tables(made, areas.frame, out)
    write_layouts(made, areas, CONCEPT, out, ABOUT)
    return out


@pytest.fixture(scope="module")
def places(areas: Areas, made: pd.DataFrame) -> pd.DataFrame:
    return regions(made, areas)


def read(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    """Rows of a semicolon file as text, by the standard library: what any other program sees."""
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def same(found: float | None, expected: float) -> bool:
    """Bit for bit, where nothing is nothing."""
    return math.isnan(expected) if found is None else found.hex() == float(expected).hex()


def test_the_made_table_has_what_is_to_be_tested(made: pd.DataFrame) -> None:
    assert set(made["label"]) == {"betrouwbaar", "indicatief", "niet_publiceren"}
    assert set(made["year"]) == {2023, 2024}
    assert {LETTERS} < set(made["area_code"])
    assert EMPTY_LETTERS not in set(made["area_code"])
    assert len(set(HOSTILE) & set(made["area_name"])) == len(HOSTILE)


def test_all_layouts_are_written(folder: Path) -> None:
    assert {f.name for f in folder.iterdir()} == FILES | {
        "estimates.csv",
        "estimates.parquet",
        "estimates.geoparquet",
    }


# --- a Dutch Excel


def test_dutch_csv_starts_with_a_mark_and_has_commas_in_numbers(folder: Path) -> None:
    content = (folder / "estimates_nl.csv").read_bytes()
    assert content.startswith("\ufeff".encode() + ";".join(c.name for c in ESTIMATES).encode() + b"\r\n")
    assert any(re.fullmatch(r"\d,\d+", r["estimate"]) for r in read(folder / "estimates_nl.csv", "utf-8-sig"))


def test_dutch_csv_gives_back_every_double_and_every_text(folder: Path, made: pd.DataFrame) -> None:
    rows = read(folder / "estimates_nl.csv", "utf-8-sig")
    assert len(rows) == len(made)
    for name in FIGURES:
        found = [float(r[name].replace(",", ".")) if r[name] else None for r in rows]
        assert all(same(f, e) for f, e in zip(found, made[name], strict=True)), name
    for name in [c.name for c in ESTIMATES if c.dtype == "str"]:
        found = unguarded(pd.Series([r[name] for r in rows], dtype="str"))
        assert found.tolist() == made[name].fillna("").tolist(), name
    for name in ("population", "n_respondents", "rank_lower"):
        found = [int(r[name]) if r[name] else None for r in rows]
        assert found == made[name].astype(object).where(made[name].notna(), None).tolist()


def test_dutch_csv_is_read_by_pandas_in_one_call(folder: Path, made: pd.DataFrame) -> None:
    back = pd.read_csv(
        folder / "estimates_nl.csv", sep=";", decimal=",", keep_default_na=False, na_values=[""], encoding="utf-8-sig"
    )
    back["area_name"] = unguarded(back["area_name"])
    pd.testing.assert_frame_equal(check_estimates(back), made, rtol=1e-14, atol=0)


def test_no_text_of_the_dutch_csv_is_a_formula(folder: Path) -> None:
    names = {r["area_name"] for r in read(folder / "estimates_nl.csv", "utf-8-sig")}
    assert not [n for n in names if n.startswith(tuple("=+-@\t\r\n"))]
    assert {"'=stad", "''=al met apostrof", "'t Zand", "'-5"} <= names


@pytest.mark.parametrize("text", [*HOSTILE, "''=x", "", "'", "'s-Gravenhage", "\r\n=1"])
def test_the_guard_is_undone(text: str) -> None:
    given = pd.Series([text], dtype="str")
    assert unguarded(guarded(given)).tolist() == [text]
    assert not guarded(given)[0].startswith(tuple("=+-@\t\r\n"))


INVISIBLE = [c for c in map(chr, range(0x110000)) if category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp")]


@pytest.mark.parametrize("sign", list("=+-@＝＋－＠"))  # those of full width too
def test_a_formula_is_guarded_behind_anything_that_is_not_seen(sign: str) -> None:
    assert len(INVISIBLE) > 150  # Unicode has 65 controls, over a hundred formatting signs, and some twenty spaces
    texts = pd.Series([f"{c}{sign}1" for c in [*INVISIBLE, "\ufe0f", "\u3164"]] + [f"' \u200b' {sign}1"], dtype="str")
    safe = guarded(texts)
    assert safe.tolist() == [f"'{t}" for t in texts]
    assert unguarded(safe).tolist() == texts.tolist()


def test_text_that_is_no_formula_and_numbers_stay(tmp_path: Path) -> None:
    texts = pd.Series(["'s-Gravenhage", "Kop-van-Zuid", " Noord", "1-2", "a=b", "'", "\u200bNoord", ""], dtype="str")
    assert guarded(texts).tolist() == texts.tolist()
    write_semicolons(pd.DataFrame({"verschil": [-0.5, 2.0]}), tmp_path / "t.csv", decimal=",")
    assert (tmp_path / "t.csv").read_bytes() == b"verschil\r\n-0,5\r\n2,0\r\n"


def test_negative_figures_of_the_dutch_csv_are_numbers(made: pd.DataFrame, tmp_path: Path) -> None:
    write_excel_csv(made.assign(reliability=-0.25), tmp_path)
    assert {r["reliability"] for r in read(tmp_path / "estimates_nl.csv", "utf-8-sig")} == {"-0,25"}


@pytest.mark.parametrize("name", ["estimates.csv", "estimates_nl.csv", "statline_regions.csv"])
def test_a_return_inside_text_is_quoted(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes().decode("utf-8-sig")
    bare = re.sub(r'"(?:[^"]|"")*"', "", content)  # what is not inside quotes
    assert "regel twee\rdrie" in content
    assert "\r" not in (bare if name == "estimates.csv" else bare.replace("\r\n", ""))


# --- a workbook


@pytest.fixture(scope="module")
def sheets(folder: Path) -> Any:
    return load_workbook(folder / "estimates.xlsx")


def test_workbook_gives_back_every_double_and_every_text(sheets: Any, made: pd.DataFrame) -> None:
    rows = list(sheets["Schattingen"].iter_rows())
    assert [c.value for c in rows[0]] == [c.name for c in ESTIMATES]
    assert len(rows) == len(made) + 1
    for k, column in enumerate(ESTIMATES):
        cells = [r[k] for r in rows[1:]]
        found = [None if c.value is None else c.value for c in cells]
        expected = made[column.name].astype(object).where(made[column.name].notna(), None).tolist()
        if column.dtype == "float64":
            pairs = zip(found, made[column.name], strict=True)
            assert all(same(None if f is None else float(f), e) for f, e in pairs), column.name
        elif column.dtype == "str":  # XML has one kind of line end
            assert found == [e and re.sub("\r\n?", "\n", e) for e in expected], column.name
        else:
            assert found == expected, column.name
            assert {type(f) for f in found} <= {int, bool, type(None)}


def test_text_of_the_workbook_is_text(sheets: Any) -> None:
    for sheet in sheets:
        cells = [c for row in sheet.iter_rows() for c in row]
        assert {c.data_type for c in cells} <= {"s", "inlineStr", "n", "b"}  # no formula, no error value, no date
    names = {c.value: c for c in sheets["Schattingen"]["C"]}
    assert names["#N/A"].data_type in ("s", "inlineStr")
    assert names["=stad"].quotePrefix
    assert not names["Voorbeeldstad"].quotePrefix


def test_characters_that_xml_lacks_are_replaced(areas: Areas, made: pd.DataFrame, tmp_path: Path) -> None:
    some = made.head(2).assign(area_name=["nul\x00bel\x07\uffff", "b" * 40_000])
    write_layouts(some, areas, CONCEPT, tmp_path, ABOUT)
    found = [c.value for c in load_workbook(tmp_path / "estimates.xlsx")["Schattingen"]["C"]][1:]
    assert found == ["nul\ufffdbel\ufffd\ufffd", "b" * 32_767]


def test_text_like_markup_of_a_workbook_is_text(areas: Areas, made: pd.DataFrame, tmp_path: Path) -> None:
    names = ["<r>Plein & weg</r>", "<r><t>vet</t></r>", "_x0041_ _x000D_", " rand ", "<t>"]
    write_layouts(made.head(5).assign(area_name=names), areas, CONCEPT, tmp_path, replace(ABOUT, title=names[0]))
    book = load_workbook(tmp_path / "estimates.xlsx")
    found = [c.value for c in book["Schattingen"]["C"]][1:]
    # a writer escapes what looks like an escape, as Excel does; openpyxl leaves that
    assert [re.sub("_x005F_", "_", text) for text in found] == names
    assert book["Toelichting"]["A1"].value == book.properties.title == names[0]


def test_workbook_is_ready_to_use(sheets: Any, made: pd.DataFrame) -> None:
    sheet = sheets["Schattingen"]
    assert sheets.sheetnames == ["Toelichting", "Schattingen"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:AB{len(made) + 1}"
    assert sheet.column_dimensions["C"].width > sheet.column_dimensions["D"].width > 8
    # the row below the header is hidden: its cells are empty
    formats = {c.value: sheet.cell(3, c.column).number_format for c in sheet[1]}
    assert (formats["estimate"], formats["lower"], formats["reliability"]) == ("0.00", "0.00", "0.00")
    assert formats["year"] == formats["population"] == "General"


def test_workbook_explains_itself(sheets: Any) -> None:
    rows = [[c.value for c in row] for row in sheets["Toelichting"].iter_rows()]
    text = "\n".join(str(v) for row in rows for v in row if v)
    assert rows[0][0] == ABOUT.title
    for part in (ABOUT.run_id, "2024-01-31 12:30 UTC", "Bron: ", "95%", "niet_publiceren", *MEASURES):
        assert part in text
    assert "VOORLOPIG" not in text
    by_name = {row[0]: row for row in rows}
    for c in ESTIMATES:
        assert by_name[c.name][1:5] == [c.nl, COLUMNS[c.name], c.unit or None, c.en]
    assert list(COLUMNS) == [c.name for c in ESTIMATES]


def test_a_draft_says_so(areas: Areas, made: pd.DataFrame, tmp_path: Path) -> None:
    write_layouts(made.head(3), areas, CONCEPT, tmp_path, replace(ABOUT, draft=True))
    sheet = load_workbook(tmp_path / "estimates.xlsx")["Toelichting"]
    assert sheet["A2"].value == "VOORLOPIG"


# --- a GeoPackage


def test_geopackage_has_one_row_per_buurt(folder: Path, areas: Areas, made: pd.DataFrame) -> None:
    found = gpd.read_file(folder / "estimates.gpkg", layer="buurten").set_index("area_code")
    assert found.crs.to_epsg() == 28992
    assert list(found.index) == list(areas.codes)
    assert found.geometry.geom_equals(areas.frame.geometry.set_axis(found.index)).all()
    assert found["area_name"].tolist() == areas.frame["name"].tolist()
    assert found.loc[LETTERS, ["wijk", "gemeente"]].tolist() == ["WK0363AD", "GM0363"]
    assert set(found["year"]) == {2024}
    assert set(found["code_year"]) == {2024}
    assert found["population"].tolist() == areas.frame["population"].tolist()
    rows = made[(made["level"] == "buurt") & (made["year"] == 2024)].set_index(["measure", "area_code"])
    for measure in MEASURES:
        expected = rows.loc[measure].reindex(found.index)
        for name, column in (("estimate", measure), ("lower", f"{measure}_lower"), ("upper", f"{measure}_upper")):
            assert all(same(None if np.isnan(f) else f, e) for f, e in zip(found[column], expected[name], strict=True))
        label = found[f"{measure}_label"]
        assert (
            label.where(label.notna(), None).tolist()
            == expected["label"].where(expected["label"].notna(), None).tolist()
        )
    total = rows.loc["buurtverbondenheid"].reindex(found.index)["n_respondents"].astype(float)
    np.testing.assert_array_equal(found["n_respondents"], total)
    empty = found.loc[EMPTY_LETTERS]
    assert empty[[c for c in found if c.startswith("buurtverbondenheid")]].isna().all()


def test_geopackage_has_the_long_table(folder: Path, made: pd.DataFrame) -> None:
    assert dict(pyogrio.list_layers(folder / "estimates.gpkg")) == {"buurten": "MultiPolygon", "estimates": None}
    back = pyogrio.read_dataframe(folder / "estimates.gpkg", layer="estimates")
    pd.testing.assert_frame_equal(check_estimates(pd.DataFrame(back)), made, check_exact=True)


def test_the_moment_of_the_geopackage_is_that_of_the_run(folder: Path) -> None:
    with sqlite3.connect(folder / "estimates.gpkg") as data:
        moments = {m for (m,) in data.execute("SELECT last_change FROM gpkg_contents")}
    data.close()
    assert moments == {"2024-01-31T12:30:59.000Z"}
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


# --- StatLine


def test_statline_has_every_cell_once(folder: Path, places: pd.DataFrame) -> None:
    rows = read(folder / "statline.csv")
    assert list(rows[0]) == "Id;Measure;ValueAttribute;Value;StringValue;RegioS;Perioden;Marges".split(";")
    assert len(rows) == 7 * len(places) * 2 * 3
    assert [int(r["Id"]) for r in rows] == list(range(len(rows)))
    assert len({(r["Measure"], r["RegioS"], r["Perioden"], r["Marges"]) for r in rows}) == len(rows)
    assert {r["Perioden"] for r in rows} == {"2023JJ00", "2024JJ00"}


def test_statline_keys_are_padded(folder: Path) -> None:
    regios = {r["RegioS"] for r in read(folder / "statline.csv")}
    assert regios >= {LETTERS, "GM0363    ", "GM0001    ", "NL01      ", "kant:stad "}
    assert {len(r) for r in regios} == {10}
    listed = {r["Key"]: r for r in read(folder / "statline_regions.csv")}
    assert set(listed) == regios
    assert listed["NL01      "] == {"Key": "NL01      ", "Title": "Streek", "Level": "land"}
    assert listed["GM0363    "]["Title"] == "Amsterdam"
    measures = read(folder / "statline_measures.csv")
    assert [m["Key"] for m in measures] == list(MEASURES)
    assert measures[-1]["Title"] == "Buurtverbondenheid"


def test_statline_values_are_those_of_the_table(folder: Path, made: pd.DataFrame) -> None:
    margins = {"MW00000": "estimate", "MOG0095": "lower", "MBG0095": "upper"}
    keyed = made.assign(key=made["area_code"].mask(made["level"] == "kant", "kant:stad").replace("NL00", "NL01"))
    expected = {(r.key, r.measure, f"{r.year}JJ00"): r for r in keyed.itertuples()}
    seen = set()
    for row in read(folder / "statline.csv"):
        found = expected.get((row["RegioS"].strip(), row["Measure"], row["Perioden"]))
        if found is None:
            assert (row["ValueAttribute"], row["Value"]) == ("Impossible", "")
        elif found.label == "niet_publiceren":
            assert (row["ValueAttribute"], row["Value"]) == ("Confidential", "")
        else:
            assert row["ValueAttribute"] == "None"
            assert same(float(row["Value"]), getattr(found, margins[row["Marges"]]))
        seen.add(row["ValueAttribute"])
        assert row["StringValue"] == ""
    assert seen == {"None", "Confidential", "Impossible"}


def test_hidden_rows_give_no_value_even_where_the_table_still_has_one(areas: Areas, places: pd.DataFrame) -> None:
    leaky = table(areas.frame)  # not yet published: figures of hidden rows are present
    hidden = leaky["label"] == "niet_publiceren"
    assert leaky.loc[hidden, "estimate"].notna().any()
    found = observations(leaky, places, list(MEASURES))
    assert found.loc[found["ValueAttribute"] == "Confidential", "Value"].isna().all()
    flat = swing(leaky, places, MEASURES)
    values = flat.loc[flat["participatie_oordeel"] == 3, ["participatie", "participatie_ond", "participatie_bov"]]
    assert len(values)
    assert (values == -99997).all(axis=None)


# --- Swing


def test_swing_has_every_area_of_every_level(folder: Path, places: pd.DataFrame) -> None:
    rows = read(folder / "swing.csv")
    suffixes = ("", "_ond", "_bov", "_oordeel")
    assert list(rows[0]) == ["PERIOD", "GEOLEVEL", "GEOITEM", *(m + s for m in MEASURES for s in suffixes)]
    assert len(rows) == 2 * len(places)
    items = {(r["GEOLEVEL"], r["GEOITEM"]) for r in rows}
    assert items >= {
        *(("buurt", "0363AD03"), ("buurt", "0363AE00"), ("buurt", "00010000"), ("gemeente", "0001")),
        *(("gemeente", "0363"), ("land", "1"), ("kant", "stad")),
    }
    assert {r["PERIOD"] for r in rows} == {"2023", "2024"}


def test_swing_values_are_those_of_the_table(folder: Path, made: pd.DataFrame) -> None:
    item = (
        made["area_code"].where(made["level"] == "kant", made["area_code"].str[2:]).mask(made["level"] == "land", "1")
    )
    expected = {(str(r.year), r.level, r.item, r.measure): r for r in made.assign(item=item).itertuples()}
    parts = {"_ond": "lower", "_bov": "upper", "": "estimate"}
    codes = {"betrouwbaar": "1", "indicatief": "2", "niet_publiceren": "3"}
    seen = set()
    for row in read(folder / "swing.csv"):
        for measure in MEASURES:
            found = expected.get((row["PERIOD"], row["GEOLEVEL"], row["GEOITEM"], measure))
            opinion = row[f"{measure}_oordeel"]
            assert opinion == ("-99996" if found is None else codes[found.label])
            for suffix, name in parts.items():
                value = row[measure + suffix]
                if found is None or found.label == "niet_publiceren":
                    assert value == ("-99996" if found is None else "-99997")
                else:
                    assert same(float(value), getattr(found, name))
            seen.add(opinion)
    assert seen == {"1", "2", "3", "-99996"}


@pytest.mark.parametrize(
    ("level", "code", "item", "key"),
    [
        ("buurt", "BU0363AD03", "0363AD03", "BU0363AD03"),
        ("wijk", "WK0363AD", "0363AD", "WK0363AD  "),
        ("gemeente", "GM0344", "0344", "GM0344    "),
        ("ggdregio", "GG2514", "2514", "GG2514    "),
        ("provincie", "PV26", "26", "PV26      "),
        ("provincie", "GGoord", "GGoord", "GGoord    "),  # a name, where the areas have no codes
        ("land", "NL00", "1", "NL01      "),
        ("kant", "GM12", "GM12", "kant:GM12 "),
        ("stadsdeel", "Centrum-Oost", "Centrum-Oost", "stadsdeel:Centrum-Oost"),
    ],
)
def test_codes_of_each_level(level: str, code: str, item: str, key: str) -> None:
    rows = pd.DataFrame({"level": [level], "area_code": [code], "country": True})
    assert geoitem(rows).tolist() == [item]
    assert region_key(rows).tolist() == [key]


def test_only_the_country_is_called_so(areas: Areas, made: pd.DataFrame) -> None:
    places = regions(made, replace(areas, national=False))
    assert "NL01" not in set(region_key(places).str.strip())
    assert region_key(places[places["level"] == "land"]).tolist() == ["NL00      "]
    levels = set(swing(made, places, MEASURES)["GEOLEVEL"])
    assert "geheel" in levels
    assert "land" not in levels


# --- all areas, whether inhabited or not


def test_regions_are_all_areas_of_the_levels_in_the_table(places: pd.DataFrame, areas: Areas) -> None:
    assert places["level"].drop_duplicates().tolist() == ["buurt", "gemeente", "land", "kant"]
    assert places.loc[places["level"] == "buurt", "area_code"].tolist() == list(areas.codes)
    assert places.loc[places["level"] == "gemeente", "area_code"].tolist() == ["GM0001", "GM0002", "GM0363"]


def test_an_uninhabited_wijk_is_there_under_its_own_name(areas: Areas, made: pd.DataFrame) -> None:
    wijk = made[made["level"] == "gemeente"].assign(level="wijk", area_code="WK000100", area_name="Een")
    found = regions(pd.concat([made, wijk.drop_duplicates(["measure", "year"])]), areas).set_index(
        ["level", "area_code"]
    )
    assert found.loc[("wijk", "WK0363AE"), "area_name"] == "=Lege wijk"
    assert found.loc[("wijk", "WK000100"), "area_name"] == "Een"
    assert len(found.loc["wijk"]) == len(set(areas.frame["wijk"]))


# --- together


def test_the_same_run_gives_the_same_bytes(areas: Areas, made: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    write_layouts(made, areas, CONCEPT, tmp_path, ABOUT)
    assert {p.name for p in tmp_path.iterdir()} == FILES
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    with zipfile.ZipFile(tmp_path / "estimates.xlsx") as archive:
        assert archive.testzip() is None
        assert {m.date_time for m in archive.infolist()} == {(1980, 1, 31, 0, 0, 0)}  # of all, whenever it is written
    assert load_workbook(tmp_path / "estimates.xlsx").properties.created == ABOUT.created.replace(tzinfo=None)


def test_the_contract_is_published_as_stored(folder: Path) -> None:
    assert (folder / "contract.schema.json").read_text(encoding="utf-8") == stored_text()


def test_the_data_package_describes_the_layouts_and_is_valid(folder: Path) -> None:
    labels = {m: CONCEPT.nodes[m].nl for m in MEASURES}
    package = datapackage(folder, title="Streek", created=CREATED, run_id=ABOUT.run_id, measures=labels)
    by_path = {r["path"]: r for r in package["resources"]}
    assert set(by_path) >= FILES
    for path in FILES:
        assert by_path[path]["bytes"] == (folder / path).stat().st_size
    numbers = [f for f in by_path["estimates_nl.csv"]["schema"]["fields"] if f["type"] == "number"]
    assert len(numbers) == len(FIGURES)
    assert all(f["decimalChar"] == "," for f in numbers)
    assert json.loads(json.dumps(package)) == package
    with system.use_context(trusted=True):
        found = Package.from_descriptor(package, basepath=str(folder))
        found.remove_resource("estimates-parquet")  # frictionless needs another reader for it
        report = found.validate()
        assert report.valid, report.flatten(["taskPosition", "rowNumber", "fieldName", "message"])
        assert {r.name for r in found.resources} >= {"estimates-nl", "estimates-xlsx", "statline", "swing"}


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        ("estimates_nl.csv", "participatie;0,0;10,0;score;2023;", "participatie;0,0;10,0;score;tien;", "type-error"),
        ("statline.csv", ";Confidential;", ";Geheim;", "constraint-error"),
        ("swing.csv", "PERIOD", "JAAR", "incorrect-label"),
    ],
)
def test_the_descriptions_tell_wrong_files(
    folder: Path, tmp_path: Path, file: str, old: str, new: str, error: str
) -> None:
    labels = {m: CONCEPT.nodes[m].nl for m in MEASURES}
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / file).read_bytes().decode()
    assert old in text
    (tmp_path / file).write_bytes(text.replace(old, new, 1).encode())
    package = datapackage(tmp_path, title="Streek", created=CREATED, run_id=ABOUT.run_id, measures=labels)
    package["resources"] = [r for r in package["resources"] if r["path"] == file]
    with system.use_context(trusted=True):
        kinds = {k for (k,) in Package.from_descriptor(package, basepath=str(tmp_path)).validate().flatten(["type"])}
    assert error in kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31T12:30:59Z", datetime(2024, 1, 31, 12, 30, 59, tzinfo=UTC)),
        ("2024-01-31T13:30:59+01:00", datetime(2024, 1, 31, 12, 30, 59, tzinfo=UTC)),
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
    ],
)
def test_moments_are_in_utc(text: str, expected: datetime) -> None:
    assert moment(text) == expected
    assert moment(text).utcoffset() == expected.utcoffset()


def test_a_moment_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="moment of the run"):
        moment("gisteren")
