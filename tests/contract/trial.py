"""One spoiled input through the command line, and how it ended."""

from __future__ import annotations

import shutil
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from example_runs import call
from mutations import Mutation

UNEXPECTED = "something unexpected"
LONGEST = 6000  # characters of all messages together: 5 kB and the count


@dataclass(frozen=True)
class Ended:
    """How a command ended: `refused`, `accepted`, `noted` (accepted with a note that the base has not) or `failed`."""

    how: str
    text: str
    command: list[str]


def notes_of(out: str) -> set[str]:
    """The notes that `check` printed."""
    return {line for line in out.splitlines() if line.startswith("note: ")}


def attempt(mutation: Mutation, base: Path, folder: Path, usual: set[str]) -> Ended:
    """Spoil a copy of the base in `folder`, call the command and say how it ended; `usual` are the base's notes."""
    shutil.copytree(base, folder)
    command = mutation.spoil(folder)
    with chdir(folder):
        done = call(*command)
    text = done.out + done.err
    if (wrong := _wrong(done.status, done.err, text)) or (folder / "geschreven").exists():
        return Ended("failed", wrong or "a formula wrote a file", command)
    if done.status in (1, 2):
        return Ended("refused", done.err or done.out, command)
    return Ended("noted" if notes_of(done.out) - usual else "accepted", text, command)


def whole_run(folder: Path, engine: str) -> Ended:
    """Run what `check` accepted from end to end."""
    command = ["run", "bron.toml", "--out", "uit", "--engine", engine, "--quiet"]
    with chdir(folder):
        done = call(*command)
    wrong = _wrong(done.status, done.err, done.out + done.err)
    return Ended("failed" if wrong else "refused" if done.status == 1 else "accepted", wrong or done.err, command)


def _wrong(status: int, err: str, text: str) -> str:
    """What is wrong with an ending, if anything."""
    if UNEXPECTED in text or "Traceback" in text or "Warning" in err or status not in (0, 1, 2, 3):
        return text[:3000] or f"status {status}"
    if status != 1 or not err:
        return ""
    lines = err.splitlines()
    while len(lines) > 1 and not lines[1].startswith("  got "):  # what was done up to then
        lines = lines[1:]
    lines = lines[:-1] if len(lines) % 3 == 1 else lines  # the count of several problems
    whole = all(got.startswith("  got ") and "; expected " in got and hint.startswith("  hint: ") for got, hint in
                zip(lines[1::3], lines[2::3], strict=False))  # fmt: skip
    if len(lines) % 3 or not lines or not whole:
        return f"no three lines: {err[:3000]}"
    return f"{len(err)} characters: {err[:500]}" if len(err) > LONGEST else ""
