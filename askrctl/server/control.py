# SPDX-License-Identifier: MIT
"""The control socket: one JSON object on a line asks, one on a line answers.

Only the server's own user and root may talk to it: the folder and the socket's mode say so, and the
peer's credentials are checked once more (SO_PEERCRED, unix(7)).
"""

import contextlib
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askrctl.model import AskrError
from askrctl.server.acceptor import Acceptor
from askrctl.server.loop import Loop

REQUEST_SIZE_MAX = 4096
CLIENTS_MAX = 64
FDS_MAX = 1  # with one message; the kernel closes what is more
REQUEST_TIMEOUT_S = 10.0  # for who connects and says nothing; ours ask at once
ANSWER_TIMEOUT_S = 10.0
ANSWER_SIZE_MAX = 16 << 20  # more is no answer of ours


@dataclass(frozen=True, slots=True)
class Parcel:
    """An answer, and a descriptor that goes with it; ours is closed then."""

    answer: dict[str, Any]
    fd: int


# The request, and descriptors that came with it: whoever wants one takes it out of the list.
Answer = Callable[[dict[str, Any], list[int]], dict[str, Any] | Parcel]


def folder() -> Path:
    """Where control sockets live by default."""
    if os.geteuid() == 0:
        return Path("/run/askr")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "askr" if runtime else Path(f"/tmp/askr-{os.geteuid()}")


def _refuse_foreign(parent: Path) -> None:
    """The default folder may lie in /tmp, where anybody could have made it before us."""
    owner = parent.stat().st_uid
    if parent == folder() and owner not in (0, os.geteuid()):
        hint = "askrctl serve --control, or XDG_RUNTIME_DIR, in a folder of your own"
        raise AskrError(f"{parent} belongs to another user (uid {owner})", hint)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def choose_path(wanted: str) -> Path:
    """The given path, or the default; a second server gets a name with its pid."""
    given = wanted or os.environ.get("ASKR_CONTROL", "")
    if given:
        path = Path(given)
        if path.exists() and _answers(path):
            raise AskrError(
                f"{path} belongs to a running server", f"askrctl status --control {path}"
            )
        return path
    path = folder() / "control.sock"
    return folder() / f"control-{os.getpid()}.sock" if _answers(path) else path


@dataclass(slots=True)
class _Client:
    stream: socket.socket
    received: bytearray = field(default_factory=bytearray)
    fds: list[int] = field(default_factory=list)


