"""One page over all runs of a batch: indicators by year, their state, how many figures can be used, and a link."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buurtsae.batch.job import State, state_of
from buurtsae.batch.tasks import Batch, finished
from buurtsae.drawing.style import LABELS
from buurtsae.folder.finished import Finished
from buurtsae.notes import Note

STATES: dict[State, Note] = {
    "done": Note("quality gate met", "kwaliteitstoets gehaald"),
    "draft": Note("DRAFT: quality gate not met", "VOORLOPIG: kwaliteitstoets niet gehaald"),
    "error": Note("failed: the input has an error", "mislukt: er zit een fout in de invoer"),
    "memory": Note("failed: too little memory", "mislukt: te weinig geheugen"),
    "lost": Note("failed: the process was lost", "mislukt: het proces is weggevallen"),
    "waiting": Note("not done yet", "nog niet gedaan"),
}


@dataclass(frozen=True)
class Shown:
    """What the page says of one run: counts are of figures per label, of the lowest level."""

    name: str
    title: str
    year: str
    state: State
    counts: tuple[int, ...] | None
    run_id: str = ""

    @property
    def words(self) -> Note:
        """The state."""
        return STATES[self.state]


def write_index(batch: Batch, folder: Path, states: dict[str, State]) -> None:
    """Write `index.html` for the runs in a folder; it has no times, and is the same however they were divided.

    Parameters
    ----------
    states : mapping
        Of the runs that have no results, by name.
    """
    from buurtsae.batch.record import INDEX
    from buurtsae.publication.about import of_run
    from buurtsae.publication.manifest import now
    from buurtsae.publication.pages import write_page

    results = {task.name: finished(folder / task.name, task.key) for task in batch.tasks}
    whole = {name: found for name, found in results.items() if found is not None}
    reports = {name: found.json("quality.json") for name, found in whole.items()}
    shown = [
        _shown(task.run.spec.run, whole.get(task.name), reports.get(task.name), states.get(task.name, "waiting"))
        for task in batch.tasks
    ]
    by_title = defaultdict[str, list[Shown]](list)
    for row in shown:
        by_title[row.title].append(row)
    made = [found.manifest.get("fictitious", False) for found in whole.values()]
    run: dict[str, Any] = {
        "title": batch.title,
        "created": max((str(found.manifest["created"]) for found in whole.values()), default=now()),
        "fictitious": next((one for one in (True, "respondents") if one in made), False),
        "credit": "; ".join(dict.fromkeys(filter(None, (each["run"].get("credit") for each in reports.values())))),
    }
    rows = [(title, sorted(group, key=lambda one: (one.year, one.name))) for title, group in by_title.items()]
    counts = {state: sum(row.state == state for row in shown) for state in STATES}
    part = folder / f".{INDEX}.part"
    values = {"run": of_run(run), "rows": rows, "labels": list(LABELS.values()), "states": STATES, "counts": counts}
    write_page(part, "batch.html", **values)
    part.replace(folder / INDEX)


def _shown(run: Any, found: Finished | None, report: dict[str, Any] | None, state: State) -> Shown:
    if found is None or report is None:
        return Shown(run.name, run.title, str(run.year), state, None)
    return Shown(
        run.name,
        run.title,
        str(run.year),
        state_of(found),
        _counts(report["labels"], str(run.year)),
        str(found.manifest["run_id"]),
    )


def _counts(labels: dict[str, dict[str, int]], year: str) -> tuple[int, ...]:
    """How many figures of the lowest level have each label, in the year of the run where there are several."""
    names: Sequence[str] = [name for name in labels if name.endswith(year)] or list(labels)
    lowest = labels[names[0]] if names else {}
    return tuple(int(lowest.get(label, 0)) for label in LABELS)
