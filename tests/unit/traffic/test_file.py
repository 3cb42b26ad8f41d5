# SPDX-License-Identifier: MIT
"""The file of a recording: what was written is read, and nothing else is."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.model import AskrError
from askrctl.traffic.exchange import Body, Exchange
from askrctl.traffic.file import (
    LINE_MAX,
    End,
    Header,
    Recorded,
    end_line,
    exchange_line,
    header_line,
    read_stream,
)

from .samples import answer, exchange, exchanges, request

HEADER = Header(1.0, "/srv/shop", ("cookie",), ("password",))
PLAIN = exchange(request("/a?b=1", fields=(("X", "y"),), body=Body.of(b"z")), answer(201))


def read(*lines: bytes) -> Recorded:
    return read_stream(io.BytesIO(b"".join(lines)), "file")


def read_or_refuse(*lines: bytes) -> tuple[Recorded | None, str]:
    """What was read, or why it was not."""
    try:
        return read(*lines), ""
    except AskrError as error:
        return None, error.message


@given(st.lists(exchanges, max_size=4), st.booleans())
def test_what_was_written_is_read(found: list[Exchange], ended: bool) -> None:
    end = End(len(found), 3, 4) if ended else None
    lines = [header_line(HEADER), *map(exchange_line, found), *([end_line(end)] if end else [])]
    assert all(len(line) <= LINE_MAX for line in lines)
    recorded = read(*lines)
    assert (recorded.header, recorded.exchanges, recorded.end) == (HEADER, tuple(found), end)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with pytest.raises(AskrError):
        read(data)


@given(st.data())
def test_no_change_of_a_line_crashes_the_reader(data: st.DataObject) -> None:
    """Whatever is changed in a good file, it is read or refused with the line's number."""
    good = header_line(HEADER) + exchange_line(PLAIN) + end_line(End(1, 0, 0))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(max_size=3)) + good[at + data.draw(st.integers(0, 3)) :]
    recorded, why = read_or_refuse(bad)
    assert recorded is not None or why.startswith("file, line ") or why == "file is empty"


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path]
    if not isinstance(value, dict | list):
        return found
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found += paths(item, (*path, key))
    return found


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.data())
def test_no_value_in_any_place_crashes_the_reader(data: st.DataObject) -> None:
    value = json.loads(exchange_line(PLAIN))
    path = data.draw(st.sampled_from(paths(value)[1:]))
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(anything)
    recorded, why = read_or_refuse(header_line(HEADER), json.dumps(value).encode() + b"\n")
    if recorded is None:
        assert why.startswith("file, line 2: ")
    else:
        again = exchange_line(recorded.exchanges[0])
        assert read(header_line(HEADER), again) == recorded


def test_half_a_line_at_the_end_is_what_a_killed_recorder_leaves() -> None:
    line = exchange_line(PLAIN)
    recorded = read(header_line(HEADER), line, line[:-20])
    assert (recorded.exchanges, recorded.end) == ((PLAIN,), None)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "file is empty"),
        ([b"{}\n"], "no recording"),
        ([b'{"format":"askr-record","version":2}\n'], "this askrctl reads 1"),
        ([header_line(HEADER).replace(b'"created"', b'"made"')], "unknown key 'made'"),
        ([header_line(HEADER), b"[]\n"], "file, line 2: it is no object"),
        ([header_line(HEADER), end_line(End(1, 0, 0))], "it counts 1 records, 0 are there"),
        ([header_line(HEADER), end_line(End(0, 0, 0)), end_line(End(0, 0, 0))], "behind the last"),
        ([header_line(HEADER), exchange_line(PLAIN).replace(b'"GET"', b'"G T"')], "method"),
        ([header_line(HEADER), exchange_line(PLAIN).replace(b'"/a?b=1"', b'"/a b"')], "target"),
        ([header_line(HEADER), exchange_line(PLAIN).replace(b'"y"', b'"y\\r\\nZ: 1"')], "of X in"),
        ([header_line(HEADER), exchange_line(PLAIN).replace(b'"z"', b'"Z"')], "its size and sha"),
        ([header_line(HEADER), exchange_line(PLAIN).replace(b"201", b"101")], "status must be"),
        ([b" " * LINE_MAX + b"{}\n"], "line 1: it is longer"),
    ],
)
def test_what_is_wrong_is_named(lines: list[bytes], says: str) -> None:
    with pytest.raises(AskrError, match=says.replace("[", r"\[")):
        read(*lines)
