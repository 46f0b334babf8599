"""What a field of a dataclass may hold, said once, in its annotation: `Annotated[float, Interval(ge=0, le=1)]`.

`check_ranges` reads it where a dataclass is made in Python, pydantic where it is a part of a run file.
"""

from __future__ import annotations

from dataclasses import fields
from math import inf
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Interval

from buurtsae.errors import BuurtsaeError, ModelError, Problems

Count = Annotated[int, Interval(ge=0, le=10**9)]
Share = Annotated[float, Interval(ge=0, le=1)]


def check_ranges(instance: Any, what: str) -> None:
    """Refuse fields outside their intervals, all at once; None is no number.

    Raises
    ------
    ModelError or ProblemsError
        `{what} {name} is impossible`.
    """
    problems, hints = Problems(), get_type_hints(type(instance), include_extras=True)
    for name, value in ((f.name, getattr(instance, f.name)) for f in fields(instance)):
        for limits in (i for i in _metadata(hints[name]) if isinstance(i, Interval) and value is not None):
            ends = (limits.ge, limits.gt, -inf), (limits.le, limits.lt, inf)
            low, high = (next(end for end in pair if end is not None) for pair in ends)
            least, most = getattr(value, "ends", (value, value))
            if not (low <= least and most <= high) or value in (limits.gt, limits.lt):
                want = f"{low:g} to {high:g}"
                problems.add(f"{what} {name} is impossible", str(value), want, "correct it", ModelError)
    problems.raise_if_any()


def _metadata(hint: Any) -> list[Any]:
    """What the annotations of a type, and of the types that it may be, say."""
    return [*getattr(hint, "__metadata__", ()), *(m for part in get_args(hint) for m in _metadata(part))]


class Listed:
    """A dataclass of numbers that a file writes as the list of them, `[3.0, 0.05]`, or as the one that it has."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Validate the numbers, then make it; what it refuses itself comes through as `refused`."""
        from pydantic_core import PydanticCustomError, core_schema

        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]

        def made(value: Any, numbers: Any) -> Any:
            if isinstance(value, cls):
                return value
            parameters = numbers(value)
            try:
                return cls(*(parameters if len(names) > 1 else [parameters]))
            except BuurtsaeError as error:
                raise PydanticCustomError("refused", "{what}", {"what": error.what, "error": error}) from error

        def listed(prior: Any) -> Any:
            return [getattr(prior, n) for n in names] if len(names) > 1 else getattr(prior, names[0])

        return core_schema.no_info_wrap_validator_function(
            made,
            handler.generate_schema(tuple[(float,) * len(names)] if len(names) > 1 else float),  # type: ignore[misc]
            serialization=core_schema.plain_serializer_function_ser_schema(listed),
        )
