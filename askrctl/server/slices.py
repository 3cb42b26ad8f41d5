# SPDX-License-Identifier: MIT
"""Who goes first when processes share a core, by the length of their time slices.

A process that wakes goes before one that runs if its slice is the shorter one, and one with the
longer slice waits its turn; how much of the core each gets in the end stays the same. Linux takes a
slice from 6.12 on (sched(7); kernel/sched/syscalls.c: sched_runtime of SCHED_OTHER, 0.1 to 100 ms),
earlier ones accept the call and change nothing. See docs/decisions/0021.
"""

import ctypes
import os
import platform

WORKER_NS = 500_000  # shorter than the kernel's own: an application does not keep it waiting
SUPERVISOR_NS = 100_000_000  # whoever makes figures lets those go first who serve
_SET = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # sched_setattr(2)
_RESET_ON_FORK = 1


class _Attributes(ctypes.Structure):
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
    """The slice of this process, but of none that it starts. False: all is as it was.

    Whoever chose another policy is left alone, and so is a nice value below 0, which what we start
    would lose with the slice.
    """
    number = _SET.get(platform.machine())
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if number is None or nice < 0 or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    size = ctypes.sizeof(_Attributes)
    wanted = _Attributes(size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, nanoseconds, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, ctypes.byref(wanted), 0) == 0)
