"""Years that nobody was asked in: which of these may be asked for beside waves of a survey."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from buurtsae.errors import Problems, cut, shown


def asked_also(also: Sequence[int], waves: Sequence[int]) -> tuple[int, ...]:
    """Return years without a survey that are asked for beside the waves; raise all that is wrong with them at once."""
    alone = isinstance(also, str) or not isinstance(also, Iterable)
    problems, years = Problems(), list[Any]([also] if alone else also)
    if odd := [year for year in years if not isinstance(year, Integral) or isinstance(year, bool)]:
        hint = "write by_year(also=(2021, 2025))"
        problems.add("years of `also` are no whole numbers", cut(shown(map(repr, odd))), "years", hint)
    known = [int(year) for year in years if year not in odd]
    if twice := sorted({year for year in known if known.count(year) > 1}):
        problems.add("years of `also` are given twice", shown(twice), "each once", "leave one out")
    if there := sorted({year for year in known if year in waves}):
        problems.add("years of `also` have a survey", shown(there), "years without", "leave them out: they are there")
    if known and len(waves) < 2:
        hint = "one year shows no change: bring another, or leave `also` out"
        problems.add("years of `also` need surveys of several years", shown(waves), "two or more", hint)
    elif known:
        most = int(np.diff(waves).max())
        first, last = waves[0] - most, waves[-1] + most
        if far := [year for year in known if not first <= year <= last]:
            hint = "beyond waves no farther than these lie apart: of a longer way data show no change"
            problems.add("years of `also` are far away", shown(far), f"{first} to {last}", hint)
    problems.raise_if_any()
    return tuple(known)
