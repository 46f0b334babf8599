"""What a field of a dataclass may hold, said once, in its annotation: `Annotated[float, Interval(ge=0, le=1)]`.

`check_ranges` reads it where a dataclass is made in Python, pydantic where it is a part of a run file. A prior has its
support inside the interval.
"""

from __future__ import annotations

from dataclasses import fields
from math import inf
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

from buurtsae.errors import BuurtsaeError, ModelError, Problems, cut

Count = Annotated[int, Interval(ge=0, le=10**9)]
Share = Annotated[float, Interval(ge=0, le=1)]


def check_ranges(instance: Any, what: str) -> None:
    """Refuse fields of another type than they are annotated with, or outside their intervals, all at once.

    Raises
    ------
    ModelError or ProblemsError
        `{what} {name} is impossible`, or `is of another kind`.
    """
    problems, hints = Problems(), get_type_hints(type(instance), include_extras=True)
    for name, value in ((field.name, getattr(instance, field.name)) for field in fields(instance)):
        if not _fits(value, hints[name]):
            got = cut(repr(value))
            problems.add(f"{what} {name} is of another kind", got, _named(hints[name]), "correct it", ModelError)
            continue
        smallest, largest = getattr(value, "support", (value, value))
        for limits in (item for item in _metadata(hints[name]) if isinstance(item, Interval) and value is not None):
            ends = (limits.ge, limits.gt, -inf), (limits.le, limits.lt, inf)
            low, high = (next(end for end in pair if end is not None) for pair in ends)
            if not low <= smallest <= largest <= high or smallest == limits.gt or largest == limits.lt:
                want = f"{low:g} to {high:g}"
                problems.add(f"{what} {name} is impossible", str(value), want, "correct it", ModelError)
    problems.raise_if_any()


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that an annotation names; a class is no value."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, parts[0])
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple and parts[-1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(v, parts[0]) for v in value)
    if origin is not None or not isinstance(hint, type):
        return True  # of literals and mappings the types do not say enough
    kinds: dict[type, type] = {int: Integral, float: Real}
    return isinstance(value, kinds.get(hint, hint)) and not isinstance(value, type)


def _named(hint: Any) -> str:
    """The types that an annotation names."""
    if get_origin(hint) is Annotated:
        return _named(get_args(hint)[0])
    return " or ".join(_named(part) for part in get_args(hint) if part is not Ellipsis) or hint.__name__


def _metadata(hint: Any) -> list[Any]:
    """What the annotations of a type, and of the types that it may be, say."""
    return [*getattr(hint, "__metadata__", ()), *(item for part in get_args(hint) for item in _metadata(part))]


class Listed:
    """A dataclass of numbers that a file writes as the list of them, `[3.0, 0.05]`, or as the one that it has."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Validate the numbers, then make it; what it refuses itself comes through as `refused`."""
        from pydantic_core import PydanticCustomError, core_schema

        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]

        def made(value: Any, numbers: Any) -> Any:
            if isinstance(value, cls):
                return value
            parameters = numbers(value)
            try:
                return cls(*(parameters if len(names) > 1 else [parameters]))
            except BuurtsaeError as error:
                raise PydanticCustomError("refused", "{what}", {"what": error.what, "error": error}) from error

        def listed(prior: Any) -> Any:
            return [getattr(prior, name) for name in names] if len(names) > 1 else getattr(prior, names[0])

        return core_schema.no_info_wrap_validator_function(
            made,
            handler.generate_schema(tuple[(float,) * len(names)] if len(names) > 1 else float),  # type: ignore[misc]
            serialization=core_schema.plain_serializer_function_ser_schema(listed),
        )
