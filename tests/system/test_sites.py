# SPDX-License-Identifier: MIT
"""[[site]]: who is asked by its host, what each has of its own, and that none hurts another."""

import json
import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from system.client import Connection, build
from system.conftest import Serve
from system.harness import Server, others_may_run, run, wait_until

SCRIPT = """<?php
if (isset($_GET['hold'])) {
    touch($_GET['hold'] . '.started');
    while (!file_exists($_GET['hold'] . '.go')) { usleep(2000); clearstatcache(); }
}
echo json_encode(['site' => basename(dirname(__FILE__)), 'uid' => posix_geteuid(),
    'pid' => getmypid(), 'limit' => ini_get('memory_limit'), 'host' => $_SERVER['HTTP_HOST']]);
"""
WORKER = """<?php
$booted = 0;
while (frankenphp_handle_request(function () use (&$booted) {
    echo json_encode(['site' => 'worker', 'n' => ++$booted]);
})) {}
"""
LOG = "access.log"
TOKEN = "sixteen-characters-and-more"
NOBODY = pwd.getpwnam("nobody")


def make_sites(folder: Path) -> list[dict[str, Any]]:
    for name in ("one", "two", "worker", "files"):
        (folder / name).mkdir()
        (folder / name / "name.txt").write_text(name)
    (folder / "one/index.php").write_text(SCRIPT)
    (folder / "two/index.php").write_text(SCRIPT)
    (folder / "worker/worker.php").write_text(WORKER)
    ini = ["memory_limit=77M"]
    user = {"user": "nobody"} if others_may_run() else {}
    return [
        {
            "name": "one",
            "hosts": ["one.test", "*.one.test"],
            "root": str(folder / "one"),
            "php": {"processes": 1, "ini": ini},
            "redirect": [{"from": "/old", "to": "/new"}],
            "header": [{"set": {"X-Site": "one"}}],
        },
        {
            "name": "two",
            "hosts": ["two.test", "deep.one.test"],
            "root": str(folder / "two"),
            "php": {"processes": 2},
            **user,
        },
        {
            "name": "worker",
            "hosts": ["worker.test"],
            "root": str(folder / "worker"),
            "php": {"processes": 1, "worker_script": "worker.php"},
        },
        {"name": "files", "hosts": ["[::1]"], "root": str(folder / "files")},
    ]


def ask(server: Server, host: str, target: str = "/") -> dict[str, Any]:
    answer = server.ask("GET", target, [("Host", host)])
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.text)
    return found


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where another user can read; pytest's folders are for us alone."""
    with tempfile.TemporaryDirectory(prefix="askr-sites-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def server(serve_shared: Serve, folder: Path) -> Server:
    own = Path(tempfile.mkdtemp(dir=folder))
    own.chmod(0o755)
    config = {
        "site": make_sites(own),
        "header": [{"set": {"X-All": "yes"}}],
        "php": {"slow": "300ms"},
        "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
        "log": {"access": str(own / LOG), "access_format": "$site $route $target"},
    }
    server = serve_shared(Path(), config=config)
    server.wait_applications(4)
    return server


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("one.test", "one"),
        ("ONE.test:8080", "one"),
        ("one.test.", "one"),
        ("a.b.one.test", "one"),
        ("deep.one.test", "two"),
        ("two.test", "two"),
    ],
)
def test_the_host_says_whose_files_and_processes_are_asked(
    client: httpx.Client, host: str, site: str
) -> None:
    for _ in range(2):  # the second time from the cache of files
        assert client.get("/name.txt", headers={"Host": host}).text == site
    answer = client.get("/", headers={"Host": host}).json()
    assert (answer["site"], answer["host"]) == (site, host)


def test_who_is_asked_by_a_url_reads_its_host_and_not_another(server: Server) -> None:
    with server.connect() as connection:
        connection.send(build("GET", "http://one.test/", [("Host", "evil.test")]))
        answer = json.loads(connection.receive().body)
        assert (answer["site"], answer["host"]) == ("one", "one.test")
        connection.send(build("GET", "http://evil.test/", [("Host", "one.test")]))
        assert connection.receive().status == 421


@pytest.mark.parametrize("host", ["other.test", "notone.test", "xtwo.test", "127.0.0.1", "test"])
def test_an_unknown_host_is_misdirected(client: httpx.Client, host: str) -> None:
    answer = client.get("/name.txt", headers={"Host": host})
    assert (answer.status_code, "no site here" in answer.text) == (421, True)


