r"""The concept: a tree of measures whose leaves, the sub-dimensions, are estimated and whose nodes are means.

A node's score is the weighted mean of its parts, m = sum_k w_k m_k / sum_k w_k. Applied from the leaves up this is
one matrix A (measures x sub-dimensions) with rows summing to 1, used on every draw: m = A eta.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, Problems, shown
from buurtsae.files import read_toml
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats
from buurtsae.survey.design_columns import RESERVED
from buurtsae.survey.scales import Scores, score
from buurtsae.survey.survey import Survey

MOST, LEAST = 200, 1e-6
RANGE = f"> 0, from {LEAST:g} to {1 / LEAST:g}"


@dataclass(frozen=True)
class Measure:
    """One node of the concept: its identifier, parent, weight within the parent, labels and description."""

    id: str
    nl: str
    en: str
    about: str
    parent: str | None = None
    weight: float = 1.0
    about_en: str = ""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Concept:
    """The tree of measures.

    Attributes
    ----------
    nodes : mapping of identifier to Measure, in the order of the concept file
    scale : Scale
        Of all measures, which are means of each other: 0-10 unless the file has a table `[scale]` with `lower`,
        `upper`, the unit `nl` and `en`, and `decimals`.

    Examples
    --------
    >>> concept = Concept.load()
    >>> concept.matrix_of(concept.subdimensions).loc["sociale_verbondenheid"].to_dict()
    {'omgang_en_relaties': 0.5, 'participatie': 0.5, 'plaatsidentiteit': 0.0, 'plaatsgeschiktheid': 0.0}
    """

    nodes: Mapping[str, Measure]
    scale: Scale = SCORE

    @classmethod
    def load(cls, path: str | Path | None = None) -> Concept:
        """Read a concept file (TOML); without a path, the concept of buurtverbondenheid.

        Raises
        ------
        DataError or ProblemsError
            On an unknown key or parent, a duplicate identifier, a weight that is not positive, a node that is its own
            ancestor, or not exactly one root.
        """
        from pydantic import TypeAdapter, ValidationError  # takes long to import

        source = Path(str(resources.files("buurtsae.survey"))) / "concept.toml" if path is None else Path(path)
        raw = read_toml(source, "the concept")[1]
        form = "[[node]] tables as in the package's concept"
        try:
            nodes = TypeAdapter(list[Measure]).validate_python(raw.get("node"))
            scale = TypeAdapter(Scale).validate_python(raw["scale"]) if "scale" in raw else SCORE
        except ValidationError as error:
            where = "node" if error.title.startswith("list") else "scale"
            faults = shown(f"{'.'.join(map(str, (where, *fault['loc'])))}: {fault['msg']}" for fault in error.errors())
            raise DataError("the concept cannot be read", faults, form, "correct it") from error
        if len(nodes) > MOST:
            raise DataError("the concept has too many nodes", str(len(nodes)), f"at most {MOST}", "leave some out")
        ids = [node.id for node in nodes]
        problems = Problems()
        for node in nodes:
            where = f"the concept's node {node.id!r}"
            if not re.fullmatch(r"[a-z][a-z0-9_]*", node.id) or RESERVED.fullmatch(node.id):
                what = f"{where} cannot have this identifier"
                problems.add(what, repr(node.id), "small letters, digits and _; no column's name", "rename it")
            if ids.count(node.id) > 1:
                problems.add(f"{where} occurs twice", "2 nodes", "1", "rename or remove one")
            if node.parent is not None and node.parent not in ids:
                problems.add(f"{where} has an unknown parent", repr(node.parent), shown(ids, 10), "correct `parent`")
            if not LEAST <= node.weight <= 1 / LEAST:
                problems.add(f"{where} has no positive weight", str(node.weight), RANGE, "correct `weight`")
        if sum(node.parent is None for node in nodes) != 1:
            hint = "correct it"
            problems.add("the concept has not one total", "several or no roots", "one node without parent", hint)
        problems.raise_if_any()
        rooted = {node.id for node in nodes if node.parent is None}
        while more := {node.id for node in nodes if node.parent in rooted} - rooted:
            rooted |= more
        if loose := [name for name in ids if name not in rooted]:
            hint = "correct `parent`"
            raise DataError("the concept has a circle", shown(loose), "a tree: every node below the total", hint)
        return cls({node.id: node for node in nodes}, scale)

    @classmethod
    def of(cls, measures: Sequence[str]) -> Concept:
        """Return the concept of buurtverbondenheid if it has these measures; else each by itself, without a total."""
        known = cls.load()
        if set(measures) <= set(known.subdimensions):
            return known
        return cls({measure: Measure(measure, measure, measure, measure) for measure in measures})

    @cached_property
    def subdimensions(self) -> tuple[str, ...]:
        """The leaves, in file order: what the model estimates."""
        parents = {node.parent for node in self.nodes.values()}
        return tuple(name for name in self.nodes if name not in parents)

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """All measures: sub-dimensions, then the nodes above them, the total last."""
        depth = {name: len(self._path(name)) for name in self.nodes}
        inner = [name for name in self.nodes if name not in self.subdimensions]
        return (*self.subdimensions, *sorted(inner, key=lambda name: -depth[name]))

    def leaves(self, measure: str) -> tuple[str, ...]:
        """Return the sub-dimensions below a measure (itself, for a sub-dimension)."""
        return tuple(name for name in self.subdimensions if measure in self._path(name))

    @cached_property
    def matrix(self) -> Floats:
        """Weights of the sub-dimensions in each measure, shape (n_measures, n_subdimensions); rows sum to 1."""
        rows: dict[str, Floats] = dict(zip(self.subdimensions, np.eye(len(self.subdimensions)), strict=True))
        for measure in self.measures[len(self.subdimensions) :]:
            parts = [part for part in self.nodes.values() if part.parent == measure]
            total = sum(part.weight for part in parts)
            rows[measure] = np.sum([part.weight / total * rows[part.id] for part in parts], axis=0)
        return np.array([rows[measure] for measure in self.measures])

    def matrix_of(self, subdimensions: Sequence[str]) -> pd.DataFrame:
        """Return the weights (measures x given sub-dimensions) of the measures that these suffice for."""
        known = [measure for measure in self.measures if set(self.leaves(measure)) <= set(subdimensions)]
        every = pd.DataFrame(self.matrix, index=list(self.measures), columns=list(self.subdimensions))
        return every.loc[known, list(subdimensions)]

    def weighted(self, weights: Mapping[str, float]) -> Concept:
        """Return the concept with other weights of some measures within their parents.

        Parameters
        ----------
        weights : mapping of measure to weight
            Relative to those of the other parts of the same parent, which keep theirs: they need not sum to 1.

        Raises
        ------
        ProblemsError or DataError
            Unknown measures, a weight of the total, and weights that are not positive, all at once.
        """
        problems = Problems()
        for name, weight in weights.items():
            if name not in self.nodes or self.nodes[name].parent is None:
                parts = [name for name, node in self.nodes.items() if node.parent is not None]
                hint = "choose one of these"
                problems.add("weights are of no part of the concept", repr(name), shown(parts, 10), hint)
            elif not LEAST <= weight <= 1 / LEAST:
                problems.add(f"the weight of {name} is not positive", str(weight), RANGE, "correct it")
        problems.raise_if_any()
        nodes = {name: replace(node, weight=weights.get(name, node.weight)) for name, node in self.nodes.items()}
        return replace(self, nodes=nodes)

    def score(self, survey: Survey, method: str = "sum") -> Scores:
        """Turn the items of a survey into sub-dimension scores on the concept's scale, by its codebook.

        Parameters
        ----------
        survey : Survey
        method : {"sum", "graded"}
            Means of items, or scores of a graded response model; see `buurtsae.survey.scales`.

        Raises
        ------
        DataError
            If the codebook informs sub-dimensions that the concept does not have, or its scale has no two ends.
        ModelError
            If there is no such method, or the graded response model does not converge.
        """
        if unknown := sorted({item.subdimension for item in survey.codebook.items} - set(self.subdimensions)):
            what = f"codebook {survey.codebook.id} informs unknown sub-dimensions"
            hint = "correct the codebook, or load the concept it belongs to"
            raise DataError(what, ", ".join(unknown), ", ".join(self.subdimensions), hint)
        if not self.scale.bounded:
            what, hint = "answers are scored between two ends", "give both, or start from direct estimates"
            ends = "`lower` and `upper` in its table [scale]"
            raise DataError(what, f"a concept of figures {self.scale.range}", ends, hint)
        scores, names = score(survey, self.subdimensions, method), list(self.subdimensions)
        rescaled = self.scale.lower + self.scale.point * scores.frame[names]
        errors = None if scores.errors is None else self.scale.point * scores.errors
        return replace(scores, frame=scores.frame.assign(**dict(rescaled.items())), errors=errors)

    def __repr__(self) -> str:
        return f"Concept of {len(self.nodes)} measures, of which sub-dimensions {shown(self.subdimensions)}"

    def _path(self, measure: str) -> tuple[str, ...]:
        node = self.nodes[measure]
        return (measure,) if node.parent is None else (measure, *self._path(node.parent))
