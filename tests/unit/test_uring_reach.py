# SPDX-License-Identifier: MIT
"""Who forbids io_uring: the table of answers and causes, and the arithmetic of its memory."""

import errno
import os
import re
from pathlib import Path

import pytest

from askrctl.model import ProbeResult
from askrctl.probes import uring_matrix, uring_memory
from askrctl.probes.uring_reach import Reach, is_emulated, judge, measure

ROOT = Path(__file__).parents[2]
OPEN = {"enter": -errno.EBADF, "register": -errno.EINVAL}


def blocked(error: int) -> dict[str, int]:
    return {"setup": -error, "enter": -error, "register": -error}


def alone(error: int) -> dict[str, int]:
    return {"setup": -error, **OPEN}


TABLE = [
    (Reach(**alone(errno.EFAULT), seccomp=0, sysctl=0), None),
    (Reach(**blocked(errno.EPERM), seccomp=2, sysctl=0), "seccomp_eperm"),
    (Reach(**blocked(errno.EPERM), seccomp=2, sysctl=2), "seccomp_eperm"),
    (Reach(**alone(errno.EPERM), seccomp=0, sysctl=2), "sysctl_disabled"),
    (Reach(**alone(errno.EPERM), seccomp=2, sysctl=2), "sysctl_disabled"),
    (Reach(**alone(errno.EPERM), seccomp=0, sysctl=1), "sysctl_group"),
    (Reach(**alone(errno.EPERM), seccomp=2, sysctl=0), "seccomp_eperm"),
    (Reach(**alone(errno.EPERM), seccomp=2, sysctl=None), "seccomp_eperm"),
    (Reach(**alone(errno.EPERM), seccomp=0, sysctl=None), "vendor_eperm"),
    (Reach(**alone(errno.EACCES), seccomp=0, sysctl=0, selinux=True), "lsm_eacces"),
    (Reach(**alone(errno.EACCES), seccomp=2, sysctl=0, selinux=True), "lsm_eacces"),
    (Reach(**alone(errno.EACCES), seccomp=2, sysctl=0), "seccomp_eacces"),
    (Reach(**blocked(errno.EACCES), seccomp=2, sysctl=0), "seccomp_eacces"),
    (Reach(**blocked(errno.ENOSYS), seccomp=2, sysctl=0, compiled=True), "seccomp_enosys"),
    (Reach(**alone(errno.ENOSYS), seccomp=2, sysctl=0, compiled=True), "seccomp_enosys"),
    (Reach(**blocked(errno.ENOSYS), seccomp=2, sysctl=None), "seccomp_enosys"),
    (Reach(**blocked(errno.ENOSYS), seccomp=2, sysctl=None, compiled=False), "not_compiled"),
    (Reach(**blocked(errno.ENOSYS), seccomp=0, sysctl=None), "not_compiled"),
    (Reach(**blocked(errno.ENOSYS), seccomp=0, sysctl=None, gvisor=True), "gvisor"),
    (Reach(**blocked(errno.ENOSYS), seccomp=0, sysctl=None, emulated=True), "emulated"),
    (
        Reach(-errno.EFAULT, -errno.EPERM, -errno.EINVAL, seccomp=2, sysctl=0),
        "seccomp_eperm",
    ),
    (
        Reach(-errno.EFAULT, -errno.EBADF, -errno.ENOSYS, seccomp=2, sysctl=None),
        "seccomp_enosys",
    ),
    (
        Reach(-errno.EFAULT, -errno.EACCES, -errno.EACCES, seccomp=2, sysctl=0),
        "seccomp_eacces",
    ),
    (Reach(-errno.EFAULT, -errno.EBADF, -errno.EBADF, seccomp=2, sysctl=0), None),
    (Reach(**alone(errno.ENOMEM), seccomp=0, sysctl=0), "enomem"),
    (Reach(**alone(errno.EIO), seccomp=0, sysctl=0), "unknown"),
]


@pytest.mark.parametrize(("reach", "code"), TABLE)
def test_each_pattern_of_answers_has_its_cause(reach: Reach, code: str | None) -> None:
    cause = judge(reach)
    assert (cause.code if cause else None) == code
    assert cause is None or (cause.detail and cause.fix)


def test_this_machine_can_be_asked() -> None:
    reach = measure()
    assert reach.setup < 0 and reach.enter < 0 and reach.register < 0


def test_a_translated_architecture_is_seen() -> None:
    x86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n"
    arm = "processor\t: 0\nCPU implementer\t: 0x41\n"
    assert is_emulated("aarch64", x86) and is_emulated("x86_64", arm)
    assert not is_emulated("x86_64", x86) and not is_emulated("aarch64", arm)


def test_a_ring_takes_what_the_kernel_charges() -> None:
    """Measured on Linux 6.18 with an 8 MiB limit: that many rings fit."""
    if os.sysconf("SC_PAGESIZE") != 4096:
        pytest.skip("the figures are those of 4 KiB pages")
    limit = 8 << 20
    assert limit // uring_memory.ring_bytes(256, 512) == 292
    assert limit // uring_memory.ring_bytes(1024, 2048) == 78
    assert limit // uring_memory.ring_bytes(4096, 8192) == 20
    assert uring_memory.ring_bytes(4096, 16384, sqarray=False) == 528384


def test_the_sizes_are_those_of_the_engine() -> None:
    header = (ROOT / "askrctl/engine/io/io.h").read_text()
    ring = (ROOT / "askrctl/engine/io/uring_ring.c").read_text()
    sizes = dict(re.findall(r"\b(IO_[A-Z_]+|CQ_FACTOR) = (\d+),", header + ring))
    assert int(sizes["IO_RING_ENTRIES"]) == uring_memory.RING_ENTRIES
    assert int(sizes["IO_RING_ENTRIES_MIN"]) == uring_memory.RING_ENTRIES_MIN
    assert int(sizes["IO_BUF_COUNT"]) == uring_memory.BUFFERS
    assert int(sizes["CQ_FACTOR"]) == uring_memory.CQ_FACTOR


def test_tiers_follow_the_probes_and_nothing_else() -> None:
    every = {probe.name: ProbeResult(True, "", probe.tier) for probe in uring_matrix.PROBES}
    assert uring_matrix.tier(every) == "T3"
    assert uring_matrix.tier({**every, "min_wait": ProbeResult(False, "", "T3")}) == "T2"
    assert uring_matrix.tier({**every, "defer_taskrun": ProbeResult(False, "", "T2")}) == "T1"
    assert uring_matrix.tier({**every, "core": ProbeResult(False, "", "T1")}) == "T0"
    assert uring_matrix.tier({**every, "ktls": ProbeResult(False, "", "")}) == "T3"
