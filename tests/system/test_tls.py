# SPDX-License-Identifier: MIT
"""TLS over a real socket: certificates, resumption, reloads, client certificates, redirects.

Every client here insists on close_notify: an answer that just stops is a failure.
"""

import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from system.cases import CASES, json_of
from system.certificates import Authority, Pair, key_pem, make_authority
from system.client import Connection, Secure, ask, build
from system.conftest import Serve, copy_app
from system.harness import Server, wait_until

LARGE = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello")
    (folder / "large.bin").write_bytes(LARGE)
    return folder


def port_of(server: Server, scheme: str) -> int:
    listeners: list[str] = server.status()["listeners"]
    url = next(text for text in listeners if text.startswith(f"{scheme}://"))
    return int(url.rstrip("/").rpartition(":")[2])


def shown(server: Server, client: ssl.SSLContext, name: str | None = None) -> bytes:
    """The certificate that a new client gets, as DER."""
    with Secure("127.0.0.1", server.port, client, name).connect() as stream:
        found = stream.getpeercert(binary_form=True)
    assert found is not None
    return found


def is_shown(server: Server, client: ssl.SSLContext, pair: Pair) -> bool:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text()) == shown(server, client)


# --- requests -------------------------------------------------------------------------------------


def test_requests_follow_each_other_and_pipeline(
    serve: Serve, root: Path, authority: Authority
) -> None:
    server = serve(root, *authority.issue("plain", "localhost").flags)
    address = Secure("127.0.0.1", server.port, authority.client(), "localhost")
    with Connection(address) as connection:
        for _ in range(3):
            assert connection.ask("GET", "/hello.txt").body == b"hello"
        connection.send(build("GET", "/hello.txt") * 20 + build("GET", "/large.bin"))
        for _ in range(20):
            assert connection.receive().body == b"hello"
        assert connection.receive().body == LARGE
        connection.send_bytewise(build("GET", "/hello.txt"))
        assert connection.receive().body == b"hello"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_megabyte_goes_up_and_down(
    serve: Serve, tmp_path: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    server = serve(copy_app("matrix", tmp_path), *authority.issue("php", "localhost").flags)
    client = authority.client()
    client.minimum_version = client.maximum_version = version
    address = Secure("127.0.0.1", server.port, client)
    with Connection(address) as connection:
        for _ in range(2):
            connection.send(build("POST", "/input", (), LARGE))
            taken = json_of(connection.receive())
            assert taken["size"] == len(LARGE)
            assert taken["sha256"] == hashlib.sha256(LARGE).hexdigest()
            connection.send(build("GET", f"/large?size={len(LARGE)}"))
            assert len(connection.receive().body) == len(LARGE)


@pytest.mark.parametrize("mode", ["classic", "worker"])
def test_php_keeps_its_rules_over_tls(serve: Serve, tmp_path: Path, mode: str) -> None:
    app = copy_app("matrix", tmp_path)
    flags = ["--worker-script", app / "public/worker.php"] if mode == "worker" else []
    server = serve(app, *flags, secure=True)
    server.wait_applications(4)
    for case in CASES:
        case(server)
    values = json_of(server.get("/globals"))["server"]
    assert (values["HTTPS"], values["REQUEST_SCHEME"]) == ("on", "https")
    assert values["SERVER_PORT"] == str(server.port)
    assert not [name for name in values if name.startswith(("SSL_CLIENT", "SSL_PROTOCOL"))]


def test_curl_gets_it_with_both_versions(serve: Serve, root: Path, authority: Authority) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed here")
    server = serve(root, *authority.issue("curl", "localhost").flags)
    for version in ("1.2", "1.3"):
        command = [curl, "-sS", "--cacert", str(authority.cert), f"--tlsv{version}"]
        command += ["--tls-max", version, f"https://localhost:{server.port}/hello.txt"]
        done = subprocess.run(command, capture_output=True, timeout=60)
        assert (done.stdout, done.stderr) == (b"hello", b"")


def test_plain_http_gets_a_400_in_clear_text(serve: Serve, root: Path) -> None:
    server = serve(root, secure=True)
    answer = ask(("127.0.0.1", server.port), "GET", "/hello.txt")
    assert answer.status == 400
    assert "https://" in answer.text
    assert answer.get("Connection") == "close"
    assert server.get("/hello.txt").body == b"hello"


def test_a_handshake_that_does_not_end_is_closed_in_time(serve: Serve, root: Path) -> None:
    server = serve(root, secure=True, config={"timeouts": {"handshake": 0.3}})
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert slow.recv(1) == b""
    assert server.status()["workers"][0]["timeouts"] == 2


def test_an_idle_connection_is_told_goodbye(serve: Serve, root: Path) -> None:
    server = serve(root, secure=True, config={"timeouts": {"keepalive": 0.3}})
    with server.connect() as connection:
        assert connection.ask("GET", "/hello.txt").body == b"hello"
        assert connection.is_closed_by_peer()  # without close_notify this would raise


# --- certificates ---------------------------------------------------------------------------------


def test_the_name_chooses_the_certificate_and_the_client_the_key(
    serve: Serve, root: Path, authority: Authority
) -> None:
    pairs = {
        "ec": authority.issue("a-ec", "a.example", "www.a.example"),
        "rsa": authority.issue("a-rsa", "a.example", "www.a.example", kind="rsa"),
        "other": authority.issue("b", "*.b.example"),
    }
    tables = [pair.table for pair in pairs.values()]
    config = {"tls": {"certificate": tables}}
    server = serve(root, config=config)
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    der = {key: ssl.PEM_cert_to_DER_cert(pair.cert.read_text()) for key, pair in pairs.items()}
    assert shown(server, authority.client(), "www.a.example") == der["ec"]
    assert shown(server, old, "a.example") == der["rsa"]
    assert shown(server, authority.client(), "x.b.example") == der["other"]
    assert shown(server, authority.client(), "unknown.example") == der["ec"]
    assert shown(server, authority.client()) == der["ec"]


def test_strict_names_refuse_an_unknown_one(serve: Serve, root: Path, authority: Authority) -> None:
    flags = authority.issue("strict", "known.example").flags
    server = serve(root, *flags, config={"tls": {"strict_names": True}})
    assert shown(server, authority.client(), "known.example")
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized"):
        shown(server, authority.client(), "unknown.example")


def test_an_expired_certificate_is_served_with_a_warning(
    serve: Serve, root: Path, authority: Authority
) -> None:
    server = serve(root, *authority.issue("old", "localhost", days=-1, age_days=90).flags)
    assert "expired on" in server.log
    address = Secure("127.0.0.1", server.port)
    assert ask(address, "GET", "/hello.txt").body == b"hello"


def test_an_encrypted_key_is_opened_with_its_passphrase(
    serve: Serve, root: Path, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.issue("locked", "localhost")
    pair.key.write_bytes(key_pem(pair.private, b"open sesame"))
    (tmp_path / "pass").write_text("open sesame\n")
    table = {**pair.table, "passphrase_file": str(tmp_path / "pass")}
    server = serve(root, config={"tls": {"certificate": [table]}})
    assert is_shown(server, authority.client(), pair)


# --- reload ---------------------------------------------------------------------------------------


def test_a_changed_file_is_served_and_a_broken_one_is_not(
    serve: Serve, root: Path, authority: Authority
) -> None:
    pair = authority.issue("renewed", "localhost")
    server = serve(root, *pair.flags, "--workers", "2")
    address = Secure("127.0.0.1", server.port, authority.client())
    with Connection(address) as connection:
        assert connection.ask("GET", "/hello.txt").body == b"hello"
        fresh = authority.issue("fresh", "localhost")
        fresh.write(pair)
        wait_until("the new one is shown", lambda: is_shown(server, authority.client(), fresh))
        pair.cert.write_text("rubbish")
        server.wait_log("event=tls_refused")
        assert "holds no certificate" in server.log
        assert ssl.PEM_cert_to_DER_cert(fresh.cert.read_text()) == shown(server, authority.client())
        last = authority.issue("last", "localhost")
        last.write(pair)
        wait_until("the last one is shown", lambda: is_shown(server, authority.client(), last))
        assert connection.ask("GET", "/hello.txt").body == b"hello", "it was never interrupted"
    assert server.status()["generation"] == 1


def test_hangup_reads_certificates_again(serve: Serve, root: Path, authority: Authority) -> None:
    pair = authority.issue("hangup", "localhost")
    server = serve(root, *pair.flags)
    pair.key.unlink()
    server.signal(signal.SIGHUP)
    server.wait_log("event=reload_refused")
    assert f"{pair.key} does not exist" in server.log
    assert is_shown(server, authority.client(), pair)
    fresh = authority.issue("hangup", "localhost")
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_ready generation=2")
    wait_until("the new one is shown", lambda: is_shown(server, authority.client(), fresh))


# --- sessions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_at_every_worker_and_after_a_reload(
    serve: Serve, root: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    server = serve(root, *authority.issue("tickets", "localhost").flags, "--workers", "2")
    client = authority.client()
    client.minimum_version = client.maximum_version = version
    session: ssl.SSLSession | None = None

    def visit() -> bool:
        nonlocal session
        address = Secure("127.0.0.1", server.port, client, "localhost", session)
        with Connection(address) as connection:
            assert connection.ask("GET", "/hello.txt").body == b"hello"
            assert isinstance(connection.stream, ssl.SSLSocket)
            session = connection.stream.session
            return bool(connection.stream.session_reused)

    def both_resumed() -> bool:
        visits.append(visit())
        return all(worker["tls_resumed"] > 0 for worker in server.status()["workers"])

    visits: list[bool] = []
    assert not visit()
    wait_until("both workers have resumed the session", both_resumed)
    assert all(visits)
    server.signal(signal.SIGHUP)
    server.wait_log("event=generation_gone generation=1")
    assert visit(), "the new generation has the same keys"


# --- client certificates --------------------------------------------------------------------------


def test_a_client_certificate_reaches_the_application(
    serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    config = {"tls": {"client_auth": "optional", "client_ca": str(authority.cert)}}
    flags = authority.issue("mutual", "localhost").flags
    server = serve(copy_app("matrix", tmp_path), *flags, config=config)
    ada = authority.issue("Ada")

    def seen(client: ssl.SSLContext) -> dict[str, str]:
        answer = ask(Secure("127.0.0.1", server.port, client), "GET", "/globals")
        values: dict[str, str] = json_of(answer)["server"]
        return values

    values = seen(authority.client(ada))
    assert values["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert values["SSL_CLIENT_S_DN"] == "CN=Ada,O=Askr"
    assert values["SSL_CLIENT_I_DN"] == "CN=Authority,O=Askr"
    assert int(values["SSL_CLIENT_M_SERIAL"], 16) == ada.certificate.serial_number
    der = ssl.PEM_cert_to_DER_cert(ada.cert.read_text())
    assert values["SSL_CLIENT_FINGERPRINT"] == hashlib.sha256(der).hexdigest()
    values = seen(authority.client())
    assert values["SSL_CLIENT_VERIFY"] == "NONE"
    assert "SSL_CLIENT_S_DN" not in values


def test_who_has_no_client_certificate_is_not_let_in(
    serve: Serve, root: Path, authority: Authority, tmp_path: Path
) -> None:
    config = {"tls": {"client_auth": "required", "client_ca": str(authority.cert)}}
    server = serve(root, *authority.issue("strict", "localhost").flags, config=config)
    stranger = make_authority(tmp_path / "strangers", "Strangers").issue("Eve")
    known = authority.client(authority.issue("Ada"))
    assert ask(Secure("127.0.0.1", server.port, known), "GET", "/hello.txt").body == b"hello"
    for client in (authority.client(), authority.client(stranger)):
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            ask(Secure("127.0.0.1", server.port, client), "GET", "/hello.txt")
    assert server.status()["workers"][0]["tls_failed"] == 2


# --- redirects, HSTS ------------------------------------------------------------------------------


def test_a_redirecting_listener_sends_everything_to_https(serve: Serve, root: Path) -> None:
    challenge = root / ".well-known/acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    listen = ["127.0.0.1:0,tls", "127.0.0.1:0,redirect"]
    config = {"tls": {"hsts": "max-age=31536000; includeSubDomains"}}
    server = serve(root, listen=listen, secure=True, config=config)
    clear = ("127.0.0.1", port_of(server, "http"))
    port = port_of(server, "https")
    answer = ask(clear, "GET", "/a%20b?c=d", [("Host", "shop.example:8080")])
    assert answer.status == 301
    assert answer.get("Location") == f"https://shop.example:{port}/a%20b?c=d"
    assert answer.get("Strict-Transport-Security") is None
    answer = ask(clear, "POST", "/form", [("Host", "[::1]:80")], b"a=b")
    assert (answer.status, answer.get("Location")) == (308, f"https://[::1]:{port}/form")
    assert ask(clear, "GET", "/.well-known/acme-challenge/token").body == b"proof"
    answer = ask(Secure("127.0.0.1", port), "GET", "/hello.txt")
    assert answer.get("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"


def test_a_marked_listener_leaves_the_others_in_clear(serve: Serve, root: Path) -> None:
    server = serve(root, listen=["127.0.0.1:0,tls", "127.0.0.1:0"], secure=True)
    assert ask(("127.0.0.1", port_of(server, "http")), "GET", "/hello.txt").body == b"hello"
    address = Secure("127.0.0.1", port_of(server, "https"))
    assert ask(address, "GET", "/hello.txt").body == b"hello"


# --- who has the key ------------------------------------------------------------------------------


def memory_holds(pid: int, secret: bytes) -> bool:
    """Is this anywhere in the process's memory?"""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(text, 16) for text in span.split("-"))
            if rights[0] != "r" or "[v" in line:  # vvar, vsyscall
                continue
            try:
                memory.seek(start)
                if secret in memory.read(end - start):
                    return True
            except (OSError, OverflowError):
                continue
    return False


def test_no_application_process_ever_sees_the_key(
    serve: Serve, tmp_path: Path, authority: Authority
) -> None:
    pair = authority.issue("secret", "localhost")
    server = serve(copy_app("matrix", tmp_path), *pair.flags)
    apps = server.wait_applications(4)
    address = Secure("127.0.0.1", server.port, authority.client())
    for _ in range(8):
        assert ask(address, "GET", "/globals").status == 200
    zygotes = {
        int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in apps
    }
    text = pair.key.read_bytes().splitlines()[1]
    for pid in (*apps, *zygotes):
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in links if "askr-tls" in link or str(pair.key) in link]
        assert "askr-tls" not in Path(f"/proc/{pid}/maps").read_text()
        assert pair.key.name.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert not memory_holds(pid, pair.secret())
        assert not memory_holds(pid, text)
    # The same search finds it where it has to be, so it can find it.
    assert all(memory_holds(pid, pair.secret()) for pid in server.workers())
    for pid in server.workers():
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [link for link in links if "askr-tls" in link], "closed once it was read"
