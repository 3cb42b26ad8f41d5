# SPDX-License-Identifier: MIT
"""Features of io_uring, each tried by doing it: setup flags, operations, registrations.

A version says what a kernel should have; vendors, containers and sandboxes decide what it has. A
probe returns what it saw, and raises when the feature is not there. Minimum kernels are those of
the manual pages of liburing; they inform and decide nothing.
"""

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from askrctl.model import ProbeResult
from askrctl.probes import uring_ring as ring
from askrctl.probes.uring_reach import NR_ENTER, NR_REGISTER, REGISTER_PROBE, syscall
from askrctl.probes.uring_ring import DEFER, Entry, Ring

# enum io_uring_op
NOP, SENDMSG, TIMEOUT, ACCEPT, CANCEL, CLOSE = 0, 9, 11, 13, 14, 19
SEND, RECV, MSG_RING, SOCKET, URING_CMD, SEND_ZC = 26, 27, 40, 45, 46, 47
SENDMSG_ZC, FIXED_FD_INSTALL, BIND, LISTEN, EPOLL_WAIT = 48, 54, 56, 57, 59
_OPCODES = {"poll_add": 6, "accept": ACCEPT, "async_cancel": CANCEL, "close": CLOSE, "read": 22}
_OPCODES |= {"send": SEND, "recv": RECV, "sendmsg": SENDMSG, "splice": 30, "timeout": TIMEOUT}
_OP_SUPPORTED = 1
# enum io_uring_register_op
_FILES2, _ENABLE, _IOWQ, _RING_FDS, _PBUF_RING = 13, 12, 19, 20, 22
_SYNC_CANCEL, _NAPI, _RESIZE, _MEM_REGION, _RESTRICT = 24, 27, 33, 34, 11
# IORING_RECVSEND_*, IORING_ACCEPT_MULTISHOT, IOSQE_*
_MULTISHOT, _BUNDLE, _FIXED_BUF, _REPORT_USAGE = 2, 16, 4, 8
_ACCEPT_MULTISHOT, _FIXED_FILE, _BUFFER_SELECT = 1, 1, 1 << 5
_INC = 2  # IOU_PBUF_RING_INC

NEEDED = ("nodrop", "fast_poll", "ext_arg")
FEATURES = {  # bit of params.features, and the kernel that brought it
    "nodrop": (1 << 1, "5.5"),
    "fast_poll": (1 << 5, "5.7"),
    "ext_arg": (1 << 8, "5.11"),
    "native_workers": (1 << 9, "5.12"),
    "cqe_skip": (1 << 11, "5.17"),
    "recvsend_bundle": (1 << 14, "6.10"),
    "min_timeout": (1 << 15, "6.12"),
}


class Missing(Exception):  # noqa: N818
    """The kernel answered, and the feature is not what it has to be."""


def expect(true: object, what: str) -> None:
    if not true:
        raise Missing(what)


def accepted(code: int, what: str) -> int:
    if code < 0:
        raise ring.fail(code, what)
    return code


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with listening() as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield client, server


class Buffers:
    """A ring of provided buffers (IORING_REGISTER_PBUF_RING, 5.19)."""

    def __init__(self, where: Ring, count: int, size: int, flags: int = 0) -> None:
        memory = ring.anonymous(ring.PAGE)
        self.data = ctypes.create_string_buffer(count * size)
        argument = struct.pack("<QIHHQQQ", memory, count, 0, flags, 0, 0, 0)
        accepted(where.register(_PBUF_RING, _buffer(argument), 1), "the buffer ring")
        for index in range(count):
            address = ctypes.addressof(self.data) + index * size
            entry = struct.pack("<QIH", address, size, index)
            ctypes.memmove(memory + 16 * index, entry, len(entry))
        ctypes.c_uint16.from_address(memory + 14).value = count


def _buffer(data: bytes) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(data, len(data))


def _recv(fd: int, priority: int) -> Entry:
    return Entry(RECV, fd, priority=priority, flags=_BUFFER_SELECT)


# --- probes of the ring itself --------------------------------------------------------------------


