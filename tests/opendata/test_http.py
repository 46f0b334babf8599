"""Asking services: retries, pages, the cache, and what services do wrong."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from replay import BROKEN, GONE, HTML, Answer, Asked, Replay, as_json

from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.opendata.cache import Cache
from buurtsae.opendata.http import AGENT, DELAYS, Fetcher, size
from buurtsae.opendata.registry import Registry, Table

PAGES = {"1": {"value": [1, 2], "next": "2"}, "2": {"value": [3], "next": "3"}, "3": {"value": [4, 5]}}


def paged(asked: Asked) -> Answer:
    """Three pages; each but the last links to the next by an absolute address."""
    page = dict(PAGES[asked.query.get("page", "1")])
    if number := page.pop("next", None):
        page["@odata.nextLink"] = f"{asked.base}/{asked.path}?page={number}"
    return as_json(page)


@pytest.fixture
def table(fetcher: Fetcher) -> Table:
    """Key figures of 2024."""
    return fetcher.registry.table("kerncijfers", 2024)


def values(fetcher: Fetcher, table: Table) -> list[int]:
    """What all pages hold."""
    return [value for _, page in fetcher.pages(table, "Observations") for value in page["value"]]


def test_pages_follow_the_links_of_the_service(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", "85984NED/Observations", paged)
    assert values(fetcher, table) == [1, 2, 3, 4, 5]
    assert set(replay.agents) == {AGENT}
    assert "buurtsae/" in AGENT


def test_a_second_run_asks_nothing_and_gives_the_same(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", "85984NED/Observations", paged)
    first = [reply.retrieved for reply, _ in fetcher.pages(table, "Observations")]
    asked = replay.count()
    again = [reply.retrieved for reply, _ in replace(fetcher, offline=True).pages(table, "Observations")]
    assert again == first
    assert replay.count() == asked == 3
    values(replace(fetcher, refresh=True), table)
    assert replay.count() == 6


def test_another_edition_is_another_reply(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", ".*", lambda asked: as_json({"value": [replay.count()]}))
    replies = [fetcher.json(table, "Observations", edition=edition) for edition in ("a", "b", "a")]
    assert [reply.json()["value"] for reply in replies] == [[1], [2], [1]]


@pytest.mark.parametrize("answer", [BROKEN, Answer(status=429, headers={"Retry-After": "0"}), Answer(status=503)])
def test_what_another_try_may_mend_is_tried_again(
    replay: Replay, fetcher: Fetcher, table: Table, answer: Answer
) -> None:
    replay.add("cbs", "85984NED/Observations", paged)
    replay.fail("Observations", answer, answer)
    assert values(fetcher, table) == [1, 2, 3, 4, 5]


def test_a_connection_that_is_cut_leaves_nothing(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", ".*", paged)
    whole = as_json({"value": list(range(1000))})
    replay.fail("Observations", *[replace(whole, cut=True)] * 4)
    with pytest.raises(DataError, match="no answer from") as told:
        values(fetcher, table)
    assert "network and proxy" in told.value.hint
    assert not [path for path in fetcher.cache.folder.rglob("*") if path.is_file()]
    replay.fail("Observations", replace(whole, cut=True))
    assert values(fetcher, table) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("answers", "got"),
    [
        ([BROKEN] * 4, "HTTP 500 at http"),
        ([GONE], "HTTP 404 at http"),
        ([Answer(status=403)], "HTTP 403 at http"),
        ([HTML], "HTTP 200 of text/html, a web page"),
        ([Answer(b"")], "HTTP 200 of application/json, nothing"),
        ([Answer(b'{"value": [1, ')], "beginning with"),
    ],
)
def test_what_a_service_does_wrong_is_said(
    replay: Replay, fetcher: Fetcher, table: Table, answers: list[Answer], got: str
) -> None:
    replay.fail("Observations", *answers)
    with pytest.raises(DataError) as told:
        values(fetcher, table)
    assert got in told.value.got
    assert "85984NED/Observations" in f"{told.value}"
    assert "--sources" in told.value.hint
    assert len(str(told.value).splitlines()) == 3
    assert not [path for path in fetcher.cache.folder.rglob("*") if path.is_file()]
    assert not replay.faults  # each was given: none was tried less or more often


def test_nobody_listens(fetcher: Fetcher, table: Table) -> None:
    nowhere = replace(table, url="http://127.0.0.1:9/odata")
    with pytest.raises(DataError, match=r"no answer from http://127.0.0.1:9/odata/x") as told:
        fetcher.json(nowhere, "x")
    assert "ConnectError" in told.value.got


@pytest.mark.parametrize(
    ("link", "got"),
    [
        ("{base}/85984NED/Observations", "a page that links to one before it"),
        ("{base}/85984NED/Observations?page=again", "the same page as"),
        ("http://example.org/page2", "a next page at http://example.org/page2"),
    ],
)
def test_pages_that_go_in_a_circle_or_elsewhere(
    replay: Replay, fetcher: Fetcher, table: Table, link: str, got: str
) -> None:
    replay.add("cbs", ".*", lambda asked: as_json({"value": [1], "@odata.nextLink": link.format(base=asked.base)}))
    with pytest.raises(DataError, match="answers strangely") as told:
        values(fetcher, table)
    assert got in told.value.got


def test_a_service_is_given_its_pause_and_further_tries_come_later(
    replay: Replay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.4 s between calls to CBS, and 1, 2 and 4 s before further tries: the etiquette of open-data.md, 1.2."""
    table = Registry.load().table("kerncijfers", 2024)
    slow = replace(fetcher, delays=DELAYS)
    replay.add("cbs", ".*", lambda asked: BROKEN)
    slept = list[float]()
    monkeypatch.setattr("buurtsae.opendata.http.time.sleep", slept.append)
    with pytest.raises(DataError, match="the service refuses"):
        slow.json(replace(table, url=f"{replay.base}/cbs/T"))
    assert [each for each in slept if each] == [0.4, 1.0, 2.0, 4.0]


