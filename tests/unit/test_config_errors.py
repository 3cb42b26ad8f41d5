# SPDX-License-Identifier: MIT
"""Every key of askr.toml, given nonsense: the message names the place and the key, and ends with
what to type, which is then taken."""

import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from askrctl.config import Config, Origin, blamed, origins, read_text, to_blame
from askrctl.config.entries import CERTIFICATE, RATE, WARMUP
from askrctl.config.lines import lines_of
from askrctl.config.lists import HEADER_KEYS, REDIRECT_KEYS
from askrctl.config.read import (
    LISTS,
    flag_of,
    keys_of,
    sections,
    variable_of,
    with_environment,
    with_flags,
)
from askrctl.config.sites import SITE_KEYS
from askrctl.model import AskrError

FILE = Path("askr.toml")
KEYS = [(section, key) for section in sections() for key in keys_of(section)]
TABLES = {
    "warmup": WARMUP,
    "header": HEADER_KEYS,
    "redirect": REDIRECT_KEYS,
    "site": SITE_KEYS,
    "limits.rate": RATE,
    "tls.certificate": CERTIFICATE,
}
TABLE_KEYS = [(table, key) for table, kinds in TABLES.items() for key in kinds]
SECTION_KEYS = [("php", "processes"), ("static", "symlinks"), ("sendfile", "roots")]
# Keys that take any text, so that no variable of the environment can be wrong for them.
ANY_TEXT = {
    *("server.user", "server.group", "server.control", "server.temp_dir", "server.watch_ignore"),
    *("php.worker_script", "php.library", "php.php_ini", "php.sapi_name", "php.slowlog"),
    *("static.index", "tls.cert", "tls.key", "tls.client_ca", "log.access", "trace.service_name"),
    *("sendfile.roots", "server.server_header"),
}
NEVER = "[[1]]"  # a value that no key takes


def refusal(text: str) -> AskrError:
    with pytest.raises(AskrError) as caught:
        read_text(text, FILE)
    assert caught.value.code == 2
    return caught.value


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_bad_value_of_the_file_is_told_with_its_line_and_a_good_one(
    section: str, key: str
) -> None:
    error = refusal(f"# of the shop\n\n[{section}]\n{key} = {NEVER}\n")
    assert error.message.startswith(f"askr.toml, line 4: {section}.{key}")
    if error.hint.startswith("[["):
        assert error.hint == f"[[{section}.{key}]]"
    else:
        assert error.hint.startswith(f"{key} = ")
        read_text(f"[{section}]\n{error.hint}", FILE)


@pytest.mark.parametrize(("table", "key"), TABLE_KEYS)
def test_a_bad_value_in_a_list_of_tables_is_told_in_the_same_way(table: str, key: str) -> None:
    error = refusal(f"[[{table}]]\n\n{key} = {NEVER}\n")
    assert error.message.startswith(f"askr.toml, line 3: {table}.{key}")
    TABLES[table][key](tomllib.loads(error.hint)[key])


@pytest.mark.parametrize(("section", "key"), SECTION_KEYS)
def test_a_bad_value_in_a_section_of_a_site_is_told_in_the_same_way(section: str, key: str) -> None:
    first = '[[site]]\nroot = "/a"\nhosts = "a"\n[[site]]\nroot = "/b"\nhosts = "b"\n'
    error = refusal(f"{first}[site.{section}]\n{key} = {NEVER}\n")
    assert error.message.startswith(f"askr.toml, line 8: site.{section}.{key}")
    read_text(f"{first}[site.{section}]\n{error.hint}\n", FILE)


@pytest.mark.parametrize("section", [*sections(), *LISTS])
def test_a_section_that_is_none_is_told_with_its_line(section: str) -> None:
    error = refusal(f"\n{section} = 1\n")
    assert error.message.startswith(f"askr.toml, line 2: {section} must be a")
    assert error.hint in (f"[{section}]", f"[[{section}]]")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_bad_value_of_the_environment_is_told_with_its_variable(section: str, key: str) -> None:
    name, variable = f"{section}.{key}", variable_of(section, key)
    if name in ANY_TEXT:
        with_environment(Config(), {variable: "?"})
        return
    with pytest.raises(AskrError) as caught:
        with_environment(Config(), {variable: "?"})
    assert caught.value.message.startswith(f"environment, {variable}: {name}")
    assert caught.value.code == 2
    hint = caught.value.hint
    if hint.endswith(" in askr.toml"):
        assert name in ("limits.rate", "tls.certificate", "sendfile.internal")
        return
    [words] = shlex.split(hint)
    assert words.startswith(f"{variable}=")
    with_environment(Config(), {variable: words.removeprefix(f"{variable}=")})


