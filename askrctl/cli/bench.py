# SPDX-License-Identifier: MIT
"""`askrctl bench`: an honest A/B of backends, modes and peers on your own application."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from askrctl.model import AskrError, Backend

if TYPE_CHECKING:
    from askrctl.bench.answers import Level
    from askrctl.bench.contenders import Site
    from askrctl.bench.generators import Generator
    from askrctl.bench.report import Report
    from askrctl.bench.runner import Progress, Settings

# Short runs and many rounds: neighbours in time share what disturbs them.
FULL = (3, 20)  # seconds of a run, rounds
QUICK = (1, 16)
LEVELS = ("hash", "length", "status")

app = typer.Typer(
    help="Does a backend, a mode or another server win on *your* workload? Says so, or says no.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

App = Annotated[Path, typer.Option("--app", help="The application's folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="An askr.toml for our servers.")]
Script = Annotated[
    str | None, typer.Option("--worker-script", help="Serve in worker mode with this script.")
]
Processes = Annotated[
    int, typer.Option(min=1, max=64, help="PHP processes of each worker, and of each peer.")
]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Cores of each server.")]
Seconds = Annotated[int | None, typer.Option(min=1, max=600, help="Of each run. Default: 3.")]
Rounds = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Runs of each contender. Default: 20.")
]
Warmup = Annotated[
    int, typer.Option(min=0, max=3600, help="Seconds of load before, which do not count.")
]
Connections = Annotated[int, typer.Option(min=1, max=10000, help="Kept alive.")]
Rate = Annotated[
    int, typer.Option(min=0, help="Requests per second, in the open loop. 0: as fast as it goes.")
]
ToolName = Annotated[str, typer.Option("--tool", help="oha, wrk, hey, ab or h2load.")]
Threshold = Annotated[
    float, typer.Option(min=0.1, max=50, help="Per cent of CPU time that a win must save.")
]
Validate = Annotated[
    str, typer.Option(help="What of every answer must be comparable: hash, length or status.")
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(help="Regular expression of what may differ in an answer; several may be given."),
]
Output = Annotated[Path, typer.Option(help="Where report.md, .json and .html go.")]
Quick = Annotated[bool, typer.Option("--quick", help="Sixteen rounds of one second.")]
Json = Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")]
Gate = Annotated[
    bool, typer.Option("--gate", help="Record the verdict: `--io-backend auto` follows it.")
]


def _site(path: Path, worker_script: str | None, config: Path | None, processes: int) -> "Site":
    """What `askrctl serve` would find there."""
    from askrctl import config as configuration
    from askrctl.bench.contenders import Site
    from askrctl.server.detect import detect
    from askrctl.server.plan import find_worker_script

    flags = {"php.worker_script": worker_script}
    found = detect(path)
    script = find_worker_script(configuration.load(config, flags), found)
    return Site(
        path=found.path,
        root=found.root,
        front=found.front,
        php=found.php,
        worker_script=script,
        config=config.absolute() if config else None,
        processes=processes,
    )


def _validate(level: str) -> "Level":
    if level not in LEVELS:
        raise AskrError(f"--validate {level}: it can be {', '.join(LEVELS)}", code=2)
    return cast("Level", level)


@contextmanager
def _shown(what: str, quiet: bool) -> Iterator["Progress"]:
    """A progress bar on a terminal, lines elsewhere; on stderr."""
    from askrctl.cli.bench_text import show_progress
    from askrctl.cli.interrupts import as_interrupt

    with as_interrupt(), show_progress(what, quiet) as progress:
        yield progress


def _finish(made: "Report", output: Path, as_json: bool, gate: bool) -> None:
    """Write, say, record."""
    from askrctl import config as configuration
    from askrctl import gate as records
    from askrctl.bench import report
    from askrctl.cli.bench_text import show

    paths = report.write(made, output)
    if as_json:
        typer.echo(made.json(), nl=False)
    else:
        show(made)
    for path in paths:
        typer.echo(f"wrote {path}", err=True)
    if not gate:
        return
    record = report.make_record(made)
    path = configuration.bench_record_path()
    records.write(path, record)
    typer.echo(f"recorded {path}: --io-backend auto is {record.winner} from now on", err=True)
    typer.echo("next: askrctl explain backend", err=True)


@app.command("run")
def run_command(
    url: Annotated[
        str, typer.Argument(help="http://HOST/PATH or /PATH: what to ask --app for, as HOST.")
    ],
    a: Annotated[Backend, typer.Option("--a", help="epoll or io_uring: the baseline.")],
    b: Annotated[Backend, typer.Option("--b", help="epoll or io_uring: what should win.")],
    application: App = Path(),
    config: ConfigFile = None,
    worker_script: Script = None,
    processes: Processes = 4,
    workers: Workers = 1,
    seconds: Seconds = None,
    rounds: Rounds = None,
    warmup: Warmup = 1,
    connections: Connections = 64,
    rate: Rate = 0,
    tool: ToolName = "",
    threshold: Threshold = 3.0,
    validate: Validate = "status",
    ignore: Ignore = None,
    output: Output = Path("askr-bench"),
    quick: Quick = False,
    as_json: Json = False,
    gate: Gate = False,
) -> None:
    """Compare two backends on one route. Exit: 0 win, 1 no win, 3 inconclusive or void.

    Both servers are `askrctl serve` of the application, run at once on the same cores and are
    loaded in turn. Every answer must be the same.
    """
    from askrctl.bench import generators, plan
    from askrctl.bench.verdict import Outcome

    _check_backends(a, b, gate)
    target = plan.parse_target(url)
    settings = _settings(
        (seconds, rounds, quick), target.path, connections, rate, threshold, workers
    )
    settings = replace(settings, least=_validate(validate), warmup_seconds=warmup)
    settings = replace(settings, ignored=tuple(ignore or ()))
    bench = (settings, generators.detect(tool, rate))
    site = _site(application, worker_script, config, processes)
    what = f"two servers of {site.path} are started and asked for {target.path}, Host {target.host}"
    with _shown(f"{what}\n{_promise(bench, 2)}", as_json) as progress:
        made = plan.run(site, target, (a, b), bench, progress)
    _finish(made, output, as_json, gate)
    outcome = made.comparisons[0].verdict.outcome
    raise typer.Exit({Outcome.WIN: 0, Outcome.NO_WIN: 1}.get(outcome, 3))


def _check_backends(a: Backend, b: Backend, gate: bool) -> None:
    hint = "askrctl bench run URL --a epoll --b io_uring"
    if Backend.AUTO in (a, b):
        raise AskrError("auto is what a bench decides: compare epoll with io_uring", hint, code=2)
    if gate and (a, b) != (Backend.EPOLL, Backend.IO_URING):
        raise AskrError("the gate needs --a epoll and --b io_uring", f"{hint} --gate", code=2)


@app.command("matrix")
def matrix_command(
    application: Annotated[Path, typer.Argument(help="The application's folder.")] = Path(),
    route: Annotated[str, typer.Option(help="The route to be measured.")] = "/",
    config: ConfigFile = None,
    worker_script: Script = None,
    processes: Processes = 4,
    workers: Workers = 1,
    seconds: Seconds = None,
    rounds: Rounds = None,
    warmup: Warmup = 1,
    connections: Connections = 64,
    rate: Rate = 0,
    tool: ToolName = "",
    threshold: Threshold = 3.0,
    validate: Validate = "status",
    ignore: Ignore = None,
    peers: Annotated[bool, typer.Option(help="Measure the peers that are installed.")] = True,
    output: Output = Path("askr-bench"),
    quick: Quick = False,
    as_json: Json = False,
    gate: Gate = False,
) -> None:
    """Compare every mode on both backends, and nginx, Apache, FrankenPHP… Exit: 0, or 3 if void.

    Modes are worker (where the application has a worker script), classic, or static. Peers that
    are not installed are listed as that.
    """
    from askrctl.bench import generators, plan
    from askrctl.bench import peers as others

    target = plan.parse_target(route)
    settings = _settings(
        (seconds, rounds, quick), target.path, connections, rate, threshold, workers
    )
    settings = replace(settings, least=_validate(validate), warmup_seconds=warmup)
    settings = replace(settings, ignored=tuple(ignore or ()))
    bench = (settings, generators.detect(tool, rate))
    site = _site(application, worker_script or _found_script(application), config, processes)
    site = replace(site, connections=connections)
    count = len(plan.modes(site)) * 2 + (others.count(site) if peers else 0)
    with _shown(_promise(bench, count), as_json) as progress:
        made = plan.matrix(site, target, bench, progress, peers)
    _finish(made, output, as_json, gate)
    raise typer.Exit(3 if any(one.void and one.backend for one in made.series) else 0)


@app.command("load")
def load_command(
    url: Annotated[str, typer.Argument(help="http://HOST:PORT/PATH of a running server.")],
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="How long.")] = 10,
    connections: Connections = 50,
    rate: Rate = 0,
    tool: ToolName = "",
    pid: Annotated[
        list[int] | None, typer.Option(help="Count the CPU time of this process and its children.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a server that runs already, and check its answers. No comparison, no verdict."""
    from askrctl.bench import generators, plan
    from askrctl.cli.bench_text import show_load
    from askrctl.cli.interrupts import as_interrupt

    target = plan.parse_target(url)
    if url.startswith("/"):
        raise AskrError(f"{url} names no server", f"askrctl bench load http://HOST{url}", code=2)
    generator = generators.detect(tool, rate)
    job = generators.Job(url, seconds, connections, rate, {"Host": target.host})
    if not as_json:
        typer.echo(f"{generator.name}: {seconds} s, {connections} connections", err=True)
    with as_interrupt():
        found = plan.load(url, job, generator, pid or [])
    show_load(found, as_json)
    raise typer.Exit(3 if found.trouble else 0)


