"""Spoiled inputs by class, through the command line: how many are refused, accepted, noted; none may be a traceback.

    python benchmarks/fuzz.py                   the table of docs/attacks.md, some minutes
    python benchmarks/fuzz.py --each 1000000    every mutation there is, hours

The mutations are those of the suite (`tests/contract/mutations.py`); warnings are errors. Of what `check` accepts,
every tenth input goes through the whole `run`, with the fast engine and the classical one in turn.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

from pages import write_part

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from example_runs import call  # noqa: E402
from mutations import Mutation, mutations  # noqa: E402
from small_run import make_base  # noqa: E402
from trial import attempt, notes_of, whole_run  # noqa: E402

START, END = "<!-- fuzz: written by benchmarks/fuzz.py -->", "<!-- end of fuzz -->"
COLUMNS = ("tried", "refused", "accepted", "noted", "failed", "runs", "run refused", "run failed")
ENGINES = ("laplace", "eblup")
TENTH = 10


def chosen(each: int) -> dict[str, list[Mutation]]:
    """So many mutations of each class, spread evenly."""
    classes: dict[str, list[Mutation]] = defaultdict(list)
    for m in mutations():
        classes[m.kind].append(m)
    return {kind: ms[:: max(1, len(ms) // each)] for kind, ms in classes.items()}


def trials(each: int, work: Path) -> tuple[dict[str, Counter[str]], list[str]]:
    """Counts by class, and what failed."""
    base = make_base(work / "base")
    usual = notes_of(call("check", base / "bron.toml").out)
    counts: dict[str, Counter[str]] = {}
    failed, accepted = list[str](), 0
    for kind, ms in chosen(each).items():
        counts[kind] = count = Counter[str]()
        for m in ms:
            folder = work / "run"
            shutil.rmtree(folder, ignore_errors=True)
            ended = attempt(m, base, folder, usual)
            count["tried"] += 1
            count[ended.how] += 1
            if ended.how == "failed":
                failed.append(f"{m}\n{ended.text}")
            if ended.how in ("accepted", "noted") and ended.command[:2] == ["check", "bron.toml"]:
                accepted += 1
                if accepted % TENTH == 0:
                    whole = whole_run(folder, ENGINES[accepted // TENTH % 2])
                    count["runs"] += 1
                    count[f"run {whole.how}"] += 1
                    if whole.how != "accepted":
                        failed.append(f"{m}, {whole.how} by {' '.join(whole.command)}\n{whole.text}")
        print(f"{kind}: {dict(count)}", file=sys.stderr, flush=True)
    return counts, failed


def table(counts: dict[str, Counter[str]]) -> str:
    """The part of the page."""
    total = sum(counts.values(), Counter[str]())
    rows = [(kind, *(str(c[k]) for k in COLUMNS)) for kind, c in counts.items()]
    rows.append(("**all**", *(f"**{total[k]}**" for k in COLUMNS)))
    head = ("mutated", "tried", "refused", "accepted", "noted", "traceback", "whole runs", "refused", "traceback")
    lines = [" | ".join(row) for row in (head, ("---", *["---:"] * len(COLUMNS)), *rows)]
    text = (
        "A small run with nearly every key and kind of file is spoiled in one place and read by `buurtsae check`, "
        "with warnings as errors. *Refused*: messages of three lines, at most 5 kB in all, status 1 or 2. *Noted*: "
        "accepted, with a note that the clean run does not have. *Whole runs*: every tenth input that was accepted, "
        "run to the end; a refusal there is one that `check` could not see."
    )
    return f"\n{text}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", type=int, default=150, help="mutations of each class")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
    warnings.filterwarnings("ignore", r"PyTensor could not link to a BLAS installation", UserWarning)
    with tempfile.TemporaryDirectory() as work:
        counts, failed = trials(asked.each, Path(work))
    print("\n\n".join(failed))
    write_part(ROOT / "docs" / "attacks.md", START, END, table(counts))


if __name__ == "__main__":
    main()
