"""Tables as they are delivered: separators, padding, decimal commas, secret codes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from buurtsae.errors import DataError
from buurtsae.tables import as_number, read_table


def test_semicolons_padding_byte_order_mark_and_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "statline.csv"
    path.write_text("gemeentecode ;wijk;n\nGM0344    ;01;1,5\nGM0363    ;02;\n", encoding="utf-8-sig", newline="\n")
    table = read_table(path, text=("gemeentecode", "wijk", "absent"))
    assert table["gemeentecode"].tolist() == ["GM0344", "GM0363"]
    assert table["wijk"].tolist() == ["01", "02"]
    assert as_number(table["n"]).tolist() == pytest.approx([1.5, float("nan")], nan_ok=True)


def test_commas_and_parquet_give_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"buurtcode": ["BU0363AD03"], "n": [3]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    a, b = (read_table(tmp_path / name, text=["buurtcode"]) for name in ("a.csv", "a.parquet"))
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("absent.csv", None, "absent.csv cannot be read"),
        ("sheet.xlsx", b"x", "sheet.xlsx is no known table"),
        ("broken.parquet", b"no parquet", "broken.parquet cannot be parsed"),
        ("empty.csv", b"", "empty.csv cannot be parsed"),
        ("latin1.csv", "buurt\nZuid-Oost \xe9\xe9n\n".encode("latin-1"), "latin1.csv cannot be parsed"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "ragged.csv cannot be parsed"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, what: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_table(tmp_path / name)
    assert raised.value.what == what


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        ([1, 2], [1, 2]),
        (["1,5", " 2.5 "], [1.5, 2.5]),
        ([-99997, -99999999, -5], [None, None, -5]),  # CBS: secret, missing; a true negative number stays
        (["-99997", "       .", "", "x", None, "4"], [None, None, None, None, None, 4]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        ([True, False], [1, 0]),
    ],
)
def test_numbers(cells: list[object], numbers: list[float | None]) -> None:
    result = as_number(pd.Series(cells))
    assert result.dtype == "float64"
    assert [None if pd.isna(v) else v for v in result] == numbers


def test_text_is_no_number() -> None:
    with pytest.raises(ValueError, match="veel"):
        as_number(pd.Series(["1", "veel"]))
