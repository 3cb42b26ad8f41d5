# SPDX-License-Identifier: MIT
"""Requests of the admin listener: where one ends, and what is none."""

import gzip

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askrctl.server.admin_http import (
    BODY_SIZE_MAX,
    HEAD_SIZE_MAX,
    RefusedError,
    Request,
    Response,
    take,
)

TWO = (
    b"POST /api/reload?x HTTP/1.1\r\nContent-Length: 3\r\nAuthorization: Bearer a b\r\n\r\nabc"
    b"GET /metrics HTTP/1.1\r\nAccept-Encoding: br, GZIP\r\nConnection: TE, Close\r\n\r\n"
)


def all_of(pieces: list[bytes]) -> tuple[list[Request], int]:
    """The requests, and the status of a refusal or 0."""
    received, found = bytearray(), []
    for piece in pieces:
        received += piece
        try:
            while (request := take(received)) is not None:
                found.append(request)
        except RefusedError as error:
            return found, error.response.status
    return found, 0


def test_requests_that_follow_each_other_are_told_apart() -> None:
    first = Request("POST", "/api/reload", token="a b", body_size=3)
    second = Request("GET", "/metrics", keeps=False, gzip=True)
    assert all_of([TWO]) == ([first, second], 0)
    assert all_of([TWO[at : at + 1] for at in range(len(TWO))]) == ([first, second], 0)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: +1", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 0x1", 400),
        ("GET / HTTP/1.1\r\nContent-Length: \N{SUPERSCRIPT TWO}".encode("latin-1"), 400),
        (b"GET / HTTP/1.1\r\nContent-Length: " + str(BODY_SIZE_MAX + 1).encode(), 413),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000, 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 400),
        (b"GET / HTTP/1.1\r\nA: b\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n c: folded", 400),
        (b"GET / HTTP/1.1\r\nA : b", 400),
        (b"GET / HTTP/2.0", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"", 400),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(head: bytes, status: int) -> None:
    assert all_of([head + b"\r\n\r\n"]) == ([], status)
    assert all_of([head + b"\r\n\r\n"]) == ([], status), "the second time as well"


def test_a_head_and_a_body_end_at_their_limits() -> None:
    start, end = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    filled = start + b"x" * (HEAD_SIZE_MAX - len(start))
    assert len(all_of([filled + end])[0]) == 1
    assert all_of([filled + b"x" + end]) == ([], 431)
    assert all_of([filled + b"xxxx"]) == ([], 431)
    body = b"x" * BODY_SIZE_MAX
    whole = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % BODY_SIZE_MAX + body
    assert len(all_of([whole, whole])[0]) == 2


@example([b"GET / HTTP/1.1\r\n\r", b"\nGET /x HTTP/1.0\r\n\r\n"])
@given(st.lists(st.binary(max_size=80) | st.sampled_from([TWO[:30], TWO, b"\r\n\r\n", b" /"])))
def test_it_does_not_matter_in_which_pieces_bytes_come(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert all_of(pieces) == all_of([whole])
    assert all_of([whole[at : at + 1] for at in range(len(whole))]) == all_of([whole])


def test_an_answer_says_how_long_it_is_and_whether_it_is_the_last() -> None:
    answer = Response.of({"a": 1})
    whole, head = (answer.encode(head_only=only, last=False) for only in (False, True))
    assert whole == head + b'{"a": 1}\n'
    assert b"\r\nContent-Length: 9\r\n" in head
    assert b"Connection" not in head
    assert b"\r\nConnection: close\r\n" in answer.encode(head_only=False, last=True)


def test_a_compressed_answer_is_the_same_one() -> None:
    plain = Response(body=b"askr_requests_total 1.0\n" * 1000, fields=(("Vary", "x"),))
    packed = plain.packed()
    assert gzip.decompress(packed.body) == plain.body
    assert packed.fields == (("Vary", "x"), ("Content-Encoding", "gzip"))
