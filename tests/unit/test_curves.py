"""Curves over a covariate: from coefficients that are known, and from a fit to scores that were made with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_fit import SIGMA, SUBDIMENSIONS, UNKNOWN_X, Made, made_fit, make_areas

from buurtsae.areas.areas import Areas
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit, fit
from buurtsae.errors import DataError, ModelError, ProblemsError
from buurtsae.estimates.words.curves import Curves, curves, without_field
from buurtsae.model.covariates import Covariate
from buurtsae.model.design import design
from buurtsae.model.matrix import covariates
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID, Spline
from buurtsae.publication.curves import write_curves
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

TOTAL = "buurtverbondenheid"
WEIGHTS = Concept.load().matrix_of(SUBDIMENSIONS)
EXACT = 1e-12


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


def areas_with_more() -> Areas:
    """With `afstand` in km, `klasse` 1 to 3 of which 2 is the commonest, and `pct_groen`."""
    areas = make_areas()
    rng, n = np.random.default_rng(3), len(areas.codes)
    more = {"afstand": np.exp(rng.normal(0, 0.7, n)), "klasse": np.resize([2, 1, 2, 3, 2], n)}
    more |= {"pct_groen": rng.uniform(5, 60, n), "afstand_huisarts_km": rng.uniform(0.2, 2, n)}
    return replace(areas, frame=areas.frame.assign(**more))


def known_fit(made: Made, formula: str, beta: np.ndarray, *, spatial: bool = True, sd: float = 0.1) -> Fit:
    """A fit whose coefficients (P, D) are known up to noise, the same for every seed."""
    areas = areas_with_more()
    covariates = tuple(c for c in (Covariate("afstand", transform="log", missing="refuse"),) if "afstand" in formula)
    terms = (BYM2(areas.graph()) if spatial else IID("buurt"),)
    model = AreaModel(formula, terms, covariates=covariates, missing="impute")
    direct = replace(made.fit.direct, areas=areas)
    arrays = design(model, direct)
    assert beta.shape[0] == len(arrays.coefficients)
    noise = np.random.default_rng(8).normal(0, sd, (4, 250, *beta.shape))
    hyper = {"beta": (("column", "measure"), beta + noise - noise.mean(axis=(0, 1)))}
    eta = np.zeros((4, 250, len(arrays.areas), len(arrays.measures)))
    draws = Draws(eta, arrays.areas, arrays.measures, hyper, {"column": arrays.coefficients})
    return Fit(arrays, direct, draws, "exact", 1, 0.0)


def of(c: Curves, measure: str) -> pd.DataFrame:
    return c.curve[c.curve["measure"] == measure].reset_index(drop=True)


def observed(f: Fit, name: str) -> tuple[pd.Series, pd.Series]:
    """Values and residents of the inhabited buurten where the covariate is known."""
    frame = f.areas.frame[f.areas.inhabited & f.areas.frame[name].notna()]
    return frame[name], frame["population"]


def test_a_linear_curve_is_a_line_through_the_mean(made: Made) -> None:
    c = curves(made.fit, "groen", grid=21)
    x, n = observed(made.fit, "groen")
    assert UNKNOWN_X not in x.index
    mean = np.average(x, weights=n)
    assert c.reference == pytest.approx(mean, rel=EXACT)
    (p,) = made.fit.design.covariates
    beta = made.fit.draws.hyper["beta"][1].reshape(-1, 2, 4)[:, 1] @ WEIGHTS.to_numpy().T
    for m, measure in enumerate(WEIGHTS.index):
        rows = of(c, measure)
        np.testing.assert_allclose(rows["value"], np.linspace(x.min(), x.max(), 21), rtol=EXACT)
        line = beta[:, m, None] * (rows["value"].to_numpy() - mean) / p.sd
        np.testing.assert_allclose(rows["difference"], line.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(rows["sd"], line.std(axis=0, ddof=1), atol=1e-12)
        np.testing.assert_allclose(rows["lower"], np.quantile(line, 0.025, axis=0), atol=1e-12)
        np.testing.assert_allclose(rows["upper"], np.quantile(line, 0.975, axis=0), atol=1e-12)
        row = c.table.set_index("measure").loc[measure]
        low, high = np.quantile(x, [0.1, 0.9])
        assert (row["low"], row["high"]) == pytest.approx((low, high), rel=EXACT)
        assert row["difference"] == pytest.approx(beta[:, m].mean() * (high - low) / p.sd, rel=1e-9)
        assert row["per_step"] == pytest.approx(beta[:, m].mean() * c.step / p.sd, rel=1e-9)
        assert row["p_positive"] == (beta[:, m] > 0).mean()


def test_the_support_is_counted_in_buurten_and_residents(made: Made) -> None:
    rows = of(curves(made.fit, "groen", grid=9), TOTAL)
    x, n = observed(made.fit, "groen")
    for r in rows.itertuples():
        assert r.buurten_below == pytest.approx((x <= r.value).sum() / len(x), rel=EXACT)
        assert r.residents_below == pytest.approx(n[x <= r.value].sum() / n.sum(), rel=EXACT)
    assert rows[["buurten_below", "residents_below"]].iloc[-1].tolist() == [1, 1]


def test_a_transformed_covariate_is_shown_on_its_own_scale(made: Made) -> None:
    beta = np.array([[6.0] * 4, [0.5, 0.2, -0.1, 0.0]])
    f = known_fit(made, "1 + afstand", beta)
    c = curves(f, "afstand")
    x, n = observed(f, "afstand")
    mean, sd = np.average(x, weights=n), np.log(x).std(ddof=0)
    for d, measure in enumerate(SUBDIMENSIONS):
        rows = of(c, measure)
        expected = beta[1, d] * (np.log(rows["value"]) - np.log(mean)) / sd
        np.testing.assert_allclose(rows["difference"], expected, atol=1e-12)
    low, high = np.quantile(x, [0.1, 0.9])
    row = c.table.iloc[0]
    slope = 0.5 * np.log(high / low) / sd / (high - low)  # on average between both: a step is worth less further on
    assert row["per_step"] == pytest.approx(c.step * slope, rel=1e-9)


def test_categories_are_compared_with_the_commonest(made: Made) -> None:
    beta = np.array([[6.0] * 4, [0.5] * 4, [0.2, 0.2, 0.2, -0.4]])  # levels 2 and 3 against 1
    f = known_fit(made, "1 + C(klasse)", beta)
    c = curves(f, "klasse")
    assert c.categorical
    assert c.reference == 2
    x, n = observed(f, "klasse")
    rows = of(c, "participatie")
    assert rows["value"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(rows["difference"], [-0.5, 0, -0.3], atol=1e-12)
    np.testing.assert_allclose(rows["buurten"], [(x == k).mean() for k in (1, 2, 3)], rtol=EXACT)
    np.testing.assert_allclose(rows["residents"], [n[x == k].sum() / n.sum() for k in (1, 2, 3)], rtol=EXACT)
    table = c.table[c.table["measure"] == "plaatsgeschiktheid"]
    assert table["low"].tolist() == [2, 2]
    assert table["high"].tolist() == [1, 3]
    np.testing.assert_allclose(table["difference"], [-0.5, -0.9], atol=1e-12)
    assert table[["step", "per_step"]].isna().all(axis=None)
    assert "Participatie: 1 in plaats van 2 hangt samen met een score die 0,50 punt lager is" in c.text
    assert "; per " not in c.text


@pytest.mark.parametrize("term", ["bs(groen, 3)", "poly(groen, 3)"])
def test_a_column_that_is_in_functions_only_has_a_curve(made: Made, term: str) -> None:
    """From the lowest value to the highest it is what the coefficients of the rows of the model matrix say."""
    beta = np.array([[6.0] * 4, [0.5] * 4, [0.2] * 4, [-0.4] * 4])
    f = known_fit(made, f"1 + {term}", beta)
    _, x, _ = covariates(f.model, f.areas)
    known = f.areas.frame["groen"].where(f.areas.inhabited)
    low, high = (f.areas.codes.get_loc(c) for c in (known.idxmin(), known.idxmax()))
    rows = of(curves(f, "groen"), "participatie")["difference"]
    assert rows.iloc[-1] - rows.iloc[0] == pytest.approx((x[high] - x[low]) @ beta[:, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("other", "formula"), [("pct_groen", "1 + groen * pct_groen"), ("klasse", "1 + groen * C(klasse)")]
)
def test_an_interaction_is_taken_at_the_mean_of_the_other(made: Made, other: str, formula: str) -> None:
    direct = replace(made.fit.direct, areas=areas_with_more())
    arrays = design(AreaModel(formula, missing="impute"), direct)
    beta = np.arange(4.0 * len(arrays.coefficients)).reshape(-1, 4) / 50
    f = known_fit(made, formula, beta)
    c = curves(f, "groen")
    assert c.held == (other,)
    assert f"waarde van {other}." in c.text
    assert [c.name for c in f.design.covariates] == sorted(["groen", other])
    slope = beta[arrays.coefficients.index("groen")].copy()
    if other == "klasse":  # at 2, the commonest: the level in sorted order after the first
        slope += beta[[c.startswith("groen:") for c in arrays.coefficients].index(True)]
    else:
        x, n = observed(f, other)
        both = beta[arrays.coefficients.index("groen:pct_groen")]
        slope += both * (np.average(x, weights=n) - x.mean()) / x.std(ddof=0)
    rows, sd = of(c, "participatie"), f.design.covariates[0].sd
    expected = slope[1] * (rows["value"] - c.reference) / sd
    np.testing.assert_allclose(rows["difference"], expected, atol=1e-12)


def test_words_for_the_direction(made: Made) -> None:
    # with sd 0.1 the probabilities of a positive sign are Phi(3), Phi(1.2) = 0.88, Phi(0) and Phi(-3)
    f = known_fit(made, "1 + pct_groen", np.array([[6.0] * 4, [0.3, 0.12, 0.0, -0.3]]))
    c = curves(f, "pct_groen")
    assert c.table["words"].tolist()[:4] == [
        "vrijwel zeker positief",
        "waarschijnlijk positief",
        "richting onzeker",
        "vrijwel zeker negatief",
    ]
    assert curves(known_fit(made, "1 + groen", np.full((2, 4), -0.12)), "groen").table["words"].iloc[0] == (
        "waarschijnlijk negatief"
    )
    row = c.table.iloc[0]
    assert (row["step"], c.unit) == (10, "10 procentpunt")
    found = (
        f"{row['high']:.1f} in plaats van {row['low']:.1f} hangt samen met een score die {row['difference']:.2f} punt"
    )
    assert found.replace(".", ",") in c.text
    assert f"per 10 procentpunt {row['per_step']:.2f} punt hoger; vrijwel zeker positief".replace(".", ",") in c.text
    assert "leidt tot" not in c.text
    assert "geen gevolgen" in c.text
    assert "ruimtelijke component" not in c.text


def test_steps_are_natural_or_as_given(made: Made) -> None:
    f = known_fit(made, "1 + afstand + pct_groen + afstand_huisarts_km", np.ones((4, 4)))
    x = observed(f, "afstand")[0]
    between = x.quantile(0.9) - x.quantile(0.1)
    c = curves(f, "afstand")  # nothing is known about this column: a round number of at most half of what is between
    assert c.step in (0.5, 1.0)
    assert between / 5 < c.step <= between / 2
    assert curves(f, "afstand", step=0.25).unit == "0,25 eenheden"
    assert curves(f, "pct_groen", step=5.0).unit == "5 procentpunt"
    km = curves(f, "afstand_huisarts_km")  # in km, says the codebook of CBS
    assert (km.step, km.unit) == (0.1, "100 m")
    assert "per 100 m" in km.text


def test_a_field_that_hides_the_association_is_warned_about(made: Made) -> None:
    with_field = known_fit(made, "1 + groen", np.array([[6.0] * 4, [0.3, 0.3, 0.05, 0.3]]))
    without = known_fit(made, "1 + groen", np.array([[6.0] * 4, [0.35, -0.3, -0.05, 0.6]]), spatial=False)
    c = curves(with_field, "groen", without_field=without)
    # near, opposite, opposite but both about 0, and three of its sds (0.1) apart
    assert c.table["confounded"].tolist()[:4] == [False, True, False, True]
    rows = of(c, "participatie")
    np.testing.assert_allclose(rows["difference_without"], -rows["difference"], atol=1e-12)
    assert {"sd_without", "lower_without", "upper_without"} <= set(rows)
    assert c.text.count("Let op: zonder de ruimtelijke component") == c.table["confounded"].sum()
    assert "niet goed te scheiden van de ligging" in c.text


def made_scores(areas: Areas, seed: int) -> tuple[DirectEstimates, float]:
    """Direct estimates made with a coefficient of 0.8 per standard deviation and independent buurt effects."""
    rng = np.random.default_rng(seed)
    x = areas.frame["groen"].fillna(0.0)
    x = (x - x[areas.inhabited].mean()) / x[areas.inhabited].std(ddof=0)
    codes = areas.codes[areas.inhabited]
    score = 6 + 0.8 * x[codes] + rng.normal(0, SIGMA / 2, len(codes)) + rng.normal(0, 0.3, len(codes))
    count = np.full((len(codes), 1), 16)
    variance = np.full((len(codes), 1, 1), 0.09)
    source = SourceEstimates("made", 2024, codes, score.to_numpy()[:, None], variance, count, count.astype(float))
    return DirectEstimates(("participatie",), (source,), areas), 0.8


def test_what_the_scores_were_made_with_is_found_again() -> None:
    areas = make_areas()
    areas = replace(areas, frame=areas.frame.assign(groen=areas.frame["groen"].fillna(0.0)))
    direct, truth = made_scores(areas, 4)
    fitted = fit(AreaModel("1 + groen", (BYM2(areas.graph()),)), direct, seed=1, progress=False, hyperparameters=200)
    alone = without_field(fitted, hyperparameters=200)
    assert [type(t) for t in alone.model.terms] == [IID]
    c = curves(fitted, "groen", without_field=alone)
    (row,) = c.table.itertuples()
    made_with = truth * (row.high - row.low) / fitted.design.covariates[0].sd
    for suffix in ("", "_without"):
        lower, upper, sd = (getattr(row, name + suffix) for name in ("lower", "upper", "sd"))
        assert lower < made_with < upper  # 95% of seeds
        # least squares of 24 buurten with variance 0.35^2 + 0.3^2: 0.094 per sd of the covariate; a field adds to it
        per_sd = sd * fitted.design.covariates[0].sd / (row.high - row.low)
        assert 0.07 < per_sd < 0.19
    assert row.words == "vrijwel zeker positief"
    assert not row.confounded


def test_bad_input_is_refused_at_once(made: Made) -> None:
    with pytest.raises(ProblemsError) as found:
        curves(made.fit, "parken", grid=1, step=-1.0, without_field=made.fit)
    text = str(found.value)
    for part in ("not in the formula", "'parken'", "groen", "few values", "the step", "has a spatial field"):
        assert part in text
    arrays = replace(made.fit.design, model=replace(made.fit.model, terms=(Spline("groen"),)))
    with pytest.raises(ModelError, match="groen has a smooth term besides"):
        curves(replace(made.fit, design=arrays), "groen")
    other = known_fit(made, "1 + pct_groen", np.ones((2, 4)), spatial=False)
    with pytest.raises(ModelError, match="other coefficients"):
        curves(made.fit, "groen", without_field=other)
    with pytest.raises(ModelError, match="no spatial field"):
        without_field(other)
    with pytest.raises(ModelError, match="no such measure"):
        curves(made.fit, "groen").plot("geluk")


def test_figures(made: Made) -> None:
    f = known_fit(made, "1 + groen + C(klasse)", np.ones((4, 4)))
    alone = known_fit(made, "1 + groen + C(klasse)", np.ones((4, 4)), spatial=False)
    line = curves(f, "groen", without_field=alone).plot(TOTAL)
    assert line.get_title(loc="left") == "Buurtverbondenheid"
    assert len(line.lines) == 3  # with, without, and zero
    assert [t.get_text() for t in line.get_legend().get_texts()] == [
        "met ruimtelijke component",
        "zonder ruimtelijke component",
    ]
    rows = of(curves(f, "groen"), TOTAL)
    np.testing.assert_allclose(line.lines[0].get_xydata(), rows[["value", "difference"]], rtol=EXACT)
    dots = curves(f, "klasse").plot(TOTAL)
    assert len(dots.lines) == 1


def test_files_have_the_same_bytes_again_and_names_that_any_disk_takes(made: Made, tmp_path: Path) -> None:
    found = curves(made.fit, "groen")
    odd = [replace(found, covariate=replace(found.covariate, name=name)) for name in ("65+/75+", "65+:75+", "x" * 300)]
    write_curves([found, *odd], tmp_path / "one")
    write_curves([found], tmp_path / "two")
    assert (tmp_path / "one" / "groen.svg").read_bytes() == (tmp_path / "two" / "groen.svg").read_bytes()
    assert {p.name for p in (tmp_path / "one").iterdir()} == {
        *("vuistregels.txt", "vuistregels.csv", "curves.csv"),
        *("groen.svg", "65+_75+_1.svg", "65+_75+_2.svg", "x" * 60 + "_3.svg"),
    }
    write_curves([found], tmp_path / "two")  # they are its own
    (tmp_path / "two" / "vuistregels.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="holds what no run wrote"):
        write_curves([found], tmp_path / "two")
