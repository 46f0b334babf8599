"""What parts of a run file are made of: names, files, and terms, whose keys are the fields of their dataclasses."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from buurtsae.model.persons.registry import PERSON_TERMS
from buurtsae.model.persons.terms import PersonTerm
from buurtsae.model.terms import TERMS, Term
from buurtsae.ranges import Listed

Name = Annotated[  # of a column, an area, a level
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\t\r\n]+$")
]
FILE, BOOK = "file", "codebook"  # mark keys that name a file, from the folder of the run file; of codebooks if .toml
File = Annotated[str, Field(min_length=1, max_length=4096), FILE]
Book = Annotated[str, Field(min_length=1, max_length=4096), BOOK]
Year = Annotated[int, Field(ge=1990, le=2100)]


class Part(BaseModel):
    """A table of a run file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class TermPart(Part):
    """`[[model.terms]]`, `[[unit.terms]]`: what `type` names; its keys are the fields of that term."""

    type: str


def _keys_of(term: type[Term] | type[PersonTerm]) -> type[TermPart]:
    """The part of a term: priors are lists of their numbers, and the graph is that of the run file."""
    hints = get_type_hints(term, include_extras=True)
    of_file: dict[str, Any] = {}
    for key in (field for field in fields(term) if field.name != "graph"):
        hint = type(key.default) if isinstance(key.default, Listed) else hints[key.name]
        hint = Name if hint is str and key.name != "name" else hint
        hint = Name | tuple[Name, ...] if key.name == "on" else hint
        of_file[key.name] = (hint, ... if key.default is MISSING else key.default)
    kind = term.__name__.lower()
    of_file["type"] = Literal[kind], ...
    return create_model(f"{term.__name__}Part", __base__=TermPart, **of_file)


TERM_PARTS = {kind: _keys_of(term) for kind, term in TERMS.items()}
PERSON_PARTS = {kind: _keys_of(term) for kind, term in PERSON_TERMS.items()}
if TYPE_CHECKING:
    AnyTerm = TermPart
    AnyPersonTerm = TermPart
else:
    AnyTerm = Annotated[Union[tuple(TERM_PARTS.values())], Field(discriminator="type")]  # noqa: UP007
    AnyPersonTerm = Annotated[Union[tuple(PERSON_PARTS.values())], Field(discriminator="type")]  # noqa: UP007
