# SPDX-License-Identifier: MIT
"""The doctor on this machine: quick, for everybody, and right about a blocked io_uring."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from system.harness import COMMAND, OTHERS_MAY_READ, ROOT, Server, others_may_run, run

CALLS = ("io_uring_setup", "io_uring_enter", "io_uring_register")
NOBODY = 65534


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that runs on this machine for somebody else is not what these tests are about."""
    monkeypatch.setenv("ASKR_CONTROL", str(tmp_path / "no-server.sock"))


def doctor(*arguments: str, wrapper: list[str] | None = None, **options: Any) -> dict[str, Any]:
    command = [*(wrapper or []), COMMAND, "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode in (0, 1, 3), done.stderr  # 3: all of it is unknown
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def filtered(error: str, calls: tuple[str, ...]) -> list[str]:
    words = [f"{call}={error}" for call in calls]
    return [sys.executable, str(ROOT / "tests/seccomp.py"), *words, "--"]


def finding(report: dict[str, Any], name: str) -> dict[str, Any]:
    [result] = [item for item in report["results"] if item["id"] == name]
    found: dict[str, Any] = result
    return found


def requires_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")


def test_the_report_of_this_machine_keeps_the_schema() -> None:
    report = doctor()
    jsonschema.validate(report, json.loads(run("doctor", "--print-schema").stdout))
    assert not [r for r in report["results"] if "fault of askrctl" in r["because"]]


def as_nobody(require: Callable[[bool, str], None], *arguments: str) -> dict[str, Any]:
    """The doctor, started by a user who owns nothing."""
    requires_root()
    require(others_may_run(), OTHERS_MAY_READ)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = str(Path(jsonschema.__file__).parents[1])
    for interpreter in (sys.executable, f"/usr/bin/{name}"):  # ours may be in root's home
        command = [interpreter, "-m", "askrctl", "doctor", "--json", *arguments]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd="/",
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": packages,
                    "ASKR_CONTROL": os.environ["ASKR_CONTROL"],
                },
            )
        except OSError:
            continue
        assert done.returncode in (0, 1, 3), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report
    pytest.skip("no interpreter here that nobody may run")


def test_nobody_gets_an_answer_too(require: Callable[[bool, str], None]) -> None:
    report = as_nobody(require)
    assert not [r for r in report["results"] if "fault of askrctl" in r["because"]]
    assert report["io_uring"] is not None
    unknown = [r for r in report["results"] if r["status"] == "unknown"]
    assert all(r["because"] for r in unknown)


def test_nobody_cannot_answer_for_somebody_else(require: Callable[[bool, str], None]) -> None:
    report = as_nobody(require, "--target", "user:daemon", "--only", "iouring.setup")
    [result] = report["results"]
    assert result["status"] == "unknown" and "only root" in result["because"]
    assert report["io_uring"] is None


@pytest.mark.parametrize("calls", [CALLS, CALLS[:1], CALLS[1:]], ids=["all", "setup", "others"])
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS", "EACCES"])
def test_a_filter_is_told_by_its_errno(error: str, calls: tuple[str, ...]) -> None:
    report = doctor("--only", "iouring", wrapper=filtered(error, calls))
    reason = f"seccomp_{error.lower()}"
    assert report["io_uring"]["verdict"] == "unusable"
    assert report["io_uring"]["cause"] == reason
    assert finding(report, "iouring.setup")["reason"] == reason
    assert finding(report, "iouring.seccomp")["reason"] == reason
    assert finding(report, "iouring.lsm")["status"] == "ok"


def usable() -> bool:
    return bool(doctor("--only", "iouring")["io_uring"]["verdict"] == "usable")


