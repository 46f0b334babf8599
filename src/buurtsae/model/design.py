r"""Model + data -> arrays: all that an engine may see.

A site is where something is observed: a buurt, or a wijk of a source that is only known per wijk, whose score is the
mean of its residents, (A eta)_k with A the residents' shares. Observation of source s at site k, with sampling
covariance V over the columns that were answered, 0 elsewhere; its precision W = V^{-1} there has a root R, R R' = W.
The log-likelihood is -|R'(y - prediction)|^2 / 2 up to a constant, for sites with all, some or no answers alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.errors import BuurtsaeError, ModelError, Problems, shown
from buurtsae.model.breaks import Series, breaks_of
from buurtsae.model.calibration import unknown
from buurtsae.model.counted import check_outcome, correlation, counts, measured, of_respondents
from buurtsae.model.covariates import Provenance
from buurtsae.model.extrapolation import extrapolated, outside
from buurtsae.model.foreseen import check_foreseen, noted
from buurtsae.model.frame import Frame
from buurtsae.model.links import Linked, Offset, Offsets, links_of
from buurtsae.model.matrix import check_columns, covariates
from buurtsae.model.observed import (
    absent,
    centres_of,
    informing,
    kinds_of,
    names_of,
    observations,
    pooled_freedom,
    reference_rows,
    sites_of,
    told_by,
    within_sites,
)
from buurtsae.model.outcome.count import Count
from buurtsae.model.outcome.per_measure import PerMeasure, outcomes_of
from buurtsae.model.plausible import far, figures
from buurtsae.model.priors import Prior
from buurtsae.model.realised import check_realised, deviation
from buurtsae.model.remarks import TAILS, many, silent
from buurtsae.model.smooth import smoothed
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms.base import Effect, Term
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates


@dataclass(frozen=True, repr=False)
class Design:
    """What an engine sees: N areas, K sites, W = T years x D measures columns, P coefficients of each, S sources.

    Attributes
    ----------
    model : AreaModel
    areas : tuple of str
        All buurten, those without residents and without respondents included.
    site_codes : tuple of str
        Where something is observed: the N buurten, then the wijken that some source observes as a whole.
    sites : sparse, shape (K, N)
        A, the weights of the buurten at each site: the identity, and the residents' shares in their wijk.
    measures, coefficients, sources : tuple of str
        Of several years a source is one row S, in the columns of its years.
    years : tuple of int
        T of them; empty where there is one period. Columns are years, and within these measures.
    x : ndarray, shape (N, P)
        Standardised covariates; the first column is the intercept where there is one.
    y : ndarray, shape (S, K, W)
        Direct estimates, or counts; 0 where there is none.
    covariance : ndarray, shape (S, K, W, W)
        V of the sampling errors; 0 where there is no estimate, and for counts.
    linked : ndarray of bool, shape (S, W)
        True where the source informs a column of which it is not the reference: alpha, lambda, tau are free, and one
        for all its years.
    kinds : tuple of str
        Of the sources: `survey` or `participatory`.
    ratio, freedom : ndarray, shape (S, K, W)
        Variance within the site of its own respondents over the pooled one that V is made of, and its degrees of
        freedom, 0 where it is unknown: what a model of the variances learns from.
    centre : ndarray, shape (W,)
        The constant c of the link, the same in all years.
    effects : tuple of Effect
        The terms of the model, laid on the areas; before these, where years tell about each other, the coefficients.
    covariates : tuple of Provenance
    strange : tuple of Note
        Figures of the areas that may not be what they say.
    size : ndarray, shape (S, K, W), optional
        Of counts, their trials or exposure; 0 where nothing was counted.
    correlation : ndarray, shape (K, W, W), optional
        R of the sampling errors of counts, and of scores beside these (`buurtsae.model.counted`).
    known : ndarray, shape (N, W, W), optional
        Covariance of unstructured effects that no parameter changes.
    pooled : ndarray, shape (S, W), optional
        Degrees of freedom of the pooled variances that V is made of; 0 where V is known.
    breaks : tuple of Offset
        What sources read more from a year on.
    waves : tuple of int
        The years that have a survey.
    extrapolated : mapping of name to tuple of str
        Covariates and themes, and the areas that lie outside the range of those with respondents.
    """

    model: AreaModel
    areas: tuple[str, ...]
    site_codes: tuple[str, ...]
    sites: sp.csr_array
    measures: tuple[str, ...]
    coefficients: tuple[str, ...]
    sources: tuple[str, ...]
    x: Floats
    y: Floats
    covariance: Floats
    linked: NDArray[np.bool_]
    kinds: tuple[str, ...]
    ratio: Floats
    freedom: Floats
    centre: Floats
    effects: tuple[Effect, ...]
    covariates: tuple[Provenance, ...]
    strange: tuple[Note, ...] = ()
    years: tuple[int, ...] = ()
    size: Floats | None = None
    known: Floats | None = None
    extrapolated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pooled: Floats | None = None
    correlation: Floats | None = None
    breaks: tuple[Offset, ...] = ()
    waves: tuple[int, ...] = ()

    def __repr__(self) -> str:
        size = f"{len(self.areas)} areas x {len(self.columns)} columns, {len(self.sources)} sources"
        return f"Design of {size}, terms {shown(effect.name for effect in self.effects) or 'none'}"

    @property
    def periods(self) -> int:
        """T."""
        return max(len(self.years), 1)

    @property
    def columns(self) -> tuple[str, ...]:
        """Labels of the W columns: measures, with their year where there are several."""
        if not self.years:
            return self.measures
        return tuple(f"{measure} {year}" for year in self.years for measure in self.measures)

    @property
    def grouped(self) -> bool:
        """Whether unstructured effects of several areas are seen together."""
        loose = self.known is not None or any(effect.loose is not None for effect in self.effects)
        return self.sites.shape[0] > len(self.areas) and loose

    @property
    def imputed(self) -> dict[str, tuple[str, ...]]:
        """Covariates that were filled in, and the buurten where."""
        return {covariate.name: covariate.imputed for covariate in self.covariates if covariate.imputed}

    @property
    def notes(self) -> list[Note]:
        """What to know: modelled, sensitive or imputed covariates; a strange graph, or silent parts of it."""
        graphs = [note for term in self.model.terms if term.neighbours for note in term.neighbours.notes]
        used = [note for covariate in self.covariates for note in covariate.notes]
        tails = [TAILS] if any(effect.tail is not None for effect in self.effects) else []
        used += [*outside(self.extrapolated), *tails, *many(self)]
        used += [noted(year, self.waves) for year in self.years if year not in self.waves]
        return [*self.strange, *used, *dict.fromkeys(graphs), *silent(self)]

    @cached_property
    def links(self) -> tuple[Linked, ...]:
        """The free links: one per source and measure, whatever the number of years, in this order."""
        kinds = {"survey": self.model.link, "participatory": self.model.participatory}
        return links_of(self.sources, self.measures, self.linked, [kinds[kind] for kind in self.kinds])

    @cached_property
    def link_of(self) -> Ints:
        """Number of the link at each place of `np.nonzero(linked)`."""
        number = np.zeros(self.linked.shape, dtype=np.int64)
        for k, link in enumerate(self.links):
            number[link.source, list(link.columns)] = k
        return number[self.linked]

    @cached_property
    def link_place(self) -> tuple[Ints, Ints]:
        """Row and first column of each link."""
        of = self.links
        return np.array([k.source for k in of], dtype=np.int64), np.array([k.columns[0] for k in of], dtype=np.int64)

    @cached_property
    def offsets(self) -> Offsets:
        """What is added to what sources read: alpha of each link, then breaks."""
        each = [Offset(link.label, link.source, link.columns, link.priors.offset) for link in self.links]
        return Offsets((*each, *self.breaks), (self.linked.shape[0], self.linked.shape[1]))

    @property
    def observed(self) -> NDArray[np.bool_]:
        """True where a source has an estimate, shape (S, K, W)."""
        measured = np.asarray(np.einsum("sndd->snd", self.covariance) > 0)
        return measured if self.size is None else measured | (self.size > 0)

    @property
    def gaussian(self) -> Design:
        """What is not counted of it."""
        if self.size is None:
            return self
        return replace(self, size=None, y=np.where(self.size > 0, 0.0, self.y))

    @property
    def counted(self) -> tuple[Floats, Floats]:
        """Counts of all sources, and what they are beside, 0 where nothing was counted, shape (K, W) each."""
        assert self.size is not None  # asked of designs that have some
        return np.where(self.size > 0, self.y, 0.0).sum(axis=0), self.size.sum(axis=0)

    @property
    def doubtful(self) -> Floats:
        """Degrees of freedom of V where they are so few that its error counts, shape (S, W); 0 elsewhere."""
        if self.pooled is None or self.model.variances is not None:
            return np.zeros(self.linked.shape)
        return np.where(self.pooled < DOUBTFUL, self.pooled, 0.0)

    @cached_property
    def precision(self) -> Floats:
        """W, 0 where there is no estimate, shape (S, K, W, W)."""
        return _inverse(self.covariance)

    @property
    def root(self) -> Floats:
        """R, lower triangular, 0 where there is no estimate, shape (S, K, W, W)."""
        seen = self.observed
        rest = np.where(seen, 0.0, 1.0)[..., None] * np.eye(seen.shape[-1])
        return np.linalg.cholesky(self.precision + rest) - rest

    def with_precision(self, precision: Floats) -> Design:
        """Return it with other sampling errors, of a precision that is 0 where there is no estimate."""
        return replace(self, covariance=_inverse(precision))

    def information(self, slope: Floats, extra: Floats, factor: Floats | float = 1.0) -> Floats:
        """Return the precision of each source about eta, lambda (factor V + tau^2)^{-1} lambda, shape (S, K, W, W).

        Parameters
        ----------
        slope, extra : ndarray, shape (S, W)
            lambda and tau; 1 and 0 for references.
        factor : ndarray, shape (S, K, W), optional
            exp(h), for variances that were modelled.
        """
        seen = self.observed
        sd = np.sqrt(np.where(seen, factor, 1.0))
        v = self.covariance * sd[..., :, None] * sd[..., None, :]
        v = v + np.where(seen, extra[:, None] ** 2, 0.0)[..., None] * np.eye(seen.shape[-1])
        return _inverse(v) * slope[:, None, :, None] * slope[:, None, None, :]

    @property
    def overdispersion(self) -> dict[int, Prior]:
        """Prior of rho of the columns that have one."""
        each = [getattr(one, "overdispersion", None) for one in outcomes_of(self.model.outcome, self.measures)]
        return {w: prior for w, prior in enumerate(each * self.periods) if prior is not None}

    @property
    def coefficient_priors(self) -> tuple[Floats, Floats]:
        """Means and standard deviations of beta's priors, shape (P,) each; (P, W) where measures have their own."""
        intercept = np.array([name == "Intercept" for name in self.coefficients])
        m = self.model
        if m.counts:
            each = [m.intercept_of(measure) for measure in self.measures] * self.periods
            mean, sd = np.array([(prior.mean, prior.sd) for prior in each]).T
            column = intercept[:, None]
            return np.where(column, mean, m.coefficient.mean), np.where(column, sd, m.coefficient.sd)
        return (
            np.where(intercept, m.intercept.mean, m.coefficient.mean),
            np.where(intercept, m.intercept.sd, m.coefficient.sd),
        )

    @property
    def coefficient_unit(self) -> Floats:
        """Standard deviations that coefficients are counted in, shape (P,): the largest of their priors."""
        sd = self.coefficient_priors[1]
        return sd if sd.ndim == 1 else sd.max(axis=1)


