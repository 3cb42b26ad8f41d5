# SPDX-License-Identifier: MIT
"""Durations by route: what an operator names, what the paths name, and what nobody asked for."""

import json
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve, copy_app
from system.harness import Server, run, wait_until

TOKEN = "sixteen-characters-and-more"
CONFIG: dict[str, dict[str, Any]] = {
    "routes": {"patterns": ["/users/:name", "/opcache/*"]},
    "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
    "php": {"processes": 2},
}


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    server = serve(copy_app("matrix", tmp_path), "--workers", "2", config=CONFIG)
    server.wait_applications(4)
    return server


def routes(server: Server) -> dict[str, dict[str, Any]]:
    return {route["route"]: route for route in server.status()["routes"]}


def scrape(server: Server) -> str:
    host = server.status()["admin"][0].split("//")[1].rstrip("/")
    connection = HTTPConnection(host, timeout=30)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    return connection.getresponse().read().decode()


def test_requests_are_told_apart_by_route(server: Server) -> None:
    for target in ("/hello", "/hello?q=1", "/hello", "/throw", "/no/such/42", "/opcache/x/y/z"):
        server.get(target)
    assert server.get("/robots.txt").status == 200  # a file: the worker's own answer
    found = wait_until("all are counted", lambda: complete(server))
    assert found["/hello"]["requests"] == 3
    assert (found["/throw"]["requests"], found["/throw"]["failed"]) == (1, 1)
    assert found["/opcache/*"]["requests"] == 1  # 404, but the operator named it
    assert found["(other)"]["requests"] == 1
    assert found["/hello"]["p50_s"] > 0 and found["/hello"]["total_s"] > 0
    assert set(found) == {"/hello", "/throw", "/opcache/*", "(other)"}
    text = scrape(server)
    assert 'askr_route_duration_seconds_count{route="/hello"} 3.0' in text
    assert 'askr_route_failed_total{route="/throw"} 1.0' in text
    done = run("top", "--control", server.control, "--json", "--interval", "0.1")
    assert done.returncode == 0 and "routes" in json.loads(done.stdout)


def complete(server: Server) -> dict[str, dict[str, Any]] | None:
    found = routes(server)
    return found if sum(route["requests"] for route in found.values()) == 6 else None


def test_a_scan_makes_no_series(server: Server) -> None:
    for number in range(200):
        server.get(f"/x{number}y/z")
    wait_until("all are counted", lambda: routes(server)["(other)"]["requests"] == 200)
    series = set(re.findall(r'askr_route_failed_total{route="([^"]*)"}', scrape(server)))
    assert series == {"(other)", "/users/:name", "/opcache/*"}
