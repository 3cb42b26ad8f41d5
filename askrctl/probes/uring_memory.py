# SPDX-License-Identifier: MIT
"""Memory of rings: how much one takes, and the proof that the server's rings can all be opened.

The kernel charges a ring to its user, over all processes, against RLIMIT_MEMLOCK, unless it is one
with CAP_IPC_LOCK in the initial user namespace (io_uring/memmap.c, io_create_region). From 5.12 on
kernels did not for some years, so arithmetic alone would accuse them: the proof decides.
"""

import errno
import mmap
import os
import resource
import struct
from dataclasses import dataclass
from pathlib import Path

from askrctl.probes import uring_ring as ring
from askrctl.probes.process import CAPABILITIES, is_initial_userns
from askrctl.probes.uring_reach import NR_REGISTER, Cause, syscall

# What askrctl/engine/io opens (io.h, uring_ring.c); a test compares them.
RING_ENTRIES = 1024
RING_ENTRIES_MIN = 64
CQ_FACTOR = 4
BUFFERS = 256
_HEADER = 64 * 3  # struct io_rings, rounded up to cache lines
_REGISTER_PBUF_RING = 22
_FLAGS = (
    *(ring.DEFER_TASKRUN, ring.SINGLE_ISSUER, ring.COOP_TASKRUN),
    *(ring.SUBMIT_ALL, ring.CQSIZE),
)

MEMLOCK_FIX = "LimitMEMLOCK=infinity in the unit (or a larger number), or ulimit -l unlimited"


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def ring_bytes(sq: int, cq: int, buffers: int = 0, *, sqarray: bool = True) -> int:
    """What a ring and its provided buffers' ring are charged with."""
    entries = _pages(64 * sq)
    rings = _pages(_HEADER + 16 * cq + (4 * sq if sqarray else 0))
    return entries + rings + _pages(16 * buffers)


def server_bytes(workers: int) -> int:
    """Of all workers together."""
    return workers * ring_bytes(RING_ENTRIES, RING_ENTRIES * CQ_FACTOR, BUFFERS)


@dataclass(frozen=True, slots=True)
class Proof:
    """How many of the rings asked for could be opened, and how many at full size."""

    asked: int
    opened: int
    full: int
    failure: Cause | None = None

    @property
    def all_full(self) -> bool:
        return self.full == self.asked

    @property
    def sentence(self) -> str:
        size = f"{RING_ENTRIES}/{RING_ENTRIES * CQ_FACTOR} entries"
        text = f"{self.full} of {self.asked} rings with {size}"
        return text if self.full == self.opened else f"{text}, {self.opened} after halving"


def _open_as_server(entries: int) -> int:
    """A ring's fd or -errno; flags are given up as in uring_ring.c."""
    flags = 0
    for flag in _FLAGS:
        flags |= flag
    for given_up in (0, *_FLAGS):
        flags &= ~given_up
        size = entries * CQ_FACTOR if flags & ring.CQSIZE else 0
        fd, _ = ring.setup(entries, flags, size)
        if fd != -errno.EINVAL:
            return fd
    return -errno.EINVAL


def _with_buffers(fd: int) -> int:
    argument = struct.pack("<QIHHQQQ", ring.anonymous(16 * BUFFERS), BUFFERS, 0, 0, 0, 0, 0)
    code = syscall(NR_REGISTER, fd, _REGISTER_PBUF_RING, argument, 1)
    return fd if code >= 0 or code == -errno.EINVAL else code


def _open_one() -> tuple[int, int]:
    """(fd or -errno, entries): halved while there is no memory."""
    entries = RING_ENTRIES
    while True:
        fd = _open_as_server(entries)
        code = _with_buffers(fd) if fd >= 0 else fd
        if fd >= 0 and code < 0:
            os.close(fd)
        if code != -errno.ENOMEM or entries // 2 < RING_ENTRIES_MIN:
            return code, entries
        entries //= 2


def prove(rings: int) -> Proof:
    """Open as many as the server will, all at once, then close them."""
    open_fds: list[int] = []
    full = 0
    failure = None
    for _ in range(rings):
        fd, entries = _open_one()
        if fd < 0:
            failure = of_errno(-fd, f"worker {len(open_fds)} of {rings} gets no ring")
            break
        open_fds.append(fd)
        full += entries == RING_ENTRIES
    for fd in open_fds:
        os.close(fd)
    return Proof(rings, len(open_fds), full, failure)


def _may_lock() -> bool:
    """CAP_IPC_LOCK where it counts."""
    status = Path("/proc/self/status").read_text().splitlines()
    mask = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
    if not int(mask, 16) >> CAPABILITIES["CAP_IPC_LOCK"] & 1:
        return False
    return is_initial_userns(Path("/proc/self/uid_map").read_text())


def of_errno(errnum: int, sentence: str) -> Cause | None:
    """Why a ring of the server's did not open; None when it did."""
    if errnum == 0:
        return None
    if errnum == errno.ENOMEM:
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        if limit != resource.RLIM_INFINITY and not _may_lock():
            detail = (
                f"{sentence}: RLIMIT_MEMLOCK is {limit // 1024} KiB for all processes of this user"
            )
            return Cause("memlock", detail, MEMLOCK_FIX)
        detail = f"{sentence}: no memory (ENOMEM), and RLIMIT_MEMLOCK is not the reason"
        return Cause("enomem", detail, "askrctl explain iouring.fragmentation")
    if errnum in (errno.EMFILE, errno.ENFILE):
        return Cause("emfile", f"{sentence}: too many open files", "ulimit -n 65536")
    name = errno.errorcode.get(errnum, str(errnum))
    return Cause("open_failed", f"{sentence}: {name}", "askrctl doctor --json")
