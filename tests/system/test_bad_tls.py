# SPDX-License-Identifier: MIT
"""TLS mistakes of an operator: one sentence that names the file, what to type next, exit code 2."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from system.certificates import Authority, Pair, key_pem, make_authority
from system.harness import COMMAND, run

MISUSE = 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("hello")
    return tmp_path / "site"


def refused(folder: Path, *arguments: str, listen: str = "127.0.0.1:0", toml: str = "") -> str:
    """The sentence and the hint, each checked to be there."""
    config = folder.parent / "askr.toml"
    config.write_text(toml)
    done = run("serve", folder, f"--listen={listen}", "--config", config, *arguments)
    assert done.returncode == MISUSE, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    sentence, hint = done.stderr.strip().splitlines()
    assert sentence.startswith("askrctl: ")
    assert hint.startswith("hint: ")
    return done.stderr


def break_missing(pair: Pair) -> None:
    pair.cert.unlink()


def break_key_missing(pair: Pair) -> None:
    pair.key.unlink()


def break_cert_text(pair: Pair) -> None:
    pair.cert.write_text("no certificate")


def break_key_text(pair: Pair) -> None:
    pair.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def break_encrypted(pair: Pair) -> None:
    pair.key.write_bytes(key_pem(pair.private, b"secret"))


def break_folder(pair: Pair) -> None:
    pair.cert.unlink()
    pair.cert.mkdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_missing, "does not exist"),
        (break_key_missing, "does not exist"),
        (break_cert_text, "holds no certificate in PEM form"),
        (break_key_text, "holds no private key in PEM form"),
        (break_encrypted, "is encrypted and there is no passphrase"),
        (break_folder, "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used(
    folder: Path,
    tmp_path: Path,
    authority: Authority,
    damage: Callable[[Pair], None],
    says: str,
) -> None:
    pair = Authority(tmp_path, authority.certificate, authority.key).issue("bad", "localhost")
    damage(pair)
    said = refused(folder, *pair.flags)
    assert says in said
    assert str(pair.cert) in said or str(pair.key) in said


def test_a_file_without_permission(folder: Path, tmp_path: Path, authority: Authority) -> None:
    pair = Authority(tmp_path, authority.certificate, authority.key).issue("bad", "localhost")
    pair.key.chmod(0)
    # Root reads everything by two capabilities; without them it is a user like others.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*(as_others if os.geteuid() == 0 else []), COMMAND, "serve", str(folder)]
    command += ["--listen=127.0.0.1:0", *pair.flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == MISUSE, done.stderr
    assert f"the private key {pair.key} cannot be read: Permission denied" in done.stderr


def test_a_key_of_another_certificate(folder: Path, authority: Authority) -> None:
    one, other = authority.issue("one", "localhost"), authority.issue("other", "localhost")
    said = refused(folder, f"--tls-cert={one.cert}", f"--tls-key={other.key}")
    assert f"the private key {other.key} does not belong to the certificate {one.cert}" in said


def test_a_certificate_without_a_key(folder: Path, authority: Authority) -> None:
    pair = authority.issue("alone", "localhost")
    assert "--tls-key FILE" in refused(folder, f"--tls-cert={pair.cert}")
    assert "--tls-cert FILE" in refused(folder, f"--tls-key={pair.key}")


def test_a_passphrase_that_is_wrong(folder: Path, tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("locked", "localhost")
    pair.key.write_bytes(key_pem(pair.private, b"right"))
    (tmp_path / "pass").write_text("wrong")
    toml = f'[[tls.certificate]]\ncert = "{pair.cert}"\nkey = "{pair.key}"\n'
    said = refused(folder, toml=f'{toml}passphrase_file = "{tmp_path / "pass"}"\n')
    assert f"the passphrase does not open the private key {pair.key}" in said


def test_listeners_and_certificates_that_do_not_fit(folder: Path) -> None:
    assert "needs a certificate" in refused(folder, listen="127.0.0.1:0,tls")
    said = refused(folder, listen="127.0.0.1:0,redirect")
    assert "needs one that speaks TLS" in said
    said = refused(folder, "--tls-self-signed", listen=f"unix:{folder.parent}/sock")
    assert "no listener for it" in said
    assert "is not tls or redirect" in refused(folder, listen="127.0.0.1:0,tsl")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('client_auth = "required"', "no authority is named"),
        ('client_auth = "required"\nclient_ca = "/none.pem"', "/none.pem does not exist"),
        ('client_auth = "sometimes"', '"off" or "optional" or "required"'),
        ('min_version = "1.1"', '"1.2" or "1.3"'),
        ('hsts = "for ever"', "max-age=31536000"),
        ('cret = "x"', "did you mean cert?"),
        ('certificate = [{ key = "x" }]', "has no cert"),
        ('certificate = [{ cert = "x", kye = "y" }]', "did you mean key?"),
    ],
)
def test_settings_that_do_not_fit(folder: Path, toml: str, says: str) -> None:
    config = folder.parent / "askr.toml"
    config.write_text(f"[tls]\nself_signed = true\n{toml}\n")
    done = run("serve", folder, "--listen=127.0.0.1:0", "--config", config)
    assert done.returncode == MISUSE, done.stderr
    assert says in done.stderr
