"""`[unit]` of a run file as data: answers in cells, a model of each measure, and groups of residents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from buurtsae.engines.base import beside
from buurtsae.engines.persons_fit import laid, unweighted
from buurtsae.engines.units import UnitFits, fit_units
from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Domain
from buurtsae.notes import Note
from buurtsae.runs.build import unit_models
from buurtsae.runs.runfile import RunFile, SourcePart
from buurtsae.runs.unit_part import DomainPart, FigurePart, UnitPart
from buurtsae.scale import Scale
from buurtsae.survey.answers import Answers, Kind
from buurtsae.survey.cells import Cells
from buurtsae.survey.concept import Concept, Measure
from buurtsae.survey.design_columns import RESERVED
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.scales import Scores

BETWEEN = " x "  # names of several characteristics, and their levels


@dataclass(frozen=True)
class Persons:
    """What models of persons are fitted to.

    Attributes
    ----------
    cells : tuple of Cells
    models : mapping of measure to UnitModel
    answers : mapping of measure to Answers
    figures : mapping of name to (measure, figure)
    domains : mapping of characteristic to mapping of group to Domain
        Groups that together are all residents.
    scales : mapping of figure to Scale
        Of shares of ordered answers.
    """

    cells: tuple[Cells, ...]
    models: Mapping[str, UnitModel]
    answers: Mapping[str, Answers]
    figures: Mapping[str, tuple[str, str | None]]
    domains: Mapping[str, Mapping[str, Domain]]
    scales: Mapping[str, Scale]

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was noticed of answers and cells."""
        told = [note.under(measure, ": ") for measure, of in self.answers.items() for note in of.notes]
        of_cells = [note for table in self.cells for note in table.notes]
        pairs = ((model, self.answers[measure].scheme) for measure, model in self.models.items())
        of_weights = [note for model, scheme in pairs for note in unweighted(model, scheme, self.cells[0].areas)]
        return tuple(dict.fromkeys([*told, *of_cells, *of_weights]))

    @property
    def words(self) -> Note:
        """Models in words, each once, under its measures."""
        return beside((model.words, measure) for measure, model in self.models.items())

    def fit(self, direct: DirectEstimates, engine: str, seed: int, progress: bool, **options: Any) -> UnitFits:
        """Return all models fitted."""
        tables: Any = list(self.cells)
        return fit_units(
            self.models, self.answers, tables, engine, seed, figures=self.figures, direct=direct, scales=self.scales,
            progress=progress, **options,
        )  # fmt: skip


def asked(unit: UnitPart, cells: Cells, source: SourcePart) -> dict[str, str]:
    """Return what is asked of respondents besides their answers: characteristics and clusters, with their columns."""
    names = [*cells.characteristics, *_clusters(unit)]
    return {name: source.characteristics.get(name, name) for name in names}


def _clusters(unit: UnitPart) -> list[str]:
    on = [dict(term)["on"] for term in unit.terms if term.type == "cluster"]
    return [name for names in on for name in ((names,) if isinstance(names, str) else names)]


def persons_of(
    run: RunFile, concept: Concept, scores: Sequence[Scores], cells: tuple[Cells, ...], problems: Problems
) -> tuple[Persons, Concept, list[Scores]] | None:
    """Return models with their data, and the concept and scores with a measure for each figure; record every problem.

    A measure has the answers of the first source that asks for it.
    """
    unit = run.spec.unit
    assert unit is not None  # asked for
    for part in run.spec.used:
        if unknown := sorted(set(part.characteristics) - set(asked(unit, cells[0], part))):
            what, known = f"`characteristics` of {part.source} are not asked for", shown(asked(unit, cells[0], part))
            problems.add(what, shown(unknown), known, "name characteristics of the cells, or clusters of the terms")
    answers = dict[str, Answers]()
    for measure in concept.subdimensions:
        for part, of in zip(run.spec.used, scores, strict=True):
            if measure not in answers and of.frame[measure].notna().any():
                found = problems.attempt(_answers, unit, part, of, measure, concept, cells[0])
                if found is None:
                    break
                answers[measure] = found
    concept = _within_codes(concept, answers)
    models = problems.attempt(unit_models, run.spec, cells[0].areas, concept)
    scores = list(scores)
    for figure in unit.figures:
        made = problems.attempt(_with_figure, concept, scores, answers, figure)
        concept, scores = made or (concept, scores)
    domains = {
        BETWEEN.join(part.names): groups
        for part in unit.domains
        if (groups := problems.attempt(_groups, part, cells[0])) is not None
    }
    if domains and concept.compositions:
        hint = "leave `domains` out, or the compositions of the concept"
        problems.add("groups of residents do not know that parts add up", shown(concept.compositions),
                     "domains without compositions", hint, ModelError)  # fmt: skip
    if models is None or problems.found:
        return None
    models = {measure: model for measure, model in models.items() if measure in answers}
    for measure, model in models.items():
        problems.attempt(laid, model, answers[measure], cells)
    figures: dict[str, tuple[str, str | None]] = {measure: (measure, None) for measure in answers}
    figures |= {figure.id: (figure.of, figure.figure) for figure in unit.figures}
    order = [measure for measure in concept.subdimensions if measure in figures]
    figures = {measure: figures[measure] for measure in order}
    scales = {figure.id: concept.scale_of(figure.id) for figure in unit.figures}
    return Persons(cells, models, answers, figures, domains, scales), concept, scores


