# SPDX-License-Identifier: MIT
"""Worker mode of askr_php.so on a fake host: what survives a request, and what must not."""

import json
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
    def call(*actions: str | Request, script: object = "worker.php", **settings: object) -> Run:
        requests = [
            action if isinstance(action, Request) else Request("worker.php", f"a={action}")
            for action in actions
        ]
        ini = f"session.save_path={tmp_path}\n{settings.pop('ini', '')}"
        path = SCRIPTS / str(script)
        return php_host.serve(
            tmp_path,
            requests,
            ini=ini,
            mode="worker",
            script=path,
            **settings,  # type: ignore
        )

    return call


def bodies(run: Run) -> list[bytes]:
    return [answer.body for answer in run.answers]


def last(run: Run) -> Answer:
    return run.answers[-1]


# The loop.


def test_a_script_boots_once_and_ends_when_the_port_drains(serve: Callable[..., Run]) -> None:
    run = serve("served", "served", "served")
    assert bodies(run) == [b"1", b"2", b"3"]
    assert run.ready == 1
    assert run.exits == [{"status": 0, "unserved": 0}]
    assert run.logged("left the loop after 3") and run.logged("boot shutdown function")


def test_a_script_that_returns_after_serving_is_run_again(serve: Callable[..., Run]) -> None:
    run = serve("served", "served", "served", environment={"LOOP_MAX": "2"})
    assert bodies(run) == [b"1", b"2", b"1"]
    assert run.ready == 1


def test_max_requests_ends_the_process_and_leaves_the_rest(serve: Callable[..., Run]) -> None:
    run = serve("served", "served", "served", max_requests=2)
    assert bodies(run) == [b"1", b"2"]
    assert run.exits == [{"status": 0, "unserved": 1}]


def test_output_outside_of_requests_reaches_no_client(serve: Callable[..., Run]) -> None:
    run = serve("served", "served")
    assert bodies(run) == [b"1", b"2"]
    assert last(run).field("X-Between") is None
    assert "printed" not in run.stderr


def test_a_request_cannot_ask_for_the_next(serve: Callable[..., Run]) -> None:
    run = serve("nested", "served")
    message = b"frankenphp_handle_request() called while a request is being handled"
    assert bodies(run) == [message, b"2"]


# What a request sees.


def test_each_request_has_its_own_superglobals(serve: Callable[..., Run]) -> None:
    full = Request(
        "worker.php",
        "a=state&q=1",
        method="POST",
        body=b"p=2",
        content_type=FORM,
        cookie="c=3",
        authorization="Basic dXNlcjpwYXNz",
    )
    first, second = (answer.json() for answer in serve(full, "state").answers)
    assert first == {
        "get": {"a": "state", "q": "1"},
        "post": {"p": "2"},
        "cookie": {"c": "3"},
        "files": [],
        "request": {"a": "state", "q": "1", "p": "2"},
        "method": "POST",
        "user": "user",
        "input": "p=2",
        "session": False,
        "worker": "1",
    }
    assert (second["get"], second["post"], second["cookie"]) == ({"a": "state"}, [], [])
    assert (second["method"], second["user"], second["input"]) == ("GET", None, "")
    assert second["request"] == {"a": "state"}


def test_uploads_are_removed_after_their_request(serve: Callable[..., Run], tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + b"x" * 100_000
        + b"\r\n--b--\r\n"
    )
    upload = Request(
        "worker.php",
        "a=state",
        method="POST",
        body=body,
        content_type="multipart/form-data; boundary=b",
    )
    first, second = serve(upload, "state", upload_dir=uploads).answers
    assert (first.json()["files"], second.json()["files"]) == (["file"], [])
    assert list(uploads.iterdir()) == []


def test_filter_input_sees_each_request(serve: Callable[..., Run]) -> None:
    run = serve("filter&q=1", "filter&q=2", "filter")
    assert [answer.json()[1] for answer in run.answers] == ["1", "2", None]
    assert run.answers[1].json()[0] == "/worker.php?a=filter&q=2"


def test_a_worker_script_has_output_streams_but_no_standard_input(
    serve: Callable[..., Run],
) -> None:
    assert last(serve("streams")).json() == ["stream", "stream", False]


# What a request leaves behind.


def test_what_the_boot_set_up_is_what_every_request_finds(serve: Callable[..., Run]) -> None:
    run = serve("process", "dirty", "process", "throw", "process")
    before, after, later = (run.answers[index].json() for index in (0, 2, 4))
    assert after == before == later
    assert (before["precision"], before["boot"], before["leak"]) == ("10", "1", False)
    assert (before["cwd"], before["handler"], before["catcher"]) == (str(SCRIPTS), True, False)
    assert run.answers[1].status == 418
    assert run.answers[1].body == b"dirty shutdown"
    assert run.answers[1].field("X-Dirty") == "1"


