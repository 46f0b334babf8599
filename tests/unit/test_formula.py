"""Formulas: what may be in one, what is refused by name, and that nothing is computed before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import ModelError
from buurtsae.formula import COLUMNS, matrix, read, variables

X = np.linspace(-1, 1, 12)
TABLE = pd.DataFrame({"x": X, "y": X**2 + 1, "k": np.arange(12) % 3})


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1 + x", [np.ones(12), X]),
        ("x - 1", [X]),
        ("0 + x:y", [X * TABLE["y"]]),
        ("0 + sqrt(y)", [np.sqrt(TABLE["y"])]),
        ("0 + log1p(abs(x))", [np.log1p(abs(X))]),
        ("0 + log(y)", [np.log(TABLE["y"])]),
        ("0 + {x * 2 - -1}", [X * 2 + 1]),
        ("0 + I(x ** 2 / 4)", [X**2 / 4]),
        ("0 + center(y)", [TABLE["y"] - TABLE["y"].mean()]),
        ("1 + C(k)", [np.ones(12), TABLE["k"] == 1, TABLE["k"] == 2]),
        ("0 + `x`", [X]),
    ],
)
def test_columns_operators_and_functions(text: str, columns: list[np.ndarray]) -> None:
    made = np.asarray(matrix(read(text, "a formula"), TABLE, "numbers"), dtype=float)
    np.testing.assert_allclose(made, np.column_stack(columns), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "n"), [("1 + poly(x, 2)", 3), ("0 + bs(x, df=4)", 4), ("1 + cr(x, df=3)", 4), ("(x + y + k)**2", 7)]
)
def test_splines_polynomials_and_powers_of_sums(text: str, n: int) -> None:
    assert matrix(read(text, "a formula"), TABLE, "numbers").shape == (12, n)


@pytest.mark.parametrize("text", ["x | y", "y ~ x | k", "y ~ x"])
def test_the_parts_of_a_formula_have_columns_too(text: str) -> None:
    formula = read(text, "a formula")
    assert variables(formula) == sorted(set(text) & {"x", "y", "k"})
    assert matrix(formula, TABLE, "numbers")


def test_the_names_of_functions_are_no_columns() -> None:
    assert variables(read("1 + sqrt(y) + log(x) + C(k) + {abs(x) + 1}", "a formula")) == ["k", "x", "y"]


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("{x.to_csv('geschreven')}", "a call"),
        ("{x.values}", "a dot"),
        ("open('geschreven', 'w')", "the function open"),
        ("{__import__('os')}", "the function __import__"),
        ("{__builtins__}", "name"),
        ("exec('1')", "the function exec"),
        ("np.log(x)", "a call"),
        ("I(x[0])", "subscript"),
        ("I(lambda: x)", "lambda"),
        ("I([x for x in y])", "listcomp"),
        ("I(x if y else 1)", "ifexp"),
        ("I(x > 0)", "compare"),
        ("I('a' * 1000000)", "constant"),
        ("I(x ** 999999)", "a power"),
        ("I(10 ** 10 ** 10)", "a power"),
        ("I(" + "(" * 7 + "999999" + "**10)" * 7 + ")", "a power of a power"),
        ("I((x ** 10 + 1) ** 10)", "a power of a power"),
        ("I(abs(x ** 10) ** 10)", "a power of a power"),
        ("I((999999 * 999999) ** 10 * x)", "a power of numbers alone"),
        ("1 + log", "log without a column"),
        ("1 + `scale`", "scale without a column"),
        ("1 + I(log + x)", "log without a column"),
        ("I(x ** y)", "a power"),
        ("poly(x, 10000)", "an option"),
        ("bs(x, df=x)", "an option"),
        ("bs(x, **k)", "**"),
        ("hashed(x)", "the function hashed"),
        ("log()", "log without a column"),
        ("I(" * 30 + "x" + ")" * 30, "nested too deep"),
        ("'geschreven'", "a value"),
        ("[x ~ y]", "an operator"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(
    text: str, got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="the formula holds what is not allowed") as refused:
        read(text, "a formula")
    assert refused.value.got.startswith(got)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x + " * 1000 + "x", "the formula cannot be read"),
        ("x\0", "the formula cannot be read"),
        ("(x + y)**99", "the formula has an impossible power"),
        ("(x + y)**k", "the formula has an impossible power"),
        ("*".join(f"x{k}" for k in range(12)), "the formula has too many terms"),
        ("(" + "+".join(f"x{k}" for k in range(40)) + ")**3", "the formula has too many terms"),
    ],
)
def test_work_is_bounded_before_it_is_done(text: str, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        read(text, "a formula")


def test_categories_times_categories_are_too_many_columns() -> None:
    wide = pd.DataFrame({"a": np.arange(400.0), "b": np.arange(400.0)[::-1]})
    assert COLUMNS < 400 * 400
    with pytest.raises(ModelError, match="makes too many columns"):
        matrix(read("C(a):C(b)", "a formula"), wide, "numbers")


def test_what_cannot_be_computed_is_said() -> None:
    with pytest.raises(ModelError, match="the formula cannot be computed"):
        matrix(read("bs(x, df=1)", "a formula"), TABLE, "numbers")


@pytest.mark.parametrize("text", ["0 + poly(x, 3)", "0 + bs(x, df=5)", "0 + scale(x)"])
def test_other_rows_get_the_columns_of_the_fit(text: str) -> None:
    made = matrix(read(text, "a formula"), TABLE, "numbers")
    np.testing.assert_allclose(matrix(made.model_spec, TABLE.iloc[:3], "numbers"), made.iloc[:3], atol=1e-12)
