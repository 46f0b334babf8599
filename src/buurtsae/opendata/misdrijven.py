"""Geregistreerde misdrijven per buurt, of the police: numbers per calendar year, on the police's own buurten.

The police use a division of their own, which is not everywhere that of CBS. So the sum over the buurten of a gemeente
is compared with the gemeente's own number. Where less than 80% is found (0-16% in Best, Voorst, Zoetermeer and
Heeze-Leende in 2021-2025, at least 90% in all others) its codes are of other areas: all of its buurten are missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.notes import Note
from buurtsae.opendata.http import Fetcher, strange
from buurtsae.opendata.loaded import COLUMNS, REASONS, Loaded
from buurtsae.opendata.names import plain
from buurtsae.opendata.statline import front
from buurtsae.opendata.statline_cube import cube
from buurtsae.opendata.statline_v3 import NOWHERE, Feed, feed, rows
from buurtsae.retrieved import Retrieved

ALL = "0.0.0"
LEAST = 0.8  # of a gemeente's number that its buurten must have together
ABSENT, OTHER = "not in the table of the police", "the police divide this gemeente otherwise"
COLUMN, RATE = "misdrijven", "misdrijven_per_1000"


def load(
    fetcher: Fetcher,
    year: int,
    gemeenten: Sequence[str] | None = None,
    level: str = "buurt",
    kind: str = ALL,
    residents: pd.Series | None = None,
) -> Loaded:
    """Return the number of registered crimes of a year, on the areas of CBS of that year.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
    gemeenten : sequence of str, optional
        Codes; the whole country by default.
    level : str
        `buurt`, `wijk` or `gemeente`.
    kind : str
        Code of the crimes: `0.0.0` all, `1.1.1` burglary of homes.
    residents : Series, optional
        Residents by code, for a column per 1,000 residents.

    Returns
    -------
    Loaded

    Raises
    ------
    DataError
        If there is no table of that year, or it lacks a gemeente or kind, or the service does not do as it should.
    """
    table = feed(fetcher, fetcher.registry.table("misdrijven", year))
    areas = cube(fetcher, fetcher.registry.table("kerncijfers", year))
    codes = areas.of(level, gemeenten)
    where = {"SoortMisdrijf": kind, "Perioden": f"{year}JJ00"}
    known = {f"GM{code[2:6]}" for code in table.of(level, None)}
    asked = None if gemeenten is None else [code for code in gemeenten if code in known]  # others get no number
    number, title, unit, retrieved = _numbers(fetcher, table, where, asked, level)
    number, notes = _placed(number, codes)
    here = number.reindex(codes)
    reason = pd.Series(ABSENT, index=here.index, dtype=object).mask(here.index.isin(number.index), None)
    if level != "gemeente":
        total, *_, more = _numbers(fetcher, table, where, asked, "gemeente")
        retrieved += more
        share = share_found(here, total)
        if len(other := share.index[~(share >= LEAST)]):
            lost = CBS.read(here.index.to_series(), "gemeente").isin(other).to_numpy()
            here, reason = here.mask(lost), reason.mask(lost, OTHER)
            told = [f"{areas.areas.get(code, code)} ({share.fillna(0)[code]:.0%})" for code in other]
            notes.append(Note(
                "the police divide {n} gemeenten otherwise than CBS: their {areas} have together little of the "
                "gemeente's number, and are missing: {told}",
                "de politie deelt {n} gemeenten anders in dan het CBS: hun {areas} hebben samen weinig van het aantal "
                "van de gemeente, en ontbreken: {told}",
                n=len(other), areas=CBS.noun(level), told=told,
            ))  # fmt: skip
    if n := int((reason == ABSENT).sum()):
        notes.append(Note(
            "{n} of {all} {areas} are not in the table of the police",
            "{n} van de {all} {areas} staan niet in de tabel van de politie",
            n=n, all=len(codes), areas=CBS.noun(level),
        ))  # fmt: skip
    frame = front(codes, level, areas.areas).assign(**{COLUMN: here.to_numpy()})
    described = [(COLUMN, kind, title, unit, "per kalenderjaar")]
    if residents is not None:
        people = residents.reindex(codes).astype(float)
        frame[RATE] = 1000 * here.to_numpy() / people.where(people > 0).to_numpy()
        described.append((RATE, "", f"{title} per 1.000 inwoners", "per 1.000 inwoners", "afgeleid"))
    columns = pd.DataFrame(described, columns=list(COLUMNS[:-1]))
    columns["filled"] = frame[columns["column"]].notna().mean().to_numpy()
    missing = reason.dropna()
    reasons = pd.DataFrame({"code": missing.index, "column": COLUMN, "reason": missing.to_numpy()})[list(REASONS)]
    return Loaded(frame, columns, reasons, (*table.retrieved, *areas.retrieved, *retrieved), tuple(notes))


def share_found(number: pd.Series, total: pd.Series) -> pd.Series:
    """Return which part of each gemeente's number its areas have together; NaN where none of them has one.

    Examples
    --------
    >>> share_found(pd.Series({"BU00010000": 4.0, "BU00010001": 5.0}), pd.Series({"GM0001": 10.0})).to_dict()
    {'GM0001': 0.9}
    """
    found = number.groupby(CBS.read(number.index.to_series(), "gemeente").to_numpy()).sum(min_count=1)
    share = found / total.reindex(found.index)
    return share.mask((found == 0) & (total.reindex(found.index) == 0), 1.0)


def _numbers(
    fetcher: Fetcher, table: Feed, where: dict[str, str], gemeenten: Sequence[str] | None, level: str
) -> tuple[pd.Series, str, str, list[Retrieved]]:
    """Numbers by code, with their title and unit."""
    found, retrieved = rows(fetcher, table, where, gemeenten, level)
    topic = [
        key for key in table.topics.index if plain(key).startswith(("geregistreerdemisdrijven", "totaalmisdrijven"))
    ]
    topic = topic or (list(table.topics.index) if len(table.topics) == 1 else [])
    if not topic or found.duplicated(table.geo).any():
        got = ", ".join(table.topics.index) if not topic else "areas twice"
        raise strange(table.table, retrieved[-1].url, got, "one number of registered crimes per area")
    about = table.topics.loc[topic[0]]
    return found.set_index(table.geo)[topic[0]], about["title"], about["unit"], retrieved


def _placed(number: pd.Series, codes: Sequence[str]) -> tuple[pd.Series, list[Note]]:
    """Leave out crimes whose place is unknown, and areas that are not among the codes; say how many."""
    nowhere = number.index.str.fullmatch(NOWHERE)
    other = ~nowhere & ~number.index.isin(codes)
    notes = []
    if nowhere.any():
        notes.append(Note(
            "{n:,.0f} crimes have no known place: left out",
            "{n:,.0f} misdrijven hebben geen bekende plaats: weggelaten",
            n=float(number[nowhere].sum()),
        ))  # fmt: skip
    if other.any():
        notes.append(Note(
            "{n} areas of the police are not among those of CBS, with {all:,.0f} crimes: left out: {codes}",
            "{n} gebieden van de politie zijn er bij het CBS niet, met {all:,.0f} misdrijven: weggelaten: {codes}",
            n=int(other.sum()), all=float(number[other].sum()), codes=sorted(number.index[other]),
        ))  # fmt: skip
    return number[~nowhere & ~other], notes
