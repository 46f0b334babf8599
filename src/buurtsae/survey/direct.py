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
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.estimators import design_of, domain_estimates, population_means, regressors
from buurtsae.survey.measures import combined, fewest, long_table, standard_errors
from buurtsae.survey.plausible import in_place, nobody, partial, thin
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
    counted : bool
        Whether numbers of respondents are known; otherwise 1 stands for those of an estimate.
    scale : Scale
        What figures can be: 0-10 for scores, without ends for those of a table of any areas.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> direct = voorbeeldstad().fit.direct
    >>> direct
    DirectEstimates of omgang_en_relaties, participatie, plaatsidentiteit, plaatsgeschiktheid (veiligheidsmonitor 2024:
    106 buurten, burgerpeiling 2024: 97 buurten)
    >>> direct.totals("land").set_index("measure")["direct"].round(1).to_dict()
    {'omgang_en_relaties': 5.9, 'participatie': 5.5, 'plaatsidentiteit': 5.9, 'plaatsgeschiktheid': 5.9}
    """

    subdimensions: tuple[str, ...]
    sources: tuple[SourceEstimates, ...]
    areas: Areas
    scores: tuple[Scores, ...] = ()
    notes: tuple[Note, ...] = ()
    years: tuple[int, ...] = ()
    counted: bool = True
    scale: Scale = SCORE

    def by_year(self) -> DirectEstimates:
        """Return them with a period for each year of the sources, where there are several, instead of one for all."""
        years = tuple(sorted({s.year for s in self.sources}))
        return replace(self, years=years if len(years) > 1 else ())

    def of_year(self, year: int) -> DirectEstimates:
        """Return those of one year, as one period.

        Raises
        ------
        DataError
            If no source is of that year.
        """
        kept = [k for k, s in enumerate(self.sources) if s.year == year]
        if not kept:
            known = shown(sorted({s.year for s in self.sources}))
            raise DataError("there is no such year", repr(year), known, "choose one of these")
        scores = tuple(self.scores[k] for k in kept) if self.scores else ()
        return replace(self, sources=tuple(self.sources[k] for k in kept), scores=scores, years=())

    @property
    def reference(self) -> Ints:
        """Position of the reference source of each sub-dimension, shape (D,).

        The first survey per buurt that informs it; without one the first survey per wijk, then the first participatory
        source per buurt, then per wijk: a random sample fixes the level, even where it does not tell buurten apart.

        Raises
        ------
        DataError
            Of several years, each of which has its own.
        """
        if self.years:
            hint = "take one, by `of_year` of the fit or of the direct estimates"
            raise DataError("this is for one year at a time", shown(self.years), "one period", hint)
        base = self.areas.base
        rank = np.array([s.informs * (1 + 2 * (s.kind == "survey") + (s.level == base)) for s in self.sources])
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
        mean, variance = (
            self._hajek(level) if method == "hajek" else self._means(level, regressors(self.areas, covariates))
        )
        labels, answered = self.areas.at(level), self._reference_counts(level)
        count, effective = np.zeros((2, len(labels), len(measures)))
        for scores in self.scores:
            domain = self.domain(level, scores.level, scores.frame["area_code"])
            y, w = arrays(scores, self.subdimensions)
            some = (np.isfinite(y).astype(float) @ (matrix.T > 0)) > 0
            count += group_sum(some.astype(float), domain, len(labels))
            part = some * w[:, None]
            total, square = group_sum(part, domain, len(labels)), group_sum(part**2, domain, len(labels))
            effective += np.divide(total**2, square, out=np.zeros_like(total), where=square > 0)
        direct = combined(matrix, mean)
        if concept is not None:  # a weighted mean of tens may be 10 and a rounding error
            direct = concept.scale.shown(direct)
        enough = combined(matrix, np.where(answered > 1, 1.0, np.nan))
        se = np.where(np.isfinite(enough), standard_errors(matrix, variance), np.nan)
        return long_table(labels, measures, direct, se, fewest(matrix, answered), count.astype(np.int64), effective)

    def _hajek(self, level: str) -> tuple[Floats, Floats]:
        """Hajek means of a level, made once: every table of measures at that level starts from them."""
        if level not in self._made:
            self._made[level] = self._means(level)
        return self._made[level]

    @cached_property
    def _made(self) -> dict[str, tuple[Floats, Floats]]:
        return {}

    def _means(self, level: str, x: Floats | None = None) -> tuple[Floats, Floats]:
        """Means of the sub-dimensions per area by their reference source, and covariances; regression with `x`."""
        labels = self.areas.at(level)
        xbar = None if x is None else population_means(self.areas, level, labels, x)
        shape = (len(labels), len(self.subdimensions))
        # sub-dimensions of different sources have different respondents: their covariance is 0
        mean, variance = np.full(shape, np.nan), np.zeros((*shape, shape[1]))
        for s, scores in enumerate(self.scores):
            read = np.flatnonzero(self.reference == s)
            if not len(read):
                continue
            y, w = arrays(scores, [self.subdimensions[d] for d in read])
            domain = self.domain(level, scores.level, scores.frame["area_code"])
            of_person = None if x is None else self._covariates(x, scores)
            mean[:, read], block = domain_estimates(scores, y, w, domain, len(labels), of_person, xbar)
            variance[np.ix_(np.arange(len(labels)), read, read)] = block
        return mean, variance

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
            names = [d for d, r in zip(self.subdimensions, self.reference, strict=True) if r == s]
            if not names:
                continue
            domain = self.domain(level, scores.level, scores.frame["area_code"])
            y, w = arrays(scores, names)
            _, v = domain_estimates(scores, y, w, domain, len(labels))
            answered = np.isfinite(y) & (domain >= 0)[:, None]
            n = group_sum(answered.astype(float), domain, len(labels))
            weighting = kish(w, answered, domain, len(labels))
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

    def domain(self, level: str, of: str, area: pd.Series | pd.Index) -> Ints:
        """Position among the codes of a level, of areas of the level `of` of a source.

        It is -1 for an area without residents, and for all areas where the level lies below that of the source.
        """
        if self.areas.system.below(level, of):
            return np.full(len(area), -1)
        known = self.areas.inhabited_at(of)
        position = self.areas.at(level).get_indexer(self.areas.parents(level, of)[known])
        return np.append(position, -1)[known.get_indexer(area)]

    def _covariates(self, x: Floats, scores: Scores) -> Floats:
        """Covariates of each respondent: those of the buurt, or the mean over the residents of the wijk."""
        labels = self.areas.at(scores.level)
        table = x if scores.level == self.areas.base else population_means(self.areas, scores.level, labels, x)
        return table[labels.get_indexer(scores.frame["area_code"])]

    def _reference_counts(self, level: str) -> Ints:
        out = np.zeros((len(self.areas.at(level)), len(self.subdimensions)), dtype=np.int64)
        for s, estimates in enumerate(self.sources):
            read, row = self.reference == s, self.domain(level, estimates.level, estimates.codes)
            out[:, read] += group_sum(estimates.respondents[:, read].astype(float), row, len(out)).astype(np.int64)
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
                read = np.flatnonzero(self.reference == s)
                mean[row[:, None], read] = estimates.mean[:, read]
                before = estimates.variance if estimates.given is None else estimates.given
                variance[np.ix_(row, read, read)] = before[:, read][:, :, read]
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

        subdimensions, sources, notes = read_area_table(
            Path(path),
            Path(covariances) if covariances else None,
            areas,
            concept,
            year or areas.year,
            smooth,
            drop=unknown_areas == "drop",
        )
        return cls(subdimensions, sources, areas, (), notes, scale=concept.scale)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        y: str | Sequence[str],
        variance: str | Sequence[str],
        area: str,
        areas: Areas | None = None,
        covariance: Mapping[tuple[str, str], str] | None = None,
        year: int = 0,
    ) -> DirectEstimates:
        """Start from a table of any areas, with or without geometry: figures, their variances, and covariates.

        Parameters
        ----------
        frame : DataFrame, one row per area
            Its other numeric columns are covariates. It is not changed.
        y, variance : str or sequence of str
            Columns of the figures, on any scale, and of their sampling variances. A missing figure is no estimate.
        area : str
            Column of the codes.
        areas : Areas, optional
            With levels, residents or geometry, where there are; their columns are the covariates then, and the frame
            may lack areas. By default ``Areas.from_frame(frame, code=area)``.
        covariance : mapping of (measure, measure) to str, optional
            Columns of sampling covariances; 0 for pairs without.
        year : int
            Year of the figures; 0 where it does not matter.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: columns that are absent or no numbers, codes that occur twice or that
            the areas do not have, variances that are not positive where there is a figure.

        Examples
        --------
        >>> table = pd.DataFrame({"fips": [1, 3, 5], "rate": [2.0, None, 3.1], "var": 0.2, "income": [30.0, 41, 28]})
        >>> DirectEstimates.from_frame(table, y="rate", variance="var", area="fips")
        DirectEstimates of rate (direct: 2 areas)
        """
        from buurtsae.survey.frames import read_frame

        measures, variances = ([c] if isinstance(c, str) else list(c) for c in (y, variance))
        source, areas, notes = read_frame(frame, measures, variances, area, areas, covariance or {}, year)
        return cls(tuple(measures), (source,), areas, notes=tuple(notes), counted=False, scale=Scale())

    def __repr__(self) -> str:
        noun = self.areas.system.noun
        parts = (f"{s.source}{f' {s.year}' if s.year else ''}: {len(s.codes)} {noun(s.level)}" for s in self.sources)
        return f"DirectEstimates of {shown(self.subdimensions)} ({shown(parts)})"


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

    Returns
    -------
    DirectEstimates

    Raises
    ------
    DataError or ProblemsError
        On respondents in unknown areas, one source twice, or no usable score at all.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> fit = voorbeeldstad().fit
    >>> direct(fit.direct.scores, fit.areas, variances="gvf")
    DirectEstimates of omgang_en_relaties, participatie, plaatsidentiteit, plaatsgeschiktheid (veiligheidsmonitor 2024:
    106 buurten, burgerpeiling 2024: 97 buurten)
    """
    several = [scores] if isinstance(scores, Scores) else list(scores)
    problems = Problems()
    names = [s.source for s in several]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.add(f"source {name} is given twice", f"{names.count(name)} times", "once", "combine the files first")
    kept, notes = [], list[Note]()
    for s in several:
        area = s.frame["area_code"]
        unknown = area[~area.isin(areas.at(s.level))]
        if len(unknown):
            problems.add(
                f"{len(unknown)} respondents of {s.source} live in unknown {areas.system.noun(s.level)}",
                shown(sorted(unknown.unique())),
                f"{s.level}codes of {areas.year}",
                "recode them to the areas' year",
            )
        empty = area.isin(areas.at(s.level).difference(areas.inhabited_at(s.level)))
        notes += nobody(s, area[empty], areas)
        remarks = (*design_of(s).notes, *(n.under(s.source) for n in s.notes), *thin(s, area[~empty], areas))
        notes += [n for n in remarks if n not in notes]
        kept.append(replace(s, frame=s.frame[~empty]))
        notes += partial(s, areas)
    notes += in_place(kept, areas)
    order = list(dict.fromkeys(d for s in several for d in s.subdimensions))
    asked = [d for d in order if any(s.frame[d].notna().any() for s in kept)]
    if not asked:
        problems.add(
            "there is no score at all", "0 respondents with a score", "some", "check the extract and the codebook"
        )
    problems.raise_if_any()
    sources = [
        problems.attempt(of_source, s, asked, areas.inhabited_at(s.level), variances, (sd or {}).get(s.source))
        for s in several
    ]
    problems.raise_if_any()
    return DirectEstimates(
        tuple(asked), tuple(s for s in sources if s is not None), areas, tuple(several), tuple(notes)
    )


def _no_microdata(what: str) -> DataError:
    return DataError(f"{what} need microdata", "a table of estimates", "respondents", "start from [[sources]]")
