# SPDX-License-Identifier: MIT
"""askr.toml: what it may hold beside plain keys, and how what is wrong with it is told."""

from pathlib import Path

import pytest

from askrctl.config import Config, Origin, Warmup, origins, read_text
from askrctl.model import AskrError


def read(text: str) -> Config:
    return read_text(text, Path("askr.toml"))


def test_warmups_are_a_list_of_tables_in_their_order() -> None:
    config = read(
        """
        [[warmup]]
        path = "/"
        [[warmup]]
        path = "/de/shop?x=1"
        method = "HEAD"
        host = "shop.example:8080"
        headers = { Accept-Language = "de", Cookie = "a=b" }
        status = [200, 302]
        required = false
        """
    )
    headers = (("Accept-Language", "de"), ("Cookie", "a=b"))
    shop = Warmup("/de/shop?x=1", "HEAD", "shop.example:8080", headers, (200, 302), False)
    assert config.warmup == (Warmup("/"), shop)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[warmup]\npath = "/"', "line 1: warmup must be a list of tables: [[warmup]]"),
        ("warmup = 3", "must be a list of tables: [[warmup]]"),
        ("[[warmup]]\nrequired = true", "line 1: this [[warmup]] has no path"),
        ('[[warmup]]\npath = "/"\n[[warmup]]\npaht = "/"', "line 4: unknown key warmup.paht"),
        ('[[warmup]]\npath = "/"\nstatsu = 200', "line 3: unknown key warmup.statsu"),
        ('[[warmup]]\npath = ""', "path must be a path"),
        ('[[warmup]]\npath = "/a b"', "path must be a path"),
        ('[[warmup]]\npath = "/"\nstatus = 99', "status must be a status"),
        ('[[warmup]]\npath = "/"\nstatus = [true]', "status must be a status"),
        ('[[warmup]]\npath = "/"\nmethod = "PUT"', 'method must be "GET" or "HEAD"'),
        ('[[warmup]]\npath = "/"\nhost = "a\\r\\nX: y"', "host must be a host"),
        ('[[warmup]]\npath = "/"\nheaders = { "A B" = "x" }', "'A B' cannot be sent"),
        ('[[warmup]]\npath = "/"\nheaders = { A = "x\\ny" }', "'A' cannot be sent"),
        ('[[warmup]]\npath = "/"\nheaders = { Connection = "x" }', "Connection is not for"),
        ('[[warmup]]\npath = "/"\n' * 65, "more than 64 [[warmup]]"),
    ],
)
def test_a_warmup_that_cannot_be_asked_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(AskrError) as caught:
        read(text)
    assert said in caught.value.message
    assert caught.value.message.startswith("askr.toml")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            '[[limits.rate]]\nrate = "5/m"\n[[limits.rate]]\n\nrate = "5/min"',
            "line 5: limits.rate.rate must be a rate such as",
            "",
        ),
        (
            '[limits]\nrate = [{ rate = "5/m" }, { path = "/" }]',
            "limits.rate number 2: this [[limits.rate]] has no rate",
            'path = "/login" and rate = "5/m"',
        ),
        ('[tls.certificate]\nkay = "a"', "line 2: unknown key tls.certificate.kay", "mean key?"),
        ('[tls]\ncertificate = "a.pem"', "tls.certificate must be a list of tables", ""),
        ("workers = 2", "workers stands outside of any section", "[server] goes above it"),
        ("[limits]\n[server]\n[limits]", "[limits] is there twice (at line 3", ""),
        ("[cache]", "unknown section [cache]", "known ones: admin"),
        ('[server]\nserver_header = "a\\nX: y"', "printable characters on one line", ""),
        ('[php]\nno_scripts = ["uploads"]', 'a list of folders such as "/uploads"', ""),
        ('[php]\nno_scripts = ["/a/../b"]', 'a list of folders such as "/uploads"', ""),
        ('[php]\nno_scripts = ["/"]', 'a list of folders such as "/uploads"', ""),
        (f"[php]\nno_scripts = {[f'/{n}' for n in range(9)]}", "at most 8 folders", ""),
        ('[php]\nini = ["memory_limit 512M"]', 'lines of php.ini such as "memory_limit=', ""),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str, hint: str) -> None:
    with pytest.raises(AskrError) as caught:
        read(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.message.startswith("askr.toml")


FILE = """
log.access = "-"

[server]
workers = 3
listen = [
    ":80"]
[php]   # of the shop
ini = ["memory_limit=64M"]
[[warmup]]
path = "/"
"""


def test_every_value_has_the_origin_that_counted_in_the_end() -> None:
    environment = {"ASKR_SERVER_LISTEN": ":81", "ASKR_LIMITS_QUEUE": "7", "PATH": "/bin"}
    flags: dict[str, object] = {
        "server.workers": 5,
        "tls.cert": "a.pem",
        "php.processes": None,
        "tls.key": (),
    }
    flags["admin.listen"] = ["unix:/run/admin"]
    found = origins(FILE, Path("askr.toml"), environment, flags)
    assert found["server.workers"] == Origin("flag", "--workers")
    assert found["server.listen"] == Origin("environment", "ASKR_SERVER_LISTEN")
    assert found["limits.queue"] == Origin("environment", "ASKR_LIMITS_QUEUE")
    assert found["php.ini"] == Origin("file", "askr.toml, line 9")
    assert found["warmup"] == Origin("file", "askr.toml, line 10")
    assert found["log.access"] == Origin("file", "askr.toml, line 2")
    assert found["admin.listen"] == Origin("flag", "--admin")
    assert found["tls.cert"] == Origin("flag", "--tls-cert")
    assert found["tls.key"] == found["php.processes"] == Origin("default")
    assert str(found["tls.key"]) == "default"
    assert all(str(origin) for origin in found.values())


def test_what_opentelemetry_s_variables_say_is_not_called_a_default() -> None:
    environment = {"OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://o:4318"}
    found = origins('[trace]\nservice_name = "own"', Path("askr.toml"), environment, {})
    assert found["trace.endpoint"] == Origin("environment", "OTEL_*")
    assert found["trace.service_name"].kind == "file"
    assert found["trace.ratio"] == Origin()
