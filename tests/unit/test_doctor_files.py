# SPDX-License-Identifier: MIT
"""Bundles, comparisons of reports, rules of sysctl files, units, certificates, the manual page."""

import datetime
import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from askrctl.checks import ALL, tls
from askrctl.checks.frame import Context, Server, run_one
from askrctl.cli import command_tree, doctor_bundle, doctor_diff
from askrctl.cli.doctor_context import Words, _listeners, build
from askrctl.config import Config, ServerConfig
from askrctl.model import AskrError, Status
from askrctl.probes import certificate, machine, process, sysctl_files
from askrctl.probes.host import Host, Recorder, open_host
from askrctl.server.plan import place_workers

ROOT = Path(__file__).parents[2]


def make_tree(root: Path, files: dict[str, str], probe: dict[str, Any] | None = None) -> Host:
    for path, text in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (root / ".probe.json").write_text(json.dumps(probe or {}))
    return open_host(root)


def test_a_server_on_all_addresses_is_not_taken_for_one_of_this_machine_alone() -> None:
    everywhere = {"listeners": ["http://localhost:80/"], "addresses": [":80"]}
    assert not any(item.is_local for item in _listeners(Config(), everywhere))
    alone = {"listeners": ["http://127.0.0.1:80/"], "addresses": ["127.0.0.1:80"]}
    assert all(item.is_local for item in _listeners(Config(), alone))
    older = {"listeners": ["http://127.0.0.1:80/"]}
    assert all(item.is_local for item in _listeners(Config(), older))


# --- bundles --------------------------------------------------------------------------------------


def test_a_bundle_replays_what_was_read(tmp_path: Path) -> None:
    recorder = Recorder(
        files={"/proc/sys/net/x": "7\n", "/etc/machine-id": "secret-id\n"},
        links={"/proc/self/ns/pid": "pid:[4026531836]"},
        probes={"php": {"version": "8.2"}},
        listed={"/sys/class/net/*": ["/sys/class/net/eth0"]},
    )
    files = doctor_bundle.tree(recorder, 5.0, {"root"}, redact=True)
    path = tmp_path / "b.tar.gz"
    doctor_bundle.write(path, files, recorder.links, 5.0)
    with doctor_bundle.opened(path) as folder:
        host = open_host(folder)
        assert host.read("/proc/sys/net/x") == "7"
        assert host.link("/proc/self/ns/pid") == "pid:[4026531836]"
        assert host.probe("php", dict) == {"version": "8.2"}
        assert host.glob("/sys/class/net/*") == ["/sys/class/net/eth0"]
        assert "secret-id" not in host.read("/etc/machine-id")
    assert not folder.exists()


def test_secrets_do_not_leave_the_machine() -> None:
    clean = doctor_bundle.redact_file
    assert clean("/proc/1/environ", "PASSWORD=x\0container=lxc\0", set()) == "container=lxc"
    users = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
    assert "alice" not in clean("/etc/passwd", users, {"root"})
    assert "hunter2" not in clean("/etc/askr/askr.toml", "db_password = hunter2\n", set())
    for value in ('["x-any=hunter2"]', "[\n 'a=b]c', # x\n 'x=hunter2',\n]", '"x=hunter2"'):
        found = clean("/etc/askr/askr.toml", f"[trace]\nheaders = {value}\nratio = 1\n", set())
        assert found == '[trace]\nheaders = ["x=redacted"]\nratio = 1\n'
    assert "10.0.0.1" not in clean("/etc/resolv.conf", "nameserver 10.0.0.1\n", set())
    job = "0 3 * * * backup --token abc\n0 4 * * * echo 3 > /proc/sys/vm/drop_caches\n"
    assert clean("/etc/crontab", job, set()) == "0 4 * * * echo 3 > /proc/sys/vm/drop_caches"
    answer = {"ini": {"session.save_path": "tcp://10.0.0.1?auth=hunter2"}}
    assert "hunter2" not in json.dumps(doctor_bundle.redact_value(answer))


def hostile(path: Path, *entries: tuple[str, str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            if kind == "link":
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content.encode()))
    return path


def test_a_bundle_cannot_read_outside_of_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine\n")
    links = hostile(
        tmp_path / "a.tar.gz",
        (".probe.json", "file", "{}"),
        ("etc/machine-id", "link", str(secret)),
        ("etc/up", "link", "../../../../../../../.." + str(secret)),
    )
    with doctor_bundle.opened(links) as folder:
        host = open_host(folder)
        assert host.get("/etc/machine-id") == "" and host.get("/etc/up") == ""


