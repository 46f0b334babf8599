"""Neighbours: pairs, bridges, unknown codes, the audit; queen against rook."""

from __future__ import annotations

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import pytest
from shapely.affinity import translate

from buurtsae.areas.graph import Graph
from buurtsae.errors import DataError, ProblemsError

# A - B - C, D - E, and F alone
CODES = ["C", "A", "B", "D", "E", "F"]
PAIRS = [("B", "A"), ("B", "C"), ("C", "B"), ("D", "E")]


def test_pairs_in_any_order_and_direction_count_once() -> None:
    graph = Graph.from_pairs(CODES, PAIRS)
    assert graph.codes == ("A", "B", "C", "D", "E", "F")
    assert graph.edges.tolist() == [[0, 1], [1, 2], [3, 4]]
    assert graph.degree.to_dict() == {"A": 1, "B": 2, "C": 1, "D": 1, "E": 1, "F": 0}


def test_audit_tells_what_is_apart() -> None:
    assert Graph.from_pairs(CODES, PAIRS).audit() == {
        "rule": "table",
        "areas": 6,
        "pairs": 3,
        "components": [3, 2],
        "islands": ["F"],
        "one_neighbour": ["A", "C", "D", "E"],
        "mean_neighbours": 1.0,
        "bridges": [],
        "policy": "components kept apart",
    }


def test_bridges_join_and_are_reported() -> None:
    graph = Graph.from_pairs(CODES, PAIRS, bridges=[("F", "A"), ("C", "D")])
    audit = graph.audit()
    assert audit["components"] == [6]
    assert audit["islands"] == []
    assert audit["bridges"] == [["F", "A"], ["C", "D"]]
    assert audit["policy"] == "bridged by hand"
    assert graph.icar.rank_deficiency == 1
    assert "2 bridges" in repr(graph)


def test_no_pairs_is_all_islands() -> None:
    graph = Graph.from_pairs(["A", "B"], [])
    assert graph.edges.shape == (0, 2)
    assert graph.audit()["islands"] == ["A", "B"]
    np.testing.assert_array_equal(graph.icar.precision.toarray(), np.eye(2))


def test_every_wrong_pair_and_bridge_is_named_at_once() -> None:
    with pytest.raises(ProblemsError) as raised:
        Graph.from_pairs(CODES, [("A", "X"), ("B", "B")], bridges=[("Y", "A"), ("F", "F")])
    assert [(p.what, p.got) for p in raised.value.problems] == [
        ("a neighbour pair names unknown areas", "X"),
        ("a neighbour pair joins an area to itself", "B"),
        ("a bridge names unknown areas", "Y"),
        ("a bridge joins an area to itself", "F"),
    ]


def test_queen_shares_points_rook_shares_lines(grid: Callable[..., gpd.GeoDataFrame]) -> None:
    frame = grid(3, 4).set_index("buurtcode")
    queen, rook = Graph.from_geometry(frame), Graph.from_geometry(frame, rule="rook")
    # 3 x 4 squares: 3*3 + 2*4 = 17 shared lines, and 2*2*3 = 12 shared corners besides
    assert (len(rook.edges), len(queen.edges)) == (17, 29)
    assert rook.degree["BU03440000"] == 2
    assert queen.degree["BU03440000"] == 3
    assert (queen.rule, rook.rule) == ("queen", "rook")


def test_geometry_in_any_row_order_gives_the_same_graph(grid: Callable[..., gpd.GeoDataFrame]) -> None:
    frame = grid().set_index("buurtcode")
    shuffled = frame.sample(frac=1.0, random_state=3)
    a, b = Graph.from_geometry(frame), Graph.from_geometry(shuffled)
    assert a.codes == b.codes
    np.testing.assert_array_equal(a.edges, b.edges)


def test_water_keeps_an_area_apart_until_it_is_bridged(grid: Callable[..., gpd.GeoDataFrame]) -> None:
    frame = grid(2, 2).set_index("buurtcode")
    island = "BU03440101"
    frame.loc[island, "geometry"] = translate(frame.loc[island, "geometry"], 500, 500)
    assert Graph.from_geometry(frame).audit()["islands"] == [island]
    bridged = Graph.from_geometry(frame, bridges=[("BU03440001", island)])
    assert bridged.audit()["islands"] == []
    assert bridged.degree[island] == 1


def test_an_unknown_rule_is_refused(grid: Callable[..., gpd.GeoDataFrame]) -> None:
    with pytest.raises(DataError, match="got 'bishop'; expected queen or rook"):
        Graph.from_geometry(grid().set_index("buurtcode"), rule="bishop")


def ring(n: int, *steps: int) -> Graph:
    """n areas in a ring, joined to those that many places further."""
    codes = [f"A{k:02}" for k in range(n)]
    return Graph.from_pairs(codes, [(codes[k], codes[(k + s) % n]) for k in range(n) for s in steps], rule="queen")


def test_a_graph_with_far_too_few_or_many_neighbours_is_noted() -> None:
    assert ring(40, 1, 2, 3).notes == []  # six neighbours each
    (few,) = ring(40, 1).notes
    assert few.startswith("areas have 2.0 neighbours on average, where 2.5 to 10 is usual")
    (many,) = ring(40, *range(1, 7)).notes
    assert many.startswith("areas have 12.0 neighbours on average")
    assert ring(20, 1).notes == []  # of so few it says little
    codes = [f"B{k}" for k in range(5)]
    islands = Graph.from_pairs([*ring(40, 1).codes, *codes], [("A00", "A01")], rule="queen")
    assert any(n.startswith("43 of 45 areas have no neighbours (A02, A03") for n in islands.notes)
