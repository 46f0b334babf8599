"""One dialect of all classical estimators: arguments, results, summaries, bootstraps and reprs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.classical.core import Shaped
from buurtsae.errors import ModelError

M = 40
CODES = [f"BU{k:08}" for k in range(M)]


def made() -> dict[str, Any]:
    """Direct estimates of 40 areas in a ring, one of them without a sample."""
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(M), rng.normal(size=M)])
    d = rng.uniform(0.05, 0.2, M)
    y = x @ [4.0, 0.5] + 0.7 * rng.normal(size=M) + np.sqrt(d) * rng.normal(size=M)
    y[3] = np.nan
    return {"y": y, "x": x, "d": d, "ring": np.roll(np.eye(M), 1, axis=1) + np.roll(np.eye(M), -1, axis=1)}


def nested() -> bs.NestedError:
    """Five units in each area."""
    data, rng = made(), np.random.default_rng(2)
    area = np.repeat(np.arange(M), 5)
    y = data["x"][area] @ [4.0, 0.5] + 0.7 * rng.normal(size=M)[area] + rng.normal(size=5 * M)
    means = pd.DataFrame(data["x"], CODES, ["x0", "x1"])
    return bs.NestedError(y, data["x"][area], np.array(CODES)[area], means)


def multivariate() -> bs.MultivariateFayHerriot:
    data = made()
    y = np.column_stack([data["y"], data["y"] + np.random.default_rng(3).normal(size=M)])
    return bs.MultivariateFayHerriot(y, data["x"], data["d"][:, None, None] * np.eye(2), CODES)


def over_time(name: str) -> Any:
    """Three years, in the last of which effects are those of the first two and something new."""
    data, rng = made(), np.random.default_rng(4)
    moved = 0.4 * rng.normal(size=(M, 3)) + np.sqrt(data["d"])[:, None] * rng.normal(size=(M, 3))
    table = pd.DataFrame({"y": (data["y"][:, None] + moved).ravel(), "d": np.repeat(data["d"], 3)})
    x, year, codes = np.repeat(data["x"], 3, axis=0), np.tile([2020, 2022, 2024], M), np.repeat(CODES, 3)
    extra = [data["ring"]] if name == "SpatioTemporalFayHerriot" else []
    return getattr(bs, name)(table["y"].to_numpy(), x, table["d"].to_numpy(), *extra, year, codes)


MODELS: dict[str, Callable[[], Any]] = {
    "FayHerriot": lambda: bs.FayHerriot(made()["y"], made()["x"], made()["d"], CODES),
    "LogFayHerriot": lambda: bs.LogFayHerriot(made()["y"], made()["x"], made()["d"], CODES),
    "ArcsineFayHerriot": lambda: bs.ArcsineFayHerriot(made()["y"] / 10, made()["x"], 10 / made()["d"], CODES),
    "RobustFayHerriot": lambda: bs.RobustFayHerriot(made()["y"], made()["x"], made()["d"], CODES),
    "MeasurementErrorFayHerriot": lambda: bs.MeasurementErrorFayHerriot(
        made()["y"], made()["x"], made()["d"], {"x1": 0.1}, CODES
    ),
    "SpatialFayHerriot": lambda: bs.SpatialFayHerriot(made()["y"], made()["x"], made()["d"], made()["ring"], CODES),
    "MultivariateFayHerriot": multivariate,
    "NestedError": nested,
    "RaoYu": lambda: over_time("RaoYu"),
    "SpatioTemporalFayHerriot": lambda: over_time("SpatioTemporalFayHerriot"),
}
OVER_TIME = ["RaoYu", "SpatioTemporalFayHerriot"]  # in rows of areas and years: see test_over_time.py
EXTRA = {"proximity", "covariate_error", "year"}  # what only one model knows, before the codes of the areas


def arguments(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", MODELS)
def test_arguments_have_one_name_and_one_order(name: str) -> None:
    model = getattr(bs, name)
    known = {"ArcsineFayHerriot": ["effective_size"], "NestedError": []}.get(name, ["sampling_variance"])
    first = [n for n in arguments(model) if n not in EXTRA | {"means", "sizes"}]
    assert first == ["y", "x", *known, "area"]
    formula = [n for n in arguments(model.from_formula) if n not in EXTRA | {"means", "sizes"}]
    assert formula == ["formula", "data", *known, "area"]
    assert arguments(model.fit)[-1] in ("maxiter",)


@pytest.mark.parametrize("name", MODELS)
def test_results_have_one_vocabulary(name: str) -> None:
    options: dict[str, Any] = {"replications": 20, "seed": 1} if name == "ArcsineFayHerriot" else {}
    model = MODELS[name]()
    fit = model.fit(**options)
    assert fit.model is model
    assert fit.converged is True or bool(fit.converged)
    for values in (fit.eblup, fit.mse, fit.gamma, fit.table):
        assert values.index.names[0] == "area_code"
        assert values.index.get_level_values(0).isin(CODES).all()
    assert list(fit.eblup.index) == CODES
    assert {"eblup", "mse", "cv", "gamma"} <= set(fit.table.columns)
    summary = fit.summary(alpha=0.1)
    assert type(summary).__name__ == "Summary"
    assert "[0.05" in str(summary)
    linear = fit.transformed if hasattr(fit, "transformed") else fit  # coefficients are of the transformed scale
    assert len(linear.params) == len(linear.bse) == len(linear.conf_int()) == len(linear.cov_params())
    assert linear.trace.shape[1] >= 2
    assert not linear.at_boundary
    assert linear.aic < linear.bic or np.isnan(linear.aic)
    assert len(linear.synthetic) == M
    for shown in (model, fit, linear, linear.mse_terms):
        assert 10 < len(repr(shown)) < 500
        assert "\n" not in repr(shown)


@pytest.mark.parametrize(
    "name", [n for n in MODELS if n not in ("LogFayHerriot", "MultivariateFayHerriot", *OVER_TIME)]
)
def test_bootstraps_have_one_shape(name: str) -> None:
    fit = MODELS[name]().fit(**({"replications": 2, "seed": 1} if name == "ArcsineFayHerriot" else {}))
    errors = fit.bootstrap_mse(12, seed=1)
    assert list(errors.columns[:3]) == ["naive", "corrected", "mc_error"]
    assert list(errors.index) == CODES
    pd.testing.assert_frame_equal(errors, fit.bootstrap_mse(replications=12, seed=1))
    # squares of a normal error have a coefficient of variation of sqrt(2): over areas the mean of 12 has sqrt(2 / 12)
    # of itself as standard error, which twelve squares, skewed as they are, tell within a factor of two
    assert 0.5 < (errors["mc_error"] / errors["naive"]).mean() / np.sqrt(2 / 12) < 2
    with pytest.raises(ModelError, match="a bootstrap needs replications"):
        fit.bootstrap_mse(1)


@pytest.mark.parametrize("m", [6, 3000])
def test_reprs_do_not_grow_with_the_data(m: int) -> None:
    rng = np.random.default_rng(1)
    names = [f"a_covariate_with_a_rather_long_name_{k}" for k in range(4)]
    x = pd.DataFrame(rng.normal(size=(m, 4)), columns=names)
    y = pd.Series(3 + 2 * rng.normal(size=m), name="y" * 300)
    model = bs.FayHerriot(y, x, np.full(m, 0.1))
    fit = model.fit("amrl_yl")
    for shown in (model, model.data, fit, fit.gls, fit.mse_terms, fit.diagnostics):
        assert len(repr(shown)) < 500
    assert isinstance(fit.gls, Shaped)
    assert f"py ({m},)" in repr(fit.gls)