@pytest.mark.parametrize(
    "entries",
    [
        [("../../evil", "file", "x")],
        [("/evil", "file", "x")],
        [("way", "link", "{outside}"), ("way/evil", "file", "x")],
        [("evil", "link", "{outside}/evil"), ("evil", "file", "x")],
        [("way", "link", "{outside}"), ("way/evil", "link", "/etc/passwd")],
        [("../evil", "link", "/etc/passwd")],
    ],
)
def test_a_bundle_writes_nothing_outside_of_itself(
    tmp_path: Path, entries: list[tuple[str, str, str]]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    here = [(name, kind, content.format(outside=outside)) for name, kind, content in entries]
    climbing = hostile(tmp_path / "b.tar.gz", *here)
    with pytest.raises(AskrError, match="not a bundle"), doctor_bundle.opened(climbing):
        pass
    assert not list(outside.iterdir())


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00 cut"])
def test_what_is_no_bundle_is_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(data)
    with pytest.raises(AskrError, match="not a bundle"), doctor_bundle.opened(path):
        pass


# --- comparing ------------------------------------------------------------------------------------


def row(name: str, status: str, current: Any) -> dict[str, Any]:
    return {"id": name, "instance": None, "status": status, "current": current, "because": "why"}


def test_reports_are_compared_by_what_was_found() -> None:
    one = {"results": [row("net.a", "ok", 1), row("net.b", "ok", 2), row("cpu.psi", "ok", 1.5)]}
    two = {"results": [row("net.a", "ok", 1), row("net.b", "fail", 1), row("cpu.psi", "ok", 3.5)]}
    changes = doctor_diff.compare(one, two)
    assert [change["id"] for change in changes] == ["net.b"]
    assert list(doctor_diff.lines(changes)) == [
        "net.b: ok (2) -> fail (1)",
        "    why",
        "1 differences",
    ]
    assert doctor_diff.compare(one, {"results": []})[0]["after"] is None
    assert list(doctor_diff.lines([])) == ["no difference"]


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(AskrError, match="no report"):
        doctor_diff.load(tmp_path / "a.json")


# --- sysctl files ---------------------------------------------------------------------------------


def test_the_winner_of_a_sysctl_is_the_last_by_name(tmp_path: Path) -> None:
    host = make_tree(
        tmp_path,
        {
            "/usr/lib/sysctl.d/50-default.conf": "net.core.somaxconn = 1\n",
            "/etc/sysctl.d/60-askr.conf": "net.core.somaxconn=2\n",
            "/run/sysctl.d/70-run.conf": "net/core/somaxconn = 3\n",
            "/etc/sysctl.conf": "# comment\n-net.core.somaxconn = 4\n",
            "/etc/sysctl.d/99-zz.conf": "net.ipv4.conf.*.rp_filter = 2\n",
        },
    )
    (tmp_path / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    setters = sysctl_files.setters(sysctl_files.assignments(host), "net.core.somaxconn")
    assert [item.value for item in setters] == ["1", "2", "3", "4"]
    assert setters[-1].place == "/etc/sysctl.d/99-sysctl.conf:2"
    found = sysctl_files.assignments(host)
    assert sysctl_files.setters(found, "net.ipv4.conf.eth0.rp_filter")[0].value == "2"


def test_a_folder_shadows_another_and_a_link_to_null_masks(tmp_path: Path) -> None:
    host = make_tree(
        tmp_path,
        {
            "/usr/lib/sysctl.d/10-a.conf": "vm.swappiness = 1\n",
            "/etc/sysctl.d/10-a.conf": "vm.swappiness = 2\n",
            "/usr/lib/sysctl.d/20-b.conf": "vm.swappiness = 3\n",
        },
    )
    (tmp_path / "etc/sysctl.d/20-b.conf").symlink_to("/dev/null")
    found = sysctl_files.setters(sysctl_files.assignments(host), "vm.swappiness")
    assert [item.value for item in found] == ["2"]


def test_sysctl_conf_counts_last_without_systemd(tmp_path: Path) -> None:
    files = {"/etc/sysctl.conf": "a.b = 1\n", "/etc/sysctl.d/99-z.conf": "a.b = 2\n"}
    host = make_tree(tmp_path, files)
    assert sysctl_files.setters(sysctl_files.assignments(host), "a.b")[-1].value == "1"
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert sysctl_files.setters(sysctl_files.assignments(host), "a.b")[-1].value == "2"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("net.ipv4.tcp_rmem", "net.ipv4.tcp_rmem"),
        ("net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem"),
        ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"),
        ("-net.ipv4.x", "net.ipv4.x"),
    ],
)
def test_both_spellings_of_a_key_are_one(written: str, key: str) -> None:
    assert sysctl_files.normal(written) == key


# --- processes, units, cgroups --------------------------------------------------------------------


def test_limits_of_a_process_are_read_by_column() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            1024                 524288               files     \n"
        "Max locked memory         8388608              unlimited            bytes     \n"
    )
    assert process.parse_limits(text) == {"nofile": (1024, 524288), "memlock": (8388608, -1)}


