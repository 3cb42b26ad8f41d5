# SPDX-License-Identifier: MIT
"""What the admin listener answers. Routes are data, so that the OpenAPI description cannot differ.

Answers that are made from the whole status memory are kept for a moment: whoever asks a hundred
times a second gets the same one, and the workers get their cores.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Protocol

from askrctl import __version__
from askrctl.config import Config
from askrctl.server.admin_http import Request, Response
from askrctl.server.ledger import Sums
from askrctl.server.metrics import CONTENT_TYPE, Memory, as_json, exposition
from askrctl.server.report import Report
from askrctl.server.schema import schema_of

# For so long a large answer is given again. The exposition is the dearest one to make, and nobody
# has use for two within a second.
KEPT_S = {"/metrics": 1.0, "/api/metrics": 0.2, "/api/status": 0.2}
SECRETS = (("admin", "token"), ("trace", "headers"))  # never shown
_VARY = ("Vary", "Accept-Encoding")
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(Protocol):
    """The supervisor, as far as it is asked and told things here."""

    @property
    def config(self) -> Config: ...
    @property
    def started_once(self) -> bool: ...
    def report(self, sums: Sums | None = None) -> Report: ...
    def sums(self) -> Sums: ...
    def processes(self) -> Iterable[tuple[str, int]]: ...
    def not_ready(self) -> str: ...
    def request_reload(self) -> int: ...
    def request_rollback(self) -> str: ...
    def drain_worker(self, index: int) -> bool: ...
    def recycle_worker(self, index: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str  # {worker} stands for a number
    summary: str
    open: bool  # to everybody
    statuses: tuple[int, ...]
    content: str = "application/json"  # of a success; an error is always JSON


ROUTES = (
    Route("GET", "/", "The dashboard; it asks for the token itself.", True, (200,), "text/html"),
    Route("GET", "/healthz/live", "The supervisor answers.", True, (200,)),
    Route("GET", "/healthz/startup", "A generation has become ready.", True, (200, 503)),
    Route("GET", "/healthz/ready", "Requests can be served now.", True, (200, 503)),
    Route("GET", "/metrics", "Prometheus exposition.", False, (200,), "text/plain"),
    Route("GET", "/api/status", "What `askrctl status --json` says.", False, (200,)),
    Route("GET", "/api/metrics", "Counters, time split, quantiles, memory.", False, (200,)),
    Route("GET", "/api/config", "The configuration that counts, without secrets.", False, (200,)),
    Route("GET", "/api/openapi.json", "This description.", False, (200,)),
    Route("POST", "/api/reload", "Start a new generation.", False, (202,)),
    Route("POST", "/api/rollback", "Serve by the kept generation again.", False, (202, 409)),
    Route(
        "POST",
        "/api/workers/{worker}/drain",
        "Let a worker finish what it has; another takes its place.",
        False,
        (202, 404, 409),
    ),
    Route(
        "POST",
        "/api/workers/{worker}/recycle",
        "Replace a worker's application processes, one after the other.",
        False,
        (202, 404, 409),
    ),
)


def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operation: dict[str, Any] = {
            "operationId": _operation(route),
            "summary": route.summary,
            "responses": {
                str(status): _describe(status, route)
                for status in (*route.statuses, *(() if route.open else (401,)))
            },
            "security": [] if route.open else [{"token": []}],
        }
        if "{worker}" in route.path:
            operation["parameters"] = [
                {
                    "name": "worker",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 0},
                }
            ]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "askrctl admin", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route) -> str:
    """A name for functions of clients: `get_api_status`, `post_worker_drain`."""
    path = route.path.replace("/api/workers/{worker}", "/worker").removesuffix(".json")
    return f"{route.method.lower()}_{path.strip('/').replace('/', '_') or 'dashboard'}"


def _describe(status: int, route: Route) -> dict[str, Any]:
    media = route.content if status < 400 else "application/json"
    if media != "application/json":
        schema: dict[str, Any] = {"type": "string"}
    elif status >= 400 and not route.open:
        schema = _object({"error": {"type": "string"}}, "error")
    else:
        schema = _schema(route)
    return {"description": _DESCRIPTIONS[status], "content": {media: {"schema": schema}}}


def _schema(route: Route) -> dict[str, Any]:
    """Of JSON that is no error."""
    number = {"type": "integer", "minimum": 0}
    if route.open:
        texts = {"status": {"enum": ["ok", "not ready"]}, "reason": {"type": "string"}}
        return _object(texts, "status")
    if route.method == "POST":
        return _object({"ok": {"const": True}, "generation": number, "worker": number}, "ok")
    if route.path == "/api/status":
        return schema_of(Report)
    if route.path == "/api/config":
        return schema_of(Config)
    return {"type": "object"}


def _object(properties: dict[str, Any], required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [required]}


_DESCRIPTIONS = {
    200: "fine",
    202: "it has begun",
    401: "the token is missing or wrong",
    404: "there is no such worker",
    409: "not now",
    503: "not now; the body says why",
}


def config_without_secrets(config: Config) -> dict[str, Any]:
    """Everything that can be configured, as it counts."""
    shown = asdict(config)
    for section, key in SECRETS:
        if shown[section][key]:
            shown[section][key] = "***"
    return shown


@dataclass(slots=True)
class _Kept:
    """An answer that may be given again, compressed once somebody takes it so."""

    made_at: float
    plain: Response
    _packed: Response | None = None

    def packed(self) -> Response:
        if self._packed is None:
            self._packed = self.plain.packed()
        return self._packed


class AdminApi:
    """Called in the supervisor's loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._memory = Memory()
        self._kept: dict[str, _Kept] = {}

    def __call__(self, request: Request) -> Response:
        routes = [found for route in ROUTES if (found := _match(route, request.path)) is not None]
        if not routes:
            # Whoever may not ask learns nothing, not even what there is.
            if not request.allowed:
                return _unauthorized()
            return Response.error(404, "there is nothing here: see /api/openapi.json")
        method = "GET" if request.method == "HEAD" else request.method
        chosen = next((item for item in routes if item[0].method == method), None)
        if not request.allowed and not routes[0][0].open:
            return _unauthorized()
        if chosen is None:
            methods = {item[0].method for item in routes}
            allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
            return Response.error(405, f"it can be {allowed}", ("Allow", allowed))
        return self._run(*chosen, packed=request.gzip)

    def _run(self, route: Route, worker: int, *, packed: bool) -> Response:
        if route.method == "POST":
            return self._act(route.path, worker)
        if route.path in KEPT_S:
            return self._recent(route.path, packed)
        made: dict[str, Callable[[], Response]] = {
            "/": _dashboard,
            "/healthz/live": lambda: Response.of({"status": "ok"}),
            "/healthz/startup": lambda: _health(
                "" if self._server.started_once else "no generation has been ready yet"
            ),
            "/healthz/ready": lambda: _health(self._server.not_ready()),
            "/api/config": lambda: Response.of(config_without_secrets(self._server.config)),
            "/api/openapi.json": lambda: Response.of(openapi()),
        }
        return made[route.path]()

    def _recent(self, path: str, packed: bool) -> Response:
        now = time.monotonic()
        kept = self._kept.get(path)
        if kept is None or now - kept.made_at > KEPT_S[path]:
            kept = self._kept[path] = _Kept(now, self._make(path))
        return kept.packed() if packed else kept.plain

    def _make(self, path: str) -> Response:
        sums = self._server.sums()
        report = self._server.report(sums)
        if path == "/api/status":
            return Response.of(report.as_dict()).with_fields(_VARY)
        memory = self._memory.by_role(self._server.processes())
        if path == "/api/metrics":
            return Response.of(as_json(report, sums, memory)).with_fields(_VARY)
        return Response(200, exposition(report, sums, memory), CONTENT_TYPE, (_VARY,))

    def _act(self, path: str, worker: int) -> Response:
        if path == "/api/reload":
            generation = self._server.request_reload()
            return Response.of({"ok": True, "generation": generation}, 202)
        if path == "/api/rollback":
            why = self._server.request_rollback()
            return Response.error(409, why) if why else Response.of({"ok": True}, 202)
        if worker >= len(self._server.report().workers):
            return Response.error(404, f"there is no worker {worker}")
        act = self._server.drain_worker
        if path.endswith("/recycle"):
            act = self._server.recycle_worker
        if not act(worker):
            return Response.error(409, f"worker {worker} is not serving now")
        return Response.of({"ok": True, "worker": worker}, 202)


def _match(route: Route, path: str) -> tuple[Route, int] | None:
    """The route, and the worker that the path names."""
    before, mark, after = route.path.partition("{worker}")
    if not mark:
        return (route, -1) if path == route.path else None
    number = path[len(before) : len(path) - len(after)]
    if not (path.startswith(before) and path.endswith(after) and number.isascii()):
        return None
    return (route, int(number)) if number.isdigit() and len(number) < 6 else None


def _unauthorized() -> Response:
    return Response.error(401, "the token is missing or wrong", ("WWW-Authenticate", "Bearer"))


def _health(reason: str) -> Response:
    if reason:
        return Response.of({"status": "not ready", "reason": reason}, 503)
    return Response.of({"status": "ok"})


def _dashboard() -> Response:
    page = files("askrctl.server").joinpath("dashboard.html").read_bytes()
    fields = (("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"))
    return Response(body=page, content_type="text/html; charset=utf-8", fields=fields)
