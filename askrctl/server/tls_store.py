# SPDX-License-Identifier: MIT
"""What workers are handed: certificates, keys and ticket keys in a sealed memfd, and its upkeep.

The layout is that of engine/proto/tls.h. One memfd replaces another as a whole: when a file has
changed, when the ticket keys are rotated. Zygote and applications never see one: it is passed by
number to workers alone, and closed on every other exec.
"""

import fcntl
import logging
import os
import secrets
import struct
import time

from askrctl import engine
from askrctl.model import AskrError
from askrctl.server import tls as certificates
from askrctl.server.tls import Tls

log = logging.getLogger("askrctl")

MAGIC = b"ASKRTLS1"
OPTIONS, CERTIFICATE, KEY, CLIENT_CA, TICKET_KEY = 1, 2, 3, 4, 5  # enum tls_record_kind
VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
CLIENT_AUTH = {"off": 0, "optional": 1, "required": 2}
TICKET_KEY_SIZE = 16 + 32 + 32
WATCH_PERIOD_S = 1.0


def encode(tls: Tls, ticket_keys: list[bytes]) -> bytes:
    """The store as the engine reads it."""
    config = tls.config
    options = struct.pack(
        "=IIII",
        VERSIONS[config.min_version],
        CLIENT_AUTH[config.client_auth],
        int(config.strict_names),
        round(config.ticket_lifetime),
    )
    records = [(OPTIONS, options)]
    if tls.client_ca:
        records.append((CLIENT_CA, tls.client_ca))
    records += [(TICKET_KEY, key) for key in ticket_keys]
    for item in tls.identities:
        records += [(CERTIFICATE, item.chain), (KEY, item.key)]
    parts = [struct.pack("=II", kind, len(body)) + body for kind, body in records]
    return MAGIC + b"".join(parts)


def seal(data: bytes) -> int:
    """A memfd that holds these bytes and cannot be changed any more (memfd_create(2))."""
    fd = os.memfd_create("askr-tls", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        fcntl.fcntl(
            fd,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL,
        )
    except OSError:
        os.close(fd)
        raise
    return fd


def check(tls: Tls) -> None:
    """Would a worker take it? Asks the code that a worker runs."""
    sentence = engine.check_tls(encode(tls, []))
    if sentence:
        names = ", ".join(item.source for item in tls.identities)
        hint = "openssl x509 -noout -text -in FILE"
        raise AskrError(f"{sentence} ({names})", hint, code=2, key="tls.cert")


class TlsKeeper:
    """The current store, and when it has to be another one."""

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.fd = -1
        self._ticket_keys = [secrets.token_bytes(TICKET_KEY_SIZE)]
        self._rotated = self._watched = time.monotonic()
        self._signature = self._seen = certificates.signature(tls.files)
        self._renew()
        _log_loaded(tls)

    def _renew(self) -> None:
        before, self.fd = self.fd, seal(encode(self.tls, self._ticket_keys))
        if before >= 0:
            os.close(before)

    def install(self, tls: Tls) -> None:
        """Serve with these from now on; sessions can still be resumed."""
        self.tls = tls
        self._signature = self._seen = certificates.signature(tls.files)
        self._renew()
        _log_loaded(tls)

    def poll(self) -> bool:
        """Look at clock and files now and then. True: there is a new store for the workers."""
        now = time.monotonic()
        if now - self._watched < WATCH_PERIOD_S:
            return False
        self._watched = now
        rotated = self._rotate(now)
        return self._reread() or rotated

    def _rotate(self, now: float) -> bool:
        """A ticket is good for its whole lifetime: the key before the last one still opens."""
        if now - self._rotated < self.tls.config.ticket_lifetime:
            return False
        self._rotated = now
        self._ticket_keys = [secrets.token_bytes(TICKET_KEY_SIZE), self._ticket_keys[0]]
        self._renew()
        log.info("event=tls_tickets_rotated")
        return True

    def _reread(self) -> bool:
        """A file that changes is read when it has been left alone for a period."""
        seen = certificates.signature(self.tls.files)
        quiet, self._seen = seen == self._seen, seen
        if not quiet or seen == self._signature:
            return False
        self._signature = seen
        try:
            fresh = certificates.load(self.tls.config)
            assert fresh is not None
            check(fresh)
        except AskrError as error:
            log.error('event=tls_refused detail="%s" fix="%s"', error.message, error.hint)
            return False
        self.install(fresh)
        return True

    def close(self) -> None:
        os.close(self.fd)


def _log_loaded(tls: Tls) -> None:
    names = " ".join(name for item in tls.identities for name in item.names)
    log.info('event=tls_loaded certificates=%d names="%s"', len(tls.identities), names)
    for sentence in certificates.complaints(tls):
        log.warning('event=tls_dates detail="%s" fix="renew it"', sentence)
