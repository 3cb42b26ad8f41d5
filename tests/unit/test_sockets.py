# SPDX-License-Identifier: MIT
"""Addresses to listen on, as operators write them."""

import pytest

from askrctl.config import Address
from askrctl.config import parse_address as parse
from askrctl.config.values import UnfitError
from askrctl.model import AskrError
from askrctl.server.sockets import assign_roles, check_proxies


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":80", Address("", 80)),
        ("80", Address("127.0.0.1", 80)),
        ("443,tls", Address("127.0.0.1", 443, role="tls")),
        ("[::1]:443,tls", Address("::1", 443, role="tls")),
        (":80,proxy", Address("", 80, proxy=True)),
        (":443,tls,proxy", Address("", 443, role="tls", proxy=True)),
        (":443,proxy,tls", Address("", 443, role="tls", proxy=True)),
        (":80,redirect,proxy", Address("", 80, role="redirect", proxy=True)),
        ("unix:/x", Address(path="/x")),
        ("unix:/x,mode=600", Address(path="/x", mode=0o600)),
        ("unix:/x,proxy", Address(path="/x", proxy=True)),
        ("unix:/x,proxy,mode=600", Address(path="/x", mode=0o600, proxy=True)),
    ],
)
def test_an_address_is_what_it_says(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    ("text", "url", "reach"),
    [
        ("80", "http://127.0.0.1:80/", ""),
        ("shop.example:80", "http://shop.example:80/", ""),
        ("[::1]:80", "http://[::1]:80/", ""),
        (":80", "http://localhost:80/", "all addresses of this machine"),
        ("0.0.0.0:80", "http://127.0.0.1:80/", "all IPv4 addresses of this machine"),
        ("[::]:443,tls", "https://[::1]:443/", "all IPv6 addresses of this machine"),
        ("unix:/x", "unix:/x", ""),
    ],
)
def test_what_is_open_to_others_says_so(text: str, url: str, reach: str) -> None:
    address = parse(text)
    assert (address.url, address.reach) == (url, reach)


@pytest.mark.parametrize(
    "text", [":80,tls,", ":80,tls,redirect", ":80,tls,tls", ":80,prxy", "unix:/x,", ":x"]
)
def test_nonsense_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(UnfitError, match=repr(text)):
        parse(text)


def test_tls_by_default_keeps_the_proxy() -> None:
    assert assign_roles([parse(":443,proxy")], has_tls=True) == [parse(":443,tls,proxy")]


def test_a_proxy_without_trust_is_refused() -> None:
    check_proxies([parse(":80")], ())
    check_proxies([parse(":80,proxy")], ("10.0.0.0/8",))
    with pytest.raises(AskrError, match="needs somebody to trust"):
        check_proxies([parse(":80,proxy")], ())
