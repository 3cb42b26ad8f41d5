# SPDX-License-Identifier: MIT
"""Assembles the commands: all of them for help, else only the one that was asked for.

Importing every command brings in the tune engine and rich, which `askrctl status`, typed when a
machine is in trouble, has no use for.
"""

from importlib import import_module
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from askrctl import __version__

HELP = """
The server and operator's toolkit for PHP applications on Linux.

Try this: `askrctl serve .` in the folder of an application, then `askrctl status`.
"""

COLUMNS_MIN = 60  # for help in frames
HELP_OPTIONS = ["-h", "--help"]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"askrctl {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_show_version)
    ] = False,
) -> None:
    pass


# In the order of the help: a function is a command, a typer application a group of them.
COMMANDS = {
    "serve": "serve:serve_command",
    "status": "control:status_command",
    "top": "top.command:top_command",
    "reload": "control:reload_command",
    "rollback": "control:rollback_command",
    "stop": "control:stop_command",
    "slowlog": "slowlog:slowlog_command",
    "record": "record:record_command",
    "replay": "replay:replay_command",
    "check": "check:app",
    "config": "config:app",
    "doctor": "doctor:app",
    "explain": "explain:explain_command",
    "completions": "completions:completions_command",
    "tune": "tune:tune",
    "bench": "bench:app",
}


def subcommands(name: str) -> set[str]:
    """Of a group; none when it is no group, or nothing at all."""
    module, _, attribute = COMMANDS.get(name, "").partition(":")
    group = getattr(import_module(f"askrctl.cli.{module}"), attribute) if module else None
    if not isinstance(group, typer.Typer):
        return set()
    return {command.name or "" for command in group.registered_commands}


def build(only: str = "") -> typer.Typer:
    """The application with one command, or with all when `only` names none."""
    app = typer.Typer(
        help=HELP,
        no_args_is_help=True,
        add_completion=False,  # `askrctl completions SHELL` prints static scripts
        # Its frames cut the names of options on a narrow terminal.
        rich_markup_mode="markdown" if get_terminal_size().columns >= COLUMNS_MIN else None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": HELP_OPTIONS},
    )
    app.callback()(_options)
    for name in [only] if only in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(f"askrctl.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def assemble(only: str = "") -> Any:
    """What build() builds, to be called. Its help shows a type only where a value is expected, and
    in few letters: a narrow terminal cuts the names of options else."""
    root = typer.main.get_command(build(only))
    waiting: list[Any] = [root]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        context = typer.Context(command, help_option_names=HELP_OPTIONS)
        for option in command.get_params(context):
            if getattr(option, "is_flag", False):
                option.metavar = ""
            elif option.metavar is None and (option.min, option.max) != (None, None):
                option.metavar = "N"  # the bounds stand beside it
    return root
