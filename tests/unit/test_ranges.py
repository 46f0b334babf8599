"""Ranges of fields: refused alike where a dataclass is made in Python and where it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Interval
from pydantic import TypeAdapter, ValidationError

from buurtsae.errors import ModelError, ProblemsError
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC
from buurtsae.ranges import Count, Share, check_ranges


@dataclass(frozen=True)
class Rule:
    """A made dataclass with one field of each kind."""

    least: Count = 10
    share: Share = 0.5
    most: Annotated[float, Interval(gt=0, lt=2)] | None = None
    above: Annotated[float, Interval(gt=1)] = 2.0
    name: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, "rule")


BAD = [("least", -1, "0 to 1e+09"), ("share", 1.5, "0 to 1"), ("share", float("nan"), "0 to 1")]
BAD += [("most", 2.5, "0 to 2"), ("most", 0.0, "0 to 2"), ("most", 2.0, "0 to 2"), ("above", 1.0, "1 to inf")]


@pytest.mark.parametrize(("name", "value", "want"), BAD)
def test_a_value_outside_its_range_is_refused_in_python_and_in_a_file(name: str, value: float, want: str) -> None:
    with pytest.raises(ModelError) as refused:
        Rule(**{name: value})  # type: ignore[arg-type]
    assert (refused.value.what, refused.value.expected) == (f"rule {name} is impossible", want)
    with pytest.raises(ValidationError):
        TypeAdapter(Rule).validate_python({name: value})


def test_ends_that_belong_to_the_range_pass_and_all_problems_come_at_once() -> None:
    for rule in ({"least": 0, "share": 0.0}, {"share": 1.0, "most": 1.9}, {"most": None}):
        assert TypeAdapter(Rule).validate_python(rule) == Rule(**rule)  # type: ignore[arg-type]
    with pytest.raises(ProblemsError) as refused:
        Rule(-1, 2.0)
    assert refused.value.count == 2


@pytest.mark.parametrize(("prior", "numbers"), [(PC(2.0, 0.1), [2.0, 0.1]), (LKJ(3.0), 3.0)])
def test_a_prior_is_written_as_its_numbers(prior: PC | LKJ, numbers: object) -> None:
    adapter = TypeAdapter(type(prior))
    assert adapter.validate_python(numbers) == prior
    assert adapter.dump_python(prior) == numbers


@pytest.mark.parametrize("numbers", [[2.0], [2.0, 0.1, 1.0], ["x", 0.1], 2.0, [2.0, 1.5]])
def test_numbers_that_make_no_prior(numbers: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PC).validate_python(numbers)