def test_locked_memory_that_is_used_up_is_told_as_another_user() -> None:
    requires_root()
    if not usable():
        pytest.skip("io_uring is not to be had here at all")
    wrapper = ["prlimit", f"--memlock={16 << 10}"]
    report = doctor("--only", "iouring", "--target", f"user:{NOBODY}", wrapper=wrapper)
    assert report["run"]["target"] == {
        "kind": "user",
        "name": "nobody",
        "uid": NOBODY,
        "context": "simulated",
    }
    if report["io_uring"]["verdict"] == "usable":
        assert finding(report, "iouring.memlock")["status"] == "info", (
            "this kernel charges no rings"
        )
        return
    assert report["io_uring"]["cause"] == "memlock"
    assert finding(report, "iouring.memlock")["reason"] == "memlock"
    fix = finding(report, "iouring.memlock")["fix"]
    assert fix["default_plan"] or "prlimit --memlock=" in fix["manual"][0]  # no unit, no drop-in
    assert finding(report, "iouring.recv_multishot")["status"] == "unknown"


def test_root_of_a_user_namespace_is_not_privileged() -> None:
    if not usable():
        pytest.skip("io_uring is not to be had here at all")
    wrapper = ["unshare", "-Ur", "prlimit", f"--memlock={16 << 10}"]
    if subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    report = doctor("--only", "iouring", wrapper=wrapper)
    if report["io_uring"]["verdict"] == "usable":
        pytest.skip("this kernel charges no rings")
    assert report["io_uring"]["cause"] == "memlock"


@contextmanager
def sleeper(*wrapper: str) -> Iterator[int]:
    """A process under that wrapper, which is there when it has said so."""
    command = [*wrapper, "sh", "-c", "echo here; exec sleep 600"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "here\n"
        yield child.pid
    finally:
        child.kill()
        child.wait()


def test_a_filter_of_another_process_is_unknown_and_not_ours() -> None:
    requires_root()
    with sleeper(*filtered("EPERM", CALLS)) as pid:
        report = doctor("--only", "iouring.setup", "--target", f"pid:{pid}")
        inside = doctor(
            "--only",
            "iouring.setup",
            "--target",
            f"pid:{pid}",
            wrapper=filtered("EPERM", CALLS),  # as in the container that the process is in
        )
    found = finding(report, "iouring.setup")
    assert found["status"] == "unknown" and "Seccomp: 2" in found["because"]
    assert report["io_uring"] is None
    assert finding(inside, "iouring.setup")["reason"] == "seccomp_eperm"


def test_the_limits_of_another_process_in_its_user_namespace_are_what_counts() -> None:
    requires_root()
    wrapper = ["unshare", "-Ur", "prlimit", f"--memlock={16 << 10}"]
    if not usable() or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip("no io_uring, or no user namespaces here")
    with sleeper(*wrapper) as pid:
        report = doctor("--only", "iouring.setup,iouring.memlock", "--target", f"pid:{pid}")
    assert report["run"]["target"]["kind"] == "pid"
    if report["io_uring"]["verdict"] == "usable":
        pytest.skip("this kernel charges no rings")
    assert report["io_uring"]["cause"] == "memlock", report["io_uring"]


@pytest.mark.parametrize("way", ["setup only", "user namespace"])
def test_the_server_logs_what_stands_before_io_uring(way: str, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    wrapper = filtered("EPERM", CALLS[:1])
    reason = "seccomp_eperm"
    if way == "user namespace":
        wrapper, reason = ["unshare", "-Ur", "prlimit", f"--memlock={16 << 10}"], "memlock"
        if not usable() or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
            pytest.skip("no io_uring, or no user namespaces here")
    options = ["--io-backend", "io_uring", "--workers", "1"]
    server = Server(tmp_path, tmp_path / "server", options, wrapper=wrapper)
    server.start()
    try:
        server.wait_ready()
        found = server.status()["io_backend"]
        if way == "user namespace" and found["active"] == "io_uring":
            pytest.skip("this kernel charges no rings")
        assert (found["active"], found["reason"]) == ("epoll", reason)
        assert server.get("/hello.txt").body == b"hello"
        assert len([line for line in server.log.splitlines() if f"reason={reason}" in line]) == 1
    finally:
        server.stop()


def test_the_server_logs_the_reason_that_the_doctor_names(tmp_path: Path) -> None:
    requires_root()
    if not usable():
        pytest.skip("io_uring is not to be had here at all")
    (tmp_path / "hello.txt").write_text("hello")
    for path in (tmp_path, *tmp_path.parents[:2], tmp_path / "hello.txt"):
        path.chmod(0o755)
    options = ["--io-backend", "io_uring", "--workers", "2", "--user", str(NOBODY)]
    server = Server(
        tmp_path, tmp_path / "server", options, wrapper=["prlimit", f"--memlock={16 << 10}"]
    )
    server.start()
    try:
        server.wait_ready()
        reason = server.status()["io_backend"]["reason"]
        assert reason in ("memlock", "requested")
        if reason == "memlock":
            assert [line for line in server.log.splitlines() if "reason=memlock" in line]
            report = doctor("--only", "iouring", "--control", str(server.control))
            assert report["io_uring"]["cause"] == "memlock"
            assert report["run"]["target"]["context"] == "target"
    finally:
        server.stop()


def test_mistakes_are_one_sentence_and_exit_2() -> None:
    for arguments, word in [
        (["--only", "iouring.memlok"], "iouring.memlock"),
        (["--profile", "prod"], "production"),
        (["--target", "nobody"], "user:NAME"),
        (["--target", "user:nosuchuser"], "nosuchuser"),
        (["--target", "pid:999999999"], "999999999"),
        (["--fail-on", "info"], "never"),
        (["--format", "yaml"], "junit"),
        (["--min", "bad"], "bad"),
        (["--timeout", "soon"], "soon"),
        (["--root", "/nonexistent"], "/nonexistent"),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (["--accept", "/nonexistent.toml"], "/nonexistent.toml"),
    ]:
        done = run("doctor", *arguments)
        assert done.returncode in (1, 2), (arguments, done.stderr)
        assert word in done.stderr, arguments
        assert done.stderr.count("\n") <= 2 and "Traceback" not in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--format", "nagios", "--bogus"], "No such option: --bogus"),
        (["--format=nagios", "--timeout", "soon"], "'soon' is not a time"),
        (["list", "--format=nagios"], "No such option: --format"),
    ],
)
def test_nagios_hears_of_every_misuse(words: list[str], shown: str) -> None:
    done = run("doctor", *words)
    assert (done.returncode, done.stdout.count("\n")) == (3, 1)
    assert done.stdout.startswith(f"ASKR UNKNOWN - {shown}") and len(done.stdout) <= 81
    assert "hint: askrctl doctor" in done.stderr


