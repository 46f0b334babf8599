"""Jobs for workers that do no runs: the name says what they do. A module of its own, because workers import it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from buurtsae.batch.job import Job, Report


def job(name: str, out: str = "") -> Job:
    return Job(name, "run.toml", out, f".part-{name}", name, {})


def act(job: Job) -> Report:
    """Say who did it; with `sleep` in its name take long, with `die` end the process without a word."""
    if "sleep" in job.name:
        Path(job.out, job.name).write_text(str(os.getpid()), encoding="utf-8")
        time.sleep(60)
    if "die" in job.name:
        os._exit(9)
    return Report(job.name, job.key, "done", host=str(os.getpid()))
