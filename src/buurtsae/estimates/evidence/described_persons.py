"""What a report says of models of persons before any figure: parameters, effects per level, and uncertain cells.

A fit of persons has a column per figure; several may be of one model (`PersonFigure.fit`), which is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from buurtsae.draws import Certificate
from buurtsae.engines.base import Fit
from buurtsae.engines.persons_fit import absent
from buurtsae.engines.unit import PersonFigure, UnitFit
from buurtsae.estimates.disclosure.release import FEW
from buurtsae.estimates.evidence.crossvalidation import interval_share
from buurtsae.estimates.evidence.evidence import explained
from buurtsae.estimates.evidence.leftover import Leftover
from buurtsae.estimates.measured import scales_of
from buurtsae.estimates.summary import Estimates
from buurtsae.notes import Note
from buurtsae.schemas import records

CHANCE = 0.05  # probability that weights of some measure are named though they know nothing
OF_PERSONS = Note(
    "figures are of models of persons: log predictive densities of left-out gemeenten, agreement with direct "
    "estimates, what each source adds and what priors say are not given; predictions of left-out areas are of the "
    "answers of their respondents",
    "cijfers zijn van modellen van personen: log-dichtheden van weggelaten gemeenten, overeenstemming met directe "
    "schattingen, wat elke bron toevoegt en wat priors zeggen worden niet gegeven; voorspellingen van weggelaten "
    "gebieden zijn van de antwoorden van hun respondenten",
)
THEMES = Note(
    "what covariates explain is not given: the model of persons has themes of covariates",
    "wat kenmerken verklaren wordt niet gegeven: het model van personen heeft thema's van kenmerken",
)
NO_SHIFT = Note(
    "if those who did not answer score otherwise: not given of models of persons",
    "als wie niet antwoordde anders scoort: niet gegeven van modellen van personen",
)


@dataclass(frozen=True)
class Told:
    """A model of persons, and what its figures are called together."""

    measure: str
    fit: UnitFit


def told(fit: Fit) -> list[Told]:
    """Return each model of persons of a fit, once."""
    names: dict[int, list[str]] = {}
    units = {id(figure.fit): figure.fit for figure in fit.persons}
    for name, figure in zip(fit.draws.subdimensions, fit.persons, strict=True):
        names.setdefault(id(figure.fit), []).append(name)
    return [Told(", ".join(names[key]), unit) for key, unit in units.items()]


def parameters(fit: Fit) -> list[dict[str, Any]]:
    """Return posterior summaries of the parameters of each model, each with its prior in words."""
    rows = []
    for one in told(fit):
        raw, priors = one.fit.raw, _priors(one.fit)
        named = replace(raw, subdimensions=(one.measure,), coords={**raw.coords, "measure_2": (one.measure,)})
        for row in named.hyperparameters().to_dict("records"):
            intercept = one.fit.model.intercept.words if row["measure"].startswith("Intercept") else None
            rows.append({**row, "prior": intercept or priors.get(row["name"])})
    return rows


def _priors(fit: UnitFit) -> Mapping[str, str]:
    """Priors in words, by the name of what they are of."""
    model, words = fit.model, {"beta": fit.model.coefficient.words}
    words |= {f"{term.name}.{p.name}": p.prior.words for term in model.terms for p in term.parameters}
    words |= {f"{e.name}.sigma": e.prior.words for e in fit.stacked.effects if e.prior is not None}
    return words | {name: prior.words for name, _, prior in model.answers.parameters(fit.answers.y)}


def effects(fit: Fit) -> list[dict[str, Any]]:
    """Return mean, sd and 95% interval of every level of every term of persons, and its respondents where ten or more.

    On the scale of the predictor, less the mean over levels.
    """
    rows = []
    for one in told(fit):
        unit, heard = one.fit, dict[tuple[str, str], int]()
        asked = unit.answers.respondents[unit.order]
        for effect in unit.stacked.effects:
            count = np.bincount(effect.index(unit.cells), asked, len(effect.levels)).round().astype(int)
            heard |= {(effect.name, level): int(n) for level, n in zip(effect.levels, count, strict=True)}
        for row in records(unit.effects()):
            n = heard[row["term"], row["level"]]
            rows.append({"measure": one.measure, **row, "respondents": n if n >= FEW else None})
    return rows


def uncertain_cells(est: Estimates) -> list[dict[str, Any]]:
    """Return how much of the variance of figures is there because residents in cells are uncertain: median and largest.

    Over published areas of figures that were made of several tables; nothing where there is one.
    """
    rows = []
    shown = est.release.shown(est.areas.base, est.areas.codes)
    for name, figure in zip(est.fit.draws.subdimensions, est.fit.persons, strict=True):
        if (tables := len(figure.fit.populations)) > 1:
            share = figure.fit.of_tables(figure.domain, figure_name(figure)).to_numpy()[shown]
            share = share[np.isfinite(share)]
            if len(share) >= FEW:
                row = {"measure": name, "tables": tables, "areas": len(share)}
                rows.append(
                    {
                        **row,
                        "share_median": round(float(np.median(share)), 3),
                        "share_largest": round(float(share.max()), 2),
                    }
                )
    return rows


def figure_name(figure: PersonFigure) -> str | None:
    """Return what `fit_of` calls a figure; None for that of yes or no, or of numbers."""
    labels = figure.fit.model.answers
    if not hasattr(labels, "labels"):
        return None
    of, taken = labels.labels(figure.fit.answers.y.shape[1]), figure.figure
    if taken.kind == "mean":
        return "mean"
    return f"share {of[taken.low]}" if taken.high == taken.low + 1 else f"above {of[taken.low - 1]}"


def of_areas(fit: Fit, unit: UnitFit, measure: str) -> Fit:
    """Return the areas' part of a model of persons as a fit: draws of predictors, for people who are alike."""
    raw = replace(unit.raw, subdimensions=(measure,))
    return replace(fit, design=unit.design, draws=raw, persons=())


