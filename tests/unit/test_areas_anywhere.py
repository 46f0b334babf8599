"""Areas of other code systems than that of CBS, and graphs of any areas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from libpysal.graph import Graph as Contiguity
from libpysal.weights import W
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS, CodeSystem
from buurtsae.areas.graph import Graph
from buurtsae.errors import BuurtsaeError


def counties() -> pd.DataFrame:
    """Six counties in three states in two regions; the last has no residents."""
    return pd.DataFrame(
        {
            "fips": [45001, 37001, 37003, 51001, 45003, 51003],
            "county": ["Abbeville", "Alamance", "Alexander", "Accomack", "Aiken", "Albemarle"],
            "state_code": [45, 37, 37, 51, 45, 51],
            "region": ["South", "South", "South", "North", "South", "North"],
            "persons": [25, 160, 40, 30, 170, 0],
            "income": [31.0, 42.0, 39.0, np.nan, 44.0, 35.0],
            "coast": [False, False, False, True, False, False],
        }
    )


LEVELS = {"state": "state_code", "region": "region"}


def made(**changes: object) -> Areas:
    options = {"code": "fips", "levels": LEVELS, "name": "county", "population": "persons"} | changes
    return Areas.from_frame(counties(), **options)  # type: ignore[arg-type]


def problems_of(step: Callable[[], object]) -> dict[str, str]:
    with pytest.raises(BuurtsaeError) as raised:
        step()
    found = getattr(raised.value, "problems", (raised.value,))
    assert all(str(p).count("\n") == 2 for p in found)
    return {p.what: p.got for p in found}


def test_counties_have_levels_names_and_residents() -> None:
    areas = made()
    assert areas.levels == ("area", "state", "region", "all")
    assert areas.codes.tolist() == ["37001", "37003", "45001", "45003", "51001", "51003"]
    assert areas.parents("state").tolist() == ["37", "37", "45", "45", "51", "51"]
    assert areas.parents("region", "state").to_dict() == {"37": "South", "45": "South", "51": "North"}
    assert [areas.parent(level) for level in areas.levels[:-1]] == ["state", "region", "all"]
    assert areas.label("area", "37003") == "Alexander"
    assert areas.covariates == ["state_code", "income", "coast"]
    codes, weights = areas.aggregation("state")
    assert codes == ["37", "45", "51"]
    assert weights.toarray()[0, :2].tolist() == [0.8, 0.2]  # 160 and 40 residents
    assert areas.inhabited.tolist() == [True] * 5 + [False]
    assert repr(areas) == "Areas: 6 areas (1 without residents) in 3 state areas and 2 region areas, 425 residents"
    assert areas.audit()["missing_covariates"] == {"income": 1}
    assert list(areas.notes) == []
    assert "income" in areas._repr_html_()


def test_without_residents_each_area_counts_equally_and_that_is_said() -> None:
    areas = Areas.from_frame(counties(), "fips", LEVELS)
    assert areas.alike
    assert areas.aggregation("region")[1].toarray().max(axis=1).tolist() == [0.5, 0.25]
    assert list(areas.notes) == ["the number of residents is unknown: each area counts equally"]
    assert areas.notes[0].nl == "het aantal inwoners is onbekend: elk gebied telt even zwaar"
    assert repr(areas).endswith("residents unknown")


def test_names_and_residents_are_found_by_their_usual_columns() -> None:
    usual = counties().rename(columns={"county": "name", "persons": "population"})
    pd.testing.assert_frame_equal(Areas.from_frame(usual, "fips", LEVELS).frame, made().frame)


def test_codes_are_text_whatever_they_come_as() -> None:
    """IRIS of France have nine characters, that a reader of tables takes for numbers; letters mark Corsica."""
    codes = ["751010101", " 751010102", "2A0040101"]
    text = Areas.from_frame(pd.DataFrame({"iris": codes, "x": 1.0}), "iris")
    assert text.codes.tolist() == ["2A0040101", "751010101", "751010102"]
    for numbers in ([751010101, 751010102], [751010101.0, 751010102.0]):
        assert Areas.from_frame(pd.DataFrame({"iris": numbers}), "iris").codes.tolist() == ["751010101", "751010102"]
    indexed = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index(["b", "a"], name="iris"))
    assert Areas.from_frame(indexed, "iris").frame["x"].to_dict() == {"a": 2.0, "b": 1.0}


def test_a_level_may_be_called_as_its_column_and_as_a_level_of_cbs() -> None:
    frame = pd.DataFrame({"nis": ["11001A", "11001B", "12002A"], "gemeente": ["G1", "G1", "G2"]})
    areas = Areas.from_frame(frame, "nis", {"gemeente": "gemeente"})
    assert areas.levels == ("area", "gemeente", "all")
    assert areas.at("gemeente").tolist() == ["G1", "G2"]


def test_groupings_need_not_be_nested() -> None:
    areas = Areas.from_frame(counties().assign(basin=["a", "b", "a", None, "b", "a"]), "fips", groupings=["basin"])
    assert areas.levels == ("area", "basin", "all")
    assert areas.at("basin").tolist() == ["a", "b"]
    assert "areas in no group of basin: 1" in areas.notes


def test_geometry_is_kept_and_makes_a_graph_without_it_there_is_none() -> None:
    squares = gpd.GeoDataFrame(
        {"code": ["c", "a", "b"]}, geometry=[box(5, 0, 6, 1), box(0, 0, 1, 1), box(1, 0, 2, 1)], crs="EPSG:2264"
    ).rename_geometry("shape")
    areas = Areas.from_frame(squares, "code")
    graph = areas.graph()
    assert [(graph.codes[i], graph.codes[j]) for i, j in graph.edges] == [("a", "b")]
    assert "shape" in squares  # not changed
    assert problems_of(made().graph) == {
        "the areas have no geometry": "columns name, state, region, population, state_code and 2 more"
    }


def test_everything_wrong_with_areas_at_once() -> None:
    frame = counties()
    frame.loc[6] = [37001, "Again", 99, "South", 5, 1.0, True]
    frame.loc[7] = [np.nan, "Nowhere", 37, None, 5, 1.0, True]
    frame.loc[1, "region"] = "North"
    frame["persons"] = [10, -1, 3, 2, 5, 0, 2, 1]
    assert problems_of(lambda: Areas.from_frame(frame, "fips", LEVELS, population="persons")) == {
        "areas have no code": "rows 7",
        "areas occur more than once": "37001",
        "areas are in no region": "?",
        "level state is not nested in level region": "37 in several",
        "the number of residents is negative": "37001",
    }


@pytest.mark.parametrize(
    ("options", "what", "got"),
    [
        ({"code": "geoid", "levels": {"state": "st"}}, "the frame has no such columns", "geoid, st"),
        ({"levels": {"all": "region"}}, "levels cannot have these names", "all"),
        ({"levels": {"US state": "state_code"}}, "levels cannot have these names", "US state"),
        (
            {"levels": {"region": "region"}, "groupings": ["region"]},
            "levels and groupings are given twice",
            "region, region",
        ),
        (
            {"levels": {"region": "region", "state": "state_code"}},
            "level region is not nested in level state",
            "South in several",
        ),
        ({"population": "county"}, "the number of residents, county, is no number", "Unable to parse string"),
        ({"levels": {"same": "fips"}}, "codes occur at two levels", "45001, area and same"),
    ],
)
def test_bad_areas_are_refused(options: dict[str, object], what: str, got: str) -> None:
    ((said, value),) = problems_of(lambda: made(**options)).items()
    assert said == what
    assert value.startswith(got)


def test_residents_that_nobody_has_or_that_are_no_persons_are_refused() -> None:
    none = counties().assign(persons=0)
    assert problems_of(lambda: Areas.from_frame(none, "fips", population="persons")) == {
        "no area has residents": "none in persons"
    }
    part = counties().assign(persons=[1.5, 2, 3, 4, 5, 6])
    assert problems_of(lambda: Areas.from_frame(part, "fips", population="persons")) == {
        "the number of residents is no whole number": "1.5 in 1 areas"
    }
    assert list(problems_of(lambda: Areas.from_frame(counties().iloc[:0], "fips"))) == ["there are no areas"]


def test_a_code_system_knows_what_lies_below_what() -> None:
    system = CodeSystem(("area", "state", "region", "all"), compared={"area": "state", "state": "region"})
    assert system.upper == ("state", "region", "all")
    assert CBS.upper == ("gemeente", "ggdregio", "provincie", "land")
    assert system.below("area", "state")
    assert not system.below("region", "state")
    assert system.below("area", "basin")  # a grouping
    assert not system.below("basin", "area")


# --- graphs ---

CODES = [103, 101, 102, 104]
PAIRS = [(101, 102), (103, 101)]


def test_pairs_adjacencies_and_graphs_of_libpysal_are_one_graph() -> None:
    expected = Graph.from_pairs(CODES, PAIRS)
    assert expected.codes == ("101", "102", "103", "104")
    assert expected.degree.to_dict() == {"101": 2, "102": 1, "103": 1, "104": 0}
    cells = np.zeros((4, 4))
    for a, b in PAIRS:
        i, j = CODES.index(a), CODES.index(b)
        cells[i, j] = cells[j, i] = 0.5  # weights are not used
    labelled = pd.DataFrame(cells, CODES, CODES).sample(frac=1, random_state=1)  # rows in another order
    near: dict[int, list[int]] = {101: [102, 103], 102: [101], 103: [101], 104: []}
    for other in (
        Graph.from_pairs(CODES, pd.DataFrame(PAIRS, columns=["from", "to"])),
        Graph.from_pairs(CODES, np.array(PAIRS)),
        Graph.from_adjacency(CODES, cells),
        Graph.from_adjacency(CODES, sp.coo_matrix(cells)),
        Graph.from_adjacency(CODES, labelled),
        Graph.from_libpysal(Contiguity.from_dicts(near)),
        Graph.from_libpysal(W(near, silence_warnings=True)),
    ):
        assert other.codes == expected.codes
        np.testing.assert_array_equal(other.edges, expected.edges)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda: Graph.from_pairs(CODES, [(101, 199)]), {"a neighbour pair names unknown areas": "199"}),
        (lambda: Graph.from_pairs(CODES, [(101, 101)]), {"a neighbour pair joins an area to itself": "101"}),
        (lambda: Graph.from_pairs([101, 101, 102], []), {"areas of a graph occur more than once": "101"}),
        (
            lambda: Graph.from_adjacency([1, 2, 3], [[0, 1, 0], [0, 0, 0], [0, 0, 1]]),
            {"neighbours are so in one direction only": "1 to 2", "areas are their own neighbours": "3"},
        ),
        (lambda: Graph.from_adjacency([1, 2, 3], np.eye(2)), {"the adjacency has another size": "(2, 2)"}),
        (
            lambda: Graph.from_adjacency([1, 2], pd.DataFrame(np.zeros((2, 2)), [1, 2], [1, 9])),
            {"columns of the adjacency are of other areas": "2, 9"},
        ),
        (
            lambda: Graph.from_libpysal(Contiguity.from_dicts({"a": ["b"], "b": ["c"], "c": ["b"]})),
            {"neighbours are so in one direction only": "a to b"},
        ),
    ],
)
def test_bad_graphs_are_refused_by_name(step: Callable[[], Graph], expected: dict[str, str]) -> None:
    assert problems_of(step) == expected


def test_a_graph_without_polygons_says_nothing_of_polygons() -> None:
    few = Graph.from_pairs(range(40), [(0, 1)])
    assert few.notes == []
    assert len(replace(few, rule="queen").notes) == 2  # too few neighbours, and too many without
