"""The nested error model against R's sae 1.3 (lme4 1.1.31), hbsae 1.2 and statsmodels' MixedLM.

Made data are in `data/`; the classic corn and soybean segments and hbsae's own data in the folder `shared`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from buurtsae.classical.unit.nested_error import NestedError

DATA = Path(__file__).parent / "data"
LME4 = 1e-5  # stated in the cases: the default optimiser of lme4


@pytest.fixture(scope="module")
def units() -> pd.DataFrame:
    return pd.read_csv(DATA / "made_bhf_units.csv", encoding="utf-8")


@pytest.fixture(scope="module")
def population() -> pd.DataFrame:
    return pd.read_csv(DATA / "made_bhf_pop.csv", encoding="utf-8", index_col="area")


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    text = (DATA / "made_bhf.json").read_text(encoding="utf-8")
    return {c["name"]: c["outputs"] for c in json.loads(text)["cases"]}


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_made_units(units: pd.DataFrame, population: pd.DataFrame, made: dict[str, Any], method: Any) -> None:
    expected = made[f"made_bhf_{method}"]
    fit = NestedError.from_formula("y ~ x1 + x2", units, "area", population, population["N"]).fit(method.lower())
    np.testing.assert_allclose(fit.sigma2_v, expected["sigma2_u"], rtol=LME4)
    np.testing.assert_allclose(fit.sigma2_e, expected["sigma2_e"], rtol=LME4)
    np.testing.assert_allclose(fit.params, expected["beta"], rtol=LME4)
    np.testing.assert_allclose(fit.random_effects, expected["random"], rtol=LME4)
    np.testing.assert_allclose(fit.eblup, expected["eblup"], rtol=1e-6)
    assert fit.predict()["n"].tolist() == expected["n"]


@pytest.mark.parametrize("reml", [True, False])
def test_agrees_with_mixedlm(units: pd.DataFrame, reml: bool) -> None:
    theirs = sm.MixedLM.from_formula("y ~ x1 + x2", units, groups="area").fit(reml=reml, gtol=1e-10)
    ours = NestedError.from_formula("y ~ x1 + x2", units, "area").fit("reml" if reml else "ml")
    # BFGS ends at a relative gradient of 1e-10 in the square root of the ratio: about 1e-6 in the variances
    np.testing.assert_allclose(ours.sigma2_v, theirs.cov_re.iloc[0, 0], rtol=1e-5)
    np.testing.assert_allclose(ours.sigma2_e, theirs.scale, rtol=1e-6)
    np.testing.assert_allclose(ours.params, theirs.fe_params, rtol=1e-6)
    # its standard errors come from the Hessian with the variances; the GLS ones below are those of lme4
    np.testing.assert_allclose(ours.llf_restricted if reml else ours.llf, theirs.llf, rtol=1e-9)
    effects = [theirs.random_effects[code].iloc[0] for code in ours.model.codes]
    np.testing.assert_allclose(ours.random_effects, effects, rtol=1e-4)


@pytest.fixture(scope="module")
def classic(shared: Path) -> Path:
    return shared / "golden" / "classic"


def cases_of(folder: Path, name: str) -> dict[str, Any]:
    return {c["name"]: c for c in json.loads((folder / name).read_text(encoding="utf-8"))["cases"]}


def corn(folder: Path, drop: int | None) -> NestedError:
    frame = pd.read_csv(folder / "data" / "sae_cornsoybean.csv", encoding="utf-8")
    counties = pd.read_csv(folder / "data" / "sae_cornsoybeanmeans.csv", encoding="utf-8", index_col="CountyIndex")
    means = counties.rename(columns={"MeanCornPixPerSeg": "CornPix", "MeanSoyBeansPixPerSeg": "SoyBeansPix"})
    frame = frame if drop is None else frame.drop(index=drop - 1)
    return NestedError.from_formula(
        "CornHec ~ CornPix + SoyBeansPix", frame, "County", means, counties["PopnSegments"].astype(float)
    )


@pytest.mark.national
@pytest.mark.xdist_group("national")
@pytest.mark.parametrize("case", ["all_REML", "all_ML", "no33_REML", "no33_ML"])
def test_corn(classic: Path, case: str) -> None:
    found = cases_of(classic, "sae.json")[f"sae_bhf_CornHec_{case}"]
    expected, given = found["expected"], found["inputs"]
    tight = expected["lme4_tight"]
    fit = corn(classic, given["drop_row_1based"]).fit(given["method"].lower())
    # "lme4_tight at 1e-7"; its optimiser ends where the likelihood is flat to 15 digits, which leaves 2e-7 of the
    # smallest variance: see docs/classical.md
    np.testing.assert_allclose(fit.sigma2_v, tight["refvar"], rtol=3e-7)
    np.testing.assert_allclose(fit.sigma2_e, tight["errorvar"], rtol=1e-7)
    np.testing.assert_allclose(fit.params, tight["beta"], rtol=1e-7)
    np.testing.assert_allclose(fit.bse, tight["beta_se"], rtol=1e-7)
    maximised = fit.llf_restricted if given["method"] == "REML" else fit.llf
    np.testing.assert_allclose(maximised, tight["loglik"], rtol=1e-13)
    np.testing.assert_allclose(maximised, expected["loglik"], rtol=1e-10)
    np.testing.assert_allclose(fit.eblup, expected["eblup"], rtol=found["tolerance"])
    np.testing.assert_allclose(fit.random_effects, expected["random"], rtol=found["tolerance"])
    assert fit.predict()["n"].tolist() == expected["sampsize"]


@pytest.mark.national
@pytest.mark.xdist_group("national")
def test_bootstrap_of_corn(classic: Path) -> None:
    found = cases_of(classic, "sae.json")["sae_pbmsebhf_corn_no33_B400"]
    fit = corn(classic, 33).fit()
    mse = fit.bootstrap_mse(2000, seed=1)
    # 400 replicates of theirs: a Monte Carlo error of sqrt(2 / 400) = 7% each; "15-20 percent"
    np.testing.assert_allclose(mse["naive"], found["expected"]["mse"], rtol=found["tolerance"])
    np.testing.assert_allclose(mse["mc_error"] / mse["naive"], np.sqrt(2 / 2000), rtol=0.2)  # of a squared normal
    np.testing.assert_allclose(fit.mse, mse["naive"], rtol=found["tolerance"])


@pytest.fixture(scope="module")
def hbsae(classic: Path) -> dict[str, Any]:
    return cases_of(classic, "hbsae.json")


def fake(folder: Path) -> NestedError:
    """hbsae's made sample: 49 of 50 areas sampled, population totals with N in the column of the intercept."""
    frame = pd.read_csv(folder / "data" / "hbsae_fake_sample.csv", encoding="utf-8", dtype={"area2": str})
    totals = pd.read_csv(folder / "data" / "hbsae_fake_poptotals.csv", encoding="utf-8", index_col="area")
    size = totals["(Intercept)"]
    means = totals.div(size, axis=0).rename(columns={f"area2{k}": f"area2[T.{k}]" for k in range(2, 6)})
    return NestedError.from_formula("y0 ~ x + area2", frame, "area", means, size.astype(float))


