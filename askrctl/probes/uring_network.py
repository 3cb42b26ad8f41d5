# SPDX-License-Identifier: MIT
"""Operations of io_uring that a server does, each tried on sockets of its own."""

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from askrctl.probes import uring_ring as ring
from askrctl.probes.uring_attempt import (
    ACCEPT,
    ACCEPT_MULTISHOT,
    BIND,
    BUFFER_SELECT,
    BUNDLE,
    CANCEL,
    CLOSE,
    EPOLL_WAIT,
    FILES2,
    FIXED_FD_INSTALL,
    FIXED_FILE,
    INC,
    LISTEN,
    MULTISHOT,
    RECV,
    REPORT_USAGE,
    SEND,
    SEND_ZC,
    SENDMSG_ZC,
    SOCKET,
    SYNC_CANCEL,
    URING_CMD,
    Buffers,
    accepted,
    buffer_of,
    expect,
    listening,
    pair,
    recv_entry,
    tcp_pair,
)
from askrctl.probes.uring_ring import Entry, Ring


def core() -> str:
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


def accept_multishot() -> str:
    with Ring() as r, listening() as listener:
        r.add(Entry(ACCEPT, listener.fileno(), priority=ACCEPT_MULTISHOT))
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


def recv_multishot() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 8, 64)
        r.add(recv_entry(one.fileno(), MULTISHOT))
        r.submit()
        found = []
        for word in (b"one", b"two"):
            other.send(word)
            found += r.collect(1)
        expect(len(found) == 2 and all(c.more for c in found), "one completion, then no more")
        expect(found[0].buffer != found[1].buffer, "the same buffer twice")
        del buffers
    return ""


def buffer_ring() -> str:
    with Ring() as r:
        Buffers(r, 8, 64)
    return ""


def incremental() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 2, 4096, INC)
        r.add(recv_entry(one.fileno(), MULTISHOT))
        r.submit()
        found = []
        for word in (b"x" * 100, b"y" * 50):
            other.send(word)
            found += r.collect(1)
        expect(len(found) == 2 and found[0].buffer == found[1].buffer, "not the same buffer")
        del buffers
    return ""


def recv_bundle() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 8, 16)
        other.send(b"z" * 40)
        expect(r.one(recv_entry(one.fileno(), MULTISHOT | BUNDLE)).result > 16, "one buffer only")
        del buffers
    return ""


def send_bundle() -> str:
    with Ring() as r, pair() as (one, other):
        buffers = Buffers(r, 4, 8)
        send = Entry(SEND, one.fileno(), priority=BUNDLE, flags=BUFFER_SELECT)
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


def send_zc() -> str:
    data = buffer_of(b"q" * 4096)
    entry = Entry(SEND_ZC, address=ctypes.addressof(data), length=4096, priority=REPORT_USAGE)
    return _zero_copy(SEND_ZC, data, entry)


def sendmsg_zc() -> str:
    data = buffer_of(b"q" * 4096)
    vector = buffer_of(struct.pack("<QQ", ctypes.addressof(data), 4096))
    header = buffer_of(struct.pack("<QIIQQQQi4x", 0, 0, 0, ctypes.addressof(vector), 1, 0, 0, 0))
    return _zero_copy(
        SENDMSG_ZC, data, Entry(SENDMSG_ZC, address=ctypes.addressof(header), length=1)
    )


@contextmanager
def _direct() -> Iterator[tuple[Ring, int, socket.socket]]:
    """A ring, a slot of its file table that holds a connection, and the client's end."""
    with Ring() as r, listening() as listener:
        table = buffer_of(struct.pack("<IIQQQ", 16, 1, 0, 0, 0))  # sparse, 5.19
        accepted(r.register(FILES2, table, 32), "IORING_REGISTER_FILES2")
        r.add(Entry(ACCEPT, listener.fileno(), priority=1, file_index=0xFFFFFFFF))
        r.submit()
        with socket.create_connection(listener.getsockname()) as client:
            found = r.collect(1)
            yield r, accepted(found[0].result if found else -errno.ETIME, "accept"), client


def direct_fds() -> str:
    with _direct() as (r, slot, client):
        data = buffer_of(b"hi")
        send = Entry(SEND, slot, address=ctypes.addressof(data), length=2, flags=FIXED_FILE)
        expect(r.one(send).result == 2 and client.recv(4) == b"hi", "SEND on a slot")
        accepted(r.one(Entry(CLOSE, 0, file_index=slot + 1)).result, "CLOSE of a slot")
    return ""


def fd_install() -> str:
    with _direct() as (r, slot, _):
        fd = accepted(r.one(Entry(FIXED_FD_INSTALL, slot, flags=FIXED_FILE)).result, "INSTALL")
        os.close(fd)
    return ""


def socket_commands() -> str:
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


def listen_operations() -> str:
    with Ring() as r:
        fd = accepted(r.one(Entry(SOCKET, socket.AF_INET, offset=socket.SOCK_STREAM)).result, "")
        address = buffer_of(struct.pack("<HHI8x", socket.AF_INET, 0, 0x0100007F))
        try:
            bind = Entry(BIND, fd, address=ctypes.addressof(address), offset=16)
            accepted(r.one(bind).result, "BIND")
            accepted(r.one(Entry(LISTEN, fd, length=8)).result, "LISTEN")
        finally:
            os.close(fd)
    return ""


def cancel_fd() -> str:
    with Ring() as r, pair() as (one, _):
        data = ctypes.create_string_buffer(8)
        pending = Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8, data=1)
        r.add(pending)
        r.submit()
        r.add(Entry(CANCEL, one.fileno(), op_flags=3, data=2))  # ALL | FD
        results = {c.data: c.result for c in r.collect(2)}
        expect(results.get(1) == -errno.ECANCELED, f"results {results}")
    return ""


def sync_cancel() -> str:
    with Ring() as r, pair() as (one, _):
        data = ctypes.create_string_buffer(8)
        r.add(Entry(RECV, one.fileno(), address=ctypes.addressof(data), length=8, data=3))
        r.submit()
        argument = struct.pack("<QiIqqB7xQQQ", 3, -1, 0, -1, -1, 0, 0, 0, 0)
        accepted(r.register(SYNC_CANCEL, buffer_of(argument), 1), "IORING_REGISTER_SYNC_CANCEL")
    return ""


def no_kernel_threads() -> str:
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


def epoll_wait() -> str:
    with Ring() as r, pair() as (one, other), select.epoll() as events:
        events.register(one.fileno(), select.EPOLLIN)
        memory = ctypes.create_string_buffer(12 * 4)
        other.send(b"x")
        entry = Entry(EPOLL_WAIT, events.fileno(), address=ctypes.addressof(memory), length=4)
        expect(accepted(r.one(entry).result, "EPOLL_WAIT") == 1, "no event")
    return ""


def ktls() -> str:
    with tcp_pair() as (client, server):
        client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        keys = b"i" * 8 + b"k" * 16 + b"s" * 4 + b"q" * 8
        client.setsockopt(282, 1, struct.pack("<HH", 0x0303, 51) + keys)  # SOL_TLS, TLS_TX
        data = buffer_of(b"h" * 100)
        with Ring() as r:
            sent = r.one(Entry(SEND, client.fileno(), address=ctypes.addressof(data), length=100))
            accepted(sent.result, "SEND")
        expect(server.recv(4096)[:1] == b"\x17", "no TLS record on the wire")
    return ""
