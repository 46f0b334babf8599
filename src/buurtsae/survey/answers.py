r"""Answers: respondents collapsed to cells, all that a model of persons sees of them.

The likelihood depends on the area and the characteristics of a respondent only, so that those of one cell c are one row

    share:  n_c and the number of yes;   ordinal:  n_c and a count per category;   score:  n_c, sum y, sum y^2.

With weights, effective numbers by Kish within the cell: n_c := (sum w)^2 / sum w^2, y_c := n_c sum w y / sum w, so that
what weights differ between cells is left to the terms of the characteristics they were made of.

References
----------
Kish, L. (1965). Survey Sampling. Ghitza, Y. and Gelman, A. (2013). Deep interactions with MRP. AJPS 57.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.areas.columns import numbers
from buurtsae.errors import Problems, check_kinds, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.bins import binned
from buurtsae.survey.cells import Cells
from buurtsae.survey.levels import areas_of, check_combinations
from buurtsae.survey.scales import Scores
from buurtsae.tables import plain

Kind = Literal["share", "ordinal", "score"]


@dataclass(frozen=True, repr=False)
class Answers:
    """The answers to one question, per cell that has respondents.

    Attributes
    ----------
    measure : str
    outcome : {"share", "ordinal", "score"}
    areas : Areas
    characteristics : mapping of str to tuple of str
        As of the cells, and clusters.
    area : ndarray, shape (K,)
        Place of the area of each row among the areas, ascending.
    level : ndarray, shape (K, C)
        Place of its level of each characteristic.
    size : ndarray, shape (K,)
        How many answered, or their effective number.
    y : ndarray, shape (K,) or (K, categories) or (K, 2)
        Yes; answers per category; or sum and sum of squares.
    respondents : ndarray, shape (K,)
        How many answered.
    weight : ndarray, shape (K,), or None
        Their mean weight, where they have weights.
    categories : tuple of float
        The answers of an ordinal outcome, ascending.
    notes : tuple of Note
        Who was left out, and clusters of the design that are not named.
    scheme : tuple of str
        Variables that the weights were made of.

    Examples
    --------
    >>> import pandas as pd
    >>> from buurtsae import Areas, Cells
    >>> areas = Areas.from_frame(pd.DataFrame({"code": ["a", "b"], "population": [30, 20]}), code="code")
    >>> table = pd.DataFrame({"code": list("aabb"), "age": ["18-64", "65+"] * 2, "aantal": [20, 10, 15, 5]})
    >>> cells = Cells.from_frame(table, areas, area="code")
    >>> ages = ["65+", "65+", "18-64", "65+"]
    >>> persons = pd.DataFrame({"code": list("aaab"), "age": ages, "lonely": [100, 0, 0, 100]})
    >>> answers = Answers.of(persons, "lonely", cells, area="code")
    >>> answers
    Answers about lonely: 4 respondents in 2 of 2 areas, 3 cells of age
    >>> answers.size.tolist(), answers.y.tolist()
    ([1.0, 2.0, 1.0], [0.0, 1.0, 1.0])
    """

    measure: str
    outcome: Kind
    areas: Areas
    characteristics: Mapping[str, tuple[str, ...]]
    area: Ints
    level: Ints
    size: Floats
    y: Floats
    respondents: Floats
    weight: Floats | None = None
    categories: tuple[float, ...] = ()
    notes: tuple[Note, ...] = ()
    scheme: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        source: pd.DataFrame | Scores,
        measure: str,
        cells: Cells,
        *,
        outcome: Kind = "share",
        area: str = "area_code",
        characteristics: Mapping[str, str] | None = None,
        weight: str | None = None,
        effective: bool | str = False,
        number: str | None = None,
        categories: Sequence[float] | None = None,
        scheme: Sequence[str] = (),
        clusters: Sequence[str] = (),
    ) -> Answers:
        """Collapse respondents to cells.

        Parameters
        ----------
        source : DataFrame or Scores
            A row per respondent, or per group of `number` respondents, with their characteristics.
        measure : str
            Column of the answers. A share is 0 or 1, or 0 or 100, per respondent; of groups, between these. Who did not
            answer is left out.
        cells : Cells
            What the answers are to be poststratified on.
        outcome : {"share", "ordinal", "score"}
        area : str
            Column of the area's code.
        characteristics : mapping of str to str, optional
            Column of a characteristic of the cells that has another name here.
        weight : str, optional
            Column of weights.
        effective : bool or str
            Whether sizes are effective numbers, by the weights; or the column of groups that has them.
        number : str, optional
            Column with the number of respondents of each row of a share; by default 1.
        categories : sequence of float, optional
            Answers of an ordinal outcome; by default those that somebody gave.
        scheme : sequence of str
            Variables that the weights were made of: a note of a fit names those that are no term.
        clusters : sequence of str
            Columns of whom respondents belong to, such as households or interviewers: characteristics of the answers
            only, for a term `Cluster`.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong, at once: absent columns, unknown areas, missing characteristics, levels that the
            cells lack, more respondents than residents, weights not above zero, one answer only, categories that nobody
            chose, shares outside 0-100, an effective number above the number, clusters that are missing.
        """
        optional = str, type(None)
        check_kinds(
            source=(source, (pd.DataFrame, Scores)), measure=(measure, str), cells=(cells, Cells),
            outcome=(outcome, str), area=(area, str), number=(number, optional), weight=(weight, optional),
            characteristics=(characteristics, (Mapping, type(None))), effective=(effective, (bool, str)),
            categories=(categories, (Sequence, np.ndarray, type(None))), scheme=(scheme, Sequence),
            clusters=(clusters, Sequence),
        )  # fmt: skip
        scheme, clusters = (
            (names,) if isinstance(names, str) else tuple(map(str, names)) for names in (scheme, clusters)
        )
        problems, frame = Problems(), source.frame if isinstance(source, Scores) else source
        column = {name: str((characteristics or {}).get(name, name)) for name in cells.characteristics}
        of_groups = effective if isinstance(effective, str) else None
        asked = [area, measure, *column.values(), *clusters]
        asked += [name for name in (weight, number, of_groups) if name is not None]
        frame = plain(frame.loc[:, [str(name).strip() in asked for name in frame]], "the table of answers")
        if outcome not in get_args(Kind):
            problems.add("there is no such outcome", cut(repr(outcome)), shown(get_args(Kind)), "name one of these")
        if both := [name for name in clusters if name in cells.characteristics]:
            hint = "leave it out of `clusters`: a term of the model is about either"
            problems.add("clusters are characteristics of the cells", shown(both), "others", hint)
        if twice := sorted({name for name in clusters if clusters.count(name) > 1}):
            problems.add("clusters are named twice", shown(twice), "each once", "keep one")
        if absent := [name for name in dict.fromkeys(asked) if name not in frame]:
            there = source.frame if isinstance(source, Scores) else source
            problems.add("answers lack columns", shown(absent), shown(there.columns, 10), "correct the names")
        if unknown := sorted(set(characteristics or {}) - set(cells.characteristics)):
            known = shown(cells.characteristics)
            problems.add("the cells lack characteristics", shown(unknown), known, "correct `characteristics`")
        if (effective is True and weight is None) or (number is not None and outcome != "share"):
            got = "no weights" if weight is None else f"groups, of a {outcome}"
            hint = "name `weight`; give ordinal answers and scores per respondent"
            problems.add("answers cannot be collapsed so", got, "weights for effective numbers, groups of shares", hint)
        problems.raise_if_any()
        answer = numbers(frame[measure], f"{cut(measure)} is no number", problems)
        categories = _named(categories, problems)
        problems.raise_if_any()
        assert answer is not None
        kept = answer.notna().to_numpy()
        notes = _left_out(kept)
        if isinstance(source, Scores) and not clusters:
            notes += _unnamed(source, kept)
        frame, y = frame[kept], answer[kept].to_numpy(dtype=float)
        size, n = (
            _positive(frame, name, what, problems) for name, what in ((of_groups, "numbers"), (number, "numbers"))
        )
        w = _positive(frame, weight, "weights", problems)
        if of_groups is not None and (above := size > n).any():
            what = "effective numbers are above the numbers of respondents"
            worst = int(np.argmax(size - n))
            got = f"{int(above.sum())} of {len(n)} rows, such as {size[worst]:g} of {n[worst]:g}"
            problems.add(what, got, "at most the number", "are the columns exchanged, or is `number` not named?")
        place = areas_of(frame[area], cells.areas, "respondents live in", problems)
        names, columns = dict(cells.characteristics), [_level(frame, column[n], n, cells, problems) for n in column]
        for name in clusters:
            names[name], of = _cluster(frame[name], name, problems)
            columns.append(of)
        level = np.column_stack(columns)
        values = _values(y, measure, outcome, number is not None, categories, problems)
        residents = cells.residents()
        living = np.bincount(place[place >= 0], n[place >= 0], len(residents))
        if (crowded := living > np.ceil(residents - 1e-9)).any():
            what = f"{int(crowded.sum())} areas have more respondents than residents in the cells"
            each = (f"{cells.areas.codes[k]}: {living[k]:g} of {residents[k]:g}" for k in np.flatnonzero(crowded))
            problems.add(what, shown(each), "at most all residents", "correct the area codes or the cells")
        problems.raise_if_any()
        check_combinations(len(residents), names)
        sizes = (len(residents), *map(len, names.values()))
        key, row = np.unique(np.ravel_multi_index((place, *level.T), sizes), return_inverse=True)
        at, *rest = np.unravel_index(key, sizes)

        def total(values: Floats) -> Floats:
            return np.bincount(row, values, len(key)).astype(float)

        people, weights = total(n), total(w * n)
        shared = w * n if effective is True else (size if of_groups else n)
        effective_size = weights**2 / total(w**2 * n) if effective is True else total(shared)
        scale = effective_size / total(shared)
        rows = np.column_stack([total(shared * values[:, k]) * scale for k in range(values.shape[1])])
        counted = np.minimum(rows[:, 0], effective_size) if outcome == "share" else rows  # by rounding a little above
        levels = np.column_stack(rest)
        notes += _empty(cells, np.column_stack([at, levels[:, : len(column)]]), people)
        of_cells = {there: name for name, there in column.items()}  # as the cells call it
        scheme = tuple(of_cells.get(name, name) for name in scheme if name != area)
        chosen = _categories(y, categories) if outcome == "ordinal" else ()
        mean = None if weight is None else weights / people
        about = measure, outcome, cells.areas, names
        return cls(*about, at, levels, effective_size, counted, people, mean, chosen, tuple(notes), scheme)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per cell: `area_code`, the levels in words, `n_respondents`, `size`, and the columns of y."""
        columns = {
            name: pd.Categorical.from_codes(self.level[:, k], list(levels), ordered=True)
            for k, (name, levels) in enumerate(self.characteristics.items())
        }
        names = {
            "share": ["y"],
            "ordinal": [f"y_{c:g}" for c in self.categories],
            "score": ["sum", "sum_of_squares"],
        }
        counted = self.y.reshape(len(self.size), -1)
        answers = {name: counted[:, k] for k, name in enumerate(names[self.outcome])}
        about = {"area_code": self.areas.codes[self.area], **columns, "n_respondents": self.respondents}
        return pd.DataFrame({**about, "size": self.size, **answers})

    def __repr__(self) -> str:
        where = f"{len(np.unique(self.area))} of {len(self.areas.codes)} {self.areas.noun}"
        told = f"{self.respondents.sum():.0f} respondents in {where}, {len(self.size)} cells of"
        return f"Answers about {self.measure}: {told} {shown(self.characteristics, 6)}"


