"""CSV files as any program reads them."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buurtsae.tables import write_csv

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(" ,;\"'\r\n=a", max_size=8)


@pytest.mark.parametrize(("sep", "end"), [(",", "\n"), (";", "\r\n")])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, derandomize=True)
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_every_text_is_read_back(sep: str, end: str, texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_csv(pd.DataFrame({"text": texts, "number": 1.5}), path, sep=sep, lineterminator=end)
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter=sep)) == [["text", "number"], *([t, "1.5"] for t in texts)]
    assert path.read_bytes().endswith(f"1.5{end}".encode())


def test_a_lone_return_is_quoted(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"a": ["x\ry", "plain"], "b": [1, -2]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n"x\ry",1\nplain,-2\n'