def test_drop_ins_of_a_unit_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    host = make_tree(
        tmp_path,
        {
            "/usr/lib/systemd/system/askr.service": "[Service]\nUser=askr\nLimitNOFILE=1024\n",
            "/etc/systemd/system/askr.service.d/60-askr.conf": "[Service]\nLimitNOFILE=65536\n",
            "/etc/systemd/system/askr.service.d/90-ours.conf": (
                "[Service]\n# LimitNOFILE=1\nLimitMEMLOCK=64M\n"
                "AmbientCapabilities=CAP_A CAP_B\nAmbientCapabilities=\n"
                "AmbientCapabilities=CAP_NET_BIND_SERVICE \\\n  CAP_IPC_LOCK\n"
            ),
            "/etc/passwd": "askr:x:990:991::/srv:/bin/false\n",
            "/etc/group": "uring:x:500:askr\n",
        },
    )
    target = process.of_unit(host, "askr.service")
    assert (target.uid, target.gid, target.groups) == (990, 991, (991, 500))
    assert target.limits["nofile"] == (65536, 65536)
    assert target.limits["memlock"] == (64 << 20, 64 << 20)
    assert target.capabilities == {"CAP_NET_BIND_SERVICE", "CAP_IPC_LOCK"}
    assert target.context == "simulated"


@pytest.mark.parametrize(
    ("text", "pair"),
    [("65536", (65536, 65536)), ("1024:infinity", (1024, -1)), ("8M", (8 << 20, 8 << 20))],
)
def test_limits_of_a_unit_have_units_and_pairs(text: str, pair: tuple[int, int]) -> None:
    assert process.parse_limit(text) == pair


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "/proc/self/cgroup": "0::/a/b\n",
        "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
        "/sys/fs/cgroup/a/b/memory.max": "536870912\n",
        "/sys/fs/cgroup/a/memory.max": "max\n",
        "/sys/fs/cgroup/a/b/pids.max": "max\n",
    }
    host = make_tree(tmp_path, files)
    assert machine.cpu_quota(host) == 1.5
    assert machine.memory_limit(host) == 512 << 20
    assert machine.pids_limit(host) is None


def test_v1_limits_are_found_as_well(tmp_path: Path) -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
        "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n",
        "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
    }
    host = make_tree(tmp_path, files)
    assert machine.cpu_quota(host) == 0.5 and machine.memory_limit(host) is None
    assert machine.cgroup(host).version == "hybrid"


