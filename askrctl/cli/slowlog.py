# SPDX-License-Identifier: MIT
"""`askrctl slowlog`: which requests took long, and where in the code they were."""

import json
from typing import Annotated, Any

import typer

from askrctl.cli.control import Format, Json, Socket, wants_json
from askrctl.server import control

Lines = Annotated[
    int, typer.Option("--lines", "-n", min=1, max=100, help="How many, the newest first.")
]

_ONE = {"sockets": "socket", "locks": "lock", "children": "child", "stack": "kernel"}


def slowlog_command(
    lines: Lines = 10, control_path: Socket = "", as_json: Json = False, form: Format = "text"
) -> None:
    """Requests that took longer than php.slow, and processes that had to be killed."""
    machine = wants_json(as_json, form)
    answer = control.ask(control.find(control_path), "slowlog", lines=lines)
    if machine:
        typer.echo(json.dumps(answer, indent=2))
        return
    if not answer["entries"]:
        typer.echo("no request has been slow")
    for entry in answer["entries"]:
        typer.echo(text_of(entry))


def text_of(entry: dict[str, Any]) -> str:
    """One entry: a line, then the frames of PHP, then what the kernel says."""
    request = entry["request"] or "a request"
    head = f"{entry['time']}  {entry['event']} after {entry['seconds']:.1f} s  {request}"
    lines = [f"{head}  worker {entry['worker']} pid {entry['pid']}"]
    lines += [f"    {frame}" for frame in entry["trace"]]
    facts = entry["forensics"]
    waiting = f"state {facts['state']}" + (f", waits in {facts['wchan']}" if facts["wchan"] else "")
    lines.append(f"  {waiting}" + (f", syscall {facts['syscall']}" if facts["syscall"] else ""))
    for name in _ONE:
        lines += [f"  {_ONE[name]}: {item}" for item in facts[name]]
    # Names in it are the application's: they must not steer a terminal.
    return "\n".join(map(_printable, lines)) + "\n"


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
