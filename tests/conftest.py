# SPDX-License-Identifier: MIT
"""What all suites share: a missing test application is a skip for a developer, a failure on CI."""

import os
from collections.abc import Callable

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="the counts that take minutes instead of seconds"
    )


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether a test that repeats itself is to do so for minutes."""
    chosen: bool = request.config.getoption("--full")
    return chosen


@pytest.fixture(scope="session")
def require() -> Callable[[bool, str], None]:
    """`require(found, "chromium")`: go on, or skip; under ASKR_TEST_STRICT fail instead."""

    def check(found: bool, what: str) -> None:
        if found:
            return
        if os.environ.get("ASKR_TEST_STRICT"):
            pytest.fail(f"{what} is missing and ASKR_TEST_STRICT is set")
        pytest.skip(f"{what} is not installed here: ./dev test installs it")

    return check
