# SPDX-License-Identifier: MIT
"""Our HTTP/1.1 reader against llhttp (Node's parser, through httptools) on generated input.

Thousands of requests from a grammar, most of them damaged a little, are given to both. Where the
two differ, the difference must be one of those explained below, and each explanation must still be
needed: the tables cannot outlive their reasons. llhttp's own reasons are those of httptools 0.9.
"""

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httptools
import pytest

from .h1_inputs import inputs

ROOT = Path(__file__).parents[2]
CASES = 20_000
SEED = 9112

# What we refuse and llhttp takes: our reason, the shape of the input, why it is meant.
STRICTER = {
    "no Host": (rb"", "llhttp does not look at Host"),
    "more than one Host": (rb"\nhost:.*\nhost:", "llhttp does not look at Host"),
    "Host is not a host": (rb"\nhost:[^\r]*[^\r\w.]", "llhttp does not look at Host"),
    "Expect is not 100-continue": (rb"\nexpect:", "llhttp leaves expectations to its caller"),
    "CONNECT is for proxies": (rb"CONNECT ", "llhttp reads for proxies too"),
    "Content-Length is not a number": (rb"9{19}", "llhttp counts to 64 bits; a file has 63"),
    "the body is too large": (rb"\n20{5,}|9{18}|f{15}|01234567\r", "llhttp knows no limits"),
    "too many empty lines before a request": (rb"(\r\n){5}", "llhttp knows no limits"),
    "a chunk size has too many digits": (
        rb"\n[0-9a-f]{16}",
        "llhttp takes any number of leading zeros, and 64 bits, where a file has 63",
    ),
    "a chunk extension is malformed": (rb"[;=][;=\r]|\w\"", "llhttp takes empty names and values"),
    "Transfer-Encoding in HTTP/1.0": (
        rb"HTTP/1.0\r.*\ntransfer-encoding:",
        "RFC 9112 section 6.1: a server must treat the framing as faulty; llhttp goes by it",
    ),
    "Transfer-Encoding is not exactly chunked": (
        rb"\ntransfer-encoding:[^\r]*,[ \t]*chunked|(\ntransfer-encoding:.*){2}",
        "llhttp undoes the last coding and leaves others to its caller; we know no other",
    ),
    "the request is not in HTTP/1": (
        rb"HTTP/(0.9|2.0)",
        "llhttp reads the fields of HTTP/0.9 and 2.0, which have none in this form",
    ),
    "the request line does not begin with a method": (
        rb"(^|[^\r])\n|\r([^\n]|$)|\r\n\r\n.{4}\r\n",
        "llhttp skips CR and LF in any order before a request",
    ),
    "the request line does not end with an HTTP version": (
        rb" {2}",
        "llhttp skips spaces behind the target",
    ),
    "the request target is empty or has a forbidden byte": (
        rb"#| {2}|(^|\n|abcde)\S+ \S*\r?\n",
        "llhttp takes fragments, several spaces, and HTTP/0.9 requests without a version",
    ),
    "the request target is neither a path nor an http URL": (
        rb" (\*|\w+:)\S* ",
        "llhttp takes any scheme, and * for every method",
    ),
    "the request target's authority is not a host": (rb" https?://", "llhttp takes no URL apart"),
    "the request target has a query but no path": (
        rb" https?://[^/ ]*\?",
        "our target is a slice of the input, and no '/' can be put into that",
    ),
}

# What llhttp refuses and we take.
LENIENT = {
    "Invalid method encountered": (
        rb"",
        "llhttp has a list of methods; RFC 9110 section 9.1 lets any token be one",
    ),
    "Expected space after method": (rb"", "the same, where a method begins like one on the list"),
    "Expected HTTP/2 Connection Preface": (rb"PRI ", "the same: it is one only with HTTP/2.0"),
    "Invalid HTTP version": (rb"HTTP/1.2", "RFC 9110 section 2.5: a later 1.x is read as 1.1"),
    "Invalid char in url path": (rb"[\x80-\xff]", "browsers and PHP applications send raw UTF-8"),
    "Invalid char in url query": (rb"[\x80-\xff]", "browsers and PHP applications send raw UTF-8"),
    "Request has invalid `Transfer-Encoding`": (
        rb"chunked[ \t]+\r",
        "white space behind a value is no part of it, RFC 9110 section 5.5",
    ),
}

