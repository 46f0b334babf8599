"""The evidence for a run: its keys, the gate at its thresholds, and every figure against its definition."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import (
    CHAINS,
    DRAWS,
    HIDDEN,
    LEVEL,
    OFFSET,
    SLOPE,
    SUBDIMENSIONS,
    UNKNOWN_X,
    Made,
    exact,
    made_fit,
    prior_covariance,
)
from scipy import stats

from buurtsae.console import print_summary
from buurtsae.estimates.evidence import residuals
from buurtsae.estimates.evidence.crossvalidation import left_out
from buurtsae.estimates.evidence.described import sources
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.evidence.quality import _predictive, quality
from buurtsae.estimates.evidence.residuals import predictions
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.model.design import design
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Alarm, Note

PARTICIPATIE = "participatie"


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(made.fit)


@pytest.fixture(scope="module")
def report(est: Estimates) -> dict[str, Any]:
    return quality(est, run={"run_id": "proef"})


def test_keys_and_plain_values(report: dict[str, Any]) -> None:
    assert list(report) == [
        *("run", "gate", "checks", "alarms", "convergence", "hyperparameters", "priors", "predictive", "left_out"),
        *("density", "comparison"),
        *("agreement", "gain", "classical", "benchmarks", "moran", "residuals"),
        *(
            "areas",
            "graph",
            "sources",
            "scales",
            "variances",
            "contributions",
            "covariates",
            "explained",
            "sensitivity",
            "nonresponse",
            "labels",
            "model",
            "notes",
        ),
    ]
    assert json.loads(json.dumps(report, allow_nan=False)) == report  # ready for JSON
    said = {"engine": "exact", "seed": 1, "spatial": True, "estimand": "expected", "run_id": "proef"}
    assert report["run"] == said


def test_other_weights_are_shown_when_asked_for(est: Estimates, report: dict[str, Any]) -> None:
    assert report["sensitivity"] == []
    rows = quality(est, weights=True)["sensitivity"]
    assert {r["alternative"] for r in rows} == {f"{n} x 2" for n in est.measures[:-1]}
    assert all(r["areas"] == 24 - len(HIDDEN) for r in rows)


def test_convergence_is_that_of_the_table(est: Estimates, report: dict[str, Any]) -> None:
    found = report["convergence"]
    assert (found["chains"], found["draws"], found["quantities"]) == (CHAINS, DRAWS, 37 * 7)
    assert found["rhat_max"] == est.convergence["rhat"].max()
    assert found["ess_bulk_min"] == est.convergence["ess_bulk"].min()
    assert found["ess_tail_min"] == est.convergence["ess_tail"].min()
    assert tuple(found["worst"].split()) == est.convergence["rhat"].idxmax()


@pytest.mark.slow
def test_the_gate_at_its_thresholds(est: Estimates, report: dict[str, Any]) -> None:
    assert report["gate"]["passed"]
    value = {c["id"]: c["value"] for c in report["gate"]["checks"]}
    at = Gate(value["rhat_max"], value["ess_bulk_min"], 0, false_alarm=value["checks"])
    assert quality(est, at)["gate"]["passed"]  # a threshold that is just met is met
    for gate, failed in (
        (replace(at, rhat_max=value["rhat_max"] - 1e-9), "rhat_max"),
        (replace(at, ess_bulk_min=value["ess_bulk_min"] + 1e-6), "ess_bulk_min"),
        (replace(at, false_alarm=value["checks"] + 1e-9), "checks"),
    ):
        found = quality(est, gate)["gate"]
        assert not found["passed"]
        assert [c["id"] for c in found["checks"] if not c["passed"]] == [failed]


def test_one_divergence_fails_the_gate(est: Estimates) -> None:
    one = replace(est, fit=replace(est.fit, draws=replace(est.fit.draws, divergences=1)))
    assert [c["id"] for c in quality(one)["gate"]["checks"] if not c["passed"]] == ["divergences"]
    assert quality(one, Gate(max_divergences=1))["gate"]["passed"]


def test_hyperparameters_with_their_priors(est: Estimates, report: dict[str, Any]) -> None:
    model: AreaModel = est.fit.model
    prior = {(h["name"], h["measure"]): h["prior"] for h in report["hyperparameters"]}
    assert prior["beta", f"Intercept - {PARTICIPATIE}"] == str(model.intercept)
    assert prior["beta", f"groen - {PARTICIPATIE}"] == str(model.coefficient)
    said = f"{model.terms[0].sd} for the common one; per measure times LogNormal(0, sd 0.25)"
    assert prior["BYM2.sigma", PARTICIPATIE] == said
    assert len(prior) == 8 + 4  # phi, alpha and lambda are known here


def predictive_by_hand(made: Made, s: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Exact mean and variance of the prediction, the direct estimates and their variances."""
    source, arrays = made.fit.direct.sources[s], made.fit.design
    seen = np.isfinite(source.mean[:, d])
    row = made.fit.areas.codes.get_indexer(source.codes[seen])
    slope = 0.8 if arrays.linked[s, d] else 1.0  # made_fit: the second source is 1.5 + 0.8 eta
    mean = slope * made.mean[row, d] + (1.5 if arrays.linked[s, d] else 0.0)
    return mean, slope**2 * made.variance[row, d], source.mean[seen, d], source.variance[seen, d, d]


