# SPDX-License-Identifier: MIT
"""The queue in front of PHP: 503 when it is full or too slow, 504 for the script that is."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from system.client import build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

ONE = {"processes": 1}
QUEUE = 4


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copy_app("matrix", tmp_path)


@contextmanager
def busy(server: Server, folder: Path) -> Iterator[Path]:
    """Keep the only application process busy until the file that is given exists."""
    started, go = folder / "started", folder / "go"
    with server.connect() as connection:
        target = f"/hold?started={quote(str(started))}&go={quote(str(go))}"
        connection.send(build("GET", target))
        wait_until("the script runs", started.exists)
        yield go
        go.touch()


def queued(server: Server) -> int:
    """Requests that wait: in the queue, or handed to the process behind the running one."""
    [worker] = server.status()["workers"]
    return int(worker["queue_depth"] + worker["inflight"] - 1)


def test_a_full_queue_is_503_with_retry_after(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, config={"php": ONE, "limits": {"queue": QUEUE}})
    with busy(server, tmp_path) as go, ThreadPoolExecutor(32) as pool:
        waiting = [pool.submit(server.get, "/hello") for _ in range(32)]
        wait_until("some are refused", lambda: any(future.done() for future in waiting))
        go.touch()
        answers = [future.result() for future in waiting]
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {200, 503}
    assert all(answer.get("Retry-After") for answer in refused)
    assert len(answers) - len(refused) >= QUEUE
    assert server.status()["workers"][0]["queue_full"] == len(refused)


def test_waiting_too_long_in_the_queue_is_503(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, config={"php": ONE, "timeouts": {"queue": 0.3}})
    with busy(server, tmp_path):
        answer = server.get("/hello")
        assert (answer.status, bool(answer.get("Retry-After"))) == (503, True)
    wait_until("it serves again", lambda: server.get("/hello").status == 200)


def test_a_script_that_takes_too_long_is_504_and_stopped(
    serve: Serve, app: Path, tmp_path: Path
) -> None:
    server = serve(app, config={"php": ONE, "timeouts": {"request": 0.5}})
    [before] = server.wait_applications(1)
    with server.connect() as connection:
        never = quote(str(tmp_path / "never"))
        started = quote(str(tmp_path / "started"))
        assert connection.ask("GET", f"/hold?started={started}&go={never}").status == 504
    answer = server.get("/pid")  # in front of which the script has to end
    assert (answer.status, answer.body) == (200, str(before).encode())


def test_static_files_do_not_wait_for_php(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = serve(app, config={"php": ONE})
    with busy(server, tmp_path):
        assert server.get("/robots.txt").status == 200


def test_a_client_that_leaves_the_queue_costs_nothing(
    serve: Serve, app: Path, tmp_path: Path
) -> None:
    server = serve(app, config={"php": ONE})
    with busy(server, tmp_path):
        with server.connect() as impatient:
            impatient.send(build("GET", f"/finish?file={quote(str(tmp_path / 'ran'))}&go=/"))
            wait_until("it is queued", lambda: queued(server) >= 1)
        wait_until("it is forgotten", lambda: queued(server) == 0)
    assert server.get("/hello").status == 200
    assert not (tmp_path / "ran").exists()


def test_a_slow_upload_holds_no_process(serve: Serve, app: Path) -> None:
    server = serve(app, config={"php": ONE})
    with server.connect() as slow:
        slow.send(build("POST", "/input", [("Content-Length", "100000")]) + b"x" * 50_000)
        assert server.get("/hello").status == 200
        slow.send(b"x" * 50_000)
        assert slow.receive().status == 200


def test_a_slow_download_holds_no_process(serve: Serve, app: Path) -> None:
    server = serve(app, config={"php": ONE})
    with server.connect() as slow:
        slow.send(build("GET", "/large?size=20000000"))
        slow.receive_head()
        assert server.get("/hello").status == 200
