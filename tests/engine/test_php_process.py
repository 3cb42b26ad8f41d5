# SPDX-License-Identifier: MIT
"""askr_php.so as a process: settings, OPcache, forks, limits, and that no request leaves a trace.

The leak loops compare memory after some hundred requests with memory after twenty thousand more;
they look at sizes, not at time.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from . import php_host
from .php_host import SCRIPTS, Request, Run

FORM = "application/x-www-form-urlencoded"
LOOP = 20_000
FATAL_LOOP = 2_000
RSS_GROWTH_MAX_KB = 1024
# Hash tables of the engine grow in steps; 16 kB in 20,000 requests is less than a byte for each.
HEAP_GROWTH_MAX = 16384


@pytest.fixture(scope="module", autouse=True)
def php(require: Callable[[bool, str], None]) -> None:
    require(php_host.find_libphp() is not None and php_host.MODULE.exists(), "PHP with headers")


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Run]:
    def call(requests: Iterable[Request] = (), **settings: object) -> Run:
        return php_host.serve(tmp_path, list(requests), **settings)  # type: ignore[arg-type]

    return call


# Start.


def test_facts_say_what_runs(serve: Callable[..., Run]) -> None:
    facts = serve().facts
    assert facts["version"].startswith("8.") and facts["zts"] is False
    assert facts["sapi"] == "frankenphp"
    assert {"standard", "session", "askr", "frankenphp"} <= set(facts["extensions"])
    assert facts["ini_file"] is None or facts["ini_file"].endswith("php.ini")
    assert set(facts["opcache"]) >= {"enabled", "reason", "jit", "validate_timestamps"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mood": "classic"}, 'unknown setting "mood"'),
        ({"mode": "lazy"}, '"lazy"; it can be "classic" or "worker"'),
        ({"mode": "worker"}, "no worker script is set"),
        ({"mode": "worker", "script": "here.php"}, '"here.php" is not an absolute path'),
        ({"max_requests": "many"}, 'max_requests is "many"; it has to be a whole number'),
        ({"request_timeout_ms": "86401001"}, "request_timeout_ms"),
        ({"request_timeout_ms": "-1"}, "request_timeout_ms"),
        ({"memory_limit": '1G"'}, "memory_limit is too long or has a quote"),
    ],
)
def test_a_bad_setting_is_refused_with_a_sentence(
    serve: Callable[..., Run], settings: dict[str, str], sentence: str
) -> None:
    run = serve(**settings)
    assert run.start_failed is not None and sentence in run.start_failed
    assert run.exits == []


def test_settings_reach_php(serve: Callable[..., Run]) -> None:
    assert serve(memory_limit="77M").facts["memory_limit"] == "77M"
    assert serve(sapi_name="fpm-fcgi").facts["sapi"] == "fpm-fcgi"


def test_opcache_that_turned_itself_off_is_refused(serve: Callable[..., Run]) -> None:
    run = serve(sapi_name="embed")
    assert run.start_failed is not None
    assert "OPcache refused to start under the SAPI name embed" in run.start_failed


def test_opcache_may_be_switched_off_on_purpose(serve: Callable[..., Run]) -> None:
    run = serve([Request()], ini="opcache.enable=0")
    assert run.facts["opcache"]["reason"] == "opcache.enable is 0"
    assert run.logged("without OPcache", "warn")
    assert run.answers[0].body == b"Hello"


def test_php_without_opcache_works_and_says_so(serve: Callable[..., Run]) -> None:
    run = serve([Request()], php_ini="/dev/null", environment={"PHP_INI_SCAN_DIR": ""})
    assert run.facts["opcache"]["reason"] == "the OPcache extension is not loaded"
    assert run.answers[0].body == b"Hello"


# Processes.


def test_processes_share_what_opcache_compiled(serve: Callable[..., Run]) -> None:
    run = serve([Request(query="a=opcache"), Request(query="a=opcache")], forks=2)
    states = [answer.json() for answer in run.answers]
    assert [state["on"] for state in states] == [True] * 4
    assert [state["hits"] for state in states] == [0, 1, 2, 3]


def test_processes_draw_different_random_numbers(serve: Callable[..., Run]) -> None:
    run = serve([Request(query="a=opcache")], forks=3)
    assert len({answer.json()["random"] for answer in run.answers}) == 3


def test_max_requests_ends_a_process_and_leaves_the_rest(serve: Callable[..., Run]) -> None:
    run = serve([Request()] * 3, max_requests=2)
    assert len(run.answers) == 2
    assert run.exits == [{"status": 0, "unserved": 1}]


# Leaks.

UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    + b"x" * 20_000
    + b"\r\n--b--\r\n"
)


def action(script: str, kind: str, repeat: int) -> Request:
    if kind == "post":
        return Request(
            script, "a=input" if script == "classic.php" else "a=state", method="POST",
            body=b"a=1&b[]=2", content_type=FORM, cookie="c=3", repeat=repeat,
        )  # fmt: skip
    if kind == "raw":
        return Request(
            script, "a=input" if script == "classic.php" else "a=state", method="PUT",
            body=b"x" * 20_000, content_type="application/json", repeat=repeat,
        )  # fmt: skip
    if kind == "upload":
        return Request(
            script, "a=server" if script == "classic.php" else "a=state", method="POST",
            body=UPLOAD, content_type="multipart/form-data; boundary=b", repeat=repeat,
        )  # fmt: skip
    return Request(script, f"a={kind}", cookie="PHPSESSID=loop", repeat=repeat)


def check_loop(serve: Callable[..., Run], name: str, kind: str, **settings: object) -> None:
    repeat = FATAL_LOOP if kind in ("memory", "user_error") else LOOP
    usage = Request(name, "a=memory_usage")
    run = serve([action(name, kind, 400), usage, action(name, kind, repeat), usage], **settings)
    assert run.series[0]["odd"] == 0
    assert run.series[0]["rss_kb_last"] - run.series[0]["rss_kb_first"] < RSS_GROWTH_MAX_KB
    before, after = (int(run.answers[index].body) for index in (1, 3))
    assert after - before < HEAP_GROWTH_MAX
    assert run.exits == [{"status": 0, "unserved": 0}]


@pytest.mark.parametrize(
    "kind", ["hello", "server", "post", "raw", "upload", "session", "exit", "throw", "memory"]
)
def test_classic_requests_leave_nothing_in_memory(
    serve: Callable[..., Run], tmp_path: Path, kind: str
) -> None:
    ini = f"session.save_path={tmp_path}\nerror_log=/dev/null"  # errors by the thousand
    check_loop(serve, "classic.php", kind, ini=ini)


@pytest.mark.parametrize(
    "kind",
    [
        "hello", "state", "post", "raw", "upload", "session", "exit", "throw", "handled", "dirty",
        "finish", "gzip", "filter", "fiber", "generator", "memory", "user_error",
    ],
)  # fmt: skip
def test_worker_requests_leave_nothing_in_memory(
    serve: Callable[..., Run], tmp_path: Path, kind: str
) -> None:
    ini = f"session.save_path={tmp_path}\nerror_log=/dev/null"
    script = SCRIPTS / "worker.php"
    check_loop(serve, "worker.php", kind, ini=ini, mode="worker", script=script)
