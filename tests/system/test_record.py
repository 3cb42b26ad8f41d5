# SPDX-License-Identifier: MIT
"""`askrctl record` on a server that runs, and `askrctl replay` of what it wrote."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from system import harness
from system.conftest import Serve
from system.harness import COMMAND, Server, run

from askrctl.model import AskrError
from askrctl.server import control
from askrctl.traffic import datagram
from askrctl.traffic.file import Recorded, read

SECONDS = 60.0  # for anything to happen, on a machine that does other things as well
SCRIPT = """<?php
if ($_SERVER['REQUEST_URI'] === '/version') { readfile(__DIR__ . '/.version'); exit; }
setcookie('sid', 'geheim-4711');
echo $_SERVER['REQUEST_METHOD'], ' ', $_SERVER['REQUEST_URI'], ' ';
echo file_get_contents('php://input');
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    (folder / "index.php").write_text(SCRIPT)
    (folder / ".version").write_text("one")
    (folder / "hello.txt").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def server(serve_shared: Serve, app: Path) -> Server:
    """One for all of them: each test ends the recording that it began."""
    return serve_shared(app)


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    harness.wait_until(what, condition, SECONDS)


class Recording:
    """A running `askrctl record`."""

    def __init__(self, server: Server, path: Path, *options: str) -> None:
        self.path = path
        self.server = server
        self.begun = begun(server)
        self.before = sent(server)
        command = [COMMAND, "record", str(path), "--control", str(server.control), "--json"]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        wait_until("it records", lambda: begun(server) > self.begun)

    def finish(self) -> tuple[dict[str, Any], Recorded]:
        """End it as Ctrl-C does: what it says, and what it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, output
        wait_until("the server has noticed", lambda: ended(self.server) == begun(self.server))
        return json.loads(output), read(self.path)

    def wait_records(self, count: int) -> None:
        """Until the workers have sent them; what was sent before the end is written."""
        wait_until("they are sent", lambda: sent(self.server) == self.before + count)


def begun(server: Server) -> int:
    return server.log.count("event=recording_started")


def ended(server: Server) -> int:
    return server.log.count("event=recording_ended")


def sent(server: Server, name: str = "records") -> int:
    return sum(worker[name] for worker in server.status()["workers"])


def test_requests_are_recorded_without_their_secrets(
    server: Server, app: Path, tmp_path: Path
) -> None:
    recording = Recording(server, tmp_path / "file")
    server.ask("GET", "/a?token=geheim-4711", [("Cookie", "sid=geheim-4711")])
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    server.ask("POST", "/login", form, b"user=me&password=geheim-4711")
    server.get("/hello.txt")
    recording.wait_records(3)
    said, recorded = recording.finish()
    assert (said["records"], said["lost"], said["ended"]) == (3, 0, "interrupted")
    assert [item.request.target for item in recorded.exchanges] == [
        *("/a?token=redacted", "/login", "/hello.txt")
    ]
    assert recorded.exchanges[1].request.body.content == b"user=me&password=redacted"
    assert recorded.header.application == str(app)
    assert "geheim" not in (tmp_path / "file").read_text()
    before = sent(server)
    server.get("/hello.txt")
    assert sent(server) == before


def test_a_bounded_recording_ends_by_itself_and_the_next_may_begin(
    server: Server, tmp_path: Path
) -> None:
    first = Recording(server, tmp_path / "first", "--count", "2", "--one-in", "2")
    with pytest.raises(AskrError, match="records already"), recording_by_hand(server):
        pass
    for number in range(4):
        server.get(f"/hello.txt?{number}")
    assert first.process.wait(60) == 0
    said, recorded = first.finish()
    assert [item.request.target for item in recorded.exchanges] == ["/hello.txt?0", "/hello.txt?2"]
    assert "as many" in said["ended"]
    with recording_by_hand(server):
        pass


@contextmanager
def recording_by_hand(server: Server) -> Iterator[socket.socket]:
    """Our end of a recording that no `askrctl record` takes part in."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SECONDS)
    with ours:
        with theirs:
            control.ask(server.control, "record", fds=[theirs.fileno()], rate=10000)
        yield ours
    wait_until("the server has noticed", lambda: ended(server) == begun(server))


