# SPDX-License-Identifier: MIT
"""`askrctl config`: what counts and why, presets as PHP has them, and whether a file would do."""

import json
from pathlib import Path
from typing import Any

import pytest
from system.conftest import Serve
from system.harness import run

ASK = """<?php
foreach (explode(' ', $_GET['names']) as $name) echo ini_get($name), ' ';
"""
NAMES = "opcache.memory_consumption realpath_cache_ttl opcache.validate_timestamps"


@pytest.fixture
def laravel(tmp_path: Path) -> Path:
    """As far as file names tell."""
    app = tmp_path / "app"
    (app / "public").mkdir(parents=True)
    (app / "artisan").touch()
    (app / "public/index.php").write_text(ASK)
    loop = "while (frankenphp_handle_request(fn () => include __DIR__ . '/index.php')) {}"
    (app / "public/worker.php").write_text(f"<?php {loop}\n")
    return app


def show(*arguments: str | Path) -> dict[str, Any]:
    done = run("config", "show", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize(
    ("php", "worker", "wanted"),
    [
        ({}, False, ["256", "600", "1"]),
        ({}, True, ["256", "600", "0"]),
        ({"ini": ["opcache.memory_consumption=64"]}, False, ["64", "600", "1"]),
        ({"preset": "off"}, True, ["128", "120", "1"]),
    ],
)
def test_a_preset_is_what_php_runs_with_unless_somebody_said_otherwise(
    serve: Serve, laravel: Path, php: dict[str, Any], worker: bool, wanted: list[str]
) -> None:
    options = ["--worker-script", "public/worker.php"] if worker else []
    server = serve(laravel, *options, config={"php": {"processes": 1, **php}})
    asked = server.get(f"/?names={NAMES.replace(' ', '%20')}")
    assert asked.text.split() == wanted
    shown = show("--control", server.control)
    listed = {item["name"]: item["value"] for item in shown["php"]}
    answered = dict(zip(NAMES.split(), wanted, strict=True))
    assert {name: answered.get(name, value) for name, value in listed.items()} == listed


def test_php_ini_wins_over_a_preset_and_is_named(laravel: Path, tmp_path: Path) -> None:
    (tmp_path / "php.ini").write_text("realpath_cache_ttl = 77\n")
    file = tmp_path / "askr.toml"
    lines = ["[php]", f'php_ini = "{tmp_path}/php.ini"', 'ini = ["opcache.memory_consumption=99"]']
    file.write_text("\n".join(lines))
    shown = {item["name"]: item for item in show(laravel, "--config", file)["php"]}
    ttl, memory = shown["realpath_cache_ttl"], shown["opcache.memory_consumption"]
    assert (ttl["value"], ttl["origin"]) == ("77", "php.ini")
    assert ttl["where"] == f"{tmp_path}/php.ini"
    assert (memory["value"], memory["where"]) == ("99", f"{file}, line 3")
    assert shown["opcache.max_accelerated_files"]["where"] == "preset laravel"


def test_a_running_server_shows_its_flags_and_no_secret(serve: Serve, laravel: Path) -> None:
    secret = "x" * 40
    server = serve(laravel, "--processes", "1", config={"admin": {"token": secret}})
    shown = show("--control", server.control)
    assert shown["values"]["php.processes"] == {
        "value": 1,
        "origin": "flag",
        "where": "--processes",
    }
    assert shown["values"]["admin.token"]["value"] == "***"
    assert shown["values"]["admin.token"]["where"] == f"{server.folder}/askr.toml, line 2"
    text = run("config", "show", "--changed", "--control", server.control).stdout
    assert "--processes" in text
    assert "default" not in text
    assert secret not in text


def test_a_file_is_checked_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "askr.toml"
    file.write_text("[server]\nworkers = 2\n")
    assert run("config", "check", file).returncode == 0
    for text, said in (
        ("[server]\nworker = 2\n", "did you mean workers?"),
        ("[server]\nworkers = 'two'\n", "line 2: server.workers must be"),
        ("[tls]\ncert = '/nonexistent.pem'\n", "/nonexistent.pem"),
        ("[server]\nlisten = ':80,proxy'\n", "proxies"),
        ("[[warmup]]\n", "this [[warmup]] has no path"),
        ("[server]\nuser = 'nobody-knows'\n", "there is no user 'nobody-knows'"),
        (
            "[server]\ntemp_dir = '/nonexistent'\n",
            "server.temp_dir: the folder /nonexistent is not there",
        ),
        (
            "[php]\nprocesses = 8\nprocesses_max = 4\n",
            "processes_max (4) is less than processes (8)",
        ),
        ("[php]\nphp_ini = '/nonexistent.ini'\n", "/nonexistent.ini does not exist"),
        (
            "[log]\naccess = '/nonexistent/a.log'\n",
            "log.access: the folder /nonexistent is not there",
        ),
        (f"[[site]]\nhosts = ['a.test']\nroot = '{tmp_path}/no'\n", 'site "a.test": '),
    ):
        file.write_text(text)
        done = run("config", "check", file, "--json")
        assert done.returncode == 1, text
        assert said in done.stderr
        assert f"askrctl: {file}, line " in done.stderr
        assert "\nhint: " in done.stderr
        assert json.loads(done.stdout)["valid"] is False
    assert run("config", "check", tmp_path / "none.toml").returncode == 3
