"""Models of persons against R's hbsae 1.2: nested error models of a number, with means of finite populations.

    fSAE(y0 ~ x + area2, data = sam, area = "area", popdata = Xpop, method = "HB")
    fSAE(CornHec ~ CornPix + SoyBeansPix, data = cornsoybean[-33, ], area = "County", popdata = Xp, method = "HB")

The mean of an area is f ybar + (1 - f) (eta at the mean of who did not answer + their mean residual). Of these there is
a cell of residents per area: a line's value is that at its mean. Cases: `unit_REML`, `unit_hybrid`, `unit_synthetic`,
`unit_survreg` and `unit_corn_no33_REML` have one ratio of variances, at which the engine is exact; `unit_HB` and
`unit_corn_no33_HB` integrate over it, with a prior that is improper (flat on lambda = sigma_v^2 / sigma_e^2 and on log
sigma_e^2), so that no `Prior` is it: the engine's log p(y | sigma) is integrated here with that prior. `survreg_direct`
is `unit_survreg` without the area where nobody was asked (`test_nested_error_sae.py`); cases of `bench` and `aggr` are
in `test_hbsae.py`, of areas in `test_fay_herriot_r.py` and `test_spatial_classic.py`: no models of persons.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from persons_table import score, table

import buurtsae as bs
from buurtsae.engines.persons import Found, PersonMarginal
from buurtsae.model.persons.answer import Number

pytestmark = pytest.mark.national
FREE = bs.Normal(0.0, 1e6)
SD = bs.PC(50.0, 0.5)  # only for its scale: priors of standard deviations are no part of log p(y | sigma)


@dataclass(frozen=True)
class Nested:
    """A nested error model on data; of areas the share of respondents, their mean, and the number of others."""

    m: PersonMarginal
    lines: list[str]
    f: np.ndarray
    ybar: np.ndarray
    others: np.ndarray
    at: np.ndarray  # level of each line of these others

    def given(self, sigma_v: float, sigma_e: float) -> tuple[Found, np.ndarray, np.ndarray]:
        """The model at standard deviations, and means and variances of areas."""
        found = self.m.solve(np.array([score(SD, sigma_v), score(SD, sigma_e)]))
        e, f = found.conditional.mean[:, 0], found.hyper.r @ found.conditional.alpha
        of_area, mixed, own = found.covariances
        eta, variance = e.copy(), of_area.copy()
        for k in self.at.T:
            eta += f[k]
            variance += 2 * mixed[np.arange(len(e)), k]
            for other in self.at.T:
                variance += own[k, other]
        mean = self.f * self.ybar + (1 - self.f) * eta
        return found, mean, (1 - self.f) ** 2 * (variance + sigma_e**2 / self.others)


def nested(
    frame: pd.DataFrame, totals: pd.DataFrame, area: str, y: str, lines: list[str], of_areas: tuple[str, ...] = ()
) -> Nested:
    """Lay the model on a sample and, per area, population totals with N in the column `N`."""
    groups = frame.groupby(area)
    n = groups.size().reindex(totals.index, fill_value=0)
    others = (totals["N"] - n).to_numpy(dtype=float)
    rest = totals[lines].sub(groups[lines].sum().reindex(totals.index, fill_value=0)).div(others, axis=0)
    more = rest.assign(**{area: totals.index}, **{name: totals[name] for name in of_areas})
    data = table(frame, area, lines, 1.0, np.column_stack([frame[y], frame[y] ** 2]), more, of_areas)
    model = bs.UnitModel(
        " + ".join(["1", *(f"C({name})" for name in of_areas)]), terms=[bs.IID("area", sd=SD)],
        persons=[bs.Linear(name, slope=FREE) for name in lines], outcome=Number(bs.Gaussian(), SD),
        intercept=FREE, coefficient=FREE,
    )  # fmt: skip
    m = data.marginal(model)
    order = totals.index.astype(str).get_indexer(list(m.design.areas))
    labels = [pd.Index(np.array(data.characteristics[name], dtype=float)) for name in lines]
    at = np.stack([values.get_indexer(rest[name]) for values, name in zip(labels, lines, strict=True)], axis=1)
    at = at + m.stacked.starts[:-1]
    ybar = groups[y].mean().reindex(totals.index).fillna(0.0).to_numpy()
    return Nested(m, lines, *(part[order] for part in ((n / totals["N"]).to_numpy(), ybar, others, at)))


@pytest.fixture(scope="module")
def classic(shared: Path) -> Path:
    return shared / "golden" / "classic"


@pytest.fixture(scope="module")
def expected(classic: Path) -> dict[str, Any]:
    cases = json.loads((classic / "hbsae.json").read_text(encoding="utf-8"))["cases"]
    return {case["name"].removeprefix("hbsae_unit_"): case["expected"] for case in cases}


@pytest.fixture(scope="module")
def models(classic: Path) -> dict[str, Nested]:
    data = classic / "data"
    sample = pd.read_csv(data / "hbsae_fake_sample.csv", encoding="utf-8")
    totals = pd.read_csv(data / "hbsae_fake_poptotals.csv", encoding="utf-8", index_col="area")
    groups = totals[[f"area2{k}" for k in range(2, 6)]].to_numpy() > 0
    totals = totals.assign(N=totals["(Intercept)"], area2=np.where(groups.any(axis=1), groups.argmax(axis=1) + 2, 1))
    corn = pd.read_csv(data / "sae_cornsoybean.csv", encoding="utf-8").drop(index=32)
    means = pd.read_csv(data / "sae_cornsoybeanmeans.csv", encoding="utf-8", index_col="CountyIndex")
    segments = means["PopnSegments"]
    lines = ["CornPix", "SoyBeansPix"]
    counties = pd.DataFrame({name: means[f"Mean{name}PerSeg"] * segments for name in lines}).assign(N=segments)
    return {
        "fake": nested(sample, totals, "area", "y0", ["x"], ("area2",)),
        "corn": nested(corn, counties, "County", "CornHec", lines),
    }


def in_order(m: PersonMarginal, case: dict[str, Any], name: str) -> np.ndarray:
    """What a case expects, in the order of our areas."""
    return pd.Series(case[name], index=case["area"])[list(m.design.areas)].to_numpy()


@pytest.mark.parametrize("name", ["REML", "hybrid", "synthetic", "survreg", "corn_no33_REML"])
def test_a_nested_error_model_at_its_variances(models: dict[str, Nested], expected: dict[str, Any], name: str) -> None:
    case, model = expected[name], models["corn" if "corn" in name else "fake"]
    # survreg is the limit of a large ratio of variances: its weights of direct estimates are those of a ratio of 1,000
    sigma_e = np.sqrt(case["se2"])
    sigma_v = np.sqrt(1000 * case["se2"] if case["sv2"] is None else case["sv2"])
    found, mean, variance = model.given(sigma_v, sigma_e)
    m = model.m
    # coefficients are N(0, 1e12) here and flat there: a pull by the square of their standard error, 965 at most in
    # survreg and 25 in the others, over 1e6
    close = 1e-6 if name == "survreg" else 2e-8
    np.testing.assert_allclose(mean, in_order(m, case, "est"), rtol=close)
    np.testing.assert_allclose(variance, in_order(m, case, "mse"), rtol=close)
    of_line = dict(zip(case["coef_names"], case["coef"], strict=True))
    for k, line in enumerate(model.lines):
        x = np.array([float(label) for label in m.stacked.effects[k].levels])
        assert FREE.sd * found.conditional.alpha[k] / x.std() == pytest.approx(of_line[line], rel=close)
    level = found.conditional.mean[:, 0] - m.offset - m.field.x @ found.conditional.border[: m.field.x.shape[1]]
    effects = pd.Series(case["raneff"], index=case["raneff_area"])[list(m.design.areas)].to_numpy()
    np.testing.assert_allclose(level, effects, atol=500 * close)  # as coefficients, of up to 190, are pulled


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HB", "corn_no33_HB"])
def test_variances_are_integrated_over(models: dict[str, Nested], expected: dict[str, Any], name: str) -> None:
    """By the trapezoid rule over log lambda and log sigma_e^2, which converges exponentially on such integrands."""
    case, corn = expected[name], "corn" in name
    told = {**case, **case.get("tight", {"lambda_mean": case["lambda"]})}  # a quadrature to all digits, where there is
    model = models["corn" if corn else "fake"]
    ratio, width = (np.linspace(-14, 14, 113), 2.0) if corn else (np.linspace(-6, 2, 33), 0.35)
    log_ratio, log_e = (
        part.ravel() for part in np.meshgrid(ratio, np.log(case["se2"]) + np.linspace(-width, width, 19))
    )
    height, means, variances = [], [], []
    for one, other in zip(log_ratio, log_e, strict=True):
        found, mean, variance = model.given(np.exp((one + other) / 2), np.exp(other / 2))
        height.append(found.log_likelihood + one)  # d lambda = lambda d log lambda
        means.append(mean)
        variances.append(variance)
    weight = np.exp(np.array(height) - max(height))
    weight /= weight.sum()
    est = weight @ np.array(means)
    mse = weight @ (np.array(variances) + (np.array(means) - est) ** 2)
    # of corn R's own integrals are those of `integrate`, to 1e-7 of a variance
    assert weight @ np.exp(log_ratio) == pytest.approx(told["lambda_mean"], rel=3e-8)
    np.testing.assert_allclose(est, in_order(model.m, told, "est"), rtol=3e-8)
    np.testing.assert_allclose(mse, in_order(model.m, told, "mse"), rtol=2e-7 if corn else 1e-8)
