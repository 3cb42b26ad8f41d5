# SPDX-License-Identifier: MIT
"""`askrctl doctor`: is this machine fit to serve, and if not, exactly why and what fixes it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from askrctl.model import AskrError, Finding, ProbeVerdict, Status

HELP = """
Find out whether this machine is fit to serve, and if not, exactly why and what fixes it.

Reads and tries; never changes anything. Answers for the server that runs here, or else for you.

**Examples**

`askrctl doctor` — everything, worst first

`askrctl doctor --only iouring --show all` — one group, with what is fine

`askrctl doctor --profile production --fail-on warn` — as a gate in a pipeline

`askrctl doctor --target user:www-data` — for a server that would run as www-data
"""

app = typer.Typer(
    help=HELP,
    invoke_without_command=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

MIN_NAMES = ("fail", "warn", "unknown", "info", "skip", "ok")
FAIL_ON = ("fail", "warn", "never")
FORMATS = ("text", "json", "junit", "prom", "nagios")
Only = Annotated[
    list[str] | None, typer.Option("--only", help="An id, a group, or a pattern such as net.tcp_*.")
]
Skip = Annotated[list[str] | None, typer.Option("--skip", help="The same, to leave out.")]
Root = Annotated[Path, typer.Option("--root", help="A captured machine: a folder, or a bundle.")]
Target = Annotated[str, typer.Option("--target", help="auto, self, user:NAME, unit:NAME or pid:N.")]
ProfileName = Annotated[
    str, typer.Option("--profile", help="auto, development, production or container.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="An askr.toml.")]
AppPath = Annotated[Path | None, typer.Option("--path", help="The application's folder.")]
Control = Annotated[
    str, typer.Option("--control", help="The server's control socket. [env: ASKR_CONTROL]")
]


@dataclass(frozen=True, slots=True)
class Selection:
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    accept: Path | None = None


def seconds(text: str) -> float:
    """5, 5s, 500ms, 2m."""
    from askrctl.config import parse_seconds

    try:
        return parse_seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise AskrError(f"{text!r} is not {error}", code=2) from None


def split(given: list[str] | None) -> tuple[str, ...]:
    """--only a --only b, or --only a,b."""
    return tuple(word for item in given or () for word in item.split(",") if word)


def check_names(patterns: tuple[str, ...], option: str) -> None:
    """A pattern that matches nothing is a mistake, not an empty answer."""
    import difflib

    from askrctl.checks import ALL
    from askrctl.checks.frame import matches

    for pattern in patterns:
        if not any(matches(check.id, [pattern]) for check in ALL):
            names = [check.id for check in ALL] + [check.group for check in ALL]
            close = difflib.get_close_matches(pattern, names, n=1)
            hint = f"did you mean {close[0]}?" if close else "askrctl doctor list"
            raise AskrError(f"{option} {pattern} matches no check", hint, code=2)


def shown_statuses(minimum: str, show: str) -> frozenset[Status]:
    """What the text form shows. JSON always has everything."""
    if show == "all":
        return frozenset(Status)
    names = show.split(",") if show else []
    for name in (*names, minimum):
        if name not in MIN_NAMES:
            message = f"{name!r} is no status"
            raise AskrError(message, f"one of {', '.join(MIN_NAMES)}, or --show all", code=2)
    if names:
        return frozenset(Status(name) for name in names)
    return frozenset(Status(name) for name in MIN_NAMES[: MIN_NAMES.index(minimum) + 1])


def verdict_of(context: Any) -> ProbeVerdict | None:
    """The io_uring verdict, unless it could not be found out at all."""
    from askrctl.checks import uring
    from askrctl.probes.host import CannotTell

    try:
        return uring.verdict(context)
    except CannotTell:
        return None


def acceptances(host: Any, path: Path | None) -> Any:
    """Of the file given, or of the machine's own."""
    from askrctl.checks import accept
    from askrctl.probes.host import CannotTell

    if path is not None:
        try:
            return accept.parse(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise AskrError(f"{path} cannot be read: {error}", f"ls -l {path}", code=2) from None
    try:
        return accept.parse(host.read(accept.PATH))
    except (FileNotFoundError, CannotTell):
        return ()


def open_machine(root: Path, recorder: Any = None) -> Any:
    """The machine to look at; AskrError when the folder is none."""
    from askrctl.probes.host import open_host

    hint = "askrctl doctor bundle makes such a folder"
    if not root.is_dir():
        raise AskrError(f"{root} is not a folder", hint, code=2)
    try:
        return open_host(root, recorder)
    except (ValueError, OSError) as error:
        raise AskrError(f"{root} is not a captured machine: {error}", hint, code=2) from None


def execute(host: Any, words: Any, selection: Selection) -> Any:
    """One run of the doctor."""
    from askrctl import checks
    from askrctl.checks import report
    from askrctl.cli import doctor_context

    started, clock = time.time(), time.monotonic()
    accepted = acceptances(host, selection.accept)
    context, why = doctor_context.build(host, words)
    chosen = checks.select(checks.ALL, selection.only, selection.skip, words.network)
    findings: list[Finding] = list(checks.run(chosen, context))
    order = {check.id: index for index, check in enumerate(checks.ALL)}
    findings.sort(key=lambda finding: order[finding.id])
    wants_verdict = any(check.group == "iouring" for check in chosen)
    return report.Run(
        context=context,
        profile_reason=why,
        results=report.results_of(findings, accepted, host.now()),
        io_uring=verdict_of(context) if wants_verdict else None,
        started=started,
        duration_ms=(time.monotonic() - clock) * 1000.0,
        truncated=any("time limit" in finding.because for finding in findings),
    )


@app.callback()
def doctor_command(
    context: typer.Context,
    profile: ProfileName = "auto",
    target: Target = "auto",
    only: Only = None,
    skip: Skip = None,
    minimum: Annotated[
        str, typer.Option("--min", help="Least status that the text shows.")
    ] = "info",
    show: Annotated[
        str, typer.Option("--show", help="Statuses that the text shows: ok,skip,..., or all.")
    ] = "",
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="Exit with 1 from this on: fail, warn or never.")
    ] = "fail",
    form: Annotated[
        str, typer.Option("--format", help="text, json, junit, prom or nagios.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write to this file, as a whole.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the evidence as well.")
    ] = False,
    network: Annotated[
        bool, typer.Option("--network", help="Also what asks other machines (DNS).")
    ] = False,
    timeout: Annotated[str, typer.Option(help="For all checks together.")] = "10s",
    watch: Annotated[str, typer.Option(help="Again and again: say what changed. 5s, 1m")] = "",
    config: ConfigFile = None,
    path: AppPath = None,
    control: Control = "",
    certificate: Annotated[
        list[str] | None, typer.Option(help="Also judge CERT.pem or CERT.pem,KEY.pem.")
    ] = None,
    accept: Annotated[
        Path | None, typer.Option(help="Accepted findings. Default: /etc/askr/doctor.toml.")
    ] = None,
    root: Root = Path("/"),
    print_schema: Annotated[
        bool, typer.Option("--print-schema", help="The JSON Schema of --json.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if print_schema:
        typer.echo(schema_text(), nl=False)
        return
    from askrctl.cli.doctor_context import Words

    words = Words(
        target=target,
        profile=profile,
        config=config,
        path=path,
        control=control,
        certificates=tuple(certificate or ()),
        network=network,
        timeout_s=seconds(timeout),
    )
    choice = Selection(split(only), split(skip), accept)
    wish = Wish(
        "json" if as_json else form, minimum, show, fail_on, output, watch=watch, verbose=verbose
    )
    raise typer.Exit(_doctor(root, words, choice, wish))


@dataclass(frozen=True, slots=True)
class Wish:
    """How the answer is to look."""

    form: str
    minimum: str
    show: str
    fail_on: str
    output: Path | None
    watch: str = ""
    verbose: bool = False


def _doctor(root: Path, words: Any, choice: Selection, wish: Wish) -> int:
    if wish.form not in FORMATS:
        names = ", ".join(FORMATS)
        raise AskrError(f"--format {wish.form}: it can be {names}", code=2)
    if wish.fail_on not in FAIL_ON:
        raise AskrError(f"--fail-on {wish.fail_on}: it can be fail, warn or never", code=2)
    shown_statuses(wish.minimum, wish.show)
    check_names(choice.only, "--only")
    check_names(choice.skip, "--skip")
    from askrctl.cli.doctor_bundle import opened

    with opened(root) as folder:
        run = execute(open_machine(folder), words, choice)
        code = _deliver(run, wish)
        if wish.watch:
            return _watch(folder, words, choice, wish)
    return code


def _deliver(run: Any, wish: Wish) -> int:
    from askrctl.checks import report
    from askrctl.cli import doctor_formats as formats

    if wish.form == "text" and wish.output is None:
        _print_text(run, wish)
    else:
        text = _as_text(run, wish)
        if wish.output is None:
            typer.echo(text, nl=False)
        else:
            _write(wish.output, text)
    if wish.form == "nagios":
        return formats.nagios_status(run)
    return report.exit_status(run, wish.fail_on)


def _as_text(run: Any, wish: Wish) -> str:
    from askrctl.cli import doctor_formats as formats

    match wish.form:
        case "json":
            return formats.as_json(run)
        case "junit":
            return formats.as_junit(run, wish.fail_on)
        case "prom":
            return formats.as_prom(run)
        case "nagios":
            return formats.as_nagios(run)
    return _text(run, wish)


def _write(path: Path, text: str) -> None:
    from askrctl.cli import doctor_formats as formats

    try:
        formats.write_whole(path, text.encode())
    except OSError as error:
        hint = f"ls -ld {path.parent}"
        raise AskrError(f"{path} cannot be written: {error.strerror}", hint, code=3) from None


def _print_text(run: Any, wish: Wish) -> None:
    from rich.console import Console

    from askrctl.cli.doctor_text import show

    statuses = shown_statuses(wish.minimum, wish.show)
    show(Console(highlight=False, soft_wrap=False), run, statuses, evidence=wish.verbose)


def _text(run: Any, wish: Wish) -> str:
    import io

    from rich.console import Console

    from askrctl.cli.doctor_text import show

    buffer = io.StringIO()
    statuses = shown_statuses(wish.minimum, wish.show)
    show(Console(file=buffer, width=80, highlight=False), run, statuses, evidence=wish.verbose)
    return buffer.getvalue()


def _watch(root: Path, words: Any, choice: Selection, wish: Wish) -> int:
    """Until it is interrupted: one line for each finding that changes."""
    interval = seconds(wish.watch)
    before: dict[tuple[str, str | None], Status] = {}
    while True:
        run = execute(open_machine(root), words, choice)
        now = {(r.finding.id, r.finding.instance): r.finding for r in run.results}
        for key, finding in now.items():
            old = before.get(key)
            if old is not None and old is not finding.status:
                clock = time.strftime("%H:%M:%S")
                name = f"{key[0]}[{key[1]}]" if key[1] else key[0]
                typer.echo(f"{clock} {name}: {old} -> {finding.status}: {finding.because}")
        before = {key: finding.status for key, finding in now.items()}
        time.sleep(interval)


def schema_text() -> str:
    """The published JSON Schema."""
    from importlib.resources import files

    return (files("askrctl.checks") / "doctor-1.schema.json").read_text()


@app.command("list")
def list_command(
    group: Annotated[str, typer.Option(help="Only this group.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Every check: id, title, and whether tune can change what it finds."""
    from askrctl.checks import ALL

    groups = {check.group for check in ALL}
    if group and group not in groups:
        raise AskrError(f"there is no group {group}", ", ".join(sorted(groups)), code=2)
    rows = [check for check in ALL if not group or check.group == group]
    if as_json:
        fields = ("id", "group", "title", "scope", "tunable", "host_only", "sampled", "network")
        data = [{name: getattr(check, name) for name in fields} for check in rows]
        typer.echo(json.dumps({"schema": "askr.doctor.list/1", "checks": data}, indent=2))
        return
    width = max(len(check.id) for check in rows)
    for check in rows:
        mark = "  (tune)" if check.tunable else ""
        typer.echo(f"{check.id:<{width}}  {check.title}{mark}")
    typer.echo(f"{len(rows)} checks; next: askrctl explain {rows[0].id}", err=True)


@app.command("bundle")
def bundle_command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file to write, NAME.tar.gz.")
    ] = Path("askr-support.tar.gz"),
    redact: Annotated[
        bool, typer.Option("--redact/--no-redact", help="Take names, users and secrets out.")
    ] = True,
    target: Target = "auto",
    profile: ProfileName = "auto",
    config: ConfigFile = None,
    path: AppPath = None,
    control: Control = "",
) -> None:
    """Pack what the doctor reads and finds here; `askrctl doctor --root FILE` replays it."""
    from dataclasses import replace

    from askrctl.checks.report import document
    from askrctl.cli import doctor_bundle
    from askrctl.cli.doctor_context import Words
    from askrctl.probes.host import Recorder

    if not output.name.endswith(doctor_bundle.SUFFIX):
        raise AskrError(f"{output}: the name must end with {doctor_bundle.SUFFIX}", code=2)
    recorder = Recorder()
    words = Words(target=target, profile=profile, config=config, path=path, control=control)
    run = execute(open_machine(Path("/"), recorder), words, Selection())
    report = document(replace(run, redact=redact))
    users = {"root", run.context.target.name, run.context.config.server.user}
    files = doctor_bundle.tree(recorder, run.started, users, redact=redact)
    files["report.json"] = json.dumps(report, indent=1).encode()
    count = doctor_bundle.write(output, files, recorder.links, run.started)
    typer.echo(f"{output}: {count} files", err=True)
    typer.echo(f"next: askrctl doctor --root {output} --show all", err=True)


@app.command("diff")
def diff_command(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="A report of doctor --json.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare two reports: two machines, or before and after. Exits with 1 when they differ."""
    from askrctl.cli import doctor_diff

    changes = doctor_diff.compare(doctor_diff.load(before), doctor_diff.load(after))
    if as_json:
        typer.echo(json.dumps({"schema": "askr.doctor.diff/1", "changes": changes}, indent=2))
    else:
        for line in doctor_diff.lines(changes):
            typer.echo(line)
    raise typer.Exit(1 if changes else 0)
