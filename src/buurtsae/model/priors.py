r"""Priors, stated on the scale of the scores.

The penalised-complexity prior of a standard deviation is exponential with rate -log(alpha) / U, so that
P(sigma > U) = alpha. A correlation matrix R has the LKJ density proportional to |R|^(eta - 1).

References
----------
Simpson, D. et al. (2017). Penalising model component complexity. Statistical Science 32.
Lewandowski, D., Kurowicka, D. and Joe, H. (2009). Generating random correlation matrices. J. Multivariate Analysis 100.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from buurtsae.errors import ModelError
from buurtsae.notes import Note
from buurtsae.ranges import Listed

POSITIVE = frozenset({"upper", "sd", "a", "b", "eta"})
SMALLEST, LARGEST = 1e-6, 1e6  # of a scale or shape, and of any parameter: far outside 0-10, and safe to compute with


class _Checked(Listed):
    """Refuses parameters outside their range, all at once."""

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        bad = [k for k, v in values.items() if not abs(v) <= LARGEST or (k in POSITIVE and v < SMALLEST)]
        if "alpha" in values and not 0 < values["alpha"] < 1:
            bad.append("alpha")
        if bad:
            got = ", ".join(f"{k} = {values[k]}" for k in bad)
            raise ModelError(
                f"the prior {type(self).__name__} has impossible parameters",
                got,
                f"at most {LARGEST:g}; scales and shapes at least {SMALLEST:g}; alpha between 0 and 1",
                "correct the prior",
            )

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch, which has a comma in its decimals."""
        return Note(str(self), str(self).replace(", ", "; ").replace(".", ","))


@dataclass(frozen=True)
class PC(_Checked):
    """Penalised-complexity prior of a standard deviation: P(sigma > upper) = alpha."""

    upper: float = 1.0
    alpha: float = 0.05

    @property
    def rate(self) -> float:
        """Rate of the exponential distribution."""
        return -float(np.log(self.alpha)) / self.upper

    def __str__(self) -> str:
        return f"PC: P(> {self.upper:g}) = {self.alpha:g}"


@dataclass(frozen=True)
class Beta(_Checked):
    """Beta prior of a proportion."""

    a: float = 1.0
    b: float = 1.0

    def __str__(self) -> str:
        return f"Beta({self.a:g}, {self.b:g})"


@dataclass(frozen=True)
class Normal(_Checked):
    """Normal prior."""

    mean: float = 0.0
    sd: float = 1.0

    def __str__(self) -> str:
        return f"Normal({self.mean:g}, sd {self.sd:g})"


@dataclass(frozen=True)
class LogNormal(_Checked):
    """Lognormal prior of a positive factor; `mean` and `sd` are those of its logarithm."""

    mean: float = 0.0
    sd: float = 0.2

    def __str__(self) -> str:
        return f"LogNormal({self.mean:g}, sd {self.sd:g})"


@dataclass(frozen=True)
class LKJ(_Checked):
    """LKJ prior of a correlation matrix; eta = 1 is uniform, larger favours independence."""

    eta: float = 2.0

    def __str__(self) -> str:
        return f"LKJ({self.eta:g})"
