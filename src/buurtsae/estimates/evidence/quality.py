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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.engines.base import Fit
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.estimates.benchmark.benchmark import Benchmarked
from buurtsae.estimates.disclosure.release import Release, Releases
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
from buurtsae.estimates.evidence.rows import keys, levels
from buurtsae.estimates.evidence.sidebyside import classical_rows, side_by_side
from buurtsae.estimates.nonresponse import NonResponse, reported
from buurtsae.estimates.sensitivity import sensitivity
from buurtsae.estimates.summary import Estimates
from buurtsae.estimates.waves import Waves
from buurtsae.notes import Note
from buurtsae.schemas import records

OF_COUNTS = Note(
    "shares and counts are not normal: predictions of left-out areas are of one area at a time, at the mode of the "
    "hyperparameters; what each source adds, and predictions of whole gemeenten, are not given",
    "aandelen en aantallen zijn niet normaal verdeeld: weggelaten gebieden worden een voor een voorspeld, bij de modus "
    "van de hyperparameters; wat elke bron toevoegt en voorspellingen van hele gemeenten worden niet gegeven",
)
OURS = (BoundaryWarning, NotConvergedWarning)  # of the classical estimators


Of = Mapping[int | None, Estimates]  # by year, or None of one period


def quality(
    est: Estimates | Waves,
    gate: Gate | None = None,
    *,
    run: dict[str, Any] | None = None,
    scales: Sequence[Mapping[str, Any]] = (),
    weights: bool = False,
    assumed: NonResponse | None = None,
    responses: Sequence[float | None] = (),
) -> dict[str, Any]:
    """Return the evidence for a set of estimates, ready for JSON.

    Of several years the gate, the checks and what describes the model are of the whole fit, once; rows that are of a
    year have a column `year`, and residuals and labels the year in their names.

    Parameters
    ----------
    est : Estimates or Waves
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
    of: Of = {year: est.of[year] for year in est.of} if isinstance(est, Waves) else {None: est}
    asked: Of = {year: of[year] for year in est.surveyed} if isinstance(est, Waves) else of
    first = next(iter(asked.values()))  # for what is common to all years
    release = Releases({year: of[year].release for year in est.of}) if isinstance(est, Waves) else est.release
    over, unmade = _leftover(fit)
    convergence, left = _convergence(fit, of), _left_out(fit, over)
    checked, heard = _checks(fit, release, gate, over), alarms(fit, scales)
    if not checked and unmade is None:
        unmade = _unmade(Note("there are too few direct estimates", "er zijn te weinig directe schattingen"))
    priors = _influence(fit)
    off = {year: persons.residuals(over) if fit.persons else residuals(one.fit) for year, one in asked.items()}
    of_persons = persons.report(first, over) if fit.persons else {}
    return {
        "run": {
            **{"engine": fit.engine, "seed": fit.seed, "spatial": any(term.neighbours for term in fit.model.terms)},
            **({"years": list(fit.design.years)} if fit.design.years else {}),
            "estimand": fit.model.estimand,
            **(run or {}),
        },
        "gate": decided(gate, convergence, checked, heard, unmade),
        "checks": checked,
        "alarms": heard,
        "convergence": convergence,
        "hyperparameters": persons.parameters(fit) if fit.persons else hyperparameters(fit),
        "priors": priors,
        "predictive": persons.predictive(first, over) if fit.persons else _rows(asked, _predictive),
        "left_out": [row for part in left.values() for row in _calibration(fit, release, part)],
        **({} if fit.design.size is None and not fit.persons else {"calibration": _of_counts(fit, release, over)}),
        **of_persons,
        "density": _density(fit, release, left),
        "comparison": persons.comparison(first, over) if fit.persons else _rows(asked, _comparison),
        "agreement": []
        if fit.persons
        else _rows(asked, lambda one: agreement(one.compared, one.areas.parent(one.areas.base))),
        "gain": _rows(of, lambda one: gain(one.table, one.published)),
        "classical": _classical(asked),
        "benchmarks": _benchmarks(asked),
        "moran": [row for year, one in asked.items() for row in _of_year(year, moran(one.fit, one.release, off[year]))],
        "residuals": {
            _named(measure, year): z for year, one in asked.items() for measure, z in _residuals(one, off[year]).items()
        },
        "areas": fit.areas.audit(),
        "graph": graph(fit, release),
        "sources": _rows(asked, sources),
        "scales": [dict(row) for row in scales],
        "variances": _rows(asked, lambda one: variances(one.fit)),
        "contributions": _by_name(fit, contributions(fit)) if fit.design.size is None and not fit.persons else [],
        "covariates": covariates(first),
        "explained": _rows(of, _explained),
        "sensitivity": _rows(of, _sensitivity) if weights else [],
        "nonresponse": {} if assumed is None or fit.persons else _nonresponse(fit, asked, assumed, responses),
        "labels": {
            _named(level, year): rows["label"].value_counts().to_dict()
            for year, one in of.items()
            for level, rows in one.table.groupby("level", sort=False)
        },
        "model": persons.words(fit) if fit.persons else fit.words,
        "notes": [
            *([unmade] if unmade else []),
            *_notes(fit),
            *(persons.notes(fit, of_persons["weights"], assumed is not None) if fit.persons else []),
            *remarks(priors["blocks"], priors["outside"]),
        ],
    }


def _rows(of: Of, made: Callable[[Estimates], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of each year below each other."""
    return [row for year, est in of.items() for row in _of_year(year, made(est))]


