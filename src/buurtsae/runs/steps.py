"""What can be done with a run file: check it, run it from end to end, plan more respondents, draw curves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from buurtsae.engines.base import Fit, engine_options, fit
from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked, benchmark
from buurtsae.estimates.benchmark.targets import Benchmarks
from buurtsae.estimates.groups import estimate_groups
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.estimates.trends import trend, without_breaks
from buurtsae.estimates.waves import Waves, estimate_waves
from buurtsae.folder.finished import fingerprint
from buurtsae.folder.target import Target, claimed
from buurtsae.notes import MADE
from buurtsae.publication.manifest import Provenance, hashes, now, run_id
from buurtsae.publication.output import FILES, publish
from buurtsae.runs.reading import Inputs, read_inputs
from buurtsae.runs.runfile import RunFile
from buurtsae.sparse import one_thread

if TYPE_CHECKING:
    from buurtsae.estimates.planning.plan import Plan
    from buurtsae.estimates.words.curves import Curves

CHECKPOINTS = "BUURTSAE_CHECKPOINTS"
KEPT = 30 * 24 * 3600  # seconds: what was weighed for a run that nobody finished
Say = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """A finished run: the estimates, the quality report, where the files are; of several years `waves` has all."""

    estimates: Estimates
    quality: dict[str, Any]
    folder: Path
    waves: Waves | None = None

    def __repr__(self) -> str:
        return f"Outcome in {self.folder}, quality gate {'passed' if self.passed else 'NOT passed'}: {self.estimates!r}"

    @property
    def passed(self) -> bool:
        """Whether the quality gate was met."""
        return bool(self.quality["gate"]["passed"])


@dataclass(frozen=True)
class Identity:
    """What the figures of a run depend on: settings as read, engine and seed, and hashes of all inputs by name."""

    engine: str
    seed: int
    settings: dict[str, Any]
    files: dict[str, dict[str, Any]]

    @property
    def run_id(self) -> str:
        """A hash of these and of the versions."""
        return run_id(self.files, self.settings)


def identity(
    run: RunFile,
    *,
    seed: int | None = None,
    engine: str | None = None,
    read: Callable[[Path], dict[str, Any]] = fingerprint,
) -> Identity:
    """Return what the figures of a run file depend on; its inputs are hashed, by `read`, and not looked into."""
    spec = run.spec
    chosen, number = spec.run.engine if engine is None else engine, spec.run.seed if seed is None else seed
    settings = spec.model_dump(mode="json") | {"used": {"engine": chosen, "seed": number}}
    return Identity(chosen, number, settings, hashes(run.files, run.path.resolve().parent.parent, read))


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
    threads: int | None = None,
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
    threads : int, optional
        Of the fast engine, instead of those of the run file: the figures, and the files, do not depend on it.
    progress : bool
        Show the engine's progress on stderr.
    say : callable
        Told what is being done, one line at a time.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError, ModelError or ProblemsError
        Every problem of every input, before anything is fitted or written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from buurtsae.runs.example import example
    >>> with TemporaryDirectory() as to:
    ...     outcome = run(example(), to, engine="eblup", progress=False)
    >>> outcome.estimates
    Estimates of 7 measures for {'buurt': 118, 'wijk': 12, 'gemeente': 3, 'land': 1}; {'betrouwbaar': ...}
    """
    with claimed(to, FILES) as target, one_thread():  # with more threads of BLAS the last digits depend on the machine
        est, report = _run(path, target, seed, engine, threads, progress, say)
    if isinstance(est, Waves):
        return Outcome(est.current, report, Path(to), est)
    return Outcome(est, report, Path(to))


def _run(
    path: str | Path,
    target: Target,
    seed: int | None,
    engine: str | None,
    threads: int | None,
    progress: bool,
    say: Say,
) -> tuple[Estimates | Waves, dict[str, Any]]:
    created, clock = now(), dict[str, float]()

    def timed(name: str, step: Callable[..., Result], *args: Any, **options: Any) -> Result:
        say(name)
        start = time.perf_counter()
        result = step(*args, **options)
        clock[name] = round(time.perf_counter() - start, 2)
        return result

    inputs = timed("read and check", check, path)
    spec = inputs.run.spec
    one = identity(inputs.run, seed=seed, engine=engine)
    chosen, number, settings, files = one.engine, one.seed, one.settings, one.files
    options = spec.engine.get(chosen, {})
    engine_options(chosen, options)
    kept = None
    if chosen == "laplace":
        kept = checkpoint(one.run_id)
        options = {"checkpoint": kept} | options | ({} if threads is None else {"threads": threads})
    say(f"{inputs.areas!r}\n{inputs.direct!r}\n{inputs.words}")
    persons, units = inputs.persons, None
    if persons is not None:
        units = timed("fit", persons.fit, inputs.direct, chosen, number, progress, **options)
        fitted = timed("figures", units.fit_of)
    else:
        fitted = timed("fit", fit, inputs.model, inputs.direct, chosen, number, progress=progress, **options)
    common: dict[str, Any] = {
        **{"concept": inputs.concept, "rules": spec.publish, "fictitious": spec.run.fictitious},
        "run_id": one.run_id,
    }
    est: Estimates | Waves
    if spec.years is None:
        drawn = fitted if spec.benchmark is None else timed("benchmarks", _benchmarked, inputs, fitted)
        est = timed("estimates", estimate, drawn, year=spec.run.year, **common)
    else:
        agree = None if spec.benchmark is None else partial(_benchmarked, inputs)
        of_years = {"relevant": spec.years.relevant, "opens": spec.run.year, "benchmark": agree}
        est = timed("estimates", estimate_waves, fitted, **of_years, **common)
    if fitted.draws.certificate is None:
        timed("convergence", lambda: (est.current if isinstance(est, Waves) else est).convergence)
    groups = trends = None
    if fitted.model.breaks:
        other = timed("without breaks", without_breaks, fitted, progress=progress, **options)
        of_trend = {"concept": inputs.concept, "rules": spec.publish, "without": other}
        trends = timed("trends", trend, fitted, **of_trend)
    if units is not None and persons is not None and persons.domains and isinstance(est, Estimates):
        found = timed("groups", estimate_groups, est, units, persons.domains)
        est, groups = found.whole, found.table
    say("quality and files")
    report = publish(
        est,
        target,
        gate=spec.quality,
        provenance=Provenance(spec.run.title, files, settings, clock, created, inputs.records),
        draws=spec.publish.draws,
        scales=inputs.reliability,
        weights=spec.concept.sensitivity,
        assumed=spec.sensitivity,
        responses=_responses(inputs, fitted),
        groups=groups,
        trends=trends,
    )
    if kept is not None:
        with suppress(OSError):  # another run of the same holds it: that one removes it
            kept.unlink(missing_ok=True)
    return est, report


