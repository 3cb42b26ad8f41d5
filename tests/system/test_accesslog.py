# SPDX-License-Identifier: MIT
"""The access log: its formats, request ids, rotation, and that a full or hung file hurts nobody."""

import json
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from system.client import build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until, with_small_disk

from askrctl.server.logs import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/hello.txt").write_text("hello")
    return tmp_path / "files"


def logged(path: Path, count: int) -> list[str]:
    """The file's lines, once there are that many."""

    def enough() -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) >= count else []

    lines: list[str] = wait_until(f"{count} lines are in the file", enough)
    assert len(lines) == count
    return lines


def config(path: Path | str, form: str = "combined", **server: Any) -> dict[str, dict[str, Any]]:
    return {"log": {"access": str(path), "access_format": form}, "server": server}


def test_combined_is_what_every_tool_reads(serve: Serve, folder: Path, tmp_path: Path) -> None:
    server = serve(folder, config=config(tmp_path / "access.log"))
    fields = [("User-Agent", 'a "b" \\'), ("Referer", "http://x/")]
    server.ask("GET", "/hello.txt?a=1", fields)
    server.get("/nothing")
    first, second = logged(tmp_path / "access.log", 2)
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        r'"GET /hello\.txt\?a=1 HTTP/1\.1" 200 5 "http://x/" "a \\x22b\\x22 \\x5C"',
        first,
    )
    assert re.search(r'"GET /nothing HTTP/1\.1" 404 [1-9]\d* "-" "-"$', second)


def test_json_says_where_the_time_went(serve: Serve, tmp_path: Path) -> None:
    app = copy_app("cost", tmp_path)
    server = serve(app, config=config(tmp_path / "access.log", "json"))
    answer = server.ask("GET", '/?sleep_ms=80&x=%22"', [("User-Agent", "caf\xe9")])
    assert answer.status == 200
    [line] = logged(tmp_path / "access.log", 1)
    entry = json.loads(line)
    assert entry["status"] == 200
    assert entry["bytes"] == len(answer.body)
    assert entry["user_agent"] == "caf\xe9"
    assert entry["outcome"] == "done"
    assert 0.08 <= entry["app_wall_s"] <= entry["total_s"]
    assert entry["app_cpu_s"] < entry["app_wall_s"]
    assert re.fullmatch(r"[0-9a-f]{32}", entry["request_id"])


def test_a_template_of_ones_own(serve: Serve, folder: Path, tmp_path: Path) -> None:
    server = serve(folder, config=config(tmp_path / "access.log", "$status|$method|$target|$host"))
    server.ask("GET", "/hello.txt", [("Host", "shop.test")])
    assert logged(tmp_path / "access.log", 1) == ["200|GET|/hello.txt|shop.test"]


def test_an_unknown_variable_is_refused_by_name(folder: Path, tmp_path: Path, serve: Serve) -> None:
    server = serve(folder, config=config(tmp_path / "a.log", "$status $nonsense"), wait=False)
    assert server.wait_end() == 2
    assert "log.access_format" in server.log
    assert "$request_id" in server.log


def test_what_cannot_be_read_is_logged_as_well(serve: Serve, folder: Path, tmp_path: Path) -> None:
    server = serve(folder, config=config(tmp_path / "access.log"))
    with server.connect() as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert connection.receive().status == 400
    [line] = logged(tmp_path / "access.log", 1)
    assert '"-" 400 ' in line


@pytest.mark.parametrize("form", ["json", "combined"])
def test_a_line_has_all_its_parts_however_much_was_asked(
    serve: Serve, folder: Path, tmp_path: Path, form: str
) -> None:
    server = serve(folder, config=config(tmp_path / "access.log", form))
    long = "\xff" * 3000  # of each byte a line has four to six
    assert server.ask("GET", f"/{long}", [("Referer", long), ("User-Agent", long)]).status == 404
    [line] = logged(tmp_path / "access.log", 1)
    if form == "json":
        entry = json.loads(line)
        assert (entry["status"], entry["outcome"]) == (404, "done")
        cut = [entry[name] for name in ("target", "referer", "user_agent")]
    else:
        found = re.fullmatch(r'.* "GET (.*) HTTP/1.1" 404 \d+ "(.*)" "(.*)"', line)
        assert found is not None
        cut = [text.replace("\\xFF", "\xff") for text in found.groups()]
    assert all(set(text.removeprefix("/")) == {"\xff"} for text in cut), "no escape is cut in two"


