# SPDX-License-Identifier: MIT
"""`askrctl bench` on real servers with a real load generator: short runs, no figure is asserted.

What is checked is what must hold on the busiest machine: that everything is measured, validated,
reported and recorded, and that `serve` follows the record.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from system.harness import COMMAND, ROOT, Server, alive, run, tree, wait_until

from askrctl import gate
from askrctl.bench import answers, generators, peers
from askrctl.bench.contenders import Contender, Site, stop
from askrctl.bench.generators import Job
from askrctl.bench.installed import find, find_fpm
from askrctl.model import Backend

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
TIMEOUT_S = 300
TOOL = ("--tool", "wrk", "--connections", "4", "--seconds", "1", "--warmup", "0")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "hello.txt").write_text("Hello, world!")
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "state/bench.json"


def bench(
    folder: Path, *words: str | Path, record: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASKR_BENCH_RECORD": str(record)} if record else None
    command = [COMMAND, "bench", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=folder, env=environment
    )


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, record: Path) -> Iterator[Start]:
    """`start(path, *flags)`: a server that looks for the record where these tests put it."""
    servers: list[Server] = []

    def start_one(path: Path, *options: str) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        environment = {"ASKR_BENCH_RECORD": str(record)}
        server = Server(path, folder, ["--workers", "1", *options], environment=environment)
        servers.append(server)
        server.start()
        server.wait_ready()
        return server

    yield start_one
    for server in servers:
        server.stop()


def test_a_run_measures_both_backends_reports_and_records(
    site: Path, record: Path, tmp_path: Path, start: Start
) -> None:
    words = ("run", "/hello.txt", "--app", site, "--a", "epoll", "--b", "io_uring", "--gate")
    done = bench(tmp_path, *words, *TOOL, "--rounds", "5", "--json", record=record)
    assert done.returncode in (0, 1, 3), done.stderr
    report = json.loads(done.stdout)
    check_report(report, tmp_path / "askr-bench")
    found = gate.read(record)
    assert isinstance(found, gate.BenchRecord)
    wins = report["comparisons"][0]["verdict"]["outcome"] == "win"
    assert done.returncode == 0 or not wins
    assert (found.winner is Backend.IO_URING) == wins
    check_followed(start(site, "--io-backend", "auto"), found)


def check_report(report: dict[str, Any], folder: Path) -> None:
    assert report["schema"] == "askr.bench/1"
    assert [one["backend"] for one in report["series"]] == ["epoll", "io_uring"]
    for one in report["series"]:
        assert not one["void"]
        assert len(one["samples"]) == 5
        assert all(sample["requests"] > 0 and sample["cpu_us"] > 0 for sample in one["samples"])
        assert all(sample["p50_ms"] <= sample["p99_ms"] for sample in one["samples"])
        assert one["pss_bytes"] > 0
    [comparison] = report["comparisons"]
    assert comparison["verdict"]["outcome"] in ("win", "no win", "inconclusive")
    assert comparison["verdict"]["cpu"]["low"] <= comparison["verdict"]["cpu"]["high"]
    assert report["environment"]["kernel"] == os.uname().release
    assert "SHA-256" in report["validation"] and "wrk" in report["generator"]
    assert json.loads((folder / "report.json").read_text()) == report
    assert comparison["verdict"]["sentence"] in (folder / "report.md").read_text()
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 3 and "<script" not in page


def check_followed(server: Server, found: gate.BenchRecord) -> None:
    backend = server.status()["io_backend"]
    assert (backend["requested"], backend["active"]) == ("auto", str(found.winner))
    wanted = "bench_win" if found.winner is Backend.IO_URING else "bench_no_win"
    assert backend["reason"] == wanted
    assert found.sentence in backend["detail"]
    lines = [line for line in server.log.splitlines() if f"reason={wanted}" in line]
    assert len(lines) == 1 and found.created in lines[0]


A_WIN = gate.BenchRecord(
    winner=Backend.IO_URING,
    outcome="win",
    sentence="win: B costs 8.0% less",
    workload="site/hello.txt",
    ratio=0.92,
    ratio_low=0.9,
    ratio_high=0.94,
    threshold=0.03,
    rounds=20,
    created="2026-01-02T03:04:05+00:00",
    machine=gate.this_machine(),
)


def test_auto_follows_a_record_of_this_machine(site: Path, record: Path, start: Start) -> None:
    for winner in (Backend.IO_URING, Backend.EPOLL):
        found = replace(A_WIN, winner=winner)
        gate.write(record, found)
        check_followed(start(site), found)


def test_auto_refuses_an_edited_and_a_foreign_record(
    site: Path, record: Path, start: Start
) -> None:
    gate.write(record, replace(A_WIN, winner=Backend.EPOLL))
    record.write_text(record.read_text().replace('"epoll"', '"io_uring"'))
    foreign = replace(A_WIN, machine=replace(A_WIN.machine, kernel="2.6.32"))
    for reason, write in (
        ("bench_record_edited", lambda: None),
        ("bench_record_foreign", lambda: gate.write(record, foreign)),
    ):
        write()
        server = start(site)
        backend = server.status()["io_backend"]
        assert (backend["active"], backend["reason"]) == ("epoll", reason)
        assert str(record) in backend["detail"]
        assert f"reason={reason}" in server.log


def test_explain_tells_requested_probed_recorded_active_and_why(
    site: Path, record: Path, start: Start
) -> None:
    gate.write(record, A_WIN)
    server = start(site)
    environment = {**os.environ, "ASKR_BENCH_RECORD": str(record)}
    text = run("explain", "backend", "--control", server.control, env=environment)
    assert text.returncode == 0, text.stderr
    for said in ("requested", "probed", "recorded", "chosen", "active"):
        assert said in text.stdout
    assert A_WIN.sentence in text.stdout and str(server.process.pid) in text.stdout
    done = run("explain", "backend", "--json", "--control", server.control, env=environment)
    story = json.loads(done.stdout)
    assert story["schema"] == "askr.explain-backend/1"
    assert story["record"]["winner"] == "io_uring"
    assert story["choice"]["reason"] == "bench_win"
    assert [one["active"] for one in story["running"]] == [story["choice"]["active"]]
    wrong = run("explain", "backend", "--control", f"{server.control}.old", env=environment)
    assert wrong.returncode == 1 and "no server answers on" in wrong.stderr


OCTANE = "Octane on Swoole"
FILE_SERVERS = {"nginx": "nginx", "Apache": "apache2"}
PEERS = ("Apache + php-fpm", "Apache mod_php", "FrankenPHP worker", "RoadRunner")
PAGE = """
$said = ['hello from', PHP_SAPI, $_SERVER['REQUEST_URI'], 'token', bin2hex(random_bytes(8))];
echo implode(' ', [...$said, 'process', mt_rand(1000, 9999)]);
"""
LOOP = f"while (askr_handle_request(static function (): void {{ {PAGE} }})) {{}}"


@pytest.fixture
def app() -> Iterator[Path]:
    """A page that names the SAPI, and whose words vary: its own in every process, by both modes.

    Apache is not root, so others must get there.
    """
    with tempfile.TemporaryDirectory() as name:
        public = Path(name, "public")
        public.mkdir()
        public.parent.chmod(0o755)
        (public / "index.php").write_text(f"<?php {PAGE}")
        (public / "worker.php").write_text(f"<?php {LOOP}")
        yield public.parent


def test_a_matrix_measures_modes_backends_and_peers_and_names_what_is_not_there(
    app: Path, tmp_path: Path
) -> None:
    words = ("matrix", app, "--route", "/a/b?c", "--rounds", "1", "--validate", "hash")
    done = bench(tmp_path, *words, "--output", "out", *TOOL, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    ours = [(one["mode"], one["backend"]) for one in report["series"] if one["backend"]]
    both = ("epoll", "io_uring")
    assert ours == [(mode, backend) for mode in ("worker", "classic") for backend in both]
    assert {one["name"]: one["void"] for one in report["series"] if one["void"]} == {}
    assert "words that vary masked" in report["validation"]
    assert "names of PHP's SAPIs" in (tmp_path / "out/report.md").read_text()
    assert "fewer than 5 promise nothing" in report["comparisons"][0]["verdict"]["sentence"]
    check_peers(report)


def check_peers(report: dict[str, Any]) -> None:
    """Each is measured, or it is told why not; this machine's own are measured."""
    measured = [one["name"] for one in report["series"] if not one["backend"]]
    missing = {one["name"]: one for one in report["missing"]}
    assert {*measured, *missing} == {*PEERS, "nginx + php-fpm", OCTANE}
    assert all(one["state"] and one["reason"] for one in missing.values())
    fpm, apache = find_fpm() is not None, find("apache2") is not None
    assert ("nginx + php-fpm" in measured) == (fpm and find("nginx") is not None)
    assert ("Apache + php-fpm" in measured) == (fpm and apache)
    module = bool(list(Path("/usr/lib/apache2/modules").glob("libphp*.so")))
    assert ("Apache mod_php" in measured) == (apache and module)
    if apache:
        assert report["environment"]["programs"]["Apache"].startswith("2.")