def test_the_next_script_run_starts_from_php_ini_again(serve: Callable[..., Run]) -> None:
    run = serve("process", "dirty", "memory", "process", "dirty", "process")
    states = [run.answers[index].json() for index in (0, 3, 5)]
    assert states[0] == states[1] == states[2]


def test_a_session_belongs_to_its_cookie(serve: Callable[..., Run]) -> None:
    def visit(cookie: str, action: str = "session") -> Request:
        return Request("worker.php", f"a={action}", cookie=cookie)

    one, two = "PHPSESSID=one", "PHPSESSID=two"
    run = serve(
        visit(one), visit(one), visit(two), visit("", "peek"), visit(one, "session&exit"),
        visit("", "peek"), visit("", "session"), visit(one), visit(two, "peek"),
    )  # fmt: skip
    nobody = json.dumps([False, "", 1], separators=(",", ":")).encode()
    assert bodies(run) == [b"1", b"2", b"1", nobody, b"3", nobody, b"1", b"4", nobody]


def test_what_a_script_does_between_requests_is_put_back_as_well(
    serve: Callable[..., Run],
) -> None:
    run = serve("process", Request("worker.php", "a=served&between=dirty"), "process", "peek")
    assert run.answers[2].json() == run.answers[0].json()
    assert (run.answers[1].status, run.answers[1].body) == (200, b"2")
    assert run.answers[3].json() == [False, "", 1]


def test_a_session_opened_between_requests_is_closed_before_the_next(
    serve: Callable[..., Run],
) -> None:
    def visit(query: str, cookie: str) -> Request:
        return Request("worker.php", query, cookie=f"PHPSESSID={cookie}")

    run = serve(
        visit("a=session&between=session", "one"), visit("a=peek", "two"), visit("a=session", "one")
    )
    assert run.answers[1].json() == [False, "", 1]
    assert last(run).body == b"3"


def test_the_wall_clock_counts_what_follows_the_answer(serve: Callable[..., Run]) -> None:
    run = serve(Request("worker.php", "a=served&between=sleep"), "served", request_timeout_ms=1000)
    assert [(answer.status, answer.body) for answer in run.answers] == [(200, b"1")] * 2
    assert run.logged("Maximum execution time of 1 second exceeded")


def test_where_sessions_are_kept_is_the_applications_until_its_script_ends(
    serve: Callable[..., Run], tmp_path: Path
) -> None:
    look = "save_path"
    run = serve(look, f"{look}&path=/a", look, f"{look}&path=/b", look, "memory", look)
    before = str(tmp_path).encode()
    assert bodies(run)[:5] == [before, b"/a", b"/a", b"/b", b"/b"]
    assert last(run).body == before


def test_what_a_request_adds_to_forms_is_not_in_the_next_ones(serve: Callable[..., Run]) -> None:
    one, two = serve("rewrite&name=one", "rewrite&name=two").answers
    assert (b'name="one"' in one.body, b'name="two"' in two.body) == (True, True)
    assert b'name="one"' not in two.body


def test_forms_that_were_rewritten_leave_no_memory(serve: Callable[..., Run]) -> None:
    rewrite = "rewrite&name=one"
    run = serve(rewrite, "usage", rewrite, "usage", *[rewrite] * 20, "usage")
    assert run.answers[-1].json() == run.answers[3].json()


def test_a_session_can_start_by_itself(serve: Callable[..., Run]) -> None:
    request = Request("worker.php", "a=peek", cookie="PHPSESSID=auto")
    run = serve(request, request, ini="session.auto_start=1")
    assert [answer.json() for answer in run.answers] == [[True, "auto", 2]] * 2


def test_a_files_written_after_the_boot_is_cached_at_once(
    serve: Callable[..., Run], tmp_path: Path
) -> None:
    assert last(serve(f"new_file&path={tmp_path}/compiled.php")).json() is True


def test_opcache_reset_asks_for_fresh_processes(serve: Callable[..., Run]) -> None:
    run = serve("opcache_reset", "served")
    assert run.answers[0].json() is True
    assert run.logged("a reload is asked for", "info")
    assert last(run).body == b"2", "this one serves on until it is replaced"


# How requests end.


