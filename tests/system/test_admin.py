# SPDX-License-Identifier: MIT
"""The admin listener: who may ask, what it says and does; and that it never hurts serving."""

import gzip
import json
import os
import resource
import signal
import socket
import stat
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families
from system.client import Connection, Response, ask, build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

from askrctl.server.admin import CLIENTS_MAX

TOKEN = "a-token-of-this-test-only"
AUTHORIZED = [("Authorization", f"Bearer {TOKEN}")]
SECRET_PATHS = ("/metrics", "/api/status", "/api/metrics", "/api/config", "/api/openapi.json")


def admin_address(server: Server) -> tuple[str, int]:
    [url] = server.status()["admin"]
    return "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])


def admin(server: Server, target: str, method: str = "GET", fields: Any = AUTHORIZED) -> Response:
    return ask(admin_address(server), method, target, fields)


def admin_json(server: Server, target: str, method: str = "GET") -> Any:
    answer = admin(server, target, method)
    assert answer.status in (200, 202), answer
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def server(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    app = copy_app("cost", tmp_path_factory.mktemp("cost"))
    config = {
        "admin": {"listen": ["127.0.0.1:0"], "token": TOKEN},
        "php": {"processes": 2},
        "server": {"health_path": "/up"},
    }
    running = serve_shared(app, config=config)
    running.wait_applications(2)
    return running


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*SECRET_PATHS, "/no/such/thing"])
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Basic {TOKEN}")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {TOKEN}x")],
    ],
)
def test_without_the_token_nothing_is_said(server: Server, path: str, fields: Any) -> None:
    answer = admin(server, path, fields=fields)
    assert answer.status == 401
    assert answer.get("WWW-Authenticate") == "Bearer"
    assert json.loads(answer.body) == {"error": "the token is missing or wrong"}


@pytest.mark.parametrize(
    "path", ["/api/reload", "/api/rollback", "/api/workers/0/drain", "/api/workers/0/recycle"]
)
def test_without_the_token_nothing_is_done(server: Server, path: str) -> None:
    before = server.workers(), server.applications(), server.status()["generation"]
    assert admin(server, path, "POST", fields=[]).status == 401
    assert admin(server, path, "GET").status == 405
    assert before == (server.workers(), server.applications(), server.status()["generation"])


def test_the_public_listener_knows_none_of_it(server: Server) -> None:
    for path in SECRET_PATHS:
        answer = server.ask("GET", path, AUTHORIZED)
        assert b"askr_requests" not in answer.body
        assert b"io_backend" not in answer.body


def test_a_tcp_listener_without_a_token_is_refused(serve: Serve, tmp_path: Path) -> None:
    server = serve(tmp_path, config={"admin": {"listen": ["127.0.0.1:0"]}}, wait=False)
    assert server.wait_end() == 2
    assert "admin.token" in server.log
    assert "openssl rand" in server.log


def test_a_token_that_can_be_guessed_is_refused(serve: Serve, tmp_path: Path) -> None:
    config = {"admin": {"listen": ["127.0.0.1:0"], "token": "secret"}}
    server = serve(tmp_path, config=config, wait=False)
    assert server.wait_end() == 2
    assert "at least 16" in server.log