DOUBTFUL = 250  # degrees of freedom: V is known to 9%, which costs 0.4 points of coverage: docs/variances.md


def design(model: AreaModel, direct: DirectEstimates) -> Design:
    """Return the arrays of a model on data, with the areas of these.

    Raises
    ------
    ModelError or ProblemsError
        All at once: a covariate that is absent, constant, or missing in some buurten; a graph of other areas;
        a grouping that the areas do not have; columns that are linear combinations of others; figures out of range.
    """
    problems, areas = Problems(), direct.areas
    model = replace(smoothed(model, direct), outcome=of_respondents(model.outcome.on(direct.scale), direct))
    part = None
    try:
        coefficients, x, part = covariates(model, areas)
    except BuurtsaeError as error:
        problems.collect(error)
    strange = problems.sift(figures(areas))
    numeric = pd.DataFrame() if part is None else part.numeric
    terms = [term for term in model.terms if part is not None or not term.theme]
    frame = Frame(areas, numeric, direct.subdimensions, direct.years, direct.waves)
    effects = _effects(terms, frame, problems)
    check_outcome(model, direct, problems)
    check_foreseen(model, direct, problems)
    if realised := model.estimand == "realised":
        check_realised(direct, problems)
    problems.raise_if_any()
    assert part is not None  # or there was a problem
    whole, size, remarks = direct, None, list[Note]()
    if model.counts:
        direct = measured(direct, model.outcome)
    site_codes, sites = sites_of(direct)
    if isinstance(direct, AreaCounts):
        y, size = (np.where(direct.size > 0, part, 0.0)[None] for part in (direct.y, direct.size))
        covariance = np.zeros((*y.shape, y.shape[-1]))
    else:
        y, covariance = observations(direct, site_codes, realised)
        if model.counts and isinstance(model.outcome, PerMeasure):
            of_counts, size, remarks = counts(whole, model.outcome, site_codes)
            y = y + of_counts
    ratio, freedom = within_sites(direct, site_codes)
    if model.variances is not None and not (freedom > 0).any():
        raise ModelError(
            "variances cannot be modelled",
            "no variance within an area, with its degrees of freedom",
            "respondents, several in some areas",
            "leave `variances` out: sampling variances are then taken as known",
        )
    references = reference_rows(whole) * max(len(direct.years), 1)  # of each column
    reference = np.array(references)[None, :] == np.arange(len(y))[:, None]
    centre = centres_of(direct, reference_rows(whole))
    outcomes = outcomes_of(model.outcome, direct.subdimensions)
    for outcome in dict.fromkeys(outcomes) if "Intercept" in coefficients else ():
        if not isinstance(outcome, Count):
            of_outcome = [one == outcome for one in outcomes] * max(len(direct.years), 1)
            remarks += far(model.intercept, centre[of_outcome], outcome.scale)
    arrays = Design(
        model=model,
        areas=tuple(areas.codes),
        site_codes=tuple(site_codes),
        sites=sites,
        measures=direct.subdimensions,
        coefficients=coefficients,
        sources=names_of(direct),
        x=x,
        y=y,
        covariance=covariance,
        linked=informing(direct) & ~reference,
        kinds=kinds_of(direct),
        ratio=ratio,
        freedom=freedom,
        centre=centre,
        effects=effects,
        covariates=part.covariates,
        strange=(*strange, *remarks, *absent(whole)),
        years=direct.years,
        waves=direct.waves,
        size=size,
        known=deviation(direct) if realised else None,
        correlation=correlation(whole, model.outcome, site_codes) if isinstance(model.outcome, PerMeasure) else None,
        pooled=pooled_freedom(direct),
    )
    if direct.years and (trend := model.over_years):
        of_formula = trend.on(frame, coefficients, x, arrays.coefficient_priors[1], arrays.coefficient_unit)
        arrays = replace(arrays, effects=(*of_formula, *effects))
    arrays = _with_breaks(arrays, bool(direct.anchors))
    sampled = sites.T @ arrays.observed.any(axis=(0, 2)) > 0
    check_columns(len(coefficients), int(sampled.sum()), "areas with respondents")
    themes = {term.name: (term.theme, e.sees.toarray()) for term, e in zip(terms, effects, strict=True) if term.theme}
    seen = [
        outcome.working(y[s, :, w], size[s, :, w])
        if size is not None and isinstance(outcome := outcomes[w % len(outcomes)], Count)
        else (y[s, :, w], covariance[s, :, w, w])
        for s, w in told_by(arrays.observed.any(axis=1), references, len(outcomes))
    ]
    seen = [] if isinstance(direct, AreaCounts) else seen
    imputed = unknown(part, x, arrays.coefficient_priors, themes, sites, seen, arrays.periods)
    known = arrays.known if imputed is None else imputed + (0.0 if arrays.known is None else arrays.known)
    return replace(arrays, known=known, extrapolated=extrapolated(part, themes, areas.inhabited, sampled))


