# SPDX-License-Identifier: MIT
"""Answers of PHP, compressed: each coding, by each protocol, in clear and over TLS."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import httpx
import pytest
import zstandard
from system.conftest import Serve
from system.harness import Server, wait_until

PAGE = "".join(f"<li>line {number}</li>\n" for number in range(2000)).encode()
SCRIPT = """<?php
$page = '';
for ($i = 0; $i < 2000; $i++) $page .= "<li>line $i</li>\\n";
parse_str($_SERVER['QUERY_STRING'], $asked);
foreach ($asked['field'] ?? [] as $field) header($field);
http_response_code((int) ($asked['status'] ?? 200));
if (isset($asked['gate'])) {
    while (ob_get_level() > 0) ob_end_flush(); // output_buffering, as distributions set it
    echo 'first part';
    flush();
    while (!file_exists($asked['gate'])) { usleep(1000); clearstatcache(); }
    echo ', second part';
} else {
    echo substr($page, 0, (int) ($asked['size'] ?? strlen($page)));
}
"""


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": unzstd,
}
PARTS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "br": lambda: brotli.Decompressor().process,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
}


@pytest.fixture(scope="module")
def server(serve_shared: Serve, secure: bool, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("compressed")
    (folder / "index.php").write_text(SCRIPT)
    (folder / "page.html").write_bytes(PAGE)
    server = serve_shared(folder, secure=secure)
    server.wait_applications(4)
    return server


@pytest.fixture(params=["h1", "h2"])
def client(server: Server, secure: bool, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    scheme = "https" if secure else "http"
    two = request.param == "h2"
    with httpx.Client(
        base_url=f"{scheme}://127.0.0.1:{server.port}", verify=False, http2=two, http1=not two
    ) as client:
        yield client


def ask(
    client: httpx.Client, query: str = "", accept: str = "gzip", method: str = "GET"
) -> tuple[httpx.Response, bytes]:
    """The answer, and its body as it came."""
    with client.stream(method, f"/?{query}", headers={"Accept-Encoding": accept}) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize("coding", WHOLE)
def test_a_page_is_compressed_whole_and_says_how_long_it_is(
    client: httpx.Client, coding: str
) -> None:
    answer, body = ask(client, accept=coding)
    assert answer.headers["Content-Encoding"] == coding
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Length"] == str(len(body)) and len(body) < len(PAGE) / 3
    assert WHOLE[coding](body) == PAGE


def test_the_client_chooses_and_the_server_decides_between_equals(client: httpx.Client) -> None:
    def coding(accept: str) -> str | None:
        found: str | None = ask(client, accept=accept)[0].headers.get("Content-Encoding")
        return found

    assert coding("gzip, deflate, br, zstd") == "zstd"
    assert coding("gzip, br") == "br"
    assert coding("gzip, br;q=0.9, zstd;q=0") == "gzip"
    assert coding("*") == "zstd"
    assert coding("identity, gzip;q=0.5") is None
    assert coding("deflate") is None


def test_a_plain_answer_varies_as_well(client: httpx.Client) -> None:
    answer, body = ask(client, accept="identity")
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in answer.headers and body == PAGE


@pytest.mark.parametrize(
    "query",
    [
        "field[]=Content-Type: image/png",
        "field[]=Content-Type: text/event-stream",
        "field[]=Content-Encoding: x-own",
        "field[]=Cache-Control: max-age=1, no-transform",
        "field[]=Content-Range: bytes 0-9/10&status=206",
        "field[]=Repr-Digest: sha-256=:AAAA:",
    ],
)
def test_what_must_stay_as_it_is_is_left_alone(client: httpx.Client, query: str) -> None:
    answer, body = ask(client, query)
    assert answer.headers.get("Content-Encoding") in (None, "x-own")
    assert "Vary" not in answer.headers and body == PAGE


def test_a_small_answer_is_plain_unless_plain_is_refused(client: httpx.Client) -> None:
    answer, body = ask(client, "size=1023")
    assert "Content-Encoding" not in answer.headers and body == PAGE[:1023]
    answer, body = ask(client, "size=1024")
    assert answer.headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == PAGE[:1024]
    answer, body = ask(client, "size=5", "identity;q=0, gzip")
    assert answer.headers["Content-Encoding"] == "gzip" and gzip.decompress(body) == PAGE[:5]


def test_fields_are_made_true(client: httpx.Client) -> None:
    query = 'field[]=ETag: "abc"&field[]=Vary: Cookie&field[]=Accept-Ranges: bytes'
    answer, _ = ask(client, query)
    assert answer.headers["ETag"] == 'W/"abc"' and "Accept-Ranges" not in answer.headers
    assert answer.headers["Vary"] == "Cookie, Accept-Encoding"
    answer, _ = ask(client, query, "identity")
    assert answer.headers["ETag"] == '"abc"' and answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Vary"] == "Cookie, Accept-Encoding"
    answer, _ = ask(client, "field[]=Vary: *")
    assert answer.headers["Vary"] == "*"
    answer, _ = ask(client, 'status=304&field[]=ETag: "abc"')
    assert answer.headers["ETag"] == 'W/"abc"' and answer.headers["Vary"] == "Accept-Encoding"


def test_head_says_what_get_would(client: httpx.Client) -> None:
    query = 'field[]=ETag: "abc"'
    get, _ = ask(client, query)
    head, body = ask(client, query, method="HEAD")
    ours = ("ETag", "Vary", "Content-Type")
    assert body == b"" and [head.headers[name] for name in ours] == [
        get.headers[name] for name in ours
    ]
    assert "Content-Length" not in head.headers


@pytest.mark.parametrize("coding", PARTS)
def test_what_php_flushes_arrives_and_can_be_decoded(
    client: httpx.Client, coding: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    decode = PARTS[coding]()
    fields = {"Accept-Encoding": coding}
    with client.stream("GET", f"/?gate={gate}", headers=fields, timeout=20) as answer:
        assert answer.headers["Content-Encoding"] == coding
        assert "Content-Length" not in answer.headers
        parts = answer.iter_raw()
        text = b""
        while text != b"first part":
            text += decode(next(parts))
        gate.touch()
        for part in parts:
            text += decode(part)
    assert text == b"first part, second part"


def get_file(client: httpx.Client, accept: str, **fields: str) -> tuple[httpx.Response, bytes]:
    asked = {"Accept-Encoding": accept, **fields}
    with client.stream("GET", "/page.html", headers=asked) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize("coding", WHOLE)
def test_a_file_that_is_asked_for_again_is_compressed_once(
    client: httpx.Client, coding: str
) -> None:
    """As soon as it has not been written to for two seconds."""
    plain, body = get_file(client, "")
    assert body == PAGE
    assert "Content-Encoding" not in plain.headers

    def is_encoded() -> bool:
        answer, body = get_file(client, coding)
        return "Content-Encoding" in answer.headers or body != PAGE

    wait_until("it is compressed", is_encoded, 60)
    answer, body = get_file(client, coding)
    assert (answer.headers["Content-Encoding"], WHOLE[coding](body)) == (coding, PAGE)
    assert int(answer.headers["Content-Length"]) == len(body) < len(PAGE) / 2
    assert answer.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    tag = answer.headers["ETag"]
    assert tag != plain.headers["ETag"]
    assert not tag.startswith("W/")
    again, _ = get_file(client, coding, **{"If-None-Match": tag})
    assert (again.status_code, again.headers["ETag"]) == (304, tag)
    part, some = get_file(client, coding, Range="bytes=5-20")
    assert (part.status_code, some) == (206, body[5:21])
    assert part.headers["Content-Encoding"] == coding


@pytest.mark.parametrize(
    ("settings", "coding"),
    [
        ({"enabled": False}, None),
        ({"encodings": ["gzip", "zstd"]}, "gzip"),
        ({"min_size": "1M"}, None),
        ({"types": ["application/json"]}, None),
    ],
)
def test_the_operator_decides(
    serve: Serve, tmp_path: Path, settings: dict[str, Any], coding: str | None
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/index.php").write_text(SCRIPT)
    server = serve(tmp_path / "app", config={"compression": settings})
    server.wait_applications(4)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        answer, _ = ask(client, accept="gzip, br, zstd")
    assert answer.headers.get("Content-Encoding") == coding
    if settings.get("enabled") is False:
        assert "Vary" not in answer.headers
