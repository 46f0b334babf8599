"""The quality report of a run: `quality.json` for programs, `quality.html` for people.

The page is filled from the same dictionary that is written as JSON; a number that is not finite becomes null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from buurtsae.drawing.style import LABELS
from buurtsae.errors import DataError
from buurtsae.notes import Note
from buurtsae.origin import as_in
from buurtsae.publication.about import of_run
from buurtsae.publication.pages import write_page
from buurtsae.survey.codebook import Codebook, available

if TYPE_CHECKING:
    from buurtsae.publication.outlines import Outlines

SECTIONS = (
    *("run", "gate", "convergence", "hyperparameters", "predictive", "left_out", "density", "comparison"),
    *("agreement", "gain", "classical", "benchmarks"),
    *(
        "moran",
        "residuals",
        "areas",
        "graph",
        "sources",
        "scales",
        "variances",
        "contributions",
        "covariates",
        "explained",
    ),
    *("sensitivity", "labels", "model", "notes"),
)
# Dutch and English of what the audits and tables are keyed by; an unknown key is shown as it is
WORDS: dict[str, tuple[str, str]] = {
    "chains": ("ketens", "chains"),
    "draws": ("trekkingen per keten", "draws per chain"),
    "rhat_max": ("hoogste R-hat", "highest R-hat"),
    "ess_bulk_min": ("laagste bulk-ESS", "lowest bulk ESS"),
    "ess_tail_min": ("laagste tail-ESS", "lowest tail ESS"),
    "divergences": ("divergenties", "divergences"),
    "independent": ("onafhankelijke trekkingen", "independent draws"),
    "khat": ("Pareto k-hat", "Pareto k-hat"),
    "values": ("gewogen waarden van de hyperparameters", "weighted values of the hyperparameters"),
    "effective": ("daarvan effectief", "of these effective"),
    "iterations": ("iteraties", "iterations"),
    "converged": ("geconvergeerd", "converged"),
    "at_boundary": ("aan de rand (variantie nul)", "at the boundary (variance zero)"),
    "synthetic_rmse": ("synthetisch, fout", "synthetic, rmse"),
    "eblup_rmse": ("EBLUP, fout", "EBLUP, rmse"),
    "gamma": ("gamma (gewicht van direct)", "gamma (weight of direct)"),
    "eblup_apart": ("EBLUP min schatting (rms)", "EBLUP less estimate (rms)"),
    "elpd": ("log-dichtheid van weggelaten gemeenten", "log predictive density of left-out municipalities"),
    "quantities": ("grootheden", "quantities checked"),
    "worst": ("slechtst gemengd", "worst mixing"),
    "year": ("jaar", "year"),
    "buurten": ("buurten", "areas"),
    "without_residents": ("zonder bewoners", "without residents"),
    "residents": ("inwoners", "residents"),
    "wijken": ("wijken", "districts"),
    "gemeenten": ("gemeenten", "municipalities"),
    "missing_covariates": ("ontbrekende kenmerken", "missing covariates"),
    "notes": ("opmerkingen", "notes"),
    "rule": ("buren delen", "neighbours share"),
    "areas": ("gebieden", "areas"),
    "pairs": ("paren buren", "pairs of neighbours"),
    "components": ("samenhangende delen (aantal gebieden)", "connected components (areas in each)"),
    "islands": ("zonder buren", "without neighbours"),
    "one_neighbour": ("met één buur", "with one neighbour"),
    "mean_neighbours": ("buren gemiddeld", "neighbours on average"),
    "bridges": ("met de hand verbonden", "joined by hand"),
    "policy": ("losse delen", "separate parts"),
    "name": ("grootheid", "quantity"),
    "title": ("naam", "name"),
    "measure": ("maat", "measure"),
    "mean": ("gemiddelde", "mean"),
    "sd": ("sd", "sd"),
    "lower": ("2,5%", "2.5%"),
    "upper": ("97,5%", "97.5%"),
    "prior": ("prior", "prior"),
    "rhat": ("R-hat", "R-hat"),
    "ess_bulk": ("bulk-ESS", "bulk ESS"),
    "source": ("bron", "source"),
    "chi2_per_area": ("chi² per gebied", "chi² per area"),
    "coverage_95": ("binnen 95%-voorspelling", "inside 95% prediction"),
    "area_name": ("gebied", "area"),
    "area_code": ("code", "code"),
    "direct": ("direct", "direct"),
    "direct_se": ("standaardfout", "standard error"),
    "estimate": ("schatting", "estimate"),
    "difference": ("verschil", "difference"),
    "z": ("z", "z"),
    "I": ("Moran's I", "Moran's I"),
    "p": ("p-waarde", "p-value"),
    "respondents": ("respondenten", "respondents"),
    "without_answer": ("zonder antwoord", "without answer"),
    "level": ("niveau", "level"),
    "kind": ("soort", "kind"),
    "sd_with": ("sd met", "sd with"),
    "sd_without": ("sd zonder", "sd without"),
    "sd_with_own": ("sd met, eigen buurten", "sd with, own areas"),
    "sd_without_own": ("sd zonder, eigen buurten", "sd without, own areas"),
    "without_variance": ("variantie nul of onbekend", "variance zero or unknown"),
    "se_before": ("standaardfout ervoor (mediaan)", "standard error before (median)"),
    "se_after": ("standaardfout erna (mediaan)", "standard error after (median)"),
    "ratio_low": ("erna / ervoor, 10%", "after / before, 10%"),
    "ratio_high": ("erna / ervoor, 90%", "after / before, 90%"),
    "covariate": ("kenmerk", "covariate"),
    "unit": ("eenheid", "unit"),
    "transform": ("bewerking", "transformation"),
    "modelled": ("zelf gemodelleerd", "itself modelled"),
    "sensitive": ("gevoelig", "sensitive"),
    "imputed": ("buurten met een vervangen waarde", "areas imputed"),
    "scale": ("schaal", "scale"),
    "items": ("vragen", "items"),
    "alpha": ("alfa", "alpha"),
    "omega": ("omega", "omega"),
    "icc": ("ICC", "ICC"),
    "lambda_mean": ("betrouwbaarheid van een gebiedsgemiddelde", "reliability of the area mean"),
    "share": ("aandeel van de verschillen", "share of the differences"),
    "alternative": ("andere weging", "other weights"),
    "rank_correlation": ("rangcorrelatie", "rank correlation"),
    "mean_rank_change": ("gemiddelde verschuiving van de rang (aandeel)", "mean change of rank (share)"),
    "labels": ("oordelen die veranderen (aandeel)", "labels that change (share)"),
    "bias": ("gemiddeld verschil", "mean difference"),
    "left_out": ("weggelaten", "left out"),
    "rmse": ("voorspelfout", "root mean square error"),
    "chi2": ("gemiddelde z²", "mean z²"),
    "coverage_50": ("binnen 50%", "inside 50%"),
    "coverage_80": ("binnen 80%", "inside 80%"),
    "slope": ("helling", "slope"),
    "slope_se": ("standaardfout van de helling", "standard error of slope"),
    "W": ("W (chi²)", "W (chi²)"),
    "class": ("respondenten", "respondents"),
    "figures": ("cijfers", "figures"),
    "variance_ratio": ("variantie / directe variantie", "variance / direct variance"),
    "method": ("methode", "method"),
    "strained": ("cijfers die het model tegenspreken (|z| > 2)", "figures that strain the model (|z| > 2)"),
    "value": ("gepubliceerd cijfer", "published figure"),
    "se": ("standaardfout", "standard error"),
    "shift": ("gemiddelde verschuiving", "mean shift"),
    "largest": ("grootste verschuiving", "largest shift"),
    "needed_70": ("respondenten nodig voor 0,7", "respondents needed for 0.7"),
    "run_id": ("run", "run"),
    "created": ("gemaakt op", "made on"),
    "engine": ("rekenwijze", "engine"),
    "seed": ("startgetal", "seed"),
}
# Dutch and English of values in the audits and tables
VALUES: dict[str, tuple[str, str]] = {
    "queen": ("een punt of een lijn (queen)", "a point or a line (queen)"),
    "rook": ("een lijn (rook)", "a line (rook)"),
    "bridged by hand": ("met de hand verbonden", "bridged by hand"),
    "components kept apart": ("apart gehouden", "kept apart"),
    "survey": ("enquête", "survey"),
    "simulated survey": ("gesimuleerde enquête", "simulated survey"),
    "simulated participatory": ("gesimuleerd, participatief", "simulated, participatory"),
    "participatory": ("participatief", "participatory"),
    "none": ("geen", "none"),
    "shared": ("dezelfde", "shared"),
    "independent": ("andere", "independent"),
    "minimum-distance": ("kleinste verschuiving", "minimum distance"),
    "difference": ("verschil", "difference"),
    "ratio": ("verhouding", "ratio"),
    "tilting": ("herweging van trekkingen", "tilting"),
    "alle kenmerken": ("alle kenmerken", "all covariates"),
    "101 en meer": ("101 en meer", "101 and more"),
}


# residuals in standard errors: lower ends, and words for the legend
RESIDUALS = (
    (-np.inf, Note("respondents far below the model (below -2)", "antwoorden veel lager dan het model (onder -2)")),
    (-2.0, Note("lower (-2 to -1)", "lager (-2 tot -1)")),
    (-1.0, Note("as expected (-1 to 1)", "zoals verwacht (-1 tot 1)")),
    (1.0, Note("higher (1 to 2)", "hoger (1 tot 2)")),
    (2.0, Note("far higher (above 2)", "veel hoger (boven 2)")),
)


def write_quality(quality: Mapping[str, Any], folder: Path, outlines: Outlines | None = None) -> None:
    """Write `quality.json` and `quality.html`.

    Parameters
    ----------
    quality : mapping
        The keys of `SECTIONS`; any section but `run` and `gate` may be empty.
    folder : path
        An existing folder.
    outlines : Outlines, optional
        Of the buurten, for maps of the residuals.

    Raises
    ------
    DataError
        If a section is absent or unknown.
    """
    if odd := set(SECTIONS) ^ set(quality):
        raise DataError(
            "the quality report is incomplete", ", ".join(sorted(odd)), ", ".join(SECTIONS), "give every section once"
        )
    plain = _plain(quality)
    text = json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    (folder / "quality.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    labels = [{"level": level, **{k: n.get(k, 0) for k in LABELS}} for level, n in dict(plain["labels"]).items()]
    z = [abs(row["z"]) for row in plain["comparison"] or [] if row["z"] is not None]
    write_page(
        folder / "quality.html",
        "quality.html",
        q=plain | {"labels": labels},
        run=of_run(plain["run"] | {"draft": not plain["gate"]["passed"]}),
        words=WORDS | {k: (label.nl, str(label)) for k, label in LABELS.items()},
        values=VALUES | _of_codebooks(),
        up="dashboard/",
        here="quality",
        apart=(sum(v > 1.96 for v in z), len(z)),
        shape=outlines,
        maps=_maps(plain["residuals"] or {}) if outlines is not None else {},
        classes=[text for _, text in RESIDUALS],
    )


def _of_codebooks() -> dict[str, tuple[str, str]]:
    """Names of sources and units of figures, which the table of covariates has in Dutch."""
    books = [Codebook.load(source) for source in available()]
    units = {i.unit: (i.unit, i.unit_en or i.unit) for book in books for i in book.indicators}
    titles = [as_in(Note(book.en or book.nl, book.nl), made) for book in books for made in (False, True)]
    return units | {title.nl: (title.nl, str(title)) for title in titles}


def _maps(residuals: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, int]]:
    """Return the class of each residual, per measure and buurt."""
    ends = [low for low, _ in RESIDUALS[1:]]
    return {
        measure: {code: int(np.searchsorted(ends, z, side="right")) for code, z in of_area.items() if z is not None}
        for measure, of_area in residuals.items()
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: numpy's types unpacked, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [_plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
