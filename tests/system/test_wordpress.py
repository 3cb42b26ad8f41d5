# SPDX-License-Identifier: MIT
"""WordPress on SQLite, unmodified, in a real browser: from its installer to a reader's comment.

Everything goes through the server under test, the installer as well, which asks the site that it
installs. The block editor is a client of the REST interface.
"""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from system.browser import Person, chromium, red_png
from system.conftest import Serve
from system.harness import ROOT, Server

pytestmark = pytest.mark.browser

UNPACKED = ROOT / "build/applications/wordpress"
PLUGIN = "sqlite-database-integration"
PASSWORD = "correct horse battery staple"
SIZE, THUMBNAIL = 400, 150  # WordPress makes smaller ones of a picture

# Nothing here may ask the Internet; the site itself may be asked.
SETTINGS = """<?php
define('DB_NAME', 'wordpress');
define('DB_USER', '');
define('DB_PASSWORD', '');
define('DB_HOST', '');
define('DB_CHARSET', 'utf8');
define('DB_COLLATE', '');
define('DB_DIR', '{data}');
define('AUTH_KEY', 'a');
define('SECURE_AUTH_KEY', 'b');
define('LOGGED_IN_KEY', 'c');
define('NONCE_KEY', 'd');
define('AUTH_SALT', 'e');
define('SECURE_AUTH_SALT', 'f');
define('LOGGED_IN_SALT', 'g');
define('NONCE_SALT', 'h');
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""


def unpack(folder: Path) -> Path:
    """A private copy, Debian's links resolved, with the plugin where its own installer puts it."""
    site = folder / "wordpress"
    content = site / "wp-content"
    shutil.copytree(UNPACKED / "usr/share/wordpress", site, ignore_dangling_symlinks=True)
    (site / ".htaccess").unlink(missing_ok=True)
    [plugin] = UNPACKED.glob(f"*{PLUGIN}")
    shutil.copytree(plugin, content / "plugins" / PLUGIN)
    # WordPress 6.1 has no such property, so its wpdb meets that of the class that extends it.
    database = content / "plugins" / PLUGIN / "wp-includes/sqlite/class-wp-sqlite-db.php"
    code = database.read_text()
    database.write_text(code.replace("private $allow_unsafe", "protected $allow_unsafe"))
    dropin = (plugin / "db.copy").read_text()
    place = str(content / "plugins" / PLUGIN)
    dropin = dropin.replace("{SQLITE_IMPLEMENTATION_FOLDER_PATH}", place)
    (content / "db.php").write_text(dropin.replace("{SQLITE_PLUGIN}", f"{PLUGIN}/load.php"))
    (site / "wp-config.php").write_text(SETTINGS.format(data=folder / "database"))
    return site


@pytest.fixture
def site(serve: Serve, tmp_path: Path, require: Callable[[bool, str], None]) -> Server:
    require(UNPACKED.is_dir(), "WordPress in build/applications")
    return serve(unpack(tmp_path))


@pytest.fixture(scope="module")
def browser(require: Callable[[bool, str], None]) -> Iterator[webdriver.Chrome]:
    with chromium(require) as chrome:
        yield chrome


class Author(Person):
    """What a person does with WordPress."""

    def set_value(self, selector: str, value: str) -> None:
        """Into a field that a script of the page fills as well."""
        self.browser.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}));",
            self.find(selector),
            value,
        )

    def install(self) -> None:
        self.open("/")
        self.type("#weblog_title", "Test site")
        self.type("#user_login", "ann")
        self.set_value("#pass1", PASSWORD)
        self.type("#admin_email", "ann@test.example")
        self.click("#submit")
        self.find("a.button[href$='wp-login.php']")

    def log_in(self) -> None:
        self.open("/wp-login.php")
        self.find("#user_login").send_keys("ann")
        self.set_value("#user_login", "ann")
        self.set_value("#user_pass", PASSWORD)
        self.click("#wp-submit")
        self.find("#wpadminbar")

    def upload(self, picture: Path) -> None:
        self.open("/wp-admin/media-new.php?browser-uploader")
        self.find("#async-upload").send_keys(str(picture))
        self.click("#html-upload")
        self.find("body.upload-php")

    def publish(self, title: str, html: str) -> str:
        """A post, written as HTML in the block editor; its address."""
        self.open("/wp-admin/post-new.php")
        self.close_welcome()
        self.browser.execute_script("wp.data.dispatch('core/edit-post').switchEditorMode('text')")
        self.find(".editor-post-title__input").send_keys(title)
        self.find(".editor-post-text-editor").send_keys(html)
        self.click(".editor-post-publish-panel__toggle")
        self.click(".editor-post-publish-button")
        link = self.find(".post-publish-panel__postpublish-header a")
        return str(link.get_attribute("href")).removeprefix(self.base)

    def close_welcome(self) -> None:
        """The tour that the editor offers to who sees it first."""
        self.find(".edit-post-header")
        self.browser.execute_script(
            "wp.data.dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false);"
        )

    def comment(self, post: str, text: str) -> None:
        self.open(post)
        self.type("#comment", text)
        self.type("#author", "Bob")
        self.type("#email", "bob@test.example")
        self.click("#commentform [type=submit]")
        self.wait.until(lambda browser: text in browser.page_source, "the comment is shown")


def rest(site: Server, path: str) -> Any:
    answer = site.get(f"/?rest_route=/wp/v2/{path}")
    assert answer.status == 200, answer.text[:500]
    return json.loads(answer.body)


def test_a_blog_from_its_installation_to_a_comment(
    site: Server, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    browser.delete_all_cookies()
    author = Author(browser, site)
    author.install()
    author.log_in()
    picture = tmp_path / "red.png"
    picture.write_bytes(red_png(SIZE))
    author.upload(picture)
    [medium] = rest(site, "media")
    assert medium["media_details"]["sizes"]["thumbnail"]["width"] == THUMBNAIL
    stored = medium["source_url"].removeprefix(author.base)
    assert site.get(stored).body == red_png(SIZE)
    html = f'<p>They have stripes.</p><img class="fish" src="{medium["source_url"]}">'
    post = author.publish("Zebrafish", html)

    browser.delete_all_cookies()
    author.open(post)
    assert "Zebrafish" in browser.title
    assert author.picture_width("img.fish") == SIZE
    author.comment(post, "I keep some myself.")
    assert "awaiting moderation" in author.find(".comment").text

    assert "Zebrafish" in [one["title"]["rendered"] for one in rest(site, "posts")]
    assert site.get("/?rest_route=/wp/v2/users/me").status == 401
    feed = ElementTree.fromstring(site.get("/?feed=rss2").body)
    assert "Zebrafish" in [title.text for title in feed.iter("title")]