def test_predictive_checks_by_hand(made: Made, report: dict[str, Any]) -> None:
    pairs = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    assert [(p["source"], p["measure"]) for p in report["predictive"]] == [
        (made.fit.direct.sources[s].source, SUBDIMENSIONS[d]) for s, d in pairs
    ]
    for (s, d), found in zip(pairs, report["predictive"], strict=True):
        mean, variance, y, v = predictive_by_hand(made, s, d)
        drawn, seen, sampling = predictions(made.fit, s, d)
        np.testing.assert_array_equal(seen, y)
        np.testing.assert_array_equal(sampling, np.broadcast_to(v, drawn.shape))  # nothing extra: the draws have tau 0
        assert (abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / (CHAINS * DRAWS))).all()
        source = made.fit.direct.sources[s]
        kept = ~source.codes[np.isfinite(source.mean[:, d])].isin(HIDDEN)
        mean, variance, y, v = (part[kept] for part in (mean, variance, y, v))
        assert found["areas"] == len(y)
        # 2,000 draws: a mean of some 20 terms, each with a Monte Carlo error of at most 5 percent
        assert found["chi2_per_area"] == pytest.approx((((y - mean) ** 2 + variance) / v).mean(), rel=0.05)
        inside = abs(y - mean) <= 1.96 * np.sqrt(variance + v)
        assert found["coverage_95"] == pytest.approx(inside.mean(), abs=1 / len(y) + 1e-12)  # one on the edge


def test_chi2_is_one_and_coverage_above_95_where_the_model_holds() -> None:
    r"""Over replications: (y - eta)^2 / V has posterior mean 1; the data were used, so that coverage is above 95%.

    y - E[eta | y] has variance V - P and the interval V + P, P the posterior variance: expected coverage is
    2 Phi(1.96 sqrt((V + P) / (V - P))) - 1.
    """
    first = made_fit((PARTICIPATIE,), sources=1, seed=3)
    estimates, arrays, rng = first.fit.direct, first.fit.design, np.random.default_rng(4)
    source = estimates.sources[0]
    row = first.fit.areas.codes.get_indexer(source.codes)
    v, p = source.variance[:, 0, 0], first.variance[row, 0]
    chi2, coverage, repeats = [], [], 40
    prior = np.linalg.cholesky(prior_covariance(first.fit.model, 1, arrays.known))
    for _ in range(repeats):
        eta = LEVEL + prior @ rng.normal(size=25)
        y = eta[row] + rng.normal(size=len(row)) * np.sqrt(v)
        new = replace(estimates, sources=(replace(source, mean=y[:, None]),))
        observed = arrays.y.copy()
        observed[0, row, 0] = y
        fit = exact(replace(arrays, y=observed), new, first.fit.areas, rng).fit
        drawn = predictions(fit, 0, 0)[0][::2]
        replicate = drawn + rng.normal(size=drawn.shape) * np.sqrt(v)
        lower, upper = np.quantile(replicate, [0.025, 0.975], axis=0)
        chi2.append(((y - drawn) ** 2 / v).mean())
        coverage.append(((lower <= y) & (y <= upper)).mean())
    expected = (2 * stats.norm.cdf(1.96 * np.sqrt((v + p) / (v - p))) - 1).mean()
    assert expected > 0.97
    # means of 40 replications: four standard errors as observed
    assert np.mean(chi2) == pytest.approx(1, abs=4 * np.std(chi2) / np.sqrt(repeats))
    assert np.std(chi2) / np.sqrt(repeats) < 0.04
    assert np.mean(coverage) == pytest.approx(expected, abs=4 * np.std(coverage) / np.sqrt(repeats) + 0.002)


