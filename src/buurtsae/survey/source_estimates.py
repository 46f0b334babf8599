"""Direct estimates of one source: what the model sees of it, from respondents with weights; see `direct`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.components import ENOUGH, clusters, components, gram, n_effective, planned
from buurtsae.survey.estimators import design_of, domain_estimates, population_means
from buurtsae.survey.scales import Scores
from buurtsae.survey.smoothing import Method, rescaled, varied, within_variance
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
        Number of respondents with a score, and how many independent answers of equal weight they are worth.
    given : ndarray, shape (n, D, D), optional
        Sampling covariance before smoothing: design-based, or as an office gave it, NaN or 0 where it gave none.
    kind : {"survey", "participatory"}
        A participatory source has no random sample: its link to the scores has wider priors.
    within, freedom : ndarray, shape (n, D), optional
        Variance of the scores within an area, estimated from its own respondents, and its degrees of freedom (0: none).
    level : {"buurt", "wijk"}, or a level of `Areas.editions`
        What the codes are of. A wijk's estimate is of the mean of its residents, whichever buurt they live in; that of
        an area of another edition is of the mean of the areas that it lies in, by the shares of the crosswalk.
    icc : ndarray, shape (stages, D), optional
        Intraclass correlation of scores within the sampled clusters of an area, where there are clusters.
    pooled : ndarray, shape (D,), optional
        Degrees of freedom of the variance within areas that `variance` is made of; None where that is known.
    rarest : ndarray, shape (n, D), optional
        How many respondents gave the rarest answer, of shares; None where there are respondents to count, or none.
    alike : ndarray, shape (n, D), optional
        The largest share of respondents who gave one and the same answer, of means.
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
    icc: Floats | None = None
    pooled: Floats | None = None
    rarest: Floats | None = None
    alike: Floats | None = None

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

    def silent(self, year: int) -> SourceEstimates:
        """Return it as it would be of a year in which nobody was asked."""
        none = {name: value[:0] for name in ("given", "within", "freedom", "rarest", "alike")
                if (value := getattr(self, name)) is not None}  # fmt: skip
        rows = {name: getattr(self, name)[:0] for name in ("codes", "mean", "variance", "respondents", "n_effective")}
        return replace(self, year=year, icc=None, pooled=None, **rows, **none)

    @property
    def informs(self) -> NDArray[np.bool_]:
        """Sub-dimensions with an estimate in some area, shape (D,)."""
        return np.asarray(np.isfinite(self.mean).any(axis=0))


def of_source(
    scores: Scores, asked: Sequence[str], areas: Areas, variances: Method, sd: float | None, covariates: Sequence[str]
) -> SourceEstimates:
    """Estimates of one source in the areas where it has respondents."""
    inhabited = areas.inhabited_at(scores.level)
    y, w = arrays(scores, asked)
    row = inhabited.get_indexer(scores.frame["area_code"])  # -1: no residents
    heard, inside = np.unique(row[row >= 0], return_inverse=True)
    domain = np.full(len(row), -1)
    domain[row >= 0] = inside
    n = len(heard)
    mean, share, residual = hajek(y, w, domain, n)
    cells = [] if sd is not None else clusters(scores.frame, domain, design_of(scores).clusters)
    parts = _components(scores, y, w, domain, cells, sd)
    total = np.einsum("kdd->d", parts)
    icc = np.divide(np.einsum("kdd->kd", parts[:-1]), total, out=np.zeros((len(cells), len(total))), where=total > 0)
    effective = n_effective(np.isfinite(y) * w[:, None], domain, n, cells, icc)
    within, freedom = within_variance(share, residual, domain, effective)
    before = domain_estimates(scores, y, w, domain, n)[1]
    variance = sum(b * gram(share, domain, n, cell) for b, cell in zip(parts, [*cells, None], strict=True))
    if variances == "auto" and sd is None:
        weight = group_sum(np.isfinite(y) * w[:, None], domain, n)
        weight = weight * (1 - np.divide(1.0, effective, out=np.ones_like(weight), where=effective > 0))
        variance = varied(
            variance, within, freedom, weight, _predictors(areas, covariates, scores.level, inhabited[heard])
        )
    elif variances == "gvf":
        variance = rescaled(variance, before, effective)
    return SourceEstimates(
        source=scores.source,
        year=scores.year,
        codes=inhabited[heard],
        mean=mean,
        variance=variance,
        respondents=group_sum(np.isfinite(y).astype(float), domain, n).astype(np.int64),
        n_effective=effective,
        given=before,
        kind=scores.kind,
        within=within,
        freedom=freedom,
        level=scores.level,
        icc=icc if cells else None,
        pooled=None if sd is not None else freedom.sum(axis=0),
    )


def _predictors(areas: Areas, covariates: Sequence[str], level: str, codes: pd.Index) -> Floats:
    """Covariates of areas and the logarithm of their residents, shape (n, P + 1); what is missing is the mean."""
    x = areas.frame[list(covariates)].to_numpy(dtype=float)
    lived = x[areas.inhabited]
    seen = np.isfinite(lived)
    mean = np.where(seen, lived, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    table, labels = np.where(np.isfinite(x), x, mean), areas.at(level)
    if level != areas.base:
        table = population_means(areas, level, labels, table)
    residents = areas.residents(level).reindex(codes).to_numpy(dtype=float)
    return np.column_stack([table[labels.get_indexer(codes)], np.log(residents)])


def widened(source: SourceEstimates, areas: Areas) -> SourceEstimates:
    """Return them with what the error of the shares of old areas in new ones adds to their sampling variances.

    That of sum_j T_ij theta_j, with theta_j of the variance between areas: that of the estimates less their mean
    sampling variance. Measures are taken as independent in it. Areas that lie in one have none.
    """
    if source.level not in areas.editions:
        return source
    edition = areas.editions[source.level]
    error = edition.error[edition.labels.get_indexer(source.codes)]
    observed = np.isfinite(source.mean)
    n = observed.sum(axis=0)
    off = np.where(observed, source.mean - np.where(observed, source.mean, 0.0).sum(axis=0) / np.maximum(n, 1), 0.0)
    sampling = np.where(observed, np.einsum("add->ad", source.variance), 0.0).sum(axis=0)
    between = np.maximum((off**2).sum(axis=0) / np.maximum(n - 1, 1) - sampling / np.maximum(n, 1), 0.0)
    extra = np.where(observed, error[:, None] * between, 0.0)
    return replace(source, variance=source.variance + extra[:, :, None] * np.eye(len(n)))


def of_few(source: SourceEstimates) -> list[Note]:
    """How little the variance within areas rests on, where it is little: 0 where it was given."""
    freedom = np.zeros(1) if source.freedom is None else source.freedom.sum(axis=0)[source.informs]
    if not 0 < freedom.min() < ENOUGH:
        return []
    return [Note(
        "the variance of scores within areas rests on {freedom:.0f} degrees of freedom in {source}: its standard error "
        "is {error:.0f}%, which intervals hold (not those of engine eblup)",
        "de variantie van scores binnen gebieden berust bij {source} op {freedom:.0f} vrijheidsgraden: de "
        "standaardfout ervan is {error:.0f}%, en die zit in de marges (niet bij rekenwijze eblup)",
        source=source.source, freedom=float(freedom.min()), error=100 * float(np.sqrt(2 / freedom.min())),
    )]  # fmt: skip


def of_clusters(source: SourceEstimates) -> list[Note]:
    """What the clusters of a survey cost in the sampling variances that the model gets."""
    if source.icc is None:
        return []
    if not source.icc.any():
        return [Note(
            "clusters of {source}: within areas their answers differ no more than those of persons, or an area is in "
            "one cluster; sampling variances are those of independent respondents",
            "clusters van {source}: binnen gebieden verschillen hun antwoorden niet meer dan die van personen, of een "
            "gebied ligt in één cluster; steekproefvarianties zijn die van onafhankelijke respondenten",
            source=source.source,
        )]  # fmt: skip
    icc, worst = source.icc.sum(axis=0), int(np.argmax(source.icc.sum(axis=0)))
    return [Note(
        "clusters of {source} count in the sampling variances: answers within a cluster correlate by {low:.2f} to "
        "{high:.2f}, so that {n} answers are worth {effective:.0f}",
        "clusters van {source} tellen mee in de steekproefvarianties: antwoorden binnen een cluster hangen samen met "
        "{low:.2f} tot {high:.2f}, zodat {n} antwoorden er {effective:.0f} waard zijn",
        source=source.source, low=float(icc[source.informs].min()), high=float(icc.max()),
        n=int(source.respondents[:, worst].sum()), effective=float(source.n_effective[:, worst].sum()),
    )]  # fmt: skip


def _components(scores: Scores, y: Floats, w: Floats, domain: Ints, cells: Sequence[Ints], sd: float | None) -> Floats:
    """Covariances of clusters and persons, or what the user says: one standard deviation for all, uncorrelated."""
    if sd is not None:
        return np.eye(y.shape[1])[None] * sd**2
    here = domain >= 0
    levels = [planned(scores.frame[here], domain[here]), *(cell[here] for cell in cells)]
    try:
        return components(y[here], w[here], levels)
    except DataError as error:
        raise DataError(f"{scores.source}: {error.what}", error.got, error.expected, error.hint) from error


def arrays(scores: Scores, subdimensions: Sequence[str]) -> tuple[Floats, Floats]:
    """Scores (n, D) and weights of the respondents as arrays."""
    columns = scores.frame.reindex(columns=list(subdimensions))
    return columns.to_numpy(dtype=float), scores.frame["weight"].to_numpy(dtype=float)
