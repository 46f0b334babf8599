"""`[unit]` of a run file: persons in cells, the terms of their characteristics, and figures of groups of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from buurtsae.runs.part import AnyPersonTerm, File, Name, Part

Levels = tuple[Name, ...]
Edges = Annotated[int, Field(ge=2, le=50)] | tuple[float, ...]


class MarginPart(Part):
    """`[[unit.cells.margins]]`: columns with the residents of each level; "" is what the others leave."""

    on: Name
    columns: dict[Name, str]
    per_cent: bool = False
    part: dict[Name, float] = Field(default={})


class CellsPart(Part):
    """`[unit.cells]`: residents in cells, from a register, or made of margins and a seed."""

    file: File
    area: Name = "buurtcode"
    count: Name = "aantal"
    bins: dict[Name, Edges] = Field(default={})
    seed: File | None = None
    margins: tuple[MarginPart, ...] = ()
    by: Name = "gemeente"
    tables: int = Field(default=1, ge=1, le=1000)
    noise: Literal["multinomial", "rounding"] | None = None
    rounding: float = Field(default=2.5, ge=0, le=1000)
    secret: float = Field(default=0.0, ge=0, le=1000)

    @model_validator(mode="after")
    def _made_or_given(self) -> CellsPart:
        if (self.seed is None) != (not self.margins):
            raise ValueError("cells are made of `margins` and a `seed`, or given without either")
        if self.margins and self.bins:
            raise ValueError("`bins` are of cells that are given: those of margins have named levels")
        return self


class FigurePart(Part):
    """`[[unit.figures]]`: a share of an ordered measure besides its mean, such as `above 3`."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    of: Name
    figure: str = Field(pattern=r"^(share|above) \S.*$", max_length=200)
    nl: Name
    en: str = Field(default="", max_length=200)
    about: str = Field(default="", max_length=1000)


class DomainPart(Part):
    """`[[unit.domains]]`: figures of the groups that characteristics divide residents into."""

    on: Name | tuple[Name, ...]
    groups: dict[Name, Levels] = Field(default={})

    @property
    def names(self) -> tuple[str, ...]:
        """The characteristics."""
        return (self.on,) if isinstance(self.on, str) else self.on

    @model_validator(mode="after")
    def _of_one(self) -> DomainPart:
        if self.groups and len(self.names) > 1:
            raise ValueError("`groups` are of the levels of one characteristic")
        if not 0 < len(set(self.names)) == len(self.names):
            raise ValueError("`on` names characteristics, each once")
        return self


class UnitPart(Part):
    """`[unit]`: models of persons instead of one of areas."""

    cells: CellsPart
    characteristics: dict[Name, Levels] = Field(default={})
    terms: tuple[AnyPersonTerm, ...] = ()
    effective: bool = False
    figures: tuple[FigurePart, ...] = ()
    domains: tuple[DomainPart, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> UnitPart:
        names = [name for part in self.domains for name in part.names]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"`domains` are of {', '.join(twice)} twice: what is hidden in one would follow from another; name "
                "each characteristic in one of them"
            )
        ids = [part.id for part in self.figures]
        if len(set(ids)) < len(ids):
            raise ValueError("`figures` have the same `id`: give each its own")
        return self
