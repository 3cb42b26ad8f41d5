# SPDX-License-Identifier: MIT
"""A ring for probing, by raw system calls: no liburing is needed to say what a kernel can do.

Only what the probes of uring_matrix use: one submission entry at a time, waits with a deadline.
The structures are those of include/uapi/linux/io_uring.h.
"""

import ctypes
import errno
import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import Any

from askrctl.probes.uring_reach import NR_ENTER, NR_REGISTER, NR_SETUP, syscall

# IORING_SETUP_*
CQSIZE, SUBMIT_ALL, COOP_TASKRUN, R_DISABLED = 1 << 3, 1 << 7, 1 << 8, 1 << 6
SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY = 1 << 12, 1 << 13, 1 << 16
SQPOLL = 1 << 1
DEFER = SINGLE_ISSUER | DEFER_TASKRUN
# IORING_ENTER_*, IORING_CQE_F_*, IORING_OFF_*
_GETEVENTS, _SQ_WAKEUP, _EXT_ARG = 1, 2, 8
REGISTERED_RING, EXT_ARG_REG = 16, 64
F_MORE, F_NOTIF = 2, 8
_OFF_SQES = 0x10000000
_SQE, _CQE = 64, 16
_PROT_RW = mmap.PROT_READ | mmap.PROT_WRITE
_MAP_SHARED_POPULATE = 0x8001
_MAP_PRIVATE_ANONYMOUS = 0x22
PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
    *(ctypes.c_int, ctypes.c_int, ctypes.c_longlong),
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def _offsets(*names: str) -> list[tuple[str, Any]]:
    return [*((name, ctypes.c_uint32) for name in names), ("user", ctypes.c_uint64)]


class _SqOffsets(ctypes.Structure):
    _fields_ = _offsets("head", "tail", "mask", "entries", "flags", "dropped", "array", "reserved")


class _CqOffsets(ctypes.Structure):
    _fields_ = _offsets("head", "tail", "mask", "entries", "overflow", "cqes", "flags", "reserved")


