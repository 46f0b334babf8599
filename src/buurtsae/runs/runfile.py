"""Run files: one TOML file = one publishable set of estimates, checked by pydantic, every problem at once.

Paths are relative to the run file. Unknown keys are refused; the rest of the file is still read, so that the inputs
it names can be checked in the same pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from annotated_types import Interval
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from buurtsae.errors import Problems, cut, shown
from buurtsae.estimates.benchmark.benchmark import Method, Metric, Respondents
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.nonresponse import NonResponse
from buurtsae.files import located, read_toml, with_parts
from buurtsae.model.covariates import Covariate, Missing
from buurtsae.model.links import PARTICIPATORY, SURVEY, Link
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.priors import PC, Normal
from buurtsae.model.spec import AreaModel, Estimand, Smooth
from buurtsae.notes import Note
from buurtsae.runs.part import PERSON_PARTS, TERM_PARTS, AnyTerm, Book, File, Name, Part, Year
from buurtsae.runs.unit_part import UnitPart
from buurtsae.runs.years_part import EditionPart, YearsPart, waves_wrong
from buurtsae.survey.population_totals import Calibration
from buurtsae.survey.replicates import ReplicatePlan
from buurtsae.survey.sampling import Lonely
from buurtsae.survey.smoothing import Method as Smoothing

ONE_OR_MORE = ("constrained-str", "tuple[")  # what pydantic calls the kinds of `Name | tuple[Name, ...]`
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
LEFT_OUT = (*UNKNOWN, "refused")
EXPECTED = {  # where pydantic speaks of Python, by its kind of error
    "tuple_type": "a list",
    "too_long": "{max_length} values",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
}
KINDS = TERM_PARTS | PERSON_PARTS
OF_AREAS = ("link", "participatory", "smooth")  # keys of [model] that models of persons do not have


class RunPart(Part):
    """`[run]`: what identifies the run."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=100)
    title: Name
    year: Year
    seed: int = Field(ge=0, le=2**32 - 1)
    engine: Name = "laplace"
    contact: str = Field(default="", max_length=1000)
    fictitious: Literal[False, True, "respondents"] = False


class TablePart(Part):
    """A table joined to the areas by `key`."""

    file: File
    key: Literal["buurtcode", "wijkcode", "gemeentecode"] = "buurtcode"


class AreasPart(Part):
    """`[areas]`: the buurten of one year."""

    file: File
    year: Year
    code: Name = "buurtcode"
    name: Name = "buurtnaam"
    population: Name = "inwoners"
    tables: tuple[TablePart, ...] = ()
    where: dict[Name, Name] = Field(default={})
    region: str = Field(default="", max_length=200, pattern=r"^[^\t\r\n]*$")
    groupings: tuple[Name, ...] = ()
    editions: tuple[EditionPart, ...] = ()
    credit: str = Field(default="", max_length=1000)


class GraphPart(Part):
    """`[graph]`: neighbours, and pairs joined by hand."""

    rule: Literal["queen", "rook"] = "queen"
    bridges: tuple[tuple[Name, Name], ...] = ()


@dataclass(frozen=True)
class CalibratePart(Calibration):
    """`calibrate` of a source: population totals that its weights have to meet."""

    totals: File


@dataclass(frozen=True)
class ReplicatesPart(ReplicatePlan):
    """`replicates` of a source: replicate weights in its file."""

    columns: Name | tuple[Name, ...]


class SourcePart(Part):
    """`[[sources]]`: one file of respondents; `use = false` leaves it out."""

    source: Book
    use: bool = True
    scoring: Literal["sum", "graded"] = "sum"
    sd: float | None = Field(default=None, ge=1e-3, le=100)
    file: File
    year: Year
    level: Literal["buurt", "wijk"] = "buurt"
    area: Name
    weight: Name = "gewicht"
    strata: Name | None = None
    cluster: Name | tuple[Name, ...] = ()
    fpc: Name | tuple[Name, ...] = ()
    strata_population: File | None = None
    id: Name | None = None
    lonely: Lonely = "adjust"
    replicates: ReplicatesPart | None = None
    calibrate: CalibratePart | None = None
    not_asked: tuple[Name, ...] = ()
    unknown_areas: Literal["refuse", "drop"] = "refuse"
    code_year: Year | None = None
    characteristics: dict[Name, Name] = Field(default={})
    scheme: Name | tuple[Name, ...] = ()
    response: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _area(cls, raw: Any) -> Any:
        """The column of area codes is called after the level, unless it is named."""
        return {"area": f"{raw.get('level', 'buurt')}code", **raw} if isinstance(raw, dict) else raw


