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

    A source has `name`, `owner`, `mode`, `licence` (in both languages), `year`, `level`, `respondents`, `response`
    (share, or None); of made data nobody is credited. `model` is in words and symbols, priors included; `benchmarks`
    are published figures that the estimates agree with; `spatial` is a model with a part that neighbours share.
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
        """Take from the quality report and the settings of a run what has to be told, with the rules of the labels."""
        settings = provenance.settings
        response = {part["source"]: part.get("response") for part in settings.get("sources", ())}
        engine, made = str(quality["run"]["engine"]), bool(quality["run"].get("fictitious"))
        benchmarks = quality["benchmarks"] or {}
        return cls(
            tuple(_source(row, response.get(row["source"]), made) for row in quality["sources"] or ()),
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
    parts = {part: Note(getattr(book, f"{part}_en") or getattr(book, part), getattr(book, part)) for part in CREDITS}
    if made:
        name = Note("Simulated answers to questions {name}", "Gesimuleerde antwoorden op vragen {name}", name=name)
        parts = {"owner": Note("", ""), "mode": Note("simulation", "simulatie"), "licence": Note("", "")}
    return {**row, **parts, "name": name, "response": response}
