# SPDX-License-Identifier: MIT
"""Compressed answers under ASan and UBSan: whole, streamed, flushed, cut, many at once."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli
import pytest
import zstandard

from .serve_client import Server, serving, until

BACKENDS = ["epoll", "io_uring"]
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
CODINGS = ["gzip", "br", "zstd"]
HELD_MAX = 262144  # ANSWER_HELD_MAX
COMPRESSORS_MAX = 64


def text(size: int) -> bytes:
    """What module_echo writes."""
    return (b"abcdefghijklmnopqrstuvw" * (size // 23 + 1))[:size]


@pytest.fixture(params=BACKENDS)
def apps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "index.php").write_text("<?php // the echo module answers for it")
    with serving(str(request.param), tmp_path, apps=2) as server:
        yield server


@pytest.mark.parametrize("coding", CODINGS)
def test_every_size_comes_back(apps: Server, coding: str) -> None:
    client = apps.connect()
    for size in (0, 1, 255, 256, 4096, 100000, HELD_MAX - 1, HELD_MAX, HELD_MAX + 1, 3000000):
        answer = client.get(f"/size/{size}", f"Accept-Encoding: {coding}")
        used = answer.field("Content-Encoding")
        assert used == (coding if size >= 256 else "")
        assert DECODE[used](answer.body) == text(size)
        assert answer.field("Vary") == "Accept-Encoding"
        if size < HELD_MAX:
            assert answer.field("Content-Length") == str(len(answer.body))


@pytest.mark.parametrize("coding", CODINGS)
def test_flushed_parts_are_one_body(apps: Server, coding: str) -> None:
    answer = apps.connect().get("/flush/50", f"Accept-Encoding: {coding}")
    assert answer.field("Content-Encoding") == coding
    assert DECODE[coding](answer.body) == b"".join(b"chunk %d\n" % index for index in range(50))


def test_a_pipeline_keeps_its_order(apps: Server) -> None:
    client = apps.connect()
    request = "GET /size/{} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: {}\r\n\r\n"
    asked = [(1000 * index, (["identity", *CODINGS])[index % 4]) for index in range(40)]
    client.send("".join(request.format(size, coding) for size, coding in asked))
    for size, _ in asked:
        answer = client.answer()
        assert DECODE[answer.field("Content-Encoding")](answer.body) == text(size)


def test_head_has_no_length_of_what_it_does_not_know(apps: Server) -> None:
    client = apps.connect()
    answer = client.get("/size/5000", "Accept-Encoding: gzip", method="HEAD")
    assert answer.field("Content-Encoding") == "gzip" and answer.field("Content-Length") == ""
    answer = client.get("/size/100", "Accept-Encoding: gzip", method="HEAD")
    assert answer.field("Content-Encoding") == "" and answer.field("Content-Length") == "100"


def test_http_1_0_reads_until_the_end(apps: Server) -> None:
    client = apps.connect()
    client.send("GET /flush/9 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    assert gzip.decompress(client.answer().body).count(b"chunk") == 9


def test_an_answer_that_breaks_off_does_not_look_complete(apps: Server) -> None:
    client = apps.connect()
    client.send("GET /crash-halfway HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
    data = client.rest()
    assert not data.endswith(b"0\r\n\r\n")


def test_clients_that_leave_give_their_compressors_back(apps: Server) -> None:
    request = b"GET /size/1500000 HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n"
    for _ in range(COMPRESSORS_MAX + 8):
        client = apps.connect()
        client.sock.sendall(request)
        assert client.sock.recv(1000)
        client.sock.close()

    def is_compressed() -> bool:
        answer = apps.connect().get("/size/1000000", "Accept-Encoding: gzip")
        return answer.field("Content-Encoding") == "gzip"

    until(is_compressed, "compressors are free again")


def test_others_are_answered_while_much_is_compressed(apps: Server) -> None:
    large = [apps.connect() for _ in range(8)]
    for client in large:
        client.send("GET /size/2000000 HTTP/1.1\r\nHost: test\r\nAccept-Encoding: br\r\n\r\n")
    assert apps.connect().get("/hello").body == b"Hello, World!"
    for client in large:
        assert brotli.decompress(client.answer().body) == text(2000000)


def test_what_came_before_a_crash_can_be_decoded(apps: Server) -> None:
    client = apps.connect()
    client.send("GET /crash-halfway HTTP/1.0\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert zlib.decompressobj(31).decompress(body) == b"half"
