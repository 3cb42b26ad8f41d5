# SPDX-License-Identifier: MIT
"""`server.keep_previous` and `askrctl rollback`: a short way back, and as proven as a reload."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve
from system.harness import Server, alive, run, wait_until
from system.load import Steady
from system.test_deploy import make_release, switch

KEPT = {"server": {"keep_previous": "60s"}, "php": {"processes": 2}}


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Callable[..., Server]:
    def begin(mode: str = "classic", config: Any = KEPT) -> Server:
        switch(tmp_path, make_release(tmp_path, "first"))
        options = ["--workers", "2"]
        if mode == "worker":
            options += ["--worker-script", "public/worker.php"]
        return serve(tmp_path / "current", *options, config=config)

    return begin


def deploy(server: Server, folder: Path, name: str) -> Path:
    switch(folder, release := make_release(folder, name))
    done = run("reload", "--verify", "--control", server.control)
    assert done.returncode == 0, done.stderr + server.log
    return release


def roll_back(server: Server, *options: str) -> Any:
    return run("rollback", *options, "--control", server.control)


def test_a_rollback_under_load_fails_no_request_and_leaves_nothing_of_the_bad_release(
    start: Callable[..., Server], tmp_path: Path, mode: str
) -> None:
    server = start(mode)
    first = set(server.wait_applications(4))
    with Steady(server.address, "/", count=4) as steady:
        for name in ("second", "third"):  # a generation can be kept, serve, and be kept again
            bad = deploy(server, tmp_path, name)
            assert {server.get("/").text for _ in range(20)} == {name}
            kept = server.status()["kept"]
            assert (kept["generation"], kept["processes"], kept["connections"]) == (1, 4, 0)
            assert kept["release"].endswith("first")
            assert kept["memory_bytes"] > 1 << 20
            replaced = [*server.workers(), *server.applications()]
            done = roll_back(server, "--json")
            assert done.returncode == 0, done.stderr + server.log
            state = json.loads(done.stdout)
            assert state["state"] == "proven"
            assert state["release"].endswith("first")
            assert state["switched_ms"] is not None
            assert state["path_leads_to"] == str(bad)
            assert {server.get("/").text for _ in range(20)} == {"first"}
            assert server.status()["kept"] is None
            assert first & set(server.applications()), "they were warm"
            assert not any(map(alive, replaced))
    assert steady.failed == {}


def test_without_a_kept_generation_a_rollback_says_so(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(config={"server": {"keep_previous": 0.05}})
    done = roll_back(server)
    assert done.returncode == 1
    assert "no previous generation is kept" in done.stderr
    deploy(server, tmp_path, "second")
    server.wait_log("event=generation_gone generation=1")
    assert server.status()["kept"] is None
    assert roll_back(server).returncode == 1
    assert server.get("/").text == "second"


def test_one_generation_is_kept_and_must_be_able_to_serve(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start()
    oldest = server.wait_applications(4)
    second = deploy(server, tmp_path, "second")
    assert all(map(alive, oldest))
    deploy(server, tmp_path, "third")
    wait_until("they are gone", lambda: not any(map(alive, oldest)))
    assert server.status()["kept"]["generation"] == 2
    assert "askrctl rollback" in run("status", "--control", server.control).stdout
    shutil.rmtree(second)
    done = roll_back(server)
    assert done.returncode == 1
    assert "generation 2 could not serve" in done.stderr
    assert server.get("/").text == "third"


def test_a_rollback_ends_a_reload_that_is_under_way(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("worker")
    deploy(server, tmp_path, "second")
    switch(tmp_path, stuck := make_release(tmp_path, "stuck"))
    (stuck / "release.php").write_text("<?php while (true) { usleep(1000); }\n")
    run("reload", "--control", server.control)
    server.wait_log("event=generation_started generation=3")
    assert roll_back(server).returncode == 0
    assert 'generation=3 detail="a rollback came first"' in server.log
    assert server.get("/").text == "first"
