# SPDX-License-Identifier: MIT
"""Requests for the comparison of HTTP/1.1 readers: from a grammar, then damaged, reproducibly.

The parts are those on which readers are known to disagree, each next to a plain one, so that most
inputs are wrong in at most one or two places and the readers get far enough to differ.
"""

import random
from collections.abc import Iterator

METHODS = ["GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "CONNECT"]
ODD_METHODS = ["FOO", "get", "M-SEARCH", "G@T", "", "PRI", "A!b", "TRACE"]
TARGETS = ["/", "/a/b?c=d", "/x%20y?z", "//a", "/?"]
ODD_TARGETS = [
    "*", "http://h/x", "http://h", "http://h?q", "HTTPS://h:1/x?y", "http://u@h/", "http:///",
    "ftp://h/", "h:80", "x", "", "/a b", "/#f", "/{}|^\"<>`\\", "/\xc3\xa9", "/\x7f", "/a\tb",
]  # fmt: skip
VERSIONS = ["HTTP/1.1"] * 12 + ["HTTP/1.0"] * 3
ODD_VERSIONS = ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.10", "http/1.1", "HTTP/1", "", "X/1.1"]
HOSTS = ["Host: h"] * 10 + ["host:h:80", "HOST: [::1]", "Host:  h\t "]
ODD_HOSTS = ["Host:", "Host: a b", "Host: a,b", "Host : h", "X-Host: h", "Host: h\r\nHost: h"]
FIELDS = [
    "Accept: */*", "X:", "X: \t y \t", "Cookie: a=b; c=d", "X-Long: " + "v" * 40, "A_b.c: d",
    "Connection: close", "Connection: keep-alive", "Connection: Close, x", "Connection: upgrade",
    "Upgrade: websocket", "Expect: 100-continue", "X: \xe9\xff", "TE: trailers",
]  # fmt: skip
ODD_FIELDS = [
    "X : y", " X: y", "X: y\r\n z", "X: a\x00b", "X: a\x01b", "X: \x7f", "X: a\rb", "X: a\nb",
    "X", ": y", "X y: z", "\xe9: y", "Expect: x", "X: y\r", "X: a\x0bb", "(X): y",
    "Transfer-Encoding: chunked", "Content-Length: 5", "Transfer-Encoding: identity",
]  # fmt: skip
LENGTHS = ["5", "5", "5", "05", "0"]
ODD_LENGTHS = ["+5", "-5", "0x5", "5, 5", "5 5", "", "5\x0b", "9" * 19, "9" * 20, "5;", "five"]
CODINGS = ["chunked"] * 6 + ["Chunked", " chunked\t"]
ODD_CODINGS = [
    "gzip, chunked", "chunked, gzip", "xchunked", "chunked, chunked", "identity", "", "chunked;q=1",
    "\x0bchunked", '"chunked"', "chunked,",
]  # fmt: skip
CHUNKED = [
    "5\r\nabcde\r\n0\r\n\r\n", "0\r\n\r\n", "3;a\r\nabc\r\n0\r\n\r\n",
    "A\r\n01234567\r\n\r\n0\r\n\r\n",
    '1;a=b;c="d;e"\r\nx\r\n0\r\n\r\n', "1\r\nx\r\n0\r\nT: v\r\n\r\n", "01\r\nx\r\n00\r\n\r\n",
    "1\r\nx\r\n2\r\nyz\r\n0;last\r\nT: v\r\nU:\r\n\r\n",
]  # fmt: skip
ODD_CHUNKED = [
    "0x5\r\nabcde\r\n0\r\n\r\n", "5 \r\nabcde\r\n0\r\n\r\n", "5\nabcde\n0\n\n", "-1\r\n\r\n",
    "ffffffffffffffff\r\n", "fffffffffffffffff\r\n", "00000000000000000001\r\nx\r\n0\r\n\r\n",
    "5;;a\r\nabcde\r\n0\r\n\r\n",
    "5;\r\nabcde\r\n0\r\n\r\n", "5 ;a\r\nabcde\r\n0\r\n\r\n", "5; a\r\nabcde\r\n0\r\n\r\n",
    "5;a=\r\nabcde\r\n0\r\n\r\n", "5\r\nabcdef\r\n0\r\n\r\n", "5\r\nabcde0\r\n\r\n", "\r\n\r\n",
    "0\r\nT : v\r\n\r\n", "0\r\n T: v\r\n\r\n", "0\r\nT\r\n\r\n", "0\r\n\n", "200000\r\n",
    '1;a="b\r\nx\r\n0\r\n\r\n', '1;a="\\""\r\nx\r\n0\r\n\r\n', "1;a=b c\r\nx\r\n0\r\n\r\n",
]  # fmt: skip
NOISE = [*"\r\n\t \x00:;,/?#%\x0b\x7f\xff0aG", "\r\n", "\r\n\r\n", " HTTP/1.1\r\n"]


def pick(rng: random.Random, plain: list[str], odd: list[str]) -> str:
    return rng.choice(odd if rng.random() < 0.08 else plain)


def body_of(rng: random.Random) -> tuple[list[str], str]:
    """Fields that frame a body, and the body."""
    kind = rng.random()
    if kind < 0.45:
        return [], ""
    if kind < 0.7:
        return [f"Content-Length: {pick(rng, LENGTHS, ODD_LENGTHS)}"], "abcde"
    coding = f"Transfer-Encoding: {pick(rng, CODINGS, ODD_CODINGS)}"
    return [coding], pick(rng, CHUNKED, ODD_CHUNKED)


def request(rng: random.Random) -> str:
    line = " ".join(
        [
            pick(rng, METHODS, ODD_METHODS),
            pick(rng, TARGETS, ODD_TARGETS),
            pick(rng, VERSIONS, ODD_VERSIONS),
        ]
    )
    framing, body = body_of(rng)
    fields = [pick(rng, HOSTS, ODD_HOSTS), *framing]
    fields += [pick(rng, FIELDS, ODD_FIELDS) for _ in range(rng.randrange(4))]
    rng.shuffle(fields)
    empty = "\r\n" * rng.choice([0] * 20 + [1, 2, 4, 5])
    return empty + "\r\n".join([line, *fields, "", body])


def damage(rng: random.Random, text: str) -> str:
    """One byte lost, doubled, replaced or put in, or the end cut off."""
    at = rng.randrange(max(1, len(text)))
    return rng.choice(
        [
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
            text[:at] + rng.choice(NOISE) + text[at + 1 :],
            text[:at] + rng.choice(NOISE) + text[at:],
            text[:at],
        ]
    )


def inputs(seed: int, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        text = "".join(request(rng) for _ in range(rng.choice([1, 1, 1, 2, 3])))
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            text = damage(rng, text)
        yield text.encode("latin-1")
