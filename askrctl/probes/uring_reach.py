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
    emulated: bool = False  # another architecture's binaries, by translation
    selinux: bool = False  # present and enforcing
    compiled: bool | None = None  # does the kernel have io_uring at all; None: cannot tell

    @property
    def alone(self) -> bool:
        """Only setup is refused: enter and register answer for themselves."""
        return self.enter != self.setup


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason code for programs, a sentence and what to type next."""

    code: str
    detail: str
    fix: str


_PROFILE_FIX = "askrctl explain iouring.seccomp (allow three calls in the runtime's profile)"
_SYSCTL_FIX = "sysctl -w kernel.io_uring_disabled=0, or 1 with io_uring_group: see askrctl explain"


def measure() -> Reach:
    """Ask the kernel, as the process that asks."""
    status = _text("/proc/self/status")
    seccomp = next((line for line in status.splitlines() if line.startswith("Seccomp:")), "x\t0")
    setting = _text(SYSCTL).strip()
    setup = syscall(NR_SETUP, 0, 0)
    return Reach(
        setup=setup,
        enter=syscall(NR_ENTER, -1, 0, 0, 0, 0, 0),
        register=syscall(NR_REGISTER, -1, REGISTER_PROBE, 0, 0),
        seccomp=int(seccomp.split()[1]),
        sysctl=int(setting) if setting.isdigit() else None,
        gvisor=_is_gvisor() if setup == -errno.ENOSYS else False,
        emulated=is_emulated(os.uname().machine, _text("/proc/cpuinfo")),
        selinux=_text("/sys/fs/selinux/enforce").strip() == "1",
        compiled=_is_compiled(bool(setting)) if setup == -errno.ENOSYS else None,
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def is_emulated(machine: str, cpuinfo: str) -> bool:
    """The processor that /proc names is of another kind than the one we are compiled for."""
    is_x86 = "vendor_id" in cpuinfo and "flags" in cpuinfo
    is_arm = "CPU implementer" in cpuinfo
    return (machine == "x86_64" and is_arm) or (machine == "aarch64" and is_x86)


def _is_gvisor() -> bool:
    """gVisor's kernel log begins with its name (syslog(2), SYSLOG_ACTION_READ_ALL)."""
    log = ctypes.create_string_buffer(8192)
    size = _libc.klogctl(3, log, len(log))
    return size > 0 and b"gVisor" in log.raw[:size]


def _is_compiled(has_sysctl: bool) -> bool | None:
    """By the sysctl (6.6), or by the symbol, which /proc/kallsyms names without an address."""
    if has_sysctl:
        return True
    try:
        with Path("/proc/kallsyms").open() as symbols:
            empty = True
            for line in symbols:
                if "sys_io_uring_setup" in line:
                    return True
                empty = False
            return None if empty else False
    except OSError:
        return None


def judge(reach: Reach) -> Cause | None:
    """None when io_uring_setup can be reached; else why not, and what would help."""
    match -reach.setup:
        case errno.EFAULT:
            return _incomplete(reach)
        case errno.ENOSYS:
            return _hidden(reach)
        case errno.EPERM:
            return _forbidden(reach)
        case errno.EACCES:
            return _denied(reach)
        case errno.ENOMEM:
            sentence = "io_uring_setup has no memory (ENOMEM)"
            return Cause("enomem", sentence, "askrctl explain iouring.memlock")
    name = errno.errorcode.get(-reach.setup, str(-reach.setup))
    return Cause("unknown", f"io_uring_setup says {name}", "askrctl doctor --json")


_BY_FILTER = {
    -errno.EPERM: "seccomp_eperm",
    -errno.ENOSYS: "seccomp_enosys",
    -errno.EACCES: "seccomp_eacces",
}


def _incomplete(reach: Reach) -> Cause | None:
    """A profile that allows setup and forgets the others: a ring that opens and does nothing."""
    answers = {"io_uring_enter": reach.enter, "io_uring_register": reach.register}
    missing = [name for name, answer in answers.items() if answer in _BY_FILTER]
    if not missing or reach.seccomp != 2:
        return None
    answer = answers[missing[0]]
    sentence = (
        f"a seccomp filter allows io_uring_setup and forbids {' and '.join(missing)} "
        f"({errno.errorcode[-answer]})"
    )
    return Cause(_BY_FILTER[answer], sentence, _PROFILE_FIX)


def _hidden(reach: Reach) -> Cause:
    if reach.gvisor:
        return Cause("gvisor", "gVisor does not offer io_uring", "another runtime, or epoll")
    if reach.emulated:
        sentence = "another architecture's system calls are translated here, without io_uring"
        return Cause("emulated", sentence, "an image for this machine's own architecture")
    if reach.seccomp == 2 and reach.compiled is not False:
        sentence = "a seccomp filter hides io_uring (ENOSYS), as Podman's does"
        if reach.alone:
            sentence = "a seccomp filter hides io_uring_setup (ENOSYS)"
        return Cause("seccomp_enosys", sentence, _PROFILE_FIX)
    return Cause(
        "not_compiled", "this kernel was built without io_uring (ENOSYS)", "another kernel"
    )


def _forbidden(reach: Reach) -> Cause:
    if not reach.alone:
        sentence = "a seccomp filter forbids io_uring (EPERM), as Docker's default profile does"
        return Cause("seccomp_eperm", sentence, _PROFILE_FIX)
    if reach.sysctl == 2:
        return Cause("sysctl_disabled", "kernel.io_uring_disabled is 2", _SYSCTL_FIX)
    if reach.sysctl == 1:
        sentence = "kernel.io_uring_disabled is 1 and this user is not in io_uring_group"
        return Cause("sysctl_group", sentence, _SYSCTL_FIX)
    if reach.seccomp == 2:
        sentence = "a seccomp filter forbids io_uring_setup (EPERM)"
        return Cause("seccomp_eperm", sentence, _PROFILE_FIX)
    sentence = "this vendor's kernel forbids io_uring_setup (EPERM) by a rule of its own"
    return Cause("vendor_eperm", sentence, "the vendor's documentation of io_uring")


def _denied(reach: Reach) -> Cause:
    if reach.seccomp == 2 and not (reach.alone and reach.selinux):
        name = "io_uring_setup" if reach.alone else "io_uring"
        sentence = f"a seccomp filter forbids {name} (EACCES)"
        return Cause("seccomp_eacces", sentence, _PROFILE_FIX)
    sentence = "a security module (SELinux, AppArmor) denies io_uring"
    return Cause("lsm_eacces", sentence, "ausearch -m avc -ts recent")
