# SPDX-License-Identifier: MIT
"""Values that all layers share. Imports none of ours, decides nothing."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class AskrError(Exception):
    """What went wrong, in one sentence, and what to type next.

    `code` is the exit status: 1 the answer is no, 2 misuse, 3 could not find out. `key` is the
    setting whose value is to blame, "section.key": config/origin.py adds where that comes from.
    """

    def __init__(self, message: str, hint: str = "", *, code: int = 1, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.key = key


class Backend(StrEnum):
    """I/O backends by the names operators use."""

    AUTO = "auto"
    IO_URING = "io_uring"
    EPOLL = "epoll"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a process runs as. Groups are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One functional probe: what was tried and what came of it."""

    ok: bool
    minimum: str = ""  # the first kernel that has it
    tier: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """What io_uring can do here. `cause` is None when it is usable, else a reason code."""

    verdict: Literal["usable", "unusable"]
    tier: str = "T0"
    cause: str | None = None
    detail: str = ""
    fix: str = ""
    probes: dict[str, ProbeResult] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return self.verdict == "usable"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which backend runs, and why: the same words in the log, the status and the metrics."""

    requested: Backend
    active: Backend
    reason: str
    detail: str = ""
    fix: str = ""

    def log_line(self) -> str:
        text = (
            f"event=backend io_backend={self.active} wanted={self.requested} reason={self.reason}"
        )
        if self.detail:
            text += f' detail="{self.detail}"'
        if self.fix:
            text += f' fix="{self.fix}"'
        return text


class Status(StrEnum):
    """Outcome of a check. `unknown`: it applies, but the facts could not be read."""

    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    UNKNOWN = "unknown"


Value = str | int | float | bool | None | tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What would be fine: `op` is one of >= <= == != in."""

    op: str
    value: Value

    def __str__(self) -> str:
        value = ", ".join(map(str, self.value)) if isinstance(self.value, tuple) else self.value
        return f"{value}" if self.op == "==" else f"{self.op} {value}"


Rule = Literal["raise", "set", "append"]  # never lower; exactly; add to a comma-separated list


@dataclass(frozen=True, slots=True)
class SysctlSetting:
    """A key below /proc/sys, in dots. `column` is the field meant of a value that has several."""

    key: str
    value: str
    rule: Rule = "raise"
    column: int | None = None


@dataclass(frozen=True, slots=True)
class FileSetting:
    """A file below /sys that holds one value; persistent by tmpfiles.d."""

    path: str
    value: str
    rule: Rule = "set"


@dataclass(frozen=True, slots=True)
class UnitSetting:
    """A directive of the server's unit, for a drop-in: LimitNOFILE, AmbientCapabilities, ..."""

    directive: str
    value: str
    rule: Rule = "raise"
    section: str = "Service"


@dataclass(frozen=True, slots=True)
class PhpSetting:
    """A line of php.ini, for a file in the scan folder of the server's own SAPI."""

    name: str
    value: str
    rule: Rule = "set"


Setting = SysctlSetting | FileSetting | UnitSetting | PhpSetting


@dataclass(frozen=True, slots=True)
class Fix:
    """A remedy as data: nothing here is ever executed by the code that found the fault.

    `settings` are for `askrctl tune`; a fix without any is for a human. `default_plan` says that
    tune applies it unasked; otherwise only when it is named.
    """

    commands: tuple[str, ...] = ()
    manual: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    default_plan: bool = False
    reversible: bool = True
    risk: Literal["low", "medium", "high"] = "low"

    @property
    def tunable(self) -> bool:
        return bool(self.settings)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, with everything needed to understand it alone."""

    id: str
    group: str
    title: str
    status: Status
    because: str = ""
    current: Value = None
    wanted: Wanted | None = None
    unit: str = ""
    scope: str = "host"
    instance: str | None = None
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    refs: tuple[str, ...] = ()
    context: str = "self"
    reason: str | None = None  # a code for programs, such as seccomp_eperm
    time_ms: float = 0.0
