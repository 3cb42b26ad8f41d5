# SPDX-License-Identifier: MIT
"""Peers that owe us something and say something else meanwhile: no time-out begins anew for it.

Whatever is answered at once (a PING, a request of TLS for new keys) makes the connection write for
a moment, and what it waited for before it waits for again afterwards.
"""

import select
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from system.conftest import Serve
from system.h2_cases import CALM, OPEN
from system.h2_wire import (
    DATA,
    DEADLINE_S,
    PING,
    Peer,
    frame,
    get,
    settings,
)
from system.harness import Server

SHORT = {"head": 1.0, "body": 1.0, "write": 1.0}
BETWEEN_S = 0.1  # much less than any of them
TALK = frame(PING, 0, 0, bytes(8))
CANCEL = 8
SHAKEN = b"Verify return code"  # s_client: hands have been shaken


@pytest.fixture(scope="module")
def site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_text("file a")
    (root / "large.bin").write_bytes(bytes(60_000))
    return serve_shared(root, config={"timeouts": SHORT})


@pytest.fixture(scope="module")
def secure_site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_text("file a")
    return serve_shared(root, config={"timeouts": SHORT}, secure=True)


def talk_until(peer: Peer, talk: bytes, what: str, condition: Callable[[], bool]) -> None:
    """Say the same again and again, until the server has had enough of what is not said."""
    end = time.monotonic() + DEADLINE_S
    while not condition() and not peer.closed:
        assert time.monotonic() < end, f"not in time: {what}"
        peer.send(talk)
        listen(peer)
    assert condition(), what


def listen(peer: Peer) -> None:
    """Until it is time to say something again: more often would be a flood."""
    end = time.monotonic() + BETWEEN_S
    while not peer.closed and (left := end - time.monotonic()) > 0:
        if select.select([peer.stream], [], [], left)[0]:
            peer.read()


def test_pings_make_no_time_for_a_body(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(OPEN)
        answer = peer.answer(1)
        talk_until(peer, TALK, "a 408", lambda: answer.status == 408)


def test_pings_make_no_time_for_who_gives_no_window(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)) + get(1, "/large.bin"))
        answer = peer.answer(1)
        talk_until(peer, TALK, "a reset", lambda: answer.reset == CANCEL)


def test_an_upload_makes_no_time_for_who_gives_no_window(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)) + OPEN + get(3, "/large.bin"))
        answer = peer.answer(3)
        talk_until(peer, frame(DATA, 0, 1, bytes(100)), "a reset", lambda: answer.reset == CANCEL)


def test_requests_make_no_time_for_who_gives_no_window(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)) + get(1, "/large.bin"))
        answer, stream, end = peer.answer(1), 1, time.monotonic() + DEADLINE_S
        while answer.reset != CANCEL:
            assert time.monotonic() < end, "not in time: a reset"
            stream += 2
            peer.send(get(stream, "/none"))
            listen(peer)
            assert peer.answer(stream).status == 404


def test_pings_make_no_time_for_who_collects_answers(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)) + b"".join(get(2 * i + 1, "/large.bin") for i in range(50)))
        talk_until(peer, TALK, "GOAWAY", lambda: CALM in [code for code, _ in peer.goaways])


@pytest.mark.parametrize(
    "said",
    [
        b"GET /a.txt HTTP/1.1\nHost: a\nX: ",
        b"POST /a.txt HTTP/1.1\nHost: a\nContent-Length: 100\n\nhalf",
    ],
)
def test_new_keys_make_no_time_for_a_head_or_a_body(secure_site: Server, said: bytes) -> None:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{secure_site.port}"]
    client = subprocess.Popen(
        [*command, "-tls1_3", "-crlf"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdin is not None and client.stdout is not None
    got, due, end = b"", 0.0, time.monotonic() + DEADLINE_S
    try:
        while True:
            assert time.monotonic() < end, f"not in time: 408; got {got[-200:]!r}"
            if SHAKEN in got and time.monotonic() >= due:
                with suppress(BrokenPipeError):
                    client.stdin.write(said)
                said = b"K\n"  # s_client: send a KeyUpdate that asks for one in return
                due = time.monotonic() + BETWEEN_S
            if select.select([client.stdout], [], [], BETWEEN_S)[0]:
                if not (more := client.stdout.read(65536)):
                    break
                got += more
    finally:
        client.kill()
        client.communicate()
    assert b" 408 " in got
