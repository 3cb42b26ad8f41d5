# SPDX-License-Identifier: MIT
"""What the metrics cost of a request, in instructions: at most 2 % of the hot path.

    .venv/bin/python bench/metrics.py      # exit 1 past 2 %

Functions of metrics cannot be counted by their names: all of them are inlined, and much of what
they cost are stamps and counters between other lines. So the scenarios of bench/guard.py are built
twice, the second time with ASKR_METRICS=0 (base/base.h): without the time split, histograms, routes
and counters of requests. What the first costs more is theirs, with all that they make the compiler
do elsewhere. Of an application's answer the worker's part is judged; the end of the port that is in
the application's process is told beside it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import guard

SHARE_MAX_PCT = 2.0
BARE = "tests/engine/cost-bare"
APPLICATION = "serve_and_sleep"  # in tests/engine/cost.c


@dataclass(frozen=True, slots=True)
class Share:
    what: str
    whole: float
    bare: float

    @property
    def pct(self) -> float:
        return (1 - self.bare / self.whole) * 100

    def sentence(self) -> str:
        metrics = self.whole - self.bare
        return f"{self.what}: {metrics:.0f} of {self.whole:.0f} instructions, {self.pct:.2f} %"


def make(build: Path = guard.BUILD) -> None:
    guard.make(build, guard.TARGET, BARE)


def static(build: Path = guard.BUILD, waste: int = 0) -> Share:
    """`waste` is spent by the build with metrics alone."""
    whole = guard.cost("static", build, waste=waste)
    return Share("a small file", whole, guard.cost("static", build, target=BARE))


def application(build: Path = guard.BUILD) -> tuple[Share, Share]:
    """The worker's part, and that of the application's process."""
    both, theirs = (
        [guard.cost("app", build, target=target, only=only) for target in (guard.TARGET, BARE)]
        for only in ("", APPLICATION)
    )
    return (
        Share("an application's answer, the worker", both[0] - theirs[0], both[1] - theirs[1]),
        Share("an application's answer, its end of the port", theirs[0], theirs[1]),
    )


def main() -> int:
    make()
    worker, port = application()
    judged = [static(), worker]
    print("\n".join(share.sentence() for share in [*judged, port]))
    return int(any(share.pct > SHARE_MAX_PCT for share in judged))


if __name__ == "__main__":
    sys.exit(main())
