r"""Direct, synthetic, EBLUP and Bayesian estimates of every buurt side by side.

The first three are classical, of the reference source of each sub-dimension: the direct estimate y with its sampling
standard error; the synthetic one x'b, all from covariates; and the EBLUP between the two, of a multivariate
Fay-Herriot model by REML (`engines.eblup`). Of the latter two the root of the analytic mean squared error stands
beside the posterior standard deviation. Where they part, the sources, the spatial field or the priors did it.

References
----------
Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, chapters 5, 6 and 8. Brown, G. et al. (2001). Evaluation of
small area estimation methods. Proc. Statistics Canada Symposium.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.engines.eblup import counterpart, multivariate, supports
from buurtsae.errors import ModelError
from buurtsae.estimates.disclosure.release import FEW
from buurtsae.estimates.evidence.evidence import CLASSES
from buurtsae.model.design import design


def side_by_side(fit: Fit) -> pd.DataFrame:
    """Return four estimates of each sub-dimension of every inhabited buurt.

    Parameters
    ----------
    fit : Fit
        By any engine.

    Returns
    -------
    DataFrame
        `area_code`, `measure`, `n_respondents`; `direct`, `direct_se` (missing where nobody answered; the variance is
        the smoothed one that the models get); `synthetic`, `synthetic_rmse`; `eblup`, `eblup_rmse`, and `gamma`, the
        weight of the direct estimate in it; `estimate`, `sd` of the fit itself. Nothing is hidden: not for publication.

    Raises
    ------
    ModelError or ProblemsError
        Where the classical model cannot be fitted: sources that are known per wijk only, or too few buurten.

    Warns
    -----
    NotConvergedWarning, BoundaryWarning
        Of the classical model.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> table = side_by_side(voorbeeldstad().fit)
    >>> table[["direct_se", "eblup_rmse", "sd"]].mean().round(1).to_dict()
    {'direct_se': 0.8, 'eblup_rmse': 0.6, 'sd': 0.5}
    """
    model, direct = counterpart(fit.model, fit.direct)
    arrays = design(model, direct)
    if refused := supports(arrays):
        what = "a classical estimate cannot stand beside these"
        expected = "reference sources per area, and a Gaussian outcome"
        raise ModelError(what, ", ".join(refused), expected, "compare with another run instead")
    classical = multivariate(arrays)
    live, names = fit.areas.inhabited, list(fit.direct.subdimensions)
    respondents = np.zeros((len(live), len(names)), dtype=np.int64)
    for source in direct.sources:
        respondents[fit.areas.codes.get_indexer(source.codes)] += source.respondents
    variance = np.einsum("add->ad", classical.model.sampling_variance)
    columns = {
        "n_respondents": respondents,
        "direct": classical.model.y.to_numpy(),
        "direct_se": np.sqrt(np.where(arrays.observed.any(axis=0), variance, np.nan)),
        "synthetic": classical.synthetic.to_numpy(),
        "synthetic_rmse": np.sqrt(classical.synthetic_mse.to_numpy()),
        "eblup": classical.eblup.to_numpy(),
        "eblup_rmse": np.sqrt(classical.mse.to_numpy()),
        "gamma": classical.gamma.to_numpy(),
        "estimate": fit.draws.scores().mean(axis=0),
        "sd": fit.draws.scores().std(axis=0),
    }
    index = pd.MultiIndex.from_product([fit.areas.codes[live], names], names=["area_code", "measure"])
    return pd.DataFrame({name: values[live].ravel() for name, values in columns.items()}, index).reset_index()


def classical_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the medians of the errors in a table of `side_by_side`, per measure and class of respondents.

    And `eblup_apart`, the root mean square of EBLUP less estimate; all None below ten figures.
    """
    medians = ["direct_se", "synthetic_rmse", "eblup_rmse", "sd", "gamma"]
    rows = []
    for measure, part in table.groupby("measure", sort=False):
        for name, (low, high) in CLASSES.items():
            some = part[part["n_respondents"].between(low, high)]
            if some.empty:
                continue
            many = len(some) >= FEW  # a median of few figures is one of them
            middle = {c: round(float(some[c].median()), 2) if many and some[c].notna().any() else None for c in medians}
            apart = float(np.sqrt(((some["eblup"] - some["estimate"]) ** 2).mean())) if many else None
            rows.append({"measure": measure, "class": name, "figures": len(some), **middle, "eblup_apart": apart})
    return rows
