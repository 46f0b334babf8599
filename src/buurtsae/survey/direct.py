r"""Design-based direct estimates per area, and their covariances over sub-dimensions.

With w_id = w_i where respondent i answered d (0 elsewhere) and W_ad = sum_{i in a} w_id, the Hajek mean is
m_ad = sum_{i in a} w_id y_id / W_ad. Its covariance follows from the survey's whole design: strata, clusters,
population sizes, calibration (`variance`, `calibration`) or replicate weights (`replicates`). A handful of respondents
cannot carry that: the model gets variances pooled over areas, clusters included (`components`), or smoothed otherwise
(`smoothing`).

References
----------
Lumley, T. (2010). Complex Surveys, ch. 2. Kish, L. (1992). Weighting for unequal P_i. J. Official Statistics 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.area_table import read_area_table
from buurtsae.survey.concept import Concept
from buurtsae.survey.estimators import design_of, regressors
from buurtsae.survey.frames import read_frame
from buurtsae.survey.panels import Panel, panels
from buurtsae.survey.plausible import in_place, nobody, partial, thin
from buurtsae.survey.references import named, reference_of, references_of
from buurtsae.survey.scales import Scores
from buurtsae.survey.silent_years import asked_also
from buurtsae.survey.smoothing import Method
from buurtsae.survey.source_estimates import SourceEstimates, of_clusters, of_few, of_source, widened
from buurtsae.survey.totals import design_effects, means, of_respondents, of_table


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
        Years that have estimates of their own, or are asked for without, ascending; empty where all sources tell about
        one period.
    counted : bool
        Whether numbers of respondents are known; otherwise 1 stands for those of an estimate.
    scale : Scale
        What figures can be: 0-10 for scores, without ends for those of a table of any areas.
    anchors : tuple of str
        Reference source of each sub-dimension over several years, where they are of one year of a fit of these.
    panels : tuple of Panel
        Who answered in two years of a source, which makes their sampling errors go together.

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
    anchors: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each of `sources`: its own, with the year where it is there in several."""
        names = [source.source for source in self.sources]
        return tuple(named(names, [source.year for source in self.sources]))

    def by_year(self, also: Sequence[int] = ()) -> DirectEstimates:
        """Return them with a period for each year of the sources, where there are several, instead of one for all.

        Parameters
        ----------
        also : sequence of int
            Years without a survey that are estimated too: between those of the sources, or beyond them, no farther
            than these lie apart at the most: of a longer way data show no change.

        Raises
        ------
        ProblemsError or DataError
            If a year of `also` is given twice, is no whole number, has a source or lies too far away; or if sources are
            of one year.
        """
        waves = tuple(sorted({source.year for source in self.sources}))
        years = asked_also(also, waves)
        return replace(self, years=tuple(sorted((*waves, *years))) if len(waves) > 1 else ())

    @property
    def waves(self) -> tuple[int, ...]:
        """The years that have a source, ascending; empty where all sources tell about one period."""
        return tuple(sorted({source.year for source in self.sources})) if self.years else ()

    def nearest(self, year: int) -> int:
        """Return the year with a source that is nearest to one, the earlier of two."""
        return min((source.year for source in self.sources), key=lambda wave: (abs(wave - year), wave))

    def of_year(self, year: int) -> DirectEstimates:
        """Return those of one year, as one period; of a year without a survey its nearest sources, without anybody.

        Raises
        ------
        DataError
            If no source is of that year, and it was not asked for.
        """
        if year in self.years and year not in self.waves:
            near = [source for source in self.sources if source.year == self.nearest(year)]
            return replace(self, sources=tuple(source.silent(year) for source in near), scores=(), years=())
        kept = [place for place, source in enumerate(self.sources) if source.year == year]
        if not kept:
            known = shown(sorted({*self.years, *(source.year for source in self.sources)}))
            raise DataError("there is no such year", repr(year), known, "choose one of these")
        scores = tuple(self.scores[place] for place in kept) if self.scores else ()
        return replace(self, sources=tuple(self.sources[place] for place in kept), scores=scores, years=(), panels=())

    @property
    def reference(self) -> Ints:
        """Position of the reference source of each sub-dimension, shape (D,).

        The first survey per buurt that informs it; without one the first survey per wijk, then the first participatory
        source per buurt, then per wijk: a random sample fixes the level, even where it does not tell buurten apart.
        Buurten of another edition are buurten.

        Of one year of several it is the reference of all years, where it informs the sub-dimension in that year.

        Raises
        ------
        DataError
            Of several years, in some of which it may be absent: `references` are its names.
        """
        if self.years:
            hint = "take one, by `of_year` of the fit or of the direct estimates"
            raise DataError("this is for one year at a time", shown(self.years), "one period", hint)
        return reference_of(self.sources, self.areas, self.anchors)

    @property
    def references(self) -> tuple[str, ...]:
        """Name of the reference source of each sub-dimension, one over all years: by its best year, as `reference`."""
        return self.anchors or references_of(self.sources, self.areas)

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
        names, greg = list(self.subdimensions), method == "greg"
        if greg and not self.scores:
            raise _no_microdata("regression estimates")
        weights = pd.DataFrame(np.eye(len(names)), names, names) if concept is None else concept.matrix_of(names)
        if not self.scores:
            return of_table(self, level, weights)
        mean, variance = means(self, level, regressors(self.areas, covariates)) if greg else self._hajek(level)
        return of_respondents(self, level, weights, mean, variance, concept)

    def _hajek(self, level: str) -> tuple[Floats, Floats]:
        """Hajek means of a level, made once: every table of measures at that level starts from them."""
        if level not in self._made:
            self._made[level] = means(self, level)
        return self._made[level]

    @cached_property
    def _made(self) -> dict[str, tuple[Floats, Floats]]:
        return {}

    def variances(self) -> pd.DataFrame:
        """Return sampling variances per source, area and sub-dimension, before and after smoothing.

        Returns
        -------
        DataFrame
            `source` (with its year where it is there in several), `area_code`, `measure`, `n_respondents`,
            `n_effective`, `before` (design-based, or as an office gave it; missing or 0 where the respondents cannot
            tell) and `after` (what the model gets), squared points.
        """
        parts = []
        for label, source in zip(self.labels, self.sources, strict=True):
            row, dimension = np.nonzero(np.isfinite(source.mean))
            columns = {
                "source": label,
                "area_code": source.codes[row],
                "measure": np.array(self.subdimensions)[dimension],
                "n_respondents": source.respondents[row, dimension],
                "n_effective": source.n_effective[row, dimension],
                "before": source.before[row, dimension, dimension],
                "after": source.variance[row, dimension, dimension],
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
        return design_effects(self, level)

    def domain(self, level: str, of: str, area: pd.Series | pd.Index) -> Ints:
        """Position among the codes of a level, of areas of the level `of` of a source.

        It is -1 for an area without residents, for all areas where the level lies below that of the source, and for
        areas of another edition that lie in several, or beside such.
        """
        if level in self.areas.editions and of != level:
            return np.full(len(area), -1)
        if of not in self.areas.editions and self.areas.system.below(level, of):
            return np.full(len(area), -1)
        known = self.areas.inhabited_at(of)
        position = self.areas.at(level).get_indexer(self.areas.parents(level, of)[known])
        return np.append(position, -1)[known.get_indexer(area)]

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
        files, drop = (Path(path), Path(covariances) if covariances else None), unknown_areas == "drop"
        subdimensions, sources, notes = read_area_table(*files, areas, concept, year or areas.year, smooth, drop)
        return cls(subdimensions, sources, areas, (), notes, scale=concept.span)

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
        measures, variances = ([columns] if isinstance(columns, str) else list(columns) for columns in (y, variance))
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
    covariates: Sequence[str] = (),
) -> DirectEstimates:
    """Return direct estimates per buurt, or per wijk for a source of that level, with smoothed sampling covariances.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One per source, or per source and year; the first survey that informs a sub-dimension is its reference.
    areas : Areas
    variances : {"pooled", "auto", "gvf"}
        How sampling variances are smoothed, see `buurtsae.survey.smoothing`: the variance within areas is pooled over
        all of them, or follows covariates as far as the data show it (auto, the default of run files), or the variance
        of a mean is a function of the number of respondents (gvf).
    sd : mapping of source to float, optional
        Standard deviation of the scores within an area, of all years of a source that cannot tell: one respondent in
        each area.
    covariates : sequence of str
        Numeric columns of the areas that variances may follow besides the number of residents, for `auto`.

    Returns
    -------
    DirectEstimates

    Raises
    ------
    DataError or ProblemsError
        On respondents in unknown areas, a year of a source twice, covariates that the areas do not have, or no usable
        score.

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
    keys = [(each.source, each.year) for each in several]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        what, hint = f"source {key[0]} is given twice", "combine the files of one year first"
        problems.add(what, f"{keys.count(key)} times of {key[1]}", "a year of a source once", hint)
    if absent := [name for name in covariates if name not in areas.covariates]:
        hint = "correct the names, or join the table that has them"
        problems.add("covariates of the variances are absent", shown(absent), shown(areas.covariates, 30), hint)
    kept, notes = [], list[Note]()
    labels = named([each.source for each in several], [each.year for each in several])
    for each in (replace(scores, source=label) for label, scores in zip(labels, several, strict=True)):
        area, level = each.frame["area_code"], each.level
        if len(unknown := area[~area.isin(areas.at(level))]):
            what = f"{len(unknown)} respondents of {each.source} live in unknown {areas.system.noun(level)}"
            hint = "recode them to the areas' year, or bring a crosswalk from theirs (`on_edition`)"
            problems.add(what, shown(sorted(unknown.unique())), f"{level}codes of {areas.year}", hint)
        empty = area.isin(areas.at(level).difference(areas.inhabited_at(level)))
        notes += nobody(each, area[empty], areas)
        remarks = *(note.under(each.source) for note in each.notes), *thin(each, area[~empty], areas)
        notes += [note for note in (*design_of(each).notes, *remarks) if note not in notes]
        kept.append(replace(each, frame=each.frame[~empty]))
        notes += partial(each, areas)
    notes += in_place(kept, areas)
    order = list(dict.fromkeys(name for each in several for name in each.subdimensions))
    asked = [name for name in order if any(each.frame[name].notna().any() for each in kept)]
    if not asked:
        hint = "check the extract and the codebook"
        problems.add("there is no score at all", "0 respondents with a score", "some", hint)
    problems.raise_if_any()
    sources = [
        problems.attempt(of_source, s, asked, areas, variances, (sd or {}).get(s.source), covariates) for s in several
    ]
    problems.raise_if_any()
    known = tuple(widened(source, areas) for source in sources if source is not None)
    for label, source in zip(labels, known, strict=True):
        noted = replace(source, source=label)
        notes += [*of_clusters(noted), *([] if source.source in (sd or {}) else of_few(noted))]
    found = panels(known, several, asked)
    notes += [panel.words for panel in found]
    return DirectEstimates(tuple(asked), known, areas, tuple(several), tuple(notes), panels=found)


def _no_microdata(what: str) -> DataError:
    return DataError(f"{what} need microdata", "a table of estimates", "respondents", "start from [[sources]]")
