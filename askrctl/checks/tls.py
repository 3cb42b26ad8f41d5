# SPDX-License-Identifier: MIT
"""Checks of certificates: those that the server has, and those named with --certificate.

Thresholds are shares of a certificate's life, so that they fit 90 days as well as 6.
"""

import datetime
from typing import Any

from askrctl.checks import remedy
from askrctl.checks.frame import Answer, Check, Context, fail, ok, warn
from askrctl.model import Wanted
from askrctl.probes.host import CannotTell, NotApplicable


def _facts(context: Context, path: str, key: str) -> dict[str, Any]:
    """What cryptography reads out of a PEM file; {"failed": ...} when it cannot."""

    def ask() -> dict[str, Any]:
        from askrctl.probes import certificate

        try:
            text = context.host.read_secret(path)  # the file may hold the key as well
            key_text = context.host.read_secret(key) if key else ""
        except FileNotFoundError:
            return {"failed": "it does not exist, or its key does not"}
        return certificate.read(text, key_text)

    found: dict[str, Any] = context.host.probe(f"certificate {path}", ask)
    return found


def _each(judge: Any) -> Any:
    def all_of_them(context: Context) -> list[Answer]:
        if not context.certificates:
            raise NotApplicable("the server has none, and none was named: --certificate CERT.pem")
        return [
            _one(judge, context, certificate, key).to(certificate)
            for certificate, key in context.certificates
        ]

    return all_of_them


def _one(judge: Any, context: Context, path: str, key: str) -> Answer:
    facts = _facts(context, path, key)
    if "failed" in facts:
        return fail(
            str(facts["failed"]),
            path,
            fix=remedy.by_hand(f"openssl x509 -noout -in {path}; then name another file in [tls]"),
        )
    answer: Answer = judge(context, facts, key)
    return answer


def _expiry(context: Context, facts: dict[str, Any], _: str) -> Answer:
    now = datetime.datetime.fromtimestamp(context.host.now(), datetime.UTC)
    begins = datetime.datetime.fromisoformat(facts["not_before"])
    ends = datetime.datetime.fromisoformat(facts["not_after"])
    life, left = (ends - begins).total_seconds(), (ends - now).total_seconds()
    days = round(left / 86400, 1)
    fix = remedy.by_hand("renew it, and look at the timer that should have done so")
    if now < begins:
        return fail(f"valid from {begins:%Y-%m-%d} on only: is the clock right?", days, fix=fix)
    if left <= 0:
        return fail(f"expired on {ends:%Y-%m-%d}", days, unit="days", fix=fix)
    if left < life / 10 or left < 48 * 3600:
        sentence = f"expires on {ends:%Y-%m-%d}: a tenth of its life is left, or less"
        return fail(sentence, days, unit="days", fix=fix)
    if left < life / 3:
        sentence = f"expires on {ends:%Y-%m-%d}: it should have been renewed by now"
        return warn(sentence, days, unit="days", fix=fix)
    return ok(days, f"until {ends:%Y-%m-%d}", unit="days")


def _chain(_: Context, facts: dict[str, Any], __: str) -> Answer:
    if facts["self_signed"]:
        return warn(
            "signed by itself: browsers refuse it",
            facts["issuer"],
            fix=remedy.by_hand("a certificate of an authority, such as Let's Encrypt's"),
        )
    if facts["chain"] == "broken":
        return warn(
            "the certificates that follow did not sign it",
            facts["issuer"],
            fix=remedy.by_hand("append the authority's intermediate certificates: fullchain.pem"),
        )
    if facts["chain"] == "missing":
        fix = remedy.by_hand("use fullchain.pem: the certificate, then those that signed it")
        return warn("the issuer's certificate is not in the file: phones fail", fix=fix)
    return ok(f"{facts['count']} certificates")


def _key_match(_: Context, facts: dict[str, Any], key: str) -> Answer:
    if not key:
        raise NotApplicable("no key is known that can be read: --certificate CERT.pem,KEY.pem")
    if facts["key"] == "encrypted":
        return fail(
            "the key is encrypted: nobody can type its passphrase at a start",
            key,
            fix=remedy.by_hand(
                "passphrase_file of the [[tls.certificate]], or openssl pkey to store it in clear"
            ),
        )
    if facts["key"] != "match":
        return fail(
            "the key is not that of the certificate",
            key,
            fix=remedy.by_hand("the key that belongs to it, or a new certificate for this key"),
        )
    return ok(key)


def _key_perm(context: Context, _: dict[str, Any], key: str) -> Answer:
    if not key:
        raise NotApplicable("no key is known that can be read: --certificate CERT.pem,KEY.pem")

    def ask() -> int:
        import os

        return os.stat(key).st_mode & 0o777

    mode = int(context.host.probe(f"mode {key}", ask))
    if mode & 0o007:
        fix = remedy.by_hand(f"chmod 640 {key}")
        return warn("every user of this machine can read the key", f"{mode:o}", fix=fix)
    return ok(f"{mode:o}")


def _strength(_: Context, facts: dict[str, Any], __: str) -> Answer:
    if facts["kind"] == "RSA" and facts["bits"] < 2048:
        wanted = Wanted(">=", 2048)
        return fail(
            "browsers refuse RSA below 2048 bits",
            facts["bits"],
            wanted=wanted,
            fix=remedy.by_hand(
                "a new key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
            ),
        )
    if facts["hash"] in ("sha1", "md5"):
        return fail(
            "browsers refuse this signature",
            facts["hash"],
            fix=remedy.by_hand("have it issued again: every authority signs with SHA-256 now"),
        )
    return ok(f"{facts['kind']} {facts['bits']}, {facts['hash']}")


def _names(_: Context, facts: dict[str, Any], __: str) -> Answer:
    if not facts["names"]:
        return warn(
            "it names no host (subjectAltName): browsers look nowhere else",
            fix=remedy.by_hand("have it issued again, with the names in subjectAltName"),
        )
    return ok(", ".join(facts["names"][:5]))


def _library(context: Context) -> Answer:
    def ask() -> str:
        import ssl

        return ssl.OPENSSL_VERSION

    text = str(context.host.probe("openssl", ask))
    words = text.split()
    if len(words) < 2:
        raise CannotTell("the library does not say its version")
    if words[0] == "OpenSSL" and words[1].split(".")[0].isdigit() and int(words[1][0]) < 3:
        return warn(
            "OpenSSL 1 is no longer mended; the server needs 3.0",
            words[1],
            fix=remedy.by_hand("a release of the distribution that has OpenSSL 3"),
        )
    return ok(text)


def _check(name: str, title: str, judge: Any) -> Check:
    return Check(f"tls.{name}", title, _each(judge), "file")


CHECKS = (
    _check("cert_expiry", "Certificate's life", _expiry),
    _check("chain", "Certificate's chain", _chain),
    _check("key_match", "Key fits the certificate", _key_match),
    _check("key_perm", "Key is private", _key_perm),
    _check("names", "Names in the certificate", _names),
    _check("strength", "Strength of the certificate", _strength),
    Check("tls.library", "TLS library", _library),
)
