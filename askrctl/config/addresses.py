# SPDX-License-Identifier: MIT
"""Addresses to listen on, as operators write them.

A port alone is for this machine: nobody is let in who was not asked for. ":80" is everybody.
"""

import os
from dataclasses import dataclass

from askrctl.config.values import UnfitError, parse_texts

UNIX_MODE = 0o660
UNIX_PATH_SIZE_MAX = 107  # sockaddr_un, unix(7)
ROLES = ("tls", "redirect")
PROXY = "proxy"  # the PROXY protocol comes first, whatever the role
LOOPBACK = "127.0.0.1"
# A host that stands for many addresses: one of them, and which they are.
_EVERYWHERE = {
    "": ("localhost", "all addresses of this machine"),
    "0.0.0.0": (LOOPBACK, "all IPv4 addresses of this machine"),
    "::": ("::1", "all IPv6 addresses of this machine"),
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: TCP with host and port, or a unix socket with its path and mode.

    `role` is what was asked for: "tls", "redirect" (to https), or "" for what the rule says.
    With `proxy` connections begin with the PROXY protocol.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = UNIX_MODE
    role: str = ""
    proxy: bool = False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """One that a client on this machine can use."""
        if self.path:
            return str(self)
        host = _EVERYWHERE[self.host][0] if self.reach else self.host
        scheme = "https" if self.role == "tls" else "http"
        return (
            f"{scheme}://[{host}]:{self.port}/"
            if ":" in host
            else f"{scheme}://{host}:{self.port}/"
        )

    @property
    def reach(self) -> str:
        """On which addresses it can be reached besides that of its url; "" when on none."""
        return "" if self.path or self.host not in _EVERYWHERE else _EVERYWHERE[self.host][1]


def _parse_unix(text: str) -> Address:
    path, *options = text.removeprefix("unix:").split(",")
    if not path.startswith("/"):
        raise UnfitError(f"the path of a unix socket must be absolute, not {text!r}")
    if len(os.fsencode(path)) > UNIX_PATH_SIZE_MAX:
        raise UnfitError(f"the path of a unix socket can have {UNIX_PATH_SIZE_MAX} bytes: {text!r}")
    mode, proxy = UNIX_MODE, False
    for option in options:
        if option == PROXY:
            proxy = True
            continue
        try:
            mode = int(option.removeprefix("mode="), 8)
        except ValueError:
            raise UnfitError(f"{option!r} is not mode=660 or proxy, in {text!r}") from None
    return Address(path=path, mode=mode, proxy=proxy)


def parse_options(text: str) -> tuple[str, bool] | None:
    """Role and whether the PROXY protocol comes first, of what follows an address; None: neither
    one role nor `proxy`."""
    words = text.split(",") if text else []
    roles = [word for word in words if word != PROXY]
    if len(roles) > 1 or any(role not in ROLES for role in roles):
        return None
    return "".join(roles), PROXY in words


def parse_address(text: str) -> Address:
    """One of them; UnfitError when it is none."""
    if text.startswith("unix:"):
        return _parse_unix(text)
    place, _, words = text.partition(",")
    options = parse_options(words)
    if options is None:
        raise UnfitError(f"{words!r} is not tls or redirect, or proxy beside them, in {text!r}")
    host, colon, port_text = place.rpartition(":")
    if not colon and place.isdigit():
        host, port_text = LOOPBACK, place
    elif not colon:
        raise UnfitError(f"there is no port in {text!r}")
    if not port_text.isascii() or not port_text.isdigit() or int(port_text[:6]) > 65535:
        raise UnfitError(f"{port_text!r} is not a port from 0 to 65535, in {text!r}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UnfitError(f"an IPv6 address goes in brackets: {text!r}")
    return Address(host, int(port_text), role=options[0], proxy=options[1])


def addresses(value: object) -> tuple[str, ...]:
    """Kind of a key that holds some of them."""
    texts = parse_texts(value)
    for text in texts:
        parse_address(text)
    return texts
