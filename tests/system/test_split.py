# SPDX-License-Identifier: MIT
"""The time split against applications of known cost, below, at and far above their number.

What the buckets must come to is arithmetic over what the application measured itself and when its
clients were answered: so a machine that is busy with other things makes numbers larger, not wrong.
"""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from system.client import build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

PROCESSES = 2
TOLERANCE = 0.05
TRIES = 3  # a machine that stalls makes one of them wrong, an error of the split all of them
FILE_SIZE = 24 << 20  # more than the socket buffers of both ends can hold
Split = dict[str, float]


def split_of(server: Server) -> Split:
    return dict(server.status()["split"])


def settled(server: Server, before: Split, requests: int) -> Split:
    """What was added since `before`, once all `requests` have been counted."""

    def counted() -> Split | None:
        now = split_of(server)
        return now if now["requests"] - before["requests"] >= requests else None

    now: Split = wait_until("every request is counted", counted)
    added = {name: now[name] - before[name] for name in now}
    assert added["requests"] == requests
    return added


@pytest.fixture(scope="module")
def server(serve_shared: Serve, mode: str, tmp_path_factory: pytest.TempPathFactory) -> Server:
    app = copy_app("cost", tmp_path_factory.mktemp("cost"))
    options = ["--worker-script", "worker.php"] if mode == "worker" else []
    running = serve_shared(app, *options, config={"php": {"processes": PROCESSES}})
    running.wait_applications(PROCESSES)
    for _ in range(4 * PROCESSES):  # compile, and touch what is touched for the first time
        running.get("/?burn_ms=1")
    # An answer is counted behind its send, so whoever has it may look too early.
    wait_until("all of it is counted", lambda: split_of(running)["requests"] >= 4 * PROCESSES)
    return running


@dataclass(slots=True)
class Load:
    """What clients and the application saw, in seconds, summed over all requests."""

    latency: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0


def one_client(server: Server, target: str, start: threading.Barrier, count: int) -> Load:
    load = Load()
    with server.connect() as connection:
        start.wait()
        for _ in range(count):
            asked = time.monotonic()
            answer = connection.ask("GET", target)
            load.latency += time.monotonic() - asked
            assert answer.status == 200
            measured = json.loads(answer.body)
            load.wall += measured["wall_s"]
            load.cpu += measured["cpu_s"]
    return load


def drive(server: Server, target: str, concurrency: int, each: int) -> Load:
    """`concurrency` clients begin together and ask `each` times."""
    start = threading.Barrier(concurrency)
    with ThreadPoolExecutor(concurrency) as pool:
        parts = [pool.submit(one_client, server, target, start, each) for _ in range(concurrency)]
        loads = [part.result() for part in parts]
    return Load(
        sum(load.latency for load in loads),
        sum(load.wall for load in loads),
        sum(load.cpu for load in loads),
    )


def off(split: Split, load: Load, requests: int) -> dict[str, float]:
    """The buckets that are further from what arithmetic says than the tolerance, and by how much.

    Without any slack: a request costs so much that 5 % of it are more than what a client hears late
    of its answer, and whoever has no share is held to 5 % of the whole.
    """
    io = split["read_s"] + split["write_s"] + split["client_s"]
    parts = split["read_s"] + split["queue_s"] + split["app_wall_s"] + split["write_s"]
    # What a request costs besides the known part is a fraction of a millisecond.
    cpu_s = max(TOLERANCE * load.cpu, 0.001 * requests)
    found = {
        "app_wall": (split["app_wall_s"] - load.wall, TOLERANCE * load.wall),
        "app_cpu": (split["app_cpu_s"] - load.cpu, cpu_s),
        # Whatever of the clients' time the application did not have was spent waiting for it.
        "queue": (split["queue_s"] - (load.latency - load.wall), TOLERANCE * load.latency),
        "io": (io, TOLERANCE * load.latency),
        "parts": (parts - load.latency, TOLERANCE * load.latency),
    }
    return {name: error for name, (error, most) in found.items() if abs(error) > most}


@pytest.mark.parametrize(
    ("cost", "concurrency", "each"),
    [
        ("sleep_ms=200", 1, 2),
        ("burn_ms=100", PROCESSES, 2),
        ("sleep_ms=100&burn_ms=50", 1, 2),
        ("sleep_ms=100&burn_ms=50", PROCESSES, 2),
        ("sleep_ms=100&burn_ms=50", 16, 1),
        ("burn_ms=50", 16, 1),
    ],
)
def test_each_bucket_is_what_arithmetic_says(
    server: Server, cost: str, concurrency: int, each: int
) -> None:
    requests = concurrency * each
    for _ in range(TRIES):
        before = split_of(server)
        load = drive(server, f"/?{cost}", concurrency, each)
        wrong = off(settled(server, before, requests), load, requests)
        if not wrong:
            return
    raise AssertionError(f"each of {TRIES} times, at last by seconds: {wrong}")


