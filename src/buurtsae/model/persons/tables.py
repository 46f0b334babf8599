"""Tables of persons in cells: an area and a level of each characteristic; residents counted, or answers collapsed.

Levels are equal by name: those of answers are laid on those of the population, whatever their order. A level that the
population lacks cannot be predicted for, and one that is silently left out makes wrong estimates: it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from buurtsae.areas.areas import Areas
from buurtsae.errors import Problems, cut, shown
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells

Levels = Mapping[str, tuple[str, ...]]
Domain = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Coded:
    """The levels of some cells, in the coding of the population.

    Attributes
    ----------
    area : ndarray of int, shape (M,)
    level : mapping of characteristic to ndarray of int, shape (M,)
    """

    area: Ints
    level: Mapping[str, Ints]

    @classmethod
    def of(cls, table: Cells) -> Coded:
        """Return those of a table in its own coding."""
        return cls(table.area, {name: table.level[:, k] for k, name in enumerate(table.characteristics)})

    def among(self, kept: Ints) -> Coded:
        """Return some of them."""
        return Coded(self.area[kept], {name: level[kept] for name, level in self.level.items()})


def check_table(what: str, table: Cells | Answers, areas: Areas, figures: Mapping[str, Floats]) -> None:
    """Refuse arrays of other shapes, types or places than those of rows of an area and a level of each characteristic.

    Raises
    ------
    DataError or ProblemsError
        All that is wrong with them.
    """
    problems, n, sizes = Problems(), len(table.area), [len(levels) for levels in table.characteristics.values()]
    if not table.areas.codes.equals(areas.codes):
        problems.add(f"{what} are of other areas than the cells", shown(table.areas.codes), shown(areas.codes),
                     "make both with the same areas")  # fmt: skip
    arrays = {"area": table.area, "level": table.level, **figures}
    shapes = {"area": (n,), "level": (n, len(sizes)), "y": (n, *np.shape(figures.get("y", 0))[1:])}
    for name, values in arrays.items():
        kinds = "iu" if name in ("area", "level") else "iuf"
        if np.shape(values) != (shape := shapes.get(name, (n,))) or values.dtype.kind not in kinds:
            got = f"{np.asarray(values).dtype} of shape {np.shape(values)}"
            expected = f"{'whole numbers' if kinds == 'iu' else 'numbers'} of shape {shape}"
            problems.add(f"`{name}` of {what} is of another kind", got, expected, f"take {type(table).__name__}")
        elif kinds == "iuf" and not np.isfinite(values).all():
            problems.add(f"`{name}` of {what} is missing", f"{int((~np.isfinite(values)).sum())} values", "numbers",
                         "leave these rows out")  # fmt: skip
    problems.raise_if_any()
    for name, at, size in (("areas", table.area, len(areas.codes)),
                           *((f"levels of {name}", table.level[:, k], sizes[k])
                             for k, name in enumerate(table.characteristics))):  # fmt: skip
        if n and not 0 <= at.min() <= at.max() < size:
            problems.add(f"{what} have other {name}", f"places {at.min()} to {at.max()}", f"0 to {size - 1}",
                         "make both with the same areas and levels")  # fmt: skip
    problems.raise_if_any()


def recoded(answers: Answers, population: Cells, own: Sequence[str], problems: Problems) -> Coded:
    """Return the answers' cells in the coding of the population, but for what is their `own`, such as clusters.

    Characteristics that the population lacks are left out; levels that it lacks are errors, with their respondents.
    """
    level = {}
    for k, (name, labels) in enumerate(answers.characteristics.items()):
        at = answers.level[:, k]
        if name in own:
            level[name] = at
        elif name in population.characteristics:
            known = {label: q for q, label in enumerate(population.characteristics[name])}
            place = np.array([known.get(label, -1) for label in labels], dtype=np.int64)
            count = np.bincount(at, answers.size, len(labels))
            absent = [(label, n) for label, n, q in zip(labels, count, place, strict=True) if q < 0 and n > 0]
            if lacking := [f"{cut(label)} ({n:g} respondents)" for label, n in absent]:
                problems.add(
                    f"the cells lack levels of {name} that were answered",
                    shown(lacking),
                    shown(population.characteristics[name], 10),
                    "give both the same levels: nothing can be predicted for residents who are not in the cells",
                )
            level[name] = place[at]
    return Coded(answers.area, level)
