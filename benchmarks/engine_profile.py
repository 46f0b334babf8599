"""Where the processor time of a fit of the whole country goes: stages of the fast engine, and loops within these.

    python benchmarks/engine_profile.py [--shared ../shared] [--out docs/fast-engine.md]

The data of `benchmarks/national.py`, four sub-dimensions jointly, 1,000 draws, the second fit of a process. A call is
measured by the clock of its own thread: what other work on the machine takes does not count.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import write_part

ROOT = Path(__file__).parents[1]
MARKS = "<!-- profile: written by benchmarks/engine_profile.py -->", "<!-- end of profile -->"
STAGES = {
    "with_gradient": "gradients of the log density (mode, curvature)",
    "posterior": "values of the log density",
    "_drawn": "draws given a value",
}
LOOPS = {
    "add_information": "what sites say",
    "factorise": "factor",
    "solve_forward": "right-hand sides",
    "solve_backward": "solutions, draws",
    "selected_inverse": "selected inverse",
    "covariances": "covariances per site",
    "scores": "scores of draws",
}


def timed(owner: Any, name: str, spent: dict[str, list[float]], key: Callable[..., str]) -> None:
    """Measure all calls of a function from now on."""
    plain = getattr(owner, name)

    def measured(*args: Any, **options: Any) -> Any:
        start = time.thread_time()
        found = plain(*args, **options)
        spent[key(*args)].append(time.thread_time() - start)
        return found

    setattr(owner, name, measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    from national import made

    from buurtsae import multifrontal
    from buurtsae.engines.base import fit
    from buurtsae.engines.laplace import Early
    from buurtsae.engines.marginal import Marginal
    from buurtsae.latent import loops

    model, direct, *_ = made(args.shared, [0, 1, 2, 3])
    fit(model, direct, "laplace", 1, progress=False, draws=4, hyperparameters=2)
    spent: dict[str, list[float]] = defaultdict(list)
    n = len(direct.areas.codes)
    for owner, name in ((Marginal, "with_gradient"), (Marginal, "posterior"), (Early, "_drawn")):

        def stage(self: Any, *rest: Any, name: str = name) -> str:
            of = self.marginal if isinstance(self, Early) else self
            return STAGES[name] + ("" if len(of.design.areas) == n else ", of a part of the areas")

        timed(owner, name, spent, stage)
    for name in LOOPS:
        owner = multifrontal if hasattr(multifrontal, name) else loops
        timed(owner, name, spent, lambda *rest, name=name: "- " + LOOPS[name])
    start = time.process_time()
    found = fit(model, direct, "laplace", 2, progress=False, draws=1000)
    whole = time.process_time() - start
    lines = ["| | times | ms each | s |", "| --- | --- | --- | --- |"]
    for name, each in sorted(spent.items(), key=lambda pair: pair[0].startswith("- ")):
        lines.append(f"| {name} | {len(each)} | {1000 * sum(each) / len(each):.1f} | {sum(each):.1f} |")
    text = "\n".join(lines)
    text += (
        f"\n\n{whole:.1f} s in all, {found.draws.certificate}; rows that begin with a dash are parts of those above."
    )
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
