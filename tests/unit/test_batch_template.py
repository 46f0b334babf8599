"""A template and a table become run files: places, types of cells, paths; and what a run needs of memory."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from buurtsae.batch.columns import known, moved, placed, put, read_cell
from buurtsae.batch.memory import Size, fitting
from buurtsae.batch.template import toml
from buurtsae.errors import DataError
from buurtsae.publication.manifest import hashes
from buurtsae.runs.example import example
from buurtsae.runs.runfile import RunFile

MODELS = sorted(example().parent.glob("*.toml"))


@pytest.fixture
def raw() -> dict[str, Any]:
    """The run file of the example: two sources, terms bym2 and iid."""
    return tomllib.loads(example().read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("run.year", "2022", 2022),
        ("run.title", "2022", "2022"),
        ("sources.1.file", "a.csv", "a.csv"),
        ("sources.0.use", "false", False),
        ("sources.0.not_asked", '["a", "b"]', ["a", "b"]),
        ("sources.0.calibrate.method", "raking", "raking"),
        ("areas.where.provinciecode", "26", "26"),
        ("concept.weights.participatie", "2", 2),
        ("model.terms.0.sd", "[1.0, 0.05]", [1.0, 0.05]),
        ("model.terms.1.level", "wijk", "wijk"),
        ("engine.laplace.draws", "400", 400),
        ("quality.khat_max", "0.5", 0.5),
        ("years.relevant", "0.2", 0.2),
    ],
)
def test_a_cell_is_put_at_its_place_as_the_run_file_has_it(
    raw: dict[str, Any], column: str, text: str, value: Any
) -> None:
    place, hint = placed(column, raw)
    found = read_cell(text, hint)
    assert (found, type(found)) == (value, type(value))
    put(raw, place, found)
    inner: Any = raw
    for key in place:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    assert inner == value


@pytest.mark.parametrize(
    ("column", "near"),
    [
        ("year", "run.year"),
        ("run.titel", "run.title"),
        ("sources.0.fil", "sources.0.file"),
        ("sources.2.file", "sources.0.file"),  # there are two
        ("sources.file", "sources.0.file"),
        ("model.terms.1.mixing", "model.terms.0.mixing"),  # of bym2, not of iid
        ("run.year.first", "run.year"),
        ("run.", "run"),
        ("", "run"),
    ],
)
def test_a_column_that_no_run_file_knows_is_refused_with_those_that_look_like_it(
    raw: dict[str, Any], column: str, near: str
) -> None:
    with pytest.raises(DataError, match="is no key of a run file") as caught:
        placed(column, raw)
    assert near in caught.value.expected


def test_a_template_that_is_no_run_file_is_an_error_and_no_traceback() -> None:
    for raw, place in (({"run": 3}, ("run", "year")), ({"sources": ["a"]}, ("sources", "0", "file"))):
        with pytest.raises(DataError, match="of the template is not right"):
            put(raw, place, 1)


def test_every_place_that_is_suggested_can_be_named(raw: dict[str, Any]) -> None:
    places = list(known(raw))
    assert ("sources", "1", "weight") in places
    assert len(places) > 100
    for place in places:
        assert placed(".".join(place), raw)[0] == place


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_run_file_that_is_moved_names_the_same_files(path: Path, tmp_path: Path) -> None:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    text = toml(moved(raw, path.parent.resolve(), tmp_path))
    (tmp_path / path.name).write_text(text, encoding="utf-8")
    before, after = RunFile.load(path), RunFile.load(tmp_path / path.name)
    assert before.files[1:] == after.files[1:]
    assert [before.codebook(part.source) for part in before.spec.sources] == [
        after.codebook(part.source) for part in after.spec.sources
    ]
    home = path.parent.resolve()  # and nothing else has changed, but for links on the way
    assert moved(tomllib.loads(text), tmp_path, home) == moved(raw, home, home)


def test_what_is_written_is_read_back() -> None:
    raw = {
        "a": "é \"x\" \\ 'y'\n\t",
        "b": {"c d": [1, 2.5, True, [], {"e": ""}], "f.g": {"h": -1e-9}},
        "i": [{}, {"j": []}],
    }
    assert tomllib.loads(toml(raw)) == raw


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Inputs of two years, in folders outside that of the project, have a hash each."""
    files = [tmp_path / "data" / year / "enquete.csv" for year in ("2022", "2024")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(file.parent.name, encoding="utf-8")
    found = hashes([*files, tmp_path / "data" / "2022" / "enquete.csv"], tmp_path / "models")
    assert list(found) == ["2022/enquete.csv", "2024/enquete.csv"]
    assert list(hashes(files[:1], tmp_path / "models")) == ["enquete.csv"]
    assert list(hashes(files, tmp_path)) == ["data/2022/enquete.csv", "data/2024/enquete.csv"]


def test_runs_that_do_not_fit_in_memory_are_refused_or_get_fewer_workers() -> None:
    country = Size(areas=14_500, columns=4, draws=1000)
    needs = {"klein": Size(120, 1, 4000), "land": country}
    assert needs["klein"].mib < country.mib
    room = 2.5 * country.mib
    assert fitting(needs, 4, room, chosen=False) == 2
    assert fitting(needs, 2, room, chosen=True) == 2
    assert fitting(needs, 4, None, chosen=True) == 4  # the system does not say
    with pytest.raises(DataError, match="1 runs do not fit in memory with 4 workers: land") as caught:
        fitting(needs, 4, room, chosen=True)
    assert caught.value.hint == "--workers 2"
    with pytest.raises(DataError, match="do not fit in memory with 1 workers"):
        fitting(needs, 1, 0.5 * country.mib, chosen=False)
