"""Run files: one TOML file = one publishable set of estimates, checked by pydantic, every problem at once.

Paths are relative to the run file. Unknown keys are refused; the rest of the file is still read, so that the inputs
it names can be checked in the same pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.files import located, read_toml
from buurtsae.notes import Note

Name = Annotated[  # of a column, an area, a level
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\t\r\n]+$")
]
ONE_OR_MORE = ("constrained-str", "tuple[")  # what pydantic calls the kinds of `Name | tuple[Name, ...]`
File = Annotated[str, Field(min_length=1, max_length=4096)]
Year = Annotated[int, Field(ge=1990, le=2100)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class RunPart(_Part):
    """`[run]`: what identifies the run."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=100)
    title: Name
    year: Year
    seed: int = Field(ge=0, le=2**32 - 1)
    engine: Name = "laplace"
    contact: str = Field(default="", max_length=1000)
    fictitious: Literal[False, True, "respondents"] = False


class TablePart(_Part):
    """A table joined to the areas by `key`."""

    file: File
    key: Literal["buurtcode", "wijkcode", "gemeentecode"] = "buurtcode"


class AreasPart(_Part):
    """`[areas]`: the buurten of one year."""

    file: File
    year: Year
    code: Name = "buurtcode"
    name: Name = "buurtnaam"
    population: Name = "inwoners"
    tables: tuple[TablePart, ...] = ()
    where: dict[Name, Name] = {}
    region: str = Field(default="", max_length=200, pattern=r"^[^\t\r\n]*$")
    groupings: tuple[Name, ...] = ()
    credit: str = Field(default="", max_length=1000)


class GraphPart(_Part):
    """`[graph]`: neighbours, and pairs joined by hand."""

    rule: Literal["queen", "rook"] = "queen"
    bridges: tuple[tuple[Name, Name], ...] = ()


class CalibratePart(_Part):
    """`calibrate` of a source: population totals that its weights have to meet."""

    totals: File
    method: Literal["raking", "linear", "logit"] = "raking"
    bounds: tuple[float, float] | None = None


class ReplicatesPart(_Part):
    """`replicates` of a source: replicate weights in its file."""

    columns: Name | tuple[Name, ...]
    kind: Literal["bootstrap", "JK1", "JKn", "BRR", "Fay", "other"]
    scale: Positive | None = None
    rscales: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] | None = None
    fay: float = Field(default=0.0, ge=0, lt=1)
    mse: bool = False
    combined: bool = True


class SourcePart(_Part):
    """`[[sources]]`: one file of respondents; `use = false` leaves it out."""

    source: File
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
    lonely: Literal["adjust", "fail", "certainty", "average"] = "adjust"
    replicates: ReplicatesPart | None = None
    calibrate: CalibratePart | None = None
    not_asked: tuple[Name, ...] = ()
    unknown_areas: Literal["refuse", "drop"] = "refuse"
    code_year: Year | None = None
    response: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _area(cls, raw: Any) -> Any:
        """The column of area codes is called after the level, unless it is named."""
        return {"area": f"{raw.get('level', 'buurt')}code", **raw} if isinstance(raw, dict) else raw


class ConceptPart(_Part):
    """`[concept]`: the measures and their weights; a sensitivity table in the report."""

    file: File | None = None
    weights: dict[Name, float] = {}
    sensitivity: bool = False


class DirectPart(_Part):
    """`[direct]`: direct estimates made elsewhere, instead of respondents."""

    file: File
    covariances: File | None = None
    year: Year | None = None
    smooth: bool = True
    unknown_areas: Literal["refuse", "drop"] = "refuse"


class TermPart(_Part):
    """`[[model.terms]]`: `bym2`, or `iid` with its level."""

    type: Literal["bym2", "iid"]
    level: Name | None = None
    sd: tuple[float, float] | None = None
    spread: float | None = Field(default=None, ge=0, le=10)
    mixing: tuple[float, float] | None = None
    correlation: float | None = None
    shared: bool | None = None

    @model_validator(mode="after")
    def _fits(self) -> TermPart:
        if (self.type == "iid") != (self.level is not None):
            raise ValueError("`level` belongs to an iid term, and an iid term needs one")
        if self.type == "iid" and (self.mixing is not None or self.shared is not None):
            raise ValueError("`mixing` and `shared` belong to a bym2 term")
        return self


