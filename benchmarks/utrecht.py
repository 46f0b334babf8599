"""The province of Utrecht: the main job on real buurten, with a simulated survey of known truth.

    python benchmarks/utrecht.py [--out docs/utrecht.md] [--again]

Needs the folder `shared` beside the checkout (real boundaries and kerncijfers of 2024). It simulates respondents at the
rate of a national monitor, runs `models/utrecht.toml` and compares with the truth. The truth depends on three of the
covariates that the model is given, on a spatial field and on chance; the model sees respondents only. `--again` compares
what an earlier run left in `out/utrecht` is not needed for: it always fits anew.

When is an estimate closer to the truth than the direct one? With errors m and s (root mean square) and the correlation
m / s that an optimal estimate has, P(|error| < |direct error|) = 1/2 + asin(sqrt((1 - q) / (1 + 3 q))) / pi, q = m^2 / s^2:
85% needs q < 0.06. What a fit itself expects follows from its draws: eta of each draw in the place of the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from buurtsae import pipeline
from buurtsae.areas.areas import Areas
from buurtsae.estimates.summary import Estimates, level_draws
from buurtsae.runfile import RunFile
from buurtsae.simulate.population import TruthSpec
from buurtsae.simulate.survey import simulate_to

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "models" / "utrecht.toml"
RATE, SEED = 1 / 80, 2024
SPEC = TruthSpec(covariates=("stedelijkheid", "pct_koopwoningen", "gem_huishoudensgrootte"), effects=(0.5, 1.0, 0.5))
