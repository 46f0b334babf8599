"""Leefbaarometer 3.0: scores per buurt of one measurement, checked by what they are made of.

afw = fys + onv + soc + vrz + won, and lbm - afw is the national mean, the same in every row. Scores are estimates of a
model; a buurt with few homes has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS, clean
from buurtsae.errors import DataError, shown
from buurtsae.notes import Note
from buurtsae.opendata.http import Fetcher, strange
from buurtsae.opendata.loaded import COLUMNS, REASONS, Loaded
from buurtsae.opendata.registry import Table
from buurtsae.opendata.zipped import column, header, member, reading
from buurtsae.survey.codebook import Codebook
from buurtsae.tables import as_number

PARTS = ("fys", "onv", "soc", "vrz", "won")
SCORES = ("lbm", "afw", *PARTS)
CLOSE = 1e-4  # beside what rounding does
UNSCORED = "no score is published: few homes, or none"
MODELLED = Note(
    "scores of the Leefbaarometer are estimates of a model: that they agree with results here is no independent "
    "evidence, and a model that uses them takes over their errors",
    "scores van de Leefbaarometer zijn schattingen van een model: dat ze met uitkomsten hier overeenkomen is geen "
    "onafhankelijk bewijs, en een model dat ze gebruikt neemt hun fouten over",
)


def load(
    fetcher: Fetcher,
    year: int,
    gemeenten: Sequence[str] | None = None,
    *,
    buurten: Sequence[str] | None = None,
    division: int | None = None,
) -> Loaded:
    """Return the scores of a measurement.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
        Of the measurement.
    gemeenten : sequence of str, optional
        Codes; all by default.
    buurten : sequence of str, optional
        All buurtcodes of the areas: those without a score get a row, and the reason.
    division : int, optional
        Year of these areas. The scores of all years have the codes of one division; where it is another, that is noted,
        and no buurt is called unscored.

    Returns
    -------
    Loaded
        `buurtcode`, `lbm`, `afw`, `fys`, `onv`, `soc`, `vrz`, `won`.

    Raises
    ------
    DataError
        A year without a measurement, a file that is another, scores that do not add up, gemeenten without any row.
    """
    table = fetcher.registry.table("leefbaarometer", year)
    reply = fetcher.file(table, suffix=".zip", begins=b"PK", edition=f"meting {table.codes_of}")
    name = member(table, reply, r"leefbaarometer-scores buurten .*\.csv", "scores per buurt")
    names, separator = header(table, reply, name)
    used = {column(table, reply, names, each): each for each in ("jaar", "bu_code", *SCORES)}
    options = {"sep": separator, "usecols": list(used), "dtype": str, "encoding": "utf-8-sig"}
    try:
        with reading(table, reply, name) as file:
            raw = pd.read_csv(file, encoding_errors="replace", **options).rename(columns=used)  # names are in cp1252
        raw = raw[raw["jaar"].str.strip() == str(year)]
        scores = {each: as_number(raw[each]) for each in SCORES}
    except ValueError as error:  # rows of another length, or cells that are no number
        raise strange(table, reply.url, f"{error} in {name}", "a table of numbers") from error
    if raw.empty:
        raise strange(table, reply.url, f"no rows of {year} in {name}", f"scores of {year}")
    frame = pd.DataFrame({"buurtcode": clean(raw["bu_code"]), **scores})
    _check(table, reply.url, frame, {each: _decimals(raw[each]) for each in SCORES})
    if gemeenten is not None:
        wanted, has = set(gemeenten), CBS.read(frame["buurtcode"], "gemeente")
        if absent := sorted(wanted - set(has)):
            hint = f"its codes are of the division of {table.codes_of}: take the gemeente of that year"
            got = f"{shown(absent)} without a row"
            raise DataError(f"the Leefbaarometer has no such gemeenten in {year}", got, "rows of each", hint)
        frame = frame[has.isin(wanted)]
    frame, notes = frame.sort_values("buurtcode", ignore_index=True), [MODELLED]
    other = division not in (None, table.codes_of)
    if other:
        notes.append(Note(
            "scores have the buurtcodes of {codes}, and the areas are of {areas}: a code may have moved to other "
            "ground; convert the scores with a crosswalk (docs/borders.md)",
            "de scores hebben de buurtcodes van {codes}, en de gebieden zijn van {areas}: een code kan op ander gebied "
            "zijn gaan slaan; reken de scores om met een crosswalk (docs/borders.md)",
            codes=table.codes_of, areas=division,
        ))  # fmt: skip
    if buurten is not None and not other:
        if extra := sorted(set(frame["buurtcode"]) - set(buurten)):
            notes.append(Note(
                "{n} scores are of buurten that the areas do not have, and are left out: {codes}",
                "{n} scores zijn van buurten die de gebieden niet hebben, en zijn weggelaten: {codes}",
                n=len(extra), codes=extra,
            ))  # fmt: skip
        frame = frame.set_index("buurtcode").reindex(pd.Index(sorted(buurten), name="buurtcode")).reset_index()
    gaps = frame[["buurtcode", *SCORES]].melt("buurtcode")
    gaps = gaps[gaps["value"].isna()].sort_values(["buurtcode", "variable"])
    if n := int(frame["lbm"].isna().sum()):
        notes.append(Note(
            "{n} of {all} buurten have no score of the Leefbaarometer: few homes",
            "{n} van {all} buurten hebben geen score van de Leefbaarometer: weinig woningen",
            n=n, all=len(frame),
        ))  # fmt: skip
    reasons = pd.DataFrame({"code": gaps["buurtcode"], "column": gaps["variable"], "reason": UNSCORED}, columns=REASONS)
    return Loaded(frame, _described(frame), reasons.reset_index(drop=True), (reply.retrieved,), tuple(notes))


def _check(table: Table, url: str, frame: pd.DataFrame, decimals: dict[str, int]) -> None:
    """Codes are buurten, once each; deviations are the sum of their parts, and scores these and one mean."""
    code = frame["buurtcode"]
    if bad := [*CBS.malformed(code, "buurt"), *code[code.duplicated()]]:
        raise strange(table, url, f"codes that are no buurt, or come twice: {shown(bad)}", "each buurt once")
    rounding = {each: 0.5 * 10.0**-places for each, places in decimals.items()}
    sums = (frame["afw"] - frame[list(PARTS)].sum(axis=1, skipna=False)).abs()
    means = frame["lbm"] - frame["afw"]
    within = CLOSE + rounding["afw"] + sum(rounding[part] for part in PARTS)
    apart = (means - means.median()).abs()
    for what, off, most in (
        ("afw is not fys + onv + soc + vrz + won", sums, within),
        ("lbm - afw is not the same in each row", apart, CLOSE + 2 * (rounding["lbm"] + rounding["afw"])),
    ):
        if len(wrong := code[off > most]):
            rows = shown(f"{each}: {off[at]:.4g} off" for at, each in wrong.items())
            raise strange(table, url, f"{what} in {len(wrong)} of {len(code)} rows ({rows})", f"within {most:.2g}")


def _decimals(column: pd.Series) -> int:
    """How many decimals a column is written with; 12 where it has more."""
    text = column.dropna().str.strip().str.extract(r"[.,](\d+)$")[0].str.len()
    return int(np.nanmin([text.max(), 12]))


def _described(frame: pd.DataFrame) -> pd.DataFrame:
    """What the scores are, as the codebook says."""
    told = {one.name: (one.nl, one.unit, one.about) for one in Codebook.load("leefbaarometer").indicators}
    rows = [(each, each, *told[each], float(frame[each].notna().mean())) for each in SCORES]
    return pd.DataFrame(rows, columns=list(COLUMNS))
