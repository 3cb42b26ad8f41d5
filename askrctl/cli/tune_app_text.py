# SPDX-License-Identifier: MIT
"""How `askrctl tune app` says what it has measured and what it proposes."""

import shlex
import shutil
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from askrctl.bench.application import WARM_UP, Measurement

if TYPE_CHECKING:
    from askrctl.cli.tune_app import Result

MIB = 1 << 20
WIDTH_MAX = 100


def lines(result: "Result", fragment: str) -> Iterator[str]:
    """The whole answer."""
    width = min(WIDTH_MAX, shutil.get_terminal_size().columns)
    found = result.measurement
    yield f"{result.job.site.path}, {found.mode} mode, one process, one request at a time"
    yield from _wrapped(
        f"{WARM_UP} GETs of each route to warm up, then those below; nothing but GETs was sent, "
        "and what a GET of yours writes, it has written",
        width,
    )
    yield ""
    yield from _routes(found)
    yield ""
    yield from _memory(found)
    yield ""
    for item in result.sizing.proposals:
        change = f"{item.before} -> {item.want}" if item.changes else f"{item.want}  (as it is)"
        yield f"{item.key}  {change}"
        yield from _wrapped(item.measured, width)
        yield from _wrapped(item.why, width)
    for note in result.sizing.notes:
        yield from _wrapped(f"note: {note}", width, "")
    yield ""
    yield from fragment.splitlines()
    yield ""
    yield f"next: {_next(result)}"


def _next(result: "Result") -> str:
    if not any(item.changes for item in result.sizing.proposals):
        return "askrctl bench matrix " + shlex.quote(str(result.job.site.path))
    return "put these lines into askr.toml, or: askrctl tune app ... --write askr.toml"


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent + ("" if indent else "  ")
    )


def _routes(found: Measurement) -> Iterator[str]:
    size = max(5, *(len(route.target) for route in found.routes))
    yield f"{'route':<{size}}  status  GETs      wall       CPU  waiting      peak"
    for route in found.routes:
        yield (
            f"{route.target:<{size}}  {route.status:>6}  {route.requests:>4}  "
            f"{route.wall_us / 1000:>5.2f} ms  {route.cpu_us / 1000:>5.2f} ms  "
            f"{100 * route.blocking:>5.0f} %  {route.peak / MIB:>4.1f} MiB"
        )


def _memory(found: Measurement) -> Iterator[str]:
    memory = found.memory
    parts = [f"{memory.rss / MIB:.1f} MiB resident"]
    if memory.pss is not None and memory.private is not None:
        parts.append(f"{memory.pss / MIB:.1f} MiB with its share of what is shared")
        parts.append(f"{memory.private / MIB:.1f} MiB of its own")
    yield f"process  {', '.join(parts)}"
    caches = found.caches
    if caches is None:
        yield "OPcache  off"
        return
    total = caches.used + caches.free + caches.wasted
    yield (
        f"OPcache  {caches.scripts} scripts, {caches.used / MIB:.1f} of {total / MIB:.0f} MiB, "
        f"strings {caches.strings_used / MIB:.1f} of {caches.strings_size / MIB:.0f} MiB"
    )