def _left_out(kept: np.ndarray) -> list[Note]:
    text = "{n} of {of} respondents did not answer: left out", "{n} van {of} respondenten antwoordden niet: weggelaten"
    return [] if kept.all() else [Note(*text, n=int((~kept).sum()), of=len(kept))]


def _unnamed(scores: Scores, kept: np.ndarray) -> list[Note]:
    """A note on clusters of the design that are not named, where some have two respondents or more."""
    design = scores.survey_design
    counts = pd.Series(dtype=int) if design is None or not design.clusters else (
        scores.frame.loc[kept, ["stratum", design.clusters[0]]].value_counts()
    )  # fmt: skip
    if not (counts > 1).any():
        return []
    return [Note(
        "the design has {n} clusters, {each:.1f} respondents in each, that `clusters` does not name: intervals are too "
        "narrow where they answer alike; name them, and add a term Cluster",
        "de steekproef heeft {n} clusters, {each:.1f} respondenten in elk, die `clusters` niet noemt: intervallen zijn "
        "te smal als zij hetzelfde antwoorden; noem ze, en voeg een effect Cluster toe",
        n=len(counts), each=float(counts.mean()),
    )]  # fmt: skip


def _positive(frame: pd.DataFrame, name: str | None, what: str, problems: Problems) -> Floats:
    """A column of numbers above zero; ones where there is none."""
    ones = np.ones(len(frame))
    if name is None or (read := numbers(frame[name], f"{cut(name)} is no number", problems)) is None:
        return ones
    if (bad := ~(read > 0)).any():
        missing, lowest = int(read.isna().sum()), read[bad].min()
        got = f"{int(bad.sum())} of {len(read)} rows ({missing} missing, lowest {lowest:g})"
        problems.add(f"{what} in {cut(name)} are not above zero", got, "> 0", "correct or drop these rows")
        return ones
    return read.to_numpy(dtype=float)


