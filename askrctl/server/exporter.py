# SPDX-License-Identifier: MIT
"""The exporter: `python -m askrctl.server.exporter`, exec'd by the supervisor.

Settings come as JSON on stdin: headers are secrets, and others may see arguments and environment.

It takes batches of spans from the workers' socket and sends them to an OTLP endpoint. A thread of
its own empties the socket whatever the endpoint does: spans wait in a bounded queue, and what finds
no room is dropped and counted. Counters stand in a page that the supervisor reads. It ends when the
last worker and the supervisor have let the socket go, after one short try to send what is left.
"""

import json
import logging
import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from askrctl import signals
from askrctl.engine import SPANS_SIZE_MAX, SpanEncoder
from askrctl.model import Credentials
from askrctl.server.credentials import become, keep_from_others
from askrctl.server.otlp import Export, export_to

FLUSH_S = 2.0  # for what is left when everybody else has gone
_ERROR_MAX = 240
COUNTERS = ("exported", "failed", "dropped")
PAGE = struct.Struct(f"=3Q{_ERROR_MAX}s")


@dataclass(slots=True)
class Counters:
    """What became of the spans, and why the last batch was not taken; written to the page."""

    page: mmap.mmap
    exported: int = 0
    failed: int = 0  # the endpoint did not take them
    dropped: int = 0  # the queue was full, or they were none of ours
    error: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, more: int, error: str | None = None) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + more)
            self.error = self.error if error is None else error
            text = self.error.encode()[:_ERROR_MAX]
            self.page[: PAGE.size] = PAGE.pack(self.exported, self.failed, self.dropped, text)


def read_page(page: mmap.mmap) -> tuple[dict[str, int], str]:
    """The supervisor's look at it."""
    *numbers, text = PAGE.unpack(page[: PAGE.size])
    return dict(zip(COUNTERS, numbers, strict=True)), text.rstrip(b"\0").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Pace:
    """Of a batch span processor, by the standard's variables. The standard's own defaults, 512 and
    2048, are for one application; ours for a whole server: a queue of 28 MB of usual spans.
    """

    delay_s: float = 5.0
    batch_max: int = 2048
    queue_max: int = 32768

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Pace":
        found = cls()
        batch = _number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", found.batch_max)
        return cls(
            delay_s=_number(environment, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
            batch_max=batch,
            queue_max=max(batch, _number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", found.queue_max)),
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    fine = text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9
    return int(text) if fine else default


@dataclass(frozen=True, slots=True)
class Encoded:
    """Spans as OTLP: a datagram's, or those of several."""

    count: int
    data: bytes


class Queue:
    """Spans between the socket and the endpoint; what came together stays together."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._held: deque[Encoded] = deque()
        self._count = 0  # of their spans
        self._changed = threading.Condition()
        self.ended = False

    def put(self, more: Encoded) -> int:
        """How many found no room."""
        with self._changed:
            if self._count + more.count > self._pace.queue_max:
                return more.count
            self._held.append(more)
            self._count += more.count
            self._changed.notify()
        return 0

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify()

    def take(self) -> Encoded | None:
        """The next batch: a full one, or what there is after the delay. None: that was all."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self.ended)
            full = self._pace.batch_max
            self._changed.wait_for(lambda: self._count >= full or self.ended, self._pace.delay_s)
            count = 0
            found: list[Encoded] = []
            while self._held and (not found or count + self._held[0].count <= full):
                found.append(self._held.popleft())
                count += found[-1].count
            self._count -= count
        return Encoded(count, b"".join(item.data for item in found)) if found else None

    def left(self) -> int:
        with self._changed:
            return self._count


def receive(end: socket.socket, queue: Queue, counters: Counters) -> None:
    """Empty the socket until nobody can send any more."""
    encoder = SpanEncoder()
    while data := end.recv(SPANS_SIZE_MAX + 1):
        try:
            lost = queue.put(Encoded(*encoder.encode(data)))
        except ValueError:
            lost = 1
        if lost:
            counters.count("dropped", lost)
    queue.end()


class _Reason(logging.Handler):
    """Keeps the last thing that the libraries complained of."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = " ".join(record.getMessage().split())


def _say(level: str, event: str, detail: str) -> None:
    """As the supervisor logs."""
    line = f"level={level} event={event} detail={json.dumps(detail)}\n"
    with suppress(OSError):
        os.write(2, line.encode(errors="replace"))


def send_all(export: Export, queue: Queue, counters: Counters, reason: _Reason) -> None:
    """Until the queue has ended; says when the endpoint stops taking spans, and when it begins."""
    fine = True
    while batch := queue.take():
        reason.text = ""
        try:
            taken = export.send(batch.count, batch.data)
        except Exception as error:  # the library's, whatever it is: it must not end the exporter
            taken, reason.text = False, f"{type(error).__name__}: {error}"
        if taken:
            counters.count("exported", batch.count, error="")
        else:
            why = reason.text or "the endpoint did not take them"
            counters.count("failed", batch.count, error=why)
        if taken is not fine:
            event = "traces_exported" if taken else "traces_not_exported"
            _say("info" if taken else "warn", event, counters.error or "again")
            fine = taken


def _end_soon(export: Export, queue: Queue, counters: Counters) -> None:
    """Everybody else has gone: nobody waits longer for an endpoint that does not answer."""
    stopper = threading.Thread(target=export.stop, daemon=True)
    stopper.start()
    stopper.join(0.1)
    counters.count("dropped", queue.left())
    os._exit(0)


def main() -> int:
    """The exit status."""
    settings = json.load(sys.stdin)
    keep_from_others()
    signals.pass_over()  # it ends when the workers have
    page = mmap.mmap(settings["page_fd"], mmap.PAGESIZE)
    if settings["credentials"] is not None:
        become(Credentials(**settings["credentials"]))
    reason = _Reason()
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).addHandler(reason)
        logging.getLogger(name).propagate = False
    counters, queue = Counters(page), Queue(Pace.of(os.environ))
    export = export_to(settings["endpoint"], settings["service_name"], settings["headers"])
    end = socket.socket(fileno=settings["fd"])

    def take_in() -> None:
        receive(end, queue, counters)
        time.sleep(FLUSH_S)
        _end_soon(export, queue, counters)

    threading.Thread(target=take_in, daemon=True).start()
    send_all(export, queue, counters, reason)
    return 0


if __name__ == "__main__":
    sys.exit(main())
