r"""Classes of weights as a characteristic: embedded regression and poststratification.

Weights may know of respondents what no table of residents has. Respondents are put into K classes of equally many by
their weight, a term of the model; how many residents of a cell are of each class is not known, and estimated from the
sums of weights. With a respondent counting for w_i sum w / sum w^2, so that all of them are Kish's effective number,
and n_gxk what those of class k with characteristics x in group g of areas count for,

    theta ~ Dirichlet(n_k),    theta_x ~ Dirichlet(n_xk + c theta_k),    theta_g ~ Dirichlet(n_gk + c theta_k),
    theta_gx ~ Dirichlet(n_gxk + c m_gxk),    m_gxk proportional to theta_xk theta_gk / theta_k,

and N_axk = N_ax theta_gxk; of all areas together theta_gx is theta_x. c respondents is what all others tell of a few.
Tables of residents are drawn so, and used in turn over the draws of a fit.

References
----------
Kish, L. (1965). Survey Sampling. Si, Y., Pillai, N. and Gelman, A. (2015). Bayesian nonparametric weighted sampling
inference. Bayesian Analysis 10.
Si, Y., Trangucci, R., Gabry, J. and Gelman, A. (2020). Bayesian hierarchical weighting adjustment and survey inference.
Survey Methodology 46.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from buurtsae.areas.columns import numbers
from buurtsae.errors import Problems, check_kinds, cut, shown
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells

MOST = 20
NAME = "gewichtsklasse"


def weight_classes(
    frame: pd.DataFrame,
    cells: Cells | Sequence[Cells],
    weight: str = "gewicht",
    *,
    classes: int = 5,
    area: str = "buurtcode",
    by: str | None = None,
    prior: float = 10.0,
    tables: int = 20,
    seed: int = 1,
    name: str = NAME,
) -> tuple[pd.DataFrame, tuple[Cells, ...]]:
    """Make classes of weights a characteristic of respondents, and of residents.

    Parameters
    ----------
    frame : DataFrame
        A row per respondent, with the characteristics of the cells. It is not changed.
    cells : Cells or sequence of these
        Residents; several tables where they are uncertain, used in turn.
    weight : str
        Column of the weights.
    classes : int
        Of equally many respondents, 2 to 20; fewer where weights are equal.
    area : str
        Column of the area's code.
    by : str, optional
        Level of the areas whose respondents say what classes their residents are of; by default all of them together.
    prior : float
        How many respondents what others tell counts for: c.
    tables : int
        How many; one per 50 draws of the fit is enough.
    seed : int
    name : str
        What the characteristic is called; its levels are "1", the lightest, to "K".

    Returns
    -------
    frame : DataFrame
        With the class of each respondent.
    tables : tuple of Cells
        With the class as their last characteristic, as `fit_persons` takes them.

    Raises
    ------
    DataError or ProblemsError
        What is wrong with the respondents, as `Answers.of` says it; all weights equal, a characteristic that is called
        as the classes are, numbers out of range, or an unknown level.

    Examples
    --------
    Half of the residents answer a third as often as others, and weigh three times as much:

    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> areas = bs.Areas.from_frame(pd.DataFrame({"code": ["a"], "population": [600]}), code="code")
    >>> table = pd.DataFrame({"code": "a", "age": ["18-64", "65+"], "aantal": 300})
    >>> cells = bs.Cells.from_frame(table, areas, area="code")
    >>> people = pd.DataFrame({"code": "a", "age": ["18-64", "65+"] * 40, "w": [5.0] * 60 + [15.0] * 20})
    >>> people, several = bs.weight_classes(people, cells, "w", classes=2, area="code", tables=50)
    >>> people["gewichtsklasse"].value_counts().to_dict()
    {'1': 60, '2': 20}
    >>> several[0]
    Cells of 1 of 1 areas: 4 cells of age (2), gewichtsklasse (2), 600 residents
    >>> round(sum(float(each.residents({"gewichtsklasse": ["2"]})[0]) for each in several) / 50, -2)
    300.0
    """
    given = (cells,) if isinstance(cells, Cells) else tuple(cells)
    check_kinds(frame=(frame, pd.DataFrame), weight=(weight, str), classes=(classes, int), area=(area, str),
                by=(by, (str, type(None))), prior=(prior, float), tables=(tables, int), seed=(seed, int),
                name=(name, str))  # fmt: skip
    _check_numbers(
        classes=(classes, 2, MOST), tables=(tables, 1, 10**4), prior=(prior, 0.01, 1e6), seed=(seed, 0, 2**63)
    )
    w = _weights(frame, given, weight, by, name)
    place, labels = _classes(w, classes)
    frame = frame.assign(**{weight: w, name: np.array(labels, dtype=object)[place]})
    answers = Answers.of(frame, weight, given[0], outcome="score", area=area, clusters=[name])
    first, areas = given[0], given[0].areas
    group = np.zeros(len(areas.codes), dtype=np.int64)
    if by is not None:
        group = np.unique(areas.parents(by).fillna("").to_numpy(dtype=str), return_inverse=True)[1]
    sizes = [len(levels) for levels in first.characteristics.values()]
    told = np.ravel_multi_index(tuple(answers.level[:, :-1].T), sizes)
    of_cells = [np.ravel_multi_index(tuple(each.level.T), sizes) for each in given]
    kinds = np.unique(np.concatenate([told, *of_cells]))
    code = np.array([labels.index(label) for label in answers.characteristics[name]])[answers.level[:, -1]]
    counts = np.zeros((group.max() + 1, len(kinds), len(labels)))
    np.add.at(counts, (group[answers.area], np.searchsorted(kinds, told), code), answers.y[:, 0])
    counts *= w.sum() / (w @ w)
    rng, made = np.random.default_rng(seed), []
    for table in range(tables):
        base, x = given[table % len(given)], np.searchsorted(kinds, of_cells[table % len(given)])
        share = _shares(counts, prior, rng)[group[base.area], x]  # cells, classes
        made.append(_divided(base, share, name, labels))
    return frame, tuple(made)


def _classes(w: Floats, classes: int) -> tuple[Ints, tuple[str, ...]]:
    """The class of each weight, and the names of all: equal weights are in one, and there are two at least."""
    values = np.unique(w)
    edges = values[:-1]  # upper ends, but for that of the last
    if len(values) > classes:
        edges = np.unique(np.quantile(w, np.arange(1, classes) / classes))
        edges = edges[edges < values[-1]] if edges[0] < values[-1] else values[-2:-1]
    place = np.unique(np.searchsorted(edges, w), return_inverse=True)[1]
    return place, tuple(str(k + 1) for k in range(int(place.max()) + 1))


def _shares(counts: Floats, prior: float, rng: np.random.Generator) -> Floats:
    """Draw shares of residents per class, from effective numbers, (groups, kinds, classes)."""
    of_all = _dirichlet(counts.sum(axis=(0, 1)), rng)
    kind, group = (_dirichlet(counts.sum(axis=k) + prior * of_all, rng) for k in (0, 1))
    if len(counts) == 1:
        return kind[None]
    both = kind * (group / of_all)[:, None]  # as if one did not depend on the other
    return _dirichlet(counts + prior * both / both.sum(axis=-1, keepdims=True), rng)


def _dirichlet(alpha: Floats, rng: np.random.Generator) -> Floats:
    drawn = np.maximum(rng.standard_gamma(alpha), 1e-300)  # of a few hundredths all may be nought
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def _divided(cells: Cells, share: Floats, name: str, labels: tuple[str, ...]) -> Cells:
    """Cells of which residents are divided over classes, (cells, classes)."""
    k = len(labels)
    level = np.column_stack([np.repeat(cells.level, k, axis=0), np.tile(np.arange(k), len(cells.area))])
    named = {**cells.characteristics, name: labels}
    count = (cells.count[:, None] * share).ravel()
    return replace(cells, characteristics=named, area=np.repeat(cells.area, k), level=level, count=count)


def _check_numbers(**given: tuple[float, float, float]) -> None:
    """Refuse numbers that are not between the least and the most that they can be."""
    problems = Problems()
    for what, (value, least, most) in given.items():
        if not least <= value <= most:
            got, expected = f"{value:g}", f"{least:g} to {most:g}"
            problems.add(f"`{what}` of classes of weights is impossible", got, expected, f"correct `{what}`")
    problems.raise_if_any()


def _weights(frame: pd.DataFrame, given: tuple[Cells, ...], weight: str, by: str | None, name: str) -> Floats:
    """The weights, where all that is needed is there."""
    problems = Problems()
    if not given or (wrong := [type(each).__name__ for each in given if not isinstance(each, Cells)]):
        problems.add("these are no cells", shown(wrong) if given else "none", "Cells, or several", "take Cells.read")
        problems.raise_if_any()
    first, w = given[0], None
    if any(each.characteristics != first.characteristics or each.areas is not first.areas for each in given):
        what, got = "tables of cells are not of the same areas and characteristics", f"{len(given)} tables"
        problems.add(what, got, "the same", "take `Cells.tables`")
    if name in frame or name in first.characteristics:
        problems.add("classes of weights are called as something else is", cut(name), "another name", "give `name`")
    if by is not None and by not in first.areas.levels:
        problems.add("there is no such level", cut(repr(by)), shown(first.areas.levels), "choose one of these")
    if weight not in frame:
        problems.add("respondents lack a column of weights", cut(weight), shown(frame.columns, 10), "correct `weight`")
    else:
        w = numbers(frame[weight], f"{cut(weight)} is no number", problems)
    if w is not None and (bad := ~(w > 0)).any():
        got = f"{int(bad.sum())} of {len(w)} respondents"
        problems.add("weights are missing or not above zero", got, "> 0", "correct or drop these rows")
    elif w is not None and w.nunique() < 2:
        problems.add("all weights are equal", f"{len(w)} respondents", "weights that differ", "leave classes out")
    problems.raise_if_any()
    assert w is not None
    return w.to_numpy(dtype=float)
