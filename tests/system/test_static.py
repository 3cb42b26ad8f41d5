# SPDX-License-Identifier: MIT
"""A folder of files over a real socket: what is served, how, and what never is."""

import gzip
import os
import re
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

TEXT = b"Hello, static!\n" * 10
LARGE = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def site(serve_shared: Serve, secure: bool, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("site")
    root = folder / "root"
    (root / "folder").mkdir(parents=True)
    (root / ".well-known").mkdir()
    (root / "index.html").write_text("<h1>home</h1>")
    (root / "folder/index.html").write_text("<h1>folder</h1>")
    (root / "hello.txt").write_bytes(TEXT)
    (root / "large.bin").write_bytes(LARGE)
    (root / "empty.css").write_bytes(b"")
    (root / "with space ü.txt").write_bytes(b"spaced")
    (root / "app.js").write_bytes(b"plain();")
    (root / "app.js.gz").write_bytes(gzip.compress(b"plain();"))
    (root / ".well-known/thing").write_bytes(b"known")
    (root / ".env").write_bytes(b"SECRET=1")
    (root / "notes.txt~").write_bytes(b"backup")
    (root / "config.bak").write_bytes(b"backup")
    # Not at the top, where it would make this a PHP application.
    (root / "folder/source.php").write_bytes(b"<?php secret();")
    (folder / "outside.txt").write_bytes(b"outside")
    (root / "escape.txt").symlink_to(folder / "outside.txt")
    return serve_shared(root, secure=secure)


def test_a_file_comes_with_type_length_validators_and_date(site: Server) -> None:
    answer = site.get("/hello.txt")
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.get("Content-Length") == str(len(TEXT))
    assert (answer.get("Content-Type") or "").startswith("text/plain")
    assert (answer.get("ETag") or "").startswith('"')
    assert parsedate_to_datetime(answer.get("Last-Modified") or "")
    assert parsedate_to_datetime(answer.get("Date") or "")


def test_a_large_file_arrives_unchanged(site: Server) -> None:
    assert site.get("/large.bin").body == LARGE


def test_an_empty_file_is_an_empty_answer(site: Server) -> None:
    answer = site.get("/empty.css")
    assert (answer.status, answer.body, answer.get("Content-Length")) == (200, b"", "0")
    assert (answer.get("Content-Type") or "").startswith("text/css")


def test_head_has_the_fields_of_get_and_no_body(site: Server) -> None:
    with site.connect() as connection:
        head = connection.ask("HEAD", "/hello.txt")
        get = connection.ask("GET", "/hello.txt")
    assert head.status == 200
    assert head.get("Content-Length") == str(len(TEXT))
    names = {name for name, _ in get.fields} - {"Date"}
    assert {name for name, _ in head.fields} >= names


def test_a_known_validator_is_answered_with_304(site: Server) -> None:
    first = site.get("/hello.txt")
    tag, date = first.get("ETag") or "", first.get("Last-Modified") or ""
    with site.connect() as connection:
        assert connection.ask("GET", "/hello.txt", [("If-None-Match", tag)]).status == 304
        assert connection.ask("GET", "/hello.txt", [("If-Modified-Since", date)]).status == 304
        assert connection.ask("GET", "/hello.txt", [("If-None-Match", '"other"')]).status == 200
        assert connection.ask("GET", "/hello.txt", [("If-Match", '"other"')]).status == 412


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("bytes=0-4", LARGE[:5]), ("bytes=2999990-", LARGE[2999990:]), ("bytes=-7", LARGE[-7:])],
)
def test_one_range_is_206_with_these_bytes(site: Server, wanted: str, expected: bytes) -> None:
    answer = site.ask("GET", "/large.bin", [("Range", wanted)])
    assert (answer.status, answer.body) == (206, expected)
    assert (answer.get("Content-Range") or "").endswith(f"/{len(LARGE)}")


def test_several_ranges_are_parts(site: Server) -> None:
    answer = site.ask("GET", "/hello.txt", [("Range", "bytes=0-4,7-12")])
    assert answer.status == 206
    assert (answer.get("Content-Type") or "").startswith("multipart/byteranges")
    assert b"\r\n\r\nHello\r\n" in answer.body
    assert b"\r\n\r\nstatic\r\n" in answer.body


def test_several_ranges_of_a_large_file_are_parts_too(site: Server) -> None:
    answer = site.ask("GET", "/large.bin", [("Range", "bytes=-9,1000000-1999999,0-0")])
    assert answer.status == 206
    kind = (answer.get("Content-Type") or "").encode()
    message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + answer.body)
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    assert parts == [LARGE[-9:], LARGE[1000000:2000000], LARGE[:1]]
    assert answer.get("Content-Length") == str(len(answer.body))


