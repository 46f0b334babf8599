"""Borders: pages of features and a GeoPackage, water and parts, marks of missing figures, a service that errs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pytest
from replay import HTML, Answer, Asked, Replay, as_json
from routes_maps import RD, Map, example, install, install_atom, real
from shapely.geometry import Polygon, box

import buurtsae as bs
from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.opendata import pdok
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.map_rows import FIGURES, MARKS

ITEMS = "wijken-en-buurten-2024/ogc/v1/collections/{}/items"
FIRST = "BU99010001"  # of the example: 150 residents


@pytest.fixture(scope="module")
def buurten() -> gpd.GeoDataFrame:
    """The map of the example."""
    return example()


@pytest.fixture
def world(buurten: gpd.GeoDataFrame) -> Map:
    """The example at a service that gives 25 rows a page."""
    return Map.of(buurten, most=25)


def served(replay: Replay, fetcher: Fetcher, world: Map, *gemeenten: str) -> Loaded:
    """Borders of gemeenten, or of the country, of this map."""
    install(replay, world)
    return pdok.load(fetcher, world.year, gemeenten or None)


def test_one_gemeente_by_pages(replay: Replay, fetcher: Fetcher, world: Map, buurten: gpd.GeoDataFrame) -> None:
    loaded = served(replay, fetcher, world, "GM9901")
    own = buurten[buurten["gemeentecode"] == "GM9901"].sort_values("buurtcode").reset_index(drop=True)
    assert replay.count("buurten/items") == 4  # its 56 and some neighbours in its box, by 25
    names = ["buurtcode", "buurtnaam", "wijkcode", "wijknaam", "gemeentecode", "gemeentenaam"]
    assert loaded.frame[names].astype(object).equals(own[names].astype(object))
    assert loaded.frame["inwoners"].tolist() == own["inwoners"].tolist()
    assert loaded.frame.crs == "EPSG:28992"
    assert loaded.frame.geometry.geom_equals_exact(own.geometry, 1e-6).all()
    assert set(loaded.columns["column"]) == {"indelingswijziging", "inwoners", "huishoudens", "oppervlakte_land_ha"}
    assert loaded.reasons.empty
    assert {part.attribution for part in loaded.retrieved} == {"CBS, Kadaster"}
    again = pdok.load(replace(fetcher, offline=True), 2024, ("GM9901",))
    assert again.frame.equals(loaded.frame)
    assert again.retrieved == loaded.retrieved


def test_what_is_fetched_makes_areas(replay: Replay, fetcher: Fetcher, world: Map, tmp_path: Path) -> None:
    loaded = served(replay, fetcher, world, "GM9903", "GM9902")
    loaded.frame.to_parquet(path := tmp_path / "buurten_2024.parquet")
    areas = bs.Areas.read(path, 2024)
    assert repr(areas).startswith("Areas of 2024: 64 buurten")
    assert areas.residents("gemeente").to_dict() == {"GM9902": 31855.0, "GM9903": 37790.0}  # the README of the example
    assert areas.names["wijk"]["WK990200"] == "Lindemeer Dorp"
    assert areas.covariates == ["huishoudens", "oppervlakte_land_ha"]  # a mark of change is no figure


def test_the_country_is_the_newest_geopackage(
    replay: Replay, fetcher: Fetcher, world: Map, buurten: gpd.GeoDataFrame
) -> None:
    install_atom(replay, world, versions=(2, 9, 10))  # 10 is newer than 9
    loaded = pdok.load(fetcher, 2024)
    assert loaded.frame["buurtcode"].tolist() == sorted(buurten["buurtcode"])
    assert [part.edition for part in loaded.retrieved] == ["2024", "2024 v10"]
    install(replay, world)
    part = pdok.load(fetcher, 2024, ("GM9901",)).frame
    whole = loaded.frame[loaded.frame["gemeentecode"] == "GM9901"].reset_index(drop=True)
    assert whole.drop(columns="geometry").equals(part.drop(columns="geometry"))


def test_a_feed_that_names_a_feed(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    install_atom(replay, world)
    inner = replay.answer("/atom/wijkenbuurten/2024/atom/index.xml", "").body
    replay.add("atom", "wijkenbuurten/2024/atom/kaart.xml", lambda asked: Answer(inner, "application/atom+xml"))
    outer = b'<feed><entry><link href="https://elsewhere.example/a.xml"/><link href="kaart.xml"/></entry></feed>'
    replay.add("atom", "wijkenbuurten/2024/atom/index.xml", lambda asked: Answer(outer, "application/atom+xml"))
    assert len(pdok.load(fetcher, 2024).frame) == 120


def test_a_buurt_in_three_parts_and_one_of_water(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    layer = world.layers["buurten"]
    row = layer[layer["buurtcode"] == FIRST].iloc[0]
    x, y, right, top = row.geometry.bounds
    edges = [x, x + (right - x) / 3, x + (right - x) / 1.5, right]
    parts = [row.geometry.intersection(box(*pair)) for pair in zip(edges, [y] * 3, edges[1:], [top] * 3, strict=False)]
    world.layers["buurten"] = layer[layer["buurtcode"] != FIRST]
    text = row.drop(["geometry", "jaar"]).to_dict()
    for part in parts:
        world.add("buurten", part, **text)
    wet = {**text, "water": "JA", "aantal_inwoners": -99997, "aantal_huishoudens": -99997}
    lake = box(x - 2000, y - 2000, x - 1000, y - 1000)  # of the gemeente, whose ground then has it too
    world.add("buurten", lake, **wet)
    world.add("wijken", lake, wijkcode="WK990199", wijknaam="", gemeentecode="GM9901", water="JA")
    world.add("gemeenten", lake, gemeentecode="GM9901", gemeentenaam="Voorbeeldstad", water="JA")
    loaded = served(replay, fetcher, world, "GM9901")
    assert len(loaded.frame) == 56
    found = loaded.frame.set_index("buurtcode").loc[FIRST]
    assert found.geometry.area == pytest.approx(row.geometry.area, rel=1e-9)
    assert found["inwoners"] == 150
    assert loaded.reasons.empty
    assert "1 water, 0 abroad" in " ".join(loaded.notes)
    assert "1 areas have several rows" in " ".join(loaded.notes)


def test_foreign_ground_is_dropped(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    wet = {"buurtnaam": "Buitenland", "gemeentecode": "GM0998", "gemeentenaam": "Buitenland", "aantal_inwoners": -99997}
    world.add("buurten", box(139000, 500000, 139100, 500100), buurtcode="BU09980000", water="B", **wet)
    world.add("gemeenten", box(139000, 500000, 139100, 500100), gemeentecode="GM0998", gemeentenaam="x", water="NEE")
    loaded = served(replay, fetcher, world)
    assert len(loaded.frame) == 120
    assert "0 water, 1 abroad" in loaded.notes[0]
    assert pdok.gemeenten(fetcher, 2024).frame["gemeentecode"].tolist() == ["GM9901", "GM9902", "GM9903"]


def test_missing_figures_keep_their_reason(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    layer = world.layers["buurten"].set_index("buurtcode", drop=False)
    layer.loc[FIRST, "aantal_inwoners"] = -99997
    layer.loc[FIRST, "aantal_huishoudens"] = -99995
    layer.loc["BU99010002", "aantal_huishoudens"] = 0  # a zero is a zero
    world.layers["buurten"] = layer.reset_index(drop=True)
    loaded = served(replay, fetcher, world, "GM9901")
    found = loaded.frame.set_index("buurtcode")
    assert found.loc[FIRST, ["inwoners", "huishoudens"]].isna().all()
    assert found.loc["BU99010002", "huishoudens"] == 0
    assert {tuple(row)[:2]: row[2].split(":")[0] for row in loaded.reasons.itertuples(index=False)} == {
        (FIRST, "inwoners"): "-99997",
        (FIRST, "huishoudens"): "-99995",
    }
    filled = loaded.columns.set_index("column")["filled"]
    assert filled["inwoners"] == pytest.approx(55 / 56)


@pytest.mark.parametrize("value", [-99996, -99998, -5])
def test_an_unknown_mark_is_an_error(replay: Replay, fetcher: Fetcher, world: Map, value: int) -> None:
    world.layers["buurten"].loc[3, "aantal_inwoners"] = value
    with pytest.raises(DataError, match="strange figures in inwoners") as told:
        served(replay, fetcher, world)
    assert f"{value} in BU9901" in told.value.got


def test_an_invalid_polygon_is_repaired_and_said(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    layer = world.layers["buurten"]
    x, y, right, top = layer.loc[0, "geometry"].bounds
    layer.loc[0, "geometry"] = Polygon([(x, y), (right, top), (right, y), (x, top)])
    loaded = served(replay, fetcher, world)
    assert loaded.frame.is_valid.all()
    assert "1 invalid polygons repaired" in loaded.notes


def test_a_box_that_is_ignored(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    right = served(replay, fetcher, world, "GM9902").frame
    for layer in ("buurten", "wijken"):
        replay.add("pdok", ITEMS.format(layer), lambda asked, layer=layer: world.items(layer, asked, all_rows=True))
    loaded = pdok.load(replace(fetcher, refresh=True), 2024, ("GM9902",))
    assert loaded.frame.equals(right)
    assert "rows outside the box that was asked for" in loaded.notes[0]


def test_a_second_page_without_next_leaves_a_hole(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    install(replay, world)

    def lost(asked: Asked) -> Answer:
        return world.items("buurten", asked, link="cursor" not in asked.query)

    replay.add("pdok", ITEMS.format("buurten"), lost)
    with pytest.raises(DataError, match="buurten do not cover their gemeente") as told:
        pdok.load(fetcher, 2024, ("GM9901",))
    assert told.value.got.startswith("GM9901: ")
    assert "--refresh" in told.value.hint


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HTML, "a web page"),
        (as_json({"features": [], "numberReturned": 0}, Content_Crs=f"<{RD}>"), "no rows"),
        (as_json({"features": []}), "a system that it does not name"),
        (as_json({"features": []}, Content_Crs="<http://www.opengis.net/def/crs/OGC/1.3/CRS84>"), "OGC/1.3/CRS84"),
        (as_json({"features": [], "numberReturned": 3}, Content_Crs=f"<{RD}>"), "says that they are 3"),
        (as_json({"title": "Wijken en buurten"}), "JSON without features"),
        (as_json([1]), "JSON without features"),
        (Answer(status=404), "HTTP 404"),
    ],
)
def test_what_is_no_page_of_borders(replay: Replay, fetcher: Fetcher, world: Map, answer: Answer, said: str) -> None:
    install(replay, world)
    replay.fail("buurten/items", answer)
    with pytest.raises(DataError) as told:
        pdok.load(fetcher, 2024, ("GM9901",))
    assert said in told.value.got
    assert "buurten/items" in str(told.value)
    assert len(str(told.value).splitlines()) == 3


def test_a_page_that_never_ends(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    install(replay, world)

    def again(asked: Asked) -> Answer:
        first = world.items("buurten", replace(asked, query={k: v for k, v in asked.query.items() if k != "cursor"}))
        number = int(asked.query.get("cursor", 0)) + 1  # another link each time, and the same rows
        link = {"rel": "next", "href": f"{asked.base}/{asked.path}?cursor={number}&crs={RD}"}
        return replace(first, body=json.dumps({**json.loads(first.body), "links": [link]}).encode())

    replay.add("pdok", ITEMS.format("buurten"), again)
    with pytest.raises(DataError, match="answers strangely") as told:
        pdok.load(fetcher, 2024, ("GM9901",))
    assert "rows of a page before" in told.value.got


def test_rows_that_come_twice(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    world.layers["buurten"].loc[60] = world.layers["buurten"].loc[1]
    with pytest.raises(DataError, match="answers strangely") as told:
        served(replay, fetcher, world, "GM9901")
    assert "1 of 92 rows twice (BU99010002)" in told.value.got


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("jaar", 2023, "is of another year"),
        ("water", "nat", "`water` is unknown"),
        ("buurtcode", "0363AD", "codes that are none"),
        (None, "water", "lacks columns"),
    ],
)
def test_a_map_that_is_another(
    replay: Replay, fetcher: Fetcher, world: Map, column: str | None, value: object, said: str
) -> None:
    layer = world.layers["buurten"]
    world.layers["buurten"] = layer.drop(columns=value) if column is None else layer.assign(**{column: value})
    with pytest.raises(BuurtsaeError, match=said):
        served(replay, fetcher, world)


def test_gemeenten_and_years_that_are_not_there(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    with pytest.raises(DataError, match="no such gemeenten in 2024") as told:
        served(replay, fetcher, world, "GM9901", "GM0457")
    assert told.value.got == "GM0457"
    with pytest.raises(DataError, match="there is no table of borders of 2019") as told:
        pdok.load(fetcher, 2019, ("GM9901",))
    assert told.value.expected.startswith("2021, 2022")
    with pytest.raises(DataError, match="no gemeente is asked for"):
        pdok.load(fetcher, 2024, ())
    with pytest.raises(DataError, match="the service refuses"):
        pdok.load(fetcher, 2023)


@pytest.mark.parametrize(
    ("index", "said"), [(b"<feed></feed>", "a feed without wijkenbuurten_2024"), (b"nothing", "beginning with")]
)
def test_a_feed_without_a_map(replay: Replay, fetcher: Fetcher, index: bytes, said: str) -> None:
    replay.add("atom", ".*", lambda asked: Answer(index, "application/atom+xml"))
    with pytest.raises(DataError) as told:
        pdok.load(fetcher, 2024)
    assert said in told.value.got


def test_a_geopackage_that_is_cut_short(replay: Replay, fetcher: Fetcher, world: Map) -> None:
    install_atom(replay, world)
    whole = replay.answer("/atom/wijkenbuurten/2024/atom/downloads/wijkenbuurten_2024_v2.gpkg", "").body
    replay.fail("gpkg", Answer(whole[:5000]))
    with pytest.raises(DataError, match="answers strangely") as told:
        pdok.load(fetcher, 2024)
    assert "a GeoPackage with a layer buurten" in told.value.expected


@pytest.mark.national
def test_the_names_of_the_map(shared: Path) -> None:
    """Properties as tests of third parties hold them; `water` is left out there."""
    path = shared / "data" / "nl" / "examples" / "pdok_ogc_buurten_properties.json"
    first, second = (feature["properties"] for feature in json.loads(path.read_bytes())["features"])
    assert {code for code, *_ in FIGURES.values()} | {"buurtcode", "buurtnaam"} <= set(first)
    assert {second["aantal_inwoners"], second["aantal_bedrijfsvestigingen"]} <= set(MARKS)


@pytest.mark.national
@pytest.mark.parametrize(
    ("gemeente", "name", "count"),
    # rows of buurt_2024.parquet: letters in codes, Waddenzee islands, a merger of 2023
    [("GM0363", "Amsterdam", 516), ("GM0096", "Vlieland", 2), ("GM1992", "Voorne aan Zee", 70)],
)
def test_real_gemeenten(replay: Replay, fetcher: Fetcher, shared: Path, gemeente: str, name: str, count: int) -> None:
    world = Map.of(real(shared, (gemeente,)), most=1000)
    loaded = served(replay, fetcher, world, gemeente)
    assert len(loaded.frame) == count
    assert set(loaded.frame["gemeentenaam"]) == {name}
    missing = loaded.frame["inwoners"].isna()
    assert set(loaded.reasons.loc[loaded.reasons["column"] == "inwoners", "code"]) == set(
        loaded.frame["buurtcode"][missing]
    )