def _flag(flags: int) -> Callable[[], str]:
    def probe() -> str:
        fd, _ = ring.setup(8, flags, 64 if flags & ring.CQSIZE else 0)
        os.close(accepted(fd, "io_uring_setup"))
        return ""

    return probe


def _nop(flags: int) -> Callable[[], str]:
    def probe() -> str:
        with Ring(8, flags) as r:
            expect(r.one(Entry(NOP, data=7)).data == 7, "NOP came back wrong")
        return ""

    return probe


def _registered_ring() -> str:
    with Ring(8, 0) as r:
        argument = _buffer(struct.pack("<IIQ", 0xFFFFFFFF, 0, r.fd))
        accepted(r.register(_RING_FDS, argument, 1), "IORING_REGISTER_RING_FDS")
        r.add(Entry(NOP))
        index = struct.unpack("<IIQ", argument.raw)[0]
        accepted(r.enter(index, 1, 1, 1 | ring.REGISTERED_RING), "enter by index")
        expect(r.reap(), "no completion")
    return ""


def _registered_wait() -> str:
    with Ring(8, DEFER | ring.R_DISABLED) as r:
        memory = ring.anonymous(ring.PAGE)
        region = _buffer(struct.pack("<QQIIQQQQQ", memory, ring.PAGE, 1, 0, 0, 0, 0, 0, 0))
        argument = _buffer(struct.pack("<QQQQ", ctypes.addressof(region), 1, 0, 0))
        accepted(r.register(_MEM_REGION, argument, 1), "IORING_REGISTER_MEM_REGION")
        accepted(r.register(_ENABLE), "IORING_REGISTER_ENABLE_RINGS")
        wait = struct.pack("<qqIIQI12xQQ", 0, 1_000_000, 0, 1, 0, 0, 0, 0)
        ctypes.memmove(memory, wait, 64)
        code = syscall(NR_ENTER, r.fd, 0, 1, 1 | 8 | ring.EXT_ARG_REG, 0, 64)
        expect(code == -errno.ETIME, f"the wait ended with {code}")
    return ""


def _min_wait() -> str:
    with Ring(8) as r:
        expect(r.params.features & FEATURES["min_timeout"][0], "IORING_FEAT_MIN_TIMEOUT is off")
        code = r.submit(1, ms=1, min_us=500)
        expect(code == -errno.ETIME, f"the wait ended with {code}")
    return ""


def _resize() -> str:
    with Ring(8) as r:
        params = ring.Params(flags=ring.CQSIZE, sq_entries=16, cq_entries=64)
        accepted(r.register(_RESIZE, ctypes.byref(params), 1), "IORING_REGISTER_RESIZE_RINGS")
    return ""


def _iowq() -> str:
    with Ring(8) as r:
        workers = (ctypes.c_uint32 * 2)(0, 0)
        accepted(r.register(_IOWQ, workers, 2), "IORING_REGISTER_IOWQ_MAX_WORKERS")
    return f"bounded {workers[0]}, unbounded {workers[1]}"


def _napi() -> str:
    with Ring(8) as r:
        argument = _buffer(struct.pack("<IB3xQ", 50, 1, 0))
        accepted(r.register(_NAPI, argument, 1), "IORING_REGISTER_NAPI")
    return ""


def _restrictions() -> str:
    with Ring(8, DEFER | ring.R_DISABLED) as r:
        allow_nop = struct.pack("<HBB12x", 1, NOP, 0)  # IORING_RESTRICTION_SQE_OP
        code = r.register(_RESTRICT, _buffer(allow_nop), 1)
        accepted(code, "IORING_REGISTER_RESTRICTIONS")
    return ""


def _sqpoll() -> str:
    with Ring(8, ring.SQPOLL, idle_ms=10) as r:
        r.add(Entry(NOP))
        for _ in range(100):
            r.wake()
            if r.reap():
                return ""
            select.select([], [], [], 0.002)
    raise Missing("the kernel's thread did nothing for 200 ms")


def _message() -> str:
    with Ring(8) as sender, Ring(8, 0) as receiver:
        code = sender.one(Entry(MSG_RING, receiver.fd, offset=77, length=1)).result
        accepted(code, "MSG_RING")
        receiver.submit(0, 1)
        expect([c.data for c in receiver.reap()] == [77], "the message did not arrive")
    return ""


