# SPDX-License-Identifier: MIT
"""The commands of the program as data, with what their options can be: for completion scripts, and
for tests of the manual pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

SHELLS = ("bash", "zsh", "fish")
# Options whose values we know without asking the machine.
_VALUES = {
    "--fail-on": ("fail", "warn", "never"),
    "--min": ("fail", "warn", "unknown", "info", "skip", "ok"),
    "--profile": ("auto", "development", "production", "container"),
    "--io-backend": ("auto", "io_uring", "epoll"),
    "--a": ("epoll", "io_uring"),
    "--b": ("epoll", "io_uring"),
    "--tool": ("oha", "wrk", "hey", "ab", "h2load"),
    "--validate": ("hash", "length", "status"),
}
CHECK_OPTIONS = ("--only", "--skip")


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    help: str
    takes_value: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """`words` is its place: ("doctor", "list")."""

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    subcommands: tuple[str, ...]
    takes_check: bool = False
    values: tuple[str, ...] = ()  # what its argument can be


def _first_sentence(text: str) -> str:
    line = " ".join((text or "").split("\n\n")[0].split())
    return line.split(". ")[0].rstrip(".")


def _listed(text: str) -> tuple[str, ...]:
    """The values that a help text lists: "text, json or sh"."""
    return tuple(word for word in re.findall("[a-z/]+", text.partition("(")[0]) if word != "or")


def _option(parameter: Any) -> Option:
    names = tuple(sorted((*parameter.opts, *parameter.secondary_opts), key=len))
    values: tuple[str, ...] = ()
    for name in names:
        values = values or _VALUES.get(name, ())
    if {"--format", "--sort"} & set(names):
        values = _listed(parameter.help or "")
    takes = not getattr(parameter, "is_flag", False)
    return Option(names, _first_sentence(parameter.help or ""), takes, values)


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """Every command of the program, its parents first."""
    every = getattr(command, "commands", {})
    subcommands = {name: child for name, child in every.items() if not child.hidden}
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    takes_check = any(p.name == "check_id" for p in arguments)
    takes_shell = any(p.name == "shell" for p in arguments)
    help_option = Option(("-h", "--help"), "Show this message and exit", False)
    yield Command(
        words,
        _first_sentence(command.help or ""),
        (*map(_option, options), help_option),
        tuple(subcommands),
        takes_check,
        SHELLS if takes_shell else (),
    )
    for name, child in subcommands.items():
        yield from walk(child, (*words, name))


def commands() -> list[Command]:
    from askrctl.cli.app import build

    return list(walk(typer.main.get_command(build())))


def check_names() -> list[str]:
    from askrctl.checks import ALL

    groups = dict.fromkeys(check.group for check in ALL)
    return [*groups, *(check.id for check in ALL)]
