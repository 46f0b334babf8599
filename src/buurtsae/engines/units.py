"""Several measures of the same persons, each with a model of its own, as one fit with a column for each.

Draws of one measure, with all its figures and groups of residents, are joint. Those of two measures are independent
given the data, because nothing in the models ties the answers of one person to two questions: means of measures, whose
error would depend on it, are refused where they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.draws import Certificate, Draws
from buurtsae.engines.base import Fit
from buurtsae.engines.persons_fit import fit_persons
from buurtsae.engines.unit import UnitFit
from buurtsae.errors import DataError, Problems, shown
from buurtsae.model.design import design
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.per_measure import PerMeasure, outcome_of
from buurtsae.model.persons.answer import Ladder
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Domain
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates


@dataclass(frozen=True, repr=False)
class UnitFits:
    """Fitted models of persons, of several measures.

    Attributes
    ----------
    fits : mapping of measure to UnitFit
    figures : mapping of name to (measure, figure)
        The columns in their order, each a figure of a measure, as `UnitFit.fit_of` calls it; None is the default.
    direct : DirectEstimates, optional
        Of all residents, a column for each figure, by the design of the survey; without it those of the answers.
    scales : mapping of name to Scale
        Of shares, where it is not that of the outcome.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = bs.Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table = table.assign(lonely=[0.2, 0.5, 0.3, 0.4, 0.1, 0.6], active=[0.4, 0.3, 0.6, 0.2, 0.7, 0.3])
    >>> names, model = ["lonely", "active"], bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Factor("age")])
    >>> answers = {name: bs.Answers.of(table, name, cells, area="code", number="n") for name in names}
    >>> models = dict.fromkeys(names, model)
    >>> fits = bs.fit_units(models, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> fits.fit_of().draws.subdimensions
    ('lonely', 'active')
    """

    fits: Mapping[str, UnitFit]
    figures: Mapping[str, tuple[str, str | None]]
    direct: DirectEstimates | None = None
    scales: Mapping[str, Scale] = field(default_factory=dict)

    def fit_of(self, domain: Domain | None = None) -> Fit:
        """Return figures of the residents of a domain, per area, a column for each; as `UnitFit.fit_of`.

        Raises
        ------
        DataError
            On an unknown characteristic or level, or a domain without residents, or respondents to some question.
        """
        parts = {
            name: self.fits[of].fit_of(domain, figure, self.scales.get(name))
            for name, (of, figure) in self.figures.items()
        }
        outcome = PerMeasure({name: _outcome(part) for name, part in parts.items()})
        first, names = next(iter(parts.values())), tuple(parts)
        direct = self.direct if domain is None and self.direct is not None else beside(parts, first.areas)
        area = replace(first.model, outcome=outcome, intercept=outcome.intercept)
        arrays = replace(design(area, direct), strange=())  # priors are of each model, which has looked at them
        eta = np.concatenate([part.draws.eta for part in parts.values()], axis=-1)
        draws = replace(self._raw, eta=eta, subdimensions=names, outcome=arrays.model.outcome)
        draws = replace(draws, coords={**draws.coords, "measure_2": names}, wholes=self._wholes)
        persons = tuple(figure for part in parts.values() for figure in part.persons)
        seconds = sum(fit.seconds for fit in self.fits.values())
        return Fit(arrays, direct, draws, first.engine, first.seed, seconds, persons=persons)

    @property
    def _wholes(self) -> tuple[tuple[str, ...], ...]:
        """Columns that are the shares of all categories of one ordered measure."""
        wholes = []
        for measure, fit in self.fits.items():
            if isinstance(ladder := fit.model.answers, Ladder):
                of = {figure: name for name, (part, figure) in self.figures.items() if part == measure}
                shares = [of.get(f"share {label}") for label in ladder.labels(fit.answers.y.shape[1])]
                wholes += [tuple(name for name in shares if name)] if all(shares) else []
        return tuple(wholes)

    @cached_property
    def _raw(self) -> Draws:
        """Parameters of all models beside one another; the certificate is that of the worst."""
        fits = self.fits
        raws = {name: fit.raw for name, fit in fits.items()}
        hyper, coords = {}, dict(next(iter(raws.values())).coords)
        for name in dict.fromkeys(name for raw in raws.values() for name in raw.hyper):
            of = {measure: raw.hyper[name] for measure, raw in raws.items() if name in raw.hyper}
            dims = next(iter(of.values()))[0]
            if "measure" in dims:
                values = np.concatenate([v for _, v in of.values()], axis=2 + dims.index("measure"))
                hyper[name] = tuple(f"measure of {name}" if d == "measure" else d for d in dims), values
                coords[f"measure of {name}"] = tuple(of)
                continue
            for measure, (_, values) in of.items():
                hyper[f"{measure}.{name}"] = tuple(f"{measure}.{d}" for d in dims), values
                coords |= {f"{measure}.{d}": raws[measure].coords[d] for d in dims}
        told = [raw.certificate for raw in raws.values() if isinstance(raw.certificate, Certificate)]
        worst = None
        if told:
            ends = (max(c.khat for c in told), min(c.values for c in told), min(c.effective for c in told))
            worst = Certificate(*ends)
        divergences = sum(raw.divergences for raw in raws.values())
        first = next(iter(raws.values()))
        return replace(first, hyper=hyper, coords=coords, certificate=worst, divergences=divergences)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is to be known of answers, cells and models."""
        return tuple(dict.fromkeys(note for fit in self.fits.values() for note in fit.notes))

    def __repr__(self) -> str:
        return f"UnitFits of {shown(self.figures, 10)}: {next(iter(self.fits.values()))!r}"


def fit_units(
    models: Mapping[str, UnitModel],
    answers: Mapping[str, Answers],
    cells: Cells | list[Cells],
    engine: str = "laplace",
    seed: int = 1,
    *,
    figures: Mapping[str, tuple[str, str | None]] | None = None,
    direct: DirectEstimates | None = None,
    scales: Mapping[str, Scale] | None = None,
    progress: bool = True,
    **options: Any,
) -> UnitFits:
    """Fit a model of persons to each of several measures, with seeds of their own.

    Parameters
    ----------
    models : mapping of measure to UnitModel
    answers : mapping of measure to Answers
        Of the same areas.
    cells : Cells or list of these
        As `fit_persons`.
    engine, seed, progress, **options
        As `fit_persons`.
    figures : mapping of name to (measure, figure), optional
        What is a column of the fit; by default each measure, by its default figure.
    direct : DirectEstimates, optional
        Of all residents, a column for each figure.
    scales : mapping of name to Scale, optional
        Of shares.

    Returns
    -------
    UnitFits

    Raises
    ------
    DataError, ModelError or ProblemsError
        If there are other measures in one than in the other, or as `fit_persons`.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": [1, 2, 3], "population": [60, 60, 60]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 1, 2, 2, 3, 3], "age": ["18-64", "65+"] * 3, "aantal": 30, "n": 9})
    >>> cells = bs.Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> table = table.assign(lonely=[0.2, 0.5, 0.3, 0.4, 0.1, 0.6], active=[0.4, 0.3, 0.6, 0.2, 0.7, 0.3])
    >>> names, model = ["lonely", "active"], bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Factor("age")])
    >>> answers = {name: bs.Answers.of(table, name, cells, area="code", number="n") for name in names}
    >>> models = dict.fromkeys(names, model)
    >>> fits = bs.fit_units(models, answers, cells, draws=100, hyperparameters=50, progress=False)
    >>> fits
    UnitFits of lonely, active: UnitFit by laplace in ... s, ...
    """
    if not models or set(models) != set(answers):
        got, hint = f"models of {shown(models) or 'none'}, answers of {shown(answers) or 'none'}", "give both of each"
        raise DataError("models and answers are of other measures", got, "the same, one or more", hint)
    columns = figures or {name: (name, None) for name in models}
    fits = {}
    for k, (name, model) in enumerate(models.items()):
        of_own = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])  # measures have no chance in common
        fits[name] = fit_persons(
            model, answers[name], cells, engine, of_own, measure=name, progress=progress, **options
        )
    return UnitFits(fits, columns, direct, scales or {})


