# SPDX-License-Identifier: MIT
"""The real thing on real keys: in a network namespace of the test's own, by the real kernel."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.tune import namespace

READ = """
value() { tr '\\t' ' ' </proc/sys/net/$1; }
"""
KEYS = "core/somaxconn ipv4/tcp_migrate_req ipv4/tcp_rmem ipv4/ip_local_reserved_ports"
SHOW = f"for key in {KEYS}; do value $key; done\n"
SETS = (
    "--set net.core.somaxconn=16384 --set net.ipv4.tcp_migrate_req=1 "
    "--set net.ipv4.tcp_rmem=50331648 --set net.ipv4.ip_local_reserved_ports=8080,8443"
)


@pytest.fixture(autouse=True)
def _namespaces(require: Callable[[bool, str], None]) -> None:
    require(namespace.available(), "the right to make namespaces")


def test_keys_of_the_namespace_are_applied_verified_and_reverted(tmp_path: Path) -> None:
    outside = Path("/proc/sys/net/core/somaxconn").read_text()
    script = f"""{READ}
before=$({SHOW})
askrctl tune apply --yes {SETS} >&2
{SHOW}
askrctl tune verify >&2
askrctl tune apply --yes {SETS} >&2
askrctl tune revert --last >&2
after=$({SHOW})
test "$before" = "$after" && echo same
ls /etc/sysctl.d
"""
    result = namespace.run(tmp_path, script)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["16384", "1"] and lines[2].split()[2] == "50331648"
    assert lines[3] == "8080,8443"
    assert lines[4:] == ["same"], "and no file of the machine was written"
    assert "transaction 1: 4 changes made" in result.stderr
    assert "already as wanted" in result.stderr
    assert result.stderr.count("  ok    ") == 4
    assert Path("/proc/sys/net/core/somaxconn").read_text() == outside


def test_what_somebody_sets_meanwhile_is_kept(tmp_path: Path) -> None:
    script = """
echo 4096 >/proc/sys/net/core/somaxconn
askrctl tune apply --yes --set net.core.somaxconn=16384 >&2
echo 20000 >/proc/sys/net/core/somaxconn
askrctl tune status >&2 || echo "status $?"
askrctl tune revert >&2
cat /proc/sys/net/core/somaxconn
"""
    result = namespace.run(tmp_path, script)
    assert result.stdout.split() == ["status", "4", "20000"], result.stderr
    assert "kept net.core.somaxconn: changed by somebody since, to 20000" in result.stderr


def test_a_value_that_the_kernel_refuses_undoes_the_others(tmp_path: Path) -> None:
    script = f"""{READ}
askrctl tune plan --json {SETS} >/var/lib/plan
mount --bind /proc/sys/net/ipv4/tcp_rmem /proc/sys/net/ipv4/tcp_rmem
mount -o remount,ro,bind /proc/sys/net/ipv4/tcp_rmem
before=$({SHOW})
code=0
askrctl tune apply --yes --plan /var/lib/plan >&2 || code=$?
after=$({SHOW})
echo $code
test "$before" = "$after" && echo same
"""
    result = namespace.run(tmp_path, script)
    assert result.stdout.split() == ["1", "same"], result.stderr


def test_where_proc_is_read_only_the_plan_says_so(tmp_path: Path) -> None:
    script = """
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
askrctl tune plan --json --set net.core.somaxconn=16384
"""
    result = namespace.run(tmp_path, script)
    plan = json.loads(result.stdout)
    assert plan["items"] == []
    assert plan["skipped"][0]["reason"] == "it is read-only here"


def test_a_key_of_the_whole_machine_is_refused_from_a_namespace(tmp_path: Path) -> None:
    outside = Path("/proc/sys/fs/nr_open").read_text()
    script = "askrctl tune plan --json --set fs.nr_open=16777216"
    plan = json.loads(namespace.run(tmp_path, script).stdout)
    assert plan["items"] == [] and "belongs to the whole machine" in plan["skipped"][0]["reason"]
    assert Path("/proc/sys/fs/nr_open").read_text() == outside


def test_a_full_disk_is_a_refusal_and_nothing_is_changed(tmp_path: Path) -> None:
    script = """
mkdir -p /var/lib/askr/tune
mount -t tmpfs -o size=16k,mode=700 none /var/lib/askr/tune
head -c 1000000 /dev/zero >/var/lib/askr/tune/ballast 2>/dev/null || true
before=$(cat /proc/sys/net/core/somaxconn)
code=0
askrctl tune apply --yes --set net.core.somaxconn=16384 >&2 || code=$?
echo $code
test "$(cat /proc/sys/net/core/somaxconn)" = "$before" && echo same
rm /var/lib/askr/tune/ballast
askrctl tune apply --yes --set net.core.somaxconn=16384 >&2
cat /proc/sys/net/core/somaxconn
"""
    result = namespace.run(tmp_path, script)
    assert result.stdout.split() == ["1", "same", "16384"], result.stderr
    assert "nothing was changed" in result.stderr and "No space left" in result.stderr


def test_a_limit_on_file_sizes_is_a_full_disk_too(tmp_path: Path) -> None:
    script = """
before=$(cat /proc/sys/net/core/somaxconn)
for size in 0 64 200 400 600 800 1000; do
    code=0
    prlimit --fsize=$size askrctl tune apply --yes --set net.core.somaxconn=16384 >&2 || code=$?
    test $code = 0 || test "$(cat /proc/sys/net/core/somaxconn)" = "$before" || echo mixed
    test $code = 0 || echo refused
    test $code -le 1 || echo "code $code"
done
askrctl tune revert --all >&2
test "$(cat /proc/sys/net/core/somaxconn)" = "$before" && echo same
"""
    result = namespace.run(tmp_path, script)
    words = result.stdout.split()
    assert words[-1] == "same" and words.count("refused") >= 3, result.stderr
    assert set(words) == {"refused", "same"}, result.stdout
    assert "Traceback" not in result.stderr