def explained_by_covariates(fit: Fit, shown: Any) -> list[dict[str, Any]]:
    """Return the share of the variance of areas' predictors that goes with each covariate, per model of persons."""
    return [
        row for one in told(fit) if not themed(one.fit) for row in explained(of_areas(fit, one.fit, one.measure), shown)
    ]


def themed(unit: UnitFit) -> bool:
    """Return whether a model has themes of covariates."""
    return any(effect.dense for effect in unit.design.effects)


def words(fit: Fit) -> Note:
    """Return the models in words, each under the name of its figures where there are several."""
    each = told(fit)
    parts = [one.fit.model.words for one in each]
    if len(each) > 1:
        heads = [Note("{name}:", "{name}:", name=one.measure) for one in each]
        parts = [line for pair in zip(heads, parts, strict=True) for line in pair]
    return Note.joined(parts, "\n")


def report(est: Estimates, over: Leftover | None) -> dict[str, Any]:
    """Return the sections that only models of persons have."""
    return {"persons": effects(est.fit), "cells": uncertain_cells(est), "weights": weights(over)}


def weights(over: Leftover | None) -> list[dict[str, Any]]:
    """Return the correlation of weights with what is left over, over respondents, and by level of each characteristic.

    `expected` is between what 95% of replicates lie, `p` that of one correlation, two-sided, by the normal law.
    """
    rows = []
    for one in () if over is None else over.sums:
        if one.pattern.kind != "weights":
            continue
        r = one.sums / np.where(one.scale > 0, one.scale, np.inf)
        off, sd = r[0] - r[1:].mean(axis=0), r[1:].std(axis=0, ddof=1)
        p = 2 * ndtr(-np.abs(off) / np.where(sd > 0, sd, np.inf))
        low, high = np.quantile(r[1:], [0.025, 0.975], axis=0)
        for k in np.flatnonzero(sd > 0).tolist():
            row: dict[str, Any] = {"measure": one.measure, "term": " x ".join(one.pattern.on) or None}
            row |= {"level": one.levels[k], "respondents": round(float(one.pattern.respondents[k]))}
            numbers = {"correlation": r[0, k], "expected_low": low[k], "expected_high": high[k]}
            rows.append(row | {key: round(float(x), 3) for key, x in numbers.items()} | {"p": round(float(p[k]), 4)})
    return rows


def residuals(over: Leftover | None) -> dict[str, pd.Series]:
    """Return the sum of answers less what the posterior expects, in standard deviations of chance, per measure."""
    if over is None or over.posterior is None:
        return {}
    parts = over.posterior.groupby("measure", sort=False)
    return {str(name): rows.set_index("area_code")["residual"] for name, rows in parts}


