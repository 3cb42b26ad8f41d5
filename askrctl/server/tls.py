# SPDX-License-Identifier: MIT
"""Certificates and keys: read and checked by the supervisor, before anything is started.

What can be said in an operator's terms is said here, in one sentence with what to type next; what
only OpenSSL knows (a key it calls weak) it is asked for, by the code that the workers run. A key is
decrypted here and leaves this process only in a sealed memfd, to the workers (tls_store.py).
"""

import functools
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from askrctl import engine
from askrctl.config import Certificate, TlsConfig, to_blame
from askrctl.model import AskrError

if TYPE_CHECKING:
    from cryptography import x509

INSTALL_HINT = "apt-get install libssl-dev, then ./dev serve (or reinstall askrctl)"
SELF_SIGNED = "self-signed"
SELF_SIGNED_DAYS = 397  # what browsers accept at most


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain and its key, as PEM; the key is not encrypted."""

    source: str  # the file, or SELF_SIGNED
    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    def complaint(self, now: datetime) -> str:
        """What is wrong with its dates; "" when nothing is. It is served all the same."""
        if now > self.not_after:
            return f"the certificate {self.source} expired on {self.not_after:%Y-%m-%d %H:%M} UTC"
        if now < self.not_before:
            return f"the certificate {self.source} is valid from {self.not_before:%Y-%m-%d} only"
        return ""


@dataclass(frozen=True, slots=True)
class Tls:
    """Everything TLS that a configuration asks for, read and found fit."""

    config: TlsConfig
    identities: tuple[Identity, ...]
    client_ca: bytes
    files: tuple[Path, ...]  # to be watched


def wanted(config: TlsConfig) -> bool:
    """Does the configuration name a certificate?"""
    return bool(config.cert or config.key or config.self_signed or config.certificate)


def signature(files: Iterable[Path]) -> tuple[object, ...]:
    """Changes whenever one of the files does, also when a link in its path is turned elsewhere."""
    found: list[object] = []
    for path in files:
        try:
            facts = path.stat()
        except OSError as error:
            found.append(error.errno)
        else:
            found.append((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def load(config: TlsConfig) -> Tls | None:
    """Read and check all of it; None when no TLS is asked for."""
    if not wanted(config):
        return None
    if not engine.tls_built():
        raise AskrError("this askrctl was built without TLS", INSTALL_HINT, code=2)
    identities = []
    for item in _certificates(config):
        with to_blame(_named_in(config, item)):
            identities.append(_read_identity(item))
    if config.self_signed:
        identities.append(self_signed())
    files = [Path(name) for item in _certificates(config) for name in _files_of(item)]
    client_ca = b""
    if config.client_auth != "off":
        client_ca = _read_client_ca(config)
        files.append(Path(config.client_ca))
    return Tls(config, tuple(identities), client_ca, tuple(files))


def _certificates(config: TlsConfig) -> tuple[Certificate, ...]:
    if config.key and not config.cert:
        what = "there is a key without a certificate"
        raise AskrError(what, "--tls-cert FILE", code=2, key="tls.key")
    first = (Certificate(config.cert, config.key),) if config.cert else ()
    return first + config.certificate


def _named_in(config: TlsConfig, item: Certificate) -> str:
    """The setting that names a certificate."""
    if item not in config.certificate:
        return "tls.cert"
    return f"tls.certificate.{config.certificate.index(item) + 1}.cert"


def _files_of(item: Certificate) -> list[str]:
    return [name for name in (item.cert, item.key, item.passphrase_file) if name]


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        hint = f"ls -l {Path(path).parent}, or --tls-self-signed for development"
        raise AskrError(f"the {what} {path} does not exist", hint, code=2) from None
    except OSError as error:
        hint = f"ls -ld {path}"
        raise AskrError(
            f"the {what} {path} cannot be read: {error.strerror}", hint, code=2
        ) from None


def _parse_certificates(data: bytes, path: str) -> "list[x509.Certificate]":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        hint = f"openssl x509 -in {path} -noout -subject"
        raise AskrError(f"{path} holds no certificate in PEM form", hint, code=2) from None


def _read_passphrase(item: Certificate) -> bytes | None:
    if not item.passphrase_file:
        return None
    return _read(item.passphrase_file, "passphrase file").rstrip(b"\r\n")


def _decrypt(data: bytes, path: str, passphrase: bytes | None) -> tuple[bytes, bytes]:
    """The key as PKCS#8 without encryption, and its public half."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except TypeError:  # encrypted without a passphrase, or a passphrase for one that is not
        if passphrase is not None:
            return _decrypt(data, path, None)
        hint = f'passphrase_file = "FILE" in askr.toml, or openssl pkey -in {path} -out plain.key'
        raise AskrError(
            f"the private key {path} is encrypted and there is no passphrase for it", hint, code=2
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        if passphrase is not None and b"ENCRYPTED" in data:
            raise AskrError(
                f"the passphrase does not open the private key {path}",
                f"openssl pkey -in {path} -noout",
                code=2,
            ) from None
        hint = f"openssl pkey -in {path} -noout, or name another file with --tls-key"
        raise AskrError(f"{path} holds no private key in PEM form", hint, code=2) from None
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text, _public_bytes(key.public_key())


def _public_bytes(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    data: bytes = key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]
    return data


def _names_of(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(item.value) for item in common)
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def _make_identity(
    source: str, chain: "list[x509.Certificate]", data: bytes, key: bytes
) -> Identity:
    leaf = chain[0]
    return Identity(
        source, data, key, _names_of(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    )


def _read_identity(item: Certificate) -> Identity:
    data = _read(item.cert, "certificate")
    chain = _parse_certificates(data, item.cert)
    key_path = item.key or item.cert
    key_data = _read(item.key, "private key") if item.key else data
    if not item.key and b"PRIVATE KEY-----" not in data:
        raise AskrError(
            f"there is no private key for the certificate {item.cert}", "--tls-key FILE", code=2
        )
    key, public = _decrypt(key_data, key_path, _read_passphrase(item))
    if public != _public_bytes(chain[0].public_key()):
        hint = f"openssl x509 -in {item.cert} -noout -pubkey; openssl pkey -in {key_path} -pubout"
        raise AskrError(
            f"the private key {key_path} does not belong to the certificate {item.cert}",
            hint,
            code=2,
        )
    return _make_identity(item.cert, chain, _only_certificates(chain), key)


def _only_certificates(chain: "list[x509.Certificate]") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in chain)


def _read_client_ca(config: TlsConfig) -> bytes:
    if not config.client_ca:
        raise AskrError(
            f'it is "{config.client_auth}" and no authority is named',
            'client_ca = "FILE" below [tls] in askr.toml',
            code=2,
            key="tls.client_auth",
        )
    with to_blame("tls.client_ca"):
        data = _read(config.client_ca, "file of client authorities")
        return _only_certificates(_parse_certificates(data, config.client_ca))


@functools.cache
def self_signed() -> Identity:
    """For development: made once for each run of the server, kept nowhere."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "askrctl self-signed")])
    hosts = dict.fromkeys(["localhost", "*.localhost", socket.gethostname()])
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts if host.isascii()]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    return _make_identity(SELF_SIGNED, [certificate], chain, private)


def complaints(tls: Tls) -> list[str]:
    """Certificates that are served although their dates are wrong."""
    now = datetime.now(UTC)
    return [text for item in tls.identities if (text := item.complaint(now))]