def test_a_mark_of_utf8_in_front_is_no_part_of_a_reply(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    """As the real reply of the v3 service has it."""
    replay.add("cbs", ".*", lambda asked: Answer(b'\xef\xbb\xbf{"value": [1]}'))
    assert values(fetcher, table) == [1]


@pytest.mark.parametrize("url", ["http://[::1/x", "http://localhost:port"])
def test_an_address_that_is_none(fetcher: Fetcher, table: Table, url: str) -> None:
    with pytest.raises(DataError, match="its address is none") as told:
        fetcher.json(replace(table, url=url))
    assert len(str(told.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("headers", "kind"),
    [({"Content-Encoding": "gzip"}, "DecodingError"), ({"Location": "/cbs/T/Observations"}, "TooManyRedirects")],
)
def test_a_reply_that_cannot_be_unpacked_and_links_without_end(
    replay: Replay, fetcher: Fetcher, table: Table, headers: dict[str, str], kind: str
) -> None:
    replay.add("cbs", ".*", lambda asked: Answer(b"[]", status=302 if "Location" in headers else 200, headers=headers))
    with pytest.raises(DataError, match="no answer from") as told:
        fetcher.json(table, "Observations")
    assert told.value.got.startswith(kind)
    assert not [path for path in fetcher.cache.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("record", ["[]", "3", '{"stored": "x"}', "torn"])
def test_a_record_that_is_none_is_asked_again(replay: Replay, fetcher: Fetcher, table: Table, record: str) -> None:
    replay.add("cbs", ".*", paged)
    before = values(fetcher, table)
    for path in fetcher.cache.folder.rglob("*.json"):
        path.write_text(record, encoding="utf-8")
    assert values(fetcher, table) == before


def test_offline_says_what_is_not_there(fetcher: Fetcher, table: Table) -> None:
    offline = replace(fetcher, offline=True)
    with pytest.raises(DataError, match="is not in the cache") as told:
        offline.json(table, "Observations")
    assert "85984NED/Observations" in told.value.got


def test_what_a_killed_download_left_is_removed_in_time(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", ".*", paged)
    values(fetcher, table)
    folder = next(fetcher.cache.folder.rglob("*.gz")).parent
    old, young = folder / ".part-old", folder / ".part-young"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    values(replace(fetcher, refresh=True), table)
    assert not old.exists()
    assert young.exists()  # another process may be writing it


def test_a_damaged_reply_is_asked_again(replay: Replay, fetcher: Fetcher, table: Table) -> None:
    replay.add("cbs", ".*", paged)
    reply = fetcher.json(table, "Observations")
    reply.path.write_bytes(b"damaged")
    assert fetcher.json(table, "Observations").retrieved.sha256 == reply.retrieved.sha256
    assert replay.count() == 2


def test_files_come_whole_and_are_what_they_should_be(replay: Replay, fetcher: Fetcher) -> None:
    table = fetcher.registry.table("leefbaarometer", 2024)
    body = b"PK" + bytes(3_000_000)
    replay.add("leefbaarometer", ".*", lambda asked: Answer(body, "application/zip"))
    said: list[str] = []
    reply = replace(fetcher, say=said.append).file(table, begins=b"PK")
    assert reply.content() == body
    assert reply.path.suffix == ".zip"
    assert said == [f"leefbaarometer {table.id}: 3.0 MB from 127.0.0.1:{replay.base.rsplit(':')[-1]}"]
    replay.fail("zip", HTML)
    with pytest.raises(DataError, match="answers strangely"):
        replace(fetcher, refresh=True).file(table, begins=b"PK")
    assert fetcher.file(table, begins=b"PK").content() == body  # the one that was there stays


def test_a_full_disk(replay: Replay, fetcher: Fetcher, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    replay.add("cbs", ".*", paged)

    def full(self: object, *args: object) -> IO[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("buurtsae.opendata.cache.os.fdopen", full)
    with pytest.raises(BuurtsaeError, match=r"the cache .* cannot be written to") as told:
        values(fetcher, table)
    assert "the disk is full" in told.value.hint
    monkeypatch.undo()
    assert not [path for path in fetcher.cache.folder.rglob("*") if path.is_file()]
    assert values(fetcher, table) == [1, 2, 3, 4, 5]


def test_the_table_of_sources(tmp_path: Path) -> None:
    registry = Registry.load()
    assert registry.table("kerncijfers", 2013).id == "82339NED"  # the first and the last of open-data.md
    assert registry.table("kerncijfers", 2026).id == "86358NED"
    assert registry.table("gezondheid", 2022).codes_of == 2024
    with pytest.raises(DataError, match="there is no table of kerncijfers of 2012") as told:
        registry.table("kerncijfers", 2012)
    assert told.value.expected.startswith("2013, 2014")
    own = tmp_path / "own.toml"
    own.write_text('[table.kerncijfers.by_year]\n2027 = "99999NED"\n', encoding="utf-8")
    ours = Registry.load(own)
    assert ours.table("kerncijfers", 2027).url == "https://datasets.cbs.nl/odata/v1/CBS/99999NED"
    assert ours.table("kerncijfers", 2024).id == "85984NED"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[service.cbs]\nurl = "ftp://cbs.nl"\n', "service.cbs.url is not right"),
        ('[service.cbs]\nurl = "https://cbs.nl/"\n', "without / at its end"),
        ('[service.cbs]\nurl = "https://naam:geheim@cbs.nl/a"\n', "service.cbs.url is not right"),
        (
            '[table.adressen.by_year]\n2024 = "https://naam:geheim@cbs.nl/a.zip"\n',
            "table.adressen.by_year is not right",
        ),
        ('[table.adressen.by_year]\n2024 = "ftp://cbs.nl/a.zip"\n', "table.adressen.by_year is not right"),
        ('[service.cbs]\nurl = "http://[::1/x"\n', "service.cbs.url is not right"),
        ('[service.cbs]\nurl = "http://localhost:port"\n', "service.cbs.url is not right"),
        ('[service.cbs]\nadress = "https://cbs.nl"\n', "service.cbs.adress is not right"),
        ('[table.own]\ntitle = "x"\nservice = "nowhere"\n', "tables are of an unknown service"),
        ("[service\n", "is no TOML"),
        ('[table.borders]\nid = "wijken-{jaar}"\n', "table.borders.id is not right"),
        ('[table.borders]\nid = "wijken-{year"\n', "table.borders.id is not right"),
    ],
)
def test_a_table_of_sources_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BuurtsaeError, match=said):
        Registry.load(path)


def test_the_cache_is_where_one_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUURTSAE_CACHE", str(tmp_path / "here"))
    assert Cache.at().folder == tmp_path / "here"
    monkeypatch.delenv("BUURTSAE_CACHE")
    assert Cache.at().folder.parts[-2:] == ("buurtsae", "opendata")


def test_sizes() -> None:
    assert [size(count) for count in (512, 99_999, 100_000, 12_345_678)] == ["0.5 kB", "100.0 kB", "0.1 MB", "12.3 MB"]
