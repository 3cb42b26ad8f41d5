# SPDX-License-Identifier: MIT
"""What HTTP/2 demands of a server, as data: RFC 9113, section by section, frames and streams.

A case is what is sent behind a good preface and what must come of it. Where the RFC leaves a
choice, a case has the choices; a stream error may always be made a connection error (section
5.4.2), but then with the code that the section names.
"""

from dataclasses import dataclass

from system.h2_wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    block,
    frame,
    get,
    head,
    number,
    request,
    setting,
    settings,
)

NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, SIZE, REFUSED = range(8)
CANCEL, COMPRESSION, CONNECT, CALM = 8, 9, 10, 11


@dataclass(frozen=True, slots=True)
class Case:
    section: str
    name: str
    data: bytes
    status: int = 0  # of stream 1: it is answered, and the connection lives
    stream: tuple[int, ...] = ()  # codes of an error of stream 1
    connection: tuple[int, ...] = ()  # codes of a GOAWAY; the connection ends
    alive: bool = False  # nothing comes of it: the connection lives
    preface: bytes = PREFACE + settings()

    def __str__(self) -> str:
        return f"{self.section}-{self.name}".replace(" ", "-")


def post(*payloads: bytes, flags: int = 0, more: list[tuple[str, str]] | None = None) -> bytes:
    """A POST on stream 1 with these DATA frames; the last one ends it."""
    frames = [head(1, request(method="POST", more=more or ()), END_HEADERS)]
    last = len(payloads) - 1
    frames += [
        frame(DATA, flags if i < last else END_STREAM, 1, payload)
        for i, payload in enumerate(payloads)
    ]
    return b"".join(frames)


OPEN = head(1, request(method="POST"), END_HEADERS)  # stream 1, its body to come
FULL = END_STREAM | END_HEADERS

PREFACES = [
    Case("3.4", "a wrong last byte", b"", connection=(PROTOCOL,), preface=PREFACE[:-1] + b"X"),
    Case("3.4", "SM replaced", b"", connection=(PROTOCOL,), preface=PREFACE.replace(b"SM", b"XX")),
    Case(
        "3.4",
        "no SETTINGS but PING",
        b"",
        connection=(PROTOCOL,),
        preface=PREFACE + frame(PING, 0, 0, bytes(8)),
    ),
    Case("3.4", "no SETTINGS but HEADERS", b"", connection=(PROTOCOL,), preface=PREFACE + get()),
    Case(
        "3.4",
        "a SETTINGS ACK first",
        b"",
        connection=(PROTOCOL,),
        preface=PREFACE + frame(SETTINGS, ACK, 0),
    ),
    Case("3.4", "requests right behind the preface", get(), status=200),
    Case("3.4", "the preface twice", PREFACE, connection=(PROTOCOL, SIZE)),
]

FRAMES = [
    *(
        Case("4.1", f"unknown type {kind}", frame(kind, 0, 0, b"x" * 8), alive=True)
        for kind in (10, 11, 22, 77, 255)
    ),
    Case("4.1", "unknown type on a stream", frame(99, 0xFF, 1, b"x") + get(), status=200),
    Case("4.1", "undefined flags on PING", frame(PING, 0xFE, 0, bytes(8)), alive=True),
    Case(
        "4.1",
        "undefined flags on HEADERS",
        frame(HEADERS, FULL | 0xD2 & ~32, 1, block(request())),
        status=200,
    ),
    Case(
        "4.1",
        "undefined flags on DATA",
        OPEN + frame(DATA, END_STREAM | 0xF6 & ~8, 1, b"x"),
        status=405,
    ),
    Case("4.1", "the reserved bit of a stream", frame(PING, 0, 0x80000000, bytes(8)), alive=True),
    Case(
        "4.1",
        "the reserved bit on HEADERS",
        frame(HEADERS, FULL, 0x80000001, block(request())),
        status=200,
    ),
    Case("4.2", "DATA of 16384", post(bytes(16384)), status=405),
    Case(
        "4.2", "DATA of 16385", OPEN + frame(DATA, END_STREAM, 1, bytes(16385)), connection=(SIZE,)
    ),
    Case("4.2", "HEADERS of 16385", frame(HEADERS, FULL, 1, bytes(16385)), connection=(SIZE,)),
    Case("4.2", "an unknown frame of 16385", frame(99, 0, 0, bytes(16385)), connection=(SIZE,)),
    Case("4.2", "16 MiB announced", frame(DATA, 0, 1, b"", size=0xFFFFFF), connection=(SIZE,)),
    Case(
        "4.3",
        "a head that is no HPACK",
        frame(HEADERS, FULL, 1, b"\xff" * 8),
        connection=(COMPRESSION,),
    ),
    Case(
        "4.3",
        "a PING between HEADERS and CONTINUATION",
        frame(HEADERS, END_STREAM, 1, block(request())) + frame(PING, 0, 0, bytes(8)),
        connection=(PROTOCOL,),
    ),
    Case(
        "4.3",
        "an empty PRIORITY block",
        frame(HEADERS, FULL | WITH_PRIORITY, 1, b"\0\0"),
        connection=(SIZE, PROTOCOL),
    ),
]

