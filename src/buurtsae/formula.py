"""The door to formulas: columns, operators and a list of functions, all of it looked at before anything is computed.

formulaic hands every factor that is no name to Python. So its text is parsed first, and only this passes: columns,
numbers, + - * / **, and calls of `FUNCTIONS`, with text or numbers as options. How much work a formula asks for is
counted before it is done: terms by the operators (a * b has A + B + AB), powers and degrees by their numbers. Numbers
alone have no powers, nor have powers: (999999**10)**10 would compute for minutes.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.errors import ModelError, cut, shown

if TYPE_CHECKING:
    from formulaic import Formula, ModelMatrix

OURS = {"abs": np.abs, "log1p": np.log1p, "sqrt": np.sqrt}  # formulaic has the others; and `poly`
FUNCTIONS = (
    *("C", "I", "abs", "bs", "cc", "center", "cr", "cs", "exp", "exp10", "exp2", "log", "log10", "log1p", "log2"),
    *("poly", "scale", "sqrt", "standardize"),
)
RAW = ("log", "log10", "log1p", "log2", "sqrt")  # of no use for what is standardised: half of it is below 0
SIGNS = frozenset("~|+-*/:^()in")  # of operators; ~ and | make parts, which who asks may refuse
LONGEST, TERMS, COLUMNS, POWER, DEGREE = 2000, 1000, 1000, 10, 30
MIXED = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


def read(text: str, expected: str, *, standardised: bool = False) -> Formula:
    """Return a formula of formulaic that is safe to compute, in bounded time.

    `expected` is what a message says that a formula is; of `standardised` covariates the functions `RAW` are refused.

    Raises
    ------
    ModelError
        If it cannot be read, or anything in it is not allowed, by name.
    """
    from formulaic import Formula
    from formulaic.parser import DefaultFormulaParser
    from formulaic.parser.types import Token

    if len(text) > LONGEST or not text.replace("\n", " ").isprintable():
        what = f"{len(text)} characters" if len(text) > LONGEST else cut(repr(text))
        raise ModelError("the formula cannot be read", what, f"at most {LONGEST}, all of them printable", "shorten it")
    try:
        parser = DefaultFormulaParser()
        for token in parser.get_tokens(text):
            _check(token, Token.Kind)
        tree = parser.get_ast(text)
        if tree is not None and (count := _terms(tree)) > TERMS:
            raise ModelError(
                "the formula has too many terms", f"up to {count:.6g}", f"at most {TERMS}", "leave some out"
            )
        formula = Formula(text)
    except ModelError:
        raise
    except Exception as error:  # formulaic has no common class of errors
        raise ModelError("the formula cannot be read", plain(error), expected, "correct it") from error
    if standardised:
        _refuse_roots(formula)
    return formula


def parts(formula: Any) -> tuple[str, ...]:
    """Return what `~` and `|` make of it: none of one right-hand side, `lhs`, `rhs` of y ~ x."""
    sides = getattr(formula, "_structure", {})
    return tuple(name for name, side in sides.items() for _ in (side if isinstance(side, tuple) else [side]))


def variables(formula: Any) -> list[str]:
    """Return the columns that a formula, or a spec, needs, sorted."""
    return sorted({name for term in terms(formula) for name in columns(term)})


def terms(formula: Any) -> list[Any]:
    """Return the terms of all parts of a formula, or of a spec."""
    if hasattr(formula, "required_variables") and hasattr(formula, "formula"):
        formula = formula.formula  # of a spec
    sides = formula._flatten() if hasattr(formula, "_structure") else [formula]
    return [term for side in sides for term in side]


def _factors(formula: Any) -> list[Any]:
    return [factor for term in terms(formula) for factor in term.factors]


def columns(term: Any) -> set[str]:
    """Return the columns that a term needs."""
    return {name for factor in term.factors for name in _names(factor)}


def interacting(formula: Any, name: str) -> tuple[str, ...]:
    """Return the columns that share a term with this one, sorted."""
    together = [names for term in terms(formula) if name in (names := columns(term))]
    return tuple(sorted(set[str]().union(*together) - {name}))


def categories(formula: Any) -> tuple[set[str], set[str]]:
    """Return the columns inside `C(...)`, which are categories, and those that are used as numbers."""
    numbers, inside = set[str](), set[str]()
    for factor in _factors(formula):
        (inside if str(factor.expr).startswith("C(") else numbers).update(_names(factor))
    return inside, numbers


def matrix(formula: Any, table: pd.DataFrame, expected: str) -> ModelMatrix:
    """Return the model matrix (or matrices) of a formula, or of a spec that was fitted, on a table.

    Raises
    ------
    ModelError
        If it has too many columns, or a factor cannot be computed on these data.
    """
    width = sum(math.prod(_width(str(factor), table) for factor in term.factors) for term in terms(formula))
    if width > COLUMNS:
        what, want = "the formula makes too many columns", f"at most {COLUMNS}"
        raise ModelError(what, f"up to {width}", want, "merge categories")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name, by who asks
            return formula.get_model_matrix(table, na_action="ignore", context=OURS | {"poly": _poly()})
    except Exception as error:  # nor have the functions that it calls
        raise ModelError("the formula cannot be computed", plain(error), expected, "correct it") from error


@cache
def _poly() -> Any:
    """R's poly with columns of mean square 1 instead of length 1: as large as what is standardised, for its priors."""
    from formulaic.transforms import poly, stateful_transform

    @stateful_transform  # type: ignore[untyped-decorator, unused-ignore]
    def scaled(x: Any, degree: int = 1, raw: bool = False, _state: Any = None) -> Any:
        made = poly(x, degree, raw, _state=_state)
        return made if raw else made * math.sqrt(_state.setdefault("n", len(x)))

    return scaled


