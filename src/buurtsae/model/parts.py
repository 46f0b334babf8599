"""Connected parts of a graph, of two areas or more, and who answered there: the level of a part rests on these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.areas.graph import Graph
from buurtsae.notes import Note
from buurtsae.survey.direct import DirectEstimates


@dataclass(frozen=True)
class Part:
    """A connected part of a graph.

    Attributes
    ----------
    areas : int
    first : str
        The first of their codes.
    heard : int
        Areas with an estimate of their own.
    respondents : int, optional
        Of all sources, each with those of the measure that most answered; a source that is known for a level above the
        areas counts where most of the residents are. Unknown of a table without numbers.
    """

    areas: int
    first: str
    heard: int
    respondents: int | None

    @property
    def words(self) -> Note:
        """The part in a line."""
        if self.respondents is None:
            people = Note("", "")
        else:
            people = Note(", {n:,} respondents", ", {n:,} respondenten", n=self.respondents)
        return Note(
            "connected part of {areas:,} areas ({first}, ...): {heard:,} with estimates{people}",
            "samenhangend deel van {areas:,} gebieden ({first}, ...): {heard:,} met schattingen{people}",
            areas=self.areas, first=self.first, heard=self.heard, people=people,
        )  # fmt: skip


def parts(graph: Graph, direct: DirectEstimates) -> list[Part]:
    """Return the connected parts of two areas or more, the largest first."""
    icar, areas = graph.icar, direct.areas
    if not icar.rank_deficiency:
        return []
    member = (icar.means != 0).T.astype(float)
    heard, respondents = np.zeros(len(areas.codes), dtype=bool), np.zeros(icar.rank_deficiency, dtype=np.int64)
    for source in direct.sources:
        labels, share = areas.aggregation(source.level)
        inside = (share @ member).toarray()[pd.Index(labels).get_indexer(source.codes)]
        most, n = inside.argmax(axis=1), source.respondents.max(axis=1)
        np.add.at(respondents, most[known := inside.any(axis=1)], n[known])
        heard |= areas.codes.isin(source.codes)
    found = [
        Part(int(size), str(areas.codes[among][0]), int(heard[among].sum()), int(n) if direct.counted else None)
        for among, size, n in zip(member.T.toarray() > 0, icar.size[icar.constrained], respondents, strict=True)
    ]
    return sorted(found, key=lambda part: (-part.areas, part.first))


OPEN = Note(
    "its level is that of the model, with the prior's uncertainty",
    "het niveau komt daar van het model, met de onzekerheid van de prior",
)
PINNED = Note(
    "its level is taken to be the mean of all others, as if that were known: intervals are too narrow there; set "
    "`levels` to true, or bridge it",
    "als niveau geldt daar het gemiddelde van alle andere, alsof dat bekend is: intervallen zijn er te smal; zet "
    "`levels` op true, of leg een brug",
)


def silent_part(size: int, codes: list[str], absent: list[str], level: Note) -> Note:
    """Return what to say of a part without direct estimates of some columns, and of its level."""
    return Note(
        "a part of the graph of {n} areas ({codes}) has no direct estimate of {measures}: {level}",
        "een los deel van de burengraaf, van {n} gebieden ({codes}), heeft geen directe schatting van {measures}: "
        "{level}",
        n=size, codes=codes, measures=absent, level=level,
    )  # fmt: skip


def few_in_part(size: int, codes: list[str], fewer: int) -> Note:
    """Return what to say of a part with few direct estimates, beside a larger one; how few is not for everybody."""
    return Note(
        "a part of the graph of {n} areas ({codes}) is apart from the others, and fewer than {fewer} of them have "
        "direct estimates: its level rests on these and on the prior of levels",
        "een deel van de burengraaf van {n} gebieden ({codes}) hangt niet met de andere samen, en minder dan {fewer} "
        "daarvan hebben directe schattingen: het niveau rust op die, en op de prior van niveaus",
        n=size, codes=codes, fewer=fewer,
    )  # fmt: skip
