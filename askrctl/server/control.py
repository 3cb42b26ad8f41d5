# SPDX-License-Identifier: MIT
"""The control socket: one JSON object on a line asks, one on a line answers.

Only the server's own user and root may talk to it: the folder and the socket's mode say so, and the
peer's credentials are checked once more (SO_PEERCRED, unix(7)).
"""

import json
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from askrctl.model import AskrError
from askrctl.server.loop import Loop

REQUEST_SIZE_MAX = 4096
CLIENTS_MAX = 64
ANSWER_TIMEOUT_S = 10.0
ANSWER_SIZE_MAX = 16 << 20  # more is no answer of ours

Answer = Callable[[dict[str, Any]], dict[str, Any]]


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


class ControlServer:
    """Opened before the workers start, so that a socket that cannot be made stops nothing later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop: Loop | None = None
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self._answer: Answer | None = None
        self._listener = self._listen(path)

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
        loop.add(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._loop is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        pid_uid_gid = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = struct.unpack("=iII", pid_uid_gid)[1]
        if uid not in (0, os.geteuid()) or len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        fd = client.fileno()
        self._clients[fd] = (client, bytearray())
        self._loop.add(fd, lambda: self._read(fd))

    def _read(self, fd: int) -> None:
        client, held = self._clients[fd]
        try:
            data = client.recv(REQUEST_SIZE_MAX)
        except OSError:
            data = b""
        held += data
        if data and b"\n" not in held and len(held) < REQUEST_SIZE_MAX:
            return
        if b"\n" in held:
            self._reply(client, bytes(held.split(b"\n", 1)[0]))
        self._forget(fd)

    def _reply(self, client: socket.socket, line: bytes) -> None:
        assert self._answer is not None
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            answer = self._answer(request)
        else:
            answer = {"error": "a request is one JSON object on a line"}
        with suppress(OSError):  # a client that does not read loses its answer, nobody waits
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            client.sendall(json.dumps(answer).encode() + b"\n")

    def _forget(self, fd: int) -> None:
        assert self._loop is not None
        self._loop.remove(fd)
        self._clients.pop(fd)[0].close()

    def close(self) -> None:
        for fd in list(self._clients):
            self._forget(fd)
        self._listener.close()
        with suppress(OSError):
            self.path.unlink()


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
        names = "\n".join(f"  {path}" for path in found)
        raise AskrError(
            f"several servers are running:\n{names}", f"askrctl status --control {found[0]}", code=2
        )
    return found[0]


# What an answer has to hold to be one.
_HOLDS = {
    "status": "io_backend",
    "slowlog": "entries",
    "reload": "generation",
    "reload_state": "state",
    "rollback": "ticket",
    "config": "values",
}


def ask(path: Path, command: str, **more: object) -> dict[str, Any]:
    """One question, one answer."""
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(ANSWER_TIMEOUT_S)
            end.connect(str(path))
            end.sendall(json.dumps({"command": command, **more}).encode() + b"\n")
            with end.makefile("rb") as lines:
                answer = json.loads(lines.readline(ANSWER_SIZE_MAX))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"askrctl serve PATH --control {path}"
        raise AskrError(f"no server answers on {path}: {reason}", hint) from None
    if not isinstance(answer, dict) or "error" in answer:
        said = answer.get("error") if isinstance(answer, dict) else "it does not speak our language"
        raise AskrError(f"the server on {path} refused: {said}", f"askrctl status --control {path}")
    if _HOLDS.get(command, "ok") not in answer:
        hint = "use the askrctl that the server was started with"
        raise AskrError(f"what answers on {path} is no server of this version", hint)
    return answer
