# SPDX-License-Identifier: MIT
"""Validation: what is expected is learnt from the baseline, and every other answer is caught."""

import socket
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.bench import answers, plan
from askrctl.bench.answers import Answer, Expected
from askrctl.bench.loads import Load
from askrctl.model import AskrError


def answer(body: bytes, status: int = 200) -> Answer:
    return Answer(status, body, len(body) + 100, len(body))


def page(token: str, process: int, name: str = "Ann") -> Answer:
    return answer(f'<p>{name}</p><input value="{token}"> process {process}'.encode())


PAGES = [page("a" * 8, 101), page("b" * 8, 102), page("c" * 8, 101)]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_fixed_answer_is_held_to_its_hash(body: bytes, other: bytes) -> None:
    expected = answers.expect([answer(body)] * 3)
    assert expected.level == "hash" and not expected.masked
    assert answers.mismatch(answer(body), expected) == ""
    assert bool(answers.mismatch(answer(other), expected)) == (body != other)


def test_words_that_vary_are_masked_and_counted() -> None:
    expected = answers.expect(PAGES)
    assert (expected.level, len(expected.masked)) == ("hash", 2)
    assert "2 words that vary masked" in expected.sentence
    assert answers.mismatch(page("d" * 8, 999), expected) == ""
    assert answers.mismatch(page("d" * 8, 10000), expected) == "", "of another length, too"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (page("e" * 8, 103, "Bob"), "'Bob' instead of 'Ann'"),
        (replace(page("e" * 8, 103), status=500), "status 500 instead of 200"),
        (page("e" * 8, 103, "A n"), "another hash"),
    ],
)
def test_a_wrong_answer_is_told_with_what_is_wrong(wrong: Answer, said: str) -> None:
    assert said in answers.mismatch(wrong, answers.expect(PAGES))


def test_a_body_that_varies_too_much_is_held_to_its_length_or_status() -> None:
    same_length = answers.expect([answer(b"a b"), answer(b"abc")])
    assert same_length.level == "length" and "too much for a hash" in same_length.sentence
    assert answers.mismatch(answer(b"xyz"), same_length) == ""
    assert answers.mismatch(answer(b"wxyz"), same_length)
    any_length = answers.expect([answer(b"a b"), answer(b"a, b c")])
    assert any_length.level == "status"
    assert answers.mismatch(answer(b"?"), any_length) == ""
    assert answers.mismatch(answer(b"?", 404), any_length)


def test_more_can_be_asked_for_than_the_answers_allow() -> None:
    with pytest.raises(AskrError, match="--validate hash asks for more"):
        answers.expect([answer(b"a b"), answer(b"abc")], "hash")
    words = b" ".join(b"%d" % number for number in range(answers.MASKED_MAX + 1))
    others = b" ".join(b"%d" % (number + 5000) for number in range(answers.MASKED_MAX + 1))
    assert answers.expect([answer(words), answer(others)]).level == "status"


@pytest.mark.parametrize("statuses", [(500, 500), (200, 503), (404, 404)])
def test_a_baseline_that_fails_measures_nothing(statuses: tuple[int, int]) -> None:
    with pytest.raises(AskrError, match="nothing to measure"):
        answers.expect([answer(b"", status) for status in statuses])


def test_what_may_differ_is_ignored() -> None:
    ignored = answers.patterns(["process [0-9]+", "Ann|Bob"])
    expected = answers.expect([answers.without(one, ignored) for one in PAGES])
    assert len(expected.masked) == 1
    assert answers.mismatch(answers.without(page("e" * 8, 7, "Bob"), ignored), expected) == ""
    with pytest.raises(AskrError, match="not a regular expression"):
        answers.patterns(["("])


BODY = answer(b"x" * 1000)
GOOD = Load(10_000, 1.0, 1.0, 2.0, wire_bytes=11_000_000, body_bytes=10_000_000)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (GOOD, ""),
        (replace(GOOD, wire_bytes=11_000_000 + 64 * 1100), ""),
        (replace(GOOD, errors=1), "1 connections failed"),
        (replace(GOOD, failed=3), "3 answers with another status"),
        (replace(GOOD, wire_bytes=10_000_000), "1000.0 wire bytes for each answer instead of 1100"),
        (replace(GOOD, body_bytes=9_000_000), "900.0 body bytes for each answer instead of 1000"),
    ],
)
def test_the_generators_own_counts_must_fit(load: Load, said: str) -> None:
    expected = answers.expect([BODY, BODY])
    assert said in answers.check_load(load, expected, BODY, 64)
    assert bool(answers.check_load(load, expected, BODY, 64)) == bool(said)


def test_lengths_are_not_held_against_an_answer_that_varies() -> None:
    loose = Expected("status", 200, -1, "", frozenset(), b"", steady=False)
    assert answers.check_load(replace(GOOD, wire_bytes=1), loose, BODY, 64) == ""


def test_the_sampler_stops_at_the_first_wrong_answer() -> None:
    expected = answers.expect(PAGES)
    given_out = iter([PAGES[0], PAGES[1], page("f" * 8, 101, "Eve"), PAGES[2]])
    sampler = answers.Sampler(lambda: next(given_out), expected)
    sampler.start()
    sampler.join(30)
    assert not sampler.is_alive()
    assert sampler.asked == 3 and "'Eve' instead of 'Ann'" in sampler.trouble


def test_the_frames_of_chunks_are_bytes_of_the_wire() -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.recv(4096)
                stream.sendall(whole)

        thread = threading.Thread(target=serve)
        thread.start()
        found = answers.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert (found.body, found.body_bytes, found.wire_bytes) == (b"abcde", 5, len(whole))


def test_a_route_that_fails_is_asked_once() -> None:
    asked = []

    def ask() -> Answer:
        asked.append(1)
        return Answer(404, b"", 100, 0)

    with pytest.raises(AskrError, match="status 404: nothing to measure"):
        answers.look(ask)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "url", ["ftp://a/", "a/b", "//a/", "http:///x", "http://a:99999/", "http://a:x/", "http://[::1"]
)
def test_what_is_no_url_of_a_server_is_misuse(url: str) -> None:
    with pytest.raises(AskrError) as refused:
        plan.parse_target(url)
    assert refused.value.code == 2
    assert plan.parse_target("http://[::1]:80/x?y").host == "[::1]:80"
