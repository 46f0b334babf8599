"""Processes that publish, some of which end themselves by SIGKILL, and what readers make of the folder they leave.

`python publisher.py STORED`, STORED a pickle of {name: (estimates, report or None, what is known of the run)}, takes
lines of JSON on stdin: publish NAME to TO, and be killed AT the n-th file or folder that is opened, made, renamed or
removed there. Each is done in a fork, so that nothing has to be imported again.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
PHASES = ("lock", "restore", "trial", "staging", "journal", "old away", "new in", "clearing")


@dataclass(frozen=True)
class Ended:
    """How publishing ended: in which phase it was killed, or what was said; and how many steps it took."""

    phases: list[str]
    killed: bool
    error: str


@dataclass(frozen=True)
class Publisher:
    """A process that publishes when asked."""

    process: subprocess.Popen[str]

    def start(self, name: str, to: Path, at: int = 0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, str(to), at]) + "\n")
        self.process.stdin.flush()

    def end(self) -> Ended:
        assert self.process.stdout is not None
        return Ended(**json.loads(self.process.stdout.readline()))

    def publish(self, name: str, to: Path, at: int = 0) -> Ended:
        self.start(name, to, at)
        return self.end()


@contextmanager
def publisher(stored: Path, **environment: str) -> Iterator[Publisher]:
    command = [sys.executable, __file__, str(stored)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
    ) as process:
        yield Publisher(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def answers(folder: Path) -> dict[str, Any] | None:
    """Return all that readers say of a folder; None when they refuse it. That some do and others do not is an error."""
    from buurtsae.errors import BuurtsaeError
    from buurtsae.estimates.evidence.compare import compare_folders
    from buurtsae.publication.content import explained, of_area
    from buurtsae.serve.results import Results

    readers = {
        "explain": lambda: explained(of_area(folder, "GM0344")),
        "compare": lambda: compare_folders(folder, folder).text.replace(str(folder), "FOLDER"),
        "serve": lambda: _bodies(Results.open(folder)),
    }
    said, refusals = {}, list[str]()
    for name, reader in readers.items():
        try:
            said[name] = reader()
        except BuurtsaeError as error:
            refusals.append(str(error))
    assert all("holds no results of a finished run" in text for text in refusals), refusals
    assert set(said) in (set(), set(readers)), said
    return said or None


def _bodies(results: Any) -> list[Any]:
    """All that a server has to say, for one measure."""
    results.check()
    measure, year = results.measures[-1], results.years[-1]
    pages = [results.page(name.removeprefix("dashboard/")) for name in results.run.names if "dashboard/" in name]
    codes = results.gemeenten
    return [
        results.about(),
        *(results.gemeente(code) for code in codes),
        *(results.geojson(code, measure, year) for code in codes),
        *(results.level(level, measure, year) for level in results.levels),
        *pages,
    ]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- in the process that publishes


class _Steps:
    """An audit hook that counts what happens to a target, and ends the process at one of them."""

    def __init__(self, to: Path, at: int, pipe: int) -> None:
        self.to, self.at, self.pipe, self.phases = str(to), at, pipe, list[str]()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in EVENTS:
            return
        paths = [os.fsdecode(a) for a in args[:2] if isinstance(a, str | bytes | os.PathLike)]
        inside = [p.removeprefix(self.to).removeprefix("/") for p in paths if p.startswith(self.to)]
        relative = event in ("os.remove", "os.rmdir") and args[1] != -1  # by rmtree, from a folder that is open
        if not inside and not relative:
            return
        before = self.phases[-1] if self.phases else "lock"
        phase = before if relative else _phase(event, inside, before)
        self.phases.append(max(before, phase, key=PHASES.index))
        if len(self.phases) == self.at:
            self.tell(killed=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, *, killed: bool, error: str = "") -> None:
        os.write(self.pipe, json.dumps({"phases": self.phases, "killed": killed, "error": error}).encode())


def _phase(event: str, paths: list[str], before: str) -> str:
    """The phase of a step, by what it does, to which files, after which phase; no phase comes back."""
    first, last = paths[0], paths[-1]
    begun = before not in ("lock", "restore")
    if "journal" in last:
        return "restore" if not begun else "clearing" if event == "os.remove" else "journal"
    if event == "os.rename":
        return "restore" if not begun else "old away" if last.startswith(".buurtsae/old/") else "new in"
    if event == "os.mkdir" and before in ("restore", "journal"):
        return "old away" if begun else "restore"
    if first.startswith(".buurtsae/new"):
        return "trial" if not begun or "xxxx" in first else "staging"
    return before


def _child(stored: dict[str, Any], name: str, to: Path, at: int, pipe: int) -> None:
    from buurtsae.errors import BuurtsaeError
    from buurtsae.publication import output
    from buurtsae.publication.manifest import Provenance

    estimates, report, provenance = stored[name]
    if report is not None:  # it takes seconds to make
        output.quality = lambda *args, **options: report
    steps = _Steps(to, at, pipe)
    sys.addaudithook(steps)
    try:
        output.publish(estimates, to, provenance=Provenance(**provenance), draws=20)
    except BuurtsaeError as error:
        steps.tell(killed=False, error=str(error))
    else:
        steps.tell(killed=False)


def main(stored: Path) -> None:
    found = pickle.loads(stored.read_bytes())
    import buurtsae.publication.output  # noqa: F401  (once, before any fork)

    for line in sys.stdin:
        name, to, at = json.loads(line)
        receive, report = os.pipe()
        if (child := os.fork()) == 0:
            try:
                _child(found, name, Path(to), at, report)
            finally:
                os._exit(0)
        os.close(report)
        with os.fdopen(receive, encoding="utf-8") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        print(said, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