def _width(factor: str, table: pd.DataFrame) -> int:
    """At most how many columns a factor has: its categories, or its degrees of freedom."""
    names = [word for word in re.findall(r"\w+", factor) if word in table] or [factor] * (factor in table)
    if factor.startswith("C(") or any(not pd.api.types.is_numeric_dtype(table[name]) for name in names):
        return max((table[name].nunique() for name in names), default=1)
    return DEGREE + 1 if factor.startswith(("bs(", "cc(", "cr(", "cs(", "poly(")) else 1


def plain(error: Exception) -> str:
    """Return a message of formulaic on one line, without the colours in which it marks the place."""
    return cut(" ".join(re.sub(r"\x1b\[[\d;]*m|[⧛⧚]", "", str(error)).split()) or type(error).__name__, 300)


def _names(factor: Any) -> Iterator[str]:
    """The columns of a factor: its name, or the names in what Python computes, less those of functions."""
    if factor.eval_method.value == "lookup":
        yield str(factor.expr)
    elif factor.eval_method.value == "python":
        yield from _identifiers(factor) - set(FUNCTIONS)


def _identifiers(factor: Any) -> set[str]:
    """The names in what Python computes, of columns and of functions."""
    return {node.id for node in ast.walk(ast.parse(str(factor.expr), mode="eval")) if isinstance(node, ast.Name)}


def _refuse_roots(formula: Any) -> None:
    for factor in (factor for factor in _factors(formula) if factor.eval_method.value == "python"):
        if roots := sorted(_identifiers(factor) & set(RAW)):
            raise ModelError(
                "the formula holds a function of raw values",
                f"{shown(roots)} in {cut(repr(str(factor.expr)))}",
                "functions of standardised covariates, which are about 0",
                'name the covariate in the formula, and in [[covariates]] with transform = "log" or "log1p" or "sqrt"',
            )


def _check(token: Any, kind: Any) -> None:
    text = str(token)
    if token.kind is kind.PYTHON:
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _refused(text, "no expression") from error
        _factor(tree, text)
    elif token.kind is kind.NAME and text.strip("`") in FUNCTIONS:
        raise _refused(text, f"{text.strip('`')} without a column")
    elif token.kind in (kind.OPERATOR, kind.CONTEXT) and set(text) - SIGNS:
        raise _refused(text, "an operator")
    elif token.kind is kind.VALUE and not re.fullmatch(r"\d{1,6}(\.\d{1,12})?", text):
        raise _refused(text, "a value")


def _factor(node: ast.AST, text: str, depth: int = 0) -> None:
    """Refuse all of a factor but columns, numbers, arithmetic and the functions of the list."""
    if depth > 20:
        raise _refused(text, "nested too deep")
    match node:
        case ast.Name(id=name) if name in FUNCTIONS:
            raise _refused(text, f"{name} without a column")
        case ast.Name(id=name) if not name.startswith("__"):
            return
        case ast.Constant() if _number(node, 1e6):
            return
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=inner):
            return _factor(inner, text, depth + 1)
        case ast.BinOp(op=ast.Pow(), right=right) if not _number(right, POWER):
            raise _refused(text, f"a power that is no number up to {POWER}")
        case ast.BinOp(left=left, op=ast.Pow()) if any(isinstance(part, ast.Pow) for part in ast.walk(left)):
            raise _refused(text, "a power of a power")
        case ast.BinOp(left=left, op=ast.Pow()) if not any(isinstance(part, ast.Name) for part in ast.walk(left)):
            raise _refused(text, "a power of numbers alone")
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, MIXED):
            _factor(left, text, depth + 1)
            return _factor(right, text, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=options) if name in FUNCTIONS and args:
            _factor(args[0], text, depth + 1)
            for option in [*args[1:], *(keyword.value for keyword in options if keyword.arg)]:
                constant = isinstance(option, ast.Constant) and isinstance(option.value, str | bool)
                if not (constant or _number(option, DEGREE)):
                    raise _refused(text, f"an option that is no text, and no number up to {DEGREE}")
            if any(keyword.arg is None for keyword in options):
                raise _refused(text, "**")
            return
        case ast.Call(func=ast.Name(id=name)):
            raise _refused(text, f"the function {name}" if name not in FUNCTIONS else f"{name} without a column")
    raise _refused(text, {ast.Attribute: "a dot", ast.Call: "a call"}.get(type(node), type(node).__name__.lower()))


def _number(node: ast.AST, most: float) -> bool:
    """Whether it is a number of this size, maybe with a sign."""
    value = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(value, ast.Constant) and type(value.value) in (int, float) and abs(value.value) <= most  # type: ignore[arg-type]


def _refused(text: str, got: str) -> ModelError:
    return ModelError(
        "the formula holds what is not allowed",
        f"{got} in {cut(repr(text))}",
        f"columns, numbers, operators, and the functions {', '.join(FUNCTIONS)}",
        "compute it before, and join it as a column",
    )


def _terms(node: Any) -> float:
    """At most how many terms a part of a formula has."""
    if not hasattr(node, "operator"):
        return 1
    counts = [_terms(part) for part in node.args]
    symbol = node.operator.symbol
    if symbol in ("**", "^"):
        power = str(node.args[1])
        if not (power.isdigit() and 1 <= int(power) <= POWER):
            raise ModelError("the formula has an impossible power", cut(power), f"1 to {POWER}", "correct it")
        return min(counts[0] ** int(power), 1e9)
    if symbol in ("*", "/", ":", "in") and len(counts) == 2:
        return min(counts[0] + counts[1] + counts[0] * counts[1], 1e9)
    return sum(counts)
