"""Hyperparameters as normal scores: their priors, derivatives and correlation matrices, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from scipy import stats

from buurtsae.engines.hyper import NormalScores
from buurtsae.model.design import Design, design
from buurtsae.model.links import Link
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.direct import direct

AREAS = make_areas()
LINK = Link(Normal(0.2, 0.75), LogNormal(0.1, 0.25), PC(0.7, 0.04))


def made_design(n_dims: int = 4, spread: float = 0.3) -> Design:
    estimates = direct(make_scores(AREAS, SUBDIMENSIONS[:n_dims], 2, np.random.default_rng(1)), AREAS)
    terms = (
        BYM2(AREAS.graph(), sd=PC(0.9, 0.02), spread=spread, mixing=Beta(2, 3), correlation=LKJ(4), shared=False),
        IID("gemeente", sd=PC(0.8, 0.03), spread=0.2, correlation=LKJ(1.5)),
    )
    return design(AreaModel("1", terms, link=LINK), estimates)


@pytest.mark.parametrize(
    ("ours", "prior"),
    [
        (PC(np.log(20) / 1.7, 0.05), stats.expon(scale=1 / 1.7)),
        (Normal(0.4, 0.3), stats.norm(0.4, 0.3)),
        (Beta(2.0, 3.0), stats.beta(2, 3)),
        (Beta(1.0, 1.0), stats.uniform()),
        (LKJ(1.5), stats.beta(1.5, 1.5, loc=-1, scale=2)),  # of two measures
    ],
)
def test_scores_are_normal_a_priori(ours, prior) -> None:  # type: ignore[no-untyped-def]
    xi = np.linspace(-4, 4, 81)[:, None]
    value, slope = ours.quantile(xi)
    np.testing.assert_allclose(prior.cdf(value), stats.norm.cdf(xi), rtol=1e-9)
    np.testing.assert_allclose(slope, stats.norm.pdf(xi) / prior.pdf(value), rtol=1e-6)  # F' dtheta = phi dxi


@pytest.mark.parametrize("n_dims", [1, 4])
def test_what_has_no_effect_without_a_term(n_dims: int) -> None:
    scores = NormalScores.of(made_design(n_dims))
    xi = np.random.default_rng(1).standard_normal((2, scores.size))
    for name, (sd, silent) in zip(("BYM2.sigma", "gemeente.sigma"), scores.vanishing, strict=True):
        assert scores.names[sd].removesuffix("[0]") == name
        xi[:, sd] = -9  # a standard deviation of next to nothing: what is silent may be anything
        xi[1] = xi[0]
        xi[1, silent] += 1
        loadings = scores.hyper(xi).loadings(scores.design)
        for part in (loadings.terms, loadings.loose):
            np.testing.assert_allclose(part[0], part[1], atol=1e-12)
    told = {scores.names[k].split("[")[0] for _, silent in scores.vanishing for k in silent}
    assert told >= ({"BYM2.sigma", "gemeente.sigma", "BYM2.phi"} if n_dims > 1 else {"BYM2.phi"})
    assert told.isdisjoint({"lambda", "tau"})


def test_far_tails_stay_finite() -> None:
    xi = np.array([[-30.0], [30.0]])
    of_rate_1 = PC(np.log(20), 0.05)
    for prior in (of_rate_1, Beta(1.0, 1.0), LKJ(2.0)):
        value, slope = prior.quantile(xi)
        assert np.isfinite(value).all()
        assert np.isfinite(slope).all()
    assert of_rate_1.quantile(xi)[0][1] == pytest.approx(454.3, abs=0.1)  # -log Phi(-30)


def test_correlation_matrices_have_the_lkj_distribution() -> None:
    # LKJ(eta): each correlation is 2 Beta(a, a) - 1, a = eta + D / 2 - 1 (Lewandowski et al. 2009)
    eta, d, n = 1.5, 4, 20_000
    partial, _ = LKJ(eta).quantile(np.random.default_rng(1).standard_normal((n, 6)))
    root = LKJ(eta).value(partial, d)
    r = root @ root.swapaxes(1, 2)
    np.testing.assert_allclose(np.einsum("ndd->nd", r), 1.0, rtol=1e-12)
    a = eta + d / 2 - 1
    for i, j in zip(*np.tril_indices(d, -1), strict=True):
        found = stats.kstest(r[:, i, j], stats.beta(a, a, loc=-1, scale=2).cdf).pvalue
        assert found > 1e-4  # six tests at a fixed seed
    # the determinant of an LKJ matrix is a product of independent betas: E log |R| from their means
    shapes = [(eta + (d - 1 - k) / 2, k / 2) for k in range(1, d)]
    logdet = np.log(np.linalg.det(r))
    mean = sum(stats.beta(p, q).expect(np.log) for p, q in shapes)
    assert logdet.mean() == pytest.approx(mean, abs=5 * logdet.std() / np.sqrt(n))


@pytest.mark.parametrize("n_dims", [1, 4])
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_jacobian_is_that_of_differences(n_dims: int, spread: float) -> None:
    scores = NormalScores.of(made_design(n_dims, spread))
    xi, step = np.random.default_rng(2).normal(size=scores.size), 1e-6

    def parts(at: np.ndarray) -> list[np.ndarray]:
        hyper = scores.hyper(at)
        loadings = hyper.loadings(scores.design)
        return [*loadings.parts, hyper.slope, hyper.extra, *([] if hyper.omega is None else [hyper.omega])]

    for k, exact in enumerate(scores.jacobian(xi)):
        numeric = [(parts(xi + step * e)[k] - parts(xi - step * e)[k]) / (2 * step) for e in np.eye(scores.size)]
        np.testing.assert_allclose(exact, numeric, atol=1e-8)


def test_what_the_hyperparameters_are() -> None:
    scores = NormalScores.of(made_design())
    n_links = int(scores.design.linked.sum())
    # BYM2: common, 4 z, 4 phi, common gamma, 4 of its z, 6 + 6 correlations;
    # gemeente: common, 4 z, 6 correlations; lambda and tau per link; a factor of each V of few degrees of freedom
    assert scores.size == 26 + 11 + 2 * n_links + (scores.design.doubtful > 0).sum() == len(scores.names)
    middle = scores.hyper(np.zeros(scores.size))
    np.testing.assert_allclose(
        middle.values["BYM2.sigma"], np.log(2) / (-np.log(0.02) / 0.9)
    )  # medians of exponentials
    np.testing.assert_allclose(middle.values["gemeente.sigma"], np.log(2) / (-np.log(0.03) / 0.8))
    np.testing.assert_allclose(middle.values["BYM2.phi"], stats.beta(2, 3).median())
    np.testing.assert_allclose(middle.values["BYM2.gamma"], 0.0)
    np.testing.assert_allclose(middle.slope, np.where(scores.design.linked, np.exp(0.1), 1.0))
    np.testing.assert_allclose(middle.values["BYM2.R_u"], np.eye(4)[None], atol=1e-12)


def test_many_at_once() -> None:
    scores = NormalScores.of(made_design())
    xi = np.random.default_rng(3).normal(size=(5, scores.size))
    together, loadings = scores.hyper(xi), scores.hyper(xi).loadings(scores.design)
    for k in range(5):
        alone = scores.hyper(xi[k])
        for name, values in together.values.items():
            np.testing.assert_array_equal(values[k], alone.values[name])
        np.testing.assert_array_equal(loadings.terms[k], alone.loadings(scores.design).terms)
        np.testing.assert_array_equal(loadings.loose[k], alone.loadings(scores.design).loose)
        np.testing.assert_array_equal(loadings.scaling[0][k], alone.loadings(scores.design).scaling[0])