# Both take it, but we close the connection afterwards and llhttp would not.
CLOSES_WINS = (
    rb"HTTP/1.0\r.*\nconnection:",
    "RFC 9112 section 9.3: with close and keep-alive, close decides, in 1.0 too",
)


@dataclass(slots=True)
class Message:
    method: str = ""
    target: str = ""
    version: str = ""
    keep_alive: bool = False
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""


@dataclass(slots=True)
class Reading:
    """The complete messages of an input, and what became of the rest."""

    messages: list[Message] = field(default_factory=list)
    reason: str = ""  # why the next message was refused; "" if it was not
    waiting: bool = False  # it has begun and is not complete
    upgraded: bool = False  # llhttp stops here: what follows may be another protocol


@pytest.fixture(scope="module")
def h1_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/engine/h1_events: of the build that ASKR_C_BUILD names, else compiled here, in a
    second, so that this suite needs no other and never runs a stale binary."""
    build = os.environ.get("ASKR_C_BUILD")
    if build is not None:
        binary = Path(build) / "tests/engine/h1_events"
        assert binary.exists(), f"{binary} is missing: ninja -C {build} tests/engine/h1_events"
        return binary
    compiler = shutil.which("cc")
    assert compiler is not None, "no C compiler: ./dev test unit installs one"
    binary = tmp_path_factory.mktemp("h1") / "h1_events"
    engine = ROOT / "askrctl/engine"
    sources = [ROOT / "tests/engine/h1_events.c", engine / "base/http.c"]
    sources += sorted((engine / "proto").glob("h1*.c"))
    flags = ["-std=gnu11", "-O1", f"-I{engine}", f"-I{engine}/include"]
    done = subprocess.run(
        [compiler, *flags, *sources, "-o", binary], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return binary


def reading_of(trace: list[str]) -> Reading:
    """A trace of tests/engine/h1_trace.h, taken apart."""
    reading, message = Reading(), Message()
    for line in trace:
        word, _, rest = line.partition(" ")
        if word.endswith(":"):
            message.fields.append((word[:-1], rest))
        elif word == "body":
            message.body = re.sub(r"\\x(..)", lambda hexed: chr(int(hexed[1], 16)), rest)
        elif line == "end":
            reading.messages.append(message)
        elif word == "reason":
            reading.reason = rest
        elif line == "more":
            reading.waiting = True
        elif word != "error":
            target, _, version, *flags = rest.split(" ")
            message = Message(word, target, version, "keep" in flags)
    return reading


def read_with_ours(binary: Path, data: list[bytes]) -> Iterator[Reading]:
    frames = b"".join(struct.pack(">I", len(item)) + item for item in data)
    done = subprocess.run([binary], input=frames, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    trace: list[str] = []
    for line in done.stdout.decode("latin-1").split("\n"):
        if line == ".":
            yield reading_of(trace)
            trace = []
        else:
            trace.append(line)


def in_origin_form(message: Message, url: str) -> None:
    """What we make of an absolute target, which llhttp hands out as it is: the path, and Host."""
    message.target = url
    absolute = re.fullmatch(r"https?://([^/?]*)(.*)", url, re.IGNORECASE)
    if absolute is None:
        return
    message.target = absolute[2] or ("*" if message.method == "OPTIONS" else "/")
    message.fields = [
        (name, absolute[1] if name.lower() == "host" else value) for name, value in message.fields
    ]


class Listener:
    """httptools calls these by name."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.message = Message()
        self.url = b""
        self.in_trailers = False
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.reading.waiting = True
        self.message, self.url, self.in_trailers = Message(), b"", False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_trailers:  # llhttp leaves white space behind a value to its caller
            pair = (name.decode("latin-1"), value.decode("latin-1").rstrip(" \t"))
            self.message.fields.append(pair)

    def on_headers_complete(self) -> None:
        self.in_trailers = True
        self.message.method = self.parser.get_method().decode()
        self.message.version = self.parser.get_http_version()
        in_origin_form(self.message, self.url.decode("latin-1"))

    def on_body(self, body: bytes) -> None:
        self.message.body += body.decode("latin-1")

    def on_message_complete(self) -> None:
        self.message.keep_alive = self.parser.should_keep_alive()
        self.reading.messages.append(self.message)
        self.reading.waiting = False


