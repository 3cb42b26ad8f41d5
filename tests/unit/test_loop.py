# SPDX-License-Identifier: MIT
"""The order in which the supervisor's loop does what is due."""

import os

from askrctl.server.loop import Loop


def test_an_answer_that_is_there_comes_before_the_deadline_for_it() -> None:
    loop = Loop()
    told: list[str] = []
    reader, writer = os.pipe()

    def ask() -> None:
        loop.call_later(0, lambda: told.append("deadline"))
        os.write(writer, b"x")

    def hear() -> None:
        os.read(reader, 1)
        told.append("answer")

    loop.add(reader, hear)
    loop.call_later(0, ask)
    loop.call_later(0.05, loop.stop)
    loop.run()
    os.close(reader)
    os.close(writer)
    assert told == ["answer", "deadline"]
