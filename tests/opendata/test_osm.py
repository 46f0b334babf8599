"""OpenStreetMap per buurt: each object once, exceptions, distances over borders, and files that are no extract.

Four buurten of one square kilometre, two by two, from (120, 450) km RD; objects are placed in metres from that corner,
so that counts, shares and distances can be read off.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import osmium
import pandas as pd
import pytest
from pyproj import Transformer
from shapely.geometry import Point, box

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError, DataError, ProblemsError
from buurtsae.model.covariate_catalogue import covariate_catalogue
from buurtsae.opendata import osm_objects
from buurtsae.opendata.fetching import write
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.osm import BEYOND, NOBODY, NOWHERE, UNDATED, _inside, voorzieningen
from buurtsae.opendata.osm_tags import TagSets
from buurtsae.survey.codebook import Codebook

CORNER = 120_000, 450_000
A, B, C, D = CODES = [f"BU0344010{k}" for k in range(4)]  # A south-west, B south-east, C north-west, D north-east
LONLAT = Transformer.from_crs("EPSG:28992", "EPSG:4326", always_xy=True)
NEW, OLD = "2024-01-01T00:00:00Z", "2015-01-01T00:00:00Z"


class Drawing:
    """An .osm file, drawn in metres from the corner."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {"node": [], "way": [], "relation": []}  # an extract has them in this order
        self.count = 0

    def _element(self, kind: str, place: str, inside: str, tags: dict[str, str], when: str) -> int:
        self.count += 1
        inside += "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        line = f'<{kind} id="{self.count}" version="1" timestamp="{when}"{place}>{inside}</{kind}>'
        self.lines[kind].append(line)
        return self.count

    def node(self, x: float, y: float, when: str = NEW, **tags: str) -> int:
        lon, lat = LONLAT.transform(CORNER[0] + x, CORNER[1] + y)
        return self._element("node", f' lat="{lat:.7f}" lon="{lon:.7f}"', "", tags, when)

    def line(self, points: Sequence[tuple[float, float]], closed: bool = True, when: str = NEW, **tags: str) -> int:
        ids = [self.node(*point) for point in points]
        refs = "".join(f'<nd ref="{i}"/>' for i in (ids + ids[:1] if closed else ids))
        return self._element("way", "", refs, tags, when)

    def square(self, x: float, y: float, wide: float, high: float, when: str = NEW, **tags: str) -> int:
        return self.line([(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)], when=when, **tags)

    def multipolygon(self, outer: int, inner: int | None = None, when: str = NEW, **tags: str) -> int:
        refs = f'<member type="way" ref="{outer}" role="outer"/>'
        refs += f'<member type="way" ref="{inner}" role="inner"/>' if inner else ""
        return self._element("relation", "", refs, {"type": "multipolygon", **tags}, when)

    def write(self, path: Path, head: str = "") -> Path:
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6">{head}\n'
        lines = [line for kind in self.lines.values() for line in kind]
        path.write_text(text + "\n".join([*lines, "</osm>\n"]), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def areas() -> gpd.GeoDataFrame:
    x, y = CORNER
    shapes = [box(x + i, y + j, x + i + 1000, y + j + 1000) for j in (0, 1000) for i in (0, 1000)]
    frame = {"buurtcode": CODES, "gemeentecode": "GM0344", "inwoners": [1000, 500, 0, 2000]}
    return gpd.GeoDataFrame(frame, geometry=shapes, crs=28992)


@pytest.fixture(scope="module")
def drawn() -> Drawing:
    d = Drawing()
    d.node(500, 100, amenity="cafe")  # A, 400 m south of its centre
    d.square(200, 200, 20, 20, leisure="playground")  # A: a closed way is an object once
    d.square(800, 800, 8, 4, leisure="swimming_pool", access="private")  # A: somebody's own
    d.line([(100, 100), (300, 100)], closed=False, highway="pedestrian")  # A: a line is no place
    d.node(600, 600, when=OLD, amenity="bench")  # A
    d.square(1300, 300, 400, 250, leisure="park")  # B: 0.1 square kilometre of green
    d.square(1300, 300, 100, 100, landuse="grass")  # B: within the park, so no more green
    d.square(1100, 800, 20, 10, leisure="swimming_pool")  # B
    outer = d.square(300, 1300, 200, 200, amenity="library")  # C: the way and its multipolygon are one library
    d.multipolygon(outer, d.square(350, 1350, 50, 50), amenity="library")
    forest = d.square(600, 1600, 200, 200)  # C: 0.04 - 0.01 of green
    d.multipolygon(forest, d.square(650, 1650, 100, 100), landuse="forest")
    d.node(2300, 1500, amenity="cafe")  # outside all areas, 800 m east of the centre of D
    return d


@pytest.fixture(scope="module")
def file(drawn: Drawing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.write(tmp_path_factory.mktemp("osm") / "dorp.osm")


@pytest.fixture(scope="module")
def loaded(file: Path, areas: gpd.GeoDataFrame) -> Loaded:
    return voorzieningen(file, areas)


def column(loaded: Loaded, name: str) -> list[float]:
    return loaded.frame[name].tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("osm_derde_plekken_aantal", [1, 0, 0, 0]),  # the café beyond the border is nobody's
        ("osm_derde_plekken_per_1000", [1, 0, np.nan, 0]),  # C has no residents
        ("osm_derde_plekken_per_km2", [1, 0, 0, 0]),
        ("osm_buiten_aantal", [2, 1, 0, 0]),  # playground and bench; the park; no pedestrian line
        ("osm_sport_aantal", [0, 1, 0, 0]),  # not the private pool
        ("osm_sport_per_1000", [0, 2, np.nan, 0]),
        ("osm_ontmoeting_aantal", [0, 0, 1, 0]),
        ("osm_culturele_plekken_aantal", [0, 0, 1, 0]),
        ("osm_voorzieningen_aantal", [2, 1, 1, 0]),  # café and playground; pool; library
        ("osm_school_aantal", [0, 0, 0, 0]),
        ("osm_mapped_share", [200 / 3, 100, 100, np.nan]),  # the bench of 2015 is the old one; D has none
    ],
)
def test_objects_count_once(loaded: Loaded, name: str, expected: list[float]) -> None:
    assert column(loaded, name) == pytest.approx(expected, nan_ok=True)


