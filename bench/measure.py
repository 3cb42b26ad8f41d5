# SPDX-License-Identifier: MIT
"""What the benches of this folder share: one core for servers, one for load, costs from /proc.

Processes, generators and validation are those of `askrctl bench` (askrctl/bench): here is only what
a developer's bench does differently, which is to end at the first fault and to know each body.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from askrctl.bench import contenders, generators, proc
from askrctl.bench.answers import free_port
from askrctl.bench.generators import Job
from askrctl.bench.proc import resident_bytes, tree
from askrctl.model import AskrError

__all__ = ["Contender", "Sample", "cpu_seconds", "free_port", "load", "measure"]
__all__ += ["resident_bytes", "tree"]

SERVER_CORE, LOAD_CORE = 0, 1


def cpu_seconds(roots: Sequence[int]) -> tuple[float, float]:
    """User and system time of a process tree so far."""
    found = proc.cpu(roots)
    return found.user, found.system


@dataclass(slots=True)
class Contender(contenders.Contender):
    """A server under measurement whose answer must be `body`."""

    body: bytes = b""

    def begin(self) -> None:
        """Start it on its core; SystemExit with its last words when it does not serve."""
        try:
            self.start((SERVER_CORE,))
        except AskrError as error:
            raise SystemExit(error.message) from None

    def answers(self) -> bool:
        """Is the right answer there? A fast wrong one is worth nothing."""
        try:
            found = self.ask()
        except AskrError:
            return False
        return found.status == 200 and found.body == self.body


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


def load(url: str, seconds: int, connections: int) -> generators.Run:
    """One load by wrk; an error or an answer that is not 2xx ends the bench."""
    try:
        done = generators.run(
            generators.detect("wrk"), Job(url, seconds, connections), (LOAD_CORE,)
        )
    except AskrError as error:
        raise SystemExit(f"{error.message}; {error.hint}") from None
    if done.load.errors or done.load.failed:
        raise SystemExit(f"{url}: {done.load.errors} errors, {done.load.failed} not 2xx")
    return done


def measure(contender: Contender, seconds: int, connections: int) -> Sample:
    if not contender.answers():
        raise SystemExit(f"{contender.name} does not give the right answer")
    user_before, system_before = cpu_seconds(contender.roots)
    done = load(contender.url, seconds, connections)
    user, system = cpu_seconds(contender.roots)
    requests = done.load.requests
    return Sample(
        requests=requests,
        rate=done.load.rate,
        user_us=(user - user_before) / requests * 1e6,
        system_us=(system - system_before) / requests * 1e6,
        p50_ms=done.load.p50_ms,
        p99_ms=done.load.p99_ms,
        load_share=done.generator_share,
    )
