r"""Design-based direct estimates per area, and their covariances over sub-dimensions.

With w_id = w_i where respondent i answered d (0 elsewhere) and W_ad = sum_{i in a} w_id, the Hajek mean is
m_ad = sum_{i in a} w_id y_id / W_ad. Its covariance follows from the survey's whole design: strata, clusters,
population sizes, calibration (`variance`, `calibration`) or replicate weights (`replicates`). A handful of respondents
cannot carry that: the model gets smoothed variances (`smoothing`).

References
----------
Lumley, T. (2010). Complex Surveys, ch. 2. Kish, L. (1992). Weighting for unequal P_i. J. Official Statistics 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from buurtsae.areas import codes
from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.estimators import design_of, domain_estimates, population_means, regressors
from buurtsae.survey.measures import combined, fewest, long_table, standard_errors
from buurtsae.survey.plausible import in_place
from buurtsae.survey.scales import Scores
from buurtsae.survey.smoothing import Method
from buurtsae.survey.source_estimates import SourceEstimates, arrays, of_source
from buurtsae.survey.variance import group_sum, kish, srs_variance

if TYPE_CHECKING:
    from buurtsae.survey.concept import Concept


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
    years : tuple of int
        Years that have estimates of their own, ascending; empty where all sources tell about one period.
    """

    subdimensions: tuple[str, ...]
    sources: tuple[SourceEstimates, ...]
    areas: Areas
    scores: tuple[Scores, ...] = ()
    notes: tuple[Note, ...] = ()
    years: tuple[int, ...] = ()

    def by_year(self) -> DirectEstimates:
        """Return them with a period for each year of the sources, instead of one for all."""
        return replace(self, years=tuple(sorted({s.year for s in self.sources})))

    def of_year(self, year: int) -> DirectEstimates:
        """Return those of one year, as one period."""
        kept = [k for k, s in enumerate(self.sources) if s.year == year]
        scores = tuple(self.scores[k] for k in kept) if self.scores else ()
        return replace(self, sources=tuple(self.sources[k] for k in kept), scores=scores, years=())

    @property
    def reference(self) -> Ints:
        """Position of the reference source of each sub-dimension, shape (D,).

        The first survey per buurt that informs it; without one the first survey per wijk, then the first participatory
        source per buurt, then per wijk: a random sample fixes the level, even where it does not tell buurten apart.
        """
        rank = np.array([s.informs * (1 + 2 * (s.kind == "survey") + (s.level == "buurt")) for s in self.sources])
        return np.argmax(rank, axis=0)

    def totals(
        self,
        level: str,
        concept: Concept | None = None,
        method: Literal["hajek", "greg"] = "hajek",
        covariates: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Return direct estimates per area of a level, from the reference sources, with design standard errors.

        A source that is known per wijk counts from wijk level upward.

        Parameters
        ----------
        level : str
            `buurt`, `wijk`, `gemeente`, `ggdregio` or `land`.
        concept : Concept, optional
            Adds the measures above the sub-dimensions, as means of them.
        method : {"hajek", "greg"}
            Hajek means, or regression estimates m_a = Xbar_a'B + ebar_a with the covariates of the buurten,
            population-weighted in Xbar_a. At buurt level both are equal: all residents of a buurt share x. They differ
            above it, as far as respondents are spread over buurten otherwise than residents are.
        covariates : sequence of str
            Columns of the areas, for `greg`.

        Returns
        -------
        DataFrame
            `area_code`, `measure`, `direct`, `direct_se` (missing below two respondents or at zero), `n_direct` (the
            respondents that `direct` rests on, fewest over the parts of a measure), `n_respondents` and `n_effective`
            (all sources; a respondent counts for a measure who scores on part of it).

        Raises
        ------
        DataError
            If `greg` has no covariates, or they are unknown or missing, or there are no microdata.
        """
        weights = concept.matrix_of(self.subdimensions) if concept else None
        measures = list(weights.index) if weights is not None else list(self.subdimensions)
        matrix = weights.to_numpy() if weights is not None else np.eye(len(measures))
        if method == "greg" and not self.scores:
            raise _no_microdata("regression estimates")
        if not self.scores:
            return self._table_totals(level, measures, matrix)
        x = regressors(self.areas, covariates) if method == "greg" else None
        labels = self.areas.at(level)
        xbar = None if x is None else population_means(self.areas, level, labels, x)
        shape = (len(labels), len(self.subdimensions))
        mean, variance = np.full(shape, np.nan), np.full((*shape, shape[1]), np.nan)
        count, effective = (
            np.zeros((len(labels), len(measures)), dtype=np.int64),
            np.zeros((len(labels), len(measures))),
        )
        for s, scores in enumerate(self.scores):
            domain, own = self.domain(level, scores.level, scores.frame["area"]), self.reference == s
            y, w = arrays(scores, self.subdimensions)
            if own.any():
                of_person = None if x is None else self._covariates(x, scores)
                m, v = domain_estimates(scores, y[:, own], w, domain, len(labels), of_person, xbar)
                mean[:, own] = m
                # sub-dimensions of different sources have different respondents: their covariance is 0
                variance[:, own] = 0.0
                variance[np.ix_(np.arange(len(labels)), own, own)] = v
            some = (np.isfinite(y).astype(float) @ (matrix.T > 0)) > 0
            count += group_sum(some.astype(float), domain, len(labels)).astype(np.int64)
            part = some * w[:, None]
            total, square = group_sum(part, domain, len(labels)), group_sum(part**2, domain, len(labels))
            effective += np.divide(total**2, square, out=np.zeros_like(total), where=square > 0)
        answered = self._reference_counts(level)
        direct = np.clip(combined(matrix, mean), 0.0, 10.0)  # a weighted mean of tens may be 10 and a rounding error
        enough = combined(matrix, np.where(answered > 1, 1.0, np.nan))
        se = np.where(np.isfinite(enough), standard_errors(matrix, variance), np.nan)
        return long_table(labels, measures, direct, se, fewest(matrix, answered), count, effective)

    def variances(self) -> pd.DataFrame:
        """Return sampling variances per source, area and sub-dimension, before and after smoothing.

        Returns
        -------
        DataFrame
            `source`, `area_code`, `measure`, `n_respondents`, `n_effective`, `before` (design-based, or as an office
            gave it; missing or 0 where the respondents cannot tell) and `after` (what the model gets), squared points.
        """
        parts = []
        for s in self.sources:
            row, d = np.nonzero(np.isfinite(s.mean))
            before = s.variance if s.given is None else s.given
            columns = {
                "source": s.source,
                "area_code": s.codes[row],
                "measure": np.array(self.subdimensions)[d],
                "n_respondents": s.respondents[row, d],
                "n_effective": s.n_effective[row, d],
                "before": before[row, d, d],
                "after": s.variance[row, d, d],
            }
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def design_effects(self, level: str) -> pd.DataFrame:
        """Return how much the design costs or gains, per area of a level and sub-dimension of its reference source.

        Returns
        -------
        DataFrame
            `area_code`, `measure`, `source`, `n_respondents`, `deff_weights` (Kish, n sum w^2 / (sum w)^2),
            `n_effective` (n over it) and `deff` (the variance of `totals` over that of a simple random sample of as
            many, drawn without replacement; with replacement where weights do not sum to a population). Missing with
            fewer than two respondents.

        Raises
        ------
        DataError
            If the estimates came from a table, without microdata.
        """
        if not self.scores:
            raise _no_microdata("design effects")
        labels = self.areas.at(level)
        parts = []
        for s, scores in enumerate(self.scores):
            own = self.reference == s
            if not own.any():
                continue
            names = [d for d, mine in zip(self.subdimensions, own, strict=True) if mine]
            domain = self.domain(level, scores.level, scores.frame["area"])
            y, w = arrays(scores, names)
            _, v = domain_estimates(scores, y, w, domain, len(labels))
            answered = np.isfinite(y) & (domain >= 0)[:, None]
            n, weighting = (
                group_sum(answered.astype(float), domain, len(labels)),
                kish(w, answered, domain, len(labels)),
            )
            relative = w.sum() <= 1.01 * len(w)  # weights with mean 1 do not tell the population's size
            simple = srs_variance(y, w, domain, len(labels), replacement=bool(relative))
            deff = np.divide(np.einsum("add->ad", v), simple, out=np.full(n.shape, np.nan), where=simple > 0)
            few = n < 2
            index = pd.MultiIndex.from_product([labels, names], names=["area_code", "measure"])
            columns = {
                "source": scores.source,
                "n_respondents": n.astype(np.int64).ravel(),
                "deff_weights": np.where(few, np.nan, weighting).ravel(),
                "n_effective": np.where(few, n, n / np.where(few, 1.0, weighting)).ravel(),
                "deff": np.where(few, np.nan, deff).ravel(),
            }
            parts.append(pd.DataFrame(columns, index=index).reset_index())
        return pd.concat(parts, ignore_index=True)

    def domain(self, level: str, own: str, area: pd.Series | pd.Index) -> Ints:
        """Position among the codes of a level of codes of a source's own level.

        It is -1 for an area without residents, and for all areas where the level lies below that of the source.
        """
        if codes.below(level, own):
            return np.full(len(area), -1)
        known = self.areas.inhabited_at(own)
        position = self.areas.at(level).get_indexer(self.areas.parents(level, own)[known])
        return np.append(position, -1)[known.get_indexer(area)]

    def _covariates(self, x: Floats, scores: Scores) -> Floats:
        """Covariates of each respondent: those of the buurt, or the mean over the residents of the wijk."""
        labels = self.areas.at(scores.level)
        own = x if scores.level == "buurt" else population_means(self.areas, scores.level, labels, x)
        return own[labels.get_indexer(scores.frame["area"])]

    def _reference_counts(self, level: str) -> Ints:
        out = np.zeros((len(self.areas.at(level)), len(self.subdimensions)), dtype=np.int64)
        for s, estimates in enumerate(self.sources):
            own, row = self.reference == s, self.domain(level, estimates.level, estimates.codes)
            out[:, own] += group_sum(estimates.respondents[:, own].astype(float), row, len(out)).astype(np.int64)
        return out

    def _table_totals(self, level: str, measures: list[str], matrix: Floats) -> pd.DataFrame:
        """Totals without microdata: estimates at a source's own level as given, above it numbers of respondents."""
        labels = self.areas.at(level)
        shape = (len(labels), len(self.subdimensions))
        mean, variance = np.full(shape, np.nan), np.zeros((*shape, shape[1]))
        count, effective = np.zeros(shape), np.zeros(shape)
        for s, estimates in enumerate(self.sources):
            row = self.domain(level, estimates.level, estimates.codes)
            count += group_sum(estimates.respondents.astype(float), row, len(labels))
            effective += group_sum(estimates.n_effective, row, len(labels))
            if level == estimates.level:
                own = np.flatnonzero(self.reference == s)
                mean[row[:, None], own] = estimates.mean[:, own]
                block = np.ix_(row, own, own)
                given = estimates.variance if estimates.given is None else estimates.given
                variance[block] = given[:, own][:, :, own]
        missing = ~(np.einsum("add->ad", variance) > 0)  # an office may leave a variance out, or give zero
        se = np.where(missing.astype(float) @ (matrix.T > 0) > 0, np.nan, standard_errors(matrix, variance))
        # whether the same persons answered is unknown: a measure has at least those of its best part
        part = matrix[None] > 0
        largest = (count[:, None, :] * part).max(axis=2).astype(np.int64)
        direct = combined(matrix, mean)
        return long_table(
            labels,
            measures,
            direct,
            np.where(np.isfinite(direct), se, np.nan),
            fewest(matrix, self._reference_counts(level)),
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
        unknown_areas: Literal["refuse", "drop"] = "refuse",
    ) -> DirectEstimates:
        """Start at area level: read direct estimates that an office computed itself.

        Parameters
        ----------
        path : path
            CSV or Parquet with `area_code` (of one source all buurten or all wijken), `measure` (a sub-dimension),
            `source`, `estimate` (on 0-10; noise may lie outside), `variance`, `n_respondents` and optionally
            `n_effective`. The first source in the file is the reference, as `reference` says.
        covariances : path, optional
            `area_code`, `source`, `measure_1`, `measure_2`, `covariance`; without it, sampling errors of
            different sub-dimensions are taken as uncorrelated, and that is noted.
        year : int, optional
            Year of the estimates; the areas' year by default.
        smooth : bool
            Replace each variance by S_d / n_effective with S_d = n_effective x variance pooled over areas
            (weights n - 1), keeping sampling correlations. Without it every variance must be positive.
        unknown_areas : {"refuse", "drop"}
            Whether rows of areas that `areas` does not have are an error, or left out and counted in the notes.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong with the tables, at once.
        """
        from buurtsae.survey.area_table import read_area_table

        found, sources, notes = read_area_table(
            Path(path),
            Path(covariances) if covariances else None,
            areas,
            concept,
            year or areas.year,
            smooth,
            drop=unknown_areas == "drop",
        )
        return cls(found, sources, areas, (), notes)

    def __repr__(self) -> str:
        parts = [f"{s.source} {s.year}: {len(s.codes)} {s.level}en" for s in self.sources]
        return f"DirectEstimates of {', '.join(self.subdimensions)} ({'; '.join(parts)})"


def direct(
    scores: Scores | Sequence[Scores],
    areas: Areas,
    *,
    variances: Method = "pooled",
    sd: Mapping[str, float] | None = None,
) -> DirectEstimates:
    """Return direct estimates per buurt, or per wijk for a source of that level, with smoothed sampling covariances.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One per source; the first survey that informs a sub-dimension is its reference.
    areas : Areas
    variances : {"pooled", "gvf"}
        How sampling variances are smoothed, see `buurtsae.survey.smoothing`.
    sd : mapping of source to float, optional
        Standard deviation of the scores within an area, for a source that cannot tell: one respondent in each area.

    Raises
    ------
    DataError or ProblemsError
        On respondents in unknown areas, one source twice, or no usable score at all.
    """
    several = [scores] if isinstance(scores, Scores) else list(scores)
    problems = Problems()
    names = [s.source for s in several]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.add(f"source {name} is given twice", f"{names.count(name)} times", "once", "combine the files first")
    kept, notes = [], list[Note]()
    for s in several:
        area = s.frame["area"]
        unknown = area[~area.isin(areas.at(s.level))]
        if len(unknown):
            problems.add(
                f"{len(unknown)} respondents of {s.source} live in unknown {s.level}en",
                shown(sorted(unknown.unique())),
                f"{s.level}codes of {areas.year}",
                "recode them to the areas' year",
            )
        empty = area.isin(areas.at(s.level).difference(areas.inhabited_at(s.level)))
        if empty.any():
            notes.append(
                Note(
                    "{n} respondents of {source} left out: {level}en without residents ({codes})",
                    "{n} respondenten van {source} weggelaten: {level}en zonder inwoners ({codes})",
                    n=int(empty.sum()), source=s.source, level=s.level, codes=sorted(area[empty].unique()),
                )
            )  # fmt: skip
        said = (*design_of(s).notes, *(n.under(s.source) for n in s.notes), *_thin(s, area[~empty]))
        notes += [n for n in said if n not in notes]
        kept.append(replace(s, frame=s.frame[~empty]))
        notes += _cut(s, areas)
    notes += in_place(kept, areas)
    order = list(dict.fromkeys(d for s in several for d in s.subdimensions))
    asked = [d for d in order if any(s.frame[d].notna().any() for s in kept)]
    if not asked:
        problems.add(
            "there is no score at all", "0 respondents with a score", "some", "check the extract and the codebook"
        )
    problems.raise_if_any()
    given = sd or {}
    sources = []
    for s in several:
        try:
            sources.append(of_source(s, asked, areas.inhabited_at(s.level), variances, given.get(s.source)))
        except DataError as error:
            problems.collect(error)
    problems.raise_if_any()
    return DirectEstimates(tuple(asked), tuple(sources), areas, tuple(several), tuple(notes))


def _thin(scores: Scores, area: pd.Series) -> list[Note]:
    """A note on gemeenten with one respondent: their estimate has no standard error of its own."""
    count = codes.gemeente_of(area.astype("string")).value_counts()
    alone = sorted(count.index[count == 1])
    note = Note(
        "{source} has one respondent in {n} gemeenten ({codes})",
        "{source} heeft in {n} gemeenten maar één respondent ({codes})",
        source=scores.source, n=len(alone), codes=alone,
    )  # fmt: skip
    return [note] if alone else []


def _cut(scores: Scores, areas: Areas) -> list[Note]:
    """A note on respondents per wijk, of wijken of which the run holds a part."""
    n = int(scores.frame["area"].isin(areas.partial.get(scores.level, ())).sum())
    note = Note(
        "{n} respondents live in wijken of which the run holds a part, and stand for that part ({source})",
        "{n} respondenten wonen in wijken waarvan de run maar een deel bevat, en tellen voor dat deel ({source})",
        n=n, source=scores.source,
    )  # fmt: skip
    return [note] if n else []


def _no_microdata(what: str) -> DataError:
    return DataError(f"{what} need microdata", "a table of estimates", "respondents", "start from [[sources]]")