class ConceptPart(Part):
    """`[concept]`: the measures and their weights; a sensitivity table in the report."""

    file: File | None = None
    weights: dict[Name, float] = Field(default={})
    sensitivity: bool = False


class DirectPart(Part):
    """`[direct]`: direct estimates made elsewhere, instead of respondents."""

    file: File
    covariances: File | None = None
    year: Year | None = None
    smooth: bool = True
    unknown_areas: Literal["refuse", "drop"] = "refuse"


class VariancesPart(Part):
    """`[variances]`: how the sampling variances of tiny samples are smoothed, or modelled together with the means."""

    method: Literal[Smoothing, "joint"] = "auto"
    spread: PC = PC(0.5, 0.05)


def _others(default: Link) -> BeforeValidator:
    """The priors of a link that the file does not give are those of another."""
    return BeforeValidator(lambda raw: vars(default) | raw if isinstance(raw, dict) else raw)


class ModelPart(Part):
    """`[model]`: the linear part and the random effects; priors as (parameters)."""

    formula: str = AreaModel.formula
    missing: Missing = AreaModel.missing
    estimand: Estimand = AreaModel.estimand
    smooth: Smooth = AreaModel.smooth
    terms: tuple[AnyTerm, ...] = tuple(
        TERM_PARTS[keys["type"]].model_validate(keys)
        for keys in ({"type": "bym2"}, {"type": "iid", "level": "gemeente"})
    )
    intercept: Normal = Gaussian.intercept
    coefficient: Normal = AreaModel.coefficient
    link: Annotated[Link, _others(SURVEY)] = SURVEY
    participatory: Annotated[Link, _others(PARTICIPATORY)] = PARTICIPATORY


@dataclass(frozen=True)
class PublishPart(Rules):
    """`[publish]`: rules of the labels, and how many draws to keep."""

    min_residents: Annotated[int, Interval(ge=1, le=10**9)] = Rules.min_residents
    draws: Annotated[int, Interval(ge=1, le=10**6)] = 1000


class BenchmarkPart(Part):
    """`[benchmark]`: figures that estimates must agree with: a file, or direct estimates of large areas of a level."""

    file: File | None = None
    exact: bool = False
    level: Name | None = None
    min_respondents: int = Field(default=100, ge=2, le=10**9)
    method: Method = "minimum-distance"
    covariance: Metric = "variances"
    respondents: Respondents = "shared"

    @model_validator(mode="after")
    def _one_source(self) -> BenchmarkPart:
        if (self.file is None) == (self.level is None):
            raise ValueError("give either `file` with figures, or a `level` whose direct estimates are benchmarks")
        if self.exact and self.file is None:
            raise ValueError("`exact` belongs to `file`: direct estimates have standard errors")
        return self


