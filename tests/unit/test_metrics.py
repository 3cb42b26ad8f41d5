# SPDX-License-Identifier: MIT
"""Numbers for operators: they never go back, they are of all processes, and each is documented."""

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric

from askrctl import engine
from askrctl.engine._engine import ffi
from askrctl.server import metrics
from askrctl.server.ledger import EVENTS, Ledger, Sums
from askrctl.server.metrics import Memory
from askrctl.server.report import CertificateReport

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"


class Pages:
    """Status pages that the test writes."""

    def __init__(self, count: int) -> None:
        self.memory = memoryview(bytearray(count * engine.STATUS_STRIDE))

    def write(self, slot: int, pid: int, user_ns: int, requests: int) -> None:
        view = self.memory[slot * engine.STATUS_STRIDE : (slot + 1) * engine.STATUS_STRIDE]
        page = ffi.cast("struct askr_worker_status *", ffi.from_buffer(view))
        page.pid, page.split.io_cpu_user_ns = pid, user_ns
        page.tally.responses[2] = requests


def values(families: Any) -> dict[tuple[str, ...], float]:
    """By name and values of the labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_cpu_time_of_a_worker_goes_on_in_the_next_generation() -> None:
    pages = Pages(4)
    ledger = Ledger(pages.memory)
    pages.write(0, pid=10, user_ns=5_000_000_000, requests=7)
    pages.write(2, pid=20, user_ns=1_000_000_000, requests=1)  # the same worker after a reload
    pages.write(3, pid=21, user_ns=2_000_000_000, requests=1)
    both = ledger.sums([(0, 10, 0), (2, 20, 0), (3, 21, 1)])
    ledger.retire(0, 10, 0)
    after = ledger.sums([(2, 20, 0), (3, 21, 1)])
    name = "askr_worker_io_cpu_seconds_total"
    for sums in (both, after):
        cpu = values(metrics._io_cpu(sums))
        assert cpu[name, "0", "user"] == 6.0
        assert cpu[name, "1", "user"] == 2.0
        assert sums.counters["requests"] == 9


def test_every_reason_is_there_before_it_happens() -> None:
    ledger = Ledger(Pages(1).memory)
    ledger.note("application_restarts", "leak")
    ledger.note("reloads", "failed")
    counts = values(metrics._events(ledger.sums([])))
    assert counts["askr_application_restarts_total", "leak"] == 1
    assert counts["askr_reloads_total", "failed"] == 1
    assert sum(counts.values()) == 2
    assert len(counts) == sum(map(len, EVENTS.values()))


def test_the_end_of_a_certificate_is_a_time() -> None:
    certificate = CertificateReport(
        "/etc/shop.pem", ("shop.test",), "2027-01-02T03:04:05+00:00", "", ""
    )
    report: Any = SimpleNamespace(certificates=(certificate,))
    name = "askr_tls_certificate_not_after_timestamp_seconds"
    assert values(metrics._certificates(report)) == {(name, "/etc/shop.pem"): 1798859045.0}


def test_memory_of_a_new_process_is_known_at_once() -> None:
    memory = Memory()
    assert memory.by_role([("supervisor", os.getpid())])["worker"] == (0, 0)
    with subprocess.Popen(["sleep", "1000"]) as child:
        sizes = memory.by_role([("worker", child.pid), ("zygote", os.getpid())])
        child.kill()
    assert sizes["supervisor"] == (0, 0)
    assert 0 < sizes["worker"][1] <= sizes["worker"][0]
    assert 0 < sizes["zygote"][1] <= sizes["zygote"][0]


def every_family() -> list[Metric]:
    """All that there can be."""
    cache = {"hits": 1}
    site = SimpleNamespace(name="shop", processes=1, queue_depth=0, inflight=0, opcache=cache)
    report: Any = SimpleNamespace(
        io_backend={"requested": "auto", "active": "epoll", "reason": "x"},
        version="1",
        uptime_s=1.0,
        generation=1,
        serving_since_s=1.0,
        log_lost=0,
        draining_generations=0,
        certificates=(CertificateReport("a", (), "2027-01-02T03:04:05+00:00", "", ""),),
        workers=(),
        sites=(site,),
        opcache=cache,
        trace={"exported": 0, "failed": 0, "dropped": 0},
    )
    sums: Any = Sums()
    sums.responses = {"2xx": 1}
    page: Any = SimpleNamespace(
        **dict.fromkeys(("requests", "queue_full", "queue_expired", "timeouts", "app_deaths"), 0),
        sendfile_refused=0,
        responses=dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx"), 0),
    )
    sums.add_site("shop", page, {})
    sums.add_route("/", 0, engine.Durations())
    return list(metrics.families(report, sums, dict.fromkeys(metrics.ROLES, (0, 0))))


def test_the_reference_has_every_metric_and_no_other() -> None:
    exposed = {
        f"{family.name}_total" if isinstance(family, CounterMetricFamily) else family.name
        for family in every_family()
    }
    told = set(re.findall(r"^\| `(askr_\w+)", DOCUMENT.read_text(), re.MULTILINE))
    assert told == exposed


def test_help_is_a_sentence_that_stands_alone() -> None:
    for family in every_family():
        text = family.documentation
        assert text[0].isupper() or text[0].isdigit(), (family.name, text)
        assert text.endswith("."), (family.name, text)
        assert len(text.split()) > 1, (family.name, text)
