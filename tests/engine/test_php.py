# SPDX-License-Identifier: MIT
"""Classic mode of askr_php.so on a fake host: what every PHP application relies on."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from . import php_host
from .php_host import SCRIPTS, Answer, Request, Run

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module", autouse=True)
def php(require: Callable[[bool, str], None]) -> None:
    require(php_host.find_libphp() is not None and php_host.MODULE.exists(), "PHP with headers")


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Run]:
    def call(*requests: Request, **settings: object) -> Run:
        ini = f"session.save_path={tmp_path}\n{settings.pop('ini', '')}"
        return php_host.serve(tmp_path, requests, ini=ini, **settings)  # type: ignore[arg-type]

    return call


@pytest.fixture
def answer(serve: Callable[..., Run]) -> Callable[..., Answer]:
    def call(request: Request, **settings: object) -> Answer:
        (only,) = serve(request, **settings).answers
        return only

    return call


def multipart(content: bytes, boundary: str = "boundary") -> tuple[str, bytes]:
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="title"\r\n\r\n'
        "A picture\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="picture"; filename="a b.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return (
        f"multipart/form-data; boundary={boundary}",
        head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
    )


# What arrives.


def test_a_script_is_answered_with_one_head_and_one_write(answer: Callable[..., Answer]) -> None:
    got = answer(Request())
    assert (got.status, got.body, got.outcome) == (200, b"Hello", "done")
    assert got.events == ["head", "write"]
    assert got.field("Content-Type") == "text/html; charset=UTF-8"


def test_server_variables_describe_the_request(answer: Callable[..., Answer]) -> None:
    request = Request(
        query="a=server",
        path_info="/x/y",
        method="POST",
        body=b"a=1",
        content_type=FORM,
        cookie="k=v; l=w",
        fields=[("Host", "example.org:8080"), ("Content-Type", FORM), ("X-Own-Field", "1")],
    )
    server = answer(request).json()
    expected = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/classic.php/x/y?a=server",
        "QUERY_STRING": "a=server",
        "SCRIPT_FILENAME": str(SCRIPTS / "classic.php"),
        "SCRIPT_NAME": "/classic.php",
        "DOCUMENT_URI": "/classic.php",
        "PHP_SELF": "/classic.php/x/y",
        "PATH_INFO": "/x/y",
        "PATH_TRANSLATED": f"{SCRIPTS}/x/y",
        "DOCUMENT_ROOT": str(SCRIPTS),
        "SERVER_NAME": "example.org",
        "SERVER_ADDR": "127.0.0.1",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "askrctl",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_SCHEME": "http",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "example.org:8080",
        "HTTP_COOKIE": "k=v; l=w",
        "HTTP_X_OWN_FIELD": "1",
    }
    assert {key: server.get(key) for key in expected} == expected
    assert {"HTTPS", "HTTP_CONTENT_TYPE", "PHP_AUTH_USER", "FRANKENPHP_WORKER"}.isdisjoint(server)
    assert server["REQUEST_TIME"] == int(server["REQUEST_TIME_FLOAT"])


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.test", "a.test"), ("[::1]:8080", "[::1]"), ("[::1]", "[::1]"), ("", "127.0.0.1")],
)
def test_the_server_name_is_the_host_without_its_port(
    answer: Callable[..., Answer], host: str, name: str
) -> None:
    assert answer(Request(query="a=server", host=host)).json()["SERVER_NAME"] == name


@pytest.mark.parametrize(
    ("protocol", "name"), [(1000, "HTTP/1.0"), (1001, "HTTP/1.1"), (2000, "HTTP/2.0")]
)
def test_protocol_and_scheme_are_named(
    answer: Callable[..., Answer], protocol: int, name: str
) -> None:
    server = answer(Request(query="a=server", protocol=protocol, https=True)).json()
    assert server["SERVER_PROTOCOL"] == name
    assert (server["HTTPS"], server["REQUEST_SCHEME"]) == ("on", "https")


def test_a_repeated_field_is_one_list(answer: Callable[..., Answer]) -> None:
    fields = [("Accept", "a"), ("X-Odd", "1"), ("accept", "b"), ("x-odd", "2"), ("X-ODD", "")]
    server = answer(Request(query="a=server", fields=fields)).json()
    assert (server["HTTP_ACCEPT"], server["HTTP_X_ODD"]) == ("a, b", "1, 2, ")


def test_the_environment_is_exported_but_never_as_a_request_field(
    answer: Callable[..., Answer],
) -> None:
    environment = {"APP_ENV": "test", "HTTP_EVIL": "1", "REQUEST_METHOD": "EVIL"}
    server = answer(Request(query="a=server"), environment=environment).json()
    assert (server["APP_ENV"], server["REQUEST_METHOD"]) == ("test", "GET")
    assert "HTTP_EVIL" not in server


def test_getenv_knows_the_request_and_what_putenv_changed(answer: Callable[..., Answer]) -> None:
    request = Request(query="a=getenv", fields=[("Accept", "text/html")])
    got = answer(request, environment={"GIVEN": "at start"}).json()
    assert got == ["127.0.0.1", "text/html", "yes", "changed", False, False]


def test_form_cookies_and_query_are_parsed(answer: Callable[..., Answer]) -> None:
    got = answer(
        Request(
            query="a=input&q[]=1&q[]=2",
            method="POST",
            body=b"name=%C3%85sa&x[y]=z",
            content_type=f"{FORM}; charset=utf-8",
            cookie="a=1; b=%20two; a=2; broken",
        )
    ).json()
    assert got["get"] == {"a": "input", "q": ["1", "2"]}
    assert got["post"] == {"name": "Åsa", "x": {"y": "z"}}
    assert got["cookie"] == {"a": "1", "b": " two", "broken": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_raw_body_is_read_whole_and_twice(answer: Callable[..., Answer], method: str) -> None:
    body = os.urandom(3_000_000)
    request = Request(query="a=input", method=method, body=body, content_type="application/json")
    got = answer(request).json()
    assert (got["input"], got["input_size"]) == (hashlib.sha1(body).hexdigest(), len(body))


def test_a_body_that_nobody_reads_is_left_to_the_host(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=unread", method="PUT", body=b"x" * 100_000))
    assert (got.body, got.read) == (b"did not look", 0)


def test_an_upload_is_stored_where_configured_and_removed_after(
    serve: Callable[..., Run], tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    content = os.urandom(5 << 20)
    content_type, body = multipart(content)
    ini = "upload_max_filesize=8M\npost_max_size=9M"
    request = Request(query="a=input", method="POST", body=body, content_type=content_type)
    (got,) = serve(request, upload_dir=uploads, ini=ini).answers
    picture = got.json()["files"]["picture"]
    assert got.json()["post"] == {"title": "A picture"}
    assert (picture["name"], picture["size"], picture["error"]) == ("a b.png", len(content), 0)
    assert picture["sha1"] == hashlib.sha1(content).hexdigest()
    assert picture["directory"] == str(uploads)
    assert list(uploads.iterdir()) == []


def test_a_post_above_the_limit_reaches_the_script_empty(serve: Callable[..., Run]) -> None:
    request = Request(query="a=input", method="POST", body=b"a=" + b"x" * 5000, content_type=FORM)
    run = serve(request, ini="post_max_size=1000")
    assert run.answers[0].json()["post"] == []
    assert run.logged("exceeds the limit of 1000 bytes")


def test_credentials_are_decoded(answer: Callable[..., Answer]) -> None:
    basic = Request(query="a=server", authorization="Basic dXNlcjpwYTpzcw==")
    server = answer(basic).json()
    assert (server["PHP_AUTH_USER"], server["PHP_AUTH_PW"]) == ("user", "pa:ss")
    digest = answer(Request(query="a=server", authorization='Digest username="u"')).json()
    assert digest["PHP_AUTH_DIGEST"] == 'username="u"'


def test_filter_input_sees_the_request_not_what_the_script_made_of_it(
    answer: Callable[..., Answer],
) -> None:
    request = Request(query="a=filter", fields=[("User-Agent", "<b>")])
    assert answer(request).json() == {
        "has": True,
        "uri": "/classic.php?a=filter",
        "port": 8080,
        "agent": "<b>",
        "agent_now": "<b>",
        "get": "filter",
        "changed": "changed by the script",
    }


def test_a_default_filter_applies_to_server_variables(answer: Callable[..., Answer]) -> None:
    request = Request(query="a=filter", fields=[("User-Agent", "<b>")])
    got = answer(request, ini="filter.default=special_chars").json()
    assert (got["agent"], got["agent_now"]) == ("<b>", "&#60;b&#62;")


# What goes out.


def test_a_status_field_is_the_status(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=status"))
    assert (got.status, got.body, got.field("Status")) == (404, b"gone", None)
    assert got.field("X-Empty") == ""


@pytest.mark.parametrize(
    ("action", "method", "status"),
    [
        ("status_line", "GET", 410),
        ("not_modified", "GET", 304),
        ("response_code", "GET", 204),
        ("location", "GET", 302),
        ("location", "POST", 303),
    ],
)
def test_the_script_chooses_the_status(
    answer: Callable[..., Answer], action: str, method: str, status: int
) -> None:
    got = answer(Request(query=f"a={action}", method=method, body=b"", content_type=FORM))
    assert (got.status, got.events) == (status, ["head"])


def test_too_many_fields_are_refused_and_said(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=many_fields"), Request())
    assert [(got.status, got.outcome) for got in run.answers] == [(500, "failed"), (200, "done")]
    assert run.logged("more than 128 header fields", "error")


def test_head_gets_the_fields_and_no_body(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=large", method="HEAD"))
    assert (got.status, got.events) == (200, ["head"])


def test_ten_megabytes_arrive_unchanged(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=large"))
    assert got.body == b"".join(bytes([ord("a") + i]) * (1 << 20) for i in range(10))


def test_small_writes_are_gathered(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=many_echos"), ini="output_buffering=0")
    assert got.body == b"twelve bytes" * 1000
    assert got.events == ["head", "write", "write"]


def test_flush_sends_what_there_is(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=flush"))
    assert got.events == ["head", "write", "flush", "write", "flush"]
    assert got.body == b"onetwo"


def test_a_script_goes_on_unheard_after_finishing_its_request(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=finish"))
    assert run.answers[0].body == b"answer"
    assert run.answers[0].events == ["head", "write", "end"]
    assert run.logged("after the answer: [true,false]")


def test_request_fields_are_spelt_as_in_http_1(answer: Callable[..., Answer]) -> None:
    fields = [("accept-encoding", "br"), ("X-FORWARDED-for", "a"), ("x-forwarded-for", "b")]
    got = answer(Request(query="a=headers", fields=fields)).json()
    assert got["request"] == {"Accept-Encoding": "br", "X-Forwarded-For": "a, b"}
    assert got["response"]["X-One"] == "1, 2"
    assert got["same"] is True


def test_early_hints_go_out_before_the_answer(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=hints"))
    assert got.interims == [[103, [["Link", "</style.css>; rel=preload; as=style"]]]]
    assert (got.field("Link"), got.field("X-Final")) == (None, "1")
    assert got.events == ["interim", "head", "write"]


def test_trailers_are_said_once_they_are_fields(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=trailers"))
    [answer] = run.answers
    assert answer.trailers == [[["X-Sum", "4"], ["Server-Timing", "db;dur=1.5"]]]
    assert (answer.body, answer.field("Trailer")) == (b"text", "X-Sum")
    [line] = [text for _, text in run.logs if text.startswith("trailers: ")]
    said = json.loads(line.removeprefix("trailers: "))
    assert (said[0], said[-2:]) == (True, [False, False])
    assert all("names of fields => values of one line" in text for text in said[1:5])
    assert ["4096 bytes" in said[5], "32 fields" in said[6]] == [True, True]


# How scripts end.


def test_exit_runs_shutdown_functions(answer: Callable[..., Answer]) -> None:
    assert answer(Request(query="a=exit")).body == b"before exit shutdown"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(query="a=throw"), "Uncaught LogicException: nobody catches this"),
        (Request(query="a=memory"), "Allowed memory size of"),
        (Request(query="a=recursion"), "Allowed memory size of"),
        (Request(query="a=busy"), "Maximum execution time of 1 second exceeded"),
        (Request(script="parse_error.php"), "syntax error"),
    ],
)
def test_a_fatal_error_is_a_500_and_ends_only_its_request(
    serve: Callable[..., Run], request_: Request, message: str
) -> None:
    run = serve(request_, Request())
    assert [got.status for got in run.answers] == [500, 200]
    assert run.answers[1].body == b"Hello"
    assert run.logged(message, "error")


def test_errors_are_shown_only_when_php_ini_says_so(answer: Callable[..., Answer]) -> None:
    shown = answer(Request(query="a=throw"), ini="display_errors=1")
    assert (shown.status, b"nobody catches this" in shown.body) == (200, True)
    hidden = answer(Request(query="a=throw"), php_ini="/dev/null")
    assert hidden.body == b"partial"  # without any php.ini PHP's own default would show them


def test_waiting_too_long_is_ended_by_the_wall_clock(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=sleep"), Request(), request_timeout_ms=1000)
    assert [got.status for got in run.answers] == [500, 200]
    assert run.answers[0].body == b"shutdown ran"
    assert run.logged("Maximum execution time of 1 second exceeded")


def test_a_script_that_is_gone_is_not_found(serve: Callable[..., Run]) -> None:
    run = serve(Request(script="gone.php"), Request())
    assert [got.status for got in run.answers] == [404, 200]
    assert run.logged("gone.php", "warn")


def test_a_client_that_leaves_ends_the_script(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=abort", abort_after=20000), Request())
    assert run.logged("aborted: 1")
    assert not run.logged("reached the end")
    assert run.answers[1].body == b"Hello"


def test_a_script_may_ignore_that_the_client_left(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=abort&ignore", abort_after=20000), Request())
    assert run.logged("aborted: 1") and run.logged("reached the end")
    assert run.answers[1].body == b"Hello"


# The world around a script.


def test_a_script_finds_the_names_that_applications_look_for(
    answer: Callable[..., Answer],
) -> None:
    got = answer(Request(query="a=where")).json()
    assert got == {
        "cwd": str(SCRIPTS),
        "sapi": "frankenphp",
        "stderr": False,
        "extensions": [True, True],
        "levels": [-4, 8],
    }


def test_a_session_counts_for_its_own_cookie(serve: Callable[..., Run]) -> None:
    one = Request(query="a=session", cookie="PHPSESSID=one")
    two = Request(query="a=session", cookie="PHPSESSID=two")
    assert [got.body for got in serve(one, one, two, one).answers] == [b"1", b"2", b"1", b"3"]


def test_nothing_is_kept_from_one_request_to_the_next(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=state"), Request(query="a=state"))
    assert [got.body for got in run.answers] == [b"11", b"11"]


def test_handle_request_belongs_to_worker_mode(answer: Callable[..., Answer]) -> None:
    got = answer(Request(query="a=handle_request"))
    assert got.body == b"frankenphp_handle_request() called while not in worker mode"


def test_log_messages_are_whole_and_have_a_level(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=log"))
    assert run.logs == [
        ("info", "first line\nsecond line"),
        ("warn", 'structured {"user":7,"path":"/a"}'),
    ]


def test_a_forked_copy_of_a_script_says_nothing_to_the_client(serve: Callable[..., Run]) -> None:
    run = serve(Request(query="a=fork"), Request())
    assert [got.body for got in run.answers] == [b"copy ended with 7", b"Hello"]
    assert len(run.exits) == 1


def test_expose_php_adds_its_field(answer: Callable[..., Answer]) -> None:
    powered = answer(Request(), ini="expose_php=1").field("X-Powered-By")
    assert powered is not None and powered.startswith("PHP/8")
    assert answer(Request(), ini="expose_php=0").field("X-Powered-By") is None
