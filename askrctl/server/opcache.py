# SPDX-License-Identifier: MIT
"""How the OPcache of a site is: its zygote is asked while somebody wants to know.

The zygote forks a process that looks and ends, so neither a request nor an application process has
a part in it, and a server that nobody asks does nothing. What comes back was made by a process that
runs as the application's user: numbers by known names are taken from it, the rest is not.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

PERIOD_S = 5.0  # between two looks: each costs a fork and an empty request, some milliseconds
WANTED_S = 60.0  # looks go on for so long after somebody wanted to know

# Our name -> where it stands in opcache_get_status(). Bytes, counts.
_FIELDS = {
    "memory_used": ("memory_usage", "used_memory"),
    "memory_free": ("memory_usage", "free_memory"),
    "memory_wasted": ("memory_usage", "wasted_memory"),
    "strings_used": ("interned_strings_usage", "used_memory"),
    "strings_free": ("interned_strings_usage", "free_memory"),
    "strings": ("interned_strings_usage", "number_of_strings"),
    "scripts": ("opcache_statistics", "num_cached_scripts"),
    "keys": ("opcache_statistics", "num_cached_keys"),
    "keys_max": ("opcache_statistics", "max_cached_keys"),
    "hits": ("opcache_statistics", "hits"),
    "misses": ("opcache_statistics", "misses"),
    "restarts_memory": ("opcache_statistics", "oom_restarts"),
    "restarts_keys": ("opcache_statistics", "hash_restarts"),
    "restarts_asked": ("opcache_statistics", "manual_restarts"),
}


def parse(text: str) -> dict[str, int]:
    """Empty when it is not what it should be."""
    try:
        status = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(status, dict):
        return {}
    found = {}
    for name, (section, key) in _FIELDS.items():
        part = status.get(section)
        value: Any = part.get(key) if isinstance(part, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53:
            found[name] = int(value)
    return {**found, "full": int(status.get("cache_full") is True)} if found else {}


class Opcache:
    """That of one zygote and its processes."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._known: dict[str, int] = {}
        self.asked_s = -PERIOD_S
        self._wanted_s = -WANTED_S

    def want(self) -> dict[str, int]:
        """What is known; empty at first, and without OPcache."""
        self._wanted_s = time.monotonic()
        return self._known

    @property
    def is_due(self) -> bool:
        now = time.monotonic()
        return now - self._wanted_s < WANTED_S and now - self.asked_s >= PERIOD_S

    def look(self) -> None:
        self.asked_s = time.monotonic()
        self._ask()

    def told(self, text: str) -> None:
        """The zygote's answer."""
        self._known = parse(text) or self._known


def look(caches: Iterable[Opcache]) -> None:
    """Called often. Asks one at a time, so that many sites do not fork all at once."""
    due = [cache for cache in caches if cache.is_due]
    if due:
        min(due, key=lambda cache: cache.asked_s).look()