def _level(frame: pd.DataFrame, column: str, name: str, cells: Cells, problems: Problems) -> Ints:
    """Place of each respondent's level among those of the cells; equal by name, whatever their order."""
    values, levels = frame[column], cells.characteristics[name]
    text = clean(values)
    missing = _missing(text, name, "impute it, drop these rows, or give cells a level for it", problems)
    if name in cells.bins:
        place = binned(values, cells.bins[name])
    else:
        found = pd.Index(levels).get_indexer(text.fillna("").astype(object))
        place = np.asarray(found, dtype=np.int64)
    if (lost := (place < 0) & ~missing).any():
        counts = text[lost].value_counts()
        got = shown(f"{level} ({n} respondents)" for level, n in counts.items())
        hint = "name levels alike in both, or add the level to the cells"
        problems.add(f"the cells lack levels of {name} that respondents have", got, shown(levels, 10), hint)
    return place


def _missing(text: pd.Series, name: str, hint: str, problems: Problems) -> np.ndarray:
    """Who has no value of a characteristic."""
    missing = (text.isna() | (text == "")).to_numpy(dtype=bool)
    if missing.any():
        got = f"{int(missing.sum())} of {len(text)} respondents"
        problems.add(f"characteristic {name} is missing", got, "a value for each", hint)
    return missing


