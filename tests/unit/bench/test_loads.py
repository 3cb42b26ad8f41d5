# SPDX-License-Identifier: MIT
"""Load generators: what they printed is read, and the first that is installed is taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.bench import generators, loads
from askrctl.bench.generators import Job
from askrctl.bench.loads import Load
from askrctl.model import AskrError

WRK = """Running 1s test @ http://127.0.0.1:18999/hello.txt
  15490 requests in 1.05s, 3.59MB read
{"requests":15490,"duration_us":1049262,"bytes":3764070,"p50_us":142,"p99_us":16740,\
"p999_us":22018,"socket_errors":0,"bad_statuses":3}
"""
# The form of its schema.json.
OHA = """{"summary":{"successRate":1.0,"total":2.0,"slowest":0.02,"fastest":0.0001,
"average":0.001,"requestsPerSec":500.0,"totalData":13000,"sizePerRequest":13,"sizePerSec":6500.0},
"latencyPercentiles":{"p10":0.0001,"p50":0.001,"p99":0.01,"p99.9":0.02,"p99.99":0.02},
"statusCodeDistribution":{"200":990,"503":10},
"errorDistribution":{"aborted due to deadline":16,"connection closed before message completed":2}}
"""
HEY = """
Summary:
  Total:\t1.0005 secs
  Slowest:\t0.0225 secs
  Requests/sec:\t11400.2469
  Total data:\t148278 bytes
  Size/request:\t13 bytes

Latency distribution:
  10% in 0.0001 secs
  50% in 0.0005 secs
  99% in 0.0101 secs

Status code distribution:
  [200]\t11400 responses
  [404]\t6 responses

Error distribution:
  [4]\tGet "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused
"""
AB = """
Document Length:        13 bytes
Concurrency Level:      16
Time taken for tests:   1.004 seconds
Complete requests:      27913
Failed requests:        2
Non-2xx responses:      5
Keep-Alive requests:    27913
Total transferred:      7452771 bytes
HTML transferred:       362869 bytes

Percentage of the requests served within a certain time (ms)
  50%      0
  99%      9
 100%     74 (longest request)
"""
H2LOAD = """
finished in 1.01s, 28894.00 req/s, 6.70MB/s
requests: 28894 total, 28910 started, 28894 done, 28890 succeeded, 4 failed, 1 errored, 2 timeout
status codes: 28890 2xx, 0 3xx, 4 4xx, 0 5xx
traffic: 6.70MB (7021242) total, 5.05MB (5290530) headers (space savings 0.00%), 367.02KB (375830) \
data
"""


def test_wrk_tells_requests_bytes_errors_and_quantiles() -> None:
    found = loads.parse_wrk(WRK)
    assert (found.requests, found.wire_bytes, found.failed, found.errors) == (15490, 3764070, 3, 0)
    assert (found.p50_ms, found.p99_ms, found.p999_ms) == (0.142, 16.74, 22.018)
    assert round(found.rate) == 14763


def test_oha_tells_the_same_and_a_deadline_is_no_error_of_the_server() -> None:
    found = loads.parse_oha(OHA)
    assert (found.requests, found.failed, found.errors, found.body_bytes) == (1000, 10, 2, 13000)
    assert (found.p50_ms, found.p99_ms, found.p999_ms) == (1.0, 10.0, 20.0)


def test_hey_counts_statuses_and_connections_that_failed() -> None:
    found = loads.parse_hey(HEY)
    assert (found.requests, found.failed, found.errors, found.body_bytes) == (11406, 6, 4, 148278)
    assert (found.p50_ms, found.p99_ms, found.p999_ms) == (0.5, 10.1, None)


def test_ab_tells_lengths_and_failures() -> None:
    found = loads.parse_ab(AB)
    assert (found.requests, found.failed, found.errors) == (27913, 5, 2)
    assert (found.wire_bytes, found.body_bytes, found.p99_ms) == (None, 362869, 9.0)


def test_quantiles_of_h2load_come_from_its_log() -> None:
    log = [f"1795500953329574\t200\t{micros}" for micros in range(1, 1001)]
    found = loads.parse_h2load(H2LOAD, log)
    assert (found.requests, found.failed, found.errors) == (28894, 4, 3)
    assert (found.wire_bytes, found.body_bytes) == (7021242, 375830)
    assert found.p50_ms == pytest.approx(0.5005)


@pytest.mark.parametrize(
    "parse",
    [
        loads.parse_wrk,
        loads.parse_oha,
        loads.parse_hey,
        loads.parse_ab,
        lambda text: loads.parse_h2load(text, []),
    ],
)
@given(text=st.text(max_size=80) | st.sampled_from(['{"requests":"x"}', "{}", "[]", "null", "{1"]))
def test_what_cannot_be_understood_is_a_refusal(parse: Callable[[str], Load], text: str) -> None:
    with pytest.raises(AskrError) as refused:
        parse(text)
    assert refused.value.code == 3
    assert refused.value.hint


def install(folder: Path, *names: str) -> str:
    """A PATH with programs of these names and nothing else."""
    for name in names:
        program = folder / name
        program.write_text("#!/bin/sh\necho 1.2.3\n")
        program.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (("h2load", "ab", "hey", "wrk", "oha"), "oha"),
        (("h2load", "ab", "hey", "wrk"), "wrk"),
        (("h2load", "ab", "hey"), "hey"),
        (("h2load", "ab"), "ab"),
        (("h2load",), "h2load"),
    ],
)
def test_generators_are_taken_in_their_order(
    tmp_path: Path, there: tuple[str, ...], taken: str
) -> None:
    assert generators.detect(path=install(tmp_path, *there)).name == taken


def test_a_fixed_rate_takes_one_that_can_and_says_what_it_means(tmp_path: Path) -> None:
    path = install(tmp_path, "wrk", "ab", "h2load")
    found = generators.detect(rate=1000, path=path)
    assert found.name == "h2load"
    assert "coordinated omission" in found.loop(1000)
    assert "closed loop" in generators.detect(path=path).loop(0)
    (tmp_path / "h2load").unlink()
    with pytest.raises(AskrError, match="a fixed rate needs one of oha, hey, h2load"):
        generators.detect(rate=1000, path=path)


def test_a_missing_generator_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(AskrError) as none:
        generators.detect(path=str(tmp_path))
    assert none.value.code == 3 and none.value.hint == "apt install wrk"
    with pytest.raises(AskrError) as asked:
        generators.detect("ab", path=str(tmp_path))
    assert asked.value.hint == "apt install apache2-utils"
    with pytest.raises(AskrError, match="it can be oha"):
        generators.detect("curl", path=str(tmp_path))


@pytest.mark.parametrize("tool", generators.TOOLS, ids=lambda tool: tool.name)
def test_every_tool_is_asked_for_url_time_connections_and_host(
    tool: generators.Tool, tmp_path: Path
) -> None:
    job = Job("http://127.0.0.1:1/x", 7, 33, headers={"Host": "shop.example"})
    words = " ".join(tool.command("/bin/tool", job, tmp_path))
    assert words.startswith("/bin/tool ") and words.endswith(job.url)
    assert "7" in words and "33" in words and "shop.example" in words
    if tool.rated:
        rated = " ".join(tool.command("/bin/tool", Job(job.url, 7, 33, rate=3300), tmp_path))
        assert rated != words and ("3300" in rated or " 100 " in rated)