class CovariatePart(_Part):
    """`[[covariates]]`: what is to be known about a covariate of the formula."""

    name: Name
    source: str = Field(default="", max_length=1000)
    transform: Literal["none", "log", "log1p", "sqrt", "logit"] = "none"
    missing: Literal["refuse", "impute"] | None = None
    modelled: bool = False
    sensitive: bool = False


class LinkPart(_Part):
    """`[model.link]` and `[model.participatory]`: priors of alpha, lambda and tau of sources that are no reference."""

    offset: tuple[float, float] | None = None
    slope: tuple[float, float] | None = None
    extra: tuple[float, float] | None = None


class VariancesPart(_Part):
    """`[variances]`: how the sampling variances of tiny samples are smoothed, or modelled together with the means."""

    method: Literal["pooled", "gvf", "joint"] = "pooled"
    spread: tuple[float, float] = (0.5, 0.05)


class ModelPart(_Part):
    """`[model]`: the linear part and the random effects; priors as (parameters)."""

    formula: str = "1"
    missing: Literal["refuse", "impute"] = "refuse"
    terms: tuple[TermPart, ...] = (TermPart(type="bym2"), TermPart(type="iid", level="gemeente"))
    intercept: tuple[float, float] = (5.0, 5.0)
    coefficient: tuple[float, float] = (0.0, 1.0)
    link: LinkPart = LinkPart()
    participatory: LinkPart = LinkPart()


class PublishPart(_Part):
    """`[publish]`: rules of the labels, and how many draws to keep."""

    min_residents: int = Field(default=10, ge=1, le=10**9)
    min_respondents: Count = 1
    min_reliability: float = Field(default=0.5, ge=0, le=1)
    max_width: float = Field(default=10.0, ge=0, le=10)
    min_own_share: float = Field(default=0.0, ge=0, le=1)
    protection: float = Field(default=2.0, ge=0, le=9)
    min_direct: Count = 10
    max_share: float = Field(default=0.9, ge=0, le=1)
    decimals: int | None = Field(default=None, ge=0, le=15)
    draws: int = Field(default=1000, ge=1, le=10**6)


class BenchmarkPart(_Part):
    """`[benchmark]`: figures that estimates must agree with: a file, or direct estimates of large areas of a level."""

    file: File | None = None
    exact: bool = False
    level: Name | None = None
    min_respondents: int = Field(default=100, ge=2, le=10**9)
    method: Literal["minimum-distance", "difference", "ratio", "tilting"] = "minimum-distance"
    covariance: Literal["variances", "identity", "residents", "posterior"] = "variances"
    respondents: Literal["shared", "independent"] = "shared"

    @model_validator(mode="after")
    def _one_source(self) -> BenchmarkPart:
        if (self.file is None) == (self.level is None):
            raise ValueError("give either `file` with figures, or a `level` whose direct estimates are benchmarks")
        if self.exact and self.file is None:
            raise ValueError("`exact` belongs to `file`: direct estimates have standard errors")
        return self


class QualityPart(_Part):
    """`[quality]`: the gate."""

    rhat_max: float = Field(default=1.01, gt=1)
    ess_bulk_min: float = Field(default=400, ge=0)
    max_divergences: Count = 0
    khat_max: float = Field(default=0.7, gt=0)
    min_hyper_effective: float = Field(default=50, ge=1)
    min_predictive_coverage: float = Field(default=0.9, ge=0, le=1)
    min_left_out_coverage: float = Field(default=0.9, ge=0, le=1)


