# SPDX-License-Identifier: MIT
"""What a worker sends is taken apart exactly, and nothing else passes for it."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.traffic import datagram
from askrctl.traffic.exchange import Body, Exchange, Fields

from .samples import exchanges


def packed(fields: Fields) -> bytes:
    pairs = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields)
    return b"".join(struct.pack("=2I", len(n), len(v)) + n + v for n, v in pairs)


def content_of(body: Body) -> bytes:
    return body.content or b""


def encode(found: Exchange) -> bytes:
    """As engine/serve/record.c does."""
    request, answer = found.request, found.answer
    texts = [t.encode("latin-1") for t in (request.method, request.target, request.authority)]
    kept = (content_of(request.body), content_of(answer.body))
    head = struct.pack(
        "=10I4q4H2B6x",
        *(0x52534B41, 77, 0, 5, 6, *map(len, texts), *map(len, kept)),
        *(request.body.size, answer.body.size),
        *(round(found.time * 1e9), round(found.duration * 1e9)),
        *(request.version, answer.status, len(request.fields), len(answer.fields)),
        *(ord(found.outcome[0]), request.secure),
    )
    parts = [packed(request.fields), kept[0], packed(answer.fields), kept[1]]
    return b"".join([head, *texts, *parts])


def without_hashes(body: Body) -> tuple[int, bytes | None]:
    return body.size, body.content


@given(exchanges)
def test_a_record_is_read_as_it_was_sent(sent: Exchange) -> None:
    sample = datagram.parse(encode(sent))
    got = sample.exchange
    assert (sample.pid, sample.lost, sample.skipped) == (77, 5, 6)
    assert (got.outcome, got.time, got.duration) == (sent.outcome, sent.time, sent.duration)
    for one, other in ((got.request, sent.request), (got.answer, sent.answer)):
        assert without_hashes(one.body) == without_hashes(other.body)
        assert one.fields == other.fields
    assert got.answer.status == sent.answer.status
    assert got.request.target == sent.request.target


@given(exchanges, st.data())
def test_one_that_is_cut_or_goes_on_is_refused(sent: Exchange, data: st.DataObject) -> None:
    whole = encode(sent)
    with pytest.raises(ValueError, match="it"):
        datagram.parse(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match="behind its end"):
        datagram.parse(whole + b"x")


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(b"AKSR".__add__)))
def test_no_bytes_crash_it(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        datagram.parse(data)