def _of_year(year: int | None, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows if year is None else [{"year": year, **row} for row in rows]


def _named(name: str, year: int | None) -> str:
    return name if year is None else f"{name} {year}"


def _convergence(fit: Fit, of: Of) -> dict[str, Any]:
    draws = fit.draws
    certificate = persons.certificate(fit) if fit.persons else draws.certificate
    if certificate is not None:
        return {"independent": len(draws.flat), **certificate.record()}
    table = pd.concat(
        [est.convergence.rename(lambda name, year=year: _named(name, year), level=0) for year, est in of.items()]
    )
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


def _calibration(fit: Fit, release: Release | Releases, left: LeftOut) -> list[dict[str, Any]]:
    """Of what may go into one number: few hidden estimates would show in it."""
    parts = left.table.groupby(keys(left.table), sort=False)
    kept = [rows[release.counted(rows, fit.direct)] for _, rows in parts]
    rows = replace(left, table=pd.concat(kept)).calibration().assign(left_out=left.by).to_dict("records")
    return _by_name(fit, rows)


def _by_name(fit: Fit, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the names of their sources, of several years without the year: that is in a column."""
    if not fit.design.years:
        return rows
    names = {label: source.source for label, source in zip(fit.direct.labels, fit.direct.sources, strict=True)}
    return [{**row, "source": names[row["source"]]} for row in rows]


def _of_counts(fit: Fit, release: Release | Releases, over: Leftover | None) -> list[dict[str, Any]]:
    """Predicted and observed shares by class of the predicted, of what may go into one number."""
    if over is None or over.observed is None or over.size is None:
        return []
    shown = release.open(over.rows.assign(level=levels(over.rows, fit.direct)))
    told = release.open_of_sources(over.rows, fit.direct)
    table = calibration(over.rows, over.predicted, over.observed, over.size, shown, told)
    return records(table.round(2))


def _density(fit: Fit, release: Release | Releases, left: dict[str, LeftOut]) -> dict[str, Any]:
    """Log predictive density of left-out gemeenten: what `compare` sets runs on the same data against each other by.

    Of several years those of gemeenten that may be told in each, summed over the years.
    """
    if (level := fit.areas.parent(fit.areas.base)) not in left:
        return {}
    groups = left[level].published(release.open_of_sources(left[level].table, fit.direct))
    groups = groups[release.shown_direct(level, groups.index.get_level_values("group"))]
    if groups.index.nlevels > 1:
        told, all_of = (part.groupby(level="group").size() for part in (groups, left[level].density))
        groups = groups.groupby(level="group").sum()[told.index[told == all_of[told.index]]]
    parts = {str(code): round(float(value), 2) for code, value in groups.items()}
    # the total is that of its parts as they are shown
    return {
        "data": fingerprint(fit),
        "gemeenten": len(groups),
        "elpd": round(sum(parts.values()), 2),
        "groups": parts,
    }


def _checks(fit: Fit, release: Release | Releases, gate: Gate, over: Leftover | None) -> list[dict[str, Any]]:
    """What is left over beside what the model would leave over, the least likely first; nothing without a mode."""
    if over is None:
        return []
    several = bool(fit.design.years)
    return [check.record(gate.false_alarm, several=several) for check in checks(fit, over, release)]


def _explained(est: Estimates) -> list[dict[str, Any]]:
    shown = est.release.shown(est.areas.base, est.areas.codes)
    return persons.explained_by_covariates(est.fit, shown) if est.fit.persons else explained(est.fit, shown)


def _nonresponse(fit: Fit, of: Of, assumed: NonResponse, responses: Sequence[float | None]) -> dict[str, Any]:
    """What `nonresponse` tells of each year, of the responses of its sources."""
    if not fit.design.years:
        return reported(of[None], assumed, responses)
    each = [*responses, *[None] * (len(fit.direct.sources) - len(responses))]
    parts = {}
    for year, est in of.items():
        own = [one for one, source in zip(each, fit.direct.sources, strict=True) if source.year == year]
        parts[year] = reported(est, assumed, own)
    told = {name: next(iter(parts.values()))[name] for name in ("shift", "column")}
    refused = "; ".join(f"{year}: {part['refused']}" for year, part in parts.items() if part["refused"])
    return {
        **told,
        "refused": refused,
        "rows": [r for year, part in parts.items() for r in _of_year(year, part["rows"])],
    }


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
        lower, upper = np.quantile(np.sort(replicate.T, axis=1), [0.025, 0.975], axis=1)  # sorted takes less time
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


def _benchmarks(of: Of) -> dict[str, Any]:
    """How the draws were made to agree with benchmarks, what these say of the model, and how far scores moved.

    Of several years: one method, the least effective number of draws, and rows of each year.
    """
    parts = {year: _benchmark(est, est.benchmarked) for year, est in of.items() if est.benchmarked is not None}
    if not parts:
        return {}
    every = list(parts.values())
    return {
        "method": every[0]["method"],
        "respondents": every[0]["respondents"],
        "effective": min((part["effective"] for part in every if part["effective"] is not None), default=None),
        "strained": sum(part["strained"] for part in every),
        **{name: [row for y, part in parts.items() for row in _of_year(y, part[name])] for name in ("strain", "shift")},
    }


def _benchmark(est: Estimates, benchmarked: Benchmarked) -> dict[str, Any]:
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


def _classical(of: Of) -> dict[str, Any]:
    """Direct, synthetic and EBLUP beside the fit with what was warned of, or why they are not there."""
    rows, notes, refused = list[dict[str, Any]](), list[Note](), list[str]()
    for year, est in of.items():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                table = side_by_side(est.fit)
                table = table[est.release.shown(est.areas.base, table["area_code"])]
                rows += _of_year(year, classical_rows(table))
            except BuurtsaeError as error:  # the report tells it: a model may be fine without a classical counterpart
                refused.append(_line(error) if year is None else f"{year}: {_line(error)}")
        said = [_said(warning.message) for warning in warned if issubclass(warning.category, OURS)]
        notes += said if year is None else [note.under(str(year)) for note in said]
        for warning in warned:  # the report tells those of the estimators; others go on
            if not issubclass(warning.category, OURS):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return {"refused": "; ".join(refused), "notes": notes, "rows": rows}


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
