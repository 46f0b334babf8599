"""The concept: a tree, its matrix with rows summing to one, and trees that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buurtsae.errors import DataError, ProblemsError
from buurtsae.survey.concept import Concept

SUBDIMENSIONS = ("omgang_en_relaties", "participatie", "plaatsidentiteit", "plaatsgeschiktheid")


def load(tmp_path: Path, *nodes: str) -> Concept:
    """Each node as `id`, `id < parent` or `id < parent * weight`."""
    text = []
    for node in nodes:
        identifier, _, rest = node.partition(" < ")
        parent, _, weight = rest.partition(" * ")
        text += ["[[node]]", f'id = "{identifier}"', 'nl = "x"', 'en = "x"', 'about = "x"']
        text += [f'parent = "{parent}"'] * bool(parent) + [f"weight = {weight}"] * bool(weight)
    path = tmp_path / "concept.toml"
    path.write_text("\n".join(text), encoding="utf-8", newline="\n")
    return Concept.load(path)


def test_the_concept_of_buurtverbondenheid() -> None:
    concept = Concept.load()
    assert concept.subdimensions == SUBDIMENSIONS
    assert concept.measures == (
        *SUBDIMENSIONS,
        "sociale_verbondenheid",
        "ruimtelijke_verbondenheid",
        "buurtverbondenheid",
    )
    assert concept.leaves("sociale_verbondenheid") == SUBDIMENSIONS[:2]
    assert concept.leaves("buurtverbondenheid") == SUBDIMENSIONS
    assert concept.leaves("participatie") == ("participatie",)
    assert concept.nodes["buurtverbondenheid"].parent is None


def test_weights_are_equal_by_default() -> None:
    # two dimensions of two sub-dimensions each: halves, then quarters
    expected = [*np.eye(4).tolist(), [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.25] * 4]
    np.testing.assert_allclose(Concept.load().matrix, expected)


def test_weights_of_your_own_are_scaled_within_each_parent(tmp_path: Path) -> None:
    concept = load(tmp_path, "total", "a < total * 3", "b < total", "a1 < a * 2", "a2 < a * 6", "b1 < b * 0.5")
    assert concept.subdimensions == ("a1", "a2", "b1")
    assert concept.measures == ("a1", "a2", "b1", "a", "b", "total")
    # a = (2 a1 + 6 a2) / 8; b = b1; total = (3 a + b) / 4
    np.testing.assert_allclose(concept.matrix[3:], [[0.25, 0.75, 0], [0, 0, 1], [0.1875, 0.5625, 0.25]])
    np.testing.assert_allclose(concept.matrix.sum(axis=1), 1.0)


def test_leaves_may_hang_at_different_depths(tmp_path: Path) -> None:
    concept = load(tmp_path, "a2 < a", "total", "a < total", "b < total * 2", "a1 < a")  # and nodes in any order
    assert concept.subdimensions == ("a2", "b", "a1")
    np.testing.assert_allclose(concept.matrix[-1], [1 / 6, 2 / 3, 1 / 6])


def test_a_measure_needs_all_its_sub_dimensions() -> None:
    weights = Concept.load().matrix_of(["participatie", "omgang_en_relaties", "plaatsidentiteit"])
    assert list(weights.index) == ["omgang_en_relaties", "participatie", "plaatsidentiteit", "sociale_verbondenheid"]
    assert weights.loc["sociale_verbondenheid"].to_dict() == {
        "participatie": 0.5,
        "omgang_en_relaties": 0.5,
        "plaatsidentiteit": 0.0,
    }


@pytest.mark.parametrize(
    ("nodes", "what"),
    [
        (("t", "a < t", "b < x"), "the concept's node 'b' has an unknown parent"),
        (("t", "a < t * 0"), "the concept's node 'a' has no positive weight"),
        (("t", "a < t * -1"), "the concept's node 'a' has no positive weight"),
        (("t", "a < t * nan"), "the concept's node 'a' has no positive weight"),
        (("t", "a < t * inf"), "the concept's node 'a' has no positive weight"),
        (("t", "a < t * 1e308"), "the concept's node 'a' has no positive weight"),
        (("t", "a < t * 'veel'"), "the concept cannot be read"),
        (("a < b", "b < a"), "the concept has a circle"),
        (("t", "a < b", "b < a"), "the concept has a circle"),
        (("t", "a < a"), "the concept has a circle"),
    ],
)
def test_what_is_no_tree_is_refused(tmp_path: Path, nodes: tuple[str, ...], what: str) -> None:
    with pytest.raises(DataError) as raised:
        load(tmp_path, *nodes)
    assert raised.value.what == what


def test_a_node_twice_is_named_with_the_other_problems(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as raised:
        load(tmp_path, "t", "a < t", "a < y")
    assert [p.what for p in raised.value.problems] == [
        "the concept's node 'a' occurs twice",
        "the concept's node 'a' occurs twice",
        "the concept's node 'a' has an unknown parent",
    ]


@pytest.mark.parametrize(
    "text",
    ["[[node", "title = 'no nodes'", "[[node]]\nid = 'a'", "[[node]]\nid='a'\nnl=''\nen=''\nabout=''\ngewicht=1"],
)
def test_what_is_no_concept_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "concept.toml"
    path.write_text(text, encoding="utf-8", newline="\n")
    with pytest.raises(DataError, match=r"the concept (cannot be read|is no TOML)"):
        Concept.load(path)
    with pytest.raises(DataError, match=r"the concept (cannot be read|is no TOML)"):
        Concept.load(tmp_path / "absent.toml")
