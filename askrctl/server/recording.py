# SPDX-License-Identifier: MIT
"""A recording that runs: `askrctl record` passed a socket, the workers write their samples to it.

The supervisor keeps the socket to hand it to workers that come later, and to see the recorder go:
then everything is as it was before. There is one recording at a time.
"""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from askrctl.server.loop import Loop

log = logging.getLogger("askrctl")

BODY_MAX = 65536  # RECORD_BODY_MAX of the engine
RATE_MAX = 10000
ONE_IN_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is recorded."""

    body_max: int = BODY_MAX  # bytes kept of each body
    rate: int = 100  # records a second, by all workers together
    one_in: int = 1  # of so many requests one

    @classmethod
    def of(cls, request: dict[str, Any]) -> "Amount":
        """ValueError when the request asks for what cannot be."""
        limits = {"body_max": (0, BODY_MAX), "rate": (1, RATE_MAX), "one_in": (1, ONE_IN_MAX)}
        found = {}
        for name, (low, high) in limits.items():
            value = request.get(name, getattr(cls(), name))
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} must be a number from {low} to {high}")
            found[name] = value
        return cls(**found)


def _takes_datagrams(fd: int) -> bool:
    try:
        end = socket.socket(fileno=fd)
    except OSError:  # it is no socket at all
        return False
    fine = (end.family, end.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.detach()
    return fine


@dataclass(slots=True)
class Recording:
    """`tell` is called when it has begun or ended, to tell every worker."""

    loop: Loop
    tell: Callable[[], None]
    fd: int = -1
    amount: Amount = field(default_factory=Amount)

    @property
    def is_on(self) -> bool:
        return self.fd >= 0

    def answer(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """To the command `record`; the first of `fds` becomes ours."""
        if self.is_on:
            return {"error": "somebody records already: there is one recording at a time"}
        if not fds or not _takes_datagrams(fds[0]):
            return {"error": "record needs a socket to send to"}
        try:
            self.amount = Amount.of(request)
        except ValueError as error:
            return {"error": str(error)}
        self.fd = fds.pop()
        self.loop.add(self.fd, self._ended)
        log.info("event=recording_started rate=%d one_in=%d", self.amount.rate, self.amount.one_in)
        self.tell()
        return {"ok": True}

    def _ended(self) -> None:
        """The recorder says nothing, so what can be read is its end."""
        self.close()
        log.info("event=recording_ended")
        self.tell()

    def close(self) -> None:
        if self.is_on:
            self.loop.remove(self.fd)
            os.close(self.fd)
            self.fd = -1
