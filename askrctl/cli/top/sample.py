# SPDX-License-Identifier: MIT
"""One look at a server: the pages its workers write, and what the kernel says of its processes.

The status memory is the server's own, mapped read-only. Looking costs the server nothing and needs
nobody's answer, so it works when every process of it is busy, stuck or stopped.
"""

import mmap
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from askrctl import engine
from askrctl.engine import Durations
from askrctl.model import AskrError
from askrctl.server.control import ask_view

PSS_AGE_MAX_S = 5.0  # the kernel walks page tables for it
TICKS_S = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has taken."""

    cpu_s: float
    rss: int
    pss: int


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """A worker's page, and durations of the requests it has answered by bucket."""

    index: int
    generation: int
    generation_state: str  # serving, starting, kept, draining
    page: engine.WorkerStatus
    durations: Durations
    sites: tuple[str, ...] = ()  # whose each place is; (): there is no [[site]]


@dataclass(frozen=True, slots=True)
class Answered:
    """Requests of one route, or site: how many failed with 5xx, and durations of all."""

    failed: int
    durations: Durations


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything at one moment."""

    time_ns: int  # CLOCK_MONOTONIC
    clock_s: float  # the time of day
    workers: tuple[WorkerSample, ...]
    usage: dict[int, Usage]  # by pid
    routes: dict[str, Answered]  # over all workers
    sites: dict[str, Answered]  # the same; not without [[site]]


Found = list[tuple[int, WorkerSample]]  # by slot


def _add(sums: dict[str, Answered], name: str, more: Answered) -> None:
    known = sums.get(name)
    if known is not None:
        more.durations.add(known.durations)
        more = Answered(known.failed + more.failed, more.durations)
    sums[name] = more


class Source:
    """One server, as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view, fd = ask_view(path)
        try:
            self._map = _map(self.view, fd)
            self._memory = memoryview(self._map)
            self._pidfd = os.pidfd_open(self.view["pid"])
        except OSError as error:
            raise AskrError(f"the server on {path} has just ended", "askrctl status") from error
        finally:
            os.close(fd)
        self._pss: dict[int, tuple[float, int]] = {}  # by pid: when it was read, and what it was

    def renew(self, view: dict[str, Any]) -> None:
        """Generations come and go; the memory stays. A view of another server counts not here."""
        if view["pid"] == self.view["pid"]:
            self.view = view

    @property
    def gone(self) -> bool:
        """The supervisor has ended; its pages stay what they were."""
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def close(self) -> None:
        self._memory.release()
        self._map.close()
        os.close(self._pidfd)

    def take(self) -> Sample:
        """Now."""
        found = list(self._workers())
        workers = tuple(worker for _, worker in found)
        pids = [self.view["pid"]]
        for worker in workers:
            pids.append(worker.page.pid)
            pids += [app.pid for app in worker.page.apps if app.pid and app.state != "dead"]
        usage = {pid: used for pid in pids if (used := self._usage(pid)) is not None}
        self._pss = {pid: known for pid, known in self._pss.items() if pid in usage}
        routes, sites = self._routes(found), self._sites(found)
        return Sample(time.monotonic_ns(), time.time(), workers, usage, routes, sites)

    def _slots(self) -> Iterator[tuple[dict[str, Any], int]]:
        """With the generation that each belongs to."""
        for generation in self.view["generations"]:
            for slot in range(*generation["slots"]):
                yield generation, slot

    def _workers(self) -> Iterator[tuple[int, WorkerSample]]:
        """With their slots."""
        for generation, slot in self._slots():
            page = engine.read_status(self._memory, slot)
            if not page.pid or page.generation != generation["number"]:
                continue  # not begun yet: what is there is its predecessor's
            counts = engine.read_histograms(self._memory, slot)
            durations = counts["app"]
            durations.add(counts["self"])
            index = slot - generation["slots"][0]
            number, state = generation["number"], generation["state"]
            owners = generation.get("sites", [])  # a server that is older does not say
            sites = tuple(name for name, count in owners for _ in range(count))
            yield slot, WorkerSample(index, number, state, page, durations, sites)

    def _routes(self, workers: Found) -> dict[str, Answered]:
        found: dict[str, Answered] = {}
        for slot, _ in workers:
            for name, (failed, durations) in engine.read_routes(self._memory, slot).items():
                _add(found, name, Answered(failed, durations))
        return found

    def _sites(self, workers: Found) -> dict[str, Answered]:
        found: dict[str, Answered] = {}
        for slot, worker in workers:
            failed = {site.name: site.responses["5xx"] for site in worker.page.sites}
            for name, kinds in engine.read_site_histograms(self._memory, slot).items():
                kinds["app"].add(kinds["self"])
                _add(found, name, Answered(failed.get(name, 0), kinds["app"]))
        return found

    def _usage(self, pid: int) -> Usage | None:
        folder = Path(f"/proc/{pid}")
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            pages = int((folder / "statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        cpu_s = (int(words[11]) + int(words[12])) / TICKS_S
        return Usage(cpu_s, pages * PAGE_SIZE, self._pss_of(pid))

    def _pss_of(self, pid: int) -> int:
        read_at, size = self._pss.get(pid, (0.0, 0))
        now = time.monotonic()
        if now - read_at > PSS_AGE_MAX_S:
            size = _read_pss(pid)
            self._pss[pid] = (now, size)
        return size


def _map(view: dict[str, Any], fd: int) -> mmap.mmap:
    size = os.fstat(fd).st_size
    if view["stride"] != engine.STATUS_STRIDE or size != engine.STATUS_SIZE:
        raise AskrError(
            f"the server is askrctl {view['version']}, whose memory this one cannot read",
            "use the askrctl that the server was started with, or: askrctl status",
        )
    return mmap.mmap(fd, size, prot=mmap.PROT_READ)


def _read_pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines() if line.startswith("Pss:"))
    return next((int(words[1]) * 1024 for words in lines), 0)
