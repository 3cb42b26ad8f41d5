# SPDX-License-Identifier: MIT
"""Lines of the server's log say what was said, whatever its values hold."""

import json
import logging
import os
from typing import Any

import pytest

from askrctl.server.logs import FORMATS, Stream, pairs, unblock

VALUES = [
    'site "shop": PHP Fatal error',
    "it must be a number, not 'x'",
    "two\nlines",
    'C:\\new "folder"\\',
    "käse",
    "",
]


def record(message: str, *args: Any) -> logging.LogRecord:
    return logging.LogRecord("askrctl", logging.ERROR, "", 0, message, args, None)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_told_as_it_is(value: str) -> None:
    said = record('event=x detail="%s" worker=%d status=%r', value, 3, "signal 9")
    entry = json.loads(FORMATS["json"]().format(said))
    assert entry["detail"] == value
    assert (entry["event"], entry["worker"], entry["status"]) == ("x", 3, "signal 9")
    for form in ("text", "logfmt"):
        line = FORMATS[form]().format(said)
        assert "\n" not in line
        assert pairs(line)["detail"] == value


def test_a_whole_message_is_left_as_it_is() -> None:
    entry = json.loads(FORMATS["json"]().format(record("%s", 'event=y fix="askrctl x" n=1.5')))
    assert (entry["event"], entry["fix"], entry["n"]) == ("y", "askrctl x", 1.5)
    assert json.loads(FORMATS["json"]().format(record("it is late")))["msg"] == "it is late"


def test_what_is_no_number_stays_as_it_is_written() -> None:
    said = record("event=x port=%s id=%s version=%s", "007", "1" * 20, "1.2.3")
    entry = json.loads(FORMATS["json"]().format(said))
    assert (entry["port"], entry["id"], entry["version"]) == ("007", "1" * 20, "1.2.3")


def test_a_pipe_that_is_full_loses_lines_and_says_how_many() -> None:
    reader, writer = os.pipe()
    unblock(writer)
    stream = Stream(writer)
    stream.setFormatter(FORMATS["text"]())
    sent = 0
    while not stream.lost:
        stream.emit(record('event=x detail="%s"', "y" * 4000))
        sent += 1
    stream.emit(record("event=lost"))
    os.read(reader, 1 << 20)
    stream.emit(record("event=told"))
    said = os.read(reader, 1 << 20).decode()
    assert "event=log_lost lines=2\n" in said
    assert said.endswith("event=told\n")
    assert stream.lost == 2 and sent > 16
    os.close(reader)
    os.close(writer)
