# SPDX-License-Identifier: MIT
"""Listeners: opened once by the supervisor, inherited by every worker.

A worker can then die and be replaced without a refused connection.
"""

import os
import socket
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from askrctl.config import Address, parse_options
from askrctl.model import AskrError

BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn
SYSTEMD_FIRST_FD = 3  # sd_listen_fds(3)


def assign_roles(addresses: list[Address], has_tls: bool) -> list[Address]:
    """Which speak TLS: those marked so; when none is, every TCP one that does not redirect."""
    marked = any(address.role == "tls" for address in addresses)
    if marked and not has_tls:
        which = next(str(address) for address in addresses if address.role == "tls")
        hint = "--tls-cert FILE --tls-key FILE, or --tls-self-signed for development"
        what = f"the listener {which},tls needs a certificate"
        raise AskrError(what, hint, code=2, key="server.listen")
    if has_tls and not marked:
        addresses = [
            address if address.path or address.role else replace(address, role="tls")
            for address in addresses
        ]
    speaks_tls = any(address.role == "tls" for address in addresses)
    if has_tls and not speaks_tls:
        what = "there is a certificate and no listener for it"
        raise AskrError(what, "--listen :443", code=2, key="server.listen")
    if not speaks_tls and any(address.role == "redirect" for address in addresses):
        hint = "--listen :443,tls --tls-cert FILE --tls-key FILE"
        what = "a redirecting listener needs one that speaks TLS"
        raise AskrError(what, hint, code=2, key="server.listen")
    return addresses


def check_proxies(addresses: list[Address], trusted: tuple[str, ...]) -> None:
    """The PROXY protocol is taken from somebody, or it is a mistake to wait for it."""
    for address in addresses:
        if address.proxy and not trusted:
            hint = '[server] trusted_proxies = ["10.0.0.0/8"] in askr.toml: the networks of proxies'
            what = f"the listener {address},proxy needs somebody to trust"
            raise AskrError(what, hint, code=2, key="server.listen")


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
        what = f"{address.host!r} is not an address of this machine"
        raise AskrError(what, "ip -brief address, for those that are", code=2) from None
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
        role, proxy = parse_options(label) or ("", False)  # FileDescriptorName= of the socket unit
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
