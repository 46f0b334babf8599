r"""Cells: residents per area and combination of characteristics, what answers of persons are poststratified on.

They are given, by a register, or made from margins per area and a seed of a larger area (`margins`, `ipf`): then
characteristics go together in each area as in the seed, but for what its margins change, and no area has a three-way
interaction of its own. Published counts are rounded and secret, so that the table itself is uncertain:

    given:    (c_i of area a) ~ Multinomial(N_a, c_i / N_a)
    margins:  m + U(-r, r), between 0 and s where m < s, then fitted anew: rounding to r (2.5 of CBS), secret below s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.areas.columns import numbers
from buurtsae.errors import ModelError, Problems, check_kinds, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey import ipf
from buurtsae.survey.bins import bin_names, binned, edges_of
from buurtsae.survey.levels import HELD, areas_of, check_combinations, levels_of
from buurtsae.survey.margins import COUNT, Margin, check_margins, read_margins, seed_of
from buurtsae.tables import plain, read_table

AWAY = 0.02  # of residents: a larger difference from those of the areas is noted


@dataclass(frozen=True, repr=False)
class Cells:
    """Residents per area and combination of characteristics.

    Attributes
    ----------
    areas : Areas
    characteristics : mapping of str to tuple of str
        Levels of each characteristic, in their order.
    area : ndarray, shape (M,)
        Place of each cell's area among the areas, ascending.
    level : ndarray, shape (M, C)
        Place of its level of each characteristic.
    count : ndarray, shape (M,)
        Residents, 0 or more; need not be whole.
    notes : tuple of Note
        Areas without cells, totals that differ from the areas' residents, and how margins were completed.
    bins : mapping of str to tuple of float
        Edges of characteristics that are numbers: K + 1 of K levels, each without its upper edge.
    margins : bool
        Whether they were made from margins.

    Examples
    --------
    >>> import pandas as pd
    >>> from buurtsae import Areas
    >>> areas = Areas.from_frame(pd.DataFrame({"code": ["a", "b"], "population": [30, 20]}), code="code")
    >>> table = pd.DataFrame({"code": list("aabb"), "age": ["18-64", "65+"] * 2, "aantal": [20, 10, 15, 5]})
    >>> cells = Cells.from_frame(table, areas, area="code")
    >>> cells
    Cells of 2 of 2 areas: 4 cells of age (2), 50 residents
    >>> cells.residents({"age": ["65+"]}).tolist()
    [10.0, 5.0]
    """

    areas: Areas
    characteristics: Mapping[str, tuple[str, ...]]
    area: Ints
    level: Ints
    count: Floats
    notes: tuple[Note, ...] = ()
    bins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    margins: bool = False

    @classmethod
    def read(
        cls,
        path: str | Path,
        areas: Areas,
        *,
        area: str = "buurtcode",
        count: str = COUNT,
        characteristics: Mapping[str, Sequence[str]] | None = None,
        bins: Mapping[str, int | Sequence[float]] | None = None,
    ) -> Cells:
        """Read a register's table from CSV or Parquet; see `from_frame`.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once.
        """
        check_kinds(
            path=(path, (str, Path)), area=(area, str), characteristics=(characteristics, (Mapping, type(None)))
        )
        frame = read_table(Path(path), text=[area, *(characteristics or {})])
        return cls.from_frame(frame, areas, area=area, count=count, characteristics=characteristics, bins=bins)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        areas: Areas,
        *,
        area: str = "buurtcode",
        count: str = COUNT,
        characteristics: Mapping[str, Sequence[str]] | None = None,
        bins: Mapping[str, int | Sequence[float]] | None = None,
    ) -> Cells:
        """Start from a table with a row per area and combination that has residents.

        Parameters
        ----------
        frame : DataFrame
            Rows of the same cell are added up. It is not changed.
        areas : Areas
        area, count : str
            Columns of the area's code and of the number of residents.
        characteristics : mapping of str to sequence of str, optional
            Levels of each in their order. By default all other columns: categories as they are ordered, others sorted.
        bins : mapping of str to int or sequence of float, optional
            Of columns that are numbers: how many classes of equally many residents, at most 50, or their edges.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: absent columns, unknown areas, levels that are missing, not named or
            occur twice, counts that are missing or negative, no residents at all, more combinations than there are
            numbers.
        """
        mapping = Mapping, type(None)
        check_kinds(
            frame=(frame, pd.DataFrame), areas=(areas, Areas), area=(area, str), count=(count, str),
            characteristics=(characteristics, mapping), bins=(bins, mapping),
        )  # fmt: skip
        table, problems = plain(frame, "the table of cells"), Problems()
        kept, cuts = frame.set_axis(table.columns, axis=1), dict(bins or {})
        others = [name for name in table.columns if name not in (area, count)]
        names = list(others if characteristics is None else characteristics)
        if absent := [name for name in dict.fromkeys((area, count, *names, *cuts)) if name not in table]:
            problems.add("cells lack columns", shown(absent), shown(table.columns, 10), "correct the names")
        if not names or table.empty:
            hint = "a column per characteristic, and a row per area and combination"
            problems.add("there are no cells", f"{len(table)} rows, {len(names)} characteristics", "some", hint)
        problems.raise_if_any()
        persons = numbers(table[count], f"{cut(count)} is no number", problems)
        place = areas_of(table[area], areas, "cells are of", problems)
        if persons is not None:
            for wrong, word in ((persons.isna(), "empty"), (persons < 0, "negative")):
                if n := int(wrong.sum()):
                    where = f"{n} cells, in {shown(clean(table[area])[wrong].unique())}"
                    problems.add(f"cells are {word}", where, "0 or more residents", "complete or correct these cells")
            if not persons.fillna(0).gt(0).any():
                problems.add("nobody lives in the cells", f"{persons.sum():g} residents", "some", "name another column")
        levels, edges, columns = dict[str, tuple[str, ...]](), dict[str, tuple[float, ...]](), []
        for name in names:
            if name in cuts and persons is not None:
                found = problems.attempt(edges_of, table[name], persons, cuts[name], name)
                if found is None:
                    continue
                edges[name], levels[name] = found, bin_names(found)
                columns.append(binned(table[name], found))
            else:
                ordered = isinstance(kept[name].dtype, pd.CategoricalDtype)
                order = (characteristics or {}).get(name, list(kept[name].cat.categories) if ordered else None)
                levels[name], column = levels_of(table[name], order, name, problems)
                columns.append(column)
            if (missing := columns[-1] < 0).any():
                what = f"cells have no known level of {name}"
                unknown = shown(clean(table.loc[missing, name]).replace("", pd.NA).fillna("missing").unique())
                problems.add(what, f"{int(missing.sum())} cells: {unknown}", shown(levels[name]), "name all levels")
        problems.raise_if_any()
        assert persons is not None
        check_combinations(len(areas.codes), levels)
        level = np.column_stack(columns)
        return cls._sorted(areas, levels, place, level, persons.to_numpy(dtype=float), (), edges)

    @classmethod
    def from_margins(
        cls,
        frame: pd.DataFrame,
        areas: Areas,
        margins: Sequence[Margin],
        seed: pd.DataFrame,
        *,
        area: str = "buurtcode",
        by: str = "gemeente",
        count: str = COUNT,
    ) -> Cells:
        """Make cells from margins per area, by iterative proportional fitting of a seed.

        Parameters
        ----------
        frame : DataFrame, one row per area
            Columns of the margins, such as kerncijfers. It is not changed.
        areas : Areas
            Their residents are the total.
        margins : sequence of Margin
        seed : DataFrame
            How many persons have each combination, in all or per area of level `by` (a column of that name): columns
            named as the margins and `count`. A combination that it lacks cannot occur. Tables of some characteristics
            each are made one by `buurtsae.survey.margins.joint`.
        area, count : str
        by : str
            Level of the areas whose shares take the place of missing cells.

        Raises
        ------
        DataError or ProblemsError
            Margins that are absent, twice or no numbers, shares outside 0-100, what no table with the seed's zeros has,
            and more combinations than can be held.
        """
        check_kinds(
            frame=(frame, pd.DataFrame), areas=(areas, Areas), margins=(margins, (list, tuple)),
            seed=(seed, pd.DataFrame), area=(area, str), by=(by, str), count=(count, str),
        )  # fmt: skip
        check_margins(margins)
        check_combinations(len(areas.codes), {margin.on: margin.levels for margin in margins}, HELD)
        parent = areas.parents(by).fillna("none").astype(str)
        parents, of = np.unique(parent.to_numpy(dtype=str), return_inverse=True)
        table = plain(frame, "the table of margins", text=[area])
        values, notes = read_margins(table, areas.codes, areas.population, of, margins, area)
        start = seed_of(seed, margins, by, [str(code) for code in parents], count)
        sizes = [len(margin.levels) for margin in margins]
        level = np.column_stack(np.unravel_index(np.arange(start.shape[1]), sizes))
        inhabited = np.flatnonzero(values[0].sum(axis=1) > 0)
        place, cell = (grid.ravel() for grid in np.meshgrid(inhabited, np.arange(start.shape[1]), indexing="ij"))
        targets = [
            ipf.Margin(
                m.on, place * size + level[cell, k], values[k].ravel(), np.arange(len(areas.codes) * size) // size
            )
            for k, (m, size) in enumerate(zip(margins, sizes, strict=True))
        ]
        seeded = start[of[place], cell]
        fitted = ipf.fitted(seeded, targets, list(map(str, areas.codes)))
        kept = seeded > 0
        levels = {margin.on: margin.levels for margin in margins}
        made = cls._sorted(areas, levels, place[kept], level[cell[kept]], fitted[kept], tuple(notes), {}, adults=True)
        return replace(made, margins=True)

    @classmethod
    def _sorted(
        cls,
        areas: Areas,
        levels: Mapping[str, tuple[str, ...]],
        area: Ints,
        level: Ints,
        count: Floats,
        notes: tuple[Note, ...],
        bins: Mapping[str, tuple[float, ...]],
        adults: bool = False,
    ) -> Cells:
        """Cells in their order, each once, with notes on what they say of the areas."""
        sizes = (len(areas.codes), *map(len, levels.values()))
        key, row = np.unique(np.ravel_multi_index((area, *level.T), sizes), return_inverse=True)
        at, *rest = np.unravel_index(key, sizes)
        cells = cls(
            areas, dict(levels), at, np.column_stack(rest), np.bincount(row, count).astype(float), bins=dict(bins)
        )
        here, live = cells.residents(), areas.inhabited
        if len(lost := areas.codes[live & (here == 0)]):
            text = (
                "{n} {areas} with residents have no cells ({codes})",
                "{n} {areas} met inwoners hebben geen cellen ({codes})",
            )
            notes += (Note(*text, n=len(lost), areas=areas.noun, codes=list(lost)),)
        if not (areas.alike or adults) and (away := abs(here.sum() / areas.population.sum() - 1)) > AWAY:
            notes += (Note(
                "cells hold {here:,.0f} residents, the areas {there:,.0f}: {away:.1f}% apart; shares are of the cells",
                "de cellen tellen {here:,.0f} inwoners, de gebieden {there:,.0f}: {away:.1f}% verschil; aandelen zijn "
                "van de cellen",
                here=float(here.sum()), there=float(areas.population.sum()), away=100 * float(away),
            ),)  # fmt: skip
        return replace(cells, notes=notes)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per cell: `area_code`, the level of each characteristic in words, and `aantal`."""
        columns = {
            name: pd.Categorical.from_codes(self.level[:, k], list(levels), ordered=True)
            for k, (name, levels) in enumerate(self.characteristics.items())
        }
        return pd.DataFrame({"area_code": self.areas.codes[self.area], **columns, COUNT: self.count})

    def inside(self, domain: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Return True for the cells of a domain, such as ``{"leeftijd": ["65+"]}``; shape (M,).

        Raises
        ------
        DataError or ProblemsError
            If it names characteristics or levels that the cells lack.
        """
        level = {name: self.level[:, k] for k, name in enumerate(self.characteristics)}
        return inside(level, self.characteristics, domain, len(self.count))

    def residents(self, domain: Mapping[str, Sequence[str]] | None = None) -> Floats:
        """Return residents of a domain, or all, per area, shape (areas,).

        Raises
        ------
        DataError or ProblemsError
            As `inside`.
        """
        return np.bincount(self.area, self.count * self.inside(domain or {}), len(self.areas.codes)).astype(float)

    def select(self, domain: Mapping[str, Sequence[str]]) -> Cells:
        """Return the cells of a domain; levels keep their numbers.

        Raises
        ------
        DataError or ProblemsError
            As `inside`.
        """
        kept = self.inside(domain)
        return replace(self, area=self.area[kept], level=self.level[kept], count=self.count[kept])

    def tables(
        self,
        rng: np.random.Generator,
        n: int,
        noise: Literal["multinomial", "rounding"] | None = None,
        *,
        rounding: float = 2.5,
        secret: float = 0.0,
    ) -> tuple[Cells, ...]:
        """Return cells with counts as they may really be.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            How many tables; one per 50 draws is enough.
        noise : {"multinomial", "rounding"}, optional
            Of each area's cells given its total, or of its published margins; by default the latter where the cells
            were made from margins.
        rounding : float
            Largest difference by rounding of a margin: 2.5 where it is to fives.
        secret : float
            Margins below it are hidden: anything up to it.

        Returns
        -------
        tuple of Cells
            n of them, as a model of persons takes them.

        Raises
        ------
        ModelError
            If there is no such noise.
        DataError or ProblemsError
            If n is below 1, or rounding or secrecy below 0 or no number.
        """
        check_kinds(rng=(rng, np.random.Generator), n=(n, int), rounding=(rounding, float), secret=(secret, float))
        problems = Problems()
        for what, value, least in (("n", n, 1), ("rounding", rounding, 0), ("secret", secret, 0)):
            if not least <= value < np.inf:
                problems.add(f"`{what}` of tables is impossible", f"{value}", f"{least} or more", f"correct `{what}`")
        problems.raise_if_any()
        noise = noise or ("rounding" if self.margins else "multinomial")
        if noise == "rounding":
            return tuple(replace(self, count=self._rounded_otherwise(rng, rounding, secret)) for _ in range(n))
        if noise != "multinomial":
            raise ModelError("there is no such noise", repr(noise), "multinomial or rounding", "name one of these")
        total = self.residents()
        persons = np.round(total).astype(np.int64)
        place = np.arange(len(self.area)) - np.searchsorted(self.area, self.area)  # within its area
        share = np.zeros((len(total), int(place.max(initial=0)) + 1))
        share[self.area, place] = self.count / np.where(total > 0, total, 1.0)[self.area]
        share[total == 0, 0] = 1.0
        drawn = rng.multinomial(persons, share, (n, len(total)))[:, self.area, place]
        each = np.divide(total, persons, out=np.zeros(len(total)), where=persons > 0)[self.area]
        return tuple(replace(self, count=counts * each) for counts in drawn)

    def _rounded_otherwise(self, rng: np.random.Generator, rounding: float, secret: float) -> Floats:
        """Margins moved within their rounding, brought to one total per area, and cells fitted to them."""
        if not rounding and not secret:
            return self.count.copy()
        areas, old, targets = len(self.areas.codes), self.residents(), []
        total = np.where(old > 0, np.maximum(old + rng.uniform(-rounding, rounding, areas), old / 2), 0.0)
        for k, (name, levels) in enumerate(self.characteristics.items()):
            group = self.area * len(levels) + self.level[:, k]
            margin = np.bincount(group, self.count, areas * len(levels))
            moved = np.maximum(margin + rng.uniform(-rounding, rounding, len(margin)), 0.0)
            moved = np.where(margin < secret, rng.uniform(0, max(secret, 1e-9), len(margin)), moved)
            moved = np.where(margin > 0, np.maximum(moved, margin / 100), 0.0).reshape(areas, -1)
            now = moved.sum(axis=1)
            moved *= np.divide(total, now, out=np.zeros(areas), where=now > 0)[:, None]
            targets.append(ipf.Margin(name, group, moved.ravel(), np.arange(len(margin)) // len(levels)))
        return ipf.fitted(self.count, targets, list(map(str, self.areas.codes)), 1e-4, most=50, strict=False)

    def whole(self, rng: np.random.Generator) -> Cells:
        """Return cells with whole numbers of residents, at random.

        Every area's total, and its number of residents per level of each characteristic, differ by less than 1 (where
        structural zeros allow no such table that was found, a note counts the areas).

        Raises
        ------
        DataError
            If there are more combinations than can be held.
        """
        check_kinds(rng=(rng, np.random.Generator))
        check_combinations(len(self.areas.codes), self.characteristics, HELD)
        sizes = list(map(len, self.characteristics.values()))
        count, failed = ipf.whole(self.count, self.area, self.level, sizes, len(self.areas.codes), rng)
        note = Note(
            "margins of {n} areas differ by 1 or more after rounding ({codes})",
            "de randtotalen van {n} gebieden wijken na het afronden 1 of meer af ({codes})",
            n=len(failed), codes=list(self.areas.codes[failed]),
        )  # fmt: skip
        return replace(self, count=count.astype(float), notes=(*self.notes, note) if len(failed) else self.notes)

    def __repr__(self) -> str:
        each = shown((f"{name} ({len(levels)})" for name, levels in self.characteristics.items()), 6)
        areas = f"{len(np.unique(self.area))} of {len(self.areas.codes)} {self.areas.noun}"
        return f"Cells of {areas}: {len(self.count)} cells of {each}, {self.count.sum():.0f} residents"


def inside(
    level: Mapping[str, Ints],
    characteristics: Mapping[str, tuple[str, ...]],
    domain: Mapping[str, Sequence[str]],
    n: int,
) -> np.ndarray:
    """Return which of n cells are of a domain; collect every characteristic and level that there is not."""
    check_kinds(domain=(domain, Mapping))
    problems, kept = Problems(), np.ones(n, dtype=bool)
    for name, wanted in domain.items():
        if name not in level:
            problems.add("the cells have no such characteristic", cut(name), shown(level), "choose one of these")
            continue
        if not pd.api.types.is_list_like(wanted) and not isinstance(wanted, str):
            problems.add(f"levels of {name} are no list", cut(repr(wanted)), "a list of names", "name them in a list")
            continue
        known, named = characteristics[name], (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if absent := [label for label in named if label not in known]:
            problems.add(f"the cells have no such level of {name}", shown(absent), shown(known, 10), "name these")
            continue
        kept &= np.isin(level[name], [known.index(label) for label in named])
    problems.raise_if_any()
    return kept