def test_variances_that_are_too_small_show(est: Estimates) -> None:
    small = tuple(replace(s, variance=s.variance / 20) for s in est.fit.direct.sources)
    direct = replace(est.fit.direct, sources=small)
    wrong = replace(est, fit=replace(est.fit, direct=direct, design=design(est.fit.model, direct)))
    found = quality(wrong)
    assert max(p["chi2_per_area"] for p in found["predictive"]) > 5


def test_variances_before_and_after_smoothing(made: Made, report: dict[str, Any]) -> None:
    first = report["variances"][0]
    source = made.fit.direct.sources[0]
    assert (first["source"], first["measure"], first["areas"]) == ("veiligheidsmonitor", SUBDIMENSIONS[0], 21)
    assert source.given is not None
    before, after = source.given[:, 0, 0], source.variance[:, 0, 0]
    assert first["without_variance"] == (before == 0).sum() == 1  # one buurt has one respondent
    seen = before > 0
    # rounded: in all its digits a median is the standard error of one buurt
    assert first["se_before"] == pytest.approx(np.sqrt(np.median(before[seen])), abs=0.005)
    assert first["se_after"] == pytest.approx(np.sqrt(np.median(after)), abs=0.005)
    low, high = np.quantile(np.sqrt(after[seen] / before[seen]), [0.1, 0.9])
    assert (first["ratio_low"], first["ratio_high"]) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_covariates_come_with_their_provenance(report: dict[str, Any]) -> None:
    (groen,) = report["covariates"]
    assert (groen["covariate"], groen["source"], groen["imputed"]) == ("groen", "unknown", 1)


def moran(z: np.ndarray, edges: np.ndarray) -> float:
    """I = sum_i z_i (mean of z over i's neighbours) / sum_i z_i^2: weights in rows that sum to 1."""
    z = z - z.mean()
    adjacent = np.zeros((len(z), len(z)))
    adjacent[tuple(np.vstack([edges, edges[:, ::-1]]).T)] = 1
    return float(z @ (adjacent @ z / adjacent.sum(axis=1)) / (z @ z))


def test_moran_of_the_residuals_by_hand(made: Made, report: dict[str, Any]) -> None:
    graph = made.fit.areas.graph()
    for d, found in enumerate(report["moran"]):
        assert found["measure"] == SUBDIMENSIONS[d]
        source = made.fit.direct.sources[0]
        seen = np.isfinite(source.mean[:, d])
        drawn, y, v = predictions(made.fit, 0, d)
        residual = np.full(25, np.nan)
        residual[made.fit.areas.codes.get_indexer(source.codes[seen])] = (y - drawn.mean(axis=0)) / np.sqrt(v[0])
        residual[made.fit.areas.codes.isin(HIDDEN)] = np.nan
        edges = graph.edges[np.isfinite(residual[graph.edges]).all(axis=1)]
        linked = np.unique(edges)  # the island has no neighbour
        expected = moran(residual[linked], np.searchsorted(linked, edges))
        assert found["I"] == pytest.approx(expected, rel=1e-10)
        assert found["p"] > 0.001  # fixed seed; the model holds


