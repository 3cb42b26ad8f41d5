# SPDX-License-Identifier: MIT
"""What is large goes through the server and is in nobody's memory: neither ours nor a script's."""

import shutil
import subprocess
from pathlib import Path

import pytest
from system.conftest import Serve
from system.harness import Server, tree

SIZE = 64 << 20
GROWTH_MAX_KIB = SIZE >> 12  # a quarter; measured: 0.1 to 1.3 MiB of a worker, 8 of a new PHP
PROTOCOLS = ["--http1.1", "--http2"]
SCRIPT = """<?php
$size = 0;
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    for ($body = fopen('php://input', 'rb'); !feof($body);) $size += strlen(fread($body, 65536));
    echo $size;
} else {
    for ($block = str_repeat('x', 8192); $size < (int) $_GET['size']; $size += 8192) echo $block;
}
"""


@pytest.fixture(scope="module")
def server(serve_shared: Serve, secure: bool, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("memory")
    (folder / "index.php").write_text(SCRIPT)
    with (folder / "large.bin").open("wb") as file:
        file.truncate(SIZE)
    config = {"limits": {"body_size": "1G"}}
    server = serve_shared(folder, "--processes", "1", secure=secure, config=config)
    server.wait_applications(1)
    return server


def kib(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def growth_kib(pids: list[int], before: dict[int, int]) -> dict[int, int]:
    """By how much the most that each had since then is more than it had then."""
    return {pid: kib(pid, "VmHWM:") - before[pid] for pid in pids}


def curl(server: Server, protocol: str, *options: str) -> str:
    tool = shutil.which("curl")
    assert tool is not None, "curl is missing: run ./dev test system"
    prior = "--http2-prior-knowledge"
    version = prior if protocol == "--http2" and not server.secure else protocol
    base = f"{'https' if server.secure else 'http'}://127.0.0.1:{server.port}"
    command = [tool, "-sSk", version, "-H", "Expect:", *options[:-1], base + options[-1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_large_bodies_are_in_no_process_s_memory(server: Server, protocol: str) -> None:
    pids = tree(server.process.pid)
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most it had is what it has
    before = {pid: kib(pid, "VmRSS:") for pid in pids}
    away = ["-o", "/dev/null", "-w", "%{size_download}"]
    assert curl(server, protocol, *away, f"/index.php?size={SIZE}") == str(SIZE)
    assert curl(server, protocol, *away, "/large.bin") == str(SIZE)
    file = str(server.path / "large.bin")
    kind = ["-H", "Content-Type: application/octet-stream"]
    sent = [*kind, "-X", "POST", "-T", file, "/index.php"]
    assert curl(server, protocol, *sent) == str(SIZE)
    grown = growth_kib(pids, before)
    assert max(grown.values()) < GROWTH_MAX_KIB, grown
