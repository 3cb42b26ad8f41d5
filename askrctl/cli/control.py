# SPDX-License-Identifier: MIT
"""`askrctl status`, `reload` and `stop`: talk to a running server over its control socket."""

import json
from typing import Annotated, Any

import typer

from askrctl.model import AskrError
from askrctl.server import control

Socket = Annotated[
    str, typer.Option("--control", help="The server's control socket. [env: ASKR_CONTROL]")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON: the same as --format json.")]
Format = Annotated[str, typer.Option("--format", help="text or json")]


def wants_json(as_json: bool, form: str) -> bool:
    """One meaning for the two spellings."""
    if form not in ("text", "json"):
        raise AskrError(f"--format {form}: it can be text or json", code=2)
    return as_json or form == "json"


def status_command(control_path: Socket = "", as_json: Json = False, form: Format = "text") -> None:
    """What a running server is doing: backend and reason, workers, applications, counters."""
    machine = wants_json(as_json, form)
    answer = control.ask(control.find(control_path), "status")
    if machine:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)


def _show(status: dict[str, Any]) -> None:
    from rich.console import Console

    from askrctl.cli.render_status import render

    console = Console(highlight=False)
    for part in render(status):
        console.print(part)


def reload_command(control_path: Socket = "", as_json: Json = False) -> None:
    """Start a new generation from the configuration as it is now; the old one drains."""
    path = control.find(control_path)
    answer = control.ask(path, "reload")
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"reloading: generation {answer['generation'] + 1} is starting", err=True)
        typer.echo("next: askrctl status", err=True)


def stop_command(control_path: Socket = "", as_json: Json = False) -> None:
    """Finish what runs, then end the server."""
    answer = control.ask(control.find(control_path), "stop")
    typer.echo(json.dumps(answer) if as_json else "stopping", err=not as_json)
