"""A run file from end to end: read, check, direct estimates, fit, estimates, quality, publish.

`read_inputs` reads everything and records every problem of every input; nothing is fitted or written before all is
clean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buurtsae.areas import codes
from buurtsae.areas.areas import Areas
from buurtsae.engines.base import Fit, engine_options, fit
from buurtsae.errors import BuurtsaeError, DataError, Problems, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked, benchmark
from buurtsae.estimates.benchmark.targets import Benchmarks
from buurtsae.estimates.evidence.quality import Gate
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.folder.target import Target, claimed
from buurtsae.model.design import Design, design
from buurtsae.model.matrix import covariates
from buurtsae.model.plausible import figures
from buurtsae.model.spec import AreaModel
from buurtsae.notes import MADE, Note
from buurtsae.publication.manifest import Provenance, hashes, now, run_id
from buurtsae.publication.output import FILES, publish
from buurtsae.runs.build import model_of
from buurtsae.runs.runfile import RunFile, RunSpec, SourcePart, read_run
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.plausible import same_files
from buurtsae.survey.population_totals import Calibration
from buurtsae.survey.reliability import Reliability, reliability
from buurtsae.survey.replicates import ReplicatePlan
from buurtsae.survey.survey import Survey, check_areas, check_codes
from buurtsae.tables import read_table

if TYPE_CHECKING:
    from buurtsae.estimates.planning.plan import Plan
    from buurtsae.estimates.words.curves import Curves

Say = Callable[[str], None]


@dataclass(frozen=True)
class Inputs:
    """Everything a run needs, read and checked."""

    run: RunFile
    areas: Areas
    direct: DirectEstimates
    model: AreaModel
    design: Design
    files: tuple[Path, ...]
    scales: tuple[Reliability, ...] = ()
    benchmarks: Benchmarks | None = None

    @property
    def notes(self) -> list[Note]:
        """What was noticed, repaired or filled in while reading."""
        return [*self.areas.notes, *self.direct.notes, *self.design.notes]

    @property
    def reliability(self) -> list[dict[str, Any]]:
        """Rows of the report on scales."""
        return [{"source": r.source, **row} for r in self.scales for row in r.scales.to_dict("records")]


@dataclass(frozen=True)
class Outcome:
    """A finished run: the estimates, the quality report, and where the files are."""

    estimates: Estimates
    quality: dict[str, Any]
    folder: Path

    @property
    def passed(self) -> bool:
        """Whether the quality gate was met."""
        return bool(self.quality["gate"]["passed"])


def example() -> Path:
    """Return the run file of the example: inside the installed package, or in the checkout."""
    inside = Path(str(resources.files("buurtsae"))) / "example" / "models" / "voorbeeldstad.toml"
    checkout = Path(__file__).parents[3] / "models" / "voorbeeldstad.toml"
    for path in (inside, checkout):
        if path.is_file():
            return path
    raise DataError(
        "the example is not installed", f"no file {inside}", "voorbeeldstad.toml", "install the package again"
    )


def check(path: str | Path) -> Inputs:
    """Read and validate all inputs of a run file; fit nothing.

    Raises
    ------
    DataError, ModelError or ProblemsError
        Every problem of every input.
    """
    problems = Problems()
    inputs = read_inputs(path, problems)
    problems.raise_if_any()
    assert inputs is not None  # without problems everything was read
    return inputs


def run(
    path: str | Path,
    to: str | Path,
    *,
    seed: int | None = None,
    engine: str | None = None,
    progress: bool = True,
    say: Say = lambda text: None,
) -> Outcome:
    """Run a run file from end to end.

    Parameters
    ----------
    path, to : path
        The run file, and the folder for the results.
    seed, engine : optional
        Instead of those of the run file.
    progress : bool
        Show the engine's progress on stderr.
    say : callable
        Told what is being done, one line at a time.
    """
    with claimed(to, FILES) as target:
        est, report = _run(path, target, seed, engine, progress, say)
    return Outcome(est, report, Path(to))


def _run(
    path: str | Path, target: Target, seed: int | None, engine: str | None, progress: bool, say: Say
) -> tuple[Estimates, dict[str, Any]]:
    created = now()
    clock: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        say(name)
        start = time.perf_counter()
        result = step()
        clock[name] = round(time.perf_counter() - start, 2)
        return result

    inputs: Inputs = timed("read and check", lambda: check(path))
    spec = inputs.run.spec
    chosen, made = spec.run.engine if engine is None else engine, spec.run.fictitious
    number = spec.run.seed if seed is None else seed
    options = spec.engine.get(chosen, {})
    engine_options(chosen, options)
    settings = spec.model_dump(mode="json") | {"used": {"engine": chosen, "seed": number}}
    files = hashes(inputs.files, inputs.run.path.resolve().parent.parent)
    key = run_id(files, settings)
    say(f"{inputs.areas!r}\n{inputs.direct!r}\n{inputs.model}")
    fitted = timed(
        "fit", lambda: fit(inputs.model, inputs.direct, inputs.areas, chosen, number, progress=progress, **options)
    )
    rules = _rules(spec)
    final = fitted if spec.benchmark is None else timed("benchmarks", lambda: _benchmarked(inputs, fitted))
    est: Estimates = timed(
        "estimates",
        lambda: estimate(
            final, concept=_concept(inputs.run), rules=rules, year=spec.run.year, run_id=key, fictitious=made
        ),
    )
    if fitted.draws.certificate is None:
        timed("convergence", lambda: est.convergence)
    provenance = Provenance(spec.run.title, files, settings, clock, created)
    gate = Gate(**spec.quality.model_dump())
    say("quality and files")
    report = publish(
        est,
        target,
        gate=gate,
        provenance=provenance,
        draws=spec.publish.draws,
        scales=inputs.reliability,
        weights=spec.concept.sensitivity,
    )
    return est, report


def plan(
    path: str | Path, *, seed: int | None = None, progress: bool = True, say: Say = lambda text: None, **options: Any
) -> Plan:
    """Fit a run file's model and plan where more respondents help; labels by its rules.

    Parameters
    ----------
    path, seed, progress, say
        As `run`.
    **options
        Those of `buurtsae.estimates.planning.plan.plan`; `budget` is needed.
    """
    from buurtsae.estimates.planning.plan import check_plan
    from buurtsae.estimates.planning.plan import plan as planned

    inputs = check(path)
    options |= {"rules": _rules(inputs.run.spec), "concept": _concept(inputs.run)}
    check_plan(inputs.direct, **options)
    return planned(_fitted(inputs, seed, progress, say), **options)


def curves(
    path: str | Path,
    covariates: Sequence[str] = (),
    *,
    seed: int | None = None,
    progress: bool = True,
    say: Say = lambda text: None,
) -> list[Curves]:
    """Fit a run file's model, with and without its spatial field, and return what goes with its covariates.

    Parameters
    ----------
    path, seed, progress, say
        As `run`.
    covariates : sequence of str
        All of the formula by default.
    """
    from buurtsae.estimates.words.curves import curves as drawn
    from buurtsae.estimates.words.curves import without_field

    inputs = check(path)
    spec, names = inputs.run.spec, [c.name for c in inputs.design.covariates]
    if not (chosen := list(covariates) or names):
        raise DataError("the formula has no covariates", repr(spec.model.formula), "one or more", "add one")
    if absent := [c for c in chosen if c not in names]:
        raise DataError("the covariate is not in the formula", shown(absent), shown(names, 30), "choose one of these")
    fitted = _fitted(inputs, seed, progress, say)
    say("without the spatial field")
    other = without_field(fitted, **spec.engine.get("laplace", {}))
    return [drawn(fitted, name, concept=_concept(inputs.run), without_field=other) for name in chosen]


def _fitted(inputs: Inputs, seed: int | None, progress: bool, say: Say) -> Fit:
    """The fast engine's fit of what was read, without files."""
    spec = inputs.run.spec
    if spec.run.fictitious:
        say(MADE)
    say(f"{inputs.areas!r}\n{inputs.direct!r}")
    number = spec.run.seed if seed is None else seed
    options = spec.engine.get("laplace", {})
    return fit(inputs.model, inputs.direct, inputs.areas, "laplace", number, progress=progress, **options)


