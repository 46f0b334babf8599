"""Areas of one letter and cells of two or three characteristics, small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.survey.cells import Cells

LEVELS = {"leeftijd": ("18-44", "45-64", "65+"), "geslacht": ("man", "vrouw"), "woning": ("koop", "huur")}


def letters(n: int = 12, residents: int = 300) -> Areas:
    """Areas a, b, c ..., four to a gemeente, the first with `residents`, each with 10 more."""
    codes = [chr(97 + k) for k in range(n)]
    persons = residents + 10 * np.arange(n)
    frame = pd.DataFrame({"code": codes, "in": [f"G{k // 4}" for k in range(n)], "population": persons})
    return Areas.from_frame(frame, code="code", levels={"gemeente": "in"})


def table(areas: Areas, seed: int = 1, names: tuple[str, ...] = ("leeftijd", "geslacht", "woning")) -> pd.DataFrame:
    """A row per area and combination, with random counts that add to the residents."""
    product = pd.MultiIndex.from_product([areas.codes, *(LEVELS[name] for name in names)], names=["buurtcode", *names])
    frame = product.to_frame(index=False)
    weight = np.random.default_rng(seed).gamma(2.0, size=len(frame))
    of = frame["buurtcode"]
    residents = pd.Series(areas.population, index=areas.codes)[of].to_numpy()
    return frame.assign(aantal=residents * weight / pd.Series(weight).groupby(of).transform("sum").to_numpy())


def made_cells(n: int = 12, residents: int = 300, names: tuple[str, ...] = ("leeftijd", "geslacht", "woning")) -> Cells:
    areas = letters(n, residents)
    return Cells.from_frame(table(areas, names=names), areas)
