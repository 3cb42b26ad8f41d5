# SPDX-License-Identifier: MIT
"""`askrctl status` tells what is running, as text and as JSON."""

import time
from datetime import datetime
from pathlib import Path

import pytest
from system.conftest import Serve, copy_app
from system.harness import Server, children, run


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    server = serve(copy_app("matrix", tmp_path), "--workers", "2")
    server.wait_applications(8)
    return server


def test_json_names_backend_workers_and_application_processes(server: Server, backend: str) -> None:
    status = server.status()
    assert status["io_backend"]["requested"] == backend
    assert status["io_backend"]["active"] == backend
    assert status["io_backend"]["reason"]
    workers = status["workers"]
    assert {worker["pid"] for worker in workers} <= set(children(server.process.pid))
    assert [len(worker["apps"]) for worker in workers] == [4, 4]
    assert abs(datetime.fromisoformat(status["time"]).timestamp() - time.time()) < 60
    assert all(worker["queue_wait_s"] == 0 < worker["heartbeat_age_s"] for worker in workers)


def test_counters_count(server: Server) -> None:
    before = sum(worker["requests"] for worker in server.status()["workers"])
    for _ in range(10):
        assert server.get("/hello").status == 200
    after = sum(worker["requests"] for worker in server.status()["workers"])
    assert after - before == 10


def test_text_has_the_pids_and_the_backend(server: Server, backend: str) -> None:
    done = run("status", "--control", server.control)
    assert done.returncode == 0
    assert backend in done.stdout
    for pid in server.workers():
        assert str(pid) in done.stdout
