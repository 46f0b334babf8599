"""What is to be said of a design: coefficients that are many, parts of the graph where few or none were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from buurtsae.model.parts import OPEN, PINNED, few_in_part, silent_part
from buurtsae.notes import Note

if TYPE_CHECKING:
    from buurtsae.model.design import Design

HEARD = 20  # areas with direct estimates below which the prior of a part's level counts: docs/islands.md
EACH = 10  # areas with respondents per coefficient that is not shrunk: docs/covariates.md
TAILS = Note(
    "heavy tails are in the estimates; checks that leave data out, and what sources add, take the effects as normal",
    "de zware staarten zitten in de schattingen; toetsen die gegevens weglaten, en wat de bronnen toevoegen, nemen de "
    "effecten als normaal verdeeld",
)


def many(design: Design) -> list[Note]:
    """Whether coefficients are many beside the areas that tell them, and not shrunk."""
    columns, told = len(design.coefficients), int((design.sites.T @ design.observed.any(axis=(0, 2)) > 0).sum())
    if columns <= 10 or columns * EACH <= told or not told:
        return []
    return [
        Note(
            "the formula has {columns} columns for {areas} areas with respondents: estimates lie nearer to the "
            "truth when the data may shrink their coefficients, in themes (`ridge`)",
            "de formule heeft {columns} kolommen voor {areas} gebieden met respondenten: schattingen liggen "
            "dichter bij de waarheid als de gegevens de coëfficiënten mogen krimpen, in thema's (`ridge`)",
            columns=columns, areas=told,
        )
    ]  # fmt: skip


def silent(design: Design) -> list[Note]:
    """Connected parts of the graph that have no direct estimate of a sub-dimension, or few beside the others."""
    notes, seen = list[Note](), design.sites.T @ design.observed.any(axis=0) > 0
    asked = np.repeat([year in design.waves for year in design.years] or [True], len(design.measures))
    columns, seen = np.array(design.columns)[asked].tolist(), seen[:, asked]
    if not seen.any():  # of a year without a survey all parts are silent
        return []
    graphs = {id(term.neighbours): term.neighbours for term in design.model.terms if term.neighbours}
    for graph in graphs.values():
        pinned = all(term.pinned for term in design.model.terms if term.neighbours is graph)
        largest = graph.icar.size.argmax()
        for part in graph.icar.constrained:
            among = graph.icar.component == part
            size, codes = int(among.sum()), [area for area, inside in zip(design.areas, among, strict=True) if inside]
            heard, anything = int(seen[among].all(axis=1).sum()), seen[among].any(axis=0)
            if absent := [column for column, any_ in zip(columns, anything, strict=True) if not any_]:
                notes.append(silent_part(size, codes, absent, PINNED if pinned else OPEN))
            elif part != largest and heard < HEARD and not pinned:
                notes.append(few_in_part(size, codes, HEARD))
    return notes
