"""The method statement: what an office must tell with figures that come from a model, taken from the run itself.

Sources, period and response, the model in words with its priors, the checks and their outcome, what the labels mean,
known limits, version and contact; after the items that official statistics asks of model-based figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from buurtsae.estimates.labels import Rules
from buurtsae.publish.manifest import Provenance
from buurtsae.survey.codebook import Codebook, available

ENGINES = {
    "laplace": "exact gegeven de hyperparameters; deze gewogen (importance sampling)",
    "eblup": "klassiek: multivariaat Fay-Herriot-model, varianties door REML (EBLUP)",
    "nuts": "Markov chain Monte Carlo (NUTS)",
}


@dataclass(frozen=True)
class Statement:
    """What the method statement says.

    Attributes
    ----------
    sources : tuple of mapping
        `nl`, `owner`, `mode`, `year`, `level`, `respondents`, `response` (share, or None), `licence`.
    model : str
        The model in words and symbols, priors included.
    checks : tuple of mapping
        Those of the quality gate.
    benchmarks : tuple of mapping
        Published figures that the estimates agree with.
    rules : Rules
    notes : tuple of str
    engine, version, contact : str
    spatial : bool
        Whether the model has a part that neighbours share.
    """

    sources: tuple[Mapping[str, Any], ...]
    model: str
    checks: tuple[Mapping[str, Any], ...]
    benchmarks: tuple[Mapping[str, Any], ...]
    rules: Rules
    notes: tuple[str, ...]
    engine: str
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
        engine = str(quality["run"]["engine"])
        benchmarks = quality["benchmarks"] or {}
        return cls(
            tuple(_source(s, response.get(s["source"])) for s in quality["sources"] or ()),
            str(quality["model"] or ""),
            tuple(quality["gate"]["checks"]),
            tuple(benchmarks.get("table", ())) if isinstance(benchmarks, Mapping) else tuple(benchmarks),
            rules,
            tuple(quality["notes"] or ()),
            f"{engine}: {ENGINES.get(engine, 'zie de documentatie')}",
            str(quality["run"]["versions"].get("buurtsae", "")),
            str(settings.get("run", {}).get("contact", "")),
            "BYM2" in str(quality["model"]),
        )


def _source(row: Mapping[str, Any], response: float | None) -> dict[str, Any]:
    """A source of the report, with what its codebook says of it."""
    told = dict.fromkeys(("nl", "owner", "mode", "licence"), "")
    if row["source"] in available():
        told = {k: v for k, v in asdict(Codebook.load(row["source"])).items() if k in told}
    return {**row, **told, "nl": told["nl"] or row["source"], "response": response}