def _rules(spec: RunSpec) -> Rules:
    return Rules(**spec.publish.model_dump(exclude={"draws"}))


def read_inputs(path: str | Path, problems: Problems) -> Inputs | None:
    """Read all inputs of a run file, recording every problem; None when the run file itself cannot be read."""
    run = read_run(path, problems)
    if run is None:
        return None
    spec = run.spec
    for name in dict.fromkeys([spec.run.engine, *spec.engine]):
        _collect(problems, engine_options, name, spec.engine.get(name, {}))
    areas = _collect(problems, _areas, run)
    surveys = _surveys(run, areas, problems)
    concept, start = _collect(problems, _concept, run), None
    if concept is not None:
        of_table = not spec.sources
        start = _collect(problems, _table, run, areas) if of_table else _estimates(run, areas, surveys, problems)
    model = _collect(problems, model_of, spec, areas) if areas is not None else None
    benchmarks = None if areas is None or start is None else _collect(problems, _benchmarks, run, areas, start)
    arrays = None
    if model is not None and areas is not None:
        if start is not None:
            arrays = _collect(problems, design, model, start, areas)
        else:
            _collect(problems, covariates, model, areas)
            problems.sift(figures(areas))
    if areas is None or start is None or model is None or arrays is None:
        return None
    scales = tuple(reliability(s) for s in surveys)
    said = [Note(f"{r.source}, {note}", f"{r.source}, {note.nl}") for r in scales for note in r.notes]
    start = replace(start, notes=tuple(dict.fromkeys((*start.notes, *said))))
    return Inputs(run, areas, start, model, arrays, _files(run), scales, benchmarks)