def test_a_hint_names_the_command_that_was_misused() -> None:
    for words, hint in (
        (["tune", "apply", "--plan"], "askrctl tune apply --help"),
        (["tune", "app", "--format", "xml"], "askrctl tune app --help"),
        (["serve", "--listen"], "askrctl serve --help"),
    ):
        done = run(*words)
        assert done.returncode == 2 and f"hint: {hint}\n" in done.stderr


def test_nagios_hears_of_mistakes_too() -> None:
    done = run("doctor", "--format", "nagios", "--only", "nosuch")
    assert done.returncode == 3
    assert done.stdout.startswith("ASKR UNKNOWN")


def test_explain_knows_every_check() -> None:
    listed = json.loads(run("doctor", "list", "--json").stdout)["checks"]
    assert len(listed) > 40
    done = run("explain", listed[0]["id"])
    assert done.returncode == 0 and "Why" in done.stdout and "\x1b" not in done.stdout
    wrong = run("explain", "net.somaxcon")
    assert wrong.returncode == 2 and "askrctl" in wrong.stderr


def test_text_is_narrow_and_plain_when_piped() -> None:
    for columns in ("40", "80"):
        done = run("doctor", "--only", "iouring", env={**os.environ, "COLUMNS": columns})
        assert "\x1b" not in done.stdout and done.stdout.isascii()
        assert all(len(line) <= int(columns) + 12 for line in done.stdout.splitlines())


def test_output_goes_to_a_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "askr.prom"
    done = run("doctor", "--only", "php", "--format", "prom", "-o", path)
    assert done.returncode in (0, 1) and done.stdout == ""
    assert "askr_doctor_check_status" in path.read_text()
    denied = run("doctor", "--only", "php", "-o", tmp_path / "no/such/file")
    assert denied.returncode == 3 and "cannot be written" in denied.stderr