def _with_breaks(arrays: Design, of_one: bool) -> Design:
    """Add the breaks of the model, and notes on levels that only priors tell; of one year of several they are known."""
    model, years = arrays.model, arrays.years
    if of_one:
        return arrays
    measured = np.asarray(np.einsum("skww->skw", arrays.covariance).any(axis=1))
    informs = measured.reshape(len(measured), -1, len(arrays.measures))
    series = Series(arrays.sources, arrays.measures, years, informs, arrays.links) if years else None
    breaks, notes = breaks_of(model.breaks, series, [model.intercept_of(name).sd for name in arrays.measures])
    return replace(arrays, breaks=breaks, strange=(*arrays.strange, *notes))


def _effects(terms: Sequence[Term], frame: Frame, problems: Problems) -> tuple[Effect, ...]:
    """Return the terms on data; record those that cannot be, or that the data cannot tell apart."""
    effects = list[Effect]()
    for term in terms:
        try:
            effect = term.on(frame)
        except BuurtsaeError as error:
            problems.collect(error)
            continue
        if twin := next((other.name for other in effects if other.same(effect)), None):
            problems.add(
                "two terms cannot be told apart",
                f"{twin} and {effect.name}",
                "terms that see the areas differently",
                "leave one out",
                ModelError,
            )
        effects.append(effect)
    return tuple(effects)


def _inverse(embedded: Floats) -> Floats:
    """Inverses of the blocks that are not 0, of symmetric matrices (..., W, W)."""
    seen = np.einsum("...dd->...d", embedded) > 0
    rest = np.where(seen, 0.0, 1.0)[..., None] * np.eye(seen.shape[-1])
    return np.linalg.inv(embedded + rest) - rest
