"""Shares and counts of respondents beside scores in one fit: arrays, likelihood, ties, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from made_fit import ALONE, SUBDIMENSIONS, make_areas, make_scores, per_wijk

from buurtsae.engines import tie as tying
from buurtsae.engines.base import Fit, fit
from buurtsae.engines.counts import Counting
from buurtsae.engines.laplace import supports
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.tie import Tie
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.summary import estimate
from buurtsae.latent.conditional import Loadings, Local, condition
from buurtsae.latent.field import field
from buurtsae.model.counted import FLAT
from buurtsae.model.design import Design, design
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.priors import PC, Beta, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, ICAR, IID
from buurtsae.scale import Scale
from buurtsae.sparse import Floats
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

SHARE = Binomial(scale=Scale(0, 100, "%", "%"))
OUTCOMES: dict[str, Outcome] = dict(zip(SUBDIMENSIONS, (SHARE, SHARE, Gaussian(), Gaussian()), strict=True))


def asked(sources: int = 2, shares: Sequence[str] = SUBDIMENSIONS[:2]) -> list[Scores]:
    """Respondents whose answers on some measures are yes, 100, or no, 0."""
    several, shares = make_scores(make_areas(), SUBDIMENSIONS, sources, np.random.default_rng(1)), list(shares)
    for k, each in enumerate(several):
        frame = each.frame.copy()
        frame[shares] = (100.0 * (frame[shares] > 6.5)).where(frame[shares].notna())
        several[k] = replace(each, frame=frame)
    return several


def model(outcomes: dict[str, Outcome] | None = None, **rest: object) -> AreaModel:
    graph = make_areas().graph()
    return AreaModel("1 + groen", [BYM2(graph)], missing="impute", outcome=PerMeasure(outcomes or OUTCOMES), **rest)  # type: ignore[arg-type]


@cache
def data() -> DirectEstimates:
    return direct(asked(), make_areas())


@cache
def arrays() -> Design:
    return design(model(), data())


@cache
def fitted() -> Fit:
    return fit(model(), data(), progress=False, draws=2000, hyperparameters=200)


def test_a_share_is_a_count_of_effective_respondents() -> None:
    reference, found = data().sources[0], arrays()
    assert found.size is not None
    row = [found.site_codes.index(code) for code in reference.codes]
    n, mean = reference.n_effective[:, :2], reference.mean[:, :2]
    np.testing.assert_allclose(found.size[0][row, :2], np.where(np.isfinite(mean), n, 0.0))
    np.testing.assert_allclose(found.y[0][row, :2], np.nan_to_num(n * mean / 100))
    assert (n <= reference.respondents[:, :2] + 1e-9).all()
    assert not found.size[1].any()  # the second source counts for none
    assert (found.covariance[:, :, :2] == 0).all()
    assert sum("only veiligheidsmonitor counts" in str(note) for note in found.notes) == 2


def test_scores_beside_shares_are_as_without() -> None:
    alone = design(replace(model(), outcome=Gaussian((0, 100))), direct(asked(1), make_areas()))
    beside = design(model(), direct(asked(1), make_areas()))
    np.testing.assert_array_equal(beside.covariance[..., 2:, 2:], alone.covariance[..., 2:, 2:])
    np.testing.assert_array_equal(beside.gaussian.y[..., 2:], alone.y[..., 2:])


def test_an_outcome_per_measure_of_scores_only_is_the_exact_path() -> None:
    scores = model(dict.fromkeys(SUBDIMENSIONS, Gaussian((0, 10))))
    plain = replace(scores, outcome=Gaussian((0, 10)))
    found = direct(make_scores(make_areas(), SUBDIMENSIONS, 2, np.random.default_rng(1)), make_areas())
    one, other = (Marginal.of(design(each, found)) for each in (scores, plain))
    xi = np.random.default_rng(2).normal(0, 0.3, one.size)
    for a, b in zip(one.with_gradient(xi), other.with_gradient(xi), strict=True):
        np.testing.assert_array_equal(a, b)


def numeric(target: Counting, xi: Floats) -> Floats:
    step = 1e-4
    ends = [[target.with_gradient(xi + s * step * unit)[0] for s in (1, -1)] for unit in np.eye(len(xi))]
    return np.array([(up - down) / (2 * step) for up, down in ends])


@pytest.mark.slow
def test_the_gradient_of_shares_and_of_scores_with_links() -> None:
    outcomes = dict(zip(SUBDIMENSIONS, (Gaussian(), SHARE, Gaussian(), Poisson()), strict=True))
    several = asked(shares=SUBDIMENSIONS[1:2])  # the second source asks the first two: a link of the first
    target = Counting.of(replace(design(model(outcomes), direct(several, make_areas())), correlation=None))
    assert target.design.linked.sum() == 1
    xi = np.random.default_rng(3).normal(0, 0.3, target.size)
    np.testing.assert_allclose(target.with_gradient(xi)[1], numeric(target, xi), atol=1e-5)


def test_the_gradient_by_overdispersion() -> None:
    spread = replace(SHARE, overdispersion=Beta(1, 9))
    several = asked(shares=SUBDIMENSIONS[1:3])
    outcomes = dict(zip(SUBDIMENSIONS, (Gaussian(), spread, SHARE, Gaussian()), strict=True))
    target = Counting.of(replace(design(model(outcomes), direct(several, make_areas())), correlation=None))
    assert target.scores.names[-1] == "overdispersion"
    xi = np.random.default_rng(3).normal(0, 0.3, target.size)
    np.testing.assert_allclose(target.with_gradient(xi)[1], numeric(target, xi), atol=1e-4)
    beside = [ICAR(make_areas().graph())]  # without an unstructured effect per area
    several_direct = direct(several, make_areas())
    found = fit(replace(model(outcomes), terms=beside), several_direct, progress=False, draws=400, hyperparameters=50)
    rho = found.draws.hyper["overdispersion"][1]
    assert ((rho[..., 1] > 0) & (rho[..., 1] < 1)).all()
    assert not rho[..., [0, 2, 3]].any()
    assert "BetaBinomial(n, p, rho), rho ~ Beta(1, 9)" in str(found.words)


@pytest.mark.parametrize("term", [BYM2(make_areas().graph()), IID("buurt")], ids=["bym2", "iid"])
def test_overdispersion_beside_an_effect_per_area_is_refused_by_name(term: BYM2 | IID) -> None:
    """Both at once are told apart by tails only, and weights of the fast engine do not hold (docs/shares.md)."""
    outcomes = OUTCOMES | {SUBDIMENSIONS[0]: replace(SHARE, overdispersion=Beta(1, 9))}
    both = replace(model(outcomes), terms=(term,))
    with pytest.raises(BuurtsaeError) as caught:
        fit(both, data(), progress=False)
    assert f"got overdispersion of counts beside {term.name}, unstructured per area" in str(caught.value)
    assert str(caught.value).endswith("hint: leave it out, or what it stands beside")
    for other in (replace(both, terms=(IID("gemeente"),)), replace(both, outcome=PerMeasure(OUTCOMES))):
        assert supports(design(other, data())) == []


def test_a_prior_of_its_own_for_each_column() -> None:
    """Two columns with nothing in common are two fields of one."""
    rng = np.random.default_rng(4)
    x, y, sd = rng.normal(size=(30, 2)), rng.normal(size=(30, 2)), np.array([[2.0, 5.0], [1.0, 1.0]])
    mean = np.array([5.0, 0.0])

    def log_likelihood(columns: Sequence[int]) -> float:
        d, unit = len(columns), sd[:, columns].max(axis=1)
        offset = np.outer(np.ones(30), mean[columns])
        latent = field([], x * unit, offset, d, ratio=sd[:, columns] / unit[:, None])
        none = np.zeros((30, d, 0)), np.zeros((30, 0, 0)), np.zeros((30, 0)), 0.0
        local = Local(np.tile(np.eye(d), (30, 1, 1)), (y - mean)[:, columns], *none)
        return condition(latent, local, Loadings(np.zeros((0, d, d)), np.zeros((0, d, d)))).log_likelihood

    covariances = [np.eye(30) + (x * sd[:, d] ** 2) @ x.T for d in (0, 1)]
    dense = sum(
        0.5 * r @ (r - np.linalg.solve(v, r)) - 0.5 * np.linalg.slogdet(v)[1]
        for v, r in zip(covariances, (y - mean).T, strict=True)
    )
    assert log_likelihood([0, 1]) == pytest.approx(dense, abs=1e-8)
    assert log_likelihood([0]) + log_likelihood([1]) == pytest.approx(dense, abs=1e-8)


def test_intercepts_have_the_prior_of_their_outcome() -> None:
    mean, sd = arrays().coefficient_priors
    np.testing.assert_array_equal(mean[0], [0.0, 0.0, 5.0, 5.0])
    np.testing.assert_array_equal(sd, [[5.0, 5.0, 2.0, 2.0], [1.0] * 4])
    assert "Normal(0, sd 5) of omgang_en_relaties" in str(model())


@pytest.mark.slow
def test_figures_are_on_the_scale_of_their_measure() -> None:
    means = fitted().draws.scores().mean(axis=(0, 1))
    n, y = data().sources[0].n_effective[:, :2], data().sources[0].mean[:, :2]
    overall = np.nansum(n * y, axis=0) / np.nansum(n * np.isfinite(y), axis=0)
    assert (np.abs(means[:2] - overall) < 5).all()  # per cent; areas weigh otherwise
    assert ((means[2:] > 4) & (means[2:] < 8)).all()
    assert fitted().check().empty


def test_where_everybody_says_no_the_share_is_not_known() -> None:
    """The single respondent of an area moves its share little; no area is certain."""
    found, at = fitted().draws.scores(), list(arrays().areas).index(ALONE)
    sd = found[:, :, :2].std(axis=0)
    assert sd[at].min() > 5
    assert (sd > 2).all()


# what ties measures together


def tie(r: float, n: float, p: Sequence[float]) -> tuple[Tie, Floats]:
    """Two shares of one area, their weights at p itself."""
    matrix = np.array([[1, r], [r, 1]])
    w = n * np.array(p) * (1 - np.array(p))
    none = np.zeros((1, 2))
    eta = np.log(np.array([p]) / (1 - np.array([p])))
    return Tie((np.linalg.inv(matrix) - np.eye(2))[None], 1 / np.sqrt(w)[None], none, none), eta


def derivatives(eta: Floats, y: Floats, n: float) -> tuple[Floats, Floats, Floats]:
    _, first, second, third, _ = Binomial().derivatives(eta, y, np.full(eta.shape, n))
    return first, second, third


def test_the_score_of_a_tie_has_mean_zero() -> None:
    """Exactly, of one person who is asked two questions: over the four pairs of answers."""
    p, r = (0.05, 0.3), 0.4
    found, eta = tie(r, 1.0, p)
    joint = p[0] * p[1] + r * np.sqrt(p[0] * 0.95 * p[1] * 0.7)
    chances = {(1, 1): joint, (1, 0): p[0] - joint, (0, 1): p[1] - joint, (0, 0): 1 - p[0] - p[1] + joint}
    total, information, curvature = np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
    for answers in product((0, 1), (0, 1)):
        first, second, third = derivatives(eta, np.array([answers], dtype=float), 1.0)
        _, slope, bend = found.expand(eta, first, second, third)
        score = (first + slope)[0]
        total += chances[answers] * score
        information += chances[answers] * np.outer(score, score)
        curvature += chances[answers] * (np.diag(-second[0]) + bend[0])
    np.testing.assert_allclose(total, 0.0, atol=1e-12)
    np.testing.assert_allclose(information, curvature, atol=1e-12)  # as of a likelihood


def test_derivatives_of_a_tie() -> None:
    found, eta = tie(-0.3, 8.0, (0.1, 0.6))
    there, y, step = eta + np.array([[0.4, -0.7]]), np.array([[3.0, 2.0]]), 1e-5

    def at(e: Floats) -> tuple[float, Floats, Floats]:
        return found.expand(e, *derivatives(e, y, 8.0))

    for d, unit in enumerate(step * np.eye(2)):
        up, down = at(there + unit), at(there - unit)
        assert at(there)[1][0, d] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7)
        np.testing.assert_allclose(at(there)[2][0, d], -(up[1] - down[1])[0] / (2 * step), atol=1e-6)


def test_scores_that_are_tied_to_a_share_stay_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a share of many respondents, all is nearly Gaussian: posterior precision R^{-1} in units of both."""
    few = Tie.of(arrays())
    monkeypatch.setattr(tying, "LEAST", 1e-9)  # or few areas have enough answers to be tied
    found = Tie.of(arrays())
    assert (few.scale[:, :2] > 0).sum() < (found.scale[:, :2] > 0).sum()
    r = arrays().correlation
    assert r is not None
    both = (found.scale > 0).all(axis=1)
    inside = np.linalg.inv(r[both])
    inside[:, :2, :2] -= np.eye(2)
    inside[:, 2:, 2:] -= np.linalg.inv(r[both][:, 2:, 2:])
    np.testing.assert_allclose(found.matrix[both], inside, atol=1e-10)


