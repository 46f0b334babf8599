"""Terms of persons on data: what engines see of them, one beside the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from buurtsae.model.persons.tables import Coded
from buurtsae.model.priors import Prior
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class PersonEffect:
    """A term of persons on data.

    Attributes
    ----------
    name : str
    on : tuple of str
        Characteristics, whose levels together are its levels, the last fastest.
    levels : tuple of str
    sizes : tuple of int
        Levels of each characteristic.
    shrunk : ndarray, shape (levels, q)
        B.
    free : ndarray, shape (levels, p)
        G.
    prior : Prior, optional
        Of sigma; None where nothing is shrunk.
    predicts : bool
        Whether residents have a level; if not, as of interviewers, they have its variance only.
    """

    name: str
    on: tuple[str, ...]
    levels: tuple[str, ...]
    sizes: tuple[int, ...]
    shrunk: Floats
    free: Floats
    prior: Prior | None
    predicts: bool = True

    def index(self, cells: Coded) -> Ints:
        """Return the level of each cell, (M,)."""
        at = np.zeros(len(cells.area), dtype=np.int64)
        for name, size in zip(self.on, self.sizes, strict=True):
            at = at * size + cells.level[name]
        return at


@dataclass(frozen=True)
class Stacked:
    """Effects side by side: L levels of all, and how parameters load them.

    Attributes
    ----------
    effects : tuple of PersonEffect
    """

    effects: tuple[PersonEffect, ...] = ()

    @property
    def starts(self) -> Ints:
        """The first level of each, and L."""
        return np.cumsum([0, *(len(effect.levels) for effect in self.effects)])

    @property
    def sigmas(self) -> tuple[int, ...]:
        """Which of the effects have a standard deviation."""
        return tuple(k for k, effect in enumerate(self.effects) if effect.prior is not None)

    @property
    def columns(self) -> tuple[slice, ...]:
        """Columns of alpha of each that are shrunk; gamma of each follows these."""
        sizes = [(e.shrunk.shape[1], e.free.shape[1]) for e in self.effects]
        starts = np.cumsum([0, *(sum(pair) for pair in sizes)])
        return tuple(slice(int(at), int(at) + pair[0]) for at, pair in zip(starts, sizes, strict=False))

    def index(self, cells: Coded) -> Ints:
        """Return levels among all L, (M, effects)."""
        parts = [at + effect.index(cells) for at, effect in zip(self.starts, self.effects, strict=False)]
        table = np.stack(parts, axis=1) if parts else np.zeros((len(cells.area), 0))
        return np.ascontiguousarray(table, dtype=np.int32)

    def loading(self, sigma: Sequence[float]) -> Floats:
        """Return R, (L, columns), with f = R (alpha, gamma), of standard deviations in the order of `sigmas`."""
        of = dict(zip(self.sigmas, sigma, strict=True))
        starts, width = self.starts, sum(e.shrunk.shape[1] + e.free.shape[1] for e in self.effects)
        r, at = np.zeros((starts[-1], width)), 0
        for k, effect in enumerate(self.effects):
            block = np.hstack([of.get(k, 0.0) * effect.shrunk, effect.free])
            r[starts[k] : starts[k + 1], at : at + block.shape[1]] = block
            at += block.shape[1]
        return r
