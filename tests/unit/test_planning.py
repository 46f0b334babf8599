r"""Extra respondents: against dense algebra, against a fit that has them, and what a plan may never do.

With theta = (eta, alpha) and known hyperparameters, the posterior precision is that of the prior plus J' P J per site
and source, J = [lambda A, I] and P = (V + tau^2)^{-1}: no field, no border, no sparsity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import (
    EMPTY,
    HIDDEN,
    SUBDIMENSIONS,
    TINY,
    UNKNOWN_X,
    WITHIN,
    Made,
    made_fit,
    made_model,
    make_areas,
    make_scores,
)
from scipy.linalg import block_diag

from buurtsae.engines.base import Fit, fit
from buurtsae.engines.hyper import Hyper
from buurtsae.errors import DataError, ProblemsError
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.planning.plan import Plan, plan
from buurtsae.estimates.planning.preposterior import Preposterior, respondent_covariance
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import Design
from buurtsae.model.terms import BYM2
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.scales import Scores

TOTAL = "buurtverbondenheid"
STRICT = Rules(min_reliability=0.75, min_respondents=5)


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def single() -> Made:
    """One sub-dimension, one source; some buurten are reliable as they are."""
    return made_fit(("participatie",), sources=1, seed=3)


def dense(arrays: Design, hyper: Hyper) -> np.ndarray:
    """Posterior covariances of eta per buurt, shape (N, D, D)."""
    n, d = len(arrays.areas), len(arrays.measures)
    term = next(t for t in arrays.model.terms if isinstance(t, BYM2))
    structured = np.linalg.pinv(term.graph.icar.precision.toarray())
    (sigma,), (phi,) = hyper.values["BYM2.sigma"], hyper.values["BYM2.phi"]
    x = arrays.x * arrays.coefficient_priors[1]
    prior = np.zeros((n, d, n, d))
    for e in range(d):
        prior[:, e, :, e] = x @ x.T + sigma[e] ** 2 * ((1 - phi[e]) * np.eye(n) + phi[e] * structured)
    if arrays.known is not None:  # what is not known of an imputed covariate
        prior += block_diag(*arrays.known).reshape(prior.shape)
    offsets = [1 / link.priors.offset.sd**2 for link in arrays.links]
    precision = block_diag(np.linalg.inv(prior.reshape(n * d, n * d)), np.diag(offsets))
    links = list(zip(*np.nonzero(arrays.linked), strict=True))
    share, seen = arrays.sites.toarray(), arrays.observed
    for s in range(len(arrays.sources)):
        for k in range(len(share)):
            (asked,) = np.nonzero(seen[s, k])
            jacobian = np.zeros((len(asked), len(precision)))
            for i, e in enumerate(asked):
                jacobian[i, np.arange(n) * d + e] = hyper.slope[s, e] * share[k]
                if arrays.linked[s, e]:
                    jacobian[i, n * d + links.index((s, e))] = 1
            v = np.linalg.inv(arrays.precision[s, k][np.ix_(asked, asked)]) + np.diag(hyper.extra[s, asked] ** 2)
            precision += jacobian.T @ np.linalg.solve(v, jacobian)
    covariance = np.linalg.inv(precision)[: n * d, : n * d].reshape(n, d, n, d)
    return np.einsum("nenf->nef", covariance)


def between_areas(drawn: np.ndarray, residents: np.ndarray) -> np.ndarray:
    """Posterior mean of the variance between areas, weighted by residents, of draws (S, K, M)."""
    share = residents / residents.sum()
    deviation = drawn - np.einsum("skm,k->sm", drawn, share)[:, None]
    return np.asarray(np.einsum("skm,k->sm", deviation**2, share).mean(axis=0))


def by_hand(f: Fit, s: int, m: np.ndarray, measures: list[str]) -> np.ndarray:
    """Reliability with m more respondents of source s, shape (N, M)."""
    source = f.direct.sources[s]
    part = np.ix_(source.informs, source.informs)
    more = f.design.precision.copy()
    for a, count in enumerate(m):
        more[s, a][part] += count * np.linalg.inv(respondent_covariance(source)[part])
    hyper = Hyper.means(f.draws, f.design)
    weights = Concept.load().matrix_of(f.draws.subdimensions).loc[measures].to_numpy()
    now, after = (
        np.einsum("md,nde,me->nm", weights, dense(arrays, hyper), weights)
        for arrays in (f.design, f.design.with_precision(more))
    )
    drawn = f.draws.flat @ weights.T
    shown = f.areas.inhabited & ~f.areas.codes.isin(HIDDEN)
    between = between_areas(drawn[:, shown], f.areas.population[shown])
    variance = after + (drawn.var(axis=0, ddof=1) - now) * (after / now) ** 2
    return np.maximum(1 - variance / between, 0)


def extra(p: Plan, f: Fit) -> np.ndarray:
    """Extra respondents of all buurten, in the order of the areas."""
    return p.table.set_index("area_code")["extra"].reindex(f.areas.codes, fill_value=0).to_numpy().copy()


@pytest.mark.parametrize("wijk", [False, True])
@pytest.mark.parametrize("source", ["veiligheidsmonitor", "burgerpeiling"])
def test_expected_reliability_by_dense_algebra(wijk: bool, source: str) -> None:
    f = made_fit(wijk=wijk).fit
    if wijk and source == "burgerpeiling":
        with pytest.raises(DataError, match="have no buurt"):
            plan(f, budget=10, source=source)
        return
    measures = ["omgang_en_relaties", "sociale_verbondenheid"]
    p = plan(f, budget=300, rules=STRICT, measure=measures, source=source)
    assert p.extra > 20
    s = [t.source for t in f.direct.sources].index(source)
    live = f.areas.inhabited
    for column, m in (("reliability", np.zeros(25)), ("reliability_expected", extra(p, f))):
        expected = by_hand(f, s, m, measures).min(axis=1)[live]
        np.testing.assert_allclose(p.table[column], expected, rtol=1e-7, atol=1e-9)


def test_now_is_the_table_of_estimates(made: Made) -> None:
    table = estimate(made.fit).table
    now = plan(made.fit, budget=1, measure=TOTAL).table.set_index("area_code")
    rows = table[(table["level"] == "buurt") & (table["measure"] == TOTAL)].set_index("area_code").loc[now.index]
    np.testing.assert_allclose(now["reliability"], rows["reliability"], rtol=1e-12)
    assert now["label"].tolist() == rows["label"].tolist()
    assert now["n_respondents"].tolist() == rows["n_respondents"].tolist()
    # the label of several measures is that of the worst
    every = plan(made.fit, budget=1).table.set_index("area_code")
    buurt = table[table["level"] == "buurt"]
    worst = buurt.groupby("area_code")["label"].agg(lambda labels: max(labels, key="betrouwbaar indicatief".find))
    tiny = every.index == TINY
    assert every.loc[~tiny, "label"].tolist() == worst.loc[every.index[~tiny]].tolist()
    assert every.loc[TINY, "label"] == "niet_publiceren"


def test_one_buurt_gets_no_more_than_it_needs(single: Made) -> None:
    f = single.fit
    rules = Rules(min_reliability=0.75)
    now = plan(f, budget=1000, rules=rules, target=0.01)
    n = len(now.table) - 1  # one has too few residents
    assert now.extra == 0
    p = plan(f, budget=1000, rules=rules, target=now.share + 1 / n)
    (code,) = p.table.loc[p.table["extra"] > 0, "area_code"]
    a, m = f.areas.codes.get_loc(code), extra(p, f)
    assert by_hand(f, 0, m, ["participatie"])[a, 0] >= 0.75
    m[a] -= 1
    assert by_hand(f, 0, m, ["participatie"])[a, 0] < 0.75
    # no other buurt needs fewer
    least = [np.zeros(25) for _ in range(25)]
    others = np.flatnonzero(f.areas.inhabited & (f.areas.population >= 10) & (f.areas.codes != UNKNOWN_X))
    for b in others:
        least[b][b] = p.extra - 1
        before, after = (by_hand(f, 0, x, ["participatie"])[b, 0] for x in (np.zeros(25), least[b]))
        assert before >= 0.75 or after < 0.75


def test_a_design_effect_of_two_takes_twice_as_many(single: Made) -> None:
    rules = Rules(min_reliability=0.75)
    now = plan(single.fit, budget=1000, rules=rules, target=0.01)
    target = now.share + 1 / (len(now.table) - 1)
    one, two = (plan(single.fit, budget=1000, rules=rules, target=target, deff=d).extra for d in (1.0, 2.0))
    assert two in (2 * one - 1, 2 * one)  # the fewest m with m / 2 >= x, for one - 1 < x <= one


def test_more_budget_is_never_worse_and_never_overspent(made: Made) -> None:
    plans = [plan(made.fit, budget=b, rules=STRICT, target=1.0, max_per_area=0.2) for b in (5, 20, 60, 150, 400, 1000)]
    shares = [p.share_expected for p in plans]
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[-1]
    for p in plans:
        assert p.extra <= p.budget
        assert (p.table["reliability_expected"] >= p.table["reliability"] - 1e-12).all()
        assert p.curve["budget"].is_monotonic_increasing
        assert p.curve["share"].is_monotonic_increasing
        assert p.curve["budget"].iloc[0] == 0
        assert p.curve["budget"].iloc[-1] == p.extra
        good = p.table["label_expected"] == "betrouwbaar"
        assert p.share_expected == pytest.approx(good.sum() / (p.table["label"] != "niet_publiceren").sum())


def test_neighbours_make_a_plan_cheaper_than_buurten_one_by_one(made: Made) -> None:
    f, concept, rules = made.fit, Concept.load(), Rules(min_reliability=0.82, min_respondents=5)
    weights = concept.matrix_of(f.draws.subdimensions).loc[[TOTAL]]
    p = Preposterior.of(f, concept, weights, 0, rules, 0.2, 1.0)
    each = np.where(p.publishable & ~p.imputed, p.least(p.now), 0)
    assert (each <= p.cap).all()
    share = 1 - 1 / p.publishable.sum()  # all but the one whose covariate is imputed
    found = plan(f, budget=2000, rules=rules, target=share, measure=TOTAL, max_per_area=0.2)
    assert found.reached
    assert (extra(found, f)[p.now.reliable] == 0).all()
    assert found.extra < each.sum()


def test_the_target_is_met_where_the_sample_is_drawn_and_the_model_fitted_again() -> None:
    areas, rng, measure = make_areas(), np.random.default_rng(5), "participatie"
    (scores,) = make_scores(areas, (measure,), 1, rng)
    scores = replace(scores, frame=scores.frame.assign(weight=1.0).dropna(subset=measure))
    known = {"veiligheidsmonitor": WITHIN}

    def fitted(s: Scores) -> Fit:
        return fit(made_model(areas), direct(s, areas, sd=known), seed=1, progress=False, hyperparameters=200)

    before = fitted(scores)
    rules = Rules(min_reliability=0.8)
    p = plan(before, budget=2000, target=0.9, rules=rules)
    assert p.reached
    assert p.extra > 60
    m = extra(p, before)
    area = np.repeat(np.arange(25), m)
    # the scores as they may be: draws. Rounding decides which draw is where: take those whose sigma is about the median
    sigma = before.draws.hyper["BYM2.sigma"][1].ravel()
    fits = []
    for draw in np.argsort(sigma)[len(sigma) // 2 - 2 :][:5]:
        answers = before.draws.flat[draw, area, 0] + rng.normal(0, WITHIN, len(area))
        more = pd.DataFrame({"area_code": areas.codes[area], "weight": 1.0, "stratum": "noord", measure: answers})
        fits.append(fitted(replace(scores, frame=pd.concat([scores.frame, more], ignore_index=True))))
    now, after = before.draws.flat[:, m > 0, 0].std(axis=0), fits[2]
    then = np.mean([f.draws.flat[:, m > 0, 0].std(axis=0) for f in fits], axis=0)
    kept = areas.inhabited & ~areas.codes.isin(HIDDEN)
    between = between_areas(before.draws.flat[:, kept, :1], areas.population[kept])[0]
    t = p.table.set_index("area_code").loc[areas.codes[m > 0]]
    expected = np.sqrt(between * (1 - t["reliability_expected"]))
    assert (expected < now).all()
    assert expected.mean() < 0.9 * now.mean()  # twice what the means below may differ: no gain would not pass
    # Sampling variances are known. With some 15 respondents a variance is 1 / (1 / sigma^2 + 15 / 1.44), so that two
    # standard deviations of sigma, 30% of 0.7, move an sd by 5%; the Monte Carlo error of an sd is 1.1%. Of the mean of
    # five samples both are divided by the root of five.
    np.testing.assert_allclose(then, expected, rtol=(0.05 + 3 * 0.011) / np.sqrt(5))
    assert then.mean() == pytest.approx(expected.mean(), rel=0.05 / np.sqrt(5))
    table = estimate(after, rules=rules).table
    buurt = table[(table["level"] == "buurt") & (table["measure"] == measure)].set_index("area_code")
    # the table has the variance between buurten of the new fit, of which two standard deviations are 2 x 32%; that of
    # the plan is of the old one, and by it 1 - reliability of 0.2 is as near as the variances above
    again = between_areas(after.draws.flat[:, kept, :1], areas.population[kept])[0]
    variance = after.draws.flat[:, m > 0, 0].var(axis=0, ddof=1)
    np.testing.assert_allclose(buurt.loc[t.index, "reliability"], 1 - variance / again, rtol=1e-6)
    assert (abs(1 - then**2 / between - t["reliability_expected"]) < 0.2 * ((1 + 0.083 / np.sqrt(5)) ** 2 - 1)).all()


def test_never_more_than_the_share_of_the_residents(made: Made) -> None:
    f = made.fit
    own = pd.Series(f.direct.sources[0].respondents.max(axis=1), index=f.direct.sources[0].codes)
    for share in (0.02, 0.03, 1.0):
        p = plan(f, budget=10_000, rules=Rules(min_reliability=0.9), target=1.0, max_per_area=share)
        t = p.table.set_index("area_code")
        asked = t[t["extra"] > 0]
        assert (asked["extra"] + own.reindex(asked.index, fill_value=0) <= share * asked["population"]).all()
        assert t.loc[TINY, "extra"] == 0  # nothing is published about it
        assert t.loc[UNKNOWN_X, "extra"] == 0  # its covariate stays unknown
        assert EMPTY not in t.index
    assert len(asked) > 10
    assert not p.reached
    assert p.needed is None  # UNKNOWN_X stays indicatief
    assert "niet te bereiken" in p.text


def test_nothing_is_needed_where_all_are_reliable(made: Made) -> None:
    p = plan(made.fit, budget=100, rules=Rules(min_reliability=0.0, min_respondents=0))
    assert p.extra == 0
    assert p.needed == 0
    assert p.reached
    assert p.share == p.share_expected == 20 / 21  # all but UNKNOWN_X of 25, without EMPTY and HIDDEN
    assert p.curve.to_dict("list") == {"budget": [0], "share": [20 / 21]}


def test_respondents_are_counted_by_the_rules(made: Made) -> None:
    rules = Rules(min_reliability=0.0, min_respondents=9, protection=0)
    p = plan(made.fit, budget=500, rules=rules, measure=TOTAL, target=0.95)
    t = p.table[p.table["extra"] > 0]
    assert len(t) > 3
    assert (t["n_respondents"] + t["extra"] == 9).all()
    assert p.reached


def test_a_source_that_asks_half_does_little_for_the_other_half(made: Made) -> None:
    # something: sampling errors of one respondent are correlated, so that it corrects what the first source says
    asks, not_ = (
        plan(made.fit, budget=60, rules=STRICT, measure=SUBDIMENSIONS[3], source=s, max_per_area=0.05)
        for s in ("veiligheidsmonitor", "burgerpeiling")
    )
    assert not_.share_expected < asks.share_expected
    # and nothing for the minimum of respondents to a measure
    rules = Rules(min_reliability=0.0, min_respondents=9)
    p = plan(made.fit, budget=500, rules=rules, measure=SUBDIMENSIONS[3], source="burgerpeiling")
    assert (p.extra, p.needed, p.reached) == (0, None, False)


def test_the_covariance_of_a_respondent(made: Made) -> None:
    scores = make_scores(make_areas(), SUBDIMENSIONS, 1, np.random.default_rng(1))[0]
    whole = replace(scores, frame=scores.frame.assign(weight=1.0).dropna())
    estimates = direct(whole, make_areas())
    (source,) = estimates.sources
    a = int(np.argmax(source.n_effective[:, 0]))
    # everyone answers everything: the sampling covariance of n respondents is S / n
    np.testing.assert_allclose(respondent_covariance(source), source.variance[a] * source.n_effective[a, 0], rtol=1e-9)
    # a tenth skips each question: the variance per person is a ninth more than per answer
    (skipping, _) = made.fit.direct.sources
    rate = skipping.respondents.sum(axis=0) / skipping.respondents.max(axis=1).sum()
    per_answer = np.einsum("add->ad", skipping.variance) * skipping.n_effective
    np.testing.assert_allclose(np.diag(respondent_covariance(skipping)), per_answer.max(axis=0) / rate, rtol=1e-9)


def test_the_text(made: Made) -> None:
    p = plan(made.fit, budget=30, rules=STRICT, measure=TOTAL, target=0.95, deff=1.25)
    assert f"{p.extra} extra respondenten van veiligheidsmonitor in {(p.table['extra'] > 0).sum()} buurten" in p.text
    assert "Betrouwbaar voor Buurtverbondenheid: nu " in p.text
    assert "het doel is 95,0%" in p.text
    assert f"Het doel wordt niet bereikt; daarvoor zijn {p.needed} respondenten nodig." in p.text
    assert p.needed is not None
    assert p.needed > p.extra
    assert "verwachting onder het geschatte model" in p.text
    assert "Ontwerpeffect 1,25" in p.text
    assert "elk van de 7 maten" in plan(made.fit, budget=1).text
    assert f"{p.extra} of 30 extra respondents" in repr(p)
    enough = plan(made.fit, budget=p.needed, rules=STRICT, measure=TOTAL, target=0.95, deff=1.25)
    assert enough.reached
    assert "naar verwachting bereikt" in enough.text


def test_bad_input_is_refused_at_once(made: Made) -> None:
    with pytest.raises(ProblemsError) as found:
        plan(made.fit, budget=-5, target=1.2, max_per_area=0.0, deff=-1.0, measure="geluk", source="onbekend")
    text = str(found.value)
    for part in ("the budget is impossible", "-5", "the target", "may answer", "design effect", "geluk", "onbekend"):
        assert part in text
    assert len(found.value.problems) == 6
    for budget in (0, 2.5):
        with pytest.raises(DataError, match="budget"):
            plan(made.fit, budget=budget)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no buurt may be published"):
        plan(made.fit, budget=10, rules=Rules(min_residents=10_000))
    with pytest.raises(DataError, match="measure"):
        plan(made.fit, budget=1, measure=[])
    table = replace(made.fit, direct=replace(made.fit.direct, scores=()))
    with pytest.raises(DataError, match="covariance of a respondent"):
        plan(table, budget=10)


def test_rules_that_a_plan_does_not_know(made: Made) -> None:
    with pytest.raises(DataError, match="rules about width or own-data share"):
        plan(made.fit, budget=100, rules=Rules(max_width=1.5))
