"""From an engine's arrays to labelled draws: the same names whichever engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from buurtsae.draws import Certificate, Draws, Maximised
from buurtsae.model.design import Design
from buurtsae.sparse import Floats

CHAINS = 4  # in which independent draws are laid out
Whole = Annotated[int, Field(strict=True, ge=1, le=10**6)]  # an option of an engine, as `engine_options` checks it
Draw4 = Annotated[int, Field(strict=True, ge=CHAINS, le=10**6, multiple_of=CHAINS)]


def in_chains(flat: Mapping[str, Floats]) -> dict[str, Floats]:
    """Lay out independent draws as chains."""
    return {name: v.reshape(CHAINS, len(v) // CHAINS, *v.shape[1:]) for name, v in flat.items()}  # v may be empty


def labelled(
    design: Design,
    raw: dict[str, Floats],
    hyper: Mapping[str, Floats],
    divergences: int = 0,
    certificate: Certificate | Maximised | None = None,
) -> Draws:
    """Label an engine's draws.

    Parameters
    ----------
    design : Design
    raw : dict
        Arrays that start with (chains, draws): `eta` (N, W), `beta` (P, W), `alpha`, `lambda`, `tau` (links,), `break`
        (breaks,), `kappa` and `omega` (S, W), `overdispersion` (W,), `factor` (S, K, W), as far as the model has them.
    hyper : mapping
        `effect.parameter`, (chains, draws, T, D) or (..., T, D, D): of a correlation matrix its root.
    divergences : int
    certificate : Certificate or Maximised, optional
    """
    years = ("year",) if design.years else ()

    def by_year(values: Floats) -> Floats:
        """Columns as years and measures."""
        return values.reshape(*values.shape[:-1], design.periods, -1) if years else values

    reported: dict[str, tuple[tuple[str, ...], Floats]] = {
        "beta": (("column", *years, "measure"), by_year(raw["beta"]))
    }
    coords: dict[str, tuple[str, ...]] = {"column": design.coefficients, "measure_2": design.measures}
    if years:
        coords["year"] = tuple(str(year) for year in design.years)
    for effect in design.effects:
        for p in effect.parameters:
            values = hyper[f"{effect.name}.{p.name}"]
            if len(p.dims) > 1:
                if len(design.measures) == 1:
                    continue
                values = values @ values.swapaxes(-1, -2)
            yearly = years and not effect.joint
            reported[f"{effect.name}.{p.name}"] = ((*years, *p.dims), values) if yearly else (p.dims, values[:, :, 0])
    if "alpha" in raw:
        reported |= {name: (("link",), raw[name]) for name in ("alpha", "lambda", "tau")}
        coords["link"] = tuple(link.label for link in design.links)
    if "break" in raw:
        reported["break"], coords["since"] = (("since",), raw["break"]), tuple(one.label for one in design.breaks)
    if "kappa" in raw:
        kappa = raw["kappa"] * design.observed.any(axis=1)  # else only the prior
        reported["kappa"] = (("source", *years, "measure"), by_year(kappa))
        coords["source"] = design.sources
    if "omega" in raw:
        reported["omega"] = (("source", *years, "measure"), by_year(raw["omega"]))
        coords["source"] = design.sources
    if "overdispersion" in raw:
        reported["overdispersion"] = ((*years, "measure"), by_year(raw["overdispersion"]))
    factor = raw["factor"].mean(axis=(0, 1)) if "factor" in raw else None
    if "omega" in raw:
        factor = np.broadcast_to(raw["omega"].mean(axis=(0, 1))[:, None], design.y.shape)
    return Draws(
        raw["eta"],
        design.areas,
        design.measures,
        reported,
        coords,
        divergences,
        factor,
        certificate,
        None,
        design.years,
    )