def test_exit_ends_the_request_and_not_the_script(serve: Callable[..., Run]) -> None:
    run = serve("exit", "exit_finally", "generator", "fiber", "served")
    assert bodies(run) == [
        b"before after",
        b"exit",
        b"generator exit",
        b"in fiber resumed exit",
        b"5",
    ]
    assert run.logged("destroyed: at exit")
    assert {answer.status for answer in run.answers} == {200}


def test_an_uncaught_exception_is_a_500_and_the_script_lives_on(
    serve: Callable[..., Run],
) -> None:
    run = serve("throw", "served")
    assert [answer.status for answer in run.answers] == [500, 200]
    assert bodies(run) == [b"partial", b"2"]
    assert run.logged("Uncaught LogicException: nobody catches this", "error")


def test_a_request_may_have_its_own_exception_handler(serve: Callable[..., Run]) -> None:
    run = serve("handled", "throw", "served")
    assert [answer.status for answer in run.answers] == [503, 500, 200]
    assert run.answers[0].body == b"handled: by the request"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("memory", "Allowed memory size of"),
        ("recursion", "Allowed memory size of"),
        ("redeclare", "Cannot declare class Witness"),
        ("user_error", "the request gives up"),
        ("busy", "Maximum execution time of 1 second exceeded"),
    ],
)
def test_a_fatal_error_is_a_500_and_the_script_runs_again(
    serve: Callable[..., Run], action: str, message: str
) -> None:
    run = serve("served", action, "served", "served")
    assert [answer.status for answer in run.answers] == [200, 500, 200, 200]
    assert [run.answers[index].body for index in (0, 2, 3)] == [b"1", b"1", b"2"]
    assert run.logged(message, "error")
    assert run.ready == 1


def test_a_script_that_runs_again_leaves_no_descriptors(serve: Callable[..., Run]) -> None:
    run = serve("user_error", "usage", "memory", "usage")
    once, twice = (run.answers[index].json()[1] for index in (1, 3))
    assert twice == once


def test_a_shutdown_function_can_render_the_page_of_a_fatal_error(
    serve: Callable[..., Run],
) -> None:
    assert serve("memory").answers[0].body == b"error page"


def test_waiting_too_long_is_ended_by_the_wall_clock(serve: Callable[..., Run]) -> None:
    run = serve("sleep", "served", request_timeout_ms=1000)
    assert [answer.status for answer in run.answers] == [500, 200]
    assert run.logged("Maximum execution time of 1 second exceeded")


def test_a_client_that_leaves_does_not_end_the_script(serve: Callable[..., Run]) -> None:
    run = serve(Request("worker.php", "a=abort", abort_after=20000), "served")
    assert run.logged("reached the end: 1")
    assert last(run).body == b"2"


def test_a_forked_copy_says_nothing_and_serves_nothing(serve: Callable[..., Run]) -> None:
    run = serve("fork", "served")
    assert bodies(run) == [b"copy ended with 7", b"2"]
    assert len(run.exits) == 1


# What goes out.


def test_early_hints_streams_and_finish_work_as_in_classic_mode(
    serve: Callable[..., Run],
) -> None:
    hints, stream, finish = serve("hints", "stream", "finish").answers
    assert hints.events == ["interim", "head", "write"]
    assert stream.events == ["head"] + ["write", "flush"] * 3
    assert stream.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert (finish.events, finish.body) == (["head", "write", "end"], b"answer")


# Scripts that do not boot.


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("<?php this is not PHP", "syntax error, unexpected identifier"),
        ("<?php echo 'APP_KEY is not set'; exit(1);", "exit(1): APP_KEY is not set"),
        ("<?php throw new RuntimeException('no database');", "Uncaught RuntimeException: no datab"),
        ("<?php echo 'done';", "it ended before it called frankenphp_handle_request()"),
        ("<?php $x = str_repeat('x', 1 << 30);", "Allowed memory size of"),
        ("<?php require 'missing.php';", "Failed opening required"),
    ],
)
def test_a_script_that_does_not_boot_says_why_in_one_line(
    serve: Callable[..., Run], tmp_path: Path, source: str, why: str
) -> None:
    script = tmp_path / "boot.php"
    script.write_text(source)
    run = serve("served", script=script)
    assert run.boot_failed is not None
    assert run.boot_failed.startswith(f"worker script {script}: ")
    assert why in run.boot_failed and "\n" not in run.boot_failed
    assert run.exits == [{"status": 3, "unserved": 1}]
    assert (run.ready, run.answers) == (0, [])


def test_a_missing_worker_script_does_not_boot(serve: Callable[..., Run], tmp_path: Path) -> None:
    run = serve("served", script=tmp_path / "gone.php")
    assert run.boot_failed is not None and "gone.php" in run.boot_failed
    assert run.exits[0]["status"] == 3
