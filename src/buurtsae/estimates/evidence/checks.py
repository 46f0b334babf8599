r"""Checks that can fail: what is left over of the data beside what the model would leave over of data of its own.

Each check is one number T per data set, computed of the data and of R replicates alike (`leftover`): the mean of z^2 or
of z over a class; the distance of PITs from uniform and the kurtosis of z; and score tests of patterns h (N, P) that
the model lacks, T = max_p b_p with b_p = s_p' Var(s_p)^{-1} s_p / W, s_p = h_p' q, the variance that of the replicates.
Of groups T = mean_p b_p, and T = b_g / {(sum_{p != g} b_p + k) / (P - 1 + k)} of the largest, b_g: a group that lies
apart widens the sd that it is judged by, so that the others judge it, moderated by the model, of which b is 1. Of
several years patterns h are of each year, and of all: of sums of q over years; and what an area has in one year and in
others has the score sum_a q_at (sum_u q_au - q_at), which tells a year that does not go with the others. With t
the deviation of g(T) from the mean of its replicates in their standard deviations (g a root or logarithm that makes its
law symmetric), the p-values of the family are those of the largest,

    p_j = (1 + #{r: max_i u_i |t_ir| >= u_j |t_j0|}) / (1 + R),    weights u_j below 1 for classes that tell where,

so that a model that holds is refused by any of them with probability alpha, however they hang together.

References
----------
Westfall, P. and Young, S. (1993). Resampling-Based Multiple Testing. Rao, C. (1948). Large sample tests. Proc.
Cambridge Philosophical Society 44. Grubbs, F. (1950). Sample criteria for testing outlying observations. Annals of
Mathematical Statistics 21. Smyth, G. (2004). Linear models and empirical Bayes methods. SAGMB 3 (the moderated t).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from buurtsae.engines.base import Fit
from buurtsae.estimates.disclosure.release import FEW, SEVERAL, Release, Releases
from buurtsae.estimates.evidence.counts import CLASSES, distance
from buurtsae.estimates.evidence.described_persons import of_areas
from buurtsae.estimates.evidence.leftover import Leftover
from buurtsae.estimates.evidence.meanings import KINDS, MEANINGS
from buurtsae.estimates.evidence.residuals import graph_of
from buurtsae.estimates.evidence.rows import keys, levels
from buurtsae.notes import Note
from buurtsae.sparse import Floats

RESPONDENTS = (1, 5), (6, 20), (21, np.inf)
RESIDENTS = (1, 500), (501, 1000), (1001, 2000), (2001, np.inf)
BY = {"residents": Note("residents", "inwoners"), "respondents": Note("respondents", "respondenten")}
DETAIL = 0.85  # weight of deviations of classes that tell where rather than whether
MODEL = 2.0  # k: so many groups does the model count for, beside the other groups
THIRDS = (
    Note("the third predicted lowest", "het derde deel met de laagste voorspelling"),
    Note("the third in the middle", "het middelste derde deel"),
    Note("the third predicted highest", "het derde deel met de hoogste voorspelling"),
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Check:
    """One number of the data beside those of the replicates.

    Attributes
    ----------
    id : str
        Its kind, a key of `meanings.KINDS`.
    where : Note
        Of which direct estimates, or what pattern.
    figures : int
        Direct estimates, or patterns.
    value : float
        T of the data: about 1 for mean squares, about 0 for means.
    low, high : float
        Between which 95% of the replicates lie.
    deviation : float
        t of the data.
    p : float
        Of the family: the probability of a deviation as large in any check, if the model holds.
    year : int, optional
        The year that it is about, of a fit of several.
    """

    id: str
    where: Note
    figures: int
    value: float
    low: float
    high: float
    deviation: float
    p: float
    year: int | None = None

    def record(self, false_alarm: float, *, several: bool = False) -> dict[str, object]:
        """Return a row of the report, of several years with the year; figures are rounded, so that no single answer
        shows in them.
        """
        passed = self.p >= false_alarm
        figures = {name: round(getattr(self, name), 2) for name in ("value", "low", "high")} | {"p": round(self.p, 4)}
        row = {"id": self.id, "what": KINDS[self.id], "where": self.where, "figures": self.figures, **figures}
        meaning = None if passed else MEANINGS[self.id][int(self.deviation > 0)]
        return row | ({"year": self.year} if several else {}) | {"passed": passed, "meaning": meaning}


@dataclass(frozen=True)
class Candidate:
    """A check before it is compared: T of the data and of the replicates, (1 + R,), and g of these."""

    id: str
    where: Note
    figures: int
    values: Floats
    g: Callable[[Floats], Floats] = np.asarray
    weight: float = 1.0
    year: int | None = None


def checks(fit: Fit, left: Leftover, release: Release | Releases | None = None) -> list[Check]:
    """Return all checks of a fit, the least likely first.

    Parameters
    ----------
    fit : Fit
    left : Leftover
        Of this fit.
    release : Release, optional
        Of several years that of each.
        What it hides does not count where it would show. Classes of fewer than ten direct estimates are not checked.

    Returns
    -------
    list of Check
        Empty where there are fewer than ten direct estimates.

    Examples
    --------
    >>> from buurtsae.estimates.evidence.leftover import leftover
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> fit = voorbeeldstad().fit
    >>> min(check.p for check in checks(fit, leftover(fit, replicates=50))) > 0.05
    True
    """
    candidates = [c for part in _parts(fit, left) for c in _of_part(*part, release)]
    made = [candidate for candidate in candidates if np.ptp(candidate.values[1:]) > 0]
    if not made:
        return []
    values = np.array([candidate.g(candidate.values) for candidate in made])
    # with the data among them: else replicates are judged by themselves, the data by others, and with 25 checks that
    # do not hang together and 100 replicates 8% are refused, not 5%
    by = values if fit.persons or fit.design.years else values[:, 1:]
    t = (values - by.mean(axis=1, keepdims=True)) / by.std(axis=1, ddof=1, keepdims=True)
    weighted = np.abs(t) * np.array([[candidate.weight] for candidate in made])
    largest = weighted[:, 1:].max(axis=0)
    found = []
    for candidate, own, far in zip(made, t[:, 0].tolist(), weighted[:, 0], strict=True):
        low, high = np.quantile(candidate.values[1:], [0.025, 0.975]).tolist()
        p = (1 + int((largest >= far).sum())) / (1 + len(largest))
        what = candidate.id, candidate.where, candidate.figures, float(candidate.values[0])
        found.append(Check(*what, low, high, own, p, candidate.year))
    return sorted(found, key=lambda check: (check.p, -abs(check.deviation)))


def _parts(fit: Fit, left: Leftover) -> Iterator[tuple[Fit, Leftover, str]]:
    """What is checked together: everything, or, of persons, each measure with the areas' part of its model.

    Replicates of measures of the same persons are independent, which their answers are not.
    """
    if not fit.persons:
        yield fit, left, ""
        return
    names = list(left.rows["measure"].unique())
    for name in names:
        unit = fit.persons[fit.draws.subdimensions.index(name)].fit
        yield of_areas(fit, unit, name), left.of_measure(name), name if len(names) > 1 else ""


def _of_part(fit: Fit, left: Leftover, name: str, release: Release | Releases | None) -> Iterator[Candidate]:
    """All checks of it, with the name of the measure where there are several."""
    for family in (_of_classes, _trends, _of_patterns, _between_years, _of_persons):
        for found in family(fit, left, release):
            where = found.where
            if name:
                where = Note("{where} ({name})", "{where} ({name})", where=where, name=name)
            yield replace(found, where=where)


def _of_persons(fit: Fit, left: Leftover, release: Release | Releases | None) -> Iterator[Candidate]:
    """Mean squares of the sums over levels of what the model has no effect of, of clusters over all of these.

    Levels have ten respondents or more (`persons.patterns`), so that nobody shows in them.
    """
    for one in left.sums:
        if one.pattern.kind == "weights":
            continue
        off = one.sums - one.sums.mean(axis=0)
        off = off[:, off[1:].std(axis=0) > 0]
        square = off**2 / (off**2).mean(axis=0)
        if one.pattern.kind == "cluster":  # few in each: all have one variance per person
            square = off**2 / (off[1:] ** 2).mean()
        name = Note.joined([Note(part, part) for part in one.pattern.on], " x ")
        if square.shape[1]:
            yield Candidate(one.pattern.kind, name, square.shape[1], square.mean(axis=1), np.cbrt)


def _of_classes(fit: Fit, left: Leftover, release: Release | Releases | None) -> Iterator[Candidate]:
    """Spread of z in every class, its level in some, and the shape of its distribution."""
    for name, where, inside in _classes(fit, left):
        mask = _counted(fit, left.rows, inside, release)
        if (size := int(mask[0].sum())) < FEW:
            continue
        count, weight = mask.sum(axis=1), DETAIL if name in ("measure", "residents", "prediction") else 1.0
        year = int(left.rows["year"][mask[0]].iloc[0]) if fit.design.years and name in ("measure", "year") else None
        spread = np.where(mask, left.square, 0.0).sum(axis=1) / count
        yield Candidate("spread", where, size, spread, np.cbrt, weight, year)
        if name in ("prediction", "imputed"):
            yield Candidate("level", where, size, np.where(mask, left.z, 0.0).sum(axis=1) / count)
        if name == "all":
            every = mask[0]
            far = _kolmogorov(ndtr(left.z[:, every])) if left.pit is None else distance(*left.pit[..., every])
            yield Candidate("shape", where, size, far, np.log)
            heavy = left.fourth[:, every].mean(axis=1) / left.square[:, every].mean(axis=1) ** 2
            yield Candidate("tails", where, size, heavy, np.log)
            yield from _of_counts(fit, left, every, release)


def _of_counts(fit: Fit, left: Leftover, mask: Mask, release: Release | Releases | None) -> Iterator[Candidate]:
    """Whether as many areas count nobody as predicted, and whether classes of predictions are what was predicted.

    Of areas whose counts may be known somebody answered yes: who counts nobody is hidden, and one of ten or more.
    """
    if left.observed is None or left.zero is None:
        return
    z, size = left.z[:, mask], int(mask.sum())
    none = (left.observed[:, mask] == 0).astype(float) - left.zero[:, mask]  # NaN of numbers
    hidden = 0 if release is None else int((mask & ~release.open_of_sources(left.rows, fit.direct)).sum())
    if (hidden == 0 or hidden >= FEW) and np.isfinite(none).all():
        yield Candidate("zeros", Note("areas with nobody", "gebieden met niemand"), size, none.mean(axis=1))
    if (number := min(CLASSES, size // FEW)) >= 3:
        order = np.argsort(left.predicted[:, mask], axis=1)
        parts = np.array_split(np.take_along_axis(z, order, axis=1), number, axis=1)
        square = np.mean([part.shape[1] * part.mean(axis=1) ** 2 for part in parts], axis=0)
        where = Note("{n} classes of predictions", "{n} klassen van voorspellingen", n=number)
        yield Candidate("calibration", where, size, square, np.cbrt)


def _trends(fit: Fit, left: Leftover, release: Release | Releases | None) -> Iterator[Candidate]:
    """Whether z^2 rises or falls with numbers of residents and of respondents: their correlation."""
    mask = _counted(fit, left.rows, np.ones((1, len(left.rows)), dtype=bool), release)[0]
    for what, numbers in (("residents", _residents(fit, left.rows)), ("respondents", left.rows["n_respondents"])):
        x = np.log(np.maximum(numbers.to_numpy(dtype=float)[mask], 1.0))
        if len(x) >= FEW and np.ptp(x) > 0:
            square = left.square[:, mask]
            x, off = (x - x.mean()) / x.std(), square - square.mean(axis=1, keepdims=True)
            where = Note("by {what}", "naar {what}", what=BY[what])
            yield Candidate("trend", where, len(x), off @ x / len(x) / square.std(axis=1))


def _residents(fit: Fit, rows: pd.DataFrame) -> pd.Series:
    of = {fit.areas.base, *(source.level for source in fit.direct.sources)}
    population = pd.concat([fit.areas.residents(level) for level in sorted(of, key=fit.areas.base.__ne__)])
    return rows["area_code"].map(population[~population.index.duplicated()])


def _classes(fit: Fit, left: Leftover) -> Iterator[tuple[str, Note, Mask]]:
    """Name, words and members of each class, (1, F) or, where it depends on the data, (1 + R, F)."""
    rows = left.rows
    yield "all", Note("all", "alle"), np.ones((1, len(rows)), dtype=bool)
    for year in fit.design.years:
        yield "year", Note(str(year), str(year)), _members(rows["year"] == year)
    parts = rows.groupby(keys(rows), sort=False).groups
    for (source, measure, *year), members in parts.items() if len(parts) > 1 else ():
        of = f"{measure} ({' '.join([source, *(str(one) for one in year if not source.endswith(f' {one}'))])})"
        yield "measure", Note(of, of), _members(rows.index.isin(members))
    for low, high in RESPONDENTS:
        where = _range(low, high, BY["respondents"])
        yield "respondents", where, _members(rows["n_respondents"].between(low, high))
    residents = _residents(fit, rows)
    for low, high in RESIDENTS:
        where = _range(low, high, BY["residents"])
        yield "residents", where, _members(residents.between(low, high))
    third = np.zeros(left.z.shape, dtype=np.int64)
    for part in rows.groupby(keys(rows), sort=False).indices.values():
        order = np.argsort(np.argsort(left.predicted[:, part], axis=1), axis=1)
        third[:, part] = 3 * order // len(part)
    for number, where in enumerate(THIRDS):
        yield "prediction", where, third == number
    filled = {code for codes in fit.design.imputed.values() for code in codes}
    where = Note("with imputed covariates", "met ingevulde kenmerken")
    yield "imputed", where, _members(rows["area_code"].isin(filled))


def _members(inside: object) -> Mask:
    return np.asarray(inside, dtype=bool)[None]


def _range(low: float, high: float, what: Note) -> Note:
    if np.isinf(high):
        return Note("{low:,.0f} {what} or more", "{low:,.0f} of meer {what}", low=low, what=what)
    return Note("{low:,.0f} to {high:,.0f} {what}", "{low:,.0f} tot en met {high:,.0f} {what}",
                low=low, high=high, what=what)  # fmt: skip


def _counted(fit: Fit, rows: pd.DataFrame, inside: Mask, release: Release | Releases | None) -> Mask:
    """Members that may go into one number: none of areas without a published estimate, nor those of one or two areas
    whose direct estimates are hidden.
    """
    if release is None:
        return inside
    kept = inside & release.open(rows.assign(level=levels(rows, fit.direct)))
    secret = kept[0] & ~release.open_of_sources(rows, fit.direct)
    return kept & ~secret if 0 < rows["area_code"][secret].nunique() < SEVERAL else kept


def _kolmogorov(pit: Floats) -> Floats:
    """Distance of PITs (1 + R, F) from uniform, times sqrt F."""
    ordered, n = np.sort(pit, axis=1), pit.shape[1]
    step = np.arange(1, n + 1) / n
    return np.asarray(np.maximum(step - ordered, ordered - step + 1 / n).max(axis=1) * np.sqrt(n))


def _scores(
    fit: Fit, left: Leftover, release: Release | Releases | None
) -> Iterator[tuple[int | None, Floats, Mask, Mask]]:
    """Yield q of the areas (1 + R, N, D), which of them are seen, and which of these have a hidden direct estimate.

    Of several years first the sums over them, without a year; then each. Areas without a published estimate have no q;
    nor have one or two whose direct estimates are hidden, which would show.
    """
    areas, periods = fit.areas, fit.design.periods
    q = left.score.reshape(*left.score.shape[:2], periods, -1)
    shown = told = np.ones((len(areas.codes), periods), dtype=bool)
    if release is not None:
        each = [release.of[year] for year in fit.design.years] if isinstance(release, Releases) else [release]
        shown = np.stack([one.shown(areas.base, areas.codes) for one in each], axis=1)
        told = np.stack([one.shown_direct(areas.base, areas.codes) for one in each], axis=1)
    q = np.where((areas.inhabited[:, None] & shown)[..., None], q, 0.0)
    secret = q[0].any(axis=2) & ~told
    several = [(None, slice(None))] if periods > 1 else []
    for year, columns in [*several, *((year, slice(t, t + 1)) for t, year in enumerate(fit.design.years or (None,)))]:
        own, hidden = q[:, :, columns].sum(axis=2), secret[:, columns].any(axis=1)
        if 0 < hidden.sum() < SEVERAL:
            own, hidden = np.where(hidden[:, None], 0.0, own), np.zeros_like(hidden)
        yield year, own, own[0].any(axis=1), hidden


def _of_patterns(fit: Fit, left: Leftover, release: Release | Releases | None) -> Iterator[Candidate]:
    """Score tests of what the model may lack; of groups of several areas, in which none or several are hidden."""
    for year, q, seen, secret in _scores(fit, left, release):
        for found in _of_scores(fit, q, seen, secret) if seen.sum() >= FEW else ():
            where = found.where
            if year is not None:
                where = Note("{where}, {year}", "{where}, {year}", where=where, year=str(year))
            yield replace(found, where=where, year=year)


def _of_scores(fit: Fit, q: Floats, seen: Mask, secret: Mask) -> Iterator[Candidate]:
    """Those of one year, or of all."""
    areas = fit.areas
    level = areas.parent(areas.base)
    above, graph = areas.parents(level).to_numpy(dtype=object), graph_of(fit)
    groups = [("group", Note("{level} by {level}", "{level} voor {level}", level=level), above)]
    if graph is not None:
        parts = graph.icar.component
        large = graph.icar.size[parts] > 1
        where = Note("parts of the neighbour graph", "losse delen van de burengraaf")
        groups.append(("component", where, pd.Series(parts).where(large).to_numpy(dtype=object)))
    for name, where, labels in groups:
        code = pd.factorize(labels)[0]
        members = (code[:, None] == np.unique(code[code >= 0])) & seen[:, None]
        hidden = (members & secret[:, None]).sum(axis=0)
        members &= ~secret[:, None] | (hidden == 0) | (hidden >= SEVERAL)
        members = members[:, members.sum(axis=0) >= SEVERAL]
        if members.shape[1] > 1:
            yield from (_groups if name == "group" else _pattern)(name, where, q, members.astype(float))
    residents = np.log(np.maximum(areas.population, 1.0))
    yield from _pattern("residents", Note("log residents", "logaritme van inwoners"), q, residents[:, None])
    for name, x in zip(fit.design.coefficients, fit.design.x.T, strict=True):
        if len(np.unique(x[seen])) > 2:
            yield from _pattern("bend", Note("{x} squared", "{x} in het kwadraat", x=name), q, x[:, None] ** 2)
    if graph is not None and len(graph.edges):
        first, second = graph.edges.T
        where = Note("pairs of neighbours", "paren van buren")
        size = int((seen[first] & seen[second]).sum())
        yield from _products("neighbours", where, size, (q[:, first] * q[:, second]).sum(axis=1))


def _between_years(fit: Fit, left: Leftover, release: Release | Releases | None) -> Iterator[Candidate]:
    """Whether what is left over of an area in a year goes with that in other years; of two years once."""
    every = {year: (q, seen) for year, q, seen, _ in _scores(fit, left, release) if year is not None and seen.any()}
    years = list(every)
    for year in years if len(years) > 2 else years[: len(years) - 1]:
        (q, seen), others = every[year], [every[other] for other in years if other != year]
        both = seen & np.any([part[1] for part in others], axis=0)
        where = Note("{year} and other years", "{year} en andere jaren", year=str(year))
        if len(years) == 2:
            where = Note("{first} and {second}", "{first} en {second}", first=str(years[0]), second=str(years[1]))
        pairs = (q * np.sum([part[0] for part in others], axis=0)).sum(axis=1)
        one = year if len(years) > 2 else None
        yield from (replace(found, year=one) for found in _products("years", where, int(both.sum()), pairs))


def _products(name: str, where: Note, size: int, pairs: Floats) -> Iterator[Candidate]:
    """The mean over measures of sums of products (1 + R, D), in standard deviations of the replicates."""
    scale = pairs[1:].std(axis=0)
    if size >= FEW and (scale > 0).all():
        yield Candidate(name, where, size, ((pairs - pairs[1:].mean(axis=0)) / scale).mean(axis=1))


def _pattern(name: str, where: Note, q: Floats, h: Floats) -> Iterator[Candidate]:
    """The largest square of patterns."""
    square = _squares(q, h)
    if square.shape[1]:
        yield Candidate(name, where, square.shape[1], square.max(axis=1), np.cbrt)


def _groups(name: str, where: Note, q: Floats, h: Floats) -> Iterator[Candidate]:
    """The mean square of groups, and the largest beside that of the others."""
    square = _squares(q, h)
    if (count := square.shape[1]) > 1:
        total, largest = square.sum(axis=1), square.max(axis=1)
        others = (total - largest + MODEL) / (count - 1 + MODEL)
        yield Candidate(name, where, count, total / count, np.cbrt)
        yield Candidate("apart", where, count, largest / others, np.log)


def _squares(q: Floats, h: Floats) -> Floats:
    """Squares s' Var(s)^{-1} s / W of patterns h (N, P) that the data tell of, s = h'q (1 + R, P, W): (1 + R, P)."""
    s = np.einsum("np,rnw->rpw", h, q, optimize=True)
    s = s[:, s[1:].std(axis=0).min(axis=1) > 0]
    variance = np.einsum("rpv,rpw->pvw", s[1:], s[1:]) / (len(s) - 1)
    square = np.einsum("rpv,pvw,rpw->rp", s, np.linalg.pinv(variance), s, optimize=True)
    return np.asarray(square / s.shape[2])
