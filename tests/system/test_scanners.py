# SPDX-License-Identifier: MIT
"""What sslscan finds of a server with an ECDSA and an RSA certificate: nothing to say."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from system.certificates import make_authority
from system.conftest import Serve

FORWARD_SECRET = ("TLS_", "ECDHE-ECDSA-", "ECDHE-RSA-")
AUTHENTICATED = ("GCM-SHA256", "GCM-SHA384", "CHACHA20-POLY1305")
TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


@pytest.fixture
def scan(serve: Serve, tmp_path: Path, require: Callable[[bool, str], None]) -> Xml.Element:
    tool = shutil.which("sslscan")
    require(tool is not None, "sslscan")
    root = tmp_path / "root"
    root.mkdir()
    authority = make_authority(tmp_path / "authority")
    pairs = [authority.issue(kind, "localhost", "127.0.0.1", kind=kind) for kind in ("ec", "rsa")]
    more = {"tls": pairs[0].table, "tls.certificate": [pairs[1].table]}
    server = serve(root, config=more)
    said = subprocess.run(
        [str(tool), "--xml=-", "--sni-name=localhost", f"127.0.0.1:{server.port}"],
        capture_output=True,
        timeout=120,
        check=True,
    )
    found = Xml.fromstring(said.stdout).find("ssltest")
    assert found is not None, said.stdout
    return found


def test_sslscan_finds_nothing(scan: Xml.Element) -> None:
    enabled = {
        (item.get("type"), item.get("version"))
        for item in scan.iter("protocol")
        if item.get("enabled") == "1"
    }
    assert enabled == {("tls", "1.2"), ("tls", "1.3")}
    assert [item.get("supported") for item in scan.iter("renegotiation")] == ["0"]
    bleeding = [item.get("vulnerable") for item in scan.iter("heartbleed")]
    assert bleeding == ["0", "0"]
    assert not [item for item in scan.iter("compression") if item.get("supported") != "0"]

    ciphers = [(item.get("cipher") or "", item.get("strength")) for item in scan.iter("cipher")]
    names = {name for name, _ in ciphers}
    assert names.issuperset(TLS13)
    older = names.difference(TLS13)
    assert {name.split("-")[1] for name in older} == {"ECDSA", "RSA"}  # both certificates
    assert all(name.startswith(FORWARD_SECRET) for name in older)
    assert all(name.endswith(AUTHENTICATED) for name in older)
    assert {strength for _, strength in ciphers} <= {"strong", "acceptable"}
    assert all(int(item.get("bits") or 0) >= 128 for item in scan.iter("group"))
    assert {item.text for item in scan.iter("expired")} == {"false"}
    assert {item.get("error") for item in scan.iter("pk")} == {"false"}
    assert all("sha256" in (item.text or "").lower() for item in scan.iter("signature-algorithm"))
