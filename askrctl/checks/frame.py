# SPDX-License-Identifier: MIT
"""What a check is, what it is given, and how it becomes a Finding.

A check is a value: an id, a title and a function from a Context to answers. It reads through the
context's host, never writes, and may raise only CannotTell and NotApplicable; whatever else it
raises is a fault of ours and becomes a Finding that says so.
"""

import fnmatch
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from askrctl.config import Config
from askrctl.model import Evidence, Finding, Fix, Status, Value, Wanted
from askrctl.probes.host import CannotTell, Host, NotApplicable, Recorder
from askrctl.probes.process import Target

BUDGET_MS = 500.0  # of one check; a slower one says so in its evidence
SAMPLE_S = 0.4  # between two readings of a counter
FILES_RESERVE = 256  # descriptors of a worker that are no connections


class Profile(StrEnum):
    """How severely to judge."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that the server listens on, or will."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        return bool(self.path) or self.host in ("127.0.0.1", "::1", "localhost")

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is running, as its control socket tells."""

    pid: int
    user: str
    workers: tuple[int, ...]  # pids
    apps: tuple[int, ...]  # pids of application processes
    backend: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a check may look at."""

    host: Host
    target: Target = field(default_factory=Target)
    config: Config = field(default_factory=Config)
    profile: Profile = Profile.PRODUCTION
    workers: int = 1
    backlog: int = 4096
    listeners: tuple[Listener, ...] = ()
    server: Server | None = None
    docroot: str = ""
    unit: str = ""
    certificates: tuple[tuple[str, str], ...] = ()  # files: certificate, key
    network: bool = False
    timeout_s: float = 10.0
    first_samples: dict[str, str] = field(default_factory=dict)
    sample_s: float = 0.0

    # --- reading ----------------------------------------------------------------------------------

    def sysctl(self, key: str) -> str:
        """A value below /proc/sys."""
        try:
            return self.host.read(sysctl_path(key))
        except FileNotFoundError:
            raise NotApplicable(f"this kernel has no {key}") from None

    def sysctl_int(self, key: str) -> int:
        return self.sysctl_ints(key)[0]

    def sysctl_ints(self, key: str) -> list[int]:
        text = self.sysctl(key)
        try:
            numbers = [int(word) for word in text.split()]
        except ValueError:
            numbers = []
        if not numbers:
            raise CannotTell(f"{sysctl_path(key)} holds {text[:40]!r}, not a number")
        return numbers

    def counters(self, path: str) -> tuple[str, str]:
        """The same file at the start of the run, and now."""
        try:
            return self.first_samples.get(path) or self.host.read(path), self.host.read_again(path)
        except FileNotFoundError:
            raise NotApplicable(f"this kernel has no {path}") from None

    @property
    def pid(self) -> str:
        """The target's folder in /proc."""
        return str(self.target.pid) if self.target.pid is not None else "self"

    @property
    def files_needed(self) -> int:
        """Descriptors of a worker: a client and an upstream for each connection, and ours."""
        return self.config.limits.connections * 2 + FILES_RESERVE


