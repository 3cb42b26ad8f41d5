# SPDX-License-Identifier: MIT
"""`askrctl top` on a terminal, on a server with a request that does not end."""

import json
import mmap
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.client import Connection, build
from system.conftest import Serve, copy_app
from system.harness import COMMAND, Server, run, wait_until
from system.terminal import Terminal

from askrctl.server import control

STUCK = "/stuck/sleep"
PROCESSES = 2
CALM = {"php": {"processes": PROCESSES, "slow": 0}, "timeouts": {"request": 600.0}}


@pytest.fixture(scope="module")
def server(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker, two processes, one of them stuck."""
    server = serve_shared(copy_app("matrix", tmp_path_factory.mktemp("top")), config=CALM)
    server.wait_applications(PROCESSES)
    with Connection(server.address) as connection:
        connection.send(build("GET", STUCK))
        wait_until("a process is stuck", lambda: stuck_pid(server))
        yield server


def stuck_pid(server: Server) -> int:
    apps = server.status()["workers"][0]["apps"]
    return next((app["pid"] for app in apps if app["since_ms"] and app["path"] == STUCK), 0)


def top(server: Server, *options: str, columns: int = 80, lines: int = 24) -> Terminal:
    command = [COMMAND, "top", "--control", server.control, "--interval", "0.2", *options]
    return Terminal(command, columns, lines)


def test_an_operator_finds_what_is_stuck_and_where(server: Server, backend: str) -> None:
    pid = stuck_pid(server)
    with top(server, "--sort", "age") as terminal:
        lines = terminal.wait_for(f"GET {STUCK}", backend, str(pid))
        assert len(lines) == 24
        terminal.type("j")
        terminal.wait_for("▶ 0.")
        terminal.type("b")
        terminal.wait_for("asked after", f"GET {STUCK}", "sleep()", "stuck.php:")
        terminal.type("\x1b")
        terminal.wait_for("▶ 0.")
        terminal.resize(40, 12)
        wait_until("the screen is smaller", lambda: is_size(terminal, 40, 12))
        assert any(f"GET {STUCK}"[:10] in line for line in terminal.screen())
        terminal.resize(160, 50)
        wait_until("the screen is larger", lambda: is_size(terminal, 160, 50))
        terminal.type("q")
        assert terminal.wait_end() == 0
        assert terminal.is_restored()


def is_size(terminal: Terminal, columns: int, lines: int) -> bool:
    terminal.read(0.1)
    screen = terminal.screen()
    titles = [line for line in screen if line.startswith(" proc")]
    return len(screen) == lines and [len(line) for line in titles] == [columns]


def test_a_process_is_recycled_and_a_worker_drained(serve: Serve, tmp_path: Path) -> None:
    server = serve(copy_app("matrix", tmp_path), config=CALM)
    first, second = server.wait_applications(PROCESSES)
    worker = server.workers()[0]
    with top(server, "--filter", str(first)) as terminal:
        terminal.wait_for(str(first))
        terminal.type("jr")
        terminal.wait_for(f"(pid {first})", "y/n")
        terminal.type("y")
        wait_until("another process serves", lambda: first not in server.applications())
        assert second in server.applications()  # and this one alone
        terminal.type(f"\x1b/{worker}\r")
        terminal.wait_for("filter", str(worker))
        terminal.type("jdy")
        wait_until("another worker serves", lambda: worker not in server.workers())
    assert f"event=worker_drains worker=0 pid={worker}" in server.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(server: Server, number: signal.Signals) -> None:
    with top(server) as terminal:
        terminal.wait_for(STUCK)
        terminal.process.send_signal(number)
        assert terminal.wait_end() == 128 + number
        assert terminal.is_restored()


def test_it_waits_for_a_server_that_has_gone(serve: Serve, tmp_path: Path) -> None:
    first = serve(copy_app("matrix", tmp_path), config=CALM)
    with top(first) as terminal:
        terminal.wait_for(f"pid {first.process.pid}")
        first.stop()
        terminal.wait_for("the server has ended; waiting for it to come back")
        second = Server(first.path, first.folder, first.options, CALM)
        second.start()
        try:
            terminal.wait_for(f"pid {second.process.pid}")
            terminal.type("q")
            assert terminal.wait_end() == 0
        finally:
            second.stop()


def test_it_sees_a_server_whose_processes_are_all_stopped(server: Server) -> None:
    """From shared memory: nobody of the server has to answer, once it has been found."""
    with top(server, "--sort", "age") as terminal:
        terminal.wait_for(STUCK)
        worker = server.workers()[0]
        os.kill(server.process.pid, signal.SIGSTOP)
        os.kill(worker, signal.SIGSTOP)
        try:
            terminal.wait_for("silent", f"GET {STUCK}")
        finally:
            os.kill(worker, signal.SIGCONT)
            os.kill(server.process.pid, signal.SIGCONT)


def test_off_a_terminal_it_prints_once(server: Server) -> None:
    done = run("top", "--control", server.control, "--interval", "0.1", "--busy")
    assert done.returncode == 0 and f"GET {STUCK}" in done.stdout and "\x1b" not in done.stdout
    done = run("top", "--control", server.control, "--interval", "0.1", "--json", "--filter", STUCK)
    board = json.loads(done.stdout)
    assert board["schema"] == "askr.top/1"
    assert [row["pid"] for row in board["rows"]] == [stuck_pid(server)]


def test_the_memory_is_read_only(server: Server) -> None:
    _, fd = control.ask_view(server.control)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
        with pytest.raises(PermissionError):
            mmap.mmap(fd, 4096)
    finally:
        os.close(fd)


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    done = run("top", "--control", tmp_path / "none.sock")
    assert done.returncode == 1
    assert "no server answers on" in done.stderr
    done = run("top", "--control", tmp_path / "none.sock", "--sort", "colour")
    assert done.returncode == 2 and "it can be process" in done.stderr
