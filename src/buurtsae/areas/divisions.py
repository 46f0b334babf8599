r"""Crosswalks between editions of areas: which part of an old area lies in which new one.

C_ij counts what old area i and new area j share: addresses, square metres, points. With C_i. and C_.j its sums,

    T_ij = C_ij / C_i.   (rows sum to 1: what an old area is made of),      R_ij = C_ij / C_.j   (columns sum to 1).

Counts x of old areas become T'x, means become R'x, and a mean of old area i is sum_j T_ij theta_j of means theta of
new ones, where residents of a part are as those of the whole. A row of T that is known from n addresses is uncertain as
Dirichlet(n T_i1, n T_i2, ...) is: with mean T and variances T_ij (1 - T_ij) / (n + 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.division_changes import KINDS, classified, noted
from buurtsae.areas.division_shares import counts, drawn, means, scaled, with_entries
from buurtsae.areas.division_sources import Pairs, of_addresses, of_polygons, of_table
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import geopandas as gpd

SAME = 0.99  # of the ground, both ways: the same area, whatever its code
POLYGONS = 50.0  # addresses that an overlap of polygons is taken to be worth: half and half errs by 7 points


@dataclass(frozen=True, repr=False)
class Crosswalk:
    """From the areas of an old edition to those of another: `from_addresses`, `from_polygons` or `from_table`.

    Attributes
    ----------
    old, new : Index
        Codes of both editions, sorted.
    pairs : sparse, shape (n_old, n_new)
        C, what an old and a new area share, in `unit`.
    years : tuple of int
        Of both editions.
    level : str
        What the old areas are: `buurt`, or another level such as `wijk`.
    unit : str
        `addresses`, `area`, `points` or `share`.
    outside : ndarray, shape (n_old,), optional
        Share of each old area that lies beyond the new map; 0 by default. Counts lose it.
    unmatched : ndarray, shape (n_old,), optional
        Addresses of each old area that the new edition lacks: they are taken to lie as the others do.
    fresh : ndarray, shape (n_new,), optional
        Addresses of each new area that the old edition lacks.
    concentration : ndarray, shape (n_old,), optional
        How many addresses each row is known from; None where shares are exact.
    same : float
        Share of the ground, both ways, from which two areas are the same.
    names : pair of mappings of code to str
        Names of both editions, where they are known.
    remarks : tuple of Note
        What was noticed while reading.

    Raises
    ------
    DataError or ProblemsError
        An edition compared with itself, codes twice, negative or no numbers, no pair at all.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"old": ["a", "b", "b"], "new": ["a", "b", "c"], "share": [1, 0.25, 0.75]})
    >>> walk = Crosswalk.from_table(table, years=(2020, 2024), size={"a": 100, "b": 400})
    >>> walk
    Crosswalk of 2 areas of 2020 to 3 of 2024 by share: 1 same, 1 redrawn
    >>> walk.convert_counts(pd.Series({"a": 10.0, "b": 20.0})).to_dict()
    {'a': 10.0, 'b': 5.0, 'c': 15.0}
    """

    old: pd.Index
    new: pd.Index
    pairs: sp.csr_array
    years: tuple[int, int]
    level: str = "buurt"
    unit: str = "addresses"
    outside: Floats = field(default_factory=lambda: np.zeros(0))
    unmatched: Floats = field(default_factory=lambda: np.zeros(0))
    fresh: Floats = field(default_factory=lambda: np.zeros(0))
    concentration: Floats | None = None
    same: float = SAME
    names: tuple[Mapping[str, str], Mapping[str, str]] = field(default_factory=lambda: ({}, {}))
    remarks: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no crosswalk; fill in zeros."""
        problems, shape = Problems(), (len(self.old), len(self.new))
        if self.years[0] == self.years[1]:
            hint = "give the years of both editions"
            problems.add("an edition is compared with itself", f"{self.years[0]} and {self.years[1]}", "two", hint)
        for which, codes in (("old", self.old), ("new", self.new)):
            if len(twice := codes[codes.duplicated()]):
                problems.add(f"{which} areas occur more than once", shown(twice), "each code once", "combine them")
        if not 0.5 < self.same <= 1:
            hint = "below a half, an area would be the same as two others"
            problems.add("`same` is impossible", cut(repr(self.same)), "above 0.5, at most 1", hint)
        if self.pairs.shape != shape:
            problems.add(
                "a crosswalk has another shape", shown(self.pairs.shape), shown(shape), "old areas by new ones"
            )
        elif bad := int((~(self.pairs.data >= 0) | ~np.isfinite(self.pairs.data)).sum()):
            problems.add("pairs of areas share no number", f"{bad} of {self.pairs.nnz}", "0 or more", "correct them")
        elif not (self.pairs.data > 0).any():
            hint = "are these two editions of the same areas?"
            problems.add("no old area has ground in a new one", f"{shape[0]} old, {shape[1]} new", "some", hint)
        elif (c := self.concentration) is not None and not (c[np.diff(self.pairs.tocsr().indptr) > 0] > 0).all():
            problems.add("a concentration is impossible", shown(c[~(c > 0)]), "addresses, above 0", "correct it")
        problems.raise_if_any()
        for name, n in (("outside", shape[0]), ("unmatched", shape[0]), ("fresh", shape[1])):
            value = np.asarray(getattr(self, name), dtype=float)
            object.__setattr__(self, name, value if len(value) else np.zeros(n))
        kept = sp.csr_array(self.pairs, dtype=float, copy=True)
        kept.eliminate_zeros()
        kept.sort_indices()
        object.__setattr__(self, "pairs", kept)

    @classmethod
    def _of(
        cls, read: Pairs, years: tuple[int, int], level: str, same: float, names: Sequence[Any], **more: Any
    ) -> Any:
        known: Any = tuple({} if of is None else {str(code): str(name) for code, name in of.items()} for of in names)
        return cls(read.old, read.new, read.pairs, years, level, read.unit, read.outside, read.unmatched, read.fresh,
                   same=same, names=known, remarks=tuple(read.notes), **more)  # fmt: skip

    @classmethod
    def from_addresses(
        cls,
        table: pd.DataFrame,
        old: str,
        new: str,
        *,
        years: tuple[int, int],
        level: str = "buurt",
        postcode: str = "postcode6",
        number: str = "huisnummer",
        old_codes: Sequence[str] | None = None,
        new_codes: Sequence[str] | None = None,
        names: tuple[Mapping[str, str] | None, Mapping[str, str] | None] = (None, None),
        same: float = SAME,
    ) -> Crosswalk:
        """Take it from addresses with their codes in both editions: the best that there is.

        Parameters
        ----------
        table : DataFrame, one row per address
            A code is missing where that edition lacks the address. Of two tables: `a.merge(b, how="outer")`.
        old, new : str
            Columns of the codes. Those of CBS may be numbers, without `BU` and leading zeros.
        years : pair of int
        level : str
            What the old areas are: `buurt`, `wijk`, or the name of the areas of another system.
        postcode, number : str
            Columns that make an address; each counts once.
        old_codes, new_codes : sequence of str, optional
            All areas of the editions, those without addresses too; other codes are refused then.
        names : pair of mappings of code to str
            Names, to see which areas were renamed.
        same : float
            Share of the addresses, both ways, from which two areas are the same.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: columns, codes, an address with two codes in one edition.

        Examples
        --------
        >>> table = pd.DataFrame({"postcode6": "1011AB", "huisnummer": [1, 3, 5], "a": "x", "b": ["x", "x", "y"]})
        >>> Crosswalk.from_addresses(table, "a", "b", years=(2020, 2024), level="area").table().round(2).values.tolist()
        [['x', 'x', 0.67, 1.0], ['x', 'y', 0.33, 1.0]]
        """
        read = of_addresses(table, old, new, (postcode, number), level, old_codes, new_codes)
        return cls._of(read, years, level, same, names, concentration=np.asarray(read.pairs.sum(axis=1)))

    @classmethod
    def from_polygons(
        cls,
        old: gpd.GeoDataFrame,
        new: gpd.GeoDataFrame,
        *,
        years: tuple[int, int],
        level: str = "buurt",
        points: gpd.GeoDataFrame | None = None,
        weight: str | None = None,
        least: float = 0.0,
        concentration: float = POLYGONS,
        names: tuple[Mapping[str, str] | None, Mapping[str, str] | None] = (None, None),
        same: float = SAME,
    ) -> Crosswalk:
        """Take it from the overlap of polygons, where there are no addresses: residents are then spread evenly.

        Parameters
        ----------
        old, new : GeoDataFrame, indexed by code
            In one coordinate system, of metres; `frame` of `Areas` is such a table.
        years, level, names
            As of `from_addresses`.
        points : GeoDataFrame, optional
            Where residents live: what falls into both areas counts, instead of square metres.
        weight : str, optional
            Column of the points with what each counts for.
        least : float
            Overlaps below this share of both areas are left out, and noted: borders are drawn differently every year.
        concentration : float
            How many addresses an overlap is taken to be worth: the declared error of the shares.
        same : float
            Share of the area, both ways, from which two areas are the same. Generalised maps differ by some percents.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: coordinate systems, codes twice, no polygons.

        Examples
        --------
        >>> import geopandas as gpd
        >>> from shapely.geometry import box
        >>> old = gpd.GeoDataFrame(index=["a"], geometry=[box(0, 0, 400, 100)], crs="EPSG:28992")
        >>> parts = [box(0, 0, 100, 100), box(100, 0, 400, 100)]
        >>> new = gpd.GeoDataFrame(index=["a", "b"], geometry=parts, crs="EPSG:28992")
        >>> Crosswalk.from_polygons(old, new, years=(2020, 2024)).shares.toarray().tolist()
        [[0.25, 0.75]]
        """
        read = of_polygons(old, new, points, weight, least)
        return cls._of(read, years, level, same, names, concentration=np.full(len(read.old), float(concentration)))

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        years: tuple[int, int],
        level: str = "buurt",
        old: str = "old",
        new: str = "new",
        share: str = "share",
        size: Mapping[str, float] | pd.Series | None = None,
        concentration: float | None = None,
        old_codes: Sequence[str] | None = None,
        new_codes: Sequence[str] | None = None,
        names: tuple[Mapping[str, str] | None, Mapping[str, str] | None] = (None, None),
        same: float = SAME,
    ) -> Crosswalk:
        """Take it as somebody gives it: a row per pair of areas with the share of the old one.

        Parameters
        ----------
        table : DataFrame
        years, level, names, same, old_codes, new_codes
            As of `from_addresses`.
        old, new, share : str
            Columns.
        size : mapping of code to number, optional
            Addresses or residents of the old areas: without them each counts equally in a new area of several parts.
        concentration : float, optional
            How many addresses a row is known from; by default shares are taken as exact.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: columns, codes, a pair twice, shares that are negative or do not sum to
            1, old areas without a size.
        """
        read = of_table(table, (old, new, share), size, old_codes, new_codes)
        known = None if concentration is None else np.full(len(read.old), float(concentration))
        return cls._of(read, years, level, same, names, concentration=known)

    @cached_property
    def shares(self) -> sp.csr_array:
        """T, shape (n_old, n_new): rows sum to 1, or are empty where nothing of an old area is left."""
        return scaled(self.pairs, 0)

    @cached_property
    def origins(self) -> sp.csr_array:
        """R, shape (n_old, n_new): columns sum to 1, or are empty where a new area has nothing of an old one."""
        return scaled(self.pairs, 1)

    def draws(self, rng: np.random.Generator, n: int) -> Floats:
        """Return n draws of the entries of T, in the order of `shares.data`, shape (n, entries).

        Parameters
        ----------
        rng : Generator
        n : int
        """
        return drawn(self.shares, self.concentration, rng, n)

    def drawn(self, entries: Floats) -> sp.csr_array:
        """Return T with the entries of one draw."""
        return with_entries(self.shares, entries)

    def convert_counts(self, x: pd.Series | pd.DataFrame) -> Any:
        """Return counts of old areas, by code, as counts of new ones: T'x, less what lies outside the new map.

        Raises
        ------
        DataError
            If `x` lacks old areas, has others, or has codes twice.
        """
        x = self._of_old(x)
        return self._new(x, counts(self.shares, self.outside, x.to_numpy(dtype=float)))

    def convert_means(self, x: pd.Series | pd.DataFrame) -> Any:
        """Return means or shares of old areas, by code, as those of new ones: R'x.

        A new area has none where a part of it, of more than 1 - `same`, has none, or nothing of it is old.

        Raises
        ------
        DataError
            As of `convert_counts`.
        """
        x = self._of_old(x)
        return self._new(x, means(self.origins, x.to_numpy(dtype=float), self.same))

    def convert(self, table: pd.DataFrame, counts: Sequence[str] = ()) -> pd.DataFrame:
        """Return the columns of a table of old areas for new ones: those of `counts` as counts, others as means.

        Raises
        ------
        DataError
            If the table lacks old areas or columns, or has codes twice.
        """
        if absent := sorted(set(counts) - set(table)):
            raise DataError("there are no such columns", shown(absent), shown(table.columns, 10), "correct `counts`")
        parts = {
            name: self.convert_counts(column) if name in counts else self.convert_means(column)
            for name, column in table.items()
        }
        return pd.DataFrame(parts, index=self.new)

    def _of_old(self, x: Any) -> Any:
        if len(twice := x.index[x.index.duplicated()]):
            raise DataError("areas occur more than once", shown(twice), "one row per area", "combine these rows")
        lost, strange = self.old.difference(x.index), x.index.difference(self.old)
        if len(lost) or len(strange):
            got = f"{len(lost)} absent ({shown(lost, 3)}), {len(strange)} unknown ({shown(strange, 3)})"
            hint = "give all areas of the old edition, missing values where nothing is known"
            raise DataError(f"figures are not of the {len(self.old)} areas of {self.years[0]}", got, "these", hint)
        return x.loc[self.old]

    def _new(self, x: Any, values: Any) -> Any:
        if isinstance(x, pd.Series):
            return pd.Series(values, index=self.new, name=x.name)
        return pd.DataFrame(values, index=self.new, columns=x.columns)

    def weights(self, residents: pd.Series) -> sp.csr_array:
        """Return what residents of new areas weigh in old ones, shape (n_old, n_new): T_ij ~ N_j R_ij, rows sum to 1.

        Raises
        ------
        DataError
            If residents of new areas are absent.
        """
        if len(lost := self.new.difference(residents.index)):
            what, hint = "residents of new areas are absent", "give all of them"
            raise DataError(what, shown(lost), f"{len(self.new)} areas of {self.years[1]}", hint)
        each = residents.loc[self.new].to_numpy(dtype=float)[self.origins.indices]
        return scaled(with_entries(self.origins, self.origins.data * each), 0)

    def reversed(self) -> Crosswalk:
        """Return the crosswalk from the new edition to the old one, from what areas share: shares of the other side."""
        known = None if self.concentration is None else np.asarray(self.pairs.sum(axis=0))
        if known is not None and self.unit != "addresses":
            known = np.full(len(self.new), float(self.concentration.max()))  # type: ignore[union-attr]
        return replace(self, old=self.new, new=self.old, pairs=sp.csr_array(self.pairs.T), years=self.years[::-1],
                       outside=np.zeros(0), unmatched=self.fresh, fresh=self.unmatched, concentration=known,
                       names=self.names[::-1])  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Return every pair of areas: `old`, `new`, `share` (of the old area) and `origin` (of the new one)."""
        t = self.shares.tocoo()
        columns = {"old": self.old[t.row], "new": self.new[t.col], "share": t.data, "origin": self.origins.data}
        return pd.DataFrame(columns)

    @cached_property
    def _changes(self) -> pd.DataFrame:
        return classified(self.old, self.new, self.shares, self.origins, self.same, self.names).assign(
            outside=lambda t: self._of_code(self.outside, t["old"]),
            unmatched=lambda t: self._of_code(self.unmatched, t["old"]),
        )

    def _of_code(self, values: Floats, code: pd.Series) -> Floats:
        return np.where(code.isna(), 0.0, values[self.old.get_indexer(code)])

    def changes(self) -> pd.DataFrame:
        """Return what became of every area.

        Returns
        -------
        DataFrame
            A row per old area, then one per area that is new: `old`, `new` (the new area with most of it), `change`
            (`same`, `renamed`, `recoded`, `redrawn`, `gone`, `new`, or `empty`: nothing to compare by), `how` (of
            redrawn ones `split`, `merged` or `border`), `share` (of the old area in `new`), `origin` (of `new` that is
            from it), `parts` (new areas with more than 1 - `same` of it), `reused` (its code is that of an area with
            mostly other ground), `outside` and `unmatched`.
        """
        return self._changes.copy()

    @property
    def reused(self) -> list[str]:
        """Codes that belong to other ground in the new edition."""
        table = self._changes
        return [str(code) for code in table["old"][table["reused"]]]

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was noticed while reading, and what changed."""
        return (*self.remarks, *noted(self._changes, self.years, 1 - self.same))

    def audit(self) -> dict[str, object]:
        """Return counts of what became of the areas, what was lost, and notes."""
        table = self._changes
        return {
            "years": self.years,
            "unit": self.unit,
            "old": len(self.old),
            "new": len(self.new),
            **{kind: int((table["change"] == kind).sum()) for kind in KINDS},
            **{how: int((table["how"] == how).sum()) for how in ("split", "merged", "border")},
            "reused": self.reused,
            "total": float(self.pairs.sum()),
            "outside": [str(code) for code in self.old[self.outside > 1 - self.same]],
            "unmatched": float(self.unmatched.sum()),
            "fresh": float(self.fresh.sum()),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        counts = self._changes["change"].value_counts()
        parts = [f"{counts[kind]} {kind}" for kind in KINDS if kind in counts]
        reused = f"; {len(self.reused)} codes reused" if self.reused else ""
        areas = f"{len(self.old)} areas of {self.years[0]} to {len(self.new)} of {self.years[1]}"
        return f"Crosswalk of {areas} by {self.unit}: {', '.join(parts)}{reused}"