def test_moran_sees_a_pattern(made: Made) -> None:
    """A gradient from west to east in the direct estimates, of which the draws know nothing."""
    source = made.fit.direct.sources[0]
    x = made.fit.areas.frame.geometry.centroid.x
    gradient = 6 + (x[source.codes] - x.mean()).to_numpy()[:, None] / 1000 * np.where(
        np.isfinite(source.mean), 1, np.nan
    )
    pattern = replace(made.fit.direct, sources=(replace(source, mean=gradient), *made.fit.direct.sources[1:]))
    flat = replace(made.fit.draws, eta=6 + 0.1 * np.random.default_rng(5).normal(size=made.fit.draws.eta.shape))
    found = quality(estimate(replace(made.fit, direct=pattern, draws=flat)))["moran"]
    assert [m["measure"] for m in found] == list(SUBDIMENSIONS)
    assert all(m["I"] > 0.4 and m["p"] < 1e-4 for m in found)


def test_without_a_graph_there_is_no_moran(est: Estimates) -> None:
    bare = replace(est, fit=replace(est.fit, design=replace(est.fit.design, model=AreaModel(), effects=())))
    bare = replace(
        bare,
        fit=replace(
            bare.fit,
            draws=replace(
                bare.fit.draws,
                hyper={k: h for k, h in bare.fit.draws.hyper.items() if k in ("beta", "alpha", "lambda", "tau")},
            ),
        ),
    )
    found = quality(bare)
    assert found["moran"] == []
    assert found["graph"] == {}


def test_comparison_with_the_gemeenten(est: Estimates, report: dict[str, Any]) -> None:
    assert {(c["area_code"], c["measure"]) for c in report["comparison"]} == {
        (g, m) for g in ("GM0344", "GM0355", "GM0400") for m in est.measures
    }
    rows = est.compared[est.compared["level"] == "gemeente"].set_index(["area_code", "measure"])
    for c in report["comparison"]:
        row = rows.loc[(c["area_code"], c["measure"])]
        assert (c["direct"], c["direct_se"]) == (round(c["direct"], 2), round(c["direct_se"], 2))  # as published
        assert c["difference"] == pytest.approx(row["direct"] - row["estimate"], rel=1e-12)
        variance = row["direct_se"] ** 2 - row["sd"] ** 2  # both rest on the same respondents
        assert (c["z"] is None) == (variance <= 0)
        if variance > 0:
            assert c["z"] == pytest.approx(c["difference"] / np.sqrt(variance), rel=1e-12)
    assert any(c["z"] is not None for c in report["comparison"])


def test_sources_labels_and_notes(est: Estimates, report: dict[str, Any]) -> None:
    vm, bp = report["sources"]
    frame = est.fit.direct.scores[0].frame
    assert (vm["source"], vm["year"], vm["respondents"]) == ("veiligheidsmonitor", 2022, len(frame))
    assert (vm["level"], vm["areas"]) == ("buurt", 21)
    assert vm["without_answer"] == {d: int(frame[d].isna().sum()) for d in SUBDIMENSIONS}
    assert list(bp["without_answer"]) == list(SUBDIMENSIONS[:2])
    assert sum(report["labels"]["buurt"].values()) == 24 * 7
    assert report["labels"]["buurt"]["niet_publiceren"] == 7 * len(HIDDEN)
    notes = [note for note in report["notes"] if "groen" in note]
    assert len(notes) == 1, report["notes"]
    (note,) = notes
    assert note.startswith("covariate groen is missing in 1 areas and predicted there from what else is known")
    assert note.endswith(UNKNOWN_X)
    assert report["graph"]["components"] == [24]
    assert report["model"] == str(est.fit.model)


def test_sources_without_respondents(est: Estimates) -> None:
    table = replace(est.fit.direct, scores=())
    found = quality(replace(est, fit=replace(est.fit, direct=table)))["sources"]
    assert found[0]["respondents"] == est.fit.direct.sources[0].respondents.max(axis=1).sum()
    assert found[0]["notes"] == ["direct estimates given at area level"]


