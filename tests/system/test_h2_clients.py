# SPDX-License-Identifier: MIT
"""HTTP/2 as its users have it: PHP's rules over streams, real clients, and reloads under them."""

import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from system.cases import CASES, Case
from system.client import Fields, Response
from system.conftest import Serve
from system.h2_wire import DATA, END_HEADERS, END_STREAM, HEADERS, Peer, block, frame
from system.harness import Server, wait_until

HOP_BY_HOP = ("connection", "transfer-encoding", "host")


def raw_bytes(value: str) -> bytes:
    """As the HTTP/1.1 client of these tests writes it."""
    return value.encode("latin-1")


@dataclass(slots=True)
class OverHttp2:
    """A server whose simple requests go over HTTP/2; what needs a raw connection stays as it is."""

    server: Server
    protocol: str = "HTTP/2.0"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    def get(self, target: str) -> Response:
        return self.ask("GET", target)

    def ask(
        self, method: str, target: str, fields: Fields = (), body: bytes | None = None
    ) -> Response:
        given = [(name.lower(), value) for name, value in fields]
        host = next((value for name, value in given if name == "host"), "test.example")
        head = [(":method", method), (":scheme", "http"), (":path", target), (":authority", host)]
        head += [pair for pair in given if pair[0] not in HOP_BY_HOP]
        if body is not None and "content-length" not in dict(given):
            head.append(("content-length", str(len(body))))
        data = block([(raw_bytes(name), raw_bytes(value)) for name, value in head])
        with Peer(self.server.address) as peer:
            peer.send(frame(8, 0, 0, (1 << 30).to_bytes(4, "big")))  # we take all there is
            peer.send(frame(4, 0, 0, b"\0\4\x3f\xff\xff\xff"))
            peer.send(frame(HEADERS, END_HEADERS | (END_STREAM if body is None else 0), 1, data))
            if body is not None:
                send_body(peer, body)
            answer = peer.finish(1)
            assert answer.ended, f"reset: {answer.reset} {peer.goaways}"
        heads = [response(fields, b"") for fields in answer.heads]
        final = heads.pop()
        return Response(final.status, "", final.fields, answer.body, tuple(heads))


def response(fields: list[tuple[str, str]], body: bytes) -> Response:
    return Response(int(fields[0][1]), "", tuple(fields[1:]), body)


def windows(peer: Peer) -> dict[int, int]:
    """Bytes of DATA that the server has allowed so far, on the connection and on a new stream."""
    allowed = {0: 65535, 1: 65535}
    for item in peer.frames:
        if type(item).__name__ == "WindowUpdateFrame":
            allowed[item.stream_id] += item.window_increment
        elif type(item).__name__ == "SettingsFrame" and 4 in item.settings:
            allowed[1] += item.settings[4] - 65535
    return allowed


def send_body(peer: Peer, body: bytes) -> None:
    """As the windows allow; less if the server has answered already."""
    answer = peer.answer(1)
    for at in range(0, max(len(body), 1), 16384):
        piece = body[at : at + 16384]
        need = at + len(piece)

        def allowed(need: int = need) -> bool:
            return answer.ended or min(windows(peer).values()) >= need

        peer.until("room for the body", allowed)
        if answer.ended or peer.closed:
            return
        peer.send(frame(DATA, END_STREAM if need == len(body) else 0, 1, piece))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_php_semantics_over_http_2(matrix: Server, case: Case) -> None:
    case(OverHttp2(matrix))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_text("file a")
    (root / "large.bin").write_bytes(bytes(range(256)) * 40960)
    return serve_shared(root)


def said_by(*command: str, stdin: IO[bytes] | None = None) -> bytes:
    tool = shutil.which(command[0])
    assert tool is not None, f"{command[0]} is missing: run ./dev test system"
    return subprocess.run(
        [tool, *command[1:]], stdin=stdin, capture_output=True, timeout=60, check=True
    ).stdout


