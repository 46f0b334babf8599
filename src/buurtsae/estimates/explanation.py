"""In plain Dutch: what is known about one area, and what it leans on.

The same sentences appear in a notebook (`Estimates.explain`), on the command line and on the page of a buurt. They are
made from records: rows of the published table as dictionaries, with a missing figure as None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LABELS = {"betrouwbaar": "betrouwbaar", "indicatief": "indicatief", "niet_publiceren": "niet gepubliceerd"}
ENOUGH = 0.5  # of the estimate from own data: it leans on these most


def explanation(
    rows: Iterable[Mapping[str, Any]], names: Mapping[str, str], leaning: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return what is known about one area.

    Parameters
    ----------
    rows : iterable of mapping
        The area's rows of the published table, of one year.
    names : mapping of measure to its Dutch name
    leaning : mapping of measure to the parts of `buurtsae.estimates.leaning`
        Empty for areas above buurt.
    """
    rows = list(rows)
    first = rows[0]
    lines = [f"{first['area_name']} ({first['area_code']}, {first['level']}), {first['population']} inwoners"]
    for row in rows:
        lines.append(f"  {names[row['measure']]:26} {figure(row)}")
        if row["measure"] in leaning:
            lines.append(f"  {'':26} {leans_on(row, leaning[row['measure']])}")
    return "\n".join(lines)


def figure(row: Mapping[str, Any]) -> str:
    """Return a score with its interval, own data and label."""
    if row["label"] == "niet_publiceren" or row["estimate"] is None:
        return f"niet gepubliceerd: {row['reason']}"
    score = f"{_number(row['estimate'])} ({_number(row['lower'])}-{_number(row['upper'])})"
    share = "" if row["own_data_share"] is None else f"; {100 * row['own_data_share']:.0f}% eigen data"
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{score}{share} ({people(row['n_respondents'])}); {LABELS[row['label']]}{reason}"


def leans_on(row: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Return in words what an estimate of a buurt is made of."""
    text = (
        f"Een buurt met gemiddelde kenmerken: {_number(parts['reference'])}; de kenmerken van deze buurt: "
        f"{_signed(parts['characteristics'])}; "
    )
    n = row["n_respondents"]
    if parts["own"] is not None:
        text += f"wat eromheen ligt: {_signed(parts['surroundings'])}; "
        text += f"de {people(n, own=True)}: {_signed(parts['own'])}" if n else "eigen respondenten zijn er niet"
    elif n:
        text += f"wat eromheen ligt en de {people(n, own=True)} samen: {_signed(parts['surroundings'])}"
    else:
        text += f"wat eromheen ligt: {_signed(parts['surroundings'])}; eigen respondenten zijn er niet"
    if parts.get("shift") is not None:
        text += f"; aanpassing aan gepubliceerde cijfers: {_signed(parts['shift'])}"
    return text + "."


def most(share: float | None, n: int | None) -> str:
    """Return in one sentence whether an estimate leans on own respondents or on everything else."""
    if not n:
        return "Hier antwoordde niemand: de schatting komt van de kenmerken van de buurt en van wat eromheen ligt."
    if share is None:
        return f"Hier antwoordden {people(n)}."
    rest = "vooral op" if share >= ENOUGH else "voor een deel op"
    return f"De schatting leunt {rest} de eigen {people(n)}: {100 * share:.0f}% komt van hun antwoorden."


def people(n: int | None, *, own: bool = False) -> str:
    """Return a number of respondents in words."""
    return f"{n or 0} {'eigen ' if own else ''}respondent{'' if n == 1 else 'en'}"


def _number(value: float) -> str:
    return f"{value:.1f}".replace(".", ",")


def _signed(value: float) -> str:
    return f"{value:+z.1f}".replace(".", ",")
