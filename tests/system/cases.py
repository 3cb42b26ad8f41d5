# SPDX-License-Identifier: MIT
"""What PHP must do, whatever the mode: one function per rule, against tests/apps/matrix.

test_php.py runs each alone, and all of them together at 20 parallel requests: a rule that holds
alone and not in company is a leak between requests.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from system.client import Fields, Response, build
from system.harness import Server, wait_until

Case = Callable[[Server], None]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def json_of(answer: Response) -> Any:
    assert answer.status == 200, (answer.status, answer.body[:500])
    return json.loads(answer.body)


def multipart(parts: list[tuple[str, str | None, bytes]]) -> tuple[Fields, bytes]:
    """(field, file name, content) → header fields and a multipart/form-data body."""
    mark = f"mark{uuid4().hex}"
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"\r\nContent-Type: text/x-test' if filename else ""
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return [
        ("Content-Type", f"multipart/form-data; boundary={mark}")
    ], body + f"--{mark}--\r\n".encode()


def cookie_of(answer: Response, name: str) -> str:
    """The value that Set-Cookie gives to `name`."""
    for value in answer.all("Set-Cookie"):
        if value.startswith(f"{name}="):
            return value.split(";")[0].partition("=")[2]
    raise AssertionError(f"no cookie {name}: {answer.fields}")


@case
def superglobals_hold_what_was_sent(server: Server) -> None:
    token = uuid4().hex
    fields = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Cookie", f"a={token}; b=two%20words"),
        ("X-Test", token),
    ]
    body = f"p[]=1&p[]=2&q={token}".encode()
    seen = json_of(server.ask("POST", f"/globals?x={token}&y[k]=v", fields, body))
    assert seen["get"] == {"x": token, "y": {"k": "v"}}
    assert seen["post"] == {"p": ["1", "2"], "q": token}
    assert seen["cookie"] == {"a": token, "b": "two words"}
    assert seen["request"] == seen["get"] | seen["post"]
    assert seen["files"] == []
    assert seen["server"]["HTTP_X_TEST"] == token


@case
def server_variables_are_cgi(server: Server) -> None:
    values = json_of(server.ask("GET", "/globals?a=b"))["server"]
    root = str(server.path / "public")
    assert values["REQUEST_METHOD"] == "GET"
    assert values["REQUEST_URI"] == "/globals?a=b"
    assert values["QUERY_STRING"] == "a=b"
    assert values["DOCUMENT_ROOT"] == root
    assert values["SCRIPT_FILENAME"].startswith(f"{root}/")
    assert values["SCRIPT_NAME"].endswith(".php")
    assert values["SERVER_PROTOCOL"] == server.protocol
    assert values["HTTP_HOST"] == "test.example"
    assert values["SERVER_NAME"] == "test.example"
    assert values["SERVER_PORT"] == str(server.port)
    assert values["REMOTE_ADDR"] == "127.0.0.1"
    assert int(values["REMOTE_PORT"]) > 0
    assert values["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert values["SERVER_SOFTWARE"].startswith("askrctl")
    assert values.get("HTTPS") == ("on" if server.secure else None)
    assert 0 <= values["REQUEST_TIME_FLOAT"] - values["REQUEST_TIME"] < 1


@case
def remote_user_is_nobody_the_server_has_not_checked(server: Server) -> None:
    encoded = base64.b64encode(b"admin:guess").decode()
    fields = [("Authorization", f"Basic {encoded}")]
    values = json_of(server.ask("GET", "/globals", fields))["server"]
    assert (values["REMOTE_HOST"], values["REMOTE_IDENT"]) == ("127.0.0.1", "")
    assert (values["AUTH_TYPE"], values.get("REMOTE_USER")) == ("", None)


@case
def mercure_is_there_and_has_no_hub(server: Server) -> None:
    assert server.get("/mercure").status == 500
    assert "No Mercure hub configured" in server.log


@case
def request_time_moves_on(server: Server) -> None:
    first = json_of(server.get("/globals"))["server"]["REQUEST_TIME_FLOAT"]
    second = json_of(server.get("/globals"))["server"]["REQUEST_TIME_FLOAT"]
    assert second > first


@case
def a_proxy_field_never_becomes_http_proxy(server: Server) -> None:
    seen = json_of(server.ask("GET", "/globals", [("Proxy", "http://evil.example")]))
    assert "HTTP_PROXY" not in seen["server"]
    assert seen["http_proxy"] is False


@case
def an_underscore_cannot_imitate_a_dash(server: Server) -> None:
    seen = json_of(server.ask("GET", "/globals", [("X_Under_Score", "spoofed")]))
    assert "HTTP_X_UNDER_SCORE" not in seen["server"]


@case
def getallheaders_gives_the_fields(server: Server) -> None:
    seen = json_of(server.ask("GET", "/headers", [("X-One", "1"), ("Accept", "text/html")]))
    lower = {name.lower(): value for name, value in seen.items()}
    assert lower["x-one"] == "1"
    assert lower["accept"] == "text/html"
    assert lower["host"] == "test.example"


@case
def several_and_malformed_cookies_are_read_as_php_does(server: Server) -> None:
    fields = [("Cookie", "one=1; =x; two; three=3;four=4"), ("Cookie", "five=5")]
    seen = json_of(server.ask("GET", "/globals", fields))["cookie"]
    assert {name: seen[name] for name in ("one", "three", "four", "five")} == {
        "one": "1",
        "three": "3",
        "four": "4",
        "five": "5",
    }


@case
def cookies_and_repeated_fields_go_out_one_by_one(server: Server) -> None:
    answer = server.get("/cookies")
    assert cookie_of(answer, "one") == "1"
    assert cookie_of(answer, "two") == "zwei%20drei"
    assert answer.all("X-Twice") == ["a", "b"]


@case
def basic_credentials_arrive(server: Server) -> None:
    secret = uuid4().hex
    encoded = base64.b64encode(f"ann:{secret}".encode()).decode()
    fields = [("Authorization", f"Basic {encoded}")]
    assert json_of(server.ask("GET", "/auth", fields)) == ["ann", secret]
    assert json_of(server.get("/auth")) == [None, None]


@case
def a_small_body_is_input(server: Server) -> None:
    body = os.urandom(100)
    seen = json_of(server.ask("POST", "/input", [("Content-Type", "x/y")], body))
    assert seen == {"size": 100, "sha256": hashlib.sha256(body).hexdigest(), "again": 100}


@case
def a_large_body_is_input(server: Server) -> None:
    body = os.urandom(3_000_001)
    seen = json_of(server.ask("PUT", "/input", [("Content-Type", "x/y")], body))
    assert seen["size"] == len(body)
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


@case
def a_chunked_body_is_input(server: Server) -> None:
    body = os.urandom(100_000)
    chunks = b"".join(
        b"%x;ext=1\r\n%b\r\n" % (len(part), part)
        for part in (body[start : start + 7000] for start in range(0, len(body), 7000))
    )
    fields = [("Transfer-Encoding", "chunked"), ("Content-Type", "x/y")]
    with server.connect() as connection:
        connection.send(build("POST", "/input", fields) + chunks + b"0\r\nX-Trailer: t\r\n\r\n")
        seen = json_of(connection.receive())
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
        assert connection.ask("GET", "/hello").body == b"Hello, world!"


@case
def expect_100_continue_is_honoured(server: Server) -> None:
    fields = [("Expect", "100-continue"), ("Content-Length", "5")]
    with server.connect() as connection:
        connection.send(build("POST", "/input", fields))
        assert connection.receive_head().status == 100
        connection.send(b"hello")
        assert json_of(connection.receive())["size"] == 5


@case
def uploads_arrive_whole(server: Server) -> None:
    small, large = os.urandom(10), os.urandom(1_500_000)
    fields, body = multipart(
        [("note", None, b"text"), ("a", "ä b.txt", small), ("b", "../c.bin", large)]
    )
    seen = json_of(server.ask("POST", "/upload", fields, body))
    assert seen["post"] == {"note": "text"}
    for field, name, content in (("a", "ä b.txt", small), ("b", "c.bin", large)):
        file = seen["files"][field]
        assert (file["name"], file["size"], file["error"]) == (name, len(content), 0)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["genuine"] is True
        assert file["type"] == "text/x-test"


@case
def a_session_belongs_to_its_cookie(server: Server) -> None:
    user = uuid4().hex
    first = server.get(f"/session?user={user}")
    cookie = [("Cookie", f"PHPSESSID={cookie_of(first, 'PHPSESSID')}")]
    for count in (2, 3):
        seen = json_of(server.ask("GET", "/session", cookie))
        assert (seen["user"], seen["count"]) == (user, count)
    stranger = json_of(server.get("/session"))
    assert (stranger["user"], stranger["count"]) == (None, 1)


@case
def a_session_ended_by_exit_is_stored_and_does_not_leak(server: Server) -> None:
    user = uuid4().hex
    first = server.get(f"/session?user={user}&exit=1")
    assert json_of(server.get("/globals"))["session"] is False
    cookie = [("Cookie", f"PHPSESSID={cookie_of(first, 'PHPSESSID')}")]
    assert json_of(server.ask("GET", "/session", cookie))["user"] == user


@case
def an_uncaught_exception_is_500(server: Server) -> None:
    assert server.get("/throw").status == 500
    assert server.get("/hello").status == 200


@case
def a_fatal_error_is_500(server: Server) -> None:
    assert server.get("/fatal").status == 500
    assert server.get("/hello").status == 200


@case
def running_out_of_memory_is_500(server: Server) -> None:
    assert server.get("/memory").status == 500
    assert server.get("/hello").status == 200


@case
def exit_ends_the_request_and_nothing_else(server: Server) -> None:
    answer = server.get("/exit")
    assert answer.status == 200
    assert answer.body == b"before after destructed shut down"  # as the PHP command line says it
    assert server.get("/hello").status == 200


@case
def a_finished_request_is_answered_while_the_script_goes_on(server: Server) -> None:
    with TemporaryDirectory() as folder:
        go, file = Path(folder) / "go", Path(folder) / "file"
        answer = server.get(f"/finish?file={quote(str(file))}&go={quote(str(go))}")
        assert (answer.status, answer.body) == (200, b"visible")
        assert not file.exists()
        go.touch()
        wait_until("the script ends", lambda: file.exists() and file.read_text() == "went on")


@case
def flush_reaches_the_client_at_once(server: Server) -> None:
    with TemporaryDirectory() as folder, server.connect() as connection:
        go = Path(folder) / "go"
        connection.send(build("GET", f"/flush?go={quote(str(go))}"))
        assert connection.receive_head().get("Transfer-Encoding") == "chunked"
        assert connection.receive_chunk() == b"first\n"
        go.touch()
        assert connection.receive_chunk() == b"second\n"
        assert connection.receive_chunk() == b""


@case
def early_hints_precede_the_answer(server: Server) -> None:
    answer = server.get("/early-hints")
    assert [hint.status for hint in answer.interim] == [103]
    assert answer.interim[0].get("Link") == "</style.css>; rel=preload; as=style"
    assert (answer.status, answer.body, answer.get("Link")) == (200, b"after the hint", None)


@case
def no_content_has_no_body_and_no_framing(server: Server) -> None:
    with server.connect() as connection:
        answer = connection.ask("GET", "/no-content")
        assert (answer.status, answer.get("Transfer-Encoding")) == (204, None)
        assert answer.get("Content-Length") is None
        assert connection.ask("GET", "/hello").body == b"Hello, world!"


@case
def status_lines_are_the_scripts(server: Server) -> None:
    assert server.get("/teapot").status == 418
    assert server.get("/status-field").status == 404
    assert server.get("/status-line").status == 299
    redirect = server.get("/redirect")
    assert (redirect.status, redirect.get("Location")) == (302, "/elsewhere")


@case
def head_runs_the_script_and_sends_no_body(server: Server) -> None:
    with server.connect() as connection:
        answer = connection.ask("HEAD", "/hello")
        assert (answer.status, answer.body) == (200, b"")
        assert connection.ask("GET", "/hello").body == b"Hello, world!"


@case
def a_large_answer_arrives_whole(server: Server) -> None:
    size = 5_000_003
    body = server.get(f"/large?size={size}").body
    assert len(body) == size
    assert body == (b"0123456789abcdef" * (size // 16 + 1))[:size]


@case
def open_output_buffers_are_flushed_in_order(server: Server) -> None:
    assert server.get("/buffers").body == b"OUTER INNER"


@case
def fibers_run(server: Server) -> None:
    assert server.get("/fiber").body == b"in out back"


@case
def the_environment_is_the_requests_own(server: Server) -> None:
    value = uuid4().hex
    assert json_of(server.get(f"/env?v={value}")) == [True, value]


@case
def a_client_that_leaves_is_noticed(server: Server) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        with server.connect() as connection:
            connection.send(build("GET", f"/abort?file={quote(str(file))}"))
            assert connection.receive_head().status == 200
            connection.receive_chunk()
        wait_until("connection_aborted()", lambda: file.exists() and file.read_text() == "aborted")


@case
def a_field_cannot_be_split(server: Server) -> None:
    answer = server.get("/split-field")
    assert answer.get("X-Injected") is None


@case
def nothing_of_a_careless_request_is_seen_by_the_next(server: Server) -> None:
    dirty = server.get("/dirty")
    assert dirty.status == 418
    assert dirty.body == b"dirty once"
    clean = json_of(server.get("/clean"))
    assert clean["precision"] == "14"
    assert clean["memory_limit"] != "256M"
    assert clean["env"] is False
    assert clean["cwd"] is False
    assert clean["umask"] != 0
    assert clean["error_handler"] is None
    assert clean["exception_handler"] is None
    assert clean["error_reporting"] != 0
    assert clean["timezone"] == "UTC"
    assert clean["encoding"] == "UTF-8"
    assert clean["context"] == []
    assert not [line for line in clean["headers"] if re.match("X-Leak|Set-Cookie", line)]
    assert clean["status"] == 200


@case
def a_static_file_beside_the_scripts_needs_no_php(server: Server) -> None:
    assert server.get("/robots.txt").body == b"User-agent: *\n"


@case
def source_code_is_never_served(server: Server) -> None:
    for target in ("/matrix.php", "/../matrix.php", "/index.php~", "/index.ph%70%00"):
        assert b"<?php" not in server.get(target).body
