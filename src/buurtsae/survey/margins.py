r"""Margins of areas as statistical offices publish them, and a seed that says how characteristics go together.

KWB has residents by age, or percentages of dwellings, one characteristic at a time, rounded and with empty cells; which
persons are meant differs: age counts all residents, a survey adults. So of each margin

    m_al := the published count, or share x total, or what the other levels leave;  made to add to the total (`ipf`)
    m_al := m_al k_l,       k_l the part of level l that belongs to the population: 0 for children

and the margin of those with k has the total that all others are brought to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from numbers import Real

import numpy as np
import pandas as pd

from buurtsae.areas.codes import clean
from buurtsae.areas.columns import numbers
from buurtsae.errors import DataError, Problems, check_kinds, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey import ipf
from buurtsae.survey.levels import LISTED, check_combinations
from buurtsae.tables import plain

COUNT = "aantal"


@dataclass(frozen=True)
class Margin:
    """Where a table says how many residents of an area have each level of a characteristic.

    Parameters
    ----------
    on : str
        The characteristic.
    columns : mapping of str to str or None
        Column of each level, in the order of the levels; None is what the others leave.
    per_cent : bool
        Whether the columns are percentages (of whatever is published: dwellings stand for persons then).
    part : mapping of str to float
        Part of a level that belongs to the population; 0 for none, 1 where it is not named.

    Raises
    ------
    DataError or ProblemsError
        If there are fewer than two levels, several that are what others leave, names that are no text, a part that is
        no number, outside 0-1 or of another level, or no level of which a part belongs.

    Examples
    --------
    >>> age = Margin("leeftijd", {"0-14": "inwoners_0_14", "15-64": None, "65+": "inwoners_65plus"}, part={"0-14": 0})
    >>> age.levels
    ('15-64', '65+')
    """

    on: str
    columns: Mapping[str, str | None]
    per_cent: bool = False
    part: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kinds(on=(self.on, str), columns=(self.columns, Mapping), part=(self.part, Mapping))
        problems = Problems()
        strange = [name for name in (*self.columns, *self.columns.values()) if not isinstance(name, str | None)]
        if strange or None in self.columns:
            got = cut(str(dict(self.columns)))
            problems.add(f"margin {self.on} has names that are no text", got, "texts", "name levels and columns")
        if len(self.columns) < 2 or sum(column is None for column in self.columns.values()) > 1:
            hint = "name a column for each level but one"
            problems.add(f"margin {self.on} is no margin", cut(str(dict(self.columns))), "two levels or more", hint)
        numbered = {level: k for level, k in self.part.items() if isinstance(k, Real) and not isinstance(k, bool)}
        wrong = [level for level in self.part if level not in self.columns or not 0 <= numbered.get(level, -1) <= 1]
        if wrong or all(numbered.get(level) == 0 for level in self.columns):
            got = shown(f"{level}: {self.part[level]!r}" for level in wrong or self.part)
            levels = f"0 to 1, of {shown(self.columns)}, not all 0"
            problems.add(f"margin {self.on} has impossible parts", got, levels, "correct `part`")
        problems.raise_if_any()

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels that belong to the population."""
        return tuple(level for level in self.columns if self.part.get(level, 1.0) > 0)

    def values(self, table: pd.DataFrame, total: Floats, problems: Problems) -> Floats:
        """Return residents per area and level, NaN where the table does not say; percentages of `total`."""
        out = np.full((len(table), len(self.columns)), np.nan)
        for place, column in enumerate(self.columns.values()):
            if column is None or (read := numbers(table[column], f"{cut(column)} is no number", problems)) is None:
                continue
            if self.per_cent and len(wrong := read[(read < 0) | (read > 100)]):
                what = f"{cut(column)}: {len(wrong)} shares lie outside 0-100"
                problems.add(what, shown(f"{v:g} in {k}" for k, v in wrong.items()), "per cent", "correct these cells")
            out[:, place] = read * total / 100 if self.per_cent else read
        return out


def check_margins(margins: Sequence[Margin]) -> None:
    """Refuse what are no margins, each of another characteristic.

    Raises
    ------
    DataError
        If they are not.
    """
    strange = [margin for margin in margins if not isinstance(margin, Margin)]
    if strange or not margins:
        got, hint = shown(map(repr, strange)) if strange else "none", "make each by `Margin`"
        raise DataError("there are no margins, or some are none", got, "one Margin or more", hint)
    names = [margin.on for margin in margins]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError("margins are given twice", shown(sorted(twice)), "one per characteristic", "keep one of each")


