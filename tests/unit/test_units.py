"""Several measures of the same persons as one fit: columns are those of each fit, and have no chance in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_persons import Made, made

import buurtsae as bs
from buurtsae.engines.units import UnitFits, fit_units
from buurtsae.errors import DataError
from buurtsae.estimates.summary import estimate
from buurtsae.scale import PERCENT

QUICK: dict[str, Any] = {"draws": 400, "hyperparameters": 60, "progress": False}


@pytest.fixture(scope="module")
def world() -> Made:
    return made()


def model(outcome: object) -> bs.UnitModel:
    persons = [bs.Ordered("leeftijd"), bs.Fixed("geslacht")]
    return bs.UnitModel("1 + x", terms=[bs.IID("area")], persons=persons, outcome=outcome)


@pytest.fixture(scope="module")
def fits(world: Made) -> UnitFits:
    yes = world.yes
    answers = {"eenzaam": yes, "nog_eens": yes, "gezondheid": world.ordered, "cijfer": world.numbers}
    outcomes = {"eenzaam": bs.Binomial(scale=PERCENT), "nog_eens": bs.Binomial(scale=PERCENT),
                "gezondheid": bs.Ladder(), "cijfer": bs.Gaussian((-10, 10))}  # fmt: skip
    figures: dict[str, Any] = {name: (name, None) for name in answers} | {"gezond": ("gezondheid", "above 2")}
    return fit_units({name: model(o) for name, o in outcomes.items()}, answers, world.residents, seed=7,
                     figures=figures, scales={"gezond": PERCENT}, **QUICK)  # fmt: skip


def test_columns_are_those_of_each_fit(fits: UnitFits) -> None:
    fit = fits.fit_of()
    assert fit.draws.subdimensions == ("eenzaam", "nog_eens", "gezondheid", "cijfer", "gezond")
    for d, (name, (of, figure)) in enumerate(fits.figures.items()):
        alone = fits.fits[of].fit_of(None, figure, fits.scales.get(name))
        np.testing.assert_array_equal(fit.draws.scores()[..., d], alone.draws.scores()[..., 0])
    # a share of ordered answers is on the scale that was asked for, from the draws of the mean
    share = fit.draws.scores()[..., 4]
    assert 0 < share.min() < share.max() < 100
    plain = fits.fits["gezondheid"].fit_of(None, "above 2").draws.scores()[..., 0]
    np.testing.assert_allclose(share, 100 * plain, rtol=1e-9)
    assert np.corrcoef(share.ravel(), fit.draws.scores()[..., 2].ravel())[0, 1] > 0.8


def test_measures_have_no_chance_in_common(fits: UnitFits) -> None:
    """The same answers twice: draws of each area go together by accident only, by 1 / sqrt(400) or so."""
    draws = fits.fit_of().draws.scores()
    first, second = (draws[..., d] - draws[..., d].mean(axis=0) for d in (0, 1))
    together = (first * second).mean(axis=0) / (first.std(axis=0) * second.std(axis=0))
    assert abs(together).max() < 5 / np.sqrt(len(draws))  # 25 areas
    # and yet they are of one posterior: means differ by Monte Carlo error, sd / sqrt(200) or so
    assert abs(draws[..., 0] - draws[..., 1]).mean(axis=0).max() < 2 * first.std(axis=0).max()
    assert (abs((draws[..., 0] - draws[..., 1]).mean(axis=0)) < 0.35 * first.std(axis=0)).all()


def test_parameters_are_beside_one_another(fits: UnitFits) -> None:
    table = fits.fit_of().draws.hyperparameters()
    ages = table[table["name"] == "leeftijd.sigma"].set_index("measure")["mean"]
    assert list(ages.index) == ["eenzaam", "nog_eens", "gezondheid", "cijfer"]
    for name in ages.index:
        assert ages[name] == pytest.approx(fits.fits[name].raw.hyper["leeftijd.sigma"][1].mean(), rel=1e-12)
    assert {"gezondheid.cuts.gap", "residual.sigma"} <= set(table["name"])
    certificate = fits.fit_of().draws.certificate
    assert certificate is not None
    assert certificate.khat == max(fit.raw.certificate.khat for fit in fits.fits.values())  # type: ignore[union-attr]


def test_what_respondents_say_is_beside_one_another(world: Made, fits: UnitFits) -> None:
    fit = fits.fit_of({"geslacht": ["ge1"]})
    r, of_group = world.residents, world.residents.inside({"geslacht": ["ge1"]})
    asked = np.bincount(r.area[of_group], world.asked[of_group], len(r.areas.codes))
    source = fit.direct.sources[0]
    np.testing.assert_array_equal(source.respondents[:, 0], asked[asked > 0])
    yes = fits.fits["eenzaam"].answers
    inside = yes.level[:, 1] == 1
    share = 100 * np.bincount(yes.area[inside], yes.y[inside], len(asked))[asked > 0] / asked[asked > 0]
    np.testing.assert_allclose(source.mean[:, 0], share)
    codes = fits.fits["gezondheid"].answers
    mean = np.bincount(codes.area[inside], codes.y[inside] @ np.arange(1, 5), len(asked))[asked > 0] / asked[asked > 0]
    np.testing.assert_allclose(source.mean[:, 2], mean)
    est = estimate(fit)
    assert est.published["direct"].isna().all()  # of a group: it would follow from others
    scales = est.table.drop_duplicates("measure").set_index("measure")[["scale_lower", "scale_upper"]]
    assert scales.loc["gezond"].tolist() == [0, 100]
    assert scales.loc["gezondheid"].tolist() == [1, 4]


def test_the_model_is_said_once(fits: UnitFits) -> None:
    words = str(fits.fit_of().words)
    assert words.count("leeftijd: a random walk") == 1
    assert "  eenzaam, nog_eens: Outcome: y[c] ~ Binomial" in words
    assert "  gezondheid, gezond: Outcome" not in words  # a figure is no measure of its own
    assert "correlated across measures" not in words


def test_other_measures_are_refused(world: Made) -> None:
    with pytest.raises(DataError) as caught:
        fit_units({"a": model(bs.Binomial())}, {"b": world.yes}, world.residents, **QUICK)
    assert str(caught.value).splitlines() == [
        "models and answers are of other measures",
        "  got models of a, answers of b; expected the same, one or more",
        "  hint: give both of each",
    ]


def test_shares_of_all_categories_are_a_whole(fits: UnitFits) -> None:
    labels = fits.fits["gezondheid"].model.answers.labels(fits.fits["gezondheid"].answers.y.shape[1])  # type: ignore[attr-defined]
    figures = {f"deel_{label}": ("gezondheid", f"share {label}") for label in labels}
    every = replace(fits, figures={"eenzaam": ("eenzaam", None), **figures}, scales=dict.fromkeys(figures, PERCENT))
    draws = every.fit_of().draws
    assert draws.wholes == (tuple(figures),)
    np.testing.assert_allclose(draws.scores()[..., 1:].sum(axis=2), 100, rtol=1e-5)  # 32 bits
    published = estimate(every.fit_of(), rules=bs.Rules(decimals=0, min_residents=0)).published
    parts = published[published["measure"].isin(figures)]
    assert (parts.groupby(["level", "area_code"])["estimate"].sum() == 100).all()
    some = replace(every, figures={name: figure for name, figure in every.figures.items() if name != "deel_1"})
    assert some.fit_of().draws.wholes == ()
