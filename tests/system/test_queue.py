# SPDX-License-Identifier: MIT
"""The queue in front of PHP: 503 when it is full or too slow, 504 for the script that is."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote

import pytest
from system.client import Connection, ask, build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

ONE = {"processes": 1}
QUEUE = 4
TOKEN = "a-token-of-this-test-only"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copy_app("matrix", tmp_path)


@contextmanager
def busy(server: Server, folder: Path, through: Connection | None = None) -> Iterator[Path]:
    """Keep the only application process of the worker busy until the file that is given exists."""
    started, go = folder / "started", folder / "go"
    with nullcontext(through) if through else server.connect() as connection:
        target = f"/hold?started={quote(str(started))}&go={quote(str(go))}"
        connection.send(build("GET", target))
        wait_until("the script runs", started.exists)
        yield go
        go.touch()


def queued(server: Server) -> int:
    """Requests that wait: in the queue, or handed to the process behind the running one."""
    [worker] = server.status()["workers"]
    return int(worker["queue_depth"] + worker["inflight"] - 1)


def answered(server: Server) -> tuple[int, int]:
    """By the application, and by the server itself."""
    [url] = server.status()["admin"]
    address = "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])
    fields = [("Authorization", f"Bearer {TOKEN}")]
    histograms = json.loads(ask(address, "GET", "/api/metrics", fields).body)["histograms"]
    app, own = (sum(count for _, count in histograms[name]) for name in ("app", "self"))
    return app, own


def test_a_full_queue_is_503_with_retry_after(serve: Serve, app: Path, tmp_path: Path) -> None:
    admin = {"listen": ["127.0.0.1:0"], "token": TOKEN}
    server = serve(app, config={"php": ONE, "limits": {"queue": QUEUE}, "admin": admin})
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
    served = len(answers) - len(refused) + 1  # the one that kept it busy
    wait_until("each counts for who answered", lambda: answered(server) == (served, len(refused)))


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


IDLE = 20  # connections of the worker that has nothing to do: many more than the other one's
NEW = 40
# Without regard to the queue the numbers of connections would have to be equal first: 19 or so.
SERVED_MIN = 32


def test_new_connections_go_to_the_worker_whose_application_is_idle(
    serve: Serve, app: Path, tmp_path: Path
) -> None:
    server = serve(app, "--workers", "2", config={"php": ONE})
    server.wait_applications(2)
    with ExitStack() as opened:
        stuck = connections_to_one_worker(server, opened)
        with busy(server, tmp_path, stuck[0]) as go, ThreadPoolExecutor(NEW) as pool:
            stuck[1].send(build("GET", "/hello"))
            wait_until("it waits", lambda: server.status()["totals"]["queue_depth"] == 1)
            asked = [pool.submit(server.get, "/hello") for _ in range(NEW)]
            wait_until("most are served", lambda: sum(f.done() for f in asked) >= SERVED_MIN)
            go.touch()
            assert {future.result().status for future in asked} == {200}


def connections_to_one_worker(server: Server, opened: ExitStack) -> list[Connection]:
    """Two of one worker; the other one gets IDLE of them."""
    connections: dict[int, list[Connection]] = {}
    while len(connections) < 2 or min(map(len, connections.values())) < IDLE:
        connection = opened.enter_context(server.connect())
        pid = int(connection.ask("GET", "/pid").text)
        connections.setdefault(pid, []).append(connection)
    few = next(iter(connections.values()))
    while len(few) > 2:
        few.pop().stream.close()
    return few


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
