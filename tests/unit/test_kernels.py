"""Which variances are zero is said by the data: by any kernel of OpenBLAS, and so on any processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# buurten with one respondent, with three who agree, and with three who do not
CODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, pandas as pd
from made_fit import EMPTY, SUBDIMENSIONS, make_areas
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import direct
from buurtsae.survey.scales import Scores
areas, rng = make_areas(), np.random.default_rng(1)
codes = areas.codes[areas.codes != EMPTY]
kind = np.arange(len(codes)) % 3
row = np.repeat(np.arange(len(codes)), np.where(kind == 0, 1, 3))
frame = pd.DataFrame({"area_code": codes[row], "stratum": "all", "weight": rng.lognormal(0, 0.5, len(row))})
for d, name in enumerate(SUBDIMENSIONS):
    frame[name] = (row + d) % 8 * 10 / 7
frame.loc[kind[row] == 2, SUBDIMENSIONS] = rng.integers(0, 8, ((kind[row] == 2).sum(), 4)) * 10 / 7
found = direct(Scores(frame, "eigen", 2023, SUBDIMENSIONS), areas)
before = found.variances().set_index("area_code")["before"].loc[codes].gt(0).groupby(level=0).any()
totals = found.totals("buurt", Concept.load()).set_index("area_code")["direct_se"].loc[codes].notna()
print(json.dumps([kind.tolist(), before.tolist(), totals.groupby(level=0).any().tolist()]))
"""


@pytest.mark.parametrize("kernel", ["", "Prescott", "Haswell", "SkylakeX"])
def test_zero_variances_are_those_of_one_respondent_or_equal_answers(kernel: str) -> None:
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel}
    if not kernel:  # that of the processor
        del environment["OPENBLAS_CORETYPE"]
    command = [sys.executable, "-c", CODE, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode < 0:
        pytest.skip(f"this processor cannot run the kernel {kernel}")
    assert done.returncode == 0, done.stderr
    kind, before, published = json.loads(done.stdout)
    assert before == published == [k == 2 for k in kind]
