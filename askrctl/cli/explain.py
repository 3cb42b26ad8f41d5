# SPDX-License-Identifier: MIT
"""`askrctl explain ID`: why a check exists, how to verify it by hand, when to leave it alone.

`askrctl explain backend` is the one topic that is no check.
"""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from askrctl.model import AskrError


def explain_command(
    check_id: Annotated[
        str, typer.Argument(metavar="ID", help="As doctor names it, net.somaxconn; or backend")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    control: Annotated[
        str, typer.Option(help="With backend: the server to be asked. [env: ASKR_CONTROL]")
    ] = "",
) -> None:
    """Say why a check exists, how to verify it by hand, and when to leave things as they are.

    `askrctl explain backend` says which I/O backend a server takes here, and why.
    """
    import difflib

    from askrctl.checks import ALL, pages
    from askrctl.cli.explain_backend import explain_backend

    if check_id == "backend":
        explain_backend(as_json, control)
        return
    check = next((item for item in ALL if item.id == check_id), None)
    if check is None:
        names = [item.id for item in ALL]
        close = difflib.get_close_matches(check_id, names, n=1)
        hint = f"did you mean {close[0]}?" if close else "askrctl doctor list"
        raise AskrError(f"there is no check {check_id}", hint, code=2)
    page = pages.load()[check.id]
    if as_json:
        data = {"id": check.id, "title": check.title, "refs": list(check.refs), **asdict(page)}
        typer.echo(json.dumps(data, indent=2))
        return
    _print(check.id, check.title, check.refs, asdict(page))


_HEADS = {
    "why": "Why",
    "verify": "Verify by hand",
    "risk": "Risk of a change",
    "leave": "When to leave it",
}


def _print(check_id: str, title: str, refs: tuple[str, ...], page: dict[str, str]) -> None:
    import textwrap

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)

    def paragraph(head: str, body: str, *, literal: bool = False) -> None:
        console.print(Text(f"\n{head}", style="bold"))
        lines = [body] if literal else textwrap.wrap(body, max(20, console.width - 2))
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)

    console.print(Text.assemble((check_id, "bold"), f"  {title}"), soft_wrap=True)
    for name, head in _HEADS.items():
        paragraph(head, page[name], literal=name == "verify")
    for number, ref in enumerate(refs):
        if number == 0:
            console.print(Text("\nSource", style="bold"))
        console.print(Text(f"  {ref}"), soft_wrap=True)
    typer.echo(f"\nnext: askrctl doctor --only {check_id} --show all -v", err=True)
