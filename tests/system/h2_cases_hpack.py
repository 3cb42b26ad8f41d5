# SPDX-License-Identifier: MIT
"""What HPACK demands of a decoder, as data: RFC 7541, section by section, its examples included."""

from system.h2_cases import COMPRESSION, FULL, Case
from system.h2_wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    block,
    frame,
    get,
    integer,
    literal,
    request,
    settings,
    text,
)

GOOD = block(request())
SCHEME_PATH = b"\x86\x84"  # http, /


def heads(*blocks: bytes) -> bytes:
    return b"".join(frame(HEADERS, FULL, 1 + 2 * i, data) for i, data in enumerate(blocks))


def good(section: str, name: str, *blocks: bytes, status: int = 200) -> Case:
    return Case(section, name, heads(*blocks), status=status)


def bad(section: str, name: str, *blocks: bytes) -> Case:
    return Case(section, name, heads(*blocks), connection=(COMPRESSION,))


def hexa(digits: str) -> bytes:
    return bytes.fromhex(digits)


# `a.txt` in the static table's place for :path, with the name indexed.
PATH_INDEXED = integer(4, 4) + text("/a.txt")
AUTHORITY_ADDED = b"\x41" + text("test")  # indexed name 1, added to the dynamic table
REST = b"\x82\x86" + PATH_INDEXED  # GET, http, /a.txt

