r"""Design-based direct estimates per area, their covariances over sub-dimensions, and a first variance smoothing.

With w_id = w_i where respondent i answered d (0 elsewhere) and W_ad = sum_{i in a} w_id, the Hajek mean is
m_ad = sum_{i in a} w_id y_id / W_ad. Its linearised variance has z_id = w_id (y_id - m_ad) / W_ad in a, 0 outside:

    vcov(m_a) = sum_h n_h / (n_h - 1) [ sum_{i in h} z_i z_i' - (sum_{i in h} z_i)(sum_{i in h} z_i)' / n_h ],

n_h counting the whole stratum. A handful of respondents cannot carry that: the model gets the smoothed
V_a,de = S_de sum_{i in a} w_id w_ie / (W_ad W_ae), with S the covariance within buurten, pooled over all of them.

References
----------
Lumley, T. (2010). Complex Surveys, ch. 2. Kish, L. (1992). Weighting for unequal P_i. J. Official Statistics 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.areas import Areas
from buurtsae.areas.icar import Ints
from buurtsae.errors import DataError, Problems, shown
from buurtsae.sparse import Floats
from buurtsae.survey.scales import Scores

if TYPE_CHECKING:
    from buurtsae.survey.concept import Concept


def _group_sum(values: Floats, group: Ints, n_groups: int) -> Floats:
    """Sum the rows of an (n, ...) array per group."""
    flat = values.reshape(len(values), -1)
    out: Floats = np.column_stack([np.bincount(group, column, n_groups).astype(float) for column in flat.T])
    return out.reshape(n_groups, *values.shape[1:])


def hajek(y: Floats, w: Floats, domain: Ints, n_domains: int) -> tuple[Floats, Floats, Floats]:
    """Return Hajek means, and per respondent the share w_id / W_ad and the residual, zero where y is missing.

    Parameters
    ----------
    y : ndarray, shape (n, D)
        Scores, NaN where missing.
    w : ndarray, shape (n,)
    domain : ndarray of int, shape (n,)

    Returns
    -------
    mean : ndarray, shape (n_domains, D); NaN where nobody answered
    share, residual : ndarray, shape (n, D)
    """
    answered = np.isfinite(y)
    weight = answered * w[:, None]
    total = _group_sum(weight, domain, n_domains)
    value = np.where(answered, y, 0.0)
    mean = np.divide(
        _group_sum(weight * value, domain, n_domains), total, out=np.full(total.shape, np.nan), where=total > 0
    )
    share = np.divide(weight, total[domain], out=np.zeros_like(weight), where=answered)
    return mean, share, np.where(answered, value - mean[domain], 0.0)


def linearised_variance(share: Floats, residual: Floats, domain: Ints, stratum: Ints, n_domains: int) -> Floats:
    """Return the design covariance of the Hajek means, shape (n_domains, D, D), in time linear in respondents.

    A stratum with one respondent contributes its own z z', centred at the expectation 0 of z.
    """
    z = share * residual
    n_h = np.bincount(stratum).astype(float)
    correction = np.where(n_h > 1, n_h / np.maximum(n_h - 1, 1), 1.0)
    within = np.where(n_h > 1, 1 / n_h, 0.0)
    cell, index = np.unique(domain * len(n_h) + stratum, return_inverse=True)
    outer = _group_sum(z[:, :, None] * z[:, None, :], index, len(cell))
    total = _group_sum(z, index, len(cell))
    h = cell % len(n_h)
    part = correction[h, None, None] * (outer - within[h, None, None] * total[:, :, None] * total[:, None, :])
    return _group_sum(part, cell // len(n_h), n_domains)


def pooled_covariance(y: Floats, w: Floats, domain: Ints, n_domains: int) -> Floats:
    """Return S, the (D, D) covariance of scores within areas, from the respondents with both scores of each pair.

    E sum_{i in a} w_i r_id r_ie = S_de (W_a - sum_{i in a} w_i^2 / W_a): the pooled ratio is unbiased for weights
    unrelated to the scores. A sub-dimension that nobody answered keeps a variance of 0.

    Raises
    ------
    DataError
        If no area has two respondents, so that nothing can be pooled.
    """
    n_dims = y.shape[1]
    s = np.zeros((n_dims, n_dims))
    for d in range(n_dims):
        for e in range(d + 1):
            both = np.isfinite(y[:, d]) & np.isfinite(y[:, e])
            if not both.any():
                continue
            _, share, residual = hajek(y[both][:, [d, e]], w[both], domain[both], n_domains)
            freedom = float((w[both] * (1 - share[:, 0])).sum())
            if freedom <= 0:
                raise DataError(
                    "the variance within buurten cannot be estimated",
                    "no buurt with two respondents",
                    "some buurten with several",
                    "start at area level, with a table of direct estimates and variances",
                )
            s[d, e] = s[e, d] = (w[both] * residual[:, 0] * residual[:, 1]).sum() / freedom
    return _shrunk(s)


def _shrunk(s: Floats, lowest: float = 0.01) -> Floats:
    """Shrink covariances until no eigenvalue of the correlation matrix is below `lowest`.

    Pairwise deletion may leave S indefinite, and two scales that agree exactly leave it singular.
    """
    sd = np.sqrt(np.diag(s))
    scale = np.where(sd > 0, sd, 1.0)
    correlation = s / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    smallest = np.linalg.eigvalsh(correlation)[0]
    kept = min(1.0, (1 - lowest) / (1 - smallest)) if smallest < lowest else 1.0
    return np.asarray(np.where(np.eye(len(s), dtype=bool), s, kept * s))


@dataclass(frozen=True)
class SourceEstimates:
    """Direct estimates of one source at buurt level: what the model sees.

    Attributes
    ----------
    source : str
    year : int
    codes : Index
        Buurten with respondents, sorted.
    mean : ndarray, shape (n, D)
        On 0-10; NaN where nobody answered.
    variance : ndarray, shape (n, D, D)
        Smoothed sampling covariance; 0 in rows and columns without an estimate.
    respondents, n_effective : ndarray, shape (n, D)
        Number of respondents with a score, and Kish's effective number.
    given : ndarray, shape (n, D, D), optional
        Sampling covariance as an office gave it, before smoothing, NaN or 0 where it gave none: what is published.
    kind : {"survey", "participatory"}
        A participatory source has no random sample: its link to the scores has wider priors.
    within, freedom : ndarray, shape (n, D), optional
        Variance of the scores within a buurt, estimated from its own respondents, and its degrees of freedom (0: none).
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

    @property
    def informs(self) -> NDArray[np.bool_]:
        """Sub-dimensions with an estimate in some buurt, shape (D,)."""
        return np.asarray(np.isfinite(self.mean).any(axis=0))


