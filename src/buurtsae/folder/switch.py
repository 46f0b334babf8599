"""From the old files of a folder to the new ones, so that whoever interrupts it leaves no mixture that looks whole.

A journal says which files go and which come. All that goes moves aside, the manifest first; then all that comes moves
in, the manifest last. Where everything lies on the disk says how far it came, so that `restore` can be called after
any interruption, its own included: when all has come the switch is complete, and otherwise everything moves back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from buurtsae.errors import DataError
from buurtsae.folder.finished import MANIFEST, inside

JOURNAL, NEW, OLD = "journal.json", "new", "old"


def switch(folder: Path, work: Path, goes: Iterable[str]) -> None:
    """Replace files of a folder (those that go) by those below `work / NEW`, on the same file system."""
    new = work / NEW
    leaves = _manifest_last(goes)
    comes = _manifest_last(file.relative_to(new).as_posix() for file in new.rglob("*") if file.is_file())
    made = [home for home in _homes(comes) if not (folder / home).exists()]
    _write(work / JOURNAL, {"goes": leaves, "comes": comes, "made": made})
    try:
        for name in reversed(leaves):
            _move(folder / name, work / OLD / name)
        for name in comes:
            _move(new / name, folder / name)
    finally:  # whatever happened, Ctrl-C included
        restore(folder, work)


def restore(folder: Path, work: Path) -> None:
    """End a switch that was begun: forwards when all that comes has come, backwards otherwise."""
    if not (work / JOURNAL).exists():
        return
    plan = _plan(work / JOURNAL)
    if any((work / NEW / name).exists() for name in plan["comes"]):
        for name in reversed(plan["comes"]):
            if (folder / name).exists() and not (work / NEW / name).exists():
                _move(folder / name, work / NEW / name)
        for name in plan["goes"]:
            if (work / OLD / name).exists():
                _move(work / OLD / name, folder / name)
        empty = plan["made"]
    else:
        empty = _homes(plan["goes"])
    for home in (folder / name for name in reversed(empty)):
        if home.is_dir() and not any(home.iterdir()):
            home.rmdir()
    (work / JOURNAL).unlink()


def _plan(path: Path) -> dict[str, list[str]]:
    """Read a journal, or refuse it: a switch writes it whole, so that somebody else changed it."""
    try:
        plan = json.loads(path.read_bytes())
        sound = all(inside(name) for part in ("goes", "comes", "made") for name in plan[part])
    except (ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        hint = f"move what you need out of {path.parent}, remove that folder, and run again"
        raise DataError("an interrupted run cannot be restored", f"a changed {path}", "the journal that it wrote", hint)
    return plan


def _manifest_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name == MANIFEST, name))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def _homes(names: Iterable[str]) -> list[str]:
    """The folders that files are in, those above before those below."""
    return sorted({home.as_posix() for name in names for home in list(PurePosixPath(name).parents)[:-1]})


def _write(path: Path, plan: dict[str, list[str]]) -> None:
    """Write the journal, on the disk itself before anything moves."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(plan, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
