# SPDX-License-Identifier: MIT
"""Symfony 5.4 on the distribution's packages; in worker mode by a script as symfony/runtime's is.

That script does its work after an answer (kernel.terminate) between two requests, outside of the
server's callback: what happens there has to be as limited, and as private, as the request was.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from system.cases import cookie_of
from system.client import Response, build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

BUNDLE = Path("/usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
VISITORS = 20


def start(
    serve: Serve, folder: Path, mode: str, require: Callable[[bool, str], None], **more: Any
) -> Server:
    require(BUNDLE.is_file(), "php-symfony-framework-bundle")
    app = copy_app("symfony", folder)
    (app / "var/sessions").mkdir(parents=True)
    options = ["--worker-script", "public/worker.php"] if mode == "worker" else []
    return serve(app, *options, **more)


@pytest.fixture(scope="module")
def symfony(
    serve_shared: Serve,
    mode: str,
    tmp_path_factory: pytest.TempPathFactory,
    require: Callable[[bool, str], None],
) -> Server:
    server = start(serve_shared, tmp_path_factory.mktemp("symfony"), mode, require)
    server.wait_applications(4)
    return server


def json_of(answer: Response) -> Any:
    assert answer.status == 200, answer.text[-2000:]
    return json.loads(answer.body)


def states_of(server: Server) -> list[str]:
    return [app["state"] for app in server.status()["workers"][0]["apps"] if app["pid"]]


def test_routes_answer(symfony: Server) -> None:
    answer = symfony.get("/hello")
    assert (answer.get("Content-Type"), json_of(answer)) == ("application/json", {"hello": "world"})
    assert symfony.get("/none").status == 404
    assert symfony.ask("HEAD", "/hello").body == b""


def test_a_request_is_what_the_client_sent(symfony: Server, mode: str) -> None:
    fields = [("X-Test", "1"), ("Cookie", "a=b"), FORM]
    seen = json_of(symfony.ask("POST", "/request?x[]=1&x[]=2", fields, b"one=two"))
    assert (seen["query"], seen["form"]) == ({"x": ["1", "2"]}, {"one": "two"})
    assert (seen["cookies"], seen["test"]) == ({"a": "b"}, "1")
    assert seen["uri"] == "http://test.example/request?x%5B0%5D=1&x%5B1%5D=2"
    assert seen["mode"] == ("web=1&worker=1" if mode == "worker" else None)
    seen = json_of(symfony.get("/request"))
    assert (seen["query"], seen["form"], seen["cookies"], seen["test"]) == ([], [], [], None)


def test_an_exception_is_500_and_the_next_request_is_fine(symfony: Server) -> None:
    assert symfony.get("/fail").status == 500
    assert symfony.get("/hello").status == 200
    assert "on purpose" in symfony.log


def test_a_service_is_reset_between_requests(symfony: Server) -> None:
    assert [json_of(symfony.get(f"/basket?item={n}")) for n in range(8)] == [
        [str(n)] for n in range(8)
    ]


def test_visitors_in_parallel_have_their_own_sessions(symfony: Server) -> None:
    def live(number: int) -> list[Any]:
        first = symfony.get(f"/visit?name=visitor{number}")
        cookie = [("Cookie", f"PHPSESSID={cookie_of(first, 'PHPSESSID')}")]
        return [json_of(symfony.ask("GET", "/visit", cookie)) for _ in range(4)]

    with ThreadPoolExecutor(VISITORS) as pool:
        lives = list(pool.map(live, range(VISITORS)))
    assert lives == [[[f"visitor{n}", visit] for visit in range(2, 6)] for n in range(VISITORS)]


def test_a_streamed_answer_is_streamed_and_a_file_is_whole(symfony: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with symfony.connect() as connection:
        connection.send(build("GET", f"/stream?go={quote(str(go))}"))
        assert connection.receive_head().status == 200
        assert connection.receive_chunk() == b"first\n"
        go.touch()
        assert connection.receive_chunk() == b"second\n"
        assert connection.receive_chunk() == b""
    assert symfony.get("/file").body == (symfony.path / "src/Pages.php").read_bytes()


def test_work_after_an_answer_delays_nobody_and_leaves_nothing_behind(
    serve: Serve, tmp_path: Path, mode: str, require: Callable[[bool, str], None]
) -> None:
    server = start(serve, tmp_path, mode, require, config={"php": {"processes": 2}})
    server.wait_applications(2)
    go, file = tmp_path / "go", tmp_path / "file"
    answer = server.get(f"/after?go={quote(str(go))}&file={quote(str(file))}")
    assert (answer.status, answer.body) == (200, b"answered")
    assert not file.exists(), "the work is still to be done"
    assert [server.get("/hello").status for _ in range(20)] == [200] * 20
    go.touch()
    wait_until("the work is done", file.exists)
    wait_until("both are idle", lambda: states_of(server) == ["idle", "idle"])
    for seen in [json_of(server.get("/request")) for _ in range(8)]:
        assert (seen["precision"], seen["careless"], seen["session"]) == ("14", False, 1)
    cookie = [("Cookie", f"PHPSESSID={cookie_of(answer, 'PHPSESSID')}")]
    visited = json_of(server.ask("GET", "/visit", cookie))
    assert visited == ["nobody", 1], "its session is not locked"


def test_a_worker_that_has_looped_enough_boots_again(
    serve: Serve, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    config = {"php": {"processes": 1}}
    server = start(
        serve, tmp_path, "worker", require, config=config, environment={"FRANKENPHP_LOOP_MAX": "3"}
    )
    [pid] = server.wait_applications(1)
    assert [server.get("/hello").status for _ in range(10)] == [200] * 10
    assert server.wait_applications(1) == [pid], "the script ended, not the process"
