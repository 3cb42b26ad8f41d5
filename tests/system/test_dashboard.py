# SPDX-License-Identifier: MIT
"""The dashboard in a real browser: light, dark, and on a narrow screen."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from system.conftest import Serve
from system.harness import Server, wait_until

TOKEN = "a-token-of-this-test-only"
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
def server(serve: Serve, tmp_path: Any) -> Server:
    (tmp_path / "hello.txt").write_text("hello")
    config = {"admin": {"listen": ["127.0.0.1:0"], "token": TOKEN}}
    return serve(tmp_path, config=config)


def log_in(browser: webdriver.Chrome, server: Server) -> None:
    [url] = server.status()["admin"]
    browser.get(url)
    field = browser.find_element(By.ID, "token")
    wait_until("it asks for the token", field.is_displayed)
    assert "401" not in browser.find_element(By.ID, "facts").text
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
    emulate(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    log_in(browser, server)

    def drawn() -> bool:
        server.get("/hello.txt")
        line = browser.execute_script("return document.querySelector('#rate path')?.outerHTML")
        return "L" in (line or "")

    wait_until("the rate is a line", drawn)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == paper
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), (
        "nothing makes the page wider than the screen"
    )
    assert "answered" in (browser.find_element(By.ID, "rate").get_attribute("aria-label") or "")
    row = browser.execute_script("return document.querySelector('#workers tr').textContent")
    assert "ready" in row
    assert str(server.workers()[0]) in row
    blocked = [entry for entry in browser.get_log("browser") if entry["source"] == "security"]
    assert blocked == []


def test_a_worker_can_be_drained_with_the_keyboard(
    browser: webdriver.Chrome, server: Server
) -> None:
    [pid] = server.workers()
    log_in(browser, server)
    path = "[aria-label='drain worker 0']"
    wait_until("the button is there", lambda: browser.find_elements(By.CSS_SELECTOR, path))
    browser.find_element(By.CSS_SELECTOR, path).send_keys("\n")
    wait_until("another worker serves", lambda: pid not in server.workers())
