# SPDX-License-Identifier: MIT
"""PHP semantics in classic and worker mode, one by one and at 20 parallel requests."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from system.cases import CASES, Case, json_of
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

PARALLEL = 20
ROUNDS = 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_php_semantics(matrix: Server, case: Case) -> None:
    case(matrix)


def test_all_rules_hold_at_20_parallel_requests(matrix: Server) -> None:
    work = CASES * ROUNDS
    random.Random(1).shuffle(work)
    with ThreadPoolExecutor(PARALLEL) as pool:
        running = [(case.__name__, pool.submit(case, matrix)) for case in work]
    failed = [(name, future.exception()) for name, future in running if future.exception()]
    assert not failed


def test_opcache_is_on(matrix: Server) -> None:
    assert json_of(matrix.get("/opcache"))["enabled"] is True


def test_a_script_asked_for_by_name_has_its_path_info(serve: Serve, tmp_path: Path) -> None:
    server = serve(copy_app("matrix", tmp_path))
    values = json_of(server.get("/direct.php/some/info?x=1"))["server"]
    assert values["SCRIPT_NAME"] == "/direct.php"
    assert values["PATH_INFO"] == "/some/info"
    assert values["PHP_SELF"] == "/direct.php/some/info"
    assert values["SCRIPT_FILENAME"] == str(server.path / "public/direct.php")
    # Not a script: the front controller decides, and no upload runs as code.
    (server.path / "public/image.png").write_bytes(b"<?php echo 'ran';")
    assert server.get("/image.png/x.php").body != b"ran"
    assert server.get("/image.png%00.php").body != b"ran"


def test_no_script_runs_where_visitors_upload(serve: Serve, tmp_path: Path) -> None:
    server = serve(copy_app("matrix", tmp_path))
    uploads = server.path / "public/wp-content/uploads"
    (uploads / "2026").mkdir(parents=True)
    (server.path / "public/pictures").symlink_to("wp-content/uploads")
    for name in ("shell.php", "index.php", "2026/shell.php"):
        (uploads / name).write_text("<?php echo 'ran';")
    (uploads / "cat.txt").write_text("cat")
    (uploads.parent / "theme.php").write_text("<?php echo 'ran';")
    for folder in ("/wp-content/uploads", "/wp-content/./%75ploads", "/pictures"):
        for name in ("shell.php", "shell.php/more", "", "2026/shell.php"):
            body = server.get(f"{folder}/{name}").body
            assert (b"ran" in body, b"<?php" in body) == (False, False), name
        assert server.get(f"{folder}/cat.txt").body == b"cat"
    assert server.get("/wp-content/uploads/shell.php").body.startswith(b"no action")
    assert server.get("/wp-content/theme.php").body == b"ran"


def test_where_scripts_do_not_run_can_be_chosen(serve: Serve, tmp_path: Path) -> None:
    server = serve(copy_app("matrix", tmp_path), config={"php": {"no_scripts": ["/media/"]}})
    for name in ("storage", "media"):
        (server.path / "public" / name).mkdir()
        (server.path / "public" / name / "x.php").write_text("<?php echo 'ran';")
    assert server.get("/storage/x.php").body == b"ran"
    assert server.get("/media/x.php").body != b"ran"


def test_a_script_changed_on_disk_is_seen_in_classic_mode(serve: Serve, tmp_path: Path) -> None:
    server = serve(copy_app("matrix", tmp_path))
    script = server.path / "public/changing.php"
    script.write_text("<?php echo 'before';")
    assert server.get("/changing.php").body == b"before"
    script.with_suffix(".new").write_text("<?php echo 'after it';")
    script.with_suffix(".new").rename(script)
    wait_until("the new code runs", lambda: server.get("/changing.php").body == b"after it")


def test_a_symlinked_release_is_followed(serve: Serve, tmp_path: Path) -> None:
    app = copy_app("matrix", tmp_path / "releases")
    (tmp_path / "current").symlink_to(app)
    assert serve(tmp_path / "current").get("/hello").body == b"Hello, world!"
