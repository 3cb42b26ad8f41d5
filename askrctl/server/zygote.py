# SPDX-License-Identifier: MIT
"""The zygote of a generation: started with the application module, asked to fork.

It is the parent of the application processes; what happens to them arrives as messages.
"""

import logging
import os
import subprocess
from typing import Protocol

from askrctl.server import wire
from askrctl.server.loop import Loop
from askrctl.server.plan import Plan, zygote_command, zygote_environment

log = logging.getLogger("askrctl")


class ZygoteListener(Protocol):
    """Who hears what the zygote says. `pidfd` belongs to the callee."""

    def zygote_ready(self) -> None: ...
    def zygote_failed(self, sentence: str) -> None: ...
    def app_forked(self, ident: int, pid: int, pidfd: int) -> None: ...
    def app_exited(self, ident: int, pid: int, wait_status: int) -> None: ...
    def app_refused(self, ident: int, errnum: int) -> None: ...
    def app_traced(self, ident: int, pid: int, lines: list[str]) -> None: ...
    def app_asked_reload(self) -> None: ...


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
        return subprocess.Popen(
            zygote_command(plan, fd),
            stdin=subprocess.DEVNULL,
            pass_fds=[fd],
            cwd=plan.application.path,
            env=zygote_environment(plan, os.environ),
            user=wanted.uid if wanted else None,
            group=wanted.gid if wanted else None,
            extra_groups=wanted.groups if wanted else None,
        )

    def fork(self, ident: int, cpu: int | None, fds: tuple[int, int, int]) -> bool:
        """Ask for an application process on this port memory, app bell and worker bell."""
        value = wire.NO_CPU if cpu is None else cpu
        message = wire.Message(wire.Zygote.FORK, place=ident, value=value, fds=fds)
        return wire.send(self._socket, message)

    def trace(self, ident: int) -> bool:
        """Ask what a process is doing; app_traced() follows."""
        return wire.send(self._socket, wire.Message(wire.Zygote.TRACE, place=ident))

    def _on_message(self) -> None:
        try:
            while not self._closed and (message := wire.receive(self._socket)) is not None:
                self._hear(message)
        except EOFError:
            self.close()
            code = self.process.wait()
            sentence = self._sentence or f"the zygote ended with status {code}"
            self._listener.zygote_failed(sentence)

    def _hear(self, message: wire.Message) -> None:
        listener = self._listener
        if message.kind == wire.Zygote.READY:
            listener.zygote_ready()
        elif message.kind == wire.Zygote.FAILED:
            self._sentence = message.text
        elif message.kind == wire.Zygote.FORKED and message.fds:
            listener.app_forked(message.place, message.pid, message.fds[0])
        elif message.kind == wire.Zygote.EXITED:
            listener.app_exited(message.place, message.pid, message.value)
        elif message.kind == wire.Zygote.REFUSED:
            listener.app_refused(message.place, message.value)
        elif message.kind == wire.Zygote.RELOAD:
            listener.app_asked_reload()
        elif message.kind == wire.Zygote.TRACED:
            listener.app_traced(message.place, message.pid, message.text.splitlines())

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


def describe_exit(wait_status: int) -> str:
    """`exit 1` or `signal 11`."""
    if os.WIFSIGNALED(wait_status):
        return f"signal {os.WTERMSIG(wait_status)}"
    return f"exit {os.waitstatus_to_exitcode(wait_status)}"
