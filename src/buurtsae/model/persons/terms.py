r"""Terms of persons: f_k of the level of a characteristic, or of several together, the same in all areas.

    f_k = sigma_k B_k alpha_k + G_k gamma_k,    alpha_k, gamma_k ~ N(0, I)

over the levels: B = I for exchangeable levels; for levels in order B = V diag(lambda)^{-1/2} of the eigenvectors of the
scaled structure D'D of first or second differences, so that f sums to zero and sigma is its typical size; G has columns
that are not shrunk, in units of their prior: contrasts, and the line that second differences leave free.

References
----------
Gao, Y. et al. (2021). Improving multilevel regression and poststratification with structured priors. Bayesian Analysis
16. Eilers, P. and Marx, B. (1996). Flexible smoothing with B-splines and penalties. Statistical Science 11.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.persons.effect import PersonEffect
from buurtsae.model.persons.tables import Levels
from buurtsae.model.priors import PC, Normal, Positive, Prior
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats

MOST = 2000  # levels of a term: its dense block has as many columns


@dataclass(frozen=True, repr=False)
class PersonTerm(ABC):
    """What terms of persons share.

    Parameters
    ----------
    on : str or sequence of str
        A characteristic, or several whose levels together are those of the term.
    """

    on: tuple[str, ...]

    alone: ClassVar[bool] = False  # whether it is about one characteristic only
    predicts: ClassVar[bool] = True  # whether residents have its levels

    def __post_init__(self) -> None:
        given: Any = (self.on,) if isinstance(self.on, str) else self.on
        several = isinstance(given, list | tuple) and (len(given) == 1 or not self.alone)
        if not several or not all(isinstance(name, str) for name in given) or not 0 < len(given) == len(set(given)):
            what, expected = f"{type(self).__name__} is not about characteristics", "a name"
            expected += "" if self.alone else ", or several that differ"
            raise ModelError(what, cut(repr(self.on)), expected, "name columns of the cells")
        object.__setattr__(self, "on", tuple(given))
        if len(set(self.uses)) < len(self.uses):
            hint = "name another characteristic, or leave it out"
            raise ModelError(f"term {cut(self.name)} is about one twice", shown(self.uses), "each once", hint)
        check_ranges(self, f"term {self.name}:")

    @property
    def uses(self) -> tuple[str, ...]:
        """All characteristics that it needs."""
        return self.on

    @property
    def name(self) -> str:
        """What its parameters are called after."""
        return " x ".join(self.uses)

    @property
    @abstractmethod
    def about(self) -> Note:
        """What it is."""

    @property
    def prior(self) -> Prior | None:
        """Of its standard deviation."""
        return getattr(self, "sd", None)

    @property
    def words(self) -> Note:
        """What it is, in a line of the model."""
        return Note("  {name}: {about}", "  {name}: {about}", name=self.name, about=self.about)

    def laid(self, characteristics: Levels) -> PersonEffect:
        """Return it on characteristics.

        Raises
        ------
        ModelError
            If a characteristic is absent, has one level, or there are more levels than can be.
        """
        if absent := [name for name in self.uses if name not in characteristics]:
            what, hint = f"the cells lack what {cut(self.name)} is about", "add it to the cells and the answers"
            raise ModelError(what, shown(absent), shown(characteristics, 10), hint)
        levels = [characteristics[name] for name in self.uses]
        joint = tuple(" x ".join(parts) for parts in product(*levels))
        if not 2 <= len(joint) <= MOST:
            hint = "leave it out" if len(joint) < 2 else "use effective numbers of respondents per cell instead"
            raise ModelError(f"{cut(self.name)} has too {'few' if len(joint) < 2 else 'many'} levels",
                             f"{len(joint)} levels", f"2 to {MOST}", hint)  # fmt: skip
        shrunk, free = self.basis([len(part) for part in levels], levels[0])
        return PersonEffect(
            self.name, self.uses, joint, tuple(len(part) for part in levels), shrunk, free,
            self.prior if shrunk.shape[1] else None, self.predicts,
        )  # fmt: skip

    @abstractmethod
    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return B and G, from the number of levels of each characteristic and the labels of the first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


@dataclass(frozen=True, repr=False)
class Factor(PersonTerm):
    """Levels that are exchangeable, with a standard deviation of their own; of several characteristics an interaction.

    Parameters
    ----------
    on : str or sequence of str
    sd : Prior
        Of sigma.

    Raises
    ------
    ModelError
        On data: as `laid` says.

    Examples
    --------
    >>> print(Factor(("geslacht", "herkomst")).words)
      geslacht x herkomst: levels exchangeable, sd ~ PC: P(> 1) = 0.05
    """

    sd: Positive = PC(1.0, 0.05)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note("levels exchangeable, sd ~ {prior}", "niveaus uitwisselbaar, sd ~ {prior}", prior=self.sd.words)

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the identity, and nothing that is not shrunk."""
        n = int(np.prod(sizes))
        return np.eye(n), np.zeros((n, 0))


@dataclass(frozen=True, repr=False)
class Cluster(Factor):
    """Clusters of respondents, such as interviewers or households: residents have their variance, not their levels.

    Parameters
    ----------
    on : str
    sd : Prior
        Of sigma.

    Raises
    ------
    ModelError
        On data: as `laid` says.

    Examples
    --------
    >>> Cluster("interviewer")
    Cluster(interviewer)
    """

    predicts: ClassVar[bool] = False


@dataclass(frozen=True, repr=False)
class Fixed(PersonTerm):
    """Contrasts of each level with the first, each with a normal prior of its own: not shrunk together.

    Parameters
    ----------
    on : str or sequence of str
    prior_of_contrasts : Normal
        Around 0.

    Raises
    ------
    ModelError
        On data: as `laid` says.

    Examples
    --------
    >>> Fixed("geslacht").laid({"geslacht": ("man", "vrouw")}).free.ravel().tolist()
    [0.0, 2.5]
    """

    prior_of_contrasts: Normal = Normal(0.0, 2.5)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "contrasts with the first level ~ {prior}", "verschillen met het eerste niveau ~ {prior}",
            prior=self.prior_of_contrasts,
        )  # fmt: skip

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return nothing that is shrunk, and the contrasts."""
        n = int(np.prod(sizes))
        return np.zeros((n, 0)), float(self.prior_of_contrasts.sd) * np.eye(n)[:, 1:]
