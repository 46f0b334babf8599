"""Which gemeenten are asked for: by name or code, by provincie, by GGD-regio, or the whole country.

Names are compared without case, without the addition in brackets where that leaves one gemeente ("Hengelo" is
"Hengelo (O.)"), and by what two cities are commonly called. What is not found comes back with what is like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import pandas as pd

from buurtsae.errors import DataError, Problems, cut, shown

COMMON = {"den haag": "'s-gravenhage", "den bosch": "'s-hertogenbosch"}
ASK = "name a region: --gemeente NAME (repeat for more), --provincie NAME, --ggd NAME, or --land"
GROUPS = {"provincie": ("provinciecode", "provincienaam"), "ggd": ("ggdregiocode", "ggdregio")}


@dataclass(frozen=True)
class Asked:
    """A region as a user names it: one of the four.

    Attributes
    ----------
    gemeenten : tuple of str
        Names or codes.
    provincie, ggd : str, optional
        A name or a code.
    land : bool

    Raises
    ------
    DataError
        If it is not one of the four.

    Examples
    --------
    >>> Asked(("Texel",)).grouped
    False
    """

    gemeenten: tuple[str, ...] = ()
    provincie: str | None = None
    ggd: str | None = None
    land: bool = False

    def __post_init__(self) -> None:
        given = [bool(self.gemeenten), self.provincie is not None, self.ggd is not None, self.land]
        if sum(given) != 1:
            got = "nothing" if not any(given) else "several of these"
            raise DataError("the region is not clear", got, "one of gemeente, provincie, GGD-regio and land", ASK)

    @property
    def grouped(self) -> bool:
        """Whether a table is needed that says which gemeenten lie in it."""
        return self.provincie is not None or self.ggd is not None


@dataclass(frozen=True)
class Region:
    """The gemeenten that were asked for.

    Attributes
    ----------
    name : str
    gemeenten : tuple of str, or None
        Their codes, sorted; None for all of the country.
    names : mapping of code to name

    Examples
    --------
    >>> table = pd.DataFrame({"gemeentecode": ["GM0448", "GM0093"], "gemeentenaam": ["Texel", "Terschelling"]})
    >>> Region.of(Asked(("texel",)), table, 2024)
    Region(name='Texel', gemeenten=('GM0448',), names={'GM0448': 'Texel'})
    """

    name: str
    gemeenten: tuple[str, ...] | None
    names: Mapping[str, str]

    @classmethod
    def of(cls, asked: Asked, gemeenten: pd.DataFrame, year: int, groups: pd.DataFrame | None = None) -> Region:
        """Look up what was asked for.

        Parameters
        ----------
        asked : Asked
        gemeenten : DataFrame
            Columns `gemeentecode` and `gemeentenaam`: those of the year.
        year : int
            Of the division, for messages.
        groups : DataFrame, optional
            Columns `gemeentecode`, `provinciecode`, `provincienaam`, `ggdregiocode`, `ggdregio`, for a region that is
            a group of gemeenten.

        Raises
        ------
        DataError or ProblemsError
            Names that are unknown, with those that are like them, or that several gemeenten have.
        """
        called = gemeenten["gemeentenaam"].str.removesuffix(" (gemeente)")  # where a provincie has the same name
        names = dict(zip(gemeenten["gemeentecode"], called, strict=True))
        if asked.land:
            return cls("Nederland", None, names)
        if asked.grouped:
            assert groups is not None  # whoever asks for a group brings the table of groups
            return cls._of_group(asked, groups, names, year)
        problems, where = Problems(), f"in {year}"
        found = [problems.attempt(code_of, text, names, "gemeente", where) for text in asked.gemeenten]
        problems.raise_if_any()
        codes = sorted({code for code in found if code is not None})
        label = " en ".join(filter(None, [", ".join(names[c] for c in codes[:-1]), names[codes[-1]]]))
        return cls(label, tuple(codes), {code: names[code] for code in codes})

    @classmethod
    def _of_group(cls, asked: Asked, groups: pd.DataFrame, names: Mapping[str, str], year: int) -> Region:
        level, text = ("provincie", asked.provincie) if asked.provincie is not None else ("ggd", asked.ggd)
        code, name = GROUPS[level]
        known = groups.dropna(subset=[code]).drop_duplicates(code)
        found = code_of(str(text), dict(zip(known[code], known[name], strict=True)), level, f"in {year}")
        codes = sorted(groups["gemeentecode"][groups[code] == found])
        if lost := [c for c in codes if c not in names]:
            hint = "name the gemeenten of the year with --gemeente"
            what = f"{level} {text} has gemeenten that are not in the division of {year}"
            raise DataError(what, shown(lost), f"gemeenten of {year}", hint)
        return cls(str(known.set_index(code)[name][found]), tuple(codes), {c: names[c] for c in codes})


def code_of(text: str, names: Mapping[str, str], level: str, where: str) -> str:
    """Return the code of a gemeente, provincie or GGD-regio by its name or its code, which may lack letters and zeros.

    Parameters
    ----------
    text : str
    names : mapping of code to name
    level : {"gemeente", "provincie", "ggd"}
    where : str
        In what there should be one, for the message: `in 2024`.

    Raises
    ------
    DataError
        If there is none, with those that are like it, or several have the name.

    Examples
    --------
    >>> code_of("363", {"GM0363": "Amsterdam"}, "gemeente", "in 2024")
    'GM0363'
    """
    wanted = text.strip()
    short = f"GM{wanted.upper().removeprefix('GM').zfill(4)}" if level == "gemeente" else wanted
    if (code := next((code for code in (wanted.upper(), short, wanted) if code in names), None)) is not None:
        return code
    plain = COMMON.get(wanted.casefold(), wanted.casefold())
    for called in (_same, _short):
        found = [code for code, name in names.items() if called(name) == plain]
        if len(found) > 1:
            several = shown(f"{names[code]} ({code})" for code in found)
            raise DataError(f"several have the name {cut(text)}", several, f"one {level}", "give its code")
        if found:
            return found[0]
    by_name = {_same(name): name if name == code else f"{name} ({code})" for code, name in names.items()}
    near = get_close_matches(plain, by_name, 3, 0.6) or sorted(name for name in by_name if plain and plain in name)[:3]
    expected = f"such as {shown(by_name[name] for name in near)}" if near else f"a {level} {where}"
    hint = "correct the name, or give the code; one that merged has another name since"
    raise DataError(f"there is no {level} of that name {where}", repr(cut(text)), expected, hint)


def _same(name: str) -> str:
    return str(name).casefold().removesuffix(" (pv)").removesuffix(" (gemeente)").strip()


def _short(name: str) -> str:
    return re.sub(r"\s*\(.*\)$", "", _same(name))