class Params(ctypes.Structure):
    """struct io_uring_params."""

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("idle_ms", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("wq_fd", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
        ("sq", _SqOffsets),
        ("cq", _CqOffsets),
    )


def fail(code: int, what: str) -> OSError:
    return OSError(-code, f"{what}: {errno.errorcode.get(-code, str(-code))}")


def anonymous(size: int) -> int:
    """The address of fresh pages. They live until this child ends."""
    address = _libc.mmap(None, size, _PROT_RW, _MAP_PRIVATE_ANONYMOUS, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def setup(entries: int, flags: int, cq_entries: int = 0) -> tuple[int, Params]:
    """A ring's fd or -errno, without mapping it."""
    params = Params(flags=flags, cq_entries=cq_entries)
    return syscall(NR_SETUP, entries, ctypes.byref(params)), params


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission entry, by the fields the probes need."""

    opcode: int
    fd: int = -1
    offset: int = 0
    address: int = 0
    length: int = 0
    op_flags: int = 0
    flags: int = 0
    priority: int = 0
    buffer: int = 0
    file_index: int = 0
    address3: int = 0
    data: int = 0

    def pack(self) -> bytes:
        return struct.pack(
            "<BBHiQQIIQHHIQQ",
            *(self.opcode, self.flags, self.priority, self.fd),
            *(self.offset, self.address, self.length, self.op_flags),
            *(self.data, self.buffer, 0, self.file_index, self.address3, 0),
        )


@dataclass(frozen=True, slots=True)
class Completion:
    data: int
    result: int
    flags: int

    @property
    def more(self) -> bool:
        return bool(self.flags & F_MORE)

    @property
    def buffer(self) -> int:
        return self.flags >> 16


class Ring:
    """Opened, mapped and closed by `with`."""

    def __init__(self, entries: int = 32, flags: int = DEFER, idle_ms: int = 0) -> None:
        self.params = Params(flags=flags, idle_ms=idle_ms)
        self.fd = syscall(NR_SETUP, entries, ctypes.byref(self.params))
        if self.fd < 0:
            raise fail(self.fd, "io_uring_setup")
        sq, cq = self.params.sq, self.params.cq
        self._size = max(
            sq.array + self.params.sq_entries * 4, cq.cqes + self.params.cq_entries * _CQE
        )
        self._ring = self._map(self._size, 0)
        self._sqes = self._map(self.params.sq_entries * _SQE, _OFF_SQES)
        self._sq_tail, self.sq_flags = self._word(sq.tail), self._word(sq.flags)
        self._cq_head, self._cq_tail = self._word(cq.head), self._word(cq.tail)
        if not flags & NO_SQARRAY:
            for index in range(self.params.sq_entries):
                self._word(sq.array + 4 * index).value = index
        self._pending = 0

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        _libc.munmap(self._ring, self._size)
        _libc.munmap(self._sqes, self.params.sq_entries * _SQE)
        os.close(self.fd)

    def _map(self, size: int, offset: int) -> int:
        address = _libc.mmap(None, size, _PROT_RW, _MAP_SHARED_POPULATE, self.fd, offset)
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "mmap of the ring")
        return int(address)

    def _word(self, offset: int) -> ctypes.c_uint32:
        return ctypes.c_uint32.from_address(self._ring + offset)

    def add(self, entry: Entry) -> None:
        slot = self._sq_tail.value & (self.params.sq_entries - 1)
        ctypes.memmove(self._sqes + slot * _SQE, entry.pack(), _SQE)
        self._sq_tail.value += 1
        self._pending += 1

    def submit(self, wait: int = 0, ms: int = 0, flags: int = 0, min_us: int = 0) -> int:
        """io_uring_enter with a deadline (IORING_FEAT_EXT_ARG); the result or -errno."""
        count, self._pending = self._pending, 0
        moment = (ctypes.c_longlong * 2)(ms // 1000, ms % 1000 * 1_000_000)
        argument = ctypes.create_string_buffer(
            struct.pack("<QIIQ", 0, 0, min_us, ctypes.addressof(moment)), 24
        )
        how = _GETEVENTS | _EXT_ARG | flags
        return syscall(NR_ENTER, self.fd, count, wait, how, ctypes.byref(argument), 24)

    def enter(self, fd: int, count: int, wait: int, flags: int) -> int:
        """io_uring_enter as it was in 5.1, on any descriptor."""
        self._pending = 0
        return syscall(NR_ENTER, fd, count, wait, flags, 0, 0)

    def wake(self) -> None:
        """For SQPOLL, whose thread went to sleep."""
        self._pending = 0
        if self.sq_flags.value & 1:
            syscall(NR_ENTER, self.fd, 0, 0, _SQ_WAKEUP, 0, 0)

    def reap(self) -> list[Completion]:
        found = []
        while self._cq_head.value != self._cq_tail.value:
            slot = self._cq_head.value & (self.params.cq_entries - 1)
            address = self._ring + self.params.cq.cqes + slot * _CQE
            found.append(Completion(*struct.unpack("<QiI", ctypes.string_at(address, _CQE))))
            self._cq_head.value += 1
        return found

    def collect(self, count: int, ms: int = 300) -> list[Completion]:
        """Submit, and wait until so many completions have come or the time is over."""
        deadline = time.monotonic() + ms / 1000
        found: list[Completion] = []
        while len(found) < count and (left := deadline - time.monotonic()) > 0:
            code = self.submit(count - len(found), max(1, int(left * 1000)))
            found += self.reap()
            if code < 0 and -code not in (errno.ETIME, errno.EINTR):
                raise fail(code, "io_uring_enter")
        return found

    def one(self, entry: Entry, ms: int = 300) -> Completion:
        """An entry and its completion."""
        self.add(entry)
        found = self.collect(1, ms)
        if not found:
            raise TimeoutError("no completion came")
        return found[0]

    def register(self, operation: int, argument: object = 0, count: int = 0) -> int:
        """io_uring_register; the result or -errno."""
        return syscall(NR_REGISTER, self.fd, operation, argument, count)
