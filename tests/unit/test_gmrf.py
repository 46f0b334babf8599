r"""The sparse posterior given hyperparameters, its likelihood, gradient and draws, against dense algebra.

With K the prior covariance of eta, y = H eta + noise of covariance N (sampling, extra per buurt, one alpha per link):
E[eta | y] = m + K H' (H K H' + N)^{-1} r,  Var[eta | y] = K - K H' (H K H' + N)^{-1} H K,  r ~ N(0, H K H' + N).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse as sp
from made_fit import SUBDIMENSIONS, made_areas_in, make_areas, make_scores
from scipy.linalg import block_diag

from buurtsae.areas.graph import Graph
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Loadings, Local, condition
from buurtsae.latent.field import field
from buurtsae.latent.structure import Structure
from buurtsae.model.design import Design, design
from buurtsae.model.links import Link
from buurtsae.model.priors import PC, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import AR1, BYM2, ICAR, IID, RW1, SAR, Leroux, Ridge, Spline
from buurtsae.model.terms.base import Term
from buurtsae.survey.direct import direct

AREAS = make_areas()  # a component of 24 buurten and an island
AREAS = replace(AREAS, frame=AREAS.frame.assign(bouwjaar=1950.0 + 10 * (np.arange(len(AREAS.codes)) * 5 % 7)))
MANY = tuple(f"x{k:02}" for k in range(40))  # covariates, more than there are areas
AREAS = replace(
    AREAS, frame=AREAS.frame.assign(**dict(zip(MANY, np.random.default_rng(9).normal(size=(40, 25)), strict=True)))
)
# other neighbours: those who travel to each other
# all of them hang together: constants of two fields are told by their sum only
WHOLE = Graph.from_pairs(AREAS.codes, [(AREAS.codes[k], AREAS.codes[k + 1]) for k in range(24)])
TRAVEL = Graph.from_pairs(AREAS.codes, [(AREAS.codes[k], AREAS.codes[(k + 9) % 25]) for k in range(25)])
# parts of 10, 8 and 6 areas, and one without neighbours
SPLIT = Graph.from_pairs(AREAS.codes, [(AREAS.codes[k], AREAS.codes[k + 1]) for k in range(23) if k not in (9, 17)])
LINK = Link(Normal(0.1, 0.6), LogNormal(0.0, 0.2), PC(0.5, 0.05))
TERMS = {
    "shared": [BYM2(AREAS.graph()), IID("gemeente")],
    "apart": [BYM2(AREAS.graph(), shared=False)],
    "other order": [IID("wijk"), IID("gemeente"), BYM2(AREAS.graph())],
    "no effect per buurt": [IID("gemeente")],
    "no effects": [],
    "ICAR": [ICAR(AREAS.graph(), scaled=False), IID("buurt")],
    "Leroux": [Leroux(AREAS.graph())],
    "SAR": [SAR(AREAS.graph()), IID("gemeente")],
    "RW1": [RW1("bouwjaar"), IID("buurt")],
    "AR1": [AR1("bouwjaar"), IID("buurt")],
    "Spline": [Spline("groen"), IID("buurt")],
    "Ridge": [Ridge("few", MANY[:3]), BYM2(AREAS.graph())],
    "two themes": [IID("gemeente"), Ridge("many", MANY[3:]), Spline("groen"), Ridge("few", MANY[:3]), IID("buurt")],
    "only a theme": [Ridge("many", MANY)],
    "two fields": [BYM2(AREAS.graph()), ICAR(TRAVEL, name="travel")],
    "three intrinsic fields": [Spline("groen"), ICAR(WHOLE), RW1("bouwjaar"), ICAR(TRAVEL, name="travel")],
    "levels": [BYM2(SPLIT), IID("gemeente")],
    "levels, matrices apart": [BYM2(SPLIT, shared=False)],
    "levels of an unscaled ICAR": [ICAR(SPLIT, scaled=False), IID("buurt")],
    "levels of one of two fields": [ICAR(SPLIT), BYM2(WHOLE)],
    "no levels": [BYM2(SPLIT, levels=False)],
    "two mixed fields": [BYM2(AREAS.graph()), BYM2(TRAVEL, name="travel", shared=False)],
}


def made_design(terms: list[Term], sources: int = 2) -> Design:
    estimates = direct(make_scores(AREAS, SUBDIMENSIONS, sources, np.random.default_rng(1)), AREAS)
    model = AreaModel("1 + groen", terms, Normal(5, 4), link=LINK, missing="impute")  # type: ignore[arg-type]
    return design(model, estimates)


@dataclass(frozen=True)
class Dense:
    """The posterior by matrices of all areas at once."""

    log_likelihood: float
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance)).reshape(self.mean.shape)


def by_dense_algebra(arrays: Design, hyper: Hyper, factor: np.ndarray | float | None = None) -> Dense:
    factor = hyper.factor if factor is None else factor
    n, d = len(arrays.areas), arrays.y.shape[-1]
    prior_mean, prior_sd = arrays.coefficient_priors
    k = np.kron(arrays.x @ np.diag(prior_sd**2) @ arrays.x.T, np.eye(d))
    for effect in arrays.effects:
        for year in range(arrays.periods):
            values = {p.name: hyper.values[f"{effect.name}.{p.name}"][year] for p in effect.parameters}
            place = np.eye(d)[:, year * len(arrays.measures) :][:, : len(arrays.measures)]  # its columns among all
            if effect.structure is not None:
                parts, sees = [q.toarray() for q in effect.structure.parts], effect.sees.toarray()
                strengths = [1.0] if effect.strengths is None else effect.strengths(values)
                each = np.broadcast_arrays(*strengths, np.zeros(len(arrays.measures)))[:-1]
                for m, column in enumerate((place @ effect.loading(values)).T):
                    q = sum(strength[m] * part for strength, part in zip(each, parts, strict=True))
                    # null spaces have eigenvalues of 1e-16, the others are above 1e-5
                    inverse = np.linalg.pinv(q, rcond=1e-10, hermitian=True)
                    k += np.kron(sees @ inverse @ sees.T, np.outer(column, column))
            if effect.levels is not None:
                sees, c = effect.levels.sees.toarray(), place @ effect.levels.loading(values)
                k += np.kron(sees @ sees.T, c @ c.T)
            if effect.loose is not None:
                c, scale = place @ effect.loose(values), np.zeros((n, len(arrays.measures)))
                if effect.dispersion is not None:
                    scale = sum(
                        np.outer(t, g) for t, g in zip(effect.dispersion.T, effect.scaling(values), strict=True)
                    )
                k += block_diag(*[(c * by) @ (c * by).T for by in np.exp(scale @ place.T)[:, :, None]])
    if arrays.known is not None:
        k += block_diag(*arrays.known)
    m = np.repeat(arrays.x @ prior_mean, d)
    rows, r, noise, which = [], [], [], []
    for s in range(len(arrays.sources)):
        for a, weights in enumerate(arrays.sites.toarray()):
            seen = np.flatnonzero(arrays.observed[s, a])
            sd = np.sqrt(np.broadcast_to(factor, arrays.y.shape)[s, a, seen])
            v = np.linalg.inv(arrays.precision[s, a][np.ix_(seen, seen)]) * np.outer(sd, sd)
            noise.append(v + np.diag(hyper.extra[s, seen] ** 2))
            for e in seen:
                rows.append(hyper.slope[s, e] * np.kron(weights, np.eye(d)[e]))
                c0 = arrays.centre[e]
                level = c0 + LINK.offset.mean - hyper.slope[s, e] * c0 if arrays.linked[s, e] else 0.0
                r.append(arrays.y[s, a, e] - level - rows[-1] @ m)
                which.append((s, e))
    h = np.array(rows)
    measures = len(arrays.measures)  # years of a source have one alpha
    same = np.array(
        [[p[0] == q[0] and (p[1] - q[1]) % measures == 0 and arrays.linked[p] for q in which] for p in which]
    )
    total = h @ k @ h.T + block_diag(*noise) + LINK.offset.sd**2 * same
    gain = np.linalg.solve(total, h @ k)
    residual = np.array(r)
    log_likelihood = -0.5 * (np.linalg.slogdet(2 * np.pi * total)[1] + residual @ np.linalg.solve(total, residual))
    return Dense(float(log_likelihood), (m + gain.T @ residual).reshape(n, d), k - k @ h.T @ gain)


@pytest.fixture(params=TERMS)
def marginal(request: pytest.FixtureRequest) -> Marginal:
    return Marginal.of(made_design(TERMS[request.param]))


def some_xi(marginal: Marginal, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.8, marginal.scores.size)


@pytest.mark.parametrize("seed", [1, 2])
def test_posterior_and_likelihood_are_those_of_dense_algebra(marginal: Marginal, seed: int) -> None:
    xi = some_xi(marginal, seed)
    found, exact = marginal.at(xi), by_dense_algebra(marginal.design, marginal.scores.hyper(xi))
    # conditions below 1e6: double precision leaves 1e-10 with room
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-8)
    np.testing.assert_allclose(found.sd, exact.sd, rtol=1e-8)


def test_two_years_are_two_models() -> None:
    # every term has parameters of its own per year, and one source, which has no link, is in both: one likelihood is
    # the sum of two, one posterior both of them. Two sources would have a link, which is of all years (below)
    first, second = make_scores(AREAS, SUBDIMENSIONS[:2], 2, np.random.default_rng(1))
    estimates = direct([first, replace(second, source=first.source)], AREAS).by_year()
    assert estimates.years == (2022, 2023)
    # of a covariate that is complete: the error of one that was imputed is the same in both years
    model = AreaModel("1 + bouwjaar", [BYM2(AREAS.graph()), SAR(TRAVEL)], Normal(5, 4), link=LINK)
    both = Marginal.of(design(model, estimates))
    assert both.design.columns[2] == f"{SUBDIMENSIONS[0]} 2023"
    xi = some_xi(both, 8)
    hyper = both.scores.hyper(xi)
    exact, found = by_dense_algebra(both.design, hyper), both.at(xi)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    total = 0.0
    for t, year in enumerate(estimates.years):
        alone = Marginal.of(design(model, estimates.of_year(year)))
        values = {name: value[t : t + 1] for name, value in hyper.values.items()}
        s, columns = [0], slice(2 * t, 2 * t + 2)
        of_year = alone.conditional(
            Hyper(values, hyper.slope[s, columns], hyper.extra[s, columns]), hyper.factor[s, :, columns]
        )
        np.testing.assert_allclose(found.mean[:, columns], of_year.mean, atol=1e-9)
        np.testing.assert_allclose(found.sd[:, columns], of_year.sd, rtol=1e-9)
        total += of_year.log_likelihood
    assert found.log_likelihood == pytest.approx(total, abs=1e-8)


def test_a_link_is_of_all_years() -> None:
    # the second source is in two years: one alpha, lambda and tau for both; the third in one, in which the reference is
    # absent. Against dense algebra, and the gradient against differences
    made = [make_scores(AREAS, SUBDIMENSIONS[:2], 2, np.random.default_rng(seed)) for seed in (1, 2)]
    scores = [
        replace(made[0][0], year=2020),
        replace(made[0][1], year=2020),
        replace(made[1][1], year=2022),
        replace(made[1][0], year=2022, source="other"),
    ]
    model = AreaModel("1 + bouwjaar", [BYM2(AREAS.graph()), IID("gemeente")], Normal(5, 4), link=LINK)
    marginal = Marginal.of(design(model, direct(scores, AREAS).by_year()))
    arrays, xi = marginal.design, some_xi(marginal, 8)
    assert arrays.sources == ("veiligheidsmonitor", "burgerpeiling", "other")
    assert arrays.linked.astype(int).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]]
    assert [link.columns for link in arrays.links] == [(0, 2), (1, 3), (2,), (3,)]
    hyper = marginal.scores.hyper(xi)
    assert (hyper.slope[1, :2] == hyper.slope[1, 2:]).all()
    exact, found = by_dense_algebra(arrays, hyper), marginal.at(xi)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-8)
    np.testing.assert_allclose(found.sd, exact.sd, rtol=1e-8)
    gradient, step = marginal.with_gradient(xi)[1], 1e-5
    numeric = [
        (marginal.log_posterior(xi + e) - marginal.log_posterior(xi - e)) / (2 * step)
        for e in step * np.eye(marginal.size)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


@pytest.mark.slow
def test_the_gradient_is_that_of_differences(marginal: Marginal) -> None:
    xi, step = some_xi(marginal, 3), 1e-5
    value, gradient = marginal.with_gradient(xi)
    assert value == marginal.log_posterior(xi)
    numeric = [
        (marginal.log_posterior(xi + step * e) - marginal.log_posterior(xi - step * e)) / (2 * step)
        for e in np.eye(marginal.scores.size)
    ]
    # rounding of a value of 1e3 in a difference of 2e-5: 1e-8, and as much from the third derivative
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)


def test_draws_have_the_mean_and_covariance_of_the_posterior() -> None:
    marginal = Marginal.of(made_design(TERMS["shared"]))
    xi, n = some_xi(marginal, 4), 20_000
    exact = by_dense_algebra(marginal.design, marginal.scores.hyper(xi))
    scores, border = marginal.at(xi).draw(np.random.default_rng(1), n)
    np.testing.assert_allclose(scores[0], exact.mean, atol=1e-8)
    flat, sd = scores[1:].reshape(n, -1), exact.sd.ravel()
    assert (np.abs(flat.mean(axis=0) - exact.mean.ravel()) / sd).max() < 5 / np.sqrt(n)  # 100 means
    # the standard error of a correlation is at most 1 / sqrt(n); 5,000 of them
    scale = np.outer(sd, sd)
    assert np.abs(np.cov(flat.T) / scale - exact.covariance / scale).max() < 6 * np.sqrt(2 / n)
    assert border.shape == (1 + n, 2 * 4 + 2)


def test_factors_of_the_sampling_variances() -> None:
    marginal = Marginal.of(made_design(TERMS["shared"]))
    hyper = marginal.scores.hyper(some_xi(marginal, 5))
    factor = np.random.default_rng(2).uniform(0.5, 2, marginal.design.y.shape)
    exact = by_dense_algebra(marginal.design, hyper, factor)
    found = marginal.conditional(hyper, factor)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.sd, exact.sd, rtol=1e-8)


def test_a_field_sums_to_zero_in_every_component() -> None:
    marginal = Marginal.of(made_design(TERMS["shared"]))
    found = marginal.at(some_xi(marginal, 6))
    u = found.mean_field[: len(AREAS.codes)]
    np.testing.assert_allclose(AREAS.graph().icar.means @ u, 0.0, atol=1e-12)


@pytest.mark.parametrize("silent", ["component", "everything but one buurt", "one sub-dimension"])
def test_what_the_data_do_not_identify_keeps_its_prior(silent: str) -> None:
    # two components, 16 and 8 buurten, that only the prior tells apart from where nothing was observed
    areas = made_areas_in(columns=(4, 7))
    estimates = direct(make_scores(areas, SUBDIMENSIONS, 1, np.random.default_rng(1)), areas)
    arrays = design(AreaModel("1", (BYM2(areas.graph()),), Normal(5, 4)), estimates)
    keep = np.zeros(arrays.y.shape, dtype=bool)
    icar = areas.graph().icar
    assert sorted(icar.size) == [1, 8, 16]
    large = icar.size[icar.component] == 16
    if silent == "component":
        keep[:, large] = True
    elif silent == "everything but one buurt":
        keep[:, np.flatnonzero(large & arrays.observed[0].all(axis=1))[0]] = True
    else:
        keep[..., :3] = True
    both = keep[..., :, None] & keep[..., None, :]
    precision = np.where(both, arrays.precision, 0.0)
    arrays = replace(arrays, y=np.where(keep, arrays.y, 0.0)).with_precision(precision)
    marginal = Marginal.of(arrays)
    xi = some_xi(marginal, 7)
    found, exact = marginal.at(xi), by_dense_algebra(arrays, marginal.scores.hyper(xi))
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-7)
    np.testing.assert_allclose(found.sd, exact.sd, rtol=1e-7)


@pytest.mark.parametrize("at", [-8.0, 8.0])
def test_hyperparameters_at_their_boundary(at: float) -> None:
    # standard deviations and shares of 1e-15, or a share of 1 - 1e-12, sigma of 37 and correlations of 1 - 1e-10
    marginal = Marginal.of(made_design(TERMS["shared"]))
    value, gradient = marginal.with_gradient(np.full(marginal.scores.size, at))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    scores, _ = marginal.at(np.full(marginal.scores.size, at)).draw(np.random.default_rng(1), 5)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", ["RW1", "AR1"])
def test_structures_in_time(kind: str) -> None:
    # 12 years seen with known variance, against the dense posterior of the same prior: intrinsic, or of unit variance
    n, rng = 12, np.random.default_rng(8)
    if kind == "RW1":
        step = sp.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n))
        q, constraints = sp.csr_array(step.T @ step), sp.csr_array(np.full((1, n), 1 / n))
    else:
        q = sp.csr_array(np.linalg.inv(0.7 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))).round(12))
        constraints = sp.csr_array((0, n))
    walk = (Structure((q,), constraints), sp.eye_array(n, format="csr"))
    variance, sigma, y = rng.uniform(0.1, 0.5, n), 0.7, rng.normal(size=n)
    latent = field([walk], np.full((n, 1), 3.0), np.zeros(n), 1)
    local = Local(
        (1 / variance)[:, None, None],
        (y / variance)[:, None],
        np.zeros((n, 1, 0)),
        np.zeros((n, 0, 0)),
        np.zeros((n, 0)),
        float(-0.5 * (np.log(2 * np.pi * variance) + y**2 / variance).sum()),
    )
    found = condition(latent, local, Loadings(np.array([[[sigma]]]), np.zeros((1, 1, 1))))
    k = sigma**2 * np.linalg.pinv(q.toarray()) + 9.0
    total = k + np.diag(variance)
    np.testing.assert_allclose(found.mean[:, 0], k @ np.linalg.solve(total, y), atol=1e-10)
    np.testing.assert_allclose(found.sd[:, 0] ** 2, np.diag(k - k @ np.linalg.solve(total, k)), rtol=1e-9)
    exact = -0.5 * (np.linalg.slogdet(2 * np.pi * total)[1] + y @ np.linalg.solve(total, y))
    assert found.log_likelihood == pytest.approx(exact, abs=1e-9)


def test_sites_that_see_several_nodes() -> None:
    # two sites, the means of three and two of five exchangeable nodes, one node shared
    sees = sp.csr_array(np.array([[0.5, 0.3, 0.2, 0, 0], [0, 0, 0.4, 0.6, 0]]))
    effect = (Structure.exchangeable(5), sees)
    rng = np.random.default_rng(3)
    c, y = np.array([[0.8, 0.0], [0.3, 0.5]]), rng.normal(size=(2, 2))
    v = np.array([[[0.3, 0.1], [0.1, 0.4]], [[0.2, -0.05], [-0.05, 0.5]]])
    w = np.linalg.inv(v)
    local = Local(
        w, np.einsum("nde,ne->nd", w, y), np.zeros((2, 2, 0)), np.zeros((2, 0, 0)), np.zeros((2, 0)), constant=0.0
    )
    loadings = Loadings(c[None], np.zeros((1, 2, 2)))
    found = condition(field([effect], np.zeros((2, 0)), np.zeros(2), 2), local, loadings)
    k = np.kron((sees @ sees.T).toarray(), c @ c.T)
    gain = k @ np.linalg.inv(k + block_diag(*v))
    np.testing.assert_allclose(found.mean.ravel(), gain @ y.ravel(), atol=1e-12)
    exact = (k - gain @ k).reshape(2, 2, 2, 2)
    np.testing.assert_allclose(found.moments.m_m, [exact[0, :, 0], exact[1, :, 1]], atol=1e-12)


def test_a_precision_that_is_not_positive_definite_is_refused() -> None:
    effect = (Structure.proper(sp.csr_array(-np.eye(2))), sp.eye_array(2, format="csr"))
    with pytest.raises(ModelError, match="not positive definite"):
        field([effect], np.zeros((2, 0)), np.zeros(2), 1)


def check(marginal: Marginal, seed: int) -> None:
    """Hold mean, standard deviations, likelihood and gradient against dense algebra and differences."""
    arrays, n, step = marginal.design, len(marginal.design.areas), 1e-5
    xi = some_xi(marginal, seed)
    exact, found = by_dense_algebra(arrays, marginal.scores.hyper(xi)), marginal.at(xi)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.mean[:n], exact.mean, atol=1e-8)
    np.testing.assert_allclose(found.sd[:n], exact.sd, rtol=1e-8)
    np.testing.assert_allclose(found.mean[n:], (arrays.sites @ exact.mean)[n:], atol=1e-8)
    numeric = [
        (marginal.log_posterior(xi + step * e) - marginal.log_posterior(xi - step * e)) / (2 * step)
        for e in np.eye(marginal.scores.size)
    ]
    np.testing.assert_allclose(marginal.with_gradient(xi)[1], numeric, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("terms", ["shared", "apart", "no effect per buurt", "two themes"])
def test_a_source_that_is_known_per_wijk(terms: str, known: bool) -> None:
    # the second source observes means of the buurten of a wijk, residents as weights
    scores = make_scores(AREAS, SUBDIMENSIONS, 2, np.random.default_rng(1))
    frame = scores[1].frame.assign(area_code="WK" + scores[1].frame["area_code"].str[2:8])
    estimates = direct([scores[0], replace(scores[1], frame=frame, level="wijk")], AREAS)
    model = AreaModel("1 + groen", TERMS[terms], Normal(5, 4), link=LINK, missing="impute")  # type: ignore[arg-type]
    arrays = design(model, estimates)
    assert arrays.sites.shape[0] > len(arrays.areas)
    check(Marginal.of(replace(arrays, known=some_known(len(arrays.areas)) if known else None)), 3)


@pytest.mark.parametrize("terms", ["shared", "no effect per buurt"])
def test_unstructured_effects_of_known_covariance(terms: str) -> None:
    check(Marginal.of(replace(made_design(TERMS[terms]), known=some_known(len(AREAS.codes)))), 4)


def some_known(n: int) -> np.ndarray:
    """Covariances of rank 4, each of its own size."""
    rng = np.random.default_rng(5)
    root = rng.normal(0, 0.3, (n, 4, 4))
    return root @ root.swapaxes(1, 2)


def test_two_unstructured_effects_are_one() -> None:
    # one with a spread by residents, one without
    check(Marginal.of(made_design([BYM2(AREAS.graph()), IID("buurt", name="plain")])), 5)
