# SPDX-License-Identifier: MIT
"""Features of io_uring, each tried by doing it: setup flags, operations, registrations.

A version says what a kernel should have; vendors, containers and sandboxes decide what it has. A
probe returns what it saw, and raises when the feature is not there. Minimum kernels are those of
the manual pages of liburing; they inform and decide nothing.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from askrctl.model import ProbeResult
from askrctl.probes import uring_network as network
from askrctl.probes import uring_ring as ring
from askrctl.probes import uring_setups as setups
from askrctl.probes.uring_attempt import (
    ACCEPT,
    CANCEL,
    CLOSE,
    FEATURES,
    RECV,
    SEND,
    SENDMSG,
    TIMEOUT,
    Missing,
)
from askrctl.probes.uring_reach import NR_REGISTER, REGISTER_PROBE, syscall
from askrctl.probes.uring_ring import DEFER

# Those of enum io_uring_op that the engine cannot do without.
_OPCODES = {"poll_add": 6, "accept": ACCEPT, "async_cancel": CANCEL, "close": CLOSE, "read": 22}
_OPCODES |= {"send": SEND, "recv": RECV, "sendmsg": SENDMSG, "splice": 30, "timeout": TIMEOUT}
_OP_SUPPORTED = 1

NEEDED = ("nodrop", "fast_poll", "ext_arg")


@dataclass(frozen=True, slots=True)
class Probe:
    """`tier` "": it decides nothing."""

    name: str
    minimum: str
    tier: str
    run: Callable[[], str]


PROBES = (
    Probe("setup", "5.1", "T1", setups.flag(0)),
    Probe("cqsize", "5.5", "T1", setups.flag(ring.CQSIZE)),
    Probe("submit_all", "5.18", "T1", setups.flag(ring.SUBMIT_ALL)),
    Probe("coop_taskrun", "5.19", "T1", setups.flag(ring.COOP_TASKRUN)),
    Probe("single_issuer", "6.0", "T1", setups.nop(ring.SINGLE_ISSUER)),
    Probe("core", "5.7", "T1", network.core),
    Probe("buffer_ring", "5.19", "T1", network.buffer_ring),
    Probe("recv_multishot", "6.0", "T1", network.recv_multishot),
    Probe("accept_multishot", "5.19", "T1", network.accept_multishot),
    Probe("cancel_fd", "5.19", "T1", network.cancel_fd),
    Probe("sync_cancel", "6.0", "T1", network.sync_cancel),
    Probe("no_kernel_threads", "5.7", "T1", network.no_kernel_threads),
    Probe("defer_taskrun", "6.1", "T2", setups.nop(DEFER)),
    Probe("direct_fds", "5.19", "T2", network.direct_fds),
    Probe("send_zc", "6.0", "T2", network.send_zc),
    Probe("sendmsg_zc", "6.1", "T2", network.sendmsg_zc),
    Probe("registered_ring", "5.18", "T2", setups.registered_ring),
    Probe("msg_ring", "5.18", "T2", setups.message),
    Probe("timeout_multishot", "6.4", "T3", setups.timeout_multishot),
    Probe("no_sqarray", "6.6", "T3", setups.nop(DEFER | ring.NO_SQARRAY)),
    Probe("socket_commands", "6.7", "T3", network.socket_commands),
    Probe("fd_install", "6.8", "T3", network.fd_install),
    Probe("napi", "6.9", "T3", setups.napi),
    Probe("recv_bundle", "6.10", "T3", network.recv_bundle),
    Probe("send_bundle", "6.10", "T3", network.send_bundle),
    Probe("listen_operations", "6.11", "T3", network.listen_operations),
    Probe("min_wait", "6.12", "T3", setups.min_wait),
    Probe("buffer_incremental", "6.12", "T3", network.incremental),
    Probe("registered_wait", "6.13", "T3", setups.registered_wait),
    Probe("resize", "6.13", "T3", setups.resize),
    Probe("epoll_wait", "6.15", "", network.epoll_wait),
    Probe("sqpoll", "5.1", "", setups.sqpoll),
    Probe("iowq", "5.15", "", setups.iowq),
    Probe("restrictions", "5.10", "", setups.restrictions),
    Probe("ktls", "4.13", "", network.ktls),
)


def _try(probe: Probe) -> ProbeResult:
    try:
        return ProbeResult(True, probe.minimum, probe.tier, probe.run())
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        detail = str(error.strerror or error)
        full = detail if not name or name in detail else f"{name}: {detail}"
    except (Missing, IndexError, struct.error) as error:
        full = str(error)
    return ProbeResult(False, probe.minimum, probe.tier, full)


def _operations(fd: int) -> dict[str, ProbeResult]:
    """IORING_REGISTER_PROBE: which operations this kernel knows."""
    raw = ctypes.create_string_buffer(16 + 256 * 8)
    code = syscall(NR_REGISTER, fd, REGISTER_PROBE, ctypes.byref(raw), 256)
    if code < 0:
        return {"probe": ProbeResult(False, "5.6", "T1", errno.errorcode.get(-code, str(-code)))}
    found = {}
    for name, opcode in _OPCODES.items():
        supported = int.from_bytes(raw.raw[16 + opcode * 8 + 2 : 16 + opcode * 8 + 4], "little")
        known = opcode <= raw.raw[0] and bool(supported & _OP_SUPPORTED)
        found[f"op_{name}"] = ProbeResult(known, "5.7", "T1")
    return found


def run() -> dict[str, ProbeResult]:
    """Every probe, by name."""
    found = {probe.name: _try(probe) for probe in PROBES}
    fd, params = ring.setup(8, 0)
    if fd >= 0:
        found |= _operations(fd)
        for name, (bit, minimum) in FEATURES.items():
            tier = "T1" if name in NEEDED else ""
            found[f"feature_{name}"] = ProbeResult(bool(params.features & bit), minimum, tier)
        os.close(fd)
    return found


def tier(probes: dict[str, ProbeResult]) -> str:
    """T0 unusable, T1 the minimum, T2 what `auto` asks for, T3 all that we know."""
    reached = "T0"
    for name in ("T1", "T2", "T3"):
        if not all(probe.ok for probe in probes.values() if probe.tier == name):
            break
        reached = name
    return reached
