# SPDX-License-Identifier: MIT
"""The zygote of a generation: started with the application module, asked to fork.

It is the parent of the application processes; what happens to them arrives as messages.
"""

import logging
import os
import subprocess
from pathlib import Path
from typing import Protocol

from askrctl import signals
from askrctl.model import AskrError
from askrctl.server import logs, wire
from askrctl.server.loop import Loop
from askrctl.server.plan import Plan, zygote_command, zygote_environment

log = logging.getLogger("askrctl")


END_MAX_S = 2.0  # from its last word to its exit


class ZygoteListener(Protocol):
    """Who hears what the zygote says. `pidfd` belongs to the callee."""

    def zygote_ready(self) -> None: ...
    def zygote_failed(self, sentence: str) -> None: ...
    def app_forked(self, ident: int, pid: int, pidfd: int) -> None: ...
    def app_exited(self, ident: int, pid: int, wait_status: int) -> None: ...
    def app_refused(self, ident: int, errnum: int) -> None: ...
    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None: ...
    def app_asked_reload(self) -> None: ...
    def caches_told(self, text: str) -> None: ...


class ZygoteProcess:
    """One askr-zygote. Closing its socket ends it and its processes."""

    def __init__(self, plan: Plan, loop: Loop, listener: ZygoteListener) -> None:
        self._loop = loop
        self._listener = listener
        self._sentence = ""
        self._closed = False
        self._socket, theirs = wire.pair()
        with theirs:
            self.process = self._spawn(plan, theirs.fileno())
        loop.add(self._socket.fileno(), self._on_message)

    @staticmethod
    def _spawn(plan: Plan, fd: int) -> subprocess.Popen[bytes]:
        wanted = plan.credentials
        try:
            with signals.held():
                return subprocess.Popen(
                    [*zygote_command(plan, fd), "--log-format", logs.form()],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[fd],
                    cwd=plan.application.path,
                    env=zygote_environment(plan, os.environ),
                    user=wanted.uid if wanted else None,
                    group=wanted.gid if wanted else None,
                    extra_groups=wanted.groups if wanted else None,
                )
        except OSError as error:
            who = f" as {wanted.name}" if wanted else ""
            raise AskrError(
                f"the PHP processes cannot be started{who}: {error}",
                "install askrctl where that user may read it, or: askrctl serve --user NAME",
            ) from None

    def fork(self, ident: int, cpu: int | None, fds: tuple[int, int, int]) -> bool:
        """Ask for an application process on this port memory, app bell and worker bell."""
        value = wire.NO_CPU if cpu is None else cpu
        message = wire.Message(wire.Zygote.FORK, place=ident, value=value, fds=fds)
        return wire.send(self._socket, message)

    def trace(self, ident: int) -> bool:
        """Ask what a process is doing; app_traced() follows."""
        return wire.send(self._socket, wire.Message(wire.Zygote.TRACE, place=ident))

    def ask_caches(self) -> bool:
        """Ask how the caches are that its processes share; caches_told() may follow."""
        return wire.send(self._socket, wire.Message(wire.Zygote.CACHES))

    def _on_message(self) -> None:
        try:
            while not self._closed and (message := wire.receive(self._socket, 1)) is not None:
                self._hear(message)
        except EOFError:
            self.close()
            self.wait(END_MAX_S)
            code = self.process.returncode
            sentence = self._sentence or f"the zygote ended with status {code}"
            self._listener.zygote_failed(sentence)

    def _hear(self, message: wire.Message) -> None:
        if message.kind == wire.Zygote.FORKED and message.fds:
            self._hear_forked(message)  # whose descriptor it is from now on
            return
        for fd in message.fds:
            os.close(fd)
        listener = self._listener
        match message.kind:
            case wire.Zygote.READY:
                listener.zygote_ready()
            case wire.Zygote.FAILED:
                self._sentence = message.text
            case wire.Zygote.EXITED:
                listener.app_exited(message.place, message.pid, message.value)
            case wire.Zygote.REFUSED:
                listener.app_refused(message.place, message.value)
            case wire.Zygote.RELOAD:
                listener.app_asked_reload()
            case wire.Zygote.CACHED:
                listener.caches_told(message.text)
            case wire.Zygote.TRACED:
                listener.app_traced(message.place, message.pid, message.text.splitlines())

    def _hear_forked(self, message: wire.Message) -> None:
        """Zygotes run as the application's user, and what they name here we may kill as root."""
        pidfd = message.fds[0]
        if not is_child(message.pid, pidfd, self.process.pid):
            log.error('event=zygote_lied pid=%d detail="not its child"', message.pid)
            os.close(pidfd)
            self.process.kill()
            return
        self._listener.app_forked(message.place, message.pid, pidfd)

    def close(self) -> None:
        """End of file tells the zygote to end its processes and itself."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()

    def wait(self, timeout_s: float) -> None:
        """After close(): reap it; one that does not go is killed."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("event=zygote_killed pid=%d", self.process.pid)
            self.process.kill()
            self.process.wait()


def pid_of(pidfd: int) -> int:
    """The process that it stands for, -1 when that is gone; 0: it is no pidfd (pidfd_open(2))."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid":
            return int(value)
    return 0


def parent_of(pid: int) -> int:
    """-1 when the process is gone; 0 is the parent of the first one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(text.rpartition(")")[2].split()[1])


def is_child(pid: int, pidfd: int, parent: int) -> bool:
    """Of `parent`, or it was and is gone."""
    return parent_of(pid) in (-1, parent) and pid_of(pidfd) in (-1, pid)


def describe_exit(wait_status: int) -> str:
    """`exit 1` or `signal 11`."""
    if os.WIFSIGNALED(wait_status):
        return f"signal {os.WTERMSIG(wait_status)}"
    return f"exit {os.waitstatus_to_exitcode(wait_status)}"
