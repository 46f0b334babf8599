"""Predictions of what was left out: against conditioning without it, and calibrated on data of the model itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import ALONE, Made, made_fit
from scipy import stats

from buurtsae.engines.base import fit
from buurtsae.engines.given import given
from buurtsae.engines.hyper import Hyper
from buurtsae.errors import DataError
from buurtsae.estimates.evidence.crossvalidation import fingerprint, left_out, predicted


@pytest.fixture(scope="module", params=[False, True], ids=["buurten", "and wijken"])
def made(request: pytest.FixtureRequest) -> Made:
    return made_fit(wijk=request.param)


def test_the_cavity_is_the_posterior_without_the_site(made: Made) -> None:
    closed = predicted(given(made.fit), None)
    sites = np.arange(len(made.fit.design.site_codes))
    anew = predicted(given(made.fit), sites)  # each site in a fold of its own: conditioned without it
    for one, other in zip(closed, anew, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_what_was_left_out_together_has_its_joint_density() -> None:
    """By dense algebra, one sub-dimension and source: of y_f given the others, y ~ N(m, C + V)."""
    made = made_fit(("participatie",), sources=1, seed=2)
    design = made.fit.design
    at = given(made.fit, 0)
    fold = np.arange(len(design.site_codes)) % 3
    *_, together = predicted(at, fold)
    seen = np.flatnonzero(design.observed[0, :, 0])
    y, law = dense_law(made, at.hyper, seen)
    for f in range(3):
        kept = np.flatnonzero(fold[seen] != f)
        others = stats.multivariate_normal(cov=law[np.ix_(kept, kept)]).logpdf(y[kept])
        expected = stats.multivariate_normal(cov=law).logpdf(y) - others
        np.testing.assert_allclose(together[fold == f], expected, rtol=1e-7)


def dense_law(made: Made, hyper: Hyper, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return direct estimates less their prior means, and their prior covariance, of one sub-dimension and source."""
    design = made.fit.design
    loadings, (effect,) = hyper.loadings(design), design.effects
    structured = np.linalg.pinv(effect.structure.parts[0].toarray())  # type: ignore[union-attr]
    mean, sd = design.coefficient_priors
    by = np.exp(2 * effect.dispersion @ loadings.scaling[0])[:, 0]  # of residents
    prior = loadings.terms[0, 0, 0] ** 2 * structured + loadings.loose[0, 0, 0] ** 2 * np.diag(by)
    prior += design.x @ np.diag(sd**2) @ design.x.T
    prior += 0.0 if design.known is None else np.diag(design.known[:, 0, 0])
    factor = np.broadcast_to(hyper.factor, design.y.shape)[0, seen, 0]
    v = np.diag(factor / design.precision[0, seen, 0, 0])
    return design.y[0, seen, 0] - design.x[seen] @ mean, prior[np.ix_(seen, seen)] + v


def test_predictions_by_dense_algebra() -> None:
    """One sub-dimension and source: y ~ N(m, C + V) marginally, C the prior covariance of all scores."""
    made = made_fit(("participatie",), sources=1, seed=2)
    design, draws = made.fit.design, made.fit.draws
    hyper = Hyper.drawn(draws, design, 0)
    found = left_out(made.fit, values=1)
    seen = np.flatnonzero(design.observed[0, :, 0])
    y, c = dense_law(made, hyper, seen)
    inverse = np.linalg.inv(c)  # leave-one-out of a Gaussian: r_i / K_ii and 1 / K_ii (Rasmussen and Williams, 5.4.2)
    variance = 1 / np.diag(inverse)
    off = inverse @ y * variance
    table = found.table.set_index("area_code").loc[np.array(design.site_codes)[seen]]
    np.testing.assert_allclose(table["sd"], np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(table["z"], off / np.sqrt(variance), rtol=1e-7)
    np.testing.assert_allclose(table["pit"], stats.norm.cdf(off / np.sqrt(variance)), rtol=1e-7)
    expected = stats.norm.logpdf(off, scale=np.sqrt(variance))
    np.testing.assert_allclose(found.density.loc[table.index], expected, rtol=1e-7)
    assert found.elpd[0] == pytest.approx(expected.sum())


def test_of_whole_groups_less_is_known_than_of_one_buurt() -> None:
    made = made_fit()
    found = left_out(made.fit, "gemeente", values=1)
    assert set(found.density.index) == {"GM0344", "GM0355", "GM0400"}
    assert set(found.table["group"]) == set(found.density.index)
    # nothing about a gemeente is known but from its neighbours: the predictions are less sure than of one buurt
    one = left_out(made.fit, values=1)
    key = ["source", "area_code", "measure"]
    both = found.table.set_index(key).join(one.table.set_index(key).add_suffix("_one"))
    assert (both["sd"] >= both["sd_one"] - 1e-9).all()
    assert both["sd"].mean() > 1.02 * both["sd_one"].mean()
    assert found.elpd[0] < one.elpd[0] + 2 * one.elpd[1]


@pytest.mark.slow
def test_calibrated_on_data_of_the_model_itself() -> None:
    tables = [left_out(made_fit(seed=seed).fit, values=1).table for seed in range(20)]
    every = pd.concat(tables)
    assert len(every) > 2000
    # figures of a buurt go together: as if a quarter of them were independent
    n = len(every) / 4
    assert (every["z"] ** 2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert every["z"].mean() == pytest.approx(0, abs=4 / np.sqrt(n))
    for level in (0.5, 0.95):
        share = ((every["pit"] - 0.5).abs() < level / 2).mean()
        assert share == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / n))


