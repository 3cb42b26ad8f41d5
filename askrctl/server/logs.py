# SPDX-License-Identifier: MIT
"""The server's own log: text, logfmt or JSON on stderr, or journald's native protocol.

Messages of the code are `event=NAME key=value …`; the formats are made from those. An event that
comes in a burst is told a few times, then counted: a crash loop must not fill a disk.
"""

import json
import logging
import os
import re
import socket
import sys
import time
from contextlib import suppress

JOURNAL = "/run/systemd/journal/socket"
BURST = 20  # lines of one event …
BURST_S = 10.0  # … in so many seconds; what is more is counted
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\'[^\']*\'|\S*)')
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
}


def pairs(message: str) -> dict[str, str]:
    """What a message says, by key; a message of another form is `msg`."""
    found = {key: value.strip("\"'") for key, value in _PAIR.findall(message)}
    return found or {"msg": message}


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


class Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created))
        return f"{when} level={_LEVELS.get(record.levelno, 'error')} {record.getMessage()}"


class Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if "=" not in message:
            message = f"msg={json.dumps(message)}"
        return f"time={_time(record)} level={_LEVELS.get(record.levelno, 'error')} {message}"


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelno, "error")
        return json.dumps({"time": _time(record), "level": level, **pairs(record.getMessage())})


FORMATS = {"text": Text, "logfmt": Logfmt, "json": Json}


class Burst(logging.Filter):
    """Lets the first lines of an event through, and says how many more there were."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        event = record.getMessage().split(" ", 1)[0]
        begun, count = self._seen.get(event, (record.created, 0))
        if record.created - begun > BURST_S:
            if count > BURST:
                record.msg, record.args = f"{record.getMessage()} suppressed={count - BURST}", None
            begun, count = record.created, 0
        self._seen[event] = (begun, count + 1)
        return count < BURST


class Journal(logging.Handler):
    """journald's native protocol: each key of a message is a field. Never blocks."""

    def __init__(self, path: str = JOURNAL) -> None:
        super().__init__()
        self._path = path
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(_PRIORITIES.get(record.levelno, 3)),
            "SYSLOG_IDENTIFIER": "askrctl",
            **{f"ASKR_{key.upper()}": value for key, value in pairs(message).items()},
        }
        try:
            self._end.sendto(b"".join(_field(*item) for item in fields.items()), self._path)
        except OSError:  # full, or gone: a server does not wait for its log
            self.dropped += 1


def _field(name: str, value: str) -> bytes:
    """One field; a value with a line break needs its length in front (systemd's protocol)."""
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


def under_journald() -> bool:
    """Is our stderr the journal's (systemd.exec(5), JOURNAL_STREAM)?"""
    with suppress(OSError, ValueError):
        device, inode = map(int, os.environ.get("JOURNAL_STREAM", "").split(":"))
        stderr = os.fstat(2)
        return (stderr.st_dev, stderr.st_ino) == (device, inode)
    return False


def set_up(form: str) -> None:
    """Send the log where it belongs; again, when the configuration is known."""
    logger = logging.getLogger("askrctl")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    if form == "journald" or (form == "auto" and under_journald()):
        new: logging.Handler = Journal()
    else:
        new = logging.StreamHandler(sys.stderr)
        new.setFormatter(FORMATS.get(form, Text)())
    new.addFilter(Burst())
    logger.addHandler(new)
    logger.setLevel(logging.INFO)