def test_a_source_per_wijk_is_predicted_at_its_wijken() -> None:
    made = made_fit(wijk=True)
    fit = made.fit
    source, frame = fit.direct.sources[1], fit.areas.frame
    drawn, y, v = predictions(fit, 1, 0)
    assert drawn.shape == (CHAINS * DRAWS, len(source.codes))
    for k, code in enumerate(source.codes):
        own = (frame["wijk"] == code).to_numpy()
        mean = np.average(fit.draws.flat[:, own, 0], axis=1, weights=frame["population"][own])
        np.testing.assert_allclose(drawn[:, k], OFFSET + SLOPE * mean, rtol=1e-12)  # the link of made_fit
        assert y[k] == source.mean[k, 0]
        np.testing.assert_array_equal(v[:, k], source.variance[k, 0, 0])  # made_fit's tau is 0
    second = [p for p in _predictive(estimate(fit)) if p["source"] == "burgerpeiling"]
    assert [p["areas"] for p in second] == [7, 7]
    entry = sources(estimate(fit))[1]
    assert (entry["level"], entry["areas"], entry["respondents"]) == ("wijk", 7, len(fit.direct.scores[1].frame))


def test_predictions_at_wijken_have_the_factor_of_their_variance() -> None:
    fit = made_fit(wijk=True).fit
    factor = np.arange(1.0, 1 + fit.design.y.size).reshape(fit.design.y.shape)
    _, _, v = predictions(replace(fit, draws=replace(fit.draws, factor=factor)), 1, 1)
    np.testing.assert_allclose(v[0], factor[1, 25:, 1] * fit.direct.sources[1].variance[:, 1, 1])


def test_moran_is_of_references_known_per_buurt() -> None:
    fit = made_fit(wijk=True).fit
    assert [m["measure"] for m in residuals.moran(fit)] == list(SUBDIMENSIONS)
    first, second = fit.direct.sources
    rest = replace(first, mean=np.where([False, True, True, True], first.mean, np.nan))
    direct = replace(fit.direct, sources=(rest, second))  # the first sub-dimension is known per wijk only
    alone = exact(design(fit.model, direct), direct, fit.areas, np.random.default_rng(1)).fit
    assert [m["measure"] for m in residuals.moran(alone)] == list(SUBDIMENSIONS[1:])


def test_what_is_left_out_is_predicted(est: Estimates, report: dict[str, Any]) -> None:
    rows = pd.DataFrame(report["left_out"])
    assert set(rows["left_out"]) == {"buurt", "gemeente"}
    out = left_out(est.fit)
    assert rows.loc[rows["left_out"] == "buurt", "figures"].sum() == (~out.table["area_code"].isin(HIDDEN)).sum()


def test_inputs_that_cannot_be_right_fail_the_gate(est: Estimates) -> None:
    alarm = Alarm("the weights are the whole numbers", "de gewichten zijn de hele getallen").under("enquete")
    direct = replace(est.fit.direct, notes=(*est.fit.direct.notes, alarm, Note("something else", "iets anders")))
    spoilt = replace(est, fit=replace(est.fit, direct=direct))
    scales = [{"source": "enquete", "scale": name, "reversed": turned} for name, turned in (("a", ["q3"]), ("b", []))]
    found = quality(spoilt, scales=scales)
    assert [(note, note.nl.split()[0]) for note in found["alarms"]] == [
        ("enquete: the weights are the whole numbers", "enquete:"),
        ("enquete: item q3 runs against the others of its scale and looks reversed", "enquete:"),
    ]
    assert [(c["id"], c["value"]) for c in found["gate"]["checks"] if not c["passed"]] == [("alarms", 2)]
    assert quality(spoilt, Gate(max_alarms=2), scales=scales)["gate"]["passed"]


def test_the_command_line_says_that_checks_were_not_made(
    est: Estimates, report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    unmade = Note("the checks were not made", "de toetsen zijn niet gedaan")
    for why, says in ((None, False), (unmade, True)):
        gate = report["gate"] | {"unmade": why}
        outcome: Any = SimpleNamespace(estimates=est, quality=report | {"gate": gate}, folder=Path("uit"))
        print_summary(outcome)
        assert ("NIET GEDAAN de toetsen zijn niet gedaan" in capsys.readouterr().out) is says


def test_thresholds_are_read_without_the_evidence() -> None:
    """A run file has thresholds: nothing that computes evidence is imported for them."""
    code = "import sys, buurtsae.runs.runfile; print([m for m in sys.modules if '.evidence.' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "evidence.gate" in found
    assert not any(f"evidence.{name}'" in found for name in ("quality", "leftover", "checks", "described", "influence"))
