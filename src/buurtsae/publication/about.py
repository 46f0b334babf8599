"""What readers of pages and files must know, in Dutch and English: which run it is, score, interval, labels, columns.

`About` tells of one run where its figures come from (`origin`), whether they are a draft, and what of them is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from buurtsae.errors import DataError
from buurtsae.notes import MADE, Note
from buurtsae.origin import Fictitious, notice, source
from buurtsae.scale import Scale

MODELLED = Note(
    "It is a model estimate: answers of the area's respondents combined with characteristics of the area and with what "
    "is known of the areas around it.",
    "Het is een schatting met een model: antwoorden van respondenten in het gebied, gecombineerd met kenmerken van het "
    "gebied en met gegevens over de buurten eromheen.",
)
OWN = Note(
    "Each measure has a scale and a unit of its own: see `scale_lower`, `scale_upper` and `unit`.",
    "Elke maat heeft een eigen schaal en eenheid: zie `scale_lower`, `scale_upper` en `unit`.",
)
PARTS = (
    (
        "Interval",
        "De werkelijke waarde ligt met 95% kans tussen `lower` en `upper`. Verschillen tussen gebieden waarvan de "
        "intervallen elkaar ruim overlappen, zeggen weinig.",
        "The true value lies between `lower` and `upper` with 95% probability (equal tails). Differences between areas "
        "whose intervals overlap widely say little.",
    ),
    (
        "Oordeel",
        "betrouwbaar: het cijfer kan worden gebruikt. indicatief: alleen met het interval erbij, zie `reason`. "
        "niet_publiceren: er is geen cijfer.",
        "betrouwbaar: may be used. indicatief: only together with its interval, see `reason`. "
        "niet_publiceren: no figure.",
    ),
    (
        "Onderdrukking",
        "Cijfers van gebieden met te weinig inwoners, en cijfers waarmee die terug te rekenen zijn, worden niet "
        "gegeven. De rij blijft staan, de cellen zijn leeg en `reason` zegt waarom. Leeg is geen nul.",
        "Figures of areas with too few residents, and figures that would give these away, are not given. The row "
        "stays, its cells are empty and `reason` says why. Empty is not zero.",
    ),
)


def parts(scale: Scale) -> tuple[tuple[str, str, str], ...]:
    """Return what readers must know, per notion: its name, the text in Dutch and in English."""
    notes = [Note("A score is a number {range}.", "Een score is een getal {range}.", range=scale.range)]
    if scale.mixed:
        return (("Cijfer", f"{OWN.nl} {MODELLED.nl}", f"{OWN} {MODELLED}"), *PARTS)
    if scale.bounded:
        notes = [
            Note(
                "A score runs from {low:g} (low) to {high:g} (high).",
                "Een score loopt van {low:g} (laag) tot {high:g} (hoog).",
                low=scale.lower,
                high=scale.upper,
            )
        ]
    if not scale.plain:
        notes.append(Note("Its unit: {unit}.", "De eenheid: {unit}.", unit=scale.unit))
    first = Note.joined([*notes, MODELLED], " ")
    return ("Score", first.nl, str(first)), *PARTS


# what each column of the contract is, in Dutch; English is in `schemas.ESTIMATES`
COLUMNS = {
    "level": "gebiedsniveau, of een eigen indeling",
    "area_code": "code zoals het CBS die publiceert; NL00 voor het geheel",
    "area_name": "naam van het gebied",
    "code_year": "jaar van de gebiedsindeling",
    "measure": "een maat van het begrip",
    "scale_lower": "laagste waarde die een cijfer van de maat kan hebben; leeg als er geen is",
    "scale_upper": "hoogste waarde die een cijfer van de maat kan hebben; leeg als er geen is",
    "unit": "eenheid van de maat",
    "year": "jaar waarop de schatting betrekking heeft",
    "estimate": "de schatting (gemiddelde van de posterior)",
    "sd": "standaardafwijking van de posterior: de onzekerheid van de schatting",
    "lower": "ondergrens van het 95%-interval",
    "upper": "bovengrens van het 95%-interval",
    "n_respondents": "eigen respondenten, uit alle bronnen",
    "n_effective": "effectief aantal respondenten, na weging",
    "population": "inwoners",
    "direct": "schatting uit alleen de eigen respondenten, als die er is",
    "direct_se": "standaardfout van `direct`",
    "own_data_share": "gewicht van de eigen respondenten in de schatting",
    "reliability": "1 - variantie van de posterior / variantie tussen buurten",
    "label": "of het cijfer gepubliceerd kan worden",
    "basis": "waar het op rust: eigen respondenten (de helft of meer), gemengd (een vijfde of meer), of vooral model",
    "reason": "waarom het cijfer indicatief is of niet gepubliceerd wordt",
    "p_above_parent": "kans dat de score boven die van de gemeente ligt (van een gemeente: van het hele gebied)",
    "rank_lower": "begin van het 95%-interval van de rang; 1 is de hoogste score",
    "rank_upper": "einde van het 95%-interval van de rang",
    "benchmarked": "of de schattingen aansluiten op gepubliceerde totalen",
    "run_id": "verwijzing naar manifest.json",
}
# and of the sheet of changes, where it has others or means something else
OF_CHANGES = {
    "year_from": "jaar waarvan de verandering is",
    "year_to": "jaar tot waarin de verandering loopt",
    "change": "de verandering (gemiddelde van de posterior); nooit zonder het interval te gebruiken",
    "sd": "standaardafwijking van de verandering",
    "lower": "ondergrens van het 95%-interval van de verandering",
    "upper": "bovengrens van het 95%-interval van de verandering",
    "p_increase": "kans dat het cijfer is toegenomen",
    "p_relevant": "kans op een verandering die telt, of meer, hoe dan ook",
    "p_false_sign": "kans dat de verandering de andere kant op ging",
    "recovered": "deel van een plotselinge verandering in het gebied dat het cijfer laat zien",
    "label": "toename of afname vanaf een kans van 95%; anders niet te onderscheiden",
    "reason": "waarom er geen verandering wordt gegeven",
}
CHANGE = (
    "Verandering",
    "Alle jaren zijn samen geschat; een verandering heeft een eigen interval en is niet het verschil van twee cijfers "
    "met hun intervallen. niet_te_onderscheiden: van geen verandering te onderscheiden is zij niet.",
    "All years were estimated together; a change has an interval of its own, and is not the difference of two figures "
    "with theirs. niet_te_onderscheiden: it cannot be told apart from no change.",
)
MAANDEN = "januari februari maart april mei juni juli augustus september oktober november december".split()
MONTHS = "January February March April May June July August September October November December".split()
DRAFT = Note(
    "DRAFT: not for publication, the quality gate was not met.",
    "VOORLOPIG: niet voor publicatie, de kwaliteitstoets is niet gehaald.",
)


@dataclass(frozen=True)
class About:
    """Which set of estimates a file is of; `created` is in UTC, `credit` is for the areas and their figures."""

    title: str
    run_id: str
    created: datetime
    draft: bool = False
    fictitious: Fictitious = False
    credit: str = ""

    @property
    def notice(self) -> str:
        """What a file says of made data, in both languages; empty for other data."""
        return notice(self.fictitious)

    @property
    def source(self) -> Note:
        """The line that says whom figures come from."""
        return source(self.fictitious, self.credit)


def stamps(fictitious: Fictitious, draft: bool) -> tuple[Note, ...]:
    """Return what stands on top of every page: made data, a draft."""
    return (*([MADE] if fictitious else []), *([DRAFT] if draft else []))


def of_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pages show of a run (as `Content.run`): what is known of it, its source line and its stamps."""
    made, line = run.get("fictitious", False), run.get("source")
    credited = source(made, run.get("credit", "")) if line is None else Note(line, line)
    day = in_words(moment(run["created"]))
    return {**run, "fictitious": made, "source": credited, "stamps": stamps(made, bool(run.get("draft"))), "day": day}


def in_words(day: datetime) -> Note:
    """Return a date in words, which no two countries read in two ways."""
    en, nl = (f"{day.day} {months[day.month - 1]} {day.year}" for months in (MONTHS, MAANDEN))
    return Note(en, nl)


def moment(created: str) -> datetime:
    """Return the moment of a run (RFC 3339) in UTC.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        time = datetime.fromisoformat(created)
    except ValueError as error:
        raise DataError(
            "the moment of the run cannot be read", repr(created), "RFC 3339: 2024-01-31T12:00:00Z", "correct `created`"
        ) from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