class RunSpec(_Part):
    """The whole file."""

    run: RunPart
    areas: AreasPart
    graph: GraphPart = GraphPart()
    concept: ConceptPart = ConceptPart()
    sources: tuple[SourcePart, ...] = ()
    direct: DirectPart | None = None
    variances: VariancesPart = VariancesPart()
    covariates: tuple[CovariatePart, ...] = ()
    model: ModelPart = ModelPart()
    benchmark: BenchmarkPart | None = None
    publish: PublishPart = PublishPart()
    quality: QualityPart = QualityPart()
    engine: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _one_start(self) -> RunSpec:
        if bool(self.sources) == (self.direct is not None):
            raise ValueError("give either [[sources]] with respondents, or [direct] with direct estimates")
        if self.sources and not self.used:
            raise ValueError("every source has `use = false`: keep at least one")
        if self.direct is not None and self.variances.method != "pooled":
            raise ValueError("`variances` are smoothed from respondents: with [direct] there is `smooth` instead")
        return self

    @property
    def used(self) -> tuple[SourcePart, ...]:
        """The sources that are not left out."""
        return tuple(s for s in self.sources if s.use)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the choice of sources means: those that are left out, and those of another year."""
        left = [
            Note(
                "source {source} is left out by the run file",
                "bron {source} is weggelaten, omdat het runbestand dat zegt",
                source=s.source,
            )
            for s in self.sources
            if not s.use
        ]
        years = [
            Note(
                "source {source} is of {year}, the estimates are of {run}: what changed in between is in its level, "
                "or, for a reference, in the estimates",
                "bron {source} is van {year}, de schattingen zijn van {run}: wat intussen veranderde zit in het niveau "
                "van die bron, of, bij een referentiebron, in de schattingen zelf",
                source=s.source,
                year=s.year,
                run=self.run.year,
            )
            for s in self.used
            if s.year != self.run.year
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
    >>> from buurtsae.runs.steps import example
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

    def codebook(self, source: str) -> str | Path:
        """Return a source's codebook: an identifier of the package, or the path of a TOML file."""
        return self.locate(source) if source.endswith(".toml") else source


def read_run(path: str | Path, problems: Problems) -> RunFile | None:
    """Read a run file, recording problems; unknown keys are recorded and left out, so that the rest can be checked."""
    path = Path(path)
    try:
        _, raw = read_toml(path, f"run file {path.name or path}")
    except DataError as error:
        problems.collect(error)
        return None
    try:
        return RunFile(path, RunSpec.model_validate(raw))
    except ValidationError as error:
        found = error.errors()
    _record(found, path, problems)
    unknown = [e["loc"] for e in found if e["type"] == "extra_forbidden"]
    if not unknown:
        return None
    for loc in unknown:
        _remove(raw, loc)
    try:
        return RunFile(path, RunSpec.model_validate(raw))
    except ValidationError as error:  # what concerns several keys together is checked when each of them is right
        seen = {(e["loc"], e["type"]) for e in found}
        _record([e for e in error.errors() if (e["loc"], e["type"]) not in seen], path, problems)
        return None


def _record(errors: Sequence[ErrorDetails], path: Path, problems: Problems) -> None:
    for e in errors:
        parts = [str(part) for part in e["loc"]]
        kind = parts[-1] if parts and parts[-1].startswith(ONE_OR_MORE) else ""
        if (kind.startswith("tuple[") or isinstance(e["input"], list)) and kind and e["type"].endswith("_type"):
            continue  # a name where several may be, or the reverse: what is wrong with it is said by the other kind
        loc = cut(".".join(part for part in parts if not part.startswith(ONE_OR_MORE)) or "the file")
        if e["type"] == "extra_forbidden":
            known = shown(_known(e["loc"][:-1]), 30)
            problems.add(f"{path.name}: unknown key {loc}", cut(repr(e["loc"][-1])), known, "correct or remove it")
        elif e["type"] == "missing":
            problems.add(f"{path.name}: key {loc} is absent", "nothing", "a value", "add it")
        else:
            problems.add(f"{path.name}: {loc} is not right", cut(repr(e["input"])), e["msg"], "correct the value")


def _known(loc: tuple[int | str, ...]) -> list[str]:
    """Keys that are allowed at a place in the file."""
    kind: Any = RunSpec
    for part in loc:
        if isinstance(part, str):
            annotation = kind.model_fields[part].annotation
            kind = next(
                (
                    k
                    for k in (annotation, *getattr(annotation, "__args__", ()))
                    if isinstance(k, type) and issubclass(k, _Part)
                ),
                kind,
            )
    return list(kind.model_fields)


def _remove(raw: Any, loc: tuple[int | str, ...]) -> None:
    for part in loc[:-1]:
        raw = raw[part]
    del raw[loc[-1]]
