# SPDX-License-Identifier: MIT
"""Behind a proxy: the PROXY protocol, as a load balancer would speak it over a real socket."""

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from system.client import Connection, build, trusting
from system.conftest import Serve
from system.harness import Server, wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 40001 8443\r\n"
V1_INET6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40002 443\r\n"
NAMES = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT", "HTTPS", "REQUEST_SCHEME")
TRUSTED = ["127.0.0.0/8"]


def v2(command: int, kind: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, kind)) + struct.pack("!H", len(body)) + body


INET = socket.inet_aton("203.0.113.7") + socket.inet_aton("198.51.100.2")
V2 = v2(0x21, 0x11, INET + struct.pack("!HH", 40001, 8443))
V2_SSL = v2(0x21, 0x11, INET + struct.pack("!HH", 40001, 8443) + b"\x20\0\5\1\0\0\0\0")
LOCAL = v2(0x20, 0x00, b"")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "index.php").write_text("<?php echo json_encode($_SERVER);")
    (folder / "hello.txt").write_text("hello")
    return folder


def settings(tmp_path: Path, trusted: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "server": {"trusted_proxies": trusted or TRUSTED},
        "log": {"access": str(tmp_path / "access.log"), "access_format": "$remote_addr $status"},
        **more,
    }


class Proxied:
    """A client that comes through a proxy: `head` goes out before anything else."""

    def __init__(self, server: Server, head: bytes, secure: bool, bytewise: bool = False) -> None:
        self.plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in [head[i : i + 1] for i in range(len(head))] if bytewise else [head]:
            self.plain.sendall(part)
        self.stream = trusting().wrap_socket(self.plain) if secure else self.plain

    def connection(self) -> Connection:
        made = Connection.__new__(Connection)
        made.stream, made.buffer = self.stream, b""
        return made


def variables(server: Server, head: bytes, secure: bool, bytewise: bool = False) -> dict[str, Any]:
    with Proxied(server, head, secure, bytewise).connection() as connection:
        found = json.loads(connection.ask("GET", "/").body)
        assert json.loads(connection.ask("GET", "/").body)["REMOTE_ADDR"] == found["REMOTE_ADDR"]
    return {name: found.get(name) for name in NAMES}


@pytest.fixture
def proxied(serve: Serve, app: Path, tmp_path: Path, secure: bool) -> Server:
    role = ",tls,proxy" if secure else ",proxy"
    return serve(app, listen=[f"127.0.0.1:0{role}"], config=settings(tmp_path), secure=secure)


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_the_application_sees_the_client_and_not_the_proxy(
    proxied: Server, secure: bool, head: bytes, bytewise: bool, tmp_path: Path
) -> None:
    assert variables(proxied, head, secure, bytewise) == {
        "REMOTE_ADDR": "203.0.113.7",
        "REMOTE_PORT": "40001",
        "SERVER_ADDR": "198.51.100.2",
        "SERVER_PORT": "8443",
        "HTTPS": "on" if secure else None,
        "REQUEST_SCHEME": "https" if secure else "http",
    }
    log = tmp_path / "access.log"
    wait_until("it is logged", lambda: log.read_text().count("\n") == 2)
    assert log.read_text() == "203.0.113.7 200\n" * 2


def test_every_kind_of_head_does_what_it_says(proxied: Server, secure: bool) -> None:
    assert variables(proxied, V1_INET6, secure)["REMOTE_ADDR"] == "2001:db8::7"
    assert variables(proxied, V2_SSL, secure)["HTTPS"] == "on", "TLS ended at the proxy"
    for head in (LOCAL, b"PROXY UNKNOWN\r\n", v2(0x21, 0, b"")):
        found = variables(proxied, head, secure)
        assert found["REMOTE_ADDR"] == "127.0.0.1", "the proxy speaks for itself"
        assert found["SERVER_PORT"] == str(proxied.port)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 x\r\n",
        V2[:12] + b"\x31",
        v2(0x21, 0x11, INET),
    ],
)
def test_what_is_no_head_ends_the_connection(proxied: Server, secure: bool, head: bytes) -> None:
    connection = Proxied(proxied, head + bytes(4), False).connection()
    assert not connection.fill()
    assert connection.buffer == b"", "without a word"
    connection.stream.close()
    wait_until("it is counted", lambda: proxied.status()["workers"][0]["proxy_refused"] == 1)
    assert variables(proxied, V1, secure)["REMOTE_ADDR"] == "203.0.113.7", "others are served"


