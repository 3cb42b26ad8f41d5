# SPDX-License-Identifier: MIT
"""What is nobody's business leaves an exchange before it is written: fields of the head by name,
and parameters by name wherever they stand: in the query, in forms, in JSON. A name is one of a
list, or has a word in it that tells: `user_password`, `stripeToken`, `X-Vault-Token`.

A body that cannot be looked into (an upload, a picture, one that is not whole) is not kept: its
size and hash are. Bodies of answers hold what applications know of their users, so they are kept
only when that is asked for; their hash is enough to compare.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_plus

from askrctl.traffic.exchange import Answer, Body, Exchange, Fields, Request

MARK = "redacted"  # may stand in a query, unlike brackets
FIELDS = (
    *("authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate"),
    *("authentication-info", "x-api-key", "x-auth-token", "x-csrf-token", "x-xsrf-token"),
)
PARAMETERS = (
    *("password", "passwd", "pwd", "pass", "password_confirmation", "current_password"),
    *("secret", "client_secret", "token", "access_token", "refresh_token", "id_token", "_token"),
    *("csrf_token", "api_key", "apikey", "key", "code", "otp", "pin", "session", "sessionid"),
    *("signature", "sig", "card", "card_number", "cvc", "cvv", "iban"),
)
WORDS = (
    *("password", "passwd", "passphrase", "pass", "pwd", "secret", "token", "otp", "jwt", "apikey"),
    *("credential", "credentials", "signature"),
)
FIELD_WORDS = (*WORDS, "auth", "authorization", "cookie", "session")
_ENDINGS = ("password", "passwd", "secret", "token")  # csrfmiddlewaretoken
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # user_password2, userPassword
_DEPTH_MAX = 64  # of JSON


def _tells(name: str, words: tuple[str, ...]) -> bool:
    found = (word.lower() for word in _WORD.findall(name))
    return any(word in words or word.endswith(_ENDINGS) for word in found)


@dataclass(frozen=True, slots=True)
class Rules:
    """Names are compared without regard to case."""

    fields: frozenset[str] = frozenset(FIELDS)
    parameters: frozenset[str] = frozenset(PARAMETERS)
    kept: frozenset[str] = frozenset()  # fields that stay, whatever words they have
    keep_bodies: bool = False  # of answers
    keep_all_requests: bool = False  # bodies that cannot be looked into as well

    def is_field(self, name: str) -> bool:
        known = name.lower()
        return known in self.fields or (known not in self.kept and _tells(name, FIELD_WORDS))

    def is_parameter(self, name: str) -> bool:
        """PHP writes arrays as name[key]: each part of it counts."""
        parts = name.lower().replace("]", "").split("[")
        return any(part in self.parameters for part in parts) or _tells(name, WORDS)

    @property
    def named_fields(self) -> tuple[str, ...]:
        """What is taken out, for whoever reads the file."""
        return (*sorted(self.fields), *(f"*{word}*" for word in FIELD_WORDS))

    @property
    def named_parameters(self) -> tuple[str, ...]:
        return (*sorted(self.parameters), *(f"*{word}*" for word in WORDS))


def exchange(found: Exchange, rules: Rules) -> Exchange:
    """The same without what the rules take out."""
    request, answer = found.request, found.answer
    return replace(
        found,
        request=replace(
            request,
            target=_target(request.target, rules),
            fields=_fields(request.fields, rules),
            body=_request_body(request, rules),
        ),
        answer=replace(
            answer, fields=_fields(answer.fields, rules), body=_answer_body(answer, rules)
        ),
    )


def _fields(fields: Fields, rules: Rules) -> Fields:
    return tuple((name, _value(name, value, rules)) for name, value in fields)


def _value(name: str, value: str, rules: Rules) -> str:
    """Any field may hold a URL: Referer, Location, Link, X-Original-URL."""
    return MARK if rules.is_field(name) else _target(value, rules)


def _target(target: str, rules: Rules) -> str:
    """A fragment is looked into as well: OAuth's implicit flow has its tokens there."""
    rest, hash_mark, fragment = target.partition("#")
    path, mark, query = rest.partition("?")
    return path + mark + _pairs(query, rules) + hash_mark + _pairs(fragment, rules)


def _pairs(query: str, rules: Rules) -> str:
    """Everything but the values that go stays as it was, byte for byte."""
    return "&".join(_pair(pair, rules) for pair in query.split("&"))


def _pair(pair: str, rules: Rules) -> str:
    name, mark, _ = pair.partition("=")
    return f"{name}={MARK}" if mark and rules.is_parameter(unquote_plus(name)) else pair


# --- bodies ---------------------------------------------------------------------------------------


def _media_type(fields: Fields) -> str:
    for name, value in fields:
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower()
    return ""


def _is_encoded(fields: Fields) -> bool:
    return any(name.lower() == "content-encoding" for name, _ in fields)


def _looked_into(fields: Fields, content: bytes, rules: Rules) -> bytes | None:
    """The body without what the rules take out; None when that cannot be told."""
    kind = _media_type(fields)
    if _is_encoded(fields):
        return None
    if kind == "application/x-www-form-urlencoded":
        return _pairs(content.decode("latin-1"), rules).encode("latin-1")
    if kind == "application/json" or kind.endswith("+json"):
        return _json(content, rules)
    return None


def _json(content: bytes, rules: Rules) -> bytes | None:
    try:
        value = json.loads(content, object_pairs_hook=_object)
        clean = _clean(value, rules, 0)
    except (ValueError, RecursionError):
        return None
    return content if clean == value else json.dumps(clean).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice one value would not be seen here, and yet be written."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _clean(value: Any, rules: Rules, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise ValueError("too deep")
    if isinstance(value, list):
        return [_clean(item, rules, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            name: MARK if rules.is_parameter(name) else _clean(item, rules, depth + 1)
            for name, item in value.items()
        }
    return value


def _request_body(request: Request, rules: Rules) -> Body:
    content = request.body.content
    if content is None or not content:
        return request.body
    clean = _looked_into(request.fields, content, rules)
    if clean is None:
        return request.body if rules.keep_all_requests else request.body.without_content()
    # A hash of what was taken out would let a short secret be guessed.
    return Body.of(clean)


def _answer_body(answer: Answer, rules: Rules) -> Body:
    content = answer.body.content
    if content is None or not content:
        return answer.body
    return answer.body if rules.keep_bodies else answer.body.without_content()