def test_green_is_a_share_of_which_each_spot_counts_once(loaded: Loaded) -> None:
    # the grid of RD and degrees of seven digits put a corner a centimetre off
    assert column(loaded, "osm_pct_groen") == pytest.approx([0, 10, 3, 0], abs=1e-2)


def test_distances_go_over_borders(loaded: Loaded) -> None:
    far = column(loaded, "osm_afstand_derde_plekken_km")
    assert far == pytest.approx([0.4, np.hypot(1, 0.4), 1.4, 0.8], abs=1e-4)
    assert np.isnan(column(loaded, "osm_afstand_school_km")).all()


def test_what_is_missing_says_why(loaded: Loaded) -> None:
    reasons = loaded.reasons.set_index(["code", "column"])["reason"]
    assert reasons[C, "osm_sport_per_1000"] == NOBODY
    assert reasons[D, "osm_mapped_share"] == UNDATED
    assert reasons[A, "osm_afstand_school_km"] == NOWHERE
    assert len(reasons) == int(loaded.frame.isna().sum().sum())


def test_columns_are_described(loaded: Loaded) -> None:
    assert loaded.columns["column"].tolist() == loaded.frame.columns[1:].tolist()
    assert loaded.columns["filled"].tolist() == pytest.approx(loaded.frame.notna().mean().tolist()[1:])
    assert loaded.frame.columns[0] == "buurtcode"
    assert (loaded.columns[["title", "unit", "about"]] != "").all(axis=None)


def test_the_codebook_knows_every_column_and_no_other(loaded: Loaded) -> None:
    book = Codebook.load("osm")
    assert sorted(name for figure in book.indicators for name in figure.columns) == sorted(loaded.frame.columns[1:])
    units = {name: figure.unit for figure in book.indicators for name in figure.columns}
    assert units == loaded.columns.set_index("column")["unit"].to_dict()


def test_the_licence_goes_with_it(loaded: Loaded, file: Path) -> None:
    (one,) = loaded.retrieved
    assert one.attribution == "© OpenStreetMap contributors"
    assert one.licence == "ODbL 1.0"
    assert one.edition == one.retrieved == NEW  # the last edit: the file does not say
    assert (one.table, one.bytes) == ("dorp.osm", file.stat().st_size)
    words = " ".join(loaded.notes)
    assert "ODbL" in words
    assert "1 buurten have no object" in words
    assert "from the centroid" in words
    assert "does not say when" in words
    assert "does not say what it covers" in words
    assert all(note.nl and note.nl != note for note in loaded.notes)


