"""Areas: buurten of one year, or areas of anywhere, with their hierarchy, residents, geometry and covariates.

Everything is indexed by code and sorted by it; other tables are joined by code. Areas without residents stay (the
graph needs them) and are left out of the estimates; a hidden number of residents counts as none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.anywhere import ALIKE, arranged
from buurtsae.areas.codes import CBS, CodeSystem
from buurtsae.areas.columns import GROUP, STRUCTURAL
from buurtsae.areas.completeness import WHOLE, completed, named
from buurtsae.areas.divisions import Crosswalk
from buurtsae.areas.editions import Edition, edition
from buurtsae.areas.graph import Graph, Pair
from buurtsae.areas.reading import assembled
from buurtsae.errors import DataError, shown
from buurtsae.notes import Note


@dataclass(frozen=True)
class Areas:
    """The areas of one division: buurten by default.

    Attributes
    ----------
    frame : DataFrame, indexed by `area_code` (sorted)
        Columns `name`, `population` (int, 0 where unknown), the codes of each level, of buurten `wijk`, `gemeente` and
        optionally `ggdregio` and `provincie`, groupings of the user's own, one column per covariate, and where it is
        known `geometry` (of buurten in RD New, metres).
    year : int
        Year of the area division.
    names : mapping of level to {code: name}
        Names of the areas of levels above, where the file has them.
    region : str
        Name of the whole of the run, the row of the last level.
    notes : tuple of str
        What was noticed and repaired while reading.
    groupings : tuple of str
        Columns that are levels too, such as `stadsdeel`. Each buurt is in one group, or in none where it is missing;
        groups that overlap are columns of their own.
    partial : mapping of level to codes
        Wijken and gemeenten of which the run holds a part: they have a place in the model, and no published figure.
        Higher levels have only areas that are complete; see `buurtsae.areas.completeness`.
    national : bool
        Whether the whole is the Netherlands.
    omitted : tuple of str
        Buurten of the file that `where` left out.
    system : CodeSystem
        How they are coded, and their levels.
    alike : bool
        Whether the numbers of residents are unknown: each area then counts as one.
    editions : mapping of level to Edition
        Areas of other editions that something may be observed of; see `with_edition`. They are not in `levels`.

    Examples
    --------
    >>> from buurtsae.runs.example import folder
    >>> areas = Areas.read(folder() / "buurten.gpkg", 2024, tables=[(folder() / "kerncijfers.csv", "buurtcode")])
    >>> areas
    Areas of 2024: 120 buurten (2 without residents) in 12 wijken and 3 gemeenten, 150295 residents
    >>> areas.residents("gemeente").to_dict()
    {'GM9901': 80650.0, 'GM9902': 31855.0, 'GM9903': 37790.0}
    """

    frame: pd.DataFrame
    year: int
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    region: str = WHOLE
    notes: tuple[Note, ...] = ()
    groupings: tuple[str, ...] = ()
    partial: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    national: bool = False
    omitted: tuple[str, ...] = ()
    system: CodeSystem = CBS
    alike: bool = False
    editions: Mapping[str, Edition] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        path: str | Path,
        year: int,
        *,
        code: str = "buurtcode",
        name: str = "buurtnaam",
        population: str = "inwoners",
        tables: Sequence[tuple[str | Path, str]] = (),
        where: Mapping[str, str] | None = None,
        region: str = "",
        groupings: Sequence[str] = (),
    ) -> Areas:
        """Read buurten from GeoPackage, GeoParquet, GeoJSON or shapefile, and join tables to them.

        Parameters
        ----------
        path : path
            The geometry, one row per buurt.
        year : int
            Year of the area division.
        code, name, population : str
            Columns of the buurtcode, the name and the number of residents, in the file or in a joined table.
        tables : sequence of (path, key)
            Tables to join by `buurtcode`, `wijkcode` or `gemeentecode` (the `key`, which both sides have).
        where : mapping of column to value, optional
            Keep only the rows with these values, such as one province.
        region : str
            Name of the whole, for the row of level `land`. By default Nederland where all gemeenten are there, else the
            name of the one gemeente or provincie. Only the country may be called Nederland.
        groupings : sequence of str
            Columns, of the file or of a joined table, by which buurten are grouped into further levels.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: duplicate or malformed codes, empty geometry, no coordinate
            system, a table that does not join.
        """
        columns = code, name, population
        frame, file, names, notes = assembled(Path(path), columns, tables, where or {}, groupings)
        areas = cls(frame, year, names, notes=tuple(notes), groupings=tuple(groupings))
        return named(completed(areas, file, population), region)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        code: str,
        levels: Mapping[str, str] | None = None,
        *,
        name: str | None = None,
        population: str | None = None,
        groupings: Sequence[str] = (),
        region: str = "",
        year: int = 0,
    ) -> Areas:
        """Take areas of any country and code system from a table, with or without geometry.

        Parameters
        ----------
        frame : DataFrame, one row per area
            Its numeric columns are covariates. It is not changed.
        code : str
            Column of the codes, which are free: text, or whole numbers.
        levels : mapping of level to column, optional
            Levels above the areas, from small to large, and the columns of their codes. Each area is in one group of
            each, and each group in one of the next level: what is not nested is a grouping. No code is at two levels.
        name, population : str, optional
            Columns of the names and of the number of residents: by default `name` and `population`, where the frame
            has them. Without residents each area counts equally.
        groupings : sequence of str
            Columns that are levels too; an area may be in no group, and groups need not be nested.
        region : str
            Name of the whole, for the row of level `all`.
        year : int
            Year of the division; 0 where it does not matter.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: codes that are missing or occur twice, areas in no group, levels that
            are not nested, residents that are no persons.

        Examples
        --------
        >>> counties = pd.DataFrame({"fips": [37001, 37003, 45001], "state": [37, 37, 45], "income": [1.2, 2.0, 1.6]})
        >>> Areas.from_frame(counties, code="fips", levels={"state": "state"})
        Areas: 3 areas in 2 state areas, residents unknown
        """
        table, system, notes = arranged(frame, code, levels or {}, name, population, groupings)
        alike, whole = ALIKE in notes, region or "all areas"
        return cls(table, year, {}, whole, tuple(notes), tuple(groupings), system=system, alike=alike)

    def with_edition(self, walk: Crosswalk) -> Areas:
        """Return them with the areas of another edition, as a level that sources may be known at: `buurt_2020`.

        Parameters
        ----------
        walk : Crosswalk
            From that edition to this one.

        Raises
        ------
        DataError or ProblemsError
            A crosswalk to another year, a level that there is already, areas that it does not know.
        """
        found = edition(self, walk)
        notes = (*self.notes, *walk.notes, *found.notes)
        return replace(self, editions={**self.editions, found.level: found}, notes=notes)

    @property
    def codes(self) -> pd.Index:
        """Codes of the areas, sorted."""
        return self.frame.index

    @property
    def base(self) -> str:
        """The level of the areas themselves, `buurt` or `area`."""
        return self.system.base

    @property
    def noun(self) -> Note:
        """What the areas are called: buurten, or areas."""
        return self.system.noun(self.base)

    @property
    def population(self) -> np.ndarray:
        """Residents per area, in the order of `codes`."""
        return self.frame["population"].to_numpy(dtype=float)

    @property
    def inhabited(self) -> np.ndarray:
        """True for areas with residents: those that get an estimate."""
        return self.population > 0

    @property
    def covariates(self) -> list[str]:
        """Names of the numeric columns that a model may use."""
        numeric = self.frame.select_dtypes("number").columns
        return [column for column in numeric if column not in STRUCTURAL]

    def parent(self, level: str) -> str:
        """Return the level whose areas those of `level` are ranked in and compared with."""
        above = self.system.parent(level)
        return above if above in self.levels else self.system.whole

    def parents(self, level: str, of: str | None = None) -> pd.Series:
        """Return the code at `level` of each area, or of each area of a level `of`, which may not lie above it.

        It is missing for an area that is in no group of a grouping.

        Raises
        ------
        DataError
            If there is no such level.
        """
        if of is not None and of in self.editions:
            labels = self.editions[of].labels
            same = pd.Series(labels, index=labels, dtype=object)
            return same if of == level else self.editions[of].parents(self.parents(level))
        if of not in (None, self.base):
            lower, parent = self.parents(of), self.parents(level)
            return pd.Series(parent.to_numpy(), index=lower.to_numpy()).groupby(level=0).first()
        if level == self.base:
            return pd.Series(self.codes, index=self.codes)
        if level == self.system.whole:
            return pd.Series(self.system.whole_code, index=self.codes)
        if level not in self.levels:
            hint = "join a table that has this column"
            raise DataError("the areas have no such level", repr(level), shown(self.levels), hint)
        return self.frame[self.column(level)].astype(object)

    def column(self, level: str) -> str:
        """Return the column of the frame that holds a level: of the same name, unless that is a covariate."""
        group = GROUP.format(level)
        return group if group in self.frame else level

    def at(self, level: str) -> pd.Index:
        """Return the codes at a level, sorted; those without residents included."""
        if level in self.editions:
            return self.editions[level].labels
        return pd.Index(sorted(set(self.parents(level).dropna())), dtype=object)

    def inhabited_at(self, level: str) -> pd.Index:
        """Return the codes at a level that have residents, sorted."""
        if level in self.editions:
            return self.editions[level].labels
        return pd.Index(sorted(set(self.parents(level)[self.inhabited].dropna())), dtype=object)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The levels that can be estimated, from the areas themselves up."""
        above = [level for level in self.system.levels[1:-1] if level in self.frame]
        return (self.base, *above, *self.groupings, self.system.whole)

    @cached_property
    def _called(self) -> dict[str, str]:
        """Names of the areas themselves, by code."""
        return dict(zip(self.codes, map(str, self.frame["name"]), strict=True))

    def complete(self, level: str, codes: Sequence[str] | pd.Index) -> np.ndarray:
        """Return True for codes of a level of which the run holds every inhabited buurt."""
        return ~pd.Index(codes, dtype=object).isin(self.partial.get(level, ()))

    def left_out(self, level: str, code: pd.Series) -> np.ndarray:
        """Return True for buurtcodes or wijkcodes that the file has, and `where` left out."""
        omitted = pd.Series(self.omitted, dtype=object)
        return code.isin(self.system.read(omitted, level) if level in self.system.forms else omitted).to_numpy()

    def label(self, level: str, code: str) -> str:
        """Return the name of an area, or its code where the name is unknown."""
        if level == self.base:
            return self._called[code]
        if level in self.editions:
            return code
        return self.region if level == self.system.whole else self.names.get(level, {}).get(code, code)

    def residents(self, level: str) -> pd.Series:
        """Return the number of residents of each area of a level, by code."""
        if level in self.editions:
            return pd.Series(self.editions[level].residents, index=self.editions[level].labels)
        return pd.Series(self.population, index=self.codes).groupby(self.parents(level).to_numpy()).sum()

    def aggregation(self, level: str) -> tuple[list[str], sp.csr_array]:
        """Return the codes at `level` and the (n_codes, n_buurten) matrix of resident weights, rows summing to 1.

        Codes without any resident are left out. Areas of another edition are weighted by its crosswalk.
        """
        if level in self.editions:
            return list(map(str, self.editions[level].labels)), self.editions[level].shares
        parent = self.parents(level)
        column = np.flatnonzero(self.inhabited & parent.notna().to_numpy())
        labels, row = np.unique(parent.to_numpy()[column].astype(str), return_inverse=True)
        totals = np.bincount(row, self.population[column])
        values = self.population[column] / totals[row]
        return list(map(str, labels)), sp.csr_array((values, (row, column)), shape=(len(labels), len(self.codes)))

    def graph(self, rule: str = "queen", bridges: Sequence[Pair] = ()) -> Graph:
        """Return the contiguity graph of all areas, those without residents included.

        Parameters
        ----------
        rule : {"queen", "rook"}
        bridges : sequence of pairs of codes
            Pairs to join although water lies between; without them components are kept apart.

        Raises
        ------
        DataError
            If the areas have no geometry.
        """
        if "geometry" not in self.frame:
            what, hint = "the areas have no geometry", "use Graph.from_pairs, from_adjacency or from_libpysal"
            raise DataError(what, f"columns {shown(self.frame.columns)}", "polygons, to see which areas meet", hint)
        asked = repr((rule, bridges))
        if asked not in self._graphs:
            self._graphs[asked] = Graph.from_geometry(self.frame, rule, bridges)
        return self._graphs[asked]

    @cached_property
    def _graphs(self) -> dict[str, Graph]:
        """Those that were asked for: many models of one map have one graph."""
        return {}

    def audit(self) -> dict[str, object]:
        """Return counts and everything that was noticed while reading."""
        missing = self.frame.loc[self.inhabited, self.covariates].isna().sum()
        return {
            "year": self.year,
            str(self.noun): len(self.frame),
            "without_residents": list(self.codes[~self.inhabited]),
            "residents": int(self.population.sum()),
            **self._above(),
            "missing_covariates": {str(column): int(count) for column, count in missing.items() if count},
            "notes": list(self.notes),
        }

    def _above(self) -> dict[str, int]:
        """How many areas there are at the levels above that have a noun."""
        nouns = self.system.nouns
        return {str(nouns[level]): len(self.at(level)) for level in self.levels[1:] if level in nouns}

    def _repr_html_(self) -> str:
        """A notebook's view: levels, covariates with what is missing of them, and what was repaired."""
        frame, live = self.frame, self.inhabited
        levels = [(level, len(self.inhabited_at(level))) for level in self.levels]
        about = frame.loc[live, list(self.covariates)].describe().T.reindex(columns=["mean", "min", "max"])
        about.insert(0, "missing", frame.loc[live, list(self.covariates)].isna().sum())
        view = pd.DataFrame(levels, columns=["level", "inhabited"]).to_html(index=False)
        listed = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(repr(self))}</p>{view}{about.to_html(float_format='{:.4g}'.format)}<ul>{listed}</ul>"

    def __repr__(self) -> str:
        year = f" of {self.year}" if self.year else ""
        above = " and ".join(f"{count} {noun}" for noun, count in self._above().items())
        empty = "" if self.alike else f" ({int((~self.inhabited).sum())} without residents)"
        residents = "residents unknown" if self.alike else f"{int(self.population.sum())} residents"
        return f"Areas{year}: {len(self.frame)} {self.noun}{empty}{above and f' in {above}'}, {residents}"
