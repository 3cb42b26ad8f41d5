# SPDX-License-Identifier: MIT
"""What only worker mode has: one boot for many requests, and what happens when the boot fails."""

import os
import re
import signal
from pathlib import Path

import pytest
from system.client import Response
from system.conftest import Serve, copy_app
from system.harness import Server, run, wait_until

TWO_REQUESTS = """<?php
$count = 0;
$answer = function () use (&$count) { header('X-Count: ' . ++$count); };
while ($count < 2 && frankenphp_handle_request($answer)) {
}
"""
STUCK_AFTERWARDS = """<?php
$answer = static function () { echo getmypid(); };
while (frankenphp_handle_request($answer)) {
    if (isset($_GET['stuck'])) {
        exec('sleep 60');
    }
}
"""
ONE_PROCESS = {"php": {"processes": 1}}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copy_app("matrix", tmp_path)


def count(server: Server, target: str = "/hello") -> int:
    return int(server.get(target).get("X-Count") or 0)


def test_the_script_boots_once(serve: Serve, app: Path) -> None:
    server = serve(app, "--worker-script", app / "public/worker.php", config=ONE_PROCESS)
    assert [count(server) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_exit_and_exceptions_do_not_cost_the_boot(serve: Serve, app: Path) -> None:
    server = serve(app, "--worker-script", app / "public/worker.php", config=ONE_PROCESS)
    assert count(server) == 1
    assert server.get("/exit").status == 200
    assert server.get("/throw").status == 500
    assert count(server) == 4


def test_askr_handle_request_is_the_same_function(serve: Serve, app: Path) -> None:
    script = app / "public/worker.php"
    script.write_text(script.read_text().replace("frankenphp_handle_", "askr_handle_"))
    server = serve(app, "--worker-script", script, config=ONE_PROCESS)
    assert [count(server) for _ in range(2)] == [1, 2]


def test_a_script_that_returns_is_booted_again(serve: Serve, app: Path) -> None:
    script = app / "public/worker.php"
    script.write_text(TWO_REQUESTS)
    server = serve(app, "--worker-script", script, config=ONE_PROCESS)
    assert [count(server) for _ in range(5)] == [1, 2, 1, 2, 1]


def test_a_script_that_is_stuck_after_an_answer_keeps_nobody_waiting(
    serve: Serve, app: Path
) -> None:
    script = app / "public/worker.php"
    script.write_text(STUCK_AFTERWARDS)
    config = {"timeouts": {"request": 1}, "php": {"processes": 2, "kill_grace": 0.2}}
    server = serve(app, "--worker-script", script, config=config)
    both = set(server.wait_applications(2))
    answer = server.get("/?stuck")
    assert answer.status == 200
    stuck = int(answer.body)
    assert {int(server.get("/").body) for _ in range(10)} == both - {stuck}
    wait_until("it is replaced", lambda: stuck not in server.wait_applications(2))
    assert "GET /" in run("slowlog", "--control", server.control).stdout


MISSING = "<?php\nthrow new Exception('the database is missing');\n"
CRASHES = "<?php\nposix_kill(posix_getpid(), SIGSEGV);\n"


def test_a_first_boot_that_fails_is_told_once_and_ends_the_server(serve: Serve, app: Path) -> None:
    script = app / "public/worker.php"
    script.write_text(MISSING)
    server = serve(app, "--worker-script", script, "--workers", "2", wait=False)
    assert server.wait_end(60) == 1
    assert server.log.count("PHP Fatal error") == 1
    assert server.log.count("event=app_exited") == 1
    said, hint = server.log.splitlines()[-2:]
    why = f"Uncaught Exception: the database is missing in {script}:2"
    assert said == f"askrctl: worker script {script}: {why}"
    assert hint.startswith(f"hint: askrctl serve {app} again, when that is mended")


def test_a_first_boot_that_crashes_is_not_tried_for_ever(serve: Serve, app: Path) -> None:
    script = app / "public/worker.php"
    script.write_text(CRASHES)
    config = {"timeouts": {"boot": 600}}
    server = serve(app, "--worker-script", script, wait=False, config=config)
    assert server.wait_end(60) == 1
    assert server.log.count("event=app_exited") == 3
    assert "askrctl: PHP processes end with signal 11 before they serve\nhint: " in server.log


def test_a_reload_waits_for_as_many_processes_as_served_before(serve: Serve, app: Path) -> None:
    script = app / "public/worker.php"
    script.write_text(script.read_text().replace("$count = 0;", "usleep(50000);\n$count = 0;"))
    server = serve(app, "--worker-script", script)
    before = set(server.wait_applications(4))
    server.signal(signal.SIGHUP)
    wait_until("the new generation", lambda: server.status()["generation"] == 2)
    assert len(set(server.applications()) - before) == 4


def test_a_boot_that_fails_later_is_503_with_the_reason_and_heals(serve: Serve, app: Path) -> None:
    # By what the script finds, not by its text: a process that is replaced within a generation
    # runs the generation's code, from OPcache.
    script, trouble = app / "public/worker.php", app / "trouble"
    check = f"if (file_exists('{trouble}')) throw new Exception('the database is missing');"
    script.write_text(script.read_text().replace("$count = 0;", f"{check}\n$count = 0;"))
    server = serve(app, "--worker-script", script, config=ONE_PROCESS)
    [pid] = server.wait_applications(1)
    trouble.touch()
    os.kill(pid, signal.SIGKILL)
    answer = wait_until("a 503 page", lambda: answered(server, 503))
    assert b"the database is missing" in answer.body
    assert answer.get("Retry-After")
    trouble.unlink()
    wait_until("the next attempt serves", lambda: answered(server, 200))


def test_a_boot_that_goes_on_failing_is_tried_less_and_less(serve: Serve, app: Path) -> None:
    script, trouble = app / "public/worker.php", app / "trouble"
    check = f"if (file_exists('{trouble}')) exit(1);"
    script.write_text(script.read_text().replace("$count = 0;", f"{check}\n$count = 0;"))
    server = serve(app, "--worker-script", script, config=ONE_PROCESS)
    [pid] = server.wait_applications(1)
    trouble.touch()
    os.kill(pid, signal.SIGKILL)
    server.wait_log("restart_s=1.6")
    pauses = re.findall(r"event=app_exited .* restart_s=(\S+)", server.log)
    assert pauses[-5:] == ["0.1", "0.2", "0.4", "0.8", "1.6"], "and by nothing else meanwhile"
    trouble.unlink()
    wait_until("it serves again", lambda: answered(server, 200))


def answered(server: Server, status: int) -> Response | None:
    assert server.process.poll() is None, server.log
    try:
        answer = server.get("/hello")
    except OSError:
        return None
    return answer if answer.status == status else None
