# SPDX-License-Identifier: MIT
"""One check from beginning to end: serve, visit, read the report, judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from askrctl.appcheck.child import Child
from askrctl.appcheck.evidence import Line, read_until
from askrctl.appcheck.leak import BLOCKS, Slope, slope, steps
from askrctl.appcheck.routes import Route
from askrctl.appcheck.verdict import Finding, judge
from askrctl.appcheck.visit import USERS, Answer, Visit
from askrctl.config import Config
from askrctl.model import AskrError

WARM_ROUNDS = 3  # in which an application may still make what it makes once
# Asked in each round by both users, first: what another route has left must not survive it.
PROBE = Route("GET", "/askrctl-check-no-such-path")
LEAK_MIN_KIB = 0.1  # less than that per request, for sure, is no leak worth a red build

Told = Callable[[int, int], None]  # requests done, and of how many


@dataclass(frozen=True, slots=True)
class Result:
    """schema askr.check-app/1; changes only add."""

    path: str
    script: str
    routes: tuple[str, ...]
    requests: int
    statuses: dict[str, dict[str, int]]  # by route: how often which
    findings: tuple[Finding, ...]
    php_memory: Slope | None  # what PHP has given out
    process_memory: Slope | None  # private pages of the process
    leaks: dict[str, Slope]  # PHP's memory, by those routes that leave some behind for sure

    @property
    def bled(self) -> bool:
        return any(item.level == "bled" for item in self.findings)

    def as_dict(self) -> dict[str, Any]:
        verdict = "bled" if self.bled else "leaks" if self.leaks else "clean"
        return {"schema": "askr.check-app/1", "verdict": verdict, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Wish:
    path: Path
    script: Path
    config: Config
    routes: tuple[Route, ...]
    rounds: int
    leak_min_kib: float = LEAK_MIN_KIB

    @property
    def per_round(self) -> int:
        """Requests."""
        return len(self.asked) * len(USERS)

    @property
    def asked(self) -> tuple[Route, ...]:
        return (PROBE, *self.routes)


def check(wish: Wish, told: Told) -> Result:
    per_block = wish.rounds // BLOCKS
    with Child(wish.path, wish.script, wish.config) as child:
        visit = Visit(child.port)
        total = (WARM_ROUNDS + per_block * BLOCKS) * wish.per_round
        pages = []
        for round_number in range(WARM_ROUNDS + per_block * BLOCKS):
            measured = round_number - WARM_ROUNDS
            if measured >= 0 and measured % per_block == 0:
                pages.append(_private_bytes(child.pid))
            for route in wish.asked:
                for name in USERS:
                    visit.ask(route, name)
            told(len(visit.answers), total)
        pages.append(_private_bytes(child.pid))
        visit.close()
        lines = read_until(child.report, len(visit.answers), lambda: child.pid == 0)
        _insist(visit.answers, lines, child)
    return _result(wish, visit.answers, lines, pages)


def _insist(answers: Sequence[Answer], lines: Sequence[Line], child: Child) -> None:
    """Without evidence there is no verdict."""
    wanted = [answer for answer in answers if answer.route != PROBE]
    if all(answer.status == 0 or answer.status >= 500 for answer in wanted):
        status = wanted[0].status or "nothing"
        raise AskrError(
            f"every route was answered with {status}: {child.last_words()}",
            "askrctl serve PATH --worker-script SCRIPT, until that works",
            code=3,
        )
    reported = {line.number for line in lines if line.phase == "after"}
    if not any(answer.number in reported for answer in wanted):
        raise AskrError(
            "no route was answered by the worker script: they are files, or PHP could not report",
            "askrctl check app PATH --route /a/route/of/the/application",
            code=3,
        )


def _private_bytes(pid: int) -> int:
    """Pages that the process shares with nobody; 0 when it is gone."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1]) * 1024
    except OSError:
        return 0
    return total


def _result(
    wish: Wish, answers: Sequence[Answer], lines: Sequence[Line], pages: Sequence[int]
) -> Result:
    warm, per_block = WARM_ROUNDS * wish.per_round, wish.rounds // BLOCKS * wish.per_round
    one_life = _restarts(lines) == 0
    memory = {line.number: line.memory for line in lines if line.phase == "after"}
    by_route = _by_route(answers[warm:], memory, per_block) if one_life else {}
    ends = [memory.get(warm + block * per_block, 0) for block in range(BLOCKS + 1)]
    php_memory = slope(steps(ends, per_block)) if one_life and all(ends) else None
    process_memory = slope(steps(pages, per_block)) if one_life and all(pages) else None
    grows = php_memory is not None and php_memory.low > 0
    return Result(
        path=str(wish.path),
        script=str(wish.script),
        routes=tuple(map(str, wish.routes)),
        requests=len(answers),
        statuses=_statuses(answers),
        findings=(*_lives(lines), *judge(answers, lines, warm, wish.rounds)),
        php_memory=php_memory,
        process_memory=process_memory,
        leaks={
            route: found
            for route, found in by_route.items()
            # What one route allocates and another frees is no leak: the whole has to grow.
            if grows and found.low > wish.leak_min_kib
        },
    )


def _by_route(
    answers: Sequence[Answer], memory: Mapping[int, int], per_block: int
) -> dict[str, Slope]:
    """What each route's requests left behind: the process serves one request at a time, so the
    difference to the one before is the request's own. Of the second user's alone: what the first
    one's left until it is replaced (the session, the request that a framework keeps) is no leak."""
    sums: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for place, answer in enumerate(answers):
        now, before = memory.get(answer.number), memory.get(answer.number - 1)
        if now is None or before is None or answer.user == USERS[0]:
            continue
        blocks = sums.setdefault(str(answer.route), [0.0] * BLOCKS)
        blocks[place // per_block] += (now - before) / 1024
        counts[str(answer.route)] = counts.get(str(answer.route), 0) + 1
    found = {
        route: slope([size * BLOCKS / counts[route] for size in blocks])
        for route, blocks in sums.items()
    }
    return {route: item for route, item in found.items() if item is not None}


def _restarts(lines: Sequence[Line]) -> int:
    return max(0, sum(line.phase == "boot" for line in lines) - 1)


def _lives(lines: Sequence[Line]) -> list[Finding]:
    """A fatal error, a crash or the script's own end takes the warm process away."""
    count = _restarts(lines)
    if not count:
        return []
    died = len({line.pid for line in lines}) - 1
    what = f"the script was started {count} times more, {died} of them in a new process"
    return [Finding("note", "process", "restarts", what)]


def _statuses(answers: Sequence[Answer]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for answer in answers:
        if answer.route == PROBE:
            continue
        counts = found.setdefault(str(answer.route), {})
        name = str(answer.status) if answer.status else "none"
        counts[name] = counts.get(name, 0) + 1
    return found
