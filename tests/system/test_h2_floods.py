# SPDX-License-Identifier: MIT
"""Peers that send much and want nothing: each is ended, costs little, and is alone in feeling it.

A flood is a few bytes to begin with, and a block that is sent again and again, at most FLOOD_MAX
bytes of it. It must be told ENHANCE_YOUR_CALM, or another error where the protocol names one, while
a well-behaved client on another connection is answered.
"""

import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from system.client import ask
from system.conftest import Serve
from system.h2_cases import CALM, FULL, OPEN, PROTOCOL, REFUSED
from system.h2_wire import (
    CONTINUATION,
    DATA,
    DEADLINE_S,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    RST_STREAM,
    WINDOW_UPDATE,
    Peer,
    block,
    frame,
    get,
    head,
    literal,
    number,
    request,
    settings,
    text,
)
from system.harness import Server, wait_until

FLOOD_MAX = 16 << 20
STREAMS_MAX = 4000
MEMORY_MAX_KIB = 4 << 10  # of one connection
UPPER = head(1, request(more=[("X", "1")]))  # malformed: the stream is reset


@dataclass(frozen=True, slots=True)
class Flood:
    name: str
    block: bytes  # with the stream's number where there is `#`: see at()
    opening: bytes = b""
    reads: bool = True
    # PROTOCOL_ERROR: more streams than we allow, before the resets of the others were sent.
    codes: tuple[int, ...] = (CALM,)
    each_stream: bool = False  # the block is for a new stream each time

    def __str__(self) -> str:
        return self.name


def at(stream: int, frames: bytes) -> bytes:
    """The same frames on another stream."""
    out = bytearray(frames)
    place = 0
    while place < len(out):
        length = int.from_bytes(out[place : place + 3], "big")
        out[place + 5 : place + 9] = number(stream)
        place += 9 + length
    return bytes(out)


BOMB = block(request()) + b"\x40" + text("x") + text("y" * 3000)
FLOODS = [
    Flood("rapid reset", get() + frame(RST_STREAM, 0, 1, number(8)), each_stream=True),
    Flood("rapid reset of uploads", OPEN + frame(RST_STREAM, 0, 1, number(8)), each_stream=True),
    Flood(
        "made you reset by a window",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(0)),
        each_stream=True,
        codes=(CALM, PROTOCOL),
    ),
    Flood(
        "made you reset by an overflow",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(2**31 - 1)) * 2,
        each_stream=True,
        codes=(CALM, PROTOCOL),
    ),
    Flood("made you reset by a bad head", UPPER, each_stream=True, codes=(CALM, PROTOCOL)),
    Flood(
        "made you reset by a bad length",
        head(1, request(method="POST", more=[("content-length", "5")])),
        each_stream=True,
        codes=(CALM, PROTOCOL),
    ),
    Flood("streams past the limit", OPEN, each_stream=True, codes=(CALM, PROTOCOL, REFUSED)),
    Flood(
        "CONTINUATION, full",
        frame(CONTINUATION, 0, 1, literal("x", "y" * 250) * 60),
        opening=frame(HEADERS, END_STREAM, 1, block(request())),
    ),
    Flood(
        "CONTINUATION, empty",
        frame(CONTINUATION, 0, 1),
        opening=frame(HEADERS, END_STREAM, 1, block(request())),
    ),
    *(
        Flood(f"{name}, {'reading' if reads else 'not reading'}", data, reads=reads)
        for name, data in (
            ("PING", frame(PING, 0, 0, bytes(8)) * 50),
            ("SETTINGS", settings((3, 100)) * 50),
            ("empty SETTINGS", settings() * 50),
            ("a table size that changes", settings((1, 0), (1, 4096)) * 50),
        )
        for reads in (True, False)
    ),
    Flood("PRIORITY", frame(PRIORITY, 0, 1, number(0) + b"\x10") * 50),
    Flood("PRIORITY of many streams", frame(PRIORITY, 0, 1, number(0) + b"\x10"), each_stream=True),
    Flood("PRIORITY_UPDATE", frame(PRIORITY_UPDATE, 0, 0, number(1) + b"u=1") * 50, opening=OPEN),
    Flood("empty DATA", frame(DATA, 0, 1) * 50, opening=OPEN),
    Flood("DATA of padding", frame(DATA, PADDED, 1, b"\x08" + bytes(8)) * 50, opening=OPEN),
    Flood("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, number(1)) * 50),
    Flood("WINDOW_UPDATE of a stream", frame(WINDOW_UPDATE, 0, 1, number(1)) * 50, opening=OPEN),
    Flood("unknown frames", frame(0xEE, 0, 0) * 50),
    Flood("large unknown frames", frame(0xEE, 0, 0, bytes(16384))),
    Flood("acknowledgements", frame(PING, 1, 0, bytes(8)) * 50),
    Flood("GOAWAY", frame(GOAWAY, 0, 0, bytes(8)) * 50, opening=OPEN, codes=(CALM, 0)),
    Flood("RST_STREAM of one stream", frame(RST_STREAM, 0, 1, number(8)) * 50, opening=OPEN),
    Flood(
        "HPACK bomb",
        frame(HEADERS, FULL, 3, block(request()) + b"\xbe" * 16000),
        opening=frame(HEADERS, FULL, 1, BOMB),
    ),
    Flood("many small fields", frame(HEADERS, FULL, 1, block(request()) + literal("x", "") * 3000)),
    Flood(
        "a large trailer",
        head(1, [("x", "y" * 16000)]) * 0
        + frame(HEADERS, END_STREAM, 1, literal("x", "y" * 8000))
        + frame(CONTINUATION, END_HEADERS, 1, literal("x", "y" * 8400)),
        opening=OPEN + frame(DATA, 0, 1, b"x"),
    ),
]


