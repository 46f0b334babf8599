"""Where figures come from: the one place that says it of surveys, of the areas and their figures, and of made data.

Data may be made in whole, or in part: simulated answers for areas that exist, with their real figures. Who published
what is real is credited; what is made is said to be as in its model, and nobody is credited for it.
"""

from __future__ import annotations

from typing import Literal

from buurtsae.notes import MADE, Note

Fictitious = bool | Literal["respondents"]  # True: all is made; "respondents": the answers are, the areas are real

SOURCE = Note("Source: estimates by buurtsae", "Bron: schattingen met buurtsae")
SIMULATED = Note(
    "Source: simulated answers, estimates by buurtsae", "Bron: gesimuleerde antwoorden, schattingen met buurtsae"
)


def areas_made(fictitious: Fictitious) -> bool:
    """Return whether the areas and their figures are made too."""
    return fictitious is True


def source(fictitious: Fictitious, credit: str = "") -> Note:
    """Return the line that says whom figures come from; of areas that are made nobody gets the credit."""
    line = SIMULATED if fictitious else SOURCE
    if not credit or areas_made(fictitious):
        return line
    return Note(
        "{line}; areas and their figures: {credit}", "{line}; buurten en kenmerken: {credit}", line=line, credit=credit
    )


def as_in(name: Note, made: bool) -> Note:
    """Return the name of a survey or register, as the model of what was made after it."""
    return Note("as in: {name}", "zoals in: {name}", name=name) if made else name


def notice(fictitious: Fictitious) -> str:
    """Return what a file says of made data, in both languages; nothing of other data."""
    return f"{MADE.nl} {MADE}" if fictitious else ""


def marked(run_id: str, fictitious: Fictitious) -> str:
    """Return the key of a run, which says of made data that they are: plain tables have it in every row."""
    return f"fictief-{run_id}".rstrip("-") if fictitious else run_id