def read_margins(
    frame: pd.DataFrame, codes: pd.Index, total: Floats, parent: Ints, margins: Sequence[Margin], area: str
) -> tuple[list[Floats], list[Note]]:
    """Return what each margin is, (areas, levels) of the population, all with the same totals, and notes.

    Areas that the table lacks get the shares of their parent, of the residents they have. Raises DataError or
    ProblemsError on columns that are absent or no numbers, areas that occur twice and shares outside 0-100.
    """
    problems, notes = Problems(), list[Note]()
    columns = [column for margin in margins for column in margin.columns.values() if column is not None]
    if absent := [column for column in (area, *columns) if column not in frame]:
        problems.add("the frame has no such columns", shown(absent), shown(frame.columns, 10), "correct the names")
        problems.raise_if_any()
    table = frame.set_axis(clean(frame[area]).fillna("").astype(object))
    if len(twice := table.index[table.index.duplicated() & table.index.isin(codes)].unique()):
        problems.add("areas occur more than once", shown(twice), "one row per area", "combine these rows")
        problems.raise_if_any()
    present, table = table.index, table.reindex(codes)
    read = [margin.values(table, total, problems) for margin in margins]
    problems.raise_if_any()
    if lost := list(codes[(total > 0) & ~codes.isin(present)]):
        text = "margins of {n} areas are absent ({codes})", "van {n} gebieden ontbreken de randtotalen ({codes})"
        notes.append(Note(*text, n=len(lost), codes=lost))
    order = sorted(range(len(margins)), key=lambda k: not margins[k].part)
    made: dict[int, Floats] = {}
    population = total
    for k in order:
        margin, of = margins[k], total if margins[k].part else population
        scale = np.divide(of, total, out=np.zeros_like(total), where=total > 0)
        values, told = ipf.consistent(read[k] * scale[:, None] if margin.per_cent else read[k], of, parent)
        notes += _told(margin, told)
        part = np.array([margin.part.get(level, 1.0) for level in margin.columns])
        values = (values * part)[:, part > 0]
        if margin.part and population is total:
            population = values.sum(axis=1)
        values *= np.divide(population, values.sum(axis=1), out=np.zeros_like(total), where=values.sum(axis=1) > 0)[
            :, None
        ]
        made[k] = values
    return [made[k] for k in range(len(margins))], notes


def _told(margin: Margin, told: Mapping[str, int]) -> list[Note]:
    texts = {
        "filled": (
            "margin {on}: cells of {n} areas are missing or negative: by the shares of the area above",
            "randtotaal {on}: cellen van {n} gebieden ontbreken of zijn negatief: naar de aandelen erboven",
        ),
        "scaled": (
            "margin {on}: the levels of {n} areas differ from the total by more than 1%: brought to it",
            "randtotaal {on}: de klassen van {n} gebieden wijken meer dan 1% van het totaal af: daarop gebracht",
        ),
    }
    return [Note(*text, on=margin.on, n=told[kind]) for kind, text in texts.items() if told[kind]]


