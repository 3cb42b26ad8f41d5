# SPDX-License-Identifier: MIT
"""Peers that no distribution has: what would be started, as their documentation says it."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from askrctl.bench import peers
from askrctl.bench.answers import Answer, patterns, without
from askrctl.bench.contenders import Contender, Site
from askrctl.bench.installed import Missing


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Programs of that name are there; nobody runs them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, exit_status: int = 0) -> None:
        program = folder / name
        program.write_text(f"#!/bin/sh\nexit {exit_status}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return put


@pytest.fixture
def site(tmp_path: Path) -> Site:
    root = tmp_path / "app/public"
    root.mkdir(parents=True)
    return Site(tmp_path / "app", root, "index.php", php=True, processes=3)


def with_script(site: Site, path: Path) -> Site:
    return Site(site.path, site.root, site.front, True, path, processes=3)


def started(peer: Contender | Missing) -> Contender:
    assert isinstance(peer, Contender), peer
    return peer


def words(peer: Contender) -> list[str]:
    """Of its only command, from the program on."""
    [command] = peer.commands
    return command[command.index("--") + 1 :] if command[0] == "setpriv" else command


def test_what_is_not_there_is_said_to_be_missing_and_why(
    install: Callable[[str], None], site: Site, tmp_path: Path
) -> None:
    found = [peers.frankenphp, peers.roadrunner, peers.octane]
    for finder in found:
        missing = finder(site, "/", tmp_path)
        assert isinstance(missing, Missing)
        assert (missing.state, missing.reason[:3]) == ("not installed", "no ")
    for name in ("rr", "php"):
        install(name)
    assert peers.roadrunner(site, "/", tmp_path) == Missing(
        "RoadRunner", "not applicable", "the application has no .rr.yaml"
    )
    assert peers.octane(site, "/", tmp_path) == Missing(
        "Octane on Swoole", "not applicable", "the application is not Laravel"
    )


def test_frankenphp_answers_by_its_worker_wherever_the_script_is(
    install: Callable[[str], None], site: Site, tmp_path: Path
) -> None:
    install("frankenphp")
    beside, outside = site.root / "worker.php", site.path / "worker.php"
    texts = {}
    for name, script in (("beside", beside), ("outside", outside)):
        (tmp_path / name).mkdir()
        peer = started(peers.frankenphp(with_script(site, script), "/", tmp_path / name))
        assert peer.name == "FrankenPHP worker"
        assert words(peer)[1:-1] == ["run", "--adapter", "caddyfile", "--config"]
        texts[name] = Path(words(peer)[-1]).read_text()
        assert "num_threads 4" in texts[name] and "num 3" in texts[name]
        assert texts[name].count("{") == texts[name].count("}")
    assert "try_files {path} worker.php" in texts["beside"]
    assert "match *" in texts["outside"] and str(outside) in texts["outside"]


def test_frankenphp_without_a_worker_script_is_classic(
    install: Callable[[str], None], site: Site, tmp_path: Path
) -> None:
    install("frankenphp")
    peer = started(peers.frankenphp(site, "/x", tmp_path))
    text = Path(words(peer)[-1]).read_text()
    assert peer.name == "FrankenPHP classic"
    assert "num_threads 3" in text and "worker" not in text
    assert f"http://:{peer.url.split(':')[2].split('/')[0]} {{" in text
    assert peer.url.endswith("/x")


def test_roadrunner_gets_the_applications_settings_and_our_numbers(
    install: Callable[[str], None], site: Site, tmp_path: Path
) -> None:
    install("rr")
    (site.path / ".rr.yaml").write_text('version: "3"\n')
    peer = started(peers.roadrunner(site, "/", tmp_path))
    said = words(peer)
    assert said[1:6] == ["serve", "-c", str(site.path / ".rr.yaml"), "-w", str(site.path)]
    assert "http.pool.num_workers=3" in said
    assert f"http.address={peer.url.removeprefix('http://').rstrip('/')}" in said


def test_octane_needs_swoole_and_replaces_nobody(
    install: Callable[[str, int], None], site: Site, tmp_path: Path
) -> None:
    (site.path / "artisan").write_text("<?php")
    (site.path / "vendor/laravel/octane").mkdir(parents=True)
    install("php", 1)
    missing = peers.octane(site, "/", tmp_path)
    assert isinstance(missing, Missing) and "swoole" in missing.reason
    install("php", 0)
    said = words(started(peers.octane(site, "/", tmp_path)))
    assert {"octane:start", "--server=swoole", "--workers=3", "--max-requests=0"} <= set(said)


def test_mod_php_has_a_process_for_each_connection_or_is_not_applicable(
    install: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "libphp8.2.so").write_bytes(b"")
    monkeypatch.setattr("askrctl.bench.apache._MODULES", (str(modules),))
    install("apache2")
    for connections, count in ((64, 96), (480, 512)):
        served = Site(tmp_path, tmp_path, php=True, connections=connections)
        own = tmp_path / str(connections)
        own.mkdir()
        peer = started(peers.mod_php(served, "/", own))
        text = Path(words(peer)[-1]).read_text()
        assert f"MaxRequestWorkers {count}\n" in text
        assert f"LoadModule php_module {modules}/libphp8.2.so\n" in text
    missing = peers.mod_php(Site(tmp_path, tmp_path, php=True, connections=481), "/", tmp_path)
    assert isinstance(missing, Missing) and missing.state == "not applicable"


@pytest.mark.parametrize("name", ["fpm-fcgi", "frankenphp", "apache2handler", "cli-server", "cli"])
def test_pages_that_show_the_name_of_the_sapi_are_the_same(name: str) -> None:
    def compared(name: str) -> bytes:
        body = f"<p>PHP 8.2.1, {name}, click</p>".encode()
        return without(Answer(200, body, 300, len(body)), patterns([peers.SAPIS])).body

    assert compared(name) == b"<p>PHP 8.2.1, , click</p>"
