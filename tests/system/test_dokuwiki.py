# SPDX-License-Identifier: MIT
"""Debian's DokuWiki, unmodified, driven by a real browser: log in, edit, upload, search, see.

An application nobody here wrote, with uploads, sessions, redirects and JavaScript, is the proof
that classic mode runs any PHP application.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from system.browser import Person, chromium, red_png
from system.conftest import Serve
from system.harness import Server, wait_until

pytestmark = pytest.mark.browser

INSTALLED = Path("/usr/share/dokuwiki")
PASSWORD = "correct horse"
SIZE = 32


def password_hash() -> str:
    code = "echo password_hash($argv[1], PASSWORD_BCRYPT);"
    done = subprocess.run(["php", "-r", code, PASSWORD], capture_output=True, text=True, check=True)
    return done.stdout


def install(folder: Path) -> Path:
    """A private copy: Debian's links into /etc and /var resolved, our user and settings in it."""
    wiki = folder / "wiki"
    shutil.copytree(INSTALLED, wiki, ignore_dangling_symlinks=True)
    for leftover in ("inc/preload.php", ".htaccess"):  # Debian's own paths and Apache's rules
        (wiki / leftover).unlink(missing_ok=True)
    shutil.rmtree(wiki / "conf", ignore_errors=True)
    shutil.copytree("/etc/dokuwiki", wiki / "conf", ignore_dangling_symlinks=True)
    shutil.copytree("/var/lib/dokuwiki/data", folder / "data", ignore_dangling_symlinks=True)
    settings = {"savedir": str(folder / "data"), "title": "Test wiki", "useacl": 1}
    settings |= {"superuser": "@admin", "license": "", "updatecheck": 0}
    lines = [f"$conf['{key}'] = '{value}';" for key, value in settings.items()]
    (wiki / "conf/local.php").write_text("<?php\n" + "\n".join(lines) + "\n")
    (wiki / "conf/acl.auth.php").write_text("*\t@ALL\t1\n*\t@user\t16\n")
    user = f"ann:{password_hash()}:Ann:ann@test.example:admin,user\n"
    (wiki / "conf/users.auth.php").write_text(user)
    return wiki


@pytest.fixture(scope="module")
def wiki(
    serve_shared: Serve,
    tmp_path_factory: pytest.TempPathFactory,
    require: Callable[[bool, str], None],
) -> Server:
    require((INSTALLED / "doku.php").is_file(), "dokuwiki")
    return serve_shared(install(tmp_path_factory.mktemp("dokuwiki")))


@pytest.fixture(scope="module")
def browser(require: Callable[[bool, str], None]) -> Iterator[webdriver.Chrome]:
    with chromium(require) as chrome:
        yield chrome


class Reader(Person):
    """What a person does with a wiki."""

    def log_in(self) -> None:
        self.open("/doku.php?id=start&do=login")
        self.type("#dw__login input[name=u]", "ann")
        self.type("#dw__login input[name=p]", PASSWORD)
        self.click("#dw__login button[type=submit]")
        self.find("#dokuwiki__usertools .logout, .action.logout, a[href*='do=logout']")

    def edit(self, page: str, text: str) -> None:
        self.open(f"/doku.php?id={page}&do=edit")
        self.type("#wiki__text", text)
        self.click("#edbtn__save")
        self.find("#dokuwiki__content .page h1")

    def upload(self, picture: Path) -> None:
        self.open("/doku.php?id=start&do=media&ns=&tab_files=upload")
        self.find("#mediamanager__uploader input[type=file]").send_keys(str(picture))
        self.click(
            "#mediamanager__upload_button, .qq-upload-action, #mediamanager__uploader button"
        )


def test_a_wiki_in_a_real_browser(
    wiki: Server, browser: webdriver.Chrome, tmp_path: Path, backend: str
) -> None:
    reader = Reader(browser, wiki)
    browser.delete_all_cookies()
    reader.open("/doku.php?id=start")
    assert "Test wiki" in browser.title
    reader.log_in()

    word = f"zebrafish{backend.replace('_', '')}"
    reader.edit("fish", f"====== Fish ======\n\nA {word} has stripes.\n\n{{{{:red.png}}}}\n")
    assert word in reader.find("#dokuwiki__content").text

    picture = tmp_path / "red.png"
    picture.write_bytes(red_png(SIZE))
    reader.upload(picture)
    stored = "/lib/exe/fetch.php?media=red.png"
    wait_until("the upload arrives", lambda: wiki.get(stored).status == 200)
    assert wiki.get(stored).body == red_png(SIZE)

    reader.open("/doku.php?id=fish")
    assert reader.picture_width("#dokuwiki__content img.media") == SIZE

    reader.open(f"/doku.php?do=search&q={word}")
    reader.find(".search_results a[href*='fish'], .search_quickresult a[href*='fish']")
