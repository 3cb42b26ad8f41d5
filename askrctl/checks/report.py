# SPDX-License-Identifier: MIT
"""A run of the doctor as one document, schema askr.doctor/1: the source of every output format.

Changes only add. Filters of the text output do not touch it: it always holds every result.
"""

import datetime
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from askrctl import __version__
from askrctl.checks.accept import Acceptance, find
from askrctl.checks.frame import Context
from askrctl.model import Finding, Fix, ProbeVerdict, Setting, Status
from askrctl.probes import machine
from askrctl.probes.host import CannotTell, key_values

SCHEMA = "askr.doctor/1"
SEVERITY = {
    Status.FAIL: "error",
    Status.WARN: "warning",
    Status.UNKNOWN: "warning",
    Status.INFO: "note",
    Status.SKIP: "none",
    Status.OK: "none",
}
WORST_FIRST = (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.INFO, Status.SKIP, Status.OK)


@dataclass(frozen=True, slots=True)
class Result:
    """A finding, and who accepted it."""

    finding: Finding
    acceptance: Acceptance | None = None

    @property
    def counts(self) -> bool:
        return self.acceptance is None


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, on what, for whom."""

    context: Context
    profile_reason: str
    results: tuple[Result, ...]
    io_uring: ProbeVerdict | None
    started: float
    duration_ms: float
    truncated: bool = False
    redact: bool = False

    def count(self, status: Status) -> int:
        return sum(r.counts and r.finding.status is status for r in self.results)

    @property
    def worst(self) -> Status:
        held = [status for status in WORST_FIRST if self.count(status)]
        bad = [status for status in held if status not in (Status.SKIP, Status.OK)]
        return bad[0] if bad else Status.OK


def results_of(
    findings: Sequence[Finding], accepted: Sequence[Acceptance], now: float
) -> tuple[Result, ...]:
    """Findings with their acceptances."""
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    return tuple(Result(finding, find(accepted, finding, today)) for finding in findings)


def exit_status(run: Run, fail_on: str) -> int:
    """0 fine, 1 the answer is no, 3 nothing could be found out."""
    known = [r for r in run.results if r.finding.status is not Status.UNKNOWN]
    if run.results and not known:
        return 3
    bad = {"fail": [Status.FAIL], "warn": [Status.FAIL, Status.WARN], "never": []}[fail_on]
    return 1 if any(run.count(status) for status in bad) else 0


def fingerprint(finding: Finding) -> str:
    """The same for the same fact of the same thing, run after run."""
    text = f"{finding.id}\0{finding.instance or ''}"
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


_KINDS = {
    "SysctlSetting": "sysctl",
    "FileSetting": "file",
    "UnitSetting": "systemd-dropin",
    "PhpSetting": "php-ini",
}


def _setting(setting: Setting) -> dict[str, Any]:
    fields = {name: getattr(setting, name) for name in setting.__dataclass_fields__}
    return {"method": _KINDS[type(setting).__name__], **fields}


def _fix(fix: Fix, check_id: str) -> dict[str, Any]:
    return {
        "tunable": fix.tunable,
        "default_plan": fix.default_plan,
        "method": _setting(fix.settings[0])["method"] if fix.settings else "manual",
        "commands": list(commands(fix, check_id)),
        "manual": list(fix.manual),
        "settings": [_setting(setting) for setting in fix.settings],
        "needs": list(fix.needs),
        "reversible": fix.reversible,
        "risk": fix.risk,
    }


def commands(fix: Fix, check_id: str) -> tuple[str, ...]:
    """What to type: our own command where we have one."""
    if fix.commands or not fix.tunable:
        return fix.commands
    return (f"askrctl tune apply --only {check_id}",)


def result_dict(result: Result) -> dict[str, Any]:
    """One element of `results`."""
    f = result.finding
    accepted = result.acceptance
    return {
        "id": f.id,
        "group": f.group,
        "title": f.title,
        "status": str(f.status),
        "severity": SEVERITY[f.status],
        "current": _plain(f.current),
        "wanted": {"op": f.wanted.op, "value": _plain(f.wanted.value)} if f.wanted else None,
        "unit": f.unit,
        "scope": f.scope,
        "instance": f.instance,
        "because": f.because,
        "reason": f.reason,
        "evidence": [{"source": item.source, "value": item.value} for item in f.evidence],
        "fix": _fix(f.fix, f.id) if f.fix else None,
        "refs": list(f.refs),
        "context": f.context,
        "time_ms": f.time_ms,
        "fingerprint": fingerprint(f),
        "accepted": None
        if accepted is None
        else {
            "reason": accepted.reason,
            "until": accepted.until.isoformat() if accepted.until else None,
        },
    }


def _host(run: Run) -> dict[str, Any]:
    host = run.context.host
    release = key_values(host.get("/etc/os-release"), "=")
    distro = f"{release.get('ID', 'unknown')} {release.get('VERSION_ID', '')}".strip()
    machine_id = host.get("/etc/machine-id")
    try:
        memory: int | None = machine.memory_bytes(host)
    except (CannotTell, FileNotFoundError):
        memory = None
    name = host.get("/proc/sys/kernel/hostname", "unknown")
    return {
        "hostname": "redacted" if run.redact else name,
        "machine_id_hash": hashlib.sha256(machine_id.encode()).hexdigest()[:16]
        if machine_id
        else None,
        "boot_id": None if run.redact else host.get("/proc/sys/kernel/random/boot_id") or None,
        "kernel": host.get("/proc/sys/kernel/osrelease", "unknown"),
        "distro": distro,
        "arch": host.get("/proc/sys/kernel/arch") or architecture(run.context),
        "virt": machine.hypervisor(host) or None,
        "container": machine.is_container(host),
        "cpus": len(machine.online(host)),
        "mem_bytes": memory,
    }


def architecture(context: Context) -> str:
    """uname -m: /proc/sys/kernel/arch is there since Linux 6.1."""

    def ask() -> str:
        import os

        return os.uname().machine

    try:
        return str(context.host.probe("architecture", ask))
    except CannotTell:
        return "unknown"


def _io_uring(verdict: ProbeVerdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "verdict": verdict.verdict,
        "tier": verdict.tier,
        "cause": verdict.cause,
        "detail": verdict.detail,
        "fix": verdict.fix,
        "probes": {
            name: {"ok": p.ok, "min": p.minimum, "tier": p.tier, "detail": p.detail}
            for name, p in verdict.probes.items()
        },
    }


def document(run: Run) -> dict[str, Any]:
    """The whole of a run."""
    target = run.context.target
    started = datetime.datetime.fromtimestamp(run.started, datetime.UTC)
    return {
        "schema": SCHEMA,
        "tool": {"name": "askrctl", "version": __version__},
        "run": {
            "id": str(uuid.uuid4()),
            "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "duration_ms": round(run.duration_ms),
            "profile": str(run.context.profile),
            "profile_reason": run.profile_reason,
            "target": {
                "kind": target.kind,
                "name": target.name,
                "uid": target.uid,
                "context": target.context,
            },
            "workers": run.context.workers,
            "root": str(run.context.host.root),
            "privileged": target.uid == 0,
            "truncated": run.truncated,
        },
        "host": _host(run),
        "summary": {
            **{str(status): run.count(status) for status in Status},
            "accepted": sum(not result.counts for result in run.results),
            "worst": str(run.worst),
        },
        "results": [result_dict(result) for result in run.results],
        "io_uring": _io_uring(run.io_uring),
    }
