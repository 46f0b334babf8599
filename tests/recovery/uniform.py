"""Whether ranks of simulation-based calibration are uniform: one statistic for all of these tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats


def check_uniform(found: Mapping[str, np.ndarray], replicates: int) -> None:
    """Ranks between 0 and 1 of each quantity, (replicates, K), are uniform, and not too few lie in the middle."""
    p = {
        f"{name}[{k}]": stats.kstest(values[:, k], "uniform").pvalue
        for name, values in found.items()
        for k in range(values.shape[1])
    }
    # one familywise level of 1% for all quantities
    assert min(p.values()) > 0.01 / len(p), p
    everything = np.concatenate([values.ravel() for values in found.values()])
    middle = np.mean(np.abs(everything - 0.5) < 0.25)
    # a half of them, quantities of one fit being dependent as if they were two; 35% if sds were a third too small
    assert abs(middle - 0.5) < 4 * 0.5 / np.sqrt(2 * replicates)
