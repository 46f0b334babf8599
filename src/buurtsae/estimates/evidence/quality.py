r"""The evidence for a run, as one plain dictionary.

Posterior predictive, per source and sub-dimension: y_rep = prediction + e, e ~ N(0, V), V with what the source adds per
buurt (or wijk); coverage is the share of direct estimates inside the 95% interval of y_rep, somewhat above 95% in a
good model, since the same data were fitted; chi2 per area is the posterior mean of (y - prediction)^2 / V averaged over
areas (about 1 where V is right).
Comparison at gemeente level: direct estimate (standard error s) and posterior mean (sd p) share respondents, and the
error of a posterior mean is not correlated with the data, so that z = (direct - estimate) / sqrt(s^2 - p^2), as in
`evidence.agreement`; where p >= s there is nothing to test, and no z.

References
----------
Gelman, A. et al. (2013). Bayesian Data Analysis, ch. 6. Brown, G. et al. (2001). Proc. Statistics Canada Symposium.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.engines.base import Fit
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.estimates.evidence import described_persons as persons
from buurtsae.estimates.evidence.checks import checks
from buurtsae.estimates.evidence.contribution import contributions
from buurtsae.estimates.evidence.counts import calibration
from buurtsae.estimates.evidence.crossvalidation import LeftOut, fingerprint, left_out, several
from buurtsae.estimates.evidence.described import (
    covariates,
    graph,
    hyperparameters,
    sources,
    variances,
)
from buurtsae.estimates.evidence.evidence import agreement, explained, gain
from buurtsae.estimates.evidence.gate import Gate, alarms, decided
from buurtsae.estimates.evidence.influence import influence, outside, remarks
from buurtsae.estimates.evidence.leftover import Leftover, leftover
from buurtsae.estimates.evidence.residuals import moran, predictions, residuals
from buurtsae.estimates.evidence.sidebyside import classical_rows, side_by_side
from buurtsae.estimates.nonresponse import NonResponse, reported
from buurtsae.estimates.sensitivity import sensitivity
from buurtsae.estimates.summary import Estimates
from buurtsae.notes import Note
from buurtsae.schemas import records

OF_COUNTS = Note(
    "shares and counts are not normal: predictions of left-out areas are of one area at a time, at the mode of the "
    "hyperparameters; what each source adds, and predictions of whole gemeenten, are not given",
    "aandelen en aantallen zijn niet normaal verdeeld: weggelaten gebieden worden een voor een voorspeld, bij de modus "
    "van de hyperparameters; wat elke bron toevoegt en voorspellingen van hele gemeenten worden niet gegeven",
)
OURS = (BoundaryWarning, NotConvergedWarning)  # of the classical estimators


def quality(
    est: Estimates,
    gate: Gate | None = None,
    *,
    run: dict[str, Any] | None = None,
    scales: Sequence[Mapping[str, Any]] = (),
    weights: bool = False,
    assumed: NonResponse | None = None,
    responses: Sequence[float | None] = (),
) -> dict[str, Any]:
    """Return the evidence for a set of estimates, ready for JSON.

    Parameters
    ----------
    est : Estimates
    gate : Gate, optional
    run : dict, optional
        What identifies the run (run_id, title, created, versions).
    scales : sequence of mapping
        Reliability of the scales, one row each: it needs the answers, which estimates no longer have.
    weights : bool
        Also how ranks and labels of buurten move under other weights of the concept.
    assumed : NonResponse, optional
        Also how figures move if those who did not answer score otherwise.
    responses : sequence of float or None, optional
        Share of the sample that answered, of each source.
    """
    fit, gate = est.fit, gate or Gate()
    over, unmade = _leftover(fit)
    convergence, left = _convergence(est), _left_out(fit, over)
    checked, heard = _checks(est, gate, over), alarms(fit, scales)
    if not checked and unmade is None:
        unmade = _unmade(Note("there are too few direct estimates", "er zijn te weinig directe schattingen"))
    priors, shown = _influence(fit), est.release.shown(est.areas.base, est.areas.codes)
    off = persons.residuals(over) if fit.persons else residuals(fit)
    of_persons = persons.report(est, over) if fit.persons else {}
    return {
        "run": {
            **{"engine": fit.engine, "seed": fit.seed, "spatial": any(term.neighbours for term in fit.model.terms)},
            "estimand": fit.model.estimand,
            **(run or {}),
        },
        "gate": decided(gate, convergence, checked, heard, unmade),
        "checks": checked,
        "alarms": heard,
        "convergence": convergence,
        "hyperparameters": persons.parameters(fit) if fit.persons else hyperparameters(fit),
        "priors": priors,
        "predictive": persons.predictive(est, over) if fit.persons else _predictive(est),
        "left_out": [row for part in left.values() for row in _calibration(est, part)],
        **({} if fit.design.size is None and not fit.persons else {"calibration": _of_counts(est, over)}),
        **of_persons,
        "density": _density(est, left),
        "comparison": persons.comparison(est, over) if fit.persons else _comparison(est),
        "agreement": [] if fit.persons else agreement(est.compared, est.areas.parent(est.areas.base)),
        "gain": gain(est.table, est.published),
        "classical": _classical(est),
        "benchmarks": _benchmarks(est),
        "moran": moran(fit, est.release, off),
        "residuals": _residuals(est, off),
        "areas": est.areas.audit(),
        "graph": graph(est),
        "sources": sources(est),
        "scales": [dict(row) for row in scales],
        "variances": variances(fit),
        "contributions": contributions(fit) if fit.design.size is None and not fit.persons else [],
        "covariates": covariates(est),
        "explained": persons.explained_by_covariates(fit, shown) if fit.persons else explained(fit, shown),
        "sensitivity": _sensitivity(est) if weights else [],
        "nonresponse": {} if assumed is None or fit.persons else reported(est, assumed, responses),
        "labels": {
            level: rows["label"].value_counts().to_dict() for level, rows in est.table.groupby("level", sort=False)
        },
        "model": persons.words(fit) if fit.persons else fit.words,
        "notes": [
            *([unmade] if unmade else []),
            *_notes(fit),
            *(persons.notes(fit, of_persons["weights"], assumed is not None) if fit.persons else []),
            *remarks(priors["blocks"], priors["outside"]),
        ],
    }


def _convergence(est: Estimates) -> dict[str, Any]:
    draws = est.fit.draws
    certificate = persons.certificate(est.fit) if est.fit.persons else draws.certificate
    if certificate is not None:
        return {"independent": len(draws.flat), **certificate.record()}
    table = est.convergence
    return {
        "chains": draws.shape[0],
        "draws": draws.shape[1],
        "quantities": len(table),
        "rhat_max": float(table["rhat"].max()),
        "ess_bulk_min": float(table["ess_bulk"].min()),
        "ess_tail_min": float(table["ess_tail"].min()),
        "divergences": draws.divergences,
        "worst": " ".join(table["rhat"].idxmax()),
    }


def _leftover(fit: Fit) -> tuple[Leftover | None, Note | None]:
    """What is left over of the data, and of those of the model, or why there is no such thing."""
    try:
        return leftover(fit), None
    except ModelError as error:  # the report and the gate say so
        return None, _unmade(Note(error.what, error.what))


def _unmade(why: Note) -> Note:
    return Note(
        "the checks of what the model leaves over were not made: {why}",
        "de toetsen van wat het model overlaat zijn niet gedaan: {why}",
        why=why,
    )


def _left_out(fit: Fit, over: Leftover | None) -> dict[str, LeftOut]:
    """Predictions of each buurt from all others, and of gemeenten where there are several with estimates.

    Of counts, and of persons, those of buurten, at the mode of the hyperparameters.
    """
    base, above = fit.areas.base, fit.areas.parent(fit.areas.base)
    if fit.design.size is not None or fit.persons:
        return {} if over is None else {base: over.of_counts(base)}
    return {base: left_out(fit), **({above: left_out(fit, above, values=4)} if several(fit) else {})}


def _calibration(est: Estimates, left: LeftOut) -> list[dict[str, Any]]:
    """Of what may go into one number: few hidden estimates would show in it."""
    parts = left.table.groupby(["source", "measure"], sort=False)
    kept = [rows[est.release.counted(rows, est.fit.direct)] for _, rows in parts]
    return replace(left, table=pd.concat(kept)).calibration().assign(left_out=left.by).to_dict("records")


def _of_counts(est: Estimates, over: Leftover | None) -> list[dict[str, Any]]:
    """Predicted and observed shares by class of the predicted, of what may go into one number."""
    if over is None or over.observed is None or over.size is None:
        return []
    level = {label: s.level for label, s in zip(est.fit.direct.labels, est.fit.direct.sources, strict=True)}
    shown = est.release.open(over.rows.assign(level=over.rows["source"].map(level)))
    told = est.release.open_of_sources(over.rows, est.fit.direct)
    table = calibration(over.rows, over.predicted, over.observed, over.size, shown, told)
    return records(table.round(2))


def _density(est: Estimates, left: dict[str, LeftOut]) -> dict[str, Any]:
    """Log predictive density of left-out gemeenten: what `compare` sets runs on the same data against each other by."""
    if (level := est.areas.parent(est.areas.base)) not in left:
        return {}
    groups = left[level].published(est.release.open_of_sources(left[level].table, est.fit.direct))
    groups = groups[est.release.shown_direct(level, groups.index)]
    parts = {str(code): round(float(value), 2) for code, value in groups.items()}
    # the total is that of its parts as they are shown
    return {
        "data": fingerprint(est.fit),
        "gemeenten": len(groups),
        "elpd": round(sum(parts.values()), 2),
        "groups": parts,
    }


def _checks(est: Estimates, gate: Gate, over: Leftover | None) -> list[dict[str, Any]]:
    """What is left over beside what the model would leave over, the least likely first; nothing without a mode."""
    if over is None:
        return []
    return [check.record(gate.false_alarm) for check in checks(est.fit, over, est.release)]


def _influence(fit: Fit) -> dict[str, Any]:
    """What priors say; nothing where parameters were estimated without any, nor of models of persons."""
    if fit.persons or fit.components is not None:
        return {"blocks": [], "outside": None}
    share = outside(fit)
    return {"blocks": influence(fit), "outside": None if share is None else round(share, 2)}


def _predictive(est: Estimates) -> list[dict[str, Any]]:
    """Of what may go into one number."""
    fit, rng, rows = est.fit, np.random.default_rng(est.fit.seed), []
    for s, d in np.argwhere([source.informs for source in fit.direct.sources]).tolist():
        source, measure = fit.direct.sources[s], fit.direct.subdimensions[d]
        prediction, y, v = predictions(fit, s, d)
        replicate = prediction + rng.normal(size=prediction.shape) * np.sqrt(v)
        lower, upper = np.quantile(replicate, [0.025, 0.975], axis=0)
        inside = (y >= lower) & (y <= upper)
        codes = source.codes[np.isfinite(source.mean[:, d])]
        what = {"source": fit.direct.labels[s], "measure": measure}
        kept = est.release.counted(pd.DataFrame({**what, "area_code": codes}), fit.direct)
        square = ((y - prediction) ** 2 / v).mean(axis=0)
        chi2, coverage = (float(part[kept].mean()) if kept.any() else None for part in (square, inside))
        rows.append({**what, "areas": int(kept.sum()), "chi2_per_area": chi2, "coverage_95": coverage})
    return rows


def _comparison(est: Estimates) -> list[dict[str, Any]]:
    rows = est.compared
    rows = rows[(rows["level"] == est.areas.parent(est.areas.base)) & rows["direct_se"].notna()]
    rows = rows.assign(difference=rows["direct"] - rows["estimate"])
    variance = rows["direct_se"] ** 2 - rows["sd"] ** 2
    rows["z"] = rows["difference"] / np.sqrt(variance.where(variance > 0))
    columns = ["area_code", "area_name", "measure", "direct", "direct_se", "estimate", "sd", "difference", "z"]
    return records(rows[columns])


def _benchmarks(est: Estimates) -> dict[str, Any]:
    """How the draws were made to agree with benchmarks, what these say of the model, and how far scores moved."""
    benchmarked = est.benchmarked
    if benchmarked is None:
        return {}
    shift = benchmarked.shift[est.release.open(benchmarked.shift)].groupby(["level", "measure"], sort=False)
    moved = shift.agg(areas=("shift", "size"), shift=("shift", "mean"), largest=("shift", lambda s: s.abs().max()))
    return {
        "method": benchmarked.method,
        "respondents": benchmarked.respondents,
        "effective": benchmarked.effective,
        "strained": int(benchmarked.strain["strains"].sum()),
        "strain": benchmarked.strain[est.release.open(benchmarked.strain)].drop(columns="strains").to_dict("records"),
        "shift": moved.reset_index().to_dict("records"),
    }


def _classical(est: Estimates) -> dict[str, Any]:
    """Direct, synthetic and EBLUP beside the fit with what was warned of, or why they are not there."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            table = side_by_side(est.fit)
            rows, refused = classical_rows(table[est.release.shown(est.areas.base, table["area_code"])]), ""
        except BuurtsaeError as error:  # the report tells it: a model may be fine without a classical counterpart
            rows, refused = [], _line(error)
    notes = [_said(warning.message) for warning in warned if issubclass(warning.category, OURS)]
    for warning in warned:  # the report tells those of the estimators; others go on
        if not issubclass(warning.category, OURS):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return {"refused": refused, "notes": notes, "rows": rows}


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _said(warning: Warning | str) -> Note:
    """A warning of ours as a note of one line each."""
    text = warning if isinstance(warning, str) else warning.args[0]
    return Note(_line(text), _line(text.nl if isinstance(text, Note) else text))


def _residuals(est: Estimates, off: Mapping[str, pd.Series]) -> dict[str, dict[str, float]]:
    """Residuals of buurten whose direct estimates may be known: a residual gives these away."""
    buurten = est.published[(est.published["level"] == est.areas.base) & est.published["direct"].notna()]
    shown = {measure: set(rows["area_code"]) for measure, rows in buurten.groupby("measure")}
    return {m: z[z.index.isin(list(shown.get(m, ())))].round(2).to_dict() for m, z in off.items()}


def _sensitivity(est: Estimates) -> list[dict[str, Any]]:
    table = sensitivity(est)
    return table[table["level"] == est.areas.base].drop(columns="level").to_dict("records")


def _notes(fit: Fit) -> list[Note]:
    certificate = None if fit.persons else fit.draws.certificate
    advice = [certificate.advice] if certificate is not None and certificate.advice else []
    counts = [] if fit.design.size is None or fit.persons else [OF_COUNTS]
    return [*advice, *fit.areas.notes, *fit.direct.notes, *fit.design.notes, *counts]
