# SPDX-License-Identifier: MIT
"""Features of the ring itself, each tried by doing it: setup flags, registrations, waits."""

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable

from askrctl.probes import uring_ring as ring
from askrctl.probes.uring_attempt import (
    ENABLE,
    FEATURES,
    IOWQ,
    MEM_REGION,
    MSG_RING,
    NAPI,
    NOP,
    RESIZE,
    RESTRICT,
    RING_FDS,
    TIMEOUT,
    Missing,
    accepted,
    buffer_of,
    expect,
)
from askrctl.probes.uring_reach import NR_ENTER, syscall
from askrctl.probes.uring_ring import DEFER, Entry, Ring


def flag(flags: int) -> Callable[[], str]:
    def probe() -> str:
        fd, _ = ring.setup(8, flags, 64 if flags & ring.CQSIZE else 0)
        os.close(accepted(fd, "io_uring_setup"))
        return ""

    return probe


def nop(flags: int) -> Callable[[], str]:
    def probe() -> str:
        with Ring(8, flags) as r:
            expect(r.one(Entry(NOP, data=7)).data == 7, "NOP came back wrong")
        return ""

    return probe


def registered_ring() -> str:
    with Ring(8, 0) as r:
        argument = buffer_of(struct.pack("<IIQ", 0xFFFFFFFF, 0, r.fd))
        accepted(r.register(RING_FDS, argument, 1), "IORING_REGISTER_RING_FDS")
        r.add(Entry(NOP))
        index = struct.unpack("<IIQ", argument.raw)[0]
        accepted(r.enter(index, 1, 1, 1 | ring.REGISTERED_RING), "enter by index")
        expect(r.reap(), "no completion")
    return ""


def registered_wait() -> str:
    with Ring(8, DEFER | ring.R_DISABLED) as r:
        memory = ring.anonymous(ring.PAGE)
        region = buffer_of(struct.pack("<QQIIQQQQQ", memory, ring.PAGE, 1, 0, 0, 0, 0, 0, 0))
        argument = buffer_of(struct.pack("<QQQQ", ctypes.addressof(region), 1, 0, 0))
        accepted(r.register(MEM_REGION, argument, 1), "IORING_REGISTER_MEM_REGION")
        accepted(r.register(ENABLE), "IORING_REGISTER_ENABLE_RINGS")
        wait = struct.pack("<qqIIQI12xQQ", 0, 1_000_000, 0, 1, 0, 0, 0, 0)
        ctypes.memmove(memory, wait, 64)
        code = syscall(NR_ENTER, r.fd, 0, 1, 1 | 8 | ring.EXT_ARG_REG, 0, 64)
        expect(code == -errno.ETIME, f"the wait ended with {code}")
    return ""


def min_wait() -> str:
    with Ring(8) as r:
        expect(r.params.features & FEATURES["min_timeout"][0], "IORING_FEAT_MIN_TIMEOUT is off")
        code = r.submit(1, ms=1, min_us=500)
        expect(code == -errno.ETIME, f"the wait ended with {code}")
    return ""


def resize() -> str:
    with Ring(8) as r:
        params = ring.Params(flags=ring.CQSIZE, sq_entries=16, cq_entries=64)
        accepted(r.register(RESIZE, ctypes.byref(params), 1), "IORING_REGISTER_RESIZE_RINGS")
    return ""


def iowq() -> str:
    with Ring(8) as r:
        workers = (ctypes.c_uint32 * 2)(0, 0)
        accepted(r.register(IOWQ, workers, 2), "IORING_REGISTER_IOWQ_MAX_WORKERS")
    return f"bounded {workers[0]}, unbounded {workers[1]}"


def napi() -> str:
    with Ring(8) as r:
        argument = buffer_of(struct.pack("<IB3xQ", 50, 1, 0))
        accepted(r.register(NAPI, argument, 1), "IORING_REGISTER_NAPI")
    return ""


def restrictions() -> str:
    with Ring(8, DEFER | ring.R_DISABLED) as r:
        allow_nop = struct.pack("<HBB12x", 1, NOP, 0)  # IORING_RESTRICTION_SQE_OP
        code = r.register(RESTRICT, buffer_of(allow_nop), 1)
        accepted(code, "IORING_REGISTER_RESTRICTIONS")
    return ""


def sqpoll() -> str:
    with Ring(8, ring.SQPOLL, idle_ms=10) as r:
        r.add(Entry(NOP))
        for _ in range(100):
            r.wake()
            if r.reap():
                return ""
            select.select([], [], [], 0.002)
    raise Missing("the kernel's thread did nothing for 200 ms")


def message() -> str:
    with Ring(8) as sender, Ring(8, 0) as receiver:
        code = sender.one(Entry(MSG_RING, receiver.fd, offset=77, length=1)).result
        accepted(code, "MSG_RING")
        receiver.submit(0, 1)
        expect([c.data for c in receiver.reap()] == [77], "the message did not arrive")
    return ""


def timeout_multishot() -> str:
    with Ring(8) as r:
        moment = (ctypes.c_longlong * 2)(0, 1_000_000)
        address = ctypes.addressof(moment)
        r.add(Entry(TIMEOUT, address=address, length=1, offset=2, op_flags=1 << 6))
        found = r.collect(2, 100)
        expect(len(found) == 2 and found[0].more, f"{len(found)} completions")
    return ""
