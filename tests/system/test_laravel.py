# SPDX-License-Identifier: MIT
"""A Laravel 8 application on the distribution's packages: routes, Blade, sessions, Eloquent."""

import html
import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from system.cases import cookie_of
from system.client import Response
from system.conftest import Serve, copy_app
from system.harness import Server

LOOPS = 20  # MAX_REQUESTS, which Octane's script counts
FRAMEWORK = Path("/usr/share/php/Illuminate/autoload.php")
FOLDERS = ("storage/framework/sessions", "storage/framework/views", "storage/logs", "storage/app")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
VISITORS = 20


@pytest.fixture(scope="module")
def laravel(
    serve_shared: Serve,
    mode: str,
    tmp_path_factory: pytest.TempPathFactory,
    require: Callable[[bool, str], None],
) -> Server:
    require(FRAMEWORK.is_file(), "php-laravel-framework")
    app = copy_app("laravel", tmp_path_factory.mktemp("laravel"))
    for folder in (*FOLDERS, "bootstrap/cache"):
        (app / folder).mkdir(parents=True)
    (app / "storage/notes.sqlite").touch()
    migrate = ["php", "artisan", "migrate", "--force"]
    done = subprocess.run(migrate, cwd=app, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    options = ["--worker-script", "public/worker.php"] if mode == "worker" else []
    server = serve_shared(app, *options, environment={"MAX_REQUESTS": str(LOOPS)})
    server.wait_applications(4)
    return server


class Visitor:
    """A browser's cookie jar, for one site."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, target: str, **form: str) -> Response:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        fields = [("Cookie", jar)] if jar else []
        body = urlencode(form).encode() if form else None
        answer = self.server.ask(method, target, [*fields, FORM] if form else fields, body)
        for value in answer.all("Set-Cookie"):
            name = value.partition("=")[0]
            self.cookies[name] = cookie_of(answer, name)
        return answer

    def heading(self) -> str:
        answer = self.ask("GET", "/")
        assert answer.status == 200, answer.text[-2000:]
        [heading] = re.findall(r"<h1>(.*?)</h1>", answer.text)
        return str(heading)

    def write(self, name: str, text: str) -> Response:
        page = self.ask("GET", "/").text
        [token] = re.findall(r'name="_token" value="(\w+)"', page)
        return self.ask("POST", "/notes", _token=token, name=name, text=text)


def test_routes_answer_json(laravel: Server) -> None:
    answer = laravel.get("/api/hello")
    assert (answer.status, answer.get("Content-Type")) == (200, "application/json")
    assert json.loads(answer.body) == {"hello": "world"}
    assert laravel.get("/api/none").status == 404


def test_a_session_counts_its_own_visits(laravel: Server) -> None:
    visitor = Visitor(laravel)
    assert [visitor.heading() for _ in range(3)] == [f"nobody, visit {n}" for n in (1, 2, 3)]


def test_a_note_is_stored_shown_escaped_and_read_back(laravel: Server) -> None:
    visitor = Visitor(laravel)
    text = "<i>tea</i> & cake"
    answer = visitor.write("ann", text)
    assert answer.status == 302, answer.text[-2000:]
    page = visitor.ask("GET", "/").text
    assert "Noted." in page
    assert f"<li>ann: {html.escape(text)}</li>" in page
    notes = json.loads(laravel.get("/api/notes").body)
    assert {"author": "ann", "text": text}.items() <= notes[-1].items()


def test_a_form_without_its_token_is_419_and_a_bad_one_comes_back(laravel: Server) -> None:
    visitor = Visitor(laravel)
    assert visitor.ask("POST", "/notes", name="ann", text="forged").status == 419
    assert visitor.write("no-alphanumeric!", "x").status == 302
    assert 'role="alert"' in visitor.ask("GET", "/").text


def test_visitors_in_parallel_never_see_each_other(laravel: Server) -> None:
    def live(number: int) -> list[str]:
        visitor = Visitor(laravel)
        assert visitor.write(f"visitor{number}", f"note {number}").status == 302
        return [visitor.heading() for _ in range(5)]

    with ThreadPoolExecutor(VISITORS) as pool:
        lives = list(pool.map(live, range(VISITORS)))
    assert lives == [
        [f"visitor{number}, visit {visit}" for visit in range(2, 7)] for number in range(VISITORS)
    ]


def test_configuration_changed_by_a_request_is_gone_at_the_next(laravel: Server) -> None:
    assert [laravel.get("/api/config").body for _ in range(8)] == [b'{"seen":0}'] * 8


def test_an_exception_is_500_and_the_next_request_is_fine(laravel: Server) -> None:
    assert laravel.get("/throw").status == 500
    assert laravel.get("/api/hello").status == 200
