"""The HTTP interface of published results: read-only, described by OpenAPI at `/openapi.json`.

Bodies, pages included, never change while the server runs: each is made once, kept in two codings (as it is, and gzip)
with a strong entity tag per coding, and sent again from memory. Once another run has taken the folder, what is not in
memory yet is answered by 503. Errors are problem details with our what, got, expected and hint.

References
----------
RFC 9110 (conditional requests, HEAD), RFC 9457 (problem details), RFC 7946 (GeoJSON).
"""

# annotations are evaluated: those of the parameters depend on the results
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from buurtsae import __version__
from buurtsae.errors import DataError, shown
from buurtsae.serve.description import PROBLEM, bodies, describe
from buurtsae.serve.limits import Limits, Patience
from buurtsae.serve.results import Results

KEPT = 512  # bodies in memory: a gemeente's is some 0.3 MB
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
GEOJSON = "application/geo+json"
LEAST = 1000  # bytes from which gzip is worth it


@dataclass(frozen=True)
class Body:
    """A response body in two codings, each with its entity tag."""

    plain: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, plain: bytes) -> "Body":
        """Compress and tag a body."""
        packed = gzip.compress(plain, 6, mtime=0) if len(plain) >= LEAST else b""
        return cls(plain, packed, hashlib.sha256(plain).hexdigest()[:32])

    def response(self, request: Request, media_type: str) -> Response:
        """Answer a request: in the coding it accepts, or that nothing has changed."""
        zipped = bool(self.packed) and _accepts_gzip(request.headers.get("accept-encoding", ""))
        tag = f'"{self.tag}{"-gzip" if zipped else ""}"'
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
        asked = {known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")}
        if asked & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        if zipped:
            headers["content-encoding"] = "gzip"
        return Response(self.packed if zipped else self.plain, headers=headers, media_type=media_type)


def _accepts_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip, and not with q=0."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.strip().partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def create_app(results: Results, hosts: Sequence[str] = ("*",), origins: Sequence[str] = ()) -> FastAPI:
    """Return the application that serves results.

    `hosts` are values of the header Host that are answered: on loopback a page elsewhere could otherwise have its own
    name resolve to this machine and read what is here. `origins` are of pages elsewhere that may read, ``*`` for all.
    """
    app = FastAPI(
        title="buurtsae",
        version=__version__,
        summary="Published small-area estimates",
        description=str(results.run.manifest.get("notice", "")),
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=[{"name": "results"}, {"name": "server"}],
    )
    schemas = bodies(results.row)
    measures, years, levels = results.measures, results.years, results.levels
    Measure = Annotated[Literal[measures], Query(description="A measure of the concept.")]  # type: ignore[valid-type]
    Year = Annotated[int, Query(ge=years[0], le=years[-1], description="Year of the estimates.")]
    Level = Annotated[Literal[levels], Path(description="Level of areas.")]  # type: ignore[valid-type]
    codes = {"examples": list(results.gemeenten)[:1]}
    Gemeente = Annotated[str, Path(pattern=r"^GM[0-9]{4}$", description="Code of a gemeente.", **codes)]
    Area = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Code of an area of any level.", **codes)]

    @lru_cache(maxsize=KEPT)
    def body(make: Callable[..., Any], *arguments: object) -> Body | None:
        content = make(*arguments)
        if content and not isinstance(content, bytes):
            content = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return Body.of(content) if content else None

    def answer(
        request: Request, make: Callable[..., Any], *arguments: object, media_type: str = "application/json"
    ) -> Response:
        page = body(make, *arguments)
        if page is None:
            raise HTTPException(404, f"there are no results of {shown(arguments)}")
        return page.response(request, media_type)

    @app.get("/v1", tags=["results"], **describe(schemas["About"]))
    def about(request: Request) -> Response:
        """What the results are: title, run, years, measures, levels and gemeenten."""
        return answer(request, results.about)

    @app.get("/v1/gemeenten/{code}", tags=["results"], **describe(schemas["Gemeente"], 404, 422))
    def gemeente(request: Request, code: Gemeente) -> Response:
        """Everything published of one gemeente: its file."""
        return answer(request, results.gemeente, code)

    borders = describe(schemas["FeatureCollection"], 404, 422, kind=GEOJSON)

    @app.get("/v1/gemeenten/{code}/geojson", tags=["results"], **borders)
    def geojson(request: Request, code: Gemeente, measure: Measure, year: Year = results.year) -> Response:
        """The buurten of one gemeente with one measure, in WGS 84, borders simplified to 5 m."""
        return answer(request, results.geojson, code, measure, year, media_type=GEOJSON)

    @app.get("/v1/levels/{level}", tags=["results"], **describe(schemas["Rows"], 404, 422))
    def level(request: Request, level: Level, measure: Measure, year: Year = results.year) -> Response:
        """All areas of one level with one measure."""
        return answer(request, results.level, level, measure, year)

    @app.get("/v1/areas/{code}", tags=["results"], **describe(schemas["Rows"], 404, 422))
    def area(request: Request, code: Area) -> Response:
        """One area: every measure and year."""
        return answer(request, results.area, code)

    @app.get("/v1/areas/{code}/changes", tags=["results"], **describe(schemas["Changes"], 404, 422))
    def changes(request: Request, code: Area) -> Response:
        """How one area changed: every measure and pair of years, where there are several years."""
        return answer(request, results.changes_of, code)

    @app.get("/health", tags=["server"], **describe(schemas["Health"]))
    def health() -> Response:
        """Whether the server answers, and the folder still holds the run that it serves."""
        results.check()
        return JSONResponse({"status": "ok", "run_id": results.run_id})

    @app.get("/", include_in_schema=False)
    @app.get("/dashboard", include_in_schema=False)
    def home() -> Response:
        return RedirectResponse("dashboard/")

    @app.get("/dashboard/{path:path}", include_in_schema=False)
    def page(request: Request, path: str) -> Response:
        return answer(request, results.page, path, media_type="text/html; charset=utf-8")

    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(DataError, _replaced)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "HEAD"])
    app.add_middleware(Limits)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def _replaced(request: Request, error: Exception) -> Response:
    """Answer that the folder does not hold the run any more that is served."""
    assert isinstance(error, DataError)
    return problem(503, error.what, got=error.got, expected=error.expected, hint=error.hint)


def _invalid(request: Request, error: Exception) -> Response:
    """Answer everything that is wrong with a request at once."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
    return problem(422, "the request cannot be used", problems=wrong)


def serve(results: Results, host: str = "127.0.0.1", port: int = 8000, origins: Sequence[str] = ()) -> None:
    """Answer requests until interrupted; at another address than loopback under any name."""
    import uvicorn

    hosts = LOOPBACK if host in LOOPBACK else ("*",)
    app = create_app(results, hosts, origins)
    # h11 keeps at most 64 kB of a request that is not complete
    uvicorn.run(app, host=host, port=port, http=Patience, log_level="warning", server_header=False)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """Return problem details."""
    return JSONResponse(
        {"type": "about:blank", "status": status, "detail": detail, **more},
        status,
        {**(headers or {}), "cache-control": "no-store"},
        media_type=PROBLEM,
    )
