"""Addresses with their buurt in two years: what crosswalks between editions of the borders are made of.

CBS gives, per year, the buurt of each postcode and house number on a reference day: some 8 million rows for the
country. They are read block by block; an address is kept as one number (postcode and house number), its buurt as
another. Of some gemeenten, all addresses are given of every old buurt that they have a part of: shares of an old buurt
are of the whole of it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.areas.division_sources import published
from buurtsae.errors import DataError, shown
from buurtsae.notes import Note
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.registry import Table
from buurtsae.opendata.zipped import column, header, member, members, reading

if TYPE_CHECKING:
    import pyarrow as pa

Ints = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
BLOCK = 1 << 24  # bytes that are read at a time
NUMBERS = 100_000  # house numbers of CBS have five digits at most
LETTERS = 26 * 26
FILE = r"pc6hnr\d*.*\.csv"
NAMES = r"(buurt|brt).*\.csv"
NO_CODE = -1


@dataclass(frozen=True)
class Edition:
    """The addresses of a year: each once, sorted.

    Attributes
    ----------
    address : ndarray of int
        (digits * 676 + letters) * 100000 + house number.
    buurt : ndarray of int
        Place in `codes`.
    codes : ndarray of str
        As published by CBS, with `BU`.
    names : mapping of code to str
        Where the zip has them.
    day : str
        Reference day, as the file says; "" where it does not.
    reply : Reply
    notes : tuple of Note
    """

    address: Ints
    buurt: Ints
    codes: np.ndarray
    names: Mapping[str, str]
    day: str
    reply: Reply
    notes: tuple[Note, ...]


def load(fetcher: Fetcher, years: tuple[int, int], gemeenten: Sequence[str] | None = None) -> Loaded:
    """Return the addresses of two years with the buurt of each.

    Parameters
    ----------
    fetcher : Fetcher
    years : pair of int
        The old and the new edition.
    gemeenten : sequence of str, optional
        Codes in the new edition; all by default.

    Returns
    -------
    Loaded
        `postcode6`, `huisnummer`, and the buurtcode in both editions, `old` and `new`, missing where an edition lacks
        the address: what `Crosswalk.from_addresses` and `[[areas.editions]]` of a run file (`kind = "addresses"`) take.

    Raises
    ------
    DataError
        A year without a table, a file that is another, gemeenten without an address.
    """
    if years[0] == years[1]:
        raise DataError("addresses lead from one year to another", f"{years[0]} twice", "two years", "name another")
    old, new = (_edition(fetcher, year) for year in years)
    address, at = _joined(old, new)
    if not (at != NO_CODE).all(axis=0).any():
        got, hint = f"{len(old.address):,} and {len(new.address):,} addresses", "fetch them again with --refresh"
        raise DataError(f"no address of {years[0]} is one of {years[1]}", got, "most of them", hint)
    if gemeenten is not None:
        kept = _of_gemeenten(old, new, at, gemeenten, years[1])
        address, at = address[kept], at[:, kept]
    code, number = np.divmod(address, NUMBERS)
    each, of = np.unique(code, return_inverse=True)
    frame = pd.DataFrame({
        "postcode6": pd.Categorical.from_codes(of, [_postcode(int(one)) for one in each]),
        "huisnummer": number,
        "old": pd.Categorical.from_codes(at[0], old.codes),
        "new": pd.Categorical.from_codes(at[1], new.codes),
    })  # fmt: skip
    frame = frame.assign(**{side: frame[side].cat.remove_unused_categories() for side in ("old", "new")})
    notes = [
        Note("addresses of {year} are as on {day}", "adressen van {year} zijn die van {day}", year=year, day=one.day)
        for year, one in zip(years, (old, new), strict=True)
        if one.day
    ]
    notes += _renamed(old, new, years, set(frame["old"].cat.categories) & set(frame["new"].cat.categories))
    retrieved = (old.reply.retrieved, new.reply.retrieved)
    return Loaded(frame, retrieved=retrieved, notes=(*notes, *old.notes, *new.notes))


def _postcode(code: int) -> str:
    """A postcode that was a number."""
    digits, letters = divmod(code, LETTERS)
    return f"{digits}{chr(ord('A') + letters // 26)}{chr(ord('A') + letters % 26)}"


def _renamed(old: Edition, new: Edition, years: tuple[int, int], codes: set[str]) -> list[Note]:
    """Codes of both years under two names: they may be of other ground."""
    pairs = {code: (old.names.get(code), new.names.get(code)) for code in sorted(codes)}
    other = [f"{code}: {a} -> {b}" for code, (a, b) in pairs.items() if a and b and a.casefold() != b.casefold()]
    if not other:
        return []
    return [Note(
        "{n} codes have another name in {until} than in {since}, and may be of other ground: {codes}",
        "{n} codes heten in {until} anders dan in {since}, en kunnen van ander gebied zijn: {codes}",
        n=len(other), since=years[0], until=years[1], codes=other,
    )]  # fmt: skip


def _joined(old: Edition, new: Edition) -> tuple[Ints, Ints]:
    """All addresses, sorted, and the place of the code of each in both editions, NO_CODE for none."""
    address: Ints = np.union1d(old.address, new.address)
    at = np.full((2, len(address)), NO_CODE, dtype=np.int32)
    for k, each in enumerate((old, new)):
        at[k, np.searchsorted(address, each.address)] = each.buurt
    return address, at


def _of_gemeenten(old: Edition, new: Edition, at: Ints, gemeenten: Sequence[str], year: int) -> np.ndarray:
    """True for addresses in these gemeenten now, and for all others of old buurten that have some there."""
    gemeente = CBS.read(pd.Series(new.codes, dtype=str), "gemeente")
    if absent := sorted(set(gemeenten) - set(gemeente)):
        hint = f"take the code that the gemeente has in {year}"
        raise DataError(f"gemeenten have no addresses in {year}", shown(absent), "some in each", hint)
    here = np.append(gemeente.isin(list(gemeenten)).to_numpy(), False)[at[1]]
    touched = np.zeros(len(old.codes) + 1, dtype=bool)
    touched[at[0][here]] = True
    touched[NO_CODE] = False
    return here | touched[at[0]]


def _edition(fetcher: Fetcher, year: int) -> Edition:
    """Read the table of a year."""
    table = fetcher.registry.table("adressen", year)
    reply = fetcher.file(table, suffix=".zip", begins=b"PK", edition=str(year))
    name = member(table, reply, FILE, "addresses")
    names, separator = header(table, reply, name)
    postcode, number = (column(table, reply, names, pattern) for pattern in ("pc6|postcode6?", "huisnummer|huisnr"))
    buurt = column(table, reply, names, r"buurt_?(\d{4})?")
    if (said := re.search(r"\d{4}", buurt)) and int(said[0]) != year:
        raise strange(table, reply.url, f"codes of {said[0]} in {name}", f"codes of {year}")
    address, place, text = _read(table, reply, name, separator, (postcode, number, buurt))
    codes = published(pd.Series(text, dtype=str), "buurt")
    if bad := CBS.malformed(codes, "buurt"):
        raise strange(table, reply.url, f"codes that are none in {buurt}: {shown(bad)}", "codes of buurten")
    address, place, notes = _once(address, place, year)
    day = re.search(r"(\d{4})(\d\d)(\d\d)", name.rsplit("/", 1)[-1])
    names_of = _names(table, reply)
    return Edition(
        address, place, codes.to_numpy(dtype=object), names_of, "-".join(day.groups()) if day else "", reply, notes
    )


def _names(table: Table, reply: Reply) -> dict[str, str]:
    """Names of buurten by code, which CBS writes in cp1252; none where the zip has no such file."""
    found = [name for name in members(table, reply) if re.fullmatch(NAMES, name.rsplit("/", 1)[-1], re.IGNORECASE)]
    if len(found) != 1:
        return {}
    with reading(table, reply, found[0]) as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    rows = pd.read_csv(io.StringIO(text), sep=None, engine="python", dtype=str, usecols=[0, 1], header=0)
    codes = published(rows.iloc[:, 0].str.strip(), "buurt")
    return dict(zip(codes, rows.iloc[:, 1].fillna("").str.strip(), strict=True))


def _read(
    table: Table, reply: Reply, name: str, separator: str, columns: tuple[str, str, str]
) -> tuple[Ints, Ints, list[str]]:
    """Addresses and codes of a file, block by block, as numbers, with the texts of the codes."""
    import pyarrow as pa
    from pyarrow import csv

    kinds = {columns[0]: pa.string(), columns[1]: pa.int32(), columns[2]: pa.string()}
    convert = csv.ConvertOptions(include_columns=list(columns), column_types=kinds, strings_can_be_null=True)
    parse, place = csv.ParseOptions(delimiter=separator), dict[str, int]()
    parts = list[tuple[Ints, Ints]]()
    try:
        with reading(table, reply, name) as file:
            options = csv.ReadOptions(block_size=BLOCK, use_threads=False)
            for batch in csv.open_csv(file, options, parse, convert):
                postcode, number, buurt = batch.columns
                address = _numbers(postcode, number)
                coded = buurt.dictionary_encode()
                each = [place.setdefault(str(text).strip(), len(place)) for text in coded.dictionary.to_pylist()]
                codes = np.asarray(coded.indices.fill_null(NO_CODE))
                parts.append((address, np.array([*each, NO_CODE], dtype=np.int32)[codes]))
    except (pa.ArrowException, ValueError) as error:  # a column that is written otherwise, a cell of another kind
        raise strange(
            table, reply.url, f"{error} in {name}", "a postcode, a house number and a code in each"
        ) from error
    address, codes = (
        np.concatenate([np.zeros(0, kind), *(part[k] for part in parts)]) for k, kind in enumerate((np.int64, np.int32))
    )
    if not len(address) or (codes == NO_CODE).any():
        got = f"{int((codes == NO_CODE).sum())} of {len(codes)} rows without a code in {name}"
        raise strange(table, reply.url, got, "a buurt of each address")
    return address, codes, list(place)


def _numbers(postcode: pa.Array, number: pa.Array) -> Ints:
    """Addresses as numbers.

    Raises
    ------
    ValueError
        If one is no postcode, or no house number.
    """
    import pyarrow.compute as pc

    plain = pc.utf8_upper(pc.replace_substring(postcode, " ", ""))
    wrong = pc.invert(pc.fill_null(pc.match_substring_regex(plain, r"^[1-9][0-9]{3}[A-Z]{2}$"), False))
    house = pc.fill_null(number, -1).to_numpy()
    wrong = wrong.to_numpy(zero_copy_only=False) | (house < 0) | (house >= NUMBERS)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{int(wrong.sum())} rows such as {postcode[first].as_py()!r} {number[first].as_py()!r}")
    sign = np.frombuffer("".join(plain.to_pylist()).encode("ascii"), dtype=np.uint8).reshape(-1, 6).astype(np.int64)
    digits = (sign[:, :4] - ord("0")) @ np.array([1000, 100, 10, 1])
    letters = (sign[:, 4:] - ord("A")) @ np.array([26, 1])
    return (digits * LETTERS + letters) * NUMBERS + house


def _once(address: Ints, place: Ints, year: int) -> tuple[Ints, Ints, tuple[Note, ...]]:
    """Each address once, sorted; those with two codes are left out, which is noted."""
    order = np.argsort(address, kind="stable")
    address, place = address[order], place[order]
    again = np.flatnonzero(address[1:] == address[:-1]) + 1
    if not len(again):
        return address, place, ()
    differ = np.unique(address[again[place[again] != place[again - 1]]])
    kept = np.ones(len(address), dtype=bool)
    kept[again] = False
    kept &= ~np.isin(address, differ)
    note = Note(
        "addresses of {year}: {n} rows repeat an address, and {two} addresses lie in two buurten: left out",
        "adressen van {year}: {n} rijen herhalen een adres, en {two} adressen liggen in twee buurten: weggelaten",
        year=year, n=len(again), two=len(differ),
    )  # fmt: skip
    return address[kept], place[kept], (note,)