class ControlServer:
    """Opened before the workers start, so that a socket that cannot be made stops nothing later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop: Loop | None = None
        self._clients: dict[int, _Client] = {}
        self._answer: Answer | None = None
        self._acceptor = Acceptor(self._listen(path), "control", self._welcome)

    @staticmethod
    def _listen(path: Path) -> socket.socket:
        hint = "askrctl serve --control /path/to/control.sock"
        listener = socket.socket(socket.AF_UNIX)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(path.parent)
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.stat().st_mode):
                    path.unlink()
            listener.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
            raise AskrError(f"the control socket {path} cannot be made: {reason}", hint) from None
        listener.listen(CLIENTS_MAX)
        listener.setblocking(False)
        return listener

    def open(self, loop: Loop, answer: Answer) -> None:
        self._loop, self._answer = loop, answer
        self._acceptor.open(loop)

    def _welcome(self, client: socket.socket) -> None:
        assert self._loop is not None
        pid_uid_gid = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = struct.unpack("=iII", pid_uid_gid)[1]
        if uid not in (0, os.geteuid()) or len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        fd = client.fileno()
        welcomed = self._clients[fd] = _Client(client)
        self._loop.add(fd, lambda: self._read(fd))
        self._loop.call_later(REQUEST_TIMEOUT_S, lambda: self._expire(fd, welcomed))

    def _expire(self, fd: int, client: _Client) -> None:
        if self._clients.get(fd) is client:
            self._forget(fd)

    def _read(self, fd: int) -> None:
        client = self._clients[fd]
        held = client.received
        try:
            data, fds, _, _ = socket.recv_fds(client.stream, REQUEST_SIZE_MAX, FDS_MAX)
        except OSError:
            data, fds = b"", []
        client.fds += fds
        held += data
        too_much = len(held) >= REQUEST_SIZE_MAX or len(client.fds) > FDS_MAX
        if data and b"\n" not in held and not too_much:
            return
        if b"\n" in held and not too_much:
            self._reply(client, bytes(held.split(b"\n", 1)[0]))
        self._forget(fd)

    def _reply(self, client: _Client, line: bytes) -> None:
        assert self._answer is not None
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        answer: dict[str, Any] | Parcel = {"error": "a request is one JSON object on a line"}
        if isinstance(request, dict):
            answer = self._answer(request, client.fds)
        if isinstance(answer, Parcel):
            _send(client.stream, answer.answer, [answer.fd])
            os.close(answer.fd)
        else:
            _send(client.stream, answer, [])

    def _forget(self, fd: int) -> None:
        assert self._loop is not None
        self._loop.remove(fd)
        client = self._clients.pop(fd)
        client.stream.close()
        for left in client.fds:
            os.close(left)

    def close(self) -> None:
        for fd in list(self._clients):
            self._forget(fd)
        self._acceptor.close()
        with suppress(OSError):
            self.path.unlink()


def _send(client: socket.socket, answer: dict[str, Any], fds: list[int]) -> None:
    with suppress(OSError):  # a client that does not read loses its answer, nobody waits
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        line = json.dumps(answer).encode() + b"\n"
        client.sendall(line[socket.send_fds(client, [line], fds) :])


# --- the asking side ------------------------------------------------------------------------------


def running() -> list[Path]:
    """Default-named sockets on which a server answers."""
    if folder().is_dir():
        _refuse_foreign(folder())
    return [path for path in sorted(folder().glob("control*.sock")) if _answers(path)]


def find(wanted: str) -> Path:
    """The socket to talk to; AskrError when there is none, or more than one."""
    given = wanted or os.environ.get("ASKR_CONTROL", "")
    if given:
        return Path(given)
    found = running()
    if not found:
        raise AskrError("no server is running here", "askrctl serve PATH")
    if len(found) > 1:
        names = "\n".join(f"  {path}  {_listeners(path)}" for path in found)
        raise AskrError(f"several servers are running:\n{names}", f"--control {found[0]}", code=2)
    return found[0]


def _listeners(path: Path) -> str:
    """By which an operator knows his servers; "" of one that does not say."""
    with contextlib.suppress(AskrError, KeyError, TypeError):
        return "  ".join(ask(path, "status")["listeners"])
    return ""


# What an answer has to hold to be one.
_HOLDS = {
    "status": "io_backend",
    "slowlog": "entries",
    "reload": "generation",
    "reload_state": "state",
    "rollback": "ticket",
    "config": "values",
}


def ask(path: Path, command: str, fds: Sequence[int] = (), **more: object) -> dict[str, Any]:
    """One question, one answer. `fds` go along with it."""
    answer, came = _ask(path, {"command": command, **more}, fds)
    for fd in came:
        os.close(fd)
    return answer


def ask_view(path: Path) -> tuple[dict[str, Any], int]:
    """What `askrctl top` starts from, and the status memory: the descriptor is the caller's."""
    answer, fds = _ask(path, {"command": "view"})
    if not fds:
        raise AskrError(f"the server on {path} sent no memory", "askrctl doctor")
    return answer, fds[0]


def _ask(
    path: Path, request: dict[str, object], going: Sequence[int] = ()
) -> tuple[dict[str, Any], list[int]]:
    command = str(request["command"])
    fds: list[int] = []
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(ANSWER_TIMEOUT_S)
            end.connect(str(path))
            socket.send_fds(end, [json.dumps(request).encode() + b"\n"], going)
            first, fds, _, _ = socket.recv_fds(end, REQUEST_SIZE_MAX, 1)
            with end.makefile("rb") as lines:
                more = b"" if first.endswith(b"\n") else lines.readline(ANSWER_SIZE_MAX)
            answer = json.loads(first + more)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"askrctl serve PATH --control {path}"
        if isinstance(error, PermissionError):
            hint = "the same with sudo, or as the server's user"
        raise AskrError(f"no server answers on {path}: {reason}", hint) from None
    if not isinstance(answer, dict) or "error" in answer:
        said = answer.get("error") if isinstance(answer, dict) else "it does not speak our language"
        raise AskrError(f"the server on {path} refused: {said}", f"askrctl status --control {path}")
    if _HOLDS.get(command, "ok") not in answer:
        hint = "use the askrctl that the server was started with"
        raise AskrError(f"what answers on {path} is no server of this version", hint)
    return answer, fds
