# SPDX-License-Identifier: MIT
"""`askrctl tune`: plan, apply, confirm, verify, revert: what changes the machine, and back."""

import json
import os
import pwd
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from askrctl import __version__
from askrctl.cli import tune_formats, tune_render
from askrctl.cli.tune_app import app_command
from askrctl.cli.tune_options import (
    HERE,
    UNIT,
    Assign,
    Json,
    Only,
    PersistOnly,
    Root,
    RuntimeOnly,
    Scope,
    Unit,
    Win,
    Yes,
    ask,
    readable,
)
from askrctl.cli.words import count
from askrctl.config import parse_seconds
from askrctl.model import AskrError, Finding
from askrctl.tune import keys, operate, planfile, units, verify
from askrctl.tune.items import Plan
from askrctl.tune.operate import Report, Which
from askrctl.tune.store import items_of
from askrctl.tune.transaction import Origin, Outcome

CODES = {"nothing": 0, "committed": 0, "reverted": 1, "partial": 3}
CODE_DRIFT = 4
CODE_PENDING = 10
CONFIRM_SECONDS_MAX = 3600.0
CONFIRM_SECONDS = 120.0  # unless somebody says otherwise, for what can cut a connection
NEVER = "never"
PLAN_FORMATS = ("text", "diff", "json", "sh")

tune = typer.Typer(
    help="Reversible changes to this machine: plan, apply, verify, revert.",
    epilog="Without a command it is `plan`, which changes nothing.",
    rich_markup_mode="markdown",
)


tune.command("app")(app_command)


@tune.callback(invoke_without_command=True)
def _bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        plan_command()


@tune.command("plan")
def plan_command(
    only: Only = None,
    assign: Assign = None,
    form: Annotated[str, typer.Option("--format", help="text, diff, json or sh.")] = "text",
    as_json: Json = False,
    runtime_only: RuntimeOnly = False,
    persist_only: PersistOnly = False,
    win: Win = False,
    unit: Unit = UNIT,
    root: Root = HERE,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 10 when there is something to change.")
    ] = False,
    print_schema: Annotated[
        bool, typer.Option("--print-schema", help="Print the JSON Schema of a plan.")
    ] = False,
) -> None:
    """Show what would change, and why. Changes nothing."""
    if print_schema:
        typer.echo(planfile.schema_text(), nl=False)
        return
    form = "json" if as_json else form
    if form not in PLAN_FORMATS:
        raise AskrError(f"--format {form}: it can be {', '.join(PLAN_FORMATS)}", code=2)
    scope = Scope(only, assign, runtime_only, persist_only, win, unit, root)
    with readable():
        tuner = operate.open_tuner(root)
        plan = scope.plan(tuner)
    _show_plan(plan, form, scope.command("apply"))
    raise typer.Exit(CODE_PENDING if exit_code and plan.items else 0)


def _show_plan(plan: Plan, form: str, command: str) -> None:
    if form == "json":
        typer.echo(json.dumps(planfile.dump(plan, __version__), indent=2))
    elif form == "diff":
        typer.echo(tune_formats.as_diff(plan), nl=False)
    elif form == "sh":
        typer.echo(tune_formats.as_shell(plan), nl=False)
    else:
        tune_render.show(tune_render.plan_text(plan, command))


