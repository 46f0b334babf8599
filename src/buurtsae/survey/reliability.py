r"""Reliability of scales and of buurt means, and items that do not fit; of wijk means where only the wijk is known.

With C the covariance of k items (complete cases), psi their unique variances in a one-factor model (by ML):
    alpha = k / (k - 1) (1 - tr C / sum C)  (Cronbach 1951),    omega = 1 - sum psi / sum C  (McDonald 1999, total).
For the mean score of the n_a respondents of buurt a, with variances tau2 between and sigma2 within buurten by analysis
of variance, tau2 = max(0, (MSB - MSW) / n0), n0 = (N - sum n_a^2 / N) / (A - 1)  (Searle, Casella, McCulloch 1992):
    lambda_a = tau2 / (tau2 + sigma2 / n_a)  (Raudenbush and Sampson 1999),    icc = tau2 / (tau2 + sigma2),
so that a reliability r takes (1 - icc) / icc * r / (1 - r) respondents. Weights change C and n_a (Kish), not tau2 and
sigma2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.errors import DataError
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.codebook import Item
from buurtsae.survey.scales import asked, item_scores, scale_scores, score
from buurtsae.survey.survey import Survey

POOR = 0.2  # an item-rest correlation below this: the item says little about its scale
LEAST_UNIQUE = 0.005  # lower bound of the unique variance of a standardised item, that of R's factanal and psych
SINGULAR = 1e-6
LEAST = 3  # complete respondents
NOTHING = Note("", "")
KINDS = {"scale": Note("scale", "schaal"), "subdimension": Note("measure", "maat")}
BUURT = ["area_code", "kind", "scale", "respondents", "reliability"]
REVERSED, MISFIT, CONSTANT = "omgekeerd?", "past slecht", "geen variatie"


@dataclass(frozen=True)
class Reliability:
    """How well a source measures; see `reliability`.

    Attributes
    ----------
    source : str
    year : int
    scales : DataFrame
        One row per scale, and per sub-dimension of several scales (`kind`): `items` asked, `items_used` (those that
        vary), complete `respondents`, `alpha`, `omega`; `buurten` and `scored` respondents, `tau2`, `sigma2` (squared
        points), `icc`, mean and median over buurten of `lambda`, respondents per buurt `needed_70` and `needed_80` for
        a reliability of 0.7 and 0.8 (infinite where buurten do not differ); `reversed`, the items that look it;
        `reason` for what is missing.
    items : DataFrame
        One row per item and scale: `share_answered`, `mean` (0-10), `item_rest` correlation, `alpha_if_deleted`,
        `alpha_if_reversed`, `flag` (empty, 'omgekeerd?', 'past slecht', 'geen variatie') and `reason`.
    buurten : DataFrame
        `area_code`, `kind`, `scale`, `respondents` and `reliability` (lambda) of each buurt's mean.
    notes : tuple of str
        What to look at, in sentences.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import folder
    >>> survey = bs.Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    >>> bs.reliability(survey)
    Reliability of veiligheidsmonitor 2024: 4 scales, 18 items of which 0 flagged
    """

    source: str
    year: int
    scales: pd.DataFrame
    items: pd.DataFrame
    buurten: pd.DataFrame
    notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:
        size = f"{len(self.scales)} scales, {len(self.items)} items of which {self.items['flag'].ne('').sum()} flagged"
        return f"Reliability of {self.source} {self.year}: {size}"

    def __str__(self) -> str:
        wide = {"float_format": "{:.2f}".format, "index": False, "na_rep": "-"}
        scale = "scale items_used respondents alpha omega icc lambda_mean needed_70 needed_80".split()
        item = "scale item share_answered mean item_rest alpha_if_deleted flag".split()
        tables = [self.scales[scale].to_string(**wide), self.items[item].to_string(**wide)]
        return "\n\n".join([f"Reliability of {self.source} {self.year}", *tables, "\n".join(self.notes)]).rstrip()


def alpha(covariance: Floats) -> float:
    """Return Cronbach's alpha of items with this covariance; NaN for fewer than two, or a sum that does not vary."""
    k, total = len(covariance), covariance.sum()
    return float(k / (k - 1) * (1 - np.trace(covariance) / total)) if k > 1 and total > 1e-12 else np.nan


def item_rest(covariance: Floats) -> Floats:
    """Return the correlation of each item with the sum of the others; NaN where that sum does not vary."""
    variance = np.diag(covariance)
    with_rest = covariance.sum(axis=1) - variance
    rest = covariance.sum() - variance - 2 * with_rest
    none = np.full(len(variance), np.nan)
    return np.divide(with_rest, np.sqrt(variance * rest.clip(0)), out=none, where=rest > 1e-12)


