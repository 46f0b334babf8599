r"""Shares and counts of respondents as counts, with the sampling correlation of what the same people were asked.

The share p^ of an area, weighted, of a design that makes its answers worth n independent ones (`n_effective`: weights
and clusters), is taken as y = n p^ successes of n: never certain, whether nobody said yes or all did. A mean number m^
per person is y = E m^ beside an exposure E = n m / S, with m the mean and S the variance within areas, so that it has
the variance S / n that answers have, whatever their distribution.

R is the correlation of sampling errors in an area, from the pooled covariance of answers of one source: of the measures
that are counted, and of scores of which that source is the reference. Where measures determine one another, as those
that add to one do, R is drawn to the identity until no eigenvalue is below `FLAT`.

References
----------
Chen, C., Wakefield, J. and Lumley, T. (2014). The use of sampling weights in Bayesian hierarchical models for small
area estimation. Spatial and Spatio-temporal Epidemiology 11. Franco, C. and Bell, W. (2013). Applying bivariate
binomial/logit normal models to small area estimation. JSM Proceedings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.model.observed import columns_of, names_of, references_of, rows_of
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Count, refuse
from buurtsae.model.outcome.per_measure import PerMeasure, outcomes_of
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

FLAT = 0.1  # smallest eigenvalue of R


def of_respondents(outcome: Outcome, direct: DirectEstimates) -> Outcome:
    """Return the outcome of a model on data: one per measure, effective numbers, where direct estimates are counted."""
    if isinstance(direct, AreaCounts):
        return outcome
    if isinstance(outcome, Count):
        outcome = PerMeasure(dict.fromkeys(direct.subdimensions, outcome))
    if not isinstance(outcome, PerMeasure):
        return outcome
    each = outcome.among(direct.subdimensions).outcomes
    return PerMeasure(
        {name: replace(o, effective=True) if isinstance(o, Binomial | Poisson) else o for name, o in each.items()}
    )


def measured(direct: DirectEstimates, outcome: Outcome) -> DirectEstimates:
    """Return direct estimates without the measures that are counted."""
    counted = [isinstance(one, Count) for one in outcomes_of(outcome, direct.subdimensions)]
    sources = tuple(replace(source, mean=np.where(counted, np.nan, source.mean)) for source in direct.sources)
    return replace(direct, sources=sources)


def check_respondents(direct: DirectEstimates, outcome: PerMeasure, problems: Problems) -> None:
    """Collect what cannot be counted: no numbers, wijken, figures off their scale, more effective than asked."""
    for d, (name, one) in enumerate(outcome.outcomes.items()):
        if not isinstance(one, Count):
            continue
        if not direct.counted:
            hint = "start from respondents, or from AreaCounts.from_frame with trials or an exposure"
            problems.add(f"there is no number of respondents of {name}", "direct estimates with variances",
                         f"a number per area, for {type(one).__name__}", hint, ModelError)  # fmt: skip
            return
        for s in {s for s, of in references_of(direct) if of == d and s >= 0}:
            source = direct.sources[s]
            if source.level != direct.areas.base:
                problems.add(
                    f"{name} is not modelled as a {type(one).__name__} per {source.level}", source.source,
                    f"a source per {direct.areas.base}", "take it as a score, or use a source with codes of areas",
                    ModelError,
                )  # fmt: skip
            codes, mean = list(source.codes), source.mean[:, [d]]
            seen = np.isfinite(mean[:, 0])
            ends = (one.scale.lower, one.scale.upper) if isinstance(one, Binomial) else (0.0,)
            _refuse_one_answer(problems, name, mean[seen, 0], source.respondents[seen, d].sum(), ends)
            refuse(problems, np.asarray(one.scale.outside(mean)), mean, codes,
                   f"direct estimates of {name} lie outside their scale", str(one.scale.range),
                   "correct them, or give the outcome their scale")  # fmt: skip
            n, number = source.n_effective[:, [d]], source.respondents[:, [d]]
            more = np.isfinite(mean) & (n > number * (1 + 1e-9))
            refuse(problems, more, n, codes, f"effective numbers of {name} are above the numbers of respondents",
                   "at most the respondents", "correct `n_effective`, or leave it out")  # fmt: skip
            if len(none := source.codes[(np.isfinite(mean) & (n <= 0)).any(axis=1)]):
                problems.add(f"effective numbers of {name} are zero where there is an estimate", shown(none),
                             "above 0", "correct `n_effective`, or leave it out", DataError)  # fmt: skip


def check_outcome(model: AreaModel, direct: DirectEstimates, problems: Problems) -> None:
    """Collect what the outcome of a model cannot have: data of another kind, or outside its support."""
    outcome, kind = model.outcome, type(model.outcome).__name__
    if model.counts and isinstance(outcome, PerMeasure) and not isinstance(direct, AreaCounts):
        for beside, what in ((model.estimand == "realised", 'estimand = "realised"'),
                             (model.variances is not None, "modelled `variances`")):  # fmt: skip
            if beside:
                problems.add(f"{what} is not possible beside shares or counts", shown(model.counts), "scores only",
                             "leave it out", ModelError)  # fmt: skip
        return check_respondents(direct, outcome, problems)
    needs = f"counts beside {outcome.beside}" if isinstance(outcome, Count) else "direct estimates with variances"
    data = f"counts beside {direct.beside}" if isinstance(direct, AreaCounts) else "direct estimates with variances"
    if needs != data:
        hint = "AreaModel(outcome=Binomial()) is for counts beside trials, Poisson() for those beside an exposure"
        problems.add("the data do not go with the outcome of the model", data, f"{needs}, for {kind}", hint, ModelError)
    elif isinstance(outcome, Count) and isinstance(direct, AreaCounts):
        outcome.check(direct.y, direct.size, list(direct.areas.codes), problems)


def _refuse_one_answer(problems: Problems, name: str, mean: Floats, number: float, ends: Sequence[float]) -> None:
    """Collect a measure of which all answers are one end of its scale: its level has no mode there."""
    given = np.unique(np.round(mean, 9)).tolist()
    if len(given) == 1 and given[0] in ends:
        got, hint = (
            f"{number:,.0f} times {given[0]:g}",
            "nothing is to be learnt of it: check the codes, or leave it out",
        )
        problems.add(f"{name} has one answer only", got, "two answers or more", hint, DataError)


def counts(direct: DirectEstimates, outcome: PerMeasure, sites: pd.Index) -> tuple[Floats, Floats, list[Note]]:
    """Return y and size, (S, K, W), 0 where nothing is counted, and notes on sources that are left out."""
    outcomes, columns, rows = outcomes_of(outcome, direct.subdimensions), columns_of(direct), rows_of(direct)
    y = np.zeros((len(names_of(direct)), len(sites), len(outcomes) * max(len(direct.years), 1)))
    size, notes = np.zeros_like(y), list[Note]()
    for w, (s, d) in enumerate(references_of(direct)):
        one = outcomes[d]
        if not isinstance(one, Count):
            continue
        others = [label for t, (label, of) in enumerate(zip(direct.labels, columns, strict=True))
                  if t != s and direct.sources[t].informs[d] and of.start <= w < of.stop]  # fmt: skip
        if others:
            notes.append(
                Note(
                    "of {measure} only {reference} counts: {others} is left out, for differences between sources are "
                    "modelled of scores only",
                    "van {measure} telt alleen {reference}: {others} blijft weg, want verschillen tussen bronnen "
                    "worden alleen van scores gemodelleerd",
                    measure=direct.subdimensions[d],
                    reference=direct.references[d] if s < 0 else direct.labels[s],
                    others=others,
                )
            )
        if s < 0:
            continue
        source = direct.sources[s]
        seen = np.isfinite(source.mean[:, d])
        row, mean, n = sites.get_indexer(source.codes[seen]), source.mean[seen, d], source.n_effective[seen, d]
        if isinstance(one, Binomial):
            mean = (mean - one.scale.lower) / one.scale.width
        else:
            total, within = float((n * mean).sum() / n.sum()), float(source.within_area[d, d])
            n = n * total / within if total > 0 and within > 0 else n
        y[rows[s], row, w], size[rows[s], row, w] = n * mean, n
    return y, size, notes


def correlation(direct: DirectEstimates, outcome: PerMeasure, sites: pd.Index) -> Floats | None:
    """Return R, the identity where nothing goes together, (K, W, W); None where that is so everywhere."""
    references, outcomes = references_of(direct), outcomes_of(outcome, direct.subdimensions)
    r = np.broadcast_to(np.eye(len(references)), (len(sites), len(references), len(references))).copy()
    for s, (source, columns) in enumerate(zip(direct.sources, columns_of(direct), strict=True)):
        own = [w for w, (of, _) in enumerate(references) if of == s and columns.start <= w < columns.stop]
        if source.level != direct.areas.base or not any(isinstance(outcomes[references[w][1]], Count) for w in own):
            continue
        of = [references[w][1] for w in own]
        r[np.ix_(sites.get_indexer(source.codes), own, own)] = _correlation(source.variance[:, of][:, :, of])
    return None if (r == np.eye(len(references))).all() else proper(r)


def _correlation(v: Floats) -> Floats:
    """Correlations of covariances (n, D, D), 0 beside a variance of 0."""
    sd = np.sqrt(np.maximum(np.einsum("ndd->nd", v), 0.0))
    inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
    r = v * inverse[:, :, None] * inverse[:, None, :]
    return np.where(np.eye(v.shape[-1], dtype=bool), 1.0, np.clip(r, -1.0, 1.0))


def proper(r: Floats) -> Floats:
    """Correlations drawn to the identity until the smallest eigenvalue is `FLAT`."""
    least = np.linalg.eigvalsh(r)[:, :1]
    share = np.maximum(FLAT - least, 0.0) / (1 - np.minimum(least, 0.5))
    return np.asarray(r + share[..., None] * (np.eye(r.shape[-1]) - r))
