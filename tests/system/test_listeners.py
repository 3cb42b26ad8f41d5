# SPDX-License-Identifier: MIT
"""Where a server listens, and what it tells a service manager."""

import socket
import stat
import sys
from pathlib import Path

import pytest
from system.client import ask
from system.conftest import Serve
from system.harness import wait_until

# LISTEN_PID has to be the pid of the server itself (sd_listen_fds(3)), so this becomes it.
ACTIVATE = """
import os, sys
os.dup2(int(os.environ["FD"]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.txt").write_text("hello")
    return tmp_path


def test_a_unix_socket_has_its_mode_and_goes_with_the_server(serve: Serve, folder: Path) -> None:
    path = folder / "http.sock"
    server = serve(folder, listen=[f"unix:{path},mode=600"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(str(path), "GET", "/hello.txt").body == b"hello"
    server.stop()
    assert not path.exists()


def test_a_unix_socket_left_behind_is_replaced(serve: Serve, folder: Path) -> None:
    path = folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    serve(folder, listen=[f"unix:{path}"])
    assert ask(str(path), "GET", "/hello.txt").body == b"hello"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_several_listeners_and_ipv6(serve: Serve, folder: Path) -> None:
    server = serve(folder, listen=["127.0.0.1:0", "[::1]:0"])
    for url in server.status()["listeners"]:
        host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
        assert ask((host.strip("[]"), int(port)), "GET", "/hello.txt").body == b"hello"


def test_a_bare_port_is_for_this_machine_alone(serve: Serve, folder: Path) -> None:
    server = serve(folder, listen=["0"])
    [address] = server.status()["addresses"]
    assert address == f"127.0.0.1:{server.port}"
    assert f"  http://{address}/\n" in server.output
    assert server.get("/hello.txt").body == b"hello"


def test_a_socket_of_the_service_manager_is_taken_over(serve: Serve, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        serve(
            folder,
            wrapper=[sys.executable, "-c", ACTIVATE],
            environment={"FD": str(given.fileno())},
            keep_fds=[given.fileno()],
        )
        assert ask(given.getsockname(), "GET", "/hello.txt").body == b"hello"


def test_the_service_manager_hears_ready_and_stopping(serve: Serve, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(20)
        server = serve(folder, environment={"NOTIFY_SOCKET": str(folder / "notify")})
        assert b"READY=1" in manager.recv(4096)
        server.stop()
        wait_until("it says goodbye", lambda: b"STOPPING=1" in manager.recv(4096))
