# SPDX-License-Identifier: MIT
"""Which I/O backend a generation runs: a pure function of request, probe and bench record.

No configuration ever fails because io_uring is missing; the reason says exactly why it is not used.
"""

from askrctl.config import BenchRecord
from askrctl.model import Backend, BackendChoice, ProbeVerdict

# io_uring by itself is chosen from this tier on: DEFER_TASKRUN, kernel 6.1 (docs/decisions).
TIER_FOR_AUTO = "T2"


def choose(
    requested: Backend, verdict: ProbeVerdict | None, record: BenchRecord | None = None
) -> BackendChoice:
    """Decide. `verdict` may be None when the request is for epoll: io_uring is not touched then."""
    if requested is Backend.EPOLL:
        return BackendChoice(requested, Backend.EPOLL, "requested")
    if requested is Backend.AUTO and record is None:
        return BackendChoice(
            requested,
            Backend.EPOLL,
            "no_bench_record",
            "auto is epoll until a recorded bench on this machine shows a win for io_uring",
            "askrctl serve --io-backend io_uring",
        )
    if requested is Backend.AUTO and record is not None and record.winner is not Backend.IO_URING:
        return BackendChoice(requested, Backend.EPOLL, "bench_no_win", record.sentence)
    assert verdict is not None
    if not verdict.usable:
        reason = verdict.cause or "unknown"
        return BackendChoice(requested, Backend.EPOLL, reason, verdict.detail, verdict.fix)
    if requested is Backend.AUTO and verdict.tier < TIER_FOR_AUTO:
        detail = f"io_uring works here at tier {verdict.tier}, auto asks for {TIER_FOR_AUTO}"
        return BackendChoice(requested, Backend.EPOLL, "tier_too_low", detail)
    if requested is Backend.AUTO and record is not None:
        return BackendChoice(requested, Backend.IO_URING, "bench_win", record.sentence)
    return BackendChoice(requested, Backend.IO_URING, "requested", f"tier {verdict.tier}")


def after_failure(choice: BackendChoice, errnum: int) -> BackendChoice:
    """The probe passed, but a worker's ring did not open: all workers change to epoll together."""
    reason = "enomem" if errnum == 12 else "emfile" if errnum in (23, 24) else "open_failed"
    detail = f"a worker's ring did not open (errno {errnum})"
    fix = "askrctl doctor --only iouring.memlock"
    return BackendChoice(choice.requested, Backend.EPOLL, reason, detail, fix)