@tune.command("apply")
def apply_command(
    only: Only = None,
    assign: Assign = None,
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="A plan from `plan --json`; - is stdin."),
    ] = None,
    runtime_only: RuntimeOnly = False,
    persist_only: PersistOnly = False,
    win: Win = False,
    unit: Unit = UNIT,
    root: Root = HERE,
    confirm_within: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Undo it unless `tune confirm` comes in time: 120s, the default where a network "
            "device is changed; or never.",
        ),
    ] = None,
    take_ownership: Annotated[
        bool, typer.Option("--take-ownership", help="Also where tuned or saptune is at work.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Carry out the plan. All of it, or none."""
    scope = Scope(only, assign, runtime_only, persist_only, win, unit, root)
    seconds = _seconds(confirm_within)
    with readable():
        tuner = operate.open_tuner(root)
        recovered = operate.recover(tuner, "apply")
        plan = _read_plan(plan_file, scope) or scope.plan(tuner)
        if plan.items and not yes:
            ask(plan)
        if confirm_within is None and any(keys.device(item.key) for item in plan.items):
            seconds = CONFIRM_SECONDS  # the connection that this is typed over may be the price
        origin = Origin(_who(), __version__, seconds)
        report = operate.apply_plan(tuner, plan, origin, take_ownership)
    outcome = report.outcomes[0]
    if outcome.state == "committed" and seconds is not None:
        report = replace(report, watcher=_watch(root, seconds))
    report = replace(report, recovered=(*recovered, *report.recovered))
    _end(Ending(report, plan, seconds, _check_again(scope, outcome)), as_json)


def _read_plan(plan_file: Path | None, scope: Scope) -> Plan | None:
    if plan_file is None:
        return None
    options = scope.options()
    if scope.only or scope.assign or scope.win or not (options.runtime and options.persistent):
        raise AskrError(
            "--plan is carried out as it stands: it goes with none of --only, --set, --win, "
            "--runtime-only, --persist-only",
            "askrctl tune plan --json takes them",
            code=2,
        )
    name = "standard input" if str(plan_file) == "-" else str(plan_file)
    try:
        if str(plan_file) == "-":
            data = sys.stdin.buffer.read(planfile.SIZE_MAX + 1)
        else:
            with plan_file.open("rb") as file:
                data = file.read(planfile.SIZE_MAX + 1)
    except OSError as error:
        raise AskrError(
            f"{name} cannot be read: {error.strerror}; nothing was changed",
            f"ls -l {plan_file}",
            code=2,
        ) from None
    return planfile.read(data, name, options.unit)


def _seconds(text: str | None) -> float | None:
    if text is None or text == NEVER:
        return None
    try:
        seconds = parse_seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise AskrError(f"--confirm-within {text}: it must be {error}", code=2) from None
    if not 0 < seconds <= CONFIRM_SECONDS_MAX:
        raise AskrError(f"--confirm-within {text}: at most one hour", code=2)
    return seconds


def _who() -> str:
    """The person, as far as it is known: sudo says who asked."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _watch(root: Path, seconds: float) -> int:
    """Leave somebody behind who undoes it: it outlives this command and the terminal."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "askrctl", "tune", "watch", str(seconds), "--root", str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    ).pid


@tune.command("watch", hidden=True)
def watch_command(seconds: float, root: Root = HERE) -> None:
    """Wait, then undo what nobody has confirmed."""
    tuner = operate.open_tuner(root)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(left)
    operate.expire(tuner)


def _check_again(scope: Scope, outcome: Outcome) -> tuple[Finding, ...]:
    """The checks that asked for what was changed."""
    if outcome.state != "committed":
        return ()
    from askrctl.cli import tune_checks

    names = {check for item in outcome.items for check in item.checks}
    return tuple(tune_checks.again(scope.root, scope.unit, names))


@dataclass(frozen=True, slots=True)
class Ending:
    """All that there is to say at the end. `plan` is None for a revert."""

    report: Report
    plan: Plan | None = None
    confirm_seconds: float | None = None
    checks: tuple[Finding, ...] = ()


def _end(ending: Ending, as_json: bool) -> None:
    """Say how it ended, and exit with the worst of it."""
    report = ending.report
    if as_json:
        typer.echo(json.dumps(_report_json(ending), indent=2))
    else:
        tune_render.show(tune_render.recovered_text(report.recovered), stderr=True)
        for outcome in report.outcomes:
            tune_render.show(tune_render.outcome_text(outcome, ending.confirm_seconds))
        tune_render.show(tune_render.checks_text(ending.checks))
        if report.by_hand:
            typer.echo(report.by_hand, err=True)
    raise typer.Exit(_code(report, ending.plan))


def _code(report: Report, plan: Plan | None) -> int:
    """An undo that was asked for is a success; one that had to be is not."""
    states = [outcome.state for outcome in (*report.outcomes, *report.recovered)]
    if "partial" in states:
        return CODES["partial"]
    if plan is None:
        return 0
    return max((CODES[outcome.state] for outcome in report.outcomes), default=0)


def _report_json(ending: Ending) -> dict[str, Any]:
    report, plan = ending.report, ending.plan
    return {
        "schema": "askr.tune.outcome/1",
        "outcomes": [_outcome_json(outcome) for outcome in report.outcomes],
        "recovered": [_outcome_json(outcome) for outcome in report.recovered],
        "skipped": [asdict(skip) for skip in plan.skipped] if plan is not None else [],
        "checks": [
            {"id": finding.id, "status": str(finding.status), "because": finding.because}
            for finding in ending.checks
        ],
        "by_hand": report.by_hand,
        "watcher": report.watcher,
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "transaction": outcome.number,
        "state": outcome.state,
        "because": outcome.because,
        "changed": [item.key for item in outcome.items] if outcome.state != "nothing" else [],
        "rounded": [asdict(note) for note in outcome.rounded],
        "kept": [asdict(note) for note in outcome.kept],
        "failed": [asdict(note) for note in outcome.failed],
        "unfinished": outcome.unfinished,
    }


@tune.command("confirm")
def confirm_command(root: Root = HERE) -> None:
    """Keep what `apply --confirm-within` has changed."""
    with readable():
        number, recovered = operate.confirm(operate.open_tuner(root))
    tune_render.show(tune_render.recovered_text(recovered), stderr=True)
    typer.echo(f"transaction {number} stays")


@tune.command("revert")
def revert_command(
    number: Annotated[
        int | None, typer.Argument(metavar="[TRANSACTION]", help="From `tune history`.", min=1)
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest one.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them, newest first.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID", help="Only what this check, or key, has changed."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also what somebody has changed since.")
    ] = False,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Put back what was there before, where ours still stands."""
    if only:
        if number is not None or last or everything or force:
            raise AskrError(
                "--only looks at all transactions: it goes with none of TRANSACTION, --last, "
                "--all, --force",
                code=2,
            )
        with readable():
            report = operate.revert_part(
                operate.open_tuner(root), only, Origin(_who(), __version__)
            )
        if not as_json and not report.outcomes[0].items and not report.outcomes[0].kept:
            typer.echo(f"nothing of {', '.join(only)} is in force")
            return
        _end(Ending(report, Plan(report.outcomes[0].items)), as_json)
    if (number is not None) + last + everything > 1:
        raise AskrError("one of TRANSACTION, --last and --all", "askrctl tune history", code=2)
    which: Which = number if number is not None else "all" if everything else "last"
    with readable():
        report = operate.revert(operate.open_tuner(root), which, force)
    if not report.outcomes and not report.recovered and not as_json:
        typer.echo("nothing to undo")
        return
    _end(Ending(report), as_json)


@tune.command("status")
def status_command(root: Root = HERE, as_json: Json = False) -> None:
    """What tune has changed here, and what of it no longer stands."""
    _stand(root, as_json, all_of_them=False)


@tune.command("verify")
def verify_command(root: Root = HERE, as_json: Json = False) -> None:
    """Read every changed key again: now, and by what the next boot would set."""
    _stand(root, as_json, all_of_them=True)


def _stand(root: Path, as_json: bool, all_of_them: bool) -> None:
    with readable():
        tuner = operate.open_tuner(root)
        found = operate.journals(tuner)
        standings = verify.standings(tuner.disk, tuner.facts, found)
    states = [(journal.number, tune_render.state_of(journal)) for journal in found]
    open_ends = [(number, state) for number, state in states if state not in ("in force", "undone")]
    drifted = sum(bool(standing.drift) for standing in standings)
    if as_json:
        document = {
            "schema": "askr.tune.status/1",
            "transactions": [{"number": number, "state": state} for number, state in states],
            "keys": [asdict(standing) for standing in standings],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        active = sum(state != "undone" for _, state in states)
        tune_render.show(tune_render.standing_text(standings, all_of_them))
        for line in _summary(active, len(standings), drifted):
            typer.echo(line)
        for number, state in open_ends:
            typer.echo(f"transaction {number} is {state}: {_NEXT[state]}")
    raise typer.Exit(CODE_DRIFT if drifted or open_ends else 0)


_NEXT = {
    "interrupted": "askrctl tune revert undoes it",
    "unconfirmed": "askrctl tune confirm keeps it",
    "partial": "askrctl tune revert tries again",
}


def _summary(active: int, changed: int, drifted: int) -> list[str]:
    if not active:
        return ["nothing of tune is in force here", "next: askrctl tune plan"]
    text = f"{count(active, 'transaction')}, {count(changed, 'key')}"
    following = "askrctl tune plan" if drifted else "askrctl tune history"
    return [f"{text}, {drifted} drifted", f"next: {following}"]


@tune.command("history")
def history_command(root: Root = HERE, as_json: Json = False) -> None:
    """Every transaction: when, by whom, what, and how it ended."""
    with readable():
        found = operate.journals(operate.open_tuner(root), "history")
    if not as_json:
        tune_render.show(tune_render.history_text(found))
        return
    entries = [
        {
            "transaction": journal.number,
            "started": journal.begin["started"],
            "by": journal.begin["by"],
            "version": journal.begin["version"],
            "state": tune_render.state_of(journal),
            "items": [asdict(item) for item in items_of(journal)],
            "records": [{"state": record.state, **record.data} for record in journal.records[1:]],
        }
        for journal in found
    ]
    typer.echo(json.dumps({"schema": "askr.tune.history/1", "transactions": entries}, indent=2))


@tune.command("keys")
def keys_command(as_json: Json = False) -> None:
    """Every key that tune may write, and what it may write there."""
    known = [*keys.SYSCTLS.values(), *keys.SYSFS.values(), *keys.patterns()]
    if as_json:
        document = [
            {"key": key.name, "rule": key.rule, "values": key.describe(), "host": key.host_wide}
            for key in known
        ]
        document += [
            {"key": name, "rule": directive.rule, "values": directive.pattern, "host": False}
            for name, directive in units.DIRECTIVES.items()
        ]
        typer.echo(json.dumps({"schema": "askr.tune.keys/1", "keys": document}, indent=2))
        return
    for key in known:
        typer.echo(f"{key.name}  {key.rule}  {key.describe()}")
    for name, directive in units.DIRECTIVES.items():
        typer.echo(f"{UNIT}: {name}  {directive.rule}")