# hbsae's REML takes R's optimize at its default precision; at its own ratio of the variances all digits agree.
# "survreg" is the limit of a large ratio: its weights of direct estimates, 1 / (1 + 1 / (1000 n)), show one of 1,000.
@pytest.mark.national
@pytest.mark.xdist_group("national")
@pytest.mark.parametrize("case", ["unit_REML", "unit_hybrid", "unit_synthetic", "unit_survreg", "unit_corn_no33_REML"])
def test_hbsae_at_its_own_ratio(classic: Path, hbsae: dict[str, Any], case: str) -> None:
    expected = hbsae[f"hbsae_{case}"]["expected"]
    model = corn(classic, 33) if "corn" in case else fake(classic)
    fit = model.fit(ratio=1000.0 if expected["lambda"] is None else expected["lambda"])
    found, df = fit.predict(), fit.nobs - len(fit.params)
    assert found.index.tolist() == [int(a) for a in expected["area"]]
    np.testing.assert_allclose(fit.params, expected["coef"], rtol=1e-7)
    np.testing.assert_allclose(found["eblup"], expected["est"], rtol=1e-9)
    # its variances are posterior means given the ratio: df / (df - 2) times REML's; no g3
    np.testing.assert_allclose(fit.sigma2_e * df / (df - 2), expected["se2"], rtol=1e-9)
    np.testing.assert_allclose(found["known_variances"] * df / (df - 2), expected["mse"], rtol=1e-9)
    np.testing.assert_allclose(fit.cov_params() * df / (df - 2), expected["vcov"], rtol=1e-6)


@pytest.mark.national
@pytest.mark.xdist_group("national")
@pytest.mark.parametrize(("case", "close"), [("unit_REML", 2e-4), ("unit_corn_no33_REML", 2e-5)])
def test_our_ratio_is_likelier_than_that_of_hbsae(
    classic: Path, hbsae: dict[str, Any], case: str, close: float
) -> None:
    theirs = hbsae[f"hbsae_{case}"]["expected"]
    model = corn(classic, 33) if "corn" in case else fake(classic)
    ours = model.fit()
    assert ours.llf_restricted > model.fit(ratio=theirs["lambdaREML"]).llf_restricted
    # R's optimize ends at eps^(1/4) = 1.2e-4 of its interval
    np.testing.assert_allclose(ours.maximum.ratio, theirs["lambdaREML"], rtol=close)
    np.testing.assert_allclose(ours.eblup, theirs["est"], rtol=close)


@pytest.mark.national
@pytest.mark.xdist_group("national")
def test_survey_regression_of_hbsae(classic: Path, hbsae: dict[str, Any]) -> None:
    found, expected = fake(classic).fit(ratio=1000.0), hbsae["hbsae_survreg_direct"]["expected"]
    table = found.predict().loc[[int(a) for a in expected["area"]]]
    df = found.nobs - len(found.params)
    assert (table["n"] > 0).all()
    np.testing.assert_allclose(table["eblup"], expected["est"], rtol=1e-9)
    np.testing.assert_allclose(table["known_variances"] * df / (df - 2), expected["mse"], rtol=1e-9)
