"""From the parts of a run file to models: terms on the graph of the areas, outcomes of the concept, and of persons."""

from __future__ import annotations

from functools import partial

import numpy as np

from buurtsae.areas.areas import Areas
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.persons.answer import Ladder
from buurtsae.model.persons.registry import PERSON_TERMS
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import TERMS, Term
from buurtsae.runs.runfile import RunFile, RunSpec
from buurtsae.survey.cells import Cells
from buurtsae.survey.concept import Concept
from buurtsae.survey.margins import Margin
from buurtsae.tables import read_table


def model_of(spec: RunSpec, areas: Areas, concept: Concept) -> AreaModel:
    """Return the model that a run file asks for, on the graph of its areas and with the outcomes of its concept."""
    part = spec.model
    graph = partial(areas.graph, spec.graph.rule, spec.graph.bridges)
    terms: list[Term] = [TERMS[t.type].made({k: v for k, v in t if k != "type"}, graph) for t in part.terms]
    if (years := spec.years) is not None:
        terms = [years.over_time(term) for term in terms]
    return AreaModel(
        part.formula,
        tuple(terms),
        part.intercept,
        part.coefficient,
        part.link,
        part.participatory,
        spec.variances.spread if spec.variances.method == "joint" else None,
        spec.covariates,
        part.missing,
        outcome_of(concept, spec.unit is not None),
        "expected" if spec.unit else part.estimand,
        part.smooth,
        trend="auto" if spec.years is None else spec.years.over_years,
        breaks=() if spec.years is None else spec.years.breaks,
    )


def outcome_of(concept: Concept, of_persons: bool = False) -> Outcome:
    """Return the outcome of a concept's measures: one for all where these are scores on one scale.

    Raises
    ------
    ModelError
        If answers of a measure are ordinal: figures of areas have no place for these, but as figures of persons.
    """
    measures = concept.subdimensions
    ordinal = [measure for measure in measures if concept.outcome_of(measure) == "ordinal"]
    if ordinal and not of_persons:
        hint = "give them the outcome share or score, or model persons: [unit]"
        raise ModelError("ordered answers are modelled per person", shown(ordinal), "score, share or count", hint)
    if concept.alike and concept.outcome_of(measures[0]) == "score":
        return Gaussian(concept.scale_of(measures[0]))
    return PerMeasure({measure: _outcome(concept, measure) for measure in measures})


def _outcome(concept: Concept, measure: str) -> Outcome:
    scale = concept.scale_of(measure)
    match concept.outcome_of(measure):
        case "share":
            return Binomial(effective=True, scale=scale)
        case "count":
            return Poisson(effective=True)
        case _:
            return Gaussian(scale)


def unit_models(spec: RunSpec, areas: Areas, concept: Concept) -> dict[str, UnitModel]:
    """Return the model of persons of each measure of a concept.

    Raises
    ------
    ModelError or ProblemsError
        On a term that cannot be, counts, and means of measures: their error depends on how measures go together.
    """
    part, unit, problems = spec.model, spec.unit, Problems()
    assert unit is not None  # asked for
    if above := concept.measures[len(concept.subdimensions) :]:
        hint = "leave these nodes out of the concept, or model areas: without [unit]"
        problems.add("means of measures are not modelled of persons", shown(above), "measures without a parent", hint,
                     ModelError)  # fmt: skip
    outcomes = dict[str, object]()
    for measure in concept.subdimensions:
        match concept.outcome_of(measure):
            case "ordinal":
                outcomes[measure] = Ladder()
            case "count":
                hint = "give it the outcome score or share, or model areas: without [unit]"
                problems.add("counts are not modelled of persons", measure, "score, share or ordinal", hint, ModelError)
            case _:
                outcomes[measure] = _outcome(concept, measure)
    graph = partial(areas.graph, spec.graph.rule, spec.graph.bridges)
    terms = [problems.attempt(TERMS[t.type].made, {k: v for k, v in t if k != "type"}, graph) for t in part.terms]
    persons = [problems.attempt(PERSON_TERMS[t.type], **{k: v for k, v in t if k != "type"}) for t in unit.terms]
    problems.raise_if_any()
    intercept = {"intercept": part.intercept} if "intercept" in part.model_fields_set else {}
    made = {
        measure: problems.attempt(
            UnitModel, part.formula, terms, persons, outcome, coefficient=part.coefficient,
            covariates=spec.covariates, missing=part.missing, estimand=part.estimand, **intercept,
        )
        for measure, outcome in outcomes.items()
    }  # fmt: skip
    problems.raise_if_any()
    return {measure: model for measure, model in made.items() if model is not None}


def cells_of(run: RunFile, areas: Areas) -> tuple[Cells, ...]:
    """Return the tables of residents that a run file asks for: one, or several where these are uncertain.

    Raises
    ------
    DataError or ProblemsError
        As `Cells.from_frame` and `Cells.from_margins`.
    """
    unit = run.spec.unit
    assert unit is not None  # asked for
    part, levels = unit.cells, unit.characteristics
    if part.margins:
        margins = [
            Margin(m.on, {level: column or None for level, column in m.columns.items()}, m.per_cent, m.part)
            for m in part.margins
        ]
        table = read_table(run.locate(part.file), text=[part.area])
        seed = read_table(run.locate(str(part.seed)), text=[part.by, *(m.on for m in margins)])
        cells = Cells.from_margins(table, areas, margins, seed, area=part.area, by=part.by, count=part.count)
    else:
        cells = Cells.read(
            run.locate(part.file), areas, area=part.area, count=part.count, characteristics=levels or None,
            bins=part.bins,
        )  # fmt: skip
    if part.tables == 1:
        return (cells,)
    rng = np.random.default_rng([run.spec.run.seed, 3])
    return cells.tables(rng, part.tables, part.noise, rounding=part.rounding, secret=part.secret)
