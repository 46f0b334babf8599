"""The flow of the Nile, 1871-1970, with and without gaps: a local level, both variances by maximum likelihood.

One long series is areas that are years: the level is `RW1("year")`, the noise an unstructured effect per year beside a
known variance of 1. Numbers of a Gaussian likelihood from a diffuse start, shared/knowledge/years.md, section 5; R's
StructTS stops at 1469.1466 and 15098.5772.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize, root

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.latent.conditional import Conditional
from buurtsae.model.design import design

GAPS = [*range(10, 16), 40, 41, *range(60, 70)]
CASES = {
    "whole": ([], 1469.18, 15098.52, {1: 1111.66869, 29: 950.92909, 50: 834.76304, 100: 798.36816}),
    "gaps": (GAPS, 1603.393, 16942.967,
             {1: 1114.95571, 12: 1106.38235, 29: 951.14475, 65: 806.67752, 100: 799.35688}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_both_variances_and_the_smoothed_level(shared: Path, case: str) -> None:
    gaps, level, noise, smoothed = CASES[case]
    table = pd.read_csv(shared / "golden" / "more" / "nile.csv").assign(v=1.0)
    table["code"], table.loc[np.array(gaps, dtype=int) - 1, "y"] = table["year"].astype(str), np.nan
    data = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code")
    flat = bs.Normal(0.0, 1e5)  # changes a fit of some hundreds by less than 1e-6
    arrays = design(bs.AreaModel("1", [bs.RW1("year"), bs.IID("area")], intercept=flat), data)
    marginal, one = Marginal.of(arrays), np.ones((1, 1))

    def at(log_sd: np.ndarray) -> Conditional:
        values = {"RW1(year).R": one[None], "area.R": one[None]}
        values |= {f"{name}.sigma": np.exp(x) * one for name, x in zip(("RW1(year)", "area"), log_sd, strict=True)}
        return marginal.conditional(Hyper(values, one, 0 * one))

    def slopes(log_sd: np.ndarray) -> np.ndarray:
        gradient = at(log_sd).gradient
        return np.array([gradient.terms[0, 0, 0], gradient.loose[0, 0, 0]]) * np.exp(log_sd)

    near = minimize(lambda x: -at(x).log_likelihood, np.log([100.0, 100.0]), jac=lambda x: -slopes(x)).x
    best = root(slopes, near, tol=1e-12).x  # the value is flat at its maximum, the slopes are not
    assert arrays.effects[0].structure is not None
    scale = arrays.effects[0].structure.parts[0][0, 0]  # over that of steps of a year
    assert np.exp(2 * best[0]) / scale == pytest.approx(level, rel=1e-5)
    assert np.exp(2 * best[1]) + 1 == pytest.approx(noise, rel=1e-5)
    # the level is the score less the noise of its year
    fit = at(best)
    found = fit.predictor(fit.mean_field, fit.border)[:, 0]
    np.testing.assert_allclose(found[np.array(list(smoothed)) - 1], list(smoothed.values()), rtol=1e-5)