def joint(tables: Sequence[pd.DataFrame], count: str = COUNT) -> pd.DataFrame:
    """Return one table of all characteristics from tables of some of them, by iterative proportional fitting.

    Parameters
    ----------
    tables : sequence of DataFrame
        Columns of characteristics, and `count`. A combination that one lacks, or has 0 of, cannot occur. Each is first
        brought to what those before it say of the characteristics that it shares with them.
    count : str

    Returns
    -------
    DataFrame
        A row per combination that can occur; what the tables do not say together is as independent as can be.

    Raises
    ------
    DataError or ProblemsError
        If there are no tables, one lacks its count, has negative ones or others that are no numbers, or no
        characteristic or missing levels, or tables contradict each other.
    """
    check_kinds(tables=(tables, (list, tuple)), count=(count, str))
    problems, read = Problems(), list[pd.DataFrame]()
    for k, given in enumerate(tables):
        if (table := problems.attempt(plain, given, f"table {k + 1}")) is None:
            continue
        column = table[count] if count in table else pd.Series(dtype=float)
        if (persons := numbers(column, f"table {k + 1} has counts that are no numbers", problems)) is None:
            continue
        if not (persons >= 0).all() or not persons.sum() > 0:
            hint = "name the column with `count`, and correct it"
            problems.add(f"table {k + 1} has no counts", shown(table.columns), f"{count}, 0 or more", hint)
        if table.shape[1] < 2 or table.isna().any(axis=None):
            got = f"{table.shape[1]} columns, {int(table.isna().sum().sum())} cells missing"
            what, hint = f"table {k + 1} has no characteristics, or lacks levels", "complete it"
            problems.add(what, got, "a level of each in every row", hint)
        read.append(table.assign(**{count: persons}))
    if not tables:
        problems.add("there are no tables to join", "none", "one or more", "give tables of some characteristics")
    problems.raise_if_any()
    tables = read
    names = list(dict.fromkeys(name for table in tables for name in table.columns if name != count))
    levels = {name: list(dict.fromkeys(v for t in tables if name in t for v in t[name])) for name in names}
    check_combinations(1, levels, LISTED)
    cells = pd.DataFrame(list(product(*levels.values())), columns=names)
    agreed, margins, seed = list[pd.DataFrame](), [], np.ones(len(cells))
    for k, table in enumerate(tables):
        on = [name for name in table.columns if name != count]
        summed = table.groupby(on, sort=False, as_index=False)[count].sum()
        summed[count] *= float(tables[0][count].sum()) / summed[count].sum()
        shared = [(before, [name for name in on if name in before]) for before in agreed]
        targets = [_margin(summed, before, names, count) for before, names in shared if names]
        if targets:
            summed[count] = ipf.fitted(summed[count].to_numpy(dtype=float), targets, [f"table {k + 1}"])
        agreed.append(summed)
        margins.append(_margin(cells, summed, on, count, f"table {k + 1}"))
        seed[margins[-1].group == len(margins[-1].total) - 1] = 0.0
    made = cells.assign(**{count: ipf.fitted(seed, margins, ["the whole"])})
    return made[made[count] > 0].reset_index(drop=True)


def _margin(cells: pd.DataFrame, table: pd.DataFrame, on: list[str], count: str, name: str = "shared") -> ipf.Margin:
    """What a table says of the sums of cells over all but some characteristics; its last group cannot occur."""
    total = table.groupby(on, sort=False)[count].sum()
    group = total.index.get_indexer(pd.MultiIndex.from_frame(cells[on]) if len(on) > 1 else pd.Index(cells[on[0]]))
    group = np.where(group < 0, len(total), group)
    return ipf.Margin(name, group, np.append(total.to_numpy(dtype=float), 0.0), np.zeros(len(total) + 1, dtype=int))


def seed_of(
    seed: pd.DataFrame, margins: Sequence[Margin], by: str, parents: Sequence[str], count: str = COUNT
) -> Floats:
    """Return the seed per parent, shape (parents, cells): one for all, or with a column `by`, one each.

    Raises DataError or ProblemsError if it lacks columns or has one twice, has levels that no margin knows, counts that
    are no numbers, or nothing of a parent.
    """
    seed = plain(seed, "the seed")
    problems, names = Problems(), [margin.on for margin in margins]
    if absent := [name for name in (*names, count) if name not in seed]:
        problems.add("the seed has no such columns", shown(absent), shown(seed.columns), "correct the names")
        problems.raise_if_any()
    persons = numbers(seed[count], f"{cut(count)} of the seed is no number", problems)
    problems.raise_if_any()
    assert persons is not None
    place = []
    for margin in margins:
        level = pd.Index(margin.levels).get_indexer(seed[margin.on].astype(str))
        if len(unknown := seed[margin.on][(level < 0) & (persons > 0)].unique()):
            what = f"the seed has levels of {margin.on} that the margin lacks"
            problems.add(what, shown(unknown), shown(margin.levels), "name levels alike")
        place.append(level)
    if n := int((~(persons >= 0)).sum()):
        problems.add("the seed has cells that are negative or missing", f"{n}", "0 or more", "correct them")
    row = pd.Index(parents).get_indexer(clean(seed[by])) if by in seed else np.zeros(len(seed), int)
    if by in seed and len(lost := sorted(set(parents) - set(clean(seed[by])))):
        problems.add(
            f"the seed says nothing of some {by}", shown(lost), "rows of each", f"complete it, or leave out {by}"
        )
    problems.raise_if_any()
    sizes = [len(margin.levels) for margin in margins]
    inside = (np.array(place) >= 0).all(axis=0) & (row >= 0)
    cell = np.ravel_multi_index(tuple(level[inside] for level in place), tuple(sizes))
    out = np.zeros((len(parents) if by in seed else 1, int(np.prod(sizes))))
    np.add.at(out, (row[inside], cell), persons.to_numpy(dtype=float)[inside])
    if not out.any():
        raise DataError("the seed is empty", "0 persons", "some", "correct its counts")
    return out if by in seed else np.repeat(out, len(parents), axis=0)