def one_factor(correlation: Floats) -> tuple[Floats, Floats]:
    """Return loadings and unique variances of one factor, by maximum likelihood (Jöreskog 1967).

    The likelihood is profiled over the loadings: with e the eigenvalues of the correlation scaled by the unique
    variances psi, increasing, it is minus the sum of e - log e - 1 over all but the largest. Unlike statsmodels' Factor
    it is bounded away from psi = 0 and starts at the same place each time.
    """
    from scipy.optimize import minimize

    if np.linalg.eigvalsh(correlation)[0] < SINGULAR:  # an item repeats others, and there is no likelihood
        correlation = (correlation + SINGULAR * np.eye(len(correlation))) / (1 + SINGULAR)

    def fitted(psi: Floats) -> tuple[Floats, Floats]:
        e, v = np.linalg.eigh(correlation / np.sqrt(np.outer(psi, psi)))
        return e, np.sqrt(psi * max(e[-1] - 1, 0.0)) * v[:, -1]

    def profile(psi: Floats) -> tuple[float, Floats]:
        e, loading = fitted(psi)
        return (e - np.log(e) - 1)[:-1].sum(), (loading**2 + psi - np.diag(correlation)) / psi**2

    start, bounds = np.full(len(correlation), 0.5), [(LEAST_UNIQUE, 1.0)] * len(correlation)
    psi = minimize(profile, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9}).x
    loading = fitted(psi)[1]
    return loading * (1 if loading.sum() >= 0 else -1), psi


def omega(covariance: Floats) -> tuple[float, Floats]:
    """Return McDonald's omega total of three or more items, and their standardised unique variances."""
    sd = np.sqrt(np.diag(covariance))
    unique = one_factor(covariance / np.outer(sd, sd))[1]
    return float(1 - (sd**2 * unique).sum() / covariance.sum()), unique


def between_within(y: Floats, area: Ints) -> tuple[float, float]:
    """Return the variances of y between and within areas by analysis of variance, the former not below 0.

    Areas are numbers from 0, without gaps: two areas or more, and one of two respondents or more.
    """
    n = np.bincount(area)
    mean = np.bincount(area, y) / n
    within = ((y - mean[area]) ** 2).sum() / (len(y) - len(n))
    between = (n * (mean - y.mean()) ** 2).sum() / (len(n) - 1)
    n0 = (len(y) - (n**2).sum() / len(y)) / (len(n) - 1)
    return max(0.0, float((between - within) / n0)), float(within)


def reliability(survey: Survey, areas: Sequence[str] | None = None, weighted: bool = False) -> Reliability:
    """Return the reliability of each scale of a survey and of the buurt means, and check its items.

    Parameters
    ----------
    survey : Survey
    areas : sequence of str, optional
        Buurten to report; default those with a scored respondent. One without has reliability 0.
    weighted : bool
        Use the design weights in covariances and means, and effective numbers of respondents per buurt.

    Returns
    -------
    Reliability

    Raises
    ------
    DataError
        If no item was asked.

    Notes
    -----
    An item is flagged 'omgekeerd?' when its item-rest correlation is below 0 by more than two standard errors (Fisher's
    z): turning it around then always raises alpha. Of two items either may be the one.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import folder
    >>> survey = bs.Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    >>> bs.reliability(survey).scales.set_index("scale")["alpha"].round(2).to_dict()
    {'buurtcohesie': 0.83, 'buurtactief': 0.46, 'buurtbinding': 0.52, 'leefbaarheid': 0.65}
    """
    book = survey.codebook
    sets = [("scale", scale.id, scale.subdimension, asked(survey, scale)) for scale in book.scales]
    for whole in book.subdimensions:
        parts = [items for _, _, dimension, items in sets if dimension == whole and items]
        if len(parts) > 1:
            sets.append(("subdimension", whole, whole, tuple(item for items in parts for item in items)))
    per = {"scale": scale_scores(survey), "subdimension": score(survey, book.subdimensions).frame}
    weight = survey.frame["weight"].to_numpy(dtype=float) if weighted else np.ones(len(survey.frame))
    scales, checks, buurten, notes = [], [], [], list[Note]()
    for kind, name, dimension, items in sets:
        if not items:
            continue
        inner, each, remarks = _internal(item_scores(survey, items), items, weight)
        scored = per[kind][name].to_numpy()
        outer, table, flat = _of_areas(scored, survey.frame["area_code"], survey.level, weight, areas)
        reason = Note.joined(filter(None, [inner.pop("reason"), outer.pop("reason")]))
        turned = [row["item"] for row in each if row["flag"] == REVERSED] if kind == "scale" else []
        about = {"kind": kind, "scale": name, "subdimension": dimension}
        scales.append({**about, **inner, **outer, "reversed": turned, "reason": reason})
        buurten.append(table.assign(kind=kind, scale=name))
        if kind == "scale":
            checks += [{"scale": name, "subdimension": dimension, **row} for row in each]
        reasons = [reason] if reason else []
        notes += [
            Note("{kind} {name}: {note}", "{kind} {name}: {note}", kind=KINDS[kind], name=name, note=note)
            for note in (*reasons, *flat, *(remarks if kind == "scale" else []))
        ]
    if not scales:
        raise DataError(f"{book.id} {survey.year} has no items", "none asked", "one or more", "see `not_asked`")
    tables = pd.DataFrame(scales), pd.DataFrame(checks), pd.concat(buurten, ignore_index=True)[BUURT]
    return Reliability(book.id, survey.year, *tables, tuple(notes))


