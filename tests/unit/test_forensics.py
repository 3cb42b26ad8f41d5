# SPDX-License-Identifier: MIT
"""What /proc says of a process: from a captured tree, and of a process that is really there."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

from askrctl.server import forensics

TCP = """  sl  local_address rem_address   st tx:rx tr:when retrnsmt uid timeout inode
   0: 0100007F:1F90 0200007F:0050 01 0:0 00:0 0 0 0 4711 1
   1: 00000000:0016 00000000:0000 0A 0:0 00:0 0 0 0 9999 1
"""
ONE, SITE = "00000000000000000000000001000000", "B80D0120000000000000000001000000"
TCP6 = f"""  sl  local_address remote_address st tx:rx tr:when retrnsmt uid timeout inode
   0: {ONE}:0FA0 {SITE}:01BB 02 0:0 00:0 0 0 0 4712
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000003 00000000 00000000 0001 03 4713 /run/mysqld/mysqld.sock
0000000000000000: 00000003 00000000 00000000 0001 03 4714
"""


def capture(proc: Path, pid: int) -> Path:
    process = proc / str(pid)
    (process / "fd").mkdir(parents=True)
    (process / "net").mkdir()
    (process / "net/tcp").write_text(TCP)
    (process / "net/tcp6").write_text(TCP6)
    (process / "net/unix").write_text(UNIX)
    for number, inode in enumerate((4711, 4712, 4713, 4714), 3):
        (process / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    return process


def test_sockets_are_named_by_their_ends(tmp_path: Path) -> None:
    capture(tmp_path, 7)
    assert forensics.collect(7, tmp_path).sockets == (
        "tcp 127.0.0.1:8080 to 127.0.0.2:80 established",
        "tcp [0000:0000:0000:0000:0000:0000:0000:0001]:4000"
        " to [2001:0db8:0000:0000:0000:0000:0000:0001]:443 connecting",
        "unix /run/mysqld/mysqld.sock",
    )


def test_a_name_with_brackets_does_not_hide_the_state(tmp_path: Path) -> None:
    process = capture(tmp_path, 7)
    (process / "stat").write_text("7 (a) b (c) D 1 7 7 0")
    (process / "wchan").write_text("0")
    facts = forensics.collect(7, tmp_path)
    assert (facts.state, facts.wchan) == ("D", "")


def test_a_process_that_is_gone_has_no_facts(tmp_path: Path) -> None:
    assert forensics.collect(7, tmp_path) == forensics.Forensics()


def test_who_waits_for_a_lock_is_told_who_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX)"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-c", code, str(file)]) as waiter:
            while not forensics.collect(waiter.pid).locks:
                assert waiter.poll() is None
            locks = forensics.collect(waiter.pid).locks
            fcntl.flock(held, fcntl.LOCK_UN)
    assert locks == (f"waits for flock write {file}, held by {os.getpid()}",)


def test_descendants_are_children_and_theirs() -> None:
    code = "import subprocess as s; s.run(['sh', '-c', 'cat; true'])"
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, "-c", code], stdin=theirs) as child:
        theirs.close()
        while len(found := forensics.descendants(child.pid)) < 2:
            assert child.poll() is None
        assert child.pid in forensics.descendants(os.getpid())
        assert any(item.endswith("cat") for item in forensics.collect(child.pid).children)
        ours.close()
    assert len(found) == 2
