r"""A smaller problem like a large one: the areas of a part of the country, with everything that they see.

Where hyperparameters are, and how steep the posterior is about them, a part of the areas tells nearly: enough to begin
a search there, at a tenth of the cost. Fields are cut off, z = 0 outside: the precision of those that are left is a
principal submatrix, without the constraints of what is cut. Only a start: the search goes on with all data, and ends
where it would.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

from buurtsae.engines.marginal import Marginal
from buurtsae.engines.search import Small
from buurtsae.latent.structure import Structure
from buurtsae.model.design import Design
from buurtsae.model.terms.base import Effect, Layer
from buurtsae.sparse import Floats, Ints

PARTS = 8  # one of so many parts of the areas
STARTS = 8  # places that are looked at for it
LEAST = 500  # areas with an estimate that a part needs


def smaller(marginal: Marginal) -> Small | None:
    """Return the model of a part of the areas; None where there are few."""
    design = marginal.design
    told = np.asarray(design.observed.any(axis=(0, 2)))
    if told.sum() < PARTS * LEAST:
        return None
    size = -(-len(design.areas) // PARTS)
    parts = [around(marginal, start)[:size] for start in np.linspace(0, len(design.areas) - 1, STARTS).astype(int)]
    counts = [int(told[part].sum()) for part in parts]
    k = int(np.argmax(counts))  # the first of those with most
    if counts[k] < LEAST:
        return None
    part = cut(design, np.sort(parts[k]))
    if not np.array_equal(part.observed.any(axis=1), design.observed.any(axis=1)):
        return None  # a source or a measure is not there
    ratio = float(design.observed.sum() / part.observed.sum())
    return Small(type(marginal).of(part), ratio)


def around(marginal: Marginal, area: int) -> Ints:
    """Return an area, then those that hang together with it, in steps from node to node, then the others."""
    field, n = marginal.field, len(marginal.design.areas)
    seen = sp.csr_array(sum(abs(j) for j in field.sees))[:n] if field.sees else sp.csr_array((n, field.nodes))
    joined = sp.block_array([[None, seen], [seen.T, field.pattern]], format="csr")
    order = breadth_first_order(joined, area, directed=False, return_predecessors=False)
    near = np.asarray(order[order < n], dtype=np.int64)
    return np.concatenate([near, np.setdiff1d(np.roll(np.arange(n), -area), near, assume_unique=True)])


def cut(design: Design, areas: Ints) -> Design:
    """Return the design of some of the areas, ascending, and of the sites that see no others."""
    sites = sp.csr_array(design.sites)
    inside = np.zeros(len(design.areas))
    inside[areas] = 1.0
    kept = np.flatnonzero(abs(sites) @ (1 - inside) == 0)
    return replace(
        design,
        areas=tuple(design.areas[k] for k in areas),
        site_codes=tuple(design.site_codes[k] for k in kept),
        sites=sites[kept][:, areas],
        x=design.x[areas],
        y=design.y[:, kept],
        covariance=design.covariance[:, kept],
        ratio=design.ratio[:, kept],
        freedom=design.freedom[:, kept],
        effects=tuple(_effect(effect, areas) for effect in design.effects),
        size=_some(design.size, (slice(None), kept)),
        known=_some(design.known, (areas,)),
        correlation=_some(design.correlation, (kept,)),
    )


def _effect(effect: Effect, areas: Ints) -> Effect:
    """An effect on some of the areas."""
    dispersion = _some(effect.dispersion, (areas,))
    levels = None
    if effect.levels is not None:
        of_levels = effect.levels
        levels = Layer(*_seen(of_levels.structure, of_levels.sees, areas), of_levels.loading)
    if effect.structure is None or effect.dense:  # all areas see all nodes of what is dense
        return replace(effect, sees=sp.csr_array(effect.sees)[areas], dispersion=dispersion, levels=levels)
    structure, sees = _seen(effect.structure, effect.sees, areas)
    return replace(effect, structure=structure, sees=sees, dispersion=dispersion, levels=levels)


def _seen(structure: Structure, sees: sp.csr_array, areas: Ints) -> tuple[Structure, sp.csr_array]:
    """A structure on the nodes that some areas see, and what they see of these."""
    some = sp.csr_array(sees)[areas]
    some.eliminate_zeros()
    nodes = np.unique(some.indices)
    inside = np.zeros(structure.nodes)
    inside[nodes] = 1.0
    whole = np.flatnonzero(abs(structure.constraints) @ (1 - inside) == 0)
    parts = tuple(sp.csr_array(part[nodes][:, nodes]) for part in structure.parts)
    return Structure(parts, sp.csr_array(structure.constraints[whole][:, nodes])), sp.csr_array(some[:, nodes])


def _some(values: Floats | None, at: tuple[slice | Ints, ...]) -> Floats | None:
    return None if values is None else values[at]
