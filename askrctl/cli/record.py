# SPDX-License-Identifier: MIT
"""`askrctl record`: samples of what a running server is asked and answers, in a file."""

import json
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from askrctl.cli.control import Format, Json, Socket, wants_json
from askrctl.config import parse_size
from askrctl.model import AskrError
from askrctl.server import control

if TYPE_CHECKING:
    from askrctl.traffic.file import Header
    from askrctl.traffic.redact import Rules

File = Annotated[Path, typer.Argument(help="Where to; it must not be there yet.")]
Rate = Annotated[int, typer.Option(min=1, max=10000, help="Requests a second, at most.")]
OneIn = Annotated[int, typer.Option(min=1, help="Of so many requests one.")]
BodySize = Annotated[str, typer.Option(help="Kept of each body; 64K at most.")]
MaxSize = Annotated[str, typer.Option(help="The file ends at this size.")]
Count = Annotated[int, typer.Option(min=0, help="End after so many requests. 0: do not.")]
Seconds = Annotated[float, typer.Option(min=0, help="End after so many seconds. 0: do not.")]
RedactHeader = Annotated[
    list[str] | None, typer.Option(help="A header field that is taken out as well.")
]
KeepHeader = Annotated[
    list[str] | None, typer.Option(help="A header field that stays: Cookie, for example.")
]
RedactParameter = Annotated[
    list[str] | None,
    typer.Option(help="A parameter of queries, forms and JSON that is taken out as well."),
]
KeepAnswers = Annotated[
    bool, typer.Option("--keep-answers", help="Keep bodies of answers, not only their hashes.")
]
KeepUploads = Annotated[
    bool,
    typer.Option("--keep-uploads", help="Keep request bodies that are neither form nor JSON."),
]


def record_command(
    file: File,
    rate: Rate = 100,
    one_in: OneIn = 1,
    body_size: BodySize = "64K",
    max_size: MaxSize = "64M",
    count: Count = 0,
    seconds: Seconds = 0.0,
    redact_header: RedactHeader = None,
    keep_header: KeepHeader = None,
    redact_parameter: RedactParameter = None,
    keep_answers: KeepAnswers = False,
    keep_uploads: KeepUploads = False,
    control_path: Socket = "",
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Record samples of a running server's traffic, until a bound or Ctrl-C.

    Authorization, cookies and the like are taken out, and so are parameters such as password and
    token in queries, forms and JSON. Of answers only a hash is kept, unless --keep-answers.
    `askrctl replay FILE` asks the same again.
    """
    from askrctl.traffic import recorder
    from askrctl.traffic.redact import FIELDS, PARAMETERS, Rules

    machine = wants_json(as_json, form)
    rules = Rules(
        fields=_names(FIELDS, redact_header, keep_header),
        parameters=_names(PARAMETERS, redact_parameter, None),
        kept=_names((), keep_header, None),
        keep_bodies=keep_answers,
        keep_all_requests=keep_uploads,
    )
    bounds = recorder.Bounds(_size(max_size, "--max-size"), count, seconds)
    amount = {"rate": rate, "one_in": one_in, "body_max": _size(body_size, "--body-size")}
    server = control.find(control_path)
    application = control.ask(server, "status")["application"]["release"]
    stopped = _stops()
    ours, theirs = recorder.pair()
    with recorder.create(file) as output, closing(ours):
        with closing(theirs):
            try:
                control.ask(server, "record", fds=[theirs.fileno()], **amount)
            except AskrError:
                file.unlink()  # nothing was recorded
                raise
        if not machine:
            typer.echo(f"recording to {file}: Ctrl-C ends it", err=True)
        one = recorder.Recorder(ours, output, rules, bounds)
        end = one.run(_header(application, rules), stopped)
    if machine:
        typer.echo(json.dumps({"file": str(file), "ended": one.why, **asdict(end)}))
        return
    typer.echo(f"{end.records} requests recorded, {end.lost} lost, {end.skipped} over the rate")
    typer.echo(f"ended: {one.why}", err=True)
    typer.echo(f"next: askrctl replay {file} --against recorded,epoll --path PATH", err=True)


def _names(known: Iterable[str], more: list[str] | None, less: list[str] | None) -> frozenset[str]:
    names = {name.lower() for name in (*known, *(more or []))}
    return frozenset(names - {name.lower() for name in less or []})


def _size(text: str, flag: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise AskrError(f"{flag} {text}: it must be {error}", f"{flag} 64K", code=2) from None


def _header(application: str, rules: "Rules") -> "Header":
    from askrctl.traffic.file import Header

    return Header(
        created=round(time.time(), 3),
        application=application,
        redacted_fields=rules.named_fields,
        redacted_parameters=rules.named_parameters,
    )


def _stops() -> Callable[[], bool]:
    """Whether Ctrl-C or SIGTERM has come: then the file is ended as it should be."""
    heard: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: heard.append(number))
    return lambda: bool(heard)