_FOUR = {"/proc/self/status": "Cpus_allowed_list:\t0-3\n", "/proc/cpuinfo": "processor\t: 0\n"}
_V1 = {"/proc/mounts": "cgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, [0, 1, 2, 3]),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, [0, 1, 2, 3]),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n"}, [0, 1]),
        (  # the unit has no quota, its slice has
            {
                "/proc/self/cgroup": "0::/web.slice/askr.service\n",
                "/sys/fs/cgroup/web.slice/askr.service/cpu.max": "max 100000\n",
                "/sys/fs/cgroup/web.slice/cpu.max": "20000 10000\n",
            },
            [0, 1],
        ),
        ({"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "5000 100000\n"}, [0]),
        (
            {"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "800000 100000"},
            [0, 1, 2, 3],
        ),
        (  # v1, with a quota of no group's own, and a period of each
            _V1
            | {
                "/proc/self/cgroup": "3:cpu,cpuacct:/pod/app\n",
                "/cg/cpu,cpuacct/pod/app/cpu.cfs_quota_us": "-1\n",
                "/cg/cpu,cpuacct/pod/app/cpu.cfs_period_us": "10000\n",
                "/cg/cpu,cpuacct/pod/cpu.cfs_quota_us": "250000\n",
                "/cg/cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
            },
            [0, 1, 2],
        ),
        (  # a container's view: its group has the place of the root
            {
                "/proc/self/cgroup": "3:cpu:/docker/c0ffee\n0::/\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            [0],
        ),
    ],
)
def test_the_server_runs_a_worker_for_each_core_that_every_group_above_it_pays_for(
    tmp_path: Path, files: dict[str, str], cores: list[int]
) -> None:
    host = make_tree(tmp_path, _FOUR | files)
    assert machine.usable_cpus(host) == cores
    assert place_workers(Config(), host) == tuple(cores)
    asked = Config(server=ServerConfig(workers=3, pin=False))
    assert place_workers(asked, host) == (None, None, None), "who names a number gets it"


def test_a_pinned_worker_does_not_speak_for_the_server(tmp_path: Path) -> None:
    """Its own affinity is one core; the supervisor has what all of them may use."""
    host = make_tree(
        tmp_path,
        {
            "/proc/10/status": "Cpus_allowed_list:\t0-1\n",
            "/proc/11/status": "Cpus_allowed_list:\t0\n",
            "/sys/devices/system/cpu/isolated": "1\n",
        },
    )
    server = Server(10, "askr", (11, 12), ())
    context = Context(host, target=process.Target(pid=11), workers=2, server=server)
    found = {check.id: run_one(check, context)[0] for check in ALL if check.group == "cpu"}
    assert found["cpu.workers"].status is Status.OK
    assert found["cpu.isolated"].status is Status.WARN and found["cpu.isolated"].current == "1"
    alone = replace(context, server=None)
    assert run_one(next(c for c in ALL if c.id == "cpu.workers"), alone)[0].status is Status.WARN


# --- certificates ---------------------------------------------------------------------------------


def make_certificate(days: int, life: int = 90, self_signed: bool = False) -> tuple[str, str]:
    """A certificate (with its issuer's behind it) that has so many days left, and its key."""
    now = datetime.datetime.now(datetime.UTC)
    begin, end = now - datetime.timedelta(days=life - days), now + datetime.timedelta(days=days)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("leaf", "root")
    ]
    made = []
    for index, issuer in ((0, 0 if self_signed else 1), (1, 1)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[index])
            .issuer_name(names[issuer])
            .public_key(keys[index].public_key())
            .serial_number(index + 1)
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.org")]), False)
        )
        made.append(builder.sign(keys[issuer], hashes.SHA256()))
    form = serialization.Encoding.PEM
    texts = [item.public_bytes(form).decode() for item in made]
    key = keys[0].private_bytes(
        form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return texts[0] if self_signed else "".join(texts), key.decode()


def judge(tmp_path: Path, text: str, key: str) -> dict[str, Status]:
    for name, content in (("cert.pem", text), ("key.pem", key)):
        (tmp_path / name).write_text(content)
    (tmp_path / "key.pem").chmod(0o600)
    pair = (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    context = Context(Host(), certificates=(pair,))
    return {check.id: run_one(check, context)[0].status for check in tls.CHECKS}


@pytest.mark.parametrize(
    ("days", "status"),
    [(60, Status.OK), (20, Status.WARN), (5, Status.FAIL), (1, Status.FAIL), (-1, Status.FAIL)],
)
def test_a_certificate_is_judged_by_what_is_left_of_its_life(
    tmp_path: Path, days: int, status: Status
) -> None:
    found = judge(tmp_path, *make_certificate(days))
    assert found["tls.cert_expiry"] is status
    assert found["tls.chain"] is found["tls.key_match"] is found["tls.names"] is Status.OK


def test_the_certificates_of_the_configuration_are_judged_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, key = make_certificate(60)
    (tmp_path / "cert.pem").write_text(text)
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "askr.toml").write_text(
        f'[tls]\ncert = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n'
    )
    monkeypatch.setenv("ASKR_CONTROL", str(tmp_path / "none.sock"))  # no server runs
    context, _ = build(Host(), Words(config=tmp_path / "askr.toml"))
    assert (f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem") in context.certificates


def test_faults_of_certificates_are_told_apart(tmp_path: Path) -> None:
    text, _ = make_certificate(60)
    _, other = make_certificate(60)
    assert judge(tmp_path, text, other)["tls.key_match"] is Status.FAIL
    leaf = text.split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    assert judge(tmp_path, leaf, other)["tls.chain"] is Status.WARN
    assert judge(tmp_path, *make_certificate(60, self_signed=True))["tls.chain"] is Status.WARN
    assert judge(tmp_path, "no certificate", other)["tls.cert_expiry"] is Status.FAIL
    assert "failed" in certificate.read("rubbish")


def test_a_private_key_is_never_recorded(tmp_path: Path) -> None:
    text, key = make_certificate(60)
    (tmp_path / "both.pem").write_text(text + key)
    recorder = Recorder()
    path = str(tmp_path / "both.pem")
    context = Context(Host(recorder=recorder), certificates=((path, path),))
    for check in tls.CHECKS:
        run_one(check, context)
    assert "PRIVATE KEY" not in json.dumps([recorder.files, recorder.probes])


# --- the manual -----------------------------------------------------------------------------------


def test_the_manual_page_names_every_option_of_doctor() -> None:
    page = (ROOT / "docs/man/askrctl-doctor.1").read_text().replace("\\-", "-")
    [doctor] = [c for c in command_tree.commands() if c.words == ("doctor",)]
    missing = [
        name
        for option in doctor.options
        for name in option.names
        if name.startswith("--") and name != "--help" and not re.search(f"{name}\\b", page)
    ]
    assert not missing
    assert abs(len(ALL) - 200) < 10, "the page says some 200 checks"
