# SPDX-License-Identifier: MIT
"""The slow log: requests that took longer than `php.slow`, and processes that had to be killed.

The last ones are kept in memory for `askrctl slowlog`; with `php.slowlog` each is also appended to
a file, one JSON object a line.
"""

import json
import logging
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from askrctl.server.forensics import Forensics

log = logging.getLogger("askrctl")

KEPT_MAX = 100
ANSWER_SIZE_MAX = 192 * 1024  # of one answer on the control socket; the newest come first


@dataclass(frozen=True, slots=True)
class SlowEntry:
    """schema askr.slowlog/1; changes only add."""

    time: str  # ISO 8601, UTC
    event: str  # "slow", "killed", or "asked": by an operator, and not kept
    generation: int
    worker: int
    pid: int
    seconds: float  # the request had been running for so long
    request: str  # "GET /path", without the query
    trace: tuple[str, ...]  # PHP frames, innermost first
    forensics: Forensics
    site: str = ""  # "": there is no [[site]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def where(self) -> str:
        """The innermost line of PHP code."""
        lines = [line.rpartition(" ")[2] for line in self.trace if ":" in line.rpartition(" ")[2]]
        return next((line for line in lines if not line.endswith("()")), "")


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(slots=True)
class SlowLog:
    """One for a server, across its generations."""

    path: Path | None = None
    _entries: deque[SlowEntry] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))

    def add(self, entry: SlowEntry) -> None:
        self._entries.append(entry)
        log.warning(
            'event=request_%s worker=%d%s pid=%d seconds=%.1f request="%s" where="%s"',
            entry.event,
            entry.worker,
            f" site={entry.site}" if entry.site else "",
            entry.pid,
            entry.seconds,
            entry.request.replace('"', "'"),
            entry.where,
        )
        self._append(entry)

    def _append(self, entry: SlowEntry) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(entry.as_dict()) + "\n")
        except OSError as error:
            log.error('event=slowlog_not_written path="%s" detail="%s"', self.path, error.strerror)

    def answer(self, count: int) -> dict[str, Any]:
        """The newest entries, newest first, as many as an answer can carry."""
        shown: list[dict[str, Any]] = []
        size = 0
        for entry in list(reversed(self._entries))[:count]:
            item = entry.as_dict()
            size += len(json.dumps(item))
            if shown and size > ANSWER_SIZE_MAX:
                break
            shown.append(item)
        return {"schema": "askr.slowlog/1", "kept": len(self._entries), "entries": shown}
