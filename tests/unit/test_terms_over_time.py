"""Effects over time: Knorr-Held's type IV against the pseudo-inverse, one period as the term itself, both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.model.design import Design, design
from buurtsae.model.terms.over_time import scaled_walk
from buurtsae.sparse import Floats

YEARS = (2012, 2016, 2020, 2022, 2024)
EDGES = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5), (6, 7)]
Y = """0.001 0.299 -0.274 -0.891 -0.455 -0.992 0.06 1.34 -0.492 -0.62 0.49 0.357 0.105 -0.93 -0.029
0.695 -1.344 -0.458 -1.901 -1.29 -1.842 -0.235 -1.267 0.271 0.157 -0.187 -2.517 -0.539 -0.049 0.113
-1.53 -0.478 -0.979 -0.809 1.061 -0.808 -0.033 0.884 -0.584 -0.112"""
V = """0.904 0.608 0.878 0.712 0.793 0.273 0.633 0.606 0.897 0.489 0.679 0.247 0.51 0.458 0.32
0.853 0.504 0.983 0.672 0.684 0.71 0.741 0.321 0.552 0.392 0.522 0.277 0.974 0.372 0.737
0.44 0.899 0.73 0.305 0.876 0.956 0.923 0.656 0.316 0.354"""
SEEN = "01101 11111 01110 11110 11101 11110 01010 01101"


def graph() -> bs.Graph:
    codes = [f"a{k}" for k in range(8)]
    return bs.Graph.from_pairs(codes, [(codes[i], codes[j]) for i, j in EDGES])


def observed() -> tuple[Floats, Floats, np.ndarray]:
    """The miniature: y and variances, (8, 5), and which are seen."""
    seen = np.array([[c == "1" for c in word] for word in SEEN.split()])
    return *(np.array(text.split(), dtype=float).reshape(8, 5) for text in (Y, V)), seen


def laid(terms: list[Any], formula: str = "0") -> Design:
    """A model on the miniature, a source per year."""
    y, v, seen = observed()
    codes = [f"a{k}" for k in range(8)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 100}), code="code")
    sources = []
    for t, year in enumerate(YEARS):
        table = pd.DataFrame({"code": codes, "y": np.where(seen[:, t], y[:, t], np.nan), "v": v[:, t]})
        direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source=f"wave {year}"))
    return design(bs.AreaModel(formula, terms), replace(direct, sources=tuple(sources)).by_year())


def given(arrays: Design, **values: float) -> Hyper:
    """Values of the parameters of the one term; without correlations."""
    (effect,) = arrays.effects
    none = np.ones((1, 1, 1))
    named = {
        f"{effect.name}.{p.name}": none if p.name == "R" else np.array([[values[p.name]]]) for p in effect.parameters
    }
    return Hyper(named, np.ones(arrays.linked.shape), np.zeros(arrays.linked.shape))


def test_type_four_is_that_of_the_kronecker_product() -> None:
    """shared/knowledge/years.md, section 5: computed by the pseudo-inverse of Q_s x Q_t, sd of the interaction 1/2."""
    term = bs.OverTime(bs.ICAR(graph(), levels=False))
    arrays = laid([term])
    marginal = Marginal.of(arrays)
    conditional = marginal.conditional(given(arrays, sigma=0.0, change=0.5, psi=1.0))
    assert conditional.log_likelihood == pytest.approx(-42.15916556958544, abs=1e-8)
    mean, sd = conditional.mean, np.sqrt(np.einsum("kdd->kd", conditional.scores.covariance))
    expected = [0.24863087, 0.43245020, -0.03001045, -0.22380408, -0.42726653]
    np.testing.assert_allclose(mean[0], expected, atol=1e-8)
    np.testing.assert_allclose(sd[0], [0.61710554, 0.36968757, 0.34637469, 0.37459854, 0.45305351], atol=1e-8)
    assert abs(mean.sum(axis=1)).max() < 1e-12  # over the years of an area
    for part in ([0, 1, 2, 3, 4, 5], [6, 7]):
        assert abs(mean[part].sum(axis=0)).max() < 1e-12


def dense(c_stays: Floats, c_changes: Floats) -> tuple[Floats, float]:
    """Posterior means and log-likelihood by dense algebra: covariance of stays over areas, of changes over all."""
    y, v, seen = observed()
    k = np.kron(c_stays, np.ones((5, 5))) + c_changes
    at = np.flatnonzero(seen.ravel())
    s = k[np.ix_(at, at)] + np.diag(v.ravel()[at])
    r = y.ravel()[at]
    log = -0.5 * (r @ np.linalg.solve(s, r) + np.linalg.slogdet(2 * np.pi * s)[1])
    return (k[:, at] @ np.linalg.solve(s, r)).reshape(8, 5), float(log)


@pytest.mark.parametrize(("phi", "psi"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.3, 0.6)])
def test_all_types_are_those_of_dense_algebra(phi: float, psi: float) -> None:
    """What stays, and changes of types I to IV but for their mean over the years, by pseudo-inverses."""
    term = bs.OverTime(bs.BYM2(graph(), levels=False, by_residents=False))
    arrays = laid([term])
    values = {"sigma": 0.8, "phi": 0.4, "change": 0.5, "psi": psi, "change_phi": phi}
    conditional = Marginal.of(arrays).conditional(given(arrays, **values))
    space = np.linalg.pinv(graph().icar.precision.toarray(), rcond=1e-10)
    time = np.linalg.pinv(scaled_walk(YEARS), rcond=1e-10)
    years = np.eye(5) - 1 / 5
    changes = np.kron(0.25 * (phi * space + (1 - phi) * np.eye(8)), psi * time + (1 - psi) * years)
    mean, log = dense(0.64 * (0.4 * space + 0.6 * np.eye(8)), changes)
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-9)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-9)


def test_one_period_is_the_term_itself() -> None:
    y, v, seen = observed()
    codes = [f"a{k}" for k in range(8)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 100}), code="code")
    table = pd.DataFrame({"code": codes, "y": np.where(seen[:, 1], y[:, 1], np.nan), "v": v[:, 1]})
    direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)
    options: dict[str, Any] = {"draws": 200, "hyperparameters": 60, "progress": False}
    term = bs.BYM2(graph())
    alone, over = (bs.fit(bs.AreaModel("1", [t]), direct, **options) for t in (term, bs.OverTime(term)))
    np.testing.assert_array_equal(alone.draws.eta, over.draws.eta)


def test_the_gradient_is_that_of_differences() -> None:
    marginal = Marginal.of(laid([bs.OverTime(bs.BYM2(graph())), bs.OverTime(bs.Leroux(graph(), name="l"))], "1"))
    xi = 0.3 * np.random.default_rng(3).standard_normal(marginal.size)
    value, gradient = marginal.with_gradient(xi)
    assert value == pytest.approx(marginal.log_posterior(xi), abs=1e-9)
    step = 1e-5 * np.eye(marginal.size)
    numeric = [(marginal.log_posterior(xi + e) - marginal.log_posterior(xi - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)  # second order of the step, digits of the value over it


def test_the_walk_is_scaled_over_the_years_there_are() -> None:
    """shared/knowledge/years.md, 2.4."""
    expected = [0.54066517, 1.08133035, 1.62199552, 2.16266069, 1.08133035]
    np.testing.assert_allclose(scaled_walk(YEARS).diagonal(), expected, atol=1e-8)
    generalised = np.linalg.pinv(scaled_walk((2020, 2021, 2024))).diagonal()
    assert np.exp(np.log(generalised).mean()) == pytest.approx(1.0)
