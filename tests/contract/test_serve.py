"""The server of results, over real connections: what it answers, what it refuses, and its own description."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import geopandas as gpd
import jsonschema
import pandas as pd
import pytest
import uvicorn
from example_runs import DemoRun, call

from buurtsae.errors import DataError
from buurtsae.folder.target import staged
from buurtsae.publication.contract import json_schema
from buurtsae.publication.output import FILES
from buurtsae.serve.app import create_app
from buurtsae.serve.limits import Patience
from buurtsae.serve.results import Results

pytestmark = pytest.mark.xdist_group("demo")
TOTAL = "buurtverbondenheid"
ORIGIN = "https://dashboard.example"


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def json(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, body
        return json.loads(body)

    def raw(self, sent: bytes) -> bytes:
        """Return the status line that bytes are answered with."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(sent)
            return connection.recv(1000).split(b"\r\n")[0]


@pytest.fixture(scope="module")
def server(demo_run: DemoRun) -> Iterator[Server]:
    with running(demo_run.outcome.folder) as server:
        yield server


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Serve a folder on a free port."""
    app = create_app(Results.open(folder), ["127.0.0.1"], [ORIGIN])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        served = uvicorn.Server(uvicorn.Config(app, http=Patience, log_config=None, lifespan="off"))
        thread = threading.Thread(target=served.run, kwargs={"sockets": [free]})
        thread.start()
        while not served.started:
            time.sleep(0.01)
        yield Server(folder, free.getsockname()[1])
        served.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def table(server: Server) -> pd.DataFrame:
    return pd.read_parquet(server.folder / "estimates.parquet")


def test_it_says_what_the_results_are(server: Server, table: pd.DataFrame) -> None:
    about = server.json("/v1")
    assert about["run_id"] == table["run_id"].iloc[0]
    assert set(about["measures"]) == set(table["measure"])
    assert set(about["levels"]) == set(table["level"])
    assert [g["area_code"] for g in about["gemeenten"]] == sorted(p.stem for p in (server.folder / "json").iterdir())
    assert about["draft"] is False
    assert server.json("/health") == {"status": "ok", "run_id": about["run_id"]}


def test_a_gemeente_is_its_file_in_either_coding(server: Server) -> None:
    own = (server.folder / "json" / "GM9901.json").read_bytes()
    _, headers, plain = server.ask("/v1/gemeenten/GM9901")
    assert plain == own
    assert headers["content-type"] == "application/json"
    _, zipped, packed = server.ask("/v1/gemeenten/GM9901", accept_encoding="br, gzip;q=0.5")
    assert gzip.decompress(packed) == own
    assert len(packed) < len(own) / 4
    assert zipped["etag"] != headers["etag"]  # strong tags: these are other bytes
    assert zipped["vary"] == headers["vary"] == "Accept-Encoding, Origin"  # it answers pages elsewhere
    assert "content-encoding" not in server.ask("/v1/gemeenten/GM9901", accept_encoding="gzip;q=0")[1]


def test_rows_of_levels_and_areas_equal_the_parquet_and_keep_the_contract(server: Server, table: pd.DataFrame) -> None:
    check = jsonschema.Draft202012Validator(json_schema())
    year = int(table["year"].iloc[0])
    for level in table["level"].unique():
        rows = server.json(f"/v1/levels/{level}?measure={TOTAL}&year={year}")
        for row in rows:
            check.validate(row)
        expected = table[(table["level"] == level) & (table["measure"] == TOTAL)]
        assert len(rows) == len(expected)
        same = pd.DataFrame(rows, columns=table.columns).astype(table.dtypes)
        pd.testing.assert_frame_equal(same, expected.reset_index(drop=True))
    code = table.loc[table["level"] == "wijk", "area_code"].iloc[0]
    assert {r["measure"] for r in server.json(f"/v1/areas/{code}")} == set(table["measure"])


def test_hidden_figures_are_hidden_here_too(server: Server, table: pd.DataFrame) -> None:
    hidden = table[(table["level"] == "buurt") & (table["label"] == "niet_publiceren")]
    assert len(hidden)
    code = hidden["area_code"].iloc[0]
    row = next(r for r in server.json(f"/v1/areas/{code}") if r["measure"] == hidden["measure"].iloc[0])
    assert row["estimate"] is row["direct"] is row["n_respondents"] is None
    assert row["reason"]


def test_geojson_is_in_degrees_and_its_borders_still_fit(server: Server, table: pd.DataFrame) -> None:
    _, headers, body = server.ask(f"/v1/gemeenten/GM9901/geojson?measure={TOTAL}")
    assert headers["content-type"] == "application/geo+json"
    found = gpd.GeoDataFrame.from_features(json.loads(body), crs=4326)
    expected = table[(table["level"] == "buurt") & (table["measure"] == TOTAL)].set_index("area_code")
    own = expected[expected.index.str.startswith("BU9901")]
    found = found.set_index("area_code")
    assert sorted(found.index) == sorted(own.index)
    pd.testing.assert_series_equal(found["estimate"].astype(float), own["estimate"][found.index], check_names=False)
    exact = gpd.read_parquet(server.folder / "estimates.geoparquet").drop_duplicates("area_code")
    exact = exact.set_index("area_code").loc[found.index]
    metres = found.geometry.to_crs(28992)
    # borders move by 5 m at most, besides 0.1 m of rounding
    assert metres.hausdorff_distance(exact.geometry, align=True).max() < 5.2
    # neighbours keep fitting: what they cover together is what they cover one by one, to 0.1 m of border
    assert abs(metres.union_all().area - metres.area.sum()) < 0.1 * metres.length.sum()


def test_what_has_not_changed_is_not_sent_again(server: Server) -> None:
    for path in ("/v1/gemeenten/GM9901", f"/v1/levels/buurt?measure={TOTAL}", "/dashboard/index.html"):
        for coding in ("identity", "gzip"):
            tag = server.ask(path, accept_encoding=coding)[1]["etag"]
            status, headers, body = server.ask(path, accept_encoding=coding, if_none_match=f'"other", {tag}')
            assert (status, headers["etag"], body) == (304, tag, b"")
            assert server.ask(path, accept_encoding=coding, if_none_match='"other"')[0] == 200


def test_head_has_the_headers_of_get(server: Server) -> None:
    for path in ("/v1", "/v1/gemeenten/GM9902", "/dashboard/index.html"):
        got, headed = server.ask(path), server.ask(path, "HEAD")
        assert headed[0] == 200
        assert headed[2] == b""
        assert {k: v for k, v in headed[1].items() if k != "date"} == {k: v for k, v in got[1].items() if k != "date"}


def test_pages_are_served_with_their_policy(server: Server) -> None:
    status, headers, _ = server.ask("/")
    assert (status, headers["location"]) == (307, "dashboard/")
    status, headers, body = server.ask("/dashboard/")
    assert status == 200
    assert b"Content-Security-Policy" in body
    assert headers["x-content-type-options"] == "nosniff"
    assert server.ask("/dashboard/gemeente/GM9901.html")[0] == 200
    status, headers, _ = server.ask("/dashboard")
    assert (status, headers["location"]) == (307, "dashboard/")


@pytest.mark.parametrize(
    "path", ["/dashboard/index.html", "/dashboard/gemeente/GM9901.html", "/v1", "/v1/gemeenten/GM9901", "/health"]
)
def test_nothing_lies_below_a_file(server: Server, path: str) -> None:
    assert server.ask(path)[0] == 200
    for below in ("/", "//", "/x", "/."):
        status, headers, _ = server.ask(path + below)
        assert (status, headers["content-type"]) in (
            (404, "application/problem+json"),
            (422, "application/problem+json"),
        )
    assert server.ask("/dashboard/gemeente/")[0] == 404  # a folder without a page of its own


def test_pages_have_another_tag_when_packed(server: Server) -> None:
    page = (server.folder / "dashboard" / "index.html").read_bytes()
    _, plain, own = server.ask("/dashboard/index.html", accept_encoding="identity")
    _, packed, body = server.ask("/dashboard/index.html", accept_encoding="gzip")
    assert own == gzip.decompress(body) == page
    assert packed["content-encoding"] == "gzip"
    assert plain["etag"] != packed["etag"]
    assert plain["vary"] == packed["vary"] == "Accept-Encoding, Origin"
    assert plain["content-type"] == packed["content-type"] == "text/html; charset=utf-8"
    assert server.ask("/dashboard/index.html", accept_encoding="identity", if_none_match=packed["etag"])[0] == 200


def test_options_tells_what_is_possible(server: Server) -> None:
    for path in ("/v1", "/dashboard/index.html", "/v2"):
        status, headers, body = server.ask(path, "OPTIONS")
        assert (status, headers["allow"], body) == (204, "GET, HEAD, OPTIONS", b"")
    asked = {"access_control_request_method": "GET"}
    status, headers, _ = server.ask("/v1", "OPTIONS", origin=ORIGIN, **asked)
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert headers["access-control-allow-methods"] == "GET, HEAD"
    status, headers, _ = server.ask("/v1", "OPTIONS", origin="https://other.example", **asked)
    assert status == 400
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc",
    ],
    ids=["nothing", "headers", "body"],
)
def test_a_request_that_does_not_end_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(Patience, "seconds", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            while connection.recv(65536):  # a server that waits for the rest lets this time out
                pass
    assert server.json("/health")["status"] == "ok"


def test_a_request_that_comes_in_parts_is_answered(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for part in (b"GET /health HT", b"TP/1.1\r\nHost: 127.0.0.1", b"\r\n\r\n"):
            connection.sendall(part)
            time.sleep(0.05)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_server_says_that_another_run_has_taken_the_place_of_its_own(demo_run: DemoRun, tmp_path: Path) -> None:
    folder = shutil.copytree(demo_run.folder, tmp_path / "out")
    with running(folder) as server:
        before = server.ask("/v1/gemeenten/GM9901")
        manifest = json.loads((folder / "manifest.json").read_bytes())
        with staged(folder, FILES) as new:
            for name in manifest["outputs"]:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes((folder / name).read_bytes() + b" ")
            (new / "manifest.json").write_text(json.dumps(manifest | {"run_id": "another"}))
        assert server.ask("/v1/gemeenten/GM9901")[::2] == before[::2]  # in memory: of its own run
        for path in ("/health", "/v1/gemeenten/GM9902", "/dashboard/", f"/v1/gemeenten/GM9901/geojson?measure={TOTAL}"):
            status, headers, body = server.ask(path)
            assert (status, headers["content-type"], headers["cache-control"]) == (
                *(503, "application/problem+json", "no-store"),
            )
            assert json.loads(body).keys() >= {"detail", "got", "expected", "hint"}


def test_pages_elsewhere_may_read_when_named(server: Server) -> None:
    assert server.ask("/v1", origin=ORIGIN)[1]["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in server.ask("/v1", origin="https://other.example")[1]
    assert server.ask("/v1", host="other.example")[0] == 400  # a name that resolves to this machine


@pytest.mark.parametrize("spelling", ["../manifest.json", "..%2fmanifest.json", "%2e%2e/draws.nc", "....//draws.nc"])
@pytest.mark.parametrize("below", ["/", "/dashboard/", "/v1/gemeenten/", "/v1/areas/", "/dashboard/gemeente/../../"])
def test_paths_lead_nowhere_else(server: Server, below: str, spelling: str) -> None:
    status, headers, body = server.ask(below + spelling)
    assert status in (404, 422)
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/gemeenten/GM0000", 404),
        ("/v1/gemeenten/GM99", 422),
        ("/v1/gemeenten/GM9901%0a", 422),
        ("/v1/gemeenten/" + quote("GM９９０１"), 422),
        ("/v1/gemeenten/GM9901/geojson", 422),
        ("/v1/gemeenten/GM9901/geojson?measure=x", 422),
        (f"/v1/levels/buurt?measure={TOTAL}&year=0", 422),
        (f"/v1/levels/buurt?measure={TOTAL}&year=1e9", 422),
        (f"/v1/levels/x?measure={TOTAL}", 422),
        ("/v1/areas/" + "x" * 41, 422),
        ("/v1/areas/" + "x" * 4000, 414),
        ("/v1?" + "x" * 4000, 414),
        ("/v2", 404),
    ],
)
def test_what_is_asked_wrongly_is_refused(server: Server, path: str, status: int) -> None:
    found, headers, body = server.ask(path)
    assert found == status
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["detail"]


def test_only_small_requests_that_read_are_answered(server: Server) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        status, headers, _ = server.ask("/v1", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert server.ask("/v1", x_long="x" * 20_000)[0] == 431
    begin = b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    assert server.raw(begin + b"Content-Length: 9000000000\r\n\r\n").split()[1] == b"413"
    assert server.raw(begin + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n").split()[1] == b"413"
    assert server.raw(begin + b"X: " + b"x" * 70_000).split()[1] == b"400"
    for malformed in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"GET /v1 HTTP/9.9\r\n\r\n"):
        assert server.raw(malformed).split()[1] == b"400"
    assert server.json("/health")["status"] == "ok"


def test_its_description_holds_under_generated_requests(server: Server, tmp_path: Path) -> None:
    at = f"http://127.0.0.1:{server.port}/openapi.json"
    options = "--checks all --max-examples 30 --seed 1 --no-color --workers 1".split()
    command = [sys.executable, "-m", "schemathesis.cli", "run", at, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 7" in done.stdout
    assert int(re.search(r"(\d+) generated, \1 passed", done.stdout)[1]) >= 200


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        Results.open(tmp_path)
    called = call("serve", tmp_path)
    assert called.status == 1
    assert "a folder that `buurtsae run` wrote" in called.err