C3 = (
    hexa("828684410f7777772e6578616d706c652e636f6d"),
    hexa("828684be58086e6f2d6361636865"),
    hexa("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
)
C4 = (
    hexa("828684418cf1e3c2e5f23a6ba0ab90f4ff"),
    hexa("828684be5886a8eb10649cbf"),
    hexa("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
)

CASES = [
    good("2.3.1", "static entries", REST + AUTHORITY_ADDED),
    good("2.3.2", "a dynamic entry in the next head", REST + AUTHORITY_ADDED, REST + b"\xbe"),
    good(
        "2.3.2",
        "the newest entry is first",
        REST + AUTHORITY_ADDED + b"\x40" + text("x") + text("y"),
        REST + b"\xbf\xbe",
    ),
    bad("2.3.3", "index 0", b"\x80" + GOOD),
    bad("2.3.3", "an index past the static table", b"\xbe" + GOOD),
    bad("2.3.3", "an index past the dynamic table", REST + AUTHORITY_ADDED, REST + b"\xbf"),
    bad("2.3.3", "a name's index past the tables", b"\x7f\x20" + text("v") + GOOD),
    bad("2.3.3", "an index of a million", integer(1_000_000, 7, 0x80) + GOOD),
    good("4.2", "table size 0", b"\x20" + GOOD),
    good("4.2", "table size 4096", b"\x3f\xe1\x1f" + GOOD),
    good("4.2", "two updates", b"\x20\x3f\xe1\x1f" + GOOD),
    bad("4.2", "table size 4097", b"\x3f\xe2\x1f" + GOOD),
    bad("4.2", "table size of 4 GiB", integer(0xFFFFFFFF, 5, 0x20) + GOOD),
    bad("4.2", "an update behind a field", GOOD + b"\x20"),
    bad("4.2", "an update between fields", REST + b"\x20" + AUTHORITY_ADDED),
    good("4.3", "a smaller table evicts", REST + AUTHORITY_ADDED, b"\x20" + GOOD),
    bad("4.3", "what was evicted is gone", REST + AUTHORITY_ADDED, b"\x20" + REST + b"\xbe"),
    good(
        "4.4",
        "an entry larger than the table empties it",
        REST + AUTHORITY_ADDED + b"\x40" + text("x") + text("y" * 5000),
        GOOD,
    ),
    bad(
        "4.4",
        "… and nothing is left",
        REST + AUTHORITY_ADDED + b"\x40" + text("x") + text("y" * 5000),
        REST + b"\xbe",
    ),
    good("5.1", "an integer in two bytes", GOOD + literal("x", "y" * 127)),
    good("5.1", "an integer in three bytes", GOOD + literal("x", "y" * 300)),
    good(
        "5.1",
        "an integer with zeros behind",
        GOOD + b"\x00" + text("x") + b"\x7f\x80\x00" + b"y" * 127,
    ),
    bad("5.1", "an integer past 2^32", GOOD + b"\xff" + b"\xff" * 5 + b"\x0f"),
    bad("5.1", "an integer that never ends", GOOD + b"\xff" + b"\x80" * 20),
    bad("5.1", "a length past 2^32", GOOD + b"\x00\x7f" + b"\xff" * 9),
    good("5.2", "Huffman", GOOD + b"\x00" + text("x") + b"\x8c" + hexa("f1e3c2e5f23a6ba0ab90f4ff")),
    good("5.2", "Huffman of no bytes", GOOD + b"\x00" + text("x") + b"\x80"),
    bad("5.2", "Huffman with EOS", GOOD + b"\x00" + text("x") + b"\x84\xff\xff\xff\xfc"),
    bad("5.2", "Huffman padded with zeros", GOOD + b"\x00" + text("x") + b"\x81\x18"),
    bad("5.2", "Huffman padded by a byte", GOOD + b"\x00" + text("x") + b"\x82\x1f\xff"),
    bad("5.2", "Huffman of padding only", GOOD + b"\x00" + text("x") + b"\x81\xff"),
    bad("5.2", "a string longer than the block", GOOD + b"\x00" + text("x") + b"\x7e" + b"y"),
    bad("5.2", "a name without its value", GOOD + b"\x00" + text("x")),
    bad("5.2", "a name cut short", GOOD + b"\x00\x05ab"),
    bad("5.2", "a length cut short", GOOD + b"\x00\x7f"),
    good("6.1", "every static name of a request", b"\x82\x87\x04\x06/a.txt" + AUTHORITY_ADDED),
    good("6.2.1", "indexed with a new name", GOOD + literal("x", "y", 0x40)),
    good("6.2.2", "not indexed, with an indexed name", GOOD + integer(58, 4) + text("agent")),
    bad("6.2.2", "not indexed leaves no entry", GOOD + literal("x", "y"), REST + b"\xbe"),
    good("6.2.3", "never indexed", GOOD + literal("x", "y", 0x10)),
    bad("6.2.3", "never indexed leaves no entry", GOOD + literal("x", "y", 0x10), REST + b"\xbe"),
    good("6.2.3", "never indexed, with an indexed name", GOOD + integer(23, 4, 0x10) + text("b")),
    bad("6.3", "a size update alone, cut short", b"\x3f\xe1"),
    Case("6.3", "an update after SETTINGS", settings((1, 0)) + heads(b"\x20" + GOOD), status=200),
    good(
        "C.2.1", "the example", GOOD + hexa("400a637573746f6d2d6b65790d637573746f6d2d686561646572")
    ),
    good("C.3.1", "the example", C3[0], status=404),
    good("C.3.2", "the example", *C3[:2], status=404),
    good("C.3.3", "the example", *C3, status=404),
    good("C.4.1", "the example", C4[0], status=404),
    good("C.4.2", "the example", *C4[:2], status=404),
    good("C.4.3", "the example", *C4, status=404),
    Case(
        "4.3",
        "the table lives on when a stream is refused",
        frame(HEADERS, FULL, 1, REST + AUTHORITY_ADDED + literal("X", "1"))
        + frame(HEADERS, FULL, 3, REST + b"\xbe"),
        stream=(1,),
    ),
    Case(
        "4.3",
        "… and over CONTINUATION",
        frame(HEADERS, END_STREAM, 1, REST)
        + frame(CONTINUATION, END_HEADERS, 1, AUTHORITY_ADDED)
        + frame(HEADERS, FULL, 3, REST + b"\xbe"),
        status=200,
    ),
    Case("4.3", "a head of no bytes", frame(HEADERS, FULL, 1) + get(3), stream=(1,)),
]
