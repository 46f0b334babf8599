"""From an engine's arrays to labelled draws: the same names whichever engine."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from buurtsae.draws import Certificate, Draws, Maximised
from buurtsae.model.design import Bym2Block, Design
from buurtsae.sparse import Floats

CHAINS = 4  # in which independent draws are laid out
Whole = Annotated[int, Field(strict=True, ge=1, le=10**6)]  # an option of an engine, as `engine_options` checks it
Draw4 = Annotated[int, Field(strict=True, ge=CHAINS, le=10**6, multiple_of=CHAINS)]


def matrices(design: Design) -> list[tuple[str, float]]:
    """Return names and LKJ parameters of the correlation matrices, in the order in which engines stack them."""
    return [(name, b.term.correlation.eta) for b in design.blocks for name in b.term.matrices]


def labelled(
    design: Design,
    raw: dict[str, Floats],
    divergences: int = 0,
    certificate: Certificate | Maximised | None = None,
) -> Draws:
    """Label an engine's draws; what it only moved in is dropped.

    Parameters
    ----------
    design : Design
    raw : dict
        Arrays that start with (chains, draws): `eta` (N, D), `beta` (P, D), `sigma` (blocks, D), `phi` (D,), `root_R`
        (matrices, D, D), `alpha`, `log_lambda`, `tau` (links,), `kappa` (S, D), `factor` (S, K, D), as far as the
        model has them.
    divergences : int
    certificate : Certificate or Maximised, optional
    """
    hyper: dict[str, tuple[tuple[str, ...], Floats]] = {"beta": (("column", "measure"), raw["beta"])}
    coords = {"column": design.columns, "measure_2": design.subdimensions}
    for b, block in enumerate(design.blocks):
        name = "sigma" if isinstance(block, Bym2Block) else f"sigma_{block.term.group}"
        hyper[name] = (("measure",), raw["sigma"][:, :, b])
        if isinstance(block, Bym2Block):
            hyper["phi"] = (("measure",), raw["phi"])
    if "root_R" in raw:
        correlation = raw["root_R"] @ raw["root_R"].swapaxes(-1, -2)
        for k, (name, _) in enumerate(matrices(design)):
            hyper[name] = (("measure", "measure_2"), correlation[:, :, k])
    if "alpha" in raw:
        values = {"alpha": raw["alpha"], "lambda": np.exp(raw["log_lambda"]), "tau": raw["tau"]}
        hyper |= {name: (("link",), draws) for name, draws in values.items()}
        coords["link"] = tuple(label for label, _, _ in design.links)
    if "kappa" in raw:
        hyper["kappa"] = (("source", "measure"), raw["kappa"] * design.observed.any(axis=1))  # else only the prior
        coords["source"] = design.sources
    factor = raw["factor"].mean(axis=(0, 1)) if "factor" in raw else None
    return Draws(raw["eta"], design.areas, design.subdimensions, hyper, coords, divergences, factor, certificate)