class RunSpec(Part):
    """The whole file."""

    run: RunPart
    areas: AreasPart
    graph: GraphPart = GraphPart()
    concept: ConceptPart = ConceptPart()
    sources: tuple[SourcePart, ...] = ()
    direct: DirectPart | None = None
    variances: VariancesPart = VariancesPart()
    covariates: tuple[Covariate, ...] = ()
    model: ModelPart = ModelPart()
    unit: UnitPart | None = None
    years: YearsPart | None = None
    benchmark: BenchmarkPart | None = None
    publish: PublishPart = PublishPart()
    quality: Gate = Gate()
    sensitivity: NonResponse | None = None
    engine: dict[str, dict[str, Any]] = Field(default={})

    @model_validator(mode="after")
    def _one_start(self) -> RunSpec:
        if bool(self.sources) == (self.direct is not None):
            raise ValueError("give either [[sources]] with respondents, or [direct] with direct estimates")
        if self.sources and not self.used:
            raise ValueError("every source has `use = false`: keep at least one")
        if self.direct is not None and self.variances.method not in ("auto", "pooled"):
            raise ValueError("`variances` are smoothed from respondents: with [direct] there is `smooth` instead")
        return self

    @model_validator(mode="after")
    def _of_persons(self) -> RunSpec:
        if self.unit is None:
            if named := [s.source for s in self.sources if s.characteristics or s.scheme]:
                raise ValueError(
                    f"`characteristics` and `scheme` of {', '.join(named)} are for models of persons: [unit]"
                )
            return self
        if self.direct is not None:
            raise ValueError("[unit] models persons: give [[sources]] with respondents, not [direct]")
        if named := [s.source for s in self.used if s.level != "buurt"]:
            raise ValueError(f"[unit] needs the buurt of each respondent, and {', '.join(named)} has wijken")
        if idle := sorted(self.model.model_fields_set.intersection(OF_AREAS)):
            raise ValueError(f"{', '.join(idle)} of [model] are for models of areas: [unit] has none of these")
        if self.variances.method == "joint":
            raise ValueError("`variances` are modelled of areas: with [unit] persons have their own")
        if self.benchmark is not None and self.unit.domains:
            raise ValueError("`domains` would not agree with figures that meet a [benchmark]: leave one of these out")
        return self

    @model_validator(mode="after")
    def _of_years(self) -> RunSpec:
        if self.years is not None and (wrong := waves_wrong(self)):
            raise ValueError(wrong)
        return self

    @property
    def used(self) -> tuple[SourcePart, ...]:
        """The sources that are not left out."""
        return tuple(source for source in self.sources if source.use)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the choice of sources means: those that are left out, and those of another year."""
        left = [
            Note(
                "source {source} is left out by the run file",
                "bron {source} is weggelaten, omdat het runbestand dat zegt",
                source=part.source,
            )
            for part in self.sources
            if not part.use
        ]
        years = [
            Note(
                "source {source} is of {year}, the estimates are of {run}: what changed in between is in its level, "
                "or, for a reference, in the estimates",
                "bron {source} is van {year}, de schattingen zijn van {run}: wat intussen veranderde zit in het niveau "
                "van die bron, of, bij een referentiebron, in de schattingen zelf",
                source=part.source,
                year=part.year,
                run=self.run.year,
            )
            for part in self.used
            if part.year != self.run.year and self.years is None
        ]
        return (*left, *years)


@dataclass(frozen=True)
class RunFile:
    """A run file that has been read.

    Attributes
    ----------
    path : path
    spec : RunSpec

    Examples
    --------
    >>> from buurtsae.runs.example import example
    >>> RunFile.load(example())
    RunFile voorbeeldstad.toml: Buurtverbondenheid in Voorbeeldstad
    """

    path: Path
    spec: RunSpec

    @classmethod
    def load(cls, path: str | Path) -> RunFile:
        """Read and check a run file.

        Raises
        ------
        DataError or ProblemsError
            If it cannot be read, or everything that is wrong with it.
        """
        problems = Problems()
        run = read_run(path, problems)
        problems.raise_if_any()
        assert run is not None  # a file without problems has been read
        return run

    def __repr__(self) -> str:
        return f"RunFile {self.path.name}: {cut(self.spec.run.title)}"

    def locate(self, name: str) -> Path:
        """Return the path of a file that the run file names."""
        return located(self.path.parent, name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the results depend on."""
        spec, names = self.spec, list[str | None]()
        for part in spec.used:
            names += [part.file, part.strata_population, part.calibrate.totals if part.calibrate else None]
            names += [part.source if part.source.endswith(".toml") else None]
        if spec.direct is not None:
            names += [spec.direct.file, spec.direct.covariances]
        names += [spec.areas.file, *(table.file for table in spec.areas.tables), spec.concept.file]
        names += [edition.file for edition in spec.areas.editions]
        names += [spec.benchmark.file if spec.benchmark else None]
        names += [spec.unit.cells.file, spec.unit.cells.seed] if spec.unit else []
        named = [self.locate(name) for name in dict.fromkeys(filter(None, names))]
        return (self.path.resolve(), *(part for file in named for part in with_parts(file)))

    def codebook(self, source: str) -> str | Path:
        """Return a source's codebook: an identifier of the package, or the path of a TOML file."""
        return self.locate(source) if source.endswith(".toml") else source