def test_a_client_that_leaves_is_499(serve: Serve, tmp_path: Path) -> None:
    app = copy_app("cost", tmp_path)
    server = serve(app, config=config(tmp_path / "access.log", "json"))
    server.wait_applications(4)
    with server.connect() as connection:
        connection.send(build("GET", "/?sleep_ms=1500"))
        wait_until("it is served", lambda: server.status()["workers"][0]["inflight"])
    [line] = logged(tmp_path / "access.log", 1)
    entry = json.loads(line)
    assert (entry["status"], entry["outcome"]) == (499, "left")


# --- request ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "given", "kept"),
    [
        (["127.0.0.0/8"], "from-the-proxy.1", True),
        (["10.0.0.0/8", "unix"], "from-the-proxy.1", False),
        ([], "from-the-proxy.1", False),
        (["127.0.0.1"], "breaks out of\tthe line", False),
        (["127.0.0.1"], "x" * 129, False),
    ],
)
def test_an_id_is_taken_from_a_trusted_proxy_only(
    serve: Serve, tmp_path: Path, trusted: list[str], given: str, kept: bool
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/index.php").write_text("<?php echo $_SERVER['HTTP_X_REQUEST_ID'];")
    server = serve(
        tmp_path / "app",
        config=config(
            tmp_path / "access.log",
            "$request_id",
            **({"trusted_proxies": trusted} if trusted else {}),
        ),
    )
    others = [("X-Request-Id", "the-second"), ("x-request-id", "and-the-third")]
    answer = server.ask("GET", "/", [("X-Request-Id", given), *others])
    [line] = logged(tmp_path / "access.log", 1)
    assert (line == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", line)
    assert answer.body.decode() == line, "the application has the same"


def test_an_error_of_php_can_be_found_by_its_id(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/index.php").write_text("<?php error_log('it went wrong'); echo 'x';")
    server = serve(tmp_path / "app", config=config(tmp_path / "access.log", "$request_id"))
    server.get("/")
    [ident] = logged(tmp_path / "access.log", 1)
    server.wait_log(f"[{ident}] it went wrong")


# --- Server-Timing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "trusted", "shown"),
    [
        ("off", "127.0.0.1", False),
        ("on", "10.0.0.0/8", True),
        ("trusted", "127.0.0.1", True),
        ("trusted", "10.0.0.0/8", False),
    ],
)
def test_server_timing_is_for_those_it_is_meant_for(
    serve: Serve, tmp_path: Path, mode: str, trusted: str, shown: bool
) -> None:
    app = copy_app("cost", tmp_path)
    server = serve(
        app, config={"log": {"server_timing": mode}, "server": {"trusted_proxies": [trusted]}}
    )
    value = server.get("/?sleep_ms=30").get("Server-Timing")
    assert (value is not None) is shown
    if value is not None:
        parts = dict(re.findall(r"(\w+);dur=([\d.]+)", value))
        assert set(parts) == {"read", "queue", "app", "cpu"}
        assert float(parts["app"]) >= 30.0


# --- files ----------------------------------------------------------------------------------------


def test_sigusr1_opens_the_file_again(serve: Serve, folder: Path, tmp_path: Path) -> None:
    server = serve(folder, "--workers", "2", config=config(tmp_path / "access.log", "$target"))
    server.get("/one")
    logged(tmp_path / "access.log", 1)
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    server.signal(signal.SIGUSR1)
    server.wait_log("event=log_reopened")
    wait_until("the new file is there", (tmp_path / "access.log").exists)

    def lands() -> bool:
        server.get("/two")
        return "/two" in (tmp_path / "access.log").read_text()

    wait_until("lines go to the new file", lands)
    assert "/one" in (tmp_path / "access.log.1").read_text()


def dropped(server: Server) -> int:
    return sum(worker["log_dropped"] for worker in server.status()["workers"])


def test_a_full_disk_costs_lines_and_nothing_else(serve: Serve, folder: Path) -> None:
    server = serve(folder, config=config("/dev/full"))
    with server.connect() as connection:
        for _ in range(200):
            assert connection.ask("GET", "/hello.txt").status == 200
    wait_until("the losses are counted", lambda: dropped(server) == 200)
    server.wait_log("event=log_dropped")


def test_a_disk_that_is_full_costs_lines_until_there_is_room_again(
    serve: Serve, folder: Path, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    disk = tmp_path / "disk"
    wrapper = with_small_disk(disk, 64, require)
    form = "$target " + "x" * 1000
    server = serve(folder, config=config(disk / "access.log", form), wrapper=wrapper)
    with server.connect() as connection:
        for _ in range(100):
            assert connection.ask("GET", "/hello.txt").status == 200
        file = Path(f"/proc/{server.process.pid}/root{disk}/access.log")

        def all_counted() -> bool:
            return dropped(server) + file.read_text().count("\n") == 100

        wait_until("each line is in the file or counted", all_counted, 60)
        before = dropped(server)
        os.truncate(file, 0)
        assert connection.ask("GET", "/hello.txt?room").status == 200
        wait_until("lines are written again", lambda: "?room" in file.read_text(), 60)
        assert 0 < dropped(server) == before < 100


def test_a_file_that_hangs_costs_lines_and_nothing_else(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    """A pipe that nobody reads: 64 KiB of it and the ring fill, then lines are dropped."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    server = serve(folder, config=config(pipe, "$target " + "x" * 2000))
    longest = 0.0
    try:
        with server.connect() as connection:
            for _ in range(600):
                asked = time.monotonic()
                assert connection.ask("GET", "/hello.txt").status == 200
                longest = max(longest, time.monotonic() - asked)
        wait_until("the losses are counted", lambda: dropped(server) > 0)
        assert longest < 1.0
    finally:
        os.close(reader)


def test_journald_gets_fields_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(path))
        record = logging.LogRecord(
            "askrctl", logging.WARNING, "", 0, 'event=x worker=3 detail="two words"', None, None
        )
        Journal(str(path)).emit(record)
        lines = end.recv(4096).decode().splitlines()
    assert "PRIORITY=4" in lines
    assert "ASKR_EVENT=x" in lines
    assert "ASKR_DETAIL=two words" in lines


SAYING = '<?php error_log("a \\"b\\" k\xc3\xa4se \\xff\\x01\nsecond"); echo \'x\';'


@pytest.mark.parametrize("form", ["text", "logfmt", "json"])
def test_the_servers_own_log_has_the_form_that_is_asked_for(
    serve: Serve, tmp_path: Path, form: str
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/index.php").write_bytes(SAYING.encode("latin-1"))
    server = serve(tmp_path / "app", config={"log": {"format": form}, "php": {"processes": 1}})
    server.get("/")
    server.wait_log("second")
    line = next(line for line in server.log.splitlines() if "worker_ready" in line)
    told = [line for line in server.log.splitlines() if "käse" in line or "second" in line]
    if form == "json":
        entries = [json.loads(line) for line in server.log.splitlines()]
        [entry] = [entry for entry in entries if entry.get("event") == "worker_ready"]
        assert (entry["level"], entry["worker"]) == ("info", 0)
        [entry] = [entry for entry in entries if entry.get("event") == "application"]
        assert entry["msg"] == 'a "b" käse \ufffd\x01\nsecond'
        assert re.fullmatch(r"[0-9a-f]{32}", entry["request_id"])
        assert entry["pid"] == server.applications()[0]
        return
    assert " level=info event=worker_ready worker=0 pid=" in line
    assert line.startswith("time=") is (form == "logfmt")
    if form == "logfmt":
        ending = r'request_id="[0-9a-f]{32}" msg="a \\"b\\" käse \\ufffd\\u0001\\nsecond"'
        assert len(told) == 1 and re.search(ending, told[0])
    else:
        begin = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} level=info \[[0-9a-f]{32}\] "
        assert re.match(begin + 'a "b" käse', told[0])
        assert re.fullmatch(begin + "second", told[1])


def test_a_log_that_nobody_reads_holds_up_nobody(serve: Serve, tmp_path: Path) -> None:
    """Docker, a shell's pipe, a collector: whoever reads stderr may stand still."""
    (tmp_path / "app").mkdir()
    script = "<?php error_log(str_repeat('x', 1000)); echo getmypid();"
    (tmp_path / "app/index.php").write_text(script)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    wrapper = ["sh", "-c", 'exec "$@" 2>"$0"', str(pipe)]
    server = serve(tmp_path / "app", config={"php": {"processes": 1}}, wrapper=wrapper)
    server.wait_applications(1)
    filler = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while os.write(filler, b"y" * 512):
            pass
    answers = [server.get("/") for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    server.process.send_signal(signal.SIGUSR2)  # the supervisor has something to say
    wait_until("it is counted", lambda: server.status()["log_lost"] > 0)
    said = b""
    with suppress(BlockingIOError):
        while more := os.read(reader, 1 << 20):
            said += more
    assert b"event=signal_passed_over" not in said
    server.get("/")
    server.process.send_signal(signal.SIGUSR2)

    def told() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(reader, 1 << 20)
        return b"event=signal_passed_over" in said

    wait_until("it goes on", told)
    assert b"level=warn 3 records of this process were lost" in said
    assert b"level=warn event=log_lost lines=1\n" in said
    os.close(filler)
    os.close(reader)
