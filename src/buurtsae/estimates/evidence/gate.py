"""The gate that a run must pass: thresholds, alarms, and the decision.

The p-value of the checks is that of all together (`checks`), so that one threshold holds for all. Where checks could
not be made, the gate says so instead of a row about them: nobody should take what was not looked at for passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from buurtsae.draws import EFFECTIVE_MIN, ESS_MIN, KHAT_MAX, RHAT_MAX
from buurtsae.notes import Alarm, Note
from buurtsae.ranges import Count

if TYPE_CHECKING:
    from buurtsae.engines.base import Fit


@dataclass(frozen=True)
class Gate:
    """Thresholds that a run must meet to be published.

    Parameters
    ----------
    rhat_max, ess_bulk_min : float
        Over every quantity in the table of estimates.
    max_divergences : int
        These three of engines that sample.
    khat_max, min_hyper_effective : float
        Of engines that weigh values of the hyperparameters: Pareto k-hat, and the effective number of values.
    max_alarms : int
        Notes that say that an input is hardly what it is taken for (`notes.Alarm`), and reversed items.
    false_alarm : float
        Probability that a model which holds is refused by any of the checks together (`checks`); 0: they only tell.
    """

    rhat_max: Annotated[float, Interval(gt=1)] = RHAT_MAX
    ess_bulk_min: Annotated[float, Interval(ge=0)] = ESS_MIN
    max_divergences: Count = 0
    khat_max: Annotated[float, Interval(gt=0)] = KHAT_MAX
    min_hyper_effective: Annotated[float, Interval(ge=1)] = EFFECTIVE_MIN
    max_alarms: Count = 0
    false_alarm: Annotated[float, Interval(ge=0, lt=1)] = 0.05


def alarms(fit: Fit, scales: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Return what says that inputs are not what they are taken for: alarms among the notes, and reversed items."""
    turned = dict.fromkeys((row["source"], item) for row in scales for item in row.get("reversed", ()))
    reversed_ = [
        Note(
            "{source}: item {item} runs against the others of its scale and looks reversed",
            "{source}: vraag {item} loopt tegen de andere van haar schaal in en lijkt omgekeerd gesteld",
            source=source, item=item,
        )
        for source, item in turned
    ]  # fmt: skip
    return [*(note for note in fit.direct.notes if isinstance(note, Alarm)), *reversed_]


def decided(
    gate: Gate,
    convergence: Mapping[str, Any],
    checked: Sequence[Mapping[str, Any]],
    heard: Sequence[Note],
    unmade: Note | None = None,
) -> dict[str, Any]:
    """Return whether the gate is met, a row per threshold, and why there is none of the checks, where there is none."""
    rows: list[tuple[str, str, str, float, float, str]]
    if "khat" in convergence:
        weights = "Pareto k-hat van de gewichten", "Pareto k-hat of the weights"
        values = "Effectieve waarden van de hyperparameters", "effective values of the hyperparameters"
        rows = [
            ("khat", *weights, convergence["khat"], gate.khat_max, "max"),
            ("hyper_effective", *values, convergence["effective"], gate.min_hyper_effective, "min"),
        ]
    elif "converged" in convergence:
        method = convergence["method"]
        what = f"{method} geconvergeerd (1 = ja)", f"{method} converged (1 = yes)"
        rows = [("converged", *what, float(convergence["converged"]), 1.0, "min")]
    else:
        size, steps = ("Kleinste effectieve steekproef", "lowest bulk ESS"), ("Divergente stappen", "divergences")
        rows = [
            ("rhat_max", "Hoogste R-hat", "highest R-hat", convergence["rhat_max"], gate.rhat_max, "max"),
            ("ess_bulk_min", *size, convergence["ess_bulk_min"], gate.ess_bulk_min, "min"),
            ("divergences", *steps, convergence["divergences"], gate.max_divergences, "max"),
        ]
    strange = "Invoer die niet kan kloppen (aantal)", "inputs that cannot be right (number)"
    rows.append(("alarms", *strange, len(heard), gate.max_alarms, "max"))
    if checked:
        least = "Kleinste p-waarde van de toetsen samen", "lowest p-value of the checks together"
        rows.append(("checks", *least, min(check["p"] for check in checked), gate.false_alarm, "min"))
    keys = "id", "nl", "en", "value", "threshold", "direction"
    made: list[dict[str, Any]] = [dict(zip(keys, row, strict=True)) for row in rows]
    for row in made:
        value, threshold = row["value"], row["threshold"]
        row["passed"] = bool(value <= threshold if row["direction"] == "max" else value >= threshold)
    return {"passed": all(row["passed"] for row in made), "checks": made, "unmade": unmade}
