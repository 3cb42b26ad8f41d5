# SPDX-License-Identifier: MIT
"""What both benches share: servers pinned to one core, load from another, costs from /proc.

The unit is CPU time per request of a server's whole process tree, because rates on a shared machine
lie, and cost per request is what an operator pays.
"""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVER_CORE, LOAD_CORE = "0", "1"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
START_S = 30.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    user_ticks: int
    system_ticks: int
    resident_pages: int


def processes() -> Iterator[Process]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # it ended meanwhile
        fields = stat[stat.rindex(")") + 2 :].split()
        parent, user, system, resident = (int(fields[index]) for index in (1, 11, 12, 21))
        yield Process(int(folder.name), parent, user, system, resident)


def tree(roots: Sequence[int]) -> list[Process]:
    """The processes of these pids and all their descendants."""
    everything = list(processes())
    family = set(roots)
    grown = True
    while grown:
        born = {process.pid for process in everything if process.parent in family} - family
        family |= born
        grown = bool(born)
    return [process for process in everything if process.pid in family]


def cpu_seconds(roots: Sequence[int]) -> tuple[float, float]:
    """User and system time of a process tree so far."""
    family = tree(roots)
    user = sum(process.user_ticks for process in family)
    system = sum(process.system_ticks for process in family)
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Contender:
    """A server under measurement: the commands that start it, and the URL that must say `body`."""

    name: str
    commands: list[list[str]]
    url: str
    body: bytes
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, log: Path) -> None:
        with log.open("wb") as output:
            for command in self.commands:
                pinned = ["taskset", "-c", SERVER_CORE, *command]
                options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
                self.running.append(subprocess.Popen(pinned, start_new_session=True, **options))
        deadline = time.monotonic() + START_S
        while not self.answers():
            ended = [process for process in self.running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise SystemExit(
                    f"{self.name} does not serve {self.url}:\n{log.read_text()[-2000:]}"
                )
            time.sleep(POLL_S)

    def answers(self) -> bool:
        """Is the right answer there? A fast wrong one is worth nothing."""
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                return answer.status == 200 and answer.read() == self.body
        except OSError:
            return False

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self.running]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run. Times are microseconds of CPU per request."""

    requests: int
    rate: float
    user_us: float
    system_us: float
    p50_ms: float
    p99_ms: float
    load_share: float  # of the load generator's core: near 1 it was the limit

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us


def wrk(url: str, seconds: int, connections: int) -> tuple[str, float]:
    """wrk's report and its own CPU seconds; an error or a non-2xx answer ends the bench."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    before = os.times()
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *command], capture_output=True, text=True, check=True
    )
    after = os.times()
    trouble = re.search(r"(Socket errors|Non-2xx).*", done.stdout)
    if trouble:
        raise SystemExit(f"{url}: {trouble[0]}")
    used = after.children_user + after.children_system
    return done.stdout, used - before.children_user - before.children_system


MS_OF = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def percentile_ms(report: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", report)
    if found is None:
        raise SystemExit(f"wrk printed no {percent}th percentile:\n{report}")
    return float(found[1]) * MS_OF[found[2]]


def measure(contender: Contender, seconds: int, connections: int) -> Sample:
    if not contender.answers():
        raise SystemExit(f"{contender.name} stopped giving the right answer")
    user_before, system_before = cpu_seconds(contender.roots)
    report, load_cpu = wrk(contender.url, seconds, connections)
    user, system = cpu_seconds(contender.roots)
    found = re.search(r"(\d+) requests in", report)
    requests = int(found[1]) if found else 0
    if requests == 0:
        raise SystemExit(f"{contender.name} answered nothing:\n{report}")
    return Sample(
        requests=requests,
        rate=requests / seconds,
        user_us=(user - user_before) / requests * 1e6,
        system_us=(system - system_before) / requests * 1e6,
        p50_ms=percentile_ms(report, 50),
        p99_ms=percentile_ms(report, 99),
        load_share=load_cpu / seconds,
    )
