"""What the method statement says of several years: one fit, what stays and what changes, breaks, what a change is."""

from __future__ import annotations

from typing import Any

import numpy as np

from buurtsae.estimates.changes import SURE
from buurtsae.estimates.waves import Waves
from buurtsae.estimates.words.change import ALMOST, last_pair
from buurtsae.model.priors import Normal
from buurtsae.model.spec import AreaModel
from buurtsae.notes import Note
from buurtsae.survey.codebook import titled

CHANGES = Note(
    "A change between two years is computed within each draw of that one model, with an interval of its own: it is "
    "not the difference of two figures with theirs. It is called an increase or a decrease from a probability of "
    "{sure:.0f}% on, and almost certain from {almost:.1f}%; every other change cannot be told apart from no change, "
    "which does not say that nothing changed. It is not shown where a figure of either year is hidden.",
    "Een verandering tussen twee jaren is berekend binnen elke trekking van dat ene model, met een eigen interval: "
    "zij is niet het verschil van twee cijfers met hun intervallen. Zij heet toename of afname vanaf een kans van "
    "{sure:.0f}%, en vrijwel zeker vanaf {almost:.1f}%; elke andere is niet te onderscheiden van geen verandering, "
    "wat niet zegt dat er niets veranderde. Zij staat er niet waar een cijfer van een van beide jaren verborgen is.",
    sure=100 * SURE, almost=100 * ALMOST,
)  # fmt: skip


def of_years(waves: Waves) -> tuple[Note, ...]:
    """Return what has to be told of the years of a run, and of changes between them."""
    return (_together(waves), *_without(waves), _terms(waves), *_breaks(waves.fit.model), CHANGES, *_smoothed(waves))


def _together(waves: Waves) -> Note:
    return Note(
        "The surveys of {years} were estimated together, in one model: what people answered in one year also tells "
        "about the other years of their area.",
        "De enquêtes van {years} zijn samen geschat, in één model: wat mensen in het ene jaar antwoordden, zegt ook "
        "iets over de andere jaren van hun buurt.",
        years=_listed(waves.surveyed),
    )


def _without(waves: Waves) -> list[Note]:
    if not (years := [year for year in waves.years if year not in waves.surveyed]):
        return []
    return [
        Note(
            "There was no survey in {years}: what is shown of it follows from the model, and its intervals are wider.",
            "In {years} was er geen enquête: wat daarvan wordt getoond, volgt uit het model, met bredere intervallen.",
            years=_listed(years),
        )
    ]


def _terms(waves: Waves) -> Note:
    model = waves.fit.model
    if not any(term.lasting for term in model.terms):
        return Note(
            "No part of the model is over the years: each year has effects of its own, and lends nothing to another.",
            "Geen deel van het model loopt over de jaren: elk jaar heeft eigen effecten en leent niets van een ander.",
        )
    stays = Note(
        "What of an area stays and what changes from year to year are parts of their own ({terms}); the data tell how "
        "large the changes are.",
        "Wat van een buurt blijft en wat van jaar tot jaar verandert, zijn aparte delen ({terms}); de gegevens "
        "vertellen hoe groot de veranderingen zijn.",
        terms=[term.name for term in model.terms if term.lasting],
    )
    if model.over_years is None:
        return stays
    trend = Note("The level of the whole follows a trend.", "Het niveau van het geheel volgt een trend.")
    return Note.joined([stays, trend], " ")


def _breaks(model: AreaModel) -> list[Note]:
    """Where a source began to ask in another way."""
    return [
        Note(
            "{source} measured otherwise from {year} on: the break is a parameter of the model, so that it is not "
            "taken for a change. {how}",
            "{source} mat vanaf {year} anders: die breuk is een parameter van het model, zodat zij niet voor een "
            "verandering wordt gehouden. {how}",
            source=_name(one.source), year=str(one.year), how=_known(one.prior),
        )
        for one in model.breaks
    ]  # fmt: skip


def _known(prior: Normal | None) -> Note:
    if prior is None:
        return Note("The data tell how large it is.", "De gegevens vertellen hoe groot zij is.")
    return Note(
        "What was known beforehand of how large it is: {prior}.",
        "Vooraf bekend van hoe groot zij is: {prior}.",
        prior=prior,
    )


def _smoothed(waves: Waves) -> list[Note]:
    """How much of a sudden change in one area shows, in the middle area."""
    table, base = waves.changes, waves.current.areas.base
    first, second = last_pair(waves.pairs)
    rows = table[(table["level"] == base) & (table["year_from"] == first) & (table["year_to"] == second)]
    recovered = rows["recovered"].dropna()
    if recovered.empty:
        return []
    return [
        Note(
            "Estimates are smoothed, and so are changes: of a sudden change in one area in {year} its figure shows "
            "{middle:.0f}% in the middle area, and {low:.0f}% in one of ten or less.",
            "Schattingen zijn gladgestreken, en veranderingen dus ook: van een plotselinge verandering in één buurt "
            "in {year} laat het cijfer in de middelste buurt {middle:.0f}% zien, en in een op de tien {low:.0f}% of "
            "minder.",
            year=str(second), middle=100 * float(recovered.median()), low=100 * float(np.quantile(recovered, 0.1)),
        )
    ]  # fmt: skip


def _name(source: str) -> Note:
    book = titled(source)
    return Note(book.en or book.nl, book.nl)


def _listed(years: Any) -> Note:
    """Years in a row: 2020, 2022 and 2024."""
    *most, last = map(str, years)
    if not most:
        return Note(last, last)
    return Note(f"{', '.join(most)} and {last}", f"{', '.join(most)} en {last}")
