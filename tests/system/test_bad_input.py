# SPDX-License-Identifier: MIT
"""Mistakes of an operator: one clear sentence, the right exit code, nothing left running."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from system.conftest import copy_app
from system.harness import COMMAND, children, run

REFUSED, MISUSE = 1, 2
LISTEN = "--listen=127.0.0.1:0"


def refused(code: int, *arguments: str | Path, **options: object) -> str:
    """Run `askrctl serve`, insist that it ends with `code` and one sentence; return stderr."""
    before = set(children(os.getpid()))
    done = run("serve", *arguments, **options)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert set(children(os.getpid())) <= before
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("hello")
    return tmp_path / "site"


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert "nowhere" in refused(MISUSE, tmp_path / "nowhere", LISTEN)


def test_a_path_that_is_a_file(folder: Path) -> None:
    assert "index.html" in refused(MISUSE, folder / "index.html", LISTEN)


def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    folder.chmod(0)
    # Root reads everything by two capabilities; without them it is a user like others.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*(as_others if os.geteuid() == 0 else []), COMMAND, "serve", str(folder), LISTEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    folder.chmod(0o700)
    assert done.returncode == MISUSE, done.stderr
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(REFUSED, folder, f"--listen=127.0.0.1:{port}")
    assert str(port) in said
    assert "in use" in said


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--workers=0", "workers"),
        ("--workers=many", "workers"),
        ("--io-backend=kqueue", "io-backend"),
        ("--listen=nonsense", "nonsense"),
        ("--listen=127.0.0.1:99999", "99999"),
        (f"--listen={'a' * 70}.x:0", "aaa"),
        ("--workers=", "workers"),
        ("--no-such-flag", "no-such-flag"),
    ],
)
def test_a_bad_flag_value(folder: Path, flag: str, named: str) -> None:
    assert named in refused(MISUSE, folder, flag)


@pytest.mark.parametrize("address", ["unix:/nowhere/x", "unix:/etc/hostname/x", "192.0.2.1:1"])
def test_an_address_that_cannot_be_had_comes_with_what_to_look_at(
    folder: Path, address: str
) -> None:
    said = refused(REFUSED, folder, f"--listen={address}")
    assert address in said
    assert "hint: " in said


def test_a_server_that_is_refused_leaves_no_socket(folder: Path) -> None:
    control, listener = folder.parent / "control", folder.parent / "listener"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"--listen=127.0.0.1:{taken.getsockname()[1]}"
        refused(REFUSED, folder, f"--listen=unix:{listener}", address, f"--control={control}")
    assert not control.exists()
    assert not listener.exists()


def test_every_misuse_ends_with_what_to_type(folder: Path) -> None:
    config = folder.parent / "askr.toml"
    config.write_text("server = 3\n")
    said = refused(MISUSE, folder, f"--config={config}")
    assert said.endswith("askr.toml, line 1: server must be a table\nhint: [server]\n")
    said = refused(MISUSE, folder, "--port=80")
    assert said.endswith("hint: askrctl serve --help\n")


def test_broken_toml_names_the_line(folder: Path) -> None:
    config = folder.parent / "askr.toml"
    config.write_text("[server]\nlisten = [\n")
    said = refused(MISUSE, folder, LISTEN, f"--config={config}")
    assert "askr.toml" in said
    assert "line" in said


def test_an_unknown_key_gets_a_suggestion(folder: Path) -> None:
    config = folder.parent / "askr.toml"
    config.write_text("[server]\nworkerz = 2\n")
    said = refused(MISUSE, folder, LISTEN, f"--config={config}")
    assert "workerz" in said
    assert "did you mean" in said
    assert "workers" in said


def test_a_value_of_the_wrong_kind_is_named(folder: Path) -> None:
    config = folder.parent / "askr.toml"
    config.write_text('[server]\nworkers = "two"\n')
    assert "workers" in refused(MISUSE, folder, LISTEN, f"--config={config}")


def test_a_configuration_file_that_does_not_exist(folder: Path) -> None:
    assert "none.toml" in refused(MISUSE, folder, LISTEN, "--config=none.toml")


def test_a_worker_script_that_does_not_exist(tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path)
    said = refused(MISUSE, app, LISTEN, "--worker-script=public/none.php")
    assert "none.php" in said


def test_a_syntax_error_in_the_worker_script(tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path)
    (app / "public/worker.php").write_text("<?php this is not php")
    said = refused(REFUSED, app, LISTEN, "--worker-script=public/worker.php")
    assert "worker.php" in said
    assert "syntax error" in said


def test_a_worker_script_that_throws_at_boot(tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path)
    (app / "public/worker.php").write_text("<?php throw new Exception('no database');")
    said = refused(REFUSED, app, LISTEN, "--worker-script=public/worker.php")
    assert "no database" in said


def test_a_libphp_that_does_not_exist(tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path)
    config = tmp_path / "askr.toml"
    config.write_text('[php]\nlibrary = "/nowhere/libphp.so"\n')
    said = refused(REFUSED, app, LISTEN, f"--config={config}")
    assert "/nowhere/libphp.so" in said


def test_status_without_a_server_says_so(tmp_path: Path) -> None:
    done = run("status", "--control", tmp_path / "none.sock")
    assert done.returncode in (1, 3)
    assert "none.sock" in done.stderr
