r"""From items to scores on 0-10, per scale and per sub-dimension.

An answer code c scores 10 (c - worst) / (best - worst). A scale's score is the mean of its answered items, if at least
its `min_share_answered` of the k items asked is answered. A sub-dimension's score is the mean of its scales' scores
weighted by k, sum_s k_s m_s / sum_s k_s over the scored scales, if these hold at least the codebook's
`min_share_answered` of its items. Otherwise a score is missing. Of a share an answer scores 10 if it counts and 0 if
not; of several items, if any or all of them count, and it is missing where one of them is. Counts and ordered answers
are the numbers that were answered. The alternative is the graded response model
(`buurtsae.survey.graded`), fitted without design weights to all items of a sub-dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.errors import ModelError, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.codebook import Item, Scale
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.graded import ONE_CATEGORY, fit_graded
from buurtsae.survey.survey import Survey

METHODS = ("sum", "graded")
DECIMALS = 10  # scores are ratios of small whole numbers: ten decimals tell them apart, and equal answers score equally


@dataclass(frozen=True)
class Scores:
    """Sub-dimension scores of the respondents of one source.

    Attributes
    ----------
    frame : DataFrame, one row per respondent
        Every column of the survey that is no item (`area_code`, `weight`, `stratum`, and `cluster`, `fpc`, ... where
        the survey has them), and one per sub-dimension (0-10, NaN where missing or not asked).
    source : str
        Identifier of the source.
    year : int
    subdimensions : tuple of str
        All sub-dimensions of the concept, in its order.
    notes : tuple of str
        What an analyst should know of the items: one that everybody answered alike, for instance.
    errors : DataFrame or None
        Standard error per respondent and sub-dimension, of graded scores (NaN where there is none); None for sums.
    survey_design : DesignInfo or None
        How the design columns are to be used; that of the survey.
    kind : str
        `survey` or `participatory`.
    level : str
        `buurt` or `wijk`: what the codes in `area_code` are of.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import folder
    >>> survey = bs.Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    >>> bs.Concept.load().score(survey)
    Scores of veiligheidsmonitor 2024: 1000 respondents, unweighted means omgang_en_relaties 6.04, participatie 5.68,
    plaatsidentiteit 6.04, plaatsgeschiktheid 6.00
    """

    frame: pd.DataFrame
    source: str
    year: int
    subdimensions: tuple[str, ...]
    notes: tuple[Note, ...] = ()
    errors: pd.DataFrame | None = None
    survey_design: DesignInfo | None = None
    kind: str = "survey"
    level: str = "buurt"

    def __repr__(self) -> str:
        means = self.frame[list(self.subdimensions)].mean()
        each = shown(f"{name} {mean:.2f}" for name, mean in means.items())
        return f"Scores of {self.source} {self.year}: {len(self.frame)} respondents, unweighted means {each}"


def item_score(answers: pd.Series, item: Item) -> pd.Series:
    """Return the answers to one item on 0-10; of a share 10 for those that count."""
    if item.counted:
        return (10.0 * answers.isin(item.counted)).where(answers.notna())
    return 10.0 * (answers - item.worst) / (item.best - item.worst)


def item_scores(survey: Survey, items: Sequence[Item]) -> Floats:
    """Return the answers to the items on 0-10, shape (n_respondents, n_items); NaN is no answer."""
    columns = [item_score(survey.frame[item.name], item).to_numpy(dtype=float) for item in items]
    return np.column_stack(columns) if columns else np.empty((len(survey.frame), 0))


def asked(survey: Survey, scale: Scale) -> tuple[Item, ...]:
    """Return the items of a scale that this edition asked."""
    return tuple(item for item in scale.items if item.name in survey.frame)


def mean_if_enough(values: Floats, weights: Floats, share: float) -> Floats:
    """Return the weighted mean of each row over what is not missing; NaN below this share of the weights."""
    answered = ~np.isnan(values)
    weight = answered @ weights
    enough = weight > 0
    enough[enough] = weight[enough] / weights.sum() >= share
    total = np.where(answered, values, 0.0) @ weights
    return np.divide(total, weight, out=np.full(len(values), np.nan), where=enough)


def scale_scores(survey: Survey) -> pd.DataFrame:
    """Return the score of each respondent on each scale of the source.

    Parameters
    ----------
    survey : Survey

    Returns
    -------
    DataFrame, one row per respondent
        A column per scale identifier, 0-10 (of counts and ordered answers the number itself); NaN where too little is
        answered, or nothing was asked.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import folder
    >>> survey = bs.Survey.read(folder() / "enquete_veiligheidsmonitor.csv", "veiligheidsmonitor", 2024)
    >>> bs.scale_scores(survey).mean().round(1).to_dict()
    {'buurtcohesie': 6.0, 'buurtactief': 5.7, 'buurtbinding': 6.0, 'leefbaarheid': 6.0}
    """
    columns = {}
    for scale in survey.codebook.scales:
        items = asked(survey, scale)
        values = item_scores(survey, items)
        if scale.outcome in ("count", "ordinal"):
            values = survey.frame[[item.name for item in items]].to_numpy(dtype=float)
        if scale.when and len(items):
            columns[scale.id] = (values.max if scale.when == "any" else values.min)(axis=1)
            continue
        columns[scale.id] = mean_if_enough(values, np.ones(values.shape[1]), scale.min_share_answered)
    return pd.DataFrame(columns, index=survey.frame.index)


def score(survey: Survey, subdimensions: Sequence[str], method: str = "sum") -> Scores:
    """Return the sub-dimension scores of a survey; see `Concept.score`.

    Graded scores are of everybody who answered one item, and have standard errors. Where fewer than two items vary the
    model cannot be fitted: the sum score is taken, with a note. Raises ModelError if there is no such method, or the
    graded response model does not converge.
    """
    if method not in METHODS:
        raise ModelError("unknown method of scoring", repr(method), " or ".join(METHODS), "name one of these")
    book = survey.codebook
    frame = survey.frame.drop(columns=[item.name for item in book.items], errors="ignore")
    scales, notes = scale_scores(survey), list[Note]()
    errors = pd.DataFrame(np.nan, index=frame.index, columns=list(subdimensions))
    columns = {}
    for subdimension in subdimensions:
        parts = {scale.id: part for scale in book.scales_of(subdimension) if (part := asked(survey, scale))}
        if not parts:
            columns[subdimension] = np.full(len(frame), np.nan)
            continue
        items = [item for part in parts.values() for item in part]
        varied, notes_of_items = _variation(survey, items)
        notes += [note.under(subdimension) for note in notes_of_items]
        scored = book.scales_of(subdimension)[0].outcome == "score"
        if method == "graded" and len(varied) > 1 and scored:
            answered = [item for item in items if survey.frame[item.name].notna().any()]
            columns[subdimension], errors[subdimension], more = _graded(survey, subdimension, answered)
            notes += more
            continue
        if method == "graded" and scored:
            alone = Note(
                "fewer than two items vary, so that the sum score is used, without errors",
                "de antwoorden verschillen bij minder dan twee vragen: daarom de somscore, zonder fouten",
            )
            notes.append(alone.under(subdimension))
        weights = np.array([len(part) for part in parts.values()], dtype=float)
        columns[subdimension] = mean_if_enough(scales[list(parts)].to_numpy(), weights, book.min_share_answered)
    columns = {name: np.round(values, DECIMALS) for name, values in columns.items()}
    about = book.id, survey.year, tuple(subdimensions), tuple(dict.fromkeys(notes))
    known = errors if method == "graded" else None
    return Scores(frame.assign(**columns), *about, known, survey.design, book.kind, survey.level)


def _graded(survey: Survey, subdimension: str, items: Sequence[Item]) -> tuple[Floats, Floats, list[Note]]:
    values = item_scores(survey, items)
    try:
        model = fit_graded(values, [item.name for item in items])
    except ModelError as error:
        what = f"{survey.codebook.id} {survey.year}, {subdimension}: {error.what}"
        raise ModelError(what, error.got, error.expected, error.hint) from error
    unused = {item.name: sorted(set(item.codes) - set(survey.frame[item.name].dropna())) for item in items}
    notes = [
        Note("item {item}: nobody chose {codes}", "vraag {item}: niemand koos {codes}", item=name, codes=codes)
        for name, codes in unused.items()
        if codes
    ]
    return *model.scores(values), [note.under(subdimension) for note in (*model.notes, *notes)]


def _variation(survey: Survey, items: Sequence[Item]) -> tuple[list[Item], list[Note]]:
    """Items that somebody answered differently, and notes on those that do not vary."""
    varied, notes = [], list[Note]()
    for item in items:
        answers = survey.frame[item.name].dropna()
        if answers.empty:
            notes.append(Note(
                "item {item} has no answers at all, though it counts as asked",
                "vraag {item} heeft geen enkel antwoord, al geldt ze als gesteld",
                item=item.name,
            ))  # fmt: skip
        elif answers.min() == answers.max():
            notes.append(Note(*ONE_CATEGORY, item=item.name))
        else:
            varied.append(item)
    return varied, notes
