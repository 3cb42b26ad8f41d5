# SPDX-License-Identifier: MIT
"""Which I/O backend a generation runs: a pure function of request, probe and bench record.

No configuration ever fails because io_uring is missing; the reason says exactly why it is not used.
"""

from askrctl.gate import AGAIN, BenchRecord, Refusal
from askrctl.model import Backend, BackendChoice, ProbeVerdict

# io_uring by itself is chosen from this tier on: DEFER_TASKRUN, kernel 6.1 (docs/decisions).
TIER_FOR_AUTO = "T2"


def wants_probe(requested: Backend, record: BenchRecord | Refusal | None) -> bool:
    """Whether io_uring comes into question, so that the kernel has to be asked."""
    won = isinstance(record, BenchRecord) and record.winner is Backend.IO_URING
    return requested is Backend.IO_URING or (requested is Backend.AUTO and won)


def choose(
    requested: Backend,
    verdict: ProbeVerdict | None,
    record: BenchRecord | Refusal | None = None,
) -> BackendChoice:
    """Decide. `verdict` may be None when nothing asks for io_uring: it is not touched then."""
    if requested is Backend.EPOLL:
        return BackendChoice(requested, Backend.EPOLL, "requested")
    if requested is Backend.AUTO and record is None:
        return BackendChoice(
            requested,
            Backend.EPOLL,
            "no_bench_record",
            "auto is epoll until a recorded bench on this machine shows a win for io_uring",
            AGAIN,
        )
    if requested is Backend.AUTO and isinstance(record, Refusal):
        return BackendChoice(requested, Backend.EPOLL, record.reason, record.detail, record.fix)
    if not wants_probe(requested, record):
        assert isinstance(record, BenchRecord)
        return BackendChoice(requested, Backend.EPOLL, "bench_no_win", record.detail)
    assert verdict is not None
    if not verdict.usable:
        reason = verdict.cause or "unknown"
        return BackendChoice(requested, Backend.EPOLL, reason, verdict.detail, verdict.fix)
    if requested is Backend.AUTO and verdict.tier < TIER_FOR_AUTO:
        detail = f"io_uring works here at tier {verdict.tier}, auto asks for {TIER_FOR_AUTO}"
        return BackendChoice(requested, Backend.EPOLL, "tier_too_low", detail)
    if requested is Backend.AUTO and isinstance(record, BenchRecord):
        return BackendChoice(requested, Backend.IO_URING, "bench_win", record.detail)
    return BackendChoice(requested, Backend.IO_URING, "requested", f"tier {verdict.tier}")


def after_failure(choice: BackendChoice, errnum: int) -> BackendChoice:
    """The probe passed, but a worker's ring did not open: all workers change to epoll together."""
    reason = "enomem" if errnum == 12 else "emfile" if errnum in (23, 24) else "open_failed"
    detail = f"a worker's ring did not open (errno {errnum})"
    fix = "askrctl doctor --only iouring.memlock"
    return BackendChoice(choice.requested, Backend.EPOLL, reason, detail, fix)
