# SPDX-License-Identifier: MIT
"""Listeners: parsed, opened once by the supervisor, inherited by every worker.

A worker can then die and be replaced without a refused connection.
"""

import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from askrctl.model import AskrError

BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn
SYSTEMD_FIRST_FD = 3  # sd_listen_fds(3)
UNIX_MODE = 0o660
ROLES = ("tls", "redirect")
PROXY = "proxy"  # the PROXY protocol comes first, whatever the role
LOOPBACK = "127.0.0.1"  # of a port without an address: nobody is let in who was not asked for
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


def _bad(text: str, why: str) -> AskrError:
    return AskrError(
        f"--listen {text}: {why}", "--listen 8000, 0.0.0.0:8000, :8000, [::1]:8000, unix:/path", code=2
    )


def _parse_unix(text: str) -> Address:
    path, *options = text.removeprefix("unix:").split(",")
    if not path.startswith("/"):
        raise _bad(text, "the path of a unix socket must be absolute")
    if len(os.fsencode(path)) > 107:  # sockaddr_un, unix(7)
        raise _bad(text, "the path of a unix socket can have 107 bytes")
    mode, proxy = UNIX_MODE, False
    for option in options:
        if option == PROXY:
            proxy = True
            continue
        try:
            mode = int(option.removeprefix("mode="), 8)
        except ValueError:
            raise _bad(text, f"{option!r} is not mode=660 or proxy") from None
    return Address(path=path, mode=mode, proxy=proxy)


def _parse_options(text: str) -> tuple[str, bool] | None:
    """Role and whether the PROXY protocol comes first, of what follows an address; None: neither
    one role nor `proxy`."""
    words = text.split(",") if text else []
    roles = [word for word in words if word != PROXY]
    if len(roles) > 1 or any(role not in ROLES for role in roles):
        return None
    return "".join(roles), PROXY in words


def parse(text: str) -> Address:
    """An address as operators write it."""
    if text.startswith("unix:"):
        return _parse_unix(text)
    place, _, words = text.partition(",")
    options = _parse_options(words)
    if options is None:
        raise _bad(text, f"{words!r} is not tls or redirect, or proxy beside them")
    host, colon, port_text = place.rpartition(":")
    if not colon and place.isdigit():
        host, port_text = LOOPBACK, place
    elif not colon:
        raise _bad(text, "there is no port in it")
    if not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise _bad(text, f"{port_text!r} is not a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _bad(text, "write an IPv6 address in brackets")
    return Address(host, int(port_text), role=options[0], proxy=options[1])


def assign_roles(addresses: list[Address], has_tls: bool) -> list[Address]:
    """Which speak TLS: those marked so; when none is, every TCP one that does not redirect."""
    marked = any(address.role == "tls" for address in addresses)
    if marked and not has_tls:
        which = next(str(address) for address in addresses if address.role == "tls")
        hint = "--tls-cert FILE --tls-key FILE, or --tls-self-signed for development"
        raise AskrError(f"--listen {which},tls needs a certificate", hint, code=2)
    if has_tls and not marked:
        addresses = [
            address if address.path or address.role else replace(address, role="tls")
            for address in addresses
        ]
    speaks_tls = any(address.role == "tls" for address in addresses)
    if has_tls and not speaks_tls:
        raise AskrError("there is a certificate and no listener for it", "--listen :443", code=2)
    if not speaks_tls and any(address.role == "redirect" for address in addresses):
        hint = "--listen :443,tls --tls-cert FILE --tls-key FILE"
        raise AskrError("a redirecting listener needs one that speaks TLS", hint, code=2)
    return addresses


def check_proxies(addresses: list[Address], trusted: tuple[str, ...]) -> None:
    """The PROXY protocol is taken from somebody, or it is a mistake to wait for it."""
    for address in addresses:
        if address.proxy and not trusted:
            hint = '[server] trusted_proxies = ["10.0.0.0/8"] in askr.toml: the networks of proxies'
            raise AskrError(f"--listen {address},proxy needs somebody to trust", hint, code=2)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _open_unix(address: Address) -> socket.socket:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        if stat.S_ISSOCK(os.stat(address.path).st_mode):
            if _answers(address.path):
                hint = f"ss -lxp | grep {address.path}"
                raise AskrError(f"{address} is in use: another server answers there", hint)
            os.unlink(address.path)  # left behind by a server that is gone
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address.path)
    except OSError as error:
        listener.close()
        hint = f"ls -ld {os.path.dirname(address.path)}"
        raise AskrError(f"cannot listen on {address}: {error.strerror}", hint) from None
    os.chmod(address.path, address.mode)
    return listener


def _tcp_family(address: Address) -> tuple[socket.AddressFamily, tuple[str, int], bool]:
    """Family, name to bind, and whether IPv4 clients are served as well."""
    if not address.host:
        return socket.AF_INET6, ("::", address.port), True
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError):  # UnicodeError: no name can be so
        raise _bad(str(address), f"{address.host!r} is not an address of this machine") from None
    return found[0][0], (str(found[0][4][0]), address.port), False


def _open_tcp(address: Address) -> socket.socket:
    family, name, dual = _tcp_family(address)
    if dual and not socket.has_dualstack_ipv6():
        family, name, dual = socket.AF_INET, ("0.0.0.0", address.port), False
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
    try:
        listener.bind(name)
    except OSError as error:
        listener.close()
        if error.errno == 98:  # EADDRINUSE
            hint = f"ss -ltnp 'sport = :{address.port}'"
            raise AskrError(f"port {address.port} is in use ({address})", hint) from None
        if error.errno == 13:  # EACCES
            hint = "sudo askrctl serve, or a port from 1024 up"
            raise AskrError(f"port {address.port} needs root", hint) from None
        hint = "ip -brief address, for those of this machine"
        raise AskrError(f"cannot listen on {address}: {error.strerror}", hint) from None
    return listener


def open_listener(address: Address) -> tuple[socket.socket, Address]:
    """A non-blocking listener, and its address with the port the kernel chose."""
    listener = _open_unix(address) if address.path else _open_tcp(address)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    if not address.path:
        address = replace(address, port=listener.getsockname()[1])
    return listener, address


def _is_dual(listener: socket.socket) -> bool:
    """Does it take IPv4 clients besides those of IPv6?"""
    if listener.family is not socket.AF_INET6:
        return False
    return listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


def inherited() -> list[tuple[socket.socket, Address]]:
    """Listeners passed by systemd socket activation (sd_listen_fds(3)); none without it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    found = []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for fd in range(SYSTEMD_FIRST_FD, SYSTEMD_FIRST_FD + int(os.environ.get("LISTEN_FDS", "0"))):
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        os.set_inheritable(fd, False)
        name = listener.getsockname()
        label = names[fd - SYSTEMD_FIRST_FD] if fd - SYSTEMD_FIRST_FD < len(names) else ""
        role, proxy = _parse_options(label) or ("", False)  # FileDescriptorName= of the socket unit
        if isinstance(name, str):
            address = Address(path=str(name), proxy=proxy)
        else:
            host = "" if _is_dual(listener) and name[0] == "::" else name[0]
            address = Address(host, name[1], role=role, proxy=proxy)
        found.append((listener, address))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return found


def remove(address: Address) -> None:
    """Take the file of a unix socket away."""
    if address.path:
        with suppress(OSError):
            Path(address.path).unlink()
