"""The door to files: names that no file can have, and TOML of bounded depth and length."""

from __future__ import annotations

from pathlib import Path

import pytest

from buurtsae.errors import DataError
from buurtsae.files import DEPTH, TEXT, located, read_toml, readable


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("absent.csv", "no such file"),
        (".", "a folder"),
        ("a\0b", ""),
        ("x" * 300, "File name too long"),
        ("geen/a.csv", "no such file"),
    ],
)
def test_what_is_no_file_is_refused(name: str, got: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as refused:
        readable(located(tmp_path, name))
    assert got in refused.value.got
    assert len(str(refused.value).splitlines()) == 3


def test_a_byte_order_mark_is_no_part_of_toml(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = 1\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "a.toml", "it") == ("a = 1\n", {"a": 1})


def test_depth_and_length_up_to_their_bounds(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(".".join(["k"] * DEPTH) + f' = "{"v" * TEXT}"', encoding="utf-8")
    assert list(read_toml(path, "it")[1]) == ["k"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (".".join(["k"] * 5000) + " = 1", "too long or too deep"),
        (".".join(["k"] * (DEPTH + 1)) + " = 1", "too long or too deep"),
        ("k = " + "[" * 5000 + "]" * 5000, "too long or too deep"),
        ("k = " + "{a = " * 5000 + "1" + "}" * 5000, "too long or too deep"),
        (f'k = "{"v" * (TEXT + 1)}"', "too long or too deep"),
        (f"{'k' * (TEXT + 1)} = 1", "too long or too deep"),
        (f"k = {'9' * 5000}", "is no TOML"),
        ("k = ", "is no TOML"),
        ('k = [["a\\u0000b"]]', "cannot be printed"),
        ('"k\\u202e" = 1', "cannot be printed"),
    ],
)
def test_toml_that_no_reader_should_see(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=what):
        read_toml(path, "it")