def _cluster(column: pd.Series, name: str, problems: Problems) -> tuple[tuple[str, ...], Ints]:
    """The clusters that there are, and that of each respondent."""
    text = clean(column)
    _missing(text, name, "give who belongs to nobody a name of their own, or drop these rows", problems)
    names, place = np.unique(text.fillna("").to_numpy(dtype=object), return_inverse=True)
    return tuple(names), place


def _named(categories: Sequence[float] | None, problems: Problems) -> list[float] | None:
    """Categories as they are named; record what are no numbers that differ."""
    if categories is None:
        return None
    column = pd.Series(list(categories), dtype=object)
    if (read := numbers(column, "categories are no numbers", problems)) is None:
        return None
    if (bad := read.isna() | read.duplicated()).any():
        got = shown(map(repr, column[bad]))
        problems.add("categories are missing or occur twice", got, "numbers that differ", "correct `categories`")
    return list(read)


def _categories(y: Floats, categories: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(sorted(map(float, np.unique(y) if categories is None else categories)))


def _values(
    y: Floats, measure: str, outcome: Kind, groups: bool, categories: Sequence[float] | None, problems: Problems
) -> Floats:
    """What is added up over respondents, (n, columns); record answers that say nothing or cannot be."""
    if len(values := np.unique(y)) < 2:
        got = f"{len(y)} times {values[0]:g}" if len(values) else "no answers"
        what, hint = f"{measure} has one answer only", "nothing is to be learnt of it: check the codes, or leave it out"
        problems.add(what, got, "two answers or more", hint)
        return np.zeros((len(y), 3))
    if outcome == "score":
        return np.column_stack([y, y**2])
    if outcome == "ordinal":
        chosen = np.array(_categories(y, categories))
        if len(unused := chosen[~np.isin(chosen, values)]):
            what, got = f"{measure} has categories that nobody chose", f"{shown(f'{c:g}' for c in unused)}: 0 times"
            problems.add(what, got, "an answer in each", "join each with one beside it")
        if (strange := ~np.isin(y, chosen)).any():
            got = f"{shown(f'{c:g}' for c in np.unique(y[strange]))}: {int(strange.sum())} times"
            problems.add(
                f"{measure} has answers that are no category", got, shown(f"{c:g}" for c in chosen), "name them"
            )
        return (y[:, None] == chosen).astype(float)
    top = 1.0 if y.max() <= 1 else 100.0
    if (outside := (y < 0) | (y > top)).any():
        got = f"{int(outside.sum())} of {len(y)}, from {y[outside].min():g} to {y[outside].max():g}"
        problems.add(f"{measure}: shares lie outside 0-100", got, "0-100, or 0-1", "correct them")
    elif not groups and (between := (y > 0) & (y < top)).any():
        got = f"{int(between.sum())} of {len(y)}, such as {y[between][0]:g}"
        hint = "give a share per group with `number`, or say which answers count"
        problems.add(f"{measure}: a respondent's share is neither all nor nothing", got, f"0 or {top:g}", hint)
    return (y / top)[:, None]


def _empty(cells: Cells, place: Ints, people: Floats) -> list[Note]:
    """A note on respondents in cells where nobody lives; place is the area and the levels of each row."""
    sizes = len(cells.areas.codes), *map(len, cells.characteristics.values())
    live = np.ravel_multi_index((cells.area, *cells.level.T), sizes)[cells.count > 0]
    n = float(people[~np.isin(np.ravel_multi_index(tuple(place.T), sizes), live)].sum())
    text = (
        "{n:g} respondents are in cells without residents: they inform the model, and count for nobody",
        "{n:g} respondenten zitten in cellen zonder inwoners: het model leert ervan, ze staan voor niemand",
    )
    return [Note(*text, n=n)] if n else []
