# SPDX-License-Identifier: MIT
"""OPcache in status, metrics and API, without a request or an application process having a part."""

import json
import os
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


def test_each_site_has_its_own(serve: Serve, tmp_path: Path) -> None:
    sites = []
    for name, scripts in (("shop", 3), ("blog", 1)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "index.php").write_text(
            "<?php foreach (glob(__DIR__ . '/*.inc') as $one) { require $one; }"
        )
        for number in range(scripts):
            (folder / f"{number}.inc").write_text("<?php return 1;")
        sites.append({"name": name, "hosts": [f"{name}.test"], "root": str(folder)})
    sites.append({"name": "files", "hosts": ["files.test"], "root": str(folder_of_files(tmp_path))})
    server = serve(
        Path(),
        *("--admin", "127.0.0.1:0"),
        config={"php": {"processes": 1}, "site": sites},
        environment={"ASKR_ADMIN_TOKEN": TOKEN},
    )
    server.wait_applications(2)

    def told() -> dict[str, int] | None:
        for name in ("shop", "blog"):  # OPcache takes no file that has just been written
            assert server.ask("GET", "/", [("Host", f"{name}.test")]).status == 200
        sites = server.status()["sites"]
        found = {site["name"]: site["opcache"].get("scripts", 0) for site in sites}
        return found if found["shop"] >= 4 and found["blog"] >= 2 else None

    known: dict[str, int] = wait_until("both are known", told, 40)
    assert known["shop"] - known["blog"] == 2, "each has its own scripts"
    assert known["files"] == 0
    assert opcache(server) == {}, "there is no such one"
    text = get(server, "/metrics")
    assert f'askr_site_opcache_scripts{{site="shop"}} {known["shop"]}.0' in text
    assert 'askr_site_opcache_lookups_total{result="hit",site="blog"}' in text
    assert "askr_opcache_" not in text and 'site="files",state="used"' not in text
    wide = run("status", "--control", server.control, env={**os.environ, "COLUMNS": "120"})
    assert "of 128 MiB" in wide.stdout


def folder_of_files(folder: Path) -> Path:
    files = folder / "files"
    files.mkdir()
    (files / "hello.txt").write_text("hello")
    return files
