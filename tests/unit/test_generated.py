# SPDX-License-Identifier: MIT
"""Files made from the program are what the program would make now: `./dev generate`."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from askrctl.checks import ALL, pages, sources
from askrctl.cli import command_tree, completions

ROOT = Path(__file__).parents[2]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_completions_and_pages_are_not_stale() -> None:
    wanted = load_generator().generated()
    stale = [p.name for p, text in wanted.items() if not p.exists() or p.read_text() != text]
    assert not stale, "run ./dev generate"
    pages_there = set((ROOT / "docs/checks").glob("*.md"))
    assert pages_there <= set(wanted), "a page of a check that is gone: run ./dev generate"


def test_every_check_has_its_page_and_every_page_its_check() -> None:
    found = pages.load()
    assert set(found) == {check.id for check in ALL}
    for name, page in found.items():
        for text in (page.why, page.verify, page.risk, page.leave):
            assert text.strip(), name
        assert page.why.rstrip().endswith((".", ")")), name


def test_every_check_says_where_to_read_on() -> None:
    assert [check.id for check in ALL if not check.refs] == []
    assert set(sources.SOURCES) == {check.id for check in ALL}
    kinds = ("kernel:", "linux:", "man:", "https://", "RFC ", "CVE-", "php-src: ", "Debian's ")
    for check in ALL:
        for ref in check.refs:
            if ref.startswith(("docs/", "askrctl/")):
                assert (ROOT / ref).is_file(), f"{check.id}: {ref}"
            else:
                assert ref.startswith(kinds), f"{check.id}: {ref}"


def test_ids_are_unique_and_well_formed() -> None:
    ids = [check.id for check in ALL]
    assert len(ids) == len(set(ids))
    assert all(part.replace("_", "").isalnum() for name in ids for part in name.split("."))
    assert all(check.title and not check.title.endswith(".") for check in ALL)


def complete(*words: str) -> list[str]:
    """What bash would offer for the last word."""
    script = ROOT / "completions/askrctl.bash"
    quoted = " ".join(f"'{word}'" for word in ("askrctl", *words))
    lines = [f"source {script}", f"COMP_WORDS=({quoted})", f"COMP_CWORD={len(words)}"]
    lines += ["_askrctl", 'printf "%s\\n" "${COMPREPLY[@]}"']
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_options_values_and_checks() -> None:
    assert {"serve", "doctor", "explain"} <= set(complete(""))
    assert complete("doc") == ["doctor"]
    assert "--fail-on" in complete("doctor", "--")
    assert complete("doctor", "--format", "j") == ["json", "junit"]
    assert complete("doctor", "--only", "iouring.mem") == ["iouring.memlock"]
    assert complete("explain", "iouring.mem") == ["iouring.memlock"]
    assert "--group" in complete("doctor", "list", "--")
    assert complete("completions", "f") == ["fish"]
    assert complete("top", "--sort", "m") == ["memory"]
    assert complete("tune", "app", "--format", "") == ["text", "json", "toml", "diff"]
    assert complete("bench", "matrix", "--no") == ["--no-peers"]


def test_fish_tells_config_check_from_check() -> None:
    lines = completions.fish().splitlines()
    offered = [line for line in lines if line.startswith("complete") and " -a app " in line]
    assert [line.split("'")[1] for line in offered] == ["__askrctl_at check", "__askrctl_at tune"]


@pytest.mark.parametrize("shell", completions.SHELLS)
def test_every_command_is_in_every_script(shell: str) -> None:
    script = completions.script(shell)
    for command in command_tree.commands():
        assert not command.words or command.words[-1] in script
        assert all(name.lstrip("-") in script for o in command.options for name in o.names)
