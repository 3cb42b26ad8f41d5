# SPDX-License-Identifier: MIT
"""The server's own log: text, logfmt or JSON on stderr, or journald's native protocol.

Messages of the code are `event=NAME key=value …`; the formats are made from those. An event that
comes in a burst is told a few times, then counted: a crash loop must not fill a disk.

Nothing here waits for whoever reads the log, and what they do not take is counted. Application
processes write to the same stderr (app/app_log.c), in the format of `form()`.
"""

import fcntl
import json
import logging
import os
import re
import socket
import stat
import time
from contextlib import suppress

JOURNAL = "/run/systemd/journal/socket"
BURST = 20  # lines of one event …
BURST_S = 10.0  # … in so many seconds; what is more is counted
STDERR = 2
PIPE_SIZE = 1 << 20  # what a burst may be ahead of the reader: pipe-max-size of pipe(7)
_ESCAPE = re.compile(r"\\(.)")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\'[^\']*\'|\S*)')
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
}


def message_of(record: logging.LogRecord) -> str:
    """One line, whatever the values are: those of `key="%s"` are escaped, as JSON would."""
    if record.msg == "%s" or not isinstance(record.args, tuple):
        return record.getMessage().replace("\n", "\\n")  # a whole message, made elsewhere
    args = tuple(_escaped(item) if isinstance(item, str) else item for item in record.args)
    return (str(record.msg) % args).replace("\n", "\\n") if args else str(record.msg)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def pairs(message: str) -> dict[str, str]:
    """What a message says, by key; a message of another form is `msg`."""
    found = {key: _unquoted(value) for key, value in _PAIR.findall(message)}
    return found or {"msg": message}


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] not in "\"'" or value[-1] != value[0]:
        return value
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], value[1:-1])


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


class Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created))
        return f"{when} level={_LEVELS.get(record.levelno, 'error')} {message_of(record)}"


class Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = message_of(record)
        if "=" not in message:
            message = f"msg={json.dumps(message)}"
        return f"time={_time(record)} level={_LEVELS.get(record.levelno, 'error')} {message}"


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelno, "error")
        told = {key: _value(text) for key, text in pairs(message_of(record)).items()}
        return json.dumps({"time": _time(record), "level": level, **told})


def _value(text: str) -> str | int | float:
    """Numbers are numbers, as in the access log."""
    if _NUMBER.fullmatch(text) is None:
        return text
    return float(text) if "." in text else int(text)


FORMATS = {"text": Text, "logfmt": Logfmt, "json": Json}


class Burst(logging.Filter):
    """Lets the first lines of an event through, and says how many more there were."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        event = message_of(record).split(" ", 1)[0]
        begun, count = self._seen.get(event, (record.created, 0))
        if record.created - begun > BURST_S:
            if count > BURST:
                record.msg, record.args = f"{message_of(record)} suppressed={count - BURST}", None
            begun, count = record.created, 0
        self._seen[event] = (begun, count + 1)
        return count < BURST


class Hasty(logging.Handler):
    """Waits for nobody."""

    lost = 0


class Stream(Hasty):
    """Lines to a file, a terminal, a socket, or a pipe that unblock() has had."""

    def __init__(self, fd: int = STDERR) -> None:
        super().__init__()
        self._fd = fd
        self._untold = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._untold:
            lost = logging.LogRecord(
                record.name,
                logging.WARNING,
                *("", 0, "event=log_lost lines=%d", (self._untold,), None),
            )
            if self._write(self.format(lost)):
                self._untold = 0
        if not self._write(self.format(record)):
            self.lost += 1
            self._untold += 1

    def _write(self, line: str) -> bool:
        data = line.encode(errors="replace") + b"\n"
        try:
            if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
                with socket.socket(fileno=os.dup(self._fd)) as end:
                    size = end.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            else:
                size = os.write(self._fd, data)
        except OSError:  # full, or gone: a server does not wait for its log
            return False
        return size == len(data)


def unblock(fd: int = STDERR) -> None:
    """A pipe that nobody empties must hold up neither us nor the processes that inherit it. It is
    opened anew, so that whoever else writes there waits as before."""
    with suppress(OSError):
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return
        again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.dup2(again, fd)
        os.close(again)
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


class Journal(Hasty):
    """journald's native protocol: each key of a message is a field."""

    def __init__(self, path: str = JOURNAL) -> None:
        super().__init__()
        self._path = path
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        message = message_of(record)
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(_PRIORITIES.get(record.levelno, 3)),
            "SYSLOG_IDENTIFIER": "askrctl",
            **{f"ASKR_{key.upper()}": value for key, value in pairs(message).items()},
        }
        try:
            self._end.sendto(b"".join(_field(*item) for item in fields.items()), self._path)
        except OSError:  # full, or gone: a server does not wait for its log
            self.lost += 1


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


def set_up(wanted: str) -> None:
    """Send the log where it belongs; again, when the configuration is known."""
    logger = logging.getLogger("askrctl")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    if wanted == "journald" or (wanted == "auto" and under_journald()):
        new: logging.Handler = Journal()
    else:
        new = Stream()
        new.setFormatter(FORMATS.get(wanted, Text)())
    new.addFilter(Burst())
    logger.addHandler(new)
    logger.setLevel(logging.INFO)


def _ours() -> list[Hasty]:
    return [item for item in logging.getLogger("askrctl").handlers if isinstance(item, Hasty)]


def lost() -> int:
    """Lines of the supervisor's that nobody took."""
    return sum(item.lost for item in _ours())


def form() -> str:
    """Of the lines that application processes write to stderr, the journal's or not."""
    for handler in _ours():
        if isinstance(handler, Journal):
            return "journald" if under_journald() else "text"
        for name, formatter in FORMATS.items():
            if type(handler.formatter) is formatter:
                return name
    return "text"
