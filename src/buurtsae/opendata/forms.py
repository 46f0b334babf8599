"""Files of the user by their form: everything that is wrong with one is said at once."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from buurtsae.errors import Problems, cut

Form = TypeVar("Form", bound=BaseModel)


def validated(form: type[Form], raw: dict[str, Any], what: str, example: str) -> Form:
    """Return what a file holds; `example` is a file of the package that has the form.

    Raises
    ------
    DataError or ProblemsError
        Every key that is not as it should be.
    """
    try:
        return form.model_validate(raw)
    except ValidationError as error:
        problems = Problems()
        for wrong in error.errors():
            key, expected = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
            hint = f"see {example} in the package for an example"
            problems.add(f"{what}: {key} is not right", cut(repr(wrong["input"])), expected, hint)
        problems.raise_if_any()
        raise AssertionError("a ValidationError has errors") from error
