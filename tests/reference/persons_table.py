"""What tests of persons against other packages share: tables of one cell per row, and the likelihood of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

import buurtsae as bs
from buurtsae.engines.persons import PersonMarginal
from buurtsae.engines.persons_fit import laid


@dataclass(frozen=True)
class Table:
    """Residents, and respondents among them."""

    cells: bs.Cells
    answers: bs.Answers

    @classmethod
    def of(cls, areas: Any, names: Any, area: np.ndarray, level: np.ndarray, count: Any, size: Any, y: Any) -> Table:
        """Residents and respondents alike; or more residents, whose rows come after those of the respondents."""
        n, outcome = len(y), "share" if np.ndim(y) == 1 else "score" if np.shape(y)[1] == 2 else "ordinal"
        of_answers: Any = (outcome, areas, names, area[:n], level[:n], size, np.asarray(y, dtype=float), size)
        return cls(bs.Cells(areas, names, area, level, count), bs.Answers("y", *of_answers))

    @property
    def characteristics(self) -> Any:
        return self.cells.characteristics

    def marginal(self, model: bs.UnitModel) -> PersonMarginal:
        """The model on these."""
        arrays, stacked, answers, _, _ = laid(model, self.answers, [self.cells])
        return PersonMarginal.of(arrays, stacked, answers)


def table(
    frame: pd.DataFrame, area: str, on: list[str], size: Any, y: Any,
    more: pd.DataFrame | None = None, of_areas: tuple[str, ...] = (),
) -> Table:  # fmt: skip
    """One cell for each row, and without answers for those of `more`; `of_areas` are columns that areas have."""
    rows = frame if more is None else pd.concat([frame, more], ignore_index=True)
    codes = rows[area].astype(str)
    known = pd.DataFrame({"code": codes, "population": 100, **{name: rows[name] for name in of_areas}})
    areas, names, level = bs.Areas.from_frame(known.drop_duplicates("code"), code="code"), {}, []
    for name in on:
        values = rows[name].astype("category")
        names[name] = tuple(map(str, values.cat.categories))
        level.append(values.cat.codes.to_numpy(dtype=np.int64))
    at = pd.Index(areas.codes).get_indexer(codes)
    sizes = np.broadcast_to(np.asarray(size, dtype=float), len(frame)).copy()
    levels = np.stack(level, axis=1) if level else np.zeros((len(rows), 0), dtype=np.int64)
    return Table.of(areas, names, at, levels, np.full(len(rows), 10.0), sizes, np.asarray(y, dtype=float))


def score(prior: bs.PC, sigma: float) -> float:
    """The normal score of a standard deviation."""
    return float(norm.isf(np.exp(-prior.rate * sigma)))