FLAGS: dict[str, object] = {
    "server.listen": ["?"],
    "admin.listen": ["?"],
    "server.workers": -1,
    "php.processes": 0,
    "server.io_backend": "kqueue",
    "server.watch": "?",
}


@pytest.mark.parametrize("name", FLAGS)
def test_a_bad_flag_is_told_with_its_name(name: str) -> None:
    with pytest.raises(AskrError) as caught:
        with_flags(Config(), {name: FLAGS[name]})
    assert caught.value.message.startswith(f"{flag_of(name)}: {name}")
    assert caught.value.hint.startswith(f"{flag_of(name)} ")


# --- what only shows later ------------------------------------------------------------------------

LATER = """[server]
user = "nobody-at-all"
log.access = "-"
[[site]]
root = "/a"
[[site]]
root = "/b"
[site.php]
php_ini = "x"
"""


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("server.user", "askr.toml, line 2: server.user: no"),
        ("site.2.php.php_ini", "askr.toml, line 9: site.php.php_ini: no"),
        ("site.1.user", "askr.toml, line 4: site.user: no"),
        ("limits.queue", "environment, ASKR_LIMITS_QUEUE: limits.queue: no"),
        ("server.workers", "--workers: no"),
        ("php.processes", "no"),
        ("", "no"),
    ],
)
def test_what_shows_later_names_where_the_value_came_from(key: str, said: str) -> None:
    flags: dict[str, object] = {"server.workers": 2}
    found = origins(LATER, FILE, {"ASKR_LIMITS_QUEUE": "1"}, flags)
    with pytest.raises(AskrError) as caught, blamed(found), to_blame(key):
        raise AskrError("no", "do", code=3)
    assert (caught.value.message, caught.value.hint, caught.value.code) == (said, "do", 3)


def test_the_narrower_setting_is_to_blame() -> None:
    with pytest.raises(AskrError) as caught, to_blame("tls.cert"):
        raise AskrError("no", key="tls.key")
    assert caught.value.key == "tls.key"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[site]]\nroot = "/a"\nhosts = "a"\n[[site]]\nroot = "/b"\nhosts = "a"',
            'line 4: the site "a" is there twice',
        ),
        (
            '[[site]]\nname="x"\nroot = "/a"\nhosts = "a"\n[[site]]\nroot = "/b"\nhosts = "a"',
            'line 7: the site "a" and the site "x" both have the host a',
        ),
        (
            '[[site]]\nname="x"\nroot = "/a"\ndefault = true\n'
            '[[site]]\nname="y"\nroot = "/b"\ndefault = true',
            "line 8: 2 sites are marked default: x, y",
        ),
        (
            '[[redirect]]\nfrom = "/x"\nto = "/y"\n[[redirect]]\nfrom = "/a*"\nto = "/a/b*"',
            'line 4: the redirect from "/a*" leads back to itself',
        ),
        ("\nworkers = 2", "line 2: workers stands outside of any section"),
    ],
)
def test_what_shows_only_with_all_of_the_file_has_a_line_too(text: str, said: str) -> None:
    error = refusal(text)
    assert error.message == f"askr.toml, {said}"
    assert error.hint


TRICKY = '''# [server]
log.access = "-"   # = [x]
"quoted key" = 'a # b'
[ server ]
listen = [
    ":80", # ]
    "[::1]:81",
]
started = 1979-05-27T07:32:00Z
text = """
[fake]
fake = "" """
table = { inner = 1 }
[[site]]
[[site.redirect]]
[[site.redirect]]
from = "\\"]"
[[site]]
site.php.ini = 1
'''


def test_lines_are_found_among_everything_that_toml_may_hold() -> None:
    assert lines_of(TRICKY.replace("\n", "\r\n")) == lines_of(TRICKY)
    assert lines_of(TRICKY) == {
        ("log",): 2,
        ("log", "access"): 2,
        ("quoted key",): 3,
        ("server",): 4,
        ("server", "listen"): 5,
        ("server", "started"): 9,
        ("server", "text"): 10,
        ("server", "table"): 13,
        ("site",): 14,
        ("site", 0): 14,
        ("site", 0, "redirect"): 15,
        ("site", 0, "redirect", 0): 15,
        ("site", 0, "redirect", 1): 16,
        ("site", 0, "redirect", 1, "from"): 17,
        ("site", 1): 18,
        ("site", 1, "site"): 19,
        ("site", 1, "site", "php"): 19,
        ("site", 1, "site", "php", "ini"): 19,
    }


def test_every_key_has_its_origin() -> None:
    found = origins("", FILE, {}, {})
    names = {f"{section}.{key}" for section, key in KEYS}
    assert set(found) == names | set(LISTS)
    assert set(found.values()) == {Origin()}
    assert {item.name for item in fields(Config)} == set(sections()) | set(LISTS)
