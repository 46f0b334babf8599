"""How far do the figures of the demo differ between processors and numbers of threads?

    python benchmarks/kernels.py [--seeds 3] [--nuts 1] [--out docs/attacks.md]

The demo is fitted with the same seeds as if on other processors: OpenBLAS, which multiplies and factors matrices, is
told which one (OPENBLAS_CORETYPE), and in the last row numba, which compiles our loops, and NumPy do without what
processors have had since 2008. Each is compared with the first row of its engine: the processor as it is, one thread.
Kernels that this processor cannot run are left out. Fits by NUTS take minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pages import write_part

MARKS = "<!-- kernels: written by benchmarks/kernels.py -->", "<!-- end of kernels -->"
PLAIN = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NUMBA_CPU_NAME": "generic",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
}
SETTINGS: dict[str, tuple[dict[str, str], int, int]] = {  # environment; threads of BLAS, and of the engine
    "as it is": ({}, 1, 1),
    "as it is, again": ({}, 1, 1),
    "as it is, threads": ({}, 2, 2),
    "SkylakeX": ({"OPENBLAS_CORETYPE": "SkylakeX"}, 1, 2),
    "Haswell": ({"OPENBLAS_CORETYPE": "Haswell"}, 1, 2),
    "Prescott": ({"OPENBLAS_CORETYPE": "Prescott"}, 1, 2),
    "Prescott, threads": ({"OPENBLAS_CORETYPE": "Prescott"}, 2, 2),
    "no AVX2 anywhere": (PLAIN, 1, 2),
}
FIGURES = ["estimate", "sd", "lower", "upper"]
CHILD = """
import sys
from buurtsae.runs import steps
from buurtsae.runs.example import example
from buurtsae.engines.base import fit
from buurtsae.estimates.summary import estimate
engine, seed, threads, to = sys.argv[1:]
inputs = steps.check(example())
option = {"laplace": {"threads": int(threads)}, "nuts": {"cores": int(threads)}, "eblup": {}}[engine]
found = fit(inputs.model, inputs.direct, engine, int(seed), progress=False, **option)
estimate(found).published.to_parquet(to)
from threadpoolctl import threadpool_info
print(*{i["architecture"] for i in threadpool_info() if i["internal_api"] == "openblas"})
"""


def fitted(engine: str, seed: int, setting: tuple[dict[str, str], int, int]) -> tuple[pd.DataFrame, str] | None:
    """Published estimates of the demo and the kernel of OpenBLAS; None where the processor cannot run it."""
    environment, blas, threads = setting
    plain = {k: v for k, v in os.environ.items() if k not in PLAIN}
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "estimates.parquet"
        done = subprocess.run(
            [sys.executable, "-c", CHILD, engine, str(seed), str(threads), str(to)],
            env={**plain, **environment, "OPENBLAS_NUM_THREADS": str(blas)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode < 0:  # stopped by a signal: an instruction that is not there
            return None
        if done.returncode:
            raise RuntimeError(done.stderr)
        return pd.read_parquet(to), done.stdout.strip()


def rows(engine: str, seeds: int) -> Iterator[dict[str, object]]:
    """One row per setting: the largest differences over the seeds."""
    first: list[pd.DataFrame] = []
    for name, setting in SETTINGS.items():
        found = [fitted(engine, seed, setting) for seed in range(1, seeds + 1)]
        tables, kernels = zip(*(f for f in found if f is not None), strict=True) if all(found) else ((), ())
        if not tables:
            continue
        first = first or list(tables)
        print(engine, name, file=sys.stderr, flush=True)
        apart = [(a[FIGURES] - b[FIGURES]).abs().max() for a, b in zip(first, tables, strict=True)]
        yield {
            "engine": engine,
            "processor": name,
            "kernel": kernels[0],
            "threads": f"{setting[1]}, {setting[2]}",
            "seeds": seeds,
            **{c: f"{max(a[c] for a in apart):.0e}".replace("0e+00", "0") for c in FIGURES},
            "labels": sum(int((a["label"] != b["label"]).sum()) for a, b in zip(first, tables, strict=True)),
            "every bit": "yes" if all(a.equals(b) for a, b in zip(first, tables, strict=True)) else "no",
        }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds for laplace; eblup has one")
    parser.add_argument("--nuts", type=int, default=0, help="seeds for NUTS")
    parser.add_argument("--out", type=Path, default=None, help="page whose part between the markers is replaced")
    args = parser.parse_args()
    wanted = [("laplace", args.seeds), ("eblup", 1), ("nuts", args.nuts)]
    table = pd.DataFrame([row for engine, seeds in wanted if seeds for row in rows(engine, seeds)])
    text = table.to_markdown(index=False, disable_numparse=True)
    print(text)
    if args.out:
        write_part(args.out, *MARKS, text)


if __name__ == "__main__":
    main()
