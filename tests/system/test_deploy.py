# SPDX-License-Identifier: MIT
"""Deploys by symlink under load: nothing fails, nothing old is left, what is broken is undone."""

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve
from system.harness import Server, run, wait_until
from system.load import Steady

RELEASES, FULL_RELEASES = 8, 20
BROKEN = 5

CLASSIC = """<?php
require __DIR__ . '/../release.php';
echo RELEASE;
"""
WORKER = """<?php
require __DIR__ . '/../release.php';
while (frankenphp_handle_request(static fn () => print RELEASE)) {
}
"""


def make_release(folder: Path, name: str, broken: bool = False) -> Path:
    """`broken` as it happens: a file that did not make it into the release."""
    release = folder / "releases" / name
    (release / "public").mkdir(parents=True)
    (release / "public/index.php").write_text(CLASSIC)
    (release / "public/worker.php").write_text(WORKER)
    (release / "public/static.txt").write_text(name)
    if not broken:
        (release / "release.php").write_text(f"<?php const RELEASE = '{name}';\n")
    return release


def switch(folder: Path, release: Path) -> None:
    """As deployment tools do it: the new symlink is renamed over the old one."""
    (folder / "coming").symlink_to(release)
    (folder / "coming").rename(folder / "current")


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Callable[..., Server]:
    def begin(mode: str = "classic", **config: Any) -> Server:
        switch(tmp_path, make_release(tmp_path, "first"))
        options = ["--workers", "2"]
        if mode == "worker":
            options += ["--worker-script", "public/worker.php"]
        return serve(tmp_path / "current", *options, config=config)

    return begin


def verify(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    return run("reload", "--verify", *options, "--control", server.control)


def test_deploys_under_load_fail_no_request_and_leave_nothing_old(
    start: Callable[..., Server], tmp_path: Path, mode: str, full: bool
) -> None:
    server = start(mode)
    good = "first"
    with Steady(server.address, "/", count=4) as steady:
        for number in range(FULL_RELEASES if full else RELEASES):
            broken = number == BROKEN
            name = f"release{number}"
            switch(tmp_path, release := make_release(tmp_path, name, broken))
            done = verify(server)
            assert done.returncode == (1 if broken else 0), done.stderr + server.log
            if broken:
                assert "serves on" in done.stderr
            else:
                good = name
                assert str(release) in done.stdout
            answers = {server.get("/").text for _ in range(20)}
            assert answers == {good}
            assert server.get("/static.txt").text == good
    assert steady.failed == {}
    assert server.status()["application"]["release"].endswith(good)


def test_a_generation_serves_one_release_until_the_reload(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start()
    switch(tmp_path, make_release(tmp_path, "second"))
    assert {server.get("/").text for _ in range(10)} == {"first"}
    assert server.get("/static.txt").text == "first"
    assert verify(server).returncode == 0
    assert {server.get("/").text for _ in range(10)} == {"second"}


def test_a_broken_worker_script_never_meets_a_client(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("worker")
    switch(tmp_path, make_release(tmp_path, "broken", broken=True))
    with Steady(server.address, "/", count=4) as steady:
        done = verify(server)
    assert done.returncode == 1
    assert "release.php" in done.stderr, "the reason is told"
    assert steady.failed == {}
    assert server.get("/").text == "first"


def test_the_proof_is_json_for_programs(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start()
    switch(tmp_path, release := make_release(tmp_path, "second"))
    proof = json.loads(verify(server, "--json").stdout)
    assert proof["state"] == "proven"
    assert (proof["generation"], proof["release"]) == (2, str(release))
    assert (proof["workers"], proof["processes"]) == (2, 8)


def test_a_check_of_the_configuration_guards_every_reload(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(server={"check": "/"})
    switch(tmp_path, make_release(tmp_path, "broken", broken=True))
    run("reload", "--control", server.control)
    server.wait_log("event=generation_failed")
    assert "GET / was answered with 500" in server.log
    assert server.get("/").text == "first"


def test_two_reloads_at_once_are_both_proven(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start()
    switch(tmp_path, make_release(tmp_path, "second"))
    command = ["reload", "--verify", "--control", str(server.control)]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, *command) for _ in range(2)]
    assert [done.result().returncode for done in both] == [0, 0]
    assert server.get("/").text == "second"


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_a_saved_file_is_new_code(start: Callable[..., Server], tmp_path: Path, watch: str) -> None:
    server = start("worker", server={"watch": watch})
    server.wait_log("event=watching")
    with server.connect() as idle, server.connect() as silent:
        assert idle.ask("GET", "/").text == "first"
        release = (tmp_path / "current").resolve()
        (release / "storage").mkdir()
        (release / "storage/x.log").write_text("no change")
        (release / "release.php").write_text("<?php const RELEASE = 'saved';\n")
        wait_until("the new code", lambda: server.get("/").text == "saved")
        assert idle.is_closed_by_peer(), "a browser's connection does not keep old code"
        assert silent.ask("GET", "/").status == 200, "one that has yet to ask is answered"
    assert server.log.count("event=files_changed") == 1


def test_a_saved_mistake_keeps_the_old_code_until_it_is_mended(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("worker", server={"watch": "auto"})
    server.wait_log("event=watching")
    file = (tmp_path / "current").resolve() / "release.php"
    file.write_text("<?php const RELEASE = ;\n")
    server.wait_log("event=generation_failed")
    assert server.get("/").text == "first"
    file.write_text("<?php const RELEASE = 'mended';\n")
    wait_until("the new code", lambda: server.get("/").text == "mended")
