"""Heavy tails: both engines say the same, and learn from data that have them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs

N = 100


@pytest.mark.nuts
def test_engines_agree_on_heavy_tails() -> None:
    """A path of areas with t3 effects, scale 0.6; both engines within their own Monte Carlo error of the bars.

    NUTS has 4,000 draws with an effective number of some thousand: a mean is known to 0.03 of its sd, an sd to 2%.
    """
    rng = np.random.default_rng(3)
    codes = [f"a{k:03}" for k in range(N)]
    variance = rng.uniform(0.02, 0.2, N)
    y = 5 + 0.6 * rng.standard_t(3, N) + rng.normal(0, np.sqrt(variance))
    table = pd.DataFrame({"code": codes, "people": rng.integers(100, 5000, N), "y": y, "v": variance})
    areas = bs.Areas.from_frame(table, "code", population="people")
    graph = bs.Graph.from_pairs(codes, list(pairwise(codes)))
    data = bs.DirectEstimates.from_frame(table.drop(index=range(10, 20)), y="y", variance="v", area="code", areas=areas)
    model = bs.AreaModel("1", [bs.BYM2(graph, tails=True)])
    fast = bs.fit(model, data, seed=1, progress=False).draws
    slow = bs.fit(model, data, "nuts", 1, progress=False, chains=4, draws=1000, tune=1000).draws
    # quantiles: with few degrees of freedom an area that was not seen has no variance
    low, middle, high = (
        np.array([np.quantile(d.flat[:, :, 0], p, axis=0) for d in (fast, slow)]) for p in (0.05, 0.5, 0.95)
    )
    width = high - low
    off = (middle[0] - middle[1]) / (width[1] / 3.29)
    assert np.abs(off).max() < 0.2  # 0.1, and three standard errors of a median of the sampler's
    assert np.sqrt((off**2).mean()) < 0.06
    assert np.abs(width[0] / width[1] - 1).max() < 0.15  # 5%, and three standard errors of single areas
    assert np.mean(width[0] / width[1]) == pytest.approx(1, abs=0.03)
    tails = [d.hyper["BYM2.tail"][1].ravel() for d in (fast, slow)]
    assert abs(tails[0].mean() - tails[1].mean()) < 0.15 * tails[1].std()
    assert min(t.mean() for t in tails) > 0.12  # of 1 / nu; a priori 0.08