def checkpoint(run_id: str) -> Path | None:
    """Return where the fast engine keeps what it weighed until a run is finished; None where there is no room.

    In BUURTSAE_CHECKPOINTS, else in the user's cache: a run that was stopped goes on, wherever its results go. What is
    left for a month is removed.
    """
    import platformdirs

    own = Path(platformdirs.user_cache_dir("buurtsae", appauthor=False)) / "checkpoints"
    folder = Path(os.environ.get(CHECKPOINTS) or own)
    # os.path: what may not be looked into is not there
    if not os.access(next(home for home in (folder, *folder.parents) if os.path.exists(home)), os.W_OK):
        return None
    for file in folder.glob("*.txt"):
        with suppress(OSError):  # another run removes it
            if file.stat().st_mtime < time.time() - KEPT:
                file.unlink()
    return folder / f"{run_id}.txt"


def _responses(inputs: Inputs, fitted: Fit) -> list[float | None]:
    """The share of the sample that answered, of each source that the engine kept."""
    pairs = zip(inputs.direct.sources, inputs.run.spec.used, strict=False)  # direct estimates from a file have none
    share = {(source.source, source.year): part.response for source, part in pairs}
    return [share.get((source.source, source.year)) for source in fitted.direct.sources]


def plan(
    path: str | Path, *, seed: int | None = None, progress: bool = True, say: Say = lambda text: None, **options: Any
) -> Plan:
    """Fit a run file's model and plan where more respondents help, by its rules; options as `planning.plan.plan`."""
    from buurtsae.estimates.planning.plan import check_plan
    from buurtsae.estimates.planning.plan import plan as planned

    inputs = check(path)
    if inputs.direct.years:
        hint = "leave [years] out, with the sources of one year: a plan asks what one survey tells"
        raise ModelError("a plan is of one period", f"years {shown(inputs.direct.years)}", "one", hint)
    options |= {"rules": inputs.run.spec.publish, "concept": inputs.concept}
    check_plan(inputs.direct, persons=inputs.persons is not None, **options)
    return planned(_fitted(inputs, seed, progress, say), **options)


def curves(
    path: str | Path,
    covariates: Sequence[str] = (),
    *,
    seed: int | None = None,
    progress: bool = True,
    say: Say = lambda text: None,
) -> list[Curves]:
    """Fit a run file's model, with and without its spatial field, and return what goes with (all of) its covariates."""
    from buurtsae.estimates.words.curves import curves as drawn
    from buurtsae.estimates.words.curves import without_field

    inputs = _of_areas(check(path), "curves")
    spec, names = inputs.run.spec, [covariate.name for covariate in inputs.design.covariates]
    if not (chosen := list(covariates) or names):
        raise DataError("the formula has no covariates", repr(spec.model.formula), "one or more", "add one")
    if absent := [name for name in chosen if name not in names]:
        raise DataError("the covariate is not in the formula", shown(absent), shown(names, 30), "choose one of these")
    fitted = _fitted(inputs, seed, progress, say)
    say("without the spatial field")
    other = without_field(fitted, **spec.engine.get("laplace", {}))
    if inputs.direct.years:
        fitted, other = fitted.of_year(spec.run.year), other.of_year(spec.run.year)
    return [drawn(fitted, name, concept=inputs.concept, without_field=other) for name in chosen]


def _of_areas(inputs: Inputs, what: str) -> Inputs:
    """Refuse a run file of persons for what is about models of areas."""
    if inputs.persons is not None:
        hint = "leave [unit] out: the model of areas is that of [model]"
        raise ModelError(f"{what} is of a model of areas", "a run file with [unit]", "one without", hint)
    return inputs


def _fitted(inputs: Inputs, seed: int | None, progress: bool, say: Say) -> Fit:
    """The fast engine's fit of what was read, without files."""
    spec = inputs.run.spec
    if spec.run.fictitious:
        say(MADE)
    say(f"{inputs.areas!r}\n{inputs.direct!r}")
    number = spec.run.seed if seed is None else seed
    options = spec.engine.get("laplace", {})
    if inputs.persons is not None:
        return inputs.persons.fit(inputs.direct, "laplace", number, progress, **options).fit_of()
    return fit(inputs.model, inputs.direct, "laplace", number, progress=progress, **options)


def _benchmarked(inputs: Inputs, fitted: Fit) -> Benchmarked:
    part = inputs.run.spec.benchmark
    assert part is not None  # asked for
    to = inputs.benchmarks or Benchmarks.of_direct(
        fitted, str(part.level), inputs.concept, min_respondents=part.min_respondents
    )
    return benchmark(fitted, to, method=part.method, covariance=part.covariance, respondents=part.respondents)
