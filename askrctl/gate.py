# SPDX-License-Identifier: MIT
"""The record of a bench: what `bench --gate` found on this machine, and what `auto` follows.

Signed by its content: a hash over everything in it, and the facts of the machine that it was taken
on. That is no secret and stops no forger; it stops a record that was edited by hand, copied from
another machine, or outlived by a kernel or a release, from deciding anything. Such a record is
refused with a reason, and `auto` is epoll.

Happy path: bench calls write(path, sign(...)); serve calls read(path), gets the same BenchRecord.
"""

import hashlib
import json
import os
import platform
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from askrctl import __version__
from askrctl.model import AskrError, Backend

SCHEMA = "askr.bench-record/1"
SIZE_MAX = 64 * 1024
AGAIN = "askrctl bench matrix PATH --gate"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a verdict does not outlive. `machine_id` is a hash: a record may be shown around."""

    machine_id: str
    kernel: str
    cpu: str
    cores: int
    askrctl: str


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """One verdict. Ratios are io_uring over epoll, CPU time per request."""

    winner: Backend
    outcome: str
    sentence: str
    workload: str
    ratio: float
    ratio_low: float
    ratio_high: float
    threshold: float
    rounds: int
    created: str
    machine: Machine

    @property
    def detail(self) -> str:
        """Which record decided, and by what, for log and status."""
        return f"{self.sentence} (bench of {self.workload}, {self.created})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is there and decides nothing, in the words of a BackendChoice."""

    reason: str  # bench_record_unreadable, bench_record_edited, bench_record_foreign
    detail: str
    fix: str = AGAIN


def _first(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _cpu() -> str:
    for line in _first("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def this_machine() -> Machine:
    """The facts as they are now."""
    identity = hashlib.sha256(f"askrctl {_first('/etc/machine-id')}".encode()).hexdigest()
    kernel, cores = platform.release(), os.cpu_count() or 1
    return Machine(identity[:32], kernel, _cpu(), cores, __version__)


def _digest(content: dict[str, object]) -> str:
    """Of the one way to write it down: sorted keys, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def dump(record: BenchRecord) -> str:
    """The file's text."""
    content: dict[str, object] = {"schema": SCHEMA, **asdict(record)}
    return json.dumps({**content, "sha256": _digest(content)}, indent=2) + "\n"


def _typed(content: dict[str, object], kind: type, what: str) -> None:
    """Exactly the fields of a dataclass, each of its kind."""
    wanted = {item.name: item.type for item in fields(kind)}
    if set(content) != set(wanted):
        odd = sorted(set(content) ^ set(wanted))
        raise ValueError(f"{what} has missing or unknown keys: {', '.join(odd)}")
    for name, value in content.items():
        right = {
            str: isinstance(value, str),
            int: isinstance(value, int) and not isinstance(value, bool),
            float: isinstance(value, float),
            Machine: isinstance(value, dict),
            Backend: value in (Backend.EPOLL, Backend.IO_URING),
        }[wanted[name]]  # type: ignore[index]  # this file's annotations are classes
        if not right:
            raise ValueError(f"{what}.{name} is not what it should be")


def parse(text: str, here: Machine) -> BenchRecord | Refusal:
    """Strict: every key known and of its kind, the hash right, the machine this one."""
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            return Refusal("bench_record_unreadable", f"it is not of the form {SCHEMA}")
        signature = content.pop("sha256", None)
        digest = _digest(content)
        content.pop("schema")
        _typed(content, BenchRecord, "record")
        _typed(content["machine"], Machine, "machine")
    except (ValueError, RecursionError) as error:
        return Refusal("bench_record_unreadable", f"it cannot be understood: {error}")
    if signature != digest:
        return Refusal("bench_record_edited", "its hash does not match what it says")
    machine = Machine(**content.pop("machine"))
    for item in fields(Machine):
        then, now = getattr(machine, item.name), getattr(here, item.name)
        if then != now:
            what = "is of another machine" if item.name == "machine_id" else "was taken with"
            detail = what if item.name == "machine_id" else f"{what} {item.name} {then}, now {now}"
            return Refusal("bench_record_foreign", f"it {detail}")
    content["winner"] = Backend(content["winner"])
    return BenchRecord(**content, machine=machine)


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in its place must not hold up a server that starts."""
    return os.open(path, flags | os.O_NONBLOCK)


def read(path: Path) -> BenchRecord | Refusal | None:
    """None when there is none. A file that others may write decides nothing."""
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return Refusal("bench_record_unreadable", f"{path} is not a file")
            if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & 0o022:
                detail = f"{path} belongs to or can be written by others"
                return Refusal("bench_record_edited", detail, f"rm {path}; {AGAIN}")
            data = stream.read(SIZE_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Refusal("bench_record_unreadable", f"{path}: {error.strerror}", f"ls -l {path}")
    if len(data) > SIZE_MAX:
        return Refusal("bench_record_unreadable", f"{path} is too large")
    found = parse(data.decode(errors="replace"), this_machine())
    if isinstance(found, Refusal):
        return Refusal(found.reason, f"the record {path} is refused: {found.detail}", found.fix)
    return found


def write(path: Path, record: BenchRecord) -> None:
    """Replaces the record at once: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w") as stream:
            os.fchmod(descriptor, 0o644)
            stream.write(dump(record))
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        reason = error.strerror or str(error)
        raise AskrError(
            f"the record {path} cannot be written: {reason}", f"ls -ld {path.parent}", code=3
        ) from None