def _internal(
    values: Floats, items: Sequence[Item], weight: Floats
) -> tuple[dict[str, Any], list[dict[str, Any]], list[Note]]:
    """Row of the scale, rows of its items, and notes."""
    answered, k = ~np.isnan(values), len(items)
    low, high = (np.where(answered, values, end) for end in (np.inf, -np.inf))
    varies = low.min(axis=0) < high.max(axis=0)  # not if silent
    full = answered[:, varies].all(axis=1) & varies.any()
    used = [int(j) for j in np.flatnonzero(varies) if full.any() and np.ptp(values[full, j]) > 0]
    row = {"items": k, "items_used": len(used), "respondents": int(full.sum()), "alpha": np.nan, "omega": np.nan}
    reason, notes, figures = NOTHING, list[Note](), np.full((3, k), np.nan)
    if full.sum() < LEAST:
        reason = Note(
            "no alpha and omega: {n} respondents answered all items, {least} are needed",
            "geen alfa en omega: {n} respondenten beantwoordden alle vragen, {least} zijn nodig",
            n=int(full.sum()), least=LEAST,
        )  # fmt: skip
    elif len(used) < 2:
        reason = Note(
            "no alpha and omega: {n} items vary among them, 2 are needed",
            "geen alfa en omega: hun antwoorden verschillen bij {n} van de vragen, minstens 2 zijn nodig",
            n=len(used),
        )
    else:
        c = np.cov(values[np.ix_(full, used)], rowvar=False, aweights=weight[full])
        figures[:, used] = _if_changed(c)
        row["alpha"] = alpha(c)
        if np.isnan(row["alpha"]):
            reason = Note(
                "no alpha and omega: the sum of the items does not vary",
                "geen alfa en omega: de som van de vragen is voor iedereen gelijk",
            )
        elif len(used) == 2:
            reason = Note(
                "no omega: 2 items vary, 3 are needed",
                "geen omega: de antwoorden verschillen bij 2 vragen, minstens 3 zijn nodig",
            )
        else:
            row["omega"], unique = omega(c)
            if bound := [items[j].name for j, share in zip(used, unique, strict=True) if share <= LEAST_UNIQUE]:
                notes.append(Note(
                    "one factor explains {items} wholly: do not rely on omega",
                    "één factor verklaart {items} geheel: omega is niet betrouwbaar",
                    items=bound,
                ))  # fmt: skip
    effective = weight[full].sum() ** 2 / (weight[full] ** 2).sum() if full.any() else 0.0
    heard = weight @ answered
    mean = np.divide(weight @ np.where(answered, values, 0.0), heard, out=np.full(k, np.nan), where=heard > 0)
    rows = []
    for j, item in enumerate(items):
        r, deleted, turned = figures[:, j]
        why, flag, text = "", "", NOTHING
        if heard[j] == 0:
            why = "no answers"
        elif not varies[j]:
            why, flag = "one answer category", CONSTANT
            text = Note(
                "item {item} has one answer category: left out of alpha and omega",
                "vraag {item} heeft één antwoordcategorie: niet meegeteld in alfa en omega",
                item=item.name,
            )
        elif np.isnan(r):
            why = reason or "does not vary among complete respondents"
        elif effective > 3 and np.arctanh(np.clip(r, -0.999999, 0.999999)) * np.sqrt(effective - 3) < -2:
            flag = REVERSED
            which = Note("it or the other item", "deze of de andere vraag") if len(used) == 2 else Note("it", "ze")
            text = Note(
                "item {item} correlates {r:.2f} with the rest: {which} looks reversed and left so (alpha {alpha:.2f}, "
                "turned around {turned:.2f}); check `worst` and `best` against the questionnaire",
                "vraag {item} correleert {r:.2f} met de rest: {which} lijkt omgekeerd gesteld en zo gelaten (alfa "
                "{alpha:.2f}, omgedraaid {turned:.2f}); vergelijk `worst` en `best` met de vragenlijst",
                item=item.name, r=float(r), which=which, alpha=float(row["alpha"]), turned=float(turned),
            )  # fmt: skip
        elif r < POOR:
            flag = MISFIT
            text = Note(
                "item {item} correlates {r:.2f} with the rest: it says little about what the others measure",
                "vraag {item} correleert {r:.2f} met de rest: ze zegt weinig over wat de andere meten",
                item=item.name, r=float(r),
            )  # fmt: skip
        why = why or ("no alpha without it: too little is left" if np.isnan(deleted) else "")
        notes += [text] if flag else []
        each = {"item_rest": r, "alpha_if_deleted": deleted, "alpha_if_reversed": turned, "flag": flag, "reason": why}
        rows.append({"item": item.name, "share_answered": heard[j] / weight.sum(), "mean": mean[j], **each})
    return row | {"reason": reason}, rows, notes


