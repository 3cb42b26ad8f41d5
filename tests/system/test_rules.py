# SPDX-License-Identifier: MIT
"""[[header]] and [[redirect]]: on files, on answers of PHP and on errors, by each protocol."""

from pathlib import Path

import httpx
import pytest
from system.conftest import Serve
from system.harness import Server, run

HEADERS = [
    {
        "set": {"X-Frame-Options": "DENY", "X-Powered-By": "us"},
        "add": {"Set-Cookie": ["a=1", "b=2"], "Vary": "X-Language"},
    },
    {
        "path": ["/build/*", "*.css"],
        "set": {"Cache-Control": "public, max-age=31536000, immutable"},
        "answers": "files",
    },
    {"path": "/private/*", "set": {"X-Robots-Tag": "noindex"}, "answers": "ok"},
    {"path": "/bare/*", "remove": ["X-Frame-Options", "X-From-Php", "Set-Cookie"]},
]
REDIRECTS = [
    {"from": "/old", "to": "/new", "status": 301},
    {"from": "/blog/*", "to": "/journal/*.html?from=blog", "status": 308},
    {"from": "/away/*", "to": "https://other.test/x/*"},
    {"from": "/slash*", "to": "/*"},
    {"from": "*", "to": "http://example.test/*", "hosts": ["*.example.test"], "status": 307},
]
SCRIPT = """<?php
header('X-From-Php: yes');
header('X-Powered-By: PHP');
header('Vary: Cookie');
header('Set-Cookie: php=1');
http_response_code((int) ($_GET['status'] ?? 200));
echo 'php ', $_SERVER['REQUEST_URI'];
"""


@pytest.fixture(scope="module")
def server(serve_shared: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("ruled")
    (folder / "index.php").write_text(SCRIPT)
    for name in ("build", "bare", "private"):
        (folder / name).mkdir()
        (folder / name / "a.css").write_text("a{}")
        (folder / name / "a.txt").write_text("text")
    server = serve_shared(
        folder, config={"php": {"processes": 1}, "header": HEADERS, "redirect": REDIRECTS}
    )
    server.wait_applications(1)
    return server


def test_fields_are_set_and_added_to_files_and_to_answers_of_php(client: httpx.Client) -> None:
    answer = client.get("/build/a.txt")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.text == "text"
    answer = client.get("/page")
    assert answer.text == "php /page"
    assert answer.headers.get_list("X-Powered-By") == ["us"], "in place of what PHP says"
    assert answer.headers.get_list("Set-Cookie") == ["php=1", "a=1", "b=2"]
    assert answer.headers.get_list("Vary")[-1] == "X-Language"
    assert "Cookie" in answer.headers["Vary"]


def test_a_rule_for_files_is_not_for_what_php_answers(client: httpx.Client) -> None:
    assert "Cache-Control" not in client.get("/build/gone.js").headers
    assert "Cache-Control" in client.get("/private/a.css").headers
    again = client.get("/build/a.txt", headers={"If-None-Match": "*"})
    assert (again.status_code, "Cache-Control" in again.headers) == (304, True)


def test_a_rule_for_good_answers_is_not_for_errors(client: httpx.Client) -> None:
    assert client.get("/private/a.txt").headers["X-Robots-Tag"] == "noindex"
    assert client.get("/private/page").headers["X-Robots-Tag"] == "noindex"
    missing = client.get("/private/page?status=404")
    assert (missing.status_code, missing.headers["X-Frame-Options"]) == (404, "DENY")
    assert "X-Robots-Tag" not in missing.headers
    denied = client.get("/private/.env")
    assert (denied.status_code, denied.headers["X-Frame-Options"]) == (403, "DENY")


def test_fields_are_removed_and_another_spelling_of_the_path_is_the_same(
    server: Server, client: httpx.Client
) -> None:
    gone = {"x-frame-options", "x-from-php", "set-cookie"}
    assert not gone & set(client.get("/bare/page").headers)
    assert gone < set(client.get("/bar/page").headers)
    for path in ("//bare/page", "/%62are/page", "/x/../bare/page"):
        answer = server.get(path)
        assert (answer.status, answer.text) == (200, f"php {path}")
        assert not gone & {name.lower() for name, _ in answer.fields}, path


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/old", 301, "/new"),
        ("/old?a=1&b", 301, "/new?a=1&b"),
        ("/blog/a/b", 308, "/journal/a/b.html?from=blog"),
        ("/blog/%C3%A4%20%22?x", 308, "/journal/%C3%A4%20%22.html?from=blog&x"),
        ("/away/%0d%0aX-Evil:%201", 302, "https://other.test/x/%0D%0AX-Evil:%201"),
        ("/slash%5c%5cevil.test", 302, "/%5C%5Cevil.test"),
        ("/slash/evil.test", 302, "/evil.test"),
        ("/slash%2f%2fevil.test", 302, "/evil.test"),
    ],
)
def test_a_redirect_keeps_what_it_should_and_leads_nowhere_else(
    client: httpx.Client, path: str, status: int, location: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (status, location)
    assert "X-Evil" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_hosts_are_told_apart_and_nobody_is_sent_where_he_is(client: httpx.Client) -> None:
    def ask(host: str, path: str = "/a?b") -> tuple[int, str | None]:
        answer = client.get(path, headers={"Host": host})
        return answer.status_code, answer.headers.get("Location")

    assert ask("www.Example.test:80") == (307, "http://example.test/a?b")
    assert ask("example.test") == (200, None)
    assert ask("notexample.test") == (200, None)
    assert ask("www.example.test", "/.well-known/acme-challenge/x")[0] != 307


def test_a_body_that_comes_with_a_redirected_request_does_no_harm(server: Server) -> None:
    for body in (b"x", b"x" * 300_000):
        assert server.ask("POST", "/old", [], body).status == 301
    assert server.get("/page").status == 200


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[header]]\nset = { "Content-Length" = "1" }', "line 2: header.set must be other"),
        ('[[header]]\nset = { X-A = "b\\r\\nC: d" }', "line break"),
        ('[[header]]\nset = { X-A = "b" }\npaths = "/"', "line 3: unknown key header.paths"),
        ('[[redirect]]\nfrom = "/a*"\nto = "/a/*"', "leads back to itself"),
        ('[[redirect]]\nfrom = "/a"\nto = "/a"', "line 3: redirect.to leads to where it comes"),
    ],
)
def test_a_rule_that_could_do_harm_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "askr.toml").write_text(text)
    done = run("serve", tmp_path, "--config", tmp_path / "askr.toml", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert says in done.stderr
