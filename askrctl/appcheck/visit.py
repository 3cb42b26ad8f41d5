# SPDX-License-Identifier: MIT
"""Two users with a cookie jar, a language and a word of their own, asking in turns.

The word ("askruserA…") travels in a cookie and in the User-Agent, and stands for {user} in a route:
whoever finds it where it does not belong knows whose it is.
"""

import http.client
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from askrctl.appcheck.routes import Route

USERS = "AB"
LANGUAGES = {"A": "de-DE,de;q=0.9", "B": "fr-FR,fr;q=0.9"}
SECRET_SIZE_MIN = 16  # of a cookie's value that is taken for one user's alone
TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Answer:
    number: int
    user: str
    route: Route
    status: int  # 0: there was none
    foreign: str = ""  # where something of the other user was: "body", "Set-Cookie"


@dataclass(slots=True)
class User:
    name: str
    word: str = ""
    jar: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)  # what the server gave to this one alone

    def __post_init__(self) -> None:
        self.word = f"askruser{self.name}{secrets.token_hex(8)}"
        self.jar = {"askr_check": self.word}

    def headers(self, number: int) -> dict[str, str]:
        return {
            "User-Agent": f"askrctl-check {self.word}",
            "Accept": "text/html,application/json;q=0.9,*/*;q=0.8",
            "Accept-Language": LANGUAGES[self.name],
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items()),
            "X-Askr-Check": f"{number} {self.name}",
        }

    def keep(self, fields: Sequence[str]) -> None:
        """What Set-Cookie said; attributes do not matter to a jar that is thrown away."""
        for text in fields:
            name, _, rest = text.partition("=")
            value = rest.partition(";")[0].strip()
            if not value or value == "deleted":
                self.jar.pop(name.strip(), None)
                continue
            self.jar[name.strip()] = value
            if len(value) >= SECRET_SIZE_MIN:
                self.secrets.add(value)


class Visit:
    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self.users = {name: User(name) for name in USERS}
        self.answers: list[Answer] = []

    def ask(self, route: Route, name: str) -> Answer:
        user = self.users[name]
        number = len(self.answers) + 1
        headers = user.headers(number)
        body = route.body.replace("{user}", user.word) if route.body else None
        if body is not None:
            kind = "application/json" if body[:1] in "{[" else "application/x-www-form-urlencoded"
            headers["Content-Type"] = kind
        path = route.path.replace("{user}", user.word)
        try:
            self._connection.request(route.method, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens it again
            answer = Answer(number, name, route, 0)
        else:
            fields = response.headers.get_all("Set-Cookie") or []
            foreign = self._foreign(name, content, fields)
            user.keep(fields)
            answer = Answer(number, name, route, response.status, foreign)
        self.answers.append(answer)
        return answer

    def _foreign(self, name: str, content: bytes, fields: Sequence[str]) -> str:
        for other in self.users.values():
            if other.name == name:
                continue
            marks = {other.word, *(other.secrets - self.users[name].secrets)}
            if any(mark in text for mark in marks for text in fields):
                return "Set-Cookie"
            if any(mark.encode() in content for mark in marks):
                return "body"
        return ""

    def close(self) -> None:
        self._connection.close()
