r"""The classical engine: a multivariate Fay-Herriot model by REML, and draws around its EBLUP.

    y_a = eta_a + e_a,  eta_a = X_a b + u_a,  u_a ~ N(0, Sigma),  e_a ~ N(0, V_a)        (vectors over sub-dimensions)

The counterpart of the model that was asked for: the same covariates, one unstructured effect per buurt in the place of
its random effects, and of each sub-dimension its reference source. The parametric predictive draws are

    eta_a* = EBLUP_a + (I - Sigma W_a) X_a (b* - b) + (G1_a + 2 G3_a)^{1/2} z_a,   b* ~ N(b, (X'V^{-1}X)^{-1}),

so that within a buurt they have the analytic mean squared error G1 + G2 + 2 G3 as covariance, and buurten hang together
as far as they share b. The error of Sigma itself, G3, is independent between buurten to order 1/m. The model takes the
effects of buurten as unrelated: intervals of wijken and gemeenten are too narrow where neighbours resemble each other
beyond their covariates.

References
----------
Benavent, R. and Morales, D. (2016). Multivariate Fay-Herriot models for small area estimation. CSDA 94.
Datta, G.S. and Lahiri, P. (2000). A unified measure of uncertainty of EBLUPs. Statistica Sinica 10.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
from buurtsae.classical.multivariate.results import MultivariateFayHerriotResults
from buurtsae.draws import Draws, Maximised
from buurtsae.engines.labels import Draw4, in_chains, labelled
from buurtsae.errors import ModelError, shown
from buurtsae.model.design import Design
from buurtsae.model.priors import Normal
from buurtsae.model.spec import AreaModel, in_formula, missing
from buurtsae.model.terms import IID
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.direct import DirectEstimates

FLAT = Normal(0.0, 1e3)  # where what follows a fit needs a prior of coefficients that REML does not have


@dataclass(frozen=True)
class EblupOptions:
    """Settings of the engine.

    Parameters
    ----------
    draws : int
        Joint draws to make, a multiple of four: independent, and laid out as four chains of equal length.
    """

    draws: Draw4 = 4000


Options = EblupOptions


def counterpart(model: AreaModel, direct: DirectEstimates) -> tuple[AreaModel, DirectEstimates]:
    """Return the classical model and data in the place of these; what is left out is in the notes of the data.

    Raises
    ------
    ModelError
        If the data are of several years.
    """
    if direct.years:
        hint = "take laplace or nuts, or a classical model over time: RaoYu, SpatioTemporalFayHerriot"
        raise ModelError("engine eblup is of one period", f"years {shown(direct.years)}", "one period", hint)
    words = [t.name for t in model.terms]
    notes: list[Note] = []
    if words != [direct.areas.base]:
        notes.append(
            Note(
                "engine eblup: an unstructured effect per {level} in the place of {terms}; where residuals of "
                "neighbours go together (Moran's I), intervals above {level} level are too narrow",
                "rekenwijze eblup: een los effect per {level} in plaats van {terms}; waar de residuen van buren op "
                "elkaar lijken (Moran's I), zijn de intervallen boven {level}niveau te smal",
                level=direct.areas.base,
                terms=", ".join(words) or Note("none", "geen enkel effect"),
            )
        )
    if model.variances is not None:
        notes.append(
            Note(
                "engine eblup: sampling variances are taken as known, not modelled",
                "rekenwijze eblup: steekproefvarianties gelden als bekend en worden niet gemodelleerd",
            )
        )
    kept, scores = [], []
    for s, source in enumerate(direct.sources):
        reference = np.equal(direct.reference, s)
        if left := [
            n
            for n, mine, informs in zip(direct.subdimensions, reference, source.informs, strict=True)
            if informs > mine
        ]:
            notes.append(
                Note(
                    "engine eblup: of {measures} the reference source counts, not {source}",
                    "rekenwijze eblup: voor {measures} telt de referentiebron, niet {source}",
                    measures=left, source=source.source,
                )
            )  # fmt: skip
        if not reference.any():
            continue
        pair = reference[:, None] & reference
        kept.append(
            replace(
                source,
                mean=np.where(reference, source.mean, np.nan),
                variance=np.where(pair, source.variance, 0.0),
                respondents=np.where(reference, source.respondents, 0),
                n_effective=np.where(reference, source.n_effective, 0.0),
                given=None if source.given is None else np.where(pair, source.given, 0.0),
            )
        )
        if direct.scores:
            lost = [n for n, mine in zip(direct.subdimensions, reference, strict=True) if not mine]
            scores.append(replace(direct.scores[s], frame=direct.scores[s].frame.assign(**dict.fromkeys(lost, np.nan))))
    plain = AreaModel(
        model.formula,
        (IID(direct.areas.base),),
        intercept=FLAT,
        coefficient=FLAT,
        covariates=tuple(c for c in model.covariates if all(c.name not in term.theme for term in model.terms)),
        missing=model.missing,
        outcome=model.outcome,
        estimand=model.estimand,
    )
    return plain, replace(direct, sources=tuple(kept), scores=tuple(scores), notes=(*direct.notes, *notes))


def described(model: AreaModel) -> Note:
    """Return a counterpart in words: nothing of it has a prior, whatever the specification holds."""
    lines = [
        Note(
            "Area-level model (multivariate Fay-Herriot, classical)",
            "Gebiedsmodel (multivariaat Fay-Herriot, klassiek)",
        ),
        Note(
            "  y[a] = eta[a] + e[a]   direct estimate of the reference source of each measure",
            "  y[a] = eta[a] + e[a]   directe schatting van de referentiebron van elke maat",
        ),
        Note("  e ~ N(0, V[a]); V as given", "  e ~ N(0, V[a]); V zoals gegeven"),
        Note(
            "  eta[a] = x[a]' b + u[a], u ~ N(0, Sigma)   score of the residents",
            "  eta[a] = x[a]' b + u[a], u ~ N(0, Sigma)   score van de bewoners",
        ),
        in_formula(model.formula),
        Note(
            "Estimated: Sigma (any covariance of the measures) by REML, plugged in; b by GLS",
            "Geschat: Sigma (elke covariantie van de maten) met REML, ingevuld; b met GLS",
        ),
        missing(model.missing),
    ]
    return Note.joined(lines, "\n")


def supports(design: Design) -> list[str]:
    """Return the parts of a design that this engine cannot fit, by name."""
    unstructured = len(design.effects) == 1 and design.effects[0].structure is None
    return [
        *(["other random effects than one per area"] if not unstructured else []),
        *(["several sources of one measure"] if design.linked.any() else []),
        *([f"counts: outcome {type(design.model.outcome).__name__}"] if design.size is not None else []),
        *(["modelled variances"] if design.model.variances is not None else []),
        *(['estimand = "realised"'] if design.model.estimand == "realised" else []),
        *(
            ["reference sources that are known per wijk only, or on another edition"]
            if design.sites.shape[0] > len(design.areas)
            else []
        ),
    ]


def multivariate(design: Design) -> MultivariateFayHerriotResults:
    """Fit the classical model of a supported design by REML.

    Raises
    ------
    ModelError or ProblemsError
        Such as fewer direct estimates of a sub-dimension than columns.

    Warns
    -----
    NotConvergedWarning, BoundaryWarning
    """
    seen = np.asarray(design.observed.any(axis=0))
    areas, measures = list(design.areas), list(design.columns)
    return MultivariateFayHerriot(
        pd.DataFrame(np.where(seen, design.y.sum(axis=0), np.nan), areas, measures),
        pd.DataFrame(design.x, areas, list(design.coefficients)),
        design.covariance.sum(axis=0),  # sources do not share columns here: the sum holds each one's block
    ).fit("reml")


def components(design: Design) -> pd.DataFrame:
    """Return `estimate` and `std_error` of the elements of Sigma; the certificate of the draws says what is wrong."""
    with warnings.catch_warnings():
        for category in (BoundaryWarning, NotConvergedWarning):
            warnings.simplefilter("ignore", category)
        return multivariate(design).components


def sample(design: Design, seed: int, options: EblupOptions, progress: bool) -> Draws:
    """Return predictive draws of a design."""
    del progress  # seconds, without a bar
    with warnings.catch_warnings():  # the certificate says both, and with it the gate and the notes of the report
        warnings.simplefilter("ignore", BoundaryWarning)
        warnings.simplefilter("ignore", NotConvergedWarning)
        fit = multivariate(design)
    here, z, terms = fit.maximum.here, fit.model.blocks.z, fit.mse_terms
    n, (m, width, _) = options.draws, z.shape
    rng = np.random.default_rng([seed, 4])
    moved = rng.normal(size=(n, len(here.delta))) @ np.linalg.cholesky(here.inverse).T
    left = (np.eye(width) - here.sigma @ here.w) @ z
    eta = (moved @ left.reshape(m * width, -1).T).reshape(n, m, width)
    root = _root(terms.g1 + 2 * terms.g3)
    for k in range(n):  # one draw at a time: no second array of this size
        eta[k] += fit.eblup.to_numpy() + np.einsum("ade,ae->ad", root, rng.normal(size=(m, width)))
    b = np.linalg.solve(fit.model.blocks.root, (here.delta + moved).T).T.reshape(n, width, -1)
    sd, correlation = _split(here.sigma)
    raw: dict[str, Floats] = {"eta": eta, "beta": np.asarray(b.swapaxes(1, 2), dtype=float)}
    (effect,) = design.effects
    parameters: dict[str, Floats] = {"sigma": sd, "R": np.asarray(np.linalg.cholesky(correlation))}
    hyper = {f"{effect.name}.{name}": np.broadcast_to(v, (n, 1, *v.shape)) for name, v in parameters.items()}
    certificate = Maximised("REML", len(fit.trace) - 1, fit.converged, fit.at_boundary)
    return replace(labelled(design, in_chains(raw), in_chains(hyper), certificate=certificate), mse=fit.mse.to_numpy())


def _root(covariance: Floats) -> Floats:
    """Symmetric roots of semidefinite matrices (m, D, D)."""
    values, axes = np.linalg.eigh((covariance + covariance.swapaxes(1, 2)) / 2)
    return (axes * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ axes.swapaxes(1, 2)


def _split(sigma: Floats) -> tuple[Floats, Floats]:
    """Standard deviations (D,) and correlations (D, D), positive definite at the boundary too."""
    sd = np.sqrt(sigma.diagonal())
    scale = np.where(sd > 0, sd, 1.0)
    rest = sigma / np.outer(scale, scale)
    np.fill_diagonal(rest, 1.0)
    return sd, (1 - 1e-9) * rest + 1e-9 * np.eye(len(sd))