def _timeout_multishot() -> str:
    with Ring(8) as r:
        moment = (ctypes.c_longlong * 2)(0, 1_000_000)
        address = ctypes.addressof(moment)
        r.add(Entry(TIMEOUT, address=address, length=1, offset=2, op_flags=1 << 6))
        found = r.collect(2, 100)
        expect(len(found) == 2 and found[0].more, f"{len(found)} completions")
    return ""


# --- probes of network operations -----------------------------------------------------------------


def _core() -> str:
    with Ring() as r, pair() as (one, other):
        data = ctypes.create_string_buffer(8)
        other.send(b"askr")
        recv = Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8)
        expect(r.one(recv).result == 4, "RECV")
        send = Entry(SEND, one.fileno(), address=ctypes.addressof(data), length=4)
        expect(r.one(send).result == 4 and other.recv(8) == b"askr", "SEND")
        poll = Entry(6, one.fileno(), op_flags=select.POLLOUT)
        expect(r.one(poll).result & select.POLLOUT, "POLL_ADD")
    return ""


def _accept_multishot() -> str:
    with Ring() as r, listening() as listener:
        r.add(Entry(ACCEPT, listener.fileno(), priority=_ACCEPT_MULTISHOT))
        r.submit()
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        found = r.collect(3)
        for end in clients:
            end.close()
        for completion in found:
            if completion.result >= 0:
                os.close(completion.result)
        expect(len(found) == 3 and all(c.more for c in found), f"{len(found)} completions of 3")
    return ""


def _recv_multishot() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 8, 64)
        r.add(_recv(one.fileno(), _MULTISHOT))
        r.submit()
        found = []
        for word in (b"one", b"two"):
            other.send(word)
            found += r.collect(1)
        expect(len(found) == 2 and all(c.more for c in found), "one completion, then no more")
        expect(found[0].buffer != found[1].buffer, "the same buffer twice")
        del buffers
    return ""


def _buffer_ring() -> str:
    with Ring() as r:
        Buffers(r, 8, 64)
    return ""


def _incremental() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 2, 4096, _INC)
        r.add(_recv(one.fileno(), _MULTISHOT))
        r.submit()
        found = []
        for word in (b"x" * 100, b"y" * 50):
            other.send(word)
            found += r.collect(1)
        expect(len(found) == 2 and found[0].buffer == found[1].buffer, "not the same buffer")
        del buffers
    return ""


def _recv_bundle() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 8, 16)
        other.send(b"z" * 40)
        expect(r.one(_recv(one.fileno(), _MULTISHOT | _BUNDLE)).result > 16, "one buffer only")
        del buffers
    return ""


def _send_bundle() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 4, 8)
        send = Entry(SEND, one.fileno(), priority=_BUNDLE, flags=_BUFFER_SELECT)
        expect(r.one(send).result == 32, "not the whole bundle")
        del buffers, other
    return ""


def _zero_copy(opcode: int, data: "ctypes.Array[ctypes.c_char]", entry: Entry) -> str:
    with Ring() as r, tcp_pair() as (client, server):
        r.add(Entry(opcode, client.fileno(), **_fields(entry)))
        found = r.collect(1)
        accepted(found[0].result if found else -errno.ETIME, "the send")
        server.recv(len(data))
        if not found[-1].flags & ring.F_NOTIF:
            found += r.collect(1, 100)
        expect(found[-1].flags & ring.F_NOTIF, "no notification")
    return "copied" if found[-1].result & 0x80000000 else ""


def _fields(entry: Entry) -> dict[str, int]:
    return {"address": entry.address, "length": entry.length, "priority": entry.priority}


def _send_zc() -> str:
    data = _buffer(b"q" * 4096)
    entry = Entry(SEND_ZC, address=ctypes.addressof(data), length=4096, priority=_REPORT_USAGE)
    return _zero_copy(SEND_ZC, data, entry)


