"""Terms of persons by the name that a run file has for them."""

from __future__ import annotations

from buurtsae.model.persons.ordered import Linear, Ordered, Smooth
from buurtsae.model.persons.terms import Cluster, Factor, Fixed, PersonTerm

PERSON_TERMS: dict[str, type[PersonTerm]] = {
    kind.__name__.lower(): kind for kind in (Factor, Ordered, Fixed, Smooth, Linear, Cluster)
}
