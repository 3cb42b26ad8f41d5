# SPDX-License-Identifier: MIT
"""Can this process reach io_uring, and if not, who forbids it?

Three calls that change nothing tell seccomp from sysctl from a kernel without it: setup with no
parameters fails with EFAULT once everything has let it through; enter and register on no ring are
behind seccomp, but not behind the sysctl or an LSM (kernel, io_uring/io_uring.c).
"""

import ctypes
import errno
import os
from dataclasses import dataclass
from pathlib import Path

# The same numbers on every architecture that has io_uring (asm-generic/unistd.h).
NR_SETUP, NR_ENTER, NR_REGISTER = 425, 426, 427
REGISTER_PROBE = 8
SYSCTL = "/proc/sys/kernel/io_uring_disabled"

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """The result, or -errno."""
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    return -ctypes.get_errno() if result < 0 else result


@dataclass(frozen=True, slots=True)
class Reach:
    """The three answers, and what else tells causes apart."""

    setup: int
    enter: int
    register: int
    seccomp: int  # 0 none, 2 filters (proc(5), Seccomp)
    sysctl: int | None  # None: the kernel has no such setting (before 6.6)
    gvisor: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    code: str
    detail: str
    fix: str


_PROFILE_FIX = (
    "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile"
)
_SYSCTL_FIX = "sysctl -w kernel.io_uring_disabled=0 (or 1, and put the user into io_uring_group)"


def measure() -> Reach:
    """Ask the kernel, as the process that asks."""
    status = Path("/proc/self/status").read_text()
    seccomp = next((line for line in status.splitlines() if line.startswith("Seccomp:")), "x\t0")
    try:
        setting: int | None = int(Path(SYSCTL).read_text())
    except (OSError, ValueError):
        setting = None
    return Reach(
        setup=syscall(NR_SETUP, 0, 0),
        enter=syscall(NR_ENTER, -1, 0, 0, 0, 0, 0),
        register=syscall(NR_REGISTER, -1, REGISTER_PROBE, 0, 0),
        seccomp=int(seccomp.split()[1]),
        sysctl=setting,
        gvisor="gvisor" in os.uname().version.lower(),
    )


def judge(reach: Reach) -> Cause | None:
    """None when io_uring_setup can be reached; else why not, and what would help."""
    if reach.setup == -errno.EFAULT:
        return None
    name = errno.errorcode.get(-reach.setup, str(-reach.setup))
    if reach.setup == -errno.ENOSYS:
        if reach.gvisor:
            return Cause("gvisor", "gVisor does not offer io_uring", "run on another runtime")
        if reach.seccomp == 2:
            return Cause(
                "seccomp_enosys",
                "a seccomp filter hides io_uring (ENOSYS), as Podman's does",
                _PROFILE_FIX,
            )
        return Cause(
            "not_compiled", "this kernel was built without io_uring (ENOSYS)", "another kernel"
        )
    if reach.setup == -errno.EPERM and reach.enter == -errno.EPERM:
        detail = "a seccomp filter forbids io_uring (EPERM), as Docker's default profile does"
        return Cause("seccomp_eperm", detail, _PROFILE_FIX)
    if reach.setup == -errno.EPERM and reach.sysctl == 2:
        return Cause("sysctl_disabled", "kernel.io_uring_disabled is 2", _SYSCTL_FIX)
    if reach.setup == -errno.EPERM and reach.sysctl == 1:
        detail = "kernel.io_uring_disabled is 1 and this user is not in io_uring_group"
        return Cause("sysctl_group", detail, _SYSCTL_FIX)
    if reach.setup == -errno.EPERM and reach.seccomp == 2:
        detail = "a seccomp filter forbids io_uring_setup (EPERM)"
        return Cause("seccomp_eperm", detail, _PROFILE_FIX)
    if reach.setup == -errno.EACCES and reach.seccomp == 2:
        detail = "a seccomp filter forbids io_uring (EACCES)"
        return Cause("seccomp_eacces", detail, _PROFILE_FIX)
    if reach.setup == -errno.EACCES:
        detail = "a security module (SELinux, AppArmor) denies io_uring"
        return Cause("lsm_eacces", detail, "ausearch -m avc -ts recent")
    if reach.setup == -errno.ENOMEM:
        return Cause(
            "enomem", "io_uring_setup has no memory (ENOMEM)", "askrctl explain iouring.memlock"
        )
    return Cause("unknown", f"io_uring_setup says {name}", "askrctl doctor --json")