def test_curl(site: Server) -> None:
    url = f"http://127.0.0.1:{site.port}"
    options = ["-sS", "--http2-prior-knowledge"]
    said = said_by("curl", *options, "-w", " %{http_version} %{http_code}", f"{url}/a.txt")
    assert said == b"file a 2 200"
    # One URL at a time: curl 7.88 cannot use such a connection twice, nginx's neither.
    assert said_by("curl", *options, f"{url}/large.bin") == bytes(range(256)) * 40960
    sent = said_by("curl", *options, "-o", "/dev/null", "-w", "%{http_code}", "-d", "x", url)
    assert sent == b"404"
    # Without knowing, it asks to upgrade to h2c, which RFC 9113 has given up: an answer by 1.1.
    said = said_by("curl", "-sS", "--http2", "-w", " %{http_version}", f"{url}/a.txt")
    assert said == b"file a 1.1"


@pytest.mark.parametrize("size", ["known", "unknown"])
def test_curl_shows_why_an_upload_was_refused(site: Server, tmp_path: Path, size: str) -> None:
    body = tmp_path / "upload"
    body.write_bytes(bytes(20 << 20))
    options = ["-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}"]
    source = ["-T", str(body)] if size == "known" else ["-X", "POST", "-T", "-"]
    with body.open("rb") as stream:
        said = said_by(
            "curl", *options, *source, f"http://127.0.0.1:{site.port}/a.txt", stdin=stream
        )
    assert said == b"405"


def test_nghttp(site: Server) -> None:
    urls = [f"http://127.0.0.1:{site.port}/{name}" for name in ("a.txt", "large.bin", "none")]
    assert said_by("nghttp", *urls).startswith(b"file a")


@pytest.mark.parametrize("path", ["a.txt", "large.bin"])
def test_h2load(site: Server, path: str) -> None:
    count = "2000" if path == "a.txt" else "40"
    url = f"http://127.0.0.1:{site.port}/{path}"
    said = said_by("h2load", "-c4", "-m10", "-n", count, url).decode()
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert f"status codes: {count} 2xx" in said


def test_httpx(site: Server) -> None:
    with httpx.Client(http1=False, http2=True) as client:
        answers = [client.get(f"http://127.0.0.1:{site.port}/a.txt") for _ in range(50)]
    assert {(a.http_version, a.status_code, a.text) for a in answers} == {("HTTP/2", 200, "file a")}


def test_reloads_fail_no_request(site: Server) -> None:
    """One client that never asks twice, on connections that it keeps."""
    url = f"http://127.0.0.1:{site.port}/a.txt"
    with httpx.Client(http1=False, http2=True) as client:
        for wanted in (2, 3, 4):
            site.signal(signal.SIGHUP)

            def reloaded(wanted: int = wanted) -> bool:
                assert client.get(url).text == "file a"
                status = site.status()
                return bool(status["generation"] == wanted and len(status["workers"]) == 1)

            wait_until("the new generation", reloaded)
        for _ in range(50):
            assert client.get(url).text == "file a"


@pytest.fixture(scope="module")
def secure_site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("secure")
    (root / "a.txt").write_text("file a")
    (root / "large.bin").write_bytes(bytes(range(256)) * 40960)
    return serve_shared(root, secure=True)


def test_browsers_and_tools_are_offered_http_2_under_tls(secure_site: Server) -> None:
    url = f"https://127.0.0.1:{secure_site.port}"
    options = ["-sSk", "-w", " %{http_version}"]
    assert said_by("curl", *options, f"{url}/a.txt") == b"file a 2"
    assert said_by("curl", *options, "--http1.1", f"{url}/a.txt") == b"file a 1.1"
    both = said_by("curl", "-sSk", f"{url}/large.bin", f"{url}/a.txt")
    assert both == bytes(range(256)) * 40960 + b"file a"
    assert said_by("curl", *options, "--http2", f"{url}/a.txt") == b"file a 2"
    assert said_by("nghttp", f"{url}/a.txt") == b"file a"
    said = said_by("h2load", "-c4", "-m10", "-n", "40", f"{url}/large.bin").decode()
    assert "40 succeeded, 0 failed, 0 errored, 0 timeout" in said
    with httpx.Client(http2=True, verify=False) as client:
        answers = [client.get(f"{url}/large.bin") for _ in range(5)]
    assert {(a.http_version, len(a.content)) for a in answers} == {("HTTP/2", 256 * 40960)}
