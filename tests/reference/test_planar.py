"""The fast engine's lower level against R's mcmcsae 0.7.8 (R 4.2.2) on 2,000 made areas with planar neighbours.

    y ~ reg(5 covariates, N(0, 1e4)) + iid(area) + spatial(area)

with known sampling variances, an UNSCALED intrinsic CAR and half-Cauchy(0, 1) on both standard deviations; 20,000
iterations in 159 s, 249 effective draws of an area mean per second (README of `bench/planar` in the folder `shared`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from made_grid import FayHerriot, gauss_legendre, log_half_cauchy, unscaled

DATA = Path(__file__).parent / "data"
EFFECTIVE = 249 * 159


def test_posterior_of_2000_areas_is_that_of_a_long_run_of_r() -> None:
    data = pd.read_csv(DATA / "planar_n2000.csv")
    n = len(data)
    x = np.column_stack([np.ones(n), data[["x2", "x3", "x4", "x5"]]])
    icar = unscaled(n, pd.read_csv(DATA / "planar_n2000_edges.csv"))
    model = FayHerriot.of(data["y"].to_numpy(), data["var"].to_numpy(), x, 100.0, icar)
    # the mode is at 0.39 and 0.69; posterior sds of the logarithms are 0.08 and 0.09
    a, weight_a = gauss_legendre(np.log(0.39) - 0.5, np.log(0.39) + 0.5, 14)
    b, weight_b = gauss_legendre(np.log(0.69) - 0.5, np.log(0.69) + 0.5, 14)
    log_sd = np.array([(p, q) for p in a for q in b])
    log_weight = np.add.outer(weight_a, weight_b).ravel() + log_sd.sum(axis=1)  # uniform in the sd, not its logarithm
    edge = (log_sd == log_sd.min(axis=0)).any(axis=1) | (log_sd == log_sd.max(axis=0)).any(axis=1)
    sds = np.exp(log_sd)
    found = model.over(sds, log_weight + log_half_cauchy(sds).sum(axis=1), edge)
    assert found.edge < 1e-4
    difference = (data["mcmcsae_mean"].to_numpy() - found.mean) / found.sd
    ratio = data["mcmcsae_sd"].to_numpy() / found.sd
    # Monte Carlo errors of R: of a mean 1 / sqrt(effective) sds, of an sd 1 / sqrt(2 effective); the largest of 2,000
    # normal errors is below 5 of them. The mean square is a test of all areas at once: effective sizes vary by 10%.
    assert np.abs(difference).max() < 5 / np.sqrt(EFFECTIVE)
    assert np.sqrt((difference**2).mean()) < 1.1 / np.sqrt(EFFECTIVE)
    assert np.abs(ratio - 1).max() < 5 / np.sqrt(2 * EFFECTIVE)
    assert abs(difference.mean()) < 5 / np.sqrt(
        EFFECTIVE * n / 100
    )  # errors of neighbours go together: as if 100 areas
    assert np.sqrt(((ratio - 1) ** 2).mean()) < 1.1 / np.sqrt(2 * EFFECTIVE)
