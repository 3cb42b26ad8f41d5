# SPDX-License-Identifier: MIT
"""The requests of a recording, asked again of several servers, and their answers compared.

The first of the targets is what the others are held against. A target is a backend of ours, started
as a child process for the time of the replay; a server that runs, by its URL; or `recorded`: the
answers of the file. What was redacted is not sent. A request that could change something is only
sent when that is asked for.
"""

import http.client
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from askrctl.bench.answers import free_port, is_http_url
from askrctl.bench.contenders import Contender, askrctl_command
from askrctl.model import AskrError, Backend
from askrctl.traffic.compare import Difference, Ignores, differences
from askrctl.traffic.exchange import Answer, Body, Exchange, Request
from askrctl.traffic.file import Recorded
from askrctl.traffic.redact import MARK

TIMEOUT_S = 30.0
SAFE = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1, without TRACE
BACKENDS = ("epoll", "io_uring")
RECORDED = "recorded"
# What belongs to the connection that it came by, or is made anew.
_OF_CONNECTION = frozenset(
    (
        *("connection", "content-length", "expect", "host", "http2-settings", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)


class Target(Protocol):
    """Whom a request is put to. AskrError when there is no answer."""

    @property
    def name(self) -> str: ...
    def ask(self, exchange: Exchange) -> Answer: ...


@dataclass(frozen=True, slots=True)
class FromFile:
    """What was answered then."""

    name: str = RECORDED

    def ask(self, exchange: Exchange) -> Answer:
        return exchange.answer


def request_bytes(request: Request, host: str) -> bytes:
    """The request in HTTP/1.1, whatever it was in."""
    content = request.body.content or b""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {request.authority or host}"]
    lines += [
        f"{name}: {value}"
        for name, value in request.fields
        if name.lower() not in _OF_CONNECTION and value != MARK
    ]
    if content or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


class _Final(http.client.HTTPResponse):
    """The library passes over 100 only; 103 (Early Hints) is no answer either."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, http.client.CONTINUE if 102 <= status < 200 else status, reason


@dataclass(slots=True)
class Live:
    """A server that answers on `url`, over one connection after the other."""

    name: str
    url: str
    _stream: socket.socket | None = None

    def open(self) -> None:
        """AskrError when there is nobody: better at once than of every request."""
        try:
            self._connect()
        except OSError as error:
            raise self._silent(error, code=3) from None

    def _connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        if self._stream is None:
            address = (parts.hostname or "localhost", parts.port or 80)
            self._stream = socket.create_connection(address, TIMEOUT_S)
        return self._stream

    def _silent(self, error: Exception, code: int = 1) -> AskrError:
        known = error.strerror if isinstance(error, OSError) else None
        reason = known or str(error) or type(error).__name__
        return AskrError(f"{self.name} gave no answer: {reason}", f"curl -i {self.url}", code=code)

    def ask(self, exchange: Exchange) -> Answer:
        if exchange.request.method not in SAFE:
            self.close()  # it must not be sent twice, so not over one that may be closing
        reused = self._stream is not None
        try:
            return self._ask(exchange.request)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if reused:  # it may have been closed since the answer before
                return self.ask(exchange)
            raise self._silent(error) from None

    def _ask(self, request: Request) -> Answer:
        stream = self._connect()
        stream.sendall(request_bytes(request, urlsplit(self.url).netloc))
        response = _Final(stream, method=request.method)
        response.begin()
        content = response.read()
        if response.will_close:
            self.close()
        fields = tuple((name, value) for name, value in response.getheaders())
        return Answer(response.status, fields, Body.of(content))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


# --- what is replayed -----------------------------------------------------------------------------


def why_not(exchange: Exchange, any_method: bool, against_recorded: bool) -> str:
    """Why a request is not asked again; "" when it is."""
    request = exchange.request
    if request.method not in SAFE and not any_method:
        return f"{request.method} may change something: --any-method sends it all the same"
    if request.body.size and request.body.content is None:
        return "its body was not kept"
    if against_recorded and exchange.outcome != "done":
        return f"its answer is not whole: {exchange.outcome}"
    return ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One target that answered a request otherwise than the first one did."""

    number: int  # of the exchange in the file, from 1
    method: str
    target: str
    against: str
    differences: tuple[Difference, ...]


@dataclass(slots=True)
class Outcome:
    asked: int = 0
    skipped: dict[str, int] = field(default_factory=dict)  # by reason
    findings: list[Finding] = field(default_factory=list)

    @property
    def differing(self) -> int:
        return len({finding.number for finding in self.findings})


@dataclass(frozen=True, slots=True)
class Wishes:
    ignores: Ignores = field(default_factory=Ignores)
    any_method: bool = False


def replay(recorded: Recorded, targets: Sequence[Target], wishes: Wishes) -> Outcome:
    """Ask one after the other, each request of all targets before the next."""
    outcome = Outcome()
    against_recorded = any(target.name == RECORDED for target in targets)
    for number, exchange in enumerate(recorded.exchanges, 1):
        reason = why_not(exchange, wishes.any_method, against_recorded)
        if reason:
            outcome.skipped[reason] = outcome.skipped.get(reason, 0) + 1
            continue
        outcome.asked += 1
        outcome.findings += _compare(number, exchange, targets, wishes.ignores)
    return outcome


def _compare(
    number: int, exchange: Exchange, targets: Sequence[Target], ignores: Ignores
) -> Iterator[Finding]:
    answers = [_answer(target, exchange) for target in targets]
    request = exchange.request
    for target, answer in zip(targets[1:], answers[1:], strict=True):
        first = answers[0]
        if isinstance(first, str) or isinstance(answer, str):
            left, right = (
                side if isinstance(side, str) else "answered" for side in (first, answer)
            )
            found: tuple[Difference, ...] = (Difference("answer", left, right),)
        else:
            found = differences(first, answer, ignores)
        if found:
            yield Finding(number, request.method, request.target, target.name, found)


def _answer(target: Target, exchange: Exchange) -> Answer | str:
    """The answer, or why there is none."""
    try:
        return target.ask(exchange)
    except AskrError as error:
        return error.message


# --- targets --------------------------------------------------------------------------------------


def check_names(names: Sequence[str]) -> None:
    """AskrError unless each is a target."""
    for name in names:
        if name in (*BACKENDS, RECORDED) or is_http_url(name):
            continue
        hint = "--against epoll,io_uring, recorded, or http://HOST:PORT"
        raise AskrError(f"--against {name}: that is no target", hint, code=2)
    if len(names) < 2 or len(set(names)) < len(names):
        other = next((name for name in names if name != RECORDED), "epoll")
        raise AskrError("a comparison needs two targets", f"--against {RECORDED},{other}", code=2)


def _child(backend: str, path: Path, config: Path | None, folder: Path) -> Contender:
    own = folder / backend
    own.mkdir()
    port, control = free_port(), own / "control.sock"
    command = [*askrctl_command(), "serve", str(path), "--listen", f"127.0.0.1:{port}"]
    command += ["--io-backend", backend, "--control", str(control)]
    command += ["--config", str(config)] if config else []
    url = f"http://127.0.0.1:{port}/"
    return Contender(backend, [command], url, own, Backend(backend), control)


def _insist(child: Contender) -> None:
    """A server that fell back would be compared with itself."""
    status = child.status()
    about = {} if status is None else status["io_backend"]
    if about.get("active") != child.name:
        why = about.get("detail") or "it does not say what it runs on"
        raise AskrError(f"no server runs on {child.name} here: {why}", "askrctl doctor", code=3)


@contextmanager
def opened(names: Sequence[str], path: Path, config: Path | None) -> Iterator[list[Target]]:
    """The targets by their names, children started; they are stopped at the end."""
    check_names(names)
    targets: list[Target] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="askr-replay-")))
        for name in names:
            if name == RECORDED:
                targets.append(FromFile())
                continue
            url = name
            if name in BACKENDS:
                child = _child(name, path, config, folder)
                stack.callback(child.stop)
                child.start([])
                _insist(child)
                url = child.url
            live = Live(name, url)
            stack.callback(live.close)
            live.open()
            targets.append(live)
        yield targets