def _sendmsg_zc() -> str:
    data = _buffer(b"q" * 4096)
    vector = _buffer(struct.pack("<QQ", ctypes.addressof(data), 4096))
    header = _buffer(struct.pack("<QIIQQQQi4x", 0, 0, 0, ctypes.addressof(vector), 1, 0, 0, 0))
    return _zero_copy(
        SENDMSG_ZC, data, Entry(SENDMSG_ZC, address=ctypes.addressof(header), length=1)
    )


@contextmanager
def _direct() -> Iterator[tuple[Ring, int, socket.socket]]:
    """A ring, a slot of its file table that holds a connection, and the client's end."""
    with Ring() as r, listening() as listener:
        table = _buffer(struct.pack("<IIQQQ", 16, 1, 0, 0, 0))  # sparse, 5.19
        accepted(r.register(_FILES2, table, 32), "IORING_REGISTER_FILES2")
        r.add(Entry(ACCEPT, listener.fileno(), priority=1, file_index=0xFFFFFFFF))
        r.submit()
        with socket.create_connection(listener.getsockname()) as client:
            found = r.collect(1)
            yield r, accepted(found[0].result if found else -errno.ETIME, "accept"), client


def _direct_fds() -> str:
    with _direct() as (r, slot, client):
        data = _buffer(b"hi")
        send = Entry(SEND, slot, address=ctypes.addressof(data), length=2, flags=_FIXED_FILE)
        expect(r.one(send).result == 2 and client.recv(4) == b"hi", "SEND on a slot")
        accepted(r.one(Entry(CLOSE, 0, file_index=slot + 1)).result, "CLOSE of a slot")
    return ""


def _fd_install() -> str:
    with _direct() as (r, slot, _):
        fd = accepted(r.one(Entry(FIXED_FD_INSTALL, slot, flags=_FIXED_FILE)).result, "INSTALL")
        os.close(fd)
    return ""


def _socket_commands() -> str:
    with Ring() as r, tcp_pair() as (client, _):
        value = ctypes.c_int(1)
        level = socket.IPPROTO_TCP | socket.TCP_NODELAY << 32
        entry = Entry(
            *(URING_CMD, client.fileno()),
            offset=3,  # SOCKET_URING_OP_SETSOCKOPT
            address=level,
            file_index=4,  # optlen shares its place
            address3=ctypes.addressof(value),
        )
        accepted(r.one(entry).result, "SETSOCKOPT")
        expect(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "it had no effect")
    return ""


def _listen_operations() -> str:
    with Ring() as r:
        fd = accepted(r.one(Entry(SOCKET, socket.AF_INET, offset=socket.SOCK_STREAM)).result, "")
        address = _buffer(struct.pack("<HHI8x", socket.AF_INET, 0, 0x0100007F))
        try:
            bind = Entry(BIND, fd, address=ctypes.addressof(address), offset=16)
            accepted(r.one(bind).result, "BIND")
            accepted(r.one(Entry(LISTEN, fd, length=8)).result, "LISTEN")
        finally:
            os.close(fd)
    return ""


def _cancel_fd() -> str:
    with Ring() as r, pair() as (one, _):
        data = ctypes.create_string_buffer(8)
        pending = Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8, data=1)
        r.add(pending)
        r.submit()
        r.add(Entry(CANCEL, one.fileno(), op_flags=3, data=2))  # ALL | FD
        results = {c.data: c.result for c in r.collect(2)}
        expect(results.get(1) == -errno.ECANCELED, f"results {results}")
    return ""


def _sync_cancel() -> str:
    with Ring() as r, pair() as (one, _):
        data = ctypes.create_string_buffer(8)
        r.add(Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8, data=3))
        r.submit()
        argument = struct.pack("<QiIqqB7xQQQ", 3, -1, 0, -1, -1, 0, 0, 0, 0)
        accepted(r.register(_SYNC_CANCEL, _buffer(argument), 1), "IORING_REGISTER_SYNC_CANCEL")
    return ""


def _no_kernel_threads() -> str:
    with Ring() as r, pair() as (one, other):
        data = ctypes.create_string_buffer(8)
        r.add(Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8))
        r.submit()
        threads = os.listdir("/proc/self/task")
        names = [_task_name(thread) for thread in threads]
        other.send(b"k")
        r.collect(1)
        expect(not any(n.startswith("iou-wrk") for n in names), "a waiting recv took a thread")
    return ""


