# SPDX-License-Identifier: MIT
"""What an application costs: its routes asked one after the other, by a server of its own.

A real `askrctl serve` with one worker and one PHP process, in the mode and with the php.ini that
the application has; its PHP module notes what each request took (engine/php/measure.c). One request
at a time, so that nothing waits for anything of ours. Only GETs are sent.

askrctl.bench.sizing makes figures of a configuration of it.
"""

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from askrctl.bench import answers, contenders, proc
from askrctl.bench.answers import Answer
from askrctl.bench.contenders import Contender, Site
from askrctl.config import Config
from askrctl.model import AskrError, Credentials

WARM_UP = 3  # requests of each route that fill caches and count for nothing
REQUESTS_MIN = 3
ROUTE_S = 15.0  # a slow route is asked less often, rather than for longer
LINE_S = 60.0  # until the line of a request that was answered is there
END_S = 15.0  # until the end of a process that took a request with it is in the log
POLL_S = 0.001
LOOK_S = 0.5  # after which a process that has nothing to do will write none
SAID_MAX = 80  # characters of an answer that is shown
SECTIONS = ("limits", "timeouts", "php", "static")  # of askr.toml, that an answer may depend on


@dataclass(frozen=True, slots=True)
class Caches:
    """OPcache after the run; bytes, and numbers of scripts and keys."""

    used: int
    free: int
    wasted: int
    strings_used: int
    strings_size: int
    scripts: int
    keys: int
    keys_max: int
    full: int  # times that it was emptied for want of room


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as the PHP module saw it: microseconds and bytes."""

    wall_us: int
    cpu_us: int
    waited_us: int
    peak: int

    @property
    def held_us(self) -> int:
        """How long it would have held a process that had a core whenever it wanted one."""
        return max(self.cpu_us, self.wall_us - self.waited_us)


@dataclass(frozen=True, slots=True)
class Route:
    """Means over `requests`; `peak` is the largest."""

    target: str
    status: int
    requests: int
    wall_us: float
    held_us: float
    cpu_us: float
    peak: int

    @property
    def blocking(self) -> float:
        """The share of its time in which it waits for something else than a core."""
        return 1.0 - self.cpu_us / self.held_us if self.held_us else 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Of processes after the run, bytes. None: this user may not see it."""

    rss: int
    pss: int | None
    private: int | None  # what one more of them costs
    server: int | None  # PSS of supervisor, worker and zygote