def test_peers_serve_the_files_of_a_site_without_php(site: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name, "root")
        folder.chmod(0o755)
        shutil.copytree(site, root)
        root.chmod(0o755)
        found = peers.find_all(Site(root, root), "/hello.txt", folder)
        there = [one for one in found if isinstance(one, Contender)]
        names = [one.name for one in found]
        assert names == ["nginx", "Apache", *PEERS[1:2], "FrankenPHP classic", *PEERS[3:], OCTANE]
        expected = [name for name, program in FILE_SERVERS.items() if find(program)]
        assert [one.name for one in there] == expected
        try:
            for one in there:
                one.start(())
                assert one.ask().body == b"Hello, world!"
            pids = [pid for one in there for root in one.roots for pid in tree(root)]
        finally:
            stop(there)
        assert pids and not [pid for pid in pids if alive(pid)]


def test_a_route_that_fails_measures_nothing(site: Path, tmp_path: Path) -> None:
    words = ("run", "/nothing", "--app", site, "--a", "epoll", "--b", "epoll")
    done = bench(tmp_path, *words, *TOOL)
    assert done.returncode == 3
    assert "status 404: nothing to measure" in done.stderr
    assert not (tmp_path / "askr-bench").exists()


def test_an_interrupted_bench_leaves_nothing_running(site: Path, tmp_path: Path) -> None:
    words = ("run", "/hello.txt", "--app", site, "--a", "epoll", "--b", "io_uring")
    command = [COMMAND, "bench", *map(str, words), *TOOL]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of" in line:
            break
    pids = tree(process.pid)
    assert len(pids) > 4, "two servers with a worker each, and the bench itself"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not [pid for pid in pids if alive(pid)]
    assert not (tmp_path / "askr-bench").exists()


