"""Rijksmonumenten: pages, the coordinate system, what counts once, distances across borders, a service that errs."""

from __future__ import annotations

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from replay import HTML, Answer, Asked, Replay, as_json
from routes_maps import Register, example, install_monuments, made_monuments
from shapely.geometry import Point, box

from buurtsae.errors import DataError
from buurtsae.opendata import monuments
from buurtsae.opendata.http import Fetcher


@pytest.fixture(scope="module")
def buurten() -> gpd.GeoDataFrame:
    """The map of the example."""
    return example()[["buurtcode", "geometry"]]


@pytest.fixture
def register(buurten: gpd.GeoDataFrame) -> Register:
    """60 made objects, 25 a page."""
    return Register(made_monuments(buurten))


def test_counts_per_buurt(replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame) -> None:
    install_monuments(replay, register)
    loaded = monuments.load(fetcher, buurten)
    assert replay.count("rce") == 6  # by 25; twice, because some buurten have none within 5 km
    frame = loaded.frame.set_index("buurtcode")
    assert (
        frame["rijksmonumenten"].tolist() == [3 if k != 7 else 2 for k in range(20)] + [0] * 100
    )  # one is no monument
    assert frame["rijksmonumenten_archeologisch"].tolist()[:20] == [3 if k in (3, 13) else 0 for k in range(20)]
    assert (frame["rijksmonumenten_gebouwd"] + frame["rijksmonumenten_archeologisch"]).equals(frame["rijksmonumenten"])
    assert frame["rijksmonumenten_complexen"].tolist()[:2] == [1, 3]  # three of one complex, and three of none
    km2 = buurten.set_index("buurtcode").area / 1e6
    assert frame["rijksmonumenten_per_km2"].to_numpy() == pytest.approx((frame["rijksmonumenten"] / km2).to_numpy())
    own = register.monuments[register.monuments["juridische_status"] == "rijksmonument"]
    distance = [own.distance(middle).min() / 1000 for middle in buurten.centroid]
    assert frame["afstand_rijksmonument_km"].to_numpy() == pytest.approx(distance, rel=1e-9)
    assert any("1 objects in and around the areas have another status" in note for note in loaded.notes)
    assert loaded.columns["filled"].eq(1).all()
    assert loaded.columns["title"].ne("").all()
    assert {part.source for part in loaded.retrieved} == {"Rijksdienst voor het Cultureel Erfgoed"}


def test_objects_beyond_the_border_count_for_the_distance(
    replay: Replay, fetcher: Fetcher, buurten: gpd.GeoDataFrame
) -> None:
    x, y = buurten.geometry.iloc[:1].centroid.iloc[0].coords[0]
    near = made_monuments(buurten, 1)
    near = pd.concat([near, near], ignore_index=True).assign(rijksmonument_nummer=[1, 2])
    near.geometry = [Point(x - 12_000, y), Point(x - 30_000, y)]
    install_monuments(replay, Register(near))
    one = buurten.iloc[:1]
    frame = monuments.load(fetcher, one).frame
    assert frame["rijksmonumenten"].tolist() == [0]
    assert frame["afstand_rijksmonument_km"].tolist() == pytest.approx([12.0])
    assert replay.count("rce") == 2  # none within 5 km: asked again within 20


def test_a_point_on_a_border_and_a_number_with_two_points() -> None:
    areas = gpd.GeoDataFrame(
        {"buurtcode": ["BU00000002", "BU00000001"], "oppervlakte_land_ha": [50.0, 0.0]},
        geometry=[box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)], crs="EPSG:28992",
    )  # fmt: skip
    text = {"complex": [None] * 4, "kind": ["gebouwd"] * 3 + ["onbekend"], "number": ["1", "2", "2", "3"]}
    where = [Point(1000, 500), Point(10, 10), Point(20, 20), Point(30, 30)]
    frame, notes = monuments.counted(gpd.GeoDataFrame(text, geometry=where, crs="EPSG:28992"), areas)
    assert frame["rijksmonumenten"].tolist() == [2, 1]  # the border belongs to the lowest code; a number counts once
    assert frame["rijksmonumenten_gebouwd"].tolist() == [1, 1]
    assert frame["rijksmonumenten_per_km2"].tolist() == [4.0, 1.0]  # half a square kilometre of land; 1 of its polygon
    assert [note.split()[0] for note in notes] == ["1", "1"]
    assert "onbekend" in notes[0]


