"""The design of a survey as columns of its respondents: read and checked once, turned into arrays where needed.

Frames of respondents have `area_code`, `weight` and `stratum`, and, where the file has them, `cluster`, `cluster_2`,
`fpc`, `fpc_2`, `replicate_1` ..., and after calibration `base_weight` and `margin_...` (place in the table of totals).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.codes import CodeSystem
from buurtsae.areas.columns import numbers
from buurtsae.errors import BuurtsaeError, DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.calibration import indicators
from buurtsae.survey.population_totals import Calibration, meet
from buurtsae.survey.replicates import ReplicatePlan, Replicates
from buurtsae.survey.sampling import Lonely, SampleDesign
from buurtsae.tables import as_number, read_table

ID = "id"  # of a person, of whom other years may have answers
RESERVED = re.compile(  # columns of respondents that an item or a measure would overwrite
    r"area|area_code|id|weight|stratum|cluster(_\d+)?|fpc(_\d+)?|replicate_\d+|base_weight|margin_.*|level|measure|index"
)
DONE = {
    "adjust": Note("centred at the grand mean", "hun afwijking is genomen van het algemeen gemiddelde"),
    "certainty": Note("taken as certain, without variance", "ze gelden als zeker, zonder variantie"),
    "average": Note("given the mean variance of other strata", "ze krijgen de gemiddelde variantie van andere strata"),
}


@dataclass(frozen=True)
class DesignInfo:
    """Which columns of the respondents hold the design, and how they are used.

    Attributes
    ----------
    lonely : str
        Policy for a stratum with one sampled unit; see `SampleDesign`.
    clusters, population : tuple of str
        Columns with the sampled unit and the population size (or sampling fraction) per stage.
    replicates : tuple of str
        Columns with replicate weights; they take the place of the linearised variance.
    plan : ReplicatePlan, optional
    margins : tuple of (str, int)
        Columns with the categories that the weights were calibrated on, and how many there are of each.
    notes : tuple of str
        What an analyst should know of the design.
    """

    lonely: Lonely = "adjust"
    clusters: tuple[str, ...] = ()
    population: tuple[str, ...] = ()
    replicates: tuple[str, ...] = ()
    plan: ReplicatePlan | None = None
    margins: tuple[tuple[str, int], ...] = ()
    notes: tuple[Note, ...] = ()

    def sample(self, frame: pd.DataFrame) -> SampleDesign:
        """Return strata, clusters and population sizes of the respondents as arrays."""
        stratum, labels = pd.factorize(frame["stratum"], sort=True)
        clusters = [frame[column].to_numpy() for column in self.clusters]
        population = [frame[column].to_numpy(dtype=float) for column in self.population]
        return SampleDesign.of(stratum, clusters, population, self.lonely, list(labels))

    def replicate_weights(self, frame: pd.DataFrame) -> Replicates | None:
        """Return the replicate weights of the respondents; None without any."""
        if self.plan is None:
            return None
        weights = frame[list(self.replicates)].to_numpy(dtype=float)
        if not self.plan.combined:
            weights = weights * frame["weight"].to_numpy(dtype=float)[:, None]
        return Replicates(weights, *self.plan.scales(len(self.replicates)), self.plan.mse)

    def calibrated(self, frame: pd.DataFrame) -> tuple[sp.csr_array, Floats] | None:
        """Return the covariates that the weights were calibrated on, and the weights before; None without any."""
        if not self.margins:
            return None
        names, sizes = zip(*self.margins, strict=True)
        return indicators([frame[name].to_numpy() for name in names], sizes), frame["base_weight"].to_numpy(dtype=float)


def add_design(
    frame: pd.DataFrame,
    raw: pd.DataFrame,
    file: str,
    problems: Problems,
    stratified: bool,
    cluster: Sequence[str],
    fpc: Sequence[str],
    strata_population: str | Path | pd.DataFrame | None,
    replicates: ReplicatePlan | None,
    lonely: Lonely,
    calibrate: Calibration | None,
    level: str,
    system: CodeSystem,
) -> tuple[pd.DataFrame, DesignInfo]:
    """Return the respondents with the columns of their design, and what these mean; problems are recorded.

    `frame` has `area_code`, `weight` and `stratum`, `raw` is the file in the same order; others see `Survey.read`.
    """
    before, notes = len(problems.found), list[Note]()
    columns: dict[str, object] = {}
    if len(cluster) > 2:
        problems.add("too many stages", f"{len(cluster)} cluster columns", "at most 2", "leave later stages out")
    if len(fpc) > max(len(cluster), 1):
        problems.add("more population sizes than stages", shown(fpc), f"{max(len(cluster), 1)}", "one column per stage")
        fpc = fpc[:1]
    for stage, name in enumerate(cluster):
        text = raw[name].astype("string")
        if count := int((text.isna() | (text == "")).sum()):
            what = f"{file}, {name}: clusters are missing"
            problems.add(what, f"{count} rows", "one per respondent", "complete them")
        columns[_stage("cluster", stage)] = pd.factorize(text)[0]
    for stage, name in enumerate(fpc):
        columns[_stage("fpc", stage)] = _positive(raw[name], f"{file}, {name}: population sizes", problems)
    if strata_population is not None:
        if fpc:
            problems.add("population sizes are given twice", "`fpc` and `strata_population`", "one of them", "drop one")
        columns["fpc"] = _per_stratum(frame["stratum"], strata_population, file, problems, notes)
    if replicates is not None:
        columns |= _replicates(raw, replicates, file, problems)
        if calibrate is not None:
            hint = "give replicate weights that are calibrated already, and leave `calibrate` out"
            problems.add("replicate weights and calibration do not go together", "both", "one of them", hint)
    if calibrate is not None and len(problems.found) == before:
        known = {column: raw[column] for column in raw}
        known = known | _areas(frame["area_code"], level, system) | known  # columns of the file come first
        w = frame["weight"].to_numpy(dtype=float)
        new, margins = meet(calibrate, known, w, file, problems)
        columns |= {f"margin_{margin}": values for margin, values in margins.items()} | {"base_weight": w}
        notes.append(Note(
            "weights of {file} calibrated: factors {low:.2f} to {high:.2f}",
            "gewichten van {file} gekalibreerd: factoren van {low:.2f} tot {high:.2f}",
            file=file, low=float((new / w).min()), high=float((new / w).max()),
        ))  # fmt: skip
        frame = frame.assign(weight=new)
    frame = pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)
    names = [column for column in frame if column.startswith("margin_")]
    info = DesignInfo(
        lonely,
        tuple(_stage("cluster", stage) for stage in range(len(cluster))),
        tuple(column for column in ("fpc", "fpc_2") if column in frame),
        tuple(column for column in frame if column.startswith("replicate_")),
        replicates,
        tuple((column, int(frame[column].max()) + 1) for column in names),  # every category has respondents
    )
    if len(problems.found) == before:
        strata = problems.attempt(_lonely_names, frame, info)
        if strata is not None and len(strata) and stratified and replicates is None:
            unit = Note("sampled cluster", "getrokken cluster") if cluster else Note("respondent", "respondent")
            alone = [str(stratum) or Note("an empty one", "een lege") for stratum in strata]
            notes.append(Note(
                "{n} strata of {file} have one {unit} ({strata}): {done}",
                "{n} strata van {file} hebben maar één {unit} ({strata}): {done}",
                n=len(alone), file=file, unit=unit, strata=alone, done=DONE[lonely],
            ))  # fmt: skip
    return frame, replace(info, notes=tuple(notes))


def _lonely_names(frame: pd.DataFrame, info: DesignInfo) -> pd.Index:
    return pd.factorize(frame["stratum"], sort=True)[1][info.sample(frame).lonely_strata]


def _stage(name: str, k: int) -> str:
    return name if k == 0 else f"{name}_{k + 1}"


def _areas(area: pd.Series, level: str, system: CodeSystem) -> dict[str, pd.Series]:
    """Margins that follow from the area code: those of its own level and above."""
    return {level: area, **{above: system.read(area, above) for above in system.forms if system.below(level, above)}}


def _positive(column: pd.Series, what: str, problems: Problems) -> Floats:
    if (values := numbers(column, f"{what} are no numbers", problems)) is None:
        return np.ones(len(column))
    number = values.to_numpy(dtype=float)
    if count := int((~(number > 0)).sum()):
        problems.add(f"{what} are missing or not positive", f"{count} rows", "> 0", "complete the column")
    return number


def _per_stratum(
    stratum: pd.Series, table: str | Path | pd.DataFrame, file: str, problems: Problems, notes: list[Note]
) -> Floats:
    """Population of each respondent's stratum, from a table `stratum, population`."""
    name = "the table of strata" if isinstance(table, pd.DataFrame) else Path(table).name
    one = np.ones(len(stratum))
    try:
        rows = table if isinstance(table, pd.DataFrame) else read_table(Path(table), text=["stratum"])
        if absent := [column for column in ("stratum", "population") if column not in rows]:
            raise DataError(f"{name} lacks columns", shown(rows.columns), shown(absent), "rename or add them")
    except BuurtsaeError as error:
        problems.collect(error)
        return one
    known = rows["stratum"].astype("string")
    if known.duplicated().any():
        twice = shown(known[known.duplicated()])
        problems.add(f"{name} has strata twice", twice, "one row per stratum", "remove the doubles")
        return one
    size = pd.Series(_positive(rows["population"], f"{name}: populations", problems), index=known)
    if strange := sorted(set(stratum) - set(known)):
        hint = "add them, or correct the names: both must be written alike"
        problems.add(f"strata of {file} are not in {name}", shown(strange), "a row for each", hint)
        return one
    if unseen := sorted(set(known) - set(stratum)):
        share = 100 * size[unseen].sum() / size.sum()
        notes.append(Note(
            "{n} strata of {file} have no respondents ({strata}): {share:.1f}% of it",
            "{n} strata van {file} hebben geen respondenten ({strata}): {share:.1f}% van de populatie",
            n=len(unseen), file=name, strata=unseen, share=float(share),
        ))  # fmt: skip
    return size.reindex(stratum).to_numpy(dtype=float)


def _replicates(raw: pd.DataFrame, plan: ReplicatePlan, file: str, problems: Problems) -> dict[str, Floats]:
    columns = plan.columns
    names = [column for column in raw if column.startswith(columns)] if isinstance(columns, str) else list(columns)
    if absent := [column for column in names if column not in raw]:
        problems.add(f"{file} lacks replicate weights", shown(raw.columns), shown(absent), "correct the names")
        return {}
    if not names:
        problems.add(f"{file} has no replicate weights", f"no column {columns}...", "several", "correct `columns`")
        return {}
    try:
        plan.scales(len(names))
        weights = {f"replicate_{k}": as_number(raw[name]).to_numpy(dtype=float) for k, name in enumerate(names, 1)}
    except BuurtsaeError as error:
        problems.collect(error)
        return {}
    except (ValueError, TypeError) as error:
        problems.add(f"{file}: replicate weights are no numbers", str(error), "numbers", "correct the columns")
        return {}
    if bad := [n for n, w in zip(names, weights.values(), strict=True) if not (w >= 0).all() or not (w > 0).any()]:
        problems.add(f"{file}: replicate weights are missing, negative or all 0", shown(bad), ">= 0", "correct them")
    return weights
