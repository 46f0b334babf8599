r"""Made buurten and respondents, and a fit whose draws come from the exact Gaussian posterior.

With hyperparameters known, eta ~ N(m, S), A the residents' shares of the buurten at each site,
y_s = c + alpha_s + L_s (A eta - c) + e, e ~ N(0, W_s^-1), L_s = diag lambda_s:

    P = S^-1 + sum_s A' L_s W_s L_s A,   mean = P^-1 [ S^-1 m + sum_s A' L_s W_s (y_s - c - alpha_s + L_s c) ].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd
from scipy.linalg import block_diag
from shapely.geometry import box

from buurtsae.areas.areas import Areas
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.model.design import Design, design
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates, direct
from buurtsae.survey.scales import Scores

SUBDIMENSIONS = Concept.load().subdimensions
CHAINS, DRAWS = 4, 500
ROOT = "cholesky"  # unique: of equal eigenvalues each processor chooses its own eigenvectors
LEVEL, SIGMA, PHI, BETWEEN = 6.0, 0.7, 0.6, 0.5  # prior mean, sd, structured share, correlation of eta over d
WITHIN, WITHIN_R = 1.2, 0.4  # sd and correlation of the scores of respondents of one buurt
OFFSET, SLOPE = 1.5, 0.8  # the second source: y = OFFSET + SLOPE * eta, on two of the sub-dimensions

EMPTY, TINY = "BU03440000", "BU03440001"  # no residents; 6 residents
SILENT = ("BU03440003", "BU03440300", "BU03550101")  # nobody answered
ALONE, ISLAND = "BU03440002", "BU04000000"  # one respondent; the only buurt of its gemeente, without neighbours
UNKNOWN_X = "BU03440102"  # its covariate is missing
HIDDEN = (TINY, ALONE, SILENT[0])  # all of a wijk: the second to protect the first, the third to protect the second


def make_areas() -> Areas:
    """25 buurten: 16 in GM0344, 8 in GM0355 beside it, and an island that is a gemeente of its own."""
    cells = [("0344", r, c, c, r) for r in range(4) for c in range(4)]
    cells += [("0355", k // 4, k % 4, 4 + k // 4, k % 4) for k in range(8)]
    cells += [("0400", 0, 0, 12, 0)]
    km = [box(130_000 + 1000 * x, 450_000 + 1000 * y, 131_000 + 1000 * x, 451_000 + 1000 * y) for *_, x, y in cells]
    index = pd.Index([f"BU{g}{i:02}{j:02}" for g, i, j, *_ in cells], name="area_code")
    frame = gpd.GeoDataFrame({"name": "Buurt " + index.str[2:]}, geometry=km, index=index, crs="EPSG:28992")
    frame["wijk"], frame["gemeente"] = "WK" + index.str[2:8], "GM" + index.str[2:6]
    frame["population"] = 500 + 10 * np.arange(len(frame))
    frame["ggdregio"] = np.where(frame["gemeente"] == "GM0400", "GG02", "GG01")
    frame["groen"] = np.sin(np.arange(len(frame)))  # any covariate
    frame.loc[EMPTY, "population"], frame.loc[TINY, "population"], frame.loc[UNKNOWN_X, "groen"] = 0, 6, np.nan
    return Areas(frame.sort_index(), 2024, {"gemeente": {"GM0344": "Voorbeeldstad"}}, "Streek")


def made_areas_in(columns: tuple[int, int]) -> Areas:
    """The same buurten, those of GM0355 that far east: from the fifth column on they are a component of their own."""
    areas = make_areas()
    frame = areas.frame.copy()
    east = (frame["gemeente"] == "GM0355").to_numpy()
    frame.loc[east, "geometry"] = frame.geometry[east].translate(xoff=1000 * (columns[1] - columns[0]))
    return Areas(frame, areas.year, areas.names, areas.region)


def made_model(areas: Areas) -> AreaModel:
    """The model that the draws below come from, but for its coefficients, which are known."""
    return AreaModel("1 + groen", [BYM2(areas.graph())], missing="impute")  # type: ignore[arg-type]


def prior_covariance(model: AreaModel, n_dims: int, known: Floats | None = None) -> Floats:
    """S, areas before sub-dimensions, with what the error of imputed covariates adds."""
    graph = next(t.graph for t in model.terms if isinstance(t, BYM2))
    structured = np.linalg.pinv(graph.icar.precision.toarray())
    over_areas = SIGMA**2 * ((1 - PHI) * np.eye(len(graph.codes)) + PHI * structured)
    prior = np.kron(over_areas, np.full((n_dims, n_dims), BETWEEN) + (1 - BETWEEN) * np.eye(n_dims))
    return prior if known is None else prior + block_diag(*known)


def make_scores(areas: Areas, subdimensions: Sequence[str], sources: int, rng: np.random.Generator) -> list[Scores]:
    """Respondents of one or two sources; some answers are missing, the second source asks the first two only."""
    n, d = len(areas.codes), len(subdimensions)
    prior = prior_covariance(made_model(areas), d)
    eta = LEVEL + rng.multivariate_normal(np.zeros(n * d), prior, method=ROOT).reshape(n, d)
    count = pd.Series(rng.poisson(8, n) + 2, index=areas.codes)
    count[[EMPTY, *SILENT]], count[ALONE], count[ISLAND] = 0, 1, 12
    out = []
    for s, (name, asked) in enumerate([("veiligheidsmonitor", d), ("burgerpeiling", min(2, d))][:sources]):
        area = np.repeat(np.arange(n), count if s == 0 else np.where(count > 1, count // 2, 0))
        within = WITHIN**2 * ((1 - WITHIN_R) * np.eye(d) + WITHIN_R)
        error = rng.multivariate_normal(np.zeros(d), within, size=len(area), method=ROOT)
        y = (eta[area] if s == 0 else OFFSET + SLOPE * eta[area]) + error
        y[(rng.uniform(size=y.shape) < 0.1) & (count.to_numpy()[area] > 3)[:, None]] = np.nan
        y[:, asked:] = np.nan
        frame = pd.DataFrame({"area_code": areas.codes[area], "weight": rng.lognormal(0, 0.4, len(area))})
        frame["stratum"] = np.where(rng.uniform(size=len(area)) < 0.5, "noord", "zuid")
        frame[list(SUBDIMENSIONS)] = np.nan
        frame[list(subdimensions)] = y
        out.append(Scores(frame, name, 2022 + s, SUBDIMENSIONS))
    return out


def per_wijk(scores: Scores) -> Scores:
    """The same respondents, of whom only the wijk is known."""
    return replace(scores, frame=scores.frame.assign(area_code="WK" + scores.frame["area_code"].str[2:8]), level="wijk")


@dataclass(frozen=True)
class Made:
    """A fit with the exact mean (N, D) and covariance (N D, N D) that its draws come from."""

    fit: Fit
    mean: Floats
    covariance: Floats

    @property
    def variance(self) -> Floats:
        """Posterior variances, shape (N, D)."""
        return np.diag(self.covariance).reshape(self.mean.shape)


def made_fit(
    subdimensions: Sequence[str] = SUBDIMENSIONS, sources: int = 2, seed: int = 1, *, wijk: bool = False
) -> Made:
    """A fit; with `wijk` the last source is known per wijk only."""
    rng, areas = np.random.default_rng(seed), make_areas()
    *first, last = make_scores(areas, subdimensions, sources, rng)
    estimates = direct([*first, per_wijk(last) if wijk else last], areas)
    return exact(design(made_model(areas), estimates), estimates, areas, rng)


def exact(arrays: Design, estimates: DirectEstimates, areas: Areas, rng: np.random.Generator) -> Made:
    n, d = len(arrays.areas), arrays.y.shape[2]
    slope = np.where(arrays.linked, SLOPE, 1.0)
    offset = np.where(arrays.linked, OFFSET - arrays.centre * (1 - SLOPE), 0.0)  # so that y = OFFSET + SLOPE eta
    precision = np.linalg.inv(prior_covariance(arrays.model, d, arrays.known))
    right = precision @ np.full(n * d, LEVEL)
    share = arrays.sites.toarray()
    for s, w in enumerate(arrays.precision):
        scaled = slope[s][:, None] * w
        target = arrays.y[s] - arrays.centre - offset[s] + slope[s] * arrays.centre
        right += (share.T @ np.einsum("kde,ke->kd", scaled, target)).ravel()
        precision += np.einsum("kn,km,kde->ndme", share, share, scaled * slope[s], optimize=True).reshape(n * d, n * d)
    covariance = np.linalg.inv(precision)
    mean = covariance @ right
    eta = mean + rng.normal(size=(CHAINS, DRAWS, n * d)) @ np.linalg.cholesky(covariance).T
    shape, link = (CHAINS, DRAWS, d), int(arrays.linked.sum())
    hyper = {
        "beta": (("column", "measure"), rng.normal(size=(CHAINS, DRAWS, 2, d))),  # in the reports only
        "BYM2.sigma": (("measure",), rng.normal(SIGMA, 0.01, shape)),
        "BYM2.phi": (("measure",), np.full(shape, PHI)),
        "BYM2.gamma": (("measure",), np.zeros(shape)),
        "BYM2.R": (("measure", "measure_2"), np.broadcast_to(np.eye(d), (*shape, d))),
    }
    coords = {"column": arrays.coefficients, "measure_2": arrays.measures}
    if link:
        each = (CHAINS, DRAWS, link)
        hyper |= {"alpha": (("link",), np.broadcast_to(offset[arrays.linked], each))}
        hyper |= {"lambda": (("link",), np.full(each, SLOPE)), "tau": (("link",), np.zeros(each))}
        coords["link"] = tuple(f"link {k}" for k in range(link))
    draws = Draws(eta.reshape(CHAINS, DRAWS, n, d), arrays.areas, arrays.measures, hyper, coords)
    return Made(Fit(arrays, estimates, draws, "exact", 1, 0.0), mean.reshape(n, d), covariance)


def looked_at(data: DirectEstimates, model: AreaModel) -> Fit:
    """A fit without draws: checks are at the mode."""
    arrays = design(model, data)
    nothing = Draws(np.zeros((4, 1, len(arrays.areas), len(arrays.columns))), arrays.areas, arrays.measures)
    return Fit(arrays, data, nothing, "none", 1, 0.0)
