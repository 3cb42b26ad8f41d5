# SPDX-License-Identifier: MIT
"""Authorities, certificates and keys for the tests, made anew each time and written as PEM."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Askr"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common),
        ]
    )


def new_key(kind: str) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key, passphrase: bytes | None = None) -> bytes:
    form: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        form = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in files."""

    cert: Path
    key: Path
    certificate: x509.Certificate
    private: Key

    @property
    def flags(self) -> list[str]:
        return [f"--tls-cert={self.cert}", f"--tls-key={self.key}"]

    @property
    def table(self) -> dict[str, str]:
        return {"cert": str(self.cert), "key": str(self.key)}

    def secret(self) -> bytes:
        """Bytes that are in the memory of whoever holds the key."""
        numbers = self.private.private_numbers()
        if isinstance(numbers, rsa.RSAPrivateNumbers):
            return numbers.p.to_bytes(128, "little")
        return numbers.private_value.to_bytes(32, "little")

    def write(self, target: "Pair") -> None:
        """Put these in the place of another pair, key first, as a renewal does."""
        for source, path in ((self.key, target.key), (self.cert, target.cert)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(source.read_bytes())
            fresh.rename(path)


@dataclass(frozen=True, slots=True)
class Authority:
    folder: Path
    certificate: x509.Certificate
    key: Key

    @property
    def cert(self) -> Path:
        return self.folder / "authority.pem"

    def issue(
        self, label: str, *names: str, kind: str = "ec", days: float = 30.0, age_days: float = 1.0
    ) -> Pair:
        """`label` names the files and the subject; `names` are hosts and addresses."""
        key = new_key(kind)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(label))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=age_days))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if names:
            hosts: list[x509.GeneralName] = [
                x509.IPAddress(ip_address(text)) if text[0].isdigit() else x509.DNSName(text)
                for text in names
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pair = Pair(self.folder / f"{label}.pem", self.folder / f"{label}.key", certificate, key)
        pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(key_pem(key))
        return pair

    def client(self, presenting: Pair | None = None) -> ssl.SSLContext:
        """A client that trusts this authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.cert)
        context.check_hostname = False
        if presenting is not None:
            context.load_cert_chain(presenting.cert, presenting.key)
        return context


def make_authority(folder: Path, label: str = "Authority") -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    key = new_key("ec")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name(label))
        .issuer_name(name(label))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(folder, certificate, key)
    authority.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return authority
