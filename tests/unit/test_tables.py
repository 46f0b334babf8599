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
        ("tabs.csv", b"a\tb\n1\t2\n", "tabs.csv cannot be parsed"),
        ("bars.txt", b"a|b\n1|2\n", "bars.txt cannot be parsed"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, what: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_table(tmp_path / name)
    assert raised.value.what == what
    assert ("save it as UTF-8" in raised.value.hint) == (name == "latin1.csv")
    assert ("cells are parted by" in raised.value.got) == (name in ("tabs.csv", "bars.txt"))


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


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e308", "1e-300", "9" * 400, "1e999"])
def test_numbers_that_nothing_can_be_computed_with(cell: str) -> None:
    column = pd.Series(["1", cell])
    with pytest.raises(ValueError, match=r"too large or too small|Unable to parse"):  # pandas 2 parses no 1e999
        as_number(column)
    assert as_number(column, strict=False).isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([[1, 2], [3]], "ndarray"),
        ([{"a": 1}, {"a": 2}], "dict"),
        ([b"\xff", b"a"], "bytes"),
    ],
)
def test_cells_that_are_no_single_values(cells: list[object], kind: str, tmp_path: Path) -> None:
    pd.DataFrame({"n": [1, 2], "k": cells}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, k: cells are no single values") as refused:
        read_table(tmp_path / "a.parquet")
    assert refused.value.got == kind


@pytest.mark.parametrize("header", ["a,a", "a, a", "a ,b,a"])
def test_columns_that_are_the_same_but_for_spaces(header: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n{'1,' * header.count(',')}1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.csv has columns twice") as refused:
        read_table(tmp_path / "a.csv")
    assert refused.value.got == "a"


def test_an_index_is_a_column_or_nothing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [3, 4]})
    for name, index, columns in (("named", pd.Index(["x", "y"], name="code"), ["code", "n"]), ("same", [0, 0], ["n"])):
        frame.set_axis(index, axis=0).to_parquet(tmp_path / f"{name}.parquet")
        table = read_table(tmp_path / f"{name}.parquet")
        assert list(table.columns) == columns
        assert table.index.tolist() == [0, 1]


def test_categories_are_what_they_name(tmp_path: Path) -> None:
    pd.DataFrame({"k": pd.Categorical(["a", "b"]), "n": pd.Categorical([2, 1])}).to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", text=["k"])
    assert table["k"].tolist() == ["a", "b"]
    assert as_number(table["n"]).tolist() == [2, 1]


def test_leading_zeros_stay_in_a_column_whose_name_has_a_space(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("wijk ;n\n01;1\n", encoding="utf-8")
    assert read_table(tmp_path / "a.csv", text=["wijk"])["wijk"].tolist() == ["01"]
