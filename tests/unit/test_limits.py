# SPDX-License-Identifier: MIT
"""docs/limits.md has every limit and time-out, with the default that it has."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from askrctl.config import KIB, MIB, LimitsConfig, TimeoutsConfig

PAGE = (Path(__file__).parents[2] / "docs/limits.md").read_text()
SIZES = ("limits.head_size", "limits.target_size", "limits.body_size")
SECTIONS: dict[str, Any] = {"limits": LimitsConfig(), "timeouts": TimeoutsConfig()}
KEYS = [f"{section}.{item.name}" for section, values in SECTIONS.items() for item in fields(values)]


def shown(key: str, default: Any) -> str:
    if key in SIZES:
        return f"{default // KIB} KiB" if default < MIB else f"{default // MIB} MiB"
    if isinstance(default, float):
        return f"{default:g} s"
    return {(): "none", 0: "0: any number"}.get(default, str(default))


@pytest.mark.parametrize("key", KEYS)
def test_a_limit_is_documented_with_its_default(key: str) -> None:
    section, name = key.split(".")
    row = re.search(rf"^\|[^|]*\| `{re.escape(key)}` \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
    assert row is not None, f"no row for {key}"
    assert row[1].startswith(shown(key, getattr(SECTIONS[section], name)))