def sysctl_path(key: str) -> str:
    return "/proc/sys/" + key.replace(".", "/")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check says of one instance. `because` may be empty only when all is well."""

    status: Status
    because: str = ""
    current: Value = None
    wanted: Wanted | None = None
    fix: Fix | None = None
    evidence: tuple[Evidence, ...] = ()
    instance: str | None = None
    unit: str = ""
    reason: str | None = None

    def at(self, source: str, value: object) -> "Answer":
        """The same, with one more piece of evidence."""
        return replace(self, evidence=(*self.evidence, Evidence(source, str(value)[:200])))

    def to(self, instance: str) -> "Answer":
        return replace(self, instance=instance)


def ok(current: Value = None, because: str = "", **more: object) -> Answer:
    return Answer(Status.OK, because, current, **more)  # type: ignore[arg-type]


def info(because: str, current: Value = None, **more: object) -> Answer:
    return Answer(Status.INFO, because, current, **more)  # type: ignore[arg-type]


def warn(because: str, current: Value = None, **more: object) -> Answer:
    return Answer(Status.WARN, because, current, **more)  # type: ignore[arg-type]


def fail(because: str, current: Value = None, **more: object) -> Answer:
    return Answer(Status.FAIL, because, current, **more)  # type: ignore[arg-type]


Judge = Callable[[Context], "Answer | Iterable[Answer]"]


@dataclass(frozen=True, slots=True)
class Check:
    """`vital` ones keep their status in development: the server cannot run.

    `host_only` facts belong to the machine and cannot be changed from inside a container; `sampled`
    ones compare two readings, so they run last; `network` ones leave this machine and run only
    when asked for.
    """

    id: str
    title: str
    judge: Judge
    scope: str = "host"  # host, netns, process, device, file
    needs: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    vital: bool = False
    host_only: bool = False
    sampled: bool = False
    network: bool = False
    tunable: bool = False

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]


# --- running --------------------------------------------------------------------------------------


def _cap(check: Check, answer: Answer, context: Context) -> Answer:
    """In development only what keeps the server from running may be worse than a remark."""
    lenient = context.profile is Profile.DEVELOPMENT and not check.vital
    if lenient and answer.status in (Status.WARN, Status.FAIL):
        return replace(answer, status=Status.INFO)
    if context.profile is Profile.CONTAINER and check.host_only:
        return replace(
            answer,
            status=Status.SKIP,
            because="host-only: it cannot be changed from inside a container; ask on the host",
            fix=None,
        )
    return answer


def _finding(check: Check, answer: Answer, context: Context, time_ms: float) -> Finding:
    answer = _cap(check, answer, context)
    if time_ms > BUDGET_MS:
        answer = answer.at("time", f"took {time_ms:.0f} ms, more than {BUDGET_MS:.0f}")
    return Finding(
        id=check.id,
        group=check.group,
        title=check.title,
        status=answer.status,
        because=answer.because,
        current=answer.current,
        wanted=answer.wanted,
        unit=answer.unit,
        scope=check.scope,
        instance=answer.instance,
        evidence=answer.evidence,
        fix=answer.fix,
        refs=check.refs,
        context=context.target.context if check.scope == "process" else "self",
        reason=answer.reason,
        time_ms=round(time_ms, 2),
    )


def _answers(check: Check, context: Context) -> list[Answer]:
    try:
        found = check.judge(context)
        answers = [found] if isinstance(found, Answer) else list(found)
    except NotApplicable as error:
        return [Answer(Status.SKIP, str(error))]
    except CannotTell as error:
        return [Answer(Status.UNKNOWN, str(error))]
    except FileNotFoundError as error:
        return [Answer(Status.SKIP, f"this machine has no {error.args[0]}")]
    except (ValueError, LookupError) as error:  # a file does not hold what it should
        sentence = f"what this machine says could not be understood: {error}"
        trace = traceback.format_exc(limit=-3)
        return [Answer(Status.UNKNOWN, sentence, evidence=(Evidence("traceback", trace),))]
    except Exception as error:  # a check that crashes is a finding, not a traceback
        sentence = (
            f"this check failed, which is a fault of askrctl: {type(error).__name__}: {error}"
        )
        trace = traceback.format_exc(limit=-3)
        return [Answer(Status.UNKNOWN, sentence, evidence=(Evidence("traceback", trace),))]
    return answers or [Answer(Status.SKIP, "there is nothing here that this applies to")]


EVIDENCE_MAX = 4  # sources; a check that reads more says itself which of them matter


def _sources(read: Recorder, target: Target) -> tuple[Evidence, ...]:
    """What a check has read, for those that do not say it themselves."""
    found = [
        Evidence(path, " ".join(text.split())[:120])
        for path, text in read.files.items()
        if not path.startswith(("/etc/sysctl", "/usr/lib/sysctl", "/run/sysctl"))
    ]
    found += [
        Evidence(f"{path}, later", " ".join(text.split())[:120])
        for path, text in read.later.items()
        if path not in read.files
    ]
    found += [Evidence(path, "may not be read") for path in sorted(read.denied)]
    found += [Evidence(name, str(answer)[:120]) for name, answer in read.probes.items()]
    found.sort(key=lambda item: item.source == "/proc/mounts")  # most only look a place up in it
    if not found:  # it looked at the target only, which was read before
        limits = ", ".join(f"{name} {soft}:{hard}" for name, (soft, hard) in target.limits.items())
        found = [Evidence(f"target {target.kind}", f"user id {target.uid}, {limits}")]
    return tuple(found[:EVIDENCE_MAX])


def run_one(check: Check, context: Context) -> list[Finding]:
    """All findings of one check; never raises."""
    read = Recorder()
    watched = replace(context, host=replace(context.host, recorder=read))
    started = time.perf_counter()
    answers = _answers(check, watched)
    elapsed = (time.perf_counter() - started) * 1000.0
    if context.host.recorder is not None:
        context.host.recorder.add(read)
    quiet = (Status.OK, Status.SKIP)
    answers = [
        answer
        if answer.evidence or answer.status in quiet
        else replace(answer, evidence=_sources(read, context.target))
        for answer in answers
    ]
    return [_finding(check, answer, context, elapsed / len(answers)) for answer in answers]


SAMPLED_FILES = (
    "/proc/net/netstat",
    "/proc/net/snmp",
    "/proc/net/softnet_stat",
    "/proc/stat",
    "/proc/vmstat",
    "/proc/net/dev",
)


def run(checks: Sequence[Check], context: Context) -> Iterator[Finding]:
    """Every check in order, those that compare two readings last."""
    started = time.monotonic()
    sampled = [check for check in checks if check.sampled]
    if sampled:
        first = {path: context.host.get(path) for path in SAMPLED_FILES}
        context = replace(context, first_samples=first)
    for check in checks:
        if not check.sampled:
            if time.monotonic() - started > context.timeout_s:
                late = f"the time limit of {context.timeout_s:g} s was reached before this check"
                yield _finding(check, Answer(Status.UNKNOWN, late), context, 0.0)
                continue
            yield from run_one(check, context)
    if not sampled:
        return
    gone = time.monotonic() - started
    if context.host.live and gone < SAMPLE_S:
        time.sleep(SAMPLE_S - gone)
        gone = SAMPLE_S
    context = replace(context, sample_s=gone if context.host.live else SAMPLE_S)
    for check in sampled:
        yield from run_one(check, context)


def matches(check_id: str, patterns: Iterable[str]) -> bool:
    """An id, a group, or a glob: net.somaxconn, net, net.tcp_*."""
    group = check_id.partition(".")[0]
    return any(
        pattern in (check_id, group) or fnmatch.fnmatchcase(check_id, pattern)
        for pattern in patterns
    )


def select(
    checks: Sequence[Check], only: Sequence[str], skip: Sequence[str], network: bool
) -> tuple[Check, ...]:
    """What to run. A network check runs when asked for, by its flag or by its name."""
    return tuple(
        check
        for check in checks
        if (not only or matches(check.id, only))
        and not matches(check.id, skip)
        and (not check.network or network or check.id in only)
    )
