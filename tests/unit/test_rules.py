# SPDX-License-Identifier: MIT
"""[[header]] and [[redirect]] of askr.toml: what they may say, and how others are refused."""

from pathlib import Path

import pytest

from askrctl.config import Config, read_text
from askrctl.config.rules import find_loop, match, redirect_problem
from askrctl.config.schema import HeaderRule, Redirect
from askrctl.model import AskrError


def read(text: str) -> Config:
    return read_text(text, Path("askr.toml"))


def refusal(text: str) -> str:
    with pytest.raises(AskrError) as caught:
        read(text)
    assert caught.value.code == 2
    return f"{caught.value.message} | {caught.value.hint}"


def test_rules_are_read() -> None:
    config = read(
        '[[header]]\npath = ["/a/*", "*.css"]\nset = { X-A = " b " }\nadd = { Link = ["c", "d"] }\n'
        '[[redirect]]\nfrom = "/old/*"\nto = "/new/*"\nstatus = 301\nhosts = "*.Example.org."\n'
    )
    assert config.header == (
        HeaderRule(("/a/*", "*.css"), set=(("X-A", "b"),), add=(("Link", "c"), ("Link", "d"))),
    )
    assert config.redirect == (Redirect("/old/*", "/new/*", 301, ("*.example.org",)),)


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "transfer-encoding", "Connection", "Keep-Alive", "TE", "Trailer"),
        *("Upgrade", "Proxy-Connection", "Content-Encoding", "Content-Range", "Date"),
        *("X-Sendfile", ":status", "X A", "", "X\x00"),
    ],
)
@pytest.mark.parametrize("key", ["set", "add"])
def test_fields_that_frame_an_answer_are_nobody_elses(name: str, key: str) -> None:
    text = f'[[header]]\n{key} = {{ "{name}" = "1" }}'.replace("\x00", "\\u0000")
    assert refusal(text).startswith(f"askr.toml, line 2: header.{key} must be")


@pytest.mark.parametrize("name", ["Content-Length", "Server", "Vary", "Content-Type", "Location"])
def test_what_an_answer_needs_is_not_removed(name: str) -> None:
    assert "other fields" in refusal(f'[[header]]\nremove = "{name}"')


@pytest.mark.parametrize("value", ["a\\r\\nb", "a\\nb", "a\\rb", "a\\u0000b", "a\\u007fb", "a\\tb"])
def test_a_value_is_one_line(value: str) -> None:
    text = f'[[header]]\nset = {{ X-A = "{value}" }}'
    if value == "a\\tb":
        assert read(text).header[0].set == (("X-A", "a\tb"),)
    else:
        assert refusal(text).startswith("askr.toml, line 2: header.set must be")


def test_the_line_is_that_of_the_table_which_is_wrong() -> None:
    good = '[[header]]\nset = { X-A = "b" }\n'
    assert "line 6: unknown key header.paht | did you mean path?" in refusal(
        good + good + '[[header]]\npaht = "/"\n'
    )
    assert "line 3: this [[header]] changes nothing" in refusal(good + '[[header]]\npath = "/"\n')
    assert "line 1: this [[redirect]] has no to" in refusal('[[redirect]]\nfrom = "/a"')
    assert "header must be a list of tables" in refusal("[header]\npath = 1")


def test_there_is_a_limit_to_what_is_added() -> None:
    many = "\n".join(f'[[header]]\nset = {{ X-{n} = "{"a" * 2000}" }}' for n in range(3))
    assert "4096 bytes" in refusal(many)
    assert "more than 32" in refusal('[[header]]\nset = { A = "b" }\n' * 33)


@pytest.mark.parametrize(
    ("pattern", "path", "rest"),
    [
        ("/a", "/a", ""),
        ("/a", "/a/", None),
        ("/a/*", "/a/b/c", "b/c"),
        ("/a/*", "/a", None),
        ("*.css", "/b/c.css", "/b/c"),
        ("/a*a", "/a", None),
        ("/a*a", "/aa", ""),
        ("*", "/", "/"),
    ],
)
def test_a_star_stands_for_anything(pattern: str, path: str, rest: str | None) -> None:
    assert match(pattern, path) == rest


@pytest.mark.parametrize(
    "to",
    [
        "//evil.test/",
        "ftp://a/",
        "https://",
        "/a b",
        "/a\\nb",
        "a",
        "https://user@a/",
        "/a#b",
        "/**",
    ],
)
def test_a_redirect_leads_to_a_path_or_a_url(to: str) -> None:
    assert "redirect.to must be a path" in refusal(f'[[redirect]]\nfrom = "/x"\nto = "{to}"')


def test_a_star_cannot_become_part_of_a_host() -> None:
    assert "in the host" in redirect_problem(Redirect("/old*", "https://example.org*"))
    assert redirect_problem(Redirect("*", "https://example.org*")) == ""
    assert redirect_problem(Redirect("/old*", "https://example.org/*")) == ""
    assert "none that it could" in redirect_problem(Redirect("/old", "/new/*"))


@pytest.mark.parametrize(
    "pairs",
    [
        [("/a*", "/a/b*")],
        [("/a", "/b"), ("/b", "/a")],
        [("/a/*", "/b/*"), ("/b/*", "/c/*"), ("/c/*", "/a/*x")],
        [("*", "/x/*")],
        [("/a/*", "https://example.org/a/b/*")],
    ],
)
def test_a_redirect_that_never_ends_is_refused(pairs: list[tuple[str, str]]) -> None:
    assert find_loop([Redirect(a, b) for a, b in pairs], ["example.org"]) is not None


@pytest.mark.parametrize(
    "pairs",
    [
        [("*", "/maintenance.html")],  # which is passed over once the client is there
        [("*", "https://example.org/*")],
        [("/old/*", "/*")],  # shorter each time
        [("/a", "/b"), ("/b", "/c")],
        [("/a/*", "https://other.org/a/b/*")],
    ],
)
def test_a_redirect_that_ends_is_not(pairs: list[tuple[str, str]]) -> None:
    assert find_loop([Redirect(a, b) for a, b in pairs], ["example.org"]) is None
