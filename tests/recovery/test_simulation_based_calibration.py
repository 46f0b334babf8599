r"""Simulation-based calibration of the fast engine (Talts et al. 2018; Cook, Gelman and Rubin 2006), in four steps.

1. Draw hyperparameters, coefficients and scores from the priors of the model.
2. Draw direct estimates from the model given these.
3. Fit.
4. Rank each true value among the draws. If all that is computed is right, ranks are uniform, whatever the model.

The graph has 60 areas, one of them an island; ten areas are not observed. Once it is cut in two besides: parts of 36
and 23 areas, with levels. Once unstructured effects have heavy tails, once there is a theme of twelve covariates, and
once sampling variances rest on 20 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import box
from uniform import check_uniform

from buurtsae.areas.areas import Areas
from buurtsae.engines import laplace
from buurtsae.engines.hyper import NormalScores
from buurtsae.model.design import Design, design
from buurtsae.model.priors import PC, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, Ridge
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

N, ACROSS, DRAWS = 60, 10, 200
MEASURES = ("omgang_en_relaties", "participatie")
THEME = tuple(f"kenmerk_{k}" for k in range(12))
OWN = ("BYM2.sigma", "BYM2.phi", "BYM2.gamma")


def made_design(n_dims: int, kind: str = "") -> Design:
    """60 squares, the last one far away, with one covariate; estimates of 50 of them, whose values are replaced."""
    rng = np.random.default_rng(1)
    x, y = 1000.0 * (np.arange(N) % ACROSS), 1000.0 * (np.arange(N) // ACROSS)
    x[x >= 6000] += 9000 * (kind == "cut")
    x[-1] = 50_000
    index = pd.Index([f"BU034400{k:02}" for k in range(N)], name="area_code")
    columns = {"name": index, "wijk": "WK034400", "gemeente": "GM0344", "groen": rng.normal(size=N)}
    columns |= {name: rng.normal(size=N) for name in THEME} if kind == "theme" else {}
    columns["population"] = rng.permutation(np.geomspace(50, 8000, N)).astype(int)
    frame = gpd.GeoDataFrame(columns, index=index, geometry=box(x, y, x + 1000, y + 1000), crs="EPSG:28992")
    areas = Areas(frame, 2024)
    seen = np.sort(rng.permutation(N)[:50])
    n = rng.integers(1, 30, 50)[:, None] * np.ones((1, n_dims))
    within = 1.5 * (0.6 * np.eye(n_dims) + 0.4)
    source = SourceEstimates(
        "made", 2024, index[seen], np.full((50, n_dims), 6.0), within / n[:, :1, None], n.astype("int64"), n,
        pooled=np.full(n_dims, 20.0) if kind == "few" else None,
    )  # fmt: skip
    term = BYM2(areas.graph(), sd=PC(1.5, 0.05), tails=kind == "tails")
    theme = (Ridge("theme", THEME, sd=PC(0.5, 0.05)),) if kind == "theme" else ()
    model = AreaModel("1 + groen", (term, *theme), Normal(6, 1), Normal(0, 0.5))
    return design(model, DirectEstimates(MEASURES[:n_dims], (source,), areas))


def across_the_cut(eta: np.ndarray) -> np.ndarray:
    """How far the first rows of the two parts lie apart, (..., 1)."""
    return np.asarray(eta[..., :6].mean(axis=-1, keepdims=True) - eta[..., 6:10].mean(axis=-1, keepdims=True))


def simulated(arrays: Design, scores: NormalScores, rng: np.random.Generator) -> tuple[Design, dict[str, np.ndarray]]:
    """Steps 1 and 2: return the design with new direct estimates, and the truth."""
    hyper = scores.hyper(rng.standard_normal(scores.size))
    loadings = hyper.loadings(arrays)
    (effect, *themes), d = arrays.effects, len(arrays.measures)
    assert effect.structure is not None
    values, vectors = np.linalg.eigh(np.linalg.pinv(effect.structure.parts[0].toarray()))
    u = (vectors * np.sqrt(np.maximum(values, 0.0))) @ rng.standard_normal((N, d))
    mean, sd = arrays.coefficient_priors
    beta = mean[:, None] + sd[:, None] * rng.standard_normal((len(mean), d))
    (by,) = arrays.effects[0].dispersion.T  # the logarithm of few residents over many
    v = rng.standard_normal((N, d)) @ loadings.loose[0].T * np.exp(by[:, None] * hyper.values["BYM2.gamma"][0])
    if effect.tail is not None:
        half = 0.5 / float(hyper.values["BYM2.tail"][0, 0])
        v = v / np.sqrt(rng.gamma(half, 1 / half, (N, 1)))
    eta = arrays.x @ beta + u @ loadings.terms[0].T + v
    if effect.levels is not None:
        sees = effect.levels.sees
        eta += sees @ rng.standard_normal((sees.shape[1], d)) @ loadings.terms[1].T
    for theme, loading in zip(themes, loadings.groups, strict=True):
        eta += theme.sees @ rng.standard_normal((len(THEME), d)) @ loading.T
    y = np.zeros_like(arrays.y)
    for a in np.flatnonzero(arrays.observed[0].all(axis=1)):
        sd = np.sqrt(np.broadcast_to(hyper.factor, arrays.y.shape)[0, a])
        v = np.linalg.inv(arrays.precision[0, a]) * np.outer(sd, sd)
        y[0, a] = rng.multivariate_normal(eta[a], v, method="cholesky")
    truth = {name: hyper.values[name][0] for name in OWN} | {"beta": beta.ravel()}
    if effect.levels is not None:
        truth["BYM2.level"] = hyper.values["BYM2.level"][0, :1]
        truth["apart"] = across_the_cut(eta[:, 0])
    if effect.tail is not None:
        truth["BYM2.tail"] = hyper.values["BYM2.tail"][0, :1]
    if hyper.omega is not None:
        truth["omega"] = hyper.omega[0]
    if themes:
        truth["theme.sigma"] = hyper.values["theme.sigma"][0, :1]
    if d > 1:
        root = hyper.values["BYM2.R"][0]
        truth["BYM2.R"] = (root @ root.T)[1:, 0]
    # two observed areas, two that are not, and the island
    hidden = np.flatnonzero(~arrays.observed[0].all(axis=1))
    truth["eta"] = eta[[0, 33, *hidden[:2], N - 1]].ravel()
    return replace(arrays, y=y), truth


def ranks(n_dims: int, replicates: int, kind: str) -> dict[str, np.ndarray]:
    """Steps 1 to 4: return ranks between 0 and 1, shape (replicates, quantities)."""
    arrays, rng = made_design(n_dims, kind), np.random.default_rng(n_dims)
    scores, found = NormalScores.of(arrays), {}
    hidden = np.flatnonzero(~arrays.observed[0].all(axis=1))
    for seed in range(replicates):
        data, truth = simulated(arrays, scores, rng)
        options = laplace.LaplaceOptions(draws=DRAWS, hyperparameters=100, threads=1)
        draws = laplace.sample(data, seed, options, progress=False)
        flat = {name: values.reshape(DRAWS, *values.shape[2:]) for name, (_, values) in draws.hyper.items()}
        own = {name: flat[name] for name in OWN} | {"beta": flat["beta"].reshape(DRAWS, -1)}
        if n_dims > 1:
            own["BYM2.R"] = flat["BYM2.R"][:, 1:, 0]
        own |= {name: flat[name][:, :1] for name in {"BYM2.tail", "theme.sigma"} & set(truth)}
        own |= {"omega": flat["omega"][:, 0]} if "omega" in truth else {}
        if kind == "cut":
            own["BYM2.level"] = flat["BYM2.level"][:, :1]
            own["apart"] = across_the_cut(draws.flat[:, :, 0])
        own["eta"] = draws.flat[:, [0, 33, *hidden[:2], N - 1]].reshape(DRAWS, -1)
        for name, values in own.items():
            below = (values < truth[name]).sum(axis=0)
            # a place within the gap: ranks of a continuous quantity
            found.setdefault(name, []).append((below + rng.uniform(size=len(below))) / (DRAWS + 1))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_dims", "replicates", "kind"),
    [(1, 120, ""), (2, 80, ""), (1, 120, "cut"), (1, 60, "tails"), (1, 120, "theme"), (2, 80, "few")],
)
def test_ranks_are_uniform(n_dims: int, replicates: int, kind: str) -> None:
    check_uniform(ranks(n_dims, replicates, kind), replicates)
