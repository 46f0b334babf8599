"""The method statement: what an office must tell with figures that come from a model, taken from the run itself.

Sources, period and response, what is estimated, what was assumed of those who did not answer, the model in words with
its priors, the checks and their outcome, what the labels mean, known limits, version and contact; after the items that
official statistics asks of model-based figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buurtsae.estimates.labels import Rules
from buurtsae.notes import Note
from buurtsae.origin import areas_made, as_in
from buurtsae.publication.manifest import Provenance
from buurtsae.retrieved import Retrieved, tables
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
ESTIMANDS = {
    "expected": Note(
        "What is estimated is the score that residents of an area are expected to have: what the area is like, whoever "
        "happens to live there.",
        "Geschat is de score die bewoners van een buurt naar verwachting hebben: hoe de buurt is, wie er ook toevallig "
        "woont.",
    ),
    "realised": Note(
        "What is estimated is the mean score of the residents who live in an area, all of them had they answered.",
        "Geschat is de gemiddelde score van de bewoners die er wonen, als zij allemaal hadden geantwoord.",
    ),
}
ASSUMED = Note(
    "It is assumed that, in one area and in one class of the weights, those who did not answer score on average as "
    "those who did. The answers themselves cannot show whether they do.",
    "Aangenomen is dat wie niet antwoordde, in dezelfde buurt en dezelfde klasse van de weging, gemiddeld net zo "
    "scoort als wie wel antwoordde. De antwoorden zelf kunnen niet laten zien of dat zo is.",
)


@dataclass(frozen=True)
class Statement:
    """What the method statement says.

    A source has `name`, `owner`, `mode`, `licence` (in both languages), `year`, `level`, `respondents`, `response`
    (share, or None); of made data nobody is credited. `model` is in words and symbols, priors included; `benchmarks`
    are published figures that the estimates agree with; `spatial` is a model with a part that neighbours share;
    `silent` is what is known and assumed of those who did not answer, `years` what has to be told of several years,
    `open_data` the tables behind the areas and their figures.
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
    estimand: Note = ESTIMANDS["expected"]
    silent: tuple[Note, ...] = (ASSUMED,)
    shares: bool = False
    years: tuple[Note, ...] = ()
    open_data: tuple[Retrieved, ...] = ()

    @classmethod
    def of(
        cls,
        quality: Mapping[str, Any],
        provenance: Provenance,
        rules: Rules,
        shares: bool = False,
        years: tuple[Note, ...] = (),
    ) -> Statement:
        """Take from the quality report and the settings of a run what has to be told, with the rules of the labels,
        whether some of the figures are shares, and what is to be told of several years (`method_years`).
        """
        settings = provenance.settings
        response = {part["source"]: part.get("response") for part in settings.get("sources", ())}
        engine, made = str(quality["run"]["engine"]), bool(quality["run"].get("fictitious"))
        benchmarks = quality["benchmarks"] or {}
        sources = tuple(_source(row, response.get(row["source"]), made) for row in quality["sources"] or ())
        return cls(
            sources,
            quality["model"] or Note("", ""),
            tuple(quality["gate"]["checks"]),
            tuple(benchmarks.get("table", ())) if isinstance(benchmarks, Mapping) else tuple(benchmarks),
            rules,
            tuple(quality["notes"] or ()),
            ENGINES.get(engine, Note("see the documentation", "zie de documentatie")).under(engine),
            str(quality["run"]["versions"].get("buurtsae", "")),
            str(settings.get("run", {}).get("contact", "")),
            bool(quality["run"].get("spatial")),
            ESTIMANDS[quality["run"].get("estimand", "expected")],
            (
                *dict.fromkeys(map(_weighted, sources)),  # of several years once
                _assumed(quality.get("persons") or ()),
                *_moved(quality.get("nonresponse") or {}),
            ),
            shares,
            years,
            () if areas_made(quality["run"].get("fictitious", False)) else tables(provenance.open_data),
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


def _weighted(row: Mapping[str, Any]) -> Note:
    """What the weights of a source were made to agree with."""
    if margins := row.get("calibrated"):
        by = [Note.joined([Note(part, part) for part in margin.split(":")], " x ") for margin in margins]
        return Note(
            "{name}: weights were calibrated to known totals by {by}.",
            "{name}: de gewichten zijn gekalibreerd op bekende aantallen naar {by}.",
            name=row["name"], by=by,
        )  # fmt: skip
    if margins is None:
        return Note(
            "{name}: the direct estimates were made elsewhere; how they were weighted is not known here.",
            "{name}: de directe schattingen zijn elders gemaakt; hoe daarvoor is gewogen, is hier niet bekend.",
            name=row["name"],
        )
    return Note(
        "{name}: weights are used as they were given, not calibrated to known totals here.",
        "{name}: de gewichten zijn gebruikt zoals ze zijn gegeven, en hier niet gekalibreerd op bekende aantallen.",
        name=row["name"],
    )


def _assumed(effects: Sequence[Mapping[str, Any]]) -> Note:
    """What is assumed of those who did not answer; of models of persons, by the terms that have effects."""
    if not (terms := list(dict.fromkeys(row["term"] for row in effects))):
        return ASSUMED
    return Note(
        "Persons are modelled, by {terms}: what those who answered say of their kind counts for as many residents of "
        "that kind as live in an area. It is assumed that, in one area, those of one kind who did not answer would "
        "answer as those who did. The answers themselves cannot show whether they do.",
        "Er is een model van personen, naar {terms}: wat wie antwoordde zegt over mensen zoals zij, telt voor zo veel "
        "bewoners van die soort als er in een buurt wonen. Aangenomen is dat wie niet antwoordde, in dezelfde buurt en "
        "van dezelfde soort, zo zou antwoorden als wie dat wel deed. De antwoorden zelf kunnen niet laten zien of dat "
        "zo is.",
        terms=terms,
    )


def _moved(nonresponse: Mapping[str, Any]) -> list[Note]:
    """How far figures would move if those who did not answer score otherwise."""
    rows = [row for row in nonresponse.get("rows", ()) if row["direction"] == "lower"]
    if not rows:
        return []
    area, whole = ([row for row in rows if row["level"] == rows[end]["level"]] for end in (0, -1))
    return [
        Note(
            "If those who did not answer score {shift} standard deviations lower than those who did, the figure of "
            "the whole moves by {whole:.2f} points at most, and that of an area by {area:.2f}. {outside} of {of} "
            "figures of the whole then lie outside their interval, and of no measure more than {share:.0f}% of the "
            "areas. If they score higher, figures move as far the other way.",
            "Scoort wie niet antwoordde {shift} standaardafwijking lager dan wie wel antwoordde, dan verschuift het "
            "cijfer van het geheel hoogstens {whole:.2f} punt, en dat van een buurt hoogstens {area:.2f}. Van de {of} "
            "cijfers van het geheel liggen er dan {outside} buiten hun interval, en per maat hoogstens {share:.0f}% "
            "van de buurten. Scoort die hoger, dan verschuiven cijfers even ver de andere kant op.",
            shift=float(nonresponse["shift"]), whole=max(abs(row["largest"]) for row in whole),
            area=max(abs(row["largest"]) for row in area), outside=sum(round(row["outside"]) for row in whole),
            of=len(whole), share=100 * max(row["outside"] for row in area),
        )
    ]  # fmt: skip