def predictive(est: Estimates, over: Leftover | None) -> list[dict[str, Any]]:
    """Return posterior predictive checks of the sums of answers of areas, at the mode of the hyperparameters."""
    if over is None or over.posterior is None:
        return []
    rows = []
    for (source, measure), part in over.posterior.groupby(["source", "measure"], sort=False):
        kept = part[est.release.counted(part, est.fit.direct)]
        row = {"source": source, "measure": measure, "areas": len(kept)}
        chi2, inside = (float(of.mean()) if len(kept) else None for of in (kept["chi2"], interval_share(kept, 0.475)))
        rows.append({**row, "chi2_per_area": chi2, "coverage_95": inside})
    return rows


def comparison(est: Estimates, over: Leftover | None) -> list[dict[str, Any]]:
    """Return direct estimates of the level above beside those of the model, and beside what it expects of respondents.

    Who answered, and what weights do not know of it, moves the first; z is of the second, by replicates.
    """
    rows = est.compared
    rows = rows[(rows["level"] == est.areas.parent(est.areas.base)) & rows["direct_se"].notna()]
    rows = rows.assign(difference=rows["direct"] - rows["estimate"])
    rows = rows.assign(expected=np.nan, z=np.nan)
    if over is not None and over.groups is not None:
        told = over.groups.set_index(["measure", "area_code"])
        place = told.index.get_indexer(pd.MultiIndex.from_frame(rows[["measure", "area_code"]]))
        outcome, kind = est.fit.model.outcome, dict(zip(est.fit.draws.subdimensions, est.fit.persons, strict=True))
        for name in ("expected", "z"):
            rows[name] = np.where(place >= 0, told[name].to_numpy()[place], np.nan)
        for measure, scale in scales_of(outcome, kind).items():
            if kind[measure].figure.kind == "share":
                own = rows["measure"] == measure
                rows.loc[own, "expected"] = scale.lower + scale.width * rows.loc[own, "expected"]
    columns = ["area_code", "area_name", "measure", "direct", "direct_se", "estimate", "sd", "difference"]
    return records(rows[[*columns, "expected", "z"]])


def certificate(fit: Fit) -> Certificate | None:
    """Return the worst of what the engine says of each model; None where it samples."""
    found = [one.fit.raw.certificate for one in told(fit)]
    weighed = [one for one in found if isinstance(one, Certificate)]
    if len(weighed) < len(found) or not weighed:
        return None
    return Certificate(
        max(one.khat for one in weighed), min(one.values for one in weighed), min(one.effective for one in weighed)
    )


def notes(fit: Fit, told_of_weights: Sequence[Mapping[str, Any]], assumed: bool) -> list[Note]:
    """Return what was noticed of each model, what to do, and what the report leaves out."""
    units = [one.fit for one in told(fit)]
    advice = [c.advice for unit in units if (c := unit.raw.certificate) is not None and c.advice]
    themes = [THEMES] if any(map(themed, units)) else []
    weighing = [*_of_weights(fit, told_of_weights)]
    found = [*advice, *weighing, *(note for unit in units for note in unit.notes), OF_PERSONS, *themes]
    return list(dict.fromkeys([*found, *([NO_SHIFT] if assumed else [])]))


def _of_weights(fit: Fit, rows: Sequence[Mapping[str, Any]]) -> Iterator[Note]:
    """What weights know that the model does not, where chance seldom gives as much."""
    whole = [row for row in rows if row["term"] is None]
    for row in whole:
        if row["p"] * len(whole) >= CHANCE:
            continue
        unit = next(one.fit for one in told(fit) if row["measure"] in one.measure.split(", "))
        lacking = absent(unit.model, unit.answers.scheme, unit.areas)
        hint = Note("add a term of what the weights were made of", "voeg een effect toe van wat de gewichten bepaalt")
        if lacking:
            names = "add a term of {names}", "voeg een effect toe van {names}"
            hint = Note(*names, names=lacking)
        yield Note(
            "{measure}: who weighs more answers otherwise than the model expects (correlation {r:.2f}): {hint}",
            "{measure}: wie zwaarder weegt antwoordt anders dan het model verwacht (correlatie {r:.2f}): {hint}",
            measure=row["measure"], r=row["correlation"], hint=hint,
        )  # fmt: skip
