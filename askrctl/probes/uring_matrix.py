# SPDX-License-Identifier: MIT
"""Features of io_uring, each tried by itself: setup flags, operations, registrations.

A version says what a kernel should have; vendors, containers and sandboxes decide what it has.
"""

import ctypes
import errno
import os
from dataclasses import dataclass

from askrctl.model import ProbeResult
from askrctl.probes.uring_reach import NR_REGISTER, NR_SETUP, REGISTER_PROBE, syscall

# include/uapi/linux/io_uring.h
_CQSIZE, _SUBMIT_ALL, _COOP_TASKRUN = 1 << 3, 1 << 7, 1 << 8
_SINGLE_ISSUER, _DEFER_TASKRUN = 1 << 12, 1 << 13
_OPCODES = {"poll_add": 6, "accept": 13, "async_cancel": 14, "close": 19, "read": 22, "send": 26}
_OPCODES |= {"recv": 27, "sendmsg": 9}
_OP_SUPPORTED = 1
_REGISTER_PBUF_RING = 22
_PAGE = 4096


class _Params(ctypes.Structure):
    """struct io_uring_params, without looking into the offsets."""

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("rest", ctypes.c_uint32 * 27),
    )


class _BufferRing(ctypes.Structure):
    """struct io_uring_buf_reg."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("entries", ctypes.c_uint32),
        ("group", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("reserved", ctypes.c_uint64 * 3),
    )


def _setup(flags: int) -> int:
    """A small ring's fd, or -errno."""
    params = _Params(flags=flags, cq_entries=64)
    return syscall(NR_SETUP, 8, ctypes.byref(params))


def _result(code: int, minimum: str, tier: str) -> ProbeResult:
    name = "" if code >= 0 else errno.errorcode.get(-code, str(-code))
    return ProbeResult(code >= 0, minimum, tier, name)


def _flag(flags: int) -> int:
    fd = _setup(flags)
    if fd >= 0:
        os.close(fd)
    return fd


@dataclass(frozen=True, slots=True)
class _Flag:
    name: str
    flags: int
    minimum: str
    tier: str


_FLAGS = (
    _Flag("setup", 0, "5.1", "T1"),
    _Flag("cqsize", _CQSIZE, "5.5", "T1"),
    _Flag("submit_all", _SUBMIT_ALL, "5.18", "T1"),
    _Flag("coop_taskrun", _COOP_TASKRUN, "5.19", "T1"),
    _Flag("single_issuer", _SINGLE_ISSUER, "6.0", "T1"),
    _Flag("defer_taskrun", _SINGLE_ISSUER | _DEFER_TASKRUN, "6.1", "T2"),
)


def _operations(fd: int) -> dict[str, ProbeResult]:
    """IORING_REGISTER_PROBE: which operations this kernel knows."""
    raw = ctypes.create_string_buffer(16 + 256 * 8)
    code = syscall(NR_REGISTER, fd, REGISTER_PROBE, ctypes.byref(raw), 256)
    if code < 0:
        return {"probe": _result(code, "5.6", "T1")}
    found = {}
    for name, opcode in _OPCODES.items():
        supported = int.from_bytes(raw.raw[16 + opcode * 8 + 2 : 16 + opcode * 8 + 4], "little")
        known = opcode <= raw.raw[0] and bool(supported & _OP_SUPPORTED)
        found[f"op_{name}"] = ProbeResult(known, "5.6", "T1")
    return found


def _buffer_ring(fd: int) -> int:
    memory = ctypes.create_string_buffer(2 * _PAGE)
    address = (ctypes.addressof(memory) + _PAGE - 1) // _PAGE * _PAGE
    ring = _BufferRing(address=address, entries=8)
    return syscall(NR_REGISTER, fd, _REGISTER_PBUF_RING, ctypes.byref(ring), 1)


def run() -> dict[str, ProbeResult]:
    """Every probe, by name."""
    found = {flag.name: _result(_flag(flag.flags), flag.minimum, flag.tier) for flag in _FLAGS}
    fd = _setup(0)
    if fd >= 0:
        found |= _operations(fd)
        found["buffer_ring"] = _result(_buffer_ring(fd), "5.19", "T1")
        os.close(fd)
    return found


def tier(probes: dict[str, ProbeResult]) -> str:
    """T0 unusable, T1 the minimum, T2 what `auto` asks for."""
    if not all(probe.ok for probe in probes.values() if probe.tier == "T1"):
        return "T0"
    return "T2" if all(probe.ok for probe in probes.values() if probe.tier == "T2") else "T1"