def test_a_load_that_is_ended_ends_its_generator(site: Path, tmp_path: Path, start: Start) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    url = f"http://127.0.0.1:{start(site).port}/hello.txt"
    command = [COMMAND, "bench", "load", url, "--seconds", "60", "--tool", "wrk"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    wait_until("it is going to load", lambda: list(scratch.glob("*/done.lua")), 60)
    wait_until("it loads", lambda: len(tree(process.pid)) > 1, 60)
    pids = tree(process.pid)
    process.terminate()
    assert process.wait(60) == 130
    assert not [pid for pid in pids if alive(pid)]
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("run", "/", "--a", "auto", "--b", "epoll"),
        ("run", "/", "--a", "io_uring", "--b", "epoll", "--gate"),
        ("run", "ftp://x/", "--a", "epoll", "--b", "epoll"),
        ("run", "/", "--a", "epoll", "--b", "epoll", "--tool", "curl"),
        ("run", "/", "--a", "epoll", "--b", "epoll", "--validate", "smell"),
        ("load", "/hello.txt"),
    ],
)
def test_misuse_is_told_before_anything_is_started(words: tuple[str, ...], tmp_path: Path) -> None:
    done = bench(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("askrctl: ")


def test_every_generator_of_the_distribution_is_understood_and_sends_one_host(
    site: Path, start: Start
) -> None:
    """Closed loop of each, and h2load at a rate: what is counted is what the server answers."""
    url = f"http://127.0.0.1:{start(site).port}/hello.txt"
    answer = answers.fetch(url, "localhost")
    expected = answers.expect([answer])
    there = [name for name in ("wrk", "ab", "h2load") if shutil.which(name)]
    for name, rate in [(name, 0) for name in there] + [("h2load", 40)] * ("h2load" in there):
        job = Job(url, 1, 4, rate, {"Host": "localhost"})
        load = generators.run(generators.detect(name, rate), job, ()).load
        assert answers.check_load(load, expected, answer, 4) == "", name
        assert load.requests > 4 and 0 <= load.p50_ms <= load.p99_ms
        assert not rate or load.requests <= rate + 4


def test_the_shell_form_loads_a_running_server(site: Path, start: Start) -> None:
    server = start(site)
    url = f"http://127.0.0.1:{server.port}/hello.txt"
    environment = {**os.environ, "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(ROOT / "scripts/bench.sh"), url, "1", "4"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "requests/s" in done.stdout and "13 bytes, SHA-256" in done.stdout
    assert subprocess.run([str(ROOT / "scripts/bench.sh")], capture_output=True).returncode == 2
