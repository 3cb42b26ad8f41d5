# SPDX-License-Identifier: MIT
"""OPcache in status, metrics and API, without a request or an application process having a part."""

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve, copy_app
from system.harness import Server, children, run, wait_until

TOKEN = "sixteen-characters-and-more"


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    server = serve(
        copy_app("matrix", tmp_path),
        *("--admin", "127.0.0.1:0"),
        config={"php": {"processes": 2}},
        environment={"ASKR_ADMIN_TOKEN": TOKEN},
    )
    server.wait_applications(2)
    return server


def opcache(server: Server) -> dict[str, int]:
    found: dict[str, int] = server.status()["opcache"]
    return found


def get(server: Server, path: str) -> str:
    host = server.status()["admin"][0].split("//")[1].rstrip("/")
    connection = HTTPConnection(host, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    return connection.getresponse().read().decode()


def test_opcache_is_told_everywhere(server: Server) -> None:
    for _ in range(20):
        assert server.get("/hello").status == 200
    served = [app["requests"] for app in server.status()["workers"][0]["apps"]]
    found: dict[str, Any] = wait_until("it is known", lambda: hits(server), 40)
    assert found["scripts"] >= 2 and found["memory_used"] > 0 and found["memory_free"] > 0
    text = get(server, "/metrics")
    assert 'askr_opcache_lookups_total{result="hit"}' in text
    assert 'askr_opcache_memory_bytes{state="wasted"}' in text
    assert json.loads(get(server, "/api/status"))["opcache"]["scripts"] >= 2
    assert "scripts in" in run("status", "--control", server.control).stdout
    apps = server.status()["workers"][0]["apps"]
    assert [app["requests"] for app in apps] == served  # none was asked
    zygote = next(pid for pid in children(server.process.pid) if apps[0]["pid"] in children(pid))
    wait_until(
        "who looked has ended", lambda: set(children(zygote)) == {app["pid"] for app in apps}
    )


def hits(server: Server) -> dict[str, int] | None:
    found = opcache(server)
    return found if found.get("hits") else None
