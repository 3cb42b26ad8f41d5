# SPDX-License-Identifier: MIT
"""X-Sendfile and X-Accel-Redirect from PHP: confined, with ranges, and never seen by the client."""

import os
from pathlib import Path

import httpx
import pytest
from system.conftest import Serve
from system.harness import Server, run

LARGE = bytes(range(256)) * 4096  # more than is kept in memory
SCRIPT = """<?php
if (isset($_GET['offer'])) {
    echo json_encode([$_SERVER['HTTP_X_SENDFILE_TYPE'] ?? null,
                      $_SERVER['HTTP_X_ACCEL_MAPPING'] ?? null]);
    exit;
}
if (!isset($_GET['untyped'])) header('Content-Type: application/x-report');
else header_remove('Content-Type');
header('Content-Disposition: attachment; filename="report"');
header('Cache-Control: private');
header('ETag: "of-the-application"');
header('Content-Encoding: gzip');
foreach (['X-Sendfile', 'x-accel-redirect'] as $name)
    if (isset($_GET[$name])) header("$name: " . $_GET[$name]);
http_response_code((int) ($_GET['status'] ?? 200));
echo $_GET['body'] ?? '';
if (isset($_GET['flush'])) { while (ob_get_level() > 0) ob_end_flush(); flush(); echo 'more'; }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sends")
    (folder / "public").mkdir()
    (folder / "public/index.php").write_text(SCRIPT)
    files = folder / "storage/app"
    (files / "deep").mkdir(parents=True)
    (files / "a.txt").write_text("a report")
    (files / "deep/100% sure?.txt").write_text("percent")
    (files / "large.bin").write_bytes(LARGE)
    (files / ".secret").write_text("secret")
    (files / "code.php").write_text("<?php secret")
    (files / "out.txt").symlink_to("/etc/passwd")
    (files / "in.txt").symlink_to("a.txt")
    (folder / "storage/other.txt").write_text("other")
    (folder / "storage/application").mkdir()
    (folder / "storage/application/a.txt").write_text("not below storage/app")
    (folder / "linked").symlink_to("storage/app")
    os.mkfifo(files / "fifo")
    return folder


@pytest.fixture(scope="module")
def server(serve_shared: Serve, folder: Path) -> Server:
    settings = {"roots": ["storage/app", "linked"], "internal": {"/files/": "storage/app"}}
    server = serve_shared(folder, config={"php": {"processes": 1}, "sendfile": settings})
    server.wait_applications(1)
    return server


def path_of(folder: Path, name: str) -> dict[str, str]:
    return {"X-Sendfile": str(folder / "storage/app" / name)}


def test_the_file_is_sent_as_the_application_describes_it(
    client: httpx.Client, folder: Path
) -> None:
    for asked in (path_of(folder, "a.txt"), {"x-accel-redirect": "/files/a.txt?v=1"}):
        answer = client.get("/", params={**asked, "body": "nobody sees this", "flush": "1"})
        assert (answer.status_code, answer.text) == (200, "a report")
        assert answer.headers["Content-Type"] == "application/x-report"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="report"'
        assert answer.headers["Cache-Control"] == "private"
        assert answer.headers.get_list("Accept-Ranges") == ["bytes"]
        assert answer.headers.get_list("ETag") != ['"of-the-application"']
        assert len(answer.headers.get_list("ETag")) == 1
        assert not {"x-sendfile", "x-accel-redirect", "content-encoding"} & set(answer.headers)


def test_ranges_and_conditions_are_the_files(client: httpx.Client, folder: Path) -> None:
    asked = path_of(folder, "large.bin")
    whole = client.get("/", params=asked)
    assert whole.content == LARGE
    part = client.get("/", params=asked, headers={"Range": "bytes=1000-200999"})
    assert (part.status_code, part.content) == (206, LARGE[1000:201000])
    assert part.headers["Content-Range"] == f"bytes 1000-200999/{len(LARGE)}"
    several = client.get("/", params=asked, headers={"Range": "bytes=0-9,20-29"})
    assert (several.status_code, several.content) == (200, LARGE)
    none = client.get("/", params=asked, headers={"Range": "bytes=9999999-"})
    assert none.status_code == 416
    same = client.get("/", params=asked, headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = client.head("/", params=asked)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(LARGE))
    stale = client.get("/", params=asked, headers={"If-Match": '"x"'})
    assert stale.status_code == 412


def test_another_status_or_method_sends_all_of_it(client: httpx.Client, folder: Path) -> None:
    asked = path_of(folder, "a.txt")
    answer = client.get("/", params={**asked, "status": "403"}, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.text) == (403, "a report")
    answer = client.post("/", params=asked, content=b"x=1", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.text) == (200, "a report")


@pytest.mark.parametrize("name", ["deep/100% sure?.txt", "in.txt", "./deep/../a.txt"])
def test_names_are_paths_on_disk(client: httpx.Client, folder: Path, name: str) -> None:
    want = (folder / "storage/app" / name).read_text()
    assert client.get("/", params=path_of(folder, name)).text == want
    by_link = {"X-Sendfile": str(folder / "linked" / name)}
    assert client.get("/", params=by_link).text == want
    assert client.get("/", params={"x-accel-redirect": "/files/deep/100%25%20sure%3F.txt"}).text


@pytest.mark.parametrize(
    ("field", "name", "status"),
    [
        ("X-Sendfile", "{app}/gone.txt", 404),
        ("X-Sendfile", "{app}", 500),
        ("X-Sendfile", "{app}/deep", 404),
        ("X-Sendfile", "{app}/code.php", 404),
        ("X-Sendfile", "{app}/fifo", 404),
        ("X-Sendfile", "{app}/.secret", 500),
        ("X-Sendfile", "{app}/out.txt", 500),
        ("X-Sendfile", "{app}/../other.txt", 500),
        ("X-Sendfile", "{app}lication/a.txt", 500),
        ("X-Sendfile", "/etc/passwd", 500),
        ("X-Sendfile", "storage/app/a.txt", 500),
        ("X-Sendfile", "/files/a.txt", 500),
        ("x-accel-redirect", "/files/../other.txt", 500),
        ("x-accel-redirect", "/files/%2e%2e/other.txt", 500),
        ("x-accel-redirect", "/other/a.txt", 500),
        ("x-accel-redirect", "{app}/a.txt", 500),
        ("x-accel-redirect", "/files/gone", 404),
    ],
)
def test_what_may_not_be_sent_is_not(
    server: Server, folder: Path, field: str, name: str, status: int
) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        asked = {field: name.format(app=folder / "storage/app"), "body": "of the application"}
        answer = client.get("/", params=asked)
    assert answer.status_code == status
    assert "secret" not in answer.text and "root:" not in answer.text
    assert not {"x-sendfile", "x-accel-redirect"} & set(answer.headers)
    server.wait_log("event=sendfile_refused")


def test_the_application_is_told_what_it_may_ask_for(server: Server) -> None:
    fields = [("X-Sendfile-Type", "evil"), ("X-Accel-Mapping", "/=/")]
    answer = server.ask("GET", "/?offer", fields)
    assert answer.text == '["X-Sendfile",null]'


def test_without_folders_the_field_is_dropped_and_the_log_says_how(
    serve: Serve, folder: Path
) -> None:
    server = serve(folder, config={"php": {"processes": 1}})
    server.wait_applications(1)
    answer = server.get(f"/?body=words&X-Sendfile={folder}/storage/app/a.txt")
    assert (answer.status, answer.text) == (200, "words")
    assert answer.get("X-Sendfile") is None
    server.wait_log("reason=off")


def test_a_folder_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    for text, says in (('roots = "gone"', "gone is not there"), ('roots = "/"', "every file")):
        (tmp_path / "askr.toml").write_text(f"[sendfile]\n{text}\n")
        done = run("serve", tmp_path, "--config", tmp_path / "askr.toml")
        assert done.returncode == 2
        assert says in done.stderr
