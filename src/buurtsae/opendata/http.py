"""Asking services politely: retries with back-off, pages by the service's own links, nothing twice (a cache).

A reply is checked before it is kept: its status, that it is what was asked for and no web page, that JSON can be read.
What a service does wrong is said with its address, its status, and what to try.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from buurtsae import __version__
from buurtsae.errors import DataError, cut
from buurtsae.opendata.cache import Cache, Kept
from buurtsae.opendata.registry import Registry, Table
from buurtsae.retrieved import Retrieved

if TYPE_CHECKING:
    import httpx

AGENT = f"buurtsae/{__version__} (statistics; small-area estimation)"
DELAYS = (1.0, 2.0, 4.0)  # seconds before the second, third and last try
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # statuses that another try may mend
PATIENCE = 60.0  # seconds that a service may ask to wait
MOST_PAGES = 10_000
KEPT_HEADERS = ("content-type", "content-crs", "etag", "last-modified")
CHUNK = 1 << 20
MOVED = "if the service has moved, give its address with --sources FILE; else try again later"

Params = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Reply:
    """What a service answered.

    Attributes
    ----------
    url : str
        Where it was asked.
    retrieved : Retrieved
    headers : mapping
        Some of its headers, in small letters.
    path : Path
        Where it lies in the cache.
    """

    url: str
    retrieved: Retrieved
    headers: Mapping[str, str]
    path: Path
    _kept: Kept = field(repr=False)

    def content(self) -> bytes:
        """Return the bytes that were sent."""
        return self._kept.content()

    def json(self) -> Any:
        """Return what its JSON holds."""
        return json.loads(self.content().decode("utf-8-sig"))


@dataclass(frozen=True)
class Fetcher:
    """Asks services and keeps what they answer.

    Parameters
    ----------
    registry : Registry
    cache : Cache
    offline : bool
        Take everything from the cache, and say what is not there.
    refresh : bool
        Ask again for what is in the cache.
    say : callable
        Gets a line per reply: what, its size, and whether it came from the cache.
    delays : sequence of float
        Seconds before each further try.

    Examples
    --------
    >>> from buurtsae.opendata.cache import Cache
    >>> Fetcher(Registry.load(), Cache.at("replies"), offline=True).offline
    True
    """

    registry: Registry
    cache: Cache
    offline: bool = False
    refresh: bool = False
    say: Callable[[str], None] = field(default=lambda text: None, repr=False)
    delays: Sequence[float] = DELAYS

    def __post_init__(self) -> None:
        if self.offline and self.refresh:
            got, hint = "offline and refresh", "leave one of them out"
            raise DataError("without a network nothing can be asked again", got, "one of these", hint)

    def json(
        self, table: Table, path: str = "", params: Params | None = None, edition: str = "", url: str = ""
    ) -> Reply:
        """Return one reply in JSON: of `path` below the table's address, or of a `url` that the service gave.

        Raises
        ------
        DataError
            If the service does not answer, or with something else.
        """
        address = self._address(url or _below(table.url, path), params)
        place = self.cache.path(table.service.publisher, table.id, edition, address, ".json.gz")

        def check(content: bytes, status: str) -> None:
            try:
                json.loads(content.decode("utf-8-sig"))
            except ValueError as error:
                raise strange(table, address, f"{status}, {_looks(content)}", "JSON") from error

        return self._reply(table, address, place, edition, check, {"Accept": "application/json"})

    def pages(
        self,
        table: Table,
        path: str = "",
        params: Params | None = None,
        edition: str = "",
        following: Callable[[Any], str | None] = lambda page: page.get("@odata.nextLink") or page.get("odata.nextLink"),
    ) -> Iterator[tuple[Reply, Any]]:
        """Yield each page of a reply in JSON with its content, by the links of the service to the next one.

        Raises
        ------
        DataError
            As `json`; if a page comes twice, or links do not end.
        """
        reply = self.json(table, path, params, edition)
        asked, seen = {reply.url}, {reply.retrieved.sha256: reply.url}
        for _ in range(MOST_PAGES):
            page = reply.json()
            yield reply, page
            link = following(page) if isinstance(page, dict) else None
            if not link:
                return
            link = urljoin(reply.url, str(link))
            if urlsplit(link).netloc != urlsplit(table.url).netloc:
                raise strange(table, reply.url, f"a next page at {cut(link, 200)}", "a page of the same service")
            if link in asked:
                raise strange(table, link, "a page that links to one before it", "each page once")
            reply = self.json(table, edition=edition, url=link)
            if reply.retrieved.sha256 in seen:
                raise strange(table, link, f"the same page as {cut(seen[reply.retrieved.sha256], 200)}", "another one")
            asked.add(link)
            seen[reply.retrieved.sha256] = link
        raise strange(table, reply.url, f"more than {MOST_PAGES:,} pages", "an end")

    def file(
        self, table: Table, path: str = "", suffix: str = "", edition: str = "", begins: bytes = b"", url: str = ""
    ) -> Reply:
        """Return a file as it was sent, which may be large; `begins` is how such a file starts (`PK` of a zip).

        Raises
        ------
        DataError
            If the service does not answer, or with something else.
        """
        address = self._address(url or _below(table.url, path), None)
        place = self.cache.path(table.service.publisher, table.id, edition, address, suffix or Path(address).suffix)

        def check(content: bytes, status: str) -> None:
            if not content.startswith(begins):
                what = f"a file {suffix or Path(address).suffix}"
                raise strange(table, address, f"{status}, {_looks(content)}", what)

        return self._reply(table, address, place, edition, check, {})

    def _address(self, url: str, params: Params | None) -> str:
        if not params:
            return url
        query = urlencode({key: str(value) for key, value in params.items()}, safe="$", quote_via=quote)  # %20, no +
        return f"{url}?{query}"

    def _reply(
        self,
        table: Table,
        url: str,
        place: Path,
        edition: str,
        check: Callable[[bytes, str], None],
        headers: Mapping[str, str],
    ) -> Reply:
        kept = None if self.refresh else self.cache.find(place)
        from_cache = kept is not None
        if kept is None:
            if self.offline:
                hint = "run once with a network, without --offline; or name the cache with --cache"
                raise DataError(f"{table.title} is not in the cache", cut(url, 300), "a reply kept before", hint)
            kept = self._asked(table, url, place, check, headers)
        record, service = kept.record, table.service
        where = "from the cache" if from_cache else f"from {urlsplit(url).netloc}"
        self.say(f"{table.what} {table.id}: {size(record['bytes'])} {where}")
        retrieved = Retrieved(
            service.publisher, table.id, table.title, edition, url, record["retrieved"], service.licence,
            service.licence_url, table.attribution, record["sha256"], record["bytes"],
        )  # fmt: skip
        return Reply(url, retrieved, record["headers"], place, kept)

    def _asked(
        self,
        table: Table,
        url: str,
        place: Path,
        check: Callable[[bytes, str], None],
        headers: Mapping[str, str],
    ) -> Kept:
        """Ask, again where that may help, and keep what comes."""
        import httpx

        last: DataError | None = None
        patience = httpx.Timeout(60.0, connect=20.0)
        with httpx.Client(verify=_trusted(), follow_redirects=True, timeout=patience) as client:
            for delay in (table.service.pause, *self.delays):
                time.sleep(delay)
                try:
                    with client.stream("GET", url, headers={"User-Agent": AGENT, **headers}) as response:
                        if response.status_code in AGAIN:
                            last = refused(table, url, response.status_code)
                            time.sleep(_asked_to_wait(response, self.delays))
                            continue
                        if response.status_code >= 400:
                            raise refused(table, url, response.status_code)
                        return self._kept(table, url, response, place, check)
                except httpx.InvalidURL as error:
                    what, hint = f"{table.title}: its address is none", "correct it in the file of --sources"
                    raise DataError(what, f"{cut(url, 300)}: {error}", "https://HOST/PATH", hint) from error
                except httpx.RequestError as error:  # no connection, one that was cut, a reply that cannot be unpacked
                    got = f"{type(error).__name__}: {cut(error, 200)}"
                    hint = f"look at the network and proxy of this machine; {MOVED}"
                    last = DataError(f"{table.title}: no answer from {cut(url, 300)}", got, "a reply", hint)
        assert last is not None  # each turn returns, raises or says what went wrong
        raise last

    def _kept(
        self, table: Table, url: str, response: httpx.Response, place: Path, check: Callable[[bytes, str], None]
    ) -> Kept:
        """Write a reply while it comes; small ones are checked whole, large ones by how they begin."""
        digest, count, told = hashlib.sha256(), 0, 0
        total = int(response.headers.get("content-length", 0))
        status = f"HTTP {response.status_code} of {response.headers.get('content-type', 'no type')}"
        whole = place.suffix == ".gz"
        parts: list[bytes] = []
        with self.cache.writing(place) as file:
            for chunk in response.iter_bytes(CHUNK):
                if not count and not whole:
                    check(chunk, status)
                digest.update(chunk)
                count += len(chunk)
                if whole:
                    parts.append(chunk)
                else:
                    file.write(chunk)
                if count - told >= 20 * CHUNK:
                    told = count
                    self.say(f"{table.what} {table.id}: {size(count)}{f' of {size(total)}' if total else ''}")
            if whole:
                content = b"".join(parts)
                check(content, status)
                file.write(gzip.compress(content, 3, mtime=0))
            elif not count:
                raise strange(table, url, f"{status}, nothing", "a file")
        headers = {key: response.headers[key] for key in KEPT_HEADERS if key in response.headers}
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"url": url, "retrieved": moment, "sha256": digest.hexdigest(), "bytes": count, "headers": headers}
        return self.cache.sign(place, record)


@cache
def _trusted() -> ssl.SSLContext:
    """Which authorities are trusted, read once: it takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


