# SPDX-License-Identifier: MIT
"""Signals that a service manager sends to every process: the supervisor acts, nobody is hurt."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from system.client import build
from system.conftest import Serve, copy_app
from system.harness import Server, tree, wait_until
from system.load import Steady

HANDLER = """<?php
if (!function_exists('pcntl_signal')) {
    exit('none');
}
pcntl_async_signals(true);
pcntl_signal(SIGUSR1, function () { $GLOBALS['heard'] = true; });
posix_kill(posix_getpid(), SIGUSR1);
echo $GLOBALS['heard'] ? 'heard' : 'not heard';
"""
SLEEPER = """<?php
touch($_GET['started']);
$left = sleep(2);
echo json_encode([$left, shell_exec('kill -USR1 $$; kill -TERM $$; echo survived')]);
"""


def tell_all(server: Server, *numbers: signal.Signals) -> None:
    for number in numbers:
        for pid in tree(server.process.pid):
            with suppress(ProcessLookupError):  # a helper's that has done its work
                os.kill(pid, number)


def test_signals_to_every_process_cost_no_request(serve: Serve, mode: str, tmp_path: Path) -> None:
    app, log = copy_app("matrix", tmp_path), tmp_path / "access.log"
    options = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    config = {"log": {"access": str(log)}, "php": {"processes": 2}}
    server = serve(app, *options, "--workers", "2", config=config)
    server.wait_applications(4)
    before = set(tree(server.process.pid))
    with Steady(server.address, "/hello") as steady:
        for number in range(3):
            log.rename(tmp_path / f"access.log.{number}")
            tell_all(server, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
            wait_until("the log is opened again", log.exists)
            wait_until("lines go there", lambda: log.stat().st_size)
        assert set(tree(server.process.pid)) == before
        assert "reload_asked" not in server.log
        assert "event=signal_passed_over signal=SIGUSR2" in server.log
        tell_all(server, signal.SIGHUP)
        wait_until("the reload", lambda: server.status()["generation"] == 2)
    assert steady.failed == {}
    assert steady.results["200"] > 100


def test_signals_that_come_while_processes_start_hurt_nobody(serve: Serve, tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path)
    server = serve(app, "--worker-script", app / "public/worker.php", wait=False)
    wait_until("it is past its imports", lambda: "generation_started" in server.log)

    def greets() -> str:
        tell_all(server, signal.SIGUSR1, signal.SIGUSR2)
        assert server.process.poll() is None, server.log
        return server.output

    wait_until("it greets", greets, 60)
    server.wait_ready()
    assert server.get("/hello").status == 200
    for event in ("worker_exited", "app_exited", "zygote_died"):
        assert f"event={event}" not in server.log


def test_scripts_sleep_on_and_their_commands_can_be_ended(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "index.php").write_text(SLEEPER)
    started = tmp_path / "started"
    server = serve(tmp_path)
    with server.connect() as connection:
        connection.send(build("GET", f"/?started={started}"))
        wait_until("the script sleeps", started.exists)
        tell_all(server, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
        assert json.loads(connection.receive().body) == [0, None]


def test_a_script_has_handlers_of_its_own(
    serve: Serve, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    (tmp_path / "index.php").write_text(HANDLER)
    server = serve(tmp_path)
    body = server.get("/").body
    require(body != b"none", "PHP's pcntl")
    assert body == b"heard"
