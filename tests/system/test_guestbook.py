# SPDX-License-Identifier: MIT
"""The example application, through the browser's eyes as far as bytes go: both modes."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from system.cases import cookie_of
from system.client import Response
from system.conftest import Serve
from system.harness import ROOT, Server

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def guestbook(serve_shared: Serve, mode: str, tmp_path_factory: pytest.TempPathFactory) -> Server:
    data = tmp_path_factory.mktemp("data")
    options = ["--worker-script", "public/worker.php"] if mode == "worker" else []
    environment = {"GUESTBOOK_DATA": str(data)}
    return serve_shared(ROOT / "examples/guestbook", *options, environment=environment)


def visit(server: Server) -> tuple[tuple[str, str], str]:
    """A new visitor's cookie and form token."""
    answer = server.get("/")
    assert answer.status == 200
    cookie = ("Cookie", f"guestbook={cookie_of(answer, 'guestbook')}")
    page = server.ask("GET", "/", [cookie]).text
    [token] = set(re.findall(r'name="token" value="(\w+)"', page))
    return cookie, token


def post(server: Server, target: str, cookie: tuple[str, str], **form: str) -> Response:
    return server.ask("POST", target, [FORM, cookie], urlencode(form).encode())


def entries(server: Server) -> list[dict[str, str | int]]:
    found: list[dict[str, str | int]] = json.loads(server.get("/api/entries").body)["entries"]
    return found


def test_an_entry_is_written_shown_escaped_and_deleted_by_its_writer(guestbook: Server) -> None:
    cookie, token = visit(guestbook)
    form = {"token": token, "name": "<b>Ann</b>", "message": "Grüße & <script>"}
    assert post(guestbook, "/", cookie, **form).status == 303
    page = guestbook.ask("GET", "/", [cookie]).text
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "<script>" not in page
    newest = entries(guestbook)[0]
    assert (newest["name"], newest["message"]) == (form["name"], form["message"])
    stranger, stranger_token = visit(guestbook)
    number = str(newest["id"])
    assert post(guestbook, "/delete", stranger, token=stranger_token, id=number).status == 404
    assert post(guestbook, "/delete", cookie, token=token, id=number).status == 303
    assert newest not in entries(guestbook)


def test_a_forged_or_empty_form_is_refused(guestbook: Server) -> None:
    cookie, token = visit(guestbook)
    before = entries(guestbook)
    assert post(guestbook, "/", cookie, token="x", name="a", message="b").status == 403
    answer = post(guestbook, "/", cookie, token=token, name="", message="b")
    assert answer.status == 422
    assert 'role="alert"' in answer.text
    assert entries(guestbook) == before


def test_pages_and_files_have_their_types(guestbook: Server) -> None:
    for target, kind in (
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/api/entries", "application/json"),
    ):
        assert (guestbook.get(target).get("Content-Type") or "").startswith(kind)
    assert guestbook.get("/none").status == 404
    assert guestbook.ask("DELETE", "/").get("Allow") == "GET, POST"


def test_code_and_data_are_out_of_reach(guestbook: Server) -> None:
    for target in ("/../src/App.php", "/%2e%2e/data/guestbook.sqlite", "/src/App.php"):
        answer = guestbook.get(target)
        assert answer.status in (400, 403, 404)
        assert b"namespace" not in answer.body


def test_its_database_is_where_it_was_told(guestbook: Server) -> None:
    entries(guestbook)
    assert (Path(guestbook.environment["GUESTBOOK_DATA"]) / "guestbook.sqlite").is_file()
