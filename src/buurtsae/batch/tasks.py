"""The runs of a batch: what each is called, its run file, and the key of its results.

The key of a run is its `run_id`: a hash of inputs, settings, seed and versions. A folder of results whose manifest has
that key, and whose files are all there, is finished: nothing else has to be remembered to go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from buurtsae.batch.template import filled, toml
from buurtsae.errors import BuurtsaeError, DataError, Problems, cut, shown
from buurtsae.files import read_toml
from buurtsae.folder.finished import Finished, fingerprint
from buurtsae.origin import marked
from buurtsae.runs.runfile import RunFile, checked
from buurtsae.runs.steps import identity

MADE = "batch.runs"  # the folder of run files that were made; no run can have this name
Hashed = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One run of a batch.

    Attributes
    ----------
    run : RunFile
    key : str
        Its `run_id`, empty where an input cannot be read: the run will say so.
    text : str, optional
        What its run file is to hold, where that is made.
    """

    run: RunFile
    key: str
    text: str | None = None

    @property
    def name(self) -> str:
        """The name of the run, and of the folder with its results."""
        return self.run.spec.run.name

    @property
    def part(self) -> str:
        """The folder in which it is made."""
        return f".part-{self.key or self.name}"


@dataclass(frozen=True)
class Batch:
    """Runs that belong together.

    Attributes
    ----------
    name, title : str
    template : str
        File of the template, empty where run files were given.
    tasks : tuple of Task
    """

    name: str
    title: str
    template: str
    tasks: tuple[Task, ...]

    def __repr__(self) -> str:
        of = f" of {self.template}" if self.template else ""
        return f"Batch {cut(self.name or self.title)}: {len(self.tasks)} runs{of}"


def read_batch(paths: str | Path | Sequence[str | Path], out: Path) -> Batch:
    """Read a folder of run files, run files, or one batch file: a template and its rows.

    Parameters
    ----------
    paths : path or sequence of path
    out : path
        The folder for the results: run files of a template are made in it, and name their inputs from there.

    Raises
    ------
    DataError or ProblemsError
        Every problem of every run file, columns that no run file knows, and runs of the same name.
    """
    given = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    files = [file for path in given for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    if not files:
        got = "no *.toml in it" if given else "nothing"
        raise DataError("there are no run files", got, "run files, a folder of them, or a batch file", "name others")
    problems, runs = Problems(), list[tuple[RunFile, str | None]]()
    read = {file: problems.attempt(read_toml, file, f"run file {file.name or file}") for file in files}
    raw = {file: content[1] for file, content in read.items() if content is not None}
    batches = [file for file, content in raw.items() if "batch" in content]
    name = title = template = ""
    if batches and len(files) > 1:
        hint = "give it alone, or run files only"
        problems.add("a batch file stands beside others", shown(f.name for f in files), "one batch file", hint)
    elif batches:
        (file,) = batches
        for path, content in filled(file, raw[file], out.absolute() / MADE, problems):
            if (run := checked(path, content, problems)) is not None:
                runs.append((run, toml(content)))
        part = raw[file]["batch"] if isinstance(raw[file]["batch"], dict) else {}
        name, title, template = (str(part.get(key, "")) for key in ("name", "title", "template"))
    else:
        title = given[0].resolve().name if given[0].is_dir() else ""
        every = [(checked(file, content, problems), None) for file, content in raw.items()]
        runs = [(run, text) for run, text in every if run is not None]
    _alike(runs, problems)
    problems.raise_if_any()
    title = title or (runs[0][0].spec.run.title if len(runs) == 1 else f"{len(runs)} runs")
    return Batch(name, title, template, tuple(Task(run, _key(run, text), text) for run, text in runs))


def _alike(runs: Sequence[tuple[RunFile, str | None]], problems: Problems) -> None:
    """Record runs of the same name: their results would be in one folder."""
    of = defaultdict[str, list[str]](list)
    for run, _ in runs:
        of[run.spec.run.name.casefold()].append(run.path.name)
    for name, files in of.items():
        if len(files) > 1:
            got = f"{len(files)} of them: {shown(sorted(set(files)))}"
            problems.add(f"runs have the same name: {name}", got, "a name for each", "give each row its `run.name`")


def _key(run: RunFile, text: str | None) -> str:
    """The key of a run; empty where an input cannot be read."""
    made = None if text is None else text.encode()

    def read(file: Path) -> Hashed:
        if made is not None and file == run.path.resolve():  # it is not there yet
            import hashlib

            return {"sha256": hashlib.sha256(made).hexdigest(), "bytes": len(made)}
        about = file.stat()
        return dict(_hashed(file, about.st_size, about.st_mtime_ns))

    try:
        return marked(identity(run, read=read).run_id, run.spec.run.fictitious)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=4096)
def _hashed(file: Path, size: int, changed: int) -> Hashed:
    """Hash of a file that many runs name."""
    return fingerprint(file)


def finished(folder: Path, key: str) -> Finished | None:
    """Return the results in a folder, if they are those of a key and all of them are there."""
    try:
        results = Finished.open(folder)
        sizes = {name: (folder / name).stat().st_size for name in results.names}
    except (BuurtsaeError, OSError):
        return None
    whole = all(results.manifest["outputs"][name]["bytes"] == size for name, size in sizes.items())
    return results if whole and key and results.manifest["run_id"] == key else None
