# SPDX-License-Identifier: MIT
"""`askrctl status`, `reload`, `rollback`, `stop`: talk to a server over its control socket."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from askrctl.cli.words import count
from askrctl.config import url_path
from askrctl.model import AskrError
from askrctl.server import control

VERIFY_PERIOD_S = 0.05

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
    for part in render(status, console.width):
        console.print(part)


def reload_command(
    control_path: Socket = "",
    as_json: Json = False,
    form: Format = "text",
    verify: Annotated[
        bool, typer.Option("--verify", help="Wait for the proof that nothing old serves any more.")
    ] = False,
    check: Annotated[
        str, typer.Option(help="With --verify: each new worker must answer this path below 500.")
    ] = "/",
    timeout: Annotated[
        float, typer.Option(min=1, help="With --verify: seconds to wait. Exit status 3 after them.")
    ] = 120.0,
) -> None:
    """Start a new generation from the configuration as it is now; the old one drains.

    With --verify it returns when every process is of the new generation and serves the release
    that the path leads to now; else the old generation serves on, the reason is told, and the exit
    status is 1.
    """
    machine = wants_json(as_json, form)
    path = control.find(control_path)
    if verify:
        _verify(path, check, timeout, machine)
        return
    answer = control.ask(path, "reload")
    if machine:
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"reloading: generation {answer['generation'] + 1} is starting", err=True)
        typer.echo("next: askrctl status", err=True)


def _verify(path: Path, check: str, timeout: float, as_json: bool) -> None:
    try:
        url_path(check or "/")
    except ValueError as error:
        raise AskrError(f"--check {check}: it must be {error}", "--check /up", code=2) from None
    ticket = control.ask(path, "reload", verify=True, check=check)["ticket"]
    state = _wait(path, ticket, "reload", timeout)
    if as_json:
        typer.echo(json.dumps(state, indent=2))
    if state["state"] == "failed":
        kept = f"generation {state['generation']} serves on"
        raise AskrError(f"the new generation failed: {state['detail']}; {kept}", "askrctl status")
    if not as_json:
        typer.echo(_proof(state))


def _wait(path: Path, ticket: int, what: str, timeout: float) -> dict[str, Any]:
    """Until it is proven or has failed."""
    deadline = time.monotonic() + timeout
    while True:
        state = control.ask(path, "reload_state", ticket=ticket)
        if state["state"] in ("proven", "failed"):
            return state
        if time.monotonic() > deadline:
            known = state["detail"] or "no more is known"
            raise AskrError(
                f"the {what} is still {state['state']}: {known}", "askrctl status", code=3
            )
        time.sleep(VERIFY_PERIOD_S)


def _proof(state: dict[str, Any]) -> str:
    return (
        f"generation {state['generation']} serves {state['release']}: "
        f"{count(state['workers'], 'worker')}, {count(state['processes'], 'process')}, "
        "nothing else serves"
    )


def rollback_command(
    control_path: Socket = "",
    as_json: Json = False,
    form: Format = "text",
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for the proof. Exit status 3 after them.")
    ] = 120.0,
) -> None:
    """Serve by the previous generation again, which server.keep_previous has kept warm.

    New connections are its own within milliseconds; the command returns when the generation that
    was rolled back has finished what it had, and nothing of it is left.
    """
    machine = wants_json(as_json, form)
    path = control.find(control_path)
    answer = control.ask(path, "rollback")
    if not machine:
        typer.echo(f"generation {answer['generation']} takes the connections", err=True)
    state = _wait(path, answer["ticket"], "rollback", timeout)
    if machine:
        typer.echo(json.dumps(state, indent=2))
    if state["state"] == "failed":
        raise AskrError(f"the rollback failed: {state['detail']}", "askrctl status")
    if machine:
        return
    if state["switched_ms"] is not None:
        typer.echo(f"switched from generation {state['from']} in {state['switched_ms']} ms")
    typer.echo(_proof(state))
    if state["path_leads_to"] != state["release"]:
        typer.echo(f"next: PATH leads to {state['path_leads_to']}, and so would a reload", err=True)


def stop_command(control_path: Socket = "", as_json: Json = False, form: Format = "text") -> None:
    """Finish what runs, then end the server."""
    machine = wants_json(as_json, form)
    answer = control.ask(control.find(control_path), "stop")
    typer.echo(json.dumps(answer) if machine else "stopping", err=not machine)
