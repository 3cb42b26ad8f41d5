# SPDX-License-Identifier: MIT
"""The recorder: its bounds, its counts, and a file that is nobody else's."""

import io
import os
import stat
from pathlib import Path

import pytest

from askrctl.model import AskrError
from askrctl.traffic import recorder
from askrctl.traffic.file import Header, read_stream
from askrctl.traffic.recorder import Bounds, Recorder
from askrctl.traffic.redact import Rules

from .samples import exchange, request
from .test_datagram import encode

HEADER = Header(1.0, "/srv", (), ())
SAMPLE = encode(exchange(request("/one")))


def record(count: int, bounds: Bounds, *more: bytes) -> tuple[Recorder, io.BytesIO]:
    """What becomes of so many samples, when the server ends after them."""
    ours, theirs = recorder.pair()
    with ours:
        with theirs:
            for data in (*[SAMPLE] * count, *more):
                theirs.send(data)
        output = io.BytesIO()
        one = Recorder(ours, output, Rules(), bounds)
        one.run(HEADER, lambda: False)
    output.seek(0)
    return one, output


def test_everything_that_is_sent_is_in_the_file_and_counted() -> None:
    one, output = record(3, Bounds(), b"nonsense")
    recorded = read_stream(output, "file")
    assert [item.request.target for item in recorded.exchanges] == ["/one"] * 3
    assert recorded.end is not None
    assert (recorded.end.records, recorded.end.lost, recorded.end.skipped) == (3, 5 + 1, 6)
    assert one.why == "the server has ended"


def test_it_ends_at_the_number_that_was_asked_for() -> None:
    one, output = record(5, Bounds(records=2))
    assert len(read_stream(output, "file").exchanges) == 2
    assert "as many" in one.why


@pytest.mark.parametrize("size", [2000, 5000])
def test_the_file_is_never_larger_than_it_may_get(size: int) -> None:
    one, output = record(30, Bounds(size=size))
    assert len(output.getvalue()) <= size
    assert read_stream(output, "file").end is not None
    assert "as large" in one.why


def test_it_ends_when_it_is_told_to() -> None:
    ours, theirs = recorder.pair()
    with ours, theirs:
        one = Recorder(ours, io.BytesIO(), Rules(), Bounds())
        assert one.run(HEADER, lambda: True).records == 0
    assert one.why == "interrupted"


def test_the_file_is_for_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        recorder.create(tmp_path / "file").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    with pytest.raises(AskrError, match="there already"):
        recorder.create(tmp_path / "file")