def _collect(problems: Problems, step: Callable[..., Any], *args: Any) -> Any:
    """Return a step's result, or record what is wrong and return None."""
    try:
        return step(*args)
    except BuurtsaeError as error:
        problems.collect(error)
        return None


def _areas(run: RunFile) -> Areas:
    spec = run.spec.areas
    return Areas.read(
        run.locate(spec.file),
        spec.year,
        tables=[(run.locate(t.file), t.key) for t in spec.tables],
        **spec.model_dump(include={"code", "name", "population", "where", "region", "groupings"}),
    )


def _concept(run: RunFile) -> Concept:
    """The concept, with the weights of the run file."""
    part = run.spec.concept
    return Concept.load(run.locate(part.file) if part.file else None).weighted(part.weights)


def _benchmarks(run: RunFile, areas: Areas, start: DirectEstimates) -> Benchmarks | None:
    """The benchmarks of a file; of those that a fit will give, only whether their level exists."""
    part = run.spec.benchmark
    if part is None:
        return None
    if part.file is not None:
        return Benchmarks.read(run.locate(part.file), areas, _concept(run), start.subdimensions, exact=part.exact)
    areas.parents(str(part.level))
    return None


def _benchmarked(inputs: Inputs, fitted: Fit) -> Benchmarked:
    part = inputs.run.spec.benchmark
    assert part is not None  # asked for
    to = inputs.benchmarks or Benchmarks.of_direct(
        fitted, str(part.level), _concept(inputs.run), min_respondents=part.min_respondents
    )
    return benchmark(fitted, to, method=part.method, covariance=part.covariance, respondents=part.respondents)


