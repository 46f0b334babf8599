"""What a run of the whole country does after its fit, by stage, by two versions of the package: processor time, memory.

    git worktree add ../old ddca571 && python benchmarks/publish_profile.py ../old [--shared ../shared]
        [--out docs/fast-engine.md]

The data of `benchmarks/national_site.py`: four sub-dimensions jointly, 14,566 buurten, 1,000 draws, with
profiles. The fit is made once; each version reads it in a process of its own, at the same time as the other, so that
both meet the same other work on the machine. Compiled loops and imports are there: the example is published first.
Files of both versions are compared. A stage is measured by the clock of its process, threads included.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from filecmp import cmp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
MARKS = "<!-- publish: written by benchmarks/publish_profile.py -->", "<!-- end of publish -->"
STAGES = {
    "estimate": "estimates",
    "quality": "quality checks",
    "supplement": "supplement",
    "write_tables": "tables",
    "write_layouts": "layouts",
    "write_workbook": "- the workbook",
    "_write_draws": "draws",
    "of": "leaning and profiles",
    "write_site": "pages and files per gemeente",
    "manifest": "manifest",
}


def fitted(shared: Path, to: Path) -> None:
    """Fit and keep the fit."""
    from national_site import prepared

    from buurtsae.engines.base import fit

    with to.open("wb") as file:
        pickle.dump(fit(*prepared(shared), seed=1, progress=False, draws=1000), file)


def measured(at: Path, folder: Path) -> dict[str, Any]:
    """Publish what was fitted; return seconds of processor time by stage, and the peak of memory in GiB."""
    from buurtsae.estimates import summary
    from buurtsae.publication import layouts, output
    from buurtsae.publication.manifest import Provenance
    from buurtsae.runs.example import voorbeeldstad
    from buurtsae.sparse import one_thread

    with TemporaryDirectory() as example:
        output.publish(voorbeeldstad(), example)
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            made = plain(*args, **options)
            spent[name] += time.process_time() - start
            return made

        return call

    for name in STAGES:
        for owner in (output, layouts):
            if hasattr(owner, name):
                setattr(owner, name, timed(name, getattr(owner, name)))
    output.Content.of = timed("of", output.Content.of)  # type: ignore[method-assign]
    with at.open("rb") as file:
        fit = pickle.load(file)
    start = time.process_time()
    with one_thread():
        est = timed("estimate", summary.estimate)(fit, run_id="made", fictitious="respondents")
        timed("supplement", lambda: est.supplement)()
        output.publish(est, folder, provenance=Provenance("Nederland", created="2026-01-01T00:00:00+00:00"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"spent": spent, "all": time.process_time() - start, "GiB": peak}


def report(old: dict[str, Any], new: dict[str, Any], differ: list[str], files: int) -> str:
    """Return the table in Markdown, and what the comparison of files found."""
    rows = [(words, *(one["spent"][name] for one in (old, new))) for name, words in STAGES.items()]
    lines = ["| stage | old, s | new, s | ratio |", "| --- | --- | --- | --- |"]
    for words, before, after in (*rows, ("all", old["all"], new["all"])):
        lines.append(f"| {words} | {before:.1f} | {after:.1f} | {after / before:.2f} |")
    lines += ["", f"Peak memory {old['GiB']:.2f} and {new['GiB']:.2f} GiB. "]
    lines[-1] += f"Of {files:,} files {len(differ)} differ{': ' + ', '.join(differ[:5]) if differ else ''}."
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a worktree of the other version")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--fit", type=Path, default=None, help="a fit that is there, or where to keep it")
    parser.add_argument("--folder", type=Path, default=None, help="where this process publishes it")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    if args.folder:
        print(json.dumps(measured(args.fit, args.folder)))
        return
    with TemporaryDirectory() as name:
        at = args.fit or Path(name) / "fit.pkl"
        if not at.exists():
            fitted(args.shared, at)
        folders, running = {}, []
        for version, source in (("old", args.old.resolve()), ("new", ROOT)):
            folders[version] = Path(name) / version
            command = [sys.executable, __file__, str(args.old), "--fit", str(at), "--folder", str(folders[version])]
            env = {**os.environ, "PYTHONPATH": str(source / "src")}
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env))
        told = [process.communicate()[0] for process in running]
        if any(process.returncode for process in running):
            sys.exit("a version could not publish: see above")
        old, new = (json.loads(text.splitlines()[-1]) for text in told)
        names = {str(p.relative_to(folder)) for folder in folders.values() for p in folder.rglob("*") if p.is_file()}
        pairs = {one: [folder / one for folder in folders.values()] for one in sorted(names)}
        differ = [one for one, (a, b) in pairs.items() if not (a.is_file() and b.is_file() and cmp(a, b, False))]
        text = report(old, new, differ, len(names))
    print(text)
    if args.out:
        from pages import write_part

        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