@dataclass(frozen=True, slots=True)
class Measurement:
    mode: str
    routes: tuple[Route, ...]
    memory: Memory
    memory_limit: int  # in force at the end of a request: the application may set its own
    realpath: int  # bytes of paths that a process has resolved
    caches: Caches | None  # None: OPcache is off
    scripts: int  # PHP files of the application


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure. `who`: whom the server becomes; None is who we are."""

    site: Site
    config: Config
    routes: tuple[str, ...]
    requests: int = 20
    host: str = ""
    who: Credentials | None = None


def measure(job: Job, folder: Path) -> Measurement:
    """Start, ask, stop. `folder` is ours, and empty."""
    lines = _Lines(folder, job.who)
    contender = _contender(job, folder, lines.path)
    try:
        _start(contender)
        lines.skip(contender)  # of requests that the server made by itself
        routes = tuple(_route(contender, target, job, lines) for target in job.routes)
        status = contender.status()
        if status is None:
            raise AskrError("the server does not answer on its control socket", code=3)
        return Measurement(
            mode=str(status["mode"]),
            routes=routes,
            memory=_memory(contender, int(lines.last["pid"])),
            memory_limit=int(lines.last["memory_limit"]),
            realpath=int(lines.last["realpath"]),
            caches=_caches(lines.last["opcache"]),
            scripts=count_scripts(job.site.path),
        )
    finally:
        contender.stop()


class _Lines:
    """The file into which the PHP module writes a line for each request."""

    def __init__(self, folder: Path, who: Credentials | None) -> None:
        self.path = folder / "requests"
        self.path.touch(0o600)
        if who is not None:  # PHP runs as somebody else, who has to get there
            folder.chmod(0o711)
            os.chown(self.path, who.uid, who.gid)
        self._file = self.path.open()
        self.last: dict[str, Any] = {}

    def skip(self, contender: Contender) -> None:
        """Forget what was asked so far."""
        while not _idle(contender):
            if any(process.poll() is not None for process in contender.running):
                raise _refusal(contender, "the server has ended")  # its application did not boot
            time.sleep(POLL_S)
        self._file.seek(0, os.SEEK_END)

    def next(self, contender: Contender) -> Request | None:
        """The line of the request that was answered; None when PHP had no part in it.

        It comes with the end of the script, which may be long after that of the answer.
        """
        started = time.monotonic()
        look = started + LOOK_S
        while True:
            done = time.monotonic() > look and _idle(contender)
            if line := self._read():
                self.last = json.loads(line)
                return Request(*(int(self.last[item.name]) for item in fields(Request)))
            if done or time.monotonic() > started + LINE_S:
                return None
            if time.monotonic() > look:
                look += LOOK_S
            time.sleep(POLL_S)

    def _read(self) -> str:
        """A whole line, or ""."""
        place = self._file.tell()
        line = self._file.readline()
        if line.endswith("\n"):
            return line
        self._file.seek(place)
        return ""


def _idle(contender: Contender) -> bool:
    """No process has anything to do."""
    status = contender.status()
    apps = [app for worker in (status or {}).get("workers", ()) for app in worker["apps"]]
    return bool(apps) and all(app["state"] == "idle" for app in apps)


def _contender(job: Job, folder: Path, lines: Path) -> Contender:
    config = folder / "askr.toml"
    config.write_text(_toml(job.config, lines))
    port, control = answers.free_port(), folder / "control.sock"
    # What the environment says of keys is in the configuration already.
    unset = [word for name in os.environ if name.startswith("ASKR_") for word in ("-u", name)]
    command = ["env", *unset, *contenders.askrctl_command(), "serve", str(job.site.path)]
    command += ["--listen", f"127.0.0.1:{port}", "--control", str(control), "--config", str(config)]
    command += ["--workers", "1", "--processes", "1", "--io-backend", "epoll"]
    if job.site.worker_script is not None:
        command += ["--worker-script", str(job.site.worker_script)]
    url = f"http://127.0.0.1:{port}{job.routes[0]}"
    return Contender(
        "the application", [command], url, folder, control=control, by_status=True, host=job.host
    )


def _start(contender: Contender) -> None:
    try:
        contender.start(())
    except AskrError as error:
        raise _refusal(contender, error.message) from None


def _refusal(contender: Contender, otherwise: str) -> AskrError:
    """What `askrctl serve` said when it ended."""
    said = _said(contender, 0, "askrctl: ")
    return AskrError(said or otherwise, "askrctl serve says more", code=3)


def _said(contender: Contender, place: int, mark: str) -> str:
    """What stands behind the mark in the first line of the log that has it, from a place on."""
    text = contender.log.read_bytes()[place:].decode(errors="replace")
    line = next((line for line in text.splitlines() if mark in line), "")
    return line.partition(mark)[2].strip()


def _toml(config: Config, lines: Path) -> str:
    """The keys that are not as they are by default, and ours. JSON's spelling is also TOML's."""
    found = ["[server]"]
    for name in ("user", "group", "temp_dir"):
        if value := getattr(config.server, name):
            found.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    for section in SECTIONS:
        values, default = getattr(config, section), getattr(Config(), section)
        found.append(f"[{section}]")
        for item in fields(values):
            value = getattr(values, item.name)
            if (section, item.name) == ("php", "ini"):
                value = (*value, f"askr.measure={lines}")
            elif item.name in ("processes_max", "worker_script") or value == getattr(
                default, item.name
            ):
                continue
            found.append(f"{item.name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(found) + "\n"


def _route(contender: Contender, target: str, job: Job, lines: _Lines) -> Route:
    contender.url = contender.url[: contender.url.index("/", len("http://"))] + target
    found: list[Request] = []
    status = 0
    deadline = time.monotonic() + ROUTE_S
    for number in range(WARM_UP + job.requests):
        place = contender.log.stat().st_size
        answer = _ask(contender, target, job)
        status = answer.status
        if status >= 500:
            why = _said(contender, place, "PHP ") or _why(contender, answer, place, job)
            raise AskrError(
                f"GET {target} was answered with {status}, so nothing was measured: {why}",
                _look(target, job),
            )
        request = lines.next(contender)
        if request is None:
            raise AskrError(
                f"GET {target} was answered with {status}, and not by PHP: it costs no process",
                "--route of something that PHP answers",
                code=2,
            )
        found += [request] if number >= WARM_UP else []
        if time.monotonic() > deadline and len(found) >= REQUESTS_MIN:
            break
    return summary(target, status, found)


def _look(target: str, job: Job) -> str:
    return f"askrctl serve {job.site.path}, and look at {target}"


def _ask(contender: Contender, target: str, job: Job) -> Answer:
    try:
        return contender.ask()
    except AskrError as error:
        reason = error.message.rpartition(": ")[2]
        sentence = f"GET {target} gave no answer, so nothing was measured: {reason}"
        raise AskrError(sentence, _look(target, job)) from None


def _why(contender: Contender, answer: Answer, place: int, job: Job) -> str:
    """What happened, when PHP said nothing of it."""
    if answer.status == 504:
        return f"it took longer than timeouts.request, {job.config.timeouts.request:g} s"
    deadline = time.monotonic() + (END_S if answer.status == 502 else 0.0)
    while not (ended := _said(contender, place, "event=app_exited")):
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    if ended:
        status = ended.partition("status=")[2].partition(" restart_s")[0].strip("'")
        return f"its PHP process ended: {status}"
    text = re.sub(rb"<(script|style).*?</\1>|<[^>]*>", b" ", answer.body, flags=re.S | re.I)
    words = " ".join(text.decode(errors="replace").split())
    return f"the application itself says {words[:SAID_MAX]!r}" if words else "nothing was logged"


def summary(target: str, status: int, found: Sequence[Request]) -> Route:
    """A route's means."""
    count = len(found)
    return Route(
        target,
        status,
        count,
        sum(one.wall_us for one in found) / count,
        sum(one.held_us for one in found) / count,
        sum(one.cpu_us for one in found) / count,
        max(one.peak for one in found),
    )


def _memory(contender: Contender, pid: int) -> Memory:
    own = proc.memory(pid)
    everything = proc.proportional_bytes(contender.roots)
    if own is None or everything is None:
        return Memory(proc.resident_bytes(pid), None, None, None)
    return Memory(own.resident, own.proportional, own.private, everything - own.proportional)


def _caches(said: dict[str, int] | None) -> Caches | None:
    return Caches(*(said[item.name] for item in fields(Caches))) if said is not None else None


SCRIPTS_MAX = 50_000  # enough to size a cache by


def count_scripts(folder: Path) -> int:
    """PHP files below a folder; hidden ones are no part of an application."""
    count = 0
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += sum(name.endswith(".php") for name in names)
        if count > SCRIPTS_MAX:
            break
    return count
