"""The covariates that there are: what each is, how it is distributed, which go together, and themes for a model.

Correlations are of the inhabited areas where both are known, after the transformation of the codebook; columns that are
joined by correlations beyond 0.8 are a group. The variance inflation factor of a column is the diagonal of the inverse
correlation matrix, 1 / (1 - R^2) of its regression on the others (missing values at the mean); beyond 10 its own
coefficient is hardly known (Belsley, Kuh and Welsch 1980, Regression Diagnostics), and shrinkage by theme is for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, shown
from buurtsae.model.covariate_words import TOGETHER, proposed, told
from buurtsae.model.covariates import ORIGIN, TRANSFORMS, known
from buurtsae.retrieved import read_record
from buurtsae.sparse import Floats
from buurtsae.tables import read_table

SAME = 0.999  # correlation of one figure under two names
ENOUGH = 0.5  # share filled of a column that is proposed
FEW = 10  # areas where two columns are known: on fewer there is no correlation
BINS = 10
BESIDE = {"columns": ("column", "title", "unit", "about"), "missing": ("code", "column", "reason")}


@dataclass(frozen=True)
class CovariateCatalogue:
    """The numeric columns of areas, as covariates.

    Attributes
    ----------
    table : DataFrame, one row per column
        `column`, `source` (codebook; "" where none knows it) and `indicator` in it, `title`, `unit`, `about`,
        `period`, `theme`, `transform`, `modelled`, `sensitive`, `aside` (a number that others are made of), `filled`
        (share of the inhabited areas), `min`, `q1`, `median`, `q3`, `max`, `bins` (counts from least to largest),
        `missing`, `reasons` (count by reason, where a file says why), `constant`, `vif` (of candidates only).
    groups : tuple of (columns, least, largest)
        Columns that go together, and the range of the correlations within, in absolute value.
    candidates : tuple of str
        Columns that may be proposed: no origin, no numbers aside, not constant, filled enough, no figure twice.
    left_out : mapping of column to str
        The others, and why.
    areas : str
        What was looked at, in words.
    origins : tuple of str
        Of files with a record of where they come from: table, edition and terms.

    Examples
    --------
    >>> from buurtsae.runs.example import folder
    >>> from buurtsae import Areas, covariate_catalogue
    >>> areas = Areas.read(folder() / "buurten.gpkg", 2024, tables=[(folder() / "kerncijfers.csv", "buurtcode")])
    >>> covariate_catalogue(areas)
    CovariateCatalogue of 8 columns of 118 inhabited buurten: 8 candidates in 5 themes, 1 correlated group
    """

    table: pd.DataFrame
    groups: tuple[tuple[tuple[str, ...], float, float], ...]
    candidates: tuple[str, ...]
    left_out: dict[str, str] = field(repr=False)
    areas: str = ""
    origins: tuple[str, ...] = ()

    @property
    def themes(self) -> dict[str, tuple[str, ...]]:
        """Candidates by theme, of those that have one."""
        rows = self.table[self.table["column"].isin(self.candidates) & (self.table["theme"] != "")]
        return {str(name): tuple(group["column"]) for name, group in rows.groupby("theme", sort=False)}

    @property
    def proposal(self) -> str:
        """Themes as tables of a run file."""
        return proposed(self)

    @property
    def text(self) -> str:
        """All of it in words, in lines of at most 100 characters."""
        return told(self)

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values, None where a number is missing."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        infinite = [{key: None if value == np.inf else value for key, value in row.items()} for row in rows]
        groups = [{"columns": names, "least": low, "largest": high} for names, low, high in self.groups]
        kept = {"candidates": self.candidates, "left_out": self.left_out, "themes": self.themes}
        return {"areas": self.areas, "origins": self.origins, "columns": infinite, "groups": groups, **kept} | {
            "proposal": self.proposal
        }

    def __repr__(self) -> str:
        groups = f"{len(self.groups)} correlated group{'s' * (len(self.groups) != 1)}"
        what = f"{len(self.candidates)} candidates in {len(self.themes)} themes, {groups}"
        return f"CovariateCatalogue of {len(self.table)} columns of {self.areas}: {what}"


def covariate_catalogue(areas: Areas, files: Iterable[str | Path] = ()) -> CovariateCatalogue:
    """Describe the numeric columns of areas.

    Parameters
    ----------
    areas : Areas
    files : sequence of path
        The files that they were read from: what lies beside these, `NAME.columns.csv` and `NAME.missing.csv` as
        `buurtsae fetch` writes them, says what columns are that no codebook knows, and why cells are missing.

    Returns
    -------
    CovariateCatalogue

    Raises
    ------
    DataError
        If the areas have no numeric column, or a file beside them has not the columns that it should.

    Examples
    --------
    >>> from buurtsae.runs.example import folder
    >>> from buurtsae import Areas
    >>> areas = Areas.read(folder() / "buurten.gpkg", 2024, tables=[(folder() / "kerncijfers.csv", "buurtcode")])
    >>> covariate_catalogue(areas).themes["woningen"]
    ('pct_koopwoningen', 'gemiddelde_woz')
    """
    names = areas.covariates
    if not names:
        hint = "join a table with figures"
        raise DataError("the areas have no figures", shown(areas.frame.columns), "numeric columns", hint)
    paths = [Path(file) for file in files]
    described, reasons = _beside(paths)
    live = areas.frame.loc[areas.inhabited, names].astype(float)
    reasons = reasons[reasons["code"].isin(live.index)]
    rows = [_row(name, live[name], areas, described, reasons) for name in names]
    table = pd.DataFrame(rows)
    z = _standardised(live, table)
    r = correlations(z)
    left_out = _left_out(table, r)
    candidates = tuple(name for name in names if name not in left_out)
    factors = dict(zip(candidates, inflation(z[list(candidates)]), strict=True))
    table["vif"] = table["column"].map(factors).astype(float)
    usable = [name for name, row in zip(names, rows, strict=True) if not (row["constant"] or row["aside"])]
    noun = f"{len(live):,} inhabited {areas.noun}"
    groups, origins = together(r.loc[usable, usable]), tuple(_origins(paths))
    return CovariateCatalogue(table, groups, candidates, left_out, noun, origins)


def correlations(z: pd.DataFrame) -> pd.DataFrame:
    """Return correlations where both columns are known; missing where that is in fewer than ten areas."""
    return z.corr(min_periods=FEW)


def together(r: pd.DataFrame) -> tuple[tuple[tuple[str, ...], float, float], ...]:
    """Return groups of columns joined by correlations beyond 0.8, and the range of these within each."""
    size = np.nan_to_num(np.abs(r.to_numpy(dtype=float)))
    _, label = connected_components(sp.csr_array(size > TOGETHER), directed=False)
    groups = []
    for group in dict.fromkeys(label):
        of = np.flatnonzero(label == group)
        if len(of) > 1:
            within = size[np.ix_(of, of)][np.triu_indices(len(of), 1)]
            groups.append((tuple(r.columns[of]), float(within.min()), float(within.max())))
    return tuple(groups)


def inflation(z: pd.DataFrame) -> Floats:
    """Return the variance inflation factor of each column; infinite where others make it up exactly.

    Missing where there are no more areas than columns.
    """
    x = z.fillna(0.0).to_numpy(dtype=float)
    n, k = x.shape
    if n <= k + 1 or k == 0:
        return np.full(k, np.nan)
    values, vectors = np.linalg.eigh(np.corrcoef(x, rowvar=False).reshape(k, k))
    none = values < 1e-10
    factors = np.square(vectors[:, ~none]) @ (1 / values[~none])
    factors[(np.square(vectors[:, none]) > 1e-8).any(axis=1)] = np.inf
    return factors


def _row(name: str, column: pd.Series, areas: Areas, described: pd.DataFrame, reasons: pd.DataFrame) -> dict[str, Any]:
    entry = known(name) if areas.system == CBS else None
    values = column.dropna().to_numpy()
    quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) if len(values) else np.full(5, np.nan)
    why = reasons.loc[reasons["column"] == name, "reason"].value_counts().to_dict()
    missing = int(column.isna().sum())
    known_as = described.loc[name] if name in described.index else pd.Series({"title": "", "unit": "", "about": ""})
    book, figure = entry or (None, None)
    return {
        "column": name,
        "source": book.id if book else "",
        "indicator": figure.name if figure else "",
        "title": figure.nl if figure else str(known_as["title"]),
        "unit": figure.unit if figure else str(known_as["unit"]),
        "about": figure.about if figure else str(known_as["about"]),
        "period": book.period if book else "",
        "theme": figure.theme if figure else "",
        "transform": figure.transform if figure else "none",
        "modelled": bool(figure and figure.modelled),
        "sensitive": bool(figure and figure.sensitive) or bool(ORIGIN.search(name)),
        "aside": bool(figure and figure.aside),
        "filled": 1 - missing / len(column) if len(column) else np.nan,
        **dict(zip(("min", "q1", "median", "q3", "max"), quartiles, strict=True)),
        "bins": tuple(np.histogram(values, BINS)[0].tolist()) if len(values) else (0,) * BINS,
        "missing": missing,
        "reasons": {str(reason): int(n) for reason, n in why.items()},
        "constant": bool(len(values) == 0 or quartiles[0] == quartiles[4]),
    }


def _standardised(live: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Columns after their transformation, with mean 0 and standard deviation 1; what it cannot take is missing."""
    columns = {}
    for name, transform in zip(table["column"], table["transform"], strict=True):
        function, low, high, _ = TRANSFORMS[transform]
        x = live[name].where(live[name].between(low, high))
        x = pd.Series(function(x.to_numpy()), index=x.index)
        sd = x.std(ddof=0)
        columns[name] = (x - x.mean()) / (sd if sd > 0 else np.nan)
    return pd.DataFrame(columns, index=live.index)


