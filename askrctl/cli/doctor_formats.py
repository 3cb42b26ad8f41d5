# SPDX-License-Identifier: MIT
"""A doctor's run for programs: JSON, JUnit, Prometheus' textfile collector, Nagios."""

import json
import os
import re
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from askrctl.checks.report import Result, Run, commands, document
from askrctl.cli import NAGIOS_LINE
from askrctl.model import Status

_PROM_VALUES = {
    Status.OK: 0,
    Status.INFO: 1,
    Status.WARN: 2,
    Status.FAIL: 3,
    Status.UNKNOWN: 4,
    Status.SKIP: -1,
}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(run: Run) -> str:
    return json.dumps(document(run), indent=2) + "\n"


# --- JUnit ----------------------------------------------------------------------------------------


def _name(result: Result) -> str:
    finding = result.finding
    return _clean(f"{finding.id}[{finding.instance}]" if finding.instance else finding.id)


def _clean(text: str) -> str:
    """What XML 1.0 can hold."""
    return _NOT_XML.sub("?", text)


def as_junit(run: Run, fail_on: str) -> str:
    """A suite for each group, a case for each result: what Jenkins' junit-10.xsd demands, and
    GitLab, which shows the text of a failure and not its message, understands.
    """
    bad = {Status.FAIL} | ({Status.WARN} if fail_on == "warn" else set())
    root = ElementTree.Element("testsuites", name="askrctl doctor")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    groups = dict.fromkeys(result.finding.group for result in run.results)
    for group in groups:
        rows = [result for result in run.results if result.finding.group == group]
        suite = ElementTree.SubElement(root, "testsuite", name=group)
        counts = {"tests": len(rows), "failures": 0, "errors": 0, "skipped": 0}
        for result in rows:
            failed = result.counts and result.finding.status in bad
            counts["failures"] += failed
            counts["skipped"] += _case(suite, result, failed)
        for name, count in counts.items():
            suite.set(name, str(count))
        suite.set("time", _seconds(sum(result.finding.time_ms for result in rows)))
        suite.set("timestamp", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(run.started)))
        totals = {name: count + counts[name] for name, count in totals.items()}
    for name, count in totals.items():
        root.set(name, str(count))
    root.set("time", _seconds(run.duration_ms))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _xml(root) + "\n"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def _xml(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _case(suite: ElementTree.Element, result: Result, failed: bool) -> bool:
    """One result; True when it counts as skipped."""
    finding = result.finding
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"askr.doctor.{finding.group}",
        name=_name(result),
        time=_seconds(finding.time_ms),
    )
    text = _clean(finding.because)
    if failed:
        failure = ElementTree.SubElement(case, "failure", type=str(finding.status), message=text)
        failure.text = _clean("\n".join(_failure_lines(result)))
    elif finding.status in (Status.SKIP, Status.UNKNOWN):
        ElementTree.SubElement(case, "skipped", message=f"{finding.status}: {text}")
        return True
    elif text:
        accepted = "" if result.acceptance is None else f" (accepted: {result.acceptance.reason})"
        said = ElementTree.SubElement(case, "system-out")
        said.text = _clean(f"{finding.status}: {text}{accepted}")
    return False


def _failure_lines(result: Result) -> list[str]:
    finding = result.finding
    fixes = [*commands(finding.fix, finding.id), *finding.fix.manual] if finding.fix else []
    return [
        finding.because,
        *(f"{item.source}: {item.value}" for item in finding.evidence),
        *(f"fix: {line}" for line in fixes if line),
        f"askrctl explain {finding.id}",
    ]


# --- Prometheus -----------------------------------------------------------------------------------

_ACCEPTED = 1  # a warning that somebody accepted must not ring


def _label(text: str) -> str:
    """Escaped as the text format wants it (0.0.4)."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _gauge(name: str, text: str, *samples: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", *(f"{name}{item}" for item in samples)]


def _sample(result: Result) -> str:
    """`item`, because Prometheus takes `instance` for the host that it asked."""
    finding = result.finding
    value = _PROM_VALUES[finding.status] if result.counts else _ACCEPTED
    item = _label(finding.instance or "")
    return f'{{id="{finding.id}",item="{item}",group="{finding.group}"}} {value}'


def as_prom(run: Run) -> str:
    """Values are the outcome; what a check read never becomes a label."""
    counts = {str(status): run.count(status) for status in Status}
    counts["accepted"] = sum(not result.counts for result in run.results)
    lines = [
        *_gauge(
            "askr_doctor_check_status",
            "0 ok, 1 info or accepted, 2 warn, 3 fail, 4 unknown, -1 skip.",
            *map(_sample, run.results),
        ),
        *_gauge(
            "askr_doctor_checks",
            "Results by status; accepted ones count as that.",
            *(f'{{status="{status}"}} {count}' for status, count in counts.items()),
        ),
        *_gauge(
            "askr_doctor_last_run_timestamp_seconds",
            "When the last run began, Unix time.",
            f" {run.started:.0f}",
        ),
        *_gauge(
            "askr_doctor_last_run_duration_seconds",
            "How long the last run took.",
            f" {_seconds(run.duration_ms)}",
        ),
    ]
    if (found := run.io_uring) is not None:
        labels = f'verdict="{found.verdict}",tier="{found.tier}",cause="{found.cause or ""}"'
        lines += _gauge(
            "askr_doctor_io_uring_info", "What io_uring can do here.", f"{{{labels}}} 1"
        )
    return "\n".join(lines) + "\n"


# --- Nagios ---------------------------------------------------------------------------------------

_NAGIOS_WORDS = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}


def nagios_status(run: Run) -> int:
    if run.count(Status.FAIL):
        return 2
    if run.count(Status.WARN):
        return 1
    known = any(result.finding.status is not Status.UNKNOWN for result in run.results)
    return 0 if known else 3


def as_nagios(run: Run) -> str:
    """A first line of at most 80 characters with performance data, then one line a finding."""
    bad = [
        result.finding
        for status in (Status.FAIL, Status.WARN)
        for result in run.results
        if result.counts and result.finding.status is status
    ]
    fails, warns = run.count(Status.FAIL), run.count(Status.WARN)
    data = f" | fail={fails};;0 warn={warns};0; time={run.duration_ms / 1000:.2f}s"
    text = f"ASKR {_NAGIOS_WORDS[nagios_status(run)]} - {fails} fail {warns} warn"
    if bad:
        text += f": {bad[0].id}"
        if bad[0].current is not None:
            text += f" ({bad[0].current})"
    first = _one_line(text)[: NAGIOS_LINE - len(data)] + data
    rest = (_one_line(f"{item.status} {item.id}: {item.because}") for item in bad)
    return "\n".join([first, *rest]) + "\n"


def _one_line(text: str) -> str:
    """A bar begins performance data, in any line."""
    return " ".join(text.replace("|", "/").split())


# --- files ----------------------------------------------------------------------------------------


def write_whole(path: Path, data: bytes) -> None:
    """A reader finds the old file or the new one, never a part (rename(2))."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