def test_each_site_has_its_own_settings_rules_user_and_mode(
    client: httpx.Client,
) -> None:
    one = client.get("/", headers={"Host": "one.test"})
    assert (one.headers["X-Site"], one.headers["X-All"]) == ("one", "yes")
    assert one.json()["limit"] == "77M"
    two = client.get("/", headers={"Host": "two.test"})
    assert "X-Site" not in two.headers and two.headers["X-All"] == "yes"
    assert two.json()["limit"] != "77M"
    if others_may_run():
        assert (one.json()["uid"], two.json()["uid"]) == (0, NOBODY.pw_uid)
    assert client.get("/old", headers={"Host": "one.test"}).headers["Location"] == "/new"
    assert client.get("/old", headers={"Host": "two.test"}).status_code == 200
    first, second = (client.get("/x", headers={"Host": "worker.test"}).json() for _ in range(2))
    assert second["n"] == first["n"] + 1
    assert client.get("/name.txt", headers={"Host": "[::1]:80"}).text == "files"
    assert client.get("/", headers={"Host": "[::1]"}).status_code == 404


def test_a_site_that_is_stuck_keeps_nobody_else_waiting(server: Server, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    mark = tmp_path / "held"
    with Connection(server.address) as first, Connection(server.address) as queued:
        request = build("GET", f"/?hold={quote(str(mark))}", [("Host", "one.test")])
        first.send(request)
        wait_until("the script runs", Path(f"{mark}.started").exists)
        queued.send(build("GET", "/", [("Host", "one.test")]))

        def site(name: str) -> dict[str, Any]:
            sites: list[dict[str, Any]] = server.status()["sites"]
            return next(item for item in sites if item["name"] == name)

        wait_until("one waits in the queue", lambda: site("one")["queue_depth"] == 1)
        assert [ask(server, "two.test")["site"] for _ in range(5)] == ["two"] * 5
        assert site("two")["queue_depth"] == 0
        server.wait_log("event=request_slow worker=0 site=one")
        Path(f"{mark}.go").touch()
        assert first.receive().status == queued.receive().status == 200
    shown = json.loads(run("slowlog", "--json", "--control", server.control).stdout)
    assert shown["entries"][0]["site"] == "one"


def test_a_process_that_dies_is_replaced_by_one_of_the_same_site(server: Server) -> None:
    before = ask(server, "one.test")["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until("another serves", lambda: len(server.applications()) == 4)
    after = ask(server, "one.test")
    assert (after["site"], after["pid"] != before) == ("one", True)


def test_status_and_metrics_tell_sites_apart(server: Server) -> None:
    before = server.status()["sites"][0]["requests"]
    ask(server, "one.test")
    sites = {item["name"]: item for item in server.status()["sites"]}
    assert list(sites) == ["one", "two", "worker", "files"]
    assert sites["one"]["requests"] == before + 1
    assert [sites[name]["mode"] for name in sites] == ["classic", "classic", "worker", "static"]
    assert [sites[name]["processes"] for name in sites] == [1, 2, 1, 0]
    assert {app["site"] for app in server.status()["workers"][0]["apps"]} == {
        "one",
        "two",
        "worker",
    }
    text = run("status", "--control", server.control).stdout
    assert "worker" in text and "two" in text
    assert server.status()["mode"] == "sites"


def samples(server: Server) -> dict[tuple[str, ...], float]:
    """Of the families with the label: by name and values of labels."""
    [url] = server.status()["admin"]
    answer = httpx.get(f"{url}metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "site" in sample.labels
    }


def test_durations_are_told_apart_by_site(server: Server) -> None:
    name = "askr_site_request_duration_seconds_count"
    before = samples(server)
    for _ in range(3):
        ask(server, "two.test")
        server.ask("GET", "/name.txt", [("Host", "two.test")])
    server.ask("GET", "/", [("Host", "nobody.test")])  # no site's

    def counted() -> bool:
        """Behind an answer by as long as it takes to be sent, and the scrape by what is kept."""
        now = samples(server)
        since = {key: value - before.get(key, 0.0) for key, value in now.items()}
        grown = {key: value for key, value in since.items() if key[0] == name and value}
        return grown == {(name, "application", "two"): 3.0, (name, "server", "two"): 3.0}

    wait_until("six are counted, of two kinds", counted)
    now = samples(server)
    assert now["askr_site_queue_duration_seconds_count", "two"] >= 3
    site = next(item for item in server.status()["sites"] if item["name"] == "two")
    assert 0 < site["p50_s"] <= site["p99_s"] <= site["total_s"]
    assert site["queue_p99_s"] is not None
    shown = json.loads(run("top", "--control", server.control, "--json", "-d", "0.1").stdout)
    assert [item["site"] for item in shown["sites"]] == ["one", "two", "worker", "files"]


def test_a_broken_site_stops_no_start_and_no_deploy_of_another(
    serve: Serve, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    (tmp_path / "bad/worker.php").write_text("<?php throw new Exception('bad boots never');")
    (tmp_path / "good/index.php").write_text("<?php echo 'first';")
    sites = [
        {"hosts": ["good.test"], "root": str(tmp_path / "good"), "php": {"processes": 1}},
        {
            "hosts": ["bad.test"],
            "root": str(tmp_path / "bad"),
            "php": {"processes": 1, "worker_script": "worker.php"},
        },
    ]
    server = serve(Path(), config={"site": sites})

    def ask_for(host: str) -> tuple[int, str]:
        answer = server.ask("GET", "/", [("Host", host)])
        return answer.status, answer.text

    assert ask_for("good.test") == (200, "first")
    status, text = ask_for("bad.test")
    assert (status, "bad boots never" in text) == (503, True)
    # What is broken stays so, and the other is deployed.
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_ready generation=2")
    assert ask_for("good.test") == (200, "first")
    # What is mended serves with the next reload …
    (tmp_path / "bad/worker.php").write_text(WORKER)
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_ready generation=3")
    wait_until("it serves", lambda: ask_for("bad.test")[0] == 200)
    # … and from then on a reload that would break it is refused.
    (tmp_path / "bad/worker.php").write_text("<?php throw new Exception('bad again');")
    server.signal(signal.SIGHUP)
    server.wait_log('event=generation_failed generation=4 detail="site \\"bad.test\\"')
    assert ask_for("bad.test")[0] == 200
    assert ask_for("good.test") == (200, "first")


def test_a_default_site_takes_other_hosts_and_a_reload_is_proven(
    serve: Serve, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for name in ("a1", "a2", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.php").write_text(f"<?php echo '{name}';")
    (tmp_path / "a").symlink_to("a1")
    sites = [
        {"hosts": ["b.test"], "root": str(tmp_path / "b"), "php": {"processes": 1}},
        {"default": True, "root": str(tmp_path / "a"), "php": {"processes": 1}},
    ]
    server = serve(Path(), config={"site": sites, "server": {"unknown_host": 404}})
    assert [server.ask("GET", "/", [("Host", name)]).text for name in ("b.test", "x.test")] == [
        "b",
        "a1",
    ]
    (tmp_path / "new").symlink_to("a2")
    (tmp_path / "new").rename(tmp_path / "a")
    done = run("reload", "--verify", "--control", server.control)
    assert done.returncode == 0, done.stderr
    assert server.ask("GET", "/", [("Host", "x.test")]).text == "a2"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[site]]\nroot = "/srv/x"', "no hosts"),
        ('[[site]]\nhosts = "a.test"', "no root"),
        ('[[site]]\nhosts = "a.test"\nroot = "srv"', "line 3: site.root must be an absolute path"),
        ('[[site]]\nhosts = "a.test:80"\nroot = "/srv"', "without a port"),
        ('[[site]]\nhosts = "a.test"\nroot = "/nowhere/x"', "/nowhere/x does not exist"),
        (
            '[[site]]\nhosts = "a.test"\nroot = "/srv"\n[site.php]\nproceses = 3',
            "line 5: unknown key site.php.proceses",
        ),
        (
            '[[site]]\nname = "a"\nhosts = "x.test"\nroot = "/srv"\n'
            '[[site]]\nname = "b"\nhosts = "x.test"\nroot = "/srv"',
            "both have the host x.test",
        ),
    ],
)
def test_a_site_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "askr.toml").write_text(text)
    done = run("serve", "--config", tmp_path / "askr.toml", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert says in done.stderr


def test_the_access_log_tells_sites_and_routes_apart(server: Server) -> None:
    ask(server, "one.test", "/users/7?logged")
    assert server.ask("GET", "/name.txt?logged", [("Host", "two.test")]).text == "two"
    lines = "one /users/:id /users/7?logged", "two - /name.txt?logged"
    log = next(Path(site["root"]) for site in server.status()["sites"] if site["name"] == "one")
    file = log.parent / LOG

    def are_there() -> bool:
        return set(lines) <= set(file.read_text().splitlines())

    wait_until("both lines are in the file", are_there)
