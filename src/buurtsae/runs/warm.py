"""Compile the loops of the fast engine beforehand, and keep them on disk: for containers, and for the first user.

numba compiles a loop per number of columns (measures x years) and keeps it beside the code, or in NUMBA_CACHE_DIR, for
the processor that it was compiled on. Small models of made data call all of them; of a run file its own model does,
with few draws. Nothing is written but compiled code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buurtsae.engines.base import Fit, fit
from buurtsae.errors import DataError
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.summary import estimate
from buurtsae.estimates.waves import estimate_waves
from buurtsae.runs.steps import check

if TYPE_CHECKING:
    from buurtsae.areas.graph import Graph

SIDE = 6  # of the made map, in areas
WIDTHS = (1, 2, 3, 4)
FEW: dict[str, Any] = {"draws": 40, "hyperparameters": 20}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Warmed:
    """How many versions of loops were compiled, and how many were on disk already."""

    compiled: int
    loaded: int


def warm(runs: Sequence[str | Path] = (), *, widths: Sequence[int] = WIDTHS, say: Say = lambda text: None) -> Warmed:
    """Compile what fits of so many columns need, or what run files need.

    Parameters
    ----------
    runs : sequence of path
        Run files; without any, models of made data.
    widths : sequence of int
        Of made data: numbers of columns, measures times years.
    say : callable
        Told what is being done, one line at a time.

    Returns
    -------
    Warmed

    Raises
    ------
    DataError, ModelError or ProblemsError
        Every problem of every input of a run file, and widths below one.
    """
    if min(widths, default=1) < 1:
        raise DataError("models have columns", f"width {min(widths)}", "1 or more", "correct --width")
    before = _counted()
    for path in runs:
        say(f"{Path(path).name}")
        _of_run(path)
    if not runs:
        for width in widths:
            say(f"models of {width} {'measure' if width == 1 else 'measures'}")
            _scores(width)
        say("shares of respondents")
        _counts()
    after = _counted()
    return Warmed(after.compiled - before.compiled, after.loaded - before.loaded)


def _of_run(path: str | Path) -> None:
    inputs = check(path)
    spec = inputs.run.spec
    if inputs.persons is not None:
        fitted = inputs.persons.fit(inputs.direct, "laplace", 1, False, **FEW).fit_of()
    else:
        fitted = fit(inputs.model, inputs.direct, "laplace", 1, progress=False, **FEW)
    if spec.years is None:
        quality(estimate(fitted, concept=inputs.concept, rules=spec.publish))
    else:
        quality(estimate_waves(fitted, concept=inputs.concept, rules=spec.publish))


def _scores(width: int) -> None:
    """A model of so many measures on a map of squares."""
    from buurtsae.model.spec import AreaModel
    from buurtsae.model.terms import BYM2
    from buurtsae.survey.direct import DirectEstimates

    frame, graph = _map()
    values = {f"y{k}": [5.0 + ((7 * i + k) % 5) / 5 for i in range(len(frame))] for k in range(width)}
    frame = frame.assign(**values, **{f"v{k}": 0.1 for k in range(width)})
    data = DirectEstimates.from_frame(frame, y=list(values), variance=[f"v{k}" for k in range(width)], area="area")
    _worth(fit(AreaModel("1 + x", terms=(BYM2(graph),)), data, progress=False, **FEW))


def _counts() -> None:
    """A share of respondents on a map of squares."""
    from buurtsae.model.outcome.binomial import Binomial
    from buurtsae.model.spec import AreaModel
    from buurtsae.model.terms import BYM2
    from buurtsae.survey.counts import AreaCounts

    frame, graph = _map()
    frame = frame.assign(yes=[2 + (7 * i) % 5 for i in range(len(frame))], asked=12)
    data = AreaCounts.from_frame(frame, y="yes", trials="asked", area="area")
    _worth(fit(AreaModel("1 + x", terms=(BYM2(graph),), outcome=Binomial()), data, progress=False, **FEW))


def _worth(fitted: Fit) -> None:
    """What is computed of a fit afterwards has loops too."""
    quality(estimate(fitted))


def _map() -> tuple[Any, Graph]:
    """Squares in a square, and their neighbours."""
    import pandas as pd

    from buurtsae.areas.graph import Graph

    codes = [f"{row}-{column}" for row in range(SIDE) for column in range(SIDE)]
    right = [(f"{r}-{c}", f"{r}-{c + 1}") for r in range(SIDE) for c in range(SIDE - 1)]
    above = [(f"{r}-{c}", f"{r + 1}-{c}") for r in range(SIDE - 1) for c in range(SIDE)]
    frame = pd.DataFrame({"area": codes, "x": [(3 * i) % 7 for i in range(len(codes))]})
    return frame, Graph.from_pairs(codes, right + above)


def _loops() -> Iterator[Any]:
    """The compiled loops of all modules that are loaded."""
    seen = set[int]()
    for name, module in list(sys.modules.items()):
        if name.startswith("buurtsae"):
            for value in vars(module).values():
                if type(value).__name__ == "CPUDispatcher" and id(value) not in seen:
                    seen.add(id(value))
                    yield value


def _counted() -> Warmed:
    stats = [loop.stats for loop in _loops()]
    return Warmed(
        sum(sum(each.cache_misses.values()) for each in stats), sum(sum(each.cache_hits.values()) for each in stats)
    )