def _surveys(run: RunFile, areas: Areas | None, problems: Problems) -> list[Survey]:
    """Read the sources that are used; only those that are in order, while every problem is recorded."""
    surveys = []
    for s in run.spec.used:
        before = len(problems.found)
        survey = _collect(problems, _survey, run, s)
        if survey is None and areas is not None:
            _other_codes(run, s, areas, problems)
        elif survey is not None and areas is not None:
            survey = survey.within(areas) if s.unknown_areas == "drop" else survey
            check_areas(survey, areas, problems, s.code_year)
            if len(problems.found) == before:
                surveys.append(survey)
    return surveys


def _estimates(run: RunFile, areas: Areas | None, surveys: list[Survey], problems: Problems) -> DirectEstimates | None:
    """Scores and direct estimates, when all sources are in order."""
    spec = run.spec
    if areas is None or len(surveys) < len(spec.used):
        return None
    concept, method = _concept(run), spec.variances.method
    scores = [_collect(problems, concept.score, s, u.scoring) for s, u in zip(surveys, spec.used, strict=True)]
    if None in scores:
        return None
    given = {s.codebook.id: u.sd for s, u in zip(surveys, spec.used, strict=True) if u.sd is not None}
    step = partial(direct, variances="gvf" if method == "gvf" else "pooled", sd=given)
    found: DirectEstimates | None = _collect(problems, step, scores, areas)
    if found is None:
        return None
    files = same_files({s.codebook.id: run.locate(u.file) for s, u in zip(surveys, spec.used, strict=True)})
    return replace(found, notes=tuple(dict.fromkeys((*spec.notes, *files, *found.notes))))


def _survey(run: RunFile, s: SourcePart) -> Survey:
    return Survey.read(
        run.locate(s.file),
        run.codebook(s.source),
        s.year,
        strata_population=run.locate(s.strata_population) if s.strata_population else None,
        replicates=ReplicatePlan(**s.replicates.model_dump()) if s.replicates else None,
        calibrate=replace(Calibration(**s.calibrate.model_dump()), totals=run.locate(s.calibrate.totals))
        if s.calibrate
        else None,
        **s.model_dump(include={"level", "area", "weight", "strata", "not_asked", "cluster", "fpc", "id", "lonely"}),
    )


def _other_codes(run: RunFile, s: SourcePart, areas: Areas, problems: Problems) -> None:
    """Check the area codes of a file in which other columns are wrong, so that one pass finds both."""
    try:
        table = read_table(run.locate(s.file), text=[s.area])
    except BuurtsaeError:  # recorded already: that is why the survey could not be read
        return
    if s.area in table and len(table) and s.unknown_areas == "refuse":
        known = table[s.area][~table[s.area].isin(codes.malformed(table[s.area], s.level))]
        check_codes(known.dropna(), s.source, s.level, areas, problems, s.code_year)


def _table(run: RunFile, areas: Areas | None) -> DirectEstimates | None:
    spec = run.spec.direct
    if spec is None or areas is None:
        return None
    return DirectEstimates.from_table(
        run.locate(spec.file),
        areas,
        _concept(run),
        covariances=run.locate(spec.covariances) if spec.covariances else None,
        year=spec.year or run.spec.run.year,
        **spec.model_dump(include={"smooth", "unknown_areas"}),
    )


def _files(run: RunFile) -> tuple[Path, ...]:
    """Every file that the results depend on."""
    spec = run.spec
    names = [spec.areas.file, *(t.file for t in spec.areas.tables), *(s.file for s in spec.used)]
    for s in spec.used:
        names += [*filter(None, [s.strata_population]), *([s.calibrate.totals] if s.calibrate else [])]
    names += [s.source for s in spec.used if s.source.endswith(".toml")]
    names += [spec.concept.file] if spec.concept.file else []
    if spec.benchmark is not None and spec.benchmark.file is not None:
        names.append(spec.benchmark.file)
    if spec.direct is not None:
        names += [spec.direct.file, *filter(None, [spec.direct.covariances])]
    return (run.path.resolve(), *(run.locate(n) for n in dict.fromkeys(names)))
