"""Variances modelled with the means: the Laplace approximation of the fast engine against NUTS."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import box

from buurtsae.areas.areas import Areas
from buurtsae.draws import convergence
from buurtsae.engines.base import fit
from buurtsae.model.priors import PC
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

SIDE, WITHIN, SPREAD = 10, 1.6, 0.6  # sd within buurten, and of its log between buurten

pytestmark = [pytest.mark.nuts, pytest.mark.slow, pytest.mark.xdist_group("engines")]


@pytest.fixture(scope="module")
def areas() -> Areas:
    """100 squares of 1 km."""
    index = pd.Index([f"BU0344{k // 10:02}{k % 10:02}" for k in range(SIDE**2)], name="area_code")
    squares = [
        box(1000 * (k % SIDE), 1000 * (k // SIDE), 1000 * (k % SIDE + 1), 1000 * (k // SIDE + 1)) for k in range(100)
    ]
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM0344", "population": 100}
    return Areas(gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992"), 2024)


@pytest.fixture(scope="module")
def observed(areas: Areas) -> DirectEstimates:
    """1 to 20 respondents in each buurt, whose variance differs from buurt to buurt."""
    rng = np.random.default_rng(5)
    x, y = np.arange(100) % SIDE, np.arange(100) // SIDE
    eta = 6 + 0.5 * np.sin(x / 2) + 0.4 * np.cos(y / 2) + rng.normal(0, 0.3, 100)
    sd = WITHIN * np.exp(0.5 * rng.normal(0, SPREAD, 100))
    area = np.repeat(np.arange(100), rng.integers(1, 21, 100))
    frame = pd.DataFrame({"area_code": areas.codes[area], "weight": 1.0, "stratum": "alle"})
    frame["participatie"] = eta[area] + rng.normal(size=len(area)) * sd[area]
    others = {d: np.nan for d in ("omgang_en_relaties", "plaatsidentiteit", "plaatsgeschiktheid")}
    names = ("omgang_en_relaties", "participatie", "plaatsidentiteit", "plaatsgeschiktheid")
    return direct(Scores(frame.assign(**others), "veiligheidsmonitor", 2024, names), areas)


def test_laplace_agrees_with_nuts(areas: Areas, observed: DirectEstimates) -> None:
    model = AreaModel("1", (BYM2(areas.graph()),), variances=PC(0.5, 0.05))
    slow = fit(model, observed, "nuts", 1, progress=False, tune=1000, draws=2000).draws
    fast = fit(model, observed, "laplace", 1, progress=False, draws=8000).draws
    certificate = fast.certificate
    assert certificate is not None
    assert certificate.khat < 0.7
    pairs = {"eta": (fast.eta, slow.eta), **{n: (fast.hyper[n][1], v) for n, (_, v) in slow.hyper.items()}}
    for name, (one, other) in pairs.items():
        one, other = (a.reshape(*a.shape[:2], -1) for a in (one, other))
        sd, ess = other.std(axis=(0, 1)), convergence(other)["ess_bulk"].to_numpy()
        size = 1 / (1 / ess + 1 / (8000 if name == "eta" else certificate.effective))
        # the tolerances at which engines must agree, and four Monte Carlo errors
        assert (np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))) / sd < 0.1 + 4 / np.sqrt(size)).all(), name
        assert (np.abs(one.std(axis=(0, 1)) / sd - 1) < 0.05 + 4 / np.sqrt(2 * size)).all(), name
    assert fast.factor is not None
    assert slow.factor is not None
    # posterior means of the factors: spread 0.3 to 2.5, each known to some 30%
    np.testing.assert_allclose(np.log(fast.factor), np.log(slow.factor), atol=0.1)


def test_intervals_follow_the_variance_of_the_buurt(areas: Areas, observed: DirectEstimates) -> None:
    known = AreaModel("1", (BYM2(areas.graph()),))
    joint = replace(known, variances=PC(0.5, 0.05))
    one, other = (fit(m, observed, "laplace", 1, progress=False, hyperparameters=300) for m in (known, joint))
    ratio = np.log(other.draws.flat.std(axis=0)[:, 0] / one.draws.flat.std(axis=0)[:, 0])
    assert other.draws.factor is not None
    factor = np.log(other.draws.factor[0, :, 0])
    # a posterior variance (1 / v + 1 / s^2)^-1 moves with the sampling variance v by its share 1 / (1 + v / s^2), half
    # here: log sd by a quarter of log v. The quarter of the buurten that vary most against the quarter that vary least:
    low, high = np.quantile(factor, [0.25, 0.75])
    found, moved = (x[factor > high].mean() - x[factor < low].mean() for x in (ratio, factor))
    assert moved > 0.5  # the data were made with a standard deviation of log variances of 0.6
    assert 0.1 < found / moved < 0.5
