# SPDX-License-Identifier: MIT
"""io_uring that is blocked or not built never stops a server: epoll, one line, the same reason
everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from system.harness import ROOT, Server, run

# errno of a seccomp filter -> the reason code that log, status and doctor must agree on.
REASONS = {
    "EPERM": "seccomp_eperm",
    "ENOSYS": "seccomp_enosys",
    "ENOMEM": "enomem",
    "EACCES": "seccomp_eacces",
}
CALLS = ("io_uring_setup", "io_uring_enter", "io_uring_register")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.txt").write_text("hello")
    return tmp_path


def filtered(error: str, *calls: str) -> list[str]:
    words = [f"{call}={error}" for call in calls or CALLS]
    return [sys.executable, str(ROOT / "tests/seccomp.py"), *words, "--"]


Start = Callable[..., Server]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """`start(*flags, **fields of Server)`; stopped at the end."""
    servers: list[Server] = []

    def start_one(*options: str, **more: Any) -> Server:
        server = Server(folder, folder / "server", ["--workers", "1", *options], **more)
        servers.append(server)
        server.start()
        return server

    yield start_one
    for server in servers:
        server.stop()


def check_fallback(server: Server, reason: str) -> None:
    server.wait_ready()
    assert server.get("/hello.txt").body == b"hello"
    backend = server.status()["io_backend"]
    assert (backend["requested"], backend["active"]) == ("io_uring", "epoll")
    assert backend["reason"] == reason
    lines = [line for line in server.log.splitlines() if reason in line]
    assert len(lines) == 1, server.log
    assert "epoll" in lines[0]


@pytest.mark.parametrize("error", REASONS)
def test_a_blocked_io_uring_falls_back_and_says_why(start: Start, error: str) -> None:
    server = start("--io-backend", "io_uring", wrapper=filtered(error))
    check_fallback(server, REASONS[error])


@pytest.mark.parametrize("error", REASONS)
def test_doctor_names_the_same_reason(error: str) -> None:
    command = [*filtered(error), sys.executable, "-m", "askrctl", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    [setup] = [result for result in report["results"] if result["id"] == "iouring.setup"]
    assert setup["reason"] == report["io_uring"]["cause"] == REASONS[error]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("io_uring_setup", "EPERM"),
        ("io_uring_setup", "ENOSYS"),
        ("io_uring_setup", "EACCES"),
        ("io_uring_enter", "EPERM"),
    ],
)
def test_a_filter_on_one_call_has_the_same_reason(start: Start, call: str, error: str) -> None:
    """A lockdown after the start forbids setup only; a profile of one's own may forget enter."""
    server = start("--io-backend", "io_uring", wrapper=filtered(error, call))
    check_fallback(server, REASONS[error])
    assert call in server.log and error in server.log


def test_auto_is_epoll_without_a_record(start: Start) -> None:
    server = start()
    server.wait_ready()
    backend = server.status()["io_backend"]
    assert (backend["requested"], backend["active"]) == ("auto", "epoll")


@pytest.fixture(scope="session")
def without_liburing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package built without liburing, in a folder of its own."""
    target = tmp_path_factory.mktemp("no-liburing")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    settings = "build-dir=build/no-liburing-wheel", "setup-args=-Dliburing=off"
    build = [f"--config-settings={setting}" for setting in settings]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*pip, *build, "--target", str(target), "."],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_a_build_without_liburing_serves_on_epoll(start: Start, without_liburing: Path) -> None:
    environment = {"PYTHONPATH": str(without_liburing)}
    server = start("--io-backend", "io_uring", environment=environment)
    check_fallback(server, "not_built")
    doctor = run("doctor", "--json", env={**os.environ, **environment})
    assert json.loads(doctor.stdout)["results"], "every command works"
