# SPDX-License-Identifier: MIT
"""The supervisor's loop and its talk with children: whatever comes, it goes on."""

import logging
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from askrctl.cli.slowlog import text_of
from askrctl.config import url_path
from askrctl.model import AskrError
from askrctl.server import control, wire
from askrctl.server.loop import Loop
from askrctl.server.zygote import is_child, parent_of, pid_of


def test_a_callback_that_raises_is_told_and_the_loop_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = Loop()
    loop.call_later(0, lambda: {}["nothing"])
    loop.call_later(0, loop.stop)
    with caplog.at_level(logging.ERROR, "askrctl"):
        loop.run()
    [record] = caplog.records
    assert "event=supervisor_fault" in record.getMessage()
    assert "KeyError" in record.getMessage()
    assert "test_supervision.py" in record.getMessage()


def test_a_number_that_is_used_again_in_the_same_turn_is_not_called_for_the_old_one() -> None:
    loop = Loop()
    calls: list[str] = []
    pairs = [socket.socketpair() for _ in range(2)]
    for _, theirs in pairs:
        theirs.send(b"x")
    fds = [ours.fileno() for ours, _ in pairs]

    def take_over(fd: int) -> None:
        calls.append(f"old {fd}")
        other = next(item for item in fds if item != fd)
        loop.remove(other)
        loop.add(other, lambda: calls.append("new"))
        loop.remove(fd)
        loop.call_later(0, loop.stop)

    for fd in fds:
        loop.add(fd, lambda fd=fd: take_over(fd))
    loop.run()
    assert len([name for name in calls if name.startswith("old")]) == 1
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("wanted", [0, 1])
def test_descriptors_that_nobody_asked_for_are_not_kept(wanted: int) -> None:
    ours, theirs = wire.pair()
    message = wire.Message(wire.Zygote.FORKED, fds=(0, 0, 0, 0))
    assert wire.send(theirs, message)
    before = open_fds()
    received = wire.receive(ours, wanted)
    assert received is not None
    assert received.kind == wire.Zygote.FORKED
    assert len(received.fds) == wanted == len(open_fds() - before)
    for fd in received.fds:
        os.close(fd)
    ours.close()
    theirs.close()


def test_a_pidfd_tells_whose_it_is() -> None:
    pidfd = os.pidfd_open(os.getpid())
    assert pid_of(pidfd) == os.getpid()
    os.close(pidfd)
    child = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(child)
    assert parent_of(child) == os.getpid()
    os.waitpid(child, 0)
    assert pid_of(pidfd) == -1
    assert parent_of(child) == -1
    assert parent_of(1) == 0, "no zygote's child, and not gone either"
    os.close(pidfd)
    assert pid_of(0) == 0


def test_a_zygote_cannot_name_a_process_that_is_not_its_child() -> None:
    ours = os.getpid()
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    pidfd, of_init, of_us = os.pidfd_open(child), os.pidfd_open(1), os.pidfd_open(ours)
    assert is_child(child, pidfd, ours)
    assert not is_child(1, of_init, ours)
    assert not is_child(child, of_init, ours), "another's pidfd under a child's number"
    assert not is_child(ours, of_us, ours)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_child(1, pidfd, ours), "a dead pidfd makes nobody a child"
    assert is_child(child, pidfd, ours), "it may die before we hear of it"
    for fd in (pidfd, of_init, of_us):
        os.close(fd)


@pytest.mark.parametrize("path", ["up", "/a b", "/\r\nX: y", "/\ud800", "/ü"])
def test_what_is_no_path_is_not_asked_of_a_new_generation(path: str) -> None:
    with pytest.raises(ValueError, match="a path such as"):
        url_path(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_a_control_folder_of_somebody_else_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tmp_path, 65534, 65534)
    monkeypatch.setattr(control, "folder", lambda: tmp_path)
    with pytest.raises(AskrError, match="belongs to another user"):
        control.find("")
    with pytest.raises(AskrError, match="belongs to another user"):
        control.ControlServer(tmp_path / "control.sock")


def test_control_clients_that_say_nothing_make_room_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT_S", 0.05)
    loop = Loop()
    server = control.ControlServer(tmp_path / "control.sock")

    def answer(request: dict[str, Any], _: list[int]) -> dict[str, Any]:
        loop.stop()
        return {"ok": request["command"]}

    def ask_after(silent: list[socket.socket]) -> dict[str, Any]:
        assert [client.recv(1) for client in silent] == [b""] * len(silent)
        return control.ask(server.path, "stop")

    server.open(loop, answer)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(control.CLIENTS_MAX)
        ]
        for client in silent:
            client.settimeout(30)
            client.connect(str(server.path))
        asked = stack.enter_context(ThreadPoolExecutor(1)).submit(ask_after, silent)
        loop.run()
        assert asked.result() == {"ok": "stop"}
    server.close()


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"", b"[" * 100_000, b'{"workers": 3}'])
def test_what_is_no_answer_of_ours_is_one_sentence(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            end, _ = listener.accept()
            with end:
                end.recv(4096)
                end.sendall(answer + b"\n")

        with ThreadPoolExecutor(1) as pool:
            served = pool.submit(serve)
            with pytest.raises(AskrError) as caught:
                control.ask(path, "status")
            served.result()
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_name_in_the_slow_log_cannot_steer_the_terminal() -> None:
    facts: dict[str, object] = {"state": "S", "wchan": "", "syscall": ""}
    facts |= {name: [] for name in ("sockets", "locks", "children", "stack")}
    entry = {"time": "now", "event": "slow", "seconds": 1.0, "request": "GET /", "worker": 0}
    entry |= {"pid": 1, "trace": ["\x1b]0;title\x07() a.php:1"], "forensics": facts}
    assert "\x1b" not in text_of(entry)


def test_a_full_disk_is_told_and_not_traced() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "askrctl", "tune", "keys"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode != 0
    assert "cannot write" in done.stderr
