# SPDX-License-Identifier: MIT
"""Datagrams between supervisor, workers and zygote: engine/serve/control.h, engine/app/zygote.h.

Both conversations use SOCK_SEQPACKET pairs and messages of four 32-bit words, with fds as
SCM_RIGHTS. A peer that dies shows as an empty read.
"""

import array
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

_FORMAT = struct.Struct("=IIiI")
_TEXT_SIZE_MAX = 8192  # ZYGOTE_TRACED carries lines behind the message, ZYGOTE_FAILED a sentence
NO_CPU = 0xFFFFFFFF


class Control(IntEnum):
    """Messages on a worker's control socket."""

    ATTACH = 1
    DRAIN = 2
    TLS = 4
    RETIRE = 5
    LISTEN = 6
    ADOPT = 7
    LOG = 8
    RECORD = 9
    KEEP = 10
    READY = 16
    APP_KILL = 17
    APP_DEAD = 18
    BACKEND_FAILED = 19
    TLS_REFUSED = 20
    SENDFILE = 21


class Zygote(IntEnum):
    """Messages on a zygote's control socket."""

    FORK = 1
    TRACE = 2
    CACHES = 3
    READY = 16
    FAILED = 17
    FORKED = 18
    EXITED = 19
    REFUSED = 20
    TRACED = 21
    RELOAD = 22
    CACHED = 23


class Kill(IntEnum):
    """Why a worker gives an application up: enum control_kill."""

    BROKEN = 0
    OVERDUE = 1


@dataclass(frozen=True, slots=True)
class Message:
    """`place` is the application's place in a worker, or the id given to a zygote."""

    kind: int
    place: int = 0
    pid: int = 0
    value: int = 0
    text: str = ""
    fds: tuple[int, ...] = ()


def pair() -> tuple[socket.socket, socket.socket]:
    """Our end, non-blocking, and the child's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(end: socket.socket, message: Message) -> bool:
    """False when the peer is gone or does not read: its death is noticed elsewhere."""
    data = _FORMAT.pack(message.kind, message.place, message.pid, message.value)
    rights = array.array("i", message.fds)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if message.fds else []
    try:
        end.sendmsg([data], ancillary)
    except OSError:
        return False
    return True


def receive(end: socket.socket, fd_count: int = 0) -> Message | None:
    """The next message; None when there is none now. EOFError when the peer is gone.

    The kernel closes descriptors beyond `fd_count`: a peer that was taken over cannot fill our
    table with them.
    """
    room = socket.CMSG_LEN(fd_count * array.array("i").itemsize) if fd_count else 0
    try:
        data, ancillary, _, _ = end.recvmsg(_FORMAT.size + _TEXT_SIZE_MAX, room)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        raise EOFError from None
    if not data:
        raise EOFError
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    words = _FORMAT.unpack_from(data.ljust(_FORMAT.size, b"\0"))
    text = data[_FORMAT.size :].decode(errors="replace").rstrip("\0")
    return Message(words[0], words[1], words[2], words[3], text, tuple(fds))
