# SPDX-License-Identifier: MIT
"""[[warmup]]: what a new generation answers before it takes over, and what happens if it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve
from system.harness import Server, run, wait_until

# Each process keeps a log of its own. A request takes a while, as one that is worth a warm-up does.
APPLICATION = """<?php
$state = __DIR__ . '/../state';
$serve = function () use ($state) {
    $seen = [$_SERVER['REQUEST_METHOD'], $_SERVER['HTTP_HOST'], $_SERVER['REQUEST_URI'],
        $_SERVER['HTTP_X_KIND'] ?? '', $_SERVER['HTTP_USER_AGENT'] ?? ''];
    file_put_contents($state . '/' . getmypid(), implode(' ', $seen) . "\\n", FILE_APPEND);
    usleep(20000);
    if (file_exists("$state/broken") && $_SERVER['REQUEST_URI'] !== '/fine') {
        http_response_code(500);
    }
    echo 'hello';
};
"""
CLASSIC = "$serve();\n"
WORKER = "while (frankenphp_handle_request($serve)) {\n}\n"


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Callable[..., Server]:
    def begin(
        *warmup: dict[str, Any], mode: str = "classic", wait: bool = True, **config: Any
    ) -> Server:
        app = tmp_path / "app"
        (app / "public").mkdir(parents=True)
        (app / "state").mkdir()
        (app / "public/index.php").write_text(APPLICATION + CLASSIC)
        (app / "public/worker.php").write_text(APPLICATION + WORKER)
        (app / "public/file.txt").write_text("a file")
        options = ["--workers", "2"] if wait else []
        options += ["--worker-script", "public/worker.php"] if mode == "worker" else []
        config = {"warmup": list(warmup), "php": {"processes": 3}, **config}
        return serve(app, *options, config=config, wait=wait)

    return begin


def seen(server: Server) -> dict[int, list[str]]:
    """What each process was asked, the user agent left out."""
    return {
        int(file.name): [line.rpartition(" ")[0] for line in file.read_text().splitlines()]
        for file in (server.path / "state").iterdir()
        if file.name.isdigit()
    }


def test_every_process_has_answered_each_request_before_the_first_client(
    start: Callable[..., Server], mode: str
) -> None:
    shop = {"path": "/fine?a=1", "host": "shop.example", "headers": {"X-Kind": "warm"}}
    post = {"path": "/p", "method": "POST"}
    server = start({**shop, "status": 200}, {"path": "/file.txt"}, post, mode=mode)
    pids = server.wait_applications(6)
    logs = seen(server)
    assert set(logs) == set(pids)
    for log in logs.values():
        assert "GET shop.example /fine?a=1 warm" in log
        assert "POST localhost /p " in log
    assert "event=warmed_up" in server.log
    assert "processes=6 of=6" in server.log


def test_a_generation_that_fails_its_warm_up_is_refused_with_the_reason(
    start: Callable[..., Server],
) -> None:
    server = start({"path": "/fine"}, {"path": "/x", "status": [200, 302]})
    (server.path / "state/broken").touch()
    done = run("reload", "--verify", "--check=/fine", "--control", server.control)
    assert done.returncode == 1
    assert "warm-up: GET /x was answered with 500, not 200 or 302" in done.stderr
    assert "generation 1 serves on" in done.stderr
    assert server.get("/fine").text == "hello"


def test_a_warm_up_that_is_not_required_is_logged(start: Callable[..., Server]) -> None:
    server = start({"path": "/x", "status": 404, "required": False})
    wanted = 'event=warmup_failed detail="warm-up: GET /x was answered with 200, not 404"'
    assert wanted in server.log
    assert server.get("/fine").text == "hello"


def test_a_warm_up_that_takes_too_long_is_over(start: Callable[..., Server]) -> None:
    server = start({"path": "/fine"}, wait=False, timeouts={"warmup": 0.01})
    assert server.wait_end() == 1
    wait_until("its last words", lambda: "hint:" in server.log)
    assert "the warm-up was not done after 0.01 s" in server.log
