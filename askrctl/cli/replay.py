# SPDX-License-Identifier: MIT
"""`askrctl replay`: the requests of a recording asked again, and the answers compared."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from askrctl.cli.control import Format, Json, wants_json
from askrctl.model import AskrError

if TYPE_CHECKING:
    from askrctl.traffic.compare import Difference
    from askrctl.traffic.file import Recorded
    from askrctl.traffic.replay import Finding, Outcome, Wishes

SHOWN_MAX = 20  # differing requests, without --diff


def replay_command(
    file: Annotated[Path, typer.Argument(help="What `askrctl record` wrote.")],
    against: Annotated[
        str,
        typer.Option(
            help="Two or more of epoll, io_uring (started for this), http://HOST:PORT, recorded: "
            "separated by commas. All are compared with the first."
        ),
    ] = "recorded,epoll",
    path: Annotated[
        Path | None,
        typer.Option(help="The application for epoll and io_uring. Default: as recorded."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Its askr.toml.")] = None,
    any_method: Annotated[
        bool, typer.Option("--any-method", help="Also what may change something: POST, DELETE, …")
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A header field whose differences do not count.")
    ] = None,
    ignore_body: Annotated[
        list[str] | None, typer.Option(help="Regular expression: what it matches in a body.")
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show every difference, both sides of it.")
    ] = False,
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Ask the recorded requests again and compare the answers. Exit: 0 same, 1 different.

    Status, fields and body have to be the same, byte for byte, but for what differs from one
    answer to the next anyway (Date, Set-Cookie, …: the report names it).
    """
    from askrctl.cli.interrupts import as_interrupt
    from askrctl.traffic import file as files
    from askrctl.traffic.replay import check_names, opened, replay

    machine = wants_json(as_json, form)
    names = [name.rstrip("/") for name in against.split(",") if name]
    check_names(names)
    wishes = _wishes(ignore or [], ignore_body or [], any_method)
    recorded = files.read(file)
    where = path or Path(recorded.header.application)
    with as_interrupt(), opened(names, where, config) as targets:
        outcome = replay(recorded, targets, wishes)
    if machine:
        typer.echo(json.dumps(_as_json(file, names, wishes, outcome), indent=2))
    else:
        _show(names, recorded, wishes, outcome, diff)
    if not outcome.asked:
        hint = f"askrctl replay {file} --any-method, or record more"
        raise AskrError("no request of the file could be asked again", hint, code=3)
    raise typer.Exit(1 if outcome.findings else 0)


def _wishes(fields: list[str], bodies: list[str], any_method: bool) -> "Wishes":
    from askrctl.bench.answers import patterns
    from askrctl.traffic.compare import IGNORED, Ignores
    from askrctl.traffic.replay import Wishes

    names = frozenset((*IGNORED, *(name.lower() for name in fields)))
    return Wishes(Ignores(names, patterns(bodies)), any_method)


def _as_json(file: Path, names: list[str], wishes: "Wishes", outcome: "Outcome") -> dict[str, Any]:
    return {
        "schema": "askr.replay/1",
        "file": str(file),
        "against": names,
        "ignored_fields": sorted(wishes.ignores.fields),
        "ignored_body": [pattern.pattern.decode() for pattern in wishes.ignores.body],
        "asked": outcome.asked,
        "skipped": outcome.skipped,
        "differing": outcome.differing,
        "findings": [asdict(finding) for finding in outcome.findings],
    }


def _show(
    names: list[str], recorded: "Recorded", wishes: "Wishes", outcome: "Outcome", diff: bool
) -> None:
    findings = outcome.findings if diff else outcome.findings[:SHOWN_MAX]
    for finding in findings:
        typer.echo(_text_of(finding, names[0], diff))
    if len(findings) < len(outcome.findings):
        typer.echo(f"… and {len(outcome.findings) - len(findings)} more: --diff shows all")
    total = len(recorded.exchanges)
    typer.echo(
        f"{outcome.asked} of {total} requests asked of {', '.join(names)}: "
        f"{outcome.asked - outcome.differing} the same, {outcome.differing} different"
    )
    for reason, count in sorted(outcome.skipped.items()):
        typer.echo(f"{count} not asked: {reason}", err=True)
    if recorded.end is None:
        typer.echo("the recording was not ended: its last requests may be missing", err=True)
    typer.echo(f"ignored: {', '.join(sorted(wishes.ignores.fields))}", err=True)


def _named(item: "Difference") -> str:
    """What differs; where there was no answer, why."""
    if item.what != "answer":
        return item.what
    return "; ".join(side for side in (item.left, item.right) if side != "answered")


def _text_of(finding: "Finding", first: str, diff: bool) -> str:
    what = ", ".join(_named(item) for item in finding.differences)
    lines = [f"{finding.number}: {finding.method} {finding.target}: {finding.against}: {what}"]
    if diff:
        for item in finding.differences:
            lines += [f"  {item.what}", f"    - {first}: {item.left}"]
            lines += [f"    + {finding.against}: {item.right}"]
    # What stands in it is a server's: it must not steer a terminal.
    return "\n".join(
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        for line in lines
    )
