# SPDX-License-Identifier: MIT
"""Assembles the commands."""

from typing import Annotated

import typer

from askrctl import __version__
from askrctl.cli import bench, doctor
from askrctl.cli.completions import completions_command
from askrctl.cli.control import reload_command, status_command, stop_command
from askrctl.cli.explain import explain_command
from askrctl.cli.serve import serve_command
from askrctl.cli.slowlog import slowlog_command
from askrctl.cli.tune import tune

HELP = """
The server and operator's toolkit for PHP and Python web applications on Linux.

Try this: `askrctl serve .` in the folder of an application, then `askrctl status`.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,  # `askrctl completions SHELL` prints static scripts
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"askrctl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_show_version)
    ] = False,
) -> None:
    pass


app.command("serve")(serve_command)
app.command("status")(status_command)
app.command("reload")(reload_command)
app.command("stop")(stop_command)
app.command("slowlog")(slowlog_command)
app.add_typer(doctor.app, name="doctor")
app.command("explain")(explain_command)
app.command("completions")(completions_command)
app.add_typer(tune, name="tune")
app.add_typer(bench.app, name="bench")
