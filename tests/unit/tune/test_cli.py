# SPDX-License-Identifier: MIT
"""`askrctl tune` as its user meets it: the real program, on a tree, piped and on a terminal."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.tune.machine import DROPIN, OURS, RPS, SOMAXCONN, Machine, make

SECONDS_MAX = 30.0
COMMAND = [sys.executable, "-P", "-m", "askrctl", "tune"]
PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = make(tmp_path)
    machine.write("/usr/lib/systemd/system/askr.service", "[Service]\nLimitNOFILE=1024\n")
    machine.write("/proc/sys/net/ipv4/tcp_sack", "0\n")
    machine.write("/etc/sysctl.d/99-blog.conf", "net.ipv4.tcp_sack = 0\n")
    return machine


def tune(
    machine: Machine, *words: str, columns: int = 80, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words, "--root", str(machine.root)],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        timeout=SECONDS_MAX,
        env={**PLAIN, "COLUMNS": str(columns)},
    )


def outcome(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(result.stdout)["outcomes"][0]
    return found


def test_the_plan_is_for_reading_and_changes_nothing(machine: Machine) -> None:
    before = machine.look()
    result = tune(machine, "plan")
    assert result.returncode == 0 and result.stderr == ""
    assert "  net.core.somaxconn  128 -> 4096\n" in result.stdout
    assert "    + LimitNOFILE=65536\n" in result.stdout
    assert "/etc/sysctl.d/99-blog.conf:1 sets it to 0 and is read after ours" in result.stdout
    assert f"next: askrctl tune apply --root={machine.root}" in result.stdout.replace("\n", " ")
    assert machine.look() == before and machine.read("/var/lib/askr/tune/lock") is None


@pytest.mark.parametrize("columns", [80, 50])
def test_piped_text_fits_its_width_and_has_no_colour(machine: Machine, columns: int) -> None:
    for words in (["plan"], ["apply", "--yes"], ["status"], ["verify"], ["history"]):
        text = tune(machine, *words, columns=columns).stdout
        lines = [line for line in text.splitlines() if str(machine.root) not in line]
        assert max(map(len, lines)) <= columns or (columns < 80 and words == ["history"])
        assert text == "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        assert "\x1b" not in text and text.isascii()


def test_exit_code_ten_says_that_there_is_something_to_do(machine: Machine) -> None:
    assert tune(machine, "plan", "--exit-code").returncode == 10
    tune(machine, "apply", "--yes")
    assert tune(machine, "plan", "--exit-code").returncode == 0


def test_apply_says_what_changed_and_how_to_undo_it(machine: Machine) -> None:
    before = machine.look()
    result = tune(machine, "apply", "--yes")
    assert result.returncode == 0
    assert "transaction 1: 3 changes made\n" in result.stdout
    assert result.stdout.endswith("undo: askrctl tune revert 1\n")
    assert machine.read(SOMAXCONN) == "4096\n" and machine.read(DROPIN) is not None
    again = tune(machine, "apply", "--yes")
    assert (again.returncode, again.stdout) == (0, "already as wanted: nothing was changed\n")
    undone = tune(machine, "revert", "1")
    assert (undone.returncode, undone.stdout) == (0, "transaction 1: undone (asked for)\n")
    assert machine.look() == before
    assert tune(machine, "revert").stdout == "nothing to undo\n"


def test_a_plan_as_json_is_what_is_applied(machine: Machine, tmp_path: Path) -> None:
    text = tune(machine, "plan", "--json").stdout
    plan = tmp_path.parent / f"{tmp_path.name}.json"
    plan.write_text(text)
    result = tune(machine, "apply", "--plan", str(plan), "--yes", "--json")
    assert result.returncode == 0
    assert outcome(result)["changed"] == [item["key"] for item in json.loads(text)["items"]]
    again = tune(machine, "apply", "--plan", "-", "--yes", stdin=text)
    assert (again.returncode, again.stdout) == (0, "already as wanted: nothing was changed\n")


def test_a_plan_with_a_foreign_key_is_refused_in_one_sentence(machine: Machine) -> None:
    before = machine.look()
    plan = json.loads(tune(machine, "plan", "--json").stdout)
    plan["items"][0]["key"] = "kernel.core_pattern"
    result = tune(machine, "apply", "--plan", "-", "--yes", stdin=json.dumps(plan))
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == (
        "askrctl: standard input: items[0]: 'kernel.core_pattern' is not a key that tune writes; "
        "nothing was changed\n"
        "hint: askrctl tune plan --format json > FILE makes one for this machine\n"
    )
    assert machine.look() == before


def test_the_script_does_the_same_as_apply(machine: Machine, tmp_path: Path) -> None:
    other = Path(f"{tmp_path}-script")
    shutil.copytree(tmp_path, other)
    script = tune(machine, "plan", "--format", "sh").stdout
    tune(machine, "apply", "--yes")
    subprocess.run(["sh"], input=script, text=True, check=True, env={**PLAIN, "ROOT": str(other)})
    assert Machine(other).look() == machine.look()


def test_the_diff_is_one_that_patch_takes(
    machine: Machine, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    require(shutil.which("patch") is not None, "patch")
    other = Path(f"{tmp_path}-patch")
    shutil.copytree(tmp_path, other)
    diff = tune(machine, "plan", "--format", "diff").stdout
    assert diff.startswith("# net.core.somaxconn: 128 -> 4096 (")
    tune(machine, "apply", "--yes")
    subprocess.run(["patch", "-p1", "-d", str(other), "-s"], input=diff, text=True, check=True)
    for path in (OURS, DROPIN):
        assert Machine(other).read(path) == machine.read(path)


def test_folklore_is_refused_with_the_reason(machine: Machine) -> None:
    result = tune(machine, "apply", "--set", "net.ipv4.tcp_tw_recycle=1", "--yes")
    assert result.returncode == 1
    assert "is refused: it dropped clients behind NAT" in result.stderr
    assert "hint: askrctl tune plan\n" in result.stderr


def test_nobody_to_say_yes_is_a_no(machine: Machine) -> None:
    before = machine.look()
    result = tune(machine, "apply")
    assert result.returncode == 2 and "--yes" in result.stderr
    assert machine.look() == before and machine.read("/var/lib/askr/tune/lock") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan", "--format", "xml"], "--format xml: it can be text, diff, json, sh"),
        (["plan", "--only", "net.nothing"], "no check of that name"),
        (["plan", "--set", "kernel.sysrq=1"], "kernel.sysrq is not a key that tune writes"),
        (["plan", "--set", "x"], "it must be KEY=VALUE"),
        (["plan", "--unit", "../x"], "it must be the name of a service"),
        (["plan", "--runtime-only", "--persist-only"], "leave nothing to do"),
        (["apply", "--plan", "/nonexistent", "--yes"], "No such file"),
        (["apply", "--plan", "x", "--only", "net"], "goes with none of"),
        (["apply", "--confirm-within", "soon"], "it must be a time"),
        (["apply", "--confirm-within", "2h"], "at most one hour"),
        (["revert", "7"], "there is no transaction 7"),
        (["revert", "7", "--all"], "one of TRANSACTION, --last and --all"),
    ],
)
def test_misuse_is_one_sentence_and_exit_two(
    machine: Machine, words: list[str], sentence: str
) -> None:
    result = tune(machine, *words)
    assert result.returncode == 2 and sentence in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr


def test_drift_is_shown_and_exits_with_four(machine: Machine) -> None:
    assert tune(machine, "status").returncode == 0
    tune(machine, "apply", "--yes")
    assert tune(machine, "verify").stdout.count("  ok    ") == 3
    machine.write(SOMAXCONN, "65535\n")
    result = tune(machine, "status")
    assert result.returncode == 4
    assert "drift net.core.somaxconn = 4096  (transaction 1)\n        it is 65535 now\n" in (
        result.stdout
    )
    machine.write("/etc/sysctl.d/90-late.conf", "net.core.somaxconn = 128\n")
    text = tune(machine, "verify").stdout
    assert "at the next boot /etc/sysctl.d/90-late.conf:1 sets" in " ".join(text.split())
    reverted = tune(machine, "revert")
    assert reverted.returncode == 0
    assert "kept net.core.somaxconn: changed by somebody since, to 65535" in reverted.stdout
    assert tune(machine, "revert", "1", "--force").returncode == 0
    assert machine.read(SOMAXCONN) == "128\n"


def test_only_the_newest_of_two_may_be_undone(machine: Machine) -> None:
    before = machine.look()
    tune(machine, "apply", "--yes")
    tune(machine, "apply", "--yes", "--set", "net.core.somaxconn=8192")
    after = machine.look()
    result = tune(machine, "revert", "1")
    assert result.returncode == 1 and "transaction 2 changed" in result.stderr
    assert machine.look() == after
    assert tune(machine, "revert", "--all").returncode == 0
    assert machine.look() == before


def test_what_a_crash_left_is_undone_first_and_nothing_older(machine: Machine) -> None:
    tune(machine, "apply", "--yes", "--persist-only")
    after = machine.look()
    journal = machine.root / "var/lib/askr/tune/0002.jsonl"
    tune(machine, "apply", "--yes")  # the second one, of which we then take away the end
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    index = machine.root / "var/lib/askr/tune/current"
    lines = json.loads(index.read_text())["lines"]
    index.write_text(json.dumps({"lines": {"1": lines["1"]}, "items": []}))
    status = tune(machine, "status")
    assert status.returncode == 4 and "transaction 2 is interrupted" in status.stdout
    assert "transaction 2 was interrupted" in " ".join(tune(machine, "plan").stdout.split())
    result = tune(machine, "revert")
    assert result.returncode == 0
    assert "transaction 2: it was interrupted; it was undone first" in result.stderr
    assert machine.look() == after


def test_apply_after_a_crash_plans_on_what_is_left_when_it_is_undone(machine: Machine) -> None:
    tune(machine, "apply", "--yes")
    done = machine.look()
    journal = machine.root / "var/lib/askr/tune/0001.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    (machine.root / "var/lib/askr/tune/current").unlink()
    result = tune(machine, "apply", "--yes", "--json")
    report = json.loads(result.stdout)
    assert result.returncode == 0
    assert report["recovered"][0]["transaction"] == 1
    assert (report["outcomes"][0]["transaction"], machine.look()) == (2, done)


def test_a_damaged_journal_is_refused(machine: Machine) -> None:
    tune(machine, "apply", "--yes")
    journal = machine.root / "var/lib/askr/tune/0001.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    after = machine.look()
    for words in (["revert"], ["apply", "--yes", "--set", "fs.nr_open=2000000"], ["status"]):
        result = tune(machine, *words)
        assert result.returncode == 3 and "0001.jsonl is damaged" in result.stderr
    assert machine.look() == after


def test_who_is_second_is_told_who_is_first(machine: Machine) -> None:
    folder = machine.root / "var/lib/askr/tune"
    folder.mkdir(parents=True)
    before = machine.look()
    with (folder / "lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        result = tune(machine, "apply", "--yes")
    assert result.returncode == 5
    assert "another askrctl tune is at work (process 4711); nothing was changed" in result.stderr
    assert machine.look() == before


def test_without_root_nothing_is_tried(require: Callable[[bool, str], None]) -> None:
    """In a user namespace without a mapping everybody is nobody, yet may read what root may."""
    nobody = ["unshare", "--user", "--"]
    made = subprocess.run([*nobody, "true"], capture_output=True, check=False)
    require(made.returncode == 0, "the right to make user namespaces")
    for words in (["apply", "--yes"], ["revert"], ["confirm"]):
        result = subprocess.run(
            [*nobody, *COMMAND, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
            env=PLAIN,
        )
        assert result.returncode == 5, result.stderr
        assert f"tune {words[0]} needs root; nothing was changed" in result.stderr
        assert f"sudo askrctl tune {words[0]}" in result.stderr


# --- the confirm window ---------------------------------------------------------------------------


def wait_for_end(process: int) -> None:
    """Of a process that is not our child."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:  # it has ended already
        return
    try:
        assert select.select([handle], [], [], SECONDS_MAX)[0], "it did not end in time"
    finally:
        os.close(handle)