def refused(table: Table, url: str, status: int) -> DataError:
    """Return the error of a service that refuses: with its address, its status, and what to try."""
    hint = MOVED if status < 500 else f"the service is out of order: try again later; {MOVED}"
    return DataError(f"{table.title}: the service refuses", f"HTTP {status} at {cut(url, 400)}", "HTTP 200", hint)


def strange(table: Table, url: str, got: str, expected: str) -> DataError:
    """Return the error of a service that answers with something else than was asked for."""
    what = f"{table.title}: {cut(url, 300)} answers strangely"
    return DataError(what, got, expected, f"replies are kept: try again with --refresh; {MOVED}")


def size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _below(url: str, path: str) -> str:
    return f"{url}/{path}" if path else url


def _looks(content: bytes) -> str:
    """What content looks like, for a message."""
    head = content[:300].decode("utf-8", errors="replace").strip()
    if not head:
        return "nothing"
    page = head.lower().startswith(("<!doctype html", "<html"))
    return "a web page" if page else f"beginning with {cut(head, 60)!r}"


def _asked_to_wait(response: httpx.Response, delays: Sequence[float]) -> float:
    """Seconds that a service asks to wait (Retry-After), where there is any patience."""
    text = response.headers.get("retry-after", "")
    return min(float(text), PATIENCE) if text.isdigit() and any(delays) else 0.0
