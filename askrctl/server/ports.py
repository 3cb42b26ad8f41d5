# SPDX-License-Identifier: MIT
"""What supervisor, worker and application share: sealed memory and bells (eventfds).

The seals keep an application from truncating memory under its worker's hands (memfd_create(2)).
"""

import fcntl
import os
from dataclasses import dataclass

from askrctl import engine
from askrctl.config import LimitsConfig

_BELL_FLAGS = os.EFD_NONBLOCK | os.EFD_CLOEXEC
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make_bell() -> int:
    """An eventfd."""
    return os.eventfd(0, _BELL_FLAGS)


def make_status_memory() -> int:
    """Zeroed pages for the counters of all workers, of all generations that live at once."""
    fd = os.memfd_create("askr-status", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, engine.STATUS_SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


class RateMemory:
    """The buckets of rate limits, for workers of all generations; without limits, fd is -1."""

    def __init__(self) -> None:
        self.fd = -1
        self._keys = 0

    def use(self, limits: LimitsConfig) -> None:
        """For the generations that begin from now on. What clients owe is kept, if it fits."""
        keys = limits.rate_keys if limits.rate else 0
        if keys == self._keys:
            return
        self.close()
        self._keys = keys
        if keys == 0:
            return
        self.fd = os.memfd_create("askr-rates", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, engine.rate_size(keys))
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(self.fd, os.urandom(engine.RATE_SEED_SIZE), 0)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self._keys = -1, 0


@dataclass(slots=True)
class Port:
    """The shared memory of one application process, and the bell that wakes it."""

    memory: int
    bell: int

    @classmethod
    def make(cls) -> "Port":
        memory = os.memfd_create("askr-port", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, engine.PORT_SIZE)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
        return cls(memory, make_bell())

    def close(self) -> None:
        os.close(self.memory)
        os.close(self.bell)
