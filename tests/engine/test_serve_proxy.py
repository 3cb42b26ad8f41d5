# SPDX-License-Identifier: MIT
"""A worker behind a proxy, under ASan and UBSan, on both I/O backends, in clear and with TLS.

Heads of the PROXY protocol are good, broken, late, or cut off at every byte.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from askrctl.config import TlsConfig
from askrctl.engine import LISTENER_PROXY
from askrctl.server.tls import Tls, self_signed
from askrctl.server.tls_store import encode

from .serve_client import Client, Server, serving

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.2 40001 8443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((203, 0, 113, 7, 198, 51, 100, 2, 1, 2, 3, 4))
FIELDS = "X-Forwarded-For: 192.0.2.1, 127.0.0.9"


@pytest.fixture(params=["epoll", "io_uring"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def options(tmp_path: Path, secure: bool) -> list[str]:
    flags = [f"--listener_flags={LISTENER_PROXY}"]
    if not secure:
        return flags
    (tmp_path / "store").write_bytes(
        encode(Tls(TlsConfig(), (self_signed(),), b"", ()), [os.urandom(80)])
    )
    return [*flags, "--tls", str(tmp_path / "store")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    (path / "hello.txt").write_bytes(b"hello")
    (path / "index.php").write_text("<?php // the echo module answers for it")
    return path


@pytest.fixture
def server(backend: str, root: Path, options: list[str]) -> Iterator[Server]:
    with serving(backend, root, *options, apps=1) as started:
        yield started


def open_with(server: Server, head: bytes, secure: bool) -> Client:
    client = server.connect()
    client.send(head)
    if not secure:
        return client
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    wrapped = context.wrap_socket(client.sock, suppress_ragged_eofs=False)
    server.clients.append(wrapped)
    return Client(wrapped)


def ends(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_requests_follow_the_head(server: Server, secure: bool, head: bytes) -> None:
    client = open_with(server, head, secure)
    for _ in range(3):
        assert client.get("/hello.txt", FIELDS).body == b"hello"
        assert client.get("/echo", FIELDS).status == 200


@pytest.mark.parametrize("head", [V1, V2], ids=["v1", "v2"])
def test_who_leaves_within_the_head_is_forgotten(server: Server, secure: bool, head: bytes) -> None:
    for size in range(len(head) + 1):
        with server.connect().sock as sock:
            sock.sendall(head[:size])
    assert open_with(server, head, secure).get("/hello.txt").body == b"hello"


def test_what_is_no_head_ends_the_connection(server: Server, secure: bool) -> None:
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", V1[:-2] + b"x\r\n", V2[:12] + bytes(20), b"\x16"):
        client = server.connect()
        client.send(rubbish)
        assert ends(client.sock)
    assert open_with(server, V2, secure).get("/hello.txt").body == b"hello"


def test_a_head_that_does_not_come_ends_the_connection(
    backend: str, root: Path, options: list[str]
) -> None:
    with serving(backend, root, *options, "--proxy_timeout=200") as server:
        for part in (b"", V1[:9], V2[:20]):
            client = server.connect()
            client.send(part)
            assert ends(client.sock)
