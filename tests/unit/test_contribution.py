"""What each source adds to the posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from made_fit import (
    SUBDIMENSIONS,
    Made,
    exact,
    made_fit,
    made_model,
    make_areas,
    make_scores,
    per_wijk,
    prior_covariance,
)

from buurtsae.engines.given import Given
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.estimates.evidence.contribution import contributions
from buurtsae.model.design import Design, design
from buurtsae.survey.direct import direct


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def rows(made: Made) -> list[dict[str, Any]]:
    return contributions(made.fit)


def test_a_row_per_source_and_what_it_informs(rows: list[dict[str, Any]]) -> None:
    assert [(r["source"], r["measure"]) for r in rows] == [
        *(("veiligheidsmonitor", d) for d in SUBDIMENSIONS),
        *(("burgerpeiling", d) for d in SUBDIMENSIONS[:2]),
    ]


def test_every_source_adds_and_most_where_it_has_respondents(rows: list[dict[str, Any]]) -> None:
    for r in rows:
        if r["sd_without"] is None:
            assert r["measure"] in SUBDIMENSIONS[2:]  # nobody else asks these
            continue
        assert r["sd_with"] < r["sd_without"]
        assert r["sd_with_own"] < r["sd_without_own"]
        gain, gain_own = r["sd_without"] / r["sd_with"], r["sd_without_own"] / r["sd_with_own"]
        assert gain_own > gain


def test_without_the_second_source_it_is_a_fit_of_the_first(made: Made, rows: list[dict[str, Any]]) -> None:
    fit = made.fit
    alone = direct(make_scores(make_areas(), SUBDIMENSIONS, 2, np.random.default_rng(1))[:1], fit.areas)
    arrays = design(fit.model, alone)
    hyper = Hyper.means(fit.draws, fit.design)
    one = replace(hyper, slope=np.ones((1, 4)), extra=np.zeros((1, 4)))
    expected = Marginal.of(arrays).conditional(one).sd[fit.areas.inhabited].mean(axis=0)
    assert [r["sd_without"] for r in rows[4:]] == pytest.approx(list(expected[:2]), rel=1e-10)


@dataclass(frozen=True)
class Dense:
    """The posterior given hyperparameters by dense algebra, with coefficients and offsets known as in `made_fit`."""

    design: Design
    sd: np.ndarray | None = None

    def conditional(self, hyper: Hyper, factor: np.ndarray | float = 1.0) -> Dense:
        d, share = len(self.design.measures), self.design.sites.toarray()
        said = self.design.information(hyper.slope, hyper.extra, factor).sum(axis=0)
        precision = np.linalg.inv(prior_covariance(self.design.model, d, self.design.known))
        precision += np.einsum("kn,km,kde->ndme", share, share, said).reshape(precision.shape)
        return replace(self, sd=np.sqrt(np.diag(np.linalg.inv(precision))).reshape(-1, d))


def test_a_source_per_wijk_adds_to_the_buurten_of_its_wijken(monkeypatch: pytest.MonkeyPatch) -> None:
    areas, rng = make_areas(), np.random.default_rng(1)
    first, second = make_scores(areas, SUBDIMENSIONS, 2, rng)
    elsewhere = second.frame["area_code"].str.startswith("BU034402")
    direct_ = direct([first, per_wijk(replace(second, frame=second.frame[~elsewhere]))], areas)
    made = exact(design(made_model(areas), direct_), direct_, areas, rng)
    monkeypatch.setattr(Given, "posterior", property(lambda at: Dense(at.design).conditional(at.hyper, at.factor)))
    found = {(r["source"], r["measure"]): r for r in contributions(made.fit)}
    alone = replace(direct_, sources=direct_.sources[:1])
    without = np.sqrt(exact(design(made_model(areas), alone), alone, areas, rng).variance)
    own = areas.inhabited & (areas.frame["wijk"] != "WK034402").to_numpy()
    for d, measure in enumerate(SUBDIMENSIONS[:2]):
        row = found["burgerpeiling", measure]
        assert row["areas"] == 6  # wijken
        for name, sd in (("with", np.sqrt(made.variance)), ("without", without)):
            assert row[f"sd_{name}"] == pytest.approx(sd[areas.inhabited, d].mean(), rel=1e-9)
            assert row[f"sd_{name}_own"] == pytest.approx(sd[own, d].mean(), rel=1e-9)
    assert found["veiligheidsmonitor", SUBDIMENSIONS[0]]["areas"] == 21


def test_factors_of_variances_go_with_the_sites_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = made_fit(wijk=True).fit
    factor = np.random.default_rng(2).uniform(0.5, 2, fit.design.y.shape)
    factors: list[np.ndarray] = []

    def posterior(at: Given) -> Dense:
        factors.append(at.factor)  # type: ignore[arg-type]
        return Dense(at.design, np.ones((25, 4)))

    monkeypatch.setattr(Given, "posterior", property(posterior))
    contributions(replace(fit, draws=replace(fit.draws, factor=factor)))
    everything, first_left, second_left = factors
    np.testing.assert_array_equal(everything, factor)
    np.testing.assert_array_equal(first_left, factor[1:, :, :2])  # buurten and wijken: the second is known per wijk
    np.testing.assert_array_equal(second_left, factor[:1, :25])


def test_a_source_per_wijk_adds_less_than_one_per_buurt_would() -> None:
    # the same respondents, known per wijk and known per buurt, and hyperparameters alike: by the product's own algebra
    per_buurt, wijken = made_fit().fit, made_fit(wijk=True).fit
    for d in SUBDIMENSIONS[:2]:
        fine, coarse = (
            next(r for r in contributions(f) if (r["source"], r["measure"]) == ("burgerpeiling", d))
            for f in (per_buurt, wijken)
        )
        assert coarse["sd_without"] == pytest.approx(fine["sd_without"], rel=0.02)  # the draws of sigma differ a little
        assert fine["sd_with_own"] < coarse["sd_with_own"] < coarse["sd_without_own"]
