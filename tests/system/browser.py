# SPDX-License-Identifier: MIT
"""A person at a real browser: headless Chromium, and what people do with pages."""

import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as conditions
from selenium.webdriver.support.ui import WebDriverWait
from system.harness import Server

WAIT_S = 60


@contextmanager
def chromium(require: Callable[[bool, str], None]) -> Iterator[webdriver.Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    require(program is not None and driver is not None, "chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    # Tests run as root in a container: there is no namespace left for Chromium's own sandbox.
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.add_argument("--window-size=1200,900")
    options.accept_insecure_certs = True  # the certificate of `--tls-self-signed`
    service = webdriver.ChromeService(executable_path=str(driver))
    with webdriver.Chrome(options=options, service=service) as browser:
        yield browser


def red_png(size: int) -> bytes:
    """A picture that no cache can have: size x size, red."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\xff\0\0" * size) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class Person:
    """What a person does with a site."""

    def __init__(self, browser: webdriver.Chrome, site: Server) -> None:
        self.browser = browser
        self.base = f"{'https' if site.secure else 'http'}://127.0.0.1:{site.port}"
        self.wait = WebDriverWait(browser, WAIT_S)

    def open(self, target: str) -> None:
        self.browser.get(self.base + target)

    def find(self, selector: str) -> WebElement:
        return self.wait.until(
            conditions.presence_of_element_located((By.CSS_SELECTOR, selector)), selector
        )

    def click(self, selector: str) -> None:
        self.wait.until(
            conditions.element_to_be_clickable((By.CSS_SELECTOR, selector)), selector
        ).click()

    def type(self, selector: str, text: str) -> None:
        element = self.find(selector)
        element.clear()
        element.send_keys(text)

    def picture_width(self, selector: str) -> int:
        """The width of a picture that the browser has really loaded."""
        image = self.find(selector)
        script = "return arguments[0].complete ? arguments[0].naturalWidth : 0"

        def loaded(browser: Any) -> int:
            width: int = browser.execute_script(script, image)
            return width

        return self.wait.until(loaded, f"{selector} is loaded")