def test_what_nobody_confirms_is_undone_by_the_watcher(machine: Machine) -> None:
    before = machine.look()
    result = tune(machine, "apply", "--yes", "--confirm-within", "100ms", "--json")
    assert result.returncode == 0
    wait_for_end(json.loads(result.stdout)["watcher"])
    assert machine.look() == before
    late = tune(machine, "confirm")
    assert late.returncode == 1 and "too late: transaction 1" in late.stderr


def test_a_network_device_is_changed_on_approval_unless_somebody_says_otherwise(
    machine: Machine,
) -> None:
    words = ("apply", "--yes", "--json", f"--set={RPS}=f")
    result = tune(machine, *words)
    assert result.returncode == 0, result.stderr
    watcher = json.loads(result.stdout)["watcher"]
    os.kill(watcher, signal.SIGTERM)
    waits = tune(machine, "status")
    assert waits.returncode == 4 and "unconfirmed: askrctl tune confirm keeps it" in waits.stdout
    assert tune(machine, "revert").returncode == 0
    assert (machine.read(RPS) or "").strip() in ("0", "00")
    result = tune(machine, *words, "--confirm-within=never")
    assert json.loads(result.stdout)["watcher"] is None and tune(machine, "status").returncode == 0


def test_what_is_confirmed_stays(machine: Machine) -> None:
    result = tune(machine, "apply", "--yes", "--confirm-within", "20s", "--json")
    after = machine.look()
    other = tune(machine, "apply", "--yes", "--set", "fs.nr_open=2000000")
    assert other.returncode == 1 and "still waits for a confirmation" in other.stderr
    assert tune(machine, "status").returncode == 4
    assert tune(machine, "confirm").stdout == "transaction 1 stays\n"
    watcher = json.loads(result.stdout)["watcher"]
    os.kill(watcher, 9)  # it would only find that there is nothing left for it to do
    assert machine.look() == after
    assert tune(machine, "confirm").returncode == 1


# --- on a terminal --------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def converse(
    machine: Machine, terminal: tuple[int, int], answer: bytes, **environment: str
) -> tuple[int, str]:
    """Run `apply` on a terminal and type the answer."""
    ours, theirs = terminal
    process = subprocess.Popen(
        [*COMMAND, "apply", "--root", str(machine.root)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**PLAIN, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    os.write(ours, answer)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # EIO: nobody has the other end open any more
            break
        said += part
    return process.wait(SECONDS_MAX), said.decode()


def test_a_no_on_the_terminal_changes_nothing(machine: Machine, terminal: tuple[int, int]) -> None:
    before = machine.look()
    code, said = converse(machine, terminal, b"n\n")
    assert code == 1 and "apply 3 changes?" in said and "nothing was changed" in said
    assert "\x1b[" in said
    assert machine.look() == before


def test_no_color_is_heeded_on_a_terminal(machine: Machine, terminal: tuple[int, int]) -> None:
    code, said = converse(machine, terminal, b"y\n", NO_COLOR="1")
    assert code == 0 and "transaction 1: 3 changes made" in said
    assert "\x1b[3" not in said
    assert machine.read(SOMAXCONN) == "4096\n"