def page(register: Register, asked: Asked, **changed: object) -> Answer:
    """A page of the register with something changed."""
    return as_json({**json.loads(register.answer(asked).body), **changed})


def test_a_service_that_gives_web_mercator(
    replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame
) -> None:
    mercator = Register(register.monuments)

    def ignoring(asked: Asked) -> Answer:
        return mercator.answer(replace(asked, query={**asked.query, "srsName": "EPSG:3857"}))

    replay.add("rce", "", ignoring)
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert told.value.got == "coordinates in urn:ogc:def:crs:EPSG::3857"
    said = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::28992"}}}
    replay.add("rce", "", lambda asked: as_json({**json.loads(ignoring(asked).body), **said}))
    with pytest.raises(DataError) as told:
        monuments.load(replace(fetcher, refresh=True), buurten)
    assert "60 of 60 points outside the Netherlands" in told.value.got


def test_a_monument_on_two_pages(
    replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame
) -> None:
    def shifted(asked: Asked) -> Answer:
        start = int(asked.query["startIndex"])
        moved = str(start - 1) if start else "0"  # pages overlap by one, and the last object never comes
        answer = json.loads(register.answer(replace(asked, query={**asked.query, "startIndex": moved})).body)
        answer["features"] = answer["features"][:10] if start == 50 else answer["features"]
        return as_json(answer)

    replay.add("rce", "", shifted)
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert "points twice (500024" in told.value.got


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"features": []}, "0 objects by pages, of 60"),
        ({"numberMatched": 20}, "25 objects by pages, of 20"),
        ({"crs": None}, "coordinates in none that it names"),
        ({"features": None}, "JSON without features"),
    ],
)
def test_pages_that_are_none(
    replay: Replay,
    fetcher: Fetcher,
    register: Register,
    buurten: gpd.GeoDataFrame,
    changed: dict[str, object],
    got: str,
) -> None:
    replay.add("rce", "", lambda asked: page(register, asked, **changed))
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert got in told.value.got
    assert len(str(told.value).splitlines()) == 3


def test_a_total_that_changes_or_is_unknown(
    replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame
) -> None:
    replay.add("rce", "", lambda asked: page(register, asked, numberMatched=60 + int(asked.query["startIndex"])))
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert told.value.got == "85 objects in all, and 60 a page before"
    replay.add("rce", "", lambda asked: page(register, asked, numberMatched="unknown", totalFeatures="unknown"))
    frame = monuments.load(replace(fetcher, refresh=True), buurten).frame
    assert frame["rijksmonumenten"].sum() == 59  # to an empty page
    first = {"numberMatched": "unknown"}
    replay.add("rce", "", lambda a: page(register, replace(a, query={**a.query, "startIndex": "0"}), **first))
    with pytest.raises(DataError) as told:
        monuments.load(replace(fetcher, refresh=True), buurten)
    assert told.value.got == "the 25 rows of a page before"


def test_columns_that_are_absent_and_a_web_page(
    replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame
) -> None:
    install_monuments(replay, Register(register.monuments.drop(columns="complex_nummer")))
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert told.value.expected == "with complex_nummer"
    replay.fail("rce", HTML)
    with pytest.raises(DataError) as told:
        monuments.load(replace(fetcher, refresh=True), buurten)
    assert "a web page" in told.value.got


def test_a_register_without_monuments(
    replay: Replay, fetcher: Fetcher, register: Register, buurten: gpd.GeoDataFrame
) -> None:
    install_monuments(replay, Register(register.monuments.assign(juridische_status="geen")))
    with pytest.raises(DataError, match="answers strangely") as told:
        monuments.load(fetcher, buurten)
    assert told.value.got == "no rijksmonument among 60 objects"
    assert np.isfinite(buurten.area).all()
