# SPDX-License-Identifier: MIT
"""What HTTP/2 demands of a request, as data: RFC 9113 section 8, RFC 9218, and the edge of 8441."""

from system.h2_cases import CLOSED, OPEN, PROTOCOL, SIZE, Case, post
from system.h2_wire import (
    DATA,
    END_HEADERS,
    PRIORITY_UPDATE,
    frame,
    get,
    head,
    number,
    request,
)


def bad_head(section: str, name: str, *fields: tuple[str, str]) -> Case:
    return Case(section, name, head(1, fields), stream=(PROTOCOL,), connection=(PROTOCOL,))


def bad_field(section: str, name: str, key: str, value: str) -> Case:
    return bad_head(section, name, *request(more=[(key, value)]))


METHOD, SCHEME, PATH, AUTHORITY = request()

CASES = [
    Case(
        "8.1",
        "trailers",
        post(b"x", flags=0)[: -len(frame(DATA, 1, 1, b"x"))]
        + frame(DATA, 0, 1, b"x")
        + head(1, [("x-sum", "1")]),
        status=405,
    ),
    Case(
        "8.1",
        "trailers that end nothing",
        OPEN + frame(DATA, 0, 1, b"x") + head(1, [("x-sum", "1")], END_HEADERS),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    Case(
        "8.1",
        "a pseudo-field in trailers",
        OPEN + frame(DATA, 0, 1, b"x") + head(1, [(":path", "/")]),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    Case(
        "8.1",
        "DATA after trailers",
        OPEN + frame(DATA, 0, 1, b"x") + head(1, [("x-sum", "1")]) + frame(DATA, 0, 1, b"x"),
        stream=(CLOSED,),
        connection=(CLOSED,),
    ),
    *(
        Case(
            "8.1.1",
            f"content-length {length} for {size} bytes",
            post(b"x" * size, more=[("content-length", length)]),
            stream=(PROTOCOL,),
            connection=(PROTOCOL,),
        )
        for length, size in (("1", 0), ("5", 4), ("5", 6))
    ),
    Case(
        "8.1.1",
        "content-length 0 for 1 byte, which may be answered before the byte comes",
        post(b"x", more=[("content-length", "0")]),
        stream=(PROTOCOL,),
        status=405,
    ),
    Case(
        "8.1.1",
        "content-length over two frames",
        post(b"ab", b"c", more=[("content-length", "4")]),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    Case(
        "8.1.1",
        "content-length that fits",
        post(b"ab", b"c", more=[("content-length", "3")]),
        status=405,
    ),
    Case(
        "8.1.1",
        "content-length without a body",
        head(1, request(method="POST", more=[("content-length", "3")])),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    *(
        Case(
            "8.1.1",
            f"content-length {name}",
            post(b"abc", more=more),
            stream=(PROTOCOL,),
            connection=(PROTOCOL,),
        )
        for name, more in (
            ("twice", [("content-length", "3"), ("content-length", "3")]),
            ("signed", [("content-length", "+3")]),
            ("negative", [("content-length", "-3")]),
            ("in hex", [("content-length", "0x3")]),
            ("empty", [("content-length", "")]),
            ("a list", [("content-length", "3, 3")]),
            ("huge", [("content-length", "9" * 30)]),
        )
    ),
    bad_field("8.2", "an upper-case name", "X-Test", "1"),
    *(
        bad_field("8.2.1", f"{what} in a name", f"x{char}y", "1")
        for what, char in (
            ("a space", " "),
            ("NUL", "\0"),
            ("CR", "\r"),
            ("LF", "\n"),
            ("a colon", ":"),
            ("DEL", "\x7f"),
            ("an upper-case letter", "Q"),
            ("a byte past ASCII", "\xe4"),
        )
    ),
    bad_field("8.2.1", "an empty name", "", "1"),
    *(
        bad_field("8.2.1", f"{what} in a value", "x", f"a{char}b")
        for what, char in (("NUL", "\0"), ("CR", "\r"), ("LF", "\n"), ("CRLF", "\r\n"))
    ),
    *(
        bad_field("8.2.1", f"{what} around a value", "x", value)
        for what, value in (
            ("a space before", " a"),
            ("a space behind", "a "),
            ("a tab before", "\ta"),
            ("a tab behind", "a\t"),
        )
    ),
    Case("8.2.1", "an empty value", get(more=[("x", "")]), status=200),
    Case("8.2.1", "bytes past ASCII in a value", get(more=[("x", "\xe4")]), status=200),
    *(
        bad_field("8.2.2", f"{name} {value}", name, value)
        for name, value in (
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
        )
    ),
    Case("8.2.2", "te: trailers", get(more=[("te", "trailers")]), status=200),
    Case(
        "8.2.3",
        "cookies one by one",
        get(more=[("cookie", f"c{i}=1") for i in range(150)]),
        status=200,
    ),
    bad_field("8.3", "an unknown pseudo-field", ":x", "1"),
    bad_field("8.3", "a response's pseudo-field", ":status", "200"),
    bad_field("8.3", "an empty pseudo-field", ":", "1"),
    *(
        bad_head(
            "8.3",
            f"{field[0]} after a regular field",
            *[other for other in request() if other != field],
            ("x", "1"),
            field,
        )
        for field in request()
    ),
    *(bad_head("8.3", f"{field[0]} twice", *request(), field) for field in request()),
    *(
        bad_head("8.3.1", f"no {field[0]}", *[other for other in request() if other != field])
        for field in request()[:3]
    ),
    bad_head("8.3.1", "no host at all", METHOD, SCHEME, PATH),
    bad_head("8.3.1", "nothing", ("x", "1")),
    bad_head("8.3.1", "an empty path", METHOD, SCHEME, (":path", ""), AUTHORITY),
    bad_head("8.3.1", "a path without its slash", METHOD, SCHEME, (":path", "a.txt"), AUTHORITY),
    bad_head("8.3.1", "* for GET", METHOD, SCHEME, (":path", "*"), AUTHORITY),
    bad_head("8.3.1", "a method that is no token", (":method", "G T"), SCHEME, PATH, AUTHORITY),
    bad_head("8.3.1", "an empty method", (":method", ""), SCHEME, PATH, AUTHORITY),
    bad_head("8.3.1", "a path with a space", METHOD, SCHEME, (":path", "/a b"), AUTHORITY),
    bad_head("8.3.1", "a path with NUL", METHOD, SCHEME, (":path", "/a\0b"), AUTHORITY),
    bad_head("8.3.1", "an authority with a space", METHOD, SCHEME, PATH, (":authority", "a b")),
    Case(
        "8.3.1",
        "* for OPTIONS",
        head(1, [(":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY]),
        status=204,
    ),
    Case(
        "8.3.1",
        "host without :authority",
        head(1, [METHOD, SCHEME, PATH, ("host", "test")]),
        status=200,
    ),
    Case("8.3.1", "host that says the same", get(more=[("host", "test")]), status=200),
    Case("8.3.1", "host that says something else", get(more=[("host", "other")]), status=400),
    Case(
        "8.3.1",
        "two hosts",
        get(more=[("host", "test"), ("host", "test")]),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    Case(
        "8.3.1",
        "an authority that is a list",
        head(1, [METHOD, SCHEME, PATH, (":authority", "a,b")]),
        status=400,
        stream=(PROTOCOL,),
    ),
    Case(
        "8.3.1",
        "a user in the authority",
        head(1, [METHOD, SCHEME, PATH, (":authority", "me@test")]),
        status=400,
        stream=(PROTOCOL,),
    ),
    Case(
        "8.3.1",
        "a fragment in the path",
        head(1, [METHOD, SCHEME, (":path", "/a.txt#b"), AUTHORITY]),
        status=400,
        stream=(PROTOCOL,),
    ),
    Case(
        "8.3.1",
        "scheme https",
        head(1, [METHOD, (":scheme", "https"), PATH, AUTHORITY]),
        status=200,
    ),
    bad_head("8.3.1", "a scheme that is none", METHOD, (":scheme", "1 2"), PATH, AUTHORITY),
    Case("8.5", "CONNECT", head(1, [(":method", "CONNECT"), AUTHORITY], END_HEADERS), status=501),
    bad_head("8.5", "CONNECT with a path", (":method", "CONNECT"), PATH, AUTHORITY),
    bad_head("8.5", "CONNECT with a scheme", (":method", "CONNECT"), SCHEME, AUTHORITY),
    bad_head("8.5", "CONNECT without an authority", (":method", "CONNECT")),
    Case(
        "RFC 8441 3",
        "CONNECT with a protocol that was not offered",
        head(
            1,
            [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY],
            END_HEADERS,
        ),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    *(
        Case("RFC 9218 5", f"priority: {value}", get(more=[("priority", value)]), status=200)
        for value in ("u=0", "u=7, i", "i=?0", "u=9", "", "nonsense;;", "u=1, u=2")
    ),
    Case(
        "RFC 9218 7.1",
        "PRIORITY_UPDATE",
        get() + frame(PRIORITY_UPDATE, 0, 0, number(1) + b"u=1, i"),
        status=200,
    ),
    Case(
        "RFC 9218 7.1",
        "PRIORITY_UPDATE before its stream",
        frame(PRIORITY_UPDATE, 0, 0, number(1) + b"u=1") + get(),
        status=200,
    ),
    Case(
        "RFC 9218 7.1",
        "PRIORITY_UPDATE on a stream",
        OPEN + frame(PRIORITY_UPDATE, 0, 1, number(1) + b"u=1"),
        connection=(PROTOCOL,),
    ),
    Case(
        "RFC 9218 7.1",
        "PRIORITY_UPDATE of stream 0",
        frame(PRIORITY_UPDATE, 0, 0, number(0) + b"u=1"),
        connection=(PROTOCOL,),
    ),
    Case(
        "RFC 9218 7.1",
        "PRIORITY_UPDATE of 3",
        frame(PRIORITY_UPDATE, 0, 0, bytes(3)),
        connection=(SIZE, PROTOCOL),
    ),
]
