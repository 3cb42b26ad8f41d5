# SPDX-License-Identifier: MIT
"""A steady client that never retries: every failed request is counted and named.

Load generators that retry an idle connection hide exactly what reloads and kills must not do.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from system.client import Address, ClosedError, Connection

CONNECTIONS = 8


@dataclass(slots=True)
class Steady:
    """Keep-alive connections that ask as fast as they are answered, until stop()."""

    address: Address
    target: str
    pause_s: float = 0.002  # so that idle connections exist, which a drain has to treat well
    count: int = CONNECTIONS
    results: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Steady":
        self._threads = [threading.Thread(target=self._run) for _ in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> dict[str, int]:
        return {name: count for name, count in self.results.items() if name != "200"}

    def _run(self) -> None:
        connection: Connection | None = None
        while not self._stopped.wait(self.pause_s):
            started = time.monotonic()
            connection, result = self._ask(connection)
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            self.results[result] += 1
        if connection is not None:
            connection.stream.close()

    def _ask(self, connection: Connection | None) -> tuple[Connection | None, str]:
        kind = "reused" if connection else "new"
        try:
            connection = connection or Connection(self.address)
            answer = connection.ask("GET", self.target)
        except (ClosedError, OSError) as error:
            if connection is not None:
                connection.stream.close()
            return None, f"{type(error).__name__} on a {kind} connection"
        if answer.get("Connection") == "close":
            connection.stream.close()
            return None, str(answer.status)
        return connection, str(answer.status)
