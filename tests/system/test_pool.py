# SPDX-License-Identifier: MIT
"""How many processes there are, and how they are replaced: nobody waits for it, nothing is lost."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from system.client import Connection, build
from system.conftest import Serve, copy_app
from system.harness import Server, alive, wait_until
from system.load import Steady

MIB = 1 << 20


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return copy_app("matrix", tmp_path)


def start(serve: Serve, app: Path, mode: str = "worker", **php: Any) -> Server:
    options = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    return serve(app, *options, config={"php": php})


def hold(connection: Connection, folder: Path, name: str) -> Path:
    """Keep a process busy until the returned file exists."""
    started, go = folder / f"{name}.started", folder / f"{name}.go"
    connection.send(build("GET", f"/hold?started={quote(str(started))}&go={quote(str(go))}"))
    wait_until("the script runs", started.exists)
    return go


def rss(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def deaths(server: Server) -> int:
    return sum(worker["app_deaths"] for worker in server.status()["workers"])


def test_replacing_processes_under_load_fails_no_request(
    serve: Serve, app: Path, mode: str
) -> None:
    server = start(serve, app, mode, processes=2, max_requests=60)
    server.wait_applications(2)
    with Steady(server.address, "/pid") as steady:
        while server.log.count("event=app_recycled") < 6:
            assert server.process.poll() is None
            assert server.applications(), "somebody serves at any time"
    assert steady.failed == {}
    assert steady.results["200"] >= 6 * 60 * 0.9
    assert len(set(re.findall(r"app_recycled worker=0 pid=(\d+)", server.log))) >= 6
    assert deaths(server) == 0, "leaving is no death"


def test_the_replacement_serves_before_the_old_process_goes(
    serve: Serve, app: Path, tmp_path: Path
) -> None:
    server = start(serve, app, processes=1, max_requests=1)
    [old] = server.wait_applications(1)
    assert server.get("/pid").body == str(old).encode()
    with server.connect() as held:
        pid = int(server.get("/pid").body)
        go = hold(held, tmp_path, "held")
        new = wait_until("another serves", lambda: int(server.get("/pid").body) != pid)
        assert new
        go.touch()
        answer = held.receive()
    assert (answer.status, answer.body[:5]) == (200, b"held ")
    held_by = int(answer.body[5:])
    wait_until("it has left", lambda: not alive(held_by))
    assert deaths(server) == 0


@pytest.mark.parametrize("limit", [{"max_rss": 90 * MIB}, {"max_leak": 2048}])
def test_a_leak_is_bounded_and_nobody_notices(
    serve: Serve, app: Path, limit: dict[str, int]
) -> None:
    ini = ["memory_limit=1G"]
    server = start(serve, app, processes=1, memory_samples=1, ini=ini, **limit)
    [first] = server.wait_applications(1)
    size = 20_000 if "max_rss" in limit else 8_000
    with Steady(server.address, f"/leak?size={size}", count=2) as steady:
        wait_until("it is replaced", lambda: not alive(first), 60)
    assert steady.failed == {}
    [last] = server.wait_applications(1)
    assert rss(last) < 250 * MIB
    assert "event=app_recycled" in server.log


def test_the_pool_grows_while_requests_wait_and_shrinks_when_idle(
    serve: Serve, app: Path, tmp_path: Path
) -> None:
    server = start(
        serve, app, "classic", processes=1, processes_max=4, grow_after=0.05, idle_ttl=0.5
    )
    server.wait_applications(1)
    assert server.get("/hello").status == 200
    with ThreadPoolExecutor(4) as pool:
        connections = [server.connect() for _ in range(4)]
        gates = [pool.submit(hold, each, tmp_path, str(at)) for at, each in enumerate(connections)]
        files = [gate.result() for gate in gates]  # all four run at once
        assert len(server.applications()) == 4
        for file in files:
            file.touch()
        pids = {connection.receive().body for connection in connections}
    assert len(pids) == 4
    assert server.get("/hello").status == 200
    server.wait_applications(1)
    assert server.log.count("event=pool_resized") == 6
    assert deaths(server) == 0


def test_a_pool_does_not_grow_past_its_maximum(serve: Serve, app: Path, tmp_path: Path) -> None:
    server = start(serve, app, "classic", processes=1, processes_max=2, grow_after=0.01)
    server.wait_applications(1)
    with server.connect() as one, server.connect() as two, ThreadPoolExecutor(4) as pool:
        first = hold(one, tmp_path, "one")
        second = hold(two, tmp_path, "two")
        waiting = [pool.submit(server.get, "/hello") for _ in range(4)]
        wait_until("they wait", lambda: server.status()["workers"][0]["queue_depth"] == 4)
        first.touch()
        assert [each.result().status for each in waiting] == [200] * 4
        second.touch()
        assert {one.receive().status, two.receive().status} == {200}
    assert server.log.count("event=pool_resized") == 1
