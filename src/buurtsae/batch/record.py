"""`batch.json`: what became of every run of a batch. It is a log: whether a run is finished, its folder says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from buurtsae.batch.job import Report
from buurtsae.batch.tasks import Batch, Task
from buurtsae.errors import DataError, cut, shown
from buurtsae.folder.failures import failure, shortened

RECORD, INDEX = "batch.json", "index.html"
NEEDED = {"batch", "runs"}


@dataclass
class Record:
    """The log of a batch in its folder, written anew after every run.

    Attributes
    ----------
    folder : path
    batch : Batch
    versions : mapping
    reports : dict
        By name of the run.
    tries : dict
        How often each was begun, where that is more than once.
    """

    folder: Path
    batch: Batch
    versions: Mapping[str, str]
    reports: dict[str, Report] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def of(self, task: Task) -> Report:
        """Return what is known of a run."""
        return self.reports.get(task.name, Report(task.name, task.key, "waiting"))

    def write(self) -> None:
        """Write it, whole or not at all.

        Raises
        ------
        DataError
            If it cannot be written: why.
        """
        about = {"name": self.batch.name, "title": self.batch.title, "template": self.batch.template}
        runs = [
            {**asdict(self.of(task)), "tries": self.tries.get(task.name, 0), "run": self._run(task)}
            for task in self.batch.tasks
        ]
        content = {"batch": about, "versions": dict(self.versions), "runs": runs}
        write_whole(self.folder / RECORD, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    def _run(self, task: Task) -> str:
        """The run file, from the folder where it is made there."""
        path = task.run.path
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)

    def remember(self) -> None:
        """Take over from an earlier start what it measured of results that still stand: seconds, memory, host."""
        for row in (read_record(self.folder) or {}).get("runs", []):
            known = self.reports.get(row.get("name", ""))
            if known is not None and row.get("key") == known.key and row.get("state") == known.state:
                seconds, peak, host = row.get("seconds", 0.0), row.get("peak"), row.get("host", "")
                self.reports[known.name] = Report(known.name, known.key, known.state, seconds, peak, host)


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that nobody ever sees a part of it.

    Raises
    ------
    DataError
        If the system refuses: why.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise failure(error, path.parent) from error


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what `batch.json` in a folder holds; None if it has none of ours."""
    try:
        content = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    sound = isinstance(content, dict) and content.keys() >= NEEDED and isinstance(content["runs"], list)
    return content if sound and all(isinstance(row, dict) for row in content["runs"]) else None


def ours(folder: Path) -> frozenset[str] | None:
    """Return the files in a folder that a batch may replace: its log and its page, if a batch wrote them."""
    return frozenset([RECORD, INDEX]) if read_record(folder) is not None else frozenset()


def refuse_another(batch: Batch, folder: Path) -> None:
    """Refuse a folder that holds another batch: another template, or run files none of which is among these.

    Raises
    ------
    DataError
    """
    content = read_record(folder)
    if content is None:
        return
    about = content["batch"] if isinstance(content["batch"], dict) else {}
    theirs = [str(row.get("name")) for row in content["runs"]]
    same = (about.get("name", ""), about.get("template", "")) == (batch.name, batch.template)
    if not same or (not batch.template and not set(theirs) & {task.name for task in batch.tasks}):
        of = f" of {about['template']}" if about.get("template") else f" of {shown(theirs, 3)}"
        raise DataError(
            f"{shortened(folder)} holds another batch",
            f"{cut(about.get('name') or about.get('title', ''))}{of}",
            f"{batch.name or batch.title}{' of ' + batch.template if batch.template else ''}, or an empty folder",
            "choose another --out",
        )
