"""One to three respondents in every area: the error of the pooled variance is in the intervals, in both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.survey.source_estimates import SourceEstimates

N, FREEDOM = 60, 12.0


def made(freedom: float | None) -> tuple[bs.AreaModel, bs.DirectEstimates]:
    """Areas that differ with sd 0.5, seen with variances of 0.3 to 1 that rest on so many degrees of freedom."""
    rng = np.random.default_rng(5)
    codes = [f"a{k:02}" for k in range(N)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "people": rng.integers(100, 5000, N)}), "code",
                                population="people")  # fmt: skip
    n = rng.integers(1, 4, (N, 2)).astype(float)
    variance = np.einsum("nd,de->nde", 1 / n, np.eye(2))
    mean = 5 + 0.5 * rng.normal(size=(N, 2)) + rng.normal(size=(N, 2)) / np.sqrt(n)
    source = SourceEstimates("made", 2024, areas.codes, mean, variance, n.astype("int64"), n, level="area",
                             pooled=None if freedom is None else np.array([freedom, 1e4]))  # fmt: skip
    return bs.AreaModel("1", [bs.IID("area")]), bs.DirectEstimates(("one", "other"), (source,), areas)


def test_only_few_degrees_of_freedom_count() -> None:
    model, data = made(FREEDOM)
    with_error = bs.fit(model, data, seed=1, progress=False)
    plugged_in = bs.fit(*made(None), seed=1, progress=False)
    omega = with_error.draws.hyper["omega"][1]
    assert (omega[..., 1] == 1).all()  # ten thousand: known
    assert 0.1 < omega[..., 0].std() < np.sqrt(2 / FREEDOM) * 1.5
    assert not np.allclose(
        with_error.draws.flat[..., 0].std(axis=0), plugged_in.draws.flat[..., 0].std(axis=0), rtol=0.02
    )
    # what follows a fit conditions on the factor too: the interval of an area that is left out holds it
    assert len(bs.left_out(with_error).table) == 2 * N
    assert "omega" in set(with_error.draws.hyperparameters()["name"])
    known = replace(data, sources=tuple(replace(s, pooled=np.full(2, 1e4)) for s in data.sources))
    np.testing.assert_array_equal(bs.fit(model, known, seed=1, progress=False).draws.eta, plugged_in.draws.eta)


@pytest.mark.nuts
def test_engines_agree_on_the_factor() -> None:
    model, data = made(FREEDOM)
    fast = bs.fit(model, data, seed=1, progress=False).draws
    slow = bs.fit(model, data, "nuts", 1, progress=False, chains=4, draws=1500, tune=1000).draws
    off = (fast.flat.mean(axis=0) - slow.flat.mean(axis=0)) / slow.flat.std(axis=0)
    assert np.abs(off).max() < 0.1
    assert np.sqrt((off**2).mean()) < 0.04  # 0.02 of Monte Carlo error of each
    ratio = fast.flat.std(axis=0) / slow.flat.std(axis=0)
    assert np.abs(ratio - 1).max() < 0.08  # 5%, and two Monte Carlo errors of single areas
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    one, two = (d.hyper["omega"][1][..., 0].ravel() for d in (fast, slow))
    assert abs(one.mean() - two.mean()) < 0.1 * two.std()
    assert one.std() == pytest.approx(two.std(), rel=0.08)
