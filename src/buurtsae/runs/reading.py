"""The inputs of a run file: all of them read and checked, and every problem of every input recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.engines.base import engine_options
from buurtsae.engines.persons_fit import person_options
from buurtsae.errors import BuurtsaeError, Problems
from buurtsae.estimates.benchmark.targets import Benchmarks
from buurtsae.estimates.compositions import refuse_benchmarks, wholes
from buurtsae.files import with_parts
from buurtsae.folder.finished import digest
from buurtsae.model.design import Design, design
from buurtsae.model.matrix import covariates, numeric
from buurtsae.model.parts import Part, parts
from buurtsae.model.plausible import figures
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Note
from buurtsae.retrieved import Record, read_record
from buurtsae.runs.build import cells_of, model_of
from buurtsae.runs.editions import crosswalk, edition_of
from buurtsae.runs.persons import Persons, asked, persons_of
from buurtsae.runs.runfile import RunFile, SourcePart, read_run
from buurtsae.survey.cells import Cells
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.editions import on_edition
from buurtsae.survey.plausible import same_files
from buurtsae.survey.references import named
from buurtsae.survey.reliability import Reliability, reliability
from buurtsae.survey.scales import Scores
from buurtsae.survey.survey import Survey, check_areas, check_codes
from buurtsae.tables import read_table


@dataclass(frozen=True)
class Inputs:
    """Everything a run needs, read and checked."""

    run: RunFile
    concept: Concept
    direct: DirectEstimates
    model: AreaModel
    design: Design
    scales: tuple[Reliability, ...] = ()
    benchmarks: Benchmarks | None = None
    persons: Persons | None = None
    records: tuple[Record, ...] = ()

    @property
    def areas(self) -> Areas:
        """Those of the direct estimates."""
        return self.direct.areas

    @property
    def notes(self) -> list[Note]:
        """What was noticed, repaired or filled in while reading."""
        of_persons = self.persons.notes if self.persons else ()
        return list(dict.fromkeys([*self.areas.notes, *self.direct.notes, *self.design.notes, *of_persons]))

    @property
    def words(self) -> Note:
        """The model, or the models of persons, in words."""
        return self.model.words if self.persons is None else self.persons.words

    @property
    def parts(self) -> list[Part]:
        """Connected parts of the graph, if the model has one, and who answered there."""
        return parts(self.model.graph, self.direct) if self.model.graph else []

    @property
    def reliability(self) -> list[dict[str, Any]]:
        """Rows of the report on scales."""
        return [{"source": part.source, **row} for part in self.scales for row in part.scales.to_dict("records")]


def read_inputs(path: str | Path, problems: Problems) -> Inputs | None:
    """Read all inputs of a run file, recording every problem; None when not all of them could be read."""
    run = read_run(path, problems)
    if run is None:
        return None
    spec = run.spec
    for name in dict.fromkeys([spec.run.engine, *spec.engine]):
        known = engine_options if spec.unit is None or name != spec.run.engine else person_options
        problems.attempt(known, name, spec.engine.get(name, {}))
    areas = problems.attempt(areas_of, run)
    records = tuple(record for file in run.files if (record := problems.attempt(read_record, file)) is not None)
    cells = None if spec.unit is None or areas is None else problems.attempt(cells_of, run, areas)
    if areas is not None and cells is not None:  # figures are of who lives in the cells
        residents = np.mean([table.residents() for table in cells], axis=0)
        areas = replace(areas, frame=areas.frame.assign(population=residents), alike=False)
    surveys = _surveys(run, areas, cells, problems)
    concept = problems.attempt(_concept, run)
    if areas is None:
        return None
    estimates = persons = None
    if concept is not None and spec.direct is not None:
        estimates = problems.attempt(_table, run, areas, concept)
    elif concept is not None:
        scores = _scores(run, concept, surveys, areas, problems)
        if scores is not None and cells is not None and (made := persons_of(run, concept, scores, cells, problems)):
            persons, concept, scores = made
        if scores is not None and (spec.unit is None or persons is not None):
            estimates = _estimates(run, areas, scores, surveys, problems)
    model = problems.attempt(model_of, spec, areas, concept or Concept.load())
    if estimates is None or concept is None:
        if model is not None:
            problems.attempt(covariates, model, areas)
            problems.sift(figures(areas))
        return None
    problems.attempt(wholes, concept, estimates.subdimensions)
    if spec.benchmark is not None:
        problems.attempt(refuse_benchmarks, concept)
    benchmarks = problems.attempt(_benchmarks, run, areas, concept, estimates)
    if spec.sensitivity is not None:
        problems.attempt(spec.sensitivity.shares, estimates, [part.response for part in spec.used])
    arrays = None if model is None else problems.attempt(design, model, estimates)
    if model is None or arrays is None:
        return None
    scales = tuple(map(reliability, surveys))
    labels = named([part.source for part in scales], [part.year for part in scales])
    of_scales = [note.under(label, ", ") for label, part in zip(labels, scales, strict=True) for note in part.notes]
    of_records = [note for record in records for note in record.remarks]
    estimates = replace(estimates, notes=tuple(dict.fromkeys((*estimates.notes, *of_scales, *of_records))))
    return Inputs(run, concept, estimates, model, arrays, scales, benchmarks, persons, records)


@dataclass(frozen=True)
class _Map:
    """The areas that a run file asks for: the same for the same keys and the same content of files."""

    keys: str
    content: tuple[str, ...]
    run: RunFile = field(compare=False)


def areas_of(run: RunFile) -> Areas:
    """Return the areas of a run file, read once per process: with their graph they are the same for many runs.

    Raises
    ------
    DataError or ProblemsError
        As `Areas.read`.
    """
    part = run.spec.areas
    names = (part.file, *(table.file for table in part.tables), *(edition.file for edition in part.editions))
    try:
        content = tuple(digest(file) for name in names for file in with_parts(run.locate(name)))
    except (OSError, ValueError):  # whoever reads that file says what is wrong, with all else that is
        return _read_areas(run)
    return _read_once(_Map(part.model_dump_json(), content, run))


def forget_areas() -> None:
    """Let go of the areas that were read."""
    _read_once.cache_clear()


@lru_cache(maxsize=2)  # of the country each takes some hundred MB
def _read_once(key: _Map) -> Areas:
    return _read_areas(key.run)


def _read_areas(run: RunFile) -> Areas:
    part = run.spec.areas
    areas = Areas.read(
        run.locate(part.file),
        part.year,
        tables=[(run.locate(table.file), table.key) for table in part.tables],
        **part.model_dump(include={"code", "name", "population", "where", "region", "groupings"}),
    )
    for edition in part.editions:
        areas = areas.with_edition(crosswalk(edition, run.locate(edition.file), areas))
    return areas


def _concept(run: RunFile) -> Concept:
    """The concept, with the weights of the run file."""
    part = run.spec.concept
    return Concept.load(run.locate(part.file) if part.file else None).weighted(part.weights)


def _benchmarks(run: RunFile, areas: Areas, concept: Concept, estimates: DirectEstimates) -> Benchmarks | None:
    """The benchmarks of a file; of those that a fit will give, only whether their level exists."""
    part = run.spec.benchmark
    if part is None:
        return None
    if part.file is not None:
        return Benchmarks.read(run.locate(part.file), areas, concept, estimates.subdimensions, exact=part.exact)
    areas.parents(str(part.level))
    return None


def _surveys(run: RunFile, areas: Areas | None, cells: Sequence[Cells] | None, problems: Problems) -> list[Survey]:
    """Read the sources that are used; only those that are in order, while every problem is recorded."""
    surveys = []
    for part in run.spec.used:
        before = len(problems.found)
        survey = problems.attempt(_survey, run, part, cells)
        if survey is None and areas is not None:
            _other_codes(run, part, areas, problems)
        elif survey is not None and areas is not None:
            if edition_of(part, areas) is None:
                survey = survey.within(areas) if part.unknown_areas == "drop" else survey
                check_areas(survey, areas, problems, part.code_year)
            if len(problems.found) == before:
                surveys.append(survey)
    return surveys


def _scored(concept: Concept, survey: Survey, part: SourcePart, areas: Areas) -> Scores:
    """Scores of a source, those of an old edition on its areas."""
    scores, level = concept.score(survey, part.scoring), edition_of(part, areas)
    return scores if level is None else on_edition(scores, areas, level)


def _scores(
    run: RunFile, concept: Concept, surveys: list[Survey], areas: Areas, problems: Problems
) -> list[Scores] | None:
    """Scores of all sources, when these are in order."""
    if len(surveys) < len(run.spec.used):
        return None
    pairs = zip(surveys, run.spec.used, strict=True)
    scores = [problems.attempt(_scored, concept, survey, part, areas) for survey, part in pairs]
    return None if None in scores else scores  # type: ignore[return-value]  # none is None


def _estimates(
    run: RunFile, areas: Areas, scores: list[Scores], surveys: list[Survey], problems: Problems
) -> DirectEstimates | None:
    """Direct estimates of all sources."""
    spec = run.spec
    pairs = list(zip(surveys, spec.used, strict=True))
    estimates = problems.attempt(
        direct,
        scores,
        areas,
        variances="pooled" if spec.variances.method == "joint" else spec.variances.method,
        sd={survey.codebook.id: part.sd for survey, part in pairs if part.sd is not None},
        covariates=numeric(spec.model.formula, areas),
    )
    if estimates is None:
        return None
    files = same_files({f"{survey.codebook.id} {part.year}": run.locate(part.file) for survey, part in pairs})
    estimates = estimates if spec.years is None else problems.attempt(estimates.by_year, spec.years.also)
    if estimates is None:
        return None
    return replace(estimates, notes=tuple(dict.fromkeys((*spec.notes, *files, *estimates.notes))))


def _survey(run: RunFile, part: SourcePart, cells: Sequence[Cells] | None) -> Survey:
    unit = run.spec.unit
    return Survey.read(
        run.locate(part.file),
        run.codebook(part.source),
        part.year,
        strata_population=run.locate(part.strata_population) if part.strata_population else None,
        replicates=part.replicates,
        characteristics=None if unit is None or cells is None else asked(unit, cells[0], part),
        calibrate=replace(part.calibrate, totals=str(run.locate(part.calibrate.totals))) if part.calibrate else None,
        **part.model_dump(include={"level", "area", "weight", "strata", "not_asked", "cluster", "fpc", "id", "lonely"}),
    )


def _other_codes(run: RunFile, part: SourcePart, areas: Areas, problems: Problems) -> None:
    """Check the area codes of a file in which other columns are wrong, so that one pass finds both."""
    try:
        table = read_table(run.locate(part.file), text=[part.area])
    except BuurtsaeError:  # recorded already: that is why the survey could not be read
        return
    if part.area in table and len(table) and part.unknown_areas == "refuse" and edition_of(part, areas) is None:
        known = table[part.area][~table[part.area].isin(CBS.malformed(table[part.area], part.level))]
        check_codes(known.dropna(), part.source, part.level, areas, problems, part.code_year)


def _table(run: RunFile, areas: Areas, concept: Concept) -> DirectEstimates:
    part = run.spec.direct
    assert part is not None  # asked for
    return DirectEstimates.from_table(
        run.locate(part.file),
        areas,
        concept,
        covariances=run.locate(part.covariances) if part.covariances else None,
        year=part.year or run.spec.run.year,
        **part.model_dump(include={"smooth", "unknown_areas"}),
    )
