"""Random effects, one per file; `TERMS` is where they are registered, by the name that a run file has for them."""

from __future__ import annotations

from buurtsae.model.terms.ar1 import AR1
from buurtsae.model.terms.base import Term
from buurtsae.model.terms.bym2 import BYM2
from buurtsae.model.terms.horseshoe import Horseshoe
from buurtsae.model.terms.icar import ICAR
from buurtsae.model.terms.iid import IID
from buurtsae.model.terms.leroux import Leroux
from buurtsae.model.terms.over_time import OverTime
from buurtsae.model.terms.ridge import Ridge
from buurtsae.model.terms.rw1 import RW1
from buurtsae.model.terms.sar import SAR
from buurtsae.model.terms.spline import Spline

__all__ = [
    "AR1", "BYM2", "ICAR", "IID", "RW1", "SAR", "TERMS", "Horseshoe", "Leroux", "OverTime", "Ridge", "Spline", "Term",
]  # fmt: skip

TERMS: dict[str, type[Term]] = {
    kind.__name__.lower(): kind for kind in (BYM2, IID, ICAR, Leroux, SAR, RW1, AR1, Ridge, Horseshoe, Spline)
}
