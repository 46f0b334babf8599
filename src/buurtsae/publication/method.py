"""The method statement: what an office must tell with figures that come from a model, taken from the run itself.

Sources, period and response, the model in words with its priors, the checks and their outcome, what the labels mean,
known limits, version and contact; after the items that official statistics asks of model-based figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buurtsae.estimates.labels import Rules
from buurtsae.notes import Note
from buurtsae.origin import as_in
from buurtsae.publication.manifest import Provenance
from buurtsae.survey.codebook import titled

CREDITS = ("owner", "mode", "licence")  # of a codebook
ENGINES = {
    "laplace": Note(
        "exact given the hyperparameters, these weighted (importance sampling)",
        "exact, gegeven de hyperparameters; die zijn gewogen (importance sampling)",
    ),
    "eblup": Note(
        "classical: multivariate Fay-Herriot model, variances by REML (EBLUP)",
        "klassiek: multivariaat Fay-Herriot-model, varianties met REML (EBLUP)",
    ),
    "nuts": Note("Markov chain Monte Carlo (NUTS)", "Markov chain Monte Carlo (NUTS)"),
}


@dataclass(frozen=True)
class Statement:
    """What the method statement says.

    Attributes
    ----------
    sources : tuple of mapping
        `name`, `owner`, `mode`, `licence` (in both languages), `year`, `level`, `respondents`, `response` (share, or
        None). Of made data nobody is credited.
    model : Note
        The model in words and symbols, priors included.
    checks : tuple of mapping
        Those of the quality gate.
    benchmarks : tuple of mapping
        Published figures that the estimates agree with.
    rules : Rules
    notes : tuple of Note
    engine : Note
    version, contact : str
    spatial : bool
        Whether the model has a part that neighbours share.
    """

    sources: tuple[Mapping[str, Any], ...]
    model: Note
    checks: tuple[Mapping[str, Any], ...]
    benchmarks: tuple[Mapping[str, Any], ...]
    rules: Rules
    notes: tuple[Note, ...]
    engine: Note
    version: str
    contact: str
    spatial: bool = True

    @classmethod
    def of(cls, quality: Mapping[str, Any], provenance: Provenance, rules: Rules) -> Statement:
        """Take from the quality report and the settings of a run what has to be told.

        Parameters
        ----------
        quality : mapping
            The quality report.
        provenance : Provenance
        rules : Rules
            Of the labels.
        """
        settings = provenance.settings
        response = {s["source"]: s.get("response") for s in settings.get("sources", ())}
        engine, made = str(quality["run"]["engine"]), bool(quality["run"].get("fictitious"))
        benchmarks = quality["benchmarks"] or {}
        return cls(
            tuple(_source(s, response.get(s["source"]), made) for s in quality["sources"] or ()),
            quality["model"] or Note("", ""),
            tuple(quality["gate"]["checks"]),
            tuple(benchmarks.get("table", ())) if isinstance(benchmarks, Mapping) else tuple(benchmarks),
            rules,
            tuple(quality["notes"] or ()),
            ENGINES.get(engine, Note("see the documentation", "zie de documentatie")).under(engine),
            str(quality["run"]["versions"].get("buurtsae", "")),
            str(settings.get("run", {}).get("contact", "")),
            bool(quality["run"].get("spatial")),
        )


def _source(row: Mapping[str, Any], response: float | None, made: bool) -> dict[str, Any]:
    """A source of the report, with what its codebook says of it; made answers have no owner and no licence."""
    book = titled(row["source"])
    name = as_in(Note(book.en or book.nl, book.nl), made)
    parts = {k: Note(getattr(book, f"{k}_en") or getattr(book, k), getattr(book, k)) for k in CREDITS}
    if made:
        name = Note("Simulated answers to questions {name}", "Gesimuleerde antwoorden op vragen {name}", name=name)
        parts = {"owner": Note("", ""), "mode": Note("simulation", "simulatie"), "licence": Note("", "")}
    return {**row, **parts, "name": name, "response": response}
