# SPDX-License-Identifier: MIT
"""Where large bodies are spooled is full: who sends one is told, and nobody else notices."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from system.conftest import Serve
from system.harness import with_small_disk

DISK_KIB = 256
SCRIPT = "<?php echo strlen(file_get_contents('php://input'));"
SMALL, FITS, LARGE = 10 << 10, 200 << 10, 1 << 20


def test_a_body_that_the_disk_cannot_hold_is_a_507(
    serve: Serve, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    disk, app, body = tmp_path / "disk", tmp_path / "app", tmp_path / "body"
    wrapper = with_small_disk(disk, DISK_KIB, require)
    app.mkdir()
    (app / "index.php").write_text(SCRIPT)
    server = serve(app, config={"server": {"temp_dir": str(disk)}}, wrapper=wrapper)
    before = server.workers()

    def upload(size: int) -> str:
        """Body and status of the answer."""
        body.write_bytes(bytes(size))
        command = ["curl", "-s", "--max-time", "30", "-w", "|%{http_code}"]
        command += ["--data-binary", f"@{body}", f"http://127.0.0.1:{server.port}/"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    assert upload(FITS) == f"{FITS}|200"
    refused = upload(LARGE)
    assert refused.endswith("|507") and "no room" in refused
    assert upload(SMALL) == f"{SMALL}|200"
    assert upload(FITS) == f"{FITS}|200", "the place is given back"
    assert server.workers() == before
