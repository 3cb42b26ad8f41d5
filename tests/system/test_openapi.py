# SPDX-License-Identifier: MIT
"""The description of the admin API against what is served, by a tool that makes up requests."""

import os
import subprocess
import sys
from pathlib import Path

from system.client import ask
from system.conftest import Serve

TOKEN = "a-token-of-this-test-only"
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def test_whatever_is_asked_is_answered_as_described(serve_once: Serve, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    config = {"admin": {"listen": ["127.0.0.1:0"], "token": TOKEN}}
    server = serve_once(tmp_path / "files", config=config)
    [url] = server.status()["admin"]
    address = "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])
    fields = [("Authorization", f"Bearer {TOKEN}")]
    (tmp_path / "api.json").write_bytes(ask(address, "GET", "/api/openapi.json", fields).body)
    # A worker that is drained answers 503 for a moment, as described, and 500 is not described.
    command = [
        SCHEMATHESIS,
        "run",
        "api.json",
        "--url",
        url,
        "-H",
        f"Authorization: Bearer {TOKEN}",
    ]
    command += ["--exclude-checks", "not_a_server_error", "--max-examples", "10", "--seed", "1"]
    done = subprocess.run(
        [str(word) for word in (*command, "--no-color")],
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13/13" in done.stdout, "all operations"
