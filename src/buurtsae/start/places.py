"""Of which place the figures will be, and files of areas that are there already: their columns, and who is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from buurtsae.areas.codes import CBS, clean
from buurtsae.areas.columns import CODES
from buurtsae.areas.reading import read_geometry
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.opendata.region import code_of
from buurtsae.start.choices import Choice
from buurtsae.tables import read_table

if TYPE_CHECKING:
    import geopandas as gpd

Kind = Literal["gemeente", "provincie", "ggd", "land"]
FULL = 0.99  # share of the rows with a code from which a column is that of the codes
FEW = 0.01  # share of the respondents below which a gemeente is no place of a survey
NAMES = ("buurtnaam", "naam", "name", "bu_naam", "statnaam", "buurt_naam")
RESIDENTS = re.compile(r"(aantal_?)?inwoners(_\d+)?|population|bevolking", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """What the figures are of: gemeenten, a provincie or GGD-regio by name or code, or the country, and its `label`."""

    kind: Kind
    names: tuple[str, ...] = ()
    label: str = ""

    @property
    def text(self) -> str:
        """What it is called, with the codes or names behind it."""
        behind = ", ".join(self.names)
        return f"{self.label} ({behind})" if self.label and behind != self.label else behind

    @property
    def region(self) -> str:
        """What the whole of a run is called, where the areas themselves do not tell."""
        name = self.label.removesuffix(" (PV)")
        if self.kind == "ggd":
            return name if name.startswith("GGD") or not name else f"GGD-regio {name}"
        return f"Provincie {name}" if self.kind == "provincie" and name else ""


def place_of(
    gemeente: Sequence[str], provincie: str | None, ggd: str | None, land: bool, problems: Problems
) -> Place | None:
    """Return the place that options name; None where they name none, or, with a problem recorded, more than one."""
    told: list[Place] = [Place("gemeente", tuple(dict.fromkeys(gemeente)))] if gemeente else []
    told += [Place("provincie", (provincie,))] if provincie else []
    told += [Place("ggd", (ggd,))] if ggd else []
    told += [Place("land")] if land else []
    if len(told) > 1:
        got, hint = shown(f"--{place.kind}" for place in told), "keep one of these; --gemeente may be repeated"
        problems.add("the place is said in several ways", got, "one", hint)
    return told[0] if len(told) == 1 else None


@dataclass(frozen=True)
class Given:
    """Files of areas: which columns hold what, and the codes, the gemeente and its name of each row.

    Attributes
    ----------
    frame : GeoDataFrame
        The file, with `buurtcode`, `gemeentecode` and what joined tables add.
    own : tuple of str
        Columns of the file itself, but for the geometry.
    code, name, population : str
        Columns.
    choices : tuple of Choice
        How these columns were found, where they are not called as a run file expects.
    """

    frame: gpd.GeoDataFrame
    own: tuple[str, ...]
    code: str
    name: str
    population: str
    choices: tuple[Choice, ...] = ()

    @property
    def codes(self) -> dict[str, pd.Index]:
        """The codes of the buurten and of their wijken."""
        buurt = self.frame["buurtcode"].dropna()
        return {"buurt": pd.Index(buurt), "wijk": pd.Index(CBS.read(buurt, "wijk").unique())}

    @property
    def gemeenten(self) -> dict[str, str]:
        """The name of each gemeente, its code where there is no name; by code."""
        codes = self.frame["gemeentecode"].dropna().astype(str)
        names = self.frame["gemeentenaam"].astype("string") if "gemeentenaam" in self.frame else codes
        return dict(sorted({code: str(name) for code, name in zip(codes, names.fillna(codes), strict=False)}.items()))


def given(path: Path, tables: Sequence[tuple[Path, str]]) -> Given:
    """Read a file of areas and tables beside it, and find their columns.

    Raises
    ------
    DataError or ProblemsError
        What cannot be read, and a file without buurtcodes or residents.
    """
    problems = Problems()
    frame = problems.attempt(read_geometry, path, [])
    read = [(key, table, file) for file, key in tables if (table := problems.attempt(_table, file, key)) is not None]
    problems.raise_if_any()
    assert frame is not None  # without problems it was read
    columns = list(frame.columns.drop("geometry"))
    codes = [column for column in columns if _share(clean(frame[column]), "buurt") >= FULL]
    code = next((column for column in ("buurtcode", *codes) if column in codes), "")
    if not code:
        what, hint = f"{path.name} has no column of buurtcodes", "give a file with codes as CBS publishes them"
        raise DataError(what, shown(columns, 12), "codes such as BU03440101", hint)
    frame["buurtcode"] = buurt = clean(frame[code])
    frame["wijkcode"], frame["gemeentecode"] = CBS.read(buurt, "wijk"), CBS.read(buurt, "gemeente")
    for key, table, _ in read:
        fresh = [column for column in table if column not in frame]
        frame = frame.merge(table[[key, *fresh]].drop_duplicates(key), on=key, how="left")
    name = next((column for column in NAMES if column in frame), code)
    counts = [column for column in frame if RESIDENTS.fullmatch(str(column))]
    population = next((column for column in ("inwoners", "aantal_inwoners", *counts) if column in counts), "")
    if not population:
        what, hint = "the number of residents is in none of the files", "give the kerncijfers with --table"
        raise DataError(what, shown(frame.columns.drop("geometry"), 12), "a column such as inwoners", hint)
    by_form = Note("all its cells are buurtcodes", "alle cellen zijn buurtcodes")
    by_name = Note("by its name", "op naam")
    choices = [Choice("[areas] code", code, by_form)] if code != "buurtcode" else []
    choices += [Choice("[areas] name", name, by_name)] if name != "buurtnaam" else []
    others = [column for column in counts if column != population]
    beside = Note("by its name; {others} may be it too", "op naam; {others} kan het ook zijn", others=others)
    if others or population != "inwoners":
        choices.append(Choice("[areas] population", population, beside if others else by_name))
    return Given(frame, tuple(columns), code, name, population, tuple(choices))


def key_of(path: Path) -> str:
    """Return by which code a table is joined: the finest that it has.

    Raises
    ------
    DataError
        If it has none.
    """
    columns = read_table(path, text=CODES).columns
    for key in CODES:
        if key in columns:
            return key
    raise DataError(f"{path.name} cannot be joined to areas", shown(columns, 12), shown(CODES), "rename the column")


def _table(path: Path, key: str) -> pd.DataFrame:
    return read_table(path, text=CODES).assign(**{key: lambda table: table[key].astype(object)})


def _share(code: pd.Series, level: str) -> float:
    return float(code.str.fullmatch(CBS.forms[level][1]).fillna(False).mean()) if len(code) else 0.0


def resolved(place: Place, areas: Given) -> Place:
    """Return a place with the codes of its gemeenten, or the name of its provincie or GGD-regio as the files have it.

    Raises
    ------
    DataError or ProblemsError
        What the files do not have, with the names that come near.
    """
    problems, kind = Problems(), place.kind
    known = areas.gemeenten if kind == "gemeente" else _known(kind, areas)
    found = [problems.attempt(code_of, asked, known, kind, "in the areas") for asked in place.names]
    problems.raise_if_any()
    codes = tuple(dict.fromkeys(code for code in found if code is not None))
    return Place(kind, codes, ", ".join(known[code] for code in codes))


def _known(kind: str, areas: Given) -> dict[str, str]:
    """Codes and names of the provincies or GGD-regio's of the files."""
    pairs = {"provincie": ("provinciecode", "provincienaam"), "ggd": ("ggdregio", "ggdregio"), "land": ("", "")}[kind]
    if pairs[0] not in areas.frame:
        if kind == "land":
            return {}
        what, hint = f"the areas do not say their {kind}", "join a table that does with --table"
        raise DataError(what, shown(areas.frame.columns.drop("geometry"), 12), pairs[0], hint)
    label = pairs[1] if pairs[1] in areas.frame else pairs[0]
    both = areas.frame[[pairs[0], label]].dropna().astype(str).drop_duplicates().to_numpy()
    return {str(code): str(name) for code, name in both}


def where_they_live(shares: pd.Series, areas: Given) -> Choice:
    """Return the gemeenten of the respondents as the place, by their codes; the whole file where these are most of it.

    `shares` are of the respondents, by gemeentecode.

    Raises
    ------
    DataError
        If the areas have none of these.
    """
    many = [str(code) for code in shares.index[shares >= FEW] if code in areas.gemeenten]
    if not many:
        what, got = "none of the respondents lives in these areas", f"codes of gemeenten {shown(shares.index)}"
        hint = "are the areas of another place or year? of a gemeente that merged, name the new one with --gemeente"
        raise DataError(what, got, f"gemeenten of the areas, such as {shown(areas.gemeenten, 3)}", hint)
    if 2 * len(many) > len(areas.gemeenten):
        why = Note(
            "respondents live in {n} of its {of} gemeenten",
            "in {n} van de {of} gemeenten wonen respondenten",
            n=len(many),
            of=len(areas.gemeenten),
        )
        return Choice("place", "", why)
    why = Note(
        "{share:.0%} of the respondents with a code live there",
        "{share:.0%} van de respondenten met een code woont er",
        share=float(shares[many].sum()),
    )  # fmt: skip
    return Choice("place", ",".join(many), why)
