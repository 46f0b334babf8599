"""Draws: their labels, and convergence diagnostics against the definition and against chains that are known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from buurtsae.draws import HYPERPARAMETERS, Draws, convergence

AREAS, MEASURES = ("BU03440000", "BU03440001", "BU03440002"), ("participatie", "plaatsidentiteit")


def rank_rhat(x: np.ndarray) -> float:
    """Vehtari et al. (2021): the larger R-hat of ranks, plain and folded, of chains split in halves."""

    def rhat(z: np.ndarray) -> float:
        half = z.shape[1] // 2
        split = np.vstack([z[:, :half], z[:, -half:]])
        ranks = stats.rankdata(split).reshape(split.shape)
        normal = stats.norm.ppf((ranks - 0.375) / (split.size + 0.25))
        within, between = normal.var(axis=1, ddof=1).mean(), half * normal.mean(axis=1).var(ddof=1)
        return float(np.sqrt(((half - 1) / half * within + between / half) / within))

    return max(rhat(x), rhat(abs(x - np.median(x))))


def test_rhat_is_that_of_vehtari_et_al() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 500, 3)) * [1, 2, 3]
    values[0, :, 1] += 1  # another level, another spread
    values[1, :, 2] *= 3
    found = convergence(values)["rhat"]
    assert found.tolist() == pytest.approx([rank_rhat(values[:, :, k]) for k in range(3)], rel=1e-10)


def test_independent_draws_are_good() -> None:
    found = convergence(np.random.default_rng(2).normal(size=(4, 1000, 50)))
    assert (abs(found["rhat"] - 1) < 0.01).all()
    # bulk ESS estimates of 4,000 independent draws scatter by some 3 percent, tail ones by 4
    assert found["ess_bulk"].between(3200, 4800).all()
    assert found["ess_tail"].between(3000, 4800).all()


def test_chains_at_different_levels_are_bad() -> None:
    values = np.random.default_rng(3).normal(size=(2, 500, 1))
    values[1] += 3
    found = convergence(values).iloc[0]
    assert found["rhat"] > 1.5
    assert found["ess_bulk"] < 10


def test_autocorrelated_draws_count_for_less() -> None:
    rng, rho = np.random.default_rng(4), 0.8
    x = np.empty((4, 2500, 20))
    x[:, 0] = rng.normal(size=(4, 20))
    for t in range(1, x.shape[1]):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=(4, 20))
    # AR(1): 10,000 (1 - rho) / (1 + rho) = 1,111; one estimate scatters by some 10 percent, the mean of 20 by 3
    assert convergence(x)["ess_bulk"].mean() == pytest.approx(10_000 * (1 - rho) / (1 + rho), rel=0.1)


@pytest.fixture(scope="module")
def draws() -> Draws:
    rng = np.random.default_rng(5)
    r = np.tile(np.eye(2), (4, 200, 1, 1))
    r[..., 0, 1] = r[..., 1, 0] = rng.uniform(-1, 1, (4, 200))
    hyper = {
        "beta": (("column", "measure"), rng.normal([[10, 20], [30, 40]], size=(4, 200, 2, 2))),
        "BYM2.sigma": (("measure",), rng.gamma(2, size=(4, 200, 2))),
        "BYM2.phi": (("measure",), np.full((4, 200, 2), 0.5)),
        "BYM2.R_u": (("measure", "measure_2"), r),
        "alpha": (("link",), rng.normal(size=(4, 200, 1))),
    }
    coords = {"column": ("Intercept", "x"), "measure_2": MEASURES, "link": ("lokaal: participatie",)}
    return Draws(rng.normal(6, 1, (4, 200, 3, 2)), AREAS, MEASURES, hyper, coords, 2)


def test_the_table_of_hyperparameters(draws: Draws) -> None:
    table = draws.hyperparameters()
    assert list(table) == HYPERPARAMETERS
    # what is fixed (phi, the diagonal of R) is left out, and a correlation occurs once
    assert list(zip(table["name"], table["measure"], strict=True)) == [
        ("beta", "Intercept - participatie"),
        ("beta", "Intercept - plaatsidentiteit"),
        ("beta", "x - participatie"),
        ("beta", "x - plaatsidentiteit"),
        ("BYM2.sigma", "participatie"),
        ("BYM2.sigma", "plaatsidentiteit"),
        ("BYM2.R_u", "plaatsidentiteit - participatie"),
        ("alpha", "lokaal: participatie"),
    ]
    rows = table.set_index(["name", "measure"])
    for key, values in {
        ("beta", "x - participatie"): draws.hyper["beta"][1][:, :, 1, 0],
        ("BYM2.R_u", "plaatsidentiteit - participatie"): draws.hyper["BYM2.R_u"][1][:, :, 1, 0],
        ("alpha", "lokaal: participatie"): draws.hyper["alpha"][1][:, :, 0],
    }.items():
        expected = [values.mean(), values.std(), *np.quantile(values, [0.025, 0.975]), rank_rhat(values)]
        assert rows.loc[key, ["mean", "sd", "lower", "upper", "rhat"]].tolist() == pytest.approx(expected, rel=1e-10)


def test_labels_and_shapes(draws: Draws) -> None:
    assert draws.flat.shape == (800, 3, 2)
    np.testing.assert_array_equal(draws.flat[200], draws.eta[1, 0])  # chain after chain
    data = draws.dataset
    assert data["eta"].dims == ("chain", "draw", "area", "measure")
    np.testing.assert_array_equal(data["eta"].sel(area="BU03440001", measure="plaatsidentiteit"), draws.eta[:, :, 1, 1])
    np.testing.assert_array_equal(
        data["BYM2.R_u"].sel(measure="participatie", measure_2="plaatsidentiteit")[0, 0],
        draws.hyper["BYM2.R_u"][1][0, 0, 0, 1],
    )
    assert repr(draws) == "Draws of 3 areas x 2 measures: 4 chains of 200, 2 divergences"


def test_without_hyperparameters_the_table_is_empty_with_its_columns() -> None:
    bare = Draws(np.random.default_rng(6).normal(size=(2, 50, 3, 2)), AREAS, MEASURES)
    table = bare.hyperparameters()
    assert list(table) == HYPERPARAMETERS
    assert table.empty


@pytest.mark.parametrize("call", ["psis(np.arange(100.0))", "convergence(np.random.rand(4, 50, 1))"])
def test_arviz_announces_nothing_to_a_user(call: str, tmp_path: Path) -> None:
    # it does so once a day: whether it did is kept in the cache of the user
    code = f"import numpy as np\nfrom buurtsae.draws import convergence, psis\n{call}"
    command = [sys.executable, "-W", "error::FutureWarning", "-c", code]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
