"""The graph of all buurten of 2024: the numbers of its README, and exact scaling at national size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.areas.graph import Graph

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]


@pytest.fixture(scope="module")
def graph(shared: Path) -> Graph:
    folder = shared / "data" / "nl"
    codes = pd.read_parquet(folder / "buurt_2024.parquet", columns=["buurtcode"])["buurtcode"]
    edges = pd.read_parquet(folder / "buurt_2024_queen_edges.parquet")
    return Graph.from_pairs(codes, zip(edges["buurtcode_a"], edges["buurtcode_b"], strict=True))


def test_components_and_islands_are_those_of_the_readme(graph: Graph) -> None:
    # README of the data, "Graph facts (libpysal, queen)": mainland, Zeeuws-Vlaanderen, Terschelling with Vlieland,
    # Texel, Ameland, Schiermonnikoog, and three buurten in the water
    audit = graph.audit()
    assert (audit["areas"], audit["pairs"]) == (14_566, 42_703)
    assert audit["components"] == [14_399, 124, 18, 13, 7, 2]
    assert audit["islands"] == ["BU0363MK01", "BU03881002", "BU19420409"]
    assert len(audit["one_neighbour"]) == 834  # type: ignore[arg-type]
    assert audit["mean_neighbours"] == 5.86
    assert (graph.degree.idxmax(), graph.degree.max()) == ("BU01145109", 36)


def test_geometric_mean_variance_is_one_in_every_component(graph: Graph) -> None:
    icar = graph.icar
    means = np.exp(np.bincount(icar.component, np.log(icar.marginal_variances())) / icar.size)
    assert len(means) == 9
    assert icar.rank_deficiency == 6
    np.testing.assert_allclose(means, 1.0, atol=1e-8)


def test_selected_inverse_agrees_with_dense_on_a_component(graph: Graph) -> None:
    # Zeeuws-Vlaanderen (124 buurten): small enough for numpy's pseudo-inverse
    icar = graph.icar
    inside = np.flatnonzero(icar.size[icar.component] == 124)
    dense = np.linalg.pinv(icar.precision[inside][:, inside].toarray(), rcond=1e-9, hermitian=True)
    np.testing.assert_allclose(icar.marginal_variances()[inside], np.diag(dense), rtol=1e-8)


def test_a_ferry_joins_texel_to_the_mainland(graph: Graph) -> None:
    # the ferry Den Helder - Texel, the nearest pair by the README
    edges = [(graph.codes[i], graph.codes[j]) for i, j in graph.edges]
    bridged = Graph.from_pairs(graph.codes, edges, bridges=[("BU04480009", "BU04000207")])
    assert bridged.audit()["components"] == [14_412, 124, 18, 7, 2]  # 14,399 + 13
