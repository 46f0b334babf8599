"""The ICAR structure: exact scaling, components, islands, rank (against a dense Moore-Penrose inverse)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buurtsae.areas.icar import IcarStructure, icar_structure


def path(first: int, n: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(first, first + n - 1)]


def lattice(rows: int, columns: int, first: int = 0) -> list[tuple[int, int]]:
    at = first + np.arange(rows * columns).reshape(rows, columns)
    return [*zip(at[:, :-1].flat, at[:, 1:].flat, strict=True), *zip(at[:-1].flat, at[1:].flat, strict=True)]


# areas, edges, sizes of the components: the cases of Freni-Sterrantino et al. (2018) and what peers get wrong
CASES = {
    "connected": (20, lattice(4, 5), [20]),
    "a pair": (2, [(0, 1)], [2]),
    "two equal components": (24, [*lattice(3, 4), *lattice(3, 4, 12)], [12, 12]),
    "three of other sizes": (21, [*lattice(3, 4), *path(12, 7), *path(19, 2)], [12, 7, 2]),
    "one island": (13, lattice(3, 4), [12, 1]),
    "all islands": (5, [], [1, 1, 1, 1, 1]),
    "one area": (1, [], [1]),
}


def structure(n: int, edges: list[tuple[int, int]]) -> IcarStructure:
    return icar_structure(n, np.array(edges, dtype=np.int64).reshape(-1, 2))


def geometric_means(s: IcarStructure) -> np.ndarray:
    """Per component, from the dense generalised inverse of the scaled structure: independent of the code's own."""
    # singular values below 1e-9 of the largest are the zeros of D - A; the smallest true ones here are above 1e-3
    variances = np.diag(np.linalg.pinv(s.precision.toarray(), rcond=1e-9, hermitian=True))
    np.testing.assert_allclose(s.marginal_variances(), variances, rtol=1e-8)
    return np.exp(np.bincount(s.component, np.log(variances)) / s.size)


@pytest.mark.parametrize("case", CASES)
def test_geometric_mean_variance_is_one_in_every_component(case: str) -> None:
    n, edges, sizes = CASES[case]
    s = structure(n, edges)
    assert s.size.tolist() == sizes
    np.testing.assert_allclose(geometric_means(s), 1.0, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_rank_deficiency_counts_components_of_two_and_more(case: str) -> None:
    n, edges, sizes = CASES[case]
    s = structure(n, edges)
    assert s.rank_deficiency == sum(size > 1 for size in sizes) == len(s.constrained)
    assert np.linalg.matrix_rank(s.precision.toarray()) == n - s.rank_deficiency


@pytest.mark.parametrize("case", CASES)
def test_means_take_the_mean_of_each_constrained_component(case: str) -> None:
    n, edges, _ = CASES[case]
    s = structure(n, edges)
    x = np.random.default_rng(1).normal(size=n)
    expected = [x[s.component == c].mean() for c in s.constrained]
    np.testing.assert_allclose(s.means @ x, expected, atol=1e-12)
    # the null space of the structure: constant within each of these components
    assert s.means.shape == (s.rank_deficiency, n)
    np.testing.assert_allclose(s.means @ s.precision.toarray(), 0.0, atol=1e-12)


def test_a_pair_by_hand() -> None:
    # Q = [[1, -1], [-1, 1]] has Moore-Penrose inverse Q / 4: variance 1/4, and that is the scale
    s = structure(2, [(0, 1)])
    assert s.scale == pytest.approx([0.25])
    np.testing.assert_allclose(s.precision.toarray(), [[0.25, -0.25], [-0.25, 0.25]])


def test_an_island_is_iid_with_variance_one() -> None:
    s = structure(13, lattice(3, 4))
    assert s.scale[s.component[12]] == 1.0
    np.testing.assert_array_equal(s.precision.toarray()[12], np.eye(13)[12])


def test_permuting_the_areas_permutes_the_structure() -> None:
    n, edges, _ = CASES["three of other sizes"]
    order = np.random.default_rng(2).permutation(n)  # area i becomes order[i]
    a, b = structure(n, edges), structure(n, [(order[i], order[j]) for i, j in edges])
    np.testing.assert_allclose(b.precision.toarray()[np.ix_(order, order)], a.precision.toarray(), atol=1e-12)
    np.testing.assert_allclose(b.marginal_variances()[order], a.marginal_variances(), atol=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 25).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1]), max_size=40),
        )
    )
)
def test_any_graph_is_scaled(graph: tuple[int, set[tuple[int, int]]]) -> None:
    n, edges = graph
    s = structure(n, sorted(edges))
    np.testing.assert_allclose(geometric_means(s), 1.0, atol=1e-8)
    assert np.linalg.matrix_rank(s.precision.toarray()) == n - s.rank_deficiency
