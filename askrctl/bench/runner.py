# SPDX-License-Identifier: MIT
"""Measures contenders in turn: A B, B A, A B… all running at once, one of them loaded at a time.

What disturbs the machine for longer than a run disturbs everybody, and who goes first changes from
round to round. CPU time is that of the server's whole process tree. A contender that gives one
wrong answer is void from then on: it keeps its reason and loses its figures.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from askrctl.bench import answers, contenders, generators, proc
from askrctl.bench.answers import Expected, Level
from askrctl.bench.contenders import Contender
from askrctl.bench.generators import Generator, Job
from askrctl.bench.installed import Missing, find
from askrctl.bench.verdict import Rule
from askrctl.model import AskrError

COUNT_S = 1  # of load, while perf counts: it would disturb a run
SYSCALL_EVENT = "raw_syscalls:sys_enter"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure; declared before the first run and part of the report."""

    target: str
    seconds: int
    rounds: int
    connections: int
    warmup_seconds: int = 1
    rate: int = 0
    least: Level = "status"  # what of the answers must be comparable at least
    ignored: tuple[str, ...] = ()  # regular expressions: what may differ in an answer
    server_cores: tuple[int, ...] = ()
    load_cores: tuple[int, ...] = ()
    rule: Rule = field(default_factory=Rule)

    @property
    def runs(self) -> str:
        """In words: 16 rounds of 1 s."""
        return f"{self.rounds} round{'' if self.rounds == 1 else 's'} of {self.seconds} s"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. CPU times are microseconds for each request of the server's process tree.

    `generator_share`: of its core; near 1 the generator was the limit, not the server.
    `foreign_share`: of the server's cores, used by others during the run.
    """

    requests: int
    rate: float
    cpu_us: float
    user_us: float
    system_us: float
    p50_ms: float
    p99_ms: float
    p999_ms: float | None
    generator_share: float
    foreign_share: float
    stolen_share: float


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one contender. `void`: why they count for nothing; "" when they do."""

    name: str
    samples: tuple[Sample, ...] = ()
    void: str = ""
    backend: str = ""
    mode: str = ""
    pss_bytes: int | None = None
    system_calls: float | None = None  # for each request
    split: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Progress, for whoever shows it."""

    done: int
    total: int
    text: str


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Measured:
    series: tuple[Series, ...]
    missing: tuple[Missing, ...]
    expected: Expected
    notes: tuple[str, ...]


def choose_cores(workers: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The server's cores, and the load generator's: the others, or the same when there is one."""
    cores = sorted(os.sched_getaffinity(0))
    servers = tuple(cores[: max(1, min(workers, len(cores) - 1))])
    return servers, tuple(core for core in cores if core not in servers) or servers


@contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
    """This process, which looks at answers during the load, beside the load generator."""
    before = os.sched_getaffinity(0)
    if cores and find("taskset"):  # children are moved by taskset; without it they would follow
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Runner:
    """One comparison, from the first start to the last stop."""

    def __init__(self, settings: Settings, generator: Generator, progress: Progress) -> None:
        self.settings = settings
        self.generator = generator
        self._progress = progress
        self._series: dict[str, Series] = {}
        self._answers: dict[str, answers.Answer] = {}
        self._missing: list[Missing] = []
        self._notes: list[str] = []
        self._done = 0
        self._total = 1

    def run(self, needed: Sequence[Contender], optional: Sequence[Contender] = ()) -> Measured:
        """Measure. `optional` ones that do not start are reported; the others end the bench."""
        everybody = [*needed, *optional]
        warmups = 1 if self.settings.warmup_seconds else 0
        self._total = len(everybody) * (2 + warmups + self.settings.rounds)
        try:
            with _on_cores(self.settings.load_cores):
                running = self._start(needed, optional)
                expected = self._expect(running)
                self._measure(running, expected)
        finally:
            contenders.stop(everybody)
        series = tuple(self._series[one.name] for one in running)
        return Measured(series, tuple(self._missing), expected, tuple(self._notes))

    def _step(self, text: str) -> None:
        self._progress(Step(self._done, self._total, text))
        self._done += 1

    # --- before -----------------------------------------------------------------------------------

    def _start(self, needed: Sequence[Contender], optional: Sequence[Contender]) -> list[Contender]:
        """All at once: a bench of many is not kept waiting by each of them."""
        running = []
        for contender in [*needed, *optional]:
            contender.launch(self.settings.server_cores)
        for contender in [*needed, *optional]:
            self._step(f"starting {contender.name}")
            try:
                contender.wait_ready()
            except AskrError as error:
                if contender in needed:
                    raise
                self._missing.append(Missing(contender.name, "failed", error.message))
                contender.stop()
                continue
            mode = _check_backend(contender)
            backend = str(contender.backend or "")
            self._series[contender.name] = Series(contender.name, backend=backend, mode=mode)
            running.append(contender)
        return running

    def _expect(self, running: Sequence[Contender]) -> Expected:
        """From the first contender; the others are held against it before anything is measured."""
        self._progress(Step(self._done, self._total, "looking at the answers"))
        expected = answers.expect(answers.look(running[0].ask), self.settings.least)
        if expected.status >= 300:
            self._note(f"the route redirects ({expected.status}): where to was not measured")
        for contender in running:
            found = contender.ask()
            self._answers[contender.name] = found
            trouble = answers.mismatch(found, expected)
            if trouble:
                self._void(contender, f"it answers with {trouble}")
        return expected

    def _void(self, contender: Contender, reason: str) -> None:
        series = self._series[contender.name]
        if not series.void:
            self._series[contender.name] = replace(series, void=reason)

    # --- the runs ---------------------------------------------------------------------------------

    def _measure(self, running: Sequence[Contender], expected: Expected) -> None:
        for contender in running if self.settings.warmup_seconds else ():
            self._step(f"warming up {contender.name}")
            self._one_run(contender, expected, self.settings.warmup_seconds)
        before = {one.name: _split(one) for one in running}
        for number in range(self.settings.rounds):
            first = number % len(running)
            for contender in [*running[first:], *running[:first]]:
                text = f"round {number + 1} of {self.settings.rounds}: {contender.name}"
                self._step(text)
                sample = self._one_run(contender, expected, self.settings.seconds)
                if sample is not None:
                    series = self._series[contender.name]
                    self._series[contender.name] = replace(
                        series, samples=(*series.samples, sample)
                    )
        for contender in running:
            self._step(f"counting system calls of {contender.name}")
            self._finish(contender, before[contender.name])

    def _one_run(self, contender: Contender, expected: Expected, seconds: int) -> Sample | None:
        """None when the contender is void."""
        if self._series[contender.name].void:
            return None
        sampler = answers.Sampler(contender.ask, expected)
        cores = self.settings.server_cores
        core_before, cpu_before = proc.core_time(cores), proc.cpu(contender.roots)
        sampler.start()
        try:
            done = generators.run(
                self.generator, self._job(contender, seconds), self.settings.load_cores
            )
        except AskrError as error:
            self._void(contender, error.message)
            return None
        finally:
            sampler.finish()
        cpu, core = proc.cpu(contender.roots), proc.core_time(cores)
        load = done.load
        own, connections = self._answers[contender.name], self.settings.connections
        trouble = sampler.trouble or answers.check_load(load, expected, own, connections)
        if trouble:
            self._void(contender, f"during the load: {trouble}")
            return None
        requests = load.requests + sampler.asked
        used = cpu.total - cpu_before.total
        period = load.seconds * max(1, len(cores))
        return Sample(
            requests=load.requests,
            rate=load.rate,
            cpu_us=used / requests * 1e6,
            user_us=(cpu.user - cpu_before.user) / requests * 1e6,
            system_us=(cpu.system - cpu_before.system) / requests * 1e6,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            p999_ms=load.p999_ms,
            generator_share=done.generator_share,
            foreign_share=max(0.0, (core.busy - core_before.busy - used) / period),
            stolen_share=(core.stolen - core_before.stolen) / period,
        )

    def _job(self, contender: Contender, seconds: int) -> Job:
        headers = {"Host": contender.host} if contender.host else {}
        return Job(contender.url, seconds, self.settings.connections, self.settings.rate, headers)

    # --- after ------------------------------------------------------------------------------------

    def _finish(self, contender: Contender, before: dict[str, float] | None) -> None:
        """What would disturb the runs: memory, system calls, and the server's own time split."""
        series = self._series[contender.name]
        if series.void:
            return
        self._series[contender.name] = replace(
            series,
            pss_bytes=proc.proportional_bytes(contender.roots),
            split=_difference(before, _split(contender)),
            system_calls=self._count_calls(contender),
        )

    def _count_calls(self, contender: Contender) -> float | None:
        """System calls of the tree for each request, by perf's counter; None where it has none."""
        perf = find("perf")
        if perf is None:
            self._note("system calls were not counted: perf is not installed")
            return None
        pids = ",".join(str(one.pid) for one in proc.tree(contender.roots))
        with tempfile.NamedTemporaryFile(prefix="askr-bench-perf-") as output:
            wrapper = [perf, "stat", "-x,", "-o", output.name, "-e", SYSCALL_EVENT]
            wrapper += ["-p", pids, "--"]
            try:
                job = self._job(contender, COUNT_S)
                done = generators.run(self.generator, job, self.settings.load_cores, wrapper)
            except AskrError as error:
                self._note(f"system calls were not counted: {error.message}")
                return None
            calls = parse_perf(Path(output.name).read_text())
        if calls is None:
            self._note("system calls were not counted: this kernel does not let perf count them")
            return None
        return calls / done.load.requests

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def parse_perf(text: str) -> int | None:
    """`perf stat -x,`: the count is the first field, or "<not supported>"."""
    for line in text.splitlines():
        first, _, rest = line.partition(",")
        if SYSCALL_EVENT in rest and first.isdigit():
            return int(first)
    return None


def _check_backend(contender: Contender) -> str:
    """An askrctl runs what it was asked to, or nothing is worth measuring. Returns its mode."""
    if contender.backend is None:
        return contender.mode
    status = contender.status()
    if status is None:
        raise AskrError(f"{contender.name} does not answer on its control socket", code=3)
    found = status["io_backend"]
    if found["active"] != contender.backend:
        why = found["detail"] or found["reason"]
        raise AskrError(
            f"{contender.name} runs on {found['active']}: {why}",
            found["fix"] or "askrctl explain backend",
            code=3,
        )
    return str(status["mode"])


def _split(contender: Contender) -> dict[str, float] | None:
    """The time split so far, when this askrctl's status has one."""
    status: dict[str, Any] = contender.status() or {}
    split = status.get("split")
    if not isinstance(split, dict):
        return None
    return {name: float(value) for name, value in split.items() if isinstance(value, int | float)}


def _difference(
    before: dict[str, float] | None, after: dict[str, float] | None
) -> dict[str, float] | None:
    """Sums grow, so theirs is a difference; a percentage is what it is at the end."""
    if before is None or after is None:
        return None
    return {
        name: value if name.endswith("_pct") else value - before.get(name, 0.0)
        for name, value in after.items()
    }
