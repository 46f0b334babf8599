r"""How respondents were drawn: strata, clusters, population sizes, and the policy for lonely units.

At stage k a stratum h holds n_h sampled of N_h units; f_h = n_h / N_h (0 without N_h), F_h is the product of f over the
earlier stages. What `variance.covariance` needs of it is F_h (1 - f_h) n_h / (n_h - 1) and 1 / n_h per stratum.

References
----------
Sarndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling, ch. 4. Lumley, T. (2010). Complex
Surveys, appendix A (the policies).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from buurtsae.errors import DataError, shown
from buurtsae.sparse import Floats, Ints

Lonely = Literal["fail", "adjust", "certainty", "average"]
LONELY: tuple[str, ...] = get_args(Lonely)


@dataclass(frozen=True)
class Stage:
    """One stage of sampling: respondents by unit, units by stratum, and what multiplies a stratum's sum of squares.

    Attributes
    ----------
    unit, stratum : ndarray of int, shape (n,)
        Of each respondent; a unit is a sampled cluster.
    size, fraction : ndarray, shape (H,)
        n_h, units in the sample per stratum, and f_h.
    scale, within : ndarray, shape (H,)
        F_h (1 - f_h) n_h / (n_h - 1) and 1 / n_h; a lonely unit has what its policy says.
    lonely : ndarray of bool, shape (H,)
        Strata with one unit that was not taken with certainty.
    """

    unit: Ints
    stratum: Ints
    size: Floats
    scale: Floats
    within: Floats
    fraction: Floats
    lonely: NDArray[np.bool_]


@dataclass(frozen=True)
class SampleDesign:
    """How respondents were drawn: strata, clusters and population sizes, in one or more stages.

    A stratum with one sampled unit is `lonely`: centre it at the grand mean of z, which is 0 (adjust); refuse (fail);
    it contributes 0 (certainty, R's `remove` too), or the mean of the domain's other strata (average; without others
    as `adjust`).
    """

    stages: tuple[Stage, ...]
    lonely: Lonely = "adjust"

    @classmethod
    def of(
        cls,
        stratum: Ints,
        clusters: Sequence[Ints] = (),
        population: Sequence[Floats] = (),
        lonely: Lonely = "adjust",
        labels: Sequence[object] | None = None,
    ) -> SampleDesign:
        """Make a design from arrays per respondent, as R's `svydesign(nest=TRUE)`.

        Raises DataError if a stratum has several population sizes or fewer units than were sampled, or `lonely` is
        `fail` and a stratum has one unit.

        Parameters
        ----------
        stratum : ndarray of int, shape (n,)
            Stratum of the first stage, 0, 1, ...; `labels` are their names, for messages.
        clusters : sequence of ndarray of int, shape (n,)
            Sampled unit per stage, nested in the stratum and in the unit of the stage before; without any,
            respondents are the units.
        population : sequence of ndarray, shape (n,)
            Units in the population of the respondent's stratum (first stage) or unit (later stages), or, when all
            of them are at most 1, sampling fractions. A stage counts only if the stages before it have these.
        """
        if lonely not in LONELY:
            raise DataError("the policy for lonely units is unknown", repr(lonely), ", ".join(LONELY), "choose one")
        n = len(stratum)
        fraction = bool(population) and all((sizes <= 1).all() for sizes in population)
        share, parent, stages = np.ones(n), np.asarray(stratum), []
        for k, cluster in enumerate(clusters or [np.arange(n)]):
            unit = np.arange(n) if not clusters else _nested(parent, np.asarray(cluster))
            group = np.unique(parent, return_inverse=True)[1] if k else parent
            first = np.unique(unit, return_index=True)[1] if clusters else unit  # a row of each unit
            size = np.bincount(group[first], minlength=int(group.max()) + 1).astype(float)
            f = np.zeros(len(size))
            if k < len(population):
                f = _fraction(population[k], group, size, fraction, labels if k == 0 else None)
            above = np.zeros(len(size))
            above[group] = share
            certain = (size > 0) & (1 - f < 1e-7)  # the whole population was taken
            if (single := (size == 1) & ~certain).any() and lonely == "fail":
                what = f"{int(single.sum())} strata have one sampled unit (stage {k + 1})"
                hint = 'merge these strata, or choose another policy, as lonely = "adjust"'
                raise DataError(what, _named(single, None if k else labels), "two or more", hint)
            scale = above * np.where(certain, 0.0, 1 - f) * np.where(size > 1, size / np.maximum(size - 1, 1), 1.0)
            if lonely == "certainty":
                scale = np.where(single, 0.0, scale)
            within = np.divide(1.0, size, out=np.zeros_like(size), where=size > 1)
            stages.append(Stage(unit, group, size, scale, within, f, single))
            share, parent = share * f[group], unit
            if not (share > 0).any():
                break
        return cls(tuple(stages), lonely)

    @property
    def lonely_strata(self) -> Ints:
        """First-stage strata with one sampled unit."""
        return np.flatnonzero(self.stages[0].lonely)


def _named(strata: NDArray[np.bool_], labels: Sequence[object] | None) -> str:
    numbers = np.flatnonzero(strata)
    return shown(numbers if labels is None else [labels[int(h)] for h in numbers])


def _nested(parent: Ints, cluster: Ints) -> Ints:
    return np.asarray(np.unique(parent.astype(np.int64) * (int(cluster.max()) + 1) + cluster, return_inverse=True)[1])


def _fraction(population: Floats, group: Ints, size: Floats, fraction: bool, labels: Sequence[object] | None) -> Floats:
    """Sampling fraction per stratum, checked."""
    population = np.nan_to_num(population)  # a missing size is no size
    low, high = np.full(len(size), np.inf), np.full(len(size), -np.inf)
    np.minimum.at(low, group, population)
    np.maximum.at(high, group, population)
    f = low if fraction else np.divide(size, low, out=np.zeros_like(size), where=low > 0)
    if (bad := (size > 0) & ((low != high) | ~(low > 0) | (f > 1 + 1e-9))).any():
        what, hint = "population sizes do not fit the strata", "correct the column or table of population sizes"
        strata = f"{int(bad.sum())} strata: {_named(bad, labels)}"
        raise DataError(what, strata, "one size per stratum, no less than the units sampled in it", hint)
    return np.where(size > 0, np.minimum(f, 1.0), 0.0)
