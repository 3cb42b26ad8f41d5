# SPDX-License-Identifier: MIT
"""Facts of a certificate file: its life, names, strength, chain, and whether a key is its own."""

from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)


def read(text: str, key_text: str = "") -> dict[str, Any]:
    """The first certificate of a PEM file, and what the others are to it."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        return {"failed": f"no certificate can be read: {error}"}
    leaf, others = found[0], found[1:]
    key = leaf.public_key()
    return {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "not_before": leaf.not_valid_before_utc.isoformat(),
        "not_after": leaf.not_valid_after_utc.isoformat(),
        "names": _names(leaf),
        "kind": _kind(key),
        "bits": getattr(key, "key_size", 256),
        "hash": leaf.signature_hash_algorithm.name if leaf.signature_hash_algorithm else "none",
        "self_signed": leaf.issuer == leaf.subject,
        "chain": _chain(leaf, others),
        "count": len(found),
        "key": _key(key, key_text) if key_text else "none",
    }


def _kind(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ECDSA"
    return "EdDSA" if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)) else "other"


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName)] + [
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    ]


def _chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> str:
    """Each certificate is signed by the one that follows it."""
    if not others:
        return "missing"
    for child, parent in zip([leaf, *others], others, strict=False):
        try:
            child.verify_directly_issued_by(parent)
        except (ValueError, TypeError, InvalidSignature):
            return "broken"
    return "complete"


def _key(public: Any, key_text: str) -> str:
    try:
        private: Any = load_pem_private_key(key_text.encode(), None)
    except TypeError:
        return "encrypted"
    except ValueError:
        return "unreadable"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    same = private.public_key().public_bytes(*form) == public.public_bytes(*form)
    return "match" if same else "other"
