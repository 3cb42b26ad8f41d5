# SPDX-License-Identifier: MIT
"""[[limits.rate]]: a client has one allowance, whichever worker it meets; told, counted, logged."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from system.client import ask
from system.conftest import Serve
from system.harness import Server, toml, wait_until

from askrctl.config import parse_rate, read_text
from askrctl.model import AskrError

TOKEN = "a-token-of-this-test-only"
RULES = [
    {"name": "login", "path": "/login", "rate": "3/h"},
    {"name": "api", "path": "/api/", "key": "header:X-Api-Key", "rate": "2/d", "burst": 4},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "site"
    path.mkdir()
    (path / "hello.txt").write_text("hello")
    (path / "index.php").write_text("<?php echo $_SERVER['REQUEST_URI'];")
    return path


def start(serve: Serve, folder: Path, **more: Any) -> Server:
    config = {
        "limits": {"rate": RULES},
        "log": {"access": str(folder.parent / "access.log"), "access_format": "$status $outcome"},
        "admin": {"listen": ["127.0.0.1:0"], "token": TOKEN},
    }
    return serve(folder, "--workers", "2", config=config, **more)


def metric(server: Server, name: str) -> float:
    [url] = server.status()["admin"]
    address = ("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
    text = ask(address, "GET", "/metrics", [("Authorization", f"Bearer {TOKEN}")]).text
    families = text_string_to_metric_families(text)
    [value] = [item.value for family in families for item in family.samples if item.name == name]
    return value


def test_all_workers_and_generations_share_what_a_client_owes(serve: Serve, folder: Path) -> None:
    server = start(serve, folder)
    statuses = [server.get("/login").status for _ in range(20)]  # a connection each
    assert statuses == [200] * 3 + [429] * 17
    generation = server.status()["generation"]
    assert server.get("/hello.txt").status == 200
    server.wait_log("event=rate_limited count=")
    assert sum(worker["rate_limited"] for worker in server.status()["workers"]) == 17
    assert metric(server, "askr_rate_limited_total") == 17
    log = folder.parent / "access.log"
    wait_until("all are logged", lambda: log.read_text().count("\n") == 21)
    assert log.read_text().count("429 limited\n") == 17
    server.signal(signal.SIGHUP)
    wait_until("a new generation serves", lambda: server.status()["generation"] > generation)
    assert server.get("/login").status == 429


def test_every_protocol_is_limited_alike(serve: Serve, folder: Path) -> None:
    server = start(serve, folder, secure=True)
    base = f"https://127.0.0.1:{server.port}"
    with (
        httpx.Client(http2=True, verify=False, base_url=base, timeout=20) as new,
        httpx.Client(verify=False, base_url=base, timeout=20) as old,
    ):
        fields = {"X-Api-Key": "one"}
        answers = [client.get("/api/x", headers=fields) for client in (new, old) * 3]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert {answer.http_version for answer in answers} == {"HTTP/1.1", "HTTP/2"}
        for answer in answers[4:]:
            assert answer.headers["RateLimit-Policy"] == '"api";q=2;w=86400'
            wait = int(answer.headers["Retry-After"])
            assert answer.headers["RateLimit"] == f'"api";r=0;t={wait}'
            assert 0 < wait <= 43200
        assert new.get("/api/x", headers={"X-Api-Key": "two"}).status_code == 200


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ([{"path": "/"}], "this [[limits.rate]] has no rate"),
        ([{"rate": "5 per minute"}], "rate must be a rate such as"),
        ([{"rate": "0/s"}], "rate must be a rate such as"),
        ([{"rate": "5/s", "pth": "/"}], "unknown key limits.rate.pth"),
        ([{"rate": "5/s"}, {"rate": "5/s", "path": "login"}], "number 2: limits.rate.path must be"),
        ([{"rate": "5/s", "path": "/a%20b"}], "path must be a decoded path"),
        ([{"rate": "5/s", "key": "ip"}], 'key must be "address", "header:NAME"'),
        ([{"rate": "5/s", "key": "cookie:"}], "key must be"),
        ([{"rate": "5/s", "burst": 0}], "burst must be between 1"),
        ([{"rate": "1/d", "burst": 1 << 20}], "would take years to fill"),
        ([{"rate": "5/s", "name": 'a"b'}], "name must be letters"),
        ([{"rate": "5/s", "name": "a"}, {"rate": "5/s", "name": "a"}], "'a' is there twice"),
        ([{"rate": "5/s"}] * 17, "more than 16 [[limits.rate]]"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_with_a_sentence(rate: Any, said: str) -> None:
    text = toml({"limits": {"rate": rate}})
    with pytest.raises(AskrError) as caught:
        read_text(text, Path("askr.toml"))
    assert caught.value.message.startswith("askr.toml")
    assert "limits.rate" in caught.value.message
    assert said in caught.value.message


def test_a_rule_has_defaults() -> None:
    config = read_text('[[limits.rate]]\nrate = "5/m"\n', Path("askr.toml"))
    [rule] = config.limits.rate
    assert (rule.path, rule.key, rule.burst, rule.name) == ("/", "address", 5, "rate1")
    assert parse_rate(rule.rate) == (5, 60)
