"""Panels: what people who answered in two years do to the sampling error of a change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.engines.marginal import Marginal
from buurtsae.model.design import design
from buurtsae.runs.example import folder
from buurtsae.sparse import Floats
from buurtsae.survey.panels import definite
from buurtsae.survey.scales import Scores

N, PERSONS, STAYS = 400, 8, 0.7  # areas, respondents in each, correlation of a person's deviation over the years
CODES = pd.Index([f"a{k:03}" for k in range(N)])
AREAS = bs.Areas.from_frame(pd.DataFrame({"code": CODES, "population": 500}), code="code")
CHANGE = 0.3


def waves(
    share: float = 1.0, seed: int = 1, stays: float = STAYS, identified: bool = True
) -> tuple[list[Scores], Floats]:
    """Two waves of which that share of the persons is in both, and the true scores of areas and years (N, 2, 2)."""
    rng = np.random.default_rng(seed)
    truth = 5 + 0.5 * rng.standard_normal((N, 1, 2)) + np.array([0.0, CHANGE])[:, None]
    again = rng.uniform(size=N * PERSONS) < share
    lasting = rng.standard_normal((N * PERSONS, 2)) @ np.linalg.cholesky([[1.0, 0.4], [0.4, 1.0]]).T
    area, made = np.repeat(np.arange(N), PERSONS), []
    for t, year in enumerate((2020, 2022)):
        fresh = rng.standard_normal((2, N * PERSONS, 2)) @ np.linalg.cholesky([[1.0, 0.4], [0.4, 1.0]]).T
        stay = lasting if t == 0 else np.where(again[:, None], lasting, fresh[0])
        y = truth[area, t] + np.sqrt(stays) * stay + np.sqrt(1 - stays) * fresh[1]
        frame = pd.DataFrame({"area_code": CODES[area], "weight": 1.0, "stratum": "all", "x": y[:, 0], "y": y[:, 1]})
        if identified:
            person = np.arange(len(frame))
            frame["id"] = [f"p{k}" for k in (person if t == 0 else np.where(again, person, person + len(frame)))]
        made.append(Scores(frame.sample(frac=1, random_state=t), "monitor", year, ("x", "y"), level=AREAS.base))
    return made, truth


def test_the_variance_of_a_change_is_that_of_the_same_people() -> None:
    """Full overlap: errors of changes over 400 areas, whose variance is known to sqrt(2 / 400) = 7%."""
    scores, truth = waves()
    data = bs.direct(scores, AREAS)
    (panel,) = data.panels
    assert panel.persons == N * PERSONS
    np.testing.assert_allclose(panel.correlation, STAYS, atol=0.03)  # 2,800 degrees of freedom: 0.01 each
    assert any("answered in 2020 and in 2022" in str(note) for note in data.notes)
    first, second = data.sources
    error = (second.mean - first.mean) - (truth[:, 1] - truth[:, 0])
    v = [np.einsum("add->ad", source.variance) for source in data.sources]
    c = np.einsum("add->ad", panel.covariance)
    ratio = (error**2).sum(axis=0) / (v[0] + v[1] - 2 * c).sum(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.2)
    without = (error**2).sum(axis=0) / (v[0] + v[1]).sum(axis=0)
    np.testing.assert_allclose(without, 1 - STAYS, atol=0.08)  # more than three times too large a variance
    # between measures: the errors of x in one year and of y in the other
    cross = ((first.mean - truth[:, 0])[:, 0] * (second.mean - truth[:, 1])[:, 1]).mean()
    assert panel.covariance[:, 0, 1].mean() == pytest.approx(cross, abs=0.015)  # sd 1 / 8 / sqrt(400) = 0.006


def test_half_of_the_people_are_half_of_it() -> None:
    (whole,), (half,) = (bs.direct(waves(share)[0], AREAS).panels for share in (1.0, 0.5))
    found = [np.einsum("add->ad", panel.covariance).mean() for panel in (whole, half)]
    missing = 1 - len(half.codes) / N  # areas where nobody came back
    assert found[1] * (1 - missing) == pytest.approx(found[0] / 2, rel=0.08)
    np.testing.assert_allclose(half.correlation, STAYS, atol=0.06)


def test_without_the_same_people_there_is_none() -> None:
    scores = waves(0.0)[0]
    data, plain = bs.direct(scores, AREAS), bs.direct(waves(0.0, identified=False)[0], AREAS)
    assert data.panels == ()
    model = bs.AreaModel("1", [bs.IID("area")])
    arrays = [design(model, one.by_year()) for one in (data, plain)]
    np.testing.assert_array_equal(arrays[0].covariance, arrays[1].covariance)
    assert (arrays[0].covariance[..., :2, 2:] == 0).all()
    # numbers of rows, which are no persons, have no correlation; of a handful nothing is said
    rows = [replace(s, frame=s.frame.assign(id=[f"{a} {k % PERSONS}" for k, a in enumerate(s.frame["area_code"])]))
            for s in (replace(s, frame=s.frame.sort_values("area_code")) for s in waves(0.0)[0])]  # fmt: skip
    (panel,) = bs.direct(rows, AREAS).panels
    np.testing.assert_allclose(panel.correlation, 0.0, atol=0.06)  # 2,800 degrees of freedom: sd 0.02
    few = [replace(s, frame=s.frame.assign(id=s.frame["id"].where(np.arange(len(s.frame)) < 25))) for s in waves()[0]]
    assert bs.direct(few, AREAS).panels == ()


def test_the_fit_knows_it() -> None:
    """Of two years whose scores are known to be free, the posterior of a change by matrices, with and without."""
    data = bs.direct(waves()[0], AREAS).by_year()
    model = bs.AreaModel("1", [bs.IID("area")])
    marginal = Marginal.of(design(model, data))
    arrays = marginal.design
    assert arrays.sources == ("monitor",)
    assert (np.linalg.eigvalsh(arrays.covariance[0]) > 0).all()
    hyper = marginal.scores.hyper(0.3 * np.ones(marginal.size))
    hyper = replace(hyper, values={name: value[..., :] for name, value in hyper.values.items()})
    roots = hyper.values["area.sigma"][:, :, None] * hyper.values["area.R"]
    own = np.zeros((4, 4))
    own[:2, :2], own[2:, 2:] = (root @ root.T for root in roots)
    found = marginal.conditional(hyper, hyper.factor)
    level = np.zeros((4 * N, 4))
    level[np.arange(4 * N), np.tile(np.arange(4), N)] = 1.0
    prior = np.kron(np.eye(N), own) + 4.0 * level @ level.T  # intercept: Normal(5, 2)
    noise = np.zeros((4 * N, 4 * N))
    for a in range(N):
        noise[4 * a : 4 * a + 4, 4 * a : 4 * a + 4] = arrays.covariance[0, a]
    gain = np.linalg.solve(prior + noise, prior)
    off = (arrays.y[0] - 5).ravel()
    np.testing.assert_allclose(found.mean, (5 + gain.T @ off).reshape(N, 4), atol=1e-8)
    sd = np.sqrt(np.diag(prior - prior @ gain)).reshape(N, 4)
    np.testing.assert_allclose(found.sd, sd, rtol=1e-8)
    total = prior + noise
    log = -0.5 * (4 * N * np.log(2 * np.pi) + np.linalg.slogdet(total)[1] + off @ np.linalg.solve(total, off))
    assert found.log_likelihood == pytest.approx(log, abs=1e-7)  # of a sum of 1,600


def test_covariances_are_always_definite() -> None:
    # the same answers in both years: the covariance would be that of one year, and V singular
    first = waves()[0][0]
    data = bs.direct([first, replace(first, year=2022)], AREAS).by_year()
    covariance = design(bs.AreaModel("1", [bs.IID("area")]), data).covariance[0]
    correlation = covariance[:, 0, 2] / np.sqrt(covariance[:, 0, 0] * covariance[:, 2, 2])
    assert 0.98 < correlation.min() <= correlation.max() < 0.9999
    assert np.linalg.eigvalsh(covariance).min() > 1e-5  # of variances of 0.12
    # three years that cannot go together as stated
    v = np.array(
        [[[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0, 1]]]
    )
    made = definite(v, 3)
    assert np.linalg.eigvalsh(made[0]).min() > 0
    np.testing.assert_array_equal(np.einsum("nww->nw", made), np.einsum("nww->nw", v))
    np.testing.assert_array_equal(made[1], v[1])  # as it was, where nothing was observed too


def test_identifiers_are_kept_when_they_are_named(tmp_path: object) -> None:
    path = folder() / "enquete_veiligheidsmonitor.csv"
    frame = pd.read_csv(path)
    frame["nummer"] = np.arange(len(frame)) + 7
    out = f"{tmp_path}/enquete.csv"
    frame.to_csv(out, index=False)
    survey = bs.Survey.read(out, "veiligheidsmonitor", 2024, id="nummer")
    assert bs.Concept.load().score(survey).frame["id"].iloc[0] == "7"
    assert "id" not in bs.Survey.read(out, "veiligheidsmonitor", 2024).frame