def test_a_unix_socket_asks_the_kernel_who_it_is(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x.txt").write_text("x")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder != Path("/") and os.stat(folder).st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    server = serve(tmp_path / "files", config={"admin": {"listen": [f"unix:{path},mode=666"]}})
    assert ask(str(path), "GET", "/api/status").status == 200
    if os.geteuid() == 0:
        code = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
end = socket.socket(socket.AF_UNIX); end.connect({str(path)!r})
end.sendall(b"GET /api/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
print(end.recv(100).decode().split()[1])
"""
        done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == "401", done.stderr
    server.stop()
    assert not path.exists()


# --- health ---------------------------------------------------------------------------------------


def test_a_wrong_method_is_told_the_right_ones(server: Server) -> None:
    assert admin(server, "/metrics", "POST").get("Allow") == "GET, HEAD"
    assert admin(server, "/api/reload").get("Allow") == "POST"


@pytest.mark.parametrize("kind", ["live", "ready", "startup"])
def test_health_is_told_to_everybody_and_says_no_more(server: Server, kind: str) -> None:
    answer = admin(server, f"/healthz/{kind}", fields=[])
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


def test_an_application_that_cannot_boot_is_alive_and_not_ready(
    serve: Serve, tmp_path: Path
) -> None:
    app = copy_app("cost", tmp_path)
    (app / "worker.php").write_text("<?php while (true) { usleep(10000); }")  # never ready
    config = {"admin": {"listen": ["127.0.0.1:0"], "token": TOKEN}}
    server = serve(app, "--worker-script", "worker.php", config=config, wait=False)
    wait_until("it answers", lambda: server.try_status())
    assert admin(server, "/healthz/live", fields=[]).status == 200
    assert admin(server, "/healthz/startup", fields=[]).status == 503
    answer = admin(server, "/healthz/ready", fields=[])
    assert answer.status == 503
    assert "reason" in json.loads(answer.body)


def test_the_engine_answers_the_health_path_without_an_application(server: Server) -> None:
    before = server.status()["workers"][0]["apps"]
    answer = server.get("/up?x=1")
    assert (answer.status, answer.body) == (200, b"ok\n")
    after = server.status()["workers"][0]["apps"]
    assert [app["requests"] for app in before] == [app["requests"] for app in after]


# --- what it says ---------------------------------------------------------------------------------


def families(server: Server) -> dict[str, Any]:
    answer = admin(server, "/metrics")
    assert answer.status == 200
    return {item.name: item for item in text_string_to_metric_families(answer.body.decode())}


def value(found: dict[str, Any], family: str, name: str, **labels: str) -> float:
    [sample] = [
        item
        for item in found[family].samples
        if item.name == name and labels.items() <= item.labels.items()
    ]
    return float(sample.value)


def test_the_exposition_is_read_by_the_official_parser(server: Server) -> None:
    server.get("/?burn_ms=5")
    found = families(server)
    assert all(name.startswith("askr_") for name in found)
    assert all(item.documentation for item in found.values())
    backend = found["askr_io_backend_info"].samples[0].labels
    assert backend["active"] == server.status()["io_backend"]["active"]
    for item in found.values():
        if item.type == "counter":
            assert all(sample.name.endswith("_total") for sample in item.samples)


def test_metrics_are_those_of_the_status(server: Server) -> None:
    def agree() -> bool:
        found, status = families(server), server.status()
        return value(found, "askr_requests", "askr_requests_total") == status["totals"][
            "requests"
        ] and value(
            found, "askr_request_time_seconds", "askr_request_time_seconds_total", part="app_wall"
        ) == pytest.approx(status["split"]["app_wall_s"])

    wait_until("they are the same, once what is kept for a moment is made anew", agree)


def test_a_histogram_is_whole_and_its_buckets_grow(server: Server) -> None:
    samples = families(server)["askr_request_duration_seconds"].samples
    mine = [item for item in samples if item.labels.get("answered_by") == "application"]
    buckets = [item.value for item in mine if item.name.endswith("_bucket")]
    [count] = [item.value for item in mine if item.name.endswith("_count")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == count > 0


def test_quantiles_are_near_what_the_application_takes(server: Server) -> None:
    before = admin_json(server, "/api/metrics")["histograms"]["app_wall"]
    server.get("/?sleep_ms=700")

    def counted() -> list[float]:
        now = admin_json(server, "/api/metrics")["histograms"]["app_wall"]
        old = dict(map(tuple, before))
        return [start for start, count in now if count > old.get(start, 0) and start > 0.5]

    [start] = wait_until("it is counted", counted)
    assert start <= 0.75
    assert start * 17 / 16 >= 0.7


def test_the_configuration_is_shown_without_its_secret(server: Server) -> None:
    answer = admin(server, "/api/config")
    assert json.loads(answer.body)["admin"]["token"] == "***"
    assert TOKEN.encode() not in answer.body


def test_the_description_has_every_path_and_each_path_is_there(server: Server) -> None:
    description = admin_json(server, "/api/openapi.json")
    assert description["openapi"].startswith("3.1")
    for path, operations in description["paths"].items():
        if "get" not in operations:
            continue
        answer = admin(server, path)
        told = operations["get"]["responses"][str(answer.status)]["content"]
        [(media, content)] = told.items()
        assert (answer.get("Content-Type") or "").startswith(media)
        if media == "application/json":
            jsonschema.validate(json.loads(answer.body), content["schema"])


# --- what it does ---------------------------------------------------------------------------------


def test_reload_starts_a_generation(server: Server) -> None:
    before = server.status()["generation"]
    assert admin_json(server, "/api/reload", "POST")["generation"] == before
    wait_until("the new generation", lambda: server.status()["generation"] == before + 1)
    server.wait_ready()
    server.wait_applications(2)


def test_a_rollback_to_nothing_is_refused(server: Server) -> None:
    answer = admin(server, "/api/rollback", "POST")
    assert answer.status == 409
    assert "no previous generation is kept" in answer.text


def test_a_drained_worker_is_replaced(server: Server) -> None:
    [pid] = server.workers()
    assert admin_json(server, "/api/workers/0/drain", "POST") == {"ok": True, "worker": 0}
    wait_until("another worker serves", lambda: pid not in server.workers())
    server.wait_ready()
    server.wait_applications(2)
    assert server.get("/?burn_ms=1").status == 200


def test_recycling_replaces_every_process_and_fails_no_request(server: Server) -> None:
    before = set(server.wait_applications(2))
    assert admin_json(server, "/api/workers/0/recycle", "POST")["ok"]
    answers = []

    def replaced() -> bool:
        answers.append(server.get("/?burn_ms=1").status)
        now = server.applications()
        return len(now) == 2 and not before & set(now)

    wait_until("all processes are new", replaced)
    assert set(answers) == {200}


def test_a_worker_that_is_none_is_404(server: Server) -> None:
    for index in ("7", "99999"):
        assert admin(server, f"/api/workers/{index}/drain", "POST").status == 404
    assert admin(server, "/api/workers/x/drain", "POST").status == 404


def counters(server: Server) -> dict[tuple[str, ...], float]:
    """What only grows while the server runs: OPcache counts for its generation."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(server).values()
        if family.type in ("counter", "histogram") and "opcache" not in family.name
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_what_was_replaced_is_counted_by_reason_and_nothing_goes_back(server: Server) -> None:
    server.get("/?burn_ms=200")
    restarts = ("askr_application_restarts_total", "died")
    killed = ("askr_worker_restarts_total", "died")
    reloads = ("askr_reloads_total", "done")
    before = counters(server)
    os.kill(server.wait_applications(2)[0], signal.SIGKILL)
    wait_until("another process", lambda: len(server.applications()) == 2)
    os.kill(server.workers()[0], signal.SIGKILL)
    server.wait_ready()
    server.wait_applications(2)
    generation = server.status()["generation"]
    server.process.send_signal(signal.SIGHUP)
    wait_until("the new generation", lambda: server.status()["generation"] == generation + 1)
    server.wait_applications(2)
    wanted = {key: before[key] + 1 for key in (restarts, killed, reloads)}

    def told() -> bool:
        now = counters(server)
        assert {key: (value, now[key]) for key, value in before.items() if now[key] < value} == {}
        return wanted.items() <= now.items()

    wait_until("each is counted once", told)
    assert server.status()["events"]["reloads"]["done"] == wanted[reloads]


def test_memory_is_that_of_all_processes(server: Server) -> None:
    sizes = families(server)["askr_proportional_memory_bytes"].samples
    roles = {sample.labels["role"]: sample.value for sample in sizes}
    assert all(roles[name] > 0 for name in ("supervisor", "worker", "zygote", "application"))


# --- hostile --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /api/reload HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /api/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/reload HTTP/1.1\r\nContent-Length: +0\r\n\r\n", 400),
        (b"POST /api/reload HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET http://x/healthz/live HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        (b"GET /" + b"x" * 40000, 431),
    ],
)
def test_requests_of_every_form_get_what_is_right(server: Server, data: bytes, status: int) -> None:
    with Connection(admin_address(server)) as connection:
        connection.send(data)
        assert connection.receive().status == status


def test_requests_share_a_connection_until_one_says_close(server: Server) -> None:
    with Connection(admin_address(server)) as connection:
        for target in ("/metrics", "/api/status", "/healthz/live", "/no/such/thing"):
            first = connection.ask("GET", target, AUTHORIZED)
            again = connection.ask("HEAD", target, AUTHORIZED)
            assert first.status == again.status
            assert first.get("Connection") is None
        both = build("GET", "/healthz/live") + build("GET", "/api/config", AUTHORIZED)
        connection.send(both + build("GET", "/metrics", [("Connection", "close")]))
        assert [connection.receive().status for _ in range(3)] == [200, 200, 401]
        assert connection.is_closed_by_peer()
    with Connection(admin_address(server)) as old:
        old.send(b"GET /healthz/live HTTP/1.0\r\n\r\n")
        assert old.receive().get("Connection") == "close"
        assert old.is_closed_by_peer()


def test_who_asks_for_more_than_it_reads_gets_all_in_order(server: Server) -> None:
    targets = ["/metrics", "/healthz/live", "/api/openapi.json"] * 400  # more than sockets hold
    with Connection(admin_address(server)) as connection:
        connection.send(b"".join(build("GET", target, AUTHORIZED) for target in targets))
        assert admin(server, "/healthz/ready").status == 200
        types = [connection.receive().get("Content-Type") for _ in targets]
    assert types == [types[0], "application/json", "application/json"] * 400
    assert str(types[0]).startswith("text/plain")


@pytest.mark.parametrize("path", ["/metrics", "/api/status", "/api/metrics"])
def test_a_large_answer_is_compressed_for_who_takes_it_so(server: Server, path: str) -> None:
    packed = admin(server, path, fields=[*AUTHORIZED, ("Accept-Encoding", "gzip")])
    plain = admin(server, path)
    assert (packed.get("Content-Encoding"), plain.get("Content-Encoding")) == ("gzip", None)
    assert packed.get("Vary") == plain.get("Vary") == "Accept-Encoding"
    assert gzip.decompress(packed.body)[:10] == plain.body[:10]
    assert len(packed.body) < len(plain.body) / 2


def lowest_free(pid: int) -> int:
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(fd for fd in range(len(taken) + 1) if fd not in taken)


def test_without_descriptors_admin_and_control_wait_and_come_back(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(tmp_path, config={"admin": {"listen": ["127.0.0.1:0"], "token": TOKEN}})
    address, pid = admin_address(server), server.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def is_short() -> bool:
        """Once the client of our last look at its status is gone."""
        free = lowest_free(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
        return lowest_free(pid) == free

    wait_until("no descriptor is left", is_short)
    with ExitStack() as clients:
        # The supervisor may have looked at a file just then: what it gave back is taken first.
        for _ in range(4):
            clients.enter_context(Connection(address))
        server.wait_log("event=accept_paused listener=admin")
        late = clients.enter_context(Connection(address))
        later = clients.enter_context(Connection(str(server.control)))
        late.send(build("GET", "/metrics"))
        later.send(b'{"command": "status"}\n')
        server.wait_log("event=accept_paused listener=control")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert late.receive().status == 401
        assert b'"workers"' in later.rest()
    assert server.log.count("event=accept_paused") == 2, "it is told once"


def test_a_scraper_that_hangs_holds_up_nobody(server: Server) -> None:
    hung = []
    for _ in range(8):
        stream = socket.create_connection(admin_address(server))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        stream.sendall(build("GET", "/metrics", AUTHORIZED))
        hung.append(stream)
    assert admin(server, "/metrics").status == 200
    assert server.get("/?burn_ms=1").status == 200
    for stream in hung:
        stream.close()


def test_who_says_nothing_takes_nobodys_place(server: Server) -> None:
    with ExitStack() as clients:
        for _ in range(2 * CLIENTS_MAX):
            silent = clients.enter_context(Connection(admin_address(server)))
            silent.send(b"GET /metrics HTTP/1.1\r\n")
        assert admin(server, "/metrics").status == 200


def test_who_has_been_silent_for_longest_makes_room(server: Server) -> None:
    with ExitStack() as clients:
        idle, busy, *_ = crowd = [
            clients.enter_context(Connection(admin_address(server))) for _ in range(CLIENTS_MAX)
        ]
        for connection in crowd:
            assert connection.ask("GET", "/healthz/live").status == 200
        assert busy.ask("GET", "/healthz/live").status == 200
        for _ in range(CLIENTS_MAX - 1):
            late = clients.enter_context(Connection(admin_address(server)))
            assert late.ask("GET", "/healthz/live").status == 200
        assert idle.is_closed_by_peer()
        assert busy.ask("GET", "/healthz/live").status == 200