def test_a_wrong_direct_estimate_stands_out() -> None:
    made = made_fit()
    y = made.fit.design.y.copy()
    at = made.fit.design.site_codes.index("BU04000000")
    y[0, at, 0] += 6
    spoilt = replace(made.fit, design=replace(made.fit.design, y=y))
    table = left_out(spoilt, values=1).table
    assert (
        table["z"].abs().idxmax()
        == table.index[(table["area_code"] == "BU04000000") & (table["source"] == "veiligheidsmonitor")][0]
    )
    assert table["z"].abs().max() > 3


def test_values_of_the_hyperparameters_are_weighed_by_what_they_owe_to_the_data(made: Made) -> None:
    two = [given(made.fit, k) for k in (0, len(made.fit.draws.flat) - 1)]
    off, variance, density = (np.array(part) for part in zip(*[predicted(at, None)[:3] for at in two], strict=True))
    weight = np.exp(-density) / np.exp(-density).sum(axis=0)
    found = left_out(made.fit, values=2)
    design = made.fit.design
    row = found.table.iloc[5]
    site = design.site_codes.index(row["area_code"])
    column = design.sources.index(row["source"]) * 4 + design.measures.index(row["measure"])
    w, o, v = weight[:, site], off[:, site, column], variance[:, site, column]
    assert row["y"] - row["mean"] == pytest.approx(w @ o)
    assert row["sd"] == pytest.approx(np.sqrt(w @ (v + o**2) - (w @ o) ** 2))
    assert row["pit"] == pytest.approx(w @ stats.norm.cdf(o / np.sqrt(v)))
    # the harmonic mean of densities: 1 / E[1 / p(y_g | others, theta)]
    assert found.density[row["area_code"]] == pytest.approx(-np.log(np.mean(np.exp(-density[:, site]))))


def test_calibration_by_class() -> None:
    found = left_out(made_fit().fit, values=1)
    rows = found.calibration()
    assert list(rows) == [
        *("source", "measure", "figures", "bias", "rmse", "chi2", "coverage_50", "coverage_80", "coverage_95")
    ]
    assert rows["figures"].sum() == len(found.table)
    first = found.table[
        (found.table["source"] == rows.loc[0, "source"]) & (found.table["measure"] == rows.loc[0, "measure"])
    ]
    assert rows.loc[0, "coverage_95"] == pytest.approx((abs(first["pit"] - 0.5) < 0.475).mean())
    assert rows.loc[0, "rmse"] == pytest.approx(np.sqrt(((first["y"] - first["mean"]) ** 2).mean()))
    assert found.table.loc[found.table["area_code"] == ALONE, "n_respondents"].max() == 1


def test_what_cannot_be_left_out() -> None:
    made = made_fit()
    with pytest.raises(DataError, match="nothing is left"):
        left_out(made.fit, "land")
    with pytest.raises(DataError, match="no such level"):
        left_out(made.fit, "provincie")


@pytest.mark.slow
def test_against_refitting_without_a_gemeente() -> None:
    """With hyperparameters learnt anew: held draws, weighed, come near."""
    made = made_fit(seed=3)
    gemeente = "GM0355"
    sources = []
    for source in made.fit.direct.sources:
        kept = ~source.codes.str.startswith("BU0355")
        parts = {n: getattr(source, n)[kept] for n in ("codes", "mean", "variance", "respondents", "n_effective")}
        sources.append(replace(source, **parts, within=None, freedom=None, given=None))
    direct = replace(made.fit.direct, sources=tuple(sources), scores=())
    seen, ratios = made.fit.direct.sources[0], []
    for seed in (1, 2, 3):
        full, other = (
            fit(made.fit.model, d, seed=seed, progress=False, hyperparameters=300) for d in (made.fit.direct, direct)
        )
        found = left_out(full, "gemeente", values=240).table
        rows = found[(found["group"] == gemeente) & (found["source"] == "veiligheidsmonitor")]
        place = [
            (other.draws.areas.index(c), other.draws.subdimensions.index(m))
            for c, m in rows[["area_code", "measure"]].to_numpy()
        ]
        eta = np.array([other.draws.flat[:, a, d] for a, d in place])
        # eta's sd is some 0.7: a tenth of it, for Monte Carlo errors of both (240 values, weighed) and of the weights
        assert np.abs(rows["mean"].to_numpy() - eta.mean(axis=1)).mean() < 0.07
        noise = [seen.variance[seen.codes.get_loc(c), d, d] for c, (_, d) in zip(rows["area_code"], place, strict=True)]
        ratios.append((rows["sd"].to_numpy() / np.sqrt(eta.var(axis=1) + noise)).mean())
    # of fits with seeds 1 to 6 each was 0.98 to 1.05, with an sd of 0.03: a gemeente's sd has a wide posterior
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_what_single_areas_answered_is_not_told_by_densities() -> None:
    fit = made_fit().fit
    found = left_out(fit, "gemeente")
    areas = found.table.groupby("group")["area_code"].nunique()
    assert (areas < 3).any()  # the island is a gemeente of its own
    everything = np.ones(len(found.table), dtype=bool)
    assert set(found.published(everything).index) == set(areas.index[areas >= 3])
    one = found.table["area_code"] != found.table.loc[found.table["group"] == "GM0355", "area_code"].iloc[0]
    assert set(found.published(one.to_numpy()).index) == {"GM0344"}  # less all others it would tell the hidden one
    assert set(found.published(~everything).index) == set(areas.index[areas >= 3])  # of many nothing can be told


def test_fits_of_the_same_data_have_one_fingerprint() -> None:
    fit = made_fit().fit
    assert fingerprint(fit) == fingerprint(replace(fit, seed=9))
    assert fingerprint(fit) != fingerprint(made_fit(seed=9).fit)
    other = fit.design.with_precision(1.01 * fit.design.precision)
    assert fingerprint(fit) != fingerprint(replace(fit, design=other))
