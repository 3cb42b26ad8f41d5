# SPDX-License-Identifier: MIT
"""The example application in a real browser, over TLS: everything it loads comes by HTTP/2."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from system.browser import Person, chromium
from system.conftest import Serve
from system.harness import ROOT

# What the page has loaded, and how: of each its path, its protocol and its size.
LOADED = """
const entries = performance.getEntriesByType('navigation').concat(
    performance.getEntriesByType('resource'));
return entries.map(e => [new URL(e.name).pathname, e.nextHopProtocol, e.decodedBodySize]);
"""

# Each message comes back; then the connection is closed. Calls back with what came.
TALK = """
const done = arguments[arguments.length - 1];
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/echo');
const said = ['hello', 'ä€😀'.repeat(20000)];
const heard = [];
socket.onopen = () => said.forEach(text => socket.send(text));
socket.onmessage = message => {
    heard.push(message.data === said[heard.length]);
    if (heard.length === said.length) socket.close(3000, 'bye');
};
socket.onclose = event => done([heard, event.code, event.wasClean, socket.extensions]);
"""


@pytest.fixture(scope="module")
def browser(require: Callable[[bool, str], None]) -> Iterator[webdriver.Chrome]:
    with chromium(require) as chrome:
        chrome.set_script_timeout(60)
        yield chrome


@pytest.fixture
def visitor(serve: Serve, tmp_path: Path, browser: webdriver.Chrome) -> Person:
    server = serve(
        ROOT / "examples/guestbook",
        secure=True,
        # A browser keeps its connection, and the end of the test does not wait for it.
        config={"websocket": {"echo": "/echo"}, "timeouts": {"drain": 1}},
        environment={"GUESTBOOK_DATA": str(tmp_path / "data")},
    )
    server.wait_applications(4)
    return Person(browser, server)


def loaded(browser: webdriver.Chrome) -> dict[str, tuple[str, int]]:
    found: list[Any] = browser.execute_script(LOADED)
    return {path: (protocol, size) for path, protocol, size in found}


def test_a_browser_gets_a_page_and_all_it_needs_by_http_2(visitor: Person) -> None:
    visitor.open("/")
    assert visitor.picture_width("header img") > 0
    entries = loaded(visitor.browser)
    assert {"/", "/style.css", "/icon.svg"} <= entries.keys()
    assert {protocol for protocol, _ in entries.values()} == {"h2"}
    public = ROOT / "examples/guestbook/public"
    for name in ("style.css", "icon.svg"):
        assert entries[f"/{name}"][1] == (public / name).stat().st_size

    visitor.type("#name", "Ann")
    visitor.type("#message", "Grüße & <b>")
    visitor.click("form.card button")
    assert "Grüße & <b>" in visitor.find("main li article").text
    assert {protocol for protocol, _ in loaded(visitor.browser).values()} == {"h2"}

    # RFC 8441: on a stream of the same connection, since we allow it.
    heard, code, clean, extensions = visitor.browser.execute_async_script(TALK)
    assert (heard, code, clean) == ([True, True], 3000, True)
    assert "permessage-deflate" in extensions
