"""Areas: buurten of one year with their hierarchy, residents, geometry and covariates.

Everything is indexed by buurtcode and sorted by it; other tables are joined by code. Buurten without residents
stay (the graph needs them) and are left out of the estimates; a hidden number of residents counts as none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas import codes
from buurtsae.areas.columns import CODES, STRUCTURAL, check_groupings, check_residents, check_rows
from buurtsae.areas.completeness import WHOLE, completed, named
from buurtsae.areas.graph import Graph, Pair
from buurtsae.areas.plausible import POLYGONS
from buurtsae.areas.polygons import polygons
from buurtsae.errors import BuurtsaeError, DataError, Problems, cut, shown
from buurtsae.files import readable
from buurtsae.notes import FIRST, Note
from buurtsae.tables import as_number, plain, read_table

if TYPE_CHECKING:
    import geopandas as gpd

GROUP = "{} (group)"  # where a grouping is that is a covariate too


@dataclass(frozen=True)
class Areas:
    """The buurten of one area division.

    Attributes
    ----------
    frame : GeoDataFrame, indexed by `area_code` (sorted)
        Columns `name`, `wijk`, `gemeente` (codes), `population` (int, 0 where unknown), `geometry` (RD New,
        metres), optionally `ggdregio` and `provincie`, groupings of the user's own, and one column per covariate.
    year : int
        Year of the area division.
    names : mapping of level to {code: name}
        Names of wijken and gemeenten, where the file has them.
    region : str
        Name of the whole of the run, the row of level `land`.
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

    Examples
    --------
    >>> from buurtsae.runs.example import folder
    >>> areas = Areas.read(folder() / "buurten.gpkg", 2024, tables=[(folder() / "kerncijfers.csv", "buurtcode")])
    >>> areas
    Areas of 2024: 120 buurten (2 without residents) in 12 wijken and 3 gemeenten, 150295 residents
    >>> areas.residents("gemeente").to_dict()
    {'GM9901': 80650.0, 'GM9902': 31855.0, 'GM9903': 37790.0}
    """

    frame: gpd.GeoDataFrame
    year: int
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    region: str = WHOLE
    notes: tuple[Note, ...] = ()
    groupings: tuple[str, ...] = ()
    partial: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    national: bool = False
    omitted: tuple[str, ...] = ()

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
        notes: list[Note] = []
        frame, problems = _read_geometry(Path(path), notes), Problems()
        if "geometry" in (code, name, population):
            raise DataError("a column cannot be the geometry", "geometry", "another column", "correct the name")
        if population in (code, name, *CODES):
            what = "the number of residents cannot be a code or a name"
            raise DataError(what, cut(repr(population)), "another column", "correct `population`")
        if code not in frame:
            raise DataError(
                f"{Path(path).name} has no column of area codes",
                shown(frame.columns),
                repr(code),
                "name it with `code`",
            )
        frame[code] = codes.clean(frame[code])
        frame = frame.assign(
            buurtcode=frame[code], wijkcode=codes.wijk_of(frame[code]), gemeentecode=codes.gemeente_of(frame[code])
        )
        for table, key in tables:
            try:
                frame = _join(frame, Path(table), key, notes)
            except BuurtsaeError as error:
                problems.collect(error)
        every = frame
        for column, value in (where or {}).items():
            if column not in frame:
                problems.add(
                    "the areas have no column to select on", repr(column), shown(frame.columns), "correct `where`"
                )
            else:
                frame = frame[frame[column].astype("string") == value]
        if frame.empty:
            problems.add("no areas are left", "0 rows", "one row per buurt", "check the file and `where`")
        check_rows(frame, problems)
        check_residents(every, frame, population, problems)
        check_groupings(frame, groupings, (code, name, population), problems)
        frame = polygons(frame, frame["buurtcode"], notes, problems)
        problems.raise_if_any()
        found = _assemble(frame, cls, year, name, population, notes, tuple(groupings))
        strange = problems.sift(check(found.frame) for check in POLYGONS)
        problems.raise_if_any()
        found = replace(found, notes=(*found.notes, *strange))
        return named(completed(found, every.set_index("buurtcode"), population), region)

    @property
    def codes(self) -> pd.Index:
        """Buurtcodes, sorted."""
        return self.frame.index

    @property
    def population(self) -> np.ndarray:
        """Residents per buurt, in the order of `codes`."""
        return self.frame["population"].to_numpy(dtype=float)

    @property
    def inhabited(self) -> np.ndarray:
        """True for buurten with residents: those that get an estimate."""
        return self.population > 0

    @property
    def covariates(self) -> list[str]:
        """Names of the numeric columns that a model may use."""
        numeric = self.frame.select_dtypes("number").columns
        return [c for c in numeric if c not in STRUCTURAL]

    def parents(self, level: str, of: str = "buurt") -> pd.Series:
        """Return the code at `level` of each buurt, or of each area of a level `of`, which may not lie above it.

        It is missing for a buurt that is in no group of a grouping.

        Raises
        ------
        DataError
            If there is no such level.
        """
        if of != "buurt":
            own, parent = self.parents(of), self.parents(level)
            return pd.Series(parent.to_numpy(), index=own.to_numpy()).groupby(level=0).first()
        if level == "buurt":
            return pd.Series(self.codes, index=self.codes)
        if level == "land":
            return pd.Series(codes.LAND, index=self.codes)
        if level not in self.levels:
            raise DataError(
                "the areas have no such level", repr(level), shown(self.levels), "join a table that has this column"
            )
        return self.frame[self.column(level)].astype(object)

    def column(self, level: str) -> str:
        """Return the column of the frame that holds a level: of the same name, unless that is a covariate."""
        group = GROUP.format(level)
        return group if group in self.frame else level

    def at(self, level: str) -> pd.Index:
        """Return the codes at a level, sorted; those without residents included."""
        return pd.Index(sorted(set(self.parents(level).dropna())), dtype=object)

    def inhabited_at(self, level: str) -> pd.Index:
        """Return the codes at a level that have residents, sorted."""
        return pd.Index(sorted(set(self.parents(level)[self.inhabited].dropna())), dtype=object)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The levels that can be estimated, from buurt up."""
        known = [lv for lv in codes.LEVELS if lv in ("buurt", "wijk", "gemeente", "land") or lv in self.frame]
        return (*known[:-1], *self.groupings, "land")

    def complete(self, level: str, codes: Sequence[str] | pd.Index) -> np.ndarray:
        """Return True for codes of a level of which the run holds every inhabited buurt."""
        return ~np.isin(np.asarray(codes, dtype=object), self.partial.get(level, ()))

    def left_out(self, level: str, code: pd.Series) -> np.ndarray:
        """Return True for buurtcodes or wijkcodes that the file has, and `where` left out."""
        buurt = pd.Series(self.omitted, dtype=object)
        return code.isin(buurt if level == "buurt" else codes.wijk_of(buurt)).to_numpy()

    def label(self, level: str, code: str) -> str:
        """Return the name of an area, or its code where the name is unknown."""
        return self.names.get(level, {}).get(code, code)

    def residents(self, level: str) -> pd.Series:
        """Return the number of residents of each area of a level, by code."""
        return pd.Series(self.population, index=self.codes).groupby(self.parents(level).to_numpy()).sum()

    def aggregation(self, level: str) -> tuple[list[str], sp.csr_array]:
        """Return the codes at `level` and the (n_codes, n_buurten) matrix of resident weights, rows summing to 1.

        Codes without any resident are left out.
        """
        parent = self.parents(level)
        column = np.flatnonzero(self.inhabited & parent.notna().to_numpy())
        labels, row = np.unique(parent.to_numpy()[column].astype(str), return_inverse=True)
        totals = np.bincount(row, self.population[column])
        values = self.population[column] / totals[row]
        return [str(c) for c in labels], sp.csr_array((values, (row, column)), shape=(len(labels), len(self.codes)))

    def graph(self, rule: str = "queen", bridges: Sequence[Pair] = ()) -> Graph:
        """Return the contiguity graph of all buurten, those without residents included.

        Parameters
        ----------
        rule : {"queen", "rook"}
        bridges : sequence of pairs of codes
            Pairs to join although water lies between; without them components are kept apart.
        """
        return Graph.from_geometry(self.frame, rule, bridges)

    def audit(self) -> dict[str, object]:
        """Return counts and everything that was noticed while reading."""
        missing = self.frame.loc[self.inhabited, self.covariates].isna().sum()
        return {
            "year": self.year,
            "buurten": len(self.frame),
            "without_residents": list(self.codes[~self.inhabited]),
            "residents": int(self.population.sum()),
            "wijken": int(self.frame["wijk"].nunique()),
            "gemeenten": int(self.frame["gemeente"].nunique()),
            "missing_covariates": {str(c): int(n) for c, n in missing.items() if n},
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """A notebook's view: levels, covariates with what is missing of them, and what was repaired."""
        frame, live = self.frame, self.inhabited
        levels = [(level, len(self.inhabited_at(level))) for level in self.levels]
        about = frame.loc[live, list(self.covariates)].describe().T.reindex(columns=["mean", "min", "max"])
        about.insert(0, "missing", frame.loc[live, list(self.covariates)].isna().sum())
        view = pd.DataFrame(levels, columns=["level", "inhabited"]).to_html(index=False)
        listed = "".join(f"<li>{escape(n)}</li>" for n in self.notes)
        return f"<p>{escape(repr(self))}</p>{view}{about.to_html(float_format='{:.4g}'.format)}<ul>{listed}</ul>"

    def __repr__(self) -> str:
        a = self.audit()
        return (
            f"Areas of {self.year}: {a['buurten']} buurten ({int((~self.inhabited).sum())} without residents) "
            f"in {a['wijken']} wijken and {a['gemeenten']} gemeenten, {a['residents']} residents"
        )


def _read_geometry(path: Path, notes: list[Note]) -> gpd.GeoDataFrame:
    """A table of scalars with one geometry, in the column `geometry`; what the reader warned of becomes a note."""
    import geopandas as gpd

    path = readable(path, "correct [areas] file")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            parquet = path.suffix.lower() in (".parquet", ".geoparquet")
            frame = gpd.read_parquet(path) if parquet else gpd.read_file(path)
    except Exception as error:  # whatever GDAL and pyarrow raise on a file that they cannot read
        raise DataError(
            f"{path.name} cannot be read as areas",
            cut(error, 300),
            "GeoPackage, GeoParquet, GeoJSON or shapefile",
            "open it in a GIS and export it again",
        ) from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise DataError(f"{path.name} has no geometry", "a table", "a layer with polygons", "choose another layer")
    notes += [Note(said := cut(w.message, 200), said).under(path.name) for w in heard]  # what GDAL says, in English
    shape = gpd.GeoSeries(frame.geometry.reset_index(drop=True), name="geometry")
    others = [c for c, dtype in frame.dtypes.items() if str(dtype) == "geometry"]
    table = plain(pd.DataFrame(frame.drop(columns=others)), path.name)
    if "geometry" in table:
        raise DataError(f"{path.name} has columns twice", "geometry", "different names", "rename or remove one of them")
    return gpd.GeoDataFrame(table, geometry=shape)


def _join(frame: gpd.GeoDataFrame, path: Path, key: str, notes: list[Note]) -> gpd.GeoDataFrame:
    """Left-join a table by code, checked both ways; columns that are already there are not repeated."""
    table = read_table(path, text=("buurtcode", "wijkcode", "gemeentecode"))
    if key not in table or key not in frame:
        raise DataError(
            f"{path.name} cannot be joined",
            f"no column {key!r}",
            "buurtcode, wijkcode or gemeentecode",
            "correct `key`",
        )
    twice = table[key][table[key].duplicated()]
    if len(twice):
        raise DataError(f"{path.name} has codes twice", shown(twice), "one row per code", "remove the duplicates")
    absent = set(frame[key].dropna()) - set(table[key])
    if len(absent) == frame[key].nunique():
        raise DataError(
            f"{path.name} has none of the areas", shown(table[key]), shown(frame[key]), "is it of another year?"
        )
    if absent:
        notes.append(
            Note(
                "{n} {key} without a row in {file}: {codes}",
                "{n} keer een {key} zonder rij in {file}: {codes}",
                n=len(absent), key=key, file=path.name, codes=sorted(absent),
            )
        )  # fmt: skip
    extra = set(table[key]) - set(frame[key])
    if extra and key == "buurtcode":
        notes.append(
            Note(
                "{n} rows of {file} have no geometry or lie outside the areas: left out",
                "{n} rijen van {file} hebben geen polygoon of liggen buiten het gebied: weggelaten",
                n=len(extra), file=path.name,
            )
        )  # fmt: skip
    return frame.merge(table[[key, *(c for c in table if c not in frame)]], on=key, how="left", validate="many_to_one")


def _assemble(
    frame: gpd.GeoDataFrame,
    cls: type[Areas],
    year: int,
    name: str,
    population: str,
    notes: list[Note],
    groupings: tuple[str, ...],
) -> Areas:
    """Sort, name the structural columns, read the numbers."""
    frame = frame.set_index("buurtcode").sort_index()
    frame.index = pd.Index(frame.index.astype(str), name="area_code")
    names = {
        level: frame.drop_duplicates(key).set_index(key)[label].dropna().astype(str).to_dict()
        for level, key, label in (
            ("wijk", "wijkcode", "wijknaam"),
            ("gemeente", "gemeentecode", "gemeentenaam"),
            ("provincie", "provinciecode", "provincienaam"),
        )
        if label in frame and key in frame
    }
    residents = as_number(frame[population])
    if (n := int(residents.isna().sum())) > 0:
        notes.append(
            Note(
                "buurten with an empty or hidden number of residents count as without residents: {n}",
                "buurten waarvan het aantal inwoners leeg of geheim is, tellen als buurt zonder inwoners: {n}",
                n=n,
            )
        )
    out = frame[["geometry"]].assign(
        name=frame[name].astype(str) if name in frame else frame.index,
        wijk=codes.wijk_of(frame.index.to_series()),
        gemeente=codes.gemeente_of(frame.index.to_series()),
        population=residents.fillna(0).round().astype("int64"),
    )
    for level, column in (("ggdregio", "ggdregio"), ("provincie", "provinciecode"), ("provincie", "provincie")):
        if column in frame and level not in out:
            out[level] = frame[column].astype(str)
    for column in groupings:
        group = frame[column].astype("string").str.strip()
        group = group.astype(object).where(group.notna() & (group != ""), None)
        out[GROUP.format(column) if pd.api.types.is_numeric_dtype(frame[column]) else column] = group
        if n := int(group.isna().sum()):
            notes.append(
                Note("buurten in no group of {by}: {n}", "buurten in geen groep van {by}: {n}", n=n, by=column)
            )
    used = {name, population, "wijkcode", "gemeentecode", "geometry", "ggdregio", "wijknaam", "gemeentenaam"}
    used |= {"provinciecode", "provincienaam"} if "provinciecode" in frame else set()
    more, hidden = dict[str, pd.Series](), dict[str, int]()
    for column in [c for c in frame if c not in used and c not in out]:
        try:
            numbers = as_number(frame[column])
        except (ValueError, TypeError):  # text, or numbers that no model can use: refused where a formula names it
            more[column] = frame[column]
            continue
        if n := int((numbers.isna() & frame[column].notna()).sum()):
            hidden[column] = n
        more[column] = numbers
    some = [([c], n) for c, n in hidden.items()] if len(hidden) <= FIRST else [(list(hidden), sum(hidden.values()))]
    for where, n in some:
        notes.append(
            Note(
                "{n} secret or missing codes in {columns} read as missing",
                "{n} codes voor geheim of ontbrekend in {columns} gelezen als ontbrekend",
                n=n, columns=where,
            )
        )  # fmt: skip
    out = pd.concat([out, pd.DataFrame(more, index=out.index)], axis=1)
    return cls(out, year, names, notes=tuple(notes), groupings=groupings)