def _task_name(thread: str) -> str:
    with open(f"/proc/self/task/{thread}/comm") as file:
        return file.read()


def _epoll_wait() -> str:
    with Ring() as r, pair() as (one, other), select.epoll() as events:
        events.register(one.fileno(), select.EPOLLIN)
        memory = ctypes.create_string_buffer(12 * 4)
        other.send(b"x")
        entry = Entry(EPOLL_WAIT, events.fileno(), address=ctypes.addressof(memory), length=4)
        expect(accepted(r.one(entry).result, "EPOLL_WAIT") == 1, "no event")
    return ""


def _ktls() -> str:
    with tcp_pair() as (client, server):
        client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        keys = b"i" * 8 + b"k" * 16 + b"s" * 4 + b"q" * 8
        client.setsockopt(282, 1, struct.pack("<HH", 0x0303, 51) + keys)  # SOL_TLS, TLS_TX
        data = _buffer(b"h" * 100)
        with Ring() as r:
            sent = r.one(Entry(SEND, client.fileno(), address=ctypes.addressof(data), length=100))
            accepted(sent.result, "SEND")
        expect(server.recv(4096)[:1] == b"\x17", "no TLS record on the wire")
    return ""


@dataclass(frozen=True, slots=True)
class Probe:
    """`tier` "": it decides nothing."""

    name: str
    minimum: str
    tier: str
    run: Callable[[], str]


PROBES = (
    Probe("setup", "5.1", "T1", _flag(0)),
    Probe("cqsize", "5.5", "T1", _flag(ring.CQSIZE)),
    Probe("submit_all", "5.18", "T1", _flag(ring.SUBMIT_ALL)),
    Probe("coop_taskrun", "5.19", "T1", _flag(ring.COOP_TASKRUN)),
    Probe("single_issuer", "6.0", "T1", _nop(ring.SINGLE_ISSUER)),
    Probe("core", "5.7", "T1", _core),
    Probe("buffer_ring", "5.19", "T1", _buffer_ring),
    Probe("recv_multishot", "6.0", "T1", _recv_multishot),
    Probe("accept_multishot", "5.19", "T1", _accept_multishot),
    Probe("cancel_fd", "5.19", "T1", _cancel_fd),
    Probe("sync_cancel", "6.0", "T1", _sync_cancel),
    Probe("no_kernel_threads", "5.7", "T1", _no_kernel_threads),
    Probe("defer_taskrun", "6.1", "T2", _nop(DEFER)),
    Probe("direct_fds", "5.19", "T2", _direct_fds),
    Probe("send_zc", "6.0", "T2", _send_zc),
    Probe("sendmsg_zc", "6.1", "T2", _sendmsg_zc),
    Probe("registered_ring", "5.18", "T2", _registered_ring),
    Probe("msg_ring", "5.18", "T2", _message),
    Probe("timeout_multishot", "6.4", "T3", _timeout_multishot),
    Probe("no_sqarray", "6.6", "T3", _nop(DEFER | ring.NO_SQARRAY)),
    Probe("socket_commands", "6.7", "T3", _socket_commands),
    Probe("fd_install", "6.8", "T3", _fd_install),
    Probe("napi", "6.9", "T3", _napi),
    Probe("recv_bundle", "6.10", "T3", _recv_bundle),
    Probe("send_bundle", "6.10", "T3", _send_bundle),
    Probe("listen_operations", "6.11", "T3", _listen_operations),
    Probe("min_wait", "6.12", "T3", _min_wait),
    Probe("buffer_incremental", "6.12", "T3", _incremental),
    Probe("registered_wait", "6.13", "T3", _registered_wait),
    Probe("resize", "6.13", "T3", _resize),
    Probe("epoll_wait", "6.15", "", _epoll_wait),
    Probe("sqpoll", "5.1", "", _sqpoll),
    Probe("iowq", "5.15", "", _iowq),
    Probe("restrictions", "5.10", "", _restrictions),
    Probe("ktls", "4.13", "", _ktls),
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