def _if_changed(c: Floats) -> Floats:
    """Item-rest correlation, alpha without each item and alpha with each item turned around, shape (3, k)."""
    every = range(len(c))
    deleted = [alpha(np.delete(np.delete(c, item, 0), item, 1)) for item in every]
    turned = [alpha(c * np.outer(sign, sign)) for sign in 1 - 2 * np.eye(len(c))]
    return np.array([item_rest(c), deleted, turned])


def _of_areas(
    y: Floats, area: pd.Series, level: str, weight: Floats, areas: Sequence[str] | None
) -> tuple[dict[str, Any], pd.DataFrame, list[Note]]:
    """What the row of a scale says of buurten (or wijken), the reliability of each, and notes."""
    scored = ~np.isnan(y)
    code, names = pd.factorize(area[scored], sort=True)
    count = np.bincount(code, minlength=len(names))
    row: dict[str, Any] = {"buurten": len(names), "scored": int(scored.sum())}
    row |= dict.fromkeys("tau2 sigma2 icc lambda_mean lambda_median needed_70 needed_80".split(), np.nan)
    if len(names) < 2 or count.max() < 2:
        reason = Note(
            "no reliability of {level} means: two {level}en are needed, one of them with two respondents",
            "geen betrouwbaarheid van gemiddelden per {level}: nodig zijn twee {level}en, één met twee respondenten",
            level=level,
        )
        return row | {"reason": reason}, pd.DataFrame(columns=BUURT), []
    tau2, sigma2 = between_within(y[scored], code)
    if tau2 + sigma2 == 0:
        reason = Note(
            "no reliability of {level} means: all scores are the same",
            "geen betrouwbaarheid van gemiddelden per {level}: alle scores zijn gelijk",
            level=level,
        )
        return row | {"reason": reason}, pd.DataFrame(columns=BUURT), []
    n = np.bincount(code, weight[scored]) ** 2 / np.bincount(code, weight[scored] ** 2)  # the count, if unweighted
    each = tau2 / (tau2 + sigma2 / n)
    row |= {"tau2": tau2, "sigma2": sigma2, "icc": tau2 / (tau2 + sigma2)}
    row |= {"lambda_mean": each.mean(), "lambda_median": np.median(each)}
    row |= {f"needed_{r}": sigma2 / tau2 * r / (100 - r) if tau2 > 0 else np.inf for r in (70, 80)}
    table = pd.DataFrame({"respondents": count, "reliability": each}, index=pd.Index(names, name="area_code"))
    table = table if areas is None else table.reindex(pd.Index(areas, name="area_code"), fill_value=0)
    flat = Note(
        "{level}en differ no more than chance would have it: more respondents do not help",
        "{level}en verschillen niet meer dan door toeval: meer respondenten helpen niet",
        level=level,
    )
    return row | {"reason": NOTHING}, table.reset_index(), [flat] if tau2 == 0 else []