@dataclass(frozen=True)
class DirectEstimates:
    """Direct estimates of all sources on the same areas.

    Attributes
    ----------
    subdimensions : tuple of str
        Those that some source informs, in the order of the concept: the D columns of the arrays.
    sources : tuple of SourceEstimates
        The first one that informs a sub-dimension is its reference: it fixes level and scale.
    areas : Areas
    scores : tuple of Scores
        The respondents; empty when the estimates came from a table.
    notes : tuple of str
        What was left out, and why.
    """

    subdimensions: tuple[str, ...]
    sources: tuple[SourceEstimates, ...]
    areas: Areas
    scores: tuple[Scores, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> Ints:
        """Position of the reference source of each sub-dimension, shape (D,): a survey, where one informs it."""
        rank = np.array([s.informs * (2.0 if s.kind == "survey" else 1.0) for s in self.sources])
        return np.argmax(rank, axis=0)

    def totals(self, level: str, concept: Concept | None = None) -> pd.DataFrame:
        """Return direct estimates per area of a level, from the reference sources, with design standard errors.

        Parameters
        ----------
        level : str
            `buurt`, `wijk`, `gemeente`, `ggdregio` or `land`.
        concept : Concept, optional
            Adds the measures above the sub-dimensions, as means of them.

        Returns
        -------
        DataFrame
            `area_code`, `measure`, `direct`, `direct_se` (missing below two respondents or at zero), `n_respondents`
            and `n_effective` (all sources; a respondent counts for a measure who scores on part of it).
        """
        weights = concept.matrix_of(self.subdimensions) if concept else None
        measures = list(weights.index) if weights is not None else list(self.subdimensions)
        matrix = weights.to_numpy() if weights is not None else np.eye(len(measures))
        if not self.scores:
            return self._table_totals(level, measures, matrix)
        parent = self.areas.parents(level)
        labels = pd.Index(sorted(set(parent)))
        shape = (len(labels), len(self.subdimensions))
        mean, variance = np.full(shape, np.nan), np.full((*shape, shape[1]), np.nan)
        count, effective = (
            np.zeros((len(labels), len(measures)), dtype=np.int64),
            np.zeros((len(labels), len(measures))),
        )
        for s, scores in enumerate(self.scores):
            y, w, stratum = _arrays(scores, self.subdimensions)
            domain = labels.get_indexer(parent.reindex(scores.frame["area"]))
            m, share, residual = hajek(y, w, domain, len(labels))
            v = linearised_variance(share, residual, domain, stratum, len(labels))
            own = self.reference == s
            mean[:, own] = m[:, own]
            # sub-dimensions of different sources have different respondents: their covariance is 0
            variance[:, own] = np.where(own[None, None, :], v[:, own], 0.0)
            some = (np.isfinite(y).astype(float) @ (matrix.T > 0)) > 0
            count += _group_sum(some.astype(float), domain, len(labels)).astype(np.int64)
            part = some * w[:, None]
            total, square = _group_sum(part, domain, len(labels)), _group_sum(part**2, domain, len(labels))
            effective += np.divide(total**2, square, out=np.zeros_like(total), where=square > 0)
        answered = self._reference_counts(labels, parent)
        direct = np.clip(_combine(matrix, mean), 0.0, 10.0)  # a weighted mean of tens may be 10 and a rounding error
        se = np.sqrt(np.maximum(np.einsum("md,ade,me->am", matrix, np.nan_to_num(variance), matrix), 0.0))
        enough = _combine(matrix, np.where(answered > 1, 1.0, np.nan))
        # the sum of squares of identical answers is zero up to rounding
        se = np.where(np.isfinite(enough) & (se > 1e-9), se, np.nan)
        return _long(labels, measures, direct, se, count, effective)

    def _reference_counts(self, labels: pd.Index, parent: pd.Series) -> Ints:
        out = np.zeros((len(labels), len(self.subdimensions)), dtype=np.int64)
        for s, estimates in enumerate(self.sources):
            own = self.reference == s
            row = labels.get_indexer(parent.reindex(estimates.codes))
            np.add.at(out, (row[:, None], np.flatnonzero(own)[None, :]), estimates.respondents[:, own])
        return out

    def _table_totals(self, level: str, measures: list[str], matrix: Floats) -> pd.DataFrame:
        """Totals without microdata: estimates at buurt level as given, above it only numbers of respondents."""
        parent = self.areas.parents(level)
        labels = pd.Index(sorted(set(parent)))
        shape = (len(labels), len(self.subdimensions))
        mean, variance = np.full(shape, np.nan), np.zeros((*shape, shape[1]))
        count, effective = np.zeros(shape), np.zeros(shape)
        for s, estimates in enumerate(self.sources):
            row = labels.get_indexer(parent.reindex(estimates.codes))
            np.add.at(count, row, estimates.respondents)
            np.add.at(effective, row, estimates.n_effective)
            if level == "buurt":
                own = np.flatnonzero(self.reference == s)
                mean[row[:, None], own] = estimates.mean[:, own]
                block = np.ix_(row, own, own)
                given = estimates.variance if estimates.given is None else estimates.given
                variance[block] = given[:, own][:, :, own]
        missing = ~(np.einsum("add->ad", variance) > 0)  # an office may leave a variance out, or give zero
        total = np.einsum("md,ade,me->am", matrix, np.nan_to_num(variance), matrix)
        se = np.where(missing.astype(float) @ (matrix.T > 0) > 0, np.nan, np.sqrt(np.maximum(total, 0.0)))
        # whether the same persons answered is unknown: a measure has at least those of its best part
        part = matrix[None] > 0
        largest = (count[:, None, :] * part).max(axis=2).astype(np.int64)
        direct = _combine(matrix, mean)
        return _long(
            labels,
            measures,
            direct,
            np.where(np.isfinite(direct), se, np.nan),
            largest,
            (effective[:, None, :] * part).max(axis=2),
        )

    @classmethod
    def from_table(
        cls,
        path: str | Path,
        areas: Areas,
        concept: Concept,
        *,
        covariances: str | Path | None = None,
        year: int | None = None,
        smooth: bool = True,
    ) -> DirectEstimates:
        """Start at area level: read direct estimates that an office computed itself.

        Parameters
        ----------
        path : path
            CSV or Parquet with `area_code`, `measure` (a sub-dimension), `source`, `estimate` (0-10), `variance`,
            `n_respondents` and optionally `n_effective`. The first source in the file is the reference.
        covariances : path, optional
            `area_code`, `source`, `measure_1`, `measure_2`, `covariance`; without it, sampling errors of
            different sub-dimensions are taken as uncorrelated, and that is noted.
        year : int, optional
            Year of the estimates; the areas' year by default.
        smooth : bool
            Replace each variance by S_d / n_effective with S_d = n_effective x variance pooled over areas
            (weights n - 1), keeping sampling correlations. Without it every variance must be positive.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong with the tables, at once.
        """
        from buurtsae.survey.area_table import read_area_table

        found, sources, notes = read_area_table(
            Path(path), Path(covariances) if covariances else None, areas, concept, year or areas.year, smooth
        )
        return cls(found, sources, areas, (), notes)

    def __repr__(self) -> str:
        parts = [f"{s.source} {s.year}: {len(s.codes)} buurten" for s in self.sources]
        return f"DirectEstimates of {', '.join(self.subdimensions)} ({'; '.join(parts)})"


def direct(scores: Scores | Sequence[Scores], areas: Areas) -> DirectEstimates:
    """Return direct estimates per buurt with smoothed sampling covariances.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One per source; the first that informs a sub-dimension is its reference.
    areas : Areas

    Raises
    ------
    DataError or ProblemsError
        On respondents in unknown buurten, one source twice, or no usable score at all.
    """
    several = [scores] if isinstance(scores, Scores) else list(scores)
    problems = Problems()
    names = [s.source for s in several]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.add(f"source {name} is given twice", f"{names.count(name)} times", "once", "combine the files first")
    kept, notes = [], []
    for s in several:
        area = s.frame["area"]
        unknown = area[~area.isin(areas.codes)]
        if len(unknown):
            problems.add(
                f"{len(unknown)} respondents of {s.source} live in unknown buurten",
                shown(sorted(unknown.unique())),
                f"buurtcodes of {areas.year}",
                "recode them to the areas' year",
            )
        empty = area.isin(areas.codes[~areas.inhabited])
        if empty.any():
            where = shown(sorted(area[empty].unique()))
            notes.append(f"{int(empty.sum())} respondents of {s.source} left out: buurten without residents ({where})")
        kept.append(Scores(s.frame[~empty], s.source, s.year, s.subdimensions))
    order = list(dict.fromkeys(d for s in several for d in s.subdimensions))
    asked = [d for d in order if any(s.frame[d].notna().any() for s in kept)]
    if not asked:
        problems.add(
            "there is no score at all", "0 respondents with a score", "some", "check the extract and the codebook"
        )
    problems.raise_if_any()
    sources = tuple(_source_estimates(s, asked) for s in kept)
    return DirectEstimates(tuple(asked), sources, areas, tuple(kept), tuple(notes))


def _source_estimates(scores: Scores, subdimensions: Sequence[str]) -> SourceEstimates:
    y, w, _ = _arrays(scores, subdimensions)
    codes, domain = np.unique(scores.frame["area"].to_numpy(dtype=str), return_inverse=True)
    mean, share, _ = hajek(y, w, domain, len(codes))
    gram = _group_sum(share[:, :, None] * share[:, None, :], domain, len(codes))
    diagonal = np.einsum("add->ad", gram)
    return SourceEstimates(
        source=scores.source,
        year=scores.year,
        codes=pd.Index(codes),
        mean=mean,
        variance=pooled_covariance(y, w, domain, len(codes)) * gram,
        respondents=_group_sum(np.isfinite(y).astype(float), domain, len(codes)).astype(np.int64),
        n_effective=np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0),
    )


def _arrays(scores: Scores, subdimensions: Sequence[str]) -> tuple[Floats, Floats, Ints]:
    """Scores (n, D), weights and strata of the respondents as arrays."""
    stratum = np.unique(scores.frame["stratum"].to_numpy(dtype=str), return_inverse=True)[1]
    columns = scores.frame.reindex(columns=list(subdimensions))
    return columns.to_numpy(dtype=float), scores.frame["weight"].to_numpy(dtype=float), stratum


def _combine(matrix: Floats, values: Floats) -> Floats:
    """Weighted means of sub-dimensions, shape (n, measures); NaN where a part is missing."""
    missing = (~np.isfinite(values)).astype(float) @ (matrix.T > 0) > 0
    return np.where(missing, np.nan, np.nan_to_num(values) @ matrix.T)


def _long(labels: pd.Index, measures: list[str], direct: Floats, se: Floats, n: Ints, n_eff: Floats) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([labels, measures], names=["area_code", "measure"])
    columns = {"direct": direct, "direct_se": se, "n_respondents": n, "n_effective": n_eff}
    return pd.DataFrame({k: v.ravel() for k, v in columns.items()}, index=index).reset_index()
