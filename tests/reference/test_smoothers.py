"""ICAR, RW1 and P-spline terms against the REML fits of mgcv and the likelihood of a local level model.

With the noise that these report as sampling variance, the marginal likelihood under flat coefficients has its maximum
at their standard deviation, and the scores there are their fits. Data in the folder `shared` beside the checkout; the
numbers were derived twice: by R, and by dense algebra.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.latent.conditional import Conditional
from buurtsae.model.design import design

FLAT = bs.Normal(0.0, 1e5)  # changes a fit of some hundreds by less than 1e-6


def at_maximum(
    table: pd.DataFrame, formula: str, term: bs.ICAR | bs.RW1 | bs.Spline
) -> tuple[float, float, Conditional]:
    """The standard deviation of unit nodes, the unscaled precision's first entry over the scaled one, the fit."""
    data = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code")
    arrays = design(bs.AreaModel(formula, [term], intercept=FLAT, coefficient=FLAT), data)
    marginal, one = Marginal.of(arrays), np.ones((1, 1))

    def at(log_sigma: float) -> Conditional:
        values = {f"{term.name}.sigma": np.exp(log_sigma) * one, f"{term.name}.R": one[None]}
        return marginal.conditional(Hyper(values, one, 0 * one))

    best = minimize_scalar(lambda x: -at(x).log_likelihood, (2.0, 6.0), tol=1e-10).x
    structure = arrays.effects[0].structure
    assert structure is not None
    return float(np.exp(best)), float(structure.parts[0][0, 0]), at(best)


@pytest.mark.parametrize("scaled", [True, False])
def test_crime_in_columbus(shared: Path, scaled: bool) -> None:
    # gam(crime ~ s(district, bs = "mrf"), method = "REML"): 49 districts, geometric mean of variances 0.4812001939
    table, edges = (pd.read_csv(shared / "golden" / "more" / f"{name}.csv") for name in ("columb", "columb_edges"))
    codes, pairs = table["district"].astype(str).str.zfill(2), edges.astype(str).apply(lambda c: c.str.zfill(2))
    graph = bs.Graph.from_pairs(codes, pairs.to_numpy())
    frame = pd.DataFrame({"code": codes, "y": table["crime"], "v": 9.08660**2})
    sigma, _, fit = at_maximum(frame, "1", bs.ICAR(graph, scaled=scaled))
    assert sigma / np.sqrt(0.4812001939 if scaled else 1.0) == pytest.approx(19.76206, rel=1e-5)
    np.testing.assert_allclose(fit.mean[:4, 0], [18.817531, 22.124967, 30.133145, 33.143038], atol=1e-4)
    # their criterion leaves out the flat prior of the intercept
    reml = -fit.log_likelihood - np.log(FLAT.sd) - 0.5 * np.log(2 * np.pi)
    assert reml == pytest.approx(198.2691827, abs=1e-6)


def test_a_motorcycle_accident(shared: Path) -> None:
    # gam(accel ~ s(times, bs = "ps", k = 20), method = "REML"): times of the five fits as areas without an estimate
    table = pd.read_csv(shared / "golden" / "more" / "mcycle.csv").rename(columns={"times": "x", "accel": "y"})
    new = pd.DataFrame({"x": [5.0, 15, 20, 30, 45], "y": np.nan})
    frame = pd.concat([new, table], ignore_index=True).assign(
        v=22.64049**2, code=lambda t: t.index.astype(str).str.zfill(3)
    )
    sigma, scale, fit = at_maximum(frame, "1 + x", bs.Spline("x", intervals=17))
    assert sigma / np.sqrt(scale) == pytest.approx(48.13216, rel=1e-5)  # D'D starts with 1
    np.testing.assert_allclose(fit.mean[:5, 0], [-2.94841, -26.11563, -114.23834, 29.77334, 0.90283], atol=2e-4)
    np.testing.assert_allclose(fit.sd[:5, 0], [8.96781, 4.48818, 5.74885, 6.67256, 8.43639], atol=2e-4)


@pytest.mark.parametrize(
    ("gaps", "level", "noise", "years", "smoothed"),
    [
        (lambda k: k < 0, 1469.18, 15098.52, [1, 29, 50, 100], [1111.66869, 950.92909, 834.76304, 798.36816]),
        (
            lambda k: ((k >= 10) & (k <= 15)) | (k == 40) | (k == 41) | ((k >= 60) & (k <= 69)),
            1603.393,
            16942.967,
            [1, 12, 29, 65, 100],
            [1114.95571, 1106.38235, 951.14475, 806.67752, 799.35688],
        ),
    ],
)
def test_the_flow_of_the_nile(
    shared: Path,
    gaps: Callable[[np.ndarray], np.ndarray],
    level: float,
    noise: float,
    years: list[int],
    smoothed: list[float],
) -> None:
    # StructTS(Nile, "level"): a local level from a diffuse start
    table = pd.read_csv(shared / "golden" / "more" / "nile.csv")
    table = table.assign(code=table["year"].astype(str), v=noise, y=table["y"].mask(gaps(np.arange(1, 101))))
    sigma, scale, fit = at_maximum(table, "1", bs.RW1("year"))
    assert sigma**2 / scale == pytest.approx(level, rel=1e-4)  # at a maximum, known to half of its digits
    np.testing.assert_allclose(fit.mean[np.array(years) - 1, 0], smoothed, atol=0.01)
    # years without a figure need not be there: steps may be of any length
    short = at_maximum(table.dropna(), "1", bs.RW1("year"))
    assert short[2].log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-6)
