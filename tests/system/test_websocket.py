# SPDX-License-Identifier: MIT
"""WebSockets as their users have them: the Autobahn cases, real clients, proxies' checks, reloads.

The rules themselves are tested under sanitizers by tests/engine/test_serve_ws.py.
"""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from system.client import trusting
from system.conftest import Serve
from system.harness import Server, wait_until
from system.ws_wire import CLOSE, PING, TEXT, Http2, Peer, begin, connect, frame
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_client
from websockets.typing import Subprotocol

# Of every group; those of 9, 12 and 13 take minutes all together.
CASES = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)]
CASES += [f"9.{group}.1" for group in range(1, 9)]
CASES += [f"12.{group}.{case}" for group in range(1, 6) for case in (1, 3)]
CASES += [f"13.{group}.2" for group in range(1, 8)]
CASES_OVER_TLS = ["1.*", "2.*", "5.*", "7.*", "9.1.1", "10.*", "12.1.1", "13.1.2"]
SETTINGS = {"echo": "/", "message_size": "17M", "frame_size": "17M", "window_bits": 15}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def echo(serve_shared: Serve, root: Path, secure: bool) -> Server:
    return serve_shared(root, secure=secure, config={"websocket": SETTINGS})


@contextmanager
def in_clear(server: Server) -> Iterator[int]:
    """A port that leads to a server that speaks TLS, for clients that do not."""
    loop = asyncio.new_event_loop()
    port: int = 0

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting())
        await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(carry, "127.0.0.1", 0)

    listener = loop.run_until_complete(listen())
    port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listener.close()


def autobahn(port: int, cases: list[str], folder: Path) -> Counter[str]:
    """How many cases were judged how; an end that is not right counts as a verdict of its own."""
    tool = Path(sys.executable).parent / "kosoku"
    chosen = [word for case in cases for word in ("-i", case)]
    done = subprocess.run(
        [tool, "-p", "4", *chosen, "-o", folder, f"127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (folder / "index.json").exists(), done.stdout + done.stderr
    verdicts: Counter[str] = Counter()
    for server in json.loads((folder / "index.json").read_text()).values():
        for case in server.values():
            said, end = case["behavior"], case["behaviorClose"]
            verdicts[said if end in (said, "OK") else f"{said}, {end}"] += 1
    return verdicts


def test_autobahn(echo: Server, tmp_path: Path) -> None:
    if echo.secure:
        with in_clear(echo) as port:
            verdicts = autobahn(port, CASES_OVER_TLS, tmp_path)
    else:
        verdicts = autobahn(echo.port, CASES, tmp_path)
    assert set(verdicts) == {"OK", "INFORMATIONAL"}, verdicts
    assert verdicts["INFORMATIONAL"] <= 3
    assert verdicts.total() == (88 if echo.secure else 272)


def client(
    server: Server, path: str = "/", compression: str | None = "deflate"
) -> ClientConnection:
    return connect_client(
        f"{'wss' if server.secure else 'ws'}://127.0.0.1:{server.port}{path}",
        ssl=trusting() if server.secure else None,
        compression=compression,
        max_size=1 << 25,
        open_timeout=30,
        close_timeout=30,
    )


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_the_client_of_python(echo: Server, compression: str | None) -> None:
    with client(echo, compression=compression) as peer:
        for message in ("", "hello", "ä€😀" * 20_000, b"", bytes(range(256)) * 40_000):
            peer.send(message)
            assert peer.recv(timeout=30) == message
        peer.send(["in ", "frag", "ments"])
        assert peer.recv(timeout=30) == "in fragments"
        assert peer.ping().wait(30)
        peer.close(3000, "bye")
    assert peer.close_code == 3000


def test_subprotocols(echo: Server) -> None:
    url = f"{'wss' if echo.secure else 'ws'}://127.0.0.1:{echo.port}/"
    context = trusting() if echo.secure else None
    names = [Subprotocol("mqtt"), Subprotocol("chat")]
    with connect_client(url, ssl=context, subprotocols=names) as peer:
        assert peer.subprotocol == "mqtt"


def connect_http2(server: Server) -> Http2:
    stream = socket.create_connection(("127.0.0.1", server.port))
    if server.secure:
        context = trusting()
        context.set_alpn_protocols(["h2"])
        return Http2(context.wrap_socket(stream))
    return Http2(stream)


def test_over_http_2(echo: Server) -> None:
    with connect_http2(echo) as connection:
        assert connection.allows_connect() == 1
        peers = [Peer(connection.open("/")) for _ in range(20)]
        for number, peer in enumerate(peers):
            peer.send(frame(TEXT, str(number).encode() * 1000))
        for number, peer in enumerate(peers):
            assert peer.receive() == (TEXT, str(number).encode() * 1000)
            peer.send(frame(CLOSE, b"\x03\xe8"))
            assert peer.closed() == 1000


def test_it_is_counted(echo: Server) -> None:
    def open_now() -> int:
        return sum(worker["websockets"] for worker in echo.status()["workers"])

    wait_until("the others are gone", lambda: open_now() == 0)
    before = echo.status()["workers"][0]["websocket_messages"]
    with client(echo) as peer:
        peer.send("hello")
        assert peer.recv(timeout=30) == "hello"
        wait_until("it is open", lambda: open_now() == 1)
    wait_until("it is closed", lambda: open_now() == 0)
    assert echo.status()["workers"][0]["websocket_messages"] == before + 1


def test_there_is_no_endpoint_unless_it_is_asked_for(serve: Serve, root: Path) -> None:
    server = serve(root)
    asked = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Version", "13")]
    assert server.ask("GET", "/", asked).status == 404
    with connect_http2(server) as connection:
        assert connection.allows_connect() == 0


def test_a_silent_client_is_asked_and_cut_off(serve: Serve, root: Path) -> None:
    server = serve(root, config={"websocket": {"echo": "/ws", "ping": 0.1, "pong": "100ms"}})
    with connect(server.port) as stream:
        silent = begin(stream, "/ws")
        assert silent.receive() == (PING, b"")
        assert silent.is_over()


def talk(server: Server, stopping: threading.Event, seen: list[str]) -> None:
    """As an honest client does: come back after a Close with 1001, and after nothing else."""
    while not stopping.is_set():
        with client(server, "/ws") as peer:
            try:
                for number in range(1 << 30):
                    if stopping.is_set():
                        break
                    peer.send(str(number))
                    if peer.recv(timeout=30) != str(number):
                        seen.append("another answer")
            except ConnectionClosed as end:
                if end.rcvd is None or end.rcvd.code != 1001 or not end.rcvd_then_sent:
                    seen.append(repr(end))


def test_reloads_surprise_nobody(serve: Serve, root: Path) -> None:
    server = serve(root, config={"websocket": {"echo": "/ws"}})
    stopping, seen = threading.Event(), list[str]()
    threads = [threading.Thread(target=talk, args=(server, stopping, seen)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for wanted in (2, 3, 4):
        server.signal(signal.SIGHUP)

        def reloaded(wanted: int = wanted) -> bool:
            status = server.status()
            workers = status["workers"]
            return bool(
                status["generation"] == wanted
                and len(workers) == 1
                and workers[0]["websockets"] == 4
            )

        wait_until("everybody is with the new generation", reloaded, 60)
    stopping.set()
    for thread in threads:
        thread.join()
    assert not seen