def test_measures_that_determine_one_another() -> None:
    """A share and its complement have correlation -1, which no precision can have."""
    several = asked(1)
    frame = several[0].frame.copy()
    frame[SUBDIMENSIONS[1]] = 100 - frame[SUBDIMENSIONS[0]]
    found = design(model(), direct(replace(several[0], frame=frame), make_areas())).correlation
    assert found is not None
    assert np.linalg.eigvalsh(found).min() == pytest.approx(FLAT, abs=1e-9)
    assert (found[:, 0, 1].min(), found[:, 0, 1].max()) == pytest.approx((-1 + FLAT, 0), abs=1e-9)


def test_a_tie_moves_the_covariance_of_errors_not_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yes-answers that go together: the difference of two shares is known better than without."""
    monkeypatch.setattr(tying, "LEAST", 1e-9)
    target = Counting.of(arrays())
    loose = Counting.of(replace(arrays(), correlation=None))
    xi = np.zeros(target.size)
    tied, untied = (each.posterior(xi).given for each in (target, loose))
    first, second = tied.scores.covariance[:, 0, 1], untied.scores.covariance[:, 0, 1]  # type: ignore[attr-defined]
    r = arrays().correlation
    assert r is not None
    assert (first - second)[r[:, 0, 1] > 0.1].min() > 0
    np.testing.assert_allclose(tied.mean.mean(axis=0), untied.mean.mean(axis=0), atol=0.1)  # type: ignore[attr-defined]


# counts


def test_a_mean_number_has_the_variance_of_its_answers() -> None:
    """Numbers of times, more spread than Poisson: E = n m / S, so that m / E = S / n."""
    several = asked(1)
    frame = several[0].frame.copy()
    rng = np.random.default_rng(5)
    frame[SUBDIMENSIONS[0]] = rng.negative_binomial(1, 0.25, len(frame)).astype(float)  # mean 3, variance 12
    found = direct(replace(several[0], frame=frame), make_areas())
    arrays_ = design(model({**OUTCOMES, SUBDIMENSIONS[0]: Poisson()}), found)
    y, size = (part[:, 0] for part in arrays_.counted)
    source = found.sources[0]
    seen = size > 0
    np.testing.assert_allclose(y[seen] / size[seen], source.mean[np.isfinite(source.mean[:, 0]), 0])
    m = y.sum() / size.sum()
    n = source.n_effective[np.isfinite(source.mean[:, 0]), 0]
    np.testing.assert_allclose(m / size[seen], source.within_area[0, 0] / n)


# what is refused


def problem(do: object, **arguments: object) -> str:
    with pytest.raises(BuurtsaeError) as error:
        do(**arguments)  # type: ignore[operator]
    return str(error.value)


def test_what_cannot_be_counted() -> None:
    source = data().sources[0]

    def with_source(**changes: object) -> DirectEstimates:
        changed = replace(source, **changes)  # type: ignore[arg-type]
        return replace(data(), sources=(changed, *data().sources[1:]))

    more = with_source(n_effective=source.respondents * 1.5)
    assert "effective numbers of omgang_en_relaties are above" in problem(design, model=model(), direct=more)
    outside = with_source(mean=source.mean * 1.7)
    assert "lie outside their scale" in problem(design, model=model(), direct=outside)
    unknown = replace(data(), counted=False)
    assert "there is no number of respondents" in problem(design, model=model(), direct=unknown)
    wijken = direct([per_wijk(each) for each in asked(1)], make_areas())
    assert "is not modelled as a Binomial per wijk" in problem(design, model=model(), direct=wijken)
    assert 'estimand = "realised"' in problem(design, model=model(estimand="realised"), direct=data())
    varying = model(variances=PC(1.0, 0.1))
    assert "modelled `variances`" in problem(design, model=varying, direct=data())
    few = dict(list(OUTCOMES.items())[:3])
    assert "measures have no outcome" in problem(design, model=model(few), direct=data())


@pytest.mark.parametrize(("outcome", "answer"), [(SHARE, 0.0), (SHARE, 100.0), (Poisson(), 0.0)], ids=str)
def test_what_all_answered_alike_is_refused_before_a_fit(outcome: Outcome, answer: float) -> None:
    """All at once, in three lines each; the single answer of an area, or of a year that lacks it, is none."""
    first, second = SUBDIMENSIONS[:2]
    (each,) = asked(1)
    frame = each.frame.assign(
        **{name: each.frame[name].where(each.frame[name].isna(), answer) for name in (first, second)}
    )
    data_of = direct([replace(each, frame=frame)], make_areas())
    with pytest.raises(BuurtsaeError) as caught:
        fit(model(OUTCOMES | {first: outcome, second: outcome}), data_of, progress=False)
    said = str(caught.value).splitlines()
    for name in (first, second):
        (at,) = [k for k, line in enumerate(said) if f"{name} has one answer only" in line]
        assert f"got {frame[name].notna().sum():,.0f} times {answer:g}; expected two answers or more" in said[at + 1]


def test_far_scores_are_still_noted() -> None:
    away = design(model(intercept=Normal(100.0, 1.0)), data())
    assert any("prior of the intercept" in str(note) for note in away.notes)


@pytest.mark.slow
def test_shares_and_they_alone_are_labelled_by_their_half_width() -> None:
    """At the default of 10 points no share with a wider margin is reliable; at 50 their labels are those of scores."""
    tables = [estimate(fitted(), rules=Rules(protection=0, max_half_width=most)).table for most in (10.0, 50.0)]
    for measure in SUBDIMENSIONS:
        of, others = (table[table["measure"] == measure] for table in tables)
        wide = ((of["upper"] - of["lower"]) / 2 > 10) & (of["n_respondents"] > 0) & (of["label"] != "niet_publiceren")
        says = of["reason"].fillna("").str.contains("halve breedte van het interval boven 10")
        assert (says == (wide & (measure in SUBDIMENSIONS[:2]))).all()
        assert (of["label"][~says] == others["label"][~says]).all()
        assert set(of["label"][says]) <= {"indicatief"}
        assert says.any() == (measure in SUBDIMENSIONS[:2])
