"""Areas: the four file forms, what real files have wrong, and the aggregation by residents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import affinity
from shapely.geometry import GeometryCollection, MultiPolygon, Polygon

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, ProblemsError

Grid = Callable[..., gpd.GeoDataFrame]
Written = Callable[..., Path]


def problems_of(path: Path, **keys: object) -> dict[str, str]:
    """What was wrong, and what was got, of a file that must not be read."""
    with pytest.raises((DataError, ProblemsError)) as raised:
        Areas.read(path, 2024, **keys)  # type: ignore[arg-type]
    found = getattr(raised.value, "problems", (raised.value,))
    return {p.what: p.got for p in found}


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.geoparquet", "a.geojson", "a.shp"])
def test_the_four_forms_give_the_same_areas(grid: Grid, written: Written, name: str) -> None:
    frame = grid().sample(frac=1.0, random_state=1)  # rows in any order
    areas = Areas.read(written(frame, name), 2024)
    expected = grid().set_index("buurtcode")
    assert areas.codes.tolist() == sorted(expected.index)
    assert areas.frame["name"].to_dict() == expected["buurtnaam"].to_dict()
    assert areas.frame["population"].to_dict() == expected["inwoners"].to_dict()
    assert areas.frame["wijk"].unique().tolist() == ["WK034400", "WK034401", "WK034402"]
    assert areas.frame["gemeente"].unique().tolist() == ["GM0344"]
    assert areas.frame.crs == "EPSG:28992"
    assert areas.frame.area.to_numpy() == pytest.approx(1e6)
    assert len(areas.graph().edges) == 20  # 3 x 3 squares: 12 lines and 8 corners
    assert areas.year == 2024
    assert areas.notes == ()


def test_another_coordinate_system_is_reprojected_and_noted(grid: Grid, written: Written) -> None:
    path = written(grid().to_crs("EPSG:4326"), "wgs84.geojson")
    areas = Areas.read(path, 2024)
    assert areas.notes == ("geometry reprojected from WGS 84 to RD New (EPSG:28992)",)
    assert areas.frame.crs == "EPSG:28992"
    # to the metre: GeoJSON keeps 7 decimals of a degree, a centimetre
    assert areas.frame.area.to_numpy() == pytest.approx(1e6, rel=1e-3)


def test_letters_in_codes_and_padding(grid: Grid, written: Written) -> None:
    frame = grid(1, 2).assign(buurtcode=["BU0363AD03  ", " BU0363AD04"])
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.codes.tolist() == ["BU0363AD03", "BU0363AD04"]
    assert areas.frame["wijk"].tolist() == ["WK0363AD"] * 2
    assert areas.frame["gemeente"].tolist() == ["GM0363"] * 2


@pytest.mark.parametrize("code", ["BU034401", "bu03440101", "BU03A40101", "03440101", "GM0344", "", None])
def test_malformed_codes_are_refused(grid: Grid, written: Written, code: str | None) -> None:
    frame = grid(1, 2).assign(buurtcode=["BU03440000", code])
    got = problems_of(written(frame, "a.gpkg"))
    assert got == {"area codes are malformed": "<NA>" if code is None else code}


def test_malformed_looks_at_the_level() -> None:
    series = pd.Series(["WK0363AD", "GM0363", "WK0363A"])
    assert CBS.malformed(series, "wijk") == ["GM0363", "WK0363A"]
    assert CBS.malformed(series, "gemeente") == ["WK0363AD", "WK0363A"]


def test_hidden_values_become_missing_and_are_counted(grid: Grid, written: Written) -> None:
    frame = grid(1, 4).assign(
        inwoners=[100, -99997, 200, 0],
        pct_koop=[50.0, -99997.0, -99999999.0, np.nan],
        stedelijkheid=["1", ".", "3", "4"],
        soort=["stad", "stad", "dorp", "dorp"],
    )
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.population.tolist() == [100, 0, 200, 0]
    assert areas.inhabited.tolist() == [True, False, True, False]
    assert areas.covariates == ["pct_koop", "stedelijkheid"]
    assert areas.frame["soort"].tolist() == ["stad", "stad", "dorp", "dorp"]
    audit = areas.audit()
    assert audit["without_residents"] == ["BU03440001", "BU03440003"]
    assert audit["missing_covariates"] == {"pct_koop": 1}  # of the inhabited ones
    assert audit["notes"] == [
        "buurten with an empty or hidden number of residents count as without residents: 1",
        "2 secret or missing codes in pct_koop read as missing",
        "1 secret or missing codes in stedelijkheid read as missing",
    ]


def test_tables_are_joined_by_code_and_gaps_are_noted(grid: Grid, written: Written) -> None:
    path = written(grid(2, 2).drop(columns="inwoners"), "a.gpkg")
    rows = ["BU03440101", "BU03440000", "BU03440001", "BU99990000"]
    buurt = written(pd.DataFrame({"buurtcode": rows, "inwoners": [4, 1, 2, 9]}), "buurt.csv")
    gemeente = written(
        pd.DataFrame({"gemeentecode": ["GM0344  "], "gemeentenaam": ["Utrecht"], "ggdregio": ["GG2"]}), "g.csv"
    )
    areas = Areas.read(path, 2024, tables=[(buurt, "buurtcode"), (gemeente, "gemeentecode")])
    assert areas.frame["population"].to_dict() == {"BU03440000": 1, "BU03440001": 2, "BU03440100": 0, "BU03440101": 4}
    assert areas.levels == ("buurt", "wijk", "gemeente", "ggdregio", "land")
    assert areas.parents("ggdregio").unique().tolist() == ["GG2"]
    assert areas.label("gemeente", "GM0344") == "Utrecht"
    assert areas.label("wijk", "WK034400") == "WK034400"
    assert areas.notes[:2] == (
        "1 buurtcode without a row in buurt.csv: BU03440100",
        "1 rows of buurt.csv have no geometry or lie outside the areas: left out",
    )


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ({"buurtcode": ["BU03440000"] * 2, "n": [1, 2]}, "buurtcode", "t.csv has codes twice"),
        ({"buurtcode": ["BU99990000"], "n": [1]}, "buurtcode", "t.csv has none of the areas"),
        ({"code": ["BU03440000"], "n": [1]}, "buurtcode", "t.csv cannot be joined"),
        ({"gemeentecode": ["GM9999"], "ggdregio": ["GG1"]}, "gemeentecode", "t.csv has none of the areas"),
    ],
)
def test_tables_that_do_not_join(
    grid: Grid, written: Written, table: dict[str, list[object]], key: str, what: str
) -> None:
    path, other = written(grid(), "a.gpkg"), written(pd.DataFrame(table), "t.csv")
    assert list(problems_of(path, tables=[(other, key)])) == [what]


def test_a_region_must_cover_all(grid: Grid, written: Written) -> None:
    frame = pd.concat([grid(1, 2), grid(1, 2, gemeente="0363")], ignore_index=True)
    regions = written(pd.DataFrame({"gemeentecode": ["GM0344"], "ggdregio": ["GG2"]}), "g.csv")
    got = problems_of(written(frame, "a.gpkg"), tables=[(regions, "gemeentecode")])
    assert got == {"areas have no GGD-regio": "BU03630000, BU03630001"}


def test_where_selects(grid: Grid, written: Written) -> None:
    path = written(grid().assign(provincie=["PV26"] * 4 + ["PV27"] * 5), "a.gpkg")
    assert len(Areas.read(path, 2024, where={"provincie": "PV26"}).codes) == 4
    assert list(problems_of(path, where={"provincie": "PV20"})) == ["no areas are left"]
    assert list(problems_of(path, where={"landsdeel": "West"})) == ["the areas have no column to select on"]


def test_polygons_that_cross_themselves_are_repaired_and_noted(grid: Grid, written: Written) -> None:
    frame = grid(1, 2)
    x, y = frame.geometry[0].bounds[:2]
    frame.loc[0, "geometry"] = Polygon([(x, y), (x + 1000, y + 1000), (x + 1000, y), (x, y + 1000)])
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.notes == ("1 invalid polygons repaired",)
    assert areas.frame.is_valid.all()


def test_names_of_columns_can_be_told(grid: Grid, written: Written) -> None:
    frame = grid().rename(columns={"buurtcode": "BU_CODE", "buurtnaam": "BU_NAAM", "inwoners": "AANT_INW"})
    areas = Areas.read(written(frame, "a.gpkg"), 2024, code="BU_CODE", name="BU_NAAM", population="AANT_INW")
    assert areas.frame["name"]["BU03440000"] == "Buurt 0-0"
    assert areas.population.sum() == grid()["inwoners"].sum()
    assert areas.covariates == []
    assert list(problems_of(written(frame, "b.gpkg"))) == ["b.gpkg has no column of area codes"]


def test_without_names_the_code_is_the_name(grid: Grid, written: Written) -> None:
    areas = Areas.read(written(grid(1, 2).drop(columns="buurtnaam"), "a.gpkg"), 2024)
    assert areas.frame["name"].tolist() == ["BU03440000", "BU03440001"]


@pytest.mark.parametrize(
    ("change", "what", "got"),
    [
        ({"buurtcode": ["BU03440000"] * 2}, "areas occur more than once", "BU03440000"),
        ({"geometry": [None, Polygon([(0, 0), (1, 0), (0, 1)])]}, "areas have an empty geometry", "BU03440000"),
        (
            {"geometry": [MultiPolygon(), Polygon([(0, 0), (1, 0), (0, 1)])]},
            "areas have an empty geometry",
            "BU03440000",
        ),
        ({"inwoners": ["veel", "1"]}, "the number of residents is no number", None),
        ({"inwoners": [-5, 10]}, "the number of residents is negative", "-5"),
    ],
)
def test_rows_that_are_refused(
    grid: Grid, written: Written, change: dict[str, list[object]], what: str, got: str | None
) -> None:
    found = problems_of(written(grid(1, 2).assign(**change), "a.parquet"))
    assert list(found) == [what]
    if got is not None:
        assert found[what] == got


def test_no_coordinate_system_is_refused(grid: Grid, written: Written) -> None:
    path = written(grid().set_crs(None, allow_override=True), "a.parquet")
    assert problems_of(path) == {"the areas have no coordinate system": "none"}


def test_files_that_are_no_areas(tmp_path: Path, written: Written) -> None:
    assert list(problems_of(tmp_path / "absent.gpkg")) == ["absent.gpkg cannot be read"]
    (tmp_path / "broken.gpkg").write_bytes(b"no geopackage")
    assert list(problems_of(tmp_path / "broken.gpkg")) == ["broken.gpkg cannot be read as areas"]
    plain = written(pd.DataFrame({"buurtcode": ["BU03440000"]}), "plain.parquet")
    assert list(problems_of(plain)) == ["plain.parquet cannot be read as areas"]
    table = written(pd.DataFrame({"buurtcode": ["BU03440000"]}), "table.csv")
    assert list(problems_of(table)) == ["table.csv has no geometry"]


def test_all_problems_at_once(grid: Grid, written: Written) -> None:
    frame = grid(2, 3).drop(columns="inwoners").set_crs(None, allow_override=True)
    frame["buurtcode"] = ["BU03440000", "BU03440000", "BU0344", None, "BU03440101", "BU03440102"]
    frame.loc[4, "geometry"] = None
    absent = written(pd.DataFrame({"wijkcode": ["WK999900"]}), "t.csv")
    found = problems_of(written(frame, "a.parquet"), tables=[(absent, "wijkcode")], where={"soort": "land"})
    assert list(found) == [
        "t.csv has none of the areas",
        "the areas have no column to select on",
        "area codes are malformed",
        "areas occur more than once",
        "the number of residents is absent",
        "areas have an empty geometry",
        "the areas have no coordinate system",
    ]
    assert found["area codes are malformed"] == "BU0344, <NA>"


def test_aggregation_is_the_mean_by_residents(grid: Grid, written: Written) -> None:
    frame = pd.concat([grid(2, 2), grid(1, 2, gemeente="0363")], ignore_index=True)
    # wijk 034400: 30 and 10; wijk 034401: 0 and 60; gemeente 0363: nobody
    frame["inwoners"] = [30, 10, 0, 60, 0, 0]
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.codes.tolist()[:2] == ["BU03440000", "BU03440001"]  # gemeente 0344 sorts before 0363
    codes_wijk, wijk = areas.aggregation("wijk")
    assert codes_wijk == ["WK034400", "WK034401"]
    np.testing.assert_allclose(wijk.toarray(), [[0.75, 0.25, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    codes_gemeente, gemeente = areas.aggregation("gemeente")
    assert codes_gemeente == ["GM0344"]
    np.testing.assert_allclose(gemeente.toarray(), [[0.3, 0.1, 0, 0.6, 0, 0]])
    codes_land, land = areas.aggregation("land")
    assert codes_land == ["NL00"]
    np.testing.assert_allclose(land.toarray(), gemeente.toarray())
    codes_buurt, buurt = areas.aggregation("buurt")
    assert codes_buurt == ["BU03440000", "BU03440001", "BU03440101"]
    np.testing.assert_allclose(buurt @ np.arange(6), [0, 1, 3])


def test_an_absent_level_is_refused(grid: Grid, written: Written) -> None:
    areas = Areas.read(written(grid(), "a.gpkg"), 2024)
    with pytest.raises(DataError, match="got 'ggdregio'; expected buurt, wijk, gemeente, land"):
        areas.parents("ggdregio")
    assert "9 buurten (0 without residents) in 3 wijken and 1 gemeenten" in repr(areas)


def test_codes_of_a_level_and_the_parents_of_a_wijk(grid: Grid, written: Written) -> None:
    frame = grid()
    frame.loc[frame["buurtcode"].str.startswith("BU034401"), "inwoners"] = 0  # nobody lives in the second wijk
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.at("wijk").tolist() == ["WK034400", "WK034401", "WK034402"]
    assert areas.inhabited_at("wijk").tolist() == ["WK034400", "WK034402"]
    assert areas.inhabited_at("buurt").tolist() == areas.codes[areas.inhabited].tolist()
    assert areas.parents("gemeente", "wijk").to_dict() == dict.fromkeys(areas.at("wijk"), "GM0344")
    assert areas.parents("wijk", "wijk").to_dict() == {w: w for w in areas.at("wijk")}
    assert [CBS.below("buurt", of) for of in ("buurt", "wijk", "land")] == [False, True, True]
    assert not CBS.below("gemeente", "wijk")


def test_groupings_are_levels_of_their_own(grid: Grid, written: Written) -> None:
    frame = grid(1, 4).assign(stadsdeel=["West", " West ", "Oost", None], actief=["ja", None, "ja", None], inwoners=100)
    frame["inwoners"] = [100, 300, 50, 70]
    areas = Areas.read(written(frame, "a.gpkg"), 2024, groupings=["stadsdeel", "actief"])  # these two overlap
    assert areas.levels == ("buurt", "wijk", "gemeente", "stadsdeel", "actief", "land")
    assert list(areas.at("stadsdeel")) == ["Oost", "West"]
    assert areas.parents("stadsdeel").isna().tolist() == [False, False, False, True]
    labels, matrix = areas.aggregation("stadsdeel")
    assert labels == ["Oost", "West"]
    np.testing.assert_allclose(matrix.toarray(), [[0, 0, 1, 0], [0.25, 0.75, 0, 0]])
    labels, matrix = areas.aggregation("actief")
    np.testing.assert_allclose(matrix.toarray(), [[2 / 3, 0, 1 / 3, 0]])
    assert "buurten in no group of stadsdeel: 1" in areas.notes


def test_provinces_are_a_level(grid: Grid, written: Written) -> None:
    frame = grid(1, 3).assign(provinciecode=["PV97", "PV97", "PV98"], provincienaam=["Utrecht", "Utrecht", "Zeeland"])
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert areas.levels == ("buurt", "wijk", "gemeente", "provincie", "land")
    assert [areas.label("provincie", c) for c in areas.at("provincie")] == ["Utrecht", "Zeeland"]


def halves(grid: Grid) -> gpd.GeoDataFrame:
    """Two gemeenten in a province of their own, and one in another; one buurt has no residents."""
    parts = [grid(2, 2, gemeente=code) for code in ("0001", "0002", "0003")]
    frame = pd.concat([p.set_geometry(p.translate(xoff=3000 * k)) for k, p in enumerate(parts)], ignore_index=True)
    frame["provinciecode"] = ["PV97"] * 8 + ["PV98"] * 4
    frame["gemeentecode"] = "GM" + frame["buurtcode"].str[2:6]
    frame["ring"] = ["in", "uit"] * 6
    frame.loc[frame["buurtcode"] == "BU00020101", "inwoners"] = 0
    return frame


@pytest.mark.parametrize(
    ("where", "levels", "partial"),
    [
        ({}, ("provincie", "ring"), {}),
        ({"provinciecode": "PV97"}, ("provincie",), {}),
        ({"gemeentecode": "GM0001"}, (), {}),
        (
            {"ring": "in"},
            ("ring",),
            {"wijk": 5, "gemeente": 3},
        ),  # of one wijk only a buurt without residents is left out
    ],
)
def test_what_the_run_holds_a_part_of_is_no_level(
    grid: Grid, written: Written, where: dict[str, str], levels: tuple[str, ...], partial: dict[str, int]
) -> None:
    areas = Areas.read(written(halves(grid), "a.gpkg"), 2024, where=where, groupings=["ring"])
    assert areas.levels == ("buurt", "wijk", "gemeente", *levels, "land")
    assert {level: len(codes) for level, codes in areas.partial.items()} == partial
    noted = {n.split()[1] for n in areas.notes if "of which the run holds a part" in n}
    assert noted == {"provincie", "ring", *partial} - set(levels) if where else noted == set()


def test_a_file_that_was_cut_before_shows_in_the_number_of_gemeenten(grid: Grid, written: Written) -> None:
    frame = grid(1, 3, gemeente="0599").assign(provinciecode="PV28", gemeentenaam="Rotterdam")
    areas = Areas.read(written(frame, "a.gpkg"), 2024)
    assert "provincie" not in areas.levels  # Zuid-Holland has 50 gemeenten
    assert areas.notes == ("1 provincie of which the run holds a part, without a figure as a whole: PV28",)
    assert (areas.region, areas.national) == ("Rotterdam", False)
    known = Areas.read(written(frame, "b.gpkg"), 2012)  # a year without counts
    assert "provincie" in known.levels


def test_only_the_country_is_called_nederland(grid: Grid, written: Written) -> None:
    path = written(grid(), "a.gpkg")
    assert problems_of(path, region="Nederland") == {
        "the run does not hold the whole country": "1 gemeenten, 0 areas in part"
    }
    two = written(pd.concat([grid(), grid(gemeente="0363")], ignore_index=True), "b.gpkg")
    assert Areas.read(two, 2024).region == "het hele gebied van de run"
    assert Areas.read(two, 2024, region="Streek").region == "Streek"
    parts = [grid(1, 1, gemeente=f"{k:04}") for k in range(1, 343)]
    many = pd.concat([p.set_geometry(p.translate(yoff=100 * k)) for k, p in enumerate(parts)], ignore_index=True)
    country = Areas.read(written(many, "c.parquet"), 2024)
    assert (country.region, country.national) == ("Nederland", True)
    assert not Areas.read(written(many.iloc[1:], "d.parquet"), 2024).national


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stadsdeel", "the areas have no such grouping"),
        ("gemeente", "a grouping cannot have this name"),
        ("Mijn groep", "a grouping cannot have this name"),
        ("leeg", "a grouping has no groups"),
    ],
)
def test_groupings_that_cannot_be(grid: Grid, written: Written, name: str, says: str) -> None:
    path = written(grid(1, 3).assign(leeg=[None] * 3), "a.gpkg")
    with pytest.raises(DataError, match=says):
        Areas.read(path, 2024, groupings=[name])


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (lambda p: p.centroid, "areas are no polygons"),
        (lambda p: p.exterior, "areas are no polygons"),
        (lambda p: GeometryCollection([p.exterior, p.centroid]), "areas are no polygons"),
        (lambda p: Polygon([p.bounds[:2], p.bounds[2:], p.bounds[:2]]), "areas are no polygons"),  # made valid: a line
        (lambda p: affinity.scale(p, 1e-4, 1e-4), "areas are too small or too large"),  # 1 km2 times 1e-8: 0.01 m2
        (lambda p: affinity.translate(p, 1e9, 0), "areas lie nowhere on Earth"),
        (lambda p: Polygon([*p.exterior.coords[:2], (np.inf, 0), p.exterior.coords[0]]), "areas lie nowhere on Earth"),
    ],
)
def test_geometry_without_an_area_is_refused(
    grid: Grid, written: Written, shape: Callable[[Polygon], object], what: str
) -> None:
    frame = grid(1, 2)
    frame.loc[0, "geometry"] = shape(frame.geometry[0])
    assert list(problems_of(written(frame, "a.parquet"))) == [what]


def test_of_a_collection_the_polygons_are_used(grid: Grid, written: Written) -> None:
    frame = grid(1, 2)
    polygon = frame.geometry[0]
    frame.loc[0, "geometry"] = GeometryCollection([GeometryCollection([polygon]), polygon.centroid, polygon.exterior])
    areas = Areas.read(written(frame, "a.parquet"), 2024)
    assert areas.frame.geometry.iloc[0].equals(polygon)
    assert areas.notes == ("of 1 areas only the polygons are used: their geometry has points or lines too",)


@pytest.mark.parametrize("name", ["geometry", "population", "wijk", "name", "land"])
def test_a_grouping_takes_no_name_of_ours(grid: Grid, written: Written, name: str) -> None:
    path = written(grid(1, 2).assign(stad="a"), "a.parquet")
    assert list(problems_of(path, groupings=[name])) == ["a grouping cannot have this name"]


@pytest.mark.parametrize("name", ["buurtcode", "wijkcode", "gemeentecode", "buurtnaam", "inwoners", "provincienaam"])
def test_a_grouping_is_no_code_name_or_number_of_residents(grid: Grid, written: Written, name: str) -> None:
    path = written(grid(1, 2), "a.parquet")
    assert list(problems_of(path, groupings=[name])) == ["a grouping is a code, a name or the residents of areas"]


@pytest.mark.parametrize("name", ["buurtcode", "buurtnaam", "gemeentecode"])
def test_residents_are_no_code(grid: Grid, written: Written, name: str) -> None:
    path = written(grid(1, 2), "a.parquet")
    assert list(problems_of(path, population=name)) == ["the number of residents cannot be a code or a name"]


def test_a_grouping_that_is_a_covariate_is_both(grid: Grid, written: Written) -> None:
    frame = grid(1, 4).assign(klasse=[1, 1, 2, 2], kant=list("abab"))
    path = written(frame, "a.parquet")
    areas = Areas.read(path, 2024, groupings=["klasse"])
    assert areas.covariates == ["klasse"]
    assert areas.frame["klasse"].tolist() == [1, 1, 2, 2]
    assert areas.parents("klasse").tolist() == ["1", "1", "2", "2"]
    assert areas.residents("klasse").index.tolist() == ["1", "2"]
    half = Areas.read(path, 2024, groupings=["klasse"], where={"kant": "a"})  # a part of both groups: no level
    assert (half.groupings, half.covariates, half.omitted) == ((), ["klasse"], tuple(frame["buurtcode"][1::2]))
    assert half.frame["klasse"].tolist() == [1, 2]


@pytest.mark.parametrize("region", ["the Netherlands", "Netherlands", " nederland "])
def test_the_country_is_called_so_in_both_languages(grid: Grid, written: Written, region: str) -> None:
    path = written(grid(1, 2), "a.parquet")
    assert list(problems_of(path, region=region)) == ["the run does not hold the whole country"]


@pytest.mark.parametrize("people", [[0, 0], ["-99997", "."], [None, 0]])
def test_somebody_lives_somewhere(grid: Grid, written: Written, people: list[object]) -> None:
    path = written(grid(1, 2).drop(columns="inwoners"), "a.parquet")
    table = written(pd.DataFrame({"buurtcode": grid(1, 2)["buurtcode"], "inwoners": people}), "t.csv")
    assert list(problems_of(path, tables=[(table, "buurtcode")])) == ["no buurt has residents"]


def test_many_columns_with_hidden_codes_are_one_note(grid: Grid, written: Written) -> None:
    hidden = pd.DataFrame({f"c{k:03}": [-99997, 1] for k in range(1000)})
    areas = Areas.read(written(pd.concat([grid(1, 2), hidden], axis=1), "a.parquet"), 2024)
    assert areas.notes == (
        "1000 secret or missing codes in c000, c001, c002, c003, c004 and 995 more read as missing",
    )  # fmt: skip
