r"""Effects over time: what stays, and what changes from year to year; Knorr-Held's types of interaction as one.

With a term's effect s_a = C u_a (structured) + C_v v_a (loose) of an area in a year by itself, over T years

    s_at = [C0 u_a0 + C0_v v_a0]  +  sum_{k=1}^{T-1} A_tk [C1 u_ak + C1_v v_ak],

u_ak and v_ak unit fields, all independent, and A the contrasts over the years of a process (`model.contrasts`). A walk
of which a share 1 - psi comes and goes has A_tk = U_tk (psi / lambda_k + 1 - psi)^(1/2), Q_t = U diag(lambda) U' the
structure of a random walk over the years, without its null vector, scaled over the years that have data; an AR1 has the
autocorrelation rho from year to year. C0 is the term's loading, C1 the same with the standard deviation and the
structured share (phi) of changes. What stays is the mean over these years of an area, what changes is zero on average.
Of a walk (phi, psi) of changes are

    (0, 0) type I,    (0, 1) type II,    (1, 0) type III,    (1, 1) type IV,

but for the mean over years, which what stays has. An intrinsic field takes a constraint per connected part and k,
c (T - 1) in all, where the Kronecker product of the structures takes one per area. A field has as many columns as there
are years. Where the standard deviation of v falls with the residents by gamma, that of v_ak falls by gamma +
change_gamma: what stays of small buurten may be as that of others, and what changes larger (docs/years.md).

References
----------
Knorr-Held, L. (2000). Bayesian modelling of inseparable space-time variation in disease risk. Statistics in Medicine
19. Goicoa, T. et al. (2018). In spatio-temporal disease mapping models, identifiability constraints affect PQL and
INLA results. Stochastic Environmental Research and Risk Assessment 32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np

from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.contrasts import Contrasts, Process
from buurtsae.model.frame import Frame
from buurtsae.model.parameters import Alike, Around, Parameter, Values
from buurtsae.model.priors import Beta, LogNormal, Normal, Positive, Proportion
from buurtsae.model.terms.base import Effect, Term
from buurtsae.notes import Note


@dataclass(frozen=True, kw_only=True, repr=False)
class OverTime(Term):
    """A term whose effect partly stays and partly changes from year to year; of one period it is the term itself.

    Parameters
    ----------
    term : Term
        Such as `BYM2` or `IID`: its parameters are of what stays. It keeps its name.
    change : Prior
        Of the standard deviation of changes, on the scale of the predictor: by default about 0.25, with 95% between
        0.1 and 0.65, as published figures of buurten change. Where few answer these say little about it, and a prior
        that is largest at 0, such as a PC prior, makes intervals of real changes too narrow (docs/years.md).
    process : {"walk", "ar1"}
        How changes go on: a share psi as a random walk; or all as a stationary autoregression, of which rho is left
        after a year. Surveys of a few years hardly tell them apart.
    persistence : Beta
        Of psi, the share of changes that go on as a random walk, where the rest comes and goes with the year; or of
        rho.
    change_mixing : Beta
        Of the structured share of changes, of a term that has one.
    change_exponent : Normal
        Of change_gamma, what is added to gamma in changes, of a term that has one.
    sd, spread, correlation, name
        Those of the term: they are given there.

    Raises
    ------
    ModelError
        If it is of no term, or of one with heavy tails or a horseshoe, or has what its term should have.

    Examples
    --------
    >>> from buurtsae import BYM2, Graph, OverTime
    >>> graph = Graph.from_pairs(["a", "b", "c"], [("a", "b"), ("b", "c")])
    >>> OverTime(BYM2(graph))
    OverTime(BYM2.sigma, BYM2.phi, BYM2.gamma, BYM2.R, BYM2.change, BYM2.psi, BYM2.change_phi, BYM2.change_gamma)
    """

    term: Term = field(kw_only=False)
    change: Positive = LogNormal(-1.4, 0.5)
    process: Process = "walk"
    persistence: Proportion = Beta(1.0, 1.0)
    change_mixing: Proportion = Beta(1.0, 1.0)
    change_exponent: Normal = Normal(0.0, 0.5)

    def __post_init__(self) -> None:
        if not isinstance(self.term, Term) or isinstance(self.term, OverTime):
            what, hint = "what changes over time is no term", "OverTime(BYM2(graph))"
            raise ModelError(what, cut(repr(self.term)), "a term such as BYM2 or IID", hint)
        own = {"sd": Term.sd, "spread": Term.spread, "correlation": Term.correlation, "name": ""}
        own |= {"name": self.name} if self.name == self.term.name else {}  # as `replace` gives it
        if given := [name for name, default in own.items() if getattr(self, name) != default]:
            what, hint = f"{shown(given)} of OverTime is that of its term", f"give it to {type(self.term).__name__}"
            own_fields = "term, change, process, persistence, change_mixing, change_exponent"
            raise ModelError(what, shown(given), own_fields, hint)
        if self.process not in (known := get_args(Process)):
            raise ModelError("`process` is unknown", cut(repr(self.process)), " or ".join(known), "choose one")
        object.__setattr__(self, "name", self.term.name)
        super().__post_init__()

    def of_term(self, term: Term) -> OverTime:
        """Return another term that changes as this one does."""
        return OverTime(
            term, change=self.change, process=self.process, persistence=self.persistence,
            change_mixing=self.change_mixing, change_exponent=self.change_exponent,
        )  # fmt: skip

    @property
    def neighbours(self) -> Graph | None:
        """The graph that it lies on, if any."""
        return self.term.neighbours

    @property
    def pinned(self) -> bool:
        """Whether every connected part of its graph has the mean of all."""
        return self.term.pinned

    @property
    def theme(self) -> tuple[str, ...]:
        """Covariates that it brings."""
        return self.term.theme

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of what stays, then those of changes."""
        return *self.term.parameters, *self._of_changes(self.term.parameters)

    @property
    def _lasting(self) -> str:
        """The name of the parameter that says how long changes last."""
        return "psi" if self.process == "walk" else "change_rho"

    @property
    def lasting(self) -> bool:
        """Years tell about each other."""
        return True

    def _of_changes(self, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
        mixed, by_residents = ("phi" in (names := [p.name for p in parameters])), "gamma" in names
        return (
            Parameter("change", Alike(self.change, self.term.spread)),
            Parameter(self._lasting, Around(self.persistence, 0.0)),
            *([Parameter("change_phi", Around(self.change_mixing, 0.0))] if mixed else []),
            *([Parameter("change_gamma", Around(self.change_exponent, 0.0))] if by_residents else []),
        )

    @property
    def symbol(self) -> str:
        """Its part of the predictor."""
        return f"{self.term.symbol} + {self.name}.change[d] w[a,d,year]"

    @property
    def about(self) -> Note:
        """What it is."""
        how = (
            Note("a share psi as a random walk", "voor een deel psi als toevalswandeling")
            if self.process == "walk"
            else Note("an autoregression with change_rho", "een autoregressie met change_rho")
        )
        return Note(
            "{stays}; and changes from year to year, {how}", "{stays}; en veranderingen van jaar op jaar, {how}",
            stays=self.term.about, how=how,
        )  # fmt: skip

    def on(self, frame: Frame) -> Effect:
        """Return it on data: of one period the term itself, of several all years together.

        Raises
        ------
        ModelError
            If the term has heavy tails or a horseshoe.
        """
        effect = self.term.on(frame)
        if len(frame.years) < 2:
            return effect
        if effect.tail is not None or effect.local is not None:
            hint = "leave the tails out, or take a Ridge"
            raise ModelError(f"{self.name} cannot change over time", "heavy tails", "a normal effect", hint)
        over = Contrasts.of(frame.years, len(frame.measures), self.process, frame.waves)

        def both(of: Callable[[Values], Any]) -> Callable[[Values], Any]:
            return lambda values: over.loading(of(values), of(self._changing(values)), values[self._lasting])

        levels = None if effect.levels is None else replace(effect.levels, loading=both(effect.levels.loading))
        return replace(
            effect,
            parameters=(*effect.parameters, *self._of_changes(effect.parameters)),
            loading=both(effect.loading),
            loose=None if effect.loose is None else both(effect.loose),
            levels=levels,
            strengths=None if effect.strengths is None else over.of_columns(effect.strengths, self._changing),
            log_determinant=(
                None if effect.log_determinant is None else over.summed(effect.log_determinant, self._changing)
            ),
            scaling=None if effect.scaling is None else self._scaling(over, effect.scaling),
            joint=True,
        )

    @staticmethod
    def _scaling(over: Contrasts, of: Callable[[Values], tuple[Any, ...]]) -> Callable[[Values], tuple[Any, ...]]:
        """How standard deviations depend on residents: by gamma in all years, and what contrasts have besides."""
        rows, contrasts = over.of_rows(of), np.kron(np.arange(len(over.vectors)) > 0, np.eye(over.width))
        return lambda values: (*rows(values), values["change_gamma"] @ contrasts)

    @staticmethod
    def _changing(values: Values) -> Mapping[str, Any]:
        """The term's parameters as those of changes."""
        return {
            **values,
            "sigma": values["change"],
            **({"phi": values["change_phi"]} if "change_phi" in values else {}),
        }
