# SPDX-License-Identifier: MIT
"""`askrctl check app`: what one user's request would leave for the next one, in worker mode."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from askrctl.cli.control import Format, Json, wants_json
from askrctl.model import AskrError

if TYPE_CHECKING:
    from askrctl.appcheck.leak import Slope
    from askrctl.appcheck.run import Result
    from askrctl.appcheck.verdict import Finding

app = typer.Typer(help="Is something fit for what it is to be used for?", no_args_is_help=True)

EPILOG = """
**Examples**

`askrctl check app . --route / --route /login --route "POST /cart sku=7&note={user}"`

`askrctl check app . --routes tests/routes.txt --json` — in CI: exit status 1 when something bled
"""

_TITLES = {
    "bled": "bled: it reaches, or would reach, another user",
    "restored": "left behind by requests, put back by the server",
    "note": "notes: it changes between requests; is that meant?",
}
_LEVELS = ("bled", "restored", "note")


def check_app(
    path: Annotated[Path, typer.Argument(help="The application's folder.")] = Path(),
    route: Annotated[
        list[str] | None,
        typer.Option(help='"/shop", or "POST /login name={user}"; several times. Default: /'),
    ] = None,
    routes: Annotated[
        Path | None, typer.Option(help="A file of routes, one a line; # begins a comment.")
    ] = None,
    worker_script: Annotated[
        str | None, typer.Option(help="Default: what is found, as askrctl serve suggests it.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="An askr.toml, for its [php].")] = None,
    rounds: Annotated[
        int, typer.Option(min=10, max=10000, help="How often both users ask each route.")
    ] = 30,
    leak: Annotated[
        float, typer.Option(min=0.0, help="KiB per request of a route that are no leak yet.")
    ] = 0.1,
    strict: Annotated[
        bool, typer.Option("--strict", help="What was put back, and notes, fail as well.")
    ] = False,
    as_json: Json = False,
    form: Format = "text",
) -> None:
    """Serve an application in worker mode to two users in turns, and report what bled.

    One process serves all of it; after each request PHP reports what lasts in it: superglobals,
    statics, globals, settings, locale, environment, handlers, transactions, memory. Exit status 0:
    clean; 1: something bled, or memory leaks; 2: misuse; 3: it could not be found out.
    """
    from askrctl.appcheck.routes import read
    from askrctl.appcheck.run import Wish, check
    from askrctl.config import load
    from askrctl.server.detect import detect

    machine = wants_json(as_json, form)
    wanted = read(route or [], routes)
    application = detect(path.resolve())
    flags = {"php.worker_script": worker_script}
    settings = load(config, flags)
    script = _script(settings.php.worker_script, application.path, application.worker_script)
    wish = Wish(application.path, script, settings, wanted, rounds, leak)
    result = check(wish, _tell if sys.stderr.isatty() and not machine else lambda *_: None)
    if machine:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _show(result)
    failing = _LEVELS if strict else ("bled",)
    if result.leaks or any(item.level in failing for item in result.findings):
        raise typer.Exit(1)


check_app.__doc__ = f"{check_app.__doc__}\n{EPILOG}"
app.command("app")(check_app)


def _script(given: str, path: Path, found: Path | None) -> Path:
    hint = "askrctl check app PATH --worker-script public/worker.php"
    if not given and found is None:
        what = f"no worker script was found in {path}: classic mode has nothing that could bleed"
        raise AskrError(what, hint, code=2)
    candidates = [path / given, Path(given).absolute()] if given else [found]
    for script in candidates:
        if script is not None and script.is_file():
            return script.resolve()
    raise AskrError(f"the worker script {given} does not exist", hint, code=2)


def _tell(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} requests", end=end, file=sys.stderr, flush=True)


def _show(result: "Result") -> None:
    typer.echo(f"{result.path}, {result.script}: {result.requests} requests of two users")
    for route, counts in result.statuses.items():
        said = ", ".join(f"{count}× {status}" for status, count in counts.items())
        typer.echo(f"  {route}: {said}")
    for level in _LEVELS:
        findings = [item for item in result.findings if item.level == level]
        if findings:
            typer.echo(f"\n{_TITLES[level]}")
        for item in findings:
            typer.echo(f"  {_line(item)}")
    typer.echo("\nmemory, KiB per request (95 % confidence)")
    typer.echo(f"  PHP      {_slope(result.php_memory)}")
    typer.echo(f"  process  {_slope(result.process_memory)}")
    for route, found in result.leaks.items():
        typer.echo(f"  leak     {_slope(found)}  {route}")
    if not result.bled and not result.leaks:
        typer.echo("\nnothing bled")


def _line(item: "Finding") -> str:
    where = f" [{', '.join(item.routes[:3])}{', …' if len(item.routes) > 3 else ''}]"
    text = f"{item.category} {item.name}: {item.why}{where if item.routes else ''}"
    # Names are the application's: they must not steer a terminal.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _slope(found: "Slope | None") -> str:
    if found is None:
        return "not known: the process did not live through all of it"
    return f"{found.estimate:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
