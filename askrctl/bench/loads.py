# SPDX-License-Identifier: MIT
"""What each load generator prints, as one value. Pure: text in, Load out.

None of them can be trusted to fail by itself when answers are wrong, so a Load carries what can be
compared: statuses, errors, and bytes. Times are milliseconds; None is what a tool does not tell.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from askrctl.bench.stats import quantile
from askrctl.model import AskrError

# `done` runs once, after the load; asking Lua for each response would halve the rate.
WRK_SCRIPT = """\
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,' ..
    '"socket_errors":%d,"bad_statuses":%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One run. `wire_bytes` counts heads and bodies, `body_bytes` bodies alone."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float | None = None
    failed: int = 0  # not 2xx or 3xx
    errors: int = 0  # connections refused, reset, timed out
    wire_bytes: int | None = None
    body_bytes: int | None = None

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def _not_understood(tool: str, text: str) -> AskrError:
    return AskrError(
        f"{tool} printed what this version does not understand: {text.strip()[-300:]!r}",
        "askrctl bench run --tool wrk",
        code=3,
    )


def parse_wrk(text: str) -> Load:
    """The last line that WRK_SCRIPT wrote."""
    line = next((line for line in reversed(text.splitlines()) if line.startswith("{")), "")
    try:
        found = {name: int(value) for name, value in json.loads(line).items()}
        return Load(
            requests=found["requests"],
            seconds=found["duration_us"] / 1e6,
            p50_ms=found["p50_us"] / 1e3,
            p99_ms=found["p99_us"] / 1e3,
            p999_ms=found["p999_us"] / 1e3,
            failed=found["bad_statuses"],
            errors=found["socket_errors"],
            wire_bytes=found["bytes"],
        )
    except (ValueError, KeyError, AttributeError):
        raise _not_understood("wrk", text) from None


def parse_oha(text: str) -> Load:
    """`--output-format json`. Requests cut off by the deadline are no errors of the server."""
    try:
        found = json.loads(text)
        summary, percentiles = found["summary"], found["latencyPercentiles"]
        statuses = {int(status): int(n) for status, n in found["statusCodeDistribution"].items()}
        errors = {
            name: int(count)
            for name, count in found["errorDistribution"].items()
            if "deadline" not in name
        }
        return Load(
            requests=sum(statuses.values()),
            seconds=float(summary["total"]),
            p50_ms=float(percentiles["p50"]) * 1e3,
            p99_ms=float(percentiles["p99"]) * 1e3,
            p999_ms=float(percentiles["p99.9"]) * 1e3,
            failed=sum(n for status, n in statuses.items() if not 200 <= status < 400),
            errors=sum(errors.values()),
            body_bytes=int(summary["totalData"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _not_understood("oha", text) from None


def _figure(text: str, pattern: str, tool: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise _not_understood(tool, text)
    return float(found[1])


def parse_hey(text: str) -> Load:
    """The summary. hey keeps at most a million latencies and prints four digits of a second."""
    statuses = {
        int(status): int(n) for status, n in re.findall(r"\[(\d{3})\]\s+(\d+) responses", text)
    }
    failures = text.partition("Error distribution:")[2]
    errors = sum(int(count) for count in re.findall(r"\[(\d+)\]\t", failures))
    body = re.search(r"Total data:\s+(\d+) bytes", text)
    return Load(
        requests=sum(statuses.values()),
        seconds=_figure(text, r"Total:\s+([\d.]+) secs", "hey"),
        p50_ms=_figure(text, r"50% in ([\d.]+) secs", "hey") * 1e3,
        p99_ms=_figure(text, r"99% in ([\d.]+) secs", "hey") * 1e3,
        failed=sum(n for status, n in statuses.items() if not 200 <= status < 400),
        errors=errors,
        body_bytes=int(body[1]) if body else None,
    )


def parse_ab(text: str) -> Load:
    """ab prints whole milliseconds: of fast answers it says 0, which no ratio can use.

    It speaks HTTP/1.0, whose heads are others (Connection: keep-alive), so only bodies compare.
    """
    non_2xx = re.search(r"Non-2xx responses:\s+(\d+)", text)
    return Load(
        requests=int(_figure(text, r"Complete requests:\s+(\d+)", "ab")),
        seconds=_figure(text, r"Time taken for tests:\s+([\d.]+)", "ab"),
        p50_ms=_figure(text, r"50%\s+(\d+)", "ab"),
        p99_ms=_figure(text, r"99%\s+(\d+)", "ab"),
        failed=int(non_2xx[1]) if non_2xx else 0,
        errors=int(_figure(text, r"Failed requests:\s+(\d+)", "ab")),
        body_bytes=int(_figure(text, r"HTML transferred:\s+(\d+)", "ab")),
    )


def parse_h2load(text: str, log: Sequence[str]) -> Load:
    """Its summary has no percentiles: they come from the log, start, status, microseconds."""
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    if done is None:
        raise _not_understood("h2load", text)
    succeeded, failed, errored, late = map(int, done.groups())
    times = [int(line.split("\t")[2]) / 1e3 for line in log if line.count("\t") >= 2]
    if not times:
        raise _not_understood("h2load", text)
    return Load(
        requests=succeeded + failed,
        seconds=_figure(text, r"finished in ([\d.]+)s", "h2load"),
        p50_ms=quantile(times, 0.5),
        p99_ms=quantile(times, 0.99),
        p999_ms=quantile(times, 0.999),
        failed=failed,
        errors=errored + late,
        wire_bytes=int(_figure(text, r"traffic: \S+ \((\d+)\) total", "h2load")),
        body_bytes=int(_figure(text, r"\((\d+)\) data", "h2load")),
    )
