r"""Extra respondents to shares: what one tells, against fits that have them, and the rule that shares have more.

At the mode the posterior of predictors is normal, and m more respondents in area a add m J to its precision, so that
Cov(eta_a) becomes (C_a^{-1} + m J)^{-1}: the field conditioned again has to say the same.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from scipy.special import expit
from test_mixed import SHARE, asked, fitted, model

from buurtsae.engines.base import Fit, fit
from buurtsae.errors import DataError, ProblemsError
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.measured import measured
from buurtsae.estimates.planning.of_areas import OfAreas
from buurtsae.estimates.planning.plan import plan
from buurtsae.estimates.planning.preposterior import Preposterior, respondent_covariance
from buurtsae.estimates.summary import estimate
from buurtsae.model.counted import proper
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.priors import Beta, LogNormal
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import direct
from buurtsae.survey.scales import Scores

NAME = "participatie"


def learning(source: int = 0, deff: float = 1.0) -> OfAreas:
    """Two shares and two scores of two sources, of which the second asks the shares only."""
    f = fitted()
    return OfAreas.of(f, np.eye(4), source, respondent_covariance(f.direct.sources[source]), deff)


def preposterior(f: Fit, rules: Rules | None = None) -> Preposterior:
    concept = measured(f)
    return Preposterior.of(f, concept, concept.matrix_of(f.draws.subdimensions), 0, rules or Rules(), 1.0, 1.0)


def test_what_one_respondent_tells_of_shares_and_scores() -> None:
    """Information w^{1/2} R^{-1} w^{1/2}: p (1 - p) of a share, averaged, 1 / S of a score, R as answers correlate."""
    f, found = fitted(), learning()
    s = respondent_covariance(f.direct.sources[0])
    respondents = f.direct.sources[0].respondents
    share = respondents.sum(axis=0) / respondents.max(axis=1).sum()  # a tenth of the answers is missing
    assert (share < 1).all()
    p = expit(f.draws.flat[..., :2])
    w = np.hstack([(p * (1 - p)).mean(axis=0) * share[:2], np.broadcast_to(1 / np.diag(s)[2:], (25, 2))])
    sd = np.sqrt(np.diag(s))
    inverse = np.linalg.inv(proper((s / np.outer(sd, sd))[None])[0])
    expected = np.sqrt(w)[:, :, None] * inverse * np.sqrt(w)[:, None, :]
    # some 200 of 2,000 draws: p (1 - p) differs by a quarter of itself between draws, so its mean by 2%
    one = np.ones(25, dtype=np.int64)
    np.testing.assert_allclose(found.information(one) - found.information(0 * one), expected, rtol=0.08, atol=2e-3)
    half = learning(deff=2.0)
    twice = half.information(2 * one) - half.information(0 * one)
    np.testing.assert_allclose(twice, found.information(one) - found.information(0 * one), rtol=1e-9, atol=1e-12)


def test_conditioned_again_is_more_information() -> None:
    found, a = learning(), 8
    m = np.zeros(25, dtype=np.int64)
    now, before = found.covariance(m), found.information(m)
    # at the mode: what the Laplace approximation says
    at = fitted().counting.solve(found.at.hyper).conditional
    np.testing.assert_allclose(now, at.scores.covariance[:25], rtol=1e-6, atol=1e-9)
    m[a] = 12
    gained = found.information(m)[a] - before[a]
    expected = np.linalg.inv(np.linalg.inv(now[a]) + gained)
    np.testing.assert_allclose(found.covariance(m)[a], expected, rtol=1e-6, atol=1e-9)
    assert (np.einsum("ndd->nd", found.covariance(m)) <= np.einsum("ndd->nd", now) + 1e-12).all()


def test_a_source_whose_shares_are_not_counted_tells_nothing() -> None:
    found, some = learning(source=1), np.full(25, 50)
    np.testing.assert_allclose(found.covariance(some), found.covariance(0 * some), rtol=1e-9)


def test_a_linked_source_tells_of_its_scores_beside_shares() -> None:
    """The second source asks two scores, of which the first is the reference; the shares are of the first alone."""
    shares = SUBDIMENSIONS[2:]
    data = direct(asked(2, shares=shares), make_areas())
    outcomes = {name: SHARE if name in shares else Gaussian() for name in SUBDIMENSIONS}
    f = fit(model(outcomes), data, progress=False, draws=400, hyperparameters=60)
    found = OfAreas.of(f, np.eye(4), 1, respondent_covariance(data.sources[1]), 1.0)
    assert found.counts is not None
    assert not found.counts.each.any()
    m = np.zeros(25, dtype=np.int64)
    m[8] = 30
    gained = found.covariance(0 * m) - found.covariance(m)
    assert (np.linalg.eigvalsh(gained) > -1e-12).all()
    assert (np.diag(gained[8])[:2] > 0.2 * np.diag(found.covariance(0 * m)[8])[:2]).all()


def one_share() -> Scores:
    """Respondents of one question, all of the same weight."""
    (scores,) = make_scores(make_areas(), (NAME,), 1, np.random.default_rng(5))
    frame = scores.frame.assign(weight=1.0).dropna(subset=NAME)
    return replace(scores, frame=frame.assign(**{NAME: 100.0 * (frame[NAME] > 6.5)}), subdimensions=(NAME,))


def of_share(scores: Scores, draws: int = 2000) -> Fit:
    """A fit in which the spread between areas is known: a plan holds it, fits of more respondents would learn it."""
    of = model({NAME: SHARE})
    terms = tuple(replace(term, sd=LogNormal(-0.5, 0.05)) for term in of.terms)
    data = direct(scores, make_areas())
    return fit(replace(of, terms=terms), data, seed=1, progress=False, draws=draws, hyperparameters=200)


@cache
def share() -> Fit:
    return of_share(one_share(), 4000)


def again(f: Fit, scores: Scores, m: Ints, k: int) -> Floats:
    """Posterior variances after m more respondents answered as draw k would."""
    areas, rng = make_areas(), np.random.default_rng(k)
    area = np.repeat(np.arange(25), m)
    yes = rng.random(len(area)) < expit(f.draws.flat[k, area, 0])
    more = pd.DataFrame({"area_code": areas.codes[area], "weight": 1.0, "stratum": "noord", NAME: 100.0 * yes})
    frame = pd.concat([scores.frame, more], ignore_index=True)
    return of_share(replace(scores, frame=frame)).draws.scores()[..., 0].var(axis=0)


@pytest.mark.slow
def test_reliability_is_that_of_fits_with_the_respondents() -> None:
    f, p = share(), preposterior(share())
    m = np.where(np.arange(25) % 2 == 0, 15, 0) * f.areas.inhabited
    state = p.state(m)
    expected, now = (p.reliability(s.covariance, s.m)[:, 0] for s in (state, p.now))
    found = 1 - np.mean([again(f, one_share(), m, k) for k in (0, 1300, 2600)], axis=0) / p.between
    extra, others = p.publishable & (m > 0), p.publishable & (m == 0)
    # the Monte Carlo error of a variance of 2,000 draws is 3%, of a quarter of that between areas: 0.008 each
    assert abs(expected - found)[extra].mean() < 0.03
    assert abs((expected - found)[extra | others].mean()) < 0.03
    assert (expected - now)[extra].mean() > 0.2  # a plan that expects nothing would not pass
    assert (expected - now)[others].mean() > 0.005  # neighbours, and what all share


def test_now_is_the_table_of_estimates_with_the_rule_of_shares() -> None:
    reliable = []
    for rules in (Rules(min_reliability=0.2, max_half_width=50), Rules(min_reliability=0.2, max_half_width=22)):
        table = estimate(share(), rules=rules).table
        rows = table[table["level"] == "buurt"].set_index("area_code")
        now = plan(share(), budget=1, rules=rules).table.set_index("area_code")
        assert now["label"].tolist() == rows.loc[now.index, "label"].tolist()
        np.testing.assert_allclose(now["reliability"], rows.loc[now.index, "reliability"], rtol=1e-9)
        reliable.append(int((now["label"] == "betrouwbaar").sum()))
    assert reliable[0] > reliable[1] > 0  # the second rule is what hides some


def test_a_share_gets_no_more_than_makes_its_interval_narrow_enough() -> None:
    rules = Rules(min_reliability=0.0, max_half_width=15)
    now = plan(share(), budget=1000, rules=rules, target=0.01, max_per_area=0.5)
    target = now.share + 1 / (now.table["label"] != "niet_publiceren").sum()
    found = plan(share(), budget=1000, rules=rules, target=target, max_per_area=0.5)
    ((code, extra),) = found.table.loc[found.table["extra"] > 0, ["area_code", "extra"]].to_numpy()
    p, a = preposterior(share(), rules), share().areas.codes.get_loc(code)
    ends = np.quantile(share().draws.scores()[:, a, 0], [0.025, 0.975])
    half, m = (ends[1] - ends[0]) / 2, np.zeros(25, dtype=np.int64)
    for more, narrow in ((extra, True), (extra - 1, False)):
        m[a] = more
        variance = (1 - p.reliability(p.state(m).covariance, m)[a, 0]) * p.between[0]
        assert (half * np.sqrt(variance / share().draws.scores()[:, a, 0].var(ddof=1)) <= 15) == narrow


def test_the_text_speaks_of_figures() -> None:
    text = plan(share(), budget=20).text
    assert "hoe nauwkeurig de scores worden" in text  # the concept of buurtverbondenheid
    assert "zoals de bewoners" not in text


def test_all_that_a_plan_cannot_have_is_said_at_once() -> None:
    spread = replace(SHARE, overdispersion=Beta(1.0, 9.0))
    varying = replace(share().design, model=replace(share().model, outcome=PerMeasure({NAME: spread})))
    with pytest.raises(ProblemsError) as caught:
        plan(replace(share(), design=varying), budget=0, target=2.0)
    said = str(caught.value)
    for part in ("the budget is impossible", "the target is impossible", "a plan does not know overdispersion", NAME):
        assert part in said
    assert len(caught.value.problems) == 3


def test_counts_without_respondents_are_refused() -> None:
    areas = make_areas()
    table = pd.DataFrame({"code": areas.codes, "y": 3, "n": 9})
    data = AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=areas)
    f = fit(replace(model(), outcome=Binomial()), data, progress=False, draws=100, hyperparameters=32)
    with pytest.raises(DataError, match="covariance of a respondent"):
        plan(f, budget=10)
