# SPDX-License-Identifier: MIT
"""The manual page and docs/tune.md know every command and option that there is."""

import re
from pathlib import Path
from typing import Any

import typer.main

from askrctl.cli.tune import tune

ROOT = Path(__file__).parents[3]


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(tune)
    return {name: found for name, found in group.commands.items() if not found.hidden}


def test_the_manual_page_names_every_command_and_option() -> None:
    page = (ROOT / "docs/man/askrctl-tune.1").read_text().replace("\\-", "-")
    missing = []
    for name, command in commands().items():
        if not re.search(rf"^\.B {name}\b", page, re.MULTILINE):
            missing.append(name)
        for parameter in command.params:
            longest = max(parameter.opts, key=len)
            if parameter.param_type_name == "option" and longest not in page:
                missing.append(f"{name} {longest}")
    assert not missing


def test_exit_codes_are_the_same_in_both() -> None:
    page = (ROOT / "docs/man/askrctl-tune.1").read_text()
    text = (ROOT / "docs/tune.md").read_text()
    codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert codes == re.findall(r"^\.B (\d+)$", page, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "4", "5", "10"]
