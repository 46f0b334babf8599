"""Whether respondents and their weights can be what they say, each check one function in a table.

A check returns None where all is well, a note on what is strange but may be so, or an alarm, which the gate hears, on
what is hardly what it is taken for. What is wrong with weights is wrong with every estimate, and no fit shows it.
`FILE` looks at the rows of one file, `PLACE` at weights beside the residents whom they stand for. Weights with a mean
about 1 are relative: only what they say of one gemeente beside another can be seen. Weights of a participatory source
stand for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from filecmp import cmp
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.notes import Alarm, Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.survey.scales import Scores

FEW = 10  # respondents: of fewer, patterns are chance
LARGEST = 0.25, 10  # of the sum of the weights, and times their mean
ITEMS = 5  # answered: of fewer, people agree by chance
PERFECT = 0.9999  # correlation
REPEATED = 0.25  # of the rows repeat another one; of a file that is in itself twice, half
RELATIVE = (0.5, 2.0)  # mean: about 1, also where rows were dropped afterwards; of a sample of half of all it is 2
TOTAL = (0.4, 1.5)  # weights over residents: a survey of adults or households has less, never much more
UNEVEN = 2.0  # factor between gemeenten or strata
HOUSEHOLD = re.compile(r"huishoud|household|adres|^hh_?id$", re.IGNORECASE)
LARGE_HOUSEHOLD = 10  # respondents per value of such a column
TOGETHER = 0.1  # of the respondents share theirs
ENOUGH = 50.0  # effective respondents: the standard error of a sum of weights is then 14%


@dataclass(frozen=True)
class Rows:
    """Respondents as they were read.

    `population` is of the stratum of each respondent, where it is a number of persons; `id` where it is a number;
    `unused` are the columns that nobody named.
    """

    file: str
    level: str
    area: pd.Series
    weight: Floats
    stratum: pd.Series
    population: Floats | None
    id: Floats | None
    answers: pd.DataFrame
    unused: pd.DataFrame

    @property
    def varied(self) -> bool:
        """Whether there are enough weights, and different ones, to see a pattern in them."""
        return len(self.weight) >= FEW and bool(np.ptp(self.weight) > 0)


def spread_out(r: Rows) -> Note | None:
    """Respondents live in more than one place."""
    if len(r.area) < FEW or r.area.nunique() > 1:
        return None
    return Note(
        "{file}: all {n} respondents live in one {level} ({code})",
        "{file}: alle {n} respondenten wonen in één {level} ({code})",
        file=r.file, n=len(r.area), level=r.level, code=r.area.iloc[0],
    )  # fmt: skip


def shared(r: Rows) -> Note | None:
    """No respondent stands for a large part of all."""
    share, (quarter, times) = r.weight.max() / r.weight.sum(), LARGEST
    if share <= max(quarter, times / len(r.weight)):
        return None
    return Note(
        "{file}: one weight ({weight:g}) is {share:.0%} of the sum of {n} weights",
        "{file}: één gewicht ({weight:g}) is {share:.0%} van de som van {n} gewichten",
        file=r.file, weight=r.weight.max(), share=share, n=len(r.weight),
    )  # fmt: skip


def not_counted(r: Rows) -> Note | None:
    """Weights are no numbers of rows or persons."""
    order = np.sort(r.weight)
    if len(order) < FEW or not (np.diff(order) == 1).all() or not (order == order.round()).all():
        return None
    return Alarm(
        "{file}: the weights are the whole numbers {first:g} to {last:g}, each once: is it another column?",
        "{file}: de gewichten zijn de hele getallen {first:g} tot en met {last:g}, elk één keer: is het een andere "
        "kolom?",
        file=r.file, first=order[0], last=order[-1],
    )  # fmt: skip


def not_a_number(r: Rows) -> Note | None:
    """Weights do not follow the number of the row, or of the respondent."""
    if not r.varied:
        return None
    row, person = Note("the number of the row", "het nummer van de rij"), Note("the identifier", "het respondentnummer")
    for other, name in ((np.arange(len(r.weight)), row), (r.id, person)):
        if other is None or not np.ptp(other) > 0:
            continue
        if abs(np.corrcoef(r.weight, other)[0, 1]) > PERFECT:
            return Alarm(
                "{file}: the weights follow {name} perfectly: is it another column?",
                "{file}: de gewichten volgen precies {name}: is het een andere kolom?",
                file=r.file, name=name,
            )  # fmt: skip
    return None


def once(r: Rows) -> Note | None:
    """Rows do not recur with all their answers: the file is not in itself twice."""
    rows = r.answers.assign(area_=r.area, weight_=r.weight)[r.answers.notna().sum(axis=1) >= ITEMS]
    again = int(rows.duplicated().sum())
    if len(rows) < FEW or again < REPEATED * len(rows):
        return None
    return Alarm(
        "{file}: {again} of {n} rows repeat another one, answers included: is the file in it twice?",
        "{file}: {again} van de {n} rijen zijn gelijk aan een andere rij, ook in de antwoorden: staat het bestand er "
        "twee keer in?",
        file=r.file, again=again, n=len(r.area),
    )  # fmt: skip


def in_strata(r: Rows) -> Note | None:
    """Weights of a stratum sum to its population, where that is known in persons, or are relative to it."""
    if r.population is None:
        return None
    rows = pd.DataFrame({"stratum": r.stratum, "weight": r.weight, "population": r.population})
    sums = rows.groupby("stratum").agg(weight=("weight", "sum"), n=("weight", "size"), of=("population", "first"))
    sums = sums[sums["n"] >= FEW]
    return _uneven(r.file, "strata", sums["weight"] / sums["of"])


def one_by_one(rows: Rows) -> Note | None:
    """Respondents do not share a household that nobody told of."""
    for name in (name for name in rows.unused if HOUSEHOLD.search(str(name))):
        column = rows.unused[name]
        known = column.notna()
        if known.sum() < FEW or column.nunique() < known.sum() / LARGE_HOUSEHOLD:
            continue  # a size or a kind of household, not which one
        together = pd.DataFrame({"area": rows.area, "household": column})[known].duplicated(keep=False)
        if (share := float(together.mean())) >= TOGETHER:
            return Note(
                "{file}: {share}% of the respondents share a value of {column} with another one of their area, and are "
                'taken to have come alone: if these are households, give `cluster = "{column}"`, or intervals are too '
                "narrow",
                "{file}: {share}% van de respondenten deelt een waarde van {column} met een ander uit het gebied, en "
                'geldt toch als los getrokken: zijn dit huishoudens, geef dan `cluster = "{column}"`, anders zijn de '
                "marges te smal",
                file=rows.file, share=round(100 * share), column=str(name),
            )  # fmt: skip
    return None


FILE: tuple[Callable[[Rows], Note | None], ...] = (
    spread_out, shared, not_counted, not_a_number, once, in_strata, one_by_one,
)  # fmt: skip


def in_total(scores: Scores, areas: Areas) -> Note | None:
    """Weights sum to the residents whom they stand for, or have mean 1."""
    w, least, most = scores.frame["weight"].to_numpy(dtype=float), *TOTAL
    level = areas.parent(areas.base)
    sampled = set(scores.frame["area_code"].map(areas.parents(level, scores.level)))
    here = areas.population[areas.parents(level).isin(sampled)].sum()
    everybody = areas.population.sum()
    few = w.sum() ** 2 / (w**2).sum() < ENOUGH
    if few or RELATIVE[0] <= w.mean() <= RELATIVE[1] or least * here <= w.sum() <= most * everybody:
        return None
    weights = Note(
        "{source}: the weights sum to {sum:,.6g} and have mean {mean:.3g}",
        "{source}: de gewichten zijn samen {sum:,.6g} en gemiddeld {mean:.3g}",
        source=scores.source, sum=w.sum(), mean=w.mean(),
    )  # fmt: skip
    if w.max() <= 1 and least * here <= (1 / w).sum() <= most * everybody:
        return Alarm(
            "{weights}; their inverses sum to {sum:,.6g}, near the residents: are they sampling fractions?",
            "{weights}; 1 gedeeld door elk gewicht is samen {sum:,.6g}, dicht bij het aantal inwoners: zijn het "
            "steekproeffracties?",
            weights=weights, sum=(1 / w).sum(),
        )  # fmt: skip
    return Alarm(
        "{weights}: neither near the {here:,.0f} residents where respondents live, nor relative",
        "{weights}: dat past niet bij de {here:,.0f} inwoners van waar respondenten wonen, en ook niet bij relatieve "
        "gewichten",
        weights=weights, here=here,
    )  # fmt: skip


def in_gemeenten(scores: Scores, areas: Areas) -> Note | None:
    """Weights per resident are alike from gemeente to gemeente, where there are respondents enough."""
    level = areas.parent(areas.base)
    frame = scores.frame.assign(group=scores.frame["area_code"].map(areas.parents(level, scores.level)))
    residents = areas.residents(level)
    frame["inverse"], frame["square"] = 1 / frame["weight"], frame["weight"] ** 2
    sums = frame.groupby("group")[["weight", "inverse", "square"]].sum()
    sums = sums[(sums["weight"] ** 2 / sums["square"] >= ENOUGH) & (residents.reindex(sums.index) > 0)]
    per_resident = sums[["weight", "inverse"]].div(residents.reindex(sums.index), axis=0)
    uneven = _uneven(scores.source, areas.system.noun(level), per_resident["weight"])
    if uneven and len(per_resident) > 1 and not _uneven("", "", per_resident["inverse"]):
        return Alarm(
            "{uneven}; their inverses are even: are they sampling fractions?",
            "{uneven}; 1 gedeeld door het gewicht verschilt niet zo veel: zijn het steekproeffracties?",
            uneven=uneven,
        )
    return uneven


def nobody(scores: Scores, area: pd.Series, areas: Areas) -> list[Note]:
    """A note on respondents of areas without residents, who are left out."""
    note = Note(
        "{n} respondents of {source} left out: {areas} without residents ({codes})",
        "{n} respondenten van {source} weggelaten: {areas} zonder inwoners ({codes})",
        n=len(area), source=scores.source, areas=areas.system.noun(scores.level), codes=sorted(area.unique()),
    )  # fmt: skip
    return [note] if len(area) else []


def thin(scores: Scores, area: pd.Series, areas: Areas) -> list[Note]:
    """A note on gemeenten with one respondent: their estimate has no standard error of its own."""
    level = areas.parent(areas.base)
    count = area.map(areas.parents(level, scores.level)).value_counts()
    alone = sorted(count.index[count == 1])
    note = Note(
        "{source} has one respondent in {n} {areas} ({codes})",
        "{source} heeft in {n} {areas} maar één respondent ({codes})",
        source=scores.source, n=len(alone), areas=areas.system.noun(level), codes=alone,
    )  # fmt: skip
    return [note] if alone else []


def partial(scores: Scores, areas: Areas) -> list[Note]:
    """A note on respondents per wijk, of wijken of which the run holds a part."""
    count = int(scores.frame["area_code"].isin(areas.partial.get(scores.level, ())).sum())
    note = Note(
        "{n} respondents live in wijken of which the run holds a part, and stand for that part ({source})",
        "{n} respondenten wonen in wijken waarvan de run maar een deel bevat, en tellen voor dat deel ({source})",
        n=count, source=scores.source,
    )  # fmt: skip
    return [note] if count else []


def _uneven(source: str, what: str, ratio: pd.Series) -> Note | None:
    """Which ratios differ from the middle one by a factor."""
    factor = ratio / ratio.median()
    odd = factor[(factor > UNEVEN) | (factor < 1 / UNEVEN)]
    if odd.empty:
        return None
    return Alarm(
        "{source}: weights per resident of {n} of {of} {what} are far from those elsewhere ({got})",
        "{source}: in {n} van de {of} {what} is het gewicht per inwoner heel anders dan elders ({got})",
        source=source, n=len(odd), of=len(ratio), what=what,
        got=[Note("{code} {x:.2g} times", "{code} {x:.2g} keer", code=code, x=times) for code, times in odd.items()],
    )  # fmt: skip


PLACE: tuple[Callable[[Scores, Areas], Note | None], ...] = (in_total, in_gemeenten)


def of_file(rows: Rows) -> list[Note]:
    """Return what is strange about the rows of a file."""
    return [note for check in FILE if (note := check(rows))]


def in_place(scores: Sequence[Scores], areas: Areas) -> list[Note]:
    """Return what is strange about weights beside residents, and about sources beside each other."""
    surveys = [source for source in scores if source.kind == "survey" and len(source.frame) >= FEW]
    notes = [check(source, areas) for source in surveys for check in PLACE]
    return [note for note in (*notes, *(same_people(*pair) for pair in combinations(scores, 2))) if note]


def same_people(first: Scores, second: Scores) -> Note | None:
    """Two sources have different respondents."""
    key = ["area_code", "weight"]
    one, other = (source.frame[key].sort_values(key, ignore_index=True) for source in (first, second))
    if len(one) != len(other) or len(one) < FEW or one["weight"].nunique() == 1 or not one.equals(other):
        return None
    return same(first.source, second.source)


def same_files(files: Mapping[str, Path]) -> list[Note]:
    """Return what is strange about the files of sources: two with the same content."""
    pairs = combinations(files.items(), 2)
    return [same(one, other) for (one, first), (other, second) in pairs if cmp(first, second, shallow=False)]


def same(first: str, second: str) -> Note:
    """The note on two sources that are one."""
    return Alarm(
        "{first} and {second} have the same respondents, and are taken for answers of different people",
        "{first} en {second} hebben dezelfde respondenten, en tellen als antwoorden van verschillende mensen",
        first=first, second=second,
    )  # fmt: skip
