# SPDX-License-Identifier: MIT
"""Which line of which file wins: by the manual, and by what the real programs then do."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.tune import namespace

from askrctl.probes import sysctl_files
from askrctl.probes.host import Host
from askrctl.tune import sysctld
from askrctl.tune.disk import Disk

KEY = "net.core.somaxconn"
PROGRAM = "/usr/lib/systemd/systemd-sysctl"


def tree(root: Path, files: dict[str, str]) -> Disk:
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Disk(root)


def where(disk: Disk, key: str = KEY) -> str:
    found = sysctld.winner(sysctld.files(disk), key)
    return "" if found is None else f"{found.place}={found.value}"


def test_names_decide_not_folders(tmp_path: Path) -> None:
    disk = tree(
        tmp_path,
        {
            "/usr/lib/sysctl.d/50-default.conf": f"{KEY}=1",
            "/etc/sysctl.d/60-askr.conf": f"{KEY}=2",
            "/run/sysctl.d/70-run.conf": f"{KEY}=3",
            "/usr/lib/sysctl.d/99-z.conf": f"# a\n\n{KEY} = 4\n",
        },
    )
    assert where(disk) == "/usr/lib/sysctl.d/99-z.conf:3=4"


def test_a_folder_that_comes_first_hides_the_same_name(tmp_path: Path) -> None:
    files = {"/usr/lib/sysctl.d/60-a.conf": f"{KEY}=1", "/run/sysctl.d/60-a.conf": f"{KEY}=2"}
    assert where(tree(tmp_path, files)) == "/run/sysctl.d/60-a.conf:1=2"
    assert where(tree(tmp_path, {"/etc/sysctl.d/60-a.conf": ""})) == ""


def test_a_link_to_dev_null_masks_a_file(tmp_path: Path) -> None:
    disk = tree(tmp_path, {"/usr/lib/sysctl.d/60-a.conf": f"{KEY}=1", "/etc/sysctl.d/x": ""})
    (tmp_path / "etc/sysctl.d/60-a.conf").symlink_to("/dev/null")
    assert where(disk) == ""


def test_the_link_of_debian_is_followed_inside_the_tree(tmp_path: Path) -> None:
    disk = tree(
        tmp_path, {"/etc/sysctl.conf": f"{KEY}=7", "/etc/sysctl.d/60-askr.conf": f"{KEY}=2"}
    )
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("/etc/sysctl.conf")
    assert where(disk) == "/etc/sysctl.d/99-sysctl.conf:1=7"


def test_an_explicit_key_beats_every_glob_and_a_lone_minus_excludes(tmp_path: Path) -> None:
    key = "net.ipv4.conf.eth0.rp_filter"
    explicit = {"/etc/sysctl.d/10-a.conf": f"{key}=1\n"}
    glob = {"/etc/sysctl.d/90-b.conf": "net.ipv4.conf.*.rp_filter=2\n"}
    assert where(tree(tmp_path / "1", explicit | glob), key).endswith("10-a.conf:1=1")
    assert where(tree(tmp_path / "2", glob), key).endswith("90-b.conf:1=2")
    minus = {"/etc/sysctl.d/10-a.conf": f"-{key}\n"}
    assert where(tree(tmp_path / "3", minus | glob), key) == ""
    assert where(tree(tmp_path / "4", glob), "net.ipv4.conf.eth0.x.rp_filter") == ""


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("kernel.domainname", "kernel.domainname"),
        ("kernel/domainname", "kernel.domainname"),
        ("net.ipv4.conf.enp3s0/200.forwarding", "net.ipv4.conf.enp3s0/200.forwarding"),
        ("net/ipv4/conf/enp3s0.200/forwarding", "net.ipv4.conf.enp3s0/200.forwarding"),
    ],
)
def test_the_first_separator_decides(name: str, key: str) -> None:
    assert sysctl_files.normal(name) == key


def test_procps_reads_sysctl_conf_once_more_at_the_end(tmp_path: Path) -> None:
    disk = tree(tmp_path, {"/etc/sysctl.conf": f"{KEY}=1", "/etc/sysctl.d/99-zz.conf": f"{KEY}=2"})
    found = sysctld.winner_of_system(disk, sysctld.files(disk), KEY)
    assert found is not None and found.path == "/etc/sysctl.conf"


def test_lines_that_nobody_takes_are_left_out() -> None:
    text = "; a\n#b\n  \nnonsense\n-net.core.somaxconn = 5\nnet.core.somaxconn=\n"
    found = sysctl_files.parse("/x", text)
    assert [(a.key, a.value, a.line) for a in found] == [
        ("net.core.somaxconn", "5", 5),
        ("net.core.somaxconn", "", 6),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_the_doctor_and_tune_name_the_same_line(tmp_path: Path, seed: int) -> None:
    disk = tree(tmp_path, random_files(seed))
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assignments = sysctl_files.assignments(Host(tmp_path, {}))
    for key in KEYS:
        ours = sysctld.winner(sysctld.files(disk), key)
        theirs = [(item.path, item.value) for item in sysctl_files.setters(assignments, key)]
        assert theirs[-1:] == ([(ours.path, ours.value)] if ours is not None else [])


# --- against the programs themselves --------------------------------------------------------------

# Keys that each network namespace has of its own, with names that globs can meet, and that the
# kernel does not copy from one another (as it does from net.ipv4.conf.default to interfaces).
KEYS = ("net.ipv4.tcp_retries1", "net.ipv4.tcp_retries2", "net.ipv4.tcp_orphan_retries")
LINES = (
    "net.ipv4.tcp_retries1 = {}",
    "net/ipv4/tcp_retries1={}",
    "-net.ipv4.tcp_retries1 = {}",
    "net.ipv4.tcp_retries2 = {}",
    "net.ipv4.tcp_retries* = {}",
    "net.ipv4.tcp_*retries* = {}",
    "net.ipv4.*_retries[2-9] = {}",
    "net/ipv?/tcp_orphan_retries={}",
    "-net.ipv4.tcp_retries2",
    "-net.ipv4.tcp_orphan_retries",
    "# net.ipv4.tcp_retries1 = {}",
    "",
)


def random_files(seed: int) -> dict[str, str]:
    """A few files in the four folders, some with the same name."""
    chance = random.Random(seed)
    files = {}
    for _ in range(chance.randint(1, 6)):
        folder = chance.choice(namespace.FOLDERS)
        name = chance.choice(("10-a", "50-b", "60-askr", "99-c")) + ".conf"
        lines = [chance.choice(LINES).format(chance.randint(4, 7)) for _ in range(3)]
        files[f"{folder}/{name}"] = "\n".join(lines) + "\n"
    return files


# A pattern that is repeated with the same value keeps its place, so the one after it wins.
REPEATED = {
    "/etc/sysctl.d/10-a.conf": "net.ipv4.tcp_retries* = 5\n",
    "/etc/sysctl.d/20-b.conf": "net.ipv4.tcp_*retries1 = 6\n",
    "/etc/sysctl.d/30-c.conf": "net.ipv4.tcp_retries* = 5\n",
}


def test_a_pattern_that_is_repeated_keeps_its_place(tmp_path: Path) -> None:
    assert where(tree(tmp_path, REPEATED), "net.ipv4.tcp_retries1").endswith("20-b.conf:1=6")


@pytest.mark.parametrize("files", [REPEATED, *map(random_files, range(10))])
def test_systemd_sysctl_leaves_what_we_say_it_will(
    tmp_path: Path, files: dict[str, str], require: Callable[[bool, str], None]
) -> None:
    require(namespace.available(), "the right to make namespaces")
    require(Path(PROGRAM).exists(), "systemd-sysctl")
    disk = tree(tmp_path, files)
    paths = [f"/proc/sys/{key.replace('.', '/')}" for key in KEYS]
    set_to_8 = "\n".join(f"echo 8 >{path}" for path in paths)
    script = f"{set_to_8}\n{PROGRAM} --prefix=/net || true\ncat {' '.join(paths)}"
    result = namespace.run(tmp_path, script)
    assert result.returncode == 0, result.stderr
    for key, value in zip(KEYS, result.stdout.split(), strict=True):
        found = sysctld.winner(sysctld.files(disk), key)
        assert value == ("8" if found is None else found.value), f"{key} by {found}"


def test_sysctl_system_leaves_what_we_say_it_will(
    tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    require(namespace.available(), "the right to make namespaces")
    version = subprocess.run(["sysctl", "--version"], capture_output=True, text=True, check=False)
    require("procps" in version.stdout, "sysctl of procps")
    files = {
        "/etc/sysctl.conf": "net.ipv4.tcp_retries1 = 5\n",
        "/etc/sysctl.d/99-zz-askr.conf": "net.ipv4.tcp_retries1 = 6\n",
    }
    disk = tree(tmp_path, files)
    script = "sysctl --system --pattern '^net.ipv4.tcp_retries1$' >/dev/null\n"
    result = namespace.run(tmp_path, f"{script}cat /proc/sys/net/ipv4/tcp_retries1")
    found = sysctld.winner_of_system(disk, sysctld.files(disk), "net.ipv4.tcp_retries1")
    assert found is not None and result.stdout.strip() == found.value == "5", result.stderr


def test_a_line_is_counted_from_the_top_blank_ones_included(tmp_path: Path) -> None:
    tree(tmp_path, {"/etc/sysctl.d/60-a.conf": f"\n \n# a\n{KEY}=2\n\n"})
    [found] = sysctl_files.assignments(Host(tmp_path, {}))
    assert found.place == "/etc/sysctl.d/60-a.conf:4"
    assert where(Disk(tmp_path)) == "/etc/sysctl.d/60-a.conf:4=2"
