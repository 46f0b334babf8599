r"""Panels: the sampling errors of an area in two years go together as far as the same people answered in both.

With p_id the share of person i in the mean of measure d of an area, and e_i its deviation from the area's score, whose
covariance between years t and u is B_de, the errors of the means have the covariance

    C_a,de = B_de g_a,de,     g_a,de = sum over persons i in both of p_itd p_iue.

B is pooled over areas, from residuals r about the means of areas, for which these have a part in their own mean:

    E sum_i w_i r_itd r_iue = B_de sum_i w_i (1 - p_itd - p_iue + g_a,de),     w = (w_it w_iu)^(1/2).

It is used as a correlation, times the standard deviations of persons that V is made of, S = V n_effective (1 - rho),
rho the part of clusters. Persons count who have one row in both years, in the same area; ids that name no persons have
no correlation, and without people in both the covariance is exactly 0. Where V of all years of an area is not positive
definite, the blocks between years are drawn to 0 until it is.

References
----------
Kish, L. (1965). Survey Sampling, ch. 12.4. Rao, J. and Yu, M. (1994). Small-area estimation by combining time-series
and cross-sectional data. Canadian J. Statistics 22.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.design_columns import ID
from buurtsae.survey.scales import Scores
from buurtsae.survey.source_estimates import SourceEstimates, arrays
from buurtsae.survey.variance import group_sum, hajek

FEWEST = 30  # people in both years: of fewer the correlation has a standard error above 0.18
LEFT = 0.01  # of the variance in its least certain direction that a covariance leaves


@dataclass(frozen=True)
class Panel:
    """People of a source who answered in two years.

    Attributes
    ----------
    source : str
    years : tuple of int
        Two.
    codes : Index
        Areas with some of them.
    covariance : ndarray, shape (n, D, D)
        Of sampling errors, the first year by the second.
    persons : int
    correlation : ndarray, shape (D,)
        Of a person's deviations from the score of the area, in the same measure; NaN where it is not known.
    """

    source: str
    years: tuple[int, int]
    codes: pd.Index
    covariance: Floats
    persons: int
    correlation: Floats

    @property
    def words(self) -> Note:
        """What to know of it."""
        known = self.correlation[np.isfinite(self.correlation)]
        return Note(
            "{n} respondents of {source} answered in {first} and in {second}: their answers correlate by {low:.2f} to "
            "{high:.2f}, which counts in changes",
            "{n} respondenten van {source} deden mee in {first} en in {second}: hun antwoorden hangen samen met "
            "{low:.2f} tot {high:.2f}, en dat telt mee in veranderingen",
            n=self.persons, source=self.source, first=self.years[0], second=self.years[1],
            low=float(known.min()), high=float(known.max()),
        )  # fmt: skip


def panels(sources: Sequence[SourceEstimates], scores: Sequence[Scores], measures: Sequence[str]) -> tuple[Panel, ...]:
    """Return who answered in two years of a source, of pairs of years with somebody in both."""
    pairs = sorted(zip(sources, scores, strict=True), key=lambda pair: pair[0].year) if scores else []
    found = []
    for one, other in itertools.combinations(pairs, 2):
        same = one[0].source == other[0].source and one[0].level == other[0].level and one[0].year < other[0].year
        if same and ID in one[1].frame and ID in other[1].frame:
            panel = _panel(one, other, measures)
            found += [panel] if panel is not None else []
    return tuple(found)


def _panel(
    first: tuple[SourceEstimates, Scores], second: tuple[SourceEstimates, Scores], measures: Sequence[str]
) -> Panel | None:
    codes = first[0].codes.intersection(second[0].codes)
    n, parts = len(codes), []
    for _, scores in (first, second):
        y, w = arrays(scores, measures)
        domain = codes.get_indexer(scores.frame["area_code"])
        parts.append((domain, w, *hajek(y, w, domain, n)[1:]))
    at = _both(first[1], second[1], [part[0] for part in parts])
    if len(at[0]) < FEWEST:
        return None
    domain = parts[0][0][at[0]]
    (w1, p1, r1), (w2, p2, r2) = ([array[rows] for array in part[1:]] for part, rows in zip(parts, at, strict=True))
    g = group_sum(p1[:, :, None] * p2[:, None, :], domain, n)
    answered = (p1 > 0)[:, :, None] & (p2 > 0)[:, None, :]
    weight = answered * np.sqrt(w1 * w2)[:, None, None]
    told = (weight * (1 - p1[:, :, None] - p2[:, None, :] + g[domain])).sum(axis=0)
    total = (weight * r1[:, :, None] * r2[:, None, :]).sum(axis=0)
    b = np.divide(total, told, out=np.zeros_like(total), where=told > 0)
    s1, s2 = (_of_persons(source, codes) for source, _ in (first, second))
    pooled = np.sqrt(_pooled(s1)[:, None] * _pooled(s2))
    rho = np.clip(np.divide(b, pooled, out=np.zeros_like(b), where=pooled > 0), -1.0, 1.0)
    covariance = rho * np.sqrt(s1[:, :, None] * s2[:, None, :]) * g
    some = g.any(axis=(1, 2))
    diagonal = np.where(np.diag(told) > 0, np.diag(rho), np.nan)
    if not some.any() or not np.isfinite(diagonal).any():
        return None
    years = first[0].year, second[0].year
    return Panel(first[0].source, years, codes[some], covariance[some], len(domain), diagonal)


def _both(first: Scores, second: Scores, domains: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Rows of the persons who are in both years, once in each, in the same area."""
    rows = []
    for scores, domain in zip((first, second), domains, strict=True):
        name = scores.frame[ID].astype("string")
        once = name.notna().to_numpy() & ~name.duplicated(keep=False).to_numpy() & (domain >= 0)
        rows.append(pd.DataFrame({"id": name[once].to_numpy(), "area": domain[once], "row": np.flatnonzero(once)}))
    found = rows[0].merge(rows[1], on=["id", "area"], suffixes=("_1", "_2"))
    return found["row_1"].to_numpy(dtype=np.int64), found["row_2"].to_numpy(dtype=np.int64)


