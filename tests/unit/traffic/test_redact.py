# SPDX-License-Identifier: MIT
"""What is nobody's business does not reach the file, wherever it stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askrctl.traffic import redact
from askrctl.traffic.exchange import Body, Exchange
from askrctl.traffic.file import exchange_line
from askrctl.traffic.redact import Rules

from .samples import answer, exchange, exchanges, request

SECRET = "geheim-4711"
FORM = (("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),)
JSON = (("content-type", "application/vnd.api+json"),)


def cleaned(found: Exchange, rules: Rules | None = None) -> Exchange:
    return redact.exchange(found, rules or Rules())


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "cookie", "SET-COOKIE", "X-Api-Key", "PRIVATE-TOKEN", "x-vault-token"),
        *("X-Amz-Security-Token", "X-Forwarded-Access-Token", "X-Session-Id", "X-Client-Secret"),
    ],
)
def test_fields_lose_their_values_whatever_their_case(name: str) -> None:
    found = cleaned(
        exchange(
            request(fields=((name, SECRET), ("Accept", "*/*"))),
            answer(fields=((name, SECRET),)),
        )
    )
    assert found.request.fields == ((name, "redacted"), ("Accept", "*/*"))
    assert found.answer.fields == ((name, "redacted"),)


def test_a_field_that_is_to_stay_stays_whatever_its_name_says() -> None:
    rules = Rules(kept=frozenset({"x-page-token"}))
    kept, gone = ("X-Page-Token", "3"), ("X-Auth-Token", SECRET)
    found = cleaned(exchange(request(fields=(kept, gone))), rules)
    assert found.request.fields == (kept, ("X-Auth-Token", "redacted"))


@pytest.mark.parametrize(
    "name",
    [
        *("_password", "new_password1", "userPassword", "user_pass", "stripeToken", "APIToken"),
        *("csrfmiddlewaretoken", "AUTH_TOKEN", "login[_password]", "client-secret-2"),
    ],
)
def test_a_parameter_with_a_word_that_tells_loses_its_value(name: str) -> None:
    assert cleaned(exchange(request(f"/x?{name}={SECRET}"))).request.target.endswith("=redacted")
    body = json.dumps({name: SECRET, "passenger": 1, "compass": 2, "tokens": 3})
    found = cleaned(exchange(request("/", "POST", JSON, Body.of(body.encode())))).request.body
    assert json.loads(found.content or b"") == {
        name: "redacted",
        "passenger": 1,
        "compass": 2,
        "tokens": 3,
    }


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (f"/reset?token={SECRET}&a=1", "/reset?token=redacted&a=1"),
        (f"/x?%74oken={SECRET}", "/x?%74oken=redacted"),
        (f"/x?user[password]={SECRET}", "/x?user[password]=redacted"),
        (f"/x?TOKEN={SECRET}#a", "/x?TOKEN=redacted#a"),
        (f"/back#access_token={SECRET}&state=1", "/back#access_token=redacted&state=1"),
        (f"/back?a=1#id_token={SECRET}?x", "/back?a=1#id_token=redacted"),
        ("/x?tokens=1&&=2&b", "/x?tokens=1&&=2&b"),
        ("/x", "/x"),
    ],
)
def test_parameters_of_the_query_lose_their_values(target: str, left: str) -> None:
    found = cleaned(
        exchange(
            request(target, fields=(("Referer", f"http://a{target}"), ("X-Original-URL", target))),
            answer(302, fields=(("Location", target),)),
        )
    )
    assert found.request.target == left
    assert found.request.fields == (("Referer", f"http://a{left}"), ("X-Original-URL", left))
    assert found.answer.fields == (("Location", left),)


@pytest.mark.parametrize(
    ("fields", "content", "left"),
    [
        (FORM, f"user=me&password={SECRET}&x=1", "user=me&password=redacted&x=1"),
        (JSON, json.dumps({"a": [{"Password": SECRET}]}), '{"a": [{"Password": "redacted"}]}'),
        (JSON, json.dumps({"token": {"deep": SECRET}}), '{"token": "redacted"}'),
        (JSON, '{ "a" : 1 }', '{ "a" : 1 }'),
    ],
)
def test_forms_and_json_lose_the_values_of_parameters(
    fields: tuple[tuple[str, str], ...], content: str, left: str
) -> None:
    found = cleaned(exchange(request("/", "POST", fields, Body.of(content.encode()))))
    assert found.request.body == Body.of(left.encode())


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ((("Content-Type", "multipart/form-data; boundary=x"),), SECRET),
        ((), SECRET),
        (JSON, '{"password": "' + SECRET),
        (JSON, '{"a":{"password":"' + SECRET + '"},"a":1}'),
        (JSON, '{"a":' * 100 + f'"{SECRET}"' + "}" * 100),
        ((*FORM, ("Content-Encoding", "gzip")), SECRET),
    ],
)
def test_what_cannot_be_looked_into_is_not_kept(
    fields: tuple[tuple[str, str], ...], content: str
) -> None:
    body = Body.of(content.encode())
    found = exchange(request("/", "POST", fields, body))
    assert cleaned(found).request.body == body.without_content()
    assert cleaned(found, Rules(keep_all_requests=True)).request.body == body


def test_bodies_of_answers_are_kept_when_that_is_asked_for() -> None:
    found = exchange(request(), answer(body=Body.of(SECRET.encode())))
    assert cleaned(found).answer.body.content is None
    assert cleaned(found).answer.body.sha256 == found.answer.body.sha256
    assert cleaned(found, Rules(keep_bodies=True)).answer.body == found.answer.body


@given(exchanges, st.sampled_from(sorted(redact.PARAMETERS)), st.sampled_from(redact.FIELDS))
def test_no_secret_with_a_known_name_is_in_the_line(
    found: Exchange, parameter: str, field: str
) -> None:
    """By default, whatever else the exchange holds."""
    marked = exchange(
        request(
            f"/?{parameter}={SECRET}",
            "POST",
            (*FORM, (field, SECRET), *found.request.fields),
            Body.of(f"{parameter}={SECRET}".encode()),
        ),
        answer(200, ((field, SECRET), *found.answer.fields), Body.of(SECRET.encode())),
    )
    assert SECRET.encode() not in exchange_line(cleaned(marked))
