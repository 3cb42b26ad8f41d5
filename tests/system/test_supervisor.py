# SPDX-License-Identifier: MIT
"""What the supervisor is told cannot end it, and what it knows does not reach applications."""

import os
import signal
import socket
from pathlib import Path

import pytest
from system.conftest import Serve
from system.harness import Server, run, wait_until

TOKEN = "a-token-of-this-test-only"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("hello")
    return tmp_path / "site"


def say(server: Server, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(str(server.control))
        end.sendall(line + b"\n")
        return end.recv(4096)


HOSTILE = [
    b"[" * 3000,
    b"\xff\xfe",
    b"null",
    b'{"command": {"a": 1}}',
    b'{"command": "slowlog", "lines": -5}',
    b'{"command": "reload_state", "ticket": []}',
    b'{"command": "reload", "verify": true, "check": "/\\ud800"}',
    b'{"command": "reload", "verify": true, "check": [1]}',
]


def test_no_words_on_the_control_socket_end_it(serve: Serve, site: Path) -> None:
    server = serve(site)
    for line in HOSTILE:
        assert say(server, line).startswith(b"{"), line
    assert server.get("/").body == b"hello"
    assert "supervisor_fault" not in server.log


def test_a_reload_says_at_once_what_it_cannot_do(serve: Serve, site: Path) -> None:
    server = serve(site)
    config = server.folder / "askr.toml"
    config.write_text("[server]\nworkerz = 2\n")
    refused = run("reload", "--control", server.control)
    assert refused.returncode == 1
    assert "unknown key server.workerz; generation 1 serves on" in refused.stderr
    config.write_text(f'[php]\nslowlog = "{server.folder}/slow"\n')
    assert run("reload", "--control", server.control).returncode == 0
    assert "event=needs_restart key=php.slowlog" in server.log
    wait_until("the new generation", lambda: server.status()["generation"] == 2)


def test_a_path_that_is_gone_refuses_the_reload_and_nothing_else(serve: Serve, site: Path) -> None:
    server = serve(site)
    site.rename(site.with_name("away"))
    server.signal(signal.SIGHUP)
    server.wait_log("event=reload_refused")
    assert server.status()["generation"] == 1
    site.with_name("away").rename(site)
    server.signal(signal.SIGHUP)
    wait_until("the next one works", lambda: server.status()["generation"] == 2)
    assert server.get("/").body == b"hello"


def test_a_reload_asked_for_while_a_broken_one_boots_is_not_forgotten(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "index.php").write_text("<?php echo 'hello';")
    worker = tmp_path / "worker.php"
    good = "<?php while (frankenphp_handle_request(static fn () => print 'hello')) {}"
    worker.write_text(good)
    server = serve(tmp_path, "--workers", "1", "--worker-script", "worker.php")
    mark = tmp_path / "booting"
    worker.write_text(f"<?php touch('{mark}'); usleep(700000); throw new Exception('broken');")
    server.signal(signal.SIGHUP)
    wait_until("the broken one boots", mark.exists)
    worker.write_text(good)
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_failed generation=2")
    wait_until("the good one serves", lambda: server.status()["generation"] == 3)


def test_a_check_that_is_no_path_proves_nothing(serve: Serve, site: Path) -> None:
    server = serve(site)
    done = run("reload", "--verify", "--check", "up there", "--control", server.control)
    assert done.returncode == 2, done.stderr
    assert "--check up there" in done.stderr
    assert "hint: " in done.stderr


def test_applications_do_not_find_the_token_of_the_admin_listener(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "index.php").write_text(
        "<?php echo json_encode([getenv(), $_SERVER, $_ENV]);"
        "echo @file_get_contents('/proc/' . posix_getppid() . '/environ');"
    )
    environment = {"ASKR_ADMIN_TOKEN": TOKEN, "ASKR_TEST_SEEN": "seen"}
    server = serve(tmp_path, "--workers", "1", environment=environment)
    body = server.get("/").body
    assert b"ASKR_TEST_SEEN" in body
    assert TOKEN.encode() not in body
    for worker in server.workers():
        assert TOKEN.encode() not in Path(f"/proc/{worker}/environ").read_bytes()


def test_a_zygote_that_dies_again_and_again_is_started_with_pauses(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "index.php").write_text("<?php echo 'hello';")
    server = serve(tmp_path, "--workers", "1")
    [app, *_] = server.applications()
    zygote = int(Path(f"/proc/{app}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(zygote, signal.SIGKILL)
    server.wait_log("event=zygote_died")
    wait_until("it serves again", lambda: server.get("/").body == b"hello")