def test_a_recording_goes_on_with_the_workers_of_a_reload(server: Server) -> None:
    with recording_by_hand(server) as end:
        before = server.workers()
        server.signal(signal.SIGHUP)
        wait_until("the new workers serve", lambda: not set(before) & set(server.workers()))
        server.get("/hello.txt?after")
        found = datagram.parse(end.recv(datagram.SIZE_MAX)).exchange
        assert found.request.target == "/hello.txt?after"


def test_a_recorder_that_hangs_costs_records_and_nothing_else(server: Server) -> None:
    names = ("records", "records_lost")
    before = [sent(server, name) for name in names]
    with recording_by_hand(server), server.connect() as connection:
        for _ in range(600):
            assert connection.ask("GET", "/hello.txt").status == 200

        def counted() -> bool:
            return sum(sent(server, name) for name in names) == sum(before) + 600

        wait_until("all are counted", counted)
        assert sent(server, "records_lost") > before[1]


def test_what_is_no_socket_for_it_is_refused(server: Server) -> None:
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(AskrError, match="needs a socket"):
            control.ask(server.control, "record", fds=[write_end])
        with pytest.raises(AskrError, match="needs a socket"):
            control.ask(server.control, "record")
    finally:
        os.close(read_end)
        os.close(write_end)
    assert run("record", "/nonexistent/file", "--control", server.control).returncode == 1


# --- replay ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded_file(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "file"
    recording = Recording(server, path, "--keep-answers")
    server.get("/version")
    server.get("/hello.txt")
    server.ask("POST", "/change", [("Content-Type", "application/json")], b'{"a":1}')
    recording.wait_records(3)
    recording.finish()
    return path


def replay(file: Path, against: str, *more: str) -> tuple[int, Any]:
    done = run("replay", file, "--against", against, "--json", *more)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_both_backends_and_a_peer_answer_alike(
    server: Server, recorded_file: Path, backend: str
) -> None:
    children = "epoll,io_uring," if backend == "io_uring" else ""  # the same either way: once
    targets = f"recorded,{children}{url_of(server)}"
    code, said = replay(recorded_file, targets)
    assert (code, said["asked"], said["differing"]) == (0, 2, 0), said
    assert sum(said["skipped"].values()) == 1
    assert "date" in said["ignored_fields"]


def test_a_request_that_may_change_something_is_sent_when_asked_for(
    server: Server, recorded_file: Path
) -> None:
    code, said = replay(recorded_file, f"recorded,{url_of(server)}", "--any-method")
    assert (code, said["asked"], said["differing"]) == (0, 3, 0), said


def test_a_difference_is_found_and_shown(server: Server, recorded_file: Path, app: Path) -> None:
    peer = url_of(server)
    (app / ".version").write_text("two")
    try:
        code, said = replay(recorded_file, f"recorded,{peer}")
        assert (code, said["differing"]) == (1, 1)
        [finding] = said["findings"]
        assert (finding["number"], finding["target"]) == (1, "/version")
        assert finding["against"] == peer
        assert [item["what"] for item in finding["differences"]] == ["body"]
        done = run("replay", recorded_file, "--against", f"recorded,{peer}", "--diff")
        assert done.returncode == 1
        assert "- recorded: byte 0 of 3: b'one'" in done.stdout
        assert f"+ {peer}: byte 0 of 3: b'two'" in done.stdout
        code, said = replay(recorded_file, f"recorded,{peer}", "--ignore-body", "one|two")
        assert (code, said["differing"]) == (0, 0)
    finally:
        (app / ".version").write_text("one")


def test_a_peer_that_is_not_there_is_told_at_once(recorded_file: Path) -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        peer = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = run("replay", recorded_file, "--against", f"recorded,{peer}")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{peer} gave no answer: Connection refused" in done.stderr


def test_a_peer_that_says_nothing_is_a_difference_that_tells_why(recorded_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        peer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = run("replay", recorded_file, "--against", f"recorded,{peer}")
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1
    assert f"1: GET /version: {peer}: {peer} gave no answer: " in done.stdout
    assert "0 the same, 2 different" in done.stdout


def hang_up(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()
