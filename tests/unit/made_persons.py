"""Made persons: areas on a grid, cells with three characteristics, and respondents whom some characteristics choose."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

import buurtsae as bs

CHARACTERISTICS = {"leeftijd": 4, "geslacht": 2, "herkomst": 3}


@dataclass(frozen=True)
class Made:
    """A world: residents, whom the survey reached (a number per cell), and the predictor of every cell."""

    residents: bs.Cells
    graph: Any
    asked: np.ndarray
    eta: np.ndarray
    rng: np.random.Generator

    @property
    def chance(self) -> np.random.Generator:
        """Always from the same state: answers do not depend on which tests came before."""
        return deepcopy(self.rng)

    def respondents(self, y: np.ndarray, outcome: Any = "share") -> bs.Answers:
        r, kept = self.residents, self.asked > 0
        size, codes = self.asked[kept].astype(float), (1.0, 2.0, 3.0, 4.0) if outcome == "ordinal" else ()
        cells = r.areas, r.characteristics, r.area[kept], r.level[kept]
        return bs.Answers("y", outcome, *cells, size, y[kept].astype(float), size, categories=codes)

    @property
    def yes(self) -> bs.Answers:
        return self.respondents(self.chance.binomial(self.asked, expit(self.eta)))

    @property
    def ordered(self) -> bs.Answers:
        """Four categories with cuts 0, 1 and 2.5."""
        f = expit(np.array([0.0, 1.0, 2.5]) - self.eta[:, None])
        p = np.diff(np.column_stack([np.zeros(len(f)), f, np.ones(len(f))]), axis=1)
        return self.respondents(self.chance.multinomial(self.asked, p), "ordinal")

    @property
    def numbers(self) -> bs.Answers:
        """Numbers with standard deviation 1.5 about their cell."""
        cell = np.repeat(np.arange(len(self.asked)), self.asked)
        values, n = self.eta[cell] + 1.5 * self.chance.standard_normal(len(cell)), len(self.asked)
        return self.respondents(np.stack([np.bincount(cell, values**k, n) for k in (1, 2)], axis=1), "score")


def made(side: int = 5, each: float = 10.0, seed: int = 3) -> Made:
    """A grid of side x side areas with so many respondents each, on average."""
    rng, n = np.random.default_rng(seed), side * side
    codes = [f"A{k:04}" for k in range(n)]
    right = [(codes[k], codes[k + 1]) for k in range(n) if (k + 1) % side]
    up = [(codes[k], codes[k + side]) for k in range(n - side)]
    names = {name: tuple(f"{name[:2]}{k}" for k in range(size)) for name, size in CHARACTERISTICS.items()}
    grid = np.indices(tuple(CHARACTERISTICS.values())).reshape(len(names), -1).T
    area, level = np.repeat(np.arange(n), len(grid)), np.tile(grid, (n, 1))
    count = rng.poisson(rng.gamma(4, 5, len(area))).astype(float)
    frame = pd.DataFrame({"code": codes, "population": np.bincount(area, count).astype(int)})
    frame["x"] = rng.standard_normal(n)
    effects = [np.linspace(-0.8, 0.8, 4), np.array([0.0, 0.4]), np.array([-0.3, 0.1, 0.5])]
    u = 0.5 * np.sin(np.arange(n) / n * 5) + 0.4 * rng.standard_normal(n)
    eta = -0.3 + 0.3 * frame["x"].to_numpy()[area] + u[area]
    eta = eta + sum(effect[level[:, k]] for k, effect in enumerate(effects))
    chance = count * expit(0.6 * level[:, 0] - 1)
    asked = np.minimum(rng.poisson(each * n * chance / chance.sum()), count).astype(int)
    residents = bs.Cells(bs.Areas.from_frame(frame, code="code"), names, area, level, count)
    return Made(residents, bs.Graph.from_pairs(codes, [*right, *up]), asked, eta, rng)


def shuffled(respondents: bs.Answers) -> bs.Answers:
    """The same respondents with the levels of every characteristic in reverse, and the rows too."""
    names = {name: labels[::-1] for name, labels in respondents.characteristics.items()}
    sizes = np.array([len(labels) for labels in names.values()])
    level = (sizes - 1 - respondents.level)[::-1]
    return replace(
        respondents, characteristics=names, level=level, area=respondents.area[::-1],
        size=respondents.size[::-1], y=respondents.y[::-1], respondents=respondents.respondents[::-1],
    )  # fmt: skip
