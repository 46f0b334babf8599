"""In plain words: what is known about one area, and what its estimates rest on.

The same sentences appear in a notebook (`Estimates.explain`) and on the command line, in Dutch, and on the page of a
buurt, in Dutch and English. They are made from records: rows of the published table as dictionaries, with a missing
figure as None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from buurtsae.estimates.labels import MOST
from buurtsae.figures import decimals, dutch, interval
from buurtsae.notes import SWAPPED, Note
from buurtsae.scale import SCORE, Scale

LABELS = {"betrouwbaar": "betrouwbaar", "indicatief": "indicatief", "niet_publiceren": "niet gepubliceerd"}


def explanation(
    rows: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    leaning: Mapping[str, Mapping[str, Any]],
    scales: Mapping[str, Scale],
) -> str:
    """Return what is known about one area, from its rows of the published table, of one year.

    Numbers of people may be unknown. `names` are those of the measures in Dutch; `leaning` has per measure the parts of
    `buurtsae.estimates.words.leaning`, and is empty for areas above buurt; `scales` are those of measures other than
    scores on 0-10.
    """
    rows = list(rows)
    first = rows[0]
    residents = "" if first["population"] is None else f", {dutch(first['population'], 0)} inwoners"
    lines = [f"{first['area_name']} ({first['area_code']}, {first['level']}){residents}"]
    for row in rows:
        scale = scales.get(row["measure"], SCORE)
        lines.append(f"  {names[row['measure']]:26} {figure(row, scale)}")
        if row["measure"] in leaning:
            lines.append(f"  {'':26} {leans_on(row, leaning[row['measure']], scale).nl}")
    return "\n".join(lines)


def figure(row: Mapping[str, Any], scale: Scale = SCORE) -> str:
    """Return a score with its interval, own data and label."""
    if row["label"] == "niet_publiceren" or row["estimate"] is None:
        return f"niet gepubliceerd: {row['reason']}"
    digits = decimals(row["lower"], row["upper"], scale.digits)
    sign = "-" if row["lower"] >= 0 else " tot "  # beside a minus no hyphen
    score = f"{dutch(row['estimate'], digits)}{scale.sign} ({interval(row['lower'], row['upper'], sign, scale.digits)})"
    share = "" if row["own_data_share"] is None else f"; {100 * row['own_data_share']:.0f}% eigen data"
    reason = f": {row['reason']}" if row["reason"] else ""
    who = "" if row["n_respondents"] is None else f" ({people(row['n_respondents']).nl})"
    return f"{score}{share}{who}; {LABELS[row['label']]}{reason}"


def leans_on(row: Mapping[str, Any], parts: Mapping[str, Any], scale: Scale = SCORE) -> Note:
    """Return in words what an estimate of a smallest area is made of."""
    kind, this = ("buurt", "deze") if row.get("level", "buurt") == "buurt" else ("gebied", "dit")
    n, answers, digits = row["n_respondents"], parts["own"], scale.digits
    who = Note("own data", "eigen gegevens") if n is None else people(n, own=True)
    around = Note("the areas around it", f"de {kind}en eromheen")
    both = Note(f"the areas around it and its {who} together", f"de {kind}en eromheen en de {who.nl} samen")

    def points(what: Note, value: float, sign: str = "+") -> Note:
        x = f"{value:{sign}z.{digits}f}"  # not as a field of the note: millions are written
        return Note(f"{what}: {x}", f"{what.nl}: {x.translate(SWAPPED)}")

    who_lives = Note("who lives there", "wie er wonen")
    average = Note("an area of average characteristics", f"een {kind} met gemiddelde kenmerken")
    phrases = [
        points(average, parts["reference"], ""),
        points(Note("the characteristics of this area", f"de kenmerken van {this} {kind}"), parts["characteristics"]),
        *([] if parts.get("composition") is None else [points(who_lives, parts["composition"])]),
        points(both if n != 0 and answers is None else around, parts["surroundings"]),
    ]
    if n != 0 and answers is not None:
        phrases.append(points(Note(f"its {who}", f"de {who.nl}"), answers))
    if parts.get("shift") is not None:
        adjusted = Note("adjustment to published figures", "aanpassing aan gepubliceerde cijfers")
        phrases.append(points(adjusted, parts["shift"]))
    if n == 0:
        phrases.append(Note("it has no respondents of its own", "er zijn geen eigen respondenten"))
    text = Note.joined(phrases)
    return Note(f"{text[0].upper()}{text[1:]}.", f"{text.nl[0].upper()}{text.nl[1:]}.")


def most(share: float | None, n: int | None) -> Note:
    """Return in one sentence whether an estimate rests on own respondents or on everything else."""
    if n == 0:
        return Note(
            "Nobody here answered: the estimate comes from the characteristics of the area and the areas around it.",
            "Niemand uit deze buurt antwoordde: de schatting komt van kenmerken van de buurt en van buurten eromheen.",
        )
    if share is None:
        return Note("{who} answered here.", "Uit deze buurt antwoordden {who}.", who=people(n))
    return Note(
        "The estimate rests {part} on {who}: {share}% comes from their answers.",
        "De schatting steunt {part} op {who}: {share}% komt uit hun antwoorden.",
        part=Note("mainly", "vooral") if share >= MOST else Note("in part", "voor een deel"),
        who=people(n, own=True),
        share=f"{100 * share:.0f}",
    )


def people(n: int | None, *, own: bool = False) -> Note:
    """Return a number of respondents in words."""
    en, nl = ("respondent", "respondent") if n == 1 else ("respondents", "respondenten")
    return Note(f"{n or 0} {'own ' * own}{en}", f"{n or 0} {'eigen ' * own}{nl}")
