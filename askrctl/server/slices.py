# SPDX-License-Identifier: MIT
"""Who goes first when processes share a core, by the length of their time slices.

A process that wakes goes before one that runs if its slice is the shorter one; how much of the core
each gets in the end stays the same. Linux takes a slice from 6.12 on (kernel/sched/syscalls.c:
sched_runtime of SCHED_OTHER, 0.1 to 100 ms); earlier ones accept the call and change nothing. What
it is worth: docs/decisions/0022.
"""

import ctypes
import os
import platform

WORKER_NS = 500_000  # shorter than the kernel's own: an application that computes can wait
_SET = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # sched_setattr(2)


class SchedAttr(ctypes.Structure):
    """struct sched_attr in its first version, sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def set_own(nanoseconds: int) -> bool:
    """The slice of this process. False when it may not be set; another policy is left alone."""
    number = _SET.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    size = ctypes.sizeof(SchedAttr)
    wanted = SchedAttr(size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, ctypes.byref(wanted), 0) == 0)
