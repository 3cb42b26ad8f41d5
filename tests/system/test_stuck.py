# SPDX-License-Identifier: MIT
"""Requests that do not end: the client is answered, the slow log names the line, nobody else waits.

All ways to be stuck at once, in classic and worker mode, while other requests go on.
"""

import fcntl
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from system.client import Response
from system.conftest import Serve, copy_app
from system.harness import APPS, Server, alive, run, wait_until
from system.load import Steady

SCRIPT = APPS / "matrix/stuck.php"
# PHP's own stop ends these; the others need a kill.
STOPPED = {"loop", "sleep", "flock"}
KILLED = {"read", "exec", "regex"}
PROCESSES = len(STOPPED | KILLED) + 4
HASTY = {
    "timeouts": {"request": 1.5},
    "php": {"processes": PROCESSES, "slow": 0.5, "kill_grace": 0.5},
}


@dataclass(frozen=True, slots=True)
class Traps:
    """What the stuck requests wait for."""

    port: int
    lock: Path

    def target(self, name: str) -> str:
        return f"/stuck/{name}?port={self.port}&file={quote(str(self.lock))}"


@pytest.fixture
def traps(tmp_path: Path) -> Iterator[Traps]:
    lock = tmp_path / "lock"
    with socket.create_server(("127.0.0.1", 0)) as silent, lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Traps(silent.getsockname()[1], lock)


def start(serve: Serve, tmp_path: Path, mode: str, config: Any = None) -> Server:
    app = copy_app("matrix", tmp_path)
    options = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    return serve(app, *options, config=config or HASTY)


def entries(server: Server) -> list[dict[str, Any]]:
    done = run("slowlog", "--json", "--lines", "100", "--control", server.control)
    found: list[dict[str, Any]] = json.loads(done.stdout)["entries"]
    return found


def line_of(name: str) -> int:
    lines = SCRIPT.read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.endswith(f"here: {name}"))


def entry_of(server: Server, name: str, event: str) -> dict[str, Any] | None:
    return next(
        (
            entry
            for entry in entries(server)
            if entry["event"] == event and entry["request"] == f"GET /stuck/{name}"
        ),
        None,
    )


def children_of(entry: dict[str, Any]) -> list[int]:
    return [int(child.split()[0]) for child in entry["forensics"]["children"]]


def test_whatever_is_stuck_is_answered_named_and_replaced(
    serve: Serve, tmp_path: Path, mode: str, traps: Traps
) -> None:
    server = start(serve, tmp_path, mode)
    before = server.wait_applications(PROCESSES)
    names = sorted(STOPPED | KILLED)
    with Steady(server.address, "/hello", count=2) as steady, ThreadPoolExecutor(8) as pool:
        waiting = {name: pool.submit(server.get, traps.target(name)) for name in names}
        answers: dict[str, Response] = {name: got.result() for name, got in waiting.items()}
        killed = {
            name: wait_until(f"{name} is killed", lambda it=name: entry_of(server, it, "killed"))
            for name in sorted(KILLED)
        }
        gone = {entry["pid"] for entry in killed.values()}
        wait_until("they are gone", lambda: not [pid for pid in gone if alive(pid)])
        after = wait_until("the pool is whole", lambda: whole(server, gone))
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(names, 504)
    assert steady.failed == {}
    assert len(gone) == len(KILLED)
    assert set(before) - set(after) == gone, "whoever can be stopped is not killed"
    for name in names:
        entry = entry_of(server, name, "slow")
        assert entry is not None, name
        lines = [frame for frame in entry["trace"] if f"stuck_{name}()" in frame]
        assert len(lines) == 1, entry
        assert lines[0].endswith(f"stuck.php:{line_of(name)}")
    check_facts(killed, traps, server)


def whole(server: Server, gone: set[int]) -> list[int]:
    pids = server.applications()
    return pids if len(pids) == PROCESSES and not gone & set(pids) else []


def check_facts(killed: dict[str, dict[str, Any]], traps: Traps, server: Server) -> None:
    [slept] = killed["exec"]["forensics"]["children"][-1:]
    assert "sleep 60" in slept
    wait_until("what it ran is gone", lambda: not any(map(alive, children_of(killed["exec"]))))
    assert any(
        f"127.0.0.1:{traps.port} established" in item
        for item in killed["read"]["forensics"]["sockets"]
    )
    assert killed["regex"]["forensics"]["state"] == "R"
    locked = entry_of(server, "flock", "slow")
    assert locked is not None
    assert any(
        f"waits for flock write {traps.lock}" in item for item in locked["forensics"]["locks"]
    )


@pytest.mark.parametrize(("name", "statuses"), [("recursion", {500, 502}), ("memory", {500})])
def test_running_out_of_stack_or_memory_costs_one_request(
    serve: Serve, tmp_path: Path, mode: str, name: str, statuses: set[int]
) -> None:
    server = start(serve, tmp_path, mode, {"php": {"processes": 2}})
    server.wait_applications(2)
    with Steady(server.address, "/hello", count=2) as steady:
        assert server.get(f"/stuck/{name}").status in statuses
        server.wait_applications(2)
    assert steady.failed == {}
    assert server.get("/hello").status == 200


def test_the_slow_log_is_a_file_too_and_readable_text(
    serve: Serve, tmp_path: Path, traps: Traps
) -> None:
    file = tmp_path / "slow.jsonl"
    server = start(serve, tmp_path, "classic", HASTY | {"php": {"slow": 0.2, "slowlog": str(file)}})
    assert server.get(traps.target("sleep")).status == 504
    wait_until("it is noted", lambda: file.exists() and file.read_text().endswith("\n"))
    [entry] = [json.loads(line) for line in file.read_text().splitlines()]
    assert (entry["event"], entry["request"]) == ("slow", "GET /stuck/sleep")
    text = run("slowlog", "--control", server.control).stdout
    assert f"stuck.php:{line_of('sleep')}" in text
    assert "Matrix\\stuck_sleep()" in text
    assert str(traps.lock) not in text, "a query stays private"


def test_a_server_without_slow_requests_says_so(serve: Serve, tmp_path: Path) -> None:
    server = start(serve, tmp_path, "classic")
    assert server.get("/hello").status == 200
    assert run("slowlog", "--control", server.control).stdout == "no request has been slow\n"