def beside(parts: Mapping[str, Fit], areas: Areas) -> DirectEstimates:
    """Return what respondents say of each figure, beside one another: means with variances, shares on their scale.

    Raises
    ------
    DataError
        If figures are of other areas.
    """
    problems, sources = Problems(), {name: part.direct.sources[0] for name, part in parts.items()}
    codes = areas.codes[areas.codes.isin(pd.Index(np.concatenate([s.codes for s in sources.values()])))]
    shape = len(codes), len(parts)
    arrays = {what: np.full(shape, fill) for what, fill in (
        ("mean", np.nan), ("respondents", 0.0), ("n_effective", 0.0), ("rarest", np.inf), ("alike", 0.0))}  # fmt: skip
    variance = np.zeros((*shape, len(parts)))
    for d, (name, source) in enumerate(sources.items()):
        if not parts[name].areas.codes.equals(areas.codes):
            problems.add("figures are of other areas", name, "the same areas", "fit all on the same cells", DataError)
            continue
        row, scale = codes.get_indexer(source.codes), _scale(parts[name])
        arrays["mean"][row, d] = scale.lower + scale.width * source.mean[:, 0]
        variance[row, d, d] = scale.width**2 * source.variance[:, 0, 0]
        numbers: dict[str, Floats | Ints | None] = {
            "respondents": source.respondents, "n_effective": source.n_effective, "rarest": source.rarest,
            "alike": source.alike,
        }  # fmt: skip
        for what, values in numbers.items():
            if values is not None:
                arrays[what][row, d] = values[:, 0]
    problems.raise_if_any()
    first = next(iter(parts.values())).direct
    source = SourceEstimates(
        first.sources[0].source, first.sources[0].year, codes, arrays["mean"], variance,
        arrays["respondents"].astype(np.int64), arrays["n_effective"], level=areas.base,
        rarest=arrays["rarest"], alike=arrays["alike"],
    )  # fmt: skip
    return DirectEstimates(
        tuple(parts), (source,), areas, scale=Scale.spanning(_outcome(p).scale for p in parts.values())
    )


def _scale(part: Fit) -> Scale:
    """What direct estimates of a figure are on: counts are shares from 0 to 1."""
    return _outcome(part).scale if part.design.size is not None else Scale(0.0, 1.0)


def _outcome(part: Fit) -> Outcome:
    """The outcome of a figure, which has one measure."""
    return outcome_of(part.model.outcome, part.draws.subdimensions[0])
