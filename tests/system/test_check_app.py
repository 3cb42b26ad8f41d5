# SPDX-License-Identifier: MIT
"""`askrctl check app`: finds each way in which one user's request can reach the next one's."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system.conftest import copy_app
from system.harness import APPS, ROOT, run
from system.test_laravel import FOLDERS, FRAMEWORK

WAYS = (
    *("clean", "static", "class", "language", "counter", "global", "object", "closure", "answer"),
    *("environment", "session", "ini", "locale", "folder", "handler", "buffer", "transaction"),
    *("leak", "objects"),
)


def check(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("check", "app", path, "--rounds=10", *options)


@pytest.fixture(scope="module")
def bled() -> dict[str, Any]:
    done = check(APPS / "bleed", "--json", *(f"--route=/{way}" for way in WAYS))
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def found(report: dict[str, Any], level: str) -> dict[str, str]:
    """What was found, by category and name, with the routes that did it."""
    return {
        f"{item['category']} {item['name']}": " ".join(item["routes"])
        for item in report["findings"]
        if item["level"] == level
    }


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("static remember() $cache", "static"),
        ("static Cart::$owner", "class"),
        ("static Cart::$language", "language"),
        ("global $greeting", "global"),
        ("global $service", "object"),
        ("answer body", "answer"),
        ("answer body", "session"),
        ("answer Set-Cookie", "session"),
        ("superglobal $_ENV", "environment"),
        ("handlers autoload functions", "handler"),
        ("transaction PDO connections in a transaction", "transaction"),
        ("static Cart::$log", "leak"),
        ("objects ArrayObject", "objects"),
    ],
)
def test_what_bleeds_is_named_with_its_route(bled: dict[str, Any], name: str, way: str) -> None:
    assert f"GET /{way}" in found(bled, "bled")[name]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("env CUSTOMER", "environment"),
        ("ini precision", "ini"),
        ("locale locale", "locale"),
        ("locale time zone", "locale"),
        ("process working directory", "folder"),
        ("process umask", "folder"),
        ("handlers error handler", "handler"),
        ("output buffers left open", "buffer"),
    ],
)
def test_what_the_server_puts_back_is_told_and_did_not_bleed(
    bled: dict[str, Any], name: str, way: str
) -> None:
    assert found(bled, "restored")[name] == f"GET /{way}"
    assert name not in found(bled, "bled")


def test_nothing_else_is_found(bled: dict[str, Any]) -> None:
    # `$ways` holds the closures with their statics; a request finds $_ENV as it was left.
    also = {"global $ways", "superglobal $_ENV[CUSTOMER]", "objects Closure"}
    routes = " ".join(text for name, text in found(bled, "bled").items() if name not in also)
    assert "/clean" not in routes
    assert len(found(bled, "bled")) == 12 + len(also)
    assert found(bled, "note") == {"static Cart::$served": "GET /counter"}


def test_memory_that_a_route_leaves_behind_is_measured(bled: dict[str, Any]) -> None:
    assert {"GET /leak", "GET /objects", "GET /handler"} == set(bled["leaks"])
    slope = bled["leaks"]["GET /leak"]
    assert slope["low"] <= slope["estimate"] <= slope["high"]
    assert 1.9 < slope["estimate"] < 2.2, "2000 random bytes each time"
    assert bled["php_memory"]["low"] > 0


def test_the_text_says_the_same() -> None:
    done = check(APPS / "bleed", "--route=/class", "--route=/ini")
    assert done.returncode == 1
    assert "static Cart::$owner: something of user" in done.stdout
    assert "ini precision: left as" in done.stdout


def test_what_is_put_back_fails_a_strict_check_alone() -> None:
    assert check(APPS / "bleed", "--route=/ini").returncode == 0
    assert check(APPS / "bleed", "--route=/ini", "--strict").returncode == 1


def test_a_fatal_error_costs_the_process_and_is_told() -> None:
    done = check(APPS / "bleed", "--route=/fatal", "--route=/clean", "--json")
    report = json.loads(done.stdout)
    assert report["statuses"]["GET /fatal"] == {"500": 26}
    assert "process restarts" in found(report, "note")
    assert report["php_memory"] is None


def test_the_example_is_clean(tmp_path: Path) -> None:
    app = shutil.copytree(ROOT / "examples/guestbook", tmp_path / "guestbook")
    routes = tmp_path / "routes.txt"
    routes.write_text("# of the guestbook\n/\nPOST / name={user}&text=hello\n/none\n")
    done = check(app, "--routes", str(routes))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing bled" in done.stdout


def test_laravel_in_a_sandbox_is_clean(
    tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    require(FRAMEWORK.is_file(), "php-laravel-framework")
    app = copy_app("laravel", tmp_path)
    for folder in (*FOLDERS, "bootstrap/cache"):
        (app / folder).mkdir(parents=True)
    (app / "storage/notes.sqlite").touch()
    subprocess.run(["php", "artisan", "migrate", "--force"], cwd=app, check=True)
    paths = ("/", "/api/hello", "/api/notes", "/api/config", "/throw")
    done = check(app, *(f"--route={path}" for path in paths), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["findings"]
    assert report["verdict"] == "clean"
    assert report["leaks"] == {}


def test_exit_statuses_tell_misuse_from_what_could_not_be_found_out(tmp_path: Path) -> None:
    assert check(tmp_path / "none").returncode == 2
    (tmp_path / "index.php").write_text("<?php\n")
    classic = check(tmp_path)
    assert classic.returncode == 2
    assert "no worker script" in classic.stderr
    (tmp_path / "worker.php").write_text("<?php throw new Exception('no database');\n")
    assert check(tmp_path, "--route=get").returncode == 2
    broken = check(tmp_path)
    assert broken.returncode == 3
    assert "no database" in broken.stderr
    always_fails = "while (frankenphp_handle_request(fn () => http_response_code(500))) {}"
    (tmp_path / "worker.php").write_text(f"<?php {always_fails}\n")
    assert check(tmp_path).returncode == 3
