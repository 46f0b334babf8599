"""Direct estimates of one source: what the model sees of it, from respondents with weights; see `direct`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.estimators import domain_estimates
from buurtsae.survey.scales import Scores
from buurtsae.survey.smoothing import Method, gram, pooled_covariance, rescaled, within_variance
from buurtsae.survey.variance import group_sum, hajek


@dataclass(frozen=True)
class SourceEstimates:
    """Direct estimates of one source per buurt, or per wijk: what the model sees.

    Attributes
    ----------
    source : str
    year : int
    codes : Index
        Buurten (or wijken) with respondents, sorted.
    mean : ndarray, shape (n, D)
        On 0-10; NaN where nobody answered.
    variance : ndarray, shape (n, D, D)
        Smoothed sampling covariance; 0 in rows and columns without an estimate.
    respondents, n_effective : ndarray, shape (n, D)
        Number of respondents with a score, and Kish's effective number.
    given : ndarray, shape (n, D, D), optional
        Sampling covariance before smoothing: design-based, or as an office gave it, NaN or 0 where it gave none.
    kind : {"survey", "participatory"}
        A participatory source has no random sample: its link to the scores has wider priors.
    within, freedom : ndarray, shape (n, D), optional
        Variance of the scores within an area, estimated from its own respondents, and its degrees of freedom (0: none).
    level : {"buurt", "wijk"}
        What the codes are of. A wijk's estimate is of the mean of its residents, whichever buurt they live in.
    """

    source: str
    year: int
    codes: pd.Index
    mean: Floats
    variance: Floats
    respondents: Ints
    n_effective: Floats
    given: Floats | None = None
    kind: str = "survey"
    within: Floats | None = None
    freedom: Floats | None = None
    level: str = "buurt"

    def __repr__(self) -> str:
        return f"SourceEstimates of {self.source} {self.year}: {len(self.codes)} {self.level}en x {len(self.informs)}"

    @property
    def before(self) -> Floats:
        """Sampling covariance before smoothing; the variance itself where nothing was smoothed."""
        return self.variance if self.given is None else self.given

    @property
    def within_area(self) -> Floats:
        """S, the covariance of the scores of residents of one area, shape (D, D).

        V_de sqrt(n_d n_e) averaged over areas, n effective, with these numbers as weights; 0 for what it does not ask.
        """
        pair = np.sqrt(self.n_effective[:, :, None] * self.n_effective[:, None, :])
        total = pair.sum(axis=0)
        return np.divide((pair**2 * self.variance).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)

    @property
    def informs(self) -> NDArray[np.bool_]:
        """Sub-dimensions with an estimate in some area, shape (D,)."""
        return np.asarray(np.isfinite(self.mean).any(axis=0))


def of_source(
    scores: Scores, asked: Sequence[str], inhabited: pd.Index, variances: Method, sd: float | None
) -> SourceEstimates:
    """Estimates of one source in the areas where it has respondents."""
    y, w = arrays(scores, asked)
    row = inhabited.get_indexer(scores.frame["area_code"])  # -1: no residents
    heard, inside = np.unique(row[row >= 0], return_inverse=True)
    domain = np.full(len(row), -1)
    domain[row >= 0] = inside
    n = len(heard)
    mean, share, residual = hajek(y, w, domain, n)
    g = gram(share, domain, n)
    within, freedom = within_variance(share, residual, domain, n)
    kish = np.einsum("add->ad", g)
    n_effective = np.divide(1.0, kish, out=np.zeros_like(kish), where=kish > 0)
    before = domain_estimates(scores, y, w, domain, n)[1]
    pooled = _pooled(scores, y, w, domain, n, sd) * g
    return SourceEstimates(
        source=scores.source,
        year=scores.year,
        codes=inhabited[heard],
        mean=mean,
        variance=rescaled(pooled, before, n_effective) if variances == "gvf" else pooled,
        respondents=group_sum(np.isfinite(y).astype(float), domain, n).astype(np.int64),
        n_effective=n_effective,
        given=before,
        kind=scores.kind,
        within=within,
        freedom=freedom,
        level=scores.level,
    )


def _pooled(scores: Scores, y: Floats, w: Floats, domain: Ints, n: int, sd: float | None) -> Floats:
    """S, or what the user says of it: one standard deviation for all sub-dimensions, uncorrelated."""
    if sd is not None:
        return np.eye(y.shape[1]) * sd**2
    try:
        return pooled_covariance(y[domain >= 0], w[domain >= 0], domain[domain >= 0], n)
    except DataError as error:
        raise DataError(f"{scores.source}: {error.what}", error.got, error.expected, error.hint) from error


def arrays(scores: Scores, subdimensions: Sequence[str]) -> tuple[Floats, Floats]:
    """Scores (n, D) and weights of the respondents as arrays."""
    columns = scores.frame.reindex(columns=list(subdimensions))
    return columns.to_numpy(dtype=float), scores.frame["weight"].to_numpy(dtype=float)
