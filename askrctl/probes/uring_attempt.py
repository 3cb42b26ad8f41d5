# SPDX-License-Identifier: MIT
"""What probes of io_uring share: the kernel's numbers, sockets to try, and two ways to fail.

A probe returns what it saw, and raises when the feature is not there.
"""

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from askrctl.probes import uring_ring as ring
from askrctl.probes.uring_ring import Entry, Ring

# enum io_uring_op
NOP, SENDMSG, TIMEOUT, ACCEPT, CANCEL, CLOSE = 0, 9, 11, 13, 14, 19
SEND, RECV, MSG_RING, SOCKET, URING_CMD, SEND_ZC = 26, 27, 40, 45, 46, 47
SENDMSG_ZC, FIXED_FD_INSTALL, BIND, LISTEN, EPOLL_WAIT = 48, 54, 56, 57, 59
# enum io_uring_register_op
FILES2, ENABLE, IOWQ, RING_FDS, PBUF_RING = 13, 12, 19, 20, 22
SYNC_CANCEL, NAPI, RESIZE, MEM_REGION, RESTRICT = 24, 27, 33, 34, 11
# IORING_RECVSEND_*, IORING_ACCEPT_MULTISHOT, IOSQE_*
MULTISHOT, BUNDLE, FIXED_BUF, REPORT_USAGE = 2, 16, 4, 8
ACCEPT_MULTISHOT, FIXED_FILE, BUFFER_SELECT = 1, 1, 1 << 5
INC = 2  # IOU_PBUF_RING_INC

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
        accepted(where.register(PBUF_RING, buffer_of(argument), 1), "the buffer ring")
        for index in range(count):
            address = ctypes.addressof(self.data) + index * size
            entry = struct.pack("<QIH", address, size, index)
            ctypes.memmove(memory + 16 * index, entry, len(entry))
        ctypes.c_uint16.from_address(memory + 14).value = count


def buffer_of(data: bytes) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(data, len(data))


def recv_entry(fd: int, priority: int) -> Entry:
    return Entry(RECV, fd, priority=priority, flags=BUFFER_SELECT)