def test_a_range_past_the_end_is_416(site: Server) -> None:
    answer = site.ask("GET", "/hello.txt", [("Range", "bytes=5000-")])
    assert (answer.status, answer.get("Content-Range")) == (416, f"bytes */{len(TEXT)}")


def test_a_compressed_sibling_is_sent_to_who_accepts_it(site: Server) -> None:
    packed = site.ask("GET", "/app.js", [("Accept-Encoding", "br;q=0.5, gzip")])
    assert (packed.status, packed.get("Content-Encoding")) == (200, "gzip")
    assert gzip.decompress(packed.body) == b"plain();"
    plain = site.ask("GET", "/app.js", [("Accept-Encoding", "gzip;q=0")])
    assert (plain.get("Content-Encoding"), plain.body) == (None, b"plain();")
    assert "Accept-Encoding" in (plain.get("Vary") or "")


def test_a_folder_shows_its_index_and_wants_its_slash(site: Server) -> None:
    assert site.get("/").body == b"<h1>home</h1>"
    assert site.get("/folder/").body == b"<h1>folder</h1>"
    moved = site.get("/folder?x=1")
    assert moved.status == 301
    assert (moved.get("Location") or "").endswith("/folder/?x=1")


@pytest.mark.parametrize("target", ["//example.com/../folder", "/\\example.com/../folder"])
def test_a_redirect_does_not_lead_to_another_site(site: Server, target: str) -> None:
    moved = site.get(target)
    assert moved.status == 301
    assert re.match(r"/[^/\\]", moved.get("Location") or "")


def test_an_encoded_name_is_found(site: Server) -> None:
    assert site.get("/with%20space%20%C3%BC.txt").body == b"spaced"
    assert site.get("/.well-known/thing").body == b"known"
    assert site.get("/folder/../hello.txt").body == TEXT


@pytest.mark.parametrize(
    "target",
    [
        "/.env",
        "/%2eenv",
        "/notes.txt~",
        "/config.bak",
        "/folder/source.php",
        "/folder/source.ph%70",
        "/folder/source.php/",
        "/hello.txt/",
        "/escape.txt",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/folder/../../outside.txt",
        "/folder/%2e%2e/%2e%2e/outside.txt",
        "/hello.txt%00.png",
        "/%c0%ae%c0%ae/outside.txt",
        "/nothing-here",
        "/%zz",
    ],
)
def test_what_must_stay_inside_stays_inside(site: Server, target: str) -> None:
    answer = site.get(target)
    assert answer.status in (400, 403, 404)
    assert b"SECRET" not in answer.body
    assert b"outside" not in answer.body.replace(target.encode(), b"")
    assert b"secret()" not in answer.body


def test_linked_storage_of_the_application_is_served_and_never_run(
    serve: Serve, tmp_path: Path
) -> None:
    """What `artisan storage:link` makes: an absolute symlink out of the document root."""
    app = copy_app("matrix", tmp_path)
    storage = app / "storage/app/public"
    storage.mkdir(parents=True)
    (storage / "avatar.png").write_bytes(b"picture")
    (storage / "shell.php").write_bytes(b"<?php echo 'ran ' . 6 * 7;")
    (storage / ".gitignore").write_bytes(b"SECRET")
    (app / ".env").write_bytes(b"SECRET")
    (app / "public/storage").symlink_to(storage)
    (app / "public/environment.txt").symlink_to("../.env")
    (tmp_path / "other.txt").write_bytes(b"SECRET")
    (app / "public/other.txt").symlink_to(tmp_path / "other.txt")
    server = serve(app)
    assert server.get("/storage/avatar.png").body == b"picture"
    assert b"ran 42" not in (shell := server.get("/storage/shell.php").body)
    assert b"<?php" not in shell
    for target in ("/storage/.gitignore", "/environment.txt", "/other.txt"):
        answer = server.get(target)
        assert (answer.status, b"SECRET" in answer.body) == (403, False), target
    strict = serve(app, config={"static": {"symlinks": "beneath"}})
    assert strict.get("/storage/avatar.png").status == 403


def test_another_method_is_405_and_says_which_are_allowed(site: Server) -> None:
    answer = site.ask("DELETE", "/hello.txt")
    assert answer.status == 405
    assert {"GET", "HEAD"} <= set((answer.get("Allow") or "").replace(" ", "").split(","))


def test_a_file_replaced_on_disk_is_seen(site: Server, tmp_path: Path) -> None:
    changing = site.path / "changing.txt"
    changing.write_text("before")
    assert site.get("/changing.txt").body == b"before"
    replacement = tmp_path / "replacement"
    replacement.write_text("after it")
    replacement.rename(changing)
    wait_until("the new file is served", lambda: site.get("/changing.txt").body == b"after it")
