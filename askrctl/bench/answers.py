# SPDX-License-Identifier: MIT
"""Is the answer right? A fast wrong one is worth nothing, so any mismatch voids a run.

What is expected comes from the baseline: status, length, and a hash of the body. Words that differ
from one answer of the baseline to the next (a form token, a process id) are masked, and the report
says how many; where that does not help, length or status alone is compared, and the report says
that. What is known to differ between servers (a banner, the name of the SAPI) has to be named.
"""

import hashlib
import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from askrctl.bench.loads import Load
from askrctl.model import AskrError

TIMEOUT_S = 30.0
SAMPLE_PERIOD_S = 0.1  # between answers looked at during a load
LOOKS = 4  # times that the baseline is asked, to learn what varies
LOOK_COUNT = 12  # at once, so that several of its processes answer
LOOK_GAP_S = 0.4  # so that the answers span more than a second
MASKED_MAX = 64  # words; where more vary, a hash of the rest says little
WIRE_TOLERANCE = 0.02  # of the bytes of an answer: Content-Length and Date do not vary by more

Level = Literal["hash", "length", "status"]
_WORD = re.compile(rb"[0-9A-Za-z_+/=%:.-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is what is compared: without what was asked to be ignored."""

    status: int
    body: bytes
    wire_bytes: int  # head and body, as they came
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What every answer must be like."""

    level: Level
    status: int
    length: int  # -1: it varies, or a word that varies is masked; then the hash alone counts
    digest: str
    masked: frozenset[int]  # places of the words that vary
    body: bytes  # one that is right, to show what is not
    steady: bool = True  # all answers of the baseline were of one length

    @property
    def sentence(self) -> str:
        words = f", {len(self.masked)} words that vary masked" if self.masked else ""
        if self.level == "hash":
            size = f"{len(self.body)} bytes"
            return f"status {self.status}, {size}, SHA-256 {self.digest[:16]}…{words}"
        if self.level == "length":
            return f"status {self.status}, {self.length} bytes; the body varies too much for a hash"
        return f"status {self.status} only; body and length vary from answer to answer"


class _Counted(io.RawIOBase):
    """A body as it comes: http.client takes the frames of chunks away, generators count them."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self.size = 0
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        size = self._source.readinto1(into)
        self.size += size
        return size


def is_http_url(url: str) -> bool:
    """http://HOST, with a port that there can be."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port of 99999, a bracket without its other
        return False


def fetch(url: str, host: str = "") -> Answer:
    """One GET on a connection of its own; AskrError when there is no whole answer."""
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": host} if host else {}
    try:
        link.putrequest("GET", target, skip_host=bool(host), skip_accept_encoding=True)
        for name, value in headers.items():
            link.putheader(name, value)
        link.endheaders()
        answer = link.getresponse()
        counted = _Counted(answer.fp)
        answer.fp = io.BufferedReader(counted)
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise AskrError(f"{url} gave no answer: {reason}", f"curl -i {url}", code=3) from None
    finally:
        link.close()
    lines = [f"{name}: {value}" for name, value in answer.getheaders()]
    first = f"HTTP/1.1 {answer.status} {answer.reason}"
    head = sum(len(line) + 2 for line in (first, *lines)) + 2
    return Answer(answer.status, body, head + counted.size, len(body))


def without(answer: Answer, ignored: Sequence[re.Pattern[bytes]]) -> Answer:
    """The answer as it is compared."""
    body = answer.body
    for pattern in ignored:
        body = pattern.sub(b"", body)
    return replace(answer, body=body)


def patterns(texts: Sequence[str]) -> tuple[re.Pattern[bytes], ...]:
    """Regular expressions of the command line."""
    try:
        return tuple(re.compile(text.encode()) for text in texts)
    except re.error as error:
        raise AskrError(f"--ignore is not a regular expression: {error}", code=2) from None


def _digest(body: bytes, masked: frozenset[int]) -> str:
    """Of the body, with the words at some places left out."""
    if not masked:
        return hashlib.sha256(body).hexdigest()
    place = -1

    def mask(found: re.Match[bytes]) -> bytes:
        nonlocal place
        place += 1
        return b"*" if place in masked else found[0]

    return hashlib.sha256(_WORD.sub(mask, body)).hexdigest()


def _varying(bodies: Sequence[bytes]) -> frozenset[int] | None:
    """Places of the words that are not the same in all; None when the frames differ as well."""
    frames = {_WORD.sub(b"*", body) for body in bodies}
    if len(frames) > 1:
        return None
    columns = zip(*(_WORD.findall(body) for body in bodies), strict=True)
    found = frozenset(place for place, column in enumerate(columns) if len(set(column)) > 1)
    return found if len(found) <= MASKED_MAX else None


def _insist_on_success(answers: Sequence[Answer]) -> None:
    statuses = sorted({answer.status for answer in answers})
    if len(statuses) > 1 or not 200 <= statuses[0] < 400:
        what = " and ".join(map(str, statuses))
        raise AskrError(f"the baseline answers with status {what}: nothing to measure", code=3)


def expect(answers: Sequence[Answer], least: Level = "status") -> Expected:
    """What the baseline's answers have in common. AskrError when that is less than `least`."""
    first = answers[0]
    _insist_on_success(answers)
    lengths = {len(answer.body) for answer in answers}
    masked = _varying([answer.body for answer in answers])
    level: Level = "hash" if masked is not None else "length" if len(lengths) == 1 else "status"
    order = ("status", "length", "hash")
    if order.index(level) < order.index(least):
        raise AskrError(
            f"answers vary: only their {level} could be compared, --validate {least} asks for more",
            f"--validate {level}, or a route whose answer is always the same",
            code=3,
        )
    masked = masked or frozenset()
    digest = _digest(first.body, masked) if level == "hash" else ""
    # A masked word may have another length elsewhere: process 10000 comes after process 9999.
    steady = len(lengths) == 1
    length = len(first.body) if steady and not masked else -1
    return Expected(level, first.status, length, digest, masked, first.body, steady)


def mismatch(answer: Answer, expected: Expected) -> str:
    """What is wrong with an answer; "" when nothing is."""
    if answer.status != expected.status:
        return f"status {answer.status} instead of {expected.status}"
    if expected.level == "status":
        return ""
    if expected.length >= 0 and len(answer.body) != expected.length:
        return f"{len(answer.body)} bytes instead of {expected.length}"
    if expected.level == "hash" and _digest(answer.body, expected.masked) != expected.digest:
        return f"a body with another hash: {_first_difference(answer.body, expected)}"
    return ""


def _first_difference(body: bytes, expected: Expected) -> str:
    """The first word, outside the masked ones, that is not as expected."""
    found, wanted = _WORD.findall(body), _WORD.findall(expected.body)
    for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other and place not in expected.masked:
            return f"{one[:60].decode(errors='replace')!r} instead of {other[:60].decode()!r}"
    return "the words are the same, what stands between them is not"


def check_load(load: Load, expected: Expected, answer: Answer, connections: int) -> str:
    """What the generator's own counts say against a run; "" when nothing does.

    Every answer of the run counts here, not only those that were looked at one by one: an answer
    that is shorter or longer than `answer`, this server's own, shows in the bytes.
    """
    if load.errors:
        return f"{load.errors} connections failed or requests timed out"
    if load.failed and 200 <= expected.status < 300:
        return f"{load.failed} answers with another status"
    if expected.level == "status" or not expected.steady:
        return ""
    # A generator that stops in the middle has counted bytes of answers that it does not count.
    slack = (connections + WIRE_TOLERANCE * load.requests) * answer.wire_bytes
    for name, counted, each in (
        ("wire", load.wire_bytes, answer.wire_bytes),
        ("body", load.body_bytes, answer.body_bytes),
    ):
        if counted is not None and abs(counted - each * load.requests) > slack:
            mean = counted / load.requests
            return f"{mean:.1f} {name} bytes for each answer instead of {each}"
    return ""


class Sampler(threading.Thread):
    """Asks now and then while a load runs, and holds every answer against what is expected."""

    def __init__(self, ask: Callable[[], Answer], expected: Expected) -> None:
        super().__init__(name="askr-bench-sampler", daemon=True)
        self.asked = 0
        self.trouble = ""
        self._ask = ask
        self._expected = expected
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_PERIOD_S) and not self.trouble:
            try:
                self.trouble = mismatch(self._ask(), self._expected)
            except AskrError as error:
                self.trouble = error.message
            self.asked += 1

    def finish(self) -> None:
        self._over.set()
        self.join(TIMEOUT_S + SAMPLE_PERIOD_S)


def look(ask: Callable[[], Answer]) -> list[Answer]:
    """Many answers of the baseline, some at once and spread over more than a second.

    AskrError at once when the first is none that could be measured.
    """
    answers = [ask()]
    _insist_on_success(answers)
    with ThreadPoolExecutor(LOOK_COUNT) as pool:
        for _ in range(LOOKS):
            time.sleep(LOOK_GAP_S)
            answers += pool.map(lambda _: ask(), range(LOOK_COUNT))
    return answers


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
