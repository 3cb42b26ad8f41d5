# SPDX-License-Identifier: MIT
"""A doctor's run for programs: JSON, JUnit, Prometheus' textfile collector, Nagios."""

import json
import os
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from askrctl.checks.report import Result, Run, document
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
    return f"{finding.id}[{finding.instance}]" if finding.instance else finding.id


def as_junit(run: Run, fail_on: str) -> str:
    """A suite for each group, a case for each result."""
    bad = {Status.FAIL} | ({Status.WARN} if fail_on == "warn" else set())
    root = ElementTree.Element("testsuites", name="askrctl doctor")
    groups = dict.fromkeys(result.finding.group for result in run.results)
    for group in groups:
        rows = [result for result in run.results if result.finding.group == group]
        suite = ElementTree.SubElement(root, "testsuite", name=group, tests=str(len(rows)))
        failures = skipped = 0
        for result in rows:
            failed = result.counts and result.finding.status in bad
            failures += failed
            skipped += _case(suite, result, failed)
        suite.set("failures", str(failures))
        suite.set("skipped", str(skipped))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _xml(root) + "\n"


def _xml(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _case(suite: ElementTree.Element, result: Result, failed: bool) -> bool:
    finding = result.finding
    seconds = f"{finding.time_ms / 1000:.3f}"
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"askr.doctor.{finding.group}",
        name=_name(result),
        time=seconds,
    )
    text = _NOT_XML.sub("?", finding.because)
    if failed:
        failure = ElementTree.SubElement(case, "failure", type=str(finding.status), message=text)
        failure.text = _NOT_XML.sub("?", "\n".join(finding.fix.manual)) if finding.fix else ""
    elif finding.status in (Status.SKIP, Status.UNKNOWN):
        ElementTree.SubElement(case, "skipped", message=f"{finding.status}: {text}")
        return True
    elif text:
        ElementTree.SubElement(case, "system-out").text = f"{finding.status}: {text}"
    return False


# --- Prometheus -----------------------------------------------------------------------------------


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def as_prom(run: Run) -> str:
    """Values are the outcome; what a check read never becomes a label."""
    lines = [
        "# HELP askr_doctor_check_status 0 ok, 1 info, 2 warn, 3 fail, 4 unknown, -1 skip.",
        "# TYPE askr_doctor_check_status gauge",
    ]
    for result in run.results:
        finding = result.finding
        labels = (
            f'id="{finding.id}",instance="{_label(finding.instance or "")}",group="{finding.group}"'
        )
        lines.append(f"askr_doctor_check_status{{{labels}}} {_PROM_VALUES[finding.status]}")
    lines += ["# HELP askr_doctor_checks Results by status.", "# TYPE askr_doctor_checks gauge"]
    lines += [f'askr_doctor_checks{{status="{status}"}} {run.count(status)}' for status in Status]
    lines += [
        "# HELP askr_doctor_last_run_timestamp_seconds When this was written.",
        "# TYPE askr_doctor_last_run_timestamp_seconds gauge",
        f"askr_doctor_last_run_timestamp_seconds {run.started:.0f}",
    ]
    if run.io_uring is not None:
        lines += [
            "# HELP askr_doctor_io_uring_info What io_uring can do here.",
            "# TYPE askr_doctor_io_uring_info gauge",
            f'askr_doctor_io_uring_info{{verdict="{run.io_uring.verdict}",'
            f'tier="{run.io_uring.tier}",cause="{run.io_uring.cause or ""}"}} 1',
        ]
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
    first = text[: NAGIOS_LINE - len(data)] + data
    lines = [f"{finding.status} {finding.id}: {finding.because}" for finding in bad]
    return "\n".join([first, *lines]) + "\n"


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
