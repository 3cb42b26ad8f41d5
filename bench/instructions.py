# SPDX-License-Identifier: MIT
"""Instructions per request under callgrind, for fixed scenarios: a number that noise does not move.

    .venv/bin/python bench/instructions.py BUILD [BUILD...] [-- OPTION...]

Each BUILD is a meson build directory; its serve_host, module_echo and askr-zygote are built first.
A scenario is run twice with different numbers of requests on one connection; what differs, divided
by the difference in requests, is the cost of one, start-up and shut-down left out. It is the
worker's: valgrind knows no pidfds, so the application runs outside of it. Options are serve_host's;
`--host test` makes it a server of sites.
"""

import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TARGETS = ("tests/engine/serve_host", "tests/engine/module_echo.so", "askrctl/engine/askr-zygote")
FEW, MANY = 200, 1200
SCENARIOS = {"static file": "/hello.txt", "application": "/hello"}
DEADLINE_S = 60.0


def _ask(port: int, target: str, count: int) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: test\r\nUser-Agent: bench\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as stream:
        for _ in range(count):
            stream.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += stream.recv(65536)
            head, body = answer.split(b"\r\n\r\n", 1)
            assert head.startswith(b"HTTP/1.1 200"), head
            length = re.search(rb"\r\nContent-Length: (\d+)", head)
            assert length is not None, head
            while len(body) < int(length[1]):
                body += stream.recv(65536)


def _total(path: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    assert found is not None, path.read_text()[-400:]
    return int(found[1])


def _run(build: Path, target: str, count: int, options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        (root / "hello.txt").write_text("hello")
        (root / "index.php").write_text("<?php")  # answers what is no file
        command = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={folder}/out"]
        command += ["--log-file=/dev/null", str(build / TARGETS[0])]
        command += ["epoll", str(root), "--front", "index.php", "--apps", "1"]
        command += ["--module", str(build / TARGETS[1]), "--zygote", str(build / TARGETS[2])]
        command += options
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1])
        _ask(port, "/hello", 20)  # the application is up, and its pace is known
        _ask(port, target, count)
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        return _total(folder / "out")


def main() -> None:
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    options = words[at + 1 :]
    for build in map(Path, words[:at]):
        subprocess.run(["ninja", "-C", str(build), *TARGETS], check=True, capture_output=True)
        for name, target in SCENARIOS.items():
            many, few = (_run(build, target, count, options) for count in (MANY, FEW))
            cost = (many - few) / (MANY - FEW)
            print(f"{build}: {name}: {cost:.0f} instructions of the worker", flush=True)


if __name__ == "__main__":
    main()
