"""What a report says of a run before any figure: hyperparameters and priors, covariates, graph, sources, variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.estimates.disclosure.release import FEW, Release, Releases, countable
from buurtsae.estimates.evidence.residuals import graph_of
from buurtsae.estimates.summary import Estimates
from buurtsae.model.parts import parts
from buurtsae.notes import Note
from buurtsae.origin import areas_made, as_in
from buurtsae.schemas import records
from buurtsae.survey.codebook import titled
from buurtsae.survey.estimators import design_of


def hyperparameters(fit: Fit) -> list[dict[str, Any]]:
    """Return posterior summaries of hyperparameters, each with its prior in words."""
    table = fit.draws.hyperparameters()
    if (components := fit.components) is not None:  # Sigma, with asymptotic standard errors; nothing has a prior
        columns = {"mean": components["estimate"], "sd": components["std_error"]}
        sigma = {"name": "Sigma", "measure": components.index, **columns}
        return records(pd.concat([table, pd.DataFrame(sigma)], ignore_index=True).assign(prior=None))
    of_model = priors(fit)

    def prior(name: str, labels: Sequence[str]) -> Any:
        if "Intercept" in labels:
            return fit.model.intercept_of(labels[-1]).words
        return of_model[f"{name} {labels[-1]}"] if name in ("overdispersion", "break") else of_model.get(name)

    return [{**row, "prior": prior(row["name"], row["measure"].split(" - "))} for row in table.to_dict("records")]


def priors(fit: Fit) -> dict[str, str]:
    """Return priors in words, by the name of what they are of."""
    model = fit.model
    links = {
        "alpha": (model.link.offset, model.participatory.offset),
        "lambda": (model.link.slope, model.participatory.slope),
        "tau": (model.link.extra, model.participatory.extra),
    }
    words: dict[str, str] = {
        name: Note("{own}, participatory {other}", "{own}, participatief {other}", own=survey, other=other)
        for name, (survey, other) in links.items()
    }
    words |= {"beta": model.coefficient.words}
    if model.variances is not None:
        words["kappa"] = model.variances.words
    if "omega" in fit.draws.hyper:
        words["omega"] = Note("what the respondents say of it", "wat de respondenten ervan zeggen")
    for w, rho in fit.design.overdispersion.items():
        words[f"overdispersion {fit.design.measures[w % len(fit.design.measures)]}"] = rho.words
    words |= {f"break {one.label}": one.prior.words for one in fit.design.breaks}
    trend = fit.model.over_years if fit.design.years else None
    of_trend = {f"{name}.{p.name}": p.prior.words for name, parts in (trend.parameters if trend else ()) for p in parts}
    return words | of_trend | {f"{term.name}.{p.name}": p.prior.words for term in model.terms for p in term.parameters}


def covariates(est: Estimates) -> list[dict[str, Any]]:
    """Return what is known of each covariate, sources of made areas as such."""
    rows, made = [covariate.record() for covariate in est.fit.design.covariates], areas_made(est.fictitious)
    rows = [{"covariate": row.pop("name"), **row} for row in rows]
    return [row | {"source": as_in(Note(row["source"], row["source"]), made).nl} for row in rows]


def graph(fit: Fit, release: Release | Releases) -> dict[str, Any]:
    """Return what is to be known of the graph, and who answered in each part in which not one or two are hidden."""
    if (graph := graph_of(fit)) is None:
        return {}
    shown, component, rows = release.shown(fit.areas.base, graph.codes), graph.icar.component, []
    for part in parts(graph, fit.direct):
        among = component == component[list(graph.codes).index(part.first)]
        rows.append(asdict(part) | ({} if countable(shown[among]).all() else {"heard": None, "respondents": None}))
    return {**graph.audit(), "parts": rows}


def sources(est: Estimates) -> list[dict[str, Any]]:
    """Return what each source is, and how many answered."""
    fit, entries = est.fit, []
    for number, source in enumerate(fit.direct.sources):
        notes, respondents, skipped, book = [], int(source.respondents.max(axis=1).sum()), {}, titled(source.source)
        calibrated = None
        if fit.direct.scores:
            frame = fit.direct.scores[number].frame
            calibrated = [name.removeprefix("margin_") for name, _ in design_of(fit.direct.scores[number]).margins]
            asked = [name for name in fit.direct.subdimensions if frame[name].notna().any()]
            respondents, skipped = len(frame), {name: int(frame[name].isna().sum()) for name in asked}
        else:
            notes = [Note("direct estimates given at area level", "directe schattingen, elders per gebied gemaakt")]
        entry = {
            "source": source.source,
            "title": as_in(Note(book.en or book.nl, book.nl), bool(est.fictitious)).nl,
            "kind": f"simulated {source.kind}" if est.fictitious else source.kind,
            "year": source.year,
            "level": source.level,
            "areas": len(source.codes),
            "notes": notes,
            "respondents": respondents,
            "without_answer": skipped,
            "calibrated": calibrated,
        }
        entries.append(entry)
    return entries


def variances(fit: Fit) -> list[dict[str, Any]]:
    """Return standard errors of the direct estimates per source and sub-dimension, before and after smoothing."""
    entries = []
    for (source, measure), rows in fit.direct.variances().groupby(["source", "measure"], sort=False):
        if len(rows) < FEW:  # a median would be the standard error of one
            continue
        before = rows["before"].where(rows["before"] > 0)
        ratio = np.sqrt(rows["after"] / before).dropna()
        low, high = np.quantile(ratio, [0.1, 0.9]).round(2) if len(ratio) else (None, None)
        entries.append(
            {
                "source": source,
                "measure": measure,
                "areas": len(rows),
                "without_variance": int(before.isna().sum()),
                "se_before": round(float(np.sqrt(before.median())), 2) if len(ratio) else None,
                "se_after": round(float(np.sqrt(rows["after"].median())), 2),
                "ratio_low": low,
                "ratio_high": high,
            }
        )
    return entries
