# SPDX-License-Identifier: MIT
"""`askrctl tune app` on real applications: what it measures, what it proposes, what it refuses."""

import json
import os
import pwd
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from system.conftest import copy_app
from system.harness import OTHERS_MAY_READ, ROOT, others_may_run, run
from system.test_laravel import FOLDERS, FRAMEWORK

from askrctl.cli import tune_app

FEW = ("--requests", "3")


def measure(app: Path, mode: str, *options: str, **environment: str) -> dict[str, Any]:
    more = ["--worker-script", "public/worker.php"] if mode == "worker" else []
    done = run(
        "tune", "app", app, "--json", *FEW, *more, *options, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json.loads(tune_app.schema_text())).validate(found)
    assert found["application"]["mode"] == mode
    return found


def test_the_guestbook_is_measured_and_nothing_of_it_is_left(mode: str, tmp_path: Path) -> None:
    found = measure(ROOT / "examples/guestbook", mode, GUESTBOOK_DATA=str(tmp_path))
    [route] = found["routes"]
    assert (route["target"], route["status"], route["requests"]) == ("/", 200, 3)
    assert 0 < route["cpu_us"] <= route["held_us"] <= route["wall_us"] * 1.1  # clocks of their own
    assert 1 << 20 < route["peak"] < 128 << 20
    assert found["memory"]["private"] < found["memory"]["pss"] < found["memory"]["rss"]
    assert found["opcache"]["scripts"] >= 5 and found["realpath"] > 0
    keys = [item["key"] for item in found["items"]]
    assert keys[:4] == ["server.workers", "php.processes", "php.processes_max", "memory_limit"]
    assert all(item["measured"] and item["why"] for item in found["items"])
    tomllib.loads(found["fragment"])
    command = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "askr-app-" not in command  # the server that measured it is gone


def test_routes_of_laravel_are_measured_each(
    mode: str, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    require(FRAMEWORK.is_file(), "php-laravel-framework")
    app = copy_app("laravel", tmp_path)
    for folder in (*FOLDERS, "bootstrap/cache"):
        (app / folder).mkdir(parents=True)
    (app / "storage/notes.sqlite").touch()
    subprocess.run(["php", "artisan", "migrate", "--force"], cwd=app, check=True)
    routes = tmp_path / "routes"
    routes.write_text("/api/hello   # JSON\n\n# all of it:\n/api/notes\n")
    found = measure(app, mode, "--route", "/", "--routes", str(routes))
    assert [route["target"] for route in found["routes"]] == ["/", "/api/hello", "/api/notes"]
    assert found["opcache"]["scripts"] > 200
    assert found["application"]["scripts"] < found["opcache"]["scripts"]  # the framework is outside


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    # One that waits: each request 250 ms for next to nothing of CPU time.
    (folder / "index.php").write_text("<?php usleep(250000); $x = str_repeat('x', 5 << 20);")
    (folder / "fails.php").write_text("<?php throw new Exception('no database');")
    (folder / "down.php").write_text("<?php http_response_code(503); echo '<p>Back soon';")
    (folder / "dies.php").write_text("<?php posix_kill(getmypid(), 11);")
    (folder / "waits.php").write_text("<?php while (true) { usleep(1000); }")
    (folder / "hasty.toml").write_text("[timeouts]\nrequest = 0.5\n")
    (folder / "boot.php").write_text("<?php throw new Exception('no key');")
    (folder / "plain.txt").write_text("plain")
    folder.chmod(0o755)
    return folder


def test_an_application_that_waits_gets_more_processes_and_its_peak_is_seen(
    scripts: Path, tmp_path: Path
) -> None:
    written = tmp_path / "askr.toml"
    config = tmp_path / "old.toml"
    config.write_text("# ours\n[php]\nini = ['memory_limit=8M']\n")
    done = run("tune", "app", scripts, *FEW, "--config", config, "--write", written)
    assert done.returncode == 0, done.stderr
    assert "php.processes  4 -> 16" in done.stdout and "memory_limit  8M -> 128M" in done.stdout
    assert "nothing but GETs" in done.stdout
    assert tomllib.loads(written.read_text())["php"] == {
        "processes": 16,
        "processes_max": 64,
        "ini": ["memory_limit=128M"],
    }
    assert config.read_text() == "# ours\n[php]\nini = ['memory_limit=8M']\n"
    again = run("tune", "app", scripts, *FEW, "--write", written)
    assert again.returncode == 2 and "is there already" in again.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--route", "/fails.php"], 1, ["with 500", "nothing was measured", "no database"]),
        (["--route", "/down.php"], 1, ["with 503", "the application itself says 'Back soon'"]),
        (["--route", "/dies.php"], 1, ["with 502", "its PHP process ended", "signal 11"]),
        (["--route", "/waits.php", "--config", "hasty.toml"], 1, ["with 504", "request, 0.5 s"]),
        (["--route", "/plain.txt"], 2, ["not by PHP"]),
        (["--worker-script", "boot.php"], 3, ["no key"]),
        (["--route", "index.php"], 2, ["no path of a route"]),
        (["--config", "/dev/null", "--routes", "/dev/null"], 2, ["names no route"]),
        (["--format", "xml"], 2, ["text, json, toml, diff"]),
    ],
)
def test_what_cannot_be_measured_is_one_clear_sentence(
    scripts: Path, options: list[str], code: int, words: list[str]
) -> None:
    options = [str(scripts / word) if word == "hasty.toml" else word for word in options]
    done = run("tune", "app", scripts, *FEW, *options)
    assert (done.returncode, done.stdout) == (code, "")
    first, hint = done.stderr.strip().splitlines()
    assert first.startswith("askrctl: ") and hint.startswith("hint: ")
    assert all(word in first for word in words)


def test_a_folder_without_php_a_wrong_path_and_no_libphp_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("static")
    assert "there is nothing to size" in run("tune", "app", tmp_path).stderr
    assert "does not exist" in run("tune", "app", tmp_path / "none").stderr
    (tmp_path / "index.php").write_text("<?php")
    config = tmp_path / "askr.toml"
    config.write_text("[php]\nlibrary = '/nowhere/libphp.so'\n")
    done = run("tune", "app", tmp_path, "--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere/libphp.so does not exist" in done.stderr


def test_the_server_that_measures_is_whom_the_path_belongs_to(
    require: Callable[[bool, str], None],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    require(others_may_run(), OTHERS_MAY_READ)
    nobody = pwd.getpwnam("nobody")
    app = Path("/tmp") / f"askr-test-{os.getpid()}"  # pytest's own folders are root's alone
    app.mkdir(mode=0o755)
    try:
        (app / "index.php").write_text("<?php echo posix_geteuid() === 65534 ? 'ok' : fail();")
        os.chown(app, nobody.pw_uid, nobody.pw_gid)
        done = run("tune", "app", app, *FEW, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["routes"][0]["status"] == 200
    finally:
        (app / "index.php").unlink()
        app.rmdir()