def read_run(path: str | Path, problems: Problems) -> RunFile | None:
    """Read a run file, recording problems; unknown keys are recorded and left out, so that the rest can be checked.

    So are priors that are refused: no other input depends on them.
    """
    path = Path(path)
    content = problems.attempt(read_toml, path, f"run file {path.name or path}")
    return None if content is None else checked(path, content[1], problems)


def checked(path: Path, raw: dict[str, Any], problems: Problems) -> RunFile | None:
    """Return the run file at a path that holds `raw`, recording problems as `read_run` does."""
    errors = list[ErrorDetails]()
    for _ in range(2):  # what concerns several keys together is checked when each of them is right
        try:
            return RunFile(path, RunSpec.model_validate(raw))
        except ValidationError as error:
            seen = {(wrong["loc"], wrong["type"]) for wrong in errors}
            errors = [wrong for wrong in error.errors() if (wrong["loc"], wrong["type"]) not in seen]
        _record(errors, path, problems)
        odd = [wrong["loc"] for wrong in errors if wrong["type"] in LEFT_OUT]
        for loc in odd:
            _remove(raw, _place(loc))
        if not odd:
            break
    return None


def _record(errors: Sequence[ErrorDetails], path: Path, problems: Problems) -> None:
    for wrong in errors:
        parts, sort = [str(part) for part in _place(wrong["loc"])], wrong["type"]
        kind = parts[-1] if parts and parts[-1].startswith(ONE_OR_MORE) else ""
        if (kind.startswith("tuple[") or isinstance(wrong["input"], list)) and kind and sort.endswith("_type"):
            continue  # a name where several may be, or the reverse: what is wrong with it is said by the other kind
        loc = cut(".".join(part for part in parts if not part.startswith(ONE_OR_MORE)) or "the file")
        if sort in UNKNOWN:
            known = shown(_keys(wrong["loc"][:-1]), 30)
            problems.add(f"{path.name}: unknown key {loc}", cut(repr(wrong["loc"][-1])), known, "correct or remove it")
        elif sort == "missing":
            problems.add(f"{path.name}: key {loc} is absent", "nothing", "a value", "add it")
        elif sort == "union_tag_not_found":
            problems.add(f"{path.name}: key {loc}.type is absent", "nothing", ", ".join(_terms(loc)), "add it")
        elif sort == "union_tag_invalid":
            kind = cut(wrong["ctx"]["tag"])
            problems.add(f"{path.name}: {loc}.type is unknown", kind, ", ".join(_terms(loc)), "choose one")
        elif sort == "refused":
            error = wrong["ctx"]["error"]
            problems.add(f"{path.name}, {loc}: {error.what}", error.got, error.expected, error.hint, type(error))
        else:
            plain = EXPECTED[sort].format_map(wrong.get("ctx", {})) if sort in EXPECTED else wrong["msg"]
            problems.add(f"{path.name}: {loc} is not right", cut(repr(wrong["input"])), plain, "correct the value")


def _terms(loc: str) -> list[str]:
    """Kinds of terms at a place."""
    return list(PERSON_PARTS if loc.startswith("unit") else TERM_PARTS)


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where an error lies in the file: of a term without its kind, which pydantic adds."""
    return tuple(part for k, part in enumerate(loc) if not _kind(loc, k))


def _kind(loc: tuple[int | str, ...], k: int) -> bool:
    """Whether a part of a place is the kind of a term: `terms`, its number, its kind."""
    return k > 1 and loc[k - 2] == "terms"


def _keys(loc: tuple[int | str, ...]) -> list[str]:
    """Keys that are allowed at a place in the file: the fields of the dataclass or model that it is read into."""
    kind: Any = RunSpec
    for k, name in enumerate(loc):
        if isinstance(name, str):
            kind = KINDS[name] if _kind(loc, k) else _part(get_type_hints(kind)[name])
    return list(kind.model_fields if issubclass(kind, BaseModel) else kind.__dataclass_fields__)


def _part(hint: Any) -> Any:
    """The model or dataclass in a type such as `tuple[Covariate, ...]` or `DirectPart | None`."""
    return hint if hasattr(hint, "__annotations__") else next(filter(None, map(_part, get_args(hint))), None)


def _remove(raw: Any, loc: tuple[int | str, ...]) -> None:
    for part in loc[:-1]:
        raw = raw[part]
    del raw[loc[-1]]