@pytest.fixture(scope="module")
def site(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_text("file a")
    (root / "large.bin").write_bytes(bytes(60_000))
    server = serve_shared(root, config={"timeouts": {"head": 1.0}})
    for _ in range(50):  # its buffers are warm before memory is measured
        assert server.get("/a.txt").status == 200
    return server


@pytest.fixture(scope="module")
def worker(site: Server) -> int:
    """The pid of the one that has it all."""
    [pid] = site.workers()
    return pid


def memory_kib(pid: int) -> int:
    """Resident memory of the worker."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def blocks(flood: Flood) -> Iterator[bytes]:
    """What follows the opening, up to a bound."""
    if flood.each_stream:
        for first in range(1, STREAMS_MAX, 20):
            yield b"".join(at(2 * stream + 1, flood.block) for stream in range(first, first + 20))
    else:
        for _ in range(FLOOD_MAX // len(flood.block)):
            yield flood.block


def pour(peer: Peer, flood: Flood, worker: int) -> int:
    """Send until the server has had enough; the most memory that its worker had meanwhile."""
    most, end = 0, time.monotonic() + DEADLINE_S
    for index, data in enumerate(blocks(flood)):
        while True:
            reading, writing, _ = select.select(
                [peer.stream] if flood.reads else [], [peer.stream], [], DEADLINE_S
            )
            if reading:
                peer.read()
            if peer.closed or peer.goaways or writing:
                break
            assert time.monotonic() < end, "neither taken nor ended"
        if peer.closed or peer.goaways:
            break
        peer.stream.setblocking(False)
        try:
            peer.stream.send(data)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            break
        finally:
            peer.stream.settimeout(DEADLINE_S)
        if index % 100 == 0:
            most = max(most, memory_kib(worker))
    return max(most, memory_kib(worker))


@pytest.mark.parametrize("flood", FLOODS, ids=str)
def test_a_flood_is_ended(site: Server, worker: int, flood: Flood) -> None:
    with Peer(site.address) as peer, Peer(site.address) as other:
        other.send(get())
        assert other.finish(1).status == 200
        before = memory_kib(worker)
        peer.polite = False  # an acknowledgement in the middle of a head would be an error
        peer.send(flood.opening)
        most = pour(peer, flood, worker)
        other.send(get(3))
        assert other.finish(3).status == 200, "somebody else felt it"
        peer.rest()
        if peer.goaways:  # one that does not read may be reset before it could
            assert peer.goaways[-1][0] in flood.codes
        else:
            assert not flood.reads or peer.closed
    assert most - before < MEMORY_MAX_KIB
    assert ask(site.address, "GET", "/a.txt").status == 200


def test_answers_that_pile_up_behind_a_window_of_zero(site: Server, worker: int) -> None:
    before = memory_kib(worker)
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)))
        peer.send(b"".join(get(2 * i + 1, "/large.bin") for i in range(100)))
        peer.rest()
        assert peer.goaways[-1][0] == CALM
        assert memory_kib(worker) - before < MEMORY_MAX_KIB


def test_a_window_that_opens_slowly_but_opens_is_no_flood(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(settings((4, 0)) + b"".join(get(2 * i + 1) for i in range(20)))
        peer.until("all heads", lambda: sum(1 for a in peer.answers.values() if a.heads) == 20)
        for i in range(20):
            for _ in range(6):
                peer.send(frame(WINDOW_UPDATE, 0, 2 * i + 1, number(1)))
            assert peer.finish(2 * i + 1).body == b"file a"


def test_a_head_that_does_not_end_is_not_waited_for(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(get(1))
        assert peer.finish(1).status == 200  # now it waits for no acknowledgement from us
        peer.send(frame(HEADERS, END_STREAM, 3, block(request())))
        peer.rest()
        assert peer.goaways[-1][0] == CALM


def test_a_page_of_many_images_whose_visitor_leaves_is_no_flood(site: Server) -> None:
    with Peer(site.address) as peer:
        peer.send(frame(WINDOW_UPDATE, 0, 0, number(100 << 20)))
        for first in range(0, 200, 50):
            numbers = range(2 * first + 1, 2 * first + 101, 2)
            peer.send(b"".join(get(stream, "/large.bin") for stream in numbers))
            peer.send(b"".join(frame(RST_STREAM, 0, stream, number(8)) for stream in numbers))
        peer.send(get(1001))
        assert peer.finish(1001).status == 200


def test_what_floods_cost_is_given_back(site: Server) -> None:
    def idle() -> bool:
        return bool(site.status()["workers"][0]["connections"] == 0)

    wait_until("no connection is left", idle)
