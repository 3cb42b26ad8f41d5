# SPDX-License-Identifier: MIT
"""The dashboard in a real browser: light, dark, and on a narrow screen."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

TOKEN = "a-token-of-this-test-only"
SCRIPT = "<?php if ($_SERVER['REQUEST_URI'] === '/fail') { http_response_code(500); } echo 'hi';"
LIGHT, DARK = "rgb(246, 247, 249)", "rgb(18, 22, 28)"


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    running = webdriver.Chrome(options=options, service=service)
    yield running
    running.quit()


@pytest.fixture
def server(serve_once: Serve, tmp_path: Path) -> Server:
    (tmp_path / "hello.txt").write_text("hello")
    config = {"admin": {"listen": ["127.0.0.1:0"], "token": TOKEN}}
    return serve_once(tmp_path, config=config)


def set_width(browser: webdriver.Chrome, width: int) -> None:
    emulate: Callable[[str, Any], Any] = browser.execute_cdp_cmd
    emulate(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )


def too_wide(browser: webdriver.Chrome) -> list[str]:
    """Parts that have to be scrolled sideways."""
    script = """return [document.documentElement, ...document.querySelectorAll('section')]
        .filter((part) => part.scrollWidth > part.clientWidth)
        .map((part) => part.id || part.textContent)"""
    found: list[str] = browser.execute_script(script)
    return found


def rows_of(browser: webdriver.Chrome, section: str) -> dict[str, list[str]]:
    """Cells that are shown, by the first one of their row."""
    script = """return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map((row) =>
        [...row.cells].filter((cell) => cell.offsetWidth).map((cell) => cell.textContent))"""
    return {row[0]: row[1:] for row in browser.execute_script(script, section)}


def log_in(browser: webdriver.Chrome, server: Server) -> None:
    [url] = server.status()["admin"]
    browser.get(url)
    field = browser.find_element(By.ID, "token")
    wait_until("it asks for the token", field.is_displayed)
    assert browser.find_element(By.ID, "state").text == "a token is needed"
    assert not browser.find_element(By.ID, "charts").is_displayed(), "nothing is known yet"
    field.send_keys(TOKEN)
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    wait_until("it is ready", lambda: browser.find_element(By.ID, "state").text == "ready")


@pytest.mark.parametrize(
    ("scheme", "width", "paper"), [("light", 1200, LIGHT), ("dark", 400, DARK)]
)
def test_it_shows_what_the_server_does(
    browser: webdriver.Chrome, server: Server, scheme: str, width: int, paper: str
) -> None:
    emulate: Callable[[str, Any], Any] = browser.execute_cdp_cmd
    emulate(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    set_width(browser, width)
    log_in(browser, server)

    def drawn() -> bool:
        server.get("/hello.txt")
        line = browser.execute_script("return document.querySelector('#rate path')?.outerHTML")
        return "L" in (line or "")

    wait_until("the rate is a line", drawn)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == paper
    assert too_wide(browser) == []
    label = browser.find_element(By.ID, "rate").get_attribute("aria-label") or ""
    assert re.fullmatch(r"Requests per second last \d+ s: answered [\d.]+", label)
    row = browser.execute_script("return document.querySelector('#workers tr').textContent")
    assert "ready" in row
    assert str(server.workers()[0]) in row
    blocked = [entry for entry in browser.get_log("browser") if entry["source"] == "security"]
    assert blocked == []


def test_it_shows_what_routes_and_sites_do_on_a_narrow_screen(
    browser: webdriver.Chrome, serve_once: Serve, tmp_path: Path
) -> None:
    for name in ("shop", "blog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.php").write_text(SCRIPT)
    sites = [
        {"name": name, "hosts": [f"{name}.test"], "root": str(tmp_path / name)}
        for name in ("shop", "blog")
    ]
    admin = {"listen": ["127.0.0.1:0"], "token": TOKEN}
    server = serve_once(Path(), config={"admin": admin, "site": sites, "php": {"processes": 1}})
    server.wait_applications(2)
    set_width(browser, 400)
    log_in(browser, server)

    def shown() -> bool:
        for path in ("/cart/1", "/cart/2", "/fail"):
            server.ask("GET", path, [("Host", "shop.test")])
        return set(rows_of(browser, "routes")) == {"/cart/:id", "/fail"}

    wait_until("both routes are there", shown)
    sites_shown = rows_of(browser, "sites")
    assert list(sites_shown) == ["shop", "blog"], "what takes most time is the first"
    rate, p99, failed, _ = sites_shown["shop"]
    assert float(rate) > 0 and float(p99) > 0 and float(failed) > 0
    assert sites_shown["blog"] == ["0", "–", "0", "0"]
    assert rows_of(browser, "routes")["/cart/:id"][-1] == "0"
    wait_until("OPcache is known", lambda: set(rows_of(browser, "caches")) == {"shop", "blog"})
    assert rows_of(browser, "caches")["shop"][-1] == "none", "it was never emptied"
    assert not browser.find_element(By.ID, "opcache").is_displayed()
    assert too_wide(browser) == []


def test_it_shows_opcache(browser: webdriver.Chrome, serve_once: Serve, tmp_path: Path) -> None:
    admin = {"listen": ["127.0.0.1:0"], "token": TOKEN}
    app = copy_app("matrix", tmp_path)
    server = serve_once(app, config={"admin": admin, "php": {"processes": 1}})
    server.get("/hello")
    log_in(browser, server)
    part = browser.find_element(By.ID, "opcache")
    wait_until("it is known", part.is_displayed)
    assert "scripts" in part.text and "no restarts" in part.text
    assert "used" in (browser.find_element(By.ID, "cache").get_attribute("aria-label") or "")


def test_a_worker_can_be_drained_with_the_keyboard(
    browser: webdriver.Chrome, server: Server
) -> None:
    [pid] = server.workers()
    log_in(browser, server)
    path = "[aria-label='drain worker 0']"
    wait_until("the button is there", lambda: browser.find_elements(By.CSS_SELECTOR, path))
    browser.find_element(By.CSS_SELECTOR, path).send_keys("\n")
    state = browser.find_element(By.ID, "state")
    wait_until("it says so", lambda: state.text == "worker 0: drain has begun")
    wait_until("another worker serves", lambda: pid not in server.workers())
    server.stop()
    wait_until("it knows how old it is", lambda: state.text.startswith("no answer: this is of "))
    assert "old" in (browser.find_element(By.ID, "charts").get_attribute("class") or "")