def test_a_burst_waits_as_long_as_those_before_it_take(server: Server) -> None:
    """Round k of a burst waits for k rounds: nobody measured anything here but the server."""
    concurrency, sleep_s = 8 * PROCESSES, 0.1
    rounds = [index // PROCESSES for index in range(concurrency)]
    for _ in range(TRIES):
        before = split_of(server)
        drive(server, f"/?sleep_ms={sleep_s * 1000}", concurrency, 1)
        split = settled(server, before, concurrency)
        each_s = split["app_wall_s"] / concurrency
        assert each_s >= sleep_s
        if split["queue_s"] == pytest.approx(each_s * sum(rounds), rel=TOLERANCE):
            return
    raise AssertionError(f"{split['queue_s']} s instead of {each_s * sum(rounds)}")


def test_time_after_the_answer_is_nobodys_waiting(server: Server) -> None:
    before = split_of(server)
    assert server.get("/?after_ms=200").status == 200

    def finished() -> Split | None:
        now = split_of(server)
        return now if now["after_wall_s"] > before["after_wall_s"] else None

    now: Split = wait_until("the script has ended", finished)
    assert now["after_wall_s"] - before["after_wall_s"] == pytest.approx(0.2, rel=0.1, abs=0.05)
    assert now["app_wall_s"] - before["app_wall_s"] < 0.1


def test_a_slow_request_is_time_to_read(server: Server) -> None:
    before = split_of(server)
    request = build("GET", "/?burn_ms=0")
    with server.connect() as connection:
        connection.send(request[:20])
        begun = time.monotonic()
        wait_until("half a second has passed", lambda: time.monotonic() - begun > 0.5)
        connection.send(request[20:])
        ended = time.monotonic()
        assert connection.receive().status == 200
    split = settled(server, before, 1)
    assert split["read_s"] == pytest.approx(ended - begun, rel=TOLERANCE, abs=0.05)
    assert split["queue_s"] < 0.25


@pytest.fixture(scope="module")
def files(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("files")
    (folder / "small.txt").write_text("hello")
    with (folder / "large.bin").open("wb") as file:
        file.truncate(FILE_SIZE)
    return serve_shared(folder)


def read_slowly(server: Server, hold_s: float) -> tuple[float, float]:
    """Ask for the large file and take nothing for a while; how long that, and all of it, took."""
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(20)
        stream.connect(server.address)
        stream.sendall(build("GET", "/large.bin", [("Connection", "close")]))
        stream.recv(1, socket.MSG_PEEK)
        begun = time.monotonic()
        wait_until("it was long enough", lambda: time.monotonic() - begun > hold_s)
        held = time.monotonic() - begun
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        size = 0
        while data := stream.recv(1 << 20):
            size += len(data)
        assert size > FILE_SIZE
        return held, time.monotonic() - begun


def test_a_client_that_does_not_read_is_time_of_the_client(files: Server) -> None:
    before = split_of(files)
    held, whole = read_slowly(files, 0.5)
    split = settled(files, before, 1)
    assert split["client_s"] >= held * (1 - TOLERANCE)
    assert split["client_s"] <= whole + 0.1
    assert split["write_s"] >= split["client_s"] * (1 - TOLERANCE)
    assert split["queue_s"] == split["app_wall_s"] == split["app_cpu_s"] == 0


def thread_cpu_s(pid: int) -> float:
    """CPU time of the worker's only thread that serves (proc(5))."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def test_the_cpu_time_of_io_is_what_the_kernel_says(files: Server) -> None:
    [pid] = files.workers()
    for _ in range(2):  # what the tests before have cost is counted when their interval ends
        seen = split_of(files)
        wait_until("an interval ends", lambda seen=seen: split_of(files) != seen)
    before, cpu_before = split_of(files), thread_cpu_s(pid)
    with files.connect() as connection:
        for _ in range(3000):
            assert connection.ask("GET", "/small.txt").status == 200

    def agrees() -> bool:
        now, cpu = split_of(files), thread_cpu_s(pid) - cpu_before
        io = sum(now[name] - before[name] for name in ("io_cpu_user_s", "io_cpu_system_s"))
        assert io <= cpu * (1 + TOLERANCE) + 0.004
        return io >= cpu * (1 - TOLERANCE)

    wait_until("the last interval is counted", agrees)


def test_without_an_application_all_is_io(files: Server) -> None:
    files.get("/small.txt")
    wait_until("it is counted", lambda: split_of(files)["io_ceiling_pct"] == 100.0)


def test_an_application_that_takes_its_time_leaves_io_nothing_to_gain(server: Server) -> None:
    """Over all that this server did for the tests above, which is sleeping and burning."""
    split = split_of(server)
    assert split["app_wall_s"] > 1.0
    assert 0.0 < split["io_ceiling_pct"] < 5.0


def test_a_client_that_leaves_is_counted_apart(server: Server) -> None:
    before = abandoned(server)
    with server.connect() as connection:
        connection.send(build("GET", "/?sleep_ms=2000"))
        wait_until("it is served", lambda: busy(server))
    wait_until("its leaving is counted", lambda: abandoned(server) == before + 1)
    wait_until("the application is free again", lambda: not busy(server))


def abandoned(server: Server) -> int:
    return sum(worker["abandoned"] for worker in server.status()["workers"])


def busy(server: Server) -> list[Any]:
    [worker] = server.status()["workers"]
    return [app for app in worker["apps"] if app["state"] == "busy" and app["path"] == "/"]


@pytest.fixture
def reloading(serve: Serve, tmp_path: Path) -> Server:
    app = copy_app("cost", tmp_path)
    return serve(app, config={"php": {"processes": PROCESSES}})


def test_a_reload_takes_nothing_back(reloading: Server) -> None:
    assert reloading.get("/?burn_ms=20").status == 200
    wait_until("it is counted", lambda: split_of(reloading)["requests"] == 1)
    reloading.signal(signal.SIGHUP)
    wait_until("the new generation", lambda: reloading.status()["generation"] == 2)
    wait_until("the old one is gone", lambda: not reloading.status()["draining_generations"])
    split = split_of(reloading)
    assert split["requests"] == 1
    assert split["app_cpu_s"] >= 0.02
