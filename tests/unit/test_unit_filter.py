# SPDX-License-Identifier: MIT
"""Lines of SystemCallFilter=, in their order, as systemd.exec(5) has it."""

import pytest

from askrctl.probes import unit_filter


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ([], True),
        (["@system-service"], True),
        (["@basic-io @network-io"], False),
        (["@basic-io", "@aio"], True),
        (["@basic-io io_uring_setup io_uring_enter io_uring_register"], True),
        (["@basic-io io_uring_setup"], False),
        (["~@privileged"], True),
        (["~@aio"], False),
        (["~@aio:EPERM @mount"], False),
        (["@system-service", "~@aio"], False),
        (["@system-service", "~@aio", "@aio"], True),
        (["~@aio", ""], True),
        (["@system-service", "", "@basic-io"], False),
        (["~@mount", "@basic-io"], True),
    ],
)
def test_a_line_adds_or_takes_away_and_an_empty_one_starts_again(
    lines: list[str], passes: bool
) -> None:
    assert unit_filter.judge(lines)[0] is passes


def test_the_line_that_takes_it_away_is_named() -> None:
    assert unit_filter.judge(["@system-service", "~@aio", "~@mount"]) == (False, "~@aio")
