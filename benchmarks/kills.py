"""Publishing that is killed in every phase, and two writers at once: one whole run in the folder, or none that is read?

A run takes the place of another one, or comes first. Its process ends itself by SIGKILL at one of the steps that touch
the folder, spread over every phase; some of the runs that then restore the folder are killed too. After each kill every
reader (`explain`, `compare`, `serve`) is asked; then the folder is claimed as by the next run, which restores it, and
they are asked again. In a race two processes publish different runs to one folder at the same moment.

    python benchmarks/kills.py --out docs/attacks.md
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from pages import write_part

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))

from made_fit import made_fit
from publisher import PHASES, Publisher, answers, publisher, tree

from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.summary import estimate
from buurtsae.folder.finished import hashes
from buurtsae.folder.target import claimed
from buurtsae.publication.manifest import versions
from buurtsae.publication.output import FILES

START, END = "<!-- kills: written by benchmarks/kills.py -->", "<!-- end of kills -->"
EACH, RACES = 7, 20  # kills per phase over an old run and without one; races
STALE = "json/GM9999.json"  # of the old run only


def store(path: Path) -> None:
    """Store two sets of estimates with their reports."""
    about = {"title": "Proef", "created": "2024-01-01T00:00:00Z"}
    found = {}
    for seed, name in enumerate(("old", "new"), start=1):
        est = estimate(made_fit(seed=seed).fit, run_id=name)
        run = {**about, "run_id": name, "versions": versions()}
        found[name] = (est, quality(est, run=run), about)
    path.write_bytes(pickle.dumps(found))


def with_stale(source: Path, to: Path) -> Path:
    """Copy a run and give it a file that the other does not have."""
    shutil.copytree(source, to)
    (to / STALE).write_text("{}")
    manifest = json.loads((to / "manifest.json").read_bytes())
    manifest["outputs"][STALE] = hashes(to)[STALE]
    (to / "manifest.json").write_text(json.dumps(manifest))
    return to


def spread(phases: list[str], phase: str, most: int) -> list[int]:
    """Steps of one phase, the first and the last included."""
    places = [k for k, p in enumerate(phases, start=1) if p == phase]
    n = min(most, len(places))
    return sorted({places[round(i * (len(places) - 1) / max(n - 1, 1))] for i in range(n)})


def kill(process: Publisher, home: Path) -> list[dict[str, Any]]:
    """Kill in every phase, with and without an old run, and tell what readers made of it."""
    for name in ("old", "new"):
        assert not process.publish(name, home / f"whole-{name}").error
    whole = {"old": with_stale(home / "whole-old", home / "whole-old-with-stale"), "new": home / "whole-new"}
    said, trees = ({name: f(p) for name, p in whole.items()} for f in (answers, tree))
    said["none"], trees["none"] = None, {}
    rows = []
    to = home / "out"

    def begin(old: str) -> None:
        shutil.rmtree(to, ignore_errors=True)
        if old == "old":
            shutil.copytree(whole["old"], to)

    def judge(old: str, phase: str, steps: list[str]) -> None:
        assert steps[-1] == phase, (phase, steps[-1])
        after = answers(to)
        found = next((name for name in said if said[name] == after), "MIXED")
        with claimed(to, FILES):
            pass
        left = tree(to) if to.exists() else {}
        restored = next((name for name in (old, "new") if trees[name] == left), "MIXED")
        if answers(to) != said[restored if restored in said else "none"]:
            restored = "MIXED"
        rows.append({"phase": phase, "before": old, "readers": found, "restored": restored})

    for old in ("old", "none"):
        begin(old)
        phases = process.publish("new", to).phases
        for phase in [p for p in PHASES if p != "restore"]:
            for at in spread(phases, phase, EACH):
                begin(old)
                judge(old, phase, process.publish("new", to, at).phases)
        for at in (spread(phases, "old away", 3)[1:] if old == "old" else []) + spread(phases, "new in", 3)[:2]:
            for again in (6, 12, 40):
                begin(old)
                process.publish("new", to, at)
                second = process.publish("new", to, again)
                if second.phases[-1] == "restore":
                    judge(old, "restore", second.phases)
    return rows


def race(one: Publisher, other: Publisher, home: Path) -> Counter[str]:
    """Let two processes publish to one folder at once; how it ended."""
    ends: Counter[str] = Counter()
    plain = {name: tree(home / f"whole-{name}") for name in ("old", "new")}
    for k in range(RACES):
        to = home / f"race-{k}"
        one.start("new", to)
        other.start("old", to)
        errors = {"new": one.end().error, "old": other.end().error}
        winners = [name for name, error in errors.items() if not error]
        refused = [
            error for error in errors.values() if "another run is writing to" in error and "got process" in error
        ]
        if tree(to) not in [plain[name] for name in winners] or len(winners) + len(refused) != 2:
            ends["mixed, or something else"] += 1
        else:
            ends["one refused by name" if refused else "one after the other"] += 1
        shutil.rmtree(to)
    return ends


def table(rows: list[dict[str, Any]]) -> str:
    """Count kills by phase."""
    frame = pd.DataFrame(rows)
    parts = {}
    for phase in PHASES:
        part = frame[frame["phase"] == phase]
        readers, restored = Counter(part["readers"]), Counter(part["restored"])
        parts[phase] = {
            "kills": len(part),
            "readers read the old run whole": readers["old"],
            "the new run whole": readers["new"],
            "all refuse": readers["none"],
            "a mixture": readers["MIXED"],
            "the next run restores the old run": restored["old"],
            "ends the new one": restored["new"],
            "clears a first run": restored["none"],
            "leaves something else": restored["MIXED"],
        }
    found = pd.DataFrame(parts).T.rename_axis("phase")
    found.loc["all"] = found.sum()
    return str(found.reset_index().to_markdown(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        store(home / "stored.pickle")
        with publisher(home / "stored.pickle") as one, publisher(home / "stored.pickle") as other:
            rows = kill(one, home)
            other.publish("old", home / "warm")
            ends = race(one, other, home)
    races = "\n".join(f"* {count} of {RACES} races: {what}" for what, count in sorted(ends.items()))
    text = f"{table(rows)}\n\nTwo writers to one folder at the same moment:\n\n{races}"
    print(text)
    write_part(arguments.out, START, END, text)


if __name__ == "__main__":
    main()