def test_a_pbf_gives_the_same_and_says_when_it_was_made(
    file: Path, areas: gpd.GeoDataFrame, loaded: Loaded, tmp_path: Path
) -> None:
    header = osmium.io.Header()
    header.set("osmosis_replication_timestamp", "2026-06-01T00:00:00Z")
    with osmium.SimpleWriter(str(tmp_path / "dorp.osm.pbf"), header=header) as writer:
        for thing in osmium.FileProcessor(str(file)):
            writer.add(thing)
    later = voorzieningen(tmp_path / "dorp.osm.pbf", areas)
    assert later.retrieved[0].edition == "2026-06-01T00:00:00Z"
    assert not any("does not say when" in note for note in later.notes)
    assert column(later, "osm_mapped_share") == pytest.approx([200 / 3, 100, 100, np.nan], nan_ok=True)
    pd.testing.assert_frame_equal(later.frame, loaded.frame)


def test_edits_of_three_years_before_the_extract_are_recent(
    file: Path, areas: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    header = osmium.io.Header()
    header.set("osmosis_replication_timestamp", "2027-01-02T00:00:00Z")  # three years and two days after the edits
    with osmium.SimpleWriter(str(tmp_path / "later.osm.pbf"), header=header) as writer:
        for thing in osmium.FileProcessor(str(file)):
            writer.add(thing)
    assert column(voorzieningen(tmp_path / "later.osm.pbf", areas), "osm_mapped_share")[:3] == [0, 0, 0]


def test_batches_and_places_on_disk_give_the_same(
    file: Path, areas: gpd.GeoDataFrame, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osm_objects, "BATCH", 1)
    monkeypatch.setattr(osm_objects, "LARGE", 0)
    pd.testing.assert_frame_equal(voorzieningen(file, areas).frame, loaded.frame)


def test_other_borders_and_order_do_not_matter(file: Path, areas: gpd.GeoDataFrame, loaded: Loaded) -> None:
    turned = voorzieningen(file, areas.iloc[::-1].to_crs(4326))
    pd.testing.assert_frame_equal(turned.frame, loaded.frame, atol=1e-5)  # to degrees and back: millimetres


def test_an_object_on_a_border_is_of_one_buurt(areas: gpd.GeoDataFrame) -> None:
    where = np.array([[CORNER[0] + 1000.0, CORNER[1] + 500.0], [CORNER[0] - 1.0, CORNER[1]]])
    assert _inside(where, areas.geometry.to_numpy()).tolist() == [0, -1]


def test_a_buurt_beyond_the_box_that_the_file_states_has_no_zero(
    drawn: Drawing, areas: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    (west, east), (south, north) = LONLAT.transform(*zip(CORNER, (CORNER[0] + 990, CORNER[1] + 2000), strict=True))
    head = f'<bounds minlat="{south}" minlon="{west}" maxlat="{north}" maxlon="{east}"/>'
    result = voorzieningen(drawn.write(tmp_path / "west.osm", head), areas)
    assert not any("does not say what it covers" in note for note in result.notes)
    # B lies beyond it too, but holds objects: an extract has whole objects, that reach over its border
    assert result.frame["osm_school_aantal"].isna().tolist() == [False, False, False, True]


def test_distances_are_from_addresses_where_they_are_given(file: Path, areas: gpd.GeoDataFrame) -> None:
    x, y = CORNER
    points = [Point(x + 500, y + 100), Point(x + 500, y + 500)]  # three addresses beside the café, one at the centre
    addresses = gpd.GeoDataFrame({"buurtcode": A, "adressen": [3, 1]}, geometry=points, crs=28992)
    result = voorzieningen(file, areas, addresses=addresses)
    assert column(result, "osm_afstand_derde_plekken_km")[::3] == pytest.approx([0.1, 0.8], abs=1e-4)
    assert any("in 3 buurten without addresses" in note for note in result.notes)


def test_a_centroid_outside_its_buurt_is_moved_inside(tmp_path: Path) -> None:
    x, y = CORNER
    horseshoe = box(x, y, x + 1000, y + 1000).difference(box(x + 100, y + 100, x + 900, y + 1000))
    d = Drawing()
    d.node(500, 50, amenity="cafe")
    one = gpd.GeoDataFrame({"buurtcode": [A]}, geometry=[horseshoe], crs=28992)
    result = voorzieningen(d.write(tmp_path / "een.osm"), one)
    assert "osm_derde_plekken_per_1000" not in result.frame
    assert any("have no residents" in note for note in result.notes)
    inside = horseshoe.representative_point()
    expected = np.hypot(inside.x - x - 500, inside.y - y - 50) / 1000
    assert column(result, "osm_afstand_derde_plekken_km") == pytest.approx([expected], abs=1e-4)


def test_where_the_extract_does_not_reach_there_is_no_zero(file: Path, areas: gpd.GeoDataFrame) -> None:
    x, y = CORNER
    elsewhere = gpd.GeoDataFrame(
        {"buurtcode": ["BU05990101"], "gemeentecode": "GM0599", "inwoners": [10]},
        geometry=[box(x - 50_000, y, x - 49_000, y + 1000)],
        crs=28992,
    )
    result = voorzieningen(file, pd.concat([areas, elsewhere], ignore_index=True))
    assert result.frame.iloc[-1, 1:].isna().all()
    assert set(result.reasons.loc[result.reasons["code"] == "BU05990101", "reason"]) == {BEYOND}
    assert result.frame["osm_school_aantal"].tolist()[:4] == [0, 0, 0, 0]
    assert any("1 buurten lie beyond the extract" in note for note in result.notes)


def test_polygons_that_are_not_whole_are_told(areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    d = Drawing()
    d.node(500, 500, amenity="cafe")
    d.multipolygon(999, landuse="forest")  # its way is not in the file
    d.lines["way"].append(
        f'<way id="50" version="1" timestamp="{NEW}"><nd ref="1"/><nd ref="98"/><nd ref="99"/><nd ref="1"/>'
        '<tag k="leisure" v="park"/></way>'
    )
    result = voorzieningen(d.write(tmp_path / "half.osm"), areas)
    assert any(note.startswith("2 areas of the extract are not whole") for note in result.notes)
    assert column(result, "osm_buiten_aantal") == [0, 0, 0, 0]


def test_what_is_written_is_read_with_its_reasons(loaded: Loaded, areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    table = write(loaded, tmp_path, "voorzieningen_2024")
    areas.assign(buurtnaam="x").to_parquet(tmp_path / "buurten_2024.parquet")
    read = Areas.read(tmp_path / "buurten_2024.parquet", 2024, tables=[(table, "buurtcode")])
    assert read.frame["osm_sport_aantal"].tolist() == [0, 1, 0, 0]
    catalogue = covariate_catalogue(read, [table])
    rows = catalogue.table.set_index("column")
    assert rows.loc["osm_mapped_share", "reasons"] == {UNDATED: 1}  # that of D; nobody lives in C
    assert rows.loc["osm_pct_groen", ["source", "theme"]].tolist() == ["osm", "groen"]
    (origin,) = catalogue.origins
    assert origin.startswith("voorzieningen_2024.parquet: bijdragers aan OpenStreetMap, dorp.osm, edition 2024-01-01")


# --- files and areas that are not right


def cut_short(file: Path, folder: Path, name: str) -> Path:
    content = file.read_bytes()
    content = gzip.compress(content) if name.endswith(".gz") else content
    (folder / name).write_bytes(content[: 2 * len(content) // 3])
    return folder / name


@pytest.mark.parametrize("name", ["kort.osm", "kort.osm.gz"])
def test_a_file_cut_short_is_refused(file: Path, areas: gpd.GeoDataFrame, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read as OpenStreetMap") as raised:
        voorzieningen(cut_short(file, tmp_path, name), areas)
    assert "download it again" in raised.value.hint


def test_a_pbf_cut_short_is_refused(file: Path, areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    with osmium.SimpleWriter(str(tmp_path / "heel.osm.pbf")) as writer:
        for thing in osmium.FileProcessor(str(file)):
            writer.add(thing)
    with pytest.raises(DataError, match=r"kort\.osm\.pbf cannot be read as OpenStreetMap"):
        voorzieningen(cut_short(tmp_path / "heel.osm.pbf", tmp_path, "kort.osm.pbf"), areas)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.osm", "<html><body>404</body></html>"),
        ("table.csv", "a,b\n1,2\n"),
        ("x.osm.pbf", "no pbf " * 9),
        ("e.osm", ""),
    ],
)
def test_what_is_no_openstreetmap_is_refused(areas: gpd.GeoDataFrame, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as OpenStreetMap"):
        voorzieningen(tmp_path / name, areas)


def test_a_file_that_is_not_there_is_refused(areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nee\.osm\.pbf cannot be read"):
        voorzieningen(tmp_path / "nee.osm.pbf", areas)


def test_the_extract_of_another_region_is_refused(areas: gpd.GeoDataFrame, file: Path, tmp_path: Path) -> None:
    moved = areas.assign(geometry=areas.geometry.translate(50_000, 0))
    with pytest.raises(DataError, match=r"no object of dorp\.osm lies inside the areas") as raised:
        voorzieningen(file, moved)
    assert raised.value.expected == "objects within x 170 to 172 km, y 450 to 452 km (RD)"
    assert raised.value.got.endswith("objects within x 120 to 122 km, y 450 to 452 km")
    with pytest.raises(DataError, match="lies inside") as raised:
        voorzieningen(Drawing().write(tmp_path / "leeg.osm"), areas)
    assert raised.value.got == "no objects"


def test_areas_need_codes_and_a_coordinate_system(areas: gpd.GeoDataFrame, file: Path) -> None:
    with pytest.raises(DataError, match="no coordinate system"):
        voorzieningen(file, areas.set_crs(None, allow_override=True))
    with pytest.raises(DataError, match="no codes"):
        voorzieningen(file, areas.drop(columns="buurtcode"))
    with pytest.raises(DataError, match="no geometry"):
        voorzieningen(file, areas.assign(geometry=[None, *areas.geometry[1:]]))
    with pytest.raises(ProblemsError, match="occur more than once") as raised:
        voorzieningen(file, areas.assign(buurtcode=A).set_crs(None, allow_override=True))
    assert raised.value.count == 2


def test_without_osmium_it_says_how_to_install_it(
    file: Path, areas: gpd.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "osmium", None)
    with pytest.raises(BuurtsaeError, match="not installed") as raised:
        voorzieningen(file, areas)
    assert raised.value.hint == 'pip install "buurtsae[osm]"'


# --- themes


@pytest.mark.parametrize(
    ("theme", "key", "values"),
    [
        ("ontmoeting", "amenity", "community_centre social_centre library place_of_worship arts_centre townhall"),
        ("derde_plekken", "amenity", "cafe pub bar restaurant fast_food ice_cream marketplace"),
        ("derde_plekken", "shop", "bakery hairdresser convenience supermarket"),
        ("buiten", "leisure", "park garden playground pitch dog_park picnic_table outdoor_seating"),
        ("buiten", "amenity", "bench bbq drinking_water public_bookcase"),
        ("buiten", "highway", "pedestrian"),
        ("buiten", "place", "square"),
        ("sport", "leisure", "sports_centre sports_hall swimming_pool"),
        ("sport", "club", "scout"),
        ("erfgoed", "historic", "castle"),
        ("erfgoed", "heritage", "2"),
        ("erfgoed", "heritage:operator", "rce"),
        ("erfgoed", "ref:rce", "12345"),
        ("school", "amenity", "school kindergarten childcare"),
        ("groen", "landuse", "forest grass allotments recreation_ground"),
    ],
)
def test_the_tag_sets_are_those_of_the_document(theme: str, key: str, values: str) -> None:
    """Section 6 of open-data.md, tag by tag; private gardens and pools are no places to go."""
    sets = TagSets.load()
    for value in values.split():
        assert theme in sets.named(sets.themes_of({key: value})), value
        private = sets.named(sets.themes_of({key: value, "access": "private"}))
        assert (theme in private) == (value not in ("garden", "swimming_pool")), value


# --- themes of one's own


OWN = """version = "1"
[[theme]]
id = "zitten"
nl = "Zitten"
en = "Sitting"
about = "banken"
tags = ["amenity=bench unless access=private|no", "leisure=*"]
"""


def own(tmp_path: Path, text: str) -> Path:
    (tmp_path / "eigen.toml").write_text(text, encoding="utf-8")
    return tmp_path / "eigen.toml"


def test_themes_of_ones_own(file: Path, areas: gpd.GeoDataFrame, tmp_path: Path) -> None:
    result = voorzieningen(file, areas, own(tmp_path, OWN))
    assert column(result, "osm_zitten_aantal") == [3, 2, 0, 0]  # playground, private pool, bench; park, pool
    assert "themes of 1" in result.retrieved[0].title
    assert not [name for name in result.frame if "groen" in name]


def test_exceptions_and_any_value(tmp_path: Path) -> None:
    sets = TagSets.load(own(tmp_path, OWN))
    bench = {"amenity": "bench"}
    assert [sets.themes_of(bench | more) for more in ({}, {"access": "no"}, {"access": "yes"})] == [1, 0, 1]
    assert sets.themes_of({"leisure": "anything"}) == 1
    assert sets.themes_of({"amenity": "bench", "access": "no", "leisure": "x"}) == 1


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("amenity=bench unless access=private|no", "amenity", "theme.0.tags.0 is not right"),
        ('id = "zitten"', 'id = "Zit ten"', "theme.0.id is not right"),
        ('nl = "Zitten"\n', "", "theme.0.nl is not right"),
        ('about = "banken"', 'about = "banken"\nkleur = 1', "theme.0.kleur is not right"),
    ],
)
def test_wrong_themes_are_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in OWN
    with pytest.raises(DataError, match=what):
        TagSets.load(own(tmp_path, OWN.replace(old, new)))


def test_themes_that_occur_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="themes occur twice"):
        TagSets.load(own(tmp_path, OWN + OWN.split("\n", 1)[1]))
