"""The scale of an outcome: where its values can lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """Bounds of what is estimated.

    Parameters
    ----------
    lower, upper : float
    nl, en : str
        The unit.
    """

    lower: float = -np.inf
    upper: float = np.inf
    nl: str = "score"
    en: str = "score"
