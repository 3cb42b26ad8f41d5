# SPDX-License-Identifier: MIT
"""`askrctl tune app`: what an application costs here, and what askr.toml should say for it.

Measures with a server of its own, on a copy of nothing: a GET that writes, writes. Changes no file;
`--write` makes a new one.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from askrctl import __version__
from askrctl import config as configuration
from askrctl.model import AskrError

if TYPE_CHECKING:
    from askrctl.bench.application import Job, Measurement
    from askrctl.bench.sizing import Machine, Sizing

SCHEMA = "askr.tune.app/1"
FORMATS = ("text", "json", "toml", "diff")
REQUESTS_MAX = 1000
ROUTES_MAX = 100
ROUTES_SIZE_MAX = 1 << 20  # bytes of a --routes file

AppFolder = Annotated[Path, typer.Argument(metavar="[PATH]", help="The application's folder.")]
RouteOption = Annotated[
    list[str] | None,
    typer.Option("--route", help="A path to GET; several may be given. Default: /"),
]
RoutesFile = Annotated[
    Path | None,
    typer.Option("--routes", metavar="FILE", help="Paths to GET, one a line; # begins a comment."),
]
ConfigFile = Annotated[Path | None, typer.Option(help="The server's askr.toml.")]
Script = Annotated[
    str | None, typer.Option("--worker-script", help="Measure worker mode, with this script.")
]
Requests = Annotated[int, typer.Option(min=3, max=REQUESTS_MAX, help="GETs of each route.")]
Host = Annotated[str, typer.Option(help="The Host field, for applications that look at it.")]
Form = Annotated[str, typer.Option("--format", help="text, json, toml or diff (against --config).")]
Write = Annotated[
    Path | None, typer.Option("--write", metavar="FILE", help="Also make this file: an askr.toml.")
]


@dataclass(frozen=True, slots=True)
class Result:
    """All that there is to show."""

    job: "Job"
    machine: "Machine"
    measurement: "Measurement"
    sizing: "Sizing"
    made: str


def app_command(
    path: AppFolder = Path(),
    route: RouteOption = None,
    routes: RoutesFile = None,
    requests: Requests = 20,
    config: ConfigFile = None,
    worker_script: Script = None,
    host: Host = "",
    form: Form = "text",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    write: Write = None,
    print_schema: Annotated[
        bool, typer.Option("--print-schema", help="Print the JSON Schema of --json.")
    ] = False,
) -> None:
    """Measure an application, and propose sizes for askr.toml. Sends GETs only; edits nothing."""
    if print_schema:
        typer.echo(schema_text(), nl=False)
        return
    form = "json" if as_json else form
    if form not in FORMATS:
        raise AskrError(f"--format {form}: it can be {', '.join(FORMATS)}", code=2)
    if write is not None and os.path.lexists(write):
        raise AskrError(
            f"{write} is there already, and only new files are written",
            "askrctl tune app --format diff --config " + str(write),
            code=2,
        )
    job = _job(path, _routes(route, routes), config, worker_script)
    result = _measure(job, requests, host)
    _show(result, form, config)
    if write is not None:
        _write(write, _file(result))


def schema_text() -> str:
    """The JSON Schema of the answer."""
    return files("askrctl.bench").joinpath("app-1.schema.json").read_text()


# --- what was asked for ---------------------------------------------------------------------------


def _routes(given: list[str] | None, file: Path | None) -> tuple[str, ...]:
    found = list(given or [])
    if file is not None:
        try:
            with file.open() as lines:
                text = lines.read(ROUTES_SIZE_MAX)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise AskrError(
                f"--routes {file} cannot be read: {reason}", f"ls -l {file}", code=2
            ) from None
        stripped = (line.split("#")[0].strip() for line in text.splitlines())
        found += [line for line in stripped if line]
        if not found:
            raise AskrError(f"--routes {file} names no route", "one path a line: /", code=2)
    found = list(dict.fromkeys(found or ["/"]))
    for target in found:
        if not target.startswith("/") or not target.isascii() or not target.isprintable():
            raise AskrError(
                f"{target!r} is no path of a route", "--route /path, ASCII and encoded", code=2
            )
        if " " in target:
            raise AskrError(f"{target!r} has a blank in it", "--route with %20", code=2)
    if len(found) > ROUTES_MAX:
        raise AskrError(f"{len(found)} routes: {ROUTES_MAX} at most", code=2)
    return tuple(found)


def _job(path: Path, routes: tuple[str, ...], config: Path | None, script: str | None) -> "Job":
    from askrctl.bench.application import Job
    from askrctl.bench.contenders import Site
    from askrctl.server import credentials
    from askrctl.server.detect import detect
    from askrctl.server.plan import find_worker_script

    loaded = configuration.load(config, {"php.worker_script": script})
    try:
        found = detect(path.resolve())
    except AskrError as error:
        hint = "askrctl tune app PATH, where PATH is the folder of a PHP application"
        raise AskrError(error.message, hint, code=2) from None
    worker_script = find_worker_script(loaded, found)
    if not found.php and worker_script is None:
        raise AskrError(
            f"{found.sentence}: there is nothing to size", "askrctl tune app PATH", code=2
        )
    site = Site(found.path, found.root, found.front, True, worker_script)
    return Job(site, loaded, routes, who=credentials.choose(loaded.server, found.path))


def _measure(job: "Job", requests: int, host: str) -> Result:
    import tempfile
    from dataclasses import replace

    from askrctl.bench import application, sizing
    from askrctl.cli.interrupts import as_interrupt
    from askrctl.probes import php

    job = replace(job, requests=requests, host=host)
    php_config = job.config.php
    facts = php.describe(php.find_libphp(php_config.library), php.module_path(), php_config)
    with as_interrupt(), tempfile.TemporaryDirectory(prefix="askr-app-") as folder:
        measurement = application.measure(job, Path(folder))
    machine = _machine()
    before = sizing.Before(facts["ini"], facts["opcache"]["memory_free"])
    return Result(
        job,
        machine,
        measurement,
        sizing.propose(measurement, machine, job.config, before),
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _machine() -> "Machine":
    """Of this process: its affinity and its cgroups."""
    from askrctl.bench.sizing import Machine
    from askrctl.probes import machine
    from askrctl.probes.host import open_host

    host = open_host()
    return Machine(
        len(machine.affinity(host)),
        machine.cpu_quota(host),
        machine.memory_bytes(host),
        machine.memory_limit(host),
    )


# --- what comes of it -----------------------------------------------------------------------------


def _show(result: Result, form: str, config: Path | None) -> None:
    from askrctl.cli import tune_app_text, tune_app_toml

    tables = tune_app_toml.tables(result.sizing, result.job.config)
    if form == "json":
        typer.echo(json.dumps(document(result), indent=2))
    elif form == "toml":
        typer.echo(_file(result), nl=False)
    elif form == "diff":
        typer.echo(tune_app_toml.as_diff(config, tables), nl=False)
    else:
        for line in tune_app_text.lines(result, tune_app_toml.render(tables)):
            typer.echo(line)


def document(result: Result) -> dict[str, Any]:
    """schema askr.tune.app/1; changes only add."""
    from askrctl.cli import tune_app_toml

    found = result.measurement
    return {
        "schema": SCHEMA,
        "tool": {"name": "askrctl", "version": __version__},
        "made": result.made,
        "application": {
            "path": str(result.job.site.path),
            "mode": found.mode,
            "scripts": found.scripts,
        },
        "machine": asdict(result.machine),
        "routes": [{**asdict(route), "blocking": route.blocking} for route in found.routes],
        "memory": asdict(found.memory),
        "memory_limit": found.memory_limit,
        "realpath": found.realpath,
        "opcache": asdict(found.caches) if found.caches is not None else None,
        "items": [
            {
                "key": item.key,
                "file": "php.ini" if item.ini else "askr.toml",
                "before": item.before,
                "want": item.want,
                "changes": item.changes,
                "measured": item.measured,
                "why": item.why,
            }
            for item in result.sizing.proposals
        ],
        "notes": list(result.sizing.notes),
        "fragment": tune_app_toml.render(tune_app_toml.tables(result.sizing, result.job.config)),
    }


def _file(result: Result) -> str:
    from askrctl.cli import tune_app_toml

    tables = tune_app_toml.tables(result.sizing, result.job.config)
    asked = " ".join(result.job.routes[:3]) + (" ..." if len(result.job.routes) > 3 else "")
    return (
        f"# From `askrctl tune app {result.job.site.path}`, {result.made}: GET {asked}.\n"
        + tune_app_toml.render(tables)
    )


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        raise AskrError(
            f"{path} cannot be written: {error.strerror}", f"ls -ld {path.parent}", code=3
        ) from None
    typer.echo(f"{path} was written; next: askrctl serve --config {path}", err=True)
