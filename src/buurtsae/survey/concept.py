r"""The concept: any set of measures. Its leaves, the sub-dimensions, are estimated, and nodes above them are means.

A node's figure is the weighted mean of its parts, m = sum_k w_k m_k / sum_k w_k, which are of one outcome and scale.
Applied from the leaves up this is one matrix A (measures x sub-dimensions) with rows summing to 1, used on every draw:
m = A mu. Each measure has an outcome, what a respondent's answer is turned into: a score between the ends of a scale; a
share, 100 if the answer counts and 0 if not; a count, the number that was answered; ordinal, the code of the answer.
Shares may be declared the parts of one whole, a composition: estimates of these add up in every draw.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, Problems, check_kinds, shown
from buurtsae.files import read_toml
from buurtsae.notes import Note
from buurtsae.scale import PERCENT, SCORE, Scale
from buurtsae.sparse import Floats
from buurtsae.survey.design_columns import RESERVED
from buurtsae.survey.scales import Scores, score
from buurtsae.survey.survey import Survey

MOST, LEAST = 200, 1e-6
RANGE = f"> 0, from {LEAST:g} to {1 / LEAST:g}"
Outcome = Literal["score", "share", "count", "ordinal"]
SCALES = {  # of measures without one of their own; of a score that of the concept
    "share": PERCENT,
    "count": Scale(0, math.inf, "aantal", "number"),
    "ordinal": Scale(-math.inf, math.inf, "antwoord", "answer"),
}


@dataclass(frozen=True)
class Measure:
    """One node of the concept.

    Attributes
    ----------
    id, nl, en : str
        Identifier, Dutch and English title.
    about, about_en : str
        What it is.
    parent : str, optional
        The node that it is a part of; several nodes may have none.
    weight : float
        Within the parent, relative to the other parts.
    outcome : {"score", "share", "count", "ordinal"}
        What an answer is turned into. A node with parts has theirs.
    scale : Scale, optional
        By default that of the concept for a score, 0-100 in per cent for a share, from 0 for a count.
    unit, unit_en : str
        Of figures, in place of that of the scale.

    Examples
    --------
    >>> Measure("eenzaam", "Eenzaam", "lonely", "voelt zich eenzaam", outcome="share").scale_beside(SCORE).label
    '%'
    """

    id: str
    nl: str
    en: str
    about: str
    parent: str | None = None
    weight: float = 1.0
    about_en: str = ""
    outcome: Outcome = "score"
    scale: Scale | None = None
    unit: str = ""
    unit_en: str = ""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    def scale_beside(self, other: Scale) -> Scale:
        """Return its scale, in a concept whose scores are on another."""
        scale = self.scale or SCALES.get(self.outcome, other)
        return replace(scale, nl=self.unit, en=self.unit_en or self.unit) if self.unit else scale


@dataclass(frozen=True)
class Concept:
    """The measures.

    Attributes
    ----------
    nodes : mapping of identifier to Measure, in the order of the concept file
    scale : Scale
        Of scores without one of their own: 0-10 unless the file has a table `[scale]` with `lower`, `upper`, the unit
        `nl` and `en`, and `decimals`.
    title, title_en : str
        What the measures are together; that of the total where there is one.
    compositions : mapping of name to tuple of str
        Shares that are the parts of one whole, from a table `[compositions]` of the file: each part one answer of all
        that can be given to a question.

    Examples
    --------
    >>> concept = Concept.load()
    >>> concept.matrix_of(concept.subdimensions).loc["sociale_verbondenheid"].to_dict()
    {'omgang_en_relaties': 0.5, 'participatie': 0.5, 'plaatsidentiteit': 0.0, 'plaatsgeschiktheid': 0.0}
    """

    nodes: Mapping[str, Measure]
    scale: Scale = SCORE
    title: str = ""
    title_en: str = ""
    compositions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Concept:
        """Read a concept file (TOML); without a path, the concept of buurtverbondenheid.

        Raises
        ------
        DataError or ProblemsError
            On an unknown key or parent, a duplicate identifier, a weight that is not positive, a node that is its own
            ancestor, or one whose parts are of several outcomes or scales; a composition of other than shares.
        """
        from pydantic import TypeAdapter, ValidationError  # takes long to import

        check_kinds(path=(path, (str, Path, type(None))))
        source = Path(str(resources.files("buurtsae.survey"))) / "concept.toml" if path is None else Path(path)
        raw = read_toml(source, "the concept")[1]
        form = "[[node]] tables as in the package's concept"
        try:
            nodes = TypeAdapter(list[Measure]).validate_python(raw.get("node"))
            scale = TypeAdapter(Scale).validate_python(raw["scale"]) if "scale" in raw else SCORE
            wholes = TypeAdapter(dict[str, tuple[str, ...]]).validate_python(raw.get("compositions", {}))
        except ValidationError as error:
            where = {"list": "node", "dict": "compositions"}.get(error.title.partition("[")[0], "scale")
            faults = shown(f"{'.'.join(map(str, (where, *fault['loc'])))}: {fault['msg']}" for fault in error.errors())
            raise DataError("the concept cannot be read", faults, form, "correct it") from error
        if not 0 < len(nodes) <= MOST:
            hint = "leave some out" if nodes else "add one"
            raise DataError("the number of measures of the concept", str(len(nodes)), f"1 to {MOST}", hint)
        titles = {key: raw.get(key, "") for key in ("title", "title_en")}
        _check_nodes(nodes, raw, titles)
        concept = cls({node.id: node for node in nodes}, scale, **titles, compositions=wholes)
        problems = Problems()
        for measure in concept.measures[len(concept.subdimensions) :]:
            concept._check_parts(measure, problems)
        for measure in concept.subdimensions:
            if concept.outcome_of(measure) == "share" and not concept.scale_of(measure).bounded:
                what, ends = f"share {measure} has not two ends", str(concept.scale_of(measure).range)
                problems.add(what, ends, "`lower` and `upper`: 0 and 100 by default", "leave `scale` out")
        concept._check_compositions(problems)
        problems.raise_if_any()
        return concept

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

    def outcome_of(self, measure: str) -> Outcome:
        """Return what a measure is: score, share, count or ordinal; of a mean that of its parts."""
        return self.nodes[self.leaves(measure)[0]].outcome

    def scale_of(self, measure: str) -> Scale:
        """Return what figures of a measure can be; of a mean those of its parts."""
        return self.nodes[self.leaves(measure)[0]].scale_beside(self.scale)

    @property
    def alike(self) -> bool:
        """Whether all measures have one outcome and scale."""
        return len({(self.outcome_of(measure), self.scale_of(measure)) for measure in self.subdimensions}) == 1

    @cached_property
    def span(self) -> Scale:
        """The scale of all measures, or one that holds all of theirs."""
        return Scale.spanning(map(self.scale_of, self.subdimensions))

    def on(self, scales: Mapping[str, Scale]) -> Concept:
        """Return the concept with other scales of the sub-dimensions named."""
        nodes = {name: replace(node, scale=scales.get(name, node.scale)) for name, node in self.nodes.items()}
        return replace(self, nodes=nodes)

    @property
    def total(self) -> Measure | None:
        """The node above all others, if there is one."""
        roots = [node for node in self.nodes.values() if node.parent is None]
        return roots[0] if len(roots) == 1 else None

    @property
    def heading(self) -> Note:
        """What the measures are together."""
        nl, en = (self.total.nl, self.total.en) if self.total else ("Cijfers", "Figures")
        nl = self.title or nl
        en = self.title_en or self.title or en
        return Note(en[:1].upper() + en[1:], nl)

    @property
    def noun(self) -> Note:
        """What a figure is called: a score, if all measures are."""
        scores = all(self.outcome_of(measure) == "score" for measure in self.subdimensions)
        return Note("score", "score") if scores else Note("figure", "cijfer")

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
        """Turn the items of a survey into figures of each sub-dimension on its scale, by the codebook.

        Parameters
        ----------
        survey : Survey
        method : {"sum", "graded"}
            Of scores: means of items, or those of a graded response model; see `buurtsae.survey.scales`.

        Raises
        ------
        DataError or ProblemsError
            If the codebook informs sub-dimensions that the concept does not have, or says another outcome of one; or a
            score is on a scale without two ends.
        ModelError
            If there is no such method, or the graded response model does not converge.
        """
        check_kinds(survey=(survey, Survey))
        book, problems = survey.codebook, Problems()
        if unknown := sorted({item.subdimension for item in book.items} - set(self.subdimensions)):
            what = f"codebook {book.id} informs unknown sub-dimensions"
            hint = "correct the codebook, or load the concept it belongs to"
            problems.add(what, ", ".join(unknown), ", ".join(self.subdimensions), hint)
        for part in book.scales:
            name = part.subdimension
            if name in self.subdimensions and part.outcome != self.outcome_of(name):
                what = f"codebook {book.id}, scale {part.id}: {name} has another outcome in the concept"
                problems.add(what, part.outcome, self.outcome_of(name), ASKED[self.outcome_of(name)])
        informed = {name for name in book.subdimensions if name in self.subdimensions}
        for scale in {self.scale_of(name) for name in informed if self.outcome_of(name) == "score"}:
            if not scale.bounded:
                what, hint = "answers are scored between two ends", "give both, or start from direct estimates"
                ends = "`lower` and `upper` in its table [scale]"
                problems.add(what, f"a concept of figures {scale.range}", ends, hint)
        problems.raise_if_any()
        scores = score(survey, self.subdimensions, method)
        frame, errors = scores.frame.copy(), None if scores.errors is None else scores.errors.copy()
        for name in self.subdimensions:
            scale = self.scale_of(name)
            if self.outcome_of(name) in ("score", "share"):  # others are the numbers that were answered
                frame[name] = scale.lower + scale.point * frame[name]
                if errors is not None:
                    errors[name] = scale.point * errors[name]
        return replace(scores, frame=frame, errors=errors)

    def __repr__(self) -> str:
        return f"Concept of {len(self.nodes)} measures, of which sub-dimensions {shown(self.subdimensions)}"

    def _path(self, measure: str) -> tuple[str, ...]:
        node = self.nodes[measure]
        return (measure,) if node.parent is None else (measure, *self._path(node.parent))

    def _check_parts(self, measure: str, problems: Problems) -> None:
        """Parts of a mean have one outcome and scale, which are its own."""
        node, parts = self.nodes[measure], self.leaves(measure)
        kinds = [(self.outcome_of(part), self.scale_of(part)) for part in parts]
        named = [f"{part}: {kind} {scale.words}" for part, (kind, scale) in zip(parts, kinds, strict=True)]
        if len(set(kinds)) > 1:
            hint = "leave the node above them out: measures without a parent stand by themselves"
            problems.add(f"the concept's node {measure!r} is a mean of unlike parts", shown(named, 10),
                         "parts of one outcome and scale", hint)  # fmt: skip
        elif kinds[0][0] == "ordinal":
            hint = "leave it out, or make its parts scores"
            problems.add(f"the concept's node {measure!r} is a mean of codes", shown(named, 10), "numbers", hint)
        elif (node.outcome != "score" or node.scale is not None or node.unit) and (
            (node.outcome, node.scale_beside(self.scale)) != kinds[0]
        ):
            got = f"{node.outcome} {node.scale_beside(self.scale).words}"
            hint = "leave `outcome`, `scale` and `unit` out: they are those of the parts"
            problems.add(f"the concept's node {measure!r} is unlike its parts", got, shown(named, 10), hint)

    def _check_compositions(self, problems: Problems) -> None:
        """Parts of a whole are several shares on one scale from 0, each of one whole."""
        every = [part for parts in self.compositions.values() for part in parts]
        for name, parts in self.compositions.items():
            where, known = f"the concept's composition {name!r}", [part for part in parts if part in self.subdimensions]
            kinds = {part: f"{self.outcome_of(part)} {self.scale_of(part).range}" for part in known}
            if len(parts) < 2:
                problems.add(f"{where} has fewer than two parts", shown(parts) or "none", "all parts", "name them")
            if unknown := [part for part in parts if part not in known]:
                hint = "name measures without parts of their own"
                problems.add(f"{where} has unknown parts", shown(unknown), shown(self.subdimensions, 10), hint)
            if twice := sorted({part for part in parts if every.count(part) > 1}):
                problems.add(f"{where} has parts that are named twice", shown(twice), "one whole each", "leave one out")
            from_0 = all(self.outcome_of(part) == "share" and self.scale_of(part).lower == 0 for part in known)
            if known and (not from_0 or len(set(kinds.values())) > 1):
                got = shown((f"{part}: {kind}" for part, kind in kinds.items()), 10)
                hint = 'give each `outcome = "share"`, and no scale of its own'
                problems.add(f"{where} is not one of shares", got, "shares on one scale from 0", hint)


ASKED = {
    "score": "give the codebook's scale `worst` and `best`, or the concept's node an `outcome`",
    "share": "say in the codebook which answers count: share = { above = 3 }",
    "count": 'say `outcome = "count"` in the codebook\'s scale',
    "ordinal": 'say `outcome = "ordinal"` in the codebook\'s scale',
}


def _check_nodes(nodes: Sequence[Measure], raw: Mapping[str, Any], titles: Mapping[str, Any]) -> None:
    """Refuse what is no set of trees, all at once."""
    ids, problems = [node.id for node in nodes], Problems()
    for key, value in titles.items():
        if not isinstance(value, str):
            problems.add(f"the concept's {key} is no text", repr(value), "a text", "correct it")
    if unknown := sorted(set(raw) - {"node", "scale", "compositions", *titles}):
        known = "title, title_en, scale, compositions, node"
        problems.add("the concept has unknown keys", shown(unknown), known, "remove them")
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
    problems.raise_if_any()
    rooted = {node.id for node in nodes if node.parent is None}
    while more := {node.id for node in nodes if node.parent in rooted} - rooted:
        rooted |= more
    if loose := [name for name in ids if name not in rooted]:
        hint = "correct `parent`"
        raise DataError("the concept has a circle", shown(loose), "trees: every node below one without parent", hint)