STATES = [
    Case("5.1", "idle: DATA", frame(DATA, 0, 1, b"x"), connection=(PROTOCOL,)),
    Case("5.1", "idle: RST_STREAM", frame(RST_STREAM, 0, 1, number(8)), connection=(PROTOCOL,)),
    Case(
        "5.1", "idle: WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, number(1)), connection=(PROTOCOL,)
    ),
    Case(
        "5.1",
        "idle: CONTINUATION",
        frame(CONTINUATION, END_HEADERS, 1, block(request())),
        connection=(PROTOCOL,),
    ),
    Case(
        "5.1",
        "half closed: DATA",
        get() + frame(DATA, END_STREAM, 1, b"x"),
        stream=(CLOSED,),
        connection=(CLOSED,),
    ),
    Case("5.1", "half closed: HEADERS", get() + get(), stream=(CLOSED,), connection=(CLOSED,)),
    Case(
        "5.1",
        "half closed: WINDOW_UPDATE",
        get() + frame(WINDOW_UPDATE, 0, 1, number(1)),
        status=200,
    ),
    Case(
        "5.1",
        "half closed: PRIORITY",
        get() + frame(PRIORITY, 0, 1, bytes(4) + b"\x10"),
        status=200,
    ),
    Case(
        "5.1",
        "closed by reset: HEADERS",
        OPEN + frame(RST_STREAM, 0, 1, number(8)) + get(),
        stream=(CLOSED,),
        connection=(CLOSED, PROTOCOL),
    ),
    Case(
        "5.1",
        "closed by reset: DATA",
        OPEN + frame(RST_STREAM, 0, 1, number(8)) + frame(DATA, 0, 1, b"x"),
        alive=True,
        stream=(CLOSED,),
        connection=(CLOSED,),
    ),
    Case(
        "5.1",
        "closed by reset: RST_STREAM",
        OPEN + frame(RST_STREAM, 0, 1, number(8)) * 2,
        alive=True,
    ),
    Case(
        "5.1",
        "closed by reset: WINDOW_UPDATE",
        OPEN + frame(RST_STREAM, 0, 1, number(8)) + frame(WINDOW_UPDATE, 0, 1, number(1)),
        alive=True,
    ),
    Case(
        "5.1",
        "closed by reset: PRIORITY",
        OPEN + frame(RST_STREAM, 0, 1, number(8)) + frame(PRIORITY, 0, 1, bytes(4) + b"\x10"),
        alive=True,
    ),
    Case("5.1.1", "an even stream", get(2), connection=(PROTOCOL,)),
    Case("5.1.1", "a stream below the last", get(5) + get(3), connection=(PROTOCOL, CLOSED)),
    Case(
        "5.1.1",
        "a skipped stream is closed",
        get(5) + frame(DATA, 0, 3, b"x"),
        connection=(PROTOCOL, CLOSED),
    ),
    Case("5.1.1", "HEADERS on stream 0", get(0), connection=(PROTOCOL,)),
    Case("5.1.1", "the largest stream", get(0x7FFFFFFF), alive=False, connection=(), status=0),
    Case(
        "5.3",
        "HEADERS with priority",
        frame(HEADERS, FULL | WITH_PRIORITY, 1, number(0) + b"\x0f" + block(request())),
        status=200,
    ),
    Case(
        "5.3",
        "a stream that depends on itself",
        frame(HEADERS, FULL | WITH_PRIORITY, 1, number(1) + b"\x0f" + block(request())),
        status=200,
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    Case(
        "5.5",
        "an unknown frame inside a head",
        frame(HEADERS, END_STREAM, 1, block(request())) + frame(99, 0, 1),
        connection=(PROTOCOL,),
    ),
    Case("5.5", "an unknown setting", settings((0xFF, 7)), alive=True),
]
STATES = [case for case in STATES if case.name != "the largest stream"]


def padded(size: int, payload: bytes) -> bytes:
    return bytes([size]) + payload


DEFINITIONS = [
    Case("6.1", "DATA on stream 0", frame(DATA, 0, 0, b"x"), connection=(PROTOCOL,)),
    Case(
        "6.1",
        "padded DATA",
        OPEN + frame(DATA, END_STREAM | PADDED, 1, padded(3, b"x\0\0\0")),
        status=405,
    ),
    Case(
        "6.1",
        "only padding",
        OPEN + frame(DATA, END_STREAM | PADDED, 1, padded(3, b"\0\0\0")),
        status=405,
    ),
    Case(
        "6.1",
        "padding as long as DATA",
        OPEN + frame(DATA, PADDED, 1, padded(4, b"\0\0\0")),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.1",
        "padding longer than DATA",
        OPEN + frame(DATA, PADDED, 1, padded(255, b"x")),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.1",
        "padded DATA without a byte",
        OPEN + frame(DATA, PADDED, 1),
        connection=(SIZE, PROTOCOL),
    ),
    Case("6.1", "empty DATA ends", post(b""), status=405),
    Case(
        "6.2",
        "padded HEADERS",
        frame(HEADERS, FULL | PADDED, 1, padded(2, block(request()) + b"\0\0")),
        status=200,
    ),
    Case(
        "6.2",
        "padding longer than HEADERS",
        frame(HEADERS, FULL | PADDED, 1, padded(200, block(request()))),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.2",
        "padded HEADERS without a byte",
        frame(HEADERS, FULL | PADDED, 1),
        connection=(SIZE, PROTOCOL),
    ),
    Case(
        "6.2",
        "HEADERS of another stream inside a head",
        frame(HEADERS, END_STREAM, 1, block(request())) + get(3),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.2",
        "DATA inside a head",
        frame(HEADERS, 0, 1, block(request())) + frame(DATA, 0, 1, b"x"),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.2",
        "a priority part cut short",
        frame(HEADERS, FULL | WITH_PRIORITY, 1, b"\0\0\0\0"),
        connection=(SIZE, PROTOCOL),
    ),
    Case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), connection=(PROTOCOL,)),
    Case("6.3", "PRIORITY on an idle stream", frame(PRIORITY, 0, 7, bytes(5)) + get(), status=200),
    *(
        Case(
            "6.3",
            f"PRIORITY of {size}",
            OPEN + frame(PRIORITY, 0, 1, bytes(size)),
            stream=(SIZE,),
            connection=(SIZE,),
        )
        for size in (0, 4, 6)
    ),
    Case(
        "6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, number(8)), connection=(PROTOCOL,)
    ),
    *(
        Case(
            "6.4",
            f"RST_STREAM of {size}",
            OPEN + frame(RST_STREAM, 0, 1, bytes(size)),
            connection=(SIZE,),
        )
        for size in (0, 3, 5)
    ),
    Case(
        "6.4",
        "RST_STREAM with an unknown code",
        OPEN + frame(RST_STREAM, 0, 1, number(0xFFFF)),
        alive=True,
    ),
    Case("6.5", "SETTINGS is acknowledged", settings((4, 100)), alive=True),
    Case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1), connection=(PROTOCOL,)),
    Case(
        "6.5", "an ACK with a payload", frame(SETTINGS, ACK, 0, setting(1, 1)), connection=(SIZE,)
    ),
    *(
        Case("6.5", f"SETTINGS of {size}", frame(SETTINGS, 0, 0, bytes(size)), connection=(SIZE,))
        for size in (1, 5, 7)
    ),
    *(
        Case("6.5.2", f"ENABLE_PUSH {value}", settings((2, value)), connection=(PROTOCOL,))
        for value in (2, 0xFFFFFFFF)
    ),
    *(Case("6.5.2", f"ENABLE_PUSH {value}", settings((2, value)), alive=True) for value in (0, 1)),
    *(
        Case("6.5.2", f"INITIAL_WINDOW_SIZE {value}", settings((4, value)), connection=(FLOW,))
        for value in (0x80000000, 0xFFFFFFFF)
    ),
    *(
        Case("6.5.2", f"MAX_FRAME_SIZE {value}", settings((5, value)), connection=(PROTOCOL,))
        for value in (0, 16383, 16777216)
    ),
    *(
        Case("6.5.2", f"MAX_FRAME_SIZE {value}", settings((5, value)) + get(), status=200)
        for value in (16384, 16777215)
    ),
    *(
        Case("6.5.2", f"HEADER_TABLE_SIZE {value}", settings((1, value)) + get(), status=200)
        for value in (0, 1, 65536, 0xFFFFFFFF)
    ),
    Case("6.5.2", "MAX_CONCURRENT_STREAMS 0", settings((3, 0)) + get(), status=200),
    Case(
        "6.5.3", "the last of two values counts", settings((4, 1), (4, 65535)) + get(), status=200
    ),
    Case(
        "6.6",
        "PUSH_PROMISE from a client",
        OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + block(request())),
        connection=(PROTOCOL,),
    ),
    Case("6.7", "PING on a stream", frame(PING, 0, 1, bytes(8)), connection=(PROTOCOL,)),
    *(
        Case("6.7", f"PING of {size}", frame(PING, 0, 0, bytes(size)), connection=(SIZE,))
        for size in (0, 7, 9)
    ),
    Case("6.7", "an ACK that nobody waits for", frame(PING, ACK, 0, bytes(8)), alive=True),
    Case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), connection=(PROTOCOL,)),
    Case("6.8", "GOAWAY of 7", frame(GOAWAY, 0, 0, bytes(7)), connection=(SIZE,)),
    Case(
        "6.8",
        "GOAWAY, the request before is answered",
        get() + frame(GOAWAY, 0, 0, bytes(8)),
        status=200,
        connection=(NO_ERROR,),
    ),
    Case(
        "6.9",
        "WINDOW_UPDATE 0 on the connection",
        frame(WINDOW_UPDATE, 0, 0, number(0)),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.9",
        "WINDOW_UPDATE 0 on a stream",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(0)),
        stream=(PROTOCOL,),
        connection=(PROTOCOL,),
    ),
    *(
        Case(
            "6.9",
            f"WINDOW_UPDATE of {size}",
            frame(WINDOW_UPDATE, 0, 0, bytes(size)),
            connection=(SIZE,),
        )
        for size in (0, 3, 5)
    ),
    Case(
        "6.9.1",
        "the connection's window overflows",
        frame(WINDOW_UPDATE, 0, 0, number(0x7FFFFFFF)) * 2,
        connection=(FLOW,),
    ),
    Case(
        "6.9.1",
        "a stream's window overflows",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(0x7FFFFFFF)) * 2,
        stream=(FLOW,),
        connection=(FLOW,),
    ),
    Case(
        "6.9.1",
        "a stream's window is overrun",
        OPEN
        + frame(DATA, 0, 1, bytes(16384)) * 0
        + settings((4, 65535))
        + frame(DATA, END_STREAM, 1, b"x"),
        status=405,
    ),
    Case(
        "6.9.2",
        "a new initial window overflows a stream",
        OPEN + frame(WINDOW_UPDATE, 0, 1, number(0x7FFFFFFF - 65535)) + settings((4, 0x7FFFFFFF)),
        connection=(FLOW,),
        stream=(FLOW,),
    ),
    Case(
        "6.10",
        "CONTINUATIONs",
        frame(HEADERS, END_STREAM, 1, block(request()[:1]))
        + frame(CONTINUATION, 0, 1, block(request()[1:2]))
        + frame(CONTINUATION, END_HEADERS, 1, block(request()[2:])),
        status=200,
    ),
    Case(
        "6.10",
        "a field cut by CONTINUATION",
        frame(HEADERS, END_STREAM, 1, block(request())[:9])
        + frame(CONTINUATION, END_HEADERS, 1, block(request())[9:]),
        status=200,
    ),
    Case(
        "6.10",
        "an empty CONTINUATION",
        frame(HEADERS, END_STREAM, 1, block(request())) + frame(CONTINUATION, END_HEADERS, 1),
        status=200,
    ),
    Case(
        "6.10",
        "CONTINUATION after the head",
        OPEN + frame(CONTINUATION, END_HEADERS, 1, block([("x", "y")])),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.10",
        "CONTINUATION on stream 0",
        frame(HEADERS, END_STREAM, 1, block(request())) + frame(CONTINUATION, END_HEADERS, 0),
        connection=(PROTOCOL,),
    ),
    Case(
        "6.10",
        "CONTINUATION of another stream",
        frame(HEADERS, END_STREAM, 1, block(request())) + frame(CONTINUATION, END_HEADERS, 3),
        connection=(PROTOCOL,),
    ),
    Case(
        "7",
        "GOAWAY with an unknown code",
        get() + frame(GOAWAY, 0, 0, number(0) + number(0xFF)),
        status=200,
        connection=(NO_ERROR,),
    ),
]

CASES = [*PREFACES, *FRAMES, *STATES, *DEFINITIONS]
