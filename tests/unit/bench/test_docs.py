# SPDX-License-Identifier: MIT
"""The manual page of bench knows every command and option; limits stand in one place."""

import inspect
import re
from pathlib import Path

from askrctl.bench.verdict import THRESHOLD
from askrctl.cli import bench, command_tree

ROOT = Path(__file__).parents[3]


def test_the_manual_page_names_every_command_and_option() -> None:
    page = (ROOT / "docs/man/askrctl-bench.1").read_text().replace("\\-", "-")
    found = [one for one in command_tree.commands() if one.words[:1] == ("bench",)]
    assert {one.words[1:] for one in found} >= {("run",), ("matrix",), ("load",)}
    missing = [
        " ".join(command.words)
        for command in found[1:]
        if not re.search(rf"^\.B {command.words[-1]}\b", page, re.MULTILINE)
    ]
    missing += [
        name
        for command in found
        for option in command.options
        for name in option.names
        if name.startswith("--") and name != "--help" and not re.search(f"{name}\\b", page)
    ]
    assert not missing


def test_the_command_lines_threshold_is_the_rules() -> None:
    for command in (bench.run_command, bench.matrix_command):
        default = inspect.signature(command).parameters["threshold"].default
        assert default == THRESHOLD * 100
