# SPDX-License-Identifier: MIT
"""X-Forwarded-* and Forwarded: who is believed, and what of it reaches the application."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve
from system.harness import Server, wait_until

Sent = list[tuple[str, str]]
NETWORKS = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:ffff::/48"]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "index.php").write_text("<?php echo json_encode($_SERVER);")
    return folder


def start(serve: Serve, app: Path, kind: str, trusted: list[str], **more: Any) -> Server:
    log = {"access": str(app.parent / "access.log"), "access_format": "$remote_addr $remote_port"}
    server = {"trusted_proxies": trusted, "forwarded": kind}
    started: Server = serve(app, config={"server": server, "log": log}, **more)
    return started


def variables(server: Server, fields: Sent) -> dict[str, str]:
    found: dict[str, str] = json.loads(server.ask("GET", "/", fields).body)
    return found


CASES: list[tuple[str, Sent, dict[str, str | None]]] = [
    ("x-forwarded", [("X-Forwarded-For", "203.0.113.7")], {"REMOTE_ADDR": "203.0.113.7"}),
    ("x-forwarded", [("X-Forwarded-For", "203.0.113.7")], {"REMOTE_PORT": "0"}),
    ("x-forwarded", [("X-Forwarded-For", "[2001:db8::7]:99")], {"REMOTE_ADDR": "2001:db8::7"}),
    ("x-forwarded", [("X-Forwarded-For", "203.0.113.7:99")], {"REMOTE_PORT": "99"}),
    # The rightmost untrusted one, whatever a client wrote to its left.
    ("x-forwarded", [("X-Forwarded-For", "1.1.1.1, 203.0.113.7")], {"REMOTE_ADDR": "203.0.113.7"}),
    (
        "x-forwarded",
        [("X-Forwarded-For", "1.1.1.1, 203.0.113.7, 10.1.2.3, 2001:db8:ffff::1")],
        {"REMOTE_ADDR": "203.0.113.7"},
    ),
    (
        "x-forwarded",
        [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "203.0.113.7, ::ffff:10.1.2.3")],
        {"REMOTE_ADDR": "203.0.113.7"},
    ),
    ("x-forwarded", [("X-Forwarded-For", "10.0.0.9, 10.0.0.8")], {"REMOTE_ADDR": "10.0.0.9"}),
    (
        "x-forwarded",
        [("X-Forwarded-For", "1.1.1.1, unknown, 10.0.0.8")],
        {"REMOTE_ADDR": "10.0.0.8"},
    ),
    ("x-forwarded", [("X-Forwarded-For", "nonsense")], {"REMOTE_ADDR": "127.0.0.1"}),
    ("x-forwarded", [("X-Forwarded-For", "")], {"REMOTE_ADDR": "127.0.0.1"}),
    # Scheme, host and port.
    (
        "x-forwarded",
        [("X-Forwarded-Proto", "https")],
        {"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "443"},
    ),
    ("x-forwarded", [("X-Forwarded-Proto", "ftp")], {"HTTPS": None, "REQUEST_SCHEME": "http"}),
    (
        "x-forwarded",
        [("X-Forwarded-For", "9.9.9.9, 203.0.113.7"), ("X-Forwarded-Proto", "https, http")],
        {"HTTPS": None, "SERVER_PORT": "80"},
    ),
    (
        "x-forwarded",
        [("X-Forwarded-For", "203.0.113.7, 10.0.0.8"), ("X-Forwarded-Proto", "https, http")],
        {"HTTPS": "on"},
    ),
    (
        "x-forwarded",
        [("X-Forwarded-For", "203.0.113.7, 10.0.0.8"), ("X-Forwarded-Proto", "https")],
        {"HTTPS": "on"},
    ),
    (
        "x-forwarded",
        [("X-Forwarded-Host", "shop.test:8443"), ("X-Forwarded-Proto", "https")],
        {"SERVER_NAME": "shop.test", "SERVER_PORT": "8443", "HTTP_HOST": "test.example"},
    ),
    (
        "x-forwarded",
        [("X-Forwarded-Host", "shop.test:1"), ("X-Forwarded-Port", "8443")],
        {"SERVER_NAME": "shop.test", "SERVER_PORT": "8443"},
    ),
    ("x-forwarded", [("X-Forwarded-Host", "a b<c>")], {"SERVER_NAME": "test.example"}),
    # One kind only.
    ("x-forwarded", [("Forwarded", "for=203.0.113.7;proto=https")], {"HTTPS": None}),
    ("forwarded", [("X-Forwarded-For", "203.0.113.7")], {"REMOTE_ADDR": "127.0.0.1"}),
    ("off", [("X-Forwarded-For", "203.0.113.7")], {"REMOTE_ADDR": "127.0.0.1"}),
    # RFC 7239.
    (
        "forwarded",
        [("Forwarded", 'for="[2001:db8::7]:99";proto=https;host="shop.test:8443"')],
        {
            "REMOTE_ADDR": "2001:db8::7",
            "REMOTE_PORT": "99",
            "HTTPS": "on",
            "SERVER_NAME": "shop.test",
            "SERVER_PORT": "8443",
        },
    ),
    (
        "forwarded",
        [("Forwarded", "for=1.1.1.1;proto=https, for=203.0.113.7;proto=http, for=10.0.0.8")],
        {"REMOTE_ADDR": "203.0.113.7", "HTTPS": None, "SERVER_PORT": "80"},
    ),
    (
        "forwarded",
        [("Forwarded", 'for="spoilt, for=203.0.113.7;proto=https')],
        {"REMOTE_ADDR": "203.0.113.7", "HTTPS": "on"},
    ),
    ("forwarded", [("Forwarded", "for=_hidden;proto=https")], {"HTTPS": "on"}),
]


def test_what_a_trusted_proxy_says_is_so(serve: Serve, app: Path) -> None:
    servers: dict[str, Server] = {}
    for kind, fields, wanted in CASES:
        if kind not in servers:
            servers[kind] = start(serve, app, kind, NETWORKS)
        found = variables(servers[kind], fields)
        assert {name: found.get(name) for name in wanted} == wanted, (kind, fields)
        for name, value in fields:
            key = "HTTP_" + name.upper().replace("-", "_")
            assert value in found[key], "the field itself is passed on"


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"], ["unix"], ["127.0.0.2/32"]])
@pytest.mark.parametrize("kind", ["x-forwarded", "forwarded"])
def test_a_stranger_is_passed_on_and_not_believed(
    serve: Serve, app: Path, kind: str, trusted: list[str]
) -> None:
    server = start(serve, app, kind, trusted) if trusted else serve(app)
    for _, fields, _ in CASES:
        found = variables(server, fields)
        assert found["REMOTE_ADDR"] == "127.0.0.1"
        assert found["REMOTE_PORT"] != "0"
        assert "HTTPS" not in found
        assert found["SERVER_NAME"] == "test.example"
        assert found["SERVER_PORT"] == str(server.port)
        for name, value in fields:
            assert value in found["HTTP_" + name.upper().replace("-", "_")]


def test_the_log_has_the_client(serve: Serve, app: Path) -> None:
    server = start(serve, app, "x-forwarded", NETWORKS)
    server.ask("GET", "/", [("X-Forwarded-For", "1.1.1.1, 203.0.113.7:99")])
    server.ask("GET", "/missing.txt", [("X-Forwarded-For", "203.0.113.8")])
    log = app.parent / "access.log"
    wait_until("both are logged", lambda: log.read_text().count("\n") == 2)
    assert log.read_text() == "203.0.113.7 99\n203.0.113.8 0\n"


def test_a_proxy_that_ends_tls_can_speak_tls_to_us(serve: Serve, app: Path) -> None:
    server = start(serve, app, "x-forwarded", NETWORKS, secure=True)
    assert variables(server, [])["HTTPS"] == "on"
    assert variables(server, [("X-Forwarded-Proto", "https")])["HTTPS"] == "on"
    assert "HTTPS" not in variables(server, [("X-Forwarded-Proto", "http")])


def test_requests_of_one_connection_have_clients_of_their_own(serve: Serve, app: Path) -> None:
    server = start(serve, app, "x-forwarded", NETWORKS)
    with server.connect() as connection:
        for address in ("203.0.113.7", "203.0.113.8", None):
            fields = [("X-Forwarded-For", address)] if address else []
            found = json.loads(connection.ask("GET", "/", fields).body)
            assert found["REMOTE_ADDR"] == (address or "127.0.0.1")


def test_behind_the_proxy_protocol_the_source_is_asked(serve: Serve, app: Path) -> None:
    server = start(serve, app, "x-forwarded", NETWORKS, listen=["127.0.0.1:0,proxy"])
    for source, client in (("10.0.0.5", "198.51.100.9"), ("203.0.113.7", "203.0.113.7")):
        with server.connect() as connection:
            connection.send(f"PROXY TCP4 {source} 10.0.0.1 4000 80\r\n".encode())
            fields = [("X-Forwarded-For", "198.51.100.9")]
            found = json.loads(connection.ask("GET", "/", fields).body)
            assert found["REMOTE_ADDR"] == client


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_ipv4_client_of_a_listener_for_both_is_ipv4(serve: Serve, app: Path) -> None:
    server = start(serve, app, "x-forwarded", ["127.0.0.0/8"], listen=[":0"])
    found = variables(server, [])
    assert (found["REMOTE_ADDR"], found["SERVER_ADDR"]) == ("127.0.0.1", "127.0.0.1")
    found = variables(server, [("X-Forwarded-For", "::ffff:203.0.113.7")])
    assert found["REMOTE_ADDR"] == "203.0.113.7"
    log = app.parent / "access.log"
    wait_until("both are logged", lambda: log.read_text().count("\n") == 2)
    assert [line.split()[0] for line in log.read_text().splitlines()] == [
        "127.0.0.1",
        "203.0.113.7",
    ]


def test_an_unknown_kind_is_refused(serve: Serve, app: Path) -> None:
    server = serve(app, config={"server": {"forwarded": "both"}}, wait=False)
    assert server.wait_end() == 2
    assert "server.forwarded" in server.log
