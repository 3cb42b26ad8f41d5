# SPDX-License-Identifier: MIT
"""What all suites share: a missing test application is a skip for a developer, a failure on CI."""

import os
from collections.abc import Callable

import pytest


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
