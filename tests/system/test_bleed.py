# SPDX-License-Identifier: MIT
"""Each way to dirty a process, again and again: no later request sees it, and no memory is lost.

One process, so that whoever looks meets who was dirty. `--full` does 60,000 requests for each way,
which takes half an hour; the suite does enough to meet every process state once more than twice.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from system.client import ClosedError, build
from system.conftest import Serve, copy_app
from system.harness import Server

WAYS = {
    "session": 200, "cookies": 418, "env": 200, "ini": 200, "locale": 200, "handlers": 200,
    "shutdown": 200, "statics": 200, "buffers": 200, "streams": 200, "exit": 200, "exception": 500,
    "fatal": 500, "memory": 500, "afterwards": 200,
}  # fmt: skip
BATCH = 20  # pairs that are under way at once
WARM_UP, COUNT, FULL_COUNT = 200, 480, 60_000
GROWTH_MAX_KIB = 1024
CONFIG = {"php": {"processes": 1, "ini": ["log_errors=0"]}}
PAIR = "/dirt/{}", "/look"
COOKIE = [("Cookie", "PHPSESSID=fixed")]


@pytest.fixture(scope="module")
def one_process(serve_shared: Serve, mode: str, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("bleed")
    app = copy_app("matrix", folder)
    options = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    ini = [*CONFIG["php"]["ini"], f"session.save_path={folder}"]
    server = serve_shared(app, *options, config={"php": CONFIG["php"] | {"ini": ini}})
    server.wait_applications(1)
    return server


def private_kib(pid: int) -> int:
    """Memory that this process shares with nobody, so that a shared cache that fills is no leak."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [private] = re.findall(r"^Private_Dirty:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(private)


class Pairs:
    """Pairs of requests on one connection: one is dirty, the next one looks."""

    def __init__(self, server: Server, way: str) -> None:
        self.connection = server.connect()
        self.way = way
        dirty, look = (build("GET", path.format(way), COOKIE) for path in PAIR)
        self.batch = (dirty + look) * BATCH
        self.clean = [self.look(look) for _ in range(2)][-1]  # the first one compiles it

    def look(self, request: bytes) -> bytes:
        self.connection.send(request)
        return self.connection.receive().body

    def run(self, requests: int) -> None:
        for _ in range(requests // (2 * BATCH)):
            self.connection.send(self.batch)
            for _ in range(BATCH):
                assert self.connection.receive().status == WAYS[self.way]
                seen = self.connection.receive().body
                assert seen == self.clean, different(seen, self.clean)


def different(seen: bytes, clean: bytes) -> dict[str, Any]:
    """What bled, for whoever reads the failure."""
    was, is_now = json.loads(clean), json.loads(seen)
    return {name: (was[name], is_now[name]) for name in was if was[name] != is_now[name]}


@pytest.mark.parametrize("way", WAYS)
def test_no_request_sees_what_another_left_behind(
    one_process: Server, way: str, full: bool
) -> None:
    pairs = Pairs(one_process, way)
    assert json.loads(pairs.clean)["session"] == [1, "", "PHPSESSID", False]
    try:
        pairs.run(WARM_UP)
        [pid] = one_process.applications()
        before = private_kib(pid)
        pairs.run(FULL_COUNT if full else COUNT)
    except ClosedError:
        pytest.fail(one_process.log[-2000:])
    finally:
        pairs.connection.stream.close()
    assert one_process.applications() == [pid]
    growth = private_kib(pid) - before
    print(f"{way}: {growth:+} KiB")
    assert growth < GROWTH_MAX_KIB