def _of_persons(source: SourceEstimates, codes: pd.Index) -> Floats:
    """Variances of persons within areas that V is made of, (n, D); 0 where there is no estimate."""
    at = source.codes.get_indexer(codes)
    total = np.einsum("add->ad", source.variance)[at] * source.n_effective[at]
    return total if source.icc is None else total * np.maximum(1 - source.icc.sum(axis=0), 0.0)


def _pooled(variance: Floats) -> Floats:
    """Their mean over areas with an estimate, (D,)."""
    seen = (variance > 0).sum(axis=0)
    return np.divide(variance.sum(axis=0), seen, out=np.zeros(variance.shape[1]), where=seen > 0)


def definite(covariance: Floats, years: int) -> Floats:
    """Return covariances (n, W, W) with blocks between years drawn to 0 where these are not positive definite.

    Blocks of years are positive definite where there are estimates; 0 elsewhere.
    """
    n, w, _ = covariance.shape
    seen = np.einsum("nww->nw", covariance) > 0
    year = np.arange(w) // (w // years)
    both = seen[:, :, None] & seen[:, None, :]
    own = np.where(both & (year[:, None] == year), covariance, 0.0)
    between = np.where(both, covariance, 0.0) - own
    inverse = np.linalg.inv(np.linalg.cholesky(own + np.where(seen, 0.0, 1.0)[..., None] * np.eye(w)))
    least = np.linalg.eigvalsh(inverse @ between @ inverse.swapaxes(1, 2))[:, 0] if n else np.zeros(0)
    kept = np.minimum(1.0, (1 - LEFT) / np.maximum(-least, 1e-300))
    return np.asarray(own + kept[:, None, None] * between)