def _answers(unit: UnitPart, part: SourcePart, scores: Scores, measure: str, concept: Concept, cells: Cells) -> Answers:
    outcome = concept.outcome_of(measure)
    kind: Kind = outcome if outcome in ("share", "ordinal") else "score"  # counts are refused with the model
    names = {column: name for name, column in part.characteristics.items()}
    scheme = (part.scheme,) if isinstance(part.scheme, str) else part.scheme
    return Answers.of(
        scores, measure, cells, outcome=kind, weight="weight", effective=unit.effective,
        scheme=[names.get(column, column) for column in scheme], clusters=_clusters(unit),
    )  # fmt: skip


def _within_codes(concept: Concept, answers: Mapping[str, Answers]) -> Concept:
    """The concept, with the ends of the codes for ordered measures that have none."""
    scales = {}
    for measure, of in answers.items():
        scale = concept.scale_of(measure)
        if of.outcome == "ordinal" and not scale.bounded:
            scales[measure] = replace(scale, lower=min(of.categories), upper=max(of.categories))
    return concept.on(scales)


def _with_figure(
    concept: Concept, scores: Sequence[Scores], answers: Mapping[str, Answers], part: FigurePart
) -> tuple[Concept, list[Scores]]:
    """The concept with a figure as a share, and scores of 0 and 100 beside the codes."""
    problems, ordered = Problems(), [name for name, of in answers.items() if of.outcome == "ordinal"]
    if part.id in concept.nodes:
        problems.add(f"figure {part.id} has the name of a measure", part.id, "a name of its own", "rename it")
    elif RESERVED.fullmatch(part.id) or any(part.id in of.frame for of in scores):
        hint = "rename it: respondents have a column of that name"
        problems.add(f"figure {part.id} has a name that is in use", part.id, "a name of its own", hint)
    if part.of not in ordered:
        problems.add(f"figure {part.id} is of no ordered measure", part.of, shown(ordered) or "none", "correct `of`")
        problems.raise_if_any()
    what, _, label = part.figure.partition(" ")
    known = {f"{code:g}": code for code in answers[part.of].categories}
    if label not in (list(known)[:-1] if what == "above" else list(known)):
        hint = f"{what} one of these"
        problems.add(f"figure {part.id} has an unknown category", part.figure, shown(known, 12), hint)
    problems.raise_if_any()
    node = Measure(part.id, part.nl, part.en or part.nl, part.about or part.nl, outcome="share")
    concept = replace(concept, nodes={**concept.nodes, part.id: node})
    scale: Scale = concept.scale_of(part.id)
    out = []
    for of in scores:
        code = of.frame[part.of]
        counts = code > known[label] if what == "above" else code == known[label]
        share = (scale.lower + scale.width * counts).where(code.notna())
        frame = of.frame.assign(**{part.id: share.astype(float)})
        out.append(replace(of, frame=frame, subdimensions=concept.subdimensions))
    return concept, out


def _groups(part: DomainPart, cells: Cells) -> dict[str, Domain]:
    """Groups that divide residents, by name.

    Raises
    ------
    DataError
        If the cells lack a characteristic, or groups are not all levels, each once.
    """
    if absent := [name for name in part.names if name not in cells.characteristics]:
        known = shown(cells.characteristics)
        raise DataError("domains are of no characteristic of the cells", shown(absent), known, "correct `on`")
    levels = [cells.characteristics[name] for name in part.names]
    if not part.groups:
        return {
            BETWEEN.join(parts): {name: [level] for name, level in zip(part.names, parts, strict=True)}
            for parts in product(*levels)
        }
    if len(part.groups) < 2:
        hint = "leave `groups` out for each level by itself"
        raise DataError(f"groups of {part.names[0]} are no groups", shown(part.groups), "two or more", hint)
    named = [level for group in part.groups.values() for level in group]
    if sorted(named) != sorted(levels[0]):
        off = sorted(set(levels[0]).symmetric_difference(named)) or sorted({x for x in named if named.count(x) > 1})
        hint = "groups together are all residents: what is hidden in one would follow otherwise"
        raise DataError(f"groups of {part.names[0]} do not divide its levels", shown(off), "each level once", hint)
    return {group: {part.names[0]: list(of)} for group, of in part.groups.items()}
