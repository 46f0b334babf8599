"""What a reader of a spreadsheet must know, in Dutch with English beside it: score, interval, labels, columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from buurtsae.errors import DataError

PARTS = (
    (
        "Score",
        "Een score loopt van 0 (laag) tot 10 (hoog). Het is een schatting met een model: antwoorden van respondenten "
        "in het gebied, gecombineerd met kenmerken van het gebied en met wat naburige buurten leren.",
        "A score runs from 0 (low) to 10 (high). It is a model estimate: answers of the area's respondents combined "
        "with characteristics of the area and with what neighbouring buurten teach.",
    ),
    (
        "Interval",
        "De werkelijke score ligt met 95% kans tussen `lower` en `upper`. Verschillen tussen gebieden waarvan de "
        "intervallen elkaar ruim overlappen, zeggen weinig.",
        "The true score lies between `lower` and `upper` with 95% probability (equal tails).",
    ),
    (
        "Oordeel",
        "betrouwbaar: het cijfer kan worden gebruikt. indicatief: alleen met het interval erbij, zie `reason`. "
        "niet_publiceren: er is geen cijfer.",
        "betrouwbaar: may be used. indicatief: only together with its interval. niet_publiceren: no figure.",
    ),
    (
        "Onderdrukking",
        "Cijfers van gebieden met te weinig inwoners, en cijfers waarmee die terug te rekenen zijn, worden niet "
        "gegeven. De rij blijft staan, de cellen zijn leeg en `reason` zegt waarom. Leeg is geen nul.",
        "Figures of areas with too few residents, and figures that would give these away, are left empty; rows stay.",
    ),
)

# what each column of the contract is, in Dutch; English is in `schemas.ESTIMATES`
COLUMNS = {
    "level": "gebiedsniveau, of een eigen indeling",
    "area_code": "code zoals het CBS die publiceert; NL00 voor het geheel",
    "area_name": "naam van het gebied",
    "code_year": "jaar van de gebiedsindeling",
    "measure": "maat: een subdimensie, een dimensie of het totaal",
    "year": "jaar waarop de schatting betrekking heeft",
    "estimate": "de schatting (posteriorgemiddelde)",
    "sd": "standaardafwijking van de schatting",
    "lower": "ondergrens van het 95%-interval",
    "upper": "bovengrens van het 95%-interval",
    "n_respondents": "eigen respondenten, uit alle bronnen",
    "n_effective": "effectief aantal respondenten, na weging",
    "population": "inwoners",
    "direct": "schatting uit alleen de eigen respondenten, waar die er is",
    "direct_se": "standaardfout van `direct`",
    "own_data_share": "gewicht van de eigen respondenten in de schatting",
    "reliability": "1 - posteriorvariantie / variantie tussen buurten",
    "label": "of het cijfer gepubliceerd kan worden",
    "reason": "waarom niet gepubliceerd of indicatief",
    "p_above_parent": "kans op een score boven het gemiddelde van de gemeente (van een gemeente: van het hele gebied)",
    "rank_lower": "begin van het 95%-interval van de rang; 1 is de hoogste score",
    "rank_upper": "einde van het 95%-interval van de rang",
    "benchmarked": "of de schattingen met gepubliceerde totalen overeenkomen",
    "run_id": "verwijzing naar manifest.json",
}


@dataclass(frozen=True)
class About:
    """Which set of estimates a file is of.

    Attributes
    ----------
    title, run_id : str
    created : datetime
        In UTC: what files give as their date.
    draft : bool
        The quality gate was not met.
    """

    title: str
    run_id: str
    created: datetime
    draft: bool = False


def moment(created: str) -> datetime:
    """Return the moment of a run (RFC 3339) in UTC.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        found = datetime.fromisoformat(created)
    except ValueError as error:
        raise DataError(
            "the moment of the run cannot be read", repr(created), "RFC 3339: 2024-01-31T12:00:00Z", "correct `created`"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
