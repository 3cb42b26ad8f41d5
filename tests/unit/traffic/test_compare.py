# SPDX-License-Identifier: MIT
"""Two answers are the same byte for byte, or it is said where they are not."""

import re

import pytest
from hypothesis import given

from askrctl.model import AskrError
from askrctl.traffic.compare import IGNORED, Difference, Ignores, differences
from askrctl.traffic.exchange import Answer, Body
from askrctl.traffic.replay import check_names, request_bytes, why_not

from .samples import answer, answers, exchange, request


def of(left: Answer, right: Answer, *patterns: bytes) -> list[str]:
    ignores = Ignores(body=tuple(map(re.compile, patterns)))
    return [item.what for item in differences(left, right, ignores)]


@given(answers)
def test_an_answer_is_the_same_as_itself(one: Answer) -> None:
    assert differences(one, one, Ignores()) == ()


@pytest.mark.parametrize(
    ("left", "right", "what"),
    [
        (answer(200), answer(201), ["status"]),
        (answer(fields=(("A", "1"),)), answer(fields=(("a", "1"),)), []),
        (answer(fields=(("A", "1"),)), answer(fields=(("A", "2"),)), ["a"]),
        (answer(fields=(("A", "1"),)), answer(), ["a"]),
        (answer(fields=(("A", "1"), ("A", "2"))), answer(fields=(("A", "2"), ("A", "1"))), ["a"]),
        (
            answer(fields=(("A", "1"), ("B", "2"))),
            answer(fields=(("B", "2"), ("A", "1"))),
            [],
        ),
        (answer(fields=(("Date", "1"),)), answer(fields=(("date", "2"),)), []),
        (answer(fields=(("Vary", "redacted"),)), answer(fields=(("Vary", "x"),)), []),
        (answer(body=Body.of(b"one")), answer(body=Body.of(b"two")), ["body"]),
        (answer(body=Body.of(b"one").without_content()), answer(body=Body.of(b"one")), []),
        (answer(body=Body.of(b"one").without_content()), answer(body=Body.of(b"two")), ["body"]),
        (answer(body=Body.cut(3)), answer(body=Body.of(b"two")), []),
        (answer(body=Body.cut(4)), answer(body=Body.of(b"two")), ["body"]),
    ],
)
def test_status_fields_and_body_count(left: Answer, right: Answer, what: list[str]) -> None:
    assert of(left, right) == what
    assert of(right, left) == what


def test_what_a_pattern_matches_does_not_count() -> None:
    left, right = (answer(body=Body.of(b"a token=%d z" % n)) for n in (12, 3456))
    assert of(left, right) == ["body"]
    assert of(left, right, rb"token=\d+") == []


def test_where_bodies_part_is_shown() -> None:
    left, right = answer(body=Body.of(b"x" * 100 + b"left")), answer(body=Body.of(b"x" * 100))
    (found,) = differences(left, right, Ignores())
    assert found == Difference(
        "body", f"byte 100 of 104: {b'x' * 20 + b'left'!r}", f"byte 100 of 100: {b'x' * 20!r}"
    )


def test_every_name_that_is_ignored_is_spelled_as_it_is_compared() -> None:
    assert [name for name in IGNORED if name != name.lower()] == []


# --- what is asked again --------------------------------------------------------------------------


def test_a_request_is_sent_as_it_was_but_for_the_connection_and_what_was_taken_out() -> None:
    asked = request(
        "/caf\xe9?a=1",
        "POST",
        (
            ("Connection", "keep-alive"),
            ("Transfer-Encoding", "chunked"),
            ("Cookie", "redacted"),
            ("X-Any", "\xff"),
        ),
        Body.of(b"x=1"),
    )
    assert request_bytes(asked, "other") == (
        b"POST /caf\xe9?a=1 HTTP/1.1\r\nHost: shop.test\r\n"
        b"X-Any: \xff\r\nContent-Length: 3\r\n\r\nx=1"
    )


@pytest.mark.parametrize(
    ("method", "body", "outcome", "reason"),
    [
        ("GET", Body.of(b""), "done", ""),
        ("DELETE", Body.of(b""), "done", "may change"),
        ("GET", Body.cut(7), "done", "was not kept"),
        ("GET", Body.of(b""), "cut", "not whole"),
    ],
)
def test_what_is_not_asked_again_has_a_reason(
    method: str, body: Body, outcome: str, reason: str
) -> None:
    found = exchange(request("/", method, body=body), outcome=outcome)
    said = why_not(found, any_method=False, against_recorded=True)
    assert reason in said
    assert bool(said) is bool(reason)


@pytest.mark.parametrize(
    "names",
    [
        *("epoll", "epoll,epoll", "epoll,nginx", "epoll,https://a/"),
        *("epoll,http://a:99999", "epoll,http://a:x", "epoll,http://[::1"),
    ],
)
def test_a_comparison_needs_two_targets_that_are_some(names: str) -> None:
    with pytest.raises(AskrError) as error:
        check_names(names.split(","))
    assert error.value.code == 2
