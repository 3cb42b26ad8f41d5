# SPDX-License-Identifier: MIT
"""What the command line says to somebody who mistypes, or whose terminal is an old one."""

import os
import subprocess
import sys

import pytest

from askrctl.cli.serve import folded

PROGRAM = "from askrctl.cli import main; main()"


def askrctl(
    *words: str, encoding: str = "utf-8", columns: str = "80"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *words],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": columns},
    )


@pytest.mark.parametrize("words", [[], ["config"]])
def test_a_group_without_a_command_shows_its_help_and_no_empty_error(words: list[str]) -> None:
    done = askrctl(*words)
    assert done.returncode == 2
    assert "Commands" in done.stdout
    assert done.stderr == ""


def test_a_terminal_without_dashes_gets_the_help_all_the_same() -> None:
    done = askrctl("serve", "--help", encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "askrctl serve . ? the application" in done.stdout


def test_help_names_a_type_only_where_a_value_is_expected() -> None:
    lines = {
        line.split()[1]: line
        for line in askrctl("status", "-h").stdout.splitlines()
        if "--" in line
    }
    assert "<" not in lines["--json"] + lines["--help"]
    assert "<" in lines["--control"]


def test_a_value_that_is_none_is_refused_in_our_words() -> None:
    done = askrctl("serve", "--io-backend", "uring")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "askrctl: Invalid value for '--io-backend': "
        "'uring' is not one of 'auto', 'io_uring', 'epoll'."
    )


def test_the_greeting_stays_in_its_column_and_cuts_no_url() -> None:
    line = "  backend   epoll (no_bench_record: auto is epoll until a bench here shows a win)"
    first, second = folded(line, 60)
    assert first.startswith("  backend   epoll") and second.startswith(" " * 12 + "bench")
    url = f"  http://{'a' * 70}.example:8000/"
    assert folded(url, 60)[-1].strip() == url.strip()
    assert folded("", 60) == [""]


def test_a_narrow_terminal_gets_the_names_of_options_whole() -> None:
    done = askrctl("rollback", "--help", columns="40")
    assert "--control" in done.stdout and "--timeout" in done.stdout
