# SPDX-License-Identifier: MIT
"""Taking connections in the supervisor's loop, also when descriptors or memory have run out.

A listener stays readable as long as somebody waits and cannot be taken, so it is left alone for
PAUSE_S each time: without that the loop would spin. Who waits is taken when there is room again.
"""

import errno
import logging
import socket
from collections.abc import Callable

from askrctl.server.loop import Loop

log = logging.getLogger("askrctl")

PAUSE_S = 0.2  # the workers' BACKOFF_NS
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2)

Welcome = Callable[[socket.socket], None]


class Acceptor:
    """Of one non-blocking listener, which it closes in the end. `name` is for the log."""

    def __init__(self, listener: socket.socket, name: str, welcome: Welcome) -> None:
        self._listener = listener
        self._name = name
        self._welcome = welcome
        self._loop: Loop | None = None
        self._short = False  # since the last connection: it is told once

    def open(self, loop: Loop) -> None:
        self._loop = loop
        loop.add(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _SHORTAGES:
                self._pause(error)
            return
        self._short = False
        self._welcome(stream)

    def _pause(self, error: OSError) -> None:
        assert self._loop is not None
        if not self._short:
            log.warning(
                'event=accept_paused listener=%s detail="%s" '
                'fix="askrctl doctor --only lim.nofile"',
                self._name,
                error.strerror,
            )
        self._short = True
        self._loop.remove(self._listener.fileno())
        self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._loop is not None:
            self._loop.add(self._listener.fileno(), self._accept)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove(self._listener.fileno())
        self._loop = None
        self._listener.close()