def _left_out(table: pd.DataFrame, r: pd.DataFrame) -> dict[str, str]:
    """Columns that are not proposed, and why; of one indicator in several years the last one stays."""
    out, kept = dict[str, str](), list[str]()
    last = {
        key: max(group["column"], key=_year)
        for key, group in table[table["indicator"] != ""].groupby(["source", "indicator"])
    }
    for row in table.to_dict("records"):
        name = str(row["column"])
        latest = last.get((row["source"], row["indicator"]), name)
        twin = next((other for other in kept if abs(r.loc[name, other]) > SAME), None)
        if row["aside"]:
            out[name] = "a number that others are made of, or another form of one"
        elif row["sensitive"]:
            out[name] = "on origin: only by an explicit choice"
        elif row["constant"]:
            out[name] = "no value at all" if row["filled"] == 0 else "the same everywhere"
        elif row["filled"] < ENOUGH:
            out[name] = f"known in {row['filled']:.0%} of the areas"
        elif latest != name:
            out[name] = f"another year or name of {latest}"
        elif twin is not None:
            out[name] = f"the same figure as {twin}"
        else:
            kept.append(name)
    return out


def _year(name: str) -> int:
    """The number at the end of a column's name, 0 if there is none."""
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def _origins(files: Iterable[Path]) -> Iterator[str]:
    """What the records beside files say of where they come from."""
    for record in filter(None, map(read_record, files)):
        for part in record.retrieved:
            yield f"{record.file}: {part.source}, {part.table}, edition {part.edition} ({part.licence})"


def _beside(files: Iterable[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What lies beside files: columns by name, and reasons of missing cells."""
    found: dict[str, list[pd.DataFrame]] = {"columns": [], "missing": []}
    for file in files:
        for part, needed in BESIDE.items():
            path = file.with_name(f"{file.stem}.{part}.csv")
            if not path.is_file():
                continue
            content = read_table(path, text=needed)
            _check(path, content, needed)
            found[part].append(content[list(needed)].fillna(""))
    columns, reasons = (_joined(found[part], needed) for part, needed in BESIDE.items())
    return columns.drop_duplicates("column").set_index("column"), reasons


def _check(path: Path, content: pd.DataFrame, needed: Sequence[str]) -> None:
    if lost := [name for name in needed if name not in content]:
        hint = "fetch the file again, or remove it"
        raise DataError(f"{path.name} has not the columns that it should", f"no {shown(lost)}", shown(needed), hint)


def _joined(parts: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(columns=list(columns)), *parts], ignore_index=True)
