"""Writing the tables of benchmarks into pages."""

from __future__ import annotations

from pathlib import Path


def write_part(path: Path, start: str, end: str, text: str) -> None:
    """Replace what stands between two markers of a page."""
    page = path.read_text(encoding="utf-8")
    before, after = page.split(start)[0], page.split(end)[1]
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8", newline="\n")