def read_with_llhttp(data: bytes) -> Reading:
    listener = Listener()
    reading = listener.reading
    try:
        listener.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        reading.upgraded = True
    except httptools.HttpParserError as error:
        reading.reason = str(error)
    if reading.messages and not reading.messages[-1].keep_alive:
        reading.reason, reading.waiting = "", False  # what follows is for nobody
    return reading


def same_message(ours: Message, theirs: Message, upgraded: bool) -> bool:
    """But for what CLOSES_WINS is about. To llhttp the body of a request that wants an upgrade is
    the other protocol's already; RFC 9110 section 7.8 has the request come to its end first."""
    if upgraded:
        theirs = replace(theirs, body=ours.body)
    return ours == theirs or ours == replace(theirs, keep_alive=False)


def difference(ours: Reading, theirs: Reading) -> tuple[str, str] | None:
    """Who refuses what the other takes: ("ours" or "llhttp", its reason). The rest is equal."""
    common = min(len(ours.messages), len(theirs.messages))
    for index, (our, their) in enumerate(zip(ours.messages, theirs.messages, strict=False)):
        last = index == len(theirs.messages) - 1
        assert same_message(our, their, upgraded=theirs.upgraded and last)
        if our.keep_alive != their.keep_alive:
            return "ours", "close"
    if ours.reason and (not theirs.reason or len(theirs.messages) > common):
        return None if theirs.upgraded else ("ours", ours.reason)
    if theirs.reason and (not ours.reason or len(ours.messages) > common):
        return "llhttp", theirs.reason
    assert theirs.upgraded or len(ours.messages) == len(theirs.messages)
    assert theirs.upgraded or ours.reason or ours.waiting == theirs.waiting
    return None


def test_every_difference_from_llhttp_is_meant(h1_events: Path) -> None:
    data = list(inputs(SEED, CASES))
    # We judge a line when it is complete, llhttp while it comes: where that alone makes the
    # difference, what we say to the same input with its line ended is compared.
    ended = read_with_ours(h1_events, [item + b"\r\n\r\n" for item in data])
    explained = {("ours", reason): why[0] for reason, why in STRICTER.items()}
    explained |= {("llhttp", reason): why[0] for reason, why in LENIENT.items()}
    explained["ours", "close"] = CLOSES_WINS[0]
    unused, surprises, agreed = set(explained), [], 0
    for item, ours, ours_ended in zip(data, read_with_ours(h1_events, data), ended, strict=True):
        theirs = read_with_llhttp(item)
        if theirs.reason and not ours.reason and ours.waiting:
            ours = ours_ended
        found = difference(ours, theirs)
        if found is None:
            agreed += bool(ours.messages) and not ours.reason
        elif found in explained and re.search(explained[found], item, re.IGNORECASE | re.DOTALL):
            unused.discard(found)
        else:
            surprises.append(f"{found}: {item!r}")
    assert not surprises, "not explained:\n" + "\n".join(sorted(surprises, key=len)[:20])
    assert not unused, "explained but never seen"
    assert agreed > CASES // 5, "hardly any input is good: the generator has gone wild"