def test_a_request_may_come_with_the_head(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, listen=["127.0.0.1:0,proxy"], config=settings(tmp_path))
    request = build("GET", "/hello.txt")
    for head in (V1, V2):
        with Proxied(server, head + request * 2, False).connection() as connection:
            assert [connection.receive().body, connection.receive().body] == [b"hello"] * 2
    half = V1[:20]
    with Proxied(server, half, False).connection() as connection:
        connection.send(V1[20:] + request)
        assert connection.receive().body == b"hello"
        connection.send(V1)
        assert connection.receive().status == 400, "once only"


def test_http2_comes_behind_it_as_well(proxied: Server, secure: bool) -> None:
    plain = socket.create_connection(("127.0.0.1", proxied.port), timeout=20)
    plain.sendall(V2)
    stream: socket.socket = plain
    if secure:
        context = trusting()
        context.set_alpn_protocols(["h2"])
        stream = context.wrap_socket(plain)
    with stream:
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert stream.recv(9)[3] == 4, "SETTINGS"


@pytest.mark.parametrize("trusted", [["10.0.0.0/8"], ["unix"], ["127.0.0.2", "::1"]])
def test_a_stranger_is_not_listened_to(
    serve: Serve, app: Path, tmp_path: Path, trusted: list[str]
) -> None:
    server = serve(app, listen=["127.0.0.1:0,proxy"], config=settings(tmp_path, trusted))
    try:
        with Proxied(server, V1, False).connection() as connection:
            assert not connection.fill()
    except (BrokenPipeError, ConnectionResetError):
        pass
    wait_until("it is counted", lambda: server.status()["workers"][0]["proxy_refused"] == 1)
    assert server.status()["workers"][0]["connections"] == 0


def test_ipv4_is_ipv4_on_a_listener_of_both(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, listen=[":0,proxy"], config=settings(tmp_path))
    assert variables(server, V1, False)["REMOTE_ADDR"] == "203.0.113.7"


def test_a_unix_socket_is_trusted_by_name(serve: Serve, app: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "web.sock")
    listen = [f"unix:{path},mode=600,proxy"]
    serve(app, listen=listen, config=settings(tmp_path, ["unix"]))
    with Connection(path) as connection:
        connection.send(V1)
        found = json.loads(connection.ask("GET", "/").body)
    assert (found["REMOTE_ADDR"], found["SERVER_PORT"]) == ("203.0.113.7", "8443")


def test_a_head_has_its_time(secure: bool, serve: Serve, app: Path) -> None:
    role = ",tls,proxy" if secure else ",proxy"
    server = serve(
        app,
        listen=[f"127.0.0.1:0{role}"],
        config={"server": {"trusted_proxies": TRUSTED}, "timeouts": {"proxy": 0.3}},
        secure=secure,
    )
    for head in (b"", V1[:20], V2[:-1]):
        with Proxied(server, head, False).connection() as connection:
            assert not connection.fill()
    assert server.status()["workers"][0]["timeouts"] == 3


def test_a_stop_does_not_wait_for_a_head(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, listen=["127.0.0.1:0,proxy"], config=settings(tmp_path))
    with Proxied(server, V1[:9], False).connection() as connection:
        wait_until("it is open", lambda: server.status()["workers"][0]["connections"] == 1)
        server.stop()
        assert not connection.fill()


def test_other_listeners_take_no_head(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, config=settings(tmp_path))
    with Proxied(server, V1, False).connection() as connection:
        assert connection.receive().status == 400
    with Proxied(server, b"", False).connection() as connection:
        assert connection.ask("GET", "/hello.txt").body == b"hello"


def test_somebody_has_to_be_trusted(serve: Serve, app: Path) -> None:
    server = serve(app, listen=["127.0.0.1:0,proxy"], wait=False)
    assert server.wait_end() == 2
    assert "needs somebody to trust" in server.log and "trusted_proxies" in server.log


def test_options_that_do_not_go_together_are_refused(serve: Serve, app: Path) -> None:
    for listen in ("127.0.0.1:0,tls,redirect", "127.0.0.1:0,prxy", "unix:/tmp/x,prxy"):
        server = serve(app, listen=[listen], wait=False)
        assert server.wait_end() == 2
        assert "proxy" in server.log