# --- what the commands share ----------------------------------------------------------------------


def _found_script(path: Path) -> str | None:
    from askrctl.server.detect import detect

    script = detect(path).worker_script
    return None if script is None else str(script)


def _settings(
    lengths: tuple[int | None, int | None, bool],
    path: str,
    connections: int,
    rate: int,
    threshold: float,
    workers: int,
) -> "Settings":
    from askrctl.bench.runner import Settings, choose_cores
    from askrctl.bench.verdict import Rule

    seconds, rounds, quick = lengths
    server_cores, load_cores = choose_cores(workers)
    return Settings(
        target=path,
        seconds=seconds or (QUICK if quick else FULL)[0],
        rounds=rounds or (QUICK if quick else FULL)[1],
        connections=connections,
        rate=rate,
        server_cores=server_cores,
        load_cores=load_cores,
        rule=Rule(threshold=threshold / 100),
    )


def _promise(bench: "tuple[Settings, Generator]", count: int) -> str:
    """What is going to happen, before it does."""
    from askrctl.bench import plan

    settings, generator = bench
    minutes, seconds = divmod(round(plan.estimate_s(settings, count)), 60)
    time = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    tool = f"{generator.name} {generator.version}".strip()
    return f"{tool}, {settings.runs}, {settings.connections} connections: about {time}"
